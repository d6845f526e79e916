"""Links to the training laboratory: written and read they give the same training, and nonsense costs a sentence."""

from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optviz.datasets import DATASETS, Table
from optviz.experiment import Pick, Racer
from optviz.training import Configuration, Net, Own, Training
from optviz.training_link import from_query, read_hidden, to_query
from strategies import trainings

HOME = Training(Pick("moons"), (Configuration(Net(), Racer(Pick("adam"))),))


@settings(max_examples=60, deadline=None)
@given(trainings)
def test_a_link_opens_what_it_was_made_from(training):
    query = to_query(training, HOME)
    address = urlencode(query, doseq=True)  # as it travels
    assert from_query(parse_qs(address), HOME) == (training, [])


def test_the_default_is_an_empty_link():
    assert to_query(HOME, HOME) == {}
    assert from_query({}, HOME) == (HOME, [])


def test_dropout_by_layer_travels():
    net = Net(hidden=(8, 8), dropout=(0.1, 0.0))
    training = replace(HOME, configurations=(Configuration(net, Racer(Pick("sgd"))),))
    assert from_query(to_query(training, HOME), HOME) == (training, [])
    one = replace(training, configurations=(Configuration(Net(hidden=(8,), dropout=(0.3,)), Racer(Pick("sgd"))),))
    assert from_query(to_query(one, HOME), HOME) == (one, [])


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"data": ["nope"]}, "nope"),
        ({"data": ["moons~noise~x"]}, "noise"),
        ({"data": ["own"]}, "no link carries"),
        ({"epochs": ["1e400"]}, "epochs"),
        ({"epochs": ["100000000"]}, "epochs"),
        ({"seeds": ["33"]}, "seeds"),
        ({"curves": ["loss~profit"]}, "profit"),
        ({"view": ["from above"]}, "view"),
        ({"run": ["adam~net.hidden~9999"]}, "hidden"),
        ({"run": ["adam~net.hidden~1e9"]}, "hidden"),
        ({"run": ["adam~net.activation~cos"]}, "activation"),
        ({"run": ["adam~net.dropout~1"]}, "dropout"),
        ({"run": ["adam~net.colour~red"]}, "colour"),
        ({"run": ["nobody~lr~1"]}, "nobody"),
        ({"race": ["adam"]}, "race"),
    ],
)
def test_nonsense_costs_a_sentence_and_nothing_else(query, word):
    training, messages = from_query({**query, "batch_size": ["16"]}, HOME)
    assert any(word in message for message in messages), messages
    assert training.batch_size == 16  # the rest of the link still counts


def test_what_does_not_fit_together_falls_back_by_itself():
    training, messages = from_query({"data": ["wave"], "epochs": ["7"]}, HOME)
    assert training.epochs == 7
    assert training.dataset == HOME.dataset  # cross-entropy has no regression
    assert len(messages) == 1
    assert "needs classes" in messages[0]


def test_too_many_runs_are_cut_with_a_sentence():
    training, messages = from_query({"run": ["sgd"] * 7}, HOME)
    assert len(training.configurations) == 6
    assert "Only the first 6" in messages[0]


def test_a_table_of_ones_own_is_named_but_does_not_travel():
    table = Table(np.arange(40.0).reshape(20, 2), np.tile([0, 1], 10), ("a", "b"), ("no", "yes"))
    own = replace(HOME, dataset=Own(table, "mine.csv"))
    query = to_query(own, HOME)
    assert query["data"] == ["own"]
    assert "mine" not in str(query)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["data", "run", "epochs", "curves", "view", "v", "x"]), st.lists(st.text(), max_size=5)
    )
)
def test_no_text_is_a_traceback(query):
    training, messages = from_query(query, HOME)
    assert isinstance(training, Training)
    assert len(messages) <= 5


@pytest.mark.parametrize(
    ("text", "widths"),
    [
        ("64, 32", (64, 32)),
        ("64x32", (64, 32)),
        ("8", (8,)),
        ("", ()),
        ("none", ()),
        (" 4 , 4 ", (4, 4)),
        ("3 5", (3, 5)),
    ],
)
def test_hidden_layers_are_read_as_people_write_them(text, widths):
    assert read_hidden(text) == widths


@pytest.mark.parametrize("text", ["a", "-3", "1.5", "²", "10000", "1,2,3,4,5,6,7", "0", "257", "𝟞"])
def test_what_is_no_list_of_widths_gets_a_sentence(text):
    with pytest.raises(ValueError, match=r"hidden|layers"):
        read_hidden(text)


def test_every_data_set_travels():
    for key in DATASETS:
        loss = "cross_entropy" if DATASETS[key].task == "classification" else "squared_error"
        training = replace(HOME, dataset=Pick(key), configurations=(Configuration(Net(loss=loss), Racer(Pick("sgd"))),))
        assert from_query(to_query(training, HOME), HOME) == (training, [])
