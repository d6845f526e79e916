"""The cloud page: controls, links and pictures agree; in a browser the cloud follows a drag, plays, and a point opens
its run."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from browsing import Visitor
from desks import Laboratory, follow, records, says
from optviz import cloud_link, link
from optviz.cloud import ON_A_SADDLE, VALLEY, floors, measure
from optviz.experiment import Pick
from optviz.ui.cloud import target
from optviz.ui.presets import RAVINE

PAGE = Laboratory("cloud", VALLEY, cloud_link.to_query)
lying = PAGE.lying
FEW = replace(VALLEY, runs=100)


@pytest.fixture(scope="module")
def session() -> AppTest:
    return PAGE.open()


@pytest.fixture
def laboratory(session) -> Iterator[AppTest]:
    yield PAGE.reset(session)
    assert not session.exception


def visit(at: AppTest, **fields: str) -> AppTest:
    return follow(at, fields)


def drawn(at: AppTest, component: str) -> dict:
    return records(at, component)[0]


def test_the_page_opens_with_the_cloud_the_floor_and_the_claim_measured(laboratory):
    assert lying(laboratory) == VALLEY
    stage = drawn(laboratory, "optviz_stage")
    assert stage["panels"][0]["ground"]["count"] == 1000
    assert [racer["label"] for racer in stage["racers"]][:3] == ["mean of 1,000 runs", "median", "without noise"]
    assert "noise floor" in drawn(laboratory, "optviz_chart")["alt"].lower()
    assert ":green[" in says(laboratory)
    assert says(laboratory).count("open this run") == 3


def test_a_link_brings_another_cloud_and_the_address_keeps_it(laboratory):
    wanted = replace(FEW, look="density", experiment=replace(VALLEY.experiment, noise=0.5, steps=60))
    visit(laboratory, runs="100", look="density", noise="0.5", steps="60")
    assert lying(laboratory) == wanted
    ground = drawn(laboratory, "optviz_stage")["panels"][0]["ground"]
    assert (ground["count"], ground["look"]) == (100, "density")
    fields = {name: [text] if isinstance(text, str) else text for name, text in laboratory.query_params.items()}
    assert cloud_link.from_query(fields, VALLEY) == (wanted, [])


def test_every_control_is_there_and_explained(laboratory):
    panel = drawn(laboratory, "optviz_panel")

    def controls(parts):
        for part in parts:
            spec = json.loads(part["spec"])
            if "parts" in part:
                yield from controls(part["parts"])
            elif spec["kind"] != "words":
                yield part["name"], spec

    found = dict(controls(panel["parts"]))
    names = {"surface", "optimizer", "sgd-lr", "sgd-momentum", "noise", "runs", "valley-kappa", "start-x", "start-y",
             "steps", "look", "low", "high", "seed", "l2"}  # fmt: skip
    assert names <= set(found)
    assert all(spec["help"] for spec in found.values())


def test_nonsense_gets_sentences(laboratory):
    visit(laboratory, runs="many", noise="0", surface="saddle", seed="4")
    assert len(laboratory.warning) == 3
    assert lying(laboratory) == replace(VALLEY, experiment=replace(VALLEY.experiment, seed=4))


def test_a_claim_opens_its_own_cloud(laboratory):
    visit(laboratory, claim="A5-saddle")
    assert lying(laboratory) == ON_A_SADDLE
    assert "A5-saddle · Noise leaves a saddle" in says(laboratory)
    assert ":green[" in says(laboratory)
    labels = [racer["label"] for racer in drawn(laboratory, "optviz_stage")["racers"]]
    assert [label for label in labels if label.startswith("near")] == ["near (0, −1.41)", "near (0, 1.41)"]


def test_an_adaptive_rule_on_another_surface_has_a_cloud_without_theory(laboratory):
    visit(laboratory, surface="himmelblau", racer="adam~lr~0.1", runs="100", steps="100", noise="5")
    assert lying(laboratory).experiment.surface == Pick("himmelblau")
    traces = [trace["name"] for trace in drawn(laboratory, "optviz_chart")["figure"]["data"]]
    assert "theory" not in traces
    assert "floor by theory" not in [racer["label"] for racer in drawn(laboratory, "optviz_stage")["racers"]]


def test_a_click_names_a_rate_or_nothing():
    found = floors(FEW)
    query = target(FEW, found, {"curve": "settled", "point": 4})
    assert query is not None
    opened, messages = link.from_query(query, RAVINE)
    assert messages == []
    assert opened == FEW.run(lr=float(found.rates[4]))
    for nonsense in (None, 7, {}, {"curve": "settled", "point": 99}, {"curve": 3, "point": 1}, {"point": 1},
                     {"curve": "settled", "point": [1, 2]}, {"curve": "settled", "point": -1}):  # fmt: skip
        assert target(FEW, found, nonsense) is None


# In a browser --------------------------------------------------------------------------------------------------------


CHART = "document.querySelector('.oz-chart .js-plotly-plot')"


def spread(guest: Visitor) -> float:
    """How far the drawn runs lie from their centre, along x."""
    x, _ = guest.probe()["crowd"]
    return float(np.std(x))


def test_in_a_browser_the_cloud_follows_a_drag_and_the_link_reopens_it(visitor):
    guest = visitor().open("/cloud?runs=100&steps=200").at_the_end()
    before = spread(guest)
    expected = measure(replace(FEW, experiment=replace(VALLEY.experiment, steps=200))).theta[:, -1, 0].std()
    assert before == pytest.approx(expected, rel=1e-3)
    slider = guest.slider("Learning rate")
    box = guest.box(slider)
    middle = box["y"] + box["height"] / 2
    guest.page.mouse.move(box["x"] + 0.7 * box["width"], middle)
    guest.page.mouse.down()
    for share in (0.6, 0.5, 0.4):
        guest.page.mouse.move(box["x"] + share * box["width"], middle)
        guest.page.wait_for_timeout(60)
    guest.page.mouse.up()
    rate = slider.get_attribute("aria-valuetext")
    assert float(rate) < 0.05
    guest.until_query(
        lambda query: cloud_link.from_query(query, VALLEY)[0].racer.values["lr"] == float(rate),
        "the last rate in the address",
    )
    guest.settled().at_the_end()
    expected = measure(cloud_link.from_query(guest.query, VALLEY)[0]).theta[:, -1, 0].std()
    guest.until(lambda state: np.std(state["crowd"][0]) == pytest.approx(expected, rel=1e-3), "the cloud of that rate")
    after = spread(guest)
    address = guest.page.url.removeprefix(guest.base)
    again = visitor().open(address).at_the_end()
    assert spread(again) == after
    assert again.slider("Runs").get_attribute("aria-valuetext") == "100"


def test_in_a_browser_it_plays_and_shows_points_or_a_density(visitor):
    guest = visitor().open("/cloud?runs=100&steps=200")
    guest.page.get_by_role("button", name="Jump to start").click()
    guest.until(lambda state: state["frame"] == 0 and not state["playing"], "the start")
    assert spread(guest) < 1e-3  # all at the start, to the last of 16 bits
    guest.page.get_by_role("button", name="Play", exact=True).click()
    guest.until(lambda state: state["frame"] > 20, "playing")
    assert spread(guest) > 0.05
    guest.page.keyboard.press("End")
    for look in ("density", "points"):
        guest.page.get_by_role("radio", name=look).or_(guest.page.get_by_role("button", name=look)).first.click()
        guest.until_query(lambda query, look=look: query.get("look") == [look], "the look in the address")
        guest.settled()
        inked = guest.page.evaluate(
            """() => [...document.querySelectorAll('.oz-plane canvas.oz-ink')].some(
                 (canvas) => canvas.width && canvas.getContext('2d')
                   .getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value))"""
        )
        assert inked


def test_in_a_browser_a_point_opens_its_run(visitor):
    guest = visitor().open("/cloud?runs=100&steps=200")
    guest.page.wait_for_selector(".oz-chart[data-ready=true]")
    guest.page.locator(".oz-chart").scroll_into_view_if_needed()
    found = floors(replace(FEW, experiment=replace(VALLEY.experiment, steps=200)))
    settled = int(np.flatnonzero(found.settled)[-3])
    points = "graph.data.find((one) => one.meta === 'settled')"
    rate = guest.page.evaluate(f"(i) => {{ const graph = {CHART}; return {points}.x[i] }}", settled)
    assert rate == pytest.approx(found.rates[settled])
    guest.page.mouse.click(*guest.place(0, f"(({{ x, y }}) => [x[value], y[value]])({points})", settled))
    guest.page.wait_for_url("**/descent?**")
    assert f"sgd~lr~{rate}" in guest.page.url.replace("%7E", "~")
    guest.page.wait_for_selector(".oz-stage[data-ready=true]")
