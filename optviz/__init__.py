"""optviz: a laboratory for optimization.

Every picture of the app comes from values that a notebook can have in two lines:

    import optviz
    run = optviz.trace("rosenbrock", "adam", steps=500, start=(-1.2, 1.0), lr=0.02)

The names below are imported when they are first asked for: JAX takes a second to load, and a server sends a page's
frame to the browser before that.
"""

import importlib
import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optviz.datasets import DATASETS
    from optviz.experiment import Pick, schedule, surface, trace
    from optviz.optimizers import OPTIMIZERS
    from optviz.schedules import SCHEDULES
    from optviz.surfaces import SURFACES
    from optviz.training import train

__all__ = ["DATASETS", "OPTIMIZERS", "SCHEDULES", "SURFACES", "Pick", "schedule", "surface", "trace", "train"]
_HOMES = {
    "DATASETS": "datasets",
    "OPTIMIZERS": "optimizers",
    "SCHEDULES": "schedules",
    "SURFACES": "surfaces",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'optviz' has no attribute {name!r}")
    return getattr(importlib.import_module(f"optviz.{_HOMES.get(name, 'experiment')}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def _prepare_jax() -> None:
    """Set what JAX reads once, when it starts: double precision, and small loops compiled to one native kernel.

    Below version 0.12, XLA on a CPU compiles only loops smaller than about a kilobyte to native code. Raising the
    threshold makes several optimizers in one scan 17 times faster, with bit-identical results. It leaves room for what
    a loop reads and records: the draws of runs together are 4 MB (`optviz.descent`).
    """
    if tuple(int(part) for part in version("jax").split(".")[:2]) < (0, 12):
        flag = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=8000000"
        flags = os.environ.get("XLA_FLAGS", "")
        if "xla_cpu_small_while_loop_byte_threshold" not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()
    os.environ["JAX_ENABLE_X64"] = "1"
    if "jax" in sys.modules:  # somebody was here before: what is set in the environment comes too late for it
        sys.modules["jax"].config.update("jax_enable_x64", True)


def _one_blas_thread() -> None:
    """Let NumPy's matrix products run on one thread each, unless somebody has said otherwise.

    The threads of OpenBLAS wait for one another by spinning. On a busy server that made products of a small network
    thirty times slower (9 ms for 0.3 ms, eight runnable threads on two cores), and several visitors share the cores
    anyway. It is read when NumPy starts, which in the app is after this.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


_prepare_jax()
_one_blas_thread()
