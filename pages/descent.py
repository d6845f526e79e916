"""The descent laboratory: optimizers race over a surface, and every slider answers at once."""

import streamlit as st

from optviz.ui.frame import alone, frame

opened = frame("pages/descent.py")  # this goes to the browser before the rest is imported

from streamlit.delta_generator import DeltaGenerator

from optviz.rate_claims import ON_SURFACES
from optviz.ui.desk import Desk
from optviz.ui.exports import export_panel
from optviz.ui.lesson import claim_panel, measured_on
from optviz.ui.looks import look_panel
from optviz.ui.opening import open_desk
from optviz.ui.presets import RAVINE
from optviz.ui.race import controls_panel, formulas, memory_panel, stage_panel, states, surface_choice
from optviz.ui.turns import in_turn

desk = open_desk(
    opened,
    Desk("descent", default=RAVINE, presets={key: claim.experiment for key, claim in ON_SURFACES.items()}),
    ON_SURFACES,
)


@st.fragment
def laboratory() -> None:
    """Controls beside the picture they move. What a slider cannot change stands around the race, which is a fragment of
    its own: it is not made again at every move."""
    left, right = st.columns([2, 7], gap="medium")
    with left:
        surface_choice(desk)
        controls = st.container()
        formulas(desk)
    with right:
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            look_panel(desk)
            export_panel(desk)
        with alone():
            race(controls)
        states(desk)


@st.fragment
def race(controls: DeltaGenerator) -> None:
    """What a slider changes: the panel of `controls`, and the picture."""
    with in_turn("descent"):
        desk.publish()  # first: the browser is at it while the race is run
        with controls:
            controls_panel(desk)
        desk.say()
        claim = st.container() if desk.preset else None
        runs = stage_panel(desk)
        memory_panel(desk, runs)
        if claim:  # last, because it may have to run more than the race itself
            with claim:
                claim_panel(desk, ON_SURFACES, lambda claim: measured_on(claim, desk.experiment))


laboratory()
