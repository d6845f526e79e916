"""The panel that lets an experiment leave the app."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from urllib.parse import urlencode

import streamlit as st

from optviz.experiment import Experiment, run
from optviz.export import to_csv, to_gif, to_html, to_python
from optviz.ui.controls import folded
from optviz.ui.desk import Desk


class Download(NamedTuple):
    """A file that a button offers; `content(experiment, link)` makes it when the button is pressed."""

    label: str
    icon: str
    suffix: str
    mime: str
    help: str
    content: Callable[[Experiment, str], str | bytes]


def _python(flavour: str, experiment: Experiment, link: str) -> str:
    return to_python(experiment, flavour, link=link)


def _script(title: str, flavour: str) -> Download:
    help = "A script that stands alone and reruns this race to the same numbers."
    return Download(
        f"Python ({title})", ":material/code:", f"_{flavour}.py", "text/x-python", help, partial(_python, flavour)
    )


DOWNLOADS = (
    _script("JAX", "jax"),
    _script("optax", "optax"),
    _script("PyTorch", "torch"),
    Download(
        "Table (CSV)",
        ":material/table:",
        ".csv",
        "text/csv",
        "Every step of every racer, with all digits.",
        lambda experiment, link: to_csv(experiment, run(experiment)),
    ),
    Download(
        "Web page (HTML)",
        ":material/web:",
        ".html",
        "text/html",
        "One file of 5 MB that plays offline: for a lecture, or to send to somebody.",
        lambda experiment, link: to_html(experiment, run(experiment), link=link),
    ),
    Download(
        "Animation (GIF)",
        ":material/gif_box:",
        ".gif",
        "image/gif",
        "The race as a picture that moves, for slides. Takes a few seconds.",
        lambda experiment, link: to_gif(experiment, run(experiment)),
    ),
)


def export_panel(desk: Desk) -> None:
    """A button for each kind of file. Files are made when their button is pressed, so that the panel costs nothing."""
    experiment = desk.experiment
    with folded("Export", desk.key("export"), popover=True, icon=":material/download:") as opened:
        if not opened:
            return
        link = _link(desk)
        if not experiment.racers:
            st.caption("Nobody is racing: add an optimizer, and there is something to export.")
        for download in DOWNLOADS:
            st.download_button(
                download.label,
                partial(download.content, experiment, link),
                file_name=f"optviz_{file_stem(experiment)}{download.suffix}",
                mime=download.mime,
                icon=download.icon,
                key=desk.key(f"download{download.suffix}"),
                help=download.help,
                on_click="ignore",  # nothing on the page changes
                disabled=not experiment.racers,
                width="stretch",
            )


def file_stem(experiment: Experiment) -> str:
    """What its files are called: the surface's key, or "own" for a formula, which might hold anything."""
    key = experiment.surface.key
    return key if re.fullmatch(r"\w+", key) else "own"


def _link(desk: Desk) -> str:
    """The address that opens the experiment, as far as the server knows its own."""
    base = (st.context.url or f"/{desk.page}").partition("?")[0]
    query = urlencode(desk.codec.to_query(desk.experiment, desk.default), doseq=True, safe="~")
    return f"{base}?{query}" if query else base
