"""A theorist's own schedule, noise and problem, without editing the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from theory_checks import __main__ as command
from theory_checks import momentum_variance, noise_floor
from theory_checks.harness import Settings
from theory_checks.options import chosen_checks

OWN = """
import numpy as np
from accbo import problems, schedules
from accbo.problems import LowerNoise, UpperNoise

def problem():
    return problems.quadratic(
        (1.0, 1.3), 3, coupling=0.5,
        noise_upper=UpperNoise(0.4, 0.1, 0.4, 0.1), noise_lower=LowerNoise(0.4),
    )

def slow(constants, steps):  # a moving average's: the rate is lost
    return schedules.moving_average(constants, steps=steps)

def same(constants, steps):
    return schedules.accbo(constants, steps=steps)

def no_schedule(constants, steps):
    return 3

def broken(constants, steps):
    return 1 / 0

def bare():
    return object()

def longer(algorithm):  # a fault: every step is one part in a thousand too long
    from dataclasses import replace
    return replace(algorithm, upper_step_size=1.001 * algorithm.upper_step_size)

def right(algorithm):
    return algorithm

def rival(constants, steps):
    return schedules.slip(constants, steps=steps)

def short(constants, steps):
    return schedules.accbo(constants, epsilon=0.3)

def laplace(u):  # an inverse distribution function, of variance 1
    return np.sign(u - 0.5) * -np.log(2 * np.minimum(u, 1 - u)) / 2**0.5

def wide(u):
    return 2 * laplace(u)

def one(u):
    return u[:1]
"""
SHORT = ["--check", "noise_floor", "--window", "4", "8", "--jobs", "1", "-v"]


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return str(path)


@pytest.mark.parametrize("option", [["--problem", "problem"], ["--schedule", "same"]])
def test_own_instances_keep_the_floor(own: str, option: list[str], capsys: Any) -> None:
    assert command.main([*SHORT, option[0], f"{own}:{option[1]}"]) == 0
    printed = capsys.readouterr().out
    assert ("own problem" in printed) == (option[0] == "--problem")


def test_a_schedule_whose_floor_falls_too_slowly_fails(own: str) -> None:
    assert command.main([*SHORT, "--schedule", f"{own}:slow"]) == 1


def test_another_law_of_noise(capsys: Any) -> None:
    assert command.main([*SHORT, "--noise", "two_point:0.3"]) == 0
    assert "exponent, AccBO, two_point" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--noise", "gaussian"], "unknown law of noise 'gaussian'"),
        (["--noise", "two_point:2"], "P in (0, 1)"),
        (["--noise", "normal:0.1"], "P in (0, 1)"),
        (["--noise", "{own}:wide"], "mean 0 and variance 1, that of wide has "),
        (["--noise", "{own}:one"], "one must map an array of shape (262144,) to finite real"),
        (["--noise", "{own}:broken"], "broken raised TypeError: broken() missing 1 required"),
        (["--schedule", "nowhere:f"], "there is no module nowhere"),
        (["--schedule", "{own}:sam"], "did you mean same?"),
        (["--schedule", "{own}:no_schedule"], "returned a int; expected an accbo.schedules.Sch"),
        (["--schedule", "{own}:broken"], "broken raised ZeroDivisionError: division by zero"),
        (["--problem", "{own}:bare"], "without ['constants', 'hypergradient', 'solution']"),
        (["--problem", "{own}:problem", "--noise", "sign"], "brings its own noise"),
    ],
)
def test_bad_variations_exit_2(own: str, arguments: list[str], message: str, capsys: Any) -> None:
    assert command.main([*SHORT, *(each.format(own=own) for each in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_a_check_that_does_not_allow_it_says_so(own: str, capsys: Any) -> None:
    assert command.main(["--check", "neumann_bias", "--schedule", f"{own}:same"]) == 2
    assert (
        "neumann_bias does not allow --schedule; allowed for: own_path, noise_floor, rate"
        in capsys.readouterr().err
    )


def test_a_law_of_noise_is_a_function(
    own: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(momentum_variance.REPLICATES, "quick", momentum_variance.GROUP)
    law = f"{own}:laplace"
    assert command.main([*SHORT, "--noise", law]) == 0
    assert "exponent, AccBO, laplace" in capsys.readouterr().out
    for check in ("momentum_variance", "own_path"):
        options = ["--check", check, "--noise", law, "--jobs", "1"]
        assert command.main(options) == 0
        assert command.main([*options, "--fault", "correction without β"]) == 1


def test_steps_on_a_schedule_of_ones_own(own: str, capsys: Any) -> None:
    options = ["--check", "own_path", "--jobs", "1", "-v", "--schedule"]
    assert command.main([*options, f"{own}:short"]) == 0
    assert "identities alone" in capsys.readouterr().out  # no sum of the sampler, no power
    assert command.main([*options, f"{own}:short", "--fault", "γ as 1−γ"]) == 1
    assert command.main([*options, f"{own}:rival"]) == 2
    assert "own_path: its law is AccBO's, and" in capsys.readouterr().err


def test_a_check_that_a_schedule_is_not_for_is_left_out_aloud(own: str, capsys: Any) -> None:
    settings = Settings(schedule=f"{own}:rival")
    assert [check.NAME for check in chosen_checks(None, settings)] == ["noise_floor", "rate"]
    assert "own_path is left out: its law is AccBO's" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [["--window", "6", "9"], ["--dimension", "3"], ["--skew", "0.2"]]
)
def test_numbers_that_a_check_has_no_use_for_are_refused(option: list[str], capsys: Any) -> None:
    assert command.main(["--check", "rate", *option]) == 2
    expected = f"rate does not allow {option[0]}; allowed for: noise_floor"
    assert expected in capsys.readouterr().err


def test_under_a_fault_only_the_curves_that_it_concerns_are_measured() -> None:
    every, few = (noise_floor.variants(Settings(fault=fault)) for fault in (None, "clipping"))
    assert all(variant.user for variant in few.values())
    assert len(few) < len(every)


@pytest.mark.parametrize(("fault", "code"), [("longer", 1), ("right", 0)])
def test_own_fault(own: str, fault: str, code: int) -> None:
    arguments = ["--check", "unbounded_smoothness", "--jobs", "1"]
    assert command.main([*arguments, "--fault", f"{own}:{fault}"]) == code


def test_own_fault_in_the_kill_matrix(own: str, tmp_path: Path) -> None:
    name, path = f"{own}:longer", tmp_path / "matrix.json"
    arguments = ["--kill-matrix", "--fault", name, "--check", "unbounded_smoothness"]
    assert command.main([*arguments, "--jobs", "1", "--json", str(path)]) == 0
    assert json.loads(path.read_text())["matrix"] == {name: {"unbounded_smoothness": True}}


def test_a_fault_that_is_not_there(own: str, capsys: Any) -> None:
    assert command.main(["--check", "noise_floor", "--fault", f"{own}:longr"]) == 2
    assert "did you mean longer?" in capsys.readouterr().err
