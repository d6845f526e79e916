"""Runs that differ in their schedules: the same optimizer on the same problem, a surface or a network.

An Experiment and a Training say who runs in different words. Here are the few things that both can be asked and told
alike: who runs, one more, one less, another one. And there is what a comparison of schedules needs besides the runs:
what a schedule will do before anything runs (`course`), what each run is called, and a schedule's formula with the
numbers of a run in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from optviz.experiment import Experiment, Pick, Racer, numbered
from optviz.programs import program
from optviz.schedules import SCHEDULES, Schedule
from optviz.spec import Value, number
from optviz.training import Configuration, Training
from optviz.tuning import tuned_lr, tuned_lr_network

Runs = Experiment | Training
RUNS_AT_MOST = 6
POINTS_AT_MOST = 2000  # of a course: more than a screen has columns
LR = "lr"
MOMENTA = ("momentum", "beta1")  # what a rule may call its momentum


# Who runs ------------------------------------------------------------------------------------------------------------


def racers_of(runs: Runs) -> tuple[Racer, ...]:
    """Everybody who runs, in order."""
    return tuple(one.racer for one in runs.configurations) if isinstance(runs, Training) else runs.racers


def with_racers(runs: Runs, racers: tuple[Racer, ...]) -> Runs:
    """The same problem with others who run. On a network each takes the network that stood at its place, and who has
    none before them takes the last one's."""
    if isinstance(runs, Experiment):
        return replace(runs, racers=racers)
    nets = [one.net for one in runs.configurations]
    nets += [nets[-1]] * (len(racers) - len(nets))
    configurations = [Configuration(net, racer) for net, racer in zip(nets, racers, strict=False)]
    return replace(runs, configurations=tuple(configurations))


def exchanged(runs: Runs, index: int, racer: Racer) -> Runs:
    """The runs with another racer at one place."""
    racers = racers_of(runs)
    return with_racers(runs, (*racers[:index], racer, *racers[index + 1 :]))


def without(runs: Runs, index: int) -> Runs:
    """The runs without one, and on a network without its network."""
    if isinstance(runs, Experiment):
        return runs.with_racer(index, None)
    return replace(runs, configurations=(*runs.configurations[:index], *runs.configurations[index + 1 :]))


def for_all(runs: Runs, change: Callable[[Racer], Racer]) -> Runs:
    """The runs with the same change made to every racer."""
    return with_racers(runs, tuple(map(change, racers_of(runs))))


def alike(runs: Runs) -> bool:
    """Whether all have one optimizer with one set of hyperparameters, so that only schedules differ."""
    return len({racer.optimizer for racer in racers_of(runs)}) <= 1


def scheduled(racer: Racer, name: str, pick: Pick) -> Racer:
    """The racer with a schedule for one of its hyperparameters; "constant" takes a schedule away."""
    return replace(racer, schedules={**dict(racer.schedules), name: pick})


def with_optimizer(racer: Racer, optimizer: Pick) -> Racer:
    """The racer's schedules with another optimizer. A schedule of the momentum goes to what the new rule calls its
    momentum; one of a hyperparameter that the new rule lacks is left behind."""
    entry = Racer(optimizer).entry
    own = next((name for name in MOMENTA if name in entry.param), None)
    kept = {own if name in MOMENTA else name: pick for name, pick in racer.schedules}
    return Racer(optimizer, {name: pick for name, pick in kept.items() if name in entry.param})


def momentum_of(racer: Racer) -> str | None:
    """What the racer's rule calls its momentum, if it has one."""
    return next((name for name in MOMENTA if name in racer.entry.param), None)


def cycling_momentum(racer: Racer) -> Racer:
    """A racer whose momentum goes against its one cycle of the learning rate. Raises ValueError where it cannot."""
    cycle, momentum = dict(racer.schedules).get(LR), momentum_of(racer)
    if momentum is None:
        raise ValueError(f"{racer.entry.title} has no momentum that could follow a cycle")
    if cycle is None or cycle.key != "one_cycle":
        raise ValueError("the momentum's cycle belongs to a learning rate that follows “One cycle”")
    shared = SCHEDULES["one_cycle_momentum"].param
    same = {name: value for name, value in cycle.values if name in shared and name != "low"}
    return scheduled(racer, momentum, Pick("one_cycle_momentum", same))


def carried(runs: Runs, home: Runs) -> Runs:
    """The same schedules on another kind of problem, that of `home`. A rate that suits a surface says nothing about a
    network: each optimizer gets the rate that it has at home, or else the stored one."""
    at_home = {racer.optimizer.key: racer.optimizer for racer in racers_of(home)}

    def there(racer: Racer) -> Racer:
        key = racer.optimizer.key
        rate = tuned_lr(home.surface.key, key) if isinstance(home, Experiment) else tuned_lr_network(key)
        return with_optimizer(racer, at_home.get(key) or racer.optimizer.but(lr=rate))

    return with_racers(home, tuple(map(there, racers_of(runs))))


# What they are called ------------------------------------------------------------------------------------------------


def titles(runs: Runs) -> list[str]:
    """What each run is called: its schedules, and whatever else tells it from the others."""
    racers = racers_of(runs)
    several = len({racer.optimizer.key for racer in racers}) > 1
    names = [(f"{racer.entry.title}: " if several else "") + _schedules_title(racer) for racer in racers]
    found = []
    for name, racer in zip(names, racers, strict=True):
        peers = [other for other in racers if other.optimizer.key == racer.optimizer.key]
        twins = [other for other, same in zip(racers, names, strict=True) if same == name]
        differing = [
            f"{param.symbol or param.title or param.name} {number(float(racer.values[param.name]))}"
            if param.kind in ("real", "whole")
            else f"{param.title or param.name.replace('_', ' ')} {param.write(racer.values[param.name])}"
            for param in racer.entry.params
            if len({other.values[param.name] for other in peers}) > 1
        ]
        for target, pick in racer.schedules:
            entry = SCHEDULES[pick.key]
            own = entry.complete(dict(pick.values))
            rivals = [entry.complete(dict(dict(other.schedules)[target].values)) for other in twins]
            differing += [
                f"{param.symbol or param.title or param.name} {param.write(own[param.name])}"
                for param in entry.params
                if len({other[param.name] for other in rivals}) > 1
            ]
        found.append(name + (f" ({', '.join(differing)})" if differing else ""))
    return numbered(found)


def _schedules_title(racer: Racer) -> str:
    picks = dict(racer.schedules)
    title = SCHEDULES[picks.pop(LR).key].title if LR in picks else "Constant"
    others = [
        "momentum"
        if pick.key == "one_cycle_momentum"
        else f"{racer.entry.param[name].symbol or name}: {SCHEDULES[pick.key].title.lower()}"
        for name, pick in picks.items()
    ]
    return " + ".join([title, *others])


# What a schedule will do ---------------------------------------------------------------------------------------------


def course_steps(steps: int) -> np.ndarray:
    """The steps, 0 to steps − 1, at which a course is given: all of them, or POINTS_AT_MOST evenly spread ones."""
    return np.unique(np.linspace(0, steps - 1, min(steps, POINTS_AT_MOST)).round()).astype(np.int64)


def course(racer: Racer, name: str, steps: int) -> np.ndarray | None:
    """A hyperparameter at `course_steps(steps)` of a run of `steps` steps, before anything runs.

    None if its schedule watches the loss: what it will do nobody knows before the run.
    """
    at = course_steps(steps)
    pick = dict(racer.schedules).get(name)
    if pick is None:
        return np.full(len(at), float(racer.values[name]))
    entry = SCHEDULES[pick.key]
    if entry.slots:
        return None
    own = entry.hyper(**dict(pick.values))
    padded = np.zeros(POINTS_AT_MOST)
    padded[: len(at)] = at
    compiled = program(("course", entry.key, own.static), lambda: _course_program(entry, own.static))
    values = compiled(padded, np.float64(racer.values[name]), np.float64(steps), own.traced)
    return np.asarray(values)[: len(at)]


def _course_program(entry: Schedule, static: tuple[tuple[str, Value], ...]) -> Callable:
    def one(t, peak, steps, traced):
        known = {"peak": peak, "steps": steps, "value": jnp.nan, "news": False}
        return entry.at(t, {}, **known, **entry.unpack(traced, static))[0]

    return jax.jit(jax.vmap(one, in_axes=(0, None, None, None)))


# Formulas with numbers -----------------------------------------------------------------------------------------------

GREEK = {"α": r"\alpha", "γ": r"\gamma", "ε": r"\varepsilon", "η": r"\eta", "ρ": r"\rho", "β": r"\beta"}
SUBSCRIPTS = {"₀": "0", "₁": "1", "₂": "2", "×": r"\times"}
TOKEN = re.compile(r"\\(?:text|begin|end)\{[^}]*\}|\\[A-Za-z]+|[A-Za-z]'?")
SUBSCRIPT = re.compile(r"_(?:\{[^}]*\}|\\[A-Za-z]+|.)")


def with_numbers(racer: Racer, name: str, steps: int) -> str:
    """The formula of a hyperparameter's schedule with the numbers of a run of `steps` steps in the place of letters, as
    LaTeX. T is what the warm-up leaves of the run. Letters that stand for something else than one number stay."""
    pick = dict(racer.schedules).get(name, Pick("constant"))
    entry = SCHEDULES[pick.key]
    own = entry.complete(dict(pick.values))
    symbols = [param.symbol for param in entry.params]
    letters = {
        _latex(param.symbol): float(own[param.name])
        for param in entry.params
        if param.symbol and symbols.count(param.symbol) == 1 and param.kind in ("real", "whole")
    }
    peak = r"\rho" if r"\rho" in entry.formula else r"\eta"
    letters |= {peak: float(racer.values[name]), "T": float(max(steps - float(own["warmup"]), 1))}
    return substituted(entry.formula, letters)


def substituted(formula: str, letters: dict[str, float]) -> str:
    """A LaTeX formula with numbers in the place of letters, each with its subscript: \\eta is another than \\eta_t."""
    out, at = [], 0
    while at < len(formula):
        token = TOKEN.match(formula, at)
        if token is None:
            out.append(formula[at])
            at += 1
            continue
        at = token.end()
        subscript = SUBSCRIPT.match(formula, at)
        letter = token[0] + (subscript[0] if subscript else "")
        at = subscript.end() if subscript else at
        value = latex_number(letters[letter]) if letter in letters else letter
        if letter in letters and "^" in value and formula[at : at + 1] == "^":
            value = f"({value})"
        out.append(f"⟦{value}⟧" if letter in letters else letter)
    text = re.sub(r"⟧(?:\\,)?\s*⟦", r"⟧\\cdot⟦", "".join(out))  # two numbers side by side would read as one
    return text.replace("⟦", "{").replace("⟧", "}")


def latex_number(value: float) -> str:
    """A number as LaTeX."""
    text = f"{value:.4g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        power = f"10^{{{int(exponent)}}}"
        text = power if mantissa == "1" else rf"({mantissa}\times {power})"
    return text


def _latex(symbol: str) -> str:
    letters = symbol.replace("′", "'")
    base = GREEK.get(letters[0], letters[0])
    rest = "".join(SUBSCRIPTS.get(letter, letter) for letter in letters[1:])
    return base + (rest if rest in ("", "'") else f"_{rest}")
