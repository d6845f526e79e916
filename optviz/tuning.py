"""Learning rates that suit: for every optimizer on every surface, from its first start, and on a small network.

A new racer, or a race that moves to another surface, begins with these: one rate for all proves nothing, and a default
made for networks stands still on a parabola. They are data, found by `python -m benchmarks.tune` and
`python -m benchmarks.tune_networks`.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from optviz.optimizers import OPTIMIZERS

DATA = Path(__file__).with_name("tuned.json")
NETWORKS = Path(__file__).with_name("tuned_networks.json")


@lru_cache(maxsize=2)
def _stored(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def tuned_lr(surface: str, optimizer: str) -> float:
    """The stored learning rate; a visitor's own surface is taken for a valley, for want of anything better."""
    rates = _stored(DATA).get("valley" if surface.startswith("=") else surface, {})
    return rates.get(optimizer, float(OPTIMIZERS[optimizer].defaults["lr"]))


def tuned_lr_network(optimizer: str) -> float:
    """The stored learning rate for a small network, found on digits; for an optimizer without one, its default."""
    rates = _stored(NETWORKS)["rates"]
    return float(rates[optimizer]["lr"] if optimizer in rates else OPTIMIZERS[optimizer].defaults["lr"])
