"""Every page as Streamlit runs it, without a browser: controls move the experiment, and links, widgets and experiment
always agree. All tests share one session, which costs a second to start and some milliseconds a run."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.components.v2.bidi_component.constants import EVENT_DELIM
from streamlit.runtime.state.session_state import STREAMLIT_INTERNAL_KEY_PREFIX
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Widget

from optviz import backprop
from optviz.backprop import Example
from optviz.claims import CLAIMS
from optviz.experiment import PINS_AT_MOST, RACERS_AT_MOST, SETTINGS, Experiment, Pick, Racer
from optviz.glossary import WORDS, symbols
from optviz.link import to_query
from optviz.optimizers import OPTIMIZERS
from optviz.rate_claims import ON_SURFACES
from optviz.schedules import SCHEDULES
from optviz.spec import Param, Value, number
from optviz.surfaces import SURFACES
from optviz.tuning import tuned_lr
from optviz.ui.exports import DOWNLOADS, NO_VIDEO
from optviz.ui.frame import PAGES
from optviz.ui.presets import RAVINE, TWO_PATHS, WALKS

APP = Path(__file__).parents[1] / "app.py"
DESCENT, BACKPROP = "pages/descent.py", "pages/backprop.py"
BOWL = Experiment(Pick("sphere"), (Racer(Pick("sgd", {"lr": 0.1})),), steps=50)


@pytest.fixture(scope="module")
def session() -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=300).run()
    assert not at.exception
    for thread in threading.enumerate():
        if thread.name == "optviz warm-up":
            thread.join()
    return at


FOLDED = ("more", "export", "states", "memory", "About this surface", "Formula and source")


@pytest.fixture
def descent(session) -> Iterator[AppTest]:
    """The descent page as a visitor without a link finds it, with all that can be unfolded open."""
    session.query_params.clear()
    session.switch_page(DESCENT).run()
    for name in FOLDED:
        session.session_state[f"descent-{name}"] = True
    session.session_state["descent-chosen"] = 0
    session.button(key="descent-reset").click().run()
    assert experiment(session) == RAVINE
    yield session
    assert not session.exception


def experiment(at: AppTest) -> Experiment:
    return at.session_state["descent-experiment"]


def address(at: AppTest) -> dict[str, list[str]]:
    return {name: [text] if isinstance(text, str) else list(text) for name, text in at.query_params.items()}


def visit(at: AppTest, query: dict[str, list[str]]) -> AppTest:
    """Open a link to the page that is shown."""
    at.query_params.clear()
    at.query_params.update(query)
    return at.run()


def open_experiment(at: AppTest, wanted: Experiment) -> AppTest:
    visit(at, to_query(wanted, RAVINE))
    assert not at.exception
    assert experiment(at) == wanted
    return at


def widgets(at: AppTest) -> list[Widget]:
    return [node for node in at.main if isinstance(node, Widget)]


def components(at: AppTest, name: str) -> list[Any]:
    """The messages by which a page shows a component of ours."""
    return [node.proto for node in at.get("bidi_component") if node.proto.component_name.endswith(f"optviz_{name}")]


def panel(at: AppTest) -> dict[str, dict]:
    """The controls of the descent page's panel by name, as the browser is told to show them: a part without a name
    by what it says."""

    def named(parts: list[dict]) -> Iterator[tuple[str, dict]]:
        for part in parts:
            spec = json.loads(part["spec"])
            yield part.get("name") or spec.get("text", ""), {**part, "spec": spec}
            yield from named(part.get("parts", []))

    (shown,) = components(at, "panel")
    return dict(named(json.loads(shown.bytes)["parts"]))


def sliders(at: AppTest) -> list[str]:
    return [name for name, part in panel(at).items() if part["spec"]["kind"] == "slider"]


def send(at: AppTest, *moves: object) -> AppTest:
    """What a browser sends when the hand has used controls of the panel, and the run of the page that follows."""
    (shown,) = components(at, "panel")
    states = at._tree.get_widget_states()
    events = f"{STREAMLIT_INTERNAL_KEY_PREFIX}_{shown.id}{EVENT_DELIM}events"
    states.widgets.add(id=events, json_trigger_value=json.dumps([{"event": "moves", "value": moves}]))
    return at._run(states)


def heard(at: AppTest) -> int:
    (shown,) = components(at, "panel")
    return json.loads(shown.bytes)["heard"]


def use(at: AppTest, name: str, value: Value | None = None) -> AppTest:
    """Move a control of the panel to a value, given as text if it was typed, or press a button."""
    assert name in panel(at)
    before = heard(at)
    send(at, [before + 1, name, value])
    assert heard(at) == before + 1
    return at


def declared(at: AppTest) -> dict[str, Param]:
    """The parameter behind each control's name, for the whole experiment and schedules of lr."""
    now = experiment(at)
    found = dict(SETTINGS)
    found |= {f"{now.surface.key}-{name}": param for name, param in now.entry.param.items()}
    for index, racer in enumerate(now.racers):
        prefix = f"{index}-{racer.optimizer.key}"
        schedule = dict(racer.schedules).get("lr")
        found |= {f"{prefix}-{name}": param for name, param in racer.entry.param.items()}
        if schedule:
            found |= {f"{prefix}-lr-{schedule.key}-{name}": p for name, p in SCHEDULES[schedule.key].param.items()}
    return found


def drawn(at: AppTest) -> dict:
    """The record that the stage was given."""
    (stage,) = components(at, "stage")
    return json.loads(stage.bytes)


# Every page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_a_page_opens_and_offers_the_others(session, entry):
    session.query_params.clear()
    at = session.switch_page(entry.path).run()
    assert not at.exception
    assert not at.warning
    links = [link.label for link in at.get("page_link")]
    assert [other.title for other in PAGES[1:] if other.title not in links] == []
    if entry.group in ("", "Surfaces"):
        assert drawn(at)["racers"]


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_every_control_has_a_name_and_a_help_text(session, entry):
    session.query_params.clear()
    for widget in widgets(session.switch_page(entry.path).run()):
        assert widget.label
        hidden = getattr(widget.proto, "label_visibility", None)
        if hidden is not None and hidden.value:  # no label, no question mark beside it: the placeholder must do
            assert widget.proto.placeholder
        else:
            assert len(widget.proto.help) > 10, widget.label


def test_the_home_page_promises_what_there_is(session):
    at = session.switch_page("app.py").run()
    text = " ".join(element.value for element in at.markdown)
    assert f"{len(OPTIMIZERS)} optimizers" in text
    assert f"{len(SURFACES)} surfaces" in text


def rounds() -> Iterator[tuple[str, str, str]]:
    """Every surface, every optimizer and every schedule at least once, in as few runs as there are of the most."""
    catalogues = [list(SURFACES), list(OPTIMIZERS), list(SCHEDULES)]
    for i in range(max(map(len, catalogues))):
        surface, optimizer, schedule = (keys[i % len(keys)] for keys in catalogues)
        yield surface, optimizer, schedule


TOLD_BY_VISITORS = {"phase_map-click", "backprop-exact", "handout-claim", "handout-link"}  # they hold no experiment


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.title)
def test_a_page_that_runs_twice_says_its_values_twice(session, entry):
    """The browser may get the second run's messages only."""
    session.query_params.clear()
    session.switch_page(entry.path).run()
    session.run()
    shown = [item for item in widgets(session) if hasattr(item.proto, "set_value")]
    untold = {item.key for item in shown if not item.proto.set_value}
    assert untold <= TOLD_BY_VISITORS
    assert not session.exception


@pytest.mark.parametrize(("surface", "optimizer", "schedule"), list(rounds()))
def test_everything_there_is_can_be_shown_and_has_its_controls(descent, surface, optimizer, schedule):
    racer = Racer(Pick(optimizer), {"lr": Pick(schedule)})
    open_experiment(descent, Experiment(Pick(surface), (racer,), steps=50))
    assert [one["label"] for one in drawn(descent)["racers"]] == [OPTIMIZERS[optimizer].title]
    assert descent.selectbox(key="descent-surface").value == surface
    assert panel(descent)[f"0-{optimizer}-lr-by"]["value"] == schedule
    shown = panel(descent)
    assert set(declared(descent)) <= set(shown)
    assert all(len(part["spec"]["help"]) > 10 for name, part in shown.items() if name in declared(descent))
    assert all(part["spec"]["label"] for part in shown.values() if "value" in part)
    assert OPTIMIZERS[optimizer].formula in [element.value.strip("$\n") for element in descent.latex]


# Controls ------------------------------------------------------------------------------------------------------------


def test_every_slider_moves_the_experiment_and_the_address(descent):
    """And comes to rest where it was put: nothing in the page pushes it back."""
    for key in sliders(descent):
        before = experiment(descent)
        stops = declared(descent)[key].stops()
        assert panel(descent)[key]["spec"]["stops"] == list(stops)
        here = stops.index(panel(descent)[key]["value"])
        there = stops[here - 1 if here else here + 1]
        use(descent, key, there)
        assert not descent.exception, key
        if not key.endswith(("-warmup", "-warmup_start")):  # a steady schedule is none until it warms up
            assert experiment(descent) != before, key
        assert address(descent) == to_query(experiment(descent), RAVINE), key
        assert panel(descent)[key]["value"] == there, key


@pytest.mark.parametrize("name", SETTINGS)
def test_a_settings_slider_sets_that_setting(descent, name):
    use(descent, name, SETTINGS[name].stops()[3])
    assert experiment(descent) == replace(RAVINE, **{name: SETTINGS[name].stops()[3]})


def test_a_racers_slider_sets_that_racers_parameter(descent):
    use(descent, "racers", 3)
    use(descent, "3-adam-lr", 0.1)
    assert experiment(descent).racers[3].values["lr"] == 0.1
    assert experiment(descent).racers[:3] == RAVINE.racers[:3]
    use(descent, "3-adam-amsgrad", True)
    assert experiment(descent).racers[3].values["amsgrad"] is True


def test_a_choice_and_a_start_can_be_set(descent):
    use(descent, "racers", 1)
    use(descent, "1-momentum-form", "velocity")
    use(descent, "start-x", 0.5)
    use(descent, "start-y", "-0.5")
    assert experiment(descent).racers[1].values["form"] == "velocity"
    assert experiment(descent).start == (0.5, -0.5)


def test_choosing_a_surface_starts_where_it_begins(descent):
    open_experiment(descent, BOWL)
    use(descent, "start-x", 0.5)
    descent.selectbox(key="descent-surface").set_value("himmelblau").run()
    assert experiment(descent) == BOWL.on(Pick("himmelblau"))
    assert panel(descent)["start-x"]["value"] == SURFACES["himmelblau"].starts[0][0]


def test_a_schedule_can_be_chosen_and_left_again(descent):
    open_experiment(descent, BOWL)
    use(descent, "0-sgd-lr-by", "linear")
    use(descent, "0-sgd-lr-linear-warmup", 10)
    assert dict(experiment(descent).racers[0].schedules) == {"lr": Pick("linear", {"warmup": 10})}
    use(descent, "0-sgd-lr-by", "constant")
    assert experiment(descent) == BOWL


def test_a_schedule_on_another_hyperparameter(descent):
    open_experiment(descent, BOWL)
    use(descent, "0-sgd-target", "momentum")
    use(descent, "0-sgd-momentum-by", "linear")
    use(descent, "0-sgd-momentum-linear-final", 0.5)
    assert dict(experiment(descent).racers[0].schedules) == {"momentum": Pick("linear", {"final": 0.5})}
    use(descent, "0-sgd-target", "lr")  # a second one, beside it
    use(descent, "0-sgd-lr-by", "cosine")
    assert sorted(dict(experiment(descent).racers[0].schedules)) == ["lr", "momentum"]


def test_duplicate_and_remove(descent):
    use(descent, "duplicate")
    assert experiment(descent).racers == (*RAVINE.racers, RAVINE.racers[0])
    assert panel(descent)["racers"]["value"] == 4  # the copy is the one whose sliders are shown
    use(descent, "remove")
    assert experiment(descent).racers == RAVINE.racers


def test_add_an_optimizer(descent):
    use(descent, "add", "lion")
    assert experiment(descent).racers == (*RAVINE.racers, Racer.tuned("lion", "rosenbrock"))
    assert panel(descent)["add"]["value"] is None  # ready for the next
    assert "4-lion-lr" in sliders(descent)


def test_there_are_never_too_many_racers(descent):
    full = replace(RAVINE, racers=(RAVINE.racers[0],) * RACERS_AT_MOST)
    open_experiment(descent, full)
    for name, value in (("add", "adam"), ("duplicate", None)):
        assert panel(descent)[name]["spec"]["disabled"]
        use(descent, name, value)  # whatever a browser makes of that
        assert experiment(descent) == full
        assert len(descent.warning) == 1


def test_without_racers_there_is_a_hint_and_the_surface(descent):
    for _ in RAVINE.racers:
        use(descent, "remove")
        assert not descent.exception
    assert experiment(descent).racers == ()
    assert any("Nobody is racing" in name for name in panel(descent))
    assert drawn(descent)["racers"] == []
    assert drawn(descent)["panels"]
    use(descent, "add", "adam")
    assert len(drawn(descent)["racers"]) == 1
    assert not any("Nobody is racing" in name for name in panel(descent))


def test_pin_and_unpin(descent):
    use(descent, "pin")
    use(descent, "0-sgd-lr", 0.001)
    assert experiment(descent).pins == RAVINE.pinned(0).pins
    assert [racer["ghost"] for racer in drawn(descent)["racers"]] == [False] * 4 + [True]
    assert "1 pinned run" in panel(descent)
    assert address(descent)["pin"]
    use(descent, "unpin")
    assert experiment(descent).pins == ()
    assert "pin" not in address(descent)


def test_a_pin_of_another_surface_is_mentioned(descent):
    open_experiment(descent, BOWL.pinned(0).on(Pick("himmelblau")))
    assert any("on another surface" in name for name in panel(descent))
    assert not any(racer["ghost"] for racer in drawn(descent)["racers"])


@pytest.mark.parametrize("text", ["7.123", "1e-9", " 0.1 ", "0"])
def test_exact_numbers_can_be_typed_also_beyond_the_slider(descent, text):
    use(descent, "0-sgd-lr", text)
    assert experiment(descent).racers[0].values["lr"] == float(text)
    assert panel(descent)["0-sgd-lr"]["value"] == float(text)  # the slider shows it too
    use(descent, "steps", "77")
    assert experiment(descent).steps == 77
    assert panel(descent)["steps"]["text"] == "77"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("0-sgd-lr", "-1", "lr must be a number in [0, inf)"),
        ("0-sgd-lr", "1e400", "lr must be a number in [0, inf)"),
        ("0-sgd-lr", "nan", "lr must be a number in [0, inf)"),
        ("0-sgd-lr", "abc", "lr must be a number in [0, inf), not “abc”"),
        ("0-sgd-lr", "", "lr must be a number in [0, inf)"),
        ("0-sgd-lr", "0" * 33, "lr must be a number in [0, inf)"),
        ("0-sgd-lr", "__import__('os').getpid()", "lr must be a number in [0, inf)"),
        ("0-sgd-lr", None, "lr must be a number in [0, inf)"),
        ("0-sgd-lr", float("nan"), "lr must be a number in [0, inf)"),
        ("0-sgd-lr", True, "lr must be a number in [0, inf)"),
        ("0-sgd-momentum", "1.5", "momentum must be a number in [0, 1]"),
        ("0-sgd-nesterov", 3, "nesterov must be True or False"),
        ("0-sgd-lr-by", "nowhere", "schedule must be one of Constant"),
        ("steps", 10**6, "steps must be a whole number in [1, 5000]"),
        ("steps", "2.5", "steps must be a whole number in [1, 5000]"),
        ("rosenbrock-b", "0", "b must be a number in (0, inf)"),
        ("start-x", "1e9", "start must be a number"),
        ("racers", 4, "racers must be one of SGD, Momentum, RMSProp, Adam"),
        ("racers", False, "racers must be one of SGD, Momentum, RMSProp, Adam"),
        ("add", "nowhere", "add an optimizer must be one of"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(descent, name, value, says):
    """Whatever a browser sends: its limits are not to be relied on."""
    shown = panel(descent)[name]
    use(descent, name, value)
    (warning,) = descent.warning
    assert says in warning.value.replace("\\", "")
    assert experiment(descent) == RAVINE
    assert panel(descent)[name] == shown
    use(descent, "start-y", 0.25)
    assert not descent.warning  # the next change that works takes the sentence away


def test_each_move_of_the_hand_counts_once(descent):
    """A browser repeats a move until it is heard; a busy server may meet several at once."""
    first = heard(descent)
    lr = [[first + 1 + i, "0-sgd-lr", rate] for i, rate in enumerate((0.01, 0.02))]
    copies = [[first + 3, "duplicate", None], [first + 4, "duplicate", None]]
    send(descent, *lr, [first + 2.5, "0-sgd-lr", 9.0], *copies[:1])
    send(descent, *lr, *copies)
    racer = RAVINE.racers[0].but(lr=0.02)
    assert experiment(descent).racers == (racer, *RAVINE.racers[1:], racer, racer)
    assert heard(descent) == first + 4


def test_moves_follow_what_the_move_before_has_changed(descent):
    first = heard(descent)
    send(descent, [first + 1, "remove", None], [first + 2, "0-sgd-lr", 0.1], [first + 3, "steps", 200])
    assert experiment(descent) == replace(RAVINE, racers=RAVINE.racers[1:], steps=200)  # no other racer took the rate
    send(descent, [first + 4, "steps", "many"], [first + 5, "start-x", 0.5])
    assert experiment(descent).start == (0.5, 1.0)
    assert len(descent.warning) == 1  # and the other one was refused


@pytest.mark.parametrize(
    "moves", [[None], [[]], [["1", "steps", 20]], [[10**9, "steps", [20]]], [[10**9, 3, 20]], [{}]]
)
def test_a_message_that_is_no_move_is_passed_over(descent, moves):
    before = heard(descent)
    send(descent, *moves)
    assert not descent.exception
    assert experiment(descent) == RAVINE
    assert heard(descent) == before


def test_a_diverging_run_is_named(descent):
    open_experiment(descent, Experiment(Pick("rosenbrock"), (Racer(Pick("sgd", {"lr": 1.0})),)))
    record = drawn(descent)
    (racer,), (row,) = record["racers"], record["table"]["rows"]
    assert racer["state"] == f"diverged at step {racer['stop']}"
    assert record["table"]["head"][row["bad"]] == "State"
    assert row["cells"][row["bad"]] == racer["state"]
    assert row["color"] == racer["color"]


def test_a_surface_is_sent_once(descent):
    """A browser that lost it says so; a server that has a new visitor has sent nothing yet."""
    descent.session_state["descent-stage-sent"] = set()
    descent.run()
    assert drawn(descent)["panels"][0]["figure"]["data"]
    use(descent, "0-sgd-lr", 0.01)
    assert set(drawn(descent)["panels"][0]["figure"]) == {"id"}
    use(descent, "rosenbrock-b", 10.0)
    assert drawn(descent)["panels"][0]["figure"]["data"]


def test_a_run_is_sent_once(descent):
    """Only the racer whose slider moved travels again, and under another name."""
    open_experiment(descent, RAVINE)
    descent.session_state["descent-stage-sent"] = set()
    descent.run()
    before = drawn(descent)["racers"]
    assert all(racer["series"]["x"] for racer in before)
    use(descent, "0-sgd-lr", 0.001)
    first, *others = drawn(descent)["racers"]
    assert first["series"]["x"] != before[0]["series"]["x"]
    assert first["run"] != before[0]["run"]
    assert [racer["series"] for racer in others] == [None] * 3
    assert [racer["run"] for racer in others] == [racer["run"] for racer in before[1:]]


# Nothing compiles while sliders move ---------------------------------------------------------------------------------


def test_no_slider_and_no_toggle_compiles_anything(descent, compilations):
    """From one end to the other, for every racer, with everything in view that can be."""
    looks = {"points": True, "anatomy": True, "field": "arrows", "view": "both", "curves": ("loss", "rate", "slot.m")}
    open_experiment(descent, replace(RAVINE, **looks))
    before = compilations()
    moved = flags = 0
    for index in range(len(RAVINE.racers)):
        use(descent, "racers", index)
        for name, part in panel(descent).items():
            if index and not name.startswith(f"{index}-"):
                continue  # what all racers share was moved with the first
            if part["spec"]["kind"] == "slider":
                for value in (part["spec"]["stops"][-1], part["spec"]["stops"][0]):
                    use(descent, name, value)
                    assert not descent.exception
                    assert compilations() == before, f"{name} to {value}"
                    assert panel(descent)[name]["value"] == value
                    moved += 1
            if part["spec"]["kind"] == "flag":
                use(descent, name, not part["value"])
                assert compilations() == before, name
                flags += 1
    assert moved >= 40
    assert flags >= 3
    use(descent, "racers", 1)
    use(descent, "1-momentum-form", "averaging")
    assert compilations() > before  # a choice between words does, and the counter counts


# Claims, comparisons, words ------------------------------------------------------------------------------------------


def says(at: AppTest) -> str:
    return "\n".join(element.value for element in at.markdown)


@pytest.mark.parametrize("key", ON_SURFACES)
def test_a_claim_opens_with_its_experiment_and_its_number(descent, key):
    visit(descent, {"claim": [key]})
    assert not descent.exception
    assert experiment(descent) == ON_SURFACES[key].experiment
    assert address(descent) == {"claim": [key]}
    measured = ON_SURFACES[key].measure(ON_SURFACES[key].experiment)
    assert measured is not None
    assert measured.sentence in says(descent)
    assert ":green[" in says(descent)


def test_a_claim_is_measured_on_the_race_as_it_stands(descent):
    visit(descent, {"claim": ["A2"]})
    use(descent, "0-sgd-lr", 0.05)
    assert address(descent)["claim"] == ["A2"]
    measured = CLAIMS["A2"].measure(experiment(descent))
    assert measured is not None
    assert measured.sentence in says(descent)
    before = CLAIMS["A2"].measure(CLAIMS["A2"].experiment)
    assert before is not None
    assert measured.sentence != before.sentence
    descent.selectbox(key="descent-surface").set_value("rosenbrock").run()
    assert "lacks what the claim is about" in says(descent)
    descent.button(key="descent-reset").click().run()
    assert experiment(descent) == CLAIMS["A2"].experiment


def test_a_claim_can_be_closed_and_leaves_its_race(descent):
    visit(descent, {"claim": ["A6"]})
    descent.button(key="descent-close-claim").click().run()
    assert experiment(descent) == CLAIMS["A6"].experiment
    assert address(descent) == to_query(CLAIMS["A6"].experiment, RAVINE)
    assert CLAIMS["A6"].says not in says(descent)


def test_a_claim_that_there_is_not(descent):
    visit(descent, {"claim": ["A99"]})
    (warning,) = descent.warning
    assert "A99" in warning.value
    assert experiment(descent) == RAVINE
    assert address(descent) == {}


def test_tuned_rates_and_the_same_rate(descent):
    assert panel(descent)["rates"]["value"] == "own"
    use(descent, "rates", "tuned")
    now = experiment(descent)
    assert [racer.values["lr"] for racer in now.racers] == [
        tuned_lr("rosenbrock", racer.optimizer.key) for racer in now.racers
    ]
    assert any("quickest on this surface" in name for name in panel(descent))
    use(descent, "rates", "same")
    assert {racer.values["lr"] for racer in experiment(descent).racers} == {now.racers[0].values["lr"]}
    assert any("at one rate" in name for name in panel(descent))
    use(descent, "0-sgd-lr", 0.5)
    assert panel(descent)["rates"]["value"] == "own"


def test_every_symbol_leads_to_the_glossary(descent):
    """And the glossary has it."""
    known = symbols()
    for name in sliders(descent):
        assert panel(descent)[name]["spec"]["term"] == f"glossary?term={declared(descent)[name].name}"
    for catalogue in (OPTIMIZERS, SCHEDULES, SURFACES):
        for entry in catalogue.values():
            assert {param.name for param in entry.params} <= set(known)
    descent.query_params.clear()
    descent.query_params["term"] = "beta1"
    page = descent.switch_page("pages/glossary.py").run()
    assert not page.exception
    assert page.markdown[0].value.startswith("**Beta 1 β₁**")
    assert all(
        sentence.endswith(".") and word in " ".join(m.value for m in page.markdown) for word, sentence in WORDS.items()
    )


@pytest.mark.parametrize("term", ["nonsense", "![](https://a.io/p.png)", ""])
def test_a_word_that_the_glossary_lacks(session, term):
    session.query_params.clear()
    session.query_params["term"] = term
    page = session.switch_page("pages/glossary.py").run()
    assert not page.exception
    assert len(page.warning) == 1
    assert term == "" or term not in page.warning[0].value


def test_what_is_folded_away_is_not_made(session):
    session.query_params.clear()
    for name in FOLDED:
        session.session_state[f"descent-{name}"] = False
    at = session.switch_page(DESCENT).run()
    assert not at.exception
    assert not at.code
    assert not at.latex


# Links ---------------------------------------------------------------------------------------------------------------

LINKED = [
    replace(RAVINE, steps=300),
    RAVINE.pinned(2),
    replace(RAVINE, racers=()),
    Experiment(
        Pick("valley", {"kappa": 123.4, "rotation": 30.0}),  # between the slider's stops
        racers=(
            Racer(Pick("sgd", {"lr": 0.02, "momentum": 0.9, "nesterov": True}), {"lr": Pick("cosine", {"final": 0.1})}),
            Racer(Pick("adam", {"lr": 2.5, "beta2": 0.5})),  # beyond it
            Racer(Pick("momentum", {"form": "velocity"}), {"momentum": Pick("linear")}),
        ),
        start=(-0.123456789, 1.5),
        steps=77,
        noise=0.3,
        seed=12,
        l2=0.01,
        tolerance=1e-3,
    ),
]


@pytest.mark.parametrize("linked", LINKED, ids=["steps", "pin", "no racers", "everything"])
def test_link_to_widgets_to_link(descent, linked):
    query = to_query(linked, RAVINE)
    visit(descent, query)
    assert not descent.exception
    assert not descent.warning
    assert experiment(descent) == linked
    assert address(descent) == query
    assert descent.selectbox(key="descent-surface").value == linked.surface.key
    shown = panel(descent)
    assert (shown["start-x"]["value"], shown["start-y"]["value"]) == linked.start
    for name in SETTINGS:
        assert shown[name]["value"] == getattr(linked, name)
    for name, value in linked.surface_values.items():
        assert shown[f"{linked.surface.key}-{name}"]["value"] == value
    for index, racer in enumerate(linked.racers):
        use(descent, "racers", index)
        shown = panel(descent)
        for name, value in racer.values.items():
            assert shown[f"{index}-{racer.optimizer.key}-{name}"]["value"] == value
        for name, pick in racer.schedules:
            assert shown[f"{index}-{racer.optimizer.key}-{name}-by"]["value"] == pick.key
    assert experiment(descent) == linked  # looking at a racer changes nothing
    assert address(descent) == query


def test_a_link_that_cannot_be_read_is_explained_and_cleaned(descent):
    visit(descent, {"surface": ["nowhere"], "racer": ["adam~lr~abc", "lion"], "steps": ["300"], "x": ["1"]})
    assert not descent.exception
    assert len(descent.warning) == 3
    assert experiment(descent) == replace(RAVINE, racers=(Racer(Pick("adam")), Racer(Pick("lion"))), steps=300)
    assert address(descent) == {"v": ["1"], "racer": ["adam", "lion"], "steps": ["300"]}
    descent.run()
    assert len(descent.warning) == 3  # until something is changed
    use(descent, "steps", 200)
    assert not descent.warning


@pytest.mark.parametrize(
    "text", ["![](https://a.io/p.png)", "[here](https://a.io)", "**bold**", "$x$", ":red[a]", "<b>"]
)
def test_a_link_cannot_put_its_own_text_into_a_message_as_markdown(descent, text):
    """A picture would be fetched from somebody's server."""
    visit(descent, {"surface": [text]})
    (warning,) = descent.warning
    special = set("![]()*$:<>_`")
    escaped = "".join(f"\\{letter}" if letter in special else letter for letter in text)
    parted = escaped.replace("\\://", "\\://\u2060")  # or it would become a link by itself
    assert parted in warning.value


def test_back_to_the_empty_address_is_back_to_the_beginning(descent):
    open_experiment(descent, LINKED[-1])
    visit(descent, {})
    assert experiment(descent) == RAVINE


def test_reset(descent):
    open_experiment(descent, LINKED[-1])
    descent.button(key="descent-reset").click().run()
    assert experiment(descent) == RAVINE
    assert address(descent) == {}
    assert descent.selectbox(key="descent-surface").value == "rosenbrock"


def test_reset_takes_an_old_warning_away(descent):
    visit(descent, {"surface": ["nowhere"]})
    assert descent.warning
    descent.button(key="descent-reset").click().run()
    assert not descent.warning


def test_settings_survive_a_page_switch(descent):
    open_experiment(descent, LINKED[-1])
    descent.query_params.clear()  # as st.page_link does
    descent.switch_page("app.py").run()
    assert not descent.exception
    descent.query_params.clear()
    descent.switch_page(DESCENT).run()
    assert experiment(descent) == LINKED[-1]
    assert address(descent) == to_query(LINKED[-1], RAVINE)
    assert panel(descent)["steps"]["value"] == 77


def test_a_link_wins_over_what_was_left_behind(descent):
    open_experiment(descent, LINKED[-1])
    descent.switch_page("app.py").run()
    descent.query_params.clear()
    descent.query_params.update({"v": "1", "steps": "300"})
    descent.switch_page(DESCENT).run()
    assert experiment(descent) == replace(RAVINE, steps=300)


def test_as_many_pins_as_there_may_be(descent):
    pinned = RAVINE
    for i in range(PINS_AT_MOST + 1):
        pinned = pinned.with_racer(0, Racer(Pick("sgd", {"lr": 0.0001 * (i + 1)}))).pinned(0)
    open_experiment(descent, pinned)
    assert sum(racer["ghost"] for racer in drawn(descent)["racers"]) == PINS_AT_MOST


def test_the_experiment_leaves_the_app_as_a_file_of_each_kind(descent, monkeypatch):
    """The buttons are there and cost nothing: a file is made when its button is pressed (test_export.py reads them)."""
    monkeypatch.setattr("optviz.ui.exports.encoder", lambda: "ffmpeg")
    descent.run()
    buttons = {node.proto.label: node.proto for node in descent.get("download_button")}
    assert list(buttons) == [download.label for download in DOWNLOADS]
    assert all(proto.help and not proto.disabled for proto in buttons.values())
    assert not any(proto.url for proto in buttons.values())
    monkeypatch.setattr("optviz.ui.exports.encoder", lambda: None)
    descent.run()
    assert [node.proto.label for node in descent.get("download_button")] == [*buttons][:-1]
    assert NO_VIDEO in [caption.value for caption in descent.caption]
    descent.session_state["descent-experiment"] = replace(RAVINE, racers=())
    descent.run()
    assert all(node.proto.disabled for node in descent.get("download_button"))


# The backpropagation walk --------------------------------------------------------------------------------------------


@pytest.fixture
def walk(session) -> Iterator[AppTest]:
    """The walk as a visitor without a link finds it, its form for another network open."""
    session.query_params.clear()
    session.switch_page(BACKPROP).run()
    session.session_state["backprop-shape"] = True
    session.session_state["backprop-exact"] = False
    session.button(key="backprop-reset").click().run()
    assert walked(session) == TWO_PATHS
    yield session
    assert not session.exception


def walked(at: AppTest) -> Example:
    return at.session_state["backprop-experiment"]


def walk_record(at: AppTest) -> dict:
    """What the picture of the walk was given."""
    (node,) = (node for node in at.get("bidi_component") if node.proto.component_name.endswith("optviz_walk"))
    return json.loads(node.proto.bytes)


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_opens_from_its_link_and_its_widgets_show_it(walk, title):
    wanted = WALKS[title]
    query = backprop.to_query(wanted, TWO_PATHS)
    visit(walk, query)
    assert not walk.warning
    assert walked(walk) == wanted
    assert address(walk) == query
    # every kind of widget has a value, which their common class does not declare
    shown = {widget.key: widget.value for widget in widgets(walk)}  # type: ignore[attr-defined]
    assert shown["backprop-chosen"] == wanted.chosen
    assert shown["backprop-activation"] == wanted.activation
    for name, (_, value) in wanted.quantities.items():
        if name[0] in "xy" or name == wanted.chosen:
            assert shown[f"backprop-{name}"] == value
    assert walk_record(walk)["nodes"]["L"]["value"] == number(backprop.graph(wanted).loss, 3)
    assert walk_record(walk)["chain"]["name"] == wanted.chosen
    said = " ".join(element.value for element in walk.markdown)
    assert "Measured here:" in said
    assert all(remark in said for remark in backprop.remarks(wanted))


def test_the_claim_of_the_walk_opens_by_its_name(walk):
    visit(walk, {"claim": ["C2"]})
    assert not walk.warning
    assert walked(walk) == TWO_PATHS
    assert address(walk) == {"claim": ["C2"]}
    visit(walk, {"claim": ["C99"]})
    assert len(walk.warning) == 1


def test_every_slider_of_the_walk_moves_its_number_and_the_address(walk):
    for slider in [slider.key for slider in walk.select_slider]:
        before, name = walked(walk), slider.removeprefix("backprop-")
        param, value = before.quantities[name] if name in before.quantities else (backprop.SETTINGS[name], before.lr)
        stops = param.stops()
        wanted = stops[stops.index(value) + 1 - 2 * (value == stops[-1])]
        walk.select_slider(key=slider).set_value(wanted).run()
        changed = replace(before, lr=wanted) if name == "lr" else before.but(name, float(wanted))
        assert walked(walk) == changed
        assert address(walk) == backprop.to_query(changed, TWO_PATHS)
        assert walk.select_slider(key=slider).value == wanted


def test_any_weight_can_be_chosen_and_moved(walk):
    walk.selectbox(key="backprop-chosen").set_value("b2.2").run()
    walk.select_slider(key="backprop-b2.2").set_value(1.5).run()
    assert walked(walk) == replace(TWO_PATHS, chosen="b2.2").but("b2.2", 1.5)
    assert walk_record(walk)["parameters"]["b2.2"]["value"] == "1.5"
    assert walk_record(walk)["chain"]["symbol"] == "b²₂"


def test_the_loss_and_the_network_can_be_changed(walk):
    walk.selectbox(key="backprop-loss").set_value("cross-entropy").run()
    assert walked(walk) == TWO_PATHS.with_loss("cross-entropy")
    walk.button_group(key="backprop-size-3").set_value(2).run()
    walk.button_group(key="backprop-size-0").set_value(3).run()
    walk.button_group(key="backprop-size-2").set_value(0).run()
    assert (len(walked(walk).inputs), walked(walk).widths) == (3, (1, 2))
    assert [len(layer) for layer in walk_record(walk)["columns"]] == [3, 1, 2, 2, 1]


def test_one_gradient_step_shows_the_loss_before_and_after(walk):
    before, after = TWO_PATHS, backprop.stepped(TWO_PATHS)
    walk.button(key="backprop-step").click().run()
    assert walked(walk) == after
    told = f"{number(backprop.graph(before).loss)} → {number(backprop.graph(after).loss)}"
    assert any(told in element.value and "fell" in element.value for element in walk.markdown)
    walk.select_slider(key="backprop-x1").set_value(2.0).run()
    assert not any(told in element.value for element in walk.markdown)  # it is another example now


def test_a_step_that_goes_too_far_is_refused_with_a_sentence(walk):
    far = replace(TWO_PATHS, lr=1e6, target=(1e6,))
    visit(walk, backprop.to_query(far, TWO_PATHS))
    walk.button(key="backprop-step").click().run()
    (warning,) = walk.warning
    assert "w must be a number in" in warning.value
    assert walked(walk) == far


def test_a_number_can_be_typed_beyond_the_slider_and_nonsense_is_refused(walk):
    walk.toggle(key="backprop-exact").set_value(True).run()
    walk.number_input(key="backprop-x1-exact").set_value(123.5).run()
    assert walked(walk) == TWO_PATHS.but("x1", 123.5)
    walk.number_input(key="backprop-x1-exact").set_value(1e9).run()
    assert "x must be a number in" in walk.warning[0].value
    assert walked(walk) == TWO_PATHS.but("x1", 123.5)


def test_a_link_to_the_walk_that_cannot_be_read_is_explained(walk):
    visit(walk, {"net": ["9-9"], "weights": ["1~2"], "activation": ["relu"]})
    assert len(walk.warning) == 2
    assert walked(walk) == replace(TWO_PATHS, activation="relu")
    walk.button(key="backprop-reset").click().run()
    assert not walk.warning
    assert walked(walk) == TWO_PATHS
    assert address(walk) == {}


def test_a_page_that_is_broken_off_before_it_wrote_its_address_keeps_what_lay_on_the_desk():
    """A visitor comes back, and a component asks for another run before the first has come to its end."""

    def page():
        from dataclasses import replace

        import streamlit as st

        from optviz.ui.desk import Desk
        from optviz.ui.presets import RAVINE

        desk = Desk("descent", default=RAVINE)
        desk.open(arrived=True)
        desk.put(replace(RAVINE, steps=77))
        desk.publish()
        st.query_params.clear()  # another page, and back
        desk.open(arrived=True)
        desk.open(arrived=False)
        st.text(desk.experiment.steps)
        desk.publish()
        st.text(st.query_params["steps"])

    shown = AppTest.from_function(page).run()
    assert not shown.exception
    assert [text.value for text in shown.text] == ["77", "77"]
