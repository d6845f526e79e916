"""The cloud against runs one by one, and its noise floor against theory."""

import base64
import json
import math
import re
from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optviz
from optviz import cloud_link
from optviz.cloud import (
    CLAIMS,
    IN_A_SHARP_WELL,
    NOISY,
    ON_A_SADDLE,
    SEEDS,
    VALLEY,
    Cloud,
    floors,
    heavy_ball,
    measure,
    quadratic,
    stationary_variance,
    theory,
)
from optviz.experiment import Experiment, Pick, Racer
from optviz.figures.cloud import BEYOND, DRAWN_AT_MOST, cloud_record, floors_record
from optviz.surfaces import SURFACES
from strategies import some_of

BALL = Racer(Pick("momentum", {"lr": 0.02, "momentum": 0.6}))
PLAIN = Racer(Pick("sgd", {"lr": 0.02}))
QUADRATICS = [
    Cloud(Experiment(Pick("valley", {"kappa": 4.0, "rotation": 30.0}), (PLAIN,), steps=600, noise=1.0)),
    Cloud(Experiment(Pick("sphere"), (BALL,), steps=600, noise=0.5)),
    Cloud(Experiment(Pick("booth"), (BALL,), steps=1200, noise=2.0, l2=0.5), low=2e-3, high=0.3),
]


def but(cloud: Cloud, **changes) -> Cloud:
    """A cloud with some of its experiment changed."""
    return replace(cloud, experiment=replace(cloud.experiment, **changes))


# The floor -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cloud", QUADRATICS, ids=lambda cloud: cloud.experiment.surface.key)
def test_the_floor_on_a_quadratic_is_that_of_theory(cloud):
    found = floors(cloud)
    assert found.theory is not None
    there = found.compared
    assert there.sum() >= 8
    apart = (found.height[there] - found.theory[there]) / found.error[there]
    assert np.abs(apart).max() < 3
    assert (found.error[there] / found.height[there]).max() < 0.05  # else three of them would allow anything
    assert found.agreement < 0.03


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("curvature", [0.2, 1.0, 7.0])
def test_the_stationary_variance_solves_the_lyapunov_equation(momentum, curvature):
    """Σ = AΣAᵀ + Q for the step (θₜ, θₜ₋₁) → (θₜ₊₁, θₜ) of the heavy ball."""
    for lr in np.array([0.01, 0.4, 0.99]) * 2 * (1 + momentum) / curvature:
        move = np.array([[1 + momentum - lr * curvature, -momentum], [1.0, 0.0]])
        kick = np.diag([(lr * 0.7) ** 2, 0.0])
        solved = np.linalg.solve(np.eye(4) - np.kron(move, move), kick.ravel())
        variance = stationary_variance(np.array([curvature]), lr, momentum, 0.7)
        np.testing.assert_allclose(variance, solved[:1], rtol=1e-9)


def test_beyond_the_stable_limit_there_is_no_floor():
    assert np.isnan(stationary_variance(np.array([1.0, 5.0]), 2 * 1.5 / 5 + 1e-9, 0.5, 1.0)).tolist() == [False, True]
    found = floors(but(VALLEY, steps=2000))
    assert found.theory is not None
    assert np.isinf(found.height[found.rates > 0.55]).all()  # 2/λ is 0.5, and growth takes its time
    assert np.isnan(found.theory[found.rates > 0.5]).all()
    assert not found.settled[np.isinf(found.height)].any()


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("sgd", {}),
        ("sgd", {"momentum": 0.8}),
        ("sgd", {"momentum": 0.8, "dampening": 0.5}),
        ("sgd", {"momentum": 0.8, "averaging": True, "dampening": 0.5}),
        ("sgd", {"dampening": 0.5}),
        ("momentum", {"dampening": 0.3}),
        ("momentum", {"form": "averaging", "dampening": 0.3}),
        ("momentum", {"form": "velocity"}),
    ],
    ids=str,
)
def test_a_heavy_ball_moves_as_it_is_said_to(key, values):
    known = heavy_ball(Racer(Pick(key, {"lr": 0.05, **values})))
    assert known is not None
    lr, momentum = known
    run = optviz.trace("valley", key, steps=20, noise=0.5, lr=0.05, **values)
    told = run.theta[2:-1] - lr * run.grad[2:] + momentum * (run.theta[2:-1] - run.theta[1:-2])
    rest = 0.0 if key == "momentum" or not values.get("dampening") or values.get("averaging") else 1.0
    # the first velocity of PyTorch's SGD is undamped; what is left of it decays with ρ
    tolerance = 1e-12 + rest * 0.05 * 0.5 * momentum**2 * np.abs(run.grad[0]).max()
    assert np.abs(told - run.theta[3:]).max() <= tolerance


@pytest.mark.parametrize(
    "racer",
    [Racer(Pick("adam")), Racer(Pick("nesterov")), Racer(Pick("sgd", {"nesterov": True, "momentum": 0.5})),
     Racer(Pick("sgd"), {"lr": Pick("cosine")})],
    ids=lambda racer: racer.optimizer.key,
)  # fmt: skip
def test_of_other_rules_no_theory_is_claimed(racer):
    assert heavy_ball(racer) is None
    assert theory(but(VALLEY, racers=(racer,)), np.array([0.1])) is None


def test_only_a_quadratic_counts_as_one():
    bowls = {
        key: quadratic(Experiment(Pick(key))) for key in ("sphere", "booth", "matyas", "rosenbrock", "double_well")
    }
    assert {key for key, bowl in bowls.items() if bowl} == {"sphere", "booth", "matyas"}
    assert bowls["booth"] is not None
    np.testing.assert_allclose(bowls["booth"].curvatures, [2, 18], rtol=1e-12)


def test_the_penalty_lifts_the_floor_by_how_far_it_moves_the_minimum():
    bowl = quadratic(Experiment(Pick("booth"), l2=0.5))
    assert bowl is not None
    hessian = np.array([[10.0, 8.0], [8.0, 10.0]])
    moved = np.linalg.solve(hessian + 0.5 * np.eye(2), hessian @ [1.0, 3.0]) - [1.0, 3.0]
    assert bowl.shift == pytest.approx(0.5 * moved @ hessian @ moved, rel=1e-9)


def test_the_grid_has_the_racers_own_rate_and_half_of_it():
    found = floors(VALLEY)
    assert found.rates[found.at(0.05)] == 0.05
    assert found.rates[found.at(0.025)] == 0.025
    assert np.all(np.diff(found.rates) > 0)
    assert (found.rates[0], found.rates[-1]) == (VALLEY.low, VALLEY.high)


def test_a_floor_is_the_mean_over_the_second_half_of_its_runs():
    """Against runs one by one, at the same moments."""
    cloud = but(VALLEY, steps=40, racers=(PLAIN,))
    found, moments = floors(cloud), measure(cloud).steps
    later = moments[moments > 20]
    means = [
        optviz.trace("valley", "sgd", steps=40, start=(-1.8, 1.0), surface_values={"kappa": 4.0}, noise=1.0, seed=seed,
                     lr=0.02).loss[later].mean()
        for seed in range(SEEDS)
    ]  # fmt: skip
    own = found.at(0.02)
    assert found.height[own] == pytest.approx(np.mean(means), rel=1e-9)
    assert found.error[own] == pytest.approx(np.std(means, ddof=1) / math.sqrt(SEEDS), rel=1e-9)
    assert not found.settled[own]  # after 40 steps it is on its way


# The cloud -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "racer", [PLAIN, Racer(Pick("adam", {"lr": 0.1}), {"lr": Pick("cosine")})], ids=["sgd", "adam, cosine"]
)
def test_every_run_is_the_one_of_its_seed(racer):
    cloud = replace(but(VALLEY, racers=(racer,), seed=7), runs=30)
    swarm = measure(cloud)
    assert (swarm.steps[0], swarm.steps[-1]) == (0, 400)
    for index in (0, 13, 29):
        run = optviz.trace("valley", racer.optimizer.key, steps=400, start=(-1.8, 1.0), noise=1.0, seed=7 + index,
                           surface_values={"kappa": 4.0}, schedules=dict(racer.schedules),
                           lr=racer.values["lr"])  # fmt: skip
        np.testing.assert_allclose(swarm.theta[index], run.theta[swarm.steps], rtol=0, atol=1e-12)
        np.testing.assert_allclose(swarm.height[index], run.loss[swarm.steps], rtol=1e-9, atol=1e-12)
        opened = optviz.experiment.run(cloud.run(index))[0].trajectory
        np.testing.assert_array_equal(opened.theta, run.theta)


def test_the_quiet_run_has_no_noise():
    swarm = measure(VALLEY)
    run = optviz.trace("valley", "sgd", steps=400, start=(-1.8, 1.0), surface_values={"kappa": 4.0}, lr=0.05)
    np.testing.assert_allclose(swarm.quiet, run.loss[swarm.steps], rtol=1e-9)
    # gradient descent on a quadratic is linear: the centre of the cloud goes where the quiet run goes
    spread = swarm.theta.std(axis=0) / math.sqrt(VALLEY.runs)
    assert np.all(np.abs(swarm.theta.mean(axis=0) - run.theta[swarm.steps]) <= 4.5 * spread + 1e-12)


def test_heights_are_summed_up_as_they_are_said_to_be():
    swarm = measure(replace(VALLEY, runs=101))
    np.testing.assert_allclose(swarm.mean, swarm.height.mean(axis=0))
    for line, place in ((swarm.low, 25), (swarm.median, 50), (swarm.high, 75)):
        np.testing.assert_array_equal(line, np.sort(swarm.height, axis=0)[place])
    assert np.all(np.diff(swarm.height[swarm.ordered(), -1]) >= 0)


def test_runs_that_are_lost_stay_lost_and_no_mean_hides_them():
    swarm = measure(replace(but(VALLEY, racers=(PLAIN.but(lr=0.8),)), runs=50))
    assert swarm.lost[0] == 0
    assert swarm.lost[-1] == 1
    assert np.all(np.diff(swarm.lost) >= 0)
    assert np.isinf(swarm.mean[swarm.lost > 0]).all()
    assert np.isfinite(swarm.mean[swarm.lost == 0]).all()
    np.testing.assert_array_equal(swarm.near[:, -1], 0)
    assert json.dumps(cloud_record(VALLEY, swarm)["racers"][-1]["label"]) == '"lost"'


def test_shares_count_runs_near_each_minimum():
    swarm = measure(ON_A_SADDLE)
    reach = 0.1 * 4 * math.sqrt(2)
    for i, point in enumerate(ON_A_SADDLE.minima):
        away = np.hypot(*(swarm.theta - [point.x, point.y]).transpose(2, 0, 1))
        np.testing.assert_allclose(swarm.near[i], (away <= reach).mean(axis=0))  # the two circles do not meet
    assert np.all(swarm.near.sum(axis=0) + swarm.lost <= 1 + 1e-12)


def test_nothing_compiles_when_a_slider_moves(compilations):
    measure(VALLEY)
    floors(VALLEY)
    before = compilations()
    racer = PLAIN.but(lr=0.03, momentum=0.5)
    moved = but(VALLEY, noise=0.3, steps=450, l2=0.1, start=(1.0, 1.0), seed=5, racers=(racer,))
    for cloud in (replace(moved, runs=900, high=0.2), but(VALLEY, surface=Pick("valley", {"kappa": 9.0}))):
        measure(cloud)
        floors(cloud)
    assert compilations() == before


def test_what_changes_no_number_is_not_measured_again():
    assert measure(replace(VALLEY, look="points", low=0.01)) is measure(VALLEY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: but(VALLEY, noise=0.0), "noise σ must be above 0"),
        (lambda: but(VALLEY, racers=()), "exactly one racer"),
        (lambda: but(VALLEY, racers=(PLAIN, BALL)), "exactly one racer"),
        (lambda: but(VALLEY, racers=(Racer(Pick("newton")),)), "brings its own step length"),
        (lambda: but(VALLEY, surface=Pick("saddle")), "no known minimum"),
        (lambda: replace(VALLEY, runs=2001), "2000"),
        (lambda: replace(VALLEY, runs=1), "runs must be"),
        (lambda: replace(VALLEY, low=0.5, high=0.5), "below the largest"),
        (lambda: replace(VALLEY, high=1e9), "high must be"),
        (lambda: replace(VALLEY, look="fog"), "both, points, density"),
        (lambda: but(VALLEY, steps=5001), "steps must be"),
        (lambda: replace(but(VALLEY, steps=5000), runs=1001), "5,000,000"),
    ],
)
def test_what_is_no_cloud_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        change()


# The claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", CLAIMS)
def test_the_claims_hold_where_they_say(key):
    measured = CLAIMS[key].measure(CLAIMS[key].cloud)
    assert measured is not None
    assert measured.holds, measured.sentence


def test_A5_has_its_numbers():
    measured = CLAIMS["A5"].measure(VALLEY)
    assert measured is not None
    numbers = measured.numbers
    assert numbers["quiet"] < 1e-12 < 0.02 < numbers["mean"] < 0.035
    # ½ Σ ησ²/(2 − ηλ) with λ = 1 and 4
    assert numbers["floor"] == pytest.approx(0.025 * (1 / 1.95 + 1 / 1.8), rel=0.04)
    assert numbers["floor_half"] == pytest.approx(0.0125 * (1 / 1.975 + 1 / 1.9), rel=0.04)
    assert 1.9 < numbers["ratio"] < 2.2
    assert 0.98 < numbers["slope"] < 1.12


@pytest.mark.parametrize(
    ("key", "cloud", "reason"),
    [
        ("A5", but(VALLEY, steps=20), "still fall"),
        ("A5", but(VALLEY, noise=1e-12, steps=200), "hold the runs up|still fall"),
        ("A5-saddle", but(ON_A_SADDLE, start=(1.0, 0.5)), "finds the minimum as well|preferred"),
        ("A5-saddle", but(ON_A_SADDLE, steps=50), "not found a minimum yet"),
        ("A5-wells", but(IN_A_SHARP_WELL, noise=0.5, steps=300), "still in the sharp well"),
        ("A5-wells", but(IN_A_SHARP_WELL, start=(-1.0, 0.0), steps=300), "do not begin"),
    ],
)
def test_a_claim_that_fails_says_why(key, cloud, reason):
    measured = CLAIMS[key].measure(replace(cloud, runs=200))
    if measured is None:
        assert key == "A5"
        assert not floors(replace(cloud, runs=200)).settled.any()
        return
    assert measured.holds is False
    assert re.search(reason, measured.sentence), measured.sentence


def test_a_claim_is_not_measured_where_it_says_nothing():
    assert CLAIMS["A5-saddle"].measure(VALLEY) is None
    assert CLAIMS["A5-wells"].measure(VALLEY) is None


# Links and pictures --------------------------------------------------------------------------------------------------

LEVEL = [key for key, entry in SURFACES.items() if entry.minima_at({})]
clouds = st.builds(
    Cloud,
    st.builds(
        Experiment,
        st.sampled_from(LEVEL).map(Pick),
        st.sampled_from(NOISY).flatmap(
            lambda key: some_of({"lr": optviz.OPTIMIZERS[key].param["lr"]}).map(lambda v: (Racer(Pick(key, v)),))
        ),
        steps=st.integers(1, 2500),
        noise=st.floats(1e-9, 1e6),
        seed=st.integers(0, 2**32 - 1),
    ),
    runs=st.integers(2, 2000),
    low=st.floats(1e-9, 1e-2),
    high=st.floats(1e-1, 1e3),
    look=st.sampled_from(["both", "points", "density"]),
)


@given(value=clouds)
def test_a_link_opens_what_it_was_made_from(value):
    address = urlencode(cloud_link.to_query(value, VALLEY), doseq=True)  # as it travels
    assert cloud_link.from_query(parse_qs(address), VALLEY) == (value, [])


def test_the_default_needs_no_field():
    assert cloud_link.to_query(VALLEY, VALLEY) == {}


@pytest.mark.parametrize(
    "field",
    [{"runs": ["9000"]}, {"low": ["0"]}, {"racer": ["newton"]}, {"surface": ["saddle"]}, {"noise": ["0"]},
     {"look": ["fog"]}, {"nothing": ["1"]}, {"view": ["3-D"]}, {"pin": ["sgd"]}, {"low": ["5"]}, {"v": ["9"]}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_read_costs_a_sentence_and_nothing_else(field):
    value, messages = cloud_link.from_query({**field, "runs": field.get("runs", ["77"]), "seed": ["3"]}, VALLEY)
    assert len(messages) == 1
    assert value.runs == (77 if "runs" not in field else VALLEY.runs)
    assert value.experiment == replace(VALLEY.experiment, seed=3)


@given(
    st.dictionaries(
        st.sampled_from(["runs", "low", "high", "look", "racer", "noise", "surface", "start", "x"]),
        st.lists(st.text(max_size=20), max_size=2),
        max_size=5,
    )
)
def test_nonsense_never_raises(query):
    assert isinstance(cloud_link.from_query(query, VALLEY)[0], Cloud)


def test_what_is_sent_is_where_the_runs_are():
    swarm = measure(ON_A_SADDLE)
    ground = cloud_record(ON_A_SADDLE, swarm)["panels"][0]["ground"]
    left, right, bottom, top = ground["extent"]
    places = np.frombuffer(base64.b64decode(ground["parts"][0]["data"]), "<u2").reshape(len(swarm.steps), 2, -1)
    assert places.shape[2] == ground["count"] == ON_A_SADDLE.runs
    assert places.max() < BEYOND
    x, y = left + (right - left) * places[:, 0] / (BEYOND - 1), bottom + (top - bottom) * places[:, 1] / (BEYOND - 1)
    sent = np.stack([x, y], axis=2).transpose(1, 0, 2)
    np.testing.assert_allclose(sent, swarm.theta, rtol=0, atol=0.51 * (right - left) / (BEYOND - 1))


def test_a_run_that_is_nowhere_is_sent_as_nowhere():
    cloud = replace(but(VALLEY, racers=(PLAIN.but(lr=0.8),)), runs=20)
    ground = cloud_record(cloud, measure(cloud))["panels"][0]["ground"]
    places = np.frombuffer(base64.b64decode(ground["parts"][0]["data"]), "<u2").reshape(-1, 2, 20)
    np.testing.assert_array_equal(places[-1], BEYOND)
    assert places[0].max() < BEYOND


def test_little_is_sent():
    cloud = replace(but(VALLEY, steps=2500), runs=2000)
    record = cloud_record(cloud, measure(cloud))
    assert record["panels"][0]["ground"]["count"] == DRAWN_AT_MOST
    assert "1,000 of 2,000 runs are drawn" in record["panels"][0]["note"]
    assert len(json.dumps(record)) < 600_000
    assert len(json.dumps(floors_record(VALLEY, floors(VALLEY)))) < 40_000


def test_every_rate_is_in_the_chart_once():
    found = floors(VALLEY)
    record = floors_record(VALLEY, found)
    traces = {trace["name"]: trace for trace in record["figure"]["data"]}
    assert {"theory", "settled", "not settled", "runs are lost", "this cloud"} == set(traces)
    low, high = record["figure"]["layout"]["yaxis"]["range"]
    for i in range(len(found.rates)):
        kinds = ("settled", "not settled", "runs are lost")
        (kind,) = [kind for kind in kinds if traces[kind]["y"][i] is not None]
        assert low <= math.log10(traces[kind]["y"][i]) <= high
        assert (kind == "runs are lost") == (found.lost[i] > 0)
        assert (kind == "settled") == found.settled[i]
        if kind != "runs are lost":
            assert traces[kind]["y"][i] == found.height[i]
    (star,) = [i for i, y in enumerate(traces["this cloud"]["y"]) if y is not None]
    assert found.rates[star] == 0.05
    assert "0.05" in record["alt"]


def test_a_chart_where_every_run_is_lost():
    cloud = replace(but(VALLEY, racers=(PLAIN.but(lr=8.0),)), low=2.0, high=9.0)
    assert json.dumps(floors_record(cloud, floors(cloud)), allow_nan=False)
    assert CLAIMS["A5"].measure(cloud) is None
