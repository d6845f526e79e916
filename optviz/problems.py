"""What a run descends on.

A 2-D surface and a network's loss are the same thing to an optimizer: a number that depends on a flat vector θ
and on what chance contributes to this step. Chance is drawn apart from the loss, for all steps at once, so that the
loop itself stays free of random numbers and every racer of one seed meets the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optviz.networks import Network, data_loss, forward, measuring_factors, penalty, training_factors
from optviz.surfaces import Surface

BLOCK = 5000  # steps whose chance is drawn at a time


@dataclass(frozen=True)
class Problem:
    """A loss of a flat vector θ (n,).

    `loss(theta, values)` is what is reported; `objective(theta, draw, values)` is what a step descends on;
    `draw(seed, first, count)` is what chance gives to `count` steps from number `first` on, in NumPy. `values` holds
    the arrays that may change without a compilation, and `key` names everything else: two problems of equal key compile
    to the same program. `treat_gradient(grad, values)` is what the rule gets for a gradient, and
    `treat_step(step, values)` what θ gets for the rule's step; on a surface, both leave it as it is.

    `watch(theta, values)` is the loss that a watching schedule sees, before the steps 0, E, 2E, … for E =
    values["every"]. Without it, as on a surface, such a schedule sees `loss` before every step.
    """

    key: Hashable
    loss: Callable[[jax.Array, Any], jax.Array]
    objective: Callable[[jax.Array, Any, Any], jax.Array]
    draw: Callable[[int, int, int], Any]
    values: Any
    theta0: np.ndarray
    seed: int = 0
    treat_gradient: Callable[[jax.Array, Any], jax.Array] = lambda grad, values: grad
    treat_step: Callable[[jax.Array, Any], jax.Array] = lambda step, values: step
    watch: Callable[[jax.Array, Any], jax.Array] | None = None


def from_surface(
    surface: Surface,
    start: tuple[float, float],
    *,
    surface_values: dict[str, Any] | None = None,
    noise: float = 0.0,
    l2: float = 0.0,
    seed: int = 0,
) -> Problem:
    """Descent on a surface from `start`.

    `noise` is the standard deviation σ of the normal noise that is added to each coordinate of each gradient: the
    step's loss is tilted by σ·ξ·θ, so that its value, gradient and Hessian agree with one another. `l2` adds the
    coupled penalty ½·l2·‖θ‖², whose gradient goes through the rule like the rest.
    """
    own = surface.hyper(**(surface_values or {}))

    def loss(theta, values):
        return surface.fn(theta[0], theta[1], **surface.unpack(values["surface"], own.static))

    def objective(theta, draw, values):
        penalty = 0.5 * values["l2"] * jnp.sum(theta**2)
        return loss(theta, values) + penalty + values["noise"] * jnp.sum(draw * theta)

    return Problem(
        key=(surface.fn, own.static),
        loss=loss,
        objective=objective,
        draw=standard_normal,
        values={"surface": own.traced, "noise": np.float64(noise), "l2": np.float64(l2)},
        theta0=np.array(start, dtype=np.float64),
        seed=seed,
    )


def standard_normal(seed: int, first: int, count: int) -> np.ndarray:
    """Two independent standard normal numbers ξ for each step, (count, 2).

    A generator that counts makes them a block at a time, so that any piece of a run can be drawn by itself. NumPy's,
    because random numbers take JAX longer to compile than any rule.
    """
    end = first + count
    blocks = range(first // BLOCK, (end - 1) // BLOCK + 1)
    rows = [
        # of a block only what is asked for: the numbers come one after another
        np.random.Generator(np.random.Philox(key=seed | b << 64)).standard_normal((min(BLOCK, end - b * BLOCK), 2))
        for b in blocks
    ]
    start = first - blocks[0] * BLOCK
    return np.concatenate(rows)[start : start + count]


# A network and its data ----------------------------------------------------------------------------------------------


def from_network(
    network: Network,
    x: np.ndarray,
    target: np.ndarray,
    theta0: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    batch_size: int = 0,
    dropout: Sequence[float] = (),
    inverted: bool = True,
    input_noise: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    label_smoothing: float = 0.0,
    clip: float = 0.0,
    bias_lr: float = 1.0,
    delta: float = 1.0,
    seed: int = 0,
) -> Problem:
    """Training a network on inputs x (m, d) and targets (m, k), from theta0 (n,).

    A step sees one batch of `batch_size` examples (0: all of them). Every epoch goes through all examples once, in an
    order of its own that follows from the seed; the last batch of an epoch has what is left. `dropout` holds one rate
    for each hidden layer. `input_noise` is the deviation of normal noise on the batch's inputs, new in every epoch.
    `l1` and `l2` hold back the weights, not the biases. `clip` is the largest norm that a gradient may have, 0 for
    any: a longer one is shortened to exactly that. `bias_lr` multiplies the steps of biases and shifts.

    All of these are numbers that a compiled program is given; the network and the batch size are what it is compiled
    for. `loss` is the mean over all examples without penalties, by population statistics and with nothing dropped.

    Schedules that watch see, once an epoch, the mean loss over the examples (x, target) of `validation`, or over the
    training examples if there are none: without penalties and smoothing, with nothing dropped and, in batch
    normalization, by the statistics of the training examples.
    """
    examples, hidden = len(x), len(network.widths) - 2
    size = batch_size if 0 < batch_size < examples else examples
    rates = np.array(dropout or [0.0] * hidden, dtype=np.float64)
    numbers = np.array([inverted, l1, l2, label_smoothing, clip, delta], dtype=np.float64)

    def loss(theta, values):
        inverted, *_, smoothing, _, delta = values["numbers"]
        factors = measuring_factors(network, values["rates"], inverted, jnp)
        output, _ = forward(network, network.unravel(theta), values["x"], factors=factors, xp=jnp)
        return data_loss(network, output, values["target"], smoothing=smoothing, delta=delta, xp=jnp)

    def watch(theta, values):
        inverted, *_, delta = values["numbers"]
        layers, factors = network.unravel(theta), measuring_factors(network, values["rates"], inverted, jnp)
        statistics = None
        if network.normalization == "batch":
            _, passes = forward(network, layers, values["x"], factors=factors, xp=jnp)
            statistics = [one.statistics for one in passes]
        kept, answers = values["watched"]
        output, _ = forward(network, layers, kept, factors=factors, statistics=statistics, xp=jnp)
        return data_loss(network, output, answers, delta=delta, xp=jnp)

    def objective(theta, draw, values):
        inverted, l1, l2, smoothing, _, delta = values["numbers"]
        layers, share = network.unravel(theta), draw["share"]
        factors = training_factors(network, draw["kept"], values["rates"], inverted, jnp)
        output, _ = forward(network, layers, draw["x"], factors=factors, share=share, xp=jnp)
        mean = data_loss(network, output, draw["target"], share=share, smoothing=smoothing, delta=delta, xp=jnp)
        return mean + penalty(layers, l1, l2, jnp)

    def treat_gradient(grad, values):
        clip = values["numbers"][4]
        norm = jnp.sqrt(jnp.sum(grad**2))
        return grad * jnp.where((clip > 0) & (norm > clip), clip / norm, 1.0)

    def draw(seed, first, count):
        rows, share = batches(seed, examples, size, first, count)
        inputs = x[rows]
        if input_noise > 0:
            inputs = inputs + input_noise * _epoch_noise(seed, x.shape, size, first, count)
        kept = _kept(seed, size, network.widths[1:-1], rates, first, count)
        return {"x": inputs, "target": target[rows], "share": share, "kept": kept}

    return Problem(
        key=("network", network, size),
        loss=loss,
        objective=objective,
        draw=draw,
        values={
            "numbers": numbers,
            "rates": rates,
            "stretch": network.each(1.0, bias_lr, 1.0, bias_lr),
            "x": x,
            "target": target,
            "watched": (x, target) if validation is None else validation,
            "every": np.float64(-(-examples // size)),
        },
        theta0=theta0,
        seed=seed,
        treat_gradient=treat_gradient,
        treat_step=lambda step, values: step * values["stretch"],
        watch=watch,
    )


def batches(seed: int, examples: int, size: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which examples each of `count` steps from number `first` on sees, (count, size), and what each counts, 1 or 0.

    Every example comes exactly once an epoch. The last batch of an epoch is filled up with examples that count 0, so
    that all batches have one shape.
    """
    each = -(-examples // size)  # batches an epoch
    rows, share = np.zeros((count, size), np.int64), np.ones((count, size))
    steps = np.arange(first, first + count)
    left = examples - (each - 1) * size
    share[steps % each == each - 1, left:] = 0.0
    per_block = _epochs_a_block(examples)
    for block in range(first // each // per_block, (first + count - 1) // each // per_block + 1):
        orders = _orders(seed, block, examples, size)
        own = steps // each // per_block == block
        rows[own] = orders[steps[own] - block * per_block * each]
    return rows, share


def _epochs_a_block(examples: int) -> int:
    return max(1, 16384 // examples)  # orders are drawn for several epochs at a time: a call costs more than a number


@lru_cache(maxsize=256)  # of 130 kB each, or one epoch of the largest data set
def _orders(seed: int, block: int, examples: int, size: int) -> np.ndarray:
    """The examples of each batch of a block of epochs, (batches, size)."""
    each, epochs = -(-examples // size), _epochs_a_block(examples)
    orders = np.zeros((epochs, each * size), np.int64)
    orders[:, :examples] = np.arange(examples)
    if size < examples:
        rng = np.random.default_rng([seed, 1, block])
        orders[:, :examples] = rng.permuted(orders[:, :examples], axis=1)
    return orders.reshape(epochs * each, size)


def _epoch_noise(seed: int, shape: tuple[int, int], size: int, first: int, count: int) -> np.ndarray:
    """Standard normal numbers for the inputs of `count` steps, (count, size, d)."""
    each = -(-shape[0] // size)
    epochs = range(first // each, (first + count - 1) // each + 1)
    noise = np.concatenate([_noise(seed, epoch, each, size, shape[1]) for epoch in epochs])
    return noise[first - epochs[0] * each :][:count]


@lru_cache(maxsize=64)
def _noise(seed: int, epoch: int, each: int, size: int, features: int) -> np.ndarray:
    return np.random.default_rng([seed, 2, epoch]).standard_normal((each, size, features))


def _kept(seed: int, size: int, widths: Sequence[int], rates: np.ndarray, first: int, count: int) -> np.ndarray:
    """Which hidden units are kept in `count` steps, (count, size, units), each with probability 1 − its layer's rate.

    The numbers behind it depend on nothing but the seed, the step and the shape: a higher rate drops more of the same.
    """
    units = sum(widths)
    if not rates.any():
        return np.ones((count, size, units), bool)
    limits = np.repeat(np.round(rates * 2.0**32), widths)
    block = max(1, 16384 // (size * units))
    blocks = range(first // block, (first + count - 1) // block + 1)
    chances = np.concatenate([_chances(seed, number, block, size, units) for number in blocks])
    return chances[first - blocks[0] * block :][:count] >= limits


@lru_cache(maxsize=8)
def _chances(seed: int, number: int, block: int, size: int, units: int) -> np.ndarray:
    return np.random.default_rng([seed, 3, number]).integers(0, 2**32, (block, size, units), np.uint32)
