"""Debian's Firefox: the app opens there, plays, and answers the keyboard, without an error on the console.

Playwright drives only a Firefox of its own. Any Firefox listens to WebDriver BiDi, which is JSON over a websocket, and
a smoke test needs four of its commands.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection, connect

from browsing import free_port

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PATIENCE = 300  # s: a bound against hanging
READY = "document.querySelector('.oz-stage')?.dataset.ready === 'true'"
PROBE = "document.querySelector('.oz-stage').probe()"


class Firefox:
    """A window of Firefox, and the errors that it has reported."""

    def __init__(self, socket: ClientConnection):
        self.socket, self.said = socket, 0
        self.errors: list[str] = []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.window = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method: str, **params: object) -> dict:
        """A command's result; what Firefox reports in the meantime is kept."""
        self.said += 1
        self.socket.send(json.dumps({"id": self.said, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(timeout=PATIENCE))
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.errors.append(answer["params"]["text"])
            if answer.get("id") == self.said:
                assert answer["type"] == "success", answer
                return answer["result"]

    def open(self, address: str) -> None:
        self.ask("browsingContext.navigate", context=self.window, url=address, wait="complete")

    def value(self, expression: str) -> object:
        """What an expression is in the page; None where it cannot be asked, as while the page is loading."""
        code = f"JSON.stringify({expression}) ?? 'null'"
        found = self.ask("script.evaluate", expression=code, target={"context": self.window}, awaitPromise=True)
        return json.loads(found["result"]["value"]) if found["type"] == "success" else None

    def until(self, expression: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < deadline, f"never: {expression}"
            time.sleep(0.1)

    def press(self, key: str) -> None:
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.ask(
            "input.performActions", context=self.window, actions=[{"type": "key", "id": "keys", "actions": actions}]
        )


@pytest.fixture
def firefox(tmp_path) -> Iterator[Firefox]:
    """A contributor may have no Firefox; CI must have it."""
    if not FIREFOX and os.environ.get("OPTVIZ_CI") != "1":
        pytest.skip("Firefox is not installed")  # on a contributor's machine; never in CI
    assert FIREFOX
    port = free_port()
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(tmp_path), "--remote-debugging-port", str(port)]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with _connected(port, browser) as channel:
            yield Firefox(channel)
    finally:
        browser.terminate()
        browser.wait(PATIENCE)


def _connected(port: int, browser: subprocess.Popen) -> ClientConnection:
    for _ in range(10 * PATIENCE):
        try:
            return connect(f"ws://127.0.0.1:{port}/session", max_size=None)
        except OSError:
            assert browser.poll() is None, "Firefox ended before it answered"
            time.sleep(0.1)
    raise AssertionError("Firefox does not answer")


def test_a_race_plays_and_answers_the_keyboard_in_firefox(firefox, server):
    firefox.open(f"{server}/")
    firefox.until(READY)
    firefox.until(f"{PROBE}.frame > 3 && {PROBE}.playing")
    firefox.open(f"{server}/descent")
    firefox.until(READY)
    before = firefox.value(f"{PROBE}.frame")
    play = "document.querySelector('.oz-main[aria-label=Play]')"
    firefox.value(f"{play}?.click() ?? null")  # unless it plays already
    firefox.until(f"{PROBE}.frame > {before} || {PROBE}.frame === {PROBE}.steps")
    slider = "document.querySelector('.oz-slider[aria-label^=\"Learning rate\"]')"
    firefox.until(f"{slider} !== null")
    address = firefox.value("location.search")
    standing = firefox.value(f"{slider}.getAttribute('aria-valuetext')")
    for _ in range(20):  # a page that has just opened may put a new slider in the place of the one that has the focus
        firefox.value(f"{slider}.focus()")
        firefox.press("\ue014")  # the right arrow
        if firefox.value(f"{slider}.getAttribute('aria-valuetext')") != standing:
            break
    firefox.until(f"location.search !== {json.dumps(address)}")
    assert firefox.value("document.querySelector('[data-testid=stException]')") is None
    assert [error for error in firefox.errors if "_stcore" not in error] == []
