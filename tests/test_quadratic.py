"""The theory of descent on a quadratic: every formula against the eigenvalues of the matrix that it speaks of."""

import numpy as np
import pytest

import optviz
from optviz.quadratic import (
    as_quadratic,
    best_heavy_ball,
    best_plain,
    critical_rate,
    quadratics,
    radius,
    step_limit,
)
from optviz.surfaces import SURFACES

QUADRATICS = ("sphere", "valley", "steep_valley", "booth", "matyas")
RHOS = np.array([0.0, 0.1, 0.5, 0.9, 0.99, 1.0])
forms = pytest.mark.parametrize("nesterov", [False, True], ids=["heavy ball", "nesterov"])


def block(lr: float, rho: float, curvature: float, nesterov: bool) -> np.ndarray:
    left = 1 - lr * curvature
    first = [(1 + rho) * left, -rho * left] if nesterov else [rho + left, -rho]
    return np.array([first, [1.0, 0.0]])


@forms
def test_the_radius_is_that_of_the_iteration_matrix(nesterov):
    lrs, lambdas = np.geomspace(1e-4, 10, 40), np.array([0.04, 1.0, 50.0])
    found = radius(lrs[:, None, None], RHOS[:, None], lambdas, nesterov=nesterov)
    assert found.shape == (40, 6, 3)
    for i, lr in enumerate(lrs):
        for j, rho in enumerate(RHOS):
            for k, curvature in enumerate(lambdas):
                expected = np.abs(np.linalg.eigvals(block(lr, rho, curvature, nesterov))).max()
                assert found[i, j, k] == pytest.approx(expected, rel=1e-7)  # eigvals itself: √ε at double eigenvalues


@forms
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9, 0.99])
def test_the_radius_reaches_one_at_the_step_limit(rho, nesterov):
    limit = step_limit(rho, 3.0, nesterov=nesterov)
    assert radius(limit, rho, 3.0, nesterov=nesterov) == pytest.approx(1, abs=1e-12)
    assert radius(limit * 0.999, rho, 3.0, nesterov=nesterov) < 1 < radius(limit * 1.001, rho, 3.0, nesterov=nesterov)


@forms
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9, 0.99])
def test_a_mode_swings_above_its_critical_rate(rho, nesterov):
    """Its eigenvalues are real and positive below, and complex or negative just above."""
    edge = float(critical_rate(rho, 3.0, nesterov=nesterov))
    below, above = (np.linalg.eigvals(block(edge * share, rho, 3.0, nesterov)) for share in (0.999, 1.001))
    assert np.isreal(below).all()
    assert below.real.min() >= 0
    assert np.iscomplex(above).any() or above.real.min() < 0


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.0, 25.0), (0.04, 1.0), (1.0, 1000.0)])
def test_the_best_settings_are_the_lowest_points_of_the_radius(low, high):
    def worst(lr, rho):
        return np.maximum(radius(lr, rho, low), radius(lr, rho, high))

    lr, rho = best_heavy_ball(low, high)
    ratio = np.sqrt(high / low)
    # At critical damping the two eigenvalues meet, and a rounding of ε moves them apart by √ε.
    assert worst(lr, rho) == pytest.approx((ratio - 1) / (ratio + 1), abs=1e-7)
    grid = worst(lr * np.geomspace(0.5, 2, 201)[:, None], np.linspace(0, 0.999, 500))
    assert worst(lr, rho) <= grid.min() + 1e-7
    plain = best_plain(low, high)
    assert worst(plain, 0.0) == pytest.approx((high / low - 1) / (high / low + 1), abs=1e-12)
    assert worst(plain, 0.0) <= worst(plain * np.geomspace(0.5, 2, 400), 0.0).min() + 1e-12


@pytest.mark.parametrize("key", QUADRATICS)
def test_a_quadratic_is_known_by_its_derivatives(key):
    entry = SURFACES[key]
    found = as_quadratic(entry, {})
    assert found is not None
    (minimum,) = entry.minima_at({})
    np.testing.assert_allclose(found.minimum, (minimum.x, minimum.y), atol=1e-12)
    assert found.floor == pytest.approx(minimum.value, abs=1e-12)
    point = np.array([1.7, -0.4])
    height = found.floor + 0.5 * np.sum(found.curvatures * found.offsets(point) ** 2)
    assert height == pytest.approx(float(entry.fn(*point, **entry.defaults)), rel=1e-12)


@pytest.mark.parametrize("key", ["rosenbrock", "saddle", "himmelblau", "l_valley", "plateau", "=x^2", "=1/x"])
def test_other_surfaces_are_none(key):
    assert as_quadratic(SURFACES[key], {}) is None
    assert all(np.isnan(part).all() for part in quadratics(SURFACES[key], {}))


def test_curvatures_follow_the_parameters_of_a_surface(compilations):
    kappas = np.geomspace(0.01, 1000, 300)  # more than one call's room
    found = quadratics(SURFACES["valley"], {"kappa": kappas, "rotation": 30.0})
    assert found.curvatures.shape == (300, 2)
    np.testing.assert_allclose(found.curvatures, np.sort(np.stack([np.ones(300), kappas], axis=1)), rtol=1e-10)
    before = compilations()
    assert quadratics(SURFACES["valley"], {"kappa": kappas[:7]}).minimum.shape == (7, 2)
    assert as_quadratic(SURFACES["valley"], {"kappa": 3.0}) is not None
    assert compilations() == before


@forms
def test_a_run_shrinks_by_the_radius(nesterov):
    """The library's own momentum and Nesterov's rule are the matrices above: the last steps follow the recurrence."""
    key = "nesterov" if nesterov else "momentum"
    run = optviz.trace("valley", key, steps=60, start=(1.0, 1.0), lr=0.03, momentum=0.6)
    z, rows = run.theta, np.array([block(0.03, 0.6, 1.0, nesterov)[0], block(0.03, 0.6, 25.0, nesterov)[0]])
    np.testing.assert_allclose(z[2:], z[1:-1] * rows[:, 0] + z[:-2] * rows[:, 1], rtol=1e-9, atol=1e-15)
