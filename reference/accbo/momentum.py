"""Momentum of the upper level, each rule fed with a gradient *function*.

A function, not a number: the rule itself evaluates it at both points, so that both
meet the same sample. That is the whole of the variance reduction.
"""

from __future__ import annotations

from collections.abc import Callable

from accbo._arrays import Array, evaluate_pair

Point = tuple[Array, Array]  # (x, y)
Gradient = Callable[[Array, Array], Array]


def recursive_momentum(
    gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float
) -> Array:
    """m_t = h(new) + β (m_{t−1} − h(old)), one sample for both; shape ``(..., d_x)``."""
    at_new, at_old = evaluate_pair(gradient, new, old)
    return at_new + decay * (momentum - at_old)


def moving_average(gradient: Gradient, new: Point, momentum: Array, decay: float) -> Array:
    """m_t = β m_{t−1} + (1 − β) h(new); shape ``(..., d_x)``."""
    return decay * momentum + (1 - decay) * gradient(*new)
