"""Measure everything and write docs/performance.md; or print the table of the benchmarks that are named.

    python -m benchmarks
    python -m benchmarks trajectories slider

Needs the tests' requirements; rows that need more (PyTorch, Chromium, a C compiler) say so where it is missing. Leave
the machine alone meanwhile. Ends with status 1 if a bar is missed or a benchmark fails.
"""

import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks import browser, calibration, instructor, live, networks, surfaces, sweep, visitors
from benchmarks.report import Benchmark, Line, Missing, Readings, document, table

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BENCHMARKS: dict[str, Benchmark] = {
    **surfaces.BENCHMARKS,
    **sweep.BENCHMARKS,
    **calibration.BENCHMARKS,
    **browser.BENCHMARKS,
    **visitors.BENCHMARKS,
    **instructor.BENCHMARKS,
    **networks.BENCHMARKS,
    **live.BENCHMARKS,
}


def main(names: Sequence[str]) -> int:
    """Run the benchmarks called `names`, or all of them, and return the process's exit status."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark called {unknown[0]!r}; there are {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    began, failed = time.monotonic(), False
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    results: dict[str, tuple[Benchmark, Readings]] = {}
    lines: list[Line] = []
    for name in names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        print(f"{name} …", flush=True)
        try:
            readings = benchmark.readings()
        except Exception as error:  # the others shall still be measured, and the document say what happened
            traceback.print_exc()
            readings, failed = {bar: Missing(f"failed: {type(error).__name__}") for bar in benchmark.bars}, True
        results[name] = (benchmark, readings)
        lines += (new := [Line(bar, readings[key]) for key, bar in benchmark.bars.items()])
        print(*(f"  {line.bar.work}: {line.measured}, bar {line.bar}, {line.verdict}" for line in new), sep="\n")
    if names:
        print(table(lines))
    else:
        DOCUMENT.write_text(document(results, time.monotonic() - began, load), encoding="utf-8")
        print(f"Written: {DOCUMENT.relative_to(DOCUMENT.parents[1])}")
    return int(failed or any(line.verdict == "**missed**" for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
