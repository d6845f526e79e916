"""The panels of the phase map: what is mapped, the picture, the cell that is looked at, and what the map says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import numpy as np
import streamlit as st

from optviz import link, phase_map_link
from optviz.experiment import L2, NOISE, SEED, STEPS, TOLERANCE, Experiment, Pick, Racer
from optviz.figures.phase_map import meanings, phase_map_record
from optviz.optimizers import OPTIMIZERS
from optviz.phase_map import (
    CLAIMS,
    COLOR,
    DISTANCES,
    EXAMPLES,
    PRECISION,
    RESOLUTION,
    STATES,
    Axis,
    Cells,
    PhaseMap,
    Theory,
    as_grid,
    axes_of,
    cells,
    changed,
    fitted,
    in_color,
    lowest,
    quickest,
    rate_work,
    roughness,
    theory,
    value_of,
    whole_axis,
    work,
    zoomed,
)
from optviz.spec import Param, number
from optviz.tuning import tuned_lr
from optviz.ui.chart import chart
from optviz.ui.controls import show
from optviz.ui.desk import Desk
from optviz.ui.lesson import claim_panel
from optviz.ui.panel import Action, Box, Choice, Field, Part, Words, panel
from optviz.ui.parts import field_of, start_field, surface_choice, within
from optviz.ui.presets import RAVINE
from optviz.ui.tiles import in_tiles

ZOOM = 4.0  # times that one press shortens the axes
OPENS, CHOOSES = "opens its run", "chooses it"


# Controls ------------------------------------------------------------------------------------------------------------


def examples_menu(desk: Desk[PhaseMap]) -> None:
    """Maps that are no claim and worth a look."""
    with st.popover("Examples", icon=":material/grid_on:", width="content"):
        for title, map_ in EXAMPLES.items():
            query = phase_map_link.to_query(map_, desk.home)
            st.page_link(f"pages/{desk.page}.py", label=title, query_params=query)


def controls_panel(desk: Desk[PhaseMap]) -> None:
    """All that can be set, as one element of the page."""
    panel(desk, "controls", lambda: _parts(desk.experiment))


def _parts(map_: PhaseMap) -> list[Part]:
    on, racer, axes = map_.on, map_.racer, {map_.x.name, map_.y.name}
    numbers = [(name, param) for name, param in axes_of(on).items() if name not in axes]
    rest = [
        param for param in racer.entry.params if param.name not in axes and param.name not in axes_of(on)
    ]  # flags, choices and whole numbers
    return [
        surface_choice(
            on,
            lambda old, key: fitted(old, replace(old.on, surface=Pick(str(key)), start=None)),
            "What every run descends on.",
        ),
        Choice(
            "optimizer",
            "Optimizer",
            {key: entry.title for key, entry in OPTIMIZERS.items()},
            racer.optimizer.key,
            _with_optimizer,
            "The rule of every run.",
        ),
        *_axis_parts(map_, "x", "Across"),
        *_axis_parts(map_, "y", "Upwards"),
        Words("Everything else is the same for all cells:"),
        *(_number(map_, name, param) for name, param in numbers if name not in ("x", "y", "noise", "l2")),
        *(_hyper(racer, param) for param in rest),
        Box(within([start_field(on, axis) for axis in (0, 1) if "xy"[axis] not in axes])),
        *within([field_of(on, STEPS, live=True)]),
        Box([field_of(map_, RESOLUTION), field_of(map_, PRECISION)], "grid", "Cells", unfolded=False),
        Box(
            [
                *within([field_of(on, param) for param in (TOLERANCE, SEED)]),
                *(_number(map_, param.name, param) for param in (NOISE, L2) if param.name not in axes),
            ],
            "conditions",
            "Tolerance, noise, penalty",
        ),
    ]  # fmt: skip


def _with_optimizer(old: PhaseMap, key: Any) -> PhaseMap:
    racer = Racer(Pick(str(key), {"lr": tuned_lr(old.on.surface.key, str(key))}))
    return fitted(old, replace(old.on, racers=(racer,)))


def _axis_parts(map_: PhaseMap, which: str, label: str) -> list[Part]:
    """Which number an axis has, and its ends."""
    params, axis, other = axes_of(map_.on), getattr(map_, which), "y" if which == "x" else "x"
    param = params[axis.name]

    def choose(old: PhaseMap, name: Any) -> PhaseMap:
        if name == getattr(old, which).name:
            return old
        if name == getattr(old, other).name:  # they change places
            return replace(old, x=old.y, y=old.x, at=old.at and old.at[::-1])
        new = whole_axis(str(name), axes_of(old.on)[str(name)])
        return in_color(replace(old, **{which: new}, color=str(COLOR.default), at=None), old.color)

    def end(name: str) -> Field:
        word = "from" if name == "low" else "to"
        shown = param.but(
            default=getattr(axis, name),
            title=f"{word} {param.symbol or param.title or param.name}",
            symbol="",
            help=f"Where the axis {'begins' if name == 'low' else 'ends'}. It may be beyond the slider: type it.",
        )
        change = partial(_with_end, which=which, name=name)
        return Field(f"{which}-{name}", shown, getattr(axis, name), lambda old, value: change(old, value))

    titles: dict[str | int, str] = {name: one.label for name, one in params.items()}
    return [
        Choice(f"{which}-axis", label, titles, axis.name, choose, f"Which number changes {label.lower()}."),
        end("low"),
        end("high"),
    ]  # fmt: skip


def _with_end(old: PhaseMap, value: Any, which: str, name: str) -> PhaseMap:
    return replace(old, **{which: replace(getattr(old, which), **{name: float(value)})})


def _number(map_: PhaseMap, name: str, param: Param) -> Field:
    """A number that all cells share; it could be an axis too."""

    def change(old: PhaseMap, value: Any) -> PhaseMap:
        return _moved(old, changed(old.on, name, float(value)))

    return Field(f"all-{name}", param, value_of(map_.on, name), change, live=True)


def _hyper(racer: Racer, param: Param) -> Field:
    return Field(
        f"own-{racer.optimizer.key}-{param.name}",
        param,
        racer.values[param.name],
        lambda old, value: _moved(old, old.on.with_racer(0, old.racer.but(**{param.name: value}))),
    )


def _moved(old: PhaseMap, on: Experiment) -> PhaseMap:
    """The same map of a changed experiment; where it has no rates any more, the colour goes back to states."""
    return in_color(replace(old, on=on, color=str(COLOR.default)), old.color)


def look_bar(desk: Desk[PhaseMap]) -> None:
    """What the colours show, and what a click on a cell does."""
    map_ = desk.experiment
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        key = desk.key("color")
        show(key, map_.color)
        offered = [word for word in COLOR.options if word != "rate" or map_.has_rates]
        st.segmented_control(
            COLOR.label,
            offered,
            key=key,
            help=COLOR.help,
            on_change=desk.callback(lambda old, word: replace(old, color=word or old.color), key),
        )
        st.segmented_control(
            "A click on a cell",
            [OPENS, CHOOSES],
            default=OPENS,
            key=desk.key("click"),
            help="Opens that very run in the descent laboratory, or makes it the chosen cell, around which to zoom.",
        )


# The picture ---------------------------------------------------------------------------------------------------------


def map_panel(desk: Desk[PhaseMap]) -> tuple[Cells, np.ndarray | None, Theory | None]:
    """The map, as far as it is computed, and what its colours mean."""
    map_, size = desk.experiment, desk.experiment.resolution**2
    request = map_.request
    parts = in_tiles(desk, "cells", request, lambda: work(request), size, lambda part: len(part.loss))
    found, known, measured = cells(request, parts), theory(request), None
    if map_.has_rates and (known is not None or map_.color == "rate"):
        rates = in_tiles(desk, "rates", request, lambda: rate_work(request), size, len)
        measured = as_grid(request, rates)
    key = desk.key("chart")

    def clicked() -> None:
        cell = _cell(desk.experiment, st.session_state[key].clicked)
        if cell is None:
            return
        row, column = cell
        at = (float(map_.xs[column]), float(map_.ys[row]))
        desk.take([lambda old: replace(old, at=at)])
        if (st.session_state.get(desk.key("click")) or OPENS) == OPENS:
            st.session_state[desk.key("open")] = cell

    does = "click: this run in the descent laboratory"
    if st.session_state.get(desk.key("click")) == CHOOSES:
        does = "click: choose this cell"
    chart(phase_map_record(map_, found, measured, known, does), key=key, clicked=clicked)
    colors = meanings(map_, found, measured)
    st.markdown(" · ".join(f":{one.hue}[■] {one.words} {one.share:.1%}" for one in colors))
    told = st.session_state.pop(desk.key("open"), None)
    if told:
        st.switch_page("pages/descent.py", query_params=opened(desk.experiment, *told))
    return found, measured, known


def _cell(map_: PhaseMap, told: Any) -> tuple[int, int] | None:
    """The row and column that were clicked. The message comes from outside: one that names no cell is passed over."""
    match told:
        case {"curve": "cell", "point": [int(row), int(column)]} if 0 <= row < map_.resolution > column >= 0:
            return row, column
    return None


def opened(map_: PhaseMap, row: int, column: int) -> dict[str, list[str]]:
    """The fields of the link to one cell's run in the descent laboratory."""
    return link.to_query(map_.run(row, column), RAVINE)


# Words ---------------------------------------------------------------------------------------------------------------


def cell_panel(desk: Desk[PhaseMap], found: Cells, measured: np.ndarray | None, known: Theory | None) -> None:
    """The cell that is looked at: its numbers, its run, and the map around it."""
    map_ = desk.experiment
    row, column = map_.cell
    x, y = ((param.symbol or param.title or param.name) for param in map_.params)
    state = "not computed yet" if not found.done[row, column] else STATES[found.state[row, column]]
    words = f"**The chosen cell** has {x} = {number(float(map_.xs[column]))} and {y} = {number(float(map_.ys[row]))}: "
    height = float(found.height[row, column])
    if found.done[row, column] and not found.diverged[row, column] and height <= found.resolution[row, column]:
        least = "that of the minimum, as exactly as numbers tell" if found.known else "the lowest of this map"
        words += f"{state}, and its final loss is {least}."
    else:
        words += (
            f"{state}, final loss {number(height, 3)} above the {'minimum' if found.known else 'lowest of this map'}."
        )
    if measured is not None and np.isfinite(measured[row, column]):
        rate = float(measured[row, column])
        words += f" In the end each step multiplies the distance to the minimum by {rate:.4f}, measured"
        words += f"; theory says {float(known.radius[row, column]):.4f}." if known else "."
    address = "descent?" + urlencode(opened(map_, row, column), doseq=True)
    st.markdown(f"{words} [Open this run]({address})")
    panel(desk, "cell", lambda: _cell_parts(desk.experiment))


def _cell_parts(map_: PhaseMap) -> list[Part]:
    row, column = map_.cell
    here = (float(map_.xs[column]), float(map_.ys[row]))

    def choose(which: int) -> Field:
        param, axis = map_.params[which], (map_.x, map_.y)[which]
        shown = param.but(default=here[which], low=axis.low, high=axis.high,
                          help="Which cell is looked at: the one nearest to this value.")  # fmt: skip

        def change(old: PhaseMap, value: Any) -> PhaseMap:
            r, c = old.cell
            at = [float(old.xs[c]), float(old.ys[r])]
            at[which] = float(value)
            return replace(old, at=tuple(at))

        return Field(f"cell-{'xy'[which]}", shown, here[which], change, f"Cell: {param.label}")

    ends = [whole_axis(axis.name, param) for axis, param in zip((map_.x, map_.y), map_.params, strict=True)]
    return [
        Box(
            [
                choose(0),
                choose(1),
                Action(
                    "zoom", f"Zoom in {ZOOM:g}×", lambda old, _: zoomed(old, ZOOM), "The map around the chosen cell."
                ),
                Action("out", f"Zoom out {ZOOM:g}×", lambda old, _: zoomed(old, 1 / ZOOM), "Longer axes."),
                Action(
                    "whole",
                    "Whole range",
                    lambda old, _: _with_axes(old, ends),
                    "Both axes over the whole range of their sliders.",
                ),
            ]
        )
    ]


def _with_axes(old: PhaseMap, axes: Sequence[Axis]) -> PhaseMap:
    return replace(old, x=axes[0], y=axes[1])


def claim_words(desk: Desk[PhaseMap], found: Cells) -> None:
    """The claim that is open, with its verdict."""
    claim_panel(desk, CLAIMS, lambda claim: claim.measure(desk.experiment.request, found))


def words(desk: Desk[PhaseMap], found: Cells, measured: np.ndarray | None, known: Theory | None) -> None:
    """What the map says: theory against measurement, and how ragged the border is."""
    for sentence in (_theory_words(desk.experiment, found, measured, known), _border_words(desk.experiment, found)):
        if sentence:
            st.markdown(sentence)


def _theory_words(map_: PhaseMap, found: Cells, measured: np.ndarray | None, known: Theory | None) -> str:
    if known is None:
        return ""
    if measured is None or not np.isfinite(measured).any():
        return f"The lines are the theory of {known.rule} without noise."
    there = np.isfinite(measured) & (known.radius < 1)
    if not there.any():
        return f"By the theory of {known.rule} no cell of this map converges."
    off = np.abs(measured - known.radius)[there]
    said = (
        f"**Rate of convergence.** By the theory of {known.rule}, {int((known.radius < 1).sum()):,} cells converge. "
        f"There the measured factor per step differs from the spectral radius by {number(float(np.median(off)), 2)} in "
        f"the middle and by {number(float(off.max()), 2)} at most."
    )
    best, least = quickest(measured), lowest(found)
    if best and least:
        x, y = ((param.symbol or param.title or param.name) for param in map_.params)

        def place(row: int, column: int) -> str:
            return f"{x} = {number(float(map_.xs[column]), 3)}, {y} = {number(float(map_.ys[row]), 3)}"

        said += f" The quickest in the end is {place(best.row, best.column)} with {best.value:.4f}"
        said += f"; after {map_.on.steps} steps "
        if least.ties > 1:
            said += f"{least.ties} cells share the least loss."
        else:
            said += f"the least loss is at {place(least.row, least.column)}."
    return said


def _border_words(map_: PhaseMap, found: Cells) -> str:
    if not found.done.all():
        return ""
    fates, what = found.diverged, "whether they diverge"
    rough = roughness(fates)
    if rough is None:
        fates, what = found.state, "how they end"
        rough = roughness(fates)
    if rough is None:
        return ""
    shares = ", ".join(f"{share:.1%}" for share in rough.disagree)
    apart = ", ".join(map(str, DISTANCES))
    said = (
        f"**The border.** Of pairs of cells {apart} apart, {shares} differ in {what}. Along a smooth border that share "
        f"is in proportion to the distance (uncertainty exponent 1); here the exponent is {rough.exponent:.2f}"
    )
    if rough.exponent > 0.85:
        return said + ": the border is smooth, as far as this map shows."
    finer = 2 ** (1 / max(rough.exponent, 0.01))
    said += (
        f", so the border's dimension is about {min(rough.dimension, 2):.2f}: to be unsure of half as many cells one "
        f"must know the settings {number(finer, 2)} times as finely. Zoom in to see whether that goes on; nothing here "
        "smooths it. "
    )
    return said + (
        "The map is computed in double precision, as the descent laboratory does, so each cell is its run."
        if map_.precision == "double"
        else "The map is computed in single precision: at such a border a rounding decides, and a cell may end "
        "differently from the run that it opens. Double precision is among *Cells*."
    )
