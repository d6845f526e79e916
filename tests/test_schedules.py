"""Every schedule against closed forms, PyTorch's schedulers and optax's, and what is promised of all of them.

Tests run over the catalogue: a new schedule has to be added to `references.SCHEDULE_REFERENCES`, and to nothing else.
Values are taken from the loop itself, as a run would use them: beyond its end too, where a run goes on with a schedule
that was made for a shorter one.
"""

from __future__ import annotations

import inspect
import itertools
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
STEPS = references.STEPS_COMPARED
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
    reference = SCHEDULE_REFERENCES[key]  # the defaults at least; those that watch have tests of their own
    assert compared >= STEPS or reference.settings[index] or reference.watched


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
        assert param.help.endswith("."), param.name
        if param.kind == "choice":
            assert len(param.options) > 1
            continue
        assert param.symbol, param.name
        assert param.low <= float(param.default) <= param.high, param.name
        assert param.check(param.low) == param.low
        assert param.check(param.high) == param.high


def forms(key: str) -> list[dict[str, Any]]:
    """Every choice of what a schedule is compiled for."""
    choices = {param.name: param.options for param in SCHEDULES[key].params if param.static}
    return [dict(zip(choices, picked, strict=True)) for picked in itertools.product(*choices.values())]


EVERY_FORM = [(key, form) for key in KEYS for form in forms(key)]
every_form = pytest.mark.parametrize(
    ("key", "form"), EVERY_FORM, ids=[" ".join([key, *form.values()]) for key, form in EVERY_FORM]
)


@every_form
def test_no_slider_compiles_anything(key, form, compilations):
    scheduled(key, STEPS, COUNT, **form)
    before = compilations()
    for param in SCHEDULES[key].params:
        if param.static:
            continue
        whole = [int(end) for end in (param.low, param.high) if float(end).is_integer()]
        for value in [float(param.low), np.float64(param.high), *whole, *map(np.int64, whole)]:
            scheduled(key, STEPS, COUNT, **form, **{param.name: value})
    for steps, peak in [(1, 1), (500, np.float32(0.1)), (60, 2.0)]:
        scheduled(key, steps, steps, peak=peak, **form)
    assert compilations() == before


@cache
def told(key: str, static: tuple = ()):
    """The schedule's values at many steps, when it is told these losses one after another. Compiled once, with
    everything else an argument."""
    entry = SCHEDULES[key]

    def run(times, losses, news, traced, peak, steps):
        own = entry.unpack(traced, static)

        def step(memory, now):
            t, loss, seen = now
            value, memory = entry.at(t, memory, peak=peak, steps=steps, value=loss, news=seen, **own)
            return memory, (value, memory)

        memory = jax.tree.map(lambda start: jnp.asarray(start, float), entry.init())
        return jax.lax.scan(step, memory, (times, losses, news))[1]

    return jax.jit(run)


def values_when_told(key: str, losses: Any, *, news: Any = True, peak: float = PEAK, steps: int = STEPS, **values: Any):
    hyper, count = SCHEDULES[key].hyper(**values), len(losses)
    rates, memory = told(key, hyper.static)(
        np.arange(count, dtype=float),
        np.asarray(losses, float),
        np.broadcast_to(news, count),
        hyper.traced,
        np.float64(peak),
        np.float64(steps),
    )
    return np.asarray(rates), {slot: np.asarray(value) for slot, value in memory.items()}


LOSSES = st.floats(allow_nan=True, allow_infinity=True)  # a run may diverge


@every_schedule
@given(data=st.data(), peak=st.floats(1e-12, 1e6), steps=st.integers(1, 10**6), t=st.integers(0, 10**7))
def test_no_schedule_goes_negative(key, data, peak, steps, t):
    """A one-cycle schedule that went below zero after its cycle made other people's runs climb. Nor may any schedule
    exceed the rate that was asked for, or be anything but a number, whatever its parameters, however late, and
    whatever losses it sees."""
    chosen = data.draw(some_of(SCHEDULES[key].param))
    # XLA takes numbers below 2e-308 for 0, which no such parameter may be.
    numbers = [value for value in chosen.values() if not isinstance(value, str)]
    assume(all(value == 0 or abs(value) > np.finfo(float).tiny for value in numbers))
    warmup = int(SCHEDULES[key].complete(chosen)["warmup"])
    times = [*range(12), t, steps - 1, steps, steps + 1, *(max(warmup + i, 0) for i in (-1, 0, 1)), 2 * steps]
    losses, news = np.ones(len(times)), np.ones(len(times), bool)
    if SCHEDULES[key].slots:
        losses = np.array(data.draw(st.lists(LOSSES, min_size=len(times), max_size=len(times))))
        news = np.array(data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times))))
    hyper = SCHEDULES[key].hyper(**chosen)
    run = told(key, hyper.static)
    values = run(np.array(times, float), losses, news, hyper.traced, np.float64(peak), np.float64(steps))[0]
    assert np.isfinite(values).all()
    assert (np.asarray(values) >= 0).all()
    assert (np.asarray(values) <= peak * (1 + 4e-16)).all()  # a rounding of one last digit


CYCLES = ("sgdr", "triangular", "triangular2", "exp_range")  # which go on


@every_schedule
def test_a_schedule_stays_where_it_arrived(key):
    """Beyond the end nothing rises again, but cycles, and what counts with the length of the run stands still."""
    values = scheduled(key, STEPS, COUNT)
    if key in CYCLES:
        assert (np.diff(values[STEPS:]) > 0).any()
    else:
        assert np.all(np.diff(values[STEPS:]) <= 0)
    if "steps" in SCHEDULES[key].needs:
        assert np.all(values[STEPS:] == values[STEPS])


# Where the highest value is not `lr` itself, at the defaults and at STEPS steps, and why.
LOWER_PEAKS = {
    "exp_range": "the cycle has already lost height when it comes to its first summit",
    "one_cycle": "its summit lies between two steps",
    "piecewise_linear": "its points lie between two steps",
}


@every_schedule
def test_from_python(key):
    """One value for each step, and the highest of them is `lr`."""
    values = optviz.schedule(key, steps=STEPS, lr=0.1)
    assert values.shape == (STEPS,)
    assert values.dtype == np.float64
    if key in LOWER_PEAKS:
        assert 0.07 < values.max() < 0.1
    else:
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


# What is promised of some ---------------------------------------------------------------------------------------------


@given(half=st.integers(1, 1000), low=st.floats(0, 1), cycle=st.integers(0, 1000), peak=st.floats(1e-6, 1e3))
def test_triangles_repeat_to_the_last_digit(half, low, cycle, peak):
    """One cycle like the other, at its base and its summit exactly, and symmetric."""
    steps = 2 * half
    hyper = SCHEDULES["triangular"].hyper(half_cycle=half, low=low)
    offsets = np.unique(np.linspace(0, steps, 9).round())
    found = [
        np.asarray(values_at_times("triangular", hyper, begin + offsets, peak=peak)) for begin in (0, cycle * steps)
    ]
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_allclose(found[0], found[0][::-1], rtol=0, atol=1e-15 * peak)
    assert values_at_times("triangular", hyper, [half], peak=peak)[0] == pytest.approx(peak, rel=4e-16)
    assert found[0][0] == peak * low


@given(cycle=st.integers(1, 1000), final=st.floats(0, 1), number=st.integers(0, 1000))
def test_restarts_without_stretching_repeat_to_the_last_digit(cycle, final, number):
    hyper = SCHEDULES["sgdr"].hyper(cycle=cycle, stretch=1.0, final=final)
    offsets = np.unique(np.linspace(0, cycle - 1, 9).round())
    first, later = (values_at_times("sgdr", hyper, begin + offsets) for begin in (0, number * cycle))
    np.testing.assert_array_equal(first, later)
    assert first[0] == PEAK


@pytest.mark.parametrize("cycle", [1, 2, 7, 50, 333])
@pytest.mark.parametrize("stretch", [1, 2, 3, 4])
def test_restarts_come_at_the_exact_step(cycle, stretch):
    """At the restart itself the rate is the peak, and a step before it is not; up to 10 restarts or 10⁷ steps."""
    begins = np.cumsum([cycle * stretch**i for i in range(10)])
    begins = begins[begins < 1e7]
    hyper = SCHEDULES["sgdr"].hyper(cycle=cycle, stretch=stretch)
    np.testing.assert_array_equal(values_at_times("sgdr", hyper, begins), PEAK)
    if cycle > 1 or stretch > 1:
        before = begins[cycle == 1 :] - 1  # of a cycle of one step it is the restart before
        assert (values_at_times("sgdr", hyper, before) < PEAK).all()


def values_at_times(key: str, hyper: Any, times: Any, *, peak: float = PEAK, steps: int = STEPS) -> np.ndarray:
    """The values of a schedule without memory at any steps, padded so that one program serves."""
    many = np.resize(np.asarray(times, float), 16)
    nothing, news = np.ones(16), np.ones(16, bool)
    run = told(key, hyper.static)
    return np.asarray(run(many, nothing, news, hyper.traced, np.float64(peak), np.float64(steps))[0])[: len(times)]


@pytest.mark.parametrize("form", forms("one_cycle"), ids=lambda form: " ".join(form.values()))
@pytest.mark.parametrize("steps", [2, 10, 100, 1000])
def test_one_cycle_ends_annihilated(form, steps):
    """Exactly there, at the last step and for ever after; and exactly at the peak where a step falls on it."""
    hyper = SCHEDULES["one_cycle"].hyper(div=20, final_div=1e5, rise=0.3, **form)
    values = values_at_times("one_cycle", hyper, [0, 0.3 * steps - 1, steps - 1, steps, 10 * steps], steps=steps)
    np.testing.assert_array_equal(values[2:], PEAK / 20 / 1e5)
    if steps >= 10:
        np.testing.assert_allclose(values[:2], [PEAK / 20, PEAK], rtol=1e-15)


@pytest.mark.parametrize("form", forms("one_cycle_momentum"), ids=lambda form: " ".join(form.values()))
def test_the_momentum_is_lowest_where_the_rate_is_highest(form):
    rate = scheduled("one_cycle", STEPS, STEPS, rise=0.4, **form)
    momentum = scheduled("one_cycle_momentum", STEPS, STEPS, rise=0.4, **form)
    assert momentum.argmin() == rate.argmax()
    assert momentum[0] == momentum[-1] == PEAK


@pytest.mark.parametrize("form", forms("range_test"), ids=lambda form: "".join(form.values()))
@pytest.mark.parametrize("steps", [2, 97, 1000])
def test_a_range_test_goes_from_end_to_end(form, steps):
    values = scheduled("range_test", steps, steps, low=1e-3, **form)
    assert values[0] == pytest.approx(1e-3 * PEAK, rel=1e-13)
    assert values[-1] == PEAK
    even = np.diff(np.log(values) if form["spacing"] == "exponential" else values)
    np.testing.assert_allclose(even, even[0], rtol=1e-9)


def test_a_decaying_triangle_without_decay_is_a_triangle():
    np.testing.assert_allclose(
        scheduled("exp_range", STEPS, COUNT, gamma=1.0, half_cycle=9),
        scheduled("triangular", STEPS, COUNT, half_cycle=9),
        rtol=1e-15,
    )


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("sgdr", {"cycle": 1, "stretch": 1e308}),
        ("sgdr", {"cycle": 10**300, "stretch": 1e308}),
        ("sgdr", {"cycle": 1, "stretch": 1 + 2.3e-16, "shrink": 0.0}),
        ("triangular2", {"half_cycle": 10**308}),
        ("exp_range", {"half_cycle": 10**308, "gamma": 0.0}),
        ("one_cycle", {"rise": 0.0, "div": 1e308, "final_div": 1e308}),
        ("one_cycle", {"rise": 1.0, "phases": "three", "shape": "linear"}),
        ("range_test", {"low": 1e-300, "spacing": "linear"}),
        ("inverse_sqrt", {"scale": 1e-300}),
        ("trapezoid", {"fall": 1e-300}),
        ("piecewise_linear", {"x1": 0.0, "x2": 0.0, "x3": 1.0, "x4": 1.0}),
    ],
)
@pytest.mark.parametrize("steps", [1, 2, STEPS])
def test_the_ends_of_the_domains_give_numbers(key, values, steps):
    """Quotients of 0 and of infinity lie here."""
    rates = scheduled(key, steps, COUNT, **values)
    assert np.isfinite(rates).all()
    assert ((rates >= 0) & (rates <= PEAK * (1 + 4e-16))).all()


def test_a_point_at_the_end_gives_way_to_the_end():
    rates = scheduled("piecewise_linear", 10, 12, x4=1.0, y4=1.0, y5=0.25)
    assert rates[10] == rates[11] == 0.25 * PEAK
    assert rates[9] > 0.5 * PEAK


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


# Schedules that watch the loss ---------------------------------------------------------------------------------------

WATCHING = [key for key in KEYS if SCHEDULE_REFERENCES[key].watched]
RNG = np.random.default_rng(4)
RECORDED = {  # losses that a run might have shown; ReduceLROnPlateau's own threshold has no sense for negative ones
    "noisy decay": np.exp(-np.arange(120) / 25) * (1 + 0.2 * RNG.standard_normal(120)) ** 2,
    "stairs": np.repeat([5.0, 3.0, 2.999, 1.0, 1.5, 0.2], 20),
    "zero": np.zeros(120),
    "diverging": np.concatenate([[1.0, 0.5], np.geomspace(0.6, 1e300, 58), np.full(30, np.inf), np.full(30, np.nan)]),
}
every_record = pytest.mark.parametrize("losses", RECORDED.values(), ids=RECORDED)
WATCHED = [(key, index) for key, index in SETTINGS if key in WATCHING]
every_watched = pytest.mark.parametrize(("key", "index"), WATCHED, ids=[f"{key}-{index}" for key, index in WATCHED])


def reference_when_told(key: str, losses: Any, peak: float, **values: Any) -> list[float]:
    watched = SCHEDULE_REFERENCES[key].watched
    assert watched
    return watched(losses, peak, **values)


def test_those_that_watch_are_compared():
    assert set(WATCHING) == {key for key in KEYS if SCHEDULES[key].slots}


@every_record
@every_watched
def test_what_was_watched_decides(key, index, losses):
    values = own(key, index)
    ours, _ = values_when_told(key, losses, **values)
    theirs = reference_when_told(key, losses, PEAK, **values)
    assert np.abs(ours - theirs).max() <= BAR


def test_a_negative_loss_can_improve_on_a_plateau():
    """PyTorch's threshold, best · (1 − ε), would ask a negative loss to rise."""
    falling = -np.geomspace(1, 50, 40)
    settings = {"patience": 0, "threshold": 0.05}
    assert (values_when_told("plateau", falling, **settings)[0] == PEAK).all()
    reference = references.plateau(falling, PEAK, factor=0.1, cooldown=0, least=0.0, **settings)
    assert reference == [PEAK] * 40


@every_record
@pytest.mark.parametrize("index", range(len(SCHEDULE_REFERENCES["plateau"].settings)))
def test_plateau_is_torchs(index, losses, torch):
    values = own("plateau", index)
    with references.torch_float64():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            factor=values["factor"] if values["factor"] < 1 else 0.5,
            patience=values["patience"],
            threshold=values["threshold"],
            cooldown=values["cooldown"],
            min_lr=values["least"] * PEAK,
            eps=0,
        )
        theirs = []
        for loss in losses:
            scheduler.step(loss)
            theirs.append(optimizer.param_groups[0]["lr"])
    if values["factor"] == 1:  # which PyTorch refuses; a minimum as high as the peak does the same
        assert set(theirs) == {PEAK}
    ours, _ = values_when_told("plateau", losses, **values)
    assert np.abs(ours - theirs).max() <= BAR


@pytest.mark.parametrize("key", WATCHING)
def test_without_news_nothing_is_learnt(key):
    """Once in seven steps there is news, and in between NaN: the same as seven steps at each of these values."""
    losses, settings = RECORDED["noisy decay"], {"patience": 1} if key == "plateau" else {}
    spread = np.full((len(losses), 7), np.nan)
    spread[:, 0] = losses
    seldom, _ = values_when_told(key, spread.ravel(), news=np.arange(7 * len(losses)) % 7 == 0, **settings)
    often, _ = values_when_told(key, losses, **settings)
    np.testing.assert_array_equal(seldom, np.repeat(often, 7))
    assert len(set(often)) > 2


@pytest.mark.parametrize("key", WATCHING)
def test_on_a_surface_the_true_loss_is_watched_at_every_step(key):
    """The noise of a step would make it look like a setback, and the penalty is not what is to be made small. Before
    they look, the warm-up passes."""
    settings = {"plateau": {"factor": 0.5, "patience": 1, "threshold": 0.02, "cooldown": 2}, "bold_driver": {}}[key]
    pick = Pick(key, {**settings, "warmup": 5})
    run = optviz.trace("valley", "sgd", steps=80, lr=0.06, noise=2.0, l2=0.5, seed=3, schedules={"lr": pick})
    complete = {name: value for name, value in SCHEDULES[key].complete(settings).items() if "warmup" not in name}
    expected = reference_when_told(key, run.loss[5:-1], 0.06, **complete)
    assert np.abs(run.lr[5:] - expected).max() <= BAR
    assert len(set(run.lr)) > 10 if key == "bold_driver" else len(set(run.lr[5:])) > 2
    assert run.memory.keys() == {"lr"}
    assert set(run.memory["lr"]) == set(SCHEDULES[key].slots)
    np.testing.assert_array_equal(run.memory["lr"]["share"] * 0.06, [0.06] * 5 + run.lr[5:].tolist())
    if key == "bold_driver":
        np.testing.assert_allclose(run.memory["lr"]["last"][5:], run.loss[5:-1], rtol=1e-14)
    else:
        best = run.memory["lr"]["best"][5:]
        assert (np.diff(best) <= 0).all()
        assert len(set(best)) > 5
        assert np.isclose(best[:, None], run.loss[5:-1], rtol=1e-14, atol=0).any(axis=1).all()
    for slot, value in run.memory["lr"].items():
        assert value.shape == (80,)
        assert value[-1] == run.state.memory["lr"][slot]


def test_what_was_remembered_is_recorded_across_pieces():
    """A run of more steps than a program can record is several pieces."""
    bound = rule(OPTIMIZERS["sgd"], {"lr": 0.01}, {"lr": (SCHEDULES["bold_driver"], {})})
    run = descend(VALLEY, bound, 5200)
    assert run.memory["lr"]["last"].shape == (5200,)
    np.testing.assert_allclose(run.memory["lr"]["last"], run.loss[:-1], rtol=1e-14, atol=1e-300)
    assert optviz.trace("valley", "sgd", steps=3).memory == {}
