"""Links to the second-order page: a SecondOrder as the fields of a query string, and back.

    ?surface=rosenbrock&start=-1.2~1&method=trust&radius=0.5&moves=newton.2~trust.5

Surface, start and penalty are written as `link` writes them; runs of equal moves carry their length. Whatever equals
the default is left out, and what cannot be read falls back with a sentence.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

from optviz import link
from optviz.query import MESSAGES_AT_MOST, VERSION, Query, forgiving, read_values, single
from optviz.taylor import CHOICES, MOVES_AT_MOST, SETTINGS, SecondOrder

PARAMS = SETTINGS | CHOICES
MOVES, NOTHING = "moves", "none"


def to_query(value: SecondOrder, default: SecondOrder) -> dict[str, list[str]]:
    """The fields of a link to `value`, without those that `default` has already; {} for the default itself."""
    query = link.to_query(value.on, default.on)
    for name, param in PARAMS.items():
        if getattr(value, name) != getattr(default, name):
            query[name] = [param.write(getattr(value, name))]
    if value.moves != default.moves:
        runs = [(move, len(list(some))) for move, some in groupby(value.moves)]
        query[MOVES] = ["~".join(f"{move}.{length}" for move, length in runs) or NOTHING]
    return {"v": [VERSION], **query} if query else {}


def from_query(query: Query, default: SecondOrder) -> tuple[SecondOrder, list[str]]:
    """What a link's fields describe, and a sentence for everything that could not be read."""
    own = {*PARAMS, MOVES}
    on, messages = link.from_query({name: texts for name, texts in query.items() if name not in own}, default.on)
    one = single({name: texts for name, texts in query.items() if name in own}, own, messages)
    changes: dict[str, Any] = read_values(PARAMS, {name: one[name] for name in one if name in PARAMS}, messages)
    if on != default.on:
        changes["on"] = on
    if MOVES in one:
        with forgiving(messages):
            changes[MOVES] = _read_moves(one[MOVES])
    value = default
    for name, given in changes.items():
        with forgiving(messages):
            value = replace(value, **{name: given})
    return value, messages[:MESSAGES_AT_MOST]


def _read_moves(text: str) -> tuple[str, ...]:
    moves: list[str] = []
    for run in [] if text == NOTHING else text.split("~"):
        move, _, length = run.partition(".")
        if not (length.isascii() and length.isdigit() and 0 < int(length[:4]) <= MOVES_AT_MOST):
            raise ValueError(f"moves are written as newton.2~trust.5, not “{run[:32]}”")
        moves += [move] * int(length[:4])
    return tuple(moves)
