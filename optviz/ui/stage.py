"""The stage: optimizers race over a surface, in the browser, at the display's rate.

Python computes whole runs and sends them once; everything that moves afterwards (playing, scrubbing, zooming, hiding
a racer) happens in the scripts of `figures/stage`, without a round trip. What comes back is a click on the
surface, which asks for a new start, and the drag of the slider below it. The shape of `data` is written down at the
top of its `main.js`.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st
from streamlit.components.v2 import component

from optviz.figures.stage import script, style

# CSS and JavaScript go in as text (file-backed assets would need a packaged install), and into the page itself rather
# than a shadow root, inside which Plotly finds neither its pointer nor its style sheet. Registered once, at import.
# Sixty kilobytes of script would travel with every rerun: they are a component of their own, which stays as it is.
_RECONNECT = Path(__file__).with_name("reconnect.js").read_text(encoding="utf-8")
_SCRIPT = component("optviz_stage_script", css=style(), js=f"{script()}\n{_RECONNECT}", isolate_styles=False)
_STAGE = component(
    "optviz_stage",
    html='<div class="oz-stage"></div>\n',
    js="""
export default function (component) {
  const shown = { ...component, data: JSON.parse(new TextDecoder().decode(component.data)) }
  if (window.optvizStage) return window.optvizStage(shown)
  window.optvizWaiting ??= new Map()
  window.optvizWaiting.set(component.parentElement, shown)
}
""",
    isolate_styles=False,
)


class Row(NamedTuple):
    """A row of the stage's table: who it is about and in which colour that is drawn, its cells, and which of them, if
    any, says that something went wrong."""

    color: str
    cells: list[str]
    bad: int | None = None


class Table(NamedTuple):
    """What stands below the pictures, as text."""

    head: list[str]
    rows: list[Row]


SENT_AT_MOST = 64  # figures and runs that a browser keeps
PARTS_AT_MOST = 1000  # parts of pictures that it keeps


def prepare() -> None:
    """Bring the stage's script to the browser. A page calls it once, outside the fragment that holds the stage."""
    # In a list Streamlit would look for a table, with pandas: 70 MB and half a second of a server's start.
    _SCRIPT(key="stage-script", data={"plotly": tuple(plotly_sources())})


@functools.cache
def plotly_sources() -> list[str]:
    """Where the browser finds plotly.js, best first, as addresses relative to the app's base.

    The first is the chunk Streamlit draws its own charts with: already compressed, cached for ever, never fetched
    twice. Its name is private to the pinned Streamlit, so it is looked up, and a test watches over it. The second is
    plotly.min.js from the plotly wheel, where the app serves it from its static folder.
    """
    chunks = sorted((Path(str(st.__file__)).parent / "static" / "static" / "js").glob("PlotlyChart.*.js"))
    return [*(f"static/js/{chunk.name}" for chunk in chunks), "app/static/plotly.min.js"]


def stage(data: dict[str, Any], *, key: str, table: Table | None = None, **on: Callable[[], None]) -> None:
    """Show `data`, with a `table` below. `start`, `drag` and `drop` are called when the visitor clicks the surface, is
    about to drag, and lets go, `point` when a handle has been moved, `tick` when a run that goes on has been shown;
    what they are about is in `st.session_state[key]` under the same name, as `main.js` describes it."""
    sent = st.session_state.setdefault(f"{key}-sent", set())
    panels = [_once(panel, sent) for panel in data["panels"]]
    racers = [_series_once(racer, sent) for racer in data["racers"]]
    looks = f"{key}-looks"

    def looked() -> None:
        st.session_state[looks] = st.session_state.get(looks, 0) + 1
        on.get("tick", _nothing)()

    written = table and {"head": table.head, "rows": [row._asdict() for row in table.rows]}
    shown = {**data, "panels": panels, "racers": racers, "table": written, "plotly": plotly_sources()}
    shown["look"] = st.session_state.get(looks, 0)  # a browser is not told of data that are as before
    _STAGE(
        key=key,
        data=json.dumps(shown).encode(),  # else it is written twice
        on_missing_change=sent.clear,
        on_start_change=on.get("start", _nothing),
        on_drag_change=on.get("drag", _nothing),
        on_drop_change=on.get("drop", _nothing),
        on_point_change=on.get("point", _nothing),
        on_tick_change=looked,
    )


def _once(panel: dict[str, Any], sent: set[str]) -> dict[str, Any]:
    """A panel whose figure goes to a browser once. A surface is half of what a move of a slider would send, and it is
    the same as before; a browser that lost it (the page was opened anew) says so, and is sent everything again."""
    name = panel["figure"].get("id")
    if name is not None:
        if name in sent:
            panel = {**panel, "figure": {"id": name}}
        else:
            _remember(name, sent, SENT_AT_MOST)
    ground = panel.get("ground")
    if not ground:
        return panel
    parts = []
    for part in ground["parts"]:
        if part["id"] in sent:
            parts.append({"id": part["id"], "at": part["at"]})
        else:
            _remember(part["id"], sent, PARTS_AT_MOST)
            parts.append(part)
    return {**panel, "ground": {**ground, "parts": parts}}


def _series_once(racer: dict[str, Any], sent: set[str]) -> dict[str, Any]:
    """A racer whose series go to a browser once: when a slider moves, most of them have not changed."""
    name = racer.get("run")
    if name is None:
        return racer
    if name in sent:
        return {**racer, "series": None}
    _remember(name, sent, SENT_AT_MOST)
    return racer


def _remember(name: str, sent: set[str], most: int) -> None:
    if len(sent) >= most:
        sent.clear()
    sent.add(name)


def _nothing() -> None:
    """A trigger exists only if it has a callback."""
