"""What each page of measurements leaves the app as: its tables and its charts, made when a button is pressed.

A file is made outside the visitor's session, maybe after something else was moved; so it is made of what was shown when
the button was drawn, never of the desk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from optviz import taylor
from optviz.backprop import Example
from optviz.basin_map import BasinMap, Basins
from optviz.calibration import Calibration, limits
from optviz.calibration import Curve as RateCurve
from optviz.cloud import Cloud, Floors, Swarm
from optviz.export import cloud_shown, walk_to_html
from optviz.export import measured as tables
from optviz.fair_race import Entrant, FairRace, places
from optviz.figures.basin_map import bars_record, basin_record, difference_record, titles
from optviz.figures.calibration import calibration_record
from optviz.figures.cloud import floors_record
from optviz.figures.fair_race import race_record, tries_record
from optviz.figures.phase_map import phase_map_record
from optviz.figures.range_test import range_record
from optviz.figures.second_order import cut_record, memory_record, plane_record, time_record
from optviz.figures.stability import map_record, stability_record
from optviz.phase_map import Cells, PhaseMap, Theory
from optviz.range_test import Curves, RangeTest, marks, suggestions
from optviz.scaling import Cost, Work
from optviz.stability import Curve, Stability
from optviz.taylor import SecondOrder
from optviz.ui.desk import Desk
from optviz.ui.exports import Download, measured_export_panel, played

Charts = dict[str, Callable[[], dict[str, Any]]]


def phase_map_exports(desk: Desk[PhaseMap], found: Cells, rates: np.ndarray | None, known: Theory | None) -> None:
    map_ = desk.experiment
    measured_export_panel(
        desk,
        {"Every cell": lambda: tables.phase_table(map_, found, rates, known)},
        {"The map": lambda: phase_map_record(map_, found, rates, known, "")},
    )


def basin_map_exports(desk: Desk[BasinMap], basins: Sequence[Basins]) -> None:
    map_, names = desk.experiment, titles(desk.experiment.on.racers)
    charts: Charts = {
        name: partial(basin_record, map_, basins, i, bars=len(basins) > 1) for i, name in enumerate(names)
    }
    if len(basins) == 1:
        charts["Where the runs end"] = lambda: bars_record(map_, basins)
    else:
        charts["Where they differ"] = lambda: difference_record(map_, basins)
    measured_export_panel(desk, {"Every start": lambda: tables.basin_table(map_, basins)}, charts)


def fair_race_exports(desk: Desk[FairRace], entrants: Sequence[Entrant]) -> None:
    race = desk.experiment
    ranks = places(race, entrants, race.criterion)
    order = sorted((one.name for one in entrants), key=lambda key: ranks.get(key, len(entrants) + 1))
    measured_export_panel(
        desk,
        {
            "Every optimizer": lambda: tables.fair_race_table(race, entrants),
            "Every try": lambda: tables.tries_table(entrants),
        },
        {"The race": lambda: race_record(race, entrants), "The tries": lambda: tries_record(race, entrants, order)},
    )


def calibration_exports(desk: Desk[Calibration], curves: Sequence[RateCurve]) -> None:
    calibration = desk.experiment
    measured_export_panel(
        desk,
        {"Every learning rate": lambda: tables.calibration_table(calibration, curves)},
        {"Final loss": lambda: calibration_record(calibration, curves, limits(calibration))},
    )


def cloud_exports(desk: Desk[Cloud], swarm: Swarm, found: Floors) -> None:
    cloud = desk.experiment
    measured_export_panel(
        desk,
        {
            "Every run": lambda: tables.cloud_table(cloud, swarm),
            "Noise floor": lambda: tables.floors_table(found),
        },
        {"The noise floor": lambda: floors_record(cloud, found)},
        played(*2 * [lambda _: cloud_shown(cloud, swarm)]),
    )


def second_order_exports(desk: Desk[SecondOrder]) -> None:
    value = desk.experiment
    charts: Charts = {"From above": lambda: plane_record(value)}
    slice_ = cut_record(value)
    if slice_ is not None:
        charts["The slice"] = lambda: slice_
    measured_export_panel(
        desk,
        {
            "Every method": lambda: tables.proposals_table(taylor.look(value)),
            "Steps taken": lambda: tables.moves_table(taylor.look(value)),
        },
        charts,
    )


def cost_exports(desk: Desk[SecondOrder], done: Sequence[Cost | Work]) -> None:
    """Of the costs, which stand apart and are about no point: memory is known at once, times when they are measured."""
    times = [one for one in done if isinstance(one, Cost)]
    steps = [one for one in done if isinstance(one, Work)]
    found = {"Time and memory": lambda: tables.cost_table(times)}
    if steps:
        found["Steps needed"] = lambda: tables.work_table(steps)
    charts: Charts = {"Time of a step": lambda: time_record(done)} if times else {}
    measured_export_panel(desk, found, charts | {"Memory": memory_record}, part="cost")


def stability_exports(desk: Desk[Stability], found: Sequence[Curve]) -> None:
    stability = desk.experiment
    charts: Charts = {"Sharpness": lambda: stability_record(stability, found)}
    if stability.mode == "surface":
        charts["The surface"] = lambda: map_record(stability, found)
    measured_export_panel(
        desk,
        {
            "Every moment": lambda: tables.stability_table(stability, found),
            "Every loss": lambda: tables.losses_table(found),
        },
        charts,
    )


def range_test_exports(desk: Desk[RangeTest], found: Curves) -> None:
    test = desk.experiment
    suggested, ends = suggestions(found), marks(test, found)
    measured_export_panel(
        desk,
        {
            "Every step": lambda: tables.range_table(test, found),
            "Suggestions": lambda: tables.suggestions_table(found),
        },
        {"The range test": lambda: range_record(test, found, suggested, ends)},
    )


def walk_exports(desk: Desk[Example]) -> None:
    example = desk.experiment
    page = Download(
        "Web page (HTML)",
        ":material/web:",
        ".html",
        "text/html",
        "One small file to step through offline, in which every weight can be chosen.",
        lambda _, made: walk_to_html(example, link=made.link),
    )
    measured_export_panel(desk, {"Every value": lambda: tables.walk_table(example)}, more=[page])
