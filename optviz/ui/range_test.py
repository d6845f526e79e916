"""The panels of the range test: what it is made on, the curve, the rules that read it, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from optviz.datasets import DATASETS
from optviz.either_link import NETWORK, SURFACE, Either
from optviz.experiment import NOISE, SEED, Experiment, Pick, Racer
from optviz.figures.range_test import range_record
from optviz.networks import ACTIVATIONS
from optviz.optimizers import OPTIMIZERS
from optviz.range_test import (
    BASE,
    DIGITS,
    HIGH,
    LOW,
    RANGE_CLAIMS,
    SMITH,
    SMOOTHING,
    SPACING,
    SUGGESTIONS,
    TEST_SEEDS,
    TEST_STEPS,
    TOP,
    Curves,
    RangeClaim,
    RangeTest,
    disagreement,
    handed_over,
    joined,
    marks,
    pieces,
    suggestions,
    with_racer,
)
from optviz.range_test_link import RangeTests, on
from optviz.spec import Param, number
from optviz.surfaces import SURFACES
from optviz.training import BATCH_SIZE, MAKE, Net, Training
from optviz.training_link import read_hidden
from optviz.ui import schedules
from optviz.ui.chart import chart
from optviz.ui.controls import control, folded, show
from optviz.ui.desk import Desk
from optviz.ui.lesson import claim_panel, measured_or_stopped
from optviz.ui.tiles import in_tiles
from optviz.verdict import Measured

assert isinstance(DIGITS.subject, Training)
NOISY_VALLEY = Experiment(Pick("valley"), (Racer(Pick("sgd")),), noise=1.0)
CODEC = RangeTests(Either(NOISY_VALLEY, DIGITS.subject))
TITLES = {SURFACE: "Surface", NETWORK: "Network"}

Change = Callable[[RangeTest, Any], RangeTest]


# Controls ------------------------------------------------------------------------------------------------------------


def subject_panel(desk: Desk[RangeTest]) -> None:
    """Choose a surface or a network, and what belongs to it."""
    test, key = desk.experiment, desk.key("on")
    show(key, on(test))
    st.segmented_control(
        "Made on",
        list(TITLES),
        format_func=lambda name: TITLES[name],
        key=key,
        help="A surface with two parameters, or a network that learns from data.",
        on_change=desk.callback(lambda old, name: _anew(old, CODEC.home(name or on(old))), key),
    )
    if isinstance(test.subject, Training):
        _network(desk, test.subject)
    else:
        _surface(desk, test.subject)
    _optimizer(desk, test)


def range_panel(desk: Desk[RangeTest]) -> None:
    """The range of rates, and how the test goes through it."""
    for param in (LOW, HIGH, TEST_STEPS, TEST_SEEDS):
        _setting(desk, param)
    with folded("Spacing, first seed", desk.key("more")) as opened:
        if opened:
            _setting(desk, SPACING)
            _of_subject(desk, SEED, desk.experiment.subject.seed)


def smoothing_panel(desk: Desk[RangeTest]) -> None:
    """Smoothing on or off, and how much."""
    test, key = desk.experiment, desk.key("smooth")
    show(key, test.smoothing > 0)
    st.toggle(
        "Smooth the loss",
        key=key,
        help="The rules and the bold line use the moving average, or without it the loss as it is.",
        on_change=desk.callback(lambda old, yes: replace(old, smoothing=SMOOTHING.default if yes else 0.0), key),
    )
    if test.smoothing:
        _field(desk, SMOOTHING, test.smoothing, SMOOTHING.name, lambda old, new: replace(old, smoothing=new))


def _surface(desk: Desk[RangeTest], experiment: Experiment) -> None:
    key = desk.key("surface")
    show(key, experiment.surface.key)
    names = [*SURFACES] if experiment.surface.key in [*SURFACES] else [*SURFACES, experiment.surface.key]
    st.selectbox(
        "Surface",
        names,
        format_func=lambda name: SURFACES[name].title,
        key=key,
        help="The landscape to descend, from its first start.",
        on_change=desk.callback(
            lambda old, name: _anew(old, replace(old.subject, surface=Pick(name), start=None)), key
        ),
    )
    for param in experiment.entry.params:
        _field(
            desk,
            param,
            experiment.surface_values[param.name],
            f"{experiment.surface.key}-{param.name}",
            lambda old, value, name=param.name: _anew(old, _on_surface(old.subject, name, value)),
        )
    _of_subject(desk, NOISE, experiment.noise)


def _on_surface(old: Any, name: str, value: Any) -> Experiment:
    return replace(old, surface=old.surface.but(**{name: value}))


def _network(desk: Desk[RangeTest], training: Training) -> None:
    key, net = desk.key("dataset"), training.configurations[0].net
    assert isinstance(training.dataset, Pick)  # a table of the visitor's own has no way to this page
    show(key, training.dataset.key)
    st.selectbox(
        "Data",
        list(DATASETS),
        format_func=lambda name: DATASETS[name].title,
        key=key,
        help="What is learnt from.",
        on_change=desk.callback(lambda old, name: _anew(old, _on_data(old.subject, name)), key),
    )
    hidden = desk.key("hidden")
    show(hidden, ", ".join(map(str, net.hidden)))
    st.text_input(
        "Hidden layers",
        key=hidden,
        max_chars=40,
        placeholder="none: a linear model",
        help="Units of each hidden layer from the inputs on, such as 64, 32: up to six layers of up to 256.",
        on_change=desk.callback(lambda old, text: _of_net(old, hidden=read_hidden(text)), hidden),
    )
    activation = desk.key("activation")
    show(activation, net.activation)
    st.selectbox(
        MAKE["activation"].label,
        MAKE["activation"].options,
        format_func=lambda word: ACTIVATIONS[word].title,
        key=activation,
        help=MAKE["activation"].help,
        on_change=desk.callback(lambda old, word: _of_net(old, activation=word), activation),
    )
    _of_subject(desk, BATCH_SIZE, training.batch_size)


def _on_data(old: Any, name: str) -> Training:
    """Other data, with a loss that its task allows."""
    loss = "cross_entropy" if DATASETS[name].task == "classification" else "squared_error"
    one = old.configurations[0]
    return replace(old, dataset=Pick(name), configurations=(replace(one, net=replace(one.net, loss=loss)),))


def _of_net(old: RangeTest, **changes: Any) -> RangeTest:
    subject: Any = old.subject
    one = subject.configurations[0]
    net: Net = replace(one.net, **changes)
    return _anew(old, replace(subject, configurations=(replace(one, net=net),)))


def _optimizer(desk: Desk[RangeTest], test: RangeTest) -> None:
    key, racer = desk.key("optimizer"), test.racer
    network = isinstance(test.subject, Training)
    names = [name for name, entry in OPTIMIZERS.items() if not network or entry.family != "Second order"]
    names += [] if racer.optimizer.key in names else [racer.optimizer.key]
    show(key, racer.optimizer.key)
    st.selectbox(
        "Optimizer",
        names,
        format_func=lambda name: f"{OPTIMIZERS[name].title} · {OPTIMIZERS[name].family}",
        key=key,
        help="The rule that is tested. The test sets its learning rate; everything else is yours.",
        on_change=desk.callback(lambda old, name: _anew(old, with_racer(old.subject, Racer(Pick(name)))), key),
    )
    for param in racer.entry.params:
        if param.name != "lr":
            _field(
                desk,
                param,
                racer.values[param.name],
                f"{racer.optimizer.key}-{param.name}",
                lambda old, value, name=param.name: _anew(old, with_racer(old.subject, old.racer.but(**{name: value}))),
            )


def _anew(old: RangeTest, subject: Experiment | Training) -> RangeTest:
    """The test of something else, whose marks the curve will put."""
    return replace(old, subject=subject, base=None, top=None)


def _setting(desk: Desk[RangeTest], param: Param) -> None:
    value = getattr(desk.experiment, param.name)
    change = {"base": None, "top": None}
    _field(desk, param, value, param.name, lambda old, new: replace(old, **{**change, param.name: new}))


def _of_subject(desk: Desk[RangeTest], param: Param, value: Any) -> None:
    _field(
        desk,
        param,
        value,
        f"{on(desk.experiment)}-{param.name}",
        lambda old, new: _anew(old, replace(old.subject, **{param.name: new})),
    )


def _field(desk: Desk[RangeTest], param: Param, value: Any, name: str, change: Change) -> None:
    key = desk.key(name)
    control(param, value, key, desk.callback(change, key))


# The curve -----------------------------------------------------------------------------------------------------------


def claim(desk: Desk[RangeTest], whole: bool) -> None:
    """The open claim, measured on the test as it stands, if the `whole` of it was run."""

    def measured(one: RangeClaim) -> Measured | None:
        test = desk.experiment
        if not whole:
            return Measured({}, None, "The verdict comes when the test has run.")
        return measured_or_stopped(desk, (one.key, test), lambda heard: one.measure(test, heard))[0]

    if desk.preset:
        claim_panel(desk, RANGE_CLAIMS, measured)


def curve_panel(desk: Desk[RangeTest]) -> tuple[Curves | None, bool]:
    """Run the test, and draw what it measured: None if it was stopped before it had taken a step. Also whether that is
    the whole test."""
    test = desk.experiment
    request = replace(test, base=None, top=None, smoothing=SMOOTHING.default)  # these change no number
    found = in_tiles(desk, "curve", request, lambda: pieces(test), test.test_steps, lambda piece: len(piece.lr))
    if not found:
        return None, False
    whole = sum(len(piece.lr) for piece in found) == test.test_steps
    measured = joined(test, found)
    suggested, ends = suggestions(measured), marks(test, measured)
    chart(range_record(test, measured, suggested, ends), key=desk.key("curve"), clicked=lambda: None)
    st.markdown(" ".join(_remarks(test, measured, whole)))
    return measured, whole


def _remarks(test: RangeTest, found: Curves, whole: bool) -> list[str]:
    """How the test ended, and what to keep in mind when reading it."""
    end = number(float(found.lr[-1]), 3)
    if found.stopped:
        said = [f"**Stopped at step {found.stopped.step + 1}, η = {end}:** {found.stopped.reason}."]
    elif not whole:
        said = [f"It was **stopped by hand** at step {len(found.lr)}, η = {end}, before it had diverged."]
    else:
        said = [f"It ran to its end, η = {end}, **without diverging**: a higher end would show where it does."]
    if test.smoothing:
        lag = test.smoothing / (1 - test.smoothing)
        words = f"The average, corrected for its start from zero, lags by about {number(lag, 2)} steps"
        if test.spacing == "exponential":
            factor = (test.high_rate / test.low_rate) ** (lag / (test.test_steps - 1))
            words += f": what it shows at η happened at η/{number(factor, 3)}"
        said.append(f"{words}.")
    if not isinstance(test.subject, Training) and not test.subject.noise:
        said.append("Without gradient noise all seeds are the same run; raise σ to see them part.")
    return said


def rules_table(found: Curves) -> None:
    """What each rule suggests here, how it reads the curve, and when it is fooled."""
    suggested = suggestions(found)
    apart = disagreement(suggested)
    if apart is not None:
        st.markdown(f"**Here the rules disagree by a factor of {number(apart, 3)}** (largest over smallest).")
    lines = ["| Rule | Here, η | What it takes | When it is fooled |", "| --- | --- | --- | --- |"]
    for key, entry in SUGGESTIONS.items():
        rate = suggested[key]
        here = number(rate, 3) if rate else "none: the loss never fell"
        lines.append(f"| **{entry.title}** | {here} | {entry.summary} {entry.note} | {entry.fooled} |")
    st.markdown("\n".join(lines))
    sources = {f"[{entry.source}]({entry.source.url})": None for entry in SUGGESTIONS.values()}
    st.caption(f"The test: [{SMITH}]({SMITH.url}). The rules: {', '.join(sources)}.")


# What becomes of it --------------------------------------------------------------------------------------------------


def handover_panel(desk: Desk[RangeTest], found: Curves) -> None:
    """Set the two ends of a cycle, and run with them."""
    test = desk.experiment
    base, top = marks(test, found)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        for param, value, change in (
            (BASE, base, lambda old, new: replace(old, base=new, top=old.top or top)),
            (TOP, top, lambda old, new: replace(old, top=new, base=old.base or base)),
        ):
            with st.container(width=215):
                shown = param.but(default=value, low=test.low_rate, high=test.high_rate)
                _field(desk, shown, value, param.name, change)
        for to, label, icon, help in (
            ("one_cycle", "One cycle with these", ":material/change_history:", ONE_CYCLE),
            ("cycles", "Cycles between these", ":material/ssid_chart:", CYCLES),
        ):
            if st.button(label, icon=icon, key=desk.key(to), help=help, type="primary"):
                _run(handed_over(test, base, top, to))


ONE_CYCLE = (
    "Runs it with one cycle: from the base up to the maximum and down to almost nothing. SGD's momentum goes the other "
    "way, as in the paper."
)
CYCLES = "Runs it with three triangular cycles between the base and the maximum."


def page_of(value: Experiment | Training) -> tuple[str, dict[str, list[str]]]:
    """The page that shows a run which was handed over, and the fields of the link to it. It runs when it opens."""
    return "pages/schedules.py", schedules.CODEC.to_query(value, schedules.NOISY_VALLEY)


def _run(value: Experiment | Training) -> None:
    """Open the page that shows it."""
    page, query = page_of(value)
    st.switch_page(page, query_params=query)
