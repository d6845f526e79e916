"""Controls made from declarations: one widget for each `Param`, of the kind that its declaration asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import streamlit as st

from optviz.spec import Param, Value

NICE = (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8)  # the stops in each decade of a logarithmic slider
LINEAR_STOPS = 100


def control(param: Param, value: Value, key: str, on_change: Callable[[], None], *, exact: bool = False) -> None:
    """Show a widget for a parameter that stands at `value`. `on_change` reads what the visitor chose from
    `st.session_state[key]`. With `exact`, numbers are typed instead of slid, over all that the mathematics allows."""
    common: dict[str, Any] = {"key": key, "help": param.help, "on_change": on_change}
    label = param.label
    match param.kind:
        case "flag":
            _show(key, value)
            st.toggle(label, **common)
        case "choice":
            _show(key, value)
            st.selectbox(label, param.options, **common)
        case _ if exact:
            _show(key, value)
            whole = param.kind == "whole"
            st.number_input(label, step=1 if whole else None, format=None if whole else "%.6g", **common)
        case _:
            stops = _stops(param)
            if value not in stops:  # beyond the slider or between its stops, by link or by typing: it is shown as it is
                stops = tuple(sorted({*stops, value}))
            _show(key, value)
            st.select_slider(label, stops, format_func=param.write, **common)


def _show(key: str, value: Value) -> None:
    """Let the widget show the experiment's value. Assigning what it shows already would fight the visitor's hand."""
    if st.session_state.get(key) != value:
        st.session_state[key] = value


@lru_cache(maxsize=256)
def _stops(param: Param) -> tuple[Value, ...]:
    """The values that a slider stops at, its default among them."""
    if param.log:
        first, last = math.floor(math.log10(param.low)), math.ceil(math.log10(param.high))
        stops = [float(f"{digit}e{exponent}") for exponent in range(first, last + 1) for digit in NICE]
        stops += [0.0] if param.default == 0 else []  # of what may be absent: "none" before the smallest amount
    elif param.low == 0 and 0.9 <= param.high < 1:  # a memory: 0.9 and 0.99 are as far apart as 0.99 and 0.999
        nines = [1 - 10.0**-digits for digits in range(5)]
        stops = [nine + i * 10.0 ** -(digits + 1) for digits, nine in enumerate(nines) for i in range(10)]
    else:
        stops = [param.low + (param.high - param.low) * i / LINEAR_STOPS for i in range(LINEAR_STOPS + 1)]
    inside = {round(stop, 14) for stop in stops if stop == 0 or param.low <= stop <= param.high + 1e-12}
    if param.kind == "whole":
        inside = {round(stop) for stop in inside}
    return tuple(sorted(inside | {param.default}))
