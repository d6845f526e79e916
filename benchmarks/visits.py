"""What visitors do on each page of the app: the link that they open, and the slider that they move there.

Every page of the navigation has its visit (a test compares), so that a load test meets all that a class may open. Each
visitor's link has a start, a seed or a number of its own, so that nobody lives on another's runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from benchmarks.serving import RACE, SLIDER
from optviz import backprop, basin_map, calibration, cloud, cloud_link, phase_map, phase_map_link, taylor, training_link
from optviz import basin_map_link as basin_link
from optviz import experiment as races
from optviz import fair_race as fair
from optviz import fair_race_link as fair_link
from optviz import link as race_link
from optviz import second_order_link as second_link
from optviz.ui import calibration as calibration_ui
from optviz.ui import range_test as range_ui
from optviz.ui import schedules as schedules_ui
from optviz.ui import stability as stability_ui
from optviz.ui.presets import TWO_PATHS
from optviz.ui.training import MOONS


@dataclass(frozen=True)
class Visit:
    """What a visitor of one page does. `link` gives the address by the visitor's number, relative to the server's.
    A page without a `slider`, named by its label, is loaded anew instead. `training` is a visit that trains a network
    and watches it."""

    page: str  # as in the navigation
    query: Callable[[int], str] = lambda number: ""
    slider: str = ""
    pictures: bool = True
    training: bool = False

    @property
    def name(self) -> str:
        """The page's part of the address."""
        return "" if self.page == "app.py" else self.page.removeprefix("pages/").removesuffix(".py")


def own(value: Any, number: int) -> Any:
    """A race of the visitor's own: from another start, or what has no start in its link under another seed."""
    x, y = value.start
    return replace(value, start=(x, y + 0.005 * (number % 400 + 1)), seed=number)


def link_to(codec: Any, default: Any, mine: Callable[[int], Any]) -> Callable[[int], str]:
    """The query of a link to what is `mine`, by the visitor's number."""
    return lambda number: urlencode(codec.to_query(mine(number), default), doseq=True)


def _on(default: Any) -> Callable[[int], Any]:
    """The same, of something that is measured on a race."""
    return lambda number: replace(default, on=own(default.on, number))


VISITS = (
    Visit("app.py"),
    Visit(
        "pages/descent.py",
        link_to(race_link, races.Experiment(RACE.surface), lambda number: own(RACE, number)),
        SLIDER,
    ),
    Visit("pages/phase_map.py", link_to(phase_map_link, phase_map.PLANE, _on(phase_map.PLANE)), "Condition number κ"),
    Visit("pages/basin_map.py", link_to(basin_link, basin_map.HILLS, _on(basin_map.HILLS)), "Momentum ρ"),
    Visit("pages/fair_race.py", link_to(fair_link, fair.NOISY_VALLEY, _on(fair.NOISY_VALLEY)), "Tries each"),
    Visit(
        "pages/cloud.py",
        link_to(
            cloud_link,
            cloud.VALLEY,
            lambda number: replace(cloud.VALLEY, experiment=own(cloud.VALLEY.experiment, number)),
        ),
        SLIDER,
    ),
    Visit("pages/second_order.py", link_to(second_link, taylor.VALLEY, _on(taylor.VALLEY)), "Gradient descent: rate η"),
    Visit(
        "pages/stability.py",
        link_to(stability_ui.CODEC, stability_ui.CODEC.surface, _on(stability_ui.CODEC.surface)),
        "Steps T",
    ),
    Visit(
        "pages/schedules.py",
        link_to(schedules_ui.CODEC, schedules_ui.NOISY_VALLEY, lambda number: own(schedules_ui.NOISY_VALLEY, number)),
        "Peak learning rate η",
    ),
    Visit(
        "pages/range_test.py",
        link_to(
            range_ui.CODEC,
            range_ui.DIGITS,
            lambda number: replace(range_ui.DIGITS, subject=replace(range_ui.DIGITS.subject, seed=number)),
        ),
        "Smoothing β",
    ),
    Visit(
        "pages/calibration.py",
        link_to(calibration_ui.CODEC, calibration_ui.CODEC.surface, _on(calibration.VALLEY)),
        "Steps T",
    ),
    Visit(
        "pages/training.py",
        link_to(training_link, MOONS, lambda number: replace(MOONS, seed=number)),
        "Noise σ",
    ),
    Visit(
        "pages/backprop.py",
        link_to(backprop, TWO_PATHS, lambda number: replace(TWO_PATHS, inputs=(1.0, -0.5 - 0.01 * (number + 1)))),
        "Input x₁",
    ),
    Visit("pages/handout.py", pictures=False),
    Visit("pages/glossary.py", pictures=False),
)
TRAINING = Visit(
    "pages/training.py",
    link_to(training_link, MOONS, lambda number: replace(MOONS, seed=number, epochs=1000)),
    training=True,
)


def descent(number: int) -> Visit:
    """All on the descent page."""
    return VISITS[1]


def mixed(number: int) -> Visit:
    """All pages in turns."""
    return VISITS[number % len(VISITS)]


def with_training(number: int) -> Visit:
    """Every fifth trains a network, the others are on all pages."""
    return TRAINING if number % 5 == 4 else mixed(number - number // 5)


CROWDS: dict[str, Callable[[int], Visit]] = {"descent": descent, "mix": mixed, "class": with_training}
