"""The training laboratory as Streamlit runs it, without a browser: controls, links and the run agree."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.components.v2.bidi_component.constants import EVENT_DELIM
from streamlit.runtime.state.session_state import STREAMLIT_INTERNAL_KEY_PREFIX
from streamlit.testing.v1 import AppTest

from optviz.datasets import DATASETS
from optviz.experiment import Pick
from optviz.export.network import ACTIVATION
from optviz.network_claims import NETWORK_CLAIMS
from optviz.rate_claims import ON_NETWORKS
from optviz.training import CONFIGURATIONS_AT_MOST, VIEW, Training
from optviz.training_link import to_query
from optviz.ui import training as page
from optviz.ui.exports import TRAINING_DOWNLOADS
from optviz.ui.jobs import Job
from optviz.ui.training import MOONS

APP = Path(__file__).parents[1] / "app.py"
PAGE = "pages/training.py"
QUICK = replace(MOONS, epochs=3)


@pytest.fixture(scope="module")
def session() -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=300).run()
    at.session_state["page"] = ""
    return at.switch_page(PAGE).run()


@pytest.fixture
def laboratory(session) -> Iterator[AppTest]:
    """The page as a visitor without a link finds it, with all that can be unfolded open."""
    session.query_params.clear()
    for name in ("split", "schedule", "treatment", "curves"):
        session.session_state[f"training-{name}"] = True
    session.session_state["training-chosen"] = 0
    session.session_state["training-uploading"] = False
    session.button(key="training-reset").click().run()
    assert training(session) == MOONS
    yield session
    assert not session.exception


def training(at: AppTest) -> Training:
    return at.session_state["training-experiment"]


def open_training(at: AppTest, wanted: Training) -> AppTest:
    at.query_params.clear()
    at.query_params.update(to_query(wanted, MOONS))
    at.run()
    assert not at.exception
    assert training(at) == wanted
    return at


def drawn(at: AppTest) -> dict:
    """The record that the stage was given."""
    for node in at.get("bidi_component"):
        if node.proto.component_name.endswith("optviz_stage"):
            return json.loads(node.proto.bytes)
    raise AssertionError("the stage was given no record")


def status(at: AppTest) -> str:
    return at.get("progress")[0].proto.text


def until(at: AppTest, condition: Callable[[AppTest], bool], seconds: float = 60) -> AppTest:
    """Look again and again, as the stage does while a run goes on."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        at.run()
        assert not at.exception
        if condition(at):
            return at
        time.sleep(0.05)
    raise AssertionError(f"it never came; {status(at)}")


def test_the_page_opens_before_anything_is_trained(laboratory):
    assert "step 0 of" in status(laboratory)
    record = drawn(laboratory)
    assert [racer["label"] for racer in record["racers"]] == [
        "SGD · validation",
        "SGD · training",
        "Adam · validation",
        "Adam · training",
    ]
    assert [panel["name"] for panel in record["panels"]] == ["plane", "loss", "accuracy", "lr"]
    assert record["live"] is None
    assert not laboratory.warning


def test_start_trains_to_the_end_and_the_table_says_how_well(laboratory):
    at = open_training(laboratory, QUICK)
    at.button(key="training-Start").click().run()
    until(at, lambda one: "done" in status(one))
    record = drawn(at)
    assert record["steps"] > 1
    assert record["live"] is None
    table = record["table"]
    accuracies = [i for i, name in enumerate(table["head"]) if name.startswith("Accuracy")]
    assert len(accuracies) == 3
    assert [row["cells"][0] for row in table["rows"]] == ["SGD", "Adam"]
    assert all(row["cells"][i].endswith("%") for row in table["rows"] for i in accuracies)
    assert all(len(row["cells"]) == len(table["head"]) for row in table["rows"])


def test_every_question_of_the_stage_has_another_answer(laboratory):
    """The browser does not call a component whose data are as before, and the stage would wait for an answer."""
    at = open_training(laboratory, QUICK)
    record = drawn(at)
    for number in (1, 2):
        ask(at, number)
        before, record = record, drawn(at)
        assert record != before
        assert {**record, "look": before["look"]} == before
    at.run()
    assert drawn(at) == record  # it was not the stage that asked


def test_an_answer_waits_for_news(laboratory, monkeypatch):
    monkeypatch.setattr(page, "PATIENCE", 600)
    at = open_training(laboratory, replace(MOONS, epochs=20))
    at.button(key="training-Start").click().run()
    number = 0
    while drawn(at)["live"] is not None:
        number, before = number + 1, status(at)
        assert status(ask(at, number)) != before
    assert "done" in status(at)


def ask(at: AppTest, number: int) -> AppTest:
    """What a browser sends when the stage asks for more."""
    shown = next(node.proto for node in at.get("bidi_component") if node.proto.component_name.endswith("optviz_stage"))
    states = at._tree.get_widget_states()
    events = f"{STREAMLIT_INTERNAL_KEY_PREFIX}_{shown.id}{EVENT_DELIM}events"
    states.widgets.add(id=events, json_trigger_value=json.dumps([{"event": "tick", "value": number}]))
    return at._run(states)


def test_one_step_and_one_epoch_and_the_same_weights_again(laboratory):
    at = open_training(laboratory, QUICK)
    at.button(key="training-One step").click().run()
    until(at, lambda one: "step 1 of" in status(one))
    at.button(key="training-One epoch").click().run()
    until(at, lambda one: f"step {1 + QUICK.steps_an_epoch} of" in status(one))
    at.button(key="training-Same weights").click().run()
    assert "step 0 of" in status(at)


def test_a_rate_goes_on_and_another_network_starts_anew_and_says_so(laboratory):
    at = open_training(laboratory, QUICK)
    at.button(key="training-One step").click().run()
    until(at, lambda one: "step 1 of" in status(one))
    at.select_slider(key="training-0-sgd-lr").set_value(0.01).run()
    assert training(at).configurations[0].racer.values["lr"] == 0.01
    assert "step 1 of" in status(at)
    at.text_input(key="training-0-hidden").set_value("4, 4, 4").run()
    assert training(at).configurations[0].net.hidden == (4, 4, 4)
    assert "step 0 of" in status(at)
    assert "started anew, because hidden changed" in status(at)


@pytest.mark.parametrize("text", ["many", "300", "1,2,3,4,5,6,7"])
def test_hidden_layers_that_cannot_be_get_a_sentence(laboratory, text):
    laboratory.text_input(key="training-0-hidden").set_value(text).run()
    assert len(laboratory.warning) == 1
    assert training(laboratory) == MOONS


@pytest.mark.parametrize("key", sorted(DATASETS))
def test_every_data_set_opens_with_a_loss_that_fits(laboratory, key):
    laboratory.selectbox(key="training-dataset").set_value(key).run()
    assert training(laboratory).dataset == (MOONS.dataset if key == "moons" else Pick(key))
    assert training(laboratory).configurations[0].net.loss == (
        "cross_entropy" if DATASETS[key].task == "classification" else "squared_error"
    )
    assert drawn(laboratory)["panels"]
    assert not laboratory.warning


@pytest.mark.parametrize("view", VIEW.options)
@pytest.mark.parametrize("data", ["moons", "digits"])
def test_every_view_is_drawn(laboratory, data, view):
    at = open_training(laboratory, replace(MOONS, dataset=Pick(data), view=view))
    panels = drawn(at)["panels"]
    assert all(panel["alt"] and panel["title"] for panel in panels)


def test_configurations_are_duplicated_and_removed(laboratory):
    laboratory.button(key="training-button-Duplicate").click().run()
    assert len(training(laboratory).configurations) == 3
    assert laboratory.session_state["training-chosen"] == 2
    for _ in range(CONFIGURATIONS_AT_MOST - 3):
        assert not laboratory.button(key="training-button-Duplicate").disabled
        laboratory.button(key="training-button-Duplicate").click().run()
    assert len(training(laboratory).configurations) == CONFIGURATIONS_AT_MOST
    assert laboratory.button(key="training-button-Duplicate").disabled
    for left in reversed(range(1, CONFIGURATIONS_AT_MOST)):
        laboratory.button(key="training-button-Remove").click().run()
        assert len(training(laboratory).configurations) == left
    assert laboratory.button(key="training-button-Remove").disabled


def test_dropout_by_layer(laboratory):
    laboratory.select_slider(key="training-0-dropout").set_value(
        0.2 if 0.2 in _stops(laboratory) else _stops(laboratory)[3]
    ).run()
    rate = training(laboratory).configurations[0].net.dropout
    assert rate != 0
    laboratory.toggle(key="training-0-by-layer").set_value(True).run()
    assert training(laboratory).configurations[0].net.dropout == (rate, rate)
    laboratory.select_slider(key="training-0-dropout-1").set_value(0.0).run()
    assert training(laboratory).configurations[0].net.dropout == (rate, 0.0)


def _stops(at: AppTest) -> list[float]:
    return [float(option) for option in at.select_slider(key="training-0-dropout").options]


def test_a_bad_link_gets_a_sentence(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params.update({"data": "nothing", "epochs": "7"})
    laboratory.run()
    assert len(laboratory.warning) == 1
    assert training(laboratory) == replace(MOONS, epochs=7)


def test_the_address_says_what_was_changed(laboratory):
    laboratory.select_slider(key="training-epochs").set_value(10).run()
    assert laboratory.query_params["epochs"] in ("10", ["10"])


def test_a_visitor_has_one_job_of_their_own(laboratory):
    other = AppTest.from_file(str(APP), default_timeout=300).run()
    other.switch_page(PAGE).run()
    assert not other.exception
    assert Job._count >= 2  # its own run


# Claims --------------------------------------------------------------------------------------------------------------


def visit_claim(at: AppTest, key: str) -> AppTest:
    at.query_params.clear()
    at.query_params["claim"] = key
    at.run()
    assert not at.exception
    return at


def says(at: AppTest) -> str:
    return " ".join(markdown.value for markdown in at.markdown)


@pytest.mark.parametrize("key", ON_NETWORKS)
def test_a_claim_opens_with_its_training(laboratory, key):
    claim = ON_NETWORKS[key]
    visit_claim(laboratory, key)
    assert training(laboratory) == claim.training
    assert claim.says in says(laboratory)
    assert ("Measured here:" in says(laboratory)) == (claim.after == "start")


def test_a_claim_is_measured_on_the_run_as_it_stands(laboratory):
    visit_claim(laboratory, "C11")
    assert "Take a step" in says(laboratory)
    laboratory.button(key="training-One step").click().run()
    until(laboratory, lambda at: "Measured here:" in says(at))
    assert ":green[" in says(laboratory)
    laboratory.button(key="training-button-Remove").click().run()
    assert "lacks what the claim is about" in says(laboratory)
    assert laboratory.query_params["claim"] in ("C11", ["C11"])
    laboratory.button(key="training-reset").click().run()
    assert training(laboratory) == NETWORK_CLAIMS["C11"].training
    assert "Take a step" in says(laboratory)


def test_a_claim_can_be_closed_and_leaves_its_training(laboratory):
    visit_claim(laboratory, "C2")
    laboratory.button(key="training-close-claim").click().run()
    assert training(laboratory) == NETWORK_CLAIMS["C2"].training
    assert NETWORK_CLAIMS["C2"].says not in says(laboratory)
    assert "claim" not in laboratory.query_params


def test_a_claim_that_there_is_not(laboratory):
    visit_claim(laboratory, "C9")
    (warning,) = laboratory.warning
    assert "C9" in warning.value
    assert training(laboratory) == MOONS


def test_the_training_leaves_the_app_as_a_file_of_each_kind(laboratory, monkeypatch):
    """The buttons are there and cost nothing; the code can be read, too (test_export_network.py runs it)."""
    monkeypatch.setattr("optviz.ui.exports.encoder", lambda: "ffmpeg")
    laboratory.session_state["training-export"] = True
    laboratory.run()
    buttons = {node.proto.label: node.proto for node in laboratory.get("download_button")}
    assert list(buttons) == [download.label for download in TRAINING_DOWNLOADS]
    assert all(proto.help and not proto.disabled and not proto.url for proto in buttons.values())
    assert not laboratory.get("code")
    laboratory.session_state["training-code"] = "torch"
    laboratory.run()
    (shown,) = laboratory.get("code")
    assert "torch.optim.Adam(" in shown.value
    assert "/training" in shown.value.splitlines()[3]
    laboratory.session_state["training-code"] = None
    laboratory.session_state["training-export"] = False


def test_what_cannot_be_a_script_says_why_and_its_table_still_leaves(laboratory, monkeypatch):
    monkeypatch.setattr("optviz.ui.exports.encoder", lambda: "ffmpeg")
    monkeypatch.delitem(ACTIVATION, "relu")
    laboratory.session_state["training-export"] = True
    laboratory.run()
    assert any("activation relu cannot be written" in caption.value for caption in laboratory.caption)
    enabled = {node.proto.label for node in laboratory.get("download_button") if not node.proto.disabled}
    code = {one.label for one in TRAINING_DOWNLOADS if one.suffix.endswith((".py", ".ipynb"))}
    assert enabled == {one.label for one in TRAINING_DOWNLOADS} - code
    laboratory.session_state["training-export"] = False
