"""The optimizers: one short pure function each, and the card that says everything else about it.

A rule receives the gradient of this step and returns the *step*, which is added to θ, and its slots, which is what it
remembers. Whatever else it asks for by name the loop supplies:

    t            the number of this step, 1, 2, …
    theta        where it stands, θ, shape (n,)
    value        the loss there, as this step sees it (with this step's noise and the L2 penalty)
    loss         the same as a function of θ, for rules that differentiate twice or search along a line
    gradient_at  its gradient as a function of θ, for rules that look ahead

Inside a rule the letters are the papers': m and v are the first and second moments of the gradient, s a sum of
squares, b a momentum buffer. Defaults are PyTorch's where PyTorch has the rule and the paper's where it does not; a
card's note says on which conventions libraries differ.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from optviz.spec import Catalogue, Entry, Param, Source

PLAIN, ADAPTIVE, ADAMS, SECOND_ORDER, OPTAX = "Momentum", "Adaptive", "Adam family", "Second order", "From optax"


@dataclass(frozen=True, kw_only=True)
class Optimizer(Entry):
    """An optimizer's card. `family` groups related rules in menus; `init(theta, **hyperparameters)` gives the slots
    before the first step, which are otherwise zeros shaped like θ."""

    family: str
    init: Callable[..., dict[str, Any]] | None = None

    def start(self, theta: jax.Array, hyper: dict[str, Any]) -> dict[str, Any]:
        """The slots before the first step."""
        if self.init is None:
            return {slot: jnp.zeros_like(theta) for slot in self.slots}
        return self.init(theta, **hyper)


OPTIMIZERS: Catalogue[Optimizer] = Catalogue(
    "optimizer", Optimizer, argument=("grad",), supplies=("t", "theta", "value", "loss", "gradient_at")
)
optimizer = OPTIMIZERS.declare

# The hyperparameters that several rules share, as a table: name, symbol, default, and the slider's range.
# fmt: off
LR = Param("lr", "η", 1e-3, 1e-5, 1.0, log=True, domain="[0, inf)", title="learning rate",
           help="How far each step goes. Too small crawls, too large swings or diverges.")
MOMENTUM = Param("momentum", "ρ", 0.9, 0.0, 0.99, domain="[0, 1]",
                 help="How much of the previous velocity is kept: 0 forgets at once, 0.9 remembers about ten steps.")
DAMPENING = Param("dampening", "τ", 0.0, 0.0, 1.0, domain="[0, 1]",
                  help="Only a share 1 − τ of each new gradient goes into the velocity.")
BETA1 = Param("beta1", "β₁", 0.9, 0.0, 0.999, domain="[0, 1)", title="beta 1",
              help="Memory of the averaged gradient (first moment): 0.9 averages about ten steps.")
BETA2 = Param("beta2", "β₂", 0.999, 0.0, 0.9999, domain="[0, 1)", title="beta 2",
              help="Memory of the averaged squared gradient (second moment): 0.999 averages about a thousand steps.")
EPS = Param("eps", "ε", 1e-8, 1e-12, 1e-1, log=True, domain="[0, inf)", title="epsilon",
            help="A small number that keeps the division finite; a large one makes the rule plain descent again.")
EPS_IN_SQRT = Param("eps_in_sqrt", "", False, title="epsilon under the root",
                    help="Adds ε under the square root, as optax does by default, instead of outside, as PyTorch does.")
AMSGRAD = Param("amsgrad", "", False, title="AMSGrad",
                help="Divides by the largest average of squared gradients so far instead of by the present one.")
LINE_SEARCH = Param("line_search", "", False, static=True,
                    help="Halves the step until the loss falls enough (Armijo's rule). "
                    "Goes along −∇f where the model points uphill.")
# fmt: on


@optimizer(
    title="SGD",
    family=PLAIN,
    params=(
        LR,
        MOMENTUM.but(default=0.0),
        DAMPENING,
        Param(
            "nesterov",
            "",
            False,
            title="Nesterov",
            help="Steps along gradient plus decayed velocity, as if looking ahead.",
        ),
        Param(
            "averaging",
            "",
            False,
            help="Averages gradients, b ← ρb + (1−ρ)g, instead of accumulating them, b ← ρb + g: steps are 1−ρ times "
            "as long, and dampening does nothing.",
        ),
    ),
    slots=("b",),
    formula=r"b_t = \rho\,b_{t-1} + (1-\tau)\,g_t \qquad \theta_{t+1} = \theta_t - \eta\,b_t",
    source=Source(
        "Robbins & Monro", 1951, "A Stochastic Approximation Method", "https://doi.org/10.1214/aoms/1177729586"
    ),
    note="PyTorch's SGD: the first step takes the whole gradient whatever τ is, and without momentum τ does nothing.",
)
def sgd(grad, *, b, t, lr, momentum, dampening, nesterov, averaging):
    """Goes straight downhill, η times the gradient; with momentum it keeps part of its velocity."""
    undamped = (t == 1) | (momentum == 0)
    share = jnp.where(averaging, 1 - momentum, jnp.where(undamped, 1.0, 1 - dampening))
    b = momentum * b + share * grad
    ahead = momentum * b + jnp.where(averaging, 1 - momentum, 1.0) * grad
    return -lr * jnp.where(nesterov, ahead, b), {"b": b}


@optimizer(
    title="Momentum",
    family=PLAIN,
    params=(
        LR,
        MOMENTUM,
        DAMPENING,
        Param(
            "form",
            "",
            "accumulating",
            options=("accumulating", "averaging", "velocity"),
            static=True,
            help="Accumulating: v ← ρv + g, θ ← θ − ηv. Averaging: v ← ρv + (1−ρ)g, with steps 1−ρ as long. "
            "Velocity: v ← ρv − ηg, θ ← θ + v, which differs from the first only while η changes.",
        ),
    ),
    slots=("v",),
    formula=r"v_t = \rho\,v_{t-1} + (1-\tau)\,g_t \qquad \theta_{t+1} = \theta_t - \eta\,v_t",
    source=Source(
        "Polyak",
        1964,
        "Some methods of speeding up the convergence of iteration methods",
        "https://doi.org/10.1016/0041-5553(64)90137-5",
    ),
    note="The velocity starts at zero and dampening acts from the first step on; PyTorch exempts the first step.",
)
def momentum(grad, *, v, lr, momentum, dampening, form):
    """A heavy ball: past gradients add up to a velocity, which damps zig-zags and carries it along valleys."""
    if form == "averaging":
        v = momentum * v + (1 - momentum) * (1 - dampening) * grad
    elif form == "accumulating":
        v = momentum * v + (1 - dampening) * grad
    else:
        v = momentum * v - lr * (1 - dampening) * grad
        return v, {"v": v}
    return -lr * v, {"v": v}


@optimizer(
    title="Nesterov",
    family=PLAIN,
    params=(
        LR,
        MOMENTUM,
        Param(
            "form",
            "",
            "look-ahead",
            options=("look-ahead", "reformulated"),
            static=True,
            help="Look-ahead takes the gradient at θ + ρv. The reformulation that libraries use follows the look-ahead "
            "point itself, so that it needs the gradient only where it stands.",
        ),
    ),
    slots=("v", "g_ahead"),
    formula=r"v_t = \rho\,v_{t-1} - \eta\,\nabla f(\theta_t + \rho\,v_{t-1}) \qquad \theta_{t+1} = \theta_t + v_t",
    source=Source(
        "Nesterov",
        1983,
        "A method of solving a convex programming problem with convergence rate O(1/k²)",
        "https://www.mathnet.ru/eng/dan46009",
    ),
    note="The slot g_ahead is the gradient that the rule used; the gradient curve shows the one at θ itself.",
)
def nesterov(grad, *, v, g_ahead, theta, gradient_at, lr, momentum, form):
    """Momentum that evaluates the gradient where the velocity is about to carry it, and so brakes in time."""
    del g_ahead  # kept only to be shown
    if form == "look-ahead":
        ahead = gradient_at(theta + momentum * v)
        v = momentum * v - lr * ahead
        return v, {"v": v, "g_ahead": ahead}
    v = momentum * v - lr * grad
    return momentum * v - lr * grad, {"v": v, "g_ahead": grad}


@optimizer(
    title="AdaGrad",
    family=ADAPTIVE,
    params=(
        LR.but(default=1e-2, high=10.0),
        Param(
            "accumulator",
            "s₀",
            0.0,
            1e-3,
            10.0,
            log=True,
            domain="[0, inf)",
            help="What the sum of squares starts at: 0 in PyTorch, 0.1 in optax.",
        ),
        EPS.but(default=1e-10),
        EPS_IN_SQRT,
    ),
    slots=("s",),
    init=lambda theta, accumulator, **_: {"s": jnp.zeros_like(theta) + accumulator},
    formula=r"s_t = s_{t-1} + g_t^2 \qquad \theta_{t+1} = \theta_t - \eta\,\frac{g_t}{\sqrt{s_t} + \varepsilon}",
    source=Source(
        "Duchi, Hazan & Singer",
        2011,
        "Adaptive Subgradient Methods for Online Learning",
        "https://jmlr.org/papers/v12/duchi11a.html",
    ),
    note="PyTorch starts the sum at 0 with ε = 1e-10 outside the root; optax starts it at 0.1 with ε = 1e-7 inside.",
)
def adagrad(grad, *, s, lr, accumulator, eps, eps_in_sqrt):
    """Divides each coordinate by the root of its summed squared gradients, so steep directions are tamed."""
    del accumulator  # it is where s started
    s = s + grad**2
    return -lr * grad / _root(s, eps, eps_in_sqrt), {"s": s}


def _root(square, eps, eps_in_sqrt):
    return jnp.where(eps_in_sqrt, jnp.sqrt(square + eps), jnp.sqrt(square) + eps)


@optimizer(
    title="RMSProp",
    family=ADAPTIVE,
    params=(
        LR.but(default=1e-2),
        Param(
            "decay",
            "α",
            0.99,
            0.0,
            0.999,
            domain="[0, 1)",
            help="Memory of the averaged squared gradient: the smaller, the sooner an old steep slope is forgotten.",
        ),
        EPS,
        MOMENTUM.but(default=0.0),
        Param("centered", "", False, help="Divides by the standard deviation of the gradient, not its size."),
        EPS_IN_SQRT,
    ),
    slots=("v", "m", "b"),
    formula=r"v_t = \alpha\,v_{t-1} + (1-\alpha)\,g_t^2 \qquad "
    r"\theta_{t+1} = \theta_t - \eta\,\frac{g_t}{\sqrt{v_t} + \varepsilon}",
    source=Source(
        "Tieleman & Hinton",
        2012,
        "Lecture 6.5, Neural Networks for Machine Learning",
        "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf",
    ),
    note="PyTorch's, with ε outside the root; optax puts it inside by default. The average starts at 0.",
)
def rmsprop(grad, *, v, m, b, lr, decay, eps, momentum, centered, eps_in_sqrt):
    """AdaGrad with a leak: the average of squared gradients forgets, so the steps do not die out."""
    v = decay * v + (1 - decay) * grad**2
    m = decay * m + (1 - decay) * grad
    spread = jnp.where(centered, v - m**2, v)
    b = momentum * b + grad / _root(spread, eps, eps_in_sqrt)
    return -lr * b, {"v": v, "m": m, "b": b}


@optimizer(
    title="AdaDelta",
    family=ADAPTIVE,
    params=(
        LR.but(default=1.0, low=1e-2, high=100.0, help="Scales the step; the paper has none, which is η = 1."),
        Param(
            "rho",
            "ρ",
            0.9,
            0.0,
            0.999,
            domain="[0, 1)",
            help="Memory of both averages, of squared gradients and of squared steps.",
        ),
        EPS.but(default=1e-6, help="Starts the motion: the first step is about √(ε/(1−ρ)) long."),
    ),
    slots=("v", "d"),
    formula=r"\Delta_t = \sqrt{\frac{d_{t-1} + \varepsilon}{v_t + \varepsilon}}\; g_t \qquad "
    r"d_t = \rho\,d_{t-1} + (1-\rho)\,\Delta_t^2 \qquad \theta_{t+1} = \theta_t - \eta\,\Delta_t",
    source=Source("Zeiler", 2012, "ADADELTA: An Adaptive Learning Rate Method", "https://arxiv.org/abs/1212.5701"),
)
def adadelta(grad, *, v, d, lr, rho, eps):
    """Sets the length of a step by the length of the recent ones, so that units agree and no rate is needed."""
    v = rho * v + (1 - rho) * grad**2
    delta = jnp.sqrt(d + eps) / jnp.sqrt(v + eps) * grad
    return -lr * delta, {"v": v, "d": rho * d + (1 - rho) * delta**2}


@optimizer(
    title="Adam",
    family=ADAMS,
    params=(
        LR,
        BETA1,
        BETA2,
        EPS,
        Param(
            "bias_correction",
            "",
            True,
            help="Undoes the pull towards zero of two averages that both start at zero.",
        ),
        AMSGRAD,
    ),
    slots=("m", "v", "v_max"),
    formula=r"\hat m_t = \frac{m_t}{1-\beta_1^t} \quad \hat v_t = \frac{v_t}{1-\beta_2^t} \qquad "
    r"\theta_{t+1} = \theta_t - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon}",
    source=Source("Kingma & Ba", 2015, "Adam: A Method for Stochastic Optimization", "https://arxiv.org/abs/1412.6980"),
    note="ε outside the root of the corrected v̂ (the paper's Algorithm 1, PyTorch, optax), not TensorFlow's “ε-hat”. "
    "AMSGrad takes its maximum before the correction, as PyTorch does.",
)
def adam(grad, *, m, v, v_max, t, lr, beta1, beta2, eps, bias_correction, amsgrad):
    """Momentum divided by RMSProp's root: each coordinate steps about η, whatever the size of its gradient."""
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    v_max = jnp.maximum(v_max, v)
    correction1 = jnp.where(bias_correction, 1 - beta1**t, 1.0)
    correction2 = jnp.where(bias_correction, 1 - beta2**t, 1.0)
    root = jnp.sqrt(jnp.where(amsgrad, v_max, v) / correction2)
    return -lr * (m / correction1) / (root + eps), {"m": m, "v": v, "v_max": v_max}


@optimizer(
    title="AdamW",
    family=ADAMS,
    params=(
        LR,
        BETA1,
        BETA2,
        EPS,
        Param(
            "weight_decay",
            "λ",
            1e-2,
            1e-4,
            1.0,
            log=True,
            domain="[0, inf)",
            help="Shrinks the parameters by a share ηλ each step, outside the gradient and its moments.",
        ),
        AMSGRAD,
    ),
    slots=("m", "v", "v_max"),
    formula=r"\theta_{t+1} = \theta_t - \eta\left(\frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon} + "
    r"\lambda\,\theta_t\right)",
    source=Source(
        "Loshchilov & Hutter", 2019, "Decoupled Weight Decay Regularization", "https://arxiv.org/abs/1711.05101"
    ),
)
def adamw(grad, *, m, v, v_max, t, theta, lr, beta1, beta2, eps, weight_decay, amsgrad):
    """Adam with weight decay outside the gradient, so that it shrinks every parameter by the same share."""
    moments = {"m": m, "v": v, "v_max": v_max}
    step, slots = adam(
        grad, **moments, t=t, lr=lr, beta1=beta1, beta2=beta2, eps=eps, bias_correction=True, amsgrad=amsgrad
    )
    return step - lr * weight_decay * theta, slots


@optimizer(
    title="Nadam",
    family=ADAMS,
    params=(
        LR.but(default=2e-3),
        BETA1,
        BETA2,
        EPS,
        Param(
            "momentum_decay",
            "ψ",
            4e-3,
            1e-4,
            1e-1,
            log=True,
            domain="[0, inf)",
            help="How fast the momentum warms up to β₁; 0 keeps it at half of β₁.",
        ),
    ),
    slots=("m", "v", "mu_product"),
    init=lambda theta, **_: {
        "m": jnp.zeros_like(theta),
        "v": jnp.zeros_like(theta),
        "mu_product": jnp.ones((), theta.dtype),
    },
    formula=r"\mu_t = \beta_1\left(1 - \tfrac12\,0.96^{\psi t}\right) \qquad "
    r"\theta_{t+1} = \theta_t - \frac{\eta}{\sqrt{\hat v_t} + \varepsilon}\left("
    r"\frac{(1-\mu_t)\,g_t}{1-\prod_{i\le t}\mu_i} + \frac{\mu_{t+1}\,m_t}{1-\prod_{i\le t+1}\mu_i}\right)",
    source=Source(
        "Dozat",
        2016,
        "Incorporating Nesterov Momentum into Adam",
        "https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
    ),
    note="PyTorch's, with the momentum schedule of the paper; optax's nadam leaves the schedule out.",
)
def nadam(grad, *, m, v, mu_product, t, lr, beta1, beta2, eps, momentum_decay):
    """Adam whose momentum looks one step ahead, as Nesterov's does."""
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
    mu_product = mu_product * mu
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    ahead = (1 - mu) * grad / (1 - mu_product) + mu_next * m / (1 - mu_product * mu_next)
    step = -lr * ahead / (jnp.sqrt(v / (1 - beta2**t)) + eps)
    return step, {"m": m, "v": v, "mu_product": mu_product}


@optimizer(
    title="diffGrad",
    family=ADAMS,
    params=(LR, BETA1, BETA2, EPS),
    slots=("m", "v", "g_last", "xi"),
    formula=r"\xi_t = \sigma(|g_{t-1} - g_t|) \qquad "
    r"\theta_{t+1} = \theta_t - \eta\,\frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\,"
    r"\frac{\xi_t\,m_t}{\sqrt{v_t}+\varepsilon}",
    source=Source(
        "Dubey et al.",
        2020,
        "diffGrad: An Optimization Method for Convolutional Neural Networks",
        "https://arxiv.org/abs/1909.11015",
    ),
    note="ε is added to the root of the uncorrected v, as in the authors' code, and g₀ = 0.",
)
def diffgrad(grad, *, m, v, g_last, xi, t, lr, beta1, beta2, eps):
    """Adam with friction ξ between ½ and 1: it slows down where the gradient hardly changes."""
    xi = jax.nn.sigmoid(jnp.abs(g_last - grad))
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    rate = lr * jnp.sqrt(1 - beta2**t) / (1 - beta1**t)
    return -rate * xi * m / (jnp.sqrt(v) + eps), {"m": m, "v": v, "g_last": grad, "xi": xi}


@optimizer(
    title="Lion",
    family=ADAMS,
    params=(LR.but(default=1e-4), BETA1, BETA2.but(default=0.99)),
    slots=("m",),
    formula=r"\theta_{t+1} = \theta_t - \eta\,\mathrm{sign}\!\left(\beta_1 m_{t-1} + (1-\beta_1)\,g_t\right) \qquad "
    r"m_t = \beta_2 m_{t-1} + (1-\beta_2)\,g_t",
    source=Source(
        "Chen et al.", 2023, "Symbolic Discovery of Optimization Algorithms", "https://arxiv.org/abs/2302.06675"
    ),
)
def lion(grad, *, m, lr, beta1, beta2):
    """Uses only the sign of an averaged gradient: every coordinate moves exactly η, every step."""
    direction = jnp.sign(beta1 * m + (1 - beta1) * grad)
    return -lr * direction, {"m": beta2 * m + (1 - beta2) * grad}


SUFFICIENT = 1e-4  # Armijo's share of the decrease that the slope promises
HALVINGS = 30


def backtrack(loss, theta, value, grad, direction, lr):
    """Armijo's line search: the first of lr, lr/2, … lr/2³⁰ whose loss falls by enough.

    Returns the step, and the accepted share of `direction`. A direction that points uphill, as Newton's does near a
    saddle, is replaced by −grad; if 30 halvings do not help, the step is zero and the run stands still.
    """
    direction = jnp.where(jnp.sum(grad * direction) < 0, direction, -grad)
    shares = lr * 0.5 ** jnp.arange(HALVINGS + 1.0)
    losses = jax.vmap(lambda share: loss(theta + share * direction))(shares)
    enough = losses <= value + SUFFICIENT * shares * jnp.sum(grad * direction)
    share = jnp.where(jnp.any(enough), shares[jnp.argmax(enough)], 0.0)
    return share * direction, share


@optimizer(
    title="Newton",
    family=SECOND_ORDER,
    params=(
        LR.but(default=1.0, low=0.01, high=1.0, help="Share of the full Newton step; a quadratic needs exactly 1."),
        Param(
            "damping",
            "δ",
            0.0,
            1e-4,
            1e3,
            log=True,
            domain="[0, inf)",
            help="Adds δ to every curvature: a large one turns Newton's step into a short gradient step.",
        ),
        LINE_SEARCH,
    ),
    slots=("share",),
    init=lambda theta, **_: {"share": jnp.ones((), theta.dtype)},
    formula=r"\theta_{t+1} = \theta_t - \eta\,\left(\nabla^2 f(\theta_t) + \delta I\right)^{-1} g_t",
    source=Source(
        "Nocedal & Wright", 2006, "Numerical Optimization, chapter 3", "https://doi.org/10.1007/978-0-387-40065-5"
    ),
    note="Plain Newton goes to any point of zero gradient, saddles and maxima included.",
)
def newton(grad, *, share, theta, value, loss, lr, damping, line_search):
    """Jumps to the bottom of the quadratic that fits the surface here, by solving with the Hessian."""
    curvature = jax.hessian(loss)(theta) + damping * jnp.eye(theta.size)
    direction = -jnp.linalg.solve(curvature, grad)
    if line_search:
        step, share = backtrack(loss, theta, value, grad, direction, lr)
        return step, {"share": share}
    return lr * direction, {"share": jnp.zeros_like(share) + lr}


def _lbfgs_start(theta, memory, **_):
    pairs = jnp.zeros((memory, theta.size), theta.dtype)
    return {"s": pairs, "y": pairs, "theta_last": theta, "g_last": jnp.zeros_like(theta)}


@optimizer(
    title="L-BFGS",
    family=SECOND_ORDER,
    params=(
        LR.but(default=1.0, low=0.01, high=1.0, help="Share of the full step; 1 trusts the curvature estimate."),
        Param(
            "memory",
            "m",
            10,
            1,
            20,
            domain="[1, 20]",
            static=True,
            help="How many recent (step, gradient change) pairs stand in for the Hessian.",
        ),
        LINE_SEARCH.but(default=True),
    ),
    slots=("s", "y", "theta_last", "g_last"),
    init=_lbfgs_start,
    formula=r"s_t = \theta_t - \theta_{t-1} \quad y_t = g_t - g_{t-1} \qquad "
    r"\theta_{t+1} = \theta_t - \eta\,H_t(s, y)\,g_t",
    source=Source(
        "Liu & Nocedal",
        1989,
        "On the limited memory BFGS method for large scale optimization",
        "https://doi.org/10.1007/BF01589116",
    ),
    note="A pair is kept only if sᵀy > 1e-10 ‖s‖‖y‖, and the first step is at most 1 long in the sum of its parts.",
)
def lbfgs(grad, *, s, y, theta_last, g_last, t, theta, value, loss, lr, memory, line_search):
    """Newton without the Hessian: the last m steps and gradient changes tell enough of the curvature."""
    del memory  # it is the length of s and y
    s_new, y_new = theta - theta_last, grad - g_last
    curved = jnp.sum(s_new * y_new) > 1e-10 * jnp.sqrt(jnp.sum(s_new**2) * jnp.sum(y_new**2))
    keep = (t > 1) & curved
    s = jnp.where(keep, jnp.concatenate([s[1:], s_new[None]]), s)
    y = jnp.where(keep, jnp.concatenate([y[1:], y_new[None]]), y)
    direction = -inverse_hessian_times(grad, s, y)
    empty = jnp.all(s[-1] == 0)
    direction = jnp.where(empty, direction * jnp.minimum(1.0, 1 / jnp.sum(jnp.abs(grad))), direction)
    step = backtrack(loss, theta, value, grad, direction, lr)[0] if line_search else lr * direction
    return step, {"s": s, "y": y, "theta_last": theta, "g_last": grad}


def inverse_hessian_times(grad, s, y):
    """The two-loop recursion (Nocedal & Wright, algorithm 7.4): H·grad from the pairs s, y, each (m, n), newest last.

    Empty places are zeros, whose weight is zero, so that the memory can fill up without a change of shape.
    """
    products = jnp.sum(s * y, axis=1)
    filled = products > 0
    weight = jnp.where(filled, 1 / jnp.where(filled, products, 1.0), 0.0)

    def down(q, pair):
        s_i, y_i, w_i = pair
        alpha = w_i * jnp.sum(s_i * q)
        return q - alpha * y_i, alpha

    def up(r, pair):
        s_i, y_i, w_i, alpha = pair
        return r + s_i * (alpha - w_i * jnp.sum(y_i * r)), None

    q, alphas = jax.lax.scan(down, grad, (s, y, weight), reverse=True)
    scale = jnp.where(filled[-1], products[-1] / jnp.where(filled[-1], jnp.sum(y[-1] ** 2), 1.0), 1.0)
    return jax.lax.scan(up, scale * q, (s, y, weight, alphas))[0]


def from_optax(
    key: str, transformation: Callable[..., optax.GradientTransformation], summary: str, **card: Any
) -> None:
    """Enter any optax optimizer: `transformation(**hyperparameters)` with the names of the card's params."""

    def rule(grad, *, state, theta, value, loss, **hyper):
        update = optax.with_extra_args_support(transformation(**hyper)).update
        step, state = update(grad, state, theta, value=value, grad=grad, value_fn=loss)
        return step, {"state": state}

    asks = ["state", "theta", "value", "loss", *(param.name for param in card["params"])]
    rule.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  (any function may have one)
        [inspect.Parameter("grad", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        + [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in asks]
    )
    OPTIMIZERS.add(
        rule,
        key=key,
        summary=summary,
        family=OPTAX,
        slots=("state",),
        init=lambda theta, **hyper: {"state": transformation(**hyper).init(theta)},
        **card,
    )


def optax_optimizer(**card: Any) -> Callable[[Callable], Callable]:
    """Decorator: enter a function that returns an optax transformation, under the function's name."""

    def enter(transformation: Callable) -> Callable:
        from_optax(transformation.__name__, transformation, inspect.getdoc(transformation) or "", **card)
        return transformation

    return enter


@optax_optimizer(
    title="AdaBelief",
    params=(LR, BETA1, BETA2, EPS.but(default=1e-16, low=1e-16)),
    formula=r"s_t = \beta_2 s_{t-1} + (1-\beta_2)(g_t - m_t)^2 \qquad "
    r"\theta_{t+1} = \theta_t - \eta\,\hat m_t / (\sqrt{\hat s_t} + \varepsilon)",
    source=Source("Zhuang et al.", 2020, "AdaBelief Optimizer", "https://arxiv.org/abs/2010.07468"),
)
def optax_adabelief(*, lr, beta1, beta2, eps):
    """Adam that divides by how far gradients stray from their average: long steps where they agree."""
    return optax.adabelief(lr, b1=beta1, b2=beta2, eps=eps)


@optax_optimizer(
    title="RAdam",
    params=(LR, BETA1, BETA2, EPS),
    formula=r"\theta_{t+1} = \theta_t - \eta\,r_t\,\hat m_t / (\sqrt{\hat v_t} + \varepsilon)",
    source=Source(
        "Liu et al.", 2020, "On the Variance of the Adaptive Learning Rate", "https://arxiv.org/abs/1908.03265"
    ),
)
def optax_radam(*, lr, beta1, beta2, eps):
    """Adam with a built-in warm-up: plain momentum until its second moment can be trusted."""
    return optax.radam(lr, b1=beta1, b2=beta2, eps=eps)


@optax_optimizer(
    title="Yogi",
    params=(LR, BETA1, BETA2, EPS.but(default=1e-3)),
    formula=r"v_t = v_{t-1} - (1-\beta_2)\,\mathrm{sign}(v_{t-1} - g_t^2)\,g_t^2",
    source=Source(
        "Zaheer et al.",
        2018,
        "Adaptive Methods for Nonconvex Optimization",
        "https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization",
    ),
)
def optax_yogi(*, lr, beta1, beta2, eps):
    """Adam whose second moment changes by addition, so that the effective step grows only slowly."""
    return optax.yogi(lr, b1=beta1, b2=beta2, eps=eps)


@optax_optimizer(
    title="Adamax",
    params=(LR.but(default=2e-3), BETA1, BETA2, EPS),
    formula=r"u_t = \max(\beta_2 u_{t-1}, |g_t| + \varepsilon) \qquad \theta_{t+1} = \theta_t - \eta\,\hat m_t / u_t",
    source=Source(
        "Kingma & Ba",
        2015,
        "Adam: A Method for Stochastic Optimization, section 7",
        "https://arxiv.org/abs/1412.6980",
    ),
)
def optax_adamax(*, lr, beta1, beta2, eps):
    """Adam that divides by a leaky maximum of the gradient instead of a root of squares."""
    return optax.adamax(lr, b1=beta1, b2=beta2, eps=eps)


@optax_optimizer(
    title="Prodigy",
    params=(
        LR.but(default=1.0, low=0.01, high=10.0, help="Scales the step that Prodigy estimates; 1 trusts the estimate."),
        BETA1,
        BETA2,
        EPS,
        Param(
            "first_distance",
            "d₀",
            1e-6,
            1e-6,
            1.0,
            log=True,
            domain="(0, inf)",
            help="First guess of the distance to the minimum; it only ever grows.",
        ),
    ),
    formula=r"\theta_{t+1} = \theta_t - \eta\,d_t\,\hat m_t / (\sqrt{\hat v_t} + d_t\,\varepsilon)",
    source=Source(
        "Mishchenko & Defazio",
        2023,
        "Prodigy: An Expeditiously Adaptive Parameter-Free Learner",
        "https://arxiv.org/abs/2306.06101",
    ),
)
def optax_prodigy(*, lr, beta1, beta2, eps, first_distance):
    """Adam that estimates its own step size, from how far it has travelled against the gradients."""
    return optax.contrib.prodigy(lr, betas=(beta1, beta2), eps=eps, estim_lr0=first_distance)


@optax_optimizer(
    title="SM3",
    params=(LR.but(default=1e-2, high=10.0), MOMENTUM),
    formula=r"\theta_{t+1} = \theta_t - \eta\,g_t / \sqrt{\mu_t}",
    source=Source("Anil et al.", 2019, "Memory-Efficient Adaptive Optimization", "https://arxiv.org/abs/1901.11150"),
)
def optax_sm3(*, lr, momentum):
    """AdaGrad that shares its sums between parameters to save memory; on a flat vector it shares nothing."""
    return optax.sm3(lr, momentum=momentum)
