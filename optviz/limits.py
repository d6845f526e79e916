"""Limits: how much of a server's time and memory one visitor may ask for, and how whoever runs the server sets that.

Each limit has a default that suits a classroom on two cores. An environment variable sets another one, as in
`OPTVIZ_LIMIT_STEPS=1000`; `python -m optviz.limits` prints those in force, or says what is wrong with them. Nonsense is
refused when the app is imported, which Streamlit does for its first visitor; so a deployed server prints them first.

A value that a visitor can ask for says what it demands, as numbers by the names of limits (`Experiment.demand`). The
desk of a page refuses what is beyond them. The app's own examples are made before anybody asks, and some of them may
demand more than a small server allows: `fitted` then gives as much of one as fits, with a sentence that says so.

`LIMITS` is what visitors may ask for. `CAPACITY`, never below the defaults, is what a value can be at all.
"""

from __future__ import annotations

import difflib
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

PREFIX = "OPTVIZ_LIMIT_"
V = TypeVar("V")


def _limit(default: float, unit: str, of: str, *, least: float = 1, most: float | None = None) -> Any:
    most = default if most is None else most
    return field(default=default, metadata={"unit": unit, "of": of, "least": least, "most": most})


@dataclass(frozen=True)
class Limits:
    """Every limit. Each may be lowered to its `least`; `most`, where it is above the default, is how far it may be
    raised: the others are what programs and records have room for. Raises ValueError beyond them."""

    steps: int = _limit(5000, "steps", "one run on a surface", least=10)
    racers: int = _limit(8, "optimizers", "one race on a surface")
    cells: int = _limit(160_000, "runs", "one map, for each optimizer")
    run_steps: int = _limit(1e9, "runs × steps", "one map, for each optimizer")
    noise_numbers: int = _limit(5_000_000, "runs × steps", "one cloud, each with noise of its own")
    configurations: int = _limit(6, "networks", "one training")
    epochs: int = _limit(100_000, "epochs", "one training")
    seeds: int = _limit(32, "seeds", "one training")
    training_work: int = _limit(1e12, "parameters × examples × epochs × seeds", "one training", most=1e15)
    training_steps: int = _limit(2_000_000, "steps × seeds × networks", "one training")
    parameters: int = _limit(4_000_000, "parameters × seeds", "all networks of one training")
    activations: int = _limit(20_000_000, "examples × units × seeds", "one step of a training")
    calibration_work: int = _limit(6e10, "parameters × examples × epochs × seeds", "one calibration", most=1e14)
    calibration_steps: int = _limit(1_000_000, "steps × seeds", "one calibration")
    range_work: int = _limit(2e9, "parameters × examples × steps × seeds", "one range test", most=1e12)
    stability_work: int = _limit(1e10, "parameters × examples × gradients", "one measurement of sharpness", most=1e13)
    upload_bytes: int = _limit(1_000_000, "bytes", "one table that is uploaded", least=100)
    upload_rows: int = _limit(5000, "rows", "one table that is uploaded", least=10)
    upload_columns: int = _limit(50, "columns", "one table that is uploaded", least=2)
    upload_classes: int = _limit(20, "classes", "one table that is uploaded", least=2)
    formula_characters: int = _limit(200, "characters", "one formula")
    formula_parts: int = _limit(100, "numbers, variables, signs and functions", "one formula")
    formula_depth: int = _limit(20, "parentheses inside one another", "one formula")
    request_seconds: int = _limit(60, "seconds", "work at a stretch on one map, until Go on is pressed", most=3600)
    jobs: int = _limit(100, "trainings", "all visitors at one time", most=10_000)
    unseen_seconds: int = _limit(60, "seconds", "training that nobody looks at", most=86_400)
    left_seconds: int = _limit(5, "seconds", "training whose page is closed", least=0, most=86_400)
    programs: int = _limit(128, "compiled programs", "the store of the server, 2 to 3 MB each", least=8, most=1024)

    def __post_init__(self):
        for one in fields(self):
            value, about = getattr(self, one.name), one.metadata
            if not about["least"] <= value <= about["most"] or not float(value).is_integer():
                raise ValueError(
                    f"{one.name} must be a whole number from {_written(about['least'])} to {_written(about['most'])}, "
                    f"not {_written(value)}"
                )
            object.__setattr__(self, one.name, int(value))


def _written(number: Any) -> str:
    number = float(number)
    if abs(number) >= 1e9:
        return f"{number:.2g}".replace("e+", "e")
    return f"{number:,.0f}" if number.is_integer() else f"{number:g}"


def read(environ: Mapping[str, str]) -> Limits:
    """The limits that an environment sets. Raises ValueError, naming the variable and what it may be."""
    names = [one.name for one in fields(Limits)]
    given = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in names:
            near = difflib.get_close_matches(name[:40], names, n=1) or names
            raise ValueError(
                f"there is no limit {variable[:80]}; there {'is' if len(near) == 1 else 'are'} "
                f"{', '.join(PREFIX + each.upper() for each in near)}"
            )
        try:
            given[name] = float(text)
            Limits(**{name: given[name]})
        except ValueError as error:
            why = str(error) if name in str(error) else f"{name} must be a number, not “{text[:32]}”"
            raise ValueError(f"{variable}: {why}") from None
    return Limits(**given)


LIMITS = read(os.environ)
CAPACITY = Limits(**{one.name: max(getattr(LIMITS, one.name), one.default) for one in fields(Limits)})


def allowed(value: V, limits: Limits = LIMITS) -> V:
    """The value itself. Raises ValueError, with what is allowed, if it demands more than that."""
    demand = _demand(value)
    for one in fields(limits):
        asked, most = demand.get(one.name, 0), getattr(limits, one.name)
        if asked > most:
            raise ValueError(
                f"this server allows at most {_written(most)} {one.metadata['unit']} in "
                f"{one.metadata['of']}, and this would be {_written(asked)}"
            )
    return value


# What may be made less of in an example, so that it fits; of several ways the one that helps most is taken.
_COUNTS = ("steps", "epochs", "seeds", "side", "resolution", "runs", "budget", "count", "test_steps", "test_seeds")
_MEMBERS = ("racers", "configurations", "optimizers", "sizes", "rates")


@lru_cache(maxsize=256)
def fitted(value: V, limits: Limits = LIMITS) -> tuple[V, str]:
    """As much of one of the app's own examples as the limits allow, and a sentence if that is not all of it; "" if it
    is. Raises ValueError if nothing of it fits."""
    whole = value
    while _excess(value, limits) > 0:
        smaller = min(_smaller(value), key=lambda one: _excess(one, limits), default=value)
        if not _excess(smaller, limits) < _excess(value, limits):
            allowed(value, limits)
        value = smaller
    if value == whole:
        return whole, ""
    try:
        allowed(whole, limits)
    except ValueError as error:
        said = str(error)
    return value, f"{said[0].upper()}{said[1:]}. Shown is as much of the example as fits."


def _demand(value: Any) -> Mapping[str, float]:
    return getattr(value, "demand", {})


def _excess(value: Any, limits: Limits) -> float:
    """By how many factors of e a value is beyond its limits, all together."""
    ratios = (asked / getattr(limits, name) for name, asked in _demand(value).items())
    return sum(math.log(ratio) for ratio in ratios if ratio > 1)


def _smaller(value: Any) -> Iterator[Any]:
    """The same value with one of its numbers cut to half, or with half of its members."""
    for one in fields(value):
        part = getattr(value, one.name)
        less: list[Any] = []
        if one.name in _COUNTS and part > 1:
            less = [part // 2]
        elif one.name in _MEMBERS and len(part) > 1:
            less = [part[: len(part) // 2]]
        elif is_dataclass(part):
            less = list(_smaller(part))
        for other in less:
            try:
                yield replace(value, **{one.name: other})
            except ValueError:  # too few of it to be an example at all
                continue


def table(limits: Limits = LIMITS) -> str:
    """The limits as a table in Markdown."""
    rows = [("Variable", "In force", "Default", "May be", "Counts", "Of"), ("---",) * 6]
    for one in fields(limits):
        about = one.metadata
        may_be = f"{_written(about['least'])} to {_written(about['most'])}"
        now, default = _written(getattr(limits, one.name)), _written(one.default)
        rows.append((f"`{PREFIX}{one.name.upper()}`", now, default, may_be, about["unit"], about["of"]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
