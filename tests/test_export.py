"""What leaves the app is what the app showed: scripts are executed and compared with the run, tables are read back,
pages are opened and played (what moves: test_export_animation.py)."""

import ast
import contextlib
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from optviz.descent import schedulable
from optviz.experiment import RACERS_AT_MOST, Experiment, Pick, Racer, run
from optviz.export import (
    FLAVOURS,
    Made,
    race_film,
    race_table,
    shown_to_gif,
    tables_to_json,
    to_csv,
    to_html,
    to_notebook,
    to_python,
)
from optviz.export.plain import PLAIN
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.surfaces import SURFACES, own_key
from optviz.tuning import tuned_lr
from optviz.ui.exports import DOWNLOADS, file_stem

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
def test_every_optimizer_reruns(flavour):
    """With the rates that the app itself would choose, where the Hessian changes along the way and is not diagonal."""
    for racers in batches([Racer.tuned(key, "beale") for key in OPTIMIZERS]):
        same(Experiment(Pick("beale"), racers, steps=STEPS), flavour)


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


def on_every_surface() -> Iterator[Experiment]:
    """With parameters off their defaults, at a tenth of the usual rate and for twenty steps: on ripples larger steps
    are chaotic, and down some surfaces longer runs fall for ever."""
    for key, entry in SURFACES.items():
        moved = {param.name: 0.7 * float(param.default) or 30.0 for param in entry.params}
        racer = Racer(Pick("sgd"))
        yield Experiment(Pick(key, moved), (racer.but(lr=0.1 * tuned_lr(key, "sgd")),), steps=20)


@pytest.mark.parametrize("flavour", ["jax", "torch"])
def test_every_surface_reruns(flavour):
    for experiment in on_every_surface():
        same(experiment, flavour)


def test_a_surface_is_the_same_to_optax_as_to_jax():
    """So that what was executed in one flavour holds in the other, whose rules are tested on another surface."""
    for experiment in on_every_surface():
        ours, theirs = defined(to_python(experiment, "jax")), defined(to_python(experiment, "optax"))
        assert len(theirs) > 1
        assert {name for name in theirs if theirs[name] != ours.get(name)} == {"descend"}


def defined(script: str) -> dict[str, str]:
    """What a script defines and gives names to before its runs, as text without layout."""
    return {
        name: ast.unparse(node)
        for node in ast.parse(script).body
        for name in ([node.name] if isinstance(node, ast.FunctionDef) else names_given(node))
        if name != "paths"
    }


def names_given(node: ast.stmt) -> list[str]:
    return [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]


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
    Racer(
        Pick("sgd", {"lr": 0.01, "momentum": 0.9}), {"lr": Pick("one_cycle"), "momentum": Pick("one_cycle_momentum")}
    ),
]


@every_flavour
def test_any_hyperparameter_may_follow_a_schedule(flavour):
    assert all(set(dict(racer.schedules)) <= set(schedulable(racer.entry)) for racer in SCHEDULED)
    for racers in batches(SCHEDULED):
        same(Experiment(Pick("booth"), racers, steps=STEPS), flavour)


CUT = Pick("plateau", {"factor": 0.5, "patience": 1, "cooldown": 2, "threshold": 0.05, "least": 0.01, "warmup": 5})
DRIVEN = Pick("bold_driver", {"factor": 0.7})
REMEMBERING = [  # by a library, by hand, through optax, several at once, beside one that does not remember
    Racer(Pick("adam", {"lr": 0.5}), {"lr": CUT}),
    Racer(Pick("sgd", {"lr": 0.05, "momentum": 0.9}), {"lr": DRIVEN}),
    Racer(Pick("sgd", {"lr": 0.05, "momentum": 0.9}), {"lr": Pick("cosine"), "momentum": CUT}),
    Racer(Pick("diffgrad", {"lr": 0.5}), {"lr": DRIVEN, "beta1": CUT}),
    Racer(Pick("optax_yogi", {"lr": 0.5}), {"lr": CUT}),
    Racer(Pick("optax_prodigy", {"lr": 1.0}), {"lr": DRIVEN, "first_distance": Pick("linear", {"final": 0.5})}),
]


@every_flavour
def test_schedules_that_remember_rerun(flavour, monkeypatch):
    """With noise and penalty, which they do not see; and each of them does act."""
    experiment = Experiment(Pick("booth"), tuple(REMEMBERING), steps=STEPS, noise=0.5, l2=0.3)
    for racer, one in zip(REMEMBERING, run(experiment), strict=True):
        for name, pick in racer.schedules:
            assert len(set(one.trajectory.scheduled[name][5:])) > 2, (one.label, pick.key)
    same(experiment, flavour)
    monkeypatch.delitem(PLAIN, "optax_yogi")  # then it is optax's own update that is called
    same(replace(experiment, racers=(REMEMBERING[4],)), flavour)


# Of every schedule that is compiled for a choice, the other choices.
FORMS = [
    Pick("one_cycle", {"phases": "three", "shape": "linear", "rise": 0.45}),
    Pick("one_cycle_momentum", {"phases": "three", "shape": "linear"}),
    Pick("range_test", {"spacing": "linear", "low": 0.1}),
    Pick("sgdr", {"cycle": 7, "stretch": 1.5, "shrink": 0.8, "final": 0.1}),
    Pick("exp_range", {"half_cycle": 9, "gamma": 0.97}),
]


@every_flavour
def test_every_form_of_a_schedule_reruns(flavour):
    racers = tuple(Racer(Pick("adam", {"lr": 0.05}), {"lr": pick}) for pick in FORMS)
    same(Experiment(Pick("booth"), racers, steps=STEPS), flavour)


DUO = (Racer(Pick("adam", {"lr": 0.05})), Racer(Pick("newton", {"damping": 3.0})))
OWN = ["x^2 + 10y^2 + 3 sin(3x)", "|x| + max(y, 0)^2 + hypot(x, y)", "sigmoid(x)·relu(y) + √(x² + y² + 1) - e^(-y²)/π"]


@every_flavour
@pytest.mark.parametrize("formula", OWN)
def test_an_own_formula_reruns(formula, flavour):
    same(Experiment(Pick(own_key(formula)), DUO, steps=STEPS), flavour)


@every_flavour
def test_a_run_that_starts_on_a_kink_reruns(flavour):
    """Where the libraries give |x| different slopes, scripts have the app's: it is level there."""
    experiment = Experiment(Pick(own_key("|x| + y^2")), DUO[:1], start=(0.0, 1.0), steps=STEPS)
    same(experiment, flavour)
    assert (run(experiment)[0].trajectory.theta[:, 0] == 0).all()


@every_flavour
def test_a_penalty_reruns(flavour):
    same(Experiment(Pick("himmelblau"), DUO, steps=STEPS, l2=0.7), flavour)


NOISY = Experiment(Pick("double_well"), (*DUO, *SCHEDULED[:2]), steps=STEPS, noise=0.3, l2=0.1, seed=3)


@every_flavour
def test_noise_reruns(flavour):
    same(NOISY, flavour)


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
        assert {n.id for n in ast.walk(returned) if isinstance(n, ast.Name)} <= {"x", "y", module, "absolute"}
        assert all(ast.unparse(n.value) == module for n in ast.walk(returned) if isinstance(n, ast.Attribute))


def test_what_cannot_be_exported_is_refused():
    with pytest.raises(ValueError, match="flavour must be one of jax, optax, torch, not 'cobol'"):
        to_python(Experiment(Pick("sphere"), DUO), "cobol")
    with pytest.raises(ValueError, match="nobody is racing"):
        to_python(Experiment(Pick("sphere")), "jax")


# A table --------------------------------------------------------------------------------------------------------------

MIXED = Experiment(
    Pick("valley"),
    (Racer(Pick("adam", {"lr": 0.05})), Racer(Pick("sgd", {"lr": 0.3})), Racer(Pick("lbfgs"))),
    steps=400,
    noise=0.1,
)


def test_a_table_holds_every_number_of_every_run():
    runs = run(MIXED)
    text = to_csv(MIXED, runs)
    assert all(line.endswith("\r\n") for line in text.splitlines(keepends=True))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == 3 * 401
    for i, one in enumerate(runs):
        mine, path = rows[401 * i : 401 * (i + 1)], one.trajectory

        def column(name: str, mine=mine, last=False) -> np.ndarray:
            return np.array([float(row[name]) for row in (mine if last else mine[:-1])])

        assert {row["racer"] for row in mine} == {one.label}
        assert {row["surface"] for row in mine} == {"Valley"}
        np.testing.assert_array_equal(column("step", last=True), np.arange(401))
        np.testing.assert_array_equal(column("loss", last=True), path.loss)
        np.testing.assert_array_equal(column("lr"), path.lr)
        for axis, name in enumerate("xy"):
            np.testing.assert_array_equal(column(name, last=True), path.theta[:, axis])
            np.testing.assert_array_equal(column(f"gradient {name}"), path.grad[:, axis])
            np.testing.assert_array_equal(column(f"step {name}"), path.step[:, axis])
            if "m" in path.slots:
                np.testing.assert_array_equal(column(f"slot m {name}"), path.slots["m"][:, axis])
            else:
                assert {row[f"slot m {name}"] for row in mine} == {""}
        assert mine[-1]["lr"] == mine[-1]["gradient x"] == mine[-1]["step y"] == ""
    assert "slot s x" not in rows[0]  # L-BFGS's pairs are no vector like θ
    assert {"inf", "nan"} & {rows[800]["x"], rows[800]["loss"]}  # SGD diverged, and the table says so


def test_a_spreadsheet_takes_no_cell_for_a_formula():
    experiment = Experiment(Pick(own_key("-x^2 + y^4")), DUO, steps=2)
    (one, _) = run(experiment)
    for label in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1"):
        text = to_csv(experiment, [one._replace(label=label)])
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert {row[0] for row in rows[1:]} == {f"'{label}"}
        assert {row[1] for row in rows[1:]} == {"'-x^2 + y^4"}
    comma = own_key("max(x, y)")
    rows = list(csv.reader(io.StringIO(to_csv(replace(experiment, surface=Pick(comma)), [one]), newline="")))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert rows[1][1] == "max(x, y)"


RACE = Experiment(
    Pick("himmelblau"),
    (Racer(Pick("sgd", {"lr": 0.01})), Racer(Pick("adam", {"lr": 0.3})), Racer(Pick("newton"))),
    steps=40,
)


# A page ---------------------------------------------------------------------------------------------------------------

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 300_000  # ms: a bound against hanging


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict:
    return {"executable_path": CHROMIUM, "args": FLAGS, "headless": True}


@pytest.mark.skipif(not CHROMIUM and os.environ.get("OPTVIZ_CI") != "1", reason="Chromium is not installed")
def test_a_page_plays_without_a_network(browser, tmp_path):
    """Opened as a file: it draws, plays by itself, follows the scheme, and a click on the surface asks for nothing."""
    runs = run(RACE)
    file = tmp_path / "race.html"
    file.write_text(to_html(RACE, runs), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark", offline=True)
    page, problems = context.new_page(), []
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: problems.append(f"page error: {error}"))
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("request", lambda asked: problems.append(asked.url) if asked.url != file.as_uri() else None)
    page.goto(file.as_uri())
    page.wait_for_selector(".oz-stage[data-ready=true]")

    def probe() -> dict:
        return page.evaluate(
            "() => { const { pixel, ...rest } = document.querySelector('.oz-stage').probe(); return rest }"
        )

    def until(condition, what: str) -> dict:
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            if condition(state := probe()):
                return state
            page.wait_for_timeout(30)
        raise AssertionError(f"never: {what}; last seen {probe()}")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 23)"
    assert page.locator(".oz-plot .contourlayer path, .oz-plot .contour path").count() > 5
    until(lambda state: state["playing"] or state["frame"] == state["steps"], "playing, or the end of it")
    page.get_by_role("button", name="Jump to start").click()
    first = until(lambda state: state["frame"] == 0 and not state["playing"], "the start")
    page.get_by_role("button", name="Play", exact=True).click()
    until(lambda state: state["frame"] > first["frame"] and state["drawn"] > first["drawn"], "a later frame")
    page.get_by_role("button", name="Jump to end").click()
    end = until(lambda state: state["frame"] == state["steps"] == RACE.steps and not state["playing"], "the end")
    assert list(end["heads"]) == [one.label for one in runs]
    for one in runs:
        np.testing.assert_allclose(end["heads"][one.label], one.trajectory.theta[-1], rtol=1e-6, atol=1e-6)
    x, y = page.evaluate("() => document.querySelector('.oz-stage').probe().pixel(-2, -2)")
    page.mouse.click(x, y)
    page.wait_for_timeout(400)  # a click waits for a second one before it counts
    assert probe()["heads"] == end["heads"]
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".oz-drag").is_visible()
    assert problems == []
    context.close()


def test_nothing_that_a_page_says_is_markup():
    """Neither a formula, nor a racer's label, nor a link can open or close an element."""
    evil = "</script><script>alert(1)</script><!--"
    experiment = Experiment(Pick(own_key("|x| + y^2")), DUO, steps=2)
    runs = [one._replace(label=evil) for one in run(experiment)]
    page = to_html(experiment, runs, link=evil)
    assert page.count("<script") == to_html(experiment, run(experiment)).count("<script")
    record = re.search(r'<script type="application/json" id="record">(.*?)</script>', page, flags=re.DOTALL)
    assert record
    assert [racer["label"] for racer in json.loads(record[1])["racers"]] == [evil, evil]
    assert evil not in page.partition("<footer>")[2].partition("</footer>")[0]


def test_a_page_says_how_it_was_made():
    experiment = Experiment(
        Pick("valley", {"kappa": 50.0}), DUO, start=(1.0, -0.5), steps=70, noise=0.25, seed=7, l2=0.5
    )
    page = to_html(experiment, run(experiment), link="/descent?seed=7")
    for said in (
        "Adam and Newton on Valley",
        "κ 50",
        "start (1, −0.5)",
        "70 steps",
        "noise 0.25, seed 7",
        "penalty 0.5",
    ):
        assert said in page
    assert "/descent?seed=7" in page


# The panel ------------------------------------------------------------------------------------------------------------


def test_each_button_gives_its_file():
    experiment = replace(RACE, steps=10)
    runs = run(experiment)
    made = Made("Descent", "/descent?steps=10", "2026-01-31")
    files = {one.suffix: one.content(experiment, made) for one in DOWNLOADS if one.suffix != ".mp4"}
    assert list(files) == ["_jax.py", "_optax.py", "_torch.py", "_jax.ipynb", ".csv", ".json", ".html", ".gif"]
    for flavour in FLAVOURS:
        assert files[f"_{flavour}.py"] == to_python(experiment, flavour, link="/descent?steps=10")
    assert files["_jax.ipynb"] == to_notebook(experiment, "jax", link="/descent?steps=10")
    assert files[".csv"] == to_csv(experiment, runs, made)
    assert files[".json"] == tables_to_json([race_table(experiment, runs)], made, experiment)
    assert files[".html"] == to_html(experiment, runs, link="/descent?steps=10")
    assert files[".gif"] == shown_to_gif(race_film(experiment, runs), link="/descent?steps=10")
    assert all("/descent?steps=10" in str(files[suffix]) for suffix in ("_jax.py", "_optax.py", "_torch.py", ".html"))


def test_a_file_is_called_after_its_surface():
    assert file_stem(RACE) == "himmelblau"
    assert file_stem(Experiment(Pick(own_key("x/y + 2")))) == "own"
