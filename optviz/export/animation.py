"""What the stage plays, as an animated GIF or a video: the picture that moves, and beside it the curves as they grow.

It is painted from the stage's own record, by day: a surface with its paths or with a crowd, what networks answer, or
lines, and up to two curves. Everything is drawn at twice its size and scaled down, which smooths its edges. A path that
leaves the window leaves the picture: it is cut where it crosses the border, and its head is not drawn while it is
outside.

A GIF needs Pillow alone. A video is made by the command ffmpeg, where there is one: an encoder of our own would be an
installation of 80 MB for everybody, and a good one is a package of every system.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from optviz.experiment import Experiment, Run
from optviz.export.drawing import (
    FINER,
    MUTED,
    PAPER,
    RULE,
    TEXT,
    bilinear,
    cut,
    dashes,
    font,
    marker,
    mix,
    rgb,
    shortened,
    ticks,
    wrapped,
)
from optviz.export.shown import Shown, race_film
from optviz.figures import theme
from optviz.figures.cloud import BEYOND
from optviz.spec import number

WIDTHS, FRAMES = (240, 1280), (2, 120)  # pixels and pictures that a visitor may ask for
FRAME, REST = 80, 2000  # ms that a picture stays, and the last one
CONTOUR = "#A3AFBC"  # the lines between two bands of height
CURVES_AT_MOST = 2
DECADES = 12  # of a log axis, counted from its top
SHADES_AT_MOST = 120  # of a GIF's 256 colours, those kept for a picture under the points
ENCODING = 120  # seconds after which an encoder has failed


def to_gif(experiment: Experiment, runs: Sequence[Run], *, width: int = 640, frames: int = 60) -> bytes:
    """The race as a GIF that loops, `width` pixels wide, in `frames` pictures of equally many steps.

    Raises ValueError if width is not in 240–1280 or frames not in 2–120.
    """
    return shown_to_gif(race_film(experiment, runs), width=width, frames=frames)


def shown_to_gif(shown: Shown, *, width: int = 640, frames: int = 60, link: str = "") -> bytes:
    """The same of whatever the stage shows; `link` is the address that opens it, kept as the file's comment."""
    first, *others = _indexed(_film(shown, width, frames), frames)
    file = io.BytesIO()
    times = [FRAME] * len(others) + [REST]
    comment = " ".join(filter(None, ["optviz", link])).encode()
    first.save(file, "GIF", save_all=True, append_images=others, duration=times, loop=0, comment=comment)
    return file.getvalue()


def encoder() -> str | None:
    """Where the command that makes videos is, if there is one that works."""
    command = shutil.which("ffmpeg")
    return command if command and _works(command) else None


@functools.lru_cache(maxsize=4)
def _works(command: str) -> bool:
    """Whether it starts at all. Asked once: what is offered must not fail in silence when its button is pressed."""
    try:
        return subprocess.run([command, "-version"], capture_output=True, timeout=ENCODING).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def shown_to_mp4(shown: Shown, *, width: int = 960, frames: int = 120, link: str = "") -> bytes:
    """What the stage shows as a video, once, with a rest at its end.

    Raises ValueError like `shown_to_gif`, and RuntimeError if there is no encoder or if it fails.
    """
    film = _film(shown, width, frames)
    command = encoder()
    if command is None:
        raise RuntimeError("a video needs the command ffmpeg, which is not installed here")
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "said", "w+b") as said:
        file = Path(folder) / "film.mp4"
        size, rate = f"{film.place.width}x{film.place.height}", f"1000/{FRAME}"
        raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-framerate", rate, "-i", "pipe:0")
        even = ("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white", "-pix_fmt", "yuv420p")  # which every player can
        facts = ("-metadata", f"title={shown.title}", "-metadata", f"comment={link}")
        quiet = ("-loglevel", "error", "-nostdin", "-y", "-threads", "1")
        process = subprocess.Popen(
            [command, *quiet, *raw, *even, *facts, "-movflags", "+faststart", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            assert process.stdin is not None
            with process.stdin as pipe:
                picture = b""
                for drawn in film.pictures(frames):
                    picture = drawn.tobytes()
                    pipe.write(picture)
                for _ in range(REST // FRAME):
                    pipe.write(picture)
            failed = process.wait(ENCODING)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            failed = True
        finally:
            process.kill()
            process.wait()
        if failed or not file.exists():
            said.seek(0)
            raise RuntimeError(f"ffmpeg made no video: {said.read().decode(errors='replace').strip() or 'it gave up'}")
        return file.read_bytes()


def _film(shown: Shown, width: int, frames: int) -> _Painter:
    for name, value, (low, high) in (("width", width, WIDTHS), ("frames", frames, FRAMES)):
        if not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    return _Painter(shown, width)


def _indexed(film: _Painter, frames: int) -> Iterator[Any]:
    """The pictures, in one palette: each colour becomes the nearest in it (Pillow's search is only roughly so)."""
    palette = None
    nearest = np.full(1 << 24, -1, np.int16)  # from a colour to its place in the palette, where that is known
    for picture in film.pictures(frames):
        palette = film.palette(picture) if palette is None else palette
        red, green, blue = np.moveaxis(np.asarray(picture).astype(np.int32), -1, 0)
        colors = (red << 16) + (green << 8) + blue
        new = np.unique(colors[nearest[colors] < 0])
        parts = np.stack([new >> 16, new >> 8 & 255, new & 255], axis=-1)
        for i in range(0, len(new), 4096):
            apart = ((parts[i : i + 4096, None] - palette[None]) ** 2).sum(axis=-1)
            nearest[new[i : i + 4096]] = apart.argmin(axis=1)
        indexed = film.Image.fromarray(nearest[colors].astype(np.uint8), "P")
        indexed.putpalette(palette.astype(np.uint8).tobytes())
        yield indexed


# Where things are -----------------------------------------------------------------------------------------------------


class Box(NamedTuple):
    """A plot's place, in pixels of the finished picture, and what its edges stand for."""

    left: int
    top: int
    wide: int
    high: int
    window: tuple[float, float, float, float]  # left, right, bottom, top

    def pixel(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Where a point of the plot is in the picture."""
        left, right, bottom, top = self.window
        with np.errstate(over="ignore", invalid="ignore"):
            across, down = (x - left) / (right - left), (top - y) / (top - bottom)
            return self.left + across * self.wide, self.top + down * self.high


class Layout(NamedTuple):
    """Where everything is, in pixels of the finished picture."""

    width: int
    height: int
    main: Box | None  # the picture that moves; not all records have one
    curves: tuple[Box, ...]
    legend: tuple[int, int, int, int]  # left, top, width of a column, and how many columns there are


def layout(shown: Shown, width: int) -> Layout:
    """The picture at the left, in its own proportions. Who is who stands beside it, or, where curves do, below."""
    record, unit = shown.record, _unit(width)
    panel, curves, count = _main(record), _curves(record), len(record["racers"])
    top = round(2.2 * unit)
    if panel is not None and not curves:
        window = _window(panel)
        wide = round(0.64 * width)
        high = round(wide * _proportion(window, 1.4))
        main = Box(round(2.6 * unit), top, wide, high, window)
        height = max(high, round(unit * (3 + 3.4 * count))) + round(4.2 * unit)
        left = main.left + wide + round(1.3 * unit)
        return Layout(width, height, main, (), (left, top, width - round(0.6 * unit) - left, 1))
    top += round(1.6 * unit)  # every plot has a title of its own
    side, gap, edge = round(4.2 * unit), round(2.2 * unit), round(unit)
    main, left = None, side
    high = round(0.4 * width)
    if panel is not None:
        window = _window(panel)
        wide = round(0.45 * width)
        high = round(wide * max(0.62, _proportion(window, 1.1)))
        main = Box(round(4.2 * unit), top, wide, high, window)
        left = main.left + wide + side
    each = (high - gap * (len(curves) - 1)) // max(1, len(curves))
    boxes = tuple(
        Box(left, top + i * (each + gap), width - edge - left, each, _span(record, curve))
        for i, curve in enumerate(curves)
    )
    columns = max(1, min(3, count, int(width / (16 * unit))))
    rows = math.ceil(count / columns)
    below = top + high + round(3.4 * unit)
    legend = (edge, below, (width - 2 * edge) // columns, columns)
    return Layout(width, below + round(1.7 * unit * rows + 0.5 * unit), main, boxes, legend)


def _unit(width: int) -> float:
    """The size of type."""
    return 7 + width / 90


def _main(record: dict[str, Any]) -> dict[str, Any] | None:
    """The panel that is painted large: a surface from above, or a picture that is another at every moment."""
    for panel in record["panels"]:
        ground = panel.get("ground")
        if panel["kind"] == "plane" or (panel["kind"] == "picture" and ground and not ground.get("time")):
            return panel
    return None


def _curves(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The first strip, if there is one, and of the other curves as many as there is room for."""
    curves = [panel for panel in record["panels"] if panel["kind"] == "curve"]
    strips = [panel for panel in curves if panel.get("at")][:1]
    return [*strips, *(panel for panel in curves if not panel.get("at"))][:CURVES_AT_MOST]


def _window(panel: dict[str, Any]) -> tuple[float, float, float, float]:
    axes = panel["figure"]["layout"]
    (left, right), (bottom, top) = axes["xaxis"]["range"], axes["yaxis"]["range"]
    return left, right, bottom, top


def _proportion(window: Sequence[float], most: float) -> float:
    left, right, bottom, top = window
    return min(abs((top - bottom) / (right - left)), most)


def _end(record: dict[str, Any]) -> int:
    time = record.get("time")
    return max(1, time["end"] if time else record["steps"])


def _times(record: dict[str, Any]) -> np.ndarray:
    """The steps taken at each frame."""
    time = record.get("time")
    return _decoded(time["values"]) if time else np.arange(record["steps"] + 1, dtype=float)


def _span(record: dict[str, Any], curve: dict[str, Any]) -> tuple[float, float, float, float]:
    """A curve's ends: all steps across; upwards the finite values of those who did not diverge, logarithms on a log
    axis. A run that diverges would flatten all others, so of it only the beginning counts."""
    seen = [(racer, _height(racer, curve)) for racer in record["racers"] if curve["y"] in racer["series"]]
    steady = [values for racer, values in seen if not str(racer.get("state") or "").lower().startswith("diverged")]
    begun = [values[:1] for _, values in seen] if steady else [values for _, values in seen]
    values = np.concatenate([*steady, *begun, np.empty(0)])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if curve["log"]:
        low = max(low, high - DECADES)
    low, high = curve.get("range") or (low, high)
    wide = (high - low) or abs(high) or 1.0
    if not curve["log"] and 0 <= low < 0.6 * high:
        low = 0.0
        return 0.0, float(_end(record)), 0.0, high + 0.05 * wide
    return 0.0, float(_end(record)), low - 0.05 * wide, high + 0.05 * wide


def _height(racer: dict[str, Any], curve: dict[str, Any], suffix: str = "") -> np.ndarray:
    """A racer's values as they are drawn upwards, as far as it went."""
    values = _decoded(racer["series"][curve["y"] + suffix])
    if racer.get("stop") is not None and not curve.get("at"):
        values = values[: racer["stop"] + 1]
    if not curve["log"]:
        return values
    with np.errstate(all="ignore"):
        return np.log10(np.where(values > 0, values, np.nan))


def _decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(float)


# Painting -------------------------------------------------------------------------------------------------------------


class _Trace(NamedTuple):
    """A line in a plot, in pixels of the large drawing: a point for each frame, NaN where there is none."""

    racer: dict[str, Any]
    box: tuple[int, int, int, int]
    x: np.ndarray
    y: np.ndarray
    path: bool  # across the picture that moves, not along a curve

    def at(self, moment: float) -> tuple[float, float]:
        """The head at a moment, on the line between two frames; nowhere once the line has ended."""
        i = min(int(moment), len(self.x) - 1)
        part = moment - i if i < len(self.x) - 1 else 0.0
        if not part:
            return float(self.x[i]), float(self.y[i])
        with np.errstate(over="ignore", invalid="ignore"):
            x, y = ((1 - part) * line[i] + part * line[i + 1] for line in (self.x, self.y))
        return float(x), float(y)


class _Painter:
    """Paints the pictures of one record, each by adding to the one before."""

    def __init__(self, shown: Shown, width: int):
        from PIL import Image, ImageDraw

        self.Image, self.ImageDraw = Image, ImageDraw
        self.title, self.record = shown.title, shown.record
        self.place = layout(shown, width)
        self.unit = FINER * _unit(width)
        self.main, self.curves = _main(self.record), _curves(self.record)
        self.times = _times(self.record)
        self.racers = self.record["racers"]
        self.colors = {racer["id"]: racer["color"] for racer in self.racers}
        self.traces = [*self._paths(), *self._lines()]
        self.values = [self._value(racer) for racer in self.racers]
        self.contour = self._contour()
        self.grounds: dict[str, Any] = {}

    def _paths(self) -> Iterator[_Trace]:
        if self.main is None or self.main["kind"] != "plane" or self.place.main is None:
            return
        for racer in self.racers:
            series = racer["series"]
            if self.main["x"] in series and self.main["y"] in series:
                x, y = self.place.main.pixel(_decoded(series[self.main["x"]]), _decoded(series[self.main["y"]]))
                yield _Trace(racer, self._frame(self.place.main), FINER * x, FINER * y, True)

    def _lines(self) -> Iterator[_Trace]:
        """What grows along the curves; a strip is drawn whole from the start, and is no such line."""
        for curve, box in zip(self.curves, self.place.curves, strict=True):
            for racer in self.racers:
                if curve["y"] in racer["series"] and not curve.get("at"):
                    heights = _height(racer, curve)
                    x, y = box.pixel(self.times[: len(heights)], heights)
                    yield _Trace(racer, self._frame(box), FINER * x, FINER * y, False)

    def _value(self, racer: dict[str, Any]) -> np.ndarray | None:
        """What the legend tells of a racer, as on the stage: the loss of this moment."""
        name = next((panel["y"] for panel in self.record["panels"] if panel["name"] == "loss"), "loss")
        text = racer["series"].get(name)
        return None if text is None else _decoded(text)

    @staticmethod
    def _frame(box: Box) -> tuple[int, int, int, int]:
        left, top = FINER * box.left, FINER * box.top
        return left, top, left + FINER * box.wide, top + FINER * box.high

    def pictures(self, frames: int) -> Iterator[Any]:
        """Pictures of equally many steps each, to where the run has come; of one that has not begun, a single one."""
        ground = self._ground()
        ink = self.Image.new("RGBA", ground.size, (0, 0, 0, 0))
        halo = self.Image.new("L", ground.size, 0)
        over = self._over(ground.size)
        travelled = [0.0] * len(self.traces)
        before = 0.0
        steps = np.linspace(self.times[0], self.times[-1], frames if len(self.times) > 1 else 1)
        for moment in np.interp(steps, self.times, np.arange(len(self.times))).tolist():
            for i, trace in enumerate(self.traces):
                travelled[i] = self._extend(ink, halo, trace, before, moment, travelled[i])
            before = moment
            picture = ground.copy()
            self._under(picture, moment)
            if over is not None:
                picture.paste(over, (0, 0), over)
            self._paste(picture, halo, ink)
            pen = self.ImageDraw.Draw(picture)
            for trace in self.traces:
                self._head(pen, trace, moment)
            self._cursors(pen, moment)
            self._say(pen, moment)
            yield picture.reduce(FINER)

    def _head(self, pen: Any, trace: _Trace, moment: float) -> None:
        if moment > len(trace.x) - 1 and not trace.path:
            return
        x, y = trace.at(moment)
        left, top, right, bottom = trace.box
        if left <= x <= right and top <= y <= bottom:  # never of NaN
            size = (0.36 if trace.racer["ghost"] else 0.5) * (1 if trace.path else 0.7)
            marker(pen, trace.racer["marker"], x, y, size * self.unit, trace.racer["color"])

    def _cursors(self, pen: Any, moment: float) -> None:
        """The present step, across every curve."""
        step = float(np.interp(moment, np.arange(len(self.times)), self.times))
        for box in self.place.curves:
            x = FINER * box.pixel(step, 0.0)[0]
            pen.line([(x, FINER * box.top), (x, FINER * (box.top + box.high))], fill=MUTED, width=1)

    # What stands still

    def _ground(self) -> Any:
        place, unit = self.place, self.unit
        picture = self.Image.new("RGB", (FINER * place.width, FINER * place.height), PAPER)
        pen = self.ImageDraw.Draw(picture)
        room = FINER * place.width - 13 * unit
        bold = font(1.15 * unit, 650)
        if self.main is not None and place.main is not None:
            box = self._frame(place.main)
            if self.contour is not None:
                picture.paste(self.contour, box[:2])
            layout = self.main["figure"]["layout"]
            self._axes(picture, place.main, (layout["xaxis"], layout["yaxis"]), titled=bool(self.curves))
            pen.text((box[0] if not self.curves else unit, 0.55 * unit), shortened(self.title, bold, room), TEXT, bold)
            if self.curves:
                self._titled(pen, place.main, self.main["title"])
            for mark in self.main.get("marks", ()):
                x, y = (FINER * pixel for pixel in place.main.pixel(mark["x"], mark["y"]))
                if box[0] <= x <= box[2] and box[1] <= y <= box[3]:
                    marker(pen, {"minimum": "star", "saddle": "x"}.get(mark["kind"], "target"), x, y, 0.5 * unit, TEXT)
        else:
            pen.text((unit, 0.55 * unit), shortened(self.title, bold, room), TEXT, bold)
        for i, (curve, box) in enumerate(zip(self.curves, place.curves, strict=True)):
            self._titled(pen, box, curve["title"])
            axis = {"title": {"text": "step"}} if i == len(self.curves) - 1 else {"hidden": True}
            self._axes(picture, box, (axis, {"log": curve["log"], **self._format(curve)}), titled=True)
            self._faint(picture, curve, box)
        return picture

    @staticmethod
    def _format(curve: dict[str, Any]) -> dict[str, Any]:
        return curve["figure"]["layout"].get("yaxis", {})

    def _titled(self, pen: Any, box: Box, title: str) -> None:
        face = font(0.9 * self.unit, 600)
        words = shortened(html.unescape(title), face, FINER * box.wide)
        pen.text((FINER * box.left, FINER * box.top - 0.35 * self.unit), words, TEXT, face, anchor="ls")

    def _axes(self, picture: Any, box: Box, axes: Sequence[dict[str, Any]], *, titled: bool) -> None:
        unit, frame = self.unit, self._frame(box)
        left, right, bottom, top = box.window
        pen, small = self.ImageDraw.Draw(picture), font(0.78 * unit, 400)
        pen.rectangle(frame, outline=RULE, width=FINER)
        across, up = axes
        if across.get("visible", True) and not across.get("hidden"):
            for value in ticks(*sorted((left, right))):
                x = FINER * box.pixel(value, top)[0]
                pen.line([(x, frame[3]), (x, frame[3] + 0.3 * unit)], fill=RULE, width=FINER)
                pen.text((x, frame[3] + 0.45 * unit), number(value), MUTED, small, anchor="mt")
        if up.get("visible", True):
            for value, words in _upwards(bottom, top, up):
                y = FINER * box.pixel(left, value)[1]
                pen.line([(frame[0] - 0.3 * unit, y), (frame[0], y)], fill=RULE, width=FINER)
                pen.text((frame[0] - 0.5 * unit, y), words, MUTED, small, anchor="rm")
        words = html.unescape(across.get("title", {}).get("text", "")) if titled else ""
        if words and across.get("visible", True):
            words = shortened(words, small, FINER * box.wide)
            pen.text(((frame[0] + frame[2]) / 2, frame[3] + 1.5 * unit), words, MUTED, small, anchor="mt")
        words = html.unescape(up.get("title", {}).get("text", "")) if titled else ""
        if words and up.get("visible", True):
            words = shortened(words, small, FINER * box.high)
            lying = self.Image.new("L", (math.ceil(small.getlength(words)), math.ceil(1.2 * unit)), 0)
            self.ImageDraw.Draw(lying).text((0, 0), words, 255, small)
            standing = lying.transpose(self.Image.Transpose.ROTATE_90)
            at = (round(frame[0] - 3.6 * unit), round((frame[1] + frame[3] - standing.height) / 2))
            picture.paste(MUTED, (*at, at[0] + standing.width, at[1] + standing.height), standing)

    def _faint(self, picture: Any, curve: dict[str, Any], box: Box) -> None:
        """The whole of every line, pale, with its spread as a band; of a strip the line itself."""
        layer = self.Image.new("RGBA", picture.size, (0, 0, 0, 0))
        frame = self._frame(box)
        for racer in self.racers:
            if curve["y"] not in racer["series"]:
                continue
            heights = _height(racer, curve)
            strip = curve.get("at")
            times = (_decoded(strip) if strip else self.times)[: len(heights)]
            low, high = (f".{name}" for name in curve.get("band") or ("low", "high"))
            if curve.get("band") and curve["y"] + low in racer["series"]:
                edges = [box.pixel(times, _height(racer, curve, end)[: len(times)]) for end in (low, high)]
                (x, below), (_, above) = ((FINER * a, FINER * b) for a, b in edges)
                there = np.isfinite(below) & np.isfinite(above)
                corners = [
                    *zip(x[there], below[there], strict=True),
                    *zip(x[there][::-1], above[there][::-1], strict=True),
                ]
                if len(corners) > 2:
                    band = self.Image.new("RGBA", picture.size, (0, 0, 0, 0))
                    self.ImageDraw.Draw(band).polygon(corners, fill=(*rgb(racer["color"]), 46))
                    layer.alpha_composite(band)
            x, y = (FINER * pixels for pixels in box.pixel(times, heights))
            width = round((0.2 if strip else 0.14) * self.unit)
            fill = (*rgb(racer["color"]), 255 if strip else 64)
            pen, travelled = self.ImageDraw.Draw(layer), 0.0
            dash = [FINER * length for length in racer["dash"]]
            for a, b in pairwise(zip(x.tolist(), y.tolist(), strict=True)):
                part = cut(a, b, frame)
                if part:
                    for stroke in dashes(part[0], part[1], dash if strip else (), travelled):
                        pen.line(stroke, fill=fill, width=width)
                    travelled += math.dist(*part)
        inside = layer.crop(frame)
        picture.paste(inside, frame[:2], inside)

    def _contour(self) -> Any:
        """The heights that the app shows, in bands: levels, colours and all; and what else lies on them."""
        if self.main is None or self.place.main is None:
            return None
        traces = {trace["type"]: trace for trace in self.main["figure"]["data"]}
        if "contour" not in traces:
            return None
        contour = traces["contour"]
        shape = [int(length) for length in contour["z"]["shape"].split(",")]
        z = np.frombuffer(base64.b64decode(contour["z"]["bdata"]), "<f4").reshape(shape).astype(float)
        rows, columns = FINER * self.place.main.high, FINER * self.place.main.wide
        z = bilinear(z[::-1], rows, columns)
        start, end, size = (contour["contours"][name] for name in ("start", "end", "size"))
        count = round((end - start) / size) + 1
        band = np.ceil((z - start) / size)  # 0 below the first level
        share = np.minimum(np.maximum(band, 0), count) / count  # all that is lower, or higher, has one colour
        colors = np.array([rgb(color) for color in theme.SCALES["light"]], dtype=float)
        at = np.nan_to_num(share) * (len(colors) - 1)
        image = np.stack([np.interp(at, np.arange(len(colors)), colors[:, i]) for i in range(3)], axis=-1)
        edge = np.zeros(band.shape, bool)
        edge[:, 1:] |= share[:, 1:] != share[:, :-1]
        edge[1:] |= share[1:] != share[:-1]
        image[edge] = rgb(CONTOUR)
        image[~np.isfinite(z)] = rgb(PAPER)  # nothing is defined there
        return self.Image.fromarray(image.round().astype(np.uint8), "RGB")

    def _over(self, size: tuple[int, int]) -> Any:
        """What Plotly draws above the ground and below the paths: examples as points, a field as lines."""
        if self.main is None or self.place.main is None:
            return None
        traces = [trace for trace in self.main["figure"]["data"] if trace["type"] == "scatter"]
        if not traces:
            return None
        layer = self.Image.new("RGBA", size, (0, 0, 0, 0))
        pen = self.ImageDraw.Draw(layer)
        frame = self._frame(self.place.main)
        for trace in traces:
            x, y = (FINER * at for at in self.place.main.pixel(*(_decoded(trace[axis]["bdata"]) for axis in "xy")))
            if trace["mode"] == "lines":
                for a, b in pairwise(zip(x.tolist(), y.tolist(), strict=True)):
                    part = cut(a, b, frame)
                    if part:
                        pen.line(part, fill=(*rgb(CONTOUR), 255), width=FINER)
                continue
            look = trace["marker"]
            colors = look["color"] if isinstance(look["color"], list) else [look["color"]] * len(x)
            radius = FINER * look["size"] / 2
            for px, py, color in zip(x.tolist(), y.tolist(), colors, strict=True):
                if frame[0] <= px <= frame[2] and frame[1] <= py <= frame[3]:
                    around = (px - radius, py - radius, px + radius, py + radius)
                    if look.get("symbol") == "circle-open":
                        pen.ellipse(around, outline=color, width=round(1.5 * FINER))
                    else:
                        pen.ellipse(around, fill=color, outline=PAPER, width=FINER)
        return layer

    # What moves

    def _under(self, picture: Any, moment: float) -> None:
        """The part of the ground that belongs to a moment: the last one that is not later."""
        ground = self.main.get("ground") if self.main else None
        if not ground or not self.place.main:
            return
        part = [part for part in ground["parts"] if part["at"] <= math.floor(moment)] or ground["parts"][:1]
        if not part:
            return
        {"picture": self._cells, "lines": self._answers, "crowd": self._crowd}[ground["kind"]](
            picture, ground, part[-1], moment
        )

    def _cells(self, picture: Any, ground: dict[str, Any], part: dict[str, Any], _: float) -> None:
        """A picture of rows × columns colour numbers over its extent, the first row at the top."""
        assert self.place.main is not None
        frame = self._frame(self.place.main)
        if part["id"] not in self.grounds:
            numbers = np.frombuffer(base64.b64decode(part["data"]), np.uint8)
            colors = np.array([rgb(color) for color in ground["palette"]["light"]], np.uint8)
            small = self.Image.fromarray(colors[numbers].reshape(ground["rows"], ground["columns"], 3), "RGB")
            x0, x1, y0, y1 = ground["extent"]
            left, top = self.place.main.pixel(x0, y1)
            right, bottom = self.place.main.pixel(x1, y0)
            size = (max(1, round(FINER * (right - left))), max(1, round(FINER * (bottom - top))))
            how = self.Image.Resampling.BILINEAR if ground["smooth"] else self.Image.Resampling.NEAREST
            large = self.Image.new("RGB", (frame[2] - frame[0], frame[3] - frame[1]), PAPER)
            large.paste(small.resize(size, how), (round(FINER * left) - frame[0], round(FINER * top) - frame[1]))
            self.grounds = {part["id"]: large}  # moments come in order: none is asked for again
        picture.paste(self.grounds[part["id"]], frame[:2])
        self.ImageDraw.Draw(picture).rectangle(frame, outline=RULE, width=FINER)

    def _answers(self, picture: Any, ground: dict[str, Any], part: dict[str, Any], _: float) -> None:
        """Lines over a common x, each in the colour of its owner."""
        assert self.place.main is not None
        frame = self._frame(self.place.main)
        pen, xs = self.ImageDraw.Draw(picture), _decoded(ground["x"])
        for line in part["data"]:
            owner = next((racer for racer in self.racers if racer["id"] == line["racer"]), None)
            if owner is None:
                continue
            x, y = (FINER * at for at in self.place.main.pixel(xs, _decoded(line["y"])))
            travelled, dash = 0.0, [FINER * length for length in owner["dash"]]
            for a, b in pairwise(zip(x.tolist(), y.tolist(), strict=True)):
                stretch = cut(a, b, frame)
                if stretch:
                    for stroke in dashes(stretch[0], stretch[1], dash, travelled):
                        pen.line(stroke, fill=owner["color"], width=round(0.22 * self.unit))
                    travelled += math.dist(*stretch)

    def _crowd(self, picture: Any, ground: dict[str, Any], part: dict[str, Any], moment: float) -> None:
        """Every run as a point, on its way between two frames."""
        assert self.place.main is not None
        if part["id"] not in self.grounds:
            places = np.frombuffer(base64.b64decode(part["data"]), "<u2")
            self.grounds[part["id"]] = places.reshape(-1, 2, ground["count"])
        places = self.grounds[part["id"]]
        frame = min(math.floor(moment), len(places) - 1)
        after = min(frame + 1, len(places) - 1)
        share = moment - frame if after > frame else 0.0
        gone = (places[frame] == BEYOND).any(axis=0) | (places[after] == BEYOND).any(axis=0)
        x, y = ((1 - share) * places[frame] + share * places[after])[:, ~gone] / (BEYOND - 1)
        x0, x1, y0, y1 = ground["extent"]
        x, y = (FINER * at for at in self.place.main.pixel(x0 + (x1 - x0) * x, y0 + (y1 - y0) * y))
        left, top, right, bottom = box = self._frame(self.place.main)
        layer = self.Image.new("RGBA", (right - left, bottom - top), (0, 0, 0, 0))
        pen, radius = self.ImageDraw.Draw(layer), 0.13 * self.unit
        color = (*rgb(self.colors[ground["racer"]]), 255)
        for px, py in zip((x - left).tolist(), (y - top).tolist(), strict=True):
            pen.ellipse((px - radius - 1, py - radius - 1, px + radius + 1, py + radius + 1), fill=(*rgb(PAPER), 255))
            pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=color)
        picture.paste(layer, box[:2], layer)

    def _extend(self, ink: Any, halo: Any, trace: _Trace, start: float, end: float, travelled: float) -> float:
        """Draw a line on from one moment to the next; returns how long it is by now, for its dashes."""
        racer = trace.racer
        steps = range(math.floor(start) + 1, min(math.ceil(end), len(trace.x)))
        points = [trace.at(start), *((float(trace.x[i]), float(trace.y[i])) for i in steps), trace.at(end)]
        pen, light = self.ImageDraw.Draw(ink), self.ImageDraw.Draw(halo)
        width = round((0.14 if racer["ghost"] else 0.22 if trace.path else 0.17) * self.unit)
        joint = (width - 1) / 2
        color = (*rgb(racer["color"]), 110 if racer["ghost"] else 255)
        dash = [FINER * length for length in racer["dash"]]
        for a, b in pairwise(points):
            part = cut(a, b, trace.box)
            if part is None:
                continue
            if trace.path:
                light.line(part, fill=200, width=width + 3 * FINER)
            for stroke in dashes(part[0], part[1], dash, travelled):
                pen.line(stroke, fill=color, width=width)
                if not dash:
                    for x, y in stroke:  # round joints
                        pen.ellipse((x - joint, y - joint, x + joint, y + joint), fill=color)
            travelled += math.dist(part[0], part[1])
        return travelled

    def _paste(self, picture: Any, halo: Any, ink: Any) -> None:
        for box in (self.place.main, *self.place.curves):
            if box is not None:
                left, top, right, bottom = self._frame(box)
                inside = (left + FINER, top + FINER, right, bottom)
                picture.paste(PAPER, inside, halo.crop(inside))
                picture.paste(ink.crop(inside), inside, ink.crop(inside))

    def _say(self, pen: Any, moment: float) -> None:
        """The step, and who is who and how low each is by now."""
        unit, frame = self.unit, math.floor(moment)
        left, top, wide, columns = (FINER * at for at in self.place.legend)
        columns //= FINER
        step = float(np.interp(moment, np.arange(len(self.times)), self.times))
        words = f"step {math.floor(step)} of {_end(self.record)}"
        epoch = (self.record.get("time") or {}).get("epoch")
        words += f" · epoch {step / epoch:.1f}" if epoch else ""
        edge = FINER * self.place.width - 0.6 * unit
        pen.text((edge, 0.7 * unit), words, MUTED, font(unit, 400), anchor="ra")
        if self.curves:
            for i, (racer, values) in enumerate(zip(self.racers, self.values, strict=True)):
                x, y = left + i % columns * wide, top + i // columns * 1.7 * unit
                value = f"  {_short(values, frame)}" if values is not None else ""
                face, small = font(0.9 * unit, 500), font(0.85 * unit, 400)
                self._swatch(pen, racer, x, y + 0.55 * unit)
                room = wide - 3 * unit - small.getlength(value)
                label = shortened(racer["label"], face, room)
                pen.text((x + 2.4 * unit, y), label, MUTED if racer["ghost"] else TEXT, face)
                pen.text((x + 2.4 * unit + face.getlength(label), y), value, MUTED, small)
            return
        y = top + 0.1 * unit
        bold, small = font(0.95 * unit, 600), font(0.85 * unit, 400)
        for racer, values in zip(self.racers, self.values, strict=True):
            self._swatch(pen, racer, left, y + 0.55 * unit)
            for line in wrapped(racer["label"], bold, wide - 2.4 * unit)[:2]:
                pen.text((left + 2.4 * unit, y), line, MUTED if racer["ghost"] else TEXT, bold)
                y += 1.15 * unit
            if values is not None:
                pen.text((left + 2.4 * unit, y), f"f = {_short(values, frame)}", MUTED, small)
            y += 1.6 * unit

    def _swatch(self, pen: Any, racer: dict[str, Any], x: float, y: float) -> None:
        dash = [FINER * length for length in racer["dash"]]
        for stroke in dashes((x, y), (x + 1.5 * self.unit, y), dash, 0.0):
            pen.line(stroke, fill=racer["color"], width=round(0.2 * self.unit))
        marker(pen, racer["marker"], x + 1.3 * self.unit, y, 0.4 * self.unit, racer["color"])

    def palette(self, picture: Any) -> np.ndarray:
        """At most 256 colours: those of lines and of the ground exactly, with what smooth edges mix of them, and what
        else a picture has."""
        own = [rgb(color) for color in dict.fromkeys([PAPER, TEXT, *self.colors.values()])]
        mixed = [mix(color, rgb(PAPER), share) for color in own[1:] for share in (0.25, 0.5, 0.75)]
        if self.contour is not None:
            mixed += [color for _, color in self.contour.getcolors(64) or []]
        ground = (self.main or {}).get("ground") or {}
        if "palette" in ground:
            shades = list(dict.fromkeys(ground["palette"]["light"]))
            mixed += [rgb(shade) for shade in shades[:: math.ceil(len(shades) / SHADES_AT_MOST)]]
        known = list(dict.fromkeys([*own, *mixed]))[:248]
        found = picture.quantize(256 - len(known), method=self.Image.Quantize.MEDIANCUT).getpalette() or []
        return np.array([*known, *np.reshape(found, (-1, 3)).tolist()], dtype=np.int32)[:256]


def _upwards(low: float, high: float, axis: dict[str, Any]) -> list[tuple[float, str]]:
    """The ticks of an upright axis: values, and what is written there."""
    if not axis.get("log"):
        percent = axis.get("tickformat") == ".0%"
        return [(value, f"{value:.0%}" if percent else number(value)) for value in ticks(*sorted((low, high)))]
    every = max(1, math.ceil((high - low) / 5))
    digits = (1, 2, 5) if high - low < 1.7 else (1,)
    powers = range(math.floor(low / every) * every, math.ceil(high) + 1, every)
    values = [digit * 10.0**power for power in powers for digit in digits]
    return [(math.log10(value), number(value)) for value in values if low <= math.log10(value) <= high]


def _short(values: np.ndarray, frame: int) -> str:
    """The value at a frame in two digits; a dash where there is none."""
    value = float(values[min(frame, len(values) - 1)]) if len(values) else math.nan
    return "–" if math.isnan(value) else number(float(f"{value:.2g}")) if math.isfinite(value) else number(value)
