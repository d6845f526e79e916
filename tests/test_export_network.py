"""A training that leaves the app as a script is the training that the app ran: scripts of all flavours are executed,
and the loss of every step, the parameters in the end and the judgement on each part of the data are compared."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from optviz.datasets import DATASETS, Table
from optviz.experiment import Pick, Racer
from optviz.export import FLAVOURS, Made, history_to_csv, history_to_json, to_python
from optviz.export import history as history_room
from optviz.export.history import MEASURED
from optviz.export.network import ACTIVATION, INLINE_AT_MOST, LOSS, refused
from optviz.figures.training import names
from optviz.networks import ACTIVATIONS, INITS, LOSSES
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.training import Configuration, Net, Own, Progress, Training, advance, begin

BAR = 1e-10  # of max(1, |what is compared|)
PARTS = {"training": "train", "validation": "validation", "test": "test"}
MOONS = Pick("moons", {"samples": 50, "noise": 0.2})
WAVE = Pick("wave", {"samples": 40})
every_flavour = pytest.mark.parametrize("flavour", FLAVOURS)


def available(flavour: str) -> None:
    """PyTorch is optional for a contributor and required in CI, as everywhere in the tests."""
    if flavour == "torch" and os.environ.get("OPTVIZ_CI") != "1":
        pytest.importorskip("torch")


def training(*made: Configuration, **changes) -> Training:
    """A short training: three epochs of two whole batches and a shorter one."""
    return Training(changes.pop("dataset", MOONS), made, **{"epochs": 3, "batch_size": 12, **changes})


def with_adam(**net) -> Configuration:
    return Configuration(Net(**{"hidden": (4, 3), "activation": "tanh", **net}), Racer(Pick("adam", {"lr": 0.02})))


@lru_cache(maxsize=32)
def ran(one: Training) -> Progress:
    return advance(one, begin(one), one.steps)


def executed(script: str) -> dict:
    """What a script leaves behind."""
    torch = sys.modules.get("torch")
    before, left = torch.get_default_dtype() if torch else None, {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(script, "exported", "exec"), left)
    if torch := sys.modules.get("torch"):  # a script sets it for its own process; here other tests follow
        torch.set_default_dtype(before or torch.float32)
    assert [line.split(": after")[0] for line in said.getvalue().splitlines() if line[0] != " "] == list(left["runs"])
    return left


def parameters(trained) -> np.ndarray:
    """θ of what a script trained: of layers as the app lays them out, or of a module of torch's."""
    if isinstance(trained, list):
        return np.concatenate([np.ravel(part) for layer in trained for part in layer])
    parts = [[layer.weight.T, layer.bias] for layer in trained.layers]
    for own, norm in zip(parts, getattr(trained, "norms", ()), strict=False):
        own += [norm.weight, norm.bias]
    return np.concatenate([part.detach().numpy().ravel() for layer in parts for part in layer])


def far(theirs, ours) -> float:
    theirs, ours = np.asarray(theirs), np.asarray(ours)
    assert theirs.shape == ours.shape
    assert np.isfinite(ours).all(), "a diverging run would show nothing"
    return float((np.abs(theirs - ours) / np.maximum(1, np.abs(ours))).max())


def distances(one: Training, flavour: str) -> dict[str, float]:
    """How far the largest disagreement of each run is from the app's."""
    available(flavour)
    left, app, found = executed(to_python(one, flavour)), ran(one), {}
    for name, index, at in which(one):
        trained, losses, judged = left["runs"][name]
        history, state = app.histories[index], app.states[index]
        assert np.abs(history.snapshots[0] - state.theta[0]).max() > 1e-7, "one that stands still shows nothing"
        assert [part for part in PARTS if np.isfinite(getattr(history, f"{PARTS[part]}_loss")[at, -1])] == list(judged)
        differences = [far(losses, history.loss[at]), far(parameters(trained), state.theta[at])]
        for part, numbers in judged.items():
            kinds = ("loss", "accuracy") if one.task == "classification" else ("loss",)
            ours = [getattr(history, f"{PARTS[part]}_{kind}")[at, -1] for kind in kinds]
            differences.append(far(np.ravel(numbers), ours))
        found[name] = max(differences)
    assert list(found) == list(left["runs"])
    return found


def which(one: Training) -> list[tuple[str, int, int]]:
    """The name of every run in a script, its configuration and its seed, counted from 0."""
    if one.seeds == 1:
        return [(name, index, 0) for index, name in enumerate(names(one))]
    return [
        (f"{name}, seed {one.seed + at}", index, at) for at in range(one.seeds) for index, name in enumerate(names(one))
    ]


def same(one: Training, flavour: str) -> None:
    assert {name: apart for name, apart in distances(one, flavour).items() if not apart <= BAR} == {}


def in_sixes(configurations: list[Configuration]) -> list[tuple[Configuration, ...]]:
    return [tuple(configurations[i : i + 6]) for i in range(0, len(configurations), 6)]


# The same numbers -----------------------------------------------------------------------------------------------------

RATES = {"optax_prodigy": 1.0, "lbfgs": 0.3, "newton": 0.3, "adadelta": 1.0, "sgd": 0.1}
MORE = {"newton": {"damping": 1.0}, "optax_prodigy": {"first_distance": 0.01}, "lbfgs": {"line_search": False}}


def shared_out(keys: Iterable[str], flavour: str, everywhere: set[str]) -> list[str]:
    """Some in every flavour, each of the others in one: a surface's scripts have all of them in all flavours already,
    and a network's script calls them in the same way."""
    return [key for i, key in enumerate(keys) if key in everywhere or FLAVOURS[i % len(FLAVOURS)] == flavour]


@every_flavour
def test_every_optimizer_reruns(flavour):
    """Everywhere: one of torch.optim's, one that asks for θ, one for the loss, one with a memory."""
    keys = shared_out(OPTIMIZERS, flavour, {"adamw", "newton", "lbfgs"})
    racers = [Racer(Pick(key, {"lr": RATES.get(key, 0.02), **MORE.get(key, {})})) for key in keys]
    racers += [Racer(Pick("sgd", {"lr": 0.1, "averaging": True, "momentum": 0.5}))]
    for some in in_sixes([Configuration(Net(hidden=(3,), activation="tanh"), racer) for racer in racers]):
        same(training(*some), flavour)


def test_other_settings_of_second_order_rerun():
    racers = [Racer(Pick("lbfgs", {"memory": 2})), Racer(Pick("newton", {"damping": 1.0, "line_search": True}))]
    same(training(*[Configuration(Net(hidden=(3,), activation="tanh"), racer) for racer in racers]), "jax")


@every_flavour
def test_every_schedule_reruns(flavour):
    """Half of them warm up first. The last one, which watches the validation loss, does cut the rate."""
    warm = {"warmup": 2, "warmup_start": 0.1}
    keys = shared_out((key for key in SCHEDULES if key != "constant"), flavour, {"one_cycle", "bold_driver"})
    picks = [Pick(key, warm if i % 2 else {}) for i, key in enumerate(keys)]
    picks.append(Pick("plateau", {"patience": 0, "factor": 0.5, "threshold": 0.5}))
    made = [
        Configuration(Net(hidden=(3,), activation="tanh"), Racer(Pick("adam", {"lr": 0.05}), {"lr": pick}))
        for pick in picks
    ]
    for some in in_sixes(made):
        same(training(*some), flavour)
    assert len(set(ran(training(*in_sixes(made)[-1])).histories[-1].lr)) > 1


@every_flavour
def test_schedules_of_anything_rerun(flavour):
    both = {"lr": Pick("one_cycle"), "momentum": Pick("one_cycle_momentum")}
    plateau = Pick("plateau", {"patience": 0, "factor": 0.5, "threshold": 0.5})
    racers = [
        Racer(Pick("sgd", {"lr": 0.2, "momentum": 0.9}), both),
        Racer(Pick("optax_yogi", {"lr": 0.05}), {"lr": plateau, "beta1": Pick("cosine")}),
        Racer(Pick("diffgrad", {"lr": 0.05}), {"beta1": plateau}),
        Racer(Pick("sgd", {"lr": 0.1}), {"lr": plateau}),
    ]
    net = Net(hidden=(3,), activation="tanh", bias_lr=2.0, clip=0.3)
    same(training(*(Configuration(net, racer) for racer in racers)), flavour)


@every_flavour
def test_every_activation_and_initialization_reruns(flavour):
    made = [with_adam(activation=key, init=key_) for key, key_ in zip(ACTIVATIONS, INITS, strict=False)]
    made += [with_adam(init=key, init_scale=1.5 if INITS[key].params else None) for key in list(INITS)[len(made) :]]
    for some in in_sixes(made):
        same(training(*some), flavour)


# A bias before batch normalization has a gradient of rounding errors alone, which Adam makes steps of up to 4e-10 of.
SGD = Racer(Pick("sgd", {"lr": 0.1, "momentum": 0.5}))
TREATED = [
    replace(with_adam(normalization="batch", l1=0.01, dropout=0.3), racer=SGD),
    with_adam(normalization="layer", l2=0.1, label_smoothing=0.2, hidden=(5,)),
    with_adam(dropout=(0.4, 0.0), dropout_form="classic", input_noise=0.3),
    with_adam(loss="squared_error", label_smoothing=0.1, clip=0.05),
    replace(with_adam(loss="huber", delta=0.3, bias_lr=3.0, normalization="batch"), racer=SGD),
    with_adam(hidden=(), bias_lr=0.5),
]
BY_HAND = Racer(Pick("nesterov", {"lr": 0.05}))  # whose look-ahead gradient is clipped, too


@every_flavour
def test_whatever_is_done_to_a_network_reruns(flavour):
    same(training(*TREATED), flavour)
    same(training(*(replace(TREATED[i], racer=BY_HAND) for i in (0, 3, 4))), flavour)


@every_flavour
def test_a_regression_reruns(flavour):
    made = [with_adam(loss="squared_error", label_smoothing=0.1), with_adam(loss="huber", delta=0.5, dropout=0.2)]
    same(training(*made, dataset=WAVE), flavour)
    same(training(*made, dataset=WAVE, standardize=False, validation=0.0), flavour)


@every_flavour
def test_several_seeds_and_a_full_batch_rerun(flavour):
    made = with_adam(dropout=0.2, input_noise=0.1)
    same(training(made, replace(made, racer=BY_HAND), seeds=2, seed=5, batch_size=0, test=0.0), flavour)
    same(training(made, validation=0.0, test=0.0, epochs=1, batch_size=1), flavour)


def test_every_data_set_comes_in_the_same_parts():
    """Real ones stand in the script, the others are drawn anew; of 20 examples a class has fewer than its share."""
    available("torch")
    for key, entry in DATASETS.items():
        net = Net(hidden=(), loss="cross_entropy" if entry.task == "classification" else "squared_error")
        some = {"samples": 20} if "samples" in entry.param else {}
        one = training(Configuration(net, Racer(Pick("sgd"))), dataset=Pick(key, some), epochs=1, batch_size=0, seed=2)
        left = executed(to_python(one, "torch"))["parts"]
        for name, part in zip(PARTS, one.parts, strict=True):
            assert all(far(theirs, ours) <= 1e-15 for theirs, ours in zip(left[name], part[:2], strict=True)), key


def test_altered_copies_of_pictures_rerun():
    one = training(with_adam(), dataset=Pick("digits"), epochs=1, batch_size=512, copies=1, shift=2.0, angle=20.0)
    same(one, "torch")


def own(rows: int, columns: int = 2) -> Own:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, columns))
    x[:, 0] = 7.0  # constant, so that standardizing only shifts it
    return Own(
        Table(x, (x[:, 1] > 0).astype(np.int64), tuple(map(str, range(columns))), ("a", "b\nimport os")), "own.csv"
    )


@every_flavour
def test_a_table_of_ones_own_stands_in_the_script(flavour):
    one = training(with_adam(), dataset=own(30))
    same(one, flavour)
    assert "import os" not in to_python(one, flavour)


# A script that stands alone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["jax", "torch"])
def test_a_script_needs_neither_the_app_nor_more_than_it_says(flavour, tmp_path):
    available(flavour)
    one = training(with_adam(), dataset=Pick("iris"))
    told = 'import sys\nprint(*{name.split(".")[0] for name in sys.modules})\n'
    (tmp_path / "lesson.py").write_text(to_python(one, flavour) + told, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "lesson.py"], cwd=tmp_path, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    said, loaded = done.stdout.splitlines()[:-1], set(done.stdout.splitlines()[-1].split())
    assert loaded & ({"optviz", "optax"} | ({"torch"} if flavour == "jax" else {"jax"})) == set()
    history = ran(one).histories[0]
    loss, right = history.test_loss[0, -1], history.test_accuracy[0, -1]
    assert said[-1] == f"  test: loss {loss:.6g}, accuracy {right:.2%}"


def test_only_what_a_training_uses_is_written():
    plain = to_python(training(with_adam()), "jax")
    for word in ("factors", "clip", "stretch", "penalty", "seen", "noise[", "statistics", "STEPS", "BATCHES"):
        assert word not in plain
    assert "torch.optim.Adam(model.parameters()" in to_python(training(with_adam()), "torch")
    assert "optax.adam(" in to_python(training(with_adam()), "optax")


@every_flavour
def test_lines_are_of_a_bearable_length(flavour):
    for one in (training(*TREATED), training(*(replace(one, racer=BY_HAND) for one in TREATED), seeds=2)):
        script = to_python(one, flavour, names=list("abcdef"))
        assert [line for line in script.splitlines() if len(line) > 120] == []


def test_configurations_share_what_is_the_same():
    script = to_python(training(with_adam(), with_adam(dropout=0.2), replace(with_adam(), racer=BY_HAND)), "jax")
    assert script.count("def start(") == script.count("def train(") == 1
    assert script.count("def network(") == script.count("def network_2(") == 1
    assert "network_3" not in script


def test_names_may_be_given():
    one = training(with_adam())
    assert '"Cosine": train(' in to_python(one, "jax", names=["Cosine"])


# What strangers may write, and what is refused ------------------------------------------------------------------------


def test_a_link_stays_in_its_comment():
    clean = to_python(training(with_adam()), "jax")
    for end in ("\n", "\r", "\x0b", "\x85", "\u2028", "\0"):
        dirty = to_python(training(with_adam()), "jax", link=f"/training{end}import os")
        assert len(dirty.splitlines()) == len(clean.splitlines()) + 1
        assert [line for line in dirty.splitlines() if "import os" in line and line[0] != "#"] == []


def test_what_cannot_be_exported_is_refused():
    large = training(with_adam(), dataset=own(1200, 30))
    with pytest.raises(ValueError, match=f"at most {INLINE_AT_MOST} are allowed; leave out rows or columns"):
        to_python(large, "jax")
    assert "leave out rows or columns" in refused(large)
    assert refused(training(with_adam())) == ""
    with pytest.raises(ValueError, match="flavour must be one of jax, optax, torch, not 'cobol'"):
        to_python(training(with_adam()), "cobol")


def test_an_activation_that_no_library_has_is_refused(monkeypatch):
    monkeypatch.delitem(ACTIVATION, "tanh")
    assert refused(training(with_adam())) == "the activation tanh cannot be written into a script: no library has it"
    with pytest.raises(ValueError, match="activation tanh"):
        to_python(training(with_adam()), "torch")


def test_every_activation_and_loss_can_be_written():
    assert set(ACTIVATION) == set(ACTIVATIONS)
    assert set(LOSS) == set(LOSSES)


# Its history ----------------------------------------------------------------------------------------------------------


def test_a_history_as_a_table_holds_every_measured_number():
    one = training(with_adam(), with_adam(dropout=0.2), seeds=2, seed=4)
    app = ran(one)
    text = history_to_csv(one, app)
    assert all(line.endswith("\r\n") for line in text.splitlines(keepends=True))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    moments = len(app.histories[0].moments)
    assert len(rows) == 2 * 2 * moments
    for i, (index, at) in enumerate((index, at) for index in range(2) for at in range(2)):
        history, mine = app.histories[index], rows[i * moments : (i + 1) * moments]
        assert {row["configuration"] for row in mine} == {names(one)[index]}
        assert {(row["data"], row["seed"], row["unit of losses"]) for row in mine} == {
            ("Two moons", str(4 + at), "nats")
        }
        for column, field in MEASURED.items():
            np.testing.assert_array_equal([float(row[column]) for row in mine], getattr(history, field)[at])
        np.testing.assert_array_equal([int(row["step"]) for row in mine], history.moments)
        assert mine[0]["batch loss"] == mine[0]["lr"] == ""
        assert float(mine[-1]["batch loss"]) == history.loss[at, -1]
        assert (mine[-1]["lr"] == "") == bool(at)


def test_a_regression_has_no_accuracy_and_an_empty_part_no_loss():
    one = training(with_adam(loss="squared_error"), dataset=WAVE, test=0.0)
    rows = list(csv.DictReader(io.StringIO(history_to_csv(one, ran(one)), newline="")))
    assert {row["training accuracy"] + row["test loss"] for row in rows} == {""}
    assert {row["unit of losses"] for row in rows} == {"square of the target's deviation"}


def test_a_history_as_json_says_where_it_comes_from(monkeypatch):
    racer = Racer(Pick("sgd", {"lr": 1e200}), {"lr": Pick("cosine")})
    one = training(with_adam(), Configuration(Net(hidden=(3,), loss="squared_error"), racer), dataset=Pick("iris"))
    app = ran(one)
    made = Made("Training", "/training?x", "2026-01-31", "JAX 0.0")
    known = json.loads(history_to_json(one, app, made=made), parse_constant=pytest.fail)
    assert (known["page"], known["link"], known["date"], known["libraries"]) == made
    assert known["data"]["licence"].startswith("CC BY 4.0")
    assert known["data"]["examples"] == {"training": 90, "validation": 30, "test": 30}
    assert known["settings"]["batch_size"] == one.batch_size
    first, second = known["configurations"]
    assert first["moments"]["training loss"] == app.histories[0].train_loss.tolist()
    assert first["steps"]["batch loss"] == app.histories[0].loss.tolist()
    assert first["network"]["activation"] == "tanh"
    assert first["first not finite"] is None
    assert second["schedules"]["lr"]["key"] == "cosine"
    assert second["first not finite"]["step"] >= 1  # it diverged, and JSON has no infinite numbers
    assert "inf" in str(second["steps"]) or "None" in str(second["steps"])
    monkeypatch.setattr(history_room, "STEPS_AT_MOST", 5)
    short = json.loads(history_to_json(one, app))
    assert "at most 5 are written" in short["left out"]
    assert "steps" not in short["configurations"][0]
