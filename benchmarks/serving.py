"""Servers to be measured: the app's own or the stock page's, each a fresh process, and the race that both show."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from optviz.experiment import Experiment, Pick, Racer
from optviz.link import to_query

ROOT = Path(__file__).parents[1]
APP, STOCK = "app.py", "benchmarks/stock_page.py"
PATIENCE = 60.0  # s that a server may take to answer
RACE = Experiment(
    Pick("rosenbrock"),
    racers=(
        Racer(Pick("adam", {"lr": 0.001})),  # whose rate is moved
        Racer(Pick("sgd", {"lr": 0.0016})),
        Racer(Pick("momentum", {"lr": 0.0005})),
        Racer(Pick("rmsprop", {"lr": 0.01})),
    ),
)
SLIDER = "Learning rate η"  # what that slider is called, on both pages


class Server(NamedTuple):
    """A running server: its address, its process id, and when it was launched (time.perf_counter)."""

    address: str
    pid: int
    launched: float


@contextmanager
def serving(script: str, cache: Path | None = None) -> Iterator[Server]:
    """A fresh server of `script` with the app's configuration, as soon as it answers.

    Compiled programs are kept in `cache`, or in a new folder. Raises OSError if it ends or does not answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless", "true"]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.fileWatcherType", "none"]
    with tempfile.TemporaryDirectory() as folder:
        launched = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": str(cache or folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            server = Server(f"http://127.0.0.1:{port}", process.pid, launched)
            _wait(process, server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:  # a busy server that does not hear
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen, server: Server) -> None:
    while time.perf_counter() < server.launched + PATIENCE:
        try:
            urllib.request.urlopen(f"{server.address}/_stcore/health", timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise OSError("the server ended before it answered") from None
            time.sleep(0.02)
    raise OSError(f"the server did not answer within {PATIENCE:.0f} s")


def link(experiment: Experiment) -> str:
    """The app's descent page with an experiment on it, relative to the server's address."""
    return "/descent?" + urlencode(to_query(experiment, Experiment(experiment.surface)), doseq=True)
