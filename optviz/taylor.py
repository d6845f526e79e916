"""What each method believes about a loss at one point, the step it takes from there, and what comes of it.

A first-order method trusts the linear Taylor model, f + gᵀp for a step p; a second-order method the quadratic one,
which adds ½pᵀHp. The derivatives are exact, of the loss that is descended on: with its penalty, without noise.

    gradient descent   p = −η·g
    Newton             H·p = −g: the stationary point of the quadratic model, be it a minimum, a saddle or a maximum
    damped Newton      (H + δI)·p = −g, shortened by a line search if wanted
    trust region       the lowest point of the quadratic model within the radius Δ, or the dogleg path towards it
    L-BFGS             H is replaced by what the last m moves s and gradient changes y tell of it

A `SecondOrder` is a value: a start on a surface, the moves taken from it, and the numbers of the methods. `look` gives
all that follows at the point where the moves lead: derivatives, eigenvalues, and for every method its step, the fall in
loss that its model promised and the one that came. Gradient descent, Newton and L-BFGS are the rules of the catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optviz.experiment import COORDINATE, Experiment, Pick
from optviz.landscape import hessians
from optviz.once import once
from optviz.optimizers import OPTIMIZERS
from optviz.problems import Problem
from optviz.programs import program
from optviz.scaling import MEMORY, Cost, Work, exponent, hessian_bytes, pairs_bytes
from optviz.spec import Param, Source, within
from optviz.verdict import Card, Measured, judged

_NEWTON, _LBFGS = OPTIMIZERS["newton"], OPTIMIZERS["lbfgs"]
assert _LBFGS.init is not None
_NO_PAIRS = _LBFGS.init


class Method(NamedTuple):
    """A method, with a short name for pictures, and what it trusts: a "linear" model, a "quadratic" one, or one made
    from "pairs"."""

    title: str
    short: str
    model: str


METHODS = {
    "sgd": Method("Gradient descent", "gradient", "linear"),
    "newton": Method("Newton", "Newton", "quadratic"),
    "damped": Method("Damped Newton", "damped", "quadratic"),
    "trust": Method("Trust region", "trust", "quadratic"),
    "lbfgs": Method("L-BFGS", "L-BFGS", "pairs"),
}
DIRECTIONS = {
    "step": "the chosen method's step",
    "downhill": "straight downhill, −g",
    "stiff": "the eigenvector of the largest curvature",
    "flat": "the eigenvector of the smallest curvature",
}
MOVES_AT_MOST = 60

METHOD = Param(
    "method", "", "newton", options=tuple(METHODS), static=True,
    help="Whose step is taken, and whose model is drawn over the surface.",
)  # fmt: skip
ALONG = Param(
    "along", "", "step", options=tuple(DIRECTIONS), static=True,
    title="slice", help="The direction along which the loss and its models are cut open.",
)  # fmt: skip
LR = OPTIMIZERS["sgd"].param["lr"].but(default=0.01, help="How far gradient descent goes along −g.")
DAMPING = _NEWTON.param["damping"].but(
    default=1.0, help="Damped Newton adds δ to every curvature: a large one makes its step a short gradient step."
)
LINE_SEARCH = _NEWTON.param["line_search"].but(
    default=False, help="Damped Newton halves its step until the loss falls by enough. L-BFGS always does."
)
RADIUS = Param(
    "radius", "Δ", 0.5, 1e-2, 10.0, log=True, domain="(0, 1e6]", title="trust radius",
    help="How far the quadratic model is trusted at the start. Each step of the trust region then adapts it.",
)  # fmt: skip
DOGLEG = Param(
    "dogleg", "", False,
    help="A cheap stand-in for the best point in the region: first straight downhill, then towards Newton's point.",
)  # fmt: skip
PAIRS = _LBFGS.param["memory"].but(help="How many of the last moves L-BFGS remembers, as pairs s and y.")
SETTINGS = {param.name: param for param in (LR, DAMPING, LINE_SEARCH, RADIUS, DOGLEG, PAIRS)}
CHOICES = {param.name: param for param in (METHOD, ALONG)}

SHRINK_BELOW, GROW_ABOVE, TAKE_ABOVE = 0.25, 0.75, 0.1  # of came/promised (Nocedal & Wright, algorithm 4.1)


@dataclass(frozen=True)
class SecondOrder:
    """Where one stands and looks ahead: `on` is an Experiment without racers, pins and noise, of which the surface, the
    start and the penalty count; `moves` are the methods whose steps were taken from the start, at most MOVES_AT_MOST.

    Raises ValueError, with what is allowed.
    """

    on: Experiment
    moves: tuple[str, ...] = ()
    method: str = str(METHOD.default)
    along: str = str(ALONG.default)
    lr: float = float(LR.default)
    damping: float = float(DAMPING.default)
    line_search: bool = bool(LINE_SEARCH.default)
    radius: float = float(RADIUS.default)
    dogleg: bool = bool(DOGLEG.default)
    memory: int = int(PAIRS.default)

    def __post_init__(self):
        for name, param in (SETTINGS | CHOICES).items():
            object.__setattr__(self, name, param.check(getattr(self, name)))
        object.__setattr__(self, "moves", tuple(self.moves))
        if self.on.racers or self.on.pins:
            raise ValueError("the second-order page has methods instead of racers and pins")
        if self.on.noise:
            raise ValueError("models are made of the loss without noise; set the noise to 0")
        if len(self.moves) > MOVES_AT_MOST:
            raise ValueError(f"at most {MOVES_AT_MOST} moves, not {len(self.moves)}")
        for move in self.moves:
            if move not in METHODS:
                raise ValueError(f"a move is one of {', '.join(METHODS)}, not {str(move)[:32]!r}")

    @property
    def settings(self) -> dict[str, Any]:
        """The numbers of the methods."""
        return {name: getattr(self, name) for name in SETTINGS}

    def at(self, x: float, y: float) -> SecondOrder:
        """The same methods at another point, with nothing taken yet."""
        return replace(self, on=replace(self.on, start=(x, y)), moves=())


# A look around one point ---------------------------------------------------------------------------------------------


class Here(NamedTuple):
    """The loss at a point, with its exact derivatives, and the eigenvalues of the Hessian, smallest first."""

    theta: np.ndarray  # (2,)
    value: float
    grad: np.ndarray  # (2,)
    hessian: np.ndarray  # (2, 2)
    curvatures: np.ndarray  # (2,)
    axes: np.ndarray  # (2, 2), an eigenvector of length 1 in each column

    def promise(self, step: np.ndarray, bend: np.ndarray) -> float:
        """By how much the model with the matrix `bend` (2, 2) says that the loss falls over a step (2,)."""
        return float(-self.grad @ step - 0.5 * step @ bend @ step)


class Proposal(NamedTuple):
    """What a method would do: its step, the matrix of the model it trusts (zero for the linear one), the fall in loss
    that this model promised, the one that came, and a sentence on how the step came about, "" if there is nothing to
    say. A step that is not defined is NaN."""

    method: str
    step: np.ndarray  # (2,)
    bend: np.ndarray  # (2, 2)
    promised: float
    came: float
    note: str

    @property
    def ratio(self) -> float:
        """ρ, what came over what was promised; NaN where nothing was."""
        return self.came / self.promised if self.promised else math.nan


class Pairs(NamedTuple):
    """What L-BFGS remembers: moves s and gradient changes y, oldest first, and the inverse Hessian they imply."""

    s: np.ndarray  # (k, 2)
    y: np.ndarray  # (k, 2)
    inverse: np.ndarray  # (2, 2)


class Move(NamedTuple):
    """A step that was taken, or refused because the trust region's ratio was too small."""

    proposal: Proposal
    radius: float  # before it
    taken: bool


class Look(NamedTuple):
    """All that follows from a SecondOrder. `lost` says why the moves end early, "" if they do not."""

    here: Here
    proposals: dict[str, Proposal]
    pairs: Pairs
    radius: float
    path: np.ndarray  # (moves + 1, 2), the start first
    losses: np.ndarray  # (moves + 1,)
    moves: tuple[Move, ...]
    lost: str


@once(256)
def look(value: SecondOrder) -> Look:
    """Take the moves and look around where they end. At most 60 of them, of about a millisecond each."""
    problem, radius, slots, lost = value.on.problem, value.radius, None, ""
    theta = np.array(value.on.start)
    here, proposals, pairs, slots = _survey(problem, theta, radius, slots, 1, value)
    path, losses, moves = [theta], [here.value], []
    for count, method in enumerate(value.moves, start=2):
        chosen = proposals[method]
        lost = _obstacle(here, chosen)
        if lost:
            break
        taken = method != "trust" or chosen.ratio > TAKE_ABOVE
        moves.append(Move(chosen, radius, taken))
        if method == "trust":
            radius = adapted(radius, chosen)
        theta = theta + chosen.step if taken else theta
        here, proposals, pairs, slots = _survey(problem, theta, radius, slots, count, value)
        path.append(theta)
        losses.append(here.value)
    return Look(here, proposals, pairs, radius, np.array(path), np.array(losses), tuple(moves), lost)


def take(value: SecondOrder, count: int = 1) -> SecondOrder:
    """Take the chosen method's step, `count` times. Raises ValueError if that is not possible."""
    value = replace(value, moves=(*value.moves, *[value.method] * count))
    lost = look(value).lost
    if lost:
        raise ValueError(lost)
    return value


def adapted(radius: float, proposal: Proposal) -> float:
    """The trust radius after a step, by the usual rule: a quarter of it if the loss fell by less than a quarter of what
    was promised; twice as much if it fell by more than three quarters and the step went to the edge; else the same, as
    where nothing was promised."""
    if proposal.promised == 0:
        return radius
    if not proposal.ratio >= SHRINK_BELOW:
        return radius / 4
    at_edge = math.isclose(float(np.linalg.norm(proposal.step)), radius, rel_tol=1e-9)
    return 2 * radius if proposal.ratio > GROW_ABOVE and at_edge else radius


def _obstacle(here: Here, proposal: Proposal) -> str:
    """Why a step cannot be taken; "" if it can."""
    title = METHODS[proposal.method].title
    if not np.isfinite(proposal.step).all():
        return f"{title} has no step here: {proposal.note or 'it is not a finite number'}."
    reached = here.theta + proposal.step
    if not all(within(float(part), COORDINATE.domain) for part in reached) or not math.isfinite(proposal.came):
        return (
            f"{title}'s step leads out of the world, to where the loss is no finite number or a coordinate above 10⁶."
        )
    return ""


def _survey(problem: Problem, theta: np.ndarray, radius: float, slots: Any, t: int, value: SecondOrder) -> tuple:
    """Derivatives, proposals, pairs, and the slots of L-BFGS after a look number t."""
    at_point = program(("taylor", problem.key), lambda: jax.jit(_at_point(problem)))
    quasi = program(("taylor pairs", problem.key, value.memory), lambda: jax.jit(_quasi(problem, value.memory)))
    if slots is None:
        slots = jax.tree.map(np.asarray, _NO_PAIRS(theta, memory=value.memory))
    with np.errstate(all="ignore"):
        given = (theta, np.array([0.0, value.damping]), problem.values)
        loss, grad, hessian, (full, damped) = map(np.asarray, at_point(*given))
        share = 1.0
        if value.line_search:
            searched = program(("taylor searched", problem.key), lambda: jax.jit(_searched(problem)))
            damped, share = map(np.asarray, searched(theta, np.float64(value.damping), problem.values))
        quasi_step, slots = jax.tree.map(np.asarray, quasi(theta, slots, np.float64(t), problem.values))
        filled = np.sum(slots["s"] * slots["y"], axis=1) > 0
        pairs = Pairs(slots["s"][filled], slots["y"][filled], implied(grad, slots["s"][filled], slots["y"][filled]))
        here = _here(theta, float(loss), grad, hessian)
        steps = {
            "sgd": (-value.lr * grad, np.zeros((2, 2)), _sgd_note(here, value.lr)),
            "newton": (full, hessian, _newton_note(here)),
            "damped": (damped, hessian, _damped_note(here, value, float(share))),
            "trust": _trust(here, radius, value.dogleg),
            "lbfgs": (quasi_step, _inverted(pairs.inverse), _lbfgs_note(pairs)),
        }
        reached = theta + np.stack([step for step, _, _ in steps.values()])
        came = here.value - losses_at(problem, reached)
        proposals = {
            key: Proposal(key, step, bend, here.promise(step, bend), float(fell), note)
            for (key, (step, bend, note)), fell in zip(steps.items(), came, strict=True)
        }
    return here, proposals, pairs, slots


def implied(grad: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The matrix (2, 2) that the two loops of L-BFGS multiply a gradient by, from pairs s and y (k, 2), oldest first:
    that of BFGS, begun with a multiple of the identity. Without pairs it is what makes the first step at most 1 long.
    """
    if not len(s):
        return np.eye(2) * min(1.0, 1 / np.abs(grad).sum())
    matrix = np.eye(2) * (s[-1] @ y[-1]) / (y[-1] @ y[-1])
    for one, change in zip(s, y, strict=True):
        weight = 1 / (one @ change)
        left = np.eye(2) - weight * np.outer(one, change)
        matrix = left @ matrix @ left.T + weight * np.outer(one, one)
    return matrix


def _descended(problem: Problem, values: Any):
    """What is descended on, without noise, as a function of θ."""
    return lambda theta: problem.objective(theta, jnp.zeros_like(theta), values)


def _at_point(problem: Problem):
    """(θ, dampings (k,), values) -> loss, gradient, Hessian, and Newton's step with each damping (k, 2)."""

    def at_point(theta, dampings, values):
        loss = _descended(problem, values)
        value, grad = jax.value_and_grad(loss)(theta)

        def newton(damping):
            given = {"share": jnp.ones(()), "theta": theta, "value": value, "loss": loss}
            return _NEWTON.fn(grad, **given, lr=1.0, damping=damping, line_search=False)[0]

        return value, grad, jax.hessian(loss)(theta), jax.vmap(newton)(dampings)

    return at_point


def _searched(problem: Problem):
    """(θ, δ, values) -> the damped step that the line search accepts, and its share."""

    def searched(theta, damping, values):
        loss = _descended(problem, values)
        value, grad = jax.value_and_grad(loss)(theta)
        given = {"share": jnp.ones(()), "theta": theta, "value": value, "loss": loss}
        step, slots = _NEWTON.fn(grad, **given, lr=1.0, damping=damping, line_search=True)
        return step, slots["share"]

    return searched


def _quasi(problem: Problem, memory: int):
    """(θ, slots, t, values) -> L-BFGS's step, and its slots after it."""

    def quasi(theta, slots, t, values):
        loss = _descended(problem, values)
        value, grad = jax.value_and_grad(loss)(theta)
        given = {"t": t, "theta": theta, "value": value, "loss": loss}
        return _LBFGS.fn(grad, **slots, **given, lr=1.0, memory=memory, line_search=True)

    return quasi


def losses_at(problem: Problem, points: np.ndarray) -> np.ndarray:
    """What is descended on, the penalty included, at each of the points (k, 2). A new k compiles."""

    def build():
        return jax.jit(jax.vmap(lambda at, values: _descended(problem, values)(at), in_axes=(0, None)))

    return np.asarray(program(("taylor losses", problem.key), build)(points, problem.values))


def _here(theta: np.ndarray, value: float, grad: np.ndarray, hessian: np.ndarray) -> Here:
    if not np.isfinite(hessian).all():
        return Here(theta, value, grad, hessian, np.full(2, np.nan), np.full((2, 2), np.nan))
    return Here(theta, value, grad, hessian, *np.linalg.eigh(hessian))


def _inverted(matrix: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.nan)


def _sgd_note(here: Here, lr: float) -> str:
    limit = 2 / here.curvatures[1] if here.curvatures[1] > 0 else math.inf
    return "η is above 2/λ₂, so it overshoots" if lr > limit else ""


def _newton_note(here: Here) -> str:
    low, high = here.curvatures
    if not np.isfinite(here.hessian).all():
        return "the Hessian is not finite"
    if low == 0 or high == 0:
        return "the Hessian cannot be inverted"
    if low < 0:
        return f"it goes to the model's {'saddle' if high > 0 else 'maximum'}, whichever way is down"
    return ""


def _damped_note(here: Here, value: SecondOrder, share: float) -> str:
    notes = []
    if here.curvatures[0] + value.damping <= 0:
        notes.append("δ is too small to make all curvatures positive")
    if value.line_search:
        notes.append("no share of the step lowers the loss" if share == 0 else f"share {share:g} by line search")
    return "; ".join(notes)


def _lbfgs_note(pairs: Pairs) -> str:
    count = len(pairs.s)
    return f"from {count} pair{'s' * (count != 1)}" if count else "no pairs yet: along −g, at most 1 long"


# The trust region ----------------------------------------------------------------------------------------------------


def _trust(here: Here, radius: float, dogleg: bool) -> tuple[np.ndarray, np.ndarray, str]:
    if not np.isfinite(here.hessian).all() or not np.isfinite(here.grad).all():
        return np.full(2, np.nan), here.hessian, "the Hessian is not finite"
    if dogleg:
        step, note = dogleg_step(here.grad, here.hessian, radius)
        return step, here.hessian, note
    step, shift = trust_region_step(here.grad, here.hessian, radius)
    if shift == 0:
        return step, here.hessian, "the model's lowest point lies within"
    return step, here.hessian, f"at the edge, as if damped by {shift:.3g}"


def trust_region_step(grad: np.ndarray, hessian: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """The p with ‖p‖ ≤ radius of least gᵀp + ½pᵀHp, and the shift ν ≥ 0 with (H + νI)·p = −g, H + νI ⪰ 0 and
    ν·(radius − ‖p‖) = 0 that proves it.

    The eigenvectors make ‖p‖ a sum of two terms that falls with ν, so that bisection finds the edge. Where g has no
    part along the lowest eigenvector (the hard case), that eigenvector, in either direction, fills up the length.
    """
    curvatures, axes = np.linalg.eigh(hessian)
    part = axes.T @ grad
    base = max(0.0, -float(curvatures[0]))
    above = np.maximum(curvatures + base, 0.0)  # the curvatures after the least shift; the lowest is exactly 0 if base

    def solved(more: float) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(part == 0, 0.0, -part / (above + more))

    least = solved(0.0)
    if np.linalg.norm(least) <= radius:
        if base == 0:
            return axes @ least, 0.0
        rest = math.sqrt(max(0.0, radius**2 - float(least @ least)))
        return axes @ (least + np.array([rest, 0.0])), base
    low, high = 0.0, float(np.linalg.norm(grad)) / radius
    for _ in range(200):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        low, high = (middle, high) if np.linalg.norm(solved(middle)) > radius else (low, middle)
    return axes @ solved(high), base + high


def dogleg_step(grad: np.ndarray, hessian: np.ndarray, radius: float) -> tuple[np.ndarray, str]:
    """Where the path from here to the lowest point downhill, and on to Newton's point, leaves the circle, and a note.

    The path is defined where H is positive definite; elsewhere it ends at the lowest point downhill within the circle.
    """
    size, bent = float(np.linalg.norm(grad)), float(grad @ hessian @ grad)
    if size == 0:
        return np.zeros(2), "no slope here"
    if np.linalg.eigvalsh(hessian)[0] <= 0:
        share = min(size**2 / bent, radius / size) if bent > 0 else radius / size
        return -share * grad, "no dogleg, as H is not positive definite: along −g"
    newton = -np.linalg.solve(hessian, grad)
    downhill = -(size**2 / bent) * grad
    if np.linalg.norm(newton) <= radius:
        return newton, "Newton's point lies within"
    if np.linalg.norm(downhill) >= radius:
        return -(radius / size) * grad, "cut off on the way downhill"
    leg = newton - downhill
    a, b, c = leg @ leg, downhill @ leg, downhill @ downhill - radius**2
    share = -c / (b + math.sqrt(b**2 - a * c))  # the positive root, without cancellation
    return downhill + share * leg, "cut off on the way to Newton's point"


# Pictures as numbers -------------------------------------------------------------------------------------------------

CELLS = 96
POINTS = 161  # of a slice
REACH = 1.5  # how many widths of the window the picture may grow to each side, to follow a step


class Ground(NamedTuple):
    """The loss with its penalty around the moves: loss[j, i] belongs to x[i], y[j]."""

    x: np.ndarray  # (CELLS,)
    y: np.ndarray  # (CELLS,)
    loss: np.ndarray  # (CELLS, CELLS)


def bounds(value: SecondOrder) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of the picture: the surface's window, and beyond it, up to REACH widths, what the moves
    and the chosen method's step need."""
    found = look(value)
    left, right, bottom, top = value.on.entry.window
    ends = [*found.path, found.here.theta + found.proposals[value.method].step]
    points = np.array([end for end in ends if np.isfinite(end).all()])
    size = np.array([right - left, top - bottom])
    room = 0.06 * size
    low = np.where(points.min(axis=0) < [left, bottom], points.min(axis=0) - room, [left, bottom])
    high = np.where(points.max(axis=0) > [right, top], points.max(axis=0) + room, [right, top])
    low, high = np.maximum(low, [left, bottom] - REACH * size), np.minimum(high, [right, top] + REACH * size)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def ground(value: SecondOrder) -> Ground:
    """The loss over `bounds`."""
    return _ground(value.on.conditions, value.on, bounds(value))


@once(32)  # of 75 kB each
def _ground(conditions: tuple, on: Experiment, edges: tuple[float, float, float, float]) -> Ground:
    left, right, bottom, top = edges
    x, y = np.linspace(left, right, CELLS), np.linspace(bottom, top, CELLS)
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    return Ground(x, y, losses_at(on.problem, points).reshape(CELLS, CELLS))


class Cut(NamedTuple):
    """The loss and its models along a line through the point, against the way from it, which is negative behind it."""

    direction: np.ndarray  # (2,), of length 1
    way: np.ndarray  # (k,)
    loss: np.ndarray  # (k,)
    linear: np.ndarray
    quadratic: np.ndarray
    pairs: np.ndarray  # the model of L-BFGS


def cut(value: SecondOrder) -> Cut | None:
    """The slice along the wanted direction; None where that direction is not defined. It reaches as far as the steps of
    the methods do along it, at least a twelfth of the window's diagonal and at most all of it."""
    found = look(value)
    here = found.here
    wanted = {
        "step": found.proposals[value.method].step,
        "downhill": -here.grad,
        "stiff": here.axes[:, 1],
        "flat": here.axes[:, 0],
    }[value.along]
    length = float(np.linalg.norm(wanted))
    if not math.isfinite(length) or length == 0:
        return None
    direction = wanted / length
    left, right, bottom, top = value.on.entry.window
    diagonal = math.hypot(right - left, top - bottom)
    ways = [float(one.step @ direction) for one in found.proposals.values() if np.isfinite(one.step).all()]
    own = float(found.proposals[value.method].step @ direction)
    reach = abs(own) if value.along == "step" else max(map(abs, ways), default=0.0)
    if reach < 1e-12 * diagonal or value.along != "step":
        reach = min(max(reach, diagonal / 12), diagonal)
    way = reach * np.linspace(-0.5, 1.3, POINTS)
    points = here.theta + way[:, None] * direction
    slope = float(here.grad @ direction)
    linear = here.value + way * slope
    bend, quasi = here.hessian, found.proposals["lbfgs"].bend
    return Cut(
        direction,
        way,
        losses_at(value.on.problem, points),
        linear,
        linear + 0.5 * way**2 * (direction @ bend @ direction),
        linear + 0.5 * way**2 * (direction @ quasi @ direction),
    )


# The claims ----------------------------------------------------------------------------------------------------------


def is_quadratic(on: Experiment) -> bool:
    """Whether the Hessian is the same at the start, at the corners of the window and at two points within."""
    left, right, bottom, top = on.entry.window
    places = np.array([on.start, (left, bottom), (right, top), (left / 3, top / 2), (right / 7, bottom / 5)])
    found = hessians(on.problem, places)
    return bool(np.isfinite(found).all() and np.allclose(found, found[0], rtol=1e-9, atol=1e-9 * np.abs(found).max()))


@dataclass(frozen=True)
class LookClaim(Card):
    """A claim on methods of second order, with what shows it."""

    shown: SecondOrder

    def measure(self, value: SecondOrder, costs: Sequence[Cost | Work] = ()) -> Measured | None:
        """Measure it at the point of a SecondOrder, or on what was measured of the costs."""
        return _models(value) if self.key == "A14" else _price(costs)


def _models(value: SecondOrder) -> Measured:
    found = look(value)
    newton, plain = found.proposals["newton"], found.proposals["sgd"]
    slope = float(np.linalg.norm(found.here.grad))
    corners = [look(value.at(x, y)) for x in value.on.entry.window[:2] for y in value.on.entry.window[2:]]
    left = [_slope_left(value, one) for one in (found, *corners)]
    attracted, broken = look(ATTRACTED), look(BROKEN)
    last = broken.proposals["newton"]
    numbers = {
        "left": left[0],
        "worst": max(left[1:]),
        "ratio": newton.ratio,
        "rate": value.lr,
        "linear": plain.ratio,
        "low": attracted.here.curvatures[0],
        "slope": np.linalg.norm(attracted.here.grad),
        "promised": last.promised,
        "rose": -last.came,
        "moves": len(ATTRACTED.moves),
    }
    return judged(
        numbers,
        "One Newton step from here leaves {left} of the gradient, and at most {worst} from the four corners of the "
        "window. Of the fall that its quadratic model promised, {ratio:%} came; of what the linear model promised to "
        "gradient descent with η = {rate}, {linear:%}. Elsewhere this does not hold: on the bounded saddle {moves} "
        "Newton steps end at a point of slope {slope} with a curvature of {low}, and on Rosenbrock's ravine a Newton "
        "step that promised a fall by {promised} raised the loss by {rose}.",
        (slope > 1e-9, "there is no slope here, so there is nothing to win; choose another point"),
        (is_quadratic(value.on), "this surface is no quadratic, so the model fits only nearby"),
        (found.here.curvatures[0] > 0, "this quadratic has no minimum: Newton goes to its saddle"),
        (max(left) < 1e-6 and abs(numbers["ratio"] - 1) < 1e-6, "one step did not arrive"),
    )


def _slope_left(value: SecondOrder, found: Look) -> float:
    """The length of the gradient after one Newton step, as a share of that before."""
    after = look(value.at(*map(float, found.here.theta + found.proposals["newton"].step)))
    before = float(np.linalg.norm(found.here.grad))
    return float(np.linalg.norm(after.here.grad)) / before if before else 0.0


def _price(costs: Sequence[Cost | Work]) -> Measured:
    sizes = [one for one in costs if isinstance(one, Cost)]
    worked = [one for one in costs if isinstance(one, Work)]
    small, large = 2, 2000
    numbers: dict[str, float] = {
        "small": small,
        "large": large,
        "memory": MEMORY,
        "full_small": hessian_bytes(small),
        "pairs_small": pairs_bytes(small),
        "full": hessian_bytes(large) / 1e6,
        "pairs": pairs_bytes(large) / 1e6,
        "power_full": exponent((200, large), (hessian_bytes(200), hessian_bytes(large))),
        "power_pairs": exponent((200, large), (pairs_bytes(200), pairs_bytes(large))),
    }
    facts = (
        "For n = {small} the Hessian takes {full_small} bytes and L-BFGS with m = {memory} keeps {pairs_small}; for "
        "n = {large} it is {full} MB against {pairs} MB. Memory grows like n to the power {power_full} and "
        "{power_pairs}."
    )
    rules = [
        (abs(numbers["power_full"] - 2) < 1e-9, "the Hessian's memory does not grow like n²"),
        (abs(numbers["power_pairs"] - 1) < 1e-9, "the pairs' memory does not grow like n"),
    ]
    if len(sizes) > 1:
        last = sizes[-1]
        numbers |= {
            "at": last.n,
            "solve": 1e3 * (last.hessian + last.solve),
            "loop": 1e3 * last.two_loop,
            "power_solve": exponent([one.n for one in sizes], [one.solve for one in sizes]),
            "power_loop": exponent([one.n for one in sizes], [one.two_loop for one in sizes]),
        }
        facts += (
            " At n = {at}, making the Hessian and solving with it took {solve} ms, the two loops of L-BFGS {loop} ms; "
            "between the two largest sizes the time to solve grew like n to the power {power_solve}, that of the loops "
            "{power_loop}."
        )
        if last.n >= 200:
            rules.append((numbers["solve"] > numbers["loop"], "solving took no longer than the two loops"))
    if worked:
        numbers |= {"size": worked[-1].n, **worked[-1].steps}
        facts += (
            " To settle with n = {size}, Newton needed {newton:steps}, L-BFGS {lbfgs:steps} and gradient descent "
            "{sgd:steps}."
        )
        rules.append((numbers["lbfgs"] < numbers["sgd"], "L-BFGS needed no fewer steps than gradient descent"))
    return judged(numbers, facts, *rules, longest=40_000)


NOCEDAL = Source(
    "Nocedal & Wright", 2006, "Numerical Optimization, chapters 3, 4 and 7", "https://doi.org/10.1007/978-0-387-40065-5"
)
LIU = Source(
    "Liu & Nocedal",
    1989,
    "On the limited memory BFGS method for large scale optimization",
    "https://doi.org/10.1007/BF01589116",
)
VALLEY = SecondOrder(
    Experiment(Pick("valley", {"kappa": 10.0, "rotation": 30.0}), start=(-1.5, 0.75)), lr=0.1, damping=1.0, radius=1.0
)
RAVINE = SecondOrder(Experiment(Pick("rosenbrock"), start=(-1.2, 1.0)), lr=0.001, radius=0.5)
BROKEN = replace(RAVINE, moves=("newton",))
DRAWN = SecondOrder(Experiment(Pick("bounded_saddle"), start=(0.5, 0.5)), lr=0.1, damping=4.0, radius=0.5)
ATTRACTED = replace(DRAWN, moves=("newton",) * 6)
LEARNT = replace(VALLEY, moves=("lbfgs",) * 2, method="lbfgs")

EXAMPLES: Mapping[str, SecondOrder] = {
    "One step on a quadratic": VALLEY,
    "Drawn to a saddle": DRAWN,
    "A promise that is not kept": BROKEN,
    "How far to trust: a ravine": replace(RAVINE, method="trust"),
    "What L-BFGS has learnt from two steps": LEARNT,
}

CLAIMS = {
    "A14": LookClaim(
        key="A14",
        title="A linear and a quadratic model",
        says="First-order methods trust a linear model of the surface, second-order methods a quadratic one. Newton's "
        "method needs no learning rate on a quadratic: it solves it in one step.",
        condition="On a quadratic whose curvatures are all positive, without damping, from any start. Elsewhere the "
        "quadratic model is only as good as it fits: near a saddle Newton's step leads to the saddle, and far from a "
        "minimum the model promises what does not come.",
        watch="The level lines of Newton's model lie on those of the surface, and its arrow ends at the star. Then "
        "choose an example: drawn to a saddle, or a promise that is not kept.",
        sources=(NOCEDAL,),
        shown=VALLEY,
    ),
    "A15": LookClaim(
        key="A15",
        title="What second order costs",
        says="The Hessian has n × n entries, so Newton's method does not scale; L-BFGS keeps a few vectors instead.",
        condition="L-BFGS keeps 2m vectors, 2mn numbers, which are fewer than n² only when n is above 2m. In this "
        "plane it keeps more than Newton does. It takes more steps than Newton, and each is far cheaper when n is "
        "large.",
        watch="Open “Cost against the number of parameters” and press Measure: the lines of the Hessian are steeper. "
        "Then take more steps and compare the two ellipses: what L-BFGS has learnt from its pairs against the true "
        "curvature.",
        sources=(LIU, NOCEDAL),
        shown=LEARNT,
    ),
}
