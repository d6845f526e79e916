"""The panels of a race over a surface: what it runs on, who runs, and how each run ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import streamlit as st

from optviz import doctor
from optviz.descent import schedulable
from optviz.experiment import (
    L2,
    NOISE,
    RACERS_AT_MOST,
    SEED,
    STEPS,
    TOLERANCE,
    Experiment,
    Pick,
    Racer,
    Run,
    labels,
    run,
)
from optviz.expression import FUNCTIONS, LENGTH
from optviz.figures.dissection import dissection
from optviz.figures.race import dragging, race
from optviz.figures.theme import style
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.spec import Entry, number
from optviz.surfaces import REACH, SURFACES, own_key, own_parts
from optviz.ui.controls import control, folded, show
from optviz.ui.desk import Desk
from optviz.ui.panel import Action, Box, Choice, Field, Part, Words, panel
from optviz.ui.parts import field_of, start_box, surface_numbers
from optviz.ui.stage import Row, Table, stage

OWN = "="  # stands in the list of surfaces for every formula of the visitor's own
FIRST_FORMULA = "x^2 + 10y^2 + 3 sin(3x)"


def surface_choice(desk: Desk, move: Callable[[Experiment, Pick], Experiment] | None = None) -> None:
    """Choose the surface, or type one. `move` takes the race to another surface; left out, `Experiment.on` does."""
    move = move or (lambda old, surface: old.on(surface, given=desk.default.racers))
    experiment = desk.experiment
    own = experiment.surface.key.startswith(OWN)
    key = desk.key("surface")
    show(key, OWN if own else experiment.surface.key)
    st.selectbox(
        "Surface",
        [*SURFACES, OWN],
        format_func=lambda name: "Your own f(x, y)" if name == OWN else SURFACES[name].title,
        key=key,
        help="The landscape to descend. Each has its own lesson; the last one is what you type.",
        on_change=desk.callback(
            lambda old, name: move(old, Pick(own_key(FIRST_FORMULA) if name == OWN else name)),
            key,
        ),
    )
    if own:
        _formula(desk)
    st.caption(experiment.entry.teaches)
    _about(desk, "About this surface", [experiment.entry], experiment.entry.kinks)


def formulas(desk: Desk) -> None:
    """The cards of the chosen racer and of its schedules, for who wants to know."""
    if desk.experiment.racers:
        racer = desk.experiment.racers[_index(desk)]
        _about(desk, "Formula and source", [racer.entry, *(SCHEDULES[pick.key] for _, pick in racer.schedules)])


def _formula(desk: Desk) -> None:
    """What the visitor's own surface is, and how far it is shown. A text that is no formula stays, to be mended."""
    written, reach = own_parts(desk.experiment.surface.key)
    text_key, reach_key = desk.key("formula"), desk.key("reach")
    if st.session_state.get(desk.key("formula-of")) != desk.experiment.surface.key or text_key not in st.session_state:
        st.session_state[desk.key("formula-of")] = desk.experiment.surface.key
    else:
        written = st.session_state[text_key]
    show(text_key, written)
    st.text_input(
        "f(x, y) =",
        key=text_key,
        max_chars=LENGTH,
        help="For example x^2 + 10y^2, sin(3x)·e^(-y²), |x| + max(y, 0). Known: + − · / ^ ( ) | |, pi, e, and "
        + ", ".join(FUNCTIONS),
        on_change=desk.callback(lambda old, text: replace(old, surface=Pick(own_key(text, reach))), text_key),
    )
    control(
        REACH,
        reach,
        reach_key,
        desk.callback(lambda old, value: old.on(Pick(own_key(written, value))), reach_key),
    )


def controls_panel(desk: Desk) -> None:
    """All that can be set of a race, as one element of the page."""

    def parts() -> list[Part]:
        return [*surface_controls(desk.experiment), *_racers(desk), *_pins(desk.experiment), conditions(desk)]

    panel(desk, "controls", parts)


def surface_controls(experiment: Experiment) -> list[Part]:
    """The surface's parameters, where all start, and how long they run. Clicking the surface sets the start too."""
    return [*surface_numbers(experiment), start_box(experiment), field_of(experiment, STEPS)]


def conditions(desk: Desk) -> Box:
    """What all racers share besides the surface."""
    parts = [field_of(desk.experiment, param) for param in (NOISE, SEED, L2, TOLERANCE)]
    return Box(parts, "conditions", "Noise, penalty, tolerance")


def _racers(desk: Desk) -> list[Part]:
    """Choose a racer and set its sliders; add, duplicate, pin and remove racers."""
    experiment = desk.experiment
    if not experiment.racers:
        return [_add(desk), Words("Nobody is racing yet. Add an optimizer above.")]
    index = _index(desk)
    racer = experiment.racers[index]
    return [
        _chosen(desk, index),
        _add(desk),
        Box(
            [
                Action(
                    "pin", "Pin", lambda old, _: old.pinned(index), "Keep this run as a ghost while you move sliders."
                ),
                Action(
                    "duplicate",
                    "Duplicate",
                    lambda old, _: _choosing(
                        desk, len(old.racers), replace(old, racers=(*old.racers, old.racers[index]))
                    ),
                    "Race this optimizer against itself with other settings.",
                    disabled=len(experiment.racers) >= RACERS_AT_MOST,
                ),
                Action("remove", "Remove", lambda old, _: old.with_racer(index, None), "Take this racer out."),
            ]
        ),
        Words(racer.entry.summary),
        *(
            Field(
                f"{index}-{racer.optimizer.key}-{param.name}",
                param,
                racer.values[param.name],
                _racer_value(index, param.name),
            )
            for param in racer.entry.params
        ),
        _schedule(desk, index, racer),
        *(_rates(desk) if len(experiment.racers) > 1 else ()),
    ]


RATES = {  # what a comparison at such rates means
    "own": "Each racer runs at a rate of its own, set by hand: what you see may be the rates, not the rules.",
    "tuned": "Each racer runs at the rate that brought it down quickest on this surface, on average over 500 steps "
    "from its first start and with its parameters as they come, among ten rates per decade.",
    "same": "All racers run at one rate. That compares what the rules do with it, not the rules at their best: it may "
    "be far too large for one and far too small for another.",
}


UNTUNED = "No rates are stored for a formula of your own: these are the ones that suit the valley."


def _rates(desk: Desk) -> list[Part]:
    """Which rates are compared, and a note on what the comparison means."""
    now = desk.experiment.rates
    own = desk.experiment.surface.key.startswith(OWN)

    def chosen(old: Experiment, how: str) -> Experiment:
        return old.with_rates(how, like=_index(desk)) if how in ("tuned", "same") else old

    help = (
        "“tuned” gives every racer the stored rate for this surface, “same” gives all of them the chosen racer's rate; "
        "moving a racer's own slider makes them “own”."
    )
    choice = Choice("rates", "Learning rates", {how: how for how in RATES}, now, chosen, help, look="pills")
    return [choice, Words(UNTUNED if own and now == "tuned" else RATES[now])]


def _about(desk: Desk, title: str, entries: Sequence[Entry], *more: str) -> None:
    """The rest of some cards, for who wants to know."""
    with folded(title, desk.key(title), popover=True, width="stretch") as opened:
        for entry in entries if opened else ():
            if len(entries) > 1:
                st.markdown(f"**{entry.title}**")
            st.latex(entry.formula)
            for text in (entry.note, *more):
                if text:
                    st.markdown(text)
            st.markdown(f"[{entry.source}]({entry.source.url})" if entry.source.url else str(entry.source))


def _pins(experiment: Experiment) -> list[Part]:
    """The ghosts, with a way to let them go."""
    pins = experiment.pins
    if not pins:
        return []
    elsewhere = sum(pin.surface.key != experiment.surface.key for pin in pins)
    text = f"{len(pins)} pinned run{'s' if len(pins) > 1 else ''}"
    text += f", {elsewhere} of them on another surface and not shown" if elsewhere else ""
    unpin = Action("unpin", "Unpin", lambda old, _: replace(old, pins=()), "Let all pinned runs go.")
    return [Box([Words(text), unpin])]


def _add(desk: Desk) -> Choice:
    full = len(desk.experiment.racers) >= RACERS_AT_MOST
    return Choice(
        "add",
        "Add an optimizer",
        {key: entry.title for key, entry in OPTIMIZERS.items()},
        None,
        lambda old, name: _choosing(
            desk,
            len(old.racers),
            replace(old, racers=(*old.racers, Racer.tuned(name, old.surface.key))),
        ),
        "",
        groups=[entry.family for entry in OPTIMIZERS.values()],
        placeholder=f"{RACERS_AT_MOST} are racing, the most there can be" if full else "Add an optimizer …",
        disabled=full,
    )


def _choosing(desk: Desk, index: int, experiment: Experiment) -> Experiment:
    """The experiment, with another racer's sliders in view."""
    st.session_state[desk.key("chosen")] = index
    return experiment


def _index(desk: Desk) -> int:
    """Which racer is chosen; a racer that was removed hands over to the last one."""
    return min(st.session_state.get(desk.key("chosen"), 0), len(desk.experiment.racers) - 1)


def _chosen(desk: Desk, index: int) -> Choice:
    """Which racer the sliders belong to."""
    racers = desk.experiment.racers
    return Choice(
        "racers",
        "Racers",
        dict(enumerate(labels(racers))),
        index,
        lambda old, chosen: _choosing(desk, chosen, old),
        "Choose a racer to see and move its sliders.",
        look="pills",
        colors=[style(racer.optimizer.key).color for racer in racers],
    )


def _racer_value(index: int, name: str) -> Callable[[Experiment, Any], Experiment]:
    def change(old: Experiment, value: Any) -> Experiment:
        return old.with_racer(index, old.racers[index].but(**{name: value}))

    return change


def _schedule(desk: Desk, index: int, racer: Racer) -> Box:
    """The schedule of one hyperparameter, lr unless the visitor chooses another."""
    names = schedulable(racer.entry)
    picks = dict(racer.schedules)
    prefix = f"{index}-{racer.optimizer.key}"
    target_key = desk.key(f"{prefix}-target")
    chosen, among = st.session_state.get(target_key, (None, None))  # by the visitor, unless the schedules changed since
    target = chosen if chosen in picks or among == racer.schedules else next(iter(picks), names[0])
    pick = picks.get(target, Pick("constant"))
    entry = SCHEDULES[pick.key]

    def aim(old: Experiment, name: str) -> Experiment:
        st.session_state[target_key] = (name, racer.schedules)
        return old

    def put(old: Experiment, new: Pick) -> Experiment:
        racer = old.racers[index]
        return old.with_racer(index, replace(racer, schedules={**dict(racer.schedules), target: new}))

    parts: list[Part] = [
        Choice(
            f"{prefix}-target",
            "Acts on",
            {name: racer.entry.param[name].label for name in names},
            target,
            aim,
            "Which hyperparameter follows the schedule. Several may, each its own.",
        ),
        Choice(
            f"{prefix}-{target}-by",
            "Schedule",
            {key: schedule.title for key, schedule in SCHEDULES.items()},
            pick.key,
            lambda old, key: put(old, Pick(key)),
            "How the value changes from step to step; the slider above sets the highest value it reaches.",
        ),
        Words(entry.summary),
    ]
    if pick != Pick("constant"):
        values = entry.complete(dict(pick.values))
        for param in entry.params:
            name = f"{prefix}-{target}-{pick.key}-{param.name}"

            def change(old: Experiment, value: float, name: str = param.name) -> Experiment:
                return put(old, pick.but(**{name: value}))

            parts.append(Field(name, param, values[param.name], change))
    used = ", ".join(SCHEDULES[pick.key].title for _, pick in racer.schedules)
    return Box(parts, f"{prefix}-schedule", f"Schedule: {used}" if used else "Schedule", unfolded=bool(used))


def stage_panel(desk: Desk, **options: bool) -> list[Run]:
    """The race itself, on the stage. Returns the runs. `options` go to `race`.

    A click on the surface moves the start, and the stage's own slider drags a hyperparameter of the chosen racer: it
    asks for the family of runs when the pointer comes near, and sends a value when it is let go.
    """
    runs = run(desk.experiment)
    key = desk.key("stage")

    def clicked(old: Experiment, _: object) -> Experiment:
        point = st.session_state[key].start
        return replace(old, start=(point["x"], point["y"]))

    def near() -> None:
        st.session_state[desk.key("drag")] = st.session_state[key].drag["name"]
        st.session_state[desk.key("wants-family")] = True

    def dropped(old: Experiment, _: object) -> Experiment:
        drop = st.session_state[key].drop
        return _racer_value(_index(desk), drop["name"])(old, drop["value"])

    live = [run for run in runs if not run.ghost]
    index = _index(desk)
    anatomy = dissection(desk.experiment, live, index) if desk.experiment.anatomy and live else None
    data = race(desk.experiment, runs, autoplay=True, drag=_drag(desk), anatomy=anatomy, **options)
    table = None if options.get("compact") else outcomes(runs)
    stage(data, key=key, table=table, start=desk.callback(clicked), drag=near, drop=desk.callback(dropped))
    return runs


def _drag(desk: Desk) -> dict[str, Any] | None:
    """What can be dragged on the stage: lr of the chosen racer, unless the visitor chose another hyperparameter."""
    wanted = st.session_state.pop(desk.key("wants-family"), False)  # sent once: the browser keeps it
    if not desk.experiment.racers:
        return None
    index = _index(desk)
    names = schedulable(desk.experiment.racers[index].entry)
    name = st.session_state.get(desk.key("drag"), names[0])
    return dragging(desk.experiment, index, name if name in names else names[0], with_family=wanted)


def outcomes(runs: Sequence[Run]) -> Table:
    """How each run ended, by the rules that `states` tells."""
    return Table(
        ["Racer", "State", "Final f", "Nearest minimum", "Distance to it", "Steps to lowest f"],
        [_row(run) for run in runs],
    )


def states(desk: Desk) -> None:
    """The rules by which a run's state is told."""
    with folded("What the states mean", desk.key("states")) as opened:
        if opened:
            meanings = "\n\n".join(f"**{state}**: {meaning}." for state, meaning in doctor.STATES.items())
            st.markdown(
                f"{meanings}\n\n**steps to lowest f**: the first step at which f is within the tolerance of its lowest "
                "listed minimum. A run that converges to a higher one never gets there."
            )


def memory_panel(desk: Desk, runs: Sequence[Run]) -> None:
    """What each rule remembers after its last step: momentum, moments, the pairs of L-BFGS."""
    with folded("What the racers remember at the end", desk.key("memory")) as opened:
        for one in (run for run in runs if opened and not run.ghost):
            st.markdown(f":{style(one.racer.optimizer.key).hue}[●] {one.label}")
            leaves = jax.tree_util.tree_leaves_with_path(one.trajectory.state.slots)
            lines = [f"{jax.tree_util.keystr(path, simple=True, separator='.')} = {leaf}" for path, leaf in leaves]
            st.code("\n".join(lines), language=None)


def _row(run: Run) -> Row:
    outcome = run.outcome
    nearest = outcome.nearest
    cells = [
        run.label,
        outcome.sentence,
        number(outcome.loss),
        f"({number(nearest.x)}, {number(nearest.y)}), f = {number(nearest.value)}" if nearest else "none",
        number(outcome.distance) if nearest else "–",
        "not reached" if outcome.arrived is None else str(outcome.arrived),
    ]
    return Row(style(run.racer.optimizer.key).color, cells, bad=1 if outcome.state == "diverged" else None)
