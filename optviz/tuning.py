"""Learning rates that suit: for every optimizer on every surface, from its first start.

A new racer, or a race that moves to another surface, begins with these: one rate for all proves nothing, and a default
made for networks stands still on a parabola. They are data, found by `python -m benchmarks.tune`.
"""

import json
from functools import cache
from pathlib import Path

from optviz.optimizers import OPTIMIZERS

DATA = Path(__file__).with_name("tuned.json")


@cache
def _tuned() -> dict[str, dict[str, float]]:
    return json.loads(DATA.read_text(encoding="utf-8"))


def tuned_lr(surface: str, optimizer: str) -> float:
    """The stored learning rate; a visitor's own surface is taken for a valley, for want of anything better."""
    rates = _tuned().get("valley" if surface.startswith("=") else surface, {})
    return rates.get(optimizer, float(OPTIMIZERS[optimizer].defaults["lr"]))
