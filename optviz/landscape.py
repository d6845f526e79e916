"""Looks at a loss: its values over a window of the plane."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from optviz.programs import program
from optviz.spec import Value
from optviz.surfaces import SURFACES

CELLS = 96  # along each side: smooth on a projector, and 37 kB as float32


class Slice(NamedTuple):
    """A loss over a rectangle of the plane: loss[j, i] belongs to x = alpha[i], y = beta[j]."""

    alpha: np.ndarray  # (k,)
    beta: np.ndarray  # (k,)
    loss: np.ndarray  # (k, k), float64


def over_window(surface: str, values: Mapping[str, Any] | None = None, cells: int = CELLS) -> Slice:
    """The surface over the window that its card declares."""
    entry = SURFACES.find(surface)
    complete = entry.complete(values or {})
    return _over_window(entry.key, tuple(sorted(complete.items())), cells)


@lru_cache(maxsize=128)
def _over_window(key: str, values: tuple[tuple[str, Value], ...], cells: int) -> Slice:
    entry = SURFACES[key]
    own = entry.hyper(**dict(values))
    left, right, bottom, top = entry.window
    alpha, beta = np.linspace(left, right, cells), np.linspace(bottom, top, cells)
    evaluate = program(
        ("over window", entry.fn, own.static),
        lambda: lambda traced, x, y: entry.fn(x, y, **entry.unpack(traced, own.static)),
    )
    return Slice(alpha, beta, np.asarray(evaluate(own.traced, *np.meshgrid(alpha, beta))))
