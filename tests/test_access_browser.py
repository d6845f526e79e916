"""Whether everybody can use the pages: those who see little or few colours, who have no mouse, or only a phone.

The measures are those of WCAG 2.2, level AA. `access.js` looks at an open page and gives records; what is asked of
them is here. A page is loaded once and then seen by day, by night, and on a phone. Not measured is text that lies
directly on a picture of many colours: its background is no single colour.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from browsing import PATIENCE, Visitor
from optviz.ui.frame import PAGES

LOOK = Path(__file__).with_name("access.js").read_text(encoding="utf-8")
DRAWN = """() => [...document.querySelectorAll('.oz-stage, .oz-chart, .oz-walk')].filter((one) => one.offsetWidth)
    .every((one) => one.dataset.ready === 'true')"""
# Pictures that no menu saves as both kinds, and charts that are not ours, which would have none.
UNSAVED = """() => [...document.querySelectorAll('.oz-panel, .oz-chart, .oz-walk, .stPlotlyChart, .stVegaLiteChart')]
    .filter((one) => one.offsetWidth)
    .filter((one) => [...one.querySelectorAll('.oz-save button')].map((kind) => kind.textContent).join() !== 'PNG,SVG')
    .map((one) => one.className)"""
FRAMED = """<!doctype html><link rel="icon" href="data:,">
<iframe src="{source}/descent?embed=true" width="800" height="600"></iframe>"""
PATHS = ["/" if page.path == "app.py" else f"/{Path(page.path).stem}" for page in PAGES]


class Guest(Visitor):
    """A visitor of any page, with a stage or without."""

    def settled(self) -> "Guest":
        self.idle()
        self.page.wait_for_function(DRAWN)
        return self

    def look(self, *wanted: str) -> dict:
        return self.page.evaluate(LOOK, list(wanted))

    def lasting(self, faults, *wanted: str) -> list:
        """The faults that are still there when the page has had time to change its colours and sizes."""
        until = time.monotonic() + PATIENCE / 1000
        while (found := faults(self.look(*wanted))) and time.monotonic() < until:
            self.page.wait_for_timeout(250)
        return found

    def tabbed(self) -> list[dict]:
        """What has the keyboard after each press of Tab, until it leaves the page."""
        found = []
        for _ in range(400):
            self.page.keyboard.press("Tab")
            here = self.look("focused")["focused"]
            if here is None or (found and here["index"] is not None and here["index"] == found[0]["index"]):
                return found
            found.append(here)
        raise AssertionError(f"Tab never comes to an end; last at {found[-5:]}")


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


@pytest.fixture(scope="module", params=PATHS)
def opened(request, server, context) -> Iterator[Guest]:
    """Every page, opened once for all that is asked of it."""
    guest = Guest(context.new_page(), server)
    guest.open(request.param)
    yield guest
    assert guest.problems == []
    assert guest.page.get_by_test_id("stException").count() == 0
    guest.page.close()


@pytest.fixture
def reader(opened) -> Guest:
    """A visitor of each page, by day and at a desk."""
    opened.page.emulate_media(color_scheme="light")
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.settled()
    return opened


def test_a_page_can_be_read_by_day_by_night_and_on_a_phone(reader):
    assert len(reader.look("texts")["texts"]) > 20
    for scheme in ("light", "dark"):
        reader.page.emulate_media(color_scheme=scheme)
        assert reader.lasting(pale, "texts", "edges") == [], scheme
    assert reader.lasting(unnamed, "pictures") == []
    assert reader.page.evaluate(UNSAVED) == []
    reader.page.set_viewport_size({"width": 360, "height": 740})
    assert reader.lasting(too_wide, "spilled", "width") == []
    assert reader.lasting(pale, "texts", "edges") == []


def test_tab_reaches_every_control_shows_where_it_is_and_goes_on_to_the_end(reader):
    controls = [one for one in reader.look("controls")["controls"] if one["tab"] >= 0]
    assert len(controls) > 4  # the navigation alone has these
    stops = reader.tabbed()
    reached = {stop["index"] for stop in stops}
    # Of a set of radio buttons one is a stop: arrow keys choose among them.
    groups = {one["group"] for one in controls if one["group"] and str(one["index"]) in reached}
    missed = [one for one in controls if str(one["index"]) not in reached and one["group"] not in groups]
    assert missed == []
    assert [stop for stop in stops if not stop["visible"]] == []


def test_nothing_moves_by_itself_for_whoever_asks_for_rest(guest):
    guest.page.emulate_media(reduced_motion="reduce")
    for path in ("/", "/descent", "/cloud"):
        guest.open(path)
        before = guest.probe()
        guest.page.wait_for_timeout(700)
        after = guest.probe()
        assert (before["playing"], after["playing"]) == (False, False), path
        assert before["frame"] == after["frame"], path
    lasting = guest.page.evaluate(
        """() => [...document.querySelectorAll('.stApp *')].filter((one) => {
          const { transitionDuration, animationDuration, animationName } = getComputedStyle(one);
          const long = (text) => text.split(',').some((part) => parseFloat(part) * (/ms/.test(part) ? 1 : 1000) > 10);
          return long(transitionDuration) || (animationName !== 'none' && long(animationDuration));
        }).map((one) => one.outerHTML.slice(0, 120))"""
    )
    assert lasting == []


@pytest.fixture
def course(server) -> Iterator[str]:
    """The address of a course page that frames the app: of another origin, for its port is another."""

    class Course(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(FRAMED.format(source=server).encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Course) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{page.server_port}/course"
        page.shutdown()


def test_a_page_works_inside_a_course_page(guest, course):
    guest.page.goto(course)
    inside = guest.page.frame_locator("iframe")
    inside.locator(".oz-stage[data-ready=true]").wait_for()
    step = inside.get_by_role("slider", name="Step", exact=True)
    inside.get_by_role("button", name="Jump to start").click()
    inside.get_by_role("button", name="Play").click()
    guest.once(lambda: int(step.input_value()), lambda at: at >= 3, "a race that plays in the frame")
    rate = inside.get_by_role("slider", name="Learning rate").first
    before = rate.get_attribute("aria-valuetext")

    def pressed() -> str | None:
        rate.press("ArrowRight")
        return rate.get_attribute("aria-valuetext")

    guest.once(pressed, lambda now: now != before, "a slider that moves in the frame")
    width = guest.page.frames[-1].evaluate("() => [document.scrollingElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
