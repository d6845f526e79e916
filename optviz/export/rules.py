"""How a script calls a racer's rule: by a library that has it, or by the app's own function, quoted.

Where a library has the same rule (`OPTAX` and `TORCH` say where, and for which settings) the script calls the library
instead; a rule that stands in neither table is quoted, so that a newly declared optimizer exports by existing. A
schedule is quoted too, and called where its hyperparameter stands. Scripts for surfaces and for networks share all of
this: what differs between them is the loop, and what a schedule that watches the loss gets to see.

In a script `now` is what is known at a step: t = 0, 1, 2, …, theta, grad, value, loss, gradient_at. A rule is a
function of `now` and its slots, and what it remembers at first is a function of theta.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from optviz.experiment import Pick, Racer
from optviz.export.plain import PLAIN
from optviz.export.quoting import STAND_INS, TIE, Quoted, call, comment, literal, pairs
from optviz.schedules import SCHEDULES
from optviz.spec import Value

FLAVOURS = ("jax", "optax", "torch")
TITLES = {"jax": "plain JAX", "optax": "JAX with optax", "torch": "PyTorch"}
NEEDS = {"jax": "jax", "optax": "jax optax", "torch": "torch numpy"}


# The top of a script --------------------------------------------------------------------------------------------------

STANDARD = ("base64", "collections", "io", "lzma", "math", "types")
MODULES = {
    "jax": {"jax", "jax.numpy as jnp"},
    "optax": {"jax", "jax.numpy as jnp", "optax"},
    "torch": {"torch"},
}


def titled(lines: Sequence[str], flavour: str, link: str) -> str:
    """The comment at the top: what the script is, what it needs, where it came from."""
    lines = [*lines, "", f"Needs only:       pip install {NEEDS[flavour]}"]
    if link:
        lines.append(f"Live in the app:  {link}")
    return "\n".join(map(comment, lines))


def imports(quoted: Quoted, flavour: str, more: Iterable[str]) -> str:
    """The imports, those of the standard library first, and that numbers are double. Among `more` and what was quoted,
    "math.pi" stands for a name in a module and "numpy as np" for a module."""
    wanted = {*quoted.imports, *MODULES[flavour], *more}
    names = {one.rpartition(".")[::2] for one in wanted if "." in one and " " not in one}
    lines = {f"import {one}" for one in wanted if "." not in one or " " in one}
    for module in {module for module, _ in names}:
        lines.add(f"from {module} import {', '.join(sorted(name for where, name in names if where == module))}")
    standard = sorted((line for line in lines if line.split()[1] in STANDARD), key=_order)
    third = sorted(lines - set(standard), key=_order)
    doubles = ['jax.config.update("jax_enable_x64", True)'] if "import jax" in lines else []
    doubles += ["torch.set_default_dtype(torch.float64)"] if "import torch" in lines else []
    doubles[-1] += "  # the app computes in double precision"
    return "\n".join([*standard, *[""] * bool(standard), *third, "", *doubles])


def _order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line


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


# Writing a rule -------------------------------------------------------------------------------------------------------

USED = {"np", "jax", "jnp", "optax", "torch", "SimpleNamespace", "tensors", "warm_up", "warm_up_remembering", "follow"}
USED |= {"remembering", "anew", "anew_remembering", "own", "through_optax", *STAND_INS}  # names that rules may need
SUPPLIED = ("t", "theta", "value", "loss", "gradient_at")
OFF = {"nesterov": "False", "amsgrad": "False", "centered": "False", "momentum": "0.0", "dampening": "0.0"}
PROBE = np.array([0.5, -1.25, 2.0])  # a theta, to see what a rule remembers of it at first


class Written(NamedTuple):
    """A racer's rule in a script: which kind of loop takes it, and with which arguments."""

    loop: str  # "rule" of one's own, "optax", or torch's "optimizer"
    arguments: list[str]
    said: str = ""  # why it is no library's
    moving: bool = False  # whether hyperparameters of torch's optimizer follow schedules


class Rules:
    """The rules of one script, which grows as they are written: its quoted functions, and `helpers` that turn a rule
    into what the loop takes.

    `seen` and `news` are what a schedule that watches the loss gets to see, written in the script's own terms, and
    `optimizer` is what torch's optimizers are made of: a name, and their first argument, in which "{lr}" may stand.
    """

    def __init__(
        self,
        flavour: str,
        quoted: Quoted,
        *,
        seen: str,
        news: str = "True",
        optimizer: tuple[str, str] = ("theta", "[theta]"),
        home: str = "rule",
    ):
        self.home = home  # the first section that needs numbers as tensors
        self.flavour, self.quoted, self.seen, self.news, self.optimizer = flavour, quoted, seen, news, optimizer
        self.tensors = "torch" if flavour == "torch" else "jnp"  # whose arrays the rules see
        self.numbers = "np" if flavour == "torch" else "jnp"  # whose functions the schedules call
        self.helpers: dict[str, str] = {}

    def write(self, racer: Racer) -> Written:
        """How the script calls this racer's rule. Raises ValueError if something of it cannot be written down."""
        picks, values, entry = dict(racer.schedules), racer.values, racer.entry
        texts = {name: self._value(name, picks.get(name), value) for name, value in values.items()}
        remembered = self._remembered(picks, values)
        library = LIBRARIES[self.flavour].get(entry.key)
        if library and library.fits(values, frozenset(picks)):
            return self._by_library(library, values, texts, remembered, bool(picks))
        make = inspect.getclosurevars(entry.fn).nonlocals.get("transformation")  # of what is optax's own
        if make and (entry.key not in PLAIN or (self.flavour == "optax" and set(picks) <= {"lr"})):
            if self.flavour == "optax":
                optimizer = call(self.quoted.quote(make, "jnp", "rule"), pairs(texts))
                return self._by_optax(optimizer, remembered, bool(picks))
            return self._through_optax(self.quoted.quote(make, "jnp", "rule"), texts, values, remembered)
        fn = PLAIN[entry.key].fn if make else entry.fn
        hyper = {name: value if entry.param[name].static else jnp.asarray(value) for name, value in values.items()}
        theta = jnp.array(PROBE)
        slots = PLAIN[entry.key].start(theta, **hyper) if make else entry.start(theta, hyper)
        asked = [name for name in inspect.signature(fn).parameters if name in SUPPLIED]
        given = {name: "now.t + 1" for name in asked if name == "t"}  # a rule's first step is number 1
        rule = self.quoted.quote(fn, self.tensors, "rule")
        passed = [f"{name}=now.{name}" for name in asked if name != "t"]
        static = {name for name in texts if entry.param[name].static}
        arguments = ["now.grad", "**slots", *passed, *self.arguments(given | texts, static)]
        rule = call(f"lambda now,{TIE}slots: {rule}", arguments)
        first = ", ".join(f'"{name}": {self._array(value)}' for name, value in slots.items())
        said = "" if self.flavour == "jax" else self._why(racer, library)
        return self._by_hand(rule, f"lambda theta: {{{first}}}", remembered, said)

    def _value(self, name: str, pick: Pick | None, peak: Value) -> str:
        """A hyperparameter as the script writes it: a number, a call of its schedule, or, where the schedule remembers,
        what `follow` has found."""
        if pick is None:
            return literal(peak)
        return f"now.{name}" if SCHEDULES[pick.key].slots else self._schedule(pick, peak)

    def _remembered(self, picks: Mapping[str, Pick], values: Mapping[str, Value]) -> list[str]:
        """The arguments of `remembering`: what schedules that remember start with, and each as a function of now and
        memory. [] if none remembers."""
        slots = {name: SCHEDULES[pick.key].init() for name, pick in picks.items() if SCHEDULES[pick.key].slots}
        if not slots:
            return []
        self.helpers.setdefault("follow", FOLLOW)
        memories = [f'"{name}": {{{", ".join(_starts(first))}}}' for name, first in slots.items()]
        calls = [f"{name}=lambda now,{TIE}memory: {self._schedule(picks[name], values[name])}" for name in slots]
        return [f"{{{', '.join(memories)}}}", *calls]

    def _schedule(self, pick: Pick, peak: Value) -> str:
        entry = SCHEDULES[pick.key]
        own = entry.complete(dict(pick.values))
        warmup, warmup_start = int(own.pop("warmup")), own.pop("warmup_start")
        supplied = {
            "peak": repr(peak),
            "steps": "STEPS" if not warmup else f"max(STEPS - {warmup}, 1)",
            "value": self.seen,
            "news": self.news,
        }
        known = {name: supplied[name] for name in entry.needs} | {name: literal(value) for name, value in own.items()}
        name = self.quoted.quote(entry.fn, self.numbers, "schedule")
        if not warmup:
            return call(name, ["now.t", *["**memory"] * bool(entry.slots), *pairs(known)])
        helper, text = ("warm_up_remembering", WARM_UP_REMEMBERING) if entry.slots else ("warm_up", WARM_UP)
        self.quoted.functions[helper] = "schedule", text.replace("jnp.", f"{self.numbers}.")
        known = {"peak": repr(peak)} | known
        line = [name, "now.t", str(warmup), repr(warmup_start), *["memory"] * bool(entry.slots)]
        return call(helper, [*line, *pairs(known)])

    def arguments(self, texts: Mapping[str, str], static: set[str]) -> list[str]:
        """Numbers as keyword arguments. In PyTorch they go in as tensors, but for those that code branches on."""
        numbers = {name: text for name, text in texts.items() if name not in static}
        fixed = pairs({name: text for name, text in texts.items() if name in static})
        if self.flavour != "torch" or not numbers:
            return [*pairs(numbers), *fixed]
        self.quoted.functions.setdefault("tensors", (self.home, TENSORS))
        return [f"**tensors({', '.join(pairs(numbers))})", *fixed]

    def _by_library(
        self, library: Library, values: Mapping, texts: Mapping, remembered: list[str], scheduled: bool
    ) -> Written:
        numbers = {name: literal(value) for name, value in values.items()}
        written = {argument: template.format(**texts) for argument, template in library.arguments.items()}
        peaks = {argument: template.format(**numbers) for argument, template in library.arguments.items()}
        idle = {name for name in OFF if peaks.get(name) == OFF[name] == written[name]}  # the libraries' own defaults
        written = {argument: text for argument, text in written.items() if argument not in idle}
        if self.flavour == "optax":
            return self._by_optax(call(library.name, pairs(written)), remembered, scheduled)
        peaks = {argument: peaks[argument] for argument in written}
        moving = {argument: text for argument, text in written.items() if text != peaks[argument]}
        of_what, parameters = self.optimizer
        made = call(f"lambda {of_what}: {library.name}", [parameters.format(lr=peaks["lr"]), *pairs(peaks)])
        if not moving:
            return Written("optimizer", [made])
        entries = ", ".join(f'"{argument}": {text}' for argument, text in moving.items())
        schedule = f"lambda now: {{{entries}}}"
        if remembered:
            self.helpers["remembering"] = REMEMBERING["torch"]
            schedule = call("remembering", [schedule, *remembered])
        return Written("optimizer", [made, schedule], moving=True)

    def _by_optax(self, optimizer: str, remembered: list[str], scheduled: bool) -> Written:
        if not scheduled:
            return Written("optax", [optimizer])
        helper, text = ("anew_remembering", ANEW_REMEMBERING) if remembered else ("anew", ANEW)
        unseen = "" if self.news == "True" else ", seen=np.nan, news=False"  # before the first look
        self.helpers[helper] = text.replace("$unseen", unseen)
        return Written("optax", [call(helper, [f"lambda now: {optimizer}", *remembered])])

    def _by_hand(self, rule: str, slots: str, remembered: list[str], said: str) -> Written:
        both = self._with_memory(rule, slots, remembered)
        if self.flavour != "optax":
            return Written("rule", both, said)
        self.helpers["own"] = OWN
        return Written("optax", [call("own", both)], said)

    def _with_memory(self, rule: str, slots: str, remembered: list[str]) -> list[str]:
        """What a loop is called with: a rule and its first slots, and what its schedules remember."""
        if not remembered:
            return [rule, slots]
        self.helpers["remembering"] = REMEMBERING[self.flavour]
        if self.flavour == "torch":
            return [call("remembering", [rule, *remembered]), slots]
        return ["*" + call("remembering", [rule, slots, *remembered])]

    def _through_optax(
        self, make: str, texts: Mapping[str, str], values: Mapping[str, Value], remembered: list[str]
    ) -> Written:
        """What has no plain form here is left to optax, in a script that then needs it."""
        self.quoted.imports |= {"optax", "jax"}
        self.helpers["through_optax"] = THROUGH_OPTAX[self.flavour]
        optimizer = call(make, pairs(texts))
        first = call(make, pairs({name: literal(value) for name, value in values.items()}))
        theta = "theta.numpy()" if self.flavour == "torch" else "theta"
        both = self._with_memory(
            f"through_optax(lambda now: {optimizer})", f"lambda theta: {first}.init({theta})", remembered
        )
        return Written("rule", both, "Only optax has this rule: its own update, on the gradient from here.")

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
        if array.shape == PROBE.shape and np.array_equal(array, PROBE):
            return "theta"
        if not array.ndim:
            return f"{'torch.tensor' if self.flavour == 'torch' else 'jnp.array'}({array.item()!r})"
        if array.shape == PROBE.shape and not array.any():
            return f"{self.tensors}.zeros_like(theta)"
        if array.shape == PROBE.shape and (array == array[0]).all():
            return f"{self.tensors}.full_like(theta, {array[0].item()!r})"
        if array.ndim == 2 and array.shape[1] == PROBE.size and not array.any():
            size = "theta.numel()" if self.flavour == "torch" else "theta.size"
            return f"{self.tensors}.zeros(({len(array)}, {size}))"
        raise ValueError("what this rule remembers at first follows no pattern, so it cannot be written down")


def _starts(slots: Mapping[str, Any]) -> list[str]:
    """What a schedule remembers at first."""
    return [f'"{slot}": {"np.inf" if value == math.inf else repr(float(value))}' for slot, value in slots.items()]


# What scripts say in their own words ----------------------------------------------------------------------------------

TENSORS = '''
def tensors(**numbers):
    """Numbers as tensors, which torch.where and its like want."""
    return {name: torch.as_tensor(number) for name, number in numbers.items()}
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

    return move, lambda theta: (slots(theta), memory)
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
ANEW = '''
def anew(make):
    """An optax optimizer made anew for every step, so that any of its hyperparameters may follow a schedule."""

    def init(theta):
        return make(SimpleNamespace(t=0.0, theta=theta)).init(theta)

    def update(grad, state, theta, *, now):
        return optax.with_extra_args_support(make(now)).update(grad, state, theta, value=now.value)

    return optax.GradientTransformationExtraArgs(init, update)
'''
ANEW_REMEMBERING = '''
def anew_remembering(make, memory, **schedules):
    """An optax optimizer made anew for every step, whose schedules remember something."""

    def init(theta):
        now = SimpleNamespace(t=0.0, theta=theta$unseen)
        follow(schedules, now, memory)
        return make(now).init(theta), memory

    def update(grad, state, theta, *, now):
        memory = follow(schedules, now, state[1])
        optimizer = optax.with_extra_args_support(make(now))
        step, inner = optimizer.update(grad, state[0], theta, value=now.value)
        return step, (inner, memory)

    return optax.GradientTransformationExtraArgs(init, update)
'''
OWN = '''
def own(rule, slots):
    """A rule of one's own as an optax optimizer: rule(now, slots) gives a step and the new slots."""

    def update(grad, slots, theta, *, now):
        return rule(now, slots)

    return optax.GradientTransformationExtraArgs(slots, update)
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
