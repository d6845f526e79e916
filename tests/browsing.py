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
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

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
PATIENCE = 150_000  # ms: a bound against hanging, generous because compiling shares two cores with the browser
T = TypeVar("T")


class Address(str):
    """Where a server answers, and the process that does."""

    process: int


@contextmanager
def serving(*options: str, before: str = "", **environment: str) -> Iterator[Address]:
    """A fresh server of the app; yields its address. `before` is code that its process runs first, and `environment`
    is added to its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-c", f"{before}\nfrom streamlit.web.cli import main\nmain()"] if before else ["-m", "streamlit"]
    command = [sys.executable, *launch, "run", "app.py", "--server.headless", "true"]
    command += [
        "--server.port",
        str(port),
        "--server.address",
        "127.0.0.1",
        *options,
    ]
    surroundings = {**os.environ, **environment}
    server = subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = Address(f"http://127.0.0.1:{port}" + next((f"/{o}" for o in options if not o.startswith("-")), ""))
    base.process = server.pid
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{base}/_stcore/health", timeout=1)
                break
            except OSError:
                assert server.poll() is None, "the server ended before it answered"
                time.sleep(0.1)
        yield base
    finally:
        server.terminate()
        server.wait(10)


def in_a_thread(talk: Coroutine[Any, Any, T]) -> T:
    """What a conversation with a server comes to, held in a thread of its own: after a test in the browser, the
    worker's main thread has an event loop that runs on."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, talk).result()


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
        """Wait until the script has run and the stage shows its result."""
        self.page.wait_for_selector(f"{self.stage}[data-ready=true]")
        idle = '[data-testid=stApp][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
        self.page.wait_for_selector(idle)
        self.page.wait_for_timeout(300)  # right after connecting, a second run may follow the first
        self.page.wait_for_selector(idle)
        return self

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

    def until(self, condition: Callable[[dict], bool], what: str) -> dict:
        """The stage's state as soon as it fulfils a condition."""
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            state = self.probe()
            if condition(state):
                return state
            self.page.wait_for_timeout(30)
        raise AssertionError(f"never: {what}; last seen {self.probe()}")

    def at_the_end(self) -> "Visitor":
        """Stop playing and show the whole run."""
        self.page.get_by_role("button", name="Jump to end").click()
        self.until(lambda state: state["frame"] == state["steps"] and not state["playing"], "the end of the run")
        return self

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        return tuple(self.page.evaluate("([x, y]) => document.querySelector('.oz-stage').probe().pixel(x, y)", [x, y]))

    def slider(self, name: str):
        return self.page.get_by_role("slider", name=name, exact=False).first

    def nudge(self, name: str) -> None:
        """Move a slider by one stop. A page that has just opened may put a new slider in the place of the one that has
        the focus; the key is then pressed again, which shows at once, in the browser alone."""
        slider = self.slider(name)
        before = slider.get_attribute("aria-valuetext")
        for _ in range(20):
            slider.press("ArrowRight")
            self.page.wait_for_timeout(150)
            if slider.get_attribute("aria-valuetext") != before:
                return
        raise AssertionError(f"the slider {name} does not move")

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.page.url).query)

    def until_query(self, condition: Callable[[dict], bool], what: str) -> dict:
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            if condition(self.query):
                return self.query
            self.page.wait_for_timeout(30)
        raise AssertionError(f"never: {what}; the address is {self.page.url}")
