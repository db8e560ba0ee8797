"""Every relation is seen to fail: each of these faults turns it red on one fixed case."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from accbo import AccBO, Tape, move
from accbo.conformance.faults import FAULTS
from accbo.problems import LowerNoise, UpperNoise, finite_sum, nonquadratic
from accbo.problems.wrapped import Wrapped
from accbo.relations.case import Case
from accbo.relations.relations import RELATIONS

SERIES = ["series from q = 1", "1/l missing", "random term without Q", "sign of the implicit term"]
KILLS = {
    "scaling": ["no normalisation", "clipping", "samples normalised", "ε in the norm"],
    "step length": ["norm per block", "no normalisation", "ε in the norm"],
    "permutation": ["different sample"],
    "splitting": ["different sample"],
    "padding": ["norm per block"],
    "rotation": ["norm per block"],
    "translation": ["cross derivative at the wrong point"],
    "sgd below": ["γ as 1−γ", "τ and 1−τ swapped"],
    "sgd above": ["correction without β", "samples normalised"],
    "isotropic": SERIES,
    "noise free": ["random term without Q"],
    "momentum without noise": [
        "old point at (x_{t−1}, ŷ_t)",
        "no correction",
        "hypergradient at y",
        "cross derivative at the wrong point",
        *SERIES,
    ],
    "own samples": ["upper batch reused below", "upper gradient leaks"],
    "taylor": [*SERIES, "cross derivative at the wrong point"],
    "derivatives": [*SERIES, "one term too few", "one term too many"],
    "solve": SERIES,
}


def case(like: Any) -> Case:
    """Noise in every part, no two parameters alike, a lower level that is not quadratic."""
    problem = nonquadratic(
        (1.0, 1.7, 2.5),
        4,
        noise_upper=UpperNoise(0.5, 0.3, 0.4, 0.2),
        noise_lower=LowerNoise(0.3, 0.2, 0.2),
        form="matmul",
    )
    scale = 1.2 * problem.constants.curvature
    algorithm = AccBO(
        lower_step_size=0.3 / scale,
        lower_momentum=0.6,
        averaging=0.3,
        momentum=0.8,
        upper_step_size=0.05,
        neumann_terms=4,
        neumann_scale=scale,
    )
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((4, 4)), generator.standard_normal((4, 3))
    return Case(algorithm, *(move(part, like) for part in (problem, x, y)), Tape(3), warm_start=2)


def batches() -> Any:
    """The same on a sum of finitely many terms: a sample is a batch of indices."""
    like = np.zeros(1)
    problem = finite_sum(7, 3, 2, upper_samples=7)
    base = case(like)
    return base._replace(problem=problem, x=base.x[:, :3], y=base.y[:, :2])


def place(name: str) -> Any:
    if name != "derivatives":
        return np.zeros(1)
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.zeros(1)


def test_every_relation_has_a_fault_that_it_catches() -> None:
    assert KILLS.keys() == RELATIONS.keys()
    assert all(KILLS.values())


@pytest.mark.parametrize(("name", "fault"), [(n, f) for n, faults in KILLS.items() for f in faults])
def test_relation_catches(name: str, fault: str) -> None:
    right = batches() if name == "own samples" else case(place(name))
    assert RELATIONS[name](right).holds
    outcome = RELATIONS[name](right._replace(build=FAULTS[fault].apply))
    assert not outcome.holds


@dataclasses.dataclass(frozen=True, eq=False)
class WrongSide(Wrapped):
    """∇²_xy G v of the wrong sign, everything else right."""

    def cross_lower(self, x: Any, y: Any, v: Any, sample: Any = None) -> Any:
        return -self.problem.cross_lower(x, y, v, sample)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.problem, name)


@pytest.mark.parametrize("name", ["taylor", "derivatives"])
def test_relation_catches_a_wrong_derivative_of_the_problem(name: str) -> None:
    right = case(place(name))
    assert not RELATIONS[name](right._replace(problem=WrongSide(right.problem))).holds


def test_the_length_of_a_step_reveals_clipping_of_a_short_momentum() -> None:
    right = case(np.zeros(1))
    small = right._replace(problem=dataclasses.replace(right.problem, weights=0 * right.x[0]))
    small = small._replace(problem=Scaled(small.problem))
    assert RELATIONS["step length"](small).holds
    assert not RELATIONS["step length"](small._replace(build=FAULTS["clipping"].apply)).holds


class Scaled(Wrapped):
    """F times 2⁻²⁰: ‖m‖ < 1, where clipping does not normalise."""

    def outer_x(self, derivative: Any) -> Any:
        return derivative * 2.0**-20
