"""A visitor's own file as a table to learn from.

`read_csv` takes numbers and names from the text, runs nothing, keeps within the limits of a server, and says in a
sentence, with row and column, what it cannot use.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import islice

import numpy as np

from optviz.datasets import ROWS_AT_LEAST, Table
from optviz.limits import LIMITS

BYTES_AT_MOST = LIMITS.upload_bytes
ROWS_AT_MOST, COLUMNS_AT_MOST, CLASSES_AT_MOST = LIMITS.upload_rows, LIMITS.upload_columns, LIMITS.upload_classes
LETTERS_AT_MOST = 200  # in one cell
SIZE_AT_LEAST, SIZE_AT_MOST = 1e-100, 1e100  # of a number: its square must be a number too
SNIFFED = 20  # rows from which the separator is told
SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}  # a tab or semicolon separates, where there is one

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
WITH_COMMA = re.compile(r"[+-]?\d[\d.]*,\d[\d.,]*", re.ASCII)
INFINITE = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)
MISSING = {"", "?", "na", "n/a", "nan", "null"}


def read_csv(source: str | bytes, *, target: str | None = None, name: str = "") -> Table:
    """A visitor's own table, from the text or the bytes of a CSV file called `name`.

    Cells are separated by commas, semicolons or tabs; quotes work as usual; empty rows are passed over. The first row
    names the columns if nothing in it is a number; otherwise they are called “column 1” and so on. `target` names the
    column to predict, the last one if left out. Text makes classes, and so do whole numbers if they are few: at most
    CLASSES_AT_MOST different ones, each twice on the average. Any other numbers are targets of a regression.

    Raises ValueError, saying which row and column and what to do, for everything that is not such a table, and for
    more than a server's limits of uploaded tables. Rows are counted as a spreadsheet counts them.
    """
    try:
        return _own_table(_rows(_text(source)), target)
    except ValueError as error:
        raise ValueError(f"{_short(name)}: {error}" if name else str(error)) from None


def _text(source: str | bytes) -> str:
    """The text of a file. Raises ValueError if it is too long or not UTF-8."""
    if not isinstance(source, str | bytes):
        raise ValueError(f"a CSV file must be given as text or bytes, not {type(source).__name__}")
    # What is beyond the limit need not be encoded to be refused.
    data = source if isinstance(source, bytes) else source[: BYTES_AT_MOST + 1].encode("utf-8", "surrogatepass")
    if len(data) > BYTES_AT_MOST:
        raise ValueError(f"the file is larger than {BYTES_AT_MOST / 1e6:g} MB; leave out rows or columns")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("the file is written in UTF-16; save it as “CSV UTF-8”")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"row {row} is not written in UTF-8 but perhaps in Latin-1 or Windows-1252; save the file as “CSV UTF-8”"
        ) from None


def _separator(text: str) -> str:
    """The mark that cuts the first rows into equally many cells, more than one; else the first that the first has."""
    for mark in SEPARATORS:
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True, strict=True)
            widths = {len(record) for record in islice(reader, SNIFFED) if "".join(record).strip()}
        except csv.Error:
            continue
        if len(widths) == 1 and widths != {1}:
            return mark
    first = re.split("[\r\n]", re.sub('"[^"]*"', "", text).lstrip("\r\n"), maxsplit=1)[0]
    return next((mark for mark in SEPARATORS if mark in first), ",")


def _rows(text: str) -> dict[int, list[str]]:
    """The rows that hold anything, by number from 1; all of one length, with cells that can be shown and are bounded.

    Raises ValueError if the text is no such table.
    """
    separator = _separator(text)
    rows: dict[int, list[str]] = {}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    number, width = 0, 0
    try:
        for number, record in enumerate(reader, start=1):
            if not "".join(record).strip():
                continue
            width = width or len(record)
            if width > COLUMNS_AT_MOST:
                raise ValueError(f"row {number} has {width} columns; at most {COLUMNS_AT_MOST} are allowed")
            if len(record) != width:
                marks, cells = SEPARATORS[separator], _count(len(record), "cell")
                raise ValueError(
                    f"row {number} has {cells} and row {next(iter(rows))} has {width}, separated by {marks}; "
                    f"put a cell that contains {marks} in quotes"
                )
            if len(rows) > ROWS_AT_MOST:  # with one for the names
                raise ValueError(f"there are more than {ROWS_AT_MOST} rows; leave some out")
            rows[number] = [_shown(cell, number, i) for i, cell in enumerate(record, start=1)]
    except csv.Error as error:
        raise ValueError(f"row {number + 1} cannot be read ({error}); quotes must come in pairs") from None
    if not rows:
        raise ValueError("the file is empty; it needs a row of names and rows of numbers")
    if width < 2:
        raise ValueError(
            "there is one column only, for there is no comma, semicolon or tab in the first row; a target and at least "
            "one feature are needed"
        )
    return rows


def _shown(cell: str, row: int, column: int) -> str:
    """A cell with its white space tidied. Raises ValueError if it cannot be shown as one short line."""
    tidy = " ".join(cell.split())
    if len(tidy) > LETTERS_AT_MOST:
        raise ValueError(f"row {row}, column {column}: {len(tidy)} characters in one cell; at most {LETTERS_AT_MOST}")
    if not tidy.isprintable():
        strange = next(letter for letter in tidy if not letter.isprintable())
        raise ValueError(f"row {row}, column {column}: character U+{ord(strange):04X} cannot be shown; delete it")
    return tidy


def _own_table(rows: dict[int, list[str]], target: str | None) -> Table:
    """The table that rows of cells spell. Raises ValueError if they spell none."""
    names = _names(rows)
    if target is not None and target not in names:
        raise ValueError(f"there is no column {_short(str(target))}; there are {', '.join(map(_short, names))}")
    if len(rows) > ROWS_AT_MOST:
        raise ValueError(f"there are more than {ROWS_AT_MOST} rows; leave some out")
    if len(rows) < ROWS_AT_LEAST:
        raise ValueError(f"the file has {_count(len(rows), 'row')} of data; at least {ROWS_AT_LEAST} are needed")
    at = len(names) - 1 if target is None else names.index(target)
    y, classes = _target([(_place(row, names[at]), cells[at]) for row, cells in rows.items()])
    features = [i for i in range(len(names)) if i != at]
    x = np.array([[_number(cells[i], _place(row, names[i])) for i in features] for row, cells in rows.items()])
    return Table(x, y, tuple(names[i] for i in features), classes)


def _names(rows: dict[int, list[str]]) -> list[str]:
    """What the columns are called. The row that says so is taken out of `rows`.

    Raises ValueError if a name is missing or used twice, or if the first row is neither names nor data.
    """
    number, first = next(iter(rows.items()))
    numeric = [bool(NUMBER.fullmatch(cell)) for cell in first]
    if any(numeric) or all(_strange(cell) for cell in first):
        below = [cells for row, cells in rows.items() if row != number]
        for i, cell in enumerate(first):
            same = sum(bool(NUMBER.fullmatch(cells[i])) == numeric[i] for cells in below)
            if below and not same and not any(_strange(cells[i]) for cells in (first, *below)):
                raise ValueError(
                    f"row {number}, column {i + 1}: {_short(cell)} stands above {'text' if numeric[i] else 'numbers'}; "
                    "if this is a name, begin every column's name with a letter, and if not, correct it"
                )
        return [f"column {i + 1}" for i in range(len(first))]
    del rows[number]
    for i, cell in enumerate(first):
        if not cell:
            raise ValueError(f"row {number}, column {i + 1} has no name; name it, or delete the column")
        if cell in first[:i]:
            raise ValueError(f"columns {first.index(cell) + 1} and {i + 1} are both called {_short(cell)}; rename one")
    return first


def _target(column: list[tuple[str, str]]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The targets that a column of (place, cell) spells, and the classes if they are some.

    Raises ValueError on a cell that is missing or no number, and if there is one class only or too many.
    """
    texts = []
    for place, cell in column:
        if _strange(cell):
            raise ValueError(f"{place} {_strange(cell)}")
        texts += [(place, cell)] if not NUMBER.fullmatch(cell) else []
    values = [cell if texts else _number(cell, place) for place, cell in column]
    distinct = sorted(set(values))  # type: ignore[type-var]  # all are texts or all are numbers
    if len(distinct) == 1:
        raise ValueError(f"the target is {_short(column[0][1])} in every row; two classes or two values are needed")
    if not texts and not (
        all(float(value).is_integer() for value in distinct) and len(distinct) <= min(CLASSES_AT_MOST, len(values) // 2)
    ):
        return np.array(values, dtype=np.float64), ()
    if len(distinct) > CLASSES_AT_MOST:
        place, cell = texts[0]
        if len(texts) < len(values) / 2:
            raise ValueError(f"{place}: {_short(cell)} is text in a column of numbers; correct it or delete the row")
        raise ValueError(
            f"the target has {len(distinct)} classes, {_short(cell)} among them; at most {CLASSES_AT_MOST} are allowed"
        )
    index = {value: i for i, value in enumerate(distinct)}
    names = (f"{value:.0f}" if isinstance(value, float) and abs(value) < 1e15 else str(value) for value in distinct)
    return np.array([index[value] for value in values], dtype=np.int64), tuple(names)


def _number(cell: str, place: str) -> float:
    """The number that a cell spells. Raises ValueError if it spells none that can be computed with."""
    if not NUMBER.fullmatch(cell):
        why = _strange(cell) or (
            f"is the text {_short(cell)}, and a feature must be a number; make a column of 0 and 1 for each value, or "
            "delete the column, or choose it as the target"
        )
        raise ValueError(f"{place} {why}")
    value = float(cell)
    if value == 0 and not re.search("[1-9]", cell.lower().split("e")[0]):
        return 0.0
    if not SIZE_AT_LEAST <= abs(value) <= SIZE_AT_MOST:
        raise ValueError(
            f"{place} is {_short(cell)}; a number must be 0 or {SIZE_AT_LEAST:g} to {SIZE_AT_MOST:g} in size, so "
            "choose another unit"
        )
    return value


def _strange(cell: str) -> str:
    """What is wrong with a cell that should have been a number or a class, and what to do; "" if nothing is."""
    if cell.casefold() in MISSING:
        return f"is missing ({_short(cell)}); fill it in, or delete the row or the column"
    if INFINITE.fullmatch(cell):
        return f"is infinite ({_short(cell)}); correct it or delete the row"
    if WITH_COMMA.fullmatch(cell):
        return f"has a comma in a number ({_short(cell)}); write 1234.5 with a point and without other marks"
    return ""


def _place(row: int, name: str) -> str:
    """Where a cell is. A column without a name of its own is called by its number."""
    return f"row {row}, {name if re.fullmatch('column [0-9]+', name) else f'column {_short(name)}'}"


def _short(text: str) -> str:
    """A text in quotes, of a length that a message can bear."""
    return f"“{text if len(text) <= 40 else text[:39] + '…'}”"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
