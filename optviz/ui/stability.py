"""The panels of the stability page: what is measured, the picture, the map of a surface, and the table of rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import numpy as np
import streamlit as st

from optviz import link, training_link
from optviz.datasets import DATASETS
from optviz.experiment import L2, SEED, STEPS, Experiment, Pick, Racer
from optviz.figures.stability import hue, map_record, stability_record
from optviz.landscape import over_window
from optviz.networks import ACTIVATIONS, INITS, LOSSES
from optviz.optimizers import OPTIMIZERS
from optviz.sharpness import DIVIDING, RULES, edge_factor
from optviz.spec import number
from optviz.stability import (
    CLAIMS,
    FATES,
    HEIGHT,
    RATES_AT_MOST,
    RAVINE,
    SPIRALS,
    STEPS_AT_MOST,
    Curve,
    Stability,
    around_the_edge,
    curves,
    moments,
)
from optviz.stability_link import Stabilities
from optviz.training import EPOCHS, MAKE, Training
from optviz.training import L2 as WEIGHTS_L2
from optviz.training_link import read_hidden
from optviz.ui import presets
from optviz.ui.chart import chart
from optviz.ui.controls import folded, show
from optviz.ui.desk import Desk
from optviz.ui.lesson import say_verdict
from optviz.ui.panel import Action, Box, Choice, Field, Part, panel
from optviz.ui.parts import field_of, start_box, surface_choice, surface_numbers, within
from optviz.ui.tiles import in_tiles
from optviz.ui.training import MOONS
from optviz.ui.turns import aside

CODEC = Stabilities(RAVINE, SPIRALS)
MODES = {"surface": "Surface", "network": "Network"}
LENGTH = EPOCHS.but(
    symbol="T",
    default=4000,
    low=100,
    high=STEPS_AT_MOST,
    domain=f"[1, {STEPS_AT_MOST}]",
    title="steps",
    help="How many steps each run takes. Every step sees all examples.",
)
DIVIDED = {"rmsprop": (1e-4, 3e-4, 1e-3), "adam": (1e-3, 3e-3, 1e-2)}  # rates of networks that meet their edge


# Controls ------------------------------------------------------------------------------------------------------------


def mode_choice(desk: Desk[Stability]) -> None:
    """On a surface, or on a network."""
    key, now = desk.key("mode"), desk.experiment.mode
    show(key, now)
    st.segmented_control(
        "Measured on",
        list(MODES),
        format_func=MODES.__getitem__,
        key=key,
        on_change=desk.callback(lambda old, mode: CODEC.home(mode) if mode and mode != old.mode else old, key),
        help="The sharpness along a descent on a surface, or along the training of a network on all examples at once.",
    )


def hidden_layers(desk: Desk[Stability]) -> None:
    """The hidden layers of the network."""
    on, key = desk.experiment.on, desk.key("hidden")
    assert isinstance(on, Training)
    written = ", ".join(map(str, on.configurations[0].net.hidden))
    show(key, written)
    st.text_input(
        "Hidden layers",
        key=key,
        max_chars=40,
        placeholder="none: a linear model",
        help="Units of each hidden layer from the inputs on, such as 16, 16: up to six layers.",
        on_change=desk.callback(lambda old, text: _net(old, hidden=read_hidden(text)), key),
    )


def controls_panel(desk: Desk[Stability]) -> None:
    """All that can be set, as one element of the page."""

    def parts() -> list[Part]:
        stability = desk.experiment
        own = _network_parts if isinstance(stability.on, Training) else _surface_parts
        return [*own(stability), *_rates(stability), *_rule(stability), _height_field(stability)]

    panel(desk, "controls", parts)


def _rates(stability: Stability) -> list[Part]:
    rate = stability.racer.entry.param["lr"]
    fields = [
        Field(
            f"rate-{place}",
            rate,
            value,
            lambda old, value, place=place: _with_rate(old, place, value),
            f"{_ordinal(place)} rate η",
        )
        for place, value in enumerate(stability.rates)
    ]
    few, many = len(stability.rates) < 2, len(stability.rates) >= RATES_AT_MOST
    more = Action("add", "Add a rate", lambda old, _: replace(old, rates=(*old.rates, 2 * max(old.rates))),
                  "Twice the largest of these.", disabled=many)  # fmt: skip
    less = Action("drop", "Remove one", lambda old, _: replace(old, rates=old.rates[:-1]), "The last of these.",
                  disabled=few)  # fmt: skip
    return [*fields, Box([more, less])]


def _ordinal(place: int) -> str:
    return ("First", "Second", "Third", "Fourth")[place]


def _with_rate(old: Stability, place: int, value: float) -> Stability:
    return replace(old, rates=(*old.rates[:place], value, *old.rates[place + 1 :]))


def _rule(stability: Stability) -> list[Part]:
    racer = stability.racer
    own = [
        Field(
            f"{racer.optimizer.key}-{param.name}",
            param,
            racer.values[param.name],
            lambda old, value, name=param.name: _with_racer(old, old.racer.but(**{name: value})),
        )
        for param in racer.entry.params
        if param.name != "lr"
    ]
    titles: dict[str | int, str] = {key: OPTIMIZERS[key].title for key in RULES}
    help = "Those whose edge of stability is known: for gradient descent it is 2/η, for the others it follows from η "
    choice = Choice("rule", "Optimizer", titles, racer.optimizer.key, _with_rule, help + "and their memories.")
    return [choice, Box(own, "memories", f"What else {racer.entry.title} has")]


def _with_rule(old: Stability, key: Any) -> Stability:
    racer = Racer(Pick(str(key)))
    if isinstance(old.on, Training):
        return replace(_with_racer(old, racer), rates=DIVIDED.get(str(key), SPIRALS.rates))
    changed = _with_racer(old, racer)
    assert isinstance(changed.on, Experiment)
    return replace(changed, rates=around_the_edge(changed.on) or old.rates)


def _with_racer(old: Stability, racer: Racer) -> Stability:
    if isinstance(old.on, Training):
        one = old.on.configurations[0]
        return _on(old, configurations=(replace(one, racer=racer),))
    return _on(old, racers=(racer,))


def _height_field(stability: Stability) -> Field:
    return Field(HEIGHT.name, HEIGHT, stability.height, lambda old, value: replace(old, height=value))


def _on(old: Stability, **changes: Any) -> Stability:
    return replace(old, on=replace(old.on, **changes))


def _net(old: Stability, **changes: Any) -> Stability:
    assert isinstance(old.on, Training)
    one = old.on.configurations[0]
    return _on(old, configurations=(replace(one, net=replace(one.net, **changes)),))


def _surface_parts(stability: Stability) -> list[Part]:
    on = stability.on
    assert isinstance(on, Experiment)
    help = "What is descended. On a quadratic the sharpness is the same everywhere."
    numbers = [*surface_numbers(on), start_box(on), field_of(on, STEPS), field_of(on, L2)]
    return [surface_choice(on, _with_surface, help), *within(numbers)]


def _with_surface(old: Stability, key: Any) -> Stability:
    assert isinstance(old.on, Experiment)
    on = replace(old.on, surface=Pick(str(key)), start=None)
    return replace(old, on=on, rates=around_the_edge(on) or old.rates)


def _network_parts(stability: Stability) -> list[Part]:
    on = stability.on
    assert isinstance(on, Training)
    net = on.configurations[0].net
    titles = {"activation": ACTIVATIONS, "init": INITS, "loss": LOSSES}
    return [
        Choice(
            "data",
            "Data",
            {key: entry.title for key, entry in DATASETS.items()},
            on.dataset.key if isinstance(on.dataset, Pick) else None,
            _with_data,
            "What the network learns. All examples are seen at every step.",
        ),
        *_data_parts(on),
        *(
            Choice(
                name,
                MAKE[name].label,
                {key: entry.title for key, entry in titles[name].items()},
                getattr(net, name),
                lambda old, value, name=name: _net(
                    old, **{name: value}, **({"init_scale": None} if name == "init" else {})
                ),
                str(MAKE[name].help),
            )
            for name in titles
        ),
        Field("epochs", LENGTH, on.epochs, lambda old, value: _on(old, epochs=value)),
        Field("seed", SEED, on.seed, lambda old, value: _on(old, seed=value)),
        Field("weights-l2", WEIGHTS_L2, net.l2, lambda old, value: _net(old, l2=value)),
    ]


def _data_parts(on: Training) -> list[Part]:
    if not isinstance(on.dataset, Pick):
        return []
    entry, given = DATASETS[on.dataset.key], dict(on.dataset.values)
    return [
        Field(
            f"{entry.key}-{param.name}",
            param,
            entry.complete(given)[param.name],
            lambda old, value, name=param.name: _on(old, dataset=old.on.dataset.but(**{name: value})),
        )
        for param in entry.params
    ]


def _with_data(old: Stability, key: Any) -> Stability:
    entry = DATASETS[str(key)]
    values = {"samples": 100} if "samples" in entry.param else {}
    if entry.task == "regression" and isinstance(old.on, Training):
        old = _net(old, loss="squared_error")
    return _on(old, dataset=Pick(entry.key, values))


# The picture ---------------------------------------------------------------------------------------------------------


def picture(desk: Desk[Stability]) -> list[Curve]:
    """The curves; beside them, on a surface, the map."""
    stability = desk.experiment
    if isinstance(stability.on, Training):
        request = replace(stability, height=HEIGHT.default)
        known = in_tiles(desk, "moments", request, lambda: moments(stability), stability.pieces)
        found = curves(stability, known)
        _draw(desk, found)
        return found
    with aside():
        found = curves(stability)
    left, right = st.columns([13, 6], gap="medium")
    with left:
        _draw(desk, found)
    with right:
        _map(desk, found)
    return found


def _draw(desk: Desk[Stability], found: Sequence[Curve]) -> None:
    key = desk.key("chart")

    def clicked() -> None:
        st.session_state[desk.key("open")] = st.session_state[key].clicked

    chart(stability_record(desk.experiment, found), key=key, clicked=clicked)
    told = st.session_state.pop(desk.key("open"), None)
    target = _target(desk.experiment, told)
    if target:
        st.switch_page(target[0], query_params=target[1])


def _target(stability: Stability, told: Any) -> tuple[str, dict[str, list[str]]] | None:
    """The page and the link of the run that was clicked. The message comes from outside: one that names no rate is
    passed over."""
    match told:
        case {"curve": int(place)} if not isinstance(place, bool) and 0 <= place < len(stability.rates):
            return opened(stability, stability.rates[place])
    return None


def opened(stability: Stability, rate: float) -> tuple[str, dict[str, list[str]]]:
    """The page that shows one run in full, and the fields of the link to it."""
    on = stability.at(rate)
    if isinstance(on, Training):
        return "pages/training.py", training_link.to_query(on, MOONS)
    return "pages/descent.py", link.to_query(on, presets.RAVINE)


def _map(desk: Desk[Stability], found: Sequence[Curve]) -> None:
    key = desk.key("map")

    def clicked() -> None:
        desk.take([lambda old: started(old, st.session_state[key].clicked)])

    chart(map_record(desk.experiment, found), key=key, clicked=clicked)
    if desk.experiment.racer.optimizer.key in DIVIDING:
        st.caption("○ start, ★ minima. Where the edge lies depends on the way of a rule that divides by a memory.")
    else:
        st.caption("○ start, ★ minima. Beyond the dashed line of its hue the surface is sharper than a rate bears.")


def started(old: Stability, told: Any) -> Stability:
    """The same with another start, if a cell of the map was clicked."""
    match told:
        case {"curve": "map", "point": [int(row), int(column)]} if isinstance(old.on, Experiment):
            plane = over_window(old.on.surface.key, old.on.surface_values)
            if 0 <= row < len(plane.beta) and 0 <= column < len(plane.alpha):
                start = (float(f"{plane.alpha[column]:.3g}"), float(f"{plane.beta[row]:.3g}"))
                return _on(old, start=start)
    return old


# Words ---------------------------------------------------------------------------------------------------------------


def claim_words(desk: Desk[Stability], found: Sequence[Curve]) -> None:
    """What the open claim says of this run, or what the page's own claims do."""
    stability = desk.experiment
    own = {"network": "C17", "surface": "C17b"}[stability.mode]
    say_verdict(desk, CLAIMS[desk.preset or own].measure(stability, found))


def table(desk: Desk[Stability], found: Sequence[Curve]) -> None:
    """What becomes of each rate, as links to the runs."""
    stability = desk.experiment
    rows = [
        ["Learning rate", "Edge", "The sharpness is", "Average of the last third", "Loss rises after", "Final loss"]
    ]
    rows.append(["---"] * len(rows[0]))
    for place, curve in enumerate(found):
        page, query = opened(stability, curve.rate)
        address = page.removeprefix("pages/").removesuffix(".py") + "?" + urlencode(query, doseq=True)
        there = len(curve.times) > 0
        rows.append([
            f":{hue(place)}[●] [η = {number(curve.rate)}]({address})",
            number(float(curve.edge[-1])) if there else "–",
            curve.fate if curve.whole else "measuring",
            f"{curve.mean:.1%} of the edge" if curve.whole and np.isfinite(curve.mean) else "–",
            f"{curve.rises:.1%} of the steps" if there else "–",
            number(float(curve.loss[-1]), 3) if there else "–",
        ])  # fmt: skip
    st.markdown("\n".join(f"| {' | '.join(row)} |" for row in rows))
    with folded("What the words mean", desk.key("words")) as seen:
        if seen:
            racer = stability.racer
            factor = number(edge_factor(racer.optimizer.key, racer.values))
            divided = " of the Hessian after the rule's division, D^½·H·D^½" * (racer.optimizer.key in DIVIDING)
            lines = [
                "- **sharpness**: the largest curvature, that is the largest eigenvalue of the Hessian"
                f"{divided or ' of what the steps descend on'}, measured at {len(stability.times):,} moments.",
                f"- **edge**: the sharpness above which {racer.entry.title} swings ever higher on a quadratic: "
                f"{factor}/η.",
                *(f"- **{fate}**: {words}." for fate, words in FATES.items()),
            ]
            st.markdown("\n".join(lines))
            worst = max((float(np.nanmax(c.residual / np.abs(c.sharpness))) for c in found
                         if np.isfinite(c.sharpness).any()), default=0.0)  # fmt: skip
            if worst > 0:
                st.caption(f"Lanczos' method knows each sharpness to {worst:.0e} of itself or better.")
    gaps = sum(int((curve.sharpness <= 0).sum()) for curve in found)
    if gaps and stability.height == HEIGHT.default:
        st.caption(f"At {gaps} moments the sharpness is not positive, and missing in the picture.")
