"""What the pages open with, and a few experiments worth a link."""

from optviz.experiment import Experiment, Pick, Racer
from optviz.training import Configuration, Net, Training

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
MOONS = Training(
    Pick("moons", {"noise": 0.2}),
    (
        Configuration(Net(hidden=(16, 16)), Racer(Pick("sgd", {"lr": 0.1, "momentum": 0.9}))),
        Configuration(Net(hidden=(16, 16)), Racer(Pick("adam", {"lr": 0.01}))),
    ),
    epochs=60,
)
