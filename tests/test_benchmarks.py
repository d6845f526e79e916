"""The benchmarks' report: verdicts come from numbers alone, and the table says what was found. What the slow scripts
have stored is complete, and true where it is tried again."""

import math
import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import matrix, networks
from benchmarks.report import (
    Bar,
    Benchmark,
    Line,
    Missing,
    NotMeasured,
    Reading,
    Readings,
    document,
    median_ratio,
    quantity,
)
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.tuning import tuned_lr_network

FASTER = Bar("a run", "×", at_least=250)
QUICK = Bar("a move", "ms", at_most=3)


def test_a_bar_is_met_on_its_own_side_only():
    assert [FASTER.met(value) for value in (249.9, 250, 1e9, math.nan)] == [False, True, True, False]
    assert [QUICK.met(value) for value in (3.1, 3, 0, math.nan, math.inf)] == [False, True, True, False, False]
    with pytest.raises(ValueError, match="either"):
        Bar("nothing", "ms")


@pytest.mark.parametrize(
    ("value", "text"),
    [(2340.4, "2,340 ×"), (0.1214, "0.121 ×"), (12.34, "12.3 ×"), (3.0, "3 ×"), (100.0, "100 ×"), (0.0, "0 ×")],
)
def test_numbers_have_three_digits(value, text):
    assert quantity(value, "×") == text


def test_the_ratio_is_taken_in_each_round():
    assert median_ratio([2, 20, 9], [1, 10, 3]) == 2  # the ratio of the medians would be 3
    with pytest.raises(ValueError, match="broadcast"):
        median_ratio([1, 2], [1, 2, 3])


def test_a_line_tells_met_missed_and_not_measured_apart():
    assert str(Line(QUICK, Reading(1.25, "10 moves"))) == "| a move | 1.25 ms (10 moves) | ≤ 3 ms | met |"
    assert str(Line(QUICK, Reading(3.2))) == "| a move | 3.2 ms | ≤ 3 ms | **missed** |"
    assert str(Line(QUICK, Missing("no browser"))) == "| a move | no browser | ≤ 3 ms | – |"


def test_a_benchmark_gives_one_reading_for_each_bar():
    def forgets():
        return {"faster": Reading(300)}

    def cannot() -> Readings:
        raise NotMeasured("torch is not installed")

    bars = {"faster": FASTER, "quick": QUICK}
    with pytest.raises(ValueError, match="quick"):
        Benchmark(forgets, bars).readings()
    assert set(Benchmark(cannot, bars).readings().values()) == {Missing("not measured: torch is not installed")}


def test_the_document_counts_and_explains():
    def race() -> Readings:
        """Both run
        in turns."""
        return {}

    readings = {"faster": Reading(300, "1 s against 300 s"), "quick": Missing("no browser")}
    results = {"race": (Benchmark(race, {"faster": FASTER, "quick": QUICK}), readings)}
    text = document(results, took=90, load=0.2)
    assert "Of 2 bars 1 are met, 0 missed and 1 not measured." in text
    assert "| a run | 300 × (1 s against 300 s) | ≥ 250 × | met |" in text
    assert "**race.** Both run in turns." in text
    assert "others were at work" not in text
    assert "load average when it began was 7.0: **others were at work" in document(results, took=90, load=7)


# Networks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", networks.HIDDEN)
def test_all_contenders_come_to_the_same_weights(size):
    epochs, given = 4, networks.work(networks.HIDDEN[size])
    ours = networks.with_optviz(given)(epochs)
    assert np.abs(ours - given.theta0).max() > 0.01
    others = {"optax": networks.with_optax(given)(epochs)}
    if shutil.which("node"):
        others["playground"] = networks.with_playground(given, epochs, 2)[1]
    if find_spec("torch"):
        others["torch"] = networks.with_torch(given)(epochs)
    for name, theta in others.items():
        np.testing.assert_allclose(theta, ours, rtol=0, atol=1e-9, err_msg=name)


def test_seeds_at_once_are_the_first_seed_too():
    alone, together = (networks.work(networks.HIDDEN["small"], seeds) for seeds in (1, 4))
    np.testing.assert_allclose(networks.with_optviz(together)(4), networks.with_optviz(alone)(4), rtol=0, atol=1e-12)


# The matrix of optimizers and schedules ------------------------------------------------------------------------------

PAIRS = [(optimizer, schedule) for optimizer in OPTIMIZERS for schedule in SCHEDULES]


def test_every_pair_learns_digits_but_a_few_that_are_listed():
    stored = matrix.stored()
    missing = [pair for pair in PAIRS if pair[1] not in stored.get(pair[0], {})]
    assert not missing, f"run `python -m benchmarks.matrix`: {len(missing)} pairs are new, {missing[0]} among them"
    unable = [pair for pair in PAIRS if matrix.reached(stored[pair[0]][pair[1]]) < matrix.ENOUGH]
    assert set(unable) == set(matrix.unable(stored))
    assert len(unable) <= len(PAIRS) / 10
    for optimizer, schedule in unable:
        found = stored[optimizer][schedule]
        assert matrix.reached(found) >= float(np.median(found["defaults"]))  # the best of what was tried
    assert matrix.DOCUMENT.read_text(encoding="utf-8") == matrix.document(stored)


def test_the_stored_rates_are_those_of_the_matrix():
    for optimizer, row in matrix.stored().items():
        assert {found["rate"] for found in row.values()} == {tuned_lr_network(optimizer)}
        own = [found for found in row.values() if "defaults" not in found]
        assert all(found["values"] == {"lr": tuned_lr_network(optimizer)} for found in own)
    assert tuned_lr_network("newton") == OPTIMIZERS["newton"].defaults["lr"]
    assert tuned_lr_network("sgd") != OPTIMIZERS["sgd"].defaults["lr"]


@pytest.mark.parametrize(
    ("optimizer", "schedule"), [("sgd", "exponential"), ("momentum", "constant"), ("adam", "cosine")]
)
def test_a_stored_accuracy_is_found_again(optimizer, schedule):
    found = matrix.stored()[optimizer][schedule]
    again = matrix.measured(optimizer, schedule, found)
    # another processor rounds differently, which after hundreds of steps may turn a few of the 359 answers
    np.testing.assert_allclose(again, found["test"], rtol=0, atol=0.012)
