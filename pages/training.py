"""The training laboratory: small networks learn while you watch."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/training.py")  # this goes to the browser before the rest is imported

from optviz import training_link
from optviz.ui.desk import Desk
from optviz.ui.frame import prepare_server
from optviz.ui.presets import RAVINE
from optviz.ui.share import toolbar
from optviz.ui.training import MOONS, configurations_panel, data_panel, job_of, live_panel, run_panel, summary

prepare_server(warm=RAVINE)
desk = Desk("training", default=MOONS, codec=training_link)
desk.open(arrived=opened.arrived)
with opened.tools:
    toolbar(desk, also=job_of(desk).reset)


@st.fragment
def laboratory() -> None:
    """Controls beside the run. The run is a fragment of its own, which it reruns while it goes on."""
    job = job_of(desk)
    controls, picture = st.columns([2, 7], gap="medium")
    with controls:
        data_panel(desk)
        configurations_panel(desk)
    with picture:
        desk.say()
        run_panel(desk, job)
        live()
    desk.publish()


@st.fragment
def live() -> None:
    """The run as it stands."""
    job = job_of(desk)
    live_panel(desk, job)
    summary(job)


laboratory()
