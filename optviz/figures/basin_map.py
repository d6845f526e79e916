"""The basins of one racer as a picture: a map in which each minimum has a colour, and below it the shares as bars.

The fuller the colour, the fewer steps. Colours belong to minima; ends that are none are white, grey, brown or black,
and red is divergence. Every colour has a number too, which hovering tells, so that nobody needs to tell hues apart. The
bars are the legend: a row for each colour, with its number, its name and its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from optviz.basin_map import (
    DIFFERENCES,
    ENDS,
    NEVER,
    OWN,
    UNKNOWN,
    BasinMap,
    Basins,
    Region,
    difference,
    minima,
    regions,
)
from optviz.experiment import Racer, labels
from optviz.figures import theme
from optviz.landscape import over_window

# Of up to OWN minima; a step away from each other for all usual kinds of colour blindness.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#ABB060")
RAMP = ("#E69F00", "#5E2B6B")  # from the deepest of many other minima to the shallowest
END_COLORS = {
    "another minimum": "#9E59FE",
    "a saddle": "#101010",
    "a maximum": "#F4F4F4",
    "a plateau": "#32373C",
    "on its way": "#5F6469",
    "diverged": "#D55E00",
}
DIFFERENCE_COLORS = ("#A9AEB4", "#1B7837", "#762A83", "#E0C65A")
SHADES = 20  # of each colour; the last is for those that have not settled
FULL, PALE, PALEST = 1.0, 0.5, 0.38  # opacity of the quickest, of the slowest and of those that have not settled
LINES = 64  # cells along each side for the lines of equal loss
LEVELS = 10  # of those lines: between two of them lies a tenth of the window
MARKS_AT_MOST = 40  # saddles and minima beyond that would hide the map


class Row(NamedTuple):
    """A colour: what it is called, its colour, and the share of starts that have it. Minima have their number on the
    map."""

    name: str
    color: str
    share: float
    number: int | None = None

    @property
    def label(self) -> str:
        return self.name if self.number is None else f"{self.number} · {self.name}"


def rows(basin_map: BasinMap, basins: Sequence[Basins]) -> list[list[Row]]:
    """The rows of each map, the same colours in all: those that occur in one of them."""
    groups = regions(minima(basin_map.on))
    named = [(group.name, _color(i, groups), group.minima) for i, group in enumerate(groups)]
    named += [(name, END_COLORS[name], name) for name in ENDS]
    there = [i for i, (*_, place) in enumerate(named) if any(one.share(place) for one in basins)]
    numbers = [*range(1, len(groups) + 1), *[None] * len(ENDS)]
    return [[Row(*named[i][:2], one.share(named[i][2]), numbers[i]) for i in there] for one in basins]


def difference_rows(basin_map: BasinMap, found: np.ndarray) -> list[Row]:
    """The rows of the map of where two racers disagree."""
    first, second = titles(basin_map.on.racers)
    names = ("the same for both", f"{first} ends lower", f"{second} ends lower", "elsewhere, equally low")
    known = max(1, int((found != UNKNOWN).sum()))
    shares = [float((found == i).sum()) / known for i in range(len(DIFFERENCES))]
    return [Row(*row) for row in zip(names, DIFFERENCE_COLORS, shares, strict=True)]


def titles(racers: Sequence[Racer]) -> list[str]:
    """What the racers are called."""
    return labels(racers)


def pace(basins: Sequence[Basins]) -> tuple[int, int]:
    """The steps of the fullest and of the palest colour: all but a fiftieth of the settled runs at either end lie
    between."""
    settled = np.concatenate([one.steps[one.arrived & (one.steps != NEVER)] for one in basins])
    if not settled.size:
        return 0, 1
    low, high = np.quantile(settled, (0.02, 0.98), method="nearest")
    return int(low), max(int(high), int(low) + 1)


def basin_record(basin_map: BasinMap, basins: Sequence[Basins], index: int, *, bars: bool = True) -> dict[str, Any]:
    """The map of one racer for the chart, with its bars below unless they stand elsewhere. The trace's meta is the
    racer's index; its points are [row, column] of the starts."""
    one, own = basins[index], rows(basin_map, basins)[index]
    groups = regions(one.minima)
    title = titles(basin_map.on.racers)[index]
    colors = [*(_color(i, groups) for i in range(len(groups))), *END_COLORS.values()]
    color = _colored(one, groups)
    steps = np.where(one.steps == NEVER, basin_map.on.steps, one.steps).astype(np.uint16)
    heat = {
        **_heatmap(basin_map, (color * SHADES + _shade(one, *pace(basins))).astype(np.uint8)),
        "zmax": (len(colors) + 1) * SHADES - 0.5,
        "colorscale": _bands([(color, (FULL, PALE, PALEST)) for color in colors]),
        "customdata": _typed(np.stack([color + 1, steps], -1)),
        "hovertemplate": "start (%{x:.3g}, %{y:.3g})<br>ends at no. %{customdata[0]}, "
        "%{customdata[1]} steps<extra></extra>",
        "meta": index,
    }
    record = _record(basin_map, [heat, *_over(basin_map)], own if bars else [], title, alt(basin_map, title, own))
    return record if bars else {**record, "key": _key(own)}


def _key(own: Sequence[Row]) -> list[dict[str, Any]]:
    """What the bars say, for a picture that leaves without them."""
    return [theme.key_entry(f"{row.label}: {percent(row.share)}", row.color) for row in own]


def bars_record(basin_map: BasinMap, basins: Sequence[Basins]) -> dict[str, Any]:
    """The bars of a single racer, by themselves."""
    own = rows(basin_map, basins)[0]
    traces, layout = _bars(own, [0.0, 1.0], "")
    layout |= {"margin": MARGIN, "annotations": [*layout["annotations"], _title("Share of the starts")]}
    return {
        "figure": {"data": traces, "layout": layout},
        "revision": "bars",
        "alt": alt(basin_map, titles(basin_map.on.racers)[0], own),
    }


def difference_record(basin_map: BasinMap, basins: Sequence[Basins]) -> dict[str, Any]:
    """The map of where the two racers disagree. Its trace's meta is "difference"."""
    found = difference(basins[0], basins[1], basin_map.on.tolerance)
    own = difference_rows(basin_map, found)
    code = np.where(found == UNKNOWN, len(own), found).astype(np.uint8)
    heat = {
        **_heatmap(basin_map, code),
        "zmax": len(own) + 0.5,
        "colorscale": _bands([(row.color, (0.9, 0.9, 0.9) if i else (0.3, 0.3, 0.3)) for i, row in enumerate(own)]),
        "customdata": _typed(np.stack([code + 1, code + 1], -1).astype(np.uint16)),
        "hovertemplate": "start (%{x:.3g}, %{y:.3g})<br>no. %{customdata[0]}<extra></extra>",
        "meta": "difference",
    }
    first, second = titles(basin_map.on.racers)
    says = f"Where {first} and {second} disagree, start by start: {_said(own)}."
    return _record(basin_map, [heat, *_over(basin_map)], own, "Where they disagree", says)


def alt(basin_map: BasinMap, title: str, own: Sequence[Row]) -> str:
    """A map in words."""
    return (
        f"Basins of {title} on {basin_map.on.entry.title}, {basin_map.side} × {basin_map.side} starts after "
        f"{basin_map.on.steps} steps: {_said(own)}."
    )


def _said(own: Sequence[Row]) -> str:
    return "; ".join(f"{row.name} {percent(row.share)}" for row in own)


def percent(share: float) -> str:
    """A share for people, to a hundredth of a percent: few starts count."""
    if share == 0:
        return "0 %"
    return f"{100 * share:.2f} %" if share < 0.1 else f"{100 * share:.1f} %"


MARGIN = {"l": 38, "r": 10, "t": 30, "b": 8}
UPPER, LOWER = [0.45, 1.0], [0.0, 0.37]  # of the picture's height, for the map and for the bars


def _record(basin_map: BasinMap, traces: list, own: Sequence[Row], title: str, says: str) -> dict[str, Any]:
    left, right, bottom, top = basin_map.on.entry.window
    layout: dict[str, Any] = {
        "margin": MARGIN if own else {**MARGIN, "b": 30},
        "showlegend": False,
        "xaxis": {
            "range": [left, right],
            "constrain": "domain",
            "constraintoward": "left",
            "anchor": "y",
            "nticks": 5,
            "showgrid": False,
        },
        "yaxis": {
            "range": [bottom, top],
            "scaleanchor": "x",
            "constrain": "domain",
            "constraintoward": "top",
            "domain": UPPER if own else [0.0, 1.0],
            "nticks": 5,
            "showgrid": False,
        },
        "annotations": [_title(title)],
        "dragmode": False,
    }
    if own:
        bars, more = _bars(own, LOWER, "2")
        traces = [*traces, *bars]
        layout["annotations"] += more.pop("annotations")
        layout |= more
    return {
        "figure": {"data": traces, "layout": layout},
        "revision": f"{basin_map.on.surface.key} {len(basin_map.on.racers)}",
        "alt": says,
    }


def _title(text: str) -> dict[str, Any]:
    return {"xref": "paper", "x": 0, "xanchor": "left", "yref": "paper", "y": 1, "yanchor": "bottom",
            "text": f"<b>{text}</b>", "showarrow": False, "font": {"color": "text"}}  # fmt: skip


def _bars(own: Sequence[Row], domain: list[float], axis: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows as bars with their words on them, and the axes and words of the layout."""
    hidden = {"showticklabels": False, "ticks": "", "showline": False, "showgrid": False, "fixedrange": True}
    places = list(range(len(own)))
    x, y = f"x{axis}", f"y{axis}"
    common = {"type": "bar", "orientation": "h", "y": places, "xaxis": x, "yaxis": y, "hoverinfo": "skip"}
    line = {"color": "line", "width": 1}
    traces = [
        {**common, "x": [row.share for row in own], "width": 0.86, "offset": -0.43,
         "marker": {"color": [_faded(row.color, 0.5) for row in own], "line": {"width": 0}}},
        {**common, "x": [0.025] * len(own), "width": 0.5, "offset": -0.25, "base": [-0.045] * len(own),
         "marker": {"color": [row.color for row in own], "line": line}},
    ]  # fmt: skip
    words = [
        {"xref": x, "x": at, "xanchor": anchor, "yref": y, "y": i, "yanchor": "middle", "text": text,
         "showarrow": False, "font": {"color": "text"}}
        for i, row in enumerate(own)
        for at, anchor, text in ((0.0, "left", row.label), (1.0, "right", percent(row.share)))
    ]  # fmt: skip
    longest = max(len(own), 5)  # a bar is no thicker because there are few
    layout = {
        f"xaxis{axis}": {**hidden, "range": [-0.05, 1.0], "domain": [0.0, 1.0], "anchor": y},
        f"yaxis{axis}": {**hidden, "range": [longest - 0.5, -0.5], "domain": domain, "anchor": x},
        "barmode": "overlay",
        "showlegend": False,
        "annotations": words,
    }
    return traces, layout


def _color(index: int, groups: Sequence[Region]) -> str:
    if len(groups) <= OWN and all(len(group.minima) == 1 for group in groups):
        return COLORS[index]
    return COLORS[0] if index == 0 else theme.mix(*RAMP, (index - 1) / max(1, len(groups) - 2))


def _colored(one: Basins, groups: Sequence[Region]) -> np.ndarray:
    """The number of each cell's colour, counted from 0, (side, side) uint16; what is not measured has one of its own,
    the last."""
    table = np.zeros(len(one.minima) + len(ENDS), np.uint16)
    for i, group in enumerate(groups):
        table[list(group.minima)] = i
    table[len(one.minima) :] = len(groups) + np.arange(len(ENDS))
    return np.append(table, np.uint16(len(groups) + len(ENDS)))[one.place]  # UNKNOWN is −1


def _shade(one: Basins, fast: int, slow: int) -> np.ndarray:
    """From 0, the fullest, to SHADES − 1, for those that have not settled."""
    within = (np.clip(one.steps.astype(float), fast, slow) - fast) / (slow - fast)
    shade = np.round(within * (SHADES - 2))
    shade[one.steps == NEVER] = SHADES - 1
    shade[~one.arrived] = 0
    return shade


def _bands(colors: Sequence[tuple[str, tuple[float, float, float]]]) -> list[list]:
    """A colour scale of one band for each colour, within which the opacity falls from the first to the second and ends
    with the third; and one band for what is not measured, which shows nothing."""
    every, scale = 1 / (len(colors) + 1), []
    last = (SHADES - 1) / SHADES
    for i, (color, (full, pale, palest)) in enumerate(colors):
        places = ((i, full), (i + last, pale), (i + last, palest), (i + 1, palest))
        scale += [[place * every, _faded(color, alpha)] for place, alpha in places]
    scale += [[scale[-1][0], "rgba(0, 0, 0, 0)"], [1.0, "rgba(0, 0, 0, 0)"]]
    return scale


def _faded(color: str, alpha: float) -> str:
    return f"rgba({', '.join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))}, {alpha})"


def _heatmap(basin_map: BasinMap, code: np.ndarray) -> dict[str, Any]:
    left, right, bottom, top = basin_map.on.entry.window
    wide, high = (right - left) / basin_map.side, (top - bottom) / basin_map.side
    return {
        "type": "heatmap",
        "z": _typed(code),
        "zmin": -0.5,
        "x0": left + wide / 2,
        "dx": wide,
        "y0": bottom + high / 2,
        "dy": high,
        "showscale": False,
        "showlegend": False,
    }


def _typed(values: np.ndarray) -> dict[str, str]:
    """Whole numbers as Plotly takes them quickest."""
    kind = "u1" if values.dtype == np.uint8 else "u2"
    data = theme.bytes_of(np.ascontiguousarray(values, dtype=f"<{kind}").view(np.uint8))
    return {"dtype": kind, "bdata": data, "shape": ", ".join(map(str, values.shape))}


def _over(basin_map: BasinMap) -> list[dict[str, Any]]:
    """What lies over the map: lines of equal loss, the minima with the numbers of their colours, saddles, the start."""
    on = basin_map.on
    plane = over_window(on.surface.key, on.surface_values, LINES)
    height = np.where(np.isfinite(plane.loss), plane.loss, np.inf)
    rank = np.empty(height.size)
    rank[np.argsort(height, axis=None)] = np.arange(height.size) / height.size  # lines so share the window evenly
    quiet = {"hoverinfo": "skip", "showlegend": False}
    lines = {
        "type": "contour",
        "x": theme.array(plane.alpha),
        "y": theme.array(plane.beta),
        "z": theme.array(rank.reshape(height.shape)),
        "autocontour": False,
        "contours": {"coloring": "none", "start": 1 / LEVELS, "end": 1 - 1 / LEVELS, "size": 1 / LEVELS},
        "line": {"width": 0.6, "color": "rgba(90, 90, 90, 0.55)"},
        "showscale": False,
        **quiet,
    }
    found = minima(on)
    groups = regions(found)
    numbered = {i: str(at + 1) for at, group in enumerate(groups) for i in group.minima if len(group.minima) == 1}
    few = found if len(found) <= MARKS_AT_MOST else [found[i] for i in groups[0].minima][:MARKS_AT_MOST]
    ring = {"color": "paper", "width": 1}
    stars = {
        "type": "scatter",
        "x": [minimum.x for minimum in few],
        "y": [minimum.y for minimum in few],
        "mode": "markers+text",
        "text": [numbered.get(i, "") for i in range(len(few))],
        "textposition": "top right",
        "textfont": {"color": "text", "shadow": "auto"},
        "marker": {"symbol": "star", "size": 10, "color": "text", "line": ring},
        **quiet,
    }
    saddles = on.entry.saddles_at(on.surface_values)
    passes = {
        "type": "scatter",
        "x": [x for x, _ in saddles],
        "y": [y for _, y in saddles],
        "mode": "markers",
        "marker": {"symbol": "x-thin", "size": 7, "color": "text", "line": {"color": "text", "width": 1.5}},
        **quiet,
    }
    start = {
        "type": "scatter",
        "x": [on.start[0]],
        "y": [on.start[1]],
        "mode": "markers",
        "marker": {"symbol": "circle-open", "size": 11, "color": "text", "line": {"color": "text", "width": 2}},
        **quiet,
    }
    return [lines, *([passes] if len(saddles) <= MARKS_AT_MOST else []), stars, start]


__all__ = ["bars_record", "basin_record", "difference_record", "pace", "percent", "rows", "titles"]
