"""What the pages measured, as tables: the numbers are those of the measurement, and say what they are."""

import csv
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from optviz import basin_map, calibration, cloud, datasets, fair_race, phase_map, range_test, stability, taylor
from optviz.backprop import graph
from optviz.experiment import Experiment, Pick, Racer, run
from optviz.export import Made, charts_to_html, race_table, table_to_csv, tables_to_json
from optviz.export.measured import (
    basin_table,
    calibration_table,
    cloud_table,
    cost_table,
    fair_race_table,
    floors_table,
    losses_table,
    moves_table,
    phase_table,
    proposals_table,
    range_table,
    stability_table,
    suggestions_table,
    tries_table,
    walk_table,
    work_table,
)
from optviz.export.table import Column, Table, plain
from optviz.figures.basin_map import basin_record, rows
from optviz.figures.calibration import calibration_record
from optviz.figures.fair_race import race_record
from optviz.figures.phase_map import meanings, phase_map_record
from optviz.figures.stability import map_record
from optviz.scaling import SIZES, Cost, Work, hessian_bytes
from optviz.training import Own
from optviz.ui.presets import TWO_PATHS

VALLEY = Pick("valley", {"kappa": 10.0})
SGD = (Racer(Pick("sgd", {"lr": 0.05})),)
NOISY = Experiment(VALLEY, SGD, start=(-1.8, 0.6), steps=40, noise=0.5, seed=3)
MADE = Made("Phase map", "https://lab.example/phase_map?x=lr&y=momentum", "2026-01-31", "JAX 0.0")


def columns(table: Table) -> dict[str, tuple[str, ...]]:
    """The table as somebody who reads its file gets it."""
    lines = table_to_csv(table, MADE).splitlines(keepends=True)
    rows = list(csv.reader(io.StringIO("".join(line for line in lines if not line.startswith("#")), newline="")))
    return dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))


def numbers(table: Table, name: str) -> np.ndarray:
    return np.array([float(cell) if cell else math.nan for cell in columns(table)[name]])


def same(table: Table, name: str, expected) -> None:
    np.testing.assert_array_equal(numbers(table, name), np.asarray(expected, float).ravel())


def test_a_table_says_where_it_comes_from_and_what_its_columns_are():
    table = Table("all", (Column("lr", np.array([0.1, 1 / 3]), "", "learning rate"), Column("t", [1, None], "steps")))
    assert table_to_csv(table, MADE).split("\r\n") == [
        "# Phase map: all",
        "# made with optviz on 2026-01-31",
        "# computed by JAX 0.0",
        "# opens again at https://lab.example/phase_map?x=lr&y=momentum",
        "# lr: learning rate",
        "# t [steps]",
        "lr,t",
        "0.1,1",
        f"{1 / 3!r},",
        "",
    ]


def test_no_line_before_a_table_can_be_broken_out_of():
    link = "https://lab.example/x?y=1\r\n=SUM(A1)"
    head = table_to_csv(Table("t", (Column("a", [1]),)), MADE._replace(link=link)).split("\r\n")
    assert [line for line in head if not line.startswith("#")] == ["a", "1", ""]


def test_what_is_no_number_reads_back():
    table = Table("t", (Column("a", np.array([math.inf, -math.inf, math.nan, 5e-324, -0.0])),))
    assert columns(table)["a"] == ("inf", "-inf", "nan", "5e-324", "-0.0")
    read = json.loads(tables_to_json([table], MADE))
    assert read["tables"][0]["columns"][0]["values"] == ["inf", "-inf", None, 5e-324, -0.0]


def test_json_has_units_settings_and_the_link():
    (one,) = run(NOISY)
    read = json.loads(tables_to_json([race_table(NOISY, [one])], MADE, NOISY))
    assert (read["link"], read["page"], read["date"]) == (MADE.link, "Phase map", "2026-01-31")
    assert (read["settings"]["noise"], read["settings"]["surface"]["key"]) == (0.5, "valley")
    by_name = {column["name"]: column for column in read["tables"][0]["columns"]}
    assert by_name["loss"]["values"] == one.trajectory.loss.tolist()
    assert by_name["loss"]["unit"] == "height of the surface"
    assert "learning rate" in by_name["lr"]["meaning"]


def test_a_table_of_ones_own_stays_with_its_owner():
    own = Own(
        datasets.Table(np.array([[12345.5, 1.0], [2.0, 3.0]]), np.array([0, 1]), ("a", "b"), ("no", "yes")), "mine"
    )
    assert plain({"dataset": own}) == {"dataset": {"sha256": own.digest}}


def test_a_phase_map_row_is_its_run():
    on = Experiment(VALLEY, (Racer(Pick("momentum")),), start=(-1.8, 0.6), steps=60)
    map_ = phase_map.PhaseMap(on, resolution=16)
    found, rates, known = phase_map.measure(map_), phase_map.rates(map_), phase_map.theory(map_)
    assert known is not None
    table = phase_table(map_, found, rates, known)
    same(table, "final loss", found.height)
    same(table, "settled", found.settled)
    same(table, "rate by theory", known.radius)
    for row, column in ((0, 0), (3, 5), (15, 15)):
        place = 16 * row + column
        (one,) = run(map_.run(row, column))
        assert numbers(table, "lr")[place] == pytest.approx(float(map_.xs[column]), rel=1e-15)
        final = numbers(table, "final loss")[place]
        assert final == pytest.approx(one.trajectory.loss[-1], rel=1e-9) or not math.isfinite(one.trajectory.loss[-1])
        assert columns(table)["state"][place] == phase_map.STATES[found.state[row, column]]


def test_cells_that_are_not_computed_are_no_rows():
    on = Experiment(VALLEY, (Racer(Pick("momentum")),), start=(-1.8, 0.6), steps=60)
    map_ = phase_map.PhaseMap(on, resolution=16)
    part = phase_map.cells(map_, [])
    assert columns_or_none(phase_table(map_, part, None, None)) == {}
    page = charts_to_html("Phase map", [phase_map_record(map_, phase_map.measure(map_), None, None, "")], link="/x?<y")
    assert "Live in the app: /x?&lt;y" in page
    assert "showChart" in page
    assert "src=" not in page.partition("<script>")[0]


def columns_or_none(table: Table) -> dict:
    return {} if all(len(column.values) == 0 for column in table.columns) else columns(table)


def test_a_basin_map_row_is_where_its_run_ends():
    on = Experiment(Pick("himmelblau"), (Racer(Pick("sgd", {"lr": 0.01})),), steps=300)
    map_ = basin_map.BasinMap(on, side=50)
    basins = basin_map.measure(map_)
    table = basin_table(map_, basins)
    same(table, "final loss", basins[0].loss)
    row, column = 10, 40
    place = 50 * row + column
    assert (numbers(table, "start x")[place], numbers(table, "start y")[place]) == map_.start(row, column)
    (one,) = run(replace(on, start=map_.start(row, column)))
    assert numbers(table, "minimum x")[place] == pytest.approx(one.trajectory.theta[-1, 0], abs=1e-3)
    assert set(columns(table)["end"]) <= {"a minimum", *basin_map.ENDS}


def test_a_fair_race_row_is_its_entrant():
    race = fair_race.FairRace(
        Experiment(VALLEY, start=(-1.8, 0.6), steps=60, tolerance=1e-2), ("sgd", "momentum"), budget=9
    )
    entrants = fair_race.compete(race)
    table = fair_race_table(race, entrants)
    same(table, "lr", [one.rate for one in entrants])
    for name, criterion in fair_race.CRITERIA.items():
        same(table, criterion.title, [one.number(name) for one in entrants])
    assert columns(tries_table(entrants))["best"].count("True") == 2


@pytest.mark.parametrize("criterion", ["final", "lowest", "mean", "steps"])
def test_every_try_has_its_final_loss_whatever_decides(criterion):
    race = fair_race.FairRace(
        replace(NOISY, steps=60, racers=()), ("sgd", "momentum"), budget=5, seeds=3, criterion=criterion
    )
    curves = [one.curve for one in fair_race.compete(race) if one.curve]
    table = tries_table(fair_race.compete(race))
    same(table, "lr", [curve.rates for curve in curves])
    same(table, "final loss", [curve.more["final"] for curve in curves])
    assert "final" not in columns(table)
    assert [column.name for column in table.columns[3:] if not (column.unit or column.meaning)] == []
    if criterion == "mean":
        assert not np.array_equal(curves[0].height, curves[0].more["final"])


def test_a_calibration_row_is_its_rate():
    asked = calibration.Calibration(replace(NOISY, noise=0.0, racers=()), count=10, optimizers=("sgd",))
    curves = calibration.measure(asked)
    table = calibration_table(asked, curves)
    same(table, "lr", curves[0].rates)
    same(table, "final loss", curves[0].height)
    assert columns(table)["ending"] == curves[0].shapes
    same(table, "lost", curves[0].more["lost"])


def test_a_cloud_row_is_its_run():
    asked = cloud.Cloud(NOISY, runs=100)
    swarm, found = cloud.measure(asked), cloud.floors(asked)
    table = cloud_table(asked, swarm)
    same(table, "loss", swarm.height)
    last = asked.runs * len(swarm.steps) - 1
    (one,) = run(asked.run(asked.runs - 1))
    assert numbers(table, "step")[last] == 40
    assert numbers(table, "x")[last] == pytest.approx(one.trajectory.theta[-1, 0], rel=1e-9)
    floors = floors_table(found)
    same(floors, "noise floor", found.height)
    same(floors, "floor by theory", found.theory)


def test_second_order_rows_are_steps():
    value = taylor.take(taylor.SecondOrder(replace(NOISY, noise=0.0, racers=())), 3)
    look = taylor.look(value)
    proposals = proposals_table(look)
    assert columns(proposals)["method"] == tuple(look.proposals)
    same(proposals, "step y", [one.step[1] for one in look.proposals.values()])
    same(proposals, "came", [one.came for one in look.proposals.values()])
    moves = moves_table(look)
    same(moves, "loss", look.losses)
    same(moves, "x", look.path[:, 0])


def test_a_cost_row_is_its_number_of_parameters():
    """Memory is known at once, times of what was measured."""
    table = cost_table([Cost(6, 1e-6, 2e-6, 3e-6, 4e-6, 288, 960)])
    same(table, "n", SIZES)
    same(table, "Hessian", [hessian_bytes(n) for n in SIZES])
    assert columns(table)["two-loop time"] == tuple("4e-06" if n == 6 else "" for n in SIZES)
    assert {column.unit for column in table.columns} == {"parameters", "bytes", "seconds"}
    steps = work_table([Work(2, {"sgd": math.inf, "lbfgs": 30.0, "newton": 12.0})])
    assert columns(steps) == {"n": ("2",), "SGD": ("inf",), "L-BFGS": ("30.0",), "Newton": ("12.0",)}


def test_a_stability_row_is_its_moment():
    asked = stability.Stability(replace(NOISY, noise=0.0), rates=(0.05, 0.15))
    curves = stability.measure(asked)
    table = stability_table(asked, curves)
    same(table, "sharpness", np.concatenate([one.sharpness for one in curves]))
    same(table, "edge", np.concatenate([one.edge for one in curves]))
    same(losses_table(curves), "loss", np.concatenate([one.loss for one in curves]))
    assert set(numbers(table, "lr")) == {0.05, 0.15}


def test_a_range_test_row_is_its_step():
    asked = range_test.RangeTest(NOISY, test_steps=100, test_seeds=3)
    found = range_test.measure(asked)
    table = range_table(asked, found)
    same(table, "lr", found.lr)
    same(table, "median", found.median)
    same(table, "loss 3", found.loss[2])
    above = range_test.measure(replace(asked, subject=replace(NOISY, surface=Pick("six_hump_camel"))))
    assert above.floor < -1
    for column in range_table(asked, above).columns[2:]:
        assert f"above {above.floor!r}" in column.meaning
    rates = range_test.suggestions(found)
    np.testing.assert_array_equal(
        numbers(suggestions_table(found), "lr"), [math.nan if rate is None else rate for rate in rates.values()]
    )


def test_a_walk_row_is_its_node_or_weight():
    found = graph(TWO_PATHS)
    table = walk_table(TWO_PATHS)
    rows = dict(
        zip(columns(table)["name"], zip(numbers(table, "value"), numbers(table, "gradient"), strict=True), strict=True)
    )
    assert rows["L"] == (found.loss, 1.0)
    for name, parameter in found.parameters.items():
        assert rows[name] == (parameter.value, parameter.gradient)


def lines_of(record: dict) -> set[str]:
    """The colours of the lines that stand out and that no legend of the chart's own names."""
    drawn = [one for one in record["figure"]["data"] if "lines" in one.get("mode", "") and one["line"].get("width")]
    unnamed = [one for one in drawn if not one.get("showlegend", record["figure"]["layout"].get("showlegend", True))]
    return {one["line"]["color"] for one in unnamed if one.get("opacity", 1) == 1}


def test_a_chart_leaves_with_a_key_to_the_colours_that_its_page_tells():
    quiet = replace(NOISY, noise=0.0, racers=())
    race = fair_race.FairRace(replace(NOISY, racers=(), steps=60), ("sgd", "momentum", "adam"), budget=5)
    rates = calibration.Calibration(quiet, count=10, optimizers=("sgd", "adam", "lion"), chosen=("sgd", "lion"))
    sharp = stability.Stability(replace(NOISY, noise=0.0), rates=(0.05, 0.15))
    for record, words in (
        (race_record(race, fair_race.compete(race)), ["SGD, η", "Momentum, η", "Adam, η"]),
        (calibration_record(rates, calibration.measure(rates), []), ["SGD", "Lion"]),
        (map_record(sharp, stability.measure(sharp)), ["η = 0.05", "η = 0.15"]),
    ):
        assert [entry["words"][: len(said)] for entry, said in zip(record["key"], words, strict=True)] == words
        assert {entry["color"] for entry in record["key"]} == lines_of(record)
    map_ = phase_map.PhaseMap(Experiment(VALLEY, (Racer(Pick("momentum")),), (-1.8, 0.6), steps=60), resolution=16)
    found = phase_map.measure(map_)
    told = phase_map_record(map_, found, None, None, "")["key"]
    assert [entry["words"] for entry in told] == [f"{m.words}: {m.share:.1%}" for m in meanings(map_, found, None)]
    basins = basin_map.BasinMap(Experiment(Pick("himmelblau"), (Racer(Pick("sgd", {"lr": 0.01})),), steps=300), side=50)
    ends = basin_map.measure(basins)
    alone = basin_record(basins, ends, 0, bars=False)["key"]
    assert [entry["color"] for entry in alone] == [row.color for row in rows(basins, ends)[0]]
    assert "key" not in basin_record(basins, ends, 0)
