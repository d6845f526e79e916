"""The fair race as two Plotly figures: the loss against the step, and what the tries gave.

In the first, a line is the median over the seeds and its band the quartiles. In the second, every optimizer has a lane
of its own above the same axis of learning rates, so that the widths of their good ranges can be compared at a glance;
the lanes lie in the order of the table. All lanes have one scale, from the lowest loss of all tries to the loss at the
start: what ends higher lies at the top of its lane, and what is only rounding at the bottom.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np

from optviz.fair_race import CRITERIA, OWN_STEP, Entrant, FairRace
from optviz.figures.theme import array, key_entry, style
from optviz.optimizers import OPTIMIZERS
from optviz.spec import number

DIM = 0.22  # opacity of lines that stand behind
BANDS_AT_MOST = 8  # more would cover one another
LANE = 0.82  # of the distance between two lanes
FAINTEST = float(np.finfo(np.float64).tiny)  # stands for a height of exactly 0, which has no place on a log axis


def bright(race: FairRace, entrant: Entrant) -> bool:
    """Whether an optimizer stands out: those that are chosen, or all if none is."""
    return not race.chosen or entrant.name in race.chosen


def _title(entrant: Entrant) -> str:
    return OPTIMIZERS[entrant.name].title


def _rate(entrant: Entrant) -> str:
    return "its own step length" if entrant.rate is None else f"η = {number(entrant.rate, 3)}"


def _doubles(values: np.ndarray) -> dict[str, str]:
    """An array as Plotly takes it, in float64: heights go down to where float32 has none."""
    return {"dtype": "f8", "bdata": b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()}


def _line(entrant: Entrant, width: float) -> dict[str, Any]:
    look = style(entrant.name)
    line: dict[str, Any] = {"color": look.color, "width": width}
    return line | ({"dash": ",".join(f"{length}px" for length in look.dash)} if look.dash else {})


def _faint(color: str, opacity: float) -> str:
    return f"rgba({', '.join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))}, {opacity})"


# The race ------------------------------------------------------------------------------------------------------------


def race_record(race: FairRace, entrants: Sequence[Entrant]) -> dict[str, Any]:
    """The loss above the minimum against the step. A trace's meta is its entrant's number."""
    shown = sum(bright(race, entrant) for entrant in entrants)
    traces: list[dict[str, Any]] = []
    for i in sorted(range(len(entrants)), key=lambda i: bright(race, entrants[i])):  # bright ones on top
        if entrants[i].course is not None:
            if race.heats > 1 and bright(race, entrants[i]) and shown <= BANDS_AT_MOST:
                traces += _band(entrants[i])
            traces.append(_run(race, i, entrants[i]))
    low, high = _heights(race, entrants)
    layout = {
        "xaxis": {"range": [0, race.on.steps], "title": {"text": "step"}},
        "yaxis": {
            "type": "log",
            "range": [low, high],
            "title": {"text": "loss above the minimum" + ", median of the seeds" * (race.heats > 1)},
            **_powers(low, high),
        },
        "showlegend": False,
        "margin": {"t": 12},
        **_tolerance(race, low, high),
    }
    return {
        "figure": {"data": traces, "layout": layout},
        "revision": f"{race.on.surface} {race.on.steps} {low} {high}",
        "alt": _race_alt(race, entrants),
        "key": [
            key_entry(f"{_title(one)}, {_rate(one)}", style(one.name).color, dash=style(one.name).dash)
            for one in entrants
            if one.course is not None and bright(race, one)
        ],
    }


def _run(race: FairRace, index: int, entrant: Entrant) -> dict[str, Any]:
    assert entrant.course is not None
    out = bright(race, entrant)
    what = f"median of {race.heats} seeds" if race.heats > 1 else "loss above the minimum"
    return {
        "type": "scatter",
        "mode": "lines",
        "x": array(entrant.course.steps),
        "y": _doubles(_drawn(entrant.course.quartiles[1])),
        "line": _line(entrant, 2.5 if out else 1.5),
        "opacity": 1.0 if out else DIM,
        "meta": index,
        "name": _title(entrant),
        "hovertemplate": f"<b>{_title(entrant)}</b>, {_rate(entrant)}<br>step %{{x}}: {what} %{{y:.3g}}<br>"
        "click: this run in the descent laboratory<extra></extra>",
    }


def _band(entrant: Entrant) -> list[dict[str, Any]]:
    """The quartiles, as far as three quarters of the seeds have a finite loss."""
    assert entrant.course is not None
    lower, _, upper = _drawn(entrant.course.quartiles)
    count = int(np.argmin(np.append(np.isfinite(upper), False)))
    if count < 2:
        return []
    steps = entrant.course.steps[:count]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": array(np.concatenate([steps, steps[::-1]])),
            "y": _doubles(np.concatenate([upper[:count], lower[:count][::-1]])),
            "line": {"width": 0},
            "fill": "toself",
            "fillcolor": _faint(style(entrant.name).color, 0.16),
            "hoverinfo": "skip",
        }
    ]


def _drawn(heights: np.ndarray) -> np.ndarray:
    return np.where(heights > 0, heights, FAINTEST)


def _heights(race: FairRace, entrants: Sequence[Entrant]) -> tuple[float, float]:
    """log₁₀ of the least and the largest height that the axis shows: no lower than rounding, and no higher than the
    runs that stay. What goes beyond leaves the picture there."""
    courses = [entrant.course for entrant in entrants if entrant.course is not None]
    if not courses:
        return -1.0, 1.0
    medians = np.concatenate([c.quartiles[1] for c in courses if math.isfinite(c.numbers["final"])] or [np.array([])])
    medians = medians[np.isfinite(medians)]
    start = float(courses[0].quartiles[1][0])
    high = max([start, *medians.tolist()]) if math.isfinite(start) else max([1.0, *medians.tolist()])
    low = max(race.floor, min([start, *medians.tolist()]))
    high = max(high, 10 * low)
    return math.log10(low) - 0.15, math.log10(high) + 0.15


def _tolerance(race: FairRace, low: float, high: float) -> dict[str, Any]:
    if not low < math.log10(race.on.tolerance) < high:
        return {}
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": race.on.tolerance,
            "y1": race.on.tolerance, "line": {"color": "line", "width": 1.5, "dash": "dash"}}  # fmt: skip
    note = {"xref": "paper", "x": 0, "xanchor": "left", "yref": "y", "y": math.log10(race.on.tolerance),
            "yanchor": "bottom", "text": f"tolerance {number(race.on.tolerance)}", "showarrow": False,
            "font": {"color": "text"}}  # fmt: skip
    return {"shapes": [line], "annotations": [note]}


def _powers(low: float, high: float) -> dict[str, Any]:
    """Powers of ten, every one or every few of them."""
    every = max(1, math.ceil((high - low) / 8))
    ticks = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1, every)]
    return {"tickvals": ticks, "ticktext": [number(tick) for tick in ticks]}


def _race_alt(race: FairRace, entrants: Sequence[Entrant]) -> str:
    ends = [
        f"{_title(entrant)} ({_rate(entrant)}) {number(entrant.course.numbers['final'], 3)}"
        for entrant in entrants
        if entrant.course is not None and bright(race, entrant)
    ]
    how = f"all at η = {number(race.lr)}" if race.same else "each at its own best learning rate"
    return f"Loss above the minimum against the step, {how}. Final losses: {', '.join(ends) or 'none'}."


# The tries -----------------------------------------------------------------------------------------------------------


def tries_record(race: FairRace, entrants: Sequence[Entrant], order: Sequence[str]) -> dict[str, Any]:
    """What each rate gave, a lane for each optimizer, in the given order from the top. A trace's meta is its entrant's
    number, of a star the word "best" and that number; its points are the rates."""
    lanes = {key: len(order) - 1 - i for i, key in enumerate(order)}
    low, high = _scale(race, entrants)
    traces: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    for i, entrant in enumerate(entrants):
        base = lanes[entrant.name]
        shapes.append(_floor_of_lane(base))
        if entrant.curve is not None:
            shapes += _good_range(race, entrant, base)
            traces += _lane(race, i, entrant, base, low, high)
    if race.same:
        shapes.append({"type": "line", "xref": "x", "x0": race.lr, "x1": race.lr, "yref": "paper", "y0": 0, "y1": 1,
                       "line": {"color": "text", "width": 1.5, "dash": "dash"}})  # fmt: skip
    notes = [
        {"xref": "paper", "x": 0.5, "y": lanes[key] + 0.4, "text": "no tries: it brings its own step length",
         "showarrow": False, "font": {"color": "text"}}
        for key in order if key in OWN_STEP
    ]  # fmt: skip
    first, last = math.log10(race.low), math.log10(race.high)
    by_name = {entrant.name: entrant for entrant in entrants}
    layout = {
        "xaxis": {"type": "log", "range": [first - 0.02 * (last - first), last + 0.02 * (last - first)],
                  "title": {"text": "learning rate η"}, **_powers(first - 1e-9, last + 1e-9)},
        "yaxis": {
            "range": [-0.1, len(order)],
            "tickvals": [lanes[key] + 0.4 for key in order],
            "ticktext": [_title(by_name[key]) for key in order],
            "automargin": True,
            "showgrid": False,
            "ticks": "",
        },
        "margin": {"l": 40, "t": 12},
        "showlegend": False,
        "shapes": shapes,
        "annotations": notes,
    }  # fmt: skip
    return {
        "figure": {"data": traces, "layout": layout},
        "revision": f"{race.low} {race.high} {len(order)}",
        "alt": _tries_alt(race, entrants),
    }


def _scale(race: FairRace, entrants: Sequence[Entrant]) -> tuple[float, float]:
    """log₁₀ of the heights at the bottom and the top of every lane: the lowest of all, and the start."""
    scores = np.concatenate([e.curve.height for e in entrants if e.curve is not None] or [np.array([])])
    scores = scores[np.isfinite(scores)]
    starts = [float(e.course.quartiles[1][0]) for e in entrants if e.course is not None]
    starts = [start for start in starts if math.isfinite(start)]
    high = max([*starts[:1], race.floor]) if starts else max([1.0, *scores.tolist()])
    low = max(race.floor, float(scores.min()) if scores.size else race.floor)
    return math.log10(min(low, high / 10)), math.log10(high)


def _lane(race: FairRace, index: int, entrant: Entrant, base: int, low: float, high: float) -> list[dict[str, Any]]:
    curve = entrant.curve
    assert curve is not None
    standing = np.isfinite(curve.height)
    logs = np.log10(np.where(standing, _drawn(curve.height), 1.0))
    share = np.clip((logs - low) / (high - low), 0.0, 1.0)  # as the module says: the ends of a lane stand for beyond
    place = np.where(standing, base + LANE * share, np.nan)
    hover = [_hover(race, entrant, i) for i in range(len(curve.rates))]
    common = {
        "type": "scatter",
        "x": curve.rates.tolist(),
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
        "meta": index,
        "name": _title(entrant),
    }
    marker = {"color": style(entrant.name).color, "size": 4}
    drawn: list[dict[str, Any]] = [
        {**common, "y": _list(place), "mode": "lines+markers", "line": _line(entrant, 1.5), "marker": marker}
    ]
    if not standing.all():
        gone = np.where(standing, np.nan, base + LANE)
        drawn.append({**common, "y": _list(gone), "mode": "markers",
                      "marker": {**marker, "symbol": "x-thin-open", "line": {"color": marker["color"]}}})  # fmt: skip
    if curve.best is not None:
        star = {"color": marker["color"], "size": 14, "symbol": "star", "line": {"color": "paper", "width": 1}}
        drawn.append({**common, "x": [float(curve.rates[curve.best])], "y": [float(place[curve.best])],
                      "text": [hover[curve.best]], "mode": "markers", "marker": star,
                      "meta": f"best {index}"})  # fmt: skip
    return drawn


def _good_range(race: FairRace, entrant: Entrant, base: int) -> list[dict[str, Any]]:
    """The good range, half a step of the grid wider at both ends, so that a single rate shows too."""
    curve = entrant.curve
    assert curve is not None
    if curve.good is None:
        return []
    first, last = curve.good
    half = (race.high / race.low) ** (0.5 / (race.budget - 1))
    return [{"type": "rect", "xref": "x", "x0": float(curve.rates[first]) / half, "x1": float(curve.rates[last]) * half,
             "yref": "y", "y0": base, "y1": base + LANE, "layer": "below", "line": {"width": 0},
             "fillcolor": _faint(style(entrant.name).color, 0.22)}]  # fmt: skip


def _floor_of_lane(base: int) -> dict[str, Any]:
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": base, "y1": base,
            "layer": "below", "line": {"color": "line", "width": 0.5}}  # fmt: skip


def _list(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, which knows no NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _hover(race: FairRace, entrant: Entrant, i: int) -> str:
    curve = entrant.curve
    assert curve is not None
    more = {name: float(values[i]) for name, values in curve.more.items()}
    lines = [f"<b>{_title(entrant)}</b>, η = {number(float(curve.rates[i]), 3)}: {curve.shapes[i]}"]
    several = f", median of {race.heats} seeds" if race.heats > 1 else ""
    if math.isfinite(more["final"]):
        lines.append(f"{CRITERIA['final'].title.lower()} {number(more['final'], 3)}{several}")
        if race.heats > 1:
            lines.append(f"quartiles {number(more['from'], 3)} to {number(more['to'], 3)}")
        if "mean" in more:
            lines.append(f"{CRITERIA['mean'].title.lower()} {number(more['mean'], 3)}")
    if math.isfinite(more["steps"]):
        lines.append(f"stays within {number(race.on.tolerance)} after {more['steps']:.0f} steps")
    return "<br>".join([*lines, "click: this run in the descent laboratory"])


def _tries_alt(race: FairRace, entrants: Sequence[Entrant]) -> str:
    best = [
        f"{_title(entrant)} {number(float(entrant.curve.rates[entrant.curve.best]), 3)}, good over "
        f"{entrant.curve.decades:.1f} decades"
        for entrant in entrants
        if entrant.curve is not None and entrant.curve.best is not None and bright(race, entrant)
    ]
    return (
        f"What {race.budget} learning rates from {number(race.low)} to {number(race.high)} gave, a lane for each "
        f"optimizer. Best rates: {'; '.join(best) or 'none, all diverge'}."
    )
