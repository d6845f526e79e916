"""A phone: no mouse, 360 pixels wide. A finger sets the start, plays, drags, opens a run, and finds the other pages."""

from collections.abc import Iterator

import pytest

from browsing import Visitor


class Finger(Visitor):
    """A visitor with a finger on the glass."""

    def __init__(self, page, base: str):
        super().__init__(page, base)
        self.glass = page.context.new_cdp_session(page)

    def touch(self, kind: str, *at: tuple[float, float]) -> None:
        points = [{"x": x, "y": y} for x, y in at]
        self.glass.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    def drag(self, slider, by: float) -> None:
        """Take a range input by its thumb, and lead it so many pixels."""
        slider.scroll_into_view_if_needed()
        thumb = slider.evaluate(
            """(one) => {
              const { left, width, top, height } = one.getBoundingClientRect()
              const share = (one.value - one.min) / (one.max - one.min)
              return [left + height / 2 + share * (width - height), top + height / 2]
            }"""
        )
        self.touch("Start", tuple(thumb))
        for part in range(1, 9):
            self.touch("Move", (thumb[0] + by * part / 8, thumb[1]))
        self.touch("End")

    def shown(self, locator):
        locator.scroll_into_view_if_needed()
        return locator


@pytest.fixture(scope="module")
def phone(browser):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    yield context
    context.close()


@pytest.fixture
def finger(phone, server) -> Iterator[Finger]:
    one = Finger(phone.new_page(), server)
    yield one
    assert one.problems == []
    assert one.page.get_by_test_id("stException").count() == 0
    one.page.close()


def test_a_finger_sets_the_start_plays_and_drags(finger):
    finger.open("/descent?racer=adam~lr~0.05")
    finger.shown(finger.page.locator(".oz-stage .js-plotly-plot").first)
    finger.page.touchscreen.tap(*finger.pixel(0.5, 1.0))
    (start,) = finger.until_query(lambda query: "start" in query, "the start in the address")["start"]
    assert [float(part) for part in start.split("~")] == pytest.approx([0.5, 1.0], abs=0.02)
    finger.settled()
    finger.page.get_by_role("button", name="Jump to start").tap()
    finger.page.get_by_role("button", name="Play").tap()
    finger.until(lambda state: state["playing"] and state["frame"] > 3, "the race plays")
    finger.page.get_by_role("button", name="Pause").tap()
    frame = finger.until(lambda state: not state["playing"], "the race pauses")["frame"]
    finger.drag(finger.page.get_by_role("slider", name="Step", exact=True), 60)
    finger.until(lambda state: state["frame"] > frame, "the step follows the finger")
    finger.drag(finger.page.locator(".oz-stage").get_by_role("slider", name="Drag Learning rate"), -40)
    less = finger.until_query(lambda query: query.get("racer") != ["adam~lr~0.05"], "the rate in the address")["racer"]
    finger.settled()
    finger.drag(finger.slider("Learning rate"), 50)
    more = finger.until_query(lambda query: query.get("racer") != less, "the panel's rate in the address")["racer"]
    assert float(less[0].rpartition("~")[2]) < 0.05
    assert float(more[0].rpartition("~")[2]) > float(less[0].rpartition("~")[2])


def test_a_finger_goes_to_another_page_and_opens_a_run_there(finger):
    finger.open("/descent")
    finger.page.get_by_test_id("stPopover").get_by_role("button", name="Learning rate").tap()
    finger.page.get_by_role("link", name="Calibration", exact=True).first.tap()
    finger.page.wait_for_url("**/calibration**")
    finger.stage = ".oz-chart"
    finger.open("/calibration?optimizers=sgd~adam&count=10&chosen=sgd")
    finger.shown(finger.page.locator(".oz-chart"))
    x, y = finger.page.evaluate(
        """() => {
          const graph = document.querySelector(".oz-chart .js-plotly-plot")
          const { x, y } = graph.data.find((one) => one.meta === 0 && one.mode === "lines+markers")
          const { xaxis, yaxis } = graph._fullLayout
          const box = graph.getBoundingClientRect()
          return [box.left + xaxis._offset + xaxis.d2p(x[2]), box.top + yaxis._offset + yaxis.d2p(y[2])]
        }"""
    )
    finger.page.touchscreen.tap(x, y)
    finger.page.wait_for_url("**/descent?**")
