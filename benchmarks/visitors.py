"""A class of visitors: a load generator that speaks Streamlit's websocket protocol, and what the server makes of it.

    python -m benchmarks.visitors http://127.0.0.1:8501
    python -m benchmarks.visitors http://127.0.0.1:8501 mix 28 10 30    # on all pages, within 10 s, for 30 s

Each visitor opens a page, then thinks and moves a slider, again and again, with the messages that a browser sends: all
widgets' states, the fragment that the slider belongs to, and the large messages it remembers. What is done on which
page is declared in `visits.py`. A move is answered when the script has finished and another picture came with it;
anything else is an error. The generator is a process of its own, so that it takes from the server no more than its
share of the processor.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
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
from benchmarks.serving import APP, ROOT, serving
from benchmarks.visits import CROWDS, Visit

VISITORS = 100
ARRIVING, MEASURED = 20.0, 60.0  # s: while they come, nothing is counted
THINKING = (1.0, 3.0)  # s, evenly spread: two on average
REMEMBERED = 4  # large messages: a browser keeps those of the last runs, and the server sends them by name
FORERUNNER = 9_999  # its number, which nobody of a crowd has
ANSWER = 30.0  # s after which an answer that has not come is an error
FIRST = 300.0  # s that the first visit to a page may take, which compiles all rules for some of them
ENDED = 0.5  # s after which a visitor looks again at a training that has ended or paused
PICTURES = ("optviz_stage", "optviz_chart", "optviz_walk")
TRIGGERS = ("trigger_value", "json_trigger_value")  # said once, when it happens
STEPS = re.compile(r"step (\d+) of (\d+)")
STREAMLIT = [Subprotocol("streamlit")]
FULL, FRAGMENT = ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY


class WrongAnswer(Exception):
    """The server answered, and not as it should."""


@dataclass(frozen=True)
class Handle:
    """The slider that a visitor moves: where it can stand and stands, and what a browser says when it is moved."""

    stops: Sequence[Any]
    value: Any
    fragment: str
    moved: Callable[[Any], WidgetState]
    heard: int = 0  # the last move that the server knows
    in_panel: bool = False  # where moves are counted


class Visitor:
    """One open page, and what its browser remembers."""

    def __init__(self, socket: Any, address: str, visit: Visit, number: int, patience: float = ANSWER):
        self.socket, self.address, self.visit, self.query = socket, address, visit, visit.query(number)
        self.patience = patience  # s
        self.widgets: dict[str, WidgetState] = {}
        self.slider: Handle | None = None
        self.buttons: dict[str, tuple[str, str]] = {}  # the fragment and the id, by the label
        self.script = self.picture = self.status = ""
        # Hashes of large messages, the latest last, and whether they are pictures. None is forgotten before the next
        # question, because the answer may name it.
        self.remembered: dict[str, bool] = {}
        self.stage: tuple[str, str] | None = None  # its fragment and its id
        self.live: float | None = None  # s between two looks at a run that goes on; None if none does
        self.ticks = 0

    async def arrive(self) -> None:
        """Open the page."""
        await self.rerun()
        await self.answer(FULL)
        if self.visit.pictures and not self.picture:
            raise WrongAnswer("there is no picture")
        if self.visit.slider and self.slider is None:
            raise WrongAnswer(f"there is no slider called {self.visit.slider}")

    async def move(self) -> None:
        """Move the slider to another value, and wait for the picture."""
        before, slider = self.picture, self.slider
        assert slider is not None, "arrive has found it"
        to = random.choice([stop for stop in slider.stops if stop != slider.value])
        await self.rerun(slider.fragment, slider.moved(to))
        if not slider.in_panel:  # it stands there, unless the answer puts it elsewhere
            self.slider = replace(slider, value=to)
        await self.answer(FRAGMENT)
        if self.picture == before:
            raise WrongAnswer("the picture is the same as before the move")
        now = self.slider
        if now is None or (now.value, now.heard) != (to, slider.heard + slider.in_panel):
            raise WrongAnswer(f"the slider was moved to {to} and stands at {now and now.value}")

    async def press(self, label: str) -> None:
        """Press a button, and wait for what it brings."""
        fragment, id = self.buttons[label]
        await self.rerun(fragment, WidgetState(id=id, trigger_value=True))
        await self.answer(FRAGMENT)

    async def look(self) -> None:
        """Ask for more of a run that goes on, as the stage does when it has drawn what came."""
        assert self.stage is not None
        self.ticks += 1
        await self.rerun(self.stage[0], event(self.stage[1], "tick", self.ticks))
        await self.answer(FRAGMENT)

    async def rerun(self, fragment: str = "", *moved: WidgetState) -> None:
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.fragment_id = self.query, fragment
        changed = {state.id: state for state in moved}
        for state in moved:
            if state.WhichOneof("value") not in TRIGGERS:  # it stays there
                self.widgets[state.id] = state
        asked.widget_states.widgets.extend((self.widgets | changed).values())
        if self.script:
            asked.page_script_hash = self.script
        else:
            asked.page_name = self.visit.name
        self.remembered = dict(list(self.remembered.items())[-REMEMBERED:])
        asked.cached_message_hashes.extend(self.remembered)
        asked.context_info.url = f"{self.address}/{self.visit.name}"
        asked.context_info.timezone = "UTC"
        await self.socket.send(message.SerializeToString())

    async def answer(self, wanted: int) -> None:
        """Read until the script has finished. Raises WrongAnswer if it shows an error or ends in another way."""
        async with asyncio.timeout(self.patience):
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
        """Take in one element of the page."""
        delta = message.delta
        if delta.WhichOneof("type") != "new_element":
            return
        kind, fragment = str(delta.new_element.WhichOneof("type")), delta.fragment_id
        element = getattr(delta.new_element, kind)
        self.script = message.metadata.active_script_hash or self.script
        is_picture = False
        match kind:
            case "exception":
                raise WrongAnswer(f"the page shows {element.type}: {element.message[:200]}")
            case "bidi_component" if element.component_name.endswith("optviz_panel"):
                self.slider = in_panel(element, fragment, self.visit.slider) or self.slider
            case "bidi_component" if element.component_name.endswith(PICTURES):
                is_picture, self.picture = True, message.hash
                if self.visit.training:
                    live = json.loads(element.bytes)["live"]
                    self.stage, self.live = (fragment, element.id), None if live is None else live / 1000
            case "plotly_chart":
                is_picture, self.picture = True, message.hash
            case "button":
                self.buttons[element.label] = fragment, element.id
            case "progress":
                self.status = element.text
        if message.metadata.cacheable:
            self.remembered.pop(message.hash, None)
            self.remembered[message.hash] = is_picture
        state = stated(kind, element)
        if state is not None and (element.set_value or element.id not in self.widgets):
            self.widgets[element.id] = state
        if kind == "slider" and element.label == self.visit.slider:
            self.slider = alone(element, fragment, self.widgets[element.id])


def event(component: str, name: str, value: Any) -> WidgetState:
    """What a component of ours says when something happens in it."""
    return WidgetState(
        id=f"{STREAMLIT_INTERNAL_KEY_PREFIX}_{component}{EVENT_DELIM}events",
        json_trigger_value=json.dumps([{"event": name, "value": value}]),
    )


def in_panel(panel: Any, fragment: str, label: str) -> Handle | None:
    """The first slider of this label in a panel of controls."""
    shown = json.loads(panel.bytes)
    parts = [{**part, "spec": json.loads(part["spec"])} for part in parts_of(shown["parts"])]
    part = next((one for one in parts if one["spec"].get("label") == label and one["spec"]["kind"] == "slider"), None)
    if part is None:
        return None

    def moved(to: Any) -> WidgetState:
        return event(panel.id, "moves", [[shown["heard"] + 1, part["name"], to]])

    return Handle(part["spec"]["stops"], part["value"], fragment, moved, shown["heard"], True)


def parts_of(parts: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """All parts of a panel, those in boxes too."""
    for part in parts:
        if "parts" in part:
            yield from parts_of(part["parts"])
        else:
            yield part


def alone(slider: Any, fragment: str, state: WidgetState) -> Handle:
    """A slider of Streamlit's own, whose stops are words."""

    def moved(to: str) -> WidgetState:
        state = WidgetState(id=slider.id)
        state.string_array_value.data.append(to)
        return state

    return Handle(list(slider.options), state.string_array_value.data[0], fragment, moved)


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
        case "text_input":
            state.string_value = element.value if element.set_value else element.default
        case "checkbox":
            state.bool_value = element.value if element.set_value else element.default
        case "slider":
            own = element.raw_value or [element.options[int(at)] for at in element.default]
            state.string_array_value.data.extend(own)
        case _:
            return None
    state.id = element.id
    return state


class Seen:
    """What a crowd has met: the seconds of each counted answer by page, the looks at trainings and the steps that these
    took, and errors."""

    def __init__(self):
        self.times: dict[str, list[float]] = {}
        self.looks: list[float] = []
        self.steps: list[int] = []
        self.errors: list[str] = []


async def visit(address: str, visit: Visit, number: int, counted: float, end: float, seen: Seen) -> None:
    """One visitor's stay: arrive, then think and move until the end, with what is asked from `counted` on kept."""
    times = seen.looks if visit.training else seen.times.setdefault(visit.page, [])
    stay = train if visit.training else move if visit.slider else load
    try:
        await stay(address, visit, number, counted, end, times, seen)
    except (WrongAnswer, WebSocketException, OSError, TimeoutError) as error:
        seen.errors.append(f"{visit.page}: {type(error).__name__}: {error}")


@asynccontextmanager
async def opened(address: str, visit: Visit, number: int, patience: float = ANSWER) -> AsyncIterator[Visitor]:
    """A visitor who has just arrived."""
    stream = f"ws://{urlsplit(address).netloc}/_stcore/stream"
    async with connect(stream, subprotocols=STREAMLIT, compression=None, max_size=None) as socket:
        visitor = Visitor(socket, address, visit, number, patience)
        await visitor.arrive()
        yield visitor


async def move(address, visit, number, counted, end, times, _) -> None:
    """Think and move the slider."""
    async with opened(address, visit, number) as visitor:
        while await thought(end):
            await timed(visitor.move(), counted, times)


async def load(address, visit, number, counted, end, times, _) -> None:
    """Think and load the page anew, which for a server is another visitor."""

    async def once() -> None:
        async with opened(address, visit, number):
            pass

    await once()
    while await thought(end):
        await timed(once(), counted, times)


async def train(address, visit, number, counted, end, times, seen) -> None:
    """Train and watch, from the start again when it has ended."""
    async with opened(address, visit, number) as visitor:
        await visitor.press("Start")
        begun = steps_of(visitor.status)
        while time.perf_counter() < end:
            await asyncio.sleep(visitor.live or ENDED)
            if visitor.live is None and steps_of(visitor.status) == steps_of(visitor.status, of=True):
                seen.steps.append(steps_of(visitor.status) - begun)
                begun = 0
                await visitor.press("Same weights")
                await visitor.press("Start")
            await timed(visitor.look(), counted, times)
        steps = steps_of(visitor.status) - begun
        if steps <= 0 and not visitor.live:
            raise WrongAnswer(f"the training stands still: {visitor.status}")
        seen.steps.append(steps)


def steps_of(status: str, of: bool = False) -> int:
    """The steps taken, or those planned, as the page tells them."""
    found = STEPS.search(status)
    if found is None:
        raise WrongAnswer(f"the page does not tell how far the training is: {status[:100]}")
    return int(found[2 if of else 1])


async def thought(end: float) -> bool:
    """Think, and tell whether there is time for another move."""
    await asyncio.sleep(random.uniform(*THINKING))
    return time.perf_counter() < end


async def timed(doing: Awaitable[None], counted: float, times: list[float]) -> None:
    began = time.perf_counter()
    await doing
    if began > counted:
        times.append(time.perf_counter() - began)


async def warm_up(address: str, visits: Iterable[Visit]) -> None:
    """Visit each of these once, one after another, so that what they need is compiled."""
    for visit in visits:
        async with opened(address, visit, FORERUNNER, FIRST) as visitor:
            if visit.slider:
                await visitor.move()


async def generate(
    address: str,
    crowd: str = "descent",
    count: int = VISITORS,
    arriving: float = ARRIVING,
    measured: float = MEASURED,
) -> dict[str, Any]:
    """Let `count` of a crowd visit, who come within `arriving` seconds and then are measured: the seconds of each
    counted move by page, those of each look at a training, the steps that these took, the errors, and the share of a
    core it took to ask. Before, one visitor sees all that they will visit."""
    await warm_up(address, dict.fromkeys(CROWDS[crowd](number) for number in range(count)))
    seen, began, worked = Seen(), time.perf_counter(), time.process_time()
    counted = began + arriving

    async def in_turn(number: int) -> None:
        await asyncio.sleep(arriving * number / count)
        await visit(address, CROWDS[crowd](number), number, counted, counted + measured, seen)

    await asyncio.gather(*map(in_turn, range(count)))
    share = (time.process_time() - worked) / (time.perf_counter() - began)
    return {**vars(seen), "share": share}


def resident(pid: int) -> float:
    """A process's memory in MB; not a number where the system has no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def asked(address: str, *words: str, meanwhile: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """What a generator in a process of its own finds; `meanwhile` is called every second. Raises RuntimeError if it
    fails."""
    command = [sys.executable, "-m", "benchmarks.visitors", address, *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as generator:
        output = None
        while output is None:
            try:
                output, _ = generator.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                meanwhile()
    if generator.returncode:
        raise RuntimeError("the load generator failed")
    return json.loads(output)


class Memory(NamedTuple):
    """What a server took, in MB: before the first visitor, when one has seen all that the crowd will visit, and the
    most of it."""

    before: float
    seen: float
    most: float

    def __str__(self) -> str:
        each = (self.most - self.seen) / VISITORS
        return f"{self.before:.0f} before the first visitor, {self.seen:.0f} after one, {each:.1f} more for each of all"


def served(crowd: str) -> tuple[dict[str, Any], Memory]:
    """What a crowd found on a fresh server, and the server's memory."""
    with serving(APP) as app:
        before = resident(app.pid)
        asyncio.run(warm_up(app.address, dict.fromkeys(CROWDS[crowd](number) for number in range(VISITORS))))
        memory = [seen := resident(app.pid)]
        found = asked(app.address, crowd, meanwhile=lambda: memory.append(resident(app.pid)))
    return found, Memory(before, seen, max(memory))


def visitors() -> Readings:
    """A hundred visitors come within 20 s to the descent page of one server process, which one has seen before. Each
    has four optimizers on Rosenbrock from a start of their own, thinks one to three seconds, and moves the learning
    rate's slider, for a minute that is measured. They are asked for by one process that speaks Streamlit's websocket
    protocol (benchmarks/visitors.py), on the same machine; its share of a core is stated, and its own delays are in the
    times, which run from sending a move to reading that the script has finished. A move without a new picture, an
    exception on the page, a lost connection or no answer within 30 s is an error. Memory is the server's largest
    resident set while they are there; what each adds is told from that after the one who has seen the page before."""
    found, memory = served("descent")
    return summary(found, memory)


def mix() -> Readings:
    """The same with a hundred visitors on all pages in turns (benchmarks/visits.py), each of which somebody has opened
    before, so that its programs are compiled: each opens a link with a start, a
    seed or a number of their own and moves one slider, from one stop to any other; a page without sliders is loaded
    anew, over a new connection. By page the time within which 95 of 100 moves are answered is stated, the slowest
    first."""
    found, memory = served("mix")
    return summary(found, memory)


def class_() -> Readings:
    """Eighty visitors as in *mix*, and twenty who each train two networks on the training page and watch: their stage
    asks for the next picture when it has drawn the last one, as often as the page lets it. A training that has not come
    further is an error."""
    found, memory = served("class")
    readings = summary(found, memory)
    steps = f"20 trainings took {sum(found['steps']):,} steps and were looked at {len(found['looks']):,} times"
    return {"most": readings["most"], "errors": Reading(len(found["errors"]), "; ".join([*found["errors"][:1], steps]))}


def summary(found: Mapping[str, Any], memory: Memory) -> Readings:
    """The readings of what the generator found, and of the memory. Without a counted move there are
    no times, and no bar is met."""
    pages, errors = found["times"], found["errors"]
    times = [one for own in pages.values() for one in own] or [float("nan")]
    count = sum(map(len, pages.values()))
    moves = f"{count:,} moves in {MEASURED:.0f} s; the generator took {found['share']:.0%} of a core"
    slow = sorted(((float(np.percentile(own, 95)), page) for page, own in pages.items() if own), reverse=True)
    by_page = "".join(f"; {Path(page).stem} {1e3 * most:.0f}" for most, page in slow) if len(slow) > 1 else ""
    return {
        "median": Reading(1e3 * float(np.median(times)), moves),
        "most": Reading(1e3 * float(np.percentile(times, 95)), f"slowest {seconds(max(times))}{by_page}"),
        "errors": Reading(len(errors), errors[0] if errors else ""),
        "memory": Missing("not measured: the system has no /proc")
        if np.isnan(memory.most)
        else Reading(memory.most, str(memory)),
    }


def _bars(who: str) -> dict[str, Bar]:
    return {
        "median": Bar(f"{who}: half of the moves", "ms", at_most=60),
        "most": Bar("the same: 95 of 100 moves", "ms", at_most=250),
        "errors": Bar("the same: errors", "errors", at_most=0),
        "memory": Bar("the same: memory of the server", "MB", at_most=600),
    }


BENCHMARKS = {
    "visitors": Benchmark(visitors, _bars("100 visitors with 2 s of thinking, one process")),
    "mix": Benchmark(mix, _bars("100 visitors on all pages")),
    "class": Benchmark(
        class_,
        {
            "most": Bar("80 visitors on all pages while 20 train networks: 95 of 100 moves", "ms", at_most=1000),
            "errors": Bar("the same: errors", "errors", at_most=0),
        },
    ),
}


def order(given: Sequence[str]) -> tuple[str, int, list[float]]:
    """The crowd, how many they are, and the spans of `generate`, from the words behind the address."""
    crowd, count, *spans = [*given, *("descent", str(VISITORS))[len(given) :]]
    return crowd, int(count), [float(span) for span in spans]


if __name__ == "__main__":
    named, many, lasting = order(sys.argv[2:])
    print(json.dumps(asyncio.run(generate(sys.argv[1], named, many, *lasting))))
