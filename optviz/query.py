"""What every codec of links shares: the fields of a query string are read one by one, forgivingly.

What cannot be read falls back to its default with a sentence that says so: a link from a colleague with one typing
error still opens the rest. Which fields a page has, its own codec knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from optviz.spec import Param

VERSION = "1"
FIELD_AT_MOST = 3500  # characters that are read of one field
MESSAGES_AT_MOST = 5

Query = Mapping[str, list[str]]
Value = TypeVar("Value")  # a frozen dataclass that checks itself


def single(query: Query, known: set[str], messages: list[str]) -> dict[str, str]:
    """Each field's last value, at most FIELD_AT_MOST characters of it. A field that is not `known` gets a sentence."""
    one = {name: values[-1][:FIELD_AT_MOST] for name, values in query.items() if values}
    if one.pop("v", VERSION) != VERSION:
        messages.append("The link was written by another version of this page and may open differently.")
    with forgiving(messages):
        unknown = sorted(set(one) - known)
        if unknown:
            raise ValueError(f"there is no field “{unknown[0][:32]}”")
    return one


def read_values(params: Mapping[str, Param], texts: Mapping[str, str], messages: list[str]) -> dict[str, Any]:
    """The values of `params` that are written as `texts`, without those that cannot be read."""
    values = {}
    for name, text in texts.items():
        with forgiving(messages):
            if name not in params:
                raise ValueError(f"there is no parameter “{name[:32]}”; there are {', '.join(params) or 'none'}")
            values[name] = params[name].parse(text)
    return values


def changed(
    default: Value, changes: Mapping[str, Any], messages: list[str], steps: Iterable[Callable[[Value], Value]] = ()
) -> Value:
    """`default` with the fields that a link brings: all together, because one may need another; where they do not go
    together one by one, or by `steps`, to save what can be."""
    found: Any = default
    with forgiving(messages):
        return replace(found, **changes)
    messages.pop()  # what is wrong is said below, field by field
    for step in steps or [partial(replace, **{name: value}) for name, value in changes.items()]:
        with forgiving(messages):
            found = step(found)
    return found


@contextmanager
def forgiving(messages: list[str]) -> Iterator[None]:
    """Turn a ValueError within into a sentence among `messages`."""
    try:
        yield
    except ValueError as error:
        sentence, gap, drawing = str(error).partition("\n\n")  # of a formula, the text with a caret below the place
        sentence = f"Part of the link could not be read: {sentence.rstrip('.')}. The default stands in for it."
        messages.append(sentence + gap + drawing)
