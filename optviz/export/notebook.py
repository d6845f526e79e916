"""A race or a training as a Jupyter notebook: the exported script, cut where its sections are, and a plot at the end.

The code is `to_python`'s, letter by letter. A heading of the script becomes a heading of the notebook; what a script
says about itself stands in the first cell, as text that no reader takes for markup, for it may quote a visitor's
formula. The plot is Plotly's, which nothing before it needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from string import Template
from typing import Any

from optviz.experiment import Experiment
from optviz.export.python import to_python
from optviz.training import Training

HEAD = "Run all cells from the top: they compute what the app does with these settings from the start, to the digit."
PLOT = "## A picture\n\nOnly this cell needs Plotly: `pip install plotly`."
PLOT_RACE = Template("""import plotly.graph_objects as go

xs, ys = np.linspace($left, $right, 200), np.linspace($bottom, $top, 200)
heights = np.broadcast_to(loss($array(np.stack(np.meshgrid(xs, ys)))), (200, 200))
fig = go.Figure(go.Contour(x=xs, y=ys, z=np.log1p(heights - np.nanmin(heights)), colorscale="Greys", showscale=False))
for label, path in paths.items():
    fig.add_scatter(x=path[:, 0], y=path[:, 1], name=label)
fig.update_xaxes(title="x", range=[$left, $right])
fig.update_yaxes(title="y", range=[$bottom, $top])
fig
""")
PLOT_TRAINING = """import plotly.graph_objects as go

fig = go.Figure()
for name, (_, losses, _) in runs.items():
    fig.add_scatter(y=losses, name=name)
fig.update_xaxes(title="step")
fig.update_yaxes(title="loss of the step's batch", type="log")
fig
"""


def to_notebook(shown: Experiment | Training, flavour: str, *, link: str = "", names: Sequence[str] = ()) -> str:
    """The notebook as JSON (nbformat 4.5), for `to_python`'s arguments. Raises ValueError where that does."""
    script = to_python(shown, flavour, link=link, names=names)
    cells = [*_cells(script), _prose(PLOT), _code(_plot(shown, flavour))]
    about = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    numbered = [{"id": f"cell-{i}", **cell} for i, cell in enumerate(cells)]
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": numbered}, ensure_ascii=False, indent=1
    )


def _cells(script: str) -> Iterator[dict[str, Any]]:
    """The script in cells. Two empty lines part its blocks; a block of comments alone is a heading."""
    head, *blocks = script.strip("\n").split("\n\n\n")
    title, *facts = (line.removeprefix("#").strip() for line in head.splitlines())
    yield _prose("\n".join([f"# {title}", "", HEAD, "", "```text", *filter(None, facts), "```"]))
    code: list[str] = []
    for block in blocks:
        if all(line.startswith("#") for line in block.splitlines()):
            yield from _joined(code)
            code = []
            yield _prose("## " + " ".join(line.removeprefix("#").strip() for line in block.splitlines()))
        else:
            code.append(block)
    yield from _joined(code)


def _joined(blocks: Sequence[str]) -> Iterator[dict[str, Any]]:
    if blocks:
        yield _code("\n\n\n".join(blocks))


def _plot(shown: Experiment | Training, flavour: str) -> str:
    if isinstance(shown, Training):
        return PLOT_TRAINING
    left, right, bottom, top = shown.entry.window
    array = "torch.from_numpy" if flavour == "torch" else "jnp.asarray"
    return PLOT_RACE.substitute(left=left, right=right, bottom=bottom, top=top, array=array)


def _prose(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": _lines(text)}


def _code(text: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": _lines(text)}


def _lines(text: str) -> list[str]:
    return text.strip("\n").splitlines(keepends=True)
