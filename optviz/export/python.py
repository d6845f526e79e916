"""An experiment as a Python script that stands alone, for plain JAX, for optax or for PyTorch.

The script is quoted, not written anew: surface, rules and schedules are the sources of the catalogues' own functions,
with the helpers and constants that they use. For PyTorch the names of jax.numpy become torch's. Where a library has
the same rule (`OPTAX` and `TORCH` say where, and for which settings) the script calls the library instead; a rule that
stands in neither table is quoted, so that a newly declared optimizer exports by existing. Text of a visitor gets into
a script only as an expression that `expression.python` wrote, or as one line of printable characters in a comment.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
import textwrap
from collections.abc import Callable, Mapping
from string import Template
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from optviz.experiment import Experiment, Pick, Racer, labels
from optviz.export.plain import PLAIN
from optviz.expression import parse
from optviz.schedules import SCHEDULES
from optviz.spec import Value
from optviz.surfaces import own_parts

FLAVOURS = ("jax", "optax", "torch")
TITLES = {"jax": "plain JAX", "optax": "JAX with optax", "torch": "PyTorch"}
NEEDS = {"jax": "jax", "optax": "jax optax", "torch": "torch numpy"}
WIDTH = 100  # columns of what is generated; what is quoted keeps its lines
TIE = "\0"  # a space at which no line is broken


def to_python(experiment: Experiment, flavour: str, *, link: str = "") -> str:
    """The experiment as a script in one of `FLAVOURS`; `link` is the address that opens it in the app.

    Run, it leaves `paths`, a dict from each racer's label to its path (steps + 1, 2), and prints where each ended. Pins
    stay behind. Raises ValueError if the flavour is unknown, if nobody races, or if a part cannot be written down.
    """
    if flavour not in FLAVOURS:
        raise ValueError(f"flavour must be one of {', '.join(FLAVOURS)}, not {flavour!r}")
    if not experiment.racers:
        raise ValueError("nobody is racing: add an optimizer, and there is something to export")
    return _Script(experiment, flavour, link).text()


# Which library has which rule -----------------------------------------------------------------------------------------


class Library(NamedTuple):
    """A library's constructor for one of our rules. `arguments` maps its arguments to our hyperparameters, or to a
    template such as "({beta1}, {beta2})"; `fits(values, scheduled)` says whether it follows our convention for these
    hyperparameters, of which the names in `scheduled` change from step to step."""

    name: str
    arguments: Mapping[str, str]
    fits: Callable[[Mapping[str, Any], frozenset[str]], bool] = lambda values, scheduled: True


def _only_lr(fits: Callable[[Mapping[str, Any]], bool] = lambda values: True) -> Callable[..., bool]:
    """A library that reads lr afresh at every step, and keeps something of what the others were."""
    return lambda values, scheduled: scheduled <= {"lr"} and fits(values)


MOMENTS = {"lr": "{lr}", "betas": "({beta1}, {beta2})", "eps": "{eps}"}
OPTAX_MOMENTS = {"learning_rate": "{lr}", "b1": "{beta1}", "b2": "{beta2}", "eps": "{eps}"}
VELOCITY = {"learning_rate": "{lr}", "momentum": "{momentum}"}

OPTAX = {
    "sgd": Library(
        "optax.sgd",
        {**VELOCITY, "nesterov": "{nesterov}"},
        lambda v, scheduled: not v["averaging"] and not v["dampening"],
    ),
    "momentum": Library("optax.sgd", VELOCITY, lambda v, scheduled: v["form"] == "accumulating" and not v["dampening"]),
    "nesterov": Library(
        "optax.sgd",
        {**VELOCITY, "nesterov": "True"},
        lambda v, scheduled: v["form"] == "reformulated" and not scheduled,
    ),
    "adagrad": Library(
        "optax.adagrad",
        {"learning_rate": "{lr}", "initial_accumulator_value": "{accumulator}", "eps": "{eps}"},
        lambda v, scheduled: v["eps_in_sqrt"],
    ),
    "rmsprop": Library(
        "optax.rmsprop",
        {
            "learning_rate": "{lr}",
            "decay": "{decay}",
            "eps": "{eps}",
            "initial_scale": "0.0",
            "eps_in_sqrt": "{eps_in_sqrt}",
            "centered": "{centered}",
            "momentum": "{momentum}",
        },
        lambda v, scheduled: not scheduled or not v["momentum"],  # its lr is inside the momentum, ours outside
    ),
    "adadelta": Library("optax.adadelta", {"learning_rate": "{lr}", "rho": "{rho}", "eps": "{eps}"}),
    "adam": Library("optax.adam", OPTAX_MOMENTS, lambda v, scheduled: v["bias_correction"] and not v["amsgrad"]),
    "adamw": Library(
        "optax.adamw", {**OPTAX_MOMENTS, "weight_decay": "{weight_decay}"}, lambda v, scheduled: not v["amsgrad"]
    ),
    "lion": Library("optax.lion", {"learning_rate": "{lr}", "b1": "{beta1}", "b2": "{beta2}", "weight_decay": "0.0"}),
}
TORCH = {
    "sgd": Library(
        "torch.optim.SGD",
        {name: f"{{{name}}}" for name in ("lr", "momentum", "dampening", "nesterov")},
        _only_lr(lambda v: not v["averaging"] and not (v["nesterov"] and (v["dampening"] or not v["momentum"]))),
    ),
    "momentum": Library(
        "torch.optim.SGD",
        {"lr": "{lr}", "momentum": "{momentum}"},
        _only_lr(lambda v: v["form"] == "accumulating" and not v["dampening"]),
    ),
    "nesterov": Library(
        "torch.optim.SGD",
        {"lr": "{lr}", "momentum": "{momentum}", "nesterov": "True"},
        lambda v, scheduled: v["form"] == "reformulated" and v["momentum"] > 0 and not scheduled,
    ),
    "adagrad": Library(
        "torch.optim.Adagrad",
        {"lr": "{lr}", "initial_accumulator_value": "{accumulator}", "eps": "{eps}"},
        _only_lr(lambda v: not v["eps_in_sqrt"]),
    ),
    "rmsprop": Library(
        "torch.optim.RMSprop",
        {"lr": "{lr}", "alpha": "{decay}", "eps": "{eps}", "momentum": "{momentum}", "centered": "{centered}"},
        _only_lr(lambda v: not v["eps_in_sqrt"]),
    ),
    "adadelta": Library("torch.optim.Adadelta", {"lr": "{lr}", "rho": "{rho}", "eps": "{eps}"}, _only_lr()),
    "adam": Library("torch.optim.Adam", {**MOMENTS, "amsgrad": "{amsgrad}"}, _only_lr(lambda v: v["bias_correction"])),
    "adamw": Library(
        "torch.optim.AdamW", {**MOMENTS, "weight_decay": "{weight_decay}", "amsgrad": "{amsgrad}"}, _only_lr()
    ),
    "nadam": Library("torch.optim.NAdam", {**MOMENTS, "momentum_decay": "{momentum_decay}"}, _only_lr()),
    "optax_adamax": Library("torch.optim.Adamax", MOMENTS, _only_lr()),
}
LIBRARIES: dict[str, dict[str, Library]] = {"jax": {}, "optax": OPTAX, "torch": TORCH}


# Quoting functions ----------------------------------------------------------------------------------------------------

# What jax.numpy calls otherwise than torch; every other name is the same in both.
TO_TORCH = {
    r"\bjax\.lax\.scan\b": "scan",
    r"\bjax\.(hessian|vmap|grad)\b": r"torch.func.\1",
    r"\bjax\.nn\.": "torch.nn.functional.",
    r"\bjnp\.(maximum|minimum)\b": r"\1",
    r"\bjnp\.argmax\(": "torch.argmax(1 * ",  # which torch does not take of booleans
    r"\bjnp\.concatenate\b": "torch.cat",
    r"\bjnp\.asarray\b": "torch.as_tensor",
    r"\bjnp\.array\b": "torch.tensor",
    r"\bjnp\.": "torch.",
    r"\.size\b": ".numel()",
}
TO_NUMPY = {r"\bjnp\.": "np."}
DIALECTS: dict[str, dict[str, str]] = {"jnp": {}, "torch": TO_TORCH, "np": TO_NUMPY}

STAND_INS = {
    "maximum": '''
def maximum(a, b):
    """torch.maximum, of plain numbers too."""
    return torch.maximum(torch.as_tensor(a), torch.as_tensor(b))
''',
    "minimum": '''
def minimum(a, b):
    """torch.minimum, of plain numbers too."""
    return torch.minimum(torch.as_tensor(a), torch.as_tensor(b))
''',
    "scan": '''
def scan(step, carry, rows, reverse=False):
    """jax.lax.scan as a plain loop over the rows of several tensors."""
    order, results = range(len(rows[0])), {}
    for i in reversed(order) if reverse else order:
        carry, results[i] = step(carry, tuple(row[i] for row in rows))
    return carry, None if results[0] is None else torch.stack([results[i] for i in order])
''',
}


def source(fn: Callable) -> tuple[str, dict[str, Any]]:
    """A function's definition without its decorators, and the globals that it uses, by name in order of use."""
    try:
        text = textwrap.dedent(inspect.getsource(fn))
    except (OSError, TypeError):
        raise ValueError(
            f"the source of {getattr(fn, '__name__', fn)} is not at hand, so it cannot be quoted"
        ) from None
    (node,) = ast.parse(text).body
    if not isinstance(node, ast.FunctionDef):
        raise ValueError(f"{fn.__name__} is not a function with a name, so it cannot be quoted")
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    known = _global_names(fn.__code__)
    loads = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in known and n.id in fn.__globals__]
    return "\n".join(lines), {name: fn.__globals__[name] for name in dict.fromkeys(loads)}


def _global_names(code: CodeType) -> set[str]:
    inner = (_global_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*inner)


class _Quoted:
    """What a script quotes, each thing once: functions (what others need comes first), constants and imports."""

    def __init__(self, taken: set[str]):
        self.owners: dict[str, Any] = dict.fromkeys(taken)
        self.imports: set[str] = set()
        self.constants: dict[str, tuple[str, str]] = {}  # name -> its section of the script, its text
        self.functions: dict[str, tuple[str, str]] = {}  # name -> its section of the script, its text

    def section(self, section: str) -> list[str]:
        constants = "\n".join(text for where, text in self.constants.values() if where == section)
        functions = [text for where, text in self.functions.values() if where == section]
        return [constants, *functions] if constants else functions

    def quote(self, fn: Callable, dialect: str, section: str) -> str:
        """Quote a function, and what it uses, in a dialect; returns the name by which the script calls it."""
        owner, name = (fn, dialect), fn.__name__
        while self.owners.get(name, owner) != owner:  # a surface and a schedule may share a name
            name += "_"
        if name in self.functions:
            return name
        self.owners[name] = owner
        text, used = source(fn)
        text = text.replace(f"def {fn.__name__}(", f"def {name}(", 1)
        for pattern, replacement in DIALECTS[dialect].items():
            text = re.sub(pattern, replacement, text)
        for other, value in used.items():
            self._need(other, value, dialect, section)
        if dialect == "torch":
            for stand_in, definition in STAND_INS.items():
                if re.search(rf"(?<![\w.]){stand_in}\(", text):
                    self.functions.setdefault(stand_in, (section, definition))
        self.functions[name] = section, text
        return name

    def _need(self, name: str, value: Any, dialect: str, section: str) -> None:
        if isinstance(value, ModuleType):
            if value.__name__ not in ("jax", "jax.numpy", "numpy"):
                self.imports.add(value.__name__.split(".")[0])
        elif inspect.isfunction(value) and value.__module__.startswith("optviz"):
            if self.quote(value, dialect, section) != name:
                raise ValueError(f"two functions are called {name}, so neither can be quoted")
        elif isinstance(value, int | float | str):
            if isinstance(value, float) and getattr(math, name, None) == value:
                self.imports.add(f"math.{name}")
            else:
                self.constants.setdefault(name, (section, f"{name} = {value!r}"))
        else:
            raise ValueError(f"{name} is neither a number nor a function, so it cannot be quoted")


# Writing scripts ------------------------------------------------------------------------------------------------------

TAKEN = {"f", "loss", "objective", "draws", "descend", "descend_by_hand", "paths", "path", "label", "np", "jax", "jnp"}
TAKEN |= {"optax", "torch", "tensors", "warm_up", "anew", "own", "gradient", "START", "STEPS", "L2", "NOISE", "SEED"}
TAKEN |= {"absolute", "through_optax", "SimpleNamespace", *STAND_INS}
TAKEN |= {"follow", "remembering", "anew_remembering", "warm_up_remembering"}


class _Script:
    """One script in the making."""

    def __init__(self, experiment: Experiment, flavour: str, link: str):
        self.experiment, self.flavour, self.link = experiment, flavour, link
        self.tensors = "torch" if flavour == "torch" else "jnp"  # whose arrays the surface and the rules see
        self.numbers = "np" if flavour == "torch" else "jnp"  # whose functions the schedules call
        self.noise, self.l2 = experiment.noise > 0, experiment.l2 > 0
        self.quoted = _Quoted(TAKEN)
        self.helpers: dict[str, str] = {}  # what turns a rule into what the loop takes
        self.loops: dict[str, str] = {}

    def text(self) -> str:
        names = labels(self.experiment.racers)
        surface = self._surface()
        paths = [self._racer(name, racer) for name, racer in zip(names, self.experiment.racers, strict=True)]
        race = self._race(paths)
        sections = [
            self._header(),
            self._imports(),
            "\n".join(self._settings()),
            _section("The surface", [*self.quoted.section("surface"), *surface]),
            _section("The schedules", self.quoted.section("schedule")),
            _section("The rules: their steps are added to theta", self.quoted.section("rule")),
            race,
            self._report(),
        ]
        return "\n\n\n".join(section for section in sections if section) + "\n"

    def _header(self) -> str:
        entry, racers = self.experiment.entry, len(self.experiment.racers)
        where = "a surface of your own" if self.experiment.surface.key.startswith("=") else entry.title
        who = "One optimizer" if racers == 1 else f"{racers} optimizers"
        lines = [f"{who} on {where}, in {TITLES[self.flavour]}: exported from optviz."]
        if self.experiment.surface.key.startswith("="):
            lines.append("f(x, y) = " + own_parts(self.experiment.surface.key)[0])
        needs = NEEDS[self.flavour].split()
        lines += ["", f"Needs only:       pip install {' '.join(needs)}"]
        if self.link:
            lines.append(f"Live in the app:  {self.link}")
        return "\n".join(_comment(line) for line in lines)

    def _imports(self) -> str:
        more = self.quoted.imports
        math_names = sorted(name.removeprefix("math.") for name in more if name.startswith("math."))
        first = [f"from math import {', '.join(math_names)}"] if math_names else []
        third = {"import numpy as np"} | {f"import {name}" for name in more if not name.startswith("math.")}
        third |= {
            "jax": {"import jax", "import jax.numpy as jnp"},
            "optax": {"import jax", "import jax.numpy as jnp", "import optax"},
            "torch": {"import torch"},
        }[self.flavour]
        doubles = []
        if "import jax" in third:
            doubles.append('jax.config.update("jax_enable_x64", True)')
        if "import torch" in third:
            doubles.append("torch.set_default_dtype(torch.float64)")
        doubles[-1] += "  # the app computes in double precision"
        return "\n".join([*first, "from types import SimpleNamespace", "", *sorted(third), "", *doubles])

    def _settings(self) -> list[str]:
        one, point = self.experiment, ", ".join(map(repr, self.experiment.start))
        make = {"torch": "torch.tensor"}.get(self.flavour, "jnp.array")
        lines = [f"STEPS = {one.steps}", f"START = {make}([{point}])"]
        lines += [f"L2 = {one.l2!r}  # of the penalty, whose gradient goes through the rules like the rest"] * self.l2
        if self.noise:
            lines += [f"NOISE = {one.noise!r}  # standard deviation of the error in each coordinate of a gradient"]
            lines += [f"SEED = {one.seed}"]
        return lines

    # The surface, and what a step descends on

    def _surface(self) -> list[str]:
        entry, key = self.experiment.entry, self.experiment.surface.key
        if key.startswith("="):
            formula = parse(own_parts(key)[0]).python(self.tensors)
            if "jnp.abs(" in formula:
                formula = formula.replace("jnp.abs(", "absolute(")
                self.quoted.functions["absolute"] = "surface", ABSOLUTE
            name, blocks = "f", [f'def f(x, y):\n    """A formula of your own."""\n    return {formula}']
        else:
            name, blocks = self.quoted.quote(entry.fn, self.tensors, "surface"), []
        numbers = {name: repr(value) for name, value in self.experiment.surface_values.items()}
        arguments = self._arguments(numbers, {param.name for param in entry.params if param.static})
        height = _laid_out(_call(f"return {name}", ["theta[0]", "theta[1]", *arguments]), 4, WIDTH - 4)
        blocks += [f'def loss(theta):\n    """The height of the surface at theta, shape (2,)."""\n    {height}']
        if self.noise or self.l2:
            blocks.append(self._objective())
        if self.noise:
            blocks.append(self._draws())
        return blocks

    def _objective(self) -> str:
        terms = ["loss(theta)"]
        terms += [f"0.5 * L2 * {self.tensors}.sum(theta**2)"] * self.l2
        terms += [f"NOISE * {self.tensors}.sum(draw * theta)"] * self.noise
        what = {
            (False, True): "the loss and the penalty",
            (True, False): "the loss, tilted by this step's noise",
            (True, True): "the loss and the penalty, tilted by this step's noise",
        }[self.noise, self.l2]
        arguments = "theta, draw" if self.noise else "theta"
        return (
            f'def objective({arguments}):\n    """What a step descends on: {what}."""\n    return {" + ".join(terms)}'
        )

    def _draws(self) -> str:
        drawn = "np.random.Generator(np.random.Philox(key=SEED)).standard_normal((STEPS, 2))"
        return (
            "# Every racer meets the same noise, the app's own: two standard normal numbers for every step.\n"
            f"draws = {f'torch.from_numpy({drawn})' if self.flavour == 'torch' else drawn}"
        )

    # A racer: how the script calls its rule

    def _racer(self, label: str, racer: Racer) -> str:
        picks, values, entry = dict(racer.schedules), racer.values, racer.entry
        texts = {name: self._value(name, picks.get(name), value) for name, value in values.items()}
        remembered = self._remembered(picks, values)
        library = LIBRARIES[self.flavour].get(entry.key)
        if library and library.fits(values, frozenset(picks)):
            return self._by_library(label, library, values, texts, remembered, bool(picks))
        make = inspect.getclosurevars(entry.fn).nonlocals.get("transformation")  # of what is optax's own
        if make and (entry.key not in PLAIN or (self.flavour == "optax" and set(picks) <= {"lr"})):
            if self.flavour == "optax":
                optimizer = _call(self.quoted.quote(make, "jnp", "rule"), _pairs(texts))
                return self._by_optax(label, optimizer, remembered, bool(picks))
            return self._through_optax(label, self.quoted.quote(make, "jnp", "rule"), texts, values, remembered)
        fn = PLAIN[entry.key].fn if make else entry.fn
        hyper = {name: value if entry.param[name].static else jnp.asarray(value) for name, value in values.items()}
        theta = jnp.array(self.experiment.start)
        slots = PLAIN[entry.key].start(theta, **hyper) if make else entry.start(theta, hyper)
        asked = [name for name in inspect.signature(fn).parameters if name in SUPPLIED]
        given = {name: "now.t + 1" for name in asked if name == "t"}  # a rule's first step is number 1
        rule = self.quoted.quote(fn, self.tensors, "rule")
        passed = [f"{name}=now.{name}" for name in asked if name != "t"]
        static = {name for name in texts if entry.param[name].static}
        arguments = ["now.grad", "**slots", *passed, *self._arguments(given | texts, static)]
        comment = "" if self.flavour == "jax" else self._why(racer, library)
        rule = _call(f"lambda now,{TIE}slots: {rule}", arguments)
        first = ", ".join(f'"{name}": {self._array(value)}' for name, value in slots.items())
        return self._by_hand(label, comment, rule, f"{{{first}}}", remembered)

    def _value(self, name: str, pick: Pick | None, peak: Value) -> str:
        """A hyperparameter as the script writes it: a number, a call of its schedule, or, where the schedule remembers,
        what `follow` has found."""
        if pick is None:
            return _literal(peak)
        return f"now.{name}" if SCHEDULES[pick.key].slots else self._schedule(pick, peak)

    def _remembered(self, picks: Mapping[str, Pick], values: Mapping[str, Value]) -> list[str]:
        """The arguments of `remembering`: what schedules that remember start with, and each as a function of now and
        memory. [] if none remembers."""
        slots = {name: SCHEDULES[pick.key].init() for name, pick in picks.items() if SCHEDULES[pick.key].slots}
        if not slots:
            return []
        self.helpers.setdefault("follow", FOLLOW)
        memories = [f'"{name}": {{{", ".join(_starts(starts))}}}' for name, starts in slots.items()]
        calls = [f"{name}=lambda now,{TIE}memory: {self._schedule(picks[name], values[name])}" for name in slots]
        return [f"{{{', '.join(memories)}}}", *calls]

    def _schedule(self, pick: Pick, peak: Value) -> str:
        entry = SCHEDULES[pick.key]
        own = entry.complete(dict(pick.values))
        warmup, warmup_start = int(own.pop("warmup")), own.pop("warmup_start")
        supplied = {
            "peak": repr(peak),
            "steps": "STEPS" if not warmup else f"max(STEPS - {warmup}, 1)",
            "value": "loss(now.theta).item()" if self.flavour == "torch" else "loss(now.theta)",
            "news": "True",
        }
        known = {name: supplied[name] for name in entry.needs} | {name: _literal(value) for name, value in own.items()}
        name = self.quoted.quote(entry.fn, self.numbers, "schedule")
        if not warmup:
            return _call(name, ["now.t", *["**memory"] * bool(entry.slots), *_pairs(known)])
        helper, text = ("warm_up_remembering", WARM_UP_REMEMBERING) if entry.slots else ("warm_up", WARM_UP)
        self.quoted.functions[helper] = "schedule", text.replace("jnp.", f"{self.numbers}.")
        known = {"peak": repr(peak)} | known
        line = [name, "now.t", str(warmup), repr(warmup_start), *["memory"] * bool(entry.slots)]
        return _call(helper, [*line, *_pairs(known)])

    def _arguments(self, texts: Mapping[str, str], static: set[str]) -> list[str]:
        """Numbers as keyword arguments. In PyTorch they go in as tensors, but for those that code branches on."""
        numbers = {name: text for name, text in texts.items() if name not in static}
        fixed = _pairs({name: text for name, text in texts.items() if name in static})
        if self.flavour != "torch" or not numbers:
            return [*_pairs(numbers), *fixed]
        self.quoted.functions.setdefault("tensors", ("surface", TENSORS))
        return [f"**tensors({', '.join(_pairs(numbers))})", *fixed]

    def _by_library(
        self, label: str, library: Library, values: Mapping, texts: Mapping, remembered: list[str], scheduled: bool
    ) -> str:
        numbers = {name: _literal(value) for name, value in values.items()}
        written = {argument: template.format(**texts) for argument, template in library.arguments.items()}
        peaks = {argument: template.format(**numbers) for argument, template in library.arguments.items()}
        idle = {name for name in OFF if peaks.get(name) == OFF[name] == written[name]}  # the libraries' own defaults
        written = {argument: text for argument, text in written.items() if argument not in idle}
        if self.flavour == "optax":
            return self._by_optax(label, _call(library.name, _pairs(written)), remembered, scheduled)
        peaks = {argument: peaks[argument] for argument in written}
        moving = {argument: text for argument, text in written.items() if text != peaks[argument]}
        made = _call(f"lambda theta: {library.name}", ["[theta]", *_pairs(peaks)])
        self.loops.setdefault("descend", TORCH_LOOP)
        if not moving:
            return _entry(label, f"descend({made})")
        self.loops["descend"] = TORCH_LOOP_WITH_SCHEDULE
        entries = ", ".join(f'"{argument}": {text}' for argument, text in moving.items())
        schedule = f"lambda now: {{{entries}}}"
        if remembered:
            self.helpers["remembering"] = REMEMBERING["torch"]
            schedule = _call("remembering", [schedule, *remembered])
        return _entry(label, f"descend({made}, {schedule})")

    def _by_optax(self, label: str, optimizer: str, remembered: list[str], scheduled: bool) -> str:
        self.loops["descend"] = OPTAX_LOOP
        if not scheduled:
            return _entry(label, f"descend({optimizer})")
        helper, text = ("anew_remembering", ANEW_REMEMBERING) if remembered else ("anew", ANEW)
        self.helpers[helper] = text
        return _entry(label, f"descend({_call(helper, [f'lambda now: {optimizer}', *remembered])})")

    def _by_hand(self, label: str, comment: str, rule: str, slots: str, remembered: list[str]) -> str:
        both = self._with_memory(rule, slots, remembered)
        if self.flavour == "optax":
            self.loops["descend"] = OPTAX_LOOP
            self.helpers["own"] = OWN
            return _entry(label, f"descend(own({both}))", comment)
        loop, text = {"jax": ("descend", JAX_LOOP), "torch": ("descend_by_hand", TORCH_LOOP_BY_HAND)}[self.flavour]
        self.loops[loop] = text
        return _entry(label, f"{loop}({both})", comment)

    def _with_memory(self, rule: str, slots: str, remembered: list[str]) -> str:
        """What a loop is called with: a rule and its first slots, and what its schedules remember."""
        if not remembered:
            return f"{rule}, {slots}"
        self.helpers["remembering"] = REMEMBERING[self.flavour]
        if self.flavour == "torch":
            return f"{_call('remembering', [rule, *remembered])}, {slots}"
        return "*" + _call("remembering", [rule, slots, *remembered])

    def _through_optax(
        self,
        label: str,
        make: str,
        texts: Mapping[str, str],
        values: Mapping[str, Value],
        remembered: list[str],
    ) -> str:
        """What has no plain form here is left to optax, in a script that then needs it."""
        self.quoted.imports |= {"optax", "jax"}
        self.helpers["through_optax"] = THROUGH_OPTAX[self.flavour]
        optimizer = f"{make}({', '.join(_pairs(texts))})"
        first = f"{make}({', '.join(_pairs({n: _literal(v) for n, v in values.items()}))}).init(np.array(START))"
        loop = "descend" if self.flavour == "jax" else "descend_by_hand"
        self.loops[loop] = JAX_LOOP if self.flavour == "jax" else TORCH_LOOP_BY_HAND
        comment = "Only optax has this rule: its own update, on the gradient from here."
        both = self._with_memory(f"through_optax(lambda now: {optimizer})", first, remembered)
        return _entry(label, f"{loop}({both})", comment)

    def _why(self, racer: Racer, library: Library | None) -> str:
        where = {"optax": "optax", "torch": "torch.optim"}[self.flavour]
        if library is None:
            return f"{where} has no {racer.entry.title} of exactly this form: the app's own rule."
        if dict(racer.schedules) and library.fits(racer.values, frozenset()):
            return f"{library.name} cannot follow these schedules exactly: the app's own rule."
        return f"{library.name} has another form with these settings: the app's own rule."

    def _array(self, value: Any) -> str:
        if not hasattr(value, "shape"):
            raise ValueError("what this rule remembers is not made of arrays, so it cannot be written down")
        array = np.asarray(value)
        if array.ndim and np.array_equal(array, self.experiment.start):
            return "START"
        if not array.ndim:
            return f"{'torch.tensor' if self.flavour == 'torch' else 'jnp.array'}({array.item()!r})"
        shape = tuple(array.shape) if array.ndim > 1 else array.size
        if not array.any():
            return f"{self.tensors}.zeros({shape})"
        if (array == array.flat[0]).all():
            return f"{self.tensors}.full({tuple(array.shape)}, {array.flat[0].item()!r})"
        return f"{'torch.tensor' if self.flavour == 'torch' else 'jnp.array'}({array.tolist()!r})"

    def _race(self, paths: list[str]) -> str:
        noisy = {
            "time": "time",
            "unpacked": "        t, draw = time\n",
            "times": "(jnp.arange(STEPS, dtype=float), draws)",
            "f": "here",
        }
        noisy["here"] = "        def here(at):\n            return objective(at, draw)\n\n"
        calm = {"time": "t", "unpacked": "", "times": "jnp.arange(STEPS, dtype=float)", "here": ""}
        calm["f"] = "objective" if self.l2 else "loss"
        if self.flavour == "torch":
            noisy["here"] = noisy["here"].replace("draw)", "draws[t])")
        words = noisy if self.noise else calm
        told = f"grad, state, theta, t=t, value=value, loss={words['f']}"
        words["update"] = f"optimizer.update({told if self.helpers else 'grad, state, theta'})"
        words["extra"] = "    optimizer = optax.with_extra_args_support(optimizer)\n" if self.helpers else ""
        blocks = [
            Template(block.strip("\n")).substitute(words) for block in (*self.helpers.values(), *self.loops.values())
        ]
        return _section("The race", [*blocks, "\n".join(["paths = {", *paths, "}"])])

    def _report(self) -> str:
        end = "torch.from_numpy(path[-1])" if self.flavour == "torch" else "path[-1]"
        return (
            "for label, path in paths.items():\n"
            f'    print(f"{{label}}: f = {{float(loss({end})):.6g}} at {{path[-1]}} after {{STEPS}} steps")'
        )


# What scripts say in their own words ----------------------------------------------------------------------------------

SUPPLIED = ("t", "theta", "value", "loss", "gradient_at")
OFF = {"nesterov": "False", "amsgrad": "False", "centered": "False", "momentum": "0.0", "dampening": "0.0"}

TENSORS = '''
def tensors(**numbers):
    """Numbers as tensors, which torch.where and its like want."""
    return {name: torch.as_tensor(number) for name, number in numbers.items()}
'''
ABSOLUTE = '''
def absolute(u):
    """|u|, level at its kink, where JAX gives jnp.abs the slope 1."""
    return u * jnp.sign(u)
'''
WARM_UP = '''
def warm_up(schedule, t, warmup, warmup_start, *, peak, **own):
    """A straight line up to the peak, and then the schedule for the rest of the run."""
    rising = peak * (warmup_start + (1 - warmup_start) * t / warmup)
    return jnp.where(t < warmup, rising, schedule(jnp.maximum(t - warmup, 0), peak=peak, **own))
'''
WARM_UP_REMEMBERING = '''
def warm_up_remembering(schedule, t, warmup, warmup_start, memory, *, peak, **own):
    """A straight line up to the peak, of which nothing is remembered, and then the schedule for the rest of the run."""
    rising = peak * (warmup_start + (1 - warmup_start) * t / warmup)
    value, after = schedule(jnp.maximum(t - warmup, 0), peak=peak, **memory, **own)
    kept = {slot: jnp.where(t < warmup, memory[slot], after[slot]) for slot in memory}
    return jnp.where(t < warmup, rising, value), kept
'''
FOLLOW = '''
def follow(schedules, now, memory):
    """Let each schedule set now.<its hyperparameter>; returns what they remember of it."""
    found = {name: schedule(now, memory[name]) for name, schedule in schedules.items()}
    for name, (value, _) in found.items():
        setattr(now, name, value)
    return {name: after for name, (_, after) in found.items()}
'''
WITH_SLOTS = '''
def remembering(rule, slots, memory, **schedules):
    """A rule whose schedules remember something, and what it starts with."""

    def move(now, both):
        slots, memory = both
        memory = follow(schedules, now, memory)
        step, slots = rule(now, slots)
        return step, (slots, memory)

    return move, (slots, memory)
'''
REMEMBERING = {
    "jax": WITH_SLOTS,
    "optax": WITH_SLOTS,
    "torch": '''
def remembering(call, memory, **schedules):
    """`call(now, …)` whose schedules remember something from one call to the next."""

    def called(now, *others):
        memory.update(follow(schedules, now, memory))
        return call(now, *others)

    return called
''',
}
JAX_LOOP = '''
def descend(rule, slots):
    """The path of a rule from START, shape (STEPS + 1, 2): rule(now, slots) gives a step and the new slots."""

    def move(carry, $time):
        theta, slots = carry
${unpacked}${here}        gradient_at = jax.grad($f)
        now = SimpleNamespace(
            t=t, theta=theta, grad=gradient_at(theta), value=$f(theta), loss=$f, gradient_at=gradient_at
        )
        step, slots = rule(now, slots)
        return (theta + step, slots), theta + step

    _, path = jax.lax.scan(move, (START, slots), $times)
    return np.vstack([START, path])
'''
OPTAX_LOOP = '''
def descend(optimizer):
    """The path of an optax optimizer from START, shape (STEPS + 1, 2)."""
${extra}
    def move(carry, $time):
        theta, state = carry
${unpacked}${here}        value, grad = jax.value_and_grad($f)(theta)
        update, state = $update
        theta = optax.apply_updates(theta, update)
        return (theta, state), theta

    _, path = jax.lax.scan(move, (START, optimizer.init(START)), $times)
    return np.vstack([START, path])
'''
ANEW = '''
def anew(make):
    """An optax optimizer made anew for every step, so that any of its hyperparameters may follow a schedule."""

    def init(theta):
        return make(SimpleNamespace(t=0.0, theta=theta)).init(theta)

    def update(grad, state, theta, *, t, value, loss):
        optimizer = make(SimpleNamespace(t=t, theta=theta))
        return optax.with_extra_args_support(optimizer).update(grad, state, theta, value=value)

    return optax.GradientTransformationExtraArgs(init, update)
'''
ANEW_REMEMBERING = '''
def anew_remembering(make, memory, **schedules):
    """An optax optimizer made anew for every step, whose schedules remember something."""

    def init(theta):
        now = SimpleNamespace(t=0.0, theta=theta)
        follow(schedules, now, memory)
        return make(now).init(theta), memory

    def update(grad, state, theta, *, t, value, loss):
        now = SimpleNamespace(t=t, theta=theta)
        memory = follow(schedules, now, state[1])
        optimizer = optax.with_extra_args_support(make(now))
        step, inner = optimizer.update(grad, state[0], theta, value=value)
        return step, (inner, memory)

    return optax.GradientTransformationExtraArgs(init, update)
'''
OWN = '''
def own(rule, slots):
    """A rule of one's own as an optax optimizer: rule(now, slots) gives a step and the new slots."""

    def update(grad, slots, theta, *, t, value, loss):
        now = SimpleNamespace(t=t, theta=theta, grad=grad, value=value, loss=loss, gradient_at=jax.grad(loss))
        return rule(now, slots)

    return optax.GradientTransformationExtraArgs(lambda theta: slots, update)
'''
TORCH_LOOP = '''
def descend(make):
    """The path of an optimizer of PyTorch from START, shape (STEPS + 1, 2)."""
    theta = START.clone().requires_grad_()
    optimizer = make(theta)
    path = [START.numpy()]
    for t in range(STEPS):
${here}        optimizer.zero_grad()
        $f(theta).backward()
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    return np.array(path)
'''
TORCH_LOOP_WITH_SCHEDULE = '''
def descend(make, schedule=lambda now: {}):
    """The path of an optimizer of PyTorch from START, shape (STEPS + 1, 2); schedule(now) sets what changes."""
    theta = START.clone().requires_grad_()
    optimizer = make(theta)
    path = [START.numpy()]
    for t in range(STEPS):
${here}        optimizer.zero_grad()
        $f(theta).backward()
        for group in optimizer.param_groups:
            group.update(schedule(SimpleNamespace(t=float(t), theta=theta.detach())))
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    return np.array(path)
'''
TORCH_LOOP_BY_HAND = '''
def descend_by_hand(rule, slots):
    """The path of a rule from START, shape (STEPS + 1, 2): rule(now, slots) gives a step and the new slots."""
    theta, path = START, [START.numpy()]
    for t in range(STEPS):
${here}        gradient_at = torch.func.grad($f)
        now = SimpleNamespace(
            t=float(t), theta=theta, grad=gradient_at(theta), value=$f(theta), loss=$f, gradient_at=gradient_at
        )
        step, slots = rule(now, slots)
        theta = theta + step
        path.append(theta.numpy())
    return np.array(path)
'''
THROUGH_OPTAX = {
    "jax": '''
def through_optax(make):
    """The update of an optax optimizer as a rule."""

    def rule(now, state):
        update = optax.with_extra_args_support(make(now)).update
        return update(now.grad, state, now.theta, value=now.value, grad=now.grad, value_fn=now.loss)

    return rule
''',
    "torch": '''
def through_optax(make):
    """The update of an optax optimizer as a rule on tensors."""

    def rule(now, state):
        grad, theta = now.grad.numpy(), now.theta.numpy()
        update = optax.with_extra_args_support(make(now)).update
        step, state = update(grad, state, theta, value=now.value.numpy(), grad=grad)
        return torch.from_numpy(np.array(step)), state

    return rule
''',
}


def _section(title: str, blocks: list[str]) -> str:
    if not blocks:
        return ""
    return "\n\n\n".join([f"# {title}", *(block.strip("\n") for block in blocks)])


def _starts(slots: Mapping[str, Any]) -> list[str]:
    """What a schedule remembers at first."""
    return [f'"{slot}": {"np.inf" if value == math.inf else repr(float(value))}' for slot, value in slots.items()]


def _literal(value: Value) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _comment(line: str) -> str:
    """One line of comment, whatever the text is: nothing in it can end the line."""
    printable = "".join(letter if letter.isprintable() else " " for letter in line)
    return f"# {printable}".rstrip()


def _pairs(texts: Mapping[str, str]) -> list[str]:
    return [f"{name}={text}" for name, text in texts.items()]


def _call(head: str, arguments: list[str]) -> str:
    return f"{head}({', '.join(arguments)})"


def _entry(label: str, call: str, comment: str = "") -> str:
    """One entry of `paths`, with a trailing comma."""
    named = f"    {json.dumps(label, ensure_ascii=False)}: "
    before = f"    {_comment(comment)}\n" if comment else ""
    return before + named + _laid_out(call, 4, WIDTH - len(named)) + ","


def _laid_out(text: str, indent: int, room: int) -> str:
    """A call, or anything else that ends with a bracket, on one line if there is `room`, else with what is between its
    brackets on lines of its own, as many arguments on each as fit. What is one argument has no comma with a space."""
    if len(text) <= room or text[-1] not in ")}":
        return text.replace(TIE, " ")
    parts, depth, first = [""], 0, len(text)
    for i in reversed(range(len(text) - 1)):  # from the closing bracket at the end back to the one that opens it
        depth += (text[i] in ")]}") - (text[i] in "([{")
        if depth < 0:
            first = i
            break
        if depth == 0 and text[i : i + 2] == ", ":
            parts[0] = parts[0].removeprefix(" ")
            parts.insert(0, "")
        else:
            parts[0] = text[i] + parts[0]
    rows, wide = [""], WIDTH - indent - 5
    for part in parts:
        row = _laid_out(part, indent + 4, wide)
        if rows[-1] and "\n" not in row + rows[-1] and len(rows[-1]) + len(row) + 1 <= wide:
            rows[-1] += f" {row},"
        else:
            rows.append(f"{row},")
    inside = "".join(f"{' ' * (indent + 4)}{row}\n" for row in rows[1:])
    return f"{text[: first + 1].replace(TIE, ' ')}\n{inside}{' ' * indent}{text[-1]}"
