"""The picture of a walk through a small network: the record that Python sends, and the scripts that draw it.

All moments of a walk travel at once, so that stepping, playing and scrubbing never come back to Python. The player is
the stage's own (`figures/stage/player.js`); the graph is drawn by `walk.js` as SVG.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from optviz.backprop import Example, Graph, Node, chains, graph, walk
from optviz.spec import number

_HERE = Path(__file__).parent
DIGITS = 3  # significant ones in the graph; the formulas beside it have four


@functools.cache
def script() -> str:
    """The JavaScript of the walk, with the stage's player and its way to save a picture, as the text of one module."""
    stage = [(_HERE.parent / "stage" / f"{name}.js").read_text(encoding="utf-8") for name in ("player", "save")]
    return "\n".join([(_HERE / "walk.js").read_text(encoding="utf-8"), *stage])


@functools.cache
def style() -> str:
    """The style sheet of the walk. The player's is the stage's, which every page has."""
    return (_HERE / "walk.css").read_text(encoding="utf-8")


def record(example: Example) -> dict[str, Any]:
    """Everything that the picture shows, in the shape that `walk.js` describes."""
    found = graph(example)
    last = max(node.layer for node in found.nodes.values())
    return {
        "columns": [_column(found, layer) for layer in range(last + 1)],
        "nodes": {node.name: _node(node) for node in found.nodes.values()},
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "weight": edge.weight,
                "sent": edge.sent,
                "product": edge.product,
                "texts": {name: number(getattr(edge, name), DIGITS) for name in ("sent", "local", "product")},
            }
            for edge in found.edges
        ],
        "parameters": {
            name: {
                "symbol": parameter.symbol,
                "target": parameter.target,
                "value": number(parameter.value, DIGITS),
                "gradient": number(parameter.gradient, DIGITS),
            }
            for name, parameter in found.parameters.items()
        },
        "moments": [
            {"phase": moment.phase, "node": moment.node, "says": moment.says, "lines": moment.lines}
            for moment in walk(example)
        ],
        "chain": _chain(example, found, example.chosen),
        "alt": _alt(example, found),
    }


def _column(found: Graph, layer: int) -> list[list[str]]:
    """The nodes of a layer, from top to bottom; a unit's sum and activation stand side by side."""
    here = [node for node in found.nodes.values() if node.layer == layer]
    return [[node.name for node in here if node.unit == unit] for unit in sorted({node.unit for node in here})]


def _node(node: Node) -> dict[str, str]:
    value, gradient = number(node.value, DIGITS), number(node.gradient, DIGITS)
    return {"symbol": node.symbol, "kind": node.kind, "value": value, "gradient": gradient}


def every_chain(example: Example) -> dict[str, Any]:
    """What `record` says of the chosen weight or bias, of each of them: for a page without a server to ask."""
    found = graph(example)
    return {name: _chain(example, found, name) for name in found.parameters}


def _chain(example: Example, found: Graph, name: str) -> dict[str, Any]:
    """The product along every path from a parameter to the loss, written out."""
    chosen = found.parameters[name]
    every = chains(example, name)
    paths = [
        {
            "nodes": chain.nodes,
            "symbols": " · ".join(sign for sign, _ in chain.factors),
            "numbers": f"{' × '.join(map(_factor, (f for _, f in chain.factors)))} = {number(chain.product + 0.0)}",
        }
        for chain in every
    ]
    gradient = number(chosen.gradient)
    total = (
        f"{' + '.join(_factor(chain.product + 0.0) for chain in every)} = {gradient}" if len(every) > 1 else gradient
    )
    return {"name": chosen.name, "symbol": chosen.symbol, "paths": paths, "total": total, "gradient": gradient}


def _factor(value: float) -> str:
    text = number(value)
    return f"({text})" if text.startswith("−") else text


def _alt(example: Example, found: Graph) -> str:
    """The picture in words."""
    *hidden, outputs = example.widths
    layers = f"{len(hidden)} hidden layer{'s' * (len(hidden) > 1)} of {', '.join(map(str, hidden))}" if hidden else ""
    layers = f"{layers} ({example.activation}), " if hidden else ""
    nodes = "; ".join(
        f"{node.symbol} is {number(node.value)}, ∂L/∂{node.symbol} is {number(node.gradient)}"
        for node in found.nodes.values()
    )
    weights = "; ".join(
        f"{parameter.symbol} is {number(parameter.value)}, its gradient {number(parameter.gradient)}"
        for parameter in found.parameters.values()
    )
    return (
        f"A network of {len(example.inputs)} input{'s' * (len(example.inputs) > 1)}, {layers}{outputs} "
        f"output{'s' * (outputs > 1)} and the {example.loss} loss, drawn from left to right. {nodes}. {weights}."
    )
