"""Do the rates that a range test suggests train digits as well as the best rate of a full sweep?

    python -m benchmarks.range_test

For SGD with momentum and for Adam, and for each of five seeds (each with its own split of the data, weights and
order), a range test as the page runs it: 300 steps from 10⁻⁵ to 10, smoothed with β = 0.95, the median of five runs.
Every rule's suggestion is then trained at a constant rate for 20 epochs, and so is every rate of the sweep: ten per
decade from 10⁻⁴ to 1. The sweep's best rate is the one with the highest *validation* accuracy (of equals the middle
one), as somebody would choose it; compared is the *test* accuracy, in percentage points. Every accuracy is the mean of
three networks, because one example more or less is 0.28 points of a single one's. What the luckiest rate of the sweep
reaches on the test part is stored beside it: nobody could have chosen it. The page's β was chosen by looking at the
suggestions under seeds 0 to 4, so these seeds are others.

Writes benchmarks/range_test.json and docs/range_test.md. Takes about five minutes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tune_networks import digits
from optviz.datasets import Table
from optviz.descent import begin_together, descend_together
from optviz.experiment import Pick, Racer
from optviz.range_test import SUGGESTIONS, RangeTest, measure, suggestions, with_racer
from optviz.spec import NICE, number
from optviz.training import Training, predict

DATA = Path(__file__).with_suffix(".json")
DOCUMENT = Path(__file__).parents[1] / "docs" / "range_test.md"
RACERS = {"SGD, momentum 0.9": Racer(Pick("sgd", {"momentum": 0.9})), "Adam": Racer(Pick("adam"))}
SEEDS, NETWORKS, PARTS = range(10, 15), 3, ("validation", "test")
SWEEP = [float(f"{digit}e{exponent}") for exponent in range(-4, 0) for digit in NICE] + [1.0]
BAR = 1.0  # percentage points of test accuracy


def subject(name: str, seed: int) -> Training:
    """The network that one of the optimizers trains under one seed."""
    return replace(digits(RACERS[name], seeds=NETWORKS), seed=seed)


def suggested(name: str, seed: int) -> dict[str, float | None]:
    """What each rule suggests."""
    return suggestions(measure(RangeTest(subject(name, seed))))


def trained(name: str, seed: int, lr: float) -> dict[str, float]:
    """The mean accuracy on validation and test data, in per cent, after training at a constant rate."""
    training: Any = with_racer(subject(name, seed), RACERS[name].but(lr=lr))
    thetas = _thetas(training)
    return {part: round(100 * _accuracy(training, thetas, getattr(training.parts, part)), 3) for part in PARTS}


def _thetas(training: Training) -> np.ndarray:
    """The weights at the end of the planned run, (networks, n)."""
    problem, rule = training.problem(0), training.configurations[0].racer.rule
    network, net = training.networks[0], training.configurations[0].net
    seeds = range(training.seed, training.seed + training.seeds)
    thetas = np.stack([network.start(net.init, seed, net.init_scale) for seed in seeds])
    state = begin_together(problem, rule, thetas)
    return descend_together(problem, rule, training.steps, seeds, state, horizon=training.steps).state.theta


def _accuracy(training: Training, thetas: np.ndarray, table: Table) -> float:
    """The mean over networks of the share of a table's examples that they answer rightly."""
    outputs = [predict(training, 0, theta, table.x) for theta in thetas]
    right = [np.isfinite(output).all(axis=1) & (output.argmax(axis=1) == table.y) for output in outputs]
    return float(np.mean(right))


def best(sweep: dict[str, dict[str, float]]) -> str:
    """The rate of a sweep with the highest validation accuracy, as JSON has it; of equals the middle one."""
    highest = max(found["validation"] for found in sweep.values())
    equal = [lr for lr, found in sweep.items() if found["validation"] == highest]
    return equal[len(equal) // 2]


def one(name: str, seed: int) -> dict[str, Any]:
    """Everything that is stored of one optimizer and one seed."""
    sweep = {repr(lr): trained(name, seed, lr) for lr in SWEEP}
    rules = {key: {"lr": lr, **(trained(name, seed, lr) if lr else {})} for key, lr in suggested(name, seed).items()}
    lr = best(sweep)
    return {
        "seed": seed,
        "rules": rules,
        "best": {"lr": float(lr), **sweep[lr]},
        "luckiest": max(found["test"] for found in sweep.values()),
        "sweep": sweep,
    }


def loss(row: dict[str, Any], rule: str) -> float:
    """By how many percentage points of test accuracy a rule's rate stays behind the sweep's best."""
    return row["best"]["test"] - row["rules"][rule].get("test", 0.0)


def document(found: dict[str, list[dict[str, Any]]]) -> str:
    """docs/range_test.md, from what was stored."""
    titles = [entry.title.lower() for entry in SUGGESTIONS.values()]
    lines = [
        "# Does a range test find a good rate?",
        "",
        "Made by `python -m benchmarks.range_test`, which says how: digits, 64 and 32 hidden units, batches of 32, 20",
        "epochs at a constant rate. Test accuracy in per cent, the mean of three networks, and in brackets the rate.",
        "The sweep's best is the rate with the highest validation accuracy among 41; its luckiest test accuracy is",
        "that of a rate that nobody could have chosen. A rule meets the bar where its rate stays at most one",
        "percentage point of test accuracy behind the sweep's best, under each of the five seeds.",
    ]
    for name, rows in found.items():
        lines += ["", f"## {name}", "", f"| seed | {' | '.join(titles)} | sweep's best | luckiest |"]
        lines += ["| --- " * (len(titles) + 3) + "|"]
        for row in rows:
            rules = [_cell(row["rules"][key]) for key in SUGGESTIONS]
            lines.append(f"| {row['seed']} | {' | '.join(rules)} | {_cell(row['best'])} | {row['luckiest']:.2f} |")
        behind = {key: [loss(row, key) for row in rows] for key in SUGGESTIONS}
        cells = [f"{max(values):+.2f}, {'met' if max(values) <= BAR else '**missed**'}" for values in behind.values()]
        lines.append(f"| furthest behind | {' | '.join(cells)} | | |")
    return "\n".join(lines) + "\n"


def _cell(found: dict[str, Any]) -> str:
    return f"{found['test']:.2f} ({number(found['lr'], 2)})" if found.get("lr") else "no suggestion"


def main() -> None:
    """Measure everything, and store it."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in RACERS}
    for name in RACERS:
        for seed in SEEDS:
            found[name].append(one(name, seed))
            row = found[name][-1]
            print(name, seed, {key: round(loss(row, key), 2) for key in SUGGESTIONS}, row["best"], flush=True)
    stored = {"command": "python -m benchmarks.range_test", "bar": BAR, "found": found}
    DATA.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text(document(found), encoding="utf-8")


if __name__ == "__main__":
    main()
