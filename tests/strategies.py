"""Hypothesis strategies made from the declarations: whatever a catalogue gains is drawn from by existing."""

import math
from collections.abc import Mapping

from hypothesis import strategies as st

from optviz.descent import schedulable
from optviz.experiment import COORDINATE, PINS_AT_MOST, RACERS_AT_MOST, SETTINGS, Experiment, Pick, Racer
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.spec import Entry, Param, Value
from optviz.surfaces import SURFACES


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
    return Experiment(
        draw(picks(SURFACES)),
        racers=tuple(draw(st.lists(racers(), min_size=count, max_size=count))),
        start=draw(st.none() | st.tuples(values(COORDINATE), values(COORDINATE))),  # type: ignore[arg-type]
        pins=tuple(draw(st.lists(experiments(pins=False), max_size=2))) if pins else (),
        **draw(some_of(SETTINGS)),  # type: ignore[arg-type]
    )


assert PINS_AT_MOST >= 2
