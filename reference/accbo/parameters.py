"""Hyper-parameters of an algorithm, refused with a message that names them and their range.

For the ``__post_init__`` of a frozen dataclass: each function looks fields up by name.
"""

from __future__ import annotations

import math
from typing import Any


def real(
    algorithm: Any,
    name: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> None:
    """Make the field a float; ``TypeError`` or ``ValueError`` unless it lies in its interval."""
    value = getattr(algorithm, name)
    expected = _interval(least, above, most, below)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number in {expected}, got {value!r}")
    if not (math.isfinite(value) and least <= value <= most and above < value < below):
        raise ValueError(f"{name} must lie in {expected}, got {value!r}")
    object.__setattr__(algorithm, name, float(value))


def positive(algorithm: Any, *names: str) -> None:
    """As :func:`real` for every field, in (0, ∞)."""
    for name in names:
        real(algorithm, name, above=0.0)


def integer(algorithm: Any, *names: str) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless every field is an integer ≥ 1."""
    for name in names:
        value = getattr(algorithm, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an integer >= 1, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {value!r}")


def choice(algorithm: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise ``ValueError`` unless the field is one of ``choices``."""
    value = getattr(algorithm, name)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def _interval(least: float, above: float, most: float, below: float) -> str:
    left = f"[{least:g}" if least > above else f"({above:g}"
    right = f"{most:g}]" if most < below else f"{below:g})"
    return f"{left}, {right}"
