"""The second-order page: what each method believes about the surface at a point, and what comes of its step."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/second_order.py")  # this goes to the browser before the rest is imported

from optviz import second_order_link
from optviz.taylor import CLAIMS, VALLEY
from optviz.ui.desk import Desk
from optviz.ui.lesson import claim_panel
from optviz.ui.measured import second_order_exports
from optviz.ui.opening import open_desk
from optviz.ui.second_order import (
    controls_panel,
    cost_panel,
    cut_chart,
    here_words,
    history,
    plane_chart,
    sentence,
    table,
    with_numbers,
)
from optviz.ui.turns import in_turn

desk = open_desk(
    opened, Desk("second_order", VALLEY, {key: claim.shown for key, claim in CLAIMS.items()}, second_order_link), CLAIMS
)


@st.fragment
@in_turn("second_order")
def laboratory() -> None:
    """Controls beside the surface from above and the slice, and below them what every method would do."""
    controls, pictures = st.columns([2, 7], gap="medium")
    with controls:
        controls_panel(desk)
    desk.publish()
    with pictures:
        desk.say()
        claim_panel(desk, CLAIMS, with_numbers(desk))
        sentence(desk)
        plane, slice_ = st.columns([5, 4], gap="small")
        with plane:
            plane_chart(desk)
        with slice_:
            cut_chart(desk)
        here_words(desk)
        table(desk)
        history(desk)
        second_order_exports(desk)


laboratory()
st.fragment(cost_panel)(desk)
