"""A page's desk: where the visitor's experiment lies between reruns, and how it gets into the address and back.

The experiment is the one truth. Widgets show it, and their callbacks change it before the script runs; so a link, a
click on the surface, a reset and a slider all go the same way. The address is read in full runs only, which happen when
a page is opened or the visitor goes back or forward. A slider reruns just a fragment, and its message may still carry
the address of the move before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import streamlit as st

from optviz import link
from optviz.lecture import FIELDS
from optviz.limits import allowed, fitted
from optviz.ui.present import presented

E = TypeVar("E")
PRESET = "claim"  # the field of a link that names a preset


class Codec(Protocol):
    """How an experiment is written into an address, and read from it: a module such as `optviz.link`."""

    def to_query(self, value: Any, default: Any, /) -> dict[str, list[str]]:
        """The fields that differ from the default's."""
        ...

    def from_query(self, query: Mapping[str, list[str]], default: Any, /) -> tuple[Any, list[str]]:
        """The value, and a sentence for everything that could not be read."""
        ...


class Desk(Generic[E]):
    """The experiment of one page, of whatever kind its `codec` can write. `default` is what an empty address means,
    unless the address names one of `presets`, from which it then says what differs."""

    def __init__(self, page: str, default: E, presets: Mapping[str, E] | None = None, codec: Codec = link):
        self.page = page
        self.declared = default
        self.home, _ = _fitting(default)
        self.presets = presets or {}
        self.codec = codec

    def key(self, name: str) -> str:
        """A widget key that no other page uses."""
        return f"{self.page}-{name}"

    @property
    def preset(self) -> str | None:
        """The name of the preset that is open, if any."""
        return st.session_state.get(self.key("preset"))

    @property
    def default(self) -> E:
        """Where Reset leads: the open preset, or what the page begins with."""
        preset = self.presets.get(self.preset or "")
        return self.home if preset is None else _fitting(preset)[0]

    def leave(self) -> None:
        """Close the preset and keep the experiment."""
        st.session_state[self.key("preset")] = None

    @property
    def experiment(self) -> E:
        return st.session_state.get(self.key("experiment"), self.home)

    def put(self, experiment: E) -> None:
        """Lay another experiment on the desk."""
        st.session_state[self.key("experiment")] = experiment

    def reset(self) -> None:
        """Back to what an empty address means."""
        self.put(self.default)
        st.session_state[self.key("messages")] = []

    def open(self, arrived: bool) -> None:
        """Read the address, in a full run. A visitor who has `arrived` from another page without an address of their
        own finds the desk as they left it."""
        whole, apart = {name: st.query_params.get_all(name) for name in st.query_params}, presented()
        address = {name: texts for name, texts in whole.items() if not (apart and name in FIELDS)}
        coming_back = arrived and not whole and self.key("experiment") in st.session_state
        if coming_back:  # also for a second run, if this one is broken off before it has written the address
            st.session_state[self.key("address")] = address
        if address == st.session_state.get(self.key("address")):
            if apart != st.session_state.get(self.key("presented")):  # the experiment stays, the address changes
                st.session_state[self.key("address")] = None
            return
        name = (address.pop(PRESET, None) or [None])[-1]
        st.session_state[self.key("preset")] = name if name in self.presets else None
        experiment, messages = self.codec.from_query(address, self.default)
        try:
            allowed(experiment)
        except ValueError as error:
            experiment, messages = self.default, [f"The link asks for too much: {error}.", *messages]
        short = _fitting(self.presets.get(name or "", self.declared))[1]
        messages = [*([short] if short else []), *messages]
        if name is not None and name not in self.presets:
            known = ", ".join(self.presets) if self.presets else "none on this page"
            messages = [f"There is no claim “{name[:16]}”; there are {known}.", *messages]
        self.put(experiment)
        st.session_state[self.key("messages")] = messages
        st.session_state[self.key("address")] = None  # a link to the page that is open does not show in the address yet

    def say(self) -> None:
        """Show what could not be read of a link or an input, until something else is changed."""
        for message in st.session_state.get(self.key("messages"), []):
            sentence, _, drawing = message.partition("\n\n")  # a formula with a caret below the place needs its columns
            st.warning(plain(sentence), icon=":material/error_outline:")
            if drawing:
                st.code(drawing, language=None)

    def publish(self) -> None:
        """Write the experiment into the address."""
        changed = self.codec.to_query(self.experiment, self.default)
        address = {**({PRESET: [self.preset]} if self.preset else {}), **changed}
        apart = presented()
        shown = {name: st.query_params.get_all(name) for name in st.query_params}
        if {**address, **apart} != shown or st.session_state.get(self.key("address")) is None:
            st.query_params.from_dict({**address, **apart})
        st.session_state[self.key("address")] = address
        st.session_state[self.key("presented")] = apart

    def callback(self, change: Callable[[E, Any], E], key: str | None = None) -> Callable[[], None]:
        """What a widget calls when the visitor used it: `change(experiment, value of the widget)` goes on the desk.

        A value that makes no valid experiment is refused with a sentence, and everything stays as it was.
        """

        def used() -> None:
            value = st.session_state[key] if key else None
            self.take([lambda old: change(old, value)])

        return used

    def take(self, changes: Iterable[Callable[[E], E]]) -> None:
        """Make changes to the experiment, one after the other. One that makes no valid experiment is refused with a
        sentence, and the others stand."""
        refused = []
        for change in changes:
            try:
                self.put(allowed(change(self.experiment)))
            except ValueError as error:
                refused.append(f"That does not work: {error}")
        st.session_state[self.key("messages")] = refused


def _fitting(example: E) -> tuple[E, str]:
    """As much of a page's own example as the limits of the server allow, and a sentence if that is not all. If nothing
    of it fits, the page says so and ends here."""
    try:
        return fitted(example)
    except ValueError as error:
        st.error(f"This page needs more than it may have here: {error}.", icon=":material/block:")
        st.stop()


def plain(text: str) -> str:
    """Markdown that shows `text` letter by letter: a message quotes the link, which might hold an image's address. Half
    a character, which a component's message may hold and no text on a page, becomes a question mark."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    whole = re.sub(r"(://|www|@)", "\\1\u2060", whole)  # a bare address would become a link: nothing visible parts it
    return re.sub(r"([\\`*_{}\[\]()<>#$:~|!])", r"\\\1", whole)
