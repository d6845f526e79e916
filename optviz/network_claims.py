"""What the course claims about networks, each as a training, a measurement and a verdict.

A claim is a function and its card, as in `claims`. The function is given the training as it now stands and, by name,
the configurations that it speaks of (`ROLES`), each with what its run has left: its history and its weights. It makes
its sentence from the numbers of *this* run. Where a number needs a second run (without the penalty, at another rate,
with another batch size), that run starts from the same weights, sees the same order of examples, and is bounded by
EFFORT. Where the training lacks what the claim is about, `NetworkClaim.measure` gives None; where the run has not come
far enough, it says so.

Medians are over the seeds of the training; what looks into one network looks into that of the first seed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from optviz.datasets import Table, augmented
from optviz.descent import Together, begin_together, descend_together
from optviz.experiment import Pick, Racer
from optviz.networks import (
    ACTIVATIONS,
    Layer,
    Network,
    Pass,
    backward,
    data_loss,
    forward,
    measuring_factors,
    training_factors,
)
from optviz.once import once
from optviz.optimizers import OPTIMIZERS
from optviz.problems import Problem
from optviz.programs import program
from optviz.spec import Source, number
from optviz.training import PROBE, Configuration, History, Net, Progress, Training, predict, signal, targets
from optviz.verdict import Card, Heard, Measured, judged, unheard

EFFORT = 5e8  # parameters × examples × seeds × steps of a run that is made to measure: about a second
ADAPTIVE = ("adam", "adamw", "nadam", "rmsprop")

# What a measuring function may ask for by name: a configuration, by its network and its optimizer.
ROLES: dict[str, Callable[[Net, Racer], bool]] = {
    "first": lambda net, racer: True,
    "small": lambda net, racer: net.activation == "tanh" and net.init == "normal" and (net.init_scale or 0) <= 0.05,
    "large": lambda net, racer: net.activation == "tanh" and net.init == "normal" and (net.init_scale or 0) > 0.05,
    "xavier": lambda net, racer: net.activation == "tanh" and net.init.startswith("xavier"),
    "he": lambda net, racer: net.activation == "relu" and net.init.startswith("he"),
    "tanh": lambda net, racer: net.activation == "tanh" and net.normalization == "none",
    "relu": lambda net, racer: net.activation == "relu" and net.normalization == "none",
    "sigmoid": lambda net, racer: net.activation == "sigmoid" and net.normalization == "none",
    "unnormalized": lambda net, racer: net.normalization == "none",
    "batch": lambda net, racer: net.normalization == "batch",
    "plain": lambda net, racer: not _remedied(net, racer),
    "remedied": lambda net, racer: _remedied(net, racer),
    "l1": lambda net, racer: net.l1 > 0 and net.l2 == 0,
    "l2": lambda net, racer: net.l2 > 0 and net.l1 == 0 and racer.optimizer.key not in ADAPTIVE,
    "adam_l2": lambda net, racer: net.l2 > 0 and net.l1 == 0 and racer.optimizer.key == "adam",
    "adamw": lambda net, racer: racer.optimizer.key == "adamw" and float(racer.values["weight_decay"]) > 0,
    "inverted": lambda net, racer: any(net.rates) and net.dropout_form == "inverted",
    "classic": lambda net, racer: any(net.rates) and net.dropout_form == "classic",
    "noisy": lambda net, racer: net.input_noise > 0,
}


def _remedied(net: Net, racer: Racer) -> bool:
    return any((*net.rates, net.l1, net.l2, net.input_noise, racer.values.get("weight_decay", 0)))


@dataclass(frozen=True, eq=False)
class Entrant:
    """A configuration of a training and what its run has left so far. Who makes it run again calls `heard` between."""

    training: Training
    progress: Progress
    index: int
    heard: Heard = unheard

    @property
    def net(self) -> Net:
        return self.training.configurations[self.index].net

    @property
    def racer(self) -> Racer:
        return self.training.configurations[self.index].racer

    @property
    def network(self) -> Network:
        return self.training.networks[self.index]

    @property
    def problem(self) -> Problem:
        return self.training.problem(self.index)

    @property
    def history(self) -> History:
        return self.progress.histories[self.index]

    @property
    def thetas(self) -> np.ndarray:
        """The weights of now, (seeds, n)."""
        return self.progress.states[self.index].theta

    @property
    def seeds(self) -> range:
        return range(self.training.seed, self.training.seed + self.training.seeds)

    @property
    def starts(self) -> np.ndarray:
        """The weights that the seeds begin with, (seeds, n)."""
        net = self.net
        return np.stack([self.network.start(net.init, seed, net.init_scale) for seed in self.seeds])

    @property
    def affordable(self) -> int:
        """How many steps of it a measurement may take."""
        return int(EFFORT // (self.network.size * self.training.size * self.training.seeds)) + 1

    def but(self, racer: Racer | None = None, **treatment: Any) -> Entrant:
        """It with another optimizer, or with another treatment in training."""
        one = Configuration(replace(self.net, **treatment), racer or self.racer)
        before, after = self.training.configurations[: self.index], self.training.configurations[self.index + 1 :]
        return replace(self, training=replace(self.training, configurations=(*before, one, *after)))

    def again(self, steps: int) -> Together:
        """So many steps from its start, in one piece."""
        self.heard()
        problem, rule = self.problem, self.racer.rule
        state = begin_together(problem, rule, self.starts)
        return descend_together(problem, rule, steps, self.seeds, state, horizon=self.training.steps)

    def passes(
        self, theta: np.ndarray, table: Table, masks: np.ndarray | None = None
    ) -> tuple[list[Layer], list[Pass]]:
        """The layers at θ (n,) and what they do with a table's inputs, with nothing dropped unless `masks` say so."""
        rates, inverted = np.array(self.net.rates), self.net.dropout_form == "inverted"
        layers = self.network.unravel(theta)
        factors = (
            measuring_factors(self.network, rates, inverted)
            if masks is None
            else training_factors(self.network, masks, rates, inverted)
        )
        return layers, forward(self.network, layers, table.x, factors=factors)[1]

    def loss(self, theta: np.ndarray, table: Table) -> float:
        """The mean loss at θ (n,) over a table, without penalties."""
        output = predict(self.training, self.index, theta, table.x)
        return float(data_loss(self.network, output, targets(table), delta=self.net.delta))

    def accuracy(self, theta: np.ndarray, table: Table) -> float:
        """The share of a table's examples whose class is answered at θ (n,)."""
        output = predict(self.training, self.index, theta, table.x)
        return float((np.isfinite(output).all(axis=-1) & (output.argmax(axis=-1) == table.y)).mean())


@dataclass(frozen=True)
class NetworkClaim(Card):
    """A claim on networks, with the training that shows it. `after` says from when on a run can be measured: its
    "start", its first "step" or its planned "end"."""

    training: Training
    after: str
    fits: Callable[[Training], bool]  # what the training must be, apart from who takes part
    judge: Callable[..., Measured | None]

    def measure(self, training: Training, progress: Progress, heard: Heard = unheard) -> Measured | None:
        """Measure the claim on a run; None where the training lacks what the claim is about.

        Never raises for a valid training, but what `heard` does: a run that diverges is measured like any other.
        """
        # Settings that were changed after the last step are not those of the run.
        ran = progress.training if progress.step else training
        roles = _asked(self.judge)
        for each in (training, ran):
            if not self.fits(each) or None in [_in_role(each, progress, role) for role in roles]:
                return None
        ended = progress.step >= training.steps or all(history.failure for history in progress.histories)
        if self.after == "step" and progress.step < 1:
            return Measured({}, None, "Take a step, or train, and it is measured.")
        if self.after == "end" and not ended:
            return Measured({}, None, "Train to the end, and it is measured.")
        with np.errstate(all="ignore"):
            return self.judge(ran, **{role: _in_role(ran, progress, role, heard) for role in roles})


NETWORK_CLAIMS: dict[str, NetworkClaim] = {}


def claim(
    key: str, *, after: str, sources: tuple[Source, ...], fits: Callable[[Training], bool] = lambda t: True, **card: Any
) -> Callable[[Callable], Callable]:
    """Decorator: enter a measuring function and its card."""

    def enter(judge: Callable) -> Callable:
        unknown = set(_asked(judge)) - set(ROLES)
        if unknown or key in NETWORK_CLAIMS:
            raise TypeError(f"claim {key} is declared twice or asks for roles that there are not: {sorted(unknown)}")
        NETWORK_CLAIMS[key] = NetworkClaim(key=key, after=after, sources=sources, fits=fits, judge=judge, **card)
        return judge

    return enter


def _asked(judge: Callable) -> list[str]:
    """The configurations that a measuring function asks for, after the training."""
    return list(inspect.signature(judge).parameters)[1:]


def _in_role(training: Training, progress: Progress, role: str, heard: Heard = unheard) -> Entrant | None:
    """The first configuration that can play the role."""
    for index, one in enumerate(training.configurations):
        if ROLES[role](one.net, one.racer):
            return Entrant(training, progress, index, heard)
    return None


def _classes(training: Training) -> bool:
    return training.task == "classification"


def _validated(training: Training) -> bool:
    return len(training.parts.validation.y) > 0


def _runs(*runs: tuple[Net, str, dict[str, Any]]) -> tuple[Configuration, ...]:
    return tuple(Configuration(net, Racer(Pick(key, values))) for net, key, values in runs)


def _alike(*entrants: Entrant) -> bool:
    """Whether they are networks of one shape."""
    return len({(one.net.hidden, one.net.activation) for one in entrants}) == 1


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two arrays; what is undefined in both is the same."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return float(np.where(same, 0.0, np.nan_to_num(np.abs(a - b), nan=math.inf)).max(initial=0.0))


def _probe(training: Training) -> Table:
    """Training examples to look at, of which there are not too many."""
    train = training.parts.train
    return train.take(np.arange(min(PROBE, len(train.y))))


GLOROT = Source("Glorot & Bengio", 2010, "Understanding the difficulty of training deep feedforward neural networks")
HE = Source("He, Zhang, Ren & Sun", 2015, "Delving Deep into Rectifiers", "https://arxiv.org/abs/1502.01852")
EFFICIENT = Source("LeCun, Bottou, Orr & Müller", 1998, "Efficient BackProp")
CS231N = Source("Li, Johnson & Yeung", 2017, "CS231n, Training neural networks", "https://cs231n.github.io")
LABORATORY = Source(
    "Smilkov et al.", 2017, "Direct-Manipulation Visualization of Deep Networks", "https://arxiv.org/abs/1708.03788"
)


# The run and its gradient --------------------------------------------------------------------------------------------


@claim(
    "C1",
    title="Pause, resume, and the same run",
    says="A small network trains while you watch. It may be paused and resumed, taken step by step, and started again "
    "from the same weights, and a learning rate may be changed on the way without starting over.",
    condition="The run follows from its seed alone: initial weights, order of the examples, dropout and noise. That a "
    "paused run equals an uninterrupted one holds bit for bit as long as nothing but the learning rate is changed on "
    "the way; what the network is made of cannot be changed without a new start.",
    watch="Press *Start* and *Pause*, then *One step*; move a learning rate: the curves go on from where they were.",
    sources=(LABORATORY,),
    after="step",
    training=Training(
        Pick("moons", {"noise": 0.2}),
        _runs(
            (Net(hidden=(8, 8)), "sgd", {"lr": 0.1, "momentum": 0.9}),
            (Net(hidden=(8, 8)), "adam", {"lr": 0.01}),
        ),
        epochs=30,
    ),
)
def pause_and_resume(t: Training, first: Entrant) -> Measured:
    history, taken = first.history, first.history.loss.shape[1]
    steps = min(taken, first.affordable)
    rates = history.lr[:steps]
    scheduled = "lr" in dict(first.racer.schedules)
    cuts = [] if scheduled else (np.flatnonzero(np.diff(rates)) + 1).tolist()
    whole, single = _repeated(first, rates, [0, *cuts, steps]), _repeated(first, rates, list(range(min(steps, 50) + 1)))
    loss = np.concatenate([piece.value for piece in whole], axis=1)
    loss_single = np.concatenate([piece.value for piece in single], axis=1)
    numbers = {
        "taken": taken,
        "steps": steps,
        "apart": _apart(history.loss[:, :steps], loss),
        **({"weights": _apart(first.thetas, whole[-1].state.theta)} if steps == taken else {}),
        "single": loss_single.shape[1],
        "apart_single": _apart(history.loss[:, : loss_single.shape[1]], loss_single),
        "reset": _apart(history.snapshots[0], first.starts[0]),
        "changes": len(cuts),
    }
    facts = (
        "The run has taken {taken:steps}, with every pause on the way. Run again without a pause, its first {steps} "
        f"batch losses differ by at most {{apart}}{', and its weights by {weights}' if 'weights' in numbers else ''}; "
        "paused after each of the first {single:steps}, by {apart_single}. The initial weights differ by {reset} from "
        "those of a new start. The learning rate was changed {changes} times on the way, and the run went on."
    )
    return judged(
        numbers,
        facts,
        (numbers["reset"] == 0, "the run did not begin with these weights"),
        (
            numbers["apart"] == 0 == numbers.get("weights", 0),
            "something besides the learning rate was changed on the way",
        ),
        (numbers["apart_single"] == 0, "pauses change the run"),
    )


def _repeated(one: Entrant, rates: np.ndarray, cuts: Sequence[int]) -> list[Together]:
    """The run again with its recorded rates, in pieces from cut to cut."""
    state, done = None, []
    scheduled = "lr" in dict(one.racer.schedules)
    for begin, end in pairwise(cuts):
        one.heard()
        rule = (one.racer if scheduled else one.racer.but(lr=float(rates[begin]))).rule
        state = state or begin_together(one.problem, rule, one.starts)
        done.append(descend_together(one.problem, rule, end - begin, one.seeds, state, horizon=one.training.steps))
        state = done[-1].state
    return done


@claim(
    "C2",
    title="Backpropagation is the chain rule",
    says="Backpropagation is the chain rule from the output to the input: every layer multiplies what comes back with "
    "its own local derivative, and one pass back gives the derivative by every weight.",
    condition="Wherever the loss has a derivative; ReLU takes 0 at its kink. It is exact: what differs from automatic "
    "differentiation is rounding. Numerical differences would need a run through the network for each weight.",
    watch="The page [Backpropagation](backprop) takes this walk node by node, with every number on the graph.",
    sources=(
        Source(
            "Rumelhart, Hinton & Williams",
            1986,
            "Learning representations by back-propagating errors",
            "https://doi.org/10.1038/323533a0",
        ),
    ),
    after="start",
    training=Training(
        Pick("moons", {"noise": 0.2}),
        _runs((Net(hidden=(4, 4), activation="tanh", init="xavier_normal"), "sgd", {"lr": 0.3})),
        epochs=30,
        view="network",
    ),
)
def chain_rule(t: Training, first: Entrant) -> Measured:
    problem, network, net, theta = first.problem, first.network, first.net, first.thetas[0]
    draw = {name: part[0] for name, part in problem.draw(t.seed, first.progress.step, 1).items()}
    layers, rates = network.unravel(theta), np.array(net.rates)
    factors = training_factors(network, draw["kept"], rates, net.dropout_form == "inverted")
    _, passes = forward(network, layers, draw["x"], factors=factors, share=draw["share"])
    by_hand, _ = backward(
        network,
        layers,
        passes,
        draw["target"],
        share=draw["share"],
        smoothing=net.label_smoothing,
        delta=net.delta,
        l1=net.l1,
        l2=net.l2,
    )
    ours = network.ravel(by_hand)
    compiled = program((problem.key, "gradient"), lambda: jax.jit(jax.grad(problem.objective)))
    theirs = np.asarray(compiled(theta, draw, problem.values))
    size = float(np.abs(theirs).max())
    numbers = {"weights": network.size, "layers": len(layers), "apart": _apart(ours, theirs), "size": size}
    return judged(
        numbers,
        "At the weights of now and on the next batch, one pass forward and one back through {layers} layers gave all "
        "{weights} derivatives. The largest is {size}; the largest difference to automatic differentiation is {apart}.",
        (math.isfinite(size), "the gradient has outgrown the numbers"),
        (numbers["apart"] <= 1e-12 * max(1.0, size), "the two gradients differ by more than rounding"),
    )


# Weights, units and inputs at the start ------------------------------------------------------------------------------

DEPTH, DRAWS = 10, 4
DEEP = (32,) * 4


@claim(
    "C3",
    title="Initial weights and a signal's variance",
    says="Weights that are too small let activations die out from layer to layer; too large ones saturate tanh. "
    "Xavier's variance keeps the signal where tanh is nearly linear, and He's keeps the second moment of "
    "pre-activations under ReLU.",
    condition="For weights drawn independently and wide layers. Xavier's argument is for linear units: tanh still "
    "shrinks what passes, and a gain of 5/3 only slows that down. Under ReLU, Xavier's weights halve the second moment "
    "with every layer, which is why He's are twice as large. Normalization makes all of this matter less.",
    watch="Choose one configuration after the other: through ten layers, before any training, the activations of the "
    "first pile up at 0, those of the second at ±1, and those of the others keep their width.",
    sources=(GLOROT, HE, EFFICIENT),
    after="start",
    training=Training(
        Pick("wine"),
        _runs(
            (Net(hidden=DEEP, activation="tanh", init="normal", init_scale=0.01), "sgd", {"lr": 0.05}),
            (Net(hidden=DEEP, activation="tanh", init="normal", init_scale=1.0), "sgd", {"lr": 0.05}),
            (Net(hidden=DEEP, activation="tanh", init="xavier_normal"), "sgd", {"lr": 0.05}),
            (Net(hidden=DEEP, activation="relu", init="he_normal"), "sgd", {"lr": 0.05}),
        ),
        epochs=4,
        batch_size=16,
        view="start",
    ),
)
def initial_variance(t: Training, small: Entrant, large: Entrant, xavier: Entrant, he: Entrant) -> Measured | None:
    if not (small.net.hidden and large.net.hidden):
        return None
    through = {
        "small": _through(t, small.net),
        "large": _through(t, large.net),
        "xavier": _through(t, xavier.net),
        "he": _through(t, he.net),
        "gain": _through(t, replace(xavier.net, init_scale=5 / 3)),
        "halved": _through(t, replace(he.net, init="xavier_normal", init_scale=1.0)),
    }
    gaps = [
        np.abs(np.sqrt(one.measured / one.theory) - 1).max()
        for one in through.values()
        if np.isfinite(one.measured).all()
    ]
    numbers = {
        "depth": DEPTH,
        **{f"{name}_end": math.sqrt(one.squares[-1]) for name, one in through.items() if name not in ("he", "halved")},
        "he_kept": through["he"].measured[-1] / through["he"].measured[0],
        "halved_kept": through["halved"].measured[-1] / through["halved"].measured[0],
        "halved_theory": 2.0 ** (1 - DEPTH),
        "gap": max(gaps),
        "own": len(small.net.hidden),
        "own_small": float(small.history.layers.activation_deviation[0, -2]),
        "own_saturated": float(large.history.layers.saturated[0, :-1].mean()),
    }
    return judged(
        numbers,
        "Through {depth} layers of 256 tanh units, normal weights of the first run leave activations of size "
        "{small_end}, those of the second {large_end}, Xavier's {xavier_end}, and with a gain of 5/3 {gain_end}. "
        "Under ReLU, He's weights keep {he_kept:%} of the second moment of pre-activations, Xavier's {halved_kept:%}; "
        "halving at each layer would be {halved_theory:%}. Theory and measurement are at most {gap:%} apart. In the "
        "{own} hidden layers of the networks here, before training, the last activations of the small weights have "
        "deviation {own_small}, and {own_saturated:%} of the units with large weights are saturated.",
        (numbers["small_end"] < 0.01, "the small weights are not small enough for the signal to die out"),
        (numbers["large_end"] > 0.8, "the large weights are not large enough to saturate tanh"),
        (0.1 < numbers["xavier_end"] < numbers["gain_end"], "Xavier's weights do not carry the signal here"),
        (0.5 < numbers["he_kept"] < 2, "He's weights do not keep the second moment here"),
        (numbers["halved_kept"] < 0.01, "Xavier's weights keep it under ReLU as well"),
        (numbers["gap"] < 0.3, "theory and measurement are apart"),
    )


class Through(NamedTuple):
    """Mean squares in each layer, over DRAWS networks: of pre-activations, by theory, and of activations."""

    measured: np.ndarray
    theory: np.ndarray
    squares: np.ndarray


def _through(t: Training, net: Net) -> Through:
    return _signals(net.activation, net.init, net.init_scale, t.seed)


@once(64)
def _signals(activation: str, init: str, scale: float | None, seed: int) -> Through:
    seeds = [(seed + i) % 2**32 for i in range(DRAWS)]
    x = [np.random.default_rng([one, 7]).standard_normal((64, 256)) for one in seeds]
    draws = [
        signal(activation=activation, init=init, init_scale=scale, depth=DEPTH, x=inputs, seed=one)
        for inputs, one in zip(x, seeds, strict=True)
    ]
    pre = np.mean([one.pre_mean**2 + one.pre_deviation**2 for one in draws], axis=0)
    after = np.mean([one.mean**2 + one.deviation**2 for one in draws], axis=0)
    return Through(pre, np.mean([one.pre_variance for one in draws], axis=0), after)


@claim(
    "C4",
    title="ReLU does not saturate, but its units can die",
    says="ReLU is the usual first choice of activation (“use ReLU, be careful with your learning rates”, CS231n). It "
    "does not saturate, but its units can die: one that is never positive gets no gradient any more.",
    condition="Of the positive side: there the slope is 1 however large the sum, while half of all sums lie on the "
    "negative side, where it is 0. A unit dies when its sum is negative at every example, which large rates and "
    "unlucky initial weights bring about. Deep sigmoid networks stop learning even where they are not saturated, "
    "because the slope is ¼ at most and every layer multiplies with it.",
    watch="The sigmoid network's loss stays where it began; in the view *layers* count the dead units of ReLU.",
    sources=(
        CS231N,
        GLOROT,
        Source("Nair & Hinton", 2010, "Rectified Linear Units Improve Restricted Boltzmann Machines"),
    ),
    after="end",
    training=Training(
        Pick("wine"),
        _runs(
            (Net(hidden=(16,) * 5), "sgd", {"lr": 0.4}),
            (Net(hidden=(16,) * 5, activation="tanh", init="xavier_normal"), "sgd", {"lr": 0.3}),
            (Net(hidden=(16,) * 5, activation="sigmoid", init="xavier_normal"), "sgd", {"lr": 0.3}),
        ),
        epochs=20,
        batch_size=16,
        view="layers",
    ),
    fits=_classes,
)
def saturation(t: Training, relu: Entrant, tanh: Entrant, sigmoid: Entrant) -> Measured | None:
    if len({one.net.hidden for one in (relu, tanh, sigmoid)}) > 1 or not relu.net.hidden:
        return None
    relu_slope, relu_ten = _slopes(relu)
    sigmoid_slope, sigmoid_ten = _slopes(sigmoid)
    layers, start = relu.history.layers, sigmoid.history.layers.gradient_deviation[0]
    numbers = {
        "units": relu.network.units,
        "dead_start": layers.dead[0].sum(),
        "dead": layers.dead[-1].sum(),
        "relu_slope": relu_slope,
        "relu_ten": relu_ten,
        "sigmoid_slope": sigmoid_slope,
        "sigmoid_ten": sigmoid_ten,
        "tanh_saturated": tanh.history.layers.saturated[-1, :-1].mean(),
        "sigmoid_saturated": sigmoid.history.layers.saturated[-1, :-1].mean(),
        "depth": len(relu.net.hidden),
        "relu": np.median(relu.history.train_accuracy[:, -1]),
        "sigmoid": np.median(sigmoid.history.train_accuracy[:, -1]),
        "vanished": start[0] / start[-1],
    }
    return judged(
        numbers,
        "After this run {dead} of the {units} hidden ReLU units are dead; at the start it was {dead_start}. ReLU's "
        "mean slope is {relu_slope}, and with all sums ten times as large {relu_ten}; sigmoid's, as a share of its "
        "largest, falls from {sigmoid_slope} to {sigmoid_ten}. Saturated, with less than a twentieth of the largest "
        "slope, are {tanh_saturated:%} of the tanh and {sigmoid_saturated:%} of the sigmoid values. With {depth} "
        "hidden layers ReLU answers {relu:%} of the training examples and sigmoid {sigmoid:%}, whose first layer had "
        "{vanished} times the gradient of its last one at the start.",
        (relu_ten > 0.9 * relu_slope, "ReLU's slope depends on the size of the sums"),
        (sigmoid_ten < 0.5 * sigmoid_slope, "sigmoid does not saturate even at ten times its sums"),
        (numbers["dead"] > numbers["dead_start"], "no ReLU unit has died in this run"),
        (numbers["relu"] > numbers["sigmoid"] + 0.2, "the sigmoid network learns as well at this depth"),
    )


def _slopes(one: Entrant) -> tuple[float, float]:
    """The mean slope of the hidden activations as a share of the steepest: at their sums, and at ten times these."""
    act = ACTIVATIONS[one.network.activation]
    _, passes = one.passes(one.thetas[0], _probe(one.training))
    sums = np.concatenate([each.z.ravel() for each in passes[:-1]])
    at_them, further = (float(np.abs(act.slope(times * sums)).mean() / act.steepest) for times in (1, 10))
    return at_them, further


NUDGE, NUDGES = 0.01, 64


@claim(
    "C5",
    title="Centred, scaled inputs forgive small changes",
    says="With inputs of mean 0 and deviation 1, the loss is less sensitive to small changes of the weights and easier "
    "to optimize.",
    condition="Where the raw columns are far from zero compared with their spread, or of very different size. It is "
    "the same function in both cases: a change of scale moves into the first layer's weights, so what differs is not "
    "what the network can do but how carefully it must be steered.",
    watch="Switch *standardize* off (under *Split, seeds*) and train again: the loss hardly falls, or jumps.",
    sources=(CS231N, EFFICIENT),
    after="step",
    training=Training(
        Pick("breast_cancer"),
        _runs((Net(hidden=(16,)), "sgd", {"lr": 0.1})),
        epochs=10,
    ),
)
def sensitivity(t: Training, first: Entrant) -> Measured:
    raw, scaled = (replace(t, standardize=flag).parts.train.x[:PROBE] for flag in (False, True))
    full = replace(t, standardize=False).parts.train.x
    deviation = np.where(np.ptp(full, axis=0) > 0, full.std(axis=0), 1.0)
    mean = full.mean(axis=0)
    layers, table = first.network.unravel(first.thetas[0]), _probe(t)
    weight, bias = layers[0].weight, layers[0].bias
    # The same function on the other inputs: w·(x − μ)/s + b = (w/s)·x + (b − μ·w/s)
    if t.standardize:
        on_scaled = weight, bias
        on_raw = weight / deviation[:, None], bias - mean @ (weight / deviation[:, None])
    else:
        on_raw = weight, bias
        on_scaled = weight * deviation[:, None], bias + mean @ weight
    rng = np.random.default_rng([t.seed, 5])
    chances = [(rng.standard_normal(weight.shape), rng.standard_normal(bias.shape)) for _ in range(NUDGES)]

    def loss(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> float:
        nudged = [layers[0]._replace(weight=w, bias=b), *layers[1:]]
        factors = measuring_factors(first.network, first.net.rates, first.net.dropout_form == "inverted")
        output, _ = forward(first.network, nudged, x, factors=factors)
        return float(data_loss(first.network, output, targets(table), delta=first.net.delta))

    def change(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> float:
        moved = [loss(x, w * (1 + NUDGE * dw), b * (1 + NUDGE * db)) - loss(x, w, b) for dw, db in chances]
        return float(np.sqrt(np.mean(np.square(moved))))

    numbers = {
        "loss": loss(scaled, *on_scaled),
        "same": abs(loss(scaled, *on_scaled) - loss(raw, *on_raw)),
        "scaled": change(scaled, *on_scaled),
        "raw": change(raw, *on_raw),
        "top_scaled": _largest_square(scaled),
        "top_raw": _largest_square(raw),
        "nudge": NUDGE,
    }
    numbers["times"] = numbers["raw"] / numbers["scaled"]
    return judged(
        numbers,
        "This network as a function of standardized inputs and of raw ones is the same, with loss {loss} (they differ "
        "by {same}). When every weight and bias of its first layer changes by about {nudge:%} of itself, the loss "
        "changes by {scaled} on standardized inputs and by {raw} on raw ones, {times} times as much. The curvature "
        "that the inputs bring, the largest eigenvalue of their second moments, is {top_scaled} against {top_raw}.",
        (numbers["same"] <= 1e-6 * max(1.0, numbers["loss"]), "the two networks are not the same function"),
        (numbers["times"] > 1.5, "the raw inputs are centred and of one size already, or the run has diverged"),
    )


def _largest_square(x: np.ndarray) -> float:
    """The largest eigenvalue of the second moments of the inputs and the bias's 1."""
    ones = np.column_stack([x, np.ones(len(x))])
    return float(np.linalg.eigvalsh(ones.T @ ones / len(x))[-1])


# Training ------------------------------------------------------------------------------------------------------------

RATES = 0.05 * 2.0 ** np.arange(10)
SIGHT = 60  # steps after which a rate has shown whether training holds it


@claim(
    "C6",
    title="Batch normalization bears larger steps",
    says="Batch normalization gives every channel mean 0 and variance 1 over the batch, so that training bears a "
    "larger learning rate. It uses the batch's statistics in training and the population's when measuring.",
    condition="With batches that are not too small; the largest usable rate is that of this network, these data and "
    "this optimizer. It need not make the best result better, and at small rates it may be the slower one.",
    watch="At the same large rate the plain network does not learn, and the normalized one does.",
    sources=(
        Source("Ioffe & Szegedy", 2015, "Batch Normalization", "https://arxiv.org/abs/1502.03167"),
        Source("Bjorck et al.", 2018, "Understanding Batch Normalization", "https://arxiv.org/abs/1806.02375"),
    ),
    after="step",
    training=Training(
        Pick("wine"),
        _runs(
            (Net(hidden=(16, 16, 16)), "sgd", {"lr": 1.6}),
            (Net(hidden=(16, 16, 16), normalization="batch"), "sgd", {"lr": 1.6}),
        ),
        epochs=20,
        seeds=3,
    ),
    fits=_validated,
)
def normalized(t: Training, unnormalized: Entrant, batch: Entrant) -> Measured | None:
    if not _alike(unnormalized, batch) or not batch.net.hidden or batch.affordable < 10 * SIGHT:
        return None
    theta, x = batch.thetas[0], t.parts.validation.x
    draw = batch.problem.draw(t.seed, batch.progress.step, 1)
    layers = batch.network.unravel(theta)
    _, passes = forward(batch.network, layers, draw["x"][0], share=draw["share"][0])
    weight = (draw["share"][0] / draw["share"][0].sum())[:, None]
    means = [(one.normal * weight).sum(axis=0) for one in passes[:-1]]
    variances = [(one.normal**2 * weight).sum(axis=0) for one in passes[:-1]]
    alone, together = (predict(t, batch.index, theta, rows) for rows in (x[:1], x))
    own = forward(batch.network, layers, x)[0]
    numbers = {
        "mean": np.abs(np.concatenate(means)).max(),
        "variance": np.median(np.concatenate(variances)),
        "alone": _apart(alone, together[:1]),
        "companions": _apart(together, own),
        "limit": _largest_stable(unnormalized),
        "limit_batch": _largest_stable(batch),
        "sight": SIGHT,
        "seeds": t.seeds,
    }
    return judged(
        numbers,
        "Of the rates 0.05, 0.1, 0.2, … the largest with which the batch loss fell below half within {sight} steps, "
        "under all of {seeds} seeds, is {limit} without batch normalization and {limit_batch} with it. On this batch "
        "the largest mean of a normalized channel is {mean}, and their median variance {variance}. When measuring, an "
        "example's outputs depend on its companions by {alone}; by the batch's own statistics they would by up to "
        "{companions}.",
        (numbers["mean"] < 1e-6, "a channel's mean is not 0"),
        (abs(numbers["variance"] - 1) < 0.01, "the channels' variance is not 1: they hardly vary any more"),
        (numbers["alone"] < 1e-9 < numbers["companions"], "what is measured depends on its companions"),
        (numbers["limit"] > 0, "the plain network learns at none of these rates"),
        (numbers["limit_batch"] >= 2 * numbers["limit"], "it does not bear a rate twice as large"),
    )


def _largest_stable(one: Entrant) -> float:
    """The largest of RATES up to which training holds every rate; 0 if it holds none."""
    stable = 0.0
    for rate in RATES:
        loss = one.but(one.racer.but(lr=float(rate))).again(SIGHT).value
        if not (loss[:, -SIGHT // 4 :].mean(axis=1) < 0.5 * loss[:, 0]).all():
            break
        stable = float(rate)
    return stable


LOOKS_AT_MOST = 500


@claim(
    "C7",
    title="Full batch, mini-batch, single examples",
    says="A gradient of the full batch is exact and costs all examples; that of a mini-batch is noisy and cheap; a "
    "single example's is the noisiest and cheapest. Mini-batches reach the same loss with far fewer examples seen.",
    condition="At one learning rate that all of them bear. Then the number of *steps* is nearly the same, for the mean "
    "direction is, and what is saved is examples for each step. A larger batch bears a larger rate up to a point, and "
    "hardware does many examples at once, so time is another question. The noise's variance falls with the batch size, "
    "and faster than 1/B close to the full batch, because no example comes twice in an epoch.",
    watch="The batch loss jitters; set the batch size to 1 and to all examples, and compare steps and epochs.",
    sources=(
        Source(
            "Bottou, Curtis & Nocedal",
            2018,
            "Optimization Methods for Large-Scale Machine Learning",
            "https://arxiv.org/abs/1606.04838",
        ),
        Source(
            "McCandlish et al.", 2018, "An Empirical Model of Large-Batch Training", "https://arxiv.org/abs/1812.06162"
        ),
    ),
    after="step",
    training=Training(
        Pick("moons", {"noise": 0.2}),
        _runs((Net(hidden=(16,)), "sgd", {"lr": 0.1})),
        batch_size=16,
        epochs=30,
        curves=("loss", "accuracy", "noise"),
    ),
    fits=lambda t: _bare(t) and 1 < t.size < len(t.parts.train.y),
)
def batch_sizes(t: Training, first: Entrant) -> Measured:
    examples = len(t.parts.train.y)
    theta = first.thetas[0]
    one, size = _single_noise(first, theta)
    expected = one * math.sqrt((examples - t.size) / (t.size * (examples - 1)))
    start = first.loss(first.starts[0], t.parts.train)
    numbers: dict[str, float] = {
        "examples": examples,
        "batch": t.size,
        "noise_one": one / size,
        "noise": _batch_noise(first, theta) / size,
        "expected": expected / size,
        "start": start,
        "goal": start / 2,
    }
    for name, batch in (("one", 1), ("own", t.size), ("full", 0)):
        taken = _steps_to(first, batch, start / 2)
        numbers |= {f"steps_{name}": taken, f"seen_{name}": taken * (batch or examples)}
    least = min(numbers["steps_own"], numbers["steps_full"])
    return judged(
        numbers,
        "At these weights the noise of a single example's gradient is {noise_one} times the length of the full "
        "gradient, that of a batch of {batch} {noise} times ({expected} expected from the single ones), that of all "
        "{examples} zero. From the same start and at the same rate, the training loss fell from {start} to {goal} in "
        "{steps_full:steps} of the full batch ({seen_full} examples seen), {steps_own:steps} of {batch} "
        "({seen_own} examples), and {steps_one:steps} of one ({seen_one} examples).",
        (math.isfinite(least), "neither the full batch nor the mini-batch gets there"),
        (0.5 < numbers["noise"] / numbers["expected"] < 2, "the noise is not what the single examples say"),
        (numbers["noise"] < numbers["noise_one"], "a batch is no less noisy than one example"),
        (2 * numbers["seen_own"] < numbers["seen_full"], "the mini-batch saves no examples"),
        (numbers["seen_one"] < numbers["seen_full"], "single examples save none"),
        longest=LOOKS_AT_MOST,
    )


def _bare(t: Training) -> bool:
    """Whether the gradient of the first network has no other noise than the batch's, and is quick to take."""
    net, network = t.configurations[0].net, t.networks[0]
    noiseless = net.normalization == "none" and not any(net.rates) and net.input_noise == 0
    return noiseless and network.size * len(t.parts.train.y) <= 1e6


def _single_noise(one: Entrant, theta: np.ndarray) -> tuple[float, float]:
    """The root of the trace of the covariance of one example's gradient, and the length of their mean."""
    table = one.training.parts.train
    layers, passes = one.passes(theta, table)
    grads, errors = _gradient(one, layers, passes, targets(table))
    # An example's gradient is an outer product in each layer, so its length needs no matrix.
    lengths = [((each.inputs**2).sum(axis=1) + 1) * (e**2).sum(axis=1) for each, e in zip(passes, errors, strict=True)]
    square = float(one.network.ravel(grads) @ one.network.ravel(grads))
    single = float(np.sum(lengths, axis=0).mean()) * len(table.y) ** 2  # the errors were divided by the examples
    return math.sqrt(max(0.0, single - square)), math.sqrt(square)


def _batch_noise(one: Entrant, theta: np.ndarray) -> float:
    """The root mean square distance of the gradients of this run's next batches, 128 whole ones at most, from that of
    all examples."""
    t, table = one.training, one.training.parts.train
    layers, passes = one.passes(theta, table)
    mean = one.network.ravel(_gradient(one, layers, passes, targets(table))[0])
    draws = one.problem.draw(t.seed, one.progress.step, 160)
    squares = []
    for x, target, share in zip(draws["x"], draws["target"], draws["share"], strict=True):
        if share.all() and len(squares) < 128:
            _, own = forward(one.network, layers, x)
            gradient = one.network.ravel(_gradient(one, layers, own, target)[0])
            squares.append(float(np.sum((gradient - mean) ** 2)))
    return math.sqrt(np.mean(squares)) if squares else math.nan


def _gradient(one: Entrant, layers: list[Layer], passes: list[Pass], target: np.ndarray) -> tuple[list[Layer], list]:
    """The gradient of the mean loss, without penalties, and the errors of each layer."""
    net = one.net
    return backward(one.network, layers, passes, target, smoothing=net.label_smoothing, delta=net.delta)


def _steps_to(one: Entrant, batch: int, goal: float) -> float:
    """Steps of so many examples until the training loss is at most the goal; ∞ after LOOKS_AT_MOST."""
    t = replace(one.training, batch_size=batch, seeds=1)
    there = replace(one, training=t)
    problem, rule = there.problem, there.racer.rule
    state = begin_together(problem, rule, there.starts)
    for step in range(1, LOOKS_AT_MOST + 1):
        one.heard()
        state = descend_together(problem, rule, 1, there.seeds, state, horizon=LOOKS_AT_MOST).state
        loss = there.loss(state.theta[0], t.parts.train)
        if not loss > goal:
            return float(step) if math.isfinite(loss) else math.inf
    return math.inf


@claim(
    "C8",
    title="Overfitting, early stopping, a remedy",
    says="A network that is trained for long keeps lowering its training loss while its validation loss rises again. "
    "Remedies are to stop where the validation loss is lowest, more data, a smaller network, L2, dropout.",
    condition="For a network large enough to learn its few, noisy examples by heart. It is the loss that rises: the "
    "accuracy may hardly fall, since the answers stay and only grow too sure. With enough data, or a network small "
    "enough, nothing rises.",
    watch="The validation loss of the run without a penalty turns upwards at the star, while its dotted training loss "
    "goes on falling; the run with an L2 penalty stays level.",
    sources=(
        Source("Prechelt", 1998, "Early Stopping – But When?", "https://doi.org/10.1007/3-540-49430-8_3"),
        Source("Goodfellow, Bengio & Courville", 2016, "Deep Learning, chapter 7", "https://www.deeplearningbook.org"),
    ),
    after="end",
    training=Training(
        Pick("moons", {"noise": 0.3, "samples": 100}),
        _runs(
            (Net(hidden=(32, 32)), "adam", {"lr": 0.01}),
            (Net(hidden=(32, 32), l2=0.02), "adam", {"lr": 0.01}),
        ),
        epochs=150,
        seeds=8,
        validation=0.4,
        curves=("loss", "accuracy", "gap"),
    ),
    fits=_validated,
)
def overfitting(t: Training, plain: Entrant, remedied: Entrant) -> Measured | None:
    if not _alike(plain, remedied):
        return None
    history = plain.history
    train, validation = (np.median(part, axis=0) for part in (history.train_loss, history.validation_loss))
    best = int(np.argmin(np.where(np.isfinite(validation), validation, math.inf)))
    ends = history.validation_loss[:, -1]
    numbers = {
        "seeds": t.seeds,
        "stop": history.moments[best],
        "train_stop": train[best],
        "train_end": train[-1],
        "validation_stop": validation[best],
        "validation_end": validation[-1],
        "quarter": np.quantile(ends, 0.25),
        "three_quarters": np.quantile(ends, 0.75),
        "gap": validation[-1] - train[-1],
        "remedied": np.median(remedied.history.validation_loss[:, -1]),
        "remedied_gap": np.median(remedied.history.validation_loss[:, -1] - remedied.history.train_loss[:, -1]),
    }
    return judged(
        numbers,
        "Median of {seeds} seeds: the validation loss was lowest, {validation_stop}, after {stop:steps}, where early "
        "stopping ends the run. From there the training loss went from {train_stop} to {train_end}, the validation "
        "loss to {validation_end} (quartiles {quarter} and {three_quarters}), a gap of {gap}. With the remedy it ended "
        "at {remedied}, with a gap of {remedied_gap}.",
        (numbers["validation_end"] > 1.1 * numbers["validation_stop"], "the validation loss has not risen again"),
        (numbers["train_end"] < numbers["train_stop"], "the training loss has not fallen any further"),
        (numbers["remedied"] < numbers["validation_end"], "the remedy has not helped"),
    )


NEAR_ZERO = 0.01
CLEAR = 1e-3  # of a weight whose pull can be told from rounding


@claim(
    "C10",
    title="L1 makes weights sparse, L2 small; AdamW decouples",
    says="An L1 penalty makes most weights zero, an L2 penalty makes all of them small. AdamW takes the decay out of "
    "the gradient, so that every weight decays at the same relative pace.",
    condition="L1 by plain gradient steps leaves weights that jump around zero by about η·λ₁, not exact zeros. Under "
    "Adam an L2 penalty is divided by the size of each weight's gradients like everything else in the gradient: "
    "weights with large gradients are decayed less.",
    watch="In the view *layers*, *weights*: a spike at zero for L1, a narrow hill for L2.",
    sources=(
        Source("Tibshirani", 1996, "Regression Shrinkage and Selection via the Lasso"),
        Source(
            "Loshchilov & Hutter", 2019, "Decoupled Weight Decay Regularization", "https://arxiv.org/abs/1711.05101"
        ),
    ),
    after="end",
    training=Training(
        Pick("breast_cancer"),
        _runs(
            (Net(hidden=(16,), l1=0.005), "sgd", {"lr": 0.1}),
            (Net(hidden=(16,), l2=0.02), "sgd", {"lr": 0.1}),
            (Net(hidden=(16,), l2=0.02), "adam", {"lr": 0.005}),
            (Net(hidden=(16,)), "adamw", {"lr": 0.005, "weight_decay": 0.02}),
        ),
        epochs=40,
        view="layers",
        quantity="weights",
    ),
)
def penalties(t: Training, l1: Entrant, l2: Entrant, adam_l2: Entrant, adamw: Entrant) -> Measured | None:
    steps = l2.progress.step
    if not 0 < steps <= l2.affordable or not _alike(l1, l2):
        return None
    free = replace(l2.but(l2=0.0), progress=l2.progress).again(steps).state.theta[0]
    sparse, small, plain = _weights(l1, l1.thetas[0]), _weights(l2, l2.thetas[0]), _weights(l2, free)
    coupled, decoupled = _pull(adam_l2), _pull(adamw)
    numbers = {
        "near": NEAR_ZERO,
        "sparse_l1": (np.abs(sparse) < NEAR_ZERO).mean(),
        "sparse_l2": (np.abs(small) < NEAR_ZERO).mean(),
        "sparse_none": (np.abs(plain) < NEAR_ZERO).mean(),
        "norm_l1": np.linalg.norm(sparse),
        "norm_l2": np.linalg.norm(small),
        "norm_none": np.linalg.norm(plain),
        "coupled_low": np.quantile(coupled, 0.1),
        "coupled_high": np.quantile(coupled, 0.9),
        "decoupled_low": np.quantile(decoupled, 0.1),
        "decoupled_high": np.quantile(decoupled, 0.9),
    }
    return judged(
        numbers,
        "Weights within {near} of zero: {sparse_l1:%} with L1, {sparse_l2:%} with L2, {sparse_none:%} with neither; "
        "lengths of all weights {norm_l1}, {norm_l2} and {norm_none}. In the next step AdamW's decay takes from "
        "{decoupled_low} to {decoupled_high} times η·λ of each weight (the middle four fifths of all), Adam's with L2 "
        "from {coupled_low} to {coupled_high} times.",
        (numbers["sparse_l1"] > 2 * max(numbers["sparse_l2"], numbers["sparse_none"]), "L1 has not made it sparse"),
        (numbers["norm_l2"] < 0.9 * numbers["norm_none"], "L2 has not made the weights smaller"),
        (abs(decoupled - 1).max(initial=0) < 1e-6, "AdamW's decay is not the same for all weights"),
        (numbers["coupled_high"] > 2 * numbers["coupled_low"], "Adam's decay is the same for all weights"),
    )


def _weights(one: Entrant, theta: np.ndarray) -> np.ndarray:
    return np.concatenate([layer.weight.ravel() for layer in one.network.unravel(theta)])


def _pull(one: Entrant) -> np.ndarray:
    """How much of each clear weight the decay takes in the next step, as a multiple of η·λ."""
    decay = float(one.racer.values["weight_decay"]) if one.racer.optimizer.key == "adamw" else one.net.l2
    free = one.but(one.racer.but(weight_decay=0.0)) if one.racer.optimizer.key == "adamw" else one.but(l2=0.0)
    state = one.progress.states[one.index]
    ends = []
    for each in (one, free):
        now = descend_together(each.problem, each.racer.rule, 1, each.seeds, state, horizon=each.training.steps)
        ends.append((_weights(each, now.state.theta[0]), float(now.lr[0, 0])))
    (held, lr), (released, _) = ends
    before = _weights(one, state.theta[0])
    clear = np.abs(before) > CLEAR
    pull = ((released - held) / (lr * decay * before))[clear]
    return pull if pull.size else np.array([math.nan])


MASKS = 2000


@claim(
    "C11",
    title="Dropout and its scale at test time",
    says="Dropout trains a random sub-network at each step. When measuring, nothing is dropped: either the activations "
    "are multiplied by the keep probability (classic), or they are divided by it in training (inverted). Both forms "
    "make the expected input of the next layer the same as in training.",
    condition="The expectation is exact for the sums of the next layer, which are linear in the mask; beyond the next "
    "activation it is an approximation, though a good one. Without the scale, every sum is too large by one over the "
    "keep probability.",
    watch="In the view *network* other units are dropped at each step; the two curves with dropout lie close together.",
    sources=(Source("Srivastava et al.", 2014, "Dropout", "https://jmlr.org/papers/v15/srivastava14a.html"),),
    after="step",
    training=Training(
        Pick("moons", {"noise": 0.2}),
        _runs(
            (Net(hidden=(32,), dropout=0.5), "sgd", {"lr": 0.1, "momentum": 0.9}),
            (Net(hidden=(32,), dropout=0.5, dropout_form="classic"), "sgd", {"lr": 0.1, "momentum": 0.9}),
            (Net(hidden=(32,)), "sgd", {"lr": 0.1, "momentum": 0.9}),
        ),
        epochs=40,
        view="network",
    ),
)
def dropped(t: Training, inverted: Entrant, classic: Entrant) -> Measured | None:
    if not (inverted.net.rates[0] and classic.net.rates[0]):
        return None
    numbers: dict[str, float] = {"masks": MASKS, "keep": 1 - inverted.net.rates[0]}
    for name, one in (("inverted", inverted), ("classic", classic)):
        kept, apart, unscaled = _expectation(one)
        numbers |= {f"kept_{name}": kept, f"apart_{name}": apart, f"unscaled_{name}": unscaled}
    part = t.parts.validation if _validated(t) else t.parts.train
    numbers["loss"] = classic.loss(classic.thetas[0], part)
    # An inverted network divides in training, so measured as one the classic weights miss their factor.
    numbers["loss_unscaled"] = classic.but(dropout_form="inverted").loss(classic.thetas[0], part)
    return judged(
        numbers,
        "The run's own masks keep {kept_inverted:%} of the first hidden layer's units in the inverted form and "
        "{kept_classic:%} in the classic one; the keep probability is {keep:%}. Over {masks} masks, the mean of the "
        "next layer's sums differs from what the measured network computes by {apart_inverted} standard errors (root "
        "mean square) inverted, where no scale is due, and by {apart_classic} classic, where without the scale it "
        "would be {unscaled_classic}. The classic network's loss is {loss} with its scale and {loss_unscaled} without.",
        (abs(numbers["kept_inverted"] - numbers["keep"]) < 5 / math.sqrt(MASKS), "another share of units is kept"),
        (max(numbers["apart_inverted"], numbers["apart_classic"]) < 3, "the expectation differs"),
        (numbers["unscaled_classic"] > 3, "the scale makes no difference"),
    )


def _expectation(one: Entrant) -> tuple[float, float, float]:
    """The share of the first layer's units that MASKS masks keep, and how far the mean of the next layer's sums over
    them is from that of the measured network, in standard errors, with the measuring scale and without it."""
    t, width = one.training, one.network.widths[1]
    steps = -(-MASKS // t.size)
    kept = one.problem.draw(t.seed, 0, steps)["kept"].reshape(-1, one.network.units)[:MASKS, :width]
    rate = one.net.rates[0]
    scale = 1 / (1 - rate) if one.net.dropout_form == "inverted" else 1.0
    layers, passes = one.passes(one.thetas[0], _probe(t).take(np.arange(min(8, len(_probe(t).y)))))
    a, weight = passes[0].a, layers[1].weight
    sums = np.einsum("mu,nu,uk->mnk", kept * scale, a, weight, optimize=True)
    mean, error = sums.mean(axis=0), sums.std(axis=0) / math.sqrt(len(kept))
    measured = (a * passes[0].factor) @ weight
    varies = error > 1e-12 * np.abs(measured).max(initial=0)

    def away(value: np.ndarray) -> float:
        return float(np.sqrt(np.mean(((mean - value) / error)[varies] ** 2))) if varies.any() else math.nan

    return float(kept.mean()), away(measured), away(a @ weight)


TIMES = (0.0, 1.0, 2.0)
REPEATS = 8


@claim(
    "C13",
    title="Robust through perturbation",
    says="A network that is trained on perturbed inputs, noisy ones or shifted and turned pictures, stands such "
    "perturbations better when it is used.",
    condition="Against the kind and size of perturbation that it was trained with. On clean inputs it may be no "
    "better, and far too much noise hides what there is to learn.",
    watch="Both runs answer clean digits alike; the sentence says what noise in the test does to each.",
    sources=(
        Source("Bishop", 1995, "Training with Noise is Equivalent to Tikhonov Regularization"),
        Source("Simard, Steinkraus & Platt", 2003, "Best Practices for Convolutional Neural Networks"),
    ),
    after="end",
    training=Training(
        Pick("digits"),
        _runs(
            (Net(hidden=(32,)), "adam", {"lr": 0.005}),
            (Net(hidden=(32,), input_noise=1.0), "adam", {"lr": 0.005}),
        ),
        epochs=10,
    ),
    fits=lambda t: _classes(t) and (len(t.parts.test.y) > 0),
)
def robust(t: Training, plain: Entrant, noisy: Entrant) -> Measured | None:
    if not _alike(plain, noisy):
        return None
    test, sigma = t.parts.test, noisy.net.input_noise
    numbers: dict[str, float] = {"sigma": sigma, "double": 2 * sigma, "examples": len(test.y)}
    for name, one in (("plain", plain), ("noisy", noisy)):
        for times, when in zip(TIMES, ("clean", "", "twice"), strict=True):
            numbers[f"{name}_{when}".rstrip("_")] = _under_noise(one, times * sigma)
    facts = (
        "Of {examples} test examples the plain network answers {plain_clean:%}, the one trained with noise of σ = "
        "{sigma} {noisy_clean:%}. With noise of {sigma} on the test inputs it is {plain:%} against {noisy:%}, with "
        "{double} {plain_twice:%} against {noisy_twice:%}."
    )
    moved = _under_shifts(plain)
    if moved is not None:
        numbers |= dict(zip(("shifted", "augmented"), moved, strict=True))
        facts += (
            " On test pictures that were moved by up to a pixel and turned by up to 10°, {shifted:%} are answered by "
            "the plain network, and {augmented:%} by one that took as many steps on pictures moved and turned so."
        )
    return judged(
        numbers,
        facts,
        (numbers["noisy"] > numbers["plain"], "training with noise has not helped against it"),
        (moved is None or moved[1] > moved[0], "augmented pictures have not helped"),
    )


def _under_noise(one: Entrant, sigma: float) -> float:
    """The mean accuracy on test inputs with noise, over REPEATS draws of it, of the first seed's network."""
    test, rng = one.training.parts.test, np.random.default_rng([one.training.seed, 6])
    draws = [test._replace(x=test.x + sigma * rng.standard_normal(test.x.shape)) for _ in range(REPEATS)]
    return float(np.mean([one.accuracy(one.thetas[0], table) for table in draws]))


def _under_shifts(one: Entrant) -> tuple[float, float] | None:
    """The accuracy on altered test pictures of this network and of one trained on altered pictures; None if there are
    no pictures, if this training alters them itself, or if another run would take too long."""
    t, steps = one.training, one.progress.step
    if t.image is None or t.copies or steps > one.affordable:
        return None
    # A third of the epochs, as there are three times as many pictures
    with_copies = replace(t, copies=2, shift=1.0, angle=10.0, seeds=1, epochs=max(1, round(t.epochs / 3)))
    other = replace(one, training=with_copies)
    theta = other.again(steps).state.theta[0]
    raw = replace(t, standardize=False).parts
    altered = augmented(raw.test, t.image, shift=1.0, angle=10.0, copies=1, seed=t.seed)
    altered = altered.take(np.arange(len(raw.test.y), 2 * len(raw.test.y)))
    without, with_them = (
        each.accuracy(weights, altered._replace(x=_as_trained(each.training, altered.x)))
        for each, weights in ((one, one.thetas[0]), (other, theta))
    )
    return without, with_them


def _as_trained(t: Training, x: np.ndarray) -> np.ndarray:
    """Raw inputs, scaled as the training's own are."""
    if not t.standardize:
        return x
    known = replace(t, standardize=False).parts.train.x
    deviation = known.std(axis=0)
    return (x - known.mean(axis=0)) / np.where((np.ptp(known, axis=0) > 0) & (deviation > 0), deviation, 1.0)


GOAL = 0.9


@claim(
    "A16",
    title="More rules, on a network",
    says="Many more rules are in real use: AdamW, Nadam, Lion, RAdam, AdaBelief and others train a network by the same "
    "loop, with the same controls.",
    condition="Each with a rate that suits it: Lion's is several times smaller than Adam's, because each of its steps "
    "has full length. Which arrives first depends on the rates, so that the order proves nothing.",
    watch="The accuracy of all four; change one's rate and see the order change.",
    sources=(
        Source(
            "Schmidt, Schneider & Hennig",
            2021,
            "Descending through a Crowded Valley",
            "https://arxiv.org/abs/2007.01547",
        ),
    ),
    after="end",
    training=Training(
        Pick("wine"),
        _runs(
            (Net(hidden=(16,)), "adamw", {"lr": 0.01}),
            (Net(hidden=(16,)), "nadam", {"lr": 0.01}),
            (Net(hidden=(16,)), "lion", {"lr": 0.002}),
            (Net(hidden=(16,)), "optax_radam", {"lr": 0.03}),
        ),
        epochs=20,
    ),
    fits=lambda t: _classes(t) and _validated(t) and len(t.configurations) > 1,
)
def more_rules(t: Training, first: Entrant) -> Measured:
    numbers: dict[str, float] = {"goal": GOAL}
    parts = []
    for index, one in enumerate(t.configurations, start=1):
        history = first.progress.histories[index - 1]
        accuracy = np.median(history.validation_accuracy, axis=0)
        there = np.flatnonzero(accuracy >= GOAL)
        numbers[f"steps_{index}"] = float(history.moments[there[0]]) if there.size else math.inf
        numbers[f"end_{index}"] = accuracy[-1]
        title = OPTIMIZERS[one.racer.optimizer.key].title
        parts.append(
            f"{title} (η = {number(float(one.racer.values['lr']))}) {{steps_{index}:steps}}, {{end_{index}:%}}"
        )
    arrived = sum(math.isfinite(numbers[f"steps_{i}"]) for i in range(1, len(t.configurations) + 1))
    numbers |= {"arrived": arrived, "runs": len(t.configurations)}
    return judged(
        numbers,
        "{arrived} of {runs} runs reached {goal:%} validation accuracy. The moment at which that was first measured, "
        f"and the accuracy at the end: {'; '.join(parts)}.",
        (arrived == len(t.configurations), "not all arrive"),
        longest=first.progress.step,
    )
