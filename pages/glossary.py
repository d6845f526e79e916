"""The glossary: every word and symbol of the pages, one sentence each."""

import streamlit as st

from optviz.ui.frame import frame

opened = frame("pages/glossary.py")  # this goes to the browser before the rest is imported

from optviz.ui.frame import prepare_server
from optviz.ui.presets import RAVINE
from optviz.ui.terms import glossary

prepare_server(warm=RAVINE)
glossary(asked=st.query_params.get("term"))
