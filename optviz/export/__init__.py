"""Export: an experiment, a training or a measurement leaves the app, as a Python script, a notebook, tables of numbers,
a page that works offline, or a picture that moves. Everything here is a pure function of the experiment and its runs;
nothing is stored and nothing is sent."""

from optviz.export.animation import encoder, shown_to_gif, shown_to_mp4, to_gif
from optviz.export.history import history_to_csv, history_to_json
from optviz.export.network import refused
from optviz.export.notebook import to_notebook
from optviz.export.page import charts_to_html, shown_to_html, to_html, walk_to_html
from optviz.export.python import to_python
from optviz.export.rules import FLAVOURS
from optviz.export.sheet import QR_AT_MOST, Task, qr, to_sheet
from optviz.export.shown import Shown, cloud_shown, race_film, race_shown, scheduled_race_shown, training_shown
from optviz.export.table import Made, Table, race_table, table_to_csv, tables_to_json, to_csv

__all__ = [
    "FLAVOURS",
    "QR_AT_MOST",
    "Made",
    "Shown",
    "Table",
    "Task",
    "charts_to_html",
    "cloud_shown",
    "encoder",
    "history_to_csv",
    "history_to_json",
    "qr",
    "race_film",
    "race_shown",
    "race_table",
    "refused",
    "scheduled_race_shown",
    "shown_to_gif",
    "shown_to_html",
    "shown_to_mp4",
    "table_to_csv",
    "tables_to_json",
    "to_csv",
    "to_gif",
    "to_html",
    "to_notebook",
    "to_python",
    "to_sheet",
    "training_shown",
    "walk_to_html",
]
