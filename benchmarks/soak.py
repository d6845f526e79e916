"""A long day: visitors who come and go, and what of the server's memory stays. It is not among the benchmarks.

    python -m benchmarks.soak          # an hour
    python -m benchmarks.soak 15 50    # 15 minutes, with 50 visitors at a time

Each of 100 places is taken by a visitor of the crowd *class* (all pages, and every fifth trains a network), who leaves
after one to four minutes and is followed by another with a link of their own. The server's resident memory is printed
every minute, and in the end its slope over the second half, when caches of bounded size are full; then, four minutes
after everybody has left, what is left. Ends with status 1 if memory grows by more than 60 MB an hour, or at an error.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count as numbers

import numpy as np

from benchmarks.serving import APP, serving
from benchmarks.visitors import Seen, resident, visit, warm_up
from benchmarks.visits import CROWDS, TRAINING, VISITS

STAY = (60.0, 240.0)  # s
FORGOTTEN = 240.0  # s: Streamlit keeps a session that lost its connection for two minutes
FLAT = 60.0  # MB an hour
MINUTE = 60.0


async def come_and_go(address: str, places: int, until: float, number: Callable[[], int], seen: Seen) -> None:
    """Keep `places` taken until the clock (time.perf_counter) says so."""

    async def place(at: int) -> None:
        await asyncio.sleep(at * 20 / places)
        while time.perf_counter() < until:
            leaves = min(until, time.perf_counter() + random.uniform(*STAY))
            own = number()
            await visit(address, CROWDS["class"](own), own, 0.0, leaves, seen)

    await asyncio.gather(*map(place, range(places)))


async def each_minute(pid: int, until: float, memory: list[float]) -> None:
    """Print and keep the server's memory."""
    began = time.perf_counter()
    while time.perf_counter() < until:
        await asyncio.sleep(MINUTE)
        memory.append(resident(pid))
        print(f"{(time.perf_counter() - began) / MINUTE:5.1f} min  {memory[-1]:6.0f} MB", flush=True)


def slope(memory: Sequence[float]) -> float:
    """By how many MB an hour memory grows over the second half of the minutes; not a number for fewer than two."""
    later = list(memory[len(memory) // 2 :])
    if len(later) < 2:
        return float("nan")
    return 60 * float(np.polyfit(range(len(later)), later, 1)[0])


def soak(minutes: float, places: int) -> bool:
    """Whether memory stayed flat and nothing failed."""
    memory, seen, number = [], Seen(), numbers()

    async def both(address: str, pid: int) -> None:
        await warm_up(address, (*VISITS, TRAINING))
        until = time.perf_counter() + minutes * MINUTE
        await asyncio.gather(
            come_and_go(address, places, until, lambda: next(number), seen), each_minute(pid, until, memory)
        )

    with serving(APP) as app:
        print(f"  0.0 min  {resident(app.pid):6.0f} MB", flush=True)
        asyncio.run(both(app.address, app.pid))
        grows, came = slope(memory), next(number)
        print(f"{came} visitors; memory grows by {grows:.0f} MB an hour; {len(seen.errors)} errors {seen.errors[:3]}")
        time.sleep(FORGOTTEN)
        print(f"{FORGOTTEN / MINUTE:.0f} minutes after the last has left: {resident(app.pid):.0f} MB")
    return grows <= FLAT and not seen.errors


if __name__ == "__main__":
    given = [*sys.argv[1:], *("60", "100")[len(sys.argv) - 1 :]]
    sys.exit(0 if soak(float(given[0]), int(given[1])) else 1)
