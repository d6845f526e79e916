"""Hypothesis strategies made from the declarations: whatever a catalogue gains is drawn from by existing."""

import math
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from optviz.descent import schedulable
from optviz.experiment import COORDINATE, PINS_AT_MOST, RACERS_AT_MOST, SETTINGS, Experiment, Pick, Racer
from optviz.networks import ACTIVATIONS, INITS, NORMALIZATIONS
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.spec import Entry, Param, Value
from optviz.surfaces import SURFACES
from optviz.training import CURVES, QUANTITY, VIEW, Configuration, Net, Training


def values(param: Param) -> st.SearchStrategy[Value]:
    """Everything that a parameter may be, its slider's ends among them."""
    if param.kind == "flag":
        return st.booleans()
    if param.kind == "choice":
        return st.sampled_from(param.options)
    low, high = (float(end) for end in param.domain[1:-1].split(","))
    anywhere = st.floats(
        None if math.isinf(low) else low,
        None if math.isinf(high) else high,
        exclude_min=param.domain[0] == "(" and math.isfinite(low),
        exclude_max=param.domain[-1] == ")" and math.isfinite(high),
        allow_nan=False,
        allow_infinity=False,
    )
    ends = st.sampled_from([param.default, *(end for end in (param.low, param.high) if low < end < high)])
    if param.kind == "whole":
        return ends | anywhere.map(round).filter(lambda number: low <= number <= high)
    return ends | anywhere


def some_of(params: Mapping[str, Param]) -> st.SearchStrategy[dict[str, Value]]:
    """Some of these parameters, each with a value."""
    return st.fixed_dictionaries({}, optional={name: values(param) for name, param in params.items()})


def picks(catalogue: Mapping[str, Entry]) -> st.SearchStrategy[Pick]:
    return st.sampled_from(list(catalogue.values())).flatmap(
        lambda entry: some_of(entry.param).map(lambda chosen: Pick(entry.key, chosen))
    )


@st.composite
def racers(draw: st.DrawFn) -> Racer:
    pick = draw(picks(OPTIMIZERS))
    names = st.sampled_from(schedulable(OPTIMIZERS[pick.key]))
    return Racer(pick, draw(st.dictionaries(names, picks(SCHEDULES), max_size=2)))


@st.composite
def experiments(draw: st.DrawFn, pins: bool = True) -> Experiment:
    runners = st.just(1) if not pins else st.integers(0, 3) | st.just(RACERS_AT_MOST)
    count = draw(runners)
    start: Any = draw(st.none() | st.tuples(values(COORDINATE), values(COORDINATE)))
    settings: dict[str, Any] = draw(some_of(SETTINGS))
    return Experiment(
        draw(picks(SURFACES)),
        racers=tuple(draw(st.lists(racers(), min_size=count, max_size=count))),
        start=start,
        pins=tuple(draw(st.lists(experiments(pins=False), max_size=2))) if pins else (),
        **settings,
    )


assert PINS_AT_MOST >= 2


# Trainings -----------------------------------------------------------------------------------------------------------

nets = st.builds(
    Net,
    hidden=st.lists(st.integers(1, 256), max_size=2).map(tuple),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    init=st.sampled_from(sorted(INITS)),
    init_scale=st.none() | st.floats(0.01, 10),
    normalization=st.sampled_from(NORMALIZATIONS),
    dropout=st.floats(0, 0.99),
    dropout_form=st.sampled_from(("inverted", "classic")),
    l2=st.floats(0, 1e3),
    clip=st.floats(0, 1e3),
    label_smoothing=st.floats(0, 1),
)
trainers = st.builds(
    lambda key, lr, by: Racer(Pick(key, {"lr": lr}), {"lr": Pick(by)}),
    st.sampled_from(("sgd", "adam", "rmsprop", "lion")),
    st.floats(0, 10),
    st.sampled_from(sorted(SCHEDULES)),
)
trainings = st.builds(
    Training,
    dataset=st.sampled_from([Pick("moons"), Pick("spirals", {"noise": 0.05}), Pick("iris")]),
    configurations=st.lists(st.builds(Configuration, nets, trainers), min_size=1, max_size=3).map(tuple),
    epochs=st.integers(1, 50),
    batch_size=st.integers(2, 64),
    seeds=st.integers(1, 4),
    standardize=st.booleans(),
    view=st.sampled_from(VIEW.options),
    quantity=st.sampled_from(QUANTITY.options),
    curves=st.lists(st.sampled_from(sorted(CURVES)), unique=True).map(tuple),
)
