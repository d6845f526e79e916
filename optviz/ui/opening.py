"""What every laboratory opens with: a server that is ready, the address read, and its tools in the frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from optviz.ui.desk import Desk
from optviz.ui.frame import Frame, prepare_server
from optviz.ui.lesson import claims_menu
from optviz.ui.presets import RAVINE
from optviz.ui.share import toolbar
from optviz.verdict import Card

E = TypeVar("E")


def open_desk(
    opened: Frame,
    desk: Desk[E],
    claims: Mapping[str, Card] | None = None,
    *,
    menu: Callable[[Desk[E]], None] = lambda _: None,
    also: Callable[[], None] = lambda: None,
) -> Desk[E]:
    """`desk`, with what the address says lying on it. The frame's tools are a page's own `menu`, its `claims`, Reset,
    which does `also` something, and a copy of the link."""
    prepare_server(warm=RAVINE)
    desk.open(arrived=opened.arrived)
    with opened.tools:
        menu(desk)
        if claims:
            claims_menu(desk, claims)
        toolbar(desk, also)
    return desk
