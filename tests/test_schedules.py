"""Every schedule against closed forms, PyTorch's schedulers and optax's, and what is promised of all of them.

Tests run over the catalogue: a new schedule has to be added to `references.SCHEDULE_REFERENCES`, and to nothing else.
Values are taken from the loop itself, as a run would use them: beyond its end too, where a run goes on with a schedule
that was made for a shorter one.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import optviz
import references
from optviz import OPTIMIZERS, SCHEDULES, SURFACES, Pick
from optviz.descent import Rule, descend, rule
from optviz.problems import from_surface
from optviz.schedules import Schedule
from optviz.spec import Catalogue, Param, Source
from references import SCHEDULE_REFERENCES, Warmup
from strategies import some_of

BAR = 1e-12
PEAK = 0.3
STEPS = 97  # divisible by nothing
COUNT = 160  # beyond the end
NO_WARMUP = Warmup(0, 0.0)
WARMUPS = [NO_WARMUP, Warmup(1, 0.5), Warmup(13, 0.0), Warmup(13, 0.1), Warmup(96, 0.25), Warmup(97, 0.5)]

KEYS = list(SCHEDULES)
every_schedule = pytest.mark.parametrize("key", KEYS)
SETTINGS = [(key, index) for key, reference in SCHEDULE_REFERENCES.items() for index in range(len(reference.settings))]
every_setting = pytest.mark.parametrize(
    ("key", "index"), SETTINGS, ids=[f"{k}({SCHEDULE_REFERENCES[k].settings[i] or 'defaults'})" for k, i in SETTINGS]
)
every_warmup = pytest.mark.parametrize("warmup", WARMUPS, ids=[f"{w.steps}-{w.start}" for w in WARMUPS])


@cache
def still():
    """A problem on which nothing moves, so that a diverging rate does no harm."""
    return from_surface(SURFACES["sphere"], (0.0, 0.0))


def scheduled(key: str, steps: int, count: int, *, peak: float = PEAK, **values: Any) -> np.ndarray:
    """The rates of the first `count` steps of a run that the schedule takes for `steps` long."""
    bound = rule(OPTIMIZERS["sgd"], {"lr": peak}, {"lr": (SCHEDULES[key], values)})
    return descend(still(), bound, count, horizon=steps).lr


def own(key: str, index: int) -> dict[str, Any]:
    """A setting with the defaults filled in, without the warm-up."""
    complete = SCHEDULES[key].complete(SCHEDULE_REFERENCES[key].settings[index])
    return {name: value for name, value in complete.items() if name not in ("warmup", "warmup_start")}


# References ----------------------------------------------------------------------------------------------------------


def test_every_schedule_has_a_reference():
    assert set(SCHEDULE_REFERENCES) == set(SCHEDULES)


@every_schedule
def test_settings_try_every_parameter(key):
    settings = [own(key, index) for index in range(len(SCHEDULE_REFERENCES[key].settings))]
    for name in settings[0]:
        assert len({values[name] for values in settings}) > 1, f"{name} never leaves its default"


@every_warmup
@every_setting
def test_values_are_the_closed_form(key, index, warmup):
    values = own(key, index)
    ours = scheduled(key, STEPS, COUNT, warmup=warmup.steps, warmup_start=warmup.start, **values)
    theirs = references.closed_schedule(key, values, warmup, PEAK, STEPS, COUNT)
    assert np.abs(ours - theirs).max() <= BAR


@pytest.mark.usefixtures("torch")
@every_setting
def test_values_are_torchs(key, index):
    # PyTorch's LinearLR does not reach 1 in a single step, and a warm-up as long as the run leaves nothing to schedule.
    values, compared = own(key, index), 0
    for warmup in (NO_WARMUP, Warmup(13, 0.1), Warmup(50, 0.5)):
        theirs = references.torch_schedule(key, values, warmup, PEAK, STEPS, COUNT)
        if theirs is not None:
            ours = scheduled(key, STEPS, COUNT, warmup=warmup.steps, warmup_start=warmup.start, **values)
            assert np.abs(ours[: len(theirs)] - theirs).max() <= BAR, warmup
            compared += len(theirs)
    assert compared >= STEPS or SCHEDULE_REFERENCES[key].settings[index]  # the defaults at least


@every_setting
def test_values_are_optaxs(key, index):
    values = own(key, index)
    for warmup in (NO_WARMUP, Warmup(13, 0.0), Warmup(50, 0.5)):
        theirs = references.optax_schedule(key, values, warmup, PEAK, STEPS, COUNT)
        if theirs is not None:
            ours = scheduled(key, STEPS, COUNT, warmup=warmup.steps, warmup_start=warmup.start, **values)
            assert np.abs(ours - theirs).max() <= BAR, warmup


def test_warming_up_to_a_cosine_is_optaxs():
    import optax

    theirs = optax.warmup_cosine_decay_schedule(0.02, PEAK, 20, STEPS, end_value=0.03)
    ours = scheduled("cosine", STEPS, COUNT, warmup=20, warmup_start=0.02 / PEAK, final=0.1)
    assert np.abs(ours - np.array([theirs(t) for t in range(COUNT)], dtype=float)).max() <= BAR


@pytest.mark.parametrize("every", [1, 3, 7, 10, 49, 100, 333])
def test_drops_come_at_exact_multiples(every):
    """A quotient that rounds down just before a whole number would drop one step late."""
    ours = scheduled("step_decay", 5000, 5000, every=every, factor=0.999)
    np.testing.assert_allclose(ours, PEAK * 0.999 ** (np.arange(5000) // every), rtol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 97, 100, 1000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0])
def test_drops_come_at_the_nearest_whole_step(steps, share):
    ours = scheduled("piecewise", steps, 1001, first=share, second=1.0, factor=0.5)
    drop = round(share * steps)
    assert np.all(ours[:drop] == PEAK)
    assert ours[drop] < PEAK


# What is promised of all ---------------------------------------------------------------------------------------------


@every_schedule
def test_card_is_complete(key):
    entry = SCHEDULES[key]
    assert entry.key == key
    assert entry.title
    assert entry.formula
    assert entry.summary.endswith(".")
    assert "\n" not in entry.summary
    assert entry.source.authors
    assert entry.source.title
    assert entry.source.url.startswith("https://")
    assert not entry.note or entry.note.endswith(".")
    keywords = list(inspect.signature(entry.fn).parameters)[1:]
    assert set(keywords) == {*(set(entry.param) - {"warmup", "warmup_start"}), *entry.slots, *entry.needs}
    for param in entry.params:
        assert param.symbol, param.name
        assert param.help.endswith("."), param.name
        assert param.low <= float(param.default) <= param.high, param.name
        assert param.check(param.low) == param.low
        assert param.check(param.high) == param.high


@every_schedule
def test_no_slider_compiles_anything(key, compilations):
    scheduled(key, STEPS, COUNT)
    before = compilations()
    for param in SCHEDULES[key].params:
        whole = [int(end) for end in (param.low, param.high) if float(end).is_integer()]
        for value in [float(param.low), np.float64(param.high), *whole, *map(np.int64, whole)]:
            scheduled(key, STEPS, COUNT, **{param.name: value})
    for steps, peak in [(1, 1), (500, np.float32(0.1)), (60, 2.0)]:
        scheduled(key, steps, steps, peak=peak)
    assert compilations() == before


@cache
def values_at(key: str):
    """The schedule's values at many steps, compiled once, with everything else an argument."""
    entry = SCHEDULES[key]

    def at(t, traced, peak, steps):
        own = entry.unpack(traced, entry.hyper().static)
        memory = jax.tree.map(jnp.asarray, entry.init())
        return entry.at(t, memory, peak=peak, steps=steps, value=1.0, **own)[0]

    return jax.jit(jax.vmap(at, in_axes=(0, None, None, None)))


@every_schedule
@given(data=st.data(), peak=st.floats(1e-12, 1e6), steps=st.integers(1, 10**6), t=st.integers(0, 10**7))
def test_no_schedule_goes_negative(key, data, peak, steps, t):
    """A one-cycle schedule that went below zero after its cycle made other people's runs climb. Nor may any schedule
    exceed the rate that was asked for, or be anything but a number, whatever its parameters and however late."""
    chosen = data.draw(some_of(SCHEDULES[key].param))
    # XLA takes numbers below 2e-308 for 0, which no such parameter may be.
    assume(all(value == 0 or abs(value) > np.finfo(float).tiny for value in chosen.values()))
    warmup = int(SCHEDULES[key].complete(chosen)["warmup"])
    times = [*range(12), t, steps - 1, steps, steps + 1, *(max(warmup + i, 0) for i in (-1, 0, 1)), 2 * steps]
    hyper = SCHEDULES[key].hyper(**chosen)
    values = np.asarray(values_at(key)(np.array(times, float), hyper.traced, np.float64(peak), np.float64(steps)))
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values <= peak * (1 + 4e-16)).all()  # a rounding of one last digit


@every_schedule
def test_a_schedule_stays_where_it_arrived(key):
    """Beyond the end nothing rises again."""
    values = scheduled(key, STEPS, COUNT)
    assert np.all(np.diff(values[STEPS:]) <= 0)


@every_schedule
def test_from_python(key):
    """One value for each step, and the highest of them is `lr`."""
    values = optviz.schedule(key, steps=STEPS, lr=0.1)
    assert values.shape == (STEPS,)
    assert values.dtype == np.float64
    assert values.max() == pytest.approx(0.1, rel=1e-15)
    np.testing.assert_array_equal(values, scheduled(key, STEPS, STEPS, peak=0.1))


def test_from_python_with_parameters():
    values = optviz.schedule("polynomial", steps=10, lr=1.0, power=1, final=0.5, warmup=4)
    np.testing.assert_allclose(
        values, [0, 0.25, 0.5, 0.75, 1, 11 / 12, 5 / 6, 3 / 4, 2 / 3, 7 / 12], rtol=0, atol=1e-15
    )
    assert optviz.schedule("cosine", steps=1, lr=1).shape == (1,)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"name": "cosin"}, "did you mean cosine"),
        ({"steps": 0}, "steps must be"),
        ({"lr": -0.1}, "lr must be"),
        ({"lr": np.nan}, "lr must be"),
        ({"final": 1.5}, "final must be"),
        ({"warmup": -1}, "warmup must be"),
        ({"warmup": 1.5}, "warmup must be"),
        ({"every": 10}, "cosine has no parameter 'every'"),
    ],
)
def test_nonsense_is_refused(arguments, told):
    with pytest.raises(ValueError, match=told):
        optviz.schedule(**({"name": "cosine", "steps": 10, "lr": 0.1} | arguments))


# Schedules in a run --------------------------------------------------------------------------------------------------


def test_several_hyperparameters_are_scheduled_at_once():
    """Heavy ball by hand, with a rate and a momentum that both change."""
    schedules = {"lr": Pick("cosine", {"warmup": 5}), "momentum": Pick("linear", {"final": 0.25})}
    run = optviz.trace("valley", "sgd", steps=60, start=(-1.8, 1.0), lr=0.02, momentum=0.8, schedules=schedules)
    lr = references.closed_schedule("cosine", {"final": 0.0}, Warmup(5, 0.0), 0.02, 60, 60)
    momentum = references.closed_schedule("linear", {"final": 0.25}, NO_WARMUP, 0.8, 60, 60)
    np.testing.assert_allclose(run.lr, lr, rtol=0, atol=BAR)
    assert set(run.scheduled) == {"lr", "momentum"}
    np.testing.assert_allclose(run.scheduled["momentum"], momentum, rtol=0, atol=BAR)
    theta, b = np.array([-1.8, 1.0]), np.zeros(2)
    for t in range(60):
        b = momentum[t] * b + theta * [1, 25]
        theta = theta - lr[t] * b
        np.testing.assert_allclose(run.theta[t + 1], theta, rtol=0, atol=BAR)
    unscheduled = optviz.trace("valley", "sgd", steps=60, start=(-1.8, 1.0), lr=0.02, momentum=0.8)
    assert np.abs(unscheduled.theta[-1] - run.theta[-1]).max() > 1e-3


def test_the_first_step_uses_the_schedule_at_zero():
    run = optviz.trace("sphere", "sgd", steps=4, start=(1.0, 0.0), lr=0.5, schedules={"lr": Pick("linear")})
    np.testing.assert_allclose(run.lr, [0.5, 0.375, 0.25, 0.125], rtol=0, atol=1e-16)
    assert run.theta[1, 0] == 0  # the whole rate, which arrives in one step


# A schedule that remembers -------------------------------------------------------------------------------------------

REMEMBERING = Catalogue(
    "schedule",
    Schedule,
    argument=("t",),
    supplies=("peak", "steps", "value"),
    common=SCHEDULES.common,
)


@REMEMBERING.declare(
    title="Halve on a setback",
    formula="",
    source=Source("optviz", 2026, "Tests"),
    params=(Param("cut", "c", 0.5, 0.1, 1.0, domain="[0, 1]", help="Multiplied with after a setback."),),
    slots=("best", "share", "setbacks"),
    init=lambda: {"best": np.inf, "share": 1.0, "setbacks": 0},
)
def setback(t, *, peak, value, best, share, setbacks, cut):
    """Falls by a factor whenever the loss is not the lowest so far."""
    worse = value >= best
    share = jnp.where(worse, share * cut, share)
    memory = {"best": jnp.minimum(best, value), "share": share, "setbacks": setbacks + worse}
    return peak * share, memory


def remembering(**values: Any) -> Rule:
    """On the valley with κ = 25 the rate 0.1 diverges until it is cut below 0.08."""
    return rule(OPTIMIZERS["sgd"], {"lr": 0.1}, {"lr": (REMEMBERING["setback"], values)})


VALLEY = from_surface(SURFACES["valley"], (-1.8, 0.1))


def test_a_schedule_may_remember():
    run = descend(VALLEY, remembering(cut=0.7), 60)
    share, best, setbacks, theta = 1.0, np.inf, 0, np.array([-1.8, 0.1])
    for t in range(60):
        loss = (theta**2 * [1, 25]).sum() / 2
        if loss >= best:
            share, setbacks = share * 0.7, setbacks + 1
        best = min(best, loss)
        assert abs(run.lr[t] - 0.1 * share) <= BAR
        theta = theta - 0.1 * share * theta * [1, 25]
        np.testing.assert_allclose(run.theta[t + 1], theta, rtol=0, atol=BAR)
    assert 0 < setbacks < 59  # it did fall, and not every time
    memory = run.state.memory["lr"]
    assert memory["setbacks"] == setbacks
    assert memory["best"] == pytest.approx(best, rel=1e-12)
    assert memory["share"] == pytest.approx(share, rel=1e-12)


def test_what_a_schedule_remembers_survives_a_pause():
    bound = remembering(cut=0.95, warmup=3)
    whole = descend(VALLEY, bound, 60)
    pause = int(np.flatnonzero(np.diff(whole.lr) < 0)[1]) + 1  # between two setbacks
    one = descend(VALLEY, bound, pause, horizon=60)
    two = descend(VALLEY, bound, 60 - pause, horizon=60, state=one.state)
    np.testing.assert_array_equal(whole.lr, np.concatenate([one.lr, two.lr]))
    np.testing.assert_array_equal(whole.theta, np.concatenate([one.theta, two.theta[1:]]))
    assert whole.state.memory == two.state.memory
    assert whole.state.memory["lr"]["setbacks"] > one.state.memory["lr"]["setbacks"] > 0


def test_a_schedule_remembers_nothing_of_its_warm_up():
    run = descend(VALLEY, remembering(warmup=10), 10)
    assert run.state.memory["lr"] == {"best": np.inf, "share": 1.0, "setbacks": 0}
    np.testing.assert_allclose(run.lr, 0.01 * np.arange(10), rtol=0, atol=BAR)
    first = descend(VALLEY, remembering(warmup=10), 11).state.memory["lr"]
    assert first["best"] == pytest.approx(run.loss[-1], rel=1e-12)


def test_a_remembering_schedule_compiles_once(compilations):
    descend(VALLEY, remembering(), 60)
    before = compilations()
    for values in ({"cut": 1}, {"cut": np.float32(0.25)}, {"warmup": 7, "warmup_start": 1}):
        descend(VALLEY, remembering(**values), 60)
    assert compilations() == before
