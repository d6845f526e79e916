"""Compiled programs: each is compiled once, nothing stays of what JAX traced, and what is not used is forgotten."""

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from optviz import programs
from optviz.programs import ALIGNMENT, Compiled, aligned, kept, program


def doubled() -> jax.stages.Wrapped:
    def doubling(parts):
        return {"whole": 2 * parts["whole"], "half": parts["half"] / 2}

    return jax.jit(doubling)


@pytest.fixture
def count(compilations) -> Callable[[], int]:
    """How often `doubling` has been compiled."""
    return lambda: sum("doubling" in one for one in compilations())


def test_a_program_compiles_once_for_each_kind_of_argument(count):
    compiled, before = Compiled(doubled), count()
    for whole, half, new in (
        (np.int64(3), np.float64(5), 1),
        (np.int64(4), np.float64(6), 0),
        (np.int64(3), np.float32(5), 1),  # another type
        (np.arange(3), np.float64(5), 1),  # another shape
        (np.arange(3) + 1, np.float64(7), 0),
        (3, 5.0, 1),  # Python's own numbers, which take on the type of what they meet
    ):
        found = compiled({"whole": whole, "half": half})
        assert np.all(found["whole"] == 2 * np.asarray(whole))
        assert found["half"] == half / 2
        assert count() - before == new
        before = count()
    compiled.clear_cache()
    assert compiled({"whole": np.int64(3), "half": np.float64(5)})["whole"] == 6
    assert count() - before == 1


def test_who_comes_while_it_compiles_waits(count):
    before, together, compiled = count(), threading.Barrier(8), Compiled(doubled)

    def ask(number: int) -> int:
        together.wait(30)
        return int(compiled({"whole": np.int64(number), "half": np.float64(1)})["whole"])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [2 * number for number in range(8)]
    assert count() - before == 1


def test_what_the_compiler_took_goes_back_once(monkeypatch):
    returned = []
    monkeypatch.setattr(programs, "_return_memory", lambda: returned.append(True))
    compiled = Compiled(doubled)
    for number in range(3):
        compiled({"whole": np.float64(number), "half": np.float64(1)})
    assert len(returned) == 1


def test_what_a_program_reads_in_place_is_aligned():
    for shape, dtype in (((3,), np.float32), ((7, 5), np.float64)):
        array = aligned(shape, dtype)
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.ctypes.data % ALIGNMENT == 0
        assert array.flags.c_contiguous


def test_nothing_stays_of_what_was_traced():
    """What a program's function holds on to, such as a problem with its data, is let go once it is compiled."""

    class Data:
        array = np.ones(3)

    data = Data()
    seen = weakref.ref(data)

    def make(data: Data = data) -> jax.stages.Wrapped:
        return jax.jit(lambda x: x + data.array.sum())

    compiled = Compiled(make)
    assert compiled(np.float64(1)) == 4
    compiled._make = lambda: None
    del data, make
    gc.collect()
    assert seen() is None
    assert compiled(np.float64(2)) == 5


def test_the_store_forgets_what_was_not_used_for_longest(monkeypatch):
    monkeypatch.setattr(programs, "_programs", type(programs._programs)())
    monkeypatch.setattr(programs, "COMPILED_AT_MOST", 2)
    first, second = (program(("of a test", i), doubled) for i in range(2))
    assert program(("of a test", 0), doubled) is first
    first({"whole": np.int64(1), "half": np.float64(1)})
    second({"whole": np.int64(1), "half": np.float64(1)})
    program(("of a test", 2), doubled)
    assert list(programs._programs) == [("of a test", 0), ("of a test", 2)]
    assert not second._compiled
    assert first._compiled


def test_what_cannot_forget_is_not_kept():
    with pytest.raises(TypeError, match="must be able to forget"):
        kept(("of a test", "a plain function"), lambda: print)
