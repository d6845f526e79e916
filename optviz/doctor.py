"""Looks at a trajectory and says, by stated rules, how the run ended.

The rules speak of the *tail*, the last tenth of the run (at least ten steps), so that one lucky step decides nothing.
A small gradient alone is never called convergence: a saddle and a plateau have that too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from optviz.descent import Trajectory
from optviz.surfaces import Minimum

TAIL_SHARE, TAIL_AT_LEAST = 0.1, 10
FAR = 1000.0  # window diagonals further out than the start: there a run has left for good
TURNING = -0.5  # mean cosine between one step and the next below which a run goes back and forth
IMPROVEMENT = 0.01  # share of the remaining loss that a tail must win to count as progress
STANDSTILL = 1e-4  # share of the window's diagonal that a tail must cover to count as motion
NEAR = 1e-2  # share of the window's diagonal: nearer to a minimum than this, a short tail is an arrival, not a stall

STATES = {
    "converged": "over the last tenth of the run the loss stays within the tolerance of the nearest listed minimum's",
    "oscillating": "over the last tenth of the run successive steps point back at each other (mean cosine below −0.5) "
    "and the loss falls by less than 1 % of what is left",
    "stalled": "over the last tenth of the run it covers less than a ten-thousandth of the window's diagonal, "
    "and no listed minimum is within a hundredth of it: it may rest at a saddle, a maximum, a minimum that is not "
    "listed or that the L2 penalty has moved, or creep over a plateau",
    "moving": "none of the other rules: it is still on its way",
    "diverged": "its loss or position stopped being a finite number, or it is more than 1,000 windows away",
}


class Outcome(NamedTuple):
    """How a run ended. `at` is the step at which it diverged; `arrived` the first step within the tolerance of the
    lowest minimum; both are None if that never happened. `nearest` and `lowest`, which is f*, are None where the
    surface has no minimum."""

    state: str
    loss: float
    nearest: Minimum | None
    distance: float
    lowest: float | None
    arrived: int | None
    at: int | None

    @property
    def sentence(self) -> str:
        if self.at == 0:
            return "diverged: not defined at the start"
        return f"diverged at step {self.at}" if self.state == "diverged" else self.state


def outcome(
    run: Trajectory, minima: Sequence[Minimum], window: tuple[float, float, float, float], tolerance: float
) -> Outcome:
    """Apply the rules of STATES to a run in the plane."""
    left, right, bottom, top = window
    diagonal = math.hypot(right - left, top - bottom)
    centre = np.array([(left + right) / 2, (bottom + top) / 2])
    with np.errstate(over="ignore", invalid="ignore"):
        distance = _lengths(run.theta - centre)
        near = distance <= FAR * diagonal + distance[0]
        lost = ~(near & np.isfinite(run.loss))  # NaN compares as not near
    at = int(np.argmax(lost)) if lost.any() else None
    nearest = min(minima, key=lambda m: math.dist((m.x, m.y), run.theta[-1]), default=None) if at is None else None
    lowest = min((m.value for m in minima), default=None)
    arrived = None
    if lowest is not None:
        close = run.loss - lowest <= tolerance
        arrived = int(np.argmax(close)) if close.any() else None
    return Outcome(
        state="diverged" if at is not None else _state_of_tail(run, nearest, diagonal, tolerance),
        loss=float(run.loss[-1]),
        nearest=nearest,
        distance=math.dist((nearest.x, nearest.y), run.theta[-1]) if nearest else math.nan,
        lowest=lowest,
        arrived=arrived,
        at=at,
    )


def _state_of_tail(run: Trajectory, nearest: Minimum | None, diagonal: float, tolerance: float) -> str:
    tail = min(run.steps, max(TAIL_AT_LEAST, math.ceil(TAIL_SHARE * run.steps)))
    loss, step = run.loss[-tail - 1 :], run.step[-tail:]
    target = nearest.value if nearest else 0.0
    if nearest and np.all(np.abs(loss - target) <= tolerance):
        return "converged"
    lengths = _lengths(step)
    products = lengths[1:] * lengths[:-1]
    moved = products > 0
    turned = np.einsum("ij,ij->i", step[1:], step[:-1])[moved] / products[moved]
    progress = loss[0] - loss[-1] > IMPROVEMENT * abs(loss[0] - target)
    if turned.size and turned.mean() < TURNING and not progress:
        return "oscillating"
    arriving = nearest and math.dist((nearest.x, nearest.y), run.theta[-1]) < NEAR * diagonal
    return "stalled" if lengths.sum() < STANDSTILL * diagonal and not arriving else "moving"


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Of each row. It is called for every racer at every move of a slider, and `norm` takes three times as long."""
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
