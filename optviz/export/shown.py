"""What the stage shows, on its way out of the app: its record, what it is called, and how it was made, in sentences.

A page that plays offline and an animation are both made from a `Shown`, so that neither knows of races or networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from optviz.cloud import Cloud, Swarm
from optviz.datasets import DATASETS
from optviz.experiment import Experiment, Run
from optviz.figures import theme
from optviz.figures.cloud import cloud_record
from optviz.figures.race import race
from optviz.figures.schedules import moving, race_courses, training_courses, with_strips
from optviz.figures.training import names as usual_names
from optviz.figures.training import training_record
from optviz.scheduled import titles
from optviz.spec import number
from optviz.surfaces import own_parts
from optviz.training import Own, Progress, Training

MADE = "Made with optviz, a browser laboratory for optimization"
PLAYED = ("result", "weights")  # the views of a training that are another picture at every moment


class Shown(NamedTuple):
    """A record of the stage's (`figures/stage/main.js` describes it), its title, and how it was made, in sentences."""

    title: str
    record: dict[str, Any]
    facts: tuple[str, ...] = ()


def race_shown(experiment: Experiment, runs: Sequence[Run]) -> Shown:
    """A race as the page shows it."""
    title = f"{_racers(experiment)} on {experiment.entry.title}"
    return Shown(title, race(experiment, runs, autoplay=True), _race_facts(experiment))


def race_film(experiment: Experiment, runs: Sequence[Run]) -> Shown:
    """A race from above, without curves; the legend has the loss itself."""
    still = race(replace(experiment, view="2-D"), runs, compact=True)
    racers = [
        {**racer, "series": racer["series"] | {"loss": theme.floats(run.trajectory.loss)}}
        for racer, run in zip(still["racers"], runs, strict=True)
    ]
    return Shown(experiment.entry.title, {**still, "racers": racers}, _race_facts(experiment))


def scheduled_race_shown(experiment: Experiment, runs: Sequence[Run], *, film: bool = False) -> Shown:
    """The race of the schedules page, with the course of what moves above it, in that page's colours and names. As a
    `film` it is seen from above."""
    if film:
        experiment = replace(experiment, view="2-D")
    live = [one for one in runs if not one.ghost]
    record = race(experiment, runs, autoplay=True)
    if live:
        courses = race_courses(live, experiment.steps, moving(experiment))
        record = with_strips(record, experiment, courses, 0)
    return Shown(f"Schedules on {experiment.entry.title}", record, _race_facts(experiment))


def training_shown(
    training: Training, progress: Progress, *, chosen: int = 0, scheduled: bool = False, film: bool = False
) -> Shown:
    """A training as far as it has come, as the page shows it; `scheduled` is for the schedules page. A `film` shows a
    view that moves: what the networks answer, or their weights."""
    if film:
        view = training.view if training.view in PLAYED else "result"
        training = replace(training, view=view, curves=tuple(training.curves) or ("loss",))
    record = training_record(training, progress, run="exported", chosen=chosen)
    if scheduled:
        courses = training_courses(training, progress, moving(training))
        record = with_strips(record, training, courses, min(chosen, len(training.configurations) - 1))
    who = titles(training) if scheduled else usual_names(training)
    title = f"{who[0] if len(who) == 1 else f'{len(who)} networks'} on {_data(training)}"
    return Shown(title, {**record, "autoplay": True}, _training_facts(training, progress, who))


def cloud_shown(cloud: Cloud, swarm: Swarm) -> Shown:
    """A cloud of noisy runs."""
    title = f"{cloud.runs:,} runs of {cloud.racer.entry.title} on {cloud.experiment.entry.title}"
    settings = [
        f"{param.symbol or param.name} {number(float(cloud.racer.values[param.name]))}"
        for param in cloud.racer.entry.params
        if param.kind == "real"
    ]
    facts = (f"{cloud.racer.entry.title}: {', '.join(settings)}.", *_race_facts(cloud.experiment))
    return Shown(title, cloud_record(cloud, swarm), facts)


def _racers(experiment: Experiment) -> str:
    names = list(dict.fromkeys(racer.entry.title for racer in experiment.racers))
    if len(names) > 4:
        return f"{len(experiment.racers)} optimizers"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "Nobody"


def _race_facts(experiment: Experiment) -> tuple[str, ...]:
    key, values = experiment.surface.key, experiment.surface_values
    what = f"f(x, y) = {own_parts(key)[0]}" if key.startswith("=") else experiment.entry.summary
    own = experiment.entry.param
    settings = [f"{own[name].symbol or name} {number(float(value))}" for name, value in values.items()]
    settings += [f"start ({number(experiment.start[0])}, {number(experiment.start[1])})", f"{experiment.steps} steps"]
    settings += [f"gradient noise {number(experiment.noise)}, seed {experiment.seed}"] if experiment.noise else []
    settings += [f"L2 penalty {number(experiment.l2)}"] if experiment.l2 else []
    return what, ", ".join(settings) + ".", f"{MADE}: exact runs in double precision, nothing clamped."


def _data(training: Training) -> str:
    return "a table of one's own" if isinstance(training.dataset, Own) else DATASETS[training.dataset.key].title


def _training_facts(training: Training, progress: Progress, who: Sequence[str]) -> tuple[str, ...]:
    nets = [
        f"{name}: hidden layers {', '.join(map(str, one.net.hidden)) or 'none'}, {one.net.activation}"
        for name, one in zip(who, training.configurations, strict=True)
    ]
    examples = [
        f"{len(part.y)} to {what}"
        for what, part in zip(("train on", "validate", "test"), training.parts, strict=True)
        if len(part.y)
    ]
    seeds = f"{training.seeds} seeds from {training.seed}" if training.seeds > 1 else f"seed {training.seed}"
    settings = f"Batches of {training.size}, {progress.step} of {training.steps} steps, {seeds}."
    source = [] if isinstance(training.dataset, Own) else [_credit(training)]
    return (*nets, f"{_data(training)}: {', '.join(examples)} examples.", *source, settings, f"{MADE}.")


def _credit(training: Training) -> str:
    entry = DATASETS[training.dataset.key]  # type: ignore[union-attr]  (no table of one's own has an entry)
    return f"Data: {entry.source} {entry.source.url}".strip() + f", {entry.licence}"
