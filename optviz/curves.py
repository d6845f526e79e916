"""What can be plotted against the step: the loss, and what tells why it moves as it does.

A curve is a function of a trajectory and a declaration of how it is called and scaled. A curve of two columns has one
for each coordinate. Besides those listed here, every slot of every optimizer is a curve: "slot.m" is what a rule that
remembers m remembers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from optviz.descent import Trajectory

RATE = "rate"
SLOT = "slot."


@dataclass(frozen=True)
class Curve:
    """`fn(run)` gives (T,), or (T, 2) for a curve of each coordinate; None if it takes the rule's formula."""

    title: str
    help: str
    fn: Callable[[Trajectory], np.ndarray] | None
    log: bool = True
    symbol: str = ""

    @property
    def label(self) -> str:
        return f"{self.title} {self.symbol}".strip()


def _length(vectors: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.linalg.norm(vectors, axis=1)


def _cosine(run: Trajectory) -> np.ndarray:
    """Of the angle between a gradient and the one before; undefined at the first, and where a gradient vanishes."""
    with np.errstate(all="ignore"):
        products = np.sum(run.grad[1:] * run.grad[:-1], axis=1)
        return np.concatenate([[np.nan], products / (_length(run.grad)[1:] * _length(run.grad)[:-1])])


CURVES = {
    "loss": Curve("Loss", "The loss f at every step, without noise and penalty.", lambda run: run.loss, symbol="f"),
    "gradient": Curve(
        "Gradient norm",
        "Length of the gradient at θ, with this step's noise and penalty.",
        lambda run: _length(run.grad),
        symbol="‖g‖",
    ),
    "lr": Curve("Learning rate", "The learning rate at every step.", lambda run: run.lr, symbol="η"),
    "step": Curve("Step length", "How far each step goes.", lambda run: _length(run.step), symbol="‖Δθ‖"),
    "cosine": Curve(
        "Turning",
        "Cosine of the angle between a gradient and the one before: 1 straight on, 0 a right angle, −1 straight back, "
        "as in a zig-zag.",
        _cosine,
        log=False,
        symbol="cos(gₜ₋₁, gₜ)",
    ),
    RATE: Curve(
        "Effective rate",
        "What multiplies the gradient (or its average) in each coordinate: η for plain rules, η/(√v + ε) for those "
        "that divide. Newton and L-BFGS multiply by a matrix and have none.",
        None,
        symbol="ηₑ",
    ),
}


def is_curve(name: object) -> bool:
    """Whether a curve may have this name. No racer need have the slot that it names."""
    return isinstance(name, str) and (name in CURVES or re.fullmatch(r"slot\.[a-z]\w{0,31}", name) is not None)


def slots(run: Trajectory) -> dict[str, np.ndarray]:
    """Everything that a rule remembers, by name: numbers as (T,), vectors as (T, 2), of anything larger the norm."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(run.slots):
        names = jax.tree_util.keystr(path, simple=True, separator=".").split(".")
        rows = leaf.reshape(len(leaf), -1).astype(np.float64)
        name = next(part for part in reversed(names) if not part.isdigit())
        found[name] = rows if rows.shape[1] == 2 else rows[:, 0] if rows.shape[1] == 1 else _length(rows)
    return found


def curve(name: str, run: Trajectory) -> np.ndarray | None:
    """The values of a curve for a run, or None if its rule remembers no such thing. Of RATE only its anatomy knows."""
    if name.startswith(SLOT):
        return slots(run).get(name.removeprefix(SLOT))
    fn = CURVES[name].fn
    return None if fn is None else fn(run)
