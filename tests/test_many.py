"""Many runs at once are the runs of the descent laboratory, one by one."""

from __future__ import annotations

import math
import os
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from optviz import doctor
from optviz import many as module
from optviz.experiment import Experiment, Pick, Racer, run
from optviz.many import STATES, elementwise, finals, many, rates, snapshots, tiles, variable
from optviz.optimizers import OPTIMIZERS
from optviz.surfaces import SURFACES
from optviz.tuning import tuned_lr

RUNS = 7
STEPS = 120
VALLEY = Experiment(Pick("valley", {"kappa": 20.0}), start=(-1.6, 0.7), steps=STEPS, tolerance=1e-4)
HIMMELBLAU = Experiment(Pick("himmelblau"), start=(-1.0, 2.0), steps=STEPS)


def alone(experiment: Experiment, racer: Racer):
    return run(replace(experiment, racers=(racer,)))[0]


def one_of(experiment: Experiment, racer: Racer, vary: dict, i: int) -> tuple[Experiment, Racer]:
    """The experiment and the racer of run i."""
    start = list(experiment.start)
    for name, values in vary.items():
        value = values[i].item()
        if name in ("x", "y"):
            start["xy".index(name)] = value
        elif name.startswith("surface."):
            own = experiment.surface.but(**{name.removeprefix("surface."): value})
            experiment = replace(experiment, surface=own, start=tuple(start))
        elif name in ("noise", "l2", "seed"):
            experiment = replace(experiment, **{name: value})
        else:
            racer = racer.but(**{name: value})
    return replace(experiment, start=tuple(start)), racer


def agree(experiment: Experiment, racer: Racer, vary: dict, within: float = 1e-9) -> None:
    """Every run of many, in double precision, is the run that it stands for."""
    ends = many(experiment, racer, vary, precision="double")
    for i in range(len(ends.loss)):
        other, own = one_of(experiment, racer, vary, i)
        expected = alone(other, own)
        path, outcome = expected.trajectory, expected.outcome
        assert STATES[ends.state[i]] == outcome.state, i
        assert ends.lost[i] == (math.inf if outcome.at is None else outcome.at), i
        if outcome.at is not None:
            continue  # beyond, infinities come a step sooner or later
        scale = max(1.0, float(np.abs(path.theta[-1]).max()))
        np.testing.assert_allclose(ends.theta[i], path.theta[-1], rtol=0, atol=within * scale)
        np.testing.assert_allclose(ends.loss[i], path.loss[-1], rtol=within, atol=within)
        np.testing.assert_allclose(ends.lowest[i], path.loss.min(), rtol=within, atol=within)
        lowest = other.entry.minima_at(other.surface_values)
        if lowest:
            close = path.loss - min(minimum.value for minimum in lowest) <= other.tolerance
            last = np.flatnonzero(~close)
            assert ends.settled[i] == (math.inf if not close[-1] else last[-1] + 1 if len(last) else 0), i


@pytest.mark.parametrize("key", OPTIMIZERS)
def test_each_run_is_the_run_alone(key):
    lr = tuned_lr("himmelblau", key)
    racer = Racer(Pick(key, {"lr": lr}))
    vary = {"lr": lr * np.geomspace(0.2, 2.0, RUNS), "x": np.linspace(-2, 2, RUNS)}
    # 1e-9: a block's instructions round otherwise than a single run's, and 120 steps may multiply that
    agree(HIMMELBLAU, racer, vary)


@pytest.mark.parametrize("key", OPTIMIZERS)
def test_a_rule_is_given_all_runs_at_once_only_if_it_works_coordinate_by_coordinate(key):
    """By experiment: a rule is elementwise if another second coordinate leaves the first one's way as it is."""
    racer = Racer(Pick(key, {"lr": 0.01}))
    flat = Experiment(Pick("valley", {"kappa": 3.0, "rotation": 0.0}), start=(1.0, 0.5), steps=5)
    other = replace(flat, start=(1.0, -1.7))
    same = np.array_equal(alone(flat, racer).trajectory.theta[:, 0], alone(other, racer).trajectory.theta[:, 0])
    found = elementwise(OPTIMIZERS[key], racer.rule.hyper.static)
    assert not found or same


def test_most_rules_are_given_all_runs_at_once():
    others = [key for key, entry in OPTIMIZERS.items() if not elementwise(entry, Racer(Pick(key)).rule.hyper.static)]
    assert others == ["newton", "lbfgs", "optax_prodigy", "optax_sm3"]


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_takes_a_batch(surface):
    experiment = Experiment(Pick(surface), steps=40)
    lr = tuned_lr(surface, "momentum")
    agree(experiment, Racer(Pick("momentum")), {"lr": np.array([0.1, 0.5, 1.0]) * lr}, within=1e-8)


@pytest.mark.parametrize(
    "vary",
    [
        {"lr": np.geomspace(0.01, 0.3, RUNS), "momentum": np.linspace(0, 0.95, RUNS)},
        {"surface.kappa": np.geomspace(1, 200, RUNS), "lr": np.full(RUNS, 0.012)},
        {"noise": np.linspace(0, 0.5, RUNS), "l2": np.linspace(0, 0.4, RUNS)},
        {"seed": np.arange(RUNS), "noise": np.full(RUNS, 0.3)},
        {"x": np.linspace(-2, 2, RUNS), "y": np.linspace(-2, 2, RUNS)[::-1]},
        {"lr": np.geomspace(0.01, 1e3, RUNS)},
    ],
    ids=lambda vary: "-".join(vary),
)
def test_everything_that_may_vary_acts(vary):
    agree(VALLEY, Racer(Pick("momentum", {"lr": 0.02})), vary)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "plateau", "bold_driver"])
def test_schedules_act_on_every_run(schedule):
    racer = Racer(Pick("sgd", {"lr": 0.05}), {"lr": Pick(schedule)})
    agree(VALLEY, racer, {"lr": np.geomspace(0.005, 0.09, RUNS)})


def test_a_piece_boundary_changes_nothing(monkeypatch):
    racer, rates = Racer(Pick("adam")), np.geomspace(1e-3, 1, 1100)
    whole = many(VALLEY, racer, {"lr": rates})
    monkeypatch.setattr(module, "PIECE", STEPS * module.BLOCK)
    pieces = list(tiles(VALLEY, racer, {"lr": rates}))
    assert [len(piece.loss) for piece in pieces] == [512, 512, 76]
    for name in whole._fields:
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_single_precision_tells_the_same_story_away_from_borders():
    racer, vary = Racer(Pick("momentum")), {"lr": np.geomspace(0.001, 0.08, 200)}
    single, double = many(VALLEY, racer, vary), many(VALLEY, racer, vary, precision="double")
    assert (single.state == double.state).mean() > 0.98
    np.testing.assert_allclose(single.theta, double.theta, rtol=0, atol=1e-5)


def by_the_book(steps: np.ndarray, distance: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `rates` says of itself, in NumPy, of distances (k, p) at p steps."""
    with np.errstate(all="ignore"):
        good = np.logical_and.accumulate((distance > floor[:, None]) & (distance < 1e300), axis=1)
        count = good.sum(axis=1)
        shown = np.where(good, np.log(np.where(good, distance, 1.0)), -np.inf)
        last = np.take_along_axis(shown, np.maximum(count - 1, 0)[:, None], axis=1)[:, 0]
        falling = np.maximum.accumulate(shown[:, ::-1], axis=1)[:, ::-1]
        envelope = np.where((last < shown[:, 0])[:, None], falling, np.maximum.accumulate(shown, axis=1))
        used = good & (np.arange(len(steps)) >= (count // 2)[:, None])
        weight = used / np.maximum(used.sum(axis=1), 1)[:, None]
        x = steps - (weight * steps).sum(axis=1)[:, None]
        y = np.where(used, envelope, 0.0)
        return np.exp((weight * x * y).sum(axis=1) / (weight * x**2).sum(axis=1)), count


def test_the_book_knows_a_rate():
    steps = np.arange(101) * 6
    distance = np.stack([3 * 0.9**steps, 0.97**steps * np.abs(np.cos(0.3 * steps)), 1.01**steps, 0.01**steps])
    found, count = by_the_book(steps, distance, np.full(4, 1e-14))
    np.testing.assert_allclose(found[:3], [0.9, 0.97, 1.01], atol=2e-3)
    assert found[0] == pytest.approx(0.9, abs=1e-12)
    assert count.tolist() == [53, 101, 101, 2]


@pytest.mark.parametrize("steps", [1500, 107, 20])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_rates_are_those_of_the_runs(steps, noise):
    """Runs that fall, swing, move away and blow up, 700 of them, so that two blocks and a part of one are asked for;
    107 steps are not a multiple of what lies between two moments."""
    on = Experiment(Pick("booth"), (), start=(1.3, 0.7), steps=steps, noise=noise)
    racer, lr = Racer(Pick("momentum")), np.geomspace(1e-3, 0.6, 700)
    vary = {"lr": lr, "momentum": np.linspace(0.0, 0.95, 7)[np.arange(700) % 7]}
    goal, floor = np.tile([1.0, 3.0], (700, 1)), np.where(lr < 0.1, 3e-14, 1e-3)
    factors, counts = rates(on, racer, vary, 51, goal, floor)
    moments, theta, _ = snapshots(on, racer, vary, 51, precision="double")
    with np.errstate(all="ignore"):
        expected, expected_counts = by_the_book(moments, np.hypot(*np.moveaxis(theta - goal[:, None], 2, 0)), floor)
    np.testing.assert_array_equal(counts, expected_counts)
    long = counts >= 6
    assert long.sum() > 100
    assert (factors[long] < 1).any()
    assert (factors[long] > 1).any()
    np.testing.assert_allclose(factors[long], expected[long], rtol=1e-11)


def test_snapshots_lie_on_the_run():
    racer = Racer(Pick("sgd", {"lr": 0.03}))
    noisy = replace(VALLEY, noise=0.4, steps=101)
    moments, theta, loss = snapshots(noisy, racer, {"seed": np.arange(5)}, 11, precision="double")
    assert moments.tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99, 101]
    for seed in range(5):
        path = alone(replace(noisy, seed=seed), racer).trajectory
        np.testing.assert_allclose(theta[seed], path.theta[moments], rtol=0, atol=1e-12)
        np.testing.assert_allclose(loss[seed], path.loss[moments], rtol=1e-11, atol=1e-12)


def test_target_is_what_settled_counts_against():
    racer, rates = Racer(Pick("sgd")), np.array([0.02, 0.02])
    ends = many(VALLEY, racer, {"lr": rates}, target=np.array([0.5, 0.0]))
    assert 0 < ends.settled[0] < ends.settled[1]


def test_where_no_minimum_is_known_nothing_settles():
    ends = many(Experiment(Pick("saddle"), steps=20), Racer(Pick("sgd", {"lr": 0.01})), {"x": np.array([0.1, 0.2])})
    assert np.isinf(ends.settled).all()


def test_doctor_says_the_same_of_one_run_and_of_many():
    rng = np.random.default_rng(0)
    k, minima, window = 400, SURFACES["himmelblau"].minima_at({}), SURFACES["himmelblau"].window
    around = np.array([(minimum.x, minimum.y) for minimum in minima])[rng.integers(0, 4, k)]
    ends = around + rng.choice([0, 1e-3, 0.1, 2], k)[:, None] * rng.standard_normal((k, 2))
    low = 10.0 ** rng.uniform(-9, 1, k)
    last, first = low * (1 + rng.choice([0, 1e-3, 1], k)), low * (1 + rng.choice([0, 1e-3, 1], k))
    high, turning = np.maximum(first, last), rng.choice([-0.9, 0.3, math.nan], k)
    tails = doctor.Tail(first, last, low, high, turning, 10.0 ** rng.uniform(-6, 1, k))
    found = doctor.states_of_tails(tails, ends, minima, window, 1e-6)
    for i in range(k):
        nearest = min(minima, key=lambda m: math.dist((m.x, m.y), ends[i]))
        tail = doctor.Tail(*np.array(tails)[:, i])
        expected = doctor.state_of_tail(tail, ends[i], nearest, doctor.diagonal_of(window), 1e-6)
        assert STATES[found[i]] == expected
    assert len(set(found.tolist())) == 4  # all but divergence, which no tail tells


def test_no_slider_compiles_anything(compilations):
    racer, vary = Racer(Pick("adam")), {"lr": np.geomspace(1e-3, 1, 3), "beta1": np.array([0.1, 0.5, 0.9])}
    many(VALLEY, racer, vary)
    before = compilations()
    for changed in (
        replace(VALLEY, noise=0.2),
        replace(VALLEY, steps=5000),
        replace(VALLEY, l2=0.1),
        replace(VALLEY, seed=3),
        replace(VALLEY, tolerance=1e-9),
        replace(VALLEY, start=(1.0, 1.0)),
        replace(VALLEY, surface=Pick("valley", {"kappa": 3.0})),
    ):
        many(changed, racer.but(beta2=0.9), vary)
        many(changed, racer, {name: np.repeat(values, 500) for name, values in vary.items()})
    assert compilations() == before


def test_what_may_vary_is_listed():
    hyper, surface = ["lr", "momentum", "dampening"], ["surface.kappa", "surface.rotation"]
    assert list(variable(VALLEY, Racer(Pick("momentum")))) == [*hyper, "x", "y", "noise", "l2", *surface, "seed"]


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ({}, "something must vary"),
        ({"rho": np.ones(2)}, "'rho' cannot vary here; lr"),
        ({"lr": np.array([-1.0, 0.1])}, "lr"),
        ({"lr": np.array([math.nan, 0.1])}, "lr"),
        ({"lr": np.ones((2, 2))}, "a row of numbers"),
        ({"lr": np.ones(0)}, "a row of numbers"),
        ({"lr": np.ones(2), "x": np.ones(3)}, "equally long"),
        ({"lr": np.ones(160_001)}, "too many"),
        ({"seed": np.arange(50_000)}, "too many"),
    ],
)
def test_what_cannot_be_is_said(vary, words):
    with pytest.raises(ValueError, match=words):
        many(VALLEY, Racer(Pick("sgd")), vary)


def test_too_much_work_is_refused():
    with pytest.raises(ValueError, match="too many"):
        many(replace(VALLEY, steps=5000), Racer(Pick("sgd")), {"lr": np.full(201_000, 0.1)})
    with pytest.raises(ValueError, match="moments"):
        snapshots(VALLEY, Racer(Pick("sgd")), {"lr": np.full(10, 0.1)}, 1000)
    with pytest.raises(ValueError, match="precision"):
        many(VALLEY, Racer(Pick("sgd")), {"lr": np.full(10, 0.1)}, precision="half")


@pytest.mark.parametrize("key", ["newton", "lbfgs"])
def test_rules_that_look_across_coordinates_run_in_single_precision(key):
    ends = many(HIMMELBLAU, Racer(Pick(key)), {"x": np.linspace(2.5, 3.5, 5)})
    assert (ends.settled < STEPS).any()


def test_the_threads_of_the_pool_do_the_work_themselves():
    """They give way to pages and have a core each; XLA's own, to which a program may be handed, do not."""
    threads = os.cpu_count() or 1
    together = threading.Barrier(threads)

    def spent() -> tuple[int, float]:
        together.wait(60)
        return threading.get_ident(), time.thread_time()

    def of_all() -> dict[int, float]:
        return dict(one.result() for one in [module._pool.submit(spent) for _ in range(threads)])

    rates = np.geomspace(1e-4, 0.3, 40_000)
    finals(VALLEY, Racer(Pick("adam")), {"lr": rates})  # compiles
    before, began = of_all(), time.process_time()
    for _ in range(5):
        finals(VALLEY, Racer(Pick("adam")), {"lr": rates})
    whole, after = time.process_time() - began, of_all()
    assert sum(after[one] - before[one] for one in before) > 0.7 * whole
