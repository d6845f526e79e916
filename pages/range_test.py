"""The range test: one short run in which the learning rate rises, and what its loss says about rates."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/range_test.py")  # this goes to the browser before the rest is imported

from optviz.range_test import DIGITS, RANGE_CLAIMS
from optviz.ui.desk import Desk
from optviz.ui.measured import range_test_exports
from optviz.ui.opening import open_desk
from optviz.ui.range_test import (
    CODEC,
    claim,
    curve_panel,
    handover_panel,
    range_panel,
    rules_table,
    smoothing_panel,
    subject_panel,
)
from optviz.ui.turns import in_turn

desk = open_desk(
    opened, Desk("range_test", DIGITS, {key: claim.test for key, claim in RANGE_CLAIMS.items()}, CODEC), RANGE_CLAIMS
)


@st.fragment
@in_turn("range_test")
def laboratory() -> None:
    """Controls beside the curve, and below it what the rules say and what becomes of it."""
    controls, picture = st.columns([2, 7], gap="medium")
    with controls:
        subject_panel(desk)
        range_panel(desk)
    with picture:
        desk.say()
        desk.publish()  # before what takes long: see tiles.py
        opened_claim = st.container() if desk.preset else None
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            smoothing_panel(desk)
        found, whole = curve_panel(desk)
        if found:
            handover_panel(desk, found)
            rules_table(found)
            range_test_exports(desk, found)
        if opened_claim:  # last, because it has to run more than the test itself
            with opened_claim:
                claim(desk, whole)


laboratory()
