"""The home page: within a few seconds a race is running, and it is clear what one can do here."""

import streamlit as st

from optviz.experiment import run
from optviz.figures.race import race
from optviz.optimizers import OPTIMIZERS
from optviz.surfaces import SURFACES
from optviz.ui.frame import PAGES, frame
from optviz.ui.presets import RAVINE, SADDLE
from optviz.ui.stage import stage

frame("app.py", warm=RAVINE)
words, picture = st.columns([2, 3], gap="large", vertical_alignment="center")
with words:
    st.title("Watch optimizers think")
    st.markdown(
        f"A laboratory for optimization: {len(OPTIMIZERS)} optimizers race over {len(SURFACES)} surfaces. "
        "Move a slider and the answer is there; click the surface and they start from that point."
    )
    st.markdown(
        "**Here:** four rules start near a saddle, where the slope vanishes. Plain gradient descent waits there. "
        "RMSProp and Adam divide by the size of the gradient and hardly notice."
    )
    for page in PAGES[1:]:
        st.page_link(page.path, label=f"**{page.title}** — {page.help}", icon=page.icon)
with picture:
    stage(race(SADDLE, run(SADDLE), autoplay=True, loop=True, compact=True), key="home-stage")
