"""Schedules beside each other, as the stage draws them: a strip for each hyperparameter that moves, above the runs.

A strip shows the whole course of a hyperparameter, over all steps of the planned run, and the stage's cursor on it. So
one sees at any moment what the rate was when the path turned or the loss fell. All who run have one optimizer here, so
the colour tells the schedule: each has the hue of its place, the same in strips, paths, losses and tables.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from optviz.experiment import Run
from optviz.figures import theme
from optviz.scheduled import LR, Runs, course, course_steps, racers_of, titles
from optviz.schedules import POINTS, SCHEDULES
from optviz.training import Progress, Training

DRAWN = "piecewise_linear"  # the schedule whose points can be dragged


def look(index: int) -> theme.Style:
    """How the run at a place is drawn: a hue of its own for each of seven, then the same hues dashed."""
    turn, place = divmod(index, len(theme.HUES))
    hue = list(theme.HUES)[place]
    return theme.Style(hue, theme.HUES[hue], theme.DASHES[turn % len(theme.DASHES)])


def moving(runs: Runs) -> list[str]:
    """The hyperparameters that get a strip: the learning rate, and whatever else follows a schedule."""
    return list(dict.fromkeys([LR, *(name for racer in racers_of(runs) for name, _ in racer.schedules)]))


def with_strips(
    record: dict[str, Any], runs: Runs, courses: Sequence[dict[str, np.ndarray]], chosen: int
) -> dict[str, Any]:
    """A record of a race or of a training, in this page's colours and names and with a strip for all that moves.

    `courses` has for each run the hyperparameters by name, at the first of `course_steps(runs.steps)`: those that come
    from a run that goes on end where it stands. The points of the chosen run's own schedule get handles.
    """
    names, racers = titles(runs), []
    places = _places(record, len(names))
    for racer, (index, part) in zip(record["racers"], places, strict=True):
        if index is None:  # a ghost or a layer keeps its own look
            racers.append(racer)
            continue
        style = look(index)
        series = {f"course.{name}": theme.floats(values) for name, values in courses[index].items()} if not part else {}
        racers.append(
            {
                **racer,
                "label": names[index] + (f" · {part}" if part else ""),
                "color": style.color,
                "dash": racer["dash"] if part else list(style.dash),
                "marker": racer["marker"] if part else theme.MARKERS[index],
                "series": racer["series"] | series,
                **({"run": " ".join([racer["run"], *series])} if "run" in racer else {}),  # it has more series now
            }
        )
    if not any(index is not None for index, _ in places):  # the view's lines are layers: strips need their own
        racers += [_alone(i, name, own) for i, (name, own) in enumerate(zip(names, courses, strict=True))]
    strips = [_strip(name, runs, chosen) for name in moving(runs)]
    panels = [
        {**panel, "title": f"What “{names[chosen]}” answers"} if panel["name"] == "plane" else panel
        for panel in record["panels"]
    ]
    return {**record, "racers": racers, "panels": [*strips, *panels]}


def _places(record: dict[str, Any], count: int) -> list[tuple[int | None, str]]:
    """For each line of a record the run that it belongs to, and "training" if it is that of the training part."""
    if "time" not in record:
        return [(i if i < count else None, "") for i in range(len(record["racers"]))]
    ids = [re.fullmatch(r"(\d+)-(validation|train)", racer["id"]) for racer in record["racers"]]
    found, before = [], set()
    for match in ids:
        index = int(match[1]) if match else None
        found.append((index, "training" if index in before else ""))
        before.add(index)
    return found


def _alone(index: int, name: str, own: dict[str, np.ndarray]) -> dict[str, Any]:
    """A line that is in the strips only."""
    style = look(index)
    return {
        "id": f"course-{index}",
        "label": name,
        "color": style.color,
        "dash": list(style.dash),
        "marker": theme.MARKERS[index],
        "ghost": False,
        "series": {f"course.{hyper}": theme.floats(values) for hyper, values in own.items()},
        "stop": None,
        "state": "",
    }


def _strip(name: str, runs: Runs, chosen: int) -> dict[str, Any]:
    racer = racers_of(runs)[chosen]
    param = next(one.entry.param[name] for one in racers_of(runs) if name in one.entry.param)
    watching = isinstance(runs, Training) and any(
        SCHEDULES[pick.key].slots for one in racers_of(runs) for target, pick in one.schedules if target == name
    )
    return {
        "name": f"strip-{name}",
        "kind": "curve",
        "place": "top",
        "y": f"course.{name}",
        "at": theme.floats(course_steps(runs.steps)),
        "log": False,
        "title": param.label,
        "note": "schedules that watch the loss are drawn as far as the run has come" if watching else "",
        "alt": f"{param.label} at every step of the run, for each of {len(racers_of(runs))} schedules.",
        "handles": _handles(name, runs.steps, racer, chosen) if name in racer.entry.param else None,
        "figure": {"layout": {}},
    }


def _handles(name: str, steps: int, racer: Any, chosen: int) -> dict[str, Any] | None:
    """The points of a schedule of the visitor's own, which can be dragged: shares of the peak at shares of the run."""
    pick = dict(racer.schedules).get(name)
    if pick is None or pick.key != DRAWN:
        return None
    values = SCHEDULES[DRAWN].complete(dict(pick.values))
    inner = [(str(i), f"Point {i}", float(values[f"x{i}"]), float(values[f"y{i}"])) for i in range(1, len(POINTS) + 1)]
    last = str(len(POINTS) + 1)
    points = [("0", "Start", 0.0, float(values["y0"])), *inner, (last, "End", 1.0, float(values[f"y{last}"]))]
    return {
        "target": name,
        "from": min(float(values["warmup"]), steps - 1),
        "to": steps,
        "peak": float(racer.values[name]),
        "color": look(chosen).color,
        "points": [
            {"name": own, "label": label, "x": x, "y": y, "free": own not in ("0", last)} for own, label, x, y in points
        ],
    }


def race_courses(runs: Sequence[Run], steps: int, names: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """What every run did, as it was recorded."""
    at = course_steps(steps)
    found = []
    for one in runs:
        path = one.trajectory
        own = {LR: path.lr, **path.scheduled}
        found.append(
            {
                name: own[name][at] if name in own else np.full(len(at), float(one.racer.values[name]))
                for name in names
                if name in one.racer.values
            }
        )
    return found


def training_courses(runs: Runs, progress: Progress | None, names: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """What every schedule will do; of those that watch the loss, what they did to the learning rate so far."""
    at = course_steps(runs.steps)
    found = []
    for index, racer in enumerate(racers_of(runs)):
        own = {}
        for name in names:
            if name not in racer.values:
                continue
            values = course(racer, name, runs.steps)
            if values is None and name == LR and progress is not None:
                done = progress.histories[index].lr
                values = done[at[at < len(done)]]
            if values is not None:
                own[name] = values
        found.append(own)
    return found
