"""The study of exponents: its rows, its messages, a fault that it shows."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import schedules
from benchmarks import __main__ as benchmarks
from benchmarks import environment, exponents_study

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what diverges overflows


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "one_thread", lambda: None)


def ignored(_: int) -> None:
    pass


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The document of a quick run of two methods, and what it says."""
    path = tmp_path_factory.mktemp("exponents") / "exponents.json"
    given = ["exponents", "--quick", "--method", "SLIP", "--method", "VRBO", "--json", str(path)]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr(environment, "one_thread", lambda: None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            assert benchmarks.main(given) == 0
    return json.loads(path.read_text()), out.getvalue()


def test_the_command(ran: tuple[dict[str, Any], str]) -> None:
    document, shown = ran
    assert [row["method"] for row in document["exponents"]] == ["SLIP", "VRBO"]
    for row in document["exponents"]:
        low, high = row["interval"]
        assert low < row["measured"] < high
        assert f"{row['measured']:.3f}" in shown
        assert abs(row["measured"] - row["floor"]) < 0.1
    slip, vrbo = document["far_away"]
    assert slip["after"] < slip["before"]
    assert vrbo["outcome"].startswith("diverges: iteration")


def test_steps_that_are_too_long_show(
    ran: tuple[dict[str, Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLIP with η = ε² instead of ε³: its momentum lags, and the exponent bends."""
    right = schedules.slip

    def wrong(constants: Any, *, steps: int) -> Any:
        one = right(constants, steps=steps)
        algorithm = dataclasses.replace(one.algorithm, upper_step_size=one.epsilon**2)
        return dataclasses.replace(one, algorithm=algorithm)

    assert abs(ran[0]["exponents"][0]["measured"] + 0.25) < 0.03
    monkeypatch.setattr(schedules, "slip", wrong)
    assert abs(exponents_study.exponent("SLIP", True, ignored)["measured"] + 0.25) > 0.06


def test_calls_grow_as_the_guarantee_says(ran: tuple[dict[str, Any], str]) -> None:
    """T of single samples; T^{3/2} where a step takes batches of T^{1/2}."""
    for row, power in zip(ran[0]["exponents"], (1.0, 1.5), strict=True):
        grown = np.polyfit(np.log(row["steps"]), np.log(row["calls"]), 1)[0]
        assert grown == pytest.approx(power, abs=0.1)


def test_messages(tmp_path: Path, capsys: Any) -> None:
    assert benchmarks.main(["exponents", "--method", "SLOP"]) == 2
    assert "there is no method 'SLOP'; did you mean SLIP?" in capsys.readouterr().err
    there = tmp_path / "no" / "such" / "file.json"
    assert benchmarks.main(["exponents", "--method", "SLIP", "--json", str(there)]) == 2
    assert "cannot write" in capsys.readouterr().err
