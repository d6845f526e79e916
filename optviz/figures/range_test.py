"""The curve of a range test: the loss against the learning rate, what the rules suggest, and where it stopped.

Nothing here moves, so it is a plain Plotly figure. What stands above the plot area has a row of its own for each label:
however close the suggestions are, no label covers another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from optviz.figures.theme import HUES, array, style
from optviz.range_test import SUGGESTIONS, Curves, RangeTest
from optviz.spec import number
from optviz.training import Training

ROW, PLOT, BELOW = 23, 330, 80  # px: of a label, of the plot area, of what stands below it
ROOMY = 0.42  # of the axis: up to here a label has room on its right, on a telephone too
ROOM = 1.15  # the picture reaches so far above the largest loss before the last
GRAY = HUES["gray"]


def range_figure(
    test: RangeTest, found: Curves, suggested: Mapping[str, float | None], marks: tuple[float, float]
) -> dict[str, Any]:
    """The figure, as Plotly takes it. What lies above its upper end (a loss that explodes) is not drawn; zooming out
    shows it."""
    look = style(test.racer.optimizer.key)
    log = test.spacing == "exponential"
    seeds = len(found.loss)
    center = f"{'Smoothed' if test.smoothing else 'Raw'} loss{f', median of {seeds} seeds' if seeds > 1 else ''}"
    band = {"fill": "tonexty", "fillcolor": _faint(look.color, 0.22), "name": "Middle half of the seeds"}
    traces = [
        _line(found.lr, found.lower, {"width": 0}, hoverinfo="skip", showlegend=False),
        _line(found.lr, found.upper, {"width": 0}, hoverinfo="skip", **band),
        _line(found.lr, found.loss[0], {"width": 1, "color": GRAY}, name="Raw loss of the first seed"),
        _line(found.lr, found.median, {"width": 3, "color": look.color}, name=center),
    ]
    labels = [(rate, _rule(key, rate), color) for key, rate, color in _rules(suggested, look.hue) if rate]
    end = float(found.lr[-1])
    if found.stopped:
        labels.append((end, f"Stopped at {number(end, 3)}", GRAY))
    bottom, top = _reach(found)
    ends = [test.low_rate, test.high_rate]
    labels = _in_rows(labels, ends, log)
    rows = len(labels) + 1
    powers = [math.log10(end) for end in ends]
    axis = (
        {"type": "log", "range": powers, "dtick": 1 if powers[1] - powers[0] > 2 else None}
        if log
        else {"type": "linear", "range": ends}
    )
    words = f"Cycle {number(marks[0], 3)} to {number(marks[1], 3)}"
    return {
        "data": traces,
        "layout": {
            "height": rows * ROW + PLOT + BELOW,
            "margin": {"l": 60, "r": 20, "t": rows * ROW + 6, "b": BELOW},
            "xaxis": {"title": {"text": "Learning rate η"}, "exponentformat": "power", "zeroline": False, **axis},
            "yaxis": {"title": {"text": _title(test, found)}, "range": [bottom, top], "zeroline": False},
            "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
            "hovermode": "x",
            "shapes": [
                _band(*marks, rows - 1),
                *(_upright(rate, color, row, rate == end) for row, (rate, _, color) in enumerate(labels)),
            ],
            "annotations": [
                _label(marks[0], words, GRAY, rows - 1, ends, log),
                *(_label(rate, text, color, row, ends, log) for row, (rate, text, color) in enumerate(labels)),
            ],
        },
    }


def range_record(
    test: RangeTest, found: Curves, suggested: Mapping[str, float | None], marks: tuple[float, float]
) -> dict[str, Any]:
    """The figure as `chart.js` takes it."""
    return {
        "figure": range_figure(test, found, suggested, marks),
        "revision": f"{test.low_rate} {test.high_rate} {test.spacing}",
        "alt": alt_text(test, found, suggested, marks),
    }


def alt_text(test: RangeTest, found: Curves, suggested: Mapping[str, float | None], marks: tuple[float, float]) -> str:
    """What the picture shows, for those who do not see it."""
    place = int(np.argmin(found.median))
    rules = ", ".join(_rule(key, rate) if rate else f"{SUGGESTIONS[key].title} none" for key, rate in suggested.items())
    words = (
        f"Loss against the learning rate from {number(test.low_rate)} to {number(float(found.lr[-1]))}. The median "
        f"starts at {number(float(found.median[0]))} and is lowest, {number(float(found.median[place]))}, at a rate of "
        f"{number(float(found.lr[place]))}. Suggestions: {rules}. "
        f"A cycle from {number(marks[0])} to {number(marks[1])}."
    )
    return words + (f" The test stopped at {number(float(found.lr[-1]))}." if found.stopped else "")


def _rule(key: str, rate: float) -> str:
    return f"{SUGGESTIONS[key].title} {number(rate, 3)}"


def _rules(suggested: Mapping[str, float | None], taken: str) -> list[tuple[str, float | None, str]]:
    """Each rule with its rate and a colour that is not the curve's."""
    colors = [HUES[hue] for hue in ("orange", "green", "violet", "red") if hue != taken]
    return [(key, rate, color) for (key, rate), color in zip(suggested.items(), colors, strict=False)]


def _line(x: np.ndarray, y: np.ndarray, line: dict[str, Any], **more: Any) -> dict[str, Any]:
    shown = np.where(np.isfinite(y), y, math.nan)
    return {"type": "scatter", "mode": "lines", "x": array(x), "y": array(shown), "line": line, **more}


def _reach(found: Curves) -> tuple[float, float]:
    """The part of the loss axis that is shown: all of the median before the step at which the test stopped."""
    before = found.median[:-1] if found.stopped and len(found.median) > 1 else found.median
    finite = before[np.isfinite(before)]
    if not len(finite):
        return 0.0, 1.0
    low, high = min(0.0, float(finite.min())), float(finite.max())
    span = high - low or 1.0
    return low - 0.03 * span, low + ROOM * span


def _title(test: RangeTest, found: Curves) -> str:
    if isinstance(test.subject, Training):
        return "Loss of the step's batch"
    if not found.floor:
        return "Loss f"
    return f"Loss above the minimum, f {'+' if found.floor < 0 else '−'} {number(abs(found.floor))}"


def _faint(color: str, opacity: float) -> str:
    return f"rgba({', '.join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))}, {opacity})"


def _upright(rate: float, color: str, row: int, dotted: bool) -> dict[str, Any]:
    """A line from the axis up to its label."""
    line = {"color": color, "width": 2, "dash": "dot" if dotted else "dash"}
    top = 1 + (row + 0.6) * ROW / PLOT
    return {"type": "line", "x0": rate, "x1": rate, "yref": "paper", "y0": 0, "y1": top, "line": line}


def _band(base: float, top: float, row: int) -> dict[str, Any]:
    box = {"type": "rect", "x0": base, "x1": top, "yref": "paper", "y0": 0, "y1": 1 + (row + 0.6) * ROW / PLOT}
    return {**box, "fillcolor": _faint(GRAY, 0.14), "line": {"width": 0}, "layer": "below"}


def _in_rows(labels: list[tuple[float, str, str]], ends: list[float], log: bool) -> list[tuple[float, str, str]]:
    """The labels from the lowest row to the highest, so that none stands in the way of a line on its way up: those that
    reach to the left from the left, and above them those that reach to the right, from the right."""
    left = sorted(label for label in labels if not _reaches_right(label[0], ends, log))
    right = sorted((label for label in labels if _reaches_right(label[0], ends, log)), reverse=True)
    return left + right


def _reaches_right(rate: float, ends: list[float], log: bool) -> bool:
    """Whether a label at this rate has room on its right."""
    low, place, high = (math.log(value) if log else value for value in (ends[0], rate, ends[1]))
    return place < low + ROOMY * (high - low)


def _label(rate: float, text: str, color: str, row: int, ends: list[float], log: bool) -> dict[str, Any]:
    """A label in its row, towards the middle of the picture."""
    return {
        "x": math.log10(rate) if log else rate,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "yshift": row * ROW,
        "xanchor": "left" if _reaches_right(rate, ends, log) else "right",
        "text": f'<span style="color:{color}">■</span> {text}',
        "showarrow": False,
        "font": {"size": 13},
    }
