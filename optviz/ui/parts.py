"""Controls that many pages share: of a surface, of where its runs start, and of any number that a value has by name.

The descent page has an experiment on its desk; a map has one among its fields. What is written here changes an
experiment, and `within` makes of it what changes the value around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from optviz.experiment import COORDINATE, Experiment
from optviz.spec import Param
from optviz.surfaces import SURFACES
from optviz.ui.panel import Box, Change, Choice, Field, Part, Words


def field_of(value: Any, param: Param, *, live: bool = False) -> Field:
    """The control of the field that a frozen `value` has under the parameter's name."""

    def change(old: Any, new: Any) -> Any:
        return replace(old, **{param.name: new})

    return Field(param.name, param, getattr(value, param.name), change, live=live)


def surface_choice(on: Experiment, change: Change, help: str, *, solved: bool = False) -> Choice:
    """A menu of all surfaces, or of those that are `solved`, whose minimum is known, and the one that is on."""
    titles: dict[str | int, str] = {**_titles(solved)}
    titles.setdefault(on.surface.key, on.entry.title)
    return Choice("surface", "Surface", titles, on.surface.key, change, help)


@lru_cache(maxsize=2)
def _titles(solved: bool) -> dict[str, str]:
    return {key: entry.title for key, entry in SURFACES.items() if not solved or entry.minima_at({})}


def surface_numbers(on: Experiment, *, live: bool = False) -> list[Field]:
    """The parameters of the surface, such as the condition number of the valley."""

    def change(name: str) -> Callable[[Experiment, Any], Experiment]:
        return lambda old, value: replace(old, surface=old.surface.but(**{name: value}))

    return [
        Field(f"{on.surface.key}-{param.name}", param, on.surface_values[param.name], change(param.name), live=live)
        for param in on.entry.params
    ]


def start_field(on: Experiment, axis: int, param: Param = COORDINATE) -> Field:
    """One coordinate of the start, which the arrow keys move by a fortieth of the window."""

    def moved(old: Experiment, value: float) -> Experiment:
        start = list(old.start)
        start[axis] = value
        return replace(old, start=tuple(start))

    low, high = on.entry.window[2 * axis : 2 * axis + 2]
    name = "xy"[axis]
    return Field(f"start-{name}", param, on.start[axis], moved, f"Start {name}", (high - low) / 40)


def start_box(on: Experiment, param: Param = COORDINATE) -> Box:
    """Where all runs start."""
    return Box([start_field(on, axis, param) for axis in (0, 1)])


def within(parts: Sequence[Part], name: str = "on") -> list[Part]:
    """Controls of an experiment as controls of a value that has it in its field `name`."""

    def around(change: Change) -> Change:
        return lambda old, value: replace(old, **{name: change(getattr(old, name), value)})

    return [
        part
        if isinstance(part, Words)
        else replace(part, parts=within(part.parts, name))
        if isinstance(part, Box)
        else replace(part, change=around(part.change))
        for part in parts
    ]
