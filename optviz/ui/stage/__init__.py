"""The stage: optimizers race over a surface, in the browser, at the display's rate.

Python computes whole runs and sends them once; everything that moves afterwards (playing, scrubbing, zooming, hiding
a racer) happens in the scripts beside this file, without a round trip. The only message that comes back is a click on
the surface, which asks for a new start. The shape of `data` is written down at the top of `main.js`.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

_HERE = Path(__file__).parent

# In this order they read as one: each has one idea, none needs a bundler, and functions find each other anyway.
_SCRIPTS = ("main", "library", "panels", "figures", "pixels", "ink", "marks", "legend", "player", "pointer")

# CSS and JavaScript go in as text (file-backed assets would need a packaged install), and into the page itself rather
# than a shadow root, inside which Plotly finds neither its pointer nor its style sheet. Registered once, at import.
_STAGE = component(
    "optviz_stage",
    html='<div class="oz-stage"></div>\n',
    css=(_HERE / "stage.css").read_text(encoding="utf-8"),
    js="\n".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS),
    isolate_styles=False,
)


@functools.cache
def plotly_sources() -> list[str]:
    """Where the browser finds plotly.js, best first, as addresses relative to the app's base.

    The first is the chunk Streamlit draws its own charts with: already compressed, cached for ever, never fetched
    twice. Its name is private to the pinned Streamlit, so it is looked up, and a test watches over it. The second is
    plotly.min.js from the plotly wheel, where the app serves it from its static folder.
    """
    chunks = sorted((Path(str(st.__file__)).parent / "static" / "static" / "js").glob("PlotlyChart.*.js"))
    return [*(f"static/js/{chunk.name}" for chunk in chunks), "app/static/plotly.min.js"]


def stage(
    data: dict[str, Any],
    *,
    key: str,
    on_start: Callable[[], None] | None = None,
    height: int | None = None,
) -> Any:
    """Show `data`; the result's `start` is `{"x": …, "y": …}` in the one run that follows a click, else None.

    `on_start` runs before that script run and finds the same point in `st.session_state[key].start`. `height` caps the
    surface's height in CSS pixels; by default it follows the window's.
    """
    return _STAGE(
        key=key,
        data={**data, "height": height, "plotly": plotly_sources()},
        on_start_change=on_start or _nothing,
    )


def _nothing() -> None:
    """A trigger exists only if it has a callback."""
