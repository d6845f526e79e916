"""Strangers' input at every door: whatever a link, a formula or a file says, there is a sentence and never a traceback.

The doors are found, not listed: every page is opened up to where it reads its address, so the codec of a new page is
fuzzed by existing, with links to its own examples as the seeds.
"""

import dataclasses
import re
import reprlib
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import numpy as np
import pytest
import streamlit
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from desks import APP
from optviz.csv_table import read_csv
from optviz.datasets import DATASETS, Table
from optviz.expression import ALIASES, CONSTANTS, FUNCTIONS, LENGTH, Expression, ExpressionError, parse
from optviz.limits import LIMITS, allowed
from optviz.optimizers import OPTIMIZERS
from optviz.query import MESSAGES_AT_MOST
from optviz.schedules import SCHEDULES
from optviz.surfaces import SURFACES
from optviz.ui.desk import Desk
from optviz.ui.frame import PAGES

A_SECOND = 1000  # ms
LONGEST_MESSAGE = 1000  # characters: the refusals that list a whole catalogue are the longest
PATHS = [page.path for page in PAGES]
WITHOUT_DESK = {"pages/glossary.py"}


def desk_of(path: str) -> Desk | None:
    """The desk of a page; None if it reads its address without one. The page itself is not made."""
    found: list[Desk] = []

    def opened(desk: Desk, arrived: bool) -> None:
        found.append(desk)
        streamlit.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Desk, "open", opened)
        at = AppTest.from_file(str(APP), default_timeout=300).run()
        if path != "app.py":
            found.clear()
            at.switch_page(path).run()
        assert not at.exception
    return found[0] if found else None


DESKS = {path: desk for path in PATHS if (desk := desk_of(path)) is not None}
every_desk = pytest.mark.parametrize("path", DESKS)


def test_every_page_with_an_address_is_fuzzed():
    assert set(PATHS) - set(DESKS) == WITHOUT_DESK


# Links ---------------------------------------------------------------------------------------------------------------

TRICKS = [
    "",
    "\x00",
    "\u202e0.1",  # read from right to left
    "0\u200b.1",  # a space of no width
    "０.１",  # full-width digits
    "é" + "\u0301" * 50,  # marks on marks
    "\ud800",  # half a character
    "𝐬𝐠𝐝",  # letters that normalization would turn into a name
    "nan",
    "-inf",
    "1e400",
    "-1",
    "-0",
    "1e-400",
    "9" * 32,
    "1_000",
    "0x10",
    "true",
    "none",
    "~",
    "~~~~",
    "..",
    "lr.by",
    "x" * 100_000,
    "sgd" + "~lr~0.1" * 14_000,
    "<img src=x onerror=alert(1)>",
    "![](http://example.org/x.png)",
    "{0.__class__}",
    "%s%n",
    "__proto__",
]


class Query(dict):
    """The fields of a link, which a failure shows shortened."""

    def __repr__(self) -> str:
        return reprlib.repr(dict(self))


def links(desk: Desk) -> list[dict[str, list[str]]]:
    """Links to all the page's own examples, each as it differs from each other."""
    examples = [desk.home, *desk.presets.values()]
    found = [desk.codec.to_query(one, other) for one in examples for other in examples[:3]]
    return [link for link in found if link]


def names(value: Any) -> Iterator[str]:
    """The names of all fields of a value and of what it is made of: most of them are fields of a link too."""
    for one in dataclasses.fields(value):
        yield one.name
        part = getattr(value, one.name)
        for each in part if isinstance(part, tuple) else (part,):
            if dataclasses.is_dataclass(each):
                yield from names(each)


WORDS = {"by", "net", "on", "racer", "run", "pin", "data", "surface", "own", "network", "middle", *DATASETS}
WORDS |= {word for catalogue in (SURFACES, OPTIMIZERS, SCHEDULES) for word in catalogue}
WORDS |= {param.name for catalogue in (SURFACES, OPTIMIZERS) for entry in catalogue.values() for param in entry.params}


def queries(desk: Desk) -> st.SearchStrategy[Query]:
    """Query strings for a page: noise, its own links damaged, and its own links stretched beyond all measure."""
    own = links(desk) or [link for other in DESKS.values() for link in links(other)]  # of a page with one example
    known = sorted({*names(desk.home), *(name for link in own for name in link), *WORDS})
    told = sorted({part for link in own for texts in link.values() for text in texts for part in text.split("~")})
    text = (
        st.sampled_from(TRICKS)
        | st.sampled_from(told)
        | st.sampled_from(known)
        | st.text(max_size=60)
        | st.floats().map(str)
        | st.integers(-(10**40), 10**40).map(str)
    )
    joined = st.lists(text, max_size=8).map("~".join) | text
    field = st.sampled_from(["v", *known]) | st.text(max_size=20)
    noise = st.dictionaries(field, st.lists(joined, max_size=10), max_size=8)

    @st.composite
    def damaged(draw: st.DrawFn) -> dict:
        link = {name: list(texts) for name, texts in draw(st.sampled_from(own)).items()}
        for _ in range(draw(st.integers(1, 4))):
            name = draw(st.sampled_from(sorted(link)))
            texts = link[name] or [""]
            i = draw(st.integers(0, len(texts) - 1))
            parts = texts[i].split("~")
            j = draw(st.integers(0, len(parts) - 1))
            match draw(st.sampled_from(["drop", "double", "swap", "part", "less", "more", "repeat", "other", "field"])):
                case "drop":
                    del texts[i]
                case "double":
                    texts.append(texts[i])
                case "swap":
                    other = draw(st.sampled_from(sorted(link)))
                    link[name], link[other] = link[other], texts
                    continue
                case "part":
                    parts[j] = draw(text)
                    texts[i] = "~".join(parts)
                case "less":
                    texts[i] = "~".join([*parts[:j], *parts[j + 1 :]])
                case "more":
                    texts[i] = "~".join([*parts[:j], draw(text), *parts[j:]])
                case "repeat":
                    texts[i] = "~".join(parts * draw(st.sampled_from([2, 50, 5000])))
                case "other":
                    texts[i] = draw(joined)
                case "field":
                    link[draw(field)] = draw(st.lists(joined, max_size=3))
            link[name] = texts
        return link

    huge = st.sampled_from([{name: ["x" * 100_000] for name in known}, {f"f{i}": ["1"] for i in range(10_000)}])
    many = st.sampled_from(own).map(lambda link: {name: texts * 3000 for name, texts in link.items()})
    return (noise | damaged() | huge | many).map(Query)


def open_link(desk: Desk, query: dict[str, list[str]]) -> None:
    """It opens something within all bounds, with few and short sentences, and that has a link that opens it again."""
    opened, messages = desk.codec.from_query(query, desk.home)
    assert allowed(opened) is opened
    assert len(messages) <= MESSAGES_AT_MOST
    assert max(map(len, messages), default=0) <= LONGEST_MESSAGE
    again = urlencode(desk.codec.to_query(opened, desk.home), doseq=True)
    assert len(again) < 40_000
    assert desk.codec.from_query(parse_qs(again), desk.home) == (opened, [])


@every_desk
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_link_opens_something_within_all_bounds(path, data):
    desk = DESKS[path]
    open_link(desk, data.draw(queries(desk)))


# Whole pages ---------------------------------------------------------------------------------------------------------

# Half a character fits in no address, and Streamlit itself passes over one of more than 500 kB.
SENT = [trick for trick in TRICKS if "\ud800" not in trick and len(trick) < 1000]
NASTY = {
    "all at once": dict(zip(sorted(WORDS | {"v", "claim", "term"}), SENT * 9, strict=False))
    | {"v": "99", "claim": "<script>", "term": "<script>", "steps": "1e400", "seed": "-1"},
    "long": {
        "surface": "x" * 100_000,
        "data": "x" * 100_000,
        "racer": "sgd" + "~lr~0.1" * 14_000,
        "hidden": "9" * 9000,
    },
    "markdown": {"surface": "![a](http://example.org/a.png)", "data": "<img src=x onerror=alert(1)>", "term": "$x$"},
}


@pytest.fixture
def visitor() -> AppTest:
    return AppTest.from_file(str(APP), default_timeout=300).run()


@pytest.mark.parametrize("path", PATHS)
def test_a_page_that_a_nasty_link_opens_has_sentences_and_no_traceback(path, visitor, monkeypatch):
    """Up to where a page says what it could not read; what it then shows is its own example."""
    say = Desk.say

    def say_and_end(desk: Desk) -> None:
        say(desk)
        streamlit.stop()

    monkeypatch.setattr(Desk, "say", say_and_end)
    for query in NASTY.values():
        visitor.session_state["page"] = ""
        visitor.query_params.clear()
        visitor.query_params.update(query)
        (visitor if path == "app.py" else visitor.switch_page(path)).run()
        assert not visitor.exception, query
        said = [element.value for element in (*visitor.warning, *visitor.error, *visitor.info)]
        assert said or (path in WITHOUT_DESK and "term" not in query)
        assert len(said) <= MESSAGES_AT_MOST + 1
        assert (
            max(map(len, said), default=0) <= 2 * LONGEST_MESSAGE
        )  # with the backslashes that take Markdown's meaning away
        assert not any(re.search(r"(?<!\\)[<\[$]|(://|www|@)\w", sentence) for sentence in said)


# Formulas ------------------------------------------------------------------------------------------------------------

CODE = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0]",
    "x.__class__",
    "lambda: x",
    "[x for x in y]",
    "(x := y)",
    "f'{x}'",
    "x if y else x",
    "x; y",
    "x\ny",
    "exec(x)",
    "x[0]",
    "x == y",
    "x and y",
    "9**9**9**9",
    "x^" + "9" * 100,
    "9" * 200,
    "1e400·x",
    "x·1e-400",
    "(" * 100 + "x" + ")" * 100,
    "-" * 199 + "x",
    "√" * 199 + "x",
    "x^" * 99 + "x",
    "|" * 99 + "x" + "|" * 99,
    "max(" + "x," * 60 + "x)",
    "sin" * 66,
    "𝐱 + 𝐲",  # letters that Python would read as x and y
    "ｘ + y",
    "ｓｉｎ(x)",
    "ﬁ(x)",
    "x\u200b",
    "\u202ex",
    "x\x00",
    "\ud800",
    "x² ³",
    "٣x",
    "x" * 100_000,
]
WORDS_OF_FORMULAS = ["x", "y", "(", ")", "|", ",", "+", "-", "*", "**", "^", "/", "√", "²", "·", " ", "1", "0.5", "1e9"]
WORDS_OF_FORMULAS += [*FUNCTIONS, *CONSTANTS, *ALIASES]
pieces = st.sampled_from(WORDS_OF_FORMULAS)
grammar = st.recursive(
    pieces,
    lambda inner: (
        st.lists(inner, min_size=2, max_size=5).map("".join)
        | inner.map("({})".format)
        | inner.map("sin({})".format)
        | st.tuples(inner, inner).map("^".join)
    ),
    max_leaves=40,
)
damaged_code = st.tuples(st.sampled_from(CODE), st.integers(0, 60), pieces | st.text(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
)


def read_formula(text: str) -> None:
    """It is a formula, which is finite work and no other text, or there is one sentence with a place in the text."""
    try:
        formula = parse(text)
    except ExpressionError as error:
        refused = error
    else:
        check_formula(formula)
        return
    assert len(refused.message) <= LONGEST_MESSAGE
    assert 0 <= refused.position <= LENGTH
    assert len(str(refused)) <= LONGEST_MESSAGE + 2 * LENGTH + 4


def check_formula(formula: Expression) -> None:
    """It is bounded, made of the table's functions alone, and says what it means."""
    assert len(formula.text) <= LENGTH
    assert set(re.findall("[A-Za-z_]+[0-9]*", formula.python())) <= PYTHON_NAMES
    assert len(formula.latex) <= 60 * LENGTH
    assert parse(formula.text).fn == formula.fn


PYTHON_NAMES = {"np", "x", "y", "pi", "e", *(function.numpy for function in FUNCTIONS.values())}
PYTHON_NAMES |= set(re.findall("[a-z_0-9]+", " ".join(parse(f"{name}(x)").python() for name in ("relu", "sigmoid"))))


@pytest.mark.parametrize("text", CODE, ids=lambda text: ascii(text)[:30])
def test_code_is_no_formula(text):
    read_formula(text)
    if "_" in text or any(word in text for word in ("lambda", "for", "import", "exec", "if", "and", "==", ":", ";")):
        with pytest.raises(ExpressionError):
            parse(text)


@settings(max_examples=400, deadline=A_SECOND)
@given(grammar | damaged_code | st.text(max_size=300))
def test_any_text_is_a_formula_or_a_sentence(text):
    read_formula(text)


# Files ---------------------------------------------------------------------------------------------------------------

LINE = 1_000_000
FILES = {
    "empty": b"",
    "byte order mark": b"\xef\xbb\xbf",
    "two marks": b"\xef\xbb\xbf\xef\xbb\xbfa,b\n1,2\n",
    "UTF-16": "a,b\n1,2\n".encode("utf-16"),
    "UTF-16 without a mark": "a,b\n1,2\n".encode("utf-16-le"),
    "UTF-32": "a,b\n1,2\n".encode("utf-32"),
    "nothing but NUL": b"\0" * LINE,
    "an open quote": b'a,b\n"1,2\n' + b"3,4\n" * 2000,
    "an open quote on one line": b'"' + b"a" * (LINE - 1),
    "nothing but quotes": b'"' * LINE,
    "nothing but commas": b"," * LINE,
    "nothing but lines": b"\n" * LINE,
    "nothing but returns": b"\r" * LINE,
    "one line": b"1" * LINE,
    "half a million columns": b"1," * (LINE // 2),
    "mixed separators": b"a;b,c\td\n1;2,3\t4\n" * 50,
    "too large": b"1,2\n" * LINE,
    "1e400": b"a,b\n" + b"1e400,1\n" * 20,
    "-1e400": b"a,b\n" + b"-1e400,1\n" * 20,
    "a number without end": b"a,b\n" + b"9" * 100_000 + b",1\n",
    "an exponent without end": b"a,b\n1e" + b"9" * 190 + b",1\n" + b"1,2\n" * 20,
    "full-width digits": "a,b\n１,２\n".encode() * 20,
    "formulas of a spreadsheet": b"a,b\n=1+1,@SUM(A1)\n" * 20,
    "HTML": b"<script>alert(1)</script>,b\n" + b"1,<img src=x onerror=alert(1)>\n2,b\n" * 20,
    "right to left": "a\u202e,b\n1,2\n".encode() * 20,
    "a ZIP": b"PK\x03\x04" + bytes(range(256)) * 20,
}
cells = st.sampled_from(
    ["1", "-2.5", "1e400", "nan", "", '"', '""', "a", "<b>", "１", "\x00", "\ufeff", "x" * 300, "=1"]
)
lines = st.lists(st.lists(cells, max_size=5), max_size=30)
written = st.tuples(lines, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
spelt = written.map(lambda parts: parts[2].join(parts[1].join(row) for row in parts[0]).encode())


def read_file(data: bytes) -> None:
    """It is a table within all bounds, or there is one short sentence."""
    try:
        table = read_csv(data, name="<b>table</b>" * 50)
    except ValueError as error:
        refused = str(error)
    else:
        check_table(table)
        return
    assert 0 < len(refused) <= 2 * LONGEST_MESSAGE


def check_table(table: Table) -> None:
    """It is within all bounds."""
    assert len(table.y) <= LIMITS.upload_rows
    assert len(table.features) < LIMITS.upload_columns
    assert len(table.classes) <= LIMITS.upload_classes
    assert np.isfinite(table.x).all()
    assert np.isfinite(table.y).all()


@pytest.mark.parametrize("name", FILES)
def test_a_strange_file_is_read_or_refused_within_a_second(name):
    began = time.process_time()  # of this process alone: the machine may be busy
    read_file(FILES[name])
    assert time.process_time() - began < A_SECOND / 1000


@settings(max_examples=300, deadline=A_SECOND)
@given(st.binary(max_size=600) | spelt | st.text(max_size=400).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_table_or_a_sentence(data):
    read_file(data)
