"""Ways to make a mistake that are read off an implementation's own numbers: ε, and a threshold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from accbo.conformance.cases import norms
from accbo.conformance.mistakes.mistake import Choices, Fault
from accbo.conformance.mistakes.upper import clipped, guarded
from accbo.conformance.observation import Observation

CLIPPING, GUARD = "clipping", "ε in the norm"
DIGITS = (1, 2, 3, 10)  # to which a fitted number is rounded: it was a short one


def with_fitted_ways(
    faults: Mapping[str, Fault], failing: Sequence[Observation]
) -> dict[str, Fault]:
    """``faults``, those with a free number led by the numbers that ``failing`` shows."""
    found = dict(faults)
    lengths = list(_lengths(failing))
    for name, ways in (
        (CLIPPING, _thresholds(lengths)),
        (GUARD, _guards(lengths)),
    ):
        if name in found and ways:
            found[name] = _led(found[name], ways)
    return found


def _led(fault: Fault, ways: Sequence[Choices]) -> Fault:
    return fault._replace(others=lambda algorithm: [*ways, *fault.others(algorithm)])


def _lengths(failing: Sequence[Observation]) -> Iterator[tuple[float, float]]:
    """‖m‖ and ‖x_{t+1} − x_t‖/η of the single steps that are too short."""
    for one in failing:
        if one.mode != "step" or one.vector.replicates:
            continue
        after, eta = one.states[0], one.vector.algorithm.upper_step_size
        m = after.get("momentum", one.vector.expected[0].get("momentum"))
        if m is None:
            continue
        length = float(norms(after["x"] - one.vector.before(0).x)) / eta
        if math.isfinite(length) and 0 < length < 1 - 1e-12:
            yield float(norms(m)), length


def _thresholds(lengths: Sequence[tuple[float, float]]) -> list[Choices]:
    """x moves by η ‖m‖/c where ‖m‖ < c."""
    if not lengths:
        return []
    m, length = min(lengths, key=lambda pair: pair[1])
    return [(clipped(c),) for c in _rounded(m / length)]


def _guards(lengths: Sequence[tuple[float, float]]) -> list[Choices]:
    if not lengths:
        return []
    m, length = min(lengths, key=lambda pair: pair[1])
    values = {
        "sum": m * (1 / length - 1),
        "root": m * m * (1 / length**2 - 1),
        "maximum": m / length,
    }
    return [(guarded(s, e),) for s, value in values.items() for e in _rounded(value)[:2]]


def _rounded(value: float) -> list[float]:
    if not math.isfinite(value) or value <= 0:
        return []
    return list(dict.fromkeys(float(f"{value:.{digits - 1}e}") for digits in DIGITS))


def both_sides_seen(names: Sequence[str], observations: Sequence[Observation]) -> bool:
    """Whether steps of length η and shorter ones were seen, if clipping is among ``names``."""
    if CLIPPING not in names:
        return True
    shares = [share for one in observations for share in _shares(one)]
    return any(share > 1 - 1e-9 for share in shares) and any(share < 1 - 1e-6 for share in shares)


def _shares(one: Observation) -> Iterator[Any]:
    """‖x_{t+1} − x_t‖/η of every step that was shown from a known x."""
    eta = one.vector.algorithm.upper_step_size
    before = [one.vector.x] if one.mode == "start" else [one.vector.before(0).x]
    if one.mode in ("start", "free"):
        before += [state["x"] for state in one.states]
    elif one.mode == "forced":
        before = [one.vector.before(index).x for index in range(len(one.states))]
    for old, state in zip(before, one.states, strict=False):
        yield from np.ravel(norms(state["x"] - old) / eta)
