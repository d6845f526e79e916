"""The page of the fair race: controls, links, pictures and table agree, and a curve opens its run."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from browsing import Visitor
from desks import Laboratory, records, says
from optviz import link
from optviz.experiment import Experiment, Pick, run
from optviz.fair_race import BUDGET, CLAIMS, NOISY_VALLEY, SETTINGS, FairRace, compete, places
from optviz.fair_race_link import to_query
from optviz.ui.fair_race import SECOND, _parts, _with_second, opened, target
from optviz.ui.panel import Box, Choice, Field
from optviz.ui.presets import RAVINE

PAGE = Laboratory("fair_race", NOISY_VALLEY, to_query)
lying, visit = PAGE.lying, PAGE.visit
drawn = records  # of the race and of the tries
FEW = replace(NOISY_VALLEY, optimizers=("sgd", "adam"), chosen=(), budget=8, seeds=3)


@pytest.fixture(scope="module")
def session() -> AppTest:
    return PAGE.open(FEW)


@pytest.fixture
def laboratory(session) -> Iterator[AppTest]:
    yield visit(session, FEW)
    assert not session.exception


def test_the_page_shows_the_race_the_tries_and_a_table_sorted_by_the_criterion(laboratory):
    race, tries = drawn(laboratory)
    assert {trace.get("meta") for trace in race["figure"]["data"]} == {None, 0, 1}  # None: the bands
    assert {0, 1, "best 0", "best 1"} <= {trace["meta"] for trace in tries["figure"]["data"]}
    ranks = places(FEW, compete(FEW), "final")
    rows = [line for line in says(laboratory).splitlines() if "descent?" in line]
    assert len(rows) == 2
    first = min(ranks, key=lambda key: ranks[key])
    assert {"sgd": "SGD", "adam": "Adam"}[first] in rows[0]
    assert "The criteria " in says(laboratory)
    assert "of 1 pairs change order by final loss" in says(laboratory)


def test_a_link_brings_another_race(laboratory):
    wanted = replace(FEW, on=replace(FEW.on, steps=50, noise=0.0), low=1e-3, criterion="steps", same=True, lr=0.02)
    visit(laboratory, wanted)
    race, tries = drawn(laboratory)
    assert "all at η = 0.02" in race["alt"]
    assert race["figure"]["layout"]["xaxis"]["range"] == [0, 50]
    assert any(shape["x0"] == 0.02 for shape in tries["figure"]["layout"]["shapes"] if shape["xref"] == "x")


def test_choosing_brings_a_curve_to_the_front_and_changes_the_address(laboratory):
    laboratory.pills[0].set_value(["adam"]).run()
    assert lying(laboratory).chosen == ("adam",)
    assert laboratory.query_params["chosen"] in ("adam", ["adam"])
    lines = {trace["meta"]: trace for trace in drawn(laboratory)[0]["figure"]["data"] if "meta" in trace}
    assert lines[1]["opacity"] == 1
    assert lines[0]["opacity"] < 0.5


def test_nonsense_gets_sentences(laboratory):
    laboratory.query_params.clear()
    nonsense = {"budget": "9000", "surface": "moon", "criterion": "luck"}
    laboratory.query_params.update({**nonsense, "optimizers": "sgd~adam", "seeds": "4"})
    laboratory.run()
    assert len(laboratory.warning) == 3
    assert lying(laboratory) == replace(NOISY_VALLEY, optimizers=("sgd", "adam"), seeds=4)


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_opens_and_is_measured(laboratory, key):
    laboratory.query_params.clear()
    laboratory.query_params["claim"] = key
    laboratory.run()
    assert lying(laboratory) == CLAIMS[key].race
    assert f"{key} · " in says(laboratory)
    assert "Measured here:" in says(laboratory)
    assert ":green[" in says(laboratory)


def test_reset_leads_back_to_the_claim(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params.update({"claim": "A11", "budget": "4"})
    laboratory.run()
    assert lying(laboratory) == replace(CLAIMS["A11"].race, budget=4)
    laboratory.button(key="fair_race-reset").click().run()
    assert lying(laboratory) == CLAIMS["A11"].race


# Controls ------------------------------------------------------------------------------------------------------------


def controls(race: FairRace) -> dict[str, Field | Choice]:
    found = {}
    for part in _parts(race):
        for one in part.parts if isinstance(part, Box) else [part]:
            if isinstance(one, Field | Choice):
                found[one.name] = one
    return found


def test_every_setting_has_a_control_that_changes_it():
    there = controls(replace(FEW, same=True))
    assert {*SETTINGS, "surface", "steps", "noise", "seed", "tolerance", "l2", "second"} <= set(there)
    for name, wanted in (("budget", 5), ("low", 1e-6), ("seeds", 2), ("lr", 0.3), ("criterion", "mean")):
        assert getattr(there[name].change(FEW, wanted), name) == wanted
    for name, wanted in (("steps", 70), ("noise", 0.2), ("tolerance", 0.5), ("l2", 0.1), ("seed", 4)):
        assert getattr(there[name].change(FEW, wanted).on, name) == wanted
    assert there["surface"].change(FEW, "sphere").on.surface == Pick("sphere")
    assert there["valley-kappa"].change(FEW, 9.0).on.surface_values["kappa"] == 9.0
    assert there["start-y"].change(FEW, 0.1).on.start == (-1.8, 0.1)
    assert all(one.param.help for one in there.values() if isinstance(one, Field))
    assert "seeds" not in controls(replace(FEW, on=replace(FEW.on, noise=0.0)))
    assert "lr" not in controls(FEW)


def test_newton_and_l_bfgs_come_and_go():
    more = _with_second(FEW, True)
    assert more.optimizers == ("sgd", "adam", "newton", "lbfgs")
    assert _with_second(more, True) == more
    assert _with_second(more, False) == FEW
    assert controls(more)["second"].value is True
    assert SECOND.default is False


# A curve opens its run -----------------------------------------------------------------------------------------------


def test_a_click_names_a_run_or_nothing():
    entrants = compete(FEW)
    assert target(FEW, entrants, {"curve": 1, "point": 7}, tries=False) == opened(FEW, entrants[1])
    assert target(FEW, entrants, {"curve": "best 0", "point": 0}, tries=True) is not None
    for nonsense in (None, 7, {}, {"curve": 2, "point": 0}, {"curve": 0, "point": 8}, {"curve": -1, "point": 0},
                     {"curve": 0, "point": -1}, {"curve": "best x", "point": 0}, {"curve": "best 9", "point": 0},
                     {"curve": True, "point": 0}):  # fmt: skip
        assert target(FEW, entrants, nonsense, tries=True) is None


@pytest.mark.parametrize("tries", [False, True], ids=["race", "tries"])
def test_the_run_that_opens_ends_with_the_number_that_was_clicked(tries):
    """Of a race the median, of a try the one in the middle: with its own rate and its own noise."""
    entrants = compete(FEW)
    for index, entrant in enumerate(entrants):
        assert entrant.curve is not None
        assert entrant.course is not None
        number = entrant.curve.more["final"][3] if tries else entrant.course.numbers["final"]
        query = target(FEW, entrants, {"curve": index, "point": 3}, tries=tries)
        assert query is not None
        experiment, messages = link.from_query(query, RAVINE)
        assert messages == []
        assert isinstance(experiment, Experiment)
        (only,) = run(experiment)
        assert only.trajectory.loss[-1] == pytest.approx(number, rel=1e-8)


# In a browser --------------------------------------------------------------------------------------------------------


class Runner(Visitor):
    stage = ".oz-chart"

    def click(self, chart: int, trace: str, point: int) -> None:
        found = "graph._fullData.find((one) => String(one.meta) === value[0])"
        self.page.mouse.click(
            *self.place(chart, f"(({{ x, y }}) => [x[value[1]], y[value[1]]])({found})", [trace, point])
        )


ADDRESS = "/fair_race?optimizers=sgd~adam&budget=10&seeds=3&chosen=none"


@pytest.fixture
def runner(window) -> Callable[[], Runner]:
    return lambda: window(Runner)


def test_in_a_browser_a_slider_moves_and_both_pictures_follow(runner):
    visitor = runner().open(ADDRESS)
    before = visitor.named(0)
    assert "What 10 learning rates" in visitor.named(1)
    visitor.nudge(BUDGET.label)
    stop = min(stop for stop in BUDGET.stops() if float(stop) > 10)
    visitor.page.wait_for_selector(f'.oz-chart[aria-label^="What {stop} learning rates"]')
    visitor.named(0, unlike=before)  # another grid has another best rate
    assert visitor.until_query(lambda query: query.get("budget") == [str(stop)], "the budget in the address")


def test_in_a_browser_one_rate_for_all_is_a_switch(runner):
    visitor = runner().open(ADDRESS)
    visitor.page.get_by_text("Same rate for all").first.click()
    visitor.page.wait_for_selector('.oz-chart[aria-label*="all at η = 0.01"]')
    visitor.until_query(lambda query: query.get("same") == ["1"], "the switch in the address")
    address = visitor.page.url
    visitor.open(address.removeprefix(visitor.base))  # the link reopens it
    assert "all at η = 0.01" in visitor.named(0)


@pytest.mark.parametrize(("chart", "trace", "point"), [(0, "0", 50), (1, "best 1", 0)], ids=["race", "tries"])
def test_in_a_browser_a_click_opens_the_run(runner, chart, trace, point):
    visitor = runner().open(ADDRESS)
    race = replace(NOISY_VALLEY, optimizers=("sgd", "adam"), chosen=(), budget=10, seeds=3)
    entrants = compete(race)
    told = {"curve": int(trace) if trace.isdigit() else trace, "point": point}
    wanted = target(race, entrants, told, tries=chart == 1)
    visitor.click(chart, trace, point)
    visitor.page.wait_for_url("**/descent?**")
    visitor.page.wait_for_selector(".oz-stage[data-ready=true]")
    assert parse_qs(urlsplit(visitor.page.url).query) == wanted
