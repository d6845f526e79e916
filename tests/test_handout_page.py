"""The handout page and the presenter's view: lists are made and shown, and what is hidden comes back."""

import io
import json
import os
import re
from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import streamlit
from PIL import Image
from streamlit.testing.v1 import AppTest

from browsing import Visitor
from desks import APP, Laboratory
from optviz.claims import CLAIMS
from optviz.lecture import FIELDS, PARTS, Item, Lecture, address, fields_of, opened_at
from optviz.questions import QUESTIONS
from optviz.ui import present
from optviz.ui.desk import Desk
from optviz.ui.frame import presentable
from optviz.ui.handout import CODEC, STARTER, checked, for_students, homes, title_of

PAGE = Laboratory("handout", STARTER, CODEC.to_query)
A1, A6 = (Item("descent", (("claim", key),)) for key in ("A1", "A6"))
OWN = Item("descent", (("v", "1"), ("surface", "sphere"), ("steps", "200")), "Own question?")


@pytest.fixture(scope="module")
def session() -> AppTest:
    return PAGE.open()


@pytest.fixture
def page(session) -> AppTest:
    return PAGE.reset(session)


def in_address(at: AppTest) -> dict[str, list[str]]:
    """The fields of the address: a test session gives those with one value bare, or in a list of one."""
    values = {name: at.query_params[name] for name in at.query_params}
    return {name: [value] if isinstance(value, str) else list(value) for name, value in values.items()}


def given(at: AppTest) -> list[str]:
    """The links that the page gives: for the projector, and for students."""
    return [box.value for box in at.code]


def test_the_page_opens_with_a_list_its_links_and_its_code(page):
    assert [box.value for box in page.text_area] == [item.asked for item in STARTER.items]
    projector, students = given(page)
    assert projector == address("", *opened_at(STARTER, 0))
    assert students == address("", *opened_at(for_students(STARTER), 0))


def test_claims_and_links_enter_the_list_and_wrong_ones_do_not(page):
    page.selectbox(key="handout-claim").select("A3 · The stall at a saddle (Descent)").run()
    assert PAGE.lying(page).items[-1] == Item("descent", (("claim", "A3"),))
    assert page.selectbox(key="handout-claim").value is None
    page.text_input(key="handout-link").input("https://a.org/x/descent?surface=sphere&steps=200").run()
    assert PAGE.lying(page).items[-1] == Item("descent", OWN.fields)
    assert page.text_input(key="handout-link").value == ""
    before = PAGE.lying(page)
    page.text_input(key="handout-link").input("https://a.org/x/descent?surface=[nowhere](x)").run()
    assert PAGE.lying(page) == before
    assert "no surface called" in page.warning[0].value
    assert "\\[nowhere\\]" in page.warning[0].value


def test_the_list_is_ordered_asked_about_and_shown_as_chosen(page):
    page.button(key="handout-down-0").click().run()
    assert PAGE.lying(page).items == (STARTER.items[1], STARTER.items[0], STARTER.items[2])
    page.text_area(key="handout-question-1").input("Why\n <b>so</b>?").run()
    assert PAGE.lying(page).items[1].asked == "Why <b>so</b>?"
    page.button(key="handout-remove-2").click().run()
    page.text_input(key="handout-topic").input("Week 3").run()
    page.multiselect(key="handout-hide").set_value(["tables"]).run()
    page.number_input(key="handout-minutes").set_value(0.5).run()
    wanted = Lecture((A6, Item("descent", A1.fields, "Why <b>so</b>?")), "large", ("tables",), 0.5, "Week 3")
    assert PAGE.lying(page) == wanted
    assert parse_qs(urlsplit(given(page)[0]).query) == {"claim": ["A6"], **fields_of(wanted, 0)}
    assert CODEC.from_query(in_address(page), STARTER) == (wanted, [])


def test_a_list_from_a_bad_link_says_what_is_wrong_with_it(page):
    page.query_params.update({"of": ["descent.A1", "descent.Z9", "nowhere.A1"], "think": "nan"})
    page.run()
    assert [item.claim for item in PAGE.lying(page).items] == ["A1", "Z9"]
    warnings = " ".join(box.value for box in page.warning)
    assert "no page" in warnings
    assert "no claim “Z9”" in warnings
    assert not page.exception


def test_a_list_beyond_a_link_is_refused_with_a_sentence(page):
    for place in range(3):  # a question of 300 signs takes 2,700 characters of a link
        page.text_area(key=f"handout-question-{place}").input("漢" * 300).run()
    assert "servers take about" in page.warning[0].value
    assert sum(bool(item.question) for item in PAGE.lying(page).items) == 2
    assert not page.exception


# What the handout says of the pages, and what they say themselves -----------------------------------------------------


@pytest.mark.parametrize("name", list(presentable()))
def test_a_page_can_be_presented_and_means_by_its_links_what_the_handout_thinks(name, monkeypatch):
    made = []

    def opened(desk: Desk, arrived: bool) -> None:
        made.append(desk)
        original(desk, arrived)
        desk.say()
        desk.publish()
        streamlit.stop()  # what the page computes is for its own tests

    original = Desk.open
    monkeypatch.setattr(Desk, "open", opened)
    lecture = Lecture((A1, Item(name)), "larger", ("answers", "tables"), 1.0, "T")
    at = AppTest.from_file(str(APP), default_timeout=300)
    if name != "home":
        at.run().switch_page(presentable()[name])
        at.session_state["page"] = ""
    at.query_params.update(fields_of(lecture, 1))
    at.run()
    assert not at.exception
    desk = made[-1]
    home = homes()[name]
    assert (desk.home, dict(desk.presets)) == (home.default, dict(home.presets))
    assert desk.codec == home.codec
    assert [box.value for box in at.warning if "no field" in box.value] == []  # no codec meets a field of the lecture
    assert in_address(at) == fields_of(lecture, 1)
    (node,) = [one for one in at.get("bidi_component") if one.proto.component_name.endswith("optviz_lectern")]
    record = json.loads(node.proto.json)
    assert record["place"] == "2 of 2"
    assert [part["name"] for part in record["parts"]] == ["answers", "tables"]


def test_every_part_that_can_be_hidden_has_a_place_on_the_page():
    assert list(present.SELECTORS) == list(PARTS)
    assert present.RULES.count("display: none") == len(PARTS) + 1


# In a browser ---------------------------------------------------------------------------------------------------------


class Speaker(Visitor):
    """A teacher at the projector."""

    def present(self, lecture: Lecture, place: int = 0) -> "Speaker":
        page, query = opened_at(lecture, place)
        self.open(f"/{page}?{urlencode(query, doseq=True)}")
        self.page.wait_for_selector(".oz-lectern[data-ready=true]")
        return self

    @property
    def question(self) -> str:
        return self.page.locator(".oz-lectern-question").inner_text()

    def size(self) -> float:
        return self.page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")

    def shows(self, selector: str) -> bool:
        return self.page.locator(selector).first.is_visible()


@pytest.fixture
def speaker(window) -> Speaker:
    return window(Speaker)


LIST = Lecture((A1, OWN, Item("backprop", (("claim", "C2"),)), A6), "large", ("answers", "controls", "navigation"), 0.1)
CLAIM, CONTROLS, LINKS = ".st-key-descent-claim", ".stSelectbox", ".st-key-navigation [data-testid=stPageLink]"


def test_a_remote_leads_through_the_list_and_each_experiment_is_the_right_one(speaker):
    speaker.present(LIST)
    assert speaker.question == QUESTIONS["A1"]
    speaker.page.keyboard.press("PageDown")
    speaker.until_query(lambda query: query.get("place") == ["2"], "the second experiment")
    speaker.page.get_by_text("Own question?").wait_for()
    assert (speaker.query["surface"], speaker.query["steps"], "claim" in speaker.query) == (["sphere"], ["200"], False)
    speaker.settled()
    assert speaker.until(lambda state: state["steps"] == 200, "the experiment of the link")["steps"] == 200
    speaker.page.keyboard.press("PageDown")  # to another page
    speaker.until_query(lambda query: query.get("place") == ["3"], "the third experiment")
    speaker.page.wait_for_url("**/backprop?**")
    speaker.page.get_by_text(QUESTIONS["C2"]).wait_for()
    speaker.page.wait_for_selector(".oz-walk[data-ready=true]")
    speaker.idle()  # the whole page is there, not the question alone
    speaker.page.keyboard.press("PageUp")
    speaker.page.wait_for_url("**/descent?**")
    speaker.until_query(lambda query: query.get("place") == ["2"], "back at the second")
    speaker.settled()
    speaker.page.get_by_role("link", name="1", exact=False).locator("visible=true").first.click()
    speaker.until_query(lambda query: query.get("claim") == ["A1"], "back at the first, by its link")


def test_what_is_hidden_comes_back_and_type_is_large_until_one_leaves(speaker):
    speaker.present(LIST)
    speaker.page.locator(CLAIM).wait_for(state="attached")
    assert [speaker.shows(one) for one in (CLAIM, CONTROLS, LINKS)] == [False, False, False]
    assert speaker.size() == 24
    assert speaker.page.evaluate("getComputedStyle(document.querySelector('.oz-stage')).fontSize") == "21.6px"
    for key, selector in (("1", CLAIM), ("2", CONTROLS), ("4", LINKS)):
        speaker.page.keyboard.press(key)
        speaker.page.locator(selector).first.wait_for(state="visible")
    button = speaker.page.get_by_role("button", name="Answers")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    speaker.page.locator(CLAIM).wait_for(state="hidden")
    speaker.page.keyboard.press("Escape")
    speaker.until_query(lambda query: query == {"claim": ["A1"]}, "nothing of the presentation in the address")
    speaker.page.locator(CLAIM).wait_for(state="visible")
    assert speaker.size() == 16
    speaker.page.locator(".oz-present-begin[aria-keyshortcuts=p]").wait_for()  # until then nothing hears the key
    speaker.page.keyboard.press("p")
    query = speaker.until_query(lambda query: "present" in query, "presented again")
    assert query == {"claim": ["A1"], **fields_of(Lecture(hide=("controls", "navigation", "tools")))}
    speaker.page.locator(CONTROLS).first.wait_for(state="hidden")


def test_the_timer_runs_pauses_and_ends_in_the_browser(speaker):
    speaker.present(replace(LIST, minutes=0.3))
    timer = speaker.page.locator(".oz-lectern-timer")
    said = speaker.page.locator(".oz-lectern-said")
    assert "0:18" in timer.inner_text()
    speaker.page.keyboard.press("t")
    speaker.page.wait_for_function("/0:1[0-7]/.test(document.querySelector('.oz-lectern-timer').textContent)")
    assert said.inner_text() == "Think. The time runs."
    assert said.get_attribute("aria-live") == "polite"
    timer.click()
    stood = timer.inner_text()
    assert timer.get_attribute("data-state") == "pauses"
    speaker.page.wait_for_timeout(1200)
    assert timer.inner_text() == stood
    timer.press("Enter")
    speaker.page.wait_for_selector(".oz-lectern-timer[data-state=over]")
    assert timer.inner_text() == "Time to vote"
    assert said.inner_text() == "Time is up. Vote."


def test_a_slider_moves_while_presenting_and_the_lecture_stays_in_the_address(speaker):
    speaker.present(LIST)
    speaker.page.keyboard.press("2")
    before = speaker.query
    speaker.nudge("Condition number")
    after = speaker.until_query(lambda query: "surface" in query, "the slider in the address")
    assert {name: after[name] for name in FIELDS if name in after} == {n: before[n] for n in FIELDS if n in before}
    speaker.page.reload()
    speaker.settled()
    assert speaker.query == after
    assert speaker.question == QUESTIONS["A1"]


def test_a_question_from_a_stranger_is_only_words(speaker):
    speaker.present(Lecture((Item("descent", A1.fields, "<img src=x onerror=alert(1)> **so**?"),), topic="<b>T</b>"))
    assert speaker.question == "<img src=x onerror=alert(1)> **so**?"
    assert speaker.page.locator(".oz-lectern img, .oz-lectern b").count() == 0


def scanned(picture: bytes) -> list[str]:
    """What a reader of QR codes that knows nothing of the library which drew them makes of a picture."""
    if os.environ.get("OPTVIZ_CI") == "1":
        import zxingcpp
    else:
        zxingcpp = pytest.importorskip("zxingcpp")
    return [code.text for code in zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))]


def test_a_teacher_makes_a_list_and_presents_it(window):
    teacher = window(Speaker)
    teacher.page.goto(teacher.base + "/handout")
    teacher.page.get_by_role("button", name="Sheet to print").wait_for()
    with teacher.page.expect_download() as loading:
        teacher.page.get_by_role("button", name="Sheet to print").click()
    sheet = loading.value.path().read_text(encoding="utf-8")
    assert f"{urlsplit(teacher.base).netloc}/descent?claim=A1" in sheet
    assert "Which of them swings from wall to" in sheet
    projector, students = teacher.page.get_by_test_id("stCode").all_inner_texts()
    assert re.sub(r"\s", "", projector) == address(teacher.base, *opened_at(STARTER, 0))
    shared = re.sub(r"\s", "", students)
    code = teacher.page.get_by_role("img", name="QR code of the students' link")
    assert scanned(code.screenshot()) == [shared]
    printed = teacher.page.context.new_page()
    printed.set_content(sheet)
    links = [scanned(figure.screenshot()) for figure in printed.locator("figure.qr").all()]
    assert links[0] == [shared]
    assert len(links) == 1 + len(STARTER.items)
    printed.close()
    teacher.page.get_by_role("link", name="Present now").click()
    teacher.page.wait_for_url("**/descent?**")
    teacher.settled()
    assert teacher.question == QUESTIONS["A1"]
    assert title_of(checked(A1)) == f"A1 · {CLAIMS['A1'].title} (Descent)"
    assert shared.startswith(f"{teacher.base}/descent?claim=A1&present=usual&hide=answers")
