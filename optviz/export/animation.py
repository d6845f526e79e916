"""A race as an animated GIF: the contour as the app draws it, and the paths growing over it to the end of the run.

Everything is drawn at twice its size and scaled down, which smooths its edges. A path that leaves the window leaves the
picture: it is cut where it crosses the border, and its head is not drawn while it is outside.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from optviz.experiment import Experiment, Run
from optviz.figures import theme
from optviz.figures.race import race
from optviz.spec import number

WIDTHS, FRAMES = (240, 1280), (2, 120)  # pixels and pictures that a visitor may ask for
FRAME, REST = 80, 2000  # ms that a picture stays, and the last one
FINER = 2  # drawn at so many times its size
PAPER, TEXT, MUTED, RULE = "#FFFFFF", "#31333F", "#6B7079", "#C3CBD4"
CONTOUR = "#A3AFBC"  # the lines between two bands of height

Pixels = list[tuple[float, float]]


def to_gif(experiment: Experiment, runs: Sequence[Run], *, width: int = 640, frames: int = 60) -> bytes:
    """The race as a GIF that loops, `width` pixels wide, in `frames` pictures of equally many steps.

    Raises ValueError if width is not in 240–1280 or frames not in 2–120.
    """
    for name, value, (low, high) in (("width", width, WIDTHS), ("frames", frames, FRAMES)):
        if not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    first, *others = _Painter(experiment, runs, width).pictures(frames)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=[FRAME] * (frames - 1) + [REST], loop=0)
    return file.getvalue()


class Layout(NamedTuple):
    """Where things are, in pixels of the finished picture; the window's own ends come last."""

    width: int
    height: int
    left: int  # of the plot
    top: int
    wide: int  # the plot's own width and height
    high: int
    window: tuple[float, float, float, float]

    def pixel(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Where a point of the surface is in the picture."""
        left, right, bottom, top = self.window
        with np.errstate(over="ignore", invalid="ignore"):
            across, down = (x - left) / (right - left), (top - y) / (top - bottom)
            return self.left + across * self.wide, self.top + down * self.high


def layout(experiment: Experiment, racers: int, width: int) -> Layout:
    """The plot at the left, in the window's own proportions, and beside it who is who."""
    left, right, bottom, top = window = experiment.entry.window
    unit = _unit(width)
    wide = round(0.64 * width)
    high = round(wide * min((top - bottom) / (right - left), 1.4))
    height = max(high, round(unit * (3 + 3.4 * racers))) + round(4.2 * unit)
    return Layout(width, height, round(2.6 * unit), round(2.2 * unit), wide, high, window)


def _unit(width: int) -> float:
    """The size of type."""
    return 7 + width / 90


class _Racer(NamedTuple):
    """What is drawn of one run, in pixels of the large drawing: x, y (T + 1,), NaN where there is none."""

    label: str
    color: str
    dash: tuple[float, ...]
    marker: str
    ghost: bool
    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray

    def at(self, moment: float) -> tuple[float, float]:
        """The head at a moment, on the line between two steps."""
        i = min(int(moment), len(self.x) - 1)
        part = moment - i if i < len(self.x) - 1 else 0.0
        if not part:
            return float(self.x[i]), float(self.y[i])
        with np.errstate(over="ignore", invalid="ignore"):
            x, y = ((1 - part) * line[i] + part * line[i + 1] for line in (self.x, self.y))
        return float(x), float(y)


class _Painter:
    """Paints the pictures of one race, each by adding to the one before."""

    def __init__(self, experiment: Experiment, runs: Sequence[Run], width: int):
        from PIL import Image, ImageDraw

        self.Image, self.ImageDraw = Image, ImageDraw
        self.record = race(experiment, runs, compact=True)
        self.title = experiment.entry.title
        self.steps = self.record["steps"]
        self.place = layout(experiment, len(runs), width)
        self.unit = FINER * _unit(width)
        self.racers = [
            _Racer(
                run.label,
                look["color"],
                tuple(FINER * length for length in look["dash"]),
                look["marker"],
                run.ghost,
                x,
                y,
                run.trajectory.loss,
            )
            for run, look, (x, y) in zip(runs, self.record["racers"], map(self._line, runs), strict=True)
        ]
        left, top = FINER * self.place.left, FINER * self.place.top
        self.plot = (left, top, left + FINER * self.place.wide, top + FINER * self.place.high)
        self.contour = self._contour()

    def _line(self, run: Run) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.place.pixel(run.trajectory.theta[:, 0], run.trajectory.theta[:, 1])
        return FINER * x, FINER * y

    def pictures(self, frames: int) -> Iterator[Any]:
        """The pictures, in one palette: each colour becomes the nearest in it (Pillow's search is only roughly so)."""
        palette = None
        nearest = np.full(1 << 24, -1, np.int16)  # from a colour to its place in the palette, where that is known
        for picture in self._drawn(frames):
            palette = self._palette(picture) if palette is None else palette
            red, green, blue = np.moveaxis(np.asarray(picture).astype(np.int32), -1, 0)
            colors = (red << 16) + (green << 8) + blue
            new = np.unique(colors[nearest[colors] < 0])
            parts = np.stack([new >> 16, new >> 8 & 255, new & 255], axis=-1)
            for i in range(0, len(new), 4096):
                apart = ((parts[i : i + 4096, None] - palette[None]) ** 2).sum(axis=-1)
                nearest[new[i : i + 4096]] = apart.argmin(axis=1)
            indexed = self.Image.fromarray(nearest[colors].astype(np.uint8), "P")
            indexed.putpalette(palette.astype(np.uint8).tobytes())
            yield indexed

    def _drawn(self, frames: int) -> Iterator[Any]:
        ground = self._ground()
        ink = self.Image.new("RGBA", ground.size, (0, 0, 0, 0))
        halo = self.Image.new("L", ground.size, 0)
        travelled = [0.0] * len(self.racers)
        before = 0.0
        for moment in np.linspace(0, self.steps, frames).tolist():
            for i, racer in enumerate(self.racers):
                travelled[i] = self._extend(ink, halo, racer, before, moment, travelled[i])
            before = moment
            picture = ground.copy()
            self._paste(picture, halo, ink)
            pen = self.ImageDraw.Draw(picture)
            for racer in self.racers:
                x, y = racer.at(moment)
                if self._inside(x, y):
                    _marker(pen, racer.marker, x, y, (0.36 if racer.ghost else 0.5) * self.unit, racer.color)
            self._say(pen, moment)
            yield picture.reduce(FINER)

    def _inside(self, x: float, y: float) -> bool:
        left, top, right, bottom = self.plot
        return left <= x <= right and top <= y <= bottom  # never of NaN

    # What stands still

    def _ground(self) -> Any:
        place, unit = self.place, self.unit
        picture = self.Image.new("RGB", (FINER * place.width, FINER * place.height), PAPER)
        picture.paste(self.contour, self.plot[:2])
        pen = self.ImageDraw.Draw(picture)
        pen.rectangle(self.plot, outline=RULE, width=FINER)
        pen.text((self.plot[0], 0.55 * unit), self.title, fill=TEXT, font=_font(1.15 * unit, 650))
        left, right, bottom, top = place.window
        small = _font(0.78 * unit, 400)
        for value in _ticks(left, right):
            x = FINER * place.pixel(value, top)[0]
            pen.line([(x, self.plot[3]), (x, self.plot[3] + 0.3 * unit)], fill=RULE, width=FINER)
            pen.text((x, self.plot[3] + 0.45 * unit), number(value), fill=MUTED, font=small, anchor="mt")
        for value in _ticks(bottom, top):
            y = FINER * place.pixel(left, value)[1]
            pen.line([(self.plot[0] - 0.3 * unit, y), (self.plot[0], y)], fill=RULE, width=FINER)
            pen.text((self.plot[0] - 0.5 * unit, y), number(value), fill=MUTED, font=small, anchor="rm")
        for mark in self.record["panels"][0]["marks"]:
            x, y = (FINER * pixel for pixel in place.pixel(mark["x"], mark["y"]))
            if self._inside(x, y):
                _marker(pen, {"minimum": "star", "saddle": "x"}.get(mark["kind"], "target"), x, y, 0.5 * unit, TEXT)
        return picture

    def _contour(self) -> Any:
        """The heights that the app shows, in bands: levels, colours and all."""
        (contour,) = self.record["panels"][0]["figure"]["data"]
        shape = [int(length) for length in contour["z"]["shape"].split(",")]
        z = np.frombuffer(base64.b64decode(contour["z"]["bdata"]), "<f4").reshape(shape).astype(float)
        rows, columns = FINER * self.place.high, FINER * self.place.wide
        z = _bilinear(z[::-1], rows, columns)
        start, end, size = (contour["contours"][name] for name in ("start", "end", "size"))
        count = round((end - start) / size) + 1
        band = np.ceil((z - start) / size)  # 0 below the first level
        share = np.minimum(np.maximum(band, 0), count) / count  # all that is lower, or higher, has one colour
        colors = np.array([_rgb(color) for color in theme.SCALES["light"]], dtype=float)
        at = np.nan_to_num(share) * (len(colors) - 1)
        image = np.stack([np.interp(at, np.arange(len(colors)), colors[:, i]) for i in range(3)], axis=-1)
        edge = np.zeros(band.shape, bool)
        edge[:, 1:] |= share[:, 1:] != share[:, :-1]
        edge[1:] |= share[1:] != share[:-1]
        image[edge] = _rgb(CONTOUR)
        image[~np.isfinite(z)] = _rgb(PAPER)  # nothing is defined there
        return self.Image.fromarray(image.round().astype(np.uint8), "RGB")

    # What moves

    def _extend(self, ink: Any, halo: Any, racer: _Racer, start: float, end: float, travelled: float) -> float:
        """Draw a racer's line on from one moment to the next; returns how long it is by now, for its dashes."""
        steps = range(math.floor(start) + 1, min(math.ceil(end), len(racer.x)))
        points = [racer.at(start), *((float(racer.x[i]), float(racer.y[i])) for i in steps), racer.at(end)]
        pen, light = self.ImageDraw.Draw(ink), self.ImageDraw.Draw(halo)
        width = round((0.14 if racer.ghost else 0.22) * self.unit)
        joint = (width - 1) / 2
        color = (*_rgb(racer.color), 110 if racer.ghost else 255)
        for a, b in pairwise(points):
            part = _cut(a, b, self.plot)
            if part is None:
                continue
            light.line(part, fill=200, width=width + 3 * FINER)
            for dash in _dashes(part[0], part[1], racer.dash, travelled):
                pen.line(dash, fill=color, width=width)
                if not racer.dash:
                    for x, y in dash:  # round joints
                        pen.ellipse((x - joint, y - joint, x + joint, y + joint), fill=color)
            travelled += math.dist(part[0], part[1])
        return travelled

    def _paste(self, picture: Any, halo: Any, ink: Any) -> None:
        box = self.plot
        inside = (box[0] + FINER, box[1] + FINER, box[2], box[3])
        picture.paste(PAPER, inside, halo.crop(inside))
        picture.paste(ink.crop(inside), inside, ink.crop(inside))

    def _say(self, pen: Any, moment: float) -> None:
        """The step, and who is who and how low each is by now."""
        unit, step = self.unit, math.floor(moment)
        left, right = self.plot[2] + 1.3 * unit, FINER * self.place.width - 0.6 * unit
        pen.text((right, 0.7 * unit), f"step {step} of {self.steps}", fill=MUTED, font=_font(unit, 400), anchor="ra")
        y = self.plot[1] + 0.1 * unit
        bold, small = _font(0.95 * unit, 600), _font(0.85 * unit, 400)
        for racer in self.racers:
            middle = y + 0.55 * unit
            for dash in _dashes((left, middle), (left + 1.5 * unit, middle), racer.dash, 0.0):
                pen.line(dash, fill=racer.color, width=round(0.2 * unit))
            _marker(pen, racer.marker, left + 1.3 * unit, middle, 0.4 * unit, racer.color)
            for line in _wrapped(racer.label, bold, right - left - 2.4 * unit)[:2]:
                pen.text((left + 2.4 * unit, y), line, fill=MUTED if racer.ghost else TEXT, font=bold)
                y += 1.15 * unit
            loss = float(racer.loss[min(step, len(racer.loss) - 1)])
            value = number(float(f"{loss:.2g}")) if math.isfinite(loss) else number(loss)
            pen.text((left + 2.4 * unit, y), f"f = {value}", fill=MUTED, font=small)
            y += 1.6 * unit

    def _palette(self, picture: Any) -> np.ndarray:
        """The colours of racers and heights exactly, with what smooth edges mix of them, and what else there is."""
        own = [_rgb(color) for color in dict.fromkeys([PAPER, TEXT, *(racer.color for racer in self.racers)])]
        mixed = [_mix(color, _rgb(PAPER), share) for color in own[1:] for share in (0.25, 0.5, 0.75)]
        mixed += [color for _, color in self.contour.getcolors(64) or []]
        found = picture.quantize(256 - len(own + mixed), method=self.Image.Quantize.MEDIANCUT).getpalette() or []
        return np.array([*own, *mixed, *np.reshape(found, (-1, 3)).tolist()], dtype=np.int32)[:256]


# Shapes and numbers ---------------------------------------------------------------------------------------------------


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _mix(one: Sequence[int], other: Sequence[int], share: float) -> tuple[int, ...]:
    return tuple(round(a + share * (b - a)) for a, b in zip(one, other, strict=True))


def _bilinear(z: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """z at the middle of every pixel: its first and last rows and columns lie on the edges of the picture."""
    i, j = ((np.arange(n) + 0.5) / n * (size - 1) for n, size in ((rows, z.shape[0]), (columns, z.shape[1])))
    top, left = (np.minimum(at.astype(int), size - 2) for at, size in ((i, z.shape[0]), (j, z.shape[1])))
    down, across = (i - top)[:, None], j - left
    upper = z[top][:, left] * (1 - across) + z[top][:, left + 1] * across
    lower = z[top + 1][:, left] * (1 - across) + z[top + 1][:, left + 1] * across
    return upper * (1 - down) + lower * down


def _cut(a: tuple[float, float], b: tuple[float, float], box: Sequence[float]) -> Pixels | None:
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


def _dashes(a: tuple[float, float], b: tuple[float, float], dash: Sequence[float], done: float) -> Iterator[Pixels]:
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


def _marker(pen: Any, kind: str, x: float, y: float, radius: float, color: str) -> None:
    """A mark with a rim of paper around it; "target" is a ring with a point."""
    if kind == "target":
        for size, fill in ((1.25, PAPER), (1.0, color), (0.7, PAPER), (0.35, color)):
            pen.ellipse((x - size * radius, y - size * radius, x + size * radius, y + size * radius), fill=fill)
        return
    corners, scale = SHAPES[kind]
    for size, fill in ((radius + 1.5 * FINER, PAPER), (radius, color)):
        pen.polygon([(x + size * scale * dx, y + size * scale * dy) for dx, dy in corners], fill=fill)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, a handful."""
    unit = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(unit * nice for nice in (1, 2, 5, 10) if (high - low) / (unit * nice) <= 5)
    return [round(step * i, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _wrapped(text: str, font: Any, width: float) -> list[str]:
    """Text in lines of at most `width` pixels, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@lru_cache(maxsize=16)
def _font(size: float, weight: int) -> Any:
    """The app's own typeface, which Streamlit brings with it; without it Pillow's, which has no Greek letters."""
    from PIL import ImageFont

    spec = find_spec("streamlit")
    folder = Path(str(spec.origin)).parent / "static" / "static" / "media" if spec else Path()
    for file in sorted(folder.glob("SourceSansVF-Upright.*.woff2")):
        try:
            font = ImageFont.truetype(str(file), round(size))
            font.set_variation_by_axes([weight])
            return font
        except OSError:  # a build of Pillow that cannot read compressed fonts
            break
    return ImageFont.load_default(round(size))
