"""A panel: many controls that are one element of the page.

A page's element costs the server about half a millisecond at every move, and the browser several; a panel of thirty
controls costs as much as one slider. It is described as data, by the parts below, and drawn by `panel.js`. What the
visitor did comes back as *moves*, numbered in the order of the hand. Python applies each move once and tells the last
number it has heard; until then the browser keeps what the hand has set, so that quick keys are never pulled back, and
what Python refused goes back to what is true.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from optviz.spec import Param, Value, number
from optviz.ui.desk import Desk
from optviz.ui.terms import address

_HERE = Path(__file__).parent
_PANEL = component(
    "optviz_panel",
    html='<div class="oz-panel-root"></div>\n',
    css=(_HERE / "panel.css").read_text(encoding="utf-8"),
    js=(_HERE / "panel.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)

ROW, FOLD = json.dumps({"kind": "row"}), json.dumps({"kind": "fold"})
MOVES_AT_MOST = 100  # in one message; a hand makes a few while the server is busy

Change = Callable[[Any, Any], Any]  # (experiment, value) -> experiment, of whatever kind lies on the desk


@dataclass(frozen=True)
class Field:
    """A parameter's control, of the kind that its declaration asks for: a slider with its number beside it, to be typed
    too; a switch; a menu. With `step`, a number that is typed or moved by the arrow keys. A `live` slider tells of its
    way while it is dragged, not only where it ends."""

    name: str
    param: Param
    value: Value
    change: Change
    label: str = ""
    step: float | None = None
    live: bool = False

    def read(self, sent: Any) -> Value:
        return self.param.parse(sent) if isinstance(sent, str) else self.param.check(sent)

    def shown(self) -> dict[str, Any]:
        shown = {"name": self.name, "value": self.value, "spec": _spec(self.param, self.label, self.step, self.live)}
        if self.step is not None:
            return shown | {"text": f"{self.value:.6g}"}
        return shown | ({"text": _text(self.param, self.value)} if self.param.kind in ("whole", "real") else {})


@dataclass(frozen=True)
class Choice:
    """One of several `options`: a value for each title. As "pills" they all are in view, as "menu" the chosen one is.
    `groups` and `colors` belong to the options, if given. A menu that stands at None shows `placeholder`, which may say
    all: without a help text there is no line above it."""

    name: str
    label: str
    options: Mapping[str | int, str]
    value: str | int | None
    change: Change
    help: str
    look: str = "menu"
    groups: Sequence[str] = ()
    colors: Sequence[str] = ()
    placeholder: str = ""
    disabled: bool = False

    def read(self, sent: Any) -> str | int:
        if isinstance(sent, bool) or not isinstance(sent, str | int) or sent not in self.options or self.disabled:
            raise ValueError(f"{self.label.lower()} must be one of {', '.join(self.options.values())}")
        return sent

    def shown(self) -> dict[str, Any]:
        titles = [{"value": value, "label": title} for value, title in self.options.items()]
        for name, more in (("group", self.groups), ("color", self.colors)):
            titles = [{**title, name: one} for title, one in zip(titles, more, strict=True)] if more else titles
        spec = {"kind": self.look, "label": self.label, "help": self.help, "options": titles}
        spec |= {"placeholder": self.placeholder, "disabled": self.disabled}
        return {"name": self.name, "value": self.value, "spec": json.dumps(spec)}


@dataclass(frozen=True)
class Action:
    """A button. `change` is called with the experiment and None."""

    name: str
    label: str
    change: Change
    help: str
    disabled: bool = False

    def read(self, sent: Any) -> None:
        if self.disabled:
            raise ValueError(f"{self.label.lower()} is not possible now")

    def shown(self) -> dict[str, Any]:
        spec = {"kind": "action", "label": self.label, "help": self.help, "disabled": self.disabled}
        return {"name": self.name, "value": None, "spec": json.dumps(spec)}


@dataclass(frozen=True)
class Words:
    """A sentence, as it is, without markup."""

    text: str

    def shown(self) -> dict[str, Any]:
        return {"spec": json.dumps({"kind": "words", "text": self.text})}


@dataclass(frozen=True)
class Box:
    """Parts side by side, or with a label, parts that can be folded away."""

    parts: Sequence[Part]
    name: str = ""
    label: str = ""
    unfolded: bool = False

    def shown(self) -> dict[str, Any]:
        inside = [part.shown() for part in self.parts]
        if not self.label:
            return {"spec": ROW, "parts": inside}
        shown = {"name": self.name, "label": self.label, "unfolded": self.unfolded}
        return shown | {"spec": FOLD, "parts": inside}


Control = Field | Choice | Action
Part = Control | Words | Box


def panel(desk: Desk, name: str, parts: Callable[[], Sequence[Part]]) -> None:
    """Show the panel whose parts, for the experiment on the desk, `parts()` gives. What the visitor does with a control
    goes through its `read`, which raises ValueError on what is not allowed, and its `change`, on to the desk."""
    key = desk.key(name)
    heard = f"{key}-heard"

    def changes(moves: list[tuple[int, str, Any]]) -> Iterator[Callable[[Any], Any]]:
        for _, name, sent in moves:
            control = next((one for one in _controls(parts()) if one.name == name), None)
            if control is not None:  # else the move before has taken it away
                yield partial(_used, control, sent)

    def used() -> None:
        moves = list(_moves(st.session_state[key].moves, st.session_state.get(heard, 0)))
        if moves:
            st.session_state[heard] = moves[-1][0]
            desk.take(changes(moves))

    session = st.session_state.setdefault("session", token_hex(4))
    data = {"heard": st.session_state.get(heard, 0), "session": session, "parts": [part.shown() for part in parts()]}
    _PANEL(key=key, data=json.dumps(data).encode(), on_moves_change=used)  # as bytes: Streamlit writes JSON twice


def _used(control: Control, sent: Any, old: Any) -> Any:
    return control.change(old, control.read(sent))


def _moves(sent: Any, heard: int) -> Iterator[tuple[int, str, Any]]:
    """The moves [count, name of the control, value] of a message that were not heard before. A message comes from
    outside: what is no move is passed over."""
    for move in sent[:MOVES_AT_MOST] if isinstance(sent, list) else ():
        match move:
            case [int(count), str(name), str() | int() | float() | None as value] if count > heard:
                heard = count
                yield count, name, value


def _controls(parts: Sequence[Part]) -> Iterator[Control]:
    for part in parts:
        if isinstance(part, Box):
            yield from _controls(part.parts)
        elif not isinstance(part, Words):
            yield part


def _text(param: Param, value: Value) -> str:
    """A number as its control shows it."""
    return number(float(value)) if param.kind == "real" else param.write(value)


@lru_cache(maxsize=512)
def _spec(param: Param, label: str, step: float | None, live: bool) -> str:
    """What of a parameter's control does not depend on its value, as JSON."""
    spec: dict[str, Any] = {"label": label or param.label, "help": param.help, "term": address(param)}
    match param.kind:
        case "flag":
            spec |= {"kind": "flag"}
        case "choice":
            spec |= {"kind": "menu", "options": [{"value": word, "label": word} for word in param.options]}
        case _ if step is not None:
            spec |= {"kind": "number", "step": step}
        case _:
            stops = param.stops()
            spec |= {"kind": "slider", "stops": stops, "texts": [_text(param, stop) for stop in stops], "live": live}
    return json.dumps(spec)
