"""The load tests' visitors do on each page what a visitor does, and what a class opens at once is computed once."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs

import pytest

from benchmarks import soak
from benchmarks.report import Bar, Line, Reading
from benchmarks.visitors import FIRST, Memory, Visitor, opened, order, steps_of, summary
from benchmarks.visits import CROWDS, TRAINING, VISITS, Visit, own
from browsing import in_a_thread
from optviz import basin_map, calibration, cloud, experiment, fair_race, phase_map, range_test, stability, taylor
from optviz import training as trainings
from optviz.ui.frame import PAGES
from optviz.ui.presets import RAVINE
from optviz.ui.training import MOONS
from test_once import all_at_once


def test_every_page_is_visited():
    assert [visit.page for visit in VISITS] == [page.path for page in PAGES], "benchmarks/visits.py lacks a page"


def test_crowds_are_mixed():
    assert {CROWDS["mix"](number).page for number in range(100)} == {page.path for page in PAGES}
    training = [CROWDS["class"](number).training for number in range(100)]
    assert sum(training) == 20
    assert {CROWDS["class"](number).page for number in range(100) if not training[number]} == {p.path for p in PAGES}
    assert {CROWDS["descent"](number).page for number in range(100)} == {"pages/descent.py"}


def test_a_crowd_can_be_ordered_in_few_words():
    assert order([]) == ("descent", 100, [])
    assert order(["mix"]) == ("mix", 100, [])
    assert order(["mix", "28", "10", "30"]) == ("mix", 28, [10.0, 30.0])


@pytest.mark.parametrize("visit", [*VISITS, TRAINING], ids=lambda visit: visit.page + " training" * visit.training)
def test_links_are_each_visitors_own(visit):
    links = {visit.query(number) for number in range(100)}
    assert len(links) == (100 if visit.slider or visit.training else 1)
    assert all("v" in parse_qs(link) for link in links if link)


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.page)
def test_a_visit_succeeds(server, visit):
    """Twice: the second move starts from where the first one ended."""

    async def stay() -> Visitor:
        async with opened(server, visit, 3, FIRST) as visitor:
            for _ in range(2 if visit.slider else 0):
                await visitor.move()
            return visitor

    visitor = in_a_thread(stay())
    assert bool(visitor.picture) == visit.pictures


def test_a_training_is_watched(server):
    async def stay() -> list[int]:
        async with opened(server, TRAINING, 3) as visitor:
            await visitor.press("Start")
            found, until = [0], time.monotonic() + FIRST
            while found[-1] == 0 or len(found) < 4:  # Start may wait for the compiler
                assert time.monotonic() < until, "the training never begins"
                await asyncio.sleep(visitor.live or 0.5)
                await visitor.look()
                found.append(steps_of(visitor.status))
            return found

    found = in_a_thread(stay())
    assert found == sorted(found)
    assert found[-1] > found[0]


def test_what_goes_wrong_is_told(server):
    async def stay(visit: Visit) -> None:
        async with opened(server, visit, 3):
            pass

    for visit, words in (
        (Visit("pages/descent.py", slider="Learning rat"), "no slider called Learning rat"),
        (Visit("pages/glossary.py"), "no picture"),
    ):
        with pytest.raises(Exception, match=words):
            in_a_thread(stay(visit))


def test_the_summary_names_the_slow_pages():
    found = {"times": {"app.py": [0.1] * 9, "pages/descent.py": [0.2]}, "errors": ["one"], "share": 0.5}
    readings = summary(found, Memory(70.0, 300.0, 450.0))
    assert readings["errors"] == Reading(1, "one")
    assert readings["memory"] == Reading(450, "70 before the first visitor, 300 after one, 1.5 more for each of all")
    assert str(Line(Bar("", "ms", at_most=150), readings["median"])).endswith("| ≤ 150 ms | met |")
    most = readings["most"]
    assert isinstance(most, Reading)
    assert most.detail.endswith("; descent 200; app 100")


def test_the_slope_of_memory_is_that_of_the_second_half():
    assert soak.slope([100, 300, 400, 401, 402, 403]) == pytest.approx(60)
    assert soak.slope([400] * 8) == pytest.approx(0, abs=1e-9)  # of rounding
    assert soak.slope([1]) != soak.slope([1])


# An instructor's link ------------------------------------------------------------------------------------------------

SMALL_MAP = replace(phase_map.PLANE, resolution=16)
BASINS = replace(basin_map.HILLS, side=20, on=replace(basin_map.HILLS.on, steps=50))
RACE = replace(fair_race.NOISY_VALLEY, optimizers=("sgd", "momentum"), chosen=(), budget=5)
CLOUD = replace(cloud.VALLEY, runs=100)
RATES = replace(calibration.VALLEY, optimizers=("sgd", "momentum"), chosen=())
EDGE = stability.RAVINE
LEARNT = replace(
    stability.CLAIMS["C17"].stability, on=replace(stability.CLAIMS["C17"].stability.on, epochs=100), rates=(0.4,)
)
TESTED = replace(range_test.DIGITS, test_steps=20, test_seeds=1)


def anew(value: Any, number: int) -> Any:
    return replace(value, on=own(value.on, number))


# Of each page: the function in which its numbers are computed, and what opening a link asks for. Number 0 is for one
# visitor alone, 1 for the class.
ASKED: dict[str, tuple[str, Callable[[int], Any]]] = {
    "descent": ("experiment.descend", lambda number: experiment.run(own(RAVINE, number))),
    "phase_map": ("many._Batch", lambda number: list(phase_map.work(anew(SMALL_MAP, number)))),
    "phase_map rates": ("many.rates", lambda number: list(phase_map.rate_work(anew(SMALL_MAP, number)))),
    "basin_map": ("basin_map.tiles", lambda number: basin_map.measure(anew(BASINS, number))),
    "fair_race": ("fair_race.descend", lambda number: fair_race.compete(anew(RACE, number))),
    "fair_race tries": ("fair_race.many", lambda number: fair_race.compete(anew(RACE, number + 10))),
    "cloud": (
        "cloud.snapshots",
        lambda number: cloud.measure(replace(CLOUD, experiment=own(CLOUD.experiment, number))),
    ),
    "cloud floors": (
        "cloud.snapshots",
        lambda number: cloud.floors(replace(CLOUD, experiment=own(CLOUD.experiment, number))),
    ),
    "second_order": ("taylor._survey", lambda number: taylor.look(anew(taylor.VALLEY, number))),
    "stability": ("stability.hessians", lambda number: stability.measure(anew(EDGE, number))),
    "stability network": (
        "stability.extremes",
        lambda number: stability.measure(replace(LEARNT, on=replace(LEARNT.on, seed=number))),
    ),
    "range_test": (
        "range_test._training",
        lambda number: range_test.measure(replace(TESTED, subject=replace(TESTED.subject, seed=number))),
    ),
    "calibration": ("calibration.endings", lambda number: calibration.measure(anew(RATES, number))),
    "training": ("training._measure", lambda number: trainings.begin(replace(MOONS, seed=number))),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_a_class_opens_at_once_is_computed_once(name, monkeypatch):
    place, ask = ASKED[name]
    room, function = place.split(".")
    module, computed = import_module(f"optviz.{room}"), []
    compute = getattr(module, function)

    def counted(*args: Any, **kwargs: Any) -> Any:
        computed.append(function)
        return compute(*args, **kwargs)

    monkeypatch.setattr(module, function, counted)
    ask(100)
    alone = len(computed)
    assert alone
    all_at_once(lambda _: ask(101))
    assert len(computed) == 2 * alone
