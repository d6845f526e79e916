"""The handout: a teacher picks experiments, orders them, asks, and gets a link, a QR code and a sheet to print.

What lies on the desk is a `Lecture`. Its experiments come from the claims of all pages, or from links of one's own;
each link is read by the codec of its page before it enters the list, and kept as that codec writes it. So a list holds
only what its pages can show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import streamlit as st

from optviz import (
    backprop,
    basin_map,
    calibration,
    cloud,
    cloud_link,
    fair_race,
    link,
    phase_map,
    phase_map_link,
    range_test,
    second_order_link,
    stability,
    taylor,
    training_link,
)
from optviz.export import Task, qr, to_sheet
from optviz.lecture import (
    CLAIM,
    MINUTES,
    PARTS,
    QUESTION_AT_MOST,
    SIZE,
    TOPIC_AT_MOST,
    Item,
    Lecture,
    Lectures,
    address,
    item_of,
    opened_at,
)
from optviz.rate_claims import NETWORK_RATE_CLAIMS, ON_NETWORKS, ON_SURFACES, RATE_CLAIMS
from optviz.ui.basin_map import CODEC as BASIN_MAPS
from optviz.ui.calibration import CODEC as CALIBRATIONS
from optviz.ui.controls import show
from optviz.ui.desk import Codec, Desk, plain
from optviz.ui.fair_race import CODEC as FAIR_RACES
from optviz.ui.frame import PAGES, presentable
from optviz.ui.presets import RAVINE, SADDLE, TWO_PATHS
from optviz.ui.range_test import CODEC as RANGE_TESTS
from optviz.ui.schedules import CODEC as SCHEDULES
from optviz.ui.schedules import NOISY_VALLEY, PRESETS
from optviz.ui.stability import CODEC as STABILITIES
from optviz.ui.training import MOONS
from optviz.verdict import Card

CODEC = Lectures(tuple(presentable()))
STARTER = Lecture(
    tuple(Item(page, ((CLAIM, claim),)) for page, claim in (("descent", "A1"), ("descent", "A6"), ("phase_map", "A6"))),
    topic="Momentum in a narrow valley",
)
LINK_AT_MOST = 8000  # characters of a link that is pasted


class Home(NamedTuple):
    """What a page's links mean: what its desk begins with, its presets, its codec, and the cards of its claims."""

    default: Any
    presets: Mapping[str, Any]
    codec: Codec
    cards: Mapping[str, Card]


@cache
def homes() -> dict[str, Home]:
    """Every page that can be presented. Each says the same when it makes its desk, and a test compares them."""

    def of(claims: Mapping[str, Any], name: str) -> dict[str, Any]:
        return {key: getattr(claim, name) for key, claim in claims.items()}

    rates = RATE_CLAIMS | NETWORK_RATE_CLAIMS
    looks, tests = taylor.CLAIMS, range_test.RANGE_CLAIMS
    return {
        "home": Home(SADDLE, {}, link, {}),
        "descent": Home(RAVINE, of(ON_SURFACES, "experiment"), link, ON_SURFACES),
        "phase_map": Home(phase_map.PLANE, of(phase_map.CLAIMS, "map"), phase_map_link, phase_map.CLAIMS),
        "basin_map": Home(basin_map.HILLS, of(basin_map.CLAIMS, "basin_map"), BASIN_MAPS, basin_map.CLAIMS),
        "fair_race": Home(fair_race.NOISY_VALLEY, of(fair_race.CLAIMS, "race"), FAIR_RACES, fair_race.CLAIMS),
        "cloud": Home(cloud.VALLEY, of(cloud.CLAIMS, "cloud"), cloud_link, cloud.CLAIMS),
        "second_order": Home(taylor.VALLEY, of(looks, "shown"), second_order_link, looks),
        "stability": Home(STABILITIES.surface, of(stability.CLAIMS, "stability"), STABILITIES, stability.CLAIMS),
        "schedules": Home(NOISY_VALLEY, PRESETS, SCHEDULES, rates),
        "range_test": Home(range_test.DIGITS, of(tests, "test"), RANGE_TESTS, tests),
        "calibration": Home(
            CALIBRATIONS.surface, of(calibration.CLAIMS, "calibration"), CALIBRATIONS, calibration.CLAIMS
        ),
        "training": Home(MOONS, of(ON_NETWORKS, "training"), training_link, ON_NETWORKS),
        "backprop": Home(TWO_PATHS, {"C2": TWO_PATHS}, backprop, {"C2": ON_NETWORKS["C2"]}),
    }


@cache
def offers() -> dict[str, Item]:
    """The claims of all pages, by what they are called in the menu. Those of the schedules page are others' too."""
    found = {}
    for page, home in homes().items():
        if page != "schedules":
            for key, card in home.cards.items():
                found[f"{key} · {card.title} ({_page_title(page)})"] = Item(page, ((CLAIM, key),))
    return found


@lru_cache(maxsize=256)
def checked(item: Item) -> Item:
    """The item as the codec of its page writes it. Raises ValueError if that cannot read all of it."""
    home = homes()[item.page]
    query = item.query
    claim = (query.pop(CLAIM, None) or [""])[-1]
    if claim and claim not in home.presets:
        raise ValueError(f"the page {_page_title(item.page)} has no claim “{claim[:16]}”")
    default = home.presets.get(claim, home.default)
    value, messages = home.codec.from_query(query, default)
    if messages:
        sentence = messages[0].partition("\n")[0].removeprefix("Part of the link could not be read: ")
        raise ValueError(sentence.removesuffix(" The default stands in for it."))
    fields = ((CLAIM, claim),) if claim else ()
    fields += tuple((name, text) for name, texts in home.codec.to_query(value, default).items() for text in texts)
    return Item(item.page, fields, item.question)


def linked(text: str) -> Item:
    """The experiment that a pasted link opens, here or on another server. Raises ValueError, with what is allowed."""
    text = text.strip()
    if len(text) > LINK_AT_MOST:
        raise ValueError(f"a link may have at most {LINK_AT_MOST:,} characters, not {len(text):,}")
    parts = urlsplit(text)
    page = parts.path.rstrip("/").rpartition("/")[2] or "home"
    if page not in homes():
        raise ValueError(f"“{page[:32]}” is no page with experiments; there are {', '.join(homes())}")
    return checked(item_of(page, parts.query))


def title_of(item: Item) -> str:
    """What an experiment is called in a list."""
    home = homes().get(item.page)
    card = home.cards.get(item.claim) if home else None
    changed = ", changed" if len(item.fields) > 1 else ""
    return f"{card.key} · {card.title} ({_page_title(item.page)}{changed})" if card else _page_title(item.page)


def says_of(item: Item) -> str:
    """What the course says of it; "" where there is no claim, or where it was changed."""
    card = homes()[item.page].cards.get(item.claim)
    return f"{card.title}. {card.says}" if card and len(item.fields) == 1 else ""


def for_students(lecture: Lecture) -> Lecture:
    """The same list for reading alone: usual type, nothing hidden but the answers, no timer."""
    return replace(lecture, size="usual", hide=("answers",), minutes=0.0)


def base_of(url: str | None) -> str:
    """Where the app lies, from the handout's own address: a folder of a proxy stays. "" where it is not known."""
    return (url or "").partition("?")[0].rstrip("/").removesuffix("/handout")


def sheet_of(lecture: Lecture, base: str) -> str:
    """The sheet to print. A claim's title may tell the answer, so it stands with what the course says."""
    tasks = [
        Task(
            ", ".join(filter(None, [_page_title(item.page), item.claim])),
            item.asked,
            address(base, item.page, item.query),
            says_of(item),
        )
        for item in lecture.items
    ]
    return to_sheet(lecture.topic or "Predict, then run", tasks, address(base, *opened_at(for_students(lecture), 0)))


# The page -------------------------------------------------------------------------------------------------------------


def choice_panel(desk: Desk[Lecture]) -> None:
    """What goes into the list, and how it is shown."""
    lecture = desk.experiment
    st.subheader("Choose")
    key = desk.key("claim")
    st.selectbox(
        "Add a claim",
        list(offers()),
        index=None,
        key=key,
        placeholder="Choose a claim of the course",
        help="Each opens an experiment that measures it, and brings a question of its own.",
        on_change=_add(desk, key, lambda label: offers()[label]),
    )
    key = desk.key("link")
    st.text_input(
        "Add an experiment of your own",
        key=key,
        max_chars=LINK_AT_MOST,
        placeholder="Paste its link",
        help="Any link of this app, from *Copy link* or the address bar. All of it must be right.",
        on_change=_add(desk, key, linked),
    )
    st.subheader("Show")
    key = _holding(desk, "topic", lecture.topic)
    st.text_input(
        "Title",
        key=key,
        max_chars=TOPIC_AT_MOST,
        placeholder="Lecture 3",
        help="Stands above the questions and on the sheet.",
        on_change=desk.callback(lambda old, text: replace(old, topic=_one_line(text)), key),
    )
    key = _holding(desk, "size", lecture.size)
    st.segmented_control(
        SIZE.label,
        SIZE.options,
        key=key,
        help=SIZE.help,
        on_change=desk.callback(lambda old, size: replace(old, size=size or old.size), key),
    )
    key = _holding(desk, "hide", list(lecture.hide))
    st.multiselect(
        "Out of sight",
        list(PARTS),
        key=key,
        help="A key brings each back. " + " ".join(f"**{part}**: {what}." for part, what in PARTS.items()),
        on_change=desk.callback(lambda old, parts: replace(old, hide=tuple(parts)), key),
    )
    key = _holding(desk, "minutes", lecture.minutes)
    st.number_input(
        MINUTES.label,
        0.0,
        60.0,
        step=0.5,
        format="%g",
        key=key,
        help=MINUTES.help,
        on_change=desk.callback(lambda old, minutes: replace(old, minutes=minutes), key),
    )


def list_panel(desk: Desk[Lecture]) -> None:
    """The experiments in their order, each with its question."""
    items = desk.experiment.items
    st.subheader("Experiments and questions")
    if not items:
        st.markdown("The list is empty. Choose a claim, or paste the link of an experiment of your own.")
    for place, item in enumerate(items):
        with st.container(border=True, gap="small"):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"**{place + 1}.** {title_of(item)}", width="stretch")
                _button(
                    desk, place, "Up", "up", ":material/arrow_upward:", partial(_swapped, place, place - 1), place == 0
                )
                last = place == len(items) - 1
                _button(
                    desk, place, "Down", "down", ":material/arrow_downward:", partial(_swapped, place, place + 1), last
                )
                _button(desk, place, "Remove", "out of the list", ":material/delete:", partial(_without, place))
            key = _holding(desk, f"question-{place}", item.asked)
            st.text_area(
                f"Question {place + 1}",
                key=key,
                height="content",
                max_chars=QUESTION_AT_MOST,
                placeholder="What do you expect to see, and why?",
                label_visibility="collapsed",
                on_change=desk.callback(partial(_asking, place), key),
            )
            try:
                checked(item)
            except ValueError as error:
                st.warning(plain(str(error)), icon=":material/error_outline:")


def given_panel(desk: Desk[Lecture]) -> None:
    """What comes of it: links, the QR code, the sheet."""
    lecture = desk.experiment
    if not lecture.items:
        return
    base = base_of(st.context.url)
    page, query = opened_at(lecture, 0)
    shared = address(base, *opened_at(for_students(lecture), 0))
    st.subheader("Hand out")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            presentable()[page],
            label="Present now",
            icon=":material/co_present:",
            query_params=query,
            help="Opens the first experiment."
            + " Page Down and Page Up (or a remote) lead on and back." * (lecture.size != "usual"),
        )
        st.download_button(
            "Sheet to print",
            partial(sheet_of, lecture, base),
            file_name="optviz_handout.html",
            mime="text/html",
            icon=":material/print:",
            key=desk.key("sheet"),
            help="One file with all questions, lines to write on and a QR code for each experiment.",
            on_click="ignore",
        )
    links, code = st.columns([3, 1], gap="medium")
    with links:
        st.caption("For the projector: the size of type you chose, and what you chose out of sight.")
        st.code(address(base, page, query), language=None, wrap_lines=True, height=110)
        st.caption("For students: the same list at the usual size, with the answers behind a button.")
        st.code(shared, language=None, wrap_lines=True, height=110)
    with code:
        try:
            st.image(qr(shared), width="stretch", caption="The students' link", alt="QR code of the students' link")
        except ValueError as error:
            st.info(f"No QR code: {error}.")


def _page_title(name: str) -> str:
    path = presentable()[name]
    return next(page.title for page in PAGES if page.path == path)


def _add(desk: Desk[Lecture], key: str, item: Callable[[str], Item]) -> Callable[[], None]:
    """Put what was chosen at the end of the list, and empty the widget."""

    def used() -> None:
        chosen = st.session_state[key]
        if chosen:
            desk.take([lambda old: old.add(item(chosen))])
            if not st.session_state[desk.key("messages")]:
                st.session_state[key] = None if key.endswith("claim") else ""

    return used


def _holding(desk: Desk[Lecture], name: str, value: object) -> str:
    """The key of a widget that shows what is on the desk, whatever it showed before."""
    key = desk.key(name)
    show(key, value)
    return key


def _button(
    desk: Desk[Lecture],
    place: int,
    label: str,
    way: str,
    icon: str,
    change: Callable[[Lecture, Any], Lecture],
    disabled: bool = False,
) -> None:
    st.button(
        label,
        icon=icon,
        key=desk.key(f"{label.lower()}-{place}"),
        type="tertiary",
        help=f"Move experiment {place + 1} {way}",
        disabled=disabled,
        on_click=desk.callback(change),
    )


def _swapped(place: int, other: int, old: Lecture, _: object) -> Lecture:
    return old.swapped(place, other)


def _without(place: int, old: Lecture, _: object) -> Lecture:
    return old.without(place)


def _asking(place: int, old: Lecture, text: str | None) -> Lecture:
    return old.asking(place, _one_line(text))


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
