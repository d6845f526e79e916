"""The phase map: every cell is a run, borders and rates are theory's, links come back, ragged borders stay ragged."""

import math
from base64 import b64decode
from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optviz import doctor, phase_map_link
from optviz.experiment import Experiment, Pick, Racer, run
from optviz.figures.phase_map import FADED, LEVELS, alt, log_ticks, meanings, phase_map_record
from optviz.optimizers import OPTIMIZERS
from optviz.phase_map import (
    CLAIMS,
    COLOR,
    EXAMPLES,
    PLANE,
    STATES,
    UNKNOWN,
    Axis,
    PhaseMap,
    as_grid,
    axes_of,
    beyond_one_cell,
    cells,
    fitted,
    lowest,
    measure,
    place_of,
    quickest,
    rate_work,
    rates,
    roughness,
    theory,
    whole_axis,
    work,
    zoomed,
)
from optviz.surfaces import SURFACES

QUADRATICS = {"sphere": {}, "valley": {"kappa": 50.0}, "steep_valley": {}, "booth": {}, "matyas": {}}
LR, RHO = Axis("lr", 1e-3, 10.0), Axis("momentum", 0.0, 0.99)


def plane(surface: str, optimizer: str, x: Axis = LR, y: Axis = RHO, **more) -> PhaseMap:
    values, resolution = more.pop("values", {}), more.pop("resolution", 96)
    on = Experiment(Pick(surface, more.pop("own", {})), (Racer(Pick(optimizer, values)),), **more)
    return PhaseMap(on, x, y, resolution)


# Every cell is a run -------------------------------------------------------------------------------------------------

MAPS = {
    "two hyperparameters": plane("himmelblau", "adam", Axis("lr", 0.01, 1.0), Axis("beta2", 0.5, 0.999), steps=60),
    "surface and noise": plane(
        "valley", "sgd", Axis("surface.kappa", 1.0, 100.0), Axis("noise", 1e-3, 1.0), steps=60, values={"lr": 0.03}
    ),
    "start and penalty": plane("rosenbrock", "momentum", Axis("x", -2.0, 2.0), Axis("l2", 1e-4, 1.0), steps=60),
}


@pytest.mark.parametrize("map_", MAPS.values(), ids=MAPS)
def test_a_cell_is_the_run_that_it_opens(map_):
    found = measure(replace(map_, resolution=16))
    map_ = replace(map_, resolution=16)
    for row, column in ((0, 0), (3, 11), (15, 15), (9, 2)):
        (alone,) = run(map_.run(row, column))
        assert STATES[found.state[row, column]] == alone.outcome.state
        if alone.outcome.state == "diverged":
            assert found.lost[row, column] == alone.outcome.at
            continue
        height = alone.trajectory.loss[-1] - alone.outcome.lowest
        assert found.height[row, column] == pytest.approx(height, rel=1e-9, abs=1e-12)
        assert math.isinf(found.lost[row, column])


def test_a_cell_opens_with_the_map_own_numbers():
    opened = PLANE.run(5, 70)
    assert opened.racers[0].values["lr"] == PLANE.xs[70]
    assert opened.racers[0].values["momentum"] == PLANE.ys[5]
    assert (PLANE.xs[0], PLANE.xs[-1], PLANE.ys[0], PLANE.ys[-1]) == (1e-3, 0.1, 0.0, 0.99)


def test_without_a_known_minimum_heights_are_above_the_lowest_of_the_map():
    found = measure(plane("saddle", "sgd", Axis("lr", 1e-3, 0.1), Axis("x", -1.0, 1.0), steps=20, resolution=16))
    assert not found.known
    assert found.height[~found.diverged].min() == 0


def test_unfinished_maps_say_so():
    map_ = replace(PLANE, resolution=128, on=replace(PLANE.on, steps=20))
    parts = list(work(map_))
    assert len(parts) > 1
    some = cells(map_, parts[:1])
    count = len(parts[0].loss)
    assert (some.state.ravel()[count:] == UNKNOWN).all()
    assert some.done.sum() == count
    assert sum(some.shares().values()) == pytest.approx(1)
    record = phase_map_record(map_, some, None, None, "click")
    assert record["figure"]["data"][0]["text"][-1][-1] == "not computed yet"
    whole = cells(map_, parts)
    assert whole.done.all()
    np.testing.assert_array_equal(whole.state, measure(map_).state)
    assert not cells(map_, []).done.any()


# Borders -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("surface", QUADRATICS)
def test_runs_diverge_where_theory_says_to_within_one_cell(surface, key):
    map_ = plane(surface, key, own=QUADRATICS[surface], start=(1.3, 0.7), steps=1000)
    found, known = measure(map_), theory(map_)
    assert known is not None
    predicted = known.radius > 1
    assert 500 < predicted.sum() < predicted.size - 500
    assert not beyond_one_cell(predicted, found.diverged).any()
    assert not beyond_one_cell(~predicted, ~found.diverged).any()


def test_a_cell_off_the_border_is_found_out():
    predicted = np.tile(np.arange(20) > 9, (20, 1))
    found = predicted.copy()
    found[5, 10] = False  # beside the border
    assert not beyond_one_cell(predicted, found).any()
    found[7, 12] = False
    assert np.argwhere(beyond_one_cell(predicted, found)).tolist() == [[7, 12]]


@pytest.mark.parametrize(
    ("optimizer", "values"),
    [
        ("momentum", {"form": "averaging"}),
        ("momentum", {"form": "velocity", "dampening": 0.4}),
        ("sgd", {"averaging": True}),
        ("sgd", {"dampening": 0.4}),
        ("sgd", {"nesterov": True}),
        ("nesterov", {"form": "reformulated"}),
    ],
)
def test_theory_knows_the_forms_of_a_rule(optimizer, values):
    map_ = plane(
        "valley", optimizer, Axis("lr", 1e-3, 10.0), values=values, start=(1.3, 0.7), steps=1000, resolution=48
    )
    found, known = measure(map_), theory(map_)
    assert known is not None
    assert not beyond_one_cell(known.radius > 1, found.diverged).any()


def test_the_lines_are_where_the_radius_says():
    for map_ in (PLANE, CLAIMS["A2"].map, replace(PLANE, x=PLANE.y, y=PLANE.x)):
        known = theory(map_)
        assert known is not None
        limit = known.lines[0]
        for x, y in list(zip(limit.x, limit.y, strict=True))[5:-5:20]:
            if map_.x.low < x < map_.x.high and map_.y.low < y < map_.y.high:
                row, column = place_of(map_, (x, y))
                corners = known.radius[int(row) : int(row) + 2, int(column) : int(column) + 2]
                assert corners.min() <= 1 <= corners.max()


def test_theory_keeps_silent_where_it_knows_nothing():
    for map_ in (
        plane("rosenbrock", "sgd"),
        plane("valley", "adam", y=Axis("beta1", 0.0, 0.9)),
        plane("valley", "sgd", values={"nesterov": True, "dampening": 0.1}),
        plane("valley", "sgd", y=Axis("dampening", 0.0, 0.9)),
        replace(PLANE, on=replace(PLANE.on, racers=(Racer(Pick("momentum"), {"lr": Pick("cosine")}),))),
    ):
        assert theory(map_) is None
    noisy = replace(PLANE, on=replace(PLANE.on, noise=0.1))
    assert theory(noisy) is not None
    assert rates(noisy) is None


# Rates ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", ["sphere", "valley", "steep_valley", "matyas"])
def test_measured_rates_are_the_spectral_radius(surface):
    """To 0.005 in every cell; in nine of ten to 0.0005. Where two eigenvalues meet, a run shrinks like t·rᵗ."""
    map_ = plane(surface, "momentum", own=QUADRATICS[surface], start=(1.3, 0.7), steps=100)
    known, measured = theory(map_), rates(map_)
    assert known is not None
    assert measured is not None
    assert np.isfinite(measured).all()
    off = np.abs(measured - known.radius)[known.radius < 1]
    assert off.max() <= 0.005
    assert np.quantile(off, 0.9) <= 5e-4


def test_measured_rates_are_coarser_where_rounding_comes_early():
    """Booth's minimum is not the origin, so a run has only 14 digits to shrink through."""
    map_ = plane("booth", "momentum", start=(1.3, 0.7), steps=100)
    known, measured = theory(map_), rates(map_)
    assert known is not None
    assert measured is not None
    off = np.abs(measured - known.radius)[(known.radius < 1) & np.isfinite(measured)]
    assert off.max() <= 0.05
    assert np.median(off) <= 1e-3


@pytest.mark.parametrize("kappa", [10.0, 50.0, 100.0, 400.0])
def test_the_quickest_cell_is_within_one_cell_of_polyaks_setting(kappa):
    on = replace(PLANE.on, surface=Pick("valley", {"kappa": kappa}))
    map_ = replace(PLANE, on=on, x=Axis("lr", 1 / kappa, 8 / kappa))
    known, best = theory(map_), quickest(rates(map_))
    assert known is not None
    assert known.best is not None
    assert best is not None
    row, column = place_of(map_, known.best)
    assert max(abs(best.row - row), abs(best.column - column)) <= 1


def test_the_penalty_moves_the_minimum_and_the_curvatures():
    map_ = plane("booth", "sgd", Axis("lr", 1e-3, 0.2), Axis("l2", 0.01, 10.0), start=(1.3, 0.7), steps=500)
    known, measured, found = theory(map_), rates(map_), measure(map_)
    assert known is not None
    assert measured is not None
    assert not beyond_one_cell(known.radius > 1, found.diverged).any()
    off = np.abs(measured - known.radius)[(known.radius < 1) & np.isfinite(measured)]
    assert np.quantile(off, 0.99) <= 0.01


def test_pieces_of_rates_are_put_in_order():
    parts = list(rate_work(PLANE))
    assert len(parts) > 1
    some = as_grid(PLANE, parts[:1])
    assert np.isnan(some.ravel()[len(parts[0]) :]).all()
    np.testing.assert_array_equal(as_grid(PLANE, parts), rates(PLANE))


def test_the_best_after_few_steps_is_another_cell():
    best, least = quickest(rates(PLANE)), lowest(measure(PLANE))
    assert best is not None
    assert least is not None
    assert least.ties == 1
    assert max(abs(best.row - least.row), abs(best.column - least.column)) > 2
    assert lowest(measure(plane("valley", "sgd", Axis("lr", 3.0, 30.0)))) is None  # all diverge


# Ragged borders ------------------------------------------------------------------------------------------------------


def test_a_smooth_border_has_the_exponent_one():
    n = 128
    x, y = np.meshgrid(np.arange(n), np.arange(n))
    for fate in (x > 60, x + 0.3 * y > 80, (x - 64) ** 2 + (y - 64) ** 2 > 1600):
        rough = roughness(fate)
        assert rough is not None
        assert rough.exponent == pytest.approx(1, abs=0.06)
    noise = roughness(np.random.default_rng(0).random((n, n)) < 0.5)
    assert noise is not None
    assert noise.exponent == pytest.approx(0, abs=0.02)
    assert roughness(x > 200) is None


def test_a_ragged_border_stays_ragged_however_near_one_looks():
    """Along theory's straight lines the exponent is 1; on Styblinski–Tang it is far below, and at 4 and 16 times the
    resolution around a border cell neighbours still disagree as often."""
    smooth = roughness(measure(replace(CLAIMS["A2"].map, resolution=64)).diverged)
    assert smooth is not None
    assert smooth.exponent > 0.85
    map_ = replace(EXAMPLES["A ragged border: momentum on Styblinski–Tang"], resolution=64)
    near = []
    for _ in range(3):
        found = measure(map_)
        rough = roughness(found.diverged)
        assert rough is not None
        near.append(rough)
        row, column = _busiest(found.diverged)
        map_ = zoomed(replace(map_, at=(float(map_.xs[column]), float(map_.ys[row]))), 4.0)
    assert all(rough.exponent < 0.7 for rough in near)
    assert all(rough.disagree[0] >= near[0].disagree[0] / 2 for rough in near)  # a smooth border's would stay 1/n
    assert all(rough.disagree[0] > 2 * smooth.disagree[0] for rough in near)


def _busiest(fate: np.ndarray) -> tuple[int, int]:
    """The cell around which fates differ most."""
    differ = (fate[1:-1, 1:-1] != fate[1:-1, 2:]).astype(float) + (fate[1:-1, 1:-1] != fate[2:, 1:-1])
    size = 9
    sums = np.lib.stride_tricks.sliding_window_view(differ, (size, size)).sum(axis=(2, 3))
    row, column = np.unravel_index(sums.argmax(), sums.shape)
    return int(row) + size // 2 + 1, int(column) + size // 2 + 1


# Claims --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_holds_on_its_own_map_and_quotes_its_numbers(key):
    claim = CLAIMS[key]
    said = claim.measure(claim.map, measure(claim.map.request))
    assert said is not None
    assert said.holds
    assert all(math.isfinite(value) for value in said.numbers.values())


def test_a_claim_that_does_not_hold_says_so():
    claim = CLAIMS["A2"]
    short = replace(claim.map, on=replace(claim.map.on, steps=10))  # nothing has had the time to diverge
    said = claim.measure(short, measure(short))
    assert said is not None
    assert said.holds is False
    assert said.sentence.startswith("Here it does not hold")
    calm = replace(claim.map, x=Axis("lr", 1e-4, 1e-3))
    said = claim.measure(calm, measure(calm))
    assert said is not None
    assert "one side of the limit" in said.sentence
    coarse = replace(CLAIMS["A6"].map, y=Axis("momentum", 0.9, 0.99))
    said = CLAIMS["A6"].measure(coarse, measure(coarse.request))
    assert said is not None
    assert said.holds is False


def test_a_claim_is_not_measured_on_what_it_does_not_speak_of():
    for key, map_ in (
        ("A2", PLANE),
        ("A6", CLAIMS["A2"].map),
        ("A2", EXAMPLES["Learning rate and gradient noise: the noise floor"]),
        ("A6", EXAMPLES["A ragged border: momentum on Styblinski–Tang"]),
    ):
        assert CLAIMS[key].measure(map_, measure(replace(map_, resolution=16).request)) is None
    some = cells(PLANE, [])
    waiting = CLAIMS["A6"].measure(PLANE, some)
    assert waiting is not None
    assert waiting.holds is None


# What cannot be ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"x": Axis("nothing", 0.0, 1.0)}, "cannot be an axis"),
        ({"x": Axis("nesterov", 0.0, 1.0)}, "cannot be an axis"),
        ({"x": Axis("seed", 0.0, 1.0)}, "cannot be an axis"),
        ({"x": RHO}, "must differ"),
        ({"x": Axis("lr", 0.1, 0.1)}, "smaller to a larger"),
        ({"x": Axis("lr", 0.0, 0.1)}, "begins above 0"),
        ({"x": Axis("lr", -1.0, 0.1)}, "lr must be"),
        ({"y": Axis("momentum", 0.0, 1.5)}, "momentum must be"),
        ({"x": Axis("lr", 1e-300, 1e300)}, "too far"),
        ({"y": Axis("momentum", 0.5, 0.5 + 1e-15)}, "too near"),
        ({"resolution": 257}, "resolution must be"),
        ({"resolution": 8}, "resolution must be"),
        ({"color": "red"}, "color must be"),
        ({"precision": "half"}, "precision must be"),
        ({"at": (0.1, 7.0)}, "momentum must be"),
        ({"on": replace(PLANE.on, racers=())}, "one racer"),
        ({"on": replace(PLANE.on, racers=PLANE.on.racers * 2)}, "one racer"),
        ({"color": "rate", "on": replace(PLANE.on, noise=1.0)}, "another colour"),
        ({"color": "rate", "on": replace(PLANE.on, surface=Pick("rosenbrock"))}, "another colour"),
    ],
)
def test_what_cannot_be_mapped_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        replace(PLANE, **wrong)


def test_near_cells_need_double_precision():
    axis = Axis("momentum", 0.5, 0.50001)
    assert replace(PLANE, y=axis).ys[1] > 0.5
    with pytest.raises(ValueError, match="single precision"):
        replace(PLANE, y=axis, precision="single")


@pytest.mark.parametrize("key", SURFACES)
def test_a_map_goes_on_with_any_surface_and_rule(key):
    """Nothing runs here: the axes that are left make a valid map."""
    for before in (PLANE, CLAIMS["A6"].map, EXAMPLES["Learning rate and start: four basins of Himmelblau"]):
        moved = fitted(before, replace(before.on, surface=Pick(key), start=None))
        assert moved.on.surface.key == key
        for optimizer in ("adam", "newton", "adadelta"):
            other = fitted(moved, replace(moved.on, racers=(Racer(Pick(optimizer)),)))
            assert {other.x.name, other.y.name} <= set(axes_of(other.on))


@pytest.mark.parametrize("key", OPTIMIZERS)
def test_every_number_of_a_rule_can_be_an_axis(key):
    on = Experiment(Pick("valley"), (Racer(Pick(key)),))
    params = axes_of(on)
    assert {param.name for param in OPTIMIZERS[key].params if param.kind == "real" and not param.static} <= set(params)
    for name, param in params.items():
        other = "noise" if name != "noise" else "l2"
        assert PhaseMap(on, whole_axis(name, param), whole_axis(other, params[other])).params[0] == param


# Cells and zooming ---------------------------------------------------------------------------------------------------


def test_the_cell_that_is_looked_at():
    assert PLANE.cell == (48, 48)
    assert replace(PLANE, at=(PLANE.xs[7], PLANE.ys[90])).cell == (90, 7)
    assert replace(PLANE, at=(PLANE.xs[7] * 1.01, PLANE.ys[90] + 1e-3)).cell == (90, 7)
    assert replace(PLANE, at=(5.0, PLANE.ys[90])).cell == (90, 48)  # beyond the axis: its middle


def test_zooming_keeps_the_cell_and_shortens_the_axes():
    at = (float(PLANE.xs[30]), float(PLANE.ys[50]))
    near = zoomed(replace(PLANE, at=at), 4.0)
    assert math.log(near.x.high / near.x.low) == pytest.approx(math.log(100) / 4)
    assert near.y.high - near.y.low == pytest.approx(0.99 / 4)
    assert near.x.low < at[0] < near.x.high
    edge = zoomed(replace(PLANE, at=(at[0], 0.0)), 4.0)  # no momentum below 0
    assert edge.y.low == 0
    assert edge.y.high == pytest.approx(0.99 / 4)
    top = zoomed(replace(PLANE, at=(at[0], 0.99)), 4.0)  # nor above 1
    assert (top.y.low, top.y.high) == (pytest.approx(0.99 * 3 / 4), 0.99)
    assert zoomed(near, 0.25).y == PLANE.y
    with pytest.raises(ValueError, match="too far"):
        zoomed(PLANE, 0.01)


# Links ---------------------------------------------------------------------------------------------------------------


def there_and_back(map_: PhaseMap, default: PhaseMap = PLANE) -> None:
    text = urlencode(phase_map_link.to_query(map_, default), doseq=True)
    assert phase_map_link.from_query(parse_qs(text), default) == (map_, [])


@pytest.mark.parametrize("map_", [PLANE, *(claim.map for claim in CLAIMS.values()), *EXAMPLES.values()])
def test_a_link_brings_the_map_back(map_):
    there_and_back(map_)
    there_and_back(PLANE, map_)
    assert phase_map_link.to_query(map_, map_) == {}


@given(st.floats(1e-6, 1e-2), st.floats(0.1, 0.9), st.integers(16, 256), st.sampled_from(COLOR.options), st.booleans())
def test_any_map_goes_through_a_link(low, rho, resolution, color, chosen):
    at = (low, rho) if chosen else None
    there_and_back(replace(PLANE, x=Axis("lr", low, 0.5), y=Axis("momentum", 0.0, rho), resolution=resolution,
                           color=color, at=at, precision="single"))  # fmt: skip


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({"x": ["lr~1"]}, {}),
        ({"x": ["lr~a~b"]}, {}),
        ({"x": ["nobody~0~1"], "resolution": ["64"]}, {"resolution": 64}),
        ({"at": ["1"]}, {}),
        ({"at": ["nan~0"]}, {}),
        ({"color": ["pink"]}, {}),
        ({"resolution": ["1e9"]}, {}),
        ({"resolution": ["64"], "y": ["momentum~0.9~0.1"]}, {"resolution": 64}),
        ({"nonsense": ["1"], "precision": ["single"]}, {"precision": "single"}),
    ],
)
def test_nonsense_falls_back_with_a_sentence(query, kept):
    map_, messages = phase_map_link.from_query(query, PLANE)
    assert map_ == replace(PLANE, **kept)
    assert len(messages) == 1


def test_another_rule_without_axes_gets_axes_of_its_own():
    map_, messages = phase_map_link.from_query({"racer": ["adam~lr~0.05"]}, PLANE)
    assert (map_.x.name, map_.y.name) == ("lr", "beta1")
    assert len(messages) <= 1


# Pictures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("color", COLOR.options)
def test_every_cell_has_the_colour_of_its_number(color):
    map_ = replace(PLANE, color=color)
    found, measured = measure(PLANE), rates(PLANE)
    record = phase_map_record(map_, found, measured, theory(map_), "click")
    heat = record["figure"]["data"][0]
    codes = np.frombuffer(b64decode(heat["z"]["bdata"]), np.uint8).reshape(96, 96)
    assert heat["meta"] == "cell"
    if color == "state":
        np.testing.assert_array_equal(codes, found.state)
    else:
        assert (codes[found.diverged & (color != "rate")] > LEVELS).all()
        values = {"loss": found.height, "steps": found.settled, "rate": measured}[color]
        shown = codes <= LEVELS
        assert shown.any()
        order = np.argsort(values[shown])
        assert (np.diff(codes[shown][order].astype(int)) >= 0).all()
        assert codes[shown].min() == 0
        assert codes[shown].max() == LEVELS
    gone = next(one for one in meanings(map_, found, measured) if one.hue == "gray")
    assert FADED in [color for _, color in heat["colorscale"]]
    assert 0.2 < gone.share < 0.3


def test_the_picture_is_told_in_words():
    said = alt(PLANE, measure(PLANE))
    assert "96 by 96 runs of Momentum on Valley" in said
    assert "27% diverged" in said
    record = phase_map_record(PLANE, measure(PLANE), rates(PLANE), theory(PLANE), "click")
    text = record["figure"]["data"][0]["text"]
    assert text[0][95].startswith("diverged at step ")
    names = {trace.get("name") for trace in record["figure"]["data"]}
    assert {"2(1+ρ)/λmax: diverges above", "quickest in the end, by theory", "least loss after 100 steps"} <= names
    assert set(doctor.STATES) == set(STATES)


def test_ticks_are_round_and_inside():
    for low, high in ((-3.0, 1.0), (-2.0, -1.7), (-1.05, -1.0), (-8.0, 8.0), (0.1, 1.2), (2.0, 2.0004)):
        ticks = log_ticks(low, high)
        assert 2 <= len(ticks) <= 20
        assert all(10**low * (1 - 1e-6) <= tick <= 10**high * (1 + 1e-6) for tick in ticks)


# Nothing compiles ----------------------------------------------------------------------------------------------------


def test_no_slider_compiles_anything(compilations):
    measure(PLANE)
    rates(PLANE)
    theory(PLANE)
    before = compilations()
    for other in (
        replace(PLANE, resolution=50),
        replace(PLANE, x=Axis("lr", 0.01, 0.02), y=Axis("momentum", 0.3, 0.4)),
        replace(PLANE, on=replace(PLANE.on, steps=321, start=(1.0, 1.0), tolerance=1e-3, l2=0.1)),
        replace(PLANE, on=replace(PLANE.on, surface=Pick("valley", {"kappa": 7.0, "rotation": 10.0}))),
    ):
        measure(other)
        assert rates(other) is not None
        assert theory(other) is not None
    assert compilations() == before
