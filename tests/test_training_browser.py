"""The training laboratory in real Chromium: a run starts, goes on without a blank, pauses, and survives what its
visitor does."""

import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from browsing import Visitor

LINK = "/training?data=moons&epochs=100000&run=sgd~lr~0.05~net.hidden~64x64"  # it takes minutes: no test sees its end
QUICK = "/training?data=moons&epochs=20&run=sgd~lr~0.1~net.hidden~8"


def step(guest: Visitor) -> int:
    """The step that the page says the run has come to."""
    text = guest.page.get_by_test_id("stProgress").inner_text()
    found = re.search(r"step (\d+) of", text)
    assert found, text
    return int(found[1])


def press(guest: Visitor, name: str) -> None:
    """Press a button of the page by its whole name: the player has a “Jump to start” too."""
    guest.page.get_by_role("button", name=name, exact=True).click()


def until_step(guest: Visitor, beyond: int) -> int:
    """The step, as soon as it is beyond another."""
    return guest.once(lambda: step(guest), lambda now: now > beyond, f"beyond step {beyond}")


def rest(guest: Visitor) -> int:
    """The step at which the run rests."""
    before = -1
    for _ in range(200):
        now = step(guest)
        if now == before:
            return now
        before = now
        guest.page.wait_for_timeout(700)
    raise AssertionError("the run never rests")


WATCH = """() => {
  window.blanks = 0; window.pictures = new Set()
  const look = () => {
    const stage = document.querySelector('.oz-stage')
    const plots = stage ? [...stage.querySelectorAll('.oz-panel .main-svg')] : []
    if (!plots.length) window.blanks++
    const bar = document.querySelector('[data-testid=stProgress]')
    if (bar) window.pictures.add(bar.innerText)
    window.watching = requestAnimationFrame(look)
  }
  look()
}"""


def test_a_run_goes_on_without_a_blank_pauses_and_resumes(visitor):
    guest = visitor().open(LINK)
    assert step(guest) == 0
    guest.page.evaluate(WATCH)
    press(guest, "Start")
    first = until_step(guest, 0)
    until_step(guest, first)
    guest.until(lambda state: state["steps"] > 1, "moments of the run")
    assert guest.page.evaluate("window.blanks") == 0
    guest.page.wait_for_function("window.pictures.size >= 3")
    press(guest, "Pause")
    paused = rest(guest)
    press(guest, "Start")
    until_step(guest, paused)
    press(guest, "Pause")
    rest(guest)
    assert guest.page.evaluate("window.blanks") == 0


def test_a_run_survives_a_slider_and_a_page_switch(visitor):
    guest = visitor().open(LINK)
    press(guest, "Start")
    first = until_step(guest, 0)
    guest.nudge("Learning rate")
    then = until_step(guest, first)  # it went on from where it was
    guest.until_query(lambda query: "run" in query, "the new rate in the address")
    guest.go("Glossary")
    guest.page.get_by_role("heading", name="Glossary").wait_for()
    guest.go("Training")
    guest.settled()
    assert step(guest) >= then
    press(guest, "Pause")
    rest(guest)


WAYS_OUT = {
    "a link": "document.querySelector('a[href$=glossary]').click()",
    "the browser's back": "history.pushState(null, '', '/glossary'); dispatchEvent(new PopStateEvent('popstate'))",
}
WHEN_IT_ASKS = """(leave) => {
  const stringify = JSON.stringify
  JSON.stringify = (...given) => {
    if (given[0]?.[0]?.event === 'tick') {
      JSON.stringify = stringify
      queueMicrotask(() => eval(leave))
    }
    return stringify(...given)
  }
}"""


@pytest.mark.parametrize("way", WAYS_OUT)
def test_who_leaves_as_the_run_is_asked_after_meets_no_blank_page(visitor, way):
    """Between the stage's question and Streamlit's sending it, which would come after the other page was asked for."""
    guest = visitor().open(LINK)
    press(guest, "Start")
    until_step(guest, 0)
    guest.page.get_by_test_id("stPopover").get_by_role("button", name="Help").click()
    guest.page.get_by_role("link", name="Glossary", exact=True).wait_for()
    guest.page.evaluate(WHEN_IT_ASKS, WAYS_OUT[way])
    heading = guest.page.get_by_role("heading", name="Glossary")
    heading.wait_for()
    for _ in range(10):
        guest.page.wait_for_timeout(200)
        assert heading.is_visible()


def test_one_step_and_the_same_weights_again(visitor):
    guest = visitor().open(QUICK)
    press(guest, "One step")
    assert until_step(guest, 0) == 1
    press(guest, "Same weights")
    guest.once(lambda: step(guest), lambda now: now == 0, "a run that starts over")


def test_two_visitors_train_at_once(visitor):
    first, second = visitor().open(QUICK), visitor().open(QUICK + "&seed=1")
    press(first, "Start")
    press(second, "Start")
    for guest in (first, second):
        guest.page.get_by_text("· done").first.wait_for()


def test_the_boundary_plays_over_training(visitor):
    guest = visitor().open(QUICK)
    press(guest, "Start")
    guest.page.get_by_text("· done").first.wait_for()
    guest.until(lambda state: state["steps"] > 0, "the moments, which come after the words")
    guest.at_the_end()
    ground = "document.querySelector('.oz-picture canvas').toDataURL()"
    end = guest.resting(ground)
    guest.page.get_by_role("button", name="Jump to start").click()
    guest.until(lambda state: state["frame"] == 0, "the first moment")
    guest.page.wait_for_function(f"end => {ground} !== end", arg=end)
    assert "epoch 0" in guest.page.locator(".oz-clock").inner_text()


def test_a_link_opens_the_same_training(visitor):
    guest = visitor().open(QUICK + "&view=layers&quantity=weights")
    assert guest.page.get_by_text("Layer 1: weights").is_visible()
    assert guest.page.get_by_label("Hidden layers", exact=True).input_value() == "8"


def test_a_training_is_downloaded_as_it_stands(visitor):
    """Scripts and tables are made when their button is pressed, so the table has the run up to then."""
    guest = visitor().open(QUICK)
    press(guest, "Start")
    until_step(guest, 0)
    guest.page.get_by_text("· done").wait_for()
    guest.settled()
    guest.page.get_by_role("button", name="Export", exact=True).click()

    def bytes_of(name: str) -> bytes:
        with guest.page.expect_download() as waiting:
            guest.page.get_by_role("button", name=name).click()
        return Path(waiting.value.path()).read_bytes()

    def downloaded(name: str) -> str:
        return bytes_of(name).decode()

    script = downloaded("Python (PyTorch)")
    assert "torch.optim.SGD(model.parameters(), lr=0.1" in script
    assert "/training?" in script.splitlines()[3]
    lines = downloaded("Table (CSV)").splitlines()
    assert any("/training?" in line for line in lines if line.startswith("# "))
    rows = [line for line in lines if not line.startswith("# ")]
    assert rows[0].startswith("configuration,data,seed,step,epoch,training loss,training accuracy")
    assert rows[-1].split(",")[4] == "20.0"
    known = json.loads(downloaded("Everything (JSON)"))
    assert known["steps taken"] == 20 * known["steps an epoch"]
    assert len(known["configurations"][0]["steps"]["batch loss"][0]) == known["steps taken"]
    assert Image.open(io.BytesIO(bytes_of("Animation (GIF)"))).n_frames == 60  # type: ignore[attr-defined]  (of a GIF)
    played = re.search(r'id="record">(.*?)</script>', downloaded("Web page (HTML)"))
    assert played
    assert json.loads(played[1])["time"]["end"] == known["steps taken"]
