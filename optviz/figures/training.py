"""Training, as the stage draws it: losses and what the networks do, from moment to moment.

A record has a line for each configuration's validation and training part, the median over seeds with the quartiles as
a band, and beside the curves one of several views: what a network answers over the plane of its inputs, or along its
one input; what it mistakes; what goes on in its layers; its first weights as pictures; the network itself, with the
units that this step drops.

Parts of pictures that do not change carry a name (`id`), so that they can be sent once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from optviz.datasets import Table
from optviz.experiment import labels
from optviz.figures import theme
from optviz.networks import ACTIVATIONS, INITS
from optviz.once import once
from optviz.spec import number
from optviz.training import BINS, CURVES, History, Progress, Training, predict, signal

GRID = 56  # cells of a side of the picture of what a network answers
PARTS_AT_MOST = 40  # moments at which it is kept
CONFIDENCES = 12  # shades of a class
TILES_AT_MOST = 64
MISTAKES_AT_MOST = 24
DRAWN_UNITS_AT_MOST = 60  # of a network that is drawn as a graph
BACKGROUND = {"light": "#FFFFFF", "dark": "#1A1A19"}  # of Streamlit's pages
BAND = ("low", "high")


def training_record(
    training: Training,
    progress: Progress,
    *,
    run: str,
    chosen: int = 0,
    live: int | None = None,
    memo: dict | None = None,
) -> dict[str, Any]:
    """Everything the stage needs to show a training. `run` names this run of it, so that pictures can be sent once;
    `memo` is a dict that lives as long as the run, in which they are kept; `chosen` is the configuration that a view
    of one network shows."""
    histories = progress.histories
    moments = histories[0].moments
    views = {"result": _result, "layers": _layers, "weights": _weights, "network": _network, "start": _start}
    racers, panels = views[training.view](
        training, progress, run, min(chosen, len(histories) - 1), {} if memo is None else memo
    )
    return {
        "steps": len(moments) - 1,
        "time": {
            "values": theme.floats(moments),
            "end": max(training.steps, int(moments[-1])),
            "epoch": training.steps_an_epoch,
        },
        "live": live,
        "panels": panels,
        "racers": racers,
        "scales": {mode: theme.scale(mode) for mode in theme.SCALES},
        "revision": f"{training.dataset} {training.view}",
        "autoplay": False,
        "loop": False,
        "compact": False,
        "drag": None,
        "anatomy": None,
    }


# Lines ---------------------------------------------------------------------------------------------------------------


def names(training: Training) -> list[str]:
    """What each configuration is called: its optimizer, and what else tells it from the others."""
    titles = labels([one.racer for one in training.configurations], unique=False)
    nets = [one.net for one in training.configurations]
    found = []
    for title, net in zip(titles, nets, strict=True):
        differing = [
            f"{name.replace('_', ' ')} {_written(getattr(net, name))}"
            for name in net.__dataclass_fields__
            if len({getattr(other, name) for other in nets}) > 1
        ]
        found.append(f"{title}, {', '.join(differing)}" if differing else title)
    return [f"{name} #{i + 1}" if found.count(name) > 1 else name for i, name in enumerate(found)]


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return "–".join(map(_written, value)) or "none"
    return number(value) if isinstance(value, float) else str(value).replace("_", " ")


def _styles(training: Training) -> list[theme.Style]:
    keys = [one.racer.optimizer.key for one in training.configurations]
    return [theme.style(key, keys[:i].count(key)) for i, key in enumerate(keys)]


def _lines(training: Training, progress: Progress) -> list[dict[str, Any]]:
    """A line for each configuration's validation part, and a dotted one for its training part."""
    racers = []
    for index, (name, style) in enumerate(zip(names(training), _styles(training), strict=True)):
        history = progress.histories[index]
        parts = [part for part in ("validation", "train") if np.isfinite(getattr(history, f"{part}_loss")[:, 0]).any()]
        for part in parts:
            series: dict[str, np.ndarray] = {}
            for what in ("loss", "accuracy"):
                series |= _spread(what, getattr(history, f"{part}_{what}"))
            if part == parts[0]:
                series |= _more(history) | _spread("test", history.test_accuracy)
            racers.append(
                {
                    "id": f"{index}-{part}",
                    "label": f"{name} · {'training' if part == 'train' else part}",
                    "color": style.color,
                    "dash": [2, 4] if part == "train" else list(style.dash),
                    "marker": theme.MARKERS[index] if part != "train" else "circle",
                    "ghost": False,
                    "series": {key: theme.floats(values) for key, values in series.items()},
                    "stop": None,
                    "state": _state(training, progress, index) if part == parts[0] else "",
                }
            )
    return racers


def _spread(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """The median over seeds (k, p), and the quartiles if there are several."""
    if not np.isfinite(values).any():
        return {}
    if len(values) == 1:
        return {name: values[0]}
    with np.errstate(all="ignore"):
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    return {name: middle, f"{name}.low": low, f"{name}.high": high}


def _more(history: History) -> dict[str, np.ndarray]:
    """What is known of each configuration once: rates and lengths are those of the step that led to a moment."""
    before = history.moments - 1
    started = history.moments > 0
    out = {"noise": history.noise_scale}
    for name, values in (("lr", history.lr), ("norm", history.norm)):
        out[name] = (
            np.where(started, values[np.maximum(before, 0)], np.nan) if len(values) else np.full(len(before), np.nan)
        )
        if len(out[name]) > 1:
            out[name][0] = out[name][1]
    with np.errstate(all="ignore"):
        out["gap"] = np.median(history.validation_loss - history.train_loss, axis=0)
    return out


def _state(training: Training, progress: Progress, index: int) -> str:
    history = progress.histories[index]
    if history.failure is not None:
        return f"diverged at step {history.failure.step}, layer {history.failure.layer}"
    accuracy = np.median(history.validation_accuracy[:, -1])
    loss = np.median(history.validation_loss[:, -1])
    return f"accuracy {accuracy:.1%}" if np.isfinite(accuracy) else f"loss {number(float(loss))}"


def earliest_stop(history: History) -> tuple[int, float, float] | None:
    """Where early stopping would have ended the run: the step at which the median validation loss was lowest, that
    loss, and by how much the last one is above it. None without a validation part."""
    with np.errstate(all="ignore"):
        loss = np.median(history.validation_loss, axis=0)
    if not np.isfinite(loss).any():
        return None
    best = int(np.nanargmin(np.where(np.isfinite(loss), loss, np.nan)))
    return int(history.moments[best]), float(loss[best]), float(loss[-1] - loss[best])


def same_accuracy(histories: Sequence[History]) -> tuple[float, list[int]]:
    """The highest test accuracy that all configurations come to, in the median over seeds, and the measured moment at
    which each first does."""
    medians = [np.median(history.test_accuracy, axis=0) for history in histories]
    level = min(float(median.max()) for median in medians)
    firsts = [int(np.argmax(median >= level)) for median in medians]
    return level, [int(history.moments[first]) for history, first in zip(histories, firsts, strict=True)]


def _curves(training: Training, progress: Progress) -> list[dict[str, Any]]:
    classes = training.task == "classification"
    shown = {"accuracy": classes, "test": classes and len(training.parts.test.y) > 0}
    wanted = [name for name in training.curves if shown.get(name, True)]
    specs = []
    for name in wanted:
        title, alt, log = CURVES[name]
        spec = {"name": name, "kind": "curve", "y": name, "log": log, "title": title, "alt": alt, "band": BAND}
        if name == "loss":
            stops = [earliest_stop(history) for history in progress.histories]
            spec["marks"] = [
                {"x": step, "y": loss, "kind": "minimum", "label": "lowest"} for step, loss, _ in filter(None, stops)
            ]
            spec["note"] = "★ lowest validation loss: stop here" if spec["marks"] else ""
        if name == "test" and len(progress.histories) > 1:
            level, steps = same_accuracy(progress.histories)
            spec["marks"] = [{"x": step, "y": level, "kind": "minimum", "label": "the same accuracy"} for step in steps]
            spec["note"] = f"★ each comes to {level:.1%}"
        specs.append({**spec, "figure": {"layout": {}}})
    return specs


# What the networks answer --------------------------------------------------------------------------------------------


def _result(
    training: Training, progress: Progress, run: str, chosen: int, memo: dict
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    inputs = training.parts.train.x.shape[1]
    panels = []
    if inputs == 2:
        panels = [_plane(training, progress, run, chosen, memo)]
    elif inputs == 1:
        panels = [_fit(training, progress, run, memo)]
    elif training.task == "classification":
        panels = [_confusion(training, progress, chosen)]
        if training.image:
            panels.append(_mistakes(training, progress, run, chosen))
    return _lines(training, progress), [*panels, *_curves(training, progress)]


def _kept(history: History) -> list[tuple[int, int, np.ndarray]]:
    """The moments whose pictures are shown: (frame, step, θ), the first and the last among them."""
    places = np.flatnonzero(np.isin(history.snapshot_steps, history.moments))
    every = -(-len(places) // PARTS_AT_MOST)
    # counted by powers of two, so that the pictures of a growing run stay those that were sent
    stride = 1 << max(0, (every - 1)).bit_length()
    chosen = [*places[:-1:stride], *places[-1:]]
    frames = np.searchsorted(history.moments, history.snapshot_steps[chosen])
    return [
        (int(frame), int(history.snapshot_steps[i]), history.snapshots[i])
        for frame, i in zip(frames, chosen, strict=True)
    ]


def _extent(tables: Iterable[Table], column: int) -> tuple[float, float]:
    values = np.concatenate([table.x[:, column] for table in tables if len(table.y)])
    low, high = float(values.min()), float(values.max())
    return low - 0.1 * (high - low or 1), high + 0.1 * (high - low or 1)


def _plane(training: Training, progress: Progress, run: str, chosen: int, memo: dict) -> dict[str, Any]:
    """What one network answers over the plane of its two inputs, under the examples."""
    parts, network = training.parts, chosen
    (left, right), (bottom, top) = (_extent(parts, column) for column in (0, 1))
    across, up = np.meshgrid(np.linspace(left, right, GRID), np.linspace(top, bottom, GRID))
    grid = np.stack([across.ravel(), up.ravel()], axis=1)
    classes = len(parts.train.classes)
    low, high = (float(parts.train.y.min()), float(parts.train.y.max())) if not classes else (0.0, 1.0)

    def picture(theta: np.ndarray) -> np.ndarray:
        answer = predict(training, network, theta, grid)
        if classes:
            return _shades(answer, classes)
        return np.nan_to_num(255 * (answer[:, 0] - low) / (high - low or 1), nan=0, posinf=255, neginf=0).clip(0, 255)

    ground = {
        "kind": "picture",
        "rows": GRID,
        "columns": GRID,
        "extent": [left, right, bottom, top],
        "smooth": not classes,
        "palette": _class_palette(classes) if classes else _blend_palette(),
        "parts": _parts_of(progress.histories[network], f"{run} plane {network}", picture, memo),
    }
    title = names(training)[network] if len(training.configurations) > 1 else "the network"
    return {
        "name": "plane",
        "kind": "picture",
        "title": f"What {title} answers",
        "note": "● training  ○ validation",
        "alt": "The answer over the plane of both inputs as coloured regions, the paler the less sure, with the "
        "examples as points.",
        "ground": ground,
        "figure": {
            "id": f"{run} points",
            "data": _points(training),
            "layout": {
                "xaxis": {"range": [left, right], "title": {"text": _axis(training, 0)}},
                "yaxis": {"range": [bottom, top], "title": {"text": _axis(training, 1)}, "scaleanchor": "x"},
            },
        },
    }


def _axis(training: Training, column: int) -> str:
    name = theme.literal(training.parts.train.features[column])
    return name + (", standardized" if training.standardize else "")


def _parts_of(history: History, name: str, picture: Any, memo: dict) -> list[dict[str, Any]]:
    parts = []
    for frame, step, theta in _kept(history):
        key = f"{name} {step}"
        if key not in memo:
            memo[key] = theme.bytes_of(picture(theta))
        parts.append({"id": key, "at": frame, "data": memo[key]})
    return parts


def _shades(answer: np.ndarray, classes: int) -> np.ndarray:
    """Class and confidence as one number: outputs (m, k) to (m,)."""
    with np.errstate(all="ignore"):
        known = np.all(np.isfinite(answer), axis=1)
        answer = np.where(known[:, None], answer, 0.0)
        powers = np.exp(answer - answer.max(axis=1, keepdims=True))
        surest = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)
    level = np.floor((surest - 1 / classes) / (1 - 1 / classes) * (CONFIDENCES - 1e-9)).clip(0, CONFIDENCES - 1)
    return np.where(known, answer.argmax(axis=1) * CONFIDENCES + level, classes * CONFIDENCES)


def class_color(index: int) -> str:
    """The colour of a class."""
    hues = list(theme.HUES.values())
    return hues[index % len(hues)]


def _class_palette(classes: int) -> dict[str, list[str]]:
    shades = np.linspace(0.06, 0.62, CONFIDENCES)
    return {
        mode: [theme.mix(back, class_color(one), part) for one in range(classes) for part in shades] + ["#888888"]
        for mode, back in BACKGROUND.items()
    }


def _blend_palette() -> dict[str, list[str]]:
    """Blue below, orange above, the page's background between."""
    ends = [theme.HUES["blue"], theme.HUES["orange"]]
    parts = np.linspace(-1, 1, 256)
    return {
        mode: [theme.mix(back, ends[int(part > 0)], 0.9 * abs(float(part))) for part in parts]
        for mode, back in BACKGROUND.items()
    }


def _points(training: Training) -> list[dict[str, Any]]:
    traces = []
    for part, table in zip(("training", "validation"), training.parts, strict=False):
        if not len(table.y):
            continue
        if table.classes:
            colors: Any = [class_color(int(one)) for one in table.y]
        else:
            low, high = float(training.parts.train.y.min()), float(training.parts.train.y.max())
            palette = _blend_palette()["light"]
            shares = ((table.y - low) / (high - low or 1) * 255).clip(0, 255).astype(int)
            colors = [palette[share] for share in shares]
        marker = {"size": 7, "color": colors, "line": {"width": 1.5, "color": "#FFFFFF"}}
        if part == "validation":
            marker = {"size": 8, "color": colors, "symbol": "circle-open", "line": {"width": 2}}
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": part,
                "x": theme.array(table.x[:, 0]),
                "y": theme.array(table.x[:, 1] if table.x.shape[1] > 1 else table.y),
                "marker": marker,
                "hovertemplate": "%{x:.3g}, %{y:.3g}<extra>" + part + "</extra>",
            }
        )
    return traces


def _fit(training: Training, progress: Progress, run: str, memo: dict) -> dict[str, Any]:
    """What all networks answer along their one input."""
    left, right = _extent(training.parts, 0)
    line = np.linspace(left, right, 200)
    ys = np.concatenate([table.y for table in training.parts if len(table.y)]).astype(float)
    pad = 0.15 * (float(ys.max() - ys.min()) or 1)
    owners = [racer["id"] for racer in _lines(training, progress) if not racer["id"].endswith("train")]
    kept = [_kept(history) for history in progress.histories]
    parts = []
    for moment in zip(*kept, strict=False):
        frame, step, _ = moment[0]
        key = f"{run} fit {step}"
        if key not in memo:
            memo[key] = [
                {"racer": owner, "y": theme.floats(predict(training, i, theta, line[:, None])[:, 0])}
                for i, (owner, (_, _, theta)) in enumerate(zip(owners, moment, strict=False))
            ]
        parts.append({"id": key, "at": frame, "data": memo[key]})
    points = _points(training)
    for trace, table in zip(points, training.parts, strict=False):
        trace["marker"]["color"] = theme.HUES["gray"]
        trace["y"] = theme.array(table.y.astype(float))
    return {
        "name": "fit",
        "kind": "picture",
        "title": "What the networks answer",
        "note": "● training  ○ validation",
        "alt": "The answer of every configuration along the input as a line, with the examples as points.",
        "ground": {"kind": "lines", "x": theme.floats(line), "parts": parts},
        "figure": {
            "id": f"{run} points",
            "data": points,
            "layout": {
                "xaxis": {"range": [left, right], "title": {"text": _axis(training, 0)}},
                "yaxis": {"range": [float(ys.min()) - pad, float(ys.max()) + pad], "title": {"text": "target"}},
            },
        },
    }


def _judged_part(training: Training) -> tuple[str, Table]:
    """The part on which mistakes are counted: validation, or training if there is none."""
    if len(training.parts.validation.y):
        return "validation", training.parts.validation
    return "training", training.parts.train


def _confusion(training: Training, progress: Progress, chosen: int) -> dict[str, Any]:
    """How often each class is taken for each, at the newest moment."""
    part, table = _judged_part(training)
    answer = predict(training, chosen, progress.histories[chosen].snapshots[-1], table.x).argmax(axis=1)
    counts = np.zeros((len(table.classes), len(table.classes)), int)
    np.add.at(counts, (table.y, answer), 1)
    wrong = int(counts.sum() - np.trace(counts))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return {
        "name": "confusion",
        "kind": "picture",
        "title": f"Who is taken for whom: {part}",
        "note": f"{wrong} of {len(table.y)} wrong, newest moment",
        "alt": f"Confusion matrix of the {part} part: rows are the true classes, columns the answers; {wrong} of "
        f"{len(table.y)} are wrong.",
        "figure": {
            "data": [
                {
                    "type": "heatmap",
                    "x": [theme.literal(name) for name in table.classes],
                    "y": [theme.literal(name) for name in table.classes],
                    "z": shares.tolist(),
                    "text": [[str(count) if count else "" for count in row] for row in counts],
                    "texttemplate": "%{text}",
                    "coloraxis": "coloraxis",
                    "hovertemplate": "true %{y}, answered %{x}: %{text}<extra></extra>",
                    "xgap": 1,
                    "ygap": 1,
                }
            ],
            "layout": {
                "coloraxis": {"cmin": 0, "cmax": 1, "showscale": False},
                "xaxis": {"title": {"text": "answer"}, "type": "category"},
                "yaxis": {"title": {"text": "true class"}, "type": "category", "autorange": "reversed"},
            },
        },
    }


def _mistakes(training: Training, progress: Progress, run: str, chosen: int) -> dict[str, Any]:
    """Some of the pictures that are taken for something else."""
    part, table = _judged_part(training)
    answer = predict(training, chosen, progress.histories[chosen].snapshots[-1], table.x).argmax(axis=1)
    wrong = np.flatnonzero(answer != table.y)[:MISTAKES_AT_MOST]
    assert training.image is not None
    _, seen = _judged_part(replace(training, standardize=False))  # as a person would see them
    pictures = seen.x[wrong].reshape(-1, *training.image)
    step = progress.step
    tags = [f"{table.classes[table.y[i]]} → {table.classes[answer[i]]}" for i in wrong]
    return _mosaic(
        f"{run} mistakes {chosen} {step}",
        pictures,
        tags,
        title=f"Mistakes: {part}",
        note="true class → answer" if tags else "none",
        alt=f"{len(tags)} pictures that the network mistakes, each with its true class and the answer.",
        centred=False,
    )


def _mosaic(
    key: str, pictures: np.ndarray, tags: list[str], *, title: str, note: str, alt: str, centred: bool
) -> dict[str, Any]:
    """Small pictures side by side, each scaled by itself: from −max to max if it is `centred`, else min to max."""
    count = max(len(pictures), 1)
    columns = int(np.ceil(np.sqrt(count * 1.3)))
    rows = -(-count // columns)
    spec = {"name": key.split(" ")[1], "kind": "picture", "title": title, "note": note, "alt": alt}
    height, width = pictures.shape[1:] if len(pictures) else (8, 8)
    room = 3 if tags else 1
    text = [
        {
            "x": (i % columns) * (width + 1) + width / 2,
            "y": (i // columns) * (height + room) + height + room / 2,
            "text": tag,
            "showarrow": False,
        }
        for i, tag in enumerate(tags)
    ]
    hidden = {"visible": False, "showgrid": False}
    whole = [rows * (height + room), columns * (width + 1)]
    return {
        **spec,
        "ground": {
            "kind": "picture",
            "rows": whole[0],
            "columns": whole[1],
            "extent": [0, whole[1], whole[0], 0],
            "smooth": False,
            "palette": _blend_palette() if centred else _grey_palette(),
            "parts": [{"id": key, "at": 0, "data": theme.bytes_of(_tiled(pictures, rows, columns, room, centred))}],
        },
        "figure": {
            "data": [],
            "layout": {
                "xaxis": {**hidden, "range": [0, whole[1]]},
                "yaxis": {**hidden, "range": [whole[0], 0], "scaleanchor": "x"},
                "annotations": text,
            },
        },
    }


def _tiled(pictures: np.ndarray, rows: int, columns: int, room: int, centred: bool) -> np.ndarray:
    height, width = pictures.shape[1:] if len(pictures) else (8, 8)
    whole = np.full((rows * (height + room), columns * (width + 1)), 127.0 if centred else 0.0)
    for i, picture in enumerate(pictures):
        low, high = (-np.abs(picture).max(), np.abs(picture).max()) if centred else (picture.min(), picture.max())
        y, x = (i // columns) * (height + room), (i % columns) * (width + 1)
        whole[y : y + height, x : x + width] = 255 * (picture - low) / (high - low or 1)
    return np.nan_to_num(whole, nan=127).clip(0, 255)


def _grey_palette() -> dict[str, list[str]]:
    ink = {"light": "#31333F", "dark": "#FAFAFA"}
    return {
        mode: [theme.mix(back, ink[mode], part) for part in np.linspace(0, 1, 256)] for mode, back in BACKGROUND.items()
    }


# Inside a network ----------------------------------------------------------------------------------------------------


def _layers(
    training: Training, progress: Progress, run: str, chosen: int, memo: dict
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Histograms of every layer over time, and what tells whether layers learn."""
    history = progress.histories[chosen]
    layers, count = history.layers, history.layers.dead.shape[1]
    own = training.quantity
    edges = BINS[{"activations": "activation", "gradients": "gradient", "weights": "weight"}[own]]
    counts = getattr(layers, own)
    end = float(max(history.moments[-1], 1))
    panels = []
    for layer in range(count):
        image = counts[:, layer].T[::-1].astype(float)  # the highest bin at the top
        share = image / np.maximum(image.sum(axis=0, keepdims=True), 1)
        key = f"{run} {own} {chosen} {layer} {len(history.moments)} {int(history.moments[-1])}"
        panels.append(
            {
                "name": f"layer {layer}",
                "kind": "picture",
                "title": f"{'Output layer' if layer == count - 1 else f'Layer {layer + 1}'}: {own}",
                "note": "",
                "alt": f"Histogram of the {own} of layer {layer + 1} over training; darker is more frequent.",
                "ground": {
                    "kind": "picture",
                    "time": True,
                    "rows": image.shape[0],
                    "columns": image.shape[1],
                    "extent": [0, end, float(edges[0]), float(edges[-1])],
                    "smooth": False,
                    "palette": _grey_palette(),
                    "parts": [
                        {"id": key, "at": 0, "data": theme.bytes_of(255 * np.sqrt(share / max(share.max(), 1e-9)))}
                    ],
                },
                "figure": {
                    "data": [],
                    "layout": {
                        "xaxis": {"range": [0, float(max(training.steps, end))], "title": {"text": "step"}},
                        "yaxis": {
                            "range": [float(edges[0]), float(edges[-1])],
                            "title": {"text": "log₁₀ |gradient|" if own == "gradients" else own[:-1]},
                        },
                    },
                },
            }
        )
    racers = [_layer_line(history, layer, count) for layer in range(count)]
    alts = {
        "update": ("Update / weight", "Length of each layer's last step over the length of its weights.", True),
        "deviation": ("Deviation of activations", "Standard deviation of what leaves each layer.", True),
        "slope": ("Deviation of gradients", "Standard deviation of each layer's weight gradients.", True),
        "dead": ("Dead units", "Units whose slope is zero at every probed example.", False),
        "saturated": ("Saturated share", "Share of values where the slope is below a twentieth of its largest.", False),
    }
    curves = [
        {"name": name, "kind": "curve", "y": name, "log": log, "title": title, "alt": alt, "figure": {"layout": {}}}
        for name, (title, alt, log) in alts.items()
    ]
    return racers, [*panels, *curves]


def _layer_line(history: History, layer: int, count: int) -> dict[str, Any]:
    layers = history.layers
    series = {
        "update": layers.update[:, layer],
        "deviation": layers.activation_deviation[:, layer],
        "slope": layers.gradient_deviation[:, layer],
        "dead": layers.dead[:, layer].astype(float),
        "saturated": layers.saturated[:, layer],
    }
    return {
        "id": f"layer {layer}",
        "label": "Output layer" if layer == count - 1 else f"Layer {layer + 1}",
        "color": class_color(layer),
        "dash": [],
        "marker": theme.MARKERS[layer % len(theme.MARKERS)],
        "ghost": False,
        "series": {name: theme.floats(values) for name, values in series.items()},
        "stop": None,
        "state": f"{int(layers.dead[-1, layer])} dead" if layer < count - 1 else "",
    }


def _weights(
    training: Training, progress: Progress, run: str, chosen: int, memo: dict
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first layer's weights as pictures of the inputs, one for each unit; where inputs are no picture, as rows."""
    history, network = progress.histories[chosen], training.networks[chosen]
    image = training.image or (1, network.widths[0])
    units = min(network.widths[1], TILES_AT_MOST)

    def picture(theta: np.ndarray) -> np.ndarray:
        weight = network.unravel(theta)[0].weight[:, :units].T.reshape(units, *image)
        return _tiled(weight, -(-units // columns), columns, 1, True)

    pictures = np.zeros((units, *image))
    columns = int(np.ceil(np.sqrt(units * 1.3)))
    panel = _mosaic(
        f"{run} weights",
        pictures,
        [],
        title="First-layer weights",
        note="orange positive, blue negative; each unit on its own scale",
        alt=f"The incoming weights of {units} units of the first layer, each as a picture of its inputs.",
        centred=True,
    )
    panel["ground"]["parts"] = _parts_of(history, f"{run} weights {chosen}", picture, memo)
    return _lines(training, progress), [panel, *_curves(training, progress)]


def _network(
    training: Training, progress: Progress, run: str, chosen: int, memo: dict
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The network as a graph, with the units that the next step drops for the first example of its batch."""
    network, net = training.networks[chosen], training.configurations[chosen].net
    widths = network.widths
    panel: dict[str, Any] = {
        "name": "network",
        "kind": "picture",
        "title": "The network at the next step",
        "note": "",
        "alt": "The network as a graph; units that dropout removes at this step are crossed out.",
    }
    if sum(widths) > DRAWN_UNITS_AT_MOST:
        words = f"{sum(widths)} units are too many to draw: at most {DRAWN_UNITS_AT_MOST}"
        hidden = {"visible": False, "range": [0, 1]}
        note = [{"x": 0.5, "y": 0.5, "text": words, "showarrow": False}]
        panel["figure"] = {"data": [], "layout": {"xaxis": hidden, "yaxis": hidden, "annotations": note}}
        return _lines(training, progress), [panel, *_curves(training, progress)]
    theta = progress.histories[chosen].snapshots[-1]
    draw = training.problem(chosen).draw(training.seed, progress.step, 1)
    kept = iter(np.split(np.asarray(draw["kept"])[0, 0], np.cumsum(widths[1:-1])[:-1]) if widths[1:-1] else [])
    places = [np.stack([np.full(w, i), (np.arange(w) + 0.5) / w], axis=1) for i, w in enumerate(widths)]
    alive = [np.ones(w, bool) if i in (0, len(widths) - 1) else next(kept) for i, w in enumerate(widths)]
    traces = []
    for i, layer in enumerate(network.unravel(theta)):
        strongest = float(np.abs(layer.weight).max()) or 1.0
        for sign, color in ((1, theme.HUES["orange"]), (-1, theme.HUES["blue"])):
            for low, high, width in ((0.15, 0.5, 1), (0.5, 0.8, 2), (0.8, 1.01, 3.5)):
                share = sign * layer.weight / strongest
                pairs = np.argwhere((share > low) & (share <= high) & alive[i][:, None] & alive[i + 1][None])
                if len(pairs):
                    ends = [places[i][pairs[:, 0]], places[i + 1][pairs[:, 1]], np.full((len(pairs), 2), np.nan)]
                    x, y = np.stack(ends, axis=1).reshape(-1, 2).T
                    line = {"width": width, "color": color}
                    traces.append(
                        {
                            "type": "scatter",
                            "mode": "lines",
                            "x": theme.array(x),
                            "y": theme.array(y),
                            "line": line,
                            "opacity": 0.55,
                            "hoverinfo": "skip",
                        }
                    )
    for symbol, wanted in (("circle", True), ("x-thin", False)):
        spots = np.concatenate([place[on == wanted] for place, on in zip(places, alive, strict=True)])
        if len(spots):
            gray = theme.HUES["gray"]
            marker = {"size": 15, "symbol": symbol, "color": gray, "line": {"width": 2, "color": gray}}
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": theme.array(spots[:, 0]),
                    "y": theme.array(spots[:, 1]),
                    "marker": marker,
                    "hoverinfo": "skip",
                }
            )
    dropped = sum(int((~on).sum()) for on in alive)
    rate = ", ".join(number(rate) for rate in dict.fromkeys(net.rates)) or "0"
    panel["note"] = f"× {dropped} of {sum(widths[1:-1])} hidden units dropped, rate {rate}"
    titles = ["inputs", *(f"layer {i}" for i in range(1, len(widths) - 1)), "outputs"]
    hidden = {"visible": False, "range": [0, 1]}
    panel["figure"] = {
        "data": traces,
        "layout": {
            "xaxis": {
                "range": [-0.4, len(widths) - 0.6],
                "tickvals": list(range(len(widths))),
                "ticktext": titles,
                "showgrid": False,
            },
            "yaxis": hidden,
        },
    }
    return _lines(training, progress), [panel, *_curves(training, progress)]


# Before any training -------------------------------------------------------------------------------------------------

DEPTH, WIDTH = 10, 128


def _start(
    training: Training, progress: Progress, run: str, chosen: int, memo: dict
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Ten layers with fresh weights: what every initialization does to a signal on its way there and back, and the
    histograms of the chosen network's own."""
    net = training.configurations[chosen].net
    activation, seed = net.activation, training.seed
    title = ACTIVATIONS[activation].title
    scales = {key: INITS[key].params[0].default if INITS[key].params else None for key in INITS} | {
        net.init: net.init_scale if INITS[net.init].params else None
    }
    signals = {key: _signal(activation, key, scale, seed) for key, scale in scales.items()}
    there = _by_layer(
        "there",
        f"On the way there: what enters {title}",
        "lines: theory; points: measured",
        {key: (one.pre_deviation, one.pre_variance) for key, one in signals.items()},
        net.init,
    )
    back = _by_layer(
        "back",
        "On the way back: gradients",
        "of ∂/∂z, with deviation 1 above",
        {key: (one.gradient_deviation, one.gradient_variance) for key, one in signals.items()},
        net.init,
    )
    own = signals[net.init]
    name = INITS[net.init].title
    return [], [
        there,
        back,
        _by_layer_histogram(
            "activations", f"Activations: {title}, {name}", own.activations, BINS["activation"], "activation"
        ),
        _by_layer_histogram(
            "gradients", f"Gradients: {title}, {name}", own.gradients, BINS["gradient"], "log₁₀ |gradient|"
        ),
    ]


@once(128)
def _signal(activation: str, init: str, scale: Any, seed: int) -> Any:
    return signal(activation=activation, init=init, init_scale=scale, depth=DEPTH, width=WIDTH, seed=seed)


LEAST = 1e-12  # what is drawn of a deviation that has died out


def _by_layer(
    name: str, title: str, note: str, found: dict[str, tuple[np.ndarray, np.ndarray]], own: str
) -> dict[str, Any]:
    """Measured deviations as points and the theory's as lines, one colour for each initialization."""
    traces = []
    for i, (key, (deviation, variance)) in enumerate(found.items()):
        color, layers = class_color(i), np.arange(1, len(deviation) + 1)
        measured, theory = (np.where(v > LEAST, v, np.nan) for v in (deviation, np.sqrt(variance)))
        line = {"color": color, "width": 3.5 if key == own else 1.5, "dash": "solid" if i < 7 else "dash"}
        marker = {"color": color, "size": 10 if key == own else 6, "symbol": "circle" if i < 7 else "diamond"}
        common = {"type": "scatter", "x": theme.array(layers), "legendgroup": key}
        traces.append({**common, "y": theme.array(theory), "mode": "lines", "line": line, "showlegend": False})
        traces.append(
            {
                **common,
                "y": theme.array(measured),
                "mode": "markers",
                "marker": marker,
                "name": INITS[key].title,
                "hovertemplate": f"{INITS[key].title}, layer %{{x}}: %{{y:.3g}}<extra></extra>",
            }
        )
    dead = [INITS[key].title for key, (deviation, _) in found.items() if not (deviation > LEAST).any()]
    return {
        "name": name,
        "kind": "picture",
        "title": title,
        "note": note + (f"; nothing passes with {', '.join(dead)}" if dead else ""),
        "alt": f"{title}, for every initialization.",
        "figure": {
            "data": traces,
            "layout": {
                "showlegend": name == "there",
                "legend": {"x": 1.02, "y": 1, "bgcolor": "rgba(0,0,0,0)", "tracegroupgap": 0},
                "xaxis": {"title": {"text": "layer"}, "dtick": 1, "range": [0.5, DEPTH + 0.5]},
                "yaxis": {"type": "log", "title": {"text": "deviation"}, "exponentformat": "power"},
            },
        },
    }


def _by_layer_histogram(name: str, title: str, counts: np.ndarray, edges: np.ndarray, axis: str) -> dict[str, Any]:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return {
        "name": name,
        "kind": "picture",
        "title": title,
        "note": "darker is more frequent",
        "alt": f"{title}: a histogram for each of {len(counts)} layers.",
        "figure": {
            "data": [
                {
                    "type": "heatmap",
                    "x": list(range(1, len(counts) + 1)),
                    "y": theme.array((edges[1:] + edges[:-1]) / 2),
                    "z": theme.array(np.sqrt(share.T)),
                    "coloraxis": "coloraxis",
                    "xgap": 2,
                    "hoverinfo": "skip",
                }
            ],
            "layout": {
                "coloraxis": {"showscale": False},
                "xaxis": {"title": {"text": "layer"}, "dtick": 1},
                "yaxis": {"title": {"text": axis}},
            },
        },
    }
