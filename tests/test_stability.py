"""The edge of stability: the numbers are those of the runs themselves, computed a second time in another way, and a run
that does not settle at its edge is not said to."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import optviz
from optviz.either_link import NETWORK
from optviz.experiment import Experiment, Pick, Racer
from optviz.figures.stability import BINS, map_record, stability_record, thinned
from optviz.landscape import over_window
from optviz.networks import Network, backward, data_loss, forward
from optviz.stability import (
    CLAIMS,
    FATES,
    QUADRATIC,
    RAVINE,
    SPIRALS,
    Curve,
    Stability,
    around_the_edge,
    curves,
    measure,
    moments,
    sharpness_over_window,
)
from optviz.stability_link import Stabilities
from optviz.training import Training, targets

CODEC = Stabilities(RAVINE, SPIRALS)
assert isinstance(SPIRALS.on, Training)
assert isinstance(RAVINE.on, Experiment)
assert isinstance(QUADRATIC.on, Experiment)
SHORT = replace(SPIRALS, on=replace(SPIRALS.on, epochs=1000), rates=(0.4,))


@pytest.fixture(scope="module")
def short():
    return measure(SHORT)[0]


def by_hand(training: Training, rate: float, steps: int) -> tuple[np.ndarray, np.ndarray, Network]:
    """Gradient descent in plain NumPy, with backpropagation written out: θ at its end and the loss before each step."""
    network, net, train = training.networks[0], training.configurations[0].net, training.parts.train
    theta, losses = network.start(net.init, training.seed), []
    for _ in range(steps):
        layers = network.unravel(theta)
        output, passes = forward(network, layers, train.x)
        losses.append(float(data_loss(network, output, targets(train))))
        grads, _ = backward(network, layers, passes, targets(train))
        theta = theta - rate * network.ravel(grads)
    return theta, np.array(losses), network


def dense_sharpness(training: Training, theta: np.ndarray) -> float:
    """The largest eigenvalue of the whole Hessian of the mean squared error, written for this test."""
    network, train = training.networks[0], training.parts.train

    def loss(theta):
        x = train.x
        for number, layer in enumerate(network.unravel(theta)):
            x = x @ layer.weight + layer.bias
            x = x if number == len(network.shapes) - 1 else jax.numpy.tanh(x)
        return ((x - targets(train)) ** 2).mean()

    return float(np.linalg.eigvalsh(np.asarray(jax.jit(jax.hessian(loss))(theta)))[-1])


def holds(claim: str, stability: Stability, found: list[Curve]) -> bool | None:
    measured = CLAIMS[claim].measure(stability, found)
    assert measured is not None
    return measured.holds


# On a network --------------------------------------------------------------------------------------------------------


def test_the_network_settles_at_the_edge_and_so_does_the_same_run_by_hand(short):
    """Until the edge amplifies roundings, both runs are one; beyond it, both hover at 2/η."""
    assert isinstance(SHORT.on, Training)
    theta, losses, _ = by_hand(SHORT.on, 0.4, 1000)
    np.testing.assert_allclose(short.loss[:100], losses[:100], rtol=1e-9)
    assert short.fate == "at the edge"
    assert short.mean == pytest.approx(1, abs=0.1)
    assert dense_sharpness(SHORT.on, theta) * 0.4 / 2 == pytest.approx(1, abs=0.1)
    early, _, _ = by_hand(SHORT.on, 0.4, int(short.times[4]))
    assert short.sharpness[4] == pytest.approx(dense_sharpness(SHORT.on, early), rel=1e-6)
    assert short.sharpness[0] < short.edge[0] / 1.5
    assert (np.diff(losses) > 0).mean() == pytest.approx(short.rises, abs=0.1)
    assert short.residual.max() <= 1e-8 * short.sharpness.max() * 1.5
    np.testing.assert_array_equal(short.edge, 2 / 0.4)
    assert short.cosine[-1] < -0.9  # every gradient turns back


def test_the_claim_holds_on_the_short_run_and_not_where_the_rate_is_small(short):
    claim = CLAIMS["C17"]
    found = claim.measure(SHORT, [short])
    assert found is not None
    assert found.holds
    assert found.numbers["mean"] == short.mean
    small = replace(SHORT, rates=(0.02,), on=replace(SHORT.on, epochs=200))
    (curve,) = measure(small)
    assert curve.fate == "below"
    assert curve.rises == 0
    found = claim.measure(small, [curve])
    assert found is not None
    assert found.holds is False
    assert "no rate settles" in found.sentence


def test_without_all_moments_there_is_no_verdict(short):
    found = CLAIMS["C17"].measure(SHORT, curves(SHORT))
    assert found is not None
    assert found.holds is None
    few = list(moments(SHORT))[:7]  # measured before, so they come at once
    (curve,) = curves(SHORT, few)
    np.testing.assert_array_equal(curve.sharpness, short.sharpness[:7])
    assert len(curve.loss) == short.times[6] + 1
    assert not curve.whole


def test_a_network_that_diverges_says_so():
    wild = replace(SHORT, rates=(30.0,), on=replace(SHORT.on, epochs=100))
    assert isinstance(wild.on, Training)
    identity = replace(wild.on.configurations[0].net, activation="identity", hidden=(4,))
    wild = replace(wild, on=replace(wild.on, configurations=(replace(wild.on.configurations[0], net=identity),)))
    (curve,) = measure(wild)
    assert curve.fate == "diverged"
    record = stability_record(wild, [curve])
    assert "diverged" in record["alt"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 10}, "every step must see all examples"),
        ({"seeds": 2}, "one configuration under one seed"),
        ({"epochs": 20_001}, "up to 20000 steps"),
        ({"net": {"dropout": 0.5}}, "without dropout"),
        ({"net": {"input_noise": 0.1}}, "without dropout and input noise"),
        ({"net": {"clip": 1.0}}, "without gradient clipping"),
        ({"net": {"hidden": (256, 256)}}, "parameters, not"),
        ({"net": {"hidden": (100, 100)}, "dataset": Pick("spirals", {"samples": 2000})}, "too much to measure"),
        ({"racer": Racer(Pick("lion"))}, "is not known here"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_measured_is_refused(change, words):
    on = SPIRALS.on
    assert isinstance(on, Training)
    one = on.configurations[0]
    net = replace(one.net, **change.pop("net", {}))
    one = replace(one, net=net, racer=change.pop("racer", one.racer))
    with pytest.raises(ValueError, match=words):
        Stability(replace(on, configurations=(one,), **change), SPIRALS.rates)


@pytest.mark.parametrize("rates", [(1.0, 1.0), (0.1,) * 5, (0.0,), (-1.0,), (float("nan"),)], ids=str)
def test_rates_are_checked(rates):
    with pytest.raises(ValueError, match=r"lr must be|different learning rates above 0"):
        replace(RAVINE, rates=rates)


def test_the_own_rate_counts_only_without_others():
    assert isinstance(RAVINE.on, Experiment)
    assert replace(RAVINE, on=replace(RAVINE.on, racers=(Racer(Pick("sgd", {"lr": 7.0})),))) == RAVINE
    assert Stability(replace(RAVINE.on, racers=(Racer(Pick("sgd", {"lr": 7.0})),))).rates == (7.0,)
    with pytest.raises(ValueError, match="one racer"):
        Stability(replace(RAVINE.on, racers=()))


# On a surface --------------------------------------------------------------------------------------------------------


def rosenbrock_sharpness(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b, c = 2 - 400 * (y - 3 * x**2), -400 * x, 200.0
    return (a + c) / 2 + np.sqrt(((a - c) / 2) ** 2 + b**2)


def test_on_a_surface_the_sharpness_is_exact_and_the_edge_follows_the_schedule():
    assert isinstance(RAVINE.on, Experiment)
    racer = Racer(Pick("sgd"), {"lr": Pick("exponential", {"decay": 0.01})})
    on = replace(RAVINE.on, racers=(racer,), steps=200, l2=0.5)
    (curve,) = measure(Stability(on, (0.001,)))
    run = optviz.trace("rosenbrock", "sgd", steps=200, start=(0.0, 0.1), l2=0.5, lr=0.001,
                       schedules={"lr": Pick("exponential", {"decay": 0.01})})  # fmt: skip
    assert len(curve.times) == 200
    x, y = run.theta[curve.times].T
    np.testing.assert_allclose(curve.sharpness, rosenbrock_sharpness(x, y) + 0.5, rtol=1e-12)
    np.testing.assert_allclose(curve.edge, 2 / run.lr[curve.times], rtol=1e-12)
    t = curve.times[5]
    turned = run.grad[t] @ run.grad[t - 1] / np.linalg.norm(run.grad[t]) / np.linalg.norm(run.grad[t - 1])
    assert curve.cosine[5] == pytest.approx(turned, rel=1e-12)
    assert np.isnan(curve.cosine[0])


def test_a_rule_that_divides_feels_the_divided_hessian():
    assert isinstance(RAVINE.on, Experiment)
    on = replace(RAVINE.on, racers=(Racer(Pick("adam")),), steps=50)
    (curve,) = measure(Stability(on, (0.02,)))
    run = optviz.trace("rosenbrock", "adam", steps=50, start=(0.0, 0.1), lr=0.02)
    t = 30
    (at,) = np.flatnonzero(curve.times == t)
    x, y = run.theta[t]
    hessian = np.array([[2 - 400 * (y - 3 * x**2), -400 * x], [-400 * x, 200.0]])
    divided = 1 / ((1 - 0.9 ** (t + 1)) * (np.sqrt(run.slots["v"][t] / (1 - 0.999 ** (t + 1))) + 1e-8))
    eigenvalues = np.linalg.eigvals(divided[:, None] * hessian)  # D·H has the eigenvalues of D^½·H·D^½
    assert curve.sharpness[at] == pytest.approx(eigenvalues.real.max(), rel=1e-9)
    assert curve.edge[at] == pytest.approx(38 / 0.02)
    assert sharpness_over_window(Stability(on, (0.02,))) is None


def test_the_ravine_bars_large_steps():
    found = measure(RAVINE)
    assert [curve.fate for curve in found] == ["below", "at the edge", "at the edge", "at the edge"]
    for curve in found[1:]:
        run = optviz.trace("rosenbrock", "sgd", steps=3000, start=(0.0, 0.1), lr=curve.rate)
        tail = rosenbrock_sharpness(*run.theta[2000:3000].T) * curve.rate / 2
        assert tail.mean() == pytest.approx(1, abs=0.02)
        assert curve.mean == pytest.approx(tail.mean(), rel=1e-9)
    said = CLAIMS["C17b"].measure(RAVINE, found)
    assert said is not None
    assert said.holds
    assert said.numbers["low"] == 0.0015
    assert holds("A2", RAVINE, found) is False  # it is no quadratic


def test_a_quadratic_parts_at_the_edge():
    found = measure(QUADRATIC)
    assert [curve.fate for curve in found] == ["below", "below", "diverged", "diverged"]
    said = CLAIMS["A2"].measure(QUADRATIC, found)
    assert said is not None
    assert said.holds
    assert said.numbers["limit"] == pytest.approx(2 / 50, rel=1e-12)
    below = replace(QUADRATIC, rates=(0.01, 0.02))
    assert holds("A2", below, measure(below)) is False
    assert holds("C17b", QUADRATIC, found) is False
    assert CLAIMS["C17b"].measure(SHORT, measure(SHORT)) is None


def test_of_a_flat_and_a_sharp_well_a_large_step_ends_in_the_flat_one():
    on = Experiment(Pick("flat_and_sharp"), (Racer(Pick("sgd")),), start=(1.5, 0.4), steps=400)
    found = measure(Stability(on, (0.03, 0.3)))
    assert found[0].theta[-1, 0] == pytest.approx(1.498786, abs=1e-5)
    assert found[1].theta[-1, 0] == pytest.approx(-1.470563, abs=1e-5)
    assert [curve.fate for curve in found] == ["below", "came back"]
    assert (found[1].share >= 1).sum() < 10  # a few steps of four hundred, and none is overlooked


def test_a_heavy_ball_bears_more():
    assert isinstance(QUADRATIC.on, Experiment)
    on = replace(QUADRATIC.on, racers=(Racer(Pick("momentum", {"momentum": 0.5})),), steps=1000)
    found = measure(Stability(on, (0.0599, 0.0601)))  # 2·1.5/50 = 0.06
    assert [curve.fate for curve in found] == ["below", "diverged"]
    assert found[0].loss[-1] < found[0].loss[0] < found[1].loss[-1]


def test_rates_are_offered_on_both_sides_of_the_edge():
    assert isinstance(QUADRATIC.on, Experiment)
    rates = around_the_edge(QUADRATIC.on)
    assert min(rates) < 0.04 < max(rates)
    assert around_the_edge(replace(QUADRATIC.on, surface=Pick("monkey_saddle"), start=None)) == ()


def test_the_map_shows_where_each_edge_lies():
    assert isinstance(RAVINE.on, Experiment)
    sharp, plane = sharpness_over_window(RAVINE), over_window("rosenbrock")
    assert sharp is not None
    np.testing.assert_allclose(sharp, rosenbrock_sharpness(*np.meshgrid(plane.alpha, plane.beta)), rtol=1e-9)
    data = map_record(RAVINE, measure(RAVINE))["figure"]["data"]
    levels = [trace["contours"]["start"] for trace in data if trace["type"] == "contour"]
    np.testing.assert_allclose(levels, [2 / rate for rate in RAVINE.rates])


# Links and pictures --------------------------------------------------------------------------------------------------

VALUES = [
    RAVINE,
    SPIRALS,
    SHORT,
    QUADRATIC,
    replace(RAVINE, height="share", rates=(0.001,)),
    replace(RAVINE, on=replace(RAVINE.on, racers=(Racer(Pick("adam", {"beta1": 0.5})),)), rates=(0.1, 0.01)),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
@pytest.mark.parametrize("default", [RAVINE, SPIRALS], ids=["from a surface", "from a network"])
def test_a_link_brings_back_what_it_was_made_from(value, default):
    query = CODEC.to_query(value, default)
    assert CODEC.from_query(query, default) == (value, [])
    assert (query == {}) == (value == default)


def test_a_link_names_a_rate_once():
    query = CODEC.to_query(replace(RAVINE, rates=(0.001, 0.002)), RAVINE)
    assert query == {"v": ["1"], "rates": ["0.001~0.002"]}
    assert CODEC.home(NETWORK) == SPIRALS


@pytest.mark.parametrize(
    "query",
    [
        {"rates": ["x"]},
        {"rates": ["1~1"]},
        {"rates": ["1~2~3~4~5"]},
        {"rates": [""]},
        {"height": ["mountain"]},
        {"racer": ["sgd", "adam"]},
        {"racer": ["lion"]},
        {"nonsense": ["1"]},
        {"on": ["network"], "batch_size": ["10"]},
        {"on": ["nowhere"]},
    ],
    ids=str,
)
def test_nonsense_in_a_link_gets_a_sentence_and_the_default(query):
    value, messages = CODEC.from_query(query, RAVINE)
    assert value in (RAVINE, SPIRALS)
    assert len(messages) == 1


def test_every_picture_builds(short):
    empty = curves(SHORT)
    for stability, found in (
        (SHORT, empty),
        (SHORT, [short]),
        (RAVINE, measure(RAVINE)),
        (QUADRATIC, measure(QUADRATIC)),
    ):
        for height in ("sharpness", "share"):
            shown = replace(stability, height=height)
            record = stability_record(shown, found)
            low, high = record["figure"]["layout"]["yaxis"]["range"]
            assert low < high
            assert np.isfinite([low, high]).all()
            assert {trace["meta"] for trace in record["figure"]["data"]} == set(range(len(found)))
    assert "at the edge" in stability_record(SHORT, [short])["alt"]
    assert set(FATES) >= {curve.fate for curve in measure(QUADRATIC)}


def test_a_thinned_loss_keeps_every_peak():
    loss = np.random.default_rng(0).uniform(1, 2, 12_345)
    loss[[700, 9000]] = 50, 0.01
    loss[12_000:] = np.nan
    kept = thinned(loss)
    assert len(kept) <= 2 * BINS
    assert {700, 9000} <= set(kept)
    assert (np.diff(kept) > 0).all()
    assert np.isfinite(loss[kept]).all()
