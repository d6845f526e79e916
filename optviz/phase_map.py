"""A plane of hyperparameters at once: the same run for every cell of a map, and what theory says of each.

A `PhaseMap` is an experiment of one racer with two axes: any two real numbers of it, such as the learning rate and the
momentum, the rate and the surface's condition number, the rate and the gradient noise. `measure` runs every cell and
tells how it ended (`Cells`); on a quadratic `rates` measures how quickly each run converges, and `theory` has the
spectral radius of every cell with the lines along which something changes.

The *rate of convergence* of a cell is measured on a run in double precision, of its own length: the distance to the
minimum is recorded every few steps down to where rounding takes over; its *envelope* at a step is the largest distance
from there on (of a run that moves away, the largest so far); e to the slope of the envelope's logarithm over the second
half of these points is the factor per step. Theory predicts the spectral radius. Of a run that is at the minimum before
POINTS_AT_LEAST points, a shorter one is looked at closely, and if that has too few as well, there is no estimate.

Where a border between two fates is a fractal, no resolution shows it smooth. `roughness` measures that by the
*uncertainty exponent* α: the share of pairs of cells, s cells apart, with different fates grows like s^α. A smooth
border has α = 1 and dimension 1; a fractal one has a smaller α and dimension 2 − α.

    η   learning rate          λ   a curvature: an eigenvalue of the Hessian, with the L2 penalty
    ρ   momentum               r   spectral radius: the factor per step in the end
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from optviz import doctor, many
from optviz.experiment import COORDINATE, L2, NOISE, Experiment, Pick, Racer
from optviz.many import Ends
from optviz.once import in_pieces, once
from optviz.quadratic import (
    Quadratic,
    best_heavy_ball,
    best_plain,
    critical_rate,
    quadratics,
    radius,
    step_limit,
)
from optviz.spec import Param, Source, within
from optviz.verdict import Card, Measured, judged

RESOLUTION = Param(
    "resolution", "", 96, 32, 256, domain="[16, 256]", help="How many cells the map has along each of its two axes."
)
COLOR = Param(
    "color",
    "",
    "state",
    options=("state", "loss", "steps", "rate"),
    static=True,
    title="colour shows",
    help="How each run ended; its final loss above the minimum; the steps until it stays within the tolerance; or, on "
    "a quadratic, the factor by which each step brings it nearer in the end.",
)
PRECISION = Param(
    "precision",
    "",
    "double",
    options=("single", "double"),
    static=True,
    help="Double computes as the descent laboratory does, so that a cell is its run. Single is twice as quick; where "
    "the border is ragged a rounding decides, and then a cell may end differently from the run that it opens.",
)
LOOKS = {param.name: param for param in (RESOLUTION, COLOR, PRECISION)}
STATES = tuple(doctor.STATES)
UNKNOWN = 255  # the state of a cell that was not computed
RATIO_AT_MOST = 2.5  # between neighbours on a logarithmic axis

RATE_LENGTHS = (1500, 100)  # steps of the run that is looked at, and of the shorter one
RATE_POINTS, POINTS_AT_LEAST = 101, 10
ROUNDING = 1e-14  # distances below this share of the minimum's own are rounding's
LINE_POINTS = 200
SWING_STEPS = 8
COMPANIONS = ("momentum", "beta1", "decay", "rho", "noise", "x")  # what goes well with a rate, best first
KEPT, RATES_KEPT = 24_000_000, 4_000_000  # bytes of cells and of rates that are kept, for all visitors
DISTANCES = (1, 2, 4, 8)  # cells between which fates are compared


@dataclass(frozen=True)
class Axis:
    """A number that changes from cell to cell, from `low` to `high`, by its name in `optviz.many`."""

    name: str
    low: float
    high: float


def axes_of(on: Experiment) -> dict[str, Param]:
    """What an experiment of one racer can be mapped over: name -> Param, whose low and high a new axis begins with."""
    racer = on.racers[0]
    left, right, bottom, top = on.entry.window
    own = {param.name: param for param in racer.entry.params if _real(param)}
    surface = {f"surface.{param.name}": param for param in on.entry.params if _real(param)}
    start = {
        name: COORDINATE.but(symbol=f"{name}₀", title=f"start {name}", low=low, high=high)
        for name, low, high in (("x", left, right), ("y", bottom, top))
    }
    return {**own, **surface, **start, "noise": NOISE, "l2": L2}


def _real(param: Param) -> bool:
    return param.kind == "real" and not param.static


def whole_axis(name: str, param: Param) -> Axis:
    """The axis over a parameter's whole slider."""
    return Axis(name, float(param.low), float(param.high))


@dataclass(frozen=True)
class PhaseMap:
    """What is mapped. `at` are the two values of the cell that is looked at; left out, or beyond the axes, it is the
    middle one. Raises ValueError, with what is allowed.

    An axis is logarithmic where its parameter's slider is. Cells are numbered from the lower left, by (row, column).
    """

    on: Experiment
    x: Axis = Axis("lr", 1e-3, 1.0)
    y: Axis = Axis("momentum", 0.0, 0.99)
    resolution: int = int(RESOLUTION.default)
    color: str = str(COLOR.default)
    precision: str = str(PRECISION.default)
    at: tuple[float, float] | None = None

    def __post_init__(self):
        if len(self.on.racers) != 1 or self.on.pins:
            raise ValueError("a phase map has one racer and no pins")
        for name, param in LOOKS.items():
            object.__setattr__(self, name, param.check(getattr(self, name)))
        for which in ("x", "y"):
            object.__setattr__(self, which, self._checked(getattr(self, which)))
        if self.x.name == self.y.name:
            raise ValueError(f"the two axes must differ; both are {self.x.name}")
        if self.at is not None:
            pairs = zip(self.at, self.params, strict=True)
            object.__setattr__(self, "at", tuple(float(param.check(value)) for value, param in pairs))
        work = self.demand["run_steps"]
        if work > many.WORK_AT_MOST:
            raise ValueError(
                f"{self.resolution}² runs of {self.on.steps} steps are too many: together they may be "
                f"{many.WORK_AT_MOST:.0e} steps, not {work:.1e}. Take a lower resolution or fewer steps"
            )
        if self.color == "rate" and not self.has_rates:
            raise ValueError(
                "the rate of convergence is measured on quadratics, without noise and schedules; take another colour"
            )

    @property
    def demand(self) -> dict[str, float]:
        """How much it asks for, by the names of limits."""
        cells = self.resolution**2
        return self.on.demand | {"cells": cells, "run_steps": cells * self.on.steps}

    def _checked(self, axis: Axis) -> Axis:
        params = axes_of(self.on)
        if axis.name not in params:
            raise ValueError(f"{axis.name[:32]!r} cannot be an axis here; {', '.join(params)} can")
        param = params[axis.name]
        low, high = float(param.check(axis.low)), float(param.check(axis.high))
        if not low < high:
            raise ValueError(f"an axis goes from a smaller to a larger value, not from {low:g} to {high:g}")
        if param.log and low <= 0:
            raise ValueError(f"a logarithmic axis begins above 0, not at {low:g}")
        if param.log and (high / low) ** (1 / (self.resolution - 1)) > RATIO_AT_MOST:
            raise ValueError(
                f"from {low:g} to {high:g} is too far for {self.resolution} cells: neighbours would differ by more "
                f"than a factor of {RATIO_AT_MOST:g}"
            )
        apart = float(np.finfo(many.PRECISIONS[self.precision]).eps) * max(abs(low), abs(high)) * self.resolution
        if high - low <= 4 * apart:
            raise ValueError(
                f"{low!r} and {high!r} are too near to each other: in {self.precision} precision their cells would "
                "not differ"
            )
        return Axis(axis.name, low, high)

    @cached_property
    def params(self) -> tuple[Param, Param]:
        """Those of the two axes."""
        known = axes_of(self.on)
        return known[self.x.name], known[self.y.name]

    @property
    def racer(self) -> Racer:
        return self.on.racers[0]

    @cached_property
    def xs(self) -> np.ndarray:
        """The values of the columns, (n,)."""
        return spaced(self.x, self.params[0], self.resolution)

    @cached_property
    def ys(self) -> np.ndarray:
        """The values of the rows, (n,)."""
        return spaced(self.y, self.params[1], self.resolution)

    @property
    def cell(self) -> tuple[int, int]:
        """The row and column that are looked at."""
        places = []
        for which, (values, param) in enumerate(zip((self.xs, self.ys), self.params, strict=True)):
            value = self.at[which] if self.at else math.nan
            inside = values[0] <= value <= values[-1]  # NaN is not
            places.append(int(np.argmin(_distances(values, value, param))) if inside else len(values) // 2)
        return places[1], places[0]

    @property
    def vary(self) -> dict[str, np.ndarray]:
        """The two numbers of every run, row by row, as `many` takes them."""
        x, y = np.meshgrid(self.xs, self.ys)
        return {self.x.name: x.ravel(), self.y.name: y.ravel()}

    @property
    def request(self) -> PhaseMap:
        """This map without what changes no run."""
        return replace(self, color=str(COLOR.default), at=None)

    def grid(self, name: str, otherwise: Any = None) -> Any:
        """A number for all cells, as an array that fits (n, n), or one that is the same for all."""
        if name == self.x.name:
            return self.xs[None, :]
        return self.ys[:, None] if name == self.y.name else otherwise

    def run(self, row: int, column: int) -> Experiment:
        """The experiment of one cell, as the descent laboratory takes it."""
        on = self.on
        for name, value in ((self.x.name, float(self.xs[column])), (self.y.name, float(self.ys[row]))):
            on = changed(on, name, value)
        return on

    @property
    def is_quadratic(self) -> bool:
        """Whether the surface is a quadratic with a minimum in every cell."""
        if not _may_be_quadratic(self.on):
            return False
        return not np.isnan(_bowl(self.on, self.x, self.y, self.resolution).curvatures).any()

    @property
    def has_rates(self) -> bool:
        """Whether a rate of convergence is defined: a quadratic, without chance, and settings that stay."""
        chance = self.on.noise > 0 or "noise" in (self.x.name, self.y.name)
        return not chance and not self.racer.schedules and self.is_quadratic


def changed(on: Experiment, name: str, value: float) -> Experiment:
    """An experiment with the number of an axis set."""
    if name in ("x", "y"):
        start = list(on.start)
        start["xy".index(name)] = value
        return replace(on, start=tuple(start))
    if name in ("noise", "l2"):
        return replace(on, **{name: value})
    if name.startswith("surface."):
        return replace(on, surface=on.surface.but(**{name.removeprefix("surface."): value}))
    return on.with_racer(0, on.racers[0].but(**{name: value}))


def value_of(on: Experiment, name: str) -> float:
    """The number that an axis would replace."""
    if name in ("x", "y"):
        return on.start["xy".index(name)]
    if name in ("noise", "l2"):
        return getattr(on, name)
    if name.startswith("surface."):
        return float(on.surface_values[name.removeprefix("surface.")])
    return float(on.racers[0].values[name])


def spaced(axis: Axis, param: Param, count: int) -> np.ndarray:
    """`count` values along an axis, its ends exactly."""
    return (np.geomspace if param.log else np.linspace)(axis.low, axis.high, count)


def _distances(values: np.ndarray, value: float, param: Param) -> np.ndarray:
    return np.abs(np.log(values / value)) if param.log else np.abs(values - value)


def zoomed(map_: PhaseMap, factor: float) -> PhaseMap:
    """The map around the cell that is looked at, its axes shorter by a factor (longer, if that is below 1), in decades
    where they are logarithmic. An axis that would leave its parameter's domain ends where it ended before, or where the
    slider does, and keeps its new length if there is room for it."""
    row, column = map_.cell
    here = (float(map_.xs[column]), float(map_.ys[row]))
    axes = [
        _zoomed(axis, param, value, factor)
        for axis, param, value in zip((map_.x, map_.y), map_.params, here, strict=True)
    ]
    return replace(map_, x=axes[0], y=axes[1], at=here)


def _zoomed(axis: Axis, param: Param, value: float, factor: float) -> Axis:
    if param.log:
        half = (axis.high / axis.low) ** (0.5 / factor)
        return Axis(axis.name, value / half, value * half)
    half = (axis.high - axis.low) / 2 / factor
    low, high = value - half, value + half
    first, last = min(axis.low, float(param.low)), max(axis.high, float(param.high))
    if not within(low, param.domain):
        low, high = first, first + 2 * half
    if not within(high, param.domain):
        low, high = (last - 2 * half if within(last - 2 * half, param.domain) else first), last
    return Axis(axis.name, low, high)


def fitted(map_: PhaseMap, on: Experiment) -> PhaseMap:
    """The map of another experiment, its axes, colour and cell as they were where that is possible."""
    params, moved = axes_of(on), on.surface.key != map_.on.surface.key

    def stays(axis: Axis) -> bool:
        local = axis.name in ("x", "y") or axis.name.startswith("surface.")
        return axis.name in params and not (local and moved)

    x, y = map_.x, map_.y
    kept = [axis for axis in (x, y) if stays(axis)]
    for name in ("lr", *COMPANIONS):
        if len(kept) < 2 and name in params and name not in [axis.name for axis in kept]:
            kept.append(whole_axis(name, params[name]))
    if stays(y) and not stays(x):
        kept.reverse()
    same = kept == [x, y]
    at = map_.at if same else None
    return in_color(replace(map_, on=on, x=kept[0], y=kept[1], color=str(COLOR.default), at=at), map_.color)


def in_color(map_: PhaseMap, color: str) -> PhaseMap:
    """The map in a colour; where that would be the rate and there is none, it stays as it is."""
    return replace(map_, color=color) if color != "rate" or map_.has_rates else map_


# Cells ---------------------------------------------------------------------------------------------------------------


class Cells(NamedTuple):
    """How every run ended, each (n, n) with the row in front. `height` is the final loss above `floor`: the least known
    minimum, or without one the least final loss of the map. Counts of steps are infinite if it never came to that."""

    height: np.ndarray
    lowest: np.ndarray  # least loss on the way, above the floor
    lost: np.ndarray  # the step at which it diverged
    settled: np.ndarray  # steps until the loss stays within the tolerance
    state: np.ndarray  # uint8: index into STATES, or UNKNOWN
    resolution: np.ndarray  # the smallest height that the precision can tell from 0
    known: bool  # whether the floor is a known minimum

    @property
    def diverged(self) -> np.ndarray:
        return self.state == STATES.index("diverged")

    @property
    def done(self) -> np.ndarray:
        return self.state != UNKNOWN

    def shares(self) -> dict[str, float]:
        """The share of each state among the cells that are computed."""
        count = max(1, int(self.done.sum()))
        return {state: float((self.state == i).sum()) / count for i, state in enumerate(STATES)}


@in_pieces(KEPT, size=lambda ends: sum(part.nbytes for part in ends), key=lambda map_: map_.request)
def work(map_: PhaseMap) -> Iterator[Ends]:
    """Run all cells, in pieces that each take a fraction of a second."""
    target = np.broadcast_to(_floor(map_), (map_.resolution, map_.resolution)).ravel()
    yield from many.tiles(map_.on, map_.racer, map_.vary, target=target, precision=map_.precision)


def cells(map_: PhaseMap, parts: Sequence[Ends]) -> Cells:
    """Put the pieces together, as far as they are done."""
    shape = (map_.resolution, map_.resolution)
    size = map_.resolution**2

    def whole(field: str, blank: float, dtype: Any = np.float64) -> np.ndarray:
        flat = np.full(size, blank, dtype)
        known = [getattr(part, field) for part in parts]
        joined = np.concatenate(known) if known else np.empty(0)
        flat[: len(joined)] = joined
        return flat.reshape(shape)

    loss, state = whole("loss", math.nan), whole("state", UNKNOWN, np.uint8)
    floor = np.broadcast_to(_floor(map_), shape)
    known = bool(np.isfinite(floor).all())
    if not known:
        standing = np.isfinite(loss) & (state != STATES.index("diverged"))
        floor = np.full(shape, loss[standing].min() if standing.any() else 0.0)
    with np.errstate(all="ignore"):
        height, lowest = loss - floor, whole("lowest", math.inf) - floor
    step = float(np.finfo(many.PRECISIONS[map_.precision]).eps) * np.abs(floor)
    tiny = float(np.finfo(many.PRECISIONS[map_.precision]).tiny)
    return Cells(
        height,
        lowest,
        whole("lost", math.inf),
        whole("settled", math.inf),
        state,
        np.maximum(step, tiny),
        known,
    )


@once(8)  # of at most 4 MB each
def measure(map_: PhaseMap) -> Cells:
    """Run all cells."""
    return cells(map_, list(work(map_)))


def _floor(map_: PhaseMap) -> np.ndarray:
    """The value of the least known minimum, one number or (n, n); NaN without one."""
    entry = map_.on.entry

    def least(values: Mapping[str, Any]) -> float:
        return min((minimum.value for minimum in entry.minima_at(values)), default=math.nan)

    moving = [axis.name for axis in (map_.x, map_.y) if axis.name.startswith("surface.")]
    if not moving or not callable(entry.minima):
        return np.array(least(map_.on.surface_values))
    if len(moving) == 1:
        columns = moving[0] == map_.x.name
        name = moving[0].removeprefix("surface.")
        found = [least({**map_.on.surface_values, name: float(v)}) for v in (map_.xs if columns else map_.ys)]
        return np.array(found)[None, :] if columns else np.array(found)[:, None]
    names = [axis.name.removeprefix("surface.") for axis in (map_.x, map_.y)]
    return np.array(
        [[least({**map_.on.surface_values, names[0]: float(x), names[1]: float(y)}) for x in map_.xs] for y in map_.ys]
    )


# Rates ---------------------------------------------------------------------------------------------------------------


@once(64)
def _may_be_quadratic(on: Experiment) -> bool:
    """Asked before hundreds of settings are looked at."""
    return not np.isnan(quadratics(on.entry, on.surface_values).curvatures).any()


@once(6)  # of at most 5 MB each
def _bowl(on: Experiment, x: Axis, y: Axis, count: int) -> Quadratic:
    """The quadratics that the cells descend on, penalty included, with (n, n), (n, 1), (1, n) or (1, 1) in front."""
    params = axes_of(on)
    values = {x.name: spaced(x, params[x.name], count), y.name: spaced(y, params[y.name], count)}
    moving = [name for name in (x.name, y.name) if name.startswith("surface.")]
    shape = (count if y.name in moving else 1, count if x.name in moving else 1)
    grids = dict(zip((x.name, y.name), np.meshgrid(values[x.name], values[y.name]), strict=True))
    own = {
        name.removeprefix("surface."): grids[name][: shape[0], : shape[1]].ravel() if name in moving else None
        for name in moving
    }
    found = quadratics(on.entry, {**on.surface_values, **own})
    curvatures, axes, minimum, floor = (part.reshape(*shape, *part.shape[1:]) for part in found)
    l2 = values["l2"][None, :, None] if x.name == "l2" else values["l2"][:, None, None] if y.name == "l2" else on.l2
    along = np.einsum("...ij,...i->...j", axes, minimum) * curvatures / (curvatures + l2)
    return Quadratic(curvatures + l2, axes, np.einsum("...ij,...j->...i", axes, along), floor)


@in_pieces(RATES_KEPT, size=lambda part: part.nbytes, key=lambda map_: map_.request)
def rate_work(map_: PhaseMap) -> Iterator[np.ndarray]:
    """Measure the rate of convergence of all cells, row by row, in pieces."""
    shape = (map_.resolution, map_.resolution)
    minimum = np.broadcast_to(_bowl(map_.on, map_.x, map_.y, map_.resolution).minimum, (*shape, 2)).reshape(-1, 2)
    size = many.KEPT_AT_MOST // RATE_POINTS // 4
    for first in range(0, len(minimum), size):
        goal = minimum[first : first + size]
        vary = {name: values[first : first + size] for name, values in map_.vary.items()}
        found = _rates(map_, vary, goal, RATE_LENGTHS[0])
        quick = np.isnan(found)
        if quick.any():
            vary = {name: values[quick] for name, values in vary.items()}
            found[quick] = _rates(map_, vary, goal[quick], RATE_LENGTHS[1])
        yield found


def _rates(map_: PhaseMap, vary: Mapping[str, np.ndarray], goal: np.ndarray, length: int) -> np.ndarray:
    floor = np.maximum(ROUNDING * np.abs(goal).max(axis=1), 1e-290)
    found, points = many.rates(replace(map_.on, steps=length), map_.racer, vary, RATE_POINTS, goal, floor)
    return np.where(points >= POINTS_AT_LEAST, found, np.nan)


def as_grid(map_: PhaseMap, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The pieces of `rate_work` as (n, n), NaN where nothing is done yet."""
    flat = np.full(map_.resolution**2, np.nan)
    joined = np.concatenate([*parts, np.empty(0)])
    flat[: len(joined)] = joined
    return flat.reshape(map_.resolution, map_.resolution)


@once(8)
def rates(map_: PhaseMap) -> np.ndarray | None:
    """The measured rate of convergence of every cell, (n, n); None where it is not defined."""
    return as_grid(map_, list(rate_work(map_))) if map_.has_rates else None


# Theory --------------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """Where something changes, as points (m,) of the map; NaN where the line does not exist."""

    name: str  # its formula, and what it parts
    x: np.ndarray
    y: np.ndarray


class Theory(NamedTuple):
    """What is known of the cells of a map. `best` is (x, y) of the quickest convergence, where both are axes."""

    radius: np.ndarray  # (n, n)
    lines: tuple[Line, ...]
    best: tuple[float, float] | None
    rule: str  # in words


class _Law(NamedTuple):
    """A rule as theory knows it: which of the two, and the rate that multiplies the gradient, as a share of lr."""

    nesterov: bool
    momentum: str  # the name of ρ among the hyperparameters
    share: Callable[[Any, Any], Any]  # (ρ, τ) -> share
    dampening: float


def _law(map_: PhaseMap) -> _Law | None:
    values, racer = map_.racer.values, map_.racer
    if racer.schedules or "dampening" in (map_.x.name, map_.y.name):
        return None
    key, tau = racer.optimizer.key, float(values.get("dampening", 0.0))
    if key == "nesterov":
        return _Law(True, "momentum", lambda rho, tau: 1.0, 0.0)
    if key == "sgd" and values["averaging"]:
        return _Law(bool(values["nesterov"]), "momentum", lambda rho, tau: 1 - rho, 0.0)
    if key == "sgd":
        if values["nesterov"] and tau > 0:
            return None
        return _Law(bool(values["nesterov"]), "momentum", lambda rho, tau: np.where(rho == 0, 1.0, 1 - tau), tau)
    if key == "momentum":
        averaging = values["form"] == "averaging"
        return _Law(False, "momentum", lambda rho, tau: (1 - tau) * (1 - rho if averaging else 1.0), tau)
    return None


def theory(map_: PhaseMap) -> Theory | None:
    """What theory says of the map; None where the surface is no quadratic, or the rule scales its gradients."""
    law = _law(map_)
    if law is None or not map_.is_quadratic or (law.dampening == 1 and map_.racer.optimizer.key == "momentum"):
        return None
    values, n = map_.racer.values, map_.resolution
    bowl = _bowl(map_.on, map_.x, map_.y, n)
    rho = np.asarray(map_.grid(law.momentum, values[law.momentum]), dtype=float)
    lr = np.asarray(map_.grid("lr", values["lr"]), dtype=float) * law.share(rho, law.dampening)
    modes = [radius(lr, rho, bowl.curvatures[..., i], nesterov=law.nesterov) for i in (0, 1)]
    words = "Nesterov's rule" if law.nesterov else "the heavy ball" if np.any(rho > 0) else "gradient descent"
    whole = np.broadcast_to(np.maximum(*modes), (n, n))
    return Theory(whole, tuple(_lines(map_, law)), _best(map_, law, bowl), words)


def _lines(map_: PhaseMap, law: _Law) -> Iterator[Line]:
    """Where the rate is an axis: that rate, for each value of the other axis."""
    if "lr" not in (map_.x.name, map_.y.name):
        return
    upright = map_.y.name == "lr"  # the rate goes up, the other across
    axis, param = (map_.x, map_.params[0]) if upright else (map_.y, map_.params[1])
    others = spaced(axis, param, LINE_POINTS)
    # the other axis in the place of the columns, any rate in that of the rows
    fine = _bowl(map_.on, axis, Axis("lr", 1e-3, 1.0), LINE_POINTS)
    low, high = (np.broadcast_to(fine.curvatures[0, :, i], others.shape) for i in (0, 1))
    rho = others if axis.name == law.momentum else np.full(LINE_POINTS, float(map_.racer.values[law.momentum]))
    with np.errstate(all="ignore"):
        share = np.broadcast_to(law.share(rho, law.dampening), others.shape)
        found = [(_limit_words(law, rho), step_limit(rho, high, nesterov=law.nesterov))]
        if not rho.any():
            found += [("1/λmax: swings above", critical_rate(rho, high))]
            found += [("2/(λmin + λmax): quickest", best_plain(low, high))]
        else:
            form = "((1−ρ)/(1+ρ))²" if law.nesterov else "(1−√ρ)²"
            found += [
                (f"{form}/λmax: swings across above", critical_rate(rho, high, nesterov=law.nesterov)),
                (f"{form}/λmin: swings along above", critical_rate(rho, low, nesterov=law.nesterov)),
            ]
        for name, rate in found:
            rate = np.where(share > 0, rate / share, np.nan)
            yield Line(name, *((others, rate) if upright else (rate, others)))


def _limit_words(law: _Law, rho: np.ndarray) -> str:
    if not rho.any():
        return "2/λmax: diverges above"
    return ("2(1+ρ)/((1+2ρ)λmax)" if law.nesterov else "2(1+ρ)/λmax") + ": diverges above"


def _best(map_: PhaseMap, law: _Law, bowl: Quadratic) -> tuple[float, float] | None:
    """Polyak's point on a map of rate and momentum of the heavy ball."""
    if law.nesterov or {map_.x.name, map_.y.name} != {"lr", law.momentum}:
        return None
    lr, rho = (float(part[0, 0]) for part in best_heavy_ball(bowl.curvatures[..., 0], bowl.curvatures[..., 1]))
    lr = lr / float(law.share(rho, law.dampening))
    return (lr, rho) if map_.x.name == "lr" else (rho, lr)


def place_of(map_: PhaseMap, point: tuple[float, float]) -> tuple[float, float]:
    """Where two values of the axes lie among the cells, as fractional (row, column)."""
    places = []
    for value, values, param in zip(point, (map_.xs, map_.ys), map_.params, strict=True):
        value, first, second = (math.log(part) if param.log else part for part in (value, *values[:2].tolist()))
        places.append((value - first) / (second - first))
    return places[1], places[0]


class Optimum(NamedTuple):
    """A cell that is the best by some measure. `ties` counts the cells that are as good."""

    row: int
    column: int
    value: float
    ties: int


def quickest(found: np.ndarray | None) -> Optimum | None:
    """The cell of the least measured rate of convergence."""
    return None if found is None else _least(found)


def lowest(found: Cells) -> Optimum | None:
    """The cell of the least final loss: the best after just so many steps."""
    return _least(np.where(found.diverged | ~found.done, np.nan, found.height))


def _least(values: np.ndarray) -> Optimum | None:
    if not np.isfinite(values).any():
        return None
    row, column = np.unravel_index(np.nanargmin(np.where(np.isfinite(values), values, np.nan)), values.shape)
    value = float(values[row, column])
    return Optimum(int(row), int(column), value, int((values == value).sum()))


def beyond_one_cell(predicted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Cells (n, n) that are not as predicted although all their neighbours are predicted alike: further from the
    predicted border than one cell."""
    wide = np.pad(predicted, 1, mode="edge")
    n, m = predicted.shape
    around = [wide[1 + i : 1 + i + n, 1 + j : 1 + j + m] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    alike = np.all([part == predicted for part in around], axis=0)
    return (predicted != found) & alike


# Ragged borders ------------------------------------------------------------------------------------------------------


class Roughness(NamedTuple):
    """How ragged the border between two fates is. `disagree[i]` is the share of pairs of cells DISTANCES[i] apart whose
    fates differ; `exponent` is α, the slope of its logarithm: 1 along a smooth border."""

    disagree: tuple[float, ...]
    exponent: float

    @property
    def dimension(self) -> float:
        """Of the border, as far as these distances show it."""
        return 2 - self.exponent


def roughness(fate: np.ndarray) -> Roughness | None:
    """Of a map of fates (n, n), as whole numbers or flags; None if all are the same."""
    shares = []
    for apart in DISTANCES:
        across = fate[:, apart:] != fate[:, :-apart]
        up = fate[apart:] != fate[:-apart]
        shares.append(float((across.sum() + up.sum()) / (across.size + up.size)))
    if min(shares) == 0:
        return None
    slope = np.polyfit(np.log(DISTANCES), np.log(shares), 1)[0]
    return Roughness(tuple(shares), float(slope))


# Claims --------------------------------------------------------------------------------------------------------------


def swings(map_: PhaseMap) -> np.ndarray:
    """Whether each run changes sides across the steep direction at each of its first SWING_STEPS steps, (n, n)."""
    on = replace(map_.on, steps=SWING_STEPS)
    _, theta, _ = many.snapshots(on, map_.racer, map_.vary, SWING_STEPS + 1, precision="double")
    bowl, n = _bowl(map_.on, map_.x, map_.y, map_.resolution), map_.resolution
    theta = theta.reshape(n, n, -1, 2) - bowl.minimum[..., None, :]
    across = np.einsum("...ti,...i->...t", theta, np.broadcast_to(bowl.axes[..., 1], (n, n, 2)))
    return np.all(across[..., 1:] * across[..., :-1] < 0, axis=-1)


@dataclass(frozen=True)
class PhaseClaim(Card):
    """A claim seen on a map, with the map that shows it."""

    map: PhaseMap
    judge: Callable[[PhaseMap, Cells, Theory], Measured | None]

    def measure(self, map_: PhaseMap, found: Cells) -> Measured | None:
        """Measure it on the cells of a map; None where the map lacks what the claim is about."""
        known = theory(map_)
        axes = {map_.x.name, map_.y.name}
        if known is None or "lr" not in axes or "l2" in axes or map_.on.l2 > 0 or not map_.has_rates:
            return None
        if not found.done.all():
            return Measured({}, None, "The verdict comes when all cells are done.")
        return self.judge(map_, found, known)


def _largest_rate(map_: PhaseMap, found: Cells, known: Theory) -> Measured | None:
    if known.rule != "gradient descent":
        return None
    predicted = known.radius > 1
    swinging = (np.asarray(map_.grid("lr")) * _bowl(map_.on, map_.x, map_.y, map_.resolution).curvatures[..., 1]) > 1
    swung = swings(map_)
    numbers = {
        "cells": predicted.size,
        "beyond": int(predicted.sum()),
        "diverged": int(found.diverged.sum()),
        "other": int((predicted != found.diverged).sum()),
        "far": int(beyond_one_cell(predicted, found.diverged).sum()),
        "swinging": int(swinging.sum()),
        "swung": int((swinging & swung).sum()),
        "still": int((~swinging & swung).sum()),
        "swing_far": int(beyond_one_cell(np.broadcast_to(swinging, swung.shape), swung).sum()),
        "steps": map_.on.steps,
        "first": SWING_STEPS,
    }
    return judged(
        numbers,
        "Of {cells} cells, {beyond} lie above η = 2/λmax, and {diverged} diverged within {steps:steps}; {other} are on "
        "the other side than theory says, {far} of them further than one cell from its line. {swinging} lie above "
        "1/λmax: of those {swung} changed sides across the valley at each of their first {first} steps, of all the "
        "others {still}.",
        (numbers["far"] == 0, "cells more than one cell from 2/λmax end on the other side"),
        (numbers["swing_far"] == 0, "cells more than one cell from 1/λmax do not swing as theory says"),
        (0 < numbers["beyond"] < numbers["cells"], "the map lies on one side of the limit"),
    )


def _heavy_ball(map_: PhaseMap, found: Cells, known: Theory) -> Measured | None:
    if known.best is None:
        return None
    measured, least = rates(map_), lowest(found)
    best = quickest(measured)
    if measured is None or best is None or least is None:
        return None
    lr_first = map_.x.name == "lr"
    row, column = place_of(map_, known.best)
    rho = map_.ys if lr_first else map_.xs
    slowly = measured if lr_first else measured.T  # rows of equal momentum
    plain, much = np.nanmin(slowly[0]), np.nanmin(slowly[-1])
    lr_best, rho_best = known.best if lr_first else known.best[::-1]
    here = (map_.xs[least.column], map_.ys[least.row])
    lr_here, rho_here = here if lr_first else here[::-1]
    predicted = known.radius > 1
    kappa = _bowl(map_.on, map_.x, map_.y, map_.resolution).curvatures[0, 0]
    numbers = {
        "kappa": kappa[1] / kappa[0],
        "other": int((predicted != found.diverged).sum()),
        "far": int(beyond_one_cell(predicted, found.diverged).sum()),
        "apart": max(abs(best.row - row), abs(best.column - column)),
        "best_lr": lr_best,
        "best_rho": rho_best,
        "best": best.value,
        "root": np.sqrt(rho_best),
        "plain_rho": rho[0],
        "plain": plain,
        "much_rho": rho[-1],
        "much": much,
        "steps": map_.on.steps,
        "finite_lr": lr_here,
        "finite_rho": rho_here,
        "left": least.value,
    }
    return judged(
        numbers,
        "κ = {kappa}. Theory's best asymptotic setting is η = {best_lr}, ρ = {best_rho}, with a factor of {root} per "
        "step; the cell that shrank quickest lies {apart} cells from it and measured {best}. The best cell with "
        "ρ = {plain_rho} measured {plain}, the best with ρ = {much_rho} {much}. {other} cells are on the other side of "
        "2(1 + ρ)/λmax than theory says, {far} of them further than one cell from it. After {steps:steps} the least "
        "loss, {left}, is at η = {finite_lr}, ρ = {finite_rho}: the best for a short run is another setting.",
        (numbers["far"] == 0, "cells more than one cell from the stability edge end on the other side"),
        (numbers["apart"] <= 1, "the quickest cell is more than one cell from theory's best setting"),
        (best.value < plain, "momentum does not make the run quicker than plain descent"),
        (much > best.value, "the largest momentum is not too much"),
    )


def _map(surface: Pick, optimizer: Pick, x: Axis, y: Axis, **conditions: Any) -> PhaseMap:
    looks = {name: conditions.pop(name) for name in ("at", "color", "resolution") if name in conditions}
    return PhaseMap(Experiment(surface, (Racer(optimizer),), **conditions), x, y, **looks)


GOH = Source("Goh", 2017, "Why Momentum Really Works", "https://distill.pub/2017/momentum/")
PLANE = _map(
    Pick("valley", {"kappa": 100.0}),
    Pick("momentum"),
    Axis("lr", 1e-3, 0.1),
    Axis("momentum", 0.0, 0.99),
    start=(-1.8, 1.0),
    steps=100,
)
CLAIMS = {
    "A2": PhaseClaim(
        key="A2",
        title="The largest stable learning rate",
        says="On a quadratic, gradient descent converges exactly when η < 2/λmax; above 1/λmax it swings from side to "
        "side, above 2/λmax it diverges.",
        condition="On a quadratic with curvatures above zero, with a constant rate and without noise, from a start "
        "that is not exactly on the valley's floor. Near the limit it takes many steps until a run has left for good, "
        "so that the last cell before the line may still be on its way.",
        watch="The border of the grey cells against the line 2/λmax for every condition number κ: what is stable on a "
        "round bowl diverges in a narrow valley.",
        sources=(
            GOH,
            Source(
                "Nocedal & Wright", 2006, "Numerical Optimization, chapter 3",
                "https://doi.org/10.1007/978-0-387-40065-5",
            ),
        ),
        map=_map(
            Pick("valley", {"kappa": 25.0}),
            Pick("sgd"),
            Axis("lr", 3e-3, 3.0),
            Axis("surface.kappa", 1.0, 100.0),
            start=(-1.8, 0.5),
            steps=300,
        ),
        judge=_largest_rate,
    ),
    "A6": PhaseClaim(
        key="A6",
        title="Momentum in a narrow valley",
        says="Momentum speeds up a narrow valley and allows larger rates, up to 2(1 + ρ)/λmax. One setting of η and ρ "
        "converges quickest in the end; more momentum than that overshoots and oscillates.",
        condition="On a quadratic. The best asymptotic setting has √η = 2/(√λmax + √λmin) and "
        "√ρ = (√κ − 1)/(√κ + 1). It says what happens in the end: after few steps another cell may be lowest, "
        "because a critically damped run begins slowly.",
        watch="The ridge of quick cells leads up to the star of theory; the circle, the cell that shrank quickest, "
        "lies on it, and the diamond, the least loss after so many steps, beside it.",
        sources=(
            Source(
                "Polyak", 1964, "Some methods of speeding up the convergence of iteration methods",
                "https://doi.org/10.1016/0041-5553(64)90137-5",
            ),
            GOH,
        ),
        map=replace(PLANE, color="rate"),
        judge=_heavy_ball,
    ),
}  # fmt: skip
EXAMPLES = {
    "β₁ and β₂ of Adam in Rosenbrock's ravine": _map(
        Pick("rosenbrock"),
        Pick("adam", {"lr": 0.05}),
        Axis("beta1", 0.0, 0.99),
        Axis("beta2", 0.0, 0.999),
        color="loss",
    ),
    "Learning rate and gradient noise: the noise floor": _map(
        Pick("valley"),
        Pick("sgd"),
        Axis("lr", 1e-3, 0.1),
        Axis("noise", 1e-3, 10.0),
        color="loss",
    ),
    "A ragged border: momentum on Styblinski–Tang": _map(
        Pick("styblinski_tang"),
        Pick("momentum"),
        Axis("lr", 0.02, 0.2),
        Axis("momentum", 0.0, 0.95),
        steps=300,
    ),
    "Learning rate and start: four basins of Himmelblau": _map(
        Pick("himmelblau"),
        Pick("sgd"),
        Axis("lr", 0.01, 0.05),
        Axis("x", -5.0, 5.0),
        steps=300,
    ),
}
