"""The fair race: every optimizer at its own best learning rate, found under the same budget, or all at one rate."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/fair_race.py")  # this goes to the browser before the rest is imported

from optviz.fair_race import CLAIMS, NOISY_VALLEY
from optviz.ui.calibration import optimizers_choice
from optviz.ui.desk import Desk
from optviz.ui.fair_race import CODEC, claim_words, controls_panel, race_panel, table, words
from optviz.ui.lesson import claim_panel
from optviz.ui.measured import fair_race_exports
from optviz.ui.opening import open_desk
from optviz.ui.turns import in_turn

desk = open_desk(
    opened, Desk("fair_race", NOISY_VALLEY, {key: claim.race for key, claim in CLAIMS.items()}, CODEC), CLAIMS
)


@st.fragment
@in_turn("fair_race")
def laboratory() -> None:
    controls, picture = st.columns([2, 7], gap="medium")
    with controls:
        controls_panel(desk)
    with picture:
        desk.say()
        desk.publish()  # before what takes long: see tiles.py
        claim_panel(desk, CLAIMS)
        said = st.container()
        optimizers_choice(desk)
        entrants, others = race_panel(desk)
        with said:
            claim_words(desk, CLAIMS, entrants)
            words(desk, entrants, others)
        if entrants:
            table(desk, entrants)
            fair_race_exports(desk, entrants)


laboratory()
