"""What the course claims about the learning rate, on a surface and on a network.

The claims are those of `claims` and `network_claims`, a card, an experiment or a training, and a function that makes a
sentence from the numbers of this run. What is different is who takes part: here a racer is known by its schedule
(`ROLES`), so that one vocabulary serves both. A claim that is shown on a network as well has a second key that ends
in n; B11x is the other half of B11, where it fails.

    η    learning rate        κ   condition number of a valley      σ   standard deviation of gradient noise
    ρ    momentum             λ   a curvature                       T   steps of the planned run, which schedules
                                                                        count with

Where a slogan is true under a condition only, the rules of its verdict are the condition, and the sentence quotes the
run against which it fails. Medians are over the seeds of a training.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from optviz.claims import CLAIMS, ROUNDING, TAME, Claim
from optviz.descent import Trajectory, begin_together, descend, descend_together
from optviz.experiment import Experiment, Pick, Racer
from optviz.landscape import hessians
from optviz.network_claims import NETWORK_CLAIMS, Entrant, NetworkClaim
from optviz.schedules import SCHEDULES
from optviz.spec import Source
from optviz.training import Configuration, Net, Training, predict
from optviz.verdict import Measured, judged

RATE_CLAIMS: dict[str, Claim] = {}
NETWORK_RATE_CLAIMS: dict[str, NetworkClaim] = {}


# Who takes part ------------------------------------------------------------------------------------------------------


def _rate(racer: Racer) -> Pick:
    """The schedule of its learning rate."""
    return dict(racer.schedules).get("lr", Pick("constant"))


def _first(suits: Callable[[Racer], bool]) -> Callable[[Sequence[Racer]], int | None]:
    return lambda racers: next((i for i, racer in enumerate(racers) if suits(racer)), None)


def _by(*keys: str) -> Callable[[Sequence[Racer]], int | None]:
    """The first racer whose learning rate follows one of these schedules."""
    return _first(lambda racer: _rate(racer).key in keys)


def _constant(racer: Racer) -> bool:
    return not racer.schedules


def _plain(racer: Racer) -> bool:
    """Descent whose step is the rate times the gradient."""
    return racer.optimizer.key == "sgd" and racer.values["momentum"] == 0


def _at_end(racers: Sequence[Racer], place: int) -> int | None:
    """Of the constant rates of one optimizer, the smallest (0) or the largest (−1), if there are several."""
    constant = [(float(racer.values["lr"]), i) for i, racer in enumerate(racers) if _constant(racer)]
    alike = len({racers[i].optimizer.key for _, i in constant}) == 1 and len({lr for lr, _ in constant}) > 1
    return sorted(constant)[place][1] if alike else None


CYCLES = ("triangular", "triangular2", "exp_range", "sgdr")
FALLING = ("step_decay", "exponential", "inverse_time", "power", "piecewise", "polynomial", "linear", "cosine")
# What a measuring function may ask for by name: given all racers, the number of the one that it speaks of.
ROLES: dict[str, Callable[[Sequence[Racer]], int | None]] = {
    "constant": _first(_constant),
    "slow": lambda racers: _at_end(racers, 0),
    "fast": lambda racers: _at_end(racers, -1),
    "scheduled": _first(lambda racer: _plain(racer) and _formula(_rate(racer))),
    "plateau": _by("plateau"),
    "bold": _by("bold_driver"),
    "cyclic": _by(*CYCLES),
    "restarts": _by("sgdr"),
    "first": lambda racers: 0 if racers else None,
    "one_cycle": _by("one_cycle"),
    "step_decay": _by("step_decay", "piecewise"),
    "sgd": _first(lambda racer: _constant(racer) and racer.optimizer.key == "sgd"),
    "sgd_decay": _first(lambda racer: _rate(racer).key in FALLING and racer.optimizer.key == "sgd"),
    "adam": _first(lambda racer: _constant(racer) and racer.optimizer.key == "adam"),
    "adam_decay": _first(lambda racer: _rate(racer).key in FALLING and racer.optimizer.key == "adam"),
}


def _formula(pick: Pick) -> bool:
    """Whether it is a schedule that changes, by the step alone."""
    return pick.key != "constant" and not SCHEDULES[pick.key].slots


def _asked(judge: Callable) -> list[str]:
    """The roles that a measuring function asks for, after the experiment or the training."""
    return list(inspect.signature(judge).parameters)[1:]


def _cast(judge: Callable, racers: Sequence[Racer]) -> list[int] | None:
    """Who plays the roles that a measuring function asks for; None if one stays empty."""
    found = [ROLES[role](racers) for role in _asked(judge)]
    return None if None in found else [i for i in found if i is not None]


def on_surface(
    key: str, *, sources: tuple[Source, ...], surfaces: tuple[str, ...] = (), noisy: bool = False, **card: Any
) -> Callable[[Callable], Callable]:
    """Decorator: enter a function that measures an experiment, and its card."""

    def enter(judge: Callable) -> Callable:
        _refuse(key, judge, RATE_CLAIMS)

        def measure(e: Experiment) -> Measured | None:
            tame = [racer for racer in e.racers if float(racer.values["lr"]) <= TAME]
            cast = _cast(judge, tame)
            return None if cast is None else judge(e, *(tame[i] for i in cast))

        RATE_CLAIMS[key] = Claim(key=key, sources=sources, surfaces=surfaces, noisy=noisy, judge=measure, **card)
        return judge

    return enter


def on_network(
    key: str, *, sources: tuple[Source, ...], fits: Callable[[Training], bool] = lambda t: True, **card: Any
) -> Callable[[Callable], Callable]:
    """Decorator: enter a function that measures a training that has come to its end, and its card."""

    def enter(judge: Callable) -> Callable:
        _refuse(key, judge, NETWORK_RATE_CLAIMS)

        def suits(t: Training) -> bool:
            return fits(t) and _cast(judge, _racers(t)) is not None

        def measure(t: Training, first: Entrant) -> Measured | None:
            cast = _cast(judge, _racers(t))
            return None if cast is None else judge(t, *(replace(first, index=i) for i in cast))

        NETWORK_RATE_CLAIMS[key] = NetworkClaim(
            key=key, sources=sources, fits=suits, judge=measure, **{"after": "end", **card}
        )
        return judge

    return enter


def _refuse(key: str, judge: Callable, known: dict[str, Any]) -> None:
    unknown = set(_asked(judge)) - set(ROLES)
    if unknown or key in known:
        raise TypeError(f"claim {key} is declared twice or asks for roles that there are not: {sorted(unknown)}")


def _racers(t: Training) -> list[Racer]:
    return [one.racer for one in t.configurations]


def _racer(optimizer: str, values: dict[str, Any], lr: Pick | None = None, **more: Pick) -> Racer:
    return Racer(Pick(optimizer, values), {**({"lr": lr} if lr else {}), **more})


# How to measure on a surface -----------------------------------------------------------------------------------------


def _run(e: Experiment, racer: Racer, **changes: Any) -> Trajectory:
    """The racer's run under the experiment's conditions, some of them changed."""
    e = replace(e, **changes)
    return descend(e.problem, racer.rule, e.steps)


def _by_formula(pick: Pick, peak: float, steps: int) -> np.ndarray:
    """A schedule's values (steps,) by its card alone, outside the loop."""
    entry = SCHEDULES[pick.key]
    own = entry.complete(dict(pick.values))
    traced = {name: np.float64(value) if isinstance(value, int | float) else value for name, value in own.items()}
    values, _ = entry.at(np.arange(float(steps)), {}, peak=peak, steps=float(steps), value=0.0, news=True, **traced)
    return np.asarray(values, dtype=np.float64)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


def _tail(loss: np.ndarray) -> float:
    """The mean loss of the last quarter of a run."""
    return float(np.mean(loss[-max(1, len(loss) // 4) :]))


LECTURE = Source("Li, Johnson & Yeung", 2017, "CS231n, lecture 7: Training neural networks", "https://cs231n.github.io")
BOOK = Source("Zhang, Lipton, Li & Smola", 2023, "Dive into Deep Learning, section 12.11", "https://d2l.ai")
GERON = Source("Géron", 2022, "Hands-On Machine Learning, chapter 11", "https://www.oreilly.com")
MONRO = Source("Robbins & Monro", 1951, "A Stochastic Approximation Method", "https://doi.org/10.1214/aoms/1177729586")
CYCLICAL = Source(
    "Smith", 2017, "Cyclical Learning Rates for Training Neural Networks", "https://arxiv.org/abs/1506.01186"
)
TOPIN = Source(
    "Smith & Topin",
    2019,
    "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    "https://arxiv.org/abs/1708.07120",
)
VOGL = Source(
    "Vogl, Mangis, Rigler, Zink & Alkon",
    1988,
    "Accelerating the convergence of the back-propagation method",
    "https://doi.org/10.1007/BF00332914",
)


# Annealing -----------------------------------------------------------------------------------------------------------


@on_surface(
    "B3",
    title="Annealing: every schedule acts",
    says="The rate may fall in steps, exponentially (η·e⁻ᵏᵗ), like 1/t (η/(1 + kt)), by a power, at chosen moments, in "
    "a straight line or along a cosine, and it may warm up first: each step is as long as the schedule says.",
    condition="Plain descent moves by the rate times the gradient, so what the schedule says can be read off the path; "
    "other rules make something else of the same rate. That a falling rate ends lower is true where noise keeps a "
    "constant one in motion, and untrue where the rate falls before the way is done.",
    watch="The curve of η under the loss: eight shapes, one run. Every path is another one, though all meet the same "
    "noise.",
    sources=(LECTURE, BOOK, MONRO),
    noisy=True,
    experiment=Experiment(
        Pick("valley", {"kappa": 10.0}),
        start=(-1.8, 1.0),
        steps=400,
        noise=1.0,
        racers=(
            _racer("sgd", {"lr": 0.1}, Pick("step_decay")),
            _racer("sgd", {"lr": 0.1}, Pick("exponential")),
            _racer("sgd", {"lr": 0.1}, Pick("inverse_time", {"decay": 0.02})),
            _racer("sgd", {"lr": 0.1}, Pick("power")),
            _racer("sgd", {"lr": 0.1}, Pick("piecewise")),
            _racer("sgd", {"lr": 0.1}, Pick("linear")),
            _racer("sgd", {"lr": 0.1}, Pick("cosine")),
            _racer("sgd", {"lr": 0.1}, Pick("warmup")),
        ),
    ),
)
def annealing(e: Experiment, scheduled: Racer) -> Measured | None:
    racers = [racer for racer in e.racers if _plain(racer) and _formula(_rate(racer)) and len(racer.schedules) == 1]
    if not racers:
        return None
    numbers: dict[str, Any] = {
        "schedules": len(racers),
        "taken": e.steps,
        "constant": _tail(_run(e, replace(racers[0], schedules=())).loss),
    }
    found, parts = [], []
    for i, racer in enumerate(racers, start=1):
        peak, ran, constant = float(racer.values["lr"]), _run(e, racer), _run(e, replace(racer, schedules=()))
        planned = _by_formula(_rate(racer), peak, e.steps)
        found.append((*_off(ran, planned, peak), np.max(_lengths(ran.theta - constant.theta))))
        numbers |= {f"last_{i}": planned[-1], f"moved_{i}": found[-1][2], f"loss_{i}": _tail(ran.loss)}
        parts.append(
            f"{SCHEDULES[_rate(racer).key].title}: η = {{last_{i}}} at the end, loss {{loss_{i}}}, up to {{moved_{i}}} "
            "from the path of the constant rate"
        )
    apart, shares, moved = zip(*found, strict=True)
    numbers |= {"apart": max(apart), "seen": min(shares)}
    return judged(
        numbers,
        f"In {{taken:steps}} under {{schedules}} schedule{'s' * (len(racers) > 1)}, the length of a step over that of "
        "its gradient was the schedule's own formula to within {apart} of the peak, at {seen:%} of the steps or more. "
        "With the rate of the first kept constant, the mean loss of the last quarter was {constant}. "
        f"{'; '.join(parts)}.",
        (min(shares) > 0, "a run stood still or has outgrown the numbers"),
        (max(apart) <= ROUNDING, "a step is not as long as the schedule says"),
        (min(moved) > 0, "a schedule changed nothing"),
    )


def _off(ran: Trajectory, planned: np.ndarray, peak: float) -> tuple[float, float]:
    """How far ‖step‖/‖gradient‖ is from the planned rates (T,), as a share of the peak, and at how many of the steps
    that can be seen: neither where both have outgrown the numbers nor where a gradient is so small that squares
    vanish."""
    step, grad = _lengths(ran.step), _lengths(ran.grad)
    seen = np.isfinite(step) & np.isfinite(grad) & (grad > 1e-100)
    if not (seen.any() and peak > 0):
        return math.inf, 0.0
    # A step lost in the rounding of a number that is as small as it can be says nothing.
    return float(np.max(np.abs(step[seen] / grad[seen] - planned[seen])) / peak), float(seen.mean())


@on_surface(
    "B4",
    title="Performance scheduling",
    says="Cut the rate by a factor when the loss has stopped falling, and go on.",
    condition="With patience enough for what chance does: noise makes the loss rise and fall at any rate, and the best "
    "value so far is a lucky one. On a surface the schedule watches the loss at every step; on a network "
    "it watches the loss on validation data, once an epoch.",
    watch="The curve of η: it waits, and each cut is followed by a lower floor of the loss.",
    sources=(GERON, LECTURE),
    surfaces=("valley", "sphere", "steep_valley"),
    noisy=True,
    experiment=Experiment(
        Pick("valley", {"kappa": 10.0}),
        start=(-1.8, 1.0),
        steps=600,
        noise=1.0,
        racers=(
            _racer("sgd", {"lr": 0.1}),
            _racer("sgd", {"lr": 0.1}, Pick("plateau", {"factor": 0.3, "patience": 50, "least": 0.03})),
        ),
    ),
)
def performance(e: Experiment, constant: Racer, plateau: Racer) -> Measured | None:
    if e.noise == 0:
        return None
    own = SCHEDULES["plateau"].complete(dict(_rate(plateau).values))
    flat, ran = _run(e, constant), _run(e, plateau)
    cuts = np.flatnonzero(np.diff(ran.lr) < 0) + 1
    state = ran.state.memory["lr"]
    numbers: dict[str, Any] = {
        "factor": own["factor"],
        "patience": own["patience"],
        "cuts": len(cuts),
        "peak": plateau.values["lr"],
        "last": ran.lr[-1],
        "best": state["best"],
        "waited": state["waited"],
        "constant": _tail(flat.loss),
        "plateau": _tail(ran.loss),
        "gain": _tail(flat.loss) / _tail(ran.loss),
    }
    facts = (
        "The rate was cut {cuts} times by the factor {factor}, each time after more than {patience:steps} without a "
        "new best of the loss it sees, and went from {peak} to {last}. "
    )
    if len(cuts):
        numbers |= {"first": cuts[0], "loss_then": ran.loss[cuts[0]]}
        facts += "The first cut came after {first:steps}, at a loss of {loss_then}. "
    facts += (
        "At the end its state is: best {best}, waited {waited:steps}. The mean loss of the last quarter is {plateau} "
        "with the cuts and {constant} without, {gain} times as much."
    )
    waited = all(np.diff(cuts, prepend=0) > own["patience"])
    return judged(
        numbers,
        facts,
        (len(cuts), "it was never cut"),
        (waited, "a cut came without the wait"),
        (numbers["gain"] > 1, "the cuts came too early, or had nothing to gain"),
    )


@on_surface(
    "B5",
    title="Look first, then decay",
    says="Choose a decay by looking at the run without decay first: drop the rate where its loss stops falling.",
    condition="Where noise keeps a constant rate from coming nearer. A drop that comes earlier makes the rest of the "
    "way long; one that comes much later wastes steps.",
    watch="The constant run falls and then only trembles. One decay drops there, the other far too early: it is still "
    "on its way at the end.",
    sources=(LECTURE,),
    surfaces=("valley",),
    noisy=True,
    experiment=Experiment(
        Pick("valley", {"kappa": 30.0}),
        start=(-1.8, 1.0),
        steps=500,
        noise=0.5,
        racers=(
            _racer("sgd", {"lr": 0.03}),
            _racer("sgd", {"lr": 0.03}, Pick("piecewise", {"first": 0.5, "second": 1.0})),
            _racer("sgd", {"lr": 0.03}, Pick("piecewise", {"first": 0.05, "second": 1.0})),
        ),
    ),
)
def look_first(e: Experiment, constant: Racer, step_decay: Racer) -> Measured | None:
    drops = {}
    for racer in e.racers:
        rates = _by_formula(_rate(racer), 1.0, e.steps) if _rate(racer).key in ("piecewise", "step_decay") else [1.0]
        if min(rates) < 1 and racer.optimizer == constant.optimizer:
            drops[int(np.argmax(np.asarray(rates) < 1))] = racer
    if len(drops) < 2 or e.noise == 0:
        return None
    early, late = min(drops), max(drops)
    loss = {name: _run(e, racer).loss for name, racer in (("c", constant), ("e", drops[early]), ("l", drops[late]))}
    level = _level(loss["c"])
    numbers = {
        "level": level,
        "floor": np.median(loss["c"][len(loss["c"]) // 2 :]),
        "early_at": early,
        "late_at": late,
        "constant": _tail(loss["c"]),
        "late": _tail(loss["l"]),
        "early": _tail(loss["e"]),
    }
    return judged(
        numbers,
        "Without decay the loss came down to {floor}, the median of the second half, for the first time at step "
        "{level}, and fell no further: {constant} in the mean of the last quarter. With a drop at step {late_at} that "
        "mean was {late}, with one at step {early_at} {early}.",
        (early < level <= late, "the drops are not on both sides of where the constant run stops falling"),
        (numbers["late"] < numbers["constant"], "the later drop has not brought it lower"),
        (numbers["late"] < numbers["early"], "the early drop was no worse"),
    )


def _level(loss: np.ndarray) -> int:
    """The first step at which a loss is no higher than it is later, in the median of the second half."""
    return int(np.argmax(loss <= np.median(loss[len(loss) // 2 :])))


# Rates that rise -----------------------------------------------------------------------------------------------------


@on_surface(
    "B7",
    title="Why letting the rate rise helps",
    says="A rate that rises again and again may leave a sharp minimum in which a small constant rate stays.",
    condition="What leaves a minimum is a rate above 2/λ of that minimum, whether it got there by a cycle or was there "
    "all the time; the cycle also comes back to small rates, without anyone knowing λ. It cannot tell a bad minimum "
    "from a good one, only a sharp one from a flat one.",
    watch="Both begin in the sharp well on the right. One rests there; the other is thrown out as its rate rises, and "
    "its next rises do not throw it out of the flat well.",
    sources=(CYCLICAL,),
    surfaces=("flat_and_sharp",),
    experiment=Experiment(
        Pick("flat_and_sharp"),
        start=(1.6, 0.1),
        steps=600,
        racers=(
            _racer("sgd", {"lr": 0.02}),
            _racer("sgd", {"lr": 0.3}, Pick("triangular", {"low": 0.0667, "half_cycle": 75})),
        ),
    ),
)
def rising(e: Experiment, constant: Racer, cyclic: Racer) -> Measured | None:
    if not (_plain(constant) and _plain(cyclic)):
        return None
    minima = e.entry.minima_at(e.surface_values)
    if len(minima) < 2:  # so sharp, or so wide, that the wells are one
        return None
    sharp, flat = max(minima, key=lambda m: m.x), min(minima, key=lambda m: m.x)
    places = np.array([(sharp.x, sharp.y), (flat.x, flat.y)])
    curved = hessians(e.problem, places)
    limit, limit_flat = 2 / np.linalg.eigvalsh(curved)[:, 1]
    low, ran = _run(e, constant), _run(e, cyclic)
    high = _run(e, replace(cyclic, schedules=()))
    # Beyond this circle the sharp well's bell has less than a fiftieth of its height.
    reach = 2 / math.sqrt(float(e.surface_values["sharpness"]))
    away = _lengths(ran.theta - places[0]) > reach
    left = int(np.argmax(away)) if away.any() else e.steps
    numbers = {
        "limit": limit,
        "limit_flat": limit_flat,
        "low": constant.values["lr"],
        "base": np.min(ran.lr),
        "peak": np.max(ran.lr),
        "left": left if away.any() else math.inf,
        "then": ran.lr[max(left - 1, 0)],
        "end_low": low.theta[-1, 0],
        "end": ran.theta[-1, 0],
        "end_high": high.theta[-1, 0],
        "loss_low": low.loss[-1],
        "loss": ran.loss[-1],
    }
    return judged(
        numbers,
        "2/λmax is {limit} in the sharp well and {limit_flat} in the flat one. The constant rate of {low} ends at x = "
        "{end_low} with a loss of {loss_low}. The cycle goes from {base} to {peak}: it left the sharp well after "
        "{left:steps}, at a rate of {then}, and ends at x = {end} with {loss}. A constant rate of {peak} ends at x = "
        "{end_high}.",
        (_lengths(low.theta[-1] - places[0]) < reach, "the constant rate does not end in the sharp well"),
        (away.any(), "the cycle never left the sharp well"),
        (_lengths(ran.theta[-1] - places[1]) < reach, "the cycle does not end in the flat well"),
        longest=e.steps,
    )


BEYOND = 100  # steps after the end of a schedule


@on_surface(
    "B10",
    title="One cycle",
    says="One cycle lets the rate rise and then fall, and the momentum fall and then rise; at the end the rate "
    "falls to almost nothing.",
    condition="Both schedules count with the planned steps, so another length is another cycle. The rate is never "
    "negative: beyond the end it stays where it arrived.",
    watch="The curves of η and of the momentum go opposite ways.",
    sources=(TOPIN,),
    noisy=True,
    experiment=Experiment(
        Pick("valley", {"kappa": 25.0}),
        start=(-1.8, 1.0),
        steps=300,
        racers=(
            _racer("sgd", {"lr": 0.06, "momentum": 0.95}, Pick("one_cycle"), momentum=Pick("one_cycle_momentum")),
            _racer("sgd", {"lr": 0.06, "momentum": 0.95}),
        ),
        curves=("loss", "lr"),
    ),
)
def one_cycle(e: Experiment, one_cycle: Racer) -> Measured | None:
    if "momentum" not in dict(one_cycle.schedules):
        return None
    rule = one_cycle.rule
    ran = descend(e.problem, rule, e.steps)
    beyond = descend(e.problem, rule, BEYOND, horizon=e.steps, state=ran.state)
    lr, rho = ran.lr, ran.scheduled["momentum"]
    up, up_rho = np.diff(lr), np.diff(rho)
    both = (up != 0) & (up_rho != 0)
    numbers = {
        "start": lr[0],
        "peak": np.max(lr),
        "at": np.argmax(lr),
        "end": lr[-1],
        "annihilated": lr[0] / lr[-1],
        "rho": rho[0],
        "rho_low": np.min(rho),
        "rho_at": np.argmin(rho),
        "rho_end": rho[-1],
        "opposite": np.mean(up[both] * up_rho[both] < 0) if both.any() else 0.0,
        "least": min(np.min(lr), np.min(beyond.lr)),
        "beyond": BEYOND,
        "settled": np.max(np.abs(beyond.lr - lr[-1])),
    }
    return judged(
        numbers,
        "The rate rose from {start} to {peak} at step {at} and fell to {end}, {annihilated} times less than it began "
        "with. The momentum fell from {rho} to {rho_low} at step {rho_at} and rose to {rho_end}. They went opposite "
        "ways at {opposite:%} of the steps at which both moved. The smallest rate is {least}; in {beyond:steps} beyond "
        "the end it changed by {settled}.",
        (lr[0] < (1 - ROUNDING) * numbers["peak"] > lr[-1], "the rate does not rise and fall"),
        (numbers["opposite"] == 1, "the two do not go opposite ways"),
        (numbers["annihilated"] >= 10, "the rate does not fall to almost nothing at the end"),
        (numbers["least"] >= 0, "the rate is negative"),
    )


# A rate that follows the run -----------------------------------------------------------------------------------------

SOME_NOISE = 0.3


@on_surface(
    "B13",
    title="Smaller steps when the error has not decreased",
    says="If the last step has not decreased the error, make the next ones smaller; while it decreases, let them grow "
    "again slowly.",
    condition="Without noise. With noise about every second step fails to decrease the loss whatever the rate is, and "
    "the rule cuts the rate to nothing. A bad step is not taken back here: the error first rises.",
    watch="The constant rate is beyond 2/λmax and leaves the picture. With the rule the same rate is halved until the "
    "loss falls, and then stays near the limit by itself.",
    sources=(VOGL,),
    surfaces=("valley",),
    experiment=Experiment(
        Pick("valley", {"kappa": 25.0}),
        start=(-1.8, 1.0),
        steps=300,
        racers=(_racer("sgd", {"lr": 0.2}), _racer("sgd", {"lr": 0.2}, Pick("bold_driver"))),
    ),
)
def step_size_control(e: Experiment, constant: Racer, bold: Racer) -> Measured | None:
    if not (_plain(constant) and _plain(bold)):
        return None
    curvature = max(1.0, float(e.surface_values["kappa"]))
    free, ran = _run(e, constant), _run(e, bold)
    noisy = _run(e, bold, noise=SOME_NOISE)
    failed = ~(ran.loss[1:-1] < ran.loss[:-2])
    cut = np.diff(ran.lr) < 0
    first = free.loss[0]
    numbers = {
        "rate": constant.values["lr"],
        "bold_rate": bold.values["lr"],
        "limit": 2 / curvature,
        "left": free.loss[-1] / first if np.isfinite(free.loss[-1]) else math.inf,
        "bold": ran.loss[-1] / first if np.isfinite(ran.loss[-1]) else math.inf,
        "taken": e.steps,
        "worst": np.max(ran.loss[np.isfinite(ran.loss)], initial=0.0) / first,
        "failed": np.sum(failed),
        "cuts": np.sum(cut),
        "last": ran.lr[-1],
        "sigma": SOME_NOISE,
        "noisy": noisy.lr[-1],
    }
    return judged(
        numbers,
        "The limit 2/λmax is {limit}. After {taken:steps} a constant rate of {rate} had {left} of its loss left. With "
        "the rule, from {bold_rate}, {bold} was left: the loss failed to decrease {failed} times and the rate was cut "
        "{cuts} times, the loss rose to {worst} of its first value on the way, and the rate is {last} at the end. With "
        "gradient noise of σ = {sigma} the same rule ends at a rate of {noisy}.",
        (numbers["left"] > 1, "the constant rate is within the limit, so there is nothing to repair"),
        (numbers["bold"] < 1, "the rule has not brought the loss down"),
        (np.array_equal(cut, failed), "the cuts are not where the loss failed to decrease"),
    )


# On networks: how to measure -----------------------------------------------------------------------------------------


def _one_net(t: Training) -> bool:
    """Whether only the optimizers differ, with classes to tell apart and data to judge by."""
    same = len({one.net for one in t.configurations}) == 1
    return same and t.task == "classification" and min(len(t.parts.validation.y), len(t.parts.test.y)) > 0


def _others(first: Entrant) -> list[Entrant]:
    """All configurations of a training."""
    return [replace(first, index=i) for i in range(len(first.training.configurations))]


def _end(values: np.ndarray) -> float:
    """The median over seeds at the end, of (seeds, moments)."""
    return float(np.median(values[:, -1]))


def _lr(one: Entrant) -> float:
    return float(one.racer.values["lr"])


WIDE = Net(hidden=(32,))
NARROW = Net(hidden=(16, 16))
DEEP = Net(hidden=(32, 32, 32), activation="tanh", init="xavier_normal")


def _trained(net: Net, *racers: Racer) -> tuple[Configuration, ...]:
    return tuple(Configuration(net, racer) for racer in racers)


SMOOTH = 0.95  # of the moments at which a smooth loss has fallen
CYCLIC_GOAL = 0.95


@on_network(
    "B2",
    title="A smooth loss proves nothing",
    says="A training loss that falls smoothly does not prove that the learning rate is right: watch the accuracy on "
    "validation data.",
    condition="After the same number of steps. A rate that is too small gives the smoothest curve of all and is only "
    "late: given many times as many steps it may arrive as well. The larger rate of the comparison is one that the "
    "network bears.",
    watch="The lower curve of accuracy belongs to the smoother curve of the loss.",
    sources=(LECTURE,),
    fits=_one_net,
    training=Training(
        Pick("digits"), _trained(WIDE, _racer("sgd", {"lr": 0.01}), _racer("sgd", {"lr": 0.3})), epochs=10
    ),
)
def smooth_loss(t: Training, slow: Entrant, fast: Entrant) -> Measured:
    numbers = {
        name.format(what): value
        for what, one in (("slow", slow), ("fast", fast))
        for name, value in (
            ("rate_{}", _lr(one)),
            ("fell_{}", np.mean(np.diff(one.history.train_loss, axis=1) < 0)),
            ("loss_{}", _end(one.history.train_loss)),
            ("right_{}", _end(one.history.validation_accuracy)),
        )
    }
    return judged(
        numbers,
        "With η = {rate_slow} the training loss fell at {fell_slow:%} of the measured moments and ended at "
        "{loss_slow}; with η = {rate_fast} it fell at {fell_fast:%} of them, to {loss_fast}. On validation data the "
        "smaller rate answers {right_slow:%}, the larger one {right_fast:%}.",
        (numbers["fell_slow"] >= SMOOTH, "the loss of the smaller rate does not fall smoothly"),
        (numbers["right_slow"] < numbers["right_fast"], "the smaller rate is no worse on validation data"),
    )


@on_network(
    "B3n",
    title="Annealing, on a network",
    says="The same schedules act on a network's training, step by step: the curve of η is the schedule, and another "
    "schedule is another run.",
    condition="The planned epochs are the length that a schedule counts with. That a falling rate is better holds "
    "where the constant one is too large to come to rest, and not in general.",
    watch="The curve of η under the losses: a constant, three drops, half a cosine, a warm-up.",
    sources=(LECTURE, BOOK),
    fits=_one_net,
    training=Training(
        Pick("moons", {"noise": 0.3}),
        _trained(
            NARROW,
            _racer("sgd", {"lr": 0.3}),
            _racer("sgd", {"lr": 0.3}, Pick("step_decay", {"every": 80.0})),
            _racer("sgd", {"lr": 0.3}, Pick("cosine")),
            _racer("sgd", {"lr": 0.3}, Pick("warmup")),
        ),
        epochs=40,
    ),
)
def annealing_network(t: Training, constant: Entrant, scheduled: Entrant) -> Measured:
    numbers: dict[str, Any] = {"constant": _end(constant.history.validation_loss)}
    apart, steps, moved, parts = [], [], [], []
    for i, one in enumerate(_others(constant), start=1):
        if not (_formula(_rate(one.racer)) and _plain(one.racer)):
            continue
        planned = _by_formula(_rate(one.racer), _lr(one), len(one.history.lr))
        half = max(1, min(len(planned) // 2, one.affordable))
        taken = one.again(half)
        apart.append(np.max(np.abs(one.history.lr - planned)) / _lr(one))
        # ‖θ‖ rounds a step off; what is compared is the length of one over that of its gradient.
        steps.append(abs(_lengths(taken.update[0]) / taken.norm[0, -1] - planned[half - 1]) / _lr(one))
        moved.append(np.median(_lengths(one.thetas - constant.thetas) / _lengths(constant.thetas)))
        numbers |= {f"last_{i}": planned[-1], f"moved_{i}": moved[-1], f"loss_{i}": _end(one.history.validation_loss)}
        parts.append(
            f"{SCHEDULES[_rate(one.racer).key].title}: η = {{last_{i}}} at the end, validation loss {{loss_{i}}}, "
            f"weights {{moved_{i}:%}} away from those of the constant rate"
        )
    numbers |= {"apart": max(apart), "step": max(steps)}
    return judged(
        numbers,
        "The rates of the run differ from the schedules' own formulas by at most {apart} of the peak, and half-way "
        "through the run the length of a step over that of its gradient by {step}. With the constant rate the "
        f"validation loss ended at {{constant}}. {'; '.join(parts)}.",
        (max(apart) <= ROUNDING, "a rate is not what the schedule says"),
        (max(steps) <= ROUNDING, "a step is not as long as the schedule says"),
        (min(moved) > 0, "a schedule changed nothing"),
    )


@on_network(
    "B4n",
    title="Performance scheduling, on a network",
    says="Cut the rate when the loss on validation data has stopped falling, looked at once an epoch.",
    condition="With validation data to look at, which then have helped to choose: what the network is worth is for the "
    "test data to say. Patience is counted in epochs; too little of it cuts by mere chance.",
    watch="The curve of η: every cut comes at the end of an epoch, and after the first the validation loss stops "
    "jumping.",
    sources=(GERON, LECTURE),
    fits=_one_net,
    training=Training(
        Pick("moons", {"noise": 0.3}),
        _trained(
            NARROW,
            _racer("sgd", {"lr": 1.0}),
            _racer("sgd", {"lr": 1.0}, Pick("plateau", {"factor": 0.3, "patience": 5})),
        ),
        epochs=60,
    ),
)
def performance_network(t: Training, constant: Entrant, plateau: Entrant) -> Measured | None:
    if t.steps > plateau.affordable:
        return None
    own, each = SCHEDULES["plateau"].complete(dict(_rate(plateau.racer).values)), t.steps_an_epoch
    patience, rates = int(own["patience"]), plateau.history.lr
    cuts = np.flatnonzero(np.diff(rates) < 0) + 1
    looks = _at_epochs(plateau, t.epochs)
    stalled = all(
        np.min(looks[max(0, epoch - patience) : epoch + 1]) >= _improvement(looks[: max(1, epoch - patience)], own)
        for epoch in cuts // each
    )
    tails = {
        name: np.median(one.history.validation_loss[:, -max(1, len(one.history.moments) // 4) :].mean(axis=1))
        for name, one in (("constant", constant), ("plateau", plateau))
    }
    numbers: dict[str, Any] = {
        "factor": own["factor"],
        "patience": patience,
        "cuts": len(cuts),
        "peak": _lr(plateau),
        "last": rates[-1],
        "best": np.min(looks),
        **tails,
    }
    facts = (
        "The rate was cut {cuts} times by the factor {factor}, each time after more than {patience} epochs without a "
        "new best, and went from {peak} to {last}. The best validation loss at the end of an epoch was {best}. "
    )
    if len(cuts):
        numbers |= {"first": cuts[0] / each, "then": looks[cuts[0] // each]}
        facts += "The first cut came after {first} epochs, at a validation loss of {then}. "
    facts += (
        "In the mean of the last quarter the validation loss is {plateau} with the cuts and {constant} with the "
        "constant rate."
    )
    return judged(
        numbers,
        facts,
        (len(cuts), "it was never cut"),
        (not (cuts % each).any(), "a cut came within an epoch"),
        (stalled, "a cut came though the validation loss had fallen"),
        (tails["plateau"] < tails["constant"], "the cuts came too early, or had nothing to gain"),
    )


def _at_epochs(one: Entrant, epochs: int) -> np.ndarray:
    """The validation loss of the first seed's network before each epoch, (epochs,)."""
    t, problem, rule = one.training, one.problem, one.racer.rule
    state, looks = begin_together(problem, rule, one.starts), []
    for _ in range(epochs):
        one.heard()
        looks.append(one.loss(state.theta[0], t.parts.validation))
        state = descend_together(problem, rule, t.steps_an_epoch, one.seeds, state, horizon=t.steps).state
    return np.array(looks)


def _improvement(looks: np.ndarray, own: dict[str, Any]) -> float:
    """What a loss must fall below to be a new best."""
    best = np.min(looks)
    return float(best - own["threshold"] * abs(best))


@on_network(
    "B6",
    title="Decay with SGD, and with Adam",
    says="Learning-rate decay is common with SGD and less common with Adam: so says the lecture.",
    condition="A custom and no law. Dividing by the size of the gradient does not make Adam's steps smaller near the "
    "end, so that where the rate is large, or data are noisy, decay brings something to both; where the rate is small "
    "it brings nothing to either, and costs steps. The sentence holds here if decay lowered SGD's validation loss, and "
    "by a larger share than Adam's; what it does to Adam's changes its sign with the seed.",
    watch="Two pairs of curves, each with and without decay: compare the ends.",
    sources=(
        LECTURE,
        Source(
            "Loshchilov & Hutter", 2019, "Decoupled Weight Decay Regularization", "https://arxiv.org/abs/1711.05101"
        ),
    ),
    fits=_one_net,
    training=Training(
        Pick("moons", {"noise": 0.3}),
        _trained(
            NARROW,
            _racer("sgd", {"lr": 1.0}),
            _racer("sgd", {"lr": 1.0}, Pick("cosine")),
            _racer("adam", {"lr": 0.03}),
            _racer("adam", {"lr": 0.03}, Pick("cosine")),
        ),
        epochs=40,
        seeds=5,
    ),
)
def decay_and_adam(t: Training, sgd: Entrant, sgd_decay: Entrant, adam: Entrant, adam_decay: Entrant) -> Measured:
    each = {"sgd": sgd, "sgd_decay": sgd_decay, "adam": adam, "adam_decay": adam_decay}
    numbers = {name: _end(one.history.validation_loss) for name, one in each.items()}
    numbers |= {f"{name}_right": _end(one.history.validation_accuracy) for name, one in each.items()}
    gains = {name: 1 - numbers[f"{name}_decay"] / numbers[name] for name in ("sgd", "adam")}
    numbers |= {"gain_sgd": gains["sgd"], "gain_adam": gains["adam"], "seeds": t.seeds}
    return judged(
        numbers,
        "Validation loss at the end, the median of {seeds} seeds: SGD {sgd} at a constant rate and {sgd_decay} with "
        "decay ({gain_sgd:%} less); Adam {adam} and {adam_decay} ({gain_adam:%} less). Validation accuracy: SGD "
        "{sgd_right:%} and {sgd_decay_right:%}, Adam {adam_right:%} and {adam_decay_right:%}.",
        (gains["sgd"] > 0, "decay has not lowered SGD's loss"),
        (gains["sgd"] > gains["adam"], "decay brought more to Adam than to SGD"),
    )


@on_network(
    "B7n",
    title="A cyclic rate, on a network",
    says="A rate that goes up and down between two bounds trains well in fewer steps than either of them as a constant "
    "rate, and without the search for the one best rate.",
    condition="For bounds of which the lower one is safe and slow and the upper one too large to stay with. A constant "
    "rate between them may do as well, if one knows which; under some seeds the upper bound arrives too, but later.",
    watch="The upper bound as a constant rate ruins its run; the cycle comes back from there each time.",
    sources=(CYCLICAL,),
    fits=_one_net,
    training=Training(
        Pick("spirals"),
        _trained(
            NARROW,
            _racer("sgd", {"lr": 0.1}),
            _racer("sgd", {"lr": 1.0}, Pick("triangular", {"half_cycle": 80.0})),
            _racer("sgd", {"lr": 1.0}),
            _racer("sgd", {"lr": 0.55}),
        ),
        epochs=60,
        seeds=5,
    ),
)
def cyclic_network(t: Training, slow: Entrant, cyclic: Entrant, fast: Entrant) -> Measured:
    numbers: dict[str, Any] = {"seeds": t.seeds, "goal": CYCLIC_GOAL}
    between = [one for one in _others(slow) if _constant(one.racer) and _lr(slow) < _lr(one) < _lr(fast)]
    each = {"slow": slow, "cyclic": cyclic, "fast": fast} | ({"middle": between[0]} if between else {})
    for name, one in each.items():
        accuracy = np.median(one.history.validation_accuracy, axis=0)
        there = np.flatnonzero(accuracy >= CYCLIC_GOAL)
        numbers |= {f"rate_{name}": _lr(one), f"end_{name}": accuracy[-1]}
        numbers[f"steps_{name}"] = float(one.history.moments[there[0]]) if there.size else math.inf
    numbers["base"] = np.min(cyclic.history.lr)
    said = "{{end_{0}:%}} ({{steps_{0}:steps}})"
    middle = f", and the constant {{rate_middle}} between them {said.format('middle')}" if between else ""
    return judged(
        numbers,
        "Validation accuracy at the end, the median of {seeds} seeds, and when it was first measured at {goal:%}: the "
        f"cycle between {{base}} and {{rate_cyclic}} {said.format('cyclic')}, the constant rates {{rate_slow}} "
        f"{said.format('slow')} and {{rate_fast}} {said.format('fast')}{middle}.",
        (numbers["steps_cyclic"] < numbers["steps_slow"], "the cycle is no quicker than the smallest rate"),
        (numbers["steps_cyclic"] < numbers["steps_fast"], "the cycle is no quicker than the largest rate"),
        longest=t.steps,
    )


CYCLES_AT_MOST = 20


@on_network(
    "B9",
    title="Warm restarts, and their snapshots",
    says="A cosine that restarts brings the network to rest at the end of each cycle. The networks of these moments, "
    "kept as snapshots, make an ensemble that costs one training and beats its average member.",
    condition="In cross-entropy averaged probabilities beat the average member always, if the members differ; in "
    "accuracy usually. Against the last network alone it is open: where members are too sure of themselves the "
    "ensemble's loss is lower, where the last is much better than the first it is not. Another seed may turn it.",
    watch="The curve of η jumps up at each restart, the training loss with it, and falls again.",
    sources=(
        Source(
            "Loshchilov & Hutter",
            2017,
            "SGDR: Stochastic Gradient Descent with Warm Restarts",
            "https://arxiv.org/abs/1608.03983",
        ),
        Source("Huang et al.", 2017, "Snapshot Ensembles: Train 1, get M for free", "https://arxiv.org/abs/1704.00109"),
    ),
    fits=lambda t: _one_net(t) and t.configurations[0].net.loss == "cross_entropy",
    training=Training(
        Pick("digits"),
        _trained(
            Net(hidden=(16,)),
            _racer("sgd", {"lr": 1.0}, Pick("sgdr", {"cycle": 68.0, "stretch": 1.0})),
            _racer("sgd", {"lr": 1.0}, Pick("cosine")),
        ),
        epochs=10,
        seeds=5,
    ),
)
def snapshots(t: Training, restarts: Entrant) -> Measured | None:
    ends = _cycle_ends(_rate(restarts.racer), t.steps)
    if len(ends) < 2 or ends[-1] > restarts.affordable:
        return None
    problem, rule, test = restarts.problem, restarts.racer.rule, t.parts.test
    state, members = begin_together(problem, rule, restarts.starts), []
    for end in ends:
        restarts.heard()
        state = descend_together(problem, rule, end - state.t, restarts.seeds, state, horizon=t.steps).state
        members.append([_log_probabilities(restarts, theta, test.x) for theta in state.theta])
    logs = np.array(members)  # (cycles, seeds, examples, classes)
    together = np.log(np.mean(np.exp(logs), axis=0))
    single, averaged = _judged_by(logs, test.y), _judged_by(together, test.y)
    numbers = {
        "seeds": t.seeds,
        "cycles": len(ends),
        "first": ends[0],
        "last_end": ends[-1],
        **{f"{name}_loss": np.median(found) for name, found in _three(single[0], averaged[0])},
        **{f"{name}_right": np.median(found) for name, found in _three(single[1], averaged[1])},
        "better": np.sum(averaged[0] < single[0][-1]),
    }
    return judged(
        numbers,
        "{cycles} cycles ended, the first after {first:steps} and the last after {last_end}. On test data, the median "
        "of {seeds} seeds, the ensemble of their snapshots has a loss of {ensemble_loss}, its average member "
        "{member_loss} and the last one alone {last_loss}, which the ensemble beats under {better} of {seeds} seeds. "
        "They answer {ensemble_right:%}, {member_right:%} and {last_right:%}.",
        (math.isfinite(numbers["last_loss"]), "a network has outgrown the numbers"),
        (numbers["ensemble_loss"] < numbers["member_loss"], "the ensemble does not beat its average member"),
        (numbers["ensemble_right"] > numbers["member_right"], "the ensemble answers no more than its average member"),
    )


def _cycle_ends(pick: Pick, steps: int) -> list[int]:
    """After how many steps each cycle of warm restarts has ended, the first CYCLES_AT_MOST within a run."""
    own = SCHEDULES["sgdr"].complete(dict(pick.values))
    length, end, ends = float(own["cycle"]), float(own["warmup"]), []
    while len(ends) < CYCLES_AT_MOST and end + length <= steps:
        end, length = end + length, length * float(own["stretch"])
        ends.append(math.ceil(end))
    return ends


def _log_probabilities(one: Entrant, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What a network at θ (n,) answers, as logarithms of probabilities (m, classes)."""
    output = predict(one.training, one.index, theta, x)
    output = output - output.max(axis=1, keepdims=True)
    return output - np.log(np.sum(np.exp(output), axis=1, keepdims=True))


def _judged_by(logs: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy and accuracy (…,) of log-probabilities (…, m, classes)."""
    return -logs[..., np.arange(len(y)), y].mean(axis=-1), (logs.argmax(axis=-1) == y).mean(axis=-1)


def _three(single: np.ndarray, averaged: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    """The ensemble's, the average member's and the last member's, by seed."""
    return ("ensemble", averaged), ("member", single.mean(axis=0)), ("last", single[-1])


GOAL, STRIDE, LONGER = 0.96, 5, 4


@on_network(
    "B11",
    title="Super-convergence",
    says="One cycle with a large highest rate reaches the same accuracy in far fewer steps than a usual constant rate "
    "or a rate that decays in steps.",
    condition="Against a rate as people choose it, several times smaller. Much of the gain is the large rate's own: a "
    "constant rate as large as the network bears is about as quick, on a small network as here. On some splits of the "
    "data most runs never come to the accuracy. What the cycle adds is that a rate can be the highest for a while that "
    "a run could not start with or end with.",
    watch="Bands over the seeds of the accuracy on test data; the stars stand where each comes to the same accuracy.",
    sources=(TOPIN,),
    fits=_one_net,
    training=Training(
        Pick("digits"),
        _trained(
            DEEP,
            _racer("sgd", {"lr": 1.0}, Pick("one_cycle")),
            _racer("sgd", {"lr": 0.1}),
            _racer("sgd", {"lr": 0.1}, Pick("step_decay")),
            _racer("sgd", {"lr": 0.3}),
        ),
        epochs=4,
        seeds=5,
        curves=("test", "lr"),
    ),
)
def super_convergence(t: Training, one_cycle: Entrant, constant: Entrant, step_decay: Entrant) -> Measured:
    others = [one for one in _others(constant) if _constant(one.racer)]
    best = max(others, key=_lr)
    most = min(LONGER * t.steps, constant.affordable)
    each = {"one": one_cycle, "constant": constant, "step": step_decay, "best": best}
    numbers: dict[str, Any] = {
        "goal": GOAL,
        "seeds": t.seeds,
        "stride": STRIDE,
        "peak": _lr(one_cycle),
        "taken": t.steps,
        "rate": _lr(constant),
        "rate_step": _lr(step_decay),
        "rate_best": _lr(best),
    }
    for name, one in each.items():
        arrivals = np.quantile(_arrivals(one, GOAL, most), [0.25, 0.5, 0.75], method="nearest")
        numbers |= dict(zip((f"{name}_low", name, f"{name}_high"), arrivals, strict=True))
        numbers[f"{name}_right"] = _end(one.history.test_accuracy)
    numbers["gain"] = min(numbers["constant"], numbers["step"]) / numbers["one"]
    quartiles = "{{{0}:steps}} (quartiles {{{0}_low:steps}} and {{{0}_high:steps}})"
    return judged(
        numbers,
        "Until {goal:%} of the test data are answered, one cycle of {taken:steps} with a peak of {peak} takes "
        f"{quartiles.format('one')}; a constant rate of {{rate}} takes {quartiles.format('constant')}, and one that "
        f"drops in steps from {{rate_step}} takes {quartiles.format('step')}, {{gain}} times as many or more (the "
        "median of {seeds} seeds; looked at every {stride:steps}, beyond the picture where needed). The largest "
        f"constant rate here, {{rate_best}}, takes {quartiles.format('best')}. At the end of the planned run they "
        "answer {one_right:%}, {constant_right:%}, {step_right:%} and {best_right:%}.",
        (math.isfinite(numbers["one"]), "the one cycle has not reached the accuracy"),
        (numbers["gain"] >= 2, "the one cycle does not need half as many steps as the others"),
        longest=most,
    )


def _arrivals(one: Entrant, goal: float, most: int) -> np.ndarray:
    """The number of steps after which each seed's network first answers so much of the test data, (seeds,); ∞ if it
    has not after `most`. A run is looked at every STRIDE steps and goes on until all have arrived."""
    t, arrived = one.training, np.full(one.training.seeds, math.inf)
    problem, rule = one.problem, one.racer.rule
    state = begin_together(problem, rule, one.starts)
    while state.t < most and np.isinf(arrived).any():
        one.heard()
        steps = min(STRIDE, most - state.t)
        state = descend_together(problem, rule, steps, one.seeds, state, horizon=t.steps).state
        for i in np.flatnonzero(np.isinf(arrived)):
            if one.accuracy(state.theta[i], t.parts.test) >= goal:
                arrived[i] = state.t
    return arrived


@on_network(
    "B11x",
    title="Where super-convergence fails",
    says="One cycle is no shortcut when its highest rate is small, or when something else regularizes strongly.",
    condition="Large rates regularize by themselves, so that a strong penalty beside them is too much. With a small "
    "highest rate the cycle spends most of its steps at smaller rates still.",
    watch="Two pairs: without a penalty a constant rate beats the cycle up to the same rate; with a strong one it "
    "beats the cycle up to ten times as much.",
    sources=(TOPIN,),
    fits=lambda t: t.task == "classification" and len(t.parts.test.y) > 0 and len(t.configurations) > 3,
    training=Training(
        Pick("digits"),
        (
            *_trained(DEEP, _racer("sgd", {"lr": 0.1}, Pick("one_cycle")), _racer("sgd", {"lr": 0.1})),
            *_trained(replace(DEEP, l2=0.1), _racer("sgd", {"lr": 1.0}, Pick("one_cycle")), _racer("sgd", {"lr": 0.1})),
        ),
        epochs=4,
        seeds=5,
        curves=("test", "lr"),
    ),
)
def no_shortcut(t: Training, first: Entrant) -> Measured | None:
    pairs = [_pair(first, penalized) for penalized in (False, True)]
    if None in pairs:
        return None
    (small, plain), (large, penalized) = (pair for pair in pairs if pair)
    numbers = {
        "seeds": t.seeds,
        "taken": t.steps,
        "l2": large.net.l2,
        "peak_small": _lr(small),
        "rate_plain": _lr(plain),
        "peak_large": _lr(large),
        "rate_penalized": _lr(penalized),
        "small": _end(small.history.test_accuracy),
        "plain": _end(plain.history.test_accuracy),
        "large": _end(large.history.test_accuracy),
        "penalized": _end(penalized.history.test_accuracy),
    }
    return judged(
        numbers,
        "After {taken:steps}, the median of {seeds} seeds on test data: without a penalty one cycle up to η = "
        "{peak_small} answers {small:%} and a constant {rate_plain} {plain:%}. With an L2 penalty of {l2} one cycle up "
        "to {peak_large} answers {large:%} and a constant {rate_penalized} {penalized:%}.",
        (numbers["small"] < numbers["plain"], "the cycle with a small highest rate is no worse than the constant rate"),
        (numbers["large"] < numbers["penalized"], "with the penalty the cycle is no worse than the constant rate"),
    )


def _pair(first: Entrant, penalized: bool) -> tuple[Entrant, Entrant] | None:
    """The first one cycle and the first constant rate among the configurations with an L2 penalty or without."""
    group = [one for one in _others(first) if (one.net.l2 > 0) == penalized]
    cast = [ROLES[role]([one.racer for one in group]) for role in ("one_cycle", "constant")]
    found = [group[i] for i in cast if i is not None]
    return (found[0], found[1]) if len(found) == 2 else None


@on_network(
    "B12",
    title="A larger step for biases",
    says="Biases may be given a larger step than weights, by a multiplier.",
    condition="It acts on the step, after the optimizer has made it, and on biases only: a multiplier of 2 is 2 with "
    "every optimizer. Whether it helps is another question; the losses are quoted as measured.",
    watch="Two runs from the same weights on the same batches. Move *bias step*: the run goes on with the new one.",
    sources=(
        Source(
            "Jia et al.",
            2014,
            "Caffe: Convolutional Architecture for Fast Feature Embedding (whose examples take 2)",
            "https://arxiv.org/abs/1408.5093",
        ),
    ),
    fits=lambda t: _stretched(t) is not None and len(t.parts.validation.y) > 0,
    training=Training(
        Pick("moons", {"noise": 0.2}),
        (
            *_trained(NARROW, _racer("sgd", {"lr": 0.1})),
            *_trained(replace(NARROW, bias_lr=2.0), _racer("sgd", {"lr": 0.1})),
        ),
        epochs=30,
    ),
)
def bias_step(t: Training, first: Entrant) -> Measured | None:
    pair = _stretched(t)
    if pair is None:
        return None
    plain, other = (replace(first, index=i) for i in pair)
    layers = [one.network.unravel(one.again(1).update[0]) for one in (plain, other)]
    times = other.net.bias_lr / plain.net.bias_lr
    weights = max(np.max(np.abs(a.weight - b.weight)) for a, b in zip(*layers, strict=True))
    biases = max(np.max(np.abs(times * a.bias - b.bias)) for a, b in zip(*layers, strict=True))
    numbers = {
        "times": times,
        "biases": biases,
        "size": max(np.max(np.abs(b.bias)) for b in layers[1]),
        "weights": weights,
        "loss": _end(plain.history.validation_loss),
        "loss_other": _end(other.history.validation_loss),
        "taken": first.progress.step,
    }
    return judged(
        numbers,
        "In the first step, from the same weights and on the same batch, the biases moved by {times} times as much: "
        "their steps, up to {size}, differ from that by {biases}, and those of the weights by {weights}. After "
        "{taken:steps} the validation loss is {loss} without and {loss_other} with the multiplier.",
        (numbers["size"] > 0, "the biases have not moved"),
        (max(biases, weights) <= ROUNDING * max(1.0, numbers["size"]), "the steps differ by something else"),
    )


def _stretched(t: Training) -> tuple[int, int] | None:
    """Two configurations that differ in the step of the biases only."""
    bare = [replace(one, net=replace(one.net, bias_lr=1.0)) for one in t.configurations]
    for i, one in enumerate(t.configurations):
        for j, other in enumerate(t.configurations):
            if bare[i] == bare[j] and 0 < one.net.bias_lr < other.net.bias_lr:
                return i, j
    return None


# Everything that a page of each kind can open.
ON_SURFACES = CLAIMS | RATE_CLAIMS
ON_NETWORKS = NETWORK_CLAIMS | NETWORK_RATE_CLAIMS
