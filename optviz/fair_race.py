"""A fair race: every optimizer at its own best learning rate, which it has found under the same budget as all others.

One learning rate for all decides the race before it begins, and a rate of each one's own that nobody accounts for
proves nothing. So here every rule may try the same number of rates (the *budget*), on the same logarithmic grid, each
try a whole run under the conditions of the race; where there is gradient noise, each rate is tried with several seeds
and judged by the median. What it found best, by a stated criterion, it races with, on seeds that no try has seen.

A `FairRace` is a value that says all that. `compete` gives an `Entrant` for each optimizer, with the curve of its tries
and its race, and `places` ranks them by each of CRITERIA. These may disagree, and they depend on the budget and on the
grid. With `same`, all race at one rate instead, and `exchanged` counts how much of the order that changes.

Heights are losses above the surface's least minimum. Below FLOOR they are rounding: there two of them count as equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from optviz import doctor
from optviz.calibration import AT_ONE_TIME, FACTORS, FIRST_ORDER, HIGH, LOW, Curve, shapes, side_by_side
from optviz.descent import Trajectory, descend
from optviz.experiment import Experiment, Pick, Racer
from optviz.many import STATES, many, snapshots
from optviz.once import once
from optviz.optimizers import OPTIMIZERS, SECOND_ORDER
from optviz.pools import pool
from optviz.spec import Param, Source, number
from optviz.verdict import Card, Measured, judged

BUDGET = Param(
    "budget",
    "",
    30,
    2,
    60,
    domain="[2, 60]",
    title="tries each",
    help="How many learning rates each optimizer may try, from the smallest to the largest, each the same factor above "
    "the last. A try is a whole run.",
)
SEEDS = Param(
    "seeds",
    "",
    9,
    1,
    31,
    domain="[1, 31]",
    title="seeds of noise",
    help="With how many seeds of noise each rate is tried, and with how many others the race is run. Without noise all "
    "runs are the same, and one is enough.",
)
CRITERION = Param(
    "criterion",
    "",
    "final",
    options=("final", "lowest", "steps", "mean"),
    static=True,
    help="By which number an optimizer's best rate is chosen, and the table is sorted.",
)
SAME = Param(
    "same",
    "",
    False,
    title="same rate for all",
    help="All race at one learning rate, instead of each at its own best.",
)
RATE = Param(
    "lr",
    "η",
    0.01,
    1e-4,
    10.0,
    log=True,
    domain="[1e-12, 1e6]",
    title="the one rate",
    help="The learning rate at which all race when they share one.",
)
SETTINGS = {param.name: param for param in (BUDGET, LOW, HIGH, CRITERION, SEEDS, SAME, RATE)}

OWN_STEP = tuple(key for key, entry in OPTIMIZERS.items() if entry.family == SECOND_ORDER)  # race as they are
FLOOR = 1e-12  # of max(1, |f*|): heights below it are rounding
MANY = 3  # who share a place are named, of more the number
MOMENTS = 101  # of a race that are kept, at most
STEP_COSTS = {"newton": "1 gradient, 1 Hessian", "lbfgs": "1 gradient, a search of losses"}  # elsewhere 1 gradient


class Criterion(NamedTuple):
    """A number by which runs are ranked: of several seeds the median."""

    title: str
    help: str
    more_is_better: bool = False


CRITERIA = {
    "final": Criterion("Final loss", "the loss above the minimum after the last step"),
    "lowest": Criterion("Best loss", "the least loss above the minimum on the way, wherever the run went afterwards"),
    "steps": Criterion("Steps to tolerance", "steps after which the loss stays within the tolerance of the minimum"),
    "mean": Criterion(
        "Mean loss",
        f"the geometric mean of the loss above the minimum at up to {MOMENTS} evenly spaced steps, nothing counted as "
        f"less than {FLOOR:g}: the area under its curve on a log scale",
    ),
    "width": Criterion(
        "Good range",
        "decades (factors of 10) of learning rates around the best that are good without a gap: robustness",
        more_is_better=True,
    ),
}
CHOOSING = tuple(CRITERION.options)  # by these a rate can be chosen


@dataclass(frozen=True)
class FairRace:
    """The conditions of a race. `on` has the surface, start, steps, noise, penalty, seed and tolerance, and no racers.

    Each of the first-order `optimizers` tries `budget` learning rates from `low` to `high`, with `seeds` seeds if there
    is noise, and takes the best by the `criterion`. Newton and L-BFGS may race too: they bring their own step length
    and try nothing. With `same` all race at the rate `lr`. `chosen` are those in view; it changes no number.
    Raises ValueError, with what is allowed.
    """

    on: Experiment
    optimizers: tuple[str, ...] = FIRST_ORDER
    chosen: tuple[str, ...] = ()
    budget: int = int(BUDGET.default)
    low: float = float(LOW.default)
    high: float = float(HIGH.default)
    criterion: str = str(CRITERION.default)
    seeds: int = int(SEEDS.default)
    same: bool = bool(SAME.default)
    lr: float = float(RATE.default)

    def __post_init__(self):
        checked: dict[str, Any] = {name: param.check(getattr(self, name)) for name, param in SETTINGS.items()}
        checked["optimizers"] = tuple(dict.fromkeys(OPTIMIZERS.find(key).key for key in self.optimizers))
        checked["chosen"] = tuple(key for key in checked["optimizers"] if key in self.chosen)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if not self.low < self.high:
            raise ValueError(f"the smallest rate must be below the largest, not {self.low:g} and {self.high:g}")
        if len(self.optimizers) < 2:
            raise ValueError(f"a race needs at least two optimizers, of {', '.join(OPTIMIZERS)}")
        if self.on.racers or self.on.pins:
            raise ValueError("a fair race has optimizers instead of racers and pins")
        if not self.on.entry.minima_at(self.on.surface_values):
            raise ValueError(
                f"{self.on.entry.title} has no known minimum, and without one no loss is the best; take another"
            )

    @property
    def rates(self) -> np.ndarray:
        """The grid that everyone tries, (budget,): the ends exactly, each the same factor above the last."""
        return np.geomspace(self.low, self.high, self.budget)

    @property
    def demand(self) -> dict[str, float]:
        """How much it asks for, by the names of limits."""
        return self.on.demand | {"cells": self.budget * self.heats, "run_steps": self.tried}

    @property
    def heats(self) -> int:
        """With how many seeds each rate is tried: one is enough where there is no noise."""
        return self.seeds if self.on.noise else 1

    @property
    def tried(self) -> int:
        """Gradients that each first-order rule spends on its tries."""
        return self.budget * self.heats * self.on.steps

    @property
    def total(self) -> int:
        """Gradients that all tries together take."""
        return self.tried * sum(key in FIRST_ORDER for key in self.optimizers)

    @property
    def floor(self) -> float:
        """The height below which two count as equal."""
        return _rounding(self.on)

    def racer(self, key: str, rate: float | None) -> Racer:
        """An optimizer with its defaults and a rate, as the descent laboratory takes it."""
        return Racer(Pick(key, {} if rate is None else {"lr": float(rate)}))

    def value(self, name: str, height: float) -> float:
        """A number as ranks see it: heights below the floor are one and the same."""
        return height if name in ("steps", "width") or not height < self.floor else self.floor


class Course(NamedTuple):
    """How one optimizer's race went, over its seeds. The quartiles are those of the height at p of the steps."""

    steps: np.ndarray  # (p,)
    quartiles: np.ndarray  # (3, p): a quarter, half and three quarters of the seeds lie below
    numbers: dict[str, float]  # one for each of CHOOSING; ∞ if it diverged or never came there
    seed: int  # whose final loss is the median


class Entrant(NamedTuple):
    """An optimizer in the race: what its tries gave, None if it needs none; the rate at which it races, the shared
    one if all race with the same, None where every try diverged or none is needed; and the race, None if it could not
    take part."""

    name: str
    curve: Curve | None
    rate: float | None
    course: Course | None

    def number(self, name: str) -> float | None:
        """Its number by one of CRITERIA; None if it has none."""
        if name == "width":
            return self.curve.decades if self.curve and self.curve.best is not None else None
        return self.course.numbers[name] if self.course else None


# Tries and races -----------------------------------------------------------------------------------------------------

_pool = pool("fair race", AT_ONE_TIME)  # of all visitors


def compete(race: FairRace) -> list[Entrant]:
    """All tries and all races."""
    return [entrant for (entrant,) in competing(race)]


def competing(*races: FairRace) -> Iterator[tuple[Entrant, ...]]:
    """One optimizer after another, in each of `races`, which have the same ones. A program is compiled when its
    optimizer first meets a surface, which takes up to a second."""
    return side_by_side(_pool, (partial(_in_each, races, key) for key in races[0].optimizers))


def _in_each(races: Sequence[FairRace], key: str) -> tuple[Entrant, ...]:
    return tuple(_entrant(race, key) for race in races)


def _entrant(race: FairRace, key: str) -> Entrant:
    seeds = _seeds(race.on, race.heats, after=race.heats)  # that no try has seen
    on = replace(race.on, seed=0)  # what follows depends on `seeds` alone
    if key in OWN_STEP:
        return Entrant(key, None, None, _course(on, race.racer(key, None), seeds))
    tries = _seeds(race.on, race.heats)
    curve = _tries(on, key, race.budget, race.low, race.high, race.criterion, tries)
    rate = race.lr if race.same else None if curve.best is None else float(curve.rates[curve.best])
    course = None if rate is None else _course(on, race.racer(key, rate), seeds)
    return Entrant(key, curve, rate, course)


def _seeds(on: Experiment, count: int, after: int = 0) -> tuple[int, ...]:
    """`count` seeds from the experiment's own on, some later; the one that there is without noise."""
    return tuple((on.seed + after + i) % 2**32 for i in range(count)) if on.noise else (on.seed,)


def _least(on: Experiment) -> float:
    return min(minimum.value for minimum in on.entry.minima_at(on.surface_values))


@once(512)  # of about 5 kB each
def _tries(
    on: Experiment, key: str, budget: int, low: float, high: float, criterion: str, seeds: tuple[int, ...]
) -> Curve:
    """The curve of one rule's tries: its `height` is the criterion's number, but with "steps" the final one, since
    runs that do not arrive have no number of steps. `more` has the medians at each rate ("mean" only if it is the
    criterion), the quartiles of the final height, and the `seed` whose final height is the median."""
    rates, least = np.geomspace(low, high, budget), _least(on)
    shape, racer = (budget, len(seeds)), Racer(Pick(key, {"lr": 1.0}))
    vary = {"lr": np.repeat(rates, len(seeds)), "seed": np.tile(np.array(seeds), budget)}
    with np.errstate(all="ignore"):
        ends = many(on, racer, vary, precision="double")
        found = {"final": ends.loss - least, "lowest": ends.lowest - least, "steps": ends.settled}
        if criterion == "mean":
            _, _, loss = snapshots(on, racer, vary, MOMENTS, precision="double")
            found["mean"] = _mean(loss - least, _rounding(on))
    found = {name: np.where(np.isfinite(ends.lost), math.inf, one).reshape(shape) for name, one in found.items()}
    numbers = {name: _quantile(values, 0.5) for name, values in found.items()}
    score = numbers["final" if criterion == "steps" else criterion]
    middle = _middle(found["final"])
    oscillating = (ends.state == STATES.index("oscillating")).reshape(shape)
    words, best = shapes(
        rates,
        score,
        ~np.isfinite(score),
        np.take_along_axis(oscillating, middle[:, None], axis=1)[:, 0],
        # Where several leave nothing but rounding, the quickest of them is the best.
        np.where((criterion == "steps") | (score <= _rounding(on)), numbers["steps"], math.inf),
        on.tolerance,
        FACTORS["surface"],
    )
    more = numbers | {"from": _quantile(found["final"], 0.25), "to": _quantile(found["final"], 0.75)}
    return Curve(key, rates, score, words, best, more | {"seed": np.array(seeds)[middle]})


@once(1024)  # of about 4 kB each
def _course(on: Experiment, racer: Racer, seeds: tuple[int, ...]) -> Course:
    """The race of one optimizer: a whole run for each seed, as the descent laboratory has it."""
    every = max(1, math.ceil(on.steps / (MOMENTS - 1)))
    steps = np.minimum(np.arange(math.ceil(on.steps / every) + 1) * every, on.steps)
    problem, rule, least = on.problem, racer.rule, _least(on)
    with np.errstate(all="ignore"):
        runs = [descend(replace(problem, seed=seed), rule, on.steps) for seed in seeds]
        losses, thetas = (np.stack([getattr(run, part) for run in runs]) for part in ("loss", "theta"))
        height = losses - least
        lost = doctor.lost(thetas, losses, on.entry.window).any(axis=1)
        numbers = {
            "final": height[:, -1],
            "lowest": height.min(axis=1),
            "steps": _settled(height, on.tolerance),
            "mean": _mean(height[:, steps], _rounding(on)),
        }
    numbers = {name: np.where(lost, math.inf, numbers[name]) for name in CHOOSING}
    shown = np.where(np.isfinite(height[:, steps]), height[:, steps], math.inf)
    quartiles = np.stack([_quantile(shown.T, share) for share in (0.25, 0.5, 0.75)])
    medians = {name: float(_quantile(values, 0.5)) for name, values in numbers.items()}
    return Course(steps, quartiles, medians, seeds[int(_middle(numbers["final"]))])


def _settled(height: np.ndarray, tolerance: float) -> np.ndarray:
    """Steps after which heights (runs, steps + 1) stay within the tolerance, (runs,); infinite if they do not."""
    outside, count = ~(height <= tolerance), height.shape[1]
    last = np.where(outside.any(axis=1), count - 1 - np.argmax(outside[:, ::-1], axis=1), -1)
    return np.where(last == count - 1, math.inf, last + 1.0)


def _rounding(on: Experiment) -> float:
    """The height below which two count as equal."""
    return FLOOR * max(1.0, abs(_least(on)))


def _mean(heights: np.ndarray, floor: float) -> np.ndarray:
    """The geometric mean over the last axis, of heights that are no less than the floor; ∞ where one is not finite."""
    return 10 ** np.log10(np.maximum(np.where(np.isfinite(heights), heights, math.inf), floor)).mean(axis=-1)


def _middle(finals: np.ndarray) -> np.ndarray:
    """Which seed's final height is the median, over the last axis."""
    return np.argsort(finals, axis=-1, kind="stable")[..., _place(0.5, finals.shape[-1])]


def _place(share: float, count: int) -> int:
    return round(share * (count - 1))


def _quantile(values: np.ndarray, share: float) -> np.ndarray:
    """A quantile over the last axis, by order: so that a few infinite seeds leave the median of the others finite, and
    the median is a run that there was."""
    return np.sort(values, axis=-1)[..., _place(share, values.shape[-1])]


# Ranks ---------------------------------------------------------------------------------------------------------------


def places(race: FairRace, entrants: Sequence[Entrant], name: str) -> dict[str, int]:
    """The place of each optimizer by one of CRITERIA: 1 is the first, equals share a place, and the next one after two
    firsts is third. Who has no such number has no place."""
    sign = -1 if CRITERIA[name].more_is_better else 1
    numbers = {entrant.name: entrant.number(name) for entrant in entrants}
    scores = {key: sign * race.value(name, one) for key, one in numbers.items() if one is not None}
    return {key: 1 + sum(other < score for other in scores.values()) for key, score in scores.items()}


def firsts(race: FairRace, entrants: Sequence[Entrant]) -> dict[str, list[str]]:
    """Who is first by each of CRITERIA. Nobody is, where nobody has a finite number."""
    found = {}
    for name in CRITERIA:
        ranks = places(race, entrants, name)
        numbers = {entrant.name: entrant.number(name) for entrant in entrants}
        found[name] = [key for key, place in ranks.items() if place == 1 and math.isfinite(numbers[key] or 0.0)]
    return found


def exchanged(first: Mapping[str, int], second: Mapping[str, int]) -> tuple[int, int]:
    """How many pairs change their order between two rankings, and of how many (Kendall's distance). A pair that shares
    a place in either ranking has not changed."""
    keys = [key for key in first if key in second]
    pairs = [(a, b) for i, a in enumerate(keys) for b in keys[:i]]
    changed = sum((first[a] - first[b]) * (second[a] - second[b]) < 0 for a, b in pairs)
    return changed, len(pairs)


def disagreement(race: FairRace, entrants: Sequence[Entrant]) -> str:
    """Who is first by which criteria, as a sentence."""
    by_winners: dict[tuple[str, ...], list[str]] = {}
    nobody = []
    for name, keys in firsts(race, entrants).items():
        if keys:
            by_winners.setdefault(tuple(keys), []).append(CRITERIA[name].title.lower())
        else:
            nobody.append(CRITERIA[name].title.lower())
    parts = [f"{_who(keys)} by {_listed(words)}" for keys, words in by_winners.items()]
    if len(parts) == 1:
        said = f"The criteria agree: {parts[0]}."
    else:
        said = f"The criteria disagree: {'; '.join(parts)}." if parts else ""
    missing = f"Nobody can be ranked by {_listed(nobody)}." if nobody else ""
    return f"{said} {missing}".strip()


def _who(keys: Sequence[str]) -> str:
    if len(keys) > MANY:
        return f"{len(keys)} share the first place"
    return f"{_listed([OPTIMIZERS[key].title for key in keys])} {'is' if len(keys) == 1 else 'are'} first"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def compared(own: Mapping[str, int], same: Mapping[str, int], rate: float, criterion: str) -> str:
    """How much of the order at everyone's own best rate a single rate for all changes, as a sentence. Both rankings are
    by the criterion."""
    changed, pairs = exchanged(own, same)
    moved = max((key for key in own if key in same), key=lambda key: abs(own[key] - same[key]), default=None)
    said = (
        f"With η = {number(rate)} for all instead of each at its own best, {changed} of {pairs} pairs change order by "
        f"{CRITERIA[criterion].title.lower()}"
    )
    if moved is None or own[moved] == same[moved]:
        return f"{said}."
    return f"{said}; {OPTIMIZERS[moved].title} goes from place {own[moved]} to {same[moved]}."


# The claims ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FairClaim(Card):
    """A claim of the course seen in a fair race: `race` shows it, and `judge` measures it on a race and its result.
    The race must have all of `needs`, each at its own best rate."""

    race: FairRace
    needs: tuple[str, ...]
    judge: Callable[[FairRace, Mapping[str, Entrant]], Measured | None]

    def measure(self, race: FairRace, entrants: Sequence[Entrant]) -> Measured | None:
        """Measure it; None where the race lacks what the claim is about. Takes at most two more races of two."""
        by_name = {entrant.name: entrant for entrant in entrants}
        there = all(name in by_name and by_name[name].course is not None for name in self.needs)
        if race.same or race.on.l2 or race.on.surface.key != "valley" or not there:
            return None
        with np.errstate(all="ignore"):
            return self.judge(race, by_name)


def _path(race: FairRace, entrant: Entrant) -> Trajectory:
    """The whole run of an entrant's race, of the seed in the middle."""
    assert entrant.course is not None
    on = replace(race.on, seed=entrant.course.seed)
    return descend(on.problem, race.racer(entrant.name, entrant.rate).rule, on.steps)


def _other(race: FairRace, *names: str, **changes: Any) -> tuple[FairRace, dict[str, Entrant]]:
    """The race of a few under other conditions, with tries of their own, and its result."""
    other = replace(race, on=replace(race.on, **changes), optimizers=names)
    return other, {entrant.name: entrant for entrant in compete(other)}


def _adagrad_calms(race: FairRace, by_name: Mapping[str, Entrant]) -> Measured | None:
    noisy, sgd = by_name["adagrad"], by_name["sgd"]
    if not race.on.noise:
        return None
    calm, quietly = _other(race, "adagrad", "sgd", noise=0.0)
    quiet = quietly["adagrad"]
    if quiet.course is None or noisy.course is None or sgd.course is None:
        return None

    def kept(on: FairRace, entrant: Entrant) -> float:
        """What is left at the end of the effective rates halfway, η/√s: the least of the two coordinates."""
        s = _path(on, entrant).slots["s"]
        return float(np.min(np.sqrt(s[len(s) // 2] / s[-1])))

    numbers: dict[str, Any] = {
        "sigma": race.on.noise,
        "rate": noisy.rate or 0.0,
        "rate_quiet": quiet.rate or 0.0,
        "kept": kept(race, noisy),
        "kept_quiet": kept(calm, quiet),
        "adagrad": noisy.course.numbers["final"],
        "sgd": sgd.course.numbers["final"],
        "quiet": quiet.course.numbers["steps"],
        "tolerance": race.on.tolerance,
    }
    return judged(
        numbers,
        "With noise σ = {sigma} AdaGrad's own best is η = {rate}; in the second half of the race its effective rate "
        "fell to {kept:%} of what it was, and it ended at {adagrad} above the minimum, SGD at its own best at {sgd}. "
        "Without noise its best is η = {rate_quiet}; its effective rate kept {kept_quiet:%}, and it stayed within "
        "{tolerance} after {quiet:steps}.",
        (numbers["kept"] < 0.8, "with noise its rate does not fall like 1/√t, which would leave 71 %"),
        (numbers["kept_quiet"] > 0.95, "without noise its rate still falls in the second half"),
        (math.isfinite(quiet.course.numbers["steps"]), "without noise it does not arrive"),
        (numbers["adagrad"] < numbers["sgd"], "the falling rate leaves it higher up than SGD at its own best"),
        longest=race.on.steps,
    )


def _rmsprop_turned(race: FairRace, by_name: Mapping[str, Entrant]) -> Measured | None:
    if race.on.noise:
        return None
    here = float(race.on.surface_values["rotation"])
    there = (here + 45) % 360
    turn = _turned(math.radians(there - here))
    start = tuple(map(float, turn @ race.on.start))
    other, turned = _other(race, "rmsprop", "sgd", surface=race.on.surface.but(rotation=there), start=start)
    if any(entrant.course is None for entrant in turned.values()):
        return None

    def progress(on: FairRace, entrant: Entrant, angle: float) -> float:
        """How far it came along the floor for each unit across, when one of the two was first halved."""
        path = _path(on, entrant).theta @ _turned(math.radians(angle))
        halved = (np.abs(path) <= np.abs(path[0]) / 2).any(axis=1)
        along, across = np.abs(path[int(np.argmax(halved)) if halved.any() else -1] - path[0])
        return float(np.divide(along, across))

    numbers: dict[str, Any] = {
        "rotation": here,
        "turned": there,
        "even": progress(race, by_name["rmsprop"], here),
        "even_turned": progress(other, turned["rmsprop"], there),
        "rate": by_name["rmsprop"].rate,
        "rate_turned": turned["rmsprop"].rate,
        "tolerance": race.on.tolerance,
        "rmsprop": by_name["rmsprop"].number("steps"),
        "rmsprop_turned": turned["rmsprop"].number("steps"),
        "sgd": by_name["sgd"].number("steps"),
        "sgd_turned": turned["sgd"].number("steps"),
    }
    return judged(
        numbers,
        "With the valley at φ = {rotation}° RMSProp at its own best, η = {rate}, came {even} as far along the floor as "
        "across, and stayed within {tolerance} of the minimum after {rmsprop:steps}. With the same valley and start "
        "turned to {turned}°, and a new best rate of {rate_turned}, that is {even_turned} and {rmsprop_turned:steps}. "
        "SGD does not notice the turn: {sgd:steps} and {sgd_turned:steps}.",
        (0.8 < numbers["even"] < 1.25, "its progress is not equal along the axes"),
        (numbers["even_turned"] < 0.5 * numbers["even"], "turning the valley does not spoil its equal progress"),
        (numbers["rmsprop"] < numbers["rmsprop_turned"], "its own best rate makes up for the turn"),
        longest=race.on.steps,
    )


def _turned(angle: float) -> np.ndarray:
    """The axes along and across a valley turned by `angle`, as columns."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _adam_overshoots_less(race: FairRace, by_name: Mapping[str, Entrant]) -> Measured | None:
    if race.on.noise or not all(race.on.start):
        return None
    frame = _turned(math.radians(float(race.on.surface_values["rotation"])))

    def overshoot(on: FairRace, entrant: Entrant) -> float:
        """How far it got beyond the minimum, along or across, as a share of where it began there; 0 if it did not."""
        path = _path(on, entrant).theta @ frame
        return float(np.max(-path / path[0], initial=0.0))

    level, bowl = _other(race, "adam", "momentum", surface=race.on.surface.but(kappa=1.0))
    if any(entrant.course is None for entrant in bowl.values()):
        return None
    numbers: dict[str, Any] = {
        "tries": race.budget,
        "kappa": race.on.surface_values["kappa"],
        "adam": overshoot(race, by_name["adam"]),
        "ball": overshoot(race, by_name["momentum"]),
        "adam_rate": by_name["adam"].rate,
        "ball_rate": by_name["momentum"].rate,
        "adam_steps": by_name["adam"].number("steps"),
        "ball_steps": by_name["momentum"].number("steps"),
        "sgd_steps": by_name["sgd"].number("steps"),
        "adam_round": overshoot(level, bowl["adam"]),
        "ball_round": overshoot(level, bowl["momentum"]),
    }
    return judged(
        numbers,
        "Each at the best of {tries} rates and with κ = {kappa}, Adam (η = {adam_rate}) overshot by {adam:%} of where "
        "it began and needed {adam_steps:steps}, momentum (η = {ball_rate}) by {ball:%} and {ball_steps:steps}; plain "
        "SGD at its own best needed {sgd_steps:steps}. On a round bowl the two overshoot by {adam_round:%} and "
        "{ball_round:%}.",
        (numbers["adam"] < numbers["ball"], "at their own best Adam overshoots no less than momentum"),
        longest=race.on.steps,
    )


NOISY_VALLEY = FairRace(
    Experiment(Pick("valley", {"kappa": 50.0}), start=(-1.8, 0.6), steps=300, noise=1.0, tolerance=0.1),
    chosen=("sgd", "momentum", "adagrad", "adam"),
)

CLAIMS = {
    claim.key: claim
    for claim in (
        FairClaim(
            key="A9",
            title="AdaGrad's rate only falls",
            says="AdaGrad's effective rate never increases. With gradient noise it vanishes, like 1/√t; without noise "
            "it settles.",
            condition="That a vanishing rate stops a run is half of the story: at its own best rate, AdaGrad wins by "
            "it where there is noise, because what falls with the rate is the jitter around the minimum. A rule that "
            "is given one rate for all is judged before it has fallen far enough, or after.",
            watch="AdaGrad's band goes on falling while those of the others level off. Set the noise to 0: its best "
            "rate moves up several times, and it is among the first.",
            sources=(
                Source("Duchi, Hazan & Singer", 2011, "Adaptive Subgradient Methods for Online Learning",
                       "https://jmlr.org/papers/v12/duchi11a.html"),
            ),
            race=FairRace(
                Experiment(Pick("valley", {"kappa": 10.0}), start=(-1.8, 0.5), steps=2000, noise=2.0, tolerance=1e-3),
                optimizers=("sgd", "momentum", "adagrad", "rmsprop", "adam"),
                chosen=("sgd", "adagrad"),
                criterion="mean",
                seeds=31,
            ),
            needs=("adagrad", "sgd"),
            judge=_adagrad_calms,
        ),
        FairClaim(
            key="A10",
            title="RMSProp's equal progress",
            says="RMSProp makes equal progress along all axes, whatever their curvature. Turn the valley away from the "
            "axes and the benefit is gone.",
            condition="Also with a rate of its own for the turned valley: tuning does not bring it back. It holds for "
            "every rule that divides coordinate by coordinate. How few steps RMSProp needs in the aligned valley "
            "depends on luck with the grid, since it takes steps of fixed length.",
            watch="The rotation slider. SGD's curve stays as it is, those of RMSProp and AdaGrad move up.",
            sources=(
                Source("Tieleman & Hinton", 2012, "Lecture 6.5, Neural Networks for Machine Learning",
                       "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf"),
            ),
            race=FairRace(
                Experiment(Pick("valley", {"kappa": 100.0}), start=(-1.5, 1.5), steps=300, tolerance=1e-3),
                optimizers=("sgd", "momentum", "adagrad", "rmsprop", "adam"),
                chosen=("sgd", "rmsprop"),
                criterion="steps",
            ),
            needs=("rmsprop", "sgd"),
            judge=_rmsprop_turned,
        ),
        FairClaim(
            key="A11",
            title="Adam overshoots less than momentum",
            says="Adam is momentum divided by RMSProp's root, and overshoots less than momentum does.",
            condition="In a narrow valley, each at its own best rate. That overshooting less makes it quicker is not "
            "said: the two need about as many steps, and where the valley is not very narrow plain SGD needs fewer "
            "than either. How much each overshoots depends on the criterion by which its rate is chosen.",
            watch="Both curves ripple; momentum's deeper, at its own best rate. Then raise κ: SGD falls behind.",
            sources=(
                Source("Kingma & Ba", 2015, "Adam: A Method for Stochastic Optimization",
                       "https://arxiv.org/abs/1412.6980"),
            ),
            race=FairRace(
                Experiment(Pick("valley", {"kappa": 25.0}), start=(-1.8, 1.0), steps=300),
                optimizers=("sgd", "momentum", "nesterov", "rmsprop", "adam"),
                chosen=("momentum", "adam"),
                criterion="steps",
            ),
            needs=("adam", "momentum", "sgd"),
            judge=_adam_overshoots_less,
        ),
    )
}  # fmt: skip
