"""The backpropagation walk, claim C2: every number against jax.grad, its story, its links, and what it refuses."""

import math
from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example as also
from hypothesis import given, settings
from hypothesis import strategies as st

from optviz.backprop import (
    ACTIVATION,
    ACTIVATIONS,
    INPUTS_AT_MOST,
    LOSS,
    OUTPUT,
    SETTINGS,
    Example,
    chains,
    difference,
    from_query,
    graph,
    remarks,
    stepped,
    symbol,
    to_query,
    walk,
)
from optviz.figures.walk import record
from optviz.glossary import symbols
from optviz.query import MESSAGES_AT_MOST
from optviz.spec import number
from optviz.ui.presets import TWO_PATHS, WALKS

CLOSE = 1e-12  # relative to the largest number that takes part, or to 1
NEURON, DEAD, SATURATED = (
    WALKS["A single neuron"],
    WALKS["A dead ReLU: nothing flows back through it"],
    WALKS["A saturated sigmoid: almost nothing flows"],
)
every_preset = pytest.mark.parametrize("example", WALKS.values(), ids=WALKS)


@st.composite
def examples(draw, limit: float = 3.0) -> Example:
    """Any network that there can be, with any numbers up to a limit."""
    inputs = draw(st.integers(1, 3))
    widths = (*draw(st.lists(st.integers(1, 3), max_size=2)), draw(st.integers(1, 2)))
    loss = draw(st.sampled_from(LOSS.options))
    anything = st.floats(-limit, limit, allow_nan=False).map(lambda value: value + 0.0)

    def numbers(count: int) -> tuple[float, ...]:
        return tuple(draw(st.lists(anything, min_size=count, max_size=count)))

    blank = Example((0.0,) * inputs, widths, (0.0,) * (1 if loss == "cross-entropy" else widths[-1]), loss=loss)
    return replace(
        blank,
        inputs=numbers(inputs),
        target=(draw(st.floats(0, 1)),) if loss == "cross-entropy" else numbers(widths[-1]),
        weights=numbers(len(blank.weight_names)),
        biases=numbers(len(blank.bias_names)),
        activation=draw(st.sampled_from(ACTIVATION.options)),
        output=draw(st.sampled_from(OUTPUT.options)),
        chosen=draw(st.sampled_from(blank.weight_names + blank.bias_names)),
    )


REFERENCE = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "identity": lambda z: z,
}


def by_jax(example: Example) -> tuple[dict[str, float], dict[str, float]]:
    """Values and gradients of every node and parameter, by name. Each node gets a nudge of zero; the derivative of the
    loss by the nudge is the node's gradient."""
    act = REFERENCE[example.activation]

    def run(parameters, inputs, nudge):
        values = {}

        def node(name, value):
            values[name] = value + nudge.get(name, 0.0)
            return values[name]

        a = [node(f"x{i}", x) for i, x in enumerate(inputs, start=1)]
        for layer, width in enumerate(example.widths, start=1):
            before, a = a, []
            for unit in range(1, width + 1):
                terms = [parameters[f"w{layer}.{unit}.{k}"] * x for k, x in enumerate(before, start=1)]
                z = node(f"z{layer}.{unit}", sum(terms) + parameters[f"b{layer}.{unit}"])
                activated = layer < len(example.widths) or example.output == "activated"
                a.append(node(f"a{layer}.{unit}", act(z)) if activated else z)
        y = jnp.asarray(example.target)
        if example.loss == "cross-entropy":
            logs = jax.nn.log_softmax(jnp.stack([*a, *[jnp.zeros(())] * (len(a) == 1)]))
            logs = [node(f"p{j + 1}", logs[j]) for j in range(2)]
            loss = -(y[0] * logs[0] + (1 - y[0]) * logs[1])
        else:
            rest = jnp.stack(a) - y
            half = rest**2 / 2
            beyond = jnp.abs(rest) - 0.5
            loss = jnp.sum(half if example.loss == "squared" else jnp.where(jnp.abs(rest) <= 1, half, beyond))
        return node("L", loss), values

    parameters = dict(zip(example.weight_names + example.bias_names, example.weights + example.biases, strict=True))
    names = list(graph(example).nodes)
    nudge = dict.fromkeys(names, 0.0)
    slopes, values = jax.grad(run, argnums=(0, 2), has_aux=True)(parameters, list(example.inputs), nudge)
    gradients = {name: float(value) for part in slopes for name, value in part.items()}
    return {name: float(value) for name, value in values.items()}, gradients


# The numbers ---------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(examples())
@also(TWO_PATHS)
@also(replace(TWO_PATHS, inputs=(0.0, 0.0), biases=(0.0,) * 4, activation="relu"))  # on every kink at once
@also(replace(TWO_PATHS, inputs=(0.0, 0.0), biases=(0.0,) * 4, activation="leaky_relu"))
def test_every_value_and_every_gradient_is_that_of_jax(example):
    """C2: all nodes, all weights, all biases, all inputs."""
    found = graph(example)
    values, gradients = by_jax(example)
    ours = {name: node.value for name, node in found.nodes.items()}
    assert set(ours) == set(values)
    scale = max(1.0, *map(abs, values.values()), *map(abs, gradients.values()))
    for name, value in values.items():
        assert abs(ours[name] - value) <= CLOSE * scale, name
    slopes = {name: node.gradient for name, node in found.nodes.items()}
    slopes |= {name: parameter.gradient for name, parameter in found.parameters.items()}
    assert set(slopes) == set(gradients)
    for name, gradient in gradients.items():
        assert abs(slopes[name] - gradient) <= CLOSE * scale, name


@settings(max_examples=20)
@given(examples(), st.integers(0, 2**32 - 1))
def test_the_slope_along_any_direction_is_that_of_jvp(example, seed):
    """Forward mode is another road to the same numbers."""
    rng = np.random.default_rng(seed)
    smooth = replace(example, activation="tanh") if example.activation.endswith("relu") else example
    found = graph(smooth)
    along = {name: rng.standard_normal() for name in (*found.parameters, *(f"x{i + 1}" for i in range(INPUTS_AT_MOST)))}

    def loss(t):
        act = REFERENCE[smooth.activation]
        a = [x + t * along[f"x{i}"] for i, x in enumerate(smooth.inputs, start=1)]
        parameter = {name: p.value + t * along[name] for name, p in found.parameters.items()}
        for layer, width in enumerate(smooth.widths, start=1):
            z = [
                sum(parameter[f"w{layer}.{u}.{k}"] * x for k, x in enumerate(a, start=1)) + parameter[f"b{layer}.{u}"]
                for u in range(1, width + 1)
            ]
            a = [act(one) for one in z] if layer < len(smooth.widths) or smooth.output == "activated" else z
        y = smooth.target
        if smooth.loss == "cross-entropy":
            logits = jnp.stack([*a, *[jnp.zeros(())] * (len(a) == 1)])
            logs = logits - jax.nn.logsumexp(logits)
            return -(y[0] * logs[0] + (1 - y[0]) * logs[1])
        rest = [one - target for one, target in zip(a, y, strict=True)]
        if smooth.loss == "squared":
            return sum(r**2 / 2 for r in rest)
        return sum(jnp.where(jnp.abs(r) <= 1, r**2 / 2, jnp.abs(r) - 0.5) for r in rest)

    _, slope = jax.jvp(loss, (0.0,), (1.0,))
    ours = sum(along[name] * parameter.gradient for name, parameter in found.parameters.items())
    ours += sum(along[node.name] * node.gradient for node in found.nodes.values() if node.kind == "input")
    scale = max(1.0, *(abs(node.value) for node in found.nodes.values()), abs(float(slope)))
    scale = max(scale, *(abs(parameter.gradient) for parameter in found.parameters.values()))
    assert abs(ours - float(slope)) <= 10 * CLOSE * scale  # a sum of up to 35 products


@settings(max_examples=60)
@given(examples())
def test_the_products_along_all_paths_add_up_to_the_gradient(example):
    found = graph(example)
    for name, parameter in found.parameters.items():
        every = chains(example, name)
        assert len({chain.nodes for chain in every}) == len(every)
        assert all(chain.nodes[0] == parameter.target and chain.nodes[-1] == "L" for chain in every)
        scale = max(1.0, *(abs(chain.product) for chain in every))
        assert abs(sum(chain.product for chain in every) - parameter.gradient) <= CLOSE * scale, name
        for chain in every:
            assert math.prod(factor for _, factor in chain.factors) == chain.product


def test_how_many_paths_there_are():
    wide = Example((1.0,) * 3, (3, 3, 2), (1.0,), loss="cross-entropy")
    assert len(chains(wide, "w1.1.1")) == 3 * 2 * 2
    assert len(chains(wide, "w3.1.1")) == 2
    assert len(chains(NEURON, "b1.1")) == 1


@settings(max_examples=60)
@given(examples(limit=1e6))
def test_no_number_ever_overflows(example):
    """A visitor may type anything that is allowed."""
    found = graph(example)
    assert all(math.isfinite(node.value) and math.isfinite(node.gradient) for node in found.nodes.values())
    assert all(math.isfinite(parameter.gradient) for parameter in found.parameters.values())
    record(example)


def test_a_gradient_step_by_hand():
    """A line through one point: z = 2·3 + 1 = 7, y = 5, so ∂L/∂w = 2·3 and ∂L/∂b = 2."""
    line = Example((3.0,), (1,), (5.0,), weights=(2.0,), biases=(1.0,), lr=0.01)
    assert graph(line).loss == 2.0
    after = stepped(line)
    assert after.weights == (2.0 - 0.01 * 6.0,)
    assert after.biases == (1.0 - 0.01 * 2.0,)
    assert (after.inputs, after.target) == (line.inputs, line.target)
    assert graph(after).loss == pytest.approx(0.5 * (3 * 1.94 + 0.98 - 5) ** 2)


def test_a_step_beyond_what_a_weight_may_be_is_refused():
    steep = Example((1e6,), (1,), (0.0,), weights=(1e6,), biases=(0.0,), lr=1.0)
    with pytest.raises(ValueError, match="w must be a number in"):
        stepped(steep)
    assert "would leave" in walk(steep)[-1].says


@every_preset
def test_the_page_measures_its_difference_to_jax(example):
    """What the page says about C2 is measured there and then."""
    compared = difference(example)
    _, gradients = by_jax(example)
    found = graph(example)
    assert compared.count == len(found.parameters) + len(example.inputs)
    assert compared.difference <= compared.allowed <= 1e-11
    apart = [abs(p.gradient - gradients[name]) for name, p in found.parameters.items()]
    assert max(apart) <= compared.allowed


def test_a_wrong_gradient_would_be_noticed(monkeypatch):
    """The measurement can fail: here the slope of tanh forgets its square."""
    wrong = ACTIVATIONS["tanh"]._replace(slope=lambda z: 1 - math.tanh(z))
    monkeypatch.setitem(ACTIVATIONS, "tanh", wrong)
    graph.cache_clear()
    difference.cache_clear()
    compared = difference(TWO_PATHS)
    graph.cache_clear()
    difference.cache_clear()
    assert compared.difference > 1000 * compared.allowed


def test_moving_a_weight_compiles_nothing(compilations):
    difference(TWO_PATHS)
    before = compilations()
    for value in (0.0, 1, -2.5):
        difference(TWO_PATHS.but("w1.1.1", value).but("x1", value))
    assert compilations() == before


# The story -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(examples())
def test_the_walk_goes_forward_in_order_and_back_in_reverse(example):
    found, moments = graph(example), walk(example)
    phases = [moment.phase for moment in moments]
    assert phases == sorted(phases, key=["given", "forward", "backward", "done"].index)
    forward = [moment.node for moment in moments if moment.phase == "forward"]
    backward = [moment.node for moment in moments if moment.phase == "backward"]
    assert forward == [name for name, node in found.nodes.items() if node.kind != "input"]
    assert backward == list(found.nodes)[::-1]
    known = {f"x{i + 1}" for i in range(len(example.inputs))}
    for name in forward:
        assert {edge.source for edge in found.into(name)} <= known
        known.add(name)
    for i, name in enumerate(backward):  # whoever passes a gradient on has received all of it
        assert {edge.target for edge in found.out_of(name)} <= set(backward[:i])


@every_preset
def test_every_moment_says_its_numbers(example):
    found = graph(example)
    for moment in walk(example):
        assert moment.says.endswith(".")
        text = " ".join(" ".join(line) for line in moment.lines) + moment.says
        if moment.phase == "forward":
            assert number(found.nodes[moment.node].value) in text
        if moment.phase == "backward":
            assert all(number(edge.product) in text for edge in found.into(moment.node))
            mine = [p for p in found.parameters.values() if p.target == moment.node]
            assert all(f"∂L/∂{p.symbol}" in text and number(p.gradient) in text for p in mine)
            if len(found.out_of(moment.node)) > 1:
                assert "paths meet" in text


def test_symbols_are_written_as_on_paper():
    assert [symbol(name) for name in ("x2", "w2.1.3", "b1.2", "z3.1", "L")] == ["x₂", "w²₁₃", "b¹₂", "z³₁", "L"]


def test_the_single_neuron_of_the_textbook():
    """The example of CS231n's notes: σ(2·(−1) − 3·(−2) − 3) = σ(1) = 0.73, whose slope is 0.20."""
    found = graph(NEURON)
    assert found.nodes["z1.1"].value == 1.0
    assert round(found.nodes["a1.1"].value, 2) == 0.73
    assert round(found.into("a1.1")[0].local, 2) == 0.20


def test_through_a_dead_unit_nothing_flows():
    found = graph(DEAD)
    (edge,) = found.into("a1.2")
    assert found.nodes["a1.2"].gradient != 0
    assert (edge.local, edge.product) == (0, 0)
    assert all(parameter.gradient == 0 for parameter in found.parameters.values() if parameter.target == "z1.2")
    assert any("lets nothing through" in sentence and "a¹₂" in sentence for sentence in remarks(DEAD))
    assert not any("lets nothing through" in sentence for sentence in remarks(DEAD.but("b1.2", 3.0)))


def test_through_a_saturated_unit_almost_nothing_flows():
    (edge,) = graph(SATURATED).into("a1.1")
    assert 0 < edge.local < 1e-3
    assert any("saturated" in sentence and number(edge.local) in sentence for sentence in remarks(SATURATED))
    assert not any("saturated" in sentence for sentence in remarks(SATURATED.but("x1", 0.0).but("x2", 0.0)))


def test_where_paths_meet_the_sum_is_told():
    parts = [number(edge.product) for edge in graph(TWO_PATHS).out_of("a1.1")]
    (sentence,) = (sentence for sentence in remarks(TWO_PATHS) if "Paths meet" in sentence)
    assert len(parts) == 2
    assert all(part in sentence for part in parts)
    assert not any("Paths meet" in sentence for sentence in remarks(NEURON))


@every_preset
def test_the_picture_has_the_numbers_of_the_graph(example):
    found, drawn = graph(example), record(example)
    assert [name for layer in drawn["columns"] for unit in layer for name in unit] == [
        node.name for node in sorted(found.nodes.values(), key=lambda node: (node.layer, node.unit, node.kind != "sum"))
    ]
    assert {name: node["value"] for name, node in drawn["nodes"].items()} == {
        name: number(node.value, 3) for name, node in found.nodes.items()
    }
    assert len(drawn["edges"]) == len(found.edges)
    for node in found.nodes.values():
        assert f"{node.symbol} is {number(node.value)}" in drawn["alt"]
    assert drawn["chain"]["gradient"] == number(found.parameters[example.chosen].gradient)


# What may be changed -------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(examples(), st.data())
def test_changing_one_number_changes_that_number(example, data):
    name = data.draw(st.sampled_from(list(example.quantities)))
    changed = example.but(name, 0.25)
    assert {other: value for other, (_, value) in changed.quantities.items()} == {
        other: value for other, (_, value) in example.quantities.items()
    } | {name: 0.25}


def test_another_network_keeps_the_weights_that_both_have():
    wider = TWO_PATHS.shaped(3, (2, 2), 2)
    assert (len(wider.inputs), wider.widths, len(wider.target)) == (3, (2, 2, 2), 2)
    old = {name: value for name, (_, value) in TWO_PATHS.quantities.items()}
    new = {name: value for name, (_, value) in wider.quantities.items()}
    assert {name: new[name] for name in old} == old
    assert all(value != 0 for name, value in new.items() if name[0] == "w")
    assert wider.shaped(2, (1, 2), 1) == TWO_PATHS


@pytest.mark.parametrize(
    ("target", "expected"), [((0.7, 0.2), (1.0,)), ((0.1, 0.4), (0.0,)), ((1.0,), (1.0,)), ((-3.0,), (0.0,))]
)
def test_a_target_becomes_a_class_and_back(target, expected):
    numbers = Example((1.0,), (len(target),), target)
    chance = numbers.with_loss("cross-entropy")
    assert chance.target == expected
    assert chance.with_loss("huber").target == (expected[0], 1 - expected[0])[: len(target)]
    assert numbers.with_loss("huber").target == target


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"inputs": ()}, "1 to 3 inputs"),
        ({"inputs": (1.0,) * 4}, "1 to 3 inputs"),
        ({"widths": (4, 1)}, "at most 2 hidden layers of 1 to 3 units"),
        ({"widths": (1, 1, 1, 1)}, "at most 2 hidden layers"),
        ({"widths": (2, 3)}, "1 to 2 outputs"),
        ({"widths": ()}, "1 to 2 outputs"),
        ({"weights": (1.0,)}, "weights must be 6 numbers here, not 1"),
        ({"target": (1.0, 2.0)}, "target must be 1 number here, not 2"),
        ({"inputs": (math.nan, 1.0)}, "x must be a number in"),
        ({"inputs": (1e7, 1.0)}, "x must be a number in"),
        ({"loss": "cross-entropy", "target": (1.5,)}, r"target must be a number in \[0, 1\]"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"activation": "gelu"}, "activation must be one of"),
        ({"lr": -1.0}, "lr must be a number in"),
        ({"chosen": "w9.9.9"}, "no weight or bias"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_is_allowed(wrong, says):
    with pytest.raises(ValueError, match=says):
        replace(TWO_PATHS, **wrong)
    with pytest.raises(ValueError, match=r"there is no 'w7\.1\.1' here"):
        TWO_PATHS.but("w7.1.1", 1.0)


def test_the_glossary_knows_every_symbol():
    known = symbols()
    assert [param.name for param, _ in TWO_PATHS.quantities.values() if param.name not in known] == []
    assert [name for name in SETTINGS if name not in known] == []


# Links ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(examples(limit=1e6), examples())
@also(TWO_PATHS, TWO_PATHS)
def test_a_link_there_and_back_through_an_address(example, default):
    query = to_query(example, default)
    address = urlencode(query, doseq=True)
    assert "%" not in address
    assert "+" not in address
    assert from_query(parse_qs(address), default) == (example, [])
    assert to_query(example, example) == {}
    assert from_query({}, default) == (default, [])


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"net": ["2-9-1"]}, "1 to 3 units"),
        ({"net": ["x"]}, "sizes of the layers"),
        ({"net": ["2"]}, "sizes of the layers"),
        ({"net": ["2-²-1"]}, "sizes of the layers"),
        ({"net": ["1-" * 900 + "1"]}, "at most 2 hidden layers"),
        ({"weights": ["1~2"]}, "weights must be 6 numbers"),
        ({"weights": ["1~2~3~4~5~nan"]}, "w must be"),
        ({"inputs": ["1e9~1"]}, "x must be"),
        ({"target": [""]}, "target must be"),
        ({"loss": ["hinge"]}, "loss must be one of"),
        ({"lr": ["fast"]}, "lr must be"),
        ({"chosen": ["w5.1.1"]}, "no weight or bias"),
        ({"colour": ["red"]}, "no field"),
    ],
)
def test_a_bad_field_falls_back_with_a_sentence_and_the_rest_is_read(query, says):
    example, messages = from_query({**query, "activation": ["sigmoid"]}, TWO_PATHS)
    assert example == replace(TWO_PATHS, activation="sigmoid")
    (message,) = messages
    assert says in message
    assert len(message) < 400


def test_a_link_full_of_nonsense_is_short_about_it():
    query = {name: ["~" * 5000] for name in ("net", "inputs", "target", "weights", "biases", "lr", "chosen", "loss")}
    example, messages = from_query(query, TWO_PATHS)
    assert example == TWO_PATHS
    assert len(messages) == MESSAGES_AT_MOST


def test_a_network_in_a_link_needs_no_weights():
    example, messages = from_query({"net": ["3-2-2"], "loss": ["cross-entropy"]}, TWO_PATHS)
    assert not messages
    assert (len(example.inputs), example.widths) == (3, (2, 2))
