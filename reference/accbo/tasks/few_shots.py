"""Meta-learning on digits: a representation from which five shots a class are enough."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from accbo import data
from accbo.problems.meta_learning import (
    Episodes,
    MetaLearning,
    episodes,
    random_representation,
)
from accbo.tasks.blocks import Blocks
from accbo.tasks.task import Instance, Task, shuffled

WAYS, SHOTS, QUERIES, TASKS, NEW_TASKS = 5, 5, 10, 20, 20
WIDTH, RIDGE, BATCH = 16, 0.05, 5  # a batch: one sample of every class of every task
NEW_SHARE = 0.5  # of the digits, kept for validation and test tasks


def build(seed: int) -> Instance:
    """Tasks of digits that train the representation; others, of other digits, that judge it."""
    digits = data.digits()
    order = shuffled(len(digits.labels), seed)
    known, new = np.split(order, (round(len(order) * (1 - NEW_SHARE)),))
    for_validation, for_test = np.array_split(new, 2)

    def drawn(part: np.ndarray, count: int, number: int) -> Episodes:
        return episodes(
            digits.features[part],
            digits.labels[part],
            tasks=count,
            ways=WAYS,
            shots=SHOTS,
            queries=QUERIES,
            seed=3 * seed + number,
        )

    problem = MetaLearning(
        *drawn(known, TASKS, 0),
        width=WIDTH,
        ridge=RIDGE,
        upper_batch=BATCH,
        lower_batch=BATCH,
    )
    validation = drawn(for_validation, NEW_TASKS, 1)
    test = drawn(for_test, NEW_TASKS, 2)
    x = random_representation(digits.features.shape[1], WIDTH, seed)

    def references() -> Mapping[str, float]:
        return {
            "query accuracy from scratch: logistic regression on the pixels": from_scratch(test),
            "query accuracy, untrained representation": query_accuracy(x, test),
        }

    return Instance(
        problem=Blocks(problem, groups=TASKS),
        x=x,
        y=np.zeros(problem.d_y),
        measures={"validation query accuracy": lambda x, y: query_accuracy(x, validation)},
        score="validation query accuracy",
        test={
            "query accuracy": lambda x, y: query_accuracy(x, test),
            "gain over scratch": lambda x, y: query_accuracy(x, test) - from_scratch(test),
        },
        reach=4 * float(np.linalg.norm(x)),
        mu=RIDGE,
        curvature=problem.curvature(4 * x),
        references=references,
    )


def query_accuracy(x: np.ndarray, new: Episodes) -> float:
    """Share of queries that heads trained on the support of new tasks get right."""
    width = x.size // new.support_features.shape[-1]
    representation = x.reshape(-1, width)
    return _accuracy(
        Episodes(
            new.support_features @ representation,
            new.support_targets,
            new.query_features @ representation,
            new.query_targets,
        ),
        RIDGE,
    )


def from_scratch(new: Episodes) -> float:
    """The same on the bare features, with the ridge that suits them best of five."""
    return max(_accuracy(new, ridge) for ridge in (0.5, 0.05, 0.005, 0.0005, 0.00005))


def _accuracy(new: Episodes, ridge: float) -> float:
    shape = (new.support_features.shape[0], new.support_features.shape[-1], WAYS)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        heads = flat.reshape(shape)
        scores = new.support_features @ heads
        scores = scores - scores.max(axis=-1, keepdims=True)
        chances = np.exp(scores)
        total = chances.sum(axis=-1, keepdims=True)
        count = new.support_features.shape[1]
        value = -np.sum(new.support_targets * (scores - np.log(total))) / count
        slope = np.swapaxes(new.support_features, -1, -2) @ (chances / total - new.support_targets)
        return float(value + ridge / 2 * flat @ flat), (slope / count + ridge * heads).reshape(-1)

    from scipy.optimize import minimize  # late: dear to import

    found = minimize(loss, np.zeros(int(np.prod(shape))), jac=True, method="L-BFGS-B")
    scores = new.query_features @ found.x.reshape(shape)
    return float(np.mean(scores.argmax(axis=-1) == new.query_targets.argmax(axis=-1)))


TASK = Task(
    "meta-learning",
    f"a linear representation for {WAYS}-way tasks of {SHOTS} shots a class",
    "1,797 digits of 8 × 8 pixels out of scikit-learn; new tasks are of images never trained on",
    build,
    20_000,
)
