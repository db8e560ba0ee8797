"""What a group of vectors is, the problems of the set, and hyper-parameters to begin from."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import map_arrays
from accbo.algorithms import AccBO
from accbo.problems import (
    LowerNoise,
    UpperNoise,
    finite_sum,
    nonquadratic,
    quadratic,
    relaxed_smooth,
)
from accbo.problems.wrapped import ScaledUpper

GRID = 2.0**12  # inputs are multiples of 1/GRID: short, and exact in float32


@dataclass(frozen=True, kw_only=True)
class Group:
    """Vectors that share problem, algorithm and purpose; ``count`` of them."""

    slug: str
    problem: str
    algorithm: Any
    count: int
    kind: str = "step"
    dtype: str = "float64"
    replicates: tuple[int, ...] = ()
    iterations: tuple[int, ...] = (5,)  # t of single steps, one after the other
    steps: int = 0  # of a trajectory, iteration 0 not counted
    warm_start: int = 3
    first: int = 1
    drawn: bool = False  # a state around a point, no two fields alike, and not that of a run
    where: str = "anywhere"  # of what is drawn: or "near a stationary point", "no momentum yet"
    far_x: float = 0.0  # how far from 0 the entries of x lie, on either side
    far_y: float = 0.0
    momentum: float = 0.75  # spread of m in what is drawn
    line: str = ""
    note: str = ""
    fast: int = 0  # the first so many are in the fast tier
    since: int = 1


# --- problems --------------------------------------------------------------------------------

_UPPER = UpperNoise(0.5, 0.25, 0.375, 0.125)
_SKEWED = dataclasses.replace(_UPPER, law="two_point", probability=0.125)
_LOWER = LowerNoise(additive=0.5, curvature=0.25, coupling=0.25)
_NOISY: dict[str, Any] = {"noise_upper": _UPPER, "noise_lower": _LOWER, "form": "matmul"}
_QUIET: dict[str, Any] = {
    "noise_upper": UpperNoise(),
    "noise_lower": LowerNoise(),
    "form": "matmul",
}
_SPECTRA = {
    1: (1.5,),
    2: (1.0, 1.75),
    3: (1.0, 1.375, 2.0),
    4: (0.875, 1.0, 1.5, 2.25),
    5: (0.75, 1.0, 1.25, 1.5, 2.25),
    17: tuple(1 + index / 16 for index in range(17)),
    10: (0.5, 0.625, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 4.0),
}
# the size of F: ‖m‖ near 1e-12; squares underflow in float32; squares underflow in float64
SMALL = {"small": -40, "tiny": -100, "minute": -664}
# squares are large; overflow in float32; overflow in float64
LARGE = {"large": 40, "huge": 80, "vast": 664}
BUILD: dict[str, Any] = {
    "quadratic": quadratic,
    "relaxed_smooth": relaxed_smooth,
    "nonquadratic": nonquadratic,
}


UPPER_TABLES = ("upper_features", "upper_offsets", "upper_labels")


@functools.cache
def problems() -> dict[str, Any]:
    """Every problem of the set by its name, ``kind/what``."""
    found: dict[str, Any] = {}
    for seed, (kind, build) in enumerate(BUILD.items(), start=20):
        options: dict[str, Any] = {"coupling": 1.25, "seed": seed}
        if kind == "relaxed_smooth":
            options |= {"rate": 1.25, "ripple": 0.5, "frequency": 1.5}
        if kind == "nonquadratic":
            options |= {"strength": 0.75, "shift": 1.25}

        def make(name: str, d_x: int, d_y: int, **changes: Any) -> None:
            made = build(_SPECTRA[d_y], d_x, **{**_NOISY, **options, **changes})  # noqa: B023
            found[f"{kind}/{name}"] = _short(made)  # noqa: B023

        make("2x3", 2, 3)
        make("1x1", 1, 1, rotate=False)
        make("1x3", 1, 3, noise_upper=_SKEWED)
        make("4x2", 4, 2)
        make("2x3 without noise", 2, 3, **_QUIET)
        make("5x5", 5, 5)
    found["nonquadratic/3x4"] = _short(nonquadratic(_SPECTRA[4], 3, **_NOISY, seed=31))
    found["nonquadratic/8x10"] = _short(nonquadratic(_SPECTRA[10], 8, **_NOISY, seed=32))
    found["nonquadratic/33x17"] = _short(nonquadratic(_SPECTRA[17], 33, **_NOISY, seed=33))
    for what, exponent in {**SMALL, **LARGE}.items():
        found[f"nonquadratic/2x3 {what}"] = ScaledUpper(found["nonquadratic/2x3"], 2.0**exponent)
    for d_x, d_y in ((2, 3), (3, 2), (1, 1)):
        found[f"finite_sum/{d_x}x{d_y}"] = finite_sum(
            8, d_x, d_y, scale=1.5, upper_batch=3, lower_batch=3, seed=d_x
        )
        found[f"finite_sum/{d_x}x{d_y} terms"] = finite_sum(
            8, d_x, d_y, scale=1.5, upper_batch=1, lower_batch=1, seed=d_x
        )
    whole = found["finite_sum/2x3 terms"]
    found["finite_sum/2x3 terms, 8 of 5"] = dataclasses.replace(
        whole, **{name: getattr(whole, name)[:5] for name in UPPER_TABLES}
    )
    return found


def _short(problem: Any) -> Any:
    """The problem with its data on the grid, and what follows from them computed anew."""
    short = map_arrays(lambda array: np.round(array * GRID) / GRID, problem)
    derived = {"response", "inverse", "steps_per_digit"}
    names = {field.name for field in dataclasses.fields(short)} & derived
    return dataclasses.replace(short, **dict.fromkeys(names))


def scale_of(problem: Any) -> float:
    """l: a sixteenth above 1.25 times the largest curvature of a realisation."""
    inside: Any = problem.problem if isinstance(problem, ScaledUpper) else problem
    scale: float = math.ceil(20 * inside.constants.curvature) / 16
    return scale


# --- hyper-parameters ---------------------------------------------------------------------------

SETTINGS = (  # α, γ, τ, β, η: none at ½, no two alike
    (0.1875, 0.625, 0.3125, 0.8125, 0.046875),
    (0.125, 0.6875, 0.21875, 0.90625, 0.0234375),
    (0.25, 0.4375, 0.375, 0.71875, 0.0703125),
    (0.15625, 0.8125, 0.15625, 0.84375, 0.09375),
)


def accbo_with(problem: str, setting: int, **changes: Any) -> AccBO:
    """AccBO with the hyper-parameters of a setting, l of the problem, and ``changes``."""
    alpha, gamma, tau, beta, eta = SETTINGS[setting % len(SETTINGS)]
    options: dict[str, Any] = {
        "lower_step_size": alpha,
        "lower_momentum": gamma,
        "averaging": tau,
        "momentum": beta,
        "upper_step_size": eta,
        "neumann_terms": 4,
        "neumann_scale": scale_of(problems()[problem]),
    }
    return AccBO(**{**options, **changes})
