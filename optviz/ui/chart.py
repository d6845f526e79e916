"""A chart on a page: one Plotly figure that follows the theme, keeps its zoom, and tells which point was clicked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from streamlit.components.v2 import component

from optviz.figures.chart import script, style
from optviz.ui.stage import plotly_sources

_CHART = component(
    "optviz_chart",
    html='<div class="oz-chart"></div>\n',
    css=style(),
    js=script(),
    isolate_styles=False,
)


def chart(record: dict[str, Any], *, key: str, clicked: Callable[[], None]) -> None:
    """Show a record of the shape that `chart.js` describes. `clicked` is called when a point was; which one is in
    `st.session_state[key].clicked`."""
    data = json.dumps({**record, "plotly": plotly_sources()}).encode()  # as bytes: Streamlit writes JSON twice
    _CHART(key=key, data=data, on_clicked_change=clicked)
