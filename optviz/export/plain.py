"""Plain forms of the rules that the catalogue takes from optax, for scripts that shall not need optax.

They are written like the catalogue's own rules, with the same letters: slots in and out, a step that is added to θ.
The tests run the scripts that quote them against the app, which runs optax itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp


class Plain(NamedTuple):
    """A rule's plain form, and its slots before the first step from θ, given the hyperparameters."""

    fn: Callable
    start: Callable[..., dict[str, Any]]


def zeros(*slots: str) -> Callable[..., dict[str, Any]]:
    """Slots that all start at zero."""
    return lambda theta, **_: {slot: jnp.zeros_like(theta) for slot in slots}


def adabelief(grad, *, m, s, t, lr, beta1, beta2, eps):
    """Adam that divides by how far gradients stray from their average: long steps where they agree."""
    m = beta1 * m + (1 - beta1) * grad
    s = beta2 * s + (1 - beta2) * (grad - m) ** 2 + 1e-16  # as in the authors' code
    step = -lr * (m / (1 - beta1**t)) / (jnp.sqrt(s / (1 - beta2**t)) + eps)
    return step, {"m": m, "s": s}


def radam(grad, *, m, v, t, lr, beta1, beta2, eps):
    """Adam with a built-in warm-up: plain momentum until its second moment can be trusted."""
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    longest = 2 / (1 - beta2) - 1  # steps that the average of squares can hold, and how many it holds by now
    held = longest - 2 * t * beta2**t / (1 - beta2**t)
    trust = jnp.sqrt((held - 4) * (held - 2) * longest / ((longest - 4) * (longest - 2) * held))
    return -lr * jnp.where(held >= 5, trust * m_hat / (jnp.sqrt(v_hat) + eps), m_hat), {"m": m, "v": v}


def yogi(grad, *, m, v, t, lr, beta1, beta2, eps):
    """Adam whose second moment changes by addition, so that the effective step grows only slowly."""
    m = beta1 * m + (1 - beta1) * grad
    v = v - (1 - beta2) * jnp.sign(v - grad**2) * grad**2
    return -lr * (m / (1 - beta1**t)) / (jnp.sqrt(v / (1 - beta2**t)) + eps), {"m": m, "v": v}


def _yogi_start(theta, **_):
    return {"m": jnp.zeros_like(theta) + 1e-6, "v": jnp.zeros_like(theta) + 1e-6}


def adamax(grad, *, m, u, t, lr, beta1, beta2, eps):
    """Adam that divides by a leaky maximum of the gradient instead of a root of squares."""
    m = beta1 * m + (1 - beta1) * grad
    u = jnp.maximum(beta2 * u, jnp.abs(grad) + eps)
    return -lr * (m / (1 - beta1**t)) / u, {"m": m, "u": u}


def prodigy(grad, *, m, v, s, theta0, d, r, t, theta, lr, beta1, beta2, eps, first_distance):
    """Adam that estimates its own step size, from how far it has travelled against the gradients."""
    beta3 = jnp.sqrt(beta2)
    rate = d * lr * jnp.sqrt(1 - beta2**t) / (1 - beta1**t)
    m = beta1 * m + (1 - beta1) * d * grad
    v = beta2 * v + (1 - beta2) * (d * grad) ** 2
    s = beta3 * s + rate * d * grad / first_distance
    r = beta3 * r + d / first_distance * rate * jnp.sum(grad * (theta0 - theta))
    d = jnp.maximum(d, r / jnp.sum(jnp.abs(s)))
    step = -rate * m / (jnp.sqrt(v) + d * eps)
    return step, {"m": m, "v": v, "s": s, "theta0": theta0, "d": d, "r": r}


def _prodigy_start(theta, first_distance, **_):
    distance = jnp.zeros((), theta.dtype) + first_distance
    return {**zeros("m", "v", "s")(theta), "theta0": theta, "d": distance, "r": jnp.zeros_like(distance)}


def sm3(grad, *, v, m, lr, momentum):
    """AdaGrad that shares its sums between parameters to save memory; on a flat vector it shares nothing."""
    v = v + grad**2
    m = momentum * m + (1 - momentum) * jnp.where(v > 0, grad / jnp.sqrt(v + 1e-8), 0.0)
    return -lr * m, {"v": v, "m": m}


PLAIN = {
    "optax_adabelief": Plain(adabelief, zeros("m", "s")),
    "optax_radam": Plain(radam, zeros("m", "v")),
    "optax_yogi": Plain(yogi, _yogi_start),
    "optax_adamax": Plain(adamax, zeros("m", "u")),
    "optax_prodigy": Plain(prodigy, _prodigy_start),
    "optax_sm3": Plain(sm3, zeros("v", "m")),
}
