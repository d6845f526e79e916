"""An instructor's link that a whole class opens at once: it is computed once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import Bar, Benchmark, NotMeasured, Reading, Readings, seconds
from benchmarks.serving import APP, serving
from benchmarks.visitors import VISITORS, opened
from benchmarks.visits import VISITS, Visit, link_to
from optviz import phase_map, phase_map_link

TICKS = 100  # of a processor's time in a second, as Linux tells them
# A map of 62,500 runs of 5,000 steps: what it takes stands out against a hundred pages.
MAP = replace(phase_map.PLANE, resolution=250, on=replace(phase_map.PLANE.on, steps=5000))


def large_map(number: int) -> Visit:
    """A phase map that nobody has seen yet."""
    on = replace(MAP.on, start=(-1.8, 1 + 0.005 * number))
    query = link_to(phase_map_link, phase_map.PLANE, lambda _: replace(MAP, on=on))
    return replace(next(one for one in VISITS if one.page == "pages/phase_map.py"), query=query)


class Spent(NamedTuple):
    """Seconds of processor time of a server: of all its threads, and of those that compute for all visitors, which
    give way to pages by a lower priority and are told apart by it."""

    whole: float
    computing: float


def spent(pid: int) -> Spent:
    """What a process has spent. Raises NotMeasured where the system has no /proc."""
    try:
        own = [one.joinpath("stat").read_text(encoding="ascii") for one in Path(f"/proc/{pid}/task").iterdir()]
        whole = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError as error:
        raise NotMeasured("the system has no /proc") from error

    def seconds_and_nice(line: str) -> tuple[float, int]:
        fields = line.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS, int(fields[16])

    all_, usual = seconds_and_nice(whole)
    return Spent(all_, sum(time for time, nice in map(seconds_and_nice, own) if nice > usual))


def instructor() -> Readings:
    """A hundred visitors open one link to a phase map of 62,500 runs of 5,000 steps at the same moment, on a server
    that has compiled its programs. How often the map is computed is told from the processor time of the server's
    threads that compute for all visitors: that of the hundred over that of one visitor of another map of that size.
    What all threads took is stated too, and what they take when a hundred open the same link again and nothing is left
    to compute. Errors are counted as in *visitors*."""
    with serving(APP) as app:

        async def one(visit: Visit) -> None:
            async with opened(app.address, visit, 0):
                pass

        async def together(visit: Visit, count: int) -> None:
            await asyncio.gather(*(one(visit) for _ in range(count)))

        def taken(visit: Visit, count: int) -> tuple[Spent, float]:
            """What it took of processor, and seconds of waiting."""
            before, began = spent(app.pid), time.perf_counter()
            asyncio.run(together(visit, count))
            waited = time.perf_counter() - began
            time.sleep(0.5)  # what is done after the answer counts too
            after = spent(app.pid)
            return Spent(after.whole - before.whole, after.computing - before.computing), waited

        taken(large_map(1), 1)
        alone, _ = taken(large_map(2), 1)
        many, waited = taken(large_map(3), VISITORS)
        again, _ = taken(large_map(3), VISITORS)
    words = f"{many.computing:.2f} s of computing, {alone.computing:.2f} s for one alone"
    words += f"; {many.whole:.1f} s of processor time in all, {again.whole:.1f} s when it was known"
    page = again.whole / VISITORS
    return {
        "computed": Reading(many.computing / alone.computing, words),
        "last": Reading(waited, f"a page takes {seconds(page)}"),
    }


BENCHMARKS = {
    "instructor": Benchmark(
        instructor,
        {
            "computed": Bar("100 open one link at once: it is computed", "times", at_most=1.5),
            "last": Bar("the same: the last of them has the page", "s", at_most=30),
        },
    )
}
