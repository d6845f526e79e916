"""The schedules page as Streamlit runs it, without a browser: controls, links and runs agree, on a surface and on a
network."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.components.v2.bidi_component.constants import EVENT_DELIM
from streamlit.runtime.state.session_state import STREAMLIT_INTERNAL_KEY_PREFIX
from streamlit.testing.v1 import AppTest

import optviz
from optviz.experiment import Experiment, Pick, Racer
from optviz.rate_claims import NETWORK_RATE_CLAIMS, RATE_CLAIMS
from optviz.scheduled import LR, RUNS_AT_MOST, Runs, racers_of, scheduled, titles, with_numbers, with_racers
from optviz.schedules import SCHEDULES
from optviz.spec import Param, Value
from optviz.training import Configuration, Net, Training
from optviz.ui.exports import TRAINING_DOWNLOADS
from optviz.ui.schedules import CODEC, NOISY_VALLEY, SMALL_NETWORK

APP = Path(__file__).parents[1] / "app.py"
PAGE = "pages/schedules.py"
SGD = Racer(Pick("sgd", {"lr": 0.01, "momentum": 0.9}))
BOWL = replace(NOISY_VALLEY, surface=Pick("sphere"), start=None, racers=(SGD,), steps=50)
TINY = replace(SMALL_NETWORK, configurations=(Configuration(Net(hidden=(4,)), SGD.but(lr=0.1)),), epochs=2)


@pytest.fixture(scope="module")
def session() -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=300).run()
    at.session_state["page"] = ""
    return at.switch_page(PAGE).run()


@pytest.fixture
def page(session) -> Iterator[AppTest]:
    """The page as a visitor without a link finds it, with all that can be unfolded open."""
    session.query_params.clear()
    for name in ("others", "export"):
        session.session_state[f"schedules-{name}"] = True
    for name in ("schedules-left-surface", "schedules-left-network"):
        session.session_state[name] = None
    session.session_state["schedules-chosen"] = 0
    send_all(session)
    session.button(key="schedules-reset").click().run()
    assert runs(session) == NOISY_VALLEY
    yield session
    assert not session.exception


def runs(at: AppTest) -> Runs:
    return at.session_state["schedules-experiment"]


def send_all(at: AppTest) -> None:
    """Let the next record carry every series, as for a browser that has none yet."""
    at.session_state["schedules-stage-sent"] = set()


def visit(at: AppTest, query: dict[str, list[str]]) -> AppTest:
    send_all(at)
    at.query_params.clear()
    at.query_params.update(query)
    return at.run()


def open_runs(at: AppTest, wanted: Runs) -> AppTest:
    visit(at, CODEC.to_query(wanted, NOISY_VALLEY))
    assert not at.exception
    assert runs(at) == wanted
    return at


def components(at: AppTest, name: str) -> list[Any]:
    return [node.proto for node in at.get("bidi_component") if node.proto.component_name.endswith(f"optviz_{name}")]


def drawn(at: AppTest) -> dict:
    """The record that the stage was given."""
    (stage,) = components(at, "stage")
    return json.loads(stage.bytes)


def strip(at: AppTest, name: str) -> dict[str, np.ndarray]:
    """What a strip draws for each line."""
    series = {racer["label"]: racer["series"].get(f"course.{name}") for racer in drawn(at)["racers"]}
    return {label: floats(text) for label, text in series.items() if text is not None}


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def controls(at: AppTest) -> dict[str, tuple[Any, dict]]:
    """Every control by its name, with the panel that it belongs to."""

    def named(parts: list[dict]) -> Iterator[dict]:
        for part in parts:
            yield {**part, "spec": json.loads(part["spec"])}
            yield from named(part.get("parts", []))

    return {
        part["name"]: (shown, part)
        for shown in components(at, "panel")
        for part in named(json.loads(shown.bytes)["parts"])
        if "name" in part
    }


def use(at: AppTest, name: str, value: Value | None = None) -> AppTest:
    """Move a control of a panel, as the browser tells of it, or press a button."""
    send_all(at)
    shown, _ = controls(at)[name]
    states = at._tree.get_widget_states()
    events = f"{STREAMLIT_INTERNAL_KEY_PREFIX}_{shown.id}{EVENT_DELIM}events"
    count = json.loads(shown.bytes)["heard"] + 1
    states.widgets.add(id=events, json_trigger_value=json.dumps([{"event": "moves", "value": [[count, name, value]]}]))
    return at._run(states)


def drag(at: AppTest, point: Any) -> AppTest:
    """A point of a schedule is dragged in the picture."""
    send_all(at)
    (stage,) = components(at, "stage")
    states = at._tree.get_widget_states()
    events = f"{STREAMLIT_INTERNAL_KEY_PREFIX}_{stage.id}{EVENT_DELIM}events"
    states.widgets.add(id=events, json_trigger_value=json.dumps([{"event": "point", "value": point}]))
    return at._run(states)


def status(at: AppTest) -> str:
    return at.get("progress")[0].proto.text


def until_done(at: AppTest, seconds: float = 120) -> AppTest:
    """Look again and again, as the stage does while networks learn."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        at.run()
        assert not at.exception
        if "done" in status(at):
            return at
        time.sleep(0.05)
    raise AssertionError(f"it never came to an end; {status(at)}")


# On a surface --------------------------------------------------------------------------------------------------------


def test_the_page_opens_with_schedules_and_what_they_do(page):
    record = drawn(page)
    assert [racer["label"] for racer in record["racers"]] == titles(NOISY_VALLEY)
    assert [panel["name"] for panel in record["panels"]] == ["strip-lr", "strip-momentum", "surface", "loss"]
    assert len({racer["color"] for racer in record["racers"]}) == len(record["racers"])
    assert all(panel["alt"] and panel["title"] for panel in record["panels"])
    assert not page.warning


def test_a_strip_is_what_the_run_did(page):
    for (label, drawn_one), racer in zip(strip(page, "lr").items(), NOISY_VALLEY.racers, strict=True):
        path = optviz.trace(
            "valley", "sgd", steps=NOISY_VALLEY.steps, noise=1.0, lr=0.01, momentum=0.9, schedules=dict(racer.schedules)
        )
        np.testing.assert_allclose(drawn_one, path.lr, rtol=1e-6, err_msg=label)


def test_the_chosen_schedule_shows_its_formula_with_numbers(page):
    shown = [element.value for element in page.latex]
    formula, filled = SCHEDULES["step_decay"].formula, with_numbers(NOISY_VALLEY.racers[0], LR, NOISY_VALLEY.steps)
    assert any(formula in text for text in shown)
    assert any(filled in text for text in shown)


@pytest.mark.parametrize("key", SCHEDULES)
def test_every_schedule_has_its_sliders_and_they_move_curve_and_link(page, key):
    if key in ("constant", "one_cycle_momentum"):
        return
    wanted = with_racers(replace(BOWL, steps=200), (scheduled(SGD, LR, Pick(key)),))
    open_runs(page, wanted)
    sliders = {name for name in controls(page) if name.startswith(f"0-lr-{key}-")}
    assert sliders == {f"0-lr-{key}-{param.name}" for param in SCHEDULES[key].params}
    before = strip(page, "lr")[titles(wanted)[0]]
    name = next(param.name for param in SCHEDULES[key].params if not param.static)
    use(page, f"0-lr-{key}-{name}", _far(SCHEDULES[key].param[name]))
    racer = racers_of(runs(page))[0]
    assert dict(racer.schedules)[LR] == Pick(key, {name: _far(SCHEDULES[key].param[name])})
    if key != "plateau":  # it falls without end on a bowl, so that there is nothing to cut
        assert not np.array_equal(strip(page, "lr")[titles(runs(page))[0]], before)
    text = page.query_params["racer"]
    assert f"lr.by~{key}" in (text if isinstance(text, str) else text[0])


def _far(param: Param) -> Value:
    """The end of a slider that its default is farther from."""
    first, last = param.stops()[0], param.stops()[-1]
    return first if param.default == last else last


def test_no_slider_compiles_anything(page, compilations):
    open_runs(page, with_racers(BOWL, (scheduled(SGD, LR, Pick("one_cycle")),)))
    before = compilations()
    moved = 0
    for name, (_, part) in controls(page).items():
        if part["spec"]["kind"] == "slider" and name != "seed":
            for stop in (part["spec"]["stops"][0], part["spec"]["stops"][-1]):
                use(page, name, stop)
                assert not page.exception
                moved += 1
    assert moved > 15
    assert compilations() == before


def test_schedules_are_added_up_to_six_exchanged_duplicated_and_removed(page):
    for key in ("sgdr", "exponential"):
        use(page, "add", key)
    assert len(racers_of(runs(page))) == RUNS_AT_MOST
    assert controls(page)["add"][1]["spec"]["disabled"]
    assert controls(page)["duplicate"][1]["spec"]["disabled"]
    assert "5-lr-exponential-decay" in controls(page)  # the new one is chosen
    use(page, "5-lr-by", "cosine")
    assert dict(racers_of(runs(page))[5].schedules) == {LR: Pick("cosine")}
    use(page, "remove")
    use(page, "duplicate")
    assert racers_of(runs(page))[-1] == racers_of(runs(page))[4]
    for left in range(RUNS_AT_MOST - 1, 0, -1):
        use(page, "remove")
        assert len(racers_of(runs(page))) == left
    assert controls(page)["remove"][1]["spec"]["disabled"]


def test_the_momentum_cycles_along_by_one_click(page):
    open_runs(page, with_racers(BOWL, (scheduled(SGD, LR, Pick("one_cycle", {"rise": 0.4})),)))
    use(page, "cycle-momentum")
    assert dict(racers_of(runs(page))[0].schedules)["momentum"] == Pick("one_cycle_momentum", {"rise": 0.4})
    assert "cycle-momentum" not in controls(page)
    assert "strip-momentum" in [panel["name"] for panel in drawn(page)["panels"]]
    use(page, "0-momentum-by", "constant")
    assert "momentum" not in dict(racers_of(runs(page))[0].schedules)


def test_what_all_runs_share_is_set_once(page):
    use(page, "sgd-lr", 0.02)
    assert {racer.values["lr"] for racer in racers_of(runs(page))} == {0.02}
    use(page, "optimizer", "adam")
    assert {racer.optimizer.key for racer in racers_of(runs(page))} == {"adam"}
    assert "beta1" in dict(racers_of(runs(page))[2].schedules)  # what was the momentum's cycle
    page.selectbox(key="schedules-surface").set_value("himmelblau").run()
    race = runs(page)
    assert isinstance(race, Experiment)
    assert race.surface == Pick("himmelblau")
    assert len({racer.values["lr"] for racer in race.racers}) == 1


def test_runs_that_differ_in_more_are_changed_one_by_one_until_they_are_alike(page):
    mixed = with_racers(BOWL, (SGD, SGD.but(lr=0.05), Racer(Pick("adam", {"lr": 0.1}))))
    open_runs(page, mixed)
    use(page, "sgd-lr", 0.02)
    assert [racer.values["lr"] for racer in racers_of(runs(page))] == [0.02, 0.05, 0.1]
    use(page, "same")
    assert {racer.optimizer for racer in racers_of(runs(page))} == {racers_of(runs(page))[0].optimizer}
    assert "same" not in controls(page)


def test_a_point_is_dragged(page):
    open_runs(page, with_racers(BOWL, (scheduled(SGD, LR, Pick("piecewise_linear")),)))
    (panel,) = (panel for panel in drawn(page)["panels"] if panel["name"] == "strip-lr")
    assert [point["name"] for point in panel["handles"]["points"]] == ["0", "1", "2", "3", "4", "5"]
    drag(page, {"target": "lr", "name": "2", "x": 0.5, "y": 0.25})
    assert dict(racers_of(runs(page))[0].schedules)[LR] == Pick("piecewise_linear", {"x2": 0.5, "y2": 0.25})
    assert strip(page, "lr")[titles(runs(page))[0]][25] == pytest.approx(0.0025)
    drag(page, {"target": "lr", "name": "5", "x": 0.3, "y": 1})  # the end has no place to move to
    assert dict(dict(racers_of(runs(page))[0].schedules)[LR].values) == {"x2": 0.5, "y2": 0.25, "y5": 1.0}


@pytest.mark.parametrize(
    "point",
    [
        None,
        "x",
        {"target": "lr", "name": "9", "x": 0.1, "y": 0.1},
        {"target": "momentum", "name": "1", "x": 0.1, "y": 0.1},
        {"target": "lr", "name": "1", "x": "a", "y": 0.1},
        {"target": "lr", "name": "1", "x": 7, "y": 0.1},
    ],
)
def test_a_point_that_cannot_be_changes_nothing(page, point):
    open_runs(page, with_racers(BOWL, (scheduled(SGD, LR, Pick("piecewise_linear")),)))
    before = runs(page)
    drag(page, point)
    assert not page.exception
    assert runs(page) == before


def test_what_a_watching_schedule_remembers_is_told(page):
    open_runs(page, with_racers(NOISY_VALLEY, (scheduled(SGD, LR, Pick("plateau")),)))
    assert any("the lowest loss it has seen is" in text.value for text in page.markdown)


def test_nobody_runs(page):
    visit(page, {"racer": ["none"]})
    assert not page.exception
    use(page, "add", "cosine")
    assert titles(runs(page)) == ["Cosine"]


@pytest.mark.parametrize(
    "query",
    [
        {"on": ["moon"]},
        {"racer": ["sgd~lr.by~cosin"]},
        {"racer": ["sgd~lr.by~cosine~lr.final~2"]},
        {"racer": ["sgd~nesterov.by~cosine"]},
        {"on": ["network"], "run": ["sgd~lr.by~sgdr~lr.cycle~0"]},
        {"claim": ["B99"]},
    ],
)
def test_nonsense_costs_a_sentence(page, query):
    visit(page, query)
    assert not page.exception
    assert len(page.warning) == 1


# On a network --------------------------------------------------------------------------------------------------------


def test_the_schedules_go_along_to_a_network_and_back(page):
    page.segmented_control(key="schedules-on").set_value("network").run()
    training = runs(page)
    assert isinstance(training, Training)
    assert titles(training) == titles(NOISY_VALLEY)
    assert page.query_params["on"] in ("network", ["network"])
    until_done(page)
    use(page, "remove")
    page.segmented_control(key="schedules-on").set_value("surface").run()
    race = runs(page)
    assert isinstance(race, Experiment)
    assert race == replace(NOISY_VALLEY, racers=NOISY_VALLEY.racers[1:])


def test_networks_train_at_once_and_a_changed_schedule_starts_the_run_anew(page):
    racers = (scheduled(SGD.but(lr=0.1), LR, Pick("step_decay")), SGD.but(lr=0.1))
    open_runs(page, with_racers(TINY, racers))
    until_done(page)
    record = drawn(page)
    steps = record["time"]["end"]
    assert [racer["label"] for racer in record["racers"]][:2] == ["Step decay", "Step decay · training"]
    whole = strip(page, "lr")["Step decay"]
    assert len(whole) == steps
    assert whole[0] == pytest.approx(0.1)
    first = floats(record["racers"][0]["series"]["loss"])
    use(page, "0-lr-step_decay-every", 10)
    until_done(page)
    whole = strip(page, "lr")["Step decay"]
    np.testing.assert_allclose(whole[[9, 10]], [0.1, 0.05], rtol=1e-6)
    after = floats(drawn(page)["racers"][0]["series"]["loss"])
    assert after[0] == first[0]  # the same weights
    assert after[-1] != first[-1]


def test_no_slider_of_a_network_s_schedule_compiles(page, compilations):
    open_runs(page, with_racers(TINY, (scheduled(SGD, LR, Pick("sgdr")),)))
    until_done(page)
    before = compilations()
    for param in SCHEDULES["sgdr"].params:
        use(page, f"0-lr-sgdr-{param.name}", param.stops()[-1])
    until_done(page)
    assert compilations() == before


def test_what_is_shown_does_not_start_a_run_anew(page):
    open_runs(page, TINY)
    until_done(page)
    at = page.session_state["schedules-started"]
    open_runs(page, replace(TINY, curves=("loss",), view="layers"))
    assert page.session_state["schedules-started"] == at
    labels = [racer["label"] for racer in drawn(page)["racers"]]
    assert labels[-1] == "Constant"  # for the strip: the other lines are layers
    assert "Layer 1" in labels[0]
    assert list(strip(page, "lr")) == ["Constant"]


def test_a_schedule_that_watches_is_drawn_as_far_as_it_is_known(page):
    open_runs(page, with_racers(TINY, (scheduled(SGD, LR, Pick("bold_driver")), SGD)))
    until_done(page)
    lines = strip(page, "lr")
    assert len(lines["Step-size control"]) == len(lines["Constant"])  # the run is over
    (panel,) = (panel for panel in drawn(page)["panels"] if panel["name"] == "strip-lr")
    assert "watch the loss" in panel["note"]


def test_a_link_to_a_network_opens_all_of_it(page):
    wanted = with_racers(
        replace(TINY, dataset=Pick("circles"), seed=3),
        (scheduled(SGD, LR, Pick("exp_range", {"gamma": 0.99})), scheduled(SGD, "momentum", Pick("cosine"))),
    )
    open_runs(page, wanted)
    page.text_input(key="schedules-hidden").set_value("5, 5").run()
    training = runs(page)
    assert isinstance(training, Training)
    assert {one.net.hidden for one in training.configurations} == {(5, 5)}
    query = {name: [text] if isinstance(text, str) else list(text) for name, text in page.query_params.items()}
    again, messages = CODEC.from_query(query, NOISY_VALLEY)
    assert (again, messages) == (training, [])


def says(at: AppTest) -> str:
    return " ".join(markdown.value for markdown in at.markdown)


@pytest.mark.parametrize("key", RATE_CLAIMS)
def test_a_claim_opens_and_is_measured(page, key):
    claim = RATE_CLAIMS[key]
    visit(page, {"claim": [key]})
    assert not page.exception
    assert runs(page) == claim.experiment
    assert f"**{claim.key} · {claim.title}**" in says(page)
    assert "**Measured here:**" in says(page)


def test_a_claim_on_a_network_is_measured_at_the_end(page):
    claim = NETWORK_RATE_CLAIMS["B12"]
    visit(page, {"claim": ["B12"]})
    assert runs(page) == claim.training
    assert f"**{claim.key} · {claim.title}**" in says(page)
    until_done(page)
    assert "**Measured here:**" in says(page)


def test_runs_on_a_network_leave_the_app_under_the_names_of_their_schedules(page, monkeypatch):
    monkeypatch.setattr("optviz.ui.exports.encoder", lambda: "ffmpeg")
    open_runs(page, with_racers(TINY, (SGD.but(lr=0.1), scheduled(SGD.but(lr=0.1), LR, Pick("cosine")))))
    assert [node.proto.label for node in page.get("download_button")] == [one.label for one in TRAINING_DOWNLOADS]
    page.session_state["schedules-code"] = "jax"
    page.run()
    (shown,) = page.get("code")
    assert '"Constant": train(' in shown.value
    assert '"Cosine": train(' in shown.value
    page.session_state["schedules-code"] = None
