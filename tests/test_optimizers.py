"""Every optimizer against references that are not ours, and the promises that the catalogue makes about all of them.

Tests run over the catalogue: a new optimizer has to be added to `references.REFERENCES`, and to nothing else. The
reference surfaces are the real ones, brought together in one surface with a traced selector, so that each optimizer
is compiled once for all of them: a compilation takes a thousand times as long as a run.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optviz
import references
from optviz import OPTIMIZERS, SURFACES, Pick
from optviz.descent import State, Trajectory, _build, descend, rule
from optviz.problems import Problem, from_surface
from optviz.spec import Catalogue, Entry, Param, Source, within
from optviz.surfaces import Surface
from references import FIELDS, REFERENCES, STILL, Side, apart, moved

STEPS = 100
BAR = 1e-12  # of max(1, |θ|)

KEYS = list(OPTIMIZERS)
FIELD = {key: index for index, key in enumerate(FIELDS)}
SETTINGS = [(key, index) for key, reference in REFERENCES.items() for index in range(len(reference.settings))]
every_optimizer = pytest.mark.parametrize("key", KEYS)


def named(key: str, index: int) -> str:
    """A setting in words, such as "lr=0.01, amsgrad=True"."""
    return ", ".join(f"{name}={value}" for name, value in REFERENCES[key].settings[index].items()) or "defaults"


every_setting = pytest.mark.parametrize(("key", "index"), SETTINGS, ids=[f"{k}({named(k, i)})" for k, i in SETTINGS])


# All reference surfaces as one


@Catalogue("surface", Surface, argument=("x", "y")).add
def _(): ...


def meadow(x, y, *, which):
    """The reference surface number `which`."""
    total = 0.0
    for index, (key, field) in enumerate(FIELDS.items()):
        here = which == index
        # The argument is chosen before the result: what the others make of a diverging point must not become 0 · ∞.
        point = jnp.where(here, x, 1.0), jnp.where(here, y, 1.0)
        total = total + jnp.where(here, SURFACES[key].fn(*point, **field.values), 0.0)
    return total
