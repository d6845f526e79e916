"""Networks against PyTorch, against automatic differentiation, and against theory."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from optviz.networks import (
    ACTIVATIONS,
    INITS,
    LOSSES,
    NORMALIZATIONS,
    Layer,
    Network,
    backward,
    data_loss,
    forward,
    hidden_widths,
    measuring_factors,
    penalty,
    training_factors,
)
from optviz.problems import batches, from_network

RNG = np.random.default_rng(7)
X, LABELS = RNG.standard_normal((7, 3)), np.arange(7) % 4
TARGET = np.eye(4)[LABELS]


def value(network, theta, x, target, xp, **how):
    terms = {name: how.pop(name) for name in ("smoothing", "delta") if name in how}
    l1, l2 = how.pop("l1", 0.0), how.pop("l2", 0.0)
    layers = network.unravel(theta)
    output, _ = forward(network, layers, x, xp=xp, **how)
    return data_loss(network, output, target, share=how.get("share"), xp=xp, **terms) + penalty(layers, l1, l2, xp)


def some_theta(network, seed=0):
    return network.start("xavier_normal", seed) + 0.1 * np.random.default_rng(seed).standard_normal(network.size)


# Layout --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_theta_is_laid_out_as_the_docstring_says(normalization):
    network = Network((2, 3, 4), normalization=normalization)
    theta = np.arange(network.size, dtype=float)
    first, last = network.unravel(theta)
    assert first.weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert first.bias.tolist() == [6, 7, 8]
    if normalization != "none":
        assert first.gain.tolist() == [9, 10, 11]
        assert first.shift.tolist() == [12, 13, 14]
    assert last.gain is None
    assert last.bias.tolist() == list(range(network.size - 4, network.size))
    np.testing.assert_array_equal(network.ravel([first, last]), theta)
    for ours, theirs in zip(network.unravel(jnp.asarray(theta)), (first, last), strict=True):
        assert jax.tree.all(jax.tree.map(np.array_equal, ours, theirs))


def test_leading_axes_are_networks_side_by_side():
    network = Network((3, 5, 4), "tanh", "batch")
    thetas = np.stack([some_theta(network, seed) for seed in range(3)])
    together, _ = forward(network, network.unravel(thetas), X)
    for theta, output in zip(thetas, together, strict=True):
        alone, _ = forward(network, network.unravel(theta), X)
        np.testing.assert_allclose(output, alone, atol=1e-14)
    np.testing.assert_array_equal(network.ravel(network.unravel(thetas)), thetas)


@pytest.mark.parametrize("hidden", [(0,), (257,), (4,) * 7, (2.5,)])
def test_a_network_beyond_the_bounds_is_refused(hidden):
    with pytest.raises(ValueError, match="0 to 6 hidden layers of 1 to 256 units"):
        hidden_widths(hidden)


@pytest.mark.parametrize("wrong", [{"activation": "rely"}, {"loss": "hubris"}, {"normalization": "group"}])
def test_an_unknown_part_is_refused(wrong):
    with pytest.raises(ValueError, match=r"there is no|must be one of"):
        Network((2, 3, 1), **wrong)


# Backpropagation -----------------------------------------------------------------------------------------------------


PAIRS = list(itertools.product(NORMALIZATIONS, LOSSES))
TRIPLES = [(key, *PAIRS[i % len(PAIRS)]) for i, key in enumerate([*ACTIVATIONS, "tanh", "gelu"])]


@pytest.mark.parametrize(("activation", "normalization", "loss"), TRIPLES)
def test_backpropagation_by_hand_is_the_gradient(activation, normalization, loss):
    """With everything on at once: a short batch, dropout, smoothing, both penalties."""
    share, rates = np.array([1, 1, 1, 1, 1, 0, 0.0]), np.array([0.3, 0.5])
    kept = RNG.random((7, 9)) > 0.4
    terms: dict[str, Any] = {"smoothing": 0.1, "delta": 0.7, "l1": 0.01, "l2": 0.02}
    network = Network((3, 5, 4, 4), activation, normalization, loss)
    theta = some_theta(network)
    how = {"factors": training_factors(network, kept, rates, True), "share": share}
    exact = jax.jit(jax.grad(lambda theta: value(network, theta, X, TARGET, jnp, **how, **terms)))(theta)
    layers = network.unravel(theta)
    _, passes = forward(network, layers, X, **how)
    grads, _ = backward(network, layers, passes, TARGET, share=share, **terms)
    np.testing.assert_allclose(network.ravel(grads), exact, atol=1e-12)


def test_backpropagation_through_given_statistics():
    network = Network((3, 5, 4), "tanh", "batch")
    theta = some_theta(network)
    layers = network.unravel(theta)
    statistics = [one.statistics for one in forward(network, layers, RNG.standard_normal((50, 3)))[1]]
    exact = jax.jit(jax.grad(lambda theta: value(network, theta, X, TARGET, jnp, statistics=statistics)))(theta)
    _, passes = forward(network, layers, X, statistics=statistics)
    grads, _ = backward(network, layers, passes, TARGET, fixed=True)
    np.testing.assert_allclose(network.ravel(grads), exact, atol=1e-12)


# PyTorch -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_activations_and_slopes_are_torch_s(key, torch):
    entry = ACTIVATIONS[key]
    nn = torch.nn
    theirs = {
        "relu": nn.ReLU(),
        "leaky_relu": nn.LeakyReLU(),
        "gelu": nn.GELU(),
        "silu": nn.SiLU(),
        "tanh": nn.Tanh(),
        "sigmoid": nn.Sigmoid(),
        "identity": nn.Identity(),
    }[key]
    z = np.concatenate([np.linspace(-40, 40, 801), [-1000.0, 1000.0]])
    known = torch.tensor(z, requires_grad=True)
    out = theirs(known)
    out.sum().backward()
    asked = {"xp": np, "erf": special.erf}
    ours = entry.fn(z, **{name: asked[name] for name in entry.needs})
    np.testing.assert_allclose(ours, out.detach().numpy(), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(entry.slope(z), known.grad.numpy(), atol=1e-14)
    assert entry.slope(z).max() <= entry.steepest + 1e-7
    assert entry.slope(z).max() >= entry.steepest - 1e-3  # the declared bound is reached
    gains = {"silu": "identity", "gelu": "identity"}
    if key not in gains:
        name = "linear" if key == "identity" else key
        assert entry.gain == pytest.approx(nn.init.calculate_gain(name), rel=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_network_is_torch_s(normalization, loss, torch):
    network = Network((3, 5, 6, 4), "gelu", normalization, loss)
    theta = some_theta(network)
    nn = torch.nn
    parts = []
    for layer in network.unravel(theta):
        linear = nn.Linear(*layer.weight.shape, dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.tensor(layer.weight.T), torch.tensor(layer.bias)
        parts.append(linear)
        if layer.gain is not None:
            width = len(layer.gain)
            norm = nn.BatchNorm1d(width, dtype=torch.float64) if normalization == "batch" else nn.LayerNorm(width)
            norm = norm.double()
            norm.weight.data, norm.bias.data = torch.tensor(layer.gain), torch.tensor(layer.shift)
            parts.append(norm)
        parts.append(nn.GELU())
    theirs = nn.Sequential(*parts[:-1])
    criterion = {
        "cross_entropy": lambda o: nn.functional.cross_entropy(o, torch.tensor(LABELS), label_smoothing=0.1),
        "squared_error": lambda o: nn.functional.mse_loss(o, torch.tensor(TARGET * 0.9 + 0.1 / 4)),
        "huber": lambda o: nn.functional.huber_loss(o, torch.tensor(TARGET * 0.9 + 0.1 / 4), delta=0.4),
    }[loss]
    out = theirs(torch.tensor(X))
    ours, passes = forward(network, network.unravel(theta), X)
    np.testing.assert_allclose(ours, out.detach().numpy(), atol=1e-12)
    theirs_loss = criterion(out)
    assert data_loss(network, ours, TARGET, smoothing=0.1, delta=0.4) == pytest.approx(theirs_loss.item(), abs=1e-13)
    theirs_loss.backward()
    grads, _ = backward(network, network.unravel(theta), passes, TARGET, smoothing=0.1, delta=0.4)
    linears = [part for part in theirs if isinstance(part, nn.Linear)]
    for grad, linear in zip(grads, linears, strict=True):
        np.testing.assert_allclose(grad.weight, linear.weight.grad.numpy().T, atol=1e-12)
        np.testing.assert_allclose(grad.bias, linear.bias.grad.numpy(), atol=1e-12)


def test_batch_normalization_measures_by_the_population(torch):
    """As torch does in evaluation mode, given the population's biased variance."""
    network = Network((3, 5, 4), "relu", "batch")
    layers = network.unravel(some_theta(network))
    population = RNG.standard_normal((40, 3))
    statistics = [one.statistics for one in forward(network, layers, population)[1]]
    z = population @ layers[0].weight + layers[0].bias
    np.testing.assert_allclose(statistics[0][0][0], z.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(statistics[0][1][0], z.var(axis=0), atol=1e-14)
    norm = torch.nn.BatchNorm1d(5, dtype=torch.float64)
    norm.running_mean, norm.running_var = torch.tensor(z.mean(axis=0)), torch.tensor(z.var(axis=0))
    norm.weight.data, norm.bias.data = torch.tensor(layers[0].gain), torch.tensor(layers[0].shift)
    theirs = norm.eval()(torch.tensor(X @ layers[0].weight + layers[0].bias)).detach().numpy()
    np.testing.assert_allclose(forward(network, layers, X, statistics=statistics)[1][0].z, theirs, atol=1e-12)


# Initial weights -----------------------------------------------------------------------------------------------------

FAN_IN, FAN_OUT = 120, 200


@pytest.mark.parametrize("key", ["xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "lecun_normal"])
@pytest.mark.parametrize("scale", [1.0, 5 / 3])
def test_initial_weights_have_torch_s_deviation_and_bounds(key, scale, torch):
    entry = INITS[key]
    ours = entry.fn(np.random.default_rng(1), FAN_IN, FAN_OUT, scale=scale)
    weight, init = torch.empty(FAN_OUT, FAN_IN, dtype=torch.float64), torch.nn.init
    torch.manual_seed(0)
    if key.startswith("xavier"):
        getattr(init, f"{key}_")(weight, gain=scale)
    elif key == "lecun_normal":
        weight = scale * init.kaiming_normal_(weight, nonlinearity="linear")
    else:
        weight = scale * getattr(init, f"kaiming_{key[3:]}_")(weight, nonlinearity="relu")
    theirs = weight.numpy().T
    deviation = np.sqrt(entry.variance(FAN_IN, FAN_OUT, scale))
    sampling = 5 * deviation / np.sqrt(2 * ours.size)  # five standard errors of a normal sample's deviation
    assert ours.shape == theirs.shape
    assert abs(ours.std() - deviation) < sampling
    assert abs(theirs.std() - deviation) < sampling
    if key.endswith("uniform"):
        bound = np.sqrt(3) * deviation
        assert np.abs(ours).max() <= bound
        assert np.abs(theirs).max() <= bound * (1 + 1e-12)
        assert min(np.abs(ours).max(), np.abs(theirs).max()) > 0.999 * bound
        assert stats.kstest(ours.ravel() / bound, "uniform", args=(-1, 2)).pvalue > 1e-3
    else:
        assert stats.kstest(ours.ravel() / deviation, "norm").pvalue > 1e-3


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_orthogonal_weights_are_orthogonal_as_torch_s(shape, torch):
    ours = INITS["orthogonal"].fn(np.random.default_rng(0), *shape, scale=2.0)
    theirs = torch.nn.init.orthogonal_(torch.empty(*shape, dtype=torch.float64), gain=2.0).numpy()
    for weight in (ours, theirs):
        small = weight @ weight.T if shape[0] < shape[1] else weight.T @ weight
        np.testing.assert_allclose(small, 4 * np.eye(6), atol=1e-12)
    many = np.array([INITS["orthogonal"].fn(np.random.default_rng(s), 9, 6, scale=1.0) for s in range(400)])
    assert abs((many**2).mean() - INITS["orthogonal"].variance(9, 6, 1.0)) < 1e-12
    assert np.abs(many.mean(axis=0)).max() < 5 / 3 / np.sqrt(400)  # no preferred sign


def test_simple_initial_weights_and_seeds():
    network = Network((3, 5, 2), normalization="layer")
    assert not network.unravel(network.start("zeros", 0))[0].weight.any()
    assert (network.unravel(network.start("constant", 0, 0.3))[1].weight == 0.3).all()
    first, second = (network.start("normal", seed, 0.5) for seed in (0, 1))
    assert np.array_equal(first, network.start("normal", 0, 0.5))
    assert not np.array_equal(first, second)
    layer = network.unravel(first)[0]
    assert not layer.bias.any()
    assert not layer.shift.any()
    assert (layer.gain == 1).all()
    with pytest.raises(ValueError, match="scale must be"):
        network.start("normal", 0, -1.0)


# Dropout and batches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inverted", [True, False])
def test_both_forms_of_dropout_expect_what_is_measured(inverted):
    """Over all masks of a small layer, weighted by their probability: exactly, not by sampling."""
    network, rates = Network((3, 4, 2), "tanh"), np.array([0.3])
    theta = some_theta(network)
    layers = network.unravel(theta)
    expected = np.zeros((7, 2))
    for number in range(2**4):
        mask = np.array([number >> unit & 1 for unit in range(4)], bool)
        factors = training_factors(network, np.tile(mask, (7, 1)), rates, inverted)
        expected += forward(network, layers, X, factors=factors)[0] * np.prod(np.where(mask, 0.7, 0.3))
    measured, _ = forward(network, layers, X, factors=measuring_factors(network, rates, inverted))
    np.testing.assert_allclose(measured, expected, atol=1e-14)


def test_dropout_keeps_each_unit_with_its_probability():
    network = Network((2, 30, 20, 1), loss="squared_error", classes=False)
    x, target = np.zeros((64, 2)), np.zeros((64, 1))

    def kept(rates, seed=0, first=0, count=40):
        problem = from_network(network, x, target, np.zeros(network.size), batch_size=16, dropout=rates)
        return problem.draw(seed, first, count)["kept"]

    chosen = kept((0.25, 0.6))
    assert chosen.shape == (40, 16, 50)
    for part, rate in ((chosen[..., :30], 0.25), (chosen[..., 30:], 0.6)):
        low, high = stats.binom.interval(1 - 1e-6, part.size, 1 - rate)
        assert low <= part.sum() <= high
    # pairs of neighbours, in any direction, are independent: their agreement is that of independent draws
    for axis in range(3):
        a = np.moveaxis(chosen[..., :30], axis, 0)
        agree, chance = (a[1:] == a[:-1]).sum(), 0.75**2 + 0.25**2
        low, high = stats.binom.interval(1 - 1e-6, a[1:].size, chance)
        assert low <= agree <= high
    assert np.array_equal(kept((0.25, 0.6), first=13, count=9), chosen[13:22])  # any piece by itself
    assert (kept((0.5, 0.6)) <= chosen).all()  # a higher rate drops more of the same
    assert not np.array_equal(kept((0.25, 0.6), seed=1), chosen)
    assert kept((0.0, 0.0)).all()


@pytest.mark.parametrize(("examples", "size"), [(10, 3), (12, 4), (7, 7), (5, 1), (40_000, 333)])
def test_every_example_comes_exactly_once_an_epoch(examples, size):
    each = -(-examples // size)
    rows, share = batches(3, examples, size, 0, 3 * each)
    assert rows.shape == share.shape == (3 * each, size)
    epochs = rows.reshape(3, -1)[share.reshape(3, -1) == 1].reshape(3, examples)
    assert (np.sort(epochs, axis=1) == np.arange(examples)).all()
    if size < examples:
        assert not np.array_equal(epochs[0], epochs[1])
        assert not np.array_equal(batches(4, examples, size, 0, 3 * each)[0], rows)
    again = [batches(3, examples, size, step, 1) for step in range(min(3 * each, 25))]
    assert all(
        np.array_equal(part[0][0], rows[i]) and np.array_equal(part[1][0], share[i]) for i, part in enumerate(again)
    )


@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.5, 0.2)])
def test_draws_fill_room_for_more_steps_and_more_examples_which_count_nothing(rates):
    network = Network((2, 4, 3, 1), loss="squared_error", classes=False)
    x, target = RNG.standard_normal((25, 2)), RNG.standard_normal((25, 1))
    problem = from_network(network, x, target, np.zeros(network.size), batch_size=10, dropout=rates, input_noise=0.1)
    assert problem.places == 12
    plain = problem.draw(4, 7, 20)
    room = {name: np.full((30, 12, *part.shape[2:]), 7).astype(part.dtype) for name, part in plain.items()}
    problem.draw(4, 7, 20, room)
    for name, part in plain.items():
        assert part.shape[:2] == (20, 10)
        np.testing.assert_array_equal(room[name][:20, :10], part, err_msg=name)
        assert (room[name][20:] == np.asarray(7, part.dtype)).all(), name  # nothing is written beyond the steps
    assert (room["share"][:20, 10:] == 0).all()
    assert room["kept"][:20, 10:].all()


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_the_slope_is_the_objective_s_gradient_and_its_length(normalization):
    network = Network((2, 4, 3, 2), normalization=normalization)
    x, target = RNG.standard_normal((10, 2)), np.eye(2)[RNG.integers(0, 2, 10)]
    theta = 0.5 * RNG.standard_normal(network.size)
    problem = from_network(network, x, target, theta, dropout=(0.5, 0.2), l1=0.01, l2=0.1, label_smoothing=0.1)
    draw = {name: part[0] for name, part in problem.draw(0, 0, 1).items()}
    value, grad, norm = jax.jit(problem.slope)(theta, draw, problem.values)
    theirs, slope = jax.jit(jax.value_and_grad(problem.objective))(theta, draw, problem.values)
    assert value == pytest.approx(float(theirs), rel=1e-14)
    np.testing.assert_allclose(grad, slope, rtol=0, atol=1e-14)
    assert norm == pytest.approx(np.linalg.norm(slope), rel=1e-14)


def test_input_noise_is_normal_new_each_epoch_and_cuts_nothing():
    network = Network((4, 3, 1), loss="squared_error", classes=False)
    x, target = RNG.standard_normal((50, 4)), np.zeros((50, 1))

    def draw(noise, first, count):
        problem = from_network(network, x, target, np.zeros(network.size), batch_size=8, input_noise=noise)
        return problem.draw(0, first, count)["x"]

    noise = (draw(0.5, 0, 700) - draw(0.0, 0, 700)) / 0.5
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert not np.array_equal(noise[:7], noise[7:14])
    np.testing.assert_array_equal(draw(0.5, 100, 5), draw(0.5, 0, 700)[100:105])


def test_penalties_hold_back_weights_only():
    network = Network((3, 5, 4), normalization="layer")
    ones = network.unravel(np.ones(network.size))
    assert penalty(ones, 1.0, 0.0) == 3 * 5 + 5 * 4
    assert penalty(ones, 0.0, 1.0) == 0.5 * (3 * 5 + 5 * 4)
    assert network.each(0.0, 2.0, 0.0, 3.0).sum() == 2 * (5 + 4) + 3 * 5
    assert isinstance(ones[0], Layer)
