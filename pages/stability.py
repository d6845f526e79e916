"""The stability page: the sharpness along a run, against what its learning rate bears."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/stability.py")  # this goes to the browser before the rest is imported

from optviz.stability import CLAIMS
from optviz.ui.desk import Desk
from optviz.ui.lesson import claim_panel
from optviz.ui.measured import stability_exports
from optviz.ui.opening import open_desk
from optviz.ui.stability import (
    CODEC,
    claim_words,
    controls_panel,
    hidden_layers,
    mode_choice,
    picture,
    table,
)
from optviz.ui.turns import in_turn

desk = open_desk(
    opened, Desk("stability", CODEC.surface, {key: claim.stability for key, claim in CLAIMS.items()}, CODEC), CLAIMS
)


@st.fragment
@in_turn("stability")
def laboratory() -> None:
    controls, shown = st.columns([2, 7], gap="medium")
    with controls:
        mode_choice(desk)
        if desk.experiment.mode == "network":
            hidden_layers(desk)
        controls_panel(desk)
    desk.publish()
    with shown:
        desk.say()
        claim_panel(desk, CLAIMS)
        said = st.container()
        found = picture(desk)
        with said:
            claim_words(desk, found)
        table(desk, found)
        stability_exports(desk, found)


laboratory()
