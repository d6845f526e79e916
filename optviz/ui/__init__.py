"""The only room of the library that knows Streamlit.

Importing it freezes the garbage collector's view of everything imported so far: JAX alone brings half a million
objects, and every full collection would walk them, holding up all visitors. It happens here and not in app.py, because
a visitor who opens a deep link never runs app.py.
"""

import gc

import optviz  # noqa: F401  (what is to be frozen)

gc.collect()
gc.freeze()
