"""Digits, learnt by every optimizer under every schedule: benchmarks/matrix.json, and as a table docs/networks.md.

    python -m benchmarks.matrix

Each pair trains the network of benchmarks/tune_networks.py, from three seeds, with the optimizer's stored rate and the
schedule's defaults; what counts is the median of the three test accuracies. A pair below ENOUGH gets a search of its
own: other rates and three times the epochs, until the validation accuracy is at least SURE, and the best by validation
is kept. If that is not enough either, the pair is listed as unable, with what was measured. What is stored already is
kept, so an interrupted run goes on; a pair whose optimizer has another rate by now is trained anew. Half an hour.

Newton's method cannot train that network: its matrix would be parameters × parameters, and it is offered up to 500. It
gets 6 hidden units, one seed and 4 epochs, and instead of rates, dampings are searched: pixels that are empty in every
picture have curvature 0, and without damping the matrix cannot be inverted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tune_networks import EPOCHS, accuracies, digits, with_schedule
from optviz.experiment import Pick, Racer
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.training import Training
from optviz.tuning import tuned_lr_network

ENOUGH, SURE = 0.95, 0.96  # test accuracy that is asked for; validation accuracy at which a search ends
STORED = Path(__file__).with_name("matrix.json")
DOCUMENT = Path(__file__).parents[1] / "docs" / "networks.md"
LARGER, LONGER = (2.0, 4.0, 0.5), (1, 3)  # what a pair's own search multiplies the rate and the epochs with
NEWTON, NEWTON_HIDDEN, NEWTON_EPOCHS = "newton", (6,), 4  # 460 parameters; a step takes a hundred times as long
SLOW = ("lbfgs", NEWTON)  # these come last, and are not tried with more epochs
DAMPINGS = (1.0, 10.0, 100.0)  # of Newton's search

Matrix = dict[str, dict[str, dict[str, Any]]]  # optimizer -> schedule -> what was found


def training(optimizer: str, schedule: str, values: Mapping[str, float], epochs: int) -> Training:
    """The training of a pair with some hyperparameters of the optimizer."""
    racer = with_schedule(Racer(Pick(optimizer, dict(values))), schedule)
    if optimizer == NEWTON:
        return digits(racer, hidden=NEWTON_HIDDEN, epochs=epochs, seeds=1)
    return digits(racer, epochs=epochs)


def measured(optimizer: str, schedule: str, found: Mapping[str, Any]) -> list[float]:
    """The test accuracies of a pair, trained with what is stored of it."""
    accuracy = accuracies(training(optimizer, schedule, found["values"], found["epochs"]), "test")
    return [round(float(one), 4) for one in accuracy]


def pair(optimizer: str, schedule: str) -> dict[str, Any]:
    """Train a pair with its stored defaults, and if that is not enough, search."""
    found: dict[str, Any] = {"values": {"lr": tuned_lr_network(optimizer)}}
    found["epochs"] = NEWTON_EPOCHS if optimizer == NEWTON else EPOCHS
    found["test"] = measured(optimizer, schedule, found)
    if reached(found) >= ENOUGH:
        return found
    best, first = -1.0, found
    for values, epochs in _search(optimizer):
        validation = float(np.median(accuracies(training(optimizer, schedule, values, epochs), "validation")))
        if validation > best:
            best, found = validation, {"values": values, "epochs": epochs, "defaults": first["test"]}
        if best >= SURE:
            break
    found["test"] = measured(optimizer, schedule, found)
    return found if reached(found) >= reached(first) else {**first, "defaults": first["test"]}


def _search(optimizer: str) -> Iterator[tuple[dict[str, float], int]]:
    lr = tuned_lr_network(optimizer)
    if optimizer == NEWTON:
        yield from (({"lr": lr, "damping": damping}, NEWTON_EPOCHS) for damping in DAMPINGS)
        return
    for longer in LONGER if optimizer not in SLOW else (1,):
        for factor in LARGER if longer == 1 else (1.0, *LARGER):  # as it is, it has been tried
            yield {"lr": lr * factor}, EPOCHS * longer


def reached(found: Mapping[str, Any]) -> float:
    """The accuracy that counts."""
    return float(np.median(found["test"]))


def stored() -> Matrix:
    """What has been found so far."""
    return json.loads(STORED.read_text(encoding="utf-8"))["pairs"] if STORED.exists() else {}


def unable(matrix: Matrix) -> list[tuple[str, str]]:
    """The pairs that did not reach ENOUGH, whatever was tried."""
    return [(o, s) for o, row in matrix.items() for s, found in row.items() if reached(found) < ENOUGH]


def document(matrix: Matrix) -> str:
    """docs/networks.md: the table, and what could not be reached."""
    missed = unable(matrix)
    pairs = sum(len(row) for row in matrix.values())
    head = ["| | " + " | ".join(SCHEDULES) + " |", "| --- |" + " --- |" * len(SCHEDULES)]
    rows = [f"| {o} | " + " | ".join(_cell(matrix[o][s]) for s in SCHEDULES) + " |" for o in matrix]
    listed = [f"| {o} | {s} | {reached(matrix[o][s]):.2%} | {_settings(matrix[o][s])} |" for o, s in missed]
    return "\n".join(
        [
            "# Every optimizer under every schedule learns digits",
            "",
            "Made by `python -m benchmarks.matrix`, which says how. Test accuracy in per cent, the median of three",
            "seeds, with the stored rate (`optviz/tuned_networks.json`) and the schedule's defaults. A star marks what",
            "needed a rate or epochs of its own (`benchmarks/matrix.json`), and a dagger what did not get there.",
            f"Of {pairs} pairs {pairs - len(missed)} reach {ENOUGH:.0%}.",
            "",
            *head,
            *rows,
            "",
            "## Pairs that are unable",
            "",
            "Newton's method is offered for networks of up to 500 parameters, as its matrix has their square; here",
            "that is 6 hidden units. Pixels that are empty in every picture make this matrix singular, so that without",
            "damping the first step is not a number; and 32 examples give a poor matrix for 460 parameters.",
            "L-BFGS takes its curvature from differences of gradients, and here these come from different batches.",
            "Lion's steps have the same length however small the gradient, so at a constant rate it never rests.",
            "Prodigy divides by a sum of rates times gradients, which is 0 where a warm-up starts from 0.",
            "",
            "| optimizer | schedule | best | with |",
            "| --- | --- | --- | --- |",
            *listed,
            "",
        ]
    )


def _cell(found: Mapping[str, Any]) -> str:
    mark = "†" if reached(found) < ENOUGH else "*" if "defaults" in found else ""
    return f"{100 * reached(found):.1f}{mark}"


def _settings(found: Mapping[str, Any]) -> str:
    values = ", ".join(f"{name} = {value:g}" for name, value in found["values"].items())
    return f"{values}, {found['epochs']} epochs"


def main() -> None:
    """Train what is not stored yet, and write the file after each pair."""
    if hasattr(os, "nice"):
        os.nice(10)  # it takes long, and others may be at work
    before = stored()
    matrix = {o: {s: before[o][s] for s in SCHEDULES if s in before.get(o, {})} for o in OPTIMIZERS}
    for optimizer, row in sorted(matrix.items(), key=lambda pair: pair[0] in SLOW):
        for schedule in SCHEDULES:
            rate = tuned_lr_network(optimizer)
            if schedule in row and row[schedule]["rate"] == rate:
                continue
            row[schedule] = {"rate": rate, **pair(optimizer, schedule)}
            print(optimizer, schedule, f"{reached(row[schedule]):.1%}", _settings(row[schedule]), flush=True)
            text = json.dumps({"command": "python -m benchmarks.matrix", "pairs": matrix}, indent=1)
            STORED.write_text(text + "\n", encoding="utf-8")
    DOCUMENT.write_text(document(matrix), encoding="utf-8")
    print(f"{len(unable(matrix))} pairs are unable")


if __name__ == "__main__":
    main()
