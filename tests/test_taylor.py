"""What methods believe at a point and what comes of it: models, steps and promises against independent references."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import optviz
from optviz import second_order_link
from optviz.experiment import Experiment, Pick, Racer
from optviz.figures.second_order import alt, cut_record, memory_record, plane_record, time_record
from optviz.optimizers import inverse_hessian_times
from optviz.scaling import Cost, Work
from optviz.surfaces import SURFACES
from optviz.taylor import (
    ATTRACTED,
    BROKEN,
    CLAIMS,
    EXAMPLES,
    LEARNT,
    METHODS,
    MOVES_AT_MOST,
    RAVINE,
    VALLEY,
    SecondOrder,
    adapted,
    bounds,
    cut,
    dogleg_step,
    ground,
    implied,
    is_quadratic,
    look,
    losses_at,
    take,
    trust_region_step,
)

QUADRATICS = [
    ("sphere", {}),
    ("valley", {"kappa": 1000.0, "rotation": 17.0}),
    ("steep_valley", {}),
    ("booth", {}),
    ("matyas", {}),
]
rng = np.random.default_rng(5)


# Derivatives and models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["rosenbrock", "himmelblau"])
def test_the_models_err_like_the_next_power_of_the_way(key):
    """Halving the way divides the linear model's error by 4 and the quadratic one's by 8; a wrong gradient or Hessian
    would show as a power less."""
    value = SecondOrder(Experiment(Pick(key), start=(0.7, -0.4), l2=0.3))
    here, direction = look(value).here, np.array([0.6, 0.8])
    ways = 0.1 * 0.5 ** np.arange(6)
    loss = losses_at(value.on.problem, here.theta + ways[:, None] * direction)
    linear = here.value + ways * (here.grad @ direction)
    quadratic = linear + 0.5 * ways**2 * (direction @ here.hessian @ direction)
    for model, power in ((linear, 2), (quadratic, 3)):
        error = np.abs(loss - model)
        assert np.log2(error[:-1] / error[1:])[-1] == pytest.approx(power, abs=0.06)


def test_the_penalty_belongs_to_what_is_looked_at():
    bare, held = (look(SecondOrder(Experiment(Pick("booth"), start=(2.0, -1.0), l2=l2))).here for l2 in (0.0, 0.5))
    assert held.value - bare.value == pytest.approx(0.25 * 5.0)
    np.testing.assert_allclose(held.grad - bare.grad, [1.0, -0.5])
    np.testing.assert_allclose(held.hessian - bare.hessian, 0.5 * np.eye(2))


def test_eigenpairs_are_those_of_the_hessian():
    for value in EXAMPLES.values():
        here = look(value).here
        found, _ = np.linalg.eig(here.hessian)
        np.testing.assert_allclose(here.curvatures, sorted(found), rtol=1e-9)
        np.testing.assert_allclose(here.hessian @ here.axes, here.axes * here.curvatures, atol=1e-9 * abs(found).max())


# Steps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "values"), QUADRATICS)
def test_newton_solves_a_quadratic_in_one_step(key, values):
    for start in SURFACES[key].starts:
        value = SecondOrder(Experiment(Pick(key, values), start=start))
        newton = look(value).proposals["newton"]
        (minimum,) = SURFACES[key].minima_at(SURFACES[key].complete(values))
        scale = max(1.0, float(np.abs(start).max()))
        np.testing.assert_allclose(start + newton.step, [minimum.x, minimum.y], rtol=0, atol=1e-12 * scale)
        assert newton.ratio == pytest.approx(1, abs=1e-12)
        assert is_quadratic(value.on)
        assert take(replace(value, method="newton")).moves == ("newton",)


def test_steps_are_those_of_the_runs():
    """Gradient descent, Newton, damped Newton and L-BFGS, each against a run of the catalogue's rule."""
    on = Experiment(Pick("rosenbrock"), start=(-1.2, 1.0), l2=0.05)
    rules = {
        "sgd": ("sgd", {"lr": 0.0007}),
        "newton": ("newton", {}),
        "damped": ("newton", {"damping": 3.0, "line_search": True}),
        "lbfgs": ("lbfgs", {"memory": 4}),
    }
    for method, (key, values) in rules.items():
        value = SecondOrder(on, (method,) * 12, lr=0.0007, damping=3.0, line_search=True, memory=4)
        run = optviz.trace("rosenbrock", key, steps=12, start=on.start, l2=0.05, **values)
        np.testing.assert_allclose(look(value).path, run.theta, rtol=1e-9, atol=1e-11)


def test_a_damped_step_solves_the_damped_equations():
    for damping in (0.0, 0.3, 40.0):
        found = look(replace(RAVINE, damping=damping))
        here, step = found.here, found.proposals["damped"].step
        np.testing.assert_allclose(here.hessian @ step + damping * step, -here.grad, rtol=1e-10)
    full, long = (look(replace(RAVINE, damping=damping)).proposals["damped"].step for damping in (0.0, 1e6))
    np.testing.assert_allclose(full, look(RAVINE).proposals["newton"].step)
    np.testing.assert_allclose(long, -look(RAVINE).here.grad / 1e6, rtol=2e-3)


def test_a_line_search_never_raises_the_loss():
    found = look(replace(BROKEN, line_search=True)).proposals["damped"]
    assert look(BROKEN).proposals["damped"].came < 0 < found.came
    assert "line search" in found.note


def symmetric(kind: str) -> np.ndarray:
    """A random symmetric matrix of two positive, one negative or two negative eigenvalues."""
    signs = {"minimum": [1, 1], "saddle": [-1, 1], "maximum": [-1, -1]}[kind]
    turn = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    return turn @ np.diag(np.array(signs) * rng.uniform(0.1, 5, 2)) @ turn.T


@pytest.mark.parametrize("kind", ["minimum", "saddle", "maximum"])
def test_the_trust_region_step_is_the_best_in_the_circle(kind):
    """Against the least value on the edge, found by SciPy, and in the circle, on a grid; and by the conditions that
    prove it: (H + νI)p = −g, H + νI not negative, ν only at the edge."""
    for _ in range(20):
        hessian, grad, radius = symmetric(kind), rng.standard_normal(2), rng.uniform(0.05, 2)
        step, shift = trust_region_step(grad, hessian, radius)

        def model(points, grad=grad, hessian=hessian):
            return points @ grad + 0.5 * np.einsum("...i,ij,...j", points, hessian, points)

        def edge(turn, radius=radius, model=model):
            return model(radius * np.array([math.cos(turn), math.sin(turn)]))

        def lowest_between(*turns: float, edge=edge) -> float:
            found: Any = minimize_scalar(edge, bounds=turns, method="bounded", options={"xatol": 1e-12})
            return edge(found.x)

        turns = np.linspace(0, 2 * np.pi, 41)
        on_edge = min(lowest_between(*ends) for ends in pairwise(turns))
        sizes, angles = np.meshgrid(np.linspace(0, radius, 60), turns)
        inside = model(np.stack([sizes * np.cos(angles), sizes * np.sin(angles)], -1)).min()
        assert model(step) <= min(on_edge, inside) + 1e-12
        if shift:
            assert model(step) == pytest.approx(on_edge, rel=1e-9, abs=1e-12)
        assert np.linalg.norm(step) <= radius * (1 + 1e-12)
        np.testing.assert_allclose(hessian @ step + shift * step, -grad, atol=1e-9)
        assert np.linalg.eigvalsh(hessian)[0] + shift >= -1e-12
        assert shift * (radius - np.linalg.norm(step)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("grad", [[0.0, 0.3], [0.0, 0.0]], ids=["beside the saddle", "on it"])
def test_the_hard_case_goes_down_the_negative_curvature(grad):
    step, shift = trust_region_step(np.array(grad), np.diag([-2.0, 1.0]), 1.0)
    assert shift == 2.0
    np.testing.assert_allclose(step, [math.sqrt(1 - (grad[1] / 3) ** 2), -grad[1] / 3])
    assert trust_region_step(np.zeros(2), np.eye(2), 1.0) == (pytest.approx([0, 0]), 0.0)


def test_the_dogleg_lies_on_its_path_and_between_downhill_and_the_best():
    for _ in range(30):
        hessian, grad, radius = symmetric("minimum"), rng.standard_normal(2), rng.uniform(0.05, 2)

        def model(step, grad=grad, hessian=hessian):
            return grad @ step + 0.5 * step @ hessian @ step

        step, _ = dogleg_step(grad, hessian, radius)
        newton, size = -np.linalg.solve(hessian, grad), np.linalg.norm(grad)
        assert np.linalg.norm(step) == pytest.approx(min(radius, np.linalg.norm(newton)))
        cauchy = -min(size**2 / (grad @ hessian @ grad), radius / size) * grad
        assert model(trust_region_step(grad, hessian, radius)[0]) - 1e-12 <= model(step) <= model(cauchy) + 1e-12
    step, note = dogleg_step(np.array([1.0, 0.0]), np.diag([-1.0, 1.0]), 0.5)
    assert step.tolist() == [-0.5, 0.0]
    assert "not positive definite" in note


def test_the_radius_follows_its_rule():
    found = look(RAVINE).proposals["trust"]
    at_edge = found._replace(step=np.array([0.3, 0.4]), promised=1.0)
    for came, radius in ((0.2, 0.125), (-3.0, 0.125), (0.5, 0.5), (0.8, 1.0)):
        assert adapted(0.5, at_edge._replace(came=came)) == radius
    assert adapted(0.6, at_edge._replace(came=0.8)) == 0.6  # the step did not go to the edge
    assert adapted(0.6, at_edge._replace(promised=0.0, came=0.0)) == 0.6
    refused = look(replace(BROKEN, radius=2.0, moves=("newton", "trust")))
    assert [move.taken for move in refused.moves] == [True, False]
    assert refused.radius == 0.5
    assert refused.path[1].tolist() == refused.path[2].tolist()


def test_a_trust_region_walks_down_the_ravine_and_never_up():
    found = look(replace(RAVINE, moves=("trust",) * 35))
    assert (np.diff(found.losses) <= 0).all()
    np.testing.assert_allclose(found.path[-1], [1, 1], atol=1e-8)


def test_newton_is_attracted_to_the_saddle_and_the_trust_region_is_not():
    found = look(ATTRACTED)
    np.testing.assert_allclose(found.here.theta, [0, 0], atol=1e-9)
    assert found.here.curvatures[0] < 0 < found.here.curvatures[1]
    assert "saddle" in look(replace(ATTRACTED, moves=())).proposals["newton"].note
    escaped = look(replace(ATTRACTED, moves=("trust",) * 12))
    np.testing.assert_allclose(np.abs(escaped.here.theta), [0, math.sqrt(2)], atol=1e-8)


# L-BFGS --------------------------------------------------------------------------------------------------------------


def test_the_pairs_imply_what_the_two_loops_multiply_by():
    for count in (1, 2, 5):
        s = rng.standard_normal((count, 2))
        y = s @ np.array([[3.0, 1.0], [1.0, 2.0]]) + 0.05 * rng.standard_normal((count, 2))
        grad = rng.standard_normal(2)
        dense = implied(grad, s, y)
        np.testing.assert_allclose(dense @ grad, np.asarray(inverse_hessian_times(grad, s, y)), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(dense @ y[-1], s[-1], rtol=1e-9, atol=1e-12)  # the secant condition


@pytest.mark.parametrize("memory", [1, 3, 10])
def test_the_pairs_are_those_of_the_run(memory):
    value = SecondOrder(Experiment(Pick("rosenbrock"), start=(-1.2, 1.0)), ("lbfgs",) * 7, memory=memory)
    found = look(value)
    run = optviz.trace("rosenbrock", "lbfgs", steps=8, start=(-1.2, 1.0), memory=memory)
    kept = min(memory, 7)
    np.testing.assert_allclose(found.pairs.s, run.slots["s"][-1][-kept:], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.pairs.y, run.slots["y"][-1][-kept:], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.proposals["lbfgs"].step, run.step[-1], rtol=1e-8, atol=1e-12)


def test_on_a_quadratic_l_bfgs_learns_the_hessian():
    known = [look(replace(LEARNT, moves=("lbfgs",) * count)) for count in (0, 2, 8)]
    errors = [np.abs(one.pairs.inverse @ one.here.hessian - np.eye(2)).max() for one in known]
    assert errors[2] < 0.02 < errors[1] < errors[0]


def test_any_methods_moves_teach_l_bfgs():
    found = look(replace(VALLEY, moves=("sgd", "damped")))
    np.testing.assert_allclose(found.pairs.s, np.diff(found.path, axis=0), atol=1e-15)
    np.testing.assert_allclose(found.pairs.y, found.pairs.s @ found.here.hessian, rtol=1e-9)


# The value -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "adam"}, "one of sgd, newton"),
        ({"moves": ("adam",)}, "a move is one of"),
        ({"moves": ("sgd",) * (MOVES_AT_MOST + 1)}, "at most 60 moves"),
        ({"radius": 0.0}, "radius must be a number in"),
        ({"damping": -1.0}, "damping must be"),
        ({"memory": 21}, "memory must be"),
        ({"on": Experiment(Pick("sphere"), noise=0.1)}, "without noise"),
        ({"on": Experiment(Pick("sphere"), racers=(Racer(Pick("sgd")),))}, "instead of racers"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        replace(VALLEY, **changes)


def test_a_step_out_of_the_world_is_refused_and_a_link_to_it_says_so():
    wild = replace(RAVINE, lr=1e6, method="sgd")
    with pytest.raises(ValueError, match="out of the world"):
        take(wild)
    found = look(replace(wild, moves=("newton", "sgd", "newton")))
    assert "out of the world" in found.lost
    assert len(found.moves) == 1
    with pytest.raises(ValueError, match="at most 60"):
        take(RAVINE, MOVES_AT_MOST + 1)


def test_where_there_is_no_hessian_there_is_no_step():
    monkey = SecondOrder(Experiment(Pick("monkey_saddle"), start=(0.0, 0.0)))
    assert not np.isfinite(look(monkey).proposals["newton"].step).all()
    with pytest.raises(ValueError, match="cannot be inverted"):
        take(monkey)
    for record in (plane_record(monkey), plane_record(replace(monkey, method="trust"))):
        json.dumps(record, allow_nan=False)
    assert cut_record(monkey) is None


@pytest.mark.parametrize("key", ["ackley", "bukin6", "l_valley", "easom", "=x^2+abs(y)@3"])
def test_surfaces_with_kinks_plateaus_and_formulas_can_be_looked_at(key):
    value = SecondOrder(Experiment(Pick(key)), method="trust")
    found = look(value)
    assert list(found.proposals) == list(METHODS)
    json.dumps([plane_record(value), cut_record(value)], allow_nan=False)


# Pictures ------------------------------------------------------------------------------------------------------------


def test_the_slice_touches_the_loss_and_the_model_has_the_promise():
    for along in ("step", "downhill", "stiff", "flat"):
        value = replace(BROKEN, along=along, method="damped")
        found, slice_ = look(value), cut(value)
        assert slice_ is not None
        here = np.array([np.interp(0, slice_.way, one) for one in (slice_.loss, slice_.linear, slice_.quadratic)])
        np.testing.assert_allclose(here, found.here.value, rtol=0.02)
        assert np.linalg.norm(slice_.direction) == pytest.approx(1)
    value = replace(BROKEN, method="damped")
    slice_, chosen = cut(value), look(value).proposals["damped"]
    assert slice_ is not None
    length = float(np.linalg.norm(chosen.step))
    model = np.polyval(np.polyfit(slice_.way, slice_.quadratic, 2), length)
    assert model == pytest.approx(look(value).here.value - chosen.promised, rel=1e-9)


def test_the_picture_grows_to_follow_a_step_but_not_without_end():
    left, right, bottom, top = SURFACES["rosenbrock"].window
    end = look(BROKEN).here.theta + look(BROKEN).proposals["newton"].step
    assert bounds(BROKEN)[2] < end[1] < bottom
    assert bounds(replace(BROKEN, lr=100.0, method="sgd"))[1] <= right + 1.5 * (right - left)
    assert bounds(RAVINE) == (left, right, bottom, top)
    around = ground(BROKEN)
    row, column = 31, 57
    place = np.array([[around.x[column], around.y[row]]])
    np.testing.assert_allclose(around.loss[row, column], losses_at(BROKEN.on.problem, place)[0], rtol=1e-12)


def test_what_is_drawn_is_what_was_computed():
    record = plane_record(replace(VALLEY, method="trust"))
    arrows = {trace["name"]: trace for trace in record["figure"]["data"] if trace.get("name") in
              {method.title for method in METHODS.values()}}  # fmt: skip
    found = look(VALLEY)
    assert len(arrows) == len(METHODS)
    for key, method in METHODS.items():
        end = found.here.theta + found.proposals[key].step
        assert (arrows[method.title]["x"][1], arrows[method.title]["y"][1]) == tuple(end)
    circle = next(trace for trace in record["figure"]["data"] if trace.get("name") == "trust region")
    away = np.hypot(np.array(circle["x"]) - VALLEY.on.start[0], np.array(circle["y"]) - VALLEY.on.start[1])
    np.testing.assert_allclose(away, VALLEY.radius)
    ellipse = next(trace for trace in record["figure"]["data"] if trace.get("name") == "ellipse of the Hessian")
    offsets = np.stack([ellipse["x"], ellipse["y"]], axis=1) - found.here.theta
    bent = np.einsum("ki,ij,kj->k", offsets, found.here.hessian, offsets)
    np.testing.assert_allclose(bent, bent[0])
    words = {note["text"] for note in record["figure"]["layout"]["annotations"]}
    assert words == {"gradient", "Newton", "damped", "<b>trust</b>", "L-BFGS"}
    assert "Newton to (0, 0)" in alt(VALLEY)


# Claims --------------------------------------------------------------------------------------------------------------


def test_claim_a14_holds_where_it_should_and_only_there():
    claim = CLAIMS["A14"]
    said = claim.measure(claim.shown)
    assert said is not None
    assert said.holds
    assert said.numbers["worst"] < 1e-12
    assert said.numbers["low"] == pytest.approx(-2)
    assert said.numbers["rose"] == pytest.approx(1407.1, rel=1e-4)
    for other, reason in (
        (RAVINE, "no quadratic"),
        (VALLEY.at(0.0, 0.0), "no slope"),
        (SecondOrder(Experiment(Pick("saddle"), start=(1.0, 0.5))), "no minimum"),
    ):
        said = claim.measure(other)
        assert said is not None
        assert said.holds is False
        assert reason in said.sentence


def test_claim_a15_counts_and_quotes_what_was_measured():
    claim = CLAIMS["A15"]
    said = claim.measure(claim.shown)
    assert said is not None
    assert said.holds
    assert (said.numbers["full"], said.numbers["pairs"]) == (32.0, 0.32)
    costs = [
        Cost(200, 1e-5, 1e-4, 1e-3, 1e-4, 320_000, 32_000),
        Cost(2000, 1e-5, 1e-2, 1.0, 1e-3, 32_000_000, 320_000),
        Work(200, {"sgd": math.inf, "lbfgs": 190.0, "newton": 14.0}),
    ]
    said = claim.measure(claim.shown, costs)
    assert said is not None
    assert said.holds
    assert said.numbers["power_solve"] == pytest.approx(3)
    assert "more than 4×10⁴ steps" in said.sentence
    said = claim.measure(claim.shown, [costs[0]._replace(solve=1.0), costs[1]._replace(hessian=0.0, solve=1e-6)])
    assert said is not None
    assert said.holds is False
    for record in (time_record(costs), time_record([]), memory_record()):
        json.dumps(record, allow_nan=False)


# Links ---------------------------------------------------------------------------------------------------------------


def round_trip(value: SecondOrder, default: SecondOrder = VALLEY) -> tuple[SecondOrder, list[str]]:
    text = urlencode(second_order_link.to_query(value, default), doseq=True)
    return second_order_link.from_query(parse_qs(text), default)


@given(
    st.lists(st.sampled_from(list(METHODS)), max_size=MOVES_AT_MOST),
    st.sampled_from(list(METHODS)),
    st.sampled_from(["step", "downhill", "stiff", "flat"]),
    st.floats(1e-3, 1e3),
    st.booleans(),
    st.sampled_from(["rosenbrock", "valley", "=x^2+y^4@3"]),
)
def test_a_link_reopens_everything(moves, method, along, number, flag, surface):
    value = SecondOrder(
        Experiment(Pick(surface), start=(0.25, -1.5), l2=0.1),
        tuple(moves), method, along, number, number, flag, number, not flag, 7,
    )  # fmt: skip
    assert round_trip(value) == (value, [])
    assert round_trip(VALLEY) == (VALLEY, [])
    assert round_trip(VALLEY, LEARNT) == (VALLEY, [])


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"moves": "newton"}, "moves are written as"),
        ({"moves": "newton.٣"}, "moves are written as"),
        ({"moves": "adam.3"}, "a move is one of"),
        ({"moves": "newton.40~sgd.40"}, "at most 60"),
        ({"method": "adam"}, "method must be one of"),
        ({"radius": "-1"}, "radius must be"),
        ({"noise": "0.5"}, "without noise"),
        ({"racer": "adam"}, "instead of racers"),
        ({"nonsense": "1"}, "no field"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence_and_saves_the_rest(query, says):
    value, messages = second_order_link.from_query({**{k: [v] for k, v in query.items()}, "lr": ["0.5"]}, VALLEY)
    assert len(messages) == 1
    assert says in messages[0]
    assert value == replace(VALLEY, lr=0.5)
