"""What a good Streamlit author writes without the stage: the same race, one figure, `st.plotly_chart`, a full rerun.

The computing is the library's, cache included, and so is the server's configuration: all that differs is how the
picture comes to the browser.
"""

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from benchmarks.serving import RACE, SLIDER
from optviz.experiment import run
from optviz.landscape import over_window

st.set_page_config(page_title="Stock", layout="wide")
adam = RACE.racers[0]
lr = st.select_slider(SLIDER, adam.entry.param["lr"].stops(), value=adam.values["lr"])
runs = run(RACE.with_racer(0, adam.but(lr=lr)))

plane = over_window(RACE.surface.key, RACE.surface_values)
figure = make_subplots(cols=2, column_widths=[0.62, 0.38], subplot_titles=["Rosenbrock from above", "Loss f"])
figure.add_trace(
    go.Contour(x=plane.alpha, y=plane.beta, z=np.log10(plane.loss + 1e-3), ncontours=16, showscale=False), row=1, col=1
)
for each in runs:
    path = each.trajectory
    look = {"name": each.label, "mode": "lines"}
    figure.add_trace(go.Scatter(x=path.theta[:, 0], y=path.theta[:, 1], **look), row=1, col=1)
    figure.add_trace(go.Scatter(y=path.loss, showlegend=False, **look), row=1, col=2)
left, right, bottom, top = RACE.entry.window
figure.update_xaxes(range=[left, right], row=1, col=1)
figure.update_yaxes(range=[bottom, top], row=1, col=1)
figure.update_yaxes(type="log", row=1, col=2)
figure.update_layout(height=560)
st.plotly_chart(figure)
