"""Notebooks: valid ones, whose cells, run from the top in a process of their own, give the app's numbers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from optviz.experiment import Experiment, Pick, Racer, run
from optviz.export import to_notebook, to_python
from optviz.surfaces import own_key
from optviz.training import Configuration, Net, Training, advance, begin

RACE = Experiment(
    Pick("himmelblau"), (Racer(Pick("adam", {"lr": 0.1})), Racer(Pick("sgd", {"lr": 0.01}))), steps=60, noise=0.2
)
TRAINING = Training(
    Pick("iris"), (Configuration(Net(hidden=(6,)), Racer(Pick("adam", {"lr": 0.01}))),), batch_size=32, epochs=2
)

RUNNER = """
import json, sys
names = {}
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
import numpy as np
"""


def finished(notebook: str, told: str, folder: Path) -> str:
    """What is said when all cells were run, in a process where optviz is not to be found, and then `told`."""
    (folder / "lesson.ipynb").write_text(notebook, encoding="utf-8")
    (folder / "runner.py").write_text(RUNNER + told, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "runner.py", "lesson.ipynb"],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def cells(notebook: str, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(notebook)["cells"] if cell["cell_type"] == kind]


def test_a_races_notebook_gives_its_numbers(tmp_path):
    told = 'np.savez("paths.npz", *names["paths"].values())\nprint(*(line.name for line in names["fig"].data))\n'
    assert finished(to_notebook(RACE, "jax"), told, tmp_path).splitlines()[-1] == "None Adam SGD"
    with np.load(tmp_path / "paths.npz") as saved:
        for name, one in zip(saved.files, run(RACE), strict=True):
            np.testing.assert_allclose(saved[name], one.trajectory.theta, rtol=1e-12, atol=1e-12)


def test_a_trainings_notebook_gives_its_numbers(tmp_path):
    told = """assert len(names["fig"].data) == 1
((_, losses, judged),) = names["runs"].values()
print(json.dumps([losses, judged["test"]]))
"""
    losses, (loss, accuracy) = json.loads(finished(to_notebook(TRAINING, "jax"), told, tmp_path).splitlines()[-1])
    (history,) = advance(TRAINING, begin(TRAINING), TRAINING.steps).histories
    np.testing.assert_allclose(losses, history.loss[0], rtol=1e-6)
    assert loss == pytest.approx(history.test_loss[0, -1], rel=1e-6)
    assert accuracy == history.test_accuracy[0, -1]


@pytest.mark.parametrize("shown", [RACE, TRAINING], ids=["race", "training"])
@pytest.mark.parametrize("flavour", ["jax", "optax", "torch"])
def test_the_cells_are_the_script_cut_at_its_headings(shown, flavour):
    notebook = to_notebook(shown, flavour, link="/descent?seed=7")
    script = to_python(shown, flavour, link="/descent?seed=7")
    code, prose = cells(notebook, "code"), cells(notebook, "markdown")
    place = 0
    for cell in code[:-1]:  # the last is the plot
        place = script.index(cell, place) + len(cell)
        compile(cell, "cell", "exec")
    kept = {line for cell in code for line in cell.splitlines()}
    assert {line for line in script.splitlines() if line and not line.startswith("#")} <= kept
    assert "/descent?seed=7" in prose[0]
    headings = [text for text in prose if text.startswith("## ")]
    assert len(headings) >= 3
    assert all(text.removeprefix("## ") in script.replace("\n# ", " ") for text in headings[:-1])
    compile(code[-1], "plot", "exec")


def test_it_is_a_notebook():
    """What nbformat 4.5 asks for: https://nbformat.readthedocs.io"""
    whole = json.loads(to_notebook(RACE, "torch"))
    assert (whole["nbformat"], whole["nbformat_minor"], set(whole)) == (
        4,
        5,
        {"nbformat", "nbformat_minor", "metadata", "cells"},
    )
    assert len({cell["id"] for cell in whole["cells"]}) == len(whole["cells"])
    for cell in whole["cells"]:
        more = {"outputs", "execution_count"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"id", "cell_type", "metadata", "source"} | more
        assert all(line.endswith("\n") for line in cell["source"][:-1])


def test_a_visitors_formula_is_no_markup():
    own = Experiment(Pick(own_key("x**2 + y**2 + 0*x")), RACE.racers, steps=3)
    (head, *_) = cells(to_notebook(own, "jax", link="/descent?surface=<img src=x>"), "markdown")
    before, fenced, after = head.split("```")
    assert "<" not in before + after
    assert "f(x, y) = " in fenced


def test_what_cannot_be_written_is_refused():
    with pytest.raises(ValueError, match="nobody is racing"):
        to_notebook(Experiment(Pick("sphere"), ()), "jax")
