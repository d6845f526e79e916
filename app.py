"""The home page: within a few seconds a race is running, and it is clear what one can do here."""

import streamlit as st

from optviz.experiment import run
from optviz.link import to_query
from optviz.optimizers import OPTIMIZERS
from optviz.surfaces import SURFACES
from optviz.ui.desk import Desk
from optviz.ui.frame import PAGES, frame
from optviz.ui.presets import RAVINE, SADDLE, WORTH_A_LOOK
from optviz.ui.race import stage_panel
from optviz.ui.share import toolbar

desk = Desk("home", default=SADDLE)
desk.open(arrived=frame("app.py", warm=RAVINE, tools=lambda: toolbar(desk)))


@st.fragment
def saddle() -> None:
    """A race to watch, and to start again from where one clicks."""
    desk.say()
    stage_panel(desk, loop=True, compact=True)
    desk.publish()


descent, _, rmsprop, _ = (one.outcome.arrived for one in run(SADDLE))
words, picture = st.columns([2, 3], gap="large", vertical_alignment="center")
with words:
    st.title("Watch optimizers think")
    st.markdown(
        f"A laboratory for optimization: {len(OPTIMIZERS)} optimizers race over {len(SURFACES)} surfaces. "
        "Move a slider and the answer is there."
    )
    st.markdown(
        "**Here:** four rules start beside a saddle (✕), where the slope vanishes. Plain gradient descent waits there "
        f"and needs {descent} steps to a minimum (★). RMSProp, which divides by the size of the gradient, "
        f"needs {rmsprop}. Click the surface to start somewhere else."
    )
    for page in PAGES[1:]:
        st.page_link(page.path, label=f"**{page.title}:** {page.help}", icon=page.icon)
    st.markdown("**Worth a look**")
    for title, experiment in WORTH_A_LOOK.items():
        link = to_query(experiment, RAVINE)
        st.page_link("pages/descent.py", label=title, icon=":material/play_circle:", query_params=link)
with picture:
    saddle()
