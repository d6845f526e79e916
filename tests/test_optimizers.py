"""Every optimizer against references that are not ours, and the promises that the catalogue makes about all of them.

Tests run over the catalogue: a new optimizer has to be added to `references.REFERENCES`, and to nothing else. The
reference surfaces are the real ones, brought together in one surface with a traced selector, so that each optimizer
is compiled once for all of them: a compilation takes a thousand times as long as a run.

Where rounding alone decides where a path goes, no two programs agree. chaotic.json lists those settings, with what was
measured: `moved`, how far random rounding moved the reference within 100 steps, and `until`, the first row of the path
that it moved by more than 1e-13. It is written by `PYTHONPATH=. python tests/test_optimizers.py`.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optviz
import references
from optviz import OPTIMIZERS, SCHEDULES, SURFACES, Pick
from optviz.descent import LONGEST, Recorder, Rule, Trajectory, descend, rule, schedulable
from optviz.experiment import L2, NOISE, SEED
from optviz.problems import Problem, from_surface
from optviz.spec import Catalogue, Entry, Param, Source
from optviz.surfaces import Surface
from references import FIELDS, REFERENCES, STILL, Side, apart, moved

STEPS = 100
BAR = 1e-12  # of max(1, |θ|)

KEYS = list(OPTIMIZERS)
FIELD = {field: number for number, field in enumerate(FIELDS)}
SETTINGS = [(key, index) for key, reference in REFERENCES.items() for index in range(len(reference.settings))]


def setting(key: str, index: int) -> str:
    """A setting in words, such as "lr=0.01, amsgrad=True"."""
    return ", ".join(f"{name}={value}" for name, value in REFERENCES[key].settings[index].items()) or "defaults"


every_optimizer = pytest.mark.parametrize("key", KEYS)
every_setting = pytest.mark.parametrize(("key", "index"), SETTINGS, ids=[f"{k}({setting(k, i)})" for k, i in SETTINGS])


# All reference surfaces as one ---------------------------------------------------------------------------------------


def meadow(x, y, *, which):
    """The reference surface number `which`."""
    total = 0.0
    for number, (key, field) in enumerate(FIELDS.items()):
        here = which == number
        # The argument is chosen before the result: what the others make of a diverging point must not become 0 · ∞.
        point = jnp.where(here, x, 1.0), jnp.where(here, y, 1.0)
        total = total + jnp.where(here, SURFACES[key].fn(*point, **field.values), 0.0)
    return total


PRIVATE = Catalogue("surface", Surface, argument=("x", "y"))
PRIVATE.declare(
    title="All reference surfaces",
    formula="",
    source=Source("optviz", 2026, "Tests"),
    params=(Param("which", "i", 0, 0, len(FIELDS) - 1),),
    window=(-5, 5, -5, 5),
    starts=((1.0, 1.0),),
    teaches="",
)(meadow)


def noisy(field: str, **conditions: Any) -> Problem:
    start = conditions.pop("start", FIELDS[field].start)
    return from_surface(PRIVATE["meadow"], start, surface_values={"which": FIELD[field]}, **conditions)


def quiet(field: str, **conditions: Any) -> Problem:
    """Without noise, and without the random number generator."""
    problem = noisy(field, **conditions)
    return replace(problem, key=("quiet", problem.key), draw=no_chance)


def no_chance(seed: int, first: int, count: int) -> np.ndarray:
    return np.zeros((count, 2))


@cache
def ours(key: str, index: int, field: str) -> Trajectory:
    return descend(quiet(field), rule(OPTIMIZERS[key], REFERENCES[key].settings[index]), STEPS)


@cache
def theirs(key: str, index: int) -> references.Path:
    return references.run(key, hyper(key, index), STEPS, Side(references.COPIES))


def hyper(key: str, index: int) -> dict[str, Any]:
    return OPTIMIZERS[key].complete(REFERENCES[key].settings[index])


# What is known to be chaotic -----------------------------------------------------------------------------------------

CHAOTIC_FILE = Path(__file__).with_name("chaotic.json")
CHAOTIC: dict[str, dict[str, dict[str, dict[str, float]]]] = json.loads(CHAOTIC_FILE.read_text())


def listed(key: str, index: int) -> dict[str, dict[str, float]]:
    """The surfaces on which this setting is listed as chaotic: {surface: {"moved": …, "until": …}}."""
    return CHAOTIC.get(key, {}).get(setting(key, index), {})


def measured(key: str, index: int) -> dict[str, dict[str, float]]:
    """The same as it is measured here and now."""
    far = moved(theirs(key, index).theta)
    return {
        field: {"moved": far[-1, number], "until": int(np.argmax(far[:, number] > STILL))}
        for field, number in FIELD.items()
        if far[-1, number] > STILL
    }


def write_chaotic() -> None:
    found: dict[str, dict[str, Any]] = {}
    for key, index in SETTINGS:
        for field, row in measured(key, index).items():
            row["moved"] = float(f"{row['moved']:.1e}")
            found.setdefault(key, {}).setdefault(setting(key, index), {})[field] = row
    CHAOTIC_FILE.write_text(json.dumps(found, indent=2) + "\n")


def comparable(key: str, index: int, field: str) -> slice:
    """The rows of the path that rounding does not decide."""
    return slice(0, int(listed(key, index).get(field, {"until": STEPS + 1})["until"]))


# References ----------------------------------------------------------------------------------------------------------


def test_every_optimizer_has_a_reference():
    assert set(REFERENCES) == set(OPTIMIZERS)


@every_optimizer
def test_settings_try_every_switch(key):
    """A form that no setting uses is a form that no reference has seen."""
    entry, settings = OPTIMIZERS[key], [hyper(key, index) for index in range(len(REFERENCES[key].settings))]
    assert len(settings) >= 3
    for param in entry.params:
        tried = {values[param.name] for values in settings}
        expected = {"flag": {True, False}, "choice": set(param.options)}.get(param.kind, set())
        assert expected <= tried, param.name
        assert len(tried) > 1, f"{param.name} never leaves its default"


def test_the_reference_surfaces_are_ours():
    """A fault that reference and catalogue shared would go unseen; and a start that is not ours would be nobody's."""
    for key, field in FIELDS.items():
        points = np.random.default_rng(1).normal(size=(40, 2)) * 2
        value = SURFACES[key].fn(points[:, 0], points[:, 1], **field.values)
        np.testing.assert_allclose(value, field.loss(points[:, 0], points[:, 1]), rtol=1e-13, atol=1e-13)
        assert field.start in SURFACES[key].starts
        assert set(field.values) == set(SURFACES[key].param)


@pytest.mark.parametrize("field", FIELDS)
@every_setting
def test_path_follows_the_paper(key, index, field):
    rows = comparable(key, index, field)
    distance = apart(ours(key, index, field).theta, theirs(key, index).theta[:, FIELD[field], 0])
    assert distance[rows].max() <= BAR


@every_setting
def test_slots_follow_the_paper(key, index):
    """Also as far as rounding does not decide them, each by its own measure: L-BFGS's differences lose more digits.

    And while the run moves at all: at the bottom a step of 1e-16 enters L-BFGS's memory like any other, or, if it
    rounds to nothing, does not.
    """
    reference = jax.tree.map(lambda *rows: np.stack(rows), *theirs(key, index).slots[1:])  # (T, surfaces, copies, …)
    compared = []
    for field, number in FIELD.items():
        slots = ours(key, index, field).slots
        length = np.abs(np.diff(theirs(key, index).theta[:, number, 0], axis=0)).max(axis=1)
        moving = np.minimum.accumulate(length) > 1e-12
        assert jax.tree.structure(slots) == jax.tree.structure(reference)
        for one, other in zip(jax.tree.leaves(slots), jax.tree.leaves(reference), strict=True):
            clean, disturbed = other[:, number, :1], other[:, number, 1:]
            strayed = apart(disturbed, clean).reshape(STEPS, -1).max(axis=1)
            still = moving & (np.maximum.accumulate(strayed) <= STILL)
            still[comparable(key, index, field).stop :] = False
            assert still[0], field
            distance = apart(one, clean[:, 0]).reshape(STEPS, -1).max(axis=1)
            assert distance[still].max(initial=0) <= BAR, field
            compared.append(still.sum() / moving.sum())
    assert np.mean(compared) > 1 / 3  # or little would have been shown


def applies(library: str) -> list[tuple[str, int]]:
    """The settings for which a library has a rule of the same convention."""
    calls = ((key, index, getattr(REFERENCES[key], library)) for key, index in SETTINGS if key in OPTIMIZERS)
    return [(key, index) for key, index, call in calls if call and call(**hyper(key, index))]


TORCH, OPTAX = applies("torch"), applies("optax")


@pytest.mark.parametrize(("key", "index"), TORCH, ids=[f"{k}({setting(k, i)})" for k, i in TORCH])
def test_path_is_torchs(key, index, torch):
    path = references.torch_path(key, hyper(key, index), STEPS)
    assert path is not None
    for field, number in FIELD.items():
        rows = comparable(key, index, field)
        assert apart(ours(key, index, field).theta, path[:, number])[rows].max() <= BAR, field


@pytest.mark.parametrize(("key", "index"), OPTAX, ids=[f"{k}({setting(k, i)})" for k, i in OPTAX])
def test_path_is_optaxs(key, index):
    path = references.optax_path(key, hyper(key, index), STEPS)
    assert path is not None
    for field, number in FIELD.items():
        rows = comparable(key, index, field)
        assert apart(ours(key, index, field).theta, path[:, number])[rows].max() <= BAR, field


@pytest.mark.parametrize("key", sorted({key for key, index in TORCH if index == 0} - {"momentum", "nesterov"}))
def test_defaults_are_torchs(key, torch):
    of_torch = REFERENCES[key].torch
    assert of_torch is not None
    name, arguments = of_torch(**OPTIMIZERS[key].defaults)
    signature = inspect.signature(getattr(torch.optim, name)).parameters
    assert arguments == {argument: signature[argument].default for argument in arguments}


def test_every_chaotic_setting_exists():
    """A setting that was changed must be measured anew, or its old entry would excuse nothing and mislead readers."""
    known = {(key, setting(key, index)) for key, index in SETTINGS}
    assert {(key, name) for key, settings in CHAOTIC.items() for name in settings} <= known


CHAOTIC_SETTINGS = [(key, index) for key, index in SETTINGS if listed(key, index)]
every_chaotic = pytest.mark.parametrize(
    ("key", "index"), CHAOTIC_SETTINGS, ids=[f"{k}({setting(k, i)})" for k, i in CHAOTIC_SETTINGS]
)


@every_chaotic
def test_what_is_listed_as_chaotic_is(key, index):
    """Nothing is excused for longer than rounding excuses it. What is not listed is compared to the end in any case.

    The margin, a third of 1e-13, is for the last digits of exp and of optax, which differ between versions.
    """
    far = moved(theirs(key, index).theta)
    for field, row in listed(key, index).items():
        assert far[-1, FIELD[field]] > STILL / 3, field
        assert row["until"] >= np.argmax(far[:, FIELD[field]] > STILL / 3), field


@every_chaotic
def test_chaotic_settings_follow_the_paper_step_by_step(key, index):
    """From each state that the reference passed through, the next step is the reference's.

    Except where rounding decides even a single step, as it does at the bottom, where Armijo's rule compares losses that
    agree in all their digits. (With damping, Newton's method gets there after a quarter of the run.)
    """
    reference, values, path = REFERENCES[key], hyper(key, index), theirs(key, index)
    side, after, first_copy = Side(references.COPIES), [], jax.tree.map(lambda leaf: leaf[:, :1], path.slots)
    for t in range(STEPS):
        theta, slots = jax.tree.map(
            lambda leaf: np.repeat(np.asarray(leaf), references.COPIES, axis=1), (path.theta[t][:, :1], first_copy[t])
        )
        after.append(theta + reference.step(side.gradient(theta), slots, t + 1, theta, side, **values)[0])
    after = np.array(after)
    strayed = apart(after[:, :, 1:], after[:, :, :1]).max(axis=(2, 3))
    decided = []
    for field in listed(key, index):
        number = FIELD[field]
        states = jax.tree.map(lambda *rows, n=number: np.stack([row[n, 0] for row in rows]), *path.slots[:STEPS])
        step, given = single_steps(quiet(field), key, index)
        thetas = step(given, (path.theta[:STEPS, number, 0], states, {}), np.arange(STEPS))
        still = strayed[:, number] <= STILL
        decided.append(still.mean())
        assert apart(thetas, after[:, number, 0])[still].max() <= BAR, field
    assert min(decided) > 0.2


def single_steps(problem: Problem, key: str, index: int) -> tuple[Callable, dict[str, Any]]:
    """Where one step leads from each of many states at once, by the loop itself."""
    bound = rule(OPTIMIZERS[key], REFERENCES[key].settings[index])
    if bound.key not in _stepping:
        recorder = Recorder(problem, bound, fresh=False)
        many = jax.jit(jax.vmap(recorder.run, in_axes=(None, (0, 0, None), 0, None, None, None)))
        still_air, room = np.zeros((1, 2)), np.zeros((2, recorder.width))

        def step(given, states, first):
            rows = many(given, states, first, np.int64(1), still_air, room)
            return np.array([recorder.unpack(np.asarray(of_one))[0][1] for of_one in rows])

        _stepping[bound.key] = step
    return _stepping[bound.key], {"problem": problem.values, "rule": bound.values, "horizon": np.float64(STEPS)}


_stepping: dict[Any, Callable] = {}


# Cards ---------------------------------------------------------------------------------------------------------------


@every_optimizer
def test_card_is_complete(key):
    entry = OPTIMIZERS[key]
    assert entry.key == key
    assert key.isidentifier()
    assert entry.title
    assert entry.family
    assert entry.formula
    assert entry.summary.endswith(".")
    assert "\n" not in entry.summary
    assert entry.source.authors
    assert entry.source.title
    assert 1900 < entry.source.year < 2100
    assert entry.source.url.startswith("https://")
    assert not entry.note or entry.note.endswith(".")
    assert "lr" in entry.param  # the loop records it


@every_optimizer
def test_params_are_explained_and_their_defaults_in_reach(key):
    for param in OPTIMIZERS[key].params:
        assert param.symbol or param.kind in ("flag", "choice"), param.name
        assert param.help.endswith("."), param.name
        if param.kind in ("real", "whole"):
            # A logarithmic slider cannot show 0, which switches such a parameter off.
            off = param.log and param.default == 0
            assert off or param.low <= float(param.default) <= param.high, param.name
            assert param.check(param.low) == param.low
            assert param.check(param.high) == param.high


@every_optimizer
def test_function_and_card_speak_of_the_same_names(key):
    entry = OPTIMIZERS[key]
    keywords = {
        name
        for name, parameter in inspect.signature(entry.fn).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert keywords == {*entry.param, *entry.slots, *entry.needs}


def test_titles_tell_optimizers_apart():
    assert len({entry.title for entry in OPTIMIZERS.values()}) == len(OPTIMIZERS)


# The loop's promises, for every optimizer ----------------------------------------------------------------------------


def leaves(run: Trajectory) -> list[np.ndarray]:
    return jax.tree.leaves([part for name, part in run._asdict().items() if name != "state"])


def assert_same(a: Trajectory, b: Trajectory) -> None:
    for one, other in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(one, other)


def assert_chunks_are_the_whole(problem: Problem, bound: Rule, first: int, second: int) -> None:
    whole = descend(problem, bound, first + second)
    one = descend(problem, bound, first, horizon=first + second)
    two = descend(problem, bound, second, horizon=first + second, state=one.state)
    two_without_its_start = two._replace(theta=two.theta[1:], loss=two.loss[1:])
    for entire, *parts in zip(leaves(whole), leaves(one), leaves(two_without_its_start), strict=True):
        np.testing.assert_array_equal(entire, np.concatenate(parts))
    assert whole.state.t == two.state.t == first + second


@every_optimizer
def test_rows_belong_together(key):
    """Row i made the move from θ[i] to θ[i + 1], and everything is float64."""
    run = descend(quiet("beale"), rule(OPTIMIZERS[key], {"lr": 1e-3}), STEPS)
    assert run.theta.shape == (STEPS + 1, 2)
    assert run.grad.shape == run.step.shape == (STEPS, 2)
    assert run.loss.shape == (STEPS + 1,)
    assert {leaf.dtype for leaf in (run.theta, run.loss, run.grad, run.step, run.lr)} == {np.dtype(np.float64)}
    np.testing.assert_allclose(np.diff(run.theta, axis=0), run.step, rtol=0, atol=1e-15 * np.abs(run.theta).max())
    field = FIELDS["beale"]
    np.testing.assert_allclose(run.loss, field.loss(*run.theta.T), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(run.lr, np.full(STEPS, 1e-3))
    assert set(run.slots) == set(OPTIMIZERS[key].slots)


def along(param: Param) -> list[Any]:
    """Values over a slider's whole range, in all the types in which Python callers send numbers."""
    if param.kind == "flag":
        return [True, False, np.True_]
    middle = (param.low + param.high) / 2
    if param.kind == "whole":
        return [int(param.low), float(param.high), np.int64(middle)]
    ends = [float(end) for end in param.domain[1:-1].split(",")]
    closed = [end for end, bracket in zip(ends, (param.domain[0], param.domain[-1]), strict=True) if bracket in "[]"]
    whole = [int(end) for end in (param.low, param.high) if float(end).is_integer()]
    return [float(param.low), np.float64(param.high), np.float32(middle), *whole, *closed]


@every_optimizer
def test_no_slider_compiles_anything(key, compilations):
    problem = quiet("himmelblau")
    entry = OPTIMIZERS[key]
    descend(problem, rule(entry, {}), STEPS)
    before = compilations()
    for param in entry.params:
        if not param.static:
            for value in along(param):
                run = descend(problem, rule(entry, {param.name: value}), STEPS)
                assert run.theta.shape == (STEPS + 1, 2)
    for start, l2, steps in [((0, 0), 0, 7), ((1.5, -2), 1, 400), (np.ones(2, np.float32), np.float32(0.1), 500)]:
        descend(quiet("himmelblau", start=start, l2=l2), rule(entry, {}), steps)
    assert compilations() == before


def test_no_slider_of_a_surface_compiles_anything(compilations):
    optviz.trace("valley", "sgd", steps=5)
    before = compilations()
    for param in SURFACES["valley"].params:
        for value in along(param):
            optviz.trace("valley", "sgd", steps=5, surface_values={param.name: value})
    moves: list[dict[str, Any]] = [{"noise": 1}, {"noise": np.float32(0.5)}, {"l2": 2}, {"seed": np.int32(3)}]
    for chance in moves:
        optviz.trace("valley", "sgd", steps=5, **chance)
    assert compilations() == before


def test_a_static_parameter_does_compile(compilations):
    """So the counter that the tests above rely on can count."""
    before = compilations()
    descend(quiet("sphere"), rule(OPTIMIZERS["lbfgs"], {"memory": 1, "line_search": False}), STEPS)
    assert compilations() > before


@every_optimizer
def test_chunks_are_the_whole_run(key):
    """Bit for bit: a live plot must not show another run than the finished one."""
    assert_chunks_are_the_whole(quiet("rosenbrock"), rule(OPTIMIZERS[key], {"lr": 5e-4}), 40, 60)


@pytest.mark.parametrize("form", ["accumulating", "velocity"])
def test_chunks_are_the_whole_run_with_noise_and_schedules(form):
    schedules = {
        "lr": (SCHEDULES["cosine"], {"warmup": 30, "final": 0.1}),
        "momentum": (SCHEDULES["linear"], {"final": 0.5}),
    }
    bound = rule(OPTIMIZERS["momentum"], {"lr": 1e-3, "form": form}, schedules)
    assert_chunks_are_the_whole(noisy("rosenbrock", noise=0.5, seed=3), bound, 40, 60)


def test_runs_longer_than_the_longest_program_are_joined():
    bound = rule(OPTIMIZERS["sgd"], {"lr": 1e-3, "momentum": 0.5}, {"lr": (SCHEDULES["linear"], {})})
    run = descend(quiet("himmelblau"), bound, LONGEST + 400)
    assert run.steps == LONGEST + 400
    assert run.theta.shape == (LONGEST + 401, 2)
    np.testing.assert_allclose(run.lr, 1e-3 * (1 - np.arange(run.steps) / run.steps), rtol=0, atol=1e-15)
    assert_chunks_are_the_whole(quiet("himmelblau"), bound, LONGEST, 400)


@every_optimizer
def test_maps_over_hyperparameters(key):
    """A sweep is the same function under `vmap`: each of its runs is the run by itself."""
    entry, alone_on = OPTIMIZERS[key], quiet("valley")
    real = from_surface(SURFACES["valley"], FIELDS["valley"].start, surface_values=FIELDS["valley"].values)
    problem = replace(real, draw=alone_on.draw)
    default = rule(entry, {})
    settings = [values for i, values in enumerate(REFERENCES[key].settings) if "valley" not in listed(key, i)]
    same_program = [bound for bound in (rule(entry, values) for values in settings) if bound.key == default.key]
    slower = [rule(entry, {"lr": share * float(entry.defaults["lr"])}) for share in (0.9, 0.5)]
    rules = [*same_program, *slower]
    packed = {"hyper": np.stack([bound.values["hyper"] for bound in rules]), "schedules": {}}
    values = {"problem": problem.values, "rule": packed, "horizon": np.float64(STEPS)}
    axes = ({"problem": None, "rule": {"hyper": 0, "schedules": None}, "horizon": None}, None, None, None, None)
    recorder = Recorder(problem, default, fresh=True)
    sweep = jax.jit(jax.vmap(recorder.run, in_axes=(*axes, None)))
    still, room = np.zeros((STEPS, 2)), np.zeros((STEPS + 1, recorder.width))
    rows = np.asarray(sweep(values, (problem.theta0, None, None), np.int64(0), np.int64(STEPS), still, room))
    thetas = np.array([recorder.unpack(of_one)[0] for of_one in rows])
    assert thetas.shape == (len(rules), STEPS + 1, 2)
    assert not np.array_equal(thetas[-1], thetas[-2])  # the rates did arrive
    for theta, bound in zip(thetas, rules, strict=True):
        assert apart(theta, descend(alone_on, bound, STEPS).theta).max() <= BAR


# Noise and penalties -------------------------------------------------------------------------------------------------


def noise_of(run: Trajectory, field: str) -> np.ndarray:
    exact = np.array(FIELDS[field].gradient(*run.theta[:-1].T)).T
    return run.grad - exact


def test_noise_is_normal_and_as_strong_as_asked_for():
    sigma, steps = 0.7, 5000
    noise = noise_of(descend(noisy("valley", noise=sigma), rule(OPTIMIZERS["sgd"], {"lr": 1e-3}), steps), "valley")
    assert np.all(np.abs(noise.std(axis=0) - sigma) < 3 * sigma / np.sqrt(2 * steps))
    assert np.all(np.abs(noise.mean(axis=0)) < 3 * sigma / np.sqrt(steps))
    # Independent from step to step and between the coordinates, and as rarely beyond 2σ as a normal number.
    series = (noise[:-1, 0], noise[1:, 0]), (noise[:-1, 1], noise[1:, 1]), (noise[:, 0], noise[:, 1])
    assert all(abs(np.corrcoef(*pair)[0, 1]) < 3 / np.sqrt(steps) for pair in series)
    share = np.mean(np.abs(noise) > 2 * sigma)
    assert abs(share - 0.0455) < 3 * np.sqrt(0.0455 * 0.9545 / noise.size)


def test_racers_of_one_seed_meet_the_same_noise():
    sgd, lion = (rule(OPTIMIZERS[key], {"lr": 1e-3}) for key in ("sgd", "lion"))
    one = descend(noisy("valley", noise=2.0, seed=11), sgd, STEPS)
    again = descend(noisy("valley", noise=2.0, seed=11), sgd, STEPS)
    rival = descend(noisy("valley", noise=2.0, seed=11), lion, STEPS)
    other = descend(noisy("valley", noise=2.0, seed=12), sgd, STEPS)
    assert_same(one, again)
    np.testing.assert_allclose(noise_of(one, "valley"), noise_of(rival, "valley"), rtol=0, atol=1e-12)
    assert np.abs(noise_of(one, "valley") - noise_of(other, "valley")).max() > 1


def test_noise_scales_and_vanishes_with_sigma():
    bound = rule(OPTIMIZERS["sgd"], {"lr": 1e-3})
    weak, strong = (descend(noisy("valley", noise=sigma, seed=5), bound, STEPS) for sigma in (0.5, 2.0))
    np.testing.assert_allclose(4 * noise_of(weak, "valley"), noise_of(strong, "valley"), rtol=0, atol=1e-12)
    silent = descend(noisy("valley", seed=5), bound, STEPS)
    np.testing.assert_allclose(noise_of(silent, "valley"), 0, rtol=0, atol=1e-13)


def test_l2_is_part_of_the_gradient_and_not_of_the_reported_loss():
    run = descend(quiet("beale", l2=0.3), rule(OPTIMIZERS["sgd"], {"lr": 1e-3}), STEPS)
    theta = run.theta[:-1]
    penalised = np.array(FIELDS["beale"].gradient(*theta.T)).T + 0.3 * theta
    np.testing.assert_allclose(run.grad, penalised, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(run.step, -1e-3 * penalised, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(run.loss, FIELDS["beale"].loss(*run.theta.T), rtol=1e-12)


def test_weight_decay_is_outside_the_moments_and_l2_inside():
    """In the first step Adam sees only the sign of its gradient: decay shows beside it, a penalty disappears in it."""
    lr, decay, start = 0.1, 0.5, np.array(FIELDS["himmelblau"].start)
    sign = np.sign(FIELDS["himmelblau"].gradient(*start))
    settings = {"lr": lr, "eps": 0.0}
    decoupled = descend(quiet("himmelblau"), rule(OPTIMIZERS["adamw"], {**settings, "weight_decay": decay}), STEPS)
    coupled = descend(quiet("himmelblau", l2=decay), rule(OPTIMIZERS["adam"], settings), STEPS)
    np.testing.assert_allclose(decoupled.step[0], -lr * sign - lr * decay * start, rtol=1e-14)
    np.testing.assert_allclose(coupled.step[0], -lr * sign, rtol=1e-14)
    # AdamW's moments are the averages of its gradients, in which the decay never appears.
    m = np.zeros(2)
    for grad, recorded in zip(decoupled.grad, decoupled.slots["m"], strict=True):
        m = 0.9 * m + 0.1 * grad
        np.testing.assert_allclose(recorded, m, rtol=1e-12, atol=1e-13)
    exact = np.array(FIELDS["himmelblau"].gradient(*decoupled.theta[:-1].T)).T
    np.testing.assert_allclose(decoupled.grad, exact, rtol=1e-12, atol=1e-12)


# What theory says of single rules ------------------------------------------------------------------------------------


def test_newton_solves_a_quadratic_in_one_step():
    for field in ("sphere", "valley"):
        run = descend(quiet(field), rule(OPTIMIZERS["newton"], {}), STEPS)
        assert np.abs(run.theta[0]).max() > 1
        assert np.abs(run.theta[1]).max() <= 1e-12


def test_newton_is_attracted_by_a_saddle():
    run = descend(quiet("bounded_saddle"), rule(OPTIMIZERS["newton"], {}), STEPS)
    assert np.abs(run.theta[-1]).max() <= 1e-12
    # Plain descent from the same start escapes, to the minimum at (0, √2).
    escaped = descend(quiet("bounded_saddle"), rule(OPTIMIZERS["sgd"], {"lr": 0.1}), STEPS)
    np.testing.assert_allclose(escaped.theta[-1], [0, np.sqrt(2)], atol=1e-6)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("key", ["newton", "lbfgs"])
def test_a_line_search_never_goes_uphill(key, field):
    run = descend(quiet(field), rule(OPTIMIZERS[key], {"line_search": True}), STEPS)
    # The loss is computed once more for the record, and may round differently there.
    assert np.all(np.diff(run.loss) <= 4e-16 * np.maximum(1, np.abs(run.loss[:-1])) * 10)
    assert run.loss[-1] < run.loss[0]


def test_a_line_search_goes_down_the_gradient_where_the_model_points_up():
    """On the bounded saddle's ridge, which bends down along y, Newton's own direction leads up to the saddle."""
    start = (1e-4, 0.5)
    run = descend(quiet("bounded_saddle", start=start), rule(OPTIMIZERS["newton"], {"line_search": True}), STEPS)
    share = run.slots["share"][0]
    assert share > 0
    np.testing.assert_allclose(run.step[0], -share * run.grad[0], rtol=1e-14)
    np.testing.assert_allclose(np.abs(run.theta[-1]), [0, np.sqrt(2)], atol=1e-9)


def test_lbfgs_reaches_rosenbrocks_minimum():
    run = descend(quiet("rosenbrock"), rule(OPTIMIZERS["lbfgs"], {}), STEPS)
    np.testing.assert_allclose(run.theta[-1], [1, 1], atol=1e-9)


def test_the_two_forms_of_nesterov_are_one_path():
    """The reformulation follows the look-ahead point θ + ρv."""
    values = {"lr": 5e-4, "momentum": 0.9}
    ahead, reformulated = (
        descend(quiet("rosenbrock"), rule(OPTIMIZERS["nesterov"], {**values, "form": form}), STEPS)
        for form in ("look-ahead", "reformulated")
    )
    point = ahead.theta[1:] + 0.9 * ahead.slots["v"]
    assert apart(reformulated.theta[1:], point).max() <= BAR
    assert apart(ahead.theta, reformulated.theta).max() > 1e-3  # and yet not the same numbers
    # The gradient that the look-ahead form used is the one at that point, and the recorded one is at θ itself.
    before = ahead.theta + 0.9 * np.vstack([np.zeros(2), ahead.slots["v"]])
    exact = np.array(FIELDS["rosenbrock"].gradient(*before[:-1].T)).T
    np.testing.assert_allclose(ahead.slots["g_ahead"], exact, rtol=1e-9, atol=1e-11)


def test_forms_of_momentum_agree_where_they_should():
    """Accumulating and velocity are one path while η is constant and part as soon as it is scheduled; averaging is
    accumulating with 1 − ρ times the rate."""

    def path(form: str, lr: float, schedules: Any = None) -> np.ndarray:
        bound = rule(OPTIMIZERS["momentum"], {"lr": lr, "momentum": 0.8, "form": form}, schedules)
        return descend(quiet("rosenbrock"), bound, STEPS).theta

    assert apart(path("velocity", 5e-4), path("accumulating", 5e-4)).max() <= BAR
    assert apart(path("averaging", 2.5e-3), path("accumulating", 5e-4)).max() <= BAR
    scheduled = {"lr": (SCHEDULES["linear"], {})}
    assert apart(path("velocity", 5e-4, scheduled), path("accumulating", 5e-4, scheduled)).max() > 1e-4


def test_every_step_of_lion_is_one_rate_long():
    run = descend(quiet("beale"), rule(OPTIMIZERS["lion"], {"lr": 2e-3}), STEPS)
    np.testing.assert_allclose(np.abs(run.step), 2e-3, rtol=1e-15)


# Mistakes that other teaching demos shipped --------------------------------------------------------------------------


def test_adam_divides_by_the_bias_correction():
    """Multiplying by it instead made one demo's steps up to 4.4 times too large. Divided by it, the first step is
    exactly η long; without it, (1 − β₁)/√(1 − β₂) of that."""
    sign = np.sign(FIELDS["beale"].gradient(*FIELDS["beale"].start))
    for beta1, beta2 in [(0.9, 0.999), (0.8, 0.99), (0.5, 0.5)]:
        values = {"lr": 0.1, "beta1": beta1, "beta2": beta2, "eps": 0.0}
        corrected, raw = (
            descend(quiet("beale"), rule(OPTIMIZERS["adam"], {**values, "bias_correction": on}), STEPS)
            for on in (True, False)
        )
        np.testing.assert_allclose(corrected.step[0], -0.1 * sign, rtol=1e-14)
        np.testing.assert_allclose(raw.step[0], -0.1 * sign * (1 - beta1) / np.sqrt(1 - beta2), rtol=1e-13)


def test_nothing_is_clamped_when_a_run_diverges():
    """On x² + y² a rate of 20 multiplies θ by −39 at every step, far beyond any window and on to infinity."""
    run = descend(quiet("sphere"), rule(OPTIMIZERS["sgd"], {"lr": 20.0}), 300)
    growth = (-39.0) ** np.arange(190)
    np.testing.assert_allclose(run.theta[:190], np.outer(growth, FIELDS["sphere"].start), rtol=1e-12)
    np.testing.assert_allclose(run.grad[:190], 2 * run.theta[:190], rtol=1e-15)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(run.loss[:190], (run.theta[:190] ** 2).sum(axis=1), rtol=1e-14)
    assert not np.isfinite(run.theta[-1]).any()
    assert run.theta.shape == (301, 2)


@every_optimizer
def test_a_run_that_starts_to_diverge_is_returned(key):
    """Beale's walls rise with the eighth power, and the start is far up: whatever happens, 100 rows come back."""
    run = descend(quiet("beale", start=(1e60, 1e60)), rule(OPTIMIZERS[key], {"lr": 1.0}), STEPS)
    assert run.theta.shape == (STEPS + 1, 2)
    np.testing.assert_array_equal(run.theta[0], [1e60, 1e60])
    assert np.isinf(run.loss[0])  # (10²⁴⁰)² is more than a float64 holds, and not replaced by anything


def test_textbook_learning_rates_hold():
    """Nothing is rescaled silently: 0.5 arrives in one step, 1 bounces for ever, and κ = 25 allows rates below 2/25."""
    arrived, bounced, beyond = (
        descend(quiet("sphere"), rule(OPTIMIZERS["sgd"], {"lr": lr}), STEPS).theta for lr in (0.5, 1.0, 1.01)
    )
    np.testing.assert_array_equal(arrived[1:], 0)
    np.testing.assert_array_equal(bounced, np.outer((-1.0) ** np.arange(STEPS + 1), FIELDS["sphere"].start))
    assert np.all(np.diff(np.abs(beyond), axis=0) > 0)
    below, above = (descend(quiet("valley"), rule(OPTIMIZERS["sgd"], {"lr": lr}), 500) for lr in (0.079, 0.081))
    assert below.loss[-1] < 1e-6
    assert above.loss[-1] > 1e6


@pytest.mark.parametrize("field", FIELDS)
def test_gradients_are_exact(field):
    """Finite differences with a tiny step were wrong by up to 15 % elsewhere."""
    run = descend(quiet(field), rule(OPTIMIZERS["sgd"], {"lr": 1e-3}), STEPS)
    exact = np.array(FIELDS[field].gradient(*run.theta[:-1].T)).T
    np.testing.assert_allclose(run.grad, exact, rtol=1e-12, atol=1e-12)


def test_a_small_gradient_does_not_end_a_run():
    """At 1e-6 from a saddle the gradient is far below any tolerance that would call the run converged; yet it
    escapes, which is the lesson."""
    run = descend(quiet("bounded_saddle", start=(0.0, 1e-6)), rule(OPTIMIZERS["sgd"], {"lr": 0.1}), STEPS)
    assert np.abs(run.grad[0]).max() < 1e-5
    assert np.all(run.step != 0, axis=0)[1]
    np.testing.assert_allclose(run.theta[-1], [0, np.sqrt(2)], atol=1e-3)


# What is refused -----------------------------------------------------------------------------------------------------


def outside(param: Param) -> list[Any]:
    """Values that a parameter must refuse, read off its declaration."""
    if param.kind == "flag":
        return ["yes", 1, 0.0, None]
    if param.kind == "choice":
        return ["nonsense", param.options[0].upper() + " ", 1, None]
    low, high = (float(end) for end in param.domain[1:-1].split(","))
    beyond = [np.nan, np.inf, -np.inf, "0.1", None, True, 1j]
    if np.isfinite(low):
        beyond += [low - 1, np.nextafter(low, -np.inf)] + [low] * (param.domain[0] == "(")
    if np.isfinite(high):
        beyond += [high + 1, np.nextafter(high, np.inf)] + [high] * (param.domain[-1] == ")")
    return beyond + [param.low + 0.5] * (param.kind == "whole")


def refusals(entries: Iterable[Entry]) -> list[Any]:
    return [
        pytest.param(entry, param, value, id=f"{entry.key}-{param.name}-{value!r}")
        for entry in entries
        for param in entry.params
        for value in outside(param)
    ]


def refuses(param: Param, **arguments: Any) -> None:
    arguments = {"surface": "sphere", "optimizer": "sgd", "steps": 5} | arguments
    with pytest.raises(ValueError, match=rf"{param.name} must be") as refused:
        optviz.trace(**arguments)
    assert param.allowed in str(refused.value)


@pytest.mark.parametrize(("entry", "param", "value"), refusals(OPTIMIZERS.values()))
def test_optimizers_refuse_values_outside_the_domain(entry: Entry, param: Param, value):
    refuses(param, optimizer=entry.key, **{param.name: value})


@pytest.mark.parametrize(("entry", "param", "value"), refusals(SURFACES.values()))
def test_surfaces_refuse_values_outside_the_domain(entry: Entry, param: Param, value):
    refuses(param, surface=entry.key, surface_values={param.name: value})


@pytest.mark.parametrize(("entry", "param", "value"), refusals(SCHEDULES.values()))
def test_schedules_refuse_values_outside_the_domain(entry: Entry, param: Param, value):
    refuses(param, schedules={"lr": Pick(entry.key, {param.name: value})})


@pytest.mark.parametrize(
    ("param", "value"), [(param, value) for param in (NOISE, L2, SEED) for value in outside(param)]
)
def test_conditions_outside_the_domain_are_refused(param, value):
    refuses(param, **{param.name: value})


@pytest.mark.parametrize("steps", [0, -1, 2.5, np.nan, np.inf, "5", None, True])
def test_impossible_lengths_are_refused(steps):
    with pytest.raises(ValueError, match="steps must be"):
        optviz.trace("sphere", "sgd", steps=steps)


@pytest.mark.parametrize(
    "start", [5.0, (1.0,), (1, 2, 3), [[1, 2]], "ab", (np.nan, 0), (0, np.inf), (None, 1), ((1,), 2), (), {}]
)
def test_impossible_starts_are_refused(start):
    with pytest.raises(ValueError, match=r"start must be two finite numbers"):
        optviz.trace("sphere", "sgd", steps=5, start=start)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"surface": "rosenbrok"}, "did you mean rosenbrock"),
        ({"surface": "Sphere"}, "sphere"),
        ({"surface": None}, "no surface"),
        ({"optimizer": "adamm"}, "did you mean adam"),
        ({"optimizer": "zzzzzz"}, "there are sgd"),
        ({"optimizer": ["sgd"]}, "no optimizer"),
        ({"learning_rate": 0.1}, "sgd has no parameter 'learning_rate'; it has lr"),
        ({"optimizer": "lion", "eps": 1e-8}, "lion has no parameter 'eps'"),
        ({"surface_values": {"kappa": 3}}, "sphere has no parameter 'kappa'"),
        ({"schedules": {"lr": Pick("cosin")}}, "did you mean cosine"),
        ({"schedules": {"lr": Pick("cosine", {"every": 3})}}, "cosine has no parameter 'every'"),
        ({"schedules": {"beta1": Pick("cosine")}}, "sgd cannot schedule 'beta1'; it can schedule lr"),
        ({"schedules": {"nesterov": Pick("cosine")}}, "cannot schedule 'nesterov'"),
    ],
)
def test_unknown_names_are_refused_with_what_is_known(arguments, told):
    with pytest.raises(ValueError, match=told):
        optviz.trace(**({"surface": "sphere", "optimizer": "sgd", "steps": 5} | arguments))


def test_only_traced_real_numbers_can_be_scheduled():
    assert schedulable(OPTIMIZERS["lbfgs"]) == ["lr"]
    assert schedulable(OPTIMIZERS["adam"]) == ["lr", "beta1", "beta2", "eps"]


# In a process of its own ---------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]


def alone(program: str, **environment: str) -> str:
    """What a program prints in a fresh interpreter, where nothing has been imported yet."""
    clean = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_ENABLE_X64")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_prepares_jax_by_itself():
    """float64 must not depend on a conftest, nor may the app's libraries come along into a notebook."""
    program = (
        "import os, sys, json, optviz, jax, jax.numpy as jnp\n"
        "run = optviz.trace('sphere', 'sgd', steps=3)\n"
        "print(json.dumps({'flags': os.environ.get('XLA_FLAGS', ''), 'float': str(jnp.zeros(1).dtype),\n"
        "    'theta': str(run.theta.dtype), 'jax': jax.__version__, 'devices': jax.device_count(),\n"
        "    'imported': [name for name in ('streamlit', 'plotly', 'optuna') if name in sys.modules]}))"
    )
    theirs = "--xla_force_host_platform_device_count=2"
    ours = "xla_cpu_small_while_loop_byte_threshold=8000000"
    told = json.loads(alone(program, XLA_FLAGS=theirs))
    assert told["float"] == told["theta"] == "float64"
    assert told["imported"] == []
    assert theirs in told["flags"]
    assert told["devices"] == 2  # so JAX has read the merged value
    needed = tuple(int(part) for part in told["jax"].split(".")[:2]) < (0, 12)
    assert (ours in told["flags"]) == needed


def test_a_visitors_own_threshold_is_kept():
    flag = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=5"
    assert alone("import os, optviz; print(os.environ['XLA_FLAGS'])", XLA_FLAGS=flag).strip() == flag


def test_200_static_values_leave_memory_bounded():
    """The store of compiled programs forgets the oldest: once it is full, more values cost no more memory.

    From value 70 to value 200 memory grew by 1 MB; with a store that never forgets, by 281 MB. A rule that does next
    to nothing stands for all, without noise and optimization by XLA: 200 compilations of a real one take minutes.
    """
    program = """
from optviz import SURFACES
from optviz.descent import descend, rule
from optviz.programs import COMPILED_AT_MOST
from optviz.optimizers import LR, Optimizer
from optviz.problems import from_surface
from optviz.spec import Catalogue, Param, Source

catalogue = Catalogue("optimizer", Optimizer, argument=("grad",))
width = Param("width", "w", 1, 1, 200, domain="[1, 200]", static=True)

@catalogue.declare(title="", formula="", source=Source("", 2000, ""), family="", params=(LR, width))
def static(grad, *, lr, width):
    return -lr * grad / width, {}

problem = from_surface(SURFACES["sphere"], (4.0, 3.0))
assert COMPILED_AT_MOST < 70

def megabytes():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

for value in range(1, 201):
    run = descend(problem, rule(catalogue["static"], {"width": value, "lr": 0.5}), 5)
    assert abs(run.step[0, 0] + 4.0 / value) < 1e-15, "a program of another value was taken"
    if value in (70, 200):
        print(megabytes())
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc")
    settings = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "OPTVIZ_LIMIT_PROGRAMS": "64"}
    full, finally_ = map(float, alone(program, **settings).split())
    assert finally_ - full < 60


if __name__ == "__main__":
    write_chaotic()
