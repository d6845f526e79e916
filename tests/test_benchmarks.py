"""The benchmarks' report: verdicts come from numbers alone, and the table says what was found."""

import math

import pytest

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
