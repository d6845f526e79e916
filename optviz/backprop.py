"""Backpropagation, one node at a time: a small network small enough to see every number of it.

An `Example` is one training example on its way through a network of at most three inputs, two hidden layers of three
units and two outputs. `graph` computes it with plain numbers: forward, from the inputs to the loss, every node its
value and every edge the local derivative of its target by its source; backward, from the loss to the inputs, every node
its gradient by the one rule there is, the chain rule: *what arrives from each child is the child's gradient times the
local derivative of the edge, and where several paths meet, their contributions add up*. `walk` tells that in moments.
Nothing here knows JAX but `difference`, which asks `jax.grad` for a second opinion.

    x   an input            w, b  weight and bias       L   the loss            η   learning rate
    z   a weighted sum      a     an activation         y   the target          p   a probability

Indices are the usual ones: w²₁₃ is the weight of layer 2 from unit 3 of the layer before to unit 1. Layers count from
1; the last one is the output. The loss is a sum over outputs: ½(ŷ − y)², Huber's function with its corner at 1, or the
cross-entropy −Σ y·ln p of a softmax (of one output z, of z and 0, which makes p = σ(z)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz.programs import program
from optviz.query import MESSAGES_AT_MOST, VERSION, Query, forgiving, read_values, single
from optviz.spec import Param, Value, number

INPUTS_AT_MOST, HIDDEN_AT_MOST, WIDTH_AT_MOST, OUTPUTS_AT_MOST = 3, 2, 3, 2
ANYTHING = "[-1e6, 1e6]"  # with it no number of a walk overflows: a loss stays below 1e60


class Activation(NamedTuple):
    """A function of one number, its slope, how both are written of a number `z`, and a word about the slope."""

    value: Callable[[float], float]
    slope: Callable[[float], float]
    written: str
    slope_written: str
    note: str


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


# At a kink the slope is JAX's: 0 for the ReLU, 1 for the leaky one.
ACTIVATIONS = {
    "tanh": Activation(
        math.tanh, lambda z: 1 - math.tanh(z) ** 2, "tanh({z})", "tanh′({z})", "1 − tanh² there, at most 1"
    ),
    "sigmoid": Activation(
        _sigmoid,
        lambda z: _sigmoid(z) * (1 - _sigmoid(z)),
        "σ({z})",
        "σ′({z})",
        "σ·(1 − σ) there, at most ¼",
    ),
    "relu": Activation(
        lambda z: max(z, 0.0), lambda z: float(z > 0), "max(0, {z})", "ReLU′({z})", "1 for z > 0, otherwise 0"
    ),
    "leaky_relu": Activation(
        lambda z: z if z >= 0 else 0.01 * z,
        lambda z: 1.0 if z >= 0 else 0.01,
        "max(0.01·{z}, {z})",
        "LReLU′({z})",
        "1 for z ≥ 0, otherwise 0.01",
    ),
    "identity": Activation(lambda z: z, lambda z: 1.0, "{z}", "1", "1 everywhere"),
}

X = Param("x", "x", 1.0, -5.0, 5.0, domain=ANYTHING, title="input", help="An input of the network.")
W = Param("w", "w", 0.5, -5.0, 5.0, domain=ANYTHING, title="weight", help="What a connection multiplies by.")
B = Param("bias", "b", 0.0, -5.0, 5.0, domain=ANYTHING, help="What a unit adds to its weighted sum.")
Y = Param("target", "y", 1.0, -5.0, 5.0, domain=ANYTHING, help="What the output should be.")
P = Y.but(low=0.0, high=1.0, domain="[0, 1]", help="The probability that the target gives to the first class.")
LR = Param(
    "lr",
    "η",
    0.1,
    1e-3,
    10.0,
    log=True,
    domain="[0, 1e6]",
    title="learning rate",
    help="How far one gradient step moves every weight: −η times its gradient.",
)
ACTIVATION = Param(
    "activation",
    "",
    "tanh",
    options=tuple(ACTIVATIONS),
    static=True,
    help="The function at every hidden unit; its slope multiplies what flows back through the unit.",
)
OUTPUT = Param(
    "output",
    "",
    "linear",
    options=("linear", "activated"),
    static=True,
    help="Whether the output is the weighted sum itself, or the activation of it.",
)
LOSS = Param(
    "loss",
    "",
    "squared",
    options=("squared", "cross-entropy", "huber"),
    static=True,
    help="What is to be made small: ½(ŷ − y)², the cross-entropy of a softmax, or Huber's function (corner at 1).",
)
SETTINGS = {param.name: param for param in (ACTIVATION, OUTPUT, LOSS, LR)}
FRESH = (0.5, -0.4, 0.8, 0.3, -0.7, 0.6, -0.2, 0.9, -0.5)  # weights of new connections
FRESH_BIAS = 0.1


@dataclass(frozen=True)
class Example:
    """One example and the small network it passes through.

    `widths` are the units of each layer, the output last. `weights` and `biases` are flat, in the order of
    `weight_names` and `bias_names`; left out, they are filled in. `target` has one number per output, but one alone for
    the cross-entropy: the probability of the first class. `chosen` names the number whose chain is shown.
    Raises ValueError, with what is allowed, if anything does not fit.
    """

    inputs: tuple[float, ...]
    widths: tuple[int, ...]
    target: tuple[float, ...]
    weights: tuple[float, ...] = ()
    biases: tuple[float, ...] = ()
    activation: str = str(ACTIVATION.default)
    output: str = str(OUTPUT.default)
    loss: str = str(LOSS.default)
    lr: float = float(LR.default)
    chosen: str = "w1.1.1"

    def __post_init__(self):
        hidden, outputs = self.widths[:-1], self.widths[-1:]
        if not 1 <= len(self.inputs) <= INPUTS_AT_MOST:
            raise ValueError(f"a network here has 1 to {INPUTS_AT_MOST} inputs, not {len(self.inputs)}")
        if len(hidden) > HIDDEN_AT_MOST or not all(1 <= width <= WIDTH_AT_MOST for width in hidden):
            raise ValueError(f"a network here has at most {HIDDEN_AT_MOST} hidden layers of 1 to {WIDTH_AT_MOST} units")
        if not outputs or not 1 <= outputs[0] <= OUTPUTS_AT_MOST:
            raise ValueError(f"a network here has 1 to {OUTPUTS_AT_MOST} outputs")
        settings = {name: param.check(getattr(self, name)) for name, param in SETTINGS.items()}
        for name, value in settings.items():
            object.__setattr__(self, name, value)
        targets = 1 if self.loss == "cross-entropy" else outputs[0]
        wanted = {
            "inputs": (self.inputs, X, len(self.inputs)),
            "target": (self.target, P if self.loss == "cross-entropy" else Y, targets),
            "weights": (self.weights or tuple(map(_fresh, self.weight_names)), W, len(self.weight_names)),
            "biases": (self.biases or tuple(map(_fresh, self.bias_names)), B, len(self.bias_names)),
        }
        for name, (values, param, count) in wanted.items():
            if len(values) != count:
                raise ValueError(f"{name} must be {count} number{'s' * (count > 1)} here, not {len(values)}")
            object.__setattr__(self, name, tuple(float(param.check(value)) for value in values))
        if self.chosen not in (*self.weight_names, *self.bias_names):
            known = f"{self.weight_names[0]} to {self.bias_names[-1]}"
            raise ValueError(f"there is no weight or bias {self.chosen[:16]!r} here; there are {known}")

    @cached_property
    def weight_names(self) -> tuple[str, ...]:
        """ "w2.1.3" is the weight of layer 2 to unit 1 from unit 3 of the layer before."""
        sizes = (len(self.inputs), *self.widths)
        return tuple(
            f"w{layer}.{unit}.{source}"
            for layer, width in enumerate(self.widths, start=1)
            for unit in range(1, width + 1)
            for source in range(1, sizes[layer - 1] + 1)
        )

    @cached_property
    def bias_names(self) -> tuple[str, ...]:
        return tuple(
            f"b{layer}.{unit}" for layer, width in enumerate(self.widths, start=1) for unit in range(1, width + 1)
        )

    @cached_property
    def quantities(self) -> dict[str, tuple[Param, float]]:
        """Everything that a learner may change, by name, with its declaration: inputs, target, weights, biases."""
        y = P if self.loss == "cross-entropy" else Y
        named = {f"x{i}": (X, value) for i, value in enumerate(self.inputs, start=1)}
        named |= {f"y{i}": (y, value) for i, value in enumerate(self.target, start=1)}
        named |= {name: (W, value) for name, value in zip(self.weight_names, self.weights, strict=True)}
        named |= {name: (B, value) for name, value in zip(self.bias_names, self.biases, strict=True)}
        return {name: (param.but(symbol=symbol(name)), value) for name, (param, value) in named.items()}

    def but(self, name: str, value: float) -> Example:
        """This example with one of its `quantities` changed."""
        if name not in self.quantities:
            raise ValueError(f"there is no {name[:16]!r} here; there are {', '.join(self.quantities)}")
        values = {other: number for other, (_, number) in self.quantities.items()} | {name: value}
        return self._with(values)

    def shaped(self, inputs: int, hidden: tuple[int, ...], outputs: int) -> Example:
        """The same example in another network; connections that both have keep their weights."""
        old = {name: value for name, (_, value) in self.quantities.items()}
        target = tuple(old.get(f"y{i}", self.target[0]) for i in range(1, outputs + 1))
        new = Example(
            inputs=tuple(old.get(f"x{i}", float(X.default)) for i in range(1, inputs + 1)),
            widths=(*hidden, outputs),
            target=self.target if self.loss == "cross-entropy" else target,
            **{name: getattr(self, name) for name in SETTINGS},
        )
        kept = {name: value for name, value in old.items() if name in new.quantities}
        new = new._with({name: value for name, (_, value) in new.quantities.items()} | kept)
        return replace(new, chosen=self.chosen) if self.chosen in kept else new

    def with_loss(self, loss: str) -> Example:
        """The same example under another loss. Between a probability and a target for each output, the number that says
        the same is found: the class that the targets prefer, or 1 for one class and 0 for the other."""
        target = self.target
        if loss == "cross-entropy" != self.loss:
            first = target[0] > 0.5 if len(target) == 1 else target[0] >= target[1]
            target = (float(first),)
        elif self.loss == "cross-entropy" != loss:
            target = (target[0], 1 - target[0])[: self.widths[-1]]
        return replace(self, loss=loss, target=target)

    def _with(self, values: dict[str, float]) -> Example:
        def pick(names: Iterable[str]) -> tuple[float, ...]:
            return tuple(values[name] for name in names)

        return replace(
            self,
            inputs=pick(f"x{i + 1}" for i in range(len(self.inputs))),
            target=pick(f"y{i + 1}" for i in range(len(self.target))),
            weights=pick(self.weight_names),
            biases=pick(self.bias_names),
        )


def _fresh(name: str) -> float:
    if name[0] == "b":
        return FRESH_BIAS
    layer, unit, source = map(int, name[1:].split("."))
    return FRESH[(7 * layer + 3 * unit + source) % len(FRESH)]


def symbol(name: str) -> str:
    """How a name is written on paper: w2.1.3 is w²₁₃."""
    if name == "L":
        return "L"
    head, *tail = name[1:].split(".")
    upper, lower = (head, "".join(tail)) if tail else ("", head)
    return name[0] + upper.translate(_RAISED) + lower.translate(_LOWERED)


_RAISED, _LOWERED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"), str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def settle(example: Example, name: str, value: Value) -> Example:
    """The example with one of `SETTINGS`, or what is chosen, changed."""
    return example.with_loss(str(value)) if name == "loss" else replace(example, **{name: value})


# The graph -----------------------------------------------------------------------------------------------------------


class Node(NamedTuple):
    """A number of the network. `kind` is "input", "sum", "activation", "log-probability" or "loss"; `layer` and `unit`
    say where it stands. `gradient` is ∂L/∂(this node)."""

    name: str
    symbol: str
    kind: str
    layer: int
    unit: int
    value: float
    gradient: float


class Edge(NamedTuple):
    """A connection. `sent` goes forward: the source's value, times the weight if there is one. `local` is
    ∂target/∂source, and `product` = local × the target's gradient flows back."""

    source: str
    target: str
    weight: str
    sent: float
    local: float
    product: float


class Parameter(NamedTuple):
    """A weight or bias of the sum `target`. `local` is ∂target/∂(this): the value of `source`, or 1 for a bias, whose
    source is "". `gradient` = local × the target's gradient."""

    name: str
    symbol: str
    value: float
    source: str
    target: str
    local: float
    gradient: float


@dataclass(frozen=True)
class Graph:
    """All numbers of an example, forward and backward. `nodes` are in topological order, inputs first, loss last."""

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    parameters: dict[str, Parameter]

    @property
    def loss(self) -> float:
        return self.nodes["L"].value

    def into(self, node: str) -> list[Edge]:
        return [edge for edge in self.edges if edge.target == node]

    def out_of(self, node: str) -> list[Edge]:
        return [edge for edge in self.edges if edge.source == node]


@lru_cache(maxsize=64)
def graph(example: Example) -> Graph:
    """Forward, then backward, over scalars."""
    values: dict[str, float] = {}
    places: dict[str, tuple[str, str, int, int]] = {}  # name → symbol, kind, layer, unit
    locals_: dict[str, dict[str, float]] = {}  # node → {source: ∂node/∂source}

    def enter(name: str, kind: str, layer: int, unit: int, value: float, slopes: dict[str, float], sign: str = ""):
        values[name], places[name], locals_[name] = value, (sign or symbol(name), kind, layer, unit), slopes

    for i, value in enumerate(example.inputs, start=1):
        enter(f"x{i}", "input", 0, i, value, {})
    weight = dict(zip(example.weight_names, example.weights, strict=True))
    bias = dict(zip(example.bias_names, example.biases, strict=True))
    before, last = [f"x{i}" for i in range(1, len(example.inputs) + 1)], len(example.widths)
    activation = ACTIVATIONS[example.activation]
    for layer, width in enumerate(example.widths, start=1):
        activated = layer < last or example.output == "activated"
        for unit in range(1, width + 1):
            slopes = {source: weight[f"w{layer}.{unit}.{k}"] for k, source in enumerate(before, start=1)}
            z = sum(slope * values[source] for source, slope in slopes.items()) + bias[f"b{layer}.{unit}"]
            enter(f"z{layer}.{unit}", "sum", layer, unit, z, slopes)
            if activated:
                slope = {f"z{layer}.{unit}": activation.slope(z)}
                enter(f"a{layer}.{unit}", "activation", layer, unit, activation.value(z), slope)
        before = [f"{'a' if activated else 'z'}{layer}.{unit}" for unit in range(1, width + 1)]
    _enter_loss(example, values, before, last, enter)

    gradient = dict.fromkeys(values, 0.0) | {"L": 1.0}
    for name in reversed(values):
        for source, local in locals_[name].items():
            gradient[source] += local * gradient[name]
    edges, parameters = [], {}
    for name, (_, kind, *_) in places.items():
        for source, local in locals_[name].items():
            carried = f"w{name[1:]}.{source.split('.')[-1].lstrip('x')}" if kind == "sum" else ""
            sent = values[source] * (local if carried else 1.0)
            edges.append(Edge(source, name, carried, sent + 0.0, local + 0.0, local * gradient[name] + 0.0))  # no −0
            if carried:
                x = values[source]
                parameters[carried] = Parameter(
                    carried, symbol(carried), weight[carried], source, name, x, x * gradient[name] + 0.0
                )
    nodes = {name: Node(name, *places[name], value + 0.0, gradient[name]) for name, value in values.items()}
    for name, b in bias.items():
        parameters[name] = Parameter(name, symbol(name), b, "", f"z{name[1:]}", 1.0, gradient[f"z{name[1:]}"])
    ordered = {name: parameters[name] for name in (*example.weight_names, *example.bias_names)}
    return Graph(nodes, tuple(edges), ordered)


def _enter_loss(example: Example, values: dict[str, float], outputs: list[str], last: int, enter: Callable) -> None:
    """The nodes from the outputs to the loss."""
    if example.loss == "cross-entropy":
        logits = np.array([values[name] for name in outputs] + [0.0] * (len(outputs) == 1))
        largest = float(logits.max())
        log_total = largest + math.log(float(np.exp(logits - largest).sum()))
        p = np.exp(logits - log_total)
        signs = ("ln p₁", "ln p₂") if len(outputs) == 2 else ("ln p", "ln(1−p)")
        for j in range(2):
            slopes = {name: float((j == k) - p[k]) for k, name in enumerate(outputs)}
            enter(f"p{j + 1}", "log-probability", last + 1, j + 1, float(logits[j]) - log_total, slopes, signs[j])
        y = (example.target[0], 1 - example.target[0])
        loss = -sum(y[j] * values[f"p{j + 1}"] for j in range(2))
        enter("L", "loss", last + 2, 1, loss, {f"p{j + 1}": -y[j] for j in range(2)})
        return
    rest = {name: values[name] - y for name, y in zip(outputs, example.target, strict=True)}
    if example.loss == "huber":
        loss = sum(r * r / 2 if abs(r) <= 1 else abs(r) - 0.5 for r in rest.values())
        slopes = {name: r if abs(r) <= 1 else math.copysign(1.0, r) for name, r in rest.items()}
    else:
        loss, slopes = sum(r * r / 2 for r in rest.values()), rest
    enter("L", "loss", last + 1, 1, float(loss), slopes)


# One gradient step, and the product along all paths ------------------------------------------------------------------


def stepped(example: Example) -> Example:
    """The example after one gradient step: every weight and bias moved by −η times its gradient."""
    found = graph(example).parameters
    moved = {name: parameter.value - example.lr * parameter.gradient for name, parameter in found.items()}
    kept = {name: value for name, (_, value) in example.quantities.items()}
    return example._with(kept | moved)


class Chain(NamedTuple):
    """One path from a parameter to the loss: the nodes that it passes, the local derivative at each, their product."""

    nodes: tuple[str, ...]
    factors: tuple[tuple[str, float], ...]
    product: float


def chains(example: Example, name: str) -> list[Chain]:
    """Every path from a weight or bias to the loss. The products add up to its gradient."""
    found = graph(example)
    parameter = found.parameters[name]
    first = (found.nodes[parameter.source].symbol if parameter.source else "1", parameter.local)

    def paths(node: str) -> Iterator[list[Edge]]:
        if node == "L":
            yield []
        for edge in found.out_of(node):
            for rest in paths(edge.target):
                yield [edge, *rest]

    every = []
    for path in paths(parameter.target):
        factors = (first, *((_local(example, found, edge), edge.local) for edge in path))
        nodes = (parameter.target, *(e.target for e in path))
        every.append(Chain(nodes, factors, math.prod(factor for _, factor in factors)))
    return every


# The walk ------------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """One formula: what it computes, in symbols, in numbers."""

    left: str
    symbols: str
    numbers: str


class Moment(NamedTuple):
    """One stop of the walk. `phase` is "given", "forward", "backward" or "done"; `node` is where it happens."""

    phase: str
    node: str
    says: str
    lines: tuple[Line, ...]


def walk(example: Example) -> list[Moment]:
    """The whole story: what is given, forward in topological order, backward in reverse, and what a step would do."""
    found = graph(example)
    names = [name for name, node in found.nodes.items() if node.kind != "input"]
    given = f"Given: {_count(len(example.inputs), 'input')}, {_count(len(example.weights), 'weight')}, "
    given += f"{_count(len(example.biases), 'bias', 'es')}, and the target {_target(example)}. "
    given += "Step forward to the loss, then back."
    moments = [Moment("given", "", given, ())]
    moments += [Moment("forward", name, *_forward(example, found, name)) for name in names]
    moments += [Moment("backward", name, *_backward(example, found, name)) for name in reversed(found.nodes)]
    return [*moments, Moment("done", "", *_done(example, found))]


def _forward(example: Example, found: Graph, name: str) -> tuple[str, tuple[Line, ...]]:
    node, edges = found.nodes[name], found.into(name)
    result = number(node.value)
    sources = [found.nodes[edge.source] for edge in edges]
    if node.kind == "sum":
        bias = found.parameters[f"b{name[1:]}"]
        signs = [f"{symbol(edge.weight)}·{source.symbol}" for edge, source in zip(edges, sources, strict=True)]
        terms = [f"{_n(edge.local)}·{_n(source.value)}" for edge, source in zip(edges, sources, strict=True)]
        says = f"{node.symbol} adds up what arrives, each number times its weight, and the bias: {result}."
        line = Line(
            node.symbol, " + ".join([*signs, bias.symbol]), f"{' + '.join([*terms, _n(bias.value)])} = {result}"
        )
    elif node.kind == "activation":
        (source,), activation = sources, ACTIVATIONS[example.activation]
        says = f"{node.symbol} is the activation of {source.symbol}: {result}."
        line = Line(
            node.symbol,
            activation.written.format(z=source.symbol),
            f"{activation.written.format(z=number(source.value))} = {result}",
        )
    elif node.kind == "log-probability":
        chance = number(math.exp(node.value))
        says = f"The softmax makes a probability of the output: {chance}. Its logarithm is {result}."
        powers = [f"e^{source.symbol}" for source in sources] + ["1"] * (len(sources) == 1)
        total = number(sum(math.exp(source.value - _top(sources)) for source in sources) + _rest(sources))
        shifted = f"{number(_logit(sources, node.unit))} − {_n(_top(sources))} − ln {total} = {result}"
        first = sources[node.unit - 1].symbol if node.unit <= len(sources) else "0"
        line = Line(node.symbol, f"{first} − ln({' + '.join(powers)})", shifted)
    else:
        says = f"The loss compares the output with the target {_target(example)}: L = {result}."
        line = Line("L", *_loss_line(example, sources, result))
    return says, (line,)


def _top(sources: list[Node]) -> float:
    return max([source.value for source in sources] + [0.0] * (len(sources) == 1))


def _rest(sources: list[Node]) -> float:
    return math.exp(-_top(sources)) if len(sources) == 1 else 0.0


def _logit(sources: list[Node], unit: int) -> float:
    return sources[unit - 1].value if unit <= len(sources) else 0.0


def _loss_line(example: Example, sources: list[Node], result: str) -> tuple[str, str]:
    if example.loss == "cross-entropy":
        y = (example.target[0], 1 - example.target[0])
        signs = (f"−y·{sources[0].symbol} − (1 − y)·{sources[1].symbol}", "")
        numbers = " − ".join(f"{_n(weight)}·{_n(source.value)}" for weight, source in zip(y, sources, strict=True))
        return signs[0], f"−{numbers} = {result}"
    form = "½({a} − {y})²" if example.loss == "squared" else "H({a} − {y})"
    signs = [form.format(a=s.symbol, y=symbol(f"y{i}")) for i, s in enumerate(sources, start=1)]
    pairs = zip(sources, example.target, strict=True)
    numbers = " + ".join(form.format(a=number(s.value), y=_n(y)) for s, y in pairs)
    note = ", where H(r) = ½r² up to |r| = 1 and |r| − ½ beyond" if example.loss == "huber" else ""
    return " + ".join(signs) + note, f"{numbers} = {result}"


def _backward(example: Example, found: Graph, name: str) -> tuple[str, tuple[Line, ...]]:
    node, children, edges = found.nodes[name], found.out_of(name), found.into(name)
    g, lines = _n(node.gradient), []
    own = f"∂L/∂{_bracketed(node.symbol)}"
    if name == "L":
        lines.append(Line("∂L/∂L", "1", "the loss changes exactly as itself"))
    elif len(children) > 1 or node.kind == "input":
        targets = [_bracketed(found.nodes[edge.target].symbol) for edge in children]
        symbols = " + ".join(
            f"{_local(example, found, edge)}·∂L/∂{target}" for edge, target in zip(children, targets, strict=True)
        )
        parts = " + ".join(_n(edge.product) for edge in children)
        lines.append(Line(own, symbols, f"{parts} = {number(node.gradient)}" if len(children) > 1 else parts))
    for edge in edges:
        source = found.nodes[edge.source]
        several = len(found.out_of(edge.source)) > 1
        left = f"∂L/∂{_bracketed(source.symbol)}" + (", along this edge" if several else "")
        numbers = f"{_n(edge.local)} × {g} = {number(edge.product)}"
        lines.append(Line(left, f"{_local(example, found, edge)} × {own}", numbers))
    for parameter in found.parameters.values():
        if parameter.target == name:
            x = found.nodes[parameter.source].symbol if parameter.source else "1"
            result = number(parameter.gradient)
            lines.append(Line(f"∂L/∂{parameter.symbol}", f"{x} × {own}", f"{_n(parameter.local)} × {g} = {result}"))
    return _told(example, found, node, children, edges), tuple(lines)


def _told(example: Example, found: Graph, node: Node, children: list[Edge], edges: list[Edge]) -> str:
    g = number(node.gradient)
    arrived = f"{len(children)} paths meet at {node.symbol} and add up to {g}" if len(children) > 1 else ""
    match node.kind:
        case "loss":
            return "Now backward: how does the loss change with what came into it? It begins with ∂L/∂L = 1."
        case "input":
            return f"{arrived or f'What arrives at {node.symbol} is {g}'}: the slope of the loss along this input."
        case "activation":
            (edge,) = edges
            slope = f"the slope of {example.activation} at {found.nodes[edge.source].symbol}, {number(edge.local)}"
            closed = " Nothing gets through." if edge.local == 0 else ""
            head = arrived or f"{g} arrives at {node.symbol}"
            return f"{head}. The local derivative is {slope} ({ACTIVATIONS[example.activation].note}).{closed}"
        case "sum":
            head = arrived or f"{g} arrives at {node.symbol}"
            return f"{head}. Times what came in, it is the gradient of a weight; times the weight, it flows on."
        case _:
            head = arrived or f"{g} arrives at {node.symbol}"
            return f"{head}. The softmax passes it on to every output that the probability depends on."


def _local(example: Example, found: Graph, edge: Edge) -> str:
    """The local derivative of an edge, in symbols."""
    source, target = found.nodes[edge.source], found.nodes[edge.target]
    match target.kind:
        case "sum":
            return symbol(edge.weight)
        case "activation":
            return ACTIVATIONS[example.activation].slope_written.format(z=source.symbol)
        case "log-probability":
            p = f"p{symbol(f'p{source.unit}')[1:]}" if len(found.into(edge.target)) > 1 else "p"
            return f"(1 − {p})" if source.unit == target.unit else f"(−{p})"
    if example.loss == "cross-entropy":
        return "(−y)" if source.unit == 1 else "(y − 1)"
    rest = f"{source.symbol} − {symbol(f'y{source.unit}')}"
    return f"H′({rest})" if example.loss == "huber" else f"({rest})"


def _done(example: Example, found: Graph) -> tuple[str, tuple[Line, ...]]:
    steepest = max(found.parameters.values(), key=lambda parameter: abs(parameter.gradient))
    says = "One walk back, and every weight and bias has its gradient. "
    says += f"The largest is that of {steepest.symbol}: {number(steepest.gradient)}."
    try:
        after = graph(stepped(example)).loss
    except ValueError:
        return f"{says} A step with η = {number(example.lr)} would leave the range of the weights.", ()
    new = number(steepest.value - example.lr * steepest.gradient)
    numbers = f"{_n(steepest.value)} − {number(example.lr)} × {_n(steepest.gradient)} = {new}"
    change = Line("L, after a step of all", f"before {number(found.loss)}", f"after {number(after)}")
    return says, (Line(f"new {steepest.symbol}", f"{steepest.symbol} − η·∂L/∂{steepest.symbol}", numbers), change)


def _target(example: Example) -> str:
    if example.loss == "cross-entropy":
        return f"y = {number(example.target[0])}"
    return ", ".join(f"{symbol(f'y{i}')} = {number(y)}" for i, y in enumerate(example.target, start=1))


def _count(many: int, word: str, plural: str = "s") -> str:
    return f"{many} {word}{plural if many > 1 else ''}"


def _bracketed(text: str) -> str:
    return f"({text})" if " " in text or "−" in text else text


def _n(value: float) -> str:
    """A number as a factor or a term."""
    text = number(value)
    return f"({text})" if text.startswith("−") else text


# What is worth a remark -----------------------------------------------------------------------------------------------

LITTLE = 0.05  # a slope below this lets less than a twentieth through


def remarks(example: Example) -> list[str]:
    """A sentence for each thing about this walk that is worth one: paths that meet, units that let nothing through."""
    found, sentences = graph(example), []
    for node in found.nodes.values():
        if node.kind == "activation":
            (edge,) = found.into(node.name)
            z, arrives = found.nodes[edge.source], f"{number(node.gradient)} arrives"
            fed = [parameter for parameter in found.parameters.values() if parameter.target == z.name]
            if edge.local == 0:
                sentences.append(
                    f"**{node.symbol} lets nothing through.** {arrives}, but at {z.symbol} = {number(z.value)} the "
                    f"slope is 0: {_count(len(fed) - 1, 'weight')} and a bias get the gradient 0 and stay as they are."
                )
            elif abs(edge.local) < LITTLE:
                sentences.append(
                    f"**{node.symbol} is saturated.** {arrives}; at {z.symbol} = {number(z.value)} the slope is only "
                    f"{number(edge.local)}, so {number(edge.product)} is left of it."
                )
    meeting = [node for node in found.nodes.values() if len(found.out_of(node.name)) > 1]
    if meeting:
        node = max(meeting, key=lambda node: node.kind != "input")  # the first hidden one, if there is any
        parts = [edge.product for edge in found.out_of(node.name)]
        sentences.append(
            f"**Paths meet at {node.symbol}.** It acts on the loss along {len(parts)} edges, and what they bring back "
            f"adds up: {' + '.join(map(_n, parts))} = {number(node.gradient)}."
        )
    return sentences


# A second opinion ----------------------------------------------------------------------------------------------------


class Compared(NamedTuple):
    """The largest difference between this room's gradients and jax.grad's, over all weights, biases and inputs, and the
    rounding that is allowed: 1e-12 of the largest number that the comparison is about, or of 1."""

    difference: float
    allowed: float
    count: int


@lru_cache(maxsize=64)
def difference(example: Example) -> Compared:
    """Claim C2, measured: backpropagation by the chain rule against `jax.grad` of the loss as a whole."""
    found = graph(example)
    key = ("backprop", len(example.inputs), example.widths, example.activation, example.output, example.loss)
    gradient = program(key, lambda: jax.jit(jax.grad(_loss_by_jax(*key[2:]), argnums=(0, 1, 2))))
    arrays = [np.array(part) for part in (example.weights, example.biases, example.inputs, example.target)]
    theirs = np.concatenate([np.asarray(part) for part in gradient(*arrays)])
    ours = np.array(
        [p.gradient for p in found.parameters.values()]
        + [node.gradient for node in found.nodes.values() if node.kind == "input"]
    )
    largest = max(1.0, float(np.abs(theirs).max()), *(abs(node.value) for node in found.nodes.values()))
    return Compared(float(np.abs(ours - theirs).max()), 1e-12 * largest, len(ours))


def _loss_by_jax(widths: tuple[int, ...], activation: str, output: str, loss: str) -> Callable:
    act = {
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "relu": jax.nn.relu,
        "leaky_relu": jax.nn.leaky_relu,
        "identity": lambda z: z,
    }[activation]

    def loss_of(weights, biases, inputs, target):
        a, w, b = inputs, 0, 0
        for layer, width in enumerate(widths, start=1):
            matrix = weights[w : w + width * len(a)].reshape(width, len(a))
            w, b = w + matrix.size, b + width
            a = matrix @ a + biases[b - width : b]
            if layer < len(widths) or output == "activated":
                a = act(a)
        if loss == "cross-entropy":
            logits = a if widths[-1] == 2 else jnp.concatenate([a, jnp.zeros(1)])
            y = jnp.concatenate([target, 1 - target])
            return -jnp.sum(y * jax.nn.log_softmax(logits))
        rest = jnp.abs(a - target)
        inside = 0.5 * rest**2
        return jnp.sum(inside if loss == "squared" else jnp.where(rest <= 1, inside, rest - 0.5))

    return loss_of


# Links ---------------------------------------------------------------------------------------------------------------

LISTS = {"inputs": X, "target": Y, "weights": W, "biases": B}


def to_query(example: Example, default: Example) -> dict[str, list[str]]:
    """The fields of a link to `example`, without those that `default` has already; {} for the default itself."""
    query = {}
    if _net(example) != _net(default):
        query["net"] = [_net(example)]
    for name, param in LISTS.items():
        anew = "net" in query or (name == "target" and example.loss != default.loss)  # whoever reads begins elsewhere
        if anew or getattr(example, name) != getattr(default, name):
            query[name] = ["~".join(map(param.write, getattr(example, name)))]
    for name, param in SETTINGS.items():
        if getattr(example, name) != getattr(default, name):
            query[name] = [param.write(getattr(example, name))]
    if example.chosen != default.chosen:
        query["chosen"] = [example.chosen]
    return {"v": [VERSION], **query} if query else {}


def from_query(query: Query, default: Example) -> tuple[Example, list[str]]:
    """The example that a link's fields describe, and a sentence for everything that could not be read."""
    messages: list[str] = []
    one = single(query, {"net", "chosen", *LISTS, *SETTINGS}, messages)
    settings: dict[str, Any] = read_values(SETTINGS, {name: one[name] for name in SETTINGS if name in one}, messages)
    example = default.with_loss(settings.pop("loss", default.loss))
    example = replace(example, **settings)
    if "net" in one:
        with forgiving(messages):
            sizes = [_size(part) for part in one["net"].split("-")]
            if len(sizes) < 2:
                raise ValueError("net must be the sizes of the layers, as in 2-2-1")
            example = example.shaped(sizes[0], tuple(sizes[1:-1]), sizes[-1])
    for name, param in LISTS.items():
        if name in one:
            with forgiving(messages):
                values = tuple(float(param.parse(text)) for text in one[name].split("~"))
                if len(values) != len(getattr(example, name)):
                    raise ValueError(f"{name} must be {len(getattr(example, name))} numbers here, not {len(values)}")
                example = replace(example, **{name: values})
    if "chosen" in one:
        with forgiving(messages):
            example = replace(example, chosen=one["chosen"])
    return example, messages[:MESSAGES_AT_MOST]


def _net(example: Example) -> str:
    return "-".join(map(str, (len(example.inputs), *example.widths)))


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) == 1):
        raise ValueError(f"net must be the sizes of the layers, as in 2-2-1, not “{text[:16]}”")
    return int(text)
