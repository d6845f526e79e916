"""How a script comes together: functions quoted from the app, and calls laid out on lines of a bearable length.

What is quoted is the source of the catalogues' own functions, with the helpers and constants that they use. For PyTorch
the names of jax.numpy become torch's, and for a function that shall not need JAX they become NumPy's.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from optviz.spec import Value

WIDTH = 100  # columns of what is generated; what is quoted keeps its lines
TIE = "\0"  # a space at which no line is broken


# Quoting functions ----------------------------------------------------------------------------------------------------

# What jax.numpy calls otherwise than torch; every other name is the same in both.
TO_TORCH = {
    r"\bjax\.lax\.scan\b": "scan",
    r"\bjax\.(hessian|vmap|grad)\b": r"torch.func.\1",
    r"\bjax\.nn\.": "torch.nn.functional.",
    r"\bjnp\.(maximum|minimum)\b": r"\1",
    r"\bjnp\.argmax\(": "torch.argmax(1 * ",  # which torch does not take of booleans
    r"\bjnp\.concatenate\b": "torch.cat",
    r"\bjnp\.asarray\b": "torch.as_tensor",
    r"\bjnp\.array\b": "torch.tensor",
    r"\bjnp\.": "torch.",
    r"\.size\b": ".numel()",
}
TO_NUMPY = {r"\bjnp\.": "np."}
DIALECTS: dict[str, dict[str, str]] = {"jnp": {}, "torch": TO_TORCH, "np": TO_NUMPY}

STAND_INS = {
    "maximum": '''
def maximum(a, b):
    """torch.maximum, of plain numbers too."""
    return torch.maximum(torch.as_tensor(a), torch.as_tensor(b))
''',
    "minimum": '''
def minimum(a, b):
    """torch.minimum, of plain numbers too."""
    return torch.minimum(torch.as_tensor(a), torch.as_tensor(b))
''',
    "scan": '''
def scan(step, carry, rows, reverse=False):
    """jax.lax.scan as a plain loop over the rows of several tensors."""
    order, results = range(len(rows[0])), {}
    for i in reversed(order) if reverse else order:
        carry, results[i] = step(carry, tuple(row[i] for row in rows))
    return carry, None if results[0] is None else torch.stack([results[i] for i in order])
''',
}


def source(fn: Callable) -> tuple[str, dict[str, Any]]:
    """A function's definition without its decorators, and the globals that it uses, by name in order of use."""
    try:
        text = textwrap.dedent(inspect.getsource(fn))
    except (OSError, TypeError):
        raise ValueError(
            f"the source of {getattr(fn, '__name__', fn)} is not at hand, so it cannot be quoted"
        ) from None
    (node,) = ast.parse(text).body
    if not isinstance(node, ast.FunctionDef):
        raise ValueError(f"{fn.__name__} is not a function with a name, so it cannot be quoted")
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    known = _global_names(fn.__code__)
    loads = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in known and n.id in fn.__globals__]
    return "\n".join(lines), {name: fn.__globals__[name] for name in dict.fromkeys(loads)}


def _global_names(code: CodeType) -> set[str]:
    inner = (_global_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*inner)


class Quoted:
    """What a script quotes, each thing once: functions (what others need comes first), constants and imports."""

    def __init__(self, taken: set[str]):
        self.owners: dict[str, Any] = dict.fromkeys(taken)
        self.imports: set[str] = set()
        self.constants: dict[str, tuple[str, str]] = {}  # name -> its section of the script, its text
        self.functions: dict[str, tuple[str, str]] = {}  # name -> its section of the script, its text

    def section(self, section: str) -> list[str]:
        constants = "\n".join(text for where, text in self.constants.values() if where == section)
        functions = [text for where, text in self.functions.values() if where == section]
        return [constants, *functions] if constants else functions

    def quote(self, fn: Callable, dialect: str, section: str) -> str:
        """Quote a function, and what it uses, in a dialect; returns the name by which the script calls it."""
        owner, name = (fn, dialect), fn.__name__
        while self.owners.get(name, owner) != owner:  # a surface and a schedule may share a name
            name += "_"
        if name in self.functions:
            return name
        self.owners[name] = owner
        text, used = source(fn)
        text = text.replace(f"def {fn.__name__}(", f"def {name}(", 1)
        for pattern, replacement in DIALECTS[dialect].items():
            text = re.sub(pattern, replacement, text)
        for other, value in used.items():
            self._need(other, value, dialect, section)
        if dialect == "torch":
            for stand_in, definition in STAND_INS.items():
                if re.search(rf"(?<![\w.]){stand_in}\(", text):
                    self.functions.setdefault(stand_in, (section, definition))
        self.functions[name] = section, text
        return name

    def _need(self, name: str, value: Any, dialect: str, section: str) -> None:
        if isinstance(value, ModuleType):
            if value.__name__ not in ("jax", "jax.numpy", "numpy"):
                self.imports.add(value.__name__.split(".")[0])
        elif inspect.isfunction(value) and value.__module__.startswith("optviz"):
            if self.quote(value, dialect, section) != name:
                raise ValueError(f"two functions are called {name}, so neither can be quoted")
        elif isinstance(value, float) and getattr(math, name, None) == value:
            self.imports.add(f"math.{name}")
        elif isinstance(value, np.ufunc):
            self.imports.add(f"numpy.{name}")
        elif isinstance(value, int | float | str):
            self.constants.setdefault(name, (section, f"{name} = {value!r}"))
        elif hasattr(value, "_field_defaults"):
            self.imports.add("collections.namedtuple")
            made = f"{name} = namedtuple({name!r}, {' '.join(value._fields)!r}"
            some = f", defaults={list(value._field_defaults.values())!r}" if value._field_defaults else ""
            self.constants.setdefault(name, (section, f"{made}{some})".replace("'", '"')))
        elif isinstance(value, tuple) and all(isinstance(part, str) for part in value):
            self.constants.setdefault(name, (section, f"{name} = ({', '.join(map(literal, value))},)"))
        else:
            raise ValueError(f"{name} is neither a number nor a function, so it cannot be quoted")


# Laying out -----------------------------------------------------------------------------------------------------------


def section(title: str, blocks: Iterable[str]) -> str:
    """A part of the script below its title; "" if there is nothing in it."""
    blocks = [block.strip("\n") for block in blocks if block]
    return "\n\n\n".join([f"# {title}", *blocks]) if blocks else ""


def literal(value: Value) -> str:
    """A hyperparameter's value as Python writes it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def comment(line: str) -> str:
    """One line of comment, whatever the text is: nothing in it can end the line."""
    printable = "".join(letter if letter.isprintable() else " " for letter in line)
    return f"# {printable}".rstrip()


def pairs(texts: Mapping[str, str]) -> list[str]:
    """Keyword arguments."""
    return [f"{name}={text}" for name, text in texts.items()]


def call(head: str, arguments: Iterable[str]) -> str:
    """A call on one line."""
    return f"{head}({', '.join(arguments)})"


def entry(label: str, text: str, said: str = "") -> str:
    """One entry of a dict over several lines, with a trailing comma and, above it, what is `said` of it."""
    named = f"    {json.dumps(label, ensure_ascii=False)}: "
    before = f"    {comment(said)}\n" if said else ""
    return before + named + laid_out(text, 4, WIDTH - len(named)) + ","


def laid_out(text: str, indent: int, room: int) -> str:
    """A call, or anything else that ends with a bracket, on one line if there is `room`, else with what is between its
    brackets on lines of its own, as many arguments on each as fit. What is one argument has no comma with a space."""
    if len(text) <= room or text[-1] not in ")}":
        return text.replace(TIE, " ")
    parts, depth, first = [""], 0, len(text)
    for i in reversed(range(len(text) - 1)):  # from the closing bracket at the end back to the one that opens it
        depth += (text[i] in ")]}") - (text[i] in "([{")
        if depth < 0:
            first = i
            break
        if depth == 0 and text[i : i + 2] == ", ":
            parts[0] = parts[0].removeprefix(" ")
            parts.insert(0, "")
        else:
            parts[0] = text[i] + parts[0]
    rows, wide = [""], WIDTH - indent - 5
    for part in parts:
        row = laid_out(part, indent + 4, wide)
        if rows[-1] and "\n" not in row + rows[-1] and len(rows[-1]) + len(row) + 1 <= wide:
            rows[-1] += f" {row},"
        else:
            rows.append(f"{row},")
    inside = "".join(f"{' ' * (indent + 4)}{row}\n" for row in rows[1:])
    return f"{text[: first + 1].replace(TIE, ' ')}\n{inside}{' ' * indent}{text[-1]}"
