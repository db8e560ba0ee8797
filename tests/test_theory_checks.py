"""Each theory check passes on AccBO and is seen to fail on every fault it claims to kill."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from accbo._pieces.files import write
from tests.support import press_ctrl_c
from theory_checks import __main__ as command
from theory_checks import momentum_variance, neumann_bias, report, statistics
from theory_checks.harness import Settings
from theory_checks.sweep import run_checks

LAWS = (neumann_bias, momentum_variance)
DRAWN = ((neumann_bias, "DRAWS"), (momentum_variance, "REPLICATES"))


@pytest.fixture
def fewer(monkeypatch):
    """An eighth of the draws: what is seen in them is seen in all the more."""
    for law, name in DRAWN:
        draws = getattr(law, name)["quick"] // 8
        monkeypatch.setitem(getattr(law, name), "quick", draws)
        monkeypatch.setattr(law, "GROUP", min(law.GROUP, draws))


@pytest.mark.parametrize("check", LAWS, ids=lambda check: check.NAME)
def test_law_holds(check):
    (verdict,) = run_checks([check], Settings(seed=3))
    assert verdict.passed, [finding for finding in verdict.findings if not finding.passed]
    assert verdict.false_alarm < 1e-7
    assert check.power(Settings(), verdict.findings) > 0.95


@pytest.mark.parametrize(
    ("check", "fault"),
    [(check, fault) for check in LAWS for fault in check.KILLS],
    ids=lambda value: value if isinstance(value, str) else value.NAME,
)
def test_law_kills(check, fault, fewer):
    (verdict,) = run_checks([check], Settings(fault=fault))
    assert not verdict.passed


@pytest.mark.parametrize("check", LAWS, ids=lambda check: check.NAME)
def test_other_backend_same_findings(check, fewer):
    host, strict = (
        run_checks([check], Settings(backend=backend))[0].findings
        for backend in ("numpy", "strict")
    )
    assert host == strict


# --- the decisions ---------------------------------------------------------------------------


def test_slope_of_a_power_law():
    sizes = [2.0**k for k in range(5)]
    samples = [np.array([1.0, 3.0]) * size**-0.4 for size in sizes]
    measured, error = statistics.slope(sizes, samples)
    assert measured == pytest.approx(-0.4, abs=1e-12)
    # by hand: relative error of each mean is ½, the weights are those of five equal steps
    x = np.log(sizes)
    assert error == pytest.approx(0.5 / np.sqrt(np.sum((x - x.mean()) ** 2)))


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.1])
def test_variance_is_two_sided(ratio):
    finding = statistics.equal_variance("", 2.0, ratio, 16_000)
    assert finding.passed == (ratio == 1.0)
    assert finding.measured == 2.0 * ratio


@pytest.mark.parametrize("shift", [-7.0, 0.0, 7.0])
def test_mean_is_two_sided(shift):
    assert statistics.equal_mean("", 0.0, shift, 1.0).passed == (shift == 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_never_passes(value):
    assert not statistics.exact("", 1.0, value, 1e300).passed
    assert not statistics.equal_mean("", 1.0, value, 1.0).passed
    assert not statistics.equal_variance("", 1.0, value, 10).passed
    assert not statistics.at_least("", 1.0, -value, 0.1, 0.99).passed
    assert not statistics.at_most("", 1.0, value, 0.1, 0.99).passed


def test_covariance_of_the_series_by_enumeration():
    """Q = 2: all three samplings have one factor; the covariance by hand over its signs."""
    hessian, v = np.array([[1.0, 0.2], [0.2, 0.8]]), np.array([0.5, -1.0])
    values = []
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        noisy = hessian + 0.3 * np.diag(signs)
        values.append((2 * v - noisy @ v / neumann_bias.SCALE) / neumann_bias.SCALE)
    by_hand = np.cov(np.array(values).T, bias=True)
    for sampling in ("chained", "independent"):
        formula = neumann_bias.covariance(hessian, v, 2, 0.3, sampling)
        np.testing.assert_allclose(formula, by_hand, rtol=1e-13, atol=1e-17)


# --- the command -----------------------------------------------------------------------------


def test_json(tmp_path: Path, capsys, fewer):
    target = tmp_path / "out.json"
    arguments = ["--check", "momentum_variance", "--json", str(target), "--jobs", "1"]
    assert command.main([*arguments, "--records", str(tmp_path / "raw")]) == 0
    written = json.loads(target.read_text(encoding="utf-8"))
    assert written["schema"] == "accbo-theory/1"
    (check,) = written["checks"]
    assert {"name", "claim", "source", "passed", "seconds", "false_alarm", "power"} < set(check)
    finding = check["findings"][0]
    keys = {"quantity", "predicted", "measured", "interval", "rule", "passed"}
    keys |= {"kind", "allowance", "used", "false_alarm"}
    assert set(finding) == keys
    assert len(finding["interval"]) == 2
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    raw = sorted((tmp_path / "raw").glob("*.npz"))
    with np.load(raw[0], allow_pickle=False) as curves:
        assert curves["error"].shape == (120, 500, 4)


def test_failed_check_exits_1(fewer):
    arguments = ["--check", "momentum_variance", "--fault", "stale sample", "--jobs", "1"]
    assert command.main(arguments) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check", "rat"], "did you mean 'rate'"),
        (["--fault", "stale"], "did you mean 'stale sample'"),
        (["--backend", "nunpy"], "did you mean numpy"),
        (["--dimension", "1"], "2 … 20"),
        (["--skew", "1"], r"\(0, 1\)"),
        (["--window", "9", "8"], "LO < HI"),
        (["--json", "missing/folder/x.json"], "cannot write.*missing/folder/x.json"),
        (["--json", "."], "is a folder"),
    ],
)
def test_could_not_run_exits_2(arguments, message, capsys):
    assert command.main([*arguments, "--check", "momentum_variance"]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_fault_that_makes_no_algorithm_exits_2(tmp_path: Path, capsys):
    (tmp_path / "mine.py").write_text("def nothing(algorithm):\n    return None\n")
    target = f"{tmp_path / 'mine.py'}:nothing"
    assert command.main(["--check", "own_path", "--jobs", "1", "--fault", target]) == 2
    assert "nothing returned a NoneType, which is no algorithm" in capsys.readouterr().err


def test_interrupt_exits_130(monkeypatch, capsys):
    monkeypatch.setattr(command, "run_cases", lambda *_: press_ctrl_c())
    assert command.main(["--check", "rate"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_file_is_the_old_one_or_the_whole_new_one(tmp_path: Path):
    target = tmp_path / "out.json"
    write(target, report.json_text({"a": 1}))
    with pytest.raises(ValueError, match="JSON"):
        report.json_text({"a": float("nan")})
    with pytest.raises(UnicodeEncodeError):
        write(target, "\ud800")
    assert json.loads(target.read_text(encoding="utf-8")) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_help_runs_as_a_module():
    command_line = [sys.executable, "-m", "theory_checks", "--help"]
    shown = subprocess.run(command_line, capture_output=True, text=True, check=True).stdout
    assert "130 interrupted" in shown
