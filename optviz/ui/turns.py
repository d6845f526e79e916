"""Visitors take turns, and who is quickly done goes first.

Python runs one thread at a time. When a class moves its sliders together, a dozen scripts that all want to run hand the
interpreter to one another every few milliseconds, and at each call of a compiled program, so that all of them end late.
One after the other, most have their answer sooner and the last one no later. Of those who wait, the next is the one
whose page took the shortest turns lately.

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

PATIENCE = 0.3  # s: who has waited so long goes ahead, for somebody may be compiling
LATELY = 0.1  # weight of a page's last turn in how long its turns take


class _Turns:
    """One turn, and those who wait for it: the one who will need it for the shortest time is the next. `usual` is how
    long the turns of each page have taken lately, in seconds."""

    def __init__(self):
        self._lock, self._taken = threading.Lock(), False
        self._waiting: list[tuple[float, int, threading.Event]] = []
        self._numbers = count()
        self.usual: dict[str, float] = {}

    def take(self, page: str) -> bool:
        """Wait for the turn, at most PATIENCE, and tell whether it is ours."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            mine = (self.usual.get(page, 0.0), next(self._numbers), threading.Event())
            heapq.heappush(self._waiting, mine)
        if mine[2].wait(PATIENCE):
            return True
        with self._lock:
            if mine[2].is_set():  # just now
                return True
            self._waiting.remove(mine)
            heapq.heapify(self._waiting)
            return False

    def give(self) -> None:
        """Hand the turn on."""
        with self._lock:
            if self._waiting:
                heapq.heappop(self._waiting)[2].set()
            else:
                self._taken = False

    def learn(self, page: str, took: float) -> None:
        """Remember how long a turn took."""
        with self._lock:
            self.usual[page] = (1 - LATELY) * self.usual.get(page, took) + LATELY * took


class _Script(threading.local):
    """What the script of this thread knows of its turn: its page, whether it has it, since when, and for how long it
    had it before."""

    page: str | None = None
    mine: bool = False
    since: float = 0.0
    had: float = 0.0

    def take(self) -> None:
        assert self.page is not None
        self.mine, self.since = _turns.take(self.page), time.perf_counter()

    def give(self) -> None:
        self.had += time.perf_counter() - self.since
        if self.mine:
            self.mine = False
            _turns.give()


_turns, _script = _Turns(), _Script()


@contextmanager
def in_turn(page: str) -> Iterator[None]:
    """Wait for one's turn, at most PATIENCE, and keep it for what is done within. Within a turn it does nothing."""
    if _script.page is not None:
        yield
        return
    _script.page, _script.had = page, 0.0
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
