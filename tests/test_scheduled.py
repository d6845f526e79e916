"""Runs that differ in their schedules: who runs on either kind of problem, courses against the runs themselves, and
formulas with numbers."""

import re

import numpy as np
import pytest

import optviz
from optviz.experiment import Experiment, Pick, Racer
from optviz.scheduled import (
    LR,
    POINTS_AT_MOST,
    alike,
    carried,
    course,
    course_steps,
    cycling_momentum,
    exchanged,
    for_all,
    latex_number,
    racers_of,
    scheduled,
    substituted,
    titles,
    with_numbers,
    with_optimizer,
    with_racers,
    without,
)
from optviz.schedules import SCHEDULES
from optviz.training import Configuration, Net, Training
from optviz.tuning import tuned_lr_network

SGD = Racer(Pick("sgd", {"lr": 0.1, "momentum": 0.9}))
COSINE = scheduled(SGD, LR, Pick("cosine"))
CYCLE = scheduled(SGD, LR, Pick("one_cycle"))
RACE = Experiment(Pick("valley"), (SGD, COSINE, CYCLE), steps=60)
NETWORK = Training(
    Pick("moons"), (Configuration(Net(hidden=(4,)), SGD), Configuration(Net(hidden=(8,)), COSINE)), epochs=2
)
BOTH = pytest.mark.parametrize("runs", [RACE, NETWORK], ids=["surface", "network"])


# Who runs ------------------------------------------------------------------------------------------------------------


@BOTH
def test_racers_are_exchanged_added_and_removed(runs):
    racers = racers_of(runs)
    assert racers_of(exchanged(runs, 1, CYCLE)) == (racers[0], CYCLE, *racers[2:])
    assert racers_of(with_racers(runs, (*racers, CYCLE))) == (*racers, CYCLE)
    assert racers_of(without(runs, 0)) == racers[1:]
    assert racers_of(for_all(runs, lambda one: one.but(lr=0.3))) == tuple(one.but(lr=0.3) for one in racers)


def test_a_network_keeps_its_place_and_goes_with_its_racer():
    def nets(training: Experiment | Training) -> list[tuple[int, ...]]:
        assert isinstance(training, Training)
        return [one.net.hidden for one in training.configurations]

    assert nets(exchanged(NETWORK, 0, CYCLE)) == [(4,), (8,)]
    assert nets(with_racers(NETWORK, (SGD, COSINE, CYCLE))) == [(4,), (8,), (8,)]
    assert nets(without(NETWORK, 0)) == [(8,)]


@BOTH
def test_runs_are_alike_if_only_schedules_differ(runs):
    assert alike(runs)
    assert not alike(exchanged(runs, 0, SGD.but(momentum=0.5)))


def test_another_optimizer_keeps_what_it_can_schedule():
    cycling = cycling_momentum(CYCLE)
    assert dict(with_optimizer(cycling, Pick("adam")).schedules) == {
        LR: Pick("one_cycle"),
        "beta1": Pick("one_cycle_momentum"),
    }
    assert dict(with_optimizer(cycling, Pick("adagrad")).schedules) == {LR: Pick("one_cycle")}


def test_the_momentum_s_cycle_mirrors_the_rate_s():
    cycle = scheduled(SGD, LR, Pick("one_cycle", {"rise": 0.4, "phases": "three", "div": 10.0}))
    racer = cycling_momentum(cycle)
    assert dict(racer.schedules)["momentum"] == Pick("one_cycle_momentum", {"rise": 0.4, "phases": "three"})
    rate, momentum = course(racer, LR, 200), course(racer, "momentum", 200)
    assert rate is not None
    assert momentum is not None
    assert rate.argmax() == momentum.argmin()


@pytest.mark.parametrize(
    ("racer", "sentence"),
    [(COSINE, "belongs to a learning rate"), (with_optimizer(CYCLE, Pick("adagrad")), "has no momentum")],
)
def test_a_momentum_that_cannot_cycle_gets_a_sentence(racer, sentence):
    with pytest.raises(ValueError, match=sentence):
        cycling_momentum(racer)


def test_schedules_are_carried_to_another_kind_of_problem_with_rates_that_suit_it():
    there = carried(RACE, NETWORK)
    assert isinstance(there, Training)
    assert [one.schedules for one in racers_of(there)] == [one.schedules for one in RACE.racers]
    assert {one.values[LR] for one in racers_of(there)} == {0.1}  # the one that SGD has there
    adam = for_all(RACE, lambda one: with_optimizer(one, Pick("adam")))
    assert {one.values[LR] for one in racers_of(carried(adam, NETWORK))} == {tuned_lr_network("adam")}
    back = carried(there, RACE)
    assert back == RACE


# What they are called ------------------------------------------------------------------------------------------------


def test_a_run_is_called_by_its_schedules():
    runs = with_racers(RACE, (SGD, COSINE, cycling_momentum(CYCLE), scheduled(COSINE, "dampening", Pick("linear"))))
    assert titles(runs) == ["Constant", "Cosine", "One cycle + momentum", "Cosine + τ: linear decay"]


def test_twins_are_told_apart_by_what_differs():
    drops = [scheduled(SGD, LR, Pick("step_decay", {"every": every})) for every in (50, 20)]
    assert titles(with_racers(RACE, tuple(drops))) == ["Step decay (s 50)", "Step decay (s 20)"]
    assert titles(with_racers(RACE, (SGD, SGD.but(lr=0.2)))) == ["Constant (η 0.1)", "Constant (η 0.2)"]
    assert titles(with_racers(RACE, (SGD, SGD))) == ["Constant #1", "Constant #2"]
    adam = with_optimizer(COSINE, Pick("adam"))
    assert titles(with_racers(RACE, (COSINE, adam))) == ["SGD: Cosine", "Adam: Cosine"]


# What a schedule will do ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", SCHEDULES)
def test_a_course_is_what_the_run_does(key):
    name = "momentum" if key == "one_cycle_momentum" else LR
    racer = scheduled(SGD, name, Pick(key, {"warmup": 7}))
    planned = course(racer, name, 90)
    if SCHEDULES[key].slots:
        assert planned is None
        return
    assert planned is not None
    path = optviz.trace("sphere", "sgd", steps=90, lr=0.1, momentum=0.9, schedules=dict(racer.schedules))
    np.testing.assert_allclose(planned, path.scheduled[name], rtol=1e-15, atol=1e-16)  # of a peak of 0.1


def test_a_course_of_what_stands_still():
    np.testing.assert_array_equal(course(COSINE, "momentum", 3), [0.9] * 3)


@pytest.mark.parametrize("steps", [1, 2, POINTS_AT_MOST, POINTS_AT_MOST + 1, 2_000_000])
def test_a_course_is_bounded_and_has_both_ends(steps):
    at = course_steps(steps)
    assert len(at) == min(steps, POINTS_AT_MOST)
    assert at[0] == 0
    assert at[-1] == steps - 1
    assert (np.diff(at) > 0).all()
    planned = course(COSINE, LR, steps)
    assert planned is not None
    np.testing.assert_allclose(planned, 0.05 * (1 + np.cos(np.pi * at / steps)), atol=1e-15)


def test_no_slider_of_a_schedule_compiles_a_course_anew(compilations):
    racer = scheduled(SGD, LR, Pick("sgdr"))
    course(racer, LR, 100)
    before = compilations()
    for param in SCHEDULES["sgdr"].params:
        for value in (param.stops()[0], param.stops()[-1]):
            course(scheduled(SGD, LR, Pick("sgdr", {param.name: value})), LR, 300)
    assert compilations() == before


# Formulas with numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pick", "numbers"),
    [
        (Pick("step_decay"), r"\eta_t = {0.1}\cdot{0.5}^{\lfloor t/{100} \rfloor}"),
        (Pick("exponential"), r"\eta_t = {0.1}\,e^{-{0.01}t}"),
        (Pick("cosine", {"warmup": 20}), r"\tfrac12\left(1 + \cos(\pi t/{480})\right)"),
        (Pick("sgdr"), r"T_i = {50}\cdot{2}^{\,i}"),
        (Pick("one_cycle"), r"\tfrac{{0.1}}{{25}\cdot{10^{4}}}"),
        (Pick("range_test"), r"{(10^{-5})}^{\,1 - t/({500}-1)}"),
        (Pick("bold_driver"), r"\begin{cases}\min({1.05}\,\eta_{t-1}, {0.1}) & \text{if the loss has decreased}"),
    ],
)
def test_a_formula_shows_the_numbers_of_its_run(pick, numbers):
    assert numbers in with_numbers(scheduled(SGD, LR, pick), LR, 500)


@pytest.mark.parametrize("key", SCHEDULES)
def test_a_formula_with_numbers_is_still_latex(key):
    name = "momentum" if key == "one_cycle_momentum" else LR
    text = with_numbers(scheduled(SGD, name, Pick(key)), name, 500)
    assert text.count("{") == text.count("}")
    assert not re.search("[⟦⟧]", text)
    assert re.search(r"\{0\.[19]\}", text)  # the peak


def test_letters_are_whole_letters():
    letters = {"s": 3.0, r"\eta": 0.5, "T": 9.0, "T_0": 2.0, "d'": 7.0}
    assert substituted(r"\sin s + \eta_t + T_i + T_0 + d' \text{s}", letters) == (
        r"\sin {3} + \eta_t + T_i + {2} + {7} \text{s}"
    )


def test_numbers_as_latex():
    assert latex_number(0.25) == "0.25"
    assert latex_number(1e-6) == "10^{-6}"
    assert latex_number(-2.5e-7) == r"(-2.5\times 10^{-7})"
