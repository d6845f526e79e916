"""Find the learning rates in optviz/tuned.json: for every optimizer on every surface, from its first start.

    python -m benchmarks.tune

Tries the ten rates per decade of the slider, over 500 steps each, and keeps the one whose loss is lowest on average, as
a logarithm of the height above the lowest minimum: that asks for quick and sure at once. Where a surface has no
minimum there is nothing to be tuned to, and the rate is the one found on the sphere. Takes about ten minutes.
"""

import json

import numpy as np

from optviz.descent import descend, rule
from optviz.optimizers import OPTIMIZERS
from optviz.problems import from_surface
from optviz.surfaces import SURFACES
from optviz.tuning import DATA

STEPS = 500
NOISE_FLOOR = 1e-12  # heights below this count as equal: they are rounding
MODEL = "sphere"  # stands in for a surface without a minimum


def find(surface: str, optimizer: str) -> float:
    """The learning rate of the slider with the lowest mean log-height; of equals the smallest, as the safest."""
    stops = [float(stop) for stop in OPTIMIZERS[optimizer].param["lr"].stops()]
    return min(stops, key=lambda lr: round(mean_height(surface, optimizer, lr), 9))


def mean_height(surface: str, optimizer: str, lr: float) -> float:
    """Mean over the run of log₁₀(f − f*); infinite for a run that diverges."""
    entry = SURFACES[surface]
    run = descend(from_surface(entry, entry.starts[0]), rule(OPTIMIZERS[optimizer], {"lr": lr}), STEPS)
    height = run.loss - entry.lowest_at({})[0].value
    return float(np.mean(np.log10(np.maximum(height, NOISE_FLOOR)))) if np.isfinite(height).all() else np.inf


if __name__ == "__main__":
    table = {}
    for surface, entry in SURFACES.items():
        model = surface if entry.lowest_at({}) else MODEL
        table[surface] = {name: find(model, name) for name in OPTIMIZERS}
        print(surface, table[surface], flush=True)
        DATA.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
