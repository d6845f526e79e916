"""Controls made from declarations: one widget for each `Param`, of the kind that its declaration asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from optviz.spec import Param, Value, number
from optviz.ui.terms import link


def control(param: Param, value: Value, key: str, on_change: Callable[[], None], *, exact: bool = False) -> None:
    """Show a widget for a parameter that stands at `value`. `on_change` reads what the visitor chose from
    `st.session_state[key]`. With `exact`, numbers are typed instead of slid, over all that the mathematics allows."""
    common: dict[str, Any] = {"key": key, "help": f"{param.help} {link(param)}", "on_change": on_change}
    label = param.label
    match param.kind:
        case "flag":
            show(key, value)
            st.toggle(label, **common)
        case "choice":
            show(key, value)
            st.selectbox(label, param.options, **common)
        case _ if exact:
            show(key, value)
            whole = param.kind == "whole"
            st.number_input(label, step=1 if whole else None, format=None if whole else "%.6g", **common)
        case _:
            stops = param.stops()
            if value not in stops:  # beyond the slider or between its stops, by link or by typing: it is shown as it is
                stops = tuple(sorted({*stops, value}))
            show(key, value)
            st.select_slider(label, stops, format_func=number if param.kind == "real" else param.write, **common)


@contextmanager
def folded(label: str, key: str, *, popover: bool = False, **look: Any) -> Iterator[bool]:
    """An expander, or a popover, for what is not always wanted; gives whether it is open. What nobody sees is not to be
    made: each element of a page costs every visitor half a millisecond a move."""
    box = (st.popover if popover else st.expander)(label, key=key, on_change="rerun", **look)
    with box:
        yield bool(box.open)


def show(key: str, value: object) -> None:
    """Let the widget with this key show a value. In the run of a fragment, assigning what it shows already would fight
    the visitor's hand. The run of a whole page says it in any case: where that page is run twice as it opens, the
    browser may get the second run's messages only, and a widget that was told in the first would stand at the start of
    its range, and take the experiment there with the visitor's next move."""
    context = get_script_run_ctx()
    whole_page = context is not None and not context.fragment_ids_this_run
    if whole_page or st.session_state.get(key) != value:
        st.session_state[key] = value
