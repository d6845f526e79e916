"""The search for stationary points against what the catalogue knows, and where it must stay silent."""

import jax.numpy as jnp
import numpy as np
import pytest

import optviz
from optviz.stationary import AT_MOST, stationary_points
from optviz.surfaces import SURFACES, own_key

KNOWN = [  # smooth surfaces whose card lists every minimum and saddle of the window
    *("himmelblau", "six_hump_camel", "three_hump_camel", "styblinski_tang", "goldstein_price", "beale", "booth"),
    *("two_gaussians", "bounded_saddle", "double_well", "mccormick", "rosenbrock"),
]


def points(key: str, kind: str) -> np.ndarray:
    entry = SURFACES[key]

    def fn(x, y):
        return entry.fn(x, y, **entry.defaults)

    return np.array(sorted(p[:2] for p in stationary_points(fn, entry.window) if p.kind == kind)).reshape(-1, 2)


@pytest.mark.parametrize("key", KNOWN)
def test_it_finds_exactly_what_the_card_lists(key):
    entry = SURFACES[key]
    minima = np.array(sorted((m.x, m.y) for m in entry.minima_at({}))).reshape(-1, 2)
    saddles = np.array(sorted(entry.saddles_at({}))).reshape(-1, 2)
    np.testing.assert_allclose(points(key, "minimum"), minima, atol=1e-9)
    np.testing.assert_allclose(points(key, "saddle"), saddles, atol=1e-9)


def test_a_maximum_and_a_flat_point_are_called_so():
    bump = stationary_points(lambda x, y: -(x**2) - 2 * y**2, (-1.0, 1.0, -1.0, 1.0))
    assert [p.kind for p in bump] == ["maximum"]
    # x² alone is level along a whole line, where the Hessian has no inverse: Newton's method says nothing about it.
    assert all(p.kind == "flat" for p in stationary_points(lambda x, y: x**2 + 0 * y, (-1.0, 1.0, -1.0, 1.0)))


def test_a_slope_has_none():
    assert stationary_points(lambda x, y: x + 2 * y, (-1.0, 1.0, -1.0, 1.0)) == ()


def test_the_list_is_bounded():
    rough = stationary_points(lambda x, y: jnp.sin(20 * x) + jnp.sin(20 * y), (-5.0, 5.0, -5.0, 5.0))
    assert len(rough) == AT_MOST


def test_ones_own_surface_knows_its_minima():
    own = optviz.surface("(x^2 + y - 11)^2 + (x + y^2 - 7)^2", 5.0)
    listed = SURFACES["himmelblau"]
    assert own.key == own_key("(x^2 + y - 11)^2 + (x + y^2 - 7)^2", 5.0)
    assert SURFACES.find(own.key) is own
    np.testing.assert_allclose(
        sorted((m.x, m.y) for m in own.minima_at({})), sorted((m.x, m.y) for m in listed.minima_at({})), atol=1e-9
    )
    start = (0.5, -0.5)
    ours, theirs = (optviz.trace(s, "adam", steps=200, start=start, lr=0.1) for s in (own, "himmelblau"))
    np.testing.assert_allclose(ours.theta, theirs.theta, atol=1e-10)


@pytest.mark.parametrize("text", ["", "x +", "foo(x)", "3", "x" * 300])
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        optviz.surface(text)


@pytest.mark.parametrize("reach", [0.0, -1.0, 1e9, float("nan"), float("inf")])
def test_a_window_out_of_bounds_is_refused(reach):
    with pytest.raises(ValueError, match="reach"):
        optviz.surface("x^2 + y^2", reach)
