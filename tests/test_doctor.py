"""How a run ended, by the stated rules: every state on runs whose end is known, and the traps between them."""

import math

import numpy as np
import pytest

import optviz
from optviz.descent import State, Trajectory
from optviz.doctor import STATES, Outcome, outcome
from optviz.surfaces import SURFACES, Minimum

WINDOW = (-5.0, 5.0, -5.0, 5.0)
ORIGIN = Minimum(0.0, 0.0, 0.0)
TOLERANCE = 1e-6


def made(points, loss=None, grad=None) -> Trajectory:
    """A run through these points, on the sphere unless `loss` is given."""
    theta = np.array(points, dtype=np.float64)
    steps = len(theta) - 1
    with np.errstate(all="ignore"):
        return Trajectory(
            theta=theta,
            loss=np.sum(theta**2, axis=1) if loss is None else np.array(loss, dtype=np.float64),
            grad=np.zeros((steps, 2)) if grad is None else np.array(grad, dtype=np.float64),
            step=np.diff(theta, axis=0),
            lr=np.full(steps, 0.1),
            slots={},
            scheduled={},
            memory={},
            measures={},
            state=State(steps, theta[-1], {}, {}),
        )


def judged(run: Trajectory, minima=(ORIGIN,), tolerance=TOLERANCE) -> Outcome:
    return outcome(run, minima, WINDOW, tolerance)


def ran(surface: str, *, tolerance: float = TOLERANCE, steps: int = 500, **settings) -> tuple[Trajectory, Outcome]:
    """Plain gradient descent on a surface of the catalogue, and what the doctor says."""
    entry = SURFACES[surface]
    run = optviz.trace(surface, "sgd", steps=steps, **settings)
    return run, outcome(run, entry.minima_at({}), entry.window, tolerance)


# Every state, by plain gradient descent where it is known to happen --------------------------------------------------

KNOWN = {
    "contraction by 0.8 a step": ("sphere", {"lr": 0.1}, "converged"),
    "one step to the bottom": ("sphere", {"lr": 0.5}, "converged"),
    "a local minimum": ("three_hump_camel", {"lr": 0.01, "start": (1.6, -0.8)}, "converged"),
    "the pass, reached along its ridge": ("bounded_saddle", {"lr": 0.1, "start": (1.0, 0.0)}, "stalled"),
    "a plateau": ("plateau", {"lr": 0.1, "start": (3.9, 3.9)}, "stalled"),
    "no step at all": ("sphere", {"lr": 0.0}, "stalled"),
    "lr = 2/λ": ("sphere", {"lr": 1.0}, "oscillating"),
    "lr = 2/λ of the steep direction": ("steep_valley", {"lr": 0.5}, "oscillating"),
    "a thousandth of the way": ("sphere", {"lr": 1e-4}, "moving"),
    "the floor of a ravine": ("rosenbrock", {"lr": 1e-3}, "moving"),
    "lr beyond 2/λ": ("sphere", {"lr": 1.1}, "diverged"),
    "to infinity and beyond": ("rosenbrock", {"lr": 0.1}, "diverged"),
    "down an endless slope": ("saddle", {"lr": 0.1, "start": (1.0, 0.1)}, "diverged"),
}


@pytest.mark.parametrize(("surface", "settings", "state"), KNOWN.values(), ids=KNOWN)
def test_state(surface, settings, state):
    _, found = ran(surface, **settings)
    assert found.state == state
    assert (found.at is not None) == (state == "diverged")
    assert found.sentence == (f"diverged at step {found.at}" if state == "diverged" else state)


def test_every_state_is_tested_and_explained():
    assert {state for _, _, state in KNOWN.values()} == set(STATES)
    assert all(len(meaning) > 20 for meaning in STATES.values())


# Converged -----------------------------------------------------------------------------------------------------------


def test_a_local_minimum_is_converged_and_named():
    """The camel's eastern well: the run is at rest there, and never came near the lowest minimum's value."""
    run, found = ran("three_hump_camel", lr=0.01, start=(1.6, -0.8))
    minima = SURFACES["three_hump_camel"].minima_at({})
    assert found.nearest == max(minima, key=lambda minimum: minimum.x)
    assert found.nearest is not None
    assert found.nearest.value == pytest.approx(0.298638, abs=1e-6)
    assert found.distance == math.dist(run.theta[-1], (found.nearest.x, found.nearest.y)) < 1e-3
    assert found.arrived is None


@pytest.mark.parametrize("surface", ["bounded_saddle", "plateau"])
def test_a_vanishing_gradient_alone_is_not_convergence(surface):
    start = (1.0, 0.0) if surface == "bounded_saddle" else (3.9, 3.9)
    run, found = ran(surface, lr=0.1, start=start)
    assert np.abs(run.grad[-50:]).max() < 1e-4
    assert found.state == "stalled"
    assert found.arrived is None


def test_being_low_is_not_convergence_while_it_passes_through():
    """The whole tail must be near, so that a racer flying through the minimum has not converged."""
    path = [(5.0 - 0.1 * i, 0.0) for i in range(51)]  # arrives at the very last step
    found = judged(made(path))
    assert found.state == "moving"
    assert found.arrived == 50
    resting = judged(made([*path, *[(0.0, 0.0)] * 20]))
    assert resting.state == "converged"
    assert resting.arrived == 50


@pytest.mark.parametrize(
    ("steps", "lasting", "state"), [(200, 21, "converged"), (200, 20, "moving"), (5, 6, "converged")]
)
def test_the_tail_is_a_tenth_of_the_run_and_at_least_ten_steps(steps, lasting, state):
    """`lasting` positions at the minimum: 20 steps of 200 begin and end at 21 positions."""
    path = [(1.0, 0.0)] * (steps + 1 - lasting) + [(0.0, 0.0)] * lasting
    assert judged(made(path)).state == state


@pytest.mark.parametrize("tolerance", [1e-12, 1e-6, 1e-2, 10.0])
def test_the_tolerance_decides(tolerance):
    """0.8 a step on the sphere from (4, 3): the loss after i steps is 25 · 0.64^i."""
    run, found = ran("sphere", lr=0.1, tolerance=tolerance, steps=100)
    assert found.arrived == math.ceil(math.log(tolerance / 25) / math.log(0.64))
    assert found.arrived is not None
    assert found.state == ("converged" if found.arrived <= 90 else "moving")
    assert found.loss == run.loss[-1]


def test_a_lower_point_than_the_declared_minimum_counts_as_arrived():
    """Noise may carry a loss below a rounded value; that is no reason to wait."""
    assert judged(made([(1.0, 0.0)] * 3, loss=[1.0, -1e-3, 1.0])).arrived == 1


# Oscillating ---------------------------------------------------------------------------------------------------------


def test_a_zigzag_that_makes_progress_is_not_oscillating():
    path = [((-1) ** i * 0.97**i, 0.0) for i in range(101)]
    assert judged(made(path)).state == "moving"


def test_a_zigzag_that_grows_is_oscillating():
    path = [((-1) ** i * 1.001**i, 0.0) for i in range(101)]
    assert judged(made(path)).state == "oscillating"


def test_going_in_a_circle_is_moving():
    """Successive steps turn by 36°: their cosine is positive, so it does not go back and forth."""
    path = [(2 * math.cos(i * math.pi / 5), 2 * math.sin(i * math.pi / 5)) for i in range(101)]
    assert judged(made(path)).state == "moving"


# Diverged ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [1.01, 1.1, 2.0, 3.0, 100.0, 1e200])
def test_the_step_of_divergence_is_that_of_a_plain_loop(lr):
    """More than 1,000 diagonals of the window from its centre, as the sentence for visitors says."""
    x, y = SURFACES["sphere"].starts[0]
    far, first = 1000 * math.hypot(10, 10), None
    for i in range(1001):
        if math.hypot(x, y) > far:
            first = i
            break
        x, y = x - lr * 2 * x, y - lr * 2 * y
    _, found = ran("sphere", lr=lr, steps=1000)
    assert found.at == first
    assert found.state == "diverged"


@pytest.mark.parametrize("worst", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("where", ["theta", "loss"])
def test_what_is_no_number_is_divergence_at_that_step(worst, where):
    path, loss = [[1.0, 1.0] for _ in range(31)], [2.0] * 31
    if where == "theta":
        path[17] = [worst, 0.0]
    else:
        loss[17] = worst
    found = judged(made(path, loss=loss))
    assert (found.state, found.at, found.nearest) == ("diverged", 17, None)
    assert math.isnan(found.distance)


@pytest.mark.parametrize(("windows", "state"), [(999, "converged"), (1001, "diverged")])
def test_a_visit_outside_is_divergence_only_a_thousand_windows_away(windows, state):
    path = [(0.0, 0.0), (0.0, windows * math.hypot(10, 10)), *[(0.0, 0.0)] * 30]
    assert judged(made(path)).state == state


def test_a_run_that_arrived_and_then_left_says_both():
    path = [(1.0, 0.0), (0.0, 0.0), (1e6, 0.0)]
    found = judged(made(path))
    assert (found.state, found.arrived, found.at) == ("diverged", 1, 2)


# Arrived -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("surface", "settings"), [(s, v) for s, v, _ in KNOWN.values()], ids=KNOWN)
@pytest.mark.parametrize("tolerance", [1e-6, 0.5])
def test_arrived_is_the_first_step_within_the_tolerance_of_the_lowest_minimum(surface, settings, tolerance):
    run, found = ran(surface, tolerance=tolerance, **settings)
    lowest = min((minimum.value for minimum in SURFACES[surface].minima_at({})), default=None)
    first = None
    for i, loss in enumerate(run.loss):
        if lowest is not None and loss <= lowest + tolerance:
            first = i
            break
    assert found.arrived == first


# Surfaces without minima ---------------------------------------------------------------------------------------------


def test_a_surface_without_minima_has_no_nearest_one():
    assert SURFACES["saddle"].minima_at({}) == ()
    for start, state in (((1.0, 0.0), "stalled"), ((1.0, 0.1), "diverged")):
        _, found = ran("saddle", lr=0.1, start=start)
        assert found.state == state
        assert (found.nearest, found.arrived) == (None, None)
        assert math.isnan(found.distance)


def test_a_value_of_zero_is_no_target_where_there_is_no_minimum():
    """Without a minimum nothing can have converged, however small the loss."""
    assert judged(made([(0.0, 0.0)] * 30), minima=()).state == "stalled"


@pytest.mark.parametrize("steps", [1, 2])
def test_the_shortest_runs_have_an_outcome(steps):
    assert judged(made([(1.0, 1.0)] * (steps + 1))).state == "stalled"
    assert judged(made([(0.0, 0.0)] * (steps + 1))).state == "converged"
    assert judged(made([(1.0 + i, 0.0) for i in range(steps + 1)])).state == "moving"


def test_a_start_far_out_is_no_divergence():
    run = made([(1e6 - 1e3 * i, 0.0) for i in range(40)])
    assert judged(run).state == "moving"


def test_a_start_where_nothing_is_defined_is_called_so():
    run = optviz.trace(optviz.surface("log(x) + y^2"), "sgd", steps=20, start=(-1.0, 1.0))
    assert judged(run).sentence == "diverged: not defined at the start"
