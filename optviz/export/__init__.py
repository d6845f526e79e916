"""Export: an experiment or a training leaves the app, as a Python script, a table of numbers, a page that plays
offline, or a picture that moves. Everything here is a pure function of the experiment and its runs; nothing is stored
and nothing is sent."""

from optviz.export.animation import to_gif
from optviz.export.history import history_to_csv, history_to_json
from optviz.export.network import refused
from optviz.export.page import to_html
from optviz.export.python import to_python
from optviz.export.rules import FLAVOURS
from optviz.export.table import to_csv

__all__ = [
    "FLAVOURS",
    "history_to_csv",
    "history_to_json",
    "refused",
    "to_csv",
    "to_gif",
    "to_html",
    "to_python",
]
