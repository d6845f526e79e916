"""What the course claims about descent on a surface, each as an experiment, a measurement and a verdict.

A claim is a function and its card, as an optimizer is. The card holds the textbook's sentence, when it holds, and the
experiment that shows it. The function measures: it is given the experiment as it now stands and, by name, the racers
that it speaks of (`ROLES`), and it makes its sentence from the numbers of *this* run. Where the numbers say that the
claim does not hold, so does the sentence, with the reason; where the experiment lacks what the claim is about (another
surface, a racer gone, a schedule in its place), `Claim.measure` gives None.

    η    learning rate                   κ   condition number, λmax/λmin      σ   standard deviation of gradient noise
    ρ    momentum                        λ   a curvature: an eigenvalue of    θ   position
    φ    rotation of a valley                the Hessian                      ξ   diffGrad's friction

Counting steps: a run has *settled* at the first step from which on its loss stays within the experiment's tolerance of
the minimum; passing through does not count. Every measurement is a fixed number of runs of at most 5,000 steps.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optviz.descent import Trajectory, descend, sweep
from optviz.experiment import Experiment, Pick, Racer, run
from optviz.optimizers import OPTIMIZERS
from optviz.problems import Problem, from_surface
from optviz.quadratic import TAME, Quadratic, as_quadratic
from optviz.spec import Source
from optviz.verdict import STEPS_AT_MOST, Card, Measured, judged

SEEDS = 16
SIGHT = 1000  # steps after which one per cent to either side of a stability edge has shown
ROUNDING = 1e-9  # two ways to the same path may differ by this, relative to how far out it goes

# What a measuring function may ask for by name: an optimizer, and the values that make it what the claim speaks of.
ROLES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("sgd", {"momentum": 0.0}),
    "momentum": ("momentum", {"form": "accumulating", "dampening": 0.0}),
    "averaging": ("momentum", {"form": "averaging", "dampening": 0.0}),
    "look_ahead": ("nesterov", {"form": "look-ahead"}),
    "adagrad": ("adagrad", {}),
    "rmsprop": ("rmsprop", {"momentum": 0.0, "centered": False}),
    "adam": ("adam", {"bias_correction": True, "amsgrad": False}),
    "uncorrected": ("adam", {"bias_correction": False, "amsgrad": False}),
    "diffgrad": ("diffgrad", {}),
    "newton": ("newton", {"damping": 0.0, "line_search": False}),
    "lbfgs": ("lbfgs", {}),
}


@dataclass(frozen=True)
class Claim(Card):
    """A claim on descent, with the experiment that shows it."""

    experiment: Experiment
    surfaces: tuple[str, ...]  # none: any
    noisy: bool  # whether it may be measured with gradient noise
    judge: Callable[..., Measured | None]

    def measure(self, experiment: Experiment) -> Measured | None:
        """Measure the claim on an experiment; None where the experiment lacks what the claim is about.

        Never raises for a valid experiment: a run that diverges is measured like any other.
        """
        if (self.surfaces and experiment.surface.key not in self.surfaces) or experiment.l2 > 0:
            return None
        if experiment.noise > 0 and not self.noisy:
            return None
        cast = {role: _in_role(experiment, role) for role in _asked(self.judge)}
        if None in cast.values():
            return None
        with np.errstate(all="ignore"):
            return self.judge(experiment, **cast)


CLAIMS: dict[str, Claim] = {}


def claim(
    key: str, *, sources: tuple[Source, ...], surfaces: tuple[str, ...] = (), noisy: bool = False, **card: Any
) -> Callable[[Callable], Callable]:
    """Decorator: enter a measuring function and its card."""

    def enter(judge: Callable) -> Callable:
        unknown = set(_asked(judge)) - set(ROLES)
        if unknown or key in CLAIMS:
            raise TypeError(f"claim {key} is declared twice or asks for racers that have no role: {sorted(unknown)}")
        CLAIMS[key] = Claim(key=key, sources=sources, surfaces=surfaces, noisy=noisy, judge=judge, **card)
        return judge

    return enter


def _asked(judge: Callable) -> list[str]:
    """The racers that a measuring function asks for, after the experiment."""
    return list(inspect.signature(judge).parameters)[1:]


# How to measure ------------------------------------------------------------------------------------------------------


def _in_role(experiment: Experiment, role: str) -> Racer | None:
    """The first racer that can play the role. One with a schedule cannot: the claims speak of constant settings."""
    key, fixed = ROLES[role]
    for racer in experiment.racers:
        settings = racer.values
        if (
            racer.optimizer.key == key
            and not racer.schedules
            and fixed.items() <= settings.items()
            and float(settings["lr"]) <= TAME
        ):
            return racer
    return None


def _values(racer: Racer, *names: str) -> list[np.float64]:
    """Hyperparameters as NumPy numbers, whose division by zero gives ∞ and not an exception."""
    return [np.float64(racer.values[name]) for name in names]


def _problem(experiment: Experiment, **changes: Any) -> Problem:
    conditions = {
        "start": experiment.start,
        "surface_values": experiment.surface_values,
        "noise": experiment.noise,
        "seed": experiment.seed,
    }
    return from_surface(experiment.entry, **(conditions | changes))


def _path(experiment: Experiment, racer: Racer, steps: int = STEPS_AT_MOST, **changes: Any) -> Trajectory:
    """The racer's run under the experiment's conditions, some of them changed."""
    return descend(_problem(experiment, **changes), racer.rule, steps)


def _settled(loss: np.ndarray, floor: float, tolerance: float) -> float:
    """The first step from which on the loss stays within the tolerance of the floor; ∞ if it does not."""
    outside = np.flatnonzero(~(loss - floor <= tolerance))
    if not outside.size:
        return 0.0
    return math.inf if outside[-1] == len(loss) - 1 else float(outside[-1] + 1)


def _left(loss: np.ndarray, floor: float) -> np.ndarray:
    """The share of the excess loss (…, T + 1) that is left at the end; ∞ if it has outgrown the numbers."""
    first, last = loss[..., 0] - floor, loss[..., -1] - floor
    return np.where((first > 0) & ~np.isfinite(last), math.inf, last / first)


def _overshoot(offsets: np.ndarray) -> np.ndarray:
    """How far each coordinate of offsets (T + 1, n) from the minimum went beyond it, as a share of where it began."""
    return np.maximum(np.max(-np.sign(offsets[0]) * offsets, axis=0), 0) / np.abs(offsets[0])


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """The slope of the least-squares line."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    centred = x - x.mean()
    return float(np.sum(centred * (y - y.mean())) / np.sum(centred**2))


def _quadratic(experiment: Experiment, **values: Any) -> Quadratic | None:
    """The experiment's surface as a quadratic, with some of its parameters changed; None if it is none."""
    return as_quadratic(experiment.entry, experiment.surface_values | values)


def _racers(*racers: tuple[str, dict[str, Any]]) -> tuple[Racer, ...]:
    return tuple(Racer(Pick(key, values)) for key, values in racers)


GOH = Source("Goh", 2017, "Why Momentum Really Works", "https://distill.pub/2017/momentum/")
NOCEDAL = Source(
    "Nocedal & Wright", 2006, "Numerical Optimization, chapter 3", "https://doi.org/10.1007/978-0-387-40065-5"
)
SUTSKEVER = Source(
    "Sutskever et al.",
    2013,
    "On the importance of initialization and momentum in deep learning",
    "https://proceedings.mlr.press/v28/sutskever13.html",
)
RUDER = Source(
    "Ruder", 2016, "An overview of gradient descent optimization algorithms", "https://arxiv.org/abs/1609.04747"
)


# Plain descent -------------------------------------------------------------------------------------------------------


@claim(
    "A1",
    title="Zig-zag across a valley, crawl along it",
    says="Gradient descent swings across an ill-conditioned valley while it crawls along it; the number of steps grows "
    "in proportion to the condition number κ.",
    condition="In a valley with κ well above 1, with a constant rate. It swings only for 1/λmax < η < 2/λmax, while "
    "the steep part of the gradient lives; the crawl is there at every stable rate, swinging or not. κ sets the steps "
    "if η is the same share of 2/λmax each time, and not so close to it that the swinging dies out last.",
    watch="The first racer jumps from wall to wall; the second, slower one slides to the floor without a single swing "
    "and then crawls as well.",
    sources=(NOCEDAL, GOH),
    surfaces=("valley",),
    experiment=Experiment(
        Pick("valley", {"kappa": 50.0}),
        start=(1.0, 1.0),
        steps=300,
        racers=_racers(("sgd", {"lr": 0.036}), ("sgd", {"lr": 0.01})),
    ),
)
def zig_zag(e: Experiment, sgd: Racer) -> Measured | None:
    quadratic, (lr,) = _quadratic(e), _values(sgd, "lr")
    kappa = float(e.surface_values["kappa"])
    if quadratic is None or kappa < 1:
        return None
    limit = 2 / quadratic.curvatures[1]
    cosine, crawl = (_mean_cosine(_path(e, racer), quadratic) for racer in (sgd, sgd.but(lr=float(limit / 4))))
    steps = []
    for share in (1, 2, 4):
        flatter = sgd.but(lr=float(lr * kappa / max(1.0, kappa / share)))
        path = _path(e, flatter, surface_values=e.surface_values | {"kappa": max(1.0, kappa / share)})
        steps.append(_settled(path.loss, 0.0, e.tolerance))
    numbers = {
        "kappa": kappa,
        "half": max(1.0, kappa / 2),
        "quarter": max(1.0, kappa / 4),
        "share": lr / limit,
        "tolerance": e.tolerance,
        **dict(zip(("steps", "steps_half", "steps_quarter"), steps, strict=True)),
        "slope": _slope(np.log([1.0, 0.5, 0.25]), np.log(steps)),
        "cosine": cosine,
        "cosine_slow": crawl,
    }
    return judged(
        numbers,
        "With κ = {kappa} and η at {share:%} of 2/λmax, plain descent needed {steps:steps} to settle within "
        "{tolerance}; with κ = {half} at the same share {steps_half:steps}, with κ = {quarter} "
        "{steps_quarter:steps}: they grow like κ to the power {slope}. While the steep part of the gradient was the "
        "larger, successive gradients had a mean cosine of {cosine}; at a quarter of the limit it is {cosine_slow}.",
        (kappa >= 4, "κ = {kappa} is hardly a valley"),
        (lr < limit, "η is beyond the stable limit"),
        (cosine < -0.5, "it does not swing across"),
        (0.9 < numbers["slope"] < 1.1, "the steps do not grow in proportion to κ"),
    )


def _mean_cosine(path: Trajectory, quadratic: Quadratic) -> float:
    """Of successive gradients, while the steep part of both is larger than the flat part; NaN if that never was."""
    flat, steep = np.abs(path.grad @ quadratic.axes).T
    # A share of the first gradient below which nothing but rounding is left.
    alive = (steep > flat) & (steep > 1e-9 * steep[0])
    before, after = path.grad[:-1], path.grad[1:]
    cosine = np.sum(before * after, axis=1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    both = alive[:-1] & alive[1:] & np.isfinite(cosine)  # which it is not where the gradient has outgrown the numbers
    return float(np.mean(cosine[both])) if both.any() else math.nan


@claim(
    "A2",
    title="The largest stable learning rate",
    says="On a quadratic, gradient descent converges exactly when η < 2/λmax; above 1/λmax it swings from side to "
    "side, above 2/λmax it diverges.",
    condition="On a quadratic with curvatures above zero, with a constant rate and without noise, from a start that is "
    "not exactly on the valley's floor. Elsewhere 2/λmax at the minimum is the limit only near the minimum.",
    watch="Three rates: below 1/λmax no swing, between the two limits a swing that dies out, just above 2/λmax one "
    "that grows.",
    sources=(GOH, NOCEDAL),
    experiment=Experiment(
        Pick("valley", {"kappa": 25.0}),
        start=(-1.8, 0.5),
        steps=150,
        racers=_racers(("sgd", {"lr": 0.03}), ("sgd", {"lr": 0.06}), ("sgd", {"lr": 0.081})),
    ),
)
def largest_rate(e: Experiment, sgd: Racer) -> Measured | None:
    quadratic, (lr,) = _quadratic(e), _values(sgd, "lr")
    if quadratic is None:
        return None
    limit = 2 / quadratic.curvatures[1]
    theta, loss, _ = sweep(_problem(e), sgd.rule, SIGHT, "lr", limit * np.array([0.25, 0.75, 0.99, 1.01]))
    left = _left(loss, quadratic.floor)
    across = np.sign(quadratic.offsets(theta)[:2, :21, 1])
    turned = np.mean(across[:, 1:] * across[:, :-1] < 0, axis=1)
    numbers = {
        "curvature": quadratic.curvatures[1],
        "limit": limit,
        "below": left[2],
        "above": left[3],
        "turned_slow": turned[0],
        "turned_fast": turned[1],
        "rate": lr,
        "share": lr / limit,
        "own": _left(_path(e, sgd, e.steps).loss, quadratic.floor),
        "taken": e.steps,
        "sight": SIGHT,
    }
    return judged(
        numbers,
        "The Hessian's largest eigenvalue is λmax = {curvature}, so the limit is 2/λmax = {limit}. After {sight} "
        "steps, a rate 1 % below it had {below} of the excess loss left, one 1 % above it {above}. In its first 20 "
        "steps descent changed sides across the valley in {turned_slow:%} of them at η = 0.5/λmax and in "
        "{turned_fast:%} at 1.5/λmax. The first SGD racer runs at η = {rate}, {share:%} of the limit, and after "
        "{taken:steps} had {own} of its excess loss left.",
        (left[2] < 1, "just below the limit the loss did not fall"),
        (left[3] > 1, "just above the limit it did not grow, as this start has too little across the valley"),
        (turned[0] == 0 and turned[1] == 1, "the swinging does not begin at 1/λmax from this start"),
    )


SOME_NOISE = 0.1
FARTHER = 10.0 ** -np.arange(4)  # offsets as shares of the experiment's own


@claim(
    "A3",
    title="The stall at a saddle",
    says="At a saddle the gradient vanishes and plain descent stalls; the time to escape grows with the logarithm of "
    "1/offset from the ridge.",
    condition="From a start (x, ε) with ε not zero: exactly on the ridge nothing but noise ever escapes. Momentum "
    "obeys a logarithm too, with fewer steps per decade at the same rate. RMSProp and Adam divide by the size of the "
    "gradient and hardly notice ε as long as it is far above their own ε. Newton's method is attracted to the saddle.",
    watch="Plain descent runs down to the saddle and waits there; Newton's method goes to the saddle and stays.",
    sources=(
        Source(
            "Dauphin et al.",
            2014,
            "Identifying and Attacking the Saddle Point Problem in High-Dimensional Non-Convex Optimization",
            "https://arxiv.org/abs/1406.2572",
        ),
        Source("Lee et al.", 2016, "Gradient Descent Only Converges to Minimizers", "https://arxiv.org/abs/1602.04915"),
    ),
    surfaces=("bounded_saddle", "saddle"),
    experiment=Experiment(
        Pick("bounded_saddle"),
        start=(1.0, 1e-3),
        steps=300,
        racers=_racers(
            ("sgd", {"lr": 0.05}),
            ("momentum", {"lr": 0.05, "momentum": 0.5}),
            ("rmsprop", {"lr": 0.02}),
            ("adam", {"lr": 0.05}),
            ("newton", {}),
        ),
    ),
)
def saddle_escape(
    e: Experiment, sgd: Racer, momentum: Racer, rmsprop: Racer, adam: Racer, newton: Racer
) -> Measured | None:
    reach = math.sqrt(float(e.surface_values.get("depth", 2.0)) / 2)  # halfway down to a minimum, where there is one
    x, offset = e.start

    def escape(racer: Racer, share: float = 1.0, **changes: Any) -> float:
        path = _path(e, racer, start=(x, offset * share), **changes)
        away = np.abs(path.theta[:, 1]) >= reach
        return float(np.argmax(away)) if away.any() else math.inf

    plain, heavy = ([escape(racer, share) for share in FARTHER] for racer in (sgd, momentum))
    (lr,), (lr_heavy, rho) = _values(sgd, "lr"), _values(momentum, "lr", "momentum")
    total = (
        1 + rho + 2 * lr_heavy
    )  # along the ridge's slope, of curvature −2, y grows by the larger root of r² − total·r + ρ
    growth = (total + np.sqrt(total**2 - 4 * rho)) / 2
    numbers = {
        "offset": abs(offset),
        "far": abs(offset) * FARTHER[-1],
        "least": np.min(np.linalg.norm(_path(e, sgd, e.steps).grad, axis=1)),
        "plain": plain[0],
        "plain_far": plain[-1],
        "decade": -_slope(np.log10(FARTHER), np.array(plain)),
        "decade_theory": np.log(10) / np.log1p(2 * lr),
        "heavy": heavy[0],
        "heavy_far": heavy[-1],
        "heavy_decade": -_slope(np.log10(FARTHER), np.array(heavy)),
        "heavy_theory": np.log(10) / np.log(growth),
        "rmsprop": escape(rmsprop),
        "rmsprop_far": escape(rmsprop, FARTHER[-1]),
        "adam": escape(adam),
        "adam_far": escape(adam, FARTHER[-1]),
        "sigma": SOME_NOISE,
        "seeds": SEEDS,
        "noisy": np.mean([escape(sgd, noise=SOME_NOISE, seed=seed) for seed in range(SEEDS)]),
        "newton": np.linalg.norm(_path(e, newton, e.steps).theta[-1]),
    }
    waited = numbers["plain_far"] - numbers["plain"]
    return judged(
        numbers,
        "From an offset of {offset}, plain descent met a gradient of only {least} and needed {plain:steps} to get "
        "halfway down; from {far} it needed {plain_far:steps}: {decade} more for each factor of ten, where "
        "ln 10 / ln(1 + 2η) says {decade_theory}. Momentum: {heavy:steps}, then {heavy_far:steps}, {heavy_decade} per "
        "decade ({heavy_theory} by theory). RMSProp: {rmsprop:steps}, then {rmsprop_far:steps}; Adam: {adam:steps}, "
        "then {adam_far:steps}. With gradient noise σ = {sigma}, plain descent escaped after {noisy:steps} in the mean "
        "of {seeds} seeds. Newton's method ended {newton} away from the saddle.",
        (offset != 0, "without any offset there is no way down to follow"),
        (_agree(numbers["decade"], numbers["decade_theory"]), "the wait of plain descent is not logarithmic"),
        (_agree(numbers["heavy_decade"], numbers["heavy_theory"]), "the wait of momentum is not logarithmic"),
        (
            max(numbers["rmsprop_far"] - numbers["rmsprop"], numbers["adam_far"] - numbers["adam"]) < waited / 4,
            "RMSProp or Adam notices the offset too",
        ),
        (numbers["noisy"] < numbers["plain_far"], "noise does not shorten the wait"),
        (numbers["newton"] < 1e-6, "Newton's method did not end at the saddle"),
    )


def _agree(measured: float, theory: float) -> bool:
    """Steps are whole: a slope over three decades is known to half a step at best."""
    return abs(measured - theory) <= 0.5 + 0.02 * theory


GRID = 8


@claim(
    "A4",
    title="Trapped in a local minimum",
    says="Local minima trap descent; momentum carries a run past shallow ones.",
    condition="On a surface with several listed minima. Momentum knows nothing of depth: with much of it, it carries "
    "runs out of the deeper minimum as well; what counts is the balance, and that depends on η, ρ and the surface.",
    watch="From the same start, plain descent ends in the dent it meets first, momentum rolls through it.",
    sources=(
        Source(
            "Rumelhart, Hinton & Williams",
            1986,
            "Learning representations by back-propagating errors",
            "https://doi.org/10.1038/323533a0",
        ),
        SUTSKEVER,
    ),
    experiment=Experiment(
        Pick("two_gaussians"),
        start=(1.75, 0.25),
        steps=300,
        racers=_racers(("sgd", {"lr": 0.02}), ("momentum", {"lr": 0.02})),
    ),
)
def local_minima(e: Experiment, sgd: Racer, momentum: Racer) -> Measured | None:
    minima, lowest = e.entry.minima_at(e.surface_values), e.entry.lowest_at(e.surface_values)
    if len(minima) == len(lowest):
        return None
    left, right, bottom, top = e.entry.window
    near = 0.01 * math.hypot(right - left, top - bottom)
    cells = (np.arange(GRID) + 0.5) / GRID
    starts = [(left + i * (right - left), bottom + j * (top - bottom)) for i in cells for j in cells]

    others = [minimum for minimum in minima if minimum not in lowest]

    def ends(racer: Racer) -> tuple[np.ndarray, np.ndarray]:
        """Which starts end in the lowest minimum, and which in another one."""
        last = np.array([_path(e, racer, e.steps, start=start).theta[-1] for start in starts])
        lengths = [[np.linalg.norm(last - minimum[:2], axis=1) for minimum in kind] for kind in (lowest, others)]
        return np.min(lengths[0], axis=0) < near, np.min(lengths[1], axis=0) < near

    (plain, stuck), (heavy, _) = ends(sgd), ends(momentum)
    numbers = {
        "starts": len(starts),
        "plain": plain.mean(),
        "stuck": stuck.mean(),
        "heavy": heavy.mean(),
        "rho": momentum.values["momentum"],
        "won": np.sum(heavy & ~plain),
        "lost": np.sum(plain & ~heavy),
        "taken": e.steps,
    }
    return judged(
        numbers,
        "Of {starts} starts on a grid over the window, plain descent took {plain:%} to the lowest minimum within "
        "{taken:steps} and left {stuck:%} in another one; momentum with ρ = {rho} took {heavy:%} to the lowest. "
        "Momentum won {won} starts that plain descent loses, and lost {lost} that plain descent wins.",
        (stuck.any(), "no start of plain descent ended in a listed minimum other than the lowest"),
        (heavy.mean() > plain.mean(), "with these settings momentum takes no more starts to the lowest minimum"),
    )


@claim(
    "A5",
    title="The noise floor",
    says="With noisy gradients a run wanders around the minimum at a mean loss, the noise floor, that grows with the "
    "learning rate; a smaller rate lowers the floor, and takes longer to get there.",
    condition="On a quadratic with gradient noise, once the start is forgotten. The floor is in proportion to η only "
    "while η is far below 2/λmax; exactly it is Σ ½ησ²/(2 − ηλ), one term for each axis.",
    watch="Both racers stop falling and jitter, the one with half the rate at half the height.",
    sources=(
        Source(
            "Bottou, Curtis & Nocedal",
            2018,
            "Optimization Methods for Large-Scale Machine Learning, section 4",
            "https://arxiv.org/abs/1606.04838",
        ),
    ),
    noisy=True,
    experiment=Experiment(
        Pick("valley", {"kappa": 10.0}),
        start=(-1.8, 1.0),
        steps=2000,
        noise=1.0,
        racers=_racers(("sgd", {"lr": 0.05}), ("sgd", {"lr": 0.025})),
    ),
)
def noise_floor(e: Experiment, sgd: Racer) -> Measured | None:
    quadratic = _quadratic(e)
    if quadratic is None or e.noise == 0:
        return None
    lr = _values(sgd, "lr")[0] * np.array([1.0, 0.5])
    problems = [_problem(e, seed=(e.seed + i) % 2**32) for i in range(SEEDS)]
    losses = (
        np.array([sweep(problem, sgd.rule, e.steps, "lr", lr.tolist())[1] for problem in problems]) - quadratic.floor
    )
    floors = losses[:, :, -(e.steps // 2 + 1) :].mean(axis=(0, 2))
    theory = np.array([np.sum(rate * np.float64(e.noise) ** 2 / (2 - rate * quadratic.curvatures)) / 2 for rate in lr])
    _, silent, _ = sweep(_problem(e, noise=0.0), sgd.rule, STEPS_AT_MOST, "lr", lr.tolist())
    quiet = [_settled(loss, quadratic.floor, e.tolerance) for loss in silent]
    numbers = {
        "sigma": e.noise,
        "seeds": SEEDS,
        "rate": lr[0],
        "half": lr[1],
        "floor": floors[0],
        "floor_half": floors[1],
        "theory": theory[0],
        "theory_half": theory[1],
        "ratio": floors[0] / floors[1],
        "quiet": quiet[0],
        "quiet_half": quiet[1],
        "tolerance": e.tolerance,
    }
    return judged(
        numbers,
        "With σ = {sigma} and η = {rate}, the loss over the second half of the run was {floor} above the minimum in "
        "the mean of {seeds} seeds ({theory} by theory); with η = {half} it was {floor_half} ({theory_half} by "
        "theory): {ratio} times as much for twice the rate. Without noise they settle within {tolerance} after "
        "{quiet:steps} and after {quiet_half:steps}.",
        (lr[0] * quadratic.curvatures[1] < 2, "η is beyond the stable limit, with noise or without"),
        (
            bool(np.all(np.abs(floors / theory - 1) < 0.15)),
            "the means are not the floors: the run is too short to have forgotten its start, or to average well",
        ),
        (floors[0] > floors[1], "the smaller rate is not the lower one"),
    )


# Momentum ------------------------------------------------------------------------------------------------------------


@claim(
    "A6",
    title="Momentum in a narrow valley",
    says="Momentum accumulates velocity: it damps the zig-zag and carries a run along the valley. Too much of it "
    "overshoots and oscillates; ρ = 0.9 is the usual choice.",
    condition="In a valley of large κ. Momentum is stable up to η = 2(1 + ρ)/λmax. The best asymptotic rate has "
    "√η = 2/(√λmax + √λmin) and √ρ = (√κ − 1)/(√κ + 1), so the best ρ belongs to κ and is not always 0.9; on a round "
    "bowl plain descent needs no help. “Usually 0.9” is a quotation (Ruder 2016).",
    watch="Plain descent crawls along the floor; momentum swings at first and is there long before; with ρ = 0.99 it "
    "keeps sailing past the minimum.",
    sources=(
        Source(
            "Polyak",
            1964,
            "Some methods of speeding up the convergence of iteration methods",
            "https://doi.org/10.1016/0041-5553(64)90137-5",
        ),
        GOH,
        RUDER,
    ),
    surfaces=("valley",),
    experiment=Experiment(
        Pick("valley", {"kappa": 100.0}),
        start=(-1.8, 1.0),
        steps=400,
        racers=_racers(
            ("sgd", {"lr": 0.019}),
            ("momentum", {"lr": 0.019}),
            ("momentum", {"lr": 0.019, "momentum": 0.99}),
        ),
    ),
)
def heavy_ball(e: Experiment, sgd: Racer, momentum: Racer) -> Measured | None:
    quadratic = _quadratic(e)
    if quadratic is None:
        return None
    low, high = np.sqrt(quadratic.curvatures)
    lr, rho = _values(momentum, "lr", "momentum")

    def settled(loss: np.ndarray) -> float:
        return _settled(loss, quadratic.floor, e.tolerance)

    def along(theta: np.ndarray) -> float:
        return float(_overshoot(quadratic.offsets(theta))[0])

    best_plain = sgd.but(lr=float(2 / (low**2 + high**2)))
    best_heavy = momentum.but(lr=float((2 / (low + high)) ** 2), momentum=float(((high - low) / (high + low)) ** 2))
    edge = 2 * (1 + rho) / high**2
    left = _left(sweep(_problem(e), momentum.rule, SIGHT, "lr", edge * np.array([0.99, 1.01]))[1], quadratic.floor)
    own, much = _path(e, momentum), _path(e, momentum.but(momentum=0.99))
    numbers = {
        "kappa": (high / low) ** 2,
        "tolerance": e.tolerance,
        "plain": settled(_path(e, sgd).loss),
        "heavy": settled(own.loss),
        "rate": lr,
        "rho": rho,
        "best_plain": settled(_path(e, best_plain).loss),
        "best_heavy": settled(_path(e, best_heavy).loss),
        "best_rate": best_heavy.values["lr"],
        "best_rho": best_heavy.values["momentum"],
        "edge": edge,
        "sight": SIGHT,
        "below": left[0],
        "above": left[1],
        "beyond": along(own.theta),
        "beyond_much": along(much.theta),
        "much": settled(much.loss),
    }
    return judged(
        numbers,
        "With κ = {kappa}, plain descent needed {plain:steps} to settle within {tolerance}, momentum with η = {rate} "
        "and ρ = {rho} {heavy:steps}. At their best asymptotic rates plain descent needs {best_plain:steps} and "
        "momentum {best_heavy:steps}, with η = {best_rate} and ρ = {best_rho}. The stability edge for this ρ is "
        "2(1 + ρ)/λmax = {edge}: after {sight} steps 1 % below it {below} of the excess loss was left, 1 % above it "
        "{above}. Along the floor momentum overshot the minimum by {beyond:%} of the way; with ρ = 0.99 at the same η "
        "by {beyond_much:%}, and it needed {much:steps}.",
        (numbers["heavy"] < numbers["plain"], "momentum is not the faster one with these settings"),
        (left[0] < 1 < left[1], "the two sides of the stability edge do not show from this start"),
        (numbers["beyond_much"] > numbers["beyond"], "more momentum does not overshoot more than this one does"),
    )


@claim(
    "A7",
    title="“Keeps 90 %, takes 10 %”",
    says="With ρ = 0.9 each step keeps 90 % of the old direction and takes 10 % of the new gradient.",
    condition="True of the averaging form only, v ← ρv + (1 − ρ)g. The heavy ball, v ← ρv + g, which libraries call "
    "momentum, keeps 90 % and takes all of the gradient. With η/(1 − ρ) the averaging form goes the very same way, as "
    "long as ρ does not change on the way.",
    watch="The averaging racer with 10 times the rate lies exactly on the heavy ball; the one with the same rate lags.",
    sources=(
        Source(
            "Goodfellow, Bengio & Courville",
            2016,
            "Deep Learning, section 8.3.2",
            "https://www.deeplearningbook.org/contents/optimization.html",
        ),
        RUDER,
    ),
    noisy=True,
    experiment=Experiment(
        Pick("valley", {"kappa": 25.0}),
        start=(-1.8, 1.0),
        steps=200,
        racers=_racers(
            ("momentum", {"lr": 0.01}),
            ("momentum", {"lr": 0.1, "form": "averaging"}),
            ("momentum", {"lr": 0.01, "form": "averaging"}),
        ),
    ),
)
def two_forms(e: Experiment, momentum: Racer, averaging: Racer) -> Measured | None:
    lr, rho = _values(momentum, "lr", "momentum")
    if rho == 1:
        return None
    ball = _path(e, momentum, e.steps)
    same = _path(e, momentum.but(form="averaging", lr=float(lr / (1 - rho))), e.steps)
    slow = _path(e, momentum.but(form="averaging"), 1)
    apart = np.max(np.abs(ball.theta - same.theta)) / max(1.0, np.max(np.abs(ball.theta)))
    numbers = {
        "rho": rho,
        "taken_averaging": _taken(_path(e, averaging, e.steps), averaging),
        "taken_ball": _taken(ball, momentum),
        "kept": rho,
        "own_kept": averaging.values["momentum"],
        "rate": lr,
        "scaled": lr / (1 - rho),
        "apart": apart,
        "first": np.linalg.norm(slow.step[0]) / np.linalg.norm(ball.step[0]),
    }
    shares = numbers["taken_averaging"], numbers["taken_ball"]
    return judged(
        numbers,
        "The averaging form kept {own_kept:%} of its velocity and took {taken_averaging:%} of each gradient; the "
        "heavy ball, with ρ = {rho}, kept {kept:%} and took {taken_ball:%}. At the heavy ball's own rate, η = {rate}, "
        "the averaging form's first step is {first} times as long; at η/(1 − ρ) = {scaled} the two paths differ by at "
        "most {apart}, relative to how far out they go.",
        (
            abs(shares[0] - (1 - numbers["own_kept"])) < 1e-6 and abs(shares[1] - 1) < 1e-6,
            "the shares cannot be read off this run, which stood still or diverged",
        ),
        (apart < ROUNDING, "the paths part, because this run magnifies rounding or diverged"),
    )


def _taken(path: Trajectory, racer: Racer) -> float:
    """The share of each gradient that entered the velocity, by least squares over the run's recorded velocities."""
    v = path.slots["v"]
    entered = v - float(racer.values["momentum"]) * np.concatenate([np.zeros((1, 2)), v[:-1]])
    return float(np.sum(entered * path.grad) / np.sum(path.grad**2))


SOON = 100  # steps after which a method well beyond its stable range has shown it


@claim(
    "A8",
    title="Nesterov looks ahead",
    says="Nesterov's method takes the gradient at the point to which the velocity is about to carry it, and so damps "
    "the overshoot.",
    condition="At the same η and ρ, and where ηλ is not tiny: along the flat floor of a valley the two hardly differ. "
    "Its stable range is smaller, η < 2(1 + ρ)/((1 + 2ρ)λmax), so it may diverge where momentum converges. The "
    "reformulation in libraries follows the look-ahead point θ + ρv and is otherwise the same method.",
    watch="Across the valley momentum swings for long, Nesterov hardly; along the floor they stay side by side.",
    sources=(
        Source(
            "Nesterov",
            1983,
            "A method of solving a convex programming problem with convergence rate O(1/k²)",
            "https://www.mathnet.ru/eng/dan46009",
        ),
        SUTSKEVER,
    ),
    experiment=Experiment(
        Pick("valley", {"kappa": 25.0}),
        start=(-1.8, 1.0),
        steps=200,
        racers=_racers(
            ("momentum", {"lr": 0.02}),
            ("nesterov", {"lr": 0.02}),
            ("nesterov", {"lr": 0.02, "form": "reformulated"}),
        ),
    ),
)
def look_ahead(e: Experiment, look_ahead: Racer) -> Measured | None:
    quadratic = _quadratic(e)
    if quadratic is None:
        return None
    lr, rho = _values(look_ahead, "lr", "momentum")
    ball = Racer(Pick("momentum", {"lr": float(lr), "momentum": float(rho)}))
    ahead = _path(e, look_ahead)
    flat_ball, steep_ball = _overshoot(quadratic.offsets(_path(e, ball).theta))
    flat, steep = _overshoot(quadratic.offsets(ahead.theta))
    velocity = np.concatenate([np.zeros((1, 2)), ahead.slots["v"]])
    point, other = ahead.theta + rho * velocity, _path(e, look_ahead.but(form="reformulated")).theta
    edge = 2 * (1 + rho) / (1 + 2 * rho) / quadratic.curvatures[1]
    fast = float(2 / quadratic.curvatures[1])
    left, left_ball = (_left(_path(e, racer.but(lr=fast), SOON).loss, quadratic.floor) for racer in (look_ahead, ball))
    numbers = {
        "rate": lr,
        "rho": rho,
        "steep": steep,
        "steep_ball": steep_ball,
        "flat": flat,
        "flat_ball": flat_ball,
        "apart": np.max(np.abs(point - other)) / max(1.0, np.max(np.abs(point))),
        "edge": edge,
        "fast": fast,
        "soon": SOON,
        "left": left,
        "left_ball": left_ball,
    }
    return judged(
        numbers,
        "With η = {rate} and ρ = {rho}, across the valley Nesterov overshot by {steep:%} of where it began, momentum "
        "with the same settings by {steep_ball:%}; along the floor by {flat:%} and {flat_ball:%}. The reformulated "
        "form follows the look-ahead point θ + ρv to within {apart}. Nesterov is stable below η = {edge}: at "
        "{fast} it had {left} times its first excess loss after {soon:steps}, momentum {left_ball} times.",
        (lr < edge, "η is beyond Nesterov's stable range"),
        (numbers["apart"] < ROUNDING, "the two forms part, because this run magnifies rounding"),
        (steep < steep_ball, "Nesterov does not overshoot less across the valley"),
    )


# Rates for each coordinate -------------------------------------------------------------------------------------------


def _effective(path: Trajectory, racer: Racer, square: str) -> np.ndarray:
    """The effective learning rate of each coordinate at each step (T, 2): what the gradient is multiplied by."""
    s, eps = path.slots[square], float(racer.values["eps"])
    root = np.sqrt(s + eps) if racer.values["eps_in_sqrt"] else np.sqrt(s) + eps
    return path.lr[:, None] / root


def _exponent(rates: np.ndarray) -> float:
    """How the rates (T, 2) change with the step t over the second half of a run: like t to this power."""
    t = np.arange(1, len(rates) + 1)
    late = t > len(rates) / 2
    return float(np.mean([_slope(np.log(t[late]), np.log(rate[late])) for rate in rates.T]))


NOISE = 10.0  # for claims that compare with a noisy run, where the experiment itself has no noise


@claim(
    "A9",
    title="AdaGrad's rate only falls",
    says="AdaGrad divides by the root of the summed squared gradients, so each coordinate has a rate of its own, which "
    "never increases and in the end vanishes.",
    condition="It never increases on any surface. It vanishes only when the sum diverges, as it does with gradient "
    "noise, and then like 1/√t; without noise the gradients of a run that converges add up to a finite sum and the "
    "rate settles above zero.",
    watch="With noise AdaGrad calms down more and more, as its rate dies away, while plain descent keeps jittering.",
    sources=(
        Source(
            "Duchi, Hazan & Singer",
            2011,
            "Adaptive Subgradient Methods for Online Learning",
            "https://jmlr.org/papers/v12/duchi11a.html",
        ),
    ),
    noisy=True,
    experiment=Experiment(
        Pick("valley", {"kappa": 10.0}),
        start=(-1.8, 0.5),
        steps=2000,
        noise=2.0,
        racers=_racers(("adagrad", {"lr": 0.5}), ("sgd", {"lr": 0.05})),
    ),
)
def adagrad_rate(e: Experiment, adagrad: Racer) -> Measured | None:
    sigma = e.noise or NOISE
    quiet = _effective(_path(e, adagrad, e.steps, noise=0.0), adagrad, "s")
    noisy = _effective(_path(e, adagrad, e.steps, noise=sigma), adagrad, "s")
    rise = max(np.max(np.diff(rates, axis=0), initial=-math.inf) for rates in (quiet, noisy))
    middle = len(quiet) // 2
    numbers = {
        "sigma": sigma,
        "taken": e.steps,
        "x_first": noisy[0, 0],
        "y_first": noisy[0, 1],
        "x_last": noisy[-1, 0],
        "y_last": noisy[-1, 1],
        "exponent": _exponent(noisy),
        "settled": np.min(quiet[-1] / quiet[middle]),
        "rising": np.sum(np.diff(quiet, axis=0) > 0) + np.sum(np.diff(noisy, axis=0) > 0),
    }
    return judged(
        numbers,
        "With σ = {sigma} the effective rates went from {x_first} along x and {y_first} along y to {x_last} and "
        "{y_last} in {taken:steps}; over the second half they fell like t to the power {exponent}, where 1/√t is "
        "−0.5. Without noise, in that half they kept {settled:%} of what they were. The rate of a coordinate rose in "
        "{rising} of all the steps.",
        (rise <= 0, "a rate rose, or was never a number"),
        (abs(numbers["exponent"] + 0.5) < 0.1, "with noise the rates do not fall like 1/√t in a run of this length"),
        (numbers["settled"] > 0.95, "without noise the rates have not settled, as the run has not converged"),
    )


@claim(
    "A10",
    title="RMSProp forgets",
    says="RMSProp's leaky average repairs AdaGrad's vanishing rate, and makes progress equal along all axes.",
    condition="The rate follows the recent gradients: steady noise keeps it steady, and where gradients vanish it "
    "grows, at a minimum until its steps bounce. Progress is equal along the coordinate axes only: turn the valley "
    "away from them and the benefit is gone.",
    watch="RMSProp walks straight to the middle of an aligned valley. Turn the valley by 45° and it falls across "
    "first and crawls along, like all the others.",
    sources=(
        Source(
            "Tieleman & Hinton",
            2012,
            "Lecture 6.5, Neural Networks for Machine Learning",
            "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf",
        ),
    ),
    surfaces=("valley",),
    experiment=Experiment(
        Pick("valley", {"kappa": 100.0}),
        start=(-1.5, 1.5),
        steps=500,
        racers=_racers(("rmsprop", {"lr": 0.02}), ("adagrad", {"lr": 0.3}), ("sgd", {"lr": 0.01})),
    ),
)
def rmsprop_forgets(e: Experiment, rmsprop: Racer, adagrad: Racer) -> Measured | None:
    rotation, kappa = float(e.surface_values["rotation"]), float(e.surface_values["kappa"])
    angle = math.radians(rotation % 360)
    u, v = _turned(angle).T @ e.start

    def progress(turn: float) -> tuple[float, float]:
        """How far it came along and across the valley turned by `turn`, when one of the two was first halved."""
        frame = _turned(math.radians(turn))
        values = {"kappa": kappa, "rotation": turn}
        path = _path(e, rmsprop, start=tuple(frame @ (u, v)), surface_values=values).theta @ frame
        halved = (np.abs(path) <= np.abs(path[0]) / 2).any(axis=1)
        at = int(np.argmax(halved)) if halved.any() else -1
        along, across = np.abs(path[at] - path[0])
        return along, across

    own, turned = progress(rotation % 360), progress((rotation + 45) % 360)
    quiet = _effective(_path(e, rmsprop, e.steps), rmsprop, "v")
    noisy = [
        _exponent(_effective(_path(e, racer, noise=NOISE), racer, square))
        for racer, square in ((rmsprop, "v"), (adagrad, "s"))
    ]
    numbers = {
        "rotation": rotation,
        "along": own[0],
        "across": own[1],
        "turned": (rotation + 45) % 360,
        "along_turned": turned[0],
        "across_turned": turned[1],
        "growth": np.max(quiet / np.minimum.accumulate(quiet, axis=0)),
        "sigma": NOISE,
        "exponent": noisy[0],
        "exponent_adagrad": noisy[1],
    }
    return judged(
        numbers,
        "With the valley at φ = {rotation}°, when the first of the two was halved RMSProp had come {along} along the "
        "floor and {across} across; from the same place in the valley turned to {turned}° {along_turned} along and "
        "{across_turned} across. Its effective rate grew up to {growth} times as its gradients shrank. In a run "
        "with gradient noise σ = {sigma} it changed like t to the power {exponent}, AdaGrad's like {exponent_adagrad}.",
        (
            0.8 < np.divide(*own) < 1.25,
            "progress is not equal: the valley or the start does not lie even, or η is too large",
        ),
        (np.divide(*turned) < 0.5 * np.divide(*own), "turning the valley by 45° does not spoil its progress"),
        (numbers["growth"] > 1, "the rate never grew"),
        (noisy[0] > -0.1 > noisy[1], "with noise, the rates do not tell a leaky average from a sum"),
    )


def _turned(angle: float) -> np.ndarray:
    """The axes along and across a valley turned by `angle`, as columns."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


# Adam and its kin ----------------------------------------------------------------------------------------------------

RATES = np.geomspace(1e-3, 2.0, 25)
LONG_ENOUGH = 1000  # steps in which the best of RATES settles


@claim(
    "A11",
    title="Adam: momentum and RMSProp together",
    says="Adam is momentum divided by RMSProp's root: m averages the gradients, v their squares. It overshoots less "
    "than momentum does.",
    condition="Less than momentum in a narrow valley, because Adam's overshoot does not depend on the curvature and "
    "momentum's does. On a round bowl, each at its best rate, Adam is the one that overshoots more. The defaults are "
    "β₁ 0.9, β₂ 0.999 and η 0.001 (0.0005 is common too), which suit networks: on these surfaces they crawl.",
    watch="Momentum swings far up the steep wall, Adam goes down both axes at one pace.",
    sources=(
        Source("Kingma & Ba", 2015, "Adam: A Method for Stochastic Optimization", "https://arxiv.org/abs/1412.6980"),
    ),
    surfaces=("valley",),
    experiment=Experiment(
        Pick("valley", {"kappa": 25.0}),
        start=(-1.8, 1.0),
        steps=300,
        racers=_racers(("adam", {"lr": 0.06}), ("momentum", {"lr": 0.003})),
    ),
)
def adam_overshoot(e: Experiment, adam: Racer, momentum: Racer) -> Measured | None:
    quadratic = _quadratic(e)
    if quadratic is None:
        return None
    path = _path(e, adam, e.steps)

    def overshoot(racer: Racer) -> float:
        return float(np.max(_overshoot(quadratic.offsets(_path(e, racer, e.steps).theta))))

    def at_its_best(racer: Racer, kappa: float) -> float:
        problem = _problem(e, surface_values=e.surface_values | {"kappa": kappa})
        theta, loss, _ = sweep(problem, racer.rule, LONG_ENOUGH, "lr", RATES.tolist())
        best = int(np.argmin([_settled(one, 0.0, e.tolerance) for one in loss]))
        return float(np.max(_overshoot(quadratic.offsets(theta[best]))))

    kappa = float(e.surface_values["kappa"])
    defaults = OPTIMIZERS["adam"].defaults
    numbers = {
        "beta1": adam.values["beta1"],
        "beta2": adam.values["beta2"],
        "apart": _apart_from_sums(path, adam),
        "kappa": kappa,
        "rates": len(RATES),
        "adam": overshoot(adam),
        "ball": overshoot(momentum),
        "adam_best": at_its_best(adam, kappa),
        "ball_best": at_its_best(momentum, kappa),
        "adam_round": at_its_best(adam, 1.0),
        "ball_round": at_its_best(momentum, 1.0),
        "default_rate": defaults["lr"],
        "crawled": np.linalg.norm(_path(e, adam.but(lr=defaults["lr"]), 100).theta[-1] - e.start),
    }
    return judged(
        numbers,
        "m and v are, to within {apart}, the gradients and their squares weighted by powers of β₁ = {beta1} and "
        "β₂ = {beta2}. With κ = {kappa}, Adam overshot by {adam:%} of where it began, momentum by {ball:%}; each at "
        "the best of {rates} rates, by {adam_best:%} and {ball_best:%}. On a round bowl it is the other way round: "
        "{adam_round:%} and {ball_round:%}. At the default rate {default_rate}, 100 steps carry Adam {crawled} far.",
        (numbers["apart"] < ROUNDING, "the averages cannot be checked on a run that diverges or stands still"),
        (numbers["adam"] < numbers["ball"], "Adam does not overshoot less than momentum with these settings"),
    )


def _apart_from_sums(path: Trajectory, racer: Racer) -> float:
    """How far Adam's moments are from the definition, (1 − β) Σ βᵗ⁻ᵏ gₖ and the same of squares, at some 64 of the
    steps, relative to the largest."""
    some = np.unique(np.linspace(0, path.steps - 1, 64).astype(int))
    ages = some[:, None] - np.arange(path.steps)
    worst = []
    for slot, name, what in (("m", "beta1", path.grad), ("v", "beta2", path.grad**2)):
        (beta,) = _values(racer, name)
        weights = np.where(ages >= 0, (1 - beta) * beta ** np.maximum(ages, 0), 0.0)
        worst.append(np.max(np.abs(weights @ what - path.slots[slot][some])) / np.max(np.abs(path.slots[slot])))
    return float(np.max(worst))


@claim(
    "A12",
    title="Why Adam corrects its bias",
    says="Both of Adam's averages start at zero, so that without the correction its first steps are wrong by a known "
    "factor, (1 − β₁ᵗ)/√(1 − β₂ᵗ) at step t.",
    condition="Where ε is small beside the gradient. The first step is too long if 1 − β₁ > √(1 − β₂), as with the "
    "defaults, where it is √10 times as long, and not “too small”, as one reads; it is too short if β₂ is no closer to "
    "1 than β₁.",
    watch="With the correction the first step is η along each axis; without it, about three times that, and the next "
    "ones are worse.",
    sources=(
        Source(
            "Kingma & Ba",
            2015,
            "Adam: A Method for Stochastic Optimization, section 3",
            "https://arxiv.org/abs/1412.6980",
        ),
    ),
    noisy=True,
    experiment=Experiment(
        Pick("valley", {"kappa": 25.0}),
        start=(-1.8, 1.0),
        steps=200,
        racers=_racers(("adam", {"lr": 0.05}), ("adam", {"lr": 0.05, "bias_correction": False})),
    ),
)
def bias_correction(e: Experiment, adam: Racer, uncorrected: Racer) -> Measured | None:
    beta1, beta2, lr = _values(uncorrected, "beta1", "beta2", "lr")
    path = _path(e, uncorrected, e.steps)
    t = np.arange(1, e.steps + 1)[:, None]
    twin = uncorrected.but(bias_correction=True)
    m, v = path.slots["m"] / (1 - beta1**t), path.slots["v"] / (1 - beta2**t)
    should = lr * m / (np.sqrt(v) + uncorrected.values["eps"])
    factors = np.abs(path.step / should).max(axis=1, where=np.isfinite(path.step / should), initial=0.0)
    worst = int(np.argmax(factors))
    level = uncorrected.but(beta2=float(beta1))
    numbers = {
        "corrected": _first(e, adam) / _values(adam, "lr")[0],
        "own": _first(e, uncorrected) / lr,
        "factor": _first(e, uncorrected) / _first(e, twin),
        "theory": (1 - beta1) / np.sqrt(1 - beta2),
        "worst": factors[worst],
        "at": worst + 1,
        "short": _first(e, level) / _first(e, level.but(bias_correction=True)),
        "level": beta1,
    }
    return judged(
        numbers,
        "With the correction the first step was {corrected} times η along each axis with a slope; without it {own} "
        "times η, {factor} times what it should be, where (1 − β₁)/√(1 − β₂) is {theory}. The worst step was number "
        "{at}, {worst} times too long. With β₂ = β₁ = {level} the first uncorrected step is {short} times as long as "
        "it should be.",
        (abs(numbers["corrected"] - 1) < 1e-3, "the first corrected step is not η, as there is no slope or ε is large"),
        (abs(numbers["factor"] / numbers["theory"] - 1) < 1e-3, "the factor is not the known one, for the same reason"),
    )


def _first(experiment: Experiment, racer: Racer) -> np.float64:
    """The length of the first step along an axis with a slope: the largest, NaN if there is none."""
    return np.max(np.abs(_path(experiment, racer, 1).step[0]))


FLAT = 0.51  # friction below which the gradient hardly changes: by less than 0.04 in a step


@claim(
    "A13",
    title="diffGrad's friction",
    says="diffGrad scales Adam's step by a friction ξ = σ(|gₜ₋₁ − gₜ|) between ½ and 1: it slows down where the "
    "gradient changes little.",
    condition="“Little” is measured in the units of the gradient: where gradients change by much more than 1 a "
    "step, ξ is 1 and diffGrad is Adam; on a plateau, where one would rather hurry, it goes at half of Adam's pace.",
    watch="diffGrad goes half as fast as Adam all the way: even in the hole the gradient changes little from step to "
    "step.",
    sources=(
        Source(
            "Dubey et al.",
            2020,
            "diffGrad: An Optimization Method for Convolutional Neural Networks",
            "https://arxiv.org/abs/1909.11015",
        ),
    ),
    experiment=Experiment(
        Pick("plateau"),
        start=(2.5, -2.0),
        steps=400,
        racers=_racers(("diffgrad", {"lr": 0.02}), ("adam", {"lr": 0.02})),
    ),
)
def friction(e: Experiment, diffgrad: Racer) -> Measured | None:
    path, bound = _path(e, diffgrad, e.steps), dict(diffgrad.optimizer.values)
    adam = _path(e, Racer(Pick("adam", bound)), e.steps)
    xi = path.slots["xi"]
    # Both runs are compared for as long as both are where the gradient changes little.
    flat = min(_leading(np.max(_friction(run.grad), axis=1) <= FLAT) for run in (path, adam))
    pace = np.sum(np.abs(path.step[:flat])) / np.sum(np.abs(adam.step[:flat]))
    steep = _path(Experiment(Pick("rosenbrock")), diffgrad, 20).slots["xi"]
    numbers = {
        "least": np.min(xi),
        "greatest": np.max(xi),
        "flat": flat,
        "pace": pace,
        "mean": np.mean(xi[:flat]) if flat else math.nan,
        "steep": np.mean(steep),
    }
    return judged(
        numbers,
        "ξ lay between {least} and {greatest} on this run. Over the first {flat:steps}, where the gradient changes "
        "by less than 0.04 a step, its mean was {mean} and diffGrad covered {pace:%} of Adam's distance at the same "
        "settings. In the first 20 steps on Rosenbrock's steep wall the mean is {steep}: the friction belongs to the "
        "units of the gradient.",
        (numbers["least"] >= 0.5 and numbers["greatest"] <= 1, "ξ left its range, as the run diverged"),
        (flat >= 10, "the gradient does not change so little for ten steps from the start"),
        (abs(pace - numbers["mean"]) < 0.05, "its pace is not Adam's times ξ"),
    )


def _friction(grad: np.ndarray) -> np.ndarray:
    change = np.diff(grad, axis=0, prepend=np.zeros((1, 2)))
    return 1 / (1 + np.exp(-np.abs(change)))


def _leading(flags: np.ndarray) -> int:
    """How many flags are set before the first that is not."""
    return len(flags) if flags.all() else int(np.argmin(flags))


# Second order --------------------------------------------------------------------------------------------------------


@claim(
    "A14",
    title="A linear and a quadratic model",
    says="First-order methods trust a linear model of the surface, second-order methods a quadratic one. Newton's "
    "method needs no learning rate on a quadratic: it solves it in one step.",
    condition="On a quadratic with curvatures above zero, with η = 1 and no damping, from any start and at any κ. "
    "Elsewhere the quadratic model is only as good as it fits: its promise and the outcome differ.",
    watch="Newton is at the bottom after one step; damped by δ = 1 it keeps half of the way along the floor each time; "
    "plain descent crawls.",
    sources=(NOCEDAL,),
    experiment=Experiment(
        Pick("valley", {"kappa": 100.0, "rotation": 30.0}),
        start=(-1.8, 1.0),
        steps=50,
        racers=_racers(("newton", {}), ("newton", {"damping": 1.0}), ("sgd", {"lr": 0.018})),
    ),
)
def one_step(e: Experiment, newton: Racer, sgd: Racer) -> Measured | None:
    quadratic = _quadratic(e)
    if quadratic is None:
        return None

    def left(racer: Racer, start: tuple[float, float]) -> float:
        path = _path(e, racer, 1, start=start)
        return float(np.divide(*np.linalg.norm(path.theta[::-1] - quadratic.minimum, axis=1)))

    x_from, x_to, y_from, y_to = e.entry.window
    corners = [(x, y) for x in (x_from, x_to) for y in (y_from, y_to)]
    path = _path(e, sgd, 1)
    drop, promise = path.loss[0] - path.loss[1], -np.sum(path.grad[0] * path.step[0])
    elsewhere = _path(Experiment(Pick("rosenbrock")), Racer(Pick("newton")), 2)
    numbers = {
        "left": left(newton, e.start),
        "worst": max(left(newton, corner) for corner in corners),
        "damped": left(newton.but(damping=1.0), e.start),
        "plain": left(sgd, e.start),
        "rate": sgd.values["lr"],
        "linear": promise / drop,
        "quadratic": np.divide(*_promise_and_fall(_path(e, Racer(Pick("newton")), 1))),
        "promised": _promise_and_fall(elsewhere)[0],
        "rose": -_promise_and_fall(elsewhere)[1],
        "share": newton.values["lr"],
    }
    return judged(
        numbers,
        "With η = {share}, one step of Newton's method left {left} of the distance to the minimum, and at most {worst} "
        "from the four corners of the window; damped by δ = 1 it left {damped}, and plain descent with η = {rate} "
        "left {plain}. The quadratic model promised {quadratic} times the fall in loss that its full step brought; "
        "the linear model promised {linear} times what plain descent got. On Rosenbrock, which is no quadratic, "
        "Newton's second step is promised a fall by {promised} and raises the loss by {rose}.",
        (abs(numbers["quadratic"] - 1) < 1e-6, "the model's promise was not kept, as there was nothing to win"),
        (numbers["left"] < 1e-6 and numbers["worst"] < 1e-6, "one step does not arrive, as η is not 1"),
    )


def _promise_and_fall(path: Trajectory) -> tuple[np.float64, np.float64]:
    """By how much the quadratic model promised that Newton's last full step would lower the loss, and by how much it
    did: at the bottom of the model half of what the slope alone says is gone."""
    return -np.sum(path.grad[-1] * path.step[-1]) / 2, path.loss[-2] - path.loss[-1]


SIZES = np.array([2, 20, 200, 2000])


@claim(
    "A15",
    title="What second order costs",
    says="The Hessian has n × n entries, so Newton's method does not scale; L-BFGS keeps a few vectors instead and is "
    "nearly as good.",
    condition="L-BFGS keeps m pairs of vectors, 2mn numbers, and the last point and gradient, 2n: fewer than n² only "
    "when n is above 2m + 2. In this plane, n = 2, it keeps more than Newton does. “Nearly as good” is in steps: "
    "Newton needs fewer of them where its model fits.",
    watch="Newton takes a handful of steps along the ravine, L-BFGS a few dozen, plain descent thousands.",
    sources=(
        Source(
            "Liu & Nocedal",
            1989,
            "On the limited memory BFGS method for large scale optimization",
            "https://doi.org/10.1007/BF01589116",
        ),
        Source(
            "Nocedal & Wright", 2006, "Numerical Optimization, chapter 7", "https://doi.org/10.1007/978-0-387-40065-5"
        ),
    ),
    experiment=Experiment(
        Pick("rosenbrock"),
        start=(-1.2, 1.0),
        steps=500,
        racers=_racers(("newton", {}), ("lbfgs", {}), ("sgd", {"lr": 0.0016})),
    ),
)
def cost(e: Experiment, newton: Racer, lbfgs: Racer, sgd: Racer) -> Measured | None:
    lowest = e.entry.lowest_at(e.surface_values)
    if not lowest:
        return None
    full = np.array([_entries(jax.eval_shape(jax.hessian(jnp.sum), jnp.zeros(n))) for n in SIZES])
    pairs = np.array([_entries(jax.eval_shape(_memory(lbfgs), jnp.zeros(n))) for n in SIZES])
    steps = [_settled(_path(e, racer).loss, lowest[0].value, e.tolerance) for racer in (newton, lbfgs, sgd)]
    memory = int(lbfgs.values["memory"])
    numbers = {
        "memory": memory,
        "full": full[0],
        "pairs": pairs[0],
        "full_large": full[-1],
        "pairs_large": pairs[-1],
        "power_full": _slope(np.log(SIZES), np.log(full)),
        "power_pairs": _slope(np.log(SIZES), np.log(pairs)),
        "large": SIZES[-1],
        "above": pairs[0] / SIZES[0],
        "newton": steps[0],
        "lbfgs": steps[1],
        "plain": steps[2],
        "tolerance": e.tolerance,
    }
    return judged(
        numbers,
        "For n = 2 the Hessian has {full} entries and L-BFGS with m = {memory} keeps {pairs} numbers; for n = {large} "
        "it is {full_large} against {pairs_large}: they grow like n to the power {power_full} and {power_pairs}, so "
        "L-BFGS keeps less once n is above {above}. To settle within {tolerance}, Newton needed {newton:steps}, "
        "L-BFGS {lbfgs:steps} and plain descent {plain:steps}.",
        (abs(numbers["power_full"] - 2) < 1e-6 and abs(numbers["power_pairs"] - 1) < 1e-6, "memory grows otherwise"),
        (numbers["lbfgs"] < numbers["plain"], "L-BFGS is no faster than plain descent on this run"),
    )


def _memory(lbfgs: Racer) -> Callable:
    return lambda theta: lbfgs.entry.start(theta, lbfgs.values)


def _entries(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@claim(
    "A16",
    title="The rules that people use",
    says="Beyond these there are many more rules: AdamW, AMSGrad, AdaDelta, Nadam, RAdam, AdaBelief, Lion, Yogi, "
    "Prodigy, and whatever optax offers.",
    condition="Each with a rate that suits it on this surface. None is the best everywhere: the order changes with the "
    "surface, and one rate for all would decide the race before it began.",
    watch="Eight rules from one start, each at its own tuned rate. They all arrive, by very different ways.",
    sources=(
        Source(
            "Schmidt, Schneider & Hennig",
            2021,
            "Descending through a Crowded Valley: Benchmarking Deep Learning Optimizers",
            "https://arxiv.org/abs/2007.01547",
        ),
    ),
    experiment=Experiment(
        Pick("valley"),
        racers=tuple(
            Racer.tuned(key, "valley")
            for key in (
                "adamw",
                "adadelta",
                "nadam",
                "lion",
                "optax_radam",
                "optax_adabelief",
                "optax_yogi",
                "optax_prodigy",
            )
        ),
    ),
)
def catalogue(e: Experiment) -> Measured | None:
    if not e.entry.minima_at(e.surface_values):
        return None
    arrived = {}
    for key in OPTIMIZERS:
        alone = Experiment(e.surface, (Racer.tuned(key, e.surface.key),), e.start, e.steps, tolerance=e.tolerance)
        at = run(alone)[0].outcome.arrived
        arrived[key] = math.inf if at is None else float(at)
    quickest, slowest = min(arrived, key=arrived.__getitem__), max(arrived, key=arrived.__getitem__)
    late = [OPTIMIZERS[key].title for key, at in arrived.items() if math.isinf(at)]
    numbers = {
        "rules": len(arrived),
        "optax": sum(key.startswith("optax_") for key in arrived),
        "arrived": len(arrived) - len(late),
        "taken": e.steps,
        "tolerance": e.tolerance,
        "first": arrived[quickest],
        "last": arrived[slowest],
    }
    span = f"{OPTIMIZERS[quickest].title} after {{first:steps}}"
    if not late:
        span += f", {OPTIMIZERS[slowest].title} last, after {{last:steps}}"
    return judged(
        numbers,
        "Of {rules} rules in the catalogue, {optax} of them adapted from optax, {arrived} came within {tolerance} of "
        f"the lowest minimum in {{taken:steps}}, each at its stored rate: {span}.",
        (not late, f"not all arrive ({', '.join(late)})"),
    )
