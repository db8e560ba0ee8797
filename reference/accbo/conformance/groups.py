"""The set of test vectors: problems, and groups of vectors that share a purpose.

A slug is never used twice, and a group that has been released never changes: what is added goes
into groups of its own, with the number of the set that they are new in.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import map_arrays
from accbo.algorithms import AccBO
from accbo.conformance.wrappers import ScaledUpper
from accbo.problems import (
    LowerNoise,
    UpperNoise,
    finite_sum,
    nonquadratic,
    quadratic,
    relaxed_smooth,
)

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
    where: str = "anywhere"  # or "near a stationary point", "no momentum yet"
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
    10: (0.5, 0.625, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 4.0),
}
# the size of F: ‖m‖ near 1e-12; squares underflow in float32; squares underflow in float64
SMALL = {"small": -40, "tiny": -100, "minute": -664}
_BUILD: dict[str, Any] = {
    "quadratic": quadratic,
    "relaxed_smooth": relaxed_smooth,
    "nonquadratic": nonquadratic,
}


@functools.cache
def problems() -> dict[str, Any]:
    """Every problem of the set by its name, ``kind/what``."""
    found: dict[str, Any] = {}
    for seed, (kind, build) in enumerate(_BUILD.items(), start=20):
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
    found["nonquadratic/3x4"] = _short(nonquadratic(_SPECTRA[4], 3, **_NOISY, seed=31))
    found["nonquadratic/8x10"] = _short(nonquadratic(_SPECTRA[10], 8, **_NOISY, seed=32))
    for what, exponent in SMALL.items():
        found[f"nonquadratic/2x3 {what}"] = ScaledUpper(found["nonquadratic/2x3"], 2.0**exponent)
    for d_x, d_y in ((2, 3), (3, 2)):
        found[f"finite_sum/{d_x}x{d_y}"] = finite_sum(
            8, d_x, d_y, scale=1.5, upper_batch=3, lower_batch=3, seed=d_x
        )
        found[f"finite_sum/{d_x}x{d_y} terms"] = finite_sum(
            8, d_x, d_y, scale=1.5, upper_batch=1, lower_batch=1, seed=d_x
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
    inside = problem.problem if isinstance(problem, ScaledUpper) else problem
    return math.ceil(20 * inside.constants.curvature) / 16


# --- the set --------------------------------------------------------------------------------

_SETTINGS = (  # α, γ, τ, β, η: none at ½, no two alike
    (0.1875, 0.625, 0.3125, 0.8125, 0.046875),
    (0.125, 0.6875, 0.21875, 0.90625, 0.0234375),
    (0.25, 0.4375, 0.375, 0.71875, 0.0703125),
    (0.15625, 0.8125, 0.15625, 0.84375, 0.09375),
)
_ALL = "m_t, x_{t+1}, y_{t+1}, ŷ_{t+1}"
SAMPLINGS = ("chained", "independent", "randomised")
ORDERS = ("simultaneous", "sequential")


def groups() -> list[Group]:
    """The set, newest last; a slug is never used twice and never changed."""
    return [group for part in (_generic, _extreme, _special, _float32, _long) for group in part()]


def _algorithm(problem: str, setting: int, **changes: Any) -> AccBO:
    alpha, gamma, tau, beta, eta = _SETTINGS[setting % len(_SETTINGS)]
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


def _generic() -> Iterator[Group]:
    """Every sampling, order and option on every kind of problem."""
    number = 0
    for kind in (*_BUILD, "finite_sum"):
        for order in ORDERS:
            for sampling in SAMPLINGS:
                name, number = f"{kind}/2x3", number + 1
                choice = {"order": order, "neumann_sampling": sampling}
                yield Group(
                    slug=f"{kind}-{order}-{sampling}",
                    problem=name,
                    algorithm=_algorithm(name, number, **choice),
                    count=8,
                    fast=number % 2,
                    line=_ALL,
                )
            restarted = _algorithm(name, number, order=order, period=3, lower_steps=2)
            yield Group(
                slug=f"{kind}-{order}-option-ii",
                problem=name,
                algorithm=restarted,
                count=6,
                fast=1,
                iterations=(6, 7, 8),
                line="Option II",
                note="iterations 6, 9, …: a refresh of two steps; the others: none",
            )
    shapes = ("quadratic/4x2", "relaxed_smooth/4x2", "nonquadratic/4x2", "nonquadratic/3x4")
    for name in (*shapes, "nonquadratic/8x10"):
        number += 1
        yield Group(
            slug=name.replace("/", "-"),
            problem=name,
            algorithm=_algorithm(name, number),
            count=5,
            fast=int(name.startswith("nonquadratic")),
            line="x_{t+1}: one norm over all of x",
        )
    for kind in _BUILD:
        for shape in ("1x1", "1x3"):
            name, number = f"{kind}/{shape}", number + 1
            yield Group(
                slug=name.replace("/", "-"),
                problem=name,
                algorithm=_algorithm(name, number),
                count=4,
                fast=int(shape == "1x1"),
                note="in one dimension m/‖m‖ is a sign",
                line="x_{t+1}",
            )


def _extreme() -> Iterator[Group]:
    """One hyper-parameter at an end of its range."""
    name = "nonquadratic/2x3"
    ends: dict[str, dict[str, Any]] = {
        "beta-0": {"momentum": 0.0},
        "beta-near-1": {"momentum": 1 - 2.0**-10},
        "gamma-0": {"lower_momentum": 0.0},
        "gamma-near-1": {"lower_momentum": 1 - 2.0**-7},
        "tau-1": {"averaging": 1.0},
        "tau-small": {"averaging": 2.0**-7},
        "one-term": {"neumann_terms": 1},
        "two-terms": {"neumann_terms": 2},
        "eight-terms": {"neumann_terms": 8},
        "one-term-independent": {"neumann_terms": 1, "neumann_sampling": "independent"},
        "one-term-randomised": {"neumann_terms": 1, "neumann_sampling": "randomised"},
        "eight-terms-independent": {"neumann_terms": 8, "neumann_sampling": "independent"},
        "long-step": {"upper_step_size": 1.5},
        "short-step": {"upper_step_size": 2.0**-20},
    }
    for number, (what, changes) in enumerate(ends.items()):
        for order in ORDERS:
            yield Group(
                slug=f"{what}-{order}",
                problem=name,
                algorithm=_algorithm(name, number, order=order, **changes),
                count=5,
                fast=int(order == ORDERS[number % 2]),
                line="the ends of the ranges of β, γ, τ, Q and η",
            )


def _special() -> Iterator[Group]:
    """No noise, no momentum, small gradients, replicates."""
    quiet = "nonquadratic/2x3 without noise"
    for order in ORDERS:
        yield Group(
            slug=f"without-noise-{order}",
            problem=quiet,
            algorithm=_algorithm(quiet, 0, order=order),
            count=6,
            fast=1,
            note="a stale or different sample cannot be seen here",
            line="m_t",
        )
        yield Group(
            slug=f"no-momentum-{order}",
            problem="nonquadratic/2x3",
            algorithm=_algorithm("nonquadratic/2x3", 1, order=order),
            count=4,
            fast=1,
            where="no momentum yet",
            note="m_{t−1} = 0",
            line="m_t",
        )
        for what in ("small", "minute"):
            name = f"nonquadratic/2x3 {what}"
            yield Group(
                slug=f"{what}-gradients-{order}",
                problem=name,
                algorithm=_algorithm(name, 2, order=order),
                count=6,
                fast=2 if what == "minute" else 1,
                note=f"F is scaled by 2^{SMALL[what]}: the step is η all the same",
                line="x_{t+1}: any m that is not 0 moves x by η",
            )
    yield Group(
        slug="near-stationary",
        problem=quiet,
        algorithm=_algorithm(quiet, 3),
        count=6,
        fast=1,
        where="near a stationary point",
        note="‖m‖ is small, so that rounding in m turns the step: see the tolerances",
        line="x_{t+1}",
    )
    for number, kind in enumerate((*_BUILD, "finite_sum")):
        name = f"{kind}/2x3"
        for sampling in SAMPLINGS:
            yield Group(
                slug=f"{kind}-{sampling}-replicates",
                problem=name,
                algorithm=_algorithm(name, 1, neumann_sampling=sampling),
                count=2,
                fast=int(sampling == SAMPLINGS[number % 3]),
                replicates=(3,),
                note="three independent replicates along a leading axis",
                line="one norm per replicate",
            )


def _float32() -> Iterator[Group]:
    """Inputs exact in float32, tolerances of float32."""
    for number, order in enumerate(ORDERS):
        for sampling in SAMPLINGS:
            name = "nonquadratic/2x3"
            yield Group(
                slug=f"float32-{order}-{sampling}",
                problem=name,
                algorithm=_algorithm(name, number, order=order, neumann_sampling=sampling),
                count=5,
                fast=int(sampling == SAMPLINGS[number]),
                dtype="float32",
                line=f"{_ALL}, in single precision",
            )
    for number, name in enumerate(
        ("quadratic/4x2", "relaxed_smooth/1x3", "finite_sum/3x2", "nonquadratic/2x3 tiny")
    ):
        yield Group(
            slug=f"float32-{name.replace('/', '-').replace(' ', '-')}",
            problem=name,
            algorithm=_algorithm(name, number),
            count=5,
            fast=int(number > 1),
            dtype="float32",
            line="x_{t+1}, in single precision",
            note="squares of m underflow in float32" if name.endswith("tiny") else "",
        )


def _long() -> Iterator[Group]:
    """Trajectories from y_init on: warm start, m_0, and faults with a memory."""
    names = [f"{kind}/2x3" for kind in (*_BUILD, "finite_sum")]
    for number, name in enumerate(names):
        kind = name.split("/")[0]
        variants: dict[str, dict[str, Any]] = {
            "simultaneous": {},
            "sequential": {"order": "sequential"},
            "option-ii": {"period": 3, "lower_steps": 2},
            "option-ii-sequential": {"period": 2, "lower_steps": 3, "order": "sequential"},
            "independent": {"neumann_sampling": "independent"},
            "randomised": {"neumann_sampling": "randomised", "order": "sequential"},
        }
        for index, (what, changes) in enumerate(variants.items()):
            yield Group(
                slug=f"trajectory-{kind}-{what}",
                problem=name,
                algorithm=_algorithm(name, number + index, **changes),
                count=1,
                fast=int(index == number or what.startswith("option")),
                kind="trajectory",
                steps=7,
                first=1 + index % 2,
                line="start; iteration t",
            )
    for number, name in enumerate(names):
        kind = name.split("/")[0]
        yield Group(
            slug=f"trajectory-{kind}-float32",
            problem=name,
            algorithm=_algorithm(name, number),
            count=1,
            kind="trajectory",
            dtype="float32",
            steps=5,
            line="start; iteration t",
        )
    for order in ORDERS:
        minute = "nonquadratic/2x3 minute"
        yield Group(
            slug=f"trajectory-minute-{order}",
            problem=minute,
            algorithm=_algorithm(minute, 3, order=order),
            count=1,
            kind="trajectory",
            steps=5,
            note="squares of m underflow in every step",
            line="x_{t+1}: any m that is not 0 moves x by η",
        )
    yield Group(
        slug="trajectory-cold",
        problem="nonquadratic/2x3",
        algorithm=_algorithm("nonquadratic/2x3", 0),
        count=2,
        fast=1,
        kind="trajectory",
        steps=4,
        warm_start=0,
        line="start: T0 = 0 leaves y_init",
    )
    yield Group(
        slug="trajectory-without-noise",
        problem="nonquadratic/2x3 without noise",
        algorithm=_algorithm("nonquadratic/2x3 without noise", 0),
        count=1,
        kind="trajectory",
        steps=6,
        line="start; iteration t",
    )
    yield Group(
        slug="trajectory-replicates",
        problem="nonquadratic/2x3",
        algorithm=_algorithm("nonquadratic/2x3", 2),
        count=1,
        fast=1,
        kind="trajectory",
        replicates=(3,),
        steps=4,
        first=2,
        line="start; iteration t",
    )
    for name in ("relaxed_smooth/2x3", "nonquadratic/2x3"):
        yield Group(
            slug=f"trajectory-{name.split('/')[0]}-50",
            problem=name,
            algorithm=_algorithm(name, 1),
            count=1,
            kind="trajectory",
            steps=49,
            first=2,
            line="start; iteration t",
        )
