"""The calibration page: controls, links and curves agree, and a point opens its run."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from browsing import Visitor
from desks import Laboratory, records, says
from optviz.calibration import FIRST_ORDER, VALLEY, measure
from optviz.experiment import Experiment, Pick
from optviz.training import Training
from optviz.ui.calibration import CODEC, NETWORKS, _target, opened

PAGE = Laboratory("calibration", VALLEY, CODEC.to_query)
lying, visit = PAGE.lying, PAGE.visit
assert isinstance(VALLEY.on, Experiment)
FEW = replace(VALLEY, optimizers=("sgd", "adam"), chosen=())


@pytest.fixture(scope="module")
def session() -> AppTest:
    return PAGE.open()


@pytest.fixture
def laboratory(session) -> Iterator[AppTest]:
    session.session_state["calibration-running"] = False
    yield PAGE.reset(session)
    assert not session.exception


def drawn(at: AppTest) -> dict:
    return records(at)[0]


def test_the_page_opens_with_all_optimizers_and_the_claim_measured(laboratory):
    metas = {trace.get("meta") for trace in drawn(laboratory)["figure"]["data"]}
    assert set(range(len(FIRST_ORDER))) <= metas
    assert "Measured here:" in says(laboratory)
    assert says(laboratory).count("descent?") == len(FIRST_ORDER)  # each best rate is a link to its run
    assert "Best rates: SGD 0.0367" in drawn(laboratory)["alt"]


def test_a_link_brings_another_calibration(laboratory):
    assert isinstance(VALLEY.on, Experiment)
    wanted = replace(FEW, on=replace(VALLEY.on, steps=50), low=1e-3, count=12)
    visit(laboratory, wanted)
    assert len(drawn(laboratory)["figure"]["data"][0]["x"]) == 12


def test_choosing_brings_a_curve_to_the_front_and_changes_the_address(laboratory):
    visit(laboratory, FEW)
    laboratory.pills[0].set_value(["adam"]).run()
    assert lying(laboratory).chosen == ("adam",)
    assert laboratory.query_params["chosen"] in ("adam", ["adam"])
    lines = {trace["name"]: trace for trace in drawn(laboratory)["figure"]["data"] if trace.get("meta") in (0, 1)}
    assert lines["Adam"]["opacity"] == 1
    assert lines["SGD"]["opacity"] < 0.5


def test_a_bad_link_gets_a_sentence(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params.update({"count": "9000", "steps": "60", "optimizers": "sgd"})
    laboratory.run()
    assert len(laboratory.warning) == 1
    assert isinstance(VALLEY.on, Experiment)
    assert lying(laboratory) == replace(VALLEY, on=replace(VALLEY.on, steps=60), optimizers=("sgd",))


def test_a_claim_opens_and_is_measured(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params["claim"] = "B1"
    laboratory.run()
    assert "B1 · " in says(laboratory)
    assert ":green[" in says(laboratory)


def test_networks_are_trained_until_all_are_done_and_can_be_stopped(laboratory):
    on = NETWORKS.on
    assert isinstance(on, Training)
    small = replace(on, dataset=Pick("moons"), epochs=1, seeds=1)
    visit(laboratory, replace(NETWORKS, on=small, count=4, sizes=(2, 3)))
    assert "0 of 8" in laboratory.get("progress")[0].proto.text
    laboratory.button(key="calibration-measure").click().run()
    for _ in range(60):
        if not laboratory.session_state["calibration-running"]:
            break
        laboratory.run()
    assert "All 8" in laboratory.get("progress")[0].proto.text
    assert says(laboratory).count("training?") == 2
    laboratory.segmented_control[0].set_value("depth").run()
    assert lying(laboratory).axis == "depth"
    assert "0 of" in laboratory.get("progress")[0].proto.text
    laboratory.button(key="calibration-measure")  # it stopped


# A point opens its run -----------------------------------------------------------------------------------------------


def test_a_click_names_a_point_or_nothing():
    curves = measure(FEW)
    page, query = _target(FEW, curves, {"curve": 1, "point": 3}) or ("", {})
    assert page == "pages/descent.py"
    assert query["racer"] == [f"adam~lr~{curves[1].rates[3]!r}".replace("np.float64(", "").replace(")", "")]
    assert _target(FEW, curves, {"curve": "best 0", "point": 0}) == opened(FEW, curves[0], curves[0].best or 0)
    for nonsense in (None, 7, {}, {"curve": 2, "point": 0}, {"curve": 0, "point": 40}, {"curve": -1, "point": 0},
                     {"curve": "best x", "point": 0}, {"curve": "best 9", "point": 0}):  # fmt: skip
        assert _target(FEW, curves, nonsense) is None


class Calibrator(Visitor):
    stage = ".oz-chart"

    def of_chart(self, code: str, value: object = None):
        return self.page.evaluate(
            f"(value) => {{ const graph = document.querySelector('.oz-chart .js-plotly-plot'); return {code} }}", value
        )


@pytest.fixture
def calibrator(window) -> Callable[[], Calibrator]:
    return lambda: window(Calibrator)


def test_in_a_browser_a_point_opens_its_run(calibrator):
    visitor = calibrator().open("/calibration?optimizers=sgd~adam&count=10&chosen=sgd")
    assert "2 curves" in visitor.named(0)
    curve = "graph.data.find((one) => one.meta === 0 && one.mode === 'lines+markers')"
    rate = visitor.of_chart(f"{curve}.x[2]")
    visitor.page.mouse.click(*visitor.place(0, f"(({{ x, y }}) => [x[2], y[2]])({curve})"))
    visitor.page.wait_for_url("**/descent?**")
    assert f"sgd~lr~{rate}" in visitor.page.url.replace("%7E", "~")
    visitor.page.wait_for_selector(".oz-stage[data-ready=true]")
