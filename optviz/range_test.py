"""The learning-rate range test: one short run in which the rate rises, and what its loss says about rates.

A `RangeTest` is a value, like an `Experiment`: one racer on a surface or one network with its optimizer, and the range
through which the rate rises, step by step, from `low` to `high`. `measure` runs it under several seeds and gives the
loss against the rate. Loss number t is that of the point from which step t starts, so a rate that is too large shows
one step later. On a surface it is the loss without the noise, on a network that of the step's batch.

The loss is smoothed by an exponential moving average that is corrected for its start from zero, sₜ/(1 − βᵗ⁺¹). What is
looked at afterwards is the median over the seeds. The test stops at the first step where that median is not finite,
or where it is both above four times its best and has lost more than half of what it had gained since the first step.
Four times its best alone would end a test that has learnt well at its first noisy batch; half of the gain alone would
end one that has not learnt yet. Losses count from the lowest value that is known: a surface's minimum, or 0.

What rate to take from the curve is a convention. `SUGGESTIONS` has three of them, each a function of the rates and the
smoothed loss, and a card that says when it is fooled. `handed_over` puts a base and a maximum to use.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from optviz.descent import Together, begin_together, descend, descend_together
from optviz.experiment import Experiment, Pick, Racer
from optviz.limits import CAPACITY
from optviz.once import in_pieces, once
from optviz.spec import Catalogue, Entry, Param, Source, number
from optviz.training import Configuration, Net, Training
from optviz.verdict import Card, Heard, Measured, judged, unheard

WORK_AT_MOST = CAPACITY.range_work  # parameters × examples a step × seeds × steps: about five seconds of one core
PIECE = 1e8  # the same product, of what is run at a stretch: about a quarter of a second
KEPT = 16_000_000  # bytes of losses: a test of 16 seeds × 2,000 steps has 250 kB
LOST, TIMES = 0.5, 4.0  # of the rule by which a test stops
ENOUGH = 3  # points from which a curve can say anything
BEGUN, DONE = 0.1, 0.9  # shares of the whole fall of the loss, at the base and at the maximum of a cycle
CYCLES = 3  # that a run which is handed over goes through

LOW = Param(
    "low_rate",
    "η₀",
    1e-5,
    1e-8,
    1.0,
    log=True,
    domain="(0, 1e6]",
    title="lowest rate",
    help="Where the test begins: so small that nothing happens yet.",
)
HIGH = Param(
    "high_rate",
    "η₁",
    10.0,
    1e-3,
    100.0,
    log=True,
    domain="(0, 1e6]",
    title="highest rate",
    help="Where the test ends, if it has not diverged before.",
)
TEST_STEPS = Param(
    "test_steps",
    "T",
    300,
    50,
    1000,
    log=True,
    domain="[20, 2000]",
    title="steps of the test",
    help="In how many steps the rate rises. Fewer are quicker; more let every rate show what it does.",
)
SPACING = Param(
    "spacing",
    "",
    "exponential",
    options=("exponential", "linear"),
    static=True,
    help="Whether each step multiplies the rate (all powers of ten get as many steps) or adds to it.",
)
TEST_SEEDS = Param(
    "test_seeds",
    "k",
    5,
    1,
    16,
    domain="[1, 16]",
    static=True,
    title="seeds of the test",
    help="How many runs are measured, each with its own chance: initial weights and order of the data, or noise.",
)
SMOOTHING = Param(
    "smoothing",
    "β",
    0.95,
    0.0,
    0.99,
    domain="[0, 1)",
    help="Memory of the moving average of the loss: 0 is no smoothing, 0.95 averages about twenty steps and lags so "
    "far behind.",
)
SETTINGS = {param.name: param for param in (LOW, HIGH, TEST_STEPS, SPACING, TEST_SEEDS, SMOOTHING)}
BASE = Param(
    "base",
    "b",
    1e-3,
    1e-8,
    100.0,
    log=True,
    domain="(0, 1e6]",
    title="base rate",
    help="The lower end of a cycle, and where one cycle starts. Until you move it, it stands where the loss has made a "
    "tenth of its fall.",
)
TOP = Param(
    "top",
    "m",
    0.1,
    1e-8,
    100.0,
    log=True,
    domain="(0, 1e6]",
    title="maximum rate",
    help="The upper end of a cycle, and the peak of one cycle. Until you move it, it stands where nine tenths of the "
    "fall are done.",
)
MARKS = {param.name: param for param in (BASE, TOP)}

SMITH = Source(
    "Smith", 2017, "Cyclical Learning Rates for Training Neural Networks", "https://arxiv.org/abs/1506.01186"
)
SMITH_TOPIN = Source(
    "Smith & Topin",
    2019,
    "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    "https://arxiv.org/abs/1708.07120",
)
FASTAI = Source("Howard & Gugger", 2020, "fastai: A Layered API for Deep Learning", "https://arxiv.org/abs/2002.04688")


@dataclass(frozen=True)
class RangeTest:
    """A range test of one racer of an Experiment, or of the one configuration of a Training.

    The racer's own rate plays no part in the test. `base` and `top`, the marks, change nothing of the measurement; None
    is where the curve puts them. Raises ValueError, with what is allowed, when it cannot be run.
    """

    subject: Experiment | Training
    low_rate: float = float(LOW.default)
    high_rate: float = float(HIGH.default)
    test_steps: int = int(TEST_STEPS.default)
    spacing: str = str(SPACING.default)
    test_seeds: int = int(TEST_SEEDS.default)
    smoothing: float = float(SMOOTHING.default)
    base: float | None = None
    top: float | None = None

    def __post_init__(self):
        for name, param in SETTINGS.items():
            object.__setattr__(self, name, param.check(getattr(self, name)))
        for name, param in MARKS.items():
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else param.check(value))
        if self.low_rate >= self.high_rate:
            raise ValueError(
                f"the lowest rate must be below the highest, not {number(self.low_rate)} and {number(self.high_rate)}"
            )
        if self.base is not None and self.top is not None and self.base >= self.top:
            raise ValueError(
                f"the base rate must be below the maximum rate, not {number(self.base)} and {number(self.top)}"
            )
        count = len(self.subject.configurations if isinstance(self.subject, Training) else self.subject.racers)
        if count != 1:
            raise ValueError(f"a range test is of one optimizer, not of {count}")
        if "lr" in dict(self.racer.schedules):
            raise ValueError("a range test sets the learning rate itself, so it can follow no other schedule")
        if isinstance(self.subject, Training):
            self._check_size(self.subject)

    def _check_size(self, training: Training) -> None:
        work = self.demand["range_work"]
        if work > WORK_AT_MOST:
            raise ValueError(
                f"this test is too large: parameters × examples a step × seeds × steps is {work:.1e}, and at most "
                f"{WORK_AT_MOST:.0e} are allowed; take fewer of any"
            )
        self.running  # noqa: B018  (raises on what cannot be trained under so many seeds)

    @property
    def demand(self) -> dict[str, float]:
        """How much it asks for, by the names of limits."""
        subject = self.subject
        if isinstance(subject, Experiment):
            return subject.demand
        work = subject.networks[0].size * subject.size * self.test_seeds * self.test_steps
        return subject.demand | {"range_work": work}

    @property
    def racer(self) -> Racer:
        """The optimizer, as its own run would have it."""
        subject = self.subject
        return subject.configurations[0].racer if isinstance(subject, Training) else subject.racers[0]

    @property
    def running(self) -> Experiment | Training:
        """What the test runs: the subject, with a rate that rises from `low_rate` to `high_rate`."""
        share = {"low": self.low_rate / self.high_rate, "spacing": self.spacing}
        racer = self.racer.but(lr=self.high_rate)
        racer = replace(racer, schedules={**dict(racer.schedules), "lr": Pick("range_test", share)})
        changed = with_racer(self.subject, racer)
        return replace(changed, seeds=self.test_seeds) if isinstance(changed, Training) else changed


def with_racer(subject: Experiment | Training, racer: Racer) -> Experiment | Training:
    """The same surface, or the same network and data, with another optimizer."""
    if isinstance(subject, Training):
        return replace(subject, configurations=(replace(subject.configurations[0], racer=racer),))
    return replace(subject, racers=(racer,))


# The measurement -----------------------------------------------------------------------------------------------------


class Stop(NamedTuple):
    """Where a test stopped before its end."""

    step: int  # counted from 0: of the last point that is kept
    reason: str


class Curves(NamedTuple):
    """What a test of k seeds measured in its T steps, up to the one at which it stopped.

    Losses count from `floor`, the lowest value that is known. A loss that is not a number is infinite.
    """

    lr: np.ndarray  # (T,)
    loss: np.ndarray  # (k, T)
    smoothed: np.ndarray  # (k, T)
    median: np.ndarray  # (T,) of the smoothed losses
    lower: np.ndarray  # (T,) their first quartile
    upper: np.ndarray  # (T,) their third
    floor: float
    stopped: Stop | None


class Piece(NamedTuple):
    """Some n steps of a test of k seeds."""

    lr: np.ndarray  # (n,)
    loss: np.ndarray  # (k, n) counted from the lowest value that is known


def measure(test: RangeTest) -> Curves:
    """Run a test, or find it among those that were run. A run that diverges is cut where it does, and never raises."""
    return joined(test, list(pieces(test)))


def pieces(test: RangeTest) -> Iterator[Piece]:
    """Run a test piece by piece, each well below a second. What was run before, by whomever, comes at once."""
    return _pieces(replace(test, base=None, top=None, smoothing=SMOOTHING.default))


def joined(test: RangeTest, found: Sequence[Piece]) -> Curves:
    """What a test measured, from its first pieces, at least one."""
    lr, loss = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    return curves(lr, loss, test.smoothing)._replace(floor=_floor(test.subject))


@in_pieces(KEPT, size=lambda piece: piece.loss.nbytes)
def _pieces(test: RangeTest) -> Iterator[Piece]:
    """Kept apart from the smoothing, whose slider leaves them as they are."""
    running = test.running
    floor = _floor(running)
    if isinstance(running, Training):
        for done in _training(running, test.test_steps):
            yield Piece(done.lr[0], done.value - floor)
    else:
        lr, loss = _on_surface(running, test)
        yield Piece(lr, loss - floor)


def curves(lr: np.ndarray, loss: np.ndarray, beta: float) -> Curves:
    """What was measured, from the rates (T,) and the losses (k, T), counted from their floor: smoothed, summed up over
    seeds, and cut at the step where the test stops."""
    loss = np.where(np.isnan(loss), math.inf, loss)
    smoothed = smooth(loss, beta)
    with np.errstate(invalid="ignore"):  # between two infinities there is no quartile: it is infinite
        lower, median, upper = (_quantile(smoothed, share) for share in (0.25, 0.5, 0.75))
    stopped = _stop(median)
    end = len(lr) if stopped is None else stopped.step + 1
    return Curves(lr[:end], loss[:, :end], smoothed[:, :end], median[:end], lower[:end], upper[:end], 0.0, stopped)


def smooth(loss: np.ndarray, beta: float) -> np.ndarray:
    """The exponential moving average along the last axis, corrected for its start from zero: the first value is the
    first loss, and constant losses stay as they are. From an infinite loss on it is infinite."""
    average, smoothed = np.zeros(loss.shape[:-1]), np.empty(loss.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(loss.shape[-1]):
            average = beta * average + (1 - beta) * loss[..., t]
            smoothed[..., t] = average / (1 - beta ** (t + 1))
    return np.where(np.isnan(smoothed), math.inf, smoothed)


def _quantile(values: np.ndarray, share: float) -> np.ndarray:
    found = np.quantile(values, share, axis=0)
    return np.where(np.isnan(found), math.inf, found)


def _stop(median: np.ndarray) -> Stop | None:
    """The first step at which the rule of this room's docstring is met."""
    best = np.minimum.accumulate(median)
    with np.errstate(invalid="ignore", over="ignore"):
        endless = ~np.isfinite(median)
        lost = (median > TIMES * best) & (median - best > LOST * (median[0] - best))
    found = np.flatnonzero(endless | lost)
    if not len(found):
        return None
    step = int(found[0])
    if endless[step]:
        return Stop(step, "the loss is no longer finite")
    return Stop(
        step,
        "the smoothed loss is above four times its best and has lost more than half of what it had gained",
    )


def _on_surface(experiment: Any, test: RangeTest) -> tuple[np.ndarray, np.ndarray]:
    rule, steps = experiment.racers[0].rule, test.test_steps
    problems = (replace(experiment, seed=seed).problem for seed in _seeds(experiment, test))
    runs = [descend(problem, rule, steps) for problem in problems]
    return runs[0].lr, np.stack([run.loss[:-1] for run in runs])


def _training(training: Training, steps: int) -> Iterator[Together]:
    """A run of the first configuration that is planned to last so many steps and is not measured on the way, in pieces
    of about PIECE. Cut so, it stays the same bit for bit."""
    one, network = training.configurations[0], training.networks[0]
    problem, seeds = training.problem(0), range(training.seed, training.seed + training.seeds)
    thetas = np.stack([network.start(one.net.init, seed, one.net.init_scale) for seed in seeds])
    state = begin_together(problem, one.racer.rule, thetas)
    piece = max(1, int(PIECE // (network.size * training.size * training.seeds)))
    while state.t < steps:
        done = descend_together(problem, one.racer.rule, min(piece, steps - state.t), seeds, state, horizon=steps)
        state = done.state
        yield done


def _seeds(experiment: Experiment, test: RangeTest) -> range:
    most = 2**32 - test.test_seeds  # the largest seed there is has no neighbour above
    first = min(experiment.seed, most)
    return range(first, first + test.test_seeds)


def _floor(subject: Experiment | Training) -> float:
    """The lowest loss that is known: f* of a surface that has a minimum, and 0 otherwise."""
    if isinstance(subject, Training):
        return 0.0
    return next((minimum.value for minimum in subject.entry.lowest_at(subject.surface_values)), 0.0)


# What to take from the curve -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Suggestion(Entry):
    """A rule that takes a rate from the rates (T,) and the smoothed loss (T,), or None where they say nothing."""

    fooled: str = ""  # when it is


SUGGESTIONS = Catalogue("suggestion rule", Suggestion, argument=("lr", "loss"))


@SUGGESTIONS.declare(
    title="Steepest",
    formula=r"\eta = \arg\min_\eta \frac{dL}{d\ln\eta}",
    source=FASTAI,
    note="The slope is taken with respect to the logarithm of the rate, so that both spacings are judged alike. The "
    "first tenth of the test is left out: the average has hardly anything to average there.",
    fooled="One lucky batch makes the steepest place of a curve that is smoothed little; smoothing, in turn, moves the "
    "place to larger rates.",
)
def steepest(lr, loss):
    """The rate at which the loss falls fastest."""
    first = len(lr) // 10
    if len(lr) - first < ENOUGH:
        return None
    x, y = np.log(lr[first:]), loss[first:]
    slope = (y[2:] - y[:-2]) / (x[2:] - x[:-2])  # from neighbour to neighbour: exactly 0 where nothing changes
    place = int(np.argmin(slope))
    return float(lr[first + 1 + place]) if slope[place] < 0 else None


@SUGGESTIONS.declare(
    title="Valley",
    formula=r"\eta = \text{the middle of the longest fall}",
    source=FASTAI,
    note="The longest row of losses, not necessarily neighbours, of which each is below the one before; as many steps "
    "as it is long, counted back from where it ends, are the fall. fastai's default.",
    fooled="A long and shallow fall counts as much as a steep one, so a test that begins at far too small rates pulls "
    "it down.",
)
def valley(lr, loss):
    """The rate in the middle of the longest fall of the loss."""
    tails: list[float] = []  # of rising −loss: the least last value of a row of each length
    longest, end = 0, 0
    for place, value in enumerate(-np.asarray(loss)):
        length = bisect_left(tails, value)
        tails[length : length + 1] = [value]
        if length + 1 > longest:
            longest, end = length + 1, place
    if longest < ENOUGH:
        return None
    return float(lr[end - longest // 2])


@SUGGESTIONS.declare(
    title="Minimum over ten",
    formula=r"\eta = \tfrac{1}{10}\arg\min_\eta L",
    source=FASTAI,
    note="Where the loss is lowest it is about to rise, so the rate there is already too large; a tenth of it is a "
    "rule of thumb.",
    fooled="Where the bottom is flat, noise decides; and the ten fits neither an optimizer that bears rates close to "
    "where it diverges nor a test that ends before the loss turns up.",
)
def minimum_over_ten(lr, loss):
    """A tenth of the rate at which the loss is lowest."""
    place = int(np.argmin(loss)) if len(loss) else 0
    return float(lr[place]) / 10 if place > 0 else None


def suggestions(found: Curves) -> dict[str, float | None]:
    """What each rule suggests, by its key: None where the loss never fell."""
    finite = np.isfinite(found.median)
    return {key: entry.fn(found.lr[finite], found.median[finite]) for key, entry in SUGGESTIONS.items()}


def disagreement(found: Mapping[str, float | None]) -> float | None:
    """The largest suggestion over the smallest; None if fewer than two rules suggest anything."""
    rates = [rate for rate in found.values() if rate is not None]
    return max(rates) / min(rates) if len(rates) > 1 else None


def thresholds(found: Curves) -> tuple[float, float] | None:
    """The base and the maximum of a cycle: the last rates before the loss's lowest point at which it had not yet made
    BEGUN and DONE of its whole fall. None if it never fell, or fell within a step."""
    median = found.median[np.isfinite(found.median)]
    if not len(median):
        return None
    bottom = int(np.argmin(median))
    fall = median[0] - median[bottom]
    before = median[: bottom + 1]
    base, top = (int(np.flatnonzero(before >= median[0] - share * fall)[-1]) for share in (BEGUN, DONE))
    return (float(found.lr[base]), float(found.lr[top])) if base < top else None


def marks(test: RangeTest, found: Curves) -> tuple[float, float]:
    """Base and maximum as they stand: set by hand, or where the curve puts them. A curve that says nothing leaves a
    base and a maximum a third from either end of the range."""
    ratio = test.high_rate / test.low_rate
    base, top = thresholds(found) or (test.low_rate * ratio ** (1 / 3), test.low_rate * ratio ** (2 / 3))
    base, top = test.base or base, test.top or top
    return (base, top) if base < top else (top / 10, top) if test.top else (base, base * 10)


# What it is good for -------------------------------------------------------------------------------------------------

USES = {"one_cycle": "one_cycle", "cycles": "triangular"}


def handed_over(test: RangeTest, base: float, top: float, to: str) -> Experiment | Training:
    """The subject, run with these numbers: one cycle from `base` up to `top` and down again, or triangular cycles
    between them, CYCLES in the whole run. `to` is "one_cycle" or "cycles".

    Beside one cycle, a momentum goes the other way, on the terms of the paper: where it is SGD's velocity, whose
    effective rate is lr/(1 − momentum). Raises ValueError if the two are no range.
    """
    if to not in USES:
        raise ValueError(f"a range test hands over to {' or '.join(USES)}, not to {str(to)[:32]!r}")
    base, top = float(BASE.check(base)), float(TOP.check(top))
    if base >= top:
        raise ValueError(f"the base rate must be below the maximum rate, not {number(base)} and {number(top)}")
    subject, racer = test.subject, test.racer.but(lr=top)
    schedules = dict(racer.schedules)
    if to == "one_cycle":
        schedules["lr"] = Pick("one_cycle", {"div": top / base})
        if _velocity(racer):
            schedules["momentum"] = Pick("one_cycle_momentum")
    else:
        half = max(1, round(subject.steps / CYCLES / 2))
        schedules["lr"] = Pick("triangular", {"low": base / top, "half_cycle": half})
    return with_racer(subject, replace(racer, schedules=schedules))


def _velocity(racer: Racer) -> bool:
    """Whether its momentum adds up gradients, so that it multiplies the effective rate."""
    values = racer.values
    sums = racer.optimizer.key in ("sgd", "momentum", "nesterov") and values.get("form") != "averaging"
    return sums and float(values["momentum"]) > 0


# Claim B8 ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RangeClaim(Card):
    """A claim on range tests, with the test that shows it."""

    test: RangeTest
    judge: Callable[[RangeTest, Heard], Measured | None]

    def measure(self, test: RangeTest, heard: Heard = unheard) -> Measured | None:
        """Measure the claim on a test; None where the curve is not what the claim is about."""
        with np.errstate(all="ignore"):
            return self.judge(test, heard)


BEYOND = 10.0  # how far outside the range a rate is tried


@once(32, key=lambda subject, steps, racer, heard: (subject, steps, racer))
def _learnt(subject: Any, steps: int, racer: Racer, heard: Heard) -> float:
    """The loss, above the floor, at the end of a run of the subject under its own seed: the mean of its last tenth."""
    if isinstance(subject, Training):
        running: Any = replace(with_racer(subject, racer), seeds=1)
        found = []
        for done in _training(running, steps):
            found.append(done.value[0])
            heard()
        loss = np.concatenate(found)
    else:
        loss = descend(subject.problem, racer.rule, steps).loss
    end = float(loss[-max(1, steps // 10) :].mean()) - _floor(subject)
    return math.inf if math.isnan(end) else end


def _b8(test: RangeTest, heard: Heard) -> Measured | None:
    found = measure(test)
    if thresholds(found) is None:
        return None
    base, top = marks(test, found)
    half = max(1, round(test.test_steps / CYCLES / 2))
    cycles = Pick("triangular", {"low": base / top, "half_cycle": half})
    cycling = replace(test.racer.but(lr=top), schedules={**dict(test.racer.schedules), "lr": cycles})
    numbers = {
        "base": base,
        "top": top,
        "start": float(found.loss[0, 0]),
        "between": _learnt(test.subject, test.test_steps, cycling, heard),
        "below": _learnt(test.subject, test.test_steps, test.racer.but(lr=base / BEYOND), heard),
        "above": _learnt(test.subject, test.test_steps, test.racer.but(lr=BEYOND * top), heard),
        "steps": test.test_steps,
    }
    facts = (
        "The test puts the base at η = {base} and the maximum at η = {top}. In {steps:steps} from the same start, "
        "cycles between the two bring the loss from {start} to {between}; a constant rate a tenth of the base brings "
        "it to {below}, and one ten times the maximum to {above}."
    )
    return judged(
        numbers,
        facts,
        (numbers["between"] < numbers["below"], "a rate a tenth of the base does as well"),
        (numbers["between"] < numbers["above"], "a rate ten times the maximum does as well"),
    )


DIGITS = RangeTest(
    Training(
        Pick("digits"),
        (Configuration(Net(hidden=(64, 32)), Racer(Pick("sgd", {"momentum": 0.9}))),),
        epochs=20,
    )
)
RANGE_CLAIMS = {
    "B8": RangeClaim(
        key="B8",
        title="The range test gives a cycle its two ends",
        says="Raise the learning rate exponentially over a few hundred steps. Where the loss begins to fall is the "
        "base of a cycle, and where it stops falling, before it rises, is the maximum.",
        condition="The test is short, so it knows what a rate does early in a run; a later stage may want less. Base "
        "and maximum are read where a tenth and nine tenths of the fall are done: a convention. Without noise the "
        "fall is over before large rates come, and the maximum stays far below what could be borne.",
        watch="the two marks under the curve, and where the three rules stand between or beside them",
        sources=(SMITH,),
        test=DIGITS,
        judge=_b8,
    )
}
