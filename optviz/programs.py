"""Compiled programs, kept in a small store.

A compiled program holds 2 to 3 MB, which the C library keeps for itself even after JAX has let go. So everything that
compiles for a visitor's choice (a rule, a surface, a static value, a formula of their own) gets its program here; the
one unused for longest is forgotten, and its memory goes back to the system.
"""

from __future__ import annotations

import ctypes
import math
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from optviz.limits import LIMITS
from optviz.pools import on_any_core

COMPILED_AT_MOST = LIMITS.programs
ALIGNMENT = 64  # bytes, which XLA asks of what it reads where it lies
P = TypeVar("P", bound=Callable)
# A program runs in the thread that calls it: to hand it over takes as long as a run of a thousand steps, and a thread
# that gives way to pages (`optviz.pools`) would only wait. JAX looks at this before its first program, and not into the
# environment.
jax.config.update("jax_cpu_enable_async_dispatch", False)
_programs: OrderedDict[Hashable, Any] = OrderedDict()
_lock = threading.Lock()


class Compiled:
    """A function under `jax.jit`, of which only what the processor runs is kept.

    `jax.jit` itself keeps what it traced and lowered as well, 2 MB for each program. `make` gives the function anew
    whenever arguments of other shapes or types come, so that nothing else holds on to it. Who comes while it compiles
    waits for it.
    """

    def __init__(self, make: Callable[[], Any]):
        self._make, self._compiled, self._lock = make, {}, threading.Lock()
        self._latest: Any = None

    def __call__(self, *arguments: Any) -> Any:
        if self._latest is not None:
            try:  # what was called last is nearly always wanted again, and looks at its arguments itself
                return self._latest(*arguments)
            except TypeError:
                pass  # they are of other shapes or types
        leaves, tree = jax.tree.flatten(arguments)
        kind = (tree, *map(_kind, leaves))
        compiled = self._compiled.get(kind)
        if compiled is None:
            with self._lock:
                compiled = self._compiled.get(kind)
                if compiled is None:
                    with on_any_core():  # as the threads that compile are born here
                        compiled = self._compiled[kind] = self._make().lower(*arguments).compile()
                    _return_memory()  # of what the compiler took
        self._latest = compiled
        return compiled(*arguments)

    def clear_cache(self) -> None:
        """Forget what was compiled."""
        self._compiled.clear()
        self._latest = None


def _kind(leaf: Any) -> tuple:
    """What of an argument a program is compiled for."""
    if hasattr(leaf, "dtype"):
        return leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)
    return (type(leaf),)


def program(key: Hashable, make: Callable[[], Any]) -> Compiled:
    """The program for `key`, a function under `jax.jit` that `make` makes. It compiles when it is first called, and
    again for arguments of other shapes."""
    return kept(key, lambda: Compiled(make))


def kept(key: Hashable, build: Callable[[], P]) -> P:
    """What `build` made for `key` when it was first asked for: it holds a `Compiled`, and like it has a
    `clear_cache`."""
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


def aligned(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An array with nothing in it yet, at an address that lets a program read it in place.

    An argument of more than 100 kB that lies elsewhere is copied by a thread of XLA's, which then runs the program too.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    whole = np.empty(size + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + size].view(dtype).reshape(shape)


def _return_memory() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
        if trim is not None:
            trim(0)
