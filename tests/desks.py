"""A page of the app as Streamlit's own test session runs it, without a browser: what tests of pages share.

A `Laboratory` knows what lies on a page's desk: where Reset leads, and how a link to anything else is written.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[1] / "app.py"


@dataclass(frozen=True)
class Laboratory:
    """A page with a desk. `home` is what an empty address means, and `to_query(value, home)` are a link's fields."""

    name: str
    home: Any
    to_query: Callable[[Any, Any], dict[str, list[str]]]

    def open(self, value: Any = None) -> AppTest:
        """A visitor's session that has come to the page, by a link to `value` if there is one."""
        at = AppTest.from_file(str(APP), default_timeout=300).run()
        at.session_state["page"] = ""
        at.query_params.update(self.to_query(self.home if value is None else value, self.home))
        return at.switch_page(f"pages/{self.name}.py").run()

    def reset(self, at: AppTest) -> AppTest:
        """The page as a visitor without a link finds it."""
        at.query_params.clear()
        at.button(key=f"{self.name}-reset").click().run()
        assert self.lying(at) == self.home
        return at

    def lying(self, at: AppTest) -> Any:
        """What lies on the desk."""
        return at.session_state[f"{self.name}-experiment"]

    def visit(self, at: AppTest, wanted: Any) -> AppTest:
        """Follow a link to what is wanted."""
        follow(at, self.to_query(wanted, self.home))
        assert self.lying(at) == wanted
        return at


def follow(at: AppTest, fields: dict[str, Any]) -> AppTest:
    """Follow a link with these fields."""
    at.query_params.clear()
    at.query_params.update(fields)
    at.run()
    assert not at.exception
    return at


def records(at: AppTest, component: str = "optviz_chart") -> list[dict]:
    """What the components of a kind were given, as the browser gets it."""
    nodes = [node for node in at.get("bidi_component") if node.proto.component_name.endswith(component)]
    return [json.loads(node.proto.bytes) for node in nodes]


def says(at: AppTest) -> str:
    """The words of the page."""
    return " ".join(element.value for element in at.markdown)
