"""The calibration page's work: many optimizers at many learning rates, against a Python loop over torch.optim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.report import Bar, Benchmark, NotMeasured, Reading, Readings, median_ratio, seconds
from benchmarks.surfaces import START, rosenbrock, timed
from optviz.calibration import FIRST_ORDER, Calibration, measure
from optviz.experiment import Experiment, Pick

OPTIMIZERS, RATES, STEPS = 15, 40, 500
ROUNDS, MOVES = 3, 5
SAMPLE = 2  # of the 40 runs of each rule in torch: its smallest and its middle rate, which do not diverge at once
TORCH = {  # what torch has of ours with the same defaults, and what it is called there
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "adadelta": ("Adadelta", {}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
    "nadam": ("NAdam", {}),
    "optax_radam": ("RAdam", {}),
    "optax_adamax": ("Adamax", {}),
}
CHECKED = ("sgd", "momentum", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "nadam")
HOME = Calibration(
    Experiment(Pick("rosenbrock"), start=START, steps=STEPS),
    low=1e-5,
    high=1.0,
    count=RATES,
    optimizers=FIRST_ORDER[:OPTIMIZERS],
)


def final_loss(name: str, rate: float, options: dict[str, float]) -> float:
    """The loss where one run of torch.optim ends, as torch's own examples would write the loop."""
    import torch

    theta = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, name)([theta], lr=rate, **options)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = rosenbrock(theta)
        loss.backward()
        optimizer.step()
    return float(rosenbrock(theta).detach())


def moves() -> Callable[[], object]:
    """A slider that is moved: a start that never was before, so that nothing comes from a cache."""
    count = 0

    def move() -> object:
        nonlocal count
        count += 1
        return measure(replace(HOME, on=replace(HOME.on, start=(START[0], START[1] + 1e-7 * count))))

    return move


def calibration() -> Readings:
    """`calibration.measure` of 15 first-order rules at 40 learning rates from 1e-5 to 1, 500 steps each, from a start
    that never was before, with the words for each of the 600 runs, everything compiled. Against it the same runs in a
    Python loop over torch.optim, which records nothing but the final loss: of each of the ten of these rules that torch
    has, two runs are made in each round (at its smallest rate and at 0.0002; from 0.001 on, gradient descent leaps
    about on this surface, and a rounding decides where it ends), and the time of a run, the mean over all of these, is
    multiplied by 600. That both end at the same loss is checked for eight rules whose conventions agree.
    Three rounds in turns."""
    try:
        import torch  # noqa: F401  (whether it is there)
    except ImportError:
        raise NotMeasured("PyTorch is not installed") from None
    assert len(HOME.optimizers) == OPTIMIZERS
    curves = {curve.name: curve for curve in measure(HOME)}
    runs = [(key, i) for key in TORCH for i in (0, RATES // 4)[:SAMPLE]]

    def looped() -> list[float]:
        return [final_loss(TORCH[key][0], float(HOME.rates[i]), TORCH[key][1]) for key, i in runs]

    for (key, i), theirs in zip(runs, looped(), strict=True):
        if key in CHECKED and np.isfinite(theirs):
            np.testing.assert_allclose(curves[key].height[i], theirs, rtol=1e-6, err_msg=key)
    move = moves()
    move()
    ours, loop = [], []
    for _ in range(ROUNDS):
        ours.append(timed(move, MOVES))
        loop.append(timed(looped) / len(runs) * OPTIMIZERS * RATES)
    detail = (
        f"{seconds(float(np.median(ours)))} against {seconds(float(np.median(loop)))}, reckoned from 20 of 600 runs"
    )
    return {"torch": Reading(median_ratio(loop, ours), detail)}


BENCHMARKS = {
    "calibration": Benchmark(
        calibration,
        {"torch": Bar("15 optimizers × 40 learning rates × 500 steps, one slider move: against torch.optim", "×",
                      at_least=500)},
    )
}  # fmt: skip
