"""The frame of every page: its title, the navigation, and what a fresh server does once.

A page opens its frame before it imports the rest of the library. JAX takes a second to load, and so does plotly.js in
the browser; the frame starts the one, and then the page the other, so that a first visitor waits for both at once.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import plotly
import streamlit as st
from streamlit.elements import exception
from streamlit.errors import FragmentHandledException
from streamlit.runtime import runtime

from optviz.lecture import Lectures
from optviz.ui import present
from optviz.ui.stage import prepare

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from optviz.experiment import Experiment

ROOT = Path(__file__).parents[2]
ICON = Path(__file__).with_name("icon.png")
UNPRESENTED = ("pages/glossary.py", present.HANDOUT)  # no list leads to them
FIRST_PAGE = 4.0  # seconds that a fresh server may need for its first page
ARENA_MAX = -8  # the number of this setting of malloc
FLUSH_INTERVAL, FLUSH = "MESSAGE_FLUSH_INTERVAL_SECS", 0.001  # s
SORRY_HERE = "_GENERIC_UNCAUGHT_EXCEPTION_TEXT"
SORRY = (
    "Something went wrong here, and it is optviz's fault, not yours. Your experiment is kept in the address: move "
    "another control, press Reset, or load the page anew. Whoever runs this server finds the details in its log."
)


def _share_memory() -> None:
    """Let all threads take memory from few places. The C library otherwise gives each of a dozen threads a place of its
    own, and what one has let go no other takes: 90 MB with a hundred visitors.
    It is told before JAX is imported, whose threads would be the first."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
        if mallopt is not None:
            mallopt(ARENA_MAX, os.cpu_count() or 1)


_share_memory()


class Page(NamedTuple):
    """An entry of the navigation. `path` is relative to app.py."""

    path: str
    title: str
    icon: str
    group: str
    help: str


PAGES = (
    Page("app.py", "Home", ":material/home:", "", "What optviz is, and a race to watch."),
    Page(
        "pages/descent.py",
        "Descent",
        ":material/landscape:",
        "Surfaces",
        "Let optimizers race over a surface and move their sliders.",
    ),
    Page(
        "pages/phase_map.py",
        "Phase map",
        ":material/grid_on:",
        "Maps",
        "How the same run ends for every pair of two hyperparameters, with the theory drawn on top.",
    ),
    Page(
        "pages/basin_map.py",
        "Basins",
        ":material/map:",
        "Maps",
        "Every point of the window as a start: which minimum its run ends in, for two optimizers.",
    ),
    Page(
        "pages/fair_race.py",
        "Fair race",
        ":material/sports_score:",
        "Maps",
        "Every optimizer at its own best learning rate, found under the same budget, and who is first by what.",
    ),
    Page(
        "pages/cloud.py",
        "Cloud",
        ":material/scatter_plot:",
        "Maps",
        "A thousand noisy runs at once, and the height at which noise holds them up.",
    ),
    Page(
        "pages/second_order.py",
        "Second order",
        ":material/target:",
        "Maps",
        "The models that methods trust at a point, the steps they take from there, and what those really bring.",
    ),
    Page(
        "pages/stability.py",
        "Stability",
        ":material/balance:",
        "Maps",
        "How sharply the loss curves along a run, against what its learning rate bears: the edge of stability.",
    ),
    Page(
        "pages/schedules.py",
        "Schedules",
        ":material/timeline:",
        "Learning rate",
        "Compare learning-rate schedules on the same run, on a surface or on a network.",
    ),
    Page(
        "pages/range_test.py",
        "Range test",
        ":material/speed:",
        "Learning rate",
        "Raise the learning rate in one short run, and read from its loss which rates are of use.",
    ),
    Page(
        "pages/calibration.py",
        "Calibration",
        ":material/tune:",
        "Learning rate",
        "The final loss at every learning rate, for all optimizers or for networks of several sizes.",
    ),
    Page(
        "pages/training.py",
        "Training",
        ":material/neurology:",
        "Networks",
        "Train small networks and watch what happens in them.",
    ),
    Page(
        "pages/backprop.py",
        "Backprop",
        ":material/account_tree:",
        "Networks",
        "Walk through a small network, one node at a time: forward, then back by the chain rule.",
    ),
    Page(
        "pages/handout.py",
        "Handout",
        ":material/co_present:",
        "Help",
        "For teachers: pick experiments, ask, and hand out one link, a QR code and a sheet to print.",
    ),
    Page("pages/glossary.py", "Glossary", ":material/dictionary:", "Help", "Every word and symbol, in one sentence."),
)

GROUPS = {  # in the order of the navigation; the pages of each stand behind one button there
    "Surfaces": "Optimizers race over a landscape of two numbers.",
    "Maps": "Thousands of runs at once: whole planes of hyperparameters, all starts, with the theory drawn on top.",
    "Learning rate": "The number that matters most: how to choose it, and how to change it on the way.",
    "Networks": "Small networks are trained while you watch, and taken apart.",
    "Help": "What a word or a symbol means, and lists of experiments for a class.",
}


# Streamlit leaves a third of a projector's picture to margins; a laboratory needs the room.
MARGINS = """<style>
.stMainBlockContainer { padding-left: clamp(1rem, 2.5vw, 3rem); padding-right: clamp(1rem, 2.5vw, 3rem); }
.stAppHeader { background: transparent; pointer-events: none; }
.stAppHeader * { pointer-events: auto; }
.st-key-navigation { padding-right: 3rem; }
/* Streamlit's grey of a caption and its edge of a field are too pale to be read by all: WCAG asks for 4.5 and 3. */
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * { opacity: 1; }
[data-testid="stCaptionContainer"] { color: color-mix(in srgb, currentcolor 78%, transparent); }
:is(.stSelectbox, .stMultiSelect, .stNumberInput) [role="group"]:has(> input, > * > input),
[data-testid="stTextInputRootElement"],
[data-testid="stTextAreaRootElement"], [data-testid="stNumberInputContainer"] {
  border-color: color-mix(in srgb, currentcolor 55%, transparent);
}
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { transition-duration: 0s !important; animation-duration: 0s !important; }
}
/* Streamlit writes white on the dark theme's light blue; that is 2.4. */
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"] *,
[data-testid="stMultiSelectTagsContainer"] [role="group"] > span,
[data-testid="stMultiSelectTagsContainer"] [role="group"] > span * {
  color: light-dark(#FFFFFF, #171614);
}
/* Where the keyboard is, everywhere; Streamlit shows it only by a change of colour, or not at all. */
.stApp :focus-visible:not([class*="oz-"]) { outline: 2px solid currentcolor !important; outline-offset: 1px; }
/* On a phone nothing is cut off: words go on in the next line, a table is scrolled by itself. */
[data-testid="stMarkdownContainer"]:has(> table) { overflow-x: auto; }
@media (max-width: 640px) {
  [data-testid="stPageLink-NavLink"], [data-testid="stPageLink-NavLink"] * { white-space: normal; height: auto; }
  .st-key-navigation { padding-right: 0; }
}
</style>"""


class Frame(NamedTuple):
    """An open page: whether the visitor has just `arrived` from another one, and where its `tools` go."""

    arrived: bool
    tools: DeltaGenerator


def frame(path: str) -> Frame:
    """Open a page: browser title and navigation. Every page calls this first, because any page may be the first that
    a fresh server is asked for."""
    page = next(page for page in PAGES if page.path == path)
    st.set_page_config(page_title=f"{page.title} · optviz", page_icon=str(ICON), layout="wide")
    st.html(MARGINS)
    paths = {
        Path(page.path).stem if page.group else "home": page.path for page in PAGES if page.path not in UNPRESENTED
    }
    shown = present.read(path, Lectures(tuple(paths)))
    with st.container(horizontal=True, vertical_alignment="center", key="navigation"):
        st.page_link("app.py", label="**optviz**", icon=PAGES[0].icon, help=PAGES[0].help)
        for group in GROUPS:
            _offer(group, page)
        prepare()  # has no size of its own, and would cost a row elsewhere
        st.space("stretch")
        with st.container(horizontal=True, width="content", key="tools"):
            tools = st.container(horizontal=True, width="content")
            if shown is None and path != present.HANDOUT:
                present.begin_button()
    if shown:
        present.bar(shown, paths)
    arrived = st.session_state.get("page") != path
    st.session_state["page"] = path
    return Frame(arrived, tools)


def presentable() -> dict[str, str]:
    """The pages that a list of experiments may lead to: their names in links, and their paths."""
    paths = [page.path for page in PAGES if page.path not in UNPRESENTED]
    return {"home" if path == "app.py" else Path(path).stem: path for path in paths}


def pages_of(group: str) -> list[Page]:
    """The pages of a group, in their order."""
    return [page for page in PAGES if page.group == group]


def overview() -> None:
    """All pages, group by group, and what each group is for."""
    for group, column in zip(GROUPS, st.columns(len(GROUPS), gap="medium"), strict=True):
        with column:
            st.markdown(f"**{group}.** {GROUPS[group]}")
            with st.container(gap="small"):
                for page in pages_of(group):
                    st.page_link(page.path, label=page.title, icon=page.icon, help=page.help)


def _offer(group: str, here: Page) -> None:
    """The pages of a group: a link, or a button that opens their links. Its words tell which of them is open."""
    pages = pages_of(group)
    if len(pages) == 1:
        st.page_link(pages[0].path, label=pages[0].title, icon=pages[0].icon, help=pages[0].help)
    elif pages:
        label = f"{group}: **{here.title}**" if here in pages else group
        with st.popover(label, type="tertiary", width="content"):
            for page in pages:
                st.page_link(page.path, label=page.title, icon=page.icon, help=page.help)


@st.cache_resource(show_spinner=False)
def prepare_server(warm: Experiment) -> threading.Timer:
    """Once a server, when a page has imported all it needs: keep compiled programs on disk, compile in the background
    what the next visitor will see, and freeze the garbage collector's view of what is there by now. JAX alone brings
    half a million objects, and every full collection would walk them, holding up all visitors."""
    keep_programs()
    _offer_plotly()
    _say_sorry()
    _send_at_once()
    _flush_soon()
    timer = threading.Timer(FIRST_PAGE, _warm_up, args=(warm,))  # not at once: the first visitor's page comes first
    timer.daemon, timer.name = True, "optviz warm-up"
    timer.start()
    gc.freeze()
    return timer


def keep_programs() -> None:
    """Keep compiled programs on disk, in $XDG_CACHE_HOME or ~/.cache, for the next process that asks for one."""
    import jax

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "optviz" / "jax"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    except OSError as error:  # a read-only home costs a second at each start, nothing else
        logging.getLogger(__name__).warning("Compiled programs are not kept: %s", error)


@contextmanager
def alone() -> Iterator[None]:
    """A fragment within that fails has said so in its own place. What stands around it is made all the same: else the
    sentence would stand there a second time, where no control of the fragment draws it anew."""
    with suppress(FragmentHandledException):
        yield


def _say_sorry() -> None:
    """What a visitor reads where a page fails. Streamlit's own sentence, which stands in its place when no details are
    shown, speaks of logs on Streamlit Cloud. There is no public way to say another one for all pages and fragments."""
    setattr(exception, SORRY_HERE, SORRY)


def _send_at_once() -> None:
    """Let no answer wait for the browser to confirm the one before: with Nagle's algorithm, which Streamlit's server
    leaves on, each of a slider's quick moves took 40 ms longer. New connections inherit what the socket that listens is
    told, and there is no public way to that one but to look for it."""
    for one in gc.get_objects():
        if type(one) is socket.socket and one.family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError):  # closed, or no stream
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _flush_soon() -> None:
    """Let what a script has to say leave soon. Streamlit's server rests for 5 ms after each round in which it sends;
    the first message of a run, which says only that it begins, made the answer wait that long. There is no public way
    to say how long it rests."""
    setattr(runtime, FLUSH_INTERVAL, FLUSH)


def _offer_plotly() -> None:
    """Put plotly.js where Streamlit's static serving finds it, for the day its own copy is not where we look."""
    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    target = ROOT / "static" / "plotly.min.js"
    try:
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
    except OSError as error:
        logging.getLogger(__name__).warning("No fallback copy of plotly.js: %s", error)


def _warm_up(experiment: Experiment) -> None:
    from optviz.experiment import run
    from optviz.landscape import over_window

    gc.collect()  # here, where nobody waits for it
    gc.freeze()
    over_window(experiment.surface.key, experiment.surface_values)
    run(experiment)
