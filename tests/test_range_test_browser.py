"""The range test in real Chromium: a link opens all of it, keys move it, and one click runs it with its numbers."""

import pytest

from browsing import Visitor
from optviz.experiment import Experiment
from optviz.range_test import DIGITS, marks, measure
from optviz.range_test_link import RangeTests
from optviz.training import Training
from optviz.ui import schedules
from optviz.ui.range_test import CODEC

assert isinstance(CODEC, RangeTests)
VALLEY = "/range_test?on=surface&test_steps=100&surface=valley~kappa~50&noise=0.5&racer=sgd~momentum~0.5"
NETWORK = "/range_test?data=moons&run=sgd~momentum~0.9~net.hidden~8&test_steps=60&test_seeds=2&epochs=40"


class Guest(Visitor):
    """A visitor of the range test, whose picture is Plotly's own."""

    def settled(self) -> "Guest":
        self.page.wait_for_selector(".js-plotly-plot .main-svg")
        self.idle()
        self.page.wait_for_function("!document.querySelector('[data-stale=true]')")
        return self


@pytest.fixture
def tester(window) -> Guest:
    return window(Guest)


def opened(address: str) -> tuple[float, float]:
    """The ends of the cycle that a link's test suggests."""
    query: dict[str, list[str]] = {}
    for pair in address.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        query.setdefault(name, []).append(value)
    test, messages = CODEC.from_query(query, DIGITS)
    assert messages == []
    return marks(test, measure(test))


def test_one_click_runs_one_cycle_with_these_numbers(tester):
    tester.open(VALLEY)
    base, top = opened(VALLEY)
    tester.page.get_by_role("button", name="One cycle with these").click()
    tester.page.wait_for_url("**/schedules?**")
    Visitor.settled(tester)
    race, messages = schedules.CODEC.from_query(tester.query, schedules.NOISY_VALLEY)
    assert messages == []
    assert isinstance(race, Experiment)
    (racer,) = race.racers
    moving = dict(racer.schedules)
    assert racer.values["lr"] == top
    assert moving["lr"].key == "one_cycle"
    assert dict(moving["lr"].values)["div"] == pytest.approx(top / base)
    assert moving["momentum"].key == "one_cycle_momentum"
    assert (race.noise, dict(race.surface.values)) == (0.5, {"kappa": 50.0})
    assert tester.probe()["steps"] == race.steps


def test_one_click_trains_a_network_with_cycles_between_these(tester):
    tester.open(NETWORK)
    base, top = opened(NETWORK)
    tester.page.get_by_role("button", name="Cycles between these").click()
    tester.page.wait_for_url("**/schedules?**")
    Visitor.settled(tester)
    training, messages = schedules.CODEC.from_query(tester.query, schedules.NOISY_VALLEY)
    assert messages == []
    assert isinstance(training, Training)
    racer = training.configurations[0].racer
    pick = dict(racer.schedules)["lr"]
    assert (racer.values["lr"], pick.key) == (top, "triangular")
    assert dict(pick.values)["low"] == pytest.approx(base / top)
    tester.page.get_by_text("· done").first.wait_for()  # it was under way when the page opened
    assert "Triangular cycles" in tester.page.locator("body").inner_text()


def test_a_link_reopens_the_test_with_its_marks(tester):
    tester.open(VALLEY + "&base=0.001&top=0.02&smoothing=0.8&high_rate=1")
    assert tester.slider("Base rate").get_attribute("aria-valuetext") == "0.001"
    assert tester.slider("Maximum rate").get_attribute("aria-valuetext") == "0.02"
    assert tester.slider("Highest rate").get_attribute("aria-valuetext") == "1"
    assert tester.page.locator(".js-plotly-plot").get_by_text("Cycle 0.001 to 0.02").is_visible()
    address = tester.page.url
    tester.open(address.removeprefix(tester.base))
    assert tester.page.url == address


def test_an_arrow_key_moves_a_mark_and_the_address_follows(tester):
    tester.open(VALLEY)
    tester.nudge("Maximum rate")
    query = tester.until_query(lambda query: "top" in query, "the mark in the address")
    assert float(query["top"][0]) > opened(VALLEY)[1]
    assert float(query["base"][0]) == opened(VALLEY)[0]  # as it stood


BOXES = """[...document.querySelectorAll('.js-plotly-plot .annotation-text-g')]
  .map((label) => label.getBoundingClientRect()).map(({ left, right, top, bottom }) => [left, right, top, bottom])"""


@pytest.mark.parametrize("address", [VALLEY, VALLEY + "&spacing=linear&high_rate=0.5"], ids=["exponential", "linear"])
def test_no_label_covers_another_or_leaves_the_picture(tester, address):
    tester.open(address)
    for width in (1280, 360):
        tester.page.set_viewport_size({"width": width, "height": 900})
        tester.page.wait_for_function(
            "document.querySelector('.js-plotly-plot .main-svg').getBoundingClientRect().width <= innerWidth"
        )
        boxes = tester.resting(BOXES)
        assert len(boxes) >= 4
        for i, (left, right, top, bottom) in enumerate(boxes):
            assert left >= 0
            assert right <= width
            for other in boxes[:i]:
                assert right <= other[0] or left >= other[1] or bottom <= other[2] or top >= other[3]
