"""Faults: what fails in a server, and what its visitors notice of it. The figures are in docs/reliability.md.

Replicas and the load balancer are real, with the configuration that is deployed.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

from benchmarks.cluster import HAPROXY, Cluster, cluster
from benchmarks.faults import FAULTS, strike
from benchmarks.visitors import STREAMLIT
from benchmarks.visitors import Visitor as Guest
from benchmarks.visits import descent
from browsing import PATIENCE, ROOT, Visitor, in_a_thread, serving
from optviz.ui.frame import SORRY
from optviz.ui.jobs import Job
from test_jobs import SMALL, finished, until

VISITORS = 4


@pytest.fixture(scope="module")
def together() -> Iterator[Cluster]:
    """Two replicas behind the load balancer; a contributor may have none, CI must have it."""
    if (HAPROXY is None or sys.platform != "linux") and os.environ.get("OPTVIZ_CI") != "1":
        pytest.skip("HAProxy is not installed")  # on a contributor's machine; never in CI
    with cluster(2, XDG_CACHE_HOME=os.environ["XDG_CACHE_HOME"]) as both:
        yield both


@pytest.mark.parametrize("name", ["kill", "proxy"])
def test_visitors_come_back_with_their_experiments(together, name):
    guests = in_a_thread(strike(together, FAULTS[name], VISITORS))
    if name == "kill":
        together.restart(0)
        together.answers(together.places[0])
        assert 0 < sum(guest.lost for guest in guests) < VISITORS  # the cookie had shared them out
    else:
        assert all(guest.lost == 1 for guest in guests)
    assert [guest.errors for guest in guests] == [[]] * VISITORS
    assert all(len(guest.back) == guest.lost for guest in guests)
    assert all(all(guest.intact) for guest in guests)


def test_a_browser_stays_on_its_experiment_while_every_replica_is_replaced(together, context):
    """As when a new version is put in place: one replica after the other ends and starts. After the second, nothing
    that Streamlit does of itself brings the page back to life."""
    guest = Visitor(context.new_page(), together.address).open("/descent?racer=adam~lr~0.05").at_the_end()
    guest.nudge("Learning rate")
    guest.until_query(lambda query: query.get("racer") == ["adam~lr~0.063"], "the new rate in the address")
    guest.settled()
    lost = []
    guest.page.on(
        "websocket", lambda another: lost.append(another.url)
    )  # another connection, because the one before was lost
    for number, place in enumerate(together.places):
        together.restart(number)
        together.answers(place)
        guest.page.wait_for_timeout(3000)  # for the load balancer to see it too; else nobody serves for a moment
    guest.once(lambda: lost, bool, "another connection")
    guest.settled()
    assert guest.query["racer"] == ["adam~lr~0.063"]
    assert guest.slider("Learning rate").get_attribute("aria-valuetext") == "0.063"
    guest.nudge("Learning rate")
    guest.until_query(lambda query: query.get("racer") == ["adam~lr~0.08"], "the next rate in the address")
    guest.settled()
    assert guest.page.get_by_test_id("stException").count() == 0
    guest.page.close()


# Presses a key on a control at the very moment at which the connection is lost, or is there again.
PRESS = """([name, back]) => {
  const moment = () => {
    const state = document.querySelector("[data-testid=stApp]").dataset.testConnectionState
    if ((state === "CONNECTED") !== back) return
    watch.disconnect()
    const slider = document.querySelector(`input[type=range][aria-label^="${name}"]`)
    slider.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }))
    slider.value = Number(slider.value) + 1
    for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind, { bubbles: true }))
  }
  const watch = new MutationObserver(moment)
  watch.observe(document.body, { subtree: true, attributeFilter: ["data-test-connection-state"] })
}"""


@pytest.mark.parametrize("back", [False, True], ids=["lost", "back"])
def test_a_key_that_is_pressed_as_the_server_changes_counts(together, context, back):
    """The other server has never seen this visitor, and counts their moves from 0, as the one before did."""
    guest = Visitor(context.new_page(), together.address).open("/descent?racer=adam~lr~0.05").at_the_end()
    guest.page.evaluate(PRESS, ["Learning rate", back])
    for number, place in enumerate(together.places):
        together.restart(number)
        together.answers(place)
    guest.until_query(lambda query: query.get("racer") == ["adam~lr~0.063"], "the new rate in the address")
    guest.settled()
    assert guest.slider("Learning rate").get_attribute("aria-valuetext") == "0.063"
    guest.page.close()


BROKEN = """
from optviz import experiment
whole = experiment.run
def run(one):
    if any(dict(racer.optimizer.values).get("lr") == 0.063 for racer in one.racers):
        raise MemoryError("a word that nobody but the log may know")
    return whole(one)
experiment.run = run
"""


def test_a_computation_that_throws_is_said_in_plain_words_and_the_next_one_works(context):
    with serving(before=BROKEN) as base:
        guest = Visitor(context.new_page(), base).open("/descent?racer=adam~lr~0.05").at_the_end()
        guest.nudge("Learning rate")  # to 0.063
        said = guest.page.get_by_test_id("stException").first
        said.wait_for()
        assert said.inner_text().splitlines()[0] == SORRY
        assert said.get_by_role("link").count() == 0
        for word in ("MemoryError", "Traceback", "nobody but the log"):
            assert word not in guest.page.content()
        guest.nudge("Learning rate")
        guest.until_query(lambda query: query.get("racer") == ["adam~lr~0.08"], "the next rate in the address")
        guest.settled()
        assert said.count() == 0
        assert guest.problems == []
        broken = Visitor(context.new_page(), base)
        broken.page.goto(f"{base}/descent?racer=adam~lr~0.063")  # a link that throws as soon as it is opened
        broken.page.get_by_test_id("stException").first.wait_for()
        broken.page.get_by_role("button", name="Export").wait_for()  # what stands around the race is there
        assert broken.page.get_by_test_id("stException").count() == 1
        broken.nudge("Learning rate")
        broken.settled()
        broken.until_query(lambda query: query.get("racer") == ["adam~lr~0.08"], "the next rate in the address")
        assert broken.page.get_by_test_id("stException").count() == 0
        for one in (guest, broken):
            one.page.close()


@asynccontextmanager
async def a_guest(base: str):
    """A visitor without a browser, on the open page."""
    stream = f"{base.replace('http', 'ws')}/_stcore/stream"
    async with connect(stream, subprotocols=STREAMLIT, compression=None, max_size=None) as socket:
        guest = Guest(socket, base, descent(0), 0, PATIENCE / 1000)
        await guest.arrive()
        yield guest


async def visit(base: str, *then: Callable[[], None]) -> None:
    """Open the page and move its slider, and again after each of the things that happen then."""
    async with a_guest(base) as guest:
        await guest.move()
        for happens in then:
            happens()
            await guest.move()


SMALL_FILES = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_costs_the_cache_and_nothing_else(tmp_path):
    """Every file ends after a kilobyte, as where the disk is full. The next server finds what is left of them."""
    with serving(before=SMALL_FILES, XDG_CACHE_HOME=str(tmp_path)) as base:
        in_a_thread(visit(base))
    broken = list((tmp_path / "optviz" / "jax").iterdir())
    assert broken
    assert all(path.stat().st_size <= 1000 for path in broken)
    with serving(XDG_CACHE_HOME=str(tmp_path)) as base:
        in_a_thread(visit(base))


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path):
    occupied = tmp_path / "cache"
    occupied.write_text("a file where a folder should be", encoding="ascii")
    with serving(XDG_CACHE_HOME=str(occupied)) as base:
        in_a_thread(visit(base))


CLOCK = """
import os, pathlib, time
ahead, real = pathlib.Path(os.environ["OPTVIZ_TEST_CLOCK"]), time.time
time.time = lambda: real() + float(ahead.read_text())
"""
DAY = 86400


def test_a_clock_that_jumps_disturbs_no_visitor(tmp_path):
    ahead = tmp_path / "ahead"
    ahead.write_text("0", encoding="ascii")
    with serving(before=CLOCK, OPTVIZ_TEST_CLOCK=str(ahead)) as base:
        jumps = [lambda to=to: ahead.write_text(str(to), encoding="ascii") for to in (DAY, -DAY)]
        in_a_thread(visit(base, *jumps))


def test_a_clock_that_jumps_disturbs_no_training(monkeypatch):
    job, real = Job(SMALL), time.time
    job.start()
    until(job, lambda glance: glance.progress is not None and glance.progress.step > 2)
    for jump in (DAY, -DAY):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        time.sleep(0.1)
        assert not job.glance().problem
    until(job, finished)


def test_no_duration_is_taken_from_the_clock_on_the_wall():
    """It jumps; `monotonic` and `perf_counter` do not. (What is exported may say its date.)"""
    asking = re.compile(r"\btime\.time(_ns)?\(|from time import .*\btime\b")
    files = [ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("optviz/**/*.py")]
    assert [path.name for path in files if asking.search(path.read_text(encoding="utf-8"))] == []
    assert asking.search("began = time.time()")
