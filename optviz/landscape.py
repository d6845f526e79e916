"""Looks at a loss: its values, its downhill directions and its stationary points over a window of the plane, and its
values along the steps of a run.

Along a step lie the two models that methods trust: the linear one, f + α·slope, and the quadratic one, which adds
½·α²·curvature. `slices` has what both promise, and what the loss really does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz.descent import Trajectory
from optviz.once import once
from optviz.problems import Problem
from optviz.programs import program
from optviz.spec import Value
from optviz.stationary import Stationary, stationary_points
from optviz.surfaces import SURFACES

POINTS, STRIDE = 24, 0.0025  # of a streamline: as many strides, each a share of the window
CELLS = 96  # along each side: smooth on a projector, and 37 kB as float32
ALONG = np.linspace(-0.5, 2.0, 41)  # of a step; 0 and 1 are among them
BLOCK = 500  # points that one call of a program looks at


class Slice(NamedTuple):
    """A loss over a rectangle of the plane: loss[j, i] belongs to x = alpha[i], y = beta[j]."""

    alpha: np.ndarray  # (k,)
    beta: np.ndarray  # (k,)
    loss: np.ndarray  # (k, k), float64


def over_window(surface: str, values: Mapping[str, Any] | None = None, cells: int = CELLS) -> Slice:
    """The surface over the window that its card declares."""
    entry = SURFACES.find(surface)
    complete = entry.complete(values or {})
    return _over_window(entry.key, tuple(sorted(complete.items())), cells)


def streamlines(surface: str, values: Mapping[str, Any] | None = None, seeds: int = 16) -> np.ndarray:
    """Short pieces of the lines along −∇f, which infinitely small steps would follow: (k, POINTS, 2).

    One passes through each of `seeds` × `seeds` places, at the speed of one window per unit of time, and ends early
    where the slope vanishes or turns back, as it does across the floor of a valley.
    """
    entry = SURFACES.find(surface)
    own = entry.hyper(**entry.complete(values or {}))
    left, right, bottom, top = entry.window
    fn = _positional(entry.key, own.static)
    size = np.array([right - left, top - bottom])

    def build():
        def direction(point, values):
            slope = jax.grad(lambda point: fn(point[0], point[1], *values))(point) * size  # as the eye sees it
            return (
                -jnp.where(jnp.isfinite(slope).all(), slope, 0.0) / jnp.maximum(jnp.linalg.norm(slope), 1e-300) * size
            )

        def line(seed, values):
            def move(now, _):
                point, before = now
                middle = direction(point + 0.5 * STRIDE * direction(point, values), values)
                on = jnp.sum(middle * before / size**2) >= 0
                point = jnp.where(on, point + STRIDE * middle, point)
                return (point, jnp.where(on, middle, 0 * middle - before)), point

            return jax.lax.scan(move, (seed, direction(seed, values)), length=POINTS)[1]

        return jax.jit(jax.vmap(line, in_axes=(0, None)))

    middle = (np.arange(seeds) + 0.5) / seeds
    places = np.stack(np.meshgrid(left + size[0] * middle, bottom + size[1] * middle), -1).reshape(-1, 2)
    return np.asarray(program(("streamlines", fn), build)(places, tuple(own.traced)))


def stationary(surface: str, values: Mapping[str, Any] | None = None) -> tuple[Stationary, ...]:
    """The points of zero gradient in the window, found from many starts and classified by the curvatures there."""
    entry = SURFACES.find(surface)
    own = entry.hyper(**entry.complete(values or {}))
    return stationary_points(_positional(entry.key, own.static), entry.window, tuple(own.traced.tolist()))


@lru_cache(maxsize=128)
def _positional(key: str, static: tuple[tuple[str, Value], ...]) -> Callable:
    """The surface as a function of x, y and its traced parameters: one object for each thing that is compiled."""
    entry = SURFACES[key]
    return lambda x, y, *traced: entry.fn(x, y, **entry.unpack(traced, static))


@once(128)
def _over_window(key: str, values: tuple[tuple[str, Value], ...], cells: int) -> Slice:
    entry = SURFACES[key]
    own = entry.hyper(**dict(values))
    left, right, bottom, top = entry.window
    alpha, beta = np.linspace(left, right, cells), np.linspace(bottom, top, cells)
    fn = _positional(key, own.static)
    evaluate = program(("over window", fn), lambda: jax.jit(fn))
    return Slice(alpha, beta, np.asarray(evaluate(*np.meshgrid(alpha, beta), *own.traced)))


class Slices(NamedTuple):
    """The reported loss, without noise and penalty, along the line of each of T steps: at θ + alpha·step."""

    alpha: np.ndarray  # (k,): 0 is where it stands, 1 where the step leads
    loss: np.ndarray  # (T, k)
    slope: np.ndarray  # (T,), first derivative by alpha at 0
    curvature: np.ndarray  # (T,), second derivative by alpha at 0


def slices(problem: Problem, run: Trajectory) -> Slices:
    """The loss along every step of a run, and its derivatives. Where the loss is not finite they are not either."""

    def build() -> Callable:
        def one(theta, step, values):
            def along(alpha):
                return problem.loss(theta + alpha * step, values)

            slope = jax.grad(along)
            return jax.vmap(along)(ALONG), slope(0.0), jax.grad(slope)(0.0)

        return jax.jit(jax.vmap(one, in_axes=(0, 0, None)))

    compiled = program(("slices", problem.key), build)
    return Slices(ALONG, *_in_blocks(compiled, problem.values, run.theta[:-1], run.step))


def hessians(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """The Hessian of what a step descends on, the penalty included, at each of the points (T, 2): (T, 2, 2).

    Noise is left out, as it tilts the loss without bending it.
    """

    def build() -> Callable:
        def one(at, values):
            return jax.hessian(problem.objective)(at, jnp.zeros_like(at), values)

        return jax.jit(jax.vmap(one, in_axes=(0, None)))

    return _in_blocks(program(("hessians", problem.key), build), problem.values, theta)[0]


def bowls(problem: Problem, run: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """The quadratic model of what each step descends on, at the point it leaves: its stationary point (T, 2), which is
    infinite or undefined where the model has none, and its Hessian (T, 2, 2)."""
    hessian = hessians(problem, run.theta[:-1])
    (a, b), (c, d) = np.moveaxis(hessian, 0, -1)
    with np.errstate(all="ignore"):
        x, y = run.grad.T
        jump = np.stack([d * x - b * y, a * y - c * x], axis=1) / (a * d - b * c)[:, None]
        return run.theta[:-1] - jump, hessian


def _in_blocks(compiled: Callable, values: Any, *points: np.ndarray) -> list[np.ndarray]:
    """What a program says of any number of points, a fixed number at a time, so that none compiles it again."""
    blocks = []
    for first in range(0, len(points[0]), BLOCK):
        some = [each[first : first + BLOCK] for each in points]
        spare = BLOCK - len(some[0])
        full = [np.concatenate([each, np.repeat(each[-1:], spare, axis=0)]) for each in some]
        blocks.append([np.asarray(out)[: BLOCK - spare] for out in jax.tree.leaves(compiled(*full, values))])
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
