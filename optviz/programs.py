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

import jax

COMPILED_AT_MOST = 64

_programs: OrderedDict[Hashable, Callable] = OrderedDict()
_lock = threading.Lock()


def program(key: Hashable, build: Callable[[], Callable]) -> Callable:
    """The compiled form of the function that `build` gives, compiled for `key` when it is first called."""
    with _lock:
        if key not in _programs:
            _programs[key] = jax.jit(build())
        _programs.move_to_end(key)
        forgotten = _programs.popitem(last=False)[1] if len(_programs) > COMPILED_AT_MOST else None
        wanted = _programs[key]
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
