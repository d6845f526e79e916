"""A training as a Python script: the data, the networks, the batches and the rules, written out and trained anew.

The script draws what the app draws, by NumPy's generators with the same seeds: the examples of a generated data set,
the split, the first weights, the order of the examples, dropout and noise. So it meets the same numbers, to rounding,
in all flavours. A table that cannot be drawn, a real data set or a visitor's own, stands in the script as compressed
text.

Only what a training uses is written. Each configuration asks for its network, its objective and so on, and where two
ask for the same text they share it. Initializations, data sets, rules and schedules are quoted from the catalogues;
activations and losses are the libraries' own, and one that no library has is refused.
"""

from __future__ import annotations

import base64
import lzma
from collections.abc import Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from optviz.datasets import DATASETS, Table, warped
from optviz.export.quoting import WIDTH, Quoted, call, comment, entry, laid_out, literal, pairs, section
from optviz.export.rules import TITLES, USED, Rules, Written, imports, titled
from optviz.figures.training import names as usual_names
from optviz.networks import INITS
from optviz.schedules import SCHEDULES
from optviz.training import Configuration, Own, Training

INLINE_AT_MOST = 300_000  # characters of a table that stands in a script
ACTIVATION = {
    "relu": {"jnp": "jax.nn.relu", "torch": "torch.relu"},
    "leaky_relu": {"jnp": "jax.nn.leaky_relu", "torch": "torch.nn.functional.leaky_relu"},  # with a slope of 0.01, too
    "gelu": {"jnp": "gelu", "torch": "torch.nn.functional.gelu"},
    "silu": {"jnp": "jax.nn.silu", "torch": "torch.nn.functional.silu"},
    "tanh": {"jnp": "jnp.tanh", "torch": "torch.tanh"},
    "sigmoid": {"jnp": "jax.nn.sigmoid", "torch": "torch.sigmoid"},
    "identity": {"jnp": "", "torch": ""},
}
LOSS = {
    "cross_entropy": "The cross-entropy between the softmax of the outputs and the classes, in nats: a mean.",
    "squared_error": "The squared error, a mean over examples and outputs.",
    "huber": "Huber's loss, squared for small errors and linear for large ones: a mean over examples and outputs.",
}
SPACE = "    "


def network_script(training: Training, flavour: str, link: str = "", names: Sequence[str] = ()) -> str:
    """The training as a script in one of the flavours; `names` are what its configurations are called. Raises
    ValueError, with a sentence that names it, if something of it cannot be written down."""
    return _Lesson(training, flavour, link, list(names) or usual_names(training)).text()


def refused(training: Training) -> str:
    """Why a training cannot be a script, in a sentence; "" if it can."""
    try:
        if isinstance(training.dataset, Own):
            _packed_own(training.dataset)
        for one in training.configurations:
            _known(one)
    except ValueError as error:
        return str(error)
    return ""


def _known(one: Configuration) -> None:
    for kind, key, table in (("activation", one.net.activation, ACTIVATION), ("loss", one.net.loss, LOSS)):
        if key not in table:
            raise ValueError(f"the {kind} {key} cannot be written into a script: no library has it")


_texts: WeakKeyDictionary[Own, str] = WeakKeyDictionary()  # gone with their visitors' tables


def _packed_own(own: Own) -> str:
    """The same of a visitor's own table, packed once."""
    if own not in _texts:
        _texts[own] = _packed(own.table)
    return _texts[own]


def _packed(table: Table) -> str:
    """A table as text: its examples with the target behind them, separated by commas, compressed, in base64."""
    rows = np.column_stack([table.x, table.y]).tolist()
    text = "\n".join(
        ",".join(repr(int(v)) if v.is_integer() and abs(v) < 1e15 else repr(v) for v in row) for row in rows
    )
    packed = base64.b64encode(lzma.compress(text.encode(), preset=9)).decode()
    if len(packed) > INLINE_AT_MOST:
        raise ValueError(
            f"this table takes {len(packed)} characters in a script, and at most {INLINE_AT_MOST} are allowed; "
            "leave out rows or columns"
        )
    return packed


class _Lesson:
    """The script of a training in the making."""

    def __init__(self, training: Training, flavour: str, link: str, names: list[str]):
        self.training, self.flavour, self.link, self.names = training, flavour, link, names
        self.torch = flavour == "torch"
        self.quoted = Quoted(TAKEN)
        self.rules = Rules(
            flavour, self.quoted, seen="now.seen", news="now.news", optimizer=("model", "model.parameters()")
        )
        self.blocks: dict[str, list[str]] = {}  # section -> its definitions
        self.defined: dict[tuple[str, str], str] = {}  # (name that was asked for, text) -> name that it got
        for one in training.configurations:
            _known(one)

    def text(self) -> str:
        table, data = self._data()
        written = [self._written(one) for one in self.training.configurations]  # all, before a loop is written
        calls = [self._run(index, one) for index, one in enumerate(written)]
        data = section("The data", [*self.quoted.section("data"), *data])
        sections = [
            "" if table else data,
            section("The network", [*self.quoted.section("init"), *self.blocks.get("network", [])]),
            section("The batches", self.blocks.get("batches", [])),
            section("The schedules", self.quoted.section("schedule")),
            section("The rules: their steps are added to theta", self.quoted.section("rule")),
            section("Training", [*self.rules.helpers.values(), *self.blocks["train"]]),
            data if table else "",
            self._runs(calls, [one.said for one in written]),
            self._report(),
        ]
        body = "\n\n\n".join(section for section in sections if section)
        more = {"numpy as np"} | {module for module in ("base64", "io", "lzma") if f"{module}." in body}
        more |= {"types.SimpleNamespace"} if "SimpleNamespace(" in body else set()
        more |= set() if self.torch else {"jax.flatten_util.ravel_pytree"}
        top = [self._header(), imports(self.quoted, self.flavour, more), self._settings(body)]
        return "\n\n\n".join([*top, body]) + "\n"

    def _header(self) -> str:
        one, count = self.training, len(self.training.configurations)
        where = "a table of your own" if isinstance(one.dataset, Own) else DATASETS[one.dataset.key].title
        who = "A network learns" if count == 1 else f"{count} networks learn"
        return titled(
            [f"{who} from {where}, in {TITLES[self.flavour]}: exported from optviz."], self.flavour, self.link
        )

    def _settings(self, body: str) -> str:
        one = self.training
        known = {
            "SEED": (one.seed, "of the split, the first weights, the order of the examples and all other chance"),
            "EPOCHS": (one.epochs, "how often training goes through all examples"),
            "BATCH": (one.size, "examples a step"),
            "BATCHES": (one.steps_an_epoch, "steps an epoch"),
            "STEPS": (one.steps, "in all, which schedules count with"),
        }
        used = {name: what for name, what in known.items() if name in body.replace("BATCHES", "") or name == "BATCHES"}
        if "BATCHES" not in body:
            used.pop("BATCHES")
        return "\n".join(f"{name} = {value}  # {said}" for name, (value, said) in used.items())

    def _define(self, where: str, name: str, text: str) -> str:
        """Put a definition, in which its own name is NAME, into a section; returns the name that it got. The same text
        is defined only once."""
        if (name, text) not in self.defined:
            twins = sum(other == name for other, _ in self.defined)
            self.defined[name, text] = f"{name}_{twins + 1}" if twins else name
            self.blocks.setdefault(where, []).append(text.replace("NAME", self.defined[name, text]))
        return self.defined[name, text]

    # The data

    def _data(self) -> tuple[bool, list[str]]:
        """Whether the table itself stands in the script, and the definitions that lead to `parts`."""
        one = self.training
        blocks = []
        if isinstance(one.dataset, Own):
            table, packed, said = one.dataset.table, _packed_own(one.dataset), "Your own table"
        else:
            entry = DATASETS[one.dataset.key]
            table, packed = entry.table(seed=one.seed, **dict(one.dataset.values)), ""
            said = f"{entry.title} ({entry.source}; licence: {entry.licence})"
            if entry.params:
                drawn = self.quoted.quote(entry.fn, "np", "data")
                values = entry.complete(dict(one.dataset.values))
                rng = f'np.random.default_rng([SEED, *b"{entry.key}"])'
                made = laid_out(call(drawn, [rng, *pairs({k: literal(v) for k, v in values.items()})]), 0, WIDTH - 8)
                blocks.append(f"table = {made}\nx, y = table.x, table.y")
            else:
                packed = _packed(table)
        if packed:
            blocks.append(_inline(table, packed, said))
        blocks.append(self._split(table))
        if one.copies:
            blocks.append(self._copies())
        if one.standardize:
            blocks.append(self._standardized(table))
        classes = len(table.classes)
        blocks.append(
            f'def targets(y):\n    """1 for the true class and 0 for the others, (examples, {classes})."""\n'
            f"    return np.eye({classes})[y]"
            if classes and not (self.torch and all(c.net.loss == "cross_entropy" for c in one.configurations))
            else ""
        )
        return bool(packed), blocks

    def _split(self, table: Table) -> str:
        one = self.training
        plain = replace(one, standardize=False, copies=0).parts
        shares = {"validation": one.validation, "test": one.test}
        kept = {name: getattr(plain, name).y for name in shares}
        kinds = np.unique(table.y) if table.classes else [None]
        counts = [tuple(int((y == k).sum()) if k is not None else len(y) for y in kept.values()) for k in kinds]
        sizes = [int((table.y == k).sum()) if k is not None else len(table.y) for k in kinds]
        rounded = [tuple(round(share * size) for share in shares.values()) for size in sizes]
        lines = ['order = np.random.default_rng([SEED, *b"split"]).permutation(len(y))']
        used = {name: i for i, name in enumerate(("training", *shares)) if i == 0 or shares[name]}
        inside, usual = "", rounded == counts
        if len(used) > 1:
            meaning = ", ".join(f"{i} {name}" for name, i in used.items())
            lines.append(f"part = np.zeros(len(y), int)  # of the examples in this order: {meaning}")
            if table.classes:
                inside = SPACE
                if usual:
                    lines.append("for kind in np.unique(y):  # every class has its share in each part")
                else:
                    lines.append(f"KEPT = {counts}  # of each class, for validation and test")
                    lines.append("for kind, (validation, test) in zip(np.unique(y), KEPT):")
                lines.append(f"{inside}places = np.flatnonzero(y[order] == kind)")
            else:
                lines.append("places = np.arange(len(y))")
            if usual:
                kept_now = [f"round({share!r} * len(places))" for share in shares.values()]
                lines.append(f"{inside}validation, test = {', '.join(kept_now)}")
            elif not table.classes:
                lines.append(f"validation, test = {counts[0]}")
            lines.append(f"{inside}part[places[:validation]] = 1")
            lines.append(f"{inside}part[places[validation : validation + test]] = 2")
            which = "order[part == i]"
            lines.append(f"numbers = {{{', '.join(f'{literal(name)}: {i}' for name, i in used.items())}}}")
            lines.append(f"parts = {{name: (x[{which}], y[{which}]) for name, i in numbers.items()}}")
        else:
            lines.append('parts = {"training": (x[order], y[order])}')
        return "\n".join(lines)

    def _copies(self) -> str:
        one, image = self.training, self.training.image
        assert image is not None  # a training with copies has pictures
        self.quoted.quote(warped, "np", "data")
        return f'''def with_copies(x, y):
    """The pictures and, below them, altered copies: moved by up to {one.shift} pixels, turned by up to {one.angle}°."""
    rng, all_of_them = np.random.default_rng([SEED, *b"augmented"]), [x]
    for _ in range({one.copies}):
        down, right, angle = rng.uniform(-1, 1, (3, len(x))) * np.array([[{one.shift}], [{one.shift}], [{one.angle}]])
        copies = warped(x.reshape(len(x), {image[0]}, {image[1]}), down=down, right=right, angle=angle)
        all_of_them.append(copies.reshape(x.shape))
    return np.concatenate(all_of_them), np.tile(y, {one.copies + 1})


parts["training"] = with_copies(*parts["training"])'''

    def _standardized(self, table: Table) -> str:
        x = replace(self.training, standardize=False).parts.train.x
        still = np.flatnonzero((np.ptp(x, axis=0) == 0) | (x.std(axis=0) == 0)).tolist()
        lines = [
            "# Every column is brought to mean 0 and deviation 1, by what the training part alone knows.",
            'x, y = parts["training"]',
            "mean, deviation = x.mean(axis=0), x.std(axis=0)",
        ]
        if still:
            lines.append(f"deviation[{still}] = 1.0  # of columns that are constant there")
        answer = "y"
        if not table.classes:
            lines.append("y_mean, y_deviation = y.mean(), y.std()")
            answer = "(y - y_mean) / y_deviation"
        lines.append(f"parts = {{name: ((x - mean) / deviation, {answer}) for name, (x, y) in parts.items()}}")
        return "\n".join(lines)

    # The runs

    def _written(self, one: Configuration) -> Written:
        """How the script calls a configuration's rule."""
        parameters = "model.parameters()"
        if self.torch and one.net.bias_lr != 1:
            grouped = self._define("train", "in_groups", IN_GROUPS.replace("BIAS_LR", repr(one.net.bias_lr)))
            parameters = f"{grouped}(model, {{lr}})"
        self.rules.optimizer = ("model", parameters)
        return self.rules.write(one.racer)

    def _run(self, index: int, written: Written) -> str:
        """The call that trains a configuration."""
        texts = _Texts(self.training, index, self.flavour, written)
        names: dict[str, str] = {}
        names["init"] = self.quoted.quote(INITS[texts.net.init].fn, "np", "init")

        def define(where: str, name: str, text: str) -> None:
            names[name] = self._define(where, name, text) if text else ""

        define("network", "BatchNorm" if self.torch else "normalized", texts.normalized())
        if self.torch:
            define("network", "Network", texts.model(names))
        else:
            define("network", "gelu", GELU if texts.net.activation == "gelu" else "")
            define("network", "start", texts.start(names))
            define("network", "network", texts.network(names))
        define("network", "mean_loss", texts.mean_loss())
        define("network", "objective", texts.objective(names))
        define("network", "judge", texts.judge(names))
        define("batches", "batches", texts.batches())
        define("train", "clipped", texts.clipped())
        define("train", "stretched", texts.stretched())
        loop = "train_by_hand" if texts.by_hand else "train"
        define("train", loop, texts.loop(names, told=bool(self.rules.helpers)))
        seed = "SEED" if self.training.seeds == 1 else "seed"
        first = f"{names['Network' if self.torch else 'start']}({seed})"
        given = [first, names["objective"], names["judge"], f"{names['batches']}({seed})"]
        return call(names[loop], [*given, *written.arguments])

    def _runs(self, calls: Sequence[str], said: Sequence[str]) -> str:
        rows = list(zip(self.names, calls, said, strict=True))
        if self.training.seeds == 1:
            body = "\n".join(["runs = {", *(entry(*row) for row in rows), "}"])
        else:
            lines = ["runs = {}", f"for seed in range(SEED, SEED + {self.training.seeds}):"]
            for name, text, why in rows:
                lines += [SPACE + comment(why)] if why else []
                head = f'{SPACE}runs[{literal(name)} + f", seed {{seed}}"] = '
                lines.append(head + laid_out(text, 4, WIDTH - len(head)))
            body = "\n".join(lines)
        return section("The runs: what was trained, the loss of every step, and how good it is in the end", [body])

    def _report(self) -> str:
        classes = self.training.task == "classification"
        how = "(loss, accuracy)" if classes else "loss"
        said = 'loss {loss:.6g}, accuracy {accuracy:.2%}"' if classes else 'loss {loss:.6g}"'
        return f"""for name, (_, losses, judged) in runs.items():
    print(f"{{name}}: after {{len(losses)}} steps")
    for part, {how} in judged.items():
        print(f"  {{part}}: {said})"""


class _Texts:
    """What a script says of one configuration. A definition's own name is NAME, and those of others are in `names`."""

    def __init__(self, training: Training, index: int, flavour: str, written: Written):
        self.training, self.network_ = training, training.networks[index]
        self.net, self.racer = training.configurations[index].net, training.configurations[index].racer
        self.flavour, self.torch, self.written = flavour, flavour == "torch", written
        self.by_hand = self.torch and written.loop == "rule"
        self.hidden = self.network_.widths[1:-1]
        self.batch_norm = self.network_.normalization == "batch" and bool(self.hidden)
        self.layer_norm = self.network_.normalization == "layer" and bool(self.hidden)
        self.dropout = any(self.net.rates)
        self.watched = any(SCHEDULES[pick.key].slots for _, pick in self.racer.schedules)
        self.classes = training.task == "classification"
        self.act = ACTIVATION[self.net.activation]["torch" if self.torch else "jnp"]
        self.smoothing = self.net.label_smoothing if self.classes else 0.0
        # torch's cross-entropy takes class numbers, everything else wants what the outputs should be
        self.numbered = self.torch and self.net.loss == "cross_entropy"

    # The network

    def _said(self) -> str:
        widths = self.network_.widths
        inner = f", hidden layers of {_listed(self.hidden)} units" if self.hidden else ""
        return f"{widths[0]} inputs{inner}, {widths[-1]} output{'s' * (widths[-1] > 1)}"

    def _initial(self, names: dict[str, str], ins: str, outs: str) -> str:
        params = INITS[self.net.init].params
        scale = [f"scale={self.net.init_scale!r}"] * bool(params)
        return call(names["init"], ["rng", ins, outs, *scale])

    def normalized(self) -> str:
        if self.torch:
            return BATCH_NORM if self.batch_norm else ""
        return NORMALIZED["batch"] if self.batch_norm else NORMALIZED["layer"] if self.layer_norm else ""

    def start(self, names: dict[str, str]) -> str:
        widths = self.network_.widths
        lines = [f'def NAME(seed):\n    """The first parameters, layer by layer: {self._said()}."""']
        lines.append("    rng = np.random.default_rng([seed, 0])")
        lines += [f"    widths = {widths}", "    pairs = zip(widths[:-1], widths[1:])"]
        layer = f"({self._initial(names, 'ins', 'outs')}, np.zeros(outs))"
        if not (self.batch_norm or self.layer_norm):
            return "\n".join([*lines, f"    return [{layer} for ins, outs in pairs]"])
        lines.append(f"    layers = [{layer} for ins, outs in pairs]")
        lines.append("    gains = [(np.ones(width), np.zeros(width)) for width in widths[1:-1]]")
        lines.append("    hidden = [(*layer, *gain_and_shift) for layer, gain_and_shift in zip(layers, gains)]")
        lines.append("    return [*hidden, layers[-1]]")
        return "\n".join(lines)

    def _inputs(self, *, defaults: bool = False) -> list[str]:
        """The names of what a network gets besides its parameters."""
        known = ["statistics=None"] if self.batch_norm and defaults else ["statistics"] * self.batch_norm
        return ["x", *["factors"] * self.dropout, *known]

    def network(self, names: dict[str, str]) -> str:
        parts = "weight, bias, gain, shift" if self.batch_norm or self.layer_norm else "weight, bias"
        act = names["gelu"] if self.act == "gelu" else self.act
        lines = [f"def NAME(layers, {', '.join(self._inputs(defaults=True))}):"]
        says = [f"The outputs (examples, {self.network_.widths[-1]}) for inputs x"]
        says += ["hidden units multiplied by factors"] * self.dropout
        says += ["and what normalized each layer"] * self.batch_norm
        lines.append(f'    """{", ".join(says)}."""')
        if not self.hidden:
            return "\n".join([*lines, "    ((weight, bias),) = layers", "    return x @ weight + bias"])
        lines.append("    *hidden, (weight_out, bias_out) = layers")
        over, loop = "hidden", f"({parts})"
        more = []
        if self.batch_norm:
            lines.append("    used = []")
            lines.append("    statistics = statistics or [None] * len(hidden)")
            more.append(("known", "statistics"))
        if self.dropout:
            more.append(("factor", "factors"))
        if more:
            loop = ", ".join([f"({parts})", *(name for name, _ in more)])
            over = call("zip", ["hidden", *(what for _, what in more)])
        else:
            loop = parts
        lines.append(f"    for {loop} in {over}:")
        weighted = "x @ weight + bias"
        if self.batch_norm:
            lines += [f"        z, found = {names['normalized']}({weighted}, known)", "        used.append(found)"]
            weighted = "z * gain + shift"
        elif self.layer_norm:
            weighted = f"{names['normalized']}({weighted}) * gain + shift"
        lines.append(f"        x = {call(act, [weighted]) if act else weighted}")
        lines += ["        x = x * factor"] * self.dropout
        answer = "x @ weight_out + bias_out"
        lines.append(f"    return {answer}, used" if self.batch_norm else f"    return {answer}")
        return "\n".join(lines)

    def model(self, names: dict[str, str]) -> str:
        """The network as a module of torch's."""
        widths, norm = self.network_.widths, self.batch_norm or self.layer_norm
        lines = ["class NAME(torch.nn.Module):", f'    """{self._said()}."""', "", "    def __init__(self, seed):"]
        lines += ["        super().__init__()", "        rng = np.random.default_rng([seed, 0])"]
        lines.append(f"        widths = {widths}")
        lines.append("        pairs = zip(widths[:-1], widths[1:])")
        lines.append("        self.layers = torch.nn.ModuleList(torch.nn.Linear(ins, outs) for ins, outs in pairs)")
        lines.append("        for layer in self.layers:")
        weight = self._initial(names, "layer.in_features", "layer.out_features")
        lines.append(f"            weight = {weight}")
        lines.append("            layer.weight = torch.nn.Parameter(torch.from_numpy(weight.T.copy()))")
        lines.append("            torch.nn.init.zeros_(layer.bias)")
        if norm:
            made = names["BatchNorm"] if self.batch_norm else "torch.nn.LayerNorm"
            lines.append(f"        self.norms = torch.nn.ModuleList({made}(width) for width in widths[1:-1])")
        lines += ["", f"    def forward(self, {', '.join(self._inputs(defaults=True))}):"]
        if self.hidden:
            lines += ["        used = []"] * self.batch_norm
            names_, over = ["layer"], ["self.layers[:-1]"]
            if norm:
                names_, over = [*names_, "norm"], [*over, "self.norms"]
            if self.batch_norm:
                lines.append("        statistics = statistics or [None] * len(self.norms)")
                names_, over = [*names_, "known"], [*over, "statistics"]
            if self.dropout:
                names_, over = [*names_, "factor"], [*over, "factors"]
            text = call("zip", over) if len(over) > 1 else over[0]
            lines.append(f"        for {', '.join(names_)} in {text}:")
            z = "layer(x)"
            if self.batch_norm:
                lines += ["            z, found = norm(layer(x), known)", "            used.append(found)"]
                z = "z"
            elif norm:
                z = "norm(layer(x))"
            lines.append(f"            x = {call(self.act, [z]) if self.act else z}")
            lines += ["            x = x * factor"] * self.dropout
        answer = "self.layers[-1](x)"
        lines.append(f"        return {answer}, used" if self.batch_norm else f"        return {answer}")
        return "\n".join(lines)

    def mean_loss(self) -> str:
        key, delta = self.net.loss, self.net.delta
        if self.torch:
            text = {
                "cross_entropy": "torch.nn.functional.cross_entropy(output, target, label_smoothing=smoothing)"
                if self.smoothing
                else "torch.nn.functional.cross_entropy(output, target)",
                "squared_error": "torch.nn.functional.mse_loss(output, target)",
                "huber": f"torch.nn.functional.huber_loss(output, target, delta={delta!r})",
            }[key]
            more = ", smoothing=0.0" if self.smoothing and key == "cross_entropy" else ""
            return f'def NAME(output, target{more}):\n    """{LOSS[key]}"""\n    return {text}'
        body = {
            "cross_entropy": "    return -(target * jax.nn.log_softmax(output)).sum(axis=-1).mean()",
            "squared_error": "    return ((output - target) ** 2).mean()",
            "huber": "    size = jnp.abs(output - target)\n"
            f"    return jnp.where(size <= {delta!r}, 0.5 * size**2, {delta!r} * (size - 0.5 * {delta!r})).mean()",
        }[key]
        return f'def NAME(output, target):\n    """{LOSS[key]}"""\n{body}'

    def objective(self, names: dict[str, str]) -> str:
        """What a step descends on."""
        l1, l2 = self.net.l1, self.net.l2
        says = "the mean loss of a batch" + (", and what holds the weights back" if l1 or l2 else "")
        given = ['batch["x"]', *['batch["factors"]'] * self.dropout]
        if self.by_hand:
            head, inner = "model, theta, batch", ", ".join(given) + ("," if len(given) == 1 else "")
            output = f"torch.func.functional_call(model, theta, ({inner}))"
            weights = '[part for name, part in theta.items() if name.startswith("layers") and part.ndim == 2]'
        elif self.torch:
            head, output = "model, batch", call("model", given)
            weights = "[layer.weight for layer in model.layers]"
        else:
            head, output = "layers, batch", call(names["network"], ["layers", *given])
            weights = "[layer[0] for layer in layers]"
        lines = [f"def NAME({head}):", f'    """What a step descends on: {says}."""']
        lines.append(f"    output{', _' if self.batch_norm else ''} = {output}")
        target, more = 'batch["target"]', ""
        if self.smoothing and self.numbered:
            more = f", smoothing={self.smoothing!r}"
        elif self.smoothing:
            count = self.network_.widths[-1]
            lines.append(f"    # label smoothing: a share of each target goes to all {count} classes alike")
            lines.append(f'    target = {1 - self.smoothing!r} * batch["target"] + {self.smoothing!r} / {count}')
            target = "target"
        loss = f"{names['mean_loss']}(output, {target}{more})"
        if not (l1 or l2):
            return "\n".join([*lines, f"    return {loss}"])
        lines.append(f"    weights = {weights}")
        size = "part.abs().sum()" if self.torch else "jnp.abs(part).sum()"
        terms = [f"{l1!r} * sum({size} for part in weights)"] * bool(l1)
        terms += [f"0.5 * {l2!r} * sum((part**2).sum() for part in weights)"] * bool(l2)
        return "\n".join([*lines, f"    penalty = {' + '.join(terms)}", f"    return {loss} + penalty"])

    def judge(self, names: dict[str, str]) -> str:
        """Loss and accuracy on each part."""
        head = "model" if self.torch else "layers"
        what = "Loss and accuracy" if self.classes else "Loss"
        how = ", with nothing dropped" if self.dropout else ""
        lines = ["@torch.no_grad()"] * self.torch
        lines += [f"def NAME({head}):", f'    """{what} on each part of the data{how}, without penalties."""']
        if self.dropout:
            kept = [1.0 if self.net.dropout_form == "inverted" else 1 - rate for rate in self.net.rates]
            why = (
                "already made up for in training" if self.net.dropout_form == "inverted" else "their chance to be kept"
            )
            lines.append(f"    factors = {kept}  # of the units of each hidden layer: {why}")
        network = "model" if self.torch else names["network"]
        known = [] if self.torch else ["layers"]

        def through(x: str, statistics: bool) -> str:
            x = f"torch.from_numpy({x})" if self.torch else x
            return call(network, [*known, x, *["factors"] * self.dropout, *["statistics"] * statistics])

        if self.batch_norm:
            lines.append("    # normalization goes by the mean and variance of the whole training part")
            lines.append(f"    _, statistics = {through('parts[' + chr(34) + 'training' + chr(34) + '][0]', False)}")
        lines += ["    judged = {}", "    for name, (x, y) in parts.items():"]
        lines.append(f"        output{', _' if self.batch_norm else ''} = {through('x', self.batch_norm)}")
        loss = f"{names['mean_loss']}(output, {self._target('y')})"
        if self.classes:
            right = (
                "(output.argmax(axis=-1).numpy() == y)" if self.torch else "(np.asarray(output).argmax(axis=-1) == y)"
            )
            lines.append(f"        right = {right}.mean()")
            lines.append(f"        judged[name] = float({loss}), float(right)")
        else:
            lines.append(f"        judged[name] = float({loss})")
        return "\n".join([*lines, "    return judged"])

    def _target(self, y: str) -> str:
        """What the outputs should be."""
        text = y if self.numbered else f"targets({y})" if self.classes else f"{y}[:, None]"
        return f"torch.from_numpy({text})" if self.torch else text

    # The batches

    def batches(self) -> str:
        one = self.training
        examples, size, each = len(one.parts.train.y), one.size, one.steps_an_epoch
        full = size == examples
        order = "all examples at once" if full else "all examples once, in an order of its own"
        lines = ["def NAME(seed):", f'    """What each step sees: every epoch goes through {order}."""']
        lines.append('    x, y = parts["training"]')
        if self.dropout:
            units = sum(self.hidden)
            block = max(1, 16384 // (size * units))
            ends = np.cumsum(self.hidden)[:-1].tolist()
            limits = f"np.repeat(np.round(np.array({list(self.net.rates)}) * 2.0**32), {list(self.hidden)})"
            lines.append(f"    limits = {limits}  # below which a unit is dropped")
        lines.append("    for epoch in range(EPOCHS):")
        if not full:
            epochs = max(1, 16384 // examples)
            lines.append(f"        # orders are drawn for {epochs} epochs at a time" if epochs > 1 else "")
            which = f"epoch // {epochs}" if epochs > 1 else "epoch"
            lines.append(f"        rng = np.random.default_rng([seed, 1, {which}])")
            lines.append(f"        orders = rng.permuted(np.tile(np.arange(len(x)), ({epochs}, 1)), axis=1)")
            lines.append(f"        order = orders[{f'epoch % {epochs}' if epochs > 1 else 0}]")
        else:
            lines.append("        order = np.arange(len(x))")
        noisy = self.net.input_noise > 0
        if noisy:
            lines.append("        rng = np.random.default_rng([seed, 2, epoch])")
            lines.append(f"        noise = rng.standard_normal(({each}, BATCH, x.shape[1]))")
        counted = noisy or self.dropout
        rows = "np.split(order, range(BATCH, len(x), BATCH))"
        lines.append(f"        for number, rows in enumerate({rows}):" if counted else f"        for rows in {rows}:")
        inputs = "x[rows]"
        if noisy:
            inputs = f"x[rows] + {self.net.input_noise!r} * noise[number][: len(rows)]"
        if self.dropout:
            lines.append(f"            step = epoch * {each} + number")
            lines.append(f"            rng = np.random.default_rng([seed, 3, step // {block}])")
            shape = f"({block}, BATCH, {units})"
            lines.append(
                f"            chances = rng.integers(0, 2**32, {shape}, np.uint32)[step % {block}][: len(rows)]"
            )
            lines.append(f"            kept = np.split(chances >= limits, {ends}, axis=1)")
            inverted = self.net.dropout_form == "inverted"
            scales = [1 / (1 - rate) if inverted else 1.0 for rate in self.net.rates]
            said = "  # what is kept counts more, so that the mean stays" if inverted else ""
            lines.append(f"            scales = {scales}{said}")
            made = "torch.from_numpy(part * scale)" if self.torch else "part * scale"
            lines.append(f"            factors = [{made} for part, scale in zip(kept, scales)]")
        inputs = f"torch.from_numpy({inputs})" if self.torch else inputs
        known = [f'"x": {inputs}', f'"target": {self._target("y[rows]")}', *['"factors": factors'] * self.dropout]
        text = laid_out(f"yield {{{', '.join(known)}}}", 12, WIDTH - 12)
        lines.append(f"            {text}")
        return "\n".join(line for line in lines if line)

    # Training

    def clipped(self) -> str:
        if not self.net.clip:
            return ""
        text = CLIP_MODEL if self.torch and not self.by_hand else CLIP
        return text.replace("jnp", "torch" if self.torch else "jnp").replace("LONGEST", repr(self.net.clip))

    def stretched(self) -> str:
        if self.net.bias_lr == 1 or (self.torch and not self.by_hand):
            return ""
        return (STRETCHED_MODEL if self.torch else STRETCHED).replace("BIAS_LR", repr(self.net.bias_lr))

    def loop(self, names: dict[str, str], told: bool) -> str:
        """The loop over the batches, with only what this configuration asks for."""
        if self.by_hand:
            text = TORCH_TRAIN_BY_HAND
        else:
            text = {"jax": JAX_TRAIN, "optax": OPTAX_TRAIN, "torch": TORCH_TRAIN}[self.flavour]
        first = "validation" if "validation" in self._parts() else "training"
        asks = {
            "clip": bool(self.net.clip),
            "free": not self.net.clip,
            "stretch": self.net.bias_lr != 1,
            "plain": self.net.bias_lr == 1,
            "watch": self.watched,
            "blind": not self.watched,
            "told": told,
            "untold": not told,
            "moving": self.written.moving,
            "still": not self.written.moving,
        }
        lines = []
        for line in text.strip("\n").splitlines():
            body, _, conditions = line.partition("  #? ")
            if all(asks[condition] for condition in conditions.split()):
                lines.append(body)
        text = "\n".join(lines)
        for name in ("clipped", "stretched"):
            text = text.replace(f"{name}(", f"{names[name]}(")
        return text.replace("WATCHED", f'["{first}"]' + ("[0]" if self.classes else ""))

    def _parts(self) -> list[str]:
        return [
            name
            for name, part in zip(("training", "validation", "test"), self.training.parts, strict=True)
            if len(part.y)
        ]


def _listed(numbers: Sequence[int]) -> str:
    words = [str(number) for number in numbers]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _inline(table: Table, packed: str, said: str) -> str:
    rows = [packed[i : i + WIDTH] for i in range(0, len(packed), WIDTH)]
    kind = ".astype(int)" if table.classes else ""
    return "\n".join(
        [
            comment(f"{said}:"),
            f"# {len(table.y)} examples of {table.x.shape[1]} numbers and, behind them, the answer, as text",
            f"# with commas between the numbers, compressed to {len(packed)} characters.",
            'TABLE = """',
            *rows,
            '"""',
            "text = lzma.decompress(base64.b64decode(TABLE)).decode()",
            'table = np.loadtxt(io.StringIO(text), delimiter=",")',
            f"x, y = table[:, :-1], table[:, -1]{kind}",
        ]
    )


# What scripts say in their own words ---------------------------------------------------------------------------------

TAKEN = USED | {"parts", "targets", "batches", "network", "Network", "normalized", "start", "mean_loss", "objective"}
TAKEN |= {
    "judge",
    "train",
    "train_by_hand",
    "clipped",
    "stretched",
    "in_groups",
    "runs",
    "name",
    "seed",
    "order",
    "part",
}
TAKEN |= {"x", "y", "table", "text", "mean", "deviation", "gelu", "with_copies", "numbers", "SEED", "EPOCHS", "BATCH"}

GELU = '''
def NAME(z):
    """The exact form, with the error function."""
    return jax.nn.gelu(z, approximate=False)
'''
NORMALIZED = {
    "layer": '''
def NAME(z):
    """z with mean 0 and variance 1 over the units of the layer."""
    mean, variance = z.mean(axis=-1, keepdims=True), z.var(axis=-1, keepdims=True)
    return (z - mean) / jnp.sqrt(variance + 1e-5)
''',
    "batch": '''
def NAME(z, known):
    """z with mean 0 and variance 1 over the batch, unless mean and variance are known; and what was used."""
    mean, variance = known or (z.mean(axis=0), z.var(axis=0))
    return (z - mean) / jnp.sqrt(variance + 1e-5), (mean, variance)
''',
}
BATCH_NORM = '''
class NAME(torch.nn.Module):
    """Every unit with mean 0 and variance 1 over the batch, unless they are known, then a gain and a shift.

    torch.nn.BatchNorm1d would measure by running averages, and this by the statistics of all training examples.
    """

    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))
        self.bias = torch.nn.Parameter(torch.zeros(width))

    def forward(self, z, known):
        mean, variance = known or (z.mean(dim=0), z.var(dim=0, correction=0))
        return (z - mean) / torch.sqrt(variance + 1e-5) * self.weight + self.bias, (mean, variance)
'''
CLIP = '''
def NAME(grad):
    """The gradient, shortened to LONGEST if it is longer."""
    norm = jnp.sqrt(jnp.sum(grad**2))
    return grad * jnp.where(norm > LONGEST, LONGEST / norm, 1.0)
'''
CLIP_MODEL = '''
def NAME(model):
    """Shorten the gradient to LONGEST if it is longer. torch's clip_grad_norm_ shortens it by a millionth more."""
    norm = torch.sqrt(sum((part.grad**2).sum() for part in model.parameters()))
    if norm > LONGEST:
        for part in model.parameters():
            part.grad *= LONGEST / norm
'''
STRETCHED = '''
def NAME(layers):
    """What the rule's steps are multiplied with: BIAS_LR for biases and shifts, 1 for all others."""
    factors = (1.0, BIAS_LR, 1.0, BIAS_LR)  # of weight, bias, gain and shift
    return ravel_pytree([[np.full(part.shape, f) for part, f in zip(layer, factors)] for layer in layers])[0]
'''
STRETCHED_MODEL = '''
def NAME(model):
    """What the rule's steps are multiplied with: BIAS_LR for biases and shifts, 1 for all others."""
    parts = model.named_parameters()
    return torch.cat([torch.full((part.numel(),), BIAS_LR if name.endswith("bias") else 1.0) for name, part in parts])
'''
IN_GROUPS = '''
def NAME(model, lr):
    """The parameters in two groups: the steps of biases and shifts are BIAS_LR times as long."""
    groups = {1.0: [], BIAS_LR: []}
    for name, part in model.named_parameters():
        groups[BIAS_LR if name.endswith("bias") else 1.0].append(part)
    return [{"params": parts, "lr": stretch * lr, "stretch": stretch} for stretch, parts in groups.items()]
'''

# Behind "#?" stands what a configuration must ask for, or a line is left out.
JAX_TRAIN = '''
def NAME(layers, objective, judge, batches, rule, slots):
    """Train from these layers on: the layers in the end, the loss of every step's batch, and how good they are.

    rule(now, slots) gives a step, which is added to the parameters, all in one vector theta, and the new slots.
    """
    theta, unravel = ravel_pytree(layers)
    slots = slots(theta)
    stretch = stretched(layers)  #? stretch

    @jax.jit
    def move(theta, slots, t, batch):  #? blind
    def move(theta, slots, t, batch, seen, news):  #? watch
        def loss(at):
            return objective(unravel(at), batch)

        def gradient_at(at):  #? clip
            return clipped(jax.grad(loss)(at))  #? clip
        gradient_at = jax.grad(loss)  #? free
        now = SimpleNamespace(t=t, theta=theta, loss=loss, gradient_at=gradient_at)
        now.value, now.grad = loss(theta), gradient_at(theta)
        now.seen, now.news = seen, news  #? watch
        step, slots = rule(now, slots)
        return theta + step, slots, now.value  #? plain
        return theta + stretch * step, slots, now.value  #? stretch

    losses = []
    for t, batch in enumerate(batches):
        news = t % BATCHES == 0  # the schedule looks once an epoch  #? watch
        seen = judge(unravel(theta))WATCHED if news else np.nan  #? watch
        theta, slots, value = move(theta, slots, float(t), batch)  #? blind
        theta, slots, value = move(theta, slots, float(t), batch, seen, news)  #? watch
        losses.append(float(value))
    return unravel(theta), losses, judge(unravel(theta))
'''
OPTAX_TRAIN = '''
def NAME(layers, objective, judge, batches, optimizer):
    """Train from these layers on: the layers in the end, the loss of every step's batch, and how good they are.

    All parameters are one vector theta to the optimizer.
    """
    theta, unravel = ravel_pytree(layers)
    optimizer = optax.with_extra_args_support(optimizer)  #? told
    state = optimizer.init(theta)
    stretch = stretched(layers)  #? stretch

    @jax.jit
    def move(theta, state, t, batch):  #? blind told
    def move(theta, state, batch):  #? blind untold
    def move(theta, state, t, batch, seen, news):  #? watch
        def loss(at):
            return objective(unravel(at), batch)

        def gradient_at(at):  #? clip told
            return clipped(jax.grad(loss)(at))  #? clip told

        value, grad = jax.value_and_grad(loss)(theta)
        grad = clipped(grad)  #? clip
        now = SimpleNamespace(t=t, theta=theta, grad=grad, value=value, loss=loss)  #? told
        now.gradient_at = gradient_at  #? told clip
        now.gradient_at = jax.grad(loss)  #? told free
        now.seen, now.news = seen, news  #? watch
        step, state = optimizer.update(grad, state, theta)  #? untold
        step, state = optimizer.update(grad, state, theta, now=now)  #? told
        return optax.apply_updates(theta, step), state, value  #? plain
        return optax.apply_updates(theta, stretch * step), state, value  #? stretch

    losses = []
    for batch in batches:  #? blind untold
    for t, batch in enumerate(batches):  #? told
        news = t % BATCHES == 0  # the schedule looks once an epoch  #? watch
        seen = judge(unravel(theta))WATCHED if news else np.nan  #? watch
        theta, state, value = move(theta, state, batch)  #? blind untold
        theta, state, value = move(theta, state, float(t), batch)  #? blind told
        theta, state, value = move(theta, state, float(t), batch, seen, news)  #? watch
        losses.append(float(value))
    return unravel(theta), losses, judge(unravel(theta))
'''
TORCH_TRAIN = '''
def NAME(model, objective, judge, batches, make):  #? still
def NAME(model, objective, judge, batches, make, schedule):  #? moving
    """Train this model: itself in the end, the loss of every step's batch, and how good it is."""
    optimizer, losses = make(model), []
    for batch in batches:  #? still
    for t, batch in enumerate(batches):  #? moving
        now = SimpleNamespace(t=float(t))  #? moving
        now.news = t % BATCHES == 0  # the schedule looks once an epoch  #? watch
        now.seen = judge(model)WATCHED if now.news else np.nan  #? watch
        optimizer.zero_grad()
        loss = objective(model, batch)
        loss.backward()
        clipped(model)  #? clip
        changed = schedule(now)  #? moving
        for group in optimizer.param_groups:  #? moving
            group.update(changed)  #? moving
            group["lr"] *= group["stretch"]  #? moving stretch
        optimizer.step()
        losses.append(loss.item())
    return model, losses, judge(model)
'''
TORCH_TRAIN_BY_HAND = '''
def NAME(model, objective, judge, batches, rule, slots):
    """Train this model with a rule of one's own: itself in the end, the loss of every step's batch, how good it is.

    rule(now, slots) gives a step, which is added to the parameters, all in one vector theta, and the new slots.
    """
    known = {name: part.shape for name, part in model.named_parameters()}
    theta = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    slots, losses = slots(theta), []
    stretch = stretched(model)  #? stretch

    def named(theta):
        pieces = theta.split([shape.numel() for shape in known.values()])
        return {name: piece.reshape(known[name]) for name, piece in zip(known, pieces, strict=True)}

    for t, batch in enumerate(batches):
        def loss(at, batch=batch):
            return objective(model, named(at), batch)

        def gradient_at(at, loss=loss):  #? clip
            return clipped(torch.func.grad(loss)(at))  #? clip

        gradient_at = torch.func.grad(loss)  #? free
        now = SimpleNamespace(t=float(t), theta=theta, loss=loss, gradient_at=gradient_at)
        now.value, now.grad = loss(theta).detach(), gradient_at(theta)
        now.news = t % BATCHES == 0  # the schedule looks once an epoch  #? watch
        now.seen = judge(model)WATCHED if now.news else np.nan  #? watch
        step, slots = rule(now, slots)
        theta = theta + step  #? plain
        theta = theta + stretch * step  #? stretch
        losses.append(now.value.item())
        torch.nn.utils.vector_to_parameters(theta, model.parameters())  #? watch
    torch.nn.utils.vector_to_parameters(theta, model.parameters())  #? blind
    return model, losses, judge(model)
'''
