"""The panels of the schedules page: which schedules are compared, what all runs share, and the runs themselves.

The page shows an Experiment or a Training; `optviz.scheduled` lets most panels forget which. What all runs share is set
once for all of them. A link or a claim may bring runs that differ in more than their schedules; then a control changes
the chosen run only, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from optviz.descent import State, schedulable
from optviz.either_link import NETWORK, SURFACE, Either, kind
from optviz.experiment import Experiment, Pick, Racer, Run, run
from optviz.figures.race import race
from optviz.figures.schedules import look, moving, race_courses, training_courses, with_strips
from optviz.figures.training import earliest_stop, training_record
from optviz.networks import ACTIVATIONS
from optviz.optimizers import OPTIMIZERS
from optviz.rate_claims import NETWORK_RATE_CLAIMS, RATE_CLAIMS
from optviz.scheduled import (
    LR,
    RUNS_AT_MOST,
    Runs,
    alike,
    carried,
    cycling_momentum,
    exchanged,
    for_all,
    momentum_of,
    racers_of,
    scheduled,
    titles,
    with_numbers,
    with_optimizer,
    with_racers,
    without,
)
from optviz.schedules import SCHEDULES, Schedule
from optviz.spec import number
from optviz.training import DROPOUT, LOOKS, MAKE, TREAT, Configuration, Net, Training
from optviz.training_link import read_hidden
from optviz.tuning import tuned_lr, tuned_lr_network
from optviz.ui.controls import folded, show
from optviz.ui.desk import Desk
from optviz.ui.jobs import Glance, Job, busy, job_of_visitor
from optviz.ui.panel import Action, Box, Choice, Field, Part, Words, panel
from optviz.ui.race import conditions, surface_choice, surface_controls
from optviz.ui.stage import stage
from optviz.ui.training import TICK, asked, data_panel, news_of, status

COMPARED = (
    {LR: Pick("step_decay")},
    {LR: Pick("cosine")},
    {LR: Pick("one_cycle"), "momentum": Pick("one_cycle_momentum")},
    {},
)
# What the page opens with: gradients with noise, which a constant rate never gets rid of.
NOISY_VALLEY = Experiment(
    Pick("valley"),
    tuple(Racer(Pick("sgd", {"lr": 0.01, "momentum": 0.9}), one) for one in COMPARED),
    steps=400,
    noise=1.0,
    curves=("loss",),
)
SMALL_NETWORK = Training(
    Pick("moons", {"noise": 0.2}),
    tuple(
        Configuration(Net(hidden=(16, 16)), Racer(Pick("sgd", {"lr": 0.3, "momentum": 0.9}), one)) for one in COMPARED
    ),
    batch_size=16,
    epochs=40,
    curves=("loss", "accuracy"),
)
CODEC = Either(NOISY_VALLEY, SMALL_NETWORK)
PRESETS: dict[str, Runs] = {
    **{key: claim.experiment for key, claim in RATE_CLAIMS.items()},
    **{key: claim.training for key, claim in NETWORK_RATE_CLAIMS.items()},
}

WIDE = 80  # characters of a formula that gets a line of its own

Change = Callable[[Runs, Any], Runs]


# Controls ------------------------------------------------------------------------------------------------------------


def controls(desk: Desk[Runs]) -> None:
    """Everything that can be set, from what the page is about to what is seldom changed."""
    _where(desk)
    panel(desk, "schedules", lambda: [*_schedules(desk), *_optimizer(desk)])
    if isinstance(desk.experiment, Training):
        data_panel(desk)  # type: ignore[arg-type]  (it is a Training that lies on the desk)
        _hidden(desk)
    else:
        surface_choice(desk, move=_to_surface)
    panel(desk, "shared", lambda: _problem(desk))


def _where(desk: Desk[Runs]) -> None:
    """The switch between a surface and a network. The schedules go along, and what was set on the other side waits."""
    now, key = kind(desk.experiment), desk.key("on")
    show(key, now)

    def turn(old: Runs, on: str | None) -> Runs:
        if on is None or on == kind(old):
            return old
        waiting = st.session_state.get(desk.key(f"left-{on}"))
        st.session_state[desk.key(f"left-{kind(old)}")] = old
        return carried(old, waiting or CODEC.home(on))

    st.segmented_control(
        "What the schedules are tried on",
        [SURFACE, NETWORK],
        format_func=lambda on: {SURFACE: "On a surface", NETWORK: "On a network"}[on],
        key=key,
        help="The same schedules, on a surface with two parameters or on a small network that learns from data.",
        on_change=desk.callback(turn, key),
    )


def _to_surface(old: Experiment, surface: Pick) -> Experiment:
    """The same schedules on another surface, with the rates that are stored for it."""
    racers = tuple(racer.but(lr=tuned_lr(surface.key, racer.optimizer.key)) for racer in old.racers)
    return replace(old, surface=surface, racers=racers, start=None)


def chosen(desk: Desk[Runs]) -> int:
    """Which run the card belongs to; one that was removed hands over to the last one."""
    return max(0, min(st.session_state.get(desk.key("chosen"), 0), len(racers_of(desk.experiment)) - 1))


def _choosing(desk: Desk[Runs], index: int, runs: Runs) -> Runs:
    st.session_state[desk.key("chosen")] = index
    return runs


def _schedules(desk: Desk[Runs]) -> list[Part]:
    """Choose a schedule and set its sliders; add and remove schedules."""
    runs = desk.experiment
    racers = racers_of(runs)
    if not racers:
        return [_add(desk), Words("Nothing is compared yet. Add a schedule above.")]
    index = chosen(desk)
    remove = Action(
        "remove",
        "Remove",
        lambda old, _: without(old, index),
        "Take this schedule out." if len(racers) > 1 else "One schedule stays.",
        disabled=len(racers) == 1,
    )
    duplicate = Action(
        "duplicate",
        "Duplicate",
        lambda old, _: _choosing(desk, len(racers), with_racers(old, (*racers_of(old), racers_of(old)[index]))),
        "Compare this schedule with itself under other settings.",
        disabled=len(racers) >= RUNS_AT_MOST,
    )
    pills = Choice(
        "runs",
        "Schedules",
        dict(enumerate(titles(runs))),
        index,
        lambda old, at: _choosing(desk, at, old),
        "Choose a schedule to see and move its sliders.",
        look="pills",
        colors=[look(i).color for i in range(len(racers))],
    )
    return [pills, _add(desk), Box([duplicate, remove]), *_card(desk, index, racers[index])]


def _add(desk: Desk[Runs]) -> Choice:
    racers = racers_of(desk.experiment)
    full = len(racers) >= RUNS_AT_MOST

    def add(old: Runs, key: str) -> Runs:
        now = racers_of(old)
        like = now[chosen(desk)] if now else Racer(Pick("sgd", {"lr": tuned_lr(old.surface.key, "sgd")}))  # type: ignore[union-attr]  (a Training has racers)
        added = Racer(like.optimizer, {} if key == "constant" else {LR: Pick(key)})
        return _choosing(desk, len(now), with_racers(old, (*now, added)))

    return Choice(
        "add",
        "Add a schedule",
        {key: entry.title for key, entry in SCHEDULES.items() if key != "one_cycle_momentum"},
        None,
        add,
        "",
        placeholder=f"{len(racers)} are compared, the most there can be" if full else "Add a schedule …",
        disabled=full,
    )


def _card(desk: Desk[Runs], index: int, racer: Racer) -> list[Part]:
    """The chosen run's schedule of the learning rate, and one of another hyperparameter."""
    momentum = momentum_of(racer)
    picks = dict(racer.schedules)
    parts = _schedule(index, LR, picks.get(LR, Pick("constant")))
    if momentum and picks.get(LR, Pick("constant")).key == "one_cycle" and momentum not in picks:
        still = float(racer.values[momentum]) == 0
        words = "The momentum is 0, so there is nothing to cycle: raise it below." if still else ""
        cycle = Action(
            "cycle-momentum",
            f"Let the momentum {racer.entry.param[momentum].symbol} cycle too",
            lambda old, _: exchanged(old, index, cycling_momentum(racers_of(old)[index])),
            "It falls while the learning rate rises and comes back while it falls, as the paper has it.",
            disabled=still,
        )
        parts += [cycle, *([Words(words)] if words else [])]
    others = [name for name in schedulable(racer.entry) if name != LR]
    return parts + ([_second(desk, index, racer, others)] if others else [])


def _second(desk: Desk[Runs], index: int, racer: Racer, names: Sequence[str]) -> Box:
    """A schedule for a second hyperparameter."""
    picks = {name: pick for name, pick in racer.schedules if name != LR}
    key = desk.key(f"{index}-target")
    wanted = st.session_state.get(key)
    likely = next(iter(picks), momentum_of(racer) or names[0])
    target = wanted if wanted is not None and wanted in names and (wanted in picks or not picks) else likely

    def aim(old: Runs, name: str) -> Runs:
        st.session_state[key] = name
        return old

    choice = Choice(
        f"{index}-target",
        "Acts on",
        {name: racer.entry.param[name].label for name in names},
        target,
        aim,
        "Which hyperparameter besides the learning rate follows a schedule of its own.",
    )
    parts = [choice, *_schedule(index, target, picks.get(target, Pick("constant")))]
    used = ", ".join(
        f"{racer.entry.param[name].symbol or name} {SCHEDULES[pick.key].title}" for name, pick in picks.items()
    )
    return Box(parts, f"{index}-second", f"Second schedule: {used}" if used else "A second schedule", bool(used))


def _schedule(index: int, target: str, pick: Pick) -> list[Part]:
    """Which schedule a hyperparameter follows, in a sentence, and its sliders."""
    entry = SCHEDULES[pick.key]

    def put(change: Callable[[Pick, Any], Pick]) -> Change:
        def changed(old: Runs, value: Any) -> Runs:
            racer = racers_of(old)[index]
            now = dict(racer.schedules).get(target, Pick("constant"))
            return exchanged(old, index, scheduled(racer, target, change(now, value)))

        return changed

    def options() -> dict[str | int, str]:
        return {key: one.title for key, one in SCHEDULES.items() if target != LR or key != "one_cycle_momentum"}

    parts: list[Part] = [
        Choice(
            f"{index}-{target}-by",
            "Schedule",
            options(),
            pick.key,
            put(lambda _, key: Pick(key)),
            "How the value changes from step to step. Its highest value is the slider of the optimizer, further below.",
        ),
        Words(entry.summary),
    ]
    values = entry.complete(dict(pick.values))
    if entry.key == "constant" and pick == Pick("constant"):
        return parts
    for param in entry.params:
        name = f"{index}-{target}-{pick.key}-{param.name}"
        change = put(lambda now, value, name=param.name: now.but(**{name: value}))
        parts.append(Field(name, param, values[param.name], change, live=True))
    return parts


def _problem(desk: Desk[Runs]) -> list[Part]:
    """What all runs descend on, besides the choice of surface or data."""
    runs = desk.experiment
    return [_network(runs)] if isinstance(runs, Training) else [*surface_controls(runs), conditions(desk)]


def _optimizer(desk: Desk[Runs]) -> list[Part]:
    """The rule of all runs and its hyperparameters, the peak of the learning rate first."""
    runs = desk.experiment
    racers = racers_of(runs)
    if not racers:
        return []
    index, together = chosen(desk), alike(runs)
    racer = racers[index]
    network = isinstance(runs, Training)

    def change(old: Runs, one: Callable[[Racer], Racer]) -> Runs:
        return for_all(old, one) if together else exchanged(old, index, one(racers_of(old)[index]))

    def choose(old: Runs, key: str) -> Runs:
        rate = tuned_lr_network(key) if isinstance(old, Training) else tuned_lr(old.surface.key, key)
        return change(old, lambda one: with_optimizer(one, Pick(key, {LR: rate})))

    def value(name: str) -> Change:
        return lambda old, new: change(old, lambda one: one.but(**{name: new}))

    rules = {key: one for key, one in OPTIMIZERS.items() if not network or one.family != "Second order"}
    parts: list[Part] = [
        Choice(
            "optimizer",
            "Optimizer of all runs" if together else "Optimizer of the chosen run",
            {key: one.title for key, one in rules.items()},
            racer.optimizer.key,
            choose,
            "The rule that the schedules act on. Another one starts with the learning rate that is stored for it here.",
            groups=[one.family for one in rules.values()],
        )
    ]
    if not together:
        same = Action(
            "same",
            "Give it to all runs",
            lambda old, _: for_all(old, lambda one: with_optimizer(one, racers_of(old)[index].optimizer)),
            "Then only the schedules differ.",
        )
        parts += [Words("These runs differ in more than their schedules."), same]
    return parts + [
        Field(
            f"{racer.optimizer.key}-{param.name}",
            param,
            racer.values[param.name],
            value(param.name),
            "Peak learning rate η" if param.name == LR else "",
            live=True,
        )
        for param in racer.entry.params
    ]


def _network(runs: Training) -> Box:
    """What all networks share besides their layers."""
    net = runs.configurations[0].net

    def of_all(name: str) -> Change:
        def change(old: Runs, value: Any) -> Runs:
            assert isinstance(old, Training)
            return _nets(old, **{name: value})

        return change

    fields = [
        Field(name, param, getattr(net, name), of_all(name))
        for name, param in (("l2", TREAT["l2"]), ("clip", TREAT["clip"]), ("dropout", DROPOUT))
        if not isinstance(getattr(net, name), tuple)
    ]
    activation = Choice(
        "activation",
        MAKE["activation"].label,
        {key: one.title for key, one in ACTIVATIONS.items()},
        net.activation,
        of_all("activation"),
        MAKE["activation"].help,
    )
    return Box([activation, *fields], "network", "Network: activation, penalty, dropout")


def _nets(old: Training, **changes: Any) -> Training:
    every = tuple(replace(one, net=replace(one.net, **changes)) for one in old.configurations)
    return replace(old, configurations=every)


def _hidden(desk: Desk[Runs]) -> None:
    """The hidden layers of all networks."""
    assert isinstance(desk.experiment, Training)
    key = desk.key("hidden")
    written = ", ".join(map(str, desk.experiment.configurations[0].net.hidden))
    show(key, written)
    st.text_input(
        "Hidden layers",
        key=key,
        max_chars=40,
        placeholder="none: a linear model",
        help="Units of each hidden layer from the inputs on, such as 16, 16: up to six layers of up to 256.",
        on_change=desk.callback(lambda old, text: _nets(old, hidden=read_hidden(text)), key),  # type: ignore[arg-type]  (the same)
    )


# On a surface --------------------------------------------------------------------------------------------------------


def surface_stage(desk: Desk[Runs]) -> None:
    """The schedules' courses, and the runs below them; a click on the surface moves the start of all."""
    experiment = desk.experiment
    assert isinstance(experiment, Experiment)
    runs = run(experiment)
    live = [one for one in runs if not one.ghost]
    record = race(experiment, runs, autoplay=True)
    if live:
        courses = race_courses(live, experiment.steps, moving(experiment))
        record = with_strips(record, experiment, courses, chosen(desk))
    key = desk.key("stage")

    def clicked(old: Runs, _: object) -> Runs:
        point = st.session_state[key].start
        return replace(old, start=(point["x"], point["y"]))

    stage(record, key=key, start=desk.callback(clicked), point=desk.callback(_dragged(desk, key)))
    _surface_table(live, titles(experiment))
    memories(desk, [one.trajectory.state for one in live])


def _surface_table(runs: Sequence[Run], names: Sequence[str]) -> None:
    rows = []
    for i, (name, one) in enumerate(zip(names, runs, strict=True)):
        outcome = one.outcome
        last = one.trajectory.loss[-max(1, len(one.trajectory.loss) // 10) :]
        with np.errstate(all="ignore"):
            late = float(np.mean(last)) - (outcome.lowest or 0.0)
        state = f":red[**{outcome.sentence}**]" if outcome.state == "diverged" else outcome.sentence
        arrived = "not reached" if outcome.arrived is None else str(outcome.arrived)
        rows.append([f":{look(i).hue}[●] {name}", state, number(outcome.loss), number(late), arrived])
    above = "Mean f over the last tenth" + (", above the minimum" if any(one.outcome.lowest for one in runs) else "")
    _table(["Schedule", "State", "Final f", above, "Steps to lowest f"], rows)


# On a network --------------------------------------------------------------------------------------------------------


def job_of(desk: Desk[Runs]) -> Job:
    """The visitor's run, brought up to what lies on the desk. The question is what a schedule does to the whole run,
    so whatever changes the run starts it anew, from the same weights, and it trains at once."""
    training = desk.experiment
    assert isinstance(training, Training)
    job = job_of_visitor(desk.page, training)
    before = job.glance().training
    job.change(training)
    if _plain(before) != _plain(training):
        job.reset()
    started, now = desk.key("started"), job.glance().run
    if st.session_state.get(started) != now:
        st.session_state[started] = now
        job.measure()
        job.start()
    return job


def _plain(training: Training) -> Training:
    """The training without what is merely shown."""
    return replace(training, **{name: param.default for name, param in LOOKS.items()}, curves=())


def run_buttons(desk: Desk[Runs], job: Job) -> None:
    """A run begins by itself; a long one may be paused."""
    buttons = {
        "Pause": (":material/pause:", job.pause, "Stop where it is."),
        "Go on": (":material/play_arrow:", job.start, "Go on from where it was paused."),
        "Once more": (":material/restart_alt:", job.reset, "From the same weights, with the same order of the data."),
    }
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for label, (icon, action, help) in buttons.items():
            st.button(label, icon=icon, key=desk.key(label), help=help, on_click=action)


def network_stage(desk: Desk[Runs], job: Job) -> Glance:
    """The schedules' courses, and the networks as they learn. While they do, the stage asks for more. Returns what it
    drew."""
    glance = news_of(desk, job)
    status(desk, glance, titles(glance.training))  # type: ignore[arg-type]  (it is a Training that lies on the desk)
    if glance.progress is None:
        return glance
    training, index = glance.training, chosen(desk)
    record = training_record(
        training,
        glance.progress,
        run=glance.run,
        chosen=index,
        live=TICK * max(1, busy()) if glance.running else None,
        memo=glance.memo,
    )
    courses = training_courses(training, glance.progress, moving(training))
    key = desk.key("stage")
    stage(
        with_strips(record, training, courses, min(index, len(training.configurations) - 1)),
        key=key,
        point=desk.callback(_dragged(desk, key)),
        tick=asked(desk),
    )
    _network_table(training, glance)
    memories(desk, glance.progress.states)
    return glance


def _network_table(training: Training, glance: Glance) -> None:
    assert glance.progress is not None
    classes, rows = training.task == "classification", []
    for i, (name, history) in enumerate(zip(titles(training), glance.progress.histories, strict=True)):
        row = [f":{look(i).hue}[●] {name}"]
        row += [_median(getattr(history, f"{part}_loss")) for part in ("train", "validation")]
        if classes:
            row += [_median(getattr(history, f"{part}_accuracy"), share=True) for part in ("validation", "test")]
        lowest = earliest_stop(history)
        rows.append([*row, f"step {lowest[0]}, {number(lowest[1])}" if lowest else "–"])
    head = ["Schedule", "Loss, training", "Loss, validation"]
    head += ["Accuracy, validation", "Accuracy, test"] if classes else []
    _table([*head, "Lowest validation loss"], rows)


def _median(values: np.ndarray, share: bool = False) -> str:
    middle = float(np.median(values[:, -1]))
    return f"{middle:.1%}" if share and np.isfinite(middle) else "–" if np.isnan(middle) else number(middle)


# Both ----------------------------------------------------------------------------------------------------------------


def _dragged(desk: Desk[Runs], key: str) -> Change:
    """A point of the visitor's own schedule was moved in the picture."""

    def change(old: Runs, _: object) -> Runs:
        match st.session_state[key].point:
            case {"target": str(target), "name": str(name), "x": int() | float() as x, "y": int() | float() as y}:
                pass
            case _:
                return old
        racers, index = racers_of(old), chosen(desk)
        pick = dict(racers[index].schedules).get(target) if racers else None
        params = SCHEDULES["piecewise_linear"].param
        if pick is None or pick.key != "piecewise_linear" or f"y{name}" not in params:
            return old  # the schedule was exchanged in the meantime
        moved = {f"y{name}": y} | ({f"x{name}": x} if f"x{name}" in params else {})
        return exchanged(old, index, scheduled(racers[index], target, pick.but(**moved)))

    return change


def memories(desk: Desk[Runs], states: Sequence[State]) -> None:
    """What schedules that watch the loss remember after the last step taken, in words."""
    runs = desk.experiment
    for i, (name, racer, state) in enumerate(zip(titles(runs), racers_of(runs), states, strict=True)):
        for target, pick in racer.schedules:
            kept = {slot: float(np.ravel(value)[0]) for slot, value in state.memory.get(target, {}).items()}
            if kept and pick.key in MEMORIES:
                words = MEMORIES[pick.key].format(**{slot: number(value) for slot, value in kept.items()})
                st.markdown(f":{look(i).hue}[●] **{name}** after step {state.t}: {words}")


MEMORIES = {
    "plateau": "the lowest loss it has seen is {best}; {waited} looks in a row brought nothing better; {cooling} looks "
    "of its cool-down are left; its cuts leave {share} of the peak.",
    "bold_driver": "the loss it saw last is {last}; its steps so far leave {share} of the peak.",
}


def formulas(desk: Desk[Runs]) -> None:
    """The card of the chosen run's schedules, with its numbers in the formulas; those of the others on demand."""
    runs = desk.experiment
    racers = racers_of(runs)
    if not racers:
        return
    index, names = chosen(desk), titles(runs)
    with st.container(border=True, gap="small"):
        st.markdown(f":{look(index).hue}[●] **{names[index]}**")
        _formula_card(racers[index], runs.steps)
    if len(racers) == 1:
        return
    with folded("The formulas of the other schedules", desk.key("others")) as opened:
        for i, racer in enumerate(racers if opened else ()):
            if i != index:
                st.markdown(f":{look(i).hue}[●] **{names[i]}**")
                _formula_card(racer, runs.steps)


def _formula_card(racer: Racer, steps: int) -> None:
    picks = {LR: Pick("constant"), **dict(racer.schedules)}
    for name, pick in picks.items():
        entry = SCHEDULES[pick.key]
        if len(picks) > 1:
            st.markdown(f"{racer.entry.param[name].label}: {entry.title}")
        boxes = st.columns(2) if len(entry.formula) < WIDE else (st.container(), st.container())
        boxes[0].latex(entry.formula)
        boxes[1].latex(with_numbers(racer, name, steps))
        st.caption(_numbers(racer, name, entry, pick, steps))


def _numbers(racer: Racer, name: str, entry: Schedule, pick: Pick, steps: int) -> str:
    """Each letter with its value, then the card's note and source."""
    values = entry.complete(dict(pick.values))
    peak = racer.entry.param[name]
    letters = [f"{peak.symbol} = {number(float(racer.values[name]))} (peak)", f"run of {steps} steps"]
    for param in entry.params:
        if param.name.startswith("warmup") and not values["warmup"]:
            continue
        value = values[param.name]
        written = number(float(value)) if param.kind in ("real", "whole") else param.write(value)
        words = param.title or param.name.replace("_", " ")
        letters.append(f"{param.symbol} = {written} ({words})" if param.symbol else f"{words}: {written}")
    sentences = [", ".join(letters) + "."]
    if values["warmup"]:
        sentences.append("t and T count from the end of the warm-up.")
    source = f"[{entry.source}]({entry.source.url})" if entry.source.url else str(entry.source)
    return " ".join([*sentences, entry.note, source]).strip()


def _table(head: list[str], rows: list[list[str]]) -> None:
    lines = [head, ["---"] * len(head), *rows]
    st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
