"""Where a function of two variables is level: its minima, maxima and saddles in a window, found and classified.

Newton's method goes to any point of zero gradient, whatever its kind. Started from every node of a grid at once, it
finds them all unless they are much closer together than the grid or hide where the function has a kink; the list is
what was found, and no proof that there is nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz.once import once
from optviz.programs import program

SIDE = 24  # starts along each side of the window
ITERATIONS = 60
AT_MOST = 200  # points in a list: a function with more of them has a rough floor, and no picture could show them
SAME = 1e-6  # of the window's diagonal: nearer than that, two points are one
LEVEL = 1e-9  # of the gradient's size over the window: smaller than that, it vanishes
FLAT = 1e-9  # of the larger curvature: smaller than that, the other one vanishes


class Stationary(NamedTuple):
    """A point of zero gradient: a "minimum", a "maximum", a "saddle", or "flat" where a curvature vanishes too."""

    x: float
    y: float
    value: float
    kind: str


@once(64)
def stationary_points(
    fn: Callable, window: tuple[float, float, float, float], parameters: tuple[float, ...] = ()
) -> tuple[Stationary, ...]:
    """The stationary points of `fn(x, y, *parameters)` in the window (x from, x to, y from, y to), lowest first."""
    left, right, bottom, top = window
    compiled = program(("stationary points", fn), lambda: jax.jit(_search(fn)))
    starts = np.stack(np.meshgrid(np.linspace(left, right, SIDE), np.linspace(bottom, top, SIDE)), -1).reshape(-1, 2)
    size, points, slopes, values, curvatures = map(np.asarray, compiled(starts, parameters))
    typical = np.median(size[np.isfinite(size)]) if np.isfinite(size).any() else 0.0
    inside = (points >= [left, bottom]) & (points <= [right, top])
    good = inside.all(axis=1) & np.isfinite(values) & (slopes <= LEVEL * max(typical, 1e-300))
    diagonal = np.hypot(right - left, top - bottom)
    found: list[Stationary] = []
    for i in np.flatnonzero(good)[np.argsort(slopes[good], kind="stable")]:  # of near ones the most exact is kept
        x, y = points[i]
        if all(np.hypot(x - other.x, y - other.y) > SAME * diagonal for other in found):
            found.append(Stationary(float(x), float(y), float(values[i]), _kind(curvatures[i])))
        if len(found) == AT_MOST:
            break
    return tuple(sorted(found, key=lambda point: point.value))


def _search(fn: Callable) -> Callable:
    def newton(loss, point):
        """One Newton step; two equations are solved by hand, because a library call would break up the loop."""
        (a, b), (_, d) = jax.hessian(loss)(point)
        g, h = jax.grad(loss)(point)
        determinant = a * d - b * b
        return point - jnp.stack([d * g - b * h, a * h - b * g]) / determinant

    def look(start, parameters):
        def loss(point):
            return fn(point[0], point[1], *parameters)

        point = jax.lax.fori_loop(0, ITERATIONS, lambda _, point: newton(loss, point), start)
        slope = jnp.linalg.norm(jax.grad(loss)(point))
        curvatures = jnp.linalg.eigvalsh(jax.hessian(loss)(point))
        return jnp.linalg.norm(jax.grad(loss)(start)), point, slope, loss(point), curvatures

    return jax.vmap(look, in_axes=(0, None))


def _kind(curvatures: np.ndarray) -> str:
    low, high = curvatures
    if min(abs(low), abs(high)) <= FLAT * max(abs(low), abs(high)) or not np.isfinite(curvatures).all():
        return "flat"
    return "minimum" if low > 0 else "maximum" if high < 0 else "saddle"
