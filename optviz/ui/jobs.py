"""Long computations beside the page: a training that goes on while its visitor looks, moves sliders or turns pages.

A job owns one training. It works in slices of about SLICE seconds, which the jobs of all visitors take in turns on a
few threads, so that none waits for another to finish, and nobody who only moves sliders waits for any of them. JAX
lets other threads run while it computes.

Whoever looks at a job asks for its `glance`, which is a value; what a visitor wants of it (start, pause, one step,
another learning rate) changes it from the next slice on. A job that nobody has looked at for a while pauses, and soon
if its visitor has left: who comes back within their session, as after a connection that was lost, finds it there.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from optviz.limits import LIMITS
from optviz.pools import pool
from optviz.training import Progress, Training, advance, begin

SLICE = 0.06  # seconds of work at a time
UNSEEN = LIMITS.unseen_seconds  # seconds without a look after which a job pauses
NEWS = 0.1  # seconds that a glance waits for something new
LEFT = LIMITS.left_seconds  # and if the page was closed; a connection that is lost for a moment costs nothing
WORKERS = max(1, (os.cpu_count() or 2) - 1)  # one core stays for those who move sliders

_pool = pool("training", WORKERS)
_compilers = ThreadPoolExecutor(2, thread_name_prefix="optviz compiler")
_jobs: weakref.WeakSet[Job] = weakref.WeakSet()
_jobs_lock = threading.Lock()  # a set that grows while another thread goes through it raises


class Glance(NamedTuple):
    """What is known of a job at a moment."""

    run: str  # names this run: another after each reset
    training: Training
    progress: Progress | None  # None before the start has been measured
    running: bool
    seconds_left: float | None  # to the end of the planned run, at the pace so far
    problem: str  # why it stopped, in words; "" if nothing is wrong
    memo: dict[str, Any]  # what pictures of this run have been made

    @property
    def place(self) -> tuple[str, int]:
        """Which moment of which run this is."""
        return self.run, self.progress.step if self.progress else -1


class Job:
    """One visitor's training, and how far it has come."""

    _count = 0

    def __init__(self, training: Training, present: Callable[[], bool] = lambda: True):
        """`present()` says whether the visitor still has the page open."""
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._present = present
        self._training = training
        with self._lock:
            self._anew()
        with _jobs_lock:
            _jobs.add(self)

    def _anew(self) -> None:  # with the lock held
        Job._count += 1
        self._run = f"run{id(self):x}-{Job._count}"
        self._progress: Progress | None = None
        self._running = self._busy = False
        self._goal = 0  # the step at which it pauses by itself
        self._pace = 1  # steps of a slice
        self._speed: float | None = None  # steps a second
        self._problem = ""
        self._memo: dict[str, Any] = {}
        self._seen = time.monotonic()
        self._news.notify_all()

    def glance(self, seen: tuple[str, int] | None = None) -> Glance:
        """How far it has come; it counts as a sign that somebody is looking. Who has `seen` a place waits while the run
        goes on and is still there, NEWS seconds at most."""
        with self._lock:
            self._seen = time.monotonic()
            self._news.wait_for(lambda: not self._running or self._now().place != seen, NEWS)
            return self._now()

    def _now(self) -> Glance:  # with the lock held
        step = self._progress.step if self._progress else 0
        left = (self._training.steps - step) / self._speed if self._speed and self._running else None
        return Glance(self._run, self._training, self._progress, self._running, left, self._problem, self._memo)

    def start(self, steps: int | None = None) -> None:
        """Go on, for so many steps, or to the end of the planned run."""
        with self._lock:
            step = self._progress.step if self._progress else 0
            if steps is None and step >= self._training.steps:
                return
            if not self._running and busy() >= LIMITS.jobs:
                self._problem = (
                    f"{LIMITS.jobs} trainings are running on this server, as many as it takes at one time. Press Start "
                    "again in a while."
                )
                return
            self._goal = self._training.steps if steps is None else step + steps
            self._seen = time.monotonic()
            self._problem = ""
            self._running = True
            self._queue()

    def measure(self) -> None:
        """Measure the start, if that is not done, and have the first step's programs compiled while the visitor looks
        around, so that Start goes off at once."""
        with self._lock:
            run, training = self._run, self._training
            if self._progress is not None:
                return
        start = self._guarded(run, lambda: begin(training))
        if start is None:
            return
        with self._lock:
            if run == self._run and self._progress is None:
                self._progress = start
                if not self._busy:
                    self._busy = True
                    _pool.submit(self._compile, run, training, start)

    def _compile(self, run: str, training: Training, start: Progress) -> None:
        """Take a first step with each configuration by itself, side by side, and forget it."""

        def first_step(index: int) -> None:
            alone = replace(training, configurations=training.configurations[index : index + 1])
            place = slice(index, index + 1)
            if run == self._run:
                advance(alone, Progress(alone, 0, start.states[place], start.histories[place]), 1)

        def all_of_them() -> Progress:
            list(_compilers.map(first_step, range(len(training.configurations))))
            return start

        self._guarded(run, all_of_them)
        self._release(run)

    def pause(self) -> None:
        """Stop after the present slice."""
        with self._lock:
            self._running = False
            self._news.notify_all()

    def reset(self) -> None:
        """Back to the same initial weights."""
        with self._lock:
            self._anew()

    def change(self, training: Training) -> tuple[str, ...]:
        """Go on with another training. What differs that cannot go on, which starts the run anew, is returned."""
        with self._lock:
            reset = training.resets(self._training)
            to_the_end = self._goal == self._training.steps
            self._training = training
            if reset:
                self._anew()
            elif to_the_end:
                self._goal = training.steps
            return reset

    def _queue(self) -> None:  # with the lock held
        if not self._busy:
            self._busy = True  # until its slice has ended: two at once would do the same work
            _pool.submit(self._slice, self._run)

    def _slice(self, run: str) -> None:
        with self._lock:
            if run != self._run:
                return
            training, before = self._training, self._progress
            if time.monotonic() - self._seen > (UNSEEN if self._present() else LEFT):
                self._running = False
                self._problem = "Paused, as nobody was looking. Start goes on."
            steps = min(self._pace, self._goal - before.step) if before else 0
            if before and (not self._running or steps <= 0):
                self._running = self._busy = False
                return
        began = time.perf_counter()
        after = self._guarded(run, lambda: advance(training, before, steps) if before else begin(training))
        took = time.perf_counter() - began
        with self._lock:
            if after is not None and run == self._run:
                self._progress = after
                if before:
                    self._speed = steps / max(took, 1e-6)
                    self._pace = max(1, min(2 * self._pace, round(self._speed * SLICE)))
                if all(history.failure for history in after.histories) or (before and after.step >= self._goal):
                    self._running = False
        self._release(run)

    def _release(self, run: str) -> None:
        """The end of a slice: the next one, if it still runs."""
        with self._lock:
            if run == self._run:
                self._busy = False
                if self._running:
                    self._queue()
                self._news.notify_all()

    def _guarded(self, run: str, work: Callable[[], Progress]) -> Progress | None:
        """What `work` gives; None if it fails, which is said to the visitor, for the thread must live."""
        try:
            return work()
        except Exception as error:
            logging.getLogger(__name__).exception("A training failed")
            with self._lock:
                if run == self._run:
                    self._running, self._problem = False, f"The training stopped: {error}"
            return None


def busy() -> int:
    """How many jobs are running, of all visitors."""
    with _jobs_lock:
        return sum(job._running for job in _jobs)


def job_of_visitor(page: str, first: Training) -> Job:
    """The visitor's job on a page. It lives as long as the visitor's session, which Streamlit keeps for two minutes
    after a connection was lost; a cache of the session's it would empty at once."""
    key = f"{page}-job"
    if key not in st.session_state:
        st.session_state[key] = Job(first, _presence())
    return st.session_state[key]


def _presence() -> Callable[[], bool]:
    """Whether the visitor whose script is running is connected, now and later."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():  # outside a server, as in a test of the page
        return lambda: True
    return partial(runtime.get_instance().is_active_session, context.session_id)
