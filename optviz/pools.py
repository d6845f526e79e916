"""Threads that compute for all visitors, and give way to the pages.

A page that is being made needs a core for some milliseconds, a map both cores for a tenth of a second. The system is
told so: on Linux, where a thread has a priority of its own, those of a pool have a lower one and take what pages leave.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

LOWER = 5  # by how much, as of `nice`: of a core that both want, a page gets three quarters
LOWEST = 19
LINUX = sys.platform == "linux"  # elsewhere a priority is that of the whole process, and threads are not placed

_place = threading.local()  # the cores of this thread, if it has a place


def pool(name: str, threads: int) -> ThreadPoolExecutor:
    """So many threads that give way to others.

    Where there is one for each core, each keeps to its own: two that wake together were often put on one core, and
    stayed there for as long as a map takes. Processes on one machine begin with different cores.
    """
    cores = sorted(os.sched_getaffinity(0)) if LINUX else []
    numbers = count(os.getpid())

    def settle() -> None:
        if LINUX:
            _give_way()
        if threads >= len(cores) > 1:
            _place.cores = {cores[next(numbers) % len(cores)]}
            os.sched_setaffinity(0, _place.cores)

    return ThreadPoolExecutor(threads, thread_name_prefix=f"optviz {name}", initializer=settle)


@contextmanager
def on_any_core() -> Iterator[None]:
    """Let what is done within use every core: threads that are born there inherit where they may run."""
    mine = getattr(_place, "cores", None)
    if mine is None:
        yield
        return
    os.sched_setaffinity(0, os.sched_getaffinity(os.getpid()))  # those of the process's first thread
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def _give_way() -> None:
    mine = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, mine, min(LOWEST, os.getpriority(os.PRIO_PROCESS, mine) + LOWER))
