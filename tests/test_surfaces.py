"""Every surface against its own card, and against formulas written down a second time in plain NumPy.

All tests run over the catalogue: a new surface is tested by existing, and has only to be added to FORMULAS.
"""

from functools import lru_cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy import cos, exp, pi, sin, sqrt

from optviz.spec import within
from optviz.surfaces import SURFACES, Minimum, Surface


def magnitude(z):
    """|z|, analytic on either side of 0, so that a complex step passes through."""
    return np.where(np.real(z) < 0, -z, z)


def rotated(x, y, kappa, rotation):
    c, s = cos(rotation * pi / 180), sin(rotation * pi / 180)
    return 0.5 * (c * x + s * y) ** 2 + 0.5 * kappa * (c * y - s * x) ** 2


FORMULAS = {
    "sphere": lambda x, y: x * x + y * y,
    "valley": rotated,
    "steep_valley": lambda x, y: 0.5 * x * x + 2 * y * y,
    "rosenbrock": lambda x, y, b: (1 - x) ** 2 + b * (y - x * x) ** 2,
    "beale": lambda x, y: sum((c - x + x * y**k) ** 2 for k, c in enumerate((1.5, 2.25, 2.625), start=1)),
    "booth": lambda x, y: (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2,
    "matyas": lambda x, y: 0.26 * (x * x + y * y) - 0.48 * x * y,
    "himmelblau": lambda x, y: (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2,
    "three_hump_camel": lambda x, y: 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y * y,
    "six_hump_camel": lambda x, y: (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (-4 + 4 * y**2) * y**2,
    "goldstein_price": lambda x, y: (
        (1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x * x - 14 * y + 6 * x * y + 3 * y * y))
        * (30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x * x + 48 * y - 36 * x * y + 27 * y * y))
    ),
    "mccormick": lambda x, y: sin(x + y) + (x - y) ** 2 - 1.5 * x + 2.5 * y + 1,
    "rastrigin": lambda x, y, amplitude: sum(amplitude + t * t - amplitude * cos(2 * pi * t) for t in (x, y)),
    "ackley": lambda x, y: (
        -20 * exp(-0.2 * sqrt((x * x + y * y) / 2)) - exp((cos(2 * pi * x) + cos(2 * pi * y)) / 2) + np.e + 20
    ),
    "styblinski_tang": lambda x, y, tilt: 0.5 * sum(t**4 - 16 * t**2 + tilt * t for t in (x, y)),
    "levy13": lambda x, y: (
        sin(3 * pi * x) ** 2 + (x - 1) ** 2 * (1 + sin(3 * pi * y) ** 2) + (y - 1) ** 2 * (1 + sin(2 * pi * y) ** 2)
    ),
    "easom": lambda x, y: -cos(x) * cos(y) * exp(-((x - pi) ** 2) - (y - pi) ** 2),
    "bukin6": lambda x, y: 100 * sqrt(magnitude(y - 0.01 * x * x)) + 0.01 * magnitude(x + 10),
    "bohachevsky": lambda x, y: x * x + 2 * y * y - 0.3 * cos(3 * pi * x) - 0.4 * cos(4 * pi * y) + 0.7,
    "drop_wave": lambda x, y: -(1 + cos(12 * sqrt(x * x + y * y))) / (0.5 * (x * x + y * y) + 2),
    "saddle": lambda x, y: x * x - y * y,
    "bounded_saddle": lambda x, y, depth: x * x - y * y + y**4 / (4 * depth),
    "monkey_saddle": lambda x, y: x**3 - 3 * x * y * y,
    "plateau": lambda x, y, width: 1 - exp(-(x * x + y * y) / width**2),
    "double_well": lambda x, y, width: (x * x - width**2) ** 2 + y * y,
    "flat_and_sharp": lambda x, y, sharpness: (
        -exp(-((x + 1.5) ** 2 + y * y)) - exp(-((x - 1.5) ** 2 + y * y) * sharpness) + 0.02 * (x * x + y * y)
    ),
    "two_gaussians": lambda x, y: (
        x * x + y * y - 2 * exp(-((x - 1) ** 2 + y * y) / 0.2) - 3 * exp(-((x + 1) ** 2 + y * y) / 0.2)
    ),
    "l_valley": lambda x, y: np.where(np.real(x) > np.real(y), (y + 20) ** 2 + x, (x + 20) ** 2 + y),
}

# Points where a formula, read literally, has no derivative.
KINKS = {
    "ackley": [(0.0, 0.0)],
    "bukin6": [(-10.0, 1.0), (-8.0, 0.64), (-10.0, 2.0), (-12.0, 1.44)],
    "l_valley": [(-20.5, -20.5), (0.0, 0.0), (10.0, 10.0)],
    "drop_wave": [(0.0, 0.0)],
}


def positions(surface: Surface) -> list[dict[str, float]]:
    """The default parameters, and every combination of sliders at their low end, in the middle and at the high end."""
    ends = [(p.low, (p.low * p.high) ** 0.5 if p.log else (p.low + p.high) / 2, p.high) for p in surface.params]
    moved = [dict(zip(surface.param, values, strict=True)) for values in product(*ends)] if ends else []
    return [{}, *moved]


def complete(surface: Surface) -> bool:
    """Whether the card claims to list every minimum and saddle of the window."""
    return not surface.kinks and "not listed" not in surface.note


def moved(chosen=lambda surface: True):
    """Parametrize over the chosen surfaces, each with its sliders in several positions."""
    cases = [(surface, values) for surface in SURFACES.values() if chosen(surface) for values in positions(surface)]
    ids = ["-".join([s.key, *(f"{k}={v:.3g}" for k, v in values.items())]) for s, values in cases]
    return pytest.mark.parametrize(("surface", "values"), cases, ids=ids)


each = pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES.keys())
each_moved = moved()

ROWS = 33**2


@lru_cache
def program(key: str):
    """One compiled program per surface: value, gradient and Hessian at ROWS points, for any parameters."""
    surface = SURFACES[key]

    def f(theta, traced):
        return surface.fn(theta[0], theta[1], **surface.unpack(traced, ()))

    def grad_of(theta, traced):
        value, grad = jax.value_and_grad(f)(theta, traced)
        return grad, (value, grad)

    def look(theta, traced):
        hessian, (value, grad) = jax.jacfwd(grad_of, has_aux=True)(theta, traced)
        return value, grad, hessian

    return jax.jit(jax.vmap(look, in_axes=(0, None)))


def look(surface: Surface, points, values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value (n,), gradient (n, 2) and Hessian (n, 2, 2) at points (n, 2)."""
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    padded = np.zeros((ROWS, 2))
    padded[: len(points)] = points
    value, grad, hessian = program(surface.key)(padded, surface.hyper(**values).traced)
    return np.asarray(value)[: len(points)], np.asarray(grad)[: len(points)], np.asarray(hessian)[: len(points)]


def scatter(surface: Surface, count: int = 1000) -> np.ndarray:
    """Random points of the window, the same in every run."""
    x_low, x_high, y_low, y_high = surface.window
    return np.random.default_rng(2026).uniform((x_low, y_low), (x_high, y_high), (count, 2))


def ring(radius: float) -> np.ndarray:
    """Points around the origin."""
    angle = np.linspace(0, 2 * pi, 24, endpoint=False)
    return radius * np.stack([cos(angle), sin(angle)], axis=1)


def inside(surface: Surface, point) -> bool:
    x_low, x_high, y_low, y_high = surface.window
    return x_low <= point[0] <= x_high and y_low <= point[1] <= y_high


# The cards.


def test_the_catalogue_is_complete():
    """The keys are part of links and of exported code: renaming one breaks both."""
    assert list(SURFACES) == list(FORMULAS)


@each
def test_card_is_complete(surface):
    for text in (surface.title, surface.summary, surface.formula, surface.teaches):
        assert text.strip()
    for line in (surface.title, surface.summary, surface.teaches):
        assert "\n" not in line
    assert surface.formula.startswith(("f(x, y) = ", r"\begin{aligned} f(x, y) = "))
    assert surface.formula.count("{") == surface.formula.count("}")
    assert surface.source.authors
    assert surface.source.title
    assert 1900 < surface.source.year <= 2026
    assert surface.minima or surface.saddles
    assert surface.minima or not surface.log, "log colours show f − f*, and there is no f*"


@each
def test_title_is_its_own(surface):
    assert [other.key for other in SURFACES.values() if other.title == surface.title] == [surface.key]


@each
def test_window_and_starts(surface):
    x_low, x_high, y_low, y_high = surface.window
    assert x_low < x_high
    assert y_low < y_high
    assert 2 <= len(surface.starts) <= 4
    assert len(set(surface.starts)) == len(surface.starts)
    for values in positions(surface):
        for start in surface.starts:
            assert inside(surface, start)
            for minimum in surface.minima_at(values):
                assert np.hypot(start[0] - minimum.x, start[1] - minimum.y) > 1e-3
    numbers = [*surface.window, *np.ravel(surface.starts).tolist(), *(n for m in surface.minima_at({}) for n in m)]
    assert {type(number) for number in numbers} == {float}, "an integer start could not be differentiated"


@each
def test_sliders_lie_in_the_domain(surface):
    for param in surface.params:
        assert param.low < param.high
        assert all(within(number, param.domain) for number in (param.low, param.default, param.high))
        assert param.low <= param.default <= param.high
        assert param.help
        assert {type(number) for number in (param.low, param.default, param.high)} == {float}


@each
def test_values_outside_the_domain_raise(surface):
    for param in surface.params:
        low, high = (float(end) for end in param.domain[1:-1].split(","))
        outside = [float("nan"), low - 1, high + 1]  # minus infinity minus one is as infinite, and as much outside
        outside += [low] if param.domain.startswith("(") else []
        for value in outside:
            for use in (surface.minima_at, surface.saddles_at, surface.lowest_at, lambda v: surface.hyper(**v)):
                with pytest.raises(ValueError, match=param.name):
                    use({param.name: value})
    with pytest.raises(ValueError, match="no_such_parameter"):
        surface.hyper(no_such_parameter=1.0)


# The functions.


@each_moved
def test_agrees_with_the_formula_written_a_second_time(surface, values):
    points = scatter(surface)
    x, y = points.T
    expected = FORMULAS[surface.key](x, y, **surface.complete(values))
    value, grad, _ = look(surface, points, values)
    # Where terms cancel, rounding x and y alone changes f by this much, times the precision.
    sensitivity = np.sum(np.abs(points * grad), axis=1)
    assert np.all(np.abs(value - expected) <= 1e-12 * np.maximum(np.abs(expected), sensitivity))


@each_moved
def test_gradient_agrees_with_a_complex_step(surface, values):
    """f(x + ih) = f(x) + ih f'(x) + …: the imaginary part is the derivative, without any cancellation."""
    points = scatter(surface)
    x, y = points.T
    formula, complete, h = FORMULAS[surface.key], surface.complete(values), 1e-30
    expected = np.stack(
        [np.imag(formula(x + 1j * h, y, **complete)) / h, np.imag(formula(x, y + 1j * h, **complete)) / h], axis=1
    )
    _, grad, _ = look(surface, points, values)
    assert np.all(np.linalg.norm(grad - expected, axis=1) <= 1e-10 * np.linalg.norm(expected, axis=1))


@each
def test_any_shape_and_precision(surface):
    x_low, x_high, y_low, y_high = surface.window
    x, y = np.meshgrid(np.linspace(x_low, x_high, 7), np.linspace(y_low, y_high, 5))
    grid = np.asarray(surface.fn(x, y, **surface.defaults))
    assert grid.shape == (5, 7)
    assert grid.dtype == np.float64
    flat, _, _ = look(surface, np.stack([x.ravel(), y.ravel()], axis=1), {})
    np.testing.assert_allclose(grid.ravel(), flat, rtol=1e-12, atol=1e-12)
    one = surface.fn(float(x[1, 2]), float(y[1, 2]), **surface.defaults)
    assert np.shape(one) == ()
    assert float(one) == pytest.approx(grid[1, 2], rel=1e-12, abs=1e-12)
    for dtype in (jnp.float32, jnp.float64):
        argument = jax.ShapeDtypeStruct((5, 7), dtype)
        traced = jax.eval_shape(lambda x, y: surface.fn(x, y, **surface.defaults), argument, argument)
        assert (traced.shape, traced.dtype) == ((5, 7), dtype)


@each_moved
def test_derivatives_are_finite_wherever_a_run_may_start_or_end(surface, values):
    points = [
        *surface.starts,
        *(minimum[:2] for minimum in surface.minima_at(values)),
        *surface.saddles_at(values),
        *KINKS.get(surface.key, []),
        (0.0, 0.0),
        (1e-200, 1e-200),
        (1e-9, 0.0),
    ]
    for array in look(surface, points, values):
        assert np.all(np.isfinite(array))


def test_kinks_are_tested():
    assert {surface.key for surface in SURFACES.values() if surface.kinks} <= set(KINKS)


# What the cards claim to know.


@moved(lambda surface: surface.minima)
def test_minima(surface, values):
    minima = surface.minima_at(values)
    assert minima
    assert all(inside(surface, minimum) for minimum in minima)
    value, grad, hessian = look(surface, [minimum[:2] for minimum in minima], values)
    assert np.max(np.abs(value - [minimum.value for minimum in minima])) <= 1e-9
    if not surface.kinks:
        assert np.max(np.linalg.norm(grad, axis=1)) <= 1e-9
        assert np.min(np.linalg.eigvalsh(hessian)) > 0


@each_moved
def test_every_point_near_a_minimum_is_higher(surface, values):
    rings = np.concatenate([ring(radius) for radius in (1e-3, 3e-3, 1e-2)])
    for minimum in surface.lowest_at(values):
        value, _, _ = look(surface, rings + minimum[:2], values)
        assert np.min(value) > minimum.value


@each_moved
def test_nothing_in_the_window_is_lower_than_the_lowest_minimum(surface, values):
    lowest = surface.lowest_at(values)
    x_low, x_high, y_low, y_high = surface.window
    x, y = np.meshgrid(np.linspace(x_low, x_high, 400), np.linspace(y_low, y_high, 400))
    least = np.min(surface.fn(x, y, **surface.complete(values)))
    if lowest:
        assert least >= lowest[0].value - 1e-9
    else:
        assert least < 0, "a surface without minima goes down for ever"


@moved(lambda surface: surface.saddles and not surface.degenerate)
def test_saddles(surface, values):
    saddles = surface.saddles_at(values)
    assert saddles or values.get("amplitude") == 0, "only a lattice without ripples loses its saddles"
    assert all(inside(surface, saddle) for saddle in saddles)
    _, grad, hessian = look(surface, saddles, values)
    assert np.all(np.linalg.norm(grad, axis=1) <= 1e-9)
    curvature = np.linalg.eigvalsh(hessian)
    assert np.all(curvature[:, 0] < 0)
    assert np.all(curvature[:, 1] > 0)


@moved(lambda surface: surface.degenerate)
def test_degenerate_saddles(surface, values):
    """The Hessian shows nothing, so look around: some ways lead up and some down."""
    for saddle in surface.saddles_at(values):
        value, grad, hessian = look(surface, saddle, values)
        assert np.linalg.norm(grad) <= 1e-9
        assert np.max(np.abs(hessian)) <= 1e-9
        around, _, _ = look(surface, saddle + ring(1e-2), values)
        assert np.min(around) < value[0] < np.max(around)


@moved(complete)
def test_no_minimum_or_saddle_of_the_window_is_missing(surface, values):
    """Newton's method from 33 × 33 starts arrives only at what the card lists."""
    x_low, x_high, y_low, y_high = surface.window
    grid = np.stack(np.meshgrid(np.linspace(x_low, x_high, 33), np.linspace(y_low, y_high, 33)), axis=-1)
    points = grid.reshape(-1, 2) + 1e-3  # off the axes of symmetry
    step, hessian = points, np.empty(0)
    for _ in range(60):
        _, grad, hessian = look(surface, points, values)
        with np.errstate(all="ignore"):
            # Scaled first: far out on a plateau the products would underflow, and 0/0 or 0 pass for an arrival.
            size = np.max(np.abs(hessian), axis=(1, 2))
            (a, b), (_, d) = np.moveaxis(hessian / size[:, None, None], 0, -1)
            p, q = (grad / size[:, None]).T
            step = np.stack([b * q - d * p, b * p - a * q], axis=1) / (a * d - b * b)[:, None]
            points = points + step
    arrived = (np.linalg.norm(step, axis=1) < 1e-9) & [inside(surface, point) for point in points]
    assert np.any(arrived)
    points, curvature = points[arrived], np.linalg.eigvalsh(hessian[arrived])
    minima = np.reshape([minimum[:2] for minimum in surface.minima_at(values)], (-1, 2))
    saddles = np.reshape(surface.saddles_at(values), (-1, 2))
    for found, listed in ((curvature[:, 0] > 0, minima), (curvature[:, 0] * curvature[:, 1] < 0, saddles)):
        distance = np.linalg.norm(points[found][:, None] - listed, axis=2)
        missing = points[found][~np.any(distance < 1e-6, axis=1)]
        assert len(missing) == 0, missing


# The numbers that lessons quote.

# surface, parameters, point; then, in the digits of the literature: eigenvalues of the Hessian there, and the learning
# rate 2/λmax above which gradient descent cannot stay.
CURVATURES = [
    ("sphere", {}, (0, 0), ("2", "2"), "1"),
    ("valley", {}, (0, 0), ("1", "25"), "0.08"),
    ("valley", {"kappa": 400.0, "rotation": 30.0}, (0, 0), ("1", "400"), "0.005"),
    ("steep_valley", {}, (0, 0), ("1", "4"), "0.5"),
    ("rosenbrock", {}, (1, 1), ("0.399", "1002"), "0.0020"),
    ("beale", {}, (3, 0.5), ("0.30", "49"), "0.041"),
    ("booth", {}, (1, 3), ("2", "18"), "0.111"),
    ("matyas", {}, (0, 0), ("0.04", "1"), "2"),
    ("himmelblau", {}, (-3.779310, -3.283186), ("70.7", "133.8"), "0.015"),
    ("himmelblau", {}, (-2.805118, 3.131313), ("64.8", "80.6"), "0.025"),
    ("three_hump_camel", {}, (0, 0), ("1.6", "4.4"), "0.45"),
    ("six_hump_camel", {}, (0.089842, -0.712656), ("7.7", "16.5"), "0.12"),
    ("goldstein_price", {}, (0, -1), ("403", "965"), "0.0021"),
    ("goldstein_price", {}, (1.8, 0.2), ("208", "26216"), "0.000076"),
    ("mccormick", {}, (-0.547198, -1.547198), ("1.7", "4"), "0.5"),
    ("rastrigin", {}, (0, 0), ("397", "397"), "0.0050"),
    ("styblinski_tang", {}, (-2.903534, -2.903534), ("34.6", "34.6"), "0.058"),
    ("levy13", {}, (1, 1), ("2", "180"), "0.011"),
    ("easom", {}, (pi, pi), ("3", "3"), "0.667"),
    ("bohachevsky", {}, (0, 0), ("28.65", "67"), "0.030"),
    ("drop_wave", {}, (0, 0), ("72.5", "72.5"), "0.0276"),
    ("bounded_saddle", {}, (0, 1.414214), ("2", "4"), "0.5"),
    ("plateau", {}, (0, 0), ("2", "2"), "1"),
    ("double_well", {}, (1, 0), ("2", "8"), "0.25"),
    ("flat_and_sharp", {}, (-1.470563, 0), ("2.03", "2.04"), "0.98"),
    ("flat_and_sharp", {}, (1.498786, 0), ("50", "50"), "0.040"),
    ("two_gaussians", {}, (-0.936301, 0), ("30.2", "31.4"), "0.064"),
    ("two_gaussians", {}, (0.905318, 0), ("19.4", "21.1"), "0.095"),
]
VALUES = [
    ("three_hump_camel", (-1.747552, 0.873776), "0.298638"),
    ("six_hump_camel", (0.089842, -0.712656), "-1.031628"),
    ("six_hump_camel", (1.703607, -0.796084), "-0.215464"),
    ("six_hump_camel", (1.607105, 0.568651), "2.104250"),
    ("mccormick", (-0.547198, -1.547198), "-1.913223"),
    ("rastrigin", (0.994959, 0.994959), "1.989918"),
    ("styblinski_tang", (-2.903534, -2.903534), "-78.332331"),
    ("styblinski_tang", (2.746803, -2.903534), "-64.195612"),
    ("styblinski_tang", (2.746803, 2.746803), "-50.058893"),
    ("flat_and_sharp", (-1.470563, 0), "-0.955883"),
    ("flat_and_sharp", (1.498786, 0), "-0.955160"),
    ("two_gaussians", (-0.936301, 0), "-2.063090"),
    ("two_gaussians", (0.905318, 0), "-1.092732"),
]


def rounds_to(number: float, digits: str) -> bool:
    """Whether `number` is `digits` to the last digit written."""
    decimals = len(digits.partition(".")[2])
    return abs(number - float(digits)) <= 0.5 * 10.0**-decimals * (1 + 1e-9)


def quoted(surface: Surface, point, values) -> Minimum:
    """The listed minimum that rounds to `point`, which the literature gives to six decimals."""
    (found,) = [m for m in surface.minima_at(values) if max(abs(m.x - point[0]), abs(m.y - point[1])) <= 1e-6]
    return found


@pytest.mark.parametrize(("key", "values", "point", "curvatures", "limit"), CURVATURES)
def test_curvatures_at_the_minima(key, values, point, curvatures, limit):
    minimum = quoted(SURFACES[key], point, values)
    _, _, hessian = look(SURFACES[key], minimum[:2], values)
    found = np.linalg.eigvalsh(hessian[0])
    assert all(rounds_to(number, digits) for number, digits in zip(found, curvatures, strict=True)), found
    assert rounds_to(2 / found[1], limit), 2 / found[1]


@pytest.mark.parametrize(("key", "point", "value"), VALUES)
def test_values_at_the_minima(key, point, value):
    assert rounds_to(quoted(SURFACES[key], point, {}).value, value)


def test_condition_numbers():
    for key, expected in {"rosenbrock": "2508", "beale": "162", "booth": "9", "matyas": "25", "levy13": "90"}.items():
        (minimum,) = SURFACES[key].lowest_at({})
        curvature = np.linalg.eigvalsh(look(SURFACES[key], minimum[:2], {})[2][0])
        assert rounds_to(curvature[1] / curvature[0], expected), key


def test_the_lowest_minima_follow_from_their_values():
    def count(key, **values):
        return len(SURFACES[key].lowest_at(values)), len(SURFACES[key].minima_at(values))

    assert count("himmelblau") == (4, 4)
    assert count("six_hump_camel") == (2, 6)
    assert count("styblinski_tang") == (1, 4)
    assert count("styblinski_tang", tilt=0.0) == (4, 4)
    assert count("rastrigin") == (1, 121)
    assert count("rastrigin", amplitude=0.0) == (1, 1)
    assert count("flat_and_sharp", sharpness=1.0) == (2, 2)
    assert count("saddle") == (0, 0)


def test_the_sharp_well_is_found_however_narrow_it_is():
    flat_and_sharp = SURFACES["flat_and_sharp"]
    for sharpness in (0.5, 1e3, 1e6, 1e9):
        values = {"sharpness": sharpness}
        _, well = flat_and_sharp.minima_at(values)
        assert well.x == pytest.approx(1.5, abs=0.1)
        _, _, hessian = look(flat_and_sharp, well[:2], values)
        assert np.min(np.linalg.eigvalsh(hessian[0])) == pytest.approx(2 * sharpness, rel=0.1)


# Mistakes that other collections and demos have made, by name.


def test_drop_wave_minimum_is_minus_one_not_zero():
    drop_wave = SURFACES["drop_wave"]
    assert drop_wave.lowest_at({}) == (Minimum(0.0, 0.0, -1.0),)
    assert float(drop_wave.fn(0.0, 0.0)) == -1.0


def test_drop_wave_is_smooth_at_the_origin():
    """The series and the cosine meet at r = 0.1/12: gradient and Hessian agree with the radial ones on either side."""
    r = np.geomspace(1e-8, 0.05, 200)
    angle = 2.4 * np.arange(200)
    points = np.stack([r * cos(angle), r * sin(angle)], axis=1)
    value, grad, hessian = look(SURFACES["drop_wave"], points, {})
    p, q = 1 + cos(12 * r), r**2 / 2 + 2
    slope = (12 * sin(12 * r) * q + p * r) / q**2
    np.testing.assert_allclose(value, -p / q, rtol=1e-14)
    np.testing.assert_allclose(grad, slope[:, None] * points / r[:, None], rtol=1e-13)
    # The trace of the Hessian is the radial curvature plus slope/r; at the origin both are 72.5.
    bend = (144 * cos(12 * r) * q + p) / q**2 - 2 * r * slope / q
    np.testing.assert_allclose(np.trace(hessian, axis1=1, axis2=2), bend + slope / r, rtol=1e-13)
    np.testing.assert_allclose(look(SURFACES["drop_wave"], (0.0, 0.0), {})[2][0], 72.5 * np.eye(2), rtol=1e-14)


def test_autodiff_is_not_nan_where_a_root_vanishes():
    _, grad, hessian = look(SURFACES["ackley"], [(0.0, 0.0), (1e-6, 0.0)], {})
    assert grad[0].tolist() == [0.0, 0.0]
    assert grad[1, 0] == pytest.approx(2 * 2**0.5, rel=1e-4)
    assert np.all(np.isfinite(hessian))
    _, grad, _ = look(SURFACES["bukin6"], (-10.0, 1.0), {})
    assert grad[0].tolist() == [0.0, 0.0]


def test_l_valley_is_bounded_below():
    """It looks unbounded along its floors, but they end on the diagonal: f ≥ (t + 20)² + t ≥ −20.25 everywhere."""
    x, y = np.random.default_rng(0).normal(-20, 1000, (2, 100_000))
    assert np.min(SURFACES["l_valley"].fn(x, y)) > -20.25
    assert float(SURFACES["l_valley"].fn(-20.5, -20.5)) == -20.25


def test_parameters_at_their_defaults_are_the_textbook_functions():
    """No surface is rescaled: textbook learning rates work as printed."""
    assert SURFACES["rosenbrock"].fn(-1.2, 1.0, **SURFACES["rosenbrock"].defaults) == pytest.approx(24.2, rel=1e-14)
    bounded_saddle = SURFACES["bounded_saddle"]
    assert bounded_saddle.fn(1.0, 2.0, **bounded_saddle.defaults) == 1.0
    assert bounded_saddle.lowest_at({})[1] == pytest.approx((0, 2**0.5, -1), abs=1e-15)
    assert float(SURFACES["rastrigin"].fn(0.5, 0.0, **SURFACES["rastrigin"].defaults)) == pytest.approx(20.25)
