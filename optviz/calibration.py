"""How the result depends on the learning rate: the same run for a whole grid of rates, for many optimizers or networks.

Too small a rate is slow, too large a one swings or diverges, and the best lies between: where, depends on the rule, on
the surface and on the architecture. A `Calibration` is a value that says what is measured; `measure` gives a `Curve`
for each optimizer on a surface, or for each width or depth of a network, with the final loss at each rate, what is
wrong with that rate (`SHAPES`) and the best one.

Which rate is the best: of the runs whose loss *settles* within the tolerance of the minimum, the one that needs the
fewest steps; if none does, the one of least final loss. On networks, whose minimum nobody knows, it is always the
least final training loss, the median over the seeds.

On a surface, `limits` adds what theory knows: on a quadratic, gradient descent converges below 2/λmax and a heavy ball
below 2(1 + ρ)/λmax, λmax being the largest eigenvalue of the Hessian. Elsewhere it is the local limit at a minimum.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from optviz import doctor
from optviz.descent import ROOM, begin_together, descend_together, endings
from optviz.experiment import Experiment, Pick, Racer
from optviz.limits import CAPACITY
from optviz.networks import data_loss
from optviz.once import once
from optviz.optimizers import BETA1, BETA2, MOMENTUM, OPTIMIZERS, SECOND_ORDER
from optviz.pools import pool
from optviz.programs import program
from optviz.spec import Param, Source, Value, number
from optviz.surfaces import Minimum
from optviz.training import Training, predict, targets
from optviz.tuning import tuned_lr
from optviz.verdict import Card, Measured, judged

LOW = Param(
    "low",
    "",
    1e-4,
    1e-8,
    1.0,
    log=True,
    domain="[1e-12, 1e6]",
    title="smallest rate",
    help="Where the grid of learning rates begins.",
)
HIGH = Param(
    "high",
    "",
    10.0,
    1e-4,
    1e3,
    log=True,
    domain="[1e-12, 1e6]",
    title="largest rate",
    help="Where it ends.",
)
COUNT = Param(
    "count",
    "",
    40,
    5,
    ROOM,
    domain=f"[2, {ROOM}]",
    title="rates",
    help="How many learning rates there are from the smallest to the largest, each the same factor above the last.",
)
AXIS = Param(
    "axis",
    "",
    "width",
    options=("width", "depth"),
    static=True,
    title="architecture",
    help="What the networks differ in: units in each hidden layer, or how many hidden layers.",
)
GRID = {param.name: param for param in (LOW, HIGH, COUNT)}
SHARED = {
    param.name: param for param in (MOMENTUM, BETA1, BETA2)
}  # set for all rules at once that have them by default

FIRST_ORDER = tuple(key for key, entry in OPTIMIZERS.items() if entry.family != SECOND_ORDER)
FACTORS = {"surface": 10.0, "network": 2.0}  # a final loss within this factor of the best counts as good
BLOWN_UP = 10.0  # a network whose loss is this many times what it was before training has diverged
SIZES_AT_MOST = 8
SIZES = {"width": (4, 16, 64, 256), "depth": (1, 2, 3, 4, 5, 6)}  # that a visitor begins with
# Parameters × examples seen × seeds, over all trainings: about a minute of one core.
WORK_AT_MOST = CAPACITY.calibration_work
STEPS_AT_MOST = CAPACITY.calibration_steps  # steps × seeds, over all trainings

SHAPES = {
    "too small": "a rate below the best, and the run has not come as far: it is on its way, or creeps",
    "right": f"the final loss lies above the minimum by at most {FACTORS['surface']:g} times what the best rate "
    f"leaves, or by less than the tolerance; of a network it is at most {FACTORS['network']:g} times that of the best",
    "oscillating": "a rate above the best, and successive steps at the end point back at each other, to and fro",
    "too large": "a rate above the best, and the run ends higher up without such a rhythm, or somewhere else",
    "diverged": "the loss stopped being finite, or the run left for good; of a network also a loss more than "
    f"{BLOWN_UP:g} times the one before training",
}

T = TypeVar("T")


@dataclass(frozen=True)
class Calibration:
    """What is measured: `on` an Experiment (its surface, start, steps, noise and tolerance; it has no racers), each of
    the `optimizers` over the grid; on a Training of one configuration, each of the `sizes` of its network: the width of
    all its hidden layers, or the number of hidden layers as wide as its first, by the `axis`.

    `shared` sets hyperparameters of SHARED for all optimizers that have them, but for rules where they are off by
    default, such as SGD's momentum. `chosen` are the optimizers in view, the others stand behind; it changes no number.
    Raises ValueError, with what is allowed.
    """

    on: Experiment | Training
    low: float = float(LOW.default)
    high: float = float(HIGH.default)
    count: int = int(COUNT.default)
    optimizers: tuple[str, ...] = FIRST_ORDER
    chosen: tuple[str, ...] = ()
    shared: Any = ()  # given as a mapping, kept as sorted pairs without defaults
    axis: str = str(AXIS.default)
    sizes: tuple[int, ...] = ()  # left out: those of SIZES

    def __post_init__(self):
        shared = {name: _shared(name).check(value) for name, value in dict(self.shared).items()}
        checked: dict[str, Any] = {
            **{name: param.check(getattr(self, name)) for name, param in GRID.items()},
            "axis": AXIS.check(self.axis),
            "optimizers": tuple(dict.fromkeys(self.optimizers)),
            "shared": tuple(sorted(pair for pair in shared.items() if pair[1] != SHARED[pair[0]].default)),
        }
        checked["sizes"] = tuple(sorted(set(self.sizes or SIZES[checked["axis"]])))
        checked["chosen"] = tuple(key for key in checked["optimizers"] if key in self.chosen)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if not self.low < self.high:
            raise ValueError(f"the smallest rate must be below the largest, not {self.low:g} and {self.high:g}")
        if isinstance(self.on, Training):
            self._check_networks(self.on)
        else:
            self._check_surface(self.on)

    def _check_surface(self, on: Experiment) -> None:
        for key in self.optimizers:
            OPTIMIZERS.find(key)
            if key not in FIRST_ORDER:
                raise ValueError(f"{key} brings its own step length; rates are compared for first-order rules")
        if not self.optimizers:
            raise ValueError(f"at least one optimizer, of {', '.join(FIRST_ORDER)}")
        if on.racers or on.pins:
            raise ValueError("a calibration has optimizers instead of racers and pins")
        if not on.entry.minima_at(on.surface_values):
            raise ValueError(
                f"{on.entry.title} has no known minimum, and without one no final loss is the best; take another"
            )

    def _check_networks(self, on: Training) -> None:
        if len(on.configurations) != 1 or not on.configurations[0].net.hidden:
            raise ValueError("a calibration of networks starts from one configuration with a hidden layer")
        key = on.configurations[0].racer.optimizer.key
        if key not in FIRST_ORDER:
            raise ValueError(f"{key} brings its own step length; rates are compared for first-order rules")
        if len(self.sizes) > SIZES_AT_MOST:
            raise ValueError(f"at most {SIZES_AT_MOST} networks, not {len(self.sizes)}")
        demand = self.demand  # raises on a size that cannot be
        work, steps = demand["calibration_work"], demand["calibration_steps"]
        if work > WORK_AT_MOST or steps > STEPS_AT_MOST:
            raise ValueError(
                "these are too many trainings, or too long ones: take fewer rates, sizes, seeds or epochs "
                f"(parameters × examples × epochs × seeds, over all, may be {WORK_AT_MOST:.0e}, not {work:.1e}, and "
                f"steps × seeds {STEPS_AT_MOST:.0e}, not {steps:.1e})"
            )

    @property
    def demand(self) -> dict[str, float]:
        """How much it asks for, by the names of limits."""
        on = self.on
        if isinstance(on, Experiment):
            return on.demand | {"run_steps": self.count * on.steps}
        trainings = [self.training(size, self.low) for size in self.sizes]
        parameters = sum(one.networks[0].size for one in trainings)
        return {name: max(one.demand[name] for one in trainings) for name in on.demand} | {
            "calibration_work": self.count * on.epochs * len(on.parts.train.y) * on.seeds * parameters,
            "calibration_steps": self.count * on.steps * on.seeds * len(self.sizes),
        }

    @property
    def mode(self) -> str:
        """ "surface", "width" or "depth"."""
        return self.axis if isinstance(self.on, Training) else "surface"

    @property
    def factor(self) -> float:
        """How many times the best final loss still counts as good."""
        return FACTORS["network" if isinstance(self.on, Training) else "surface"]

    @property
    def rates(self) -> np.ndarray:
        """The grid, (count,): the ends exactly, and each the same factor above the last."""
        return np.geomspace(self.low, self.high, self.count)

    def racer(self, key: str, rate: float) -> Racer:
        """One run of an optimizer on a surface, as the descent laboratory takes it."""
        entry = OPTIMIZERS[key]
        own = {name: value for name, value in self.shared if name in entry.param and entry.defaults[name]}
        return Racer(Pick(key, {**own, "lr": float(rate)}))

    def training(self, size: int, rate: float) -> Training:
        """One training of a network of this size."""
        assert isinstance(self.on, Training)
        one = self.on.configurations[0]
        hidden = one.net.hidden
        hidden = (size,) * len(hidden) if self.axis == "width" else (hidden[0],) * size
        racer = one.racer.but(lr=float(rate))
        return replace(self.on, configurations=(replace(one, net=replace(one.net, hidden=hidden), racer=racer),))

    @property
    def cells(self) -> int:
        """How many curves a surface needs, or how many trainings the networks."""
        return len(self.optimizers) if isinstance(self.on, Experiment) else len(self.sizes) * self.count


def _shared(name: str) -> Param:
    if name not in SHARED:
        raise ValueError(f"{name[:32]!r} cannot be set for all optimizers at once; {', '.join(SHARED)} can")
    return SHARED[name]


class Curve(NamedTuple):
    """The final loss against k rates, of one optimizer or one network.

    `height` is the final loss above the surface's least minimum; of a network it is the training loss, the median over
    the seeds. It is NaN where nothing was measured yet. `more` holds other numbers of each rate: on a surface `lowest`
    (the least height on the way), `settled` (steps until the loss stays within the tolerance, or ∞), `lost` (the step
    at which it diverged, or ∞) and where it ended, `x` and `y`; on a network `from` and `to` (quartiles of the seeds'
    losses) and `accuracy` (on validation data, the median).
    """

    name: str  # the optimizer's key, or the size
    rates: np.ndarray  # (k,)
    height: np.ndarray  # (k,)
    shapes: tuple[str, ...]  # k of SHAPES; "" where nothing was measured yet
    best: int | None  # index of the best rate; None if all diverge
    more: dict[str, np.ndarray]  # (k,) each

    @property
    def good(self) -> tuple[int, int] | None:
        """Indices of the first and the last of the rates around the best that are good without a gap."""
        if self.best is None:
            return None
        first = last = self.best
        while first > 0 and self.shapes[first - 1] == "right":
            first -= 1
        while last < len(self.shapes) - 1 and self.shapes[last + 1] == "right":
            last += 1
        return first, last

    @property
    def decades(self) -> float:
        """How many decades of the grid around the best rate are good without a gap; 0 if it stands alone."""
        first, last = self.good or (0, 0)
        return math.log10(self.rates[last] / self.rates[first])

    @property
    def at_the_edge(self) -> bool:
        """Whether the best rate is the grid's first or last: then a better one may lie outside."""
        return self.best in (0, len(self.rates) - 1)


def shapes(
    rates: np.ndarray,
    height: np.ndarray,
    diverged: np.ndarray,
    oscillating: np.ndarray,
    settled: np.ndarray,
    tolerance: float,
    factor: float,
) -> tuple[tuple[str, ...], int | None]:
    """What is wrong with each of k rates, by the rules of SHAPES, and the index of the best one, None if all diverge.
    `settled` is ∞ where the loss did not stay within the tolerance."""
    standing = ~diverged & np.isfinite(height)
    if not standing.any():
        return ("diverged",) * len(rates), None
    ranks = [(not there, math.isinf(steps), steps if np.isfinite(steps) else above) for there, steps, above in
             zip(standing, settled, height, strict=True)]  # fmt: skip
    best = min(range(len(rates)), key=ranks.__getitem__)
    good = height <= max(factor * height[best], tolerance)

    def shape(i: int) -> str:
        if not standing[i]:
            return "diverged"
        if good[i]:
            return "right"
        if i < best:
            return "too small"
        return "oscillating" if oscillating[i] else "too large"

    return tuple(map(shape, range(len(rates)))), best


# On a surface --------------------------------------------------------------------------------------------------------

AT_ONE_TIME = 2  # programs that are compiled at one time: each takes a core
_pool = pool("calibration", AT_ONE_TIME)  # of all visitors


def measure(calibration: Calibration) -> list[Curve]:
    """All curves. Networks take seconds to minutes; `trainings` does that work in pieces."""
    if isinstance(calibration.on, Training):
        for _ in trainings(calibration):
            pass
        return network_curves(calibration)
    return list(surface_curves(calibration))


def surface_curves(calibration: Calibration) -> Iterator[Curve]:
    """The curves on a surface, one optimizer after another. A program is compiled when its optimizer first meets a
    surface, which takes up to a second."""
    on = calibration.on
    assert isinstance(on, Experiment)
    grid = (calibration.low, calibration.high, calibration.count)
    racers = (calibration.racer(key, 1.0) for key in calibration.optimizers)
    return side_by_side(_pool, (partial(_curve, racer, grid, on.tolerance, *on.conditions) for racer in racers))


def side_by_side(pool: ThreadPoolExecutor, tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What the tasks come to, in their order. Few at a time are in the pool: so all who wait for it get their turns,
    and who stops or leaves has hardly anything left in it."""
    rest, begun = iter(tasks), deque[Future[T]]()
    try:
        while True:
            begun.extend(pool.submit(task) for task in islice(rest, AT_ONE_TIME - len(begun)))
            if not begun:
                return
            yield begun.popleft().result()
    finally:
        for one in begun:
            one.cancel()


@once(512)  # of about 3 kB each
def _curve(racer: Racer, grid: tuple[float, float, int], tolerance: float, *conditions: Any) -> Curve:
    """Cached, so that what changes nothing for an optimizer costs nothing."""
    surface, start, steps, noise, l2, seed = conditions
    experiment = Experiment(surface, start=start, steps=steps, noise=noise, l2=l2, seed=seed, tolerance=tolerance)
    minima = experiment.entry.minima_at(experiment.surface_values)
    lowest = min(minimum.value for minimum in minima)
    rates = np.geomspace(*grid)
    with np.errstate(all="ignore"):  # runs that diverge are measured like any other
        ends = endings(
            experiment.problem,
            racer.rule,
            steps,
            "lr",
            rates,
            tail=doctor.tail_steps(steps),
            fence=doctor.fence(experiment.entry.window, start),
            target=lowest,
            tolerance=tolerance,
        )
        diverged = np.isfinite(ends.lost)
        states = [state(experiment, minima, i, ends) for i in range(len(rates))]
        height = ends.loss - lowest
        found, best = shapes(
            rates,
            height,
            diverged,
            np.array([one == "oscillating" for one in states]),
            ends.settled,
            tolerance,
            FACTORS["surface"],
        )
    more = {"lowest": ends.lowest - lowest, "settled": ends.settled, "lost": ends.lost, "x": ends.theta[:, 0]}
    return Curve(racer.optimizer.key, rates, height, found, best, {**more, "y": ends.theta[:, 1]})


def state(experiment: Experiment, minima: Sequence[Minimum], index: int, ends: Any) -> str:
    """How run number `index` ended, by the rules of doctor.STATES."""
    if np.isfinite(ends.lost[index]):
        return "diverged"
    end = ends.theta[index]
    nearest = min(minima, key=lambda minimum: math.dist((minimum.x, minimum.y), end))
    numbers = (ends.first, ends.loss, ends.low, ends.high, ends.turning, ends.length)
    tail = doctor.Tail(*(float(values[index]) for values in numbers))
    return doctor.state_of_tail(tail, end, nearest, doctor.diagonal_of(experiment.entry.window), experiment.tolerance)


class Limit(NamedTuple):
    """A rate beyond which a rule cannot converge to a minimum. `exact` on a quadratic, else it holds near the minimum
    and the run may come to rest elsewhere or never come near."""

    optimizer: str
    rate: float
    formula: str
    curvature: float  # λmax
    exact: bool


def limits(calibration: Calibration) -> list[Limit]:
    """What theory says of gradient descent and of the heavy ball, for those of them that are measured; [] elsewhere.

    The minimum is the lowest one, of several the nearest to the start.
    """
    on = calibration.on
    if isinstance(on, Training):
        return []
    point = min(on.entry.lowest_at(on.surface_values), key=lambda m: math.dist((m.x, m.y), on.start))
    problem = on.problem
    hessian = program((problem.key, "hessian"), lambda: jax.jit(jax.vmap(jax.hessian(problem.loss), in_axes=(0, None))))
    left, right, bottom, top = on.entry.window
    places = np.array([(point.x, point.y), on.start, (left, bottom), (right, top), (left / 3, top / 2)])
    matrices = np.asarray(hessian(places, problem.values))
    if not np.isfinite(matrices[0]).all():
        return []  # a kink: no limit is known there
    curvature = float(np.linalg.eigvalsh(matrices[0])[-1]) + on.l2
    exact = bool(np.allclose(matrices, matrices[0], rtol=1e-9, atol=1e-9 * curvature))
    if curvature <= 0:
        return []
    found = []
    if "sgd" in calibration.optimizers:
        found.append(Limit("sgd", 2 / curvature, "2/λ", curvature, exact))
    if "momentum" in calibration.optimizers:
        rho = float(calibration.racer("momentum", 1.0).values["momentum"])
        found.append(Limit("momentum", 2 * (1 + rho) / curvature, "2(1+ρ)/λ", curvature, exact))
    return found


# On networks ---------------------------------------------------------------------------------------------------------


class Ending(NamedTuple):
    """How the trainings of one network with one rate end, one for each of S seeds."""

    loss: np.ndarray  # (S,) on all training examples, without penalties
    accuracy: np.ndarray  # (S,) on validation data; NaN in a regression
    before: np.ndarray  # (S,) the training loss before the first step


@once(4096)
def _trained(training: Training) -> Ending:
    """All seeds of a training of one configuration, to its end, measured at its start and its end only."""
    network, net, racer = training.networks[0], training.configurations[0].net, training.configurations[0].racer
    seeds = range(training.seed, training.seed + training.seeds)
    thetas = np.stack([network.start(net.init, seed, net.init_scale) for seed in seeds])
    problem = training.problem(0)
    with np.errstate(all="ignore"):
        state = begin_together(problem, racer.rule, thetas)
        done = descend_together(problem, racer.rule, training.steps, seeds, state, horizon=training.steps)
        before = np.array([_judged(training, theta)[0] for theta in thetas])
        after = np.array([_judged(training, theta) for theta in done.state.theta])
    return Ending(after[:, 0], after[:, 1], before)


def _judged(training: Training, theta: np.ndarray) -> tuple[float, float]:
    """The loss on the training part, and the accuracy on the validation part."""
    network, net, parts = training.networks[0], training.configurations[0].net, training.parts
    output = predict(training, 0, theta, parts.train.x)
    loss = float(data_loss(network, output, targets(parts.train), smoothing=0.0, delta=net.delta))
    if training.task == "regression" or not len(parts.validation.y):
        return loss, math.nan
    output = predict(training, 0, theta, parts.validation.x)
    right = np.isfinite(output).all(axis=-1) & (output.argmax(axis=-1) == parts.validation.y)
    return loss, float(right.mean())


def trainings(calibration: Calibration) -> Iterator[int]:
    """Do the trainings one after another, from the smallest rate on, and tell after each how many are done. Those that
    were done before come at once, so whoever stops may go on later."""
    done = 0
    for rate in calibration.rates:
        for size in calibration.sizes:
            _trained(calibration.training(size, rate))
            done += 1
            yield done


def network_curves(calibration: Calibration, done: int | None = None) -> list[Curve]:
    """The curves as far as the first `done` trainings give them, all if left out; what was not trained is."""
    done = calibration.cells if done is None else done
    rates, sizes = calibration.rates, calibration.sizes
    curves = []
    for column, size in enumerate(sizes):
        known = len(range(column, done, len(sizes)))  # rates whose training of this size is done
        ends = [_trained(calibration.training(size, rate)) for rate in rates[:known]]
        curves.append(_network_curve(str(size), rates, ends))
    return curves


def _network_curve(name: str, rates: np.ndarray, ends: Sequence[Ending]) -> Curve:
    blank = np.full(len(rates) - len(ends), np.nan)

    def column(values: list[float]) -> np.ndarray:
        return np.concatenate([np.array(values, dtype=float), blank])

    with np.errstate(all="ignore"):
        height = column([_quantile(end.loss, 0.5) for end in ends])
        before = np.array([np.median(end.before) for end in ends])
        known = height[: len(ends)]
        diverged = ~np.isfinite(known) | (known > BLOWN_UP * before)
    found, best = ((), None)
    if ends:
        never = np.full(len(ends), math.inf)
        found, best = shapes(
            rates[: len(ends)], known, diverged, np.zeros(len(ends), bool), never, 0.0, FACTORS["network"]
        )
    more = {
        "from": column([_quantile(end.loss, 0.25) for end in ends]),
        "to": column([_quantile(end.loss, 0.75) for end in ends]),
        "accuracy": column([float(np.median(end.accuracy)) for end in ends]),
    }
    return Curve(name, rates, height, (*found, *[""] * len(blank)), best, more)


def _quantile(losses: np.ndarray, share: float) -> float:
    """A quantile over the seeds by their order, so that one infinite seed leaves the median of three finite."""
    ordered = np.sort(np.where(np.isnan(losses), math.inf, losses))
    return float(ordered[round(share * (len(ordered) - 1))])


# The claim -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RateClaim(Card):
    """A claim on the learning rate, with the calibration that shows it."""

    calibration: Calibration

    def measure(self, calibration: Calibration, curves: Sequence[Curve]) -> Measured | None:
        """Measure it on the curves of a calibration; None where there is nothing to compare."""
        if isinstance(calibration.on, Training):
            return _moves_with_architecture(calibration, curves)
        return _too_small_and_too_large(calibration, curves)


def _too_small_and_too_large(calibration: Calibration, curves: Sequence[Curve]) -> Measured | None:
    assert isinstance(calibration.on, Experiment)
    if len(curves) < calibration.cells:
        return Measured({}, None, "The verdict comes when all optimizers are done.")
    curve = next((one for one in curves if one.name in calibration.chosen), curves[0])
    if curve.best is None:
        return None
    title = OPTIMIZERS[curve.name].title
    rates = {other: tuned_lr(other, curve.name) for other in ("sphere", "rosenbrock")}
    beyond = next((i for i in range(curve.best, len(curve.rates)) if curve.shapes[i] not in ("right",)), None)
    numbers: dict[str, Value] = {
        "low": curve.rates[0],
        "slow": curve.height[0],
        "best": curve.rates[curve.best],
        "least": curve.height[curve.best],
        "steps": calibration.on.steps,
        **rates,
    }
    if beyond is not None:
        numbers["beyond"] = curve.rates[beyond]
    how = f"at {{beyond}} it is {curve.shapes[beyond]}" if beyond is not None else "no rate of the grid is too large"
    facts = (
        f"After {{steps:steps}} of {title} at η = {{low}} the loss is still {{slow}} above the minimum; the best rate "
        f"here is {{best}}, which leaves {{least}}; {how}. Stored best rates of {title}: {{sphere}} on the sphere, "
        "{rosenbrock} on Rosenbrock's ravine."
    )
    return judged(
        numbers,
        facts,
        (curve.shapes[0] == "too small", "the smallest rate of this grid is not too small"),
        (beyond is not None, "the largest rate of this grid is not too large"),
        (rates["sphere"] != rates["rosenbrock"], "one rate is the best on both surfaces"),
    )


def _moves_with_architecture(calibration: Calibration, curves: Sequence[Curve]) -> Measured | None:
    there = [curve for curve in curves if curve.best is not None]
    if len(there) < 2:
        return None
    if any("" in curve.shapes for curve in curves):
        return Measured({}, None, "The verdict comes when all trainings are done.")
    first, last = there[0], there[-1]
    assert first.best is not None
    assert last.best is not None
    step = curves[0].rates[1] / curves[0].rates[0]
    numbers = {
        "first": first.rates[first.best],
        "last": last.rates[last.best],
        "ratio": max(curve.rates[curve.best] for curve in there if curve.best is not None)
        / min(curve.rates[curve.best] for curve in there if curve.best is not None),
        "grid": step,
    }
    words = (f"width {first.name}", f"width {last.name}") if calibration.axis == "width" else (
        f"{first.name} hidden layer{'s' * (first.name != '1')}",
        f"{last.name} hidden layers",
    )  # fmt: skip
    return judged(
        numbers,
        f"The best rate is {{first}} with {words[0]} and {{last}} with {words[1]}; from one network to another it "
        "moves by up to a factor of {ratio}, and neighbours on the grid differ by {grid}.",
        (numbers["ratio"] > 1.1 * step, "the best rates of these networks are neighbours on the grid"),
        (first.shapes[0] == "too small", "the smallest rate of this grid is not too small"),
    )


def best_says(curve: Curve) -> str:
    """The best rate as a table says it."""
    if curve.best is None:
        return "all diverge"
    return number(float(curve.rates[curve.best]), 3) + (" (edge of the grid)" if curve.at_the_edge else "")


VALLEY = Calibration(
    Experiment(Pick("valley", {"kappa": 50.0}), start=(-1.8, 0.6), steps=200, tolerance=1e-6),
    chosen=("sgd", "momentum", "adam"),
)

CLAIMS = {
    "B1": RateClaim(
        key="B1",
        title="Too small, right, too large",
        says="Too small a learning rate is slow, too large a one swings or diverges. The best one depends on the rule, "
        "on the surface and on the architecture.",
        condition="The grid of rates must reach far enough to both sides. What is called slow depends on the number of "
        "steps: with more of them smaller rates are right, too. Rules that divide by the size of the gradient rarely "
        "diverge; they swing around the minimum with steps of the length η.",
        watch="The stars, which mark the best rate of each optimizer, and the dashed lines of theory: on this valley "
        "gradient descent diverges at exactly 2/λ. Then choose another surface, or Width or Depth.",
        sources=(
            Source(
                "Bengio", 2012, "Practical recommendations for gradient-based training of deep architectures",
                "https://arxiv.org/abs/1206.5533",
            ),
            Source("LeCun, Bottou, Orr & Müller", 1998, "Efficient BackProp",
                   "https://doi.org/10.1007/3-540-49430-8_2"),
        ),
        calibration=VALLEY,
    )
}  # fmt: skip
