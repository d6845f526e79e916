"""Turns: one script at a time, the shortest first, nobody for ever, others while one computes aside or for long."""

import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from optviz.pools import LOWER, on_any_core, pool
from optviz.ui import turns
from optviz.ui.turns import aside, in_turn

LONG = 20.0  # s, that nothing here comes near


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Turns that no other test's pages have taken."""
    monkeypatch.setattr(turns, "_turns", turns._Turns())


def started(*work: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    return threads


def all_wait(count: int) -> None:
    """Until so many wait for their turn."""
    until = time.monotonic() + LONG
    while len(turns._turns._waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_of_those_who_wait_the_shortest_go_first(monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", LONG)
    for page, took in (("map", 0.2), ("slider", 0.01), ("race", 0.1)):
        turns._turns.learn(page, took)
    order, inside = [], []

    def visit(page: str) -> None:
        with in_turn(page):
            inside.append(page)
            assert len(inside) == 1
            order.append(page)
            inside.remove(page)

    with in_turn("first"):
        threads = []
        for waiting, page in enumerate(["map", "slider", "race", "slider"], start=1):
            threads += started(lambda page=page: visit(page))
            all_wait(waiting)
    for thread in threads:
        thread.join(LONG)
    assert order == ["slider", "slider", "race", "map"]


def test_who_came_long_before_goes_before_a_shorter_one():
    turns._turns.learn("map", 0.2)
    turns._turns.learn("slider", 0.01)
    order, now = [], time.perf_counter()

    def visit(page: str, came: float) -> None:
        number = turns._turns.take(page, came)
        order.append(page)
        turns._turns.give(number)

    with in_turn("first"):
        threads = started(lambda: visit("slider", now))
        all_wait(1)
        threads += started(lambda: visit("map", now - 2 * turns.WEIGHT * 0.2))
        all_wait(2)
    for thread in threads:
        thread.join(LONG)
    assert order == ["map", "slider"]


def test_a_turn_that_lasts_is_lost_to_one_of_those_who_wait(monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 0.5)
    inside, most, done = set(), [], threading.Event()

    def visit(name: int) -> None:
        with in_turn("page"):
            inside.add(name)
            most.append(len(inside))
            time.sleep(0.02)
            inside.remove(name)
        if len(most) == 5:
            done.set()

    with in_turn("long"):
        threads = started(*[lambda name=name: visit(name) for name in range(5)])
        assert done.wait(LONG)
        for thread in threads:
            thread.join(LONG)
        assert turns._turns._holder is None  # the long one has lost its turn, and may go on
    assert most == [1] * 5  # the others went one after another all the same
    assert turns._turns._holder is None


def test_who_lost_a_turn_takes_none_from_others(monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    lost = turns._turns.take("long", 0.0)
    others = turns._turns.take("other", 0.0)  # waits until the long one has lost it
    turns._turns.give(lost)
    assert turns._turns._holder == others
    turns._turns.give(others)
    assert turns._turns._holder is None


def test_others_have_their_turns_while_one_computes_aside(monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", LONG)
    done = threading.Event()

    def other() -> None:
        with in_turn("other"):
            done.set()

    with in_turn("map"):
        (thread,) = started(other)
        all_wait(1)
        with aside():
            assert done.wait(LONG)
            thread.join(LONG)
        assert turns._turns._holder is not None
    assert turns._turns._holder is None


def test_what_was_done_aside_does_not_count_as_a_turn():
    with in_turn("map"), aside():
        time.sleep(0.2)
    assert turns._turns.usual["map"] < 0.1


def test_a_turn_within_a_turn_is_the_same_one_and_a_failure_ends_it():
    with pytest.raises(ValueError, match="broken"), in_turn("page"), in_turn("fragment"):
        raise ValueError("broken")
    assert turns._turns._holder is None
    assert list(turns._turns.usual) == ["page"]
    with aside():  # outside a turn, as in a test or a download
        assert turns._turns._holder is None


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a priority of its own")
def test_a_pool_gives_way():
    def own() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    threads = pool("of a test", 1)
    assert threads.submit(own).result(LONG) == min(19, own() + LOWER)
    threads.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread can be told where to run")
def test_a_pool_with_a_thread_for_each_core_keeps_them_apart():
    cores = os.sched_getaffinity(0)
    together = threading.Barrier(len(cores))

    def where() -> tuple[frozenset[int], set[int], frozenset[int]]:
        together.wait(LONG)
        before = frozenset(os.sched_getaffinity(0))
        with on_any_core():
            within = os.sched_getaffinity(0)
        return before, within, frozenset(os.sched_getaffinity(0))

    threads = pool("of a test", len(cores))
    found = [one.result(LONG) for one in [threads.submit(where) for _ in cores]]
    threads.shutdown()
    assert {before for before, _, _ in found} == {frozenset({core}) for core in cores}
    for before, within, after in found:
        assert within == cores
        assert after == before
    with on_any_core():  # a thread without a place keeps what it may use
        assert os.sched_getaffinity(0) == cores
