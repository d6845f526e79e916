"""The sharpness along a run against the edge that its learning rate bears, with the loss and the turning of the
gradient below, on one axis of steps; and on a surface a map of where each rate's edge lies.

A rate has one hue in everything: curve, edge and path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from optviz.experiment import Experiment
from optviz.figures.theme import HUES, array, key_entry
from optviz.landscape import over_window
from optviz.sharpness import edge_factor
from optviz.spec import number
from optviz.stability import HEIGHT, MOMENTS, Curve, Stability, sharpness_over_window

PLACES = ("blue", "orange", "green", "violet")  # the hues of the rates, by place
BINS = 400  # of a curve; of the steps in one of them the least and the largest value are drawn
ROOM = 4.0  # a log axis reaches this many times beyond the edges
SHARED = HEIGHT.options[1]
PANELS = {"yaxis": [0.5, 1.0], "yaxis2": [0.23, 0.43], "yaxis3": [0.0, 0.16]}


def hue(place: int) -> str:
    """Streamlit's name of the colour of a rate."""
    return PLACES[place]


def color(place: int) -> str:
    return HUES[PLACES[place]]


def stability_record(stability: Stability, curves: Sequence[Curve]) -> dict[str, Any]:
    """What the chart shows. A trace's meta is the place of its rate; its points are the moments."""
    share = stability.height == SHARED
    traces = [
        trace
        for place, curve in enumerate(curves)
        for trace in (
            *([] if share else [_edge(place, curve)]),
            _sharpness(stability, place, curve, share),
            _loss(place, curve),
            _cosine(place, curve),
        )
    ]
    low, high = _range(curves, share)
    log = all((curve.loss[np.isfinite(curve.loss)] > 0).all() for curve in curves)
    reach = _loss_range(curves, log)
    factor = number(edge_factor(stability.racer.optimizer.key, stability.racer.values))
    title = f"sharpness over {factor}/η" if share else f"sharpness (edge {factor}/η)"
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "step"}, "anchor": "y3", "range": [0, stability.on.steps], "zeroline": False},
        "yaxis": {
            "domain": PANELS["yaxis"],
            "title": {"text": title},
            "type": "linear" if share else "log",
            "range": [low, high],
            **({} if share else _ticks(low, high)),
        },
        "yaxis2": {
            "domain": PANELS["yaxis2"],
            "title": {"text": "loss"},
            "type": "log" if log else "linear",
            "range": reach,
            "exponentformat": "power",
            **({"dtick": max(1, math.ceil((reach[1] - reach[0]) / 4))} if log else {"nticks": 4}),
        },
        "yaxis3": {
            "domain": PANELS["yaxis3"],
            "title": {"text": "cosine"},
            "range": [-1.1, 1.1],
            "tickvals": [-1, 0, 1],
        },
        "shapes": [_line(1.0)] if share else [],
    }
    return {
        "figure": {"data": traces, "layout": layout},
        "revision": f"{stability.mode} {stability.height} {stability.on.steps} {low} {high}",
        "alt": alt(stability, curves),
    }


def alt(stability: Stability, curves: Sequence[Curve]) -> str:
    """The picture in words."""
    told = [
        f"learning rate {number(curve.rate)}: {curve.fate}"
        + (f", on average {number(curve.mean)} times its edge over the last third" if np.isfinite(curve.mean) else "")
        for curve in curves
        if curve.whole
    ]
    where = "a surface" if isinstance(stability.on, Experiment) else "a network's training"
    return (
        f"Sharpness, loss and cosine of successive gradients over {stability.on.steps} steps on {where}. "
        f"{'; '.join(told) or 'Nothing is measured yet'}."
    )


def _edge(place: int, curve: Curve) -> dict[str, Any]:
    return _series(place, curve, curve.times, curve.edge, "y", width=1.5, dash="dash") | {
        "hoverinfo": "skip",
        "hovertemplate": None,
    }


def _sharpness(stability: Stability, place: int, curve: Curve, share: bool) -> dict[str, Any]:
    height = curve.share if share else np.where(curve.sharpness > 0, curve.sharpness, math.nan)
    few = len(curve.times) <= MOMENTS
    where = "descent" if isinstance(stability.on, Experiment) else "training"
    series = _series(place, curve, curve.times, height, "y", width=2.5 if few else 1.5)
    series["hovertemplate"] = (
        f"<b>{series['name']}</b><br>step %{{x:,.0f}}: {'share of the edge' if share else 'sharpness'} %{{y:.4g}}<br>"
        f"click: this run in the {where} laboratory<extra></extra>"
    )
    marker = {"color": color(place), "size": 4}
    return series | {"mode": "lines+markers" if few else "lines", "marker": marker, "showlegend": True}


def _loss(place: int, curve: Curve) -> dict[str, Any]:
    return _series(place, curve, np.arange(len(curve.loss)), curve.loss, "y2", "loss")


def _cosine(place: int, curve: Curve) -> dict[str, Any]:
    return _series(place, curve, curve.times, curve.cosine, "y3", "cosine")


def _series(
    place: int,
    curve: Curve,
    steps: np.ndarray,
    values: np.ndarray,
    axis: str,
    title: str = "",
    width: float = 1.2,
    dash: str = "solid",
) -> dict[str, Any]:
    kept = thinned(values)
    name = f"η = {number(curve.rate)}"
    if len(curve.edge) and np.ptp(curve.edge) == 0:
        name += f", edge {number(float(curve.edge[0]))}"
    return {
        "type": "scatter",
        "meta": place,
        "name": name,
        "x": array(steps[kept].astype(float)),
        "y": array(_finite(values[kept])),
        "yaxis": axis,
        "mode": "lines",
        "line": {"color": color(place), "width": width, "dash": dash},
        "hovertemplate": f"{name}<br>step %{{x:,.0f}}: {title} %{{y:.3g}}<extra></extra>",
        "showlegend": False,
    }


def thinned(values: np.ndarray) -> np.ndarray:
    """Which of T values that may jump at every step are drawn, as at most 2·BINS places: the least and the largest of
    each stretch, in their order, so that no jump is lost."""
    if len(values) <= 2 * BINS:
        return np.arange(len(values))
    known = np.flatnonzero(np.isfinite(values))
    kept: list[int] = []
    for some in np.array_split(known, BINS):
        if len(some):
            kept += sorted({int(some[values[some].argmin()]), int(some[values[some].argmax()])})
    return np.array(kept, dtype=int)


def _finite(values: np.ndarray) -> np.ndarray:
    """Infinite numbers as gaps."""
    return np.where(np.isfinite(values), values, math.nan)


def _range(curves: Sequence[Curve], share: bool) -> tuple[float, float]:
    """The axis of the sharpness at first: all edges, and the sharpness as far as it is of their size. Zooming out shows
    the rest."""
    edges = np.concatenate([curve.edge for curve in curves]) if curves else np.ones(1)
    known = np.concatenate([curve.share if share else curve.sharpness for curve in curves]) if curves else np.ones(1)
    known = known[np.isfinite(known)]
    if share:
        seen = known[known <= ROOM]
        return min(0.0, float(seen.min(initial=0.0))) - 0.05, max(1.2, 1.08 * float(seen.max(initial=0.0)))
    seen = known[(known > 0) & (known <= ROOM * edges.max(initial=0.0))]
    high = max(float(seen.max(initial=0.0)), float(edges.max(initial=0.0))) or 1.0
    low = max(min(float(seen.min(initial=high)), float(edges.min(initial=high))), high / 1e5)
    return math.log10(low) - 0.08, math.log10(high) + 0.08


def _loss_range(curves: Sequence[Curve], log: bool) -> list[float]:
    """A run that diverges does not press the others together: the axis ends at ten times the largest first loss."""
    if not any(len(curve.loss) for curve in curves):
        return [-1.0, 1.0]
    first = max(float(curve.loss[0]) for curve in curves if len(curve.loss))
    known = np.concatenate([curve.loss[np.isfinite(curve.loss)] for curve in curves])
    least, top = float(known.min(initial=0.0 if not log else math.inf)), float(known.max(initial=first))
    if log:
        floor = max(least, first * 1e-12)
        return [math.log10(floor) - 0.1, math.log10(min(top, 10 * first)) + 0.1]
    top = min(top, first + 2 * (first - least)) if first > least else top
    return [least - 0.05 * (top - least), top + 0.05 * (top - least)]


def _line(height: float) -> dict[str, Any]:
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": height, "y1": height,
            "line": {"color": "text", "width": 1.5, "dash": "dash"}, "layer": "below"}  # fmt: skip


def _ticks(low: float, high: float) -> dict[str, Any]:
    """Powers of ten; 2 and 5 between them where there are few."""
    digits = (1, 2, 5) if high - low < 3 else (1,)
    ticks = [
        digit * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for digit in digits
        if low <= math.log10(digit) + power <= high
    ]
    return {"tickvals": ticks, "ticktext": [number(tick) for tick in ticks]}


# On a surface --------------------------------------------------------------------------------------------------------


def map_record(stability: Stability, curves: Sequence[Curve]) -> dict[str, Any]:
    """The surface from above, the paths, and for each rate the line beyond which it is too sharp. The
    meta of what tells a clicked cell is "map"."""
    on = stability.on
    assert isinstance(on, Experiment)
    plane, sharp = over_window(on.surface.key, on.surface_values), sharpness_over_window(stability)
    left, right, bottom, top = on.entry.window
    grid = {"x": array(plane.alpha), "y": array(plane.beta)}
    quiet = {"showscale": False, "hoverinfo": "skip", "showlegend": False}
    ground = {
        "type": "heatmap",
        **grid,
        "z": array(_height(on, plane.loss)),
        "colorscale": [[0, "rgba(128, 136, 145, 0.04)"], [1, "rgba(128, 136, 145, 0.42)"]],
        "zsmooth": "best",
        "meta": "map",
        "showscale": False,
        "hovertemplate": "x %{x:.3f}, y %{y:.3f}<br>click: start here<extra></extra>",
    }
    borders, paths = [], []
    for place, curve in enumerate(curves):
        line = {"color": color(place), "width": 1.5, "dash": "dash"}
        level = float(curve.edge[-1])
        if sharp is not None and math.isfinite(level):
            levels = {"start": level, "end": level, "size": 1, "coloring": "none"}
            borders.append({"type": "contour", **grid, "z": array(sharp), "autocontour": False, "contours": levels,
                            "line": line, **quiet})  # fmt: skip
        path = curve.theta[thinned(curve.share)]  # both banks between which it swings
        inside = np.abs(path).max(axis=1) < 1e6
        x, y = (np.where(inside, column, math.nan) for column in path.T)
        paths.append(
            {
                "type": "scatter",
                "x": array(x),
                "y": array(y),
                "mode": "lines+markers",
                "line": {"color": color(place), "width": 1.5},
                "marker": {"color": color(place), "size": 4},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    marks = [("circle-open", [on.start])]
    marks.append(("star", [(minimum.x, minimum.y) for minimum in on.entry.minima_at(on.surface_values)]))
    stars = [
        {
            "type": "scatter",
            "x": [x for x, _ in points],
            "y": [y for _, y in points],
            "mode": "markers",
            "marker": {"symbol": symbol, "size": 11, "color": "text"},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        for symbol, points in marks
    ]
    layout = {
        "xaxis": {"range": [left, right], "title": {"text": "x"}, "zeroline": False},
        "yaxis": {"range": [bottom, top], "title": {"text": "y"}, "zeroline": False},
        "showlegend": False,
    }
    return {
        "figure": {"data": [ground, *borders, *paths, *stars], "layout": layout},
        "revision": f"{on.surface.key} {on.surface.values}",
        "alt": f"{on.entry.title} from above, with the paths of {len(curves)} rates"
        + (" and the line beyond which each rate's step is too large." if sharp is not None else "."),
        "key": [key_entry(f"η = {number(curve.rate)}", color(place), dash=()) for place, curve in enumerate(curves)],
    }


def _height(on: Experiment, loss: np.ndarray) -> np.ndarray:
    """The loss as grey tells it best: the logarithm of what lies above the minimum, where the surface asks for it."""
    lowest = min((minimum.value for minimum in on.entry.minima_at(on.surface_values)), default=None)
    if not on.entry.log or lowest is None:
        return _finite(loss)
    above = loss - lowest
    least = above[np.isfinite(above) & (above > 0)].min(initial=1.0)
    with np.errstate(all="ignore"):
        return _finite(np.log10(np.maximum(above, least)))
