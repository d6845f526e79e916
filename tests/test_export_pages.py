"""What every page offers to take along, told from the pages themselves: a page with a picture, with numbers, with
something that moves, or with runs of its own has the files that belong to it. (That every picture can be saved as PNG
and SVG is looked up in a browser: test_access_browser.py. What the files hold: the other test_export_….py.)
"""

import threading
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from optviz.experiment import Experiment
from optviz.training import Training
from optviz.ui.frame import PAGES

APP = Path(__file__).parents[1] / "app.py"
PICTURES = {"stage", "chart", "walk"}  # components of ours that draw
MOVING = {"stage", "walk"}
NUMBERS, PAGE, FILM = {"csv", "json"}, {"html"}, {"gif", "mp4"}
CODE = {"py", "ipynb"}
# What a page does not offer, and why. docs/exports.md says it to the reader.
WITHOUT = {
    "app": NUMBERS | PAGE | FILM | CODE,  # its race is there to be watched; that of Descent leaves
    "backprop": FILM,  # a walk is read at one's own pace: its page is stepped through, a film cannot be
}
FEWER = {"optimizers": "sgd~adam"}  # for pages that would measure all of them


@pytest.fixture(scope="module")
def session() -> AppTest:
    at = AppTest.from_file(str(APP), default_timeout=300).run()
    for thread in threading.enumerate():
        if thread.name == "optviz warm-up":
            thread.join()
    return at


@pytest.fixture(autouse=True)
def with_an_encoder(monkeypatch):
    monkeypatch.setattr("optviz.ui.exports.encoder", lambda: "ffmpeg")


def drawn(at: AppTest) -> set[str]:
    names = {node.proto.component_name.rpartition("optviz_")[2] for node in at.get("bidi_component")}
    return names & PICTURES


def offered(at: AppTest) -> dict[str, Any]:
    """The buttons of the panel by the ends of their files' names, which their keys have."""
    protos = [node.proto for node in at.get("download_button")]
    return {proto.id.rpartition("-download")[2]: proto for proto in protos if "-download" in proto.id}


def wanted(at: AppTest, name: str) -> set[str]:
    """What a page should offer, from what it shows."""
    pictures, desk = drawn(at), f"{name}-experiment"
    found = NUMBERS | PAGE if pictures else set()
    found |= FILM if pictures & MOVING else set()
    runs = desk in at.session_state and isinstance(at.session_state[desk], Experiment | Training)
    return found | (CODE if runs else set())


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_a_page_offers_what_it_shows(session, path):
    name = Path(path).stem
    session.query_params.clear()
    session.query_params.update(FEWER if name in ("fair_race", "calibration") else {})
    session.session_state[f"{name}-export"] = True
    session.switch_page(path).run()
    assert not session.exception
    found = offered(session)
    kinds = {suffix.rpartition(".")[2] for suffix in found}
    assert kinds == wanted(session, name) - WITHOUT.get(name, set())
    assert all(proto.help and not proto.disabled for proto in found.values())
    if "py" in kinds:
        assert {"_jax.py", "_optax.py", "_torch.py", "_jax.ipynb"} <= set(found)
