"""Links to the fair race: a FairRace as the fields of a query string, and back.

    ?surface=valley~kappa~50&noise=1&budget=12&optimizers=sgd~adam~lion        ?claim=A11&same=1&lr=0.02

The conditions are written as `link` writes them; the budget, the grid, the criterion and the optimizers are fields of
their own. Whatever equals the default is left out, and what cannot be read falls back with a sentence.
"""

from __future__ import annotations

from typing import Any

from optviz import link
from optviz.fair_race import SETTINGS, FairRace
from optviz.query import MESSAGES_AT_MOST, VERSION, Query, changed, read_values, single

LISTS = ("optimizers", "chosen")
NOBODY = "none"
OWN = {*SETTINGS, *LISTS}


def to_query(race: FairRace, default: FairRace) -> dict[str, list[str]]:
    """The fields of a link to `race`, without those that `default` has already; {} for the default itself."""
    query = link.to_query(race.on, default.on)
    for name, param in SETTINGS.items():
        if getattr(race, name) != getattr(default, name):
            query[name] = [param.write(getattr(race, name))]
    for name in LISTS:
        if getattr(race, name) != getattr(default, name):
            query[name] = ["~".join(getattr(race, name)) or NOBODY]
    return {"v": [VERSION], **query} if query else {}


def from_query(query: Query, default: FairRace) -> tuple[FairRace, list[str]]:
    """The race that a link's fields describe, and a sentence for everything that could not be read."""
    on, messages = link.from_query({name: texts for name, texts in query.items() if name not in OWN}, default.on)
    one = single({name: texts for name, texts in query.items() if name in OWN}, OWN, messages)
    changes: dict[str, Any] = {} if on == default.on else {"on": on}
    changes |= read_values(SETTINGS, {name: text for name, text in one.items() if name in SETTINGS}, messages)
    changes |= {
        name: () if one[name] == NOBODY else tuple(one[name].split("~")) for name in LISTS if name in one
    }  # whom they name, the race checks
    return changed(default, changes, messages), messages[:MESSAGES_AT_MOST]
