"""Links to the calibration page: a Calibration as the fields of a query string, and back.

    ?surface=rosenbrock&steps=500&high=1&chosen=sgd~adam        ?on=network&axis=depth&sizes=1~2~4&run=sgd~net.hidden~32

What it is measured on is written as `either_link` writes it; the grid, the optimizers and the sizes of networks are
fields of their own. Whatever equals the default is left out, and what cannot be read falls back with a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optviz.calibration import AXIS, GRID, SHARED, Calibration
from optviz.either_link import Homes, kind
from optviz.query import MESSAGES_AT_MOST, VERSION, Query, changed, forgiving, read_values, single

PARAMS = {**GRID, AXIS.name: AXIS}
LISTS = ("optimizers", "chosen", "sizes")
NOBODY = "none"


@dataclass(frozen=True)
class Calibrations(Homes[Calibration]):
    """A codec. `surface` and `network` are what `on=surface` and `on=network` alone mean."""

    def to_query(self, value: Calibration, default: Calibration) -> dict[str, list[str]]:
        """The fields of a link to `value`, without those that `default` has already; {} for the default itself."""
        like = default if kind(value.on) == kind(default.on) else self.home(kind(value.on))
        query = self.either.to_query(value.on, default.on)
        for name, param in PARAMS.items():
            if getattr(value, name) != getattr(like, name):
                query[name] = [param.write(getattr(value, name))]
        for name in LISTS:
            if getattr(value, name) != getattr(like, name):
                query[name] = ["~".join(map(str, getattr(value, name))) or NOBODY]
        now, before = dict(value.shared), dict(like.shared)
        for name, param in SHARED.items():
            if now.get(name) != before.get(name):
                query[name] = [param.write(now.get(name, param.default))]
        return {"v": [VERSION], **query} if query else {}

    def from_query(self, query: Query, default: Calibration) -> tuple[Calibration, list[str]]:
        """The calibration that a link's fields describe, and a sentence for everything that could not be read."""
        own = {*PARAMS, *LISTS, *SHARED}
        rest = {name: texts for name, texts in query.items() if name not in own}
        on, messages = self.either.from_query(rest, default.on)
        like = default if kind(on) == kind(default.on) else self.home(kind(on))
        one = single({name: texts for name, texts in query.items() if name in own}, own, messages)
        changes: dict[str, Any] = {} if on == like.on else {"on": on}
        changes |= read_values(PARAMS, {name: text for name, text in one.items() if name in PARAMS}, messages)
        shared = read_values(SHARED, {name: text for name, text in one.items() if name in SHARED}, messages)
        if shared:
            changes["shared"] = dict(like.shared) | shared
        for name in LISTS:
            if name in one:
                with forgiving(messages):
                    changes[name] = _read_list(name, one[name])
        if "axis" in changes and "sizes" not in changes and changes["axis"] != like.axis:
            changes["sizes"] = ()  # those that belong to the axis
        return changed(like, changes, messages), messages[:MESSAGES_AT_MOST]


def _read_list(name: str, text: str) -> tuple:
    words = () if text == NOBODY else tuple(text.split("~"))
    if name != "sizes":
        return words
    if not words or not all(word.isascii() and word.isdigit() and len(word) <= 4 for word in words):
        raise ValueError(f"sizes are whole numbers such as 4~16~64, not “{text[:32]}”")
    return tuple(map(int, words))
