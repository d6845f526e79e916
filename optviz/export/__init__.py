"""Export: an experiment leaves the app, as a Python script, a table of numbers, a page that plays offline, or a picture
that moves. Everything here is a pure function of the experiment and its runs; nothing is stored and nothing is sent."""

from optviz.export.python import FLAVOURS, to_python

__all__ = ["FLAVOURS", "to_python"]
