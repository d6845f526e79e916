"""What a hundred ask for at once is computed once, and what is kept stays within its room."""

import gc
import math
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from optviz.once import BEGUN_AT_MOST, in_pieces, once

CLASS = 100


def all_at_once(ask: Callable[[int], Any], count: int = CLASS) -> list[Any]:
    """What `ask(number)` gives to each of so many, who ask at the same moment."""
    together = threading.Barrier(count)

    def one(number: int) -> Any:
        together.wait(30)
        return ask(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_a_hundred_at_once_compute_once():
    computed = []

    @once(8)
    def slow(x):
        computed.append(x)
        time.sleep(0.05)
        return [x]

    found = all_at_once(lambda number: slow(number % 2))
    assert sorted(computed) == [0, 1]
    assert len({id(one) for one in found}) == 2
    assert [one[0] for one in found] == [number % 2 for number in range(CLASS)]


def test_who_asks_for_something_else_does_not_wait():
    begun, go_on = threading.Event(), threading.Event()

    @once(8)
    def slow(x):
        if x == "slow":
            begun.set()
            assert go_on.wait(30)
        return x

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slow, "slow")
        assert begun.wait(30)
        assert slow("quick") == "quick"
        assert not waiting.done()
        go_on.set()
        assert waiting.result(30) == "slow"


def test_what_raises_is_not_kept():
    tried = []

    @once(8)
    def fails(x):
        tried.append(x)
        if len(tried) < 3:
            raise ValueError("not yet")
        return x

    for _ in range(2):
        with pytest.raises(ValueError, match="not yet"):
            fails(1)
    assert fails(1) == fails(1) == 1
    assert tried == [1, 1, 1]


def test_results_are_kept_by_their_size():
    computed = []

    @once(10, size=len)
    def text(length):
        computed.append(length)
        return "x" * length

    for length in (4, 5, 4, 6, 4, 5, 11, 11):  # 6 drives 5 out, 5 then drives out 6, and 11 is never kept
        assert len(text(length)) == length
    assert computed == [4, 5, 6, 5, 11, 11]


def test_pieces_are_shared_while_they_come():
    computed = []

    @in_pieces(100)
    def counting(upto):
        for i in range(upto):
            computed.append(i)
            time.sleep(0.01)
            yield [i]

    found = all_at_once(lambda _: list(counting(5)))
    assert computed == list(range(5))
    assert all(one == [[i] for i in range(5)] for one in found)
    assert len({id(one[3]) for one in found}) == 1


def test_who_leaves_holds_nobody_up_and_nothing_is_computed_twice():
    computed = []

    @in_pieces(100)
    def counting(upto):
        for i in range(upto):
            computed.append(i)
            yield i

    left = counting(4)
    assert [next(left), next(left)] == [0, 1]
    del left
    assert list(counting(4)) == [0, 1, 2, 3]
    assert computed == [0, 1, 2, 3]
    assert list(counting(3)) == [0, 1, 2]  # another computation
    assert computed == [0, 1, 2, 3, 0, 1, 2]


def test_pieces_that_fail_tell_all_who_read_them_and_are_forgotten():
    tried = []

    @in_pieces(100)
    def fails(name):
        tried.append(name)
        yield 1
        if len(tried) == 1:
            time.sleep(0.05)
            raise ValueError("half way")
        yield 2

    def read(_: int) -> Any:
        try:
            return list(fails("a"))
        except ValueError as error:
            return str(error)

    assert set(all_at_once(read, 10)) == {"half way"}
    assert list(fails("a")) == [1, 2]
    assert tried == ["a", "a"]


def test_pieces_are_kept_by_their_size():
    computed = []

    @in_pieces(10, size=len)
    def texts(name, *lengths):
        computed.append(name)
        yield from ("x" * length for length in lengths)

    for name in ("a", "b", "a"):
        assert len(list(texts(name, 2, 2))) == 2
    assert computed == ["a", "b"]
    list(texts("c", 4))  # together 12: b was not used for longest
    list(texts("a", 2, 2))
    assert computed == ["a", "b", "c"]
    list(texts("b", 2, 2))
    assert computed == ["a", "b", "c", "b"]
    assert [len(one) for one in texts("large", 20, 20)] == [20, 20]  # more than there is room for: still read whole


def test_what_is_begun_and_left_is_kept_in_bounded_number():
    begun, living = [], []

    class State:
        """What a computation holds while it is not done."""

    @in_pieces(math.inf)
    def long(name):
        state = State()
        living.append(weakref.ref(state))
        begun.append(name)
        yield 1
        yield 2
        del state

    for name in range(3 * BEGUN_AT_MOST):
        next(long(name))
    gc.collect()
    assert sum(one() is not None for one in living) == BEGUN_AT_MOST
    assert list(long(3 * BEGUN_AT_MOST - 1)) == [1, 2]
    assert begun == list(range(3 * BEGUN_AT_MOST))  # the last one went on
    list(long(0))
    assert begun[-1] == 0


def test_what_is_broken_off_is_not_taken_for_whole():
    tried = []

    @in_pieces(10)
    def leaves(name):
        tried.append(name)
        yield 1
        if len(tried) == 1:
            raise KeyboardInterrupt
        yield 2

    with pytest.raises(KeyboardInterrupt):
        list(leaves("a"))
    assert list(leaves("a")) == [1, 2]
