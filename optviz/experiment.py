"""An experiment is a value: everything a screen shows follows from it.

It is hashable, so it is a cache key, and it is checked when it is made, so whoever holds one holds a valid one.
Defaults are left out of it, so that two experiments that mean the same are equal. `run` computes it; `trace` and
`schedule` are the same for a notebook.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from optviz.curves import CURVES, is_curve
from optviz.descent import Rule, Trajectory, descend, rule, sweep
from optviz.doctor import Outcome, outcome
from optviz.limits import CAPACITY, LIMITS
from optviz.once import once
from optviz.optimizers import OPTIMIZERS, Optimizer
from optviz.problems import Problem, from_surface
from optviz.schedules import SCHEDULES
from optviz.spec import Entry, Param, Value
from optviz.surfaces import SURFACES, Surface, own_key
from optviz.tuning import tuned_lr

RACERS_AT_MOST = CAPACITY.racers
PINS_AT_MOST = 8
RUNS_KEPT = 48_000_000  # bytes
FAMILY_AT_MOST, POINTS_AT_MOST = 64, 200  # with four series in float32 a quarter of a megabyte

STEPS = Param(
    "steps",
    "T",
    500,
    10,
    LIMITS.steps,
    log=True,
    domain=f"[1, {CAPACITY.steps}]",
    help="How many steps every racer takes.",
)
ANY_STEPS = STEPS.but(domain="[1, inf)")
NOISE = Param(
    "noise",
    "σ",
    0.0,
    1e-3,
    100.0,
    log=True,
    domain="[0, inf)",
    title="gradient noise",
    help="Standard deviation of the random error in each coordinate of every gradient, as mini-batches cause it.",
)
L2 = Param(
    "l2",
    "λ₂",
    0.0,
    1e-4,
    10.0,
    log=True,
    domain="[0, inf)",
    title="L2 penalty",
    help="Adds the penalty ½λ₂‖θ‖² to the loss: its gradient goes through the rule like the rest.",
)
SEED = Param("seed", "", 0, 0, 99, domain="[0, 4294967295]", help="Another seed gives other noise.")
TOLERANCE = Param(
    "tolerance",
    "",
    1e-6,
    1e-12,
    1.0,
    log=True,
    domain="(0, inf)",
    help="A run has arrived when its loss is within this of a minimum.",
)
SETTINGS = {param.name: param for param in (STEPS, NOISE, L2, SEED, TOLERANCE)}
# What of a race is shown, and how. None of it changes a run.
VIEW = Param(
    "view",
    "",
    "2-D",
    options=("2-D", "3-D", "both"),
    static=True,
    help="The surface as a map from above, as a landscape in space, or both. In space, drag to turn it.",
)
FIELD = Param(
    "field",
    "",
    "none",
    options=("none", "arrows", "streamlines"),
    static=True,
    title="downhill directions",
    help="Arrows along −∇f, all of one length, or the lines they form: where infinitely small steps would go.",
)
POINTS = Param(
    "points",
    "",
    False,
    title="stationary points",
    help="Searches the window for points of zero gradient, by Newton's method from 576 starts, and tells minima ★, "
    "maxima ▲ and saddles ✕ apart by the curvatures there.",
)
ANATOMY = Param(
    "anatomy",
    "",
    False,
    title="anatomy of a step",
    help="Takes one step of the chosen racer apart: arrows that add up to it, and its formula with the numbers in it.",
)
LOOKS = {param.name: param for param in (VIEW, FIELD, POINTS, ANATOMY)}
CURVES_AT_MOST = 8
COORDINATE = Param("start", "θ₀", 0.0, domain="[-1e6, 1e6]", help="Where every racer starts.")


@dataclass(frozen=True)
class Pick:
    """One entry of a catalogue with some of its parameters set."""

    key: str
    values: Any = ()  # given as a mapping, kept as sorted pairs so that it hashes

    def __post_init__(self):
        object.__setattr__(self, "values", tuple(sorted(dict(self.values).items())))

    def but(self, **values: Value) -> Pick:
        """This pick with some values changed."""
        return Pick(self.key, dict(self.values) | values)

    def canonical(self, entry: Entry) -> Pick:
        """The same pick with its values checked and those at their defaults left out."""
        complete = entry.complete(dict(self.values))
        return Pick(entry.key, {name: v for name, v in complete.items() if v != entry.defaults[name]})


@dataclass(frozen=True)
class Racer:
    """An optimizer with its own hyperparameters and schedules."""

    optimizer: Pick
    schedules: Any = ()  # given as a mapping from hyperparameter to Pick, kept as sorted pairs

    def __post_init__(self):
        entry = OPTIMIZERS.find(self.optimizer.key)
        object.__setattr__(self, "optimizer", self.optimizer.canonical(entry))
        schedules = {name: pick.canonical(SCHEDULES.find(pick.key)) for name, pick in dict(self.schedules).items()}
        moving = {name: pick for name, pick in schedules.items() if pick != Pick("constant")}
        object.__setattr__(self, "schedules", tuple(sorted(moving.items())))
        self.rule  # noqa: B018  (raises on a hyperparameter that cannot be scheduled)

    @property
    def entry(self) -> Optimizer:
        return OPTIMIZERS[self.optimizer.key]

    @cached_property
    def values(self) -> dict[str, Value]:
        """All hyperparameters, defaults included."""
        return self.entry.complete(dict(self.optimizer.values))

    @classmethod
    def tuned(cls, optimizer: str, surface: str, **values: Value) -> Racer:
        """A racer with the stored learning rate for a surface."""
        return cls(Pick(optimizer, {"lr": tuned_lr(surface, optimizer), **values}))

    def tuned_to(self, surface: str) -> bool:
        """Whether it has the stored learning rate for a surface."""
        return self.values["lr"] == tuned_lr(surface, self.optimizer.key)

    def but(self, **values: Value) -> Racer:
        """This racer with some hyperparameters changed."""
        return replace(self, optimizer=self.optimizer.but(**values))

    @cached_property
    def rule(self) -> Rule:
        bound = {name: (SCHEDULES[pick.key], dict(pick.values)) for name, pick in self.schedules}
        return rule(self.entry, dict(self.optimizer.values), bound)


@dataclass(frozen=True)
class Experiment:
    """A race on a surface. `pins` are experiments of one racer each that stay as ghosts while the sliders move."""

    surface: Pick
    racers: tuple[Racer, ...] = ()
    start: tuple[float, float] = None  # type: ignore[assignment]  # left out: the surface's own first start
    steps: int = int(STEPS.default)
    noise: float = float(NOISE.default)
    l2: float = float(L2.default)
    seed: int = int(SEED.default)
    tolerance: float = float(TOLERANCE.default)
    view: str = str(VIEW.default)
    field: str = str(FIELD.default)
    points: bool = bool(POINTS.default)
    anatomy: bool = bool(ANATOMY.default)
    curves: tuple[str, ...] = ("loss", "gradient", "lr")  # names of CURVES
    pins: tuple[Experiment, ...] = ()

    def __post_init__(self):
        entry = SURFACES.find(self.surface.key)
        start = entry.starts[0] if self.start is None else self.start
        if len(start) != 2:
            raise ValueError(f"start must be two numbers, not {len(start)}")
        checked = {
            "surface": self.surface.canonical(entry),
            "racers": tuple(self.racers),
            "pins": tuple(self.pins),
            "start": tuple(float(COORDINATE.check(part)) for part in start),
            **{name: param.check(getattr(self, name)) for name, param in (SETTINGS | LOOKS).items()},
            "curves": tuple(dict.fromkeys(self.curves)),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        for name, most in (("racers", RACERS_AT_MOST), ("pins", PINS_AT_MOST)):
            if len(checked[name]) > most:
                raise ValueError(f"at most {most} {name}, not {len(checked[name])}")
        unknown = [name for name in checked["curves"] if not is_curve(name)]
        if unknown:
            raise ValueError(f"there is no curve called {str(unknown[0])[:32]!r}; there are {', '.join(CURVES)}")
        if len(checked["curves"]) > CURVES_AT_MOST:
            raise ValueError(f"at most {CURVES_AT_MOST} curves, not {len(checked['curves'])}")
        if any(len(pin.racers) != 1 or pin.pins for pin in self.pins):
            raise ValueError("a pin must be an experiment of one racer, without pins")

    @property
    def entry(self) -> Surface:
        return SURFACES[self.surface.key]

    @cached_property
    def surface_values(self) -> dict[str, Value]:
        """All of the surface's parameters, defaults included."""
        return self.entry.complete(dict(self.surface.values))

    @property
    def conditions(self) -> tuple:
        """Everything that is the same for all racers."""
        return (self.surface, self.start, self.steps, self.noise, self.l2, self.seed)

    @property
    def demand(self) -> dict[str, float]:
        """How much it asks for, by the names of limits."""
        return {"steps": max(self.steps, *(pin.steps for pin in self.pins), 0), "racers": len(self.racers)}

    @property
    def problem(self) -> Problem:
        """What every racer descends on."""
        return _problem(*self.conditions)

    def differing(self, other: Experiment) -> str:
        """What another experiment on the same surface has different, as in ", κ 10, noise 0.1"; "" if nothing."""
        own = self.entry.param
        values = [(own[name], self.surface_values[name], value) for name, value in other.surface_values.items()]
        values += [(param, getattr(self, param.name), getattr(other, param.name)) for param in (STEPS, NOISE, L2, SEED)]
        words = [f"{p.symbol or p.title or p.name} {p.write(there)}" for p, here, there in values if here != there]
        words += ["another start"] if self.start != other.start else []
        return "".join(f", {word}" for word in words)

    def on(self, surface: Pick, given: Iterable[Racer] = ()) -> Experiment:
        """The same race on another surface, from that surface's own start. Racers that nobody has set (those of
        `given`, and those with the rate that suits the old surface) get the rate that suits the new one."""
        given = tuple(given)
        racers = [
            racer.but(lr=tuned_lr(surface.key, racer.optimizer.key))
            if racer in given or racer.tuned_to(self.surface.key)
            else racer
            for racer in self.racers
        ]
        return replace(self, surface=surface, racers=tuple(racers), start=None)

    @property
    def rates(self) -> str:
        """How the racers' learning rates were chosen: "tuned" for this surface, the "same" for all, or their "own"."""
        if all(racer.tuned_to(self.surface.key) for racer in self.racers):
            return "tuned"
        return "same" if len({racer.values["lr"] for racer in self.racers}) == 1 else "own"

    def with_rates(self, how: str, like: int = 0) -> Experiment:
        """This race with every rate "tuned" for the surface, or the "same" as that of racer `like`."""
        rate = {racer: tuned_lr(self.surface.key, racer.optimizer.key) for racer in self.racers}
        if how == "same":
            rate = dict.fromkeys(self.racers, self.racers[like].values["lr"])
        return replace(self, racers=tuple(racer.but(lr=rate[racer]) for racer in self.racers))

    def with_racer(self, index: int, racer: Racer | None) -> Experiment:
        """This experiment with one racer exchanged, or without it."""
        before, after = self.racers[:index], self.racers[index + 1 :]
        return replace(self, racers=(*before, *([racer] if racer else []), *after))

    def pinned(self, index: int) -> Experiment:
        """This experiment with racer `index`, as it is now, added to the ghosts (once)."""
        looks = {name: param.default for name, param in LOOKS.items()} | {"curves": Experiment.curves}
        ghost = replace(self, racers=(self.racers[index],), pins=(), **looks)
        return self if ghost in self.pins else replace(self, pins=(*self.pins, ghost)[-PINS_AT_MOST:])


class Run(NamedTuple):
    """One racer's run, ready to be looked at."""

    label: str
    racer: Racer
    trajectory: Trajectory
    outcome: Outcome
    conditions: tuple  # of the experiment that it belongs to: a pin has its own
    ghost: bool = False

    @property
    def problem(self) -> Problem:
        """What it descended on."""
        return _problem(*self.conditions)


def run(experiment: Experiment) -> list[Run]:
    """Let every racer run, then the pinned ones that belong to this surface, as they ran when they were pinned."""
    ghosts = [pin for pin in experiment.pins if pin.surface.key == experiment.surface.key]
    names = labels([*experiment.racers, *(pin.racers[0] for pin in ghosts)], unique=False)
    live = zip(numbered(names[: len(experiment.racers)]), experiment.racers, strict=True)
    pinned = [
        f"{name} (pinned{experiment.differing(pin)})"
        for name, pin in zip(names[len(experiment.racers) :], ghosts, strict=True)
    ]
    return [_one(experiment, racer, name) for name, racer in live] + [
        _one(pin, pin.racers[0], name, ghost=True) for name, pin in zip(numbered(pinned), ghosts, strict=True)
    ]


def _one(experiment: Experiment, racer: Racer, label: str, ghost: bool = False) -> Run:
    conditions = experiment.conditions
    trajectory, found = _descend(racer, *conditions), _outcome(racer, experiment.tolerance, *conditions)
    return Run(label, racer, trajectory, found, conditions, ghost)


@once(1024)
def _outcome(racer: Racer, tolerance: float, *conditions: Any) -> Outcome:
    """Kept like the run itself."""
    surface: Pick = conditions[0]
    entry = SURFACES[surface.key]
    minima = entry.minima_at(entry.complete(dict(surface.values)))
    return outcome(_descend(racer, *conditions), minima, entry.window, tolerance)


def _size(run: Trajectory) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(run._replace(state=None)))


@once(RUNS_KEPT, size=_size)
def _descend(racer: Racer, *conditions: Any) -> Trajectory:
    """Kept, so that moving one racer's slider leaves the others' runs as they are, of a whole class of visitors too: a
    run of 500 steps takes 60 kB, and the longest with all slots 4 MB."""
    return descend(_problem(*conditions), racer.rule, conditions[2])


@lru_cache(maxsize=64)  # all racers of a race have the same
def _problem(surface: Pick, start: tuple[float, float], steps: int, noise: float, l2: float, seed: int) -> Problem:
    return from_surface(
        SURFACES[surface.key], start, surface_values=dict(surface.values), noise=noise, l2=l2, seed=seed
    )


class Family(NamedTuple):
    """One racer's run for many values of one hyperparameter, every few steps: what a drag shows before it ends."""

    values: tuple[float, ...]  # k of them
    every: int  # point i is step i · every; the last one is the last step
    theta: np.ndarray  # (k, points, 2)
    loss: np.ndarray  # (k, points)
    gradient: np.ndarray  # (k, points), the norm


def drag_values(racer: Racer, name: str) -> tuple[float, ...]:
    """The values that a drag runs through: at most 64 of the slider's stops, the present value among them."""
    stops = [float(stop) for stop in racer.entry.param[name].stops()]
    return tuple(sorted({*stops[:: math.ceil(len(stops) / (FAMILY_AT_MOST - 1))], float(racer.values[name])}))


@once(8)
def family(racer: Racer, name: str, conditions: tuple) -> Family:
    """The family of runs over one hyperparameter, bounded in members and in points so that it can be sent."""
    values, steps = drag_values(racer, name), conditions[2]
    every = math.ceil(steps / POINTS_AT_MOST)
    theta, loss, grad = sweep(_problem(*conditions), racer.rule, steps, name, values, every=every)
    with np.errstate(over="ignore", invalid="ignore"):
        return Family(values, every, theta, loss, np.linalg.norm(grad, axis=2))


def labels(racers: Iterable[Racer], unique: bool = True) -> list[str]:
    """What each racer is called: its title, and where several share a title, what tells them apart; if nothing does,
    a number, unless they need not be `unique`."""
    racers = list(racers)
    names = []
    for racer in racers:
        rivals = [other for other in racers if other.optimizer.key == racer.optimizer.key]
        differing = [
            f"{param.symbol or param.title or param.name} {param.write(racer.values[param.name])}"
            for param in racer.entry.params
            if len({other.values[param.name] for other in rivals}) > 1
        ]
        if len({other.schedules for other in rivals}) > 1:
            differing += [SCHEDULES[pick.key].title.lower() for _, pick in racer.schedules] or ["no schedule"]
        names.append(racer.entry.title + (f" ({', '.join(differing)})" if differing else ""))
    return numbered(names) if unique else names


def numbered(names: list[str]) -> list[str]:
    """The names, with a number behind those that occur more than once."""
    return [f"{name} #{names[: i + 1].count(name)}" if names.count(name) > 1 else name for i, name in enumerate(names)]


# From Python ---------------------------------------------------------------------------------------------------------


def surface(formula: str, reach: float = 3.0) -> Surface:
    """Your own surface, for `trace`: `surface("x^2 + 10y^2")`, shown from −reach to reach.

    Raises ValueError, with a caret below the place, if the text is not a formula of x and y.
    """
    return SURFACES[own_key(formula, reach)]


def trace(
    surface: str | Surface,
    optimizer: str,
    *,
    steps: int,
    start: tuple[float, float] | None = None,
    surface_values: Mapping[str, Any] | None = None,
    schedules: Mapping[str, Pick | str] | None = None,
    noise: float = 0.0,
    l2: float = 0.0,
    seed: int = 0,
    **hyperparameters: Any,
) -> Trajectory:
    """Run one optimizer on one surface, listed or your own: `trace("rosenbrock", "adam", steps=500, lr=0.02)`.

    `schedules` maps a hyperparameter to a schedule, as in `{"lr": Pick("cosine", {"final": 0.1})}`.

    Returns a Trajectory of NumPy float64 arrays; a run that diverges is returned with its infinities. Raises
    ValueError, with what is allowed, on an unknown name, a wrong shape or a value outside its domain.
    """
    field = surface if isinstance(surface, Surface) else SURFACES.find(surface)
    try:
        x, y = map(float, field.starts[0] if start is None else start)
    except (TypeError, ValueError):
        x = y = math.nan  # not two, or not numbers at all
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"start must be two finite numbers, not {start!r}")
    for argument, value in (("schedules", schedules), ("surface_values", surface_values)):
        if not isinstance(value, Mapping | None):
            raise ValueError(f"{argument} must be a mapping from names, not {value!r}")
    given = {name: Pick(pick) if isinstance(pick, str) else pick for name, pick in (schedules or {}).items()}
    picks = {name: (SCHEDULES.find(pick.key), dict(pick.values)) for name, pick in given.items()}
    return descend(
        from_surface(
            field,
            (x, y),
            surface_values=dict(surface_values or {}),
            noise=float(NOISE.check(noise)),
            l2=float(L2.check(l2)),
            seed=int(SEED.check(seed)),
        ),
        rule(OPTIMIZERS.find(optimizer), hyperparameters, picks),
        _any_steps(steps),
    )


def schedule(name: str, *, steps: int, lr: float, **values: Any) -> np.ndarray:
    """The learning rate at each of `steps` steps, shape (steps,): `schedule("cosine", steps=200, lr=0.1)`.

    It is what a run would use: the schedule is driven by the loop itself, by an optimizer that never moves.
    """
    still = from_surface(SURFACES["sphere"], (0.0, 0.0))
    scheduled = rule(OPTIMIZERS["sgd"], {"lr": lr}, {"lr": (SCHEDULES.find(name), values)})
    return descend(still, scheduled, _any_steps(steps)).lr


def _any_steps(steps: Any) -> int:
    """A notebook may take longer runs than a visitor of the app."""
    return int(ANY_STEPS.check(steps))
