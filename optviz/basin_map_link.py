"""Links to the basin map: a BasinMap as the fields of a query string, and back.

    ?surface=two_gaussians&racer=sgd~lr~0.02&racer=momentum~lr~0.02&side=400

The experiment is written as `link` writes it, with fields for the resolution and the precision. A link that comes from
the descent laboratory may hold more than a map takes; what it does not take is left out, with a sentence.
"""

from __future__ import annotations

from dataclasses import replace

from optviz import link
from optviz.basin_map import GRID, RACERS_AT_MOST, BasinMap
from optviz.experiment import Experiment
from optviz.query import MESSAGES_AT_MOST, VERSION, Query, forgiving, read_values


def to_query(value: BasinMap, default: BasinMap) -> dict[str, list[str]]:
    """The fields of a link to `value`, without those that `default` has already; {} for the default itself."""
    query = link.to_query(value.on, default.on)
    for name, param in GRID.items():
        if getattr(value, name) != getattr(default, name):
            query[name] = [param.write(getattr(value, name))]
    return {"v": [VERSION], **query} if query else {}


def from_query(query: Query, default: BasinMap) -> tuple[BasinMap, list[str]]:
    """The map that a link's fields describe, and a sentence for everything that could not be read."""
    messages: list[str] = []
    own = {name: texts[-1] for name, texts in query.items() if name in GRID and texts}
    changes = read_values(GRID, own, messages)
    rest = {name: texts for name, texts in query.items() if name not in GRID}
    on, more = link.from_query(rest, default.on)
    messages += more
    with forgiving(messages):
        return replace(default, on=on, **changes), messages[:MESSAGES_AT_MOST]
    return replace(default, on=_fitting(on, default.on), **changes), messages[:MESSAGES_AT_MOST]


def _fitting(on: Experiment, default: Experiment) -> Experiment:
    """As much of an experiment as a map takes."""
    return replace(on, racers=on.racers[:RACERS_AT_MOST] or default.racers, pins=(), l2=0.0)
