"""AccBO as one ``lax.scan``, written by hand several ways; the fastest counts at each size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.case import Noise, Numbers

State = Any  # x, x_old, y, y_old, ŷ, ŷ_old, m
Series = Callable[[Numbers, Any, Any], Any]


def unrolled(k: Numbers, zetas: Any, v: Any) -> Any:
    """(1/l) Σ_q p_q with the factors written out."""
    power = total = v
    for q in range(zetas.shape[0]):
        power = power - (power @ k.H + k.c * zetas[q] * power) / k.scale
        total = total + power
    return total / k.scale


def multiplied(k: Numbers, zetas: Any, v: Any) -> Any:
    """Written out, with one division for all factors: faster than one for each."""
    inverse = 1 / k.scale
    power = total = v
    for q in range(zetas.shape[0]):
        power = power - inverse * (power @ k.H + k.c * zetas[q] * power)
        total = total + power
    return inverse * total


def looped(k: Numbers, zetas: Any, v: Any) -> Any:
    """The same as an inner scan over the factors."""

    def factor(carry: tuple[Any, Any], zeta: Any) -> tuple[tuple[Any, Any], None]:
        power, total = carry
        power = power - (power @ k.H + k.c * zeta * power) / k.scale
        return (power, total + power), None

    return lax.scan(factor, (v, v), zetas)[0][1] / k.scale


def folded(k: Numbers, zetas: Any, v: Any) -> Any:
    """Written out, with I − H/l multiplied out beforehand."""
    matrix = jnp.eye(k.H.shape[0]) - k.H / k.scale
    power = total = v
    for q in range(zetas.shape[0]):
        power = power @ matrix - (k.c / k.scale) * zetas[q] * power
        total = total + power
    return total / k.scale


def step(series: Series, stacked: bool, k: Numbers, state: State, s: Noise) -> State:
    """One step on one sample."""
    x, x_old, y, y_old, mean, mean_old, m = state

    def hypergradient(x: Any, y: Any) -> Any:
        v = series(k, s.zeta, y - k.t + k.a_y * s.a_y + k.b_y * s.b_y * y)
        return k.w * x + k.a_x * s.a_x + k.b_x * s.b_x * x + (v + k.e * s.cross * v) @ k.C

    if stacked:
        new, old = hypergradient(jnp.stack((x, x_old)), jnp.stack((mean, mean_old)))
    else:
        new, old = hypergradient(x, mean), hypergradient(x_old, mean_old)
    m = new + k.beta * (m - old)
    x_next = x - k.eta * m / jnp.sqrt(jnp.sum(m * m, axis=-1, keepdims=True))
    z = y + k.gamma * (y - y_old)
    coupled = x @ k.C.T
    gradient = z @ k.H - coupled + k.a * s.additive
    gradient = gradient + k.c * s.curvature * z - k.e * s.coupling * coupled
    y_next = z - k.alpha * gradient
    mean_next = (1 - k.tau) * mean + k.tau * y_next
    return x_next, x, y_next, y, mean_next, mean, m


@partial(jax.jit, static_argnums=(0, 1))
def run(series: Series, stacked: bool, k: Numbers, noise: Noise, state: State) -> State:
    """The state after as many steps as ``noise`` has."""

    def advance(state: State, s: Noise) -> tuple[State, None]:
        return step(series, stacked, k, state, s), None

    return lax.scan(advance, state, noise)[0]


FORMS: dict[str, tuple[Series, bool]] = {
    "unrolled": (unrolled, False),
    "unrolled, stacked": (unrolled, True),
    "multiplied": (multiplied, False),
    "multiplied, stacked": (multiplied, True),
    "looped": (looped, False),
    "folded": (folded, False),
}
