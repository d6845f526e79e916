"""The data sets: tables of examples that a network learns from, each with the lesson it was chosen for.

A data set is one short function that draws a table by NumPy's generator, and a card. Generated sets draw each example
by itself, so that two seeds give two samples of one distribution; real sets are small files (`data/`, with source and
licence) and ignore the generator. A parameter such as the noise changes where the drawn examples lie and not what is
drawn, so that points wander while its slider moves.

A table passes through here on its way to training, and nothing of that is silent: `split` makes the parts for
learning, choosing and judging; `augmented` adds pictures that are shifted and turned a little; `standardized` brings
columns to one scale, by what the training part alone knows.

    m      number of examples (rows)            k    number of classes
    d      number of features (columns)         c    a class, 0…k−1
    x      the features, (m, d)                 t    the parameter along a curve
    y      class numbers or targets, (m,)       σ    deviation of the noise, w, s, ρ: explained on the card
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import cos, pi, sin

from optviz.spec import Catalogue, Entry, Param, Source


class Table(NamedTuple):
    """Examples, one a row."""

    x: np.ndarray  # (m, d) float64
    y: np.ndarray  # (m,): int64 class numbers 0…k-1, or float64 targets in a regression task
    features: tuple[str, ...]  # d names
    classes: tuple[str, ...] = ()  # k names, none in a regression task

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return "classification" if self.classes else "regression"

    def take(self, rows: np.ndarray) -> Table:
        """The table of these rows, in this order."""
        return self._replace(x=self.x[rows], y=self.y[rows])


class Split(NamedTuple):
    """One table in three parts: to learn from, to choose hyperparameters by, and to judge by once, at the end."""

    train: Table
    validation: Table
    test: Table


@dataclass(frozen=True, kw_only=True)
class Dataset(Entry):
    """Where a table comes from, and what may be done with it."""

    task: str  # "classification" or "regression"
    image: tuple[int, int] | None = None  # rows and columns, where an example is a picture
    licence: str = "MIT (drawn by optviz itself)"

    def table(self, seed: int = 0, **values: Any) -> Table:
        """The table for one seed and these parameter values; a real set is the same for every seed.

        The arrays of a real set are shared and cannot be written to.

        Raises ValueError, with what is allowed, on an unknown parameter or a value outside its domain.
        """
        return self.fn(_generator(seed, self.key), **self.complete(values))


def _generator(seed: Any, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose: the split of a table must not depend on the numbers that drew its points."""
    return np.random.default_rng([int(SEED.check(seed)), *purpose.encode()])


SEED = Param("seed", "", 0, 0, 99, domain="[0, 4294967295]", help="Another seed draws other examples.")
SAMPLES = Param(
    "samples", "m", 400, 50, 2000, log=True, domain="[20, 2000]", title="examples", help="How many examples are drawn."
)
NOISE = Param(
    "noise",
    "σ",
    0.1,
    domain="[0, 10]",
    help="Standard deviation of the normal noise that moves every point off its place, in each direction.",
)
CLASSES = Param(
    "classes", "k", 3, 2, 12, domain="[2, 20]", title="number of classes", help="How many classes are to be told apart."
)
WAVES = Param("waves", "w", 2.0, 0.5, 5.0, domain="(0, 20]", help="How often the target goes up and down from −1 to 1.")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRST")
PLANE = ("x₁", "x₂")

DATASETS = Catalogue("data set", Dataset, argument=("rng",))
dataset = DATASETS.declare

LIBRARY = Source(
    "Pedregosa et al.",
    2011,
    "Scikit-learn: Machine Learning in Python",
    "https://jmlr.org/papers/v12/pedregosa11a.html",
)
OURS = Source("optviz", 2026, "Teaching data")


# Two features, several classes --------------------------------------------------------------------------------------


def _in_turn(samples: int, classes: int) -> np.ndarray:
    """Class numbers 0, 1, …, k−1, 0, 1, …: no class has more than one example more than another."""
    return np.arange(samples, dtype=np.int64) % classes


def _points(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, noise: float) -> np.ndarray:
    """The points (u, v), each moved by its own noise, (m, 2)."""
    return np.column_stack([u, v]) + noise * rng.standard_normal((len(u), 2))


@dataset(
    title="Exclusive or",
    task="classification",
    params=(SAMPLES, NOISE.but(default=0.05)),
    formula=r"y = [x_1 x_2 < 0]",
    source=Source("Minsky & Papert", 1969, "Perceptrons"),
)
def xor(rng, *, samples, noise):
    """Four squares, opposite corners alike: no straight line parts them, so that a hidden layer is needed."""
    y = _in_turn(samples, 2)
    side = np.where(np.arange(samples) % 4 < 2, 1, -1)
    size = 1 - rng.random((samples, 2))  # in (0, 1]: no point lies on an axis
    return Table(_points(rng, side * size[:, 0], side * (1 - 2 * y) * size[:, 1], noise), y, PLANE, ("alike", "unlike"))


@dataset(
    title="Two moons",
    task="classification",
    params=(SAMPLES, NOISE.but(default=0.15)),
    formula=r"(\cos t,\ \sin t) \quad\text{and}\quad (1 - \cos t,\ \tfrac12 - \sin t),\qquad 0 \le t \le \pi",
    source=LIBRARY,
    note="scikit-learn's make_moons, with t drawn at random instead of evenly.",
)
def moons(rng, *, samples, noise):
    """Two half circles that reach into each other: a straight line gets most of it right, a bent one all."""
    y = _in_turn(samples, 2)
    t = rng.uniform(0, pi, samples)
    u, v = np.where(y == 0, cos(t), 1 - cos(t)), np.where(y == 0, sin(t), 0.5 - sin(t))
    return Table(_points(rng, u, v, noise), y, PLANE, ("upper", "lower"))


@dataset(
    title="Circles",
    task="classification",
    params=(
        SAMPLES,
        NOISE,
        Param("ratio", "ρ", 0.5, 0.1, 0.9, domain="(0, 1)", help="Radius of the inner circle; the outer one has 1."),
    ),
    formula=r"(\cos t,\ \sin t) \quad\text{and}\quad (\rho\cos t,\ \rho\sin t),\qquad 0 \le t < 2\pi",
    source=LIBRARY,
    note="scikit-learn's make_circles, with t drawn at random instead of evenly.",
)
def circles(rng, *, samples, noise, ratio):
    """One ring inside another: the boundary has to close, for which a layer of ReLU or tanh needs three units."""
    y = _in_turn(samples, 2)
    t = rng.uniform(0, 2 * pi, samples)
    radius = np.where(y == 0, 1.0, ratio)
    return Table(_points(rng, radius * cos(t), radius * sin(t), noise), y, PLANE, ("outer", "inner"))


@dataset(
    title="Gaussians",
    task="classification",
    params=(SAMPLES, NOISE.but(default=0.3, title="spread"), CLASSES),
    formula=r"x \sim \mathcal{N}\!\left((\cos 2\pi c/k,\ \sin 2\pi c/k),\ \sigma^2 I\right)",
    source=Source("Hastie, Tibshirani & Friedman", 2009, "The Elements of Statistical Learning, section 4.3"),
)
def gaussians(rng, *, samples, noise, classes):
    """Round clouds around the corners of a polygon: straight boundaries are the best, and some error always remains."""
    y = _in_turn(samples, classes)
    angle = 2 * pi * y / classes
    return Table(_points(rng, cos(angle), sin(angle), noise), y, PLANE, LETTERS[:classes])


@dataset(
    title="Spirals",
    task="classification",
    params=(
        SAMPLES,
        NOISE.but(default=0.02, high=0.5),
        CLASSES,
        Param("turns", "s", 1.0, 0.25, 3.0, domain="(0, 5]", help="How often each arm winds around the centre."),
    ),
    formula=r"\left(t\cos\varphi,\ t\sin\varphi\right),\quad \varphi = 2\pi(st + c/k),\qquad \tfrac1{10} \le t \le 1",
    source=Source("Lang & Witbrock", 1988, "Learning to Tell Two Spirals Apart"),
)
def spirals(rng, *, samples, noise, classes, turns):
    """Arms wound around each other: hard for narrow and shallow networks, so that width, depth and rate all show."""
    y = _in_turn(samples, classes)
    t = rng.uniform(0.1, 1, samples)
    angle = 2 * pi * (turns * t + y / classes)
    return Table(_points(rng, t * cos(angle), t * sin(angle), noise), y, PLANE, LETTERS[:classes])


# Regression ----------------------------------------------------------------------------------------------------------

ON_TARGET = NOISE.but(help="Standard deviation of the normal noise on every target: no fit can get below its square.")


@dataset(
    title="Wave",
    task="regression",
    params=(SAMPLES.but(default=100), ON_TARGET, WAVES),
    formula=r"y = \sin(\pi w x) + \sigma\varepsilon,\qquad -1 \le x \le 1",
    source=Source("Bishop", 2006, "Pattern Recognition and Machine Learning, section 1.1"),
)
def wave(rng, *, samples, noise, waves):
    """A noisy sine of one variable: too small a network stays too straight, a large one follows the noise."""
    x = rng.uniform(-1, 1, (samples, 1))
    return Table(x, sin(pi * waves * x[:, 0]) + noise * rng.standard_normal(samples), ("x",))


@dataset(
    title="Ripple",
    task="regression",
    params=(
        SAMPLES,
        ON_TARGET,
        WAVES.but(default=1.0, low=0.25, high=3.0, help="Rings from the centre to radius 1."),
    ),
    formula=r"y = e^{-r^2}\cos(2\pi w r) + \sigma\varepsilon,\quad r = \lVert x\rVert,\qquad x \in [-1, 1]^2",
    source=OURS,
)
def ripple(rng, *, samples, noise, waves):
    """Rings around a centre that fade outwards, as a height over the plane."""
    x = rng.uniform(-1, 1, (samples, 2))
    r = np.hypot(x[:, 0], x[:, 1])
    return Table(x, np.exp(-(r**2)) * cos(2 * pi * waves * r) + noise * rng.standard_normal(samples), PLANE)


# Real data -----------------------------------------------------------------------------------------------------------

DATA = Path(__file__).with_name("data")
UCI = "CC BY 4.0 (UCI Machine Learning Repository)"


@lru_cache(maxsize=8)
def _stored(key: str) -> Table:
    """The table in a file of ours. It is one for all who ask, so nobody may write into it."""
    with np.load(DATA / f"{key}.npz") as file:
        features, classes = (tuple(str(name) for name in file[part]) for part in ("features", "classes"))
        x, y = file["x"].astype(np.float64), file["y"].astype(np.int64 if classes else np.float64)
    x.setflags(write=False)
    y.setflags(write=False)
    return Table(x, y, features, classes)


@dataset(
    title="Handwritten digits",
    task="classification",
    image=(8, 8),
    formula=r"x \in \{0, \dots, 16\}^{8 \times 8},\qquad y \in \{0, \dots, 9\}",
    source=Source(
        "Alpaydin & Kaynak", 1998, "Optical Recognition of Handwritten Digits", "https://doi.org/10.24432/C50P49"
    ),
    licence=UCI,
    note="The 1,797 pictures of UCI's test set. A pixel counts the black ones in a block of 4 × 4, so it is 0 to 16.",
)
def digits(rng):
    """Pictures of 8 × 8 pixels by 13 writers: real, and still learnt in seconds."""
    return _stored("digits")


@dataset(
    title="Breast cancer",
    task="classification",
    formula=r"x \in \mathbb{R}^{30},\qquad y \in \{\text{malignant}, \text{benign}\}",
    source=Source(
        "Wolberg, Mangasarian, Street & Street",
        1993,
        "Breast Cancer Wisconsin (Diagnostic)",
        "https://doi.org/10.24432/C5DW2B",
    ),
    licence=UCI,
    note="Mean, standard error and worst value of ten properties of the cell nuclei in one picture.",
)
def breast_cancer(rng):
    """Thirty measurements on scales from 0.001 to 1,000: without standardization, large columns drown the others."""
    return _stored("breast_cancer")


@dataset(
    title="Wine",
    task="classification",
    formula=r"x \in \mathbb{R}^{13},\qquad y \in \{1, 2, 3\}",
    source=Source("Aeberhard & Forina", 1992, "Wine", "https://doi.org/10.24432/C5PC7J"),
    licence=UCI,
    note="A chemical analysis of wines from one region of Italy and three cultivars.",
)
def wine(rng):
    """Few examples and clear classes: what is left to see is the scale of the columns, and overfitting."""
    return _stored("wine")


@dataset(
    title="Iris",
    task="classification",
    formula=r"x \in \mathbb{R}^{4},\qquad y \in \{\text{setosa}, \text{versicolor}, \text{virginica}\}",
    source=Source(
        "Fisher",
        1936,
        "The use of multiple measurements in taxonomic problems",
        "https://doi.org/10.1111/j.1469-1809.1936.tb02137.x",
    ),
    licence=UCI,
    note="As printed by Fisher: two rows of UCI's file differ from that.",
)
def iris(rng):
    """The classic: one species stands apart, the other two overlap a little."""
    return _stored("iris")


@dataset(
    title="Diabetes",
    task="regression",
    formula=r"x \in \mathbb{R}^{10},\qquad y \in \{25, \dots, 346\}",
    source=Source(
        "Efron, Hastie, Johnstone & Tibshirani",
        2004,
        "Least Angle Regression",
        "https://doi.org/10.1214/009053604000000067",
    ),
    licence="none stated by its authors; distributed with scikit-learn (BSD 3-Clause)",
    note="In the units of the original, not scaled as in the paper. The target measures how far the disease has come "
    "after a year.",
)
def diabetes(rng):
    """Much noise and little structure: a straight line is hard to beat, and a large network overfits at once."""
    return _stored("diabetes")


# On the way to training ----------------------------------------------------------------------------------------------

ROWS_AT_LEAST = 10
VALIDATION = Param(
    "validation",
    "",
    0.2,
    0.0,
    0.5,
    domain="[0, 0.9]",
    title="validation share",
    help="Share of the examples that is kept for choosing hyperparameters and for stopping early.",
)
TEST = VALIDATION.but(
    name="test", title="test share", help="Share of the examples that is kept for the last judgement."
)


def split(table: Table, *, validation: float = 0.2, test: float = 0.2, seed: int = 0) -> Split:
    """The three parts of a table: every row is in exactly one, in an order that the seed decides.

    Classes are split one by one: each has its share of each part, rounded. A class of three rows or more is in every
    part whose share is not 0, and every class is in the training part. A share of 0 makes an empty part.

    Raises ValueError if the shares leave less than a tenth for training, or if the table is too small.
    """
    shares = float(VALIDATION.check(validation)), float(TEST.check(test))
    if sum(shares) > 0.9 + 1e-12:
        raise ValueError(f"validation and test may take 0.9 of the table at most, not {sum(shares):g}")
    rows = len(table.y)
    if rows < ROWS_AT_LEAST:
        raise ValueError(f"a table of {rows} rows is too small to split; it needs at least {ROWS_AT_LEAST}")
    order = _generator(seed, "split").permutation(rows)
    kind = table.y[order] if table.classes else np.zeros(rows, dtype=np.int64)
    part = np.zeros(rows, dtype=np.int64)  # by place in `order`: 0 training, 1 validation, 2 test
    for one in np.unique(kind):
        places = np.flatnonzero(kind == one)
        count = _counts(len(places), shares)
        part[places[: count[0]]] = 1
        part[places[count[0] : sum(count)]] = 2
    for i, (name, share) in enumerate(zip(("validation", "test"), shares, strict=True), start=1):
        if share and not (part == i).any():
            raise ValueError(f"no class has enough rows for a {name} part of {share:g}; a class of three rows would do")
    return Split(*(table.take(order[part == i]) for i in range(3)))


def _counts(size: int, shares: tuple[float, float]) -> tuple[int, int]:
    """How many of the `size` rows of one class go to validation and to test."""
    least = 1 if size >= 3 else 0
    validation, test = (max(least, round(share * size)) if share else 0 for share in shares)
    while validation + test > size - 1:  # training comes first
        if validation > test:
            validation -= 1
        else:
            test -= 1
    return validation, test


SHIFT = Param(
    "shift", "", 1.0, 0.0, 4.0, domain="[0, 8]", help="Pixels that a copy is moved by at most, up, down and sideways."
)
ANGLE = Param("angle", "", 10.0, 0.0, 45.0, domain="[0, 180]", help="Degrees that a copy is turned by at most.")
COPIES = Param("copies", "", 1, 0, 10, domain="[0, 10]", help="Altered copies that are added for every picture.")
VALUES_AT_MOST = 2_000_000  # in an augmented table: 16 MB


def augmented(
    table: Table,
    image: tuple[int, int] | None,
    *,
    shift: float = 1.0,
    angle: float = 10.0,
    copies: int = 1,
    seed: int = 0,
) -> Table:
    """The table and, below it, `copies` altered copies of each picture, (m·(1 + copies), d), with the labels kept.

    Every copy is turned by an angle from ±`angle` degrees and moved by ±`shift` pixels both ways, uniformly and by
    itself. This is for the training part, before `standardized`: what moves in from outside the picture is 0.

    Raises ValueError if the rows are no pictures of this size, or if the result would be too large.
    """
    most, turn, times = float(SHIFT.check(shift)), float(ANGLE.check(angle)), int(COPIES.check(copies))
    rows, width = table.x.shape
    if image is None or image[0] * image[1] != width:
        size = "a data set without pictures" if image is None else f"pictures of {image[0]} × {image[1]} pixels"
        raise ValueError(f"only pictures can be shifted and turned; this is {size} and has {width} columns")
    if times and rows * (1 + times) * width > VALUES_AT_MOST:
        fits = max(VALUES_AT_MOST // (rows * width) - 1, 0)
        raise ValueError(f"copies may be at most {fits} for {rows} pictures of {width} pixels, not {times}")
    draw, pictures = _generator(seed, "augmented"), table.x.reshape(rows, *image)
    x = [table.x]
    for _ in range(times):
        down, right, degrees = draw.uniform(-1, 1, (3, rows)) * np.array([most, most, turn])[:, None]
        x.append(warped(pictures, down=down, right=right, angle=degrees).reshape(rows, width))
    return table._replace(x=np.concatenate(x), y=np.tile(table.y, 1 + times))


def warped(pictures: np.ndarray, *, down: np.ndarray, right: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Pictures (n, rows, columns), each turned about its middle and then moved; `down`, `right`, `angle` are (n,).

    Angles are degrees counter-clockwise, movements are pixels. Between pixels it interpolates bilinearly, and outside
    of a picture everything is 0.
    """
    count, rows, columns = pictures.shape
    middle = np.array([rows - 1, columns - 1]) / 2
    i, j = np.indices((rows, columns))
    # Each pixel of the result asks where it came from: back along the movement, then back along the turn.
    v, u = i - middle[0] - down[:, None, None], j - middle[1] - right[:, None, None]
    c, s = cos(angle * pi / 180)[:, None, None], sin(angle * pi / 180)[:, None, None]
    from_i, from_j = middle[0] + s * u + c * v, middle[1] + c * u - s * v
    # A ring of zeros stands for all that is outside, so that a place beyond it may as well be on it.
    ringed = np.pad(pictures, ((0, 0), (1, 2), (1, 2)))
    from_i, from_j = np.clip(from_i, -1, rows) + 1, np.clip(from_j, -1, columns) + 1
    above, left = np.floor(from_i).astype(int), np.floor(from_j).astype(int)
    p, q = from_i - above, from_j - left
    n = np.arange(count)[:, None, None]
    return (
        (1 - p) * (1 - q) * ringed[n, above, left]
        + (1 - p) * q * ringed[n, above, left + 1]
        + p * (1 - q) * ringed[n, above + 1, left]
        + p * q * ringed[n, above + 1, left + 1]
    )


def standardized(split: Split) -> Split:
    """The same parts with every column shifted and scaled so that its training part has mean 0 and deviation 1.

    The mean and the deviation are those of the training part alone; validation and test are moved by the same amounts,
    for a network in use cannot know them. A column that is constant in the training part is shifted only. The targets
    of a regression task are standardized too, in the same way: a squared error of 1 is then that of always answering
    with the mean.
    """

    def scaled(column: str) -> list[np.ndarray]:
        known = getattr(split.train, column)
        deviation = known.std(axis=0)
        varies = (np.ptp(known, axis=0) > 0) & (deviation > 0)  # rounding gives a constant column a deviation, too
        return [(getattr(part, column) - known.mean(axis=0)) / np.where(varies, deviation, 1.0) for part in split]

    targets = [part.y for part in split] if split.train.classes else scaled("y")
    return Split(*(part._replace(x=x, y=y) for part, x, y in zip(split, scaled("x"), targets, strict=True)))
