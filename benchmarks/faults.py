"""What visitors notice when something fails: replicas and the load balancer are killed while a class is at work.

    python -m benchmarks.faults             # twenty visitors on two replicas
    python -m benchmarks.faults 40 3

Visitors are those of benchmarks/visitors.py, with what a browser does besides: they keep the load balancer's cookie,
connect again when the connection is lost, and open the page anew with the address that they have by then. Prints the
table that stands in docs/reliability.md. Needs HAProxy and Linux.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from benchmarks.cluster import Cluster, cluster
from benchmarks.visitors import STREAMLIT, Visitor, WrongAnswer
from benchmarks.visits import descent

THINKING = (0.5, 1.5)  # s between two moves
AGAIN = 0.5  # s after which a browser tries again, as Streamlit's page does at first
SETTLING, AFTER = 120.0, 40.0  # s that visitors may take to settle in, and have to come back
AT_WORK = 2  # moves after which a visitor has settled in


@dataclass
class Guest:
    """What one visitor went through: moves that were answered, connections that were lost, and after each the seconds
    until the page stood there again, and whether it was as it had been left."""

    moves: int = 0
    lost: int = 0
    back: list[float] = field(default_factory=list)
    intact: list[bool] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Fault(NamedTuple):
    """Something that happens to a cluster while visitors are at work."""

    title: str
    strike: Callable[[Cluster], None]


FAULTS = {
    "kill": Fault("a replica is killed", lambda cluster: cluster.kill(0)),
    "hang": Fault("a replica hangs, with its connections open", lambda cluster: cluster.hang(0)),
    "proxy": Fault("the proxy is killed, and starts again two seconds later", lambda cluster: cluster.restart_proxy(2)),
}


def cookie(address: str) -> str:
    """What the load balancer gives a browser with its first page, so that it knows it again."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.headers.get("Set-Cookie", "").partition(";")[0]


async def stay(address: str, number: int, guest: Guest, over: asyncio.Event) -> None:
    """One visitor, who moves a slider until all is `over` and comes back whenever the connection is lost."""
    query, value, cut = "", None, None
    known = await asyncio.to_thread(cookie, address)
    stream = f"ws://{urlsplit(address).netloc}/_stcore/stream"
    while not over.is_set():
        try:
            async with connect(
                stream, subprotocols=STREAMLIT, compression=None, max_size=None, additional_headers={"Cookie": known}
            ) as socket:
                visitor = Visitor(socket, address, descent(number), number)
                visitor.query = query or visitor.query
                await visitor.arrive()
                if cut is not None:
                    guest.back.append(time.monotonic() - cut)
                    guest.intact.append(visitor.slider is not None and visitor.slider.value == value)
                    cut = None
                while not over.is_set():
                    query, value = visitor.query, visitor.slider and visitor.slider.value
                    await asyncio.sleep(random.uniform(*THINKING))
                    await visitor.move()
                    guest.moves += 1
        except (WebSocketException, OSError, TimeoutError):
            if cut is None and value is not None:  # before that, a fresh server was only slow
                cut, guest.lost = time.monotonic(), guest.lost + 1
            await asyncio.sleep(AGAIN)
        except WrongAnswer as error:
            guest.errors.append(str(error))
            return


async def strike(together: Cluster, fault: Fault, visitors: int, after: float = AFTER) -> list[Guest]:
    """What `visitors` go through when a fault strikes as soon as all are at work, until they are all back and at work
    again, or `after` seconds have passed. Raises TimeoutError if they do not settle in."""
    guests, over = [Guest() for _ in range(visitors)], asyncio.Event()
    staying = [asyncio.create_task(stay(together.address, i, guest, over)) for i, guest in enumerate(guests)]

    def working(since: list[int]) -> bool:
        return all(guest.errors or guest.moves >= before + AT_WORK for guest, before in zip(guests, since, strict=True))

    if not await _until(lambda: working([0] * visitors), SETTLING):
        raise TimeoutError(f"not all visitors were at work after {SETTLING:.0f} s")
    await asyncio.to_thread(fault.strike, together)
    then = [guest.moves for guest in guests]
    await asyncio.sleep(THINKING[1] * AT_WORK)  # a visitor who has lost nothing may have moved by then, others have not
    await _until(lambda: working(then), after)
    over.set()
    await asyncio.gather(*staying)
    return guests


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition came true within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.1)
    return True


def row(fault: Fault, guests: list[Guest]) -> str:
    """A line of the table."""
    lost, back = sum(guest.lost for guest in guests), [seconds for guest in guests for seconds in guest.back]
    intact, errors = sum(sum(guest.intact) for guest in guests), sum(len(guest.errors) for guest in guests)
    times = f"{np.median(back):.1f} s, the last {max(back):.1f} s" if back else "–"
    return f"| {fault.title} | {lost} of {len(guests)} | {len(back)} | {times} | {intact} | {errors} |"


HEAD = (
    "| fault | lost their connection | came back | page stood again after (median) | with their experiment | errors |\n"
    "| --- | --- | --- | --- | --- | --- |"
)

if __name__ == "__main__":
    visitors, replicas = [int(text) for text in sys.argv[1:]] or (20, 2)
    print(HEAD, flush=True)
    for fault in FAULTS.values():
        with cluster(replicas) as together:
            print(row(fault, asyncio.run(strike(together, fault, visitors))), flush=True)
