"""Training is a value: a data set, and up to six networks with their optimizers, trained on it side by side.

A `Training` is to the training laboratory what an `Experiment` is to a race: hashable, checked when it is made, and
everything a screen shows follows from it. `begin` gives the progress before the first step and `advance` takes it
further. Both are pure, so a run may be cut into pieces of any length: weights, data order and what is measured stay
the same. `train` is all of it in one line, for a notebook.

Every configuration sees the same batches in the same order. With several seeds, each configuration is trained under
all of them at once: seed number i of a training that has seed s draws its weights, its order of the examples and its
dropout from s + i, on the same split of the data.

What is kept is bounded, whatever the length of the run: three numbers of each step, and at most MOMENTS measured
moments. A moment comes every so many steps; when there would be too many, every other one is forgotten and the
distance doubles. Measuring is NumPy's work and compiles nothing.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import erf

from optviz.datasets import (
    ANGLE,
    COPIES,
    DATASETS,
    SHIFT,
    TEST,
    VALIDATION,
    Split,
    Table,
    augmented,
    split,
    standardized,
)
from optviz.descent import State, Trajectory, begin_together, descend_together
from optviz.experiment import SEED, Pick, Racer
from optviz.limits import CAPACITY, LIMITS
from optviz.networks import (
    ACTIVATIONS,
    FORMS,
    INITS,
    LOSSES,
    NORMALIZATIONS,
    Network,
    backward,
    data_loss,
    forward,
    hidden_widths,
    measuring_factors,
    training_factors,
)
from optviz.once import once
from optviz.problems import Problem, from_network
from optviz.spec import Param

CONFIGURATIONS_AT_MOST = CAPACITY.configurations
MOMENTS, PLANNED = 200, 100  # measured moments that are kept at most, and those of a run as long as planned
# Parameters × examples seen × seeds, over all configurations: about ten minutes of one core.
WORK_AT_MOST = CAPACITY.training_work
NUMBERS_AT_MOST = CAPACITY.parameters  # × seeds, over all configurations; 32 MB for each slot of an optimizer
STEPS_AT_MOST = CAPACITY.training_steps  # steps × seeds × configurations: 16 MB of batch losses
ACTIVATIONS_AT_MOST = CAPACITY.activations  # examples of a batch × units and inputs × seeds: 160 MB, a few times over
BEGUN_KEPT = 32_000_000  # bytes of trainings before their first step, for all visitors
NEWTON_AT_MOST = 500  # parameters: its Hessian has their square
PROBE = 256  # training examples at which layers are looked at
BATCHES = 8  # from which the gradient noise scale is estimated
SNAPSHOTS = 500_000  # numbers of all kept snapshots of θ together: 4 MB
TOGETHER = 1_000_000  # outputs of one layer at which several seeds are measured at once: 8 MB


def _choice(name: str, options: Sequence[str], default: str, help: str, title: str = "") -> Param:
    return Param(name, "", default, options=tuple(options), static=True, help=help, title=title)


# What a network is made of: changing one of these starts the run anew.
ACTIVATION = _choice("activation", tuple(ACTIVATIONS), "relu", "What every hidden unit does with its sum.")
INIT = _choice("init", tuple(INITS), "he_normal", "How the first weights are drawn.", "initialization")
INIT_SCALE = Param(
    "init_scale",
    "s",
    1.0,
    0.01,
    10.0,
    log=True,
    domain="[0, 1e6]",
    title="initial scale",
    help="Multiplies the initial weights; for normal and constant ones it is the deviation or value.",
)
NORMALIZATION = _choice("normalization", NORMALIZATIONS, "none", "Centres and scales what goes into each activation.")
LOSS = _choice("loss", tuple(LOSSES), "cross_entropy", "What training makes small.")
MAKE = {param.name: param for param in (ACTIVATION, INIT, INIT_SCALE, NORMALIZATION, LOSS)}

# What may be changed while a run goes on.
DROPOUT = Param("dropout", "p", 0.0, 0.0, 0.9, domain="[0, 1)", help="Share of hidden units dropped at each step.")
DROPOUT_FORM = Param(
    "dropout_form",
    "",
    "inverted",
    options=FORMS,
    static=True,
    title="form of dropout",
    help="Inverted divides by the keep probability in training; classic multiplies with it when measuring.",
)
INPUT_NOISE = Param(
    "input_noise",
    "σ",
    0.0,
    0.01,
    2.0,
    log=True,
    domain="[0, inf)",
    help="Deviation of the normal noise on each input in training.",
)
L1 = Param(
    "l1",
    "λ₁",
    0.0,
    1e-6,
    1.0,
    log=True,
    domain="[0, inf)",
    title="L1 penalty",
    help="Adds λ₁·Σ|w| over the weights, not the biases: small weights become zero.",
)
L2 = Param(
    "l2",
    "λ₂",
    0.0,
    1e-6,
    1.0,
    log=True,
    domain="[0, inf)",
    title="L2 penalty",
    help="Adds ½λ₂·Σw² over the weights, not the biases: weights stay small.",
)
LABEL_SMOOTHING = Param(
    "label_smoothing",
    "ε",
    0.0,
    0.0,
    0.5,
    domain="[0, 1]",
    help="Moves this share of each class target to all classes alike.",
)
CLIP = Param(
    "clip",
    "c",
    0.0,
    0.01,
    100.0,
    log=True,
    domain="[0, inf)",
    title="gradient clipping",
    help="A gradient longer than this is shortened to it; 0 is off. The record says at which steps it acted.",
)
BIAS_LR = Param(
    "bias_lr", "", 1.0, 0.0, 10.0, domain="[0, inf)", title="bias step", help="Multiplies the steps of biases."
)
DELTA = Param(
    "delta",
    "δ",
    1.0,
    0.01,
    10.0,
    log=True,
    domain="(0, inf)",
    title="Huber's δ",
    help="Errors up to δ count squared, larger ones linearly.",
)
TREAT = {param.name: param for param in (INPUT_NOISE, L1, L2, LABEL_SMOOTHING, CLIP, BIAS_LR, DELTA)}

BATCH_SIZE = Param(
    "batch_size",
    "B",
    32,
    1,
    512,
    log=True,
    domain="[0, 1000000]",
    static=True,
    help="Examples a step; 0 takes all of them.",
)
EPOCHS = Param(
    "epochs",
    "",
    50,
    1,
    min(1000, LIMITS.epochs),
    log=True,
    domain=f"[1, {CAPACITY.epochs}]",
    help="How often the run goes through all training examples. Schedules count with it.",
)
SEEDS = Param(
    "seeds",
    "",
    1,
    1,
    LIMITS.seeds,
    domain=f"[1, {CAPACITY.seeds}]",
    static=True,
    help="How many seeds are trained at once.",
)
DEPTH = Param("depth", "", 10, 1, 20, domain="[1, 50]", help="How many layers the signal passes.")
WIDTH = Param("width", "", 256, 1, 256, domain="[1, 256]", help="Units in each layer.")
STANDARDIZE = Param(
    "standardize", "", True, help="Brings every column to mean 0 and deviation 1, by the training part."
)
# What of a training is shown. None of it changes a run.
VIEW = _choice(
    "view",
    ("result", "layers", "weights", "network", "start"),
    "result",
    "What the network answers, what goes on in its layers, its first weights as pictures, the network itself, or what "
    "passes through ten layers at the start, before any training.",
)
QUANTITY = _choice(
    "quantity",
    ("activations", "gradients", "weights"),
    "activations",
    "Whose histogram each layer shows.",
)
LOOKS = {param.name: param for param in (VIEW, QUANTITY)}
CURVES = {  # name: (title, what it shows, whether on a log axis)
    "loss": ("Loss", "Mean loss over all examples of a part, without penalties and with nothing dropped.", True),
    "accuracy": ("Accuracy", "Share of examples whose class is answered.", False),
    "test": (
        "Test accuracy",
        "Share of the test examples whose class is answered: to compare, never to choose.",
        False,
    ),
    "lr": ("Learning rate η", "The learning rate that the schedule gives at each step.", True),
    "gap": ("Generalization gap", "Validation loss minus training loss, the median over seeds.", False),
    "noise": (
        "Gradient noise scale",
        "The batch size at which the noise of a batch's gradient is as large as the gradient itself.",
        True,
    ),
    "norm": ("Gradient ‖g‖", "Length of the batch's gradient, before clipping.", True),
}
AUGMENT = {param.name: param for param in (COPIES.but(default=0), SHIFT, ANGLE)}
SETTINGS = {param.name: param for param in (BATCH_SIZE, EPOCHS, SEED, SEEDS, STANDARDIZE, VALIDATION, TEST)} | AUGMENT


@dataclass(frozen=True)
class Net:
    """A network and what is done to it in training. `hidden` and the fields of MAKE decide what is compiled or how the
    run starts; the others, `dropout` (one rate, or one for each hidden layer) and those of TREAT among them, are
    numbers that may change while it runs."""

    hidden: tuple[int, ...] = (16,)
    activation: str = "relu"
    init: str = "he_normal"
    init_scale: float | None = None  # left out: the initialization's own
    normalization: str = "none"
    loss: str = "cross_entropy"
    dropout: float | tuple[float, ...] = 0.0
    dropout_form: str = "inverted"
    input_noise: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: float = 0.0
    clip: float = 0.0
    bias_lr: float = 1.0
    delta: float = 1.0

    def __post_init__(self):
        hidden = hidden_widths(self.hidden)
        ACTIVATIONS.find(self.activation)
        LOSSES.find(self.loss)
        init = INITS.find(self.init)
        scale = init.params[0].default if init.params else 1.0
        checked: dict[str, Any] = {
            "hidden": hidden,
            "init_scale": INIT_SCALE.check(scale if self.init_scale is None else self.init_scale),
            "normalization": NORMALIZATION.check(self.normalization),
            "dropout_form": DROPOUT_FORM.check(self.dropout_form),
            **{name: param.check(getattr(self, name)) for name, param in TREAT.items()},
        }
        if isinstance(self.dropout, Sequence):
            checked["dropout"] = tuple(float(DROPOUT.check(rate)) for rate in self.dropout)
            if len(checked["dropout"]) != len(hidden):
                raise ValueError(f"dropout takes one rate, or one for each of the {len(hidden)} hidden layers")
        else:
            checked["dropout"] = float(DROPOUT.check(self.dropout))
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def rates(self) -> tuple[float, ...]:
        """The dropout rate of each hidden layer."""
        return self.dropout if isinstance(self.dropout, tuple) else (self.dropout,) * len(self.hidden)

    @property
    def made(self) -> tuple:
        """What cannot change without starting anew."""
        return (self.hidden, *(getattr(self, name) for name in MAKE))


@dataclass(frozen=True)
class Configuration:
    """A network and the optimizer that trains it."""

    net: Net
    racer: Racer


@dataclass(frozen=True)
class Own:
    """A table that is in no catalogue, such as a visitor's CSV file. Two are equal if their numbers are."""

    table: Table = field(compare=False)
    name: str = ""
    digest: str = field(init=False)

    def __post_init__(self):
        parts = (np.ascontiguousarray(self.table.x), np.ascontiguousarray(self.table.y), repr(self.table[2:]).encode())
        object.__setattr__(self, "digest", hashlib.sha256(b"".join(bytes(part) for part in parts)).hexdigest())


@dataclass(frozen=True)
class Training:
    """A screen of the training laboratory. Raises ValueError, with what is allowed, on what cannot be trained.

    `batch_size` 0 is the full batch. The data are split by `seed`: the shares `validation` and `test` are kept apart.
    To the training part of pictures, `copies` altered ones of each can be added (`shift` pixels, `angle` degrees).

    A run holds in memory, at most, parameters × seeds ≤ 4 million numbers a few times over (θ, its gradient, the
    optimizer's slots), 16 MB of batch losses, and the batches and activations of one step: examples × units × seeds ≤
    20 million numbers.
    """

    dataset: Pick | Own
    configurations: tuple[Configuration, ...]
    batch_size: int = int(BATCH_SIZE.default)
    epochs: int = int(EPOCHS.default)
    seed: int = int(SEED.default)
    seeds: int = int(SEEDS.default)
    standardize: bool = True
    validation: float = 0.2
    test: float = 0.2
    copies: int = 0
    shift: float = float(SHIFT.default)
    angle: float = float(ANGLE.default)
    view: str = str(VIEW.default)
    quantity: str = str(QUANTITY.default)
    curves: tuple[str, ...] = ("loss", "accuracy", "lr")  # names of CURVES

    def __post_init__(self):
        data = self.dataset
        checked = {
            "dataset": data if isinstance(data, Own) else data.canonical(DATASETS.find(data.key)),
            "configurations": tuple(self.configurations),
            **{name: param.check(getattr(self, name)) for name, param in (SETTINGS | LOOKS).items()},
            "curves": tuple(dict.fromkeys(self.curves)),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        unknown = [name for name in self.curves if name not in CURVES]
        if unknown:
            raise ValueError(f"there is no curve called {str(unknown[0])[:32]!r}; there are {', '.join(CURVES)}")
        if not 1 <= len(self.configurations) <= CONFIGURATIONS_AT_MOST:
            raise ValueError(f"1 to {CONFIGURATIONS_AT_MOST} configurations, not {len(self.configurations)}")
        for configuration in self.configurations:
            net = configuration.net
            if net.loss == "cross_entropy" and self.task == "regression":
                raise ValueError("cross-entropy needs classes; for this data set use squared_error or huber")
            if net.normalization == "batch" and self.size < 2:
                raise ValueError("batch normalization needs batches of at least 2 examples")
        self._refuse_too_large()

    def _refuse_too_large(self) -> None:
        sizes, units = [network.size for network in self.networks], [network.units for network in self.networks]
        demand = self.demand
        work = demand["training_work"]
        if work > WORK_AT_MOST:
            raise ValueError(
                f"this training is too large: parameters × examples × epochs × seeds, over all configurations, is "
                f"{work:.1e}, and at most {WORK_AT_MOST:.0e} are allowed; take fewer of any"
            )
        if demand["parameters"] > NUMBERS_AT_MOST:
            raise ValueError(
                f"these networks are too large together: {sum(sizes)} parameters under {self.seeds} seeds; "
                f"parameters × seeds may be {NUMBERS_AT_MOST} at most"
            )
        for configuration, size in zip(self.configurations, sizes, strict=True):
            memory = int(configuration.racer.values.get("memory", 1))
            if configuration.racer.optimizer.key == "newton" and size > NEWTON_AT_MOST:
                raise ValueError(
                    f"Newton's method solves with a matrix of parameters × parameters; it is offered up to "
                    f"{NEWTON_AT_MOST} parameters, not {size}"
                )
            if size * self.seeds * memory > NUMBERS_AT_MOST:
                raise ValueError(f"parameters × seeds × memory may be {NUMBERS_AT_MOST} at most, not {size} × {memory}")
        if demand["activations"] > ACTIVATIONS_AT_MOST:
            raise ValueError(
                f"a step of {self.size} examples through {max(units)} hidden units under {self.seeds} seeds is too "
                f"large: examples × (units + inputs) × seeds may be {ACTIVATIONS_AT_MOST} at most; take smaller batches"
            )
        if demand["training_steps"] > STEPS_AT_MOST:
            raise ValueError(
                f"this training is too long: {self.steps} steps under {self.seeds} seeds; steps × seeds × "
                f"configurations may be {STEPS_AT_MOST} at most; take fewer epochs or larger batches"
            )

    @cached_property
    def demand(self) -> dict[str, float]:
        """How much it asks for, by the names of limits."""
        networks, count = self.networks, len(self.configurations)
        # a Hessian costs as much as one gradient for each parameter
        costs = [
            network.size * (network.size if one.racer.optimizer.key == "newton" else 1)
            for one, network in zip(self.configurations, networks, strict=True)
        ]
        widest = max(network.units for network in networks) + self.parts.train.x.shape[1]
        return {
            "configurations": count,
            "epochs": self.epochs,
            "seeds": self.seeds,
            "training_work": sum(costs) * self.epochs * len(self.parts.train.y) * self.seeds,
            "training_steps": self.steps * self.seeds * count,
            "parameters": sum(network.size for network in networks) * self.seeds,
            "activations": self.size * widest * self.seeds,
        }

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return self.parts.train.task

    @property
    def parts(self) -> Split:
        """The data as the networks see them."""
        return self._parts_of_own if isinstance(self.dataset, Own) else _shared_parts(*self._split)

    @cached_property
    def _parts_of_own(self) -> Split:  # shared with nobody: a visitor's table goes when they go
        return _parts(*self._split)

    @property
    def _split(self) -> tuple[Pick | Own, int, bool, float, float, tuple[int, float, float] | None]:
        picture = (self.copies, self.shift, self.angle) if self.copies else None
        return self.dataset, self.seed, self.standardize, self.validation, self.test, picture

    @property
    def image(self) -> tuple[int, int] | None:
        """The rows and columns of each example, if it is a picture."""
        return None if isinstance(self.dataset, Own) else DATASETS[self.dataset.key].image

    @property
    def size(self) -> int:
        """Examples a step."""
        examples = len(self.parts.train.y)
        return self.batch_size if 0 < self.batch_size < examples else examples

    @property
    def steps_an_epoch(self) -> int:
        return -(-len(self.parts.train.y) // self.size)

    @property
    def steps(self) -> int:
        """The length of the planned run, which schedules count with."""
        return self.epochs * self.steps_an_epoch

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """The architecture of each configuration."""
        table = self.parts.train
        return tuple(
            Network(
                (table.x.shape[1], *one.net.hidden, max(len(table.classes), 1)),
                one.net.activation,
                one.net.normalization,
                one.net.loss,
                self.task == "classification",
            )
            for one in self.configurations
        )

    def problem(self, index: int) -> Problem:
        """What configuration number `index` descends on."""
        net, network = self.configurations[index].net, self.networks[index]
        train, validation, _ = self.parts
        return from_network(
            network,
            train.x,
            targets(train),
            network.start(net.init, self.seed, net.init_scale),
            validation=(validation.x, targets(validation)) if len(validation.y) else None,
            batch_size=self.size,
            dropout=net.rates,
            inverted=net.dropout_form == "inverted",
            seed=self.seed,
            **{name: getattr(net, name) for name in TREAT},
        )

    def resets(self, other: Training) -> tuple[str, ...]:
        """What differs from another training so that one cannot go on from the other's progress; () if nothing.

        Data, seeds and batches reset, and of a network everything in MAKE; optimizers, schedules, epochs, dropout,
        noise, penalties, smoothing, clipping do not.
        """
        free = {"configurations", "epochs", "curves", *LOOKS}
        names = [f.name for f in fields(self) if f.name not in free]
        found = [name for name in names if getattr(self, name) != getattr(other, name)]
        if len(self.configurations) != len(other.configurations):
            return (*found, "configurations")
        pairs = [(a.net, b.net) for a, b in zip(self.configurations, other.configurations, strict=True)]
        made = [name for name in ("hidden", *MAKE) if any(getattr(a, name) != getattr(b, name) for a, b in pairs)]
        return (*found, *made)


def targets(table: Table) -> np.ndarray:
    """What the outputs should be, (m, k): 1 for the true class and 0 for the others, or the target itself."""
    return np.eye(len(table.classes))[table.y] if table.classes else table.y[:, None]


def _parts(
    dataset: Pick | Own,
    seed: int,
    standardize: bool,
    validation: float,
    test: float,
    picture: tuple[int, float, float] | None,
) -> Split:
    if isinstance(dataset, Own):
        table, image = dataset.table, None
    else:
        table, image = DATASETS[dataset.key].table(seed=seed, **dict(dataset.values)), DATASETS[dataset.key].image
    parts = split(table, validation=validation, test=test, seed=seed)
    if picture:
        copies, shift, angle = picture
        more = augmented(parts.train, image, shift=shift, angle=angle, copies=copies, seed=seed)
        parts = parts._replace(train=more)
    return standardized(parts) if standardize else parts


_shared_parts = once(8)(_parts)  # of at most 16 MB each


# What is recorded ----------------------------------------------------------------------------------------------------

BINS = {  # of the layers' histograms; what lies beyond an end is counted in the last bin there
    "activation": np.linspace(-4.0, 4.0, 41),
    "weight": np.linspace(-2.0, 2.0, 41),
    "gradient": np.linspace(-10.0, 2.0, 41),  # of log₁₀ of the absolute value; zeros are in the first bin
}


class Failure(NamedTuple):
    """Where numbers first became infinite or undefined."""

    step: int  # the step, counted from 1, that met it
    seed: int  # of the run in which it happened first
    layer: int  # counted from 1, next to the inputs
    way: str  # "forward" or "backward": on the way to the loss or of the gradient


class Layers(NamedTuple):
    """The layers of the first seed's network at p measured moments, (p, layers) each, and histograms (p, layers, 40).

    Activations and gradients are those of PROBE training examples, with nothing dropped. `gradient` is that of the
    weights. Of a unit that is dead the activation's slope is 0 at every one of these examples; `saturated` is the
    share of values where the slope is below a twentieth of its largest. The output layer has neither (0). `update` is
    the length of the last step of the layer's weights over the length of the weights.
    """

    activation_mean: np.ndarray
    activation_deviation: np.ndarray
    gradient_mean: np.ndarray
    gradient_deviation: np.ndarray
    weight_mean: np.ndarray
    weight_deviation: np.ndarray
    dead: np.ndarray  # how many units
    saturated: np.ndarray
    update: np.ndarray
    activations: np.ndarray  # histograms with the edges in BINS
    gradients: np.ndarray
    weights: np.ndarray


class _Room:
    """Arrays (…, capacity) into which what is recorded of each step is written behind what is there, so that a run in
    many pieces is not copied at each of them.

    Whoever has an array that ends where the room is used up to may write on; anybody else, as who goes on from an
    earlier moment, gets a room of their own. So what was handed out never changes.
    """

    def __init__(self, arrays: Sequence[np.ndarray], capacity: int):
        self.arrays = [np.empty((*array.shape[:-1], capacity), array.dtype) for array in arrays]
        self.capacity, self.used, self._lock = capacity, arrays[0].shape[-1], threading.Lock()
        for room, array in zip(self.arrays, arrays, strict=True):
            room[..., : self.used] = array

    def take(self, start: int, end: int) -> bool:
        """Whether the places from start to end are the caller's now."""
        with self._lock:
            free = start == self.used and end <= self.capacity
            if free:
                self.used = end
        return free


def _lengthened(
    room: _Room | None, before: Sequence[np.ndarray], more: Sequence[np.ndarray], planned: int
) -> tuple[_Room, list[np.ndarray]]:
    """The arrays with more at the end of their last axis, and the room that they are in. `planned` is how long they
    will become, as far as is known."""
    start = before[0].shape[-1]
    end = start + more[0].shape[-1]
    if room is None or not room.take(start, end):
        room = _Room(before, max(planned, 2 * start, end))
        room.take(start, end)
    for array, part in zip(room.arrays, more, strict=True):
        array[..., start:end] = part
    return room, [array[..., :end] for array in room.arrays]


@dataclass(frozen=True, eq=False)
class History:
    """What is known of one configuration's run after T steps, with k seeds and p measured moments.

    Losses at measured moments are means over all examples of a part, without penalties and with nothing dropped;
    normalization uses the training part's statistics at that moment. An empty part and the accuracy of a regression
    are NaN. `failure` is the first of any seed.
    """

    loss: np.ndarray  # (k, T) of each step's batch, as the step saw it, penalties included
    lr: np.ndarray  # (T,) of the first seed
    norm: np.ndarray  # (T,) of the first seed: the gradient's length, before clipping
    clipped: np.ndarray  # (T,) of the first seed: whether clipping acted
    moments: np.ndarray  # (p,) steps taken at the measured moments
    train_loss: np.ndarray  # (k, p), as are the next five
    train_accuracy: np.ndarray
    validation_loss: np.ndarray
    validation_accuracy: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    layers: Layers
    noise_scale: np.ndarray  # (p,) of the first seed
    snapshots: np.ndarray  # (q, n) θ of the first seed at some of the moments
    snapshot_steps: np.ndarray  # (q,)
    distance: int  # steps from one moment to the next
    failure: Failure | None = None
    room: _Room | None = field(default=None, repr=False)  # where what is recorded of each step goes on


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a training has come: for each configuration its state (arrays have the seeds in front) and history."""

    training: Training
    step: int
    states: tuple[State, ...]
    histories: tuple[History, ...]

    @property
    def epoch(self) -> float:
        return self.step / self.training.steps_an_epoch

    @property
    def done(self) -> bool:
        return self.step >= self.training.steps


def begin(training: Training) -> Progress:
    """The progress before the first step, measured. It is kept, for a class opens one link; a visitor's own table is
    nobody else's, and of that nothing is."""
    return _begun(training) if isinstance(training.dataset, Pick) else _begin(training)


def _size(progress: Progress) -> int:
    """Bytes of the arrays that grow with the network."""
    parts = [progress.states, [(history.snapshots, tuple(history.layers)) for history in progress.histories]]
    return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(parts))


@once(BEGUN_KEPT, size=_size)
def _begun(training: Training) -> Progress:
    return _begin(training)


def _begin(training: Training) -> Progress:
    states, histories = [], []
    for index, configuration in enumerate(training.configurations):
        network, net = training.networks[index], configuration.net
        thetas = np.stack([network.start(net.init, seed, net.init_scale) for seed in _seeds(training)])
        state = begin_together(training.problem(index), configuration.racer.rule, thetas)
        states.append(state)
        empty = np.zeros((training.seeds, 0))
        measured = _measure(training, index, state, None)
        histories.append(
            History(
                loss=empty,
                lr=empty[0],
                norm=empty[0],
                clipped=empty[0].astype(bool),
                snapshots=thetas[:1],
                snapshot_steps=np.zeros(1, np.int64),
                distance=max(1, -(-training.steps // PLANNED)),
                **measured,
            )
        )
    return Progress(training, 0, tuple(states), tuple(histories))


def advance(training: Training, progress: Progress, steps: int) -> Progress:
    """The progress after `steps` more steps of every configuration; beyond the planned epochs, too.

    `training` may differ from the one before in what does not reset. An optimizer that is changed keeps the weights
    and those of its slots that are of the same name and shape. Raises ValueError if something differs that resets.
    """
    reset = training.resets(progress.training)
    if reset:
        raise ValueError(f"a run cannot go on with another {' or '.join(reset)}: begin anew")
    states, histories = [], []
    for index in range(len(training.configurations)):
        state, history = _fitted(training, progress, index), progress.histories[index]
        goal = progress.step + steps
        while state.t < goal:
            moment = min(_next_moment(training, history, state.t), goal)
            state, history = _stretch(training, index, state, history, moment)
        states.append(state)
        histories.append(history)
    return Progress(training, progress.step + steps, tuple(states), tuple(histories))


def _seeds(training: Training) -> range:
    return range(training.seed, training.seed + training.seeds)


def _next_moment(training: Training, history: History, step: int) -> int:
    regular = (step // history.distance + 1) * history.distance
    return min(regular, training.steps) if step < training.steps else regular


def _fitted(training: Training, progress: Progress, index: int) -> State:
    """The state, with the slots that the optimizer and the schedules of now have."""
    state, now, before = progress.states[index], training.configurations[index], progress.training.configurations[index]
    if now.racer == before.racer:
        return state
    fresh = begin_together(training.problem(index), now.racer.rule, state.theta)
    slots = {name: _kept_slot(state.slots.get(name), start) for name, start in fresh.slots.items()}
    same = dict(before.racer.schedules)
    memory = {
        name: state.memory[name]
        if name in state.memory and same[name].key == dict(now.racer.schedules)[name].key
        else start
        for name, start in fresh.memory.items()
    }
    return state._replace(slots=slots, memory=memory)


def _kept_slot(old: Any, fresh: Any) -> Any:
    """The old slot if it has the structure and shapes of the fresh one."""

    def form(slot):
        return [np.shape(leaf) for leaf in _leaves(slot)], type(slot)

    return old if old is not None and form(old) == form(fresh) else fresh


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, Mapping):
        return [leaf for name in sorted(tree) for leaf in _leaves(tree[name])]
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in _leaves(part)]
    return [] if tree is None else [tree]


def _stretch(training: Training, index: int, state: State, history: History, goal: int) -> tuple[State, History]:
    """Steps without a pause up to `goal`, measured there if a moment is due."""
    problem, rule, seeds = training.problem(index), training.configurations[index].racer.rule, _seeds(training)
    taken = goal - state.t
    done = descend_together(problem, rule, taken, seeds, state, horizon=training.steps)
    clip = training.configurations[index].net.clip
    failure = history.failure
    bad = ~(np.isfinite(done.value) & np.isfinite(done.norm))
    if failure is None and bad.any():
        failure = _locate(training, index, state, bad)
    room, (loss, lr, norm, clipped) = _lengthened(
        history.room,
        (history.loss, history.lr, history.norm, history.clipped),
        (done.value, done.lr[0], done.norm[0], (done.norm[0] > clip) & (clip > 0)),
        training.steps,
    )
    history = replace(history, loss=loss, lr=lr, norm=norm, clipped=clipped, failure=failure, room=room)
    due = goal % history.distance == 0 or goal == training.steps
    return done.state, _with_moment(training, index, done.state, done.update[0], history) if due else history


def _locate(training: Training, index: int, state: State, bad: np.ndarray) -> Failure:
    """The layer in which numbers first failed: the step is taken again, up to it, and looked at from within."""
    step = int(bad.any(axis=0).argmax())
    row = int(bad[:, step].argmax())
    problem, rule, network = (
        training.problem(index),
        training.configurations[index].racer.rule,
        training.networks[index],
    )
    if step > 0:
        state = descend_together(problem, rule, step, _seeds(training), state, horizon=training.steps).state
    draw = {name: part[0] for name, part in problem.draw(_seeds(training)[row], state.t, 1).items()}
    net = training.configurations[index].net
    layers = network.unravel(state.theta[row])
    rates = np.array(net.rates)
    with np.errstate(all="ignore"):
        factors = training_factors(network, draw["kept"], rates, net.dropout_form == "inverted")
        _, passes = forward(network, layers, draw["x"], factors=factors, share=draw["share"])
        for number, one in enumerate(passes, start=1):
            if not np.isfinite(one.a).all():
                return Failure(state.t + 1, _seeds(training)[row], number, "forward")
        grads, _ = backward(network, layers, passes, draw["target"], share=draw["share"], **_terms(net))
    for number in range(len(layers), 0, -1):
        if not all(np.isfinite(part).all() for part in grads[number - 1] if part is not None):
            return Failure(state.t + 1, _seeds(training)[row], number, "backward")
    return Failure(state.t + 1, _seeds(training)[row], len(layers), "backward")  # the sum of finite parts was too large


def _terms(net: Net) -> dict[str, Any]:
    return {"smoothing": net.label_smoothing, "delta": net.delta, "l1": net.l1, "l2": net.l2}


# Measuring -----------------------------------------------------------------------------------------------------------


def _with_moment(training: Training, index: int, state: State, update: np.ndarray, history: History) -> History:
    """The history with the present moment measured, thinned out if there are too many."""
    measured = _measure(training, index, state, update)
    grown = {name: _joined(getattr(history, name), part) for name, part in measured.items()}
    moments, distance = grown["moments"], history.distance
    keep = np.ones(len(moments), bool)
    if len(moments) > MOMENTS:
        distance *= 2
        keep = (moments % distance == 0) | (moments == training.steps)
    grown = {name: _chosen(part, keep) for name, part in grown.items()}
    snapshots = np.concatenate([history.snapshots, state.theta[:1]])
    steps = np.append(history.snapshot_steps, state.t)
    most = max(2, SNAPSHOTS // snapshots.shape[1])
    if len(steps) > most or not keep.all():  # every other one leaves, but never the first and the last
        stays = np.isin(steps, grown["moments"])
        while stays.sum() > most:
            places = np.flatnonzero(stays)
            stays[places[1:-1:2]] = False
        snapshots, steps = snapshots[stays], steps[stays]
    return replace(history, **grown, snapshots=snapshots, snapshot_steps=steps, distance=distance)


def _joined(before: Any, now: Any) -> Any:
    """One more moment: moments are the last axis of what has seeds in front, and the first of everything else."""
    if isinstance(before, Layers):
        return Layers(*(np.concatenate(pair) for pair in zip(before, now, strict=True)))
    return np.concatenate([before, now], axis=-1)


def _chosen(part: Any, keep: np.ndarray) -> Any:
    return Layers(*(one[keep] for one in part)) if isinstance(part, Layers) else part[..., keep]


def _measure(training: Training, index: int, state: State, update: np.ndarray | None) -> dict[str, Any]:
    """The fields of a History that a measured moment adds to, with p = 1."""
    network, net, parts = training.networks[index], training.configurations[index].net, training.parts
    with np.errstate(all="ignore"):  # a run that has diverged is measured like any other
        handful = max(1, TOGETHER // (len(parts.train.y) * max(network.widths)))  # of seeds
        starts = range(0, training.seeds, handful)
        some = [_losses(network, net, state.theta[start : start + handful], parts) for start in starts]
        numbers = np.concatenate(some, axis=-1)[..., None]  # part, (loss, accuracy), seed, moment
        layers = _inside(network, net, state.theta[0], update, parts.train)
        scale = _scale_now(network, net, state.theta[0], parts.train, training.size)
    measured = {"moments": np.array([state.t]), "layers": layers, "noise_scale": np.array([scale])}
    for part, (loss, accuracy) in zip(("train", "validation", "test"), numbers, strict=True):
        measured |= {f"{part}_loss": loss, f"{part}_accuracy": accuracy}
    return measured


def _losses(network: Network, net: Net, thetas: np.ndarray, parts: Split) -> np.ndarray:
    """The losses and accuracies of k networks θ (k, n) on each part, (parts, 2, k), by the population's statistics."""
    layers = network.unravel(thetas)
    factors = measuring_factors(network, net.rates, net.dropout_form == "inverted")
    output, passes = forward(network, layers, parts.train.x, factors=factors)
    statistics = [one.statistics for one in passes]
    found = [_judged(network, net, output, parts.train)]
    for part in parts[1:]:
        if len(part.y):
            output, _ = forward(network, layers, part.x, factors=factors, statistics=statistics)
            found.append(_judged(network, net, output, part))
        else:
            found.append((np.full(len(thetas), math.nan), np.full(len(thetas), math.nan)))
    return np.array(found)


def _judged(network: Network, net: Net, output: np.ndarray, part: Table) -> tuple[np.ndarray, np.ndarray]:
    """The loss and the accuracy (k,) of outputs (k, m, classes)."""
    loss = data_loss(network, output, targets(part), smoothing=0.0, delta=net.delta)
    if not part.classes:
        return loss, np.full(len(loss), math.nan)
    right = np.isfinite(output).all(axis=-1) & (output.argmax(axis=-1) == part.y)
    return loss, right.mean(axis=-1)


def predict(training: Training, index: int, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The outputs (m, k) of configuration `index` at parameters θ (n,) for inputs x (m, d), which are scaled as the
    training's own are. Softmax makes them probabilities in a classification with cross-entropy."""
    network, net = training.networks[index], training.configurations[index].net
    factors = measuring_factors(network, net.rates, net.dropout_form == "inverted")
    layers = network.unravel(theta)
    with np.errstate(all="ignore"):
        statistics = None
        if net.normalization == "batch":
            _, passes = forward(network, layers, training.parts.train.x, factors=factors)
            statistics = [one.statistics for one in passes]
        return forward(network, layers, x, factors=factors, statistics=statistics)[0]


def _inside(network: Network, net: Net, theta: np.ndarray, update: np.ndarray | None, train: Table) -> Layers:
    """The layers of one network at the probe's examples."""
    layers, table = network.unravel(theta), train.take(np.arange(min(PROBE, len(train.y))))
    factors = measuring_factors(network, net.rates, net.dropout_form == "inverted")
    _, passes = forward(network, layers, table.x, factors=factors)
    grads, _ = backward(network, layers, passes, targets(table), **_terms(net))
    steps = network.unravel(np.full_like(theta, np.nan) if update is None else update)
    act = ACTIVATIONS[network.activation]
    rows = []
    for number, (layer, one, grad, step) in enumerate(zip(layers, passes, grads, steps, strict=True)):
        slope = np.abs(act.slope(one.z)) if number < len(layers) - 1 else np.ones_like(one.z)
        rows.append(
            (
                one.a.mean(),
                one.a.std(),
                grad.weight.mean(),
                grad.weight.std(),
                layer.weight.mean(),
                layer.weight.std(),
                (slope == 0).all(axis=0).sum(),
                (slope < 0.05 * act.steepest).mean(),
                np.linalg.norm(step.weight) / np.linalg.norm(layer.weight),
                _counts(one.a, BINS["activation"]),
                _counts(np.log10(np.abs(grad.weight)), BINS["gradient"]),
                _counts(layer.weight, BINS["weight"]),
            )
        )
    return Layers(*(np.array(column)[None] for column in zip(*rows, strict=True)))


def _scale_now(network: Network, net: Net, theta: np.ndarray, train: Table, size: int) -> float:
    """The gradient noise scale at θ, from the gradients of BATCHES batches of `size` examples, or as many as there are,
    with nothing dropped."""
    size = min(size, len(train.y) // BATCHES, PROBE)
    least = 2 if net.normalization == "batch" else 1
    if size < least:
        return math.nan
    layers, factors = network.unravel(theta), measuring_factors(network, net.rates, net.dropout_form == "inverted")
    table = train.take(np.arange(BATCHES * size))
    x, target = (part.reshape(BATCHES, size, -1) for part in (table.x, targets(table)))
    _, passes = forward(network, layers, x, factors=factors)
    grads, _ = backward(network, layers, passes, target, **_terms(net))
    return noise_scale(network.ravel(grads), size)[0]


def noise_scale(gradients: np.ndarray, size: int) -> tuple[float, float, float]:
    """The simple noise scale tr Σ/|G|², and its two parts, from gradients (b, n) of b batches of `size` examples.

    Σ is the covariance of one example's gradient and G its mean; batches much smaller than the scale are mostly noise,
    much larger ones waste examples. Both parts are unbiased estimates: with S = |g|² averaged over the batches and
    B = |mean of g|², tr Σ = size·(S − B)·b/(b − 1) and |G|² = B − tr Σ/(b·size). Where the estimate of |G|² is not
    positive, the noise drowns the gradient and the scale is infinite.

    McCandlish, Kaplan, Amodei & OpenAI Dota Team (2018), An Empirical Model of Large-Batch Training, appendix A.1,
    https://arxiv.org/abs/1812.06162
    """
    b = len(gradients)
    small, big = float((gradients**2).sum(axis=1).mean()), float((gradients.mean(axis=0) ** 2).sum())
    trace = size * (small - big) * b / (b - 1)
    square = big - trace / (b * size)
    return (trace / square if square > 0 else math.inf if square <= 0 else math.nan), trace, square


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many values lie in each bin; those beyond an end in the last bin there, and undefined ones nowhere."""
    known = values[~np.isnan(values)]
    return np.bincount(np.searchsorted(edges[1:-1], known, side="right"), minlength=len(edges) - 1)


# At the start --------------------------------------------------------------------------------------------------------


class Signal(NamedTuple):
    """What passes through each of the layers of a network before any training, (layers,) or (layers, 40) each.

    `…_variance` is the theory's for layers of infinite width, to be drawn on top.
    """

    pre_mean: np.ndarray  # z = x·W
    pre_deviation: np.ndarray
    pre_variance: np.ndarray
    mean: np.ndarray  # a, the activation of z
    deviation: np.ndarray
    second_moment: np.ndarray  # the theory's mean of a²
    gradient_mean: np.ndarray  # of ∂/∂z, for normal numbers of variance 1 that come back from above
    gradient_deviation: np.ndarray
    gradient_variance: np.ndarray
    pres: np.ndarray  # histograms, with the edges in BINS ("activation")
    activations: np.ndarray
    gradients: np.ndarray  # of log₁₀ of the absolute value (BINS "gradient")


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(200)


def signal(
    *,
    activation: str = "tanh",
    init: str = "xavier_normal",
    init_scale: float | None = None,
    depth: int = 10,
    width: int = 256,
    x: np.ndarray | None = None,
    seed: int = 0,
) -> Signal:
    """Send inputs x (m, d), 256 standard normal examples if left out, through `depth` layers of `width` units with
    fresh weights and no biases, and normal numbers of variance 1 back from the last layer's activations.

    The theory, with σ² the variance of a weight: q₁ = d σ² mean(x²), then q ← width·σ²·E[f(√q·ζ)²] for the variance of
    z, and backwards g ← width·σ²·E[f′(√q·ζ)²]·g, ζ standard normal (Poole et al. 2016, Schoenholz et al. 2017; for a
    linear f it is Xavier's argument, for ReLU He's). The expectations are Gauss–Hermite sums of 200 nodes, exact for
    the piecewise linear activations. Raises ValueError, with what is allowed, on a size outside its bounds.
    """
    act, entry = ACTIVATIONS.find(activation), INITS.find(init)
    depth, width = int(DEPTH.check(depth)), int(WIDTH.check(width))
    rng = np.random.default_rng([int(SEED.check(seed)), 4])
    a = rng.standard_normal((PROBE, width)) if x is None else np.asarray(x, np.float64)
    if a.ndim != 2 or not 1 <= a.size <= ACTIVATIONS_AT_MOST // (depth + 1):
        raise ValueError("x must be a table of examples (m, d) of at most 1.8 million numbers")
    given = entry.complete({} if init_scale is None or not entry.params else {"scale": init_scale})
    scale = float(given.get("scale", 1.0))
    asked = {name: {"xp": np, "erf": erf}[name] for name in act.needs}
    weights, pres, activations, q, square = [], [], [], [], []
    moment = float((a**2).mean())
    for _ in range(depth):
        weights.append(entry.fn(rng, a.shape[1], width, **given))
        q.append(a.shape[1] * entry.variance(a.shape[1], width, scale) * moment)
        pres.append(a @ weights[-1])
        a = act.fn(pres[-1], **asked)
        activations.append(a)
        moment = float(WEIGHTS @ act.fn(np.sqrt(q[-1]) * NODES, **asked) ** 2 / WEIGHTS.sum())
        square.append(moment)
    back, g, gradients, theory = rng.standard_normal(a.shape), 1.0, [], []
    for number in reversed(range(depth)):
        back = back * act.slope(pres[number])
        g *= float(WEIGHTS @ act.slope(np.sqrt(q[number]) * NODES) ** 2 / WEIGHTS.sum())
        gradients.append(back)
        theory.append(g)
        back = back @ weights[number].T
        g *= width * entry.variance(len(weights[number]), width, scale)
    gradients, theory = gradients[::-1], theory[::-1]
    with np.errstate(divide="ignore"):
        sizes = [np.log10(np.abs(gradient)) for gradient in gradients]
    columns = (
        *_moments(pres),
        q,
        *_moments(activations),
        square,
        *_moments(gradients),
        theory,
        [_counts(z, BINS["activation"]) for z in pres],
        [_counts(one, BINS["activation"]) for one in activations],
        [_counts(one, BINS["gradient"]) for one in sizes],
    )
    return Signal(*(np.array(column) for column in columns))


def _moments(layers: Sequence[np.ndarray]) -> tuple[list[float], list[float]]:
    return [float(layer.mean()) for layer in layers], [float(layer.std()) for layer in layers]


# From Python ---------------------------------------------------------------------------------------------------------


def train(
    dataset: str | Pick | Table,
    optimizer: str,
    *,
    hidden: Sequence[int] = (16,),
    activation: str = "relu",
    init: str = "he_normal",
    dropout: float | Sequence[float] = 0.0,
    batch_size: int = int(BATCH_SIZE.default),
    epochs: int = int(EPOCHS.default),
    seed: int = 0,
    schedules: Mapping[str, Pick | str] | None = None,
    standardize: bool = True,
    validation: float = 0.2,
    test: float = 0.2,
    **more: Any,
) -> Trajectory:
    """Train one network on one data set, listed or a table of your own:

        train("digits", "sgd", hidden=(64, 32), batch_size=32, epochs=10, lr=0.05)

    `more` are the optimizer's hyperparameters, and the other fields of `Net` (normalization, loss, l2, clip, …). A
    regression's loss is the squared error unless it is given.

    Returns a Trajectory of NumPy float64 arrays that records less than that of a surface. `loss` (T,) is that of each
    step's batch, where the step started, and `lr` (T,) its learning rate; `theta` (q, n) are some snapshots, the first
    and the last among them; `grad` and `step` are empty, slots and memory are those at the end only. `measures` holds,
    for p ≤ 200 measured moments, `step`, `epoch`, and loss and accuracy of train, validation and test, (p,) each,
    `snapshot_step` (q,), and `norm` (T,), the length of each gradient. Raises ValueError, with what is allowed, on an
    unknown name or a value outside its domain; a run that diverges is returned with its infinities.
    """
    known = Own(dataset) if isinstance(dataset, Table) else Pick(dataset) if isinstance(dataset, str) else dataset
    task = known.table.task if isinstance(known, Own) else DATASETS.find(known.key).task
    own = {f.name for f in fields(Net)}
    treated = {name: more.pop(name) for name in list(more) if name in own}
    if "loss" not in treated and task == "regression":
        treated["loss"] = "squared_error"
    given = {name: Pick(one) if isinstance(one, str) else one for name, one in (schedules or {}).items()}
    net = Net(hidden=tuple(hidden), activation=activation, init=init, dropout=_hashable(dropout), **treated)
    training = Training(
        known,
        (Configuration(net, Racer(Pick(optimizer, more), given)),),
        batch_size=batch_size,
        epochs=epochs,
        seed=seed,
        standardize=standardize,
        validation=validation,
        test=test,
    )
    run = advance(training, begin(training), training.steps)
    history, state = run.histories[0], run.states[0]
    parts = [f"{part}_{what}" for part in ("train", "validation", "test") for what in ("loss", "accuracy")]
    one = _first_seed(state)
    return Trajectory(
        theta=history.snapshots,
        loss=history.loss[0],
        grad=np.zeros((0, len(one.theta))),
        step=np.zeros((0, len(one.theta))),
        lr=history.lr,
        slots=one.slots,
        scheduled={},
        memory=one.memory,
        measures={
            "step": history.moments,
            "epoch": history.moments / training.steps_an_epoch,
            **{name: getattr(history, name)[0] for name in parts},
            "snapshot_step": history.snapshot_steps,
            "norm": history.norm,
        },
        state=one,
    )


def _hashable(dropout: float | Sequence[float]) -> float | tuple[float, ...]:
    return tuple(dropout) if isinstance(dropout, Sequence) else dropout


def _first_seed(state: State) -> State:
    def first(tree: Any) -> Any:
        if isinstance(tree, Mapping):
            return {name: first(part) for name, part in tree.items()}
        if isinstance(tree, tuple):
            parts = [first(part) for part in tree]
            return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
        return tree[0]

    return State(state.t, first(state.theta), first(state.slots), first(state.memory))
