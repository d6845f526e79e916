"""Claims and verdicts: what every claim of the course has, on a surface or on a network, and how numbers become a
sentence with a verdict.

A `Card` is what the textbook says and when that is true. A measurement hands its numbers to `judged`, with the facts
as a sentence that quotes them and with the rules that they have to meet. So a verdict always follows from numbers, and
a claim that does not hold says so with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from optviz.spec import Source, number

STEPS_AT_MOST = 5000  # of any run that is made to measure a claim
Heard = Callable[[], None]  # what a long measurement calls again and again; what it raises breaks the measurement off


def unheard() -> None:
    """For whoever waits to the end."""


class Measured(NamedTuple):
    """What one run says about a claim. `numbers` are all quoted in `sentence`; a count of steps that was not reached
    is infinite. `holds` follows from the numbers by the rules of the claim; it is None as long as the run has not come
    far enough to be measured, and then there are no numbers."""

    numbers: dict[str, float]
    holds: bool | None
    sentence: str


@dataclass(frozen=True)
class Card:
    """A sentence of the course: what it says and when that is true.

    `title` names it in a menu, `watch` is what to look at in the picture.
    """

    key: str
    title: str
    says: str
    condition: str
    watch: str
    sources: tuple[Source, ...]


class _Said(NamedTuple):
    """A number as a sentence says it: `{x}`, as a share `{x:%}`, or as a count `{x:steps}`."""

    value: float
    longest: int

    def __format__(self, form: str) -> str:
        if form == "%":
            return f"{number(100 * self.value)} %"
        if form == "steps" and math.isinf(self.value):
            return f"more than {number(self.longest)} steps"
        return number(self.value) + (f" step{'s' * (self.value != 1)}" if form == "steps" else "")


def judged(numbers: Mapping[str, Any], facts: str, *rules: tuple[Any, str], longest: int = STEPS_AT_MOST) -> Measured:
    """Put together what was measured. `facts` quotes the numbers by name; each rule is whether it is met, and what to
    say if it is not. The claim holds if all are met; of several that are not, the first is what the others follow from.
    `longest` is what a count of steps that was not reached is said to be more than.
    """
    plain = {name: float(value) + 0.0 for name, value in numbers.items()}  # an exact 0, never −0
    said = {name: _Said(value, longest) for name, value in plain.items()}
    broken = [reason for met, reason in rules if not met]
    sentence = f"Here it does not hold: {broken[0]}. {facts}" if broken else facts
    return Measured(plain, not broken, sentence.format(**said))
