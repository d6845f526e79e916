"""Compiled programs, kept in a small store.

A compiled program holds about 2 MB, which the C library keeps for itself even after JAX has let go. So everything that
compiles for a visitor's choice (a rule, a surface, a static value, a formula of their own) gets its program here; the
one unused for longest is forgotten, and its memory goes back to the system.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from optviz.limits import LIMITS

COMPILED_AT_MOST = LIMITS.programs
P = TypeVar("P", bound=Callable)
_programs: OrderedDict[Hashable, Any] = OrderedDict()
_lock = threading.Lock()


def program(key: Hashable, build: Callable[[], P]) -> P:
    """The program for `key`, which `build` made when it was first asked for: a function under `jax.jit`, or what holds
    one and like it has a `clear_cache`. It compiles when it is first called."""
    made: Any = None if key in _programs else build()  # not under the lock, which every visitor needs
    if made is not None and not hasattr(made, "clear_cache"):
        raise TypeError(f"{key} is not compiled: what build returns must be able to forget what it compiled")
    with _lock:
        wanted: Any = _programs.get(key) or made or build()
        _programs[key] = wanted
        _programs.move_to_end(key)
        forgotten = _programs.popitem(last=False)[1] if len(_programs) > COMPILED_AT_MOST else None
    if forgotten is not None:
        forgotten.clear_cache()
        del forgotten
        _return_memory()
    return wanted


def _return_memory() -> None:
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
        if trim is not None:
            trim(0)
