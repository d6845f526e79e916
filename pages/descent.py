"""The descent laboratory: optimizers race over a surface, and every slider answers at once."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/descent.py")  # this goes to the browser before the rest is imported

from optviz.claims import CLAIMS
from optviz.ui.desk import Desk
from optviz.ui.exports import export_panel
from optviz.ui.frame import prepare_server
from optviz.ui.lesson import claim_panel, claims_menu, measured_on
from optviz.ui.looks import look_panel
from optviz.ui.presets import RAVINE
from optviz.ui.race import (
    conditions_panel,
    memory_panel,
    pins_panel,
    racers_panel,
    stage_panel,
    surface_panel,
    table,
)
from optviz.ui.share import toolbar

prepare_server(warm=RAVINE)
desk = Desk("descent", default=RAVINE, presets={key: claim.experiment for key, claim in CLAIMS.items()})
desk.open(arrived=opened.arrived)
with opened.tools:
    claims_menu(desk, CLAIMS)
    toolbar(desk)


@st.fragment
def laboratory() -> None:
    """Controls beside the picture they move, in one fragment: a slider reruns nothing else."""
    controls, picture = st.columns([2, 7], gap="medium")
    with controls:
        surface_panel(desk)
        racers_panel(desk)
        pins_panel(desk)
        conditions_panel(desk)
    with picture:
        desk.say()
        claim = st.container()
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            look_panel(desk)
            export_panel(desk)
        runs = stage_panel(desk)
        table(desk, runs)
        memory_panel(desk, runs)
    with claim:  # last, because it may have to run more than the race itself
        claim_panel(desk, CLAIMS, lambda claim: measured_on(claim, desk.experiment))
    desk.publish()


laboratory()
