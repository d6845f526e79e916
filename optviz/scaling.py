"""What a step costs as the number n of parameters grows: the price of Newton's method, and of L-BFGS instead.

The loss is the extended Rosenbrock function, n/2 ravines side by side, so that n can be any even number while the task
stays the same. For each n, `cost` measures the time of a gradient, of a Hessian, of solving with it, and of the
two-loop recursion that takes its place in L-BFGS, and counts the bytes of the arrays that are really held. `work`
counts the steps that a method needs to settle. `costs` does all of it, in pieces of at most a few seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz.descent import begin_together, descend_together, rule
from optviz.optimizers import OPTIMIZERS, inverse_hessian_times
from optviz.problems import Problem
from optviz.programs import program

SIZES = (2, 6, 20, 60, 200, 600, 2000)  # parameters; the Hessian of the last takes 32 MB
WORK_SIZES = (2, 20, 200)  # those for which steps are counted
MEMORY = 10  # pairs that L-BFGS keeps
TOLERANCE = 1e-6  # of the loss: below it a method has settled
RACERS = {"sgd": {"lr": 0.001}, "lbfgs": {}, "newton": {}}  # gradient descent diverges from some starts above 0.001
STEPS_AT_MOST = 40_000
STRETCH = 1000  # steps between two looks at the loss of gradient descent, which changes little in that time
LONG_ENOUGH = 0.02  # seconds that the repetitions of one measurement take together
_alone = Lock()  # two measurements at one time would measure each other


class Cost(NamedTuple):
    """Seconds of one evaluation, and bytes held, for n parameters."""

    n: int
    gradient: float
    hessian: float
    solve: float
    two_loop: float
    hessian_bytes: int
    pairs_bytes: int


class Work(NamedTuple):
    """Steps until the loss is below TOLERANCE and stays there as long as it was watched, by optimizer; infinite if that
    takes more than STEPS_AT_MOST."""

    n: int
    steps: dict[str, float]


def extended_rosenbrock(theta: jax.Array) -> jax.Array:
    """Σ (1 − x)² + 100·(y − x²)² over the n/2 pairs (x, y) of θ (n,); its minimum 0 lies at θ = 1."""
    x, y = theta.reshape(-1, 2).T
    return jnp.sum((1 - x) ** 2 + 100 * (y - x**2) ** 2)


def start(n: int) -> np.ndarray:
    """Near (−1.2, 1) in every pair, but nowhere the same: else n parameters would walk like two. Raises ValueError
    unless n is even and from 2 to 2,000."""
    if n % 2 or not 2 <= n <= SIZES[-1]:
        raise ValueError(f"n must be an even number from 2 to {SIZES[-1]}, not {n}")
    pair = np.arange(n // 2)
    return np.stack([-1.2 + 0.2 * np.sin(pair), 1 + 0.2 * np.sin(2 * pair)], axis=1).ravel()


def hessian_bytes(n: int) -> int:
    """What the Hessian of n parameters holds, from the shape of the very array that `jax.hessian` makes."""
    shape = jax.eval_shape(jax.hessian(extended_rosenbrock), jnp.zeros(n))
    return math.prod(shape.shape) * shape.dtype.itemsize


def pairs_bytes(n: int, memory: int = MEMORY) -> int:
    """What L-BFGS holds of its pairs s and y: the bytes of its real slots."""
    begin = OPTIMIZERS["lbfgs"].init
    assert begin is not None
    slots = begin(jnp.zeros(n), memory=memory)
    return slots["s"].nbytes + slots["y"].nbytes


def cost(n: int) -> Cost:
    """Measure one size, after a first call that compiles."""
    theta = start(n)
    gradient = program(("scaling", "gradient"), lambda: jax.jit(jax.grad(extended_rosenbrock)))
    hessian = program(("scaling", "hessian"), lambda: jax.jit(jax.hessian(extended_rosenbrock)))
    two_loop = program(("scaling", "two loop"), lambda: jax.jit(inverse_hessian_times))
    grad, curvature = np.asarray(gradient(theta)), np.asarray(hessian(theta))
    rng = np.random.default_rng(n)
    s = rng.standard_normal((MEMORY, n))
    y = s + 0.1 * rng.standard_normal((MEMORY, n))  # of positive curvature, as every pair that is kept
    return Cost(
        n,
        _seconds(lambda: gradient(theta)),
        _seconds(lambda: hessian(theta)),
        _seconds(lambda: np.linalg.solve(curvature, grad)),
        _seconds(lambda: two_loop(grad, s, y)),
        curvature.nbytes,
        pairs_bytes(n),
    )


def work(n: int) -> Work:
    """Let gradient descent, L-BFGS and Newton run until they settle, and count their steps."""
    return Work(n, {key: _settled(n, key) for key in RACERS})


def costs() -> Iterator[Cost | Work]:
    """All measurements, the small ones first: PIECES of them, each of a few seconds at most."""
    tasks: list[tuple[Callable[[int], Cost | Work], int]] = [(cost, n) for n in SIZES]
    tasks += [(work, n) for n in WORK_SIZES]
    for measure, n in tasks:
        with _alone:
            found = measure(n)
        yield found


PIECES = len(SIZES) + len(WORK_SIZES)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The power p of n in values ∝ nᵖ from the last but one size to the last, where the fixed cost of a call counts
    least."""
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def _seconds(call: Callable) -> float:
    """The quickest of several calls: whatever else the machine does only adds to the time."""
    jax.block_until_ready(call())
    times: list[float] = []
    while sum(times) < LONG_ENOUGH and len(times) < 200:
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return min(times)


def _settled(n: int, key: str) -> float:
    problem = _problem(n)
    chosen = rule(OPTIMIZERS[key], RACERS[key])
    state, losses, done = begin_together(problem, chosen, problem.theta0[None]), np.empty(0), 0
    stretch = STRETCH if key == "sgd" else 25
    while done < STEPS_AT_MOST:
        run = descend_together(problem, chosen, stretch, [0], state, horizon=STEPS_AT_MOST)
        state, losses, done = run.state, run.value[0], done + stretch
        if losses[-1] <= TOLERANCE:
            above = np.flatnonzero(~(losses <= TOLERANCE))
            return float(done - stretch + (above[-1] + 1 if len(above) else 0))
        if not np.isfinite(losses[-1]):
            break
    return math.inf


def _problem(n: int) -> Problem:
    def loss(theta, values):
        return extended_rosenbrock(theta)

    return Problem(
        key=("extended rosenbrock", n),
        loss=loss,
        objective=lambda theta, draw, values: loss(theta, values),
        draw=lambda seed, first, count, into=None: {"nothing": np.zeros((count, 1))},  # chance plays no part
        values={},
        theta0=start(n),
        places=1,
    )
