"""The app in real Chromium, against a real server: what only a browser can show."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

import optviz
from browsing import Visitor, serving
from optviz import Pick
from optviz.backprop import Graph, chains, graph, walk
from optviz.experiment import Racer, drag_values
from optviz.optimizers import OPTIMIZERS
from optviz.spec import number
from optviz.ui.presets import TWO_PATHS


@pytest.fixture
def walker(window) -> Callable[[], Visitor]:
    return lambda: window(Walker)


def test_the_first_visitor_of_a_fresh_server_may_open_a_deep_link(context):
    with serving() as base:
        guest = Visitor(context.new_page(), base).open("/descent?surface=himmelblau&racer=adam~lr~0.1")
        assert guest.page.title() == "Descent · optviz"
        assert list(guest.probe()["heads"]) == ["Adam"]
        for name in ("optviz", "Descent"):
            assert guest.page.get_by_role("link", name=name).is_visible()
        guest.page.get_by_role("link", name="optviz").click()
        guest.page.get_by_role("heading", name="Watch optimizers think").wait_for()
        assert guest.problems == []


def test_home_shows_a_race_that_runs(visitor):
    guest = visitor().open("/")
    first = guest.until(lambda state: state["playing"] and state["frame"] > 0, "a race that runs")
    guest.until(lambda state: state["frame"] > first["frame"] and state["drawn"] > first["drawn"], "progress")


def test_a_slider_moves_the_path(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05").at_the_end()
    before = guest.probe()["heads"]["Adam"]
    guest.nudge("Learning rate")
    guest.until_query(lambda query: query.get("racer") == ["adam~lr~0.063"], "the new rate in the address")
    after = guest.until(lambda state: state["heads"]["Adam"] != before, "another path")["heads"]["Adam"]
    exact = optviz.trace("rosenbrock", "adam", steps=500, lr=0.063).theta[-1]
    np.testing.assert_allclose(after, exact, rtol=1e-6)


def test_a_key_is_sent_before_the_next_frame(visitor):
    """Streamlit sends by a timer, and Chromium lets timers wait until it has painted."""
    guest = visitor().open("/descent?racer=adam~lr~0.05").at_the_end()
    guest.page.evaluate(
        """() => {
          const send = WebSocket.prototype.send
          WebSocket.prototype.send = function (...message) {
            window.order?.push("sent")
            return send.apply(this, message)
          }
          addEventListener("keydown", () => {
            window.order = []
            requestAnimationFrame(() => window.order.push("painted"))
          }, { capture: true })
          window.timer = setTimeout
        }"""
    )
    before = guest.probe()["heads"]["Adam"]
    guest.nudge("Learning rate")
    guest.until(lambda state: state["heads"]["Adam"] != before, "another path")
    assert guest.page.evaluate("window.order.slice(0, 2)") == ["sent", "painted"]
    assert guest.page.evaluate("window.timer === setTimeout"), "the page's timers are what they were"


def test_a_slider_leaves_the_panels_where_they_stand(visitor):
    """To take one out and put it back at the same place is to lay out all of Plotly's picture anew."""
    guest = visitor().open("/descent?racer=adam~lr~0.05").at_the_end()
    guest.page.evaluate(
        """() => {
          window.moved = 0
          const watch = new MutationObserver((records) => (window.moved += records.length))
          const homes = [...new Set([...document.querySelectorAll('.oz-panel')].map((panel) => panel.parentElement))]
          window.homes = homes.length
          homes.forEach((home) => watch.observe(home, { childList: true }))
        }"""
    )
    before = guest.probe()["heads"]["Adam"]
    guest.nudge("Learning rate")
    guest.until(lambda state: state["heads"]["Adam"] != before, "another path")
    assert guest.page.evaluate("[window.homes, window.moved]") == [2, 0]  # the surface's home and the curves'


def test_the_table_tells_how_each_racer_ended(visitor):
    guest = visitor().open("/descent?racer=sgd~lr~0.1&racer=adam~lr~0.05").at_the_end()
    table = guest.page.locator(".oz-results table")
    assert table.locator("tbody th").all_inner_texts() == ["SGD", "Adam"]
    assert table.locator("thead th").first.inner_text() == "Racer"
    (bad,) = table.locator(".oz-bad").all_inner_texts()
    assert bad.startswith("diverged at step")
    guest.page.get_by_role("button", name="Remove").click()  # the chosen one, the first
    table.locator("tbody tr").nth(1).wait_for(state="detached")
    assert table.locator("tbody th").all_inner_texts() == ["Adam"]
    assert table.locator(".oz-bad").count() == 0


def test_quick_keys_end_where_the_hand_ended(visitor):
    """While answers to earlier keys come in, the handle is never pulled back, and keeps the focus."""
    guest = visitor().open("/descent?racer=adam~lr~0.05").at_the_end()
    slider = guest.slider("Learning rate")
    slider.focus()
    home = int(slider.input_value())
    seen = []
    for _ in range(10):
        guest.page.keyboard.press("ArrowRight")
        seen.append(int(slider.input_value()))
    assert seen == list(range(home + 1, home + 11))
    for _ in range(20):
        assert int(slider.input_value()) == home + 10
        guest.page.wait_for_timeout(20)
    guest.until_query(lambda query: query.get("racer") == ["adam~lr~0.5"], "the rate of the last key")
    guest.settled()
    assert slider.get_attribute("aria-valuetext") == "0.5"
    assert slider.evaluate("slider => slider === document.activeElement")
    exact = optviz.trace("rosenbrock", "adam", steps=500, lr=0.5).theta[-1]
    guest.until(lambda state: np.allclose(state["heads"]["Adam"], exact, rtol=1e-6), "its path")


def test_a_slider_knows_its_keys_and_its_ends(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05")
    slider = guest.slider("Learning rate")
    stops = OPTIMIZERS["adam"].param["lr"].stops()
    slider.focus()
    for key, index in (("End", len(stops) - 1), ("Home", 0)):
        guest.page.keyboard.press(key)
        assert int(slider.input_value()) == index
        guest.until_query(lambda q, index=index: q.get("racer") == [f"adam~lr~{stops[index]:g}"], f"the stop {index}")
    guest.page.keyboard.press("PageUp")
    assert int(slider.input_value()) > 1


def test_a_number_is_typed_mended_and_refused(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05")
    slider, box = guest.slider("Learning rate"), guest.page.get_by_role("textbox", name="Learning rate η, typed")
    box.fill("7.25e-3")
    box.press("Enter")
    guest.until_query(lambda query: query.get("racer") == ["adam~lr~0.00725"], "the typed rate in the address")
    guest.settled()
    assert slider.get_attribute("aria-valuetext") == "0.00725"  # between two stops, a stop of its own
    box.fill("0.5")
    box.press("Escape")
    assert box.input_value() == "0.00725"
    box.fill("-1")
    box.blur()
    guest.page.get_by_test_id("stAlert").get_by_text("lr must be a number in").wait_for()
    guest.settled()
    assert box.input_value() == "0.00725"
    assert slider.get_attribute("aria-valuetext") == "0.00725"
    assert guest.query["racer"] == ["adam~lr~0.00725"]
    box.fill("1e-9")  # far below the slider
    box.press("Enter")
    guest.until_query(lambda query: query.get("racer") == ["adam~lr~1e-09"], "the small rate in the address")
    guest.settled()
    assert guest.page.get_by_test_id("stAlert").count() == 0
    assert slider.input_value() == "0"


def test_help_is_reached_by_the_keyboard(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05")
    ask = guest.page.get_by_role("button", name="Help: Learning rate η")
    tip = guest.page.locator(f"#{ask.get_attribute('aria-describedby')}")
    assert not tip.is_visible()
    ask.focus()
    assert tip.is_visible()
    assert OPTIMIZERS["adam"].param["lr"].help in tip.inner_text()
    guest.page.keyboard.press("Tab")
    link = guest.page.evaluate("document.activeElement.getAttribute('href')")
    assert link == "glossary?term=lr"
    assert tip.is_visible()
    guest.page.keyboard.press("Escape")
    assert not tip.is_visible()
    ask.hover()
    assert tip.is_visible()


def test_buttons_pills_and_menus_of_the_panel(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05")
    guest.page.get_by_role("combobox", name="Add an optimizer").select_option("Lion")
    guest.until_query(lambda query: len(query["racer"]) == 2, "another racer")
    guest.settled()
    assert guest.page.get_by_role("radio", name="Lion").is_checked()
    guest.page.get_by_role("radio", name="Adam").check()
    guest.page.get_by_role("switch", name="Amsgrad").check()
    guest.until_query(lambda query: query["racer"][0] == "adam~amsgrad~1~lr~0.05", "the switch in the address")
    guest.page.get_by_role("button", name="Remove").click()
    guest.until_query(lambda query: len(query["racer"]) == 1, "one racer less")
    guest.page.get_by_text("Schedule", exact=True).first.click()
    guest.page.get_by_role("combobox", name="Schedule").select_option("Cosine")
    guest.until_query(lambda query: "lr.by~cosine" in query["racer"][0], "the schedule in the address")
    guest.page.get_by_role("button", name="Reset", exact=True).click()
    guest.until_query(lambda query: "racer" not in query, "the page as it began")
    guest.settled()
    assert guest.page.get_by_role("radio", name="SGD").is_checked()


def test_a_click_sets_the_start(visitor):
    guest = visitor().open("/descent?racer=sgd")
    guest.page.mouse.click(*guest.pixel(0.5, 2.0))
    start = guest.until_query(lambda query: "start" in query, "the start in the address")["start"][0]
    x, y = map(float, start.split("~"))
    assert abs(x - 0.5) < 0.02
    assert abs(y - 2.0) < 0.02
    guest.settled()
    guest.page.get_by_role("button", name="Jump to start").click()
    guest.until(lambda state: np.allclose(state["heads"]["SGD"], [x, y], atol=1e-6), "a path that begins there")
    assert float(guest.page.get_by_role("spinbutton", name="Start x").input_value()) == pytest.approx(x)
    assert float(guest.page.get_by_role("spinbutton", name="Start y").input_value()) == pytest.approx(y)


def test_the_start_can_be_typed_and_moved_by_keys(visitor):
    guest = visitor().open("/descent?racer=sgd")
    box = guest.page.get_by_role("spinbutton", name="Start x")
    box.fill("-0.5")
    box.press("Enter")
    guest.until_query(lambda query: query.get("start") == ["-0.5~1"], "the typed start in the address")
    guest.settled()
    guest.page.locator(".oz-plot").first.focus()
    guest.page.keyboard.press("ArrowRight")  # one fiftieth of a window that is four wide
    guest.until_query(lambda query: query.get("start") == ["-0.42~1"], "the moved start in the address")


def test_playing_counts_up_and_pausing_stops(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05&racer=sgd~lr~0.001&steps=5000")
    run = optviz.trace("rosenbrock", "adam", steps=5000, lr=0.05)
    guest.page.get_by_role("button", name="Jump to start").click()
    guest.page.get_by_role("combobox", name="Speed").select_option("60 steps/s")  # longer than anybody may be busy
    guest.page.get_by_role("button", name="Play", exact=True).click()
    seen = guest.until(lambda state: state["playing"] and state["frame"] > 0, "playing")
    seen = guest.until(lambda state: state["frame"] > seen["frame"] and state["drawn"] > seen["drawn"], "more frames")
    guest.page.get_by_role("button", name="Pause").click()
    paused = guest.until(lambda state: not state["playing"], "a pause")
    guest.page.wait_for_timeout(300)  # long enough for a dozen frames, if it still played
    assert guest.probe()["frame"] == paused["frame"]
    # One moment for all: the scrubber, and every racer's head.
    assert int(guest.page.get_by_role("slider", name="Step", exact=True).input_value()) == paused["frame"]
    np.testing.assert_allclose(paused["heads"]["Adam"], run.theta[paused["frame"]], rtol=1e-6)
    guest.page.get_by_role("button", name="Step forward").click()
    guest.until(lambda state: state["frame"] == paused["frame"] + 1, "one step")


def test_scrubbing_shows_that_step(visitor):
    guest = visitor().open("/descent?racer=momentum~lr~0.0005").at_the_end()
    run = optviz.trace("rosenbrock", "momentum", steps=500, lr=0.0005)
    guest.page.get_by_role("slider", name="Step", exact=True).fill("123")
    state = guest.until(lambda state: state["frame"] == 123, "step 123")
    np.testing.assert_allclose(state["heads"]["Momentum"], run.theta[123], rtol=1e-6)


def test_zoom_survives_a_slider_and_is_undone_by_a_double_click(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05").at_the_end()
    whole = guest.probe()["view"]["surface"]
    (left, top), (right, bottom) = guest.pixel(-1.0, 1.5), guest.pixel(0.5, 0.0)
    mouse = guest.page.mouse
    mouse.move(left, top)
    mouse.down()
    mouse.move(right, bottom, steps=8)
    mouse.up()
    zoomed = guest.until(lambda state: state["view"]["surface"] != whole, "a zoom")["view"]["surface"]
    before = guest.probe()["heads"]
    guest.nudge("Learning rate")
    after = guest.until(lambda state: state["heads"] != before, "another path")
    assert after["view"]["surface"] == zoomed
    assert "start" not in guest.query  # a drag is no click
    mouse.dblclick(*guest.pixel(-0.2, 0.7))
    guest.until(lambda state: np.allclose(state["view"]["surface"]["x"], whole["x"]), "the whole window again")
    guest.page.wait_for_timeout(500)
    assert "start" not in guest.query  # nor is a double click


def test_a_link_reopens_the_same_picture(visitor):
    link = (
        "/descent?v=1&surface=valley~kappa~60~rotation~30&start=-1.5~1.2&steps=300&noise=0.1&seed=7"
        "&racer=momentum~lr~0.01~momentum~0.8~lr.by~cosine~lr.warmup~20&racer=adam~lr~0.05&pin=adam~lr~0.01~.surface~valley~.x~1~.y~1"
    )
    first, second = visitor().open(link).at_the_end(), visitor()
    assert first.page.get_by_test_id("stAlert").count() == 0
    second.page.goto(first.page.url)
    second.settled().at_the_end()
    assert second.probe()["heads"] == first.probe()["heads"]
    assert len(first.probe()["heads"]) == 3
    assert second.query == first.query == parse_qs(urlsplit(link).query)


def test_back_and_forward(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05").at_the_end()
    before = guest.probe()["heads"]["Adam"]
    guest.nudge("Learning rate")
    moved = guest.until(lambda state: state["heads"]["Adam"] != before, "another path")["heads"]["Adam"]
    guest.until_query(lambda query: query.get("racer") == ["adam~lr~0.063"], "the move in the address")
    guest.page.go_back()
    guest.until(lambda state: state["heads"]["Adam"] == before, "the path of before")
    guest.page.go_forward()
    guest.until(lambda state: state["heads"]["Adam"] == moved, "the path of after")


def test_settings_survive_a_page_switch(visitor):
    guest = visitor().open("/descent?surface=beale&racer=lion~lr~0.01").at_the_end()
    heads = guest.probe()["heads"]
    guest.page.get_by_role("link", name="optviz").click()
    guest.page.get_by_role("heading", name="Watch optimizers think").wait_for()
    guest.go("Descent")
    guest.page.get_by_role("spinbutton", name="Start x").wait_for()
    guest.settled().at_the_end()
    guest.until(lambda state: state["heads"] == heads, "the same race")
    guest.until_query(lambda query: query.get("racer") == ["lion~lr~0.01"], "the same address")


def test_copy_link(visitor, context):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    guest = visitor().open("/descent?racer=adam~lr~0.05")
    guest.page.get_by_role("button", name="Copy link").click()
    guest.page.get_by_text("Link copied").wait_for()
    assert guest.page.evaluate("navigator.clipboard.readText()") == guest.page.url


def test_a_broken_link_says_so_and_opens_the_rest(visitor):
    guest = visitor().open("/descent?surface=himmelblau&racer=adam~lr~banana&steps=-3").at_the_end()
    warnings = guest.page.get_by_test_id("stAlert").all_inner_texts()
    assert any("banana" in text for text in warnings)
    assert any("steps" in text for text in warnings)
    exact = optviz.trace("himmelblau", "adam", steps=500).theta[-1]
    np.testing.assert_allclose(guest.probe()["heads"]["Adam"], exact, rtol=1e-6)


def test_pinning_keeps_the_run_while_the_slider_moves(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05").at_the_end()
    before = guest.probe()["heads"]["Adam"]
    guest.page.get_by_role("button", name="Pin", exact=True).click()
    guest.until(lambda state: state["heads"].get("Adam (pinned)") == before, "the ghost")
    guest.nudge("Learning rate")
    # As soon as they differ, the names say in what.
    state = guest.until(lambda state: "Adam (η 0.063)" in state["heads"], "another path")
    assert state["heads"]["Adam (η 0.063)"] != before
    assert state["heads"]["Adam (η 0.05) (pinned)"] == before


def test_the_path_follows_the_hand(visitor):
    """Every value that the stage's slider passes shows the run with that value; letting go keeps it."""
    guest = visitor().open("/descent?racer=adam~lr~0.05&racer=sgd~lr~0.001").at_the_end()
    slider = guest.page.get_by_role("slider", name="Drag Learning rate")
    slider.hover()
    guest.until(lambda state: state["family"] is not None, "the family of runs")
    still = guest.probe()["heads"]["SGD"]
    values = drag_values(Racer(Pick("adam", {"lr": 0.05})), "lr")
    assert len(values) == int(slider.get_attribute("max")) + 1 <= 64
    box = guest.box(slider)
    height = box["y"] + box["height"] / 2
    guest.page.mouse.move(box["x"] + box["width"] / 2, height)
    guest.page.mouse.down()
    seen = set()
    for part in np.linspace(0.5, 0.9, 9):
        guest.page.mouse.move(box["x"] + box["width"] * part, height)
        lr = values[int(slider.input_value())]
        seen.add(lr)
        exact = optviz.trace("rosenbrock", "adam", steps=500, lr=lr)
        state = guest.until(
            lambda state, end=exact.theta[-1]: np.allclose(state["heads"]["Adam"], end, rtol=1e-5), f"lr {lr}"
        )
        assert state["heads"]["SGD"] == still
        assert guest.query["racer"][0] == "adam~lr~0.05"  # nothing is decided while the hand is down
    assert len(seen) > 5
    guest.page.mouse.up()
    guest.until_query(lambda query: query["racer"][0] == f"adam~lr~{lr:g}", "the value that was let go")
    guest.settled()
    np.testing.assert_allclose(guest.probe()["heads"]["Adam"], exact.theta[-1], rtol=1e-6)


def test_a_drag_that_ends_where_it_began_changes_nothing(visitor):
    guest = visitor().open("/descent?racer=adam~lr~0.05").at_the_end()
    before = guest.probe()["heads"]["Adam"]
    slider = guest.page.get_by_role("slider", name="Drag Learning rate")
    slider.hover()
    guest.until(lambda state: state["family"] is not None, "the family of runs")
    slider.focus()
    home = slider.input_value()
    box = guest.box(slider)
    height = box["y"] + box["height"] / 2
    place = box["x"] + box["width"] * int(home) / int(slider.get_attribute("max"))
    guest.page.mouse.move(place, height)
    guest.page.mouse.down()
    guest.page.mouse.move(place - box["width"] / 5, height)
    guest.until(lambda state: state["heads"]["Adam"] != before, "another path under the hand")
    for part in np.linspace(place - 12, place + 12, 25):  # until the handle is exactly where it was
        guest.page.mouse.move(part, height)
        if slider.input_value() == home:
            break
    assert slider.input_value() == home
    guest.page.mouse.up()
    guest.until(lambda state: state["heads"]["Adam"] == before, "the exact run")
    assert guest.page.get_by_text("let go to judge").count() == 0
    assert guest.query["racer"] == ["adam~lr~0.05"]


def test_a_diverging_run_is_shown_where_it_ends(visitor):
    guest = visitor().open("/descent?racer=sgd~lr~0.1").at_the_end()
    run = optviz.trace("rosenbrock", "sgd", steps=500, lr=0.1)
    assert not np.isfinite(run.loss).all()
    guest.page.locator(".oz-stage").get_by_text("diverged at step").first.wait_for()


@pytest.mark.parametrize("options", [(), ("--server.baseUrlPath", "lab")], ids=["root", "base path"])
def test_plotly_is_found_and_replaced_by_its_fallback(context, options):
    """Streamlit's own copy of plotly.js is a private file: the day it moves, the app's copy must serve."""
    with serving(*options) as base:
        guest = Visitor(context.new_page(), base).open("/descent?racer=sgd")
        loaded = guest.page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert any("/static/js/PlotlyChart." in name for name in loaded)
        assert not any(name.endswith("/app/static/plotly.min.js") for name in loaded)
        assert guest.problems == []

        guest = Visitor(context.new_page(), base)
        guest.page.route("**/static/js/PlotlyChart.*.js", lambda route: route.abort())
        guest.open("/descent?racer=sgd")
        loaded = guest.page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert any(name.endswith("/app/static/plotly.min.js") for name in loaded)
        assert guest.probe()["view"]["surface"]["x"] == [-2, 2]


def test_a_formula_of_ones_own_races_and_a_hostile_one_is_refused(visitor):
    guest = visitor().open("/descent?surface=%3Dx%5E2%2B3y%5E2%404&start=2~1&racer=sgd~lr~0.1").at_the_end()
    exact = optviz.trace(optviz.surface("x^2+3y^2", 4.0), "sgd", steps=500, start=(2.0, 1.0), lr=0.1)
    np.testing.assert_allclose(guest.probe()["heads"]["SGD"], exact.theta[-1], atol=1e-30)
    box = guest.page.get_by_role("textbox", name="f(x, y) =")
    box.fill("__import__('os').system('id')")
    box.press("Enter")
    guest.page.get_by_test_id("stAlert").first.wait_for()
    assert box.input_value() == "__import__('os').system('id')"  # stays, to be mended
    assert guest.query["surface"] == ["=x^2+3y^2@4"]
    box.fill("x^2 + y^4")
    box.press("Enter")
    guest.until_query(lambda query: query["surface"] == ["=x^2 + y^4@4"], "the good formula in the address")
    guest.settled().at_the_end()
    assert guest.page.get_by_test_id("stAlert").count() == 0
    better = optviz.trace(optviz.surface("x^2 + y^4", 4.0), "sgd", steps=500, start=(2.0, 1.0), lr=0.1)
    guest.until(lambda state: np.allclose(state["heads"]["SGD"], better.theta[-1], atol=1e-7), "the race on it")


def test_the_camera_survives_every_change(visitor):
    guest = visitor().open("/descent?view=3-D&racer=adam~lr~0.05").at_the_end()
    first = guest.until(lambda state: state["camera"] and state["space"], "the surface in space")
    box = guest.box(guest.page.locator(".oz-plot").first)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    guest.page.mouse.move(*middle)
    guest.page.mouse.down()
    for part in range(1, 9):
        guest.page.mouse.move(middle[0] + 12 * part, middle[1] - 4 * part)
    guest.page.mouse.up()
    turned = guest.until(lambda state: state["camera"]["eye"] != first["camera"]["eye"], "another view")
    assert turned["space"]["Adam"] != first["space"]["Adam"]  # the path turned with the surface
    assert guest.query.get("start") is None  # a turn is no click
    eye = turned["camera"]["eye"]

    guest.nudge("Learning rate")
    guest.until_query(lambda query: query.get("racer") == ["adam~lr~0.063"], "the new rate in the address")
    guest.settled()
    state = guest.until(lambda state: state["space"]["Adam"] != turned["space"]["Adam"], "another path")
    assert state["camera"]["eye"] == eye
    exact = optviz.trace("rosenbrock", "adam", steps=500, lr=0.063).theta[-1]
    np.testing.assert_allclose(state["heads"]["Adam"], exact, rtol=1e-6)

    for view in ("2-D", "both"):
        guest.page.get_by_role("radio", name=view).click()
        guest.until_query(lambda query, view=view: query.get("view", ["2-D"]) == [view], f"the view {view}")
        guest.settled()
    assert guest.until(lambda state: state["camera"], "the surface in space again")["camera"]["eye"] == eye


def test_a_click_in_space_sets_the_start(visitor):
    guest = visitor().open("/descent?view=3-D&racer=adam~lr~0.05").at_the_end()
    guest.until(lambda state: state["space"], "the surface in space")
    place = guest.pixel(0.0, 2.0)  # on the near side of a hill
    guest.page.evaluate(
        """document.querySelector('.oz-stage .js-plotly-plot').on(
             'plotly_hover', ({ points: [{ x, y }] }) => (window.under = [x, y]))"""
    )

    def pointed() -> list[float] | None:
        """What Plotly says is under the pointer; it looks when the pointer rests."""
        guest.page.mouse.move(place[0] - 3, place[1])
        guest.page.mouse.move(*place)
        return guest.page.evaluate("window.under ?? null")

    guest.once(pointed, lambda here: here and np.hypot(here[0], here[1] - 2.0) < 0.1, "the place under the pointer")
    guest.page.mouse.click(*place)
    start = guest.until_query(lambda query: "start" in query, "the start in the address")["start"][0]
    x, y = map(float, start.split("~"))
    assert np.hypot(x - 0.0, y - 2.0) < 0.1  # the nearest node of the grid that is drawn there


def numbers(text: str) -> list[float]:
    """The numbers of a text as the stage writes them: 0.123, −4.2×10⁻³."""
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
    plain = re.sub(r"×10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda power: "e" + power[1].translate(digits), text.replace("−", "-"))
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", plain)]


def test_the_anatomy_has_the_numbers_of_the_run(visitor):
    guest = visitor().open("/descent?anatomy=1&racer=adam~lr~0.05&steps=60")
    run = optviz.trace("rosenbrock", "adam", steps=60, lr=0.05)
    guest.page.get_by_role("button", name="Jump to start").click()
    for frame in (0, 1, 2):
        guest.until(lambda state, frame=frame: state["frame"] == frame and not state["playing"], f"step {frame}")
        guest.page.get_by_text(f"Step {frame + 1} of Adam, taken apart").wait_for()
        rows = guest.page.locator(".oz-formula tr").all()
        shown = {row.locator("th").inner_text(): row.locator(".oz-filled").inner_text() for row in rows}
        assert list(shown) == ["m", "v", "m̂", "v̂", "Δθ"]
        for symbol, exact in (("m", run.slots["m"]), ("v", run.slots["v"]), ("Δθ", run.step)):
            np.testing.assert_allclose(numbers(shown[symbol])[-2:], exact[frame], rtol=0.05)  # two digits at least
        previous = run.slots["m"][frame - 1] if frame else [0.0, 0.0]
        filled = [0.9, *previous, 1, 0.9, *run.grad[frame], *run.slots["m"][frame]]
        np.testing.assert_allclose(numbers(shown["m"]), filled, rtol=0.05)
        change = run.loss[frame + 1] - run.loss[frame]
        promise = guest.page.locator(".oz-promise").inner_text()
        assert ("brought a fall" if change <= 0 else "brought a rise") in promise
        np.testing.assert_allclose(numbers(promise)[-1], abs(change), rtol=0.05)
        guest.page.get_by_role("button", name="Step forward").click()
    guest.page.get_by_role("button", name="Zoom to this step").click()
    guest.until(lambda state: abs(state["view"]["surface"]["x"][1] - state["view"]["surface"]["x"][0]) < 1, "a zoom")


def test_a_claim_on_its_page(visitor):
    guest = visitor().open("/descent?claim=A3")
    guest.page.get_by_text("Measured here:").wait_for()
    guest.page.get_by_role("link", name="A4").click()
    guest.until_query(lambda query: query.get("claim") == ["A4"], "the next claim")
    guest.settled()
    guest.page.get_by_text("Trapped in a local minimum").first.wait_for()
    guest.page.go_back()
    guest.until_query(lambda query: query.get("claim") == ["A3"], "the claim before")
    guest.page.get_by_text("The stall at a saddle").first.wait_for()


def test_a_surface_is_sent_once_and_found_again_after_a_visit_elsewhere(visitor):
    guest = visitor().open("/descent?racer=sgd").at_the_end()
    view = guest.probe()["view"]["surface"]
    guest.go("Glossary")
    guest.page.get_by_role("heading", name="Words").wait_for()
    guest.go("Descent")
    guest.settled()
    assert guest.probe()["view"]["surface"] == view
    guest.page.reload()  # a new visit, whose server has to send it again
    guest.settled()
    assert guest.probe()["view"]["surface"] == view


# The backpropagation walk --------------------------------------------------------------------------------------------


class Walker(Visitor):
    """A visitor of the backpropagation walk."""

    stage = ".oz-walk"


def shown(found: Graph, known: set[str], told: set[str]) -> dict[str, list[str]]:
    """What stands in the boxes of the nodes: a symbol, a value once it is known, a gradient once it is told."""
    return {
        name: [node.symbol]
        + [number(node.value, 3)] * (name in known)
        + [f"∂ {number(node.gradient, 3)}"] * (name in told)
        for name, node in found.nodes.items()
    }


def test_the_walk_goes_forward_and_back_by_keys_with_pythons_numbers(walker):
    guest, found = walker().open("/backprop"), graph(TWO_PATHS)
    guest.page.locator(".oz-scrubber").focus()
    known = {name for name, node in found.nodes.items() if node.kind == "input"}
    passed: set[str] = set()
    for frame, moment in enumerate(walk(TWO_PATHS)):
        if frame:
            guest.page.keyboard.press("ArrowRight")
        state = guest.until(lambda state, frame=frame: state["frame"] == frame, f"step {frame}")
        known |= {moment.node} if moment.phase == "forward" else set()
        passed |= {moment.node} if moment.phase == "backward" else set()
        assert (state["phase"], state["active"], state["says"]) == moment[:3]
        told = {name for name in found.nodes if {edge.target for edge in found.out_of(name)} <= passed}
        for name, texts in shown(found, known, told if passed else set()).items():
            here = state["nodes"][name]
            assert here[: len(texts)] == texts, (frame, name)
            assert all(text.startswith(("b ", "slope ", "← ")) for text in here[len(texts) :]), (frame, here)
        if moment.phase == "backward":  # local derivative × what arrives, and what flows back, on every edge
            for edge in found.into(moment.node):
                sums = [number(value, 3) for value in (edge.local, found.nodes[edge.target].gradient, edge.product)]
                key = f"{edge.source}>{edge.target}"
                texts = state["edges"][key] if key in state["edges"] else state["nodes"][moment.node]
                assert all(text in " ".join(texts) for text in sums), (frame, key)
    end = guest.probe()
    assert end["frame"] == end["steps"] == len(walk(TWO_PATHS)) - 1
    for edge in found.edges:
        if edge.weight:
            parameter = found.parameters[edge.weight]
            gradient = f"∂ {number(parameter.gradient, 3)}"
            assert end["edges"][f"{edge.source}>{edge.target}"] == [number(parameter.value, 3), gradient]
    guest.page.keyboard.press("ArrowLeft")
    guest.until(lambda state: state["frame"] == end["steps"] - 1 and state["phase"] == "backward", "one step back")
    guest.page.keyboard.press("Home")
    guest.until(lambda state: state["frame"] == 0 and state["nodes"]["L"] == ["L"], "the start, the loss unknown")
    guest.page.keyboard.press("Space")
    guest.until(lambda state: state["playing"] and state["frame"] >= 2, "the walk to play")
    guest.page.keyboard.press("Space")
    guest.until(lambda state: not state["playing"], "a pause")


def test_a_moved_weight_changes_the_picture_and_stays_at_its_step(walker):
    guest = walker().open("/backprop")
    guest.page.locator(".oz-scrubber").focus()
    guest.page.keyboard.press("End")
    before = guest.until(lambda state: state["phase"] == "done", "the end of the walk")
    guest.nudge("Weight w¹₁₁")
    guest.until_query(lambda query: "weights" in query, "the weight in the address")
    changed = TWO_PATHS.but("w1.1.1", float(guest.query["weights"][0].split("~")[0]))
    assert changed != TWO_PATHS
    value = number(graph(changed).loss, 3)
    after = guest.until(lambda state: state["nodes"]["L"][1] == value, "the new loss")
    assert after["nodes"]["L"] != before["nodes"]["L"]
    assert after["frame"] == after["steps"]


def test_a_click_on_a_weight_shows_its_chain(walker):
    guest = walker().open("/backprop")
    guest.page.locator(".oz-walk-label[data-edge='a1.1>z2.2']").click()
    guest.until_query(lambda query: query.get("chosen") == ["w2.2.1"], "the chosen weight in the address")
    (chain,) = chains(TWO_PATHS, "w2.2.1")
    product = number(chain.product)
    guest.until(lambda state: "∂L/∂w²₂₁" in state["chain"] and product in state["chain"], "the chain")
    assert guest.page.get_by_role("slider", name="Weight w²₂₁").is_visible()


@pytest.mark.parametrize("size", [(360, 740), (1280, 800), (1920, 1080)], ids=str)
def test_no_label_of_the_walk_covers_another_or_leaves_the_picture(walker, size):
    guest = walker()
    guest.page.set_viewport_size({"width": size[0], "height": size[1]})
    guest.open("/backprop")
    steps = guest.probe()["steps"]
    for frame in range(steps + 1):
        scrubber = guest.page.locator(".oz-scrubber")
        scrubber.evaluate("(node, value) => { node.value = value; node.dispatchEvent(new Event('input')) }", frame)
        guest.until(lambda state, frame=frame: state["frame"] == frame, f"step {frame}")
        covered = guest.page.evaluate(
            """() => {
              const box = (node) => node.getBoundingClientRect();
              const edges = [...document.querySelectorAll('.oz-walk-label > rect')];
              const nodes = [...document.querySelectorAll('.oz-walk-node > rect, .oz-walk-bias')];
              const graph = box(document.querySelector('.oz-walk-graph'));
              const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3
                && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
              const found = [];
              edges.forEach((one, i) => [...edges.slice(i + 1), ...nodes].forEach((other) =>
                meet(box(one), box(other)) && found.push([one.parentNode.dataset.edge, other.parentNode.dataset])));
              const out = ({ left, right }) => left < graph.left - 1 || right > graph.right + 1;
              const texts = [...document.querySelectorAll('.oz-walk-graph text')].filter((text) => out(box(text)));
              return [...found, ...texts.map((text) => text.textContent)];
            }"""
        )
        assert covered == [], (frame, covered)
    wide = guest.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
