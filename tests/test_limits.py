"""Limits are configuration: read from the environment, refused with a sentence if they are nonsense; and they bite."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from optviz.basin_map import HILLS
from optviz.experiment import Experiment, Pick, Racer
from optviz.limits import PREFIX, Limits, allowed, fitted, read, table
from optviz.training import Configuration, Net, Training

ROOT = Path(__file__).parents[1]
RACE = Experiment(Pick("sphere"), (Racer(Pick("sgd")), Racer(Pick("adam"))), steps=500)
NETWORK = Training(Pick("moons"), (Configuration(Net(), Racer(Pick("adam"))),))


def test_without_an_environment_they_are_the_defaults():
    assert read({"HOME": "x", "OPTVIZ_CI": "1"}) == Limits()


def test_the_environment_sets_them():
    assert read({"OPTVIZ_LIMIT_STEPS": "1e3", "OPTVIZ_LIMIT_JOBS": "7"}) == Limits(steps=1000, jobs=7)


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "-1", "0", "2.5", "9e9", "", "many", "1;2", "x" * 9000])
def test_nonsense_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match=r"OPTVIZ_LIMIT_STEPS: steps must be a (whole )?number") as refused:
        read({"OPTVIZ_LIMIT_STEPS": text})
    assert len(str(refused.value)) < 200


def test_a_misspelt_limit_is_not_passed_over():
    with pytest.raises(ValueError, match="there is no limit OPTVIZ_LIMIT_STEPZ; there is OPTVIZ_LIMIT_STEPS"):
        read({"OPTVIZ_LIMIT_STEPZ": "5"})


def test_capacity_never_falls_below_what_the_apps_own_examples_need():
    code = "from optviz.limits import CAPACITY, LIMITS; print(LIMITS.steps, CAPACITY.steps, CAPACITY.training_work)"
    environ = {**os.environ, "OPTVIZ_LIMIT_STEPS": "100", "OPTVIZ_LIMIT_TRAINING_WORK": "1e13"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.stdout.split() == ["100", "5000", "10000000000000"], done.stderr


def test_what_is_demanded_beyond_a_limit_is_refused_by_name_and_number():
    assert allowed(RACE) is RACE
    with pytest.raises(ValueError, match="at most 400 steps in one run on a surface, and this would be 500"):
        allowed(RACE, Limits(steps=400))
    with pytest.raises(ValueError, match="at most 1 optimizers in one race"):
        allowed(RACE, Limits(racers=1))
    with pytest.raises(ValueError, match="at most 10 epochs"):
        allowed(NETWORK, Limits(epochs=10))


def test_a_pin_counts_too():
    pinned = replace(RACE.pinned(0), steps=10)
    with pytest.raises(ValueError, match="at most 400 steps"):
        allowed(pinned, Limits(steps=400))


def test_of_an_example_as_much_is_taken_as_fits():
    assert fitted(HILLS) == (HILLS, "")
    tight = Limits(steps=100, cells=1000)
    small, said = fitted(HILLS, tight)
    assert "Shown is as much of the example as fits" in said
    assert allowed(small, tight).demand["cells"] <= 1000 < HILLS.demand["cells"]
    assert small.on.steps <= 100
    assert small.on.racers == HILLS.on.racers  # what does not help stays


def test_an_example_of_which_nothing_fits_is_refused():
    with pytest.raises(ValueError, match="at most 10 parameters"):
        fitted(NETWORK, Limits(parameters=10))


def test_the_documentation_has_the_table_of_the_declaration():
    documented = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    assert table(Limits()) in documented


# In a server of its own ----------------------------------------------------------------------------------------------

LOW = {
    "steps": 50,
    "racers": 1,
    "cells": 400,
    "run_steps": 20_000,
    "noise_numbers": 5000,
    "configurations": 1,
    "epochs": 2,
    "seeds": 1,
    "training_work": 1_000_000,
    "training_steps": 30,
    "parameters": 3000,
    "activations": 5000,
    "calibration_work": 1_000_000,
    "calibration_steps": 100,
    "range_work": 1_000_000,
    "stability_work": 1_000_000,
    "formula_characters": 5,
    "jobs": 1,
}
OPEN_ALL = """
import sys
sys.path[:0] = ["tests", "."]
from streamlit.testing.v1 import AppTest
from optviz.limits import LIMITS, allowed
from optviz.ui.frame import PAGES
at = AppTest.from_file("app.py", default_timeout=300).run()
for page in PAGES:
    if page.path != "app.py":
        at.switch_page(page.path).run()
    assert not at.exception, (page.path, at.exception)
    name = "home" if page.path == "app.py" else page.path[6:-3]
    lying = at.session_state[f"{name}-experiment"] if f"{name}-experiment" in at.session_state else None
    said = " ".join(one.value for one in [*at.warning, *at.error])
    if lying is not None:
        allowed(lying)
    print(page.path, "fits" if lying is not None else "none", "server allows" in said.replace("\\\\", ""))
print(*({"pandas", "pyarrow"} & set(sys.modules)), "loaded")
"""


def test_low_limits_bite_and_no_page_breaks():
    """Every page opens with as much of its example as fits, and says so; or it says that nothing does."""
    environ = {**os.environ, **{PREFIX + name.upper(): str(value) for name, value in LOW.items()}}
    done = subprocess.run(
        [sys.executable, "-c", OPEN_ALL], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("app.py", "pages/"))]
    said = {path: (state, spoken) for path, state, spoken in rows}
    for page in ("app", "pages/descent", "pages/basin_map", "pages/training", "pages/calibration"):
        assert said[f"{page}.py"] == ("fits", "True")
    assert {path for path, (state, spoken) in said.items() if state == "none" and spoken == "False"} == {
        "pages/glossary.py"
    }
    # Streamlit loads them to look for tables in a component's data: 70 MB of a server, and half a second of its start.
    assert done.stdout.splitlines()[-1] == "loaded"


def test_nonsense_is_told_before_a_server_starts():
    environ = {**os.environ, "OPTVIZ_LIMIT_STEPS": "-3"}
    done = subprocess.run(
        [sys.executable, "-m", "optviz.limits"], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert re.search(r"OPTVIZ_LIMIT_STEPS: steps must be a whole number from 10 to 5,000, not -3", done.stderr)
