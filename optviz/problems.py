"""What a run descends on.

A 2-D surface and a network's loss are the same thing to an optimizer: a number that depends on a flat vector θ
and on what chance contributes to this step. Chance is drawn apart from the loss, for all steps at once, so that the
loop itself stays free of random numbers and every racer of one seed meets the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optviz.networks import NARROW, Network, data_loss, forward, measuring_factors, penalty, training_factors
from optviz.surfaces import Surface

BLOCK = 5000  # steps whose chance is drawn at a time
LANES = 4  # double-precision numbers that a processor takes at once: narrow networks have batches of so many places


@dataclass(frozen=True)
class Problem:
    """A loss of a flat vector θ (n,).

    `loss(theta, values)` is what is reported; `objective(theta, draw, values)` is what a step descends on;
    `draw(seed, first, count)` is what chance gives to `count` steps from number `first` on, in NumPy. `values` holds
    the arrays that may change without a compilation, and `key` names everything else: two problems of equal key compile
    to the same program. `treat_gradient(grad, norm, values)` is what the rule gets for a gradient of that length, and
    `treat_step(step, values)` what θ gets for the rule's step; on a surface, both leave it as it is.

    `watch(theta, values)` is the loss that a watching schedule sees, before the steps 0, E, 2E, … for E =
    values["every"]. Without it, as on a surface, such a schedule sees `loss` before every step.

    The rest makes runs together quick. A network's draws are arrays by name, (count, examples of a batch, …), and
    `draw(seed, first, count, into)` writes them into arrays that may have more steps and more examples, which count for
    nothing; `places` is the number of examples that suits a program best. `plain` is a condition on the values, and
    a problem that is equal to this one, with less work, where they meet it.
    """

    key: Hashable
    loss: Callable[[jax.Array, Any], jax.Array]
    objective: Callable[[jax.Array, Any, Any], jax.Array]
    draw: Callable[..., Any]
    values: Any
    theta0: np.ndarray
    seed: int = 0
    treat_gradient: Callable[[jax.Array, jax.Array, Any], jax.Array] = lambda grad, norm, values: grad
    treat_step: Callable[[jax.Array, Any], jax.Array] = lambda step, values: step
    watch: Callable[[jax.Array, Any], jax.Array] | None = None
    slope_in_parts: Callable[[jax.Array, Any, Any], tuple[jax.Array, jax.Array, jax.Array]] | None = None
    places: int = 0
    plain: tuple[Callable[[Any], jax.Array], Problem] | None = None

    @property
    def slope(self) -> Callable[[jax.Array, Any, Any], tuple[jax.Array, jax.Array, jax.Array]]:
        """The objective, its gradient (n,) and the length of that, as a function (theta, draw, values) for a compiled
        program: it holds on to none of the problem's arrays."""
        objective = self.objective

        def slope(theta, draw, values):
            value, grad = jax.value_and_grad(objective)(theta, draw, values)
            return value, grad, jnp.sqrt(jnp.sum(grad**2))

        return self.slope_in_parts or slope


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
    x, target = (np.asarray(part, dtype=np.float64) for part in (x, target))
    examples, hidden = len(x), len(network.widths) - 2
    size = batch_size if 0 < batch_size < examples else examples
    narrow = max(network.widths) <= NARROW
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

    def plain_loss(layers, draw, values, factors=None):
        *_, smoothing, _, delta = values["numbers"]
        share = draw["share"]
        output, _ = forward(network, layers, draw["x"], factors=factors, share=share, xp=jnp)
        return data_loss(network, output, draw["target"], share=share, smoothing=smoothing, delta=delta, xp=jnp)

    def full_loss(layers, draw, values):
        inverted, l1, l2, *_ = values["numbers"]
        factors = training_factors(network, draw["kept"], values["rates"], inverted, jnp)
        return plain_loss(layers, draw, values, factors) + penalty(layers, l1, l2, jnp)

    def is_plain(values):
        _, l1, l2, *_ = values["numbers"]
        return (l1 == 0) & (l2 == 0) & jnp.all(values["rates"] == 0)

    def on(of_layers):
        def objective(theta, draw, values):
            return of_layers(network.unravel(theta), draw, values)

        def slope_in_parts(theta, draw, values):
            # Each part of the gradient is asked for twice, by its own shape and flat. So XLA computes it by that shape,
            # as a sum of rows, which a processor takes several at a time; straight into θ's order, number by number.
            value, grads = jax.value_and_grad(of_layers)(network.unravel(theta), draw, values)
            squares = [jnp.sum(jnp.sum(part**2, axis=0)) for part in jax.tree.leaves(grads)]
            return value, network.ravel(grads, jnp), jnp.sqrt(sum(squares))

        return objective, slope_in_parts

    def treat_gradient(grad, norm, values):
        clip = values["numbers"][4]
        return grad * jnp.where((clip > 0) & (norm > clip), clip / norm, 1.0)

    def draw(seed, first, count, into=None):
        if into is None:
            lead = (count, size)
            into = {"x": np.empty((*lead, x.shape[1])), "target": np.empty((*lead, target.shape[1]))}
            into |= {"share": np.empty(lead), "kept": np.empty((*lead, network.units), bool)}
        into = {name: part[:count] for name, part in into.items()}
        rows = _rows(seed, examples, size, into["share"].shape[1], first, count)
        _fill_share(into["share"], examples, size, first)
        for table, name in ((x, "x"), (target, "target")):
            np.take(table, rows, axis=0, out=into[name], mode="clip")  # the other modes write to memory of their own
        if input_noise > 0:
            into["x"][:, :size] += input_noise * _epoch_noise(seed, x.shape, size, first, count)
        if rates.any():
            into["kept"][:, :size] = _kept(seed, size, network.widths[1:-1], rates, first, count)
            into["kept"][:, size:] = True
        else:
            into["kept"].fill(True)
        return into

    objective, slope_in_parts = on(full_loss)
    problem = Problem(
        key=("network", network, size),
        loss=loss,
        objective=objective,
        slope_in_parts=slope_in_parts,
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
        places=-(-size // LANES) * LANES if narrow and size > 1 else size,
        treat_gradient=treat_gradient,
        treat_step=lambda step, values: step * values["stretch"],
        watch=watch,
    )
    if not narrow:
        return problem
    objective, slope_in_parts = on(plain_loss)
    return replace(problem, plain=(is_plain, replace(problem, objective=objective, slope_in_parts=slope_in_parts)))


def batches(seed: int, examples: int, size: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which examples each of `count` steps from number `first` on sees, (count, size), and what each counts, 1 or 0.

    Every example comes exactly once an epoch. The last batch of an epoch is filled up with examples that count 0, so
    that all batches have one shape. The first array is shared and read-only.
    """
    share = np.empty((count, size))
    _fill_share(share, examples, size, first)
    return _rows(seed, examples, size, size, first, count), share


def _rows(seed: int, examples: int, size: int, wide: int, first: int, count: int) -> np.ndarray:
    """The examples of each batch, filled up to so many places."""
    length = _epochs_a_block(examples) * -(-examples // size)
    blocks = range(first // length, (first + count - 1) // length + 1)
    orders = [
        _orders(seed, block, examples, size, wide)[max(first - block * length, 0) : first + count - block * length]
        for block in blocks
    ]
    return orders[0] if len(orders) == 1 else np.concatenate(orders)


def _fill_share(share: np.ndarray, examples: int, size: int, first: int) -> None:
    """What each place of each batch counts, into share (count, places)."""
    each = -(-examples // size)  # batches an epoch
    share.fill(1.0)
    share[:, size:] = 0.0
    share[(each - 1 - first) % each :: each, examples - (each - 1) * size :] = 0.0


def _epochs_a_block(examples: int) -> int:
    return max(1, 16384 // examples)  # orders are drawn for several epochs at a time: a call costs more than a number


@lru_cache(maxsize=256)  # of 130 kB each, or one epoch of the largest data set
def _orders(seed: int, block: int, examples: int, size: int, wide: int) -> np.ndarray:
    """The examples of each batch of a block of epochs, (batches, wide)."""
    each, epochs = -(-examples // size), _epochs_a_block(examples)
    orders = np.zeros((epochs, each * size), np.int64)
    orders[:, :examples] = np.arange(examples)
    if size < examples:
        rng = np.random.default_rng([seed, 1, block])
        orders[:, :examples] = rng.permuted(orders[:, :examples], axis=1)
    # by examples of the batch itself, so that no other one can overflow in its place
    padded = np.pad(orders.reshape(epochs * each, size), ((0, 0), (0, wide - size)), mode="edge")
    padded.setflags(write=False)
    return padded


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
    limits = np.repeat(np.round(rates * 2.0**32), widths)
    block = max(1, 16384 // (size * units))
    blocks = range(first // block, (first + count - 1) // block + 1)
    chances = np.concatenate([_chances(seed, number, block, size, units) for number in blocks])
    return chances[first - blocks[0] * block :][:count] >= limits


@lru_cache(maxsize=8)
def _chances(seed: int, number: int, block: int, size: int, units: int) -> np.ndarray:
    return np.random.default_rng([seed, 3, number]).integers(0, 2**32, (block, size, units), np.uint32)
