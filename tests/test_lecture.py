"""Lectures and the sheets made from them: they survive a link, have bounds, and nonsense costs a sentence."""

import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from optviz.export import QR_AT_MOST, Task, qr, to_sheet
from optviz.lecture import (
    FIELDS,
    ITEMS_AT_MOST,
    PARTS,
    QUESTION_AT_MOST,
    SIZE,
    Item,
    Lecture,
    Lectures,
    address,
    fields_of,
    item_of,
    opened_at,
    question_of,
)
from optviz.questions import QUESTIONS
from optviz.ui.handout import base_of, checked, for_students, homes, linked, offers, says_of, sheet_of, title_of

PAGES = ("home", "descent", "phase_map", "training")
CODEC = Lectures(PAGES)
EMPTY = Lecture()
A1, A6 = (Item("descent", (("claim", key),)) for key in ("A1", "A6"))
OWN = item_of("descent", "surface=%3Dx**2%2By**2&racer=sgd~lr~0.1&racer=adam", "Wer ist schneller, α & β?")
THREE = Lecture((A1, OWN, A6), topic="Täler <b>")

lines = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=40)
names = st.text("abcdefghij_.", min_size=1, max_size=8).filter(lambda name: name not in FIELDS)
items = st.builds(
    Item,
    st.sampled_from(PAGES),
    st.lists(st.tuples(names | st.just("claim"), lines), max_size=3).map(tuple),
    lines,
)
lectures = st.builds(
    Lecture,
    st.lists(items, max_size=4).map(tuple),
    st.sampled_from(SIZE.options),
    st.lists(st.sampled_from(sorted(PARTS)), unique=True).map(tuple),
    st.floats(0, 60),
    lines,
)


@given(lectures, st.data())
def test_a_link_opens_what_it_was_made_from(lecture, data):
    travelled = parse_qs(urlencode(CODEC.to_query(lecture, EMPTY), doseq=True), keep_blank_values=True)
    assert CODEC.from_query(travelled, EMPTY) == (lecture, [])
    place = data.draw(st.integers(0, max(0, len(lecture.items) - 1)))
    assert CODEC.read(fields_of(lecture, place), EMPTY) == (lecture, place, [])


@given(lectures.filter(lambda lecture: lecture.items), st.data())
def test_the_link_of_a_place_holds_the_experiment_and_the_lecture_and_both_can_be_parted(lecture, data):
    place = data.draw(st.integers(0, len(lecture.items) - 1))
    page, query = opened_at(lecture, place)
    parts = urlsplit(address("http://a.org/base", page, query))
    assert parts.path == f"/base/{'' if page == 'home' else page}"
    travelled = parse_qs(parts.query, keep_blank_values=True)
    own = {name: texts for name, texts in travelled.items() if name not in FIELDS}
    assert own == lecture.items[place].query
    assert CODEC.read({name: travelled[name] for name in travelled if name in FIELDS}, EMPTY) == (lecture, place, [])
    assert item_of(page, parts.query, lecture.items[place].question) == lecture.items[place]


def test_a_list_of_claims_can_be_read_and_written_by_hand():
    query = parse_qs("present=larger&hide=answers~tables&think=0.5&of=descent.A1&of=phase_map&ask=2~Where?&place=2")
    lecture, place, messages = CODEC.read(query, EMPTY)
    assert (place, messages) == (1, [])
    assert lecture == Lecture((A1, Item("phase_map", (), "Where?")), "larger", ("answers", "tables"), 0.5)
    assert A1.write() == "descent.A1"


@given(st.dictionaries(st.sampled_from([*FIELDS, "x"]), st.lists(st.text(max_size=60), max_size=30), max_size=8))
def test_nonsense_never_raises(query):
    lecture, place, messages = CODEC.read(query, EMPTY)
    assert 0 <= place <= max(0, len(lecture.items) - 1)
    assert len(messages) <= 5
    assert CODEC.read(fields_of(lecture, place), EMPTY) == (lecture, place, [])


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"present": ["huge"]}, "usual, large, larger"),
        ({"think": ["1e400"]}, "number in [0, 60]"),
        ({"think": ["nan"]}, "number in [0, 60]"),
        ({"think": ["-1"]}, "number in [0, 60]"),
        ({"hide": ["answers~everything"]}, "everything"),
        ({"of": ["glossary"]}, "no page"),
        ({"of": ["../descent"]}, "no page"),
        ({"of": ["descent.A1?surface=valley"]}, "not both"),
        ({"of": ["descent?x=" + "a" * 100_000]}, "characters"),
        ({"of": ["descent?surface=val%00ley"]}, "plain characters"),
        ({"of": ["descent.A1"], "ask": ["2~Which?"]}, "no experiment “2”"),
        ({"of": ["descent.A1"], "ask": ["1~a\u202eb"]}, "plain characters"),
        ({"of": ["descent.A1"], "ask": ["1~" + "a" * 301]}, "at most 300"),
        ({"of": ["descent.A1"] * 21}, "first 20 of 21"),
        ({"of": ["descent.A1"], "place": ["2"]}, "number of an experiment"),
        ({"place": ["²"]}, "number of an experiment"),
        ({"topic": ["a" * 101]}, "at most 100"),
        ({"topic": ["a\nb"]}, "plain characters"),
        ({"mood": ["good"]}, "no field"),
    ],
)
def test_what_cannot_be_read_costs_a_sentence(query, word):
    lecture, place, messages = CODEC.read(query, EMPTY)
    assert word in " ".join(messages)
    assert all(len(message) < 400 for message in messages)
    assert len(lecture.items) <= ITEMS_AT_MOST
    assert place == 0


def test_an_experiment_that_cannot_be_read_leaves_the_others_their_places():
    query = {"of": ["nowhere.A1", "descent.A1", "phase_map.A6", "descent.A6"], "ask": ["3~Where?"], "place": ["3"]}
    lecture, place, messages = CODEC.read(query, EMPTY)
    assert (lecture.items[place].page, lecture.items[place].question) == ("phase_map", "Where?")
    assert len(messages) == 1
    lecture, place, messages = CODEC.read(query | {"place": ["1"]}, EMPTY)
    assert (place, len(messages)) == (0, 2)


def test_a_list_has_bounds():
    with pytest.raises(ValueError, match="at most 20 experiments"):
        Lecture((A1,) * 21)
    with pytest.raises(ValueError, match=f"at most {QUESTION_AT_MOST}"):
        Item("descent", (), "?" * 301)
    with pytest.raises(ValueError, match="at most 1,500 characters"):
        Item("descent", (("surface", "ä" * 300),))
    long = Item("descent", (("surface", "a" * 1400),))
    with pytest.raises(ValueError, match="servers take about 7,500"):
        Lecture((long,) * 5)
    full = Lecture((long,) * 4)
    assert len(urlencode(opened_at(full, 3)[1], doseq=True)) < 7500  # with the fields of the one that is open


def test_moving_asking_and_taking_away():
    assert THREE.swapped(0, 1).items == (OWN, A1, A6)
    assert THREE.swapped(2, 3) == THREE.swapped(-1, 0) == THREE
    assert THREE.without(1).items == (A1, A6)
    asked = THREE.asking(0, "Why?")
    assert asked.items[0].asked == "Why?"
    assert asked.asking(0, "").items[0].asked == QUESTIONS["A1"]
    assert asked.asking(0, QUESTIONS["A1"]) == THREE  # the claim's own question needs no room in a link


# With the pages' own codecs -------------------------------------------------------------------------------------------


def test_every_claim_of_every_page_has_a_question_and_no_question_is_left_over():
    pairs = {(page, key) for page, home in homes().items() for key in home.cards}
    assert {(item.page, item.claim) for item in offers().values()} == {p for p in pairs if p[0] != "schedules"}
    used = {f"{page}.{key}" if f"{page}.{key}" in QUESTIONS else key for page, key in pairs}
    assert used == set(QUESTIONS)
    for page, key in pairs:
        assert question_of(page, key).endswith(("?", "loss.", "choose from it?"))
        assert len(question_of(page, key)) <= QUESTION_AT_MOST


@pytest.mark.parametrize("name", list(offers()))
def test_a_claim_is_read_by_its_page_and_has_a_title_and_a_sentence(name):
    item = offers()[name]
    assert checked(item) == item
    assert title_of(item) == name
    assert len(says_of(item)) > 20


@pytest.mark.parametrize(
    ("text", "page", "fields"),
    [
        ("https://a.org/class/descent?claim=A3", "descent", {"claim": ["A3"]}),
        ("descent?claim=A3&steps=200", "descent", {"claim": ["A3"], "v": ["1"], "steps": ["200"]}),
        ("http://localhost:8501/", "home", {}),
        ("/phase_map?present=larger&hide=tables&of=descent.A1&place=1", "phase_map", {}),
        ("training/?epochs=40", "training", {"v": ["1"], "epochs": ["40"]}),
    ],
)
def test_a_pasted_link_becomes_what_its_page_would_write(text, page, fields):
    assert (linked(text).page, linked(text).query) == (page, fields)
    assert checked(linked(text)) == linked(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", None),
        ("https://a.org/elsewhere?x=1", "no page"),
        ("glossary?term=lr", "no page"),
        ("descent?claim=Z9", "no claim “Z9”"),
        ("descent?surface=nowhere", "no surface"),
        ("descent?nonsense=1", "no field"),
        ("descent?surface=%3D__import__('os')", "formula cannot contain"),
        ("training?data=own", "no link carries"),
        ("descent?x=" + "a" * 9000, "at most 8,000"),
        ("http://[", "Invalid IPv6"),
        ("descent?" + "&".join(["a=1"] * 200), "fields"),
    ],
)
def test_a_wrong_link_gets_a_sentence(text, word):
    if word is None:
        assert linked(text).page == "home"
        return
    with pytest.raises(ValueError, match=re.escape(word)):
        linked(text)


def test_the_base_survives_a_proxy():
    assert base_of("https://a.org/course/optviz/handout") == "https://a.org/course/optviz"
    assert base_of("http://127.0.0.1:8501/handout/?x=1") == "http://127.0.0.1:8501"
    assert base_of(None) == ""


# The sheet ------------------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """The words of a page, its tags, and the labels of its figures."""

    def __init__(self, page: str):
        super().__init__()
        self.words, self.tags, self.labels = "", [], []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.labels += [value for name, value in attrs if name == "aria-label"]
        assert not [name for name, value in attrs if name.startswith("on") or name in ("src", "href")]


def test_a_sheet_holds_every_question_escaped_and_nothing_that_runs():
    evil = Task("<img src=x onerror=alert(1)>", "<script>alert('x')</script> & \"y\"?", "http://h/<b>", "</li><script>")
    sheet = to_sheet("</title><script>", [evil], "http://h/d")
    read = Reader(sheet)
    assert {"script", "img", "b"} & set(read.tags) == set()
    for text in ("</title><script>", *evil[:2], "h/<b>", evil.says):
        assert text in read.words
    assert "@media print" in sheet


def test_the_sheet_of_a_list():
    read = Reader(sheet_of(THREE, "http://h/base"))
    for number, item in enumerate(THREE.items, 1):
        assert f"{number}. Descent{', ' + item.claim if item.claim else ''}" in read.words
        assert item.asked in read.words
        assert address("h/base", item.page, item.query) in read.words
    assert read.tags.count("svg") == 1 + len(THREE.items)
    assert read.labels[0] == "QR code that opens the whole list"
    assert THREE.topic in read.words
    assert "students" not in read.words
    before, after = read.words.split("What the course says")
    assert says_of(A1) in after
    assert says_of(A1) not in before
    assert homes()["descent"].cards["A1"].title not in before  # a title may tell the answer


def pixels(svg: str, side: int) -> list[list[int]]:
    """The modules of a QR code, drawn from the strokes of its path: each is one row high."""
    rows = [[0] * side for _ in range(side)]
    (path,) = re.findall(r'class="qrline"[^>]* d="([^"]+)"', svg)
    x = y = 0.0
    for command, numbers in re.findall(r"([Mmh])([^Mmh]*)", path):
        values = [float(number) for number in re.findall(r"-?\d*\.?\d+", numbers)]
        if command == "M":
            x, y = values
        elif command == "m":
            x, y = x + values[0], y + values[1]
        else:
            for column in range(round(values[0])):
                rows[int(y)][int(x) + column] = 1
            x += values[0]
    return rows


def test_a_qr_code_draws_the_modules_that_encode_the_link():
    link = address("http://h:8501", *opened_at(THREE, 0))
    matrix = [list(row) for row in segno.make(link, error="l", micro=False).matrix]
    side = len(matrix) + 8  # with a margin of four on either side
    drawn = pixels(qr(link), side)
    assert [row[4:-4] for row in drawn[4:-4]] == matrix
    assert sum(map(sum, drawn)) == sum(map(sum, matrix))
    assert qr(link) != qr(link + "x")


def test_a_link_too_long_for_a_qr_code_is_refused_and_stands_on_the_sheet_all_the_same():
    assert "svg" in qr("a" * QR_AT_MOST)
    with pytest.raises(ValueError, match="at most 2,953"):
        qr("ä" * (QR_AT_MOST // 2 + 1))
    read = Reader(to_sheet("T", [Task("t", "q?", "http://" + "a" * 3000)], "http://b"))
    assert "a" * 3000 in read.words
    assert read.tags.count("svg") == 1
    read = Reader(to_sheet("T", [Task("t", "q?", "http://b")], "http://" + "c" * 3000))
    assert "c" * 3000 in read.words
    assert read.tags.count("svg") == 1


def test_what_students_get_hides_the_answers_only():
    students = for_students(THREE)
    assert (students.size, students.hide, students.minutes) == ("usual", ("answers",), 0)
    assert students.items == THREE.items
    assert quote("Täler", safe="") in address("", *opened_at(students, 0))
