"""Every page as Streamlit runs it, without a browser: controls move the experiment, and links, widgets and experiment
always agree. All tests share one session, which costs a second to start and some milliseconds a run."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Widget

from optviz import backprop
from optviz.backprop import Example
from optviz.claims import CLAIMS
from optviz.experiment import PINS_AT_MOST, RACERS_AT_MOST, SETTINGS, Experiment, Pick, Racer
from optviz.glossary import WORDS, symbols
from optviz.link import to_query
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.spec import Param, number
from optviz.surfaces import SURFACES
from optviz.tuning import tuned_lr
from optviz.ui.exports import DOWNLOADS
from optviz.ui.frame import PAGES
from optviz.ui.presets import RAVINE, TWO_PATHS, WALKS

APP = Path(__file__).parents[1] / "app.py"
DESCENT, BACKPROP = "pages/descent.py", "pages/backprop.py"
BOWL = Experiment(Pick("sphere"), (Racer(Pick("sgd", {"lr": 0.1})),), steps=50)


@pytest.fixture(scope="module")
def session() -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=120).run()
    assert not at.exception
    for thread in threading.enumerate():
        if thread.name == "optviz warm-up":
            thread.join()
    return at


FOLDED = ("schedule", "conditions", "more", "export", "states", "memory", "About this surface", "Formula and source")


@pytest.fixture
def descent(session) -> Iterator[AppTest]:
    """The descent page as a visitor without a link finds it, with all that can be unfolded open."""
    session.query_params.clear()
    session.switch_page(DESCENT).run()
    for name in FOLDED:
        session.session_state[f"descent-{name}"] = True
    if session.session_state.get("descent-exact"):
        session.toggle(key="descent-exact").set_value(False)
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


def declared(at: AppTest) -> dict[str, Param]:
    """The parameter behind each widget key, for the whole experiment and schedules of lr."""
    now = experiment(at)
    found = {f"descent-{name}": param for name, param in SETTINGS.items()}
    found |= {f"descent-{now.surface.key}-{name}": param for name, param in now.entry.param.items()}
    for index, racer in enumerate(now.racers):
        prefix = f"descent-{index}-{racer.optimizer.key}"
        schedule = dict(racer.schedules).get("lr")
        found |= {f"{prefix}-{name}": param for name, param in racer.entry.param.items()}
        if schedule:
            found |= {f"{prefix}-lr-{schedule.key}-{name}": p for name, p in SCHEDULES[schedule.key].param.items()}
    return found


def drawn(at: AppTest) -> dict:
    """The record that the stage was given."""
    stages = [node.proto for node in at.get("bidi_component") if node.proto.component_name.endswith("optviz_stage")]
    assert len(stages) == 1
    for _, value in stages[0].ListFields():
        if isinstance(value, str) and '"racers"' in value and value.startswith("{"):
            return json.loads(value)
    raise AssertionError("the stage was given no record")


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


@pytest.mark.parametrize(("surface", "optimizer", "schedule"), list(rounds()))
def test_everything_there_is_can_be_shown_and_has_its_controls(descent, surface, optimizer, schedule):
    racer = Racer(Pick(optimizer), {"lr": Pick(schedule)})
    open_experiment(descent, Experiment(Pick(surface), (racer,), steps=50))
    assert [one["label"] for one in drawn(descent)["racers"]] == [OPTIMIZERS[optimizer].title]
    assert descent.selectbox(key="descent-surface").value == surface
    assert descent.selectbox(key=f"descent-0-{optimizer}-lr-by").value == schedule
    assert set(declared(descent)) <= {widget.key for widget in widgets(descent)}
    assert OPTIMIZERS[optimizer].formula in [element.value.strip("$\n") for element in descent.latex]


# Controls ------------------------------------------------------------------------------------------------------------


def test_every_slider_moves_the_experiment_and_the_address(descent):
    """And comes to rest where it was put: nothing in the page pushes it back."""
    for key in [slider.key for slider in descent.select_slider]:
        before = experiment(descent)
        stops = declared(descent)[key].stops()
        here = stops.index(descent.select_slider(key=key).value)
        there = stops[here - 1 if here else here + 1]
        descent.select_slider(key=key).set_value(there).run()
        assert not descent.exception, key
        if not key.endswith(("-warmup", "-warmup_start")):  # a steady schedule is none until it warms up
            assert experiment(descent) != before, key
        assert address(descent) == to_query(experiment(descent), RAVINE), key
        assert descent.select_slider(key=key).value == there, key


@pytest.mark.parametrize("name", SETTINGS)
def test_a_settings_slider_sets_that_setting(descent, name):
    descent.select_slider(key=f"descent-{name}").set_value(SETTINGS[name].stops()[3]).run()
    assert experiment(descent) == replace(RAVINE, **{name: SETTINGS[name].stops()[3]})


def test_a_racers_slider_sets_that_racers_parameter(descent):
    descent.button_group(key="descent-racers").set_value(3).run()
    descent.select_slider(key="descent-3-adam-lr").set_value(0.1).run()
    assert experiment(descent).racers[3].values["lr"] == 0.1
    assert experiment(descent).racers[:3] == RAVINE.racers[:3]
    descent.toggle(key="descent-3-adam-amsgrad").set_value(True).run()
    assert experiment(descent).racers[3].values["amsgrad"] is True


def test_a_choice_and_a_start_can_be_set(descent):
    descent.button_group(key="descent-racers").set_value(1).run()
    descent.selectbox(key="descent-1-momentum-form").set_value("velocity").run()
    descent.number_input(key="descent-start-x").set_value(0.5).run()
    descent.number_input(key="descent-start-y").set_value(-0.5).run()
    assert experiment(descent).racers[1].values["form"] == "velocity"
    assert experiment(descent).start == (0.5, -0.5)


def test_choosing_a_surface_starts_where_it_begins(descent):
    open_experiment(descent, BOWL)
    descent.number_input(key="descent-start-x").set_value(0.5).run()
    descent.selectbox(key="descent-surface").set_value("himmelblau").run()
    assert experiment(descent) == BOWL.on(Pick("himmelblau"))
    assert descent.number_input(key="descent-start-x").value == SURFACES["himmelblau"].starts[0][0]


def test_a_schedule_can_be_chosen_and_left_again(descent):
    open_experiment(descent, BOWL)
    descent.selectbox(key="descent-0-sgd-lr-by").set_value("linear").run()
    descent.select_slider(key="descent-0-sgd-lr-linear-warmup").set_value(10).run()
    assert dict(experiment(descent).racers[0].schedules) == {"lr": Pick("linear", {"warmup": 10})}
    descent.selectbox(key="descent-0-sgd-lr-by").set_value("constant").run()
    assert experiment(descent) == BOWL


def test_a_schedule_on_another_hyperparameter(descent):
    open_experiment(descent, BOWL)
    descent.selectbox(key="descent-0-sgd-target").set_value("momentum").run()
    descent.selectbox(key="descent-0-sgd-momentum-by").set_value("linear").run()
    descent.select_slider(key="descent-0-sgd-momentum-linear-final").set_value(0.5).run()
    assert dict(experiment(descent).racers[0].schedules) == {"momentum": Pick("linear", {"final": 0.5})}


def test_duplicate_and_remove(descent):
    descent.button(key="descent-button-Duplicate").click().run()
    assert experiment(descent).racers == (*RAVINE.racers, RAVINE.racers[0])
    assert descent.button_group(key="descent-racers").value == 4  # the copy is the one whose sliders are shown
    descent.button(key="descent-button-Remove").click().run()
    assert experiment(descent).racers == RAVINE.racers


def test_add_an_optimizer(descent):
    descent.selectbox(key="descent-add").set_value("lion").run()
    assert experiment(descent).racers == (*RAVINE.racers, Racer.tuned("lion", "rosenbrock"))
    assert descent.selectbox(key="descent-add").value is None  # ready for the next
    assert any("lion" in str(slider.key) for slider in descent.select_slider)


def test_there_are_never_too_many_racers(descent):
    full = replace(RAVINE, racers=(RAVINE.racers[0],) * RACERS_AT_MOST)
    open_experiment(descent, full)
    assert descent.selectbox(key="descent-add").disabled
    assert descent.button(key="descent-button-Duplicate").disabled


def test_without_racers_there_is_a_hint_and_the_surface(descent):
    for _ in RAVINE.racers:
        descent.button(key="descent-button-Remove").click().run()
        assert not descent.exception
    assert experiment(descent).racers == ()
    assert len(descent.info) == 1
    assert drawn(descent)["racers"] == []
    assert drawn(descent)["panels"]
    descent.selectbox(key="descent-add").set_value("adam").run()
    assert len(drawn(descent)["racers"]) == 1
    assert not descent.info


def test_pin_and_unpin(descent):
    descent.button(key="descent-button-Pin").click().run()
    descent.select_slider(key="descent-0-sgd-lr").set_value(0.001).run()
    assert experiment(descent).pins == RAVINE.pinned(0).pins
    assert [racer["ghost"] for racer in drawn(descent)["racers"]] == [False] * 4 + [True]
    assert any("1 pinned run" in caption.value for caption in descent.caption)
    assert address(descent)["pin"]
    descent.button(key="descent-button-Unpin").click().run()
    assert experiment(descent).pins == ()
    assert "pin" not in address(descent)


def test_a_pin_of_another_surface_is_mentioned(descent):
    open_experiment(descent, BOWL.pinned(0).on(Pick("himmelblau")))
    assert any("on another surface" in caption.value for caption in descent.caption)
    assert not any(racer["ghost"] for racer in drawn(descent)["racers"])


def test_exact_numbers_reach_beyond_the_slider(descent):
    descent.toggle(key="descent-exact").set_value(True).run()
    assert "descent-0-sgd-lr" not in [slider.key for slider in descent.select_slider]
    descent.number_input(key="descent-0-sgd-lr-exact").set_value(7.123).run()
    assert experiment(descent).racers[0].values["lr"] == 7.123
    descent.toggle(key="descent-exact").set_value(False).run()
    assert descent.select_slider(key="descent-0-sgd-lr").value == 7.123  # the slider shows it too
    assert experiment(descent).racers[0].values["lr"] == 7.123


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("descent-0-sgd-lr-exact", -1.0, r"lr must be a number in \[0, inf\)"),
        ("descent-0-sgd-momentum-exact", 1.5, r"momentum must be a number in \[0, 1\]"),
        ("descent-steps-exact", 10**6, r"steps must be a whole number in \[1, 5000\]"),
        ("descent-rosenbrock-b-exact", 0.0, r"b must be a number in \(0, inf\)"),
        ("descent-start-x", 1e9, r"start must be a number"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_with_a_sentence(descent, key, value, says):
    descent.toggle(key="descent-exact").set_value(True).run()
    shown = descent.number_input(key=key).value
    descent.number_input(key=key).set_value(value).run()
    (warning,) = descent.warning
    assert says.replace("\\", "") in warning.value.replace("\\", "")
    assert experiment(descent) == RAVINE
    assert descent.number_input(key=key).value == shown
    descent.number_input(key="descent-start-y").set_value(0.25).run()
    assert not descent.warning  # the next change that works takes the sentence away


def test_a_diverging_run_is_named(descent):
    open_experiment(descent, Experiment(Pick("rosenbrock"), (Racer(Pick("sgd", {"lr": 1.0})),)))
    (racer,) = drawn(descent)["racers"]
    assert racer["state"] == f"diverged at step {racer['stop']}"
    (table,) = [element.value for element in descent.markdown if element.value.startswith("| Racer |")]
    assert f"| :red[**{racer['state']}**] |" in table


def test_a_surface_is_sent_once(descent):
    """A browser that lost it says so; a server that has a new visitor has sent nothing yet."""
    descent.session_state["descent-stage-sent"] = set()
    descent.run()
    assert drawn(descent)["panels"][0]["figure"]["data"]
    descent.select_slider(key="descent-0-sgd-lr").set_value(0.01).run()
    assert set(drawn(descent)["panels"][0]["figure"]) == {"id"}
    descent.select_slider(key="descent-rosenbrock-b").set_value(10.0).run()
    assert drawn(descent)["panels"][0]["figure"]["data"]


# Nothing compiles while sliders move ---------------------------------------------------------------------------------


def test_no_slider_and_no_toggle_compiles_anything(descent, compilations):
    """From one end to the other, for every racer, with everything in view that can be."""
    looks = {"points": True, "anatomy": True, "field": "arrows", "view": "both", "curves": ("loss", "rate", "slot.m")}
    open_experiment(descent, replace(RAVINE, **looks))
    before = compilations()
    moved = 0
    for index in range(len(RAVINE.racers)):
        descent.button_group(key="descent-racers").set_value(index).run()
        for slider in list(descent.select_slider):
            if index and f"-{index}-" not in slider.key:
                continue  # what all racers share was moved with the first
            low, *_, high = declared(descent)[str(slider.key)].stops()
            for value in (high, low):
                descent.select_slider(key=slider.key).set_value(value).run()
                assert not descent.exception
                assert compilations() == before, f"{slider.key} to {value}"
                moved += 1
        for toggle in list(descent.toggle):
            if toggle.key not in ("descent-exact", "descent-points", "descent-anatomy"):  # another form, other pictures
                descent.toggle(key=toggle.key).set_value(not toggle.value).run()
                assert compilations() == before, toggle.key
    assert moved >= 40
    descent.button_group(key="descent-racers").set_value(1).run()
    descent.selectbox(key="descent-1-momentum-form").set_value("averaging").run()
    assert compilations() > before  # a choice between words does, and the counter counts


# Claims, comparisons, words ------------------------------------------------------------------------------------------


def says(at: AppTest) -> str:
    return "\n".join(element.value for element in at.markdown)


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_opens_with_its_experiment_and_its_number(descent, key):
    visit(descent, {"claim": [key]})
    assert not descent.exception
    assert experiment(descent) == CLAIMS[key].experiment
    assert address(descent) == {"claim": [key]}
    measured = CLAIMS[key].measure(CLAIMS[key].experiment)
    assert measured is not None
    assert measured.sentence in says(descent)
    assert ":green[" in says(descent)


def test_a_claim_is_measured_on_the_race_as_it_stands(descent):
    visit(descent, {"claim": ["A2"]})
    changed = descent.select_slider(key="descent-0-sgd-lr")
    changed.set_value(0.05).run()
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
    rates = descent.button_group(key="descent-rates")
    assert rates.value == "own"
    rates.set_value("tuned").run()
    now = experiment(descent)
    assert [racer.values["lr"] for racer in now.racers] == [
        tuned_lr("rosenbrock", racer.optimizer.key) for racer in now.racers
    ]
    assert any("quickest on this surface" in caption.value for caption in descent.caption)
    descent.button_group(key="descent-rates").set_value("same").run()
    assert {racer.values["lr"] for racer in experiment(descent).racers} == {now.racers[0].values["lr"]}
    assert any("at one rate" in caption.value for caption in descent.caption)
    lr = descent.select_slider(key="descent-0-sgd-lr")
    lr.set_value(lr.options and 0.5).run()
    assert descent.button_group(key="descent-rates").value == "own"


def test_every_symbol_leads_to_the_glossary(descent):
    """And the glossary has it."""
    known = symbols()
    for slider in descent.select_slider:
        assert "[Glossary](glossary?term=" in slider.help
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
    assert "descent-noise" not in [slider.key for slider in at.select_slider]


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
    assert (
        descent.number_input(key="descent-start-x").value,
        descent.number_input(key="descent-start-y").value,
    ) == linked.start
    for name in SETTINGS:
        assert descent.select_slider(key=f"descent-{name}").value == getattr(linked, name)
    for name, value in linked.surface_values.items():
        assert descent.select_slider(key=f"descent-{linked.surface.key}-{name}").value == value
    for index, racer in enumerate(linked.racers):
        descent.button_group(key="descent-racers").set_value(index).run()
        shown = {widget.key: widget.value for widget in widgets(descent)}  # type: ignore[attr-defined]
        for name, value in racer.values.items():
            assert shown[f"descent-{index}-{racer.optimizer.key}-{name}"] == value
        for name, pick in racer.schedules:
            assert shown[f"descent-{index}-{racer.optimizer.key}-{name}-by"] == pick.key
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
    descent.select_slider(key="descent-steps").set_value(200).run()
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
    assert escaped in warning.value


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
    assert descent.select_slider(key="descent-steps").value == 77


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


def test_the_experiment_leaves_the_app_as_a_file_of_each_kind(descent):
    """The buttons are there and cost nothing: a file is made when its button is pressed (test_export.py reads them)."""
    buttons = {node.proto.label: node.proto for node in descent.get("download_button")}
    assert list(buttons) == [download.label for download in DOWNLOADS]
    assert all(proto.help and not proto.disabled for proto in buttons.values())
    assert not any(proto.url for proto in buttons.values())
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
    texts = (value for _, value in node.proto.ListFields() if isinstance(value, str))
    return next(json.loads(text) for text in texts if text.startswith("{") and '"moments"' in text)


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_opens_from_its_link_and_its_widgets_show_it(walk, title):
    wanted = WALKS[title]
    query = backprop.to_query(wanted, TWO_PATHS)
    visit(walk, query)
    assert not walk.warning
    assert walked(walk) == wanted
    assert address(walk) == query
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
