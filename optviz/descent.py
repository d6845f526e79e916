"""The loop: the only place in the project where an optimizer moves.

`descend` takes a problem and a rule and returns the whole history as NumPy arrays. It is one `lax.scan`, compiled once
for a problem, a rule and one of a few lengths. All numbers, hyperparameters included, are arguments of the compiled
program, so that a slider never compiles anything.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz.optimizers import Optimizer
from optviz.problems import Problem
from optviz.programs import program
from optviz.schedules import Schedule
from optviz.spec import Hyper

LENGTHS = (500, 1500, 5000)  # steps a program is compiled for: a run goes to the next of them and is cut


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
    the step's noise and penalty in it; `loss` has neither. Slots are as the step left them.
    """

    theta: np.ndarray  # (T + 1, n)
    loss: np.ndarray  # (T + 1,)
    grad: np.ndarray  # (T, n)
    step: np.ndarray  # (T, n)
    lr: np.ndarray  # (T,)
    slots: dict[str, Any]  # name -> pytree with leading axis T
    scheduled: dict[str, np.ndarray]  # name of each scheduled hyperparameter -> (T,)
    measures: dict[str, np.ndarray]
    state: State

    @property
    def steps(self) -> int:
        return len(self.lr)


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
        length = min(steps - done, LENGTHS[-1])
        pieces.append(_piece(problem, rule, length, horizon, state))
        state, done = pieces[-1].state, done + length
    if len(pieces) == 1:
        return pieces[0]

    later = [piece._replace(theta=piece.theta[1:], loss=piece.loss[1:]) for piece in pieces[1:]]
    records = [piece._replace(state=None) for piece in (pieces[0], *later)]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *records)._replace(state=state)


def sweep(
    problem: Problem, rule: Rule, steps: int, name: str, values: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same run for many values of one hyperparameter, by one call of one program.

    Returns θ (k, steps + 1, n), the loss (k, steps + 1) and the gradients (k, steps, n) for k values.
    """
    traced = [param.name for param in rule.optimizer.params if not param.static]
    hypers = np.repeat(rule.hyper.traced[None], len(values), axis=0)
    hypers[:, traced.index(name)] = values
    length = next(length for length in LENGTHS if length >= steps)

    def build() -> Callable:
        run = _build(problem, rule, length, fresh=True)

        def lean(hyper, values, carried, first, draws):
            thetas, losses, (grads, *_) = run(
                {**values, "rule": {**values["rule"], "hyper": hyper}}, carried, first, draws
            )
            return thetas, losses, grads

        return jax.vmap(lean, in_axes=(0, None, None, None, None))

    compiled = program((problem.key, rule.key, length, "sweep"), build)
    thetas, losses, grads = map(np.asarray, compiled(hypers, *_arguments(problem, rule, steps, length, None)))
    return thetas[:, : steps + 1], losses[:, : steps + 1], grads[:, :steps]


def _arguments(problem: Problem, rule: Rule, horizon: int, length: int, state: State | None) -> tuple:
    """What a program is called with: values, what is carried from step to step, the first step, chance's part."""
    values = {"problem": problem.values, "rule": rule.values, "horizon": np.float64(horizon)}
    carried = (problem.theta0, None, None) if state is None else (state.theta, state.slots, state.memory)
    first = 0 if state is None else state.t
    return values, carried, np.int64(first), _draws(problem.draw, problem.seed, first, length)


@lru_cache(maxsize=32)
def _draws(draw: Callable, seed: int, first: int, length: int) -> Any:
    """What chance gives to each of `length` steps. A program of its own, which all rules share: random numbers take
    longer to compile than any rule."""
    compiled = program(("draws", draw, length), lambda: jax.vmap(draw, in_axes=(None, 0)))
    key = np.array([0, seed], dtype=np.uint32)
    return jax.tree.map(np.asarray, compiled(key, np.arange(first, first + length)))


def _piece(problem: Problem, rule: Rule, steps: int, horizon: int, state: State | None) -> Trajectory:
    length = next(length for length in LENGTHS if length >= steps)
    fresh = state is None
    compiled = program((problem.key, rule.key, length, fresh), lambda: _build(problem, rule, length, fresh))
    first = 0 if state is None else state.t
    theta, loss, records = jax.tree.map(np.asarray, compiled(*_arguments(problem, rule, horizon, length, state)))
    grad, step, lr, slots, memory, scheduled = jax.tree.map(lambda record: record[:steps], records)
    last = jax.tree.map(lambda record: record[-1], (slots, memory))
    return Trajectory(
        theta=theta[: steps + 1],
        loss=loss[: steps + 1],
        grad=grad,
        step=step,
        lr=lr,
        slots=slots,
        scheduled=scheduled,
        measures={},
        state=State(first + steps, theta[steps], *last),
    )


def _build(problem: Problem, rule: Rule, length: int, fresh: bool) -> Callable:
    """The pure function that one compilation turns into a program."""
    # Only what is compiled in may be used of problem and rule here: their values are this function's arguments.
    optimizer, static = rule.optimizer, rule.hyper.static
    schedules = {name: (entry, own.static) for name, (entry, own) in rule.schedules.items()}
    objective, loss_of = problem.objective, problem.loss

    def run(values, carried, first, draws):
        theta0, slots0, memory0 = carried
        hyper0 = optimizer.unpack(values["rule"]["hyper"], static)
        if fresh:
            slots0 = optimizer.start(theta0, hyper0)
            memory0 = {name: jax.tree.map(jnp.asarray, entry.init()) for name, (entry, _) in schedules.items()}

        def move(carry, now):
            theta, slots, memory = carry
            t, draw = now

            def loss(at):
                return objective(at, draw, values["problem"])

            gradient_at = jax.grad(loss)
            grad = gradient_at(theta)
            memory, scheduled = dict(memory), {}
            for name, (entry, own_static) in schedules.items():
                own = entry.unpack(values["rule"]["schedules"][name], own_static)
                known = {"peak": hyper0[name], "steps": values["horizon"], "value": loss(theta)}
                scheduled[name], memory[name] = entry.at(t, memory[name], **known, **own)
            hyper = hyper0 | scheduled
            supplied = {"t": t + 1, "theta": theta, "value": loss(theta), "loss": loss, "gradient_at": gradient_at}
            asked = {name: supplied[name] for name in optimizer.needs}
            step, slots = optimizer.fn(grad, **slots, **hyper, **asked)
            return (theta + step, slots, memory), (theta + step, (grad, step, hyper["lr"], slots, memory, scheduled))

        times = first + jnp.arange(length)
        _, (thetas, records) = jax.lax.scan(move, (theta0, slots0, memory0), (times.astype(theta0.dtype), draws))
        thetas = jnp.concatenate([theta0[None], thetas])
        return thetas, jax.vmap(lambda theta: loss_of(theta, values["problem"]))(thetas), records

    return run
