"""The panels of the second-order page: the point and its methods, the pictures, the table, and what it all costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from optviz.experiment import COORDINATE, L2, Pick
from optviz.figures.second_order import (
    GROUND,
    HUE,
    cut_record,
    memory_record,
    plane_record,
    time_record,
)
from optviz.scaling import PIECES, SIZES, Cost, Work, costs
from optviz.spec import Param, number
from optviz.taylor import (
    ALONG,
    CLAIMS,
    DAMPING,
    DIRECTIONS,
    DOGLEG,
    EXAMPLES,
    LINE_SEARCH,
    LR,
    METHOD,
    METHODS,
    PAIRS,
    RADIUS,
    Look,
    LookClaim,
    Proposal,
    SecondOrder,
    ground,
    look,
    take,
)
from optviz.ui.chart import chart
from optviz.ui.controls import folded
from optviz.ui.desk import Desk
from optviz.ui.lesson import verdict
from optviz.ui.measured import cost_exports
from optviz.ui.panel import Action, Box, Choice, Field, Part, Words, panel
from optviz.ui.parts import field_of, surface_choice, surface_numbers, within
from optviz.ui.tiles import in_tiles
from optviz.verdict import Measured

TAKE_MANY = 5
MODELS = {
    "linear": "the linear model, f + gᵀp",
    "quadratic": "the quadratic model, f + gᵀp + ½pᵀHp",
    "pairs": "a quadratic model made from its pairs",
}
Costs = Sequence[Cost | Work]


# Controls ------------------------------------------------------------------------------------------------------------


def controls_panel(desk: Desk[SecondOrder]) -> None:
    """All that can be set, as one element of the page."""
    panel(desk, "controls", lambda: _parts(desk.experiment))


def _parts(value: SecondOrder) -> list[Part]:
    entry, found = value.on.entry, look(value)
    left, right, bottom, top = entry.window
    titles: dict[str | int, str] = dict(enumerate(EXAMPLES))
    examples = list(EXAMPLES.values())
    return [
        Choice("example", "Example", titles, examples.index(value) if value in examples else None,
               lambda old, i: examples[i], "Places where the methods differ most.", placeholder="Choose an example"),
        surface_choice(value.on, _on_surface, "What is descended."),
        *within(surface_numbers(value.on)),
        Box([_coordinate(found, 0, (right - left) / 40), _coordinate(found, 1, (top - bottom) / 40)]),
        Words("A click on the map sets the point, too."),
        Choice("method", "Method", {key: METHODS[key].title for key in METHODS}, value.method,
               lambda old, key: replace(old, method=key), METHOD.help),
        Box([
            Action("take", "Take this step", lambda old, _: take(old),
                   "Go where the method's step leads, and look around from there."),
            Action("take-many", f"Take {TAKE_MANY}", lambda old, _: take(old, TAKE_MANY),
                   f"Take {TAKE_MANY} of the method's steps, one after the other."),
        ]),
        Box([
            Action("undo", "One back", lambda old, _: replace(old, moves=old.moves[:-1]), "Undo the last move.",
                   disabled=not value.moves),
            Action("restart", "To the start", lambda old, _: replace(old, moves=()), "Undo all moves.",
                   disabled=not value.moves),
        ]),
        Choice("along", "Slice", {key: words[0].upper() + words[1:] for key, words in DIRECTIONS.items()}, value.along,
               lambda old, key: replace(old, along=key), ALONG.help),
        _field(value, LR, "Gradient descent: rate"),
        _field(value, DAMPING, "Damped Newton: damping"),
        _field(value, LINE_SEARCH, "Damped Newton: line search"),
        _field(value, RADIUS, "Trust region: radius"),
        _field(value, DOGLEG, "Trust region: dogleg"),
        _field(value, PAIRS, "L-BFGS: memory"),
        Box(within([field_of(value.on, L2)]), "conditions", "Penalty"),
    ]  # fmt: skip


def _field(value: SecondOrder, param: Param, label: str) -> Field:
    def change(old: SecondOrder, new: Any) -> SecondOrder:
        return replace(old, **{param.name: new})

    label = f"{label} {param.symbol}".strip()
    live = param.kind == "real"
    return Field(param.name, param, getattr(value, param.name), change, label, live=live)


def _on_surface(old: SecondOrder, key: Any) -> SecondOrder:
    return replace(old, on=replace(old.on, surface=Pick(str(key)), start=None), moves=())


def _coordinate(found: Look, axis: int, step: float) -> Field:
    def moved(old: SecondOrder, new: float) -> SecondOrder:
        point = [float(part) for part in look(old).here.theta]
        point[axis] = new
        return old.at(*point)

    here = COORDINATE.check(found.here.theta[axis])
    return Field(f"point-{'xy'[axis]}", COORDINATE, here, moved, f"Point {'xy'[axis]}", step)


# The pictures --------------------------------------------------------------------------------------------------------


def plane_chart(desk: Desk[SecondOrder]) -> None:
    """The surface from above. A click sets the point."""
    key = desk.key("plane")

    def clicked() -> None:
        point = _place(desk.experiment, st.session_state[key].clicked)
        if point:
            desk.take([lambda old: old.at(*point)])

    chart(plane_record(desk.experiment), key=key, clicked=clicked)


def _place(value: SecondOrder, told: Any) -> tuple[float, float] | None:
    """The place that was clicked. The message comes from outside: one that names none is passed over."""
    match told:
        case {"curve": str(name), "point": [int(row), int(column)]} if name == GROUND:
            around = ground(value)
            if 0 <= row < len(around.y) and 0 <= column < len(around.x):
                return float(around.x[column]), float(around.y[row])
    return None


def cut_chart(desk: Desk[SecondOrder]) -> None:
    """The slice through the point."""
    record = cut_record(desk.experiment)
    if record is None:
        st.info("There is no slice here: the direction is not defined. Choose another one, or another point.")
        return
    chart(record, key=desk.key("cut"), clicked=lambda: None)


# Words ---------------------------------------------------------------------------------------------------------------


def sentence(desk: Desk[SecondOrder]) -> None:
    """What the chosen method trusts, what that promised, and what came."""
    value = desk.experiment
    found = look(value)
    chosen, method = found.proposals[value.method], METHODS[value.method]
    name = f":{HUE[value.method]}[●] **{method.title}** trusts {MODELS[method.model]}"
    if found.lost:
        st.warning(f"The moves end early. {found.lost}", icon=":material/error_outline:")
    if not np.isfinite(chosen.step).all():
        st.markdown(f"{name}. Here it has no step: {chosen.note or 'it is not a finite number'}.")
        return
    came = (
        f"the loss falls by {number(chosen.came)}"
        if chosen.came >= 0
        else f"the loss **rises** by {number(-chosen.came)}"
    )
    if chosen.promised < 0:
        words = f"which says itself that the loss rises by {number(-chosen.promised)}; {came}"
    elif chosen.promised == 0:
        words = "which promises nothing: there is no slope here"
    else:
        words = f"which promises a fall by {number(chosen.promised)}; {came}, so ρ = {number(chosen.ratio)}"
    st.markdown(f"{name}, {words}. {chosen.note[:1].upper()}{chosen.note[1:]}{'.' * bool(chosen.note)}")


def here_words(desk: Desk[SecondOrder]) -> None:
    """The numbers at the point, and how to read the map."""
    value = desk.experiment
    found = look(value)
    here = found.here
    low, high = here.curvatures
    kind = "is not finite here"
    if np.isfinite(high):
        kind = f"has the eigenvalues λ₁ = {number(float(low))} and λ₂ = {number(float(high))}"
        kind += ", so it curves down along one direction" if low < 0 < high else ""
        kind += ", so it curves down everywhere" if high < 0 else ""
    shape = "The ellipse shows the Hessian: its axes are the eigenvectors, each as long as 1/√λ says; dashed "
    shape += "if a λ is negative. "
    shape += f"Dotted lines: level lines of {MODELS[METHODS[value.method].model]}."
    st.caption(
        f"Here f = {number(here.value)}, the gradient is {number(float(np.linalg.norm(here.grad)))} long, and the "
        f"Hessian {kind}. {shape}"
    )


def table(desk: Desk[SecondOrder]) -> None:
    """Every method from this point: its step, the promise, and what came."""
    value = desk.experiment
    found = look(value)
    rows = [["Method", "Step Δx, Δy", "Length", "Promised fall", "Fall that came", "ρ", "Remark"], ["---"] * 7]
    for key, one in found.proposals.items():
        name = f":{HUE[key]}[●] {METHODS[key].title}"
        rows.append([f"**{name}**" if key == value.method else name, *_cells(one), one.note or "–"])
    st.markdown("\n".join(f"| {' | '.join(row)} |" for row in rows))
    st.caption(
        "ρ is the fall that came over the promised one: 1 where the model was right, below 0 where the loss rose. The "
        "trust region now has the radius "
        f"Δ = {number(found.radius)}. Its rule: with ρ below ¼ the radius becomes a quarter; above ¾, and with a step "
        "to its edge, twice as large; a step with ρ up to 0.1 is not taken."
    )


def _cells(one: Proposal) -> list[str]:
    if not np.isfinite(one.step).all():
        return ["none"] * 5
    ratio = number(one.ratio, 3) if one.promised > 0 else "–"
    step = f"{number(float(one.step[0]), 3)}, {number(float(one.step[1]), 3)}"
    return [step, number(float(np.linalg.norm(one.step)), 3), number(one.promised, 4), number(one.came, 4), ratio]


def history(desk: Desk[SecondOrder]) -> None:
    """The moves so far, and what L-BFGS remembers of them."""
    found = look(desk.experiment)
    with folded(f"Moves so far: {len(found.moves)}", desk.key("history")) as seen:
        if seen:
            st.markdown(_moves(found) if found.moves else "None yet. Press *Take this step*.")
    with folded(f"What L-BFGS remembers: {len(found.pairs.s)} pairs", desk.key("pairs")) as seen:
        if seen:
            st.markdown(_pairs(found))


def _moves(found: Look) -> str:
    rows = [["Move", "Method", "To", "Loss", "ρ", "Δ before"], ["---"] * 6]
    for i, move in enumerate(found.moves, start=1):
        key = move.proposal.method
        x, y = (number(float(part), 4) for part in found.path[i])
        rows.append([
            str(i), f":{HUE[key]}[●] {METHODS[key].title}", f"{x}, {y}" if move.taken else "not taken",
            number(float(found.losses[i])), number(move.proposal.ratio, 3) if move.proposal.promised > 0 else "–",
            number(move.radius, 3) if key == "trust" else "–",
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _pairs(found: Look) -> str:
    rows = [["Pair", "move s", "gradient change y", "curvature sᵀy/sᵀs"], ["---"] * 4]
    for i, (s, y) in enumerate(zip(found.pairs.s, found.pairs.y, strict=True), start=1):
        told = [f"{number(float(two[0]), 3)}, {number(float(two[1]), 3)}" for two in (s, y)]
        rows.append([str(i), *told, number(float(s @ y / (s @ s)), 4)])
    listed = "\n".join(f"| {' | '.join(row)} |" for row in rows) if len(found.pairs.s) else "No pairs yet."
    learnt = ", ".join(number(float(1 / one), 4) for one in np.linalg.eigvalsh(found.pairs.inverse)[::-1])
    true = ", ".join(number(float(one), 4) for one in found.here.curvatures)
    return f"{listed}\n\nCurvatures that these imply: {learnt}. Those of the Hessian here: {true}."


# The costs -----------------------------------------------------------------------------------------------------------


def measured(desk: Desk[SecondOrder]) -> list[Cost | Work]:
    """What this visitor has measured of the costs so far."""
    return st.session_state.get(desk.key("costs"), [])


def with_numbers(desk: Desk[SecondOrder]) -> Callable[[LookClaim], Measured | None]:
    """What measures a claim: by the numbers of this point, or of the costs."""
    return lambda claim: claim.measure(desk.experiment, tuple(measured(desk)))


def cost_panel(desk: Desk[SecondOrder]) -> None:
    """What a step costs as n grows: memory is counted at once, time is measured when the visitor asks for it."""
    with folded("Cost against the number of parameters n", desk.key("cost")) as seen:
        if not seen:
            return
        st.markdown(
            f"On the extended Rosenbrock function, n/2 ravines side by side, from n = {SIZES[0]} to {SIZES[-1]:,}."
        )
        done = _measure(desk)
        times, memory = st.columns(2, gap="medium")
        with times:
            chart(time_record(done), key=desk.key("time"), clicked=lambda: None)
        with memory:
            chart(memory_record(), key=desk.key("memory"), clicked=lambda: None)
        st.markdown(verdict(CLAIMS["A15"].measure(desk.experiment, tuple(done))))
        worked = [one for one in done if isinstance(one, Work)]
        if worked:
            st.markdown(_steps(worked))
        cost_exports(desk, done)


def _measure(desk: Desk[SecondOrder]) -> list[Cost | Work]:
    """The button, and what was measured since it was pressed."""
    key = desk.key("rounds")
    rounds = st.session_state.setdefault(key, 0)

    def press() -> None:
        st.session_state[key] = rounds + 1

    st.button(
        "Measure again" if rounds else "Measure",
        icon=":material/timer:",
        key=desk.key("measure"),
        type="secondary" if rounds else "primary",
        on_click=press,
        help="Times every part of a step on this server, then counts the steps that the methods need to settle: about "
        "ten seconds, of which a bar tells.",
    )
    if not rounds:
        return []
    done = list(in_tiles(desk, "cost", rounds, costs, PIECES))
    news = done != measured(desk)
    st.session_state[desk.key("costs")] = done
    if news and desk.preset == "A15":  # whose sentence quotes them, above
        st.rerun()
    return done


def _steps(worked: Sequence[Work]) -> str:
    rows = [["Steps until the loss is below 10⁻⁶", *(f"n = {one.n}" for one in worked)]]
    rows.append(["---"] * len(rows[0]))
    for key in ("sgd", "lbfgs", "newton"):
        words = [number(one.steps[key], 6) if np.isfinite(one.steps[key]) else "more than 40,000" for one in worked]
        rows.append([f":{HUE[key]}[●] {METHODS[key].title}", *words])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
