"""The surfaces: functions of two variables, each with the lesson it was chosen for.

A surface is one short pure function of `x` and `y` and a card. The two arguments may be Python numbers, arrays of any
shape or JAX tracers; the function works element by element, and it avoids dot products, sorting and scattering,
which would keep XLA from compiling a whole descent to one loop.

The card states what is known exactly: the window to show, starting points worth trying, the minima and the saddle
points in that window. A number given in digits is the stationary point nearest to what the literature prints, polished
with Newton's method in 40-digit arithmetic and rounded once. Where a parameter moves the points, or where there are
many, the card has a function of the parameters instead. Whether a minimum is global is not declared: it follows from
its value (`lowest_at`). The list is complete for its window unless the note says otherwise.

Every derivative that JAX takes of these functions is finite everywhere near the window. Where a function has a kink
or a cusp, `kinks` tells what stands in for the derivative there.

    x, y   the point                         κ   condition number: the largest curvature over the smallest
    u, v   the point in rotated axes         φ   angle of that rotation, in degrees
    r      distance from a centre            λ   an eigenvalue of the Hessian: the curvature along its own direction
    f*     the least value                   a, b, c, s, w, A, τ   a surface's own parameter, explained on its card
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import e, pi
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz.expression import parse
from optviz.programs import program
from optviz.spec import Catalogue, Entry, Param, Source
from optviz.stationary import stationary_points


class Minimum(NamedTuple):
    """A local minimum, and the value there."""

    x: float
    y: float
    value: float


Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Surface(Entry):
    """A function of two variables: what to show of it, and what is known about it."""

    window: tuple[float, float, float, float]  # x from, x to, y from, y to: what a picture shows
    starts: tuple[Point, ...]  # the first is the default
    minima: tuple[Minimum, ...] | Callable[..., tuple[Minimum, ...]] = ()  # or a function of the surface's parameters
    saddles: tuple[Point, ...] | Callable[..., tuple[Point, ...]] = ()
    degenerate: bool = False  # the Hessian vanishes at the saddle, so that its eigenvalues show nothing
    log: bool | None = False  # the picture needs log colours of f − f*; None leaves it to the values
    teaches: str
    kinks: str = ""  # where it is not differentiable, and what autodiff gives there

    def minima_at(self, values: Mapping[str, Any]) -> tuple[Minimum, ...]:
        """The local minima in the window when the parameters have these values."""
        complete = self.complete(values)
        return _placed(self.minima, tuple(complete.items())) if callable(self.minima) else self.minima

    def saddles_at(self, values: Mapping[str, Any]) -> tuple[Point, ...]:
        """The saddle points in the window when the parameters have these values."""
        complete = self.complete(values)
        return _placed(self.saddles, tuple(complete.items())) if callable(self.saddles) else self.saddles

    def lowest_at(self, values: Mapping[str, Any]) -> tuple[Minimum, ...]:
        """The minima of least value f*, usually one; none if the surface has no minimum."""
        minima = self.minima_at(values)
        least = min((minimum.value for minimum in minima), default=0.0)
        # Minima that are equally low by symmetry are computed one by one and may differ in the last digit.
        return tuple(minimum for minimum in minima if minimum.value <= least + 1e-9 * max(1.0, abs(least)))


@lru_cache(maxsize=2048)
def _placed(where: Callable, values: tuple[tuple[str, Any], ...]) -> tuple:
    """Points that move with parameters. Some are bisected, which takes a millisecond, and a move asks many times."""
    return where(**dict(values))


class Surfaces(Catalogue[Surface]):
    """The catalogue and, beyond what it lists, every formula: the key "=x^2 + y^4@3" is that formula over ±3.

    So a visitor's own surface goes wherever a listed one goes, into links and pins too.
    """

    def __getitem__(self, key: str) -> Surface:
        return _own(key) if key.startswith("=") else super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (isinstance(key, str) and key.startswith("=") and _is_own(key))

    def find(self, key: Any) -> Surface:
        return _own(key) if isinstance(key, str) and key.startswith("=") else super().find(key)


def own_key(formula: str, reach: float = 3.0) -> str:
    """The key of a formula over the window from −reach to reach."""
    return f"={formula.strip()}@{REACH.write(float(reach))}"


def own_parts(key: str) -> tuple[str, float]:
    """The formula and the reach that an own key spells. Raises ValueError on a window that is out of bounds."""
    formula, _, reach = key[1:].rpartition("@") if "@" in key else (key[1:], "", REACH.write(REACH.default))
    return formula, float(REACH.parse(reach))


def _is_own(key: str) -> bool:
    try:
        return bool(_own(key))
    except ValueError:
        return False


@lru_cache(maxsize=64)
def _own(key: str) -> Surface:
    formula, reach = own_parts(key)
    expression = parse(formula)
    window = (-reach, reach, -reach, reach)
    return Surface(
        key=own_key(formula, reach),
        fn=expression.fn,
        title="Your own f(x, y)",
        summary="A formula of your own, with exact derivatives.",
        formula=f"f(x, y) = {expression.latex}",
        source=Source("You", 2026, "your own formula"),
        window=window,
        starts=(_defined_start(expression.fn, reach),),
        minima=lambda: tuple(Minimum(*p[:3]) for p in stationary_points(expression.fn, window) if p.kind == "minimum"),
        saddles=lambda: tuple(p[:2] for p in stationary_points(expression.fn, window) if p.kind == "saddle"),
        log=None,
        teaches="Minima and saddles are found by Newton's method from 576 starts.",
    )


def _defined_start(fn: Callable, reach: float) -> Point:
    """A start at which the formula and its slope are finite, if one of nine has them: log(x) has none on the left."""
    candidates = reach * np.array([(-0.6, 0.4), *product((0.6, -0.6, 0.1), (0.4, -0.4, 0.1))])
    one = jax.value_and_grad(lambda point: fn(point[0], point[1]))
    both = program(("at starts", fn), lambda: jax.jit(jax.vmap(one)))
    value, slope = both(candidates)
    defined = np.isfinite(value) & np.isfinite(slope).all(axis=1)
    x, y = candidates[np.argmax(defined)]
    return round(float(x), 6), round(float(y), 6)


REACH = Param("reach", "±", 3.0, 0.5, 50.0, log=True, domain="[0.1, 100]", title="window", help="How far it is shown.")

SURFACES = Surfaces("surface", Surface, argument=("x", "y"))
surface = SURFACES.declare

SURVEY = Source(
    "Jamil & Yang",
    2013,
    "A Literature Survey of Benchmark Functions for Global Optimization Problems",
    "https://arxiv.org/abs/1308.4008",
)
LIBRARY = Source(
    "Surjanovic & Bingham",
    2013,
    "Virtual Library of Simulation Experiments: Test Functions and Datasets",
    "https://www.sfu.ca/~ssurjano/optimization.html",
)
OURS = Source("optviz", 2026, "Teaching surfaces")


# Roots that autodiff can pass through. Both choose the argument first and the result second: a single `where` would
# not do, because the derivative of the branch not taken is still multiplied by zero, and ∞ · 0 is NaN.


def root(s):
    """√s, level where s vanishes: its true slope there is infinite, and the chain rule would make NaN of it."""
    away = s > 1e-30  # a root below 1e-15 is nothing beside values of order 1, and s^(−3/2) must not overflow
    return jnp.where(away, jnp.sqrt(jnp.where(away, s, 1.0)), 0.0)


def cos_root(s):
    """cos √s, which is smooth at s = 0 although √s is not: its series 1 − s/2! + s²/4! − … takes over near 0."""
    near = s < 0.01
    t = jnp.where(near, s, 0.0)
    series = 1 - t / 2 * (1 - t / 12 * (1 - t / 30 * (1 - t / 56 * (1 - t / 90))))
    return jnp.where(near, series, jnp.cos(jnp.sqrt(jnp.where(near, 1.0, s))))


# Minima and saddles that move with a parameter, or that are too many to write down. Plain NumPy: nobody traces this.


def turning_points(slope: Callable, samples: np.ndarray) -> tuple[list[float], list[float]]:
    """The minima and the maxima of a function of one variable, between the first and the last sample.

    They are where the slope changes sign from one sample to the next, bisected down to neighbouring floats.
    """
    sign = np.sign(slope(samples))
    at = np.flatnonzero(sign[:-1] != sign[1:])
    left, right, before = samples[at], samples[at + 1], sign[at]
    for _ in range(60):
        middle = (left + right) / 2
        same = np.sign(slope(middle)) == before
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    # 15 decimals are what a float of this size holds; an exact 0 comes out as 0, and not as −0.
    points = np.round((left + right) / 2, 15) + 0.0
    return points[before < 0].tolist(), points[before > 0].tolist()


class Part(NamedTuple):
    """One half of a sum p(x) + q(y): its height and its slope, as NumPy functions of t and the parameters."""

    height: Callable
    slope: Callable


def separable(reach: float, p: Part, q: Part) -> dict[str, Callable]:
    """The card's minima and saddles for f(x, y) = p(x) + q(y) in the window ±reach.

    Such a function is stationary where both halves are: two minima make a minimum, a minimum and a maximum a saddle.
    """
    samples = np.linspace(-reach, reach, 2000)  # an even number, so that none of them is the origin

    def axes(values):
        return [turning_points(lambda t, slope=part.slope: slope(t, **values), samples) for part in (p, q)]

    def minima(**values):
        (xs, _), (ys, _) = axes(values)
        return tuple(Minimum(x, y, float(p.height(x, **values) + q.height(y, **values))) for x, y in product(xs, ys))

    def saddles(**values):
        (low_x, high_x), (low_y, high_y) = axes(values)
        return (*product(low_x, high_y), *product(high_x, low_y))

    return {"minima": minima, "saddles": saddles}


# One minimum: bowls, valleys and a banana.


@surface(
    title="Sphere",
    formula=r"f(x, y) = x^2 + y^2",
    source=Source("De Jong", 1975, "An Analysis of the Behavior of a Class of Genetic Adaptive Systems"),
    window=(-5.0, 5.0, -5.0, 5.0),
    starts=((4.0, 3.0), (-4.0, 1.0)),
    minima=(Minimum(0.0, 0.0, 0.0),),
    teaches="With learning rate 0.5 gradient descent arrives in one step, at 1 it bounces forever, above it diverges.",
)
def sphere(x, y):
    """A round bowl, equally curved in every direction."""
    return x**2 + y**2


@surface(
    title="Valley",
    formula=r"""f(x, y) = \tfrac12 (u^2 + \kappa v^2), \quad
        u = x \cos\varphi + y \sin\varphi, \quad v = y \cos\varphi - x \sin\varphi""",
    source=Source("Goh", 2017, "Why Momentum Really Works", "https://distill.pub/2017/momentum/"),
    params=(
        Param(
            "kappa",
            "κ",
            25.0,
            1.0,
            1000.0,
            log=True,
            domain="(0, inf)",
            title="condition number",
            help="How much steeper it is across.",
        ),
        Param("rotation", "φ", 0.0, 0.0, 90.0, help="Angle of the valley's floor to the x axis, in degrees."),
    ),
    window=(-2.0, 2.0, -2.0, 2.0),
    starts=((-1.8, 1.0), (1.5, 1.5), (-0.5, -1.8)),
    minima=(Minimum(0.0, 0.0, 0.0),),
    log=True,
    note="The Hessian has the eigenvalues 1 and κ: with κ ≥ 1, gradient descent diverges above a rate of 2/κ.",
    teaches="Descent zig-zags where one direction is steeper; momentum helps, and a rotation defeats Adam's scaling.",
)
def valley(x, y, *, kappa, rotation):
    """A long straight valley: gentle along its floor, κ times steeper across."""
    angle = jnp.deg2rad(rotation)
    u = x * jnp.cos(angle) + y * jnp.sin(angle)
    v = y * jnp.cos(angle) - x * jnp.sin(angle)
    return (u**2 + kappa * v**2) / 2


@surface(
    title="Steep valley",
    formula=r"f(x, y) = \tfrac12 x^2 + 2 y^2",
    source=OURS,
    window=(-20.0, 20.0, -20.0, 20.0),
    starts=((-15.0, 10.0), (18.0, 2.0)),
    minima=(Minimum(0.0, 0.0, 0.0),),
    log=True,
    teaches="The largest stable learning rate, 0.5, is set by the steep direction alone; the gentle one has to wait.",
)
def steep_valley(x, y):
    """A straight valley, four times steeper across than along."""
    return x**2 / 2 + 2 * y**2


@surface(
    title="Rosenbrock",
    formula=r"f(x, y) = (1 - x)^2 + b\,(y - x^2)^2",
    source=Source(
        "Rosenbrock",
        1960,
        "An Automatic Method for Finding the Greatest or Least Value of a Function",
        "https://doi.org/10.1093/comjnl/3.3.175",
    ),
    params=(
        Param(
            "b",
            "b",
            100.0,
            1.0,
            1000.0,
            log=True,
            domain="(0, inf)",
            title="steepness",
            help="How steep the walls of the ravine are.",
        ),
    ),
    window=(-2.0, 2.0, -1.0, 3.0),
    starts=((-1.2, 1.0), (0.0, 2.5), (1.8, -0.5), (-1.8, 2.8)),
    minima=(Minimum(1.0, 1.0, 0.0),),
    log=True,
    teaches="In a curved ravine a first-order method creeps along the floor, where Newton's method takes a few steps.",
)
def rosenbrock(x, y, *, b):
    """A banana-shaped ravine: easy to enter, slow to follow to its end."""
    return (1 - x) ** 2 + b * (y - x**2) ** 2


@surface(
    title="Beale",
    formula=r"f(x, y) = (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2",
    source=Source(
        "Beale", 1958, "On an Iterative Method for Finding a Local Minimum of a Function of More than One Variable"
    ),
    window=(-4.5, 4.5, -4.5, 4.5),
    starts=((1.0, 1.5), (-1.5, 2.0), (4.0, 3.0), (0.5, -3.0)),
    minima=(Minimum(3.0, 0.5, 0.0),),
    saddles=((0.0, 1.0), (0.10053793732415836, -2.6445135850231250)),
    log=True,
    teaches="Gradients explode on the steep walls and fade on the flat floor: one learning rate cannot serve both.",
)
def beale(x, y):
    """A flat floor between walls that rise with the eighth power."""
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


@surface(
    title="Booth",
    formula=r"f(x, y) = (x + 2y - 7)^2 + (2x + y - 5)^2",
    source=SURVEY,
    window=(-10.0, 10.0, -10.0, 10.0),
    starts=((-8.0, -6.0), (8.0, 8.0), (-5.0, 9.0)),
    minima=(Minimum(1.0, 3.0, 0.0),),
    log=True,
    teaches="A valley at 45° to the axes: no rescaling of x and y alone can make it round.",
)
def booth(x, y):
    """A slanted bowl, nine times steeper across than along."""
    return (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2


@surface(
    title="Matyas",
    formula=r"f(x, y) = 0.26\,(x^2 + y^2) - 0.48\,xy",
    source=SURVEY,
    window=(-10.0, 10.0, -10.0, 10.0),
    starts=((-8.0, 4.0), (9.0, 7.0), (0.0, -9.0)),
    minima=(Minimum(0.0, 0.0, 0.0),),
    log=True,
    teaches="After a few steps only the error along the flat diagonal is left, and it shrinks slowly.",
)
def matyas(x, y):
    """A gentle slanted valley, 25 times flatter along the diagonal x = y than across it."""
    return 0.26 * (x**2 + y**2) - 0.48 * x * y


# Several minima: which one is found depends on the start.


@surface(
    title="Himmelblau",
    formula=r"f(x, y) = (x^2 + y - 11)^2 + (x + y^2 - 7)^2",
    source=Source("Himmelblau", 1972, "Applied Nonlinear Programming"),
    window=(-5.0, 5.0, -5.0, 5.0),
    starts=((0.0, 0.0), (-1.0, -3.0), (-4.0, 1.0), (1.0, 4.0)),
    minima=(
        Minimum(3.0, 2.0, 0.0),
        Minimum(-2.8051180869527449, 3.1313125182505730, 0.0),
        Minimum(-3.7793102533777469, -3.2831859912861694, 0.0),
        Minimum(3.5844283403304917, -1.8481265269644036, 0.0),
    ),
    saddles=(
        (-3.0730257507643896, -0.081353044287967512),
        (-0.12796134673068007, -1.9537149802445764),
        (0.086677504555396352, 2.8842547011747761),
        (3.3851541836070209, 0.073851879837749288),
    ),
    log=True,
    teaches="Four equally good answers: the start, the learning rate and momentum decide which basin a run ends in.",
)
def himmelblau(x, y):
    """Four basins of equal depth around a hill."""
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


@surface(
    title="Three-hump camel",
    formula=r"f(x, y) = 2x^2 - 1.05x^4 + \tfrac16 x^6 + xy + y^2",
    source=SURVEY,
    window=(-2.0, 2.0, -2.0, 2.0),
    starts=((-1.9, 1.5), (1.2, 1.5), (1.9, -1.8)),
    minima=(
        Minimum(0.0, 0.0, 0.0),
        Minimum(-1.7475523458302889, 0.87377617291514445, 0.29863844223685982),
        Minimum(1.7475523458302889, -0.87377617291514445, 0.29863844223685982),
    ),
    saddles=((-1.0705422918236600, 0.53527114591182999), (1.0705422918236600, -0.53527114591182999)),
    teaches="A descent that only looks downhill stops in the first hollow; momentum may carry it into a deeper one.",
)
def three_hump_camel(x, y):
    """A deep hollow between two shallower ones."""
    return 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2


@surface(
    title="Six-hump camel",
    formula=r"f(x, y) = \left(4 - 2.1x^2 + \tfrac13 x^4\right) x^2 + xy + (4y^2 - 4)\, y^2",
    source=Source("Dixon & Szegö", 1978, "The Global Optimization Problem: An Introduction"),
    window=(-3.0, 3.0, -2.0, 2.0),
    starts=((-2.5, 1.5), (1.3, 1.5), (0.6, 0.1), (2.8, -1.8)),
    minima=(
        Minimum(0.089842013100318062, -0.71265640302073963, -1.0316284534898774),
        Minimum(-0.089842013100318062, 0.71265640302073963, -1.0316284534898774),
        Minimum(1.7036067149699808, -0.79608356867262512, -0.21546382438371764),
        Minimum(-1.7036067149699808, 0.79608356867262512, -0.21546382438371764),
        Minimum(1.6071047529201972, 0.56865145488413137, 2.1042503103112583),
        Minimum(-1.6071047529201972, -0.56865145488413137, 2.1042503103112583),
    ),
    saddles=(
        (0.0, 0.0),
        (1.1092053368047864, -0.76826809250953984),
        (-1.1092053368047864, 0.76826809250953984),
        (1.2960702671671092, 0.60508438803865850),
        (-1.2960702671671092, -0.60508438803865850),
        (1.6380679841897786, 0.22867406904439407),
        (-1.6380679841897786, -0.22867406904439407),
    ),
    log=True,
    teaches="Local minima come in ranks: two best, two middling, two poor, each with a basin of its own.",
)
def six_hump_camel(x, y):
    """Six hollows in three pairs of different depth."""
    return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2


@surface(
    title="Goldstein–Price",
    formula=r"""\begin{aligned} f(x, y) = {} & \left[1 + (x + y + 1)^2 (19 - 14x + 3x^2 - 14y + 6xy + 3y^2)\right] \\
        & \cdot \left[30 + (2x - 3y)^2 (18 - 32x + 12x^2 + 48y - 36xy + 27y^2)\right] \end{aligned}""",
    source=Source(
        "Goldstein & Price", 1971, "On Descent from Local Minima", "https://doi.org/10.1090/S0025-5718-1971-0312365-X"
    ),
    window=(-2.0, 2.0, -2.0, 2.0),
    starts=((-1.5, -1.5), (1.0, -1.5), (1.5, 1.5), (-0.5, 0.5)),
    minima=(Minimum(0.0, -1.0, 3.0), Minimum(-0.6, -0.4, 30.0), Minimum(1.8, 0.2, 84.0), Minimum(1.2, 0.8, 840.0)),
    saddles=((-0.4, -0.6), (0.6, 0.4), (1.2, -0.2), (1.4, 0.6)),
    log=True,
    teaches="Values from 3 to a million in one window: a learning rate that is safe on the walls crawls on the floor.",
)
def goldstein_price(x, y):
    """A cross of valleys whose height spans six powers of ten."""
    p = 1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)
    q = 30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    return p * q


@surface(
    title="McCormick",
    formula=r"f(x, y) = \sin(x + y) + (x - y)^2 - 1.5x + 2.5y + 1",
    source=SURVEY,
    window=(-1.5, 4.0, -3.0, 4.0),
    starts=((3.5, -2.5), (-1.0, 3.0), (2.0, 3.0)),
    minima=(
        Minimum(-0.54719755119659775, -1.5471975511965978, -1.9132229549810364),
        Minimum(2.5943951023931955, 1.5943951023931955, 1.2283696986087568),
    ),
    saddles=((1.5471975511965978, 0.54719755119659775),),
    note="Only the first minimum is usually quoted. A step of (π, π) leads from one to the next, higher by π, so the "
    "surface is unbounded below, and the first minimum is the lowest in the window only.",
    teaches="A minimum is best only within a window: further out the same hollow returns, ever deeper.",
)
def mccormick(x, y):
    """A tilted gutter with a wave along its floor."""
    return jnp.sin(x + y) + (x - y) ** 2 - 1.5 * x + 2.5 * y + 1


RIPPLES = Part(
    height=lambda t, amplitude: t**2 + amplitude * (1 - np.cos(2 * pi * t)),
    slope=lambda t, amplitude: 2 * t + 2 * pi * amplitude * np.sin(2 * pi * t),
)


@surface(
    title="Rastrigin",
    formula=r"f(x, y) = 2A + x^2 - A \cos 2\pi x + y^2 - A \cos 2\pi y",
    source=Source("Rastrigin", 1974, "Systems of Extremal Control (in Russian)"),
    params=(
        Param("amplitude", "A", 10.0, 0.0, 20.0, domain="[0, inf)", help="Height of the ripples; 0 leaves the bowl."),
    ),
    window=(-5.12, 5.12, -5.12, 5.12),
    starts=((4.3, -3.7), (-2.4, 1.6), (0.6, 0.6)),
    **separable(5.12, RIPPLES, RIPPLES),
    teaches="Plain descent stays in the hollow it starts in, one of 121; noise, momentum and restarts are ways out.",
)
def rastrigin(x, y, *, amplitude):
    """A bowl covered with a regular lattice of hollows."""
    return 2 * amplitude + x**2 - amplitude * jnp.cos(2 * pi * x) + y**2 - amplitude * jnp.cos(2 * pi * y)


@surface(
    title="Ackley",
    formula=r"""f(x, y) = 20 \left(1 - e^{-0.2 \sqrt{(x^2 + y^2)/2}}\right)
        + e - e^{(\cos 2\pi x + \cos 2\pi y)/2}""",
    source=Source("Ackley", 1987, "A Connectionist Machine for Genetic Hillclimbing"),
    window=(-5.0, 5.0, -5.0, 5.0),
    starts=((3.3, -2.6), (-4.5, 4.5), (0.7, 0.4)),
    minima=(Minimum(0.0, 0.0, 0.0),),
    kinks="At the origin, which is the tip of a cone: the slope is 2.83 in every direction. Autodiff is given 0 there, "
    "the subgradient of least length.",
    note="Has many local minima that are not listed, near the points with whole coordinates.",
    teaches="Far out it is nearly flat with many traps, and at the tip of the cone the gradient never fades.",
)
def ackley(x, y):
    """A funnel in a nearly flat plain, all of it rippled."""
    r = root((x**2 + y**2) / 2)
    return 20 * (1 - jnp.exp(-0.2 * r)) + (e - jnp.exp((jnp.cos(2 * pi * x) + jnp.cos(2 * pi * y)) / 2))


WELLS = Part(
    height=lambda t, tilt: (t**4 - 16 * t**2 + tilt * t) / 2,
    slope=lambda t, tilt: 2 * t**3 - 16 * t + tilt / 2,
)


@surface(
    title="Styblinski–Tang",
    formula=r"f(x, y) = \tfrac12 \left(x^4 - 16x^2 + \tau x + y^4 - 16y^2 + \tau y\right)",
    source=Source(
        "Styblinski & Tang",
        1990,
        "Experiments in Nonconvex Optimization: Stochastic Approximation with Function Smoothing and "
        "Simulated Annealing",
        "https://doi.org/10.1016/0893-6080(90)90029-K",
    ),
    params=(
        Param("tilt", "τ", 5.0, 0.0, 30.0, help="What makes the four basins unequal; at 0 they are equally deep."),
    ),
    window=(-5.0, 5.0, -5.0, 5.0),
    starts=((0.5, 0.5), (1.0, -4.0), (-4.0, 1.0), (4.5, 4.0)),
    **separable(5.0, WELLS, WELLS),
    teaches="Four basins in order of depth: how often does each method end in the deepest?",
)
def styblinski_tang(x, y, *, tilt):
    """Four basins of three different depths."""
    return (x**4 - 16 * x**2 + tilt * x + y**4 - 16 * y**2 + tilt * y) / 2


@surface(
    title="Lévy No. 13",
    formula=r"f(x, y) = \sin^2 3\pi x + (x - 1)^2 (1 + \sin^2 3\pi y) + (y - 1)^2 (1 + \sin^2 2\pi y)",
    source=LIBRARY,
    window=(-3.0, 3.0, -3.0, 3.0),
    starts=((-2.4, -1.7), (2.6, -2.5), (-0.5, 2.3)),
    minima=(Minimum(1.0, 1.0, 0.0),),
    note="Has many local minima that are not listed, some hundreds in the window.",
    teaches="Ripples that look like noise hide a plain bowl: averaging sees it, the exact gradient does not.",
)
def levy13(x, y):
    """A bowl under ripples that run in both directions."""
    return (
        jnp.sin(3 * pi * x) ** 2
        + (x - 1) ** 2 * (1 + jnp.sin(3 * pi * y) ** 2)
        + (y - 1) ** 2 * (1 + jnp.sin(2 * pi * y) ** 2)
    )


@surface(
    title="Easom",
    formula=r"f(x, y) = -\cos x \cos y \; e^{-(x - \pi)^2 - (y - \pi)^2}",
    source=SURVEY,
    window=(0.0, 6.0, 0.0, 6.0),
    starts=((1.8, 2.2), (4.4, 4.4), (0.5, 0.5)),
    minima=(
        Minimum(pi, pi, -1.0),
        Minimum(1.3049954504376675, 1.3049954504376675, -8.1102238915700659e-5),
        Minimum(1.3049954504376675, 4.9781898567419190, -8.1102238915700659e-5),
        Minimum(4.9781898567419190, 1.3049954504376675, -8.1102238915700659e-5),
        Minimum(4.9781898567419190, 4.9781898567419190, -8.1102238915700659e-5),
    ),
    saddles=((pi / 2, pi / 2), (pi / 2, 3 * pi / 2), (3 * pi / 2, pi / 2), (3 * pi / 2, 3 * pi / 2)),
    teaches="Where the gradient has vanished, plain descent stands still; Adam still walks, and trusts noise as much.",
)
def easom(x, y):
    """A needle pointing down from a vast plain."""
    return -jnp.cos(x) * jnp.cos(y) * jnp.exp(-((x - pi) ** 2) - (y - pi) ** 2)


@surface(
    title="Bukin No. 6",
    formula=r"f(x, y) = 100 \sqrt{\left|y - 0.01x^2\right|} + 0.01 \left|x + 10\right|",
    source=SURVEY,
    window=(-15.0, -5.0, -3.0, 3.0),
    starts=((-14.0, 2.5), (-6.0, -2.0), (-12.0, 0.5)),
    minima=(Minimum(-10.0, 1.0, 0.0),),
    kinks="All along the ravine y = x²/100, where the walls are infinitely steep, and across it at x = −10. Where one "
    "of the two terms vanishes, autodiff is given 0 for its slope.",
    note="Every point of the ravine's floor is a minimum across it; along it the floor falls gently to x = −10.",
    teaches="The gradient grows towards the cusp: with a constant learning rate a run never stops bouncing.",
)
def bukin6(x, y):
    """A curved ravine with a razor-sharp floor."""
    # 0.01·x² would be rounded differently by a fused multiply-add, and the root turns 10⁻¹⁷ at the minimum into 10⁻⁷.
    return 100 * root(jnp.abs(y - (0.1 * x) ** 2)) + 0.01 * root((x + 10) ** 2)


@surface(
    title="Bohachevsky No. 1",
    formula=r"f(x, y) = x^2 + 2y^2 - 0.3 \cos 3\pi x - 0.4 \cos 4\pi y + 0.7",
    source=Source(
        "Bohachevsky, Johnson & Stein",
        1986,
        "Generalized Simulated Annealing for Function Optimization",
        "https://doi.org/10.1080/00401706.1986.10488128",
    ),
    window=(-2.0, 2.0, -2.0, 2.0),
    starts=((1.7, 1.6), (-1.8, 0.7), (0.4, -1.4)),
    **separable(
        2.0,
        Part(
            height=lambda t: t**2 + 0.3 * (1 - np.cos(3 * pi * t)),
            slope=lambda t: 2 * t + 0.9 * pi * np.sin(3 * pi * t),
        ),
        Part(
            height=lambda t: 2 * t**2 + 0.4 * (1 - np.cos(4 * pi * t)),
            slope=lambda t: 4 * t + 1.6 * pi * np.sin(4 * pi * t),
        ),
    ),
    teaches="Against small ripples a learning rate that is large enough steps over the traps a small one falls into.",
)
def bohachevsky(x, y):
    """A bowl with small ripples."""
    return x**2 + 2 * y**2 - 0.3 * jnp.cos(3 * pi * x) - 0.4 * jnp.cos(4 * pi * y) + 0.7


@surface(
    title="Drop wave",
    formula=r"f(x, y) = -\frac{1 + \cos 12r}{\tfrac12 r^2 + 2}, \quad r = \sqrt{x^2 + y^2}",
    source=LIBRARY,
    window=(-5.12, 5.12, -5.12, 5.12),
    starts=((1.2, 0.9), (-3.0, 2.0), (0.2, 0.1)),
    minima=(Minimum(0.0, 0.0, -1.0),),
    note="Has many local minima that are not listed: whole circles, the floors of the rings. At the origin r has no "
    "derivative, yet cos 12r is a smooth function of r², and so is f: its Hessian there is 72.5 times the identity. "
    "The least value is −1, not 0.",
    teaches="The gradient points only inward or outward: a ring, once entered, holds the run like a moat.",
)
def drop_wave(x, y):
    """Rings around a stone dropped into water."""
    s = x**2 + y**2
    return -(1 + cos_root(144 * s)) / (s / 2 + 2)


# Saddles, plateaus and pairs of wells: our own teaching surfaces, and a few that everybody draws.


@surface(
    title="Saddle",
    formula=r"f(x, y) = x^2 - y^2",
    source=Source(
        "Dauphin et al.",
        2014,
        "Identifying and Attacking the Saddle Point Problem in High-Dimensional Non-Convex Optimization",
        "https://arxiv.org/abs/1406.2572",
    ),
    window=(-2.0, 2.0, -2.0, 2.0),
    starts=((1.0, 1e-3), (1.0, 0.0), (-1.5, 1e-6), (0.5, -0.1)),
    saddles=((0.0, 0.0),),
    note="Unbounded below: there is no minimum, and a run that escapes leaves the window for good.",
    teaches="The time to escape grows with the logarithm of 1/offset, and Newton's method goes to the saddle.",
)
def saddle(x, y):
    """A mountain pass: a valley along x, a ridge along y."""
    return x**2 - y**2


@surface(
    title="Bounded saddle",
    formula=r"f(x, y) = x^2 - y^2 + \frac{y^4}{4c}",
    source=OURS,
    params=(Param("depth", "c", 1.0, 0.25, 1.5, domain="(0, inf)", help="How far the two minima lie below the pass."),),
    window=(-2.0, 2.0, -2.0, 2.0),
    starts=((1.0, 1e-3), (1.0, 0.0), (-1.5, 1e-6), (0.5, -0.1)),
    minima=lambda depth: tuple(Minimum(0.0, y, -depth) for y in (-((2 * depth) ** 0.5), (2 * depth) ** 0.5)),
    saddles=((0.0, 0.0),),
    teaches="A run lingers at the saddle, and a tiny push decides where it ends: noise and momentum shorten the wait.",
)
def bounded_saddle(x, y, *, depth):
    """A mountain pass between two hollows."""
    return x**2 - y**2 + y**4 / (4 * depth)


@surface(
    title="Monkey saddle",
    formula=r"f(x, y) = x^3 - 3xy^2",
    source=Source("Hilbert & Cohn-Vossen", 1932, "Anschauliche Geometrie"),
    window=(-1.0, 1.0, -1.0, 1.0),
    starts=((0.8, 0.05), (0.5, 0.4), (0.9, 0.0)),
    saddles=((0.0, 0.0),),
    degenerate=True,
    note="Unbounded below: three ways lead down from the saddle, one for each leg and one for the tail.",
    teaches="At the saddle the Hessian vanishes: curvature, on which second-order methods rely, shows no way out.",
)
def monkey_saddle(x, y):
    """A saddle with three ways down and three ways up."""
    return x**3 - 3 * x * y**2


@surface(
    title="Plateau",
    formula=r"f(x, y) = 1 - e^{-(x^2 + y^2)/w^2}",
    source=OURS,
    params=(
        Param("width", "w", 1.0, 0.25, 4.0, log=True, domain="(0, inf)", help="Radius of the hole in the plateau."),
    ),
    window=(-4.0, 4.0, -4.0, 4.0),
    starts=((1.5, 1.0), (2.5, -2.0), (0.4, 0.3)),
    minima=(Minimum(0.0, 0.0, 0.0),),
    teaches="The same learning rate arrives from nearby and never leaves from afar: what counts is where one starts.",
)
def plateau(x, y, *, width):
    """A round hole in a level plain."""
    return 1 - jnp.exp(-(x**2 + y**2) / width**2)


@surface(
    title="Double well",
    formula=r"f(x, y) = (x^2 - a^2)^2 + y^2",
    source=OURS,
    params=(
        Param("width", "a", 1.0, 0.5, 1.5, domain="(0, inf)", help="Distance of each well from the pass between."),
    ),
    window=(-2.0, 2.0, -2.0, 2.0),
    starts=((0.1, 1.5), (-1.8, 1.0), (0.0, 1.0)),
    minima=lambda width: (Minimum(-width, 0.0, 0.0), Minimum(width, 0.0, 0.0)),
    saddles=((0.0, 0.0),),
    teaches="With noisy gradients a run hops between the wells: the smaller the learning rate, the rarer the hops.",
)
def double_well(x, y, *, width):
    """Two equal wells with a pass between them."""
    return (x**2 - width**2) ** 2 + y**2


def _wells(sharpness: float) -> tuple[list[float], list[float]]:
    """Minima and maxima of flat_and_sharp along y = 0; it is stationary nowhere else, since ∂f/∂y has the sign of y."""
    whole = np.linspace(-3, 3, 2000)
    samples = np.unique(np.clip([whole, 1.5 + whole / sharpness**0.5], -3, 3))  # however narrow the well is

    def slope(x):
        flat, sharp = np.exp(-((x + 1.5) ** 2)), np.exp(-sharpness * (x - 1.5) ** 2)
        return 2 * (x + 1.5) * flat + 2 * sharpness * (x - 1.5) * sharp + 0.04 * x

    return turning_points(slope, samples)


def _well(x: float, sharpness: float) -> Minimum:
    flat, sharp = np.exp(-((x + 1.5) ** 2)), np.exp(-sharpness * (x - 1.5) ** 2)
    return Minimum(x, 0.0, float(0.02 * x**2 - flat - sharp))


@surface(
    title="Flat and sharp",
    formula=r"f(x, y) = -e^{-(x + 1.5)^2 - y^2} - e^{-s\,[(x - 1.5)^2 + y^2]} + 0.02\,(x^2 + y^2)",
    source=OURS,
    params=(
        Param(
            "sharpness",
            "s",
            25.0,
            1.0,
            100.0,
            log=True,
            domain="(0, inf)",
            help="How narrow the right well is; the left has 1.",
        ),
    ),
    window=(-3.0, 3.0, -3.0, 3.0),
    starts=((0.9, 0.6), (1.5, 0.4), (-0.5, 1.5)),
    minima=lambda sharpness: tuple(_well(x, sharpness) for x in _wells(sharpness)[0]),
    saddles=lambda sharpness: tuple((x, 0.0) for x in _wells(sharpness)[1]),
    teaches="Two wells of nearly equal depth: a large learning rate or much noise can stay in the flat one only.",
)
def flat_and_sharp(x, y, *, sharpness):
    """A wide well and a narrow one, almost equally deep."""
    flat = jnp.exp(-((x + 1.5) ** 2) - y**2)
    sharp = jnp.exp(-sharpness * ((x - 1.5) ** 2 + y**2))
    return 0.02 * (x**2 + y**2) - flat - sharp


@surface(
    title="Two Gaussians",
    formula=r"f(x, y) = x^2 + y^2 - 2 e^{-5[(x - 1)^2 + y^2]} - 3 e^{-5[(x + 1)^2 + y^2]}",
    source=OURS,
    window=(-2.0, 2.0, -2.0, 2.0),
    starts=((0.2, 1.5), (1.8, -1.0), (0.07, -0.5)),
    minima=(
        Minimum(-0.93630063401091863, 0.0, -2.0630902517681942),
        Minimum(0.90531789916011500, 0.0, -1.0927319992017409),
    ),
    saddles=((0.068602436708096566, 0.0),),
    teaches="The share of starts that end in the deeper well is a number to estimate, and each method changes it.",
)
def two_gaussians(x, y):
    """A bowl with two dents, the left one deeper."""
    return x**2 + y**2 - 2 * jnp.exp(-5 * ((x - 1) ** 2 + y**2)) - 3 * jnp.exp(-5 * ((x + 1) ** 2 + y**2))


@surface(
    title="L-shaped valley",
    formula=r"f(x, y) = \begin{cases} (y + 20)^2 + x & x > y \\ (x + 20)^2 + y & x \le y \end{cases}",
    source=OURS,
    window=(-50.0, 20.0, -50.0, 20.0),
    starts=((15.0, -45.0), (-45.0, 10.0), (10.0, 0.0)),
    minima=(Minimum(-20.5, -20.5, -20.25),),
    log=True,
    kinks="All along x = y, where the two halves meet at equal height but with different slopes. Autodiff gives the "
    "gradient of the upper left half there: (−1, 1) at the minimum, although a step either way leads up.",
    teaches="At the kink the gradient turns a corner: momentum overshoots, and with a constant rate no run settles.",
)
def l_valley(x, y):
    """Two straight valleys that meet at a right angle, with a kink along the diagonal."""
    return jnp.where(x > y, (y + 20) ** 2 + x, (x + 20) ** 2 + y)
