"""Long work comes in pieces: it can be stopped and goes on where it was, and what is not whole is judged by nobody."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from browsing import Address, Visitor, serving
from desks import Laboratory, records, says
from optviz import calibration, cloud, cloud_link, fair_race, fair_race_link, range_test
from optviz.experiment import Experiment
from optviz.training import Training
from optviz.ui import lesson, tiles
from optviz.ui.calibration import CODEC as CALIBRATIONS
from optviz.ui.range_test import CODEC as RANGE_TESTS
from optviz.verdict import Measured

DIGITS = range_test.DIGITS
assert isinstance(DIGITS.subject, Training)
assert isinstance(calibration.VALLEY.on, Experiment)
ONE = DIGITS.subject.configurations[0]
TINY = replace(DIGITS.subject, configurations=(replace(ONE, net=replace(ONE.net, hidden=(4,))),))
# Each page whose work comes in pieces: something small to measure there, and what is said of all its parts.
PAGES: dict[str, tuple[Laboratory, Any, str]] = {
    "calibration": (
        Laboratory("calibration", calibration.VALLEY, CALIBRATIONS.to_query),
        replace(calibration.VALLEY, optimizers=("sgd", "momentum"), chosen=()),
        "of 2 are done",
    ),
    "fair_race": (
        Laboratory("fair_race", fair_race.NOISY_VALLEY, fair_race_link.to_query),
        replace(fair_race.NOISY_VALLEY, optimizers=("sgd", "adam"), chosen=(), budget=5, seeds=2),
        "of 2 are done",
    ),
    "cloud": (
        Laboratory("cloud", cloud.VALLEY, cloud_link.to_query),
        replace(cloud.VALLEY, runs=100, experiment=replace(cloud.VALLEY.experiment, steps=50)),
        "of 23 are done",
    ),
    "range_test": (
        Laboratory("range_test", DIGITS, RANGE_TESTS.to_query),
        replace(DIGITS, subject=TINY, test_steps=40, test_seeds=2),
        "of 40 are done",
    ),
}


@pytest.fixture(params=list(PAGES))
def halting(request, monkeypatch) -> tuple[Laboratory, AppTest, str]:
    """A page on a server that works on one part at a stretch, and is tired then."""
    page, value, of = PAGES[request.param]
    assert isinstance(TINY, Training)
    monkeypatch.setattr(range_test, "PIECE", 15 * TINY.networks[0].size * TINY.size * 2)
    monkeypatch.setattr(tiles, "LIMITS", SimpleNamespace(request_seconds=0))
    return page, page.open(value), of


def captions(at: AppTest) -> str:
    return " ".join(element.value for element in at.caption)


def go_on(at: AppTest) -> list[Any]:
    return [button for button in at.button if button.label == "Go on"]


def test_work_that_was_stopped_goes_on_to_the_same_end(halting, monkeypatch):
    page, at, of = halting
    parts = 0
    while go_on(at):
        assert not at.exception
        assert of in captions(at)
        assert "Measured here" not in says(at)  # by some of the parts, a claim is not judged
        assert "criteria" not in says(at)
        go_on(at)[0].click().run()
        parts += 1
    assert parts >= 1
    assert not at.exception
    assert "Stopped" not in captions(at)
    monkeypatch.undo()
    fresh = page.open(page.lying(at))
    assert not go_on(fresh)
    assert records(at) == records(fresh)
    assert says(at) == says(fresh)


# Stop, in a browser --------------------------------------------------------------------------------------------------

# Every part of a work, and every verdict on networks, takes as long as a test needs to press a button.
SLOW = """
import time
from optviz import calibration, cloud, fair_race, network_claims, range_test
def slow(room, name, seconds=0.7):
    whole = getattr(room, name)
    def waits(*args, **more):
        time.sleep(seconds)
        return whole(*args, **more)
    setattr(room, name, waits)
slow(calibration, "_curve")
slow(cloud, "_floors", 1.5)
slow(fair_race, "_entrant")
slow(range_test, "descend_together")
range_test.PIECE = 1e6
def measure(claim, training, progress, heard=None):
    for _ in range(100):
        time.sleep(0.2)
        heard()
network_claims.NetworkClaim.measure = measure
"""


@pytest.fixture(scope="module")
def slow() -> Iterator[Address]:
    with serving(before=SLOW) as base:
        yield base


@pytest.fixture
def patient(slow, context) -> Iterator[Visitor]:
    one = Visitor(context.new_page(), slow)
    yield one
    assert one.problems == []
    assert one.page.get_by_test_id("stException").count() == 0
    one.page.close()


@pytest.mark.parametrize("path", ["calibration", "fair_race?budget=5&seeds=2", "cloud?runs=100", "range_test"])
def test_a_visitor_stops_what_takes_long_by_the_keyboard_and_it_goes_on(patient, path):
    patient.page.goto(f"{patient.base}/{path}")
    patient.page.get_by_role("button", name="Stop").press("Enter")
    words = patient.page.get_by_text("Stopped: ")
    words.wait_for()
    assert patient.page.get_by_role("button", name="Stop").count() == 0
    done = int(words.inner_text().split()[1])
    patient.page.get_by_role("button", name="Go on").press("Enter")
    patient.page.get_by_role("button", name="Stop").press("Enter")  # there is more to do
    words.wait_for()
    assert int(words.inner_text().split()[1]) >= done


def test_a_moved_slider_does_not_wait_for_the_end_and_is_not_undone(patient):
    patient.page.goto(f"{patient.base}/calibration?steps=100")
    patient.page.get_by_role("button", name="Stop").wait_for()
    patient.nudge("Steps")
    moved = patient.until_query(lambda query: query.get("steps") != ["100"], "the slider in the address")
    patient.page.get_by_role("button", name="Stop").press("Enter")  # what it asks for has begun
    patient.page.get_by_text("Stopped: ").wait_for()
    assert patient.query == moved


def test_a_visitor_stops_a_verdict_on_networks(patient):
    patient.page.goto(f"{patient.base}/training?claim=C10&epochs=1")
    patient.page.get_by_role("button", name="Stop").press("Enter")
    patient.page.get_by_text("Stopped before it was measured.").wait_for()
    patient.page.get_by_role("button", name="Measure").press("Enter")
    patient.page.get_by_text("Measuring, for ").first.wait_for()
    patient.page.get_by_role("button", name="One step").click()  # whatever else is pressed breaks it off as well
    patient.page.get_by_text("· paused").wait_for()


def test_a_verdict_that_is_not_stopped_is_given(monkeypatch):
    """By whom it is measured, and how often it says how long that takes."""
    monkeypatch.setattr(lesson, "AT_ONCE", -1.0)

    def page() -> None:
        import streamlit as st

        from optviz.ui.lesson import measured_or_stopped
        from optviz.verdict import Measured

        class Desk:
            def key(self, name: str) -> str:
                return name

        def measure(heard) -> Measured:
            heard()
            return Measured({}, None, st.session_state["found"])

        asked = st.session_state["asked"]
        found, whole = measured_or_stopped(Desk(), asked, measure)  # pyright: ignore[reportArgumentType]
        st.markdown(f"{found.sentence if found else None} {whole}")

    at = AppTest.from_function(page)
    at.session_state["found"], at.session_state["asked"] = "found", "one"
    at.run()
    assert not at.exception
    assert "found" in says(at)
    assert not at.button  # nothing to stop any more
    at.session_state["unmeasured"] = "one"
    at.run()
    assert Measured({}, None, "Stopped before it was measured.").sentence in says(at)
    at.session_state["asked"] = "two"
    assert "found" in says(at.run())
    at.session_state["asked"] = "one"
    at.run().button(key="unmeasured-on").click().run()
    assert "found" in says(at)
