"""What leaves the app is what the app showed: scripts are executed and compared with the run, tables are read back,
pages are opened and played, animations are looked at pixel by pixel."""

import ast
import contextlib
import io
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from optviz.descent import schedulable
from optviz.experiment import RACERS_AT_MOST, Experiment, Pick, Racer, run
from optviz.export import FLAVOURS, to_python
from optviz.export.plain import PLAIN
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.surfaces import SURFACES, own_key

BAR = 1e-9  # of max(1, |θ|)
STEPS = 60

every_flavour = pytest.mark.parametrize("flavour", FLAVOURS)
JAX_FLAVOURS = pytest.mark.parametrize("flavour", ["jax", "optax"])


def available(flavour: str) -> None:
    """PyTorch is optional for a contributor and required in CI, as everywhere in the tests."""
    if flavour == "torch" and os.environ.get("OPTVIZ_CI") != "1":
        pytest.importorskip("torch")


def executed(script: str) -> dict[str, np.ndarray]:
    """What a script leaves behind, and that it says how each racer ended."""
    names: dict = {}
    said = io.StringIO()
    with contextlib.redirect_stdout(said), double_precision_of_torch_undone():
        exec(compile(script, "exported", "exec"), names)
    paths = names["paths"]
    assert [line.split(": f = ")[0] for line in said.getvalue().splitlines()] == list(paths)
    return paths


@contextlib.contextmanager
def double_precision_of_torch_undone():
    """A script sets it for its own process; here other tests follow."""
    torch = sys.modules.get("torch")
    before = torch.get_default_dtype() if torch else None
    yield
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(before or torch.float32)


def distances(experiment: Experiment, flavour: str) -> dict[str, float]:
    """How far each racer's exported path is from the app's, as a share of max(1, |θ|)."""
    available(flavour)
    paths = executed(to_python(experiment, flavour))
    runs = run(experiment)
    assert list(paths) == [one.label for one in runs]
    found = {}
    for one in runs:
        ours, theirs = one.trajectory.theta, np.asarray(paths[one.label])
        assert theirs.shape == (experiment.steps + 1, 2)
        assert np.isfinite(ours).all(), "a diverging run would show nothing"
        assert np.abs(ours[-1] - ours[0]).max() > 1e-6, "nor would one that stands still"
        found[one.label] = float((np.abs(ours - theirs) / np.maximum(1, np.abs(ours))).max())
    return found


def same(experiment: Experiment, flavour: str) -> None:
    assert {label: far for label, far in distances(experiment, flavour).items() if not far <= BAR} == {}


def batches(racers: list[Racer]) -> list[tuple[Racer, ...]]:
    return [tuple(racers[i : i + RACERS_AT_MOST]) for i in range(0, len(racers), RACERS_AT_MOST)]


# Python: the same numbers --------------------------------------------------------------------------------------------


@every_flavour
@pytest.mark.parametrize(
    "surface", [Pick("valley", {"kappa": 25.0, "rotation": 30.0}), Pick("beale")], ids=["valley", "beale"]
)
def test_every_optimizer_reruns(surface, flavour):
    """With the rates that the app itself would choose."""
    for racers in batches([Racer.tuned(key, surface.key) for key in OPTIMIZERS]):
        same(Experiment(surface, racers, steps=STEPS), flavour)


# The forms that the libraries do not have, and those that only they are called for.
SETTINGS = [
    Racer(Pick("sgd", {"lr": 0.01, "momentum": 0.9, "nesterov": True})),
    Racer(Pick("sgd", {"lr": 0.01, "momentum": 0.9, "dampening": 0.5})),
    Racer(Pick("sgd", {"lr": 0.01, "momentum": 0.8, "averaging": True, "nesterov": True})),
    Racer(Pick("momentum", {"lr": 0.01, "form": "velocity"})),
    Racer(Pick("momentum", {"lr": 0.01, "form": "averaging", "dampening": 0.2})),
    Racer(Pick("nesterov", {"lr": 0.01, "form": "reformulated"})),
    Racer(Pick("adagrad", {"lr": 0.5, "accumulator": 0.1, "eps": 1e-7, "eps_in_sqrt": True})),
    Racer(Pick("adagrad", {"lr": 0.5, "accumulator": 0.5})),
    Racer(Pick("rmsprop", {"lr": 0.01, "momentum": 0.5, "centered": True, "eps": 1e-4})),
    Racer(Pick("rmsprop", {"lr": 0.01, "momentum": 0.5, "eps_in_sqrt": True, "eps": 1e-6})),
    Racer(Pick("adam", {"lr": 0.05, "bias_correction": False})),
    Racer(Pick("adam", {"lr": 0.05, "amsgrad": True, "beta2": 0.9})),
    Racer(Pick("adamw", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True})),
    Racer(Pick("newton", {"lr": 0.5, "damping": 2.0})),
    Racer(Pick("lbfgs", {"lr": 0.5, "memory": 3, "line_search": False})),
    Racer(Pick("optax_sm3", {"lr": 0.1, "momentum": 0.5})),
]


@every_flavour
def test_every_form_reruns(flavour):
    for racers in batches(SETTINGS):
        same(Experiment(Pick("booth"), racers, start=(-3.0, 4.0), steps=STEPS), flavour)


@every_flavour
def test_every_surface_reruns(flavour):
    """With parameters off their defaults, at a tenth of the usual rate and for twenty steps: on ripples larger steps
    are chaotic, and down some surfaces longer runs fall for ever."""
    for key, entry in SURFACES.items():
        moved = {param.name: 0.7 * float(param.default) or 30.0 for param in entry.params}
        racer = Racer.tuned("sgd", key)
        same(Experiment(Pick(key, moved), (racer.but(lr=0.1 * racer.values["lr"]),), steps=20), flavour)


@every_flavour
def test_every_schedule_reruns(flavour):
    """Half of them warm up first, from a tenth."""
    warm = {"warmup": 7, "warmup_start": 0.1}
    picks = [Pick(key, warm if i % 2 else {}) for i, key in enumerate(SCHEDULES) if key != "constant"]
    for racers in batches([Racer(Pick("adam", {"lr": 0.05}), {"lr": pick}) for pick in picks]):
        same(Experiment(Pick("booth"), racers, steps=STEPS), flavour)


SCHEDULED = [
    Racer(Pick("sgd", {"lr": 0.01, "momentum": 0.9}), {"momentum": Pick("linear", {"warmup": 10, "final": 0.5})}),
    Racer(Pick("sgd", {"lr": 0.01, "momentum": 0.9}), {"lr": Pick("cosine"), "momentum": Pick("exponential")}),
    Racer(Pick("momentum", {"lr": 0.01, "form": "velocity"}), {"lr": Pick("cosine", {"final": 0.1})}),
    Racer(Pick("nesterov", {"lr": 0.01, "form": "reformulated"}), {"lr": Pick("cosine", {"final": 0.1})}),
    Racer(Pick("rmsprop", {"lr": 0.01, "momentum": 0.5}), {"lr": Pick("cosine", {"final": 0.1})}),
    Racer(Pick("adam", {"lr": 0.05}), {"beta1": Pick("linear", {"final": 0.3}), "lr": Pick("inverse_time")}),
    Racer(Pick("optax_yogi", {"lr": 0.05}), {"beta2": Pick("linear", {"final": 0.9})}),
    Racer(Pick("optax_prodigy", {"lr": 1.0}), {"lr": Pick("power"), "first_distance": Pick("linear", {"final": 0.5})}),
]


@every_flavour
def test_any_hyperparameter_may_follow_a_schedule(flavour):
    assert all(set(dict(racer.schedules)) <= set(schedulable(racer.entry)) for racer in SCHEDULED)
    same(Experiment(Pick("booth"), tuple(SCHEDULED), steps=STEPS), flavour)


DUO = (Racer(Pick("adam", {"lr": 0.05})), Racer(Pick("newton", {"damping": 3.0})))
OWN = ["x^2 + 10y^2 + 3 sin(3x)", "|x| + max(y, 0)^2 + hypot(x, y)", "sigmoid(x)·relu(y) + √(x² + y² + 1) - e^(-y²)/π"]


@every_flavour
@pytest.mark.parametrize("formula", OWN)
def test_an_own_formula_reruns(formula, flavour):
    same(Experiment(Pick(own_key(formula)), DUO, steps=STEPS), flavour)


@every_flavour
def test_a_penalty_reruns(flavour):
    same(Experiment(Pick("himmelblau"), DUO, steps=STEPS, l2=0.7), flavour)


NOISY = Experiment(Pick("double_well"), (*DUO, *SCHEDULED[:2]), steps=STEPS, noise=0.3, l2=0.1, seed=3)


@JAX_FLAVOURS
def test_noise_reruns(flavour):
    same(NOISY, flavour)


def test_noise_in_torch_is_another_and_the_script_says_so():
    available("torch")
    script = to_python(NOISY, "torch")
    assert "these paths differ from the app's" in script
    assert "these paths differ from the app's" not in to_python(replace(NOISY, noise=0.0), "torch")
    paths = executed(script)
    for one in run(NOISY):
        assert np.isfinite(paths[one.label]).all()
        assert np.abs(paths[one.label] - one.trajectory.theta).max() > 1e-3


# Python: a script that stands alone -----------------------------------------------------------------------------------


@every_flavour
def test_a_script_needs_neither_the_app_nor_more_than_it_says(flavour, tmp_path):
    """In a process of its own, where optviz is not to be found."""
    available(flavour)
    experiment = Experiment(Pick("rosenbrock"), (*DUO, Racer(Pick("optax_adabelief", {"lr": 0.01}))), steps=STEPS)
    script = to_python(experiment, flavour)
    told = 'import sys\nnp.savez("paths.npz", *paths.values())\nprint(*{name.split(".")[0] for name in sys.modules})\n'
    (tmp_path / "race.py").write_text(script + told, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "race.py"], cwd=tmp_path, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "optviz" not in loaded
    others = {"jax": {"optax", "torch"}, "optax": {"torch"}, "torch": {"jax", "optax"}}[flavour]
    assert loaded & others == set()
    with np.load(tmp_path / "paths.npz") as saved:
        for name, one in zip(saved.files, run(experiment), strict=True):
            np.testing.assert_allclose(saved[name], one.trajectory.theta, rtol=BAR, atol=BAR)


def calls(script: str, loop: str) -> set[str]:
    """The functions that an entry of `paths` mentions, for a script with one racer."""
    (entries,) = [
        n.value
        for n in ast.walk(ast.parse(script))
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "paths"
    ]
    return {ast.unparse(node.func) for node in ast.walk(entries) if isinstance(node, ast.Call)}


def test_a_library_is_called_where_it_has_the_rule():
    def called(flavour: str, key: str, **values) -> set[str]:
        return calls(to_python(Experiment(Pick("sphere"), (Racer(Pick(key, values)),), steps=1), flavour), flavour)

    assert "torch.optim.Adam" in called("torch", "adam")
    assert "optax.adam" in called("optax", "adam")
    assert "torch.optim.Adam" not in called("torch", "adam", bias_correction=False)
    assert "optax.adam" not in called("optax", "adam", amsgrad=True)  # whose maximum it takes elsewhere
    assert "torch.optim.RMSprop" in called("torch", "rmsprop")
    assert "optax.rmsprop" in called("optax", "rmsprop", eps_in_sqrt=True)
    assert "optax_yogi" in called("optax", "optax_yogi")


def test_what_is_new_in_the_catalogues_exports_by_existing(monkeypatch):
    """Neither table knows it: its source is quoted, or, if it is optax's and has no plain form, optax is called."""
    racers = (Racer(Pick("diffgrad", {"lr": 0.05})), Racer(Pick("optax_yogi", {"lr": 0.05}), {"lr": Pick("cosine")}))
    experiment = Experiment(Pick("booth"), racers, steps=STEPS)
    monkeypatch.delitem(PLAIN, "optax_yogi")
    for flavour in FLAVOURS:
        same(experiment, flavour)
        assert "import optax" in to_python(experiment, flavour)
        assert ("def diffgrad(" in to_python(experiment, flavour)) is True


def test_plain_forms_are_of_rules_that_exist():
    assert set(PLAIN) <= set(OPTIMIZERS)


def test_pins_stay_behind_and_racers_keep_their_order():
    experiment = Experiment(Pick("sphere"), DUO, steps=2).pinned(0)
    paths = executed(to_python(experiment, "jax"))
    assert list(paths) == ["Adam", "Newton"]


def test_names_that_a_surface_and_a_schedule_share_do_not_meet():
    """The optimizer and its hyperparameter "momentum", the schedule and its parameter "power", the helper "warm_up"."""
    racers = (Racer(Pick("momentum", {"lr": 0.05}), {"lr": Pick("power", {"warmup": 3}), "momentum": Pick("warmup")}),)
    same(Experiment(Pick("plateau"), racers, start=(0.4, 0.3), steps=STEPS), "jax")


# Python: what strangers may write -------------------------------------------------------------------------------------


def test_a_visitors_text_stays_in_its_comment():
    """A link's address goes into a comment, and nothing in it can end the line."""
    experiment = Experiment(Pick(own_key("x^2 + y^2")), DUO, steps=2)
    clean = to_python(experiment, "jax")
    for end in ("\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0"):
        dirty = to_python(experiment, "jax", link=f"/descent{end}import os")
        assert ast.dump(ast.parse(dirty)) == ast.dump(ast.parse(clean))
        assert len(dirty.splitlines()) == len(clean.splitlines()) + 1


@pytest.mark.parametrize("formula", OWN)
def test_a_formula_is_code_only_as_an_expression(formula):
    """Only arithmetic on x and y and the table's functions."""
    for module, flavour in (("jnp", "jax"), ("torch", "torch")):
        tree = ast.parse(to_python(Experiment(Pick(own_key(formula)), DUO, steps=2), flavour))
        (fn,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "f"]
        returned = fn.body[-1]
        assert isinstance(returned, ast.Return)
        assert {n.id for n in ast.walk(returned) if isinstance(n, ast.Name)} <= {"x", "y", module}
        assert all(ast.unparse(n.value) == module for n in ast.walk(returned) if isinstance(n, ast.Attribute))


def test_what_cannot_be_exported_is_refused():
    with pytest.raises(ValueError, match="flavour must be one of jax, optax, torch, not 'cobol'"):
        to_python(Experiment(Pick("sphere"), DUO), "cobol")
    with pytest.raises(ValueError, match="nobody is racing"):
        to_python(Experiment(Pick("sphere")), "jax")
