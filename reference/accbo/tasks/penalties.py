"""Hyperparameter optimisation: a penalty for every feature of a ridge regression."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize

from accbo import data
from accbo.problems.hyperparameters import Hyperparameters
from accbo.sampling import random_matrix
from accbo.tasks.task import Instance, Task, shuffled

TRAIN, VALIDATION, NUISANCE, BATCH = 180, 130, 20, 16


def build(seed: int) -> Instance:
    """Patients' measurements and as many features again that are noise, standardised."""
    patients = data.diabetes()
    order = shuffled(len(patients.labels), seed)
    extra = random_matrix(len(order), NUISANCE, seed + 1)
    features = np.hstack((patients.features, extra))[order]
    targets = np.asarray(patients.labels, dtype=float)[order]
    train, validation, rest = np.split(np.arange(len(order)), (TRAIN, TRAIN + VALIDATION))
    mean, spread = features[train].mean(axis=0), features[train].std(axis=0)
    features = (features - mean) / spread
    targets = (targets - targets[train].mean()) / targets[train].std()
    problem = Hyperparameters(
        features[train],
        targets[train],
        features[validation],
        targets[validation],
        upper_batch=BATCH,
        lower_batch=BATCH,
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
        problem=problem,
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
        curvature=problem.curvature(np.full(problem.d_x, 1.0)),
        references=references,
    )


def minimum(problem: Hyperparameters, x: np.ndarray) -> np.ndarray:
    """The x in [−8, 4]^d where SciPy finds Φ least, from ``x`` and from equal penalties."""
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
    200_000,
)
