"""optviz: a laboratory for optimization.

Every picture of the app comes from values that a notebook can have in two lines:

    import optviz
    run = optviz.trace("rosenbrock", "adam", steps=500, start=(-1.2, 1.0), lr=0.02)
"""

import os
from importlib.metadata import version


def _prepare_jax() -> None:
    """Set what JAX reads once, when it starts: double precision, and small loops compiled to one native kernel.

    Below version 0.12, XLA on a CPU compiles only loops smaller than about a kilobyte to native code. Raising the
    threshold makes several optimizers in one scan 17 times faster, with bit-identical results.
    """
    if tuple(int(part) for part in version("jax").split(".")[:2]) < (0, 12):
        flag = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000"
        flags = os.environ.get("XLA_FLAGS", "")
        if "xla_cpu_small_while_loop_byte_threshold" not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()
    import jax

    jax.config.update("jax_enable_x64", True)


_prepare_jax()

from optviz.experiment import Pick, schedule, surface, trace  # noqa: E402  (JAX must be prepared before anything imports it)
from optviz.optimizers import OPTIMIZERS  # noqa: E402
from optviz.schedules import SCHEDULES  # noqa: E402
from optviz.surfaces import SURFACES  # noqa: E402

__all__ = ["OPTIMIZERS", "SCHEDULES", "SURFACES", "Pick", "schedule", "surface", "trace"]
