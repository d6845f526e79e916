"""The backpropagation walk: a small network, one node at a time, forward and then backward."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/backprop.py")  # this goes to the browser before the rest is imported

from optviz import backprop
from optviz.ui.desk import Desk
from optviz.ui.measured import walk_exports
from optviz.ui.opening import open_desk
from optviz.ui.presets import TWO_PATHS, WALKS
from optviz.ui.turns import in_turn
from optviz.ui.walk import claim_panel, controls_panel, examples_menu, walk_panel

desk = open_desk(
    opened,
    Desk("backprop", default=TWO_PATHS, presets={"C2": TWO_PATHS}, codec=backprop),
    menu=lambda _: examples_menu(WALKS, TWO_PATHS),
)


@st.fragment
@in_turn("backprop")
def laboratory() -> None:
    """Controls beside the picture they change, in one fragment; stepping through the picture needs no server at all."""
    controls, picture = st.columns([2, 7], gap="medium")
    with controls:
        controls_panel(desk)
    desk.publish()
    with picture:
        desk.say()
        walk_panel(desk)
        claim_panel(desk)
        walk_exports(desk)


laboratory()
