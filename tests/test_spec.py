"""The language of declarations: what a parameter accepts, how it is written, and what a catalogue refuses."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optviz.datasets import DATASETS
from optviz.experiment import SETTINGS
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.spec import Catalogue, Entry, Param, Source, number, within
from optviz.surfaces import SURFACES
from strategies import some_of, values

REAL = Param("rate", "η", 0.5, 0.0, 1.0, domain="[0, 1)")
WHOLE = Param("count", "n", 3, 1, 10, domain="[1, 100]")
FLAG = Param("wild", "", False)
CHOICE = Param("form", "", "round", options=("round", "square"), static=True)

ENTRIES = [*SURFACES.values(), *OPTIMIZERS.values(), *SCHEDULES.values(), *DATASETS.values()]
NAMED = {f"{entry.key}-{param.name}": param for entry in ENTRIES for param in entry.params} | SETTINGS
PARAMS = [pytest.param(param, id=name) for name, param in NAMED.items()]
# Rules share most of their parameters, and to a text only kind and domain matter.
DISTINCT = list({(param.kind, param.domain, param.options): param for param in NAMED.values()}.values())
SOURCE = Source("Anyone", 2000, "Anything")
CARD: dict[str, Any] = {"title": "Title", "formula": "x", "source": SOURCE}


@pytest.mark.parametrize(
    ("param", "kind", "allowed"),
    [
        (REAL, "real", "a number in [0, 1)"),
        (WHOLE, "whole", "a whole number in [1, 100]"),
        (FLAG, "flag", "True or False"),
        (CHOICE, "choice", "one of round, square"),
    ],
)
def test_kind_follows_from_the_default(param, kind, allowed):
    assert param.kind == kind
    assert param.allowed == allowed


@pytest.mark.parametrize(
    ("param", "value", "checked"),
    [
        (REAL, 0, 0.0),  # an int where a real is meant becomes one, or it would be another value to a cache
        (REAL, np.float32(0.5), 0.5),
        (REAL, np.int64(0), 0.0),
        (WHOLE, 7.0, 7),  # what a slider of floats sends
        (WHOLE, np.int32(7), 7),
        (FLAG, np.bool_(True), True),
        (CHOICE, "square", "square"),
    ],
)
def test_check_gives_the_parameters_own_type(param, value, checked):
    assert param.check(value) == checked
    assert type(param.check(value)) is type(checked)


@pytest.mark.parametrize(
    ("param", "value"),
    [
        *((REAL, value) for value in (1.0, -1e-300, math.nan, math.inf, True, "0.5", None, [0.5], 1j, 10**400)),
        *((WHOLE, value) for value in (0, 101, 2.5, math.nan, math.inf, False, "3", None)),
        *((FLAG, value) for value in (0, 1, "True", None, 1.0)),
        *((CHOICE, value) for value in ("oval", "", "Round", 0, None)),
    ],
)
def test_check_refuses_and_says_what_is_allowed(param, value):
    with pytest.raises(ValueError, match=param.name) as error:
        param.check(value)
    assert param.allowed in str(error.value)


@pytest.mark.parametrize(
    ("param", "text"),
    [
        *(
            (REAL, text)
            for text in ("", "abc", "nan", "inf", "-inf", "1e400", "1", "-0.1", "0x1", "1,5", "0." + "1" * 31)
        ),
        *((WHOLE, text) for text in ("", "2.5", "0", "1e9", "nan", "inf", "three")),
        *((FLAG, text) for text in ("", "2", "True", "yes", "00")),
        *((CHOICE, text) for text in ("", "oval", "ROUND", "round ")),
    ],
)
def test_parse_refuses_and_says_what_is_allowed(param, text):
    with pytest.raises(ValueError, match=param.name) as error:
        param.parse(text)
    # of a flag, what a link may say
    assert ("1 (on) or 0 (off)" if param is FLAG else param.allowed) in str(error.value)


def test_a_refusal_never_quotes_a_long_text_whole():
    with pytest.raises(ValueError, match="rate") as error:
        REAL.parse("9" * 100_000)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("param", DISTINCT, ids=lambda param: f"{param.kind}-{param.domain}")
def test_what_is_written_is_read_back_exactly(param):
    """Each kind of parameter in the catalogues, over all that its domain allows."""

    @settings(max_examples=50)
    @given(values(param))
    def exact(value):
        value = param.check(value)
        text = param.write(value)
        back = param.parse(text)
        assert back == value
        assert type(back) is type(value)
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")  # nothing that an address would escape

    exact()


@pytest.mark.parametrize(
    ("param", "value", "text"),
    [
        (REAL, 0.1, "0.1"),
        (REAL, 0.0, "0"),
        (REAL, 5e-324, "5e-324"),
        (REAL.but(domain="(-inf, inf)"), 25.0, "25"),
        (REAL.but(domain="(-inf, inf)"), -1e20, "-1e20"),
        (WHOLE, 42, "42"),
        (FLAG, True, "1"),
        (FLAG, False, "0"),
        (CHOICE, "round", "round"),
    ],
)
def test_writing_is_short(param, value, text):
    assert param.write(value) == text


@pytest.mark.parametrize("param", PARAMS)
def test_every_parameter_is_ready_for_a_control(param):
    assert param.label
    assert param.label[0].isupper()
    assert param.symbol in param.label
    assert len(param.help) > 10
    if param.kind in ("real", "whole"):
        assert param.low < param.high
        assert not param.log or param.low > 0  # a logarithmic slider cannot start at zero


@pytest.mark.parametrize("param", PARAMS)
def test_a_slider_stops_at_values_that_are_allowed_and_look_different(param):
    if param.kind in ("real", "whole"):
        stops = param.stops()
        assert param.default in stops
        assert list(stops) == sorted(set(stops))
        assert all(param.check(stop) == stop for stop in stops)
        assert len({number(stop) for stop in stops}) == len(stops) >= 10


def test_label_is_plain_words_and_the_symbol():
    assert Param("lr", "η", 0.1, title="learning rate").label == "Learning rate η"
    assert Param("weight_decay", "", 0.1).label == "Weight decay"


def test_a_choice_must_be_static():
    with pytest.raises(TypeError, match="static"):
        Param("form", "", "round", options=("round", "square"))


def test_a_default_outside_the_domain_is_refused():
    with pytest.raises(ValueError, match="rate"):
        REAL.but(default=1.0)


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        ("[0, 1]", (0, 0.5, 1), (-1e-300, 1.0000001)),
        ("(0, 1)", (5e-324, 0.999), (0, 1)),
        ("[0, 1)", (0,), (1,)),
        ("(0, 1]", (1,), (0,)),
        ("[0, inf)", (0, 1e308), (math.inf, -1)),
        ("(-inf, inf)", (-1e308, 0), (math.inf, -math.inf)),
    ],
)
def test_within(domain, inside, outside):
    assert all(within(value, domain) for value in inside)
    assert not any(within(value, domain) for value in (*outside, math.nan))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_hyper_and_unpack_are_inverse(entry):
    """Over all combinations of values: floats exactly, flags as truths, what is compiled in as Python values."""

    @settings(max_examples=10)
    @given(some_of(entry.param))
    def inverse(chosen):
        hyper = entry.hyper(**chosen)
        complete = entry.complete(chosen)
        assert hyper.traced.dtype == np.float64
        assert hyper.traced.shape == (sum(not param.static for param in entry.params),)
        assert entry.unpack(hyper.traced, hyper.static) == complete
        hash(hyper.static)  # it is part of the name of a compiled program

    inverse()


def test_ints_and_numpy_numbers_make_the_same_hyper():
    """Anything else would compile a second time."""
    entry = OPTIMIZERS["adam"]
    one, other = entry.hyper(lr=1, beta1=0), entry.hyper(lr=np.float32(1.0), beta1=np.int64(0))
    assert one.traced.tobytes() == other.traced.tobytes()
    assert one.static == other.static


def test_a_name_that_an_entry_does_not_have_is_refused():
    with pytest.raises(ValueError, match="adam has no parameter 'learning_rate'; it has lr, beta1"):
        OPTIMIZERS["adam"].hyper(learning_rate=0.1)
    with pytest.raises(ValueError, match="sphere has no parameter 'kappa'; it has no parameters"):
        SURFACES["sphere"].hyper(kappa=1.0)


@pytest.mark.parametrize("catalogue", [SURFACES, OPTIMIZERS, SCHEDULES, DATASETS], ids=lambda catalogue: catalogue.noun)
def test_find_suggests_the_nearest_names(catalogue):
    for key in catalogue:
        assert catalogue.find(key) is catalogue[key]
        with pytest.raises(ValueError, match="did you mean") as error:
            catalogue.find(key + "x")
        assert key in str(error.value)
    for nonsense in ("", "%$", None, 3, "q" * 100_000):
        with pytest.raises(ValueError, match=f"there is no {catalogue.noun} called") as error:
            catalogue.find(nonsense)
        assert len(str(error.value)) < 1000
    with pytest.raises(ValueError, match="there are") as error:
        catalogue.find("%$")
    assert all(key in str(error.value) for key in catalogue)


@pytest.fixture
def catalogue() -> Catalogue[Entry]:
    return Catalogue("gadget", Entry, argument=("x",), supplies=("t",), common=(WHOLE,))


def test_declare_makes_the_card_and_leaves_the_function(catalogue):
    def twice(x, *, t, rate, memory):
        """Two of them."""
        return 2 * x + t + rate + memory

    assert catalogue.declare(params=(REAL,), slots=("memory",), defaults={"count": 5}, **CARD)(twice) is twice
    entry = catalogue["twice"]
    assert (entry.key, entry.summary, entry.fn) == ("twice", "Two of them.", twice)
    assert entry.needs == ("t",)
    assert entry.defaults == {"rate": 0.5, "count": 5}  # its own parameters, then those of the whole catalogue
    assert list(catalogue) == ["twice"]


def test_declare_refuses_what_nobody_supplies(catalogue):
    with pytest.raises(TypeError, match=r"gadget rule asks for \['rat'\], which nobody supplies"):

        @catalogue.declare(params=(), **CARD)
        def rule(x, *, rat): ...


def test_declare_refuses_a_slot_or_parameter_that_is_never_used(catalogue):
    with pytest.raises(TypeError, match=r"never uses \['memory', 'rate'\]"):

        @catalogue.declare(params=(REAL,), slots=("memory",), **CARD)
        def rule(x): ...


def test_declare_refuses_other_positional_arguments(catalogue):
    with pytest.raises(TypeError, match=r"takes \['x', 'y'\], not \['x'\]"):

        @catalogue.declare(**CARD)
        def rule(x, y): ...


def test_declare_refuses_a_name_that_is_two_things(catalogue):
    with pytest.raises(TypeError, match="declares a name twice"):

        @catalogue.declare(params=(REAL,), slots=("rate",), **CARD)
        def rule(x, *, rate): ...


def test_declare_refuses_a_second_entry_of_the_same_name(catalogue):
    def rule(x): ...

    catalogue.declare(**CARD)(rule)
    with pytest.raises(TypeError, match="rule is declared twice"):
        catalogue.declare(**CARD)(rule)
    assert len(catalogue) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (-2.5, "−2.5"),
        (1234.56, "1235"),
        (0.0001, "0.0001"),
        (1e-5, "10⁻⁵"),
        (2.5e-10, "2.5×10⁻¹⁰"),
        (-1e20, "−10²⁰"),
        (1e300, "10³⁰⁰"),
        (math.nan, "undefined"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_number_is_for_people(value, text):
    assert number(value) == text


@given(st.floats())
def test_number_is_short_and_has_no_ascii_minus(value):
    assert len(number(value)) <= 13
    assert "-" not in number(value)
    assert "e" not in number(value).replace("undefined", "")
