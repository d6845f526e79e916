"""The schedules page in real Chromium: a slider and a dragged point move curve and run, and links bring it all back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import optviz
from browsing import Visitor
from optviz import Pick

OWN = "/schedules?noise=0&racer=sgd~lr~0.01~momentum~0.9~lr.by~piecewise_linear&racer=sgd~lr~0.01~momentum~0.9"
NETWORK = (
    "/schedules?on=network&epochs=5&run=sgd~lr~0.1~lr.by~step_decay~lr.every~10~net.hidden~8"
    "&run=sgd~lr~0.1~net.hidden~8"
)


class Guest(Visitor):
    """A visitor who looks at the strip of the learning rate."""

    def ink(self, panel: str) -> str:
        """A panel's lines, as the canvas has them."""
        return self.page.evaluate(
            "title => [...document.querySelectorAll('.oz-panel')]"
            ".find(panel => panel.querySelector('.oz-title').innerText.startsWith(title))"
            ".querySelector('canvas.oz-ink').toDataURL()",
            panel,
        )

    def until_ink(self, panel: str, before: str) -> None:
        self.once(lambda: self.ink(panel) != before, bool, f"other lines of {panel}")

    def handle(self, name: str) -> Any:
        return self.page.get_by_role("button", name=f"{name} of your schedule")


@pytest.fixture
def guest(window) -> Callable[[], Guest]:
    return lambda: window(Guest)


def run_of(schedule: Pick | None) -> np.ndarray:
    """Where the run of the page ends, computed anew."""
    schedules = {"lr": schedule} if schedule else {}
    return optviz.trace("valley", "sgd", steps=400, lr=0.01, momentum=0.9, schedules=schedules).theta[-1]


def test_a_schedule_s_slider_moves_curve_and_run(guest):
    one = guest().open("/schedules?noise=0&racer=sgd~lr~0.01~momentum~0.9~lr.by~cosine").at_the_end()
    np.testing.assert_allclose(one.probe()["heads"]["Cosine"], run_of(Pick("cosine")), rtol=1e-6)
    strip, before = one.ink("Learning rate"), one.probe()["heads"]["Cosine"]
    one.nudge("Final")
    one.until_query(lambda query: "lr.final~0.01" in query["racer"][0], "the new share in the address")
    one.until_ink("Learning rate", strip)
    after = one.until(lambda state: state["heads"]["Cosine"] != before, "another path")["heads"]["Cosine"]
    np.testing.assert_allclose(after, run_of(Pick("cosine", {"final": 0.01})), rtol=1e-6)


def test_a_slider_tells_of_its_way_while_it_is_dragged(guest):
    one = guest().open("/schedules?noise=0&racer=sgd~lr~0.01~momentum~0.9~lr.by~cosine").at_the_end()
    before = one.probe()["heads"]["Cosine"]
    box = one.box(one.slider("Final"))
    one.page.mouse.move(box["x"] + 9, box["y"] + box["height"] / 2)
    one.page.mouse.down()
    for share in (0.1, 0.2, 0.3, 0.4):
        one.page.mouse.move(box["x"] + 9 + share * (box["width"] - 18), box["y"] + box["height"] / 2)
        one.page.wait_for_timeout(120)
    one.until(lambda state: state["heads"]["Cosine"] != before, "another path while the hand is on the slider")
    one.page.mouse.up()
    one.until_query(lambda query: "lr.final~0.4" in query["racer"][0], "where the hand let go")
    end = run_of(Pick("cosine", {"final": 0.4}))
    one.until(lambda state: np.allclose(state["heads"]["Cosine"], end, rtol=1e-6), "its path")


def test_a_point_is_drawn_with_the_pointer_and_a_link_brings_it_back(guest):
    one = guest().open(OWN).at_the_end()
    name = next(iter(one.probe()["heads"]))
    before, strip = one.probe()["heads"][name], one.ink("Learning rate")
    box = one.box(one.handle("Point 2"))
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    one.page.mouse.move(x, y)
    one.page.mouse.down()
    for i in range(1, 6):
        one.page.mouse.move(x + 12 * i, y + 6 * i)
        one.page.wait_for_timeout(50)
    one.page.mouse.up()
    one.until_query(lambda query: "lr.x2" in query["racer"][0] and "lr.y2" in query["racer"][0], "the point's place")
    one.settled()
    one.until_ink("Learning rate", strip)
    parts = one.query["racer"][0].split("~")
    place = {axis: float(parts[parts.index(f"lr.{axis}2") + 1]) for axis in "xy"}
    assert place["x"] > 0.4
    assert place["y"] < 0.6
    end = run_of(Pick("piecewise_linear", {"x2": place["x"], "y2": place["y"]}))
    assert not np.allclose(before, end)
    one.until(lambda state: np.allclose(state["heads"][name], end, rtol=1e-6), "its path")
    other = guest().open(one.page.url.removeprefix(one.base)).at_the_end()
    np.testing.assert_allclose(other.probe()["heads"][name], end, rtol=1e-6)
    assert other.handle("Point 2").get_attribute("aria-label") == one.handle("Point 2").get_attribute("aria-label")


def test_a_point_is_moved_by_the_arrow_keys_and_the_end_keeps_its_place(guest):
    one = guest().open(OWN).at_the_end()
    one.handle("Point 1").press("Shift+ArrowRight")
    one.until_query(lambda query: "lr.x1~0.2" in query["racer"][0], "a tenth of the run further right")
    one.handle("End").press("ArrowLeft")
    one.handle("End").press("ArrowUp")
    one.until_query(lambda query: "lr.y5~0.01" in query["racer"][0], "a hundredth higher")
    assert "lr.x5" not in one.query["racer"][0]
    assert one.probe()["frame"] == one.probe()["steps"]  # the keys are the point's, not the player's


def test_the_cursor_of_the_strip_follows_the_scrubber_and_a_click_on_it_moves_the_scrubber(guest):
    one = guest().open(OWN).at_the_end()
    cursor = one.page.locator(".oz-strips .oz-cursor")
    end = one.box(cursor)["x"]
    one.page.get_by_role("button", name="Jump to start").click()
    one.until(lambda state: state["frame"] == 0, "the first step")
    start = one.once(lambda: one.box(cursor)["x"], lambda x: x < end, "the cursor at the first step")
    area = one.box(one.page.locator(".oz-strips .oz-plot canvas.oz-ink").last)
    one.page.mouse.click((start + end) / 2, area["y"] + 3)
    state = one.until(lambda state: state["frame"] > 0, "the step that was clicked")
    assert abs(state["frame"] - 200) <= 2


def test_a_strip_on_a_log_scale(guest):
    one = guest().open(OWN).at_the_end()
    before = one.probe()["view"]["strip-lr"]["y"]
    button = one.page.get_by_role("button", name="log scale")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    one.until(lambda state: state["view"]["strip-lr"]["y"] != before, "another axis")
    assert one.handle("Point 1").count() == 0
    button.click()
    one.until(lambda state: state["view"]["strip-lr"]["y"] == before, "the first axis")


def test_networks_train_at_once_and_again_when_a_slider_moves(guest):
    one = guest().open(NETWORK)
    one.page.get_by_text("· done").first.wait_for()
    one.until(lambda state: state["steps"] > 1, "moments of the run")
    strip = one.ink("Learning rate")
    one.nudge("Every")
    one.until_query(lambda query: "lr.every" in query["run"][0], "the new length in the address")
    one.until_ink("Learning rate", strip)
    one.page.get_by_text("· done").first.wait_for()
    one.page.get_by_text("On a surface").click()
    one.until_query(lambda query: "on" not in query, "the address of a race")
    one.settled()
    assert list(one.probe()["heads"]) == ["Step decay", "Constant"]
