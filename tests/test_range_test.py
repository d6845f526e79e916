"""The range test: its rules on curves whose answers are known, its smoothing against a plain recurrence, where it
stops, what theory says on surfaces, what it hands over, and claim B8. What the slow benchmark stored is tried again."""

import json
import math
from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import range_test as bench
from optviz import range_test
from optviz.either_link import Either
from optviz.experiment import Experiment, Pick, Racer, schedule
from optviz.figures.range_test import alt_text, range_figure
from optviz.glossary import symbols
from optviz.optimizers import OPTIMIZERS
from optviz.range_test import (
    DIGITS,
    MARKS,
    RANGE_CLAIMS,
    SETTINGS,
    SUGGESTIONS,
    Curves,
    RangeTest,
    curves,
    disagreement,
    handed_over,
    marks,
    measure,
    pieces,
    smooth,
    suggestions,
    thresholds,
)
from optviz.range_test_link import OWN, RangeTests
from optviz.spec import number
from optviz.training import Configuration, Net, Training
from strategies import some_of

BOWL = Experiment(Pick("sphere"), (Racer(Pick("sgd")),))  # f = x² + y²: stable up to η = 1
VALLEY = Experiment(Pick("valley"), (Racer(Pick("sgd")),), noise=1.0)
MOONS = Training(Pick("moons"), (Configuration(Net(hidden=(4,)), Racer(Pick("sgd"))),), batch_size=16)
RATES = np.geomspace(1e-5, 10, 301)  # fifty steps a decade
every_rule = pytest.mark.parametrize("rule", SUGGESTIONS)


def suggested(rule: str, loss: np.ndarray, lr: np.ndarray = RATES) -> float | None:
    return SUGGESTIONS[rule].fn(lr, loss)


def one_seed(loss: np.ndarray, beta: float = 0.0) -> Curves:
    return curves(RATES[: len(loss)], loss[None], beta)


# The rules -----------------------------------------------------------------------------------------------------------


def test_the_steepest_place_of_a_step_is_its_middle():
    loss = 1 / (1 + (RATES / 0.03) ** 2)  # steepest in ln η exactly at 0.03
    assert suggested("steepest", loss) == pytest.approx(0.03, rel=0.03)


def test_steepness_is_by_the_logarithm_of_the_rate_whatever_the_spacing():
    lr = np.linspace(1e-5, 1.0, 2001)
    loss = 1 / (1 + (lr / 0.3) ** 2)  # by η it would be steepest at 0.3/√3 = 0.17
    assert suggested("steepest", loss, lr) == pytest.approx(0.3, rel=0.01)


def test_the_first_tenth_does_not_count_as_steep():
    loss = 3 - 0.001 * np.arange(301)
    loss[:20] += np.linspace(5, 0, 20)
    loss[150:] -= 0.5
    assert suggested("steepest", loss) == pytest.approx(RATES[150], rel=0.05)


def test_the_valley_is_the_middle_of_the_longest_fall():
    loss = np.concatenate([np.full(100, 2.0), np.linspace(2, 1, 101), np.linspace(1.1, 9, 100)])
    assert suggested("valley", loss) == pytest.approx(RATES[150], rel=0.05)


def longest_fall(loss: np.ndarray) -> tuple[int, int]:
    """The length of the longest row of falling losses and the first place where one of that length ends, by trying for
    every place all places before it."""
    lengths = [1] * len(loss)
    for i in range(len(loss)):
        lengths[i] = 1 + max((lengths[j] for j in range(i) if loss[j] > loss[i]), default=0)
    return max(lengths), lengths.index(max(lengths))


@given(st.lists(st.integers(0, 20), min_size=3, max_size=60))
def test_the_valley_of_any_curve_is_that_of_the_plain_search(losses):
    loss = np.array(losses, float)
    length, end = longest_fall(loss)
    lr = RATES[: len(loss)]
    expected = lr[end - length // 2] if length >= 3 else None
    assert suggested("valley", loss, lr) == expected


def test_a_long_shallow_fall_fools_the_valley_and_not_the_steepest_place():
    loss = np.concatenate([np.linspace(2.3, 2.2, 200), np.linspace(2.1, 0.2, 40), np.linspace(0.5, 9, 61)])
    assert suggested("valley", loss) < RATES[140]
    assert RATES[199] <= suggested("steepest", loss) <= RATES[239]


def test_the_minimum_is_divided_by_ten():
    assert suggested("minimum_over_ten", (np.log(RATES) - math.log(RATES[220])) ** 2) == pytest.approx(RATES[220] / 10)


@every_rule
def test_a_loss_that_never_falls_suggests_nothing(rule):
    assert suggested(rule, np.linspace(1, 5, 301)) is None
    assert suggested(rule, np.ones(301)) is None
    assert suggested(rule, np.array([1.0]), RATES[:1]) is None


@every_rule
def test_a_rule_does_not_care_for_a_constant_or_a_factor(rule):
    rng = np.random.default_rng(0)
    loss = 1 / (1 + (RATES / 0.03) ** 2) + 0.1 * rng.random(301)
    assert suggested(rule, 3 * loss + 7) == pytest.approx(suggested(rule, loss))


@every_rule
def test_a_card_says_when_its_rule_is_fooled_and_whose_it_is(rule):
    entry = SUGGESTIONS[rule]
    assert all(len(text) > 20 for text in (entry.summary, entry.note, entry.fooled, entry.formula))
    assert entry.source.url.startswith("https://")


def test_disagreement_is_the_largest_over_the_smallest():
    assert disagreement({"a": 0.1, "b": None, "c": 0.4}) == pytest.approx(4)
    assert disagreement({"a": 0.1, "b": None}) is None


# Smoothing and the stop ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.98])
def test_smoothing_is_the_weighted_mean_of_what_came_so_far(beta):
    loss = np.random.default_rng(1).random((2, 50))
    for t in (0, 1, 7, 49):
        weights = beta ** np.arange(t, -1, -1.0)
        np.testing.assert_allclose(smooth(loss, beta)[:, t], loss[:, : t + 1] @ weights / weights.sum(), rtol=1e-12)


def test_without_its_correction_the_average_would_start_at_nearly_nothing():
    loss, plain, average = np.full(30, 2.0), [], 0.0
    for value in loss:
        average = 0.9 * average + 0.1 * value
        plain.append(average)
    np.testing.assert_allclose(smooth(loss[None], 0.9)[0], 2.0, rtol=1e-12)
    np.testing.assert_allclose(smooth(loss[None], 0.9)[0], plain / (1 - 0.9 ** np.arange(1, 31)), rtol=1e-12)
    assert plain[0] == pytest.approx(0.2)


def test_a_test_that_has_learnt_well_does_not_stop_at_a_noisy_batch():
    loss = np.concatenate([np.linspace(3, 0.1, 200), [0.9], np.full(100, 0.1)])  # nine times the best, a quarter back
    assert one_seed(loss).stopped is None


def test_a_test_that_has_not_learnt_does_not_stop_at_a_noisy_batch():
    loss = np.full(301, 3.0)
    loss[5], loss[9] = 2.9, 3.3  # more than all of its gain is lost, but not four times the best
    assert one_seed(loss).stopped is None


def test_a_test_stops_where_the_loss_explodes_and_keeps_what_came_before():
    loss = np.concatenate([np.linspace(3, 0.5, 200), np.geomspace(0.5, 1e6, 101)])
    found = one_seed(loss)
    first = next(t for t in range(301) if loss[t] > 4 * loss[: t + 1].min() and loss[t] > 1.75)
    assert found.stopped is not None
    assert found.stopped.step == first
    assert "four times" in found.stopped.reason
    np.testing.assert_array_equal(found.median, loss[: first + 1])
    assert [len(part) for part in (found.lr, found.loss[0], found.lower, found.upper)] == [first + 1] * 4


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_test_stops_where_the_loss_is_no_number(bad):
    loss = np.linspace(3, 1, 301)
    loss[120:] = bad
    found = one_seed(loss, 0.9)
    assert found.stopped is not None
    assert (found.stopped.step, "finite" in found.stopped.reason) == (120, True)


def test_one_seed_that_explodes_does_not_stop_four_that_learn():
    loss = np.tile(np.linspace(3, 1, 301), (5, 1))
    loss[2, 50:] = math.nan
    found = curves(RATES, loss, 0.9)
    assert found.stopped is None
    assert np.isfinite(found.median).all()
    loss[:3, 50:] = math.nan
    stopped = curves(RATES, loss, 0.9).stopped
    assert stopped is not None
    assert stopped.step == 50


def test_the_ends_of_a_cycle_are_a_tenth_and_nine_tenths_of_the_fall():
    loss = np.concatenate([np.full(100, 2.0), np.linspace(2, 1, 101), np.linspace(1.01, 3, 100)])
    assert thresholds(one_seed(loss)) == (pytest.approx(RATES[110]), pytest.approx(RATES[190]))
    assert thresholds(one_seed(np.linspace(1, 3, 301))) is None


# On surfaces and networks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("surface", "values", "limit"), [("sphere", {}, 1.0), ("valley", {"kappa": 1.0}, 2.0)])
@pytest.mark.parametrize("spacing", ["exponential", "linear"])
def test_the_loss_of_a_quadratic_turns_up_at_the_limit_of_theory(surface, values, limit, spacing):
    """Gradient descent multiplies θ by 1 − ηλ, so the loss falls while η < 2/λ and grows beyond."""
    subject = Experiment(Pick(surface, values), BOWL.racers)
    test = RangeTest(subject, 0.995 * limit, 1.005 * limit, 100, spacing, test_seeds=1, smoothing=0.0)
    raw = measure(test)
    turn = int(np.argmin(raw.median))
    assert raw.lr[turn - 1] < limit <= raw.lr[turn]
    smoothed = measure(replace(test, smoothing=0.9))
    lag = 0.9 / 0.1  # steps by which the average is behind a loss that changes evenly
    assert int(np.argmin(smoothed.median)) - turn == pytest.approx(lag, abs=1)


def test_the_rates_are_those_of_the_schedule():
    test = RangeTest(BOWL, 1e-4, 0.5, 80, test_seeds=2)
    np.testing.assert_allclose(measure(test).lr, schedule("range_test", steps=80, lr=0.5, low=2e-4), rtol=1e-12)
    np.testing.assert_allclose(measure(test).lr, np.geomspace(1e-4, 0.5, 80), rtol=1e-12)


def test_loss_number_t_is_where_step_t_starts():
    found = measure(RangeTest(BOWL, 0.01, 0.4, 50, test_seeds=1, smoothing=0.0))
    start = np.sum(np.square(BOWL.start))
    np.testing.assert_allclose(found.loss[0, :2], [start, start * (1 - 2 * 0.01) ** 2], rtol=1e-12)


def test_seeds_part_with_noise_and_only_with_noise():
    noisy = measure(RangeTest(VALLEY, test_steps=100))
    assert len(np.unique(noisy.loss[:, 20])) == 5
    assert (noisy.lower < noisy.upper)[20]
    quiet = measure(RangeTest(replace(VALLEY, noise=0.0), test_steps=100))
    np.testing.assert_array_equal(quiet.lower, quiet.upper)


def test_a_surface_is_measured_from_its_minimum_and_stops_with_a_reason():
    easom = Experiment(Pick("easom"), (Racer(Pick("adam")),))
    found = measure(RangeTest(easom, test_seeds=1))
    assert found.floor == pytest.approx(-1)
    assert found.loss.min() >= 0
    assert found.stopped is not None


def test_a_network_under_seeds_is_the_same_network_alone():
    test = RangeTest(MOONS, 1e-3, 1.0, 40, test_seeds=3, smoothing=0.0)
    alone = measure(replace(test, subject=replace(MOONS, seed=0), test_seeds=1))
    found = measure(test)
    assert found.loss.shape == (3, 40)
    np.testing.assert_array_equal(found.loss[0], alone.loss[0])
    assert len(np.unique(found.loss[:, 0])) == 3


def test_a_test_in_pieces_is_the_test_in_one(monkeypatch):
    test = RangeTest(MOONS, 1e-3, 1.0, 40, test_seeds=2, smoothing=0.0)
    whole = list(pieces(test))
    assert len(whole) == 1
    moons = test.running
    assert isinstance(moons, Training)
    monkeypatch.setattr(range_test, "PIECE", 7 * moons.networks[0].size * moons.size * moons.seeds)
    cut = list(range_test._training(moons, test.test_steps))
    assert [done.value.shape[1] for done in cut] == [7, 7, 7, 7, 7, 5]
    np.testing.assert_array_equal(np.concatenate([done.value for done in cut], axis=1), whole[0].loss)
    np.testing.assert_array_equal(np.concatenate([done.lr[0] for done in cut]), whole[0].lr)


def test_marks_and_smoothing_train_nothing_anew(monkeypatch):
    test = RangeTest(MOONS, 1e-3, 1.0, 40, test_seeds=3, smoothing=0.0)
    first = measure(test)
    monkeypatch.setattr(range_test, "_training", None)  # whoever calls it fails
    assert np.array_equal(measure(replace(test, base=0.01, top=0.1)).smoothed, first.smoothed)
    smoothed = measure(replace(test, smoothing=0.9)).smoothed
    assert np.array_equal(smoothed, smooth(first.loss, 0.9))
    with pytest.raises(TypeError):
        measure(replace(test, test_steps=41))


def test_no_slider_compiles(compilations):
    test = RangeTest(MOONS, 1e-3, 1.0, 40, test_seeds=3, smoothing=0.0)
    measure(test)
    before = compilations()
    for changes in ({"low_rate": 1e-4}, {"high_rate": 3.0}, {"test_steps": 60}, {"smoothing": 0.5}):
        measure(replace(test, **changes))
    measure(
        replace(
            test,
            subject=replace(MOONS, configurations=(Configuration(Net((4,)), Racer(Pick("sgd", {"momentum": 0.5}))),)),
        )
    )
    assert compilations() == before


strange = st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf])


@settings(max_examples=50)
@given(st.lists(strange, min_size=1, max_size=40), st.floats(0, 0.99))
def test_no_curve_is_too_strange(losses, beta):
    loss = np.array([losses, losses[::-1]])
    found = curves(RATES[: len(losses)], loss, beta)
    rates = suggestions(found)
    assert all(rate is None or 1e-7 < rate <= 10 for rate in rates.values())
    ends = marks(DIGITS, found)
    assert 0 < ends[0] < ends[1]
    figure = range_figure(DIGITS, found, rates, ends)
    json.dumps(figure["layout"], allow_nan=False)
    assert "nan" not in alt_text(DIGITS, found, rates, ends)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"low_rate": 1.0, "high_rate": 0.1}, "below the highest"),
        ({"low_rate": 0.0}, "low_rate must be a number in"),
        ({"high_rate": math.nan}, "high_rate must be a number in"),
        ({"test_steps": 2001}, "test_steps must be a whole number in"),
        ({"test_seeds": 17}, "test_seeds must be a whole number in"),
        ({"smoothing": 1.0}, "smoothing must be a number in"),
        ({"spacing": "quadratic"}, "one of exponential, linear"),
        ({"base": 0.1, "top": 0.1}, "below the maximum rate"),
        ({"subject": replace(BOWL, racers=())}, "one optimizer, not of 0"),
        ({"subject": replace(BOWL, racers=BOWL.racers * 2)}, "one optimizer, not of 2"),
        ({"subject": replace(BOWL, racers=(Racer(Pick("sgd"), {"lr": Pick("cosine")}),))}, "no other schedule"),
        ({"test_steps": 2000, "test_seeds": 16}, "too large: parameters"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_is_allowed(changes, says):
    with pytest.raises(ValueError, match=says):
        replace(DIGITS, **changes)


def test_the_largest_seed_has_room_for_all():
    found = measure(RangeTest(replace(VALLEY, seed=2**32 - 1), test_steps=50, test_seeds=2))
    assert len(found.loss) == 2


# Handing over --------------------------------------------------------------------------------------------------------


def test_one_cycle_goes_from_the_base_to_the_maximum_and_the_momentum_against_it():
    value = handed_over(DIGITS, 0.001, 0.05, "one_cycle")
    assert isinstance(value, Training)
    racer = value.configurations[0].racer
    assert racer.values["lr"] == 0.05
    assert dict(racer.schedules)["lr"] == Pick("one_cycle", {"div": 50.0})
    assert dict(racer.schedules)["momentum"] == Pick("one_cycle_momentum")
    rates = schedule("one_cycle", steps=value.steps, lr=0.05, div=50.0)
    assert (rates[0], rates.max()) == (pytest.approx(0.001), pytest.approx(0.05, rel=1e-4))


def test_cycles_go_between_base_and_maximum_three_times():
    value = handed_over(RangeTest(BOWL), 0.01, 0.4, "cycles")
    assert isinstance(value, Experiment)
    (name, pick), *others = value.racers[0].schedules
    assert (name, pick.key, others) == ("lr", "triangular", [])
    rates = schedule("triangular", steps=value.steps, lr=0.4, **dict(pick.values))
    assert (rates.min(), rates.max()) == (pytest.approx(0.01), pytest.approx(0.4, rel=0.02))
    inside = rates[1:-1]
    assert int(((inside > rates[:-2]) & (inside >= rates[2:])).sum()) == 3


@pytest.mark.parametrize(
    ("optimizer", "values", "opposite"),
    [
        ("sgd", {"momentum": 0.9}, True),
        ("sgd", {"momentum": 0.0}, False),
        ("momentum", {}, True),
        ("momentum", {"form": "averaging"}, False),
        ("nesterov", {}, True),
        ("adam", {}, False),
        ("rmsprop", {"momentum": 0.9}, False),
    ],
)
def test_momentum_cycles_only_where_it_is_a_velocity(optimizer, values, opposite):
    racer = Racer(Pick(optimizer, values))
    value = handed_over(RangeTest(replace(BOWL, racers=(racer,))), 0.01, 0.1, "one_cycle")
    assert isinstance(value, Experiment)
    assert ("momentum" in dict(value.racers[0].schedules)) is opposite


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_can_be_handed_over(optimizer):
    test = RangeTest(replace(BOWL, racers=(Racer(Pick(optimizer)),)))
    for use in ("one_cycle", "cycles"):
        assert handed_over(test, 1e-4, 0.1, use) != test.subject


def test_a_range_that_is_none_is_not_handed_over():
    with pytest.raises(ValueError, match="below the maximum"):
        handed_over(DIGITS, 0.1, 0.1, "cycles")
    with pytest.raises(ValueError, match="one_cycle or cycles"):
        handed_over(DIGITS, 0.01, 0.1, "cosine")


# Claim B8 ------------------------------------------------------------------------------------------------------------


def test_claim_b8_holds_on_its_own_test_B8():
    claim = RANGE_CLAIMS["B8"]
    measured = claim.measure(claim.test)
    assert measured is not None
    assert measured.holds
    numbers = measured.numbers
    assert 1e-4 < numbers["base"] < 1e-3 < 0.02 < numbers["top"] < 0.1
    assert numbers["between"] < 0.1 * numbers["below"]
    assert numbers["between"] < 0.1 * numbers["above"]
    for name in ("base", "top", "start", "between", "below", "above"):
        assert number(numbers[name]) in measured.sentence


def test_claim_b8_says_where_it_does_not_hold_B8():
    quiet = RangeTest(replace(BOWL, noise=0.0), test_seeds=1)
    measured = RANGE_CLAIMS["B8"].measure(quiet)
    assert measured is not None
    assert measured.holds is False
    assert "ten times the maximum does as well" in measured.sentence
    climbing = RangeTest(Experiment(Pick("sphere"), BOWL.racers, start=(0.0, 0.0)), test_seeds=1)
    assert RANGE_CLAIMS["B8"].measure(climbing) is None


# Links and the glossary ----------------------------------------------------------------------------------------------

LINKS = RangeTests(Either(VALLEY, MOONS))
own = some_of(OWN).map(lambda values: values | ({"low_rate": 1e-4, "high_rate": 1.0} if not _ordered(values) else {}))


def _ordered(values: dict) -> bool:
    complete = {"low_rate": 1e-5, "high_rate": 10.0} | values
    return complete["low_rate"] < complete["high_rate"]


@settings(max_examples=60)
@given(own, st.sampled_from([VALLEY, BOWL, MOONS, replace(MOONS, seed=3)]), st.sampled_from([VALLEY, MOONS]))
def test_a_link_opens_what_it_was_made_from(values, subject, home):
    if values.get("base", 0) >= values.get("top", math.inf):
        values.pop("base")
    test, default = RangeTest(subject, **values), RangeTest(home)
    address = urlencode(LINKS.to_query(test, default), doseq=True)  # as it travels
    assert LINKS.from_query(parse_qs(address), default) == (test, [])
    assert LINKS.to_query(default, default) == {}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"low_rate": ["100"]}, "below the highest"),
        ({"test_steps": ["many"]}, "test_steps must be"),
        ({"racer": ["sgd", "adam"], "on": ["surface"]}, "one optimizer"),
        ({"weather": ["fine"]}, "no field"),
    ],
)
def test_nonsense_in_a_link_costs_a_sentence(query, says):
    test, messages = LINKS.from_query({**query, "smoothing": ["0.5"]}, RangeTest(MOONS))
    assert test.smoothing == 0.5  # the rest is saved
    assert any(says in message for message in messages)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=8) | st.sampled_from([*OWN, "on"]), st.lists(st.text(max_size=20), max_size=2)))
def test_nonsense_never_raises(query):
    assert isinstance(LINKS.from_query(query, RangeTest(VALLEY))[0], RangeTest)


def test_the_glossary_knows_every_symbol():
    assert [name for name in SETTINGS | MARKS if name not in symbols()] == []


# What the benchmark stored -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored() -> dict:
    return json.loads(bench.DATA.read_text(encoding="utf-8"))["found"]


def test_the_stored_sweep_is_complete_and_the_document_says_the_same(stored):
    assert set(stored) == set(bench.RACERS)
    for rows in stored.values():
        assert [row["seed"] for row in rows] == list(bench.SEEDS)
        for row in rows:
            assert [float(lr) for lr in row["sweep"]] == bench.SWEEP
            assert row["best"] == {"lr": float(bench.best(row["sweep"])), **row["sweep"][bench.best(row["sweep"])]}
    assert bench.DOCUMENT.read_text(encoding="utf-8") == bench.document(stored)


def test_adams_suggestions_train_within_one_point_of_the_best_rate(stored):
    """Under every one of the five seeds, by every rule; SGD's are in the document as they came out."""
    behind = [bench.loss(row, rule) for row in stored["Adam"] for rule in SUGGESTIONS]
    assert len(behind) == 15
    assert max(behind) <= bench.BAR


def test_what_was_stored_comes_out_again(stored):
    row = stored["Adam"][0]
    rates = bench.suggested("Adam", row["seed"])
    assert rates == {rule: pytest.approx(found["lr"], rel=1e-6) for rule, found in row["rules"].items()}
    rule = "minimum_over_ten"
    lr = rates[rule]
    assert lr is not None
    assert bench.trained("Adam", row["seed"], lr) == {part: row["rules"][rule][part] for part in bench.PARTS}
