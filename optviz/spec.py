"""The language of declarations.

An idea of the field (an optimizer, a schedule, a surface) is one plain function and one *card* about it: title,
formula, source, parameters. The card is written once, in the decorator above the function; sliders, help texts, links,
tests and exported code all read it. This module holds the words that cards are written in.

    OPTIMIZERS = Catalogue("optimizer", argument=("grad",), supplies=("t", "theta"))

    @OPTIMIZERS.declare(title="Gradient descent", params=(LR,), ...)
    def descent(grad, *, lr): ...

A function's keyword arguments must be parameters, slots (what it remembers between steps) or things that the caller
supplies; the decorator checks that at import, so that a misspelt name never reaches a visitor.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

Value = float | int | bool | str


@dataclass(frozen=True)
class Source:
    """Where a formula comes from."""

    authors: str
    year: int
    title: str
    url: str = ""

    def __str__(self) -> str:
        return f"{self.authors} ({self.year}), {self.title}"


@dataclass(frozen=True)
class Param:
    """One hyperparameter: what it is called, what it may be, and what a slider offers.

    `low`–`high` is the slider's range; `domain` is what the mathematics allows, as an interval such as "[0, 1)".
    A learner may well want a learning rate beyond the slider, so only the domain is enforced: a value outside it
    raises, and nothing is ever clamped. `static=True` says that changing the value compiles anew. `title` is the name
    in plain words, where the name itself is not.
    """

    name: str
    symbol: str
    default: Value
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    domain: str = "(-inf, inf)"
    options: tuple[str, ...] = ()
    static: bool = False
    title: str = ""
    help: str = ""

    def __post_init__(self):
        if self.options and not self.static:
            raise TypeError(f"{self.name}: a choice between words decides what is compiled, so it must be static")
        self.check(self.default)

    def but(self, **changes: Any) -> Param:
        """This parameter with a few fields changed, for a rule whose paper gives it another default."""
        return replace(self, **changes)

    @property
    def label(self) -> str:
        """What a control is called: plain words, then the symbol."""
        words = self.title or self.name.replace("_", " ")
        return f"{words[0].upper()}{words[1:]} {self.symbol}".strip()

    @cached_property
    def kind(self) -> str:
        """ "flag", "choice", "whole" (an integer) or "real"."""
        return {bool: "flag", str: "choice", int: "whole", float: "real"}[type(self.default)]

    @property
    def allowed(self) -> str:
        """What the mathematics allows, in words."""
        match self.kind:
            case "flag":
                return "True or False"
            case "choice":
                return "one of " + ", ".join(self.options)
            case "whole":
                return f"a whole number in {self.domain}"
            case _:
                return f"a number in {self.domain}"

    def check(self, value: Any) -> Value:
        """`value` in this parameter's own type. Raises ValueError, with what is allowed, if it cannot be."""
        match self.kind:
            case "flag" if isinstance(value, bool | np.bool_):
                return bool(value)
            case "choice" if value in self.options:
                return str(value)
            case "whole" | "real" if not isinstance(value, bool | np.bool_ | str | bytes):
                try:
                    number = float(value)
                except (TypeError, ValueError, OverflowError):
                    pass
                else:
                    if within(number, self.domain) and (self.kind == "real" or number.is_integer()):
                        return int(number) if self.kind == "whole" else number
        raise ValueError(f"{self.name} must be {self.allowed}, not {value!r}")

    def stops(self) -> tuple[Value, ...]:
        """The values at which a slider stops, the default among them."""
        return _stops(self)

    def parse(self, text: str) -> Value:
        """The value written as `text` in a link. Raises ValueError if there is none."""
        match self.kind:
            case "flag" if text in ("0", "1"):
                return text == "1"
            case "choice" if text in self.options:
                return text
            case "whole" | "real" if len(text) <= 32:
                try:
                    return self.check(float(text))
                except ValueError:
                    pass
        allowed = "1 (on) or 0 (off)" if self.kind == "flag" else self.allowed
        raise ValueError(f"{self.name} must be {allowed}, not “{text[:32]}”")

    def write(self, value: Value) -> str:
        """`value` as a link writes it: the shortest text from which `parse` gives it back exactly."""
        match self.kind:
            case "flag":
                return "1" if value else "0"
            case "choice":
                return str(value)
        number = float(value)
        text = repr(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
        return text.replace("+", "")  # 1e+20, whose sign an address would have to escape


NICE = (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8)  # the stops in each decade of a logarithmic slider
LINEAR_STOPS = 100


@lru_cache(maxsize=256)
def _stops(param: Param) -> tuple[Value, ...]:
    if param.log:
        first, last = math.floor(math.log10(param.low)), math.ceil(math.log10(param.high))
        stops = [float(f"{digit}e{exponent}") for exponent in range(first, last + 1) for digit in NICE]
        stops += [0.0] if param.default == 0 else []  # of what may be absent: "none" before the smallest amount
    elif param.low == 0 and 0.9 <= param.high < 1:  # a memory: 0.9 and 0.99 are as far apart as 0.99 and 0.999
        nines = [1 - 10.0**-digits for digits in range(5)]
        stops = [nine + i * 10.0 ** -(digits + 1) for digits, nine in enumerate(nines) for i in range(10)]
    else:
        stops = [param.low + (param.high - param.low) * i / LINEAR_STOPS for i in range(LINEAR_STOPS + 1)]
    inside = {round(stop, 14) for stop in stops if stop == 0 or param.low <= stop <= param.high + 1e-12}
    if param.kind == "whole":
        inside = {round(stop) for stop in inside}
    return tuple(sorted(inside | {param.default}))


def within(number: float, domain: str) -> bool:
    """Whether `number` lies in an interval written as in mathematics, such as "[0, 1)". NaN lies in none."""
    low, high = _ends(domain)
    above = number >= low if domain[0] == "[" else number > low
    below = number <= high if domain[-1] == "]" else number < high
    return above and below


@lru_cache(maxsize=256)
def _ends(domain: str) -> tuple[float, float]:
    low, high = domain[1:-1].split(",")
    return float(low), float(high)


class Hyper(NamedTuple):
    """Checked parameter values, split into what is passed to a compiled program and what it is compiled for."""

    traced: np.ndarray  # (number of traced parameters,), float64
    static: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A catalogue entry: a function and its card."""

    key: str
    fn: Callable
    title: str
    summary: str
    formula: str
    source: Source
    params: tuple[Param, ...] = ()
    slots: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    note: str = ""

    @cached_property
    def param(self) -> dict[str, Param]:
        return {param.name: param for param in self.params}

    @cached_property
    def defaults(self) -> dict[str, Value]:
        return {param.name: param.default for param in self.params}

    def complete(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """Every parameter's value: the given ones checked, the others at their defaults.

        Raises ValueError on a name that this entry does not have or a value outside its domain.
        """
        for name in values:
            if name not in self.param:
                known = ", ".join(self.param) or "no parameters"
                raise ValueError(f"{self.key} has no parameter {name!r}; it has {known}")
        return {name: param.check(values.get(name, param.default)) for name, param in self.param.items()}

    def hyper(self, **values: Any) -> Hyper:
        """The only place where Python numbers become arguments of a compiled program.

        All traced parameters travel in one float64 vector, so a slider that sends an int after a float, or a NumPy
        number after a Python one, can never cause a second compilation.
        """
        complete = self.complete(values)
        traced = np.array([float(complete[p.name]) for p in self.params if not p.static], dtype=np.float64)
        return Hyper(traced, tuple((p.name, complete[p.name]) for p in self.params if p.static))

    def unpack(self, traced: Any, static: tuple[tuple[str, Value], ...]) -> dict[str, Any]:
        """The inverse of `hyper`, inside a compiled program: parameter values by name, flags as booleans."""
        names = [param for param in self.params if not param.static]
        values = {p.name: traced[i] != 0 if p.kind == "flag" else traced[i] for i, p in enumerate(names)}
        return values | dict(static)


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True, eq=False)
class Catalogue(Mapping[str, E], Generic[E]):
    """The entries of one kind, in the order of their declaration, by key (the function's name)."""

    noun: str
    entry: type[E]
    argument: tuple[str, ...]
    supplies: tuple[str, ...] = ()
    common: tuple[Param, ...] = ()  # parameters that every entry has and that the caller, not the function, acts on
    entries: dict[str, E] = field(default_factory=dict)

    def __getitem__(self, key: str) -> E:
        return self.entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, key: Any) -> E:
        """The entry called `key`. Raises ValueError, with the nearest names, if there is none."""
        if isinstance(key, str) and key in self.entries:
            return self.entries[key]
        near = difflib.get_close_matches(str(key)[:40], self.entries, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(self.entries)}"
        raise ValueError(f"there is no {self.noun} called {str(key)[:40]!r}; {hint}")

    def declare(self, **card: Any) -> Callable[[Callable], Callable]:
        """Decorator: enter a function, with the card given by the fields of `Entry`, under the function's name.

        The docstring becomes the summary. The function itself is returned unchanged.
        """

        def enter(fn: Callable) -> Callable:
            self.add(fn, key=fn.__name__, summary=inspect.getdoc(fn) or "", **card)
            return fn

        return enter

    def add(self, fn: Callable, *, defaults: Mapping[str, Value] | None = None, **card: Any) -> None:
        """Enter a function and its card, after checking that both speak of the same names.

        `defaults` gives common parameters another default for this entry.
        """
        entry = self.entry(fn=fn, **card)
        positional, by_name = [], []
        for name, parameter in inspect.signature(entry.fn).parameters.items():
            (by_name if parameter.kind is inspect.Parameter.KEYWORD_ONLY else positional).append(name)
        own = [*entry.slots, *(param.name for param in entry.params)]
        unknown = set(by_name) - set(own) - set(self.supplies)
        problems = {
            f"takes {positional}, not {list(self.argument)}": tuple(positional) != self.argument,
            f"asks for {sorted(unknown)}, which nobody supplies": bool(unknown),
            f"never uses {sorted(set(own) - set(by_name))}": not set(own) <= set(by_name),
            "declares a name twice": len(set(own)) < len(own),
            "is declared twice": entry.key in self.entries,
        }
        for problem, found in problems.items():
            if found:
                raise TypeError(f"{self.noun} {entry.key} {problem}")
        common = (p.but(default=defaults[p.name]) if defaults and p.name in defaults else p for p in self.common)
        needs = tuple(name for name in by_name if name in self.supplies)
        self.entries[entry.key] = replace(entry, needs=needs, params=(*entry.params, *common))


@lru_cache(maxsize=4096)
def number(value: float, digits: int = 4) -> str:
    """A number for people: four significant digits, powers of ten where they are shorter, a true minus sign."""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        text = f"{mantissa[:-1]}10{power}" if mantissa in ("1", "-1") else f"{mantissa}×10{power}"
    return text.replace("-", "−")
