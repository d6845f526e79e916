"""A visitor's own f(x, y): from a text such as `(1-x)^2 + 100(y-x^2)^2` to a pure function that JAX can differentiate.

The text is read, never run. A scanner cuts it into numbers, names and signs, and refuses every character outside a
short list; a parser after Pratt turns these into a tree, whose nodes are the variables, numbers, signs and the fixed
table `FUNCTIONS`. There is nothing else that a node could be, so there is nothing to escape to. The tree is then read
in three ways: as a function of x and y, as LaTeX, and as Python for exported code.

    expression = parse("sin(3x)·e^(-y²)")
    expression.fn(0.5, 1.0)        # elementwise on numbers, arrays and tracers; gradients and Hessians follow from JAX
    expression.latex               # \\sin\\left(3 x\\right) e^{-y^{2}}
    expression.python("np")        # np.sin(3*x)*np.exp(-y**2)

What binds how, from loose to tight: `+ −`, then `* · × /`, then a sign in front, then `^` or `**`, which groups to the
right. So −x^2 is −(x²), 2^3^2 is 2⁹ and 2^−1 is ½. Multiplication may go unwritten, as in 2x, xy or 3(x+1), and binds
exactly like a written one: 1/2x is (1/2)·x. √ takes only what stands next to it: √2x is (√2)·x. `log` is the natural
logarithm. 2e3 is two thousand, 2e alone is two times e.

Every bound (`LENGTH`, `NODES`, `DEPTH`, `EXPONENT`, `LARGEST`) is checked before the work that it bounds is done. A
part without x and y is worth a plain number from the start, and must be a real one of at most `LARGEST`, so 9^9^9^9
and 1/0 are mistakes in the text, not surprises in a run.

Derivatives are those of JAX, and nothing hides a place where there is none. Whole exponents are exact everywhere,
x^2 at 0 included. At its kink abs has slope 0, as sign has everywhere, relu has 0, and max and min take the mean of
the slopes that meet. sqrt(u), u^0.5 and log(u) have an infinite slope at u = 0, which the chain rule may turn into
NaN; so does hypot where both its arguments vanish. Below 0 they are NaN, and so is any other fractional power.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optviz.limits import LIMITS

LENGTH = LIMITS.formula_characters  # characters
NODES = LIMITS.formula_parts  # numbers, variables, signs and functions
DEPTH = LIMITS.formula_depth  # parentheses, functions, exponents and signs inside one another
EXPONENT = 20  # the largest constant exponent
LARGEST = 1e12  # the largest number that is written or results from numbers


class Function(NamedTuple):
    """One of the functions that a formula may call."""

    jax: Callable  # on arrays and tracers
    plain: Callable[..., Any]  # on numbers: what it is worth where x and y do not occur
    numpy: str  # its name in NumPy, which jax.numpy and torch share; "" if it has none
    latex: str
    arguments: tuple[int, int] = (1, 1)  # the fewest and the most


def _named(latex: str) -> str:
    return latex + r"\left(%s\right)"


MANY = (2, NODES)
# In JAX 0.10, autodiff gives jnp.abs the slope 1 at 0, and jnp.hypot the slopes ½ and ½ at the tip of its cone: two
# directions that nothing but the implementation prefers. Written out, abs is level at its kink, and hypot undefined.
FUNCTIONS = {
    "sin": Function(jnp.sin, math.sin, "sin", _named(r"\sin")),
    "cos": Function(jnp.cos, math.cos, "cos", _named(r"\cos")),
    "tan": Function(jnp.tan, math.tan, "tan", _named(r"\tan")),
    "asin": Function(jnp.arcsin, math.asin, "arcsin", _named(r"\arcsin")),
    "acos": Function(jnp.arccos, math.acos, "arccos", _named(r"\arccos")),
    "atan": Function(jnp.arctan, math.atan, "arctan", _named(r"\arctan")),
    "sinh": Function(jnp.sinh, math.sinh, "sinh", _named(r"\sinh")),
    "cosh": Function(jnp.cosh, math.cosh, "cosh", _named(r"\cosh")),
    "tanh": Function(jnp.tanh, math.tanh, "tanh", _named(r"\tanh")),
    "exp": Function(jnp.exp, math.exp, "exp", "e^{%s}"),
    "log": Function(jnp.log, math.log, "log", _named(r"\ln")),
    "log10": Function(jnp.log10, math.log10, "log10", _named(r"\log_{10}")),
    "sqrt": Function(jnp.sqrt, math.sqrt, "sqrt", r"\sqrt{%s}"),
    "abs": Function(lambda u: u * jnp.sign(u), abs, "abs", r"\left|%s\right|"),
    "sign": Function(jnp.sign, lambda u: float((u > 0) - (u < 0)), "sign", _named(r"\operatorname{sign}")),
    "min": Function(lambda *u: reduce(jnp.minimum, u), min, "minimum", _named(r"\min"), MANY),
    "max": Function(lambda *u: reduce(jnp.maximum, u), max, "maximum", _named(r"\max"), MANY),
    "hypot": Function(lambda u, v: jnp.sqrt(u**2 + v**2), math.hypot, "hypot", _named(r"\operatorname{hypot}"), (2, 2)),
    "relu": Function(jax.nn.relu, lambda u: max(u, 0.0), "", _named(r"\operatorname{relu}")),
    "sigmoid": Function(jax.nn.sigmoid, lambda u: (1 + math.tanh(u / 2)) / 2, "", _named(r"\sigma")),
}
ALIASES = {"ln": "log", "minimum": "min", "maximum": "max", "π": "pi"}
CONSTANTS = {"pi": math.pi, "e": math.e}
NAMES = ("x", "y", *CONSTANTS, *FUNCTIONS, *ALIASES)
OPERATORS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {  # on arrays, and on numbers
    "+": (operator.add, operator.add),
    "-": (operator.sub, operator.sub),
    "*": (operator.mul, operator.mul),
    "/": (operator.truediv, operator.truediv),
    "^": (operator.pow, math.pow),  # of a negative number, `**` would give a complex one
    "negative": (operator.neg, operator.neg),
}
SUM, PRODUCT, SIGN, POWER, ATOM = range(5)  # how tightly something binds


class ExpressionError(ValueError):
    """A text that is not a formula: why, and where.

    As a string it is a sentence, then the text with a caret below the character at `position`. Both quote what a
    stranger may have put into a link, so a page shows them as plain text and not as Markdown.
    """

    def __init__(self, message: str, text: str, position: int):
        super().__init__(message, text, position)
        self.message, self.text, self.position = message, text, position

    def __str__(self) -> str:
        # One sign for one character, or a line break in the text would leave the caret below the wrong line.
        shown = "".join(sign if sign.isprintable() else "�" for sign in self.text[: LENGTH + 1])
        return f"{self.message}\n\n{shown}\n{' ' * self.position}^"


@dataclass(frozen=True)
class Node:
    """A part of a formula, and the function of x and y that it stands for.

    Equal formulas are equal and hash alike, however they were written, so that they share one compiled program.
    """

    op: str  # "x", "y", "number", a constant, or a key of OPERATORS or FUNCTIONS
    args: tuple[Node, ...] = ()
    value: float | None = None  # what it is worth, if neither x nor y occurs in it

    def __call__(self, x: Any, y: Any) -> jax.Array:
        # Whole numbers become floating ones, of which 1/x and x^-1 are always defined; float32 stays float32.
        x, y = (jnp.asarray(u, jnp.result_type(u, float)) for u in (x, y))
        return self._at(*jnp.broadcast_arrays(x, y))

    def _at(self, x: jax.Array, y: jax.Array) -> Any:
        if self.value is not None:
            return self.value
        if not self.args:
            return x if self.op == "x" else y
        args = [arg._at(x, y) for arg in self.args]
        if self.op == "^" and isinstance(args[1], float) and args[1].is_integer():
            return args[0] ** int(args[1])  # repeated multiplication, which has a derivative at 0 and below
        apply = FUNCTIONS[self.op].jax if self.op in FUNCTIONS else OPERATORS[self.op][0]
        return apply(*args)


@dataclass(frozen=True)
class Expression:
    """A formula: the text as it was written, and the function that it means."""

    text: str
    fn: Node

    @cached_property
    def latex(self) -> str:
        return _latex(self.fn)[0]

    def python(self, module: str = "np") -> str:
        """The formula as Python, for tensors x and y of the library imported as `module`: np, jnp or torch."""
        return _python(self.fn, module)[0]


def parse(text: str) -> Expression:
    """The formula that a text stands for. Raises ExpressionError if it is none, or too large a one."""
    return Expression(text.strip(), _Parser(text).formula())


class Token(NamedTuple):
    kind: str  # "number", "name", "squared" (² or ³), "end", or a sign such as "+"
    text: str
    position: int


SCANNER = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>log10|[A-Za-z]+|π)|(?P<squared>[²³]+)|(?P<sign>\*\*|[-+*/^(),|·×−√])"
)
SPELLINGS = {"**": "^", "·": "*", "×": "*", "−": "-"}
HINTS = {
    "=": "write only what f(x, y) is equal to",
    ".": "a point belongs to a number, as in 0.5",
    "[": "all brackets are round",
    "{": "all brackets are round",
    "\n": "it is one line",
}


class _Parser:
    """One reading of one text, from left to right, so that what is reported is the first mistake."""

    def __init__(self, text: str):
        self.text = text[: LENGTH + 1]
        self.nodes = self.depth = 0
        self.inside = ""  # the sign that opened the innermost group: "(", "|" or none
        if len(text) > LENGTH:
            raise self.error(f"A formula has at most {LENGTH} characters; this text has {len(text):,}.", LENGTH)
        self.token = Token("", "", 0)

    def error(self, message: str, at: Token | int) -> ExpressionError:
        return ExpressionError(message, self.text, at.position if isinstance(at, Token) else at)

    def advance(self) -> Token:
        """The current token; the one after it becomes the current one."""
        token = self.token
        start = token.position + len(token.text)
        while self.text[start : start + 1] == " ":
            start += 1
        found = SCANNER.match(self.text, start)
        if found:
            kind, word = str(found.lastgroup), found[0]
            if kind == "sign":
                kind = SPELLINGS.get(word, word)
            elif kind == "name" and word not in NAMES:
                if not set(word) <= {"x", "y", "e"}:
                    raise self.unknown(word, start)
                word = word[0]  # xy is x times y
            self.token = Token(kind, word, start)
        elif start < len(self.text):
            raise self.refused(start)
        else:
            self.token = Token("end", "", len(self.text.rstrip(" ")))
        return token

    def refused(self, position: int) -> ExpressionError:
        """A character that no formula contains. Its number tells it from the allowed one that it may look like."""
        sign = self.text[position]
        named = f"“{sign}”" if sign.isprintable() else "a character that cannot be seen"
        number = "" if " " < sign <= "~" else f" (U+{ord(sign):04X})"
        hint = f": {HINTS[sign]}" if sign in HINTS else ": letters are plain a to z" if sign.isalpha() else ""
        return self.error(f"A formula cannot contain {named}{number}{hint}.", position)

    def unknown(self, name: str, position: int) -> ExpressionError:
        short = name if len(name) <= 20 else name[:19] + "…"
        near = difflib.get_close_matches(short.lower(), NAMES, n=2)
        known = f"did you mean {' or '.join(near)}?" if near else f"known are x, y, e, pi, {', '.join(FUNCTIONS)}."
        return self.error(f"I do not know “{short}”; {known}", position)

    def formula(self) -> Node:
        self.advance()
        if self.token.kind == "end":
            raise self.error("Write a formula in x and y, such as x² + 3y².", 0)
        first = self.token
        node = self.expression(SUM)
        if self.token.kind != "end":
            raise self.misplaced()
        if node.value is not None:
            raise self.error("The formula mentions neither x nor y: there is nothing to descend on.", first)
        return node

    def expression(self, least: int) -> Node:
        """What follows, as far as it is held together by what binds at least as tightly as `least`."""
        left = self.operand()
        while True:
            token = self.token
            match token.kind:
                case "squared" if least <= POWER:
                    self.advance()
                    digits = token.text.translate(str.maketrans("²³", "23"))
                    left = self.power(left, token, self.number(token, digits), token)
                case "^" if least <= POWER:
                    self.advance()
                    first = self.token
                    left = self.power(left, token, self.nested(token, POWER), first)
                case "*" | "/" if least <= PRODUCT:
                    self.advance()
                    left = self.node(token, token.kind, left, self.expression(SIGN))
                case "+" | "-" if least <= SUM:
                    self.advance()
                    left = self.node(token, token.kind, left, self.expression(PRODUCT))
                case "|" if self.inside == "|":
                    return left
                case "name" | "(" | "|" | "√" if least <= PRODUCT:  # a multiplication that goes unwritten
                    left = self.node(token, "*", left, self.expression(SIGN))
                case "number":
                    raise self.error("Write · or ^ before this number.", token)
                case _:
                    return left

    def operand(self) -> Node:
        """A number, a name, a group, or a sign in front of one of them."""
        token = self.token
        match token.kind:
            case "number":
                self.advance()
                return self.number(token, token.text)
            case "name":
                self.advance()
                return self.name(token)
            case "(" | "|":
                self.advance()
                (node,) = self.group(token)
                return self.node(token, "abs", node) if token.kind == "|" else node
            case "+":
                self.advance()
                return self.nested(token, POWER)
            case "-":
                self.advance()
                return self.node(token, "negative", self.nested(token, POWER))
            case "√":
                self.advance()
                return self.node(token, "sqrt", self.nested(token, ATOM))
            case _:
                raise self.misplaced()

    def nested(self, token: Token, least: int) -> Node:
        """An expression inside another one."""
        self.depth += 1
        if self.depth > DEPTH:
            raise self.error(f"At most {DEPTH} parentheses, exponents and signs may be inside one another.", token)
        node = self.expression(least)
        self.depth -= 1
        return node

    def group(self, opened: Token, least: int = 1, most: int = 1) -> list[Node]:
        """Expressions between commas, up to the sign that closes the group."""
        around, self.inside = self.inside, opened.kind
        nodes = [self.nested(opened, SUM)]
        while self.token.kind == "," and len(nodes) < most:
            nodes.append(self.nested(self.advance(), SUM))
        if self.token.kind == "end":
            raise self.error(f"This “{opened.text}” is never closed.", opened)
        if self.token.kind != {"(": ")", "|": "|"}[opened.kind]:
            raise self.misplaced()
        if len(nodes) < least:
            raise self.error("This function takes two arguments, as in max(x, y).", self.token)
        self.inside = around
        self.advance()
        return nodes

    def misplaced(self) -> ExpressionError:
        """The current token cannot stand where it does."""
        messages = {
            "end": "Here the formula ends too early: a number, x, y, a function or a parenthesis should follow.",
            ")": "This “)” does not close anything, or has nothing in it.",
            ",": "A comma only stands between the arguments of max, min and hypot; decimals have a point.",
        }
        general = f"Before “{self.token.text}” should stand a number, x, y, a function or a parenthesis."
        return self.error(messages.get(self.token.kind, general), self.token)

    def number(self, token: Token, digits: str) -> Node:
        return self.node(token, "number", value=float(digits))

    def name(self, token: Token) -> Node:
        name = ALIASES.get(token.text, token.text)
        if name in FUNCTIONS:
            if self.token.kind != "(":
                raise self.error(
                    f"After the function {token.text} should stand its argument in parentheses.", self.token
                )
            return self.node(token, name, *self.group(self.advance(), *FUNCTIONS[name].arguments))
        if name in CONSTANTS:
            return self.node(token, name, value=CONSTANTS[name])
        return self.node(token, name)

    def power(self, base: Node, token: Token, exponent: Node, first: Token) -> Node:
        if base.op == "e":
            return self.node(token, "exp", exponent)
        if exponent.value is not None and abs(exponent.value) > EXPONENT:
            raise self.error(f"An exponent may be at most {EXPONENT}; this one is {exponent.value:.4g}.", first)
        return self.node(token, "^", base, exponent)

    def node(self, token: Token, op: str, *args: Node, value: float | None = None) -> Node:
        """The only place where nodes are made, and so where their bounds are checked; `token` is what to blame."""
        self.nodes += 1
        if self.nodes > NODES:
            raise self.error(f"A formula has at most {NODES} numbers, variables, signs and functions.", token)
        numbers = [arg.value for arg in args if arg.value is not None]
        if args and len(numbers) == len(args):
            plain = FUNCTIONS[op].plain if op in FUNCTIONS else OPERATORS[op][1]
            try:
                value = float(plain(*numbers))
            except OverflowError:
                value = math.inf
            except (ValueError, ZeroDivisionError):
                raise self.error("This is not defined, whatever x and y are.", token) from None
        if value is None:
            return Node(op, args)
        if not abs(value) <= LARGEST:
            raise self.error("Numbers may be at most 10¹², and results of numbers too.", token)
        return Node(op, args, value + 0.0)  # an exact 0, and not −0


# The two ways of writing a tree down. Each gives a text and how tightly its outermost operation binds.

Written = tuple[str, int]


def _digits(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _python(node: Node, module: str) -> Written:
    def bracket(written: Written, least: int) -> str:
        return written[0] if written[1] >= least else f"({written[0]})"

    if node.op in CONSTANTS:
        return f"{module}.{node.op}", ATOM
    if node.op in ("x", "y"):
        return node.op, ATOM
    if node.value is not None and (node.op == "number" or node.op in FUNCTIONS):
        return _digits(node.value), ATOM if node.value >= 0 else SIGN  # torch takes no sine of a number
    parts = [_python(arg, module) for arg in node.args]
    match node.op:
        case "+" | "-":
            return f"{bracket(parts[0], SUM)} {node.op} {bracket(parts[1], PRODUCT)}", SUM
        case "*" | "/":
            return f"{bracket(parts[0], PRODUCT)}{node.op}{bracket(parts[1], SIGN)}", PRODUCT
        case "^":
            return f"{bracket(parts[0], ATOM)}**{bracket(parts[1], SIGN)}", POWER
        case "negative":
            return f"-{bracket(parts[0], SIGN)}", SIGN
        case "sigmoid":
            return f"1/(1 + {module}.exp(-{bracket(parts[0], SIGN)}))", PRODUCT
    values = [arg.value for arg in node.args]
    texts = [text for text, _ in parts]
    if node.op == "relu":
        values, texts = [*values, 0.0], [*texts, "0"]
    if module == "torch" and len(texts) > 1:  # whose functions of two arguments take two tensors
        texts = [text if v is None else f"torch.full_like(x, {text})" for v, text in zip(values, texts, strict=True)]
    name = f"{module}.{FUNCTIONS[node.op].numpy or 'maximum'}"
    return (f"{name}({texts[0]})" if len(texts) == 1 else reduce(lambda a, b: f"{name}({a}, {b})", texts)), ATOM


def _latex(node: Node) -> Written:
    def bracket(written: Written, least: int, right: bool = False) -> str:
        text, binds = written
        return text if binds >= least and not (right and text.startswith("-")) else rf"\left({text}\right)"

    if node.op == "number":
        mantissa, _, exponent = _digits(node.value or 0.0).partition("e")
        return (rf"{mantissa} \cdot 10^{{{int(exponent)}}}", PRODUCT) if exponent else (mantissa, ATOM)
    if not node.args:
        return r"\pi" if node.op == "pi" else node.op, ATOM
    parts = [_latex(arg) for arg in node.args]
    match node.op:
        case "+" | "-":
            return f"{bracket(parts[0], SUM)} {node.op} {bracket(parts[1], PRODUCT, right=True)}", SUM
        case "*":
            left, right = bracket(parts[0], PRODUCT), bracket(parts[1], PRODUCT, right=True)
            # 2 before ½ would look like two and a half.
            between = r" \cdot " if right[0].isdigit() or right.startswith(r"\frac") else " "
            return left + between + right, PRODUCT
        case "/":
            return rf"\frac{{{parts[0][0]}}}{{{parts[1][0]}}}", SIGN
        case "^":
            return f"{bracket(parts[0], ATOM)}^{{{parts[1][0]}}}", POWER
        case "negative":
            return f"-{bracket(parts[0], PRODUCT, right=True)}", SIGN
    inside = ", ".join(text for text, _ in parts)
    return FUNCTIONS[node.op].latex % inside, POWER if node.op == "exp" else ATOM
