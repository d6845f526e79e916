"""The panels of the fair race: its conditions, the race and the tries as pictures, and the table of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from optviz import fair_race_link, link
from optviz.calibration import HIGH, LOW, best_says
from optviz.experiment import L2, NOISE, SEED, STEPS, TOLERANCE, Pick
from optviz.fair_race import (
    BUDGET,
    CHOOSING,
    CRITERIA,
    FLOOR,
    OWN_STEP,
    RATE,
    SAME,
    SEEDS,
    STEP_COSTS,
    Entrant,
    FairRace,
    compared,
    competing,
    disagreement,
    places,
)
from optviz.figures.fair_race import race_record, tries_record
from optviz.figures.theme import style
from optviz.optimizers import OPTIMIZERS
from optviz.spec import Param, number
from optviz.ui.chart import chart
from optviz.ui.controls import folded
from optviz.ui.desk import Desk
from optviz.ui.lesson import say_verdict
from optviz.ui.panel import Box, Choice, Field, Part, Words, panel
from optviz.ui.parts import field_of, start_box, surface_choice, surface_numbers, within
from optviz.ui.presets import RAVINE
from optviz.ui.tiles import in_tiles
from optviz.verdict import Measured

CODEC = fair_race_link
SECOND = Param(
    "second",
    "",
    False,
    title="Newton and L-BFGS too",
    help="They bring their own step length, so they try nothing and race as they are.",
)
LATER = Measured({}, None, "The verdict comes when all optimizers have raced.")


# Controls ------------------------------------------------------------------------------------------------------------


def controls_panel(desk: Desk[FairRace]) -> None:
    """All that can be set, as one element of the page."""
    panel(desk, "controls", lambda: _parts(desk.experiment))


def _parts(race: FairRace) -> list[Part]:
    on = race.on
    return [
        surface_choice(
            on,
            lambda old, key: replace(old, on=replace(old.on, surface=Pick(str(key)), start=None)),
            "What is descended. Only surfaces with a known minimum are offered: elsewhere no loss is the best.",
            solved=True,
        ),
        *within([*surface_numbers(on, live=True), start_box(on), field_of(on, STEPS), field_of(on, NOISE, live=True)]),
        *([field_of(race, SEEDS, live=True)] if on.noise else []),
        Choice(
            "criterion",
            "Best means",
            {name: CRITERIA[name].title for name in CHOOSING},
            race.criterion,
            lambda old, name: replace(old, criterion=str(name)),
            "By which number each optimizer's best rate is chosen, and the table is sorted. "
            + " ".join(f"{CRITERIA[name].title}: {CRITERIA[name].help}." for name in CHOOSING),
        ),
        field_of(race, BUDGET, live=True),
        Words(_total(race)),
        field_of(race, SAME),
        *([field_of(race, RATE, live=True)] if race.same else []),
        Box(
            [
                field_of(race, LOW),
                field_of(race, HIGH),
                *within([field_of(on, param) for param in (TOLERANCE, SEED, L2)]),
            ],
            "conditions",
            "Range of rates, tolerance",
        ),
        Field("second", SECOND, set(OWN_STEP) <= set(race.optimizers), _with_second),
    ]


def _with_second(old: FairRace, wanted: bool) -> FairRace:
    others = tuple(key for key in old.optimizers if key not in OWN_STEP)
    return replace(old, optimizers=(*others, *(OWN_STEP if wanted else ())))


def _total(race: FairRace) -> str:
    """The budget in words: what all tries together cost."""
    tuned = sum(key not in OWN_STEP for key in race.optimizers)
    seeds = f" × {race.heats} seeds" if race.heats > 1 else ""
    return (
        f"{tuned} optimizers × {race.budget} tries{seeds} × {race.on.steps} steps: {race.total:,} gradients, the same "
        "for each. The race then takes as many seeds that no try has seen."
        if seeds
        else f"{tuned} optimizers × {race.budget} tries × {race.on.steps} steps: {race.total:,} gradients, the same "
        "for each."
    )


# The pictures --------------------------------------------------------------------------------------------------------


def race_panel(desk: Desk[FairRace]) -> tuple[list[Entrant], list[Entrant]]:
    """The race and the tries; gives the entrants, and those of the race at their own or the same rate, whichever this
    one is not. Both as far as they are run: the first time on a surface, programs are compiled."""
    race = desk.experiment
    request = replace(race, chosen=())  # who is in view changes no number
    other = replace(race, same=not race.same)
    pairs = in_tiles(desk, "race", request, lambda: competing(race, other), len(race.optimizers))
    entrants, others = [one for one, _ in pairs], [two for _, two in pairs]
    if not entrants:
        return [], []
    left, right = st.columns(2, gap="small")
    with left:
        st.markdown(
            "**The race**" + (f", all at η = {number(race.lr)}" if race.same else ", each at its own best rate")
        )
        _chart(desk, "race", race_record(race, entrants), entrants)
    with right:
        starred = ", a star where it took the fewest steps" * (race.criterion == "steps")
        st.markdown(f"**The tries**: {CRITERIA[_height(race)].title.lower()} at {race.budget} learning rates{starred}")
        order = _order(race, entrants)
        _chart(desk, "tries", tries_record(race, entrants, order), entrants)
    return entrants, others


def _height(race: FairRace) -> str:
    """What the lanes show: with "steps" the final loss, as runs that do not arrive have no number of steps."""
    return "final" if race.criterion == "steps" else race.criterion


def _order(race: FairRace, entrants: Sequence[Entrant]) -> list[str]:
    """The optimizers from the first to the last by the criterion; of equals, by their mean loss."""
    ranks, means = places(race, entrants, race.criterion), places(race, entrants, "mean")
    last = len(entrants) + 1
    return sorted((e.name for e in entrants), key=lambda key: (ranks.get(key, last), means.get(key, last)))


def _chart(desk: Desk[FairRace], name: str, record: dict[str, Any], entrants: Sequence[Entrant]) -> None:
    key = desk.key(name)

    def clicked() -> None:
        st.session_state[desk.key(f"open-{name}")] = st.session_state[key].clicked

    chart(record, key=key, clicked=clicked)
    told = st.session_state.pop(desk.key(f"open-{name}"), None)
    query = target(desk.experiment, entrants, told, tries=name == "tries") if told else None
    if query:
        st.switch_page("pages/descent.py", query_params=query)


def target(race: FairRace, entrants: Sequence[Entrant], told: Any, tries: bool) -> dict[str, list[str]] | None:
    """The link to the run whose curve, or whose try, was clicked. The message comes from outside: one that names no
    run is passed over."""
    match told:
        case {"curve": int(index), "point": int(point)} if not isinstance(index, bool):
            pass
        case {"curve": str(text)} if tries and text.removeprefix("best ").isdecimal() and len(text) < 12:
            index, point = int(text.removeprefix("best ")), None
        case _:
            return None
    if not 0 <= index < len(entrants):
        return None
    entrant = entrants[index]
    if not tries:
        return opened(race, entrant)
    point = entrant.curve.best if entrant.curve and point is None else point
    if entrant.curve is None or point is None or not 0 <= point < len(entrant.curve.rates):
        return None
    return _descent(race, entrant.name, float(entrant.curve.rates[point]), int(entrant.curve.more["seed"][point]))


def opened(race: FairRace, entrant: Entrant) -> dict[str, list[str]] | None:
    """The link to an entrant's race in the descent laboratory, with the seed in the middle; None if it has none."""
    return _descent(race, entrant.name, entrant.rate, entrant.course.seed) if entrant.course else None


def _descent(race: FairRace, key: str, rate: float | None, seed: int) -> dict[str, list[str]]:
    return link.to_query(replace(race.on, seed=seed, racers=(race.racer(key, rate),)), RAVINE)


# Words ---------------------------------------------------------------------------------------------------------------


def words(desk: Desk[FairRace], entrants: Sequence[Entrant], others: Sequence[Entrant]) -> None:
    """Who is first by what, and how much of the order one rate for all would change."""
    race = desk.experiment
    if len(entrants) < len(race.optimizers):
        return  # who is first among some says nothing
    own, same = (others, entrants) if race.same else (entrants, others)
    ranks = [places(race, found, race.criterion) for found in (own, same)]
    st.markdown(f"**{disagreement(race, entrants)}** {compared(ranks[0], ranks[1], race.lr, race.criterion)}")


def claim_words(desk: Desk[FairRace], claims: Any, entrants: Sequence[Entrant]) -> None:
    """The verdict on the open claim, with the numbers of this race."""
    claim = claims.get(desk.preset or "")
    if claim is not None:
        whole = len(entrants) == len(desk.experiment.optimizers)
        say_verdict(desk, claim.measure(desk.experiment, entrants) if whole else LATER)


def table(desk: Desk[FairRace], entrants: Sequence[Entrant]) -> None:
    """Every optimizer's numbers, each with the place that it gives."""
    race = desk.experiment
    ranks = {name: places(race, entrants, name) for name in CRITERIA}
    by_name = {entrant.name: entrant for entrant in entrants}
    head = ["Optimizer", "Rate η", *(criterion.title for criterion in CRITERIA.values())]
    head[-1] += ", decades"
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    rows += [_row(race, by_name[key], ranks) for key in _order(race, entrants)]
    st.markdown("\n".join(f"| {' | '.join(row)} |" for row in rows))
    several = f" All numbers are medians over {race.heats} seeds." if race.heats > 1 else ""
    st.caption(
        f"In brackets the place by this number. Below {number(FLOOR)} two losses count as equal: that is "
        f"rounding.{several} A rate opens its run."
    )
    with folded("What the numbers mean, and what they cost", desk.key("forms")) as seen:
        if seen:
            lines = [f"- **{criterion.title}**: {criterion.help}." for criterion in CRITERIA.values()]
            lines.append(
                "- **The second picture**: a star is the best rate, the shaded part the good range, a cross a rate "
                "that diverged. All lanes have one scale, from the lowest loss of all to the loss at the start: what "
                "ends higher lies at the top, and rounding at the bottom."
            )
            lines.append(
                f"- **Cost**: {race.tried:,} gradients for the tries of each, and {race.on.steps:,} for a race. A step "
                "takes one gradient; "
                + ", ".join(f"{OPTIMIZERS[key].title} {cost}" for key, cost in STEP_COSTS.items())
                + ", but no tries."
            )
            st.markdown("\n".join(lines))


def _row(race: FairRace, entrant: Entrant, ranks: dict[str, dict[str, int]]) -> list[str]:
    name = f":{style(entrant.name).hue}[●] {OPTIMIZERS[entrant.name].title}"
    query = opened(race, entrant)
    if query is None:
        rate = "all diverge"
    else:
        said = number(race.lr, 3) if race.same and entrant.curve else "own step"
        if entrant.curve is not None and not race.same:
            said = best_says(entrant.curve)
        rate = f"[{said}](descent?{urlencode(query, doseq=True)})"
    return [name, rate, *(_cell(entrant, name, ranks) for name in CRITERIA)]


def _cell(entrant: Entrant, name: str, ranks: dict[str, dict[str, int]]) -> str:
    value = entrant.number(name)
    if value is None:
        return "–"
    if name == "width":
        said = f"{value:.1f}" if value else "one rate"
    elif value == float("inf"):
        return "never" if name == "steps" else "diverges"
    else:
        said = number(value, 3)
    place = ranks[name][entrant.name]
    return f"**{said} (1)**" if place == 1 else f"{said} ({place})"
