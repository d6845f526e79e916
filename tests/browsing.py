"""A visitor of the app in real Chromium, and the server that they visit: what tests in a browser share.

Waiting is for states, never for times: a run of the script has ended, the stage is ready, a frame count has risen. Each
page that a test opens also watches over itself: an error in the page, on its console, or a request that would leave
the machine fails the test. The fixtures that hand these out are in conftest.py.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Error

from optviz.ui.frame import PAGES, pages_of

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 300_000  # ms: a bound against hanging, generous because compiling shares the cores with the browser
IDLE = '[data-testid=stApp][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
DRAWN = """(stage) => {
  const seen = [...document.querySelectorAll(stage)]
  const ready = (one) => one.dataset.ready === "true"
  return seen.some(ready) && seen.every((one) => ready(one) || !one.offsetWidth)
}"""
FRAMES = """async (count) => { while (count--) await new Promise(requestAnimationFrame) }"""
RESTING = """async (value) => {
  const look = () => %s
  const began = performance.now()
  for (let before = "", same = 0; ; ) {
    await new Promise(requestAnimationFrame)
    const now = look(), text = JSON.stringify(now)
    same = text === before ? same + 1 : 0
    before = text
    if (same === 10) return now
    if (performance.now() - began > %d) throw new Error(`never at rest: ${text}`)
  }
}"""
PLACE = """(() => {
  const graph = document.querySelectorAll(".oz-chart .js-plotly-plot")[%d]
  const [x, y] = %s
  const { xaxis, yaxis } = graph._fullLayout
  const box = graph.getBoundingClientRect()
  return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)]
})()"""
NAMED = """([chart, wanted, unlike]) => {
  const name = document.querySelectorAll(".oz-chart")[chart]?.getAttribute("aria-label")
  return Boolean(name) && (wanted === null || name === wanted) && name !== unlike
}"""
CHANGED = """async (node, [name, before]) => {
  for (let frames = 0; frames < 10; frames++) {
    if (node.getAttribute(name) !== before) return true
    await new Promise(requestAnimationFrame)
  }
  return false
}"""
T = TypeVar("T")


class Address(str):
    """Where a server answers, and the process that does."""

    process: int


@contextmanager
def serving(*options: str, before: str = "", **environment: str) -> Iterator[Address]:
    """A fresh server of the app; yields its address. `before` is code that its process runs first, and `environment`
    is added to its own."""
    patient = {"OPTVIZ_LIMIT_REQUEST_SECONDS": "3600"}  # a busy machine makes no map stop halfway
    surroundings = {**patient, **os.environ, **environment}
    launch = ["-c", f"{before}\nfrom streamlit.web.cli import main\nmain()"] if before else ["-m", "streamlit"]
    command = [sys.executable, *launch, "run", "app.py", "--server.headless", "true", "--server.address", "127.0.0.1"]
    for _ in range(3):
        port = str(free_port())
        server = subprocess.Popen(
            [*command, "--server.port", port, *options],
            cwd=ROOT,
            env=surroundings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        base = Address(f"http://127.0.0.1:{port}" + next((f"/{o}" for o in options if not o.startswith("-")), ""))
        base.process = server.pid
        if _answers(base, server):
            break
    else:
        raise AssertionError("three servers ended before they answered")
    try:
        yield base
    finally:
        server.terminate()
        server.wait(PATIENCE / 1000)


def free_port() -> int:
    """A port that nobody listens to at this moment; somebody else may be quicker to take it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _answers(base: str, server: subprocess.Popen) -> bool:
    """Whether a server has come to answer; False if it has ended, as when its port was taken."""
    deadline = time.monotonic() + PATIENCE / 1000
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"{base}/_stcore/health", timeout=10)
            return True
        except OSError:
            if time.monotonic() > deadline:
                server.kill()
                raise AssertionError("the server does not answer") from None
            time.sleep(0.1)
    return False


def in_a_thread(talk: Coroutine[Any, Any, T]) -> T:
    """What a conversation with a server comes to, held in a thread of its own: after a test in the browser, the
    worker's main thread has an event loop that runs on."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, talk).result()


def saved(page, name: str, kind: str) -> tuple[bytes, str]:
    """The file that a picture's menu gives, opened and pressed by keys alone, and what it is called."""
    menu = page.locator(f'.oz-save:has(summary[aria-label="Save picture: {name}"])').first
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    button = menu.get_by_role("button", name=f"Save picture: {name}, as {kind}")
    button.focus()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    return Path(download.value.path()).read_bytes(), download.value.suggested_filename


class Visitor:
    """A page of the app that watches over itself."""

    stage = ".oz-stage"

    def __init__(self, page, base: str):
        self.page, self.base = page, base
        self.problems: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("console", lambda message: self.heard(message))
        page.on("request", lambda request: self.asked(request.url))

    def heard(self, message) -> None:
        # On a deep link Streamlit itself asks for <page>/_stcore/… first and is answered 404.
        probing = "404" in message.text and "_stcore" in message.location.get("url", "")
        if message.type == "error" and not probing:
            self.problems.append(f"console: {message.text} ({message.location.get('url')})")

    def asked(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).hostname != "127.0.0.1":
            self.problems.append(f"request to {url}")

    def open(self, path: str = "/descent") -> "Visitor":
        self.page.goto(self.base + path)
        return self.settled()

    def settled(self) -> "Visitor":
        """Wait until the script has run and every stage shows its result."""
        self.page.wait_for_function(DRAWN, arg=self.stage)
        self.idle()
        self.page.wait_for_function(DRAWN, arg=self.stage)
        return self

    def idle(self) -> None:
        """Wait until the script has run. Right after connecting, a second run may follow the first: it is asked for
        within a few of the browser's frames, however slow these are."""
        self.page.wait_for_selector(IDLE)
        self.page.evaluate(FRAMES, 20)
        self.page.wait_for_selector(IDLE)

    def resting(self, code: str, value: object = None) -> Any:
        """What an expression in JavaScript that knows `value` is, once it has stayed the same for ten frames: where
        something is that may still be moving."""
        return self.page.evaluate(RESTING % (code, PATIENCE), value)

    def place(self, chart: int, find: str, value: object = None) -> tuple[float, float]:
        """Where a point of a chart is in the window, in px, once it stays there. `find` is its [x, y] on the axes, in
        JavaScript that knows `graph` and `value`."""
        return tuple(self.resting(PLACE % (chart, find), value))

    def named(self, chart: int, wanted: str | None = None, *, unlike: str | None = None) -> str:
        """What a chart says it is, as soon as that is what is wanted, or as it is no longer like another."""
        self.page.wait_for_function(NAMED, arg=[chart, wanted, unlike])
        return self.page.locator(".oz-chart").nth(chart).get_attribute("aria-label")

    def box(self, locator: Any) -> dict[str, float]:
        """Where an element is in the window, in px, once it stays there: its x, y, width and height."""
        locator.scroll_into_view_if_needed()
        return locator.evaluate(f"(value) => ({RESTING % ('value.getBoundingClientRect().toJSON()', PATIENCE)})(value)")

    def go(self, title: str) -> "Visitor":
        """Go to another page by the navigation."""
        group = next((page.group for page in PAGES if page.title == title), "")
        if len(pages_of(group)) > 1:
            self.page.get_by_test_id("stPopover").get_by_role("button", name=group).click()
        self.page.get_by_role("link", name=title, exact=True).first.click()
        return self

    def probe(self) -> dict:
        return self.page.evaluate(
            "(stage) => { const { pixel, ...rest } = document.querySelector(stage).probe(); return rest }", self.stage
        )

    def once(self, look: Callable[[], T], condition: Callable[[T], bool], what: str) -> T:
        """What `look` gives, as soon as it fulfils a condition."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not condition(seen := look()):
            assert time.monotonic() < deadline, f"never: {what}; last seen {seen}"
            self.page.wait_for_timeout(30)
        return seen

    def until(self, condition: Callable[[dict], bool], what: str) -> dict:
        """The stage's state as soon as it fulfils a condition."""
        return self.once(self.probe, condition, what)

    def at_the_end(self) -> "Visitor":
        """Stop playing and show the whole run."""
        self.page.get_by_role("button", name="Jump to end").click()
        self.until(lambda state: state["frame"] == state["steps"] and not state["playing"], "the end of the run")
        return self

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the surface is in the window, in px, once it stays there."""
        return tuple(self.resting("document.querySelector('.oz-stage').probe().pixel(...value)", [x, y]))

    def slider(self, name: str):
        return self.page.get_by_role("slider", name=name, exact=False).first

    def nudge(self, name: str) -> None:
        """Move a slider by one stop. A page that has just opened may put a new slider in the place of the one that has
        the focus; the key is then pressed again, which shows at once, in the browser alone."""
        for _ in range(20):
            slider = self.slider(name).element_handle()
            with suppress(Error):  # it was replaced before the key came
                before = slider.get_attribute("aria-valuetext")
                slider.press("ArrowRight")
                if slider.evaluate(CHANGED, ["aria-valuetext", before]):
                    return
        raise AssertionError(f"the slider {name} does not move")

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.page.url).query)

    def until_query(self, condition: Callable[[dict], bool], what: str) -> dict:
        """The fields of the address as soon as they fulfil a condition."""
        return self.once(lambda: self.query, condition, what)
