"""Links to pages that show a race or a training: the kind and the rest survive, and nonsense costs a sentence."""

from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optviz.either_link import Either, kind
from optviz.experiment import Experiment, Pick, Racer
from optviz.training import Configuration, Net, Training
from strategies import experiments, trainings

RACE = Experiment(Pick("valley"), (Racer(Pick("sgd")),))
TRAINING = Training(Pick("moons"), (Configuration(Net(), Racer(Pick("adam"))),))
EITHER = Either(RACE, TRAINING)
both_homes = pytest.mark.parametrize("default", [RACE, TRAINING], ids=kind)


@both_homes
@settings(max_examples=60, deadline=None)
@given(value=experiments() | trainings)
def test_a_link_opens_what_it_was_made_from(default, value):
    address = urlencode(EITHER.to_query(value, default), doseq=True)  # as it travels
    assert EITHER.from_query(parse_qs(address), default) == (value, [])


@both_homes
def test_the_default_needs_no_field_and_the_other_kind_one(default):
    other = TRAINING if default is RACE else RACE
    assert EITHER.to_query(default, default) == {}
    assert EITHER.to_query(other, default) == {"v": ["1"], "on": [kind(other)]}


@both_homes
@pytest.mark.parametrize("on", ["", "moon", "NETWORK", "a" * 5000, "\x00"])
def test_an_unknown_kind_costs_a_sentence(default, on):
    value, (message,) = EITHER.from_query({"on": [on]}, default)
    assert value == default
    assert "surface or network" in message
    assert len(message) < 200


@both_homes
def test_what_belongs_to_the_other_kind_costs_a_sentence(default):
    field = {"data": ["digits"]} if default is RACE else {"surface": ["valley"]}
    value, (message,) = EITHER.from_query(field, default)
    assert value == default
    assert "no field" in message


@given(st.dictionaries(st.text(max_size=8) | st.just("on"), st.lists(st.text(max_size=40), max_size=2), max_size=4))
def test_nonsense_never_raises(query):
    assert kind(EITHER.from_query(query, RACE)[0]) in ("surface", "network")
