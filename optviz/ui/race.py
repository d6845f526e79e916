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
from optviz.spec import Entry, Param, number
from optviz.surfaces import REACH, SURFACES, own_key, own_parts
from optviz.ui.controls import control, folded
from optviz.ui.desk import Desk
from optviz.ui.stage import stage

OWN = "="  # stands in the list of surfaces for every formula of the visitor's own
FIRST_FORMULA = "x^2 + 10y^2 + 3 sin(3x)"


def surface_panel(desk: Desk) -> None:
    """Choose the surface, its parameters, the start and the length of the run."""
    experiment = desk.experiment
    own = experiment.surface.key.startswith(OWN)
    key = desk.key("surface")
    st.session_state[key] = OWN if own else experiment.surface.key
    st.selectbox(
        "Surface",
        [*SURFACES, OWN],
        format_func=lambda name: "Your own f(x, y)" if name == OWN else SURFACES[name].title,
        key=key,
        help="The landscape to descend. Each has its own lesson; the last one is what you type.",
        on_change=desk.callback(
            lambda old, name: old.on(Pick(own_key(FIRST_FORMULA) if name == OWN else name), given=desk.default.racers),
            key,
        ),
    )
    if own:
        _formula(desk)
    st.caption(experiment.entry.teaches)
    _about(desk, "About this surface", experiment.entry, experiment.entry.kinks)
    for param in experiment.entry.params:
        _field(
            desk,
            param,
            experiment.surface_values[param.name],
            f"{experiment.surface.key}-{param.name}",
            _surface_value(param),
        )
    columns = st.columns(2)
    for axis, column in enumerate(columns):
        with column:
            _start(desk, axis)
    _setting(desk, STEPS)


def _formula(desk: Desk) -> None:
    """What the visitor's own surface is, and how far it is shown. A text that is no formula stays, to be mended."""
    written, reach = own_parts(desk.experiment.surface.key)
    text_key, reach_key = desk.key("formula"), desk.key("reach")
    if st.session_state.get(desk.key("formula-of")) != desk.experiment.surface.key or text_key not in st.session_state:
        st.session_state[desk.key("formula-of")] = desk.experiment.surface.key
        st.session_state[text_key] = written
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


def _surface_value(param: Param) -> Callable[[Experiment, Any], Experiment]:
    return lambda old, value: replace(old, surface=old.surface.but(**{param.name: value}))


def _start(desk: Desk, axis: int) -> None:
    """One coordinate of the start, to type or to step; clicking the surface sets both."""
    left, right = desk.experiment.entry.window[2 * axis : 2 * axis + 2]
    key = desk.key(f"start-{'xy'[axis]}")
    if st.session_state.get(key) != desk.experiment.start[axis]:
        st.session_state[key] = desk.experiment.start[axis]

    def moved(old: Experiment, value: float) -> Experiment:
        start = list(old.start)
        start[axis] = value
        return replace(old, start=tuple(start))

    st.number_input(
        f"Start {'xy'[axis]}",
        step=(right - left) / 40,
        format="%.6g",
        key=key,
        help="Where every racer starts. Or click the surface.",
        on_change=desk.callback(moved, key),
    )


def _setting(desk: Desk, param: Param) -> None:
    _field(
        desk,
        param,
        getattr(desk.experiment, param.name),
        param.name,
        lambda old, value: replace(old, **{param.name: value}),
    )


def _field(desk: Desk, param: Param, value, name: str, change: Callable[[Experiment, Any], Experiment]) -> None:
    key = desk.key(name)
    exact = bool(st.session_state.get(desk.key("exact")))
    control(
        param,
        value,
        f"{key}-exact" if exact else key,
        desk.callback(change, f"{key}-exact" if exact else key),
        exact=exact,
    )


def conditions_panel(desk: Desk) -> None:
    """What all racers share besides the surface."""
    with folded("Noise, penalty, tolerance", desk.key("conditions")) as opened:
        for param in (NOISE, SEED, L2, TOLERANCE) if opened else ():
            _setting(desk, param)


def racers_panel(desk: Desk) -> None:
    """Choose a racer and set its sliders; add, duplicate, pin and remove racers."""
    experiment = desk.experiment
    _add(desk)
    if not experiment.racers:
        st.info("Nobody is racing yet. Add an optimizer above.", icon=":material/directions_run:")
        return
    index = _chosen(desk)
    racer = experiment.racers[index]
    if len(experiment.racers) > 1:
        _rates(desk)
    with st.container(horizontal=True, gap="small"):
        _button(desk, "Pin", lambda old: old.pinned(index), "Keep this run as a ghost while you move sliders.")
        _button(
            desk,
            "Duplicate",
            lambda old: replace(old, racers=(*old.racers, old.racers[index])),
            "Race this optimizer against itself with other settings.",
            disabled=len(experiment.racers) >= RACERS_AT_MOST,
            then=lambda: _choose(desk, len(experiment.racers)),
        )
        _button(desk, "Remove", lambda old: old.with_racer(index, None), "Take this racer out.")
    st.caption(racer.entry.summary)
    for param in racer.entry.params:
        _field(
            desk,
            param,
            racer.values[param.name],
            f"{index}-{racer.optimizer.key}-{param.name}",
            _racer_value(index, param.name),
        )
    _schedule(desk, index, racer)
    st.toggle(
        "Type exact numbers", key=desk.key("exact"), help="Type values instead of sliding, also beyond the sliders."
    )
    _about(desk, "Formula and source", racer.entry)


RATES = {  # what a comparison at such rates means
    "own": "Each racer runs at a rate of its own, set by hand: what you see may be the rates, not the rules.",
    "tuned": "Each racer runs at the rate that brought it down quickest on this surface, on average over 500 steps "
    "from its first start and with its parameters as they come, among ten rates per decade.",
    "same": "All racers run at one rate. That compares what the rules do with it, not the rules at their best: it may "
    "be far too large for one and far too small for another.",
}


UNTUNED = "No rates are stored for a formula of your own: these are the ones that suit the valley."


def _rates(desk: Desk) -> None:
    """Which rates are compared, and a note on what the comparison means."""
    key, now = desk.key("rates"), desk.experiment.rates
    if st.session_state.get(key) != now:
        st.session_state[key] = now

    def chosen(old: Experiment, how: str | None) -> Experiment:
        return old.with_rates(how, like=_index(desk)) if how in ("tuned", "same") else old

    st.segmented_control(
        "Learning rates",
        list(RATES),
        key=key,
        help="“tuned” gives every racer the stored rate for this surface, “same” gives all of them the chosen racer's "
        "rate; moving a racer's own slider makes them “own”.",
        on_change=desk.callback(chosen, key),
    )
    own = desk.experiment.surface.key.startswith(OWN)
    st.caption(UNTUNED if own and now == "tuned" else RATES[now])


def _about(desk: Desk, title: str, entry: Entry, *more: str) -> None:
    """The rest of a card, for who wants to know."""
    with folded(title, desk.key(title), popover=True, width="stretch") as opened:
        if not opened:
            return
        st.latex(entry.formula)
        for text in (entry.note, *more):
            if text:
                st.markdown(text)
        st.markdown(f"[{entry.source}]({entry.source.url})" if entry.source.url else str(entry.source))


def pins_panel(desk: Desk) -> None:
    """The ghosts, with a way to let them go."""
    pins = desk.experiment.pins
    if not pins:
        return
    elsewhere = sum(pin.surface.key != desk.experiment.surface.key for pin in pins)
    text = f"{len(pins)} pinned run{'s' if len(pins) > 1 else ''}"
    text += f", {elsewhere} of them on another surface and not shown" if elsewhere else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(text)
        _button(desk, "Unpin", lambda old: replace(old, pins=()), "Let all pinned runs go.")


def _add(desk: Desk) -> None:
    key = desk.key("add")
    full = len(desk.experiment.racers) >= RACERS_AT_MOST

    def added(old: Experiment, name: str | None) -> Experiment:
        st.session_state[key] = None
        if name is None:
            return old
        _choose(desk, len(old.racers))
        return replace(old, racers=(*old.racers, Racer.tuned(name, old.surface.key)))

    st.selectbox(
        "Add an optimizer",
        list(OPTIMIZERS),
        index=None,
        format_func=lambda name: f"{OPTIMIZERS[name].title} · {OPTIMIZERS[name].family}",
        placeholder=f"{RACERS_AT_MOST} are racing, the most there can be" if full else "Add an optimizer …",
        key=key,
        disabled=full,
        label_visibility="collapsed",
        on_change=desk.callback(added, key),
    )


def _choose(desk: Desk, index: int) -> None:
    st.session_state[desk.key("chosen")] = index


def _index(desk: Desk) -> int:
    """Which racer is chosen; a racer that was removed hands over to the last one."""
    return min(st.session_state.get(desk.key("chosen"), 0), len(desk.experiment.racers) - 1)


def _chosen(desk: Desk) -> int:
    """Which racer the sliders belong to."""
    racers = desk.experiment.racers
    index = _index(desk)
    names, key = labels(racers), desk.key("racers")
    if st.session_state.get(key) != index:
        st.session_state[key] = index

    def chosen() -> None:
        if st.session_state[key] is not None:  # pressing the chosen one again would choose nobody
            _choose(desk, st.session_state[key])

    st.pills(
        "Racers",
        range(len(racers)),
        format_func=lambda i: f":{style(racers[i].optimizer.key).hue}[●] {names[i]}",
        key=key,
        wrap=True,
        on_change=chosen,
        help="Choose a racer to see and move its sliders.",
    )
    return index


def _racer_value(index: int, name: str) -> Callable[[Experiment, Any], Experiment]:
    def change(old: Experiment, value: Any) -> Experiment:
        return old.with_racer(index, old.racers[index].but(**{name: value}))

    return change


def _schedule(desk: Desk, index: int, racer: Racer) -> None:
    """The schedule of one hyperparameter, lr unless the visitor chooses another."""
    names = schedulable(racer.entry)
    used = ", ".join(SCHEDULES[pick.key].title for _, pick in racer.schedules)
    label = f"Schedule: {used}" if used else "Schedule"
    with folded(label, desk.key("schedule"), expanded=bool(racer.schedules)) as opened:
        if not opened:
            return
        target_key = desk.key(f"{index}-{racer.optimizer.key}-target")
        taken = [name for name, _ in racer.schedules]
        target = st.selectbox(
            "Acts on",
            names,
            index=names.index(taken[0]) if taken else 0,
            format_func=lambda name: racer.entry.param[name].label,
            key=target_key,
            help="Which hyperparameter follows the schedule. Several may, each its own.",
        )
        picks = dict(racer.schedules)
        pick = picks.get(target, Pick("constant"))
        key = desk.key(f"{index}-{racer.optimizer.key}-{target}-by")
        if st.session_state.get(key) != pick.key:
            st.session_state[key] = pick.key

        def put(old: Experiment, new: Pick) -> Experiment:
            racer = old.racers[index]
            return old.with_racer(index, replace(racer, schedules={**dict(racer.schedules), target: new}))

        st.selectbox(
            "Schedule",
            list(SCHEDULES),
            format_func=lambda name: SCHEDULES[name].title,
            key=key,
            help="How the value changes from step to step; the slider above sets the highest value it reaches.",
            on_change=desk.callback(lambda old, name: put(old, Pick(name)), key),
        )
        entry = SCHEDULES[pick.key]
        st.caption(entry.summary)
        if pick == Pick("constant"):
            return
        st.latex(entry.formula)
        values = entry.complete(dict(pick.values))
        for param in entry.params:
            name = f"{index}-{racer.optimizer.key}-{target}-{pick.key}-{param.name}"
            _field(
                desk, param, values[param.name], name, lambda old, value, p=param: put(old, pick.but(**{p.name: value}))
            )


def _button(
    desk: Desk,
    label: str,
    change: Callable[[Experiment], Experiment],
    help: str,
    *,
    disabled: bool = False,
    then: Callable[[], None] = lambda: None,
) -> None:
    used = desk.callback(lambda old, _: change(old))

    def pressed() -> None:
        used()
        then()

    key = desk.key(f"button-{label}")
    st.button(label, key=key, help=help, disabled=disabled, on_click=pressed)


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
    stage(data, key=key, start=desk.callback(clicked), drag=near, drop=desk.callback(dropped))
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


def table(desk: Desk, runs: Sequence[Run]) -> None:
    """How each run ended, by the rules that are stated beneath."""
    rows = [_row(run) for run in runs]
    if rows:  # as Markdown: a data frame would cost more time than the race
        lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
        st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
    with folded("What the states mean", desk.key("states")) as opened:
        if opened:
            states = "\n\n".join(f"**{state}**: {meaning}." for state, meaning in doctor.STATES.items())
            st.markdown(
                f"{states}\n\n**steps to lowest f**: the first step at which f is within "
                f"{number(desk.experiment.tolerance)} of its lowest listed minimum. A run that converges to a higher "
                "one never gets there."
            )


def memory_panel(desk: Desk, runs: Sequence[Run]) -> None:
    """What each rule remembers after its last step: momentum, moments, the pairs of L-BFGS."""
    with folded("What the racers remember at the end", desk.key("memory")) as opened:
        for one in (run for run in runs if opened and not run.ghost):
            st.markdown(f":{style(one.racer.optimizer.key).hue}[●] {one.label}")
            leaves = jax.tree_util.tree_leaves_with_path(one.trajectory.state.slots)
            lines = [f"{jax.tree_util.keystr(path, simple=True, separator='.')} = {leaf}" for path, leaf in leaves]
            st.code("\n".join(lines), language=None)


def _row(run: Run) -> dict[str, str]:
    outcome = run.outcome
    nearest = outcome.nearest
    return {
        "Racer": f":{style(run.racer.optimizer.key).hue}[●] {run.label}",
        "State": f":red[**{outcome.sentence}**]" if outcome.state == "diverged" else outcome.sentence,
        "Final f": number(outcome.loss),
        "Nearest minimum": f"({number(nearest.x)}, {number(nearest.y)}), f = {number(nearest.value)}"
        if nearest
        else "none",
        "Distance to it": number(outcome.distance) if nearest else "–",
        "Steps to lowest f": "not reached" if outcome.arrived is None else str(outcome.arrived),
    }
