"""The panel that lets an experiment, a training or a measurement leave the app: files to download, and code to read and
copy."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import urlencode

import streamlit as st

from optviz.experiment import Experiment, run
from optviz.export import (
    FLAVOURS,
    Made,
    Shown,
    Table,
    charts_to_html,
    encoder,
    history_to_csv,
    history_to_json,
    race_film,
    race_shown,
    race_table,
    refused,
    scheduled_race_shown,
    shown_to_gif,
    shown_to_html,
    shown_to_mp4,
    table_to_csv,
    tables_to_json,
    to_csv,
    to_notebook,
    to_python,
    training_shown,
)
from optviz.training import Own, Progress, Training, begin
from optviz.ui.controls import folded
from optviz.ui.desk import Desk
from optviz.ui.frame import PAGES
from optviz.ui.jobs import Job

FILM_WIDTH = {".gif": 800, ".mp4": 960}  # pixels
NO_VIDEO = "A video (MP4) is offered where the server has the command `ffmpeg` (on Debian: `apt install ffmpeg`)."
_filming = threading.Lock()  # a film is seconds of a core: they are made one after the other

TITLES = {"jax": "JAX", "optax": "optax", "torch": "PyTorch"}


class Trained(NamedTuple):
    """A training, what its configurations are called, how to find out how far it has come, and which one is looked
    at."""

    training: Training
    names: Sequence[str]
    job: Job
    chosen: int = 0

    def progress(self) -> tuple[Training, Progress]:
        """As it is now, which is when a button is pressed."""
        glance = self.job.glance()
        return glance.training, glance.progress or begin(glance.training)

    def shown(self, *, film: bool = False) -> Shown:
        """As the stage shows it now. Who has names of their own is a schedule, and stands on the page of these."""
        return training_shown(*self.progress(), chosen=self.chosen, scheduled=bool(self.names), film=film)


class Download(NamedTuple):
    """A file that a button offers; `content(subject, made)` makes it, when the button is pressed, of an Experiment, of
    what has been Trained, or of whatever its page is about."""

    label: str
    icon: str
    suffix: str
    mime: str
    help: str
    content: Callable[[Any, Made], str | bytes]


def _python(flavour: str, subject: Experiment | Trained, made: Made) -> str:
    if isinstance(subject, Trained):
        return to_python(subject.training, flavour, link=made.link, names=subject.names)
    return to_python(subject, flavour, link=made.link)


def _script(flavour: str, help: str) -> Download:
    title = f"Python ({TITLES[flavour]})"
    return Download(title, ":material/code:", f"_{flavour}.py", "text/x-python", help, partial(_python, flavour))


def _scripts(what: str) -> tuple[Download, ...]:
    help = f"A script that stands alone and reruns {what} to the same numbers."
    return (*(_script(flavour, help) for flavour in FLAVOURS), _notebook(FLAVOURS[0]))


def _notebook(flavour: str) -> Download:
    """The script as a notebook."""

    def content(subject: Experiment | Trained, made: Made) -> str:
        if isinstance(subject, Trained):
            return to_notebook(subject.training, flavour, link=made.link, names=subject.names)
        return to_notebook(subject, flavour, link=made.link)

    help = "The script in cells, with headings and a plot. Choose another library below for its notebook."
    mime = "application/x-ipynb+json"
    return Download(f"Notebook ({TITLES[flavour]})", ":material/book_2:", f"_{flavour}.ipynb", mime, help, content)


def played(shown: Callable[[Any], Shown], film: Callable[[Any], Shown]) -> tuple[Download, ...]:
    """What the stage shows of a subject as a page, and its film as an animation and as a video."""

    def filmed(kind: str, make: Callable[..., bytes]) -> Callable[[Any, Made], bytes]:
        def content(subject: Any, made: Made) -> bytes:
            with _filming:
                one = film(subject)
                width = FILM_WIDTH[kind] if any(panel["kind"] == "curve" for panel in one.record["panels"]) else 640
                return make(one, width=width, link=made.link)

        return content

    return (
        Download(
            "Web page (HTML)",
            ":material/web:",
            ".html",
            "text/html",
            "One file of 5 MB that plays offline: for a lecture, or to send to somebody.",
            lambda subject, made: shown_to_html(shown(subject), link=made.link),
        ),
        Download(
            "Animation (GIF)",
            ":material/gif_box:",
            ".gif",
            "image/gif",
            "A picture that moves, for slides. Takes some seconds.",
            filmed(".gif", shown_to_gif),
        ),
        Download(
            "Video (MP4)",
            ":material/movie:",
            ".mp4",
            "video/mp4",
            "The same once through, with a rest at its end. Takes some seconds more.",
            filmed(".mp4", shown_to_mp4),
        ),
    )


def _race_downloads(shown: Callable[..., Shown], film: Callable[..., Shown]) -> tuple[Download, ...]:
    return (
        *_scripts("this race"),
        Download(
            "Table (CSV)",
            ":material/table:",
            ".csv",
            "text/csv",
            "Every step of every racer, with all digits.",
            lambda experiment, made: to_csv(experiment, run(experiment), made),
        ),
        Download(
            "Everything (JSON)",
            ":material/data_object:",
            ".json",
            "application/json",
            "The table and all settings, with units, and where it comes from.",
            lambda experiment, made: tables_to_json([race_table(experiment, run(experiment))], made, experiment),
        ),
        *played(lambda one: shown(one, run(one)), lambda one: film(one, run(one))),
    )


DOWNLOADS = _race_downloads(race_shown, race_film)
SCHEDULED_DOWNLOADS = _race_downloads(scheduled_race_shown, partial(scheduled_race_shown, film=True))

TRAINING_DOWNLOADS = (
    *_scripts("this training as it is set now, from the first weights to the last epoch,"),
    Download(
        "Table (CSV)",
        ":material/table:",
        ".csv",
        "text/csv",
        "Loss and accuracy on each part of the data at every measured moment so far, with all digits and their units.",
        lambda trained, made: history_to_csv(*trained.progress(), names=trained.names, made=made),
    ),
    Download(
        "Everything (JSON)",
        ":material/data_object:",
        ".json",
        "application/json",
        "The table, the loss of every step, all settings, and where the data come from.",
        lambda trained, made: history_to_json(*trained.progress(), names=trained.names, made=made),
    ),
    *played(Trained.shown, partial(Trained.shown, film=True)),
)


def export_panel(desk: Desk, downloads: Sequence[Download] = DOWNLOADS) -> None:
    """What a race leaves the app as."""
    experiment: Experiment = desk.experiment
    why = "" if experiment.racers else "Nobody is racing: add an optimizer, and there is something to export."
    _panel(desk, experiment, downloads, file_stem(experiment), lambda: why)


def training_export_panel(desk: Desk, job: Job, chosen: int, names: Sequence[str] = ()) -> None:
    """What a training leaves the app as. `chosen` is the configuration that is looked at, and `names` are what they are
    called, if not by their optimizers."""
    training: Training = desk.experiment
    stem = "own" if isinstance(training.dataset, Own) else training.dataset.key

    def why() -> str:
        sentence = refused(training)
        return f"There is no script of this training: {sentence}." if sentence else ""

    _panel(desk, Trained(training, names, job, chosen), TRAINING_DOWNLOADS, stem, why)


def measured_export_panel(
    desk: Desk,
    tables: Mapping[str, Callable[[], Table]],
    charts: Mapping[str, Callable[[], dict[str, Any]]] | None = None,
    more: Sequence[Download] = (),
    *,
    part: str = "",
) -> None:
    """What a measurement leaves the app as: its tables, and its charts, by what they are called, and what else there
    is. `part` names a panel that is not the page's only one, and is about no experiment."""
    downloads = [_table_download(name, table) for name, table in tables.items()]
    downloads.append(
        Download(
            "Everything (JSON)",
            ":material/data_object:",
            ".json",
            "application/json",
            "All tables and settings, with units, and where they come from.",
            lambda subject, made: tables_to_json([table() for table in tables.values()], made, subject),
        )
    )
    downloads += more
    if charts:
        downloads.append(
            Download(
                "Charts (HTML)" if more else "Web page (HTML)",
                ":material/web:",
                "_charts.html" if more else ".html",
                "text/html",
                "The charts as one file of 5 MB that works offline: zoom, hover, and save them as pictures.",
                lambda subject, made: charts_to_html(
                    made.page, [{**chart(), "title": name} for name, chart in charts.items()], link=made.link
                ),
            )
        )
    stem = "_".join(filter(None, [desk.page, part]))
    _panel(desk, None if part else desk.experiment, downloads, stem, lambda: "", part)


def _table_download(name: str, table: Callable[[], Table]) -> Download:
    suffix = f"_{re.sub(r'[^a-z]+', '_', name.lower())}.csv"
    help = "Comma-separated values with all digits, below lines that say what the columns are."
    return Download(
        f"{name} (CSV)", ":material/table:", suffix, "text/csv", help, lambda _, made: table_to_csv(table(), made)
    )


def _panel(
    desk: Desk, subject: Any, downloads: Sequence[Download], stem: str, why: Callable[[], str], part: str = ""
) -> None:
    """A button for each kind of file, and the code to read. Files are made when their button is pressed, so that the
    panel costs nothing. `why()` says why there are no scripts, and for a race no files at all."""
    key = desk.key("-".join(filter(None, [part, "export"])))
    with folded("Export", key, popover=True, icon=":material/download:") as opened:
        if not opened:
            return
        made, obstacle = _made(desk), why()
        if obstacle:
            st.caption(obstacle)
        for download in downloads:
            if download.suffix == ".mp4" and encoder() is None:
                st.caption(NO_VIDEO)
                continue
            off = bool(obstacle) and (_is_code(download) or isinstance(subject, Experiment))
            _button(desk, subject, download, stem, made, disabled=off, part=part)
        if not obstacle and any(map(_is_code, downloads)):
            flavour = st.segmented_control(
                "Read the code here",
                FLAVOURS,
                format_func=TITLES.__getitem__,
                key=desk.key("code"),
                help="With a button to copy it. Choose the same one again to hide it.",
            )
            if flavour:
                if flavour != FLAVOURS[0]:  # whose notebook is offered above
                    _button(desk, subject, _notebook(flavour), stem, made)
                st.code(_python(flavour, subject, made), language="python", height=420)


def _button(
    desk: Desk,
    subject: Any,
    download: Download,
    stem: str,
    made: Made,
    *,
    disabled: bool = False,
    part: str = "",
) -> None:
    st.download_button(
        download.label,
        partial(download.content, subject, made),
        file_name=f"optviz_{stem}{download.suffix}",
        mime=download.mime,
        icon=download.icon,
        key=desk.key(f"download{part}{download.suffix}"),
        help=download.help,
        on_click="ignore",  # nothing on the page changes
        disabled=disabled,
        width="stretch",
    )


def _is_code(download: Download) -> bool:
    return download.suffix.endswith((".py", ".ipynb"))


def file_stem(experiment: Experiment) -> str:
    """What its files are called: the surface's key, or "own" for a formula, which might hold anything."""
    key = experiment.surface.key
    return key if re.fullmatch(r"\w+", key) else "own"


def _made(desk: Desk) -> Made:
    """Where the numbers of a page come from, now and here."""
    title = next((page.title for page in PAGES if page.path == f"pages/{desk.page}.py"), desk.page)
    libraries = ", ".join(f"{name} {version(name.lower())}" for name in ("JAX", "NumPy"))
    return Made(title, _link(desk), datetime.now(UTC).date().isoformat(), libraries)


def _link(desk: Desk) -> str:
    """The address that opens the experiment, as far as the server knows its own."""
    base = (st.context.url or f"/{desk.page}").partition("?")[0]
    query = urlencode(desk.codec.to_query(desk.experiment, desk.default), doseq=True, safe="~")
    return f"{base}?{query}" if query else base
