"""Links: every experiment survives being written into an address, and every address opens something."""

from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from optviz.descent import schedulable
from optviz.experiment import (
    COORDINATE,
    PINS_AT_MOST,
    RACERS_AT_MOST,
    SETTINGS,
    Experiment,
    Pick,
    Racer,
)
from optviz.link import NOBODY, from_query, to_query
from optviz.optimizers import OPTIMIZERS
from optviz.query import FIELD_AT_MOST, MESSAGES_AT_MOST, VERSION
from optviz.schedules import SCHEDULES
from optviz.surfaces import SURFACES
from strategies import experiments

LONGEST_MESSAGE = 1000  # characters: the refusals that list a whole catalogue are the longest
SGD = Racer(Pick("sgd", {"lr": 0.1}))
DEFAULT = Experiment(Pick("rosenbrock"), (SGD, Racer(Pick("adam", {"lr": 0.05}))), start=(-1.0, 1.0))


# There and back ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(experiments(), experiments())
@example(DEFAULT, DEFAULT.pinned(0))  # a link must be able to say “no pins”
@example(replace(DEFAULT, racers=()), DEFAULT)
def test_there_and_back(experiment, default):
    assert from_query(to_query(experiment, default), default) == (experiment, [])


@settings(max_examples=60)
@given(experiments())
def test_there_and_back_through_an_address(experiment):
    """And nothing in it needs escaping, so that it can be read and typed."""
    query, default = to_query(experiment, DEFAULT), DEFAULT
    address = urlencode(query, doseq=True)
    assert "%" not in address
    assert "+" not in address
    assert from_query(parse_qs(address), default) == (experiment, [])


@settings(max_examples=20)
@given(experiments())
def test_the_default_needs_no_link(default):
    assert to_query(default, default) == {}
    assert from_query({}, default) == (default, [])


@pytest.mark.parametrize("key", SURFACES)
def test_every_surface_opens_from_its_name_alone(key):
    assert from_query({"surface": [key]}, DEFAULT) == (DEFAULT.on(Pick(key)), [])


@pytest.mark.parametrize("key", OPTIMIZERS)
def test_every_optimizer_opens_from_its_name_alone(key):
    assert from_query({"racer": [key]}, DEFAULT) == (replace(DEFAULT, racers=(Racer(Pick(key)),)), [])


@pytest.mark.parametrize("key", SCHEDULES)
def test_every_schedule_opens_from_its_name_alone(key):
    racer = Racer(Pick("sgd"), {"lr": Pick(key)})
    assert from_query({"racer": [f"sgd~lr.by~{key}"]}, DEFAULT) == (replace(DEFAULT, racers=(racer,)), [])


def test_a_link_reads_as_a_description():
    experiment = Experiment(
        Pick("valley", {"kappa": 50.0}),
        racers=(
            Racer(Pick("sgd", {"lr": 0.02, "nesterov": True, "momentum": 0.9})),
            Racer(Pick("adam"), {"lr": Pick("cosine", {"final": 0.1})}),
        ),
        start=(-2.0, 1.0),
        steps=300,
    )
    assert to_query(experiment, DEFAULT) == {
        "v": [VERSION],
        "surface": ["valley~kappa~50"],
        "start": ["-2~1"],
        "steps": ["300"],
        "racer": ["sgd~lr~0.02~momentum~0.9~nesterov~1", "adam~lr.by~cosine~lr.final~0.1"],
    }


@pytest.mark.parametrize(
    ("experiment", "fields"),
    [
        (replace(DEFAULT, steps=300), {"steps"}),
        (replace(DEFAULT, start=(0.0, 0.0)), {"start"}),
        (DEFAULT.on(Pick("sphere")), {"surface"}),  # starts where the sphere begins
        (replace(DEFAULT.on(Pick("sphere")), start=DEFAULT.start), {"surface", "start"}),
        (DEFAULT.with_racer(1, None), {"racer"}),
        (DEFAULT.pinned(0), {"pin"}),
    ],
)
def test_only_what_differs_is_written(experiment, fields):
    assert set(to_query(experiment, DEFAULT)) == {"v", *fields}


def test_a_pin_carries_the_conditions_under_which_it_ran():
    experiment = Experiment(Pick("valley", {"kappa": 50.0}), (SGD,), start=(-2.0, 1.0), noise=0.5, seed=3)
    pinned = replace(experiment.pinned(0).on(Pick("sphere")), racers=DEFAULT.racers, noise=0.0)
    query = to_query(pinned, DEFAULT)
    assert query["pin"] == ["sgd~lr~0.1~.surface~valley~.kappa~50~.x~-2~.y~1~.noise~0.5~.seed~3"]
    assert from_query(query, DEFAULT) == (pinned, [])


def test_a_pin_typed_by_hand_may_leave_its_conditions_out():
    opened, messages = from_query({"pin": ["sgd~lr~0.1"]}, DEFAULT)
    assert messages == []
    assert opened.pins == (Experiment(DEFAULT.surface, (SGD,)),)


def test_the_longest_racer_and_pin_fit_into_what_is_read_of_a_field():
    """Every parameter of the surface, every hyperparameter and a schedule for each, in 24 characters a number."""
    schedule = max(SCHEDULES.values(), key=lambda entry: sum(len(param.name) for param in entry.params))
    settings = "".join(f"~.{name}~{'9' * 24}" for name in (*SETTINGS, "x", "y", "surface"))
    surface = max(sum(len(f"~.{param.name}~") + 24 for param in entry.params) for entry in SURFACES.values())
    for entry in OPTIMIZERS.values():
        own = sum(len(f"~{param.name}~") + 24 for param in entry.params)
        bound = sum(
            len(f"~{name}.by~{schedule.key}") + sum(len(f"~{name}.{p.name}~") + 24 for p in schedule.params)
            for name in schedulable(entry)
        )
        assert len(entry.key) + own + bound + surface + len(settings) <= FIELD_AT_MOST, entry.key


# The grammar ---------------------------------------------------------------------------------------------------------


def test_no_name_holds_a_separator():
    for catalogue in (SURFACES, OPTIMIZERS, SCHEDULES):
        for key, entry in catalogue.items():
            words = [key, *entry.param, *(option for param in entry.params for option in param.options)]
            assert not [word for word in words if set(word) & set("~.")]
            assert NOBODY not in words


def test_conditions_of_a_pin_have_one_meaning_each():
    taken = {"surface", "x", "y", *SETTINGS}
    assert len(taken) == 3 + len(SETTINGS)
    for entry in SURFACES.values():
        assert not taken & set(entry.param), entry.key


def test_a_schedules_parameter_is_not_called_like_the_word_that_names_it():
    assert not [key for key, entry in SCHEDULES.items() if "by" in entry.param]


def test_a_setting_is_not_called_like_another_field():
    assert not {"v", "surface", "start", "racer", "pin"} & set(SETTINGS)


# Nonsense ------------------------------------------------------------------------------------------------------------

LONG = "x" * 100_000
UNREADABLE_NUMBERS = [
    "",
    "abc",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1;2",
    "0x10",
    "½",
    "1" * 33,
    LONG,
    "1e-",
    "--1",
    "1\x00",
    "\u202e1",
]


@pytest.mark.parametrize("text", UNREADABLE_NUMBERS)
def test_a_bad_learning_rate_costs_the_learning_rate_only(text):
    opened, messages = from_query({"racer": [f"adam~lr~{text}~beta1~0.5", "lion"], "steps": ["300"]}, DEFAULT)
    assert opened == replace(
        DEFAULT, racers=(Racer(Pick("adam", {} if text == LONG else {"beta1": 0.5})), Racer(Pick("lion"))), steps=300
    )
    assert len(messages) == 1
    assert "lr must be a number in [0, inf)" in messages[0]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("text", UNREADABLE_NUMBERS)
def test_a_bad_setting_costs_that_setting_only(name, text):
    opened, messages = from_query({name: [text], "surface": ["sphere"], "racer": ["lion"]}, DEFAULT)
    assert opened == replace(DEFAULT.on(Pick("sphere")), racers=(Racer(Pick("lion")),))
    assert len(messages) == 1
    assert f"{name} must be" in messages[0]


# The field that is bad, as a link has it, what the message must say, and what else changes.
BAD_FIELDS = [
    ({"surface": ["valey"]}, "did you mean valley"),
    ({"surface": [""]}, "there is no surface called ''"),
    ({"surface": [LONG]}, "there is no surface called"),
    ({"surface": ["~~"]}, "there is no surface called ''"),
    ({"steps": ["1e9"]}, "steps must be a whole number in [1, 5000]"),
    ({"steps": ["2.5"]}, "steps must be a whole number in [1, 5000]"),
    ({"steps": ["0"]}, "steps must be a whole number in [1, 5000]"),
    ({"start": ["1"]}, "start must be two numbers, not 1"),
    ({"start": ["1~2~3"]}, "start must be two numbers, not 3"),
    ({"start": ["~".join("1" * 1000)]}, "start must be two numbers, not 1000"),
    ({"start": ["1~x"]}, "start must be a number"),
    ({"start": ["1e9~0"]}, "start must be a number in [-1e6, 1e6]"),
    ({"start": [""]}, "start must be a number"),
    ({"colour": ["red"]}, "there is no field “colour”"),
    ({LONG: ["red"]}, "there is no field “xxx"),
    ({"racer": ["adamm"]}, "did you mean adam"),
    ({"racer": [""]}, "there is no optimizer called ''"),
    ({"racer": [LONG]}, "there is no optimizer called"),
    ({"v": ["2"]}, "written by another version"),
    ({"v": [""]}, "written by another version"),
    ({"pin": ["adamm"]}, "did you mean adam"),
    ({"pin": ["sgd~.surface~valey"]}, "did you mean valley"),
    ({"pin": [""]}, "there is no optimizer called ''"),
]


@pytest.mark.parametrize(("query", "says"), BAD_FIELDS, ids=lambda part: str(part)[:40])
def test_a_field_that_cannot_be_read_falls_back_alone(query, says):
    others = {name: text for name, text in {"seed": ["7"], "noise": ["0.5"]}.items() if name not in query}
    opened, messages = from_query({**others, **query}, DEFAULT)
    assert opened == replace(DEFAULT, seed=7, noise=0.5)
    assert len(messages) == 1
    assert says in messages[0]


# What is bad within a racer, and the racer that is left.
BAD_PARTS = [
    ("sgd~lr~0.1~nesterov~yes", SGD, "nesterov must be 1 (on) or 0 (off)"),
    ("sgd~lr~0.1~beta1~0.5", SGD, "there is no parameter “beta1”; there are lr, momentum"),
    ("sgd~lr~0.1~momentum", SGD, "“momentum” stands without a value"),
    ("sgd~lr~0.1~~", SGD, "there is no parameter “”"),
    ("sgd~lr~0.1~lr.by~cosin", SGD, "did you mean cosine"),
    ("sgd~lr~0.1~lr.final~0.5", SGD, "no “lr.by” says which"),
    ("sgd~lr~0.1~nesterov.by~cosine", SGD, "sgd cannot schedule 'nesterov'; it can schedule lr, momentum"),
    (f"sgd~lr~0.1~{'y' * 1500}.by~cosine", SGD, "sgd cannot schedule 'yyy"),
    ("sgd~lr~0.1~.noise~0.5", SGD, "only a pin has conditions of its own"),
    (
        "sgd~lr~0.1~lr.by~cosine~lr.final~2",
        Racer(SGD.optimizer, {"lr": Pick("cosine")}),
        "final must be a number in [0, 1]",
    ),
    (
        "sgd~lr~0.1~lr.by~cosine~lr.factor~2",
        Racer(SGD.optimizer, {"lr": Pick("cosine")}),
        "there is no parameter “factor”",
    ),
    ("momentum~form~oval", Racer(Pick("momentum")), "form must be one of accumulating"),
    ("lbfgs~memory~2.5", Racer(Pick("lbfgs")), "memory must be a whole number in [1, 20]"),
]


@pytest.mark.parametrize(("text", "racer", "says"), BAD_PARTS, ids=lambda part: str(part)[:40])
def test_a_part_of_a_racer_that_cannot_be_read_falls_back_alone(text, racer, says):
    opened, messages = from_query({"racer": [text, "lion"]}, DEFAULT)
    assert opened == replace(DEFAULT, racers=(racer, Racer(Pick("lion"))))
    assert len(messages) == 1
    assert says in messages[0]
    assert len(messages[0]) <= LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("surface", "left", "says"),
    [
        ("valley~kappa~0", Pick("valley"), "kappa must be a number in (0, inf)"),
        ("valley~kappa~7~rotation~up", Pick("valley", {"kappa": 7.0}), "rotation must be a number"),
        ("valley~kapa~7", Pick("valley"), "there is no parameter “kapa”; there are kappa, rotation"),
        ("sphere~kappa~7", Pick("sphere"), "there is no parameter “kappa”; there are none"),
        ("valley~kappa", Pick("valley"), "“kappa” stands without a value"),
    ],
)
def test_a_part_of_the_surface_that_cannot_be_read_falls_back_alone(surface, left, says):
    opened, messages = from_query({"surface": [surface]}, DEFAULT)
    assert opened == DEFAULT.on(left)
    assert len(messages) == 1
    assert says in messages[0]


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (".kappa~0", "kappa must be a number in (0, inf)"),
        (".steps~2.5", "steps must be a whole number"),
        (".x~far", "x must be a number in [-1e6, 1e6]"),
        (".colour~red", "there is no parameter “colour”"),
    ],
)
def test_a_condition_of_a_pin_that_cannot_be_read_falls_back_alone(condition, says):
    opened, messages = from_query({"pin": [f"sgd~lr~0.1~.surface~valley~.seed~7~{condition}"]}, DEFAULT)
    assert opened.pins == (Experiment(Pick("valley"), (SGD,), seed=7),)
    assert len(messages) == 1
    assert says in messages[0]


def test_a_racer_nobody_knows_leaves_the_others():
    opened, messages = from_query({"racer": ["lion", "tiger", "sgd~lr~0.1"]}, DEFAULT)
    assert opened.racers == (Racer(Pick("lion")), SGD)
    assert len(messages) == 1


@pytest.mark.parametrize(("name", "most"), [("racer", RACERS_AT_MOST), ("pin", PINS_AT_MOST)])
def test_too_many_are_cut_off_and_counted(name, most):
    texts = [f"sgd~lr~0.{i + 1}" for i in range(most + 3)]
    opened, messages = from_query({name: texts}, DEFAULT)
    kept = opened.racers if name == "racer" else tuple(pin.racers[0] for pin in opened.pins)
    assert [racer.values["lr"] for racer in kept] == [float(f"0.{i + 1}") for i in range(most)]
    assert messages == [f"Only the first {most} of {most + 3} {name}s are shown."]


@pytest.mark.parametrize("name", ["racer", "pin"])
def test_of_a_field_without_end_only_the_beginning_is_read(name):
    """However many parts there are, the work stays small."""
    endless = "sgd" + "~momentum~0.5" * 100_000 + "~lr~0.2"
    opened, _ = from_query({name: [endless], "surface": ["valley" + "~rotation~10" * 100_000 + "~kappa~7"]}, DEFAULT)
    racer = opened.racers[0] if name == "racer" else opened.pins[0].racers[0]
    assert racer.values["momentum"] == 0.5
    assert racer.values["lr"] == OPTIMIZERS["sgd"].defaults["lr"]
    assert dict(opened.surface.values) == {"rotation": 10.0}


def test_of_a_repeated_field_the_last_counts():
    assert from_query({"steps": ["100", "300"]}, DEFAULT) == (replace(DEFAULT, steps=300), [])
    assert from_query({"steps": []}, DEFAULT) == (DEFAULT, [])
    assert from_query({"racer": [], "pin": []}, DEFAULT) == (DEFAULT, [])


# Words that come near to what a link may hold, and text that does not.
words = st.sampled_from(
    ["sgd", "adam", "valley", "kappa", "lr", "lr.by", "cosine", ".x", ".surface", ".", "~", "", "none", "nan", "1e400"]
)
near = st.lists(words | st.text(max_size=5), max_size=12).map("~".join)
anything = near | st.text(max_size=100) | st.just(LONG) | st.floats().map(str)
fields = st.sampled_from(["v", "surface", "start", "racer", "pin", *SETTINGS]) | st.text(max_size=40)


@settings(max_examples=200)
@given(st.dictionaries(fields, st.lists(anything, max_size=12), max_size=8))
def test_any_text_at_all_opens_a_valid_experiment(query):
    opened, messages = from_query(query, DEFAULT)
    assert from_query(to_query(opened, DEFAULT), DEFAULT) == (opened, [])
    assert len(messages) <= MESSAGES_AT_MOST
    for message in messages:
        assert len(message) <= LONGEST_MESSAGE
        assert "x" * 50 not in message


@given(st.text(alphabet="٣۵߂१１²½Ⅷ一∞-+.eE_ \t\n", min_size=1, max_size=8))
def test_digits_of_other_scripts_make_a_valid_value_or_a_message(text):
    opened, messages = from_query({"noise": [text], "start": [f"{text}~{text}"]}, DEFAULT)
    for name, value in (("noise", opened.noise), ("start", opened.start[0])):
        param = SETTINGS.get(name, COORDINATE)
        assert param.check(value) == value
        assert param.parse(param.write(value)) == value
    assert bool(messages) or opened != DEFAULT or float(text) == 0
