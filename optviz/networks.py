"""Small networks: activations, initial weights and losses as catalogues, and the multilayer perceptron made of them.

An architecture is a value, `Network`; its parameters are one flat vector θ, as everywhere in this project. In θ the
layers stand one after another, the one next to the inputs first, and each is laid out as

    weight (fan_in, fan_out) row by row, bias (fan_out,), and in a normalized layer gain (fan_out,), shift (fan_out,)

`unravel` cuts θ into these pieces. A hidden layer computes z = x·W + b, normalizes z over the batch or over the layer
if asked to, applies the activation and drops units; the last layer is linear.

`forward` is written once for two libraries: with `xp=jnp` it is what the loop differentiates, with `xp=np` it is what
measures, and what `backward` continues by hand: backpropagation as plain matrix formulas, equal to `jax.grad`. Both
accept leading axes in front of θ (one for each seed) when the library is NumPy.

Batch normalization uses the batch's own statistics in training and the population's when measuring. The population's
are not a running average: whoever measures computes them over the whole training set at that moment. So nothing
hidden is carried from step to step, and a run that is cut in pieces stays the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf as jax_erf
from scipy.special import erf as scipy_erf

from optviz.spec import Catalogue, Entry, Param, Source

HIDDEN_AT_MOST, WIDTH_AT_MOST = 6, 256
NORMALIZATIONS = ("none", "batch", "layer")
FORMS = ("inverted", "classic")
EPS = 1e-5  # what normalization adds to a variance, as PyTorch does
NARROW = 10  # up to this width a product is multiply-and-reduce, which XLA fuses into the loop's one kernel


# Activations ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Activation(Entry):
    """An activation's card. `slope(z)` is its derivative in NumPy, `steepest` the largest that this can be, and `gain`
    what the deviation of initial weights is multiplied with so that it keeps a signal's size (PyTorch's table)."""

    slope: Callable[[np.ndarray], np.ndarray]
    steepest: float = 1.0
    gain: float = 1.0


ACTIVATIONS: Catalogue[Activation] = Catalogue("activation", Activation, argument=("z",), supplies=("xp", "erf"))
activation = ACTIVATIONS.declare

LEAK = 0.01


@activation(
    title="ReLU",
    formula=r"\max(0, z)",
    source=Source("Nair & Hinton", 2010, "Rectified Linear Units Improve Restricted Boltzmann Machines"),
    slope=lambda z: (z > 0) * 1.0,
    gain=np.sqrt(2),
    note="The derivative at 0 is taken as 0, as in PyTorch.",
)
def relu(z, *, xp):
    """Passes what is positive: never saturates there, but a unit that is never positive no longer learns."""
    return xp.where(z > 0, z, 0.0)


@activation(
    title="Leaky ReLU",
    formula=r"\max(0.01\,z, z)",
    source=Source("Maas, Hannun & Ng", 2013, "Rectifier Nonlinearities Improve Neural Network Acoustic Models"),
    slope=lambda z: np.where(z > 0, 1.0, LEAK),
    gain=np.sqrt(2 / (1 + LEAK**2)),
)
def leaky_relu(z, *, xp):
    """ReLU that lets a hundredth of the negative side through, so that no unit dies."""
    return xp.where(z > 0, z, LEAK * z)


@activation(
    title="GELU",
    formula=r"z\,\Phi(z)",
    source=Source("Hendrycks & Gimpel", 2016, "Gaussian Error Linear Units", "https://arxiv.org/abs/1606.08415"),
    slope=lambda z: 0.5 * (1 + scipy_erf(z / np.sqrt(2))) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi),
    steepest=1.1289041,
    note="The exact form with the error function, PyTorch's default.",
)
def gelu(z, *, erf):
    """A smooth ReLU: each value is weighted with the share of a normal distribution that lies below it."""
    return 0.5 * z * (1 + erf(z / np.sqrt(2)))


@activation(
    title="SiLU",
    formula=r"z\,\sigma(z)",
    source=Source("Elfwing, Uchibe & Doya", 2018, "Sigmoid-Weighted Linear Units", "https://arxiv.org/abs/1702.03118"),
    slope=lambda z: _sigmoid(z, np) * (1 + z * (1 - _sigmoid(z, np))),
    steepest=1.0998394,
)
def silu(z, *, xp):
    """A smooth ReLU that dips a little below zero; also called swish."""
    return z * _sigmoid(z, xp)


@activation(
    title="tanh",
    formula=r"\tanh z",
    source=Source("LeCun, Bottou, Orr & Müller", 1998, "Efficient BackProp"),
    slope=lambda z: 1 - np.tanh(z) ** 2,
    gain=5 / 3,
)
def tanh(z, *, xp):
    """Squashes to −1…1 around zero; far from zero it saturates and passes no gradient."""
    return xp.tanh(z)


@activation(
    title="Sigmoid",
    formula=r"\frac{1}{1 + e^{-z}}",
    source=Source("Rumelhart, Hinton & Williams", 1986, "Learning representations by back-propagating errors"),
    slope=lambda z: _sigmoid(z, np) * (1 - _sigmoid(z, np)),
    steepest=0.25,
)
def sigmoid(z, *, xp):
    """Squashes to 0…1: never centred on zero, and its slope is at most a quarter."""
    return _sigmoid(z, xp)


@activation(
    title="Identity",
    formula="z",
    source=Source("Saxe, McClelland & Ganguli", 2014, "Exact solutions to the nonlinear dynamics of learning"),
    slope=np.ones_like,
)
def identity(z):
    """No activation: however many layers, the network stays a linear map."""
    return z


def _sigmoid(z, xp):
    return 0.5 * (1 + xp.tanh(0.5 * z))  # unlike 1/(1 + e⁻ᶻ) it cannot overflow, nor can its derivative


# Initial weights -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Init(Entry):
    """An initialization's card. `variance(fan_in, fan_out, scale)` is the variance of one weight by theory."""

    variance: Callable[[int, int, float], float]


INITS: Catalogue[Init] = Catalogue("initialization", Init, argument=("rng", "fan_in", "fan_out"), supplies=("scale",))
GLOROT = Source("Glorot & Bengio", 2010, "Understanding the difficulty of training deep feedforward neural networks")
HE = Source("He, Zhang, Ren & Sun", 2015, "Delving Deep into Rectifiers", "https://arxiv.org/abs/1502.01852")
EFFICIENT = Source("LeCun, Bottou, Orr & Müller", 1998, "Efficient BackProp")


def _scale(default: float, help: str) -> Param:
    return Param("scale", "s", default, 0.01, 10.0, log=True, domain="[0, 1e6]", title="initial scale", help=help)


GAIN = _scale(1.0, "Multiplies every initial weight. 5/3 is the usual gain under tanh.")
init = INITS.declare


@init(title="Zeros", formula="0", source=EFFICIENT, variance=lambda i, o, s: 0.0)
def zeros(rng, fan_in, fan_out):
    """All weights zero: every unit of a layer stays the same as its neighbours."""
    return np.zeros((fan_in, fan_out))


@init(
    title="Constant",
    formula="s",
    params=(_scale(0.1, "The value of every initial weight."),),
    source=EFFICIENT,
    variance=lambda i, o, s: 0.0,
)
def constant(rng, fan_in, fan_out, *, scale):
    """All weights the same number: symmetric units that cannot tell themselves apart."""
    return np.full((fan_in, fan_out), float(scale))


@init(
    title="Normal",
    formula=r"\mathcal N(0, s^2)",
    params=(_scale(0.1, "Standard deviation of every initial weight."),),
    source=EFFICIENT,
    variance=lambda i, o, s: s**2,
)
def normal(rng, fan_in, fan_out, *, scale):
    """Normal numbers of one deviation in every layer, however wide."""
    return scale * rng.standard_normal((fan_in, fan_out))


def _uniform(rng, fan_in, fan_out, deviation):
    return rng.uniform(-1.0, 1.0, (fan_in, fan_out)) * np.sqrt(3) * deviation


def _xavier(fan_in, fan_out, scale):
    return scale**2 * 2 / (fan_in + fan_out)


def _he(fan_in, fan_out, scale):
    return scale**2 * 2 / fan_in


@init(
    title="Xavier uniform",
    params=(GAIN,),
    formula=r"\mathcal U(-a, a),\; a = s\sqrt{6/(n_{in}+n_{out})}",
    source=GLOROT,
    variance=_xavier,
)
def xavier_uniform(rng, fan_in, fan_out, *, scale):
    """Keeps the size of signals and gradients where the activation is nearly linear; also called Glorot."""
    return _uniform(rng, fan_in, fan_out, np.sqrt(_xavier(fan_in, fan_out, scale)))


@init(
    title="Xavier normal",
    params=(GAIN,),
    formula=r"\mathcal N(0, 2s^2/(n_{in}+n_{out}))",
    source=GLOROT,
    variance=_xavier,
)
def xavier_normal(rng, fan_in, fan_out, *, scale):
    """Xavier's deviation with normal numbers."""
    return np.sqrt(_xavier(fan_in, fan_out, scale)) * rng.standard_normal((fan_in, fan_out))


@init(title="He uniform", params=(GAIN,), formula=r"\mathcal U(-a, a),\; a = s\sqrt{6/n_{in}}", source=HE, variance=_he)
def he_uniform(rng, fan_in, fan_out, *, scale):
    """Keeps the second moment of pre-activations under ReLU, which cuts half of it away; also called Kaiming."""
    return _uniform(rng, fan_in, fan_out, np.sqrt(_he(fan_in, fan_out, scale)))


@init(title="He normal", params=(GAIN,), formula=r"\mathcal N(0, 2s^2/n_{in})", source=HE, variance=_he)
def he_normal(rng, fan_in, fan_out, *, scale):
    """He's deviation with normal numbers."""
    return np.sqrt(_he(fan_in, fan_out, scale)) * rng.standard_normal((fan_in, fan_out))


@init(
    title="LeCun normal",
    params=(GAIN,),
    formula=r"\mathcal N(0, s^2/n_{in})",
    source=EFFICIENT,
    variance=lambda i, o, s: s**2 / i,
)
def lecun_normal(rng, fan_in, fan_out, *, scale):
    """Keeps the variance of a linear layer's output."""
    return scale / np.sqrt(fan_in) * rng.standard_normal((fan_in, fan_out))


@init(
    title="Orthogonal",
    params=(GAIN,),
    formula=r"s\,Q,\; Q^\top Q = I",
    source=Source("Saxe, McClelland & Ganguli", 2014, "Exact solutions to the nonlinear dynamics of learning"),
    variance=lambda i, o, s: s**2 / max(i, o),
)
def orthogonal(rng, fan_in, fan_out, *, scale):
    """A rotation, or the part of one that fits: every direction keeps its length."""
    tall = rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # or the rotations would not be uniform (Mezzadri 2007)
    return scale * (q if fan_in >= fan_out else q.T)


# Losses --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Loss(Entry):
    """A loss's card: a function of the outputs and targets (m, k) that gives each example's loss (m,). `slope(output,
    target, delta)` is its derivative by the outputs, in NumPy."""

    slope: Callable[[np.ndarray, np.ndarray, float], np.ndarray]


LOSSES: Catalogue[Loss] = Catalogue("loss", Loss, argument=("output", "target"), supplies=("xp", "still", "delta"))
LEGENDRE = Source("Legendre", 1805, "Nouvelles méthodes pour la détermination des orbites des comètes")


def _softmax(output):
    powers = np.exp(output - output.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@LOSSES.declare(
    title="Cross-entropy",
    formula=r"-\sum_j y_j \log\,\mathrm{softmax}(o)_j",
    source=Source("Bridle", 1990, "Probabilistic Interpretation of Feedforward Classification Network Outputs"),
    slope=lambda output, target, delta: _softmax(output) * target.sum(axis=-1, keepdims=True) - target,
)
def cross_entropy(output, target, *, xp, still):
    """How surprised the softmax of the outputs is by the true class, in nats."""
    shifted = output - still(output.max(axis=-1, keepdims=True))
    return xp.log(xp.exp(shifted).sum(axis=-1)) * target.sum(axis=-1) - (target * shifted).sum(axis=-1)


@LOSSES.declare(
    title="Squared error",
    formula=r"\tfrac1k\sum_j (o_j - y_j)^2",
    source=LEGENDRE,
    slope=lambda output, target, delta: 2 * (output - target) / output.shape[-1],
    note="The mean over outputs, without the half, as PyTorch's MSELoss.",
)
def squared_error(output, target):
    """The squared distance between outputs and targets; classes are targets of 0 and 1."""
    return ((output - target) ** 2).mean(axis=-1)


@LOSSES.declare(
    title="Huber",
    formula=r"\tfrac12 e^2 \text{ if } |e| \le \delta \text{ else } \delta(|e| - \tfrac12\delta)",
    source=Source(
        "Huber", 1964, "Robust Estimation of a Location Parameter", "https://doi.org/10.1214/aoms/1177703732"
    ),
    slope=lambda output, target, delta: np.clip(output - target, -delta, delta) / output.shape[-1],
    note="The mean over outputs, as PyTorch's HuberLoss.",
)
def huber(output, target, *, xp, delta):
    """Squared for small errors and linear for large ones, so that outliers pull less."""
    error = output - target
    size = xp.abs(error)
    return xp.where(size <= delta, 0.5 * error**2, delta * (size - 0.5 * delta)).mean(axis=-1)


# The network ---------------------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """One layer's part of θ."""

    weight: Any  # (fan_in, fan_out)
    bias: Any  # (fan_out,)
    gain: Any = None  # (fan_out,) of a normalized layer
    shift: Any = None


@dataclass(frozen=True)
class Network:
    """The architecture of a multilayer perceptron. `widths` counts inputs, hidden units and outputs; hidden layers are
    normalized and activated, the last layer is neither. `classes` says that targets are classes, which is what label
    smoothing acts on. Raises ValueError, with what is allowed, if there is no such network."""

    widths: tuple[int, ...]
    activation: str = "relu"
    normalization: str = "none"
    loss: str = "cross_entropy"
    classes: bool = True

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(int(width) for width in self.widths))
        hidden_widths(self.widths[1:-1])
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError("a network needs at least one input and one output")
        ACTIVATIONS.find(self.activation)
        LOSSES.find(self.loss)
        if self.normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, not {self.normalization!r}")

    @cached_property
    def shapes(self) -> tuple[Layer, ...]:
        """The shapes of the layers' parts, in the order in which they stand in θ."""
        pairs = list(zip(self.widths[:-1], self.widths[1:], strict=True))
        return tuple(
            Layer((i, o), (o,), *(((o,), (o,)) if self.normalization != "none" and layer < len(pairs) - 1 else ()))
            for layer, (i, o) in enumerate(pairs)
        )

    @cached_property
    def size(self) -> int:
        """How many parameters θ has."""
        return sum(int(np.prod(shape)) for layer in self.shapes for shape in layer if shape is not None)

    @property
    def units(self) -> int:
        """How many hidden units there are."""
        return sum(self.widths[1:-1])

    @cached_property
    def _places(self) -> list[tuple[tuple[int, ...], int, int]]:
        """The shape of each part, and where in θ it begins and ends."""
        shapes = [shape for layer in self.shapes for shape in layer if shape is not None]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes]).tolist()
        return list(zip(shapes, [0, *ends], ends, strict=False))

    def unravel(self, theta: Any) -> list[Layer]:
        """θ (…, n) cut into layers."""
        if isinstance(theta, jax.Array):
            # JAX differentiates a split into one concatenation, and slices into a sum of padded copies
            cut = jnp.split(theta, [end for *_, end in self._places[:-1]], axis=-1)
        else:
            cut = [theta[..., start:end] for _, start, end in self._places]
        pieces = (part.reshape(*theta.shape[:-1], *shape) for part, (shape, *_) in zip(cut, self._places, strict=True))
        return [Layer(*(None if shape is None else next(pieces) for shape in layer)) for layer in self.shapes]

    def ravel(self, layers: Iterable[Layer], xp: Any = np) -> Any:
        """The inverse of `unravel`."""
        parts = [part for layer in layers for part in layer if part is not None]
        lead = np.ndim(parts[0]) - 2
        return xp.concatenate([xp.reshape(part, (*np.shape(part)[:lead], -1)) for part in parts], axis=-1)

    def each(self, weight: float, bias: float, gain: float, shift: float) -> np.ndarray:
        """A vector like θ with one number for all weights, one for all biases and so on."""
        numbers = (weight, bias, gain, shift)
        return self.ravel(
            Layer(*(None if shape is None else np.full(shape, n) for n, shape in zip(numbers, layer, strict=True)))
            for layer in self.shapes
        )

    def start(self, init: str, seed: int, scale: float | None = None) -> np.ndarray:
        """Initial parameters θ (n,): weights as `init` draws them from the seed, biases and shifts 0, gains 1.

        Layers draw one after another from one generator of NumPy's, so the same seed gives the same network on any
        machine, and nothing is compiled.
        """
        rng = np.random.default_rng([seed, 0])
        entry = INITS.find(init)
        given = entry.complete({} if scale is None or not entry.params else {"scale": scale})
        layers = [
            Layer(entry.fn(rng, *shape.weight, **given), np.zeros(shape.bias), *_gain_and_shift(shape))
            for shape in self.shapes
        ]
        return self.ravel(layers)


def _gain_and_shift(shape: Layer) -> tuple:
    return () if shape.gain is None else (np.ones(shape.gain), np.zeros(shape.shift))


def hidden_widths(hidden: Sequence[int]) -> tuple[int, ...]:
    """The widths of hidden layers, checked. Raises ValueError with what is allowed."""
    hidden = tuple(hidden)
    fine = all(isinstance(width, int | np.integer) and 1 <= width <= WIDTH_AT_MOST for width in hidden)
    if len(hidden) > HIDDEN_AT_MOST or not fine:
        raise ValueError(
            f"a network has 0 to {HIDDEN_AT_MOST} hidden layers of 1 to {WIDTH_AT_MOST} units, not {hidden!r}"
        )
    return tuple(int(width) for width in hidden)


class Pass(NamedTuple):
    """What one layer did on the way forward. All of shape (…, m, width), except the statistics."""

    inputs: Any
    linear: Any  # x·W + b
    normal: Any  # normalized, before gain and shift; None without normalization
    spread: Any  # the deviation that was divided by
    z: Any  # what goes into the activation
    a: Any  # what comes out of it
    factor: Any  # what dropout multiplied it with; 1 where nothing was dropped
    statistics: Any  # (mean, variance), each (…, 1, width), of batch normalization


def forward(
    network: Network,
    layers: Sequence[Layer],
    x: Any,
    *,
    factors: Sequence[Any] | None = None,
    share: Any = None,
    statistics: Sequence[Any] | None = None,
    xp: Any = np,
) -> tuple[Any, list[Pass]]:
    """The outputs (…, m, k) for inputs x (m, d), and what every layer did.

    `factors` multiply the hidden activations (dropout's masks and scales). `share` (m,) weighs the examples in a
    batch's statistics, 0 for those that only fill the shape. `statistics` are the population's, one pair for each
    hidden layer; without them the batch's own are used.
    """
    act = ACTIVATIONS[network.activation]
    asked = _asked(act, xp)
    passes, last = [], len(layers) - 1
    for number, layer in enumerate(layers):
        linear = _times(x, layer.weight, xp) + layer.bias[..., None, :]
        if number == last:
            passes.append(Pass(x, linear, None, None, linear, linear, 1.0, None))
            break
        z, normal, spread, used = linear, None, None, None
        if layer.gain is not None:
            known = statistics[number] if statistics is not None else None
            normal, spread, used = _normalized(network.normalization, linear, share, known, xp)
            z = normal * layer.gain[..., None, :] + layer.shift[..., None, :]
        a = act.fn(z, **asked)
        factor = 1.0 if factors is None else factors[number]
        passes.append(Pass(x, linear, normal, spread, z, a, factor, used))
        x = a * factor
    return passes[-1].z, passes


def _asked(entry: Entry, xp: Any, **more: Any) -> dict[str, Any]:
    """The supplies that an activation or a loss asks for by name."""
    ours = xp is not np
    supplied = {"xp": xp, "erf": jax_erf if ours else scipy_erf, "still": jax.lax.stop_gradient if ours else np.asarray}
    return {name: (supplied | more)[name] for name in entry.needs}


def _times(x: Any, weight: Any, xp: Any) -> Any:
    """x·W. XLA does not fuse a matrix product into a loop's kernel; for narrow layers the sum written out is faster."""
    if xp is jnp and max(weight.shape) <= NARROW:
        return (x[..., :, None] * weight[..., None, :, :]).sum(axis=-2)
    return x @ weight


def _normalized(kind: str, z: Any, share: Any, known: Any, xp: Any) -> tuple[Any, Any, Any]:
    """z with mean 0 and variance 1 over the batch or over the layer; the deviation; the batch's statistics."""
    if kind == "layer":
        mean = z.mean(axis=-1, keepdims=True)
        variance = ((z - mean) ** 2).mean(axis=-1, keepdims=True)
        known = None
    elif known is not None:
        mean, variance = known
    else:
        weight = _example_weights(z, share)
        mean = (z * weight).sum(axis=-2, keepdims=True)
        variance = ((z - mean) ** 2 * weight).sum(axis=-2, keepdims=True)
        known = (mean, variance)
    spread = xp.sqrt(variance + EPS)
    return (z - mean) / spread, spread, known


def _example_weights(z: Any, share: Any) -> Any:
    """What each example counts in a mean over the batch: (m, 1), or one number."""
    return 1.0 / z.shape[-2] if share is None else (share / share.sum())[:, None]


def data_loss(
    network: Network, output: Any, target: Any, *, share: Any = None, smoothing: Any = 0.0, delta: Any = 1.0, xp=np
) -> Any:
    """The mean loss (…) of the examples, without penalties. `smoothing` moves that share of each class target to all
    classes alike; `share` weighs the examples."""
    entry = LOSSES[network.loss]
    each = entry.fn(output, smooth(network, target, smoothing), **_asked(entry, xp, delta=delta))
    return each.mean(axis=-1) if share is None else (each * (share / share.sum())).sum(axis=-1)


def smooth(network: Network, target: Any, smoothing: Any) -> Any:
    """Class targets (m, k) with label smoothing; other targets as they are."""
    return target * (1 - smoothing) + smoothing / target.shape[-1] if network.classes else target


def penalty(layers: Iterable[Layer], l1: Any, l2: Any, xp: Any = np) -> Any:
    """l1·Σ|w| + ½·l2·Σw² over the weights; biases, gains and shifts are not held back."""
    weights = [layer.weight for layer in layers]
    absolute = sum(xp.abs(weight).sum(axis=(-2, -1)) for weight in weights)
    return l1 * absolute + 0.5 * l2 * sum((weight**2).sum(axis=(-2, -1)) for weight in weights)


def backward(
    network: Network,
    layers: Sequence[Layer],
    passes: Sequence[Pass],
    target: np.ndarray,
    *,
    share: np.ndarray | None = None,
    smoothing: float = 0.0,
    delta: float = 1.0,
    l1: float = 0.0,
    l2: float = 0.0,
    fixed: bool = False,
) -> tuple[list[Layer], list[np.ndarray]]:
    """Backpropagation by hand: the gradient of mean loss plus penalties, layer by layer, and ∂loss/∂z of every layer.

    `passes` is what `forward` gave for the same batch. `fixed` says that batch normalization used given statistics,
    which do not depend on this batch.
    """
    act = ACTIVATIONS[network.activation]
    output = passes[-1].z
    weight = _example_weights(output, share)
    error = LOSSES[network.loss].slope(output, smooth(network, target, smoothing), delta) * weight
    grads: list[Layer] = []
    errors: list[np.ndarray] = []
    for number in reversed(range(len(layers))):
        layer, done = layers[number], passes[number]
        if number < len(layers) - 1:
            error = error * done.factor * act.slope(done.z)
        errors.append(error)
        gain = shift = None
        dlinear = error
        if layer.gain is not None:
            gain, shift = (error * done.normal).sum(axis=-2), error.sum(axis=-2)
            dlinear = _unnormalized(network.normalization, error * layer.gain[..., None, :], done, share, fixed)
        dweight = np.swapaxes(done.inputs, -1, -2) @ dlinear + l1 * np.sign(layer.weight) + l2 * layer.weight
        grads.append(Layer(dweight, dlinear.sum(axis=-2), gain, shift))
        error = dlinear @ np.swapaxes(layer.weight, -1, -2)
    return grads[::-1], errors[::-1]


def _unnormalized(kind: str, error: np.ndarray, done: Pass, share: Any, fixed: bool) -> np.ndarray:
    """∂loss/∂z from ∂loss/∂normal, where normal = (z − mean)/spread and both depend on z unless they are fixed."""
    if fixed and kind == "batch":
        return error / done.spread
    axis, weight = (-1, 1.0 / error.shape[-1]) if kind == "layer" else (-2, _example_weights(error, share))
    through_mean = error.sum(axis=axis, keepdims=True)
    through_spread = (error * done.normal).sum(axis=axis, keepdims=True)
    return (error - weight * (through_mean + done.normal * through_spread)) / done.spread


# Dropout -------------------------------------------------------------------------------------------------------------


def training_factors(network: Network, kept: Any, rates: Any, inverted: Any, xp: Any = np) -> list[Any]:
    """What dropout multiplies the activations of each hidden layer with in a training step, (m, width) each: a unit
    that is kept counts 1/(1 − rate) in the inverted form and 1 in the classic, one that is dropped 0.

    `kept` (m, units) says which units of which examples are kept, with all hidden layers side by side.
    """
    ends = np.cumsum(network.widths[1:-1])
    scales = xp.where(inverted, 1 / (1 - rates), 1.0)
    widths = network.widths[1:-1]
    return [kept[:, end - width : end] * scales[i] for i, (end, width) in enumerate(zip(ends, widths, strict=True))]


def measuring_factors(network: Network, rates: Any, inverted: Any, xp: Any = np) -> list[Any]:
    """What the hidden activations are multiplied with when nothing is dropped: the keep probability in the classic
    form, 1 in the inverted one, whose training factors have the same expectation."""
    return [xp.where(inverted, 1.0, 1.0 - rates[number]) for number in range(len(network.widths) - 2)]
