"""The handout: pick experiments, ask, and hand out one link, a QR code and a sheet to print."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/handout.py")  # this goes to the browser before the rest is imported

from optviz.ui.desk import Desk
from optviz.ui.handout import CODEC, STARTER, choice_panel, given_panel, list_panel
from optviz.ui.opening import open_desk
from optviz.ui.turns import in_turn

desk = open_desk(opened, Desk("handout", default=STARTER, codec=CODEC))


@st.fragment
@in_turn("handout")
def workshop() -> None:
    """What is chosen beside the list that comes of it."""
    choice, made = st.columns([2, 5], gap="large")
    with choice:
        choice_panel(desk)
    with made:
        desk.say()
        list_panel(desk)
        given_panel(desk)
    desk.publish()


workshop()
