"""The page of the range test as Streamlit runs it, without a browser: controls, curve, rules, links and hand-over."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from desks import records
from optviz.experiment import Experiment, Pick, Racer
from optviz.range_test import DIGITS, SUGGESTIONS, RangeTest, disagreement, handed_over, marks, measure, suggestions
from optviz.spec import number
from optviz.training import Configuration, Net, Training
from optviz.ui import schedules
from optviz.ui.range_test import CODEC, NOISY_VALLEY, page_of

APP = Path(__file__).parents[1] / "app.py"
PAGE = "pages/range_test.py"
QUICK = RangeTest(NOISY_VALLEY, test_steps=100)
SMALL = RangeTest(
    Training(Pick("moons"), (Configuration(Net(hidden=(4,)), Racer(Pick("sgd"))),), batch_size=16), test_steps=60
)


@pytest.fixture(scope="module")
def session() -> AppTest:
    """The page, opened on a surface, which compiles quickly."""
    at = AppTest.from_file(str(APP), default_timeout=300).run()
    at.session_state["page"] = ""
    at.session_state["range_test-experiment"] = QUICK
    return at.switch_page(PAGE).run()


@pytest.fixture
def laboratory(session) -> Iterator[AppTest]:
    session.query_params.clear()
    open_test(session, QUICK)
    yield session
    assert not session.exception


def lying(at: AppTest) -> RangeTest:
    return at.session_state["range_test-experiment"]


def open_test(at: AppTest, wanted: RangeTest, **more: str) -> AppTest:
    at.query_params.clear()
    at.query_params.update({**CODEC.to_query(wanted, DIGITS), **more})
    at.run()
    assert not at.exception
    assert lying(at) == wanted
    return at


def chart(at: AppTest) -> dict:
    return records(at)[0]["figure"]


def labels(at: AppTest) -> str:
    return " ".join(one["text"] for one in chart(at)["layout"]["annotations"])


def table(at: AppTest) -> str:
    return next(element.value for element in at.markdown if "When it is fooled" in element.value)


def test_the_picture_and_the_table_name_the_same_rates(laboratory):
    found = measure(QUICK)
    rates = suggestions(found)
    apart = disagreement(rates)
    assert apart is not None
    for key, rate in rates.items():
        assert rate is not None
        assert f"{SUGGESTIONS[key].title} {number(rate, 3)}" in labels(laboratory)
        assert number(rate, 3) in table(laboratory)
        assert SUGGESTIONS[key].fooled in table(laboratory)
    said = " ".join(element.value for element in laboratory.markdown)
    assert f"disagree by a factor of {number(apart, 3)}" in said
    assert "Stopped at" in labels(laboratory)
    assert "four times its best" in said
    assert "lags by about 19 steps" in said


def test_no_two_labels_share_a_row(laboratory):
    rows = [one["yshift"] for one in chart(laboratory)["layout"]["annotations"]]
    assert len(set(rows)) == len(rows)


def test_the_chart_has_words_for_those_who_do_not_see_it(laboratory):
    alt = records(laboratory)[0]["alt"]
    assert "Loss against the learning rate" in alt
    assert "Steepest" in alt
    assert "stopped" in alt


def test_switching_the_smoothing_off_draws_and_judges_the_raw_loss(laboratory):
    laboratory.toggle(key="range_test-smooth").set_value(False).run()
    assert lying(laboratory).smoothing == 0
    assert any("Raw loss, median" in trace.get("name", "") for trace in chart(laboratory)["data"])
    laboratory.toggle(key="range_test-smooth").set_value(True).run()
    assert lying(laboratory).smoothing == QUICK.smoothing


def test_a_slider_changes_the_test_and_the_address(laboratory):
    laboratory.select_slider(key="range_test-test_steps").set_value(50).run()
    assert lying(laboratory).test_steps == 50
    assert laboratory.query_params["test_steps"] == "50"
    laboratory.select_slider(key="range_test-high_rate").set_value(0.001).run()
    laboratory.select_slider(key="range_test-low_rate").set_value(0.1).run()
    assert lying(laboratory).low_rate == QUICK.low_rate  # refused, with a sentence
    assert "below the highest" in laboratory.warning[0].value


def test_the_marks_follow_the_curve_until_they_are_moved(laboratory):
    base, _ = marks(QUICK, measure(QUICK))
    assert laboratory.select_slider(key="range_test-base").value == base
    laboratory.select_slider(key="range_test-top").set_value(0.1).run()
    assert (lying(laboratory).base, lying(laboratory).top) == (base, 0.1)
    assert f"Cycle {number(base, 3)} to 0.1" in labels(laboratory)
    laboratory.selectbox(key="range_test-optimizer").set_value("momentum").run()
    assert (lying(laboratory).base, lying(laboratory).top) == (None, None)


def test_another_surface_and_its_own_parameters(laboratory):
    laboratory.selectbox(key="range_test-surface").set_value("rosenbrock").run()
    assert isinstance(lying(laboratory).subject, Experiment)
    laboratory.selectbox(key="range_test-surface").set_value("valley").run()
    laboratory.select_slider(key="range_test-valley-kappa").set_value(100.0).run()
    subject = lying(laboratory).subject
    assert isinstance(subject, Experiment)
    assert subject.surface == Pick("valley", {"kappa": 100.0})
    laboratory.select_slider(key="range_test-surface-noise").set_value(0.0).run()
    assert any("all seeds are the same run" in element.value for element in laboratory.markdown)


def test_a_network_and_what_it_is_made_of(laboratory):
    open_test(laboratory, SMALL)
    laboratory.text_input(key="range_test-hidden").set_value("6").run()
    subject = lying(laboratory).subject
    assert isinstance(subject, Training)
    assert subject.configurations[0].net.hidden == (6,)
    laboratory.text_input(key="range_test-hidden").set_value("six").run()
    assert "whole numbers" in laboratory.warning[0].value
    laboratory.selectbox(key="range_test-dataset").set_value("wave").run()
    subject = lying(laboratory).subject
    assert isinstance(subject, Training)
    assert (subject.task, subject.configurations[0].net.loss) == ("regression", "squared_error")


def test_a_rule_that_suggests_nothing_says_so(laboratory):
    open_test(laboratory, RangeTest(replace(NOISY_VALLEY, noise=0.0, start=(0.0, 0.0)), test_steps=50))
    assert table(laboratory).count("none: the loss never fell") == 3


@pytest.mark.parametrize("use", ["one_cycle", "cycles"])
def test_a_run_with_these_numbers_opens_by_a_link(use):
    for test in (QUICK, SMALL):
        value = handed_over(test, 0.001, 0.05, use)
        path, query = page_of(value)
        assert path == "pages/schedules.py"
        assert schedules.CODEC.from_query(query, schedules.NOISY_VALLEY) == (value, [])


def test_the_claim_is_measured_on_the_page(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params.update({"claim": "B8", **CODEC.to_query(QUICK, DIGITS)})
    laboratory.run()
    assert not laboratory.exception
    assert any("Measured here" in element.value and "maximum at η" in element.value for element in laboratory.markdown)
    laboratory.button(key="range_test-close-claim").click().run()
    assert not any("Measured here" in element.value for element in laboratory.markdown)


def test_nonsense_in_a_link_costs_a_sentence(laboratory):
    laboratory.query_params.clear()
    laboratory.query_params.update({**CODEC.to_query(QUICK, DIGITS), "spacing": "sideways"})
    laboratory.run()
    assert lying(laboratory) == QUICK
    assert "one of exponential, linear" in laboratory.warning[0].value
