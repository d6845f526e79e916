"""A surface over its window and along steps: the right value at the right place, and no compilation while a slider
moves."""

import jax
import numpy as np
import pytest

import optviz
from optviz.descent import Trajectory
from optviz.landscape import BLOCK, CELLS, bowls, hessians, over_window, slices
from optviz.problems import Problem, from_surface
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


# Along the steps of a run --------------------------------------------------------------------------------------------


def taken(surface: str, optimizer: str = "sgd", steps: int = 40, **values) -> tuple[Problem, Trajectory]:
    """A problem, and a run on it."""
    own = {name: values.pop(name) for name in ("noise", "l2") if name in values}
    surface_values = values.pop("surface_values", {})
    entry = SURFACES[surface]
    problem = from_surface(entry, entry.starts[0], surface_values=surface_values, **own)
    return problem, optviz.trace(surface, optimizer, steps=steps, surface_values=surface_values, **own, **values)


def test_on_the_valley_slices_are_what_algebra_says():
    """f = (x² + κy²) / 2, so its slope along s is s·(x, κy) and its curvature s·(sx, κsy)."""
    problem, run = taken("valley", lr=0.01, noise=0.5, l2=0.3, surface_values={"kappa": 30.0})
    along = slices(problem, run)
    k = np.array([1.0, 30.0])
    theta, step = run.theta[:-1], run.step
    points = theta[:, None] + along.alpha[:, None] * step[:, None]
    np.testing.assert_allclose(along.loss, (k * points**2).sum(axis=2) / 2, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(along.slope, (k * theta * step).sum(axis=1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(along.curvature, (k * step**2).sum(axis=1), rtol=1e-12, atol=1e-12)
    model = along.loss[:, [8]] + along.alpha * along.slope[:, None] + along.alpha**2 * along.curvature[:, None] / 2
    np.testing.assert_allclose(model, along.loss, rtol=0, atol=1e-9)


def test_a_slice_has_where_it_stands_and_where_it_goes():
    problem, run = taken("rosenbrock", lr=1e-3)
    along = slices(problem, run)
    assert along.loss.shape == (40, 41)
    assert (along.alpha[0], along.alpha[8], along.alpha[24], along.alpha[-1]) == (-0.5, 0.0, 1.0, 2.0)
    np.testing.assert_allclose(along.loss[:, 8], run.loss[:-1], rtol=1e-12)
    np.testing.assert_allclose(along.loss[:, 24], run.loss[1:], rtol=1e-12)


@pytest.mark.parametrize("surface", ["rosenbrock", "himmelblau"])
def test_derivatives_along_a_step_are_those_of_finite_differences(surface):
    problem, run = taken(surface, lr=1e-3, steps=5)
    along, h = slices(problem, run), 1e-3

    def loss(share):
        return np.array(jax.vmap(lambda at: problem.loss(at, problem.values))(run.theta[:-1] + share * run.step))

    np.testing.assert_allclose(along.slope, (loss(h) - loss(-h)) / (2 * h), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(
        along.curvature, (loss(h) - 2 * loss(0) + loss(-h)) / h**2, rtol=1e-4, atol=1e-8
    )  # 1e-16 / h²


def test_hessians_are_known_ones_and_have_the_penalty_in_them():
    problem, run = taken("rosenbrock", lr=1e-3, l2=0.25, noise=1.0)
    x, y = run.theta[:-1].T
    expected = np.moveaxis(np.array([[2 - 400 * y + 1200 * x**2 + 0.25, -400 * x], [-400 * x, 200.25 + 0 * x]]), -1, 0)
    np.testing.assert_allclose(hessians(problem, run.theta[:-1]), expected, rtol=1e-12)


def test_a_bowl_has_its_bottom_where_the_model_is_level():
    problem, run = taken("rosenbrock", lr=1e-3, l2=0.25, noise=1.0)
    centre, hessian = bowls(problem, run)
    jump = np.linalg.solve(hessian, -run.grad[..., None])[..., 0]
    np.testing.assert_allclose(centre, run.theta[:-1] + jump, rtol=1e-9)


def test_a_diverging_run_has_slices_and_bowls_without_a_warning(recwarn):
    problem, run = taken("rosenbrock", lr=1.0)
    assert not np.isfinite(run.theta).all()
    along, (centre, hessian) = slices(problem, run), bowls(problem, run)
    assert not np.isfinite(along.loss[-1]).any()
    assert not np.isfinite(along.slope[-1])
    assert np.isfinite(along.loss[0]).all()
    assert centre.shape == (40, 2)
    assert hessian.shape == (40, 2, 2)
    assert not recwarn


def test_neither_steps_nor_sliders_compile_anything(compilations):
    """On a surface of its own, so that the first look is the first."""
    few, many = (taken("plateau", lr=0.1, steps=n, surface_values={"width": 1 + n / 100}) for n in (3, BLOCK + 7))
    asleep = compilations()
    slices(*few)
    bowls(*few)
    awake = compilations()
    assert awake > asleep  # the counter does count
    along = slices(*many)
    bowls(*many)
    assert compilations() == awake
    assert along.loss.shape == (BLOCK + 7, 41)
    np.testing.assert_allclose(along.loss[:, 8], many[1].loss[:-1], rtol=1e-12, atol=1e-15)
