"""The glossary: one sentence for every word and every symbol that a page uses.

Words are written here. Symbols are the parameters of the catalogues and explain themselves on their cards, so they are
read from there.
"""

from __future__ import annotations

from typing import NamedTuple

from optviz import backprop, basin_map, cloud, fair_race, phase_map, range_test, taylor
from optviz.experiment import SETTINGS
from optviz.optimizers import OPTIMIZERS
from optviz.schedules import SCHEDULES
from optviz.surfaces import REACH, SURFACES

WORDS = {
    "loss": "The number that is to be made small, f(θ); its height over the plane is the surface.",
    "parameters": "The numbers that an optimizer may change, θ; here the two coordinates of a point.",
    "gradient": "The vector g = ∇f of slopes along each coordinate; it points straight uphill, −g straight downhill.",
    "step": "The change Δθ that an optimizer adds to the parameters, once for each gradient.",
    "trajectory": "The points that a run passes through, from its start to its last step.",
    "gradient descent": "The rule Δθ = −η·g: go downhill, in proportion to the slope.",
    "velocity": "What a rule with momentum keeps of its past steps: a decaying sum of gradients.",
    "look-ahead": "The point to which the velocity is about to carry a run; Nesterov's rule takes the gradient there.",
    "first moment": "A leaky average m of the gradients: the direction on which recent ones agree.",
    "second moment": "A leaky average v of the squared gradients: how large they are along each coordinate.",
    "bias correction": "Division of an average that started at zero by the weight it has gathered so far, 1 − βᵗ.",
    "effective rate": "What finally multiplies the gradient in one coordinate, such as η/√v: its own learning rate.",
    "friction": "diffGrad's factor ξ between ½ and 1, which shortens steps where the gradient hardly changes.",
    "slot": "A memory of a rule, which it takes from one step to the next.",
    "Hessian": "The matrix H of second derivatives: how the slope changes from place to place.",
    "curvature": "How fast the slope changes along a direction; the Hessian's eigenvalues λ are its extremes.",
    "condition number": "The largest curvature over the smallest, κ = λmax/λmin: how narrow a valley is.",
    "sharpness": "The largest curvature where a run stands: the largest eigenvalue of the Hessian.",
    "edge of stability": "The sharpness above which a rule's steps swing ever higher: 2/η for gradient descent.",
    "stationary point": "A point where the gradient vanishes: a minimum, a maximum or a saddle.",
    "minimum": "A point lower than all its neighbours; the global one is the lowest of all, the others are local.",
    "maximum": "A point higher than all its neighbours.",
    "saddle": "A stationary point that curves up along one direction and down along another.",
    "plateau": "A region that is nearly flat, so that the gradient says little.",
    "basin": "All the starts from which a run ends in the same minimum.",
    "basin map": "A picture of all starts of a window, each in the colour of the minimum that its run ends in.",
    "zig-zag": "A path that swings from wall to wall of a valley, each step too long across and too short along.",
    "overshoot": "To pass the minimum and have to come back.",
    "converged": "At a listed minimum, to within the tolerance, over the last tenth of the run.",
    "diverged": "Without a finite value any more, or gone for good from the picture.",
    "oscillating": "Going back and forth without getting lower.",
    "stalled": "Hardly moving although no listed minimum is near.",
    "gradient noise": "Chance in the gradient, as small batches of data cause it.",
    "noise floor": "The height above the minimum at which a run with gradient noise keeps jittering.",
    "quartiles": "The two values between which the middle half of many numbers lies, a quarter below and one above.",
    "standard error": "How far a mean over chance runs is from the true mean, typically; it falls as 1/√runs.",
    "L2 penalty": "The term ½λ₂‖θ‖² in the loss, which pulls every parameter towards zero through its gradient.",
    "decoupled decay": "A pull towards zero that is applied to the parameters directly, past the rule's averages.",
    "schedule": "A plan by which a hyperparameter changes from step to step.",
    "hyperparameter": "A number that is chosen before the run and that the gradient does not change, such as η.",
    "linear model": "The surface as seen from one point by its slope alone, f + g·Δθ; first-order methods trust it.",
    "quadratic model": "The linear model and the curvature, ½Δθᵀ·H·Δθ; second-order methods jump to its lowest point.",
    "eigenvector": "A direction in which the Hessian only stretches; along it, its eigenvalue λ is the curvature.",
    "trust region": "The circle of radius Δ around a point within which a quadratic model is believed.",
    "promised fall": "By how much a model says that the loss falls over a step; ρ is the share of it that came.",
    "pairs": "The last moves s and gradient changes y, from which L-BFGS learns the curvature without a Hessian.",
    "line search": "Trying shorter and shorter steps along one direction until the loss falls enough.",
    "streamline": "The line that infinitely small steps downhill would follow.",
    "seed": "The number from which all chance of a run follows; the same seed gives the same run.",
    "backpropagation": "The chain rule, carried out from the loss back to the inputs: every gradient in one walk.",
    "chain rule": "The slope of a function of a function is the product of their slopes; over several paths, the sum.",
    "local derivative": "How much one node of a network changes with one of its inputs, all else left as it is.",
    "neuron": "A weighted sum of inputs plus a bias, z = Σ w·x + b, and an activation of it, a = φ(z).",
    "weight": "A number that a connection multiplies by, w; with the biases, what a network learns.",
    "bias": "A number b that a unit adds to its weighted sum.",
    "activation": "A function of one number that makes a network more than a straight line, such as tanh or the ReLU.",
    "ReLU": "The activation max(0, z): its slope is 1 above 0 and 0 below.",
    "dead unit": "A unit whose ReLU is at 0, so that no gradient reaches its weights.",
    "saturation": "The flat end of a tanh or sigmoid, where the slope is nearly 0 and little gradient gets through.",
    "softmax": "Turns outputs into probabilities that add up to 1: e^z, divided by the sum over all outputs.",
    "cross-entropy": "The loss −Σ y·ln p: the less probable the right class was thought, the larger.",
    "Huber loss": "Squared near 0, straight further out, so that an outlier pulls no harder than its sign.",
    "target": "The output y that an example should have.",
    "training, validation and test data": "Three parts without overlap: to learn from, to choose by, to judge.",
    "batch": "The examples that one step sees: all of them, a mini-batch of some, or a single one.",
    "epoch": "One pass through all training examples, in steps of a batch each.",
    "accuracy": "The share of examples whose class is answered rightly.",
    "overfitting": "Learning the training examples by heart: their loss falls while the validation loss rises.",
    "generalization gap": "How much larger the loss is on validation data than on training data.",
    "early stopping": "To keep the weights from the moment at which the validation loss was lowest.",
    "dropout": "To drop hidden units at random in each training step, so that every step trains another sub-network.",
    "initialization": "How the first weights are drawn; their variance decides whether a signal passes many layers.",
    "batch normalization": "Giving every sum mean 0 and variance 1 over the batch, then a learnt gain and shift.",
    "standardization": "Shifting and scaling each input column to mean 0 and deviation 1, by the training data.",
    "L1 penalty": "The term λ₁·Σ|w| in the loss, which pulls every weight to zero with the same force.",
    "label smoothing": "Moving a share of each class target to all classes alike, so that no answer is ever too sure.",
    "augmentation": "Adding altered copies of examples, such as shifted and turned pictures, to the training data.",
    "gradient clipping": "Shortening a gradient that is longer than a limit to exactly that limit.",
    "gradient noise scale": "The batch size at which the noise in its gradient is as large as the gradient itself.",
    "range test": "A short run in which the learning rate rises: its loss shows which rates are of use.",
    "phase map": "A plane of two hyperparameters in which every cell is a run, coloured by how it ends.",
    "mode": "The motion along one axis of a quadratic's Hessian, which goes on as if the others were not there.",
    "spectral radius": "The largest size of an eigenvalue: by what one step multiplies the distance in the end.",
    "rate of convergence": "The factor by which, in the end, each step multiplies the distance to the minimum.",
    "critical damping": "The momentum at which a mode just does not swing yet: there it settles quickest.",
    "uncertainty exponent": "How fast doubts about a run's fate fade as settings are known better; 1: a smooth border.",
    "try": "A whole run whose only purpose is to find out how good a hyperparameter is, here the learning rate.",
    "budget": "How many tries everyone may have; a comparison in which one may try more is not fair.",
    "good range": "The learning rates around the best that are nearly as good; the wider, the less tuning it takes.",
    "median": "The middle one of several numbers in order: half are smaller. A few extreme ones do not move it.",
    "pin": "A run that stays in the picture, as a ghost, while sliders move.",
}


class Symbol(NamedTuple):
    """A parameter as its cards explain it. `meanings` maps each sentence to those who use it so."""

    name: str
    label: str
    meanings: dict[str, list[str]]


def symbols() -> dict[str, Symbol]:
    """Every parameter of the catalogues and of an experiment, by name."""
    found: dict[str, Symbol] = {}
    owners = [("every run", [*SETTINGS.values(), REACH])]
    walk = [backprop.X, backprop.W, backprop.B, backprop.Y, *backprop.SETTINGS.values()]
    owners += [("the backpropagation walk", walk)]
    owners += [("the phase map", [*phase_map.LOOKS.values()])]
    owners += [("the second-order page", [*taylor.SETTINGS.values(), *taylor.CHOICES.values()])]
    owners += [("the range test", [*range_test.SETTINGS.values(), *range_test.MARKS.values()])]
    owners += [("the cloud of noisy runs", [*cloud.OWN.values()])]
    owners += [("the basin map", [*basin_map.GRID.values()])]
    owners += [("the fair race", [*fair_race.SETTINGS.values()])]
    owners += [
        (entry.title, entry.params) for catalogue in (OPTIMIZERS, SCHEDULES, SURFACES) for entry in catalogue.values()
    ]
    for owner, params in owners:
        for param in params:
            symbol = found.setdefault(param.name, Symbol(param.name, param.label, {}))
            symbol.meanings.setdefault(param.help, []).append(owner)
    return found
