"""An instructor's link that a whole class opens at once: it is computed once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

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


def processor(pid: int) -> float:
    """Seconds of all cores' time that a process has taken. Raises NotMeasured where the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError as error:
        raise NotMeasured("the system has no /proc") from error
    return (int(fields[11]) + int(fields[12])) / TICKS


def instructor() -> Readings:
    """A hundred visitors open one link to a phase map of 62,500 runs of 5,000 steps at the same moment, on a server
    that has compiled its programs. How often the map is computed is told from the server's processor time: that of the
    hundred, less that of a hundred who open the same link again, when nothing is left to compute, over what one visitor
    of another map of that size takes more than a page. Errors are counted as in *visitors*."""
    with serving(APP) as app:

        async def one(visit: Visit) -> None:
            async with opened(app.address, visit, 0):
                pass

        async def together(visit: Visit, count: int) -> None:
            await asyncio.gather(*(one(visit) for _ in range(count)))

        def taken(visit: Visit, count: int) -> tuple[float, float]:
            """Seconds of processor and of waiting."""
            before, began = processor(app.pid), time.perf_counter()
            asyncio.run(together(visit, count))
            waited = time.perf_counter() - began
            time.sleep(0.5)  # what is done after the answer counts too
            return processor(app.pid) - before, waited

        taken(large_map(1), 1)
        alone, _ = taken(large_map(2), 1)
        many, waited = taken(large_map(3), VISITORS)
        again, _ = taken(large_map(3), VISITORS)
    page = again / VISITORS
    found = (many - again) / (alone - page)
    words = f"{many:.1f} s of processor time, {again:.1f} s when it was known, one alone {alone:.1f} s"
    return {"computed": Reading(found, words), "last": Reading(waited, f"a page takes {seconds(page)}")}


BENCHMARKS = {
    "instructor": Benchmark(
        instructor,
        {
            "computed": Bar("100 open one link at once: it is computed", "times", at_most=1.5),
            "last": Bar("the same: the last of them has the page", "s", at_most=30),
        },
    )
}
