"""What a step costs: memory is counted from the arrays and grows as it should, and counted steps are those of runs."""

import itertools

import jax
import numpy as np
import pytest

import optviz
from optviz.scaling import (
    MEMORY,
    PIECES,
    SIZES,
    TOLERANCE,
    WORK_SIZES,
    Cost,
    cost,
    costs,
    exponent,
    extended_rosenbrock,
    hessian_bytes,
    pairs_bytes,
    start,
    work,
)


def test_memory_grows_like_n_squared_and_like_n():
    assert hessian_bytes(2) == 32 < pairs_bytes(2)  # in the plane, L-BFGS keeps more
    assert hessian_bytes(2000) == 32_000_000
    assert pairs_bytes(2000) == 2 * MEMORY * 2000 * 8
    assert exponent(SIZES, [hessian_bytes(n) for n in SIZES]) == pytest.approx(2)
    assert exponent(SIZES, [pairs_bytes(n) for n in SIZES]) == pytest.approx(1)


def test_the_bytes_measured_are_those_counted():
    for n in (2, 60):
        found = cost(n)
        assert (found.hessian_bytes, found.pairs_bytes) == (hessian_bytes(n), pairs_bytes(n))
        assert min(found.gradient, found.hessian, found.solve, found.two_loop) > 0


def test_measurements_come_one_by_one_and_the_small_ones_first():
    first = list(itertools.islice(costs(), 2))
    assert [type(one) for one in first] == [Cost, Cost]
    assert [one.n for one in first] == list(SIZES[:2])
    assert len(SIZES) + len(WORK_SIZES) == PIECES


def test_two_parameters_walk_as_on_the_surface():
    """In the plane the steps are counted as the whole history of a run tells them."""
    begin = (float(start(2)[0]), float(start(2)[1]))
    np.testing.assert_allclose(begin, (-1.2, 1.0))
    counted = work(2).steps
    for key, steps, rate in (("newton", 30, 1.0), ("lbfgs", 80, 1.0), ("sgd", 20_000, 0.001)):
        loss = optviz.trace("rosenbrock", key, steps=steps, start=begin, lr=rate).loss
        assert counted[key] == np.flatnonzero(~(loss <= TOLERANCE))[-1] + 1


def test_more_parameters_take_more_steps_of_l_bfgs_and_newton_needs_the_fewest():
    small, large = work(2).steps, work(20).steps
    assert small["lbfgs"] < large["lbfgs"] < large["sgd"]
    assert large["newton"] < large["lbfgs"]


def test_the_function_is_rosenbrocks_side_by_side():
    theta = start(6)
    pairs = [optviz.trace("rosenbrock", "sgd", steps=1, lr=0.001, start=tuple(pair)).loss[0]
             for pair in theta.reshape(-1, 2)]  # fmt: skip
    np.testing.assert_allclose(extended_rosenbrock(jax.numpy.asarray(theta)), sum(pairs))
    assert np.abs(jax.grad(extended_rosenbrock)(np.ones(6))).max() == 0


@pytest.mark.parametrize("n", [0, 3, 2002])
def test_sizes_are_bounded(n):
    with pytest.raises(ValueError, match="even number from 2 to 2000"):
        start(n)
