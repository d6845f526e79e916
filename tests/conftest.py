"""What the tests of several rooms share."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest
from hypothesis import settings

from browsing import CHROMIUM, FLAGS, Address, Visitor, serving
from optviz.ui.frame import keep_programs

# The app keeps compiled programs in the visitor's cache folder; the tests keep theirs here. Their own processes do so
# too, as a page's server does, so that what one test or server has compiled is compiled for all.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "xdg")
keep_programs()

# An example may be the first to compile something, so no deadline; the same examples every time, so that a failure in
# somebody else's checkout is a failure in this one.
settings.register_profile("optviz", deadline=None, derandomize=True)
settings.load_profile("optviz")

_compiled: list[str] = []


def _listen(event: str, duration_secs: float, **about: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":  # asked for, whether found in the cache on disk or not
        _compiled.append(f"{about.get('fun_name')} in {threading.current_thread().name}")


jax.monitoring.register_event_duration_secs_listener(_listen)


@pytest.fixture
def compilations() -> Callable[[], list[str]]:
    """The programs that have been compiled so far in this process: read it before and after. What earlier tests of
    pages have left in the background comes to rest first, for it compiles too."""
    for thread in threading.enumerate():
        if thread.name == "optviz warm-up":
            thread.join()
    jobs = sys.modules.get("optviz.ui.jobs")
    for job in list(jobs._jobs) if jobs else ():
        job.pause()
        until = time.monotonic() + 60
        while job._busy and time.monotonic() < until:
            time.sleep(0.02)
    for room in ("optviz.calibration", "optviz.many"):
        pool = getattr(sys.modules.get(room), "_pool", None)
        if pool is not None:
            all_free = threading.Barrier(pool._max_workers)
            for task in [pool.submit(all_free.wait) for _ in range(pool._max_workers)]:
                task.result(timeout=120)
    return lambda: list(_compiled)


@pytest.fixture
def torch():
    """PyTorch is the second opinion where it is installed, and CI must have it."""
    if os.environ.get("OPTVIZ_CI") == "1":
        import torch
    else:
        torch = pytest.importorskip("torch")
    return torch


# Tests in a browser --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict:
    """A contributor may have no browser; CI must have it."""
    if not CHROMIUM and os.environ.get("OPTVIZ_CI") != "1":
        # nothing else can take a browser's place, and .ci/run sets OPTVIZ_CI, so that there the launch fails instead
        pytest.skip("Chromium is not installed")
    return {"executable_path": CHROMIUM, "args": FLAGS, "headless": True}


@pytest.fixture(scope="session")
def context(browser):
    """One for all tests: a cold one costs five seconds of loading scripts."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Address]:
    with serving() as base:
        yield base


@pytest.fixture
def window(server, context) -> Iterator[Callable[[type[Visitor]], Visitor]]:
    """A function that opens another window for a kind of visitor."""
    visitors = []

    def another(kind: type[Visitor]) -> Visitor:
        visitors.append(kind(context.new_page(), server))
        return visitors[-1]

    yield another
    for one in visitors:
        assert one.problems == []
        assert one.page.get_by_test_id("stException").count() == 0
        one.page.close()


@pytest.fixture
def visitor(window) -> Callable[[], Visitor]:
    return lambda: window(Visitor)
