"""What theory knows about descent on a quadratic, and whether a surface is one.

On f = f* + ½ Σ λᵢ zᵢ², with zᵢ the offset from the minimum along an axis of the Hessian, the rules without scaling move
every zᵢ by itself: such a coordinate with its curvature λᵢ is a *mode*. With momentum ρ and rate η, one step of

    the heavy ball                z ← (1 + ρ − ηλ)·z − ρ·z₋₁             (with ρ = 0 it is gradient descent)
    Nesterov's rule               z ← (1 + ρ)(1 − ηλ)·z − ρ(1 − ηλ)·z₋₁

multiplies (z, z₋₁) by a 2×2 matrix, whose eigenvalues solve x² − s·x + p = 0. The larger of their sizes is the
*spectral radius* r: after many steps each one multiplies the distance to the minimum by r, and the loss above it by
r². The run converges exactly when the largest r of all modes is below 1. All functions work on arrays of any shapes
that fit.

    λ    a curvature: an eigenvalue of the Hessian          η   learning rate
    r    spectral radius of one step                        ρ   momentum
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from optviz.programs import program
from optviz.surfaces import Surface

TAME = 1e100  # a number beyond this is no experiment, and its square no number
ROWS = 256  # values of a surface's parameters of which one call finds the derivatives

# One mode ------------------------------------------------------------------------------------------------------------


def radius(lr: ArrayLike, momentum: ArrayLike, curvature: ArrayLike, *, nesterov: bool = False) -> np.ndarray:
    """The spectral radius r of one mode."""
    lr, momentum, curvature = (np.asarray(part, dtype=np.float64) for part in (lr, momentum, curvature))
    with np.errstate(all="ignore"):
        left = 1 - lr * curvature
        trace, determinant = ((1 + momentum) * left, momentum * left) if nesterov else (momentum + left, momentum)
        real = trace**2 - 4 * determinant
        turning = np.sqrt(np.maximum(determinant, 0))  # two conjugate eigenvalues: the mode swings and shrinks
        return np.where(real < 0, turning, (np.abs(trace) + np.sqrt(np.maximum(real, 0))) / 2)


def step_limit(momentum: ArrayLike, curvature: ArrayLike, *, nesterov: bool = False) -> np.ndarray:
    """The rate η at which r reaches 1: 2(1 + ρ)/λ, for Nesterov's rule 2(1 + ρ)/((1 + 2ρ)λ)."""
    momentum, curvature = np.asarray(momentum, dtype=np.float64), np.asarray(curvature, dtype=np.float64)
    return 2 * (1 + momentum) / ((1 + 2 * momentum if nesterov else 1.0) * curvature)


def critical_rate(momentum: ArrayLike, curvature: ArrayLike, *, nesterov: bool = False) -> np.ndarray:
    """The rate η of critical damping, above which a mode begins to swing: (1 − √ρ)²/λ, for Nesterov's rule
    ((1 − ρ)/(1 + ρ))²/λ. Without momentum both are 1/λ."""
    momentum, curvature = np.asarray(momentum, dtype=np.float64), np.asarray(curvature, dtype=np.float64)
    edge = ((1 - momentum) / (1 + momentum)) if nesterov else 1 - np.sqrt(momentum)
    return edge**2 / curvature


# All modes -----------------------------------------------------------------------------------------------------------


def best_plain(low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """The rate at which gradient descent converges quickest, 2/(λmin + λmax); there r = (κ − 1)/(κ + 1)."""
    return 2 / (np.asarray(low, dtype=np.float64) + np.asarray(high, dtype=np.float64))


def best_heavy_ball(low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Polyak's (η, ρ), at which the heavy ball converges quickest: √η = 2/(√λmin + √λmax) and
    √ρ = (√κ − 1)/(√κ + 1), which is r there. Both modes are then critically damped."""
    low, high = np.sqrt(np.asarray(low, dtype=np.float64)), np.sqrt(np.asarray(high, dtype=np.float64))
    return (2 / (low + high)) ** 2, ((high - low) / (high + low)) ** 2


# Surfaces ------------------------------------------------------------------------------------------------------------


class Quadratic(NamedTuple):
    """A surface that is one: f = floor + ½ Σ λᵢ zᵢ², with z the offsets along the columns of `axes`, flattest first.
    Of k settings of a surface's parameters, every array has k in front."""

    curvatures: np.ndarray  # (2,), ascending and positive
    axes: np.ndarray  # (2, 2)
    minimum: np.ndarray  # (2,)
    floor: Any  # a number, or (k,)

    def offsets(self, theta: np.ndarray) -> np.ndarray:
        """Positions (…, 2) of one surface as offsets from the minimum along the axes."""
        return (theta - self.minimum) @ self.axes


def as_quadratic(surface: Surface, values: Mapping[str, Any]) -> Quadratic | None:
    """The surface as a quadratic, by its exact derivatives; None if its Hessian varies or is not positive."""
    curvatures, axes, minimum, floor = (part[0] for part in quadratics(surface, values))
    return None if np.isnan(curvatures).any() else Quadratic(curvatures, axes, minimum, float(floor))


def quadratics(surface: Surface, values: Mapping[str, Any]) -> Quadratic:
    """The same for k settings of the surface's parameters: any of the `values` that are not compiled in may be an array
    (k,). Where the surface is no quadratic with a minimum, all is NaN."""
    height, slope, hessians = _derivatives(surface, values)
    centre, tame = hessians[:, 4], np.isfinite(hessians).all(axis=(1, 2, 3))
    with np.errstate(all="ignore"):
        size = np.abs(centre).max(axis=(1, 2))
        tame &= np.abs(hessians - centre[:, None]).max(axis=(1, 2, 3)) <= 1e-9 * size
        tame &= (size > 0) & (size <= TAME)
        curvatures, axes = np.linalg.eigh(np.where(tame[:, None, None], centre, np.eye(2)))
        tame &= (curvatures[:, 0] > 1e-9 * size) & (1 / curvatures[:, 0] <= TAME)
        newton = -np.einsum("kij,klj,kl,kj->ki", axes, axes, slope[:, 4], 1 / curvatures)
        floor = height[:, 4] + np.einsum("ki,ki->k", slope[:, 4], newton) / 2
    found = (curvatures, axes, _points(surface)[4] + newton, floor)
    return Quadratic(*(np.where(tame.reshape(-1, *[1] * (part.ndim - 1)), part, np.nan) for part in found))


def _points(surface: Surface) -> np.ndarray:
    """Nine points of the window, (9, 2), its centre in the middle."""
    left, right, bottom, top = surface.window
    return np.array([(x, y) for x in (left, (left + right) / 2, right) for y in (bottom, (bottom + top) / 2, top)])


def _derivatives(surface: Surface, values: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height (k, 9), slope (k, 9, 2) and Hessian (k, 9, 2, 2) at nine points of the window."""
    many = {name: np.asarray(value, dtype=np.float64) for name, value in values.items() if np.ndim(value) == 1}
    own = surface.hyper(**{name: value if name not in many else many[name][0] for name, value in values.items()})
    count = max((len(column) for column in many.values()), default=1)
    traced = np.repeat(own.traced[None], count, axis=0)
    names = [param.name for param in surface.params if not param.static]
    for name, column in many.items():
        traced[:, names.index(name)] = column

    def build() -> Callable:
        def value(theta, row):
            return surface.fn(theta[0], theta[1], **surface.unpack(row, own.static))

        def derivatives(theta, row):
            return *jax.value_and_grad(value)(theta, row), jax.hessian(value)(theta, row)

        return jax.jit(jax.vmap(jax.vmap(derivatives, in_axes=(0, None)), in_axes=(None, 0)))

    compiled = program(("derivatives", surface.fn, own.static), build)
    pieces = []
    for first in range(0, count, ROWS):
        rows = np.repeat(traced[first : first + 1], ROWS, axis=0)
        rows[: len(traced[first : first + ROWS])] = traced[first : first + ROWS]
        pieces.append([np.asarray(part)[: count - first] for part in compiled(_points(surface), rows)])
    height, slope, hessian = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return height, slope, hessian
