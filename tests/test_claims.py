"""The claims of the course: true on their presets by an independent computation, and false where they are false.

One test id per claim, A1 … A16. `CHECKS` computes each claim's numbers a second time, in plain NumPy or by a formula,
and knows nothing of how the claim measures. `FALSE` breaks each claim and expects a sentence that says so.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optviz.claims import CLAIMS, Claim, Measured
from optviz.experiment import Experiment, Pick, Racer
from optviz.link import from_query, to_query
from optviz.optimizers import OPTIMIZERS
from optviz.spec import number
from optviz.tuning import tuned_lr
from strategies import some_of


@pytest.fixture(scope="module", params=CLAIMS.values(), ids=list(CLAIMS))
def claim(request) -> Claim:
    """Every claim. For the whole module, so that all tests of a claim follow one another and share its programs."""
    return request.param


def measured(claim: Claim, experiment: Experiment | None = None) -> Measured:
    found = claim.measure(experiment or claim.experiment)
    assert found is not None
    return found


def close(value: Any, rel: float = 1e-9) -> Any:
    return pytest.approx(value, rel=rel, abs=1e-12)


# Plain loops, written from the papers --------------------------------------------------------------------------------


def valley(kappa: float, phi: float = 0.0) -> np.ndarray:
    """The Hessian of the valley."""
    c, s = math.cos(math.radians(phi)), math.sin(math.radians(phi))
    turn = np.array([[c, s], [-s, c]])
    return turn.T @ np.diag([1.0, kappa]) @ turn


def height(hessian: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return 0.5 * np.einsum("ti,ij,tj->t", theta, hessian, theta)


def ball(gradient: Callable, start, steps: int, lr: float, rho: float = 0.0, look: float = 0.0) -> np.ndarray:
    """v ← ρv − η∇f(θ + look·v), θ ← θ + v: plain descent, the heavy ball and Nesterov."""
    theta, v = np.array(start, float), np.zeros(2)
    path = [theta]
    for _ in range(steps):
        v = rho * v - lr * gradient(theta + look * v)
        theta = theta + v
        path.append(theta)
    return np.array(path)


def adam(gradient: Callable, start, steps: int, lr: float, correct: bool = True, friction: bool = False) -> np.ndarray:
    theta, m, v, last = np.array(start, float), np.zeros(2), np.zeros(2), np.zeros(2)
    path = [theta]
    for t in range(1, steps + 1):
        g = gradient(theta)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        up, down = (1 - 0.9**t, 1 - 0.999**t) if correct else (1.0, 1.0)
        if friction:  # diffGrad adds ε to the root of the uncorrected average
            xi = 1 / (1 + np.exp(-np.abs(last - g)))
            step = xi * math.sqrt(down) / up * m / (np.sqrt(v) + 1e-8)
        else:
            step = (m / up) / (np.sqrt(v / down) + 1e-8)
        theta, last = theta - lr * step, g
        path.append(theta)
    return np.array(path)


def settled(excess: np.ndarray, tolerance: float = 1e-6) -> float:
    """From which step on it stays within the tolerance, found by walking back from the end."""
    step = len(excess)
    while step > 0 and excess[step - 1] <= tolerance:
        step -= 1
    return math.inf if step == len(excess) else float(step)


def overshoot(path: np.ndarray) -> np.ndarray:
    """How far each coordinate went to the other side of zero, as a share of where it began."""
    beyond = [max(0.0, *(-np.sign(path[0, i]) * path[:, i])) for i in (0, 1)]
    return np.array(beyond) / np.abs(path[0])


# Every claim's numbers, a second time --------------------------------------------------------------------------------


def a1(n):
    counts = []
    for kappa in (50.0, 25.0, 12.5):
        hessian = valley(kappa)
        path = ball(lambda x, h=hessian: h @ x, (1.0, 1.0), 1000, 0.9 * 2 / kappa)
        counts.append(settled(height(hessian, path)))
    assert [n["steps"], n["steps_half"], n["steps_quarter"]] == counts
    assert n["share"] == close(0.9)
    # Across, each step multiplies by 1 − 1.8 = −0.8, along by 1 − 0.036: (1, 50) becomes (0.964, −40), and so on.
    grads = np.array([[0.964**i, 50 * (-0.8) ** i] for i in range(100)])
    both = [(a, b) for a, b in pairwise(grads) if abs(b[1]) > b[0]]
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in both]
    assert n["cosine"] == close(float(np.mean(cosines)))
    assert n["cosine_slow"] > 0.9  # below 1/λmax nothing swings


def a2(n):
    assert (n["curvature"], n["limit"]) == (close(25.0), close(0.08))
    for name, lr in (("below", 0.99 * 0.08), ("above", 1.01 * 0.08)):
        first, last = (1.8**2 + 25 * 0.5**2), 1.8**2 * (1 - lr) ** 2000 + 25 * 0.5**2 * (1 - 25 * lr) ** 2000
        assert n[name] == close(last / first, 1e-6)
    assert (n["turned_slow"], n["turned_fast"]) == (0, 1)


def a3(n):
    def escape(offset, lr, rho):
        path = ball(lambda p: np.array([2 * p[0], -2 * p[1] + p[1] ** 3]), (1.0, offset), 500, lr, rho)
        return float(np.argmax(np.abs(path[:, 1]) >= math.sqrt(2) / 2))

    assert [n["plain"], n["plain_far"]] == [escape(1e-3, 0.05, 0), escape(1e-6, 0.05, 0)]
    assert [n["heavy"], n["heavy_far"]] == [escape(1e-3, 0.05, 0.5), escape(1e-6, 0.05, 0.5)]
    assert n["decade_theory"] == close(math.log(10) / math.log(1.1))
    growth = max(np.roots([1, -(1 + 0.5 + 2 * 0.05), 0.5]).real)
    assert n["heavy_theory"] == close(math.log(10) / math.log(growth))
    assert n["decade"] == pytest.approx(n["decade_theory"], abs=0.5)
    assert n["heavy_decade"] == pytest.approx(n["heavy_theory"], abs=0.5)
    assert n["least"] < 1e-2
    assert n["newton"] < 1e-12


def a4(n):
    points = np.stack(np.meshgrid(*[-2 + 0.5 * (np.arange(8) + 0.5)] * 2), axis=-1).reshape(-1, 2)

    def gradient(p):
        x, y = p[:, 0], p[:, 1]
        right, left = 2 * np.exp(-5 * ((x - 1) ** 2 + y**2)), 3 * np.exp(-5 * ((x + 1) ** 2 + y**2))
        return np.stack([2 * x + 10 * (x - 1) * right + 10 * (x + 1) * left, y * (2 + 10 * right + 10 * left)], axis=1)

    def wins(rho):
        theta, v = points.copy(), np.zeros_like(points)
        for _ in range(300):
            v = rho * v - 0.02 * gradient(theta)
            theta = theta + v
        return np.abs(theta[:, 0] + 0.936301) < 0.05, np.abs(theta[:, 0] - 0.905318) < 0.05

    (plain, stuck), (heavy, _) = wins(0.0), wins(0.9)
    assert (n["plain"], n["stuck"], n["heavy"]) == (plain.mean(), stuck.mean(), heavy.mean())
    assert (n["won"], n["lost"]) == (np.sum(heavy & ~plain), np.sum(plain & ~heavy))
    assert n["lost"] > 0  # the counter-example: momentum knows nothing of depth


def a5(n):
    for name, lr in (("floor", 0.05), ("floor_half", 0.025)):
        variance = np.zeros(2)
        for _ in range(5000):  # what one step does to the variance along each axis, until it is steady
            variance = (1 - lr * np.array([1.0, 10.0])) ** 2 * variance + lr**2
        assert n[name] == pytest.approx(0.5 * variance @ [1.0, 10.0], rel=0.06)
        assert n[name.replace("floor", "theory")] == close(0.5 * variance @ [1.0, 10.0], 1e-6)
    assert (n["quiet"], n["quiet_half"]) == tuple(
        settled(height(valley(10.0), ball(lambda p: valley(10.0) @ p, (-1.8, 1.0), 500, lr))) for lr in (0.05, 0.025)
    )
    assert n["quiet_half"] > n["quiet"]
    assert n["ratio"] > 2  # more than in proportion: 2/λmax is near


def a6(n):
    hessian = valley(100.0)

    def steps(lr, rho):
        return settled(height(hessian, ball(lambda p: hessian @ p, (-1.8, 1.0), 4000, lr, rho)))

    assert (n["plain"], n["heavy"], n["much"]) == (steps(0.019, 0), steps(0.019, 0.9), steps(0.019, 0.99))
    assert (n["best_rate"], n["best_rho"]) == (close((2 / 11) ** 2), close((9 / 11) ** 2))
    assert (n["best_plain"], n["best_heavy"]) == (steps(2 / 101, 0), steps((2 / 11) ** 2, (9 / 11) ** 2))

    def radius(lr, rho):  # of the linear map (x, v) ← one step across the valley
        return np.abs(np.roots([1, -(1 + rho - lr * 100.0), rho])).max()

    assert radius(0.999 * n["edge"], 0.9) < 1 < radius(1.001 * n["edge"], 0.9)
    assert all(
        radius(n["best_rate"], n["best_rho"]) <= radius(n["best_rate"] + d, n["best_rho"]) for d in (1e-3, -1e-4)
    )
    path = ball(lambda p: hessian @ p, (-1.8, 1.0), 4000, 0.019, 0.99)
    assert n["beyond_much"] == close(overshoot(path)[0])


def a7(n):
    assert (n["taken_averaging"], n["taken_ball"], n["first"]) == (close(0.1), close(1.0), close(0.1))
    hessian, theta, v = valley(25.0), np.array([-1.8, 1.0]), np.zeros(2)
    heavy = ball(lambda p: hessian @ p, theta, 200, n["rate"], 0.9)
    for point in heavy:  # the averaging form, with ten times the rate
        np.testing.assert_allclose(theta, point, atol=1e-13)
        v = 0.9 * v + 0.1 * (hessian @ theta)
        theta = theta - n["scaled"] * v


def a8(n):
    hessian = valley(25.0)
    paths = [ball(lambda p: hessian @ p, (-1.8, 1.0), 2000, 0.02, 0.9, look) for look in (0.9, 0.0)]
    ahead, heavy = map(overshoot, paths)
    assert (n["flat"], n["steep"], n["flat_ball"], n["steep_ball"]) == tuple(map(close, (*ahead, *heavy)))
    assert n["flat_ball"] - n["flat"] < 0.2 * (n["steep_ball"] - n["steep"])  # along the floor they hardly differ

    def radius(lr):
        a = 1 - lr * 25.0
        return np.abs(np.roots([1, -1.9 * a, 0.9 * a])).max()

    assert radius(0.999 * n["edge"]) < 1 < radius(1.001 * n["edge"])
    assert n["left"] > 1 > n["left_ball"]  # the counter-example: at 2/λmax only momentum converges


def a9(n):
    theta, total, rates = np.array([-1.8, 0.5]), np.zeros(2), []
    for _ in range(2000):
        g = np.array([1.0, 10.0]) * theta
        total = total + g**2
        rates.append(0.5 / np.sqrt(total))
        theta = theta - rates[-1] * g
    assert n["settled"] == close(min(rates[-1] / rates[1000]))
    assert n["settled"] > 0.999  # without noise the rate does not vanish
    assert n["rising"] == 0
    assert n["x_last"] == pytest.approx(0.5 / math.sqrt(2.0**2 * 2000), rel=0.05)  # the sum is noise: σ²t
    assert n["exponent"] == pytest.approx(-0.5, abs=0.03)


def a10(n):
    def halving(phi):
        hessian = valley(100.0, phi)
        c, s = math.cos(math.radians(phi)), math.sin(math.radians(phi))
        frame = np.array([[c, -s], [s, c]])
        theta, v = frame @ [-1.5, 1.5], np.zeros(2)
        while True:
            g = hessian @ theta
            v = 0.99 * v + 0.01 * g**2
            theta = theta - 0.02 * g / (np.sqrt(v) + 1e-8)
            along, across = frame.T @ theta
            if min(abs(along), abs(across)) <= 0.75:
                return abs(along + 1.5), abs(across - 1.5)

    assert (n["along"], n["across"]) == tuple(map(close, halving(0.0)))
    assert (n["along_turned"], n["across_turned"]) == tuple(map(close, halving(45.0)))
    assert n["across_turned"] > 100 * n["along_turned"]
    assert n["growth"] > 5
    assert abs(n["exponent"]) < 0.1
    assert n["exponent_adagrad"] < -0.35


def a11(n):
    hessian = valley(25.0)
    paths = (
        adam(lambda p: hessian @ p, (-1.8, 1.0), 300, 0.06),
        ball(lambda p: hessian @ p, (-1.8, 1.0), 300, 0.003, 0.9),
    )
    assert (n["adam"], n["ball"]) == tuple(close(overshoot(path).max()) for path in paths)
    assert n["adam_best"] < n["ball_best"]
    assert n["adam_round"] > n["ball_round"]  # the counter-example
    assert (n["beta1"], n["beta2"], n["default_rate"]) == (0.9, 0.999, 1e-3)
    assert n["crawled"] == close(
        np.linalg.norm(np.diff(adam(lambda p: hessian @ p, (-1.8, 1.0), 100, 1e-3)[[0, -1]], axis=0)), 1e-6
    )


def a12(n):
    def factor(t, beta1=0.9, beta2=0.999):
        return (1 - beta1**t) / math.sqrt(1 - beta2**t)

    hessian = valley(25.0)
    first = [adam(lambda p: hessian @ p, (-1.8, 1.0), 1, 0.05, correct)[1] - [-1.8, 1.0] for correct in (True, False)]
    assert n["corrected"] == close(np.abs(first[0]).max() / 0.05, 1e-6)
    assert n["own"] == close(np.abs(first[1]).max() / 0.05, 1e-6)
    assert n["theory"] == close(math.sqrt(10))
    worst = max(range(1, 201), key=factor)
    assert (n["at"], n["worst"]) == (worst, pytest.approx(factor(worst), rel=1e-5))
    assert n["short"] == pytest.approx(factor(1, 0.9, 0.9), rel=1e-5)
    assert n["short"] < 1  # the counter-example to “too long”, as the defaults are to “too short”


def a13(n):
    def gradient(p):
        return 2 * p * np.exp(-p @ p)

    count = int(n["flat"])
    slow, quick = (adam(gradient, (2.5, -2.0), count, 0.02, friction=friction) for friction in (True, False))
    distances = [np.abs(np.diff(path, axis=0)).sum() for path in (slow, quick)]
    assert n["pace"] == close(distances[0] / distances[1])
    assert n["pace"] == pytest.approx(0.5, abs=0.02)
    assert n["steep"] > 0.9  # the counter-example: on a steep wall there is no friction


def a14(n):
    hessian, start = valley(100.0, 30.0), np.array([-1.8, 1.0])
    damped = start - np.linalg.solve(hessian + np.eye(2), hessian @ start)
    plain = start - 0.018 * hessian @ start
    assert n["damped"] == close(np.linalg.norm(damped) / np.linalg.norm(start))
    assert n["plain"] == close(np.linalg.norm(plain) / np.linalg.norm(start))
    assert max(n["left"], n["worst"]) < 1e-12
    assert n["quadratic"] == close(1.0)
    g = hessian @ start
    assert n["linear"] == close(0.018 * g @ g / (0.018 * g @ g - 0.5 * 0.018**2 * g @ hessian @ g))

    def banana(x, y):
        gradient = np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])
        return (
            (1 - x) ** 2 + 100 * (y - x**2) ** 2,
            gradient,
            [[2 - 400 * y + 1200 * x**2, -400 * x], [-400 * x, 200.0]],
        )

    def newton(point):
        _, gradient, curvature = banana(*point)
        return gradient, -np.linalg.solve(curvature, gradient)

    second = np.array([-1.2, 1.0]) + newton((-1.2, 1.0))[1]
    gradient, step = newton(second)
    assert n["promised"] == close(-0.5 * gradient @ step)
    assert n["rose"] == close(banana(*(second + step))[0] - banana(*second)[0], 1e-6)


def a15(n):
    assert (n["full"], n["pairs"]) == (2 * 2, 2 * 10 * 2 + 2 * 2)
    assert (n["full_large"], n["pairs_large"]) == (2000**2, (2 * 10 + 2) * 2000)
    assert n["pairs"] > n["full"]  # the counter-example: in the plane L-BFGS keeps more
    assert (n["above"] + 1) ** 2 > 22 * (n["above"] + 1) >= 22 * n["above"] == n["above"] ** 2
    point, count = np.array([-1.2, 1.0]), 0
    while (1 - point[0]) ** 2 + 100 * (point[1] - point[0] ** 2) ** 2 > 1e-6 or count < 3:
        x, y = point
        gradient = [-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)]
        point = point - np.linalg.solve([[2 - 400 * y + 1200 * x**2, -400 * x], [-400 * x, 200.0]], gradient)
        count += 1
    assert n["newton"] == count
    assert n["newton"] < n["lbfgs"] < n["plain"]


def a16(n):
    named = {"adamw", "adadelta", "nadam", "lion", "optax_radam", "optax_adabelief", "optax_yogi", "optax_prodigy"}
    assert named <= set(OPTIMIZERS)
    assert "amsgrad" in OPTIMIZERS["adam"].param
    assert {racer.optimizer.key for racer in CLAIMS["A16"].experiment.racers} == named
    assert (n["rules"], n["arrived"]) == (len(OPTIMIZERS), len(OPTIMIZERS))
    assert n["first"] == 1  # Newton's method, on a quadratic
    assert 1 < n["last"] <= n["taken"]


CHECKS = dict(zip(CLAIMS, (a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16), strict=True))


def test_no_claim_of_the_course_is_missing():
    assert (
        list(CLAIMS)
        == [f"A{i}" for i in range(1, 17)]
        == [key.upper() for key in (f.__name__ for f in CHECKS.values())]
    )


def test_claim(claim):
    """The claim holds on its preset, and its numbers are those of an independent computation."""
    found = measured(claim)
    assert found.holds
    assert not found.sentence.startswith("Here it does not hold")
    CHECKS[claim.key](found.numbers)


def test_the_sentence_quotes_every_number(claim):
    found = measured(claim)
    assert "{" not in found.sentence
    for name, value in found.numbers.items():
        forms = [number(value), f"{number(100 * value)} %"] if math.isfinite(value) else ["more than 5000 steps"]
        assert any(form in found.sentence for form in forms), name


def test_card_is_complete(claim):
    assert 5 < len(claim.title) <= 48
    for text in (claim.says, claim.condition, claim.watch):
        assert len(text) > 40
        assert text[0].isupper() or not text[0].isalpha() or text.startswith("diffGrad ")
        assert text.rstrip("”").endswith(".")
    assert claim.sources
    assert all(source.authors and source.title and source.url.startswith("https://") for source in claim.sources)
    assert 2 <= len(claim.experiment.racers) <= 8


def test_its_preset_is_a_link(claim):
    default = Experiment(Pick("rosenbrock"), (Racer(Pick("sgd")),))
    assert from_query(to_query(claim.experiment, default), default) == (claim.experiment, [])


# Where it is false, it says so ---------------------------------------------------------------------------------------


def broken(key: str, racers: dict[int, dict] | None = None, surface: dict | None = None, **changes) -> Experiment:
    """A claim's preset with some racers' hyperparameters, the surface's parameters and other settings changed."""
    preset = CLAIMS[key].experiment
    runners = tuple(racer.but(**(racers or {}).get(i, {})) for i, racer in enumerate(preset.racers))
    return replace(preset, racers=runners, surface=preset.surface.but(**(surface or {})), **changes)


FALSE = {
    "A1, on a round bowl": ("A1", broken("A1", surface={"kappa": 1.0}), "hardly a valley"),
    "A1, at a small rate": ("A1", broken("A1", {0: {"lr": 0.01}}), "does not swing across"),
    "A1, where swinging dies last": ("A1", broken("A1", {0: {"lr": 0.0399}}), "not grow in proportion"),
    "A1, beyond the limit": ("A1", broken("A1", {0: {"lr": 0.05}}), "beyond the stable limit"),
    "A2, from the floor": ("A2", broken("A2", start=(-1.8, 0.0)), "too little across the valley"),
    "A3, on the ridge": ("A3", broken("A3", start=(1.0, 0.0)), "without any offset"),
    "A3, far from the ridge": ("A3", broken("A3", start=(1.0, 1.4)), "the wait of plain descent is not logarithmic"),
    "A4, with little momentum": ("A4", broken("A4", {1: {"momentum": 0.3}}), "no more starts"),
    "A5, in a short run": ("A5", broken("A5", steps=10), "too short to have forgotten its start"),
    "A5, beyond the limit": ("A5", broken("A5", {0: {"lr": 0.25}}), "beyond the stable limit"),
    "A6, on a round bowl": ("A6", broken("A6", {0: {"lr": 0.5}}, {"kappa": 1.0}), "not the faster one"),
    "A6, with too much": ("A6", broken("A6", {1: {"momentum": 0.995}}), "not the faster one"),
    "A7, standing still": ("A7", broken("A7", start=(0.0, 0.0)), "stood still or diverged"),
    "A7, diverging": ("A7", broken("A7", {0: {"lr": 2.0}}, steps=2000), "or diverged"),
    "A8, beyond its range": ("A8", broken("A8", {1: {"lr": 0.06}}), "beyond Nesterov's stable range"),
    "A9, in a short run": ("A9", broken("A9", steps=8), "in a run of this length"),
    "A9, still on its way": ("A9", broken("A9", {0: {"lr": 1e-4}}), "have not settled"),
    "A10, in a turned valley": ("A10", broken("A10", surface={"rotation": 45.0}), "progress is not equal"),
    "A11, on a round bowl": ("A11", broken("A11", surface={"kappa": 1.0}), "does not overshoot less"),
    "A11, in a hurry": ("A11", broken("A11", {0: {"lr": 1.0}}), "does not overshoot less"),
    "A12, without a slope": ("A12", broken("A12", start=(0.0, 0.0)), "no slope"),
    "A12, with a large ε": ("A12", broken("A12", {0: {"eps": 10.0}, 1: {"eps": 10.0}}), "ε is large"),
    "A13, on a wall": (
        "A13",
        replace(CLAIMS["A13"].experiment, surface=Pick("rosenbrock")),
        "does not change so little for ten steps",
    ),
    "A14, with half a step": ("A14", broken("A14", {0: {"lr": 0.5}}), "η is not 1"),
    "A14, at the minimum": ("A14", broken("A14", start=(0.0, 0.0)), "nothing to win"),
    "A15, on a round bowl": (
        "A15",
        replace(broken("A15", {2: {"lr": 0.5}}), surface=Pick("sphere"), start=None),
        "no faster than plain descent",
    ),
    "A16, in a short run": ("A16", broken("A16", steps=20), "not all arrive"),
}


@pytest.mark.parametrize(("key", "experiment", "reason"), FALSE.values(), ids=FALSE)
def test_where_it_does_not_hold_it_says_so(key, experiment, reason):
    found = measured(CLAIMS[key], experiment)
    assert not found.holds
    assert found.sentence.startswith("Here it does not hold: ")
    assert reason in found.sentence


def test_every_claim_can_be_false():
    assert {key for key, *_ in FALSE.values()} == set(CLAIMS)


ELSEWHERE = {
    "A1": "sphere", "A2": "rosenbrock", "A3": "sphere", "A4": "sphere", "A5": "rosenbrock", "A6": "sphere",
    "A8": "rosenbrock", "A10": "sphere", "A11": "sphere", "A14": "rosenbrock", "A15": "saddle", "A16": "saddle",
}  # fmt: skip


@pytest.mark.parametrize("key", ELSEWHERE)
def test_it_is_silent_about_surfaces_that_it_does_not_speak_of(key):
    preset = CLAIMS[key].experiment
    assert CLAIMS[key].measure(replace(preset, surface=Pick(ELSEWHERE[key]), start=(1.0, 0.5))) is None


def test_it_is_silent_without_what_it_needs(claim):
    preset = claim.experiment
    assert claim.measure(replace(preset, l2=0.1)) is None
    if claim.key != "A16":  # which runs the catalogue, whoever races
        assert claim.measure(replace(preset, racers=())) is None
        scheduled = tuple(replace(racer, schedules={"lr": Pick("cosine")}) for racer in preset.racers)
        assert claim.measure(replace(preset, racers=scheduled)) is None
    noisy = claim.measure(replace(preset, noise=0.5))
    assert (noisy is None) == (claim.key not in ("A5", "A7", "A9", "A12"))
    if claim.key == "A5":
        assert claim.measure(replace(preset, noise=0.0)) is None


def test_it_measures_this_run_and_not_the_preset():
    """Another κ, another number: by the same independent loop."""
    moved = broken("A1", {0: {"lr": 0.018}}, {"kappa": 100.0})
    hessian = valley(100.0)
    path = ball(lambda p: hessian @ p, (1.0, 1.0), 2000, 0.018)
    found = measured(CLAIMS["A1"], moved)
    assert found.holds
    assert found.numbers["steps"] == settled(height(hessian, path))
    assert number(found.numbers["steps"]) in found.sentence


def test_it_speaks_of_ones_own_formula_too():
    """A quadratic is one by its Hessian, not by its name: λmax = 7 and the limit 2/7."""
    own = Experiment(Pick("=0.5x^2 + 3.5y^2"), (Racer(Pick("sgd", {"lr": 0.1})),), start=(1.0, 1.0))
    assert measured(CLAIMS["A2"], own).numbers["limit"] == close(2 / 7)
    assert CLAIMS["A2"].measure(replace(own, surface=Pick("=x^4 + y^2"))) is None
    assert CLAIMS["A2"].measure(replace(own, surface=Pick("=x^2 - y^2"))) is None


def test_no_slider_compiles_anything(claim, compilations):
    measured(claim)
    before = compilations()
    claim.measure(broken(claim.key, {i: {"lr": 0.9 * r.values["lr"]} for i, r in enumerate(claim.experiment.racers)}))
    assert compilations() == before


def test_the_presets_rates_are_explained():
    """The race of the catalogue is run at stored rates."""
    for racer in CLAIMS["A16"].experiment.racers:
        assert racer.values["lr"] == tuned_lr("valley", racer.optimizer.key)


# Whatever a visitor does ---------------------------------------------------------------------------------------------

NASTY = {
    "one step": {"steps": 1},
    "two steps": {"steps": 2},
    "at the origin": {"start": (0.0, 0.0)},
    "far out": {"start": (1e6, -1e6)},
    "a hair's breadth away": {"start": (1e-300, -5e-324)},
    "no rate": {"lr": 0.0},
    "a rate of nothing": {"lr": 1e-320},
    "diverging": {"lr": 1e3, "steps": 5000},
    "beyond all bounds": {"lr": 1e100},
    "not a rate at all": {"lr": 1e308},
    "any loss is an arrival": {"tolerance": 1e300},
    "no loss is": {"tolerance": 5e-324},
    "no memory": {"momentum": 0.0, "beta1": 0.0, "beta2": 0.0, "decay": 0.0, "eps": 0.0},
    "endless memory": {"momentum": 1.0, "beta1": 1 - 1e-16, "beta2": 1 - 1e-16, "decay": 1 - 1e-16},
    "steep": {"kappa": 1e308, "depth": 1e308, "width": 1e154, "b": 1e308, "rotation": 1e300},
    "flat": {"kappa": 5e-324, "depth": 5e-324, "width": 1e-154, "b": 5e-324, "rotation": -1e300},
    "noise": {"noise": 1e300},
    "a faint noise, and the last seed": {"noise": 5e-324, "seed": 2**32 - 1},
}


def changed(experiment: Experiment, changes: dict) -> Experiment:
    """The experiment with each change wherever it fits: in the settings, the surface and every racer."""
    fields = {name: value for name, value in changes.items() if hasattr(experiment, name) and name != "surface"}
    on = {name: value for name, value in changes.items() if name in experiment.entry.param}
    runners = [
        racer.but(**{name: value for name, value in changes.items() if name in racer.entry.param})
        for racer in experiment.racers
    ]
    return replace(experiment, surface=experiment.surface.but(**on), racers=tuple(runners), **fields)


def is_sound(found: Measured | None) -> bool:
    return found is None or (
        found.holds == (not found.sentence.startswith("Here it does not hold: "))
        and not any(word in found.sentence for word in ("{", "nan", "inf"))
        and all(isinstance(value, float) for value in found.numbers.values())
    )


@pytest.mark.parametrize("changes", NASTY.values(), ids=NASTY)
def test_nothing_that_a_visitor_sets_makes_it_raise(claim, changes):
    assert is_sound(claim.measure(changed(claim.experiment, changes)))


@settings(max_examples=60)
@given(st.data())
def test_nothing_that_a_visitor_may_set_makes_it_raise(data):
    claim = data.draw(st.sampled_from([claim for key, claim in CLAIMS.items() if key != "A16"]))
    preset = claim.experiment
    racers = []
    for racer in preset.racers:
        traced = {name: param for name, param in racer.entry.param.items() if param.kind == "real"}
        racers.append(racer.but(**data.draw(some_of(traced))))
    surface = preset.surface.but(**data.draw(some_of(preset.entry.param)))
    start = data.draw(st.tuples(*[st.floats(-1e6, 1e6)] * 2) | st.just(preset.start))
    assert is_sound(claim.measure(replace(preset, surface=surface, start=start, racers=tuple(racers))))
