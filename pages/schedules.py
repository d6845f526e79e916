"""The schedules page: what the same run becomes under different learning-rate schedules."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/schedules.py")  # this goes to the browser before the rest is imported

from optviz.scheduled import Runs
from optviz.training import Training
from optviz.ui.desk import Desk
from optviz.ui.exports import export_panel
from optviz.ui.frame import prepare_server
from optviz.ui.presets import RAVINE
from optviz.ui.schedules import (
    CODEC,
    NOISY_VALLEY,
    controls,
    formulas,
    job_of,
    network_stage,
    run_buttons,
    surface_stage,
)
from optviz.ui.share import toolbar
from optviz.ui.turns import in_turn

prepare_server(warm=RAVINE)
desk: Desk[Runs] = Desk("schedules", NOISY_VALLEY, presets={}, codec=CODEC)
desk.open(arrived=opened.arrived)
with opened.tools:
    toolbar(desk)


@st.fragment
def laboratory() -> None:
    """Controls beside the runs. Those of networks are a fragment of their own, which they rerun while they learn."""
    with in_turn():
        left, right = st.columns([2, 7], gap="medium")
        with left:
            controls(desk)
        with right:
            desk.say()
            if isinstance(desk.experiment, Training):
                run_buttons(desk, job_of(desk))
                live()
            else:
                surface_stage(desk)
                export_panel(desk)
            formulas(desk)
        desk.publish()


@st.fragment
def live() -> None:
    """The runs as they stand."""
    if isinstance(desk.experiment, Training):
        network_stage(desk, job_of(desk))


laboratory()
