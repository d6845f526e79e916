"""Schedules: how a hyperparameter changes from step to step.

A schedule is a function of t = 0, 1, 2, …, the number of steps taken before. `peak` is the highest value it reaches,
which for a learning rate is `lr` itself. By name it may also ask for `steps`, the length of the run, and for `value`,
the loss that is watched: on a surface the loss where the run stands, without noise and penalty, on a network the
validation loss. That is looked at once an epoch only, before its first step; `news` says whether it was, and without
news `value` is NaN. A schedule that must remember something declares slots, receives them by keyword, and returns
(value, slots); `init` gives what they start at.

Every schedule may warm up: for its first `warmup` steps it rises in a straight line to its peak and then starts, with
the steps that are left. Beyond the end of the run a schedule that counts with its length stays where it arrived; the
others go on as they did. None branches in Python on a number: each is traced once, and its sliders recompile nothing.
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

    def at(self, t: Any, memory: Mapping[str, Any], *, peak, steps, value, news, warmup, warmup_start, **own: Any):
        """The scheduled value at step t and what the schedule remembers of it. `warmup` steps are taken off both
        ends of what the function sees: its t starts after them, and its run is shorter by them."""
        supplied = {"peak": peak, "steps": jnp.maximum(steps - warmup, 1), "value": value, "news": news}
        asked = {name: supplied[name] for name in self.needs}
        main = self.fn(jnp.maximum(t - warmup, 0), **asked, **own, **memory)
        scheduled, remembered = main if self.slots else (main, {})
        rising = peak * (warmup_start + (1 - warmup_start) * t / jnp.maximum(warmup, 1))
        warming = t < warmup
        kept = {slot: jnp.where(warming, memory[slot], remembered[slot]) for slot in self.slots}
        return jnp.where(warming, rising, scheduled), kept


SCHEDULES: Catalogue[Schedule] = Catalogue(
    "schedule",
    Schedule,
    argument=("t",),
    supplies=("peak", "steps", "value", "news"),
    common=(WARMUP, WARMUP_START),
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


@schedule(
    title="Inverse square root",
    params=(
        Param("scale", "s", 50.0, 1.0, 1000.0, log=True, domain="(0, inf)", help="After 3s steps half of it is left."),
    ),
    defaults={"warmup": 50},
    formula=r"\eta_t = \frac{\eta}{\sqrt{1 + t/s}}",
    source=Source("Vaswani et al.", 2017, "Attention Is All You Need", "https://arxiv.org/abs/1706.03762"),
    note="With s as long as the warm-up, as here, it is the schedule of the paper; it is power decay with c = ½.",
)
def inverse_sqrt(t, *, peak, scale):
    """Falls with the square root of the step: quickly after the warm-up, and hardly at all later."""
    return peak / jnp.sqrt(1 + t / scale)


@schedule(
    title="Warm-up, stable, decay",
    params=(
        Param("fall", "f", 0.2, domain="[0, 1]", help="Share of the run, after the warm-up, that the decay takes."),
        FINAL,
    ),
    defaults={"warmup": 50},
    formula=r"\eta_t = \eta\left(\alpha + (1-\alpha)\,\min\left(1, \tfrac{1 - t/T}{f}\right)\right)",
    source=Source(
        "Hu et al.",
        2024,
        "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies",
        "https://arxiv.org/abs/2404.06395",
    ),
    note="A trapezoid, with the common warm-up as its left side. The decay is a straight line.",
)
def trapezoid(t, *, peak, steps, fall, final):
    """Rises, stays, and falls only at the end: where to stop can be decided late."""
    left = 1 - jnp.minimum(t / steps, 1)
    return peak * (final + (1 - final) * jnp.where(left < fall, left / jnp.where(fall > 0, fall, 1), 1))


# Cycles --------------------------------------------------------------------------------------------------------------

SGDR = Source(
    "Loshchilov & Hutter",
    2017,
    "SGDR: Stochastic Gradient Descent with Warm Restarts",
    "https://arxiv.org/abs/1608.03983",
)
CYCLICAL = Source(
    "Smith", 2017, "Cyclical Learning Rates for Training Neural Networks", "https://arxiv.org/abs/1506.01186"
)
LOW = Param("low", "b", 0.1, domain="[0, 1]", title="base", help="The lower end of the cycle, as a share of the peak.")
HALF = Param(
    "half_cycle",
    "s",
    50,
    1,
    1000,
    log=True,
    domain="[1, inf)",
    help="Steps from the base to the peak, and as many back.",
)


@schedule(
    title="Warm restarts (SGDR)",
    params=(
        Param("cycle", "T₀", 50, 1, 1000, log=True, domain="[1, inf)", help="Steps of the first cycle."),
        Param("stretch", "T×", 2.0, 1.0, 4.0, domain="[1, inf)", help="How many times longer each next cycle is."),
        Param("shrink", "γ", 1.0, 0.1, 1.0, domain="[0, 1]", help="What each restart multiplies the peak with."),
        FINAL,
    ),
    formula=r"\eta_t = \eta\,\gamma^{i}\left(\alpha + (1-\alpha)\,\tfrac12\left(1 + \cos(\pi\,t_i/T_i)\right)\right)"
    r",\quad T_i = T_0\,T_\times^{\,i}",
    source=SGDR,
    note="tᵢ counts the steps since restart i. PyTorch's CosineAnnealingWarmRestarts, which knows no γ.",
)
def sgdr(t, *, peak, cycle, stretch, shrink, final):
    """A cosine that starts again and again, each time with a longer cycle."""

    def begins(i):
        return cycle * jnp.where(stretch == 1, i, (stretch**i - 1) / jnp.where(stretch == 1, 1, stretch - 1))

    grown = jnp.where(stretch == 1, 2, stretch)
    passed = jnp.log(jnp.maximum(t, 1) / cycle) + jnp.log(grown - 1)  # a logarithm, because it may be huge
    i = jnp.floor(jnp.where(stretch == 1, t / cycle, jnp.logaddexp(0.0, passed) / jnp.log(grown)))
    i = i - (begins(i) > t) + (begins(i + 1) <= t)  # the logarithms may miss a restart by their rounding
    return (
        peak * shrink**i * (final + (1 - final) * 0.5 * (1 + jnp.cos(jnp.pi * (t - begins(i)) / (cycle * stretch**i))))
    )


def _triangle(t, half):
    """0 at the base and 1 at the peak, and the number of the cycle, 0, 1, 2, …"""
    number = jnp.floor(t / (2 * half))
    into = t - 2 * (number * half)  # steps, exactly, so that every cycle is the same to the last digit
    return 1 - jnp.abs(into / half - 1), number


@schedule(
    title="Triangular cycles",
    params=(LOW, HALF),
    formula=r"\eta_t = \eta\left(b + (1-b)\,\Lambda(t/s)\right)",
    source=CYCLICAL,
    note="Λ rises from 0 to 1 within s steps, falls within s more, and so on. PyTorch's CyclicLR, mode triangular.",
)
def triangular(t, *, peak, low, half_cycle):
    """Up and down in straight lines between two rates, which a range test finds."""
    return peak * (low + (1 - low) * _triangle(t, half_cycle)[0])


@schedule(
    title="Triangular cycles, halved",
    params=(LOW, HALF),
    formula=r"\eta_t = \eta\left(b + (1-b)\,2^{-i}\,\Lambda(t/s)\right)",
    source=CYCLICAL,
    note="i is the number of the cycle, 0, 1, 2, … PyTorch's CyclicLR, mode triangular2.",
)
def triangular2(t, *, peak, low, half_cycle):
    """Triangular cycles of which each is half as high as the one before."""
    height, number = _triangle(t, half_cycle)
    return peak * (low + (1 - low) * height * 0.5**number)


@schedule(
    title="Triangular cycles, decaying",
    params=(
        LOW,
        HALF,
        Param(
            "gamma", "γ", 0.995, 0.9, 1.0, domain="[0, 1]", help="What each step multiplies the cycle's height with."
        ),
    ),
    formula=r"\eta_t = \eta\left(b + (1-b)\,\gamma^t\,\Lambda(t/s)\right)",
    source=CYCLICAL,
    note="PyTorch's CyclicLR, mode exp_range.",
)
def exp_range(t, *, peak, low, half_cycle, gamma):
    """Triangular cycles whose height decays at every step."""
    return peak * (low + (1 - low) * _triangle(t, half_cycle)[0] * gamma**t)


# One cycle -----------------------------------------------------------------------------------------------------------

ONE_CYCLE = Source(
    "Smith & Topin",
    2019,
    "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    "https://arxiv.org/abs/1708.07120",
)
PHASES = Param(
    "phases",
    "",
    "two",
    options=("two", "three"),
    static=True,
    help="Two: up, and down to almost nothing. Three: up, down to where it began, and then down to almost nothing.",
)
SHAPE = Param("shape", "", "cosine", options=("cosine", "linear"), static=True, help="How each phase goes.")
RISE = Param(
    "rise",
    "p",
    0.3,
    domain="[0, 1]",
    help="Share of the run that the rise takes. The fall of three phases takes as much, and no more than is left.",
)


def _phases(t, steps, rise, phases, marks, shape):
    """From mark to mark: the first is the value at the start, each next one is reached when a phase ends.

    Phases end where PyTorch's do: at pT − 1, at 2pT − 2 if there are three, and at T − 1, the last step, which has the
    last mark's value whatever p is.
    """
    middle = [jnp.minimum(2 * rise * steps - 2, steps - 1)] if phases == "three" else []
    ends = [rise * steps - 1, *middle, steps - 1]
    begins, value = 0.0, marks[-1]
    pieces = []
    for end, before, after in zip(ends, marks[:-1], marks[1:], strict=True):
        share = jnp.clip((t - begins) / jnp.where(end > begins, end - begins, 1), 0, 1)
        share = 0.5 * (1 - jnp.cos(jnp.pi * share)) if shape == "cosine" else share
        pieces.append((end, before * (1 - share) + after * share))  # which is exact at both ends
        begins = end
    for end, piece in reversed(pieces):
        value = jnp.where(t < end, piece, value)
    return value


@schedule(
    title="One cycle",
    params=(
        PHASES,
        SHAPE,
        RISE,
        Param("div", "d", 25.0, 1.0, 100.0, log=True, domain="[1, inf)", help="It starts at the peak divided by d."),
        Param(
            "final_div",
            "d′",
            1e4,
            1.0,
            1e6,
            log=True,
            domain="[1, inf)",
            help="It ends at the start divided by d′: the final annihilation.",
        ),
    ),
    formula=r"\tfrac{\eta}{d} \;\to\; \eta \;\to\; \tfrac{\eta}{d\,d'}",
    source=ONE_CYCLE,
    note="PyTorch's OneCycleLR. Give the momentum the schedule “One cycle of momentum”, which goes the other way.",
)
def one_cycle(t, *, peak, steps, phases, shape, rise, div, final_div):
    """Up to a large rate and down again, once in the whole run, and to almost nothing at the end."""
    marks = [peak / div, peak, *([peak / div] if phases == "three" else []), peak / div / final_div]
    return _phases(t, steps, rise, phases, marks, shape)


@schedule(
    title="One cycle of momentum",
    params=(
        PHASES,
        SHAPE,
        RISE,
        Param("low", "b", 0.9, domain="[0, 1]", help="What is left of it when the learning rate is at its peak."),
    ),
    formula=r"\rho \;\to\; b\,\rho \;\to\; \rho",
    source=ONE_CYCLE,
    note="For the momentum, beside a learning rate that follows “One cycle”. PyTorch's OneCycleLR, cycle_momentum.",
)
def one_cycle_momentum(t, *, peak, steps, phases, shape, rise, low):
    """Down while the learning rate rises and up while it falls, so that their product stays more even."""
    return _phases(t, steps, rise, phases, [peak, low * peak, peak, *([peak] if phases == "three" else [])], shape)


@schedule(
    title="Range test",
    params=(
        Param("low", "b", 1e-5, 1e-8, 1.0, log=True, domain="(0, 1]", help="Where it starts, as a share of the peak."),
        Param(
            "spacing",
            "",
            "exponential",
            options=("exponential", "linear"),
            static=True,
            help="Whether each step multiplies the rate or adds to it.",
        ),
    ),
    formula=r"\eta_t = \eta\,b^{\,1 - t/(T-1)}\ \text{ or }\ \eta\left(b + (1-b)\,\tfrac{t}{T-1}\right)",
    source=CYCLICAL,
    note="A measurement, not a way to train: the loss against the rate shows from where on a rate is useful.",
)
def range_test(t, *, peak, steps, low, spacing):
    """Rises through all rates that may be of use, up to the peak at the last step."""
    share = jnp.minimum(t, steps - 1) / jnp.maximum(steps - 1, 1)
    return peak * (low ** (1 - share) if spacing == "exponential" else low + (1 - low) * share)


# Schedules that watch the loss ---------------------------------------------------------------------------------------


def _plateau_starts():
    return {"best": jnp.inf, "waited": 0.0, "cooling": 0.0, "share": 1.0}


@schedule(
    title="Performance (plateau)",
    params=(
        Param("factor", "γ", 0.1, 0.01, 1.0, log=True, domain="[0, 1]", help="What a cut multiplies the value with."),
        Param("patience", "n", 10, 0, 100, domain="[0, inf)", help="Looks without improvement that are let pass."),
        Param(
            "threshold",
            "ε",
            1e-4,
            1e-6,
            0.1,
            log=True,
            domain="[0, 1)",
            help="Share by which the loss must fall below its best to count as an improvement.",
        ),
        Param(
            "cooldown",
            "c",
            0,
            0,
            100,
            domain="[0, inf)",
            title="cool-down",
            help="Looks that count for nothing after a cut.",
        ),
        Param(
            "least", "m", 0.0, domain="[0, 1]", title="minimum", help="Share of the peak below which it never falls."
        ),
    ),
    slots=("best", "waited", "cooling", "share"),
    init=_plateau_starts,
    formula=r"\eta_t = \eta\,\max(\gamma^{\text{cuts}}, m)",
    source=Source(
        "Géron", 2022, "Hands-On Machine Learning, chapter 11 (performance scheduling)", "https://www.oreilly.com"
    ),
    note="Cuts when the loss has not improved for longer than the patience. On a surface it looks at the loss at every "
    "step, on a network at the validation loss once an epoch. PyTorch's ReduceLROnPlateau, with its threshold "
    "taken of |best|, so that a negative loss can improve too.",
)
def plateau(t, *, peak, value, news, best, waited, cooling, share, factor, patience, threshold, cooldown, least):
    """Cuts the value whenever the watched loss has stopped falling."""
    better = value < best - jnp.where(jnp.isinf(best), 0, threshold * jnp.abs(best))
    counted = jnp.where(better | (cooling > 0), 0, waited + 1)
    cut = counted > patience
    after = {
        "best": jnp.where(better, value, best),
        "waited": jnp.where(cut, 0, counted),
        "cooling": jnp.where(cut, cooldown, jnp.maximum(cooling - 1, 0)),
        "share": jnp.where(cut, jnp.maximum(share * factor, jnp.minimum(share, least)), share),
    }
    now = _if_news(news, after, {"best": best, "waited": waited, "cooling": cooling, "share": share})
    return peak * now["share"], now


@schedule(
    title="Step-size control",
    params=(
        Param(
            "factor", "γ", 0.5, 0.1, 1.0, domain="[0, 1]", help="What the value is multiplied with after a bad step."
        ),
        Param(
            "growth",
            "g",
            1.05,
            1.0,
            1.5,
            domain="[1, inf)",
            help="What a good step multiplies it with, up to the peak.",
        ),
    ),
    slots=("last", "share"),
    init=lambda: {"last": jnp.inf, "share": 1.0},
    formula=r"\eta_t = \begin{cases}\min(g\,\eta_{t-1}, \eta) & \text{if the loss has decreased}\\"
    r"\gamma\,\eta_{t-1} & \text{if not}\end{cases}",
    source=Source(
        "Vogl, Mangis, Rigler, Zink & Alkon",
        1988,
        "Accelerating the convergence of the back-propagation method",
        "https://doi.org/10.1007/BF00332914",
    ),
    note="The “bold driver”. A bad step is not taken back here. On a network it looks once an epoch.",
)
def bold_driver(t, *, peak, value, news, last, share, factor, growth):
    """Decreases the step when the error has not decreased, and lets it grow again slowly while it does."""
    moved = jnp.where(value < last, jnp.minimum(share * growth, 1), share * factor)
    now = _if_news(news, {"last": value, "share": moved}, {"last": last, "share": share})
    return peak * now["share"], now


def _if_news(news, after, before):
    return {slot: jnp.where(news, after[slot], before[slot]) for slot in after}


# Your own ------------------------------------------------------------------------------------------------------------

POINTS = ((0.1, 1.0), (0.4, 0.6), (0.6, 0.6), (0.8, 0.1))  # (share of the run, share of the peak), between the ends


@schedule(
    title="Your own, point by point",
    params=(
        Param("y0", "y₀", 0.1, domain="[0, 1]", title="start", help="Share of the peak at the start of the run."),
        *(
            param
            for i, (x, y) in enumerate(POINTS, 1)
            for param in (
                Param(f"x{i}", "xᵢ", x, domain="[0, 1]", title=f"point {i} at", help="When, as a share of the run."),
                Param(f"y{i}", "yᵢ", y, domain="[0, 1]", title=f"point {i}", help="How high, as a share of the peak."),
            )
        ),
        Param("y5", "y₅", 0.0, domain="[0, 1]", title="end", help="Share of the peak at the end of the run."),
    ),
    formula=r"\eta_t = \eta\,\text{the straight line between the neighbours of } t/T \text{ among } (x_i, y_i)",
    source=BOOK,
    note="The points between the ends may stand in any order; two at the same place make a jump.",
)
def piecewise_linear(t, *, peak, steps, y0, x1, y1, x2, y2, x3, y3, x4, y4, y5):
    """Straight lines through points that you set."""
    x, y = jnp.stack([x1, x2, x3, x4]), jnp.stack([y1, y2, y3, y4])
    order = jnp.argsort(x)
    x = jnp.concatenate([jnp.zeros(1), x[order], jnp.ones(1)])
    y = jnp.concatenate([jnp.stack([y0]), y[order], jnp.stack([y5])])
    return peak * jnp.where(t < steps, jnp.interp(jnp.minimum(t / steps, 1), x, y), y5)
