"""The home page: within a few seconds a race is running, and it is clear what one can do here."""

import streamlit as st

from optviz.ui.frame import frame, overview

opened = frame("app.py")  # this goes to the browser before the rest is imported
words, picture = st.columns([2, 3], gap="large")
with words:
    st.title("Watch optimizers think")
    st.markdown("Optimizers race over surfaces and train small networks. Move a slider and the answer is there.")
    story = st.container()
    worth_a_look = st.container()
overview()

from optviz.claims import CLAIMS
from optviz.experiment import run
from optviz.link import to_query
from optviz.optimizers import OPTIMIZERS
from optviz.surfaces import SURFACES
from optviz.ui.desk import Desk
from optviz.ui.opening import open_desk
from optviz.ui.presets import RAVINE, SADDLE, WORTH_A_LOOK
from optviz.ui.race import stage_panel
from optviz.ui.turns import in_turn

desk = open_desk(opened, Desk("home", default=SADDLE))


@st.fragment
@in_turn("home")
def saddle() -> None:
    """A race to watch, and to start again from where one clicks."""
    desk.publish()
    desk.say()
    stage_panel(desk, loop=True, compact=True)


with picture:
    saddle()
descent, _, rmsprop, _ = (one.outcome.arrived for one in run(SADDLE))
with story:
    st.markdown(
        "**Here:** four rules start beside a saddle (✕), where the slope vanishes. Plain gradient descent waits there "
        f"and needs {descent} steps to a minimum (★). RMSProp, which divides by the size of the gradient, "
        f"needs {rmsprop}. Click the surface to start somewhere else. "
        f"{len(OPTIMIZERS)} optimizers and {len(SURFACES)} surfaces are waiting."
    )
with worth_a_look:
    st.markdown("**Worth a look**")
    for title, experiment in WORTH_A_LOOK.items():
        link = to_query(experiment, RAVINE)
        st.page_link("pages/descent.py", label=title, icon=":material/play_circle:", query_params=link)
    label = f"The course in {len(CLAIMS)} claims, each measured as you watch"
    st.page_link("pages/descent.py", label=label, icon=":material/school:", query_params={"claim": next(iter(CLAIMS))})
