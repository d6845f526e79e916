"""Links to the stability page: a Stability as the fields of a query string, and back.

    ?rates=0.002~0.004        ?on=network&data=moons&epochs=2000&rates=0.1~0.4&height=share

What it is measured on is written as `either_link` writes it; the rates and what the height shows are fields of their
own. Whatever equals the default is left out, and what cannot be read falls back with a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optviz.either_link import Homes, kind
from optviz.query import MESSAGES_AT_MOST, VERSION, Query, changed, forgiving, read_values, single
from optviz.stability import HEIGHT, RATES_AT_MOST, Stability

RATES = "rates"


@dataclass(frozen=True)
class Stabilities(Homes[Stability]):
    """A codec. `surface` and `network` are what `on=surface` and `on=network` alone mean."""

    def to_query(self, value: Stability, default: Stability) -> dict[str, list[str]]:
        """The fields of a link to `value`, without those that `default` has already; {} for the default itself."""
        like = default if value.mode == default.mode else self.home(kind(value.on))
        # the rule's own rate is the first of the rates, which the link names once
        query = self.either.to_query(value.at(like.rates[0]), default.on)
        if value.rates != like.rates:
            rate = value.racer.entry.param["lr"]
            query[RATES] = ["~".join(rate.write(one) for one in value.rates)]
        if value.height != like.height:
            query[HEIGHT.name] = [HEIGHT.write(value.height)]
        return {"v": [VERSION], **query} if query else {}

    def from_query(self, query: Query, default: Stability) -> tuple[Stability, list[str]]:
        """What a link's fields describe, and a sentence for everything that could not be read."""
        own = {RATES, HEIGHT.name}
        rest = {name: texts for name, texts in query.items() if name not in own}
        on, messages = self.either.from_query(rest, default.on)
        like = default if kind(on) == default.mode else self.home(kind(on))
        one = single({name: texts for name, texts in query.items() if name in own}, own, messages)
        changes: dict[str, Any] = {} if on == like.on else {"on": on}
        changes |= read_values(
            {HEIGHT.name: HEIGHT}, {n: text for n, text in one.items() if n == HEIGHT.name}, messages
        )
        if RATES in one:
            with forgiving(messages):
                rate = like.racer.entry.param["lr"]
                texts = one[RATES].split("~")
                if len(texts) > RATES_AT_MOST:
                    raise ValueError(f"at most {RATES_AT_MOST} rates, not {len(texts)}")
                changes[RATES] = tuple(rate.parse(text) for text in texts)
        return changed(like, changes, messages), messages[:MESSAGES_AT_MOST]
