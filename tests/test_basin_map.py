"""The basin map against single runs, at two resolutions, with noise and with runs that diverge; its links and its
picture."""

import base64
import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optviz import basin_map_link as codec
from optviz import doctor, link
from optviz.basin_map import (
    CLAIMS,
    ENDS,
    HILLS,
    NEVER,
    UNKNOWN,
    BasinMap,
    Basins,
    assembled,
    difference,
    measure,
    minima,
    pieces,
    regions,
    within,
)
from optviz.experiment import Experiment, Pick, Racer, trace
from optviz.figures.basin_map import bars_record, basin_record, difference_record, pace, rows

PLAIN, HEAVY = (Racer(Pick(key, {"lr": 0.01})) for key in ("sgd", "momentum"))


def place_of(basins: Basins, name: str) -> int:
    return len(basins.minima) + list(ENDS).index(name)


def judged_alone(basin_map: BasinMap, racer: Racer, start: tuple[float, float]) -> tuple[int | str, float]:
    """Where a single run of the descent laboratory ends, by the map's rules, and after how many steps."""
    on = basin_map.on
    settings: dict[str, Any] = {**racer.values, "steps": on.steps, "noise": on.noise, "seed": on.seed}
    values = dict(on.surface_values)
    run = trace(on.surface.key, racer.optimizer.key, start=start, surface_values=values, **settings)
    found = minima(on)
    outcome = doctor.outcome(run, on.entry.minima_at(on.surface_values), on.entry.window, on.tolerance)
    if outcome.at is not None:
        return "diverged", outcome.at
    apart = [math.dist(minimum[:2], run.theta[-1]) for minimum in found]
    nearest = int(np.argmin(apart)) if found else -1
    near = 0.01 * doctor.diagonal_of(on.entry.window)
    if found and (apart[nearest] <= near or abs(run.loss[-1] - found[nearest].value) <= on.tolerance):
        outside = np.flatnonzero(~(run.loss - found[nearest].value <= on.tolerance))
        settled = 0 if not len(outside) else outside[-1] + 1
        return nearest, settled if settled <= on.steps else NEVER
    return ("resting" if outcome.state == "stalled" else "on its way"), NEVER


CASES = {
    "himmelblau": BasinMap(Experiment(Pick("himmelblau"), (PLAIN, HEAVY), steps=150), 40),
    "two depths": BasinMap(Experiment(Pick("two_gaussians"), (HEAVY,), steps=200), 40),
    "noise": BasinMap(Experiment(Pick("himmelblau"), (PLAIN,), steps=150, noise=1.0, seed=3), 40),
    "divergence": BasinMap(Experiment(Pick("himmelblau"), (PLAIN.but(lr=0.03),), steps=100), 40),
    "no minimum": BasinMap(Experiment(Pick("saddle"), (PLAIN,), steps=60), 20),
}


@pytest.mark.parametrize("name", CASES)
def test_every_sampled_cell_ends_as_its_run_alone(name):
    basin_map = replace(CASES[name], exact=True)
    cells = np.random.default_rng(0).integers(0, basin_map.side, (25, 2))
    for racer, basins in zip(basin_map.on.racers, measure(basin_map), strict=True):
        seen = set()
        for row, column in cells:
            place, steps = judged_alone(basin_map, racer, basin_map.start(int(row), int(column)))
            found = int(basins.place[row, column])
            seen.add(found)
            if place == "resting":
                assert list(ENDS)[found - len(basins.minima)] in (
                    "a saddle",
                    "a plateau",
                    "a maximum",
                    "another minimum",
                )
                continue
            assert found == (place_of(basins, place) if isinstance(place, str) else place)
            assert basins.steps[row, column] == steps
        if name == "divergence":
            assert place_of(basins, "diverged") in seen


SHARES = {
    "himmelblau": ("himmelblau", PLAIN),
    "himmelblau with momentum": ("himmelblau", Racer(Pick("momentum", {"lr": 0.01, "momentum": 0.5}))),
    "styblinski_tang": ("styblinski_tang", PLAIN),
    "six_hump_camel": ("six_hump_camel", PLAIN),
    "double_well": ("double_well", PLAIN),
}


@pytest.mark.parametrize("name", SHARES)
def test_shares_are_stable_between_two_resolutions(name):
    surface, racer = SHARES[name]
    coarse = BasinMap(Experiment(Pick(surface), (racer,), steps=200), 200)
    one, two = (measure(replace(coarse, side=side))[0] for side in (200, 400))
    places = range(len(one.minima) + len(ENDS))
    assert sum(one.share(i) for i in places) == pytest.approx(1)
    assert max(abs(one.share(i) - two.share(i)) for i in places) < 0.005
    assert max(one.share(i) for i in places) < 0.99  # there is more than one place to end


@pytest.mark.parametrize(("name", "most"), [("himmelblau", 0.01), ("two depths", 0.002)])
def test_single_precision_differs_in_few_cells_and_no_share_by_much(name, most):
    basin_map = replace(CASES[name], side=100)
    quick, exact = (measure(replace(basin_map, exact=exact))[-1] for exact in (False, True))
    assert (quick.place != exact.place).mean() < most
    for i in range(len(exact.minima)):
        assert quick.share(i) == pytest.approx(exact.share(i), abs=0.005)


def test_single_precision_says_how_near_counts():
    deep = BasinMap(Experiment(Pick("styblinski_tang"), (PLAIN,), steps=200), 50)
    assert within(replace(deep, exact=True)) == 1e-6
    assert 1e-6 < within(deep) < 1e-4
    settled = [(one.steps != NEVER).mean() for one in (measure(deep)[0], measure(replace(deep, exact=True))[0])]
    assert settled[0] == pytest.approx(settled[1], abs=0.01)
    assert settled[1] > 0.9


def test_newton_rests_at_saddles_and_maxima_too():
    (basins,) = measure(BasinMap(Experiment(Pick("himmelblau"), (Racer(Pick("newton")),), steps=60), 30))
    for name in ("a saddle", "a maximum"):
        assert basins.share(name) > 0.02
    assert sum(basins.share(i) for i in range(4)) > 0.3


def test_the_steps_of_a_shallow_minimum_are_counted_to_its_own_depth():
    (basins,) = measure(CASES["two depths"])
    high = basins.steps[basins.place == 1]
    assert len(basins.minima) == 2
    assert high.size
    assert (high < NEVER).mean() > 0.9


def test_a_map_in_pieces_is_the_whole_one_and_says_what_is_not_known():
    basin_map = replace(HILLS, side=120, on=replace(HILLS.on, steps=77))
    parts = list(pieces(basin_map, PLAIN))
    whole = assembled(basin_map, parts)
    assert whole.known == 1
    assert np.array_equal(assembled(basin_map, pieces(basin_map, PLAIN)).place, whole.place)  # kept: in one piece
    half = assembled(basin_map, [part._replace(**{name: getattr(part, name)[:600] for name in part._fields})
                                 for part in parts[:1]])  # fmt: skip
    assert half.known == pytest.approx(600 / 120**2)
    assert half.place[-1, -1] == UNKNOWN
    assert np.array_equal(half.place[:5], whole.place[:5])
    other = measure(replace(basin_map, on=replace(basin_map.on, racers=(HEAVY,))))[0]
    assert (difference(half, other, 1e-6) == UNKNOWN).mean() == pytest.approx(1 - half.known)
    assert not assembled(basin_map, []).known


def test_who_ends_lower_is_told_start_by_start():
    basin_map = CLAIMS["A4"].basin_map
    small = replace(basin_map, side=60)
    plain, heavy = measure(small)
    found = difference(plain, heavy, small.on.tolerance)
    both = plain.arrived & heavy.arrived
    assert np.array_equal(found[both] == 1, (plain.place < heavy.place)[both])  # minima are listed from the lowest on
    assert np.array_equal(found[both] == 2, (plain.place > heavy.place)[both])
    assert {1, 2} <= set(found[both].tolist())


def test_minima_share_colours_by_depth_where_there_are_many():
    groups = regions(minima(Experiment(Pick("rastrigin"))))
    assert len(groups) == 6
    assert groups[0].minima == (0,)
    assert sorted(i for group in groups for i in group.minima) == list(range(121))
    found = minima(Experiment(Pick("rastrigin")))
    for deeper, higher in itertools.pairwise(groups):
        assert found[deeper.minima[-1]].value < found[higher.minima[0]].value - 1e-6


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"on": replace(HILLS.on, racers=())}, "one or two"),
        ({"on": replace(HILLS.on, racers=(PLAIN, HEAVY, PLAIN))}, "one or two"),
        ({"on": replace(HILLS.on, l2=0.1)}, "L2"),
        ({"side": 401}, "400"),
        ({"side": 9}, "10"),
    ],
)
def test_what_cannot_be_measured_gets_a_sentence(changes, says):
    with pytest.raises(ValueError, match=says):
        replace(HILLS, **changes)


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_holds_on_its_own_map(key):
    claim = CLAIMS[key]
    measured = claim.measure(claim.basin_map, measure(claim.basin_map))
    assert measured is not None
    assert measured.holds, measured.sentence
    if key == "A4":
        assert measured.numbers["heavy"] > measured.numbers["plain"] + 0.05
        assert measured.numbers["lost"] > 0.01  # truth before slogan: momentum loses starts as well
    else:
        assert 0 < measured.numbers["plain"] < 0.05
        assert measured.numbers["newton"] > 0.2


def test_a_claim_that_is_not_on_the_desk_is_not_measured():
    for claim in CLAIMS.values():
        one = replace(HILLS, side=20, on=replace(HILLS.on, racers=(HEAVY,)))
        assert claim.measure(one, measure(one)) is None


def test_a_plain_rule_alone_breaks_the_claim_of_momentum():
    claim = CLAIMS["A4"]
    weak = replace(claim.basin_map, side=40)
    weak = replace(weak, on=replace(weak.on, racers=(weak.on.racers[0], weak.on.racers[1].but(momentum=0.99))))
    measured = claim.measure(weak, measure(weak))
    assert measured is not None
    assert measured.holds is False


# Links ---------------------------------------------------------------------------------------------------------------


def test_links_there_and_back():
    for value in (
        HILLS,
        replace(HILLS, side=64, exact=True),
        replace(CLAIMS["A4"].basin_map, side=400),
        BasinMap(replace(HILLS.on, racers=(PLAIN,), noise=0.3, start=(1.0, -2.0))),
    ):
        assert codec.from_query(codec.to_query(value, HILLS), HILLS) == (value, [])
    assert codec.to_query(HILLS, HILLS) == {}


def test_what_a_link_cannot_bring_falls_back_with_a_sentence():
    value, messages = codec.from_query({"side": ["9000"], "steps": ["100"], "nonsense": ["1"]}, HILLS)
    assert value == replace(HILLS, on=replace(HILLS.on, steps=100))
    assert len(messages) == 2
    race = replace(HILLS.on, racers=(PLAIN, HEAVY, Racer(Pick("adam"))), l2=0.5)
    value, messages = codec.from_query(link.to_query(race, HILLS.on), HILLS)
    assert value.on == replace(race, racers=(PLAIN, HEAVY), l2=0.0)
    assert len(messages) == 1


# The picture ---------------------------------------------------------------------------------------------------------


def test_the_picture_shows_each_start_with_its_colour_and_steps():
    basin_map = replace(HILLS, side=60)
    basins = measure(basin_map)
    record = basin_record(basin_map, basins, 1)
    heat = record["figure"]["data"][0]
    assert heat["z"]["shape"] == "60, 60"
    code = np.frombuffer(base64.b64decode(heat["z"]["bdata"]), np.uint8).reshape(60, 60)
    told = np.frombuffer(base64.b64decode(heat["customdata"]["bdata"]), "<u2").reshape(60, 60, 2)
    assert np.array_equal(code // 20, told[..., 0] - 1)
    settled = basins[1].arrived & (basins[1].steps != NEVER)
    assert np.array_equal(told[..., 0][settled], basins[1].place[settled] + 1)
    assert np.array_equal(told[..., 1][settled], basins[1].steps[settled])
    places = [place for place, _ in heat["colorscale"]]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 1)
    fast, slow = pace(basins)
    assert fast < slow <= basin_map.on.steps
    own = rows(basin_map, basins)[1]
    assert sum(row.share for row in own) == pytest.approx(1)
    assert all(row.name in record["alt"] for row in own)
    assert len(str(record)) < 100_000


def test_pictures_are_built_from_whatever_there_is():
    for one in (CASES["no minimum"], CASES["divergence"]):
        basins = measure(one)
        assert basin_record(one, basins, 0, bars=False)["figure"]["data"]
        assert "%" in bars_record(one, basins)["alt"]
    blank = [assembled(HILLS, []), assembled(HILLS, [])]
    assert basin_record(HILLS, blank, 0)["figure"]["data"]
    assert "0 %" in difference_record(HILLS, blank)["alt"]
