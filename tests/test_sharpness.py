"""The sharpness: the largest eigenvalue that Lanczos' method finds is that of the whole Hessian, and the edge of every
rule is where its runs on a quadratic begin to grow."""

from typing import Any

import jax
import numpy as np
import pytest

import optviz
from optviz.networks import Network
from optviz.optimizers import OPTIMIZERS
from optviz.problems import from_network
from optviz.sharpness import PRECISE, RULES, edge_factor, extremes, slope, weights


def problem_of(
    hidden: tuple[int, ...], activation: str, loss: str, normalization: str = "none", examples: int = 30, **more: Any
):
    rng = np.random.default_rng(len(hidden))
    network = Network((3, *hidden, 2), activation, normalization, loss)
    x, target = rng.standard_normal((examples, 3)), np.eye(2)[np.arange(examples) % 2]
    theta = network.start("xavier_normal", 1) + 0.1 * rng.standard_normal(network.size)
    return from_network(network, x, target, theta, **more)


def dense(problem, theta: np.ndarray) -> np.ndarray:
    draw = jax.tree.map(lambda part: part[0], problem.draw(0, 0, 1))
    return np.asarray(jax.jit(jax.hessian(problem.objective))(theta, draw, problem.values))  # eagerly it takes minutes


NETWORKS = {
    "two layers": problem_of((12, 11), "tanh", "cross_entropy"),
    "silu, Huber, penalty": problem_of((12,), "silu", "huber", delta=0.5, l2=0.3),
    "batch normalization": problem_of((12,), "sigmoid", "cross_entropy", "batch"),
    "leaky relu, smoothed": problem_of((12,), "leaky_relu", "cross_entropy", label_smoothing=0.1),
    "linear": problem_of((), "identity", "squared_error"),
    "wider than a product": problem_of((24,), "tanh", "squared_error"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_largest_eigenvalue_is_that_of_the_whole_hessian(name):
    problem = NETWORKS[name]
    found = extremes(problem, problem.theta0)
    matrix = dense(problem, problem.theta0)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert abs(found.largest - eigenvalues[-1]) <= 1e-9 * abs(eigenvalues[-1])
    assert found.residual <= PRECISE * max(abs(eigenvalues[[0, -1]]))
    assert eigenvalues[0] - 1e-9 <= found.smallest  # the smallest comes along from above
    assert np.abs(eigenvalues - found.smallest).min() <= found.residual_smallest + 1e-9
    assert found.products <= len(problem.theta0)


def test_weights_stretch_the_hessian_on_both_sides():
    problem = NETWORKS["two layers"]
    factors = np.random.default_rng(0).uniform(0.01, 50, len(problem.theta0))
    factors[3] = 0.0  # a parameter that never moves
    root = np.sqrt(factors)
    largest = np.linalg.eigvalsh(root[:, None] * dense(problem, problem.theta0) * root)[-1]
    found = extremes(problem, problem.theta0, factors)
    assert found.largest == pytest.approx(largest, rel=1e-9)


def test_a_slow_spectrum_gets_more_room(compilations):
    """Where sixty products are not enough, the space grows: the largest eigenvalues lie close to one another."""
    problem = problem_of((60,), "tanh", "squared_error", examples=300)
    spread = np.geomspace(1e-6, 1e6, len(problem.theta0))  # makes the condition of the matrix bad
    found = extremes(problem, problem.theta0, spread)
    root = np.sqrt(spread)
    largest = np.linalg.eigvalsh(root[:, None] * dense(problem, problem.theta0) * root)[-1]
    assert found.largest == pytest.approx(largest, rel=1e-9)
    before = compilations()
    again = extremes(problem, problem.theta0 * 1.01, spread)
    assert compilations() == before
    assert again.largest != found.largest


def test_what_is_not_finite_has_no_sharpness():
    problem = NETWORKS["linear"]
    assert np.isnan(extremes(problem, problem.theta0 * np.inf).largest)
    assert np.isnan(extremes(problem, problem.theta0, np.full(len(problem.theta0), np.inf)).largest)
    overflowing = NETWORKS["wider than a product"]
    assert np.isnan(extremes(overflowing, overflowing.theta0, np.full(len(overflowing.theta0), 1e308)).largest)


def test_the_slope_is_the_gradient_of_the_full_batch():
    problem = NETWORKS["silu, Huber, penalty"]
    draw = jax.tree.map(lambda part: part[0], problem.draw(0, 0, 1))
    direct = jax.jit(jax.grad(problem.objective))(problem.theta0, draw, problem.values)
    np.testing.assert_allclose(slope(problem, problem.theta0), direct, rtol=1e-12)


# What a rule bears ---------------------------------------------------------------------------------------------------

SETTINGS = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.5, "dampening": 0.4}),
    ("sgd", {"momentum": 0.0, "dampening": 0.4}),
    ("sgd", {"momentum": 0.8, "nesterov": True}),
    ("sgd", {"momentum": 0.8, "nesterov": True, "dampening": 0.5}),
    ("sgd", {"momentum": 0.8, "averaging": True, "dampening": 0.5}),
    ("sgd", {"momentum": 0.8, "averaging": True, "nesterov": True}),
    ("momentum", {}),
    ("momentum", {"momentum": 0.7, "dampening": 0.3}),
    ("momentum", {"momentum": 0.7, "form": "averaging"}),
    ("momentum", {"momentum": 0.7, "form": "averaging", "dampening": 0.3}),
    ("momentum", {"momentum": 0.7, "form": "velocity"}),
    ("nesterov", {}),
    ("nesterov", {"momentum": 0.5, "form": "reformulated"}),
]


@pytest.mark.parametrize(("rule", "values"), SETTINGS, ids=str)
def test_on_a_quadratic_runs_shrink_below_the_edge_and_grow_above(rule, values):
    """Sharpness 20, at one part in a thousand on either side of the edge."""
    complete = OPTIMIZERS[rule].complete(values)
    edge = edge_factor(rule, complete) / 20
    for rate, grows in ((0.999 * edge, False), (1.001 * edge, True)):
        run = optviz.trace(
            "valley", rule, steps=4000, start=(0.0, 1.0), surface_values={"kappa": 20.0}, lr=rate, **values
        )
        early, late = (np.abs(run.theta[part, 1]).max() for part in (slice(500, 700), slice(3800, 4000)))
        assert (late > 1.2 * early) == grows
        assert (late < early / 1.2) == (not grows)


@pytest.mark.parametrize(("rule", "values"), [("rmsprop", {}), ("rmsprop", {"momentum": 0.5}), ("adam", {}),
                                              ("adam", {"beta1": 0.5, "bias_correction": False})], ids=str)  # fmt: skip
def test_a_rule_that_divides_grows_above_its_edge_too(rule, values):
    """The memory is held still, and the gradients too small to change it within a step: then the rule is linear, and
    its edge exact."""
    values = {**values, "eps": 0.5, "decay" if rule == "rmsprop" else "beta2": 0.999999}
    entry = OPTIMIZERS[rule]
    complete = entry.complete(values)
    t, sharpness, held = 10**6, 3.0, np.full(1, 0.04)
    felt = float(weights(rule, complete, dict.fromkeys(entry.slots, held), t, 1)[0])
    known = {"t": t} if "t" in entry.needs else {}

    @jax.jit
    def move(x, slots, lr):
        step, after = entry.fn(sharpness * x, **slots, **known, **(complete | {"lr": lr}))
        return x + step, after | {name: held for name in ("v", "v_max") if name in after}

    for share, grows in ((0.98, False), (1.02, True)):
        rate = share * edge_factor(rule, complete) / (sharpness * felt)
        x, slots = np.full(1, 1e-60), {name: held if name in ("v", "v_max") else 0 * held for name in entry.slots}
        sizes = []
        for _ in range(400):
            x, slots = move(x, slots, rate)
            sizes.append(abs(float(x[0])))
        assert (max(sizes[-50:]) > 3 * max(sizes[100:150])) == grows
        assert (max(sizes[-50:]) < max(sizes[100:150]) / 3) == (not grows)


def test_a_rule_whose_edge_is_not_known_is_refused():
    assert set(RULES) <= set(OPTIMIZERS)
    for rule in set(OPTIMIZERS) - set(RULES):
        with pytest.raises(ValueError, match="is not known here"):
            edge_factor(rule, OPTIMIZERS[rule].defaults)
    with pytest.raises(ValueError, match="without centring"):
        edge_factor("rmsprop", OPTIMIZERS["rmsprop"].complete({"centered": True}))


def test_a_rule_divides_by_what_its_step_divided_by():
    """Weight times gradient is what an Adam without a memory of gradients goes, whatever its other settings."""
    settings: list[tuple[str, dict[str, Any]]] = [
        ("adam", {"beta1": 0.0}),
        ("adam", {"beta1": 0.0, "amsgrad": True}),
        ("adam", {"beta1": 0.0, "bias_correction": False}),
        ("rmsprop", {}),
        ("rmsprop", {"eps_in_sqrt": True, "eps": 0.01}),
        ("sgd", {}),
    ]
    for rule, values in settings:
        run = optviz.trace("rosenbrock", rule, steps=40, lr=0.0001, **values)
        for t in (0, 1, 39):
            slots = {name: slot[t] for name, slot in run.slots.items()}
            felt = weights(rule, OPTIMIZERS[rule].complete(values), slots, t + 1, 2)
            np.testing.assert_allclose(-0.0001 * felt * run.grad[t], run.step[t], rtol=1e-12)
