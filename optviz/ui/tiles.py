"""Work that takes longer than a blink: done in pieces while a bar tells how far it is, and a button stops it.

What is done stays with the visitor for as long as the page is open and the same thing is asked for. So whoever stops,
moves something else, or has the page drawn anew goes on where the work was, and nothing is computed twice.

Streamlit lets no fragment break off a script that runs: a button or a slider of a fragment waits for its end. So long
work looks after each part whether something waits, and then has the page run anew with it (`let_in`). What is on the
desk must be in the address by then, or that run would read there what was before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType

from optviz.limits import LIMITS
from optviz.ui.desk import Desk
from optviz.ui.turns import aside

T = TypeVar("T")
AT_ONCE = 0.5  # s: nobody needs a bar for less
OFTEN = 0.2  # s between two messages of the bar, which a class that waits for one map would get for each of its tiles


@dataclass
class _Work(Generic[T]):
    request: Hashable
    rest: Iterator[T]
    parts: list[T] = field(default_factory=list)
    stopped: bool = False
    tired: bool = False  # stopped by the server, which works only so long at a stretch


def let_in() -> None:
    """Break the script off if the visitor has done something meanwhile, and have the page run anew with it. There is no
    public way to ask that."""
    context = get_script_run_ctx()
    requests = context.script_requests if context else None
    if requests is not None and requests._state == ScriptRequestType.RERUN:
        st.rerun()


@st.cache_resource(scope="session", show_spinner=False)
def _works() -> dict[str, _Work]:
    """The visitor's works, by key. Streamlit keeps a session's state for two minutes and longer after its page was
    closed, but forgets this at once; a map may have megabytes."""
    return {}


def in_tiles(
    desk: Desk,
    name: str,
    request: Hashable,
    tiles: Callable[[], Iterator[T]],
    of: int,
    size: Callable[[T], int] = lambda part: 1,
) -> list[T]:
    """The parts that `tiles()` gives for this request, as far as they are done: all of them, unless the visitor
    pressed Stop or it takes longer than `LIMITS.request_seconds`. `size` is what a part counts of the whole, `of`. Each
    part should take well below a second: between two of them a moved slider takes effect. Raises what `tiles` raises,
    and then forgets the work."""
    key = desk.key(f"tiles-{name}")
    works = _works()
    work: _Work[T] | None = works.get(key)
    if work is None or work.request != request:
        work = works[key] = _Work(request, tiles())
    place, bar = st.empty(), None
    began = told = time.monotonic()
    done = sum(map(size, work.parts))
    try:
        for part in () if work.stopped else _aside(work.rest):
            work.parts.append(part)
            done += size(part)
            now = time.monotonic()
            if done < of and now - began > AT_ONCE and (bar is None or now - told > OFTEN):
                bar, told = bar or _bar(place, key), now
                bar.progress(min(1.0, done / of), f"{done:,} of {of:,} are done.")
            if done < of and now - began > LIMITS.request_seconds:
                work.stopped = work.tired = True
                break
            let_in()
    except Exception:
        works.pop(key, None)
        raise
    if work.stopped and done < of:
        with place.container(horizontal=True, vertical_alignment="center"):
            st.button("Go on", icon=":material/play_arrow:", key=f"{key}-on", on_click=_stop, args=(key, False),
                      help="Do the rest; what is done is kept.")  # fmt: skip
            why = f" after {LIMITS.request_seconds} seconds, as long as this server works at a stretch"
            st.caption(f"Stopped{why if work.tired else ''}: {done:,} of {of:,} are done.")
    elif bar is not None:
        place.empty()
    return work.parts


def _aside(parts: Iterator[T]) -> Iterator[T]:
    """The same parts, each of which is waited for while others have their turns."""
    while True:
        with aside():
            try:
                part = next(parts)
            except StopIteration:
                return
        yield part


def _bar(place, key: str):
    """A row with a Stop button; gives the place for the bar."""
    with place.container(horizontal=True, vertical_alignment="center"):
        st.button("Stop", icon=":material/stop:", key=f"{key}-stop", on_click=_stop, args=(key, True),
                  help="Keep what is done and go on later.")  # fmt: skip
        return st.empty()


def _stop(key: str, stopped: bool) -> None:
    """By the name of the work, for Streamlit keeps what a button calls as long as the session's state."""
    work = _works().get(key)
    if work is not None:
        work.stopped, work.tired = stopped, False
