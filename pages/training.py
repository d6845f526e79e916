"""The training laboratory: small networks learn while you watch."""

import streamlit as st

from optviz.ui.frame import alone, frame

opened = frame("pages/training.py")  # this goes to the browser before the rest is imported

from optviz import training_link
from optviz.rate_claims import ON_NETWORKS
from optviz.ui.desk import Desk
from optviz.ui.exports import training_export_panel
from optviz.ui.lesson import claim_panel
from optviz.ui.opening import open_desk
from optviz.ui.training import (
    MOONS,
    chosen,
    claim_verdict,
    configurations_panel,
    data_panel,
    job_of,
    live_panel,
    run_panel,
)
from optviz.ui.turns import in_turn

desk = open_desk(
    opened,
    Desk("training", MOONS, {key: claim.training for key, claim in ON_NETWORKS.items()}, training_link),
    ON_NETWORKS,
    also=lambda: job_of(desk).reset(),
)


@st.fragment
@in_turn("training")
def laboratory() -> None:
    """Controls beside the run. The run is a fragment of its own, which it reruns while it goes on."""
    job = job_of(desk)
    controls, picture = st.columns([2, 7], gap="medium")
    with controls:
        data_panel(desk)
        configurations_panel(desk)
    with picture:
        desk.say()
        desk.publish()  # before what takes long: see tiles.py
        claim_panel(desk, ON_NETWORKS)
        run_panel(desk, job)
        with alone():
            live()
        training_export_panel(desk, job, chosen(desk))


@st.fragment
@in_turn("training")
def live() -> None:
    """The run as it stands."""
    job = job_of(desk)
    claim = st.container()
    drawn = live_panel(desk, job)
    with claim:  # last, because it may have to run more than the training itself
        claim_verdict(desk, drawn)


laboratory()
