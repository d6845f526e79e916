"""The README's examples run, and its declarations are as short as it says."""

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import optviz
from optviz import optimizers, schedules, surfaces

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
ROOMS = {"@optimizer": optimizers, "@surface": surfaces, "@schedule": schedules}
CATALOGUES: tuple[Any, ...] = (optviz.OPTIMIZERS, optviz.SURFACES, optviz.SCHEDULES)


@pytest.fixture
def untouched_catalogues():
    """The examples enter the real catalogues; they leave them again."""
    before = [dict(catalogue.entries) for catalogue in CATALOGUES]
    yield
    for catalogue, entries in zip(CATALOGUES, before, strict=True):
        catalogue.entries.clear()
        catalogue.entries.update(entries)


def test_from_python():
    (block,) = [block for block in BLOCKS if "import optviz" in block]
    names: dict = {}
    exec(block, names)
    np.testing.assert_array_equal(names["run"].theta.shape, (501, 2))
    assert names["net"].measures["test_accuracy"][-1] > 0.9


@pytest.mark.parametrize("decorator", ROOMS)
def test_a_declaration_is_under_ten_lines_and_works(decorator, untouched_catalogues):
    (block,) = [block for block in BLOCKS if block.startswith(decorator)]
    assert len(block.splitlines()) < 10
    names = {**vars(ROOMS[decorator]), "jnp": jnp}
    exec(block, names)
    key = next(name for name in re.findall(r"def (\w+)\(", block))
    match decorator:
        case "@optimizer":
            run = optviz.trace("sphere", key, steps=3, start=(1.0, 1.0), lr=0.25)
            np.testing.assert_allclose(run.theta[:, 0], [1, 0.75, 0.5, 0.25])
        case "@surface":
            assert optviz.trace(key, "newton", steps=1).loss[-1] == 0
        case "@schedule":
            np.testing.assert_allclose(optviz.schedule(key, steps=201, lr=1.0)[[0, 100, 200]], [1, 0.5, 0.25])


def test_the_commands_that_ci_reads_are_there():
    for name in ("run", "test"):
        command = re.search(rf"<!-- command: {name} -->\n```sh\n(.*?)\n```", README)
        assert command
        assert command[1].count("&&") == 2
