"""Visitors take turns.

Python runs one thread at a time. When a class moves its sliders together, a dozen scripts that all want to run hand the
interpreter to one another every few milliseconds, and at each call of a compiled program, so that all of them end late.
One after the other, most have their answer sooner and the last one no later.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 0.3  # s: who has waited so long goes ahead, for somebody may be compiling
_turn = threading.Lock()


@contextmanager
def in_turn() -> Iterator[None]:
    """Wait for one's turn, at most PATIENCE, and keep it for what is done within."""
    mine = _turn.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if mine:
            _turn.release()
