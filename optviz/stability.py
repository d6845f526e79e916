"""The edge of stability: the sharpness along a run, against what its learning rate bears.

A `Stability` is a value that says what is looked at: one rule at one to four learning rates, descending on a surface or
training a network on all its examples at once. `measure` gives a `Curve` for each rate: the sharpness
(`optviz.sharpness`), the edge that belongs to the rate of that moment, and the cosine between the gradient and the one
before, of a network at up to eighty moments and on a surface at every step; and the loss at every step.

On a quadratic the sharpness is the same everywhere, and a run above the edge diverges. Elsewhere it need not: where a
step swings too far, the run is pushed to where the loss curves less. On networks the sharpness rises by itself
(progressive sharpening) until it meets the edge, and then stays there, while the loss goes up and down from step to
step and falls over longer times (Cohen et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from optviz import experiment as races
from optviz.descent import Together, begin_together, descend_together
from optviz.experiment import Experiment, Pick, Racer
from optviz.landscape import hessians, over_window
from optviz.limits import CAPACITY
from optviz.once import in_pieces, once
from optviz.sharpness import DIVIDING, edge_factor, extremes, slope, weights
from optviz.spec import Param, Source, Value, number
from optviz.training import Configuration, Net, Training
from optviz.tuning import tuned_lr
from optviz.verdict import Card, Measured, judged

RATES_AT_MOST = 4
MOMENTS = 80
PARAMETERS_AT_MOST = 20_000  # Lanczos' method keeps up to 300 vectors of that length: 48 MB
STEPS_AT_MOST = 20_000  # of a training
WORK_AT_MOST = CAPACITY.stability_work  # parameters × examples × gradients, over all rates: about a minute of one core
PRODUCTS = 60  # gradients that one sharpness costs: 30 products with the Hessian
AROUND = (0.5, 0.9, 1.3, 2.5)  # rates that a visitor is offered, over the rate whose edge is at the minimum
KEPT = 20_000_000  # bytes of measured runs, for all visitors
NEAR = 0.1  # of the edge: on average this close to it over the last third of a run, the run is at the edge
ROUNDING = 1e-12  # share of a loss by which it may rise without rising

HEIGHT = Param(
    "height",
    "",
    "sharpness",
    options=("sharpness", "share"),
    static=True,
    title="height shows",
    help="The sharpness itself, each rate with an edge of its own; or its share of that edge, so that all have the "
    "line at 1.",
)
FATES = {
    "below": "the sharpness never reaches the edge; on a surface every step is looked at, of a network the moments",
    "at the edge": "it reaches the edge, and over the last third of the run it is on average within 10 % of it",
    "came back": "it was above the edge, and over the last third of the run it is on average more than 10 % below",
    "above": "over the last third of the run it is on average more than 10 % above the edge",
    "diverged": "the loss stopped being finite, or the run left for good",
}


@dataclass(frozen=True)
class Stability:
    """What is measured: `on` an Experiment of one racer, or a Training of one configuration on the full batch, at each
    of the `rates`. The rate that `on` names itself counts only if no `rates` are given; it becomes the first of them.

    Raises ValueError, with what is allowed.
    """

    on: Experiment | Training
    rates: tuple[float, ...] = ()
    height: str = str(HEIGHT.default)  # of the picture; it changes no number

    def __post_init__(self):
        if isinstance(self.on, Training):
            _check_network(self.on)
        elif len(self.on.racers) != 1 or self.on.pins:
            raise ValueError("the edge of stability is looked at for one racer, without pins")
        racer = self.racer
        edge_factor(racer.optimizer.key, racer.values)  # raises if it is not known
        rates = tuple(float(racer.entry.param["lr"].check(rate)) for rate in self.rates or (racer.values["lr"],))
        if len(rates) > RATES_AT_MOST or min(rates) <= 0 or len(set(rates)) < len(rates):
            told = ", ".join(map(number, rates))
            raise ValueError(f"1 to {RATES_AT_MOST} different learning rates above 0, not {told}")
        object.__setattr__(self, "rates", rates)
        object.__setattr__(self, "height", HEIGHT.check(self.height))
        object.__setattr__(self, "on", _at(self.on, rates[0]))
        if self.work > WORK_AT_MOST:
            raise ValueError(
                f"this is too much to measure: parameters × examples × gradients, over all rates, may be "
                f"{WORK_AT_MOST:.0e}, not {self.work:.1e}; take fewer rates, steps or examples, or a smaller network"
            )

    @property
    def demand(self) -> dict[str, float]:
        """How much it asks for, by the names of limits."""
        return self.on.demand | {"stability_work": self.work}

    @property
    def mode(self) -> str:
        """ "surface" or "network"."""
        return "network" if isinstance(self.on, Training) else "surface"

    @property
    def racer(self) -> Racer:
        """The rule, at the first of the rates."""
        return self.on.configurations[0].racer if isinstance(self.on, Training) else self.on.racers[0]

    @property
    def times(self) -> np.ndarray:
        """The moments, as steps taken before them, (p,): from 0 to the last step's start, and on a surface all."""
        steps = self.on.steps
        if isinstance(self.on, Experiment):
            return np.arange(steps)
        return np.unique(np.linspace(0, steps - 1, MOMENTS).round().astype(int))

    @property
    def work(self) -> float:
        """How much a network costs to measure; 0 for a surface."""
        if not isinstance(self.on, Training):
            return 0.0
        gradients = self.on.steps + PRODUCTS * len(self.times)
        return float(self.on.networks[0].size) * len(self.on.parts.train.y) * gradients * len(self.rates)

    @property
    def pieces(self) -> int:
        """How many `moments` there are, of all rates together."""
        return len(self.rates) * len(self.times)

    def at(self, rate: float) -> Experiment | Training:
        """One run, as the laboratories take it."""
        return _at(self.on, rate)


def _at(on: Experiment | Training, rate: float) -> Any:
    if isinstance(on, Training):
        one = on.configurations[0]
        return replace(on, configurations=(replace(one, racer=one.racer.but(lr=rate)),))
    return replace(on, racers=(on.racers[0].but(lr=rate),))


def _check_network(on: Training) -> None:
    if len(on.configurations) != 1 or on.seeds != 1:
        raise ValueError("the edge of stability is looked at for one configuration under one seed")
    if on.steps_an_epoch != 1:
        raise ValueError("the edge of stability is that of the full batch: every step must see all examples")
    net, size = on.configurations[0].net, on.networks[0].size
    if any(net.rates) or net.input_noise:
        raise ValueError("without dropout and input noise: every step must descend on the same loss")
    if net.clip:
        raise ValueError("without gradient clipping: where it acts, the edge is another at each step")
    if size > PARAMETERS_AT_MOST:
        raise ValueError(f"networks of up to {PARAMETERS_AT_MOST} parameters, not {size}")
    if on.steps > STEPS_AT_MOST:
        raise ValueError(f"up to {STEPS_AT_MOST} steps, not {on.steps}")


class Curve(NamedTuple):
    """What is known of the run at one learning rate: at p moments, and of T steps.

    A moment is a point from which a step is made. `sharpness` is that of the Hessian as the rule feels it, and what the
    rule bears is the `edge`, both at that step. `residual` says how well it is known: an eigenvalue lies within that of
    it. All are NaN from where the run is not finite any more.
    """

    rate: float
    times: np.ndarray  # (p,) steps taken before
    sharpness: np.ndarray  # (p,)
    edge: np.ndarray  # (p,)
    cosine: np.ndarray  # (p,) between the gradient and that of the step before; NaN at step 0
    residual: np.ndarray  # (p,)
    loss: np.ndarray  # (T,) before each step; with penalties on a network, without on a surface
    theta: np.ndarray  # (p, 2) on a surface; (0, 2) of a network
    diverged: bool
    whole: bool  # whether all moments are there

    @property
    def share(self) -> np.ndarray:
        """The sharpness over the edge, (p,)."""
        with np.errstate(all="ignore"):
            return self.sharpness / self.edge

    @property
    def highest(self) -> float:
        """The largest share of the edge; 0 if none is known."""
        known = self.share[np.isfinite(self.share)]
        return float(known.max(initial=0.0))

    @property
    def tail(self) -> np.ndarray:
        """Which moments lie in the last third of the run, (p,)."""
        return self.times >= 2 * self.times[-1] / 3

    @property
    def mean(self) -> float:
        """The sharpness over the edge, averaged over the last third."""
        return float(self.share[self.tail].mean())

    @property
    def rises(self) -> float:
        """The share of all steps after which the loss is higher than before, by more than rounding."""
        with np.errstate(all="ignore"):
            up = np.diff(self.loss) > ROUNDING * np.abs(self.loss[:-1])
        return float(up.mean()) if len(up) else 0.0

    @property
    def reached(self) -> float:
        """The first moment, in steps, at which the sharpness has risen to the edge from below; infinite if never."""
        share = self.share
        risen = np.flatnonzero((share[1:] >= 1) & (np.minimum.accumulate(share)[:-1] < 1))
        return float(self.times[risen[0] + 1]) if len(risen) else math.inf

    @property
    def fate(self) -> str:
        """One of FATES."""
        if self.diverged:
            return "diverged"
        if self.highest < 1:
            return "below"
        if abs(self.mean - 1) <= NEAR:
            return "at the edge"
        return "above" if self.mean > 1 else "came back"


def measure(stability: Stability) -> list[Curve]:
    """All curves. A surface is measured at once; networks take seconds to a minute, and `moments` does that work in
    pieces."""
    return curves(stability, list(moments(stability)))


def curves(stability: Stability, known: Sequence[tuple[int, Moment]] = ()) -> list[Curve]:
    """One for each rate; of a network, as far as the moments that are `known` give them."""
    if isinstance(stability.on, Experiment):
        return [_surface_curve(_at(stability.on, rate)) for rate in stability.rates]
    each = [[moment for place, moment in known if place == i] for i in range(len(stability.rates))]
    return [_network_curve(stability, i, some) for i, some in enumerate(each)]


# On a surface --------------------------------------------------------------------------------------------------------


@once(64)  # of at most 280 kB each
def _surface_curve(on: Experiment) -> Curve:
    run, racer = races.run(on)[0], on.racers[0]
    path, key, rate = run.trajectory, racer.optimizer.key, float(racer.values["lr"])
    with np.errstate(all="ignore"):  # runs that diverge are measured like any other
        counts = np.arange(1, on.steps + 1)[:, None]
        roots = np.sqrt(np.broadcast_to(weights(key, racer.values, path.slots, counts, 2), (on.steps, 2)))
        matrices = hessians(on.problem, path.theta[:-1]) * roots[:, :, None] * roots[:, None, :]
        sharpness = _largest(matrices)
        cosine = np.array([math.nan, *_cosines(path.grad[:-1], path.grad[1:])])
        edge = edge_factor(key, racer.values) / path.lr
    exact = np.where(np.isfinite(sharpness), 0.0, math.nan)
    diverged = run.outcome.state == "diverged"
    times = np.arange(on.steps)
    return Curve(rate, times, sharpness, edge, cosine, exact, path.loss[:-1], path.theta[:-1], diverged, True)


def _cosines(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Between the rows of two tables (T, n), (T,); NaN where one vanishes."""
    products = np.linalg.norm(before, axis=-1) * np.linalg.norm(after, axis=-1)
    return (before * after).sum(axis=-1) / products


def sharpness_over_window(stability: Stability) -> np.ndarray | None:
    """The sharpness over the surface's window, as `landscape.over_window` lays its cells, (cells, cells); None for a
    rule that divides by a memory, since what it feels depends on its way."""
    on = stability.on
    if not isinstance(on, Experiment) or stability.racer.optimizer.key in DIVIDING:
        return None
    return _over_window(on.surface, on.l2)


@once(16)  # of 74 kB each
def _over_window(surface: Pick, l2: float) -> np.ndarray:
    on = Experiment(surface, l2=l2)
    plane = over_window(surface.key, on.surface_values)
    points = np.stack(np.meshgrid(plane.alpha, plane.beta), -1).reshape(-1, 2)
    return _largest(hessians(on.problem, points)).reshape(plane.loss.shape)


def _largest(matrices: np.ndarray) -> np.ndarray:
    """The largest eigenvalue of each of k matrices, (k,); NaN for one that is not finite."""
    finite = np.isfinite(matrices).all(axis=(1, 2))
    values = np.full(len(matrices), math.nan)
    values[finite] = np.linalg.eigvalsh(matrices[finite])[:, -1]
    return values


def around_the_edge(on: Experiment) -> tuple[float, ...]:
    """Rates on both sides of the one whose edge is met at the lowest minimum, of several the nearest to the start, to
    two digits; for a rule that divides by a memory, around the stored one. () if there is no such minimum."""
    racer, surface = on.racers[0], on.surface.key
    if racer.optimizer.key in DIVIDING:
        limit = 2 * tuned_lr(surface, racer.optimizer.key)
    else:
        minima = on.entry.lowest_at(on.surface_values)
        if not minima:
            return ()
        nearest = min(minima, key=lambda minimum: math.dist((minimum.x, minimum.y), on.start))
        sharpness = _largest(hessians(on.problem, np.array([[nearest.x, nearest.y]])))[0]
        if not sharpness > 0:
            return ()
        limit = edge_factor(racer.optimizer.key, racer.values) / float(sharpness)
    return tuple(dict.fromkeys(float(f"{share * limit:.2g}") for share in AROUND))


# On networks ---------------------------------------------------------------------------------------------------------


class Moment(NamedTuple):
    """A network's run at one moment."""

    loss: np.ndarray  # (steps,) before each step since the moment before, and before the moment's own
    sharpness: float
    edge: float
    cosine: float
    residual: float


def moments(stability: Stability) -> Iterator[tuple[int, Moment]]:
    """Measure a network's moments one after another, all rates in turn, each with the place of its rate; nothing on a
    surface. Moments that were measured before, by whomever, come at once."""
    if isinstance(stability.on, Training):
        times = tuple(stability.times.tolist())
        trainings = [stability.at(rate) for rate in stability.rates]
        runs = [_moments(one, times) for one in trainings if isinstance(one, Training)]
        for _ in stability.times:
            yield from ((i, next(run)) for i, run in enumerate(runs))


@in_pieces(KEPT, size=lambda moment: moment.loss.nbytes)
def _moments(training: Training, times: tuple[int, ...]) -> Iterator[Moment]:
    problem, one = training.problem(0), training.configurations[0]
    rule, key, values = one.racer.rule, one.racer.optimizer.key, one.racer.values
    factor = edge_factor(key, values)
    state, before, taken = begin_together(problem, rule, problem.theta0[None]), None, np.empty(0)

    def steps(count: int) -> Together:
        return descend_together(problem, rule, count, [training.seed], state, horizon=training.steps)

    for t in times:
        if t > state.t:
            done = steps(int(t) - state.t)
            state, taken, before = done.state, done.value[0], done.state.theta[0] - done.update[0]
        own, theta = steps(1), state.theta[0]
        with np.errstate(all="ignore"):  # a run that diverges is measured like any other
            slots = {name: slot[0] for name, slot in own.state.slots.items()}
            felt = weights(key, values, slots, int(t) + 1, len(theta))
            found = extremes(problem, theta, np.asarray(problem.treat_step(jnp.asarray(felt), problem.values)))
            cosine = math.nan if before is None else float(_cosines(slope(problem, before), slope(problem, theta)))
        loss = np.append(taken, own.value[0])
        yield Moment(loss, found.largest, factor / float(own.lr[0, 0]), cosine, found.residual)
        state, before, taken = own.state, theta, np.empty(0)


def _network_curve(stability: Stability, index: int, found: Sequence[Moment]) -> Curve:
    times = stability.times[: len(found)]
    sharpness, edge, cosine, residual = np.array([each[1:] for each in found]).reshape(-1, 4).T
    loss = np.concatenate([np.empty(0), *(each.loss for each in found)])
    finite = np.isfinite(loss).all() and np.isfinite(sharpness).all()
    whole = len(found) == len(stability.times)
    rate, nowhere = stability.rates[index], np.empty((0, 2))
    return Curve(rate, times, sharpness, edge, cosine, residual, loss, nowhere, not finite, whole)


# The claims ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EdgeClaim(Card):
    """A claim on the edge of stability, with what shows it. `by` measures it on curves."""

    stability: Stability
    by: Callable[[Stability, Sequence[Curve]], Measured | None]  # which come from the least rate on

    def measure(self, stability: Stability, curves: Sequence[Curve]) -> Measured | None:
        """Measure it on the curves; None where there is nothing to compare."""
        if not all(curve.whole for curve in curves):
            return Measured({}, None, "The verdict comes when all moments are measured.")
        return self.by(stability, sorted(curves, key=lambda curve: curve.rate))


def settles(stability: Stability, curves: Sequence[Curve]) -> Measured | None:
    """C17 on a network: the sharpness rises to the edge and stays, and the loss falls none the less."""
    there = [curve for curve in curves if curve.fate == "at the edge"]
    if not there:
        return _nowhere(curves)
    one = there[0]
    third = one.times[one.tail][0]
    begun, ended = _level(one.loss, third), _level(one.loss, len(one.loss))
    numbers: dict[str, Value] = {
        "rate": one.rate,
        "first": float(one.sharpness[0]),
        "edge": float(one.edge[-1]),
        "reached": one.reached,
        "mean": one.mean,
        "rises": one.rises,
        "begun": begun,
        "ended": ended,
    }
    facts = (
        "At η = {rate} the sharpness begins at {first}, meets the edge of {edge} by step {reached}, and over the "
        "last third of the run averages {mean:%} of it. The loss rises after {rises:%} of all steps, and in that third "
        "goes from {begun} to {ended}." + _others(there[1:], numbers) + _below(curves, numbers)
    )
    return judged(
        numbers,
        facts,
        (math.isfinite(one.reached), "the sharpness has never been below the edge, so it did not rise to it"),
        (one.rises > 0, "the loss falls at every step"),
        (ended < begun, "the loss does not fall while the run is at the edge"),
    )


def blocked(stability: Stability, curves: Sequence[Curve]) -> Measured | None:
    """C17 on a surface: where the way leads to sharper places, the edge bars it."""
    if isinstance(stability.on, Training):
        return None
    there = [curve for curve in curves if curve.fate == "at the edge"]
    if not there:
        return _nowhere(curves)
    one, least = there[0], min(curves, key=lambda curve: _level(curve.loss, len(curve.loss)))
    numbers: dict[str, Value] = {
        "rate": one.rate,
        "first": float(one.sharpness[0]),
        "edge": float(one.edge[-1]),
        "mean": one.mean,
        "ended": _level(one.loss, len(one.loss)),
        "low": least.rate,
        "highest": least.highest,
        "least": _level(least.loss, len(least.loss)),
    }
    facts = (
        "At η = {rate} the sharpness goes from {first} to the edge of {edge} and over the last third of the run "
        "averages {mean:%} of it: at sharper places it cannot stay, and its loss ends at {ended}."
        + _others(there[1:], numbers)
        + " The lowest loss, {least}, is that of η = {low}, whose sharpness comes to at most {highest:%} of its edge."
    )
    return judged(
        numbers,
        facts,
        (np.ptp(one.sharpness) > 1e-6 * one.edge[-1], "the sharpness is the same everywhere"),
        (math.isfinite(one.reached), "the sharpness has never been below the edge, so it did not rise to it"),
        (least.fate == "below", "the rate that comes lowest is at its edge, too"),
    )


def one_sided(stability: Stability, curves: Sequence[Curve]) -> Measured | None:
    """A2: on a quadratic the sharpness is one number, and the edge parts what converges from what diverges."""
    if isinstance(stability.on, Training):
        return None
    known = np.concatenate([curve.sharpness[np.isfinite(curve.sharpness)] for curve in curves])
    if not len(known):
        return None
    under = [curve for curve in curves if curve.share[0] < 1]
    over = [curve for curve in curves if curve.share[0] > 1]
    numbers: dict[str, Value] = {
        "sharpness": float(known.max()),
        "limit": float(curves[0].edge[0] * curves[0].rate / known.max()),
    }
    facts = "The sharpness is {sharpness} at every point of these runs, so the edge is met at η = {limit}."
    for name, some, words in (("under", under, "at most"), ("over", over, "at least")):
        if some:
            pick = max if name == "under" else min
            numbers[name] = pick(curve.rate for curve in some)
            fates = {curve.fate == "diverged" for curve in some}
            how = {frozenset({True}): "diverge", frozenset({False}): "do not diverge"}.get(frozenset(fates), "differ")
            facts += f" Runs with η of {words} {{{name}}} {how}."
    return judged(
        numbers,
        facts,
        (np.ptp(known) <= 1e-9 * abs(known.max()), "the sharpness differs from place to place: this is no quadratic"),
        (under and over, "all rates lie on one side of the edge"),
        (not any(curve.diverged for curve in under), "a rate below the edge diverges"),
        (all(curve.diverged for curve in over), "a rate above the edge does not diverge in so many steps"),
    )


def _nowhere(curves: Sequence[Curve]) -> Measured:
    top = max(curve.highest for curve in curves)
    fates = "; ".join(f"η = {number(curve.rate)}: {curve.fate}" for curve in curves)
    return judged(
        {"top": top},
        "The sharpness comes to at most {top:%} of its edge (" + fates + ").",
        (False, "no rate settles at the edge"),
    )


def _others(there: Sequence[Curve], numbers: dict[str, Value]) -> str:
    if not there:
        return ""
    for i, curve in enumerate(there):
        numbers |= {f"rate{i}": curve.rate, f"mean{i}": curve.mean}
    return " There, too: " + ", ".join(f"η = {{rate{i}}} ({{mean{i}:%}})" for i in range(len(there))) + "."


def _below(curves: Sequence[Curve], numbers: dict[str, Value]) -> str:
    below = [curve for curve in curves if curve.fate == "below"]
    if not below:
        return ""
    numbers |= {"low": below[0].rate, "highest": below[0].highest}
    return " At η = {low} it comes to {highest:%} of its edge at most, and the loss falls " + (
        "at every step." if below[0].rises == 0 else "at nearly every step."
    )


def _level(loss: np.ndarray, step: int) -> float:
    """The loss around a step without its ups and downs: the mean over the fiftieth of the run before it."""
    width = max(2, len(loss) // 50)
    return float(loss[max(0, step - width) : step].mean())


RACER = Racer(Pick("sgd", {"lr": 0.2}))
SPIRALS = Stability(
    Training(
        Pick("spirals", {"samples": 100}),
        (
            Configuration(
                Net(hidden=(16, 16), activation="tanh", init="xavier_normal", loss="squared_error"), RACER
            ),
        ),
        batch_size=0,
        epochs=4000,
        validation=0.0,
        test=0.0,
    ),
    rates=(0.05, 0.2, 0.4, 0.8),
)  # fmt: skip
RAVINE = Stability(
    Experiment(Pick("rosenbrock"), (RACER,), start=(0.0, 0.1), steps=3000),
    rates=(0.0015, 0.0025, 0.004, 0.006),
)
QUADRATIC = Stability(
    Experiment(Pick("valley", {"kappa": 50.0}), (RACER,), start=(-1.8, 0.6), steps=300),
    rates=(0.02, 0.039, 0.041, 0.05),
)
COHEN = Source(
    "Cohen, Kaur, Li, Kolter & Talwalkar",
    2021,
    "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability",
    "https://arxiv.org/abs/2103.00065",
)
DAMIAN = Source(
    "Damian, Nichani & Lee",
    2023,
    "Self-Stabilization: The Implicit Bias of Gradient Descent at the Edge of Stability",
    "https://arxiv.org/abs/2209.15594",
)
CLAIMS = {
    "C17": EdgeClaim(
        key="C17",
        title="A large step settles at the edge of stability",
        says="Trained on all examples at once, a network comes to ever sharper places until its learning rate bears no "
        "more: there the sharpness stays, close to 2/η.",
        condition="Gradient descent on the full batch, a network wide enough to fit the data, and a run long enough to "
        "reach the edge: a small rate needs more steps than this. With squared error the sharpness stays; with "
        "cross-entropy it falls again once the examples are fitted with confidence. With small batches it settles "
        "lower. Momentum and Adam have edges of their own.",
        watch="Each curve climbs to the dashed line of its own hue and stays. From there on its loss goes up and down, "
        "and the gradient turns around at every step: its cosine with the one before falls to −1.",
        sources=(COHEN, DAMIAN),
        stability=SPIRALS,
        by=settles,
    ),
    "C17b": EdgeClaim(
        key="C17b",
        title="The edge bars the way",
        says="Where the way to the minimum leads through sharper places, a large step stops at the edge of stability.",
        condition="The surface must be sharper ahead than what the rate bears, and curve in such a way that swinging "
        "pushes back: elsewhere the run diverges, or jumps to another basin.",
        watch="Rosenbrock's ravine gets steeper walls towards its minimum at (1, 1), where the sharpness is 1,002. "
        "Only a rate below 2/1,002 can come to rest there; the others stop where the walls are as steep as they bear.",
        sources=(COHEN, DAMIAN),
        stability=RAVINE,
        by=blocked,
    ),
    "A2": EdgeClaim(
        key="A2",
        title="On a quadratic the edge parts what converges from what diverges",
        says="A quadratic is equally sharp everywhere, so nothing pushes a run back: gradient descent converges if its "
        "sharpness is below 2/η, and diverges if it is above.",
        condition="Exactly so only on a quadratic, and from a start that is off the flat direction. Just above the "
        "edge it takes many steps until the divergence shows.",
        watch="The flat curves: two lie below their dashed line, and two above. Then choose another surface.",
        sources=(COHEN, Source("Goh", 2017, "Why Momentum Really Works", "https://distill.pub/2017/momentum/")),
        stability=QUADRATIC,
        by=one_sided,
    ),
}
