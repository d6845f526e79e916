"""The basin map page: controls, links and maps agree, and a start opens its runs, in a browser too."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from browsing import Visitor
from desks import Laboratory, records
from optviz import basin_map_link as codec
from optviz import link
from optviz.basin_map import CLAIMS, HILLS
from optviz.experiment import Pick, Racer
from optviz.ui.basin_map import _target, opened
from optviz.ui.presets import RAVINE

PAGE = Laboratory("basin_map", HILLS, codec.to_query)
lying, visit, components = PAGE.lying, PAGE.visit, records
SMALL = replace(HILLS, side=20, on=replace(HILLS.on, steps=50))


@pytest.fixture(scope="module")
def session() -> AppTest:
    return PAGE.open()


@pytest.fixture
def laboratory(session) -> Iterator[AppTest]:
    yield PAGE.reset(session)
    assert not session.exception


def names_of(parts: list[dict]) -> list[str]:
    return [name for part in parts for name in [part.get("name", ""), *names_of(part.get("parts", []))] if name]


def says(at: AppTest) -> str:
    return " ".join(element.value for element in [*at.markdown, *at.caption])


def test_the_page_opens_with_two_maps_and_where_they_disagree(laboratory):
    charts = components(laboratory, "optviz_chart")
    assert [chart["figure"]["data"][0]["meta"] for chart in charts] == [0, 1, "difference"]
    assert "200 × 200 starts" in charts[0]["alt"]
    assert "(3, 2), f = 0 25.7 %" in charts[0]["alt"]
    assert "descent?" in says(laboratory)  # the way to the marked start without a mouse
    (panel,) = components(laboratory, "optviz_panel")
    wanted = {"surface", "optimizer-0", "optimizer-1", "racers", "0-sgd-lr", "0-sgd-momentum", "steps", "side"}
    wanted |= {"tolerance", "noise", "seed", "exact", "start-x", "start-y"}
    assert wanted <= set(names_of(panel["parts"]))


def test_a_link_brings_another_map_and_goes_back(laboratory):
    wanted = replace(
        SMALL, on=replace(SMALL.on, surface=Pick("double_well"), racers=(Racer(Pick("adam")),), start=None)
    )
    visit(laboratory, wanted)
    maps = components(laboratory, "optviz_chart")
    assert len(maps) == 2  # the map and its bars
    assert maps[0]["figure"]["data"][0]["z"]["shape"] == "20, 20"
    address = {name: laboratory.query_params.get_all(name) if hasattr(laboratory.query_params, "get_all") else
               laboratory.query_params[name] for name in laboratory.query_params}  # fmt: skip
    lists = {name: value if isinstance(value, list) else [value] for name, value in address.items()}
    assert codec.from_query(lists, HILLS) == (wanted, [])


def test_a_bad_link_gets_a_sentence(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params.update({"side": "9000", "steps": "60"})
    laboratory.run()
    assert len(laboratory.warning) == 1
    assert lying(laboratory) == replace(HILLS, on=replace(HILLS.on, steps=60))


def test_a_claim_opens_and_is_measured(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params["claim"] = "A4"
    laboratory.run()
    assert "A4 · " in says(laboratory)
    assert ":green[" in says(laboratory)
    assert lying(laboratory) == CLAIMS["A4"].basin_map


# A start opens its runs ----------------------------------------------------------------------------------------------


def test_a_click_names_a_start_or_nothing():
    page, query = _target(SMALL, {"curve": 1, "point": [3, 7]}) or ("", {})
    assert page == "pages/descent.py"
    race, messages = link.from_query(query, RAVINE)
    assert messages == []
    assert race == replace(SMALL.on, start=SMALL.start(3, 7))
    assert race.start == (-1.25, -3.25)  # the column says x, the row says y
    assert _target(SMALL, {"curve": "difference", "point": [0, 0]}) == opened(SMALL, SMALL.start(0, 0))
    outside = [{"curve": curve, "point": point} for curve, point in
               ((2, [0, 0]), (0, [20, 0]), (0, [-1, 0]), (0, 3), (0, ["x", 0]))]  # fmt: skip
    for nonsense in (None, 7, {}, *outside):
        assert _target(SMALL, nonsense) is None


class Guest(Visitor):
    stage = ".oz-chart"

    def cell(self, x: float, y: float) -> tuple[float, float]:
        """Where a start is on the second map."""
        return self.place(1, "value", [x, y])


@pytest.fixture
def guest(window) -> Callable[[], Guest]:
    return lambda: window(Guest)


SHORT = "/basin_map?side=40&steps=60&start=1~1"


def test_in_a_browser_the_map_follows_a_slider_that_is_dragged_and_the_link_reopens_it(guest):
    visitor = guest().open(SHORT)
    before = visitor.named(0)
    slider = visitor.slider("Learning rate")
    box = visitor.box(slider)
    visitor.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2, steps=3)
    during = visitor.named(0, unlike=before)  # before it is let go
    visitor.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2, steps=3)
    visitor.page.mouse.up()
    visitor.named(0, unlike=during)
    rate = slider.get_attribute("aria-valuetext")
    visitor.until_query(lambda query: f"sgd~lr~{rate}" in query.get("racer", []), "the last rate in the address")
    other = guest().open(visitor.page.url.removeprefix(visitor.base))
    visitor.named(0, other.named(0))


def test_in_a_browser_the_pointer_is_told_where_a_start_leads(guest):
    visitor = guest().open(SHORT)
    visitor.page.mouse.move(*visitor.cell(-3.875, 4.125))
    label = visitor.page.locator(".oz-chart .hovertext").first
    label.wait_for()
    assert "start (-3.88, 4.13)" in label.text_content()
    assert "ends at no." in label.text_content()


def test_in_a_browser_a_click_opens_the_runs_of_that_start(guest):
    """Of that one, however quickly the hand came from the one beside it."""
    visitor = guest().open(SHORT)
    beside, place = visitor.cell(-4.125, 4.125), visitor.cell(-3.875, 4.125)
    assert 4 < place[0] - beside[0] < 40  # px
    visitor.page.mouse.move(*beside)
    visitor.page.mouse.click(*place)
    visitor.page.wait_for_url("**/descent?**")
    race, messages = link.from_query(visitor.query, RAVINE)
    assert messages == []
    assert race.start == (-3.875, 4.125)
    assert [racer.optimizer.key for racer in race.racers] == ["sgd", "momentum"]
    visitor.page.wait_for_selector(".oz-stage[data-ready=true]")
