"""Results with too few digits are told so, and nobody else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from accbo.cli import main
from accbo.conformance.running.digits import written_with
from accbo.conformance.vectors.vector import SET, load

Write = Callable[[float], float]


def verified(folder: Path, write: Write, prefix: str = "nonquadratic-4x2") -> int:
    results = {
        vector.id: [
            {
                name: [write(number) for number in state[name].tolist()]
                for name in ("x", "y", "momentum")
            }
            for state in vector.expected
        ]
        for vector in load()
        if vector.id.startswith(prefix) and not vector.replicates
    }
    path = folder / "results.json"
    head = {"format": "accbo-results/1", "set": SET, "implementation": "mine"}
    path.write_text(json.dumps({**head, "results": results}), encoding="utf-8")
    return main(["vectors", "verify", str(path)])


@pytest.mark.parametrize(
    ("write", "digits"),
    [
        (lambda value: float(f"{value:.10g}"), 10),
        (lambda value: float(f"{value:g}"), 6),
        (lambda value: float(f"{value:f}"), 6),
        (lambda value: round(value, 4), 4),
    ],
    ids=["%.10g", "%g", "%f", "round"],
)
def test_short_numbers_are_told(
    write: Write, digits: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(tmp_path, write) == 1
    out = capsys.readouterr().out
    assert f"first: the numbers are written with {digits} digits; write 17" in out
    assert "catalogue" not in out  # no mistake is looked for in rounded numbers
    assert "only in trajectories" not in out


def test_full_numbers_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(tmp_path, float) == 0
    assert verified(tmp_path, lambda value: value * (1 + 2.0**-30)) == 1
    assert "digits" not in capsys.readouterr().out


def test_where_right_numbers_are_short_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most of the known answers are short by themselves."""
    short = "known-answer/option-ii"
    assert verified(tmp_path, lambda value: value + 0.25, short) == 1
    assert "digits" not in capsys.readouterr().out


def test_digits_are_counted() -> None:
    assert written_with([]) == 0
    assert written_with([0.0, float("nan"), float("inf")]) == 0
    assert written_with([0.5, 0.25]) == 2
    assert written_with([1e-200, 3e200]) == 1
    assert written_with([1 / 3]) == 16
    assert written_with([float(f"{value:.15g}") for value in np.sin(np.arange(1, 99))]) == 15
