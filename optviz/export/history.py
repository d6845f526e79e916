"""A training's history as a table and as JSON: what was measured, in which units, of what.

The table has one row for every measured moment of every run and reads into any spreadsheet. JSON also says where the
numbers come from: data set with source and licence, settings, networks, optimizers and schedules, and the address that
opens the training again; and it has the loss, the learning rate and the gradient of every single step, where these are
not too many.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from optviz.datasets import DATASETS
from optviz.experiment import Pick
from optviz.export.table import Column, Made, harmless, heading, plain
from optviz.figures.training import names as usual_names
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.training import SETTINGS, Configuration, History, Own, Progress, Training

STEPS_AT_MOST = 200_000  # batch losses that are written into JSON: 4 MB
MEASURED = {  # column: field of a History
    f"{name} {what}": f"{part}_{what}"
    for part, name in (("train", "training"), ("validation", "validation"), ("test", "test"))
    for what in ("loss", "accuracy")
}
FIXED = ("configuration", "data", "seed", "step", "epoch")
LAST = ("unit of losses", "batch loss", "lr", "gradient norm")
MEANINGS = {
    "step": "batches seen",
    "epoch": "how often all training examples were seen",
    "loss": "mean over all examples of a part, without penalties, with nothing dropped; in the unit of losses",
    "accuracy": "share of the examples whose class is answered, 0 to 1; null or empty in a regression",
    "batch loss": "of the step that led here, as the step saw it, penalties included",
    "lr": "learning rate of that step, of the first seed",
    "gradient norm": "length of that step's gradient before clipping, of the first seed",
}


def history_to_csv(
    training: Training, progress: Progress, *, names: Sequence[str] = (), made: Made | None = None
) -> str:
    """The measured moments as comma-separated values (RFC 4180): a row for each configuration, seed and moment.

    An accuracy is a share from 0 to 1. What there is none of is empty: a part without examples, a regression's
    accuracy, and at the start what only a step has; `lr` and `gradient norm` are known of the first seed only. Numbers
    are written so that they read back exactly; a run that diverged has inf and nan.
    """
    text = io.StringIO()
    about = [Column(name, (), meaning=meaning) for name, meaning in MEANINGS.items()]
    text.write(heading("every measured moment", about, made) if made else "")
    writer = csv.writer(text)
    writer.writerow([*FIXED, *MEASURED, *LAST])
    called = names or usual_names(training)
    for name, one, history in zip(called, training.configurations, progress.histories, strict=True):
        for at in range(training.seeds):
            for moment, step in enumerate(history.moments.tolist()):
                row = [harmless(name), _data_title(training), training.seed + at, step, step / training.steps_an_epoch]
                row += [_number(training, field, getattr(history, field)[at, moment]) for field in MEASURED.values()]
                row.append(_unit(training, one))
                row.append(float(history.loss[at, step - 1]) if step else None)
                row += [float(each[step - 1]) if step and not at else None for each in (history.lr, history.norm)]
                writer.writerow(row)
    return text.getvalue()


def history_to_json(
    training: Training, progress: Progress, *, names: Sequence[str] = (), made: Made | None = None
) -> str:
    """The same and where it comes from, as JSON. Infinite numbers are the texts "inf" and "-inf", undefined ones null.

    Losses and accuracies are lists of runs, one for each seed, of their moments.
    """
    steps = progress.step * training.seeds * len(training.configurations)
    known = {
        "made with": "optviz",
        **({name: text for name, text in made._asdict().items() if text} if made else {}),
        "data": _data(training),
        "settings": {name: getattr(training, name) for name in SETTINGS},
        "steps an epoch": training.steps_an_epoch,
        "steps taken": progress.step,
        "meaning": MEANINGS,
        "configurations": [
            _configuration(training, name, one, history, steps <= STEPS_AT_MOST)
            for name, one, history in zip(
                names or usual_names(training), training.configurations, progress.histories, strict=True
            )
        ],
    }
    if steps > STEPS_AT_MOST:
        known["left out"] = f"the {steps} single steps of all runs: at most {STEPS_AT_MOST} are written"
    return json.dumps(plain(known), ensure_ascii=False, indent=1, allow_nan=False)


def _configuration(
    training: Training, name: str, one: Configuration, history: History, with_steps: bool
) -> dict[str, Any]:
    entry = OPTIMIZERS[one.racer.optimizer.key]
    moments = {
        column: getattr(history, field)
        for column, field in MEASURED.items()
        if not np.isnan(getattr(history, field)).all()
    }
    steps = {"batch loss": history.loss, "lr": history.lr, "gradient norm": history.norm}
    return {
        "name": name,
        "network": asdict(one.net),
        "optimizer": {"key": entry.key, "title": entry.title, "values": one.racer.values},
        "schedules": {target: _pick(pick) for target, pick in one.racer.schedules},
        "unit of losses": _unit(training, one),
        "moments": {"step": history.moments, "epoch": history.moments / training.steps_an_epoch, **moments},
        **({"steps": steps} if with_steps else {}),
        "first not finite": history.failure._asdict() if history.failure else None,
    }


def _pick(pick: Pick) -> dict[str, Any]:
    entry = SCHEDULES[pick.key]
    return {"key": entry.key, "title": entry.title, "values": entry.complete(dict(pick.values))}


def _data(training: Training) -> dict[str, Any]:
    parts = zip(("training", "validation", "test"), training.parts, strict=True)
    examples = {name: len(part.y) for name, part in parts}
    if isinstance(training.dataset, Own):
        return {"title": _data_title(training), "sha256": training.dataset.digest, "examples": examples}
    entry = DATASETS[training.dataset.key]
    return {
        "key": entry.key,
        "title": entry.title,
        "values": entry.complete(dict(training.dataset.values)),
        "source": f"{entry.source} {entry.source.url}".strip(),
        "licence": entry.licence,
        "examples": examples,
    }


def _data_title(training: Training) -> str:
    return "a table of one's own" if isinstance(training.dataset, Own) else DATASETS[training.dataset.key].title


def _unit(training: Training, one: Configuration) -> str:
    if one.net.loss == "cross_entropy":
        return "nats"
    if training.task == "classification":
        return "square of an output, which should be 0 or 1"
    return "square of the target's deviation" if training.standardize else "square of the target's unit"


def _number(training: Training, field: str, value: float) -> float | None:
    """A measured number; None where there is nothing to measure, which NaN stands for too."""
    part, _, what = field.partition("_")
    nothing = not len(getattr(training.parts, part).y) or (what == "accuracy" and training.task == "regression")
    return None if nothing else float(value)
