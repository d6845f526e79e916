"""Links: an experiment as the fields of a query string, and back.

A link is meant to be read: `?surface=valley~kappa~50&start=-2~1&racer=adam~lr~0.02~lr.by~cosine`. Whatever equals the
default is left out. `~` separates names and values because it survives in an address unescaped; `lr.by` names the
schedule of lr and `lr.final` a parameter of that schedule; in a pin, which is a racer with the conditions under which
it ran, `.x` or `.kappa` is such a condition.

What cannot be read falls back to its default, field by field, with a sentence that says so: a link from a colleague
with one typing error still opens the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from optviz.experiment import COORDINATE, LOOKS, PINS_AT_MOST, RACERS_AT_MOST, SETTINGS, Experiment, Pick, Racer
from optviz.optimizers import OPTIMIZERS
from optviz.query import FIELD_AT_MOST, MESSAGES_AT_MOST, VERSION, Query, forgiving, read_values, single
from optviz.schedules import SCHEDULES
from optviz.spec import Entry
from optviz.surfaces import SURFACES

NOBODY = "none"  # what stands for an empty list of racers or pins


def to_query(experiment: Experiment, default: Experiment) -> dict[str, list[str]]:
    """The fields of a link to `experiment`, without those that `default` has already; {} for the default itself."""
    query: dict[str, list[str]] = {}
    moved = experiment.surface != default.surface
    if moved:
        query["surface"] = [join(experiment.surface.key, _written(experiment.entry, experiment.surface))]
    if experiment.start != (experiment.entry.starts[0] if moved else default.start):
        query["start"] = ["~".join(COORDINATE.write(part) for part in experiment.start)]
    for name, param in (SETTINGS | LOOKS).items():
        if getattr(experiment, name) != getattr(default, name):
            query[name] = [param.write(getattr(experiment, name))]
    if experiment.curves != default.curves:
        query["curves"] = ["~".join(experiment.curves) or NOBODY]
    if experiment.racers != default.racers:
        query["racer"] = [write_racer(racer) for racer in experiment.racers] or [NOBODY]
    if experiment.pins != default.pins:
        query["pin"] = [_write_pin(pin) for pin in experiment.pins] or [NOBODY]
    return {"v": [VERSION], **query} if query else {}


def from_query(query: Query, default: Experiment) -> tuple[Experiment, list[str]]:
    """The experiment that a link's fields describe, and a sentence for everything that could not be read."""
    messages: list[str] = []
    experiment = default
    one = single(query, {"surface", "start", "racer", "pin", "curves", *SETTINGS, *LOOKS}, messages)
    many = {name: [value[:FIELD_AT_MOST] for value in values] for name, values in query.items()}
    if "surface" in one:
        with forgiving(messages):
            key, given = split_pairs(one["surface"], messages)
            entry = SURFACES.find(key)
            # Not `on`: what a link means must not change when somebody tunes learning rates anew.
            experiment = replace(experiment, surface=Pick(key, read_values(entry.param, given, messages)), start=None)
    if "start" in one:
        with forgiving(messages):
            experiment = replace(experiment, start=tuple(COORDINATE.parse(part) for part in one["start"].split("~")))
    if "curves" in one:
        with forgiving(messages):
            names = [] if one["curves"] == NOBODY else one["curves"].split("~")
            experiment = replace(experiment, curves=tuple(names))
    params = SETTINGS | LOOKS
    settings = {name: text for name, text in one.items() if name in params}
    experiment = replace(experiment, **read_values(params, settings, messages))
    for name, most, read in (("racer", RACERS_AT_MOST, _read_runner), ("pin", PINS_AT_MOST, _read_pin)):
        texts = [text for text in many.get(name, []) if text != NOBODY]
        things = _read_each(name, texts, most, partial(read, experiment=experiment, messages=messages), messages)
        if things or (many.get(name) and not texts):
            experiment = replace(experiment, **{f"{name}s": tuple(things)})
    return experiment, messages[:MESSAGES_AT_MOST]


def join(key: str, pairs: Mapping[str, str]) -> str:
    """A key and its pairs of name and value, as a link writes them."""
    return "~".join([key, *(part for pair in pairs.items() for part in pair)])


def split_pairs(text: str, messages: list[str]) -> tuple[str, dict[str, str]]:
    """The inverse of `join`."""
    key, *rest = text.split("~")
    with forgiving(messages):
        if len(rest) % 2:
            raise ValueError(f"“{rest[-1][:32]}” stands without a value")
    return key, dict(zip(rest[::2], rest[1::2], strict=False))


def _written(entry: Entry, pick: Pick, prefix: str = "") -> dict[str, str]:
    return {prefix + name: entry.param[name].write(value) for name, value in pick.values}


def _read_each(name: str, texts: list[str], most: int, read: Callable[[str], Any], messages: list[str]) -> list:
    things = []
    for text in texts[:most]:
        with forgiving(messages):
            things.append(read(text))
    if len(texts) > most:
        messages.append(f"Only the first {most} of {len(texts)} {name}s are shown.")
    return things


def write_racer(racer: Racer) -> str:
    """A racer with its schedules, as one field of a link."""
    pairs = _written(racer.entry, racer.optimizer)
    for name, pick in racer.schedules:
        pairs |= {f"{name}.by": pick.key, **_written(SCHEDULES[pick.key], pick, prefix=f"{name}.")}
    return join(racer.optimizer.key, pairs)


def read_racer(text: str, messages: list[str], apart: Sequence[str] = ("",)) -> tuple[Racer, dict[str, dict[str, str]]]:
    """The racer, and the names that stand behind a dot after one of the words in `apart`, by that word. Every other
    word before a dot is a hyperparameter that has a schedule."""
    key, given = split_pairs(text, messages)
    entry = OPTIMIZERS.find(key)
    groups: dict[str, dict[str, str]] = {}
    own = {}
    for name, value in given.items():
        head, dot, tail = name.partition(".")
        if dot:
            groups.setdefault(head, {})[tail] = value
        else:
            own[name] = value
    others = {word: groups.pop(word, {}) for word in apart}
    racer = Racer(Pick(key, read_values(entry.param, own, messages)))
    for name, texts in groups.items():
        with forgiving(messages):
            if "by" not in texts:
                raise ValueError(f"“{name[:32]}.…” belongs to a schedule, and no “{name[:32]}.by” says which")
            schedule = SCHEDULES.find(texts.pop("by"))
            pick = Pick(schedule.key, read_values(schedule.param, texts, messages))
            racer = replace(racer, schedules={**dict(racer.schedules), name: pick})
    return racer, others


def _read_runner(text: str, experiment: Experiment, messages: list[str]) -> Racer:
    racer, others = read_racer(text, messages)
    conditions = others[""]
    with forgiving(messages):
        if conditions:
            raise ValueError(f"only a pin has conditions of its own, such as “.{next(iter(conditions))[:32]}”")
    return racer


def _write_pin(pin: Experiment) -> str:
    conditions = {".surface": pin.surface.key, **_written(pin.entry, pin.surface, prefix=".")}
    conditions |= {f".{axis}": COORDINATE.write(part) for axis, part in zip("xy", pin.start, strict=True)}
    blank = Experiment(pin.surface)
    for name, param in SETTINGS.items():
        if getattr(pin, name) != getattr(blank, name):
            conditions[f".{name}"] = param.write(getattr(pin, name))
    return "~".join([write_racer(pin.racers[0]), join("", conditions)[1:]])


def _read_pin(text: str, experiment: Experiment, messages: list[str]) -> Experiment:
    racer, others = read_racer(text, messages)
    conditions = others[""]
    entry = SURFACES.find(conditions.pop("surface", experiment.surface.key))
    point = {axis: COORDINATE.but(name=axis) for axis in "xy"}
    read = read_values({**entry.param, **SETTINGS, **point}, conditions, messages)
    own = {name: read[name] for name in entry.param if name in read}
    settings = {name: read[name] for name in SETTINGS if name in read}
    start = (read.get("x", entry.starts[0][0]), read.get("y", entry.starts[0][1]))
    return Experiment(Pick(entry.key, own), racers=(racer,), start=start, **settings)
