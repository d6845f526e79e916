"""The schedules page: what the same run becomes under different learning-rate schedules."""

import streamlit as st

from optviz.ui.frame import alone, frame

opened = frame("pages/schedules.py")  # this goes to the browser before the rest is imported

from optviz.rate_claims import NETWORK_RATE_CLAIMS, RATE_CLAIMS
from optviz.scheduled import Runs, titles
from optviz.training import Training
from optviz.ui.desk import Desk
from optviz.ui.exports import SCHEDULED_DOWNLOADS, export_panel, training_export_panel
from optviz.ui.lesson import claim_panel, measured_on
from optviz.ui.opening import open_desk
from optviz.ui.schedules import (
    CODEC,
    NOISY_VALLEY,
    PRESETS,
    chosen,
    controls,
    formulas,
    job_of,
    network_stage,
    run_buttons,
    surface_stage,
)
from optviz.ui.training import claim_verdict
from optviz.ui.turns import in_turn

desk: Desk[Runs] = open_desk(opened, Desk("schedules", NOISY_VALLEY, PRESETS, CODEC), RATE_CLAIMS | NETWORK_RATE_CLAIMS)


@st.fragment
def laboratory() -> None:
    """Controls beside the runs. Those of networks are a fragment of their own, which they rerun while they learn."""
    with in_turn("schedules"):
        left, right = st.columns([2, 7], gap="medium")
        with left:
            controls(desk)
        with right:
            desk.say()
            desk.publish()  # before what takes long: see tiles.py
            experiment = desk.experiment
            if isinstance(experiment, Training):
                claim_panel(desk, NETWORK_RATE_CLAIMS)
                job = job_of(desk)
                run_buttons(desk, job)
                with alone():
                    live()
                training_export_panel(desk, job, chosen(desk), titles(experiment))
            else:
                claim = st.container()
                surface_stage(desk)
                export_panel(desk, SCHEDULED_DOWNLOADS)
                with claim:  # last, because it may have to run more than the runs themselves
                    claim_panel(desk, RATE_CLAIMS, lambda claim: measured_on(claim, experiment))
            formulas(desk)


@st.fragment
@in_turn("schedules")
def live() -> None:
    """The runs as they stand."""
    if isinstance(desk.experiment, Training):
        claim = st.container()
        drawn = network_stage(desk, job_of(desk))
        with claim:
            claim_verdict(desk, drawn)


laboratory()
