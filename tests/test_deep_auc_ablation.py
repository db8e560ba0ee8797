"""The ablation's parts on a problem small enough to see: Adam learns, the best point is judged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accbo.problems.deep_auc import auc, deep_auc, initial_weights
from accbo.tasks.blocks import Blocks
from benchmarks import deep_auc_ablation as study


@pytest.fixture(scope="module")
def instance() -> Any:
    """Texts of one word that says their label, and four that say nothing."""
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(40) % 4 == 0, 1, -1)
    tokens = rng.integers(4, 10, size=(40, 5))
    tokens[:, 2] = np.where(labels > 0, 2, 3)
    problem = deep_auc(tokens, labels, tokens, labels, words=10, width=3, hidden=4)

    def score(x: Any, y: Any) -> float:
        return float(auc(problem.scores(x, tokens), labels))

    return SimpleNamespace(
        problem=Blocks(problem),
        x=initial_weights(problem, 0),
        curvature=problem.curvature,
        measures={"validation AUC": score},
        test={"test AUC": score},
        references=lambda: {"regression": 0.5},
    )


def test_adam_learns_what_can_be_learnt(instance: Any) -> None:
    found = study.judge(instance, study.adam(instance))
    assert found.training == found.test == found.validation == 1.0
    assert found.regression == 0.5


def test_the_dual_is_solved(instance: Any) -> None:
    x, y = study.adam(instance)[0]
    before = study.adam(instance)[0][0]
    assert np.array_equal(x, before)
    assert y.shape == (1,)
    exact = (
        np.zeros(1) - instance.problem.grad_y_lower(instance.x, np.zeros(1)) / instance.curvature
    )
    assert np.max(np.abs(instance.problem.grad_y_lower(instance.x, exact))) < 1e-12


def test_the_best_point_is_judged(instance: Any) -> None:
    good, bad = study.adam(instance)[-1], (0 * instance.x, np.zeros(1))
    found = study.judge(instance, [bad, good, bad])
    assert found.validation == 1.0
    assert found.training_at_the_end == 0.5


def test_the_table_pairs_by_seed() -> None:
    scores = [study.Scores(1, 0.8, 0.7 + s, 1, 0.6 + s) for s in (0.0, 0.1, 0.2)]
    text = study.table({"one": scores})
    assert "+0.100 ± 0.000" in text
    assert "logistic regression on words: test 0.700" in text


def test_one_seed_gives_no_interval(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        study.main(["--seeds", "1"])
    assert stopped.value.code == 2
    assert "at least 2" in capsys.readouterr().err
