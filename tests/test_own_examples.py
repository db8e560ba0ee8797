"""The examples of a user's own task: audited and compared, at toy size."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from accbo import SLIP, run
from accbo.cli import main
from accbo.conformance.running.target import load_target
from accbo.tasks.own import State
from tests.backends import Backend, need

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(params=["torch", "jax"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return need(request.param)


def lines(path: Path) -> int:
    """Lines of code after the docstring, without blank ones."""
    code = path.read_text(encoding="utf-8").split('"""', 2)[2]
    return sum(bool(line.strip()) for line in code.splitlines())


EVERYTHING = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def test_an_example_runs(backend: Backend) -> None:
    file = EXAMPLES / f"own_task_{backend.name}.py"
    assert lines(file) <= {"torch": 30, "jax": 40}[backend.name]
    task = load_target(f"{file}:task")()
    method = SLIP(lower_step_size=0.5, linear_step_size=0.5, momentum=0.5, upper_step_size=0.1)
    result = run(method, task.problem, steps=3)
    assert tuple(result.x["weights"].shape) == (40,)
    assert task.validate(State(result.x, result.y)) < 0


@pytest.mark.skipif(not EVERYTHING, reason="compiling, and an LSTM's audit, take a minute: nightly")
def test_an_example_is_audited(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """A network below is not strongly convex far out, which is what the audit says."""
    target = f"{EXAMPLES / f'own_task_{backend.name}.py'}:problem"
    assert main(["audit", target, "--samples", "64"]) == 1
    said = capsys.readouterr().out
    assert "strong convexity (lower level)" in said
    assert "OUTSIDE THE THEORY" in said


@pytest.mark.parametrize("backend", ["torch", "jax"] if EVERYTHING else ["torch"], indirect=True)
def test_an_example_is_compared(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file, out = EXAMPLES / f"own_task_{backend.name}.py", tmp_path / "out.json"
    words = ["compare", f"{file}:task", "--algorithm", "SLIP", "--jobs", "1", "--json", str(out)]
    assert main([*words, "--budget", "35", "--seeds", "1"]) == 0
    found = json.loads(out.read_text())
    (run,) = found["methods"]["SLIP"]["runs"]
    assert run["trouble"] == ""
    assert run["calls"][-1] <= 35
