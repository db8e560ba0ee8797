"""What ``rate`` says of schedules that were not made with it in mind, in the words it uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from accbo.conformance.running.target import TargetError
from tests import strange_schedules
from tests.strange_schedules import REFUSED, VERDICTS
from theory_checks import rate, rate_own, rate_runs
from theory_checks.harness import Settings
from theory_checks.own import own_schedule
from theory_checks.sweep import run_checks

TARGET = str(Path(strange_schedules.__file__))


@pytest.mark.parametrize("name", VERDICTS)
def test_each_can_be_run(name: str) -> None:
    problem, steps = rate_runs.instance(0.25), 64
    x = rate_runs.plateau_starts(0.25, 2, 0)
    found = own_schedule(f"{TARGET}:{name}", problem.constants, steps)
    outcome, _ = rate_runs.reach(found, problem, x, 0.25, steps, rate_runs.Tape(1))
    assert outcome["mean"].shape == (2,)


@pytest.mark.parametrize("name", REFUSED)
def test_what_reads_more_than_the_oracle_cannot_be_run(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_own, "POWERS", {"quick": (1.0,)})
    with pytest.raises(TargetError, match=f"{name} cannot be run: .*{REFUSED[name]}"):
        run_checks([rate], Settings(schedule=f"{TARGET}:{name}"))


@pytest.mark.slow
@pytest.mark.parametrize("name", VERDICTS)
def test_verdict_and_reason(name: str) -> None:
    """From 5 to 10 core-seconds each, as anybody gets it from the command."""
    (verdict,) = run_checks([rate], Settings(schedule=f"{TARGET}:{name}"))
    assert verdict.passed == (VERDICTS[name] is None)
    if VERDICTS[name] is not None:
        failed = [row.quantity for row in verdict.findings if not row.passed]
        assert {f"R1 μ, ε = 2^−3: {VERDICTS[name]}", VERDICTS[name]} & set(failed)
