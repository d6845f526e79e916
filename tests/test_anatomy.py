"""The anatomy of a step: every rule's lines are what its run recorded, its arrows add up to the step, and a template
filled with numbers gives the line's value. The runs are the judge: they come from the optimizers' own code."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from optviz import OPTIMIZERS, SURFACES
from optviz.anatomy import ANATOMIES, KINDS, SYMBOLS, Anatomy, Quantity, anatomy, maximum, quantity, sqrt
from optviz.descent import schedulable
from optviz.experiment import Experiment, Pick, Racer, Run, run
from optviz.spec import Value

BAR = 1e-12  # of max(1, |value|)
STEPS = 60
QUIET = ("valley", "styblinski_tang")  # and Rosenbrock, with everything that can be added
LIVELY = {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.5, "damping": 0.4, "accumulator": 0.1, "eps": 1e-3}
UNSHOWN = {
    "count",
    "share",
    "theta_last",
    "g_last",
    "params0",
}  # of no line of their own: seen in the leaves, or bookkeeping


def settings(key: str) -> list[dict]:
    """Every combination of a rule's flags and choices, each with its usual numbers and with lively ones."""
    params = OPTIMIZERS[key].params
    choices = {
        param.name: (False, True) if param.kind == "flag" else param.options
        for param in params
        if param.kind in ("flag", "choice")
    }
    numbers = {param.name: LIVELY[param.name] for param in params if param.name in LIVELY}
    return [
        dict(zip(choices, some, strict=True)) | more
        for some in itertools.product(*choices.values())
        for more in ([{}, numbers] if numbers else [{}])
    ]


CASES = [(key, index) for key in OPTIMIZERS for index in range(len(settings(key)))]
every_case = pytest.mark.parametrize(("key", "index"), CASES)


@cache
def taken(experiment: Experiment) -> tuple[Run, Anatomy]:
    """A race of one, and its anatomy, made with every warning an error."""
    only = run(experiment)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return only, anatomy(only)


def quiet(key: str, index: int, surface: str) -> Experiment:
    return Experiment(Pick(surface), (Racer.tuned(key, surface, **settings(key)[index]),), steps=STEPS)


def busy(key: str, index: int) -> Experiment:
    """With noise, a penalty, and schedules on everything that usually has one."""
    plain = quiet(key, index, "rosenbrock")
    picks = {"lr": Pick("cosine"), "momentum": Pick("linear"), "beta1": Pick("exponential"), "eps": Pick("cosine")}
    names = schedulable(OPTIMIZERS[key])
    racer = replace(plain.racers[0], schedules={name: pick for name, pick in picks.items() if name in names})
    return replace(plain, racers=(racer,), noise=0.3, l2=0.2, seed=3)


def same(value: np.ndarray, expected: np.ndarray, *, whole: bool = False) -> None:
    """Equal to BAR of max(1, |expected|), with infinities and undefined numbers in the same places. |expected| is meant
    for each coordinate, or for the `whole` row, as far as that is finite."""
    assert value.shape == expected.shape
    size = np.abs(np.where(np.isfinite(expected), expected, 1))
    bound = BAR * np.maximum(1, size.max(axis=1, keepdims=True) if whole else size)
    with np.errstate(invalid="ignore"):
        close = (np.abs(value - expected) <= bound) | (value == expected) | (np.isnan(value) & np.isnan(expected))
    close |= whole & ~np.isfinite(expected).all(axis=-1, keepdims=True)
    assert close.all(), (np.argwhere(~close)[:3], value[~close][:3], expected[~close][:3])


def recorded(only: Run) -> dict[str, np.ndarray]:
    """The slots of a run by the symbols that lines use."""
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(only.trajectory.slots):
        name = re.findall(r"\w+(?:\[\d\])?", jax.tree_util.keystr(path).split(".")[-1])[-1]
        name = name.replace("[", "_").rstrip("]")
        named[SYMBOLS.get(name, name) if only.racer.optimizer.key in ANATOMIES else name] = leaf
    return named


def unshown(only: Run) -> set[str]:
    """The slots that play no part in this form of the rule, or that are too many numbers for a line."""
    values, key = only.racer.values, only.racer.optimizer.key
    names = {SYMBOLS.get(name, name) for name in UNSHOWN} if key in ANATOMIES else set()
    still = not np.any(only.trajectory.scheduled.get("momentum", values.get("momentum", 0)))
    return names | {
        *(("v̄",) if not values.get("amsgrad") else ()),
        *(("m",) if key == "rmsprop" and not values["centered"] else ()),
        *(("b",) if key in ("rmsprop", "sgd") and still else ()),
        *(("g̃",) if values.get("form") == "reformulated" else ()),
        *(("s", "y") if key == "lbfgs" else ()),
    }


def check_against_the_run(only: Run, parted: Anatomy, *, whole: bool = False) -> None:
    steps = only.trajectory.steps
    lines = {line.symbol: line for line in parted.lines}
    slots = recorded(only)
    for symbol, value in slots.items():
        if symbol in lines:
            same(lines[symbol].value, value.astype(float))
    assert set(slots) - set(lines) <= unshown(only)
    assert len(lines) == len(parted.lines)
    assert parted.lines[-1].symbol == "Δθ"
    same(parted.lines[-1].value, only.trajectory.step, whole=whole)
    assert all(line.value.shape in ((steps,), (steps, 2)) for line in parted.lines)
    assert all(line.says for line in parted.lines)


def check_arrows(only: Run, parted: Anatomy) -> None:
    theta, step = only.trajectory.theta[:-1], only.trajectory.step
    same(sum((part.vector for part in parted.parts), np.zeros_like(step)), step)
    tip = theta
    for part in parted.parts:
        np.testing.assert_array_equal(part.tail, tip)
        tip = tip + part.vector
    others = {other.key: other for other in parted.others}
    same(others["step"].vector, step)
    np.testing.assert_array_equal(others["downhill"].vector, -only.trajectory.grad)
    np.testing.assert_array_equal(others["plain"].vector, -only.trajectory.lr[:, None] * only.trajectory.grad)
    for arrow in (*parted.parts, *parted.others):
        assert arrow.key in KINDS
        assert arrow.vector.shape == arrow.tail.shape == (len(step), 2)


def evaluated(filled: str, numbers: list[float]) -> float:
    """What a template comes to, by Python's own arithmetic, which has the precedence of mathematics."""
    text = re.sub(r"\{(\d+)\}", lambda found: f"({numbers[int(found[1])]!r})", filled)
    text = re.sub(r"^(.*) where (.*), otherwise (.*)$", r"(\1) if \2 else (\3)", text)
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text)
    for ours, theirs in {"·": "*", "−": "-", "^": "**", "²": "**2", "√": "sqrt", "σ": "sigma", "≥": ">="}.items():
        text = text.replace(ours, theirs)
    own = {
        "abs": abs,
        "max": max,
        "sqrt": math.sqrt,
        "sign": lambda x: (x > 0) - (x < 0),
        "sigma": lambda x: 1 / (1 + math.exp(-x)),
    }
    return eval(text, {"__builtins__": {}}, own)


def check_templates(parted: Anatomy, rows: tuple[int, ...] = (0, 1, 7, STEPS - 1)) -> int:
    """How many numbers were compared. Those that are not finite, or come from such, have nothing to compare."""
    used = {int(k) for line in parted.lines for k in re.findall(r"\{(\d+)\}", line.filled)}
    assert used == set(range(len(parted.leaves)))
    compared = 0
    for line, row, axis in itertools.product(parted.lines, rows, (0, 1)):
        expected = np.atleast_1d(line.value[row])
        if axis >= len(expected):
            continue
        numbers = [float(np.broadcast_to(leaf[row], 2)[axis]) for leaf in parted.leaves]
        leaves = [numbers[int(k)] for k in re.findall(r"\{(\d+)\}", line.filled)]
        if np.isfinite([*leaves, expected[axis]]).all():
            assert abs(evaluated(line.filled, numbers) - expected[axis]) <= BAR * max(1, abs(expected[axis])), line
            compared += 1
    return compared


@every_case
@pytest.mark.parametrize("surface", QUIET)
def test_a_step_is_what_its_anatomy_says(key, index, surface):
    only, parted = taken(quiet(key, index, surface))
    check_against_the_run(only, parted)
    check_arrows(only, parted)
    assert check_templates(parted) >= 4 * len(parted.lines) - 12


@every_case
def test_noise_penalty_and_schedules_are_part_of_it(key, index):
    only, parted = taken(busy(key, index))
    assert only.trajectory.scheduled
    check_against_the_run(only, parted)
    check_arrows(only, parted)
    assert check_templates(parted) > 0


@pytest.mark.parametrize("key", OPTIMIZERS)
def test_a_run_of_any_length_and_any_outcome_can_be_taken_apart(key):
    """Ten steps are what a visitor can have at least; a single one comes from a notebook, cut from a run."""
    experiment = replace(quiet(key, 0, "rosenbrock"), steps=1)
    only, parted = taken(experiment)
    check_against_the_run(only, parted)
    check_arrows(only, parted)

    wild = Racer(Pick(key, {"lr": 1e6}))
    only, parted = taken(Experiment(Pick("rosenbrock"), (wild,), steps=STEPS))
    # At |θ| = 1e14 the curvatures of Rosenbrock are 28 powers of ten apart: the rounding of either way to solve with
    # them is relative to the step's long coordinate, and in the step that overflows it decides between ∞ and ∞ − ∞.
    check_against_the_run(only, parted, whole=key == "newton")
    check_templates(parted)


def test_the_diverging_runs_do_diverge():
    for key in ("sgd", "momentum", "nesterov", "newton"):
        only, _ = taken(Experiment(Pick("rosenbrock"), (Racer(Pick(key, {"lr": 1e6})),), steps=STEPS))
        assert not np.isfinite(only.trajectory.theta).all()


@pytest.mark.parametrize("key", [key for key in OPTIMIZERS if not key.startswith("optax_")])
def test_every_rule_of_ours_has_an_anatomy(key):
    assert key in ANATOMIES


def test_no_anatomy_is_of_a_rule_that_is_not_there():
    assert set(ANATOMIES) <= set(OPTIMIZERS)


# How it is written ---------------------------------------------------------------------------------------------------


def test_adam_reads_as_in_the_paper():
    _, parted = taken(quiet("adam", settings("adam").index({"bias_correction": True, "amsgrad": False}), "valley"))
    assert {line.symbol: line.formula for line in parted.lines} == {
        "m": "β₁·mₜ₋₁ + (1 − β₁)·g",
        "v": "β₂·vₜ₋₁ + (1 − β₂)·g²",
        "m̂": "m / (1 − β₁ᵗ)",
        "v̂": "v / (1 − β₂ᵗ)",
        "Δθ": "−η·m̂ / (√v̂ + ε)",
    }
    assert [part.label for part in parted.parts] == [
        "what is kept of the first moment, −η·β₁·mₜ₋₁ / ((√v̂ + ε)·(1 − β₁ᵗ))",
        "the new gradient's part, −η·(1 − β₁)·g / ((√v̂ + ε)·(1 − β₁ᵗ))",
    ]


@every_case
def test_no_fraction_is_followed_by_a_factor_that_could_be_below_the_line(key, index):
    """1 / a·b could be read both ways."""
    _, parted = taken(quiet(key, index, "valley"))
    for text in [line.formula for line in parted.lines] + [arrow.label for arrow in (*parted.parts, *parted.others)]:
        below = re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*\)", "", text))  # two deep is the deepest that there is
        assert not re.search(r" / [^ ,]*·", below), text


x, y = (
    Quantity(name, f"{{{place}}}", np.array([[value]])) for place, (name, value) in enumerate((("x", 3.0), ("y", -2.0)))
)


@pytest.mark.parametrize(
    ("what", "text", "filled", "value"),
    [
        (x + y - 1, "x + y − 1", "{0} + {1} − 1", 0),
        (x - (y - 1), "x − (y − 1)", "{0} − ({1} − 1)", 6),
        (x * (y + 1), "x·(y + 1)", "{0} · ({1} + 1)", -3),
        (x / (y * x), "x / (y·x)", "{0} / ({1} · {0})", -0.5),
        (x / y / x, "x / y / x", "{0} / {1} / {0}", -0.5),
        (-x * y, "−x·y", "−{0} · {1}", 6),
        (x * -y, "x·(−y)", "{0} · (−{1})", 6),
        (x + -y, "x + (−y)", "{0} + (−{1})", 5),
        (-(x + y), "−(x + y)", "−({0} + {1})", -1),
        (-(y**2), "−y²", "−{1}²", -4),
        ((-y) ** 2, "(−y)²", "(−{1})²", 4),
        (2**x, "2^x", "2^{0}", 8),
        (2 ** (x + 1), "2^(x + 1)", "2^({0} + 1)", 16),
        (sqrt(x + 1), "√(x + 1)", "√({0} + 1)", 2),
        (sqrt(x) ** 2, "(√x)²", "(√{0})²", 3),
        (maximum(x, y + 6), "max(x, y + 6)", "max({0}, {1} + 6)", 4),
        (1 / x, "1 / x", "1 / {0}", 1 / 3),
    ],
)
def test_parentheses_stand_where_they_are_needed_and_nowhere_else(what, text, filled, value):
    assert (what.text, what.filled) == (text, filled)
    assert what.value.item() == pytest.approx(value)
    assert evaluated(filled, [3.0, -2.0]) == pytest.approx(value)


def test_a_number_is_written_as_itself():
    assert quantity(0.96).text == "0.96"


# What single rules show ----------------------------------------------------------------------------------------------


def racing(
    key: str, surface: str = "valley", start: tuple[float, float] | None = None, **values: Value
) -> tuple[Run, Anatomy]:
    place = SURFACES[surface].starts[0] if start is None else start
    return taken(Experiment(Pick(surface), (Racer.tuned(key, surface, **values),), steps=STEPS, start=place))


def rate(parted: Anatomy) -> np.ndarray:
    assert parted.rate is not None
    return parted.rate


def test_the_effective_rate_is_the_learning_rate_where_nothing_divides():
    _, parted = racing("momentum", lr=0.01)
    np.testing.assert_array_equal(rate(parted), np.full((STEPS, 2), 0.01))
    _, parted = racing("momentum", lr=0.01, form="averaging", momentum=0.75)
    np.testing.assert_allclose(rate(parted), np.full((STEPS, 2), 0.0025), rtol=1e-15)


def test_adagrads_rate_only_falls_and_takes_the_gradient_to_the_step():
    only, parted = racing("adagrad", "rosenbrock")
    assert (np.diff(rate(parted), axis=0) <= 0).all()
    same(-rate(parted) * only.trajectory.grad, only.trajectory.step)


@pytest.mark.parametrize("key", ["adam", "diffgrad", "lion", "optax_radam", "optax_adamax"])
def test_the_rate_takes_the_averaged_gradient_to_the_step(key):
    only, parted = racing(key, "rosenbrock")
    lines = {line.symbol: line.value for line in parted.lines}
    mean = lines.get("m̂", lines.get("c"))
    if mean is None:
        beta1 = float(only.racer.values["beta1"])
        mean = lines["m"] / (1 - beta1 ** np.arange(1.0, STEPS + 1))[:, None]
    same(-rate(parted) * mean, only.trajectory.step)


def test_rules_with_a_matrix_have_no_rate():
    for key in ("newton", "lbfgs", "optax_prodigy"):
        assert racing(key)[1].rate is None


def test_newtons_model_ends_where_the_step_does():
    """On a quadratic the model is the surface, whose minimum is at the origin."""
    _, parted = racing("newton", "valley", lr=0.5)
    assert parted.ellipse is not None
    centre, hessian = parted.ellipse
    np.testing.assert_allclose(centre, 0, atol=1e-12)
    kappa = Experiment(Pick("valley")).surface_values["kappa"]
    np.testing.assert_allclose(hessian, np.broadcast_to(np.diag([1.0, kappa]), (STEPS, 2, 2)), atol=1e-12)


def test_newtons_line_search_shows_where_it_turned_round():
    """Next to the saddle the jump leads uphill, to the saddle."""
    only, parted = racing("newton", "bounded_saddle", start=(0.5, 0.4), line_search=True)
    lines = {line.symbol: line.value for line in parted.lines}
    turned = lines["gᵀp"] >= 0
    assert turned.any()
    assert not turned.all()
    same(lines["d"][turned], -only.trajectory.grad[turned])
    same(lines["d"][~turned], lines["p"][~turned])
    same(lines["α"], only.trajectory.slots["share"])
    check_arrows(only, parted)


def test_friction_takes_at_most_half():
    _, parted = racing("diffgrad", "rosenbrock")
    adams, friction = (part.vector for part in parted.parts)
    assert (np.abs(friction) <= np.abs(adams) / 2 + 1e-15).all()
    assert (adams * friction <= 0).all()


def test_every_rule_is_taken_apart():
    assert set(ANATOMIES) == set(OPTIMIZERS)


def test_a_rule_without_an_anatomy_of_its_own_shows_what_was_recorded(monkeypatch):
    monkeypatch.delitem(ANATOMIES, "optax_prodigy")
    parted = anatomy(run(quiet("optax_prodigy", 0, "valley"))[0])
    assert {"exp_avg", "exp_avg_sq", "estim_lr"} <= {line.symbol for line in parted.lines}
    assert "not shown" in parted.lines[0].says


def test_moving_a_slider_compiles_nothing(compilations):
    def look(steps: int, **values: float) -> None:
        racers = [Racer(Pick("newton", values)), Racer(Pick("adagrad", {"accumulator": values["damping"]}))]
        experiment = Experiment(Pick("valley", {"kappa": values["lr"] * 10}), tuple(racers), steps=steps)
        for each in run(experiment):
            anatomy(each)

    look(20, lr=0.5, damping=0.1)
    awake = compilations()
    look(30, lr=0.7, damping=0.2)
    look(700, lr=1, damping=3)
    assert compilations() == awake
