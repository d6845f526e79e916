"""The tools that every page has: reset, and a copy of the link."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.components.v2 import component

from optviz.ui.desk import Desk

_HERE = Path(__file__).parent
_COPY = component(
    "optviz_share",
    html='<button type="button" class="oz-tool"><span class="oz-share-label"></span></button>\n',
    css=(_HERE / "tool.css").read_text(encoding="utf-8"),
    js=(_HERE / "share.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def toolbar(desk: Desk, also: Callable[[], None] = lambda: None) -> None:
    """Reset, which does `also` something, and copy link. The link holds everything: whoever opens it sees the same
    experiment."""

    def reset() -> None:
        desk.reset()
        also()

    st.button(
        "Reset",
        icon=":material/restart_alt:",
        key=desk.key("reset"),
        help="Back to what this page opens with.",
        on_click=reset,
    )
    help = "Everything on this page is in its address: whoever opens it sees the same."
    _COPY(key=desk.key("copy"), data={"label": "Copy link", "help": help}, width="content")
