"""The laws of noise: four by name, and functions of one's own.

A function takes uniform numbers from (0, 1), an array of any shape, and returns noise of that
shape, entry by entry, with mean 0 and variance 1: the inverse of a distribution function. The
numbers stay the tape's, so that a run is reproducible and its samples are the same on every
array library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Law = str | Callable[[np.ndarray], np.ndarray]
LAWS = ("normal", "two_point", "sign", "index")

_POINTS = 1 << 18  # midpoints on which the two moments are taken
_NEAR = 0.05  # what the midpoints may miss of a heavy tail


def expect_law(law: Any, where: str, known: Sequence[str] = LAWS) -> None:
    """Raise ``ValueError`` unless ``law`` is one of ``known``, or a function with moments 0 and 1.

    ``where`` begins the message. A name may be left out of ``known`` where it makes no sense.
    """
    if isinstance(law, str) and law in known:
        return
    if not callable(law):
        raise ValueError(f"{where} must be {_listed(known)}, got {law!r}")
    grid = (np.arange(_POINTS) + 0.5) / _POINTS
    values = evaluate(law, grid, where)
    mean, variance = float(np.mean(values)), float(np.var(values))
    if not (abs(mean) <= _NEAR and abs(variance - 1) <= _NEAR):
        raise ValueError(
            f"{where} must have mean 0 and variance 1, that of {name_of(law)} has "
            f"{mean:.3g} and {variance:.3g}"
        )


def evaluate(law: Callable[[np.ndarray], np.ndarray], uniform: np.ndarray, where: str) -> Any:
    """``law`` of ``uniform``; raises ``ValueError`` unless numbers of the same shape come back."""
    values = np.asarray(law(uniform))
    if values.shape != uniform.shape or values.dtype.kind != "f" or not np.all(np.isfinite(values)):
        said = "numbers that are not finite" if values.shape == uniform.shape else values.shape
        raise ValueError(
            f"{where}: {name_of(law)} must map an array of shape {uniform.shape} to finite real "
            f"numbers of that shape, got {said} of {values.dtype}"
        )
    return values.astype(np.float64, copy=False)


def _listed(known: Sequence[str]) -> str:
    return f"{', '.join(known)} or a function of uniform numbers"


def name_of(law: Law) -> str:
    """The law's name, for messages and labels."""
    return law if isinstance(law, str) else getattr(law, "__name__", type(law).__name__)
