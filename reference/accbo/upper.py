"""Steps of the upper level: x moves against a direction."""

from __future__ import annotations

from accbo._arrays import Array, namespace, norm


def gradient_step(x: Array, direction: Array, step_size: float) -> Array:
    """x − η m, shape ``(..., d_x)``."""
    return x - step_size * direction


def normalized_step(x: Array, direction: Array, step_size: float) -> Array:
    """x − η m/‖m‖ with one norm over all of x; x itself where m = 0. Shape ``(..., d_x)``.

    m is divided by max|m| first: the square of 1e-200 underflows, the step must not.
    """
    xp = namespace(x)
    largest = xp.max(xp.abs(direction), axis=-1, keepdims=True)
    scaled = direction / xp.where(largest > 0, largest, 1.0)
    length = norm(scaled)[..., None]
    # length is at least 1 where m is not 0, so the maximum only guards 0/0
    return x - step_size * (scaled / xp.maximum(length, 1.0))
