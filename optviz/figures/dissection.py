"""One step of one racer, taken apart: what the stage shows at the moment that it shows.

Arrows, formulas and numbers of all steps travel once; scrubbing picks a row in the browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optviz.anatomy import KINDS, Arrow, anatomy
from optviz.experiment import Experiment, Run
from optviz.figures import theme
from optviz.landscape import slices

# Away from the racers' hues, so that an arrow is never taken for somebody's path; the step itself has its racer's.
INK = {
    "gradient": "#E0487B",
    "scaled": "#E0487B",
    "velocity": "#8A5CF6",
    "moment": "#8A5CF6",
    "axis": "#8A5CF6",
    "friction": "#A8703A",
    "decay": "#A8703A",
}
HIDDEN = ("plain", "downhill", "moment")  # until asked for: unscaled, they may be a thousand times as long as a step


def dissection(experiment: Experiment, runs: Sequence[Run], index: int) -> dict[str, Any]:
    """The record of racer `index`, and what both models promise of the steps of all."""
    run = runs[index]
    taken = anatomy(run)
    every = [slices(experiment.problem, one.trajectory) for one in runs]
    along = every[index]
    axes = sum(arrow.key == "axis" for arrow in taken.parts) > 1
    arrows = [_arrow(arrow, part=True, second=axes and i == 1) for i, arrow in enumerate(taken.parts)]
    arrows += [_arrow(arrow) for arrow in taken.others]
    with np.errstate(over="ignore", invalid="ignore"):
        promises = [
            {
                "linear": theme.floats(one.slope),
                "quadratic": theme.floats(one.slope + 0.5 * one.curvature),
                "change": theme.floats(np.diff(each.trajectory.loss)),
            }
            for each, one in zip(runs, every, strict=True)
        ]
    return {
        "racer": index,
        "steps": run.trajectory.steps,
        "arrows": [{"id": f"{arrow['key']} {i}", **arrow} for i, arrow in enumerate(arrows)],
        "lines": [
            {**{key: getattr(line, key) for key in ("symbol", "says", "formula", "filled")}, **_numbers(line.value)}
            for line in taken.lines
        ],
        "leaves": [_numbers(leaf) for leaf in taken.leaves],
        "ellipse": None
        if taken.ellipse is None
        else {"centre": theme.floats(taken.ellipse[0]), "hessian": theme.floats(taken.ellipse[1].reshape(-1, 4))},
        "along": {
            "alpha": along.alpha.tolist(),
            "loss": theme.floats(along.loss),
            "slope": theme.floats(along.slope),
            "curvature": theme.floats(along.curvature),
        },
        "promises": promises,
    }


def _arrow(arrow: Arrow, part: bool = False, second: bool = False) -> dict[str, Any]:
    """`part`s are laid head to tail, everything else starts at θ."""
    return {
        "key": arrow.key,
        "label": f"{arrow.label[0].upper()}{arrow.label[1:]}",
        "kind": KINDS[arrow.key],
        "color": INK["gradient"] if second else INK.get(arrow.key),
        "part": part,
        "shown": part or arrow.key not in HIDDEN,
        "vector": theme.floats(arrow.vector),
    }


def _numbers(values: np.ndarray) -> dict[str, Any]:
    return {"columns": 1 if values.ndim == 1 else 2, "values": theme.floats(values)}
