"""Links to the cloud page: a Cloud as the fields of a query string, and back.

    ?runs=500&low=0.001&surface=valley~kappa~50&noise=0.5&racer=sgd~lr~0.01

The run is written as `link` writes it; how many runs there are, the grid of rates and the look are fields of their own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from optviz import link
from optviz.cloud import OWN, Cloud
from optviz.experiment import LOOKS, SETTINGS, Experiment
from optviz.query import MESSAGES_AT_MOST, VERSION, Query, changed, read_values, single

STRANGERS = {*LOOKS, "curves", "pin"}  # fields of a race that a cloud has no use for


def to_query(value: Cloud, default: Cloud) -> dict[str, list[str]]:
    """The fields of a link to `value`, without those that `default` has already; {} for the default itself."""
    query = link.to_query(value.experiment, default.experiment)
    for name, param in OWN.items():
        if getattr(value, name) != getattr(default, name):
            query[name] = [param.write(getattr(value, name))]
    return {"v": [VERSION], **query} if query else {}


def from_query(query: Query, default: Cloud) -> tuple[Cloud, list[str]]:
    """The cloud that a link's fields describe, and a sentence for everything that could not be read."""
    messages: list[str] = []
    mine = {name: texts for name, texts in query.items() if name in OWN or name in STRANGERS}
    one = single(mine, set(OWN), messages)
    changes: dict[str, Any] = read_values(OWN, {name: text for name, text in one.items() if name in OWN}, messages)
    rest = {name: texts for name, texts in query.items() if name not in mine}
    experiment, more = link.from_query(rest, default.experiment)
    messages += more
    steps: list[Any] = [
        *(partial(_with_part, part) for part in _differing(experiment, default.experiment)),
        *(partial(replace, **{name: value}) for name, value in changes.items()),
    ]
    return changed(default, {"experiment": experiment, **changes}, messages, steps), messages[:MESSAGES_AT_MOST]


def _with_part(part: dict[str, Any], cloud: Cloud) -> Cloud:
    return replace(cloud, experiment=replace(cloud.experiment, **part))


def _differing(experiment: Experiment, default: Experiment) -> list[dict[str, Any]]:
    """What an experiment has different, field by field; a surface takes its start along."""
    names = [name for name in ("racers", *SETTINGS) if getattr(experiment, name) != getattr(default, name)]
    where = {"surface": experiment.surface, "start": experiment.start}
    moved = where != {"surface": default.surface, "start": default.start}
    return [*([where] if moved else []), *({name: getattr(experiment, name)} for name in names)]
