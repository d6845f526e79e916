"""The claims on the learning rate: true on their presets by an independent computation, and false where they are false.

One test id per claim, B2 … B13. `CHECKS` computes each claim's numbers a second time, with schedules, descent and
networks written out in plain NumPy: from the library come only what chance draws (noise, batches, initial weights) and
the tables. `FALSE` breaks each claim and expects a sentence that says so. Runs of networks are shared.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from optviz import link, training_link
from optviz.claims import CLAIMS
from optviz.experiment import Experiment, Pick, Racer
from optviz.figures.training import training_record
from optviz.network_claims import NETWORK_CLAIMS
from optviz.problems import standard_normal
from optviz.rate_claims import NETWORK_RATE_CLAIMS, ON_NETWORKS, ON_SURFACES, RATE_CLAIMS
from optviz.spec import number
from optviz.training import Progress, Training, advance, begin
from optviz.ui.training import MOONS
from optviz.verdict import Measured


@cache
def trained(training: Training) -> Progress:
    return advance(training, begin(training), training.steps)


@cache
def measured(key: str, value: Experiment | Training | None = None) -> Measured:
    """The claim on its preset, or on another experiment or training."""
    if key in RATE_CLAIMS:
        found = RATE_CLAIMS[key].measure(value if isinstance(value, Experiment) else RATE_CLAIMS[key].experiment)
    else:
        training = value if isinstance(value, Training) else NETWORK_RATE_CLAIMS[key].training
        found = NETWORK_RATE_CLAIMS[key].measure(training, trained(training))
    assert found is not None
    return found


KEYS = [*RATE_CLAIMS, *NETWORK_RATE_CLAIMS]
every_claim = pytest.mark.parametrize("key", KEYS)


def close(value: Any, rel: float = 1e-9, abs: float = 1e-12) -> Any:
    return pytest.approx(value, rel=rel, abs=abs)


# Schedules, written from their papers --------------------------------------------------------------------------------


def half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


def cycle_of(t: int, steps: int, low: float, high: float, end: float) -> float:
    """One cycle: up for three tenths of the run and down, each half a cosine; the last step is the end."""
    top = 0.3 * steps - 1
    if t <= top:
        return high + (low - high) * half_cosine(t / top)
    return end + (high - end) * half_cosine((t - top) / (steps - 1 - top))


def triangle(t: int, low: float, high: float, half: int) -> float:
    place = (t % (2 * half)) / half
    return low + (high - low) * (place if place <= 1 else 2 - place)


# Descent on surfaces, written out ------------------------------------------------------------------------------------


def walk(gradient: Callable, start, rates, xi=None, sigma: float = 0.0) -> np.ndarray:
    """θ ← θ − η(∇f(θ) + σξ)."""
    path = [np.array(start, float)]
    for t, lr in enumerate(rates):
        noise = 0.0 if xi is None else sigma * xi[t]
        path.append(path[-1] - lr * (gradient(path[-1]) + noise))
    return np.array(path)


def in_valley(kappa: float, rates, sigma: float = 0.0, seed: int = 0) -> np.ndarray:
    xi = standard_normal(seed, 0, len(rates))
    return walk(lambda p: np.array([1.0, kappa]) * p, (-1.8, 1.0), rates, xi, sigma)


def loss_in_valley(kappa: float, path: np.ndarray) -> np.ndarray:
    return 0.5 * (path[:, 0] ** 2 + kappa * path[:, 1] ** 2)


def tail(loss: np.ndarray) -> float:
    return float(np.mean(loss[-(len(loss) // 4) :]))


def b3(n):
    shapes = (
        lambda t: 0.1 * 0.5 ** (t // 100),
        lambda t: 0.1 * math.exp(-0.01 * t),
        lambda t: 0.1 / (1 + 0.02 * t),
        lambda t: 0.1 / math.sqrt(1 + t / 100),
        lambda t: 0.1 * (1.0 if t < 200 else 0.1 if t < 300 else 0.01),
        lambda t: 0.1 * (1 - t / 400),
        lambda t: 0.1 * half_cosine(t / 400),
        lambda t: 0.1 * min(1.0, t / 50),
    )
    constant = in_valley(10.0, [0.1] * 400, 1.0)
    assert n["constant"] == close(tail(loss_in_valley(10.0, constant)))
    for i, shape in enumerate(shapes, start=1):
        path = in_valley(10.0, [shape(t) for t in range(400)], 1.0)
        assert n[f"last_{i}"] == close(shape(399))
        assert n[f"loss_{i}"] == close(tail(loss_in_valley(10.0, path)))
        assert n[f"moved_{i}"] == close(np.linalg.norm(path - constant, axis=1).max())
    assert n["schedules"] == 8
    assert n["apart"] < 1e-12
    assert n["loss_8"] == close(n["constant"])  # the counter-example: a warm-up alone ends where the constant rate does


def b4(n):
    xi, theta, share, best, waited = standard_normal(0, 0, 600), np.array([-1.8, 1.0]), 1.0, math.inf, 0
    path, cuts = [theta], []
    for t in range(600):
        value = loss_in_valley(10.0, theta[None])[0]
        if best == math.inf or value < best - 1e-4 * abs(best):
            best, waited = value, 0
        else:
            waited += 1
        if waited > 50:
            waited = 0
            if share > 0.03:
                share = max(0.3 * share, 0.03)
                cuts.append(t)
        theta = theta - 0.1 * share * (np.array([1.0, 10.0]) * theta + xi[t])
        path.append(theta)
    loss = loss_in_valley(10.0, np.array(path))
    assert (n["cuts"], n["first"], n["waited"]) == (len(cuts), cuts[0], waited)
    assert (n["last"], n["best"], n["loss_then"]) == (close(0.1 * share), close(best), close(loss[cuts[0]]))
    assert n["plateau"] == close(tail(loss))
    assert n["constant"] == close(tail(loss_in_valley(10.0, in_valley(10.0, [0.1] * 600, 1.0))))
    assert n["gain"] > 5


def b5(n):
    losses = [
        loss_in_valley(30.0, in_valley(30.0, [0.03 if t < drop else 0.003 for t in range(500)], 0.5))
        for drop in (500, 250, 25)
    ]
    assert (n["constant"], n["late"], n["early"]) == tuple(close(tail(loss)) for loss in losses)
    floor = np.median(losses[0][250:])
    level = next(t for t, value in enumerate(losses[0]) if value <= floor)
    assert (n["floor"], n["level"]) == (close(floor), level)
    assert (n["early_at"], n["late_at"]) == (25, 250)
    assert 3 * n["late"] < n["constant"] < n["early"]


def b7(n):
    def gradient(p):
        x, y = p
        wide, narrow = math.exp(-((x + 1.5) ** 2) - y**2), math.exp(-25 * ((x - 1.5) ** 2 + y**2))
        return np.array(
            [2 * (x + 1.5) * wide + 50 * (x - 1.5) * narrow + 0.04 * x, 2 * y * wide + 50 * y * narrow + 0.04 * y]
        )

    rates = [triangle(t, 0.3 * 0.0667, 0.3, 75) for t in range(600)]
    low, cyclic, high = (walk(gradient, (1.6, 0.1), each) for each in ([0.02] * 600, rates, [0.3] * 600))
    assert (n["end_low"], n["end"], n["end_high"]) == (close(low[-1, 0]), close(cyclic[-1, 0]), close(high[-1, 0]))
    assert (n["end_low"], n["end"]) == (close(1.498786, 1e-5), close(-1.470563, 1e-5))
    out = next(t for t, point in enumerate(cyclic) if math.dist(point, (1.498786, 0)) > 0.4)
    assert (n["left"], n["then"]) == (out, close(rates[out - 1]))
    for name, x in (("limit", 1.4987860), ("limit_flat", -1.4705632)):
        second = [(gradient((x + dx, dy)) - gradient((x - dx, -dy))) / 2e-5 for dx, dy in ((1e-5, 0), (0, 1e-5))]
        assert n[name] == close(2 / np.linalg.eigvalsh(second).max(), 1e-6)
    assert n["low"] < n["limit"] < n["then"] < n["peak"] < n["limit_flat"]
    assert n["end_high"] == close(n["end"], 1e-6)  # the counter-example: a constant rate as high escapes as well


def b10(n):
    rates = [cycle_of(t, 300, 0.06 / 25, 0.06, 0.06 / 25 / 1e4) for t in range(300)]
    momenta = [cycle_of(t, 300, 0.95, 0.95 * 0.9, 0.95) for t in range(300)]
    assert (n["start"], n["peak"], n["end"]) == (close(rates[0]), close(max(rates)), close(rates[-1]))
    assert (n["at"], n["rho_at"]) == (np.argmax(rates), np.argmin(momenta))
    assert (n["rho"], n["rho_low"], n["rho_end"]) == (close(0.95), close(min(momenta)), close(0.95))
    ways = [(b - a) * (d - c) < 0 for (a, b), (c, d) in zip(pairwise(rates), pairwise(momenta), strict=True)]
    assert n["opposite"] == np.mean(ways) == 1
    assert n["annihilated"] == close(1e4)
    assert n["least"] == close(rates[-1])
    assert n["least"] > 0
    assert n["settled"] < 1e-15


def b13(n):
    def driven(sigma):
        xi, theta, share, last = standard_normal(0, 0, 300), np.array([-1.8, 1.0]), 1.0, math.inf
        path, failed = [theta], 0
        for t in range(300):
            value = loss_in_valley(25.0, theta[None])[0]
            failed += not value < last
            share = min(1.05 * share, 1.0) if value < last else 0.5 * share
            last = value
            theta = theta - 0.2 * share * (np.array([1.0, 25.0]) * theta + sigma * xi[t])
            path.append(theta)
        return loss_in_valley(25.0, np.array(path)), 0.2 * share, failed

    loss, rate, failed = driven(0.0)
    assert n["bold"] == close(loss[-1] / loss[0], 1e-4)
    assert n["worst"] == close(loss.max() / loss[0])
    assert (n["failed"], n["cuts"], n["last"]) == (failed, failed, close(rate))
    assert n["limit"] == close(0.08)
    assert n["left"] == math.inf
    assert n["noisy"] == close(driven(0.3)[1])
    assert n["noisy"] < 0.2 / 1000  # the counter-example: noise looks like failure


# Networks, written out -----------------------------------------------------------------------------------------------

PHI = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}
SLOPE = {"relu": lambda a: a > 0, "tanh": lambda a: 1 - a**2}
Layers = list[tuple[np.ndarray, np.ndarray]]


def pieces(training: Training, index: int, theta: np.ndarray) -> Layers:
    """θ cut into (weight, bias) of each layer."""
    table, hidden = training.parts.train, training.configurations[index].net.hidden
    cut, at = [], 0
    for i, o in pairwise([table.x.shape[1], *hidden, len(table.classes)]):
        cut.append((theta[at : at + i * o].reshape(i, o), theta[at + i * o : at + i * o + o]))
        at += i * o + o
    assert at == len(theta)
    return cut


def forward(layers: Layers, x: np.ndarray, activation: str) -> list[np.ndarray]:
    """The inputs of every layer, and the outputs last."""
    values = [x]
    for i, (weight, bias) in enumerate(layers, start=1):
        z = values[-1] @ weight + bias
        values.append(z if i == len(layers) else PHI[activation](z))
    return values


def softmax(output: np.ndarray) -> np.ndarray:
    powers = np.exp(output - output.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def learn(
    training: Training, index: int, seed: int, rates, beta: tuple[float, float] | None = None
) -> Iterator[Layers]:
    """The layers before the first step and after each: stochastic gradient descent, or Adam with two βs."""
    net, network = training.configurations[index].net, training.networks[index]
    layers = [(w.copy(), b.copy()) for w, b in pieces(training, index, network.start(net.init, seed, net.init_scale))]
    draws = training.problem(index).draw(seed, 0, len(rates))
    m, v = ([[np.zeros_like(part) for part in layer] for layer in layers] for _ in range(2))
    yield layers
    for t, lr in enumerate(rates):
        own = draws["share"][t] > 0
        x, target = draws["x"][t][own], draws["target"][t][own]
        values = forward(layers, x, net.activation)
        back, after = (softmax(values[-1]) - target) / len(x), []
        for i in reversed(range(len(layers))):
            weight, bias = layers[i]
            grads = [values[i].T @ back + net.l2 * weight, back.sum(axis=0)]
            if beta:
                for j, grad in enumerate(grads):
                    m[i][j] = beta[0] * m[i][j] + (1 - beta[0]) * grad
                    v[i][j] = beta[1] * v[i][j] + (1 - beta[1]) * grad**2
                    up, down = m[i][j] / (1 - beta[0] ** (t + 1)), v[i][j] / (1 - beta[1] ** (t + 1))
                    grads[j] = up / (np.sqrt(down) + 1e-8)
            after.append((weight - lr * grads[0], bias - lr * net.bias_lr * grads[1]))
            back = back @ weight.T * SLOPE[net.activation](values[i]) if i else back
        layers = after[::-1]
        yield layers


def entropy(training: Training, index: int, layers: Layers, part: str) -> float:
    table = getattr(training.parts, part)
    p = softmax(forward(layers, table.x, training.configurations[index].net.activation)[-1])
    return float(-np.log(p[np.arange(len(table.y)), table.y]).mean())


def right(training: Training, index: int, layers: Layers, part: str) -> float:
    table = getattr(training.parts, part)
    output = forward(layers, table.x, training.configurations[index].net.activation)[-1]
    return float((output.argmax(axis=1) == table.y).mean())


def last(training: Training, index: int, seed: int, rates, beta=None) -> Layers:
    *_, layers = learn(training, index, seed, rates, beta)
    return layers


def preset(key: str) -> Training:
    return NETWORK_RATE_CLAIMS[key].training


def b2(n):
    training = preset("B2")
    for index, (name, lr) in enumerate((("slow", 0.01), ("fast", 0.3))):
        run = list(learn(training, index, 0, [lr] * 340))
        losses = [entropy(training, index, run[t], "train") for t in range(0, 341, 4)]
        assert n[f"fell_{name}"] == close(np.mean(np.diff(losses) < 0))
        assert n[f"loss_{name}"] == close(losses[-1], 1e-6)
        assert n[f"right_{name}"] == right(training, index, run[-1], "validation")
    assert n["fell_slow"] > n["fell_fast"]
    assert n["right_fast"] - n["right_slow"] > 0.05


def b3n(n):
    training = preset("B3n")
    shapes = (
        lambda t: 0.3,
        lambda t: 0.3 * 0.5 ** (t // 80),
        lambda t: 0.3 * half_cosine(t / 320),
        lambda t: 0.3 * min(1.0, t / 50),
    )
    ends = [last(training, i, 0, [shape(t) for t in range(320)]) for i, shape in enumerate(shapes)]
    flat = [np.concatenate([part.ravel() for layer in layers for part in layer]) for layers in ends]
    assert n["constant"] == close(entropy(training, 0, ends[0], "validation"), 1e-6)
    for i in (2, 3, 4):
        assert n[f"last_{i}"] == close(shapes[i - 1](319))
        assert n[f"loss_{i}"] == close(entropy(training, i - 1, ends[i - 1], "validation"), 1e-6)
        assert n[f"moved_{i}"] == close(np.linalg.norm(flat[i - 1] - flat[0]) / np.linalg.norm(flat[0]), 1e-6)
    assert max(n["apart"], n["step"]) < 1e-12


def b4n(n):
    """Epoch by epoch: look at the validation loss, perhaps cut, and take the epoch's steps."""
    training, rates, looks, share, best, waited = preset("B4n"), [math.nan] * 480, [], 1.0, math.inf, 0
    run = learn(training, 1, 0, rates)  # which reads the rate of a step when it takes it
    layers = next(run)
    for epoch in range(60):
        looks.append(entropy(training, 1, layers, "validation"))
        if best == math.inf or looks[-1] < best - 1e-4 * best:
            best, waited = looks[-1], 0
        else:
            waited += 1
        if waited > 5:
            share, waited = 0.3 * share, 0
        rates[8 * epoch : 8 * epoch + 8] = [share] * 8
        for _ in range(8):
            layers = next(run)
    cuts = np.flatnonzero(np.diff(rates) < 0) + 1
    assert (n["cuts"], n["first"], n["last"]) == (len(cuts), cuts[0] / 8, close(rates[-1]))
    assert (n["best"], n["then"]) == (close(min(looks), 1e-4), close(looks[cuts[0] // 8], 1e-4))
    for index, name, own in ((0, "constant", [1.0] * 480), (1, "plateau", rates)):
        run = list(learn(training, index, 0, own))
        ends = [entropy(training, index, run[t], "validation") for t in range(0, 481, 5)][-24:]
        assert n[name] == close(np.mean(ends), 1e-3)


def b6(n):
    training, steps = preset("B6"), 320
    for index, (name, lr, decays) in enumerate(
        (("sgd", 1.0, False), ("sgd_decay", 1.0, True), ("adam", 0.03, False), ("adam_decay", 0.03, True))
    ):
        rates = [lr * half_cosine(t / steps) if decays else lr for t in range(steps)]
        beta = (0.9, 0.999) if "adam" in name else None
        ends = [last(training, index, seed, rates, beta) for seed in range(5)]
        assert n[name] == close(np.median([entropy(training, index, end, "validation") for end in ends]), 1e-4)
        assert n[f"{name}_right"] == np.median([right(training, index, end, "validation") for end in ends])
    assert n["gain_sgd"] == close(1 - n["sgd_decay"] / n["sgd"])
    assert n["gain_adam"] > 0.05  # whoever says that Adam needs no decay


def b7n(n):
    training = preset("B7n")
    for index, name in enumerate(("slow", "cyclic", "fast", "middle")):
        thetas = trained(training).states[index].theta
        ends = [right(training, index, pieces(training, index, theta), "validation") for theta in thetas]
        assert n[f"end_{name}"] == np.median(ends)
    rates = [triangle(t, 0.1, 1.0, 80) for t in range(int(n["steps_cyclic"]))]
    runs = [list(learn(training, 1, seed, rates)) for seed in range(5)]
    accuracy = [
        np.median([right(training, 1, run[t], "validation") for run in runs]) for t in range(0, len(rates) + 1, 5)
    ]
    assert accuracy[-1] >= 0.95 > max(accuracy[:-1])
    assert n["steps_cyclic"] < n["steps_slow"] / 2


def b9(n):
    training = preset("B9")
    table = training.parts.test
    rates = [half_cosine(t % 68 / 68) for t in range(340)]
    rows = []
    for seed in range(5):
        run = list(learn(training, 0, seed, rates))
        p = np.array([softmax(forward(run[end], table.x, "relu")[-1]) for end in range(68, 341, 68)])
        members = [-np.log(each[np.arange(len(table.y)), table.y]).mean() for each in p]
        hits = [(each.argmax(axis=1) == table.y).mean() for each in p]
        whole = p.mean(axis=0)
        together = -np.log(whole[np.arange(len(table.y)), table.y]).mean()
        assert together < np.mean(members)  # by convexity, under every seed
        answered = (whole.argmax(axis=1) == table.y).mean()
        rows.append((together, np.mean(members), members[-1], answered, np.mean(hits), hits[-1]))
    middle, names = np.median(rows, axis=0), ("ensemble", "member", "last")
    for i, name in enumerate(names):
        assert n[f"{name}_loss"] == close(middle[i], 1e-4)
        assert n[f"{name}_right"] == close(middle[3 + i])
    assert n["better"] == sum(row[0] < row[2] for row in rows)
    assert (n["cycles"], n["first"], n["last_end"]) == (5, 68, 340)


def b11(n):
    training = preset("B11")

    def rate(index, t):
        return (
            cycle_of(min(t, 135), 136, 0.04, 1.0, 4e-6),
            0.1,
            0.1 * 0.5 ** (t // 100),
            0.3,
        )[index]

    for index, name in enumerate(("one", "constant", "step", "best")):
        arrivals = []
        for seed in range(5):
            run = learn(training, index, seed, [rate(index, t) for t in range(544)])
            looked = (
                t for t, layers in enumerate(run) if t % 5 == 0 and right(training, index, layers, "test") >= 0.96
            )
            arrivals.append(next(looked, math.inf))
        assert [n[f"{name}_low"], n[name], n[f"{name}_high"]] == sorted(arrivals)[1:4]
        thetas = trained(training).states[index].theta
        ends = [right(training, index, pieces(training, index, theta), "test") for theta in thetas]
        assert n[f"{name}_right"] == np.median(ends)
    assert n["gain"] >= 2
    assert n["best"] < 1.5 * n["one"]  # the counter-example: a large constant rate is about as quick


def b11x(n):
    training = preset("B11x")
    rates = (
        [cycle_of(t, 136, 0.004, 0.1, 4e-7) for t in range(136)],
        [0.1] * 136,
        [cycle_of(t, 136, 0.04, 1.0, 4e-6) for t in range(136)],
        [0.1] * 136,
    )
    for index, name in enumerate(("small", "plain", "large", "penalized")):
        ends = [right(training, index, last(training, index, seed, rates[index]), "test") for seed in range(5)]
        assert n[name] == np.median(ends)
    assert n["plain"] - n["small"] > 0.02
    assert n["penalized"] - n["large"] > 0.01


def b12(n):
    training = preset("B12")
    for index, name in ((0, "loss"), (1, "loss_other")):
        end = last(training, index, 0, [0.1] * training.steps)
        assert n[name] == close(entropy(training, index, end, "validation"), 1e-6)
    before, after = list(learn(training, 1, 0, [0.1]))
    assert n["size"] == close(max(np.abs(b - a).max() for (_, a), (_, b) in zip(before, after, strict=True)))
    assert n["times"] == 2
    assert max(n["biases"], n["weights"]) < 1e-15


CHECKS = dict(zip(KEYS, (b3, b4, b5, b7, b10, b13, b2, b3n, b4n, b6, b7n, b9, b11, b11x, b12), strict=True))


# They hold -----------------------------------------------------------------------------------------------------------


def test_no_claim_of_the_course_is_missing():
    shown = {key.rstrip("nx") for key in KEYS}
    assert shown == {f"B{i}" for i in range(1, 14)} - {"B1", "B8"}  # which are measured on pages of their own
    assert [key.upper() for key in KEYS] == [check.__name__.upper() for check in CHECKS.values()]
    assert list(ON_SURFACES) == [*CLAIMS, *RATE_CLAIMS]
    assert list(ON_NETWORKS) == [*NETWORK_CLAIMS, *NETWORK_RATE_CLAIMS]


@every_claim
def test_claim(key):
    """It holds on its preset, its numbers are right, and its sentence quotes them."""
    found = measured(key)
    assert found.holds, found.sentence
    CHECKS[key](found.numbers)
    for name, value in found.numbers.items():
        assert any(text in found.sentence for text in (number(value), number(100 * value), "more than")), name


@pytest.mark.parametrize("key", ["B3", "B4", "B5", "B10", "B2", "B12"])
def test_it_holds_under_another_seed(key):
    found = measured(key, replace(RATE_CLAIMS[key].experiment if key in RATE_CLAIMS else preset(key), seed=3))
    assert found.holds, found.sentence
    if key != "B10":
        assert found.numbers != measured(key).numbers


@every_claim
def test_card_is_complete(key):
    claim = RATE_CLAIMS.get(key) or NETWORK_RATE_CLAIMS[key]
    assert 5 < len(claim.title) <= 48
    for text in (claim.says, claim.condition, claim.watch):
        assert len(text) > 40
        assert text[0].isupper() or not text[0].isalpha()
        assert text.endswith(".")
    assert claim.sources
    assert all(source.authors and source.title and source.url.startswith("https://") for source in claim.sources)


@every_claim
def test_its_preset_is_a_link(key):
    if key in RATE_CLAIMS:
        value, default = RATE_CLAIMS[key].experiment, Experiment(Pick("rosenbrock"), (Racer(Pick("sgd")),))
        assert link.from_query(link.to_query(value, default), default) == (value, [])
    else:
        training = preset(key)
        assert training_link.from_query(training_link.to_query(training, MOONS), MOONS) == (training, [])


# Where they do not hold ----------------------------------------------------------------------------------------------


def scheduled(racer: Racer, **changes: Any) -> Racer:
    """The racer with its learning rate's schedule changed."""
    own = dict(racer.schedules)
    return replace(racer, schedules={**own, "lr": own["lr"].but(**changes)})


def race(key: str, changes: dict[int, Callable[[Racer], Racer]] | None = None, **more: Any) -> Experiment:
    """A claim's experiment with some racers and settings changed."""
    experiment = RATE_CLAIMS[key].experiment
    racers = [(changes or {}).get(i, lambda racer: racer)(racer) for i, racer in enumerate(experiment.racers)]
    return replace(experiment, racers=tuple(racers), **more)


def training_but(
    key: str,
    changes: dict[int, Callable[[Racer], Racer]] | None = None,
    nets: dict[int, dict[str, Any]] | None = None,
    **more: Any,
) -> Training:
    """A claim's training with some racers, networks and settings changed."""
    configurations = [
        replace(
            one,
            racer=(changes or {}).get(i, lambda racer: racer)(one.racer),
            net=replace(one.net, **(nets or {}).get(i, {})),
        )
        for i, one in enumerate(preset(key).configurations)
    ]
    return replace(preset(key), configurations=tuple(configurations), **more)


def at(**values: Any) -> Callable[[Racer], Racer]:
    return lambda racer: racer.but(**values)


def by(**values: Any) -> Callable[[Racer], Racer]:
    return lambda racer: scheduled(racer, **values)


SAME_WAY = Racer(Pick("sgd", {"lr": 0.06, "momentum": 0.95}), {"lr": Pick("one_cycle"), "momentum": Pick("one_cycle")})
FALSE: dict[str, tuple[str, Experiment | Training, str]] = {
    "B3, at no rate": ("B3", race("B3", {3: at(lr=0.0)}), "stood still"),
    "B3, with drops by nothing": ("B3", race("B3", {0: by(factor=1.0)}), "changed nothing"),
    "B4, with endless patience": ("B4", race("B4", {1: by(patience=1000)}), "never cut"),
    "B4, in a hurry": ("B4", race("B4", {1: by(patience=0, least=0.0003)}), "the cuts came too early"),
    "B5, with both drops late": ("B5", race("B5", {2: by(first=0.7)}), "not on both sides"),
    "B5, a drop with little noise and late": (
        "B5",
        race("B5", {1: by(first=0.8)}, noise=0.003),
        "not brought it lower",
    ),
    "B7, with a low peak": ("B7", race("B7", {1: at(lr=0.035)}), "never left the sharp well"),
    "B7, with a large constant rate": ("B7", race("B7", {0: at(lr=0.3)}), "does not end in the sharp well"),
    "B7, ending at a high peak": (
        "B7",
        race("B7", {1: lambda racer: scheduled(racer.but(lr=2.0), half_cycle=600.0)}),
        "does not end in the flat well",
    ),
    "B10, without a rise": ("B10", race("B10", {0: by(div=1.0)}), "does not rise and fall"),
    "B10, both the same way": ("B10", race("B10", {0: lambda _: SAME_WAY}), "do not go opposite ways"),
    "B10, without annihilation": ("B10", race("B10", {0: by(final_div=1.0)}), "almost nothing at the end"),
    "B13, within the limit": ("B13", race("B13", {0: at(lr=0.05)}), "nothing to repair"),
    "B13, without a cut": ("B13", race("B13", {1: by(factor=1.0)}), "has not brought the loss down"),
    "B2, with too large a rate": ("B2", training_but("B2", {1: at(lr=30.0)}, epochs=2), "no worse on validation"),
    "B2, with no small rate": (
        "B2",
        training_but("B2", {0: at(lr=2.0), 1: at(lr=3.0)}, epochs=2),
        "does not fall smoothly",
    ),
    "B3n, with drops by nothing": (
        "B3n",
        training_but("B3n", {1: by(factor=1.0)}, epochs=2),
        "a schedule changed nothing",
    ),
    "B4n, with endless patience": ("B4n", training_but("B4n", {1: by(patience=1000)}, epochs=2), "never cut"),
    "B4n, in a hurry": (
        "B4n",
        training_but("B4n", {1: by(patience=0, factor=0.01)}, epochs=10),
        "the cuts came too early",
    ),
    "B6, at small rates": (
        "B6",
        training_but("B6", {0: at(lr=0.01), 1: at(lr=0.01)}, epochs=5, seeds=1),
        "not lowered SGD's loss",
    ),
    "B7n, with a low peak": (
        "B7n",
        training_but("B7n", {1: lambda racer: scheduled(racer.but(lr=0.01), low=0.0)}, epochs=5, seeds=1),
        "no quicker than the smallest rate",
    ),
    "B9, of networks that are all the same": (
        "B9",
        training_but("B9", {0: at(lr=0.0)}, epochs=4, seeds=1),
        "its average member",
    ),
    "B11, with a low peak": ("B11", training_but("B11", {0: at(lr=0.01)}, epochs=1, seeds=1), "has not reached"),
    "B11, against a large constant rate": (
        "B11",
        training_but("B11", {1: at(lr=0.3), 2: at(lr=0.3)}, seeds=1),
        "does not need half as many",
    ),
    "B11x, with a high peak": ("B11x", training_but("B11x", {0: at(lr=1.0)}, seeds=1), "no worse than the constant"),
    "B11x, with a faint penalty": (
        "B11x",
        training_but("B11x", nets={2: {"l2": 1e-6}, 3: {"l2": 1e-6}}, seeds=1),
        "with the penalty the cycle is no worse",
    ),
    "B12, at no rate": ("B12", training_but("B12", {0: at(lr=0.0), 1: at(lr=0.0)}, epochs=1), "have not moved"),
}


@pytest.mark.parametrize(("key", "value", "reason"), FALSE.values(), ids=FALSE)
def test_where_it_does_not_hold_it_says_so(key, value, reason):
    found = measured(key, value)
    assert not found.holds
    assert found.sentence.startswith("Here it does not hold: ")
    assert reason in found.sentence


def test_every_claim_can_be_false():
    assert {key for key, *_ in FALSE.values()} == set(KEYS)


@pytest.mark.parametrize("key", RATE_CLAIMS)
def test_a_race_that_lacks_what_it_is_about_is_not_measured(key):
    claim, experiment = RATE_CLAIMS[key], RATE_CLAIMS[key].experiment
    assert claim.measure(replace(experiment, racers=())) is None
    assert claim.measure(replace(experiment, l2=0.1)) is None
    unscheduled = tuple(replace(racer, schedules=()) for racer in experiment.racers)
    assert claim.measure(replace(experiment, racers=unscheduled)) is None
    if claim.surfaces:
        assert claim.measure(replace(experiment, surface=Pick("rosenbrock"), start=None)) is None
    if key in ("B4", "B5"):
        assert claim.measure(replace(experiment, noise=0.0)) is None
    if key in ("B7", "B13"):
        assert claim.measure(replace(experiment, noise=0.1)) is None


@pytest.mark.parametrize("key", NETWORK_RATE_CLAIMS)
def test_a_training_that_lacks_what_it_is_about_is_not_measured(key):
    claim = NETWORK_RATE_CLAIMS[key]
    lonely = replace(claim.training, configurations=claim.training.configurations[-1:])
    assert claim.measure(lonely, begin(lonely)) is None
    found = claim.measure(claim.training, begin(claim.training))
    assert found is not None
    assert found.holds is None
    if key not in ("B11x", "B12"):
        mixed = training_but(key, nets={0: {"l2": 0.1}}) if len(claim.training.configurations) > 1 else None
        assert mixed is None or claim.measure(mixed, begin(mixed)) is None


NASTY = {
    "one step": {"steps": 1},
    "far out": {"start": (1e6, -1e6)},
    "at the minimum": {"start": (0.0, 0.0)},
    "no rate": {"lr": 0.0},
    "a rate of nothing": {"lr": 1e-320},
    "a leap": {"lr": 1e100},
    "steep": {"kappa": 1e308, "sharpness": 1e308},
    "flat": {"kappa": 5e-324, "sharpness": 5e-324},
    "noise": {"noise": 1e300},
    "the last seed": {"seed": 2**32 - 1},
}


def is_sound(found: Measured | None) -> bool:
    return found is None or (
        found.holds == (not found.sentence.startswith("Here it does not hold: "))
        and not any(word in found.sentence for word in ("{", "nan", "inf "))
        and all(isinstance(value, float) for value in found.numbers.values())
    )


@pytest.mark.parametrize("changes", NASTY.values(), ids=NASTY)
@pytest.mark.parametrize("key", RATE_CLAIMS)
def test_nothing_that_a_visitor_sets_in_a_race_makes_it_raise(key, changes):
    experiment = RATE_CLAIMS[key].experiment
    fields = {name: value for name, value in changes.items() if name in ("steps", "start", "noise", "seed")}
    on = {name: value for name, value in changes.items() if name in experiment.entry.param}
    racers = [racer.but(lr=changes.get("lr", racer.values["lr"])) for racer in experiment.racers]
    value = replace(experiment, surface=experiment.surface.but(**on), racers=tuple(racers), **fields)
    assert is_sound(RATE_CLAIMS[key].measure(value))


@pytest.mark.parametrize("lr", [0.0, 1e100])
@pytest.mark.parametrize("key", NETWORK_RATE_CLAIMS)
def test_nothing_that_a_visitor_sets_in_a_training_makes_it_raise(key, lr):
    count = len(preset(key).configurations)
    training = training_but(key, dict.fromkeys(range(count), at(lr=lr)), epochs=1, seeds=1)
    assert is_sound(NETWORK_RATE_CLAIMS[key].measure(training, trained(training)))


def test_a_cycle_of_warm_restarts_ends_where_the_rate_jumps():
    """With cycles that grow by a share, and after a warm-up."""
    rates = Pick("sgdr", {"cycle": 7.0, "stretch": 1.5, "warmup": 5})
    training = training_but("B9", {0: lambda racer: replace(racer, schedules={"lr": rates})}, epochs=2, seeds=1)
    found = measured("B9", training)
    lr = trained(training).histories[0].lr
    jumps = np.flatnonzero(np.diff(lr[5:]) > 0) + 6  # the number of steps taken before the rate is high again
    assert found.numbers["first"] == jumps[0]
    assert found.numbers["last_end"] == jumps[-1]
    assert found.numbers["cycles"] == len(jumps)


# The picture of super-convergence ------------------------------------------------------------------------------------


def test_the_curve_of_test_accuracy_marks_where_each_comes_to_the_same():
    training = training_but("B12", {1: at(lr=0.02)}, epochs=5, seeds=3, curves=("test",))
    progress = trained(training)
    record = training_record(training, progress, run="any")
    (panel,) = (panel for panel in record["panels"] if panel["name"] == "test")
    medians = [np.median(history.test_accuracy, axis=0) for history in progress.histories]
    level = min(max(median) for median in medians)
    firsts = [
        next(t for t, value in zip(progress.histories[0].moments, m, strict=True) if value >= level) for m in medians
    ]
    assert [(mark["x"], mark["y"]) for mark in panel["marks"]] == [(first, level) for first in firsts]
    assert f"{level:.1%}" in panel["note"]
    drawn = [racer for racer in record["racers"] if "test" in racer["series"]]
    assert len(drawn) == 2
    assert all({"test.low", "test.high"} <= set(racer["series"]) for racer in drawn)


def test_without_test_data_there_is_no_such_curve():
    training = training_but("B12", epochs=1, test=0.0, curves=("test", "loss"))
    record = training_record(training, begin(training), run="any")
    assert [panel["name"] for panel in record["panels"] if panel["kind"] == "curve"] == ["loss"]
