"""What the tests of several rooms share."""

import os
from collections.abc import Callable
from pathlib import Path

import jax
import pytest
from hypothesis import settings

# The app keeps compiled programs in the visitor's cache folder; the tests keep theirs here.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "xdg")

# An example may be the first to compile something, so no deadline; the same examples every time, so that a failure in
# somebody else's checkout is a failure in this one.
settings.register_profile("optviz", deadline=None, derandomize=True)
settings.load_profile("optviz")

_compiled: list[str] = []


def _listen(event: str, duration_secs: float, **_: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":  # asked for, whether found in the cache on disk or not
        _compiled.append(event)


jax.monitoring.register_event_duration_secs_listener(_listen)


@pytest.fixture
def compilations() -> Callable[[], int]:
    """How many programs have been compiled so far in this process: read it before and after."""
    return lambda: len(_compiled)


@pytest.fixture
def torch():
    """PyTorch is the second opinion where it is installed, and CI must have it."""
    if os.environ.get("OPTVIZ_CI") == "1":
        import torch
    else:
        torch = pytest.importorskip("torch")
    return torch
