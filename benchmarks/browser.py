"""What a visitor sees and when, in real Chromium: from a key or the pointer to the picture, playing, and a cold start.

Times are taken inside the page, from the event to the last change of the picture that it causes, and each change is
seen right after the frame that shows it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Bar, Benchmark, NotMeasured, Reading, Readings, median_ratio, seconds
from benchmarks.serving import APP, RACE, SLIDER, STOCK, link, serving
from optviz.experiment import Racer

WINDOW = {"width": 1280, "height": 800}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000  # ms
ROUNDS, DRAGS = 20, 10
PLAYED = 5.0  # s that the player is watched at a time
STARTS = 3  # of a server, with and without compiled programs

STAGE = ".oz-stage[data-ready=true]"
IDLE = '[data-testid=stApp][data-test-script-state="notRunning"]'

# Watches a picture, given as a function of its state, from the next event of a kind on, until nothing has changed for
# a while. `picture.times` are the ms from the event to each change: a task that a frame posts runs when it is shown.
WATCH = """
window.watchPicture = (event, quiet, state) => {
  const picture = window.picture = { times: [], done: false }
  const frame = new MessageChannel()
  let seen = state(), began = null
  addEventListener(event, ({ timeStamp }) => { began ??= timeStamp }, { capture: true })
  frame.port1.onmessage = () => {
    const now = performance.now(), last = picture.times.at(-1)
    const current = state()
    if (began !== null && current !== seen) picture.times.push(now - began)
    seen = current
    picture.done = last !== undefined && now - began - last > quiet
    if (!picture.done) requestAnimationFrame(() => frame.port2.postMessage(null))
  }
  requestAnimationFrame(() => frame.port2.postMessage(null))
}
"""
# The stage paints on canvases and counts how often: the heads of the paths as they were when it last painted.
PAINTED = """
(() => {
  const stage = document.querySelector('.oz-stage')
  let drawn = -1, heads = ''
  return () => {
    const now = stage.probe()
    if (now.drawn !== drawn) { drawn = now.drawn; heads = JSON.stringify(now.heads) }
    return heads
  }
})()
"""
# Every painting of the stage counts, the axes' too, which come last.
PAINTINGS = "() => document.querySelector('.oz-stage').probe().drawn"
# Plotly's lines are in the document; a chart that is being put anew has none, and its contour comes with it.
LINES = """
() => ['path.js-line', '.contourlayer path'].map(part => Array.from(
  document.querySelectorAll('[data-testid=stPlotlyChart] ' + part), line => line.getAttribute('d')).join()).join('|')
"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A running browser. Raises NotMeasured where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise NotMeasured("Chromium is not installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NotMeasured("playwright is not installed") from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def opened(context: Any, address: str, picture: str) -> Any:
    """A new page at an address, when its picture is there and its script rests."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(WATCH)
    page.goto(address)
    page.wait_for_selector(picture)
    rest(page)
    return page


def rest(page: Any) -> None:
    """Wait until the script rests; right after connecting, a second run may follow the first."""
    for _ in range(2):
        page.wait_for_selector(IDLE)
        page.wait_for_timeout(300)


def watched(page: Any, event: str, state: str, act: Any, quiet: int = 500) -> list[float]:
    """Seconds from an event, which `act` causes, to each change of the picture."""
    page.evaluate(f"watchPicture({event!r}, {quiet}, {state})")
    act()
    page.wait_for_function("picture.done")
    return [time / 1000 for time in page.evaluate("picture.times")]


def press(page: Any, state: str) -> float:
    """Seconds from an arrow key on the learning rate's slider to the last change of the picture."""
    page.bring_to_front()
    slider = page.get_by_role("slider", name=SLIDER, exact=False).first
    slider.focus()
    before = slider.get_attribute("aria-valuetext")
    times = watched(page, "keydown", state, lambda: page.keyboard.press("ArrowRight"))
    rest(page)
    if slider.get_attribute("aria-valuetext") == before:
        raise RuntimeError("the key did not move the slider")
    return times[-1]


def move(page: Any, part: float) -> float:
    """Seconds from a move of the pointer, down on the stage's slider, to the path that follows it."""
    page.bring_to_front()
    box = page.get_by_role("slider", name=f"Drag {SLIDER}").bounding_box()
    x, y = box["x"] + box["width"] * part, box["y"] + box["height"] / 2
    return watched(page, "pointermove", PAINTED, lambda: page.mouse.move(x, y))[0]


def browser() -> Readings:
    """A race of four optimizers on Rosenbrock over 500 steps at 1280 × 800, on the app's page with all its controls,
    and on benchmarks/stock_page.py, which has a slider and the same runs, contour, paths and loss curves, by
    `st.plotly_chart` and a full rerun, on a server of the same configuration. *Key*: from an arrow key on the learning
    rate's slider, to a value that never was before, until the picture stops changing (the app's last curve with its
    axis; the stock page's last line and contour); twenty rounds in turns. *Drag*: after that, from each of ten
    moves of the pointer, held down on the stage's own slider, to the frame with the new path; held against the median
    of the stock page's keys, as nothing of it moves while a slider is dragged."""
    with chromium() as chrome, serving(APP) as app, serving(STOCK) as stock:
        context = chrome.new_context(viewport=WINDOW)
        ours = opened(context, app.address + link(RACE), STAGE)
        ours.get_by_role("button", name="Jump to end").click()
        theirs = opened(context, stock.address, "[data-testid=stPlotlyChart] path.js-line")
        keys, stock_keys, drags = [], [], []
        for page, state in ((ours, PAINTINGS), (theirs, LINES)):
            press(page, state)  # the first one compiles, and loads what is loaded once
        for _ in range(ROUNDS):
            keys.append(press(ours, PAINTINGS))
            stock_keys.append(press(theirs, LINES))
        handle = ours.get_by_role("slider", name=f"Drag {SLIDER}")
        handle.hover()
        ours.wait_for_function("document.querySelector('.oz-stage').probe().family !== null")
        ours.mouse.down()
        for part in np.linspace(0.55, 0.9, DRAGS):
            drags.append(move(ours, part))
        ours.mouse.up()

    key, stock_key, drag = (float(np.median(times)) for times in (keys, stock_keys, drags))
    return {
        "key": Reading(median_ratio(keys, stock_keys), f"{seconds(key)} against {seconds(stock_key)}"),
        "drag": Reading(drag / stock_key, f"{seconds(drag)} against {seconds(stock_key)}"),
    }


EIGHT = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw")


def player() -> Readings:
    """Eight optimizers over 5,000 steps on Rosenbrock, four panels at 1280 × 800, played at 500 steps a second in
    Chromium's software rendering. The stage counts its paintings, each in an animation frame of its own; what counts is
    their number over five seconds, the median of three times."""
    race = replace(RACE, steps=5000, racers=tuple(Racer.tuned(key, "rosenbrock") for key in EIGHT))
    with chromium() as chrome, serving(APP) as app:
        page = opened(chrome.new_context(viewport=WINDOW), app.address + link(race), STAGE)
        page.get_by_role("combobox", name="Speed").select_option("500")
        count = "(() => { const { drawn, playing } = document.querySelector('.oz-stage').probe();"
        count += " return [drawn, performance.now(), playing] })()"
        rates = []
        for _ in range(3):
            page.get_by_role("button", name="Jump to start").click()
            page.get_by_role("button", name="Play", exact=True).click()
            first, began, _ = page.evaluate(count)
            page.wait_for_timeout(1000 * PLAYED)
            last, ended, playing = page.evaluate(count)
            if not playing:
                raise RuntimeError("the player stopped before the time was over")
            rates.append(1000 * (last - first) / (ended - began))
    return {"rate": Reading(float(np.median(rates)), f"lowest {min(rates):.1f}")}


def cold_start() -> Readings:
    """From the launch of a server to the race on the home page of a visitor with an empty browser cache, who asks as
    soon as the server answers: the median of three. *First ever*: without compiled programs on disk. *Later*: with the
    ones that the start before left there."""
    times, up = {True: [], False: []}, []
    with chromium() as chrome:
        for _ in range(STARTS):
            with tempfile.TemporaryDirectory() as folder:
                for first in (True, False):
                    context = chrome.new_context(viewport=WINDOW)
                    page = context.new_page()
                    with serving(APP, Path(folder)) as app:
                        up.append(time.perf_counter() - app.launched)
                        page.goto(app.address)
                        page.wait_for_selector(STAGE, timeout=PATIENCE)
                        times[first].append(time.perf_counter() - app.launched)
                        context.close()
    answers = f"the server answers after {seconds(float(np.median(up)))}"
    return {
        name: Reading(float(np.median(times[first])), answers) for name, first in (("first", True), ("later", False))
    }


BENCHMARKS = {
    "browser": Benchmark(
        browser,
        {
            "key": Bar("key press → picture: against a stock page", "×", at_most=0.5),
            "drag": Bar("drag of the main slider → picture: against a stock page's key press", "×", at_most=0.15),
        },
    ),
    "player": Benchmark(player, {"rate": Bar("player: 8 optimizers × 5,000 steps", "pictures a second", at_least=50)}),
    "cold": Benchmark(
        cold_start,
        {
            "first": Bar("cold server → first race on the screen, first start ever", "s", at_most=5),
            "later": Bar("cold server → first race on the screen, later starts", "s", at_most=5),
        },
    ),
}
