"""What many ask for at once is computed once.

A class opens its instructor's link within a second. A plain cache helps nobody then: all look, all miss, and a hundred
threads compute the same thing side by side. Here the first one who asks computes, and the others wait for what it
finds. What was found is kept in bounded room, the least recently used leaves first, and it is shared by all visitors:
nobody may change it.

`once` is for a function. `in_pieces` is for a generator, whose pieces are shared while they come: whoever is the
first to want the next piece computes it, so that one who stops or leaves holds nobody up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from functools import wraps
from itertools import count
from threading import Condition, Lock
from typing import Any, Generic, ParamSpec, TypeVar

from cachetools import LRUCache, cached
from cachetools.keys import hashkey

P = ParamSpec("P")
T = TypeVar("T")


def _one(_: Any) -> float:
    return 1


def once(
    most: float, size: Callable[[Any], float] = _one, key: Callable[..., Hashable] = hashkey
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator: a call with arguments whose result is known, or is being computed, computes nothing.

    Results are kept up to `most` in all, by `size`, which counts them if left out. `key` makes of the arguments what
    tells results apart. A computation that raises is not kept: the next one who waited tries for itself. The function
    must not come to call itself with the same key, for it would wait for itself.
    """
    return cached(LRUCache(most, size), key, condition=Condition())


BEGUN_AT_MOST = 64  # computations that nobody has read to their end: each holds a state, whose size nobody knows


class _Shared(Generic[T]):
    """Pieces of one computation, and who computes the next of them."""

    def __init__(self, rest: Iterator[T]):
        self.rest, self.pieces, self.turn = rest, [], Lock()
        self.whole = False
        self.failure: Exception | None = None
        self.counted, self.weight = 0, 0.0  # pieces whose size the store knows, and what they weigh

    def at_least(self, count: int) -> bool:
        """Whether there are so many pieces, computed here if need be."""
        if len(self.pieces) >= count:  # without waiting for who computes the next one
            return True
        with self.turn:
            if self.failure:
                raise self.failure
            if len(self.pieces) < count and not self.whole:
                try:
                    self.pieces.append(next(self.rest))
                except StopIteration:
                    self.whole, self.rest = True, iter(())
                except BaseException as error:  # after any of them a generator has ended, and is not whole
                    self.failure = error if isinstance(error, Exception) else RuntimeError("it was broken off")
                    raise
            return len(self.pieces) >= count


class _Store(Generic[T]):
    """Computations that are shared, up to `most` by the `size` of their pieces; the least recently asked for go first,
    and the last one never."""

    def __init__(self, most: float, size: Callable[[Any], float]):
        self.most, self.size, self.total = most, size, 0.0
        self.kept: OrderedDict[Hashable, _Shared[T]] = OrderedDict()
        self.lock = Lock()

    def find(self, asked: Hashable, make: Callable[[], Iterator[T]]) -> _Shared[T]:
        with self.lock:
            if asked not in self.kept:
                self.kept[asked] = _Shared(make())
                begun = [other for other, shared in self.kept.items() if not shared.whole]
                for other in begun[:-BEGUN_AT_MOST]:
                    self._drop(other)
            self.kept.move_to_end(asked)
            return self.kept[asked]

    def weigh(self, asked: Hashable, shared: _Shared[T]) -> None:
        """Count the pieces that are new, and make room for them."""
        with self.lock:
            new = shared.pieces[shared.counted :]
            weight = sum(map(self.size, new))
            shared.counted, shared.weight = shared.counted + len(new), shared.weight + weight
            if self.kept.get(asked) is shared:
                self.total += weight
            while self.total > self.most and len(self.kept) > 1:
                self._drop(next(iter(self.kept)))

    def forget(self, asked: Hashable, shared: _Shared[T]) -> None:
        with self.lock:
            if self.kept.get(asked) is shared:
                self._drop(asked)

    def _drop(self, asked: Hashable) -> None:  # with the lock held
        self.total -= self.kept.pop(asked).weight


def in_pieces(
    most: float, size: Callable[[Any], float] = _one, key: Callable[..., Hashable] = hashkey
) -> Callable[[Callable[P, Iterator[T]]], Callable[P, Iterator[T]]]:
    """A decorator for a generator function: all who go through the pieces for the same arguments share them.

    Computations are kept up to `most` in all, by the `size` of a piece; the one that was asked for last is always kept.
    Of those that nobody has read to their end, BEGUN_AT_MOST are. What the generator raises, all of its present readers
    get, and it is forgotten. `key` is as in `once`.
    """

    def keep(make: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
        store: _Store[T] = _Store(most, size)

        @wraps(make)
        def read(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            asked = key(*args, **kwargs)
            shared = store.find(asked, lambda: make(*args, **kwargs))
            for number in count():
                try:
                    more = shared.at_least(number + 1)
                except BaseException:
                    store.forget(asked, shared)
                    raise
                if not more:
                    return
                if shared.counted <= number:
                    store.weigh(asked, shared)
                yield shared.pieces[number]

        return read

    return keep
