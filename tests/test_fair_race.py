"""The fair race: every try and every race is a run, all have the same budget, and places follow the numbers."""

import math
from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import optviz
from optviz.calibration import FIRST_ORDER
from optviz.experiment import Experiment, Pick, Racer
from optviz.fair_race import (
    CHOOSING,
    CLAIMS,
    CRITERIA,
    FLOOR,
    NOISY_VALLEY,
    OWN_STEP,
    SETTINGS,
    Course,
    Entrant,
    FairRace,
    compared,
    compete,
    disagreement,
    exchanged,
    firsts,
    places,
)
from optviz.fair_race_link import from_query, to_query
from optviz.figures.fair_race import BANDS_AT_MOST, race_record, tries_record
from optviz.optimizers import OPTIMIZERS
from optviz.surfaces import SURFACES
from strategies import some_of

VALLEY = Pick("valley", {"kappa": 20.0})
STILL = FairRace(Experiment(VALLEY, start=(-1.8, 0.6), steps=60, tolerance=1e-2), ("sgd", "momentum", "adam"), budget=9)
NOISY = replace(STILL, on=replace(STILL.on, noise=0.7, seed=5), seeds=5)

MANY = FIRST_ORDER[:9]


def loss_above(race: FairRace, key: str, rate: float, seed: int) -> np.ndarray:
    """The whole run, as the descent page has it; the valley's least loss is 0."""
    values = dict(race.on.surface.values)
    noise, steps, start = race.on.noise, race.on.steps, race.on.start
    run = optviz.trace("valley", key, steps=steps, start=start, surface_values=values, noise=noise, seed=seed, lr=rate)
    return run.loss


# Every number is that of a run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("race", [STILL, NOISY, replace(NOISY, criterion="mean")], ids=["still", "noisy", "mean"])
def test_every_try_is_judged_by_the_median_of_its_own_runs(race):
    seeds = [5, 6, 7, 8, 9] if race.on.noise else [race.on.seed]
    for entrant in compete(race):
        curve = entrant.curve
        assert curve is not None
        for i, rate in enumerate(race.rates):
            runs = [loss_above(race, entrant.name, float(rate), seed) for seed in seeds]
            finals = sorted(run[-1] for run in runs)
            if curve.shapes[i] == "diverged":
                assert finals[len(finals) // 2] > 1e3 or math.isnan(finals[-1])
                continue
            assert curve.more["final"][i] == pytest.approx(finals[len(finals) // 2], rel=1e-8)
            middle = runs[seeds.index(int(curve.more["seed"][i]))]
            assert middle[-1] == pytest.approx(curve.more["final"][i], rel=1e-8)  # a run that there was
            settled = sorted(_settled(run, race.on.tolerance) for run in runs)
            assert curve.more["steps"][i] == settled[len(settled) // 2]
            if race.criterion == "mean":
                logs = [np.log10(np.maximum(run, FLOOR)).mean() for run in runs]  # 60 steps are 61 moments
                assert curve.more["mean"][i] == pytest.approx(10 ** sorted(logs)[len(logs) // 2], rel=1e-8)
            assert curve.more["lowest"][i] == pytest.approx(sorted(run.min() for run in runs)[len(runs) // 2])


def _settled(loss: np.ndarray, tolerance: float) -> float:
    outside = np.flatnonzero(~(loss <= tolerance))
    if not outside.size:
        return 0.0
    return math.inf if outside[-1] == len(loss) - 1 else float(outside[-1] + 1)


@pytest.mark.parametrize("race", [STILL, NOISY], ids=["still", "noisy"])
def test_a_race_is_run_with_the_best_rate_and_on_seeds_that_no_try_has_seen(race):
    fresh = [10, 11, 12, 13, 14] if race.on.noise else [race.on.seed]
    for entrant in compete(race):
        assert entrant.curve is not None
        assert entrant.course is not None
        assert entrant.curve.best is not None
        assert entrant.rate == race.rates[entrant.curve.best]
        assert entrant.course.seed in fresh
        rate = entrant.rate or math.nan
        runs = np.array([loss_above(race, entrant.name, rate, seed) for seed in fresh])
        assert entrant.course.numbers["final"] == pytest.approx(np.median(runs[:, -1]), rel=1e-8)
        middle = loss_above(race, entrant.name, rate, entrant.course.seed)
        assert middle[-1] == pytest.approx(entrant.course.numbers["final"], rel=1e-8)
        shares = [np.sort(runs, axis=0)[round(share * (len(fresh) - 1))] for share in (0.25, 0.5, 0.75)]
        np.testing.assert_allclose(entrant.course.quartiles, np.array(shares)[:, entrant.course.steps], rtol=1e-8)


@pytest.mark.parametrize("criterion", CHOOSING)
def test_the_best_rate_is_the_best_by_the_criterion(criterion):
    for entrant in compete(replace(NOISY, criterion=criterion)):
        curve = entrant.curve
        assert curve is not None
        scores = curve.more[criterion]
        if np.isfinite(scores).any():
            assert scores[curve.best] == np.nanmin(scores)


def test_without_noise_one_seed_is_enough():
    assert (STILL.heats, NOISY.heats) == (1, 5)
    assert compete(replace(STILL, seeds=20)) is not None
    first, second = compete(STILL)[0], compete(replace(STILL, seeds=20))[0]
    assert first.curve is not None
    assert second.curve is not None
    np.testing.assert_array_equal(first.curve.height, second.curve.height)


def test_everyone_has_the_same_budget():
    race = replace(NOISY, optimizers=(*NOISY.optimizers, *OWN_STEP), budget=12)
    assert race.tried == 12 * 5 * 60
    assert race.total == 3 * race.tried  # Newton and L-BFGS try nothing
    entrants = compete(race)
    for entrant in entrants:
        if entrant.name in OWN_STEP:
            assert entrant.curve is None
            assert entrant.rate is None
            assert entrant.number("width") is None
        else:
            assert entrant.curve is not None
            assert (entrant.curve.rates[0], entrant.curve.rates[-1]) == (race.low, race.high)
            np.testing.assert_array_equal(entrant.curve.rates, race.rates)


def test_newton_needs_one_step_on_a_valley():
    entrants = {one.name: one for one in compete(replace(STILL, optimizers=("sgd", "newton")))}
    assert entrants["newton"].number("steps") == 1
    assert (entrants["sgd"].number("steps") or 0) > 1


def test_one_rate_for_all_is_that_rate_and_leaves_the_tries_alone():
    own = compete(NOISY)
    same = compete(replace(NOISY, same=True, lr=0.03))
    for before, after in zip(own, same, strict=True):
        assert after.rate == 0.03
        assert before.curve is after.curve  # kept, not computed again
        assert after.course is not None
        runs = [loss_above(NOISY, after.name, 0.03, seed)[-1] for seed in (10, 11, 12, 13, 14)]
        assert after.course.numbers["final"] == pytest.approx(np.median(runs), rel=1e-8)


def test_whose_every_try_diverges_does_not_race():
    race = FairRace(STILL.on, ("sgd", "adam"), low=10.0, high=100.0, budget=4)
    sgd, adam = compete(race)
    assert sgd.curve is not None
    assert set(sgd.curve.shapes) == {"diverged"}
    assert (sgd.rate, sgd.course) == (None, None)
    assert adam.course is not None
    assert set(places(race, [sgd, adam], "final")) == {"adam"}
    assert race_record(race, [sgd, adam])["figure"]["data"]
    assert "inf" not in str(tries_record(race, [sgd, adam], ["adam", "sgd"])["figure"]["layout"])


def test_a_shared_rate_at_which_some_diverge_puts_them_last():
    race = replace(STILL, same=True, lr=1.0)
    entrants = compete(race)
    numbers = {one.name: one.number("final") for one in entrants}
    assert numbers["sgd"] == math.inf
    ranks = places(race, entrants, "final")
    assert ranks["adam"] < ranks["sgd"] == ranks["momentum"]
    assert race_record(race, entrants)["figure"]["layout"]["yaxis"]["range"][1] < 3


# Places --------------------------------------------------------------------------------------------------------------


def made(**finals: float) -> list[Entrant]:
    """Entrants that have only numbers."""
    blank = np.zeros(1)
    return [
        Entrant(key, None, 0.1, Course(blank, np.zeros((3, 1)), dict.fromkeys(CHOOSING, x), 0))
        for key, x in finals.items()
    ]


def test_equals_share_a_place_and_what_is_rounding_is_equal():
    entrants = made(sgd=1e-13, adam=1e-20, lion=0.0, rmsprop=2e-12, nadam=math.inf)
    assert places(STILL, entrants, "final") == {"sgd": 1, "adam": 1, "lion": 1, "rmsprop": 4, "nadam": 5}
    assert places(STILL, entrants, "steps") == {"lion": 1, "adam": 2, "sgd": 3, "rmsprop": 4, "nadam": 5}
    assert places(STILL, entrants, "width") == {}


def test_of_the_good_range_more_is_better():
    entrants = compete(NOISY)
    ranks = places(NOISY, entrants, "width")
    widths = {one.name: one.curve.decades for one in entrants if one.curve}
    assert ranks[max(widths, key=lambda key: widths[key])] == 1


def test_the_sentence_names_who_is_first_by_what():
    agree = made(sgd=1.0, adam=2.0)
    assert disagreement(STILL, agree) == (
        "The criteria agree: SGD is first by final loss, best loss, steps to tolerance and mean loss. "
        "Nobody can be ranked by good range."
    )
    course = agree[1].course
    assert course is not None
    split = [agree[0], agree[1]._replace(course=course._replace(numbers={**course.numbers, "mean": 0.5}))]
    assert "SGD is first by final loss, best loss and steps" in disagreement(STILL, split)
    assert "Adam is first by mean loss" in disagreement(STILL, split)
    tied = disagreement(STILL, made(sgd=0.0, adam=0.0, lion=0.0, nadam=0.0))
    assert "4 share the first place by" in tied
    assert "Nobody can be ranked by final loss" in disagreement(STILL, made(sgd=math.inf, adam=math.inf))
    assert firsts(STILL, made(sgd=math.inf, adam=math.inf))["final"] == []


def test_exchanged_counts_pairs_whose_order_is_reversed():
    first = {"sgd": 1, "adam": 2, "lion": 3}
    assert exchanged(first, first) == (0, 3)
    assert exchanged(first, {"sgd": 3, "adam": 2, "lion": 1}) == (3, 3)
    assert exchanged(first, {"sgd": 1, "adam": 1, "lion": 1}) == (0, 3)
    assert exchanged(first, {"sgd": 2, "adam": 1}) == (1, 1)
    assert compared(first, {"sgd": 3, "adam": 1, "lion": 2}, 0.01, "mean") == (
        "With η = 0.01 for all instead of each at its own best, 2 of 3 pairs change order by mean loss; "
        "SGD goes from place 1 to 3."
    )
    assert compared(first, first, 0.01, "final").endswith("0 of 3 pairs change order by final loss.")


def test_one_rate_for_all_changes_the_order():
    race = replace(NOISY_VALLEY, optimizers=MANY)
    own, same = compete(race), compete(replace(race, same=True))
    changed, pairs = exchanged(*(places(race, found, "final") for found in (own, same)))
    assert pairs == 9 * 8 // 2
    assert changed > 0.25 * pairs
    assert len({tuple(keys) for keys in firsts(race, own).values()}) >= 2  # the criteria disagree


# Nothing compiles ----------------------------------------------------------------------------------------------------


def test_no_slider_compiles_anything(compilations):
    compete(NOISY)
    before = compilations()
    for changed in (
        replace(NOISY, budget=4),
        replace(NOISY, seeds=2, budget=25),
        replace(NOISY, low=1e-6, high=1e-2),
        replace(NOISY, same=True, lr=0.5),
        *(
            replace(NOISY, on=replace(NOISY.on, **change))
            for change in ({"steps": 333}, {"noise": 0.0}, {"l2": 0.1}, {"seed": 9}, {"tolerance": 1e-3},
                           {"start": (1.0, -1.0)}, {"surface": Pick("valley", {"kappa": 7.0, "rotation": 30.0})})
        ),
    ):  # fmt: skip
        assert len(compete(changed)) == 3
    assert compilations() == before


# What cannot be ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"low": 1.0, "high": 0.1}, "below the largest"),
        ({"budget": 1}, "budget must be"),
        ({"budget": 61}, "budget must be"),
        ({"seeds": 0}, "seeds must be"),
        ({"criterion": "luck"}, "criterion must be"),
        ({"lr": -1.0}, "lr must be"),
        ({"optimizers": ("sgd",)}, "at least two"),
        ({"optimizers": ("sgd", "nobody")}, "no optimizer"),
        ({"on": Experiment(Pick("saddle"))}, "no known minimum"),
        ({"on": Experiment(Pick("sphere"), (Racer(Pick("sgd")),))}, "instead of racers"),
    ],
)
def test_what_cannot_be_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        replace(NOISY, **wrong)


def test_by_default_every_first_order_rule_races():
    assert NOISY_VALLEY.optimizers == FIRST_ORDER
    assert set(FIRST_ORDER) | set(OWN_STEP) == set(OPTIMIZERS)


def test_the_largest_request_is_bounded():
    """Runs × steps over all, with everything at its most."""
    most = replace(
        NOISY, optimizers=tuple(OPTIMIZERS), budget=60, seeds=31, on=replace(NOISY.on, steps=5000), low=1e-12, high=1e6
    )
    assert most.total < 2e8


# The claims ----------------------------------------------------------------------------------------------------------


def measured(key: str, **changes):
    claim = CLAIMS[key]
    race = replace(claim.race, **changes)
    return claim.measure(race, compete(race))


def test_A9_adagrad_goes_on_calming_where_there_is_noise():
    found = measured("A9")
    assert found is not None
    assert found.holds
    assert found.numbers["kept"] == pytest.approx(math.sqrt(0.5), abs=0.04)  # as 1/√t leaves
    assert found.numbers["kept_quiet"] > 0.99
    assert found.numbers["adagrad"] < 0.5 * found.numbers["sgd"]
    assert found.numbers["rate_quiet"] > 5 * found.numbers["rate"]


def test_A10_a_turn_spoils_equal_progress_whatever_the_rate():
    found = measured("A10")
    assert found is not None
    assert found.holds
    assert found.numbers["even"] == pytest.approx(1, abs=0.05)
    assert found.numbers["even_turned"] < 0.1
    assert found.numbers["rmsprop_turned"] > 10 * found.numbers["rmsprop"]
    assert found.numbers["sgd"] == found.numbers["sgd_turned"]  # a rule without axes does not notice
    rate, turned = found.numbers["rate"], found.numbers["rate_turned"]
    frame = np.array([[math.sqrt(0.5), -math.sqrt(0.5)], [math.sqrt(0.5), math.sqrt(0.5)]])
    for lr, rotation, start, steps in (
        (rate, 0.0, (-1.5, 1.5), found.numbers["rmsprop"]),
        (turned, 45.0, tuple(frame @ (-1.5, 1.5)), found.numbers["rmsprop_turned"]),
    ):
        values = {"kappa": 100.0, "rotation": rotation}
        run = optviz.trace("valley", "rmsprop", steps=300, start=start, surface_values=values, lr=lr)
        assert _settled(run.loss, 1e-3) == pytest.approx(steps, abs=5)  # turned, rounding of the start shows


def test_A11_adam_overshoots_less_than_momentum_each_at_its_best():
    found = measured("A11")
    assert found is not None
    assert found.holds
    assert found.numbers["adam"] < 0.5 * found.numbers["ball"]
    assert found.numbers["sgd_steps"] < min(found.numbers["adam_steps"], found.numbers["ball_steps"])  # as it says
    run = optviz.trace("valley", "momentum", steps=300, start=(-1.8, 1.0), surface_values={"kappa": 25.0},
                       lr=found.numbers["ball_rate"])  # fmt: skip
    assert found.numbers["ball"] == pytest.approx(max((-run.theta / run.theta[0]).max(), 0.0))


def test_a_claim_says_so_where_it_does_not_hold():
    short = measured("A9", on=replace(CLAIMS["A9"].race.on, steps=10))
    assert short is not None
    assert short.holds is False
    assert "does not hold" in short.sentence
    turned = Pick("valley", {"kappa": 100.0, "rotation": 45.0})
    away = measured("A10", on=replace(CLAIMS["A10"].race.on, surface=turned))
    assert away is not None
    assert away.holds is False


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_is_not_measured_where_it_is_not_about_it(key):
    claim, there = CLAIMS[key], made(**dict.fromkeys(CLAIMS[key].race.optimizers, 1.0))
    race = claim.race
    for other in (
        replace(race, same=True),
        *(
            replace(race, on=replace(race.on, **change))
            for change in ({"l2": 0.1}, {"surface": Pick("sphere")}, {"noise": 0.0 if race.on.noise else 0.5})
        ),
    ):
        assert claim.measure(other, there) is None
    assert claim.measure(race, [one for one in there if one.name not in claim.needs]) is None


# Links and pictures --------------------------------------------------------------------------------------------------

LEVEL = [key for key, entry in SURFACES.items() if entry.minima_at({})]
races = st.builds(
    lambda on, optimizers, chosen, low, high, more: FairRace(
        on, tuple(optimizers), tuple(chosen), low=low, high=high, **more
    ),
    st.builds(Experiment, st.sampled_from(LEVEL).map(Pick), steps=st.integers(1, 5000), noise=st.floats(0, 10)),
    st.lists(st.sampled_from(list(OPTIMIZERS)), min_size=2, max_size=5, unique=True),
    st.lists(st.sampled_from(list(OPTIMIZERS)), max_size=3),
    st.floats(1e-12, 1e-3),
    st.floats(1e-2, 1e6),
    some_of({name: param for name, param in SETTINGS.items() if name not in ("low", "high")}),
)


@given(race=races)
def test_a_link_opens_what_it_was_made_from(race):
    address = urlencode(to_query(race, NOISY_VALLEY), doseq=True)  # as it travels
    assert from_query(parse_qs(address), NOISY_VALLEY) == (race, [])


def test_the_default_needs_no_field():
    assert to_query(NOISY_VALLEY, NOISY_VALLEY) == {}


@pytest.mark.parametrize(
    "field",
    [{"budget": ["9000"]}, {"low": ["0"]}, {"optimizers": ["sgd"]}, {"chosen": ["adam"], "seeds": ["x"]},
     {"criterion": ["luck"]}, {"surface": ["saddle"]}, {"racer": ["sgd"]}, {"nothing": ["1"]}, {"low": ["100"]}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_read_costs_a_sentence_and_nothing_else(field):
    race, messages = from_query({**field, "high": ["7"]}, NOISY_VALLEY)
    assert len(messages) == 1
    assert race.high == 7
    assert race.optimizers == NOISY_VALLEY.optimizers


@given(
    st.dictionaries(
        st.sampled_from(["budget", "low", "optimizers", "chosen", "same", "criterion", "surface", "lr"]),
        st.lists(st.text(max_size=20), max_size=2),
        max_size=5,
    )
)
def test_nonsense_never_raises(query):
    assert isinstance(from_query(query, NOISY_VALLEY)[0], FairRace)


def test_every_try_has_its_place_in_its_lane():
    race = replace(NOISY, chosen=())
    entrants = compete(race)
    order = ["adam", "sgd", "momentum"]
    data = tries_record(race, entrants, order)["figure"]["data"]
    for index, entrant in enumerate(entrants):
        base = 2 - order.index(entrant.name)
        line, *rest = [trace for trace in data if trace["meta"] == index]
        for i in range(race.budget):
            spots = [trace["y"][i] for trace in (line, *rest) if trace["y"][i] is not None]
            assert len(spots) == 1
            assert base <= spots[0] < base + 1
        (star,) = [trace for trace in data if trace["meta"] == f"best {index}"]
        assert star["x"] == [entrant.rate]
        assert entrant.curve is not None
        known = [y for y in line["y"] if y is not None]
        assert star["y"] == [min(known)]


def test_bands_belong_to_those_in_view_and_to_noise():
    def bands(race: FairRace) -> int:
        record = race_record(race, compete(race))
        return sum(trace.get("fill") == "toself" for trace in record["figure"]["data"])

    assert bands(NOISY) == 3
    assert bands(replace(NOISY, chosen=("adam",))) == 1
    assert bands(STILL) == 0
    assert bands(replace(NOISY_VALLEY, optimizers=MANY, chosen=())) == 0  # they would cover one another
    assert len(MANY) > BANDS_AT_MOST


def test_the_pictures_say_in_words_what_they_show():
    entrants = compete(STILL)
    assert "Adam (η = 0.1" in race_record(STILL, entrants)["alt"]
    assert "all at η = 0.01" in race_record(replace(STILL, same=True), entrants)["alt"]
    assert "9 learning rates" in tries_record(STILL, entrants, list(STILL.optimizers))["alt"]
    assert set(CRITERIA) == {*CHOOSING, "width"}
