"""A class of visitors: a load generator that speaks Streamlit's websocket protocol, and what the server makes of it.

    python -m benchmarks.visitors http://127.0.0.1:8501
    python -m benchmarks.visitors http://127.0.0.1:8501 5 10 30    # five, who come within 10 s, for 30 s

Each visitor opens the descent page, then thinks and moves the learning rate's slider, again and again, with the
messages that a browser sends: all widgets' states, the fragment that the slider belongs to, and the large messages it
remembers. A move is answered when the script has finished and another picture came with it; anything else is an error.
The generator is a process of its own, so that it takes from the server no more than its share of the processor.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from streamlit.components.v2.bidi_component.constants import EVENT_DELIM
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.state.session_state import STREAMLIT_INTERNAL_KEY_PREFIX
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from benchmarks.report import Bar, Benchmark, Missing, Reading, Readings, seconds
from benchmarks.serving import APP, RACE, ROOT, SLIDER, link, serving

VISITORS = 100
ARRIVING, MEASURED = 20.0, 60.0  # s: while they come, nothing is counted
THINKING = (1.0, 3.0)  # s, evenly spread: two on average
REMEMBERED = 4  # large messages: a browser keeps those of the last runs, and the server sends them by name
ANSWER = 30.0  # s after which an answer that has not come is an error
STREAMLIT = [Subprotocol("streamlit")]
FULL, FRAGMENT = ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY


class WrongAnswer(Exception):
    """The server answered, and not as it should."""


class Visitor:
    """One open page. `number` chooses a start that no other visitor has, so that nobody lives on another's runs."""

    def __init__(self, socket: Any, address: str, number: int):
        self.socket, self.address = socket, address
        self.page, _, self.query = link(replace(RACE, start=(-1.2, 1 + 0.005 * number)))[1:].partition("?")
        self.widgets: dict[str, WidgetState] = {}
        self.slider: dict[str, Any] = {}  # as the panel of controls shows it
        self.heard = 0  # the last move that the server knows
        self.panel = self.fragment = self.script = self.picture = ""
        # Hashes of large messages, the latest last, and whether they are pictures. None is forgotten before the next
        # question, because the answer may name it.
        self.remembered: dict[str, bool] = {}

    async def arrive(self) -> None:
        """Open the page."""
        await self.rerun()
        await self.answer(FULL)
        if not self.slider:
            raise WrongAnswer(f"there is no slider called {SLIDER}")

    async def move(self) -> None:
        """Move the slider to another value, and wait for the picture."""
        before = self.picture
        others = [stop for stop in self.slider["spec"]["stops"] if stop != self.slider["value"]]
        move = [self.heard + 1, self.slider["name"], random.choice(others)]
        moved = WidgetState(id=f"{STREAMLIT_INTERNAL_KEY_PREFIX}_{self.panel}{EVENT_DELIM}events")
        moved.json_trigger_value = json.dumps([{"event": "moves", "value": [move]}])
        await self.rerun(self.fragment, moved)
        await self.answer(FRAGMENT)
        if self.picture == before:
            raise WrongAnswer("the picture is the same as before the move")
        if [self.heard, self.slider["value"]] != [move[0], move[2]]:
            raise WrongAnswer("the slider is not where it was moved")

    async def rerun(self, fragment: str = "", *moved: WidgetState) -> None:
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.fragment_id = self.query, fragment
        asked.widget_states.widgets.extend([*self.widgets.values(), *moved])
        if self.script:
            asked.page_script_hash = self.script
        else:
            asked.page_name = self.page
        self.remembered = dict(list(self.remembered.items())[-REMEMBERED:])
        asked.cached_message_hashes.extend(self.remembered)
        asked.context_info.url = f"{self.address}/{self.page}"
        asked.context_info.timezone = "UTC"
        await self.socket.send(message.SerializeToString())

    async def answer(self, wanted: int) -> None:
        """Read until the script has finished. Raises WrongAnswer if it shows an error or ends in another way."""
        async with asyncio.timeout(ANSWER):
            while True:
                message = ForwardMsg.FromString(await self.socket.recv())
                match message.WhichOneof("type"):
                    case "delta":
                        self.read(message)
                    case "ref_hash" if self.remembered[message.ref_hash]:  # a picture that the page has had before
                        self.picture = message.ref_hash
                    case "page_info_changed":
                        self.query = message.page_info_changed.query_string
                    case "script_finished":
                        if message.script_finished == wanted:
                            return
                        raise WrongAnswer(f"the script finished with status {message.script_finished}")

    def read(self, message: ForwardMsg) -> None:
        delta = message.delta
        if delta.WhichOneof("type") != "new_element":
            return
        kind = str(delta.new_element.WhichOneof("type"))
        element = getattr(delta.new_element, kind)
        if kind == "exception":
            raise WrongAnswer(f"the page shows {element.type}: {element.message[:200]}")
        is_picture = kind == "bidi_component" and element.component_name.endswith("optviz_stage")
        if is_picture:
            self.picture = message.hash
        if kind == "bidi_component" and element.component_name.endswith("optviz_panel"):
            shown = json.loads(element.bytes)
            parts = [{**part, "spec": json.loads(part["spec"])} for part in shown["parts"]]
            self.slider = next((part for part in parts if part["spec"].get("label") == SLIDER), {})
            self.heard, self.panel = shown["heard"], element.id
            self.fragment, self.script = delta.fragment_id, message.metadata.active_script_hash
        if message.metadata.cacheable:
            self.remembered.pop(message.hash, None)
            self.remembered[message.hash] = is_picture
        state = stated(kind, element)
        if state is not None and (element.set_value or element.id not in self.widgets):
            self.widgets[element.id] = state


def stated(kind: str, element: Any) -> WidgetState | None:
    """What a browser says of a widget that was just drawn; None of an element that is no widget."""
    state = WidgetState()
    match kind:
        case "selectbox":
            if element.raw_value or element.HasField("default"):
                state.string_value = element.raw_value or element.options[element.default]
        case "button_group":
            state.string_array_value.data.extend(element.raw_values)
        case "number_input":
            state.double_value = element.value if element.set_value else element.default
        case "checkbox":
            state.bool_value = element.value if element.set_value else element.default
        case _:
            return None
    state.id = element.id
    return state


async def visit(address: str, number: int, counted: float, end: float, times: list[float], errors: list[str]) -> None:
    """One visitor's stay: arrive, then think and move until the end, with the moves from `counted` on kept."""
    stream = f"ws://{urlsplit(address).netloc}/_stcore/stream"
    try:
        async with connect(stream, subprotocols=STREAMLIT, compression=None, max_size=None) as socket:
            visitor = Visitor(socket, address, number)
            await visitor.arrive()
            while True:
                await asyncio.sleep(random.uniform(*THINKING))
                asked = time.perf_counter()
                if asked > end:
                    return
                await visitor.move()
                if asked > counted:
                    times.append(time.perf_counter() - asked)
    except (WrongAnswer, WebSocketException, OSError, TimeoutError) as error:
        errors.append(f"{type(error).__name__}: {error}")


async def generate(
    address: str, count: int = VISITORS, arriving: float = ARRIVING, measured: float = MEASURED
) -> dict[str, Any]:
    """Let `count` visit, who come within `arriving` seconds and then are measured: the seconds of each counted move,
    the errors, and the share of a core it took to ask."""
    times: list[float] = []
    errors: list[str] = []
    began, worked = time.perf_counter(), time.process_time()
    counted = began + arriving

    async def in_turn(number: int) -> None:
        await asyncio.sleep(arriving * number / count)
        await visit(address, number, counted, counted + measured, times, errors)

    await asyncio.gather(*map(in_turn, range(count)))
    share = (time.process_time() - worked) / (time.perf_counter() - began)
    return {"times": times, "errors": errors, "share": share}


def resident(pid: int) -> float:
    """A process's memory in MB; not a number where the system has no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def visitors() -> Readings:
    """A hundred visitors come within 20 s to the descent page of one server process; each has four optimizers on
    Rosenbrock from a start of their own, thinks one to three seconds, and moves the learning rate's slider, for a
    minute that is measured. They are asked for by one process that speaks Streamlit's websocket protocol
    (benchmarks/visitors.py), on the same machine; its share of a core is stated, and its own delays are in the times,
    which run from sending a move to reading that the script has finished. A move without a new picture, an exception on
    the page, a lost connection or no answer within 30 s is an error. Memory is the server's largest resident set while
    they are there."""
    memory = []
    with serving(APP) as app:
        command = [sys.executable, "-m", "benchmarks.visitors", app.address]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as generator:
            output = None
            while output is None:
                try:
                    output, _ = generator.communicate(timeout=1)
                except subprocess.TimeoutExpired:
                    memory.append(resident(app.pid))
        if generator.returncode:
            raise RuntimeError("the load generator failed")
    return summary(json.loads(output), max(memory))


def summary(found: Mapping[str, Any], memory: float) -> Readings:
    """The readings of what the generator found. Without a counted move there are no times, and no bar is met."""
    times, errors = found["times"] or [float("nan")], found["errors"]
    moves = f"{len(found['times']):,} moves in {MEASURED:.0f} s; the generator took {found['share']:.0%} of a core"
    return {
        "median": Reading(1e3 * float(np.median(times)), moves),
        "most": Reading(1e3 * float(np.percentile(times, 95)), f"slowest {seconds(max(times))}"),
        "errors": Reading(len(errors), errors[0] if errors else ""),
        "memory": Missing("not measured: the system has no /proc") if np.isnan(memory) else Reading(memory),
    }


BENCHMARKS = {
    "visitors": Benchmark(
        visitors,
        {
            "median": Bar("100 visitors with 2 s of thinking, one process: half of the moves", "ms", at_most=60),
            "most": Bar("the same: 95 of 100 moves", "ms", at_most=250),
            "errors": Bar("the same: errors", "errors", at_most=0),
            "memory": Bar("the same: memory of the server", "MB", at_most=600),
        },
    )
}

if __name__ == "__main__":
    count, *spans = sys.argv[2:] or (VISITORS,)
    print(json.dumps(asyncio.run(generate(sys.argv[1], int(count), *map(float, spans)))))
