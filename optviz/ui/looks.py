"""What of a race is shown. None of it changes a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from optviz.curves import CURVES, SLOT, slots
from optviz.experiment import ANATOMY, FIELD, POINTS, VIEW, Experiment, run
from optviz.spec import Param
from optviz.ui.controls import control, folded, show
from optviz.ui.desk import Desk


def look_panel(desk: Desk) -> None:
    """What of the race is shown: from above, in space or both; downhill directions, stationary points, curves."""
    _segments(desk, VIEW)
    with folded("Show more", desk.key("more"), popover=True, icon=":material/layers:") as opened:
        if opened:
            _segments(desk, FIELD)
            _switch(desk, POINTS)
            st.markdown("Curves beside the surface")
            _curves(desk)
    _switch(desk, ANATOMY)


def _switch(desk: Desk, param: Param) -> None:
    key = desk.key(param.name)
    control(param, getattr(desk.experiment, param.name), key, desk.callback(_look(param.name), key))


def _look(name: str) -> Callable[[Experiment, Any], Experiment]:
    return lambda old, value: replace(old, **{name: value})


def _segments(desk: Desk, param: Param) -> None:
    key, value = desk.key(param.name), getattr(desk.experiment, param.name)
    show(key, value)
    change = desk.callback(lambda old, new: replace(old, **{param.name: new or value}), key)  # one is always chosen
    st.segmented_control(param.label, param.options, key=key, help=param.help, on_change=change)


def _curves(desk: Desk) -> None:
    """Which curves stand beside the surface."""
    chosen = desk.experiment.curves
    remembered = {name for run_ in run(desk.experiment) if not run_.ghost for name in slots(run_.trajectory)}
    names = [*CURVES, *sorted(f"{SLOT}{name}" for name in remembered)]
    names += [name for name in chosen if name not in names]
    for name in names:
        key = desk.key(f"curve-{name}")
        show(key, name in chosen)

        def change(old: Experiment, on: bool, name: str = name) -> Experiment:
            wanted = {*old.curves, name} if on else {*old.curves} - {name}
            return replace(old, curves=tuple(other for other in names if other in wanted))

        slot = name.removeprefix(SLOT)
        label = f"Slot {slot}" if name.startswith(SLOT) else CURVES[name].label
        help = f"What rules that have a slot {slot} remember." if name.startswith(SLOT) else CURVES[name].help
        st.checkbox(label, key=key, help=help, on_change=desk.callback(change, key))
