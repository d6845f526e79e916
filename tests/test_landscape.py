"""A surface over its window: the right value at the right place, and no compilation while a slider moves."""

import jax
import numpy as np
import pytest

from optviz.landscape import CELLS, over_window
from optviz.surfaces import SURFACES

FEW = 7  # along each side: enough to tell one place from another


@pytest.mark.parametrize("key", SURFACES)
def test_every_value_is_the_surfaces_own(key):
    entry = SURFACES[key]
    plane = over_window(key, cells=FEW)
    left, right, bottom, top = entry.window
    np.testing.assert_array_equal(plane.alpha, np.linspace(left, right, FEW))
    np.testing.assert_array_equal(plane.beta, np.linspace(bottom, top, FEW))
    # One point after the other, row by row: nothing is left to the order in which a grid is laid out.
    x = np.array([plane.alpha[i] for _ in range(FEW) for i in range(FEW)])
    y = np.array([plane.beta[j] for j in range(FEW) for _ in range(FEW)])
    expected = np.array(jax.jit(lambda x, y: entry.fn(x, y, **entry.defaults))(x, y)).reshape(FEW, FEW)
    np.testing.assert_allclose(plane.loss, expected, rtol=1e-12, atol=1e-12)
    assert plane.loss.dtype == np.float64
    assert np.isfinite(plane.loss).all()


def test_rows_are_y_and_columns_are_x():
    """Rosenbrock's window is as wide as high but not centred, and its function is not symmetric."""
    plane = over_window("rosenbrock", cells=FEW)
    for j, i in ((0, 0), (0, FEW - 1), (FEW - 1, 0), (2, 5)):
        x, y = plane.alpha[i], plane.beta[j]
        assert plane.loss[j, i] == pytest.approx((1 - x) ** 2 + 100 * (y - x**2) ** 2)


def test_a_picture_has_the_usual_number_of_cells():
    assert over_window("sphere").loss.shape == (CELLS, CELLS)


def test_values_are_used():
    steep, gentle = (over_window("valley", {"kappa": kappa}, cells=FEW) for kappa in (100.0, 4.0))
    x, y = steep.alpha[1], steep.beta[2]
    assert steep.loss[2, 1] == pytest.approx((x**2 + 100 * y**2) / 2)
    assert gentle.loss[2, 1] == pytest.approx((x**2 + 4 * y**2) / 2)


MOVABLE = [key for key, entry in SURFACES.items() if any(not param.static for param in entry.params)]


@pytest.mark.parametrize("key", MOVABLE)
def test_a_slider_compiles_nothing(key, compilations):
    entry = SURFACES[key]
    asleep = compilations()
    over_window(key, cells=FEW + 2)
    assert compilations() > asleep  # the counter does count
    awake = compilations()
    for param in entry.params:
        if not param.static:
            for value in (param.low, param.high, int(param.high), np.float32(param.high)):
                over_window(key, {param.name: value}, cells=FEW + 2)
    assert compilations() == awake


@pytest.mark.parametrize(
    ("surface", "values", "says"),
    [
        ("spher", {}, "did you mean sphere"),
        ("valley", {"kapa": 1.0}, "it has kappa, rotation"),
        ("valley", {"kappa": 0.0}, r"kappa must be a number in \(0, inf\)"),
    ],
)
def test_what_is_not_there_is_refused(surface, values, says):
    with pytest.raises(ValueError, match=says):
        over_window(surface, values)
