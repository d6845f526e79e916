"""Hostile visitors in real Chromium: nothing of theirs runs or leaves the machine, and who closes the tab frees all."""

import csv
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from browsing import PATIENCE, Address, Visitor, serving
from optviz.limits import LIMITS
from optviz.ui.frame import PAGES

PAYLOADS = [
    "<img src=x onerror=window.hacked=1>",
    "<script>window.hacked=1</script>",
    "![a](http://example.org/a.png)",
    "[a](javascript:window.hacked=1)",
    '<a href="http://example.org/">a</a>',
    "$\\href{javascript:window.hacked=1}{a}$",
    "<b>a</b>",
]
MADE = """() => ({
  hacked: window.hacked || null,
  images: document.querySelectorAll('img[src*="example.org"], img[src="x"], image[*|href*="example.org"]').length,
  links: [...document.querySelectorAll('a')].filter((one) => /example\\.org|hacked/.test(
    one.getAttribute('href') + one.getAttribute('xlink:href'))).length,
  scripts: [...document.scripts].filter((one) => one.textContent.includes('hacked')).length,
})"""
NOTHING = {"hacked": None, "images": 0, "links": 0, "scripts": 0}


FIELDS = ("surface", "racer", "run", "data", "start", "steps", "claim", "on", "moves", "rates", "sizes", "x", "term")
FIELDS += ("optimizer", "schedule", "net", "step", "hide", "think", "of")
SHOWN = ("topic", "ask")  # what an instructor wrote stands on the page


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_nothing_of_a_link_becomes_an_element(entry, visitor):
    path = "/" if entry.path == "app.py" else "/" + entry.path.removeprefix("pages/").removesuffix(".py")
    link = {name: PAYLOADS[i % len(PAYLOADS)] for i, name in enumerate(FIELDS)}
    link |= {"present": "large"} | dict.fromkeys(SHOWN, "".join(PAYLOADS)[:80])
    guest = visitor()
    guest.page.goto(f"{guest.base}{path}?{urlencode(link)}")
    guest.page.get_by_test_id("stAlert").first.wait_for()
    guest.page.wait_for_selector('[data-testid=stApp][data-test-script-state="notRunning"]')
    guest.page.wait_for_timeout(300)  # for an image that would be asked for
    assert guest.page.evaluate(MADE) == NOTHING


def test_nothing_of_a_table_becomes_an_element(visitor, tmp_path):
    """The names of its columns and classes, and of the file: in messages, axes, tick labels and tables."""
    first, second, *classes = PAYLOADS
    rows: list[tuple] = [(first, second, "class")] + [(i, -i % 7, classes[i % len(classes)]) for i in range(60)]
    file = tmp_path / "<img src=x onerror=window.hacked=1>.csv"
    with file.open("w", encoding="utf-8", newline="") as writing:
        csv.writer(writing).writerows(rows)
    guest = visitor().open("/training?epochs=3&run=sgd~lr~0.1~net.hidden~4")
    guest.page.get_by_role("combobox", name="Data").first.click()
    guest.page.get_by_role("option", name="Your own table (CSV)").click()
    guest.page.locator("input[type=file]").set_input_files(str(file))
    guest.page.get_by_text("2 columns to learn from").wait_for()
    guest.settled()
    guest.page.get_by_role("button", name="Start", exact=True).click()
    guest.page.get_by_text("· done").wait_for()
    guest.settled()
    drawn = guest.page.evaluate("[...document.querySelectorAll('svg text')].map((one) => one.textContent).join('')")
    assert first in drawn  # the name stands there, letter by letter
    assert guest.page.evaluate(MADE) == NOTHING


# Who leaves ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Iterator[tuple[Address, Callable[[], dict[str, int]]]]:
    """A server, and a function that tells what it keeps for its visitors."""
    file = tmp_path_factory.mktemp("watched") / "kept.json"
    here = str(Path(__file__).parent)
    watch = f"import sys; sys.path.append({here!r}); import watched; watched.begin({str(file)!r})"
    with serving(before=watch) as base:
        yield base, lambda: json.loads(file.read_text()) if file.exists() else {}


FREED = 0.75 * LIMITS.unseen_seconds  # s: before a training would stop merely because nobody looks at it


def until(kept: Callable[[], dict[str, int]], wanted: Callable[[dict[str, int]], bool], seconds: float) -> None:
    """Wait until the server keeps what is wanted."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = kept()
        if now and wanted(now):
            return
        time.sleep(0.1)
    raise AssertionError(f"after {seconds} s the server keeps {kept()}")


def test_who_closes_the_tab_frees_their_training(watched, context):
    base, kept = watched
    guest = Visitor(context.new_page(), base)
    guest.page.goto(base + "/training?data=moons&epochs=100000&run=sgd~lr~0.05~net.hidden~8")
    guest.page.get_by_role("button", name="Start", exact=True).click()
    until(kept, lambda now: now["connected"] == 1 and now["running"] == 1, PATIENCE / 1000)
    guest.page.close()
    until(kept, lambda now: not now["connected"] and not now["running"], FREED)


def test_who_closes_the_tab_frees_their_maps(watched, context):
    base, kept = watched
    guest = Visitor(context.new_page(), base)
    guest.page.goto(base + "/basin_map?side=60")
    until(kept, lambda now: now["connected"] == 1 and now["maps"] >= 1, PATIENCE / 1000)
    guest.page.wait_for_selector('[data-testid=stApp][data-test-script-state="notRunning"]')
    guest.page.close()
    until(kept, lambda now: not now["connected"] and not now["maps"], FREED)
