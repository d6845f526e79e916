"""The phase map: how the same run ends for every pair of two hyperparameters, with the theory drawn on top."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/phase_map.py")  # this goes to the browser before the rest is imported

from optviz import phase_map_link
from optviz.phase_map import CLAIMS, PLANE
from optviz.ui.desk import Desk
from optviz.ui.measured import phase_map_exports
from optviz.ui.opening import open_desk
from optviz.ui.phase_map import (
    cell_panel,
    claim_words,
    controls_panel,
    examples_menu,
    look_bar,
    map_panel,
    words,
)
from optviz.ui.turns import in_turn

desk = open_desk(
    opened,
    Desk("phase_map", PLANE, {key: claim.map for key, claim in CLAIMS.items()}, phase_map_link),
    CLAIMS,
    menu=examples_menu,
)


@st.fragment
@in_turn("phase_map")
def laboratory() -> None:
    controls, picture = st.columns([2, 7], gap="medium")
    with controls:
        controls_panel(desk)
    with picture:
        desk.say()
        desk.publish()  # before what takes long: see tiles.py
        claim = st.container() if desk.preset else None
        look_bar(desk)
        seen = map_panel(desk)
        if claim:  # above, but it is measured on what is below
            with claim:
                claim_words(desk, seen[0])
        cell_panel(desk, *seen)
        words(desk, *seen)
        phase_map_exports(desk, *seen)


laboratory()
