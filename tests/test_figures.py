"""Pictures as data: what is drawn is what was computed, small enough to send, and told apart by every eye."""

import base64
import json
import tomllib
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from optviz.anatomy import anatomy
from optviz.curves import CURVES
from optviz.experiment import Experiment, Pick, Racer, run
from optviz.figures import basin_map, phase_map, theme
from optviz.figures.dissection import dissection
from optviz.figures.race import race
from optviz.landscape import over_window
from optviz.optimizers import OPTIMIZERS
from optviz.surfaces import SURFACES, own_key

ROOT = Path(__file__).parents[1]
SGD = Racer(Pick("sgd", {"lr": 0.001}))
ADAM = Racer(Pick("adam", {"lr": 0.05}))
RAVINE = Experiment(Pick("rosenbrock"), (SGD, ADAM))
WILD = Experiment(Pick("rosenbrock"), (Racer(Pick("sgd", {"lr": 0.1})),))


def decoded(text: str) -> np.ndarray:
    """What the browser reads: `new Float32Array(buffer)` on a little-endian machine."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")


def sent(data: dict[str, Any]) -> str:
    """The record as it travels. Raises where a number has no JSON, as infinity and NaN have none."""
    return json.dumps(data, allow_nan=False)


def panel(data: dict[str, Any], name: str) -> dict[str, Any]:
    return next(panel for panel in data["panels"] if panel["name"] == name)


# The record of a race ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("experiment", [RAVINE, WILD], ids=["two racers", "diverging"])
def test_series_are_the_trajectorys_numbers(experiment):
    runs = run(experiment)
    racers = race(experiment, runs)["racers"]
    assert len(racers) == len(runs)
    for racer, one in zip(racers, runs, strict=True):
        path = one.trajectory
        with np.errstate(all="ignore"):
            expected = {
                "x": path.theta[:, 0],
                "y": path.theta[:, 1],
                "loss": path.loss,  # Rosenbrock's minimum is 0
                "gradient": np.hypot(path.grad[:, 0], path.grad[:, 1]),
                "lr": path.lr,
            }
            assert set(racer["series"]) == set(expected)
            for name, values in expected.items():
                np.testing.assert_allclose(
                    decoded(racer["series"][name]), values.astype(np.float32), rtol=3e-7, err_msg=name
                )
        assert racer["label"] == one.label
        assert racer["stop"] == one.outcome.at
        assert racer["state"] == one.outcome.sentence


def test_a_diverging_run_is_sent_with_its_infinities_and_its_end():
    (racer,) = race(WILD, run(WILD))["racers"]
    assert not np.isfinite(decoded(racer["series"]["x"])).all()
    assert 0 < racer["stop"] < 500
    assert np.isfinite(decoded(racer["series"]["x"])[: racer["stop"]]).all()  # what is drawn before it is drawn whole


@pytest.mark.parametrize("key", SURFACES)
def test_every_surface_makes_a_figure(key):
    """Without a racer, which is also what a visitor sees who has removed them all."""
    experiment = Experiment(Pick(key))
    data = race(experiment, [])
    sent(data)
    assert data["racers"] == []
    for part in data["panels"]:
        go.Figure(part["figure"])  # Plotly refuses what it does not know
        assert part["title"]
        assert len(part["alt"]) > 20
    plane = panel(data, "surface")
    left, right, bottom, top = SURFACES[key].window
    assert plane["figure"]["layout"]["xaxis"]["range"] == [left, right]
    assert plane["figure"]["layout"]["yaxis"]["range"] == [bottom, top]
    (contour,) = plane["figure"]["data"]
    height = decoded(contour["z"]["bdata"])
    assert np.isfinite(height).all()
    assert contour["z"]["shape"] == "96, 96"
    levels = contour["contours"]
    count = (levels["end"] - levels["start"]) / levels["size"]
    assert 5 < count < 40  # neither a few bands nor a moiré
    assert height.min() - levels["size"] <= levels["start"] < levels["end"] <= height.max()


@pytest.mark.parametrize("key", SURFACES)
def test_colour_grows_with_the_loss(key):
    """Also where it is a logarithm: the order of any two points is the surface's."""
    (contour,) = panel(race(Experiment(Pick(key)), []), "surface")["figure"]["data"]
    drawn = decoded(contour["z"]["bdata"]).astype(float)
    order = np.argsort(over_window(key).loss.ravel(), kind="stable")
    assert (np.diff(drawn[order]) >= -1e-6 * np.abs(drawn).max()).all()


def test_a_logarithmic_colour_bar_is_labelled_with_the_values_themselves():
    plane = panel(race(RAVINE, []), "surface")
    bar = plane["figure"]["layout"]["coloraxis"]["colorbar"]
    (contour,) = plane["figure"]["data"]
    loss = over_window("rosenbrock").loss
    assert decoded(contour["z"]["bdata"]).max() == pytest.approx(np.log10(loss.max()), rel=1e-6)
    assert "10<sup>2</sup>" in bar["ticktext"]
    assert bar["tickvals"][bar["ticktext"].index("10<sup>2</sup>")] == 2
    assert not any("-" in text for text in bar["ticktext"])


@pytest.mark.parametrize("key", SURFACES)
def test_marks_are_the_known_points_and_the_start(key):
    entry = SURFACES[key]
    marks = panel(race(Experiment(Pick(key)), []), "surface")["marks"]
    of = {kind: {(m["x"], m["y"]) for m in marks if m["kind"] == kind} for kind in ("minimum", "saddle", "start")}
    assert of["minimum"] == {(m.x, m.y) for m in entry.minima_at({})}
    assert of["saddle"] == set(entry.saddles_at({}))
    assert of["start"] == {entry.starts[0]}
    called_global = {(m["x"], m["y"]) for m in marks if m["label"].startswith("global minimum")}
    assert called_global == {(m.x, m.y) for m in entry.lowest_at({})}


def test_marks_move_with_the_surfaces_parameters():
    experiment = Experiment(Pick("double_well", {"width": 1.4}))
    marks = panel(race(experiment, []), "surface")["marks"]
    assert {m["x"] for m in marks if m["kind"] == "minimum"} == {-1.4, 1.4}


@pytest.mark.parametrize("key", ["styblinski_tang", "easom", "six_hump_camel"])
def test_loss_is_shown_above_the_minimum_where_that_is_negative(key):
    """The axis is logarithmic, and a negative loss has no logarithm."""
    lowest = min(minimum.value for minimum in SURFACES[key].minima_at({}))
    assert lowest < 0
    experiment = Experiment(Pick(key), (SGD,), steps=50)
    data = race(experiment, run(experiment))
    shown = decoded(data["racers"][0]["series"]["loss"])
    assert (shown > 0).all()
    np.testing.assert_allclose(shown, run(experiment)[0].trajectory.loss - lowest, rtol=1e-6)
    assert panel(data, "loss")["log"]
    assert "above the minimum" in panel(data, "loss")["title"]


def test_without_a_minimum_the_loss_is_shown_as_it_is():
    data = race(Experiment(Pick("saddle")), [])
    assert not panel(data, "loss")["log"]
    assert panel(data, "loss")["title"] == "Loss f"


@pytest.mark.parametrize("steps", [1, 2])
def test_the_shortest_race(steps):
    experiment = replace(RAVINE, steps=steps)
    data = race(experiment, run(experiment))
    sent(data)
    assert data["steps"] == steps
    assert [len(decoded(racer["series"]["x"])) for racer in data["racers"]] == [steps + 1] * 2
    assert [len(decoded(racer["series"]["lr"])) for racer in data["racers"]] == [steps] * 2


def test_the_clock_runs_as_long_as_the_longest_ghost():
    experiment = replace(replace(RAVINE, steps=60).pinned(0), steps=40)
    data = race(experiment, run(experiment))
    assert data["steps"] == 60
    assert [racer["ghost"] for racer in data["racers"]] == [False, False, True]


def test_a_compact_race_has_the_surface_only():
    assert [part["name"] for part in race(RAVINE, [], compact=True)["panels"]] == ["surface"]


def test_a_race_is_small_enough_to_send_at_every_move_of_a_slider():
    six = replace(RAVINE, racers=tuple(replace(SGD, optimizer=SGD.optimizer.but(momentum=i / 10)) for i in range(6)))
    data = race(six, run(six))
    assert len(sent(data)) <= 150_000
    paths = [racer["series"][name] for racer in data["racers"] for name in ("x", "y")]
    assert len(paths) == 12
    assert sum(map(len, paths)) <= 40_000


# Arrays --------------------------------------------------------------------------------------------------------------


def test_floats_travel_as_little_endian_float32():
    values = np.array([0.1, -2.0, 1e-30, 1e39, -1e300, np.inf, np.nan])
    back = decoded(theme.floats(values))
    np.testing.assert_array_equal(back[:3], values[:3].astype(np.float32))
    assert back[3] == np.inf  # beyond float32, which is how the stage tells divergence
    assert back[4] == -np.inf
    assert back[5] == np.inf
    assert np.isnan(back[6])
    np.testing.assert_array_equal(decoded(theme.floats(np.arange(6.0).reshape(2, 3).T)), [0, 3, 1, 4, 2, 5])


def test_plotly_reads_an_array_as_it_was():
    grid = np.arange(6.0).reshape(2, 3)
    assert theme.array(grid)["shape"] == "2, 3"
    assert "shape" not in theme.array(grid[0])
    go.Figure({"data": [{"type": "contour", "z": theme.array(grid), "x": theme.array(grid[0])}]})


# Colours -------------------------------------------------------------------------------------------------------------


def test_an_optimizer_always_looks_the_same():
    alone = race(RAVINE, run(replace(RAVINE, racers=(ADAM,))))["racers"][0]
    among = race(RAVINE, run(RAVINE))["racers"][1]
    assert (alone["color"], alone["dash"]) == (among["color"], among["dash"])
    assert alone["color"] == theme.style("adam").color == theme.HUES[theme.style("adam").hue]


def test_no_two_optimizers_look_the_same():
    looks = [(theme.style(key).color, theme.style(key).dash) for key in OPTIMIZERS]
    assert len(set(looks)) == len(looks)


def test_racers_of_one_optimizer_differ_in_their_heads():
    eight = replace(RAVINE, racers=tuple(Racer(Pick("sgd", {"lr": 0.0001 * (i + 1)})) for i in range(8)))
    assert len({racer["marker"] for racer in race(eight, run(eight))["racers"]}) == 8


def test_streamlit_calls_the_hues_by_the_same_names():
    """So that `:blue[●]` beside a label has the colour of the line."""
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    named = {key.removesuffix("TextColor"): color for key, color in config["theme"].items() if "TextColor" in key}
    assert named == theme.HUES


# Machado, Oliveira & Fernandes (2009), "A Physiologically-based Model for Simulation of Color Vision Deficiency",
# severity 1.0, on linear RGB.
EYES = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(color: str, eye: str = "usual") -> np.ndarray:
    """A colour as an eye sees it, in CIELAB (D65), where distances are roughly differences seen."""
    coded = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(EYES[eye] @ linear, 0, 1) / (XYZ @ np.ones(3))
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_lab_agrees_with_known_colours():
    np.testing.assert_allclose(lab("#FFFFFF"), [100, 0, 0], atol=0.01)
    np.testing.assert_allclose(lab("#FF0000"), [53.24, 80.09, 67.20], atol=0.05)
    for eye in EYES:  # grey is grey to everybody
        assert np.hypot(*lab("#808080", eye)[1:]) < 1


# A difference of 2 is just seen side by side; lines that lie apart on a picture need several times that.
@pytest.mark.parametrize(
    ("eye", "apart"), [("usual", 30), ("protanopia", 16), ("deuteranopia", 16), ("tritanopia", 16)]
)
def test_chromatic_hues_are_told_apart_by_every_eye(eye, apart):
    chromatic = {hue: color for hue, color in theme.HUES.items() if hue != "gray"}
    for (one, first), (other, second) in combinations(chromatic.items(), 2):
        assert np.linalg.norm(lab(first, eye) - lab(second, eye)) >= apart, f"{one} and {other} under {eye}"


@pytest.mark.parametrize(("eye", "apart"), [("usual", 30), ("protanopia", 11), ("deuteranopia", 6)])
def test_grey_is_told_apart_as_well_as_can_be(eye, apart):
    """Whoever lacks red or green sees violet nearly grey: these two also differ in lightness, but not by much."""
    for hue, color in theme.HUES.items():
        if hue != "gray":
            assert np.linalg.norm(lab(theme.HUES["gray"], eye) - lab(color, eye)) >= apart, f"{hue} under {eye}"


PAPERS = {"light": "#FFFFFF", "dark": "#171614"}  # of Streamlit's pages
CHOSEN = {"light": "#E6F0F5", "dark": "#1D2629"}  # of the chosen one among its buttons


def contrast(one: str, other: str) -> float:
    """By WCAG, from 1 to 21."""
    bright = [float(np.interp(lab(color)[0], LIGHTNESS, LUMINANCE)) for color in (one, other)]
    return (max(bright) + 0.05) / (min(bright) + 0.05)


LUMINANCE = np.linspace(0, 1, 100_001)
LIGHTNESS = 116 * np.where(LUMINANCE > 216 / 24389, np.cbrt(LUMINANCE), (24389 / 27 * LUMINANCE + 16) / 116) - 16


def test_contrast_agrees_with_known_colours():
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21, abs=0.01)
    assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("mode", PAPERS)
@pytest.mark.parametrize("hue", theme.HUES)
def test_a_line_of_every_hue_has_the_contrast_that_graphics_need(hue, mode):
    for ground in (PAPERS[mode], CHOSEN[mode]):
        assert contrast(theme.HUES[hue], ground) >= 3


# Areas that meet: what can lie side by side on one map, with nothing but its colour to tell what it is. The same bar as
# for lines.
AREAS = {
    "ends of runs": [*basin_map.COLORS, *basin_map.END_COLORS.values()],
    "where two racers disagree": list(basin_map.DIFFERENCE_COLORS),
} | {
    f"states of runs, {mode}": [
        theme.mix(paper, theme.HUES["gray"], 0.30) if hue == "gray" else theme.HUES[hue]  # as FADED has it
        for hue in phase_map.HUE_OF_STATE.values()
    ]
    for mode, paper in PAPERS.items()
}


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("areas", AREAS)
def test_areas_are_told_apart_by_every_eye(areas, eye):
    for one, other in combinations(AREAS[areas], 2):
        assert np.linalg.norm(lab(one, eye) - lab(other, eye)) >= 16, f"{one} and {other}"


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize(
    "ramp",
    [*theme.SCALES.values(), phase_map.RAMP, [theme.mix(*basin_map.RAMP, i / 9) for i in range(10)]],
    ids=[*theme.SCALES, "phase map", "basins"],
)
def test_a_scale_moves_one_way_in_lightness_for_every_eye(ramp, eye):
    steps = np.diff([lab(color, eye)[0] for color in ramp])
    assert (steps > 0.5).all() or (steps < -0.5).all()


@pytest.mark.parametrize("mode", theme.SCALES)
def test_the_contours_read_without_colour(mode):
    """Lightness moves one way, in steps of about the same size, from the background's end."""
    lightness = [lab(color)[0] for color in theme.SCALES[mode]]
    steps = np.diff(lightness)
    assert (steps < 0).all() if mode == "light" else (steps > 0).all()
    assert np.abs(steps).max() <= 2.5 * np.abs(steps).min()
    assert lightness[0] > 95 if mode == "light" else lightness[0] < 10
    ends = [stop for stop, _ in theme.scale(mode)]
    assert (ends[0], ends[-1]) == (0, 1)


@pytest.mark.parametrize("mode", theme.SCALES)
def test_every_hue_stands_out_from_the_valleys_where_paths_matter(mode):
    for hue, color in theme.HUES.items():
        for ground in theme.SCALES[mode][:3]:
            assert abs(lab(color)[0] - lab(ground)[0]) >= 18, f"{hue} on {ground}"


@pytest.mark.parametrize(
    "formula", ["log(x)", "sqrt(x)y", "x^0.5 + y", "log(x - 100) + y", "exp(exp(x^2))", "1/(x - x) + y", "1/x + y^2"]
)
def test_a_formula_that_is_not_finite_everywhere_still_has_a_picture(formula):
    experiment = Experiment(Pick(own_key(formula)), (Racer(Pick("adam")), Racer(Pick("newton"))), steps=20)
    record = race(experiment, run(experiment))
    json.dumps(record, allow_nan=False)
    go.Figure(record["panels"][0]["figure"])


@pytest.mark.parametrize("surface", [("double_well", "width"), ("valley", "kappa"), ("styblinski_tang", "tilt")])
def test_a_huge_parameter_still_has_a_picture(surface):
    experiment = Experiment(Pick(surface[0], {surface[1]: 1e300}), (Racer(Pick("adam")),), steps=20)
    json.dumps(race(experiment, run(experiment)), allow_nan=False)


# Views, fields, curves -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("view", "names"), [("2-D", ["surface"]), ("3-D", ["space"]), ("both", ["surface", "space"])])
def test_the_views(view, names):
    chosen = replace(RAVINE, view=view)
    data = race(chosen, run(chosen))
    assert [panel["name"] for panel in data["panels"] if panel["kind"] != "curve"] == names
    for name in names:
        drawn = panel(data, name)
        go.Figure(drawn["figure"])  # Plotly's own check of every attribute
        assert {mark["kind"] for mark in drawn["marks"]} == {"minimum", "start"}
    shown = [panel(data, name)["figure"]["layout"]["coloraxis"].get("showscale", True) for name in names]
    assert shown.count(True) == 1  # one colour bar is enough
    sent(data)


def test_the_surface_in_space_is_the_one_on_the_map():
    both = replace(RAVINE, view="both")
    data = race(both, run(both))
    flat, space = (panel(data, name)["figure"]["data"][0] for name in ("surface", "space"))
    assert [space[axis] for axis in "xyz"] == [flat[axis] for axis in "xyz"]


@pytest.mark.parametrize("field", ["arrows", "streamlines"])
def test_downhill_directions_go_downhill(field):
    """Every stroke ends lower than it began, and begins along −∇f."""
    chosen = Experiment(Pick("valley", {"kappa": 5.0, "rotation": 30.0}), field=field)
    stroke = panel(race(chosen, []), "surface")["figure"]["data"][1]
    x, y = (decoded(stroke[axis]["bdata"]).astype(float) for axis in "xy")
    entry, values = chosen.entry, chosen.surface_values
    lines = np.split(np.stack([x, y], 1), np.flatnonzero(np.isnan(x)))
    shafts = [line[~np.isnan(line[:, 0])] for line in lines][::2]
    shafts = [shaft for shaft in shafts if len(shaft) == len(shafts[0])]
    assert len(shafts) == 256
    for shaft in shafts:
        heights = entry.fn(shaft[:, 0], shaft[:, 1], **values)
        assert heights[-1] < heights[0]
        ahead = shaft[1] - shaft[0]
        h = 1e-6
        slope = [
            (entry.fn(*(shaft[0] + h * axis), **values) - entry.fn(*(shaft[0] - h * axis), **values)) / (2 * h)
            for axis in np.eye(2)
        ]
        cosine = -(ahead @ slope) / np.linalg.norm(ahead) / np.linalg.norm(slope)
        assert cosine > (0.9 if field == "arrows" else 0.99)


def test_stationary_points_are_marked_when_asked_for():
    bare = Experiment(Pick("himmelblau"))
    kinds = [mark["kind"] for mark in panel(race(replace(bare, points=True), []), "surface")["marks"]]
    assert (kinds.count("minimum"), kinds.count("saddle"), kinds.count("maximum"), kinds.count("start")) == (4, 4, 1, 1)
    assert "maximum" not in [mark["kind"] for mark in panel(race(bare, []), "surface")["marks"]]


def test_every_curve_that_there_is(compilations):
    """Each is the quantity that its name says, for each racer that has it."""
    names = ("gradient", "step", "cosine", "rate", "slot.m", "slot.b")
    chosen = replace(RAVINE, curves=names)
    runs = run(chosen)
    data = race(chosen, runs)
    curves = [panel["name"] for panel in data["panels"] if panel["kind"] == "curve"]
    assert curves == ["gradient", "step", "cosine", "rate.x", "rate.y", "slot.m.x", "slot.m.y", "slot.b.x", "slot.b.y"]
    sgd, adam = ({name: decoded(text) for name, text in racer["series"].items()} for racer in data["racers"])
    path, other = (one.trajectory for one in runs)
    np.testing.assert_allclose(adam["step"], np.hypot(*other.step.T), rtol=1e-6)
    turns = np.sum(other.grad[1:] * other.grad[:-1], 1) / np.hypot(*other.grad[1:].T) / np.hypot(*other.grad[:-1].T)
    np.testing.assert_allclose(adam["cosine"][1:], turns, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(adam["slot.m.y"], other.slots["m"][:, 1], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(sgd["slot.b.x"], path.slots["b"][:, 0], rtol=1e-6)
    np.testing.assert_allclose(sgd["rate.x"], 0.001, rtol=1e-6)
    v_hat = other.slots["v"] / (1 - 0.999 ** np.arange(1, other.steps + 1))[:, None]
    np.testing.assert_allclose(adam["rate.y"], (0.05 / (np.sqrt(v_hat) + 1e-8))[:, 1], rtol=1e-5)
    assert "slot.m.x" not in sgd
    assert all(entry.help.endswith(".") and entry.title for entry in CURVES.values())


def test_a_dissection_has_the_numbers_of_the_run():
    runs = run(replace(RAVINE, anatomy=True))
    record = dissection(RAVINE, runs, 1)
    sent(record)
    step = record["lines"][-1]
    np.testing.assert_allclose(decoded(step["values"]).reshape(-1, 2), runs[1].trajectory.step, rtol=1e-6, atol=1e-12)
    parts = [decoded(arrow["vector"]).reshape(-1, 2) for arrow in record["arrows"] if arrow["part"]]
    np.testing.assert_allclose(sum(parts), runs[1].trajectory.step, rtol=1e-4, atol=1e-7)
    assert len({arrow["id"] for arrow in record["arrows"]}) == len(record["arrows"])
    taken = anatomy(runs[1])
    assert [line["formula"] for line in record["lines"]] == [line.formula for line in taken.lines]
    loss = decoded(record["along"]["loss"]).reshape(500, -1)
    alpha = record["along"]["alpha"]
    np.testing.assert_allclose(loss[:, alpha.index(0.0)], runs[1].trajectory.loss[:-1], rtol=1e-5)
    np.testing.assert_allclose(loss[:, alpha.index(1.0)], runs[1].trajectory.loss[1:], rtol=1e-5)
    for each, promise in zip(runs, record["promises"], strict=True):
        path = each.trajectory
        np.testing.assert_allclose(decoded(promise["change"]), np.diff(path.loss), rtol=1e-6)
        # Without noise and penalty the gradient is the slope, and the linear promise is what it says along the step.
        np.testing.assert_allclose(decoded(promise["linear"]), np.sum(path.grad * path.step, 1), rtol=1e-5)


@pytest.mark.parametrize("key", OPTIMIZERS)
def test_every_rule_can_be_taken_apart_and_sent(key):
    chosen = Experiment(Pick("himmelblau"), (Racer(Pick(key)),), steps=10)
    record = dissection(chosen, run(chosen), 0)
    sent(record)
    assert any(arrow["part"] for arrow in record["arrows"])
    assert len({arrow["id"] for arrow in record["arrows"]}) == len(record["arrows"])
