"""The race over a surface: what the stage draws.

`race` turns runs into one plain record: the contour and the axes are Plotly figures, the runs are arrays that the stage
draws above them step by step. It is JSON through and through, small enough to send at every move of a slider.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Sequence
from typing import Any

import numpy as np

from optviz.anatomy import anatomy as anatomy_of_run
from optviz.curves import CURVES, RATE, SLOT, curve
from optviz.descent import schedulable
from optviz.experiment import Experiment, Pick, Racer, Run, drag_values, family
from optviz.figures import theme
from optviz.landscape import over_window, stationary, streamlines
from optviz.once import once
from optviz.spec import number
from optviz.surfaces import SURFACES

SERIES_KEPT = 32_000_000  # bytes


def race(
    experiment: Experiment,
    runs: Sequence[Run],
    *,
    autoplay: bool = False,
    loop: bool = False,
    compact: bool = False,
    drag: dict[str, Any] | None = None,
    anatomy: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything the stage needs to show an experiment. `compact` leaves the curves out; `drag` is what `dragging`
    made, `anatomy` what `dissection` made."""
    lowest = _lowest(experiment)
    names = () if compact else experiment.curves
    racers = [_racer(run, runs[:i], names) for i, run in enumerate(runs)]
    live = {series for racer in racers if not racer["ghost"] for series in racer["series"]}
    curves = [spec for name in names for spec in _curves(name, live, experiment)]
    planes = []
    if experiment.view != "3-D":
        planes.append(_plane(experiment, lowest))
    if experiment.view != "2-D":
        planes.append(_solid(experiment, lowest, bar=not planes))
    return {
        "steps": max([experiment.steps, *(run.trajectory.steps for run in runs if run.ghost)], default=0),
        "panels": [*planes, *curves],
        "racers": racers,
        "scales": {mode: theme.scale(mode) for mode in theme.SCALES},
        "revision": experiment.surface.key,
        "autoplay": autoplay,
        "loop": loop,
        "compact": compact,
        "drag": drag,
        "anatomy": anatomy,
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


def _curves(name: str, live: Container[str], experiment: Experiment) -> list[dict[str, Any]]:
    """The panels of a curve: one, or one for each coordinate; none if no racer has it among its series."""
    if name == "loss":
        lowest = _lowest(experiment)
        return [_curve(name, _loss_title(lowest), CURVES[name].help, log=lowest is not None)]
    if name.startswith(SLOT):
        title, help, log = name.removeprefix(SLOT), f"What each rule that has it remembers as {name}.", False
    else:
        title, help, log = CURVES[name].label, CURVES[name].help, CURVES[name].log
    if name not in live and f"{name}.x" in live:
        return [_curve(f"{name}.{axis}", f"{title} along {axis}", help, log) for axis in "xy"]
    return [_curve(name, title, help, log)] if name in live else []


def _curve(name: str, title: str, alt: str, log: bool) -> dict[str, Any]:
    return {"name": name, "kind": "curve", "y": name, "log": log, "title": title, "alt": alt, "figure": {"layout": {}}}


def _racer(run: Run, before: Sequence[Run], names: tuple[str, ...]) -> dict[str, Any]:
    """One racer's line: how it looks, and its series, under a name by which a browser knows them again."""
    same = [other.racer.optimizer.key for other in before].count(run.racer.optimizer.key)
    look = theme.style(run.racer.optimizer.key, same)
    return {
        "id": f"{run.racer.optimizer.key}-{same}",  # stays when a slider changes the label
        "label": run.label,
        "color": look.color,
        "dash": list(look.dash),
        "marker": theme.MARKERS[same % len(theme.MARKERS)],
        "ghost": run.ghost,
        "run": f"{hash(_kept_as(run, names)):x}",
        "series": _series(run, names),
        "stop": run.outcome.at,
        "state": run.outcome.sentence,
    }


def _kept_as(run: Run, names: tuple[str, ...]) -> Hashable:
    return run.racer, run.conditions, names


@once(SERIES_KEPT, size=lambda series: sum(map(len, series.values())), key=_kept_as)
def _series(run: Run, names: tuple[str, ...]) -> dict[str, str]:
    """The path and the curves of a run as float32, kept, for most racers stay as they are when a slider moves; a curve
    of two columns as two series."""
    path = run.trajectory
    series = {"x": path.theta[:, 0], "y": path.theta[:, 1], "loss": path.loss - (run.outcome.lowest or 0.0)}
    for name in names:
        values = anatomy_of_run(run).rate if name == RATE else curve(name, path)
        if name != "loss" and values is not None:
            parts = {name: values} if values.ndim == 1 else {f"{name}.x": values[:, 0], f"{name}.y": values[:, 1]}
            series |= parts
    return {name: theme.floats(values) for name, values in series.items()}


def _plane(experiment: Experiment, lowest: float | None) -> dict[str, Any]:
    return {
        "name": "surface",
        "kind": "plane",
        "x": "x",
        "y": "y",
        "title": f"{experiment.entry.title} from above",
        "alt": f"Contour map of the {experiment.entry.title} surface with the paths of {len(experiment.racers)} "
        "optimizers.",
        "figure": _contours(experiment.surface, experiment.field),
        "click": True,
        "marks": _marks(experiment, lowest),
    }


@once(16)
def _contours(picked: Pick, field: str) -> dict[str, Any]:
    """The surface as a map. Kept, for no racer changes it, and shared: nobody changes what is in it."""
    experiment = Experiment(picked, field=field)
    surface, lowest = experiment.entry, _lowest(experiment)
    plane = over_window(surface.key, experiment.surface_values)
    left, right, bottom, top = surface.window
    height, bar, unit, levels = heights(plane.loss, lowest, surface.log)
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
    return {"id": _name(experiment, "above"), "data": [contour, *_field(experiment)], "layout": layout}


def _name(experiment: Experiment, view: str) -> str:
    """What tells a figure of the surface from any other: it can so be sent once."""
    return f"{view} {experiment.field} {experiment.surface.key} {experiment.surface.values}"


CAMERA = {"eye": {"x": -1.25, "y": -1.5, "z": 1.15}, "center": {"x": 0.0, "y": 0.0, "z": -0.2}}


def _solid(experiment: Experiment, lowest: float | None, bar: bool) -> dict[str, Any]:
    """The surface in space. The stage lays the paths on what is drawn of it, and lets them shine through hills."""
    surface = experiment.entry
    plane = over_window(surface.key, experiment.surface_values)
    left, right, bottom, top = surface.window
    height, colorbar, unit, levels = heights(plane.loss, lowest, surface.log)
    logarithmic = height is not plane.loss
    finite = height[np.isfinite(height)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    land = {
        "type": "surface",
        "x": theme.array(plane.alpha),
        "y": theme.array(plane.beta),
        "z": theme.array(height),
        "coloraxis": "coloraxis",
        "contours": {
            "z": {"show": True, **levels, "color": "rgba(100, 116, 135, 0.6)", "width": 1, "highlight": False},
            "x": {"highlight": False},
            "y": {"highlight": False},
        },
        "lighting": {"ambient": 0.75, "diffuse": 0.5, "specular": 0.03, "roughness": 0.9},
        "hovertemplate": f"x %{{x:.3f}}<br>y %{{y:.3f}}<br>{unit} %{{z:.3g}}<extra></extra>",
    }
    longer = max(right - left, top - bottom)
    ticks = {"tickvals": colorbar["tickvals"], "ticktext": colorbar["ticktext"]} if "tickvals" in colorbar else {}
    scene = {
        "xaxis": {"range": [left, right], "title": {"text": "x"}},
        "yaxis": {"range": [bottom, top], "title": {"text": "y"}},
        "zaxis": {"range": [low, high], "title": {"text": colorbar["title"]["text"]}, **ticks},
        "aspectmode": "manual",
        "aspectratio": {"x": 1.3 * (right - left) / longer, "y": 1.3 * (top - bottom) / longer, "z": 0.7},
        "camera": CAMERA,
    }
    return {
        "name": "space",
        "kind": "solid",
        "x": "x",
        "y": "y",
        "title": f"{surface.title} in space" + (", height on a log scale" if logarithmic else ""),
        "alt": f"The {surface.title} surface in space with the paths of {len(experiment.racers)} optimizers. "
        "Drag to turn it.",
        "figure": {
            "id": _name(experiment, f"space {bar}"),
            "data": [land],
            "layout": {"scene": scene, "coloraxis": {"colorbar": colorbar, "showscale": bar}},
        },
        "click": True,
        "marks": _marks(experiment, lowest),
    }


def _marks(experiment: Experiment, lowest: float | None) -> list[dict[str, Any]]:
    """Start, minima and saddles that the card lists and, if wanted, every stationary point that a search finds."""
    surface, values = experiment.entry, experiment.surface_values
    known = [(m.x, m.y, "minimum", m.value) for m in surface.minima_at(values)]
    known += [(x, y, "saddle", None) for x, y in surface.saddles_at(values)]
    left, right, bottom, top = surface.window
    if experiment.points:
        near = SAME_MARK * np.hypot(right - left, top - bottom)
        found = [(p.x, p.y, p.kind, p.value) for p in stationary(surface.key, values)]
        known += [p for p in found if all(np.hypot(p[0] - q[0], p[1] - q[1]) > near for q in known)]
    marks = [
        {
            "x": x,
            "y": y,
            "kind": kind,
            "label": f"{_rank(value, lowest) if kind == 'minimum' and value is not None else kind}"
            + ("" if value is None else f", f = {number(value)}"),
        }
        for x, y, kind, value in known
        if left <= x <= right and bottom <= y <= top
    ]
    start_x, start_y = experiment.start
    return [*marks, {"x": start_x, "y": start_y, "kind": "start", "label": "start"}]


SAME_MARK = 1e-4  # of the window's diagonal


ARROWHEAD = 0.009  # of the window
FIELD_LOOK = {"width": 1.2, "color": "rgba(100, 116, 135, 0.95)"}


def _field(experiment: Experiment) -> list[dict[str, Any]]:
    """Downhill directions, as a line that is lifted between the strokes."""
    if experiment.field == "none":
        return []
    x, y = _strokes(experiment.surface.key, tuple(experiment.surface_values.items()), experiment.field)
    line = {"type": "scatter", "mode": "lines", "x": theme.array(x), "y": theme.array(y), "line": FIELD_LOOK}
    return [{**line, "hoverinfo": "skip"}]


@once(32)
def _strokes(surface: str, values: tuple, field: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of all strokes, each ended by NaN: straight arrows are the beginnings of the lines."""
    lines = streamlines(surface, dict(values))
    if field == "arrows":
        lines = lines[:, [0, 8]]
    tip, before = lines[:, -1], lines[:, -2]
    left, right, bottom, top = SURFACES[surface].window
    size = np.array([right - left, top - bottom])
    with np.errstate(all="ignore"):
        along = (tip - before) / size
        along = along / np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    barbs = [tip - ARROWHEAD * size * (along + side * across) for side in (0.6, -0.6)]
    pen_up = np.full_like(tip, np.nan)
    head = np.stack([pen_up, barbs[0], tip, barbs[1], pen_up], axis=1)
    x, y = np.concatenate([lines, head], axis=1).reshape(-1, 2).T
    return x, y


def _rank(value: float, lowest: float | None) -> str:
    return "global minimum" if lowest is not None and value <= lowest + 1e-9 * max(1, abs(lowest)) else "local minimum"


def heights(loss: np.ndarray, lowest: float | None, log: bool | None) -> tuple[np.ndarray, dict, str, dict]:
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
