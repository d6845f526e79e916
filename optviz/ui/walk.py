"""The backpropagation walk: its picture, its controls, and the sentence of claim C2 with this walk's numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from optviz.backprop import (
    ACTIVATION,
    HIDDEN_AT_MOST,
    INPUTS_AT_MOST,
    LOSS,
    LR,
    OUTPUT,
    OUTPUTS_AT_MOST,
    WIDTH_AT_MOST,
    Example,
    difference,
    graph,
    remarks,
    settle,
    stepped,
    symbol,
    to_query,
)
from optviz.figures.walk import record, script, style
from optviz.spec import Param, number
from optviz.ui.controls import control, folded, show
from optviz.ui.desk import Desk

PAGE = "pages/backprop.py"
_WALK = component(
    "optviz_walk",
    html='<div class="oz-walk"></div>\n',
    css=style(),
    js=script(),
    isolate_styles=False,
)


def examples_menu(presets: dict[str, Example], default: Example) -> None:
    """The list of examples, each a link."""
    with st.popover("Examples", icon=":material/school:", width="content"):
        for title, example in presets.items():
            st.page_link(PAGE, label=title, query_params=to_query(example, default))


def walk_panel(desk: Desk[Example]) -> None:
    """The graph with its player. A click on a weight chooses it."""
    key = desk.key("walk")

    def clicked(old: Example, _: object) -> Example:
        return settle(old, "chosen", str(st.session_state[key].chosen))

    data = json.dumps(
        record(desk.experiment)
    ).encode()  # as bytes: Streamlit would load pandas to look for tables in it
    _WALK(key=key, data=data, on_chosen_change=desk.callback(clicked))


def claim_panel(desk: Desk[Example]) -> None:
    """Claim C2 and what else is worth a remark, measured on the walk as it stands."""
    example = desk.experiment
    compared = difference(example)
    if compared.difference <= compared.allowed:
        apart = f"differ by at most {number(compared.difference)}: rounding" if compared.difference else "are the same"
        verdict = (
            f":green[:material/check_circle:] **Measured here:** one walk back gives all {compared.count} gradients. "
            f"They and those of `jax.grad` {apart}."
        )
    else:
        verdict = (
            f":red[:material/cancel:] **Measured here:** one of the {compared.count} gradients differs from `jax.grad` "
            f"by {number(compared.difference)}, more than rounding ({number(compared.allowed)}) explains."
        )
    st.markdown(
        "**C2 · The chain rule.** Backpropagation goes from the output to the inputs: local derivative times what "
        f"arrives, and a sum where paths meet. {verdict}"
    )
    for sentence in remarks(example):
        st.markdown(f":material/lightbulb: {sentence}")


def controls_panel(desk: Desk[Example]) -> None:
    """What a learner may change: the numbers, the functions, the network, and one gradient step."""
    example = desk.experiment
    for name in example.quantities:
        if name[0] in "xy":
            _number(desk, name)
    _choose(desk)
    _number(desk, example.chosen)
    with st.container(horizontal=True):
        for param in (ACTIVATION, LOSS):
            _setting(desk, param)
    with folded("Another network", desk.key("shape")) as opened:
        if opened:
            _shape(desk)
    _step(desk)
    st.toggle("Type exact numbers", key=desk.key("exact"), help="Type numbers instead of sliding, also beyond ±5.")


def _number(desk: Desk[Example], name: str) -> None:
    param, value = desk.experiment.quantities[name]
    _field(desk, param, value, name, lambda old, new: old.but(name, new))


def _setting(desk: Desk[Example], param: Param) -> None:
    value = getattr(desk.experiment, param.name)
    _field(desk, param, value, param.name, lambda old, new: settle(old, param.name, new))


def _field(desk: Desk[Example], param: Param, value: Any, name: str, change: Callable[[Example, Any], Example]) -> None:
    exact = bool(st.session_state.get(desk.key("exact")))
    key = desk.key(f"{name}-exact" if exact else name)
    control(param, value, key, desk.callback(change, key), exact=exact)


def _choose(desk: Desk[Example]) -> None:
    key, example = desk.key("chosen"), desk.experiment
    show(key, example.chosen)
    st.selectbox(
        "Weight or bias",
        (*example.weight_names, *example.bias_names),
        format_func=symbol,
        key=key,
        help="Choose one to move it and to see its chain to the loss. Or click it in the picture.",
        on_change=desk.callback(lambda old, name: settle(old, "chosen", name), key),
    )


def _shape(desk: Desk[Example]) -> None:
    """How many inputs, hidden units and outputs there are."""
    example = desk.experiment
    hidden = [*example.widths[:-1], *[0] * HIDDEN_AT_MOST][:HIDDEN_AT_MOST]
    sizes = [len(example.inputs), *hidden, example.widths[-1]]
    rows = [("Inputs", 1, INPUTS_AT_MOST, "How many numbers come in.")]
    rows += [
        (f"Hidden layer {i}", 0, WIDTH_AT_MOST, "How many units it has; 0 leaves it out.")
        for i in range(1, HIDDEN_AT_MOST + 1)
    ]
    rows += [("Outputs", 1, OUTPUTS_AT_MOST, "How many numbers come out, before the loss.")]
    for i, (label, least, most, help) in enumerate(rows):
        key = desk.key(f"size-{i}")
        show(key, sizes[i])

        def change(old: Example, size: int | None, i: int = i) -> Example:
            new = [*sizes[:i], sizes[i] if size is None else size, *sizes[i + 1 :]]
            return old.shaped(new[0], tuple(width for width in new[1:-1] if width), new[-1])

        options = list(range(least, most + 1))
        st.segmented_control(label, options, key=key, help=help, on_change=desk.callback(change, key))
    _setting(desk, OUTPUT)


def _step(desk: Desk[Example]) -> None:
    """One gradient step of all weights and biases, and what it did to the loss."""
    _setting(desk, LR)
    key = desk.key("before")

    def step(old: Example, _: object) -> Example:
        new = stepped(old)
        st.session_state[key] = (new, old)
        return new

    st.button(
        "Take one gradient step",
        icon=":material/directions_walk:",
        key=desk.key("step"),
        help="Moves every weight and bias by −η times its gradient.",
        on_click=desk.callback(step),
    )
    after, before = st.session_state.get(key, (None, None))
    if after == desk.experiment:
        old, new = graph(before).loss, graph(after).loss
        verb = "fell" if new < old else "rose" if new > old else "stayed"
        st.markdown(f"The loss {verb}: **{number(old)} → {number(new)}**")
