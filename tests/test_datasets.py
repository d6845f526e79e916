"""Every data set against its card, generated ones against the curve they are drawn from, real ones against what is
published about them; then what happens to a table on its way: parts, copies, scales, and visitors' files.

All tests run over the catalogue: a new set is tested by existing, and has only to be added to CURVES or to PUBLISHED.
"""

import csv
import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import pi
from scipy import ndimage, stats

from optviz.csv_table import BYTES_AT_MOST, CLASSES_AT_MOST, COLUMNS_AT_MOST, ROWS_AT_MOST, read_csv
from optviz.datasets import (
    DATA,
    DATASETS,
    ROWS_AT_LEAST,
    Split,
    Table,
    augmented,
    split,
    standardized,
    warped,
)
from strategies import some_of

ROOT = Path(__file__).parents[1]
GENERATED = {key: entry for key, entry in DATASETS.items() if "samples" in entry.param}
REAL = {key: entry for key, entry in DATASETS.items() if key not in GENERATED}
every_set = pytest.mark.parametrize("entry", DATASETS.values(), ids=lambda entry: entry.key)
every_generated = pytest.mark.parametrize("entry", GENERATED.values(), ids=lambda entry: entry.key)
every_real = pytest.mark.parametrize("entry", REAL.values(), ids=lambda entry: entry.key)


def check_table(table: Table) -> None:
    """What everybody may rely on who is given a table."""
    m, d = table.x.shape
    assert table.x.dtype == np.float64
    assert np.isfinite(table.x).all()
    assert table.y.shape == (m,)
    assert len(table.features) == len(set(table.features)) == d
    if table.classes:
        assert table.task == "classification"
        assert table.y.dtype == np.int64
        assert set(table.y) == set(range(len(table.classes)))
        assert len(set(table.classes)) == len(table.classes) >= 2
    else:
        assert table.task == "regression"
        assert table.y.dtype == np.float64
        assert np.isfinite(table.y).all()
        assert np.ptp(table.y) > 0
    assert all(isinstance(name, str) and name.strip() == name != "" for name in (*table.features, *table.classes))


def same(one: Table, other: Table) -> bool:
    return bool(
        np.array_equal(one.x, other.x)
        and np.array_equal(one.y, other.y)
        and (one.features, one.classes) == (other.features, other.classes)
    )


# The catalogue -------------------------------------------------------------------------------------------------------


@every_set
def test_a_card_is_complete_and_tells_of_its_table(entry):
    assert len(entry.title) > 2
    assert len(entry.summary) > 30
    assert entry.formula
    assert len(entry.licence) > 2
    assert entry.source.authors
    assert entry.source.title
    assert entry.source.url.startswith("https://") or entry.source.url == ""
    table = entry.table()
    check_table(table)
    assert table.task == entry.task
    if entry.image:
        assert entry.image[0] * entry.image[1] == table.x.shape[1]


def test_the_agreed_names():
    assert list(DATASETS) == [
        *("xor", "moons", "circles", "gaussians", "spirals", "wave", "ripple"),
        *("digits", "breast_cancer", "wine", "iris", "diabetes"),
    ]
    assert [key for key, entry in DATASETS.items() if entry.task == "regression"] == ["wave", "ripple", "diabetes"]
    assert {key: entry.image for key, entry in DATASETS.items() if entry.image} == {"digits": (8, 8)}


@every_generated
def test_a_seed_is_a_sample(entry):
    assert same(entry.table(seed=3), entry.table(seed=3))
    assert not np.array_equal(entry.table(seed=3).x, entry.table(seed=4).x)
    assert not np.isin(entry.table(seed=3, noise=0.1).x, entry.table(seed=4, noise=0.1).x).any()


@every_generated
@pytest.mark.parametrize("samples", [20, 21, 100, 2000])
def test_as_many_examples_as_asked_for_and_classes_in_balance(entry, samples):
    table = entry.table(samples=samples)
    assert len(table.y) == samples
    if table.classes:
        assert np.ptp(np.bincount(table.y, minlength=len(table.classes))) <= 1


@every_generated
def test_every_value_that_a_parameter_may_have_gives_a_table(entry):
    @settings(max_examples=30)
    @given(some_of(entry.param), st.integers(0, 2**32 - 1))
    def drawn(values, seed):
        table = entry.table(seed=seed, **values)
        complete = entry.complete(values)
        assert len(table.y) == complete["samples"]
        assert np.isfinite(table.x).all()
        assert np.isfinite(table.y).all()
        if "classes" in complete:
            assert set(table.y) == set(range(int(complete["classes"])))
            assert len(table.classes) == complete["classes"]

    drawn()


@every_generated
@pytest.mark.parametrize(
    "wrong", [{"samples": 2001}, {"samples": 19}, {"noise": -0.1}, {"noise": "much"}, {"sigma": 1}]
)
def test_what_is_not_allowed_is_refused_by_name(entry, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        entry.table(**wrong)


@every_set
@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "0", None, True])
def test_a_seed_is_a_whole_number_for_all(entry, seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        entry.table(seed=seed)


# Generated sets against their curves ---------------------------------------------------------------------------------


def away_from_moons(table, values):
    u, v = table.x.T
    upper = np.maximum(np.abs(u**2 + v**2 - 1), -v)
    lower = np.maximum(np.abs((u - 1) ** 2 + (v - 0.5) ** 2 - 1), v - 0.5)
    return np.where(table.y == 0, upper, lower)


def away_from_circles(table, values):
    return np.hypot(*table.x.T) - np.where(table.y == 0, 1.0, values["ratio"])


def away_from_centres(table, values):
    corner = np.exp(2j * pi * table.y / values["classes"])
    return np.abs(table.x @ [1, 1j] - corner)


def away_from_spirals(table, values):
    z = table.x @ [1, 1j]
    arm = np.abs(z) * np.exp(2j * pi * (values["turns"] * np.abs(z) + table.y / values["classes"]))
    return np.abs(z - arm) + np.maximum(0.1 - np.abs(z), 0) + np.maximum(np.abs(z) - 1, 0)


def away_from_xor(table, values):
    unlike = table.x[:, 0] * table.x[:, 1] < 0
    return (unlike != table.y) + np.maximum(np.abs(table.x).max(axis=1) - 1, 0) + (table.x == 0).any(axis=1)


def away_from_wave(table, values):
    return table.y - np.sin(pi * values["waves"] * table.x[:, 0])


def away_from_ripple(table, values):
    squared = (table.x**2).sum(axis=1)
    return table.y - np.exp(-squared) * np.cos(2 * pi * values["waves"] * squared**0.5)


CURVES = {
    "xor": away_from_xor,
    "moons": away_from_moons,
    "circles": away_from_circles,
    "gaussians": away_from_centres,
    "spirals": away_from_spirals,
    "wave": away_from_wave,
    "ripple": away_from_ripple,
}
ELSEWHERE = {"ratio": 0.3, "classes": 5, "turns": 2.25, "waves": 3.5}


def test_every_generated_set_has_its_curve_here():
    assert set(CURVES) == set(GENERATED)


@every_generated
@pytest.mark.parametrize("other", [False, True], ids=["defaults", "elsewhere"])
def test_without_noise_every_point_is_on_its_curve(entry, other):
    values = {name: value for name, value in ELSEWHERE.items() if other and name in entry.param}
    table = entry.table(seed=1, noise=0.0, samples=1000, **values)
    np.testing.assert_allclose(CURVES[entry.key](table, entry.complete(values)), 0, atol=1e-14)


@every_generated
def test_noise_moves_the_same_points_by_its_own_amount(entry):
    """Normal of deviation σ in every direction, or on the targets of a regression; twice σ moves twice as far."""
    exact, once, twice = (entry.table(seed=2, samples=2000, noise=noise) for noise in (0.0, 0.2, 0.4))
    column = "y" if entry.task == "regression" else "x"
    still = "x" if column == "y" else "y"
    moved, further = (getattr(table, column) - getattr(exact, column) for table in (once, twice))
    np.testing.assert_allclose(further, 2 * moved, atol=1e-14)
    np.testing.assert_array_equal(getattr(exact, still), getattr(once, still))
    assert stats.kstest(moved.ravel() / 0.2, "norm").pvalue > 0.01
    if column == "x":
        assert abs(np.corrcoef(moved.T)[0, 1]) < 0.07  # the directions know nothing of each other


@pytest.mark.parametrize(
    ("key", "along"),
    [
        ("xor", lambda table: np.abs(table.x).ravel()),
        ("moons", lambda table: np.arccos(table.x[table.y == 0, 0]) / pi),
        ("moons", lambda table: np.arccos(1 - table.x[table.y == 1, 0]) / pi),
        ("circles", lambda table: np.arctan2(*table.x.T) / (2 * pi) + 0.5),
        ("spirals", lambda table: (np.hypot(*table.x.T) - 0.1) / 0.9),
        ("wave", lambda table: (table.x[:, 0] + 1) / 2),
        ("ripple", lambda table: (table.x.ravel() + 1) / 2),
    ],
)
def test_points_are_spread_evenly_along_the_curve(key, along):
    table = DATASETS[key].table(seed=5, samples=2000, noise=0.0)
    assert stats.kstest(np.clip(along(table), 0, 1), "uniform").pvalue > 0.01


# Real sets against what is published ---------------------------------------------------------------------------------

# Shape, class counts and figures (column: least, greatest, mean to the digits given) from the sets' own descriptions;
# SHA-256 of x and y as little-endian doubles.
PUBLISHED = {
    "digits": (
        (1797, 64),
        (178, 182, 177, 183, 181, 182, 181, 179, 174, 180),
        {},
        "f19a7d92591ca0a1ffc65ec172e8149afdff995e0d2c4cb0afd151f38471ff90",
    ),
    "breast_cancer": (
        (569, 30),
        (212, 357),
        {"mean radius": (6.981, 28.11, "14.13"), "mean area": (143.5, 2501.0, "654.89")},
        "cdd5f37c36cbdfc2e5ee074cec7540fac54340874afb25917a673e446270d0d0",
    ),
    "wine": (
        (178, 13),
        (59, 71, 48),
        {"alcohol": (11.03, 14.83, "13.0"), "proline": (278, 1680, "747")},
        "c7e84e8e03b2b5a354287416d84d08945318450658a22a63c39973d8306c2ca4",
    ),
    "iris": (
        (150, 4),
        (50, 50, 50),
        {
            "sepal length (cm)": (4.3, 7.9, "5.84"),
            "sepal width (cm)": (2.0, 4.4, "3.06"),
            "petal length (cm)": (1.0, 6.9, "3.76"),
            "petal width (cm)": (0.1, 2.5, "1.20"),
        },
        "18565d0da72dafd52595fe48b03ca9b06dfc2c05d0c4c155576631d0aae8eb7e",
    ),
    "diabetes": (
        (442, 10),
        (),
        {"age": (19, 79, "48.5"), "sex": (1, 2, "1.5"), "body mass index": (18.0, 42.2, "26.4")},
        "e9c1f7559552854a24dc45b41c446ce5f79f96e5da081bcce24b57492720b3f7",
    ),
}


def test_every_real_set_has_its_figures_its_file_and_its_licence():
    assert set(PUBLISHED) == set(REAL) == {path.stem for path in DATA.glob("*.npz")}
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for key, entry in REAL.items():
        (line,) = [line for line in readme.splitlines() if line.startswith(f"| `{key}.npz`")]
        assert str(entry.source.year) in line
        assert ("CC BY 4.0" in line) == ("CC BY 4.0" in entry.licence)
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 200_000


@every_real
def test_a_real_set_is_the_published_one(entry):
    shape, counts, columns, digest = PUBLISHED[entry.key]
    table = entry.table()
    assert table.x.shape == shape
    assert not counts or tuple(np.bincount(table.y)) == counts
    for name, (least, greatest, mean) in columns.items():
        column = table.x[:, table.features.index(name)]
        assert (column.min(), column.max()) == (least, greatest)
        assert f"{column.mean():.{len(mean.partition('.')[2])}f}" == mean
    data = table.x.astype("<f8").tobytes() + table.y.astype("<f8").tobytes()
    assert hashlib.sha256(data).hexdigest() == digest


def test_digits_are_pictures_of_digits():
    table = DATASETS["digits"].table()
    assert set(np.unique(table.x)) == set(range(17))
    assert table.classes == tuple("0123456789")
    assert table.features[:2] == ("row 1, column 1", "row 1, column 2")
    mean = {int(name): table.x[table.y == i].mean(axis=0).reshape(8, 8) for i, name in enumerate(table.classes)}
    assert mean[0][3:5, 3:5].mean() < 1 < 8 < mean[1][3:5, 3:5].mean()  # a nought is hollow, a one is not


def test_benign_and_malignant_are_not_mixed_up():
    table = DATASETS["breast_cancer"].table()
    radius = table.x[:, table.features.index("mean radius")]
    assert table.classes[table.y[radius.argmax()]] == "malignant"
    assert np.bincount(table.y)[table.classes.index("malignant")] == 212


def test_diabetes_is_in_its_own_units():
    y = DATASETS["diabetes"].table().y
    assert (y.min(), y.max(), round(y.mean(), 1)) == (25, 346, 152.1)


@every_real
def test_a_real_set_is_one_for_all_seeds_and_nobody_can_change_it(entry):
    table = entry.table(seed=1)
    assert same(table, entry.table(seed=2))
    for array in (table.x, table.y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_files_are_found_from_anywhere_and_need_numpy_only(tmp_path):
    code = (
        "import sys, optviz\n"
        "for entry in optviz.DATASETS.values(): entry.table()\n"
        "print(len(optviz.DATASETS), *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    count, *loaded = done.stdout.split()
    assert int(count) == len(DATASETS)
    assert "numpy" in loaded
    assert set(loaded) & {"jax", "scipy", "sklearn", "pandas", "optax"} == set()


# Parts ---------------------------------------------------------------------------------------------------------------


def numbered_rows(y: np.ndarray, classes: int = 0) -> Table:
    """A table whose only feature is the number of the row."""
    names = tuple(f"class {i}" for i in range(classes))
    return Table(np.arange(len(y), dtype=np.float64)[:, None], y, ("row",), names)


def rows(part: Table) -> list[int]:
    return [int(row) for row in part.x[:, 0]]


@every_set
def test_parts_are_disjoint_complete_and_in_proportion(entry):
    table = entry.table()
    given = numbered_rows(table.y, len(table.classes))
    parts = split(given, validation=0.25, test=0.15, seed=7)
    numbers = [row for part in parts for row in rows(part)]
    assert sorted(numbers) == list(range(len(table.y)))
    for part, share in zip(parts, (0.6, 0.25, 0.15), strict=True):
        np.testing.assert_array_equal(part.y, table.y[rows(part)])
        assert (part.features, part.classes) == (given.features, given.classes)
        of_class = [np.arange(len(table.y))] if not table.classes else [table.y == i for i in range(len(table.classes))]
        for chosen in of_class:
            here = np.isin(rows(part), np.arange(len(table.y))[chosen]).sum()
            assert abs(here - share * len(table.y[chosen])) <= 1


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=20).filter(lambda sizes: sum(sizes) >= ROWS_AT_LEAST),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
    st.integers(0, 2**32 - 1),
)
def test_classes_of_any_size_are_split_fairly(sizes, validation, test, seed):
    if validation + test > 0.9:
        validation, test = validation / 2, test / 2
    y = np.repeat(np.arange(len(sizes)), sizes)
    shares = (1 - validation - test, validation, test)
    given = numbered_rows(y, len(sizes))
    if max(sizes) < 3 and any(share and round(share * max(sizes)) == 0 for share in shares[1:]):
        with pytest.raises(ValueError, match="no class has enough rows for a"):
            split(given, validation=validation, test=test, seed=seed)
        return
    parts = split(given, validation=validation, test=test, seed=seed)
    assert sorted(row for part in parts for row in rows(part)) == list(range(len(y)))
    for i, size in enumerate(sizes):
        counts = [int((part.y == i).sum()) for part in parts]
        assert counts[0] >= 1 or size == 0
        for count, share in zip(counts, shares, strict=True):
            assert count > 0 or size < 3 or share == 0
            assert count == 0 or share > 0
        if all(share * size >= 1 for share in shares if share):  # nobody needs a row from somebody else's share
            assert all(abs(count - share * size) <= 1 for count, share in zip(counts, shares, strict=True))


def test_a_split_follows_its_seed_and_shuffles():
    table = DATASETS["iris"].table()
    given = numbered_rows(table.y, 3)
    one, again, other = (split(given, seed=seed) for seed in (0, 0, 1))
    assert all(same(*pair) for pair in zip(one, again, strict=True))
    assert not any(same(*pair) for pair in zip(one, other, strict=True))
    assert rows(one.train) != sorted(rows(one.train))
    assert len(set(one.train.y[:10])) > 1  # the file is sorted by class, a batch must not be


def test_where_a_point_lies_says_nothing_about_its_part():
    """Were the points and the split drawn from one stream of random numbers, seed by seed they would depend."""
    distance = []
    for seed in range(100):
        parts = split(DATASETS["wave"].table(seed=seed), seed=seed)
        distance.append(parts.test.x.mean() - parts.train.x.mean())
    assert abs(np.mean(distance)) < 2.6 * np.std(distance) / 10  # standard errors
    expected = (1 / 3 * (1 / 20 + 1 / 60)) ** 0.5  # deviation of the difference of two means, uniform on ±1
    assert np.std(distance) == pytest.approx(expected, rel=0.25)


def test_a_part_may_be_left_out():
    parts = split(DATASETS["iris"].table(), validation=0.0, test=0.2)
    assert [len(part.y) for part in parts] == [120, 0, 30]
    assert parts.validation.x.shape == (0, 4)
    assert [len(part.y) for part in split(DATASETS["wave"].table(), validation=0, test=0)] == [100, 0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": -0.1}, "validation must be a number in"),
        ({"test": 1.0}, "test must be a number in"),
        ({"validation": float("nan")}, "validation must be"),
        ({"validation": 0.5, "test": 0.5}, r"may take 0\.9 of the table at most, not 1"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_impossible_parts_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        split(DATASETS["iris"].table(), **changes)


def test_a_small_table_is_refused():
    with pytest.raises(ValueError, match="a table of 9 rows is too small to split; it needs at least 10"):
        split(numbered_rows(np.arange(9.0)))
    with pytest.raises(ValueError, match=r"no class has enough rows for a validation part of 0\.1"):
        split(numbered_rows(np.arange(10) // 2, 5), validation=0.1)
    assert [len(part.y) for part in split(numbered_rows(np.arange(10.0)), validation=0.01, test=0.01)] == [8, 1, 1]


# Scales --------------------------------------------------------------------------------------------------------------


@every_set
def test_the_training_part_gets_mean_0_and_deviation_1(entry):
    raw = split(entry.table())
    parts = standardized(raw)
    varies = np.ptp(raw.train.x, axis=0) > 0
    np.testing.assert_allclose(parts.train.x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(parts.train.x.std(axis=0), varies, atol=1e-12)
    for part, before in zip(parts, raw, strict=True):
        check_finite = np.isfinite(part.x).all() and np.isfinite(part.y).all()
        assert check_finite
        expected = (before.x - raw.train.x.mean(axis=0)) / np.where(varies, raw.train.x.std(axis=0), 1)
        np.testing.assert_allclose(part.x, expected, rtol=1e-12, atol=1e-12)
        if entry.task == "classification":
            np.testing.assert_array_equal(part.y, before.y)
        else:
            np.testing.assert_allclose(part.y, (before.y - raw.train.y.mean()) / raw.train.y.std(), rtol=1e-12)


@every_set
def test_nothing_of_validation_and_test_enters(entry):
    """Whatever the other parts hold, the training part and each other part come out the same to the last bit."""
    raw = split(entry.table())
    strange = [part._replace(x=1e6 + 1e3 * part.x**2, y=part.y if part.classes else part.y - 1e6) for part in raw]
    plain = standardized(raw)
    assert same(standardized(Split(raw.train, strange[1], strange[2])).train, plain.train)
    assert same(standardized(Split(raw.train, strange[1], raw.test)).test, plain.test)
    assert same(standardized(Split(raw.train, raw.validation, strange[2])).validation, plain.validation)
    assert not same(standardized(Split(strange[0], raw.validation, raw.test)).test, plain.test)  # the net does catch


def test_a_constant_column_stays_finite():
    """0.1 seven times has a computed deviation of 1e-17, which must not be divided by."""
    x = np.column_stack([np.full(7, 0.1), np.zeros(7), np.arange(7) * 1e-200])
    y = np.full(7, 0.3)
    other = x[:2] + 1
    parts = standardized(Split(*(Table(a, b, ("a", "b", "c")) for a, b in ((x, y), (other, y[:2]), (x[:0], y[:0])))))
    assert np.abs(parts.train.x[:, :2]).max() < 1e-15
    assert np.abs(parts.train.y).max() < 1e-15
    np.testing.assert_allclose(parts.validation.x, 1, atol=1e-12)  # shifted by the training mean, not scaled
    assert parts.test.x.shape == (0, 3)
    assert np.isfinite(parts.train.x).all()


# Pictures ------------------------------------------------------------------------------------------------------------

PICTURES = np.random.default_rng(0).uniform(0, 16, (3, 8, 8))


def moved(pictures: np.ndarray, down: float = 0, right: float = 0, angle: float = 0) -> np.ndarray:
    full = [np.full(len(pictures), float(value)) for value in (down, right, angle)]
    return warped(pictures, down=full[0], right=full[1], angle=full[2])


def test_nothing_moved_is_nothing_changed():
    np.testing.assert_array_equal(moved(PICTURES), PICTURES)


def test_one_pixel_is_one_pixel():
    down, right, both = moved(PICTURES, down=1), moved(PICTURES, right=1), moved(PICTURES, down=-2, right=3)
    np.testing.assert_array_equal(down[:, 1:], PICTURES[:, :-1])
    np.testing.assert_array_equal(down[:, 0], 0)
    np.testing.assert_array_equal(right[:, :, 1:], PICTURES[:, :, :-1])
    np.testing.assert_array_equal(right[:, :, 0], 0)
    np.testing.assert_array_equal(both[:, :-2, 3:], PICTURES[:, 2:, :-3])
    assert both[:, -2:].sum() == both[:, :, :3].sum() == 0


def test_half_a_pixel_is_the_mean_of_two():
    half = moved(PICTURES, right=0.5)
    np.testing.assert_allclose(half[:, :, 1:], (PICTURES[:, :, 1:] + PICTURES[:, :, :-1]) / 2, rtol=1e-14)
    np.testing.assert_allclose(half[:, :, 0], PICTURES[:, :, 0] / 2, rtol=1e-14)  # the other half came from outside


@pytest.mark.parametrize("quarters", [1, 2, 3, 4, -1])
def test_quarter_turns_are_exact_and_counter_clockwise(quarters):
    turned = moved(PICTURES, angle=90 * quarters)
    np.testing.assert_allclose(turned, np.rot90(PICTURES, quarters, axes=(1, 2)), atol=1e-12)


def test_a_picture_need_not_be_square():
    wide = PICTURES[:, :5]
    np.testing.assert_allclose(moved(wide, angle=180), wide[:, ::-1, ::-1], atol=1e-12)
    np.testing.assert_array_equal(moved(wide, right=2)[:, :, 2:], wide[:, :, :-2])


def test_far_away_is_empty():
    assert moved(PICTURES, down=1e6).sum() == moved(PICTURES, right=-9).sum() == 0


@pytest.mark.parametrize("angle", [3.0, -17.5, 45.0, 123.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -1.7)])
def test_any_movement_equals_scipys(angle, shift):
    """A second opinion on the interpolation: SciPy is asked for the same places, of the first order."""
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    matrix, middle = np.array([[c, s], [-s, c]]), np.array([3.5, 3.5])
    offset = middle - matrix @ (middle + shift)
    expected = [
        ndimage.affine_transform(picture, matrix, offset, order=1, mode="grid-constant") for picture in PICTURES
    ]
    np.testing.assert_allclose(moved(PICTURES, shift[0], shift[1], angle), expected, atol=1e-12)


def test_copies_come_below_with_their_labels():
    table, image = DATASETS["digits"].table().take(np.arange(100)), DATASETS["digits"].image
    more = augmented(table, image, shift=1.5, angle=15, copies=3, seed=0)
    check_table(more)
    assert more.x.shape == (400, 64)
    np.testing.assert_array_equal(more.x[:100], table.x)
    np.testing.assert_array_equal(more.y, np.tile(table.y, 4))
    assert (more.features, more.classes) == (table.features, table.classes)
    assert not (more.x[100:].reshape(3, 100, 64) == table.x).all(axis=2).any()
    assert more.x.min() >= 0
    assert more.x.max() <= 16
    ink = more.x.reshape(4, 100, 64).sum(axis=2)
    assert (ink[1:] > 0.5 * ink[0]).all()  # moved a little, not out of sight


def test_copies_follow_their_seed_and_more_leave_the_first_as_they_are():
    table, image = DATASETS["digits"].table().take(np.arange(20)), DATASETS["digits"].image
    one, again, other = (augmented(table, image, shift=1, angle=10, copies=2, seed=seed) for seed in (0, 0, 1))
    assert same(one, again)
    assert not np.array_equal(one.x, other.x)
    np.testing.assert_array_equal(augmented(table, image, shift=1, angle=10, copies=4, seed=0).x[:60], one.x)


def test_copies_without_movement_are_copies():
    table, image = DATASETS["digits"].table().take(np.arange(20)), DATASETS["digits"].image
    np.testing.assert_array_equal(augmented(table, image, shift=0, angle=0, copies=2).x, np.tile(table.x, (3, 1)))
    assert same(augmented(table, image, copies=0), table)


def test_a_shift_reaches_its_amount_both_ways_and_no_further():
    """A single bright pixel far from the rim shows how far each copy was moved."""
    x = np.zeros((500, 225))
    x[:, 7 * 15 + 7] = 1.0
    table = Table(x, np.arange(500) % 2, tuple(map(str, range(225))), ("a", "b"))
    copies = augmented(table, (15, 15), shift=3.0, angle=0, copies=1).x[500:].reshape(500, 15, 15)
    moved = (copies[..., None] * np.moveaxis(np.indices((15, 15)), 0, -1)).sum(axis=(1, 2)) - 7
    assert stats.kstest(moved.ravel() / 6 + 0.5, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.15


@pytest.mark.parametrize(
    ("key", "image", "changes", "message"),
    [
        ("iris", None, {}, "a data set without pictures and has 4 columns"),
        ("iris", (8, 8), {}, "pictures of 8 × 8 pixels and has 4 columns"),
        ("digits", (8, 8), {"copies": 11}, "copies must be a whole number in"),
        ("digits", (8, 8), {"copies": 1.5}, "copies must be a whole number in"),
        ("digits", (8, 8), {"shift": -1}, "shift must be a number in"),
        ("digits", (8, 8), {"angle": 181}, "angle must be a number in"),
        ("digits", (8, 8), {"seed": 0.5}, "seed must be"),
    ],
)
def test_impossible_copies_are_refused(key, image, changes, message):
    with pytest.raises(ValueError, match=message):
        augmented(DATASETS[key].table(), image, **changes)


def test_too_many_copies_of_large_pictures_are_refused():
    table = Table(np.zeros((1000, 900)), np.zeros(1000), tuple(map(str, range(900))))
    with pytest.raises(ValueError, match="copies may be at most 1 for 1000 pictures of 900 pixels, not 2"):
        augmented(table, (30, 30), copies=2)


# A file of your own --------------------------------------------------------------------------------------------------

FLOWERS = "length,width,kind\n" + "\n".join(f"{i},{i / 4},{'rose' if i % 3 else 'lily'}" for i in range(12))


def test_a_file_with_names_numbers_and_classes():
    table = read_csv(FLOWERS)
    check_table(table)
    assert table.features == ("length", "width")
    assert table.classes == ("lily", "rose")
    np.testing.assert_array_equal(table.x, np.column_stack([np.arange(12), np.arange(12) / 4]))
    np.testing.assert_array_equal(table.y, np.arange(12) % 3 > 0)


@pytest.mark.parametrize(
    "source",
    [
        FLOWERS.encode(),
        FLOWERS.encode("utf-8-sig"),
        "\ufeff" + FLOWERS,
        FLOWERS + "\n",
        FLOWERS.replace("\n", "\r\n"),
        FLOWERS.replace("\n", "\r"),
        FLOWERS.replace(",", ";"),
        FLOWERS.replace(",", "\t"),
        FLOWERS.replace(",", " , "),
        FLOWERS.replace("\n", "\n\n"),
        "\n,,\n" + FLOWERS + "\n,,\n",
        FLOWERS.replace("rose", '"rose"').replace("kind", '"kind"'),
        FLOWERS.replace("rose", '\u00a0 "rose"').replace('\u00a0 "rose"', ' "rose"'),
        FLOWERS.replace(",rose", ",rose\u00a0"),
        FLOWERS.replace("6,", "6.,").replace("\n0,", "\n+.0e5,").replace("\n9,", "\n9E0,"),
    ],
)
def test_the_ways_to_write_the_same_file(source):
    assert same(read_csv(source), read_csv(FLOWERS))


def test_quotes_hold_separators_quotes_and_line_ends():
    table = read_csv(FLOWERS.replace("length", '"length, ""cm"",\n of the stem"'))
    assert table.features == ('length, "cm", of the stem', "width")


def test_without_names_columns_are_numbered():
    table = read_csv(FLOWERS.split("\n", 1)[1])
    assert table.features == ("column 1", "column 2")
    assert len(table.y) == 12
    assert read_csv(FLOWERS.split("\n", 1)[1], target="column 3").classes == ("lily", "rose")


def test_names_in_any_script():
    table = read_csv(FLOWERS.replace("length", "Länge").replace("rose", "玫瑰").encode())
    assert table.features[0] == "Länge"
    assert "玫瑰" in table.classes


def column(cells, name="target") -> str:
    return f"feature,{name}\n" + "\n".join(f"{i / 2},{cell}" for i, cell in enumerate(cells))


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        ([0, 1] * 6, ("0", "1")),
        ([3, 3.0, "2.00", -1] * 3, ("-1", "2", "3")),
        (["1e3", 20] * 5, ("20", "1000")),
        (["-0", 0, 7] * 4, ("0", "7")),
        ([10**20, 0] * 6, ("0", "1e+20")),
        (list(range(20)) * 2, tuple(map(str, range(20)))),
        (["yes", "no"] * 5, ("no", "yes")),
        (["none", "+", "-"] * 4, ("+", "-", "none")),
        (["1", "2", "A"] * 4, ("1", "2", "A")),
        (["=1+1", "__import__('os').abort()"] * 5, ("=1+1", "__import__('os').abort()")),  # a name like any other
    ],
)
def test_few_whole_numbers_and_texts_are_classes(cells, classes):
    table = read_csv(column(cells))
    check_table(table)
    assert table.classes == classes
    for cell, i in zip(cells, table.y, strict=True):
        assert table.classes[i] == str(cell) or float(table.classes[i]) == float(cell)


@pytest.mark.parametrize(
    "cells",
    [
        [0.5, 1] * 6,  # not whole
        list(range(21)) * 3,  # more than twenty
        list(range(10)),  # one of each
        [*range(9), 0, 1, 2, 3, 4, 5, 6, 7],  # two of most, not of all
        [1e-5 * i for i in range(10)],
    ],
)
def test_other_numbers_are_a_regression(cells):
    table = read_csv(column(cells))
    check_table(table)
    assert table.task == "regression"
    np.testing.assert_array_equal(table.y, np.array(cells, dtype=float))


def test_the_target_may_be_any_column():
    table = read_csv(FLOWERS.replace("kind", "a").replace("rose", "1").replace("lily", "0"), target="length")
    assert table.task == "regression"
    assert table.features == ("width", "a")
    np.testing.assert_array_equal(table.y, np.arange(12))


LONG = "x" * 1000


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "the file is empty"),
        (b"", "the file is empty"),
        ("\ufeff\n\n ,, \n", "the file is empty"),
        (None, "must be given as text or bytes, not NoneType"),
        (FLOWERS.encode("utf-16"), "written in UTF-16; save it as “CSV UTF-8”"),
        (FLOWERS.replace("rose", "rosé").encode("latin-1"), "row 3 is not written in UTF-8 but perhaps in Latin-1"),
        ("a\ud800,b", "row 1 is not written in UTF-8"),
        ("\0", "row 1, column 1: character U\\+0000 cannot be shown; delete it"),
        (FLOWERS.replace("5,1.25", "5,1.\x0025"), "row 7, column 2: character U\\+0000 cannot be shown; delete it"),
        (FLOWERS.replace("rose", "ro\u202ese"), "row 3, column 3: character U\\+202E cannot be shown; delete it"),
        (FLOWERS.replace("rose", LONG), "row 3, column 3: 1000 characters in one cell; at most 200"),
        (FLOWERS.replace("5,1.25", "5,1.25,"), "row 7 has 4 cells and row 1 has 3, separated by commas; put a cell"),
        (FLOWERS + "\n1", "row 14 has 1 cell and row 1 has 3"),
        (FLOWERS.replace("5,1.25", '5,"1.25'), "row 7 cannot be read .*; quotes must come in pairs"),
        ("one\n1\n2\n3", "there is one column only"),
        (FLOWERS.replace("length", ""), "row 1, column 1 has no name; name it, or delete the column"),
        (FLOWERS.replace("length", "width"), "columns 1 and 2 are both called “width”; rename one"),
        (FLOWERS.replace("length", " width "), "columns 1 and 2 are both called “width”"),
        (FLOWERS.replace("length", "1999"), "row 1, column 2: “width” stands above numbers; if this is a name, begin"),
        (FLOWERS.replace("length,width,kind", "1,2,3"), "row 1, column 3: “3” stands above text; if this is a name"),
        (FLOWERS.replace("5,1.25", "5,"), "row 7, column “width” is missing \\(“”\\); fill it in, or delete the row"),
        (FLOWERS.replace("5,1.25", "NaN,1.25"), "row 7, column “length” is missing \\(“NaN”\\)"),
        (FLOWERS.replace("lily", "?"), "row 2, column “kind” is missing \\(“\\?”\\)"),
        (FLOWERS.replace("lily", ""), "row 2, column “kind” is missing \\(“”\\)"),
        (FLOWERS.replace("5,1.25", "5,-inf"), "row 7, column “width” is infinite \\(“-inf”\\); correct it"),
        (FLOWERS.replace("lily", "Infinity"), "row 2, column “kind” is infinite"),
        (FLOWERS.replace("5,1.25", "5,1e400"), "row 7, column “width” is “1e400”; a number must be 0 or 1e-100 to"),
        (FLOWERS.replace("5,1.25", "5,-1e101"), "row 7, column “width” is “-1e101”; .* choose another unit"),
        (FLOWERS.replace("5,1.25", "5,1e-400"), "row 7, column “width” is “1e-400”; .* choose another unit"),
        (FLOWERS.replace("5,1.25", "5,1_000"), "is the text “1_000”, and a feature must be a number"),
        (FLOWERS.replace("5,1.25", "5,0x10"), "is the text “0x10”"),
        (FLOWERS.replace("5,1.25", "5,١٢"), "is the text “١٢”"),
        (FLOWERS.replace("5,1.25", "5,2024-01-31"), "is the text “2024-01-31”"),
        (FLOWERS.replace("5,1.25", '5,"1,25"'), "row 7, column “width” has a comma in a number \\(“1,25”\\); write"),
        (FLOWERS.replace("5,1.25", '5,"1,234.5"'), "row 7, column “width” has a comma in a number"),
        (FLOWERS.replace(",", ";").replace(".", ","), "row 2, column “width” has a comma in a number \\(“0,0”\\)"),
        (
            "1,5;2,5;3\n1,5;2,5;4\n" * 6,
            "row 1, column 1 has a comma in a number \\(“1,5”\\); write 1234.5 with a point",
        ),
        (column(["same"] * 12), "the target is “same” in every row; two classes or two values are needed"),
        (column([3] * 12), "the target is “3” in every row"),
        (column([3.5] * 12), "the target is “3.5” in every row"),
        (column([f"k{i}" for i in range(21)]), "the target has 21 classes, “k0” among them; at most 20 are allowed"),
        (
            column([*(i / 3 for i in range(30)), "n.d."]),
            "row 32, column “target”: “n.d.” is text in a column of numbers",
        ),
        (column(range(9)), "the file has 9 rows of data; at least 10 are needed"),
        ("a,b\n1,2", "the file has 1 row of data"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(source, message):
    with pytest.raises(ValueError, match=message) as error:
        read_csv(source)
    assert len(str(error.value)) < 300
    with pytest.raises(ValueError, match=r"^“mine\.csv”: "):
        read_csv(source, name="mine.csv")


def test_an_unknown_target_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="there is no column “colour”; there are “length”, “width”, “kind”"):
        read_csv(FLOWERS, target="colour")
    with pytest.raises(ValueError, match="row 2, column “kind” is the text “lily”, and a feature must be a number"):
        read_csv(FLOWERS, target="length")


@pytest.mark.parametrize("names", [True, False])
def test_every_limit_is_reached_and_not_passed(names):
    def table(rows: int, columns: int) -> str:
        head = [",".join(f"c{i}" for i in range(columns))] if names else []
        return "\n".join([*head, *(f"{i % 2}" + f",{i % 2}" * (columns - 1) for i in range(rows))])

    assert read_csv(table(ROWS_AT_MOST, 2)).x.shape == (ROWS_AT_MOST, 1)
    with pytest.raises(ValueError, match=f"more than {ROWS_AT_MOST} rows; leave some out"):
        read_csv(table(ROWS_AT_MOST + 1, 2))
    assert read_csv(table(12, COLUMNS_AT_MOST)).x.shape == (12, COLUMNS_AT_MOST - 1)
    with pytest.raises(ValueError, match=f"row 1 has {COLUMNS_AT_MOST + 1} columns; at most {COLUMNS_AT_MOST}"):
        read_csv(table(12, COLUMNS_AT_MOST + 1))
    full = table(12, 2) + "\n"
    full += "\n" * (BYTES_AT_MOST - len(full))
    assert len(read_csv(full).y) == len(read_csv(full.encode()).y) == 12
    for larger in (full + "\n", full.encode() + b"\n", full.replace("\n\n", "\né", 1)):
        with pytest.raises(ValueError, match="the file is larger than 1 MB; leave out rows or columns"):
            read_csv(larger)
    assert len(read_csv(column([f"k{i}" for i in range(CLASSES_AT_MOST)])).classes) == CLASSES_AT_MOST


@pytest.mark.parametrize(
    "unit", [",", "\n", '"', "1,", '1,"', ",\n", '";', "1" * 100 + "\n", "\r", " ", "a;b,c\n", "\x85", "1,1,1\n", '""']
)
def test_the_worst_files_are_refused_quickly(unit):
    text = (unit * BYTES_AT_MOST)[:BYTES_AT_MOST]
    for source in (text, "a,b\n" + text[:-10], "1," + text[:-10]):
        begin = time.process_time()
        with pytest.raises(ValueError, match=r"row|column|file"):
            read_csv(source)
        assert time.process_time() - begin < 3


def test_the_largest_file_is_read_quickly():
    cells = np.random.default_rng(0).integers(0, 1000, (5000, 49)) / 10
    text = "\n".join(",".join(f"{cell:g}" for cell in row) for row in cells)[:-1]
    text = text[: text[:BYTES_AT_MOST].rindex("\n")]
    begin = time.process_time()
    table = read_csv(text)
    assert time.process_time() - begin < 3
    np.testing.assert_array_equal(table.x, cells[: len(table.y), :-1])
    assert len(text) > 0.9 * BYTES_AT_MOST


PIECES = st.sampled_from(
    [
        ",",
        ";",
        "\t",
        "\n",
        "\r\n",
        '"',
        '""',
        "1",
        "2.5",
        "-3e2",
        "1,5",
        "a",
        "b",
        " ",
        "",
        "nan",
        "inf",
        "1e400",
        "\0",
        "é",
    ]
)
DIGITS, LABELS = st.sampled_from(["1", "2.5", "-3e2", "0", " .5 "]), st.sampled_from(["a", "b", "1", "2.5"])
ANYTHING = (
    st.text(max_size=200)
    | st.binary(max_size=200)
    | st.lists(PIECES, max_size=80).map("".join)
    | st.lists(st.tuples(PIECES, PIECES, PIECES).map(",".join), min_size=8, max_size=16).map("\n".join)
    | st.lists(st.tuples(DIGITS, DIGITS, LABELS).map(",".join), min_size=8, max_size=16).map("\n".join)
)


def test_any_text_or_bytes_gives_a_table_or_a_sentence():
    outcomes = {"table": 0, "sentence": 0}

    @settings(max_examples=300)
    @given(ANYTHING, st.none() | st.text(max_size=3), st.text(max_size=60))
    def given_anything(source, target, name):
        try:
            table = read_csv(source, target=target, name=name)
        except ValueError as error:
            kind, message = type(error), str(error)
        else:
            check_table(table)
            assert ROWS_AT_LEAST <= len(table.y) <= ROWS_AT_MOST
            assert len(table.features) < COLUMNS_AT_MOST
            outcomes["table"] += 1
            return
        assert kind is ValueError  # a sentence of ours, not a codec's
        assert 20 < len(message) < 1000
        outcomes["sentence"] += 1

    given_anything()
    assert min(outcomes.values()) > 10  # both were tried


NUMBERS = st.just(0.0) | st.floats(1e-100, 1e100) | st.floats(-1e100, -1e-100) | st.integers(-99, 99).map(float)
NAMES = st.text(min_size=1, max_size=10).map(  # a word that means "missing", such as NA, would be no name
    lambda text: "word" + "".join(c for c in text if c.isprintable()).strip()
)


@settings(max_examples=100)
@given(st.data(), st.integers(10, 30), st.integers(1, 4), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]))
def test_what_the_csv_module_writes_is_read_back_exactly(data, m, d, separator, end):
    x = data.draw(st.lists(st.lists(NUMBERS, min_size=d, max_size=d), min_size=m, max_size=m))
    names = data.draw(st.lists(NAMES.map(lambda n: " ".join(n.split())), min_size=d + 1, max_size=d + 1, unique=True))
    labels = [names[0], *data.draw(st.lists(st.sampled_from(names[:3]), min_size=m - 2, max_size=m - 2)), names[1]]
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, lineterminator=end)
    writer.writerow(names)
    writer.writerows([*map(repr, row), label] for row, label in zip(x, labels, strict=True))
    table = read_csv(file.getvalue() if data.draw(st.booleans()) else file.getvalue().encode("utf-8-sig"))
    np.testing.assert_array_equal(table.x, x)
    assert table.features == tuple(names[:-1])
    assert [table.classes[i] for i in table.y] == labels
