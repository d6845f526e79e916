"""The panels of the calibration page: what is measured, the picture, and the table of best rates."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from optviz import link, training_link
from optviz.calibration import (
    CLAIMS,
    COUNT,
    FIRST_ORDER,
    HIGH,
    LOW,
    SHAPES,
    SHARED,
    SIZES,
    VALLEY,
    Calibration,
    Curve,
    best_says,
    limits,
    network_curves,
    surface_curves,
    trainings,
)
from optviz.calibration_link import Calibrations
from optviz.datasets import DATASETS
from optviz.experiment import L2, NOISE, SEED, STEPS, TOLERANCE, Experiment, Pick, Racer
from optviz.figures.calibration import calibration_record, hue, titles
from optviz.figures.theme import style
from optviz.optimizers import OPTIMIZERS
from optviz.spec import Param, number
from optviz.training import BATCH_SIZE, EPOCHS, MAKE, SEEDS, WIDTH, Configuration, Net, Training
from optviz.tuning import tuned_lr_network
from optviz.ui.chart import chart
from optviz.ui.controls import folded, show
from optviz.ui.desk import Desk
from optviz.ui.lesson import say_verdict
from optviz.ui.panel import Box, Choice, Field, Part, Words, panel
from optviz.ui.parts import field_of, start_box, surface_choice, surface_numbers, within
from optviz.ui.presets import RAVINE
from optviz.ui.tiles import in_tiles
from optviz.ui.training import MOONS
from optviz.ui.turns import aside
from optviz.verdict import Measured

DIGITS = Training(
    Pick("digits"),
    (Configuration(Net(hidden=(16,)), Racer(Pick("adam", {"lr": tuned_lr_network("adam")}))),),
    epochs=3,
    seeds=3,
)
NETWORKS = Calibration(DIGITS, low=1e-3, high=1.0, count=19)
CODEC = Calibrations(VALLEY, NETWORKS)
MODES = {"surface": "Surface", "width": "Width", "depth": "Depth"}
SLICE = 0.4  # seconds of training between two pictures
TICK = 0.3  # seconds from one slice to the next
LAYERS = Param(
    "layers", "", 1, 1, 6, domain="[1, 6]", title="hidden layers", help="How many hidden layers all networks have."
)

_turns = threading.Semaphore(max(1, (os.cpu_count() or 2) - 1))  # visitors whose networks are trained at one time


# Controls ------------------------------------------------------------------------------------------------------------


def mode_choice(desk: Desk[Calibration]) -> None:
    """On a surface, or on networks that differ in width or in depth."""
    key, now = desk.key("mode"), desk.experiment.mode
    show(key, now)

    def change(old: Calibration, mode: str | None) -> Calibration:
        st.session_state[desk.key("running")] = False
        if mode is None or mode == old.mode:
            return old
        if mode == "surface":
            return CODEC.surface
        return replace(old if isinstance(old.on, Training) else NETWORKS, axis=mode, sizes=SIZES[mode])

    st.segmented_control(
        "Measured on",
        list(MODES),
        format_func=MODES.__getitem__,
        key=key,
        on_change=desk.callback(change, key),
        help="The final loss at every learning rate: of many optimizers on one surface, or of one optimizer on "
        "networks of several widths or depths.",
    )


def controls_panel(desk: Desk[Calibration]) -> None:
    """All that can be set, as one element of the page."""

    def parts() -> list[Part]:
        calibration = desk.experiment
        if isinstance(calibration.on, Training):
            return _network_parts(calibration, calibration.on)
        return _surface_parts(calibration, calibration.on)

    panel(desk, "controls", parts)


def _on(old: Calibration, **changes: Any) -> Calibration:
    return replace(old, on=replace(old.on, **changes))


def _surface_parts(calibration: Calibration, on: Experiment) -> list[Part]:
    shared = dict(calibration.shared)
    return [
        surface_choice(
            on,
            lambda old, key: _on(old, surface=Pick(str(key)), start=None),
            "What is descended. Only surfaces with a known minimum are offered: elsewhere no final loss is the best.",
            solved=True,
        ),
        *within([*surface_numbers(on), start_box(on), field_of(on, STEPS)]),
        *(field_of(calibration, param) for param in (LOW, HIGH, COUNT)),
        Box(
            [
                *(
                    Field(
                        name,
                        param,
                        shared.get(name, param.default),
                        lambda old, value, name=name: replace(old, shared={**dict(old.shared), name: value}),
                    )
                    for name, param in SHARED.items()
                ),
                Words("Each goes to all optimizers that have it, but not where it is 0 by default: SGD stays plain."),
            ],
            "shared",
            "Momentum and memories",
        ),
        Box(
            within([field_of(on, param) for param in (TOLERANCE, NOISE, SEED, L2)]),
            "conditions",
            "Tolerance, noise, penalty",
        ),
    ]


def _network_parts(calibration: Calibration, on: Training) -> list[Part]:
    net, racer = on.configurations[0].net, on.configurations[0].racer

    def with_net(old: Calibration, **changes: Any) -> Calibration:
        assert isinstance(old.on, Training)
        one = old.on.configurations[0]
        return _on(old, configurations=(replace(one, net=replace(one.net, **changes)),))

    def with_optimizer(old: Calibration, key: Any) -> Calibration:
        assert isinstance(old.on, Training)
        one = old.on.configurations[0]
        return _on(old, configurations=(replace(one, racer=Racer(Pick(str(key), {"lr": tuned_lr_network(str(key))}))),))

    other = (
        Field(
            "layers",
            LAYERS,
            len(net.hidden),
            lambda old, value: with_net(old, hidden=(net.hidden[0],) * value),
        )
        if calibration.axis == "width"
        else Field(
            "width",
            WIDTH.but(default=16, help="How many units each hidden layer has."),
            net.hidden[0],
            lambda old, value: with_net(old, hidden=(value,) * len(net.hidden)),
        )
    )
    return [
        Choice(
            "data",
            "Data",
            {key: entry.title for key, entry in DATASETS.items() if entry.task == "classification"},
            on.dataset.key if isinstance(on.dataset, Pick) else None,
            lambda old, key: _on(old, dataset=Pick(str(key))),
            "What the networks learn.",
        ),
        Choice(
            "optimizer",
            "Optimizer",
            {key: OPTIMIZERS[key].title for key in FIRST_ORDER},
            racer.optimizer.key,
            with_optimizer,
            "Which rule trains all of them.",
        ),
        other,
        Choice(
            "init",
            "Initialization",
            {word: word.replace("_", " ") for word in MAKE["init"].options},
            net.init,
            lambda old, value: with_net(old, init=value, init_scale=None),
            str(MAKE["init"].help),
        ),
        *within([field_of(on, param) for param in (EPOCHS, SEEDS, BATCH_SIZE)]),
        *(field_of(calibration, param) for param in (LOW, HIGH, COUNT)),
    ]


def optimizers_choice(desk: Desk[Any]) -> None:
    """Which curves stand out: for any experiment that has `optimizers` and, of these, `chosen` ones."""
    calibration = desk.experiment
    key = desk.key("chosen")
    show(key, list(calibration.chosen))
    st.pills(
        "In view",
        calibration.optimizers,
        format_func=lambda name: f":{style(name).hue}[●] {OPTIMIZERS[name].title}",
        selection_mode="multi",
        wrap=True,
        key=key,
        on_change=desk.callback(lambda old, names: replace(old, chosen=tuple(names or ())), key),
        help="These curves stand out and the others stand behind. With none chosen, all are alike.",
    )


# The picture ---------------------------------------------------------------------------------------------------------


def surface_panel(desk: Desk[Calibration]) -> list[Curve]:
    """The curves on a surface, as far as they are measured: the first time on a surface, programs are compiled."""
    calibration = desk.experiment
    request = replace(calibration, chosen=())  # who is in view changes no number
    curves = in_tiles(desk, "curves", request, lambda: surface_curves(calibration), calibration.cells)
    if curves:
        _draw(desk, curves)
    return curves


def network_panel(desk: Desk[Calibration]) -> list[Curve]:
    """The curves of the networks as far as they are trained. While it runs, each call trains for SLICE seconds."""
    calibration = desk.experiment
    began = time.monotonic()
    running = st.session_state.get(desk.key("running"), False)
    if running:
        with aside(), _turns:
            for count in trainings(calibration):
                st.session_state[desk.key("done")] = (calibration, count)
                if time.monotonic() - began > SLICE:
                    break
    known, count = st.session_state.get(desk.key("done"), (None, 0))
    done = count if known == calibration else 0
    words = f"{done} of {calibration.cells} trainings are done."
    if done == calibration.cells:
        words = f"All {done} trainings are done."
    elif not running:
        words += " Press Measure."
    st.progress(done / calibration.cells, words)
    curves = network_curves(calibration, done)
    _draw(desk, curves)
    if running and done == calibration.cells:
        st.session_state[desk.key("running")] = False
        st.rerun()
    return curves


def run_buttons(desk: Desk[Calibration]) -> None:
    """Start and stop. What is trained already is kept, so stopping loses nothing."""
    key = desk.key("running")
    running = st.session_state.get(key, False)

    def press(on: bool) -> None:
        st.session_state[key] = on

    calibration = desk.experiment
    with st.container(horizontal=True, vertical_alignment="center"):
        if running:
            st.button("Stop", icon=":material/stop:", key=desk.key("stop"), on_click=press, args=(False,),
                      help="Keep what is done and go on later.")  # fmt: skip
        else:
            st.button(
                "Measure",
                icon=":material/play_arrow:",
                type="primary",
                key=desk.key("measure"),
                on_click=press,
                args=(True,),
                help="Train every network at every rate. The bar tells how far it is; Stop keeps what is done.",
            )
        assert isinstance(calibration.on, Training)
        on = calibration.on
        st.caption(
            f"{len(calibration.sizes)} networks × {calibration.count} rates × {on.seeds} "
            f"seed{'s' * (on.seeds != 1)}, each {on.steps} steps."
        )


def ticking(desk: Desk[Calibration]) -> float | None:
    """Seconds between two looks at trainings that go on; None if none do."""
    running = st.session_state.get(desk.key("running"), False)
    return TICK if running and desk.experiment.mode != "surface" else None


def _draw(desk: Desk[Calibration], curves: Sequence[Curve]) -> None:
    key = desk.key("chart")

    def clicked() -> None:
        st.session_state[desk.key("open")] = st.session_state[key].clicked

    chart(calibration_record(desk.experiment, curves, limits(desk.experiment)), key=key, clicked=clicked)
    told = st.session_state.pop(desk.key("open"), None)
    target = _target(desk.experiment, curves, told) if told else None
    if target:
        st.switch_page(target[0], query_params=target[1])


def _target(calibration: Calibration, curves: Sequence[Curve], told: Any) -> tuple[str, dict[str, list[str]]] | None:
    """The page and the link of the run whose point was clicked. The message comes from outside: one that names no
    point is passed over."""
    match told:
        case {"curve": int(index), "point": int(point)}:
            pass
        case {"curve": str(text)} if text.removeprefix("best ").isdigit():
            index, point = int(text.removeprefix("best ")), -1
        case _:
            return None
    if not 0 <= index < len(curves):
        return None
    point = curves[index].best if point < 0 else point
    if point is None or not 0 <= point < len(curves[index].rates):
        return None
    return opened(calibration, curves[index], point)


def opened(calibration: Calibration, curve: Curve, point: int) -> tuple[str, dict[str, list[str]]]:
    """The page that shows one run in full, and the fields of the link to it."""
    rate = float(curve.rates[point])
    if isinstance(calibration.on, Training):
        training = calibration.training(int(curve.name), rate)
        return "pages/training.py", training_link.to_query(training, MOONS)
    racer = calibration.racer(curve.name, rate)
    return "pages/descent.py", link.to_query(replace(calibration.on, racers=(racer,)), RAVINE)


# Words ---------------------------------------------------------------------------------------------------------------


def claim_words(desk: Desk[Calibration], curves: Sequence[Curve]) -> Measured | None:
    """Claim B1 with the numbers of this run."""
    measured = CLAIMS["B1"].measure(desk.experiment, curves)
    if measured is None and not any(curve.best is not None for curve in curves):
        st.markdown(":material/hourglass_empty: Nothing is measured yet, or every run diverged.")
    else:
        say_verdict(desk, measured)
    return measured


def table(desk: Desk[Calibration], curves: Sequence[Curve]) -> None:
    """The best rate of each curve, as a link to its run, and how wide the good range is."""
    calibration = desk.experiment
    surface = isinstance(calibration.on, Experiment)
    head = ["Optimizer" if surface else "Network", "Best rate η", "Good range", "Final loss there"]
    head += ["Settled after"] if surface else ["Validation accuracy"]
    rows = [head, ["---"] * len(head)]
    order = sorted(curves, key=lambda curve: calibration.chosen and curve.name not in calibration.chosen)
    for curve in order:
        rows.append(_row(calibration, curves.index(curve), curve, surface))
    st.markdown("\n".join(f"| {' | '.join(row)} |" for row in rows))
    st.caption(
        f"The good range is around the best rate: decades (factors of 10) in which the final loss stays within a "
        f"factor of {calibration.factor:g} of the best{' or within the tolerance of the minimum' * surface}."
        " A single rate stands for less than one step of the grid."
    )  # fmt: skip
    with folded("What the forms mean", desk.key("forms")) as seen:
        if seen:
            st.markdown("\n".join(f"- **{name}**: {words}" for name, words in SHAPES.items()))
            for limit in limits(calibration):
                where = "everywhere, for the surface is a quadratic" if limit.exact else "near the lowest minimum only"
                st.markdown(
                    f"- **{OPTIMIZERS[limit.optimizer].title}, {limit.formula}**: with the largest curvature "
                    f"λ = {number(limit.curvature)} it cannot converge above η = {number(limit.rate)}, "
                    f"{where}."
                )


def _row(calibration: Calibration, index: int, curve: Curve, surface: bool) -> list[str]:
    name = f":{hue(calibration, index, curve)}[●] {titles(calibration, curve)}"
    if curve.best is None:
        empty = "all diverge" if "diverged" in curve.shapes else "–"
        return [name, empty, "–", "–", "–"]
    page, query = opened(calibration, curve, curve.best)
    address = page.removeprefix("pages/").removesuffix(".py") + "?" + urlencode(query, doseq=True)
    last = curve.more["settled" if surface else "accuracy"][curve.best]
    said = (number(float(last)) + " steps" if last < float("inf") else "–") if surface else f"{last:.1%}"
    decades = f"{curve.decades:.1f} decades" if curve.decades else "a single rate"
    return [name, f"[{best_says(curve)}]({address})", decades, number(float(curve.height[curve.best]), 3), said]
