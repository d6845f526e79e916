"""The second-order page's pictures: steps and models on the surface from above and in a slice, and what they cost.

A model is drawn as level lines over the surface's own contours: straight ones for the linear model, conic sections for
a quadratic one. The ellipse shows the Hessian by its eigenvectors: the flatter a direction, the longer its axis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optviz.figures.race import heights
from optviz.figures.theme import DASHES, HUES, SCALES, array, scale, style
from optviz.scaling import MEMORY, SIZES, Cost, Work, hessian_bytes, pairs_bytes
from optviz.spec import number
from optviz.taylor import METHODS, Cut, Look, Proposal, SecondOrder, bounds, cut, ground, look

GROUND = "ground"  # the meta of the trace that a click on the surface falls on
HUE = {"damped": "violet", "trust": "orange"} | {key: style(key).hue for key in ("sgd", "newton", "lbfgs")}
COLORS = {key: HUES[hue] for key, hue in HUE.items()}
DIM = 0.75
ELLIPSE = 0.17  # of the window's shorter side: the longer half axis
TURN = np.linspace(0, 2 * np.pi, 97)
LEVELS = 24  # level lines of a model, at most

Trace = dict[str, Any]


def plane_record(value: SecondOrder) -> dict[str, Any]:
    """The surface from above with the way so far, each method's step, the chosen model's level lines and the ellipse of
    the Hessian. A click on the trace whose meta is GROUND names the row and the column of a place."""
    found, (left, right, bottom, top) = look(value), bounds(value)
    traces, layout = _ground(value)
    chosen = found.proposals[value.method]
    traces += [*_model(value, found, chosen), *_ellipses(value, found), *_landmarks(value), _way(found)]
    for key in [*(key for key in METHODS if key != value.method), value.method]:  # the chosen one on top
        traces += _arrow(found, found.proposals[key], key == value.method)
    layout |= {
        "xaxis": {"range": [left, right], "title": {"text": "x"}, "constrain": "domain"},
        "yaxis": {
            "range": [bottom, top],
            "title": {"text": "y"},
            "scaleanchor": "x",
            "constrain": "domain",
            "constraintoward": "top",
        },
        "annotations": _tips(value, found),
        "showlegend": False,
    }
    return {
        "figure": {"data": traces, "layout": layout},
        "revision": f"{value.on.surface.key} {left} {right} {bottom} {top}",
        "scales": {mode: scale(mode) for mode in SCALES},
        "alt": alt(value),
    }


def alt(value: SecondOrder) -> str:
    """The picture from above in words."""
    found = look(value)
    x, y = found.here.theta
    steps = ", ".join(
        f"{METHODS[key].title} to ({number(float(end[0]), 3)}, {number(float(end[1]), 3)})"
        for key, end in ((key, (found.here.theta + one.step).round(9) + 0.0) for key, one in found.proposals.items())
        if np.isfinite(end).all()
    )
    return (
        f"Contour map of the {value.on.entry.title} surface. From the point ({number(float(x), 3)}, "
        f"{number(float(y), 3)}) after {len(found.moves)} moves, the methods step: {steps}. Level lines of the "
        f"{METHODS[value.method].model} model. Click a place to stand there."
    )


def _ground(value: SecondOrder) -> tuple[list[Trace], dict[str, Any]]:
    around, entry = ground(value), value.on.entry
    lowest = None if value.on.l2 else next((m.value for m in entry.lowest_at(value.on.surface_values)), None)
    height, bar, unit, levels = heights(around.loss, lowest, entry.log)
    contour = {
        "type": "contour",
        "x": array(around.x),
        "y": array(around.y),
        "z": array(height),
        "coloraxis": "coloraxis",
        "autocontour": False,
        "contours": {"coloring": "fill", **levels},
        "line": {"width": 0.7, "color": "rgba(100, 116, 135, 0.6)"},
        "hovertemplate": f"x %{{x:.3f}}<br>y %{{y:.3f}}<br>{unit} %{{z:.3g}}<br>click: stand here<extra></extra>",
        "meta": GROUND,
    }
    return [contour], {"coloraxis": {"colorbar": bar, "showscale": False}}


def _model(value: SecondOrder, found: Look, chosen: Proposal) -> list[Trace]:
    """Level lines of the model that the chosen method trusts: a quarter of its promise apart, or further where these
    would be too many. One goes through the point."""
    around, here = ground(value), found.here
    if not np.isfinite(chosen.bend).all() or not math.isfinite(chosen.promised) or chosen.promised == 0:
        return []
    x, y = around.x[::2] - here.theta[0], around.y[::2] - here.theta[1]
    (a, b), (_, d) = chosen.bend
    level = here.grad[0] * x + here.grad[1] * y[:, None]
    level = level + 0.5 * (a * x**2 + 2 * b * x * y[:, None] + d * (y**2)[:, None])
    lowest, highest = float(level.min()), float(level.max())
    quarter = abs(chosen.promised) / 4
    size = quarter * max(1, math.ceil((highest - lowest) / LEVELS / quarter))
    return [
        {
            "type": "contour",
            "x": array(around.x[::2]),
            "y": array(around.y[::2]),
            "z": array(level),
            "autocontour": False,
            "contours": {"coloring": "none", "start": size * math.ceil(lowest / size), "end": highest, "size": size},
            "line": {"width": 1.4, "color": COLORS[value.method], "dash": "dot"},
            "showscale": False,
            "hoverinfo": "skip",
        }
    ]


def _ellipses(value: SecondOrder, found: Look) -> list[Trace]:
    """The Hessian's ellipse with its axes, for L-BFGS the one it has learnt too, and the circle of the trust region."""
    here, center = found.here, found.here.theta
    left, right, bottom, top = value.on.entry.window
    size = ELLIPSE * min(right - left, top - bottom)
    traces: list[Trace] = []
    bent = np.abs(here.curvatures)
    if np.isfinite(bent).all() and bent.min() > 1e-9 * bent.max():
        unit = size * math.sqrt(bent.min())
        half = unit / np.sqrt(bent)
        name = "ellipse of the Hessian"
        falling = bool((here.curvatures < 0).any())
        traces.append(_closed(center, here.axes * half, "text", "dash" if falling else "solid", name))
        for i in (0, 1):
            ends = center + np.outer([-1, 1], here.axes[:, i] * half[i])
            text = f"λ{'₁₂'[i]} = {number(float(here.curvatures[i]), 3)}"
            traces.append({**_line(ends, "text", 1.2), "text": [text, text], "hovertemplate": "%{text}<extra></extra>"})
        if value.method == "lbfgs":
            learnt, axes = np.linalg.eigh(found.pairs.inverse)
            if learnt.min() > 0:
                half = unit * np.sqrt(learnt)
                traces.append(_closed(center, axes * half, COLORS["lbfgs"], "solid", "what the pairs imply"))
    if value.method == "trust":
        circle = found.radius * np.eye(2)
        traces.append(_closed(center, circle, COLORS["trust"], "solid", "trust region"))
    return traces


def _closed(center: np.ndarray, axes: np.ndarray, color: str, dash: str, name: str) -> Trace:
    points = center + np.stack([np.cos(TURN), np.sin(TURN)], axis=1) @ axes.T
    return {**_line(points, color, 1.8, dash), "name": name, "hoverinfo": "skip"}


def _line(points: np.ndarray, color: str, width: float, dash: str = "solid") -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "line": {"color": color, "width": width, "dash": dash},
    }


def _landmarks(value: SecondOrder) -> list[Trace]:
    """Minima and saddles that the card lists."""
    values, entry = value.on.surface_values, value.on.entry
    kinds = [("minimum", "star", [(m.x, m.y) for m in entry.minima_at(values)])]
    kinds.append(("saddle", "x-thin-open", list(entry.saddles_at(values))))
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [x for x, _ in places],
            "y": [y for _, y in places],
            "marker": {"symbol": symbol, "size": 12, "color": "text", "line": {"color": "text", "width": 1.5}},
            "hovertemplate": f"{name} (%{{x:.4g}}, %{{y:.4g}})<extra></extra>",
        }
        for name, symbol, places in kinds
        if places
    ]


def _way(found: Look) -> Trace:
    """The moves so far, and the point itself as the last of them."""
    count = len(found.path)
    texts = [f"{'start' if i == 0 else f'after move {i}'}: loss {number(float(found.losses[i]))}" for i in range(count)]
    return {
        **_line(found.path, "text", 2),
        "mode": "lines+markers",
        "marker": {"size": [6] * (count - 1) + [13], "color": "text", "line": {"color": "paper", "width": 1.5}},
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _arrow(found: Look, proposal: Proposal, chosen: bool) -> list[Trace]:
    end = found.here.theta + proposal.step
    if not np.isfinite(end).all():
        return []
    dash = DASHES[0] if proposal.method in ("damped", "trust") else style(proposal.method).dash
    line = _line(np.array([found.here.theta, end]), COLORS[proposal.method], 4 if chosen else 2.2)
    line["line"] |= {"dash": ",".join(f"{length}px" for length in dash)} if dash else {}
    told = f"<b>{METHODS[proposal.method].title}</b><br>promised {number(proposal.promised)}, came "
    told += f"{number(proposal.came)}"
    marker = {"symbol": ["circle", "arrow"], "size": [0, 16 if chosen else 12], "angleref": "previous", "opacity": 1}
    return [
        {
            **line,
            "mode": "lines+markers",
            "marker": {**marker, "color": COLORS[proposal.method]},
            "opacity": 1 if chosen else DIM,
            "text": [told, told],
            "hovertemplate": "%{text}<extra></extra>",
            "name": METHODS[proposal.method].title,
        }
    ]


def _tips(value: SecondOrder, found: Look) -> list[dict[str, Any]]:
    """Labels near the tips, in the methods' colours, where they cover neither one another nor a tip, as far as that can
    be. A step that leaves the picture is named where it leaves."""
    left, right, bottom, top = bounds(value)
    size = np.array([right - left, top - bottom])
    tips, away = {}, {}
    for key, proposal in found.proposals.items():
        if np.isfinite(proposal.step).all():
            share = _inside(found.here.theta, proposal.step, (left, right, bottom, top))
            tips[key] = (found.here.theta + share * proposal.step - [left, bottom]) / size
            away[key] = share < 1
    taken = [(tip - 0.012, tip + 0.012) for tip in tips.values()]
    start = (found.here.theta - [left, bottom]) / size
    taken.append((start - 0.02, start + 0.02))
    notes = []
    for key in sorted(tips, key=lambda key: key != value.method):
        words = METHODS[key].short + " →" * away[key]
        box = np.array([0.02 * len(words) + 0.02, 0.055])
        center = _free(tips[key], box, taken)
        taken.append((center - box / 2, center + box / 2))
        x, y = [left, bottom] + center * size
        text = f"<b>{words}</b>" if key == value.method else words
        notes.append({"x": float(x), "y": float(y), "text": text, "showarrow": False, "bgcolor": "paper",
                      "font": {"color": "text"}, "bordercolor": COLORS[key], "borderpad": 1})  # fmt: skip
    return notes


def _free(tip: np.ndarray, box: np.ndarray, taken: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """A centre for a label near a tip, in shares of the picture: the nearest of some that is free, or else the one that
    covers least."""

    ways = [np.array([math.cos(turn), math.sin(turn)]) for turn in np.arange(0, 2 * np.pi, np.pi / 6)]
    places = np.array([tip + way * (box / 2 + 0.02 + more) for more in (0, 0.04, 0.08, 0.13, 0.18) for way in ways])
    low, high = places - box / 2, places + box / 2
    begin, end = (np.array(ends) for ends in zip(*taken, strict=True))  # (t, 2)
    shared = np.minimum(high[:, None], end) - np.maximum(low[:, None], begin)
    covered = np.clip(shared, 0, None).prod(axis=2).sum(axis=1)
    covered += 10 * (np.clip(-low, 0, None) + np.clip(high - 1, 0, None)).sum(axis=1)
    return places[int(np.argmin(np.round(covered, 6)))]


def _inside(point: np.ndarray, step: np.ndarray, edges: tuple[float, float, float, float]) -> float:
    """Which share of a step stays in the picture."""
    low, high = np.array(edges)[[0, 2]], np.array(edges)[[1, 3]]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(step > 0, (high - point) / step, np.where(step < 0, (low - point) / step, math.inf))
    return float(min(1.0, max(0.0, shares.min())))


# The slice -----------------------------------------------------------------------------------------------------------


def cut_record(value: SecondOrder) -> dict[str, Any] | None:
    """The loss and its models along a line, with each method's step as a mark; None where there is no such line."""
    found, slice_ = look(value), cut(value)
    if slice_ is None or not np.isfinite(slice_.loss).any():
        return None
    chosen = found.proposals[value.method]
    traces = [_curve(slice_.way, slice_.loss, "loss", "text", 3)]
    for key, name, model in (
        ("sgd", "linear model", slice_.linear),
        ("newton", "quadratic model", slice_.quadratic),
        ("lbfgs", "model of L-BFGS", slice_.pairs),
    ):
        if key != "lbfgs" or len(found.pairs.s):
            traces.append(_curve(slice_.way, model, name, COLORS[key], 2, style(key).dash))
    traces += [_mark(found, slice_, one, one is chosen) for one in found.proposals.values() if _reached(one)]
    traces.append({**_mark_at(0.0, found.here.value, "text", 12), "hovertemplate": "here<extra></extra>"})
    low, high = _height(found, slice_, chosen)
    notes, shapes = _promise(found, slice_, chosen)
    layout = {
        "xaxis": {"title": {"text": "way from the point"}, "range": [slice_.way[0], slice_.way[-1]]},
        "yaxis": {"title": {"text": "loss"}, "range": [low, high]},
        "annotations": notes,
        "shapes": shapes,
    }
    return {
        "figure": {"data": traces, "layout": layout},
        "revision": f"{value.on.surface.key} {value.on.start} {value.moves} {value.along} {value.method}",
        "alt": f"The loss along a line through the point, with its linear and quadratic model. "
        f"{METHODS[value.method].title} was promised a fall by {number(chosen.promised)}; {number(chosen.came)} came.",
    }


def _curve(way: np.ndarray, height: np.ndarray, name: str, color: str, width: float, dash: tuple = ()) -> Trace:
    line: dict[str, Any] = {"color": color, "width": width}
    line |= {"dash": ",".join(f"{length}px" for length in dash)} if dash else {}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": array(way),
        "y": array(height),
        "name": name,
        "line": line,
        "hovertemplate": f"{name} %{{y:.4g}}<extra></extra>",
    }


def _reached(proposal: Proposal) -> bool:
    return bool(np.isfinite(proposal.step).all() and math.isfinite(proposal.came))


def _mark(found: Look, slice_: Cut, proposal: Proposal, chosen: bool) -> Trace:
    """Where a step ends: filled if it lies along the slice, hollow if it only comes to lie beside it."""
    along = float(proposal.step @ slice_.direction)
    length = float(np.linalg.norm(proposal.step))
    on = math.isclose(abs(along), length, rel_tol=1e-6)
    after = found.here.value - proposal.came
    mark = _mark_at(along, after, COLORS[proposal.method], 13 if chosen else 10, "circle" if on else "circle-open")
    beside = "" if on else "<br>its step does not lie along this slice"
    told = f"<b>{METHODS[proposal.method].title}</b><br>loss {number(after)} where its step ends{beside}"
    return {**mark, "hovertemplate": f"{told}<extra></extra>"}


def _mark_at(x: float, y: float, color: str, size: int, symbol: str = "circle") -> Trace:
    marker = {"color": color, "size": size, "symbol": symbol, "line": {"color": color, "width": 2}}
    return {"type": "scatter", "mode": "markers", "x": [x], "y": [y], "marker": marker, "showlegend": False}


def _height(found: Look, slice_: Cut, chosen: Proposal) -> tuple[float, float]:
    """The range of the axis: the loss along the slice, and what was promised."""
    some = [*slice_.loss[np.isfinite(slice_.loss)], found.here.value]
    some += [found.here.value - fall for fall in (chosen.promised, chosen.came) if math.isfinite(fall)]
    room = 0.08 * (max(some) - min(some)) or 1.0
    return min(some) - room, max(some) + room


def _promise(found: Look, slice_: Cut, chosen: Proposal) -> tuple[list[dict], list[dict]]:
    """At the chosen step, the height that its model promised and the one that came."""
    if not _reached(chosen):
        return [], []
    along = float(chosen.step @ slice_.direction)
    color = COLORS[chosen.method]
    said, came = found.here.value - chosen.promised, found.here.value - chosen.came
    bar = {"type": "line", "x0": along, "x1": along, "y0": said, "y1": came}
    shapes = [{**bar, "line": {"color": color, "width": 2, "dash": "dot"}}]
    low, high = _height(found, slice_, chosen)
    apart = abs(came - said) > 0.07 * (high - low)
    words = [
        ("promised", said, "top" if said <= came else "bottom"),
        ("came", came, "bottom" if said <= came else "top"),
    ]
    if not apart:
        words = [("promised and came", said, "top")]
    left, right = slice_.way[0], slice_.way[-1]
    anchor = "right" if along > left + 0.55 * (right - left) else "left"
    notes = [
        {
            "x": along,
            "y": height,
            "text": text,
            "showarrow": False,
            "xanchor": anchor,
            "xshift": 8 if anchor == "left" else -8,
            "yanchor": side,
            "yshift": -6 if side == "top" else 6,
            "font": {"color": "text"},
        }
        for text, height, side in words
    ]
    return notes, shapes


# The costs -----------------------------------------------------------------------------------------------------------

TIMES: Mapping[str, tuple[str, str, str]] = {
    "gradient": ("one gradient", "sgd", "solid"),
    "hessian": ("one Hessian", "damped", "solid"),
    "solve": ("solving with the Hessian", "newton", "solid"),
    "two_loop": (f"the two loops of L-BFGS, m = {MEMORY}", "lbfgs", "solid"),
}


def time_record(costs: Sequence[Cost | Work]) -> dict[str, Any]:
    """Seconds of each part of a step against n, both on log scales."""
    found = [one for one in costs if isinstance(one, Cost)]
    traces = [
        _power(
            [one.n for one in found], [getattr(one, part) for one in found], name, COLORS[key], "%{y:.3s}s"
        )
        for part, (name, key, _) in TIMES.items()
    ]  # fmt: skip
    last = found[-1] if found else None
    words = "nothing measured yet"
    if last:
        words = ", ".join(f"{name} {number(1e3 * getattr(last, part), 3)} ms" for part, (name, _, _) in TIMES.items())
        words = f"with n = {last.n}: {words}"
    layout = _log_log("seconds, on this server", -5.5, 0.5)
    return {"figure": {"data": traces, "layout": layout}, "revision": "time", "alt": f"Time against n; {words}."}


def memory_record() -> dict[str, Any]:
    """Bytes that each method holds against n, both on log scales, counted from the shapes of the arrays themselves."""
    traces = [
        _power(SIZES, [hessian_bytes(n) for n in SIZES], "the Hessian, 8·n²", COLORS["newton"], "%{y:.3s}B"),
        _power(
            SIZES,
            [pairs_bytes(n) for n in SIZES],
            f"pairs of L-BFGS, 16·m·n, m = {MEMORY}",
            COLORS["lbfgs"],
            "%{y:.3s}B",
        ),
    ]
    large = SIZES[-1]
    return {
        "figure": {"data": traces, "layout": _log_log("bytes", 1, 8)},
        "revision": "memory",
        "alt": f"Memory against n; with n = {large} the Hessian takes {hessian_bytes(large):,} bytes, the pairs of "
        f"L-BFGS {pairs_bytes(large):,}.",
    }


def _power(sizes: Sequence[int], values: Sequence[float], name: str, color: str, form: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(sizes),
        "y": list(values),
        "name": name,
        "line": {"color": color, "width": 2},
        "marker": {"color": color, "size": 8},
        "hovertemplate": f"{name}<br>n = %{{x}}: {form}<extra></extra>",
    }


def _log_log(title: str, low: float, high: float) -> dict[str, Any]:
    ticks = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    return {
        "xaxis": {"type": "log", "title": {"text": "parameters n"}, "tickvals": list(SIZES), "range": [0.15, 3.5]},
        "yaxis": {
            "type": "log",
            "title": {"text": title},
            "range": [low, high],
            "tickvals": ticks,
            "ticktext": [number(tick) for tick in ticks],
        },
    }
