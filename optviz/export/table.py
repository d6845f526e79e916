"""Tables: measured numbers with their names, units and meanings, and where they come from.

Whatever a page measures leaves the app in the same two ways. As comma-separated values (RFC 4180) it reads into any
spreadsheet; lines that begin with "# " stand before it and say what made it and what each column means. As JSON it
holds the same, the settings, and several tables at once. Numbers are written so that they read back exactly. What is
infinite or undefined is inf, -inf and nan in the one, and "inf", "-inf" and null in the other; what there is none of is
empty, and null.

Times of day, versions and links are passed in: `Made` is what whoever calls knows of the moment and the place.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from optviz.experiment import Experiment, Run
from optviz.surfaces import own_parts
from optviz.training import Own

MEANINGS = {  # of the columns of a race: unit, meaning
    "racer": ("", "who runs"),
    "surface": ("", "what is descended"),
    "step": ("steps", "taken before this row"),
    "x": ("coordinate", "where the racer stands"),
    "y": ("coordinate", "where the racer stands"),
    "loss": ("height of the surface", "there, without noise and penalty"),
    "gradient x": ("height per coordinate", "as the rule felt it, noise and penalty included"),
    "gradient y": ("height per coordinate", "as the rule felt it, noise and penalty included"),
    "step x": ("coordinate", "added to x, to come to the next row"),
    "step y": ("coordinate", "added to y, to come to the next row"),
    "lr": ("", "learning rate of that step"),
}


class Column(NamedTuple):
    """A name, a value for each row (numbers, texts, None where there is none), and what they are. A number without a
    unit is a pure one."""

    name: str
    values: Sequence[Any] | np.ndarray
    unit: str = ""
    meaning: str = ""


class Table(NamedTuple):
    """Columns of one length."""

    title: str
    columns: tuple[Column, ...]


class Made(NamedTuple):
    """Where numbers come from: the page, the address that opens it again, the day, and what computed them."""

    page: str
    link: str = ""
    date: str = ""
    libraries: str = ""


def table_to_csv(table: Table, made: Made | None = None) -> str:
    """The table as comma-separated values, below the lines that tell of `made` and of the columns, if it is given."""
    text = io.StringIO()
    text.write(heading(table.title, table.columns, made) if made else "")
    writer = csv.writer(text)  # its lines end with CRLF, as the standard has it
    writer.writerow([harmless(column.name) for column in table.columns])
    writer.writerows(zip(*(_cells(column.values) for column in table.columns), strict=True))
    return text.getvalue()


def heading(title: str, columns: Sequence[Column], made: Made) -> str:
    """The lines before a table; a column about which there is nothing to say is left out."""
    lines = [f"{made.page}: {title}", f"made with optviz{f' on {made.date}' if made.date else ''}"]
    lines += [f"computed by {made.libraries}"] if made.libraries else []
    lines += [f"opens again at {made.link}"] if made.link else []
    for name, _, unit, meaning in columns:
        lines += [f"{name}{f' [{unit}]' if unit else ''}{': ' if meaning else ''}{meaning}"] if unit or meaning else []
    return "".join(f"# {' '.join(line.split())}\r\n" for line in lines)


def tables_to_json(tables: Sequence[Table], made: Made, settings: Any = None) -> str:
    """Tables and where they come from. `settings` is what was measured, as the value of its page."""
    known = {
        "made with": "optviz",
        **{name: text for name, text in made._asdict().items() if text},
        "settings": plain(settings),
        "tables": [
            {"title": table.title, "columns": [plain(column._asdict()) for column in table.columns]} for table in tables
        ],
    }
    return json.dumps(known, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """The value in what JSON knows. A table of a visitor's own is known by its checksum alone."""
    if isinstance(value, Own):
        return {"sha256": value.digest}
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _cells(values: Sequence[Any] | np.ndarray) -> list[Any]:
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    return [harmless(value) if isinstance(value, str) else value for value in listed]


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


# A race --------------------------------------------------------------------------------------------------------------


def to_csv(experiment: Experiment, runs: Sequence[Run], made: Made | None = None) -> str:
    """The runs as comma-separated values: `race_table`, as text."""
    return table_to_csv(race_table(experiment, runs), made)


def race_table(experiment: Experiment, runs: Sequence[Run]) -> Table:
    """One row for every racer and step.

    A row says where a racer stands at a step and, behind that, what made the move *from* there: gradient, step, lr, and
    every slot of shape (2,) as the move left it, in columns "slot m x" and "slot m y". The last row of a racer has no
    move, and racers without a slot leave its columns empty. A run that diverged has inf, -inf and nan.
    """
    slots = list(dict.fromkeys(name for run in runs for name in _flat_slots(run)))
    key = experiment.surface.key
    surface = own_parts(key)[0] if key.startswith("=") else experiment.entry.title
    rows = [[run.label, surface, *row] for run in runs for row in _rows(run, slots)]
    kept = {f"slot {name} {axis}": ("", "what the rule remembers, after the step") for name in slots for axis in "xy"}
    about = {**MEANINGS, **kept}
    columns = zip(*rows, strict=True) if rows else [()] * len(about)
    return Table(
        "every step of every racer",
        tuple(Column(name, list(values), *about[name]) for name, values in zip(about, columns, strict=True)),
    )


def _rows(run: Run, slots: Sequence[str]) -> Iterator[list[Any]]:
    path, kept = run.trajectory, _flat_slots(run)
    nothing = np.full((path.steps, 2), None)
    moves = np.hstack(
        [path.grad, path.step, path.lr[:, None], *(kept.get(name, nothing) for name in slots)], dtype=object
    ).tolist()
    moves.append([None] * len(moves[0]))
    for step, (theta, loss, move) in enumerate(zip(path.theta.tolist(), path.loss.tolist(), moves, strict=True)):
        yield [step, *theta, loss, *move]


def _flat_slots(run: Run) -> dict[str, np.ndarray]:
    """The slots that are vectors like θ: (T, 2)."""
    shape = run.trajectory.step.shape
    return {name: slot for name, slot in run.trajectory.slots.items() if getattr(slot, "shape", None) == shape}
