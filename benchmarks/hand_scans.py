"""MA-SOBA and SUSTAIN as one ``lax.scan`` each, written by hand on the quadratic problem.

Several ways each; the fastest counts. ``p`` is the problem, of which the matrices and scales are
read and no method is called, ``a`` the algorithm, of which the sizes are read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

State = tuple[Any, ...]
Step = Callable[[Any, Any, State, Any], State]


def grad_x_upper(p: Any, x: Any, xi: Any) -> Any:
    """∇_x F."""
    n = p.noise_upper
    noise = n.additive_x * xi["additive_x"] + n.multiplicative_x * xi["multiplicative_x"] * x
    return p.weights * x + noise


def grad_y_upper(p: Any, y: Any, xi: Any) -> Any:
    """∇_y F."""
    n = p.noise_upper
    noise = n.additive_y * xi["additive_y"] + n.multiplicative_y * xi["multiplicative_y"] * y
    return y - p.target + noise


def grad_y_lower(p: Any, x: Any, y: Any, product: Any, pi: Any) -> Any:
    """∇_y G; ``product`` is Hy."""
    n, coupled = p.noise_lower, x @ p.coupling.T
    noise = n.additive * pi["additive"] + n.curvature * pi["curvature"] * y
    return product - coupled + noise - n.coupling * pi["coupling"] * coupled


def cross_lower(p: Any, v: Any, zeta: Any) -> Any:
    """∇²_xy G v."""
    return -(v + p.noise_lower.coupling * zeta["coupling"] * v) @ p.coupling


# --- MA-SOBA: x, y, z, h -------------------------------------------------------------------


def masoba(stacked: bool, p: Any, a: Any, state: State, s: Any) -> State:
    """One iteration; ``stacked``: y and z meet H in one product."""
    x, y, z, h = state
    if stacked:
        by_y, by_z = jnp.stack((y, z)) @ p.hessian
    else:
        by_y, by_z = y @ p.hessian, z @ p.hessian
    gradient = grad_y_lower(p, x, y, by_y, {name: leaf[0] for name, leaf in s.lower.items()})
    product = by_z + p.noise_lower.curvature * s.hessian["curvature"] * z
    residual = product - grad_y_upper(p, y, s.upper_y)
    direction = grad_x_upper(p, x, s.upper) - cross_lower(p, z, s.cross)
    return (
        x - a.upper_step_size * h,
        y - a.lower_step_size * gradient,
        z - a.linear_step_size * residual,
        a.momentum * h + (1 - a.momentum) * direction,
    )


# --- SUSTAIN: x, x_old, y, y_old, u, m, t --------------------------------------------------


def series(masked: bool, p: Any, a: Any, v: Any, s: Any) -> Any:
    """(Q/l) Π_{j ≤ q} (I − H_j/l) v; ``masked``: a factor of 0 instead of a choice."""
    inverse, q = 1 / a.neumann_scale, s.power["power"]
    zetas, power = s.hessian["curvature"], v
    for j in range(1, a.neumann_terms):
        product = power @ p.hessian + p.noise_lower.curvature * zetas[j - 1] * power
        if masked:
            power = power - jnp.where(q >= j, inverse, 0.0) * product
        else:
            power = jnp.where(q >= j, power - inverse * product, power)
    return a.neumann_terms * inverse * power


def sustain(stacked: bool, masked: bool, p: Any, a: Any, state: State, s: Any) -> State:
    """One iteration; ``stacked``: the two points go through every product together."""
    x, x_old, y, y_old, u, m, t = state
    pi = {name: leaf[0] for name, leaf in s.lower.items()}

    def both(x: Any, y: Any) -> tuple[Any, Any]:
        z = series(masked, p, a, grad_y_upper(p, y, s.upper), s)
        direction = grad_x_upper(p, x, s.upper) - cross_lower(p, z, s.cross)
        return grad_y_lower(p, x, y, y @ p.hessian, pi), direction

    if stacked:
        (g, g_old), (d, d_old) = both(jnp.stack((x, x_old)), jnp.stack((y, y_old)))
    else:
        (g, d), (g_old, d_old) = both(x, y), both(x_old, y_old)
    eta = (a.offset + t - 1) ** (-2 / 3)
    size = (a.offset + t) ** (-1 / 3)
    u = g + (1 - a.lower_averaging * eta) * (u - g_old)
    m = d + (1 - a.upper_averaging * eta) * (m - d_old)
    x_next, y_next = x - a.upper_step_size * size * m, y - a.lower_step_size * size * u
    return x_next, x, y_next, y, u, m, t + 1


@partial(jax.jit, static_argnums=0)
def run(step: Step, p: Any, a: Any, state: State, samples: Any) -> State:
    """The state after as many iterations as ``samples`` has."""
    return lax.scan(lambda state, s: (step(p, a, state, s), None), state, samples)[0]


FORMS: dict[str, dict[str, Step]] = {
    "MA-SOBA": {
        "apart": partial(masoba, False),
        "stacked": partial(masoba, True),
    },
    "SUSTAIN": {
        "apart": partial(sustain, False, False),
        "stacked": partial(sustain, True, False),
        "apart, masked": partial(sustain, False, True),
        "stacked, masked": partial(sustain, True, True),
    },
}
