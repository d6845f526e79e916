"""Runs as a table: one row for every racer and step, with all digits."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from optviz.experiment import Experiment, Run
from optviz.surfaces import own_parts

FIXED = ("racer", "surface", "step", "x", "y", "loss", "gradient x", "gradient y", "step x", "step y", "lr")


def to_csv(experiment: Experiment, runs: Sequence[Run]) -> str:
    """The runs as comma-separated values (RFC 4180).

    A row says where a racer stands at a step and, behind that, what made the move *from* there: gradient, step, lr, and
    every slot of shape (2,) as the move left it, in columns "slot m x" and "slot m y". The last row of a racer has no
    move, and racers without a slot leave its columns empty. Numbers are written so that they read back exactly; a run
    that diverged has inf, -inf and nan.
    """
    slots = list(dict.fromkeys(name for run in runs for name in _flat_slots(run)))
    key = experiment.surface.key
    surface = own_parts(key)[0] if key.startswith("=") else experiment.entry.title
    text = io.StringIO()
    writer = csv.writer(text)  # its lines end with CRLF, as the standard has it
    writer.writerow([*FIXED, *(f"slot {name} {axis}" for name in slots for axis in "xy")])
    for run in runs:
        who = [harmless(run.label), harmless(surface)]
        writer.writerows([*who, *row] for row in _rows(run, slots))
    return text.getvalue()


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


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
