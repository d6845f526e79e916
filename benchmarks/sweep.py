"""A map: where 200 × 200 Adam runs end, each with a learning rate and a start of its own, against hand-written C,
batched torch and vectorized NumPy."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import optviz
from benchmarks.report import Bar, Benchmark, Missing, Reading, Readings, median_ratio, quantity
from benchmarks.surfaces import START, rosenbrock, timed
from optviz.experiment import Experiment, Pick, Racer
from optviz.many import finals, many

SIDE, STEPS = 200, 500
ROUNDS = 11
REST = 0.5  # s before each turn, as the threads of batched torch go on spinning for a while
X, Y = START
_rates, _starts = np.meshgrid(np.geomspace(1e-4, 0.3, SIDE), np.linspace(-2.0, 2.0, SIDE))
RATES, STARTS = (part.ravel().astype(np.float32) for part in (_rates, _starts))  # (SIDE²,) each
RUNS = SIDE**2
HOME = Experiment(Pick("rosenbrock"), start=START, steps=STEPS)
ADAM = Racer(Pick("adam"))

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
        x, y = STARTS.copy(), np.full(RUNS, Y, dtype=np.float32)
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
        theta = torch.stack([torch.from_numpy(STARTS), torch.full((RUNS,), Y)]).requires_grad_()
        m, v = torch.zeros(2, RUNS), torch.zeros(2, RUNS)
        for t in range(1, STEPS + 1):
            (grad,) = torch.autograd.grad(rosenbrock(theta).sum(), theta)
            with torch.no_grad():
                m.mul_(beta1).add_(grad, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                theta -= rates * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
        return theta.detach().numpy().T

    return sweep


def in_numpy() -> np.ndarray:
    """All runs as one array (2, RUNS), each operation written as a student would write it."""
    x, y = STARTS.copy(), np.full(RUNS, np.float32(Y))
    m, v = np.zeros((2, RUNS), np.float32), np.zeros((2, RUNS), np.float32)
    beta1, beta2, eps = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
    for t in range(1, STEPS + 1):
        bend = y - x * x
        grad = np.stack([-2 * (1 - x) - 400 * x * bend, 200 * bend])
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad * grad
        step = RATES * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        x, y = x - step[0], y - step[1]
    return np.stack([x, y], axis=1)


def ours() -> np.ndarray:
    return finals(HOME, ADAM, {"lr": RATES, "x": STARTS})[0]


def rested(run: Callable[[], object]) -> float:
    """The seconds of a run, after a rest and a run that wakes the cores and fills their caches."""
    time.sleep(REST)
    run()
    return timed(run)


def a_map() -> Readings:
    """200 × 200 Adam runs of 500 steps on Rosenbrock's function, with rates from 1e-4 to 0.3 and starts from x = −2
    to 2, in single precision; only the final points are kept. The C (benchmarks/sweep.c) is compiled here for this
    processor and uses two threads; PyTorch and NumPy move all runs as one batch. Medians of the ratios of eleven
    rounds, in turns, each after half a second of rest and a run that is not timed; NumPy takes part in one. All are
    checked against single runs of the library. Beside it stands what the page asks for: how each run ended, too."""
    with tempfile.TemporaryDirectory() as folder:
        contenders = {"C": in_c(Path(folder)), "batched torch": in_torch(), "ours": ours}
        there = {name: run for name, run in contenders.items() if run is not None}
        for name, run in [*there.items(), ("NumPy", in_numpy)]:
            check(name, run())
        many(HOME, ADAM, {"lr": RATES, "x": STARTS})  # compiles
        times = {name: [] for name in (*there, "whole")}
        for _ in range(ROUNDS):
            for name, run in there.items():
                times[name].append(rested(run))
            times["whole"].append(rested(lambda: many(HOME, ADAM, {"lr": RATES, "x": STARTS})))
        numpy = rested(in_numpy)

    def speed(seconds: float) -> str:
        return f"{quantity(RUNS * STEPS / seconds / 1e6)} M steps a second"

    own = float(np.median(times["ours"]))
    beside = f"NumPy {speed(numpy)}; with the verdict on each run {speed(float(np.median(times['whole'])))}"

    def row(name: str, absent: str, more: str = "") -> Reading | Missing:
        if name not in there:
            return Missing(f"not measured: {absent} ({speed(own)})")
        other = speed(float(np.median(times[name])))
        return Reading(median_ratio(times[name], times["ours"]), f"{speed(own)} against {other}{more}")

    return {
        "c": row("C", "no compiler"),
        "torch": row("batched torch", "PyTorch is not installed", f"; {beside}"),
    }


def check(name: str, ends: np.ndarray) -> None:
    """Raise ValueError unless the final points are those of the library's single runs, to single precision. Rates
    above 0.1 are left out: runs that swing end a little elsewhere in each precision."""
    calm = np.flatnonzero(RATES < 0.1)
    for i in calm[np.linspace(0, len(calm) - 1, 5).astype(int)]:
        start = (float(STARTS[i]), Y)
        exact = optviz.trace("rosenbrock", "adam", steps=STEPS, start=start, lr=float(RATES[i])).theta[-1]
        if not np.allclose(ends[i], exact, rtol=0, atol=1e-3):
            raise ValueError(f"{name} ends at {ends[i]} with lr {RATES[i]}, the library at {exact}")


BENCHMARKS = {
    "map": Benchmark(
        a_map,
        {
            "c": Bar("a map of 200 × 200 Adam runs × 500 steps: against C on two threads", "×", at_least=0.6),
            "torch": Bar("a map of 200 × 200 Adam runs × 500 steps: against batched torch", "×", at_least=8),
        },
    )
}
