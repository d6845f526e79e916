"""Where every start ends: a run from each cell of a grid over the window, and which minimum it comes to.

All starts from which a run ends in the same minimum are that minimum's *basin*. For a ball that rolls slowly downhill
it is a valley with its slopes; for a rule with a step length and a memory it has other borders, which may be torn to
dust: neighbours that end in different places. A `BasinMap` is a value that says what is measured; `measure` gives the
`Basins` of each of its racers, one or two, so that two rules can be compared start by start.

Where a run ended is told by the rules of `ENDS`, from its last point. The minima are those that the surface's card
lists and those that a search of the window finds (`minima`).

A map is computed in single precision unless it is told otherwise: that is several times as quick, so that the map
follows a slider. A run at the border between two basins may then end elsewhere than in the descent laboratory, which
computes in double precision, and a loss is known only to within its rounding (`within`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz import doctor
from optviz.experiment import Experiment, Pick, Racer
from optviz.landscape import stationary
from optviz.many import Ends, many, tiles
from optviz.once import in_pieces, once
from optviz.programs import program
from optviz.spec import Param, Source, Value, number
from optviz.surfaces import Minimum
from optviz.verdict import Card, Measured, judged

SIDE = Param(
    "side",
    "n",
    200,
    50,
    400,
    domain="[10, 400]",
    title="resolution",
    help="How many starts there are along each side of the window: each optimizer runs n × n times.",
)
EXACT = Param(
    "exact",
    "",
    False,
    title="double precision",
    help="Computes as the descent laboratory does. It takes several times as long; without it, runs at the border "
    "between two basins may end on its other side.",
)
GRID = {param.name: param for param in (SIDE, EXACT)}
RACERS_AT_MOST = 2
AROUND, APART = 8, 1e-6  # places at each minimum where rounding is measured, as far apart as this share of the window
STALLED = tuple(doctor.STATES).index("stalled")
BLOCK = 4096  # ends whose curvatures one call of a program tells
SAME = 1e-3  # of the window's diagonal: nearer than that, a minimum found is the one that the card lists
KEPT = 24_000_000  # bytes of maps that are kept
NEVER = 2**16 - 1  # stands for ∞ among the steps
UNKNOWN = -1  # not measured yet

# Where a run may end if not at one of the minima, and what that means.
ENDS = {
    "another minimum": "it hardly moves any more, and the surface curves up in all directions there: a minimum that no "
    "card lists, or one outside of the window",
    "a saddle": "it hardly moves any more where the slope vanishes, and the surface curves up along one direction and "
    "down along another",
    "a maximum": "it hardly moves any more where the slope vanishes, and the surface curves down in all directions",
    "a plateau": "it hardly moves any more, and no point where the slope vanishes is near",
    "on its way": "none of the other rules: it still moves, or goes to and fro",
    "diverged": doctor.STATES["diverged"],
}
AT_MINIMUM = (
    "after the last step the minimum nearest to the run is within a hundredth of the window's diagonal, or the loss is "
    "within the tolerance of that minimum's. Settled it is when the loss stays within the tolerance"
)


@dataclass(frozen=True)
class BasinMap:
    """What is measured: the racers of `on`, one or two, each from the middle of `side` × `side` cells of the surface's
    window. The start of `on` is the one that is marked; it changes no number. With noise, all starts meet the same.

    Raises ValueError, with what is allowed.
    """

    on: Experiment
    side: int = int(SIDE.default)
    exact: bool = bool(EXACT.default)

    def __post_init__(self):
        for name, param in GRID.items():
            object.__setattr__(self, name, param.check(getattr(self, name)))
        if not 1 <= len(self.on.racers) <= RACERS_AT_MOST:
            raise ValueError(f"a basin map has one or two optimizers, not {len(self.on.racers)}")
        if self.on.pins:
            raise ValueError("a basin map has no pinned runs")
        if self.on.l2:
            raise ValueError("a basin map has no L2 penalty: it would move the minima that the colours stand for")

    @property
    def demand(self) -> dict[str, float]:
        """How much it asks for, by the names of limits."""
        return self.on.demand | {"cells": self.cells, "run_steps": self.cells * self.on.steps}

    @property
    def cells(self) -> int:
        """How many runs each racer makes."""
        return self.side**2

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """The x of each column and the y of each row, (side,) each: the middles of the cells, so that maps of any
        resolution sample the same area evenly."""
        left, right, bottom, top = self.on.entry.window
        middle = (np.arange(self.side) + 0.5) / self.side
        return left + (right - left) * middle, bottom + (top - bottom) * middle

    @property
    def conditions(self) -> tuple:
        """All that a racer's map depends on besides the racer."""
        on = self.on
        return (on.surface, on.steps, on.noise, on.seed, on.tolerance, self.side, self.exact)

    @property
    def precision(self) -> str:
        """As `many` calls it."""
        return "double" if self.exact else "single"

    def start(self, row: int, column: int) -> tuple[float, float]:
        """Where the run of one cell begins."""
        x, y = self.axes
        return float(x[column]), float(y[row])


def minima(on: Experiment) -> tuple[Minimum, ...]:
    """The minima that runs may end in, lowest first: those of the surface's card, and the others that a search of the
    window finds."""
    return _minima(on.surface)


@once(64)
def _minima(surface: Pick) -> tuple[Minimum, ...]:
    on = Experiment(surface)
    known = list(on.entry.minima_at(on.surface_values))
    apart = SAME * doctor.diagonal_of(on.entry.window)
    for point in stationary(surface.key, on.surface_values):
        if point.kind == "minimum" and all(math.dist(point[:2], other[:2]) > apart for other in known):
            known.append(Minimum(*point[:3]))
    return tuple(sorted(known, key=lambda minimum: minimum.value))


def within(basin_map: BasinMap) -> float:
    """How near to a minimum's value a loss counts as being there: the tolerance, or in single precision twice the
    rounding of the losses at the minima, if that is more."""
    tolerance = basin_map.on.tolerance
    return tolerance if basin_map.exact else max(tolerance, 2 * _rounding(basin_map.on.surface))


@once(256)
def _rounding(surface: Pick) -> float:
    """By how much the loss errs in single precision at the minima, at most."""
    found = _minima(surface)
    if not found:
        return 0.0
    entry = Experiment(surface).entry
    own = entry.hyper(**entry.complete(dict(surface.values)))
    reach = APART * doctor.diagonal_of(entry.window) * (np.arange(AROUND) / AROUND - 0.5)
    x, y = (np.concatenate([getattr(minimum, axis) + reach for minimum in found]) for axis in "xy")
    coarse = [number.astype(np.float32) for number in (x, y, own.traced)]

    def loss(x, y, traced):
        return entry.fn(x, y, **entry.unpack(traced, own.static))

    compiled = program(("loss at minima", entry.fn, own.static, len(x)), lambda: jax.jit(loss))
    exact = compiled(*(number.astype(np.float64) for number in coarse))
    return float(np.abs(np.asarray(compiled(*coarse), np.float64) - np.asarray(exact)).max())


class Piece(NamedTuple):
    """How k runs ended. `place` is the index of the minimum, or len(minima) + an index into ENDS. `steps` is how many
    it took until the loss settled at the minimum, or until the run diverged, else NEVER. `loss` is the last one."""

    place: np.ndarray  # (k,) int16
    steps: np.ndarray  # (k,) uint16
    loss: np.ndarray  # (k,) float32


class Basins(NamedTuple):
    """The map of one racer: a Piece with a cell's row (from the bottom) and column for each run. `place` is UNKNOWN
    where nothing is measured yet."""

    minima: tuple[Minimum, ...]
    place: np.ndarray  # (side, side) int16
    steps: np.ndarray  # (side, side) uint16
    loss: np.ndarray  # (side, side) float32

    @property
    def arrived(self) -> np.ndarray:
        """Which runs ended at a minimum, (side, side)."""
        return (self.place >= 0) & (self.place < len(self.minima))

    @property
    def known(self) -> float:
        """The share of cells that are measured."""
        return float((self.place != UNKNOWN).mean())

    def share(self, place: str | int | Sequence[int]) -> float:
        """The share of the measured runs that ended in one of ENDS, or at the minima of these indices."""
        if isinstance(place, str):
            place = len(self.minima) + tuple(ENDS).index(place)
        counts = np.bincount(self.place.ravel() - UNKNOWN, minlength=len(self.minima) + len(ENDS) - UNKNOWN)
        return int(counts[np.asarray(place) - UNKNOWN].sum()) / max(1, int(counts[1:].sum()))


def measure(basin_map: BasinMap) -> list[Basins]:
    """The maps of all racers, whole."""
    return [_whole(basin_map, racer) for racer in basin_map.on.racers]


def _whole(basin_map: BasinMap, racer: Racer) -> Basins:
    return assembled(basin_map, pieces(basin_map, racer))


def _kept_as(basin_map: BasinMap, racer: Racer) -> Hashable:
    return racer, *basin_map.conditions


@in_pieces(KEPT, size=lambda piece: sum(part.nbytes for part in piece), key=_kept_as)
def pieces(basin_map: BasinMap, racer: Racer) -> Iterator[Piece]:
    """A racer's map in pieces, each well below a second, row by row from the bottom. They are kept, so that moving one
    racer's slider leaves the other's as it is."""
    x, y = (axis.ravel() for axis in np.meshgrid(*basin_map.axes))
    yield from _pieces(basin_map, racer, x, y)


def _pieces(basin_map: BasinMap, racer: Racer, x: np.ndarray, y: np.ndarray) -> Iterator[Piece]:
    """How the runs from the starts (x, y) end."""
    found, first = minima(basin_map.on), 0
    on = replace(basin_map.on, tolerance=within(basin_map))
    how: dict[str, Any] = {"target": found[0].value if found else None, "precision": basin_map.precision}
    for ends in tiles(on, racer, {"x": x, "y": y}, **how):
        here = slice(first, first + len(ends.loss))
        first = here.stop
        yield _piece(on, racer, found, ends, x[here], y[here], basin_map.precision)


def assembled(basin_map: BasinMap, parts: Iterable[Piece]) -> Basins:
    """A map from its first pieces; what is not measured yet is UNKNOWN."""
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    blanks = (np.int16(UNKNOWN), np.uint16(NEVER), np.float32(math.nan))
    grids = []
    for i, blank in enumerate(blanks):
        grid = np.full(basin_map.cells, blank)
        if columns:
            grid[: len(columns[i])] = columns[i]
        grids.append(grid.reshape(basin_map.side, basin_map.side))
    return Basins(minima(basin_map.on), *grids)


def _piece(
    on: Experiment,
    racer: Racer,
    found: Sequence[Minimum],
    ends: Ends,
    x: np.ndarray,
    y: np.ndarray,
    precision: str,
) -> Piece:
    """Apply the rules of AT_MINIMUM and ENDS to the ends of runs from the starts (x, y)."""
    nearest, distance = _nearest(found, ends.theta)
    values = np.array([minimum.value for minimum in found] or [math.nan])
    diagonal = doctor.diagonal_of(on.entry.window)
    lost = np.isfinite(ends.lost)
    with np.errstate(invalid="ignore", over="ignore"):
        close = (np.abs(ends.loss - values[nearest]) <= on.tolerance) | (distance <= doctor.NEAR * diagonal)
    arrived = close & ~lost & bool(found)
    place = np.where(arrived, nearest, len(found) + tuple(ENDS).index("on its way"))
    place[lost] = len(found) + tuple(ENDS).index("diverged")
    resting = ~arrived & ~lost & (ends.state == STALLED)
    if resting.any():
        place[resting] = len(found) + _kinds(on, ends.theta[resting], diagonal)
    steps = np.where(lost, ends.lost, np.where(arrived, ends.settled, math.inf))
    higher = arrived & (values[nearest] != values[0])  # what they settled at is not what was counted against
    if higher.any():
        vary = {"x": x[higher], "y": y[higher]}
        again = many(on, racer, vary, target=values[nearest[higher]], precision=precision)
        steps[higher] = again.settled
    counted = np.where(np.isfinite(steps), steps, NEVER)
    return Piece(place.astype(np.int16), counted.astype(np.uint16), ends.loss.astype(np.float32))


def _nearest(found: Sequence[Minimum], theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which minimum is the nearest to each of k points, and how far it is: (k,) each; 0 and ∞ if there is none."""
    nearest, distance = np.zeros(len(theta), int), np.full(len(theta), math.inf)
    for i, minimum in enumerate(found):
        with np.errstate(invalid="ignore", over="ignore"):
            away = np.hypot(theta[:, 0] - minimum.x, theta[:, 1] - minimum.y)
        closer = away < distance  # NaN is not
        nearest[closer], distance[closer] = i, away[closer]
    return nearest, distance


def _kinds(on: Experiment, theta: np.ndarray, diagonal: float) -> np.ndarray:
    """Of each point where a run rests, the index into ENDS, by the slope and the curvatures there."""
    problem = on.problem

    def build() -> Callable:
        def one(at, values):
            (a, b), (_, d) = jax.hessian(problem.loss)(at, values)
            g, h = jax.grad(problem.loss)(at, values)
            determinant = a * d - b * b
            jump = jnp.stack([d * g - b * h, a * h - b * g]) / determinant  # to where the quadratic model is level
            return determinant, a + d, jnp.sqrt(jnp.sum(jump**2))

        return jax.jit(jax.vmap(one, in_axes=(0, None)))

    compiled = program((problem.key, "kinds of rest"), build)
    kinds = []
    for first in range(0, len(theta), BLOCK):
        some = theta[first : first + BLOCK]
        full = np.concatenate([some, np.repeat(some[-1:], BLOCK - len(some), axis=0)])
        determinant, trace, jump = (np.asarray(out)[: len(some)] for out in compiled(full, problem.values))
        kind = np.where(determinant < 0, "a saddle", np.where(trace > 0, "another minimum", "a maximum"))
        kind = np.where(jump <= doctor.NEAR * diagonal, kind, "a plateau")  # NaN is not near
        kinds.append([tuple(ENDS).index(one) for one in kind])
    return np.concatenate(kinds)


# Colours -----------------------------------------------------------------------------------------------------------

OWN, GROUPS = 6, 5  # minima with a colour each; groups of the others
LEVEL = 1e-6  # minima whose values differ by less are equally deep


class Region(NamedTuple):
    """Minima that share a colour, by their indices, and what they are called."""

    name: str
    minima: tuple[int, ...]


def regions(found: Sequence[Minimum]) -> list[Region]:
    """The minima as a picture shows them: each its own region, or if there are more than OWN, the lowest ones and the
    others in groups by depth, none of which parts minima of one depth."""
    if len(found) <= OWN:
        return [Region(_point(minimum), (i,)) for i, minimum in enumerate(found)]
    levels: list[list[int]] = []
    for i, minimum in enumerate(found):
        same = levels and minimum.value - found[levels[-1][0]].value <= LEVEL * max(1.0, abs(minimum.value))
        levels[-1].append(i) if same else levels.append([i])
    groups = [levels[0]]
    for part in np.array_split(np.arange(1, len(levels)), min(GROUPS, len(levels) - 1)):
        groups.append([i for level in part for i in levels[level]])
    return [Region(_group(found, group, lowest=not at), tuple(group)) for at, group in enumerate(groups) if group]


def _point(minimum: Minimum) -> str:
    return f"({number(minimum.x, 3)}, {number(minimum.y, 3)}), f = {number(minimum.value, 3)}"


def _group(found: Sequence[Minimum], group: Sequence[int], lowest: bool) -> str:
    if len(group) == 1:
        return _point(found[group[0]])
    low, high = (number(found[i].value, 3) for i in (group[0], group[-1]))
    values = f"f = {low}" if low == high else f"f = {low} to {high}"
    return f"{len(group)} {'lowest' if lowest else 'local'} minima, {values}"


# Two maps side by side -----------------------------------------------------------------------------------------------

DIFFERENCES = ("the same", "first lower", "second lower", "elsewhere, as low")


def difference(first: Basins, second: Basins, tolerance: float) -> np.ndarray:
    """Where two racers disagree: an index into DIFFERENCES for each start, (side, side) int8; UNKNOWN where one is not
    measured yet. What counts is how low the minimum lies that a run ended at; elsewhere its last loss."""
    one, two = _height(first), _height(second)
    found = np.full(one.shape, DIFFERENCES.index("elsewhere, as low"), np.int8)
    found[one < two - tolerance] = DIFFERENCES.index("first lower")
    found[two < one - tolerance] = DIFFERENCES.index("second lower")
    found[first.place == second.place] = DIFFERENCES.index("the same")
    found[(first.place == UNKNOWN) | (second.place == UNKNOWN)] = UNKNOWN
    return found


def _height(basins: Basins) -> np.ndarray:
    values = np.array([minimum.value for minimum in basins.minima] or [math.nan])
    height = np.where(basins.arrived, values[np.where(basins.arrived, basins.place, 0)], basins.loss)
    height[basins.place == len(basins.minima) + tuple(ENDS).index("diverged")] = math.inf
    return np.where(np.isfinite(height), height, math.inf)


# The claims ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BasinClaim(Card):
    """A claim that a basin map shows, with that map and with what measures it."""

    basin_map: BasinMap
    by: Callable[[BasinMap, Sequence[Basins]], Measured | None]

    def measure(self, basin_map: BasinMap, basins: Sequence[Basins]) -> Measured | None:
        """Measure it on maps; None where they lack what the claim is about."""
        if any(one.known < 1 for one in basins):
            return Measured({}, None, "The verdict comes when the maps are whole.")
        return self.by(basin_map, basins)


MEMORIES = (0.5, 0.8, 0.95, 0.99)
COARSE = 80  # starts along each side, for each of the other memories


def _lowest(basins: Basins) -> list[int]:
    """The minima of least value. Those that are equally low by symmetry may differ in the last digits."""
    least = basins.minima[0].value if basins.minima else 0.0
    return [i for i, m in enumerate(basins.minima) if m.value <= least + 1e-9 * max(1.0, abs(least))]


def _trapped(basin_map: BasinMap, basins: Sequence[Basins]) -> Measured | None:
    """Claim A4."""
    memory = [racer.values.get("momentum") for racer in basin_map.on.racers]
    if (
        len(basins) < 2
        or not memory[1]
        or [racer.optimizer.key for racer in basin_map.on.racers]
        != [
            "sgd",
            "momentum",
        ]
    ):
        return None
    plain, heavy = basins
    lowest = _lowest(plain)
    others = [i for i in range(len(plain.minima)) if i not in lowest]
    if not others or memory[0]:
        return None
    won = np.isin(heavy.place, lowest) & ~np.isin(plain.place, lowest)
    lost = np.isin(plain.place, lowest) & ~np.isin(heavy.place, lowest)
    numbers: dict[str, Value] = {
        "starts": basin_map.cells,
        "plain": plain.share(lowest),
        "stuck": (stuck := plain.share(others)),
        "heavy": heavy.share(lowest),
        "rho": float(memory[1]),
        "won": float(won.mean()),
        "lost": float(lost.mean()),
        "taken": basin_map.on.steps,
    }
    coarse = replace(basin_map, side=min(COARSE, basin_map.side))
    racer = basin_map.on.racers[1]
    more = {rho: _whole(coarse, racer.but(momentum=rho)).share(lowest) for rho in MEMORIES}
    numbers |= {f"at{i}": share for i, share in enumerate(more.values())}
    shares = ", ".join(f"{{at{i}:%}} with ρ = {number(rho)}" for i, rho in enumerate(more))
    return judged(
        numbers,
        "Of {starts} starts, plain descent took {plain:%} to the lowest minimum within {taken:steps} and left "
        "{stuck:%} in another one; momentum with ρ = {rho} took {heavy:%} to the lowest. It won {won:%} of the starts "
        f"that plain descent loses, and lost {{lost:%}} that plain descent wins. Other memories: {shares}.",
        (stuck > 0, "no start of plain descent ended in a minimum other than the lowest"),
        (heavy.share(lowest) > plain.share(lowest), "with these settings momentum takes no more starts to the lowest"),
    )


LINE = 4000  # starts on the line across the saddle


def _stalls(basin_map: BasinMap, basins: Sequence[Basins]) -> Measured | None:
    """Claim A3."""
    on = basin_map.on
    if on.surface.key != "bounded_saddle" or on.racers[0].optimizer.key != "sgd" or on.racers[0].values["momentum"]:
        return None
    coarse = replace(basin_map, side=min(COARSE, basin_map.side))
    maps = {racer.optimizer.key: one for racer, one in zip(on.racers, basins, strict=True)}
    maps |= {racer.optimizer.key: _whole(coarse, racer) for racer in SADDLE_RACERS if racer.optimizer.key not in maps}
    left = {key: 1 - float(one.arrived.mean()) for key, one in maps.items()}
    plain = on.racers[0]
    growth = 1 + 2 * float(plain.values["lr"])  # of the offset in each step: across the saddle the curvature is −2
    decade = max(1, round(math.log(10) / math.log(growth)))
    numbers = {
        "steps": on.steps,
        "plain": 1 - float(basins[0].arrived.mean()),
        "decade": decade,
        "thinner": _width(basin_map, plain, on.steps) / _width(basin_map, plain, on.steps + decade),
        "theory": growth**decade,
        **{key: left[key] for key in ("momentum", "rmsprop", "adam")},
        "newton": maps["newton"].share("a saddle"),
    }
    return judged(
        numbers,
        "After {steps:steps}, {plain:%} of all starts have not come to a minimum with plain descent: a band along the "
        "ridge y = 0. {decade:steps} later it is {thinner} times as narrow; theory says (1 + 2η)ᵗ = {theory}. "
        "Momentum leaves {momentum:%}, RMSProp {rmsprop:%}, Adam {adam:%}. Newton's method takes {newton:%} of all "
        "starts to the saddle and leaves them there.",
        (numbers["plain"] > 0, "with so many steps no start of this grid is left near the ridge"),
        (numbers["rmsprop"] < left["sgd"], "with these settings RMSProp leaves as many"),
        (numbers["adam"] < left["sgd"], "with these settings Adam leaves as many"),
        (numbers["newton"] > numbers["plain"], "with these settings Newton's method is not drawn to the saddle"),
        (abs(numbers["thinner"] / numbers["theory"] - 1) < 0.1, "the band does not narrow as theory says"),
    )


def _width(basin_map: BasinMap, racer: Racer, steps: int) -> float:
    """How far from the ridge a start at x = 1 must lie to come to a minimum within so many steps."""
    longer = replace(basin_map, on=replace(basin_map.on, steps=steps), exact=True)
    offsets = np.geomspace(1e-9, basin_map.on.entry.window[3], LINE)
    place = np.concatenate([piece.place for piece in _pieces(longer, racer, np.ones(LINE), offsets)])
    waits = np.flatnonzero(place >= len(minima(basin_map.on)))
    return float(offsets[waits[-1]]) if len(waits) else math.nan


SADDLE_RACERS = (
    Racer(Pick("sgd", {"lr": 0.025})),
    Racer(Pick("momentum", {"lr": 0.025, "momentum": 0.5})),
    Racer(Pick("rmsprop", {"lr": 0.02})),
    Racer(Pick("adam", {"lr": 0.05})),
    Racer(Pick("newton")),
)

HILLS = BasinMap(
    Experiment(
        Pick("himmelblau"),
        (Racer(Pick("sgd", {"lr": 0.01})), Racer(Pick("momentum", {"lr": 0.01}))),
        steps=300,
    )
)

CLAIMS: dict[str, BasinClaim] = {
    claim.key: claim
    for claim in (
        BasinClaim(
            key="A4",
            title="Trapped in a local minimum",
            says="Local minima trap descent; momentum carries runs past shallow ones.",
            condition="On a surface with minima of different depth. Momentum knows nothing of depth: with much of it, "
            "it carries runs out of the deeper minimum as well. What counts is the balance, and that depends on η, ρ "
            "and the surface; the other memories that are measured show it.",
            watch="The orange region is the shallower minimum's. Move momentum ρ and see it shrink, and then come back "
            "torn: where neighbours end in different places, no one can tell beforehand where a start leads.",
            sources=(
                Source(
                    "Rumelhart, Hinton & Williams", 1986, "Learning representations by back-propagating errors",
                    "https://doi.org/10.1038/323533a0",
                ),
                Source(
                    "Sutskever, Martens, Dahl & Hinton", 2013,
                    "On the importance of initialization and momentum in deep learning",
                    "https://proceedings.mlr.press/v28/sutskever13.html",
                ),
            ),
            basin_map=BasinMap(
                Experiment(
                    Pick("two_gaussians"),
                    (Racer(Pick("sgd", {"lr": 0.02})), Racer(Pick("momentum", {"lr": 0.02}))),
                    start=(1.75, 0.25),
                    steps=300,
                )
            ),
            by=_trapped,
        ),
        BasinClaim(
            key="A3",
            title="The stall at a saddle",
            says="At a saddle the gradient vanishes and plain descent stalls: the nearer a start is to the ridge, the "
            "longer, so that after any number of steps a thin line of starts is left.",
            condition="The line grows thinner by the same factor in each step, so the time to escape grows with the "
            "logarithm of 1/offset. Only on the ridge itself nothing but noise escapes. RMSProp and Adam divide by the "
            "size of the gradient and leave it at once; Newton's method goes to the saddle from wherever the surface "
            "curves both ways. Rates count as well: a larger η narrows the line sooner.",
            watch="The pale line along y = 0 in the map of plain descent: move the steps T and see it thin out. In "
            "Newton's map the black region is the saddle's own basin.",
            sources=(
                Source(
                    "Dauphin et al.", 2014,
                    "Identifying and Attacking the Saddle Point Problem in High-Dimensional Non-Convex Optimization",
                    "https://arxiv.org/abs/1406.2572",
                ),
                Source(
                    "Lee et al.", 2016, "Gradient Descent Only Converges to Minimizers",
                    "https://arxiv.org/abs/1602.04915",
                ),
            ),
            basin_map=BasinMap(
                Experiment(Pick("bounded_saddle"), (SADDLE_RACERS[0], SADDLE_RACERS[-1]), start=(1.0, 0.01), steps=100),
                side=100,

            ),
            by=_stalls,
        ),
    )
}  # fmt: skip
