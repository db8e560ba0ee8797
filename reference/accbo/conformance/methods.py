"""The algorithms that the oracle knows: the one table to add another to.

Beside an entry here an algorithm takes its class and its state in ``accbo.algorithms``, a file of
``catalogues`` and, made by ``accbo vectors generate --algorithm NAME``, a file of vectors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accbo._foreign import read
from accbo.conformance.catalogues import (
    borep,
    masoba,
    saba,
    slip,
    stocbio,
    sustain,
    ttsa,
    vrbo,
)
from accbo.conformance.fault import Fault
from accbo.conformance.faults import FAULTS
from accbo.conformance.vector import ACCBO, expect_method


@dataclass(frozen=True)
class Method:
    """What the oracle needs to know of an algorithm.

    ``settings`` are hyper-parameters of its vectors, none at ½ and no two alike; where
    ``neumann_terms`` is among them the scale l is added. ``problems`` are those of its vectors,
    ``follows`` maps a field to those of the same step that it is computed from.
    """

    faults: Mapping[str, Fault]
    settings: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()
    follows: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def _catalogue(faults: tuple[Fault, ...]) -> dict[str, Fault]:
    return {fault.name: fault for fault in faults}


_NOISY = ("nonquadratic/2x3", "nonquadratic/3x4", "quadratic/2x3", "finite_sum/2x3")
_SUMS = ("finite_sum/2x3 terms", "finite_sum/3x2 terms")

METHODS: dict[str, Method] = {
    ACCBO: Method(FAULTS),
    "SLIP": Method(
        _catalogue(slip.CATALOGUE),
        (
            {
                "lower_step_size": 0.1875,
                "linear_step_size": 0.15625,
                "momentum": 0.8125,
                "upper_step_size": 0.046875,
            },
            {
                "lower_step_size": 0.125,
                "linear_step_size": 0.21875,
                "momentum": 0.71875,
                "upper_step_size": 0.0703125,
            },
        ),
        _NOISY,
        {"x": ("momentum",)},
    ),
    "SABA": Method(
        _catalogue(saba.CATALOGUE),
        (
            {"lower_step_size": 0.1875, "linear_step_size": 0.28125, "upper_step_size": 0.109375},
            {"lower_step_size": 0.3125, "linear_step_size": 0.21875, "upper_step_size": 0.078125},
        ),
        _SUMS,
    ),
    "SUSTAIN": Method(
        _catalogue(sustain.CATALOGUE),
        (
            {
                "lower_step_size": 0.28125,
                "upper_step_size": 0.078125,
                "lower_averaging": 0.84375,
                "upper_averaging": 0.71875,
                "offset": 2.75,
                "neumann_terms": 4,
            },
            {
                "lower_step_size": 0.34375,
                "upper_step_size": 0.109375,
                "lower_averaging": 0.59375,
                "upper_averaging": 0.90625,
                "offset": 1.75,
                "neumann_terms": 4,
            },
        ),
        _NOISY,
        {"x": ("momentum",), "y": ("lower_momentum",)},
    ),
    "VRBO": Method(
        _catalogue(vrbo.CATALOGUE),
        (
            {
                "lower_step_size": 0.1875,
                "upper_step_size": 0.0703125,
                "period": 3,
                "lower_steps": 2,
                "large_batch": 4,
                "small_batch": 2,
                "neumann_terms": 4,
            },
            {
                "lower_step_size": 0.15625,
                "upper_step_size": 0.046875,
                "period": 2,
                "lower_steps": 2,
                "large_batch": 3,
                "small_batch": 2,
                "neumann_terms": 4,
            },
        ),
        _NOISY,
        {"y": ("x", "lower_estimate"), "estimate": ("x",), "lower_estimate": ("x",)},
    ),
    "TTSA": Method(
        _catalogue(ttsa.CATALOGUE),
        (
            {
                "lower_step_size": 0.28125,
                "upper_step_size": 0.109375,
                "offset": 1.75,
                "neumann_terms": 4,
            },
            {
                "lower_step_size": 0.34375,
                "upper_step_size": 0.078125,
                "offset": 2.75,
                "neumann_terms": 4,
            },
        ),
        _NOISY,
        {"x": ("y",)},
    ),
    "StocBiO": Method(
        _catalogue(stocbio.CATALOGUE),
        (
            {
                "lower_step_size": 0.1875,
                "upper_step_size": 0.078125,
                "lower_steps": 3,
                "lower_batch": 2,
                "upper_batch": 3,
                "neumann_terms": 4,
            },
            {
                "lower_step_size": 0.15625,
                "upper_step_size": 0.109375,
                "lower_steps": 2,
                "lower_batch": 3,
                "upper_batch": 2,
                "neumann_terms": 4,
            },
        ),
        _NOISY,
        {"x": ("y",)},
    ),
    "MASOBA": Method(
        _catalogue(masoba.CATALOGUE),
        (
            {
                "lower_step_size": 0.1875,
                "linear_step_size": 0.15625,
                "momentum": 0.8125,
                "upper_step_size": 0.109375,
            },
            {
                "lower_step_size": 0.125,
                "linear_step_size": 0.21875,
                "momentum": 0.71875,
                "upper_step_size": 0.078125,
            },
        ),
        _NOISY,
    ),
    "BOREP": Method(
        _catalogue(borep.CATALOGUE),
        (
            {
                "lower_step_size": 0.1875,
                "linear_step_size": 0.15625,
                "momentum": 0.8125,
                "upper_step_size": 0.046875,
                "period": 3,
                "lower_steps": 3,
            },
            {
                "lower_step_size": 0.125,
                "linear_step_size": 0.21875,
                "momentum": 0.71875,
                "upper_step_size": 0.0703125,
                "period": 2,
                "lower_steps": 2,
            },
        ),
        _NOISY,
        {"x": ("momentum",)},
    ),
}


def catalogue(name: str) -> Mapping[str, Fault]:
    """The known mistakes of an algorithm; raises ``ValueError`` for a name that is none."""
    return METHODS[known(name)].faults


def known(name: str) -> str:
    """``name``; raises ``ValueError`` with the nearest name where the oracle does not know it."""
    return expect_method(name, tuple(METHODS))


def declared(factory: Any, name: str | None = None) -> str:
    """The algorithm that a factory is to be held to: ``name``, its own ``algorithm``, or AccBO."""
    own = read(factory, "algorithm")
    return known(name or (own if isinstance(own, str) else ACCBO))
