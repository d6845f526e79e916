"""The panels of the cloud page: what runs and how often, the cloud on the stage, and the noise floor below it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from optviz import link
from optviz.cloud import (
    CLAIMS,
    FLOORS,
    HIGH,
    LOOK,
    LOW,
    NEAR,
    NOISY,
    RUNS,
    SEEDS,
    Cloud,
    CloudClaim,
    Floors,
    Swarm,
    floor_pieces,
    joined,
    measure,
)
from optviz.experiment import L2, NOISE, SEED, Experiment, Pick, Racer
from optviz.figures.cloud import cloud_record, floors_record
from optviz.optimizers import OPTIMIZERS
from optviz.spec import Param, number
from optviz.ui.chart import chart
from optviz.ui.desk import Desk
from optviz.ui.lesson import verdict
from optviz.ui.panel import Box, Choice, Field, Part, panel
from optviz.ui.parts import field_of, surface_choice, within
from optviz.ui.presets import RAVINE
from optviz.ui.race import surface_controls
from optviz.ui.stage import stage
from optviz.ui.tiles import in_tiles
from optviz.ui.turns import aside
from optviz.verdict import Measured

AROUND = 16.0  # on another surface, the rates of the noise floor reach so many times below and above the racer's own
FIRST = ("lr", "momentum", "beta1", "beta2")  # hyperparameters that are always in view
Change = Callable[[Experiment, Any], Experiment]


# Controls ------------------------------------------------------------------------------------------------------------


def controls_panel(desk: Desk[Cloud]) -> None:
    """All that can be set, as one element of the page."""

    def parts() -> list[Part]:
        cloud = desk.experiment
        entry, key = cloud.racer.entry, cloud.racer.optimizer.key
        first = [param for param in entry.params if param.name in FIRST]
        others = [_hyper(cloud, param) for param in entry.params if param.name not in FIRST]
        return [
            _surfaces(cloud),
            Choice(
                "optimizer",
                "Optimizer",
                {name: OPTIMIZERS[name].title for name in NOISY},
                key,
                lambda old, name: _around(
                    replace(old, experiment=_with_racer(old, Racer.tuned(str(name), old.experiment.surface.key)))
                ),
                "Which rule all runs follow. It begins with the rate stored for this surface.",
            ),
            *(_hyper(cloud, param) for param in first),
            *within([field_of(cloud.experiment, NOISE)], "experiment"),
            field_of(cloud, RUNS),
            *within(surface_controls(cloud.experiment), "experiment"),
            *([Box(others, "more", f"More of {entry.title}")] if others else []),
            Choice(
                "look",
                "Drawn as",
                {word: word for word in LOOK.options},
                cloud.look,
                lambda old, word: replace(old, look=word),
                LOOK.help,
                look="pills",
            ),
            Box([field_of(cloud, LOW), field_of(cloud, HIGH)], "rates", "Rates of the noise floor"),
            Box(
                within([field_of(cloud.experiment, param) for param in (SEED, L2)], "experiment"),
                "conditions",
                "Seed and penalty",
            ),
        ]

    panel(desk, "controls", parts)


def _hyper(cloud: Cloud, param: Param) -> Field:
    return Field(
        f"{cloud.racer.optimizer.key}-{param.name}",
        param,
        cloud.racer.values[param.name],
        lambda old, value: replace(old, experiment=_with_racer(old, old.racer.but(**{param.name: value}))),
        live=param.name == "lr",
    )


def _with_racer(cloud: Cloud, racer: Racer) -> Experiment:
    return replace(cloud.experiment, racers=(racer,))


def _around(cloud: Cloud) -> Cloud:
    """The cloud with a grid of rates around its racer's own."""
    rate = float(cloud.racer.values["lr"])
    low, high = (float(f"{end:.1g}") for end in (rate / AROUND, rate * AROUND))
    return replace(cloud, low=low, high=high)


def _surfaces(cloud: Cloud) -> Choice:
    def move(old: Cloud, key: Any) -> Cloud:
        racer = Racer.tuned(old.racer.optimizer.key, str(key))
        on = replace(old.experiment, surface=Pick(str(key)), start=None, racers=(racer,))
        return _around(replace(old, experiment=on))

    help = "What is descended. Only surfaces with a known minimum are offered: elsewhere no height could be told."
    return surface_choice(cloud.experiment, move, help, solved=True)


# The pictures --------------------------------------------------------------------------------------------------------


def cloud_panel(desk: Desk[Cloud]) -> Swarm:
    """The cloud, on the stage. A click on the surface moves the start."""
    with aside():
        swarm = measure(desk.experiment)
    key = desk.key("stage")

    def clicked(old: Cloud, _: object) -> Cloud:
        point = st.session_state[key].start
        return replace(old, experiment=replace(old.experiment, start=(point["x"], point["y"])))

    stage(cloud_record(desk.experiment, swarm), key=key, start=desk.callback(clicked))
    st.caption(
        f"A run is near a minimum if none is nearer and it is within {NEAR:.0%} of the window's diagonal; it is lost "
        "if its loss is no finite number any more or it has left for good. The large dot is the mean of all positions."
    )
    return swarm


def floors_panel(desk: Desk[Cloud]) -> Floors | None:
    """The noise floor against the learning rate, as far as it is measured. A click on a point opens one such run. None
    if the visitor has stopped it."""
    cloud, key = desk.experiment, desk.key("chart")
    request = replace(cloud, runs=int(RUNS.default), look=str(LOOK.default))  # these change no floor
    parts = in_tiles(desk, "floors", request, lambda: floor_pieces(cloud), FLOORS, lambda part: len(part.rates))
    if not parts:
        return None
    found = joined(cloud, parts)

    def clicked() -> None:
        st.session_state[desk.key("open")] = st.session_state[key].clicked

    st.markdown("**Noise floor against the learning rate**")
    chart(floors_record(cloud, found), key=key, clicked=clicked)
    told = st.session_state.pop(desk.key("open"), None)
    query = target(cloud, found, told) if told else None
    if query is not None:
        st.switch_page("pages/descent.py", query_params=query)
    return found if sum(len(part.rates) for part in parts) == FLOORS else None


def judged(claim: CloudClaim, cloud: Cloud, found: Floors | None) -> Measured | None:
    """The verdict on a claim, if the noise floors that it may ask for are known."""
    return (
        claim.measure(cloud) if found else Measured({}, None, "The verdict comes when all noise floors are measured.")
    )


def target(cloud: Cloud, found: Floors, told: Any) -> dict[str, list[str]] | None:
    """The link to a run of the rate whose point was clicked. The message comes from outside: one that names no point
    is passed over."""
    match told:
        case {"curve": str(), "point": int(point)} if 0 <= point < len(found.rates):
            return link.to_query(cloud.run(lr=float(found.rates[point])), RAVINE)
    return None


# Words ---------------------------------------------------------------------------------------------------------------


def words(desk: Desk[Cloud], swarm: Swarm, found: Floors | None) -> None:
    """The claim of this page with the numbers of this cloud, how the floor is measured, and a few runs as links."""
    cloud = desk.experiment
    if not desk.preset:
        measured = judged(CLAIMS["A5"], cloud, found)
        none = "At no rate of the grid the runs have settled, so no floor can be told: take more steps or other rates."
        st.markdown(verdict(measured) if measured else f":material/help: {none}")
    st.caption(
        f"Each point is the mean height over the second half of {SEEDS} runs of this rate, with two standard errors as "
        "a bar. It is hollow where the height still changes by more than chance. The dashed line is what theory says, "
        "on a quadratic, for gradient descent and the heavy ball. A click opens one run."
    )
    order = swarm.ordered()
    rows = [["Run", "Seed", "Height at the end", ""], ["---"] * 4]
    for name, place in (("lowest at the end", 0), ("median", cloud.runs // 2), ("highest at the end", -1)):
        index = int(order[place])
        address = "descent?" + urlencode(link.to_query(cloud.run(index), RAVINE), doseq=True)
        height = number(float(swarm.height[index, -1]), 3)
        rows.append([name, str(cloud.seed(index)), height, f"[open this run]({address})"])
    st.markdown("\n".join(f"| {' | '.join(row)} |" for row in rows))
