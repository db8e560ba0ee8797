"""Test problems with everything in closed form that has one."""

from accbo.problems._noise import LowerNoise, UpperNoise
from accbo.problems.deep_auc import DeepAUC, deep_auc
from accbo.problems.finite_sum import FiniteSum, finite_sum
from accbo.problems.from_jax import from_jax
from accbo.problems.from_objectives import FromObjectives, from_objectives
from accbo.problems.from_torch import from_torch
from accbo.problems.hyper_cleaning import HyperCleaning, corrupt, hyper_cleaning
from accbo.problems.hyperparameters import Hyperparameters
from accbo.problems.meta_learning import (
    Episodes,
    MetaLearning,
    episodes,
    random_representation,
)
from accbo.problems.nested import Nested
from accbo.problems.nonquadratic import NonQuadratic, nonquadratic
from accbo.problems.plateau import Plateau, WaveNoise, plateau
from accbo.problems.quadratic import Quadratic, quadratic
from accbo.problems.relaxed_smooth import RelaxedSmooth, relaxed_smooth

__all__ = [
    "DeepAUC",
    "Episodes",
    "FiniteSum",
    "FromObjectives",
    "HyperCleaning",
    "Hyperparameters",
    "LowerNoise",
    "MetaLearning",
    "Nested",
    "NonQuadratic",
    "Plateau",
    "Quadratic",
    "RelaxedSmooth",
    "UpperNoise",
    "WaveNoise",
    "corrupt",
    "deep_auc",
    "episodes",
    "finite_sum",
    "from_jax",
    "from_objectives",
    "from_torch",
    "hyper_cleaning",
    "nonquadratic",
    "plateau",
    "quadratic",
    "random_representation",
    "relaxed_smooth",
]
