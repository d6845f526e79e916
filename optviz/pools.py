"""Threads that compute for all visitors, and give way to the pages.

A page that is being made needs a core for some milliseconds, a map both cores for a tenth of a second. The system is
told so: on Linux, where a thread has a priority of its own, those of a pool have a lower one and take what pages leave.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

LOWER = 5  # by how much, as of `nice`: of a core that both want, a page gets three quarters
LOWEST = 19


def pool(name: str, threads: int) -> ThreadPoolExecutor:
    """So many threads that give way to others."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"optviz {name}", initializer=_give_way)


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere it is the priority of the whole process
        mine = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, mine, min(LOWEST, os.getpriority(os.PRIO_PROCESS, mine) + LOWER))
