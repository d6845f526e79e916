"""Saving pictures, in real Chromium: what stands on the canvases is in the file, which knows where it is from."""

import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from browsing import Visitor, saved
from optviz.experiment import Pick, Racer
from optviz.export import charts_to_html, shown_to_html, training_shown, walk_to_html
from optviz.figures.phase_map import phase_map_record
from optviz.figures.theme import style
from optviz.figures.walk import every_chain
from optviz.phase_map import PLANE, measure
from optviz.training import Configuration, Net, Training, advance, begin
from optviz.ui.presets import TWO_PATHS

SVG = "{http://www.w3.org/2000/svg}"
RACE = "/descent?steps=200&racer=adam~lr~0.05&racer=sgd~lr~0.001&racer=rmsprop~lr~0.01"


class Charts(Visitor):
    """A visitor of a page whose picture is a chart."""

    stage = ".oz-chart"


class Walker(Visitor):
    """A visitor of the backpropagation walk."""

    stage = ".oz-walk"


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def nearest(picture: Image.Image, color: str) -> int:
    """How many pixels have a colour, to within what a smooth edge changes."""
    return int((np.abs(np.asarray(picture.convert("RGB")).astype(int) - rgb(color)).max(axis=-1) < 8).sum())


def test_a_race_is_saved_with_its_paths(visitor):
    guest = visitor().open(RACE).at_the_end()
    title = guest.page.locator(".oz-plane .oz-title").inner_text()
    keys = ("adam", "sgd", "rmsprop")

    text, name = saved(guest.page, title, "SVG")
    assert name == "optviz_descent_Rosenbrock_from_above.svg"
    root = ElementTree.fromstring(text)
    assert guest.page.url in (root.findtext(f"{SVG}desc") or "")
    lines = [path for path in root.iter(f"{SVG}path") if path.get("stroke-width") == "3" and path.get("fill") == "none"]
    runs = [path for path in lines if len(path.get("d", "")) > 100]  # the others are swatches
    assert sorted(path.get("stroke") or "" for path in runs) == sorted(style(key).color for key in keys)
    texts = {node.text for node in root.iter(f"{SVG}text")}
    assert {"Adam", "SGD", "RMSProp", title} <= texts

    # the last vertex of Adam's line is where the probe says that its head is
    (adam,) = (path for path in runs if path.get("stroke") == style("adam").color)
    x, y = (float(part) for part in (adam.get("d") or "").replace("M", "L").split("L")[-1].split(","))
    left, top = guest.page.evaluate(
        """() => { const { left, top } = document.querySelector('.oz-plane .oz-sprites').getBoundingClientRect();
                   return [left, top] }"""
    )
    assert guest.pixel(*guest.probe()["heads"]["Adam"]) == pytest.approx((x + left, y + top), abs=0.1)

    png, name = saved(guest.page, title, "PNG")
    assert name.endswith(".png")
    picture = Image.open(io.BytesIO(png))
    picture.load()
    assert isinstance(picture, Image.Image)
    facts = getattr(picture, "text", {})
    assert (facts["Source"], facts["Software"], facts["Title"]) == (guest.page.url, "optviz", title)
    plot = guest.page.locator(".oz-plane .oz-plot").bounding_box()
    assert plot is not None
    assert picture.width >= 2 * plot["width"]
    assert picture.height >= 2 * plot["height"]
    for key in keys:
        assert nearest(picture, style(key).color) > 200  # a head alone has more


def test_a_curve_is_saved_with_the_steps_it_stands_over(visitor):
    guest = visitor().open(RACE).at_the_end()
    root = ElementTree.fromstring(saved(guest.page, "Loss f", "SVG")[0])
    texts = ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]
    assert {"step", "0", "200"} <= set(texts)


def test_what_is_hidden_stays_hidden(visitor):
    guest = visitor().open(RACE).at_the_end()
    title = guest.page.locator(".oz-plane .oz-title").inner_text()
    guest.page.get_by_role("button", name="SGD").first.click()
    root = ElementTree.fromstring(saved(guest.page, title, "SVG")[0])
    assert style("sgd").color not in {path.get("stroke") for path in root.iter(f"{SVG}path")}


def test_a_map_is_saved(window):
    guest = window(Charts).open("/phase_map?resolution=32")
    root = ElementTree.fromstring(saved(guest.page, "this chart", "SVG")[0])
    texts = {"".join(node.itertext()) for node in root.iter(f"{SVG}text")}
    assert {"Learning rate η", "Momentum ρ"} <= texts
    assert any(text.startswith("converged: ") for text in texts)  # what the page says beside its map
    png, name = saved(guest.page, "this chart", "PNG")
    assert name == "optviz_phase_map.png"
    picture = Image.open(io.BytesIO(png))
    chart = guest.page.locator(".oz-chart").bounding_box()
    assert chart is not None
    assert picture.width >= 2 * chart["width"]
    assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 50


def test_a_walk_is_saved_as_it_stands(window):
    guest = window(Walker).open("/backprop")
    guest.page.get_by_role("button", name="Jump to end").click()
    guest.until(lambda state: state["phase"] == "done", "the end")
    root = ElementTree.fromstring(saved(guest.page, "the network as it stands", "SVG")[0])
    texts = {"".join(node.itertext()) for node in root.iter(f"{SVG}text")}
    shown = {text for node in guest.probe()["nodes"].values() for text in node}
    assert shown <= texts
    assert not any("var(" in (node.get("style") or "") for node in root.iter())


# On a page of its own -------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(context, tmp_path):
    """A function that opens a page which left the app, where there is no server: it asks for nothing."""
    said: list[str] = []
    pages = []

    def opened(text: str, name: str):
        (tmp_path / name).write_text(text, encoding="utf-8")
        page = context.new_page()
        pages.append(page)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: message.type == "error" and said.append(message.text))
        page.on("request", lambda one: one.url.startswith(("http", "ws")) and said.append(one.url))
        page.goto((tmp_path / name).as_uri())
        page.wait_for_selector("[data-ready=true]")
        return page

    yield opened
    for page in pages:
        page.close()
    assert said == []


def test_charts_on_a_page_of_their_own(alone, tmp_path):
    """Without a server: the page draws its chart, and saves it without telling where on the disk it lies."""
    map_ = PLANE.request
    record = phase_map_record(map_, measure(map_), None, None, "")
    page = alone(charts_to_html("Phase map", [{**record, "title": "The map"}]), "map.html")
    said_below = [entry["words"] for entry in record["key"]]
    assert page.locator("main li").all_inner_texts() == said_below
    assert any(words.startswith("diverged: ") for words in said_below)
    text, name = saved(page, "The map", "SVG")
    root = ElementTree.fromstring(text)
    assert set(said_below) <= {node.text for node in root.iter(f"{SVG}text")}
    patches = [(node.get("fill"), float(node.get("fill-opacity") or 1)) for node in root.iter(f"{SVG}rect")]
    assert {(entry["color"], entry["opacity"]) for entry in record["key"]} <= set(patches)
    assert name == "optviz_map_The_map.svg"
    assert str(tmp_path) not in text.decode()
    assert page.locator(".oz-chart").get_attribute("aria-label") == json.loads(json.dumps(record["alt"]))


def test_a_walk_on_a_page_of_its_own_can_choose_every_weight(alone):
    page = alone(walk_to_html(TWO_PATHS, link="/backprop?seed=7"), "walk.html")
    page.get_by_role("button", name="Jump to end").click()
    page.wait_for_function("document.querySelector('.oz-walk').probe().phase === 'done'")
    chain = page.locator(".oz-walk-chain")
    for name, told in every_chain(TWO_PATHS).items():
        page.locator(f"[data-parameter='{name}']").last.dispatch_event("click")
        page.wait_for_function(
            f"document.querySelector('.oz-walk-title').textContent.startsWith('∂L/∂{told['symbol']}:')"
        )
        assert all(path["numbers"] in chain.inner_text() for path in told["paths"])
        assert page.evaluate("document.querySelector('.oz-walk').probe().phase") == "done"  # it stays where it was
    assert "/backprop?seed=7" in page.locator("footer").inner_text()


def test_a_training_on_a_page_of_its_own_plays(alone):
    """What the network answers changes on the way; the facts at the foot are those of the training."""
    training = Training(
        Pick("moons", {"noise": 0.2}),
        (Configuration(Net(hidden=(8,)), Racer(Pick("adam", {"lr": 0.03}))),),
        epochs=8,
    )
    page = alone(
        shown_to_html(training_shown(training, advance(training, begin(training), training.steps))), "moons.html"
    )
    ground = "() => document.querySelector('.oz-picture canvas').toDataURL()"
    seen = []
    for where, clock in (("start", "step 0 "), ("end", f"step {training.steps} ")):
        page.get_by_role("button", name=f"Jump to {where}").click()
        page.wait_for_function(f"document.querySelector('.oz-clock').textContent.startsWith('{clock}')")
        seen.append(page.evaluate(ground))
    assert seen[0] != seen[1]
    foot = page.locator("footer").inner_text()
    assert "hidden layers 8, relu" in foot
    assert f"{training.steps} of {training.steps} steps" in foot
