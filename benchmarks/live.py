"""A training that is watched, in real Chromium: how often its picture changes, how soon it begins, and what the others
on the same server notice of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import numpy as np

from benchmarks.browser import PATIENCE, STAGE, WATCH, WINDOW, chromium, opened, rest
from benchmarks.report import Bar, Benchmark, Reading, Readings, seconds
from benchmarks.serving import APP, serving
from benchmarks.visitors import asked
from optviz.training import Training
from optviz.training_link import to_query
from optviz.ui.training import MOONS

# The slider's longest run, on small batches and under four seeds, or it would be over too soon to be watched.
LONG = replace(MOONS, epochs=1000, batch_size=10, seeds=4, curves=("loss",))
# And one that takes minutes.
HEAVY = replace(
    LONG,
    seeds=32,
    configurations=tuple(replace(one, net=replace(one.net, hidden=(64, 64))) for one in LONG.configurations),
)
WATCHED = 10.0  # s at most
STARTS = 5  # on a warm server, after the one on the fresh server
GUESTS, COMING, STAY = 5, 5.0, 25.0  # visitors of the descent page, and the s in which they come and are measured

CLOCK = "() => document.querySelector('.oz-stage .oz-clock')?.textContent ?? ''"
# Looks at the stage after every frame: how often its clock said something new, and whether a panel had no picture.
LOOK = """
() => {
  const seen = window.seen = { texts: new Set(), times: [], blank: 0, frames: 0, stop: false }
  const look = () => {
    const stage = document.querySelector('.oz-stage')
    const text = stage?.querySelector('.oz-clock')?.textContent
    if (text && !seen.texts.has(text)) { seen.texts.add(text); seen.times.push(performance.now()) }
    const panels = stage ? [...stage.querySelectorAll('.js-plotly-plot')] : []
    const empty = (panel) => !panel.querySelector('.main-svg .xy') || panel.getBoundingClientRect().height < 20
    if (!panels.length || panels.length < (seen.panels ?? 0) || panels.some(empty)) seen.blank += 1
    seen.panels = Math.max(seen.panels ?? 0, panels.length)
    seen.frames += 1
    if (!seen.stop) requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}
"""


def link(training: Training) -> str:
    """The training page with a training on it, relative to the server's address."""
    return "/training?" + urlencode(to_query(training, MOONS), doseq=True)


def press(page: Any, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def first_point(page: Any) -> float:
    """Seconds from a press on Start to the frame in which the clock has left step 0."""
    page.evaluate(f"watchPicture('pointerdown', 200, {CLOCK})")
    press(page, "Start")
    page.wait_for_function("picture.times.length > 0", timeout=PATIENCE)
    return page.evaluate("picture.times[0]") / 1000


def live() -> Readings:
    """Two moons with their boundary and loss, two networks 2-16-16-2 trained at once, at 1280 × 800. *Start*: from the
    press on Start of the page as it opens to the first frame whose clock has left step 0; on a fresh server the first
    time that anybody trains there, with no compiled programs on disk, pressed as soon as the page is drawn; on a warm
    one the median of five, from the same weights. *Updates*: the same for 1,000 epochs in batches of 10 under four
    seeds; how many times the stage's clock changed, looked at after every frame, from its first change to its last in
    ten seconds or until the run is over. *Blanks*: the frames among them in which a panel had no axes or was
    missing."""
    with chromium() as chrome, serving(APP) as app:
        context = chrome.new_context(viewport=WINDOW)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.add_init_script(WATCH)
        page.goto(app.address + link(MOONS))
        page.wait_for_selector(STAGE)
        fresh, warm = first_point(page), []
        for _ in range(STARTS):
            press(page, "Pause")
            rest(page)
            press(page, "Same weights")
            rest(page)
            warm.append(first_point(page))
        page.close()
        page = opened(context, app.address + link(LONG), STAGE)
        page.evaluate(LOOK)
        press(page, "Start")
        page.wait_for_timeout(1000 * WATCHED)
        seen = page.evaluate("(seen.stop = true, { ...seen, texts: seen.texts.size })")
    times = np.array(seen["times"][1:]) / 1000  # the first is the clock before Start
    waits = np.diff(times) if len(times) > 1 else np.array([WATCHED])
    return {
        "fresh": Reading(fresh),
        "warm": Reading(float(np.median(warm)), f"slowest {seconds(max(warm))}"),
        "updates": Reading(float(1 / waits.mean()), f"longest wait {seconds(float(waits.max()))}"),
        "blanks": Reading(seen["blank"], f"of {seen['frames']} frames"),
    }


def beside() -> Readings:
    """Five visitors of the descent page, as in the benchmark *visitors*, move a slider for 25 seconds: once alone, and
    once while two others watch a training each that lasts longer, in Chromium on the same machine, whose drawing takes
    part of the processor too. Held against each other are the times within which 95 of 100 moves are answered."""
    with chromium() as chrome, serving(APP) as app:
        alone = _moves(app.address)
        for number in range(2):
            page = opened(chrome.new_context(viewport=WINDOW), app.address + link(replace(HEAVY, seed=number)), STAGE)
            press(page, "Start")
        busy = _moves(app.address)
        for context in chrome.contexts:
            for page in context.pages:  # or nobody has been training beside them
                page.wait_for_function(f"before => ({CLOCK})() !== before", arg=page.evaluate(CLOCK))
    without, with_ = (1000 * float(np.percentile(times, 95)) for times in (alone, busy))
    return {"most": Reading(with_, f"{without:.0f} ms without; {len(busy)} moves, and {len(alone)} without")}


def _moves(address: str) -> list[float]:
    """The seconds of each move, asked for by a process of its own. Raises RuntimeError on any error."""
    found = asked(address, "descent", str(GUESTS), str(COMING), str(STAY))
    times = [one for own in found["times"].values() for one in own]
    if found["errors"] or not times:
        raise RuntimeError(f"errors of visitors: {found['errors'][:1]}")
    return times


BENCHMARKS = {
    "live": Benchmark(
        live,
        {
            "updates": Bar("live training, moons with boundary and loss: updates", "a second", at_least=10),
            "blanks": Bar("the same: frames with an empty panel", "frames", at_most=0),
            "fresh": Bar("press on Start → first drawn point, fresh server", "s", at_most=3),
            "warm": Bar("the same, warm server", "s", at_most=0.5),
        },
    ),
    "beside": Benchmark(
        beside, {"most": Bar("5 visitors move sliders while 2 trainings run: 95 of 100 moves", "ms", at_most=250)}
    ),
}
