"""A lecture: experiments in an order, each with a question, and how they are shown. It travels in a link, as all else.

    ?present=large&hide=answers~navigation&think=2&of=descent.A1&of=phase_map%3Fkappa%3D50&ask=2~Where+…&place=1

`of` names an experiment, in order: a page and one of its claims, or a page and the fields of any link to it. `ask` is
a question in the teacher's words, for the experiment with that number; without it a claim has the question of
`questions.py`. `present` is the size of the type, `hide` what is out of sight until it is asked for, `think` the
minutes for thinking before the vote, `topic` a title, and `place` the experiment that is open. The fields stand beside
those of the page that is open, and concern none of its own: so every page can be presented, and a link to a page is
the same with them and without. Whoever reads an experiment's own fields is its page; here they are only words.

A lecture has bounds, because a link has: what a stranger's link holds beyond them is refused with a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from optviz.query import FIELD_AT_MOST, MESSAGES_AT_MOST, VERSION, Query, forgiving, single
from optviz.questions import QUESTIONS
from optviz.spec import Param

ITEMS_AT_MOST = 20
QUESTION_AT_MOST = 300  # characters
TOPIC_AT_MOST = 100
ADDRESS_AT_MOST = 1500  # characters of one experiment's fields
LINK_AT_MOST = 7500  # characters of a whole list; servers and proxies commonly refuse addresses beyond 8,000

SIZE = Param(
    "present",
    "",
    "large",
    options=("usual", "large", "larger"),
    static=True,
    title="size of type",
    help="How large words and figures are drawn: as always, for a seminar room, or for a lecture hall.",
)
MINUTES = Param(
    "think",
    "",
    2.0,
    0.0,
    10.0,
    domain="[0, 60]",
    title="minutes to think",
    help="What the timer counts down before the vote. At 0 there is no timer.",
)
# What can be put out of sight, in the order of the number keys that bring it back.
PARTS = {
    "answers": "the open claim and what was measured of it, so that one predicts first",
    "controls": "the column of sliders and choices beside the picture",
    "tables": "tables of numbers below the picture",
    "navigation": "the row of pages at the top",
    "tools": "claims, reset and copy link, at the top right",
}
FIELDS = ("present", "hide", "think", "topic", "of", "ask", "place")
CLAIM = "claim"  # the field that names a claim on every page
NOTHING = "nothing"

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Item:
    """An experiment of a list: the page, the fields of its link, and the question, if it is not the claim's own.

    Raises ValueError, with what is allowed, for a page's name or texts that no link could hold.
    """

    page: str
    fields: Pairs = ()
    question: str = ""

    def __post_init__(self):
        if not re.fullmatch("[a-z_]{1,32}", self.page):
            raise ValueError(f"a page has a name such as descent, not “{self.page[:32]}”")
        names = [name for name in dict.fromkeys(name for name, _ in self.fields) if name not in FIELDS]
        grouped = tuple(pair for name in names for pair in self.fields if pair[0] == name)  # as addresses keep them
        object.__setattr__(self, "fields", grouped)
        for text in (part for pair in self.fields for part in pair):
            _printable("a field of a link", text, FIELD_AT_MOST)
        if len(urlencode(self.fields)) > ADDRESS_AT_MOST:
            raise ValueError(f"an experiment in a list may have a link of at most {ADDRESS_AT_MOST:,} characters")
        _printable("a question", self.question, QUESTION_AT_MOST)
        if self.question == question_of(self.page, self.claim):
            object.__setattr__(self, "question", "")

    @property
    def claim(self) -> str:
        """The claim that its link opens; "" for none."""
        return dict(self.fields).get(CLAIM, "")

    @property
    def asked(self) -> str:
        """The question, in the teacher's words or the claim's; "" for none."""
        return self.question or question_of(self.page, self.claim)

    @property
    def query(self) -> dict[str, list[str]]:
        """The fields of its link, as codecs take them."""
        query: dict[str, list[str]] = {}
        for name, text in self.fields:
            query.setdefault(name, []).append(text)
        return query

    def write(self) -> str:
        """The item without its question, as a field of a link."""
        if self.fields == ((CLAIM, self.claim),) and re.fullmatch(r"[\w-]{1,16}", self.claim):
            return f"{self.page}.{self.claim}"
        return f"{self.page}?{urlencode(self.fields)}" if self.fields else self.page


@dataclass(frozen=True)
class Lecture:
    """Experiments in their order and how they are shown. Raises ValueError, with what is allowed."""

    items: tuple[Item, ...] = ()
    size: str = "large"
    hide: tuple[str, ...] = ("answers", "controls", "navigation", "tools")
    minutes: float = 2.0
    topic: str = ""

    def __post_init__(self):
        SIZE.check(self.size)
        object.__setattr__(self, "minutes", MINUTES.check(self.minutes))
        unknown = sorted(set(self.hide) - set(PARTS))
        if unknown:
            raise ValueError(f"what can be hidden is {', '.join(PARTS)}, not “{unknown[0][:32]}”")
        object.__setattr__(self, "hide", tuple(part for part in PARTS if part in self.hide))
        if len(self.items) > ITEMS_AT_MOST:
            raise ValueError(f"a list has at most {ITEMS_AT_MOST} experiments, not {len(self.items)}")
        _printable("a title", self.topic, TOPIC_AT_MOST)
        longest = max((len(urlencode(item.fields)) for item in self.items), default=0)  # while that one is open
        length = longest + len(urlencode(fields_of(self), doseq=True))
        if length > LINK_AT_MOST:
            raise ValueError(
                f"the link would have {length:,} characters, and servers take about {LINK_AT_MOST:,}: "
                "shorten a question or make two lists"
            )

    def add(self, item: Item) -> Lecture:
        """With another experiment at the end."""
        return replace(self, items=(*self.items, item))

    def without(self, place: int) -> Lecture:
        """Without the experiment at a place, counted from 0."""
        return replace(self, items=self.items[:place] + self.items[place + 1 :])

    def swapped(self, first: int, second: int) -> Lecture:
        """With two experiments in each other's place; as it is where there are not two."""
        items = list(self.items)
        if {first, second} <= set(range(len(items))):
            items[first], items[second] = items[second], items[first]
        return replace(self, items=tuple(items))

    def asking(self, place: int, question: str) -> Lecture:
        """With a question for the experiment at a place. An empty one is the claim's own again."""
        items = list(self.items)
        items[place] = replace(items[place], question=question)
        return replace(self, items=tuple(items))


def question_of(page: str, claim: str) -> str:
    """The question that belongs to a claim as a page shows it; "" where there is none."""
    return QUESTIONS.get(f"{page}.{claim}") or QUESTIONS.get(claim, "")


def item_of(page: str, query: str, question: str = "") -> Item:
    """The item that a link's page and query string mean, without what belongs to a presentation. Raises ValueError."""
    if len(query) > FIELD_AT_MOST:
        raise ValueError(f"an experiment in a list may have a link of at most {ADDRESS_AT_MOST:,} characters")
    return Item(page, tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=100)), question)


def fields_of(lecture: Lecture, place: int | None = None) -> dict[str, list[str]]:
    """The fields that present a lecture on a page, open at a place, counted from 0. Beside a page's own fields
    they need no version of their own."""
    fields = {"present": [lecture.size], "hide": ["~".join(lecture.hide) or NOTHING]}
    fields["think"] = [MINUTES.write(lecture.minutes)]
    if lecture.topic:
        fields["topic"] = [lecture.topic]
    if lecture.items:
        fields["of"] = [item.write() for item in lecture.items]
    asked = [f"{number}~{item.question}" for number, item in enumerate(lecture.items, 1) if item.question]
    if asked:
        fields["ask"] = asked
    return fields | ({"place": [str(place + 1)]} if place is not None and lecture.items else {})


def opened_at(lecture: Lecture, place: int) -> tuple[str, dict[str, list[str]]]:
    """The page and all fields of the link that presents a lecture from a place on, counted from 0."""
    item = lecture.items[place]
    return item.page, item.query | fields_of(lecture, place)


def address(base: str, page: str, query: Mapping[str, Iterable[str]]) -> str:
    """A link as it is shared. `base` is where the app's home page lies, without a slash at its end."""
    fields = urlencode({name: list(texts) for name, texts in query.items()}, doseq=True)
    return f"{base}/{'' if page == 'home' else page}" + (f"?{fields}" if fields else "")


@dataclass(frozen=True)
class Lectures:
    """A codec: lectures as the fields of a link. `pages` are those that can be presented."""

    pages: tuple[str, ...]

    def to_query(self, lecture: Lecture, default: Lecture) -> dict[str, list[str]]:
        """The fields of a link to the lecture itself; {} for the default."""
        return {} if lecture == default else {"v": [VERSION], **fields_of(lecture)}

    def from_query(self, query: Query, default: Lecture) -> tuple[Lecture, list[str]]:
        """The lecture that a link's fields describe, and a sentence for everything that could not be read."""
        lecture, _, messages = self.read(query, default)
        return lecture, messages

    def read(self, query: Query, default: Lecture) -> tuple[Lecture, int, list[str]]:
        """As `from_query`, and the place that is open, counted from 0."""
        messages: list[str] = []
        one = single(query, set(FIELDS), messages)
        changes: dict[str, Any] = {}
        with forgiving(messages):
            changes["size"] = SIZE.parse(one.get("present", default.size))
        with forgiving(messages):
            changes["minutes"] = MINUTES.parse(one["think"]) if "think" in one else default.minutes
        with forgiving(messages):
            if "hide" in one:
                hide = () if one["hide"] == NOTHING else tuple(one["hide"].split("~"))
                changes["hide"] = Lecture(hide=hide).hide
        with forgiving(messages):
            changes["topic"] = Lecture(topic=one.get("topic", default.topic)).topic
        found = self._items(query, messages) if "of" in query else dict(enumerate(default.items, 1))
        changes["items"] = tuple(found.values())
        lecture, numbers = default, [1]
        with forgiving(messages):
            lecture = replace(default, **changes)
            numbers = list(found) or [1]
        place = 0
        with forgiving(messages):
            text = one.get("place", str(numbers[0]))
            if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) in numbers):
                raise ValueError(f"place is the number of an experiment of the list, not “{text[:32]}”")
            place = numbers.index(int(text))
        return lecture, place, messages[:MESSAGES_AT_MOST]

    def _items(self, query: Query, messages: list[str]) -> dict[int, Item]:
        """The experiments by their numbers, each with its question. One that cannot be read is left out, and the others
        keep their numbers."""
        asked = {}
        for text in query.get("ask", [])[:ITEMS_AT_MOST]:
            number, _, question = text.partition("~")
            asked[number] = question
        texts, items = query["of"], {}
        for number, text in enumerate(texts[:ITEMS_AT_MOST], 1):
            with forgiving(messages):
                items[number] = self._item(text, asked.pop(str(number), ""))
        if len(texts) > ITEMS_AT_MOST:
            messages.append(f"Only the first {ITEMS_AT_MOST} of {len(texts)} experiments are in the list.")
        with forgiving(messages):
            if asked:
                raise ValueError(f"there is no experiment “{next(iter(asked))[:32]}” to ask about")
        return items

    def _item(self, text: str, question: str) -> Item:
        head, asks, query = text[: FIELD_AT_MOST + 1].partition("?")
        page, dot, claim = head.partition(".")
        if page not in self.pages:
            raise ValueError(f"there is no page “{page[:32]}” to present; there are {', '.join(self.pages)}")
        if dot and asks:
            raise ValueError(f"“{head[:32]}” is a claim or a link, not both")
        return Item(page, ((CLAIM, claim),), question) if dot else item_of(page, query, question)


def _printable(what: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise ValueError(f"{what} may have at most {longest:,} characters, not {len(text):,}")
    if not text.isprintable():
        raise ValueError(f"{what} is one line of plain characters")
