"""plotly.js as the plotly wheel brings it, for pages that must play without a server."""

from __future__ import annotations

import functools
from pathlib import Path

import plotly


@functools.cache
def plotly_script() -> str:
    """The library as the text of one script, about 5 MB."""
    return (Path(str(plotly.__file__)).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
