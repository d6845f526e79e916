"""Presenting: any page in large type, with chosen parts out of sight, a list of experiments and a timer.

What is presented stands in the address (`optviz.lecture`), beside the experiment of the page, and survives going from
page to page. The frame reads it before anything else of a page is made, so that nothing flashes up that is to be
hidden. Hiding is by style only: the page is the same and computes the same, and what is hidden comes back by a key, in
the browser. Every page has a button that begins; the handout page, which makes the lists, is not presented itself.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st
from streamlit.components.v2 import component

from optviz.lecture import FIELDS, MINUTES, PARTS, Lecture, Lectures, fields_of, opened_at

HANDOUT = "pages/handout.py"
SCALES = {"usual": 1.0, "large": 1.5, "larger": 2.0}  # times the usual size of type

_HERE = Path(__file__).parent
_STYLE = "".join((_HERE / name).read_text(encoding="utf-8") for name in ("tool.css", "present.css"))
_SCRIPT = (_HERE / "present.js").read_text(encoding="utf-8")
_BEGIN = component(
    "optviz_present",
    html='<button type="button" class="oz-tool oz-present-begin"></button>\n',
    css=_STYLE,
    js=_SCRIPT,
    isolate_styles=False,
)
_LECTERN = component(
    "optviz_lectern", html='<div class="oz-lectern"></div>\n', css=_STYLE, js=_SCRIPT, isolate_styles=False
)

# Where each part is on a page. The controls are the left of two columns, on every page that has them.
SELECTORS = {
    "answers": '[class*="-claim "], [class$="-claim"], [class*="-verdict "], [class$="-verdict"]',
    "controls": ".stHorizontalBlock:not(.st-key-navigation):not(.stColumn *) > .stColumn:first-child:nth-last-child(2)",
    "tables": ".stMain .stColumn table, .stMain .stDataFrame",
    "navigation": ".st-key-navigation > :not(.st-key-tools):not(:has(> .st-key-tools))",
    "tools": ".st-key-navigation .st-key-tools",
}


def _rules() -> str:
    """The style of a presentation. The bar's key says what holds: `present-large-answers-controls`. What the visitor
    has brought back stands in an attribute of the document, which the bar's script sets."""
    lines = []
    for size, scale in SCALES.items():
        here = f':root:has([class*="st-key-present-{size}"])'
        lines.append(f"{here} {{ font-size: {16 * scale:g}px !important; }}")
        lines.append(f"{here} .stBidiComponent * {{ --st-base-font-size: {16 * scale:g}px !important; }}")
    for part, selector in SELECTORS.items():
        here = f':root:not([data-oz-shown~="{part}"]):has([class*="st-key-present-"][class*="-{part}"])'
        lines.append(f"{here} :is({selector}) {{ display: none; }}")
    row = ("navigation", "tools")  # they share one, which goes with the last of them
    here = "".join(f':not([data-oz-shown~="{part}"])' for part in row)
    there = "".join(f'[class*="-{part}"]' for part in row)
    lines.append(f':root{here}:has([class*="st-key-present-"]{there}) .st-key-navigation {{ display: none; }}')
    return "\n".join(lines)


RULES = f"<style>{_rules()}</style>"


class Shown(NamedTuple):
    """A presentation that is on: the lecture, the place in it that is open, and what of the link could not be read."""

    lecture: Lecture
    place: int
    messages: list[str]


def presented() -> dict[str, list[str]]:
    """The fields of the address that belong to the presentation, and not to the page that is open."""
    return st.session_state.get("presented", {})


def read(path: str, codec: Lectures) -> Shown | None:
    """What is presented, read from the address in a full run. Going on to another page within the app keeps it."""
    if path == HANDOUT:  # there, the same fields are the experiment on the desk
        st.session_state["presented"] = {}
        return None
    address = {name: st.query_params.get_all(name) for name in FIELDS if name in st.query_params}
    if "present" not in address:
        address = presented()
    if not address:
        return None
    lecture, place, messages = codec.read(address, Lecture())
    st.session_state["presented"] = fields_of(lecture, place)
    return Shown(lecture, place, messages)


def begin_button() -> None:
    """The way in, for a page that is not presented yet."""
    _BEGIN(
        key="present-begin",
        data={
            "label": "Present",
            "help": "Large type for a projector, with controls put away (key P). Escape leads back.",
        },
        on_begin_change=_begin,
    )


def bar(shown: Shown, path_of: dict[str, str]) -> None:
    """The question, the way through the list, the timer, and what brings back what is hidden. `path_of` gives the file
    of each page that can be presented."""
    lecture, place, _ = shown
    st.html(RULES)
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        key="-".join(["present", lecture.size, *lecture.hide]),
        gap="small",
    ):
        _way(shown, path_of, place - 1, "previous", ":material/arrow_back:")
        _LECTERN(
            key="lectern",
            data=_record(shown),
            width="stretch",
            on_leave_change=_leave,
        )
        _way(shown, path_of, place + 1, "next", ":material/arrow_forward:")


def _way(shown: Shown, path_of: dict[str, str], place: int, name: str, icon: str) -> None:
    """A link to a neighbour in the list, where there is one."""
    items = shown.lecture.items
    if 0 <= place < len(items):
        page, query = opened_at(shown.lecture, place)
        with st.container(key=f"lectern-{name}", width="content"):
            st.page_link(
                path_of[page],
                label=str(place + 1),
                icon=icon,
                query_params=query,
                help=f"The {name} experiment, {place + 1} of {len(items)}"
                + (f" (Page {'Down' if name == 'next' else 'Up'})" if shown.lecture.size != "usual" else ""),
            )


def _record(shown: Shown) -> dict[str, Any]:
    lecture, place, messages = shown
    count = len(lecture.items)
    item = lecture.items[place] if count else None
    return {
        "topic": lecture.topic,
        "place": f"{place + 1} of {count}" if count else "",
        "question": item.asked if item else "",
        "minutes": lecture.minutes,
        "timer": MINUTES.help,
        "parts": tuple(  # not a list, in which Streamlit would look for a table
            {"name": part, "key": number, "help": PARTS[part]}
            for number, part in enumerate(PARTS, 1)
            if part in lecture.hide
        ),
        "remote": lecture.size != "usual",  # at a reader's own desk, Page Down scrolls
        "messages": tuple(messages),
    }


def _begin() -> None:
    """Present the page that is open, without what one does not need before a class."""
    with contextlib.suppress(KeyError):
        del st.session_state["presented"]
    _write(fields_of(Lecture(hide=("controls", "navigation", "tools"))))


def _leave() -> None:
    st.session_state["presented"] = {}
    _write({})


def _write(fields: dict[str, list[str]]) -> None:
    own = {name: st.query_params.get_all(name) for name in st.query_params if name not in FIELDS}
    st.query_params.from_dict({**own, **fields})
