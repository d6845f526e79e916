"""The cloud page: a thousand noisy runs at once, and the height at which noise holds them up."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/cloud.py")  # this goes to the browser before the rest is imported

from optviz import cloud_link
from optviz.cloud import CLAIMS, VALLEY
from optviz.ui.cloud import cloud_panel, controls_panel, floors_panel, judged, words
from optviz.ui.desk import Desk
from optviz.ui.lesson import claim_panel
from optviz.ui.measured import cloud_exports
from optviz.ui.opening import open_desk
from optviz.ui.turns import in_turn

desk = open_desk(opened, Desk("cloud", VALLEY, {key: claim.cloud for key, claim in CLAIMS.items()}, cloud_link), CLAIMS)


@st.fragment
def laboratory() -> None:
    controls, picture = st.columns([2, 7], gap="medium")
    with in_turn("cloud"):
        with controls:
            controls_panel(desk)
        with picture:
            desk.say()
            desk.publish()  # before what takes long: see tiles.py
            claim = st.container()
            swarm = cloud_panel(desk)
            found = floors_panel(desk)
            words(desk, swarm, found)
            if found:
                cloud_exports(desk, swarm, found)
        with claim:
            claim_panel(desk, CLAIMS, lambda claim: judged(claim, desk.experiment, found))


laboratory()
