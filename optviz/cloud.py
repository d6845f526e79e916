"""Many runs that differ only in their noise: where they are together, and the height at which they stop falling.

One noisy run shows luck; a thousand from one start show what the noise does. A `Cloud` is a value: one racer under
gradient noise, and how many runs of it, each with a seed of its own. `measure` follows them all and gives a `Swarm`:
where every run is at each kept moment, the mean and the quartiles of the loss, the share of runs near each minimum and
the share that is lost.

`floors` is the other half. While the noise lasts, runs come to rest at no point but at a mean height above the minimum,
the *noise floor*. It is measured for a grid of learning rates, over the second half of some hundred runs each. On a
quadratic, for gradient descent and the heavy ball, `stationary_variance` says what it must be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from optviz import doctor
from optviz.experiment import LOOKS, Experiment, Pick, Racer
from optviz.landscape import hessians
from optviz.many import CHANCE_AT_MOST, snapshots
from optviz.once import once
from optviz.optimizers import OPTIMIZERS, SECOND_ORDER
from optviz.spec import Param, Source, Value, number
from optviz.surfaces import Minimum
from optviz.verdict import Card, Measured, judged

RUNS = Param(
    "runs",
    "",
    1000,
    100,
    2000,
    domain="[2, 2000]",
    help="How many runs start together. Each has noise of its own, from the seeds that follow one another.",
)
LOW = Param(
    "low",
    "",
    3e-3,
    1e-6,
    1.0,
    log=True,
    domain="[1e-9, 1e3]",
    title="smallest rate",
    help="Where the learning rates begin for which the noise floor is measured.",
)
HIGH = Param(
    "high",
    "",
    1.0,
    1e-4,
    10.0,
    log=True,
    domain="[1e-9, 1e3]",
    title="largest rate",
    help="Where they end.",
)
LOOK = Param(
    "look",
    "",
    "both",
    options=("both", "points", "density"),
    static=True,
    title="drawn as",
    help="The runs as points, as a shade that is the darker the more runs there are, or both.",
)
OWN = {param.name: param for param in (RUNS, LOW, HIGH, LOOK)}

NOISY = tuple(key for key, entry in OPTIMIZERS.items() if entry.family != SECOND_ORDER)  # rules whose lr can be swept
MOMENTS = 81  # at most about so many are kept of every run
NEAR = 0.1  # share of the window's diagonal: nearer to a minimum than this counts as near it
RATES, SEEDS = 21, 200  # of the measurement of noise floors
AT_A_STRETCH = 5  # rates whose floors are measured in one piece: with the largest number of steps half a second
FLOORS = RATES + 2  # rates whose floors are measured
SIGNIFICANT = 3.0  # standard errors: the third and the last quarter of the runs differ by more, so they still fall
SMALL = 3.0  # the slope is measured on rates up to so many times the smallest settled one
KEPT = 12_000_000  # bytes of swarms


@dataclass(frozen=True)
class Cloud:
    """What is followed: the one racer of `experiment`, which has gradient noise, `runs` times. Run i has the noise of
    seed experiment.seed + i. `low` and `high` are the ends of the grid of rates for the noise floor; `look` says how
    the runs are drawn.

    Raises ValueError, with what is allowed.
    """

    experiment: Experiment
    runs: int = int(RUNS.default)
    low: float = float(LOW.default)
    high: float = float(HIGH.default)
    look: str = str(LOOK.default)

    def __post_init__(self):
        looks = {name: param.default for name, param in LOOKS.items()} | {"curves": Experiment.curves}
        checked: dict[str, Any] = {name: param.check(getattr(self, name)) for name, param in OWN.items()}
        checked["experiment"] = on = replace(self.experiment, **looks)  # a cloud has a picture of its own
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if len(on.racers) != 1 or on.pins:
            raise ValueError(f"a cloud has exactly one racer and no pins, not {len(on.racers)} and {len(on.pins)}")
        key = on.racers[0].optimizer.key
        if key not in NOISY:
            raise ValueError(f"{key} brings its own step length; a cloud is of one of {', '.join(NOISY)}")
        if not on.noise > 0:
            raise ValueError("without gradient noise all runs of a cloud are the same; the noise σ must be above 0")
        if not on.entry.minima_at(on.surface_values):
            raise ValueError(
                f"{on.entry.title} has no known minimum above which a height could be measured; take another"
            )
        if self.demand["noise_numbers"] > CHANCE_AT_MOST:
            raise ValueError(
                f"{self.runs:,} runs × {on.steps:,} steps are too many; together they may be {CHANCE_AT_MOST:,}"
            )
        if not self.low < self.high:
            raise ValueError(f"the smallest rate must be below the largest, not {self.low:g} and {self.high:g}")

    @property
    def demand(self) -> dict[str, float]:
        """How much it asks for, by the names of limits."""
        on = self.experiment
        return on.demand | {"cells": self.runs, "noise_numbers": self.runs * on.steps}

    @property
    def racer(self) -> Racer:
        return self.experiment.racers[0]

    @property
    def places(self) -> list[str]:
        """What `minima` are called."""
        return [f"({number(point.x, 3)}, {number(point.y, 3)})" for point in self.minima]

    @property
    def minima(self) -> tuple[Minimum, ...]:
        """The surface's listed minima, the lowest first."""
        return tuple(
            sorted(self.experiment.entry.minima_at(self.experiment.surface_values), key=lambda point: point.value)
        )

    def seed(self, index: int) -> int:
        """The seed of run number `index`."""
        return (self.experiment.seed + index) % 2**32

    def run(self, index: int = 0, lr: float | None = None) -> Experiment:
        """One run of the cloud, or of the rate `lr`, as the descent laboratory takes it."""
        racer = self.racer if lr is None else self.racer.but(lr=float(lr))
        return replace(self.experiment, seed=self.seed(index), racers=(racer,))


# The cloud -----------------------------------------------------------------------------------------------------------


class Swarm(NamedTuple):
    """k runs at p kept moments. Heights are losses, without noise and penalty, above the lowest minimum; of a run that
    is lost they are infinite, and so is a mean that it belongs to."""

    steps: np.ndarray  # (p,) steps taken at each moment, the first 0 and the last all
    theta: np.ndarray  # (k, p, 2)
    height: np.ndarray  # (k, p)
    quiet: np.ndarray  # (p,) the height of the same run without noise
    mean: np.ndarray  # (p,)
    median: np.ndarray  # (p,)
    low: np.ndarray  # (p,) the quartiles: a quarter of the runs lies below `low`, a quarter above `high`
    high: np.ndarray
    near: np.ndarray  # (m, p) the share of runs near each of Cloud.minima: it is the nearest, and within NEAR
    lost: np.ndarray  # (p,) the share whose loss was no finite number or that was beyond doctor.fence, then or before

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self)

    def ordered(self) -> np.ndarray:
        """The runs by their last height, the lowest first: (k,) indices."""
        return np.argsort(self.height[:, -1], kind="stable")


def measure(cloud: Cloud) -> Swarm:
    """Follow all runs. The grid of rates plays no part in it, nor does the look."""
    return _measure(replace(cloud, low=float(LOW.default), high=float(HIGH.default), look=str(LOOK.default)))


@once(KEPT, size=lambda swarm: swarm.nbytes)
def _measure(cloud: Cloud) -> Swarm:
    """Kept, so that looking at the rates costs nothing."""
    seeds = np.array([cloud.seed(i) for i in range(cloud.runs)] + [cloud.experiment.seed])
    noise = np.array([cloud.experiment.noise] * cloud.runs + [0.0])  # the last run is the quiet one
    steps, theta, loss = snapshots(
        cloud.experiment, cloud.racer, {"seed": seeds, "noise": noise}, MOMENTS, precision="double"
    )
    with np.errstate(all="ignore"):
        height, gone = _heights(cloud, theta, loss)
        low, median, high = np.sort(height[:-1], axis=0)[_ranks(cloud.runs)]
        return Swarm(
            steps=np.asarray(steps),
            theta=theta[:-1],
            height=height[:-1],
            quiet=height[-1],
            mean=height[:-1].mean(axis=0),
            median=median,
            low=low,
            high=high,
            near=_near(cloud, theta[:-1], gone[:-1]),
            lost=gone[:-1].mean(axis=0),
        )


def _ranks(runs: int) -> list[int]:
    """Where the quartiles stand among ordered runs. By rank, because a mean of neighbours knows no infinity."""
    return [round(share * (runs - 1)) for share in (0.25, 0.5, 0.75)]


def _heights(cloud: Cloud, theta: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights (k, p) of k runs, infinite from the moment on at which a run is lost, and where that is (k, p)."""
    centre, radius = doctor.fence(cloud.experiment.entry.window, cloud.experiment.start)
    away = np.hypot(theta[..., 0] - centre[0], theta[..., 1] - centre[1])
    gone = np.logical_or.accumulate(~((away <= radius) & np.isfinite(loss)), axis=1)
    return np.where(gone, np.inf, loss - cloud.minima[0].value), gone


def _near(cloud: Cloud, theta: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """The share of runs near each minimum, (m, p)."""
    away = np.stack([np.hypot(theta[..., 0] - m.x, theta[..., 1] - m.y) for m in cloud.minima])
    away = np.where(gone, np.inf, away)
    reach = NEAR * doctor.diagonal_of(cloud.experiment.entry.window)
    nearest = away.argmin(axis=0)
    return np.array([((nearest == i) & (away[i] <= reach)).mean(axis=0) for i in range(len(cloud.minima))])


# The noise floor -----------------------------------------------------------------------------------------------------


class Floors(NamedTuple):
    """The noise floor at r learning rates, from SEEDS runs each: the mean height over the second half of the runs."""

    rates: np.ndarray  # (r,) ascending: the grid, the racer's own rate and half of it
    height: np.ndarray  # (r,) infinite where a run was lost
    error: np.ndarray  # (r,) its standard error, from how the runs differ
    settled: np.ndarray  # (r,) whether the mean no longer falls or rises, by more than chance can tell
    lost: np.ndarray  # (r,) the share of runs that were lost
    theory: np.ndarray | None  # (r,) NaN where the rate is too large for a floor; None where no theory is known

    def at(self, rate: float) -> int:
        """The index of a rate that was measured."""
        return int(np.argmin(np.abs(np.log(self.rates / rate))))

    @property
    def compared(self) -> np.ndarray:
        """(r,) where a settled floor meets a theory."""
        known = np.zeros(len(self.rates), bool) if self.theory is None else np.isfinite(self.theory)
        return known & self.settled

    @property
    def agreement(self) -> float:
        """The mean relative distance of settled floors from theory; NaN where there is none."""
        there = self.compared
        if self.theory is None or not there.any():
            return math.nan
        return float(np.mean(np.abs(self.height[there] / self.theory[there] - 1)))

    @property
    def slope(self) -> float:
        """The slope of log floor against log rate over the smallest settled rates; NaN for fewer than three."""
        there = np.flatnonzero(self.settled & (self.height > 0))
        there = there[self.rates[there] <= SMALL * self.rates[there[0]]] if len(there) else there
        if len(there) < 3:
            return math.nan
        return float(np.polyfit(np.log(self.rates[there]), np.log(self.height[there]), 1)[0])


def floors(cloud: Cloud) -> Floors:
    """The noise floor for each rate of the grid, for the racer's own rate and for half of it."""
    return joined(cloud, list(floor_pieces(cloud)))


def floor_pieces(cloud: Cloud) -> Iterator[Floors]:
    """The noise floors at a few rates at a time, of FLOORS in all: first at the racer's own and half of it, then along
    the grid. They know no theory yet."""
    own, like = float(cloud.racer.values["lr"]), _like(cloud)
    yield _floors(like, (own / 2, own))
    grid = np.geomspace(cloud.low, cloud.high, RATES).tolist()
    for first in range(0, RATES, AT_A_STRETCH):
        yield _floors(like, tuple(grid[first : first + AT_A_STRETCH]))


def joined(cloud: Cloud, found: Sequence[Floors]) -> Floors:
    """The noise floors of the first pieces, at least one, with theory."""
    rates = np.concatenate([piece.rates for piece in found])
    _, order = np.unique(rates, return_index=True)
    columns = [np.concatenate(parts)[order] for parts in zip(*(piece[:-1] for piece in found), strict=True)]
    return Floors(*columns, theory=theory(_like(cloud), columns[0]))


def _like(cloud: Cloud) -> Cloud:
    """What clouds that have the same floors at the same rates have in common."""
    return replace(cloud, runs=int(RUNS.default), look=str(LOOK.default), experiment=cloud.run(lr=1.0))


@once(1024)  # of less than a kilobyte each
def _floors(cloud: Cloud, rates: tuple[float, ...]) -> Floors:
    """Kept apart from the racer's own rate, whose slider leaves the grid as it is."""
    seeds = np.array([cloud.seed(i) for i in range(SEEDS)])
    vary = {"lr": np.repeat(rates, SEEDS), "seed": np.tile(seeds, len(rates))}
    steps, theta, loss = snapshots(cloud.experiment, cloud.racer, vary, MOMENTS, precision="double")
    with np.errstate(all="ignore"):
        height, gone = _heights(cloud, theta, loss)
        height = height.reshape(len(rates), SEEDS, -1)
        lost = gone[:, -1].reshape(len(rates), SEEDS).mean(axis=1)
        total = cloud.experiment.steps
        later = (steps > total / 2, (steps > total / 2) & (steps <= 3 * total / 4), steps > 3 * total / 4)
        whole, third, last = (height[..., moments].mean(axis=2) for moments in later)  # of each run
        change, spread = (last - third).mean(axis=1), (last - third).std(axis=1, ddof=1) / math.sqrt(SEEDS)
        mean, error = whole.mean(axis=1), whole.std(axis=1, ddof=1) / math.sqrt(SEEDS)
    settled = (lost == 0) & np.isfinite(mean) & (np.abs(change) <= SIGNIFICANT * spread)
    return Floors(np.array(rates), np.where(lost > 0, np.inf, mean), error, settled, lost, None)


def theory(cloud: Cloud, rates: np.ndarray) -> np.ndarray | None:
    """The noise floor at each of r rates by theory, (r,): NaN where the rate is too large for one. None if none is
    known, which is so for any surface but a quadratic and any rule but gradient descent and the heavy ball."""
    bowl = quadratic(cloud.experiment) if heavy_ball(cloud.racer) else None
    if bowl is None:
        return None
    found = []
    for rate in rates:
        lr, momentum = heavy_ball(cloud.racer.but(lr=float(rate))) or (math.nan, math.nan)
        variance = stationary_variance(bowl.curvatures + cloud.experiment.l2, lr, momentum, cloud.experiment.noise)
        found.append(bowl.shift + 0.5 * float(np.sum(bowl.curvatures * variance)))
    return np.array(found)


class Bowl(NamedTuple):
    """A quadratic surface: the curvatures of the loss (2,), and the height at which its penalized minimum lies."""

    curvatures: np.ndarray
    shift: float


def quadratic(experiment: Experiment) -> Bowl | None:
    """The surface as a quadratic; None if its Hessian changes from place to place or is not positive."""
    return _quadratic(experiment.surface, experiment.l2)


@once(64)
def _quadratic(surface: Pick, l2: float) -> Bowl | None:
    experiment = Experiment(surface, l2=l2)
    left, right, bottom, top = experiment.entry.window
    places = [(x, y) for x in (left, (2 * left + right) / 3, right) for y in (bottom, (2 * bottom + top) / 3, top)]
    matrices = hessians(experiment.problem, np.array(places))
    hessian = matrices[0]
    if not (np.isfinite(matrices).all() and np.allclose(matrices, hessian, rtol=1e-9, atol=1e-9 * abs(hessian).max())):
        return None
    curvatures, axes = np.linalg.eigh(hessian)
    lowest = experiment.entry.minima_at(experiment.surface_values)
    if not curvatures[0] > 1e-9 * curvatures[1] or len(lowest) != 1:
        return None
    own = curvatures - l2
    shift = l2 * (axes.T @ [lowest[0].x, lowest[0].y]) / curvatures  # of the penalized minimum, along each axis
    return Bowl(own, 0.5 * float(np.sum(own * shift**2)))


def heavy_ball(racer: Racer) -> tuple[float, float] | None:
    """The rate η and the momentum ρ of a rule that is θₜ₊₁ = θₜ − η·g + ρ·(θₜ − θₜ₋₁), once it is under way; ρ = 0 is
    gradient descent. None for any other rule and for one with schedules."""
    values = racer.values
    if racer.schedules or racer.optimizer.key not in ("sgd", "momentum") or values.get("nesterov"):
        return None
    lr, momentum, dampening = (float(values[name]) for name in ("lr", "momentum", "dampening"))
    averaging = values.get("averaging") or values.get("form") == "averaging"
    plain = racer.optimizer.key == "sgd" and (averaging or momentum == 0)  # there dampening does nothing
    share = (1 - momentum if averaging else 1.0) * (1.0 if plain else 1 - dampening)
    return lr * share, momentum


def stationary_variance(curvatures: np.ndarray, lr: float, momentum: float, noise: float) -> np.ndarray:
    """How far the heavy ball wanders on a quadratic once its start is forgotten: the variance of its position along
    each axis, for the curvatures λ > 0 there (n,) and gradient noise of deviation σ.

    It is η·σ²·(1 + ρ) / ((1 − ρ)·λ·(2(1 + ρ) − η·λ)); for gradient descent, η·σ² / (λ·(2 − η·λ)). NaN where η·λ is not
    below 2(1 + ρ): there it grows without end.
    """
    step = lr * curvatures
    stable = (step > 0) & (step < 2 * (1 + momentum)) & (0 <= momentum < 1)
    with np.errstate(all="ignore"):
        variance = lr * noise**2 * (1 + momentum) / (1 - momentum) / curvatures
        return np.where(stable, variance / (2 * (1 + momentum) - step), np.nan)


# The claims ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CloudClaim(Card):
    """A claim on noise, with the cloud that shows it."""

    cloud: Cloud

    def measure(self, cloud: Cloud) -> Measured | None:
        """Measure it on a cloud; None where the cloud lacks what the claim is about."""
        return {"A5": _noise_floor, "A5-saddle": _leaves_saddle, "A5-wells": _leaves_sharp}[self.key](cloud)


def _noise_floor(cloud: Cloud) -> Measured | None:
    swarm, found = measure(cloud), floors(cloud)
    if not len(found.rates[found.settled]):
        return None
    own = found.at(float(cloud.racer.values["lr"]))
    half = found.at(found.rates[own] / 2)
    numbers: dict[str, Value] = {
        "runs": cloud.runs,
        "sigma": cloud.experiment.noise,
        "rate": found.rates[own],
        "half": found.rates[half],
        "floor": found.height[own],
        "floor_half": found.height[half],
        "ratio": found.height[own] / found.height[half],
        "slope": found.slope,
        "quiet": swarm.quiet[-1],
        "mean": swarm.mean[-1],
        "steps": cloud.experiment.steps,
    }
    known = ""
    if found.theory is not None:
        numbers["agreement"] = found.agreement
        known = " On this quadratic the settled floors lie within {agreement:%} of theory in the mean."
    return judged(
        numbers,
        "After {steps:steps} {runs} runs with σ = {sigma} have a mean height of {mean}; the same run without noise has "
        "come down to {quiet}. The floor is {floor} at η = {rate} and {floor_half} at half that rate, {ratio} times as "
        "much for twice the rate; over the smallest settled rates it grows like η to the power {slope}." + known,
        (found.settled[own] and found.settled[half], "at η or at half of it the runs still fall: take more steps"),
        (swarm.mean[-1] > 2 * swarm.quiet[-1], "the noise does not hold the runs up"),
        (found.height[own] > found.height[half], "the smaller rate is not the lower one"),
        (0.85 < found.slope < 1.2, "the floor does not grow in proportion to η"),
        (found.theory is None or found.agreement < 0.05, "the floors are not those of theory"),
        longest=cloud.experiment.steps,
    )


def _leaves_saddle(cloud: Cloud) -> Measured | None:
    saddles = cloud.experiment.entry.saddles_at(cloud.experiment.surface_values)
    if not saddles or len(cloud.minima) < 2:
        return None
    swarm = measure(cloud)
    arrived = swarm.near.sum(axis=0)
    half = np.flatnonzero(arrived >= 0.5)
    numbers = {
        "sigma": cloud.experiment.noise,
        "runs": cloud.runs,
        "steps": cloud.experiment.steps,
        "half": swarm.steps[half[0]] if len(half) else math.inf,
        "first": swarm.near[0, -1],
        "second": swarm.near[1, -1],
        "quiet": swarm.quiet[-1],
        "median": swarm.median[-1],
    }
    return judged(
        numbers,
        "Without noise the run is still {quiet} above the minimum after {steps:steps}. With σ = {sigma} half of {runs} "
        "runs were near a minimum after {half:steps}, and in the end {first:%} of them lie near the one and {second:%} "
        "near the other; the median run is {median} above the minimum.",
        (bool(len(half)), "most runs have not found a minimum yet"),
        (swarm.quiet[-1] > 10 * swarm.median[-1], "the run without noise finds the minimum as well"),
        (min(numbers["first"], numbers["second"]) > 0.3, "one side is preferred"),
        longest=cloud.experiment.steps,
    )


def _leaves_sharp(cloud: Cloud) -> Measured | None:
    if cloud.experiment.surface.key != "flat_and_sharp" or len(cloud.minima) != 2:
        return None
    swarm = measure(cloud)
    sharp = int(np.argmax([point.x for point in cloud.minima]))
    left = swarm.near[sharp]
    gone = np.flatnonzero(left <= 0.5)
    numbers = {
        "runs": cloud.runs,
        "sigma": cloud.experiment.noise,
        "begin": left[0],
        "left": left[-1],
        "flat": swarm.near[1 - sharp, -1],
        "half": swarm.steps[gone[0]] if len(gone) else math.inf,
        "quiet": swarm.quiet[-1],
    }
    return judged(
        numbers,
        "{begin:%} of {runs} runs began in the sharp well. With σ = {sigma} half of them had left it after "
        "{half:steps}; in the end {left:%} are there and {flat:%} near the flat minimum. Without noise the run stays "
        "where it is, {quiet} above the lower minimum.",
        (left[0] > 0.99, "the runs do not begin in the sharp well"),
        (bool(len(gone)), "most runs are still in the sharp well"),
        (numbers["flat"] > 2 * numbers["left"], "the flat well does not hold more runs than the sharp one"),
        longest=cloud.experiment.steps,
    )


def _sgd(lr: float) -> tuple[Racer, ...]:
    return (Racer(Pick("sgd", {"lr": lr})),)


BOTTOU = Source(
    "Bottou, Curtis & Nocedal",
    2018,
    "Optimization Methods for Large-Scale Machine Learning, section 4",
    "https://arxiv.org/abs/1606.04838",
)
VALLEY = Cloud(Experiment(Pick("valley", {"kappa": 4.0}), _sgd(0.05), start=(-1.8, 1.0), steps=400, noise=1.0))
ON_A_SADDLE = Cloud(
    Experiment(Pick("bounded_saddle"), _sgd(0.02), start=(1.0, 0.0), steps=300, noise=0.1), low=1e-3, high=0.5
)
IN_A_SHARP_WELL = Cloud(
    Experiment(Pick("flat_and_sharp"), _sgd(0.038), start=(1.5, 0.0), steps=3000, noise=2.5), low=1e-3, high=0.3
)

CLAIMS = {
    "A5": CloudClaim(
        key="A5",
        title="The noise floor",
        says="Gradient noise makes SGD wander, and slows it near the minimum: its runs stop falling at a mean height, "
        "the noise floor, that grows with the learning rate.",
        condition="On a quadratic with gradient noise, once the start is forgotten. The floor is in proportion to η "
        "while η is far below 2/λmax; exactly it is ½ Σ ησ²/(2 − ηλ), one term for each axis. A smaller rate has the "
        "lower floor and takes longer to get there: the left end of the curve rises again, where the runs are on "
        "their way when the time is up.",
        watch="The cloud shrinks towards the minimum and then keeps its size. Halve η: it shrinks to a smaller one. "
        "In the lower chart the dashed line is theory, and hollow points are runs that still fall.",
        sources=(BOTTOU,),
        cloud=VALLEY,
    ),
    "A5-saddle": CloudClaim(
        key="A5-saddle",
        title="Noise leaves a saddle",
        says="A run that is led straight to a saddle stays there without noise; with a little noise it falls off to "
        "either side.",
        condition="The time to leave grows with the logarithm of 1/σ only. Which side it is, chance decides.",
        watch="The cloud gathers on the saddle ✕, then parts in two. The shares near the two minima grow together.",
        sources=(
            Source(
                "Ge, Huang, Jin & Yuan", 2015, "Escaping From Saddle Points", "https://arxiv.org/abs/1503.02101",
            ),
        ),
        cloud=ON_A_SADDLE,
    ),
    "A5-wells": CloudClaim(
        key="A5-wells",
        title="Noise leaves a sharp minimum",
        says="With enough noise, or too large a rate for its curvature, a run does not stay in a sharp minimum; in a "
        "flat one of the same depth it does.",
        condition="The noise is the same everywhere here. Of real mini-batches it is not, and how much this explains "
        "why flat minima are found is disputed.",
        watch="All runs begin in the right, sharp well. The share near it falls, the share near the flat one rises.",
        sources=(
            Source("Keskar et al.", 2017, "On Large-Batch Training for Deep Learning",
                   "https://arxiv.org/abs/1609.04836"),
            Source("Dinh et al.", 2017, "Sharp Minima Can Generalize For Deep Nets", "https://arxiv.org/abs/1703.04933"),
        ),
        cloud=IN_A_SHARP_WELL,
    ),
}  # fmt: skip
