"""What the catalogue is checked against: every rule and schedule once more, by other hands.

Each optimizer has a recurrence in plain NumPy, written from its paper, and the calls of torch.optim and optax that
follow the same convention. Nothing here imports optviz: surfaces with their derivatives are written out again too,
so that neither a wrong formula nor a wrong derivative could agree with itself.

Runs are made side by side. A point θ has the shape (surfaces, copies, 2): the first copy is the reference itself, in
the others each number that the rule is given is off by its own rounding, at random. How far the copies stray from the
first tells how many digits of a path mean anything, whoever computes it (`moved`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

ROUNDING = 4e-16  # relative; about what one evaluation of a derivative loses
COPIES = 5  # the reference and four disturbed ones

Slots = dict[str, Any]
Values = dict[str, Any]


# Surfaces ------------------------------------------------------------------------------------------------------------


class Field(NamedTuple):
    """A surface for the reference: parameters and start for ours, and loss, gradient, Hessian (xx, xy, yy) by hand."""

    values: Values
    start: tuple[float, float]
    loss: Callable
    gradient: Callable
    hessian: Callable


COS, SIN = np.sqrt(3) / 2, 0.5  # of the valley's 30°


def _valley_gradient(x, y):
    u, v = x * COS + y * SIN, 25 * (y * COS - x * SIN)
    return u * COS - v * SIN, u * SIN + v * COS


def _beale_gradient(x, y):
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
    return (
        2 * (a * (y - 1) + b * (y**2 - 1) + c * (y**3 - 1)),
        2 * x * (a + 2 * b * y + 3 * c * y**2),
    )


def _beale_hessian(x, y):
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
    return (
        2 * ((y - 1) ** 2 + (y**2 - 1) ** 2 + (y**3 - 1) ** 2),
        2 * (a + 2 * b * y + 3 * c * y**2) + 2 * x * (y - 1 + 2 * y * (y**2 - 1) + 3 * y**2 * (y**3 - 1)),
        2 * x * (x + 4 * x * y**2 + 2 * b + 9 * x * y**4 + 6 * c * y),
    )


FIELDS: dict[str, Field] = {
    "sphere": Field(
        {},
        (4.0, 3.0),
        lambda x, y: x**2 + y**2,
        lambda x, y: (2 * x, 2 * y),
        lambda x, y: (2 + 0 * x, 0 * x, 2 + 0 * x),
    ),
    "valley": Field(
        {"kappa": 25.0, "rotation": 30.0},
        (-1.8, 1.0),
        lambda x, y: ((x * COS + y * SIN) ** 2 + 25 * (y * COS - x * SIN) ** 2) / 2,
        _valley_gradient,
        lambda x, y: (COS**2 + 25 * SIN**2 + 0 * x, -24 * COS * SIN + 0 * x, SIN**2 + 25 * COS**2 + 0 * x),
    ),
    "rosenbrock": Field(
        {"b": 100.0},
        (-1.2, 1.0),
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        lambda x, y: (-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)),
        lambda x, y: (2 - 400 * (y - 3 * x**2), -400 * x, 200 + 0 * x),
    ),
    "beale": Field(
        {},
        (1.0, 1.5),
        lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
        _beale_gradient,
        _beale_hessian,
    ),
    "himmelblau": Field(
        {},
        (-1.0, -3.0),
        lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
        lambda x, y: (4 * x * (x**2 + y - 11) + 2 * (x + y**2 - 7), 2 * (x**2 + y - 11) + 4 * y * (x + y**2 - 7)),
        lambda x, y: (12 * x**2 + 4 * y - 42, 4 * (x + y), 12 * y**2 + 4 * x - 26),
    ),
    "styblinski_tang": Field(
        {"tilt": 5.0},
        (4.5, 4.0),
        lambda x, y: (x**4 - 16 * x**2 + 5 * x + y**4 - 16 * y**2 + 5 * y) / 2,
        lambda x, y: (2 * x**3 - 16 * x + 2.5, 2 * y**3 - 16 * y + 2.5),
        lambda x, y: (6 * x**2 - 16, 0 * x, 6 * y**2 - 16),
    ),
    "bounded_saddle": Field(
        {"depth": 1.0},
        (1.0, 1e-3),
        lambda x, y: x**2 - y**2 + y**4 / 4,
        lambda x, y: (2 * x, y**3 - 2 * y),
        lambda x, y: (2 + 0 * x, 0 * x, 3 * y**2 - 2),
    ),
}


class Side:
    """All fields side by side. Every number it gives to a copy other than the first is off by its own rounding.

    A derivative is a difference of larger terms, and what it loses is a share of those. So the point where it is taken
    is disturbed as well as the result: near a minimum the result alone is so small that its share would be nothing.
    """

    def __init__(self, copies: int = 1):
        self.copies = copies
        self._random = np.random.default_rng(20240229)

    @property
    def start(self) -> np.ndarray:
        points = np.array([field.start for field in FIELDS.values()])
        return np.repeat(points[:, None], self.copies, axis=1)

    def _disturbed(self, numbers: np.ndarray) -> np.ndarray:
        signs = self._random.integers(-1, 2, size=numbers.shape)  # down, not at all, or up
        signs[:, 0] = 0
        return numbers * (1 + ROUNDING * signs)

    def _of_each(self, what: str, theta: np.ndarray) -> list:
        at = self._disturbed(theta)
        return [getattr(field, what)(row[:, 0], row[:, 1]) for field, row in zip(FIELDS.values(), at, strict=True)]

    def loss(self, theta: np.ndarray, lean: int = 0) -> np.ndarray:
        """With `lean` ±1 the copies take turns at an error up and one down, the other way round for −1.

        A line search compares losses. At the bottom they agree in all but their last digits, and which of two is the
        lower one depends on errors that point in opposite directions, which chance brings about only now and then.
        """
        values = self._disturbed(np.array(self._of_each("loss", theta)))
        turns = np.resize([1.0, -1.0], self.copies - 1)
        values[:, 1:] *= 1 + 2 * ROUNDING * lean * turns
        return values[..., None]

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        return self._disturbed(np.moveaxis(np.array(self._of_each("gradient", theta)), 1, -1))

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        xx, xy, yy = np.moveaxis(self._disturbed(np.moveaxis(np.array(self._of_each("hessian", theta)), 1, -1)), -1, 0)
        return np.moveaxis(np.array([[xx, xy], [xy, yy]]), (0, 1), (-2, -1))


# Rules ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A rule by other hands.

    `step(grad, slots, t, theta, side, **hyper)` returns the step and the new slots, which go by the same names as
    ours; `start(theta, **hyper)` gives the first. `torch` and `optax` turn hyperparameters into (class name,
    arguments) or None where the library has no such convention. `settings` are what is compared.
    """

    step: Callable
    start: Callable
    settings: tuple[Values, ...]
    torch: Callable | None = None
    optax: Callable | None = None


REFERENCES: dict[str, Reference] = {}


def zeros(*names: str, **others: float) -> Callable:
    def start(theta, **_):
        scalar = np.ones_like(theta[..., 0])
        return {name: np.zeros_like(theta) for name in names} | {name: scalar * v for name, v in others.items()}

    return start


def reference(start: Callable, settings: list[Values], **libraries: Callable) -> Callable:
    def enter(step: Callable) -> Callable:
        REFERENCES[step.__name__] = Reference(step=step, start=start, settings=tuple(settings), **libraries)
        return step

    return enter


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum(a * b, axis=-1, keepdims=True)


def _torch_sgd(lr, momentum, dampening, nesterov, averaging):
    # PyTorch refuses Nesterov's form together with dampening.
    if averaging or (nesterov and (dampening or not momentum)):
        return None
    return "SGD", {"lr": lr, "momentum": momentum, "dampening": dampening, "nesterov": nesterov}


def _optax_sgd(lr, momentum, dampening, nesterov, averaging):
    return (
        None if averaging or dampening else ("sgd", {"learning_rate": lr, "momentum": momentum, "nesterov": nesterov})
    )


@reference(
    zeros("b"),
    [
        {},
        {"lr": 5e-4, "momentum": 0.9, "dampening": 0.5},
        {"lr": 5e-4, "momentum": 0.9, "nesterov": True},
        {"lr": 2e-3, "momentum": 0.8, "averaging": True},
        {"lr": 2e-3, "momentum": 0.7, "averaging": True, "nesterov": True},
        {"lr": 1e-3, "dampening": 0.9},
    ],
    torch=_torch_sgd,
    optax=_optax_sgd,
)
def sgd(grad, slots, t, theta, side, *, lr, momentum, dampening, nesterov, averaging):
    if averaging:
        share = 1 - momentum
        b = momentum * slots["b"] + share * grad
        return -lr * (momentum * b + share * grad if nesterov else b), {"b": b}
    if momentum == 0 or t == 1:
        b = grad if momentum == 0 else momentum * slots["b"] + grad
    else:
        b = momentum * slots["b"] + (1 - dampening) * grad
    return -lr * (grad + momentum * b if nesterov else b), {"b": b}


@reference(
    zeros("v"),
    [
        {"lr": 5e-4},
        {"lr": 1e-3, "form": "averaging", "dampening": 0.2},
        {"lr": 5e-4, "momentum": 0.8, "dampening": 0.3, "form": "velocity"},
        {"lr": 5e-4, "momentum": 0.5, "dampening": 0.3, "form": "accumulating"},
    ],
    optax=lambda lr, momentum, dampening, form: (
        ("sgd", {"learning_rate": lr, "momentum": momentum}) if form == "accumulating" and not dampening else None
    ),
)
def momentum(grad, slots, t, theta, side, *, lr, momentum, dampening, form):
    fresh = (1 - dampening) * grad
    if form == "velocity":  # Sutskever et al. 2013, equation 1: the rate is inside
        v = momentum * slots["v"] - lr * fresh
        return v, {"v": v}
    v = momentum * slots["v"] + (fresh * (1 - momentum) if form == "averaging" else fresh)
    return -(lr * v), {"v": v}


@reference(
    zeros("v", "g_ahead"),
    [{"lr": 5e-4}, {"lr": 1e-3, "momentum": 0.5}, {"lr": 5e-4, "form": "reformulated"}],
    torch=lambda lr, momentum, form: (
        ("SGD", {"lr": lr, "momentum": momentum, "nesterov": True}) if form == "reformulated" else None
    ),
    optax=lambda lr, momentum, form: (
        ("sgd", {"learning_rate": lr, "momentum": momentum, "nesterov": True}) if form == "reformulated" else None
    ),
)
def nesterov(grad, slots, t, theta, side, *, lr, momentum, form):
    if form == "look-ahead":  # Sutskever et al. 2013, equations 3 and 4
        g = side.gradient(theta + momentum * slots["v"])
        v = momentum * slots["v"] - lr * g
        return v, {"v": v, "g_ahead": g}
    v = momentum * slots["v"] - lr * grad  # Bengio et al. 2013, equation 7
    return momentum * v - lr * grad, {"v": v, "g_ahead": grad}


def root(square, eps, inside):
    return np.sqrt(square + eps) if inside else np.sqrt(square) + eps


@reference(
    lambda theta, accumulator, **_: {"s": np.full_like(theta, accumulator)},
    [
        {},
        {"lr": 0.5, "accumulator": 0.1, "eps": 1e-7, "eps_in_sqrt": True},
        {"lr": 0.1, "accumulator": 1.0, "eps": 1e-3},
    ],
    torch=lambda lr, accumulator, eps, eps_in_sqrt: (
        None if eps_in_sqrt else ("Adagrad", {"lr": lr, "initial_accumulator_value": accumulator, "eps": eps})
    ),
    optax=lambda lr, accumulator, eps, eps_in_sqrt: (
        ("adagrad", {"learning_rate": lr, "initial_accumulator_value": accumulator, "eps": eps})
        if eps_in_sqrt
        else None
    ),
)
def adagrad(grad, slots, t, theta, side, *, lr, accumulator, eps, eps_in_sqrt):
    s = slots["s"] + grad * grad
    return -lr * grad / root(s, eps, eps_in_sqrt), {"s": s}


@reference(
    zeros("v", "m", "b"),
    [
        {},
        {"lr": 1e-3, "decay": 0.9, "momentum": 0.9, "centered": True},
        {"lr": 3e-3, "decay": 0.9, "eps": 1e-6, "eps_in_sqrt": True},
        {"lr": 0.1, "decay": 0.9},
        {"lr": 1e-3, "decay": 0.95, "momentum": 0.5, "centered": True, "eps": 1e-4, "eps_in_sqrt": True},
    ],
    torch=lambda lr, decay, eps, momentum, centered, eps_in_sqrt: (
        None
        if eps_in_sqrt
        else ("RMSprop", {"lr": lr, "alpha": decay, "eps": eps, "momentum": momentum, "centered": centered})
    ),
    optax=lambda lr, decay, **rest: (
        "rmsprop",
        {"learning_rate": lr, "decay": decay, "initial_scale": 0.0, **rest},
    ),
)
def rmsprop(grad, slots, t, theta, side, *, lr, decay, eps, momentum, centered, eps_in_sqrt):
    v = decay * slots["v"] + (1 - decay) * grad * grad
    m = decay * slots["m"] + (1 - decay) * grad
    b = momentum * slots["b"] + grad / root(v - m * m if centered else v, eps, eps_in_sqrt)
    return -lr * b, {"v": v, "m": m, "b": b}


@reference(
    zeros("v", "d"),
    [{}, {"lr": 10.0, "rho": 0.95, "eps": 1e-4}, {"lr": 0.5, "rho": 0.99, "eps": 1e-2}],
    torch=lambda lr, rho, eps: ("Adadelta", {"lr": lr, "rho": rho, "eps": eps}),
    optax=lambda lr, rho, eps: ("adadelta", {"learning_rate": lr, "rho": rho, "eps": eps}),
)
def adadelta(grad, slots, t, theta, side, *, lr, rho, eps):
    v = rho * slots["v"] + (1 - rho) * grad * grad
    delta = np.sqrt((slots["d"] + eps) / (v + eps)) * grad
    return -lr * delta, {"v": v, "d": rho * slots["d"] + (1 - rho) * delta * delta}


def _torch_adam(lr, beta1, beta2, eps, bias_correction, amsgrad):
    if not bias_correction:
        return None
    return "Adam", {"lr": lr, "betas": (beta1, beta2), "eps": eps, "amsgrad": amsgrad}


def _optax_adam(lr, beta1, beta2, eps, bias_correction, amsgrad):
    # optax takes AMSGrad's maximum of the corrected second moment, PyTorch and we of the uncorrected one.
    if amsgrad or not bias_correction:
        return None
    return "adam", {"learning_rate": lr, "b1": beta1, "b2": beta2, "eps": eps}


@reference(
    zeros("m", "v", "v_max"),
    [
        {},
        {"lr": 1e-2, "beta1": 0.8, "beta2": 0.99, "bias_correction": False},
        {"lr": 5e-2, "eps": 1e-3, "amsgrad": True, "beta2": 0.9},
        {"lr": 3e-2, "beta1": 0.5, "beta2": 0.99, "eps": 1e-6},
    ],
    torch=_torch_adam,
    optax=_optax_adam,
)
def adam(grad, slots, t, theta, side, *, lr, beta1, beta2, eps, bias_correction, amsgrad):
    m = beta1 * slots["m"] + (1 - beta1) * grad
    v = beta2 * slots["v"] + (1 - beta2) * grad * grad
    v_max = np.maximum(slots["v_max"], v)
    m_hat, v_hat = m, v_max if amsgrad else v
    if bias_correction:
        m_hat, v_hat = m_hat / (1 - beta1**t), v_hat / (1 - beta2**t)
    return -lr * m_hat / (np.sqrt(v_hat) + eps), {"m": m, "v": v, "v_max": v_max}


@reference(
    zeros("m", "v", "v_max"),
    [
        {},
        {"lr": 1e-2, "beta1": 0.8, "beta2": 0.99, "weight_decay": 0.3},
        {"lr": 5e-2, "weight_decay": 0.1, "eps": 1e-3, "amsgrad": True, "beta2": 0.9},
    ],
    torch=lambda lr, beta1, beta2, eps, weight_decay, amsgrad: (
        "AdamW",
        {"lr": lr, "betas": (beta1, beta2), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad},
    ),
    optax=lambda lr, beta1, beta2, eps, weight_decay, amsgrad: (
        None
        if amsgrad
        else ("adamw", {"learning_rate": lr, "b1": beta1, "b2": beta2, "eps": eps, "weight_decay": weight_decay})
    ),
)
def adamw(grad, slots, t, theta, side, *, weight_decay, **hyper):
    step, slots = adam(grad, slots, t, theta, side, bias_correction=True, **hyper)
    return step - hyper["lr"] * weight_decay * theta, slots


@reference(
    zeros("m", "v", mu_product=1.0),
    [
        {},
        {"lr": 1e-2, "beta1": 0.8, "beta2": 0.99, "momentum_decay": 0.1},
        {"lr": 3e-2, "eps": 1e-3, "momentum_decay": 0.0},
    ],
    torch=lambda lr, beta1, beta2, eps, momentum_decay: (
        "NAdam",
        {"lr": lr, "betas": (beta1, beta2), "eps": eps, "momentum_decay": momentum_decay},
    ),
)
def nadam(grad, slots, t, theta, side, *, lr, beta1, beta2, eps, momentum_decay):
    mu, mu_next = (beta1 * (1 - 0.96 ** (i * momentum_decay) / 2) for i in (t, t + 1))
    product = slots["mu_product"] * mu
    m = beta1 * slots["m"] + (1 - beta1) * grad
    v = beta2 * slots["v"] + (1 - beta2) * grad * grad
    now = (1 - mu) * grad / (1 - product[..., None])
    later = mu_next * m / (1 - product[..., None] * mu_next)
    return -lr * (now + later) / (np.sqrt(v / (1 - beta2**t)) + eps), {"m": m, "v": v, "mu_product": product}


@reference(
    zeros("m", "v", "g_last", "xi"),
    [{}, {"lr": 1e-2, "beta1": 0.8, "beta2": 0.99}, {"lr": 5e-2, "beta1": 0.95, "eps": 1e-3}],
)
def diffgrad(grad, slots, t, theta, side, *, lr, beta1, beta2, eps):
    m = beta1 * slots["m"] + (1 - beta1) * grad
    v = beta2 * slots["v"] + (1 - beta2) * grad * grad
    xi = 1 / (1 + np.exp(-np.abs(slots["g_last"] - grad)))
    rate = lr * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return -rate * xi * m / (np.sqrt(v) + eps), {"m": m, "v": v, "g_last": grad, "xi": xi}


@reference(
    zeros("m"),
    [{}, {"lr": 3e-3, "beta1": 0.5, "beta2": 0.8}, {"lr": 1e-2, "beta1": 0.95, "beta2": 0.98}],
    optax=lambda lr, beta1, beta2: ("lion", {"learning_rate": lr, "b1": beta1, "b2": beta2, "weight_decay": 0.0}),
)
def lion(grad, slots, t, theta, side, *, lr, beta1, beta2):
    c = beta1 * slots["m"] + (1 - beta1) * grad
    return -lr * np.sign(c), {"m": beta2 * slots["m"] + (1 - beta2) * grad}


def backtrack(theta, grad, direction, lr, side):
    """Armijo's rule (Nocedal & Wright, algorithm 3.1) with factor ½, c = 1e-4 and at most 30 halvings."""
    direction = np.where(dot(grad, direction) < 0, direction, -grad)
    slope, value = dot(grad, direction), side.loss(theta, lean=1)
    share, accepted = np.zeros_like(slope), np.zeros(slope.shape, bool)
    for halvings in range(31):
        trial = lr / 2**halvings
        enough = side.loss(theta + trial * direction, lean=-1) <= value + 1e-4 * trial * slope
        share = np.where(enough & ~accepted, trial, share)
        accepted |= enough
    return share * direction, share[..., 0]


@reference(
    zeros(share=1.0),
    [{}, {"lr": 0.5, "damping": 0.5}, {"line_search": True}, {"lr": 0.7, "damping": 8.0, "line_search": True}],
)
def newton(grad, slots, t, theta, side, *, lr, damping, line_search):
    curvature = side.hessian(theta) + damping * np.eye(2)
    direction = -np.linalg.solve(curvature, grad[..., None])[..., 0]
    if line_search:
        step, share = backtrack(theta, grad, direction, lr, side)
        return step, {"share": share}
    return lr * direction, {"share": np.full_like(slots["share"], lr)}


def _lbfgs_start(theta, memory, **_):
    pairs = np.zeros((*theta.shape[:-1], memory, 2))
    return {"s": pairs, "y": pairs, "theta_last": theta, "g_last": np.zeros_like(theta)}


@reference(
    _lbfgs_start,
    [{}, {"lr": 0.3, "line_search": False}, {"memory": 3}, {"memory": 2, "lr": 0.5, "line_search": False}],
)
def lbfgs(grad, slots, t, theta, side, *, lr, memory, line_search):
    all_s, all_y, direction = slots["s"].copy(), slots["y"].copy(), np.empty_like(grad)
    for run in np.ndindex(theta.shape[:-1]):
        s, y = theta[run] - slots["theta_last"][run], grad[run] - slots["g_last"][run]
        if t > 1 and s @ y > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y):
            all_s[run] = [*all_s[run][1:], s]
            all_y[run] = [*all_y[run][1:], y]
        pairs = [(s, y) for s, y in zip(all_s[run], all_y[run], strict=True) if s @ y > 0]
        direction[run] = -two_loops(grad[run], pairs)
        if not pairs:
            direction[run] *= min(1.0, 1 / np.abs(grad[run]).sum())
    step = backtrack(theta, grad, direction, lr, side)[0] if line_search else lr * direction
    return step, {"s": all_s, "y": all_y, "theta_last": theta, "g_last": grad}


def two_loops(grad, pairs):
    """Nocedal & Wright, algorithm 7.4, with the pairs from old to new."""
    q, alphas = grad, []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (y @ s))
        q = q - alphas[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * (s @ y) / (y @ y)
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + s * (alpha - y @ q / (y @ s))
    return q


# optax by hand: its update function, driven step by step with the hyperparameters as plain Python numbers.


class Hand(NamedTuple):
    init: Callable
    update: Callable


@cache
def optax_by_hand(name: str, arguments: tuple[tuple[str, Any], ...]) -> Hand:
    import jax
    import optax
    import optax.contrib

    make = getattr(optax, name, None) or getattr(optax.contrib, name)
    transformation = make(**dict(arguments))
    init, update = (jax.vmap(jax.vmap(call)) for call in transformation)
    return Hand(jax.jit(init), jax.jit(update))


def optax_rule(call: Callable) -> tuple[Callable, Callable]:
    """start and step of a Reference from `call(**hyper)`, which gives (name, arguments) of an optax function."""

    def hand(hyper: Values) -> Hand:
        name, arguments = call(**hyper)
        return optax_by_hand(name, tuple(arguments.items()))

    def start(theta, **hyper):
        return {"state": hand(hyper).init(theta)}

    def step(grad, slots, t, theta, side, **hyper):
        step, state = hand(hyper).update(grad, slots["state"], theta)
        return np.asarray(step), {"state": state}

    return start, step


def adapted(key: str, settings: list[Values], call: Callable) -> None:
    start, step = optax_rule(call)
    REFERENCES[key] = Reference(step=step, start=start, settings=tuple(settings))


def _like_adam(name: str) -> Callable:
    return lambda lr, beta1, beta2, eps: (name, {"learning_rate": lr, "b1": beta1, "b2": beta2, "eps": eps})


OTHER_MOMENTS = {"lr": 1e-2, "beta1": 0.8, "beta2": 0.99}

adapted("optax_adabelief", [{}, OTHER_MOMENTS, {"lr": 3e-2, "eps": 1e-3}], _like_adam("adabelief"))
adapted("optax_radam", [{}, OTHER_MOMENTS, {"lr": 3e-2, "eps": 1e-3}], _like_adam("radam"))
adapted("optax_yogi", [{}, OTHER_MOMENTS, {"lr": 3e-2, "eps": 1e-2}], _like_adam("yogi"))
adapted("optax_adamax", [{}, OTHER_MOMENTS, {"lr": 3e-2, "eps": 1e-3}], _like_adam("adamax"))
adapted(
    "optax_prodigy",
    [{}, {"lr": 0.5, "beta1": 0.8, "beta2": 0.99}, {"lr": 0.3, "eps": 1e-4, "first_distance": 1e-3}],
    lambda lr, beta1, beta2, eps, first_distance: (
        "prodigy",
        {"learning_rate": lr, "betas": (beta1, beta2), "eps": eps, "estim_lr0": first_distance},
    ),
)
adapted(
    "optax_sm3",
    [{}, {"lr": 0.1, "momentum": 0.5}, {"lr": 0.3, "momentum": 0.0}],
    lambda lr, momentum: ("sm3", {"learning_rate": lr, "momentum": momentum}),
)


# Runs ----------------------------------------------------------------------------------------------------------------


class Path(NamedTuple):
    """A reference run of all fields: row i of `slots` is before step i + 1, as `theta` is; both have T + 1 rows."""

    theta: np.ndarray  # (T + 1, surfaces, copies, 2)
    slots: list[Slots]


def run(key: str, hyper: Values, steps: int, side: Side) -> Path:
    """The reference's path with complete hyperparameters `hyper`."""
    rule = REFERENCES[key]
    return _run(rule.start, rule.step, hyper, steps, side)


def _run(start: Callable, step: Callable, hyper: Values, steps: int, side: Side) -> Path:
    theta = side.start
    thetas, slots = [theta], [start(theta, **hyper)]
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(1, steps + 1):
            move, after = step(side.gradient(theta), slots[-1], t, theta, side, **hyper)
            theta = theta + move
            thetas.append(theta)
            slots.append(after)
    return Path(np.array(thetas), slots)


def optax_path(key: str, hyper: Values, steps: int) -> np.ndarray | None:
    """The path (T + 1, surfaces, 2) of optax's own rule, driven by hand; None where it has no such convention."""
    call = REFERENCES[key].optax
    if call is None or call(**hyper) is None:
        return None
    return _run(*optax_rule(call), hyper, steps, Side()).theta[:, :, 0]


def torch_path(key: str, hyper: Values, steps: int) -> np.ndarray | None:
    """The path (T + 1, surfaces, 2) of torch.optim's rule; None where it has no such convention."""
    call = REFERENCES[key].torch
    arguments = call(**hyper) if call else None
    if arguments is None:
        return None
    import torch

    side = Side()
    with torch_float64():
        theta = torch.nn.Parameter(torch.from_numpy(side.start.copy()))
        optimizer = getattr(torch.optim, arguments[0])([theta], **arguments[1])
        thetas = [side.start]
        for _ in range(steps):
            theta.grad = torch.from_numpy(side.gradient(thetas[-1]))
            optimizer.step()
            thetas.append(theta.detach().numpy().copy())
    return np.array(thetas)[:, :, 0]


@contextmanager
def torch_float64() -> Iterator[None]:
    """NAdam keeps its product of momenta in torch's default precision, whatever the parameters' is."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


# Sensitivity ---------------------------------------------------------------------------------------------------------

STILL = 1e-13  # a path that its own rounding moves by no more than this is worth comparing digit by digit


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a − b| as a share of max(1, |b|); 0 where both are the same infinity or NaN, ∞ where only one is."""
    with np.errstate(invalid="ignore"):
        distance = np.abs(a - b) / np.maximum(1, np.abs(b))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isfinite(distance), distance, np.inf))


def moved(theta: np.ndarray) -> np.ndarray:
    """How far the disturbed copies have strayed so far: (rows, surfaces) from (rows, surfaces, copies, 2)."""
    now = apart(theta[:, :, 1:], theta[:, :, :1]).max(axis=(2, 3))
    return np.maximum.accumulate(now, axis=0)


# Schedules -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ScheduleReference:
    """A schedule by other hands: `closed(t, peak, steps, **own)` in plain Python, at any whole t ≥ 0, or, for one that
    watches the loss, `watched(losses, peak, **own)`, its values when it is told these losses step by step.

    `torch(optimizer, steps, **own)` builds the scheduler of PyTorch, or gives None where it has no such convention.
    `torch_sets` is what it changes, `torch_warms` says whether its own warm-up can be put before it, and
    `torch_until(steps)` up to which step they agree; `optax(peak, steps, **own)` gives optax's function, or None.
    """

    closed: Callable[..., float] = lambda t, peak, steps: math.nan
    watched: Callable[..., list[float]] | None = None
    settings: tuple[Values, ...]
    torch: Callable | None = None
    torch_sets: str = "lr"
    torch_warms: bool = True
    torch_until: Callable[[int], int] | None = None
    optax: Callable | None = None


def _torch_schedulers() -> Any:
    from torch.optim import lr_scheduler

    return lr_scheduler


def _optax() -> Any:
    import optax

    return optax


def _drops(steps: int, first: float, second: float) -> list[int]:
    return [round(first * steps), round(second * steps)]


def _restarts(t, peak, steps, cycle, stretch, shrink, final):
    """SGDR, one cycle after another."""
    begins, length, top = 0.0, cycle, peak
    while t >= begins + length:
        begins, length, top = begins + length, length * stretch, top * shrink
    return top * final + (top - top * final) * (1 + np.cos(np.pi * (t - begins) / length)) / 2


def _optax_restarts(peak, steps, cycle, stretch, shrink, final):
    lengths = [cycle]
    while sum(lengths) < 200:  # more steps than any test looks at
        lengths.append(cycle * stretch ** len(lengths))
    if any(length % 1 for length in lengths):  # it counts whole steps
        return None
    tops = [peak * shrink**i for i in range(len(lengths))]
    return _optax().sgdr_schedule(
        [
            {"init_value": top, "peak_value": top, "end_value": top * final, "warmup_steps": 0, "decay_steps": int(one)}
            for one, top in zip(lengths, tops, strict=True)
        ]
    )


def _triangle(t, half):
    within = t % (2 * half)
    return min(within, 2 * half - within) / half


def _cyclic(mode: str, **more: float) -> Callable:
    """PyTorch's CyclicLR between `low` and the optimizer's rate."""

    def build(optimizer, steps, low, half_cycle, gamma=1.0):
        peak = optimizer.param_groups[0]["lr"]
        return _torch_schedulers().CyclicLR(
            optimizer, low * peak, peak, half_cycle, mode=mode, gamma=gamma, cycle_momentum=False
        )

    return build


def _one_cycle(t, steps, rise, shape, *knots: float) -> float:
    """The first knot at the start, the others at the ends of the phases."""
    ends = {3: [rise * steps - 1, steps - 1], 4: [rise * steps - 1, 2 * rise * steps - 2, steps - 1]}[len(knots)]
    begins = 0.0
    for end, before, after in zip(ends, knots, knots[1:], strict=False):
        end = min(end, steps - 1)
        if t < end:
            share = (t - begins) / (end - begins)
            return after + (before - after) * ((1 + np.cos(np.pi * share)) / 2 if shape == "cosine" else 1 - share)
        begins = end
    return knots[-1]


def _one_cycle_knots(peak, phases, div, final_div):
    start = peak / div
    return (start, peak, *([start] if phases == "three" else []), start / final_div)


def _torch_one_cycle(optimizer, steps, phases, shape, rise, **own):
    if not 0 < rise * steps - 1 < (steps if phases == "two" else steps / 2) - 1:
        return None  # its phases would have no length or end after the run
    named = {"div": "div_factor", "final_div": "final_div_factor"}
    peak = optimizer.param_groups[0]["lr"]
    momenta = {"base_momentum": own["low"] * peak, "max_momentum": peak} if "low" in own else {"cycle_momentum": False}
    return _torch_schedulers().OneCycleLR(
        optimizer,
        peak,
        steps,
        pct_start=rise,
        three_phase=phases == "three",
        anneal_strategy={"cosine": "cos", "linear": "linear"}[shape],
        **momenta,
        **{named[name]: value for name, value in own.items() if name in named},
    )


def _optax_one_cycle(peak, steps, phases, shape, rise, div, final_div):
    summit = round(rise * steps - 1)
    if phases == "three" or shape == "linear" or abs(rise * steps - 1 - summit) > 1e-9:
        return None  # its linear form has a third phase of another shape, and it counts whole steps
    if not 0 < summit < steps - 1:
        return None  # and it knows no rise and no fall of no length
    return _optax().cosine_onecycle_schedule(steps - 1, peak, (summit + 0.5) / (steps - 1), div, final_div)


def _range(t, peak, steps, low, spacing):
    share = min(t, steps - 1) / max(steps - 1, 1)
    return float(np.exp((1 - share) * np.log(low)) if spacing == "exponential" else 1 + (low - 1) * (1 - share)) * peak


def _optax_range(peak, steps, low, spacing):
    if steps == 1:
        return None
    if spacing == "linear":
        return _optax().linear_schedule(low * peak, peak, steps - 1)
    return _optax().exponential_decay(low * peak, steps - 1, 1 / low, end_value=peak)


def plateau(losses, peak, factor, patience, threshold, cooldown, least):
    """Cut when the loss has not been better for more than `patience` looks."""
    rate, best, bad, rest, rates = peak, math.inf, 0, 0, []
    for loss in losses:
        if loss < best * (1 - threshold if best > 0 else 1 + threshold):
            best, bad = loss, 0
        else:
            bad += 1
        if rest > 0:
            rest, bad = rest - 1, 0
        if bad > patience:
            rate, rest, bad = max(rate * factor, least * peak), cooldown, 0
        rates.append(rate)
    return rates


def bold_driver(losses, peak, factor, growth):
    """Up a little after a good step, down after a bad one."""
    rate, last, rates = peak, math.inf, []
    for loss in losses:
        rate = min(rate * growth, peak) if loss < last else rate * factor
        last = loss
        rates.append(rate)
    return rates


def _through_points(t, peak, steps, y0, y5, **points):
    inner = sorted((points[f"x{i}"], i, points[f"y{i}"]) for i in range(1, 5))
    x, y = [0.0, *(one[0] for one in inner), 1.0], [y0, *(one[2] for one in inner), y5]
    return peak * float(np.interp(min(t / steps, 1.0), x, y))


def _by_lambda(key: str) -> Callable:
    """PyTorch has no such schedule, but runs one that is told as a function."""

    def build(optimizer, steps, **own):
        return _torch_schedulers().LambdaLR(optimizer, lambda t: SCHEDULE_REFERENCES[key].closed(t, 1.0, steps, **own))

    return build


STEPS_COMPARED = 97  # the length of run that schedules are compared at: divisible by nothing

SCHEDULE_REFERENCES: dict[str, ScheduleReference] = {
    "constant": ScheduleReference(
        closed=lambda t, peak, steps: peak,
        settings=({},),
        torch=lambda optimizer, steps: _torch_schedulers().ConstantLR(optimizer, factor=1.0),
        optax=lambda peak, steps: _optax().constant_schedule(peak),
    ),
    "step_decay": ScheduleReference(
        closed=lambda t, peak, steps, factor, every: peak * factor ** (t // every),
        settings=(
            {},
            {"factor": 0.3, "every": 7},
            {"factor": 1.0, "every": 1},
            {"factor": 0.0, "every": 49},
            {"factor": 0.9, "every": 3},
        ),
        torch=lambda optimizer, steps, factor, every: _torch_schedulers().StepLR(optimizer, every, factor),
        optax=lambda peak, steps, factor, every: (
            _optax().exponential_decay(peak, every, factor, staircase=True) if factor else None
        ),
    ),
    "exponential": ScheduleReference(
        closed=lambda t, peak, steps, decay: peak * np.exp(-decay * t),
        settings=({}, {"decay": 0.3}, {"decay": 0.0}),
        torch=lambda optimizer, steps, decay: _torch_schedulers().ExponentialLR(optimizer, np.exp(-decay)),
        optax=lambda peak, steps, decay: _optax().exponential_decay(peak, 1, np.exp(-decay)),
    ),
    "inverse_time": ScheduleReference(
        closed=lambda t, peak, steps, decay: peak / (1 + decay * t),
        settings=({}, {"decay": 0.7}, {"decay": 0.0}),
        torch=lambda optimizer, steps, decay: _torch_schedulers().LambdaLR(optimizer, lambda t: 1 / (1 + decay * t)),
    ),
    "power": ScheduleReference(
        closed=lambda t, peak, steps, scale, power: peak * (1 + t / scale) ** -power,
        settings=({}, {"scale": 7.0, "power": 1.5}, {"scale": 30.0, "power": 0.0}, {"scale": 1.0, "power": 1.0}),
        torch=lambda optimizer, steps, scale, power: _torch_schedulers().LambdaLR(
            optimizer, lambda t: (scale / (scale + t)) ** power
        ),
    ),
    "piecewise": ScheduleReference(
        closed=lambda t, peak, steps, first, second, factor: (
            peak * factor ** sum(t >= drop for drop in _drops(steps, first, second))
        ),
        settings=(
            {},
            {"first": 0.3, "second": 0.31, "factor": 0.5},
            {"first": 0.9, "second": 0.2, "factor": 0.2},
            {"first": 0.4, "second": 0.4, "factor": 0.3},
            {"first": 0.0, "second": 1.0},
        ),
        torch=lambda optimizer, steps, first, second, factor: _torch_schedulers().MultiStepLR(
            optimizer, sorted(_drops(steps, first, second)), factor
        ),
        optax=lambda peak, steps, first, second, factor: (
            _optax().piecewise_constant_schedule(peak, dict.fromkeys(_drops(steps, first, second), factor))
            if first != second  # it has one drop to a boundary
            else None
        ),
    ),
    "polynomial": ScheduleReference(
        closed=lambda t, peak, steps, power, final: (
            peak * final + (peak - peak * final) * (1 - min(t, steps) / steps) ** power
        ),
        settings=({}, {"power": 0.5, "final": 0.1}, {"power": 1.0, "final": 1.0}, {"power": 0.0, "final": 0.5}),
        torch=lambda optimizer, steps, power, final: (
            _torch_schedulers().PolynomialLR(optimizer, steps, power) if power and not final else None
        ),
        optax=lambda peak, steps, power, final: _optax().polynomial_schedule(peak, peak * final, power, steps),
    ),
    "linear": ScheduleReference(
        closed=lambda t, peak, steps, final: peak + (peak * final - peak) * min(t, steps) / steps,
        settings=({}, {"final": 0.2}, {"final": 1.0}),
        torch=lambda optimizer, steps, final: _torch_schedulers().LinearLR(optimizer, 1.0, final, steps),
        optax=lambda peak, steps, final: _optax().linear_schedule(peak, peak * final, steps),
    ),
    "cosine": ScheduleReference(
        closed=lambda t, peak, steps, final: (
            peak * final + (peak - peak * final) * (1 + np.cos(np.pi * min(t, steps) / steps)) / 2
        ),
        settings=({}, {"final": 0.2}, {"final": 1.0}),
        torch=lambda optimizer, steps, final: _torch_schedulers().CosineAnnealingLR(
            optimizer, steps, eta_min=final * optimizer.param_groups[0]["lr"]
        ),
        torch_until=lambda steps: steps,  # PyTorch's goes on, up again
        optax=lambda peak, steps, final: _optax().cosine_decay_schedule(peak, steps, alpha=final),
    ),
    "warmup": ScheduleReference(
        closed=lambda t, peak, steps: peak,
        settings=({},),
        torch=lambda optimizer, steps: _torch_schedulers().ConstantLR(optimizer, factor=1.0),
        optax=lambda peak, steps: _optax().constant_schedule(peak),
    ),
    "inverse_sqrt": ScheduleReference(
        closed=lambda t, peak, steps, scale: peak * (scale / (scale + t)) ** 0.5,
        settings=({}, {"scale": 1.0}, {"scale": 333.3}),
        torch=_by_lambda("inverse_sqrt"),
    ),
    "trapezoid": ScheduleReference(
        closed=lambda t, peak, steps, fall, final: (
            peak + (peak * final - peak) * max(min(t, steps) - (1 - fall) * steps, 0) / (fall * steps) if fall else peak
        ),
        settings=({}, {"fall": 1.0, "final": 0.1}, {"fall": 0.0}, {"fall": 0.37, "final": 1.0}, {"fall": 0.011}),
        torch=_by_lambda("trapezoid"),
        optax=lambda peak, steps, fall, final: (
            _optax().linear_schedule(peak, peak * final, fall * steps, (1 - fall) * steps)
            if fall * steps >= 1 and (1 - fall) * steps >= 1
            else None
        ),
    ),
    "sgdr": ScheduleReference(
        closed=_restarts,
        settings=(
            {},
            {"cycle": 10, "stretch": 1.0},
            {"cycle": 1, "stretch": 1.0, "final": 0.3},
            {"cycle": 1, "stretch": 2.0, "shrink": 0.5},
            {"cycle": 7, "stretch": 3.0, "final": 0.1},
            {"cycle": 12, "stretch": 1.5, "shrink": 0.8, "final": 0.2},
            {"cycle": 3, "stretch": 1.21, "shrink": 0.0},
            {"cycle": 33, "stretch": 4.0, "final": 1.0},
        ),
        torch=lambda optimizer, steps, cycle, stretch, shrink, final: (
            _torch_schedulers().CosineAnnealingWarmRestarts(
                optimizer, cycle, int(stretch), final * optimizer.param_groups[0]["lr"]
            )
            if shrink == 1 and stretch % 1 == 0
            else None
        ),
        optax=_optax_restarts,
    ),
    "triangular": ScheduleReference(
        closed=lambda t, peak, steps, low, half_cycle: peak * low + (peak - peak * low) * _triangle(t, half_cycle),
        settings=({}, {"half_cycle": 1}, {"low": 0.0, "half_cycle": 7}, {"low": 1.0, "half_cycle": 13}),
        torch=_cyclic("triangular"),
        torch_warms=False,
    ),
    "triangular2": ScheduleReference(
        closed=lambda t, peak, steps, low, half_cycle: (
            peak * low + (peak - peak * low) * _triangle(t, half_cycle) / 2 ** (t // (2 * half_cycle))
        ),
        settings=({}, {"half_cycle": 1}, {"low": 0.0, "half_cycle": 7}, {"low": 0.3, "half_cycle": 13}),
        torch=_cyclic("triangular2"),
        torch_warms=False,
    ),
    "exp_range": ScheduleReference(
        closed=lambda t, peak, steps, low, half_cycle, gamma: (
            peak * low + (peak - peak * low) * _triangle(t, half_cycle) * gamma**t
        ),
        settings=(
            {},
            {"half_cycle": 1, "gamma": 0.9},
            {"low": 0.0, "half_cycle": 7, "gamma": 1.0},
            {"low": 0.3, "half_cycle": 13, "gamma": 0.0},
        ),
        torch=_cyclic("exp_range"),
        torch_warms=False,
    ),
    "one_cycle": ScheduleReference(
        closed=lambda t, peak, steps, phases, shape, rise, div, final_div: _one_cycle(
            t, steps, rise, shape, *_one_cycle_knots(peak, phases, div, final_div)
        ),
        settings=(
            {},
            {"shape": "linear", "div": 10.0, "final_div": 100.0},
            {"phases": "three"},
            {"phases": "three", "shape": "linear", "rise": 0.45, "final_div": 1e6},
            {"rise": 30 / STEPS_COMPARED, "div": 1.0},
            {"rise": 0.0},
            {"rise": 1.0},
            {"phases": "three", "rise": 0.0},
            {"phases": "three", "rise": 0.8},
            {"rise": 2 / STEPS_COMPARED, "final_div": 1.0},
        ),
        torch=_torch_one_cycle,
        torch_warms=False,
        torch_until=lambda steps: steps - 1,  # beyond its end it refuses
        optax=_optax_one_cycle,
    ),
    "one_cycle_momentum": ScheduleReference(
        closed=lambda t, peak, steps, phases, shape, rise, low: _one_cycle(
            t, steps, rise, shape, peak, low * peak, peak, *([peak] if phases == "three" else [])
        ),
        settings=(
            {},
            {"shape": "linear", "low": 0.5},
            {"phases": "three", "low": 0.0},
            {"phases": "three", "shape": "linear", "rise": 0.45},
            {"rise": 1.0, "low": 1.0},
            {"rise": 0.0},
        ),
        torch=_torch_one_cycle,
        torch_sets="momentum",
        torch_warms=False,
        torch_until=lambda steps: steps - 1,
    ),
    "range_test": ScheduleReference(
        closed=_range,
        settings=({}, {"low": 0.1}, {"spacing": "linear"}, {"spacing": "linear", "low": 0.5}, {"low": 1.0}),
        torch=_by_lambda("range_test"),
        optax=_optax_range,
    ),
    "plateau": ScheduleReference(
        watched=plateau,
        settings=(
            {},
            {"factor": 0.5, "patience": 0},
            {"factor": 0.3, "patience": 2, "threshold": 0.1, "cooldown": 3, "least": 0.05},
            {"factor": 0.0, "patience": 1, "threshold": 0.0, "least": 0.2},
            {"factor": 1.0, "cooldown": 1, "least": 1.0},
        ),
    ),
    "bold_driver": ScheduleReference(
        watched=bold_driver,
        settings=({}, {"factor": 0.9, "growth": 1.5}, {"factor": 0.0}, {"factor": 1.0, "growth": 1.0}),
    ),
    "piecewise_linear": ScheduleReference(
        closed=_through_points,
        settings=(
            {},
            {"x1": 0.9, "y1": 0.2, "x2": 0.3, "y2": 1.0, "x3": 0.1, "y3": 0.5, "x4": 0.5, "y4": 0.0, "y0": 1.0},
            {"x1": 0.25, "y1": 0.5, "x2": 0.25, "y2": 1.0, "y5": 0.3},
            {"x1": 0.0, "y1": 1.0, "x4": 1.0, "y4": 0.7, "y0": 0.0, "y5": 0.2},
            {"x1": 1.0, "x2": 1.0, "x3": 1.0, "x4": 1.0, "y2": 0.9, "y3": 0.8},
        ),
        torch=_by_lambda("piecewise_linear"),
    ),
}


class Warmup(NamedTuple):
    """A straight line from a share of the peak to the peak, for so many steps."""

    steps: int
    start: float


def closed_schedule(key: str, own: Values, warmup: Warmup, peak: float, steps: int, count: int) -> np.ndarray:
    """The first `count` values of a run of `steps` steps."""
    reference, closed = SCHEDULE_REFERENCES[key], SCHEDULE_REFERENCES[key].closed
    rest = max(steps - warmup.steps, 1)
    watched = reference.watched  # at a minimum whose loss is 0
    after = watched([0.0] * (count - warmup.steps), peak, **own) if watched else None

    def at(t: int) -> float:
        if t < warmup.steps:
            low = warmup.start * peak
            return low + (peak - low) * t / warmup.steps
        if after is not None:
            return after[t - warmup.steps]
        return closed(t - warmup.steps, peak, rest, **own)

    return np.array([at(t) for t in range(count)])


def torch_schedule(key: str, own: Values, warmup: Warmup, peak: float, steps: int, count: int) -> np.ndarray | None:
    """The values of PyTorch's own scheduler as far as it agrees, behind its own warm-up; None where it has no such."""
    import torch

    reference = SCHEDULE_REFERENCES[key]
    if reference.torch is None or (warmup.steps and not warmup.start):  # its LinearLR cannot start at 0
        return None
    if warmup.steps and not reference.torch_warms:
        return None
    rest = max(steps - warmup.steps, 1)
    with torch_float64():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
        schedulers = [reference.torch(optimizer, rest, **own)]
        if schedulers[0] is None:
            return None
        if warmup.steps:
            line = _torch_schedulers().LinearLR(optimizer, warmup.start, 1.0, warmup.steps)
            schedulers = [_torch_schedulers().SequentialLR(optimizer, [line, *schedulers], [warmup.steps])]
        values: list[float] = []
        until = count if reference.torch_until is None else warmup.steps + reference.torch_until(rest) + 1
        for _ in range(until):
            values.append(optimizer.param_groups[0][reference.torch_sets])
            optimizer.step()
            if len(values) < until:
                schedulers[0].step()
    return np.array(values)


def optax_schedule(key: str, own: Values, warmup: Warmup, peak: float, steps: int, count: int) -> np.ndarray | None:
    """The values of optax's own schedule behind its own warm-up; None where it has no such."""
    reference = SCHEDULE_REFERENCES[key]
    schedule = reference.optax(peak, max(steps - warmup.steps, 1), **own) if reference.optax else None
    if schedule is None:
        return None
    if warmup.steps:
        line = _optax().linear_schedule(warmup.start * peak, peak, warmup.steps)
        schedule = _optax().join_schedules([line, schedule], [warmup.steps])
    import jax

    return np.broadcast_to(jax.vmap(schedule)(np.arange(count)), count)
