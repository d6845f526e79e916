"""What every picture shares: the colour of each optimizer, colour scales, and how arrays travel to the browser.

The hues are those of Okabe and Ito, told apart with the usual kinds of colour blindness, moved as little as it takes
for each to reach a contrast of 3 on Streamlit's white and on its black, and on a chosen row of either: a search over
8-bit colours kept every distance that the tests ask for, under each simulated eye, and stayed near the old places. So
their orange is darker, and their yellow, which would vanish on white, an olive; grey stands in the place of black,
which would vanish in the dark (a green-blind eye finds it close to violet). An optimizer has the
same hue and dash on every chart: hues repeat after seven optimizers, and the second and third round are dashed. Racers
that share an optimizer differ in their dashes and in the shape of their head.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from optviz.optimizers import OPTIMIZERS
from optviz.spec import number

# By Streamlit's name for the hue: its own text colours are set to these in .streamlit/config.toml, so that a label such
# as ":blue[●] SGD" shows the colour of the picture.
HUES = {
    "blue": "#3273B7",
    "orange": "#BF7600",
    "violet": "#BB70A6",
    "yellow": "#888D4F",
    "green": "#1F9B70",
    "gray": "#767E87",
    "red": "#CE3D2D",
}
DASHES: tuple[tuple[int, ...], ...] = ((), (9, 5), (2, 4))
MARKERS = ("circle", "square", "triangle", "diamond", "star", "cross", "hexagon", "pentagon")

# Pale (or nearly black) in the valleys, so that paths stand out where they matter; monotone in lightness, so that a
# grey print reads too; little colour of its own, because colour belongs to the racers.
SCALES = {
    "light": ["#FCFDFE", "#EEF2F6", "#DFE6ED", "#CED8E2", "#BBC8D5", "#A7B7C7", "#92A5B8"],
    "dark": ["#0D1117", "#141A22", "#1B232D", "#232D39", "#2C3846", "#364454", "#415163"],
}


class Style(NamedTuple):
    """How an optimizer is drawn. `hue` is Streamlit's name of the colour."""

    hue: str
    color: str
    dash: tuple[int, ...]


def style(optimizer: str, twin: int = 0) -> Style:
    """The one style of an optimizer, from its place in the catalogue; its second racer, its `twin`, is dashed anew."""
    turn, index = divmod(list(OPTIMIZERS).index(optimizer), len(HUES))
    hue = list(HUES)[index]
    return Style(hue, HUES[hue], DASHES[(turn + twin) % len(DASHES)])


def scale(mode: str) -> list[list]:
    """A Plotly colour scale for the "light" or the "dark" theme."""
    colors = SCALES[mode]
    return [[i / (len(colors) - 1), color] for i, color in enumerate(colors)]


def floats(values: np.ndarray) -> str:
    """An array as the browser takes it quickest: little-endian float32 in base64. Values beyond float32 become
    infinite, which is how the stage tells divergence."""
    with np.errstate(over="ignore"):
        return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def bytes_of(values: np.ndarray) -> str:
    """Whole numbers from 0 to 255 in base64, one byte each."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=np.uint8).tobytes()).decode()


def mix(first: str, second: str, share: float) -> str:
    """A colour between two others, both as "#rrggbb"."""
    ends = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in (first, second)]
    return "#" + "".join(f"{round(a + share * (b - a)):02X}" for a, b in zip(*ends, strict=True))


def array(values: np.ndarray) -> dict[str, str]:
    """An array as a Plotly figure takes it."""
    shape = {} if values.ndim == 1 else {"shape": ", ".join(map(str, values.shape))}
    return {"dtype": "f4", "bdata": floats(values), **shape}


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """The ticks of a log axis from 10^low to 10^high, all in one size of type: powers of ten, and 1, 2, 5 where there
    are few of them."""
    every = max(1, math.ceil((high - low) / 8))
    digits = (1, 2, 5) if high - low < 2 else (1,)
    ticks = [
        digit * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1, every)
        for digit in digits
        if low - 1e-9 <= math.log10(digit) + power <= high + 1e-9
    ]
    return {"tickvals": ticks, "ticktext": [number(tick) for tick in ticks]}


def key_entry(words: str, color: str, *, opacity: float = 1.0, dash: Sequence[int] | None = None) -> dict[str, Any]:
    """An entry of a chart's key, for what leaves the page that tells it: a patch of a colour, or a line with a dash,
    which is empty if it is solid."""
    return {"words": words, "color": color, "opacity": opacity, "dash": None if dash is None else list(dash)}


def literal(text: str) -> str:
    """A visitor's text for Plotly, which draws it letter by letter: of what looks like HTML it would make links."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
