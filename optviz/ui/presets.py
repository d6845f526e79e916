"""What the pages open with, and a few experiments worth a link."""

from optviz.backprop import Example
from optviz.experiment import Experiment, Pick, Racer

RAVINE = Experiment(
    Pick("rosenbrock"),
    racers=(
        Racer(Pick("sgd", {"lr": 0.0016})),
        Racer(Pick("momentum", {"lr": 0.0005})),
        Racer(Pick("rmsprop", {"lr": 0.01})),
        Racer(Pick("adam", {"lr": 0.05})),
    ),
)
SADDLE = Experiment(
    Pick("bounded_saddle"),
    start=(1.0, 1e-5),
    steps=300,
    racers=(
        Racer(Pick("sgd", {"lr": 0.05})),
        Racer(Pick("momentum", {"lr": 0.05, "momentum": 0.5})),
        Racer(Pick("rmsprop", {"lr": 0.02})),
        Racer(Pick("adam", {"lr": 0.05})),
    ),
)
WORTH_A_LOOK = {
    "Zig-zag in a narrow valley, and how momentum damps it": Experiment(
        Pick("valley", {"kappa": 50.0}),
        start=(-1.8, 0.6),
        steps=150,
        racers=(
            Racer(Pick("sgd", {"lr": 0.038})),
            Racer(Pick("momentum", {"lr": 0.038, "momentum": 0.6})),
        ),
    ),
    "Four equal minima: which rule ends in which?": Experiment(
        Pick("himmelblau"),
        racers=(
            Racer(Pick("sgd", {"lr": 0.01})),
            Racer(Pick("momentum", {"lr": 0.01})),
            Racer(Pick("adam", {"lr": 0.3})),
            Racer(Pick("newton")),
        ),
    ),
    "A rate too large: divergence, step by step": Experiment(
        Pick("valley"),
        start=(-1.8, 0.01),
        steps=150,
        racers=(
            Racer(Pick("sgd", {"lr": 0.075})),
            Racer(Pick("sgd", {"lr": 0.085})),
        ),
    ),
}

TWO_PATHS = Example(
    inputs=(1.0, -0.5),
    widths=(1, 2, 1),
    target=(1.0,),
    weights=(0.8, -0.6, 0.8, -0.6, 0.7, 0.4),
    biases=(-0.4, 0.2, -0.1, 0.1),
)
WALKS = {
    "Two paths that meet": TWO_PATHS,
    "A single neuron": Example(
        inputs=(-1.0, -2.0),
        widths=(1,),
        target=(1.0,),
        weights=(2.0, -3.0),
        biases=(-3.0,),
        activation="sigmoid",
        output="activated",
    ),
    "A dead ReLU: nothing flows back through it": Example(
        inputs=(1.0, 2.0),
        widths=(2, 1),
        target=(2.0,),
        weights=(0.8, 0.4, -0.9, -0.5, 0.6, 0.7),
        biases=(0.1, -0.2, 0.0),
        activation="relu",
        chosen="w1.2.1",
    ),
    "A saturated sigmoid: almost nothing flows": Example(
        inputs=(2.0, 1.0),
        widths=(2, 1),
        target=(0.0,),
        weights=(3.0, 2.0, 0.4, -0.3, 1.0, 0.8),
        biases=(0.0, 0.1, 0.0),
        activation="sigmoid",
    ),
    "Softmax and cross-entropy": Example(
        inputs=(1.0, -1.0),
        widths=(2, 2),
        target=(1.0,),
        weights=(0.6, -0.4, 0.3, 0.9, 0.5, -0.7, -0.2, 0.8),
        biases=(0.1, 0.0, 0.0, 0.1),
        loss="cross-entropy",
    ),
}
