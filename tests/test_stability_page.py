"""The stability page: controls, links, curves and claims agree, and a click opens its run."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from browsing import Visitor
from desks import Laboratory, records, says
from optviz.experiment import Experiment
from optviz.landscape import over_window
from optviz.stability import QUADRATIC, RAVINE, SPIRALS, Stability
from optviz.training import Training
from optviz.ui.panel import Box, Choice, Field, Part
from optviz.ui.stability import CODEC, _network_parts, _rates, _rule, _surface_parts, _target, opened, started

PAGE = Laboratory("stability", RAVINE, CODEC.to_query)
lying, visit, drawn = PAGE.lying, PAGE.visit, records
assert isinstance(RAVINE.on, Experiment)
assert isinstance(SPIRALS.on, Training)
FEW = replace(RAVINE, on=replace(RAVINE.on, steps=300), rates=(0.002, 0.004))
SMALL = replace(SPIRALS, on=replace(SPIRALS.on, epochs=60), rates=(0.1,))


@pytest.fixture(scope="module")
def session() -> AppTest:
    return PAGE.open()


@pytest.fixture
def laboratory(session) -> Iterator[AppTest]:
    yield PAGE.reset(session)
    assert not session.exception


def test_the_page_opens_with_the_curves_the_map_and_what_they_say(laboratory):
    curves, plane = drawn(laboratory)
    assert {trace["meta"] for trace in curves["figure"]["data"]} == {0, 1, 2, 3}
    assert "Rosenbrock from above" in plane["alt"]
    assert "Measured here:" in says(laboratory)
    assert says(laboratory).count("descent?") == 4  # each rate is a link to its run


def test_a_link_brings_other_rates(laboratory):
    visit(laboratory, FEW)
    assert "learning rate 0.002: below" in drawn(laboratory)[0]["alt"]
    assert laboratory.query_params["rates"] in ("0.002~0.004", ["0.002~0.004"])


def test_a_bad_link_gets_a_sentence(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params.update({"rates": "0.1~0.1", "steps": "60"})
    laboratory.run()
    assert len(laboratory.warning) == 1
    assert isinstance(RAVINE.on, Experiment)
    assert lying(laboratory) == replace(RAVINE, on=replace(RAVINE.on, steps=60))


@pytest.mark.parametrize("key", ["C17b", "A2"])
def test_a_claim_opens_and_holds(laboratory, key):
    laboratory.query_params.clear()
    laboratory.query_params["claim"] = key
    laboratory.run()
    assert f"{key} · " in says(laboratory)
    assert ":green[:material/check_circle:]" in says(laboratory)


def test_a_network_is_measured_to_its_end(laboratory):
    visit(laboratory, SMALL)
    (record,) = drawn(laboratory)
    assert "learning rate 0.1: below" in record["alt"]
    assert "training?" in says(laboratory)
    assert "no rate settles at the edge" in says(laboratory)
    laboratory.segmented_control[0].set_value("surface").run()
    assert lying(laboratory) == RAVINE
    assert len(drawn(laboratory)) == 2


def controls(parts: list[Part]) -> Iterator[Field | Choice]:
    for part in parts:
        if isinstance(part, Box):
            yield from controls(list(part.parts))
        elif isinstance(part, Field | Choice):
            yield part


@pytest.mark.parametrize("stability", [RAVINE, QUADRATIC, SPIRALS], ids=["ravine", "valley", "network"])
def test_every_control_moves_what_it_names_and_explains_itself(stability):
    own = _network_parts if isinstance(stability.on, Training) else _surface_parts
    for control in controls([*own(stability), *_rates(stability), *_rule(stability)]):
        if isinstance(control, Choice):
            assert control.help
            others = [value for value in control.options if value != control.value]
            made = control.change(stability, others[0])
        else:
            assert control.param.help
            if control.step is not None:
                value = control.read(float(control.value) + control.step)
            elif control.param.kind == "choice":
                value = next(word for word in control.param.options if word != control.value)
            elif control.param.kind == "flag":
                value = not control.value
            else:
                value = next(stop for stop in control.param.stops() if stop not in (0, control.value))
            made = control.change(stability, value)
        assert made != stability, control.name
        assert CODEC.from_query(CODEC.to_query(made, RAVINE), RAVINE) == (made, [])


def test_every_surface_and_rule_can_be_chosen():
    parts = list(controls([*_surface_parts(RAVINE), *_rule(RAVINE)]))
    for control in parts:
        if isinstance(control, Choice):
            for value in control.options:
                made = control.change(RAVINE, value)
                assert isinstance(made, Stability)
                assert made.rates


# A click opens its run -----------------------------------------------------------------------------------------------


def test_a_click_names_a_rate_or_nothing():
    assert _target(FEW, {"curve": 1, "point": 3}) == opened(FEW, 0.004)
    page, query = opened(FEW, 0.004)
    assert (page, query["racer"], query["start"]) == ("pages/descent.py", ["sgd~lr~0.004"], ["0~0.1"])
    page, query = opened(SMALL, 0.1)
    assert (page, query["batch_size"], query["data"]) == ("pages/training.py", ["0"], ["spirals~samples~100"])
    for nonsense in (None, 7, {}, {"curve": 2, "point": 0}, {"curve": -1, "point": 0}, {"curve": "x"}, {"curve": True}):
        assert _target(FEW, nonsense) is None


def test_a_click_on_the_map_starts_there():
    plane = over_window("rosenbrock")
    made = started(FEW, {"curve": "map", "point": [10, 20]})
    assert isinstance(made.on, Experiment)
    assert made.on.start == pytest.approx((plane.alpha[20], plane.beta[10]), abs=0.01)
    for nonsense in (
        None,
        {"curve": "map", "point": 4},
        {"curve": 0, "point": [1, 1]},
        {"curve": "map", "point": [96, 0]},
    ):
        assert started(FEW, nonsense) == FEW


# In a browser --------------------------------------------------------------------------------------------------------


class Balancer(Visitor):
    stage = ".oz-chart"


@pytest.fixture
def balancer(window) -> Callable[[], Balancer]:
    return lambda: window(Balancer)


def test_in_a_browser_a_slider_moves_the_picture_and_the_link_reopens_it(balancer):
    visitor = balancer().open("/stability?steps=300&rates=0.002~0.004")
    before = visitor.named(0)
    assert "learning rate 0.002: below" in before
    visitor.nudge("First rate")
    query = visitor.until_query(lambda query: query.get("rates") != ["0.002~0.004"], "another rate in the address")
    moved = visitor.named(0, unlike=before)
    assert f"learning rate {query['rates'][0].partition('~')[0]}:" in moved
    address = visitor.page.url
    again = balancer().open(address.removeprefix(visitor.base))
    again.named(0, moved)
    assert again.page.url == address


def test_in_a_browser_a_point_opens_its_run(balancer):
    visitor = balancer().open("/stability?steps=300&rates=0.002~0.004")
    code = """(() => {
      const trace = graph._fullData.find((one) => one.meta === 1 && one.yaxis === 'y' && one.line.dash !== 'dash')
      return [trace.x[200], trace.y[200]]
    })()"""
    visitor.page.mouse.click(*visitor.place(0, code))
    visitor.page.wait_for_url("**/descent?**")
    assert "sgd~lr~0.004" in visitor.page.url.replace("%7E", "~")
    visitor.page.wait_for_selector(".oz-stage[data-ready=true]")


def test_in_a_browser_a_click_on_the_map_moves_the_start(balancer):
    visitor = balancer().open("/stability?steps=300&rates=0.002~0.004")
    visitor.page.mouse.click(*visitor.place(1, "[-0.5, 2]"))
    query = visitor.until_query(lambda query: "start" in query, "the start in the address")
    assert [float(part) for part in query["start"][0].split("~")] == pytest.approx([-0.5, 2], abs=0.06)
