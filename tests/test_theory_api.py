"""The laws as functions: rows, arrays, variations of one's own, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import problems, schedules, theory
from accbo._figures.panel import Curve, Panel
from accbo.algorithms import AccBO
from accbo.problems import LowerNoise, UpperNoise
from theory_checks.registry import CHECKS


@pytest.fixture(scope="module")
def verdict() -> theory.Verdict:
    return theory.run("momentum_variance", seed=3)


def test_the_checks_are_those_of_the_command() -> None:
    assert theory.checks() == {name: check.CLAIM for name, check in CHECKS.items()}


def test_the_rows_are_a_data_frame(verdict: theory.Verdict) -> None:
    pytest.importorskip("pandas")
    assert verdict.passed
    assert 0 < verdict.false_alarm < 1e-6
    frame = verdict.to_dataframe()
    assert list(frame.columns) == [field.name for field in dataclasses.fields(theory.Row)]
    assert len(frame) == len(verdict.rows)
    equal = frame[frame.kind == "equality"]
    assert ((equal.used <= 1) == equal.passed).all()
    assert frame.measured.dtype == np.float64
    inside = (frame.low <= frame.measured) & (frame.measured <= frame.high)
    assert inside[frame.low.notna()].all()


def test_the_curves_are_arrays(verdict: theory.Verdict) -> None:
    lag = verdict.curves["Lag on a drifting gradient"]
    ours, average = lag["AccBO"], lag["moving average"]
    assert not ours.predicted
    assert lag["moving average: β(1 − β^t)/(1 − β)·d"].predicted
    assert ours.low is not None
    assert ours.high is not None
    assert np.all(ours.low < ours.y)
    assert abs(ours.y[-1]) < 0.05 < average.y[-1]


def test_pictures_are_saved(verdict: theory.Verdict, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    small = Panel("P", "", "x", "y", [Curve("c", [1.0, 2.0], [1.0, 2.0])])
    one = dataclasses.replace(verdict, panels=(small,))
    names = {path.name.rpartition(".")[2] for path in one.save_figures(tmp_path / "a" / "b")}
    assert names == {"pdf", "svg", "png", "csv"}


def test_functions_of_ones_own_without_a_module() -> None:
    """In a notebook, whose names no other process could import; a fault, in a page of docs/."""

    def problem() -> Any:
        noise = UpperNoise(0.4, 0.1, 0.4, 0.1)
        return problems.quadratic(
            (1.0, 1.3), 3, coupling=0.5, noise_upper=noise, noise_lower=LowerNoise(0.4)
        )

    def schedule(constants: Any, steps: int) -> schedules.Schedule[AccBO]:
        return schedules.accbo(constants, steps=steps)

    mine = theory.run("noise_floor", problem=problem, schedule=schedule, window=(4, 8))
    assert mine.passed, mine.rows
    assert not [name for name in vars(theory._FUNCTIONS) if name.startswith("given")]


@pytest.mark.parametrize(
    ("check", "options", "message"),
    [
        ("rat", {}, "unknown check 'rat'; did you mean 'rate'"),
        ("rate", {"profile": "ful"}, "there is no profile 'ful'; did you mean full"),
        ("rate", {"fault": "stale"}, "did you mean 'stale sample'"),
        ("neumann_bias", {"noise": "normal"}, "neumann_bias does not allow --noise"),
        ("rate", {"noise": "laplce"}, "unknown law of noise 'laplce'"),
        ("rate", {"fault": lambda right: right, "jobs": 2}, 'by its name, "module:function"'),
        ("noise_floor", {"schedule": lambda constants, steps: 3}, "returned a int; expected an"),
    ],
)
def test_what_is_refused(check: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        theory.run(check, **options)


def test_a_verdict_without_judged_rows_has_not_passed() -> None:
    row = theory.Row("q", "shown", math.nan, 1.0, math.nan, math.nan, "", True, 0.0, 0.0)
    assert not theory.Verdict("c", "", (row,), (), 0.0).passed
    assert not theory.Verdict("c", "", (), (), 0.0).passed
    judged = dataclasses.replace(row, kind="bound", predicted=1.0)
    assert theory.Verdict("c", "", (judged,), (), 0.0).passed
