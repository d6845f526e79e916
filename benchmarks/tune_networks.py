"""Find the learning rates in optviz/tuned_networks.json: for every optimizer, on a small network that learns digits.

    python -m benchmarks.tune_networks
    python -m benchmarks.tune_networks adam lion

One network for all: 64 and 32 hidden units, ReLU, He's initialization, batches of 32, 20 epochs. Two of the slider's
rates per decade are tried, then one more on each side of the best. A rate is judged by the *validation* accuracy at the
end, at a constant rate and under the exponential schedule, which of all schedules leaves the least of it, from three
seeds each: the highest mean wins, and of equals the middle one. The test part is not looked at. With names, only those
optimizers are tried, and the others' rates stay as they are. Takes about ten minutes.

Newton's method is not offered for this network (its matrix would be parameters × parameters); its rate is 1 by theory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from optviz.descent import begin_together, descend_together
from optviz.experiment import Pick, Racer
from optviz.optimizers import OPTIMIZERS
from optviz.training import Configuration, Net, Training, predict
from optviz.tuning import NETWORKS

HIDDEN, BATCH, EPOCHS, SEEDS = (64, 32), 32, 20, 3
SCHEDULES_TRIED = ("constant", "exponential")
EVERY, BESIDE = 5, 2  # of the slider's ten rates per decade: how far apart, and then how far from the best


def digits(racer: Racer, *, hidden: Sequence[int] = HIDDEN, epochs: int = EPOCHS, seeds: int = SEEDS) -> Training:
    """A network that learns digits by one optimizer with its schedules."""
    net = Net(hidden=tuple(hidden), activation="relu", init="he_normal")
    return Training(Pick("digits"), (Configuration(net, racer),), batch_size=BATCH, epochs=epochs, seeds=seeds)


def accuracies(training: Training, part: str) -> np.ndarray:
    """The accuracy (seeds,) on a part of the data at the end of the planned run; 0 if the answers are not numbers."""
    problem, rule = training.problem(0), training.configurations[0].racer.rule
    network, net = training.networks[0], training.configurations[0].net
    seeds = range(training.seed, training.seed + training.seeds)
    thetas = np.stack([network.start(net.init, seed, net.init_scale) for seed in seeds])
    state = begin_together(problem, rule, thetas)
    done = descend_together(problem, rule, training.steps, seeds, state, horizon=training.steps)
    table = getattr(training.parts, part)
    return np.array([_right(predict(training, 0, theta, table.x), table.y) for theta in done.state.theta])


def _right(output: np.ndarray, answers: np.ndarray) -> float:
    return float((np.isfinite(output).all(axis=1) & (output.argmax(axis=1) == answers)).mean())


def with_schedule(racer: Racer, schedule: str) -> Racer:
    """The racer with its learning rate under a schedule, with the schedule's defaults."""
    return replace(racer, schedules={"lr": Pick(schedule)} if schedule != "constant" else {})


def find(optimizer: str) -> tuple[float, float]:
    """The best learning rate of the slider and its validation accuracy, averaged over schedules and seeds."""
    stops = [float(stop) for stop in OPTIMIZERS[optimizer].param["lr"].stops()]
    found = {place: judge(optimizer, stops[place]) for place in range(0, len(stops), EVERY)}
    near = _middle_of_best(found)
    for place in (near - BESIDE, near + BESIDE):
        if 0 <= place < len(stops):
            found[place] = judge(optimizer, stops[place])
    best = _middle_of_best(found)
    return stops[best], found[best]


def _middle_of_best(found: Mapping[int, float]) -> int:
    best = sorted(place for place, accuracy in found.items() if accuracy == max(found.values()))
    return best[len(best) // 2]


def judge(optimizer: str, lr: float) -> float:
    """The validation accuracy of a rate, averaged over schedules and seeds."""
    racer = Racer(Pick(optimizer, {"lr": lr}))
    trainings = [digits(with_schedule(racer, one)) for one in SCHEDULES_TRIED]
    return round(float(np.mean([accuracies(training, "validation") for training in trainings])), 4)


def main(names: Sequence[str]) -> None:
    """Find the rates of some optimizers, or of all, and store each as soon as it is known."""
    stored = json.loads(NETWORKS.read_text(encoding="utf-8"))["rates"] if NETWORKS.exists() else {}
    for name in names or [key for key in OPTIMIZERS if key != "newton"]:
        lr, accuracy = find(name)
        stored[name] = {"lr": lr, "validation": accuracy}
        print(name, stored[name], flush=True)
        ordered = {key: stored[key] for key in OPTIMIZERS if key in stored}
        made = {"command": "python -m benchmarks.tune_networks", "rates": ordered}
        NETWORKS.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
