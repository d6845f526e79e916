"""Descent on surfaces, without a browser: against PyTorch, against optax, and at the speed of a slider.

The contenders take turns within each round, so that a machine that is busy for a second is so for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optviz
from benchmarks.report import Bar, Benchmark, Missing, Reading, Readings, median_ratio, seconds
from optviz import Pick, descent
from optviz.experiment import Experiment, Racer, run
from optviz.problems import from_surface

STEPS, START = 1000, (-1.2, 1.0)
ROUNDS = 11
REPEATS = 100  # of ours in one round, which is otherwise too short to be timed
MOVES = 100  # of a slider


class Rule(NamedTuple):
    """One rule as three libraries call it."""

    ours: Pick
    torch: str
    options: dict[str, float | bool]  # of torch
    optax: optax.GradientTransformation


RULES = (
    Rule(Pick("sgd", {"lr": 1e-3}), "SGD", {"lr": 1e-3}, optax.sgd(1e-3)),
    Rule(
        Pick("sgd", {"lr": 5e-4, "momentum": 0.9}),
        "SGD",
        {"lr": 5e-4, "momentum": 0.9},
        optax.sgd(5e-4, momentum=0.9),
    ),
    Rule(
        Pick("sgd", {"lr": 5e-4, "momentum": 0.9, "nesterov": True}),
        "SGD",
        {"lr": 5e-4, "momentum": 0.9, "nesterov": True},
        optax.sgd(5e-4, momentum=0.9, nesterov=True),
    ),
    Rule(Pick("adagrad", {"lr": 0.1}), "Adagrad", {"lr": 0.1}, optax.adagrad(0.1)),
    Rule(Pick("rmsprop", {"lr": 1e-3}), "RMSprop", {"lr": 1e-3}, optax.rmsprop(1e-3)),
    Rule(Pick("adadelta", {"lr": 1.0}), "Adadelta", {"lr": 1.0}, optax.adadelta(1.0)),
    Rule(Pick("adam", {"lr": 0.02}), "Adam", {"lr": 0.02}, optax.adam(0.02)),
    Rule(Pick("adam", {"lr": 0.02, "amsgrad": True}), "Adam", {"lr": 0.02, "amsgrad": True}, optax.amsgrad(0.02)),
    Rule(Pick("adamw", {"lr": 0.02}), "AdamW", {"lr": 0.02}, optax.adamw(0.02)),
    Rule(Pick("nadam", {"lr": 0.02}), "NAdam", {"lr": 0.02}, optax.nadam(0.02)),
)


def rosenbrock(theta):
    return (1 - theta[0]) ** 2 + 100 * (theta[1] - theta[0] ** 2) ** 2


def with_trace(rule: Rule, steps: int = STEPS) -> np.ndarray:
    """The path (steps + 1, 2), with the loss, gradients, steps, rates and slots that come along."""
    return optviz.trace("rosenbrock", rule.ours.key, steps=steps, start=START, **dict(rule.ours.values)).theta


def with_descend() -> Callable[[Rule], np.ndarray]:
    """A function that walks the same path by the loop itself, with rules that are put together here, once, as the app
    keeps them."""
    problem = from_surface(optviz.SURFACES["rosenbrock"], START)
    bound = {id(rule): descent.rule(optviz.OPTIMIZERS[rule.ours.key], dict(rule.ours.values)) for rule in RULES}
    return lambda rule: descent.descend(problem, bound[id(rule)], STEPS).theta


def with_torch(rule: Rule, steps: int = STEPS) -> np.ndarray:
    """The path, as torch's own examples would record it: eager, with loss and gradient of each step."""
    import torch

    theta = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, rule.torch)([theta], **rule.options)
    path, losses, gradients = [theta.detach().clone()], [], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = rosenbrock(theta)
        loss.backward()
        optimizer.step()
        path.append(theta.detach().clone())
        losses.append(loss.detach())
        gradients.append(theta.grad.clone())  # type: ignore[union-attr]  (backward() has made it)
    return torch.stack(path).numpy()


def per_step_optax() -> Callable[[Rule], np.ndarray]:
    """A function that walks a rule's path with optax as its documentation shows it: one jitted step, called in a loop.

    The steps are compiled here, once, so that only walking is timed.
    """

    def stepper(rule: Rule) -> Callable:
        @jax.jit
        def step(theta, state):
            loss, gradient = jax.value_and_grad(rosenbrock)(theta)
            updates, state = rule.optax.update(gradient, state, theta)
            return optax.apply_updates(theta, updates), state, loss, gradient

        return step

    steppers = {id(rule): stepper(rule) for rule in RULES}

    def walk(rule: Rule) -> np.ndarray:
        step, theta = steppers[id(rule)], jnp.array(START)
        state = rule.optax.init(theta)
        path, losses, gradients = [theta], [], []
        for _ in range(STEPS):
            theta, state, loss, gradient = step(theta, state)
            path.append(theta)
            losses.append(loss)
            gradients.append(gradient)
        return np.array(jax.device_get(path))

    for rule in RULES:
        jax.block_until_ready(steppers[id(rule)](jnp.array(START), rule.optax.init(jnp.array(START))))
    return walk


def timed(work: Callable[[], object], repeats: int = 1) -> float:
    """Seconds that one call takes, on average."""
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - began) / repeats


def trajectories() -> Readings:
    """SGD, momentum, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam, AMSGrad, AdamW and NAdam each take 1,000 steps from
    (−1.2, 1) in double precision, and keep every point, loss and gradient. Eleven rounds; in each, torch.optim runs
    eagerly once, optax runs its jitted step in a Python loop once, and `descend`, which is what the app calls for each
    racer, runs a hundred times. Rules are put together and programs compiled before. `optviz.trace` checks its
    arguments and puts the rule together at each call; how it does is stated too. That PyTorch walks the same first
    hundred steps is checked; optax has defaults of its own."""
    per_step, loop = per_step_optax(), with_descend()
    for rule in RULES:
        np.testing.assert_array_equal(loop(rule), with_trace(rule))
    walks = {"ours": loop, "trace": with_trace, "optax": per_step}
    try:
        import torch  # noqa: F401  (whether it is there)

        for rule in RULES:
            np.testing.assert_allclose(with_torch(rule, 100), with_trace(rule, 100), rtol=1e-9, err_msg=str(rule.ours))
        walks["torch"] = with_torch
    except ImportError:
        pass
    taken: dict[str, list[float]] = {name: [] for name in walks}
    for _ in range(ROUNDS):
        for name, walk in walks.items():
            repeats = REPEATS if name in ("ours", "trace") else 1
            taken[name].append(timed(lambda walk=walk: [walk(rule) for rule in RULES], repeats))

    def against(name: str) -> Reading | Missing:
        if name not in taken:
            return Missing("not measured: PyTorch is not installed")
        ours, theirs = (seconds(float(np.median(taken[one]))) for one in ("ours", name))
        by_trace = f"by optviz.trace {median_ratio(taken[name], taken['trace']):,.0f} ×"
        return Reading(median_ratio(taken[name], taken["ours"]), f"{ours} against {theirs}; {by_trace}")

    return {"torch": against("torch"), "optax": against("optax")}


SIX = Experiment(
    Pick("rosenbrock"),
    steps=500,
    racers=tuple(Racer.tuned(key, "rosenbrock") for key in ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw")),
)


def slider() -> Readings:
    """`experiment.run` of SGD, momentum, AdaGrad, RMSProp, Adam and AdamW over 500 steps, with the verdict on each run,
    and everything compiled. A shared slider is a start that never was before, so that all six run anew; a racer's own
    is a learning rate that never was before, so that one runs and five come from the cache. Medians of 100 moves that
    take turns."""
    run(SIX)
    shared, own = [], []
    for move in range(MOVES):
        everywhere = replace(SIX, start=(START[0], START[1] + 1e-6 * (move + 1)))
        shared.append(timed(lambda elsewhere=everywhere: run(elsewhere)))
        racer = SIX.racers[4]
        changed = everywhere.with_racer(4, racer.but(lr=float(racer.values["lr"]) * (1 + 1e-6 * (move + 1))))
        own.append(timed(lambda changed=changed: run(changed)))
    return {
        name: Reading(1e3 * float(np.median(times)), f"19 of 20 within {seconds(float(np.percentile(times, 95)))}")
        for name, times in (("shared", shared), ("own", own))
    }


BENCHMARKS = {
    "trajectories": Benchmark(
        trajectories,
        {
            "torch": Bar("10 optimizers × 1,000 steps, whole history: against torch.optim", "×", at_least=2000),
            "optax": Bar("10 optimizers × 1,000 steps, whole history: against per-step optax", "×", at_least=250),
        },
    ),
    "slider": Benchmark(
        slider,
        {
            "shared": Bar("6 optimizers × 500 steps, a slider that all share is moved", "ms", at_most=3),
            "own": Bar("6 optimizers × 500 steps, a slider of one of them is moved", "ms", at_most=3),
        },
    ),
}
