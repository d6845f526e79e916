"""The loop: the only place in the project where an optimizer moves.

`descend` takes a problem and a rule and returns the whole history as NumPy arrays. It is one loop, compiled once for a
problem and a rule. All numbers, the hyperparameters and the number of steps among them, are arguments of the compiled
program, so that a slider never compiles anything.
"""

from __future__ import annotations

import ctypes
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz.optimizers import Optimizer
from optviz.problems import Problem
from optviz.programs import Compiled, aligned, kept, program
from optviz.schedules import Schedule
from optviz.spec import Hyper

LONGEST = 5000  # steps that one call of a program can record
STRETCH, DRAWS_AT_MOST = 4096, 2**22  # of runs together, one call takes so many steps, on draws of so many bytes
ROOM = 60  # runs of which one call finds out how they end
# What does not change from step to step is computed at each: put before the loop, it became a handful of kernels more,
# and from eight on XLA hands them to other threads, which takes longer than all steps of a short run.
IN_THE_LOOP = {"xla_disable_hlo_passes": "while-loop-invariant-code-motion"}
ROOMS_AT_MOST = 2  # of half a megabyte, which wait for the next run that records as much
FEW = 256  # points of each run that a sweep for a picture keeps; a sweep that wants more gets room for all


@dataclass(frozen=True)
class Rule:
    """An optimizer with its hyperparameters, some of which may follow a schedule: {name: (schedule, its values)}."""

    optimizer: Optimizer
    hyper: Hyper
    schedules: Mapping[str, tuple[Schedule, Hyper]] = field(default_factory=dict)

    @property
    def key(self) -> Hashable:
        """What a program is compiled for."""
        return (
            self.optimizer.key,
            self.hyper.static,
            tuple((name, entry.key, own.static) for name, (entry, own) in self.schedules.items()),
        )

    @property
    def values(self) -> dict[str, Any]:
        """What a program is given."""
        return {
            "hyper": self.hyper.traced,
            "schedules": {name: own.traced for name, (_, own) in self.schedules.items()},
        }


def rule(
    optimizer: Optimizer,
    values: Mapping[str, Any],
    schedules: Mapping[str, tuple[Schedule, Mapping[str, Any]]] | None = None,
) -> Rule:
    """Check values and schedules and put them together. Raises ValueError with what is allowed."""
    bound = {}
    for name, (schedule, own) in (schedules or {}).items():
        if name not in schedulable(optimizer):
            allowed = ", ".join(schedulable(optimizer))
            raise ValueError(f"{optimizer.key} cannot schedule {name[:40]!r}; it can schedule {allowed}")
        bound[name] = (schedule, schedule.hyper(**own))
    return Rule(optimizer, optimizer.hyper(**values), bound)


def schedulable(optimizer: Optimizer) -> list[str]:
    """The hyperparameters that may follow a schedule: every real number that is not compiled in."""
    return [param.name for param in optimizer.params if param.kind == "real" and not param.static]


class State(NamedTuple):
    """What the next step needs: enough to go on later as if nothing had happened."""

    t: int
    theta: Any
    slots: dict[str, Any]
    memory: dict[str, dict[str, Any]]


class Trajectory(NamedTuple):
    """The history of a run of T steps in n parameters, as NumPy arrays.

    Row i of `grad`, `step`, `lr`, the slots and `scheduled` made the move from theta[i] to theta[i + 1]. `grad` has
    the step's noise and penalty in it; `loss` has neither. Slots are as the step left them, and `memory` is what the
    schedules remembered when they had given the step its values.
    """

    theta: np.ndarray  # (T + 1, n)
    loss: np.ndarray  # (T + 1,)
    grad: np.ndarray  # (T, n)
    step: np.ndarray  # (T, n)
    lr: np.ndarray  # (T,)
    slots: dict[str, Any]  # name -> pytree with leading axis T
    scheduled: dict[str, np.ndarray]  # name of each scheduled hyperparameter -> (T,)
    memory: dict[str, dict[str, Any]]  # the same names -> {slot of the schedule: pytree with leading axis T}
    measures: dict[str, np.ndarray]
    state: State

    @property
    def steps(self) -> int:
        return len(self.lr)


class Together(NamedTuple):
    """What is recorded of T steps of k runs at once, as NumPy arrays: numbers of every step, θ and slots at the end."""

    value: np.ndarray  # (k, T): the loss that the step descended on, where it started
    norm: np.ndarray  # (k, T): the length of its gradient, before the problem treated it
    lr: np.ndarray  # (k, T)
    update: np.ndarray  # (k, n): the last step
    state: State  # every array in it has k in front


def descend(
    problem: Problem, rule: Rule, steps: int, *, horizon: int | None = None, state: State | None = None
) -> Trajectory:
    """Take `steps` ≥ 1 steps, from the problem's start or, given a `state`, from where an earlier run stopped.

    `horizon` is the length of run that schedules count with; it is `steps` unless a run is cut into pieces. A run
    that diverges is returned with its infinities.
    """
    horizon = horizon or steps
    pieces, done = [], 0
    while done < steps:
        length = min(steps - done, LONGEST)
        pieces.append(_piece(problem, rule, length, horizon, state))
        state, done = pieces[-1].state, done + length
    if len(pieces) == 1:
        return pieces[0]

    later = [piece._replace(theta=piece.theta[1:], loss=piece.loss[1:]) for piece in pieces[1:]]
    records = [piece._replace(state=None) for piece in (pieces[0], *later)]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *records)._replace(state=state)


def sweep(
    problem: Problem, rule: Rule, steps: int, name: str, values: Sequence[float], *, every: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same run, of at most LONGEST steps, for k values of one hyperparameter, by one call of one program.

    Kept are the start, every `every`-th point and the last one. Returns θ (k, points, n), the loss (k, points) and the
    gradient (k, points, n), which has the noise of the step that leaves a point (of the last step, at the last point).
    """
    traced = [param.name for param in rule.optimizer.params if not param.static]
    hypers = np.repeat(rule.hyper.traced[None], len(values), axis=0)
    hypers[:, traced.index(name)] = values
    points = -(-steps // every) + 1
    room = FEW if points <= FEW else LONGEST + 1

    def build() -> Callable:
        return jax.jit(jax.vmap(_build_lean(problem, rule, room), in_axes=(0, *[None] * 6)))

    compiled = program((problem.key, rule.key, room, "sweep"), build)
    arguments = _arguments(problem, rule, steps, steps, None)
    thetas, losses, grads = map(np.asarray, compiled(hypers, *arguments, np.int64(every)))
    return thetas[:, :points], losses[:, :points], grads[:, :points]


class Endings(NamedTuple):
    """How k runs end, and what of their way tells why, as NumPy arrays. Counts of steps are infinite if it never came
    to that. The *tail* is the last `tail` steps of a run, with the points between which they lie."""

    theta: np.ndarray  # (k, n)
    loss: np.ndarray  # (k,), as are all others
    lowest: np.ndarray  # the least finite loss on the way, start and end included; ∞ if there was none
    lost: np.ndarray  # the first step after which the loss was not finite or θ beyond the fence
    settled: np.ndarray  # steps after which the loss stays within the tolerance of the target
    first: np.ndarray  # loss where the tail begins
    low: np.ndarray  # least and largest loss in the tail
    high: np.ndarray
    turning: np.ndarray  # mean cosine between one step of the tail and the next; NaN if it never moved twice
    length: np.ndarray  # how far the tail went, along its path


def endings(
    problem: Problem,
    rule: Rule,
    steps: int,
    name: str,
    values: Sequence[float] | np.ndarray,
    *,
    tail: int,
    fence: tuple[Sequence[float] | np.ndarray, float],
    target: float,
    tolerance: float,
) -> Endings:
    """How the same run of 1 to LONGEST steps ends for 1 to ROOM values of one hyperparameter.

    Nothing is recorded on the way. `fence` is (centre (n,), radius). The runs go one after another within one
    program: vectorized over them it took as long, twice as long to compile, and one more compilation for each number
    of values.
    """
    traced = [param.name for param in rule.optimizer.params if not param.static]
    hypers = np.repeat(rule.hyper.traced[None], ROOM, axis=0)
    hypers[: len(values), traced.index(name)] = values
    compiled = program((problem.key, rule.key, "endings"), lambda: jax.jit(_build_endings(problem, rule)))
    arguments = _arguments(problem, rule, steps, steps, None)
    limits = np.array([fence[1], target, tolerance], dtype=np.float64)
    told = (np.int64(len(values)), np.int64(tail), np.asarray(fence[0], dtype=np.float64), limits)
    rows = np.asarray(compiled(hypers, *arguments, *told))[: len(values)]
    size = len(problem.theta0)
    return Endings(rows[:, :size], *rows[:, size:].T)


def begin_together(problem: Problem, rule: Rule, thetas: np.ndarray) -> State:
    """The state before the first step of k runs that start from thetas (k, n): a State whose arrays have k in front."""

    def build() -> Callable:
        return jax.jit(jax.vmap(_mover(problem, rule)[0], in_axes=(None, 0)))

    compiled = program((problem.key, rule.key, "begin"), build)
    values = {"problem": problem.values, "rule": rule.values, "horizon": np.float64(1)}
    return State(0, *jax.tree.map(np.asarray, compiled(values, thetas)))


def descend_together(
    problem: Problem, rule: Rule, steps: int, seeds: Sequence[int], state: State, *, horizon: int
) -> Together:
    """Take `steps` ≥ 1 steps of k runs at once, one for each seed, on from a state that `begin_together` or this gave.

    It is `descend` for problems with many parameters, and records little: what stays bounded however large θ is.
    Cut into pieces, a run stays the same bit for bit.
    """
    # what a program has room for is written over again and again: it never reads beyond the steps that it takes
    one = {name: (part.shape[2:], part.dtype) for name, part in problem.draw(seeds[0], state.t, 1).items()}
    bytes_a_step = len(seeds) * problem.places * sum(math.prod(shape) * dtype.itemsize for shape, dtype in one.values())
    room = int(np.clip(DRAWS_AT_MOST // bytes_a_step, 1, STRETCH))
    compiled = program((problem.key, rule.key, room, len(seeds), "together"), lambda: _build_together(problem, rule))
    values = {"problem": problem.values, "rule": rule.values, "horizon": np.float64(horizon)}
    carried, records, update, done = tuple(state[1:]), [], None, 0
    lead = (len(seeds), room, problem.places)
    draws = {name: aligned((*lead, *shape), dtype) for name, (shape, dtype) in one.items()}
    while done < steps:
        count = min(steps - done, room)
        for i, seed in enumerate(seeds):
            problem.draw(seed, state.t + done, count, {name: part[i] for name, part in draws.items()})
        arguments = (values, carried, np.int64(state.t + done), np.int64(count), draws)
        carried, record, update = compiled(*arguments)
        records.append(np.asarray(record)[:, :count])
        done += count
    value, norm, lr = np.moveaxis(np.concatenate(records, axis=1), -1, 0)
    last = State(state.t + steps, *jax.tree.map(np.asarray, carried))
    return Together(value, norm, lr, np.asarray(update), last)


def _build_together(problem: Problem, rule: Rule) -> Callable:
    """k runs that record only numbers, within one program. Where the problem has a plain form, both are compiled, and
    the values say which is run: so no slider compiles, and what nobody asks for costs nothing."""
    whole = _loop_together(problem, rule)
    if problem.plain is None:
        return jax.jit(whole)
    met, plain = problem.plain[0], _loop_together(problem.plain[1], rule)
    return jax.jit(lambda values, *more: jax.lax.cond(met(values["problem"]), plain, whole, values, *more))


def _loop_together(problem: Problem, rule: Rule) -> Callable:
    """k runs one after another.

    Vectorized over seeds, the kernel of a narrow network of four hidden layers took twice as long for each of 16 seeds
    as for one alone, and digits a third longer; only wide and shallow ones gained.
    """
    _, move = _mover(problem, rule)

    def run(values, carried, first, steps, draws):
        def alone(each):
            start, own = each

            def advance(i, now):
                carry, records, _ = now
                # Or each number that follows from the values alone becomes a program of its own before the loop, and
                # XLA hands many small programs to other threads, which takes longer than a hundred steps.
                here, _ = jax.lax.optimization_barrier((values, i))
                t = (first + i).astype(start[0].dtype)
                drawn = jax.tree.map(lambda draw: jax.lax.dynamic_index_in_dim(draw, i, keepdims=False), own)
                carry, (_, _, step, lr, *_), (value, norm) = move(here, carry, t, drawn)
                return carry, _put(records, jnp.stack([value, norm, lr]), i), step

            records = jnp.zeros((len(jax.tree.leaves(own)[0]), 3), start[0].dtype)
            return jax.lax.fori_loop(0, steps, advance, (start, records, jnp.zeros_like(start[0])))

        if len(carried[0]) == 1:  # or a copy is made of draws whose last axis has one place
            only = alone(jax.tree.map(lambda each: each[0], (carried, draws)))
            return jax.tree.map(lambda part: part[None], only)
        return jax.lax.map(alone, (carried, draws))

    return run


def _arguments(problem: Problem, rule: Rule, steps: int, horizon: int, state: State | None) -> tuple:
    """What a program is called with: values, what is carried from step to step, first step, steps, chance's part."""
    values = {"problem": problem.values, "rule": rule.values, "horizon": np.float64(horizon)}
    carried = (problem.theta0, None, None) if state is None else (state.theta, state.slots, state.memory)
    first = 0 if state is None else state.t
    return values, carried, np.int64(first), np.int64(steps), _draws(problem.draw, problem.seed, first)


@lru_cache(maxsize=32)
def _draws(draw: Callable, seed: int, first: int) -> Any:
    """What chance gives to each of the steps that a program can take, where the program wants it."""
    return jax.device_put(draw(seed, first, LONGEST))


def _piece(problem: Problem, rule: Rule, steps: int, horizon: int, state: State | None) -> Trajectory:
    fresh = state is None
    recorder = kept((problem.key, rule.key, fresh), lambda: Recorder(problem, rule, fresh))
    arguments = _arguments(problem, rule, steps, horizon, state)
    theta, loss, (grad, step, lr, slots, memory, scheduled), last = recorder(steps, arguments)
    *_, last_slots, last_memory, _ = last
    return Trajectory(
        theta=theta,
        loss=loss,
        grad=grad,
        step=step,
        lr=lr,
        slots=slots,
        scheduled=scheduled,
        memory=memory,
        measures={},
        state=State(int(arguments[2]) + steps, theta[-1].copy(), last_slots, last_memory),
    )


_rooms: defaultdict[int, list[jax.Array]] = defaultdict(list)  # by their width, those that no thread is using


class Recorder:
    """The loop, compiled, and how to read the records that it writes.

    All that a step leaves is one row of numbers, and the room for the rows is lent to programs again and again:
    fetching new memory, and one array for each thing recorded, would take longer than the run. The racers of a race run
    one after another, so that most share one room, which then lies in the processor's cache.
    """

    def __init__(self, problem: Problem, rule: Rule, fresh: bool):
        self._run, record = _build(problem, rule, fresh)
        leaves, self._tree = jax.tree.flatten(record)
        ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])
        self._columns = [
            (slice(end - math.prod(leaf.shape), end), leaf.shape, None if leaf.dtype == np.float64 else leaf.dtype)
            for end, leaf in zip(ends.tolist(), leaves, strict=True)
        ]
        self.width = int(ends[-1])
        self._numbers = ctypes.c_double * ((LONGEST + 1) * self.width)

        def make() -> Any:
            # a function of its own, for JAX keeps what it traced while its function lives
            def run(numbers, draws, room):
                return self._run(lambda: self._sent.unpack(numbers), draws, room)

            return jax.jit(run, donate_argnums=2, compiler_options=IN_THE_LOOP)

        self._compiled, self._sent = Compiled(make), _Packing()

    def run(self, values: Any, carried: Any, first: Any, steps: Any, draws: Any, rows: Any) -> jax.Array:
        """The loop as a pure function, which writes its records into `rows`."""
        return self._run(lambda: (values, carried, first, steps), draws, rows)

    def clear_cache(self) -> None:
        """Forget the compiled program."""
        self._compiled.clear_cache()

    def __call__(self, steps: int, arguments: tuple) -> tuple:
        """θ (T + 1, n), the loss (T + 1,), and what each of the T steps recorded."""
        try:
            room = _rooms[self.width].pop()
        except IndexError:
            room = jnp.zeros((LONGEST + 1, self.width))
        *numbers, draws = arguments
        room = self._compiled(self._sent.pack(numbers), draws, room)
        # Read where it lies: a view that JAX knows of would be in the way of the next run, which then copied the room.
        lies = memoryview(self._numbers.from_address(room.unsafe_buffer_pointer()))
        rows = np.frombuffer(lies).reshape(-1, self.width)[: steps + 1].copy()
        if len(_rooms[self.width]) < ROOMS_AT_MOST:
            _rooms[self.width].append(room)
        return self.unpack(rows)

    def unpack(self, rows: np.ndarray) -> tuple:
        """Rows as the arrays that were packed into them: θ, the loss, what each step recorded, and the last step's
        record alone. The last row, from which no step was taken, has θ and loss only."""
        stood, taken = _cut(rows, self._columns[:2]), _cut(rows[:-1], self._columns[2:])
        theta, loss, record = jax.tree.unflatten(self._tree, [*stood, *taken])
        *_, last = jax.tree.unflatten(self._tree, [*stood, *(array[-1] for array in taken)])
        return theta, loss, record, last


class _Packing:
    """Numbers of the same shapes and types, again and again as one vector: each array that a program is given costs as
    much time as twenty steps of a run."""

    def __init__(self):
        self._kinds: list[tuple[tuple[int, ...], Any]] | None = None
        self._tree: Any = None

    def pack(self, numbers: Any) -> np.ndarray:
        """All of them, which float64 must be able to hold."""
        leaves, tree = jax.tree.flatten(numbers)
        if self._kinds is None:
            self._tree, self._kinds = tree, [(np.shape(leaf), leaf.dtype) for leaf in leaves]
        return np.concatenate([leaf.ravel() for leaf in leaves], dtype=np.float64)

    def unpack(self, packed: jax.Array) -> Any:
        """What was packed, within a program."""
        assert self._kinds is not None, "what is unpacked was packed before"
        ends = np.cumsum([math.prod(shape) for shape, _ in self._kinds])
        pieces = jnp.split(packed, ends[:-1].tolist())
        leaves = [piece.reshape(shape).astype(dtype) for piece, (shape, dtype) in zip(pieces, self._kinds, strict=True)]
        return jax.tree.unflatten(self._tree, leaves)


def _cut(rows: np.ndarray, columns: Sequence[tuple[slice, tuple[int, ...], Any]]) -> list[np.ndarray]:
    """The arrays that lie in these columns, in views where they are of the rows' own type. It is done for every racer
    at every move of a slider, so nothing is asked of an array that it is already."""
    parts = [rows[:, own] if len(shape) == 1 else rows[:, own].reshape(-1, *shape) for own, shape, _ in columns]
    return [part if dtype is None else part.astype(dtype) for part, (*_, dtype) in zip(parts, columns, strict=True)]


def _build(problem: Problem, rule: Rule, fresh: bool) -> tuple[Callable, Any]:
    """The pure function that one compilation turns into a program, and the shapes of what a row of its records holds.

    `given()` is (values, what is carried, the first step's number, steps). It takes so many steps, and returns `rows`
    with one row for each and one for the end.
    """
    begin, move = _mover(problem, rule)

    def start(values, carried):
        return begin(values, carried[0]) if fresh else carried

    def step(values, carry, first, i, draws):
        t, draw = (first + i).astype(carry[0].dtype), jax.tree.map(lambda draw: draw[i], draws)
        after, (_, *record), _ = move(values, carry, t, draw)
        return after, (carry[0], problem.loss(carry[0], values["problem"]), tuple(record))

    def run(given, draws, rows):
        values, carried, _, steps = given()

        def advance(i, now):
            (carry, rows), (values, _, first, _) = now, given()  # in the loop, too: see IN_THE_LOOP
            carry, record = step(values, carry, first, i, draws)
            return carry, _put(rows, _row(record, rows.dtype), i)

        (last, *_), rows = jax.lax.fori_loop(0, steps, advance, (start(values, carried), rows))
        end = _row((last, problem.loss(last, values["problem"])), rows.dtype)
        return jax.lax.dynamic_update_slice(rows, end[None], (steps, jnp.zeros_like(steps)))

    def shapes(values, carried, first, _, draws):
        return step(values, begin(values, carried[0]), first, 0, draws)[1]

    return run, jax.eval_shape(shapes, *_arguments(problem, rule, 1, 1, None))


def _build_lean(problem: Problem, rule: Rule, room: int) -> Callable:
    """The same run for a sweep, which records only where it stood, every so many steps."""
    begin, move = _mover(problem, rule)

    def run(hyper, values, carried, first, steps, draws, every):
        values = {**values, "rule": {**values["rule"], "hyper": hyper}}
        theta0 = carried[0]

        def draw_at(i):
            return jax.tree.map(lambda draw: draw[i], draws)

        def advance(i, now):
            carry, thetas = now
            carry, *_ = move(values, carry, (first + i).astype(theta0.dtype), draw_at(i))
            return carry, _put(thetas, carry[0], i // every + 1)  # the last of those that share a place stays

        thetas = jnp.zeros((room, *theta0.shape)).at[0].set(theta0)
        thetas = jax.lax.fori_loop(0, steps, advance, (begin(values, theta0), thetas))[1]
        kept = jnp.minimum(jnp.arange(room) * every, steps - 1)
        losses = jax.vmap(lambda theta: problem.loss(theta, values["problem"]))(thetas)
        slope = jax.grad(problem.objective)
        return thetas, losses, jax.vmap(lambda theta, i: slope(theta, draw_at(i), values["problem"]))(thetas, kept)

    return run


def _build_endings(problem: Problem, rule: Rule) -> Callable:
    """Runs one after another, of which one row of numbers each is left: θ and the other fields of Endings."""
    begin, move = _mover(problem, rule)

    def run(hypers, values, carried, first, steps, draws, count, tail, centre, limits):
        theta0 = carried[0]
        radius, target, tolerance = limits
        never = jnp.asarray(jnp.inf, theta0.dtype)

        def loss_at(theta):
            return problem.loss(theta, values["problem"])

        def gone(theta, loss):
            return ~((jnp.sqrt(jnp.sum((theta - centre) ** 2)) <= radius) & jnp.isfinite(loss))

        def alone(hyper):
            own = {**values, "rule": {**values["rule"], "hyper": hyper}}

            def advance(i, now):
                carry, before, (lowest, lost, settled, begun, low, high, turned, turns, length) = now
                draw = jax.tree.map(lambda draw: jax.lax.dynamic_index_in_dim(draw, i, keepdims=False), draws)
                carry, (_, _, step, *_), _ = move(own, carry, (first + i).astype(theta0.dtype), draw)
                loss, done = loss_at(carry[0]), (i + 1).astype(theta0.dtype)
                inside, size = i + 1 > steps - tail, jnp.sqrt(jnp.sum(step**2))  # of the tail, this step
                product = size * jnp.sqrt(jnp.sum(before**2))
                turning = inside & (i > steps - tail) & (product > 0)
                return (
                    carry,
                    step,
                    (
                        jnp.where(jnp.isfinite(loss), jnp.minimum(lowest, loss), lowest),
                        jnp.where(gone(carry[0], loss), jnp.minimum(lost, done), lost),
                        jnp.where(loss - target <= tolerance, jnp.minimum(settled, done), never),
                        jnp.where(i + 1 == steps - tail, loss, begun),
                        jnp.where(i + 1 >= steps - tail, jnp.minimum(low, loss), low),
                        jnp.where(i + 1 >= steps - tail, jnp.maximum(high, loss), high),
                        turned + jnp.where(turning, jnp.sum(step * before) / product, 0.0),
                        turns + turning,
                        length + jnp.where(inside, size, 0.0),
                    ),
                )

            loss0, zero = loss_at(theta0), jnp.zeros((), theta0.dtype)
            whole = tail >= steps  # then the start lies in the tail too
            known = (
                jnp.where(jnp.isfinite(loss0), loss0, never),
                jnp.where(gone(theta0, loss0), zero, never),
                jnp.where(loss0 - target <= tolerance, zero, never),
                loss0,
                jnp.where(whole, loss0, never),
                jnp.where(whole, loss0, -never),
                zero,
                zero,
                zero,
            )
            carry, _, known = jax.lax.fori_loop(0, steps, advance, (begin(own, theta0), jnp.zeros_like(theta0), known))
            lowest, lost, settled, begun, low, high, turned, turns, length = known
            numbers = (loss_at(carry[0]), lowest, lost, settled, begun, low, high, turned / turns, length)
            return jnp.concatenate([carry[0], jnp.stack(numbers)])

        rows = jnp.zeros((ROOM, len(theta0) + len(Endings._fields) - 1))
        return jax.lax.fori_loop(0, count, lambda i, rows: _put(rows, alone(hypers[i]), i), rows)

    return run


def _put(records: Any, record: Any, i: Any) -> Any:
    """The records with one more at place i. Written without `.at`, whose scatter would break up the compiled loop."""
    return jax.tree.map(lambda all_, one: jax.lax.dynamic_update_index_in_dim(all_, one, i, 0), records, record)


def _row(record: Any, dtype: Any) -> jax.Array:
    return jnp.concatenate([jnp.ravel(part).astype(dtype) for part in jax.tree.leaves(record)])


def _mover(problem: Problem, rule: Rule) -> tuple[Callable, Callable]:
    """The first state and one move, as pure functions of the values that a program is given. A move gives what is
    carried on, its record, and (the step's loss, the length of its gradient before anything was done to it)."""
    # Only what is compiled in may be used of problem and rule here: their values are arguments.
    optimizer, static = rule.optimizer, rule.hyper.static
    schedules = {name: (entry, own.static) for name, (entry, own) in rule.schedules.items()}
    objective, slope, treat_gradient, treat_step = (
        problem.objective,
        problem.slope,
        problem.treat_gradient,
        problem.treat_step,
    )
    watched = any({"value", "news"} & set(entry.needs) for entry, _ in schedules.values())
    see = _watcher(problem) if watched else lambda theta, t, values: (None, None)

    def begin(values, theta0):
        slots = optimizer.start(theta0, optimizer.unpack(values["rule"]["hyper"], static))
        return theta0, slots, {name: jax.tree.map(jnp.asarray, entry.init()) for name, (entry, _) in schedules.items()}

    def move(values, carry, t, draw):
        theta, slots, memory = carry
        hyper0 = optimizer.unpack(values["rule"]["hyper"], static)

        def loss(at):
            return objective(at, draw, values["problem"])

        def sloped(at):
            value, raw, norm = slope(at, draw, values["problem"])
            return value, treat_gradient(raw, norm, values["problem"]), norm

        def gradient_at(at):
            return sloped(at)[1]

        value, grad, norm = sloped(theta)
        seen, news = see(theta, t, values["problem"])
        memory, scheduled = dict(memory), {}
        for name, (entry, own_static) in schedules.items():
            own = entry.unpack(values["rule"]["schedules"][name], own_static)
            known = {"peak": hyper0[name], "steps": values["horizon"], "value": seen, "news": news}
            scheduled[name], memory[name] = entry.at(t, memory[name], **known, **own)
        hyper = hyper0 | scheduled
        supplied = {"t": t + 1, "theta": theta, "value": value, "loss": loss, "gradient_at": gradient_at}
        asked = {name: supplied[name] for name in optimizer.needs}
        step, slots = optimizer.fn(grad, **slots, **hyper, **asked)
        step = treat_step(step, values["problem"])
        carry = (theta + step, slots, memory)
        return carry, (theta + step, grad, step, hyper["lr"], slots, memory, scheduled), (value, norm)

    return begin, move


def _watcher(problem: Problem) -> Callable:
    """What schedules see before step t: the watched loss, and whether it is news. Without news it is NaN."""
    loss, watch = problem.loss, problem.watch
    if watch is None:
        return lambda theta, t, values: (loss(theta, values), True)

    def see(theta, t, values):
        news = t % values["every"] == 0
        return jax.lax.cond(news, watch, lambda theta, values: jnp.full((), jnp.nan, theta.dtype), theta, values), news

    return see
