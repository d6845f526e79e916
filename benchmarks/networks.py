"""Training small networks, without a browser: against PyTorch, per-step optax, and TensorFlow Playground's form.

All are given the same first weights, the same examples and the same batches in the same order, and must come to the
same weights; they take turns within each round.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.report import Bar, Benchmark, Missing, Reading, Readings, median_ratio, quantity
from benchmarks.surfaces import timed
from optviz.experiment import Pick, Racer
from optviz.problems import batches
from optviz.training import Configuration, Net, Training, advance, begin, targets

HIDDEN = {"small": (4, 2), "large": (7, 8, 8, 8)}
NAMES = {"small": "2-4-2-1", "large": "2-7-8-8-8-1"}
BATCH, LR, SEEDS = 10, 0.03, 16
ROUNDS = 5
PLANNED = (
    2_000_000 // 25
)  # epochs of 25 steps, for all seeds together: the longest run there is, as it is measured least
CHECKED = 20  # epochs after which all must have the same weights
LENGTHS = {"ours": 4000, "together": 400, "playground": 400, "optax": 10, "torch": 6}  # epochs of one round
SCRIPT = Path(__file__).with_name("playground.js")

Walk = Callable[[int], np.ndarray]  # train for so many epochs, and return θ


class Work(NamedTuple):
    """What everybody is given."""

    training: Training
    x: np.ndarray  # (m, 2)
    y: np.ndarray  # (m, 1)
    theta0: np.ndarray  # (n,)

    def rows(self, epochs: int) -> np.ndarray:
        """The examples of each batch, (steps, BATCH)."""
        steps = epochs * self.training.steps_an_epoch
        rows, share = batches(self.training.seed, len(self.x), BATCH, 0, steps)
        assert share.all(), "a batch is not full"
        return rows


def work(hidden: tuple[int, ...], seeds: int = 1) -> Work:
    """A ripple of 250 examples to train on, which is what Playground trains on at first."""
    net = Net(hidden=hidden, activation="tanh", init="xavier_normal", loss="squared_error")
    training = Training(
        Pick("ripple", {"samples": 500}),
        (Configuration(net, Racer(Pick("sgd", {"lr": LR}))),),
        batch_size=BATCH,
        epochs=PLANNED // seeds,
        seeds=seeds,
        validation=0.25,
        test=0.25,
    )
    train = training.parts.train
    theta0 = training.networks[0].start(net.init, training.seed, net.init_scale)
    return Work(training, train.x, targets(train), theta0)


def with_optviz(given: Work) -> Walk:
    """As a training job does it: on from the start by `advance`, with its measured moments."""
    start = begin(given.training)

    def walk(epochs: int) -> np.ndarray:
        after = advance(given.training, start, epochs * given.training.steps_an_epoch)
        return after.states[0].theta[0]

    return walk


def with_torch(given: Work) -> Walk:
    """As PyTorch's tutorials write it."""
    import torch
    from torch import nn

    torch.set_num_threads(1)  # more of them only wait for one another on products this small
    network, x, y = given.training.networks[0], torch.from_numpy(given.x), torch.from_numpy(given.y)

    def walk(epochs: int) -> np.ndarray:
        parts: list[nn.Module] = []
        for layer in network.unravel(given.theta0):
            linear = nn.Linear(*layer.weight.shape, dtype=torch.float64)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(layer.weight.T))
                linear.bias.copy_(torch.from_numpy(layer.bias))
            parts += [linear, nn.Tanh()]
        model, loss_of = nn.Sequential(*parts[:-1]), nn.MSELoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=LR)
        for rows in torch.from_numpy(given.rows(epochs).copy()):  # which is read-only
            optimizer.zero_grad()
            loss = loss_of(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        linears = [part for part in model if isinstance(part, nn.Linear)]
        pieces = [piece for one in linears for piece in (one.weight.detach().numpy().T, one.bias.detach().numpy())]
        return np.concatenate([np.ravel(piece) for piece in pieces])

    return walk


def with_optax(given: Work) -> Walk:
    """As optax's documentation writes it: one jitted step, called in a Python loop."""
    rule = optax.sgd(LR)

    def loss(layers: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        for weight, bias in layers[:-1]:
            x = jnp.tanh(x @ weight + bias)
        weight, bias = layers[-1]
        return ((x @ weight + bias - y) ** 2).mean()

    @jax.jit
    def step(layers, state, x, y):
        value, gradient = jax.value_and_grad(loss)(layers, x, y)
        updates, state = rule.update(gradient, state)
        return optax.apply_updates(layers, updates), state, value

    def walk(epochs: int) -> np.ndarray:
        unraveled = given.training.networks[0].unravel(given.theta0)
        layers = [(jnp.asarray(layer.weight), jnp.asarray(layer.bias)) for layer in unraveled]
        state = rule.init(layers)
        for rows in given.rows(epochs):
            layers, state, _ = step(layers, state, given.x[rows], given.y[rows])
        return np.concatenate([np.ravel(part) for part in jax.device_get(jax.tree.leaves(layers))])

    return walk


def with_playground(given: Work, epochs: int, runs: int) -> tuple[list[float], np.ndarray]:
    """The seconds of each run by Node, and θ. Node starts, and compiles, outside the seconds."""
    layers = given.training.networks[0].unravel(given.theta0)
    message = {
        "widths": given.training.networks[0].widths,
        "x": given.x.tolist(),
        "y": given.y[:, 0].tolist(),
        "rows": given.rows(epochs).tolist(),
        "weights": [layer.weight.tolist() for layer in layers],
        "biases": [layer.bias.tolist() for layer in layers],
        "lr": LR,
        "runs": runs,
    }
    node = subprocess.run(["node", SCRIPT], input=json.dumps(message), capture_output=True, text=True, check=True)
    found = json.loads(node.stdout)
    return found["seconds"], np.array(found["theta"])


def networks() -> Readings:
    """Networks 2-4-2-1 and 2-7-8-8-8-1, tanh, squared error, SGD on batches of 10 from 250 examples, double precision:
    what counts is epochs a second. Everybody begins with the same weights, sees the same batches in the same order, and
    must have the same weights after 20 epochs, to 1e-9. The library is called as a job calls it, by `advance`, with all
    its records, for 4,000 epochs of a run of the greatest length, which is measured the least often; PyTorch runs
    eagerly on one thread, optax runs its jitted step in a Python loop, and TensorFlow Playground's form is
    benchmarks/playground.js run by Node: nodes and links as objects, one example at a time, nothing drawn. *At once*:
    16 of them under 16 seeds, each of which counts. Five rounds in turns; programs are compiled before, and Node's
    compiler has a run before the one that is timed."""
    readings: dict[str, Reading | Missing] = {}
    for size, hidden in HIDDEN.items():
        readings |= {f"{size}_{what}": reading for what, reading in _compared(hidden).items()}
    return readings


def _compared(hidden: tuple[int, ...]) -> dict[str, Reading | Missing]:
    given = work(hidden)
    walks = {"ours": with_optviz(given), "together": with_optviz(work(hidden, SEEDS)), "optax": with_optax(given)}
    with suppress(ImportError):  # whose bar then says so
        walks["torch"] = with_torch(given)
    ends = {name: walk(CHECKED) for name, walk in walks.items()}  # compiles, too
    node = shutil.which("node") is not None
    if node:
        ends["playground"] = with_playground(given, CHECKED, 1)[1]
    for name, end in ends.items():
        np.testing.assert_allclose(end, ends["ours"], rtol=0, atol=1e-9, err_msg=name)

    seconds: dict[str, list[float]] = {name: [] for name in ends}
    for _ in range(ROUNDS):
        for name, walk in walks.items():
            seconds[name].append(timed(lambda walk=walk, name=name: walk(LENGTHS[name])) / LENGTHS[name])
        if node:
            times, _ = with_playground(given, LENGTHS["playground"], 2)
            seconds["playground"].append(times[-1] / LENGTHS["playground"])

    def against(name: str, ours: str = "ours", count: int = 1) -> Reading | Missing:
        if name not in seconds:
            return Missing(f"not measured: {'Node' if name == 'playground' else 'PyTorch'} is not installed")
        mine, theirs = np.array(seconds[ours]) / count, seconds[name]
        rates = [quantity(float(1 / np.median(each))) for each in (mine, theirs)]
        return Reading(median_ratio(theirs, list(mine)), f"{rates[0]} against {rates[1]} epochs a second")

    return {
        "playground": against("playground"),
        "torch": against("torch"),
        "optax": against("optax"),
        "together": against("playground", "together", SEEDS),
    }


def _bars(size: str, playground: float, torch: float, optax: float) -> dict[str, Bar]:
    what = f"network {NAMES[size]}, batch 10, epochs a second"
    return {
        f"{size}_playground": Bar(f"{what}: against Playground's form", "×", at_least=playground),
        f"{size}_torch": Bar(f"{what}: against eager PyTorch", "×", at_least=torch),
        f"{size}_optax": Bar(f"{what}: against per-step optax", "×", at_least=optax),
        f"{size}_together": Bar(
            f"16 networks {NAMES[size]} at once, summed: against Playground's form", "×", at_least=12
        ),
    }


BENCHMARKS = {"networks": Benchmark(networks, {**_bars("small", 20, 200, 10), **_bars("large", 10, 40, 5)})}
