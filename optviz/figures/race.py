"""The race over a surface: what the stage draws.

`race` turns runs into one plain record: the contour and the axes are Plotly figures, the runs are arrays that the stage
draws above them step by step. It is JSON through and through, small enough to send at every move of a slider.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optviz.descent import schedulable
from optviz.experiment import Experiment, Racer, Run, drag_values, family
from optviz.figures import theme
from optviz.landscape import over_window
from optviz.spec import number


def race(
    experiment: Experiment,
    runs: Sequence[Run],
    *,
    autoplay: bool = False,
    loop: bool = False,
    compact: bool = False,
    drag: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything the stage needs to show an experiment. `compact` leaves the curves out; `drag` is what `dragging`
    made."""
    surface = experiment.entry
    minima = surface.minima_at(experiment.surface_values)
    lowest = _lowest(experiment)
    curves = [
        _curve("loss", _loss_title(lowest), "Loss of every racer against the step", log=lowest is not None),
        _curve(
            "gradient", "Gradient norm ‖g‖", "Length of the gradient at θ, with noise and penalty, against the step"
        ),
        _curve("lr", "Learning rate η", "Learning rate of every racer against the step"),
    ]
    return {
        "steps": max([experiment.steps, *(run.trajectory.steps for run in runs if run.ghost)], default=0),
        "panels": [_plane(experiment, minima, lowest), *([] if compact else curves)],
        "racers": [_racer(run, runs[:i]) for i, run in enumerate(runs)],
        "scales": {mode: theme.scale(mode) for mode in theme.SCALES},
        "revision": surface.key,
        "autoplay": autoplay,
        "loop": loop,
        "compact": compact,
        "drag": drag,
    }


def dragging(experiment: Experiment, index: int, name: str, with_family: bool) -> dict[str, Any]:
    """What the stage's own slider may drag: one hyperparameter of racer `index`, with the family of its runs if wanted.

    `id` names everything that the family depends on, and not the value at which the slider stands: a family that the
    browser has stays good while the hand comes and goes.
    """
    racer = experiment.racers[index]
    values = drag_values(racer, name)
    same = racer.but(**{name: racer.entry.defaults[name]})
    return {
        "racer": index,
        "name": name,
        "label": racer.entry.param[name].label,
        "choices": [{"name": other, "label": racer.entry.param[other].label} for other in schedulable(racer.entry)],
        "values": values,
        "texts": [number(value) for value in values],
        "at": values.index(racer.values[name]),
        "steps": experiment.steps,
        "id": f"{hash((same, name, values, experiment.conditions)):x}",
        "family": _family(experiment, racer, name) if with_family else None,
    }


def _family(experiment: Experiment, racer: Racer, name: str) -> dict[str, Any]:
    runs = family(racer, name, experiment.conditions)
    lowest = _lowest(experiment)
    series = {
        "x": runs.theta[:, :, 0],
        "y": runs.theta[:, :, 1],
        "loss": runs.loss - (lowest or 0.0),
        "gradient": runs.gradient,
    }
    return {"every": runs.every, "series": {key: theme.floats(values) for key, values in series.items()}}


def _lowest(experiment: Experiment) -> float | None:
    """f*, if the surface has a minimum."""
    return next((m.value for m in experiment.entry.lowest_at(experiment.surface_values)), None)


def _loss_title(lowest: float | None) -> str:
    if not lowest:  # none at all, or exactly zero
        return "Loss f"
    sign = "+" if lowest < 0 else "−"
    return f"Loss above the minimum, f {sign} {number(abs(lowest))}"


def _curve(name: str, title: str, alt: str, log: bool = True) -> dict[str, Any]:
    return {"name": name, "kind": "curve", "y": name, "log": log, "title": title, "alt": alt, "figure": {"layout": {}}}


def _racer(run: Run, before: Sequence[Run]) -> dict[str, Any]:
    """One racer's line: how it looks, and its series as float32."""
    same = [other.racer.optimizer.key for other in before].count(run.racer.optimizer.key)
    look = theme.style(run.racer.optimizer.key, same)
    path = run.trajectory
    with np.errstate(over="ignore", invalid="ignore"):
        gradient = np.linalg.norm(path.grad, axis=1)
        series = {
            "x": path.theta[:, 0],
            "y": path.theta[:, 1],
            "loss": path.loss - (run.outcome.lowest or 0.0),
            "gradient": gradient,
            "lr": path.lr,
        }
    return {
        "id": f"{run.racer.optimizer.key}-{same}",  # stays when a slider changes the label
        "label": run.label,
        "color": look.color,
        "dash": list(look.dash),
        "marker": theme.MARKERS[same % len(theme.MARKERS)],
        "ghost": run.ghost,
        "series": {name: theme.floats(values) for name, values in series.items()},
        "stop": run.outcome.at,
        "state": run.outcome.sentence,
    }


def _plane(experiment: Experiment, minima: Sequence[Any], lowest: float | None) -> dict[str, Any]:
    surface = experiment.entry
    plane = over_window(surface.key, experiment.surface_values)
    left, right, bottom, top = surface.window
    height, bar, unit, levels = _heights(plane.loss, lowest, surface.log)
    contour = {
        "type": "contour",
        "x": theme.array(plane.alpha),
        "y": theme.array(plane.beta),
        "z": theme.array(height),
        "coloraxis": "coloraxis",
        "autocontour": False,
        "contours": {"coloring": "fill", **levels},
        "line": {"width": 0.7, "color": "rgba(100, 116, 135, 0.6)"},
        "hovertemplate": f"x %{{x:.3f}}<br>y %{{y:.3f}}<br>{unit} %{{z:.3g}}<extra></extra>",
    }
    layout = {
        "xaxis": {"range": [left, right], "title": {"text": "x"}, "constrain": "domain"},
        "yaxis": {"range": [bottom, top], "title": {"text": "y"}, "scaleanchor": "x", "constrain": "domain"},
        "coloraxis": {"colorbar": bar},
    }
    known = [*((m.x, m.y, "minimum", m.value) for m in minima)]
    known += [(x, y, "saddle", None) for x, y in surface.saddles_at(experiment.surface_values)]
    marks = [
        {
            "x": x,
            "y": y,
            "kind": kind,
            "label": kind if value is None else f"{_rank(value, lowest)}, f = {number(value)}",
        }
        for x, y, kind, value in known
        if left <= x <= right and bottom <= y <= top
    ]
    start_x, start_y = experiment.start
    marks.append({"x": start_x, "y": start_y, "kind": "start", "label": "start"})
    return {
        "name": "surface",
        "kind": "plane",
        "x": "x",
        "y": "y",
        "title": f"{surface.title} from above",
        "alt": f"Contour map of the {surface.title} surface with the paths of {len(experiment.racers)} optimizers",
        "figure": {"data": [contour], "layout": layout},
        "click": True,
        "marks": marks,
    }


def _rank(value: float, lowest: float | None) -> str:
    return "global minimum" if lowest is not None and value <= lowest + 1e-9 * max(1, abs(lowest)) else "local minimum"


def _heights(loss: np.ndarray, lowest: float | None, log: bool | None) -> tuple[np.ndarray, dict, str, dict]:
    """What the colour shows, its colour bar, its unit and the contour levels: the loss itself, or log₁₀ of its height
    above the minimum, with the bar labelled so."""
    finite = loss[np.isfinite(loss)]
    if not finite.size:
        return loss, {"title": {"text": "f"}}, "f", {"start": 0.0, "end": 1.0, "size": 1.0}
    if log is None and lowest is not None:  # a visitor's own surface: log colours if half the window is all but floor
        log = bool(np.median(finite) - lowest < 0.02 * (finite.max() - lowest))
    above = loss - (lowest or 0.0)
    positive = above[np.isfinite(above) & (above > 0)]
    if not log or lowest is None or not positive.size:
        return loss, {"title": {"text": "f"}}, "f", _levels(loss)
    # A grid point that hits the minimum has no logarithm; it takes the colour of the lowest one that has.
    height = np.log10(np.where(above == 0, positive.min(), np.where(above > 0, above, np.nan)))
    # The floor of a ravine is narrower than a grid cell: contours there would show the grid, not the surface.
    levels = _levels(height, lowest_share=0.04)
    ticks = np.arange(np.ceil(levels["start"]), np.floor(levels["end"]) + 1)
    bar = {
        "title": {"text": "f − min f" if lowest else "f"},
        "tickvals": ticks.tolist(),
        "ticktext": [f"10<sup>{int(tick)}</sup>".replace("-", "−") for tick in ticks],
    }
    return height, bar, "log₁₀(f − min f)" if lowest else "log₁₀ f", levels


def _levels(height: np.ndarray, lowest_share: float = 0.0, count: int = 16) -> dict[str, float]:
    """About `count` contour levels at round numbers, none below the lowest share of the window."""
    finite = height[np.isfinite(height)]
    bottom, top = np.quantile(finite, lowest_share), finite.max()
    rough = max(top - bottom, 1e-12) / count
    unit = 10 ** np.floor(np.log10(rough))
    size = unit * min((1, 2, 2.5, 5, 10), key=lambda nice: abs(nice * unit - rough))
    return {
        "start": float(np.ceil(bottom / size) * size),
        "end": float(np.floor(top / size) * size),
        "size": float(size),
    }
