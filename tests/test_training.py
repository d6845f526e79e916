"""Training against PyTorch, against itself cut in pieces, and against theory."""

import gc
import weakref
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optviz
from optviz.datasets import DATASETS, Table
from optviz.descent import begin_together, descend, descend_together, rule
from optviz.experiment import Pick, Racer
from optviz.export.network import refused
from optviz.networks import Network, forward, training_factors
from optviz.optimizers import OPTIMIZERS
from optviz.problems import from_network
from optviz.training import (
    BINS,
    MOMENTS,
    SNAPSHOTS,
    Configuration,
    Net,
    Own,
    Training,
    _counts,
    advance,
    begin,
    noise_scale,
    predict,
    signal,
    targets,
    train,
)

SGD, ADAM = Racer(Pick("sgd", {"lr": 0.1, "momentum": 0.9})), Racer(Pick("adam", {"lr": 0.01}))
NET = Net((6, 5), "tanh", "xavier_normal", dropout=0.2)
SMALL = Training(
    Pick("moons", {"samples": 100}),
    (Configuration(NET, SGD), Configuration(NET, ADAM)),
    batch_size=13,
    epochs=8,
    seeds=2,
)


@pytest.fixture(scope="module")
def whole():
    """The small training in one piece."""
    return advance(SMALL, begin(SMALL), SMALL.steps)


# The same run as PyTorch's -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["sgd", "adam"])
def test_a_run_on_digits_is_torch_s(key, torch):
    """Two hidden layers, 200 steps, the same batches and first weights."""
    training = Training(
        Pick("digits"),
        (Configuration(Net((32, 16)), Racer(Pick(key, {"lr": 0.05, "momentum": 0.9} if key == "sgd" else {}))),),
        epochs=20,
    )
    problem, network, train = training.problem(0), training.networks[0], training.parts.train
    layers = network.unravel(problem.theta0)
    theirs = torch.nn.Sequential(
        *[
            part
            for layer in layers
            for part in (torch.nn.Linear(*layer.weight.shape, dtype=torch.float64), torch.nn.ReLU())
        ][:-1]
    )
    linears = [part for part in theirs if isinstance(part, torch.nn.Linear)]
    for layer, linear in zip(layers, linears, strict=True):
        linear.weight.data, linear.bias.data = torch.tensor(layer.weight.T), torch.tensor(layer.bias)
    optimizer = (
        torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
        if key == "sgd"
        else torch.optim.Adam(theirs.parameters(), lr=1e-3)
    )
    draws, losses = problem.draw(training.seed, 0, 200), []
    for x, share, target in zip(draws["x"], draws["share"], draws["target"], strict=True):
        real = share == 1
        optimizer.zero_grad()
        labels = torch.tensor(target[real].argmax(axis=1))
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x[real])), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    run = advance(training, begin(training), 200)
    found = network.unravel(run.states[0].theta[0])
    for layer, linear in zip(found, linears, strict=True):
        np.testing.assert_allclose(layer.weight, linear.weight.detach().numpy().T, atol=1e-8)
        np.testing.assert_allclose(layer.bias, linear.bias.detach().numpy(), atol=1e-8)
    np.testing.assert_allclose(run.histories[0].loss[0], losses, atol=1e-8)
    out = theirs(torch.tensor(train.x)).detach()
    right = float((out.argmax(dim=1).numpy() == train.y).mean())
    assert advance(training, run, training.steps - 200).histories[0].train_accuracy[0, -1] > 0.99
    measured = run.histories[0]
    at = np.flatnonzero(measured.moments == 200)
    assert measured.train_accuracy[0, at] == pytest.approx(right, abs=1e-12)


# Pieces (C1) ---------------------------------------------------------------------------------------------------------


def same(one, other):
    assert one.step == other.step
    for a, b in zip(one.states, other.states, strict=True):
        np.testing.assert_array_equal(a.theta, b.theta)
        assert a.t == b.t
    for a, b in zip(one.histories, other.histories, strict=True):
        for name in vars(a):
            if name not in ("layers", "failure", "distance", "room"):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        for name, x, y in zip(a.layers._fields, a.layers, b.layers, strict=True):
            np.testing.assert_array_equal(x, y, err_msg=name)
        assert (a.failure, a.distance) == (b.failure, b.distance)


@settings(max_examples=6)
@given(st.lists(st.integers(1, 30), max_size=4))
def test_a_run_in_pieces_is_the_run_in_one(whole, pieces):
    progress = begin(SMALL)
    for steps in [*pieces, SMALL.steps]:
        progress = advance(SMALL, progress, min(steps, SMALL.steps - progress.step))
    same(progress, whole)
    assert progress.done
    assert progress.epoch == SMALL.epochs


def test_a_slider_moved_on_the_way_keeps_weights_and_slots(whole):
    """Moved back before a step is taken, it leaves no trace; moved for a while, it acts from there on."""
    half = advance(SMALL, begin(SMALL), 20)
    net = replace(NET, dropout=0.5, l2=0.1, clip=0.01, input_noise=0.3, label_smoothing=0.1, bias_lr=2.0)
    other = replace(SMALL, configurations=(Configuration(net, SGD.but(lr=0.3)), Configuration(net, ADAM)))
    assert other.resets(SMALL) == ()
    idle = advance(other, half, 0)
    np.testing.assert_array_equal(idle.states[0].theta, half.states[0].theta)
    np.testing.assert_array_equal(idle.states[1].slots["m"], half.states[1].slots["m"])
    same(advance(SMALL, idle, SMALL.steps - 20), whole)
    moved = advance(other, half, SMALL.steps - 20)
    np.testing.assert_array_equal(moved.histories[0].loss[:, :20], whole.histories[0].loss[:, :20])
    assert not np.allclose(moved.histories[0].loss[:, 20:], whole.histories[0].loss[:, 20:])
    assert moved.histories[0].lr[19:21].tolist() == [0.1, 0.3]
    assert moved.histories[0].clipped[20:].any()
    assert not whole.histories[0].clipped.any()


def test_another_optimizer_keeps_the_weights_and_the_slots_that_fit():
    half = advance(SMALL, begin(SMALL), 20)
    adamw = Racer(Pick("adamw"), {"lr": Pick("cosine")})
    other = replace(SMALL, configurations=(Configuration(NET, ADAM), Configuration(NET, adamw)))
    idle = advance(other, half, 0)
    assert not idle.states[0].slots["m"].any()
    np.testing.assert_array_equal(idle.states[1].slots["v"], half.states[1].slots["v"])
    np.testing.assert_array_equal(idle.states[0].theta, half.states[0].theta)


def test_what_resets_is_said_and_refused():
    half = begin(SMALL)
    first = SMALL.configurations[0]
    for change, names in (
        ({"seed": 1}, ("seed",)),
        ({"seeds": 3}, ("seeds",)),
        ({"batch_size": 0}, ("batch_size",)),
        ({"dataset": Pick("circles")}, ("dataset",)),
        ({"configurations": (first,)}, ("configurations",)),
        ({"configurations": (first, replace(first, net=replace(NET, hidden=(6, 6))))}, ("hidden",)),
        ({"configurations": (first, replace(first, net=replace(NET, init="he_normal")))}, ("init",)),
    ):
        other = replace(SMALL, **change)
        assert other.resets(SMALL) == names
        with pytest.raises(ValueError, match="begin anew"):
            advance(other, half, 1)
    assert replace(SMALL, epochs=99).resets(SMALL) == ()


def test_no_slider_compiles(whole, compilations):
    before = compilations()
    net = replace(
        NET, dropout=(0.1, 0.7), dropout_form="classic", input_noise=0.1, l1=0.1, l2=0.1, label_smoothing=0.1,
        clip=1, bias_lr=3, delta=2, init_scale=2,
    )  # fmt: skip
    racers = SGD.but(lr=1, momentum=0, nesterov=True), ADAM.but(beta1=0, eps=1)
    for change in (
        {"configurations": tuple(Configuration(net, racer) for racer in racers)},
        {"seed": 5},
        {"epochs": 3},
        {"standardize": False},
        {"dataset": Pick("moons", {"samples": 100, "noise": 0.3})},
        {"dataset": Pick("circles", {"samples": 100})},
    ):
        other = replace(SMALL, **change)
        advance(other, begin(other), 7)
    assert compilations() == before


# Side by side --------------------------------------------------------------------------------------------------------


def test_seeds_together_are_the_seeds_alone(whole):
    for row, seed in enumerate((0, 1)):
        theta = SMALL.networks[0].start(NET.init, seed, NET.init_scale)
        problem = SMALL.problem(0)
        state = begin_together(problem, SGD.rule, theta[None])
        alone = descend_together(problem, SGD.rule, SMALL.steps, (seed,), state, horizon=SMALL.steps)
        np.testing.assert_array_equal(alone.state.theta[0], whole.states[0].theta[row])
    assert not np.allclose(whole.states[0].theta[0], whole.states[0].theta[1])


@pytest.mark.parametrize("key", ["sgd", "adam", "lbfgs"])
def test_what_is_off_costs_no_accuracy(key):
    """A narrow network has a plain loop for when dropout and penalties are off: it takes the same steps."""
    net = Net(hidden=(4, 3), activation="tanh", init="xavier_normal")
    training = Training(Pick("moons"), (Configuration(net, Racer(Pick(key))),), batch_size=10, epochs=20)
    problem, rule = training.problem(0), training.configurations[0].racer.rule
    whole = replace(problem, key=(problem.key, "whole"), plain=None)
    ours, theirs = (
        descend_together(one, rule, 30, [3], begin_together(one, rule, one.theta0[None]), horizon=30)
        for one in (problem, whole)
    )
    for mine, other in zip(ours, theirs, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-11), mine, other)


def test_the_plain_loop_runs_only_when_all_is_off():
    def met(**values):
        net = Net(hidden=(4, 3), **values)
        training = Training(Pick("moons"), (Configuration(net, Racer(Pick("sgd"))),))
        problem = training.problem(0)
        assert problem.plain is not None
        return bool(problem.plain[0](problem.values))

    assert met()
    assert met(input_noise=0.1, label_smoothing=0.1, clip=0.1, bias_lr=2.0)  # both loops know these
    assert not any(met(**{name: 0.1}) for name in ("dropout", "l1", "l2"))
    assert not met(dropout=(0.0, 0.5))


def test_a_progress_stays_as_it_is_whoever_goes_on_from_it():
    """What is recorded of each step goes on in the same memory, and two who go on from one moment do not meet in it."""
    start = advance(SMALL, begin(SMALL), 10)
    before = [start.histories[0].loss.copy(), start.histories[0].norm.copy()]
    quick = replace(SMALL, configurations=(Configuration(NET, SGD.but(lr=0.5)), Configuration(NET, ADAM)))
    one = advance(SMALL, start, 10)
    kept = one.histories[0].loss.copy()
    other = advance(quick, start, 20)
    np.testing.assert_array_equal(start.histories[0].loss, before[0])
    np.testing.assert_array_equal(start.histories[0].norm, before[1])
    np.testing.assert_array_equal(one.histories[0].loss, kept)
    np.testing.assert_array_equal(other.histories[0].loss[:, :10], before[0])
    assert not np.array_equal(other.histories[0].loss[:, 11:20], kept[:, 11:])
    beyond = advance(SMALL, one, SMALL.steps)  # further than planned
    np.testing.assert_array_equal(beyond.histories[0].loss[:, :20], kept)
    assert beyond.histories[0].loss.shape[-1] == 20 + SMALL.steps


def test_histograms_count_as_numpy_s():
    edges = BINS["weight"]
    values = np.concatenate([2 * np.random.default_rng(0).standard_normal(2000), edges, [np.inf, -np.inf, np.nan]])
    known = values[~np.isnan(values)]
    ours = _counts(values, edges)
    np.testing.assert_array_equal(ours, np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0])


def test_the_loop_of_networks_is_the_loop_of_surfaces(whole):
    """The same problem under `descend`, which records everything."""
    run = descend(SMALL.problem(1), ADAM.rule, 30, horizon=SMALL.steps)
    np.testing.assert_allclose(run.theta[30], advance(SMALL, begin(SMALL), 30).states[1].theta[0], atol=1e-12)
    assert run.loss[0] == pytest.approx(whole.histories[1].train_loss[0, 0], abs=1e-12)


# Schedules that watch the validation loss -----------------------------------------------------------------------------

PLATEAU = Pick("plateau", {"factor": 0.5, "patience": 0, "threshold": 0.05, "cooldown": 1, "least": 0.1, "warmup": 9})
DRIVER = Pick("bold_driver", {"factor": 0.4, "growth": 1.3})
WATCHED = Training(
    Pick("moons", {"samples": 100}),
    (
        Configuration(
            replace(NET, normalization="batch", dropout_form="classic", label_smoothing=0.2, l2=0.1),
            replace(SGD, schedules={"lr": DRIVER}),
        ),
        Configuration(NET, replace(SGD.but(lr=0.8), schedules={"lr": PLATEAU, "momentum": DRIVER})),
    ),
    batch_size=13,
    epochs=12,
    seeds=2,
)
REGRESSION = replace(
    WATCHED,
    dataset=Pick("wave", {"samples": 60}),
    configurations=(Configuration(Net((4,), "tanh", loss="huber", delta=0.3), WATCHED.configurations[0].racer),),
    seeds=1,
)


@pytest.fixture(scope="module")
def watched():
    """The watched training in one piece."""
    return advance(WATCHED, begin(WATCHED), WATCHED.steps)


@pytest.mark.parametrize("training", [WATCHED, REGRESSION, replace(WATCHED, validation=0.0)])
def test_a_schedule_watches_the_validation_loss_at_the_start_of_each_epoch(training):
    """Bold driver's `last` is what it saw. Without a validation part it is the training loss."""
    assert training.steps <= 100  # so that every step is a measured moment
    progress, seen = begin(training), []
    for _ in range(training.steps):
        progress = advance(training, progress, 1)
        seen.append(progress.states[0].memory["lr"]["last"])
    history = progress.histories[0]
    measured = history.validation_loss if len(training.parts.validation.y) else history.train_loss
    epoch_starts = np.arange(training.steps) // training.steps_an_epoch * training.steps_an_epoch
    np.testing.assert_allclose(np.transpose(seen), measured[:, epoch_starts], rtol=1e-11)
    assert len(np.unique(seen)) == training.epochs * training.seeds


def test_a_plateau_on_a_network_is_cut_by_the_recorded_validation_loss(watched):
    """Plain Python, from what the history measured: two epochs pass in the warm-up, and it looks from the third on."""
    rates, every = watched.histories[1].lr, WATCHED.steps_an_epoch
    share, best, waited, cooling, cuts = 1.0, np.inf, 0, 0, 0
    for t in range(9, WATCHED.steps):
        if t % every == 0:
            loss = watched.histories[1].validation_loss[0, t]
            better = loss < best - 0.05 * abs(best) if best < np.inf else True
            best, waited = (loss, 0) if better else (best, waited + 1)
            if cooling:
                cooling, waited = cooling - 1, 0
            if waited > 0:
                share, cooling, waited, cuts = max(0.5 * share, 0.1), 1, 0, cuts + 1
        assert rates[t] == pytest.approx(0.8 * share, rel=1e-12), t
    assert 2 <= cuts < WATCHED.epochs


@pytest.mark.parametrize("pieces", [(1, 23, 5), (40, 1, 1, 30), (5, 5, 5, 5)])
def test_a_watched_run_in_pieces_is_the_run_in_one(watched, pieces):
    progress = begin(WATCHED)
    for steps in [*pieces, WATCHED.steps]:
        progress = advance(WATCHED, progress, min(steps, WATCHED.steps - progress.step))
    same(progress, watched)
    for one, other in zip(progress.states, watched.states, strict=True):
        assert one.memory.keys() == other.memory.keys()
        for name, slots in one.memory.items():
            for slot, value in slots.items():
                np.testing.assert_array_equal(value, other.memory[name][slot])


def test_watching_costs_nothing_where_nobody_watches_and_a_look_an_epoch_elsewhere():
    problem, traced, looks = WATCHED.problem(0), [], []
    look = problem.watch
    assert look

    def watch(theta, values):
        traced.append(theta)
        jax.debug.callback(looks.append, theta[0])
        return look(theta, values)

    counted = replace(problem, key="counted", watch=watch)
    for schedule, expected in ((Pick("cosine"), 0), (DRIVER, WATCHED.epochs)):
        racer = replace(SGD, schedules={"lr": schedule})
        state = begin_together(counted, racer.rule, problem.theta0[None])
        descend_together(counted, racer.rule, WATCHED.steps, (0,), state, horizon=WATCHED.steps)
        jax.effects_barrier()
        assert len(looks) == expected
        assert bool(traced) == bool(expected)


def test_no_slider_of_a_watching_schedule_compiles(watched, compilations):
    before = compilations()
    for changes in ({"factor": 1}, {"patience": 3}, {"threshold": 0.0}, {"cooldown": 0}, {"least": 1.0}, {"warmup": 0}):
        pick = Pick("plateau", dict(PLATEAU.values) | changes)
        racer = replace(WATCHED.configurations[1].racer, schedules={"lr": pick, "momentum": DRIVER})
        other = replace(
            WATCHED, configurations=(WATCHED.configurations[0], replace(WATCHED.configurations[1], racer=racer))
        )
        advance(other, begin(other), 20)
    assert compilations() == before


def test_bias_steps_and_clipping_do_what_they_say():
    x, y = np.random.default_rng(0).standard_normal((20, 3)), np.ones((20, 1))
    network = Network((3, 4, 1), "tanh", loss="squared_error", classes=False)
    theta = network.start("xavier_normal", 0)
    descent = rule(OPTIMIZERS["sgd"], {"lr": 1.0})

    def update(**how):
        problem = from_network(network, x, y, theta, **how)
        state = begin_together(problem, descent, theta[None])
        return descend_together(problem, descent, 1, (0,), state, horizon=1)

    plain, doubled = update(), update(bias_lr=2.0)
    np.testing.assert_allclose(doubled.update[0] / plain.update[0], network.each(1, 2, 1, 2), rtol=1e-12)
    length = np.linalg.norm(plain.update)
    assert plain.norm[0, 0] == pytest.approx(length, rel=1e-12)
    clipped = update(clip=length / 3)
    assert clipped.norm[0, 0] == pytest.approx(length, rel=1e-12)  # the record shows what was cut
    np.testing.assert_allclose(clipped.update, plain.update / 3, rtol=1e-12)
    np.testing.assert_array_equal(update(clip=length * 1.01).update, plain.update)


# What is measured ----------------------------------------------------------------------------------------------------


def test_the_history_has_the_shapes_it_says(whole):
    history, moments = whole.histories[0], len(whole.histories[0].moments)
    assert history.loss.shape == (2, SMALL.steps)
    assert history.lr.shape == history.norm.shape == history.clipped.shape == (SMALL.steps,)
    assert history.moments[0] == 0
    assert history.moments[-1] == SMALL.steps
    for part in ("train", "validation", "test"):
        assert getattr(history, f"{part}_loss").shape == (2, moments)
        assert getattr(history, f"{part}_accuracy").shape == (2, moments)
    for name, part in history.layers._asdict().items():
        assert part.shape[:2] == (moments, 3), name
    assert history.layers.activations.sum(axis=2).tolist() == [[60 * 6, 60 * 5, 60 * 2]] * moments
    assert history.snapshots.shape == (moments, SMALL.networks[0].size)
    np.testing.assert_array_equal(history.snapshots[-1], whole.states[0].theta[0])
    assert np.isnan(history.layers.update[0]).all()
    assert (history.layers.update[1:] > 0).all()
    assert history.failure is None


def test_measured_losses_are_those_of_the_network(whole):
    parts, theta = SMALL.parts, whole.states[1].theta[0]
    for part, name in zip(parts, ("train", "validation", "test"), strict=True):
        out = predict(SMALL, 1, theta, part.x)
        logs = out - np.log(np.exp(out).sum(axis=1, keepdims=True))
        loss, accuracy = -(logs * targets(part)).sum(axis=1).mean(), (out.argmax(axis=1) == part.y).mean()
        assert getattr(whole.histories[1], f"{name}_loss")[0, -1] == pytest.approx(loss, abs=1e-12)
        assert getattr(whole.histories[1], f"{name}_accuracy")[0, -1] == accuracy
    assert whole.histories[1].test_accuracy[0, -1] > 0.8


def test_moments_thin_out_and_stay_bounded():
    net = Net((), loss="squared_error")
    training = Training(Pick("wave", {"samples": 20}), (Configuration(net, SGD),), batch_size=0, epochs=30)
    progress = begin(training)
    for _ in range(11):  # far beyond the planned epochs
        progress = advance(training, progress, 100)
    history = progress.histories[0]
    assert len(history.moments) <= MOMENTS
    assert history.distance == 8
    regular = history.moments[history.moments != training.steps]
    assert (np.diff(regular) == 8).all()
    assert len(history.snapshots) * history.snapshots.shape[1] <= SNAPSHOTS
    same(advance(training, begin(training), 1100), progress)


def test_a_run_that_fails_says_where_and_keeps_what_came_before():
    wild = Training(Pick("moons"), (Configuration(Net((8, 8)), Racer(Pick("sgd", {"lr": 1e90}))),), epochs=3)
    run = advance(wild, begin(wild), wild.steps)
    history = run.histories[0]
    assert history.failure is not None
    assert np.isfinite(history.loss[0, : history.failure.step - 1]).all()
    assert not np.isfinite([history.loss[0, history.failure.step - 1], history.norm[history.failure.step - 1]]).all()
    assert history.failure == advance(wild, advance(wild, begin(wild), 1), wild.steps - 1).histories[0].failure

    problem, network = wild.problem(0), wild.networks[0]
    before = advance(wild, begin(wild), history.failure.step - 1).states[0].theta[0]
    draw = {name: part[0] for name, part in problem.draw(0, history.failure.step - 1, 1).items()}
    factors = training_factors(network, draw["kept"], np.zeros(2), True)
    with np.errstate(all="ignore"):
        _, passes = forward(network, network.unravel(before), draw["x"], factors=factors, share=draw["share"])
    finite = [bool(np.isfinite(one.a).all()) for one in passes]
    if history.failure.way == "forward":
        assert finite.index(False) == history.failure.layer - 1
    else:
        assert all(finite)


def test_dead_and_saturated_units_are_counted():
    table = Table(np.random.default_rng(0).standard_normal((80, 2)), np.arange(80) % 2, ("a", "b"), ("no", "yes"))
    zeros = Training(Own(table), (Configuration(Net((7,), init="zeros"), SGD),), epochs=1)
    layers = begin(zeros).histories[0].layers
    assert layers.dead[0].tolist() == [7, 0]
    assert layers.saturated[0].tolist() == [1.0, 0.0]
    large = replace(zeros, configurations=(Configuration(Net((200,), "tanh", "normal", init_scale=100.0), SGD),))
    assert begin(large).histories[0].layers.saturated[0, 0] > 0.95
    small = replace(zeros, configurations=(Configuration(Net((200,), "tanh", "normal", init_scale=0.01), SGD),))
    assert begin(small).histories[0].layers.saturated[0, 0] == 0


def test_the_noise_scale_is_unbiased():
    """Its two parts, over many draws of gradients whose covariance and mean are known."""
    rng, mean, deviation, size, b = (
        np.random.default_rng(0),
        np.array([1.0, -2.0, 0.5]),
        np.array([3.0, 1.0, 2.0]),
        4,
        8,
    )
    found = []
    for _ in range(4000):
        gradients = mean + deviation * rng.standard_normal((b, size, 3))
        found.append(noise_scale(gradients.mean(axis=1), size)[1:])
    error = 5 * np.std(found, axis=0) / np.sqrt(len(found))
    assert (abs(np.mean(found, axis=0) - [(deviation**2).sum(), (mean**2).sum()]) < error).all()
    assert noise_scale(np.array([[1.0], [-1.0]]), 1)[0] == np.inf


# At the start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "init", "scale"),
    [
        ("identity", "xavier_normal", None),
        ("identity", "orthogonal", None),
        ("relu", "he_normal", None),
        ("relu", "he_uniform", None),
        ("leaky_relu", "he_normal", None),
        ("tanh", "xavier_normal", 5 / 3),
        ("tanh", "xavier_uniform", 1.0),
        ("tanh", "lecun_normal", 0.5),
        ("sigmoid", "xavier_normal", None),
        ("gelu", "he_normal", None),
        ("silu", "lecun_normal", 1.5),
    ],
)
def test_signals_have_the_theory_s_variance(activation, init, scale):
    """Through 10 layers, over 12 seeds. The theory is of infinite width: at width w a layer's variance strays by a
    relative √(c/w), independently of the other layers, with c = E[f⁴]/E[f²]² at most 6 here, so that after l layers
    the mean over seeds strays by √(6·l/(w·12)); five times that is allowed, and as much again for terms of order l/w.
    """
    seeds, width, depth = 12, 256, 10
    runs = [
        signal(activation=activation, init=init, init_scale=scale, depth=depth, width=width, seed=s)
        for s in range(seeds)
    ]
    layer = np.arange(1, depth + 1)
    bound = 5 * np.sqrt(6 * layer / (width * seeds)) + 6 * layer / width
    forward = np.mean([run.pre_deviation**2 + run.pre_mean**2 for run in runs], axis=0) / runs[0].pre_variance
    assert (np.abs(forward - 1) < bound).all(), forward
    moments = np.mean([run.deviation**2 + run.mean**2 for run in runs], axis=0) / runs[0].second_moment
    assert (np.abs(moments - 1) < bound).all(), moments
    backward = np.mean([run.gradient_deviation**2 for run in runs], axis=0) / runs[0].gradient_variance
    assert (np.abs(backward - 1) < bound[::-1] + 6 * layer[-1] / width).all(), backward


def test_signals_of_small_and_large_weights():
    """C3: small ones die out, large ones saturate; He's keep the second moment under ReLU."""
    small = signal(activation="tanh", init="normal", init_scale=0.01)
    assert small.deviation[-1] < 1e-6
    large = signal(activation="tanh", init="normal", init_scale=1.0)
    assert large.activations[:, [15, 24]].shape == (10, 2)
    assert np.mean(large.second_moment) > 0.8
    he = signal(activation="relu", init="he_normal")
    np.testing.assert_allclose(he.pre_variance, he.pre_variance[0], rtol=1e-12)
    assert small.gradients.sum() == he.activations.sum() == 10 * 256 * 256
    assert len(BINS["activation"]) == he.activations.shape[1] + 1


def test_signal_refuses_what_is_too_large():
    wrongs: list[dict[str, Any]] = [
        {"depth": 51}, {"width": 257}, {"x": np.zeros((10**6, 200))}, {"x": np.zeros(3)},
    ]  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(ValueError, match="must be"):
            signal(**wrong)


# The value -----------------------------------------------------------------------------------------------------------


def test_a_training_is_a_value():
    noise = DATASETS["moons"].defaults["noise"]
    given: dict[str, Any] = {"configurations": list(SMALL.configurations), "batch_size": 13.0, "epochs": 8, "seeds": 2}
    again = Training(Pick("moons", {"samples": 100, "noise": noise}), **given)
    assert again == SMALL
    assert hash(again) == hash(SMALL)
    table = DATASETS["iris"].table()
    assert Own(table) == Own(table._replace(x=table.x.copy()))
    assert Own(table) != Own(table._replace(x=table.x + 1))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"seeds": 33}, "seeds must be"),
        ({"batch_size": -1}, "batch_size must be"),
        ({"configurations": ()}, "1 to 6 configurations"),
        ({"configurations": (Configuration(NET, SGD),) * 7}, "1 to 6 configurations"),
        ({"dataset": Pick("wave")}, "cross-entropy needs classes"),
        ({"dataset": Pick("moon")}, "did you mean moons"),
        ({"epochs": 100_000, "batch_size": 1}, "too large|too long"),
        ({"copies": 2}, "picture"),
        ({"configurations": (Configuration(Net((256,) * 6), SGD),) * 4, "seeds": 32}, "too large together"),
        ({"configurations": (Configuration(Net((64, 64)), Racer(Pick("newton"))),)}, "Newton's method"),
        ({"batch_size": 1, "configurations": (Configuration(Net((4,), normalization="batch"), SGD),)}, "at least 2"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_a_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dropout": 1.0}, "dropout must be"),
        ({"dropout": (0.1, 0.2, 0.3)}, "one for each of the 2 hidden layers"),
        ({"l1": -1}, "l1 must be"),
        ({"activation": "relux"}, "did you mean relu"),
        ({"init_scale": float("nan")}, "init_scale must be"),
        ({"normalization": "group"}, "normalization must be"),
        ({"hidden": (1000,)}, "0 to 6 hidden layers"),
    ],
)
def test_what_is_no_network_is_refused_with_a_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(NET, **change)


def test_augmented_pictures_are_in_the_training_part_only():
    plain = Training(Pick("digits"), (Configuration(Net(()), SGD),), epochs=1)
    more = replace(plain, copies=1)
    assert len(more.parts.train.y) == 2 * len(plain.parts.train.y)
    assert len(more.parts.test.y) == len(plain.parts.test.y)


# From Python ---------------------------------------------------------------------------------------------------------


def test_train_in_one_line():
    run = optviz.train(
        "digits", "sgd", hidden=(64, 32), activation="relu", init="he_normal", dropout=0.2, batch_size=32, epochs=10,
        lr=0.05, seed=0,
    )  # fmt: skip
    assert run.measures["test_accuracy"][-1] > 0.9
    assert run.measures["train_loss"][-1] < 0.2 < run.measures["train_loss"][0]
    assert run.steps == len(run.loss) == 340
    assert run.measures["epoch"][-1] == 10
    assert len(run.theta) == len(run.measures["snapshot_step"])
    np.testing.assert_array_equal(run.theta[-1], run.state.theta)
    assert np.isfinite(run.loss).all()


def test_train_on_a_regression_and_on_a_table():
    run = train("wave", "adam", hidden=(16,), activation="tanh", epochs=60, lr=0.02, schedules={"lr": "cosine"})
    assert run.measures["test_loss"][-1] < 0.5 < run.measures["test_loss"][0]  # 1 is that of always saying the mean
    assert np.isnan(run.measures["train_accuracy"]).all()
    assert run.lr[-1] < 1e-4 < run.lr[0]
    own = train(DATASETS["iris"].table(), "adam", hidden=(8,), epochs=40, lr=0.02, normalization="batch", l2=1e-3)
    assert own.measures["test_accuracy"][-1] > 0.85


def test_train_refuses_unknown_words():
    wrongs: tuple[tuple[dict[str, Any], str], ...] = (
        ({"dataset": "digit"}, "did you mean digits"),
        ({"optimizer": "adan"}, "did you mean"),
        ({"rate": 0.1}, "no parameter 'rate'"),
        ({"schedules": {"lr": "cosin"}}, "did you mean cosine"),
    )
    usual: dict[str, Any] = {"dataset": "moons", "optimizer": "sgd"}
    for wrong, sentence in wrongs:
        with pytest.raises(ValueError, match=sentence):
            train(**(usual | wrong))


def test_a_visitors_table_goes_when_they_go():
    table = DATASETS["moons"].table(seed=0)
    training = Training(Own(table, "mine.csv"), (Configuration(Net((4,)), Racer(Pick("sgd"))),), epochs=1)
    assert len(begin(training).histories) == 1
    assert training.parts is training.parts  # split once
    assert refused(training) == ""  # packed for a script
    gone = weakref.ref(training.dataset)
    del training
    gc.collect()
    assert gone() is None
