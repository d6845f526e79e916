"""Sweeps: where many Adam runs end, each with a learning rate of its own, in hand-written C and in batched torch.

The library has no sweep yet that returns final points alone (`descent.sweep` keeps every point, which would be 800 MB
here), so there is no ratio yet: the speeds that it will be held against are measured and shown.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import optviz
from benchmarks.report import Bar, Benchmark, Missing, Readings, quantity
from benchmarks.surfaces import START, rosenbrock, timed

RUNS, STEPS = 40_000, 500
ROUNDS = 3
RATES = np.geomspace(1e-4, 0.3, RUNS).astype(np.float32)
NOT_BUILT = "not built yet: comes with the maps"

Sweep = Callable[[], np.ndarray]  # → final points (RUNS, 2)


def in_c(folder: Path) -> Sweep | None:
    """The sweep of sweep.c, compiled into `folder`; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    library = folder / "sweep.so"
    flags = ["-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC", "-pthread"]
    source = Path(__file__).with_name("sweep.c")
    subprocess.run([compiler, *flags, "-o", library, source, "-lm"], check=True)
    descend = ctypes.CDLL(str(library)).sweep
    floats = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
    descend.argtypes = [ctypes.c_long, ctypes.c_long, floats, floats, floats]

    def sweep() -> np.ndarray:
        x, y = (np.full(RUNS, part, dtype=np.float32) for part in START)
        if descend(RUNS, STEPS, RATES, x, y):
            raise OSError("the sweep in C could not start its threads")
        return np.stack([x, y], axis=1)

    return sweep


def in_torch() -> Sweep | None:
    """All runs as one batch: autograd on tensors (2, RUNS), and Adam written out, as torch.optim has one rate for all;
    None without torch."""
    try:
        import torch
    except ImportError:
        return None
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    rates = torch.from_numpy(RATES)

    def sweep() -> np.ndarray:
        theta = torch.tensor(START, dtype=torch.float32)[:, None].repeat(1, RUNS).requires_grad_()
        m, v = torch.zeros(2, RUNS), torch.zeros(2, RUNS)
        for t in range(1, STEPS + 1):
            (grad,) = torch.autograd.grad(rosenbrock(theta).sum(), theta)
            with torch.no_grad():
                m.mul_(beta1).add_(grad, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                theta -= rates * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
        return theta.detach().numpy().T

    return sweep


def sweep() -> Readings:
    """40,000 Adam runs of 500 steps from (−1.2, 1), with rates from 1e-4 to 0.3, in single precision; only the final
    points are kept. The C (benchmarks/sweep.c) is compiled here for this processor and uses two threads; PyTorch runs
    all runs as one batch. Medians of three rounds in turns; both are checked against single runs of the library."""
    with tempfile.TemporaryDirectory() as folder:
        contenders = {"C": in_c(Path(folder)), "batched torch": in_torch()}
        there = {name: run for name, run in contenders.items() if run is not None}
        for name, run in there.items():
            check(name, run())
        times = {name: [] for name in there}
        for _ in range(ROUNDS):
            for name, run in there.items():
                times[name].append(timed(run))

    def row(name: str, absent: str) -> Missing:
        if name not in there:
            return Missing(f"{NOT_BUILT} (and not measured: {absent})")
        speed = RUNS * STEPS / float(np.median(times[name])) / 1e6
        return Missing(f"{NOT_BUILT} ({name}: {quantity(speed)} M steps a second)")

    return {"c": row("C", "no compiler"), "torch": row("batched torch", "PyTorch is not installed")}


def check(name: str, ends: np.ndarray) -> None:
    """Raise ValueError unless the final points are those of the library's single runs, to single precision."""
    for i in np.linspace(0, RUNS - 1, 5).astype(int):
        exact = optviz.trace("rosenbrock", "adam", steps=STEPS, start=START, lr=float(RATES[i])).theta[-1]
        if not np.allclose(ends[i], exact, rtol=0, atol=1e-3):
            raise ValueError(f"{name} ends at {ends[i]} with lr {RATES[i]}, the library at {exact}")


BENCHMARKS = {
    "sweep": Benchmark(
        sweep,
        {
            "c": Bar("40,000 Adam runs × 500 steps, final points: against C on two threads", "×", at_least=0.6),
            "torch": Bar("40,000 Adam runs × 500 steps, final points: against batched torch", "×", at_least=8),
        },
    )
}
