"""A cloud of noisy runs, as the stage plays it, and its noise floor against the learning rate, as one Plotly figure.

The positions of all drawn runs travel once, as 16-bit numbers: 1,000 runs at 81 moments are 330 kB. The browser makes
points or a density of them.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from optviz.cloud import Cloud, Floors, Swarm, theory
from optviz.figures import theme
from optviz.figures.race import race
from optviz.spec import number

DRAWN_AT_MOST = 1000  # runs
OUTWARD = 0.5  # of the window on each side: as far out are runs drawn when the visitor zooms out
BEYOND = 65535  # stands for a coordinate that is further out, or no number
BELOW = 0.01  # share of the lowest mean: where the run without noise is below it, it has left the picture
BAND = ("low", "high")
STRIP = 0.14  # of the height of the chart: where rates lie at which runs are lost
LINE = 200  # points of the line of theory


def cloud_record(cloud: Cloud, swarm: Swarm) -> dict[str, Any]:
    """Everything the stage needs to play a cloud."""
    still = race(cloud.experiment, [], compact=True)
    (plane,) = still["panels"]
    drawn = min(cloud.runs, DRAWN_AT_MOST)
    name = f"cloud {hash((cloud.experiment, cloud.runs)):x}"
    note = "" if drawn == cloud.runs else f"{drawn:,} of {cloud.runs:,} runs are drawn"
    ground = {
        "kind": "crowd",
        "look": cloud.look,
        "count": drawn,
        "racer": "mean",
        "extent": _extent(cloud),
        "parts": [{"id": name, "at": 0, "data": _places(cloud, swarm.theta[:drawn])}],
    }
    plane |= {
        "ground": ground,
        "alt": f"Contour map of the {cloud.experiment.entry.title} surface with {drawn} noisy runs from one start as a "
        "moving cloud.",
        **({"note": note} if note else {}),
    }
    return {
        **still,
        "steps": len(swarm.steps) - 1,
        "time": {"values": theme.floats(swarm.steps), "end": int(swarm.steps[-1]), "epoch": None},
        "panels": [plane, _heights(cloud), _shares(cloud)],
        "racers": [*_lines(cloud, swarm), *_share_lines(cloud, swarm)],
        "autoplay": True,
        "compact": False,
    }


def _extent(cloud: Cloud) -> list[float]:
    left, right, bottom, top = cloud.experiment.entry.window
    wide, high = OUTWARD * (right - left), OUTWARD * (top - bottom)
    return [left - wide, right + wide, bottom - high, top + high]


def _places(cloud: Cloud, theta: np.ndarray) -> str:
    """Where the runs (k, p, 2) are: moment after moment, first all x and then all y, as little-endian 16-bit numbers
    from 0 to 65534 over the extent."""
    left, right, bottom, top = _extent(cloud)
    with np.errstate(all="ignore"):
        share = (theta - [left, bottom]) / [right - left, top - bottom]
        outside = ~((share >= 0) & (share <= 1)).all(axis=2, keepdims=True)
        whole = np.where(outside, BEYOND, np.round(np.where(outside, 0, share) * (BEYOND - 1)))
    return base64.b64encode(np.ascontiguousarray(whole.transpose(1, 2, 0), dtype="<u2").tobytes()).decode()


def _heights(cloud: Cloud) -> dict[str, Any]:
    lowest = cloud.minima[0].value
    sign = "+" if lowest < 0 else "−"
    title = "Loss f" if lowest == 0 else f"Loss above the minimum, f {sign} {number(abs(lowest))}"
    alt = (
        "Mean and median of the loss of all runs at each moment, with the quartiles as a band, and the loss of the run "
    )
    return {
        "name": "loss",
        "kind": "curve",
        "y": "loss",
        "log": True,
        "title": title,
        "note": "band: middle half",
        "alt": alt + "without noise.",
        "band": BAND,
        "figure": {"layout": {}},
    }


def _shares(cloud: Cloud) -> dict[str, Any]:
    several = len(cloud.minima) > 1
    return {
        "name": "share",
        "kind": "curve",
        "y": "share",
        "log": False,
        "title": "Share of runs near each minimum" if several else "Share of runs near the minimum",
        "alt": "Which part of the runs is near which minimum at each moment, and which part is lost.",
        "range": [0.0, 1.04],
        "figure": {"layout": {"yaxis": {"tickformat": ".0%"}}},
    }


def _racer(id: str, label: str, color: str, dash: tuple[int, ...], state: str, **series: np.ndarray) -> dict[str, Any]:
    return {
        "id": id,
        "label": label,
        "color": color,
        "dash": list(dash),
        "marker": "circle",
        "ghost": False,
        "series": {name.replace("_", "."): theme.floats(values) for name, values in series.items()},
        "stop": None,
        "state": state,
    }


def _lines(cloud: Cloud, swarm: Swarm) -> list[dict[str, Any]]:
    """Mean, median, the run without noise and, where it is known, the floor."""
    color, dash = theme.style(cloud.racer.optimizer.key).color, theme.style(cloud.racer.optimizer.key).dash
    with np.errstate(all="ignore"):
        middle = swarm.theta.mean(axis=0)
        shown = np.isfinite(swarm.mean) & (swarm.mean > 0)
        visible = swarm.quiet >= BELOW * (swarm.mean[shown].min() if shown.any() else 0.0)
    fallen = np.flatnonzero(~visible)
    state = f"leaves the picture at step {swarm.steps[fallen[0]]}" if len(fallen) else ""
    lost = swarm.lost[-1]
    lines = [
        _racer(
            "mean",
            f"mean of {cloud.runs:,} runs",
            color,
            dash,
            f"{lost:.1%} of them are lost" if lost else "",
            x=middle[:, 0],
            y=middle[:, 1],
            loss=swarm.mean,
            loss_low=swarm.low,
            loss_high=swarm.high,
        ),
        _racer("median", "median", color, (2, 4), "", loss=swarm.median),
        _racer("quiet", "without noise", theme.HUES["gray"], (), state, loss=np.where(visible, swarm.quiet, np.nan)),
    ]
    known = theory(cloud, np.array([cloud.racer.values["lr"]]))
    if known is not None and np.isfinite(known[0]):
        level = np.full(len(swarm.steps), known[0])
        lines.append(_racer("floor", "floor by theory", theme.HUES["gray"], (9, 5), "", loss=level))
    return lines


def _share_lines(cloud: Cloud, swarm: Swarm) -> list[dict[str, Any]]:
    """The share near each minimum, and the lost ones if there are any."""
    own = theme.style(cloud.racer.optimizer.key).color
    hues = [color for name, color in theme.HUES.items() if color != own and name not in ("gray", "red")]
    lines = [
        _racer(
            f"near {i}",
            f"near {place}",
            hues[i % len(hues)],
            theme.DASHES[i // len(hues) % len(theme.DASHES)],
            f"{swarm.near[i, -1]:.1%} at the end",
            share=swarm.near[i],
        )
        for i, place in enumerate(cloud.places)
    ]
    if swarm.lost[-1] > 0:
        words = f"{swarm.lost[-1]:.1%} at the end"
        lines.append(_racer("lost", "lost", theme.HUES["red"], (9, 5), words, share=swarm.lost))
    return lines


# The noise floor -----------------------------------------------------------------------------------------------------


def floors_record(cloud: Cloud, found: Floors) -> dict[str, Any]:
    """The noise floor against the learning rate, for `ui/chart`. All traces with a meta have a point for every rate."""
    color = theme.style(cloud.racer.optimizer.key).color
    good = np.isfinite(found.height) & (found.height > 0)
    values = [found.height[good]] + ([found.theory[found.theory > 0]] if found.theory is not None else [])
    exponents = np.log10(np.concatenate(values)) if good.any() else np.array([-1.0, 1.0])
    low, high = float(exponents.min()) - 0.15, float(exponents.max()) + 0.15
    top = high + STRIP * (high - low)
    own = found.at(float(cloud.racer.values["lr"]))
    x = _numbers(found.rates)
    hover = [_hover(found, i) for i in range(len(found.rates))]
    common = {"type": "scatter", "x": x, "text": hover, "hovertemplate": "%{text}<extra></extra>", "mode": "markers"}

    def measured(name: str, there: np.ndarray, symbol: str) -> dict[str, Any]:
        return {
            **common,
            "meta": name,
            "name": name,
            "y": _numbers(np.where(there, found.height, np.nan)),
            "error_y": {"type": "data", "array": _numbers(2 * found.error), "color": color, "thickness": 1, "width": 3},
            "marker": {"color": color, "size": 9, "symbol": symbol, "line": {"color": color, "width": 1.5}},
        }

    traces: list[dict[str, Any]] = []
    if found.theory is not None:
        fine = np.geomspace(cloud.low, cloud.high, LINE)
        curve = theory(cloud, fine)
        assert curve is not None
        traces.append({"type": "scatter", "mode": "lines", "x": _numbers(fine), "y": _numbers(curve),
                       "name": "theory", "line": {"color": "text", "width": 1.5, "dash": "dash"},
                       "hoverinfo": "skip"})  # fmt: skip
    traces.append(measured("settled", good & found.settled, "circle"))
    traces.append(measured("not settled", good & ~found.settled, "circle-open"))
    lost = np.where(good, np.nan, 10 ** ((high + top) / 2))
    cross = {"color": color, "size": 8, "symbol": "x-thin-open", "line": {"color": color, "width": 1.5}}
    traces.append({**common, "meta": "runs are lost", "name": "runs are lost", "y": _numbers(lost), "marker": cross})
    here = np.where(np.arange(len(x)) == own, np.where(good, found.height, lost), np.nan)
    star = {"color": color, "size": 16, "symbol": "star", "line": {"color": "paper", "width": 1}}
    traces.append({**common, "meta": "this cloud", "name": "this cloud", "y": _numbers(here), "marker": star})
    ends = math.log10(found.rates[0]), math.log10(found.rates[-1])
    pad = 0.02 * (ends[1] - ends[0])
    layout = {
        "xaxis": {
            "type": "log",
            "range": [ends[0] - pad, ends[1] + pad],
            **theme.log_ticks(*ends),
            "title": {"text": "learning rate η"},
        },
        "yaxis": {
            "type": "log",
            "range": [low, top],
            "title": {"text": "noise floor above the minimum"},
            **theme.log_ticks(low, high),
        },
        "shapes": [
            {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": 10**high, "y1": 10**top,
             "fillcolor": "band", "line": {"width": 0}, "layer": "below"},
        ],
        "annotations": [
            {"xref": "paper", "x": 0, "xanchor": "left", "yref": "y", "y": (high + top) / 2, "yanchor": "middle",
             "text": "no floor: runs are lost", "showarrow": False, "font": {"color": "text"}},
        ],
    }  # fmt: skip
    return {
        "figure": {"data": traces, "layout": layout},
        "revision": f"{cloud.experiment.surface} {cloud.low} {cloud.high} {low:.1f} {high:.1f}",
        "alt": floors_alt(cloud, found),
    }


def floors_alt(cloud: Cloud, found: Floors) -> str:
    """The chart in words."""
    own = found.at(float(cloud.racer.values["lr"]))
    slope = f" It grows like the rate to the power {number(found.slope, 3)}." if math.isfinite(found.slope) else ""
    return (
        f"Noise floor against the learning rate from {number(float(found.rates[0]))} to "
        f"{number(float(found.rates[-1]))}: {number(float(found.height[own]), 3)} at "
        f"{number(float(found.rates[own]), 3)}.{slope}"
    )


def _numbers(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, which knows no NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _hover(found: Floors, i: int) -> str:
    lines = [f"η = {number(float(found.rates[i]), 3)}"]
    if found.lost[i] > 0:
        lines.append(f"{found.lost[i]:.1%} of the runs are lost")
    else:
        words = "noise floor" if found.settled[i] else "mean height, not settled:"
        lines.append(f"{words} {number(float(found.height[i]), 3)} ± {number(float(found.error[i]), 2)}")
    if found.theory is not None and np.isfinite(found.theory[i]):
        lines.append(f"by theory {number(float(found.theory[i]), 3)}")
    return "<br>".join([*lines, "click: one such run in the descent laboratory"])
