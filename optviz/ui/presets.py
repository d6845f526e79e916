"""What the pages open with."""

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
    start=(1.0, 0.001),
    steps=200,
    racers=(
        Racer(Pick("sgd", {"lr": 0.05})),
        Racer(Pick("momentum", {"lr": 0.05})),
        Racer(Pick("rmsprop", {"lr": 0.02})),
        Racer(Pick("adam", {"lr": 0.05})),
    ),
)
