"""Mistakes that other teaching demos shipped, each a test by name.

What guards them in depth is in the tests of the rooms (every optimizer and schedule against references, every surface
against its formula written a second time); here each mistake is stated once, with its symptom, and must not occur.
"""

import math

import numpy as np
import pytest

import optviz
from optviz.descent import descend, rule, sweep
from optviz.doctor import outcome
from optviz.experiment import Racer
from optviz.optimizers import OPTIMIZERS
from optviz.problems import from_surface
from optviz.schedules import SCHEDULES
from optviz.surfaces import SURFACES
from optviz.tuning import tuned_lr


def test_mistake_adam_multiplies_by_the_bias_correction():
    """On a slope that never changes a corrected Adam steps η each time; one that multiplies is far off at first."""
    slope = optviz.surface("3x - 2y")
    steps = optviz.trace(slope, "adam", steps=50, lr=0.01).step
    np.testing.assert_allclose(steps, np.tile([-0.01, 0.01], (50, 1)), rtol=1e-8)

    multiplied = 0.01 * (1 - 0.9) ** 2 / (1 - 0.999)  # the first step of the mistaken form: m·(1 − β₁)/√(v·(1 − β₂))
    assert multiplied / 0.01 == pytest.approx(10)


@pytest.mark.parametrize("key", SCHEDULES)
def test_mistake_a_schedule_goes_negative_beyond_its_end(key):
    """A run of three times the schedule's length: a negative rate would be gradient ascent."""
    still = from_surface(SURFACES["sphere"], (0.0, 0.0))
    scheduled = rule(OPTIMIZERS["sgd"], {"lr": 0.3}, {"lr": (SCHEDULES[key], {})})
    rates = descend(still, scheduled, 300, horizon=100).lr
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
    assert rates.max() <= 0.3 * (1 + 1e-12)


def test_mistake_a_position_is_clamped_to_the_picture():
    """x ← x − lr·2x grows by 1.4 a step for ever: no window, and no largest gradient, holds it back."""
    run = optviz.trace("sphere", "sgd", steps=2500, start=(4.0, 3.0), lr=1.2)
    left, right, bottom, top = SURFACES["sphere"].window
    t = np.arange(101)[:, None]
    np.testing.assert_allclose(run.theta[:101], np.array([4.0, 3.0]) * (-1.4) ** t, rtol=1e-12)
    np.testing.assert_allclose(run.grad[:101], 2 * run.theta[:101], rtol=1e-15)
    assert np.abs(run.theta[100]).max() > 1e6 * max(-left, right, -bottom, top)
    assert not np.isfinite(run.theta[-1]).any()
    assert outcome(run, SURFACES["sphere"].minima_at({}), SURFACES["sphere"].window, 1e-6).state == "diverged"


TEXTBOOK = {
    "sphere": ((4, 3), 25.0),
    "rosenbrock": ((-1.2, 1.0), 24.2),
    "beale": ((0.0, 0.0), 1.5**2 + 2.25**2 + 2.625**2),
    "booth": ((0.0, 0.0), 74.0),
    "matyas": ((10.0, -10.0), 0.26 * 200 + 48),
    "himmelblau": ((0.0, 0.0), 170.0),
    "three_hump_camel": ((1.0, 1.0), 2 - 1.05 + 1 / 6 + 2),
    "goldstein_price": ((0.0, -1.0), 3.0),
    "styblinski_tang": ((1.0, 1.0), -10.0),
    "rastrigin": ((0.5, 0.5), 40.5),
    "easom": ((math.pi, math.pi), -1.0),
}


@pytest.mark.parametrize("key", TEXTBOOK)
def test_mistake_a_surface_is_rescaled(key):
    """The loss of a run is the textbook's, at a point where that is a number to write down."""
    start, value = TEXTBOOK[key]
    assert optviz.trace(key, "sgd", steps=1, start=start, lr=0.0).loss[0] == pytest.approx(value, rel=1e-14, abs=1e-14)


def test_mistake_textbook_rates_are_useless():
    """2/λmax at Rosenbrock's minimum is 0.0020: nothing between surface and rule changes the scale."""
    curvature = np.linalg.eigvalsh([[802.0, -400.0], [-400.0, 200.0]])[1]
    near = {share: optviz.trace("rosenbrock", "sgd", steps=2000, start=(1.0, 1 + 1e-6), lr=share * 2 / curvature).loss
            for share in (0.98, 1.02)}  # fmt: skip
    assert near[0.98][-1] < near[0.98][0]
    assert not near[1.02][-1] < 1e3 * near[1.02][0]


@pytest.mark.parametrize("start", [(-1.2, 1.0), (1.0, 1.0), (1e3, -1e3), (1e-8, 0.0)])
def test_mistake_gradients_by_finite_differences(start):
    """Exact to rounding, also where values are huge and where they vanish."""
    (x, y), run = start, optviz.trace("rosenbrock", "sgd", steps=1, start=start, lr=1e-3)
    parts = np.array([[-2 * (1 - x), -400 * x * (y - x**2)], [0.0, 200 * (y - x**2)]])
    assert np.abs(run.grad[0] - parts.sum(axis=1)).max() <= 1e-15 * max(1.0, np.abs(parts).max())


@pytest.mark.parametrize(
    ("surface", "start", "lr", "steps"),
    [("bounded_saddle", (1.0, 1e-6), 0.05, 400), ("plateau", (2.4, 1.2), 0.5, 400)],
)
def test_mistake_a_small_gradient_is_called_converged(surface, start, lr, steps):
    """A run on a saddle or a plateau meets gradients below 10⁻², is not called converged there, and goes on."""
    entry = SURFACES[surface]
    run = optviz.trace(surface, "sgd", steps=steps, start=start, lr=lr)
    small = int(np.argmax(np.linalg.norm(run.grad, axis=1) < 1e-2))
    assert np.linalg.norm(run.grad[small]) < 1e-2
    until = optviz.trace(surface, "sgd", steps=small + 11, start=start, lr=lr)
    assert outcome(until, entry.minima_at({}), entry.window, 1e-6).state != "converged"
    assert run.loss[small] - run.loss[-1] > 0.5
    assert outcome(run, entry.minima_at({}), entry.window, 1e-6).state == "converged"


def test_mistake_a_race_at_one_rate_for_all():
    """Every optimizer has a rate of its own on every surface, and a new racer begins with it."""
    for surface in SURFACES:
        rates = {key: tuned_lr(surface, key) for key in OPTIMIZERS}
        assert all(rate > 0 for rate in rates.values())
        assert len({rates[key] for key in ("sgd", "momentum", "adagrad", "adam")}) > 1, surface
        assert all(Racer.tuned(key, surface).values["lr"] == rate for key, rate in rates.items())


@pytest.mark.parametrize("key", ["sgd", "momentum", "adagrad", "adam"])
def test_mistake_a_rate_that_nobody_explains(key):
    """The stored rate lies where the loss-against-rate curve is lowest: ten times less is worse, and ten times more,
    as far as the slider goes, is not better."""
    entry = SURFACES["valley"]
    lr = tuned_lr("valley", key)
    high = min(lr * 10, OPTIMIZERS[key].param["lr"].high)
    problem, racer = from_surface(entry, entry.starts[0]), Racer.tuned(key, "valley")
    _, loss, _ = sweep(problem, racer.rule, 500, "lr", [lr / 10, lr, high])
    with np.errstate(all="ignore"):
        heights = np.mean(np.log10(np.maximum(np.nan_to_num(loss, nan=np.inf), 1e-12)), axis=1)
    assert heights[1] < heights[0]
    assert heights[1] < heights[2] or high == lr
