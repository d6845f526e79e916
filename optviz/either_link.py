"""Links to a page that works on a surface or on a network: an Experiment or a Training, whichever it shows.

    ?surface=valley&racer=sgd~lr~0.1        ?on=network&data=digits&run=adam~lr~0.01

The field `on` says which, where it is not what the page begins with; `link` and `training_link` write the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from optviz import link, training_link
from optviz.experiment import Experiment
from optviz.query import MESSAGES_AT_MOST, VERSION, Query
from optviz.training import Training

ON = "on"
SURFACE, NETWORK = "surface", "network"


class Standing(Protocol):
    """What is measured on a surface or on a network."""

    @property
    def on(self) -> Experiment | Training: ...


Measurement = TypeVar("Measurement", bound=Standing)


@dataclass(frozen=True)
class Either:
    """A codec for both. `race` and `training` are what `on=surface` and `on=network` alone mean."""

    race: Experiment
    training: Training

    def home(self, on: str) -> Experiment | Training:
        """Where a page begins when it turns to a surface or to a network."""
        return self.training if on == NETWORK else self.race

    def to_query(self, value: Experiment | Training, default: Experiment | Training) -> dict[str, list[str]]:
        """The fields of a link to `value`, without those that `default` has already; {} for the default itself."""
        like = default if kind(value) == kind(default) else self.home(kind(value))
        query = (
            training_link.to_query(value, like)  # type: ignore[arg-type]  (both are of one kind)
            if isinstance(value, Training)
            else link.to_query(value, like)  # type: ignore[arg-type]  (the same)
        )
        return query if like is default else {"v": [VERSION], **query, ON: [kind(value)]}

    def from_query(self, query: Query, default: Experiment | Training) -> tuple[Experiment | Training, list[str]]:
        """What a link's fields describe, and a sentence for everything that could not be read."""
        rest, messages = {name: texts for name, texts in query.items() if name != ON}, []
        on = (query.get(ON) or [kind(default)])[-1]
        if on not in (SURFACE, NETWORK):
            messages.append(f"{ON} must be {SURFACE} or {NETWORK}, not “{on[:32]}”")
            on = kind(default)
        like = default if on == kind(default) else self.home(on)
        if isinstance(like, Training):
            value, more = training_link.from_query(rest, like)
        else:
            value, more = link.from_query(rest, like)
        return value, [*messages, *more][:MESSAGES_AT_MOST]


def kind(value: Experiment | Training) -> str:
    """What `on` says of it."""
    return NETWORK if isinstance(value, Training) else SURFACE


@dataclass(frozen=True)
class Homes(Generic[Measurement]):
    """Where a page begins whose measurement stands `on` a surface or on a network: a default of each kind."""

    surface: Measurement
    network: Measurement

    def home(self, on: str) -> Measurement:
        """Where the page begins when it turns to a surface or to a network."""
        return self.network if on == NETWORK else self.surface

    @property
    def either(self) -> Either:
        """The codec of what it stands on."""
        race, training = self.surface.on, self.network.on
        assert isinstance(race, Experiment)
        assert isinstance(training, Training)
        return Either(race, training)
