"""The panels of the basin map page: what is measured, the maps, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from optviz import basin_map_link, link
from optviz.basin_map import (
    AT_MINIMUM,
    ENDS,
    EXACT,
    NEVER,
    OWN,
    SIDE,
    BasinMap,
    Basins,
    assembled,
    minima,
    pieces,
)
from optviz.experiment import COORDINATE, NOISE, SEED, STEPS, TOLERANCE, Pick, Racer
from optviz.figures.basin_map import (
    bars_record,
    basin_record,
    difference_record,
    pace,
    percent,
    rows,
    titles,
)
from optviz.figures.theme import style
from optviz.optimizers import OPTIMIZERS
from optviz.spec import number
from optviz.ui.chart import chart
from optviz.ui.controls import folded
from optviz.ui.desk import Desk
from optviz.ui.panel import Box, Choice, Field, Part, Words, panel
from optviz.ui.parts import field_of, start_box, surface_choice, surface_numbers, within
from optviz.ui.presets import RAVINE
from optviz.ui.tiles import in_tiles

CODEC = basin_map_link
NOBODY = "none"
ONE_START = COORDINATE.but(help="One start, marked ○ on the maps. The link below the maps opens its runs.")


# Controls ------------------------------------------------------------------------------------------------------------


def controls_panel(desk: Desk[BasinMap]) -> None:
    """All that can be set, as one element of the page."""

    def parts() -> list[Part]:
        on = desk.experiment.on
        return [
            surface_choice(
                on,
                lambda old, key: replace(old, on=old.on.on(Pick(str(key)), given=desk.default.on.racers)),
                "The landscape to descend. Those with several minima have several basins.",
            ),
            *within(surface_numbers(on, live=True)),
            *_racers(desk),
            *within([field_of(on, STEPS)]),
            field_of(desk.experiment, SIDE),
            Box(
                [
                    *within([field_of(on, param) for param in (TOLERANCE, NOISE, SEED)]),
                    field_of(desk.experiment, EXACT),
                ],
                "conditions",
                "Tolerance, noise, precision",
            ),
            Words("With noise, all starts meet the same noise, that of the seed.") if on.noise else Words(""),
            *within([start_box(on, ONE_START)]),
        ]

    panel(desk, "controls", parts)


def _racers(desk: Desk[BasinMap]) -> list[Part]:
    """Which rules, and the sliders of the chosen one."""
    racers = desk.experiment.on.racers
    index = min(st.session_state.get(desk.key("chosen"), 0), len(racers) - 1)
    racer = racers[index]

    def choose(old: BasinMap, at: Any) -> BasinMap:
        st.session_state[desk.key("chosen")] = at
        return old

    def value(name: str) -> Callable[[BasinMap, Any], BasinMap]:
        return lambda old, value: replace(old, on=old.on.with_racer(index, old.on.racers[index].but(**{name: value})))

    parts: list[Part] = [_optimizer(desk, 0), _optimizer(desk, 1)]
    if len(racers) > 1:
        parts.append(
            Choice(
                "racers",
                "Sliders of",
                dict(enumerate(titles(racers))),
                index,
                choose,
                "Choose whose sliders are in view.",
                look="pills",
                colors=[style(one.optimizer.key).color for one in racers],
            )
        )
    parts += [
        Field(
            f"{index}-{racer.optimizer.key}-{param.name}",
            param,
            racer.values[param.name],
            value(param.name),
            live=param.kind == "real" and not param.static,
        )
        for param in racer.entry.params
    ]
    return parts


def _optimizer(desk: Desk[BasinMap], index: int) -> Choice:
    racers = desk.experiment.on.racers
    options: dict[str | int, str] = {key: entry.title for key, entry in OPTIMIZERS.items()}
    groups = [entry.family for entry in OPTIMIZERS.values()]
    if index:
        options, groups = {NOBODY: "None: one map alone", **options}, ["", *groups]

    def change(old: BasinMap, key: Any) -> BasinMap:
        others = list(old.on.racers)
        others[index:] = [] if key == NOBODY else [Racer.tuned(str(key), old.on.surface.key), *others[index + 1 :]]
        st.session_state[desk.key("chosen")] = min(index, len(others) - 1)
        return replace(old, on=replace(old.on, racers=tuple(others)))

    return Choice(
        f"optimizer-{index}",
        "Second optimizer" if index else "Optimizer",
        options,
        racers[index].optimizer.key if index < len(racers) else NOBODY,
        change,
        "The rule whose basins the second map shows, and where the two disagree."
        if index
        else "The rule that runs from every start. It begins with the stored rate for this surface.",
        groups=groups,
    )


# The maps ------------------------------------------------------------------------------------------------------------


def maps(desk: Desk[BasinMap]) -> list[Basins]:
    """The maps, with their bars, and for two racers where they disagree. A click on a start opens its runs."""
    basin_map = desk.experiment
    basins = [_measured(desk, index) for index in range(len(basin_map.on.racers))]
    if len(basins) == 1:
        left, right = st.columns([3, 2], gap="small")
        with left:
            _draw(desk, basin_record(basin_map, basins, 0, bars=False), "map-0")
        with right:
            _draw(desk, bars_record(basin_map, basins), "bars")
    else:
        for place, column in enumerate(st.columns(3, gap="small")):
            with column:
                if place < 2:
                    _draw(desk, basin_record(basin_map, basins, place), f"map-{place}")
                else:
                    _draw(desk, difference_record(basin_map, basins), "difference")
    told = st.session_state.pop(desk.key("open"), None)
    target = _target(basin_map, told) if told else None
    if target:
        st.switch_page(target[0], query_params=target[1])
    return basins


def _measured(desk: Desk[BasinMap], index: int) -> Basins:
    """One racer's map, as far as it is done."""
    basin_map = desk.experiment
    racer = basin_map.on.racers[index]
    parts = in_tiles(
        desk,
        f"racer-{index}",
        (racer, *basin_map.conditions),
        lambda: pieces(basin_map, racer),
        of=basin_map.cells,
        size=lambda piece: len(piece.place),
    )
    return assembled(basin_map, parts)


def _draw(desk: Desk[BasinMap], record: dict[str, Any], name: str) -> None:
    key = desk.key(name)

    def clicked() -> None:
        st.session_state[desk.key("open")] = st.session_state[key].clicked

    chart(record, key=key, clicked=clicked)


def _target(basin_map: BasinMap, told: Any) -> tuple[str, dict[str, list[str]]] | None:
    """The page and the link of the runs from the start that was clicked. The message comes from outside: one that names
    no start is passed over."""
    match told:
        case {"curve": 0 | 1 | "difference", "point": [int(row), int(column)]}:
            side = basin_map.side
            return opened(basin_map, basin_map.start(row, column)) if 0 <= row < side and 0 <= column < side else None
    return None


def opened(basin_map: BasinMap, start: tuple[float, float]) -> tuple[str, dict[str, list[str]]]:
    """The page that shows the runs from one start in full, and the fields of the link to it."""
    return "pages/descent.py", link.to_query(replace(basin_map.on, start=start), RAVINE)


# Words ---------------------------------------------------------------------------------------------------------------


def caption(desk: Desk[BasinMap], basins: Sequence[Basins]) -> None:
    """How to read the maps, and the way to the marked start without a mouse."""
    fast, slow = pace(basins)
    page, query = opened(desk.experiment, desk.experiment.on.start)
    address = page.removeprefix("pages/").removesuffix(".py") + "?" + urlencode(query, doseq=True)
    x, y = (number(part, 3) for part in desk.experiment.on.start)
    st.caption(
        f"Full colour: settled within {fast} steps; pale: after {slow} or more; palest: not settled after all "
        f"{desk.experiment.on.steps}. ★ minimum, ✕ saddle, thin lines: equal loss. Click a start to watch its runs, or "
        f"[open the runs from ○ ({x}, {y})]({address})."
    )


def table(desk: Desk[BasinMap], basins: Sequence[Basins]) -> None:
    """The shares as a table, and what the colours mean."""
    with folded("The shares as a table, and what the colours mean", desk.key("ends")) as seen:
        if not seen:
            return
        names = titles(desk.experiment.on.racers)
        lines = [["Ends in", *names], ["---"] * (1 + len(names))]
        for places in zip(*rows(desk.experiment, basins), strict=True):
            lines.append([places[0].label, *(percent(row.share) for row in places)])
        unsettled = [percent(float((one.arrived & (one.steps == NEVER)).mean())) for one in basins]
        lines.append(["of those at a minimum, not settled yet", *unsettled])
        st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
        count = len(minima(desk.experiment.on))
        meanings = [f"- **a minimum**: {AT_MINIMUM}.", *(f"- **{name}**: {words}." for name, words in ENDS.items())]
        st.markdown("\n".join(meanings))
        st.markdown(
            f"{count} minima are known here: those on the surface's card and those that Newton's method finds in the "
            f"window. Where there are more than {OWN}, the lowest share one colour, and the others are put in groups "
            "by depth, from orange, the deepest, to violet."
        )
