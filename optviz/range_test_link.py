"""Links to a range test: its own fields, and those of the surface or network that it is made on.

    ?low_rate=1e-6&high_rate=1&on=surface&surface=valley~kappa~50&racer=sgd

What cannot be read falls back to its default with a sentence, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optviz.either_link import Either, kind
from optviz.experiment import Experiment
from optviz.query import MESSAGES_AT_MOST, VERSION, Query, changed, read_values, single
from optviz.range_test import MARKS, SETTINGS, RangeTest
from optviz.training import Training

OWN = SETTINGS | MARKS


@dataclass(frozen=True)
class RangeTests:
    """A codec for range tests on either. `either` knows what they are made on."""

    either: Either

    def home(self, on: str) -> Experiment | Training:
        """What a test is made on when it turns to a surface or to a network."""
        return self.either.home(on)

    def to_query(self, value: RangeTest, default: RangeTest) -> dict[str, list[str]]:
        """The fields of a link to `value`, without those that `default` has already; {} for the default itself."""
        query = self.either.to_query(value.subject, default.subject)
        for name, param in OWN.items():
            own = getattr(value, name)
            if own is not None and own != getattr(default, name):
                query[name] = [param.write(own)]
        return {"v": [VERSION], **query} if query else {}

    def from_query(self, query: Query, default: RangeTest) -> tuple[RangeTest, list[str]]:
        """The test that a link's fields describe, and a sentence for everything that could not be read."""
        messages: list[str] = []
        one = single({name: texts for name, texts in query.items() if name in OWN}, set(OWN), messages)
        rest = {name: texts for name, texts in query.items() if name not in OWN}
        subject, more = self.either.from_query(rest, default.subject)
        changes: dict[str, Any] = read_values(OWN, one, messages)
        messages += more
        return changed(default, {"subject": subject, **changes}, messages), messages[:MESSAGES_AT_MOST]


def on(test: RangeTest) -> str:
    """Whether a test is made on a "surface" or on a "network"."""
    return kind(test.subject)
