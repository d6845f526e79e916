"""How sharply a loss curves where a run stands, and how much of that its rule bears: the edge of stability.

The *sharpness* is the largest eigenvalue of the Hessian of what a step descends on, penalties included. In two
dimensions the Hessian is written down (`landscape.hessians`). A network's has n × n numbers and is never made: one
product with a vector costs about two gradients, the derivative of the gradient along that vector (Pearlmutter 1994),
and Lanczos' method finds the largest eigenvalue from a few dozen such products.

On a quadratic of curvature λ, gradient descent multiplies its distance from the minimum by 1 − ηλ at each step, and
swings ever higher where λ > 2/η. With momentum the border lies elsewhere, and a rule that divides each coordinate by a
root of its own feels the Hessian only after that division, D^½·H·D^½. All rules here have a border of the same form,
`edge_factor` divided by η. It follows from where an eigenvalue of one linear step reaches −1.

    Cohen, Kaur, Li, Kolter & Talwalkar (2021), Gradient Descent on Neural Networks Typically Occurs at the Edge of
        Stability, https://arxiv.org/abs/2103.00065 (gradient descent, heavy ball and Nesterov: appendix B)
    Cohen et al. (2022), Adaptive Gradient Methods at the Edge of Stability, https://arxiv.org/abs/2207.14484
    Pearlmutter (1994), Fast Exact Multiplication by the Hessian, https://doi.org/10.1162/neco.1994.6.1.147
    Lanczos (1950), An iteration method for the solution of the eigenvalue problem of linear differential and integral
        operators, https://doi.org/10.6028/jres.045.026
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz.problems import Problem
from optviz.programs import program
from optviz.spec import Value

PRECISE = 1e-8  # of the largest eigenvalue in size: how small its residual gets before Lanczos' method stops
FEW, PRODUCTS_AT_MOST = 60, 300  # with the Hessian, for one sharpness; networks here took 20 to 40
EVERY = 10  # products between two looks at the eigenvalues
DIVIDING = ("rmsprop", "adam")  # rules that divide each coordinate by a root that they remember
RULES = ("sgd", "momentum", "nesterov", *DIVIDING)  # whose edge is known


class Extremes(NamedTuple):
    """The ends of a symmetric matrix's spectrum, as Lanczos' method leaves them.

    An eigenvalue lies within the `residual` of each value. The largest is found until its residual is PRECISE; the
    smallest only comes along, and is too large rather than too small.
    """

    largest: float
    smallest: float
    residual: float
    residual_smallest: float
    products: int


UNKNOWN = Extremes(math.nan, math.nan, math.nan, math.nan, 0)


def extremes(problem: Problem, theta: np.ndarray, weights: np.ndarray | None = None) -> Extremes:
    """The largest and smallest eigenvalue of the Hessian at θ (n,) of what the problem's first step descends on, which
    is what every step descends on if nothing is left to chance. With `weights` D (n,) ≥ 0 it is D^½·H·D^½.

    Lanczos' method: products with the Hessian span a small space, in which it is a tridiagonal matrix; the ends of that
    matrix's spectrum soon are those of the whole. It always starts from the same random vector. NaN where θ or the
    Hessian is not finite. Compiles once for a network; a second time if FEW products are not enough.
    """
    size, most = len(theta), min(len(theta), PRODUCTS_AT_MOST)
    root = np.ones(size) if weights is None else np.sqrt(weights)
    if not (np.isfinite(theta).all() and np.isfinite(root).all()):
        return UNKNOWN
    fixed = jax.device_put((theta, root, problem.values, _first_draw(problem)))
    vector = np.random.default_rng(0).standard_normal(size)
    basis = np.zeros((FEW + 1, size))
    basis[0] = vector / np.linalg.norm(vector)
    diagonal, beside = np.empty(0), np.empty(0)
    while True:
        done = len(diagonal)
        if done + EVERY >= len(basis):
            basis = np.concatenate([basis, np.zeros((PRODUCTS_AT_MOST + 1 - len(basis), size))])
        compiled = program((problem.key, "Krylov", len(basis)), lambda: jax.jit(_build_krylov(problem)))
        basis, *numbers = map(np.asarray, compiled(basis, np.int64(done), *fixed))
        diagonal, beside = (np.append(old, new) for old, new in zip((diagonal, beside), numbers, strict=True))
        with np.errstate(invalid="ignore"):
            ends = np.flatnonzero(beside <= 1e-14 * np.abs(diagonal).max())  # the space holds all there is
        count = min([len(diagonal), most, *(ends[:1] + 1)])
        if not (np.isfinite(diagonal[:count]).all() and np.isfinite(beside[: count - 1]).all()):
            return UNKNOWN
        found = _ritz(diagonal[:count], beside[:count])
        if count < len(diagonal) or found.residual <= PRECISE * max(abs(found.largest), abs(found.smallest)):
            return found
        if count == most:
            return found


def _build_krylov(problem: Problem) -> Callable:
    """EVERY more products with the Hessian: the rows that they add to the basis (k, n), all orthogonal, and the two
    diagonals of the matrix that the Hessian is between them."""

    def more(basis, first, theta, root, values, draw):
        product = jax.linearize(lambda at: jax.grad(problem.objective)(at, draw, values), theta)[1]

        def one(i, now):
            basis, diagonal, beside = now
            vector = root * product(root * basis[first + i])
            own = vector @ basis[first + i]
            for _ in range(2):  # once leaves rounding errors, from which eigenvalues that are known would come again
                vector = vector - basis.T @ (basis @ vector)
            length = jnp.sqrt(vector @ vector)
            return basis.at[first + i + 1].set(vector / length), diagonal.at[i].set(own), beside.at[i].set(length)

        return jax.lax.fori_loop(0, EVERY, one, (basis, jnp.zeros(EVERY), jnp.zeros(EVERY)))

    return more


def slope(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """The gradient (n,) at θ (n,) of what the problem's first step descends on."""
    compiled = program((problem.key, "slope"), lambda: jax.jit(jax.grad(problem.objective)))
    return np.asarray(compiled(theta, _first_draw(problem), problem.values))


def _first_draw(problem: Problem) -> Any:
    return jax.tree.map(lambda part: part[0], problem.draw(problem.seed, 0, 1))


def _ritz(diagonal: np.ndarray, beside: np.ndarray) -> Extremes:
    """What the tridiagonal matrix of k products says of the whole one."""
    small = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    values, vectors = np.linalg.eigh(small)
    residuals = beside[-1] * np.abs(vectors[-1])
    ends = (float(values[-1]), float(values[0]), float(residuals[-1]), float(residuals[0]))
    return Extremes(*ends, len(diagonal))


# What a rule bears ---------------------------------------------------------------------------------------------------


def edge_factor(rule: str, values: Mapping[str, Value]) -> float:
    """The sharpness at which a rule of RULES begins to swing ever higher, times its learning rate: 2 for gradient
    descent. Raises ValueError for a rule or a setting whose edge is not known here."""
    if rule not in RULES:
        raise ValueError(f"the edge of stability of {rule[:32]!r} is not known here; it is of {', '.join(RULES)}")
    if rule == "rmsprop" and values["centered"]:
        raise ValueError("the edge of stability of RMSProp is known here without centring only")
    if rule == "adam":
        beta = float(values["beta1"])
        return 2 * (1 + beta) / (1 - beta)
    rho = float(values["momentum"])
    share = 1.0 - float(values.get("dampening", 0.0))  # of a new gradient, that goes into the velocity
    if rule == "momentum" and values["form"] == "averaging":
        share *= 1 - rho
    if rule == "sgd" and values["averaging"]:
        share = 1 - rho
    elif rule == "sgd" and rho == 0:
        share = 1.0
    if rule == "nesterov" or (rule == "sgd" and values["nesterov"]):
        direct = share if rule == "nesterov" or values["averaging"] else 1.0
        return 2 * (1 + rho) / (rho * share + (1 + rho) * direct)
    return 2 * (1 + rho) / share if share else math.inf


def weights(rule: str, values: Mapping[str, Value], slots: Mapping[str, np.ndarray], t: Any, size: int) -> np.ndarray:
    """What step number t = 1, 2, … of a rule multiplies each coordinate of the gradient with, apart from η, (size,):
    1/(√v + ε) for RMSProp and Adam, with Adam's corrections in it. `slots` are as that step left them. For many steps
    at once, t is (T, 1) and slots are (T, size)."""
    if rule not in DIVIDING:
        return np.ones(size)
    eps = float(values["eps"])
    with np.errstate(divide="ignore"):
        if rule == "rmsprop":
            v = slots["v"]
            return 1 / (np.sqrt(v + eps) if values["eps_in_sqrt"] else np.sqrt(v) + eps)
        first = second = 1.0
        if values["bias_correction"]:
            first, second = (1 - float(values[name]) ** t for name in ("beta1", "beta2"))
        v = slots["v_max"] if values["amsgrad"] else slots["v"]
        return 1 / (first * (np.sqrt(v / second) + eps))
