"""What pictures are drawn with: segments cut at a box, dashes, markers, ticks, type, and colours as three numbers.

Everything is drawn at FINER times its size and scaled down, which smooths its edges.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

FINER = 2  # drawn at so many times its size
PAPER, TEXT, MUTED, RULE = "#FFFFFF", "#31333F", "#6B7079", "#C3CBD4"

Pixels = list[tuple[float, float]]


def rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def mix(one: Sequence[int], other: Sequence[int], share: float) -> tuple[int, ...]:
    return tuple(round(a + share * (b - a)) for a, b in zip(one, other, strict=True))


def bilinear(z: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """z at the middle of every pixel: its first and last rows and columns lie on the edges of the picture."""
    i, j = ((np.arange(n) + 0.5) / n * (size - 1) for n, size in ((rows, z.shape[0]), (columns, z.shape[1])))
    top, left = (np.minimum(at.astype(int), size - 2) for at, size in ((i, z.shape[0]), (j, z.shape[1])))
    down, across = (i - top)[:, None], j - left
    upper = z[top][:, left] * (1 - across) + z[top][:, left + 1] * across
    lower = z[top + 1][:, left] * (1 - across) + z[top + 1][:, left + 1] * across
    return upper * (1 - down) + lower * down


def cut(a: tuple[float, float], b: tuple[float, float], box: Sequence[float]) -> Pixels | None:
    """The part of the segment from a to b that is in a box (Liang and Barsky), or None if there is none."""
    (x0, y0), (x1, y1) = a, b
    dx, dy = x1 - x0, y1 - y0
    if not all(map(math.isfinite, (x0, y0, dx, dy))):
        return None
    first, last = 0.0, 1.0
    left, top, right, bottom = box
    for p, q in ((-dx, x0 - left), (dx, right - x0), (-dy, y0 - top), (dy, bottom - y0)):
        if p == 0 and q < 0:
            return None
        if p < 0:
            first = max(first, q / p)
        elif p > 0:
            last = min(last, q / p)
    if first > last:
        return None
    part = [(x0 + share * dx, y0 + share * dy) for share in (first, last)]
    # From very far away the cut is lost to rounding, and then there is nothing to be drawn truly.
    near = all(left - 1 <= x <= right + 1 and top - 1 <= y <= bottom + 1 for x, y in part)
    return part if near else None


def dashes(a: tuple[float, float], b: tuple[float, float], dash: Sequence[float], done: float) -> Iterator[Pixels]:
    """The strokes of a dashed line between two points, `done` pixels after its beginning; solid without a dash."""
    length = math.dist(a, b)
    if not dash or length == 0:
        yield [a, b]
        return
    on, off = dash
    begin = done - done % (on + off)
    while begin < done + length:
        first, last = max(begin, done), min(begin + on, done + length)
        if first < last:
            parts = ((first - done) / length, (last - done) / length)
            yield [(a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])) for part in parts]
        begin += on + off


def _corners(count: int, turn: float = 0.0, inner: float = 1.0) -> Pixels:
    """Vertices on the unit circle, the first one on top; with `inner` a star."""
    total = count if inner == 1 else 2 * count
    angles = [turn - math.pi / 2 + 2 * math.pi * i / total for i in range(total)]
    radii = [inner if inner != 1 and i % 2 else 1.0 for i in range(total)]
    return [(r * math.cos(angle), r * math.sin(angle)) for r, angle in zip(radii, angles, strict=True)]


def _plus(arm: float, turn: float) -> Pixels:
    """A plus sign with arms twice `arm` wide."""
    quarter = [(-arm, -arm), (-arm, -1.0), (arm, -1.0)]
    turns = [(math.cos(turn + k * math.pi / 2), math.sin(turn + k * math.pi / 2)) for k in range(4)]
    return [(c * x - s * y, s * x + c * y) for c, s in turns for x, y in quarter]


SHAPES = {  # the stage's markers, each with the scale that makes it look as large as the circle
    "circle": (_corners(32), 1.0),
    "square": (_corners(4, math.pi / 4), 1.25),
    "triangle": (_corners(3), 1.35),
    "diamond": (_corners(4), 1.25),
    "star": (_corners(5, 0, 0.45), 1.5),
    "cross": (_plus(0.38, 0), 1.15),
    "hexagon": (_corners(6), 1.1),
    "pentagon": (_corners(5), 1.15),
    "x": (_plus(0.3, math.pi / 4), 1.15),
}


def marker(pen: Any, kind: str, x: float, y: float, radius: float, color: str) -> None:
    """A mark with a rim of paper around it; "target" is a ring with a point."""
    if kind == "target":
        for size, fill in ((1.25, PAPER), (1.0, color), (0.7, PAPER), (0.35, color)):
            pen.ellipse((x - size * radius, y - size * radius, x + size * radius, y + size * radius), fill=fill)
        return
    corners, scale = SHAPES[kind]
    for size, fill in ((radius + 1.5 * FINER, PAPER), (radius, color)):
        pen.polygon([(x + size * scale * dx, y + size * scale * dy) for dx, dy in corners], fill=fill)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, a handful."""
    unit = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(unit * nice for nice in (1, 2, 5, 10) if (high - low) / (unit * nice) <= 5)
    return [round(step * i, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def wrapped(text: str, face: Any, width: float) -> list[str]:
    """Text in lines of at most `width` pixels, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and face.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@lru_cache(maxsize=16)
def font(size: float, weight: int) -> Any:
    """The app's own typeface, which Streamlit brings with it; without it Pillow's, which has no Greek letters."""
    from PIL import ImageFont

    spec = find_spec("streamlit")
    folder = Path(str(spec.origin)).parent / "static" / "static" / "media" if spec else Path()
    for file in sorted(folder.glob("SourceSansVF-Upright.*.woff2")):
        try:
            face = ImageFont.truetype(str(file), round(size))
            face.set_variation_by_axes([weight])
            return face
        except OSError:  # a build of Pillow that cannot read compressed fonts
            break
    return ImageFont.load_default(round(size))


def shortened(text: str, face: Any, width: float) -> str:
    """One line of at most `width` pixels; what does not fit ends in an ellipsis."""
    text = " ".join(text.split())
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
