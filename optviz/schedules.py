"""Schedules: how a hyperparameter changes from step to step.

A schedule is a function of t = 0, 1, 2, …, the number of steps taken before. `peak` is the highest value it reaches,
which for a learning rate is `lr` itself. By name it may also ask for `steps`, the length of the run, and for `value`,
the loss where the run stands. One that must remember something declares slots, receives them by keyword, and returns
(value, slots); `init` gives what they start at.

Every schedule may warm up: for its first `warmup` steps it rises in a straight line to its peak and then starts, with
the steps that are left. Beyond the end of the run a schedule stays where it arrived. None branches in Python on a
number: each is traced once, and its sliders recompile nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from optviz.spec import Catalogue, Entry, Param, Source

WARMUP = Param(
    "warmup",
    "w",
    0,
    0,
    200,
    domain="[0, inf)",
    title="warm-up",
    help="Steps of warm-up: the value rises in a straight line before the schedule proper starts.",
)
WARMUP_START = Param(
    "warmup_start",
    "w₀",
    0.0,
    domain="[0, 1]",
    title="warm-up from",
    help="Share of the peak at which the warm-up starts; 0 makes the first step stand still.",
)


@dataclass(frozen=True, kw_only=True)
class Schedule(Entry):
    """A schedule's card. `init()` gives the slots of a schedule that remembers."""

    init: Callable[[], dict[str, Any]] = dict

    def at(self, t: Any, memory: Mapping[str, Any], *, peak, steps, value, warmup, warmup_start, **own: Any):
        """The scheduled value at step t and what the schedule remembers of it. `warmup` steps are taken off both
        ends of what the function sees: its t starts after them, and its run is shorter by them."""
        supplied = {"peak": peak, "steps": jnp.maximum(steps - warmup, 1), "value": value}
        asked = {name: supplied[name] for name in self.needs}
        main = self.fn(jnp.maximum(t - warmup, 0), **asked, **own, **memory)
        scheduled, remembered = main if self.slots else (main, {})
        rising = peak * (warmup_start + (1 - warmup_start) * t / jnp.maximum(warmup, 1))
        warming = t < warmup
        kept = {slot: jnp.where(warming, memory[slot], remembered[slot]) for slot in self.slots}
        return jnp.where(warming, rising, scheduled), kept


SCHEDULES: Catalogue[Schedule] = Catalogue(
    "schedule", Schedule, argument=("t",), supplies=("peak", "steps", "value"), common=(WARMUP, WARMUP_START)
)
schedule = SCHEDULES.declare

FINAL = Param("final", "α", 0.0, domain="[0, 1]", help="Share of the peak that is left at the end of the run.")
BOOK = Source("Zhang, Lipton, Li & Smola", 2023, "Dive into Deep Learning, section 12.11", "https://d2l.ai")


@schedule(
    title="Constant",
    formula=r"\eta_t = \eta",
    source=Source(
        "Robbins & Monro", 1951, "A Stochastic Approximation Method", "https://doi.org/10.1214/aoms/1177729586"
    ),
)
def constant(t, *, peak):
    """The same value at every step."""
    return peak + 0 * t


@schedule(
    title="Step decay",
    params=(
        Param("factor", "γ", 0.5, 0.1, 1.0, domain="[0, 1]", help="What the value is multiplied with at each drop."),
        Param("every", "s", 100, 10, 1000, log=True, domain="[1, inf)", help="Steps from one drop to the next."),
    ),
    formula=r"\eta_t = \eta\,\gamma^{\lfloor t/s \rfloor}",
    source=BOOK,
    note="PyTorch's StepLR.",
)
def step_decay(t, *, peak, factor, every):
    """Drops by a factor every so many steps."""
    return peak * factor ** jnp.floor(t / every)


@schedule(
    title="Exponential decay",
    params=(Param("decay", "k", 0.01, 1e-4, 1.0, log=True, domain="[0, inf)", help="Rate of decay per step."),),
    formula=r"\eta_t = \eta\,e^{-kt}",
    source=BOOK,
)
def exponential(t, *, peak, decay):
    """Loses the same share at every step."""
    return peak * jnp.exp(-decay * t)


@schedule(
    title="1/t decay",
    params=(Param("decay", "k", 0.01, 1e-4, 1.0, log=True, domain="[0, inf)", help="Rate of decay per step."),),
    formula=r"\eta_t = \frac{\eta}{1 + kt}",
    source=Source(
        "Robbins & Monro", 1951, "A Stochastic Approximation Method", "https://doi.org/10.1214/aoms/1177729586"
    ),
)
def inverse_time(t, *, peak, decay):
    """Falls fast at first and ever more slowly: the classical choice with noisy gradients."""
    return peak / (1 + decay * t)


@schedule(
    title="Power decay",
    params=(
        Param(
            "scale", "s", 100.0, 1.0, 1000.0, log=True, domain="(0, inf)", help="After s steps it has fallen to 2⁻ᶜ."
        ),
        Param("power", "c", 0.5, 0.0, 2.0, domain="[0, inf)", help="How steeply it falls; c = 1 is the 1/t decay."),
    ),
    formula=r"\eta_t = \frac{\eta}{(1 + t/s)^c}",
    source=Source("Géron", 2022, "Hands-On Machine Learning, chapter 11", "https://www.oreilly.com"),
)
def power(t, *, peak, scale, power):
    """1/t decay with a freely chosen exponent."""
    return peak / (1 + t / scale) ** power


@schedule(
    title="Piecewise constant",
    params=(
        Param("first", "p₁", 0.5, domain="[0, 1]", help="Share of the run after which it drops for the first time."),
        Param("second", "p₂", 0.75, domain="[0, 1]", help="Share of the run after which it drops again."),
        Param("factor", "γ", 0.1, 0.01, 1.0, log=True, domain="[0, 1]", help="What each drop multiplies it with."),
    ),
    formula=r"\eta_t = \eta\,\gamma^{[t \ge p_1 T] + [t \ge p_2 T]}",
    source=BOOK,
    note="The drops come at the whole steps nearest to p₁T and p₂T; PyTorch's MultiStepLR.",
)
def piecewise(t, *, peak, steps, first, second, factor):
    """Two drops at chosen moments of the run."""
    drops = (t >= jnp.round(first * steps)) * 1.0 + (t >= jnp.round(second * steps))
    return peak * factor**drops


@schedule(
    title="Polynomial decay",
    params=(Param("power", "c", 2.0, 0.1, 5.0, domain="[0, inf)", help="1 is a straight line."), FINAL),
    formula=r"\eta_t = \eta\left(\alpha + (1-\alpha)\,(1 - t/T)^c\right)",
    source=BOOK,
    note="optax's polynomial_schedule.",
)
def polynomial(t, *, peak, steps, power, final):
    """Falls along a power of the remaining time."""
    return peak * (final + (1 - final) * (1 - jnp.minimum(t / steps, 1)) ** power)


@schedule(
    title="Linear decay",
    params=(FINAL,),
    formula=r"\eta_t = \eta\left(1 - (1-\alpha)\,t/T\right)",
    source=BOOK,
)
def linear(t, *, peak, steps, final):
    """A straight line from the peak to the end."""
    return peak * (1 - (1 - final) * jnp.minimum(t / steps, 1))


@schedule(
    title="Cosine",
    params=(FINAL,),
    formula=r"\eta_t = \eta\left(\alpha + (1-\alpha)\,\tfrac12\left(1 + \cos(\pi t/T)\right)\right)",
    source=Source(
        "Loshchilov & Hutter",
        2017,
        "SGDR: Stochastic Gradient Descent with Warm Restarts",
        "https://arxiv.org/abs/1608.03983",
    ),
    note="optax's cosine_decay_schedule, PyTorch's CosineAnnealingLR.",
)
def cosine(t, *, peak, steps, final):
    """Half a cosine: slow at first, fast in the middle, slow at the end."""
    return peak * (final + (1 - final) * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(t / steps, 1))))


@schedule(
    title="Warm-up",
    defaults={"warmup": 50},
    formula=r"\eta_t = \eta\,\min(1, t/w)",
    source=Source("Goyal et al.", 2017, "Accurate, Large Minibatch SGD", "https://arxiv.org/abs/1706.02677"),
    note="Every other schedule can warm up too: this one stays at its peak afterwards.",
)
def warmup(t, *, peak):
    """Rises in a straight line and stays there, so that the first steps cannot throw the run off."""
    return peak + 0 * t
