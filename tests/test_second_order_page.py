"""The second-order page: controls, links and pictures agree, a click moves the point, and costs are measured live."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from browsing import Visitor
from desks import Laboratory, records, says
from optviz import second_order_link
from optviz.experiment import Experiment, Pick
from optviz.glossary import symbols
from optviz.scaling import PIECES, Cost, Work
from optviz.taylor import CLAIMS, EXAMPLES, LEARNT, METHODS, VALLEY, SecondOrder, ground, look
from optviz.ui import second_order

PAGE = Laboratory("second_order", VALLEY, second_order_link.to_query)
lying, drawn = PAGE.lying, records


@pytest.fixture(scope="module")
def session() -> AppTest:
    return PAGE.open()


@pytest.fixture
def laboratory(session) -> Iterator[AppTest]:
    yield PAGE.reset(session)
    assert not session.exception


def controls(at: AppTest) -> dict[str, dict]:
    """The panel's controls by name, as the browser gets them."""

    def walk(parts):
        for part in parts:
            if "parts" in part:
                yield from walk(part["parts"])
            elif "name" in part:
                yield part["name"], {**part, "spec": json.loads(part["spec"])}

    (panel,) = records(at, "optviz_panel")
    return dict(walk(panel["parts"]))


def used(value: SecondOrder, name: str, sent: object) -> SecondOrder:
    """The value after a control was used: by what the page itself calls."""

    def walk(parts):
        for part in parts:
            yield from walk(part.parts) if isinstance(part, second_order.Box) else [part]

    control = next(one for one in walk(second_order._parts(value)) if getattr(one, "name", "") == name)
    assert isinstance(control, second_order.Field | second_order.Choice | second_order.Action)
    return control.change(value, control.read(sent))


def test_the_page_opens_with_newton_at_the_bottom(laboratory):
    plane, slice_ = drawn(laboratory)
    assert "Newton to (" in plane["alt"]
    assert "10.22 came" in slice_["alt"]
    assert "trusts the quadratic model" in says(laboratory)
    for method in METHODS.values():
        assert f"] {method.title} |" in says(laboratory).replace("**", "")


def test_every_control_changes_its_field_and_has_a_help_text(laboratory):
    known = symbols()
    for name, control in controls(laboratory).items():
        assert len(control["spec"].get("help", "")) > 10, name
        term = control["spec"].get("term")
        assert term is None or term.removeprefix("glossary?term=") in {*known, "start"}, name
    for name, sent in (("lr", 0.4), ("damping", 2.5), ("line_search", True), ("radius", 0.8), ("dogleg", True),
                       ("memory", 3), ("method", "lbfgs"), ("along", "flat")):  # fmt: skip
        assert getattr(used(VALLEY, name, sent), name) == sent
    assert used(VALLEY, "valley-kappa", 50.0).on.surface == Pick("valley", {"kappa": 50.0, "rotation": 30.0})
    assert used(VALLEY, "l2", 0.5).on.l2 == 0.5
    moved = used(LEARNT, "point-x", 1.25)
    assert moved.moves == ()
    assert moved.on.start == (1.25, pytest.approx(look(LEARNT).here.theta[1]))
    other = used(LEARNT, "surface", "himmelblau")
    assert (other.on.surface.key, other.on.start, other.moves) == ("himmelblau", (0.0, 0.0), ())
    for i, example in enumerate(EXAMPLES.values()):
        assert used(VALLEY, "example", i) == example


def test_steps_are_taken_and_taken_back():
    once = used(VALLEY, "take", None)
    assert once.moves == ("newton",)
    assert used(once, "take-many", None).moves == ("newton",) * 6
    assert used(LEARNT, "undo", None).moves == ("lbfgs",)
    assert used(LEARNT, "restart", None).moves == ()
    with pytest.raises(ValueError, match="not possible"):
        used(VALLEY, "undo", None)


def test_a_link_opens_and_is_written_again(laboratory):
    wanted = SecondOrder(
        Experiment(Pick("rosenbrock"), start=(-1.2, 1.0)), ("newton", "trust"), "trust", "stiff", radius=0.25
    )
    fields = second_order_link.to_query(wanted, VALLEY)
    laboratory.query_params.update(fields)
    laboratory.run()
    assert lying(laboratory) == wanted
    assert {name: laboratory.query_params[name] for name in fields} == {name: one for name, (one,) in fields.items()}
    assert "Moves so far: 2" in [box.label for box in laboratory.expander]


def test_a_bad_link_gets_sentences(laboratory):
    laboratory.query_params.update({"radius": "-3", "moves": "adam.2", "lr": "0.25"})
    laboratory.run()
    assert len(laboratory.warning) == 2
    assert lying(laboratory) == replace(VALLEY, lr=0.25)


def test_a_link_into_nowhere_says_where_the_moves_end(laboratory):
    laboratory.query_params.update({"lr": "1e9", "moves": "newton.1~sgd.2", "start": "3~4"})
    laboratory.run()
    assert "leads out of the world" not in " ".join(box.value for box in laboratory.warning)  # it stands at the minimum
    laboratory.query_params.update({"moves": "sgd.2"})
    laboratory.run()
    assert "leads out of the world" in " ".join(box.value for box in laboratory.warning)


@pytest.mark.parametrize("key", list(CLAIMS))
def test_a_claim_opens_and_is_measured(laboratory, key):
    laboratory.query_params["claim"] = key
    laboratory.run()
    assert f"{key} · {CLAIMS[key].title}" in says(laboratory)
    assert ":green[" in says(laboratory)
    assert lying(laboratory) == CLAIMS[key].shown


def test_where_there_is_no_step_the_page_says_so(laboratory):
    laboratory.query_params.update({"surface": "monkey_saddle", "start": "0~0"})
    laboratory.run()
    assert "Here it has no step" in says(laboratory)
    assert "no slice here" in laboratory.info[0].value


def test_costs_are_measured_on_request(laboratory, monkeypatch):
    found = [Cost(2, 1e-5, 1e-5, 1e-5, 1e-5, 32, 320), Cost(6, 1e-5, 2e-5, 3e-5, 1e-5, 288, 960)]
    found += [Work(2, {"sgd": 15068.0, "lbfgs": 35.0, "newton": 5.0})]
    monkeypatch.setattr(second_order, "costs", lambda: iter(found))
    laboratory.session_state["second_order-cost"] = laboratory.session_state["second_order-cost-export"] = True
    laboratory.run()
    assert "nothing measured yet" in drawn(laboratory)[2]["alt"]
    offered = ["Time and memory (CSV)", "Everything (JSON)", "Web page (HTML)"]
    assert [node.proto.label for node in laboratory.get("download_button")] == offered
    laboratory.button(key="second_order-measure").click().run()
    assert "with n = 6" in drawn(laboratory)[2]["alt"]
    assert "15068" in says(laboratory)
    assert "Newton needed 5 steps" in says(laboratory)
    offered.insert(1, "Steps needed (CSV)")
    assert [node.proto.label for node in laboratory.get("download_button")] == offered
    assert PIECES == 10


def test_a_click_names_a_place_or_nothing():
    around = ground(VALLEY)
    assert second_order._place(VALLEY, {"curve": "ground", "point": [3, 90]}) == (around.x[90], around.y[3])
    for nonsense in (None, 7, {}, {"curve": "ground"}, {"curve": 0, "point": [1, 1]}, {"curve": "ground", "point": 4},
                     {"curve": "ground", "point": [96, 0]}, {"curve": "ground", "point": [-1, 0]},
                     {"curve": "ground", "point": [0.5, 1]}):  # fmt: skip
        assert second_order._place(VALLEY, nonsense) is None


# In a browser --------------------------------------------------------------------------------------------------------


class Surveyor(Visitor):
    stage = ".oz-chart"

    def plane(self, code: str, value: object = None):
        return self.page.evaluate(
            f"(value) => {{ const graph = document.querySelector('.oz-chart .js-plotly-plot'); return {code} }}", value
        )

    def arrow(self, title: str) -> list[float]:
        """Where an arrow of the map ends."""
        return self.plane(
            "(({ x, y }) => [x[1], y[1]])(graph.data.find((one) => one.name === value && one.mode !== 'lines'))", title
        )

    def until_arrow(self, title: str, condition: Callable[[list[float]], bool], what: str) -> list[float]:
        return self.once(lambda: self.arrow(title), condition, f"{what}, in the arrow of {title}")


@pytest.fixture
def surveyor(window) -> Callable[[], Surveyor]:
    return lambda: window(Surveyor)


def test_in_a_browser_a_click_moves_the_point_and_a_slider_the_arrow(surveyor):
    visitor = surveyor().open("/second_order")
    before = visitor.arrow("Trust region")
    visitor.page.mouse.click(*visitor.place(0, "[1, -1.2]"))
    query = visitor.until_query(lambda query: "start" in query, "the clicked point in the address")
    x, y = map(float, query["start"][0].split("~"))
    assert (x, y) == (pytest.approx(1.0, abs=0.05), pytest.approx(-1.2, abs=0.05))  # the nearest cell of the map
    found = look(VALLEY.at(x, y))
    end = found.here.theta + found.proposals["trust"].step
    visitor.until_arrow("Trust region", lambda tip: tip == pytest.approx(list(end), abs=1e-9), "the models moved")
    assert before != pytest.approx(list(end), abs=1e-3)

    visitor.nudge("Trust region: radius")
    query = visitor.until_query(lambda query: "radius" in query, "the radius in the address")
    found = look(replace(VALLEY.at(x, y), radius=float(query["radius"][0])))
    end = found.here.theta + found.proposals["trust"].step
    visitor.until_arrow("Trust region", lambda tip: tip == pytest.approx(list(end), abs=1e-9), "the step got longer")

    visitor.page.get_by_role("button", name="Take this step").click()
    visitor.until_query(lambda query: query.get("moves") == ["newton.1"], "the move in the address")
    visitor.settled()
    address = visitor.page.url
    visitor.open(address.removeprefix(visitor.base))
    assert visitor.page.url == address
    minimum = visitor.until_arrow("Gradient descent", lambda tip: max(map(abs, tip)) < 1e-9, "it stands at the minimum")
    assert minimum == pytest.approx([0, 0], abs=1e-9)
    visitor.page.get_by_text("Moves so far: 1").wait_for()
