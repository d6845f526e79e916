"""The calibration page: the final loss against the learning rate, for all optimizers or networks at once."""

import streamlit as st

from optviz.ui.frame import alone, frame

opened = frame("pages/calibration.py")  # this goes to the browser before the rest is imported

from optviz.calibration import CLAIMS
from optviz.ui.calibration import (
    CODEC,
    claim_words,
    controls_panel,
    mode_choice,
    network_panel,
    optimizers_choice,
    run_buttons,
    surface_panel,
    table,
    ticking,
)
from optviz.ui.desk import Desk
from optviz.ui.lesson import claim_panel
from optviz.ui.measured import calibration_exports
from optviz.ui.opening import open_desk
from optviz.ui.turns import in_turn

desk = open_desk(
    opened, Desk("calibration", CODEC.surface, {key: claim.calibration for key, claim in CLAIMS.items()}, CODEC), CLAIMS
)


@st.fragment
@in_turn("calibration")
def laboratory() -> None:
    controls, picture = st.columns([2, 7], gap="medium")
    with controls:
        mode_choice(desk)
        controls_panel(desk)
    with picture:
        desk.say()
        desk.publish()  # before what takes long: see tiles.py
        claim_panel(desk, CLAIMS)
        if desk.experiment.mode == "surface":
            optimizers_choice(desk)
        else:
            run_buttons(desk)
        with alone():
            st.fragment(curves, run_every=ticking(desk))()


@in_turn("calibration")
def curves() -> None:
    """The curves as they stand, what they say, and the table."""
    said = st.container()
    found = surface_panel(desk) if desk.experiment.mode == "surface" else network_panel(desk)
    with said:
        claim_words(desk, found)
    if found:
        table(desk, found)
        calibration_exports(desk, found)


laboratory()
