"""What a run descends on.

A 2-D surface and, later, a network's loss are the same thing to an optimizer: a number that depends on a flat vector θ
and on what chance contributes to this step. Chance is drawn apart from the loss, for all steps at once, so that the
loop itself stays free of random numbers and every racer of one seed meets the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optviz.surfaces import Surface

BLOCK = 5000  # steps whose chance is drawn at a time


@dataclass(frozen=True)
class Problem:
    """A loss of a flat vector θ (n,).

    `loss(theta, values)` is what is reported; `objective(theta, draw, values)` is what a step descends on;
    `draw(seed, first, count)` is what chance gives to `count` steps from number `first` on, in NumPy. `values` holds
    the arrays that may change without a compilation, and `key` names everything else: two problems of equal key compile
    to the same program.
    """

    key: Hashable
    loss: Callable[[jax.Array, Any], jax.Array]
    objective: Callable[[jax.Array, Any, Any], jax.Array]
    draw: Callable[[int, int, int], Any]
    values: Any
    theta0: np.ndarray
    seed: int = 0


def from_surface(
    surface: Surface,
    start: tuple[float, float],
    *,
    surface_values: dict[str, Any] | None = None,
    noise: float = 0.0,
    l2: float = 0.0,
    seed: int = 0,
) -> Problem:
    """Descent on a surface from `start`.

    `noise` is the standard deviation σ of the normal noise that is added to each coordinate of each gradient: the
    step's loss is tilted by σ·ξ·θ, so that its value, gradient and Hessian agree with one another. `l2` adds the
    coupled penalty ½·l2·‖θ‖², whose gradient goes through the rule like the rest.
    """
    own = surface.hyper(**(surface_values or {}))

    def loss(theta, values):
        return surface.fn(theta[0], theta[1], **surface.unpack(values["surface"], own.static))

    def objective(theta, draw, values):
        penalty = 0.5 * values["l2"] * jnp.sum(theta**2)
        return loss(theta, values) + penalty + values["noise"] * jnp.sum(draw * theta)

    return Problem(
        key=(surface.fn, own.static),
        loss=loss,
        objective=objective,
        draw=standard_normal,
        values={"surface": own.traced, "noise": np.float64(noise), "l2": np.float64(l2)},
        theta0=np.array(start, dtype=np.float64),
        seed=seed,
    )


def standard_normal(seed: int, first: int, count: int) -> np.ndarray:
    """Two independent standard normal numbers ξ for each step, (count, 2).

    A generator that counts makes them a block at a time, so that any piece of a run can be drawn by itself. NumPy's,
    because random numbers take JAX longer to compile than any rule.
    """
    blocks = range(first // BLOCK, (first + count - 1) // BLOCK + 1)
    rows = [np.random.Generator(np.random.Philox(key=seed | b << 64)).standard_normal((BLOCK, 2)) for b in blocks]
    start = first - blocks[0] * BLOCK
    return np.concatenate(rows)[start : start + count]
