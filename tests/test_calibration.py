"""Calibration counts false alarms and misses, and looks at the p-values."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from theory_checks import __main__ as command
from theory_checks import calibration, momentum_variance, neumann_bias
from theory_checks.harness import Settings, Verdict
from theory_checks.registry import CHECKS
from theory_checks.statistics import at_most, equal_mean, equal_share, equal_variance, exact


def test_the_command_on_two_laws(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a quarter of the draws, and so of less power; test_theory_checks has that of all."""
    for law, name in ((neumann_bias, "DRAWS"), (momentum_variance, "REPLICATES")):
        monkeypatch.setitem(getattr(law, name), "quick", getattr(law, name)["quick"] // 4)
        monkeypatch.setattr(law, "GROUP", law.GROUP // 4)
    path = tmp_path / "calibration.json"
    arguments = ["--check", "neumann_bias", "momentum_variance", "--calibrate", "2"]
    assert command.main([*arguments, "--jobs", "1", "--json", str(path)]) == 0
    found = json.loads(path.read_text())["calibration"]
    assert set(found) == {"neumann_bias", "momentum_variance"}
    for each in found.values():
        assert (each["runs"], each["false_alarms"], each["misses"]) == (2, [], [])
        assert each["false_alarm_promised"] < 1e-7
        assert 0 < each["power_promised"] <= 1
        assert 0 < each["uniform_p"] <= 1
    assert "momentum_variance" in capsys.readouterr().out


def test_every_check_designates_one_of_the_faults_it_kills() -> None:
    for check in CHECKS.values():
        assert check.DESIGNATED in check.KILLS, check.NAME


def _check() -> Any:
    return SimpleNamespace(NAME="made up", DESIGNATED="x", power=lambda *_: 1.0)


def _noted(p_values: np.ndarray, passed: bool = True, fault: str | None = None) -> Any:
    found = calibration.Calibration(_check(), runs=len(p_values))
    for seed, p in enumerate(p_values):
        finding = dataclasses.replace(exact("q", 0.0, float(not passed), 0.0), p_value=float(p))
        verdict = Verdict(found.check, [finding], 0.0)
        calibration._note(found, Settings(seed=seed, fault=fault), verdict)
    return found


def test_false_alarms_and_misses_are_seeds() -> None:
    alarmed = _noted(np.linspace(0.01, 0.99, 20), passed=False)
    assert alarmed.false_alarms == list(range(20))
    missed = _noted(np.linspace(0.01, 0.99, 20), fault="x")
    assert missed.misses == list(range(20))
    assert not missed.p_values  # those of a faulty algorithm say nothing
    assert not alarmed.passed
    assert not missed.passed


def test_what_is_promised_counts_a_bound_that_failed() -> None:
    found = calibration.Calibration(_check(), runs=1)
    for row in (at_most("q", 1.0, 1.1, 0.01), at_most("q", 1.0, 0.5, 0.01)):
        calibration._note(found, Settings(seed=1), Verdict(found.check, [row], 0.0))
    assert found.promised > 0.99


def test_p_values_of_counts_are_not_expected_to_be_uniform() -> None:
    """They take few values: the Kolmogorov-Smirnov test of 1000 seeds would fail right code."""
    found = calibration.Calibration(_check(), runs=1)
    rows = [equal_share("q", count, 4000, 400, 40_000) for count in (30, 40, 50)]
    calibration._note(found, Settings(seed=1), Verdict(found.check, rows, 0.0))
    assert found.least_p is None


def test_p_values_that_are_not_uniform_fail() -> None:
    uniform = (np.arange(100) + 0.5) / 100
    assert _noted(uniform).passed
    for wrong in (uniform**2, 0.5 + uniform / 2, np.full(100, 0.5)):
        assert not _noted(wrong).passed


@pytest.mark.parametrize("seed", [1, 2])
def test_p_values_of_the_findings_are_uniform(seed: int) -> None:
    draws = np.random.default_rng(seed).standard_normal((2000, 10))
    z = [equal_mean("q", 0.0, row.mean(), 10**-0.5).p_value for row in draws]
    chi2 = [equal_variance("q", 1.0, np.mean(row**2), 10).p_value for row in draws]
    assert _noted(np.array(z)).passed
    assert _noted(np.array(chi2)).passed


def test_the_limit_of_a_rate() -> None:
    assert calibration.upper_limit(0, 200) == pytest.approx(1 - 0.05 ** (1 / 200))
    assert calibration.upper_limit(3, 3) == 1.0
