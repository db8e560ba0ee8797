"""Test problems with everything in closed form that has one."""

from accbo.problems._noise import LowerNoise, UpperNoise
from accbo.problems.finite_sum import FiniteSum, finite_sum
from accbo.problems.from_objectives import FromObjectives, from_objectives
from accbo.problems.nonquadratic import NonQuadratic, nonquadratic
from accbo.problems.quadratic import Quadratic, quadratic
from accbo.problems.relaxed_smooth import RelaxedSmooth, relaxed_smooth

__all__ = [
    "FiniteSum",
    "FromObjectives",
    "LowerNoise",
    "NonQuadratic",
    "Quadratic",
    "RelaxedSmooth",
    "UpperNoise",
    "finite_sum",
    "from_objectives",
    "nonquadratic",
    "quadratic",
    "relaxed_smooth",
]
