"""Many runs at once: where thousands of them end, each with numbers of its own.

A map asks for one run for each of its cells. `many` runs one racer k times on one surface; `vary` says what is
different from run to run: a hyperparameter, the start, a parameter of the surface, the noise, the seed. What is kept of
a run is where it ends and what tells how (`Ends`); `snapshots` keeps some moments of its way.

It is the loop of `descent` with a batch as the last axis, so that one instruction of the processor moves many runs: θ
is (2, B), and a rule that works on each coordinate by itself takes that as it is. The others are vectorized by `vmap`.
Blocks of B runs stay in the processor's first cache. Single precision takes half the time of double; but runs at the
border between two fates may then end elsewhere than in the descent laboratory, which computes in double precision.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz import doctor
from optviz.descent import Rule
from optviz.experiment import COORDINATE, L2, NOISE, SEED, Experiment, Racer
from optviz.limits import CAPACITY
from optviz.once import once
from optviz.optimizers import Optimizer
from optviz.pools import pool
from optviz.problems import standard_normal
from optviz.programs import aligned, program
from optviz.spec import Param

CELLS_AT_MOST = CAPACITY.cells  # runs of one request: 400 × 400
WORK_AT_MOST = CAPACITY.run_steps  # runs × steps of one request
CHANCE_AT_MOST = CAPACITY.noise_numbers  # seeds × steps of one request, 40 MB
CHANCE_KEPT, PLACED_KEPT = 64_000_000, 12_000_000  # bytes, of all visitors: as drawn, and as a program takes it
POINTS_AT_MOST = 128  # moments that snapshots may keep of each run
KEPT_AT_MOST = 2_000_000  # runs × moments

FARTHEST = 1e300  # a distance, of a run whose rate is measured

BLOCK = 512  # runs that one instruction stream moves
BLOCKS = 40  # of them, one call of a program has room for
PIECE = 10_240_000  # runs × steps that one call does, if so many blocks fit: all BLOCKS for 500 steps
LENGTHS = (500, 1500, 5000)  # room for the chance of runs that have a seed each
PRECISIONS = {"single": np.float32, "double": np.float64}

_pool = pool("many", os.cpu_count() or 1)  # of all visitors


class Ends(NamedTuple):
    """How k runs end, as NumPy arrays. Counts of steps are infinite if it never came to that."""

    theta: np.ndarray  # (k, 2)
    loss: np.ndarray  # (k,), without noise and penalty
    lowest: np.ndarray  # (k,) the least finite loss on the way, start and end included; ∞ if there was none
    lost: np.ndarray  # (k,) the first step after which the loss was not finite or θ beyond doctor's fence
    settled: np.ndarray  # (k,) steps after which the loss stays within the tolerance of the target
    state: np.ndarray  # (k,) uint8: the index of a word of STATES


STATES = tuple(doctor.STATES)


def many(
    experiment: Experiment,
    racer: Racer,
    vary: Mapping[str, np.ndarray],
    *,
    target: float | np.ndarray | None = None,
    precision: str = "single",
) -> Ends:
    """How k runs of a racer end. They are alike but for `vary`, which maps names to arrays (k,):

    a number among the racer's hyperparameters ("lr"), "x" and "y" (the start), "noise", "l2", a number of the surface
    ("surface.kappa"), or "seed": with it, each run meets noise of its own, and all meet the experiment's otherwise.

    `target` is the loss that `settled` counts against, one for all or (k,); left out, it is the least known minimum's.
    Raises ValueError, with what is allowed, on what cannot vary and on requests that are too large.
    """
    pieces = list(tiles(experiment, racer, vary, target=target, precision=precision))
    return Ends(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def tiles(
    experiment: Experiment,
    racer: Racer,
    vary: Mapping[str, np.ndarray],
    *,
    target: float | np.ndarray | None = None,
    precision: str = "single",
) -> Iterator[Ends]:
    """The same in pieces, in order, each of a fraction of a second: whoever stops asking stops the work."""
    batch = _Batch(experiment, racer, vary, precision)
    minima = experiment.entry.minima_at(experiment.surface_values)
    if target is None:
        target = min((minimum.value for minimum in minima), default=math.nan)
    targets = np.broadcast_to(np.asarray(target, dtype=float), (batch.count,))
    run = batch.program("ends", _build_ends)
    tail = doctor.tail_steps(experiment.steps)
    centre, reach = doctor.fence(experiment.entry.window, tuple(centre_of(experiment.entry.window)))
    radii = reach + np.hypot(batch.start("x") - centre[0], batch.start("y") - centre[1])

    def piece(first: int, last: int) -> Ends:
        own = {"target": targets[first:last], "radius": radii[first:last]}
        rows = batch.call(run, first, last, own, np.int64(tail), batch.cast(centre), batch.cast(experiment.tolerance))
        theta, (loss, lowest, lost, settled, *tails) = rows[:2].T, rows[2:]
        begun, low, high, turning, length = tails
        ends = doctor.Tail(begun, loss, low, high, turning, length)
        state = doctor.states_of_tails(ends, theta, minima, experiment.entry.window, experiment.tolerance)
        diverged = np.uint8(STATES.index("diverged"))
        return Ends(theta, loss, lowest, lost, settled, np.where(np.isfinite(lost), diverged, state))

    return batch.pieces(piece)


def finals(
    experiment: Experiment, racer: Racer, vary: Mapping[str, np.ndarray], *, precision: str = "single"
) -> tuple[np.ndarray, np.ndarray]:
    """Only where k runs end, θ (k, 2), and the loss there (k,): in half the time of `many`, whose `vary` it takes."""
    batch = _Batch(experiment, racer, vary, precision)
    run = batch.program("finals", _build_finals)
    rows = np.concatenate(list(batch.pieces(lambda first, last: batch.call(run, first, last, {}))), axis=1)
    return rows[:2].T, rows[2]


def snapshots(
    experiment: Experiment,
    racer: Racer,
    vary: Mapping[str, np.ndarray],
    points: int,
    *,
    precision: str = "single",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where k runs are at p ≤ `points` moments, the start and the end among them, as many steps apart as it takes.

    Returns the steps (p,), θ (k, p, 2) and the loss (k, p) without noise and penalty. `vary` is that of `many`.
    """
    every = _every(experiment.steps, points)
    batch = _Batch(experiment, racer, vary, precision)
    if batch.count * points > KEPT_AT_MOST:
        raise ValueError(
            f"{batch.count} runs × {points} moments are too many; together they may be {KEPT_AT_MOST}. "
            "Take fewer runs or moments"
        )
    moments = np.minimum(np.arange(math.ceil(experiment.steps / every) + 1) * every, experiment.steps)
    run = batch.program("snapshots", _build_snapshots)

    def piece(first: int, last: int) -> np.ndarray:
        rows = batch.call(run, first, last, {}, np.int64(every))
        return rows[: 3 * len(moments)].reshape(len(moments), 3, last - first)

    kept = np.concatenate(list(batch.pieces(piece)), axis=2)
    return moments, kept[:, :2].transpose(2, 0, 1), kept[:, 2].T


def rates(
    experiment: Experiment,
    racer: Racer,
    vary: Mapping[str, np.ndarray],
    points: int,
    goal: np.ndarray,
    floor: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The factor by which each of k runs comes nearer to its `goal` (k, 2) with each step in the end, in double
    precision: e to the slope of the logarithm of its distance's envelope.

    The distance is looked at as often as `snapshots` looks, from the start until it is no more than the `floor` (k,).
    Its envelope at a moment is the largest distance from there on; of a run that ends farther away than it started, the
    largest so far. The slope is that of the least-squares line over the second half of these moments. Returns the
    factors (k,), and how many moments there were (k,). `vary` is that of `many`.
    """
    batch = _Batch(experiment, racer, vary, "double")
    every = _every(experiment.steps, points)
    run = batch.program("rates", _build_rates)

    def piece(first: int, last: int) -> np.ndarray:
        own = {"goal": goal[first:last].T, "floor": floor[first:last]}
        return batch.call(run, first, last, own, np.int64(every))

    factors, counts = np.concatenate(list(batch.pieces(piece)), axis=1)
    return factors, counts


def _every(steps: int, points: int) -> int:
    """How many steps lie between two of at most so many moments. Raises ValueError if there is no room for them."""
    if not 2 <= points <= POINTS_AT_MOST:
        raise ValueError(f"2 to {POINTS_AT_MOST} moments can be kept, not {points}")
    return max(1, math.ceil(steps / (points - 1)))


def centre_of(window: tuple[float, float, float, float]) -> tuple[float, float]:
    """The middle of a window."""
    left, right, bottom, top = window
    return (left + right) / 2, (bottom + top) / 2


def variable(experiment: Experiment, racer: Racer) -> dict[str, Param]:
    """What may be different from run to run, by its name in `vary`."""
    hyper = {param.name: param for param in racer.entry.params if _numeric(param)}
    surface = {f"surface.{param.name}": param for param in experiment.entry.params if _numeric(param)}
    return {**hyper, "x": COORDINATE, "y": COORDINATE, "noise": NOISE, "l2": L2, **surface, "seed": SEED}


def _numeric(param: Param) -> bool:
    return param.kind in ("real", "whole") and not param.static


class _Batch:
    """The numbers of k runs, checked, and what a program needs to be called with some of them."""

    def __init__(self, experiment: Experiment, racer: Racer, vary: Mapping[str, np.ndarray], precision: str):
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be {' or '.join(PRECISIONS)}, not {precision!r}")
        self.experiment, self.racer, self.dtype = experiment, racer, PRECISIONS[precision]
        self.vary = _checked(experiment, racer, vary)
        self.count = len(next(iter(self.vary.values())))
        self.names = tuple(sorted(name for name in self.vary if name not in ("x", "y", "seed")))
        if self.count > CELLS_AT_MOST or self.count * experiment.steps > WORK_AT_MOST:
            raise ValueError(
                f"{self.count:,} runs of {experiment.steps:,} steps are too many: there may be {CELLS_AT_MOST:,} runs "
                f"and {WORK_AT_MOST:,} steps in all. Take fewer cells or fewer steps"
            )
        seeds = self.vary.get("seed")
        self.blocks = BLOCKS if seeds is None else 1  # own chance takes much room: those runs come a block at a time
        self.seeds, self.of_run = (None, np.empty(0)) if seeds is None else np.unique(seeds, return_inverse=True)
        if self.seeds is not None and len(self.seeds) * experiment.steps > CHANCE_AT_MOST:
            raise ValueError(
                f"{len(self.seeds):,} seeds × {experiment.steps:,} steps are too many; together they may be "
                f"{CHANCE_AT_MOST:,}. Take fewer seeds or steps"
            )

    def cast(self, values: Any) -> Any:
        """Numbers as the program wants them."""
        return jax.tree.map(lambda value: np.asarray(value, self.dtype), values)

    def start(self, axis: str) -> np.ndarray:
        """Where the runs start, (k,)."""
        return self.vary.get(axis, np.full(self.count, self.experiment.start["xy".index(axis)]))

    def program(self, kind: str, build: Callable) -> Callable:
        """The compiled program for runs of this kind."""
        entry, rule = self.experiment.entry, self.racer.rule
        static = entry.hyper(**self.experiment.surface_values).static
        own = None if self.seeds is None else self._room
        key = ("many", kind, entry.fn, static, rule.key, tuple(flags_of(rule).items()), self.names, self.dtype, own)
        return program(key, lambda: jax.jit(_in_blocks(build, _Steps(entry, static, rule, self.names))))

    @property
    def _room(self) -> int:
        return next(length for length in LENGTHS if length >= self.experiment.steps)

    def call(self, run: Callable, first: int, last: int, own: Mapping[str, np.ndarray], *rest: Any) -> np.ndarray:
        """What a program says of the runs from first to last, (rows, last − first) in float64."""
        experiment, rule = self.experiment, self.racer.rule
        values = self.cast(
            {
                "surface": experiment.entry.hyper(**experiment.surface_values).traced,
                "rule": rule.values,
                "noise": experiment.noise,
                "l2": experiment.l2,
                "horizon": experiment.steps,
            }
        )
        each = {
            "theta": np.stack([self.start("x")[first:last], self.start("y")[first:last]]),
            "vary": [self.vary[name][first:last] for name in self.names],
            **own,
        }
        blocks = jax.tree.map(self._blocked, each)
        chance = self._chance(first, last)
        count = np.int64(-(-(last - first) // BLOCK))
        with np.errstate(all="ignore"):
            rows = np.asarray(run(values, blocks, chance, count, np.int64(experiment.steps), *rest), dtype=np.float64)
        return rows[:count].transpose(1, 0, 2).reshape(rows.shape[1], -1)[:, : last - first]

    def _blocked(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers (…, k) as (blocks, …, BLOCK); what is left is filled up with the last run."""
        *front, count = numbers.shape
        filled = np.empty((*front, self.blocks * BLOCK), self.dtype)
        filled[..., :count], filled[..., count:] = numbers, numbers[..., -1:]
        blocked = aligned((self.blocks, *front, BLOCK), self.dtype)
        blocked[...] = np.moveaxis(filled.reshape(*front, self.blocks, BLOCK), -2, 0)
        return blocked

    def _chance(self, first: int, last: int) -> np.ndarray:
        """Standard normal numbers: (steps, 2, 1) for all runs, or (1, steps, 2, BLOCK)."""
        if self.seeds is None:
            return _shared_chance(self.experiment.seed, self.dtype)
        runs = tuple(self.of_run[first:last].tolist())
        return _placed(tuple(self.seeds.tolist()), runs, self.experiment.steps, self._room, self.dtype)

    def pieces(self, piece: Callable[[int, int], Any]) -> Iterator[Any]:
        """Pieces of the whole, in order, as many at a time as there are threads."""
        threads = os.cpu_count() or 1
        most = BLOCK * min(self.blocks, max(1, PIECE // (self.experiment.steps * BLOCK)))
        rounds = math.ceil(self.count / most / threads)  # so that no thread stands idle in the last one
        size = BLOCK * math.ceil(self.count / rounds / threads / BLOCK)
        bounds = iter([(first, min(first + size, self.count)) for first in range(0, self.count, size)])
        waiting: list[Future] = [_pool.submit(piece, *bound) for bound in islice(bounds, 2 * threads)]
        try:
            while waiting:
                done = waiting.pop(0).result()
                waiting += [_pool.submit(piece, *bound) for bound in islice(bounds, 1)]
                yield done
        finally:
            for task in waiting:
                task.cancel()


def _checked(experiment: Experiment, racer: Racer, vary: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays of one length, their values within their domains."""
    allowed = variable(experiment, racer)
    if not vary:
        raise ValueError(f"something must vary: {', '.join(allowed)} may")
    checked = {}
    for name, values in vary.items():
        if name not in allowed:
            raise ValueError(f"{name[:40]!r} cannot vary here; {', '.join(allowed)} may")
        array = np.asarray(values, dtype=np.int64 if name == "seed" else np.float64)
        if array.ndim != 1 or not len(array):
            raise ValueError(f"{name} must be a row of numbers, not of shape {array.shape}")
        for end in (array.min(), array.max()):
            allowed[name].check(end.item())
        checked[name] = array
    if len({len(array) for array in checked.values()}) > 1:
        raise ValueError(f"all that vary must be equally long, not {[len(array) for array in checked.values()]}")
    return checked


@once(16)
def _shared_chance(seed: int, dtype: Any) -> np.ndarray:
    """(steps, 2, 1)"""
    return standard_normal(seed, 0, LENGTHS[-1]).astype(dtype)[:, :, None]


@once(CHANCE_KEPT, size=lambda drawn: drawn.nbytes)
def _own_chance(seeds: tuple[int, ...], steps: int, dtype: Any) -> np.ndarray:
    """(steps, 2, seeds)"""
    drawn = np.empty((steps, 2, len(seeds)), dtype)
    for i, seed in enumerate(seeds):
        drawn[:, :, i] = standard_normal(seed, 0, steps)
    return drawn


@once(PLACED_KEPT, size=lambda placed: placed.nbytes)
def _placed(seeds: tuple[int, ...], of_run: tuple[int, ...], steps: int, room: int, dtype: Any) -> Any:
    """(1, room, 2, BLOCK), where the program wants it. Of all rules of a fair race it is the same."""
    drawn: Any = _own_chance(seeds, steps, dtype)
    chance = aligned((1, room, 2, BLOCK), dtype)
    chance[...] = 0
    chance[0, :steps, :, : len(of_run)] = drawn[:, :, of_run]
    return chance


# Programs ------------------------------------------------------------------------------------------------------------


class _Steps:
    """The moves of a block of runs: θ is (2, B), and what varies is (B,)."""

    def __init__(self, surface: Any, static: Any, rule: Any, names: Sequence[str]):
        # only what is compiled in may be used of the rule here: its numbers are arguments
        self.surface, self.static, self.optimizer, self.own_static = surface, static, rule.optimizer, rule.hyper.static
        self.schedules = {name: (entry, own.static) for name, (entry, own) in rule.schedules.items()}
        self.names, self.flags = names, flags_of(rule)
        self.elementwise = elementwise(rule.optimizer, rule.hyper.static)

    def numbers(self, values: Any, each: Any) -> dict[str, Any]:
        """All numbers of the runs: hyperparameters, the surface's, noise and l2, each one for all or (B,)."""
        varied = self.flags | dict(zip(self.names, each["vary"], strict=True))

        def unpack(entry: Any, traced: Any, static: Any, prefix: str = "") -> dict[str, Any]:
            names = [param.name for param in entry.params if not param.static]
            return entry.unpack([varied.get(prefix + name, traced[i]) for i, name in enumerate(names)], static)

        return {
            "hyper": unpack(self.optimizer, values["rule"]["hyper"], self.own_static),
            "surface": unpack(self.surface, values["surface"], self.static, "surface."),
            "noise": varied.get("noise", values["noise"]),
            "l2": varied.get("l2", values["l2"]),
        }

    def loss(self, theta: Any, numbers: Any) -> Any:
        """The reported loss of points (2, B): (B,)."""
        return self.surface.fn(theta[0], theta[1], **numbers["surface"])

    def begin(self, values: Any, each: Any) -> Any:
        """What is carried from step to step, before the first one."""
        numbers, theta = self.numbers(values, each), each["theta"]
        if self.elementwise:
            slots = self.optimizer.start(theta, numbers["hyper"])
        else:
            own, axes, fixed = _spread(numbers["hyper"], theta.shape[1])
            slots = jax.vmap(lambda at, own: self.optimizer.start(at, own | fixed), (-1, axes), -1)(theta, own)
        memory = {name: jax.tree.map(jnp.asarray, entry.init()) for name, (entry, _) in self.schedules.items()}
        carry = (theta, slots, memory)
        draw = jnp.zeros_like(theta)
        grown = jax.eval_shape(lambda carry: self.move(values, each, carry, jnp.zeros((), theta.dtype), draw)[0], carry)
        return jax.tree.map(lambda part, whole: _like(part, whole, theta.dtype), carry, grown)

    def move(self, values: Any, each: Any, carry: Any, t: Any, draw: Any) -> Any:
        """One step from t: what is carried on, the step (2, B), and the reported loss (B,) where it began."""
        (theta, slots, memory), numbers = carry, self.numbers(values, each)
        noise, l2 = numbers["noise"], numbers["l2"]

        def slope(at):
            value, back = jax.vjp(lambda x, y: self.surface.fn(x, y, **numbers["surface"]), at[0], at[1])
            slopes = zip(back(jnp.ones_like(value)), at, draw, strict=True)
            return value, jnp.stack([slope + l2 * place + noise * tilt for slope, place, tilt in slopes])

        value, grad = slope(theta)
        hyper0, hyper, memory = numbers["hyper"], dict(numbers["hyper"]), dict(memory)
        for name, (entry, static) in self.schedules.items():
            own = entry.unpack(values["rule"]["schedules"][name], static)
            known = {"peak": hyper0[name], "steps": values["horizon"], "value": value, "news": True}
            hyper[name], memory[name] = entry.at(t, memory[name], **known, **own)

        def ask(optimizer: Optimizer, theta, value, loss, gradient_at):
            supplied = {"t": t + 1, "theta": theta, "value": value, "loss": loss, "gradient_at": gradient_at}
            return {name: supplied[name] for name in optimizer.needs}

        if self.elementwise:
            asked = ask(self.optimizer, theta, None, None, lambda at: slope(at)[1])
            step, slots = self.optimizer.fn(grad, **slots, **hyper, **asked)
        else:
            own, own_axes, fixed = _spread(hyper, theta.shape[1])
            under, under_axes, flags = _spread({**numbers["surface"], "σ": noise, "λ": l2}, theta.shape[1])

            def alone(grad, theta, slots, own, under, draw):
                def loss(at):
                    surface = {name: value for name, value in (under | flags).items() if name not in ("σ", "λ")}
                    tilt = under["σ"] * jnp.sum(draw * at) + 0.5 * under["λ"] * jnp.sum(at**2)
                    return self.surface.fn(at[0], at[1], **surface) + tilt

                asked = ask(self.optimizer, theta, loss(theta), loss, jax.grad(loss))
                return self.optimizer.fn(grad, **slots, **own, **fixed, **asked)

            wide = jnp.broadcast_to(draw, theta.shape)
            axes = (-1, -1, -1, own_axes, under_axes, -1)
            step, slots = jax.vmap(alone, axes, -1)(grad, theta, slots, own, under, wide)
        step = step.astype(theta.dtype)  # a rule with constants of its own may have made it double
        after = (theta + step, slots, memory)
        return jax.tree.map(lambda new, old: jnp.asarray(new, _dtype(old, theta.dtype)), after, carry), step, value


def flags_of(rule: Rule) -> dict[str, float]:
    """A rule's switches, which are compiled in here: what AMSGrad would need costs a sweep of plain Adam a third."""
    values = rule.optimizer.unpack(rule.hyper.traced, rule.hyper.static)
    return {param.name: float(values[param.name]) for param in rule.optimizer.params if param.kind == "flag"}


def elementwise(optimizer: Optimizer, static: Any) -> bool:
    """Whether a rule treats every coordinate by itself, so that it may be given (2, B) as well as (2,): its program has
    no operation that looks across coordinates, for either shape (SM3 keeps one number for each row and each column)."""
    hyper = optimizer.unpack(np.zeros(len([p for p in optimizer.params if not p.static])), static)

    def traced(grad, theta):
        supplied = {"t": 1.0, "theta": theta, "value": 0.0, "loss": jnp.sum, "gradient_at": lambda at: 2 * at}
        asked = {name: supplied[name] for name in optimizer.needs}
        return optimizer.fn(grad, **optimizer.start(theta, hyper), **hyper, **asked)

    def clean(*shape):
        return not _operations(jax.make_jaxpr(traced)(jnp.ones(shape), jnp.ones(shape)).jaxpr) & ACROSS

    return clean(2) and clean(2, 3)


ACROSS = {  # operations by which one coordinate may come to depend on another, or that need to know its place
    *("dot_general", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax"),
    *("argmin", "cumsum", "cumprod", "sort", "gather", "scatter", "slice", "dynamic_slice", "concatenate", "reshape"),
    *("iota", "transpose", "rev", "custom_linear_solve", "lu", "cholesky", "eigh", "while", "scan", "cond", "squeeze"),
}


def _operations(jaxpr: Any) -> set[str]:
    found = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda part: hasattr(part, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                found |= _operations(inner)
    return found


def _spread(numbers: Mapping[str, Any], size: int) -> tuple[dict, dict, dict]:
    """The numbers that are traced, their axes for `vmap`, by which those that are (B,) go apart, and the others."""
    traced = {name: value for name, value in numbers.items() if isinstance(value, jax.Array)}
    axes = {name: 0 if value.shape == (size,) else None for name, value in traced.items()}
    return traced, axes, {name: value for name, value in numbers.items() if name not in traced}


def _dtype(part: Any, dtype: Any) -> Any:
    """Real numbers are all of the program's precision; counts and flags stay what they are."""
    return dtype if jnp.issubdtype(part.dtype, jnp.floating) else part.dtype


def _like(part: Any, whole: Any, dtype: Any) -> Any:
    """What begins as one number for all runs, where it becomes a number for each."""
    return jnp.broadcast_to(part, whole.shape).astype(_dtype(jnp.asarray(part), dtype))


def _in_blocks(build: Callable, steps: _Steps) -> Callable:
    """A program for a number of blocks, one after another: rows (blocks, rows, BLOCK)."""
    run = build(steps)

    def whole(values, blocks, chance, count, length, *rest):
        def one(i):
            each = jax.tree.map(lambda part: part[i], blocks)
            own = chance if chance.ndim == 3 else chance[i]
            return run(values, each, lambda t: own[t], length, *rest)

        shape = jax.eval_shape(one, 0)
        rows = jnp.zeros((blocks["theta"].shape[0], *shape.shape), shape.dtype)
        return jax.lax.fori_loop(
            0, count, lambda i, rows: jax.lax.dynamic_update_index_in_dim(rows, one(i), i, 0), rows
        )

    return whole


def _build_ends(steps: _Steps) -> Callable:
    """Rows of a block: θ, then the loss and what Ends and doctor.Tail ask for, (2 + 9, B)."""

    def run(values, each, chance, length, tail, centre, tolerance):
        numbers, dtype = steps.numbers(values, each), each["theta"].dtype
        radius, target = each["radius"], each["target"]

        def watch(theta, loss, t, seen):
            lowest, lost, settled = seen
            finite = jnp.isfinite(loss)
            there = finite & ((theta[0] - centre[0]) ** 2 + (theta[1] - centre[1]) ** 2 <= radius**2)
            return (
                jnp.where(finite, jnp.minimum(lowest, loss), lowest),
                jnp.where(there, lost, jnp.minimum(lost, t)),
                jnp.where(loss - target <= tolerance, jnp.minimum(settled, t), jnp.inf),
            )

        def advance(i, now):
            carry, seen = now
            t = i.astype(dtype)
            after, _, loss = steps.move(values, each, carry, t, chance(i))
            return after, watch(carry[0], loss, t, seen)

        def advance_tail(i, now):
            carry, seen, before, size, (begun, low, high, turned, turns, way) = now
            t = i.astype(dtype)
            after, step, loss = steps.move(values, each, carry, t, chance(i))
            long = jnp.sqrt(step[0] ** 2 + step[1] ** 2)
            product = size * long
            turning = product > 0  # before the tail's first step, `size` is 0
            cosine = (step[0] * before[0] + step[1] * before[1]) / product
            told = (
                jnp.where(i == length - tail, loss, begun),
                jnp.minimum(low, loss),
                jnp.maximum(high, loss),
                turned + jnp.where(turning, cosine, 0),
                turns + jnp.where(turning, 1, 0).astype(dtype),
                way + long,
            )
            return after, watch(carry[0], loss, t, seen), step, long, told

        zero = jnp.zeros_like(radius)
        never = zero + jnp.inf
        begun = (steps.begin(values, each), (never, never, never))
        carry, seen = jax.lax.fori_loop(0, length - tail, advance, begun)
        told = (zero, never, -never, zero, zero, zero)
        last = (carry, seen, jnp.zeros_like(each["theta"]), zero, told)
        carry, seen, *_, told = jax.lax.fori_loop(length - tail, length, advance_tail, last)
        begun, low, high, turned, turns, way = told
        loss = steps.loss(carry[0], numbers)
        seen = watch(carry[0], loss, length.astype(dtype), seen)
        tails = (begun, jnp.minimum(low, loss), jnp.maximum(high, loss), turned / turns, way)
        return jnp.stack([*carry[0], loss, *seen, *tails])

    return run


def _build_finals(steps: _Steps) -> Callable:
    """Rows of a block: x, y and the loss, (3, B)."""

    def run(values, each, chance, length):
        def advance(i, carry):
            return steps.move(values, each, carry, i.astype(each["theta"].dtype), chance(i))[0]

        theta, *_ = jax.lax.fori_loop(0, length, advance, steps.begin(values, each))
        return jnp.stack([*theta, steps.loss(theta, steps.numbers(values, each))])

    return run


def _build_snapshots(steps: _Steps) -> Callable:
    """Rows of a block: x, y and the loss at each moment, (3 × POINTS_AT_MOST, B)."""

    def run(values, each, chance, length, every):
        numbers, dtype = steps.numbers(values, each), each["theta"].dtype

        def keep(rows, carry, i):
            now = jnp.concatenate([carry[0], steps.loss(carry[0], numbers)[None]])
            return jax.lax.dynamic_update_slice_in_dim(rows, now, 3 * i, 0)

        def advance(i, carry):
            return steps.move(values, each, carry, i.astype(dtype), chance(i))[0]

        def moment(i, now):
            carry, rows = now
            rows = keep(rows, carry, i)
            return jax.lax.fori_loop(i * every, jnp.minimum((i + 1) * every, length), advance, carry), rows

        rows = jnp.zeros((3 * POINTS_AT_MOST, each["theta"].shape[1]), dtype)
        between = (length + every - 1) // every
        carry, rows = jax.lax.fori_loop(0, between, moment, (steps.begin(values, each), rows))
        return keep(rows, carry, between)

    return run


def _build_rates(steps: _Steps) -> Callable:
    """Rows of a block: the factor, and the number of moments that it is made of, (2, B)."""

    def run(values, each, chance, length, every):
        dtype, (right, up), floor = each["theta"].dtype, each["goal"], each["floor"]
        moments = (length + every - 1) // every

        def look(i, theta, seen):
            logs, count = seen
            distance = jnp.hypot(theta[0] - right, theta[1] - up)
            there = (count == i) & (distance > floor) & (distance < FARTHEST)
            log = jnp.where(there, jnp.log(jnp.where(there, distance, 1)), -jnp.inf)
            return jax.lax.dynamic_update_index_in_dim(logs, log, i, 0), count + there

        def advance(i, carry):
            return steps.move(values, each, carry, i.astype(dtype), chance(i))[0]

        def moment(i, now):
            carry, seen = now
            seen = look(i, carry[0], seen)
            return jax.lax.fori_loop(i * every, jnp.minimum((i + 1) * every, length), advance, carry), seen

        seen = (jnp.zeros((POINTS_AT_MOST, *floor.shape), dtype), jnp.zeros(floor.shape, moments.dtype))
        carry, seen = jax.lax.fori_loop(0, moments, moment, (steps.begin(values, each), seen))
        logs, count = look(moments, carry[0], seen)

        # The line is laid through the moments from `half` on, whose mean is known: they are evenly spaced but the last.
        half, used = count // 2, count - count // 2
        cut = jnp.where(count == moments + 1, moments * every - length, 0)
        middle = (every * (half + count - 1) * used / 2 - cut) / used

        def line(k, now):
            falling, rising, tops, bottom = now
            envelopes, products = [], []
            for i, envelope in ((moments - k, falling), (k, rising)):  # one from the end, one from the start
                envelope = jnp.maximum(envelope, logs[i])
                away = jnp.where((i >= half) & (i < count), jnp.minimum(i * every, length) - middle, 0)
                envelopes.append(envelope)
                products.append(jnp.where(away == 0, 0, away * envelope))
            return (
                *envelopes,
                tuple(top + product for top, product in zip(tops, products, strict=True)),
                bottom + away**2,
            )

        nothing = jnp.zeros_like(floor)
        begun = (nothing - jnp.inf, nothing - jnp.inf, (nothing, nothing), nothing)
        *_, tops, bottom = jax.lax.fori_loop(0, moments + 1, line, begun)
        last = jnp.take_along_axis(logs, jnp.maximum(count - 1, 0)[None], axis=0)[0]
        slope = jnp.where(last < logs[0], *tops) / bottom
        return jnp.stack([jnp.exp(slope), count.astype(dtype)])

    return run
