"""The phase map's page: controls, links and map agree, a cell opens its run, and in a browser it follows the hand."""

import math
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from browsing import Visitor
from desks import Laboratory, records, says
from optviz import link, phase_map_link
from optviz.experiment import Pick
from optviz.phase_map import CLAIMS, EXAMPLES, PLANE, Axis, PhaseMap
from optviz.ui.panel import Action, Choice, Field, _controls
from optviz.ui.phase_map import _cell, _cell_parts, _parts, opened
from optviz.ui.presets import RAVINE

PAGE = Laboratory("phase_map", PLANE, phase_map_link.to_query)
lying, visit = PAGE.lying, PAGE.visit


@pytest.fixture(scope="module")
def session() -> AppTest:
    return PAGE.open()


@pytest.fixture
def laboratory(session) -> Iterator[AppTest]:
    yield PAGE.reset(session)
    assert not session.exception


def drawn(at: AppTest) -> dict:
    return records(at)[0]


def test_the_page_opens_with_a_map_its_theory_and_its_words(laboratory):
    record = drawn(laboratory)
    codes = np.frombuffer(b64decode(record["figure"]["data"][0]["z"]["bdata"]), np.uint8)
    assert codes.size == 96 * 96
    assert "27% diverged" in record["alt"]
    assert "The chosen cell" in says(laboratory)
    assert "Rate of convergence" in says(laboratory)
    assert "the border is smooth" in says(laboratory)


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_opens_and_holds(laboratory, key):
    laboratory.query_params.clear()
    laboratory.query_params["claim"] = key
    laboratory.run()
    assert f"{key} · " in says(laboratory)
    assert ":green[:material/check_circle:]" in says(laboratory)


def test_an_example_opens_and_says_how_ragged_its_border_is(laboratory):
    ragged = replace(EXAMPLES["A ragged border: momentum on Styblinski–Tang"], resolution=48)
    visit(laboratory, ragged)
    assert "so the border's dimension is about 1." in says(laboratory)
    assert "double precision, as the descent laboratory does" in says(laboratory)
    visit(laboratory, replace(ragged, precision="single"))
    assert "may end differently from the run that it opens" in says(laboratory)


def test_colours_are_offered_as_far_as_they_exist(laboratory):
    color = laboratory.segmented_control(key="phase_map-color")
    assert color.options == ["state", "loss", "steps", "rate"]
    color.set_value("loss").run()
    assert lying(laboratory).color == "loss"
    assert laboratory.query_params["color"] in ("loss", ["loss"])
    visit(laboratory, replace(PLANE, on=replace(PLANE.on, noise=0.1), resolution=32))
    assert laboratory.segmented_control(key="phase_map-color").options == ["state", "loss", "steps"]


def test_a_bad_link_gets_sentences(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params.update({"x": "nobody~0~1", "resolution": "40", "at": "a~b", "v": "1"})
    laboratory.run()
    assert len(laboratory.warning) == 2
    assert lying(laboratory) == replace(PLANE, resolution=40)


# Controls ------------------------------------------------------------------------------------------------------------


def use(map_: PhaseMap, name: str, value: object) -> PhaseMap:
    control = next(one for one in _controls([*_parts(map_), *_cell_parts(map_)]) if one.name == name)
    return control.change(map_, control.read(value))


@pytest.mark.parametrize("map_", [PLANE, *(claim.map for claim in CLAIMS.values()), *EXAMPLES.values()])
def test_every_control_makes_a_valid_map_and_is_explained(map_):
    controls = list(_controls([*_parts(map_), *_cell_parts(map_)]))
    assert len({one.name for one in controls}) == len(controls)
    for control in controls:
        if isinstance(control, Field):
            assert control.param.help
            assert control.change(map_, control.value) is not None
        elif isinstance(control, Choice):
            assert control.help
            assert control.change(map_, control.value) == map_ or control.name in ("surface", "optimizer")
        else:
            assert isinstance(control, Action)
            assert control.help


def test_an_axis_can_be_chosen_and_two_change_places():
    kappa = use(PLANE, "y-axis", "surface.kappa")
    assert kappa.y == Axis("surface.kappa", 1.0, 1000.0)
    assert kappa.x == PLANE.x
    turned = use(replace(PLANE, at=(0.01, 0.5)), "x-axis", "momentum")
    assert (turned.x, turned.y, turned.at) == (PLANE.y, PLANE.x, (0.5, 0.01))
    assert use(PLANE, "x-high", "0.5").x == Axis("lr", 1e-3, 0.5)


def test_numbers_that_all_cells_share():
    assert use(PLANE, "all-surface.kappa", 50.0).on.surface == Pick("valley", {"kappa": 50.0})
    assert use(PLANE, "own-momentum-form", "averaging").racer.values["form"] == "averaging"
    assert use(PLANE, "steps", 200).on.steps == 200
    colored = replace(PLANE, color="rate")
    assert use(colored, "all-noise", 0.1).color == "state"
    assert use(colored, "all-l2", 0.1).color == "rate"


def test_a_cell_is_chosen_by_numbers_and_zoomed_into():
    chosen = use(use(PLANE, "cell-x", 0.05), "cell-y", 0.2)
    row, column = chosen.cell
    assert chosen.xs[column] == pytest.approx(0.05, rel=0.03)
    assert chosen.ys[row] == pytest.approx(0.2, abs=0.006)
    near = use(chosen, "zoom", None)
    assert math.log(near.x.high / near.x.low) == pytest.approx(math.log(100) / 4)
    assert use(near, "whole", None).x == Axis("lr", 1e-5, 1.0)


# A cell opens its run ------------------------------------------------------------------------------------------------


def test_a_click_names_a_cell_or_nothing():
    assert _cell(PLANE, {"curve": "cell", "point": [3, 95]}) == (3, 95)
    for nonsense in (None, 3, {}, {"curve": "cell", "point": 4}, {"curve": "cell", "point": [96, 0]},
                     {"curve": "cell", "point": [0, -1]}, {"curve": "x", "point": [0, 0]}):  # fmt: skip
        assert _cell(PLANE, nonsense) is None


def test_the_link_of_a_cell_is_its_run():
    experiment, messages = link.from_query(opened(PLANE, 3, 95), RAVINE)
    assert messages == []
    assert experiment.racers == PLANE.run(3, 95).racers
    assert (experiment.surface, experiment.start, experiment.steps) == (PLANE.on.surface, PLANE.on.start, 100)


# In a browser --------------------------------------------------------------------------------------------------------

SMALL = "/phase_map?resolution=32&x=lr~0.001~0.1"


class Mapper(Visitor):
    stage = ".oz-chart"

    def click_cell(self, row: int, column: int) -> None:
        self.page.mouse.click(
            *self.place(0, "(({ x, y }) => [x[value[1]], y[value[0]]])(graph.data[0])", [row, column])
        )


@pytest.fixture
def mapper(window) -> Callable[[], Mapper]:
    return lambda: window(Mapper)


def test_in_a_browser_a_slider_moves_the_map(mapper):
    visitor = mapper().open(SMALL)
    before = visitor.named(0)
    visitor.nudge("Condition number")
    visitor.until_query(lambda query: "surface" in query, "the surface in the address")
    after = visitor.named(0, unlike=before)
    address = visitor.page.url
    visitor.open(address.removeprefix(visitor.base))
    visitor.named(0, after)


def test_in_a_browser_a_cell_opens_its_run_and_back_leads_to_the_map(mapper):
    visitor = mapper().open(SMALL)
    map_ = replace(PLANE, resolution=32)
    visitor.click_cell(20, 6)
    visitor.page.wait_for_url("**/descent?**")
    experiment, _ = link.from_query(visitor.query, RAVINE)
    assert experiment.racers == map_.run(20, 6).racers
    visitor.page.wait_for_selector(".oz-stage[data-ready=true]")


def test_in_a_browser_a_click_can_choose_a_cell_to_zoom_into(mapper):
    visitor = mapper().open(SMALL)
    visitor.page.get_by_role("radio", name="chooses it").click()
    visitor.page.wait_for_function(
        "document.querySelector('.oz-chart .js-plotly-plot').data[0].hovertemplate.includes('click: choose')"
    )
    visitor.click_cell(25, 10)
    query = visitor.until_query(lambda query: "at" in query, "the cell in the address")
    map_ = replace(PLANE, resolution=32)
    assert [float(part) for part in query["at"][0].split("~")] == [map_.xs[10], map_.ys[25]]
    visitor.page.get_by_role("button", name="Zoom in").click()
    query = visitor.until_query(lambda query: "y" in query, "the shorter axes in the address")
    low, high = map(float, query["y"][0].split("~")[1:])
    assert high - low == pytest.approx(0.99 / 4)
