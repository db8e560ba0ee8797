"""AccBO as one would write it by hand in NumPy: no classes, no buffers, at most 40 lines."""

from typing import Any

import numpy as np


def hypergradient(k: Any, s: Any, x: Any, y: Any) -> Any:
    """h(x, y) on one sample."""
    power = total = y - k.t + k.a_y * s.a_y + k.b_y * s.b_y * y
    for zeta in s.zeta:
        power = power - (power @ k.H + k.c * zeta * power) / k.scale
        total = total + power
    v = total / k.scale
    return k.w * x + k.a_x * s.a_x + k.b_x * s.b_x * x + (v + k.e * s.cross * v) @ k.C


def run(k: Any, noise: Any, state: Any, steps: int, stacked: bool = False) -> Any:
    """The state after ``steps`` steps; ``stacked`` evaluates both points in one call."""
    x, x_old, y, y_old, mean, mean_old, m = state
    for i in range(steps):
        s = type(noise)(*[leaf[i] for leaf in noise])
        if stacked:
            new, old = hypergradient(k, s, np.stack((x, x_old)), np.stack((mean, mean_old)))
        else:
            new, old = hypergradient(k, s, x, mean), hypergradient(k, s, x_old, mean_old)
        m = new + k.beta * (m - old)
        x_next = x - k.eta * m / np.sqrt(np.sum(m * m, axis=-1, keepdims=True))
        z = y + k.gamma * (y - y_old)
        coupled = x @ k.C.T
        gradient = z @ k.H - coupled + k.a * s.additive
        gradient = gradient + k.c * s.curvature * z - k.e * s.coupling * coupled
        y, y_old = z - k.alpha * gradient, y
        mean, mean_old = (1 - k.tau) * mean + k.tau * y, mean
        x, x_old = x_next, x
    return x, x_old, y, y_old, mean, mean_old, m
