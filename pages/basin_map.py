"""The basin map: where the runs from every start of a window end, for one optimizer or for two."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/basin_map.py")  # this goes to the browser before the rest is imported

from optviz.basin_map import CLAIMS, HILLS
from optviz.ui.basin_map import CODEC, caption, controls_panel, maps, table
from optviz.ui.desk import Desk
from optviz.ui.lesson import claim_panel
from optviz.ui.measured import basin_map_exports
from optviz.ui.opening import open_desk
from optviz.ui.turns import in_turn

desk = open_desk(
    opened, Desk("basin_map", HILLS, {key: claim.basin_map for key, claim in CLAIMS.items()}, CODEC), CLAIMS
)


@st.fragment
@in_turn("basin_map")
def laboratory() -> None:
    controls, picture = st.columns([2, 7], gap="medium")
    with controls:
        controls_panel(desk)
    with picture:
        desk.say()
        desk.publish()  # before what takes long: see tiles.py
        lesson = st.container()
        basins = maps(desk)
        with lesson:
            claim_panel(desk, CLAIMS, lambda claim: claim.measure(desk.experiment, basins))
        caption(desk, basins)
        basin_map_exports(desk, basins)
        table(desk, basins)


laboratory()
