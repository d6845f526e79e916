"""The script of a chart: one Plotly figure in the browser that follows the theme, keeps its zoom and tells clicks.

It shares the stage's way to plotly.js, its look of axes, and how a picture is saved.
"""

from __future__ import annotations

import functools
from pathlib import Path

_HERE = Path(__file__).parent
SHARED = ("library", "figures", "save")  # of the stage's scripts


@functools.cache
def script() -> str:
    """The JavaScript of the chart, as the text of one module."""
    stage = [(_HERE.parent / "stage" / f"{name}.js").read_text(encoding="utf-8") for name in SHARED]
    return "\n".join([(_HERE / "chart.js").read_text(encoding="utf-8"), *stage])


@functools.cache
def style() -> str:
    """The style sheet of the chart."""
    return (_HERE / "chart.css").read_text(encoding="utf-8")
