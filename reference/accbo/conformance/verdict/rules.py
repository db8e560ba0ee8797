"""Mistakes that no replay can decide: a sample of one's own, and roundings of single precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from accbo.conformance.running.observation import Observation, departs, departures, fails
from accbo.conformance.verdict.locate import CLOSE, local
from accbo.rounding import norms

MOST = 0.9  # of the cases in which a mistake can be seen must show it
LEAST, LARGEST = (float(getattr(np.finfo(np.float32), name)) for name in ("tiny", "max"))
SINGLE = 2.0**29  # a rounding of single precision in those of double


def by_elimination(usable: Sequence[Observation], failing: Sequence[Observation]) -> bool:
    """A fresh sample at the old point: its numbers are not known, where it shows is.

    Right without noise, so the function is right; right with noise at β = 0, so the new point
    meets the given sample; wrong in m with noise and β > 0 alone.
    """
    single = [one for one in usable if one.mode == "step"]
    beta = [one for one in usable if getattr(one.vector.algorithm, "momentum", 1) == 0]
    quiet = [one for one in usable if not one.vector.problem.upper_noise]
    noisy = [one for one in single if one not in beta and one.vector.problem.upper_noise]
    wrong = [one for one in noisy if fails(one)]
    return bool(
        beta
        and quiet
        and len(wrong) > MOST * len(noisy) > 0
        and not any(map(fails, (*beta, *quiet)))
        and all(set(local(one, 0)) <= {"momentum"} for one in wrong)
        and all(_unit_step(one) for one in wrong)
    )


def _unit_step(observation: Observation) -> bool:
    before, eta = observation.vector.before(0), observation.vector.algorithm.upper_step_size
    lengths = norms(observation.states[0]["x"] - before.x)
    return bool(np.all(np.abs(lengths - eta) <= 1e-6 * eta))


def single_precision(usable: Sequence[Observation], failing: Sequence[Observation]) -> bool:
    """Wrong numbers that are all exact in float32, off by its roundings, in float64 cases alone."""
    doubles = [one for one in usable if one.vector.dtype == "float64"]
    wrong = [one for one in failing if one.vector.dtype == "float64"]
    if len(wrong) < len(failing) or len(wrong) < MOST * len(doubles):
        return False
    return all(map(_as_in_float32, wrong))


def _as_in_float32(observation: Observation) -> bool:
    """Whether what is wrong of itself is a float32, and nothing departs further than it does."""
    off = list(filter(departs, departures(observation)))
    if any(not LEAST <= abs(found.expected) <= LARGEST for found in off if found.expected):
        return True  # beyond what a float32 holds: no evidence
    names = {name for index in range(len(observation.states)) for name in local(observation, index)}
    if observation.mode in ("start", "free"):  # what follows has other causes of its own
        names = {found.quantity for found in off}
    values = [state[name] for state in observation.states for name in names if name in state]
    exact = bool(values) and all(np.array_equal(v, v.astype(np.float32)) for v in values)
    if observation.mode in ("start", "free") and not exact:
        exact = bool(off)  # the single steps decide
    return exact and all(found.ratio / SINGLE <= CLOSE for found in off)
