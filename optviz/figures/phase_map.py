"""A phase map as one Plotly figure: a cell for each run, theory's lines and the optima on top.

A cell is one byte: a state, or a place on the scale of a number. What has no place on a scale, such as a run that
diverged, has a colour of its own, so that nothing is squeezed into the scale's ends. What the colours mean and how many
cells have them is told in words beside the figure (`meanings`), where it does not take the picture's room.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from optviz.figures.theme import HUES, array, bytes_of, key_entry
from optviz.phase_map import STATES, Cells, Optimum, PhaseMap, Theory, lowest, place_of, quickest
from optviz.spec import Param, number

HUE_OF_STATE = {
    "converged": "green",
    "oscillating": "orange",
    "stalled": "violet",
    "moving": "blue",
    "diverged": "gray",
}
GONE, PALE = "#808891", 0.30  # of runs that are gone, and how opaque: pale on white, dark on black
FADED = f"rgba({', '.join(str(int(GONE[i : i + 2], 16)) for i in (1, 3, 5))}, {PALE})"
NOTHING = "rgba(0,0,0,0)"
# From few to many, monotone in lightness, and told apart with the usual kinds of colour blindness (cividis).
RAMP = ("#00224E", "#123570", "#3B496C", "#575D6D", "#707173", "#8A8678", "#A59C74", "#C3B369", "#E1CC55", "#FEE838")
LEVELS = 250  # of 256 values of a byte, those on the scale
APART = 251  # the first of the others


class Meaning(NamedTuple):
    """A colour of its own: Streamlit's name of it, what it stands for, and the share of all cells."""

    hue: str
    words: str
    share: float


class _Painted(NamedTuple):
    codes: np.ndarray  # (n, n), uint8
    scale: list[list]
    apart: list[tuple[str, str, np.ndarray]]  # hue, words, which cells
    ticks: tuple[list[float], list[str]] | None  # of the colour bar, from 0 to 1
    title: str


def phase_map_record(
    map_: PhaseMap, found: Cells, measured: np.ndarray | None, known: Theory | None, click: str
) -> dict[str, Any]:
    """What the chart shows. The heatmap's meta is "cell"; `click` says in its hover what a click does."""
    painted = _paint(map_, found, measured)
    traces = [_heatmap(map_, found, measured, known, painted, click)]
    if painted.ticks:
        traces.append(_bar(painted))
    dashes = ("solid", "dash", "dot")
    for line, dash in zip(known.lines if known else (), dashes, strict=False):
        traces += _line(map_, line.name, line.x, line.y, dash)
    traces += _markers(map_, found, measured, known)
    return {
        "figure": {
            "data": traces,
            "layout": {
                "xaxis": _axis(map_.params[0], map_.xs),
                "yaxis": _axis(map_.params[1], map_.ys),
                "legend": {"y": 1.01, "itemclick": False, "itemdoubleclick": False},
            },
        },
        "revision": f"{map_.x} {map_.y}",
        "alt": alt(map_, found),
        "key": [
            key_entry(
                f"{words}: {there.mean():.1%}",
                GONE if hue == "gray" else HUES[hue],
                opacity=PALE if hue == "gray" else 1,
            )
            for hue, words, there in painted.apart
            if there.any()
        ],
    }


def alt(map_: PhaseMap, found: Cells) -> str:
    """The picture in words."""
    shares = ", ".join(f"{share:.0%} {state}" for state, share in found.shares().items() if share > 0)
    x, y = map_.params
    return (
        f"Map of {map_.resolution} by {map_.resolution} runs of {map_.racer.entry.title} on {map_.on.entry.title}: "
        f"{x.label} from {number(map_.x.low)} to {number(map_.x.high)} across, {y.label} from {number(map_.y.low)} to "
        f"{number(map_.y.high)} upwards. {shares or 'Nothing is computed yet'}."
    )


def meanings(map_: PhaseMap, found: Cells, measured: np.ndarray | None) -> list[Meaning]:
    """The colours that are not on the scale, those that occur."""
    painted = _paint(map_, found, measured)
    return [Meaning(hue, words, float(there.mean())) for hue, words, there in painted.apart if there.any()]


def _paint(map_: PhaseMap, found: Cells, measured: np.ndarray | None) -> _Painted:
    if map_.color == "state":
        apart = [(HUE_OF_STATE[state], state, found.state == i) for i, state in enumerate(STATES)]
        return _coded(found, apart, None, [], [], "")
    gone = ("gray", "diverged", found.diverged)
    if map_.color == "loss":
        rounding = found.done & ~found.diverged & ~(found.height > found.resolution)
        with np.errstate(all="ignore"):
            values = np.log10(found.height)
        words = "at the minimum, as exactly as the numbers tell" if found.known else "the lowest of this map"
        title = "final loss<br>above the<br>minimum" if found.known else "final loss<br>above the<br>lowest"
        ticks, texts = _tens(values[np.isfinite(values) & found.done & ~rounding & ~found.diverged])
        return _coded(found, [("green", words, rounding), gone], values, ticks, texts, title)
    if map_.color == "steps":
        never = found.done & ~found.diverged & ~np.isfinite(found.settled)
        words = f"not within {number(map_.on.tolerance)} of the minimum to stay"
        title = "steps until<br>it stays<br>within the<br>tolerance"
        ticks, texts = _counts()
        return _coded(found, [("violet", words, never), gone], np.log10(1 + found.settled), ticks, texts, title)
    rate = np.full(found.state.shape, np.nan) if measured is None else measured
    apart = [("gray", "moves away: a factor of 1 or more", rate >= 1)]
    apart += [("violet", "at the minimum too soon for an estimate", found.done & np.isnan(rate))]
    inside = rate[rate < 1]
    ticks = np.linspace(inside.min(), 1.0, 6).tolist() if inside.size else []
    return _coded(found, apart, rate, ticks, [f"{tick:.3f}" for tick in ticks], "factor<br>per step<br>in the end")


def _coded(
    found: Cells,
    apart: list[tuple[str, str, np.ndarray]],
    values: np.ndarray | None,
    ticks: list[float],
    texts: list[str],
    title: str,
) -> _Painted:
    """Bytes from what stands apart, and from `values` for the rest."""
    codes = np.full(found.state.shape, 255, np.uint8)
    scale: list[list] = []
    bar = None
    if values is not None:
        scale = [[i / (len(RAMP) - 1) * LEVELS / 255, color] for i, color in enumerate(RAMP)]
        on_scale = found.done & np.isfinite(values) & ~np.any([there for _, _, there in apart], axis=0)
        if on_scale.any():
            low, high = float(values[on_scale].min()), float(values[on_scale].max())
            wide = (high - low) or 1.0
            codes[on_scale] = np.round((values[on_scale] - low) / wide * LEVELS).astype(np.uint8)
            seen = [(tick, text) for tick, text in zip(ticks, texts, strict=True) if low <= tick <= high]
            bar = ([(tick - low) / wide for tick, _ in seen], [text for _, text in seen])
    first = 0 if values is None else APART
    for code, (hue, _, there) in enumerate(apart, start=first):
        codes[there] = code
        scale.append([code / 255, FADED if hue == "gray" else HUES[hue]])
    return _Painted(codes, [*scale, [1.0, NOTHING]], apart, bar, title)


def _tens(shown: np.ndarray) -> tuple[list[float], list[str]]:
    """Powers of ten between the least and the largest of these logarithms."""
    if not shown.size:
        return [], []
    low, high = math.floor(shown.min()), math.ceil(shown.max())
    every = max(1, math.ceil((high - low) / 7))
    powers = list(range(low, high + 1, every))
    return [float(power) for power in powers], [number(10.0**power) if abs(power) < 300 else "" for power in powers]


def _counts() -> tuple[list[float], list[str]]:
    """Round numbers of steps."""
    steps = [digit * 10**power for power in range(4) for digit in (1, 2, 5)]
    return [math.log10(1 + step) for step in steps], [str(step) for step in steps]


def _heatmap(
    map_: PhaseMap,
    found: Cells,
    measured: np.ndarray | None,
    known: Theory | None,
    painted: _Painted,
    click: str,
) -> dict[str, Any]:
    x, y = (param.symbol or param.title or param.name for param in map_.params)
    lines = [f"<b>{x} = %{{x:.4~g}}, {y} = %{{y:.4~g}}</b>", "%{text}"]
    numbers = [found.height]
    lines.append(f"final loss above the {'minimum' if found.known else 'lowest'} %{{customdata[0]:.3~g}}")
    if measured is not None:
        numbers.append(measured)
        lines.append("factor per step in the end: measured %{customdata[1]:.4f}")
        if known is not None:
            numbers.append(known.radius)
            lines[-1] += ", theory %{customdata[2]:.4f}"
    lines.append(click)
    with np.errstate(over="ignore", invalid="ignore"):
        custom = array(np.stack(numbers, axis=2))
    return {
        "type": "heatmap",
        "x": map_.xs.tolist(),
        "y": map_.ys.tolist(),
        "z": {"dtype": "u1", "bdata": bytes_of(painted.codes), "shape": ", ".join(map(str, painted.codes.shape))},
        "zmin": 0,
        "zmax": 255,
        "colorscale": painted.scale,
        "showscale": False,
        "meta": "cell",
        "text": _words(map_, found),
        "customdata": custom,
        "hovertemplate": "<br>".join(lines) + "<extra></extra>",
    }


def _words(map_: PhaseMap, found: Cells) -> list[list[str]]:
    """How each run ended, in words."""
    names = [*STATES, *["not computed yet"] * (256 - len(STATES))]
    within = f", within {number(map_.on.tolerance)} from step "
    rows = zip(found.state.tolist(), found.lost.tolist(), found.settled.tolist(), strict=True)
    return [
        [
            f"{names[state]} at step {lost:.0f}"
            if lost < math.inf
            else names[state] + (f"{within}{settled:.0f} on" if settled < math.inf else "")
            for state, lost, settled in zip(*row, strict=True)
        ]
        for row in rows
    ]


def _bar(painted: _Painted) -> dict[str, Any]:
    """The scale, as a colour bar of a trace without points: the heatmap's own would show what stands apart too."""
    assert painted.ticks is not None
    places, texts = painted.ticks
    return {
        "type": "scatter",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "showlegend": False,
        "hoverinfo": "skip",
        "marker": {
            "color": [0],
            "cmin": 0,
            "cmax": 1,
            "colorscale": [[i / (len(RAMP) - 1), color] for i, color in enumerate(RAMP)],
            "showscale": True,
            "colorbar": {
                "thickness": 12,
                "outlinewidth": 0,
                "tickvals": places,
                "ticktext": texts,
                "tickfont": {"color": "text"},
                "title": {"text": painted.title, "font": {"color": "text", "size": 13}},
            },
        },
    }


def _line(map_: PhaseMap, name: str, x: np.ndarray, y: np.ndarray, dash: str) -> list[dict[str, Any]]:
    """A line of theory with a halo, so that it is seen on every colour. Only its points on the map are sent."""
    inside = (x >= map_.x.low) & (x <= map_.x.high) & (y >= map_.y.low) & (y <= map_.y.high)
    if not inside.any():
        return []
    near = np.convolve(inside, [1, 1, 1], mode="same") > 0  # and one on either side, so that it reaches the edge
    points = {"x": _list(np.where(near, x, np.nan)), "y": _list(np.where(near, y, np.nan))}
    common = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "legendgroup": name, **points}
    return [
        {**common, "line": {"color": "paper", "width": 5}, "opacity": 0.7, "showlegend": False},
        {**common, "line": {"color": "text", "width": 2, "dash": dash}, "name": name},
    ]


def _list(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, which knows no NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _markers(map_: PhaseMap, found: Cells, measured: np.ndarray | None, known: Theory | None) -> list[dict[str, Any]]:
    """The optima, theory's on top, and the cell that is looked at."""
    row, column = map_.cell
    drawn = [_marker("the chosen cell", float(map_.xs[column]), float(map_.ys[row]), "cross", 13)]
    if known:
        drawn += _at_cell(map_, lowest(found), f"least loss after {map_.on.steps} steps", "diamond", 13)
        drawn += _at_cell(map_, quickest(measured), "quickest in the end, measured", "circle", 19)
    if known and known.best and all(-0.5 <= at <= map_.resolution - 0.5 for at in place_of(map_, known.best)):
        drawn.append(_marker("quickest in the end, by theory", *known.best, "star", 15))
    return drawn


def _at_cell(map_: PhaseMap, best: Optimum | None, name: str, symbol: str, size: int) -> list[dict[str, Any]]:
    if best is None or best.ties > 1:
        return []
    return [_marker(name, float(map_.xs[best.column]), float(map_.ys[best.row]), symbol, size)]


def _marker(name: str, x: float, y: float, symbol: str, size: int) -> dict[str, Any]:
    """Filled and outlined with the two colours of the theme, one of which is seen on any cell."""
    return {
        "type": "scatter",
        "x": [x],
        "y": [y],
        "mode": "markers",
        "name": name,
        "hoverinfo": "skip",
        "marker": {"symbol": symbol, "size": size, "color": "paper", "line": {"width": 2, "color": "text"}},
    }


def _axis(param: Param, values: np.ndarray) -> dict[str, Any]:
    """An axis to the outer edges of the cells."""
    ends = (math.log10(values[0]), math.log10(values[-1])) if param.log else (float(values[0]), float(values[-1]))
    half = (ends[1] - ends[0]) / (len(values) - 1) / 2
    axis: dict[str, Any] = {
        "title": {"text": param.label},
        "range": [ends[0] - half, ends[1] + half],
        "showgrid": False,
    }
    if param.log:
        ticks = log_ticks(*ends)
        axis |= {"type": "log", "tickvals": ticks, "ticktext": [number(tick) for tick in ticks]}
    return axis


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks between two powers of ten: whole powers, then 1, 2, 5, and below half a decade evenly spaced round ones."""
    if high - low < 0.6:
        first, last = 10**low, 10**high
        unit = 10.0 ** math.floor(math.log10((last - first) / 4))
        step = next(unit * digit for digit in (1, 2, 5, 10) if (last - first) / (unit * digit) <= 6)
        return [round(i * step, 15) for i in range(math.ceil(first / step), math.floor(last / step) + 1)]
    digits = (1, 2, 5) if high - low <= 2.5 else (1,)
    every = max(1, math.ceil((high - low) / 8))
    return [
        float(f"{digit}e{power}")
        for power in range(math.floor(low), math.ceil(high) + 1, every)
        for digit in digits
        if low - 1e-9 <= math.log10(digit) + power <= high + 1e-9
    ]
