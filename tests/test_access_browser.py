"""Whether everybody can use the pages: those who see little or few colours, who have no mouse, or only a phone.

The measures are those of WCAG 2.2, level AA. `access.js` looks at an open page and gives records; what is asked of
them is here. A page is loaded once and then seen by day, by night, and on a phone. Not measured is text that lies
directly on a picture of many colours: its background is no single colour.
"""

import time
from collections import Counter
from pathlib import Path

import pytest

from browsing import Visitor
from optviz.ui.frame import PAGES

LOOK = Path(__file__).with_name("access.js").read_text(encoding="utf-8")
IDLE = '[data-testid=stApp][data-test-script-state="notRunning"]'
DRAWN = """() => [...document.querySelectorAll('.oz-stage, .oz-chart, .oz-walk')].filter((one) => one.offsetWidth)
    .every((one) => one.dataset.ready === 'true')"""
PATHS = ["/" if page.path == "app.py" else f"/{Path(page.path).stem}" for page in PAGES]


class Guest(Visitor):
    """A visitor of any page, with a stage or without."""

    def settled(self) -> "Guest":
        self.page.wait_for_selector(IDLE)
        self.page.wait_for_timeout(300)  # right after connecting, a second run may follow the first
        self.page.wait_for_selector(IDLE)
        self.page.wait_for_function(DRAWN)
        return self

    def look(self) -> dict:
        return self.page.evaluate(LOOK)

    def never(self, faults, seconds: float = 8) -> list:
        """The faults that are still there when the page has had time to change its colours and sizes."""
        until = time.monotonic() + seconds
        while (found := faults(self.look())) and time.monotonic() < until:
            self.page.wait_for_timeout(250)
        return found


def pale(seen: dict) -> list:
    texts = [(t["text"], t["where"], t["ink"], t["back"], t["ratio"]) for t in seen["texts"] if t["ratio"] < t["need"]]
    return texts + [(edge["name"], edge["where"], edge["ratio"]) for edge in seen["edges"] if edge["ratio"] < 3]


def unnamed(seen: dict) -> list:
    names = Counter(picture["name"] for picture in seen["pictures"])
    return [picture for picture in seen["pictures"] if not picture["name"] or names[picture["name"]] > 1]


def too_wide(seen: dict) -> list:
    width = seen["width"]
    fits = width["page"] <= width["inner"] and width["main"] <= width["room"]
    return [*seen["spilled"], *([] if fits else [width])]


@pytest.fixture
def guest(window):
    return window(Guest)


@pytest.mark.parametrize("path", PATHS)
def test_a_page_can_be_read_by_day_by_night_and_on_a_phone(guest, path):
    guest.open(path)
    assert len(guest.look()["texts"]) > 20
    assert guest.never(pale) == []
    assert guest.never(unnamed) == []
    guest.page.emulate_media(color_scheme="dark")
    assert guest.never(pale) == []
    guest.page.set_viewport_size({"width": 360, "height": 740})
    assert guest.never(too_wide) == []
    assert guest.never(pale) == []
