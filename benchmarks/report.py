"""What a benchmark is, and the table that all of them make.

A benchmark is a function that measures, and the bars that what it measures must pass. Its docstring says how it
measures and goes into the document, so that a reader can judge a number beside the way it was taken. Whether a bar is
met is computed from the number that was measured, nowhere else; a number that is missing is never a bar that is met.
"""

from __future__ import annotations

import inspect
import math
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np

QUIET = 0.5  # load average up to which a machine counts as left alone


@dataclass(frozen=True)
class Bar:
    """One line of the table: a work, and what its number must at least, or at most, be."""

    work: str
    unit: str  # as it stands behind the number, "×" or "ms"
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self):
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"{self.work}: a bar has either at_least or at_most")

    def met(self, value: float) -> bool:
        """Whether `value` passes; what is not a number does not."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        limits = (("≥", self.at_least), ("≤", self.at_most))
        return next(f"{sign} {quantity(limit, self.unit)}" for sign, limit in limits if limit is not None)


class Reading(NamedTuple):
    """What was measured for one bar, and the plain numbers behind it."""

    value: float
    detail: str = ""


class Missing(NamedTuple):
    """Why nothing was measured for a bar."""

    reason: str


class NotMeasured(Exception):
    """Raised by a benchmark that cannot measure anything here; its text is the reason."""


Readings = Mapping[str, Reading | Missing]


@dataclass(frozen=True)
class Benchmark:
    """A measuring function and its bars, by the names under which the function returns its readings."""

    measure: Callable[[], Readings]
    bars: Mapping[str, Bar]

    @property
    def how(self) -> str:
        return " ".join((inspect.getdoc(self.measure) or "").split())

    def readings(self) -> Readings:
        """Measure. Raises ValueError if a bar has no reading or a reading no bar."""
        try:
            found = self.measure()
        except NotMeasured as reason:
            return {name: Missing(f"not measured: {reason}") for name in self.bars}
        if set(found) != set(self.bars):
            raise ValueError(f"the readings {sorted(found)} are not the bars {sorted(self.bars)}")
        return found


class Line(NamedTuple):
    """A bar with what was found for it."""

    bar: Bar
    found: Reading | Missing

    @property
    def verdict(self) -> str:
        if isinstance(self.found, Missing):
            return "–"
        return "met" if self.bar.met(self.found.value) else "**missed**"

    @property
    def measured(self) -> str:
        if isinstance(self.found, Missing):
            return self.found.reason
        detail = f" ({self.found.detail})" if self.found.detail else ""
        return quantity(self.found.value, self.bar.unit) + detail

    def __str__(self) -> str:
        return f"| {self.bar.work} | {self.measured} | {self.bar} | {self.verdict} |"


def quantity(value: float, unit: str = "") -> str:
    """A number with its unit, to three digits: “0.121 ×”, “2,340 ×”, “12.3 ms”."""
    if not math.isfinite(value):
        return f"{value} {unit}".strip()
    decimals = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {unit}".strip()


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    scale, unit = next((s, u) for s, u in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")) if value >= s or s == 1e-6)
    return quantity(value / scale, unit)


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over rounds of above[i] / below[i]. A machine that is busy in one round is so for both."""
    return float(np.median(np.asarray(above, dtype=float) / np.asarray(below, dtype=float)))


def document(results: Mapping[str, tuple[Benchmark, Readings]], took: float, load: float | None) -> str:
    """docs/performance.md: what was measured where, one table, and how each number was taken.

    `took` is how many seconds it took, and `load` the machine's load average when it began, where the system
    knows it.
    """
    lines = [Line(bar, found[name]) for each, found in results.values() for name, bar in each.bars.items()]
    missed = sum(line.verdict == "**missed**" for line in lines)
    absent = sum(isinstance(line.found, Missing) for line in lines)
    known = "" if load is None else f"The machine's load average when it began was {load:.1f}{_judged(load)}.\n"
    head = f"""# Performance

Made by `python -m benchmarks` on {date.today().isoformat()} in {took / 60:.1f} minutes, on {machine()}.
Of {len(lines)} bars {len(lines) - missed - absent} are met, {missed} missed and {absent} not measured.
Where two things are compared, they took turns in one run: the ratio is the median over the rounds, and the plain
numbers behind it are medians too.
{known}"""
    how = [f"**{name}.** {each.how}" for name, (each, _) in results.items()]
    return "\n\n".join([head + "\n" + table(lines), "## How it was measured", *how]) + "\n"


def _judged(load: float) -> str:
    return (
        ", so it was left alone" if load <= QUIET else ": **others were at work, so absolute times are worth little**"
    )


def table(lines: Sequence[Line]) -> str:
    """The lines as Markdown."""
    return "\n".join(["| work | measured | bar | |", "| --- | --- | --- | --- |", *map(str, lines)])


def machine() -> str:
    """What the numbers depend on, without the name of anybody's computer."""
    parts = [f"{os.cpu_count()} cores ({platform.machine()}, {sys.platform})", f"Python {platform.python_version()}"]
    for package, title in (
        ("jax", "JAX"),
        ("optax", "optax"),
        ("streamlit", "Streamlit"),
        ("plotly", "Plotly"),
        ("torch", "PyTorch"),
    ):
        try:
            parts.append(f"{title} {version(package)}")
        except PackageNotFoundError:
            parts.append(f"no {title}")
    return ", ".join(parts)
