"""A stranger's input by the million: what `test_hostile.py` asks of every input, asked by a fuzzer led by coverage.

Hypothesis draws from grammars that we wrote; atheris changes bytes and keeps what reaches code that nothing reached
before. It is no part of the tests and of no requirements: it takes minutes, and brings its own native code. By hand:

    pip install atheris
    python tests/fuzz.py links 300        (or formulas, or files; seconds)

What breaks a property ends it with a traceback, and the input lies beside it as crash-…; one of more than ten seconds
as timeout-…. Give such a file as the last argument to try it again. What was found is in SECURITY.md.
"""

import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

atheris: Any = import_module("atheris")  # by name, for whoever reads these files has it not
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
READERS = ["expression", "csv_table", "query", "limits", "spec", "lecture", "experiment", "training", "scheduled"]
READERS += [path.stem for path in (ROOT / "optviz").glob("*link.py")]
with atheris.instrument_imports(include=[f"optviz.{name}" for name in READERS]):
    import test_hostile as hostile

HANG = 10  # s
LONGEST = 20_000  # bytes: beyond what a reader looks at of one field


def formulas(data: bytes) -> None:
    hostile.read_formula(data.decode("utf-8", "replace"))


def files(data: bytes) -> None:
    hostile.read_file(data)


def links(data: bytes) -> None:
    """The first byte says which page, the rest is its query string."""
    desk = PAGES[data[0] % len(PAGES)] if data else PAGES[0]
    hostile.open_link(desk, parse_qs(data[1:].decode("utf-8", "replace"), keep_blank_values=True))


PAGES = list(hostile.DESKS.values())
DOORS: dict[str, Callable[[bytes], None]] = {"formulas": formulas, "files": files, "links": links}


def seeds(door: str) -> list[bytes]:
    """What a fuzzer begins with: inputs that are right, and the tricks of the tests."""
    if door == "formulas":
        return [
            text.encode("utf-8", "replace") for text in (*hostile.CODE, "sin(x)^2 + |y|·3.5e-1", "max(x, √y) − 2πx²")
        ]
    if door == "files":
        table = b"length,width,kind\n" + b"1.5,2,a\n2.5,-3e1,b\n" * 10
        return [table, table.replace(b",", b";"), *(data[:LONGEST] for data in hostile.FILES.values())]
    return [
        bytes([page]) + urlencode(link, doseq=True).encode()[: LONGEST - 1]
        for page, desk in enumerate(PAGES)
        for link in (*hostile.links(desk), *hostile.NASTY.values())
    ]


def words(door: str) -> list[str]:
    """What inputs of this kind are made of, for the fuzzer to put in."""
    if door == "formulas":
        return hostile.WORDS_OF_FORMULAS
    if door == "files":
        return [",", ";", "\t", "|", '"', '""', "\n", "\r\n", "nan", "inf", "1e400", "-", "\ufeff", "\0", "１"]
    return sorted({*hostile.SENT, *hostile.WORDS, "~", "=", "&", ".by", "claim"})


def main(door: str, seconds: str, *more: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus, known = Path(folder, "corpus"), Path(folder, "words")
        corpus.mkdir()
        for number, seed in enumerate(seeds(door)):
            (corpus / str(number)).write_bytes(seed)
        quoted = ["".join(f"\\x{byte:02x}" for byte in word.encode()) for word in words(door) if word]
        known.write_text("".join(f'"{word}"\n' for word in quoted if len(word) < 4 * 64), encoding="ascii")
        limits = [f"-max_total_time={seconds}", f"-timeout={HANG}", f"-max_len={LONGEST}", "-rss_limit_mb=4096"]
        told = [*limits, f"-dict={known}", *(more or [str(corpus)])]
        atheris.Setup([sys.argv[0], *told], DOORS[door])
        atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in DOORS or not sys.argv[2].isdigit():
        sys.exit(f"python tests/fuzz.py {'|'.join(DOORS)} SECONDS [FILE …]")
    main(*sys.argv[1:])
