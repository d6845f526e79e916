"""Visitors take turns, and who is quickly done goes first.

Python runs one thread at a time. When a class moves its sliders together, a dozen scripts that all want to run hand the
interpreter to one another every few milliseconds, and at each call of a compiled program, so that all of them end late.
One after the other, most have their answer sooner and the last one no later. Who waits goes the sooner the earlier it
came and the shorter the turns of its page were lately, so that nobody waits for ever.

A turn that lasts is lost to the next who waits, for somebody may be compiling; the script goes on beside the others.
It is the turn that must not be long, not the wait: when more ask than can be served, all wait, and must not for that
reason all run at once.

Compiled programs need no interpreter. Whoever computes with them for long does it `aside`, and others have their turns
meanwhile. The threads that compute for all visitors (`optviz.pools`) give way to them.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

PATIENCE = 0.3  # s: whose turn has lasted so long loses it, for somebody may be compiling
WEIGHT = 10.0  # a page that needs a turn of t s waits as if it had come WEIGHT × t s later
LATELY = 0.1  # weight of a page's last turn in how long its turns take


class _Waiting(NamedTuple):
    """Somebody who waits: who is `due` first goes first, and of those due at once who came first."""

    due: float
    number: int
    called: threading.Event


class _Turns:
    """One turn, and those who wait for it. `usual` is how long the turns of each page have taken lately, in seconds."""

    def __init__(self):
        self._lock, self._numbers = threading.Lock(), count()
        self._holder: int | None = None  # the number of the one whose turn it is, and since when
        self._since = 0.0
        self._waiting: list[_Waiting] = []
        self.usual: dict[str, float] = {}

    def take(self, page: str, came: float) -> int:
        """Wait for the turn of one who came at a time of `time.perf_counter`; returns the number of this turn."""
        with self._lock:
            number = next(self._numbers)
            if self._holder is None:
                self._begin(number)
                return number
            mine = _Waiting(came + WEIGHT * self.usual.get(page, 0.0), number, threading.Event())
            heapq.heappush(self._waiting, mine)
        while not mine.called.wait(PATIENCE):
            with self._lock:
                if self._holder is not None and time.perf_counter() - self._since > PATIENCE:
                    self._next()
        return number

    def give(self, number: int) -> None:
        """Hand the turn of this number on, if it was not lost."""
        with self._lock:
            if number == self._holder:
                self._next()

    def _begin(self, number: int | None) -> None:  # with the lock held, as is the next one
        self._holder, self._since = number, time.perf_counter()

    def _next(self) -> None:
        if self._waiting:
            _, number, called = heapq.heappop(self._waiting)
            self._begin(number)
            called.set()
        else:
            self._begin(None)

    def learn(self, page: str, took: float) -> None:
        """Remember how long a turn took."""
        with self._lock:
            self.usual[page] = (1 - LATELY) * self.usual.get(page, took) + LATELY * took


class _Script(threading.local):
    """What the script of this thread knows of its turn: its page, when it came, the turn's number, since when it has
    it, and for how long it had it before."""

    page: str | None = None
    came: float = 0.0
    number: int = -1
    since: float = 0.0
    had: float = 0.0

    def take(self) -> None:
        assert self.page is not None
        self.number = _turns.take(self.page, self.came)
        self.since = time.perf_counter()

    def give(self) -> None:
        self.had += time.perf_counter() - self.since
        _turns.give(self.number)


_turns, _script = _Turns(), _Script()


@contextmanager
def in_turn(page: str) -> Iterator[None]:
    """Wait for one's turn and keep it for what is done within, but no longer than PATIENCE if others wait. Within a
    turn it does nothing."""
    if _script.page is not None:
        yield
        return
    _script.page, _script.came, _script.had = page, time.perf_counter(), 0.0
    _script.take()
    try:
        yield
    finally:
        _script.give()
        _turns.learn(page, _script.had)
        _script.page = None


@contextmanager
def aside() -> Iterator[None]:
    """Let others have the turn during what is done within. Outside a turn it does nothing."""
    if _script.page is None:
        yield
        return
    _script.give()
    try:
        yield
    finally:
        _script.take()
