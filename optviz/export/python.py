"""An experiment or a training as a Python script that stands alone, for plain JAX, for optax or for PyTorch.

The script is quoted, not written anew: surface, rules and schedules are the sources of the catalogues' own functions,
with the helpers and constants that they use (`quoting`); where a library has the same rule, the script calls the
library instead (`rules`). Here is what belongs to surfaces; `network` has the rest. Text of a visitor gets into a
script only as an expression that `expression.python` wrote, or as one line of printable characters in a comment.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from optviz.experiment import Experiment, Racer, labels
from optviz.export.network import network_script
from optviz.export.quoting import WIDTH, Quoted, call, entry, laid_out, section
from optviz.export.rules import FLAVOURS, TITLES, USED, Rules, imports, titled
from optviz.expression import parse
from optviz.surfaces import own_parts
from optviz.training import Training


def to_python(shown: Experiment | Training, flavour: str, *, link: str = "", names: Sequence[str] = ()) -> str:
    """A race or a training as a script in one of `FLAVOURS`. `link` is the address that opens it in the app, and
    `names` are what the configurations of a training are called, if not by their optimizers.

    Run, the script of a race leaves `paths`, a dict from each racer's label to its path (steps + 1, 2), and prints
    where each ended; pins stay behind. The script of a training leaves `runs`, a dict from each name to the parameters
    at the end, the losses of all steps, and the loss and accuracy on each part of the data, which it prints. Raises
    ValueError if the flavour is unknown, if nobody races, or if a part cannot be written down.
    """
    if flavour not in FLAVOURS:
        raise ValueError(f"flavour must be one of {', '.join(FLAVOURS)}, not {flavour!r}")
    if isinstance(shown, Training):
        return network_script(shown, flavour, link, names)
    if not shown.racers:
        raise ValueError("nobody is racing: add an optimizer, and there is something to export")
    return _Race(shown, flavour, link).text()


TAKEN = USED | {"f", "loss", "objective", "draws", "descend", "descend_by_hand", "paths", "path", "label", "absolute"}
TAKEN |= {"gradient", "START", "STEPS", "L2", "NOISE", "SEED"}


class _Race:
    """The script of a race in the making."""

    def __init__(self, experiment: Experiment, flavour: str, link: str):
        self.experiment, self.flavour, self.link = experiment, flavour, link
        self.noise, self.l2 = experiment.noise > 0, experiment.l2 > 0
        self.quoted = Quoted(TAKEN)
        seen = "loss(now.theta).item()" if flavour == "torch" else "loss(now.theta)"
        self.rules = Rules(flavour, self.quoted, seen=seen, home="surface")
        self.loops: dict[str, str] = {}

    def text(self) -> str:
        names = labels(self.experiment.racers)
        surface = self._surface()
        paths = [self._racer(name, racer) for name, racer in zip(names, self.experiment.racers, strict=True)]
        race = self._race(paths)
        sections = [
            self._header(),
            imports(self.quoted, self.flavour, {"types.SimpleNamespace", "numpy as np"}),
            "\n".join(self._settings()),
            section("The surface", [*self.quoted.section("surface"), *surface]),
            section("The schedules", self.quoted.section("schedule")),
            section("The rules: their steps are added to theta", self.quoted.section("rule")),
            race,
            self._report(),
        ]
        return "\n\n\n".join(section for section in sections if section) + "\n"

    def _header(self) -> str:
        entry, racers = self.experiment.entry, len(self.experiment.racers)
        own = self.experiment.surface.key.startswith("=")
        who = "One optimizer" if racers == 1 else f"{racers} optimizers"
        where = "a surface of your own" if own else entry.title
        lines = [f"{who} on {where}, in {TITLES[self.flavour]}: exported from optviz."]
        if own:
            lines.append("f(x, y) = " + own_parts(self.experiment.surface.key)[0])
        return titled(lines, self.flavour, self.link)

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
            formula = parse(own_parts(key)[0]).python(self.rules.tensors)
            if "jnp.abs(" in formula:
                formula = formula.replace("jnp.abs(", "absolute(")
                self.quoted.functions["absolute"] = "surface", ABSOLUTE
            name, blocks = "f", [f'def f(x, y):\n    """A formula of your own."""\n    return {formula}']
        else:
            name, blocks = self.quoted.quote(entry.fn, self.rules.tensors, "surface"), []
        numbers = {name: repr(value) for name, value in self.experiment.surface_values.items()}
        arguments = self.rules.arguments(numbers, {param.name for param in entry.params if param.static})
        height = laid_out(call(f"return {name}", ["theta[0]", "theta[1]", *arguments]), 4, WIDTH - 4)
        blocks += [f'def loss(theta):\n    """The height of the surface at theta, shape (2,)."""\n    {height}']
        if self.noise or self.l2:
            blocks.append(self._objective())
        if self.noise:
            blocks.append(self._draws())
        return blocks

    def _objective(self) -> str:
        terms = ["loss(theta)"]
        terms += [f"0.5 * L2 * {self.rules.tensors}.sum(theta**2)"] * self.l2
        terms += [f"NOISE * {self.rules.tensors}.sum(draw * theta)"] * self.noise
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

    # A racer, and the loop that takes it

    def _racer(self, label: str, racer: Racer) -> str:
        """The racer's entry in `paths`."""
        written = self.rules.write(racer)
        loop, text = {
            ("rule", "jax"): ("descend", JAX_LOOP),
            ("rule", "torch"): ("descend_by_hand", TORCH_LOOP_BY_HAND),
            ("optax", "optax"): ("descend", OPTAX_LOOP),
            ("optimizer", "torch"): ("descend", TORCH_LOOP),
        }[written.loop, self.flavour]
        if written.moving:
            self.loops[loop] = TORCH_LOOP_WITH_SCHEDULE
        self.loops.setdefault(loop, text)
        return entry(label, call(loop, written.arguments), written.said)

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
        told, helpers = self.rules.helpers, self.rules.helpers.values()
        words["update"] = f"optimizer.update(grad, state, theta{', now=now' if told else ''})"
        words["now"] = Template(NOW).substitute(words) if told else ""
        words["extra"] = "    optimizer = optax.with_extra_args_support(optimizer)\n" if told else ""
        blocks = [
            *(helper.strip("\n") for helper in helpers),
            *(Template(loop.strip("\n")).substitute(words) for loop in self.loops.values()),
        ]
        return section("The race", [*blocks, "\n".join(["paths = {", *paths, "}"])])

    def _report(self) -> str:
        end = "torch.from_numpy(path[-1])" if self.flavour == "torch" else "path[-1]"
        return (
            "for label, path in paths.items():\n"
            f'    print(f"{{label}}: f = {{float(loss({end})):.6g}} at {{path[-1]}} after {{STEPS}} steps")'
        )


# What scripts say in their own words ----------------------------------------------------------------------------------

ABSOLUTE = '''
def absolute(u):
    """|u|, level at its kink, where JAX gives jnp.abs the slope 1."""
    return u * jnp.sign(u)
'''
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

    _, path = jax.lax.scan(move, (START, slots(START)), $times)
    return np.vstack([START, path])
'''
NOW = """        now = SimpleNamespace(t=t, theta=theta, grad=grad, value=value, loss=$f, gradient_at=jax.grad($f))
"""
OPTAX_LOOP = '''
def descend(optimizer):
    """The path of an optax optimizer from START, shape (STEPS + 1, 2)."""
${extra}
    def move(carry, $time):
        theta, state = carry
${unpacked}${here}        value, grad = jax.value_and_grad($f)(theta)
${now}        update, state = $update
        theta = optax.apply_updates(theta, update)
        return (theta, state), theta

    _, path = jax.lax.scan(move, (START, optimizer.init(START)), $times)
    return np.vstack([START, path])
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
    theta, slots, path = START, slots(START), [START.numpy()]
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
