"""Links to the phase map: a PhaseMap as the fields of a query string, and back.

    ?surface=valley~kappa~100&racer=momentum&steps=100&x=lr~0.001~0.1&y=momentum~0~0.99&at=0.03~0.67

The experiment is written as `link` writes it; an axis is its name and its two ends. Whatever equals the default is left
out, and what cannot be read falls back with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from optviz import link
from optviz.phase_map import LOOKS, Axis, PhaseMap, fitted
from optviz.query import MESSAGES_AT_MOST, VERSION, Query, changed, forgiving, read_values, single
from optviz.spec import Param

AXES = ("x", "y")
MIDDLE = "middle"
PLAIN = Param("number", "", 0.0)  # any number


def to_query(value: PhaseMap, default: PhaseMap) -> dict[str, list[str]]:
    """The fields of a link to `value`, without those that `default` has already; {} for the default itself."""
    query = link.to_query(value.on, default.on)
    for name, param in LOOKS.items():
        if getattr(value, name) != getattr(default, name):
            query[name] = [param.write(getattr(value, name))]
    for name in AXES:
        axis = getattr(value, name)
        if axis != getattr(default, name):
            query[name] = ["~".join([axis.name, PLAIN.write(axis.low), PLAIN.write(axis.high)])]
    if value.at != default.at:
        query["at"] = ["~".join(map(PLAIN.write, value.at)) if value.at else MIDDLE]
    return {"v": [VERSION], **query} if query else {}


def from_query(query: Query, default: PhaseMap) -> tuple[PhaseMap, list[str]]:
    """The map that a link's fields describe, and a sentence for everything that could not be read."""
    own = {*LOOKS, *AXES, "at"}
    on, messages = link.from_query({name: texts for name, texts in query.items() if name not in own}, default.on)
    one = single({name: texts for name, texts in query.items() if name in own}, own, messages)
    changes: dict[str, Any] = {} if on == default.on else {"on": on}
    changes |= read_values(LOOKS, {name: text for name, text in one.items() if name in LOOKS}, messages)
    read: dict[str, Callable[[str], Any]] = {"x": _read_axis, "y": _read_axis, "at": _read_cell}
    for name in read.keys() & one.keys():
        with forgiving(messages):
            changes[name] = read[name](one[name])
    steps = [partial(_put, name, value) for name, value in changes.items()]  # the experiment comes first
    return changed(default, changes, messages, steps), messages[:MESSAGES_AT_MOST]


def _put(name: str, value: Any, before: PhaseMap) -> PhaseMap:
    return fitted(before, value) if name == "on" else replace(before, **{name: value})


def _read_axis(text: str) -> Axis:
    name, *ends = text.split("~")
    if len(ends) != 2:
        raise ValueError(f"an axis is a name and two ends such as lr~0.001~1, not “{text[:32]}”")
    low, high = (float(PLAIN.parse(end)) for end in ends)
    return Axis(name, low, high)


def _read_cell(text: str) -> tuple[float, float] | None:
    if text == MIDDLE:
        return None
    x, y = _two(text)
    return float(PLAIN.parse(x)), float(PLAIN.parse(y))


def _two(text: str) -> list[str]:
    parts = text.split("~")
    if len(parts) != 2:
        raise ValueError(f"a cell is two values such as 0.01~0.5, not “{text[:32]}”")
    return parts
