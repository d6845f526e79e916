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


class _Shared(Generic[T]):
    """Pieces of one computation, and who computes the next of them."""

    def __init__(self, rest: Iterator[T]):
        self.rest, self.pieces, self.turn = rest, [], Lock()
        self.whole = False
        self.failure: Exception | None = None

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
                except Exception as error:
                    self.failure = error
                    raise
            return len(self.pieces) >= count


def in_pieces(
    most: float, size: Callable[[Any], float] = _one, key: Callable[..., Hashable] = hashkey
) -> Callable[[Callable[P, Iterator[T]]], Callable[P, Iterator[T]]]:
    """A decorator for a generator function: all who go through the pieces for the same arguments share them.

    Computations are kept up to `most` in all, by the `size` of a piece, begun ones too; the one that was asked for last
    is always kept. What the generator raises, all of its present readers get, and it is forgotten. `key` is as in
    `once`.
    """

    def keep(make: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
        kept: OrderedDict[Hashable, _Shared[T]] = OrderedDict()
        lock = Lock()

        @wraps(make)
        def read(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            asked = key(*args, **kwargs)
            with lock:
                shared = kept.get(asked)
                if shared is None:
                    shared = kept[asked] = _Shared(make(*args, **kwargs))
                kept.move_to_end(asked)
            for number in count():
                known = len(shared.pieces)
                try:
                    if not shared.at_least(number + 1):
                        return
                except Exception:
                    with lock:
                        if kept.get(asked) is shared:
                            del kept[asked]
                    raise
                if len(shared.pieces) > known:
                    with lock:
                        _make_room(kept, most, size)
                yield shared.pieces[number]

        return read

    return keep


def _make_room(kept: OrderedDict[Hashable, _Shared], most: float, size: Callable[[Any], float]) -> None:
    weights = {asked: sum(map(size, list(shared.pieces))) for asked, shared in kept.items()}
    total = sum(weights.values())
    for asked, weight in weights.items():
        if total <= most or len(kept) == 1:
            return
        del kept[asked]
        total -= weight
