"""The final loss against the learning rate, for all optimizers or all networks at once, as one Plotly figure.

The form of a point says what is wrong with its rate. Runs that diverged have no final loss: they lie in a strip above
the axis, and runs that came within the tolerance of the minimum in one below it, each optimizer in a row of its own, so
that nothing is left out and the axis shows what lies between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from optviz.calibration import SHAPES, Calibration, Curve, Limit
from optviz.experiment import Experiment
from optviz.figures.theme import HUES, key_entry, log_ticks, style
from optviz.optimizers import OPTIMIZERS
from optviz.spec import number

SYMBOLS = {
    "too small": "triangle-left-open",
    "right": "circle",
    "oscillating": "bowtie",
    "too large": "triangle-right-open",
    "diverged": "x-thin-open",
}
STRIP = 0.16  # of the height of what is between, for each strip
DIM = 0.22


class _Look(NamedTuple):
    name: str
    color: str
    dash: tuple[int, ...]
    bright: bool


def titles(calibration: Calibration, curve: Curve) -> str:
    """What a curve is called."""
    if isinstance(calibration.on, Experiment):
        return OPTIMIZERS[curve.name].title
    if calibration.axis == "width":
        return f"width {curve.name}"
    return f"{curve.name} hidden layer{'s' * (curve.name != '1')}"


def hue(calibration: Calibration, index: int, curve: Curve) -> str:
    """Streamlit's name of a curve's colour."""
    return style(curve.name).hue if isinstance(calibration.on, Experiment) else list(HUES)[index % len(HUES)]


def calibration_record(calibration: Calibration, curves: Sequence[Curve], limits: Sequence[Limit]) -> dict[str, Any]:
    """What the chart shows: the curves, the best rates as stars, and what theory says as dashed lines. A trace's meta
    is its curve's number, of a star the word "best" and that number; its points are the rates."""
    surface = isinstance(calibration.on, Experiment)
    floor = calibration.on.tolerance if isinstance(calibration.on, Experiment) else 0.0
    low, high = _range(curves, floor)
    strip = STRIP * (high - low)
    looks = [_look(calibration, i, curve) for i, curve in enumerate(curves)]
    traces: list[dict[str, Any]] = []
    for i in sorted(range(len(curves)), key=lambda i: looks[i].bright):  # bright ones on top
        row = (len(curves) - 1 - i + 0.5) / len(curves)
        strips = (low - strip + 0.8 * strip * row, high + 0.2 * strip + 0.8 * strip * row)
        traces += _traces(calibration, i, curves[i], looks[i], floor, strips)
    if not surface:
        traces += [_ridge(curves), *_accuracies(curves, looks)]
    traces += _legend(curves)
    bands = [_band(high + 0.1 * strip, high + 1.1 * strip)]
    notes = [_note(high + 0.1 * strip, "diverged", "bottom")]
    bottom = low - 0.4 * strip
    if any(_arrived(curve, floor).any() for curve in curves):
        bottom = low - 1.1 * strip
        bands.append(_band(bottom, low - 0.1 * strip))
        notes.append(_note(bottom, f"within {number(floor)} of the minimum: arrived", "bottom"))
    for place, limit in enumerate(limits):
        if calibration.low <= limit.rate <= calibration.high:
            bands.append(_line(limit, _look(calibration, 0, curves[0])._replace(color=style(limit.optimizer).color)))
            notes.append(_limit_note(limit, place, high))
    last = math.log10(calibration.high) + 0.02 * math.log10(calibration.high / calibration.low)
    first = math.log10(calibration.low) - 0.02 * math.log10(calibration.high / calibration.low)
    upright = {"domain": [0.0 if surface else 0.36, 1.0]}
    layout: dict[str, Any] = {
        "xaxis": {
            "type": "log",
            "range": [first, last],
            "title": {"text": "learning rate η"},
            **log_ticks(math.log10(calibration.low), math.log10(calibration.high)),
            "anchor": "y" if surface else "y2",
        },
        "yaxis": {
            **upright,
            "type": "log",
            "range": [bottom, high + 1.1 * strip],
            "title": {"text": _height_title(calibration)},
            **log_ticks(low, high),
        },
        "shapes": bands,
        "annotations": notes,
    }
    if not surface:
        layout["yaxis2"] = {"domain": [0.0, 0.26], "title": {"text": "validation accuracy"}, "nticks": 4}
    return {
        "figure": {"data": traces, "layout": layout},
        "revision": f"{calibration.mode} {calibration.low} {calibration.high} {low} {high}",
        "alt": alt(calibration, curves),
        "key": [key_entry(look.name, look.color, dash=look.dash) for look in looks if look.bright and surface],
    }


def alt(calibration: Calibration, curves: Sequence[Curve]) -> str:
    """The picture in words."""
    best = [
        f"{titles(calibration, curve)} {number(float(curve.rates[curve.best]), 3)}"
        for curve in curves
        if curve.best is not None and (not calibration.chosen or curve.name in calibration.chosen)
    ]
    return (
        f"Final loss against the learning rate from {number(calibration.low)} to {number(calibration.high)}, "
        f"{len(curves)} curves. Best rates: {', '.join(best) or 'none yet'}."
    )


def _height_title(calibration: Calibration) -> str:
    return "final loss above the minimum" if isinstance(calibration.on, Experiment) else "final training loss"


def _look(calibration: Calibration, index: int, curve: Curve) -> _Look:
    bright = not calibration.chosen or curve.name in calibration.chosen
    if isinstance(calibration.on, Experiment):
        own = style(curve.name)
        return _Look(titles(calibration, curve), own.color, own.dash, bright)
    return _Look(titles(calibration, curve), list(HUES.values())[index % len(HUES)], (), True)


def _arrived(curve: Curve, floor: float) -> np.ndarray:
    """Which runs lie in the lower strip."""
    standing = np.array([shape not in ("", "diverged") for shape in curve.shapes])
    return standing & (curve.height <= floor)


def _range(curves: Sequence[Curve], floor: float) -> tuple[float, float]:
    """log₁₀ of the least and largest final loss between the strips."""
    heights = np.concatenate([
        curve.height[(curve.height > floor) & np.array([shape not in ("", "diverged") for shape in curve.shapes])]
        for curve in curves
    ])  # fmt: skip
    if not heights.size:
        low = math.log10(floor) if floor else -1.0
        return low, low + 1.0
    low, high = math.log10(heights.min()), math.log10(heights.max())
    return (math.log10(floor) if floor and low - math.log10(floor) < 2 else low), max(high, low + 0.5)


def _traces(
    calibration: Calibration, index: int, curve: Curve, look: _Look, floor: float, strips: tuple[float, float]
) -> list[dict[str, Any]]:
    """The line with its points, and the points in the strips."""
    known = np.array([shape != "" for shape in curve.shapes])
    diverged = np.array([shape == "diverged" for shape in curve.shapes])
    arrived = _arrived(curve, floor)
    between = known & ~diverged & ~arrived
    height = np.where(between, curve.height, np.nan)
    placed = np.where(diverged, 10 ** strips[1], np.where(arrived, 10 ** strips[0], np.nan))
    hover = [_hover(calibration, curve, i, look.name) for i in range(len(curve.rates))]
    line = {"color": look.color, "width": 2.5 if look.bright else 1.5}
    line |= {"dash": ",".join(f"{length}px" for length in look.dash)} if look.dash else {}
    common = {
        "type": "scatter",
        "x": _list(curve.rates),
        "meta": index,
        "name": look.name,
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "opacity": 1.0 if look.bright else DIM,
    }
    marker = {"color": look.color, "size": 8 if look.bright else 5, "line": {"color": look.color, "width": 1.5}}
    marker["symbol"] = [SYMBOLS.get(shape, "circle") for shape in curve.shapes]
    drawn = [
        {**common, "y": _list(height), "mode": "lines+markers", "line": line, "marker": marker},
        {**common, "y": _list(placed), "mode": "markers", "marker": {**marker, "size": 6 if look.bright else 4}},
    ]
    if curve.best is not None and look.bright:
        here = float(np.where(np.isfinite(height), height, placed)[curve.best])
        star = {"color": look.color, "size": 15, "symbol": "star", "line": {"color": "paper", "width": 1}}
        drawn.append({**common, "x": [float(curve.rates[curve.best])], "y": [here], "text": [hover[curve.best]],
                      "mode": "markers", "marker": star, "meta": f"best {index}"})  # fmt: skip
    if not isinstance(calibration.on, Experiment):
        drawn[0]["showlegend"] = True
    return drawn


def _list(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, which knows no NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _hover(calibration: Calibration, curve: Curve, i: int, name: str) -> str:
    more = {key: float(values[i]) for key, values in curve.more.items()}
    lines = [f"<b>{name}</b>, η = {number(float(curve.rates[i]), 3)}: {curve.shapes[i] or 'not measured yet'}"]
    if isinstance(calibration.on, Experiment):
        if math.isfinite(more["lost"]):
            lines.append(f"diverged at step {more['lost']:.0f}; lowest on the way {number(more['lowest'], 3)}")
        else:
            lines.append(f"final loss above the minimum {number(float(curve.height[i]), 3)}")
            lines.append(f"lowest on the way {number(more['lowest'], 3)}")
            if math.isfinite(more["settled"]):
                lines.append(f"stays within {number(calibration.on.tolerance)} from step {more['settled']:.0f} on")
        lines.append("click: this run in the descent laboratory")
    elif curve.shapes[i]:
        lines.append(f"final training loss {number(float(curve.height[i]), 3)}")
        if calibration.on.seeds > 1:
            lines.append(f"quartiles of the seeds {number(more['from'], 3)} to {number(more['to'], 3)}")
        if math.isfinite(more["accuracy"]):
            lines.append(f"validation accuracy {more['accuracy']:.1%}")
        lines.append("click: this network in the training laboratory")
    return "<br>".join(lines)


def _ridge(curves: Sequence[Curve]) -> dict[str, Any]:
    """The best rates of the networks, joined: one sees them move."""
    best = [(float(c.rates[c.best]), float(c.height[c.best])) for c in curves if c.best is not None]
    return {
        "type": "scatter",
        "x": [rate for rate, _ in best],
        "y": [height for _, height in best],
        "mode": "lines",
        "line": {"color": "line", "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _accuracies(curves: Sequence[Curve], looks: Sequence[_Look]) -> list[dict[str, Any]]:
    return [
        {
            "type": "scatter",
            "x": _list(curve.rates),
            "y": _list(curve.more["accuracy"]),
            "yaxis": "y2",
            "mode": "lines+markers",
            "meta": i,
            "name": look.name,
            "line": {"color": look.color, "width": 1.5},
            "marker": {"color": look.color, "size": 4},
            "hovertemplate": f"<b>{look.name}</b>, η = %{{x:.3g}}<br>validation accuracy %{{y:.1%}}<extra></extra>",
            "showlegend": False,
        }
        for i, (curve, look) in enumerate(zip(curves, looks, strict=True))
    ]


def _legend(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """What the forms mean; only those that occur."""
    there = {shape for curve in curves for shape in curve.shapes}
    entries = [(symbol, shape) for shape, symbol in SYMBOLS.items() if shape in there] + [("star", "best rate")]
    return [
        {
            "type": "scatter",
            "x": [None],
            "y": [None],
            "mode": "markers",
            "name": title,
            "marker": {"symbol": symbol, "size": 10, "color": "text", "line": {"color": "text", "width": 1.5}},
            "hoverinfo": "skip",
        }
        for symbol, title in entries
    ]


def _band(low: float, high: float) -> dict[str, Any]:
    return {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": 10**low, "y1": 10**high,
            "fillcolor": "band", "line": {"width": 0}, "layer": "below"}  # fmt: skip


def _note(height: float, text: str, anchor: str) -> dict[str, Any]:
    return {"xref": "paper", "x": 1, "xanchor": "right", "yref": "y", "y": height, "yanchor": anchor, "text": text,
            "showarrow": False, "font": {"color": "text"}}  # fmt: skip


def _line(limit: Limit, look: _Look) -> dict[str, Any]:
    return {"type": "line", "xref": "x", "x0": limit.rate, "x1": limit.rate, "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": look.color, "width": 1.5, "dash": "dash"}}  # fmt: skip


def _limit_note(limit: Limit, place: int, height: float) -> dict[str, Any]:
    """The line's words stand below the upper strip, one to the left and one to the right, so that two do not meet."""
    text = f"{limit.formula} = {number(limit.rate, 3)}" + ("" if limit.exact else " (near the minimum)")
    return {"xref": "x", "x": math.log10(limit.rate), "yref": "y", "y": height, "yanchor": "top",
            "xanchor": "right" if place % 2 == 0 else "left", "text": text, "showarrow": False,
            "bgcolor": "paper", "bordercolor": style(limit.optimizer).color, "font": {"color": "text"}}  # fmt: skip


__all__ = ["SHAPES", "alt", "calibration_record", "hue", "titles"]
