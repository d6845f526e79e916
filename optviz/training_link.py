"""Links to the training laboratory: a Training as the fields of a query string, and back.

    ?data=moons~noise~0.2&epochs=100&run=adam~lr~0.01~net.hidden~16x16~net.dropout~0.2&run=sgd~lr~0.1

A `run` is a racer as `link` writes it, and what `net.` stands before belongs to its network. Whatever equals the
default is left out, and what cannot be read falls back to it with a sentence.
"""

from __future__ import annotations

from typing import Any

from optviz.datasets import DATASETS
from optviz.experiment import Pick
from optviz.link import join, read_racer, split_pairs, write_racer
from optviz.query import FIELD_AT_MOST, MESSAGES_AT_MOST, VERSION, Query, changed, forgiving, read_values, single
from optviz.training import (
    CONFIGURATIONS_AT_MOST,
    DROPOUT,
    DROPOUT_FORM,
    LOOKS,
    MAKE,
    SETTINGS,
    TREAT,
    Configuration,
    Net,
    Own,
    Training,
)

NUMBERS = {**MAKE, DROPOUT_FORM.name: DROPOUT_FORM, **TREAT}  # the fields of a Net that hold one value
OWN = "own"  # stands for a table that is in no catalogue
NONE = "none"  # no hidden layer, no curve


def to_query(training: Training, default: Training) -> dict[str, list[str]]:
    """The fields of a link to `training`, without those that `default` has already; {} for the default itself."""
    query: dict[str, list[str]] = {}
    if isinstance(training.dataset, Own):
        query["data"] = [OWN]
    elif training.dataset != default.dataset:
        params = DATASETS[training.dataset.key].param
        pairs = {name: params[name].write(value) for name, value in training.dataset.values}
        query["data"] = [join(training.dataset.key, pairs)]
    for name, param in (SETTINGS | LOOKS).items():
        if getattr(training, name) != getattr(default, name):
            query[name] = [param.write(getattr(training, name))]
    if training.curves != default.curves:
        query["curves"] = ["~".join(training.curves) or NONE]
    if training.configurations != default.configurations:
        query["run"] = [_write(one) for one in training.configurations]
    return {"v": [VERSION], **query} if query else {}


def from_query(query: Query, default: Training) -> tuple[Training, list[str]]:
    """The training that a link's fields describe, and a sentence for everything that could not be read."""
    messages: list[str] = []
    one = single(query, {"data", "run", "curves", *SETTINGS, *LOOKS}, messages)
    changes: dict[str, Any] = {}
    if "data" in one:
        with forgiving(messages):
            key, given = split_pairs(one["data"], messages)
            if key == OWN:
                raise ValueError("it was made with a table of its owner's, which no link carries")
            changes["dataset"] = Pick(key, read_values(DATASETS.find(key).param, given, messages))
    if "curves" in one:
        changes["curves"] = () if one["curves"] == NONE else tuple(one["curves"].split("~"))
    params = SETTINGS | LOOKS
    changes |= read_values(params, {name: text for name, text in one.items() if name in params}, messages)
    texts = [text[:FIELD_AT_MOST] for text in query.get("run", [])]
    runs = []
    for text in texts[:CONFIGURATIONS_AT_MOST]:
        with forgiving(messages):
            runs.append(_read(text, messages))
    if len(texts) > CONFIGURATIONS_AT_MOST:
        messages.append(f"Only the first {CONFIGURATIONS_AT_MOST} of {len(texts)} runs are shown.")
    if runs:
        changes["configurations"] = tuple(runs)
    return changed(default, changes, messages), messages[:MESSAGES_AT_MOST]


def _write(one: Configuration) -> str:
    net, blank = one.net, Net()
    pairs = {}
    if net.hidden != blank.hidden:
        pairs["hidden"] = "x".join(map(str, net.hidden)) or NONE
    if net.dropout != blank.dropout:
        rates = net.dropout if isinstance(net.dropout, tuple) else (net.dropout,)
        pairs["dropout"] = "x".join(DROPOUT.write(rate) for rate in rates) + (
            "x" if isinstance(net.dropout, tuple) else ""
        )
    if net.init != blank.init or net.init_scale != blank.init_scale:
        assert net.init_scale is not None  # it is filled in when a Net is made
        pairs["init_scale"] = NUMBERS["init_scale"].write(net.init_scale)
    for name, param in NUMBERS.items():
        if name != "init_scale" and getattr(net, name) != getattr(blank, name):
            pairs[name] = param.write(getattr(net, name))
    return "~".join([write_racer(one.racer), *(part for name, text in pairs.items() for part in (f"net.{name}", text))])


def _read(text: str, messages: list[str]) -> Configuration:
    racer, apart = read_racer(text, messages, apart=("net",))
    given = dict(apart["net"])
    own: dict[str, Any] = {}
    with forgiving(messages):
        if "hidden" in given:
            own["hidden"] = read_hidden(given.pop("hidden"))
    with forgiving(messages):
        if "dropout" in given:
            written = given.pop("dropout")
            rates = tuple(DROPOUT.parse(part) for part in written.removesuffix("x").split("x"))
            own["dropout"] = rates if written.endswith("x") else rates[0]
    own |= read_values(NUMBERS, given, messages)
    return Configuration(Net(**own), racer)


def read_hidden(text: str) -> tuple[int, ...]:
    """The widths of the hidden layers, written as "64x32" or "64, 32"; nothing or "none" is no hidden layer. Raises
    ValueError, with what is allowed."""
    text = text.strip()
    if text in ("", NONE):
        return ()
    parts = text.replace("×", "x").replace(",", "x").replace(" ", "x").split("x")
    widths = [part for part in parts if part]
    if not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in widths):
        raise ValueError(f"hidden layers are whole numbers such as 64, 32, not “{text[:32]}”")
    return Net(hidden=tuple(map(int, widths))).hidden
