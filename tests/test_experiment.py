"""An experiment is a value: equal where it means the same, refused where it means nothing, and run."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import optviz
from optviz.experiment import (
    PINS_AT_MOST,
    RACERS_AT_MOST,
    SETTINGS,
    Experiment,
    Pick,
    Racer,
    labels,
    run,
)
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.surfaces import SURFACES
from strategies import experiments

SGD = Racer(Pick("sgd", {"lr": 0.11}))  # a rate at which no slider stops, so that nobody tuned it
ADAM = Racer(Pick("adam", {"lr": 0.11}))
SHORT: Any = (1.0,)  # no points of the plane, whatever their type says
LONG: Any = (1.0, 2.0, 3.0)
BOWL = Experiment(Pick("sphere"), racers=(SGD, ADAM), steps=50)


# Equal where it means the same ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", SURFACES)
def test_a_surfaces_defaults_may_be_left_out(key):
    entry = SURFACES[key]
    assert Experiment(Pick(key, entry.defaults), start=entry.starts[0]) == Experiment(Pick(key))


@pytest.mark.parametrize("key", OPTIMIZERS)
def test_an_optimizers_defaults_may_be_left_out(key):
    assert Racer(Pick(key, OPTIMIZERS[key].defaults)) == Racer(Pick(key))


@pytest.mark.parametrize("key", SCHEDULES)
def test_a_schedules_defaults_may_be_left_out(key):
    explicit = Racer(Pick("sgd"), {"lr": Pick(key, SCHEDULES[key].defaults)})
    assert explicit == Racer(Pick("sgd"), {"lr": Pick(key)})
    assert hash(explicit) == hash(Racer(Pick("sgd"), {"lr": Pick(key)}))


def test_both_places_that_name_a_settings_default_agree():
    """The dataclass's fields and the declarations of the sliders."""
    for name, param in SETTINGS.items():
        assert getattr(Experiment(Pick("sphere")), name) == param.default


def test_order_and_type_of_the_given_values_do_not_matter():
    one = Racer(Pick("adam", {"lr": 1, "beta1": 0.5}), {"lr": Pick("cosine"), "beta1": Pick("linear")})
    other = Racer(Pick("adam", {"beta1": np.float64(0.5), "lr": 1.0}), {"beta1": Pick("linear"), "lr": Pick("cosine")})
    assert one == other
    assert Experiment(Pick("sphere"), start=(1, np.float64(2))) == Experiment(Pick("sphere"), start=(1.0, 2.0))


@settings(max_examples=25)
@given(experiments())
def test_any_experiment_hashes_and_is_made_again_from_its_own_fields(experiment):
    again = Experiment(**{field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)})
    assert again == experiment
    assert hash(again) == hash(experiment)
    assert dataclasses.replace(experiment) == experiment


def test_it_cannot_be_changed():
    bowl: Any = BOWL
    with pytest.raises(dataclasses.FrozenInstanceError):
        bowl.steps = 10


# Refused where it means nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "allowed"),
    [
        (lambda: Experiment(Pick("spher")), "did you mean sphere"),
        (lambda: Experiment(Pick("valley", {"kappa": -1.0})), r"kappa must be a number in \(0, inf\)"),
        (lambda: Experiment(Pick("sphere", {"kappa": 1.0})), "no parameters"),
        (lambda: Experiment(Pick("sphere"), start=SHORT), "two numbers"),
        (lambda: Experiment(Pick("sphere"), start=LONG), "two numbers"),
        (lambda: Experiment(Pick("sphere"), start=(math.nan, 0.0)), "start must be a number"),
        (lambda: Experiment(Pick("sphere"), start=(0.0, 1e7)), "start must be a number"),
        (lambda: Experiment(Pick("sphere"), steps=0), r"steps must be a whole number in \[1, 5000\]"),
        (lambda: Experiment(Pick("sphere"), noise=-0.1), r"noise must be a number in \[0, inf\)"),
        (lambda: Experiment(Pick("sphere"), tolerance=0.0), r"tolerance must be a number in \(0, inf\)"),
        (lambda: Experiment(Pick("sphere"), seed=-1), "seed must be a whole number"),
        (lambda: Experiment(Pick("sphere"), racers=(SGD,) * (RACERS_AT_MOST + 1)), f"at most {RACERS_AT_MOST} racers"),
        (lambda: dataclasses.replace(BOWL, pins=(BOWL,)), "a pin must be an experiment of one racer"),
        (
            lambda: dataclasses.replace(BOWL, pins=(Experiment(Pick("sphere"), (SGD,)),) * (PINS_AT_MOST + 1)),
            f"at most {PINS_AT_MOST} pins",
        ),
        (lambda: Racer(Pick("adamm")), "did you mean adam"),
        (lambda: Racer(Pick("adam", {"lr": -1.0})), r"lr must be a number in \[0, inf\)"),
        (lambda: Racer(Pick("adam", {"momentum": 0.9})), "adam has no parameter 'momentum'; it has lr, beta1"),
        (lambda: Racer(Pick("adam"), {"lr": Pick("cosin")}), "did you mean cosine"),
        (lambda: Racer(Pick("adam"), {"lr": Pick("cosine", {"final": 2.0})}), r"final must be a number in \[0, 1\]"),
        (lambda: Racer(Pick("adam"), {"amsgrad": Pick("cosine")}), "it can schedule lr, beta1, beta2, eps"),
        (lambda: Racer(Pick("lbfgs"), {"memory": Pick("cosine")}), "it can schedule lr$"),
    ],
)
def test_it_is_refused_with_what_is_allowed(make, allowed):
    with pytest.raises(ValueError, match=allowed):
        make()


def test_on_another_surface_the_race_starts_where_that_surface_begins():
    moved = dataclasses.replace(BOWL, start=(1.0, 1.0)).on(Pick("rosenbrock"))
    assert moved.start == SURFACES["rosenbrock"].starts[0]
    assert moved.racers == BOWL.racers


@pytest.mark.parametrize("key", OPTIMIZERS)
def test_a_tuned_rate_follows_the_surface_and_a_chosen_one_stays(key):
    tuned, chosen = Racer.tuned(key, "sphere"), Racer(Pick(key, {"lr": 0.123}))
    assert not chosen.tuned_to("sphere")
    race = Experiment(Pick("sphere"), (tuned, chosen))
    moved = race.on(Pick("rosenbrock"))
    assert moved.racers == (Racer.tuned(key, "rosenbrock"), chosen)
    assert moved.on(Pick("sphere")) == race


def test_a_racer_can_be_exchanged_or_taken_out():
    lion = Racer(Pick("lion"))
    assert BOWL.with_racer(1, lion).racers == (SGD, lion)
    assert BOWL.with_racer(0, None).racers == (ADAM,)


# Labels --------------------------------------------------------------------------------------------------------------


def test_a_label_is_the_title_while_that_is_enough():
    assert labels([SGD, ADAM]) == ["SGD", "Adam"]
    assert labels([]) == []


def test_labels_name_what_differs():
    slow = Racer(Pick("sgd", {"lr": 0.01}))
    heavy = Racer(Pick("sgd", {"lr": 0.11, "momentum": 0.9}))
    assert labels([SGD, slow]) == ["SGD (η 0.11)", "SGD (η 0.01)"]
    assert labels([SGD, ADAM, slow, heavy]) == ["SGD (η 0.11, ρ 0)", "Adam", "SGD (η 0.01, ρ 0)", "SGD (η 0.11, ρ 0.9)"]
    assert labels([SGD, Racer(SGD.optimizer, {"lr": Pick("cosine")})]) == ["SGD (no schedule)", "SGD (cosine)"]


def test_racers_that_do_not_differ_are_numbered():
    assert labels([SGD, ADAM, SGD]) == ["SGD #1", "Adam", "SGD #2"]


@settings(max_examples=25)
@given(experiments())
def test_no_two_racers_have_the_same_label(experiment):
    names = labels(experiment.racers)
    assert len(set(names)) == len(names) == len(experiment.racers)


# Runs ----------------------------------------------------------------------------------------------------------------


def test_a_run_is_what_trace_gives():
    runs = run(BOWL)
    assert [one.label for one in runs] == ["SGD", "Adam"]
    assert [one.racer for one in runs] == [SGD, ADAM]
    for one, key in zip(runs, ("sgd", "adam"), strict=True):
        expected = optviz.trace("sphere", key, steps=50, lr=0.11)
        np.testing.assert_array_equal(one.trajectory.theta, expected.theta)
        np.testing.assert_array_equal(one.trajectory.loss, expected.loss)
        assert not one.ghost


def test_moving_one_racer_leaves_the_others_runs_as_they_are():
    """The same objects, not equal ones: nothing was computed again."""
    before = run(BOWL)
    after = run(BOWL.with_racer(0, Racer(Pick("sgd", {"lr": 0.2}))))
    assert after[0].trajectory is not before[0].trajectory
    assert after[1].trajectory is before[1].trajectory


def test_every_condition_reaches_the_run():
    """Each one changes the path, so none is forgotten on the way."""
    noisy = Experiment(Pick("valley"), (Racer(Pick("sgd", {"lr": 0.03})),), noise=0.1)
    path = run(noisy)[0].trajectory.theta
    for change in (
        {"noise": 0.2},
        {"l2": 0.5},
        {"seed": 1},
        {"start": (1.0, 1.0)},
        {"surface": Pick("valley", {"kappa": 30.0})},
        {"racers": (Racer(Pick("sgd", {"lr": 0.11})),)},
    ):
        assert not np.array_equal(run(dataclasses.replace(noisy, **change))[0].trajectory.theta, path), change
    shorter = run(dataclasses.replace(noisy, steps=99))[0].trajectory
    np.testing.assert_array_equal(shorter.theta, path[:100])
    assert run(dataclasses.replace(BOWL, tolerance=1.0))[0].outcome.arrived != run(BOWL)[0].outcome.arrived


def test_a_schedule_reaches_the_run():
    scheduled = Experiment(Pick("sphere"), (Racer(Pick("sgd", {"lr": 0.1}), {"lr": Pick("linear")}),), steps=50)
    np.testing.assert_allclose(run(scheduled)[0].trajectory.lr, 0.1 * (1 - np.arange(50) / 50))


def test_a_diverging_run_is_returned():
    wild = run(Experiment(Pick("rosenbrock"), (Racer(Pick("sgd", {"lr": 1.0})),)))[0]
    assert wild.trajectory.theta.shape == (501, 2)
    assert not np.isfinite(wild.trajectory.theta[-1]).all()
    assert wild.outcome.state == "diverged"


# Pins ----------------------------------------------------------------------------------------------------------------


def test_a_pin_runs_as_it_ran_when_it_was_pinned():
    """Whatever is changed afterwards: racers, start, steps, noise, tolerance, and the surface's own parameters."""
    first = Experiment(Pick("valley", {"kappa": 10.0}), (SGD, ADAM), start=(1.0, 1.0), steps=40, noise=0.1, seed=3)
    pinned = first.pinned(0)
    assert pinned.racers == first.racers
    later = dataclasses.replace(
        pinned, surface=Pick("valley"), racers=(ADAM,), start=(0.5, 0.5), steps=60, noise=0.0, tolerance=0.1
    )
    *_, ghost = run(later)
    assert (ghost.label, ghost.ghost, ghost.racer) == (
        "SGD (pinned, κ 10, T 40, σ 0.1, another start)",
        True,
        SGD,
    )
    assert ghost.trajectory is run(first)[0].trajectory
    assert ghost.outcome == run(first)[0].outcome


def test_a_pin_is_not_shown_on_another_surface_but_kept():
    pinned = BOWL.pinned(1)
    moved = pinned.on(Pick("valley"))
    assert [one.ghost for one in run(moved)] == [False, False]
    assert [one.ghost for one in run(moved.on(BOWL.surface))] == [False, False, True]


def test_the_same_run_is_pinned_once_and_the_oldest_pin_gives_way():
    assert BOWL.pinned(0).pinned(0) == BOWL.pinned(0)
    experiment = BOWL
    for i in range(PINS_AT_MOST + 2):
        experiment = experiment.with_racer(0, Racer(Pick("sgd", {"lr": 0.01 * (i + 1)}))).pinned(0)
    assert [pin.racers[0].values["lr"] for pin in experiment.pins] == [
        pytest.approx(0.01 * (i + 1)) for i in range(2, PINS_AT_MOST + 2)
    ]


def test_several_pins_of_one_optimizer_are_told_apart():
    experiment = BOWL.pinned(0).with_racer(0, Racer(Pick("sgd", {"lr": 0.2}))).pinned(0)
    assert [one.label for one in run(experiment) if one.ghost] == ["SGD (η 0.11) (pinned)", "SGD (η 0.2) (pinned)"]


# From Python ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, -1, 2.5, math.inf, "50", None, True])
def test_trace_and_schedule_refuse_a_number_of_steps_that_is_none(steps):
    with pytest.raises(ValueError, match="steps must be a whole number"):
        optviz.trace("sphere", "sgd", steps=steps)
    with pytest.raises(ValueError, match="steps must be a whole number"):
        optviz.schedule("cosine", steps=steps, lr=0.1)


@pytest.mark.parametrize("start", [(1.0,), (1.0, 2.0, 3.0), ((1.0, 2.0),), (math.inf, 0.0), ("a", "b")])
def test_trace_refuses_a_start_that_is_no_point(start):
    with pytest.raises(ValueError):  # noqa: PT011  (NumPy words the last one)
        optviz.trace("sphere", "sgd", steps=10, start=start)
