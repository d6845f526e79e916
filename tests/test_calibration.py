"""The final loss against the learning rate: every number is that of the run itself, the borders are theory's, and the
words for a rate follow their rules."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optviz
from optviz import doctor
from optviz.calibration import (
    AT_ONE_TIME,
    CLAIMS,
    FIRST_ORDER,
    SHAPES,
    SHARED,
    SIZES,
    VALLEY,
    Calibration,
    limits,
    measure,
    network_curves,
    shapes,
    side_by_side,
    state,
    trainings,
)
from optviz.calibration_link import Calibrations
from optviz.descent import ROOM, endings
from optviz.experiment import Experiment, Pick, Racer
from optviz.figures.calibration import alt, calibration_record
from optviz.optimizers import OPTIMIZERS
from optviz.surfaces import SURFACES
from optviz.training import Configuration, Net, Training
from strategies import some_of

ROSENBROCK = Experiment(Pick("rosenbrock"), steps=80, noise=0.5, l2=0.01, seed=3)
RATES = np.geomspace(1e-5, 3.0, 14)
DIGITS = Training(Pick("digits"), (Configuration(Net(hidden=(16,)), Racer(Pick("adam"))),), epochs=2)
NETWORKS = Calibration(DIGITS, low=1e-3, high=1.0, count=10, sizes=(4, 256))
CODEC = Calibrations(VALLEY, NETWORKS)


def ends(on: Experiment, key: str, rates: np.ndarray, **values: float):
    minima = on.entry.minima_at(on.surface_values)
    return endings(
        on.problem,
        Racer(Pick(key, values)).rule,
        on.steps,
        "lr",
        rates,
        tail=doctor.tail_steps(on.steps),
        fence=doctor.fence(on.entry.window, on.start),
        target=min(minimum.value for minimum in minima),
        tolerance=on.tolerance,
    )


# Every cell is a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", FIRST_ORDER)
def test_every_cell_is_the_run_itself(key):
    """Final point and loss to 1e-12, and the same words as doctor finds from the whole history."""
    found = ends(ROSENBROCK, key, RATES)
    minima = ROSENBROCK.entry.minima_at({})
    for i, rate in enumerate(RATES):
        run = optviz.trace("rosenbrock", key, steps=80, noise=0.5, l2=0.01, seed=3, lr=rate)
        said = doctor.outcome(run, minima, ROSENBROCK.entry.window, ROSENBROCK.tolerance)
        assert state(ROSENBROCK, minima, i, found) == said.state
        if said.state == "diverged":
            assert found.lost[i] == said.at
            continue
        assert math.isinf(found.lost[i])
        bound = 1e-12 * max(1.0, np.abs(run.theta[-1]).max())
        np.testing.assert_allclose(found.theta[i], run.theta[-1], rtol=0, atol=bound)
        np.testing.assert_allclose(found.loss[i], run.loss[-1], rtol=1e-9)
        np.testing.assert_allclose(found.lowest[i], run.loss.min(), rtol=1e-9)
        tail = doctor.tail_of(run)
        ours = (found.first, found.loss, found.low, found.high, found.turning, found.length)
        np.testing.assert_allclose([values[i] for values in ours], tail, rtol=1e-8)


def test_what_settled_stays_within_the_tolerance():
    on = replace(ROSENBROCK, surface=Pick("valley"), start=(1.0, 1.0), noise=0.0, l2=0.0, tolerance=1e-3)
    found = ends(on, "sgd", RATES)
    for i, rate in enumerate(RATES):
        loss = optviz.trace("valley", "sgd", steps=80, start=(1.0, 1.0), lr=rate).loss
        outside = np.flatnonzero(~(loss <= 1e-3))
        expected = math.inf if outside[-1] == 80 else outside[-1] + 1
        assert found.settled[i] == expected
    assert np.isfinite(found.settled).any()
    assert np.isinf(found.settled).any()


def test_a_run_that_never_left_its_minimum_has_settled_at_once():
    on = replace(ROSENBROCK, surface=Pick("sphere"), start=(0.0, 0.0), noise=0.0, l2=0.0)
    found = ends(on, "sgd", RATES)
    assert set(found.settled) == {0.0}
    assert np.isnan(found.turning).all()


def test_the_whole_run_is_the_tail_of_a_short_one():
    on = replace(ROSENBROCK, surface=Pick("valley"), start=(1.0, 1.0), noise=0.0, l2=0.0, steps=5)
    found, run = ends(on, "sgd", np.array([0.05])), optviz.trace("valley", "sgd", steps=5, start=(1.0, 1.0), lr=0.05)
    assert found.first[0] == pytest.approx(run.loss[0])
    assert found.high[0] == pytest.approx(run.loss.max())


# Borders -------------------------------------------------------------------------------------------------------------

QUADRATICS = {
    "sphere": {},
    "valley": {"kappa": 50.0},
    "steep_valley": {},
    "booth": {},
    "matyas": {},
}


@pytest.mark.parametrize("key", ["sgd", "momentum"])
@pytest.mark.parametrize("surface", QUADRATICS)
def test_descent_diverges_where_theory_says(surface, key):
    """The last rate that does not diverge and the first that does are neighbours around the limit, but for those that
    are too near to it to show within the run: one cell."""
    on = Experiment(Pick(surface, QUADRATICS[surface]), start=(1.3, 0.7), steps=3000)
    calibration = Calibration(on, optimizers=(key,))
    (limit,) = limits(calibration)
    assert limit.exact
    calibration = replace(calibration, low=limit.rate / 4, high=limit.rate * 4, count=41)
    (curve,) = measure(calibration)
    diverged = np.array([shape == "diverged" for shape in curve.shapes])
    first = int(np.argmax(diverged))
    assert diverged[first:].all()
    assert not diverged[:first].any()
    cell = curve.rates[1] / curve.rates[0]
    assert curve.rates[first - 1] / cell < limit.rate < curve.rates[first] * cell


@pytest.mark.parametrize("rho", [0.5, 0.9, 0.95])
def test_a_heavy_balls_limit_moves_with_its_momentum(rho):
    calibration = Calibration(VALLEY.on, optimizers=("momentum",), shared={"momentum": rho})
    (limit,) = limits(calibration)
    assert limit.rate == pytest.approx(2 * (1 + rho) / 50)
    on = replace(VALLEY.on, steps=3000)
    (curve,) = measure(replace(calibration, on=on, low=limit.rate * 0.9, high=limit.rate * 1.1, count=3))
    assert [shape == "diverged" for shape in curve.shapes] == [False, False, True]


def test_elsewhere_the_limit_is_said_to_be_local():
    found = limits(Calibration(Experiment(Pick("rosenbrock"))))
    assert [limit.exact for limit in found] == [False, False]
    assert found[0].rate == pytest.approx(2 / 1001.6, rel=1e-3)
    assert limits(Calibration(Experiment(Pick("rosenbrock")), optimizers=("adam",))) == []
    assert limits(NETWORKS) == []


# Words ---------------------------------------------------------------------------------------------------------------


def judge(heights: list[float], settled: dict[int, float] | None = None, oscillating: tuple[int, ...] = ()):
    count = len(heights)
    steps = np.full(count, math.inf)
    for i, step in (settled or {}).items():
        steps[i] = step
    array = np.array(heights)
    swings = np.isin(np.arange(count), oscillating)
    return shapes(np.geomspace(0.1, 10, count), array, ~np.isfinite(array), swings, steps, 1e-6, 10.0)


def test_the_words_of_a_rate():
    found, best = judge([5.0, 0.9, 0.1, 1.01, 2.0, math.inf], oscillating=(4,))
    assert best == 2
    assert found == ("too small", "right", "right", "too large", "oscillating", "diverged")
    assert set(found) <= set(SHAPES)


def test_the_best_is_the_quickest_of_those_that_settle():
    found, best = judge([1.0, 1e-9, 1e-7, 1e-12, 3.0], settled={1: 50, 2: 20, 3: 90})
    assert best == 2
    assert found == ("too small", "right", "right", "right", "too large")


def test_all_may_diverge():
    assert judge([math.inf, math.nan]) == (("diverged", "diverged"), None)


def test_a_single_good_rate_has_no_width():
    curve = measure(replace(VALLEY, optimizers=("sgd",)))[0]
    lone = curve._replace(shapes=("too small", "right", "diverged"), best=1, rates=np.array([1.0, 10.0, 100.0]))
    assert lone.decades == 0.0
    wide = lone._replace(shapes=("right", "right", "diverged"))
    assert wide.decades == pytest.approx(1.0)
    assert not wide.at_the_edge
    assert wide._replace(best=0).at_the_edge


# Nothing compiles ----------------------------------------------------------------------------------------------------


def test_no_slider_compiles_anything(compilations):
    few = replace(VALLEY, optimizers=("sgd", "momentum", "adam"), low=1.7e-4)
    measure(few)  # curves that no other test has kept: those would come back without the programs that made them
    limits(few)
    before = compilations()
    on = few.on
    assert isinstance(on, Experiment)
    for changed in (
        replace(few, low=1e-6),
        replace(few, high=0.5, count=7),
        replace(few, count=ROOM),
        replace(few, shared={"momentum": 0.5, "beta1": 0.2, "beta2": 0.9}),
        *(
            replace(few, on=replace(on, **change))
            for change in (
                {"steps": 5000},
                {"steps": 11},
                {"noise": 0.3},
                {"l2": 0.1},
                {"seed": 5},
                {"tolerance": 1e-3},
                {"start": (1.0, -1.0)},
                {"surface": Pick("valley", {"kappa": 7.0, "rotation": 30.0})},
            )
        ),
    ):
        assert len(measure(changed)) == 3
        limits(changed)
    assert compilations() == before


# What cannot be ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"low": 1.0, "high": 0.1}, "below the largest"),
        ({"low": 0.0}, "low must be"),
        ({"count": ROOM + 1}, "count must be"),
        ({"optimizers": ()}, "at least one"),
        ({"optimizers": ("newton",)}, "step length"),
        ({"optimizers": ("nobody",)}, "no optimizer"),
        ({"shared": {"rho": 0.5}}, "cannot be set"),
        ({"shared": {"momentum": 2.0}}, "momentum must be"),
        ({"on": Experiment(Pick("saddle"))}, "no known minimum"),
        ({"on": Experiment(Pick("sphere"), (Racer(Pick("sgd")),))}, "instead of racers"),
        ({"axis": "height"}, "axis must be"),
        ({"on": DIGITS, "sizes": tuple(range(1, 11))}, "at most 8"),
        ({"on": DIGITS, "sizes": (300,)}, "256"),
        ({"on": replace(DIGITS, epochs=1000), "sizes": (256,)}, "too many trainings"),
        ({"on": replace(DIGITS, configurations=DIGITS.configurations * 2)}, "one configuration"),
    ],
)
def test_what_cannot_be_measured_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        replace(VALLEY, **wrong)


def test_shared_values_leave_alone_what_is_off_by_default():
    calibration = replace(VALLEY, shared={"momentum": 0.5})
    assert calibration.racer("momentum", 0.1).values["momentum"] == 0.5
    assert calibration.racer("sgd", 0.1).values["momentum"] == 0.0
    assert replace(VALLEY, shared={"momentum": SHARED["momentum"].default}) == VALLEY


def test_every_first_order_rule_is_measured_by_default():
    assert len(FIRST_ORDER) >= 15
    assert VALLEY.optimizers == FIRST_ORDER
    assert all("lr" in OPTIMIZERS[key].param for key in FIRST_ORDER)


# Networks ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks():
    return measure(NETWORKS)


def test_a_cell_is_the_training_itself(networks):
    size, i = 4, 3
    run = optviz.train("digits", "adam", hidden=(size,), epochs=2, lr=float(NETWORKS.rates[i]))
    assert networks[0].name == str(size)
    np.testing.assert_allclose(networks[0].height[i], run.measures["train_loss"][-1], rtol=1e-9)
    np.testing.assert_allclose(networks[0].more["accuracy"][i], run.measures["validation_accuracy"][-1], rtol=1e-12)


def test_networks_come_one_by_one_and_what_is_missing_stays_blank(networks):
    assert list(trainings(NETWORKS)) == list(range(1, 21))
    part = network_curves(NETWORKS, 3)
    assert [curve.shapes.count("") for curve in part] == [8, 9]
    assert np.isnan(part[0].height[2:]).all()
    np.testing.assert_array_equal(part[0].height[:2], networks[0].height[:2])
    blank = network_curves(NETWORKS, 0)
    assert [curve.best for curve in blank] == [None, None]
    assert calibration_record(NETWORKS, blank, [])["figure"]["data"]


def test_depth_repeats_the_first_layer():
    deep = replace(NETWORKS, axis="depth", sizes=())
    assert deep.sizes == SIZES["depth"]
    assert deep.training(3, 0.1).configurations[0].net.hidden == (16, 16, 16)
    assert NETWORKS.training(64, 0.1).configurations[0].net.hidden == (64,)
    assert NETWORKS.training(64, 0.1).configurations[0].racer.values["lr"] == 0.1


# The claim -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["sgd", "adam"])
def test_B1_too_small_is_slow_and_too_large_swings_or_diverges(key):
    calibration = replace(VALLEY, optimizers=(key,), chosen=())
    curves = measure(calibration)
    measured = CLAIMS["B1"].measure(calibration, curves)
    assert measured is not None
    if key == "sgd":
        assert measured.holds
        assert measured.numbers["slow"] > 1e3 * measured.numbers["least"]
        assert 0.02 < measured.numbers["best"] < 0.04 < measured.numbers["beyond"] < 0.055
        assert measured.numbers["sphere"] > 100 * measured.numbers["rosenbrock"]
    assert curves[0].shapes[0] == "too small"


def test_B1_the_best_rate_moves_with_the_surface():
    best = []
    for kappa in (5.0, 50.0, 500.0):
        on = replace(VALLEY.on, surface=Pick("valley", {"kappa": kappa}))
        (curve,) = measure(replace(VALLEY, on=on, optimizers=("sgd",), count=ROOM))
        best.append(curve.rates[curve.best])
    assert best[0] > 5 * best[1] > 25 * best[2]


def test_B1_the_best_rate_moves_with_the_architecture(networks):
    narrow, wide = (curve.rates[curve.best] for curve in networks)
    assert narrow > 2 * wide
    measured = CLAIMS["B1"].measure(NETWORKS, networks)
    assert measured is not None
    assert measured.holds
    assert measured.numbers["first"] == narrow
    assert measured.numbers["last"] == wide


def test_B1_says_when_the_grid_shows_nothing():
    calibration = replace(VALLEY, optimizers=("sgd",), low=0.03, high=0.035)
    measured = CLAIMS["B1"].measure(calibration, measure(calibration))
    assert measured is not None
    assert measured.holds is False
    assert "does not hold" in measured.sentence
    unfinished = CLAIMS["B1"].measure(NETWORKS, network_curves(NETWORKS, 19))
    assert unfinished is not None
    assert unfinished.holds is None


# Links and pictures --------------------------------------------------------------------------------------------------

LEVEL = [key for key, entry in SURFACES.items() if entry.minima_at({})]
surfaces = st.builds(
    Calibration,
    on=st.builds(Experiment, st.sampled_from(LEVEL).map(Pick), steps=st.integers(1, 5000)),
    low=st.floats(1e-12, 1e-3),
    high=st.floats(1e-2, 1e6),
    count=st.integers(2, ROOM),
    optimizers=st.lists(st.sampled_from(FIRST_ORDER), min_size=1, max_size=4).map(tuple),
    chosen=st.lists(st.sampled_from(FIRST_ORDER), max_size=3).map(tuple),
    shared=some_of(SHARED),
)
several = st.builds(
    lambda size, more: replace(NETWORKS, **size, **more),
    st.sampled_from(
        [{"axis": "width", "sizes": (2, 8)}, {"axis": "depth", "sizes": (1, 3)}, {"axis": "depth", "sizes": ()}]
    ),
    st.fixed_dictionaries({}, optional={"low": st.floats(1e-8, 1e-3), "count": st.integers(2, 10)}),
)


@pytest.mark.parametrize("default", [VALLEY, NETWORKS], ids=["surface", "network"])
@given(value=surfaces | several)
def test_a_link_opens_what_it_was_made_from(default, value):
    address = urlencode(CODEC.to_query(value, default), doseq=True)  # as it travels
    assert CODEC.from_query(parse_qs(address), default) == (value, [])


def test_the_default_needs_no_field():
    assert CODEC.to_query(VALLEY, VALLEY) == {}
    assert CODEC.to_query(NETWORKS, VALLEY) == {"v": ["1"], "on": ["network"]}


@pytest.mark.parametrize(
    "field",
    [{"count": ["9000"]}, {"low": ["0"]}, {"optimizers": ["newton"]}, {"sizes": ["a~b"]}, {"axis": ["x"]},
     {"surface": ["saddle"]}, {"racer": ["sgd"]}, {"momentum": ["7"]}, {"nothing": ["1"]}, {"low": ["100"]}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_read_costs_a_sentence_and_nothing_else(field):
    value, messages = CODEC.from_query({**field, "steps": ["77"]}, VALLEY)
    assert len(messages) == 1
    assert isinstance(value.on, Experiment)
    if "surface" not in field and "racer" not in field:
        assert value == replace(VALLEY, on=replace(VALLEY.on, steps=77))


@given(
    st.dictionaries(
        st.sampled_from(["on", "low", "count", "sizes", "optimizers", "chosen", "axis", "beta1", "surface"]),
        st.lists(st.text(max_size=20), max_size=2),
        max_size=5,
    )
)
def test_nonsense_never_raises(query):
    assert isinstance(CODEC.from_query(query, VALLEY)[0], Calibration)


def test_every_point_is_in_the_picture():
    """Between the strips, or in one of them: none is left out, and none is drawn elsewhere than its number says."""
    curves = measure(replace(VALLEY, optimizers=("sgd", "adam")))
    record = calibration_record(replace(VALLEY, optimizers=("sgd", "adam")), curves, [])
    low, high = record["figure"]["layout"]["yaxis"]["range"]
    for index, curve in enumerate(curves):
        line, strip = [trace for trace in record["figure"]["data"] if trace.get("meta") == index]
        for i in range(len(curve.rates)):
            drawn, placed = line["y"][i], strip["y"][i]
            assert (drawn is None) != (placed is None)
            if drawn is not None:
                assert drawn == curve.height[i]
            assert low <= math.log10(drawn or placed) <= high
            if placed is not None:
                assert curve.shapes[i] == "diverged" or curve.height[i] <= 1e-6
    assert "SGD 0.0367" in alt(VALLEY, curves)


def test_a_picture_where_everything_diverges():
    calibration = replace(VALLEY, optimizers=("sgd",), low=10.0, high=100.0)
    curves = measure(calibration)
    record = calibration_record(calibration, curves, limits(calibration))
    assert set(curves[0].shapes) == {"diverged"}
    assert "none yet" in record["alt"]


def test_few_of_many_tasks_wait_in_the_pool_and_none_for_who_has_left():
    submitted = []

    class Pool:
        _max_workers = AT_ONE_TIME

        def submit(self, task: Callable[[], int]) -> Any:
            submitted.append(SimpleNamespace(result=task, cancelled=0))
            submitted[-1].cancel = lambda one=submitted[-1]: setattr(one, "cancelled", 1)
            return submitted[-1]

    pool: Any = Pool()
    rest = side_by_side(pool, (lambda number=number: number for number in range(9)))
    assert [next(rest), next(rest), next(rest)] == [0, 1, 2]
    assert len(submitted) == 2 + AT_ONE_TIME
    del rest  # as when the visitor asks for something else
    assert [one.cancelled for one in submitted] == [0] * 3 + [1] * (len(submitted) - 3)
    assert list(side_by_side(pool, (lambda number=number: number for number in range(9)))) == list(range(9))
    assert list(side_by_side(pool, iter(()))) == []
