"""What the pages measured, as tables: one function for each measurement, from its record and what it was measured of.

A map has a row for each cell, a cloud one for each run and moment, a curve one for each of its points; what was not
measured is no row. The pages themselves bound how many there are (a map of 401 × 401 starts is the largest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optviz.backprop import Example, graph
from optviz.basin_map import ENDS, NEVER, UNKNOWN, BasinMap, Basins
from optviz.calibration import Calibration
from optviz.calibration import Curve as RateCurve
from optviz.cloud import Cloud, Floors, Swarm
from optviz.experiment import labels
from optviz.export.table import Column, Table
from optviz.fair_race import CRITERIA, Entrant, FairRace
from optviz.optimizers import OPTIMIZERS
from optviz.phase_map import STATES, Cells, PhaseMap, Theory
from optviz.range_test import SUGGESTIONS, Curves, RangeTest, suggestions
from optviz.scaling import MEMORY, RACERS, SIZES, STEPS_AT_MOST, TOLERANCE, Cost, Work, hessian_bytes, pairs_bytes
from optviz.stability import Curve, Stability
from optviz.taylor import Look
from optviz.training import Training

HEIGHT = "height of the surface"
ABOVE = "above the least known minimum; without one, above the lowest of what was measured"
INFINITE = "infinite where it never came to that"


def phase_table(map_: PhaseMap, found: Cells, rates: np.ndarray | None, known: Theory | None) -> Table:
    """A row for each cell that is computed, from the bottom, each row from the left."""
    x, y = map_.params
    across, up = np.meshgrid(map_.xs, map_.ys)
    done = found.done
    columns = [
        Column(map_.x.name, across[done], "", f"{x.label}: across"),
        Column(map_.y.name, up[done], "", f"{y.label}: upwards"),
        Column("state", [STATES[state] for state in found.state[done]], meaning="how the run ended"),
        Column("final loss", found.height[done], HEIGHT, ABOVE),
        Column("lowest loss", found.lowest[done], HEIGHT, "on the way; above the same"),
        Column("settled", found.settled[done], "steps", f"until the loss stays within the tolerance; {INFINITE}"),
        Column("diverged", found.lost[done], "steps", f"until it diverged; {INFINITE}"),
    ]
    factor = "factor per step"
    if rates is not None:
        columns.append(Column("rate", rates[done], factor, "of the distance to the minimum, measured at the end"))
    if known is not None:
        columns.append(Column("rate by theory", known.radius[done], factor, "the spectral radius of the iteration"))
    return Table("every cell", tuple(columns))


def basin_table(basin_map: BasinMap, basins: Sequence[Basins]) -> Table:
    """A row for each racer and start that is computed, from the bottom, each row from the left."""
    xs, ys = basin_map.axes
    across, up = np.meshgrid(xs, ys)
    parts: list[list[Any]] = [[] for _ in range(8)]
    for name, one in zip(labels(basin_map.on.racers), basins, strict=True):
        done = one.place != UNKNOWN
        ends = [*("a minimum" for _ in one.minima), *ENDS]
        places = one.place[done].tolist()
        steps = [None if step == NEVER else step for step in one.steps[done].tolist()]
        arrived = [one.minima[place] if place < len(one.minima) else None for place in places]
        for column, values in zip(
            parts,
            (
                [name] * len(places),
                across[done].tolist(),
                up[done].tolist(),
                [ends[place] for place in places],
                [minimum and minimum.x for minimum in arrived],
                [minimum and minimum.y for minimum in arrived],
                steps,
                one.loss[done].tolist(),
            ),
            strict=True,
        ):
            column += values
    about = (
        ("racer", "", "who ran"),
        ("start x", "coordinate", ""),
        ("start y", "coordinate", ""),
        ("end", "", "where the run ended, by the rules on the page"),
        ("minimum x", "coordinate", "of the minimum it ended at; empty if at none"),
        ("minimum y", "coordinate", "of the minimum it ended at; empty if at none"),
        ("steps", "steps", "until the loss settled at the minimum, or the run diverged; empty if never"),
        ("final loss", HEIGHT, "without penalty, in single precision"),
    )
    return Table("every start", _columns(about, parts))


def fair_race_table(race: FairRace, entrants: Sequence[Entrant]) -> Table:
    """A row for each optimizer: its rate, and its number by each criterion."""
    units = {"steps": "steps", "width": "decades"}
    numbers = [
        Column(
            criterion.title,
            [entrant.number(name) for entrant in entrants],
            units.get(name, HEIGHT),
            f"{criterion.help}; {INFINITE}, empty if it has none",
        )
        for name, criterion in CRITERIA.items()
    ]
    return Table(
        f"every optimizer, medians over {race.heats} seeds",
        (
            Column("optimizer", [OPTIMIZERS[entrant.name].title for entrant in entrants]),
            Column(
                "lr",
                [entrant.rate for entrant in entrants],
                meaning="the learning rate at which it raced; empty if it needs none, or every try diverged",
            ),
            *numbers,
        ),
    )


def tries_table(entrants: Sequence[Entrant]) -> Table:
    """A row for each optimizer and learning rate that was tried. A curve's height is the number that decides."""
    curves = [entrant.curve for entrant in entrants if entrant.curve]
    return _rates_table("every try, medians over the seeds", [one._replace(height=one.more["final"]) for one in curves])


def calibration_table(calibration: Calibration, curves: Sequence[RateCurve]) -> Table:
    """A row for each curve and learning rate."""
    unit = HEIGHT if calibration.mode == "surface" else "loss"
    return _rates_table("every learning rate", curves, unit)


def _rates_table(title: str, curves: Sequence[RateCurve], unit: str = HEIGHT) -> Table:
    says = {
        "lowest": (unit, "least on the way"),
        "settled": ("steps", f"until the loss stays within the tolerance; {INFINITE}"),
        "steps": ("steps", f"until the loss stays within the tolerance; {INFINITE}"),
        "mean": (unit, "geometric mean along the run"),
        "x": ("coordinate", "where the run ended"),
        "y": ("coordinate", "where the run ended"),
        "lost": ("steps", f"until it diverged; {INFINITE}"),
        "from": (unit, "a quarter of the seeds ends below"),
        "to": (unit, "a quarter of the seeds ends above"),
        "accuracy": ("share, 0 to 1", "on validation data, median over seeds"),
        "seed": ("", "whose run is the median"),
    }
    more = list(dict.fromkeys(name for curve in curves for name in curve.more if name != "final"))
    rows: list[list[Any]] = [[] for _ in range(5 + len(more))]
    for curve in curves:
        count = len(curve.rates)
        kept = [curve.more[name].tolist() if name in curve.more else [None] * count for name in more]
        best = [i == curve.best for i in range(count)]
        for column, values in zip(
            rows,
            ([curve.name] * count, curve.rates.tolist(), curve.height.tolist(), curve.shapes, best, *kept),
            strict=True,
        ):
            column += values
    about = [
        ("curve", "", "the optimizer, or the network's size"),
        ("lr", "", "learning rate"),
        ("final loss", unit, "above the least minimum on a surface; on a network the training loss"),
        ("ending", "", "what became of the run; empty where nothing was measured yet"),
        ("best", "", "whether this is the curve's best rate"),
        *((name, *says.get(name, ("", ""))) for name in more),
    ]
    return Table(title, _columns(about, rows))


def cloud_table(cloud: Cloud, swarm: Swarm) -> Table:
    """A row for each run and moment that is kept."""
    runs, moments = swarm.height.shape
    return Table(
        "every run",
        (
            Column("seed", np.repeat([cloud.seed(index) for index in range(runs)], moments), meaning="of its noise"),
            Column("step", np.tile(swarm.steps, runs), "steps", "taken before this row"),
            Column("x", swarm.theta[:, :, 0].ravel(), "coordinate"),
            Column("y", swarm.theta[:, :, 1].ravel(), "coordinate"),
            Column("loss", swarm.height.ravel(), HEIGHT, "above the lowest minimum; infinite of a run that is lost"),
        ),
    )


def floors_table(found: Floors) -> Table:
    """A row for each learning rate."""
    columns = [
        Column("lr", found.rates, meaning="learning rate"),
        Column("noise floor", found.height, HEIGHT, "mean over the second half of the runs; infinite if one was lost"),
        Column("standard error", found.error, HEIGHT, "of the floor, from how the runs differ"),
        Column("settled", found.settled, meaning="whether the mean changes no more than by chance"),
        Column("lost", found.lost, "share, 0 to 1", "of the runs"),
    ]
    if found.theory is not None:
        columns.append(Column("floor by theory", found.theory, HEIGHT, "undefined where there is none"))
    return Table("the noise floor", tuple(columns))


def proposals_table(look: Look) -> Table:
    """A row for each method: its step from here, what its model promised, and what came."""
    proposals = list(look.proposals.values())
    return Table(
        f"the step of every method from ({float(look.here.theta[0])!r}, {float(look.here.theta[1])!r})",
        (
            Column("method", [one.method for one in proposals]),
            Column("step x", [float(one.step[0]) for one in proposals], "coordinate"),
            Column("step y", [float(one.step[1]) for one in proposals], "coordinate"),
            Column(
                "promised",
                [one.promised for one in proposals],
                HEIGHT,
                "the fall that its model foretold, penalty included",
            ),
            Column("came", [one.came for one in proposals], HEIGHT, "the fall that came, penalty included"),
            Column("ratio", [one.ratio for one in proposals], meaning="what came over what was promised"),
        ),
    )


def moves_table(look: Look) -> Table:
    """A row for each point of the path so far."""
    moves = look.moves
    return Table(
        "the steps taken",
        (
            Column("move", list(range(len(look.path)))),
            Column("x", look.path[:, 0], "coordinate"),
            Column("y", look.path[:, 1], "coordinate"),
            Column("loss", look.losses, HEIGHT, "with the L2 penalty, if there is one"),
            Column("method", [None, *(move.proposal.method for move in moves)], meaning="that led here"),
            Column(
                "taken", [None, *(move.taken for move in moves)], meaning="whether its step was; a refused one stays"
            ),
            Column("radius", [None, *(move.radius for move in moves)], "coordinate", "of the trust region before it"),
        ),
    )


def cost_table(costs: Sequence[Cost]) -> Table:
    """A row for each number of parameters: what a step holds, and what its parts took where that was measured."""
    seconds = {one.n: one for one in costs}
    parts = {
        "gradient": "of one gradient",
        "hessian": "of one Hessian",
        "solve": "of solving Hessian · step = −gradient",
        "two_loop": f"of L-BFGS's two loops over {MEMORY} pairs, which take the place of both",
    }
    return Table(
        "the cost of a step on the extended Rosenbrock function",
        (
            Column("n", list(SIZES), "parameters"),
            Column("Hessian", [hessian_bytes(n) for n in SIZES], "bytes", "held by Newton's method"),
            Column("pairs", [pairs_bytes(n) for n in SIZES], "bytes", f"held by L-BFGS that remembers {MEMORY} pairs"),
            *(
                Column(
                    f"{name.replace('_', '-')} time",
                    [getattr(seconds[n], name) if n in seconds else None for n in SIZES],
                    "seconds",
                    f"{what}, the quickest of several on this server; empty where not measured",
                )
                for name, what in parts.items()
            ),
        ),
    )


def work_table(works: Sequence[Work]) -> Table:
    """A row for each number of parameters for which steps were counted."""
    what = f"until the loss stays below {TOLERANCE!r}; infinite if more than {STEPS_AT_MOST:,}"
    return Table(
        "the steps that methods need on the extended Rosenbrock function",
        (
            Column("n", [work.n for work in works], "parameters"),
            *(
                Column(OPTIMIZERS[key].title, [float(work.steps[key]) for work in works], "steps", what)
                for key in RACERS
            ),
        ),
    )


def stability_table(stability: Stability, curves: Sequence[Curve]) -> Table:
    """A row for each learning rate and moment at which the sharpness was measured."""
    parts: list[list[Any]] = [[] for _ in range(6)]
    for curve in curves:
        for column, values in zip(
            parts,
            ([curve.rate] * len(curve.times), curve.times, curve.sharpness, curve.edge, curve.cosine, curve.residual),
            strict=True,
        ):
            column += list(values)
    about = (
        ("lr", "", "learning rate"),
        ("step", "steps", "taken before"),
        ("sharpness", "loss per squared coordinate", "largest eigenvalue of the Hessian, as the rule feels it"),
        ("edge", "loss per squared coordinate", "the sharpness that the rule bears at this step"),
        ("cosine", "", "between this gradient and that of the step before; undefined at step 0"),
        ("residual", "loss per squared coordinate", "an eigenvalue lies within that of the sharpness"),
    )
    return Table("every moment", _columns(about, [[float(value) for value in part] for part in parts]))


def losses_table(curves: Sequence[Curve]) -> Table:
    """A row for each learning rate and step."""
    rows = [(curve.rate, step, float(loss)) for curve in curves for step, loss in enumerate(curve.loss)]
    about = (
        ("lr", "", "learning rate"),
        ("step", "steps", "taken before"),
        ("loss", "", "before this step; with penalties on a network, without on a surface"),
    )
    return Table("the loss of every step", _columns(about, list(zip(*rows, strict=True)) or [()] * 3))


def range_table(test: RangeTest, found: Curves) -> Table:
    """A row for each step of the test, up to the one at which it stopped."""
    unit, above = "loss" if isinstance(test.subject, Training) else HEIGHT, f"above {found.floor!r}"
    return Table(
        "every step",
        (
            Column("step", np.arange(len(found.lr)), "steps", "taken before"),
            Column("lr", found.lr, meaning="learning rate of that step"),
            Column("median", found.median, unit, f"of the seeds' smoothed losses, {above}"),
            Column("lower quartile", found.lower, unit, f"of the seeds' smoothed losses, {above}"),
            Column("upper quartile", found.upper, unit, f"of the seeds' smoothed losses, {above}"),
            *(
                Column(f"loss {i + 1}", loss, unit, f"of one seed, not smoothed, {above}")
                for i, loss in enumerate(found.loss)
            ),
        ),
    )


def suggestions_table(found: Curves) -> Table:
    """A row for each rule that reads a learning rate from the test."""
    suggested = suggestions(found)
    return Table(
        "what the rules suggest",
        (
            Column("rule", [SUGGESTIONS[key].title for key in suggested]),
            Column("lr", list(suggested.values()), meaning="the suggested learning rate; empty where it finds none"),
        ),
    )


def walk_table(example: Example) -> Table:
    """A row for each node, then for each weight and bias, of a small network: its value and its gradient."""
    found = graph(example)
    nodes, parameters = list(found.nodes.values()), list(found.parameters.values())
    every = [*nodes, *parameters]
    return Table(
        "every value and gradient",
        (
            Column("name", [one.name for one in every]),
            Column("symbol", [one.symbol for one in every]),
            Column("kind", [*(node.kind for node in nodes), *("parameter" for _ in parameters)]),
            Column("value", [one.value for one in every]),
            Column("gradient", [one.gradient for one in every], meaning="of the loss by it"),
        ),
    )


def _columns(about: Sequence[tuple[str, str, str]], values: Sequence[Sequence[Any]]) -> tuple[Column, ...]:
    """Columns of (name, unit, meaning) and values."""
    return tuple(Column(name, part, unit, meaning) for (name, unit, meaning), part in zip(about, values, strict=True))
