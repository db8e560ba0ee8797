"""Hyperparameter optimisation: a penalty for every feature of a ridge regression."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from accbo import data
from accbo.problems.hyperparameters import Hyperparameters
from accbo.sampling import random_matrix
from accbo.tasks.blocks import Blocks, steepest_block
from accbo.tasks.task import Instance, Task, shuffled

TRAIN, VALIDATION, NUISANCE = 180, 130, 10
UPPER, LOWER = 65, 60  # batches: blocks of which the sets are made without a rest
HIGH = 3.0  # log-penalties up to here are covered by the curvature that the steps are made for


def build(seed: int) -> Instance:
    """Principal components of patients' measurements, and as many features that are noise."""
    patients = data.diabetes()
    order = shuffled(len(patients.labels), seed)
    extra = random_matrix(len(order), NUISANCE, seed + 1)
    targets = np.asarray(patients.labels, dtype=float)[order]
    train, validation, rest = np.split(np.arange(len(order)), (TRAIN, TRAIN + VALIDATION))
    features = np.hstack((uncorrelated(patients.features, order[train]), extra))[order]
    features = features - features[train].mean(axis=0)
    features = features / features[train].std(axis=0)
    targets = (targets - targets[train].mean()) / targets[train].std()
    problem = Hyperparameters(
        features[train],
        targets[train],
        features[validation],
        targets[validation],
        upper_batch=UPPER,
        lower_batch=LOWER,
    )
    x = np.full(problem.d_x, -2.0)

    def value(x: np.ndarray, y: np.ndarray) -> float:
        return -float(problem.value(x))

    def test_error(x: np.ndarray, y: np.ndarray) -> float:
        exact = problem.solution(x)
        return float(np.mean((features[rest] @ exact - targets[rest]) ** 2))

    def references() -> Mapping[str, float]:
        best = minimum(problem, x)
        return {
            "validation Φ, SciPy on the closed form": float(problem.value(best)),
            "validation Φ, one penalty for all": single_penalty(problem),
            "test error, SciPy on the closed form": test_error(best, best),
        }

    return Instance(
        problem=Blocks(problem),
        x=x,
        y=np.zeros(problem.d_y),
        measures={"minus Φ": value},
        score="minus Φ",
        test={
            "test error": test_error,
            "Φ over its minimum": lambda x, y: (
                float(problem.value(x)) / float(problem.value(minimum(problem, x)))
            ),
        },
        reach=2 * float(np.sqrt(problem.d_x)),
        mu=problem.floor,
        curvature=steepest_block(features[train], LOWER) + problem.floor + np.exp(HIGH),
        references=references,
    )


def uncorrelated(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """The principal axes of the rows ``train``: measurements of blood lipids nearly coincide."""
    rows = features[train] / features[train].std(axis=0)
    axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2]
    return np.asarray(features / features[train].std(axis=0) @ axes.T)


def minimum(problem: Hyperparameters, x: np.ndarray) -> np.ndarray:
    """The x in [−8, 4]^d where SciPy finds Φ least, from ``x`` and from equal penalties."""
    from scipy.optimize import minimize  # late: dear to import

    starts = [np.clip(x, -8, 4), *(np.full(problem.d_x, level) for level in (-4.0, -1.0, 1.0))]
    found = [
        minimize(
            lambda z: (float(problem.value(z)), problem.hypergradient(z)),
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-8.0, 4.0)] * problem.d_x,
        )
        for start in starts
    ]
    return np.asarray(min(found, key=lambda one: one.fun).x)


def single_penalty(problem: Hyperparameters) -> float:
    """Φ at the best of 49 equal penalties."""
    return min(
        float(problem.value(np.full(problem.d_x, level))) for level in np.linspace(-8, 4, 49)
    )


TASK = Task(
    "hyperparameters",
    f"a log-penalty for each feature of a ridge regression, {NUISANCE} of which are noise",
    "442 patients out of scikit-learn (diabetes), in place of large regressions",
    build,
    40_000,
)
