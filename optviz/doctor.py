"""Looks at a trajectory and says, by stated rules, how the run ended.

The rules speak of the *tail*, the last tenth of the run (at least ten steps), so that one lucky step decides nothing.
A small gradient alone is never called convergence: a saddle and a plateau have that too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

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


class Tail(NamedTuple):
    """What the rules of STATES ask of the last tenth of a run: numbers, or arrays (k,) for k runs."""

    first: Any  # loss where it begins and where it ends
    last: Any
    low: Any  # its least and its largest loss
    high: Any
    turning: Any  # mean cosine between one step and the next; NaN if it never moved twice
    length: Any  # of its path


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
    diagonal, gone = diagonal_of(window), lost(run.theta, run.loss, window)
    at = int(np.argmax(gone)) if gone.any() else None
    nearest = min(minima, key=lambda m: math.dist((m.x, m.y), run.theta[-1]), default=None) if at is None else None
    lowest = min((m.value for m in minima), default=None)
    arrived = None
    if lowest is not None:
        close = run.loss - lowest <= tolerance
        arrived = int(np.argmax(close)) if close.any() else None
    return Outcome(
        state="diverged"
        if at is not None
        else state_of_tail(tail_of(run), run.theta[-1], nearest, diagonal, tolerance),
        loss=float(run.loss[-1]),
        nearest=nearest,
        distance=math.dist((nearest.x, nearest.y), run.theta[-1]) if nearest else math.nan,
        lowest=lowest,
        arrived=arrived,
        at=at,
    )


def lost(theta: np.ndarray, loss: np.ndarray, window: tuple[float, float, float, float]) -> np.ndarray:
    """At which points (…, t) of runs in the plane, which start at one place, they have diverged; θ is (…, t, 2)."""
    centre, radius = fence(window, theta.reshape(-1, 2)[0])
    with np.errstate(over="ignore", invalid="ignore"):
        away = theta - centre
        near = np.sqrt(np.einsum("...j,...j->...", away, away)) <= radius
        return ~(near & np.isfinite(loss))  # NaN compares as not near


def diagonal_of(window: tuple[float, float, float, float]) -> float:
    """The length of a window's diagonal."""
    left, right, bottom, top = window
    return math.hypot(right - left, top - bottom)


def fence(window: tuple[float, float, float, float], start: Sequence[float]) -> tuple[np.ndarray, float]:
    """The centre and the radius of the circle beyond which a run has left for good."""
    left, right, bottom, top = window
    centre = np.array([(left + right) / 2, (bottom + top) / 2])
    return centre, FAR * diagonal_of(window) + float(np.linalg.norm(np.asarray(start) - centre))


def tail_steps(steps: int) -> int:
    """How many steps the tail of a run has."""
    return min(steps, max(TAIL_AT_LEAST, math.ceil(TAIL_SHARE * steps)))


def tail_of(run: Trajectory) -> Tail:
    """The last tenth of a run."""
    tail = tail_steps(run.steps)
    loss, step = run.loss[-tail - 1 :], run.step[-tail:]
    lengths = _lengths(step)
    products = lengths[1:] * lengths[:-1]
    moved = products > 0
    turned = np.einsum("ij,ij->i", step[1:], step[:-1])[moved] / products[moved]
    turning = turned.mean() if turned.size else math.nan
    return Tail(loss[0], loss[-1], loss.min(), loss.max(), turning, lengths.sum())


def state_of_tail(tail: Tail, end: Sequence[float], nearest: Minimum | None, diagonal: float, tolerance: float) -> str:
    """The state of a run that did not diverge, from its tail, where it ends and the minimum nearest to that."""
    target = nearest.value if nearest else 0.0
    if nearest and tail.high - target <= tolerance and target - tail.low <= tolerance:
        return "converged"
    progress = tail.first - tail.last > IMPROVEMENT * abs(tail.first - target)
    if tail.turning < TURNING and not progress:  # NaN compares as not turning
        return "oscillating"
    arriving = nearest and math.dist((nearest.x, nearest.y), end) < NEAR * diagonal
    return "stalled" if tail.length < STANDSTILL * diagonal and not arriving else "moving"


def states_of_tails(
    tails: Tail,
    ends: np.ndarray,
    minima: Sequence[Minimum],
    window: tuple[float, float, float, float],
    tolerance: float,
) -> np.ndarray:
    """The same for k runs at once that did not diverge: the indices (k,), uint8, of their states' words in STATES.
    The fields of `tails` are (k,), `ends` is (k, 2)."""
    diagonal, target, distance = diagonal_of(window), np.zeros(len(ends)), np.full(len(ends), math.inf)
    with np.errstate(all="ignore"):
        for minimum in minima:
            away = np.hypot(ends[:, 0] - minimum.x, ends[:, 1] - minimum.y)
            target = np.where(away < distance, minimum.value, target)
            distance = np.minimum(away, distance)
        converged = bool(minima) & (tails.high - target <= tolerance) & (target - tails.low <= tolerance)
        progress = tails.first - tails.last > IMPROVEMENT * np.abs(tails.first - target)
        oscillating = (tails.turning < TURNING) & ~progress
        stalled = (tails.length < STANDSTILL * diagonal) & (distance >= NEAR * diagonal)
    index = {word: np.uint8(i) for i, word in enumerate(STATES)}
    told = [converged, oscillating, stalled]
    words = [index["converged"], index["oscillating"], index["stalled"]]
    return np.select(told, words, default=index["moving"])


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Of each row. It is called for every racer at every move of a slider, and `norm` takes three times as long."""
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
