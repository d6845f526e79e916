"""The claims on networks: true on their presets by an independent computation, and false where they are false.

One test id per claim, C1 … A16. `CHECKS` computes each claim's numbers a second time, in plain NumPy, and knows nothing
of how the claim measures. `FALSE` breaks each claim and expects a sentence that says so. Runs are shared.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from optviz.network_claims import NETWORK_CLAIMS, NetworkClaim
from optviz.networks import backward, forward
from optviz.spec import number
from optviz.training import Progress, Training, advance, begin, targets
from optviz.training_link import from_query, to_query
from optviz.ui.training import MOONS
from optviz.verdict import Measured


@cache
def trained(training: Training) -> Progress:
    """The run of a training to its end, or its start where a claim is about that."""
    if training.configurations[0].net.hidden == preset("C3").configurations[0].net.hidden:
        return begin(training)
    return advance(training, begin(training), training.steps)


def preset(key: str) -> Training:
    return NETWORK_CLAIMS[key].training


@cache
def measured(key: str, training: Training | None = None) -> Measured:
    training = training or preset(key)
    found = NETWORK_CLAIMS[key].measure(training, trained(training))
    assert found is not None
    return found


@pytest.fixture(scope="module", params=NETWORK_CLAIMS.values(), ids=list(NETWORK_CLAIMS))
def claim(request) -> NetworkClaim:
    """Every claim. For the whole module, so that all tests of a claim follow one another and share its programs."""
    return request.param


def broken(key: str, nets: dict[int, Any] | None = None, racers: dict[int, Any] | None = None, **more) -> Training:
    """The claim's training with some networks, optimizers and settings changed."""
    training, configurations = preset(key), list(preset(key).configurations)
    for index, changes in (nets or {}).items():
        one = configurations[index]
        configurations[index] = replace(one, net=replace(one.net, **changes))
    for index, changes in (racers or {}).items():
        one = configurations[index]
        configurations[index] = replace(one, racer=one.racer.but(**changes))
    return replace(training, configurations=tuple(configurations), **more)


# Plain networks, written from the textbook ---------------------------------------------------------------------------

PHI = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z))}


def pieces(training: Training, index: int, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """θ cut into (weight, bias) of each layer."""
    table, hidden = training.parts.train, training.configurations[index].net.hidden
    widths, cut, at = [table.x.shape[1], *hidden, len(table.classes)], [], 0
    for i, o in pairwise(widths):
        cut.append((theta[at : at + i * o].reshape(i, o), theta[at + i * o : at + i * o + o]))
        at += i * o + o
    assert at == len(theta)
    return cut


def answers(training: Training, index: int, theta: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
    """The sums of every layer; the last are the outputs."""
    phi, sums = PHI[training.configurations[index].net.activation], []
    for weight, bias in pieces(training, index, theta):
        sums.append(x @ weight + bias)
        x = phi(sums[-1])
    return sums


def entropy(output: np.ndarray, y: np.ndarray) -> float:
    top = output.max(axis=1, keepdims=True)
    return float((np.log(np.exp(output - top).sum(axis=1)) + top[:, 0] - output[np.arange(len(y)), y]).mean())


def right(output: np.ndarray, y: np.ndarray) -> float:
    return float((output.argmax(axis=1) == y).mean())


def close(value: Any, rel: float = 1e-9) -> Any:
    return pytest.approx(value, rel=rel, abs=1e-12)


# Each claim a second time --------------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[dict[str, float]], None]] = {}


def check(function: Callable) -> Callable:
    CHECKS[function.__name__.upper()] = function
    return function


@check
def c1(numbers):
    training, whole = preset("C1"), trained(preset("C1"))
    pieced = begin(training)
    for steps in (1, 7, 92, training.steps - 100):
        pieced = advance(training, pieced, steps)
    for index in (0, 1):
        assert np.array_equal(pieced.states[index].theta, whole.states[index].theta)
        assert np.array_equal(pieced.histories[index].loss, whole.histories[index].loss)
    assert numbers["steps"] == training.steps
    assert numbers["changes"] == 0
    slower = broken("C1", racers={0: {"lr": 0.02}})
    changed = advance(slower, advance(training, begin(training), 100), training.steps - 100)
    before, after = whole.histories[0].loss[0], changed.histories[0].loss[0]
    assert np.array_equal(before[:101], after[:101])  # the step after the change starts where the one before it ended
    assert not np.array_equal(before[101:], after[101:])
    found = NETWORK_CLAIMS["C1"].measure(slower, changed)
    assert found is not None
    assert found.holds
    assert found.numbers["changes"] == 1


@check
def c2(numbers):
    """The largest derivative by central differences of a loss written out here."""
    training, progress = preset("C2"), trained(preset("C2"))
    theta, draw = progress.states[0].theta[0], training.problem(0).draw(training.seed, progress.step, 1)
    rows = draw["share"][0] > 0
    x, y = draw["x"][0][rows], draw["target"][0][rows].argmax(axis=1)

    def loss(at: np.ndarray) -> float:
        return entropy(answers(training, 0, at, x)[-1], y)

    h = 1e-6 * np.eye(len(theta))
    slopes = [(loss(theta + step) - loss(theta - step)) / 2e-6 for step in h]
    assert numbers["weights"] == len(theta) == 2 * 4 + 4 + 4 * 4 + 4 + 4 * 2 + 2
    assert numbers["size"] == close(np.abs(slopes).max(), 1e-6)
    assert 0 < numbers["apart"] < 1e-14


@check
def c3(numbers):
    """Other random networks than the claim's."""
    rng = np.random.default_rng(99)

    def through(phi: Callable, deviation: float) -> tuple[np.ndarray, np.ndarray]:
        pre, post = np.zeros(10), np.zeros(10)
        for _ in range(4):
            a = rng.standard_normal((64, 256))
            for layer in range(10):
                z = a @ (deviation * rng.standard_normal((256, 256)))
                a = phi(z)
                pre[layer] += np.mean(z**2) / 4
                post[layer] += np.mean(a**2) / 4
        return pre, post

    assert numbers["small_end"] == close(math.sqrt(through(np.tanh, 0.01)[1][-1]), 0.2)
    assert numbers["large_end"] == close(math.sqrt(through(np.tanh, 1.0)[1][-1]), 0.05)
    assert numbers["xavier_end"] == close(math.sqrt(through(np.tanh, 1 / 16)[1][-1]), 0.15)
    assert numbers["gain_end"] == close(math.sqrt(through(np.tanh, 5 / 3 / 16)[1][-1]), 0.15)
    he, halved = (through(PHI["relu"], math.sqrt(gain / 256))[0] for gain in (2, 1))
    assert numbers["he_kept"] == close(he[-1] / he[0], 0.6)  # the spread of four networks
    assert numbers["halved_kept"] == close(halved[-1] / halved[0], 0.6)
    assert numbers["halved_theory"] == 2.0**-9


@check
def c4(numbers):
    training, progress = preset("C4"), trained(preset("C4"))
    table = training.parts.train
    thetas = [state.theta[0] for state in progress.states]
    sums = [answers(training, index, theta, table.x) for index, theta in enumerate(thetas)]
    assert numbers["dead"] == sum(int((z <= 0).all(axis=0).sum()) for z in sums[0][:-1]) > 0
    assert numbers["relu"] == close(right(sums[0][-1], table.y))
    assert numbers["sigmoid"] == close(right(sums[2][-1], table.y))
    tanh = np.concatenate([z.ravel() for z in sums[1][:-1]])
    assert numbers["tanh_saturated"] == close(np.mean(1 - np.tanh(tanh) ** 2 < 0.05))
    sigmoid = np.concatenate([z.ravel() for z in sums[2][:-1]])
    for name, times in (("sigmoid_slope", 1), ("sigmoid_ten", 10)):
        p = PHI["sigmoid"](times * sigmoid)
        assert numbers[name] == close(4 * np.mean(p * (1 - p)))


@check
def c5(numbers):
    """By the same function of raw inputs, with changes drawn anew."""
    training, progress = preset("C5"), trained(preset("C5"))
    raw = replace(training, standardize=False).parts.train
    x, mean, deviation = raw.x, raw.x.mean(axis=0), raw.x.std(axis=0)
    (weight, bias), (top, last) = pieces(training, 0, progress.states[0].theta[0])
    rng = np.random.default_rng(123)

    def loss(inputs, w, b):
        return entropy(np.maximum(inputs @ w + b, 0) @ top + last, raw.y[: len(inputs)])

    def spread(inputs, w, b):
        moved = [
            loss(inputs, w * (1 + 0.01 * rng.standard_normal(w.shape)), b * (1 + 0.01 * rng.standard_normal(b.shape)))
            for _ in range(200)
        ]
        return math.sqrt(np.mean((np.array(moved) - loss(inputs, w, b)) ** 2))

    scaled, w = ((x - mean) / deviation)[:256], weight / deviation[:, None]
    assert numbers["loss"] == close(loss(scaled, weight, bias))
    assert numbers["scaled"] == close(spread(scaled, weight, bias), 0.4)
    assert numbers["raw"] == close(spread(x[:256], w, bias - mean @ w), 0.4)
    ones = np.column_stack([x[:256], np.ones(256)])
    assert numbers["top_raw"] == close(np.linalg.norm(ones, 2) ** 2 / 256, 1e-6)


def falls(training: Training, index: int, seed: int, lr: float) -> bool:
    """Whether 60 steps of plain descent, in NumPy, bring the batch loss below half."""
    network, net = training.networks[index], training.configurations[index].net
    theta, losses = network.start(net.init, seed, net.init_scale), []
    draws = training.problem(index).draw(seed, 0, 60)
    for x, target, share in zip(draws["x"], draws["target"], draws["share"], strict=True):
        layers = network.unravel(theta)
        output, passes = forward(network, layers, x, share=share)
        losses.append(entropy(output[share > 0], target[share > 0].argmax(axis=1)))
        grads, _ = backward(network, layers, passes, target, share=share)
        theta = theta - lr * network.ravel(grads)
    return bool(np.mean(losses[-15:]) < 0.5 * losses[0])


@check
def c6(numbers):
    training = preset("C6")
    with np.errstate(all="ignore"):
        for index, limit in ((0, numbers["limit"]), (1, numbers["limit_batch"])):
            assert all(falls(training, index, seed, limit) for seed in range(3))
            assert not all(falls(training, index, seed, 2 * limit) for seed in range(3))
    theta, network = trained(training).states[1].theta[0], training.networks[1]
    draw = training.problem(1).draw(0, training.steps, 1)
    sums = draw["x"][0][draw["share"][0] > 0] @ network.unravel(theta)[0].weight
    unit = (sums - sums.mean(axis=0)) / sums.std(axis=0)
    _, passes = forward(network, network.unravel(theta), draw["x"][0], share=draw["share"][0])
    assert np.allclose(passes[0].normal[draw["share"][0] > 0], unit, atol=1e-4)


@check
def c7(numbers):
    training, progress = preset("C7"), trained(preset("C7"))
    network, table = training.networks[0], training.parts.train
    x, target, m, batch = table.x, targets(table), len(table.y), training.size

    def gradient(theta, rows):
        layers = network.unravel(theta)
        _, passes = forward(network, layers, x[rows])
        return network.ravel(backward(network, layers, passes, target[rows])[0])

    theta = progress.states[0].theta[0]
    each = np.array([gradient(theta, [row]) for row in range(m)])
    mean = each.mean(axis=0)
    trace = float(((each - mean) ** 2).sum(axis=1).mean())
    assert numbers["noise_one"] == close(math.sqrt(trace) / np.linalg.norm(mean), 1e-6)
    rng = np.random.default_rng(5)
    drawn = [each[rng.permutation(m)[:batch]].mean(axis=0) - mean for _ in range(500)]
    spread = math.sqrt(np.mean(np.sum(np.square(drawn), axis=1))) / np.linalg.norm(mean)
    assert numbers["expected"] == close(spread, 0.1)
    assert numbers["noise"] == close(spread, 0.2)
    theta, steps = network.start("he_normal", 0), 0
    goal = entropy(answers(training, 0, theta, x)[-1], table.y) / 2
    while entropy(answers(training, 0, theta, x)[-1], table.y) > goal:
        theta, steps = theta - 0.1 * gradient(theta, slice(None)), steps + 1
    assert numbers["steps_full"] == steps
    assert numbers["seen_full"] == m * steps


@check
def c8(numbers):
    training, progress = preset("C8"), trained(preset("C8"))
    for index, name in ((0, "validation_end"), (1, "remedied")):
        part = training.parts.validation
        ends = [entropy(answers(training, index, theta, part.x)[-1], part.y) for theta in progress.states[index].theta]
        assert numbers[name] == close(np.median(ends))
    shorter = advance(training, begin(training), int(numbers["stop"]))
    part = training.parts.validation
    there = [entropy(answers(training, 0, theta, part.x)[-1], part.y) for theta in shorter.states[0].theta]
    assert numbers["validation_stop"] == close(np.median(there))
    assert np.median(there) < 0.9 * numbers["validation_end"]


@check
def c10(numbers):
    training, progress = preset("C10"), trained(preset("C10"))
    weights = [
        np.concatenate([w.ravel() for w, _ in pieces(training, i, state.theta[0])])
        for i, state in enumerate(progress.states)
    ]
    assert numbers["sparse_l1"] == close((np.abs(weights[0]) < 0.01).mean())
    assert numbers["norm_l2"] == close(np.linalg.norm(weights[1]))
    # Adam's next step with the penalty in its gradient and without, from its own moments, by its paper.
    state, net = progress.states[2], training.configurations[2].net
    racer: dict[str, Any] = training.configurations[2].racer.values
    network, theta, t = training.networks[2], progress.states[2].theta[0], state.t + 1
    draw = {name: part[0] for name, part in training.problem(2).draw(0, state.t, 1).items()}
    layers = network.unravel(theta)
    _, passes = forward(network, layers, draw["x"], share=draw["share"])
    ends = []
    for l2 in (net.l2, 0.0):
        grad = network.ravel(backward(network, layers, passes, draw["target"], share=draw["share"], l2=l2)[0])
        m = racer["beta1"] * state.slots["m"][0] + (1 - racer["beta1"]) * grad
        v = racer["beta2"] * state.slots["v"][0] + (1 - racer["beta2"]) * grad**2
        m, v = m / (1 - racer["beta1"] ** t), v / (1 - racer["beta2"] ** t)
        ends.append(theta - racer["lr"] * m / (np.sqrt(v) + racer["eps"]))
    pull = (ends[1] - ends[0]) / (racer["lr"] * net.l2 * theta)
    pull = np.concatenate([w.ravel() for w, _ in pieces(training, 2, pull)])[np.abs(weights[2]) > 1e-3]
    assert numbers["coupled_low"] == close(np.quantile(pull, 0.1), 1e-6)
    assert numbers["coupled_high"] == close(np.quantile(pull, 0.9), 1e-6)
    assert numbers["decoupled_low"] == close(1.0, 1e-6)


@check
def c11(numbers):
    training, progress = preset("C11"), trained(preset("C11"))
    part, theta = training.parts.validation, progress.states[1].theta[0]
    (w, b), (top, last) = pieces(training, 1, theta)
    a = np.maximum(part.x @ w + b, 0)
    assert numbers["loss"] == close(entropy(0.5 * a @ top + last, part.y))
    assert numbers["loss_unscaled"] == close(entropy(a @ top + last, part.y))
    masks = np.random.default_rng(3).random((4000, 1, a.shape[1])) < 0.5  # other masks than the run's
    sums = (masks * a[:5]) @ top
    error = sums.std(axis=0) / math.sqrt(len(masks))
    assert np.abs((sums.mean(axis=0) - 0.5 * a[:5] @ top) / error).max() < 5
    assert np.abs((sums.mean(axis=0) - a[:5] @ top) / error).max() > 10
    assert numbers["kept_inverted"] == close(0.5, 0.02)


@check
def c13(numbers):
    training, progress = preset("C13"), trained(preset("C13"))
    test, rng = training.parts.test, np.random.default_rng(77)
    for index, name in ((0, "plain"), (1, "noisy")):
        theta = progress.states[index].theta[0]
        assert numbers[f"{name}_clean"] == close(right(answers(training, index, theta, test.x)[-1], test.y))
        noised = [
            right(answers(training, index, theta, test.x + rng.standard_normal(test.x.shape))[-1], test.y)
            for _ in range(8)
        ]
        assert numbers[name] == close(np.mean(noised), 0.03)
    raw = replace(training, standardize=False).parts
    pictures = raw.test.x.reshape(-1, 8, 8)
    down = np.concatenate([np.zeros_like(pictures[:, :1]), pictures[:, :-1]], axis=1).reshape(-1, 64)
    spread = raw.train.x.std(axis=0)
    moved = (down - raw.train.x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    theta = progress.states[0].theta[0]
    assert right(answers(training, 0, theta, moved)[-1], test.y) < numbers["plain_clean"] - 0.2
    assert numbers["augmented"] > numbers["shifted"] + 0.2


@check
def a16(numbers):
    training, progress = preset("A16"), trained(preset("A16"))
    part = training.parts.validation
    for index, state in enumerate(progress.states):
        accuracy = right(answers(training, index, state.theta[0], part.x)[-1], part.y)
        assert numbers[f"end_{index + 1}"] == close(accuracy)
        assert accuracy >= 0.9
    at = int(numbers["steps_1"])
    there = advance(training, begin(training), at).states[0].theta[0]
    assert right(answers(training, 0, there, part.x)[-1], part.y) >= 0.9


def test_no_claim_of_the_course_is_missing():
    assert list(NETWORK_CLAIMS) == ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C10", "C11", "C13", "A16"]
    assert set(CHECKS) == set(NETWORK_CLAIMS) == {key for key, *_ in FALSE.values()}


def test_claim(claim):
    """It holds on its preset, its numbers are right, and its sentence quotes them."""
    found = measured(claim.key)
    assert found.holds, found.sentence
    CHECKS[claim.key](found.numbers)
    for name, value in found.numbers.items():
        quoted = {number(value), number(100 * value)}
        assert any(text in found.sentence for text in quoted), name


def test_its_link_leads_back(claim):
    assert from_query(to_query(claim.training, MOONS), MOONS) == (claim.training, [])


# Where they do not hold ----------------------------------------------------------------------------------------------

FALSE: dict[str, tuple[str, Training, str]] = {
    "C2, after a leap": ("C2", broken("C2", {0: {"activation": "relu"}}, {0: {"lr": 1e200}}, epochs=1), "outgrown"),
    "C3, weights of a middle size": ("C3", broken("C3", {0: {"init_scale": 0.05}}, epochs=1), "not small enough"),
    "C3, too large a gain": ("C3", broken("C3", {2: {"init_scale": 3.0}}, epochs=1), "do not carry the signal"),
    "C4, at a tiny rate": ("C4", broken("C4", racers={0: {"lr": 1e-4}}, epochs=2), "no ReLU unit has died"),
    "C5, with inputs in order": ("C5", replace(preset("C5"), dataset=preset("C7").dataset, epochs=1), "centred"),
    "C6, against clipping": ("C6", broken("C6", {0: {"clip": 1.0}}, epochs=1), "does not bear a rate twice as large"),
    "C7, with nearly all": ("C7", replace(preset("C7"), batch_size=239, epochs=1), "saves no examples"),
    "C8, in a short run": ("C8", replace(preset("C8"), epochs=10), "has not risen again"),
    "C10, with a faint penalty": ("C10", broken("C10", {0: {"l1": 1e-6}}, epochs=5), "L1 has not made it sparse"),
    "C11, at a rate of nothing": ("C11", broken("C11", {1: {"dropout": 1e-4}}, epochs=2), "makes no difference"),
    "C13, with faint noise": ("C13", broken("C13", {1: {"input_noise": 1e-9}}, epochs=2), "has not helped against it"),
    "A16, in a short run": ("A16", replace(preset("A16"), epochs=1), "not all arrive"),
    "C1, with another penalty on the way": ("C1", broken("C1", {0: {"l2": 0.1}}), "something besides"),
}


@pytest.mark.parametrize(("key", "training", "reason"), FALSE.values(), ids=FALSE)
def test_where_it_does_not_hold_it_says_so(key, training, reason):
    if key == "C1":  # whose condition is about what is changed while it runs
        first = advance(preset("C1"), begin(preset("C1")), 20)
        found = NETWORK_CLAIMS["C1"].measure(training, advance(training, first, 20))
    else:
        found = NETWORK_CLAIMS[key].measure(training, trained(training))
    assert found is not None
    assert found.holds is False
    assert found.sentence.startswith("Here it does not hold: ")
    assert reason in found.sentence


def test_it_is_silent_without_what_it_needs(claim):
    if claim.key in ("C1", "C2", "C5"):  # any network will do
        return
    lonely = replace(claim.training, configurations=claim.training.configurations[:1])
    if claim.key == "C7":
        lonely = broken("C7", {0: {"dropout": 0.5}})
    assert claim.measure(lonely, begin(lonely)) is None


def test_it_is_silent_without_validation_data():
    for key in ("C6", "C8", "A16"):
        training = replace(preset(key), validation=0.0)
        assert NETWORK_CLAIMS[key].measure(training, begin(training)) is None


def test_it_waits_for_the_run(claim):
    found = claim.measure(claim.training, begin(claim.training))
    assert found is not None
    if claim.after == "start":
        assert found.holds is not None
    else:
        assert found == Measured({}, None, found.sentence)
        assert ("Take a step" in found.sentence) == (claim.after == "step")


def test_settings_that_were_changed_after_the_run_do_not_count():
    training = preset("C8")
    later = broken("C8", {0: {"clip": 0.5}}, {0: {"lr": 0.5}})
    assert NETWORK_CLAIMS["C8"].measure(later, trained(training)) == measured("C8")


def test_it_measures_this_run_and_not_the_preset():
    other = replace(preset("C11"), seed=1, epochs=2)
    found = NETWORK_CLAIMS["C11"].measure(other, trained(other))
    assert found is not None
    assert found.holds
    assert found.sentence != measured("C11").sentence


NASTY = {"no rate": {"lr": 0.0}, "a leap": {"lr": 1e100}}


@pytest.mark.parametrize("changes", NASTY.values(), ids=NASTY)
def test_nothing_that_a_visitor_sets_makes_it_raise(claim, changes):
    count = len(claim.training.configurations)
    training = broken(claim.key, racers=dict.fromkeys(range(count), changes), epochs=1)
    found = claim.measure(training, trained(training))
    assert found is not None
    assert found.holds == (not found.sentence.startswith("Here it does not hold: "))
    assert not any(word in found.sentence for word in ("{", "nan", "inf "))
