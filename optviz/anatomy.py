"""What a step is made of.

A rule's anatomy is its formula, written once, on quantities that carry three things at a time: how they are written
(`β₁·mₜ₋₁ + (1 − β₁)·g`), the same with places for numbers, and their value at every step of a run. So the text, the
numbers in it and the arrows in the plane cannot disagree: they are one expression. The formulas repeat those of the
optimizers on purpose, without JAX and for all steps at once; the tests hold them against what the runs recorded.

    @anatomy_of("momentum")
    def momentum(sheet, *, g, v, lr, momentum, ...):
        v = sheet.let("v", "velocity", momentum * v + g)                    # a line of the formula
        sheet.part("gradient", "the new gradient's part", -lr * g)          # an arrow
        sheet.step(-lr * v)

An anatomy asks by name for what it needs, as a rule does: slots come as they were *before* the step (written mₜ₋₁),
hyperparameters as they were at each step, flags and choices as Python values. Also supplied are g, theta, t and, for
rules that use curvature, hessian (T, 2, 2).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from optviz.descent import Trajectory
from optviz.experiment import Racer, Run
from optviz.landscape import hessians


class Arrow(NamedTuple):
    """One arrow at each of T steps. `key` is one of KINDS."""

    key: str
    label: str  # plain words, then the formula
    vector: np.ndarray  # (T, 2), in the units of the plane
    tail: np.ndarray  # (T, 2), where it starts


class Line(NamedTuple):
    """One line of a rule's formula.

    In `filled`, {k} stands for leaf k. Who puts numbers there puts parentheses around those that are negative or are
    written with a power of ten, except where a number is all there is. `formula` is empty where a number is read off
    the run, not computed from others.
    """

    symbol: str
    says: str
    formula: str
    filled: str
    value: np.ndarray  # (T,) or (T, 2)


class Anatomy(NamedTuple):
    """All T steps of one run, taken apart."""

    parts: tuple[Arrow, ...]  # laid head to tail from θ they add up to the step
    others: tuple[Arrow, ...]  # for comparison
    lines: tuple[Line, ...]  # in the order in which the rule computes; the last one is the step
    leaves: tuple[np.ndarray, ...]  # (T,) or (T, 2) each
    rate: np.ndarray | None  # (T, 2), effective learning rate: see Sheet.step
    ellipse: tuple[np.ndarray, np.ndarray] | None  # centre (T, 2), Hessian (T, 2, 2) of the model that a rule minimizes


KINDS = {  # what an arrow shows
    "step": "the step",
    "gradient": "the gradient's part",
    "plain": "the step of plain gradient descent",
    "downhill": "the negative gradient",
    "velocity": "the velocity's part",
    "look-ahead": "where the velocity leads",
    "moment": "the first moment's part",
    "scaled": "a rescaled gradient",
    "friction": "what friction takes away",
    "decay": "the decay's part",
    "axis": "the part along one axis of curvature",
    "newton": "the jump to the model's stationary point",
}


# Quantities ----------------------------------------------------------------------------------------------------------

CHOICE, SUM, MINUS, PRODUCT, POWER, ATOM = range(6)  # what binds more tightly needs no parentheses


@dataclass(frozen=True, eq=False)
class Quantity:
    """An expression: its text, its template, and its value over time, of shape (T, 1), (T, 2) or, if constant, ()."""

    text: str
    filled: str
    value: np.ndarray
    binding: int = ATOM

    @property
    def absent(self) -> bool:
        """Whether it is zero throughout, so that a term with it need not be written."""
        return not np.any(self.value)

    def within(self, binding: int) -> Quantity:
        """Itself, in parentheses unless it binds at least so tightly."""
        return self if self.binding >= binding else self.wrapped("(", ")")

    def wrapped(self, left: str, right: str = "", value: np.ndarray | None = None, binding: int = ATOM) -> Quantity:
        text, filled = (f"{left}{inside}{right}" for inside in (self.text, self.filled))
        return Quantity(text, filled, self.value if value is None else value, binding)

    def joined(self, sign: str, other: Quantity, value: np.ndarray, binding: int) -> Quantity:
        text = f"{self.text}{'·' if sign == ' · ' else sign}{other.text}"
        return Quantity(text, f"{self.filled}{sign}{other.filled}", value, binding)

    def __add__(self, other: Operand) -> Quantity:
        other = quantity(other)
        return self.within(SUM).joined(" + ", other.within(PRODUCT), self.value + other.value, SUM)

    def __sub__(self, other: Operand) -> Quantity:
        other = quantity(other)
        return self.within(SUM).joined(" − ", other.within(PRODUCT), self.value - other.value, SUM)

    def __mul__(self, other: Operand) -> Quantity:
        left, other = self.within(MINUS), quantity(other)
        return left.joined(" · ", other.within(PRODUCT), self.value * other.value, min(left.binding, PRODUCT))

    def __truediv__(self, other: Operand) -> Quantity:
        left, other = self.within(MINUS), quantity(other)
        return left.joined(" / ", other.within(POWER), self.value / other.value, min(left.binding, PRODUCT))

    def __pow__(self, exponent: Operand) -> Quantity:
        base, exponent = self.within(ATOM), quantity(exponent)
        value = base.value**exponent.value
        if exponent.text == "2":
            return base.wrapped("", "²", value, POWER)
        raised = exponent.within(ATOM)
        text = base.text + ("ᵗ" if raised.text == "t" else f"^{raised.text}")
        return Quantity(text, f"{base.filled}^{raised.filled}", value, POWER)

    def __neg__(self) -> Quantity:
        return self.within(PRODUCT).wrapped("−", "", -self.value, MINUS)

    def __lt__(self, other: Operand) -> Quantity:
        return self.joined(" < ", quantity(other), self.value < quantity(other).value, CHOICE)

    def __ge__(self, other: Operand) -> Quantity:
        return self.joined(" ≥ ", quantity(other), self.value >= quantity(other).value, CHOICE)

    def __radd__(self, other: float) -> Quantity:
        return quantity(other) + self

    def __rsub__(self, other: float) -> Quantity:
        return quantity(other) - self

    def __rmul__(self, other: float) -> Quantity:
        return quantity(other) * self

    def __rtruediv__(self, other: float) -> Quantity:
        return quantity(other) / self

    def __rpow__(self, other: float) -> Quantity:
        return quantity(other) ** self


Operand = Quantity | float


def quantity(value: Operand) -> Quantity:
    """A number as a quantity, written as itself."""
    return value if isinstance(value, Quantity) else Quantity(f"{value:g}", f"{value:g}", np.asarray(float(value)))


def sqrt(x: Quantity) -> Quantity:
    return x.within(ATOM).wrapped("√", "", np.sqrt(x.value), POWER)


def magnitude(x: Quantity) -> Quantity:
    return x.wrapped("|", "|", np.abs(x.value))


def sign(x: Quantity) -> Quantity:
    return x.wrapped("sign(", ")", np.sign(x.value))


def sigmoid(x: Quantity) -> Quantity:
    return x.wrapped("σ(", ")", 1 / (1 + np.exp(-x.value)))


def maximum(x: Quantity, y: Quantity) -> Quantity:
    return x.joined(", ", y, np.maximum(x.value, y.value), CHOICE).wrapped("max(", ")")


def choose(condition: Quantity, yes: Quantity, no: Operand) -> Quantity:
    """`yes` where the condition holds, otherwise `no`."""
    no = quantity(no)
    value = np.where(condition.value, yes.value, no.value)
    return yes.joined(" where ", condition, value, CHOICE).joined(", otherwise ", no, value, CHOICE)


# The sheet on which a step is taken apart ----------------------------------------------------------------------------


@dataclass
class Sheet:
    """A run, and what has been written down about it so far."""

    run: Trajectory
    leaves: list[np.ndarray] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    parts: list[Arrow] = field(default_factory=list)
    others: list[Arrow] = field(default_factory=list)
    rate: np.ndarray | None = None
    ellipse: tuple[np.ndarray, np.ndarray] | None = None

    def known(self, symbol: str, value: Any) -> Quantity:
        """A leaf: a number that others are computed from, given as (T,), (T, 2) or one for all steps."""
        value = np.asarray(value, dtype=np.float64)
        value = np.broadcast_to(value, (self.run.steps,)) if value.ndim == 0 else value
        self.leaves.append(value)
        return Quantity(symbol, f"{{{len(self.leaves) - 1}}}", value[:, None] if value.ndim == 1 else value)

    def let(self, symbol: str, says: str, what: Quantity) -> Quantity:
        """Write down a line, and give its result a symbol for the lines to come."""
        value = what.value[:, 0] if what.value.shape[1] == 1 else what.value
        self.lines.append(Line(symbol, says, what.text, what.filled, value))
        return self.known(symbol, value)

    def read(self, symbol: str, says: str, value: np.ndarray, formula: str = "") -> Quantity:
        """Write down a number that is read off the run, or comes from more than one coordinate."""
        leaf = self.known(symbol, value)
        self.lines.append(Line(symbol, says, formula, leaf.filled, self.leaves[-1]))
        return leaf

    def part(self, key: str, words: str, what: Quantity) -> None:
        """The next part of the step, laid to the head of the last."""
        tail = sum((arrow.vector for arrow in self.parts), self.run.theta[:-1])
        self.parts.append(Arrow(key, f"{words}, {what.text}", self._in_plane(what), tail))

    def other(self, key: str, words: str, what: Quantity) -> None:
        """An arrow from θ that is no part of the step."""
        self.others.append(Arrow(key, f"{words}, {what.text}", self._in_plane(what), self.run.theta[:-1]))

    def step(self, what: Quantity, *, rate: Quantity | None = None) -> None:
        """Write down the step, which ends the formula.

        `rate` is the effective learning rate in each coordinate: what multiplies the gradient, as it enters the
        velocity, or its average where the rule keeps one (in Adam's family). Rules with a matrix have none.
        """
        step = self.let("Δθ", "the step, which is added to θ", what)
        self.rate = None if rate is None else self._in_plane(rate)
        self.others.insert(0, Arrow("step", "the step, Δθ", self._in_plane(step), self.run.theta[:-1]))

    def _in_plane(self, what: Quantity) -> np.ndarray:
        return np.array(np.broadcast_to(what.value, (self.run.steps, 2)))

    def finished(self) -> Anatomy:
        """The anatomy, with only those leaves that a line refers to."""
        used = sorted({int(k) for line in self.lines for k in re.findall(r"\{(\d+)\}", line.filled)})
        place = {str(k): i for i, k in enumerate(used)}

        def renumbered(line: Line) -> Line:
            return line._replace(filled=re.sub(r"\{(\d+)\}", lambda found: f"{{{place[found[1]]}}}", line.filled))

        return Anatomy(
            parts=tuple(self.parts),
            others=tuple(self.others),
            lines=tuple(map(renumbered, self.lines)),
            leaves=tuple(self.leaves[k] for k in used),
            rate=self.rate,
            ellipse=self.ellipse,
        )


SYMBOLS = {
    "g_ahead": "g̃",
    "g_last": "g",
    "xi": "ξ",
    "mu_product": "Πμ",
    "v_max": "v̄",
    "mu": "m",
    "nu": "v",
    "mu_0": "μ",
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "grad_sum": "s",
    "numerator_weighted": "r",
    "estim_lr": "d",
}
ANATOMIES: dict[str, Callable[..., None]] = {}


def anatomy_of(*keys: str) -> Callable[[Callable], Callable]:
    """Decorator: enter the anatomy of the optimizers with these keys."""

    def enter(write: Callable) -> Callable:
        ANATOMIES.update(dict.fromkeys(keys, write))
        return write

    return enter


def anatomy(run: Run) -> Anatomy:
    """Take every step of one racer's run apart.

    A run that diverges has an anatomy with its infinities. A rule without an anatomy of its own shows what it recorded.
    """
    racer, trajectory = run.racer, run.trajectory
    sheet = Sheet(trajectory)
    with np.errstate(all="ignore"):
        after, before = _slots(racer, trajectory)
        write = ANATOMIES.get(racer.optimizer.key)
        supplied: dict[str, Any] = {
            "g": sheet.known("g", trajectory.grad),
            "theta": sheet.known("θ", trajectory.theta[:-1]),
            "t": sheet.known("t", np.arange(1.0, trajectory.steps + 1)),
            "after": after,
        }
        for param in racer.entry.params:
            value = racer.values[param.name]
            if param.kind == "real":
                over_time = trajectory.lr if param.name == "lr" else trajectory.scheduled.get(param.name, value)
                value = sheet.known(param.symbol or param.name, over_time)
            supplied[param.name] = value
        if write is None:
            _recorded(sheet, after)
        else:
            asked = inspect.signature(write).parameters
            if "hessian" in asked:
                supplied["hessian"] = hessians(run.problem, trajectory.theta[:-1])
            for name in before:
                if name in asked:
                    supplied[name] = sheet.known(SYMBOLS.get(name, name) + "ₜ₋₁", before[name])
            write(sheet, **{name: value for name, value in supplied.items() if name in asked})
        sheet.other("plain", "plain gradient descent", -supplied["lr"] * supplied["g"])
        sheet.other("downhill", "the negative gradient", -supplied["g"])
        return sheet.finished()


def _slots(racer: Racer, trajectory: Trajectory) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Every slot after and before each step, by name; those of an optax state under the names of its fields."""
    hyper = racer.rule.hyper
    start = racer.entry.start(trajectory.theta[0], racer.entry.unpack(hyper.traced, hyper.static))
    before = jax.tree.map(lambda one, all_: np.concatenate([np.asarray(one)[None], all_[:-1]]), start, trajectory.slots)
    return _named(trajectory.slots), _named(before)


def _named(slots: dict[str, Any]) -> dict[str, np.ndarray]:
    named = {}
    for path, value in jax.tree_util.tree_leaves_with_path(slots):
        where = jax.tree_util.keystr(path)
        short = re.sub(r"\[(\d+)\]", r"_\1", where.rsplit(".", 1)[1]) if "." in where else path[0].key
        named[where if short in named else short] = value
    return named


def _recorded(sheet: Sheet, after: dict[str, np.ndarray]) -> None:
    """What can be said of a rule whose formula nobody has written down here."""
    for name, value in after.items():
        if value.ndim == 1 or value.shape[1:] == (2,):
            sheet.read(name, "as the rule left it; how it came about is not shown for this rule", value)
    step = sheet.known("Δθ", sheet.run.step)
    sheet.part("step", "the whole step, which is not taken apart for this rule", step)
    sheet.step(step)


# The rules -----------------------------------------------------------------------------------------------------------


@anatomy_of("sgd")
def sgd(sheet, *, g, b, t, lr, momentum, dampening, nesterov, averaging):
    if momentum.absent:
        sheet.part("gradient", "against the gradient", -lr * g)
        return sheet.step(-lr * g, rate=lr)
    fresh, rate, says = g, lr, "velocity: what is kept of it, and the new gradient"
    if averaging:
        fresh, rate = (1 - momentum) * g, lr * (1 - momentum)
    elif not dampening.absent:
        undamped = (t.value == 1) | (momentum.value == 0)
        share = 1 - sheet.known("τ", np.where(undamped, 0.0, dampening.value)[:, 0])
        fresh, rate, says = share * g, lr * share, f"{says}; τ counts as 0 in the first step"
    new = sheet.let("b", says, momentum * b + fresh)
    if nesterov:
        ahead = fresh if averaging else g
        sheet.part("velocity", "what will be kept of the velocity", -lr * momentum * new)
        sheet.part("gradient", "the new gradient once more", -lr * ahead)
        sheet.other("velocity", "the step without looking ahead", -lr * new)
        return sheet.step(-lr * (momentum * new + ahead), rate=rate)
    sheet.part("velocity", "what is kept of the velocity", -lr * momentum * b)
    sheet.part("gradient", "the new gradient's part", -lr * fresh)
    return sheet.step(-lr * new, rate=rate)


@anatomy_of("momentum")
def momentum(sheet, *, g, v, lr, momentum, dampening, form):
    fresh, rate = g, lr
    if not dampening.absent:
        fresh, rate = (1 - dampening) * g, lr * (1 - dampening)
    if form == "averaging":
        fresh, rate = (1 - momentum) * fresh, rate * (1 - momentum)
    if form == "velocity":
        kept, new = momentum * v, sheet.let("v", "velocity, which is the step", momentum * v - lr * fresh)
        step = new
    else:
        kept, new = -lr * momentum * v, sheet.let("v", "velocity: what is kept, and the new", momentum * v + fresh)
        step = -lr * new
    sheet.part("velocity", "what is kept of the velocity", kept)
    sheet.part("gradient", "the new gradient's part", -lr * fresh)
    sheet.step(step, rate=rate)


@anatomy_of("nesterov")
def nesterov(sheet, *, g, v, theta, after, lr, momentum, form):
    if form == "look-ahead":
        sheet.let("θ̃", "where the velocity is about to lead", theta + momentum * v)
        ahead = sheet.read("g̃", "the gradient there", after["g_ahead"], "∇f(θ̃)")
        new = sheet.let("v", "velocity: what is kept of it, and that gradient's part", momentum * v - lr * ahead)
        sheet.part("velocity", "what is kept of the velocity, which leads to the look-ahead point", momentum * v)
        sheet.part("gradient", "the part of the gradient there", -lr * ahead)
        sheet.other("look-ahead", "where the velocity is about to lead", momentum * v)
        return sheet.step(new, rate=lr)
    new = sheet.let("v", "velocity: what is kept of it, and the gradient's part", momentum * v - lr * g)
    sheet.part("velocity", "what will be kept of the velocity", momentum * new)
    sheet.part("gradient", "the new gradient's part", -lr * g)
    sheet.other("look-ahead", "the step without looking ahead", new)
    return sheet.step(momentum * new - lr * g, rate=lr)


def _root(square: Quantity, eps: Quantity, eps_in_sqrt: bool) -> Quantity:
    return sqrt(square + eps) if eps_in_sqrt else sqrt(square) + eps


@anatomy_of("adagrad")
def adagrad(sheet, *, g, s, lr, eps, eps_in_sqrt):
    s = sheet.let("s", "sum of all squared gradients so far", s + g**2)
    root = _root(s, eps, eps_in_sqrt)
    sheet.part("scaled", "the gradient, divided by the root of the sum", -lr * g / root)
    sheet.step(-lr * g / root, rate=lr / root)


@anatomy_of("rmsprop")
def rmsprop(sheet, *, g, v, m, b, lr, decay, eps, momentum, centered, eps_in_sqrt):
    v = sheet.let("v", "leaky average of squared gradients", decay * v + (1 - decay) * g**2)
    if centered:
        m = sheet.let("m", "leaky average of gradients", decay * m + (1 - decay) * g)
        v = sheet.let("s", "how far gradients spread about their average", v - m**2)
    root = _root(v, eps, eps_in_sqrt)
    if momentum.absent:
        sheet.part("scaled", "the gradient, divided by the root", -lr * g / root)
        return sheet.step(-lr * g / root, rate=lr / root)
    new = sheet.let("b", "velocity: what is kept of it, and the scaled gradient", momentum * b + g / root)
    sheet.part("velocity", "what is kept of the velocity", -lr * momentum * b)
    sheet.part("scaled", "the new gradient, divided by the root", -lr * g / root)
    return sheet.step(-lr * new, rate=lr / root)


@anatomy_of("adadelta")
def adadelta(sheet, *, g, v, d, lr, rho, eps):
    v = sheet.let("v", "leaky average of squared gradients", rho * v + (1 - rho) * g**2)
    delta = sheet.let("Δ", "the gradient, brought to the length of recent steps", sqrt(d + eps) * g / sqrt(v + eps))
    sheet.let("d", "leaky average of squared steps, for the next step", rho * d + (1 - rho) * delta**2)
    sheet.part("scaled", "the gradient, brought to the length of recent steps", -lr * delta)
    sheet.step(-lr * delta, rate=lr * sqrt(d + eps) / sqrt(v + eps))


FIRST, SECOND = "first moment: average of the gradients", "second moment: average of their squares"


def _adam_parts(
    sheet: Sheet, g: Quantity, m: Quantity, beta1: Quantity, scaled: Callable[[Quantity], Quantity]
) -> None:
    """The two parts of a step that is `scaled` of the first moment: what that was before, and the new gradient."""
    sheet.part("moment", "what is kept of the first moment", scaled(beta1 * m))
    sheet.part("gradient", "the new gradient's part", scaled((1 - beta1) * g))


@anatomy_of("adam", "adamw")
def adam(sheet, *, g, m, v, v_max, t, theta, lr, beta1, beta2, eps, amsgrad, bias_correction=True, weight_decay=None):
    new = sheet.let("m", FIRST, beta1 * m + (1 - beta1) * g)
    square = sheet.let("v", SECOND, beta2 * v + (1 - beta2) * g**2)
    if amsgrad:
        square = sheet.let("v̄", "the largest second moment so far", maximum(v_max, square))
    mean = new
    if bias_correction:
        mean = sheet.let("m̂", "first moment, corrected for its start at zero", new / (1 - beta1**t))
        square = sheet.let("v̂", "second moment, corrected for its start at zero", square / (1 - beta2**t))
    root = sqrt(square) + eps
    corrected = root * (1 - beta1**t) if bias_correction else root
    _adam_parts(sheet, g, m, beta1, lambda moment: -lr * moment / corrected)
    sheet.other("moment", "the first moment before it is scaled", -lr * mean)
    step = -lr * mean / root
    if weight_decay is not None and not weight_decay.absent:
        sheet.part("decay", "what weight decay takes from θ", -lr * weight_decay * theta)
        step = step - lr * weight_decay * theta
    sheet.step(step, rate=lr / root)


@anatomy_of("nadam")
def nadam(sheet, *, g, m, v, mu_product, t, lr, beta1, beta2, eps, momentum_decay):
    now = sheet.let("μ", "this step's momentum, which warms up to β₁", beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)))
    later = sheet.let("μ′", "the next step's momentum", beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay)))
    product = sheet.let("Πμ", "product of all momenta so far, for the corrections", mu_product * now)
    m = sheet.let("m", FIRST, beta1 * m + (1 - beta1) * g)
    v = sheet.let("v", SECOND, beta2 * v + (1 - beta2) * g**2)
    square = sheet.let("v̂", "second moment, corrected for its start at zero", v / (1 - beta2**t))
    fresh = sheet.let("ĝ", "the new gradient's part of the average, corrected", (1 - now) * g / (1 - product))
    ahead = sheet.let(
        "m̂", "the first moment as the next step will use it, corrected", later * m / (1 - product * later)
    )
    root = sqrt(square) + eps
    sheet.part("moment", "the first moment, one step ahead", -lr * ahead / root)
    sheet.part("gradient", "the new gradient's part", -lr * fresh / root)
    sheet.other("moment", "both before they are scaled", -lr * (fresh + ahead))
    sheet.step(-lr * (fresh + ahead) / root, rate=lr / root)


@anatomy_of("diffgrad")
def diffgrad(sheet, *, g, m, v, g_last, t, lr, beta1, beta2, eps):
    xi = sheet.let(
        "ξ", "friction: ½ where the gradient hardly changes, 1 where it jumps", sigmoid(magnitude(g_last - g))
    )
    m = sheet.let("m", FIRST, beta1 * m + (1 - beta1) * g)
    v = sheet.let("v", SECOND, beta2 * v + (1 - beta2) * g**2)
    a = sheet.let("a", "learning rate with both corrections in it", lr * sqrt(1 - beta2**t) / (1 - beta1**t))
    root = sqrt(v) + eps
    sheet.part("scaled", "Adam's step", -a * m / root)
    sheet.part("friction", "what friction takes away", a * (1 - xi) * m / root)
    sheet.step(-a * xi * m / root, rate=lr * sqrt(1 - beta2**t) * xi / root)


@anatomy_of("lion")
def lion(sheet, *, g, m, lr, beta1, beta2):
    c = sheet.let("c", "average of the gradients, of which only the sign is used", beta1 * m + (1 - beta1) * g)
    sheet.let("m", "first moment, with a longer memory, for the next step", beta2 * m + (1 - beta2) * g)
    sheet.part("scaled", "η in each coordinate, against the sign", -lr * sign(c))
    sheet.step(-lr * sign(c), rate=lr / magnitude(c))


def _accepted(sheet: Sheet, lr: Quantity, share: np.ndarray) -> Quantity:
    """The share of a direction that the line search accepted, as the number of halvings that led to it."""
    k = np.where(lr.value[:, 0] == 0, 0.0, np.rint(np.log2(lr.value[:, 0] / share)))
    halvings = sheet.read("k", "how often the line search halved the step; ∞ if nothing helped", k)
    return sheet.let("α", "the share of the direction that is taken", lr / 2**halvings)


def _downhill(sheet: Sheet, g: Quantity, direction: Quantity) -> Quantity:
    """The direction in which the line search goes."""
    slope = sheet.read("gᵀp", "the slope along it", np.sum(g.value * direction.value, axis=1))
    return sheet.let("d", "the direction that is searched: −g if p leads uphill", choose(slope < 0, direction, -g))


@anatomy_of("newton")
def newton(sheet, *, g, theta, hessian, after, lr, damping, line_search):
    damped = hessian + damping.value[..., None] * np.eye(2)
    finite = np.isfinite(damped).all(axis=(1, 2), keepdims=True)
    curvatures, axes = np.linalg.eigh(np.where(finite, hessian, np.eye(2)))
    curvatures, axes = np.where(finite[:, 0], curvatures, np.nan), np.where(finite, axes, np.nan)

    jumps = []
    for i, (sub, which) in enumerate((("₁", "smaller"), ("₂", "larger"))):
        axis = axes[:, :, i]
        u = sheet.read(f"u{sub}", f"the axis of the {which} curvature", axis)
        curvature = sheet.read(f"λ{sub}", "the curvature along it: eigenvalue of the Hessian", curvatures[:, i])
        slope = sheet.read(f"g{sub}", "the slope along it", np.sum(axis * g.value, axis=1), f"u{sub}ᵀg")
        divisor = curvature if damping.absent else curvature + damping
        jumps.append((u, sheet.let(f"p{sub}", "the jump along it, to where its slope vanishes", -slope / divisor)))
    (u1, p1), (u2, p2) = jumps
    full = sheet.let("p", "the jump to the stationary point of the model", p1 * u1 + p2 * u2)
    direction, share = full, lr
    if line_search:
        direction = _downhill(sheet, g, full)
        share = _accepted(sheet, lr, after["share"])
        for u, words in ((u1, "smaller"), (u2, "larger")):
            along = sheet.known(f"({u.text}ᵀd)", np.sum(u.value * direction.value, axis=1))
            sheet.part("axis", f"along the axis of the {words} curvature", share * along * u)
    else:
        sheet.part("axis", "along the axis of the smaller curvature", share * p1 * u1)
        sheet.part("axis", "along the axis of the larger curvature", share * p2 * u2)
    sheet.other("newton", "the whole jump to the stationary point of the model", full)
    sheet.ellipse = theta.value + full.value, damped
    sheet.step(share * direction)


@anatomy_of("lbfgs")
def lbfgs(sheet, *, g, after, lr, line_search):
    s, y = (np.moveaxis(after[name], 1, 0) for name in ("s", "y"))  # (memory, T, 2), newest last
    products, squares = np.sum(s * y, axis=2), np.sum(y * y, axis=2)
    filled = products > 0
    weights = np.where(filled, 1 / products, 0.0)
    q, alphas = g.value, []
    for s_i, y_i, weight in zip(s[::-1], y[::-1], weights[::-1], strict=True):
        alphas.append(weight * np.sum(s_i * q, axis=1))
        q = q - alphas[-1][:, None] * y_i
    scale = np.where(filled[-1], products[-1] / squares[-1], 1.0)
    r = scale[:, None] * q
    for s_i, y_i, weight, alpha in zip(s, y, weights, alphas[::-1], strict=True):
        r = r + s_i * (alpha - weight * np.sum(y_i * r, axis=1))[:, None]

    sheet.read("pairs", "how many pairs (s, y) of steps and gradient changes are remembered", filled.sum(axis=0))
    empty = np.all(s[-1] == 0, axis=1)
    first = np.where(empty, np.fmin(1.0, 1 / np.sum(np.abs(g.value), axis=1)), scale)
    gamma = sheet.read(
        "γ",
        "1 / curvature along the newest pair; with no pair yet, what makes the step at most 1 long",
        first,
        "sᵀy / yᵀy",
    )
    change = np.where(empty[:, None], 0.0, r - scale[:, None] * g.value)
    correction = sheet.read("h", "what the pairs add to γ·g, by the two-loop recursion", change)
    direction = sheet.let(
        "p", "against the gradient times an estimate of the inverse Hessian", -(gamma * g + correction)
    )
    share = lr
    if line_search:
        full = direction.value
        direction = _downhill(sheet, g, direction)
        taken = np.sum(sheet.run.step * direction.value, axis=1) / np.sum(direction.value**2, axis=1)
        share = _accepted(sheet, lr, np.where(np.any(direction.value, axis=1), taken, lr.value[:, 0]))
        lost = sheet.known("(d − p)", direction.value - full)
    sheet.part("gradient", "the gradient, scaled by the newest curvature", -share * gamma * g)
    sheet.part("axis", "what the remembered pairs change", -share * correction)
    if line_search and not lost.absent:
        sheet.part("scaled", "what going along −g instead changes", share * lost)
    sheet.other("newton", "the whole direction, before it is shortened", direction)
    sheet.step(share * direction)


# From optax, as far as its states tell enough ------------------------------------------------------------------------


def _scaled_moment(sheet: Sheet, g, m, beta1, t, lr, divisor: Quantity, mean: Quantity) -> None:
    _adam_parts(sheet, g, m, beta1, lambda moment: -lr * moment / (divisor * (1 - beta1**t)))
    sheet.other("moment", "the first moment before it is scaled", -lr * mean)
    sheet.step(-lr * mean / divisor, rate=lr / divisor)


def _first_moment(sheet: Sheet, g, m, beta1, t) -> tuple[Quantity, Quantity]:
    new = sheet.let("m", FIRST, beta1 * m + (1 - beta1) * g)
    return new, sheet.let("m̂", "first moment, corrected for its start at zero", new / (1 - beta1**t))


@anatomy_of("optax_adabelief")
def adabelief(sheet, *, g, mu, nu, t, lr, beta1, beta2, eps):
    new, mean = _first_moment(sheet, g, mu, beta1, t)
    tiny = sheet.known("ε₀", 1e-16)
    spread = beta2 * nu + (1 - beta2) * (g - new) ** 2 + tiny
    v = sheet.let("v", "how far gradients stray from their average, squared; optax adds ε₀ = 10⁻¹⁶", spread)
    square = sheet.let("v̂", "the same, corrected for its start at zero", v / (1 - beta2**t))
    _scaled_moment(sheet, g, mu, beta1, t, lr, sqrt(square) + eps, mean)


@anatomy_of("optax_yogi")
def yogi(sheet, *, g, mu, nu, t, lr, beta1, beta2, eps):
    _, mean = _first_moment(sheet, g, mu, beta1, t)
    v = sheet.let("v", "second moment, moved towards g² by addition", nu - (1 - beta2) * sign(nu - g**2) * g**2)
    square = sheet.let("v̂", "second moment, corrected for its start", v / (1 - beta2**t))
    _scaled_moment(sheet, g, mu, beta1, t, lr, sqrt(square) + eps, mean)


@anatomy_of("optax_adamax")
def adamax(sheet, *, g, mu, nu, t, lr, beta1, beta2, eps):
    _, mean = _first_moment(sheet, g, mu, beta1, t)
    v = sheet.let("v", "leaky maximum of the gradient's size", maximum(beta2 * nu, magnitude(g) + eps))
    _scaled_moment(sheet, g, mu, beta1, t, lr, v, mean)


@anatomy_of("optax_radam")
def radam(sheet, *, g, mu, nu, t, lr, beta1, beta2, eps):
    _, mean = _first_moment(sheet, g, mu, beta1, t)
    v = sheet.let("v", SECOND, beta2 * nu + (1 - beta2) * g**2)
    square = sheet.let("v̂", "second moment, corrected for its start at zero", v / (1 - beta2**t))
    limit = sheet.let("ρ∞", "how many steps the second moment averages in the long run", 2 / (1 - beta2) - 1)
    length = sheet.let("ρ", "how many it averages by now", limit - 2 * t * beta2**t / (1 - beta2**t))
    r = sheet.let(
        "r",
        "how far the second moment can be trusted; undefined while it cannot",
        sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)),
    )
    scale = choose(length >= 5, r / (sqrt(square) + eps), 1)
    scale = sheet.let("q", "what scales the first moment: at first nothing does", scale)
    _adam_parts(sheet, g, mu, beta1, lambda moment: -lr * scale * moment / (1 - beta1**t))
    sheet.other("moment", "the first moment before it is scaled", -lr * mean)
    sheet.step(-lr * scale * mean, rate=lr * scale)


@anatomy_of("optax_prodigy")
def prodigy(
    sheet, *, g, theta, exp_avg, exp_avg_sq, grad_sum, estim_lr, numerator_weighted, after, t, lr, beta1, beta2, eps,
    first_distance,
):  # fmt: skip
    correction = sheet.let("c", "corrects both moments for their start at zero", sqrt(1 - beta2**t) / (1 - beta1**t))
    far = sheet.let(
        "h", "how far a step goes: the rate times the distance estimated before", estim_lr * lr * correction
    )
    m = sheet.let(
        "m", "first moment: average of gradients times distances", beta1 * exp_avg + (1 - beta1) * estim_lr * g
    )
    v = sheet.let(
        "v", "second moment: average of their squares", beta2 * exp_avg_sq + (1 - beta2) * (estim_lr * g) ** 2
    )
    s = sheet.let(
        "s",
        "the gradients so far, added up, later ones more",
        sqrt(beta2) * grad_sum + far * estim_lr * g / first_distance,
    )
    travelled = (g.value * (after["params0"] - theta.value)).sum(axis=1)
    come = sheet.read("gᵀ(θ₀ − θ)", "how far the way from the start leads down this gradient", travelled)
    r = sheet.let(
        "r",
        "the same, added up like the gradients",
        sqrt(beta2) * numerator_weighted + estim_lr * far * come / first_distance,
    )
    size = sheet.read("|s|", "the size of s: the sum over both coordinates", np.abs(s.value).sum(axis=1))
    d = sheet.let("d", "estimated distance to the minimum, which only grows", maximum(estim_lr, r / size))
    root = sqrt(v) + d * eps
    sheet.part("moment", "what is kept of the first moment", -far * beta1 * exp_avg / root)
    sheet.part("gradient", "the new gradient's part", -far * (1 - beta1) * estim_lr * g / root)
    sheet.step(-far * m / root)


@anatomy_of("optax_sm3")
def sm3(sheet, *, g, mu_0, nu, lr, momentum):
    square = sheet.let("μ", "sum of all squared gradients so far", mu_0 + g**2)
    root = sqrt(square + sheet.known("ε₀", 1e-8))
    new = sheet.let("v", "velocity: average of the scaled gradients", momentum * nu + (1 - momentum) * g / root)
    sheet.part("velocity", "what is kept of the velocity", -lr * momentum * nu)
    sheet.part("scaled", "the new gradient, divided by the root of the sum", -lr * (1 - momentum) * g / root)
    sheet.step(-lr * new, rate=lr * (1 - momentum) / root)
