"""The scripts of the stage: what the browser runs to play a record that Python sent.

They belong to no framework. The app mounts them as a component; an exported page carries them in itself. Each file has
one idea, functions find each other anyway, and in this order they read as one script whose only export is `main.js`'s.
"""

from __future__ import annotations

import functools
from pathlib import Path

_HERE = Path(__file__).parent
_SCRIPTS = (
    *("main", "library", "panels", "figures", "pixels", "ink", "marks", "legend", "player", "drag", "pointer"),
    *("anatomy", "moments", "ground", "crowd", "handles", "results", "save", "sketch"),
)


@functools.cache
def script() -> str:
    """The stage's JavaScript, as the text of one module."""
    return "\n".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)


@functools.cache
def style() -> str:
    """The stage's style sheet."""
    return (_HERE / "stage.css").read_text(encoding="utf-8")
