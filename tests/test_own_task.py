"""``accbo compare``: a user's own task through the code of ``accbo run``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accbo
from accbo.cli import main
from accbo.tasks import own, sweep
from accbo.tasks.methods import METHODS
from tests.support import press_ctrl_c

FILE = """
import numpy as np
import accbo

problem = accbo.problems.finite_sum(24, 3, 4, upper_samples=20, upper_batch=4, lower_batch=4)

def validate(state):
    return -float(problem.value(state.x))

def start(seed):
    return np.full(3, 1.0 + seed / 10), np.zeros(4)

def task():
    return accbo.Task(problem, validate, start=start)

def tested():
    return accbo.Task(problem, validate, test=lambda state: float(state.x[0]), start=start)

held = accbo.Task(problem, validate, start=start, reach=2.0)

class Plain:
    problem = problem
    def validate(self, state): return validate(state)
    def start(self, seed): return start(seed)

def noisy():
    other = accbo.problems.quadratic(noise_upper=accbo.problems.UpperNoise(0.1, 0.1))
    start = lambda seed: (np.ones(2), np.zeros(2))
    return accbo.Task(other, lambda s: -float(s.x @ s.x), start=start)

def no_validate():
    return accbo.Task(problem, start=start)

def no_start():
    return accbo.Task(problem, validate)

def no_problem():
    return object()

def wrong_start():
    return accbo.Task(problem, validate, start=lambda seed: (np.zeros(4), np.zeros(4)))

def one_start():
    return accbo.Task(problem, validate, start=lambda seed: np.zeros(3))

hidden = np.random.default_rng(0)

def unseeded():
    drawn = lambda seed: (hidden.standard_normal(3), np.zeros(4))
    return accbo.Task(problem, validate, start=drawn)

def wrong_dtype():
    tensors = lambda seed: (np.ones(3, dtype=np.float32), np.zeros(4))
    class Started:
        def __getattr__(self, name): return getattr(problem, name)
        def start_point(self): return np.ones(3), np.zeros(4)
    return accbo.Task(Started(), validate, start=tensors)

def nan():
    return accbo.Task(problem, lambda state: float("nan"), start=start)

def random():
    return accbo.Task(problem, lambda state: hidden.random(), start=start)

def raising():
    return accbo.Task(problem, lambda state: state.z, start=start)

def vector():
    return accbo.Task(problem, lambda state: state.x, start=start)
"""


OWN_CACHES = (own._loaded, own._measured, own._start, own.origin)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for cached in (*OWN_CACHES, sweep.instance_of, sweep._steps):
        cached.cache_clear()
    (tmp_path / "mine.py").write_text(FILE)
    return "mine.py"


def compared(target: str, *more: str, budget: int = 60, seeds: int = 2) -> int:
    sizes = ["--budget", str(budget), "--seeds", str(seeds), "--jobs", "1"]
    return main(["compare", target, *sizes, *more])


def test_all_nine_methods_on_a_finite_sum(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(f"{file}:tested", "--json", "out.json", budget=500) == 0
    printed = capsys.readouterr()
    assert "left out" not in printed.err
    found = json.loads(Path("out.json").read_text())
    assert list(found["methods"]) == list(METHODS)
    assert found["task"] == "mine.py:tested"
    assert "at equal seconds" in printed.out
    assert set(found["equal_seconds"]["scores"]) == set(METHODS)
    for method in found["methods"].values():
        assert len(method["runs"]) == 2
        assert set(method["test"]) == {"test"}
        score = method["runs"][0]["measures"]["validation score"]
        assert max(score) > -float(problem().value(np.full(3, 1.1)))  # better than the start


def problem() -> Any:
    return accbo.problems.finite_sum(24, 3, 4, upper_samples=20, upper_batch=4, lower_batch=4)


@pytest.mark.parametrize("name", ["held", "Plain"])
def test_any_object_with_the_parts_is_a_task(file: str, name: str) -> None:
    assert compared(f"{file}:{name}", "--algorithm", "SLIP", seeds=1) == 0


def test_what_a_method_needs_and_the_problem_lacks(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(f"{file}:noisy", "--algorithm", "SABA", "SLIP", seeds=1) == 0
    printed = capsys.readouterr()
    assert "SABA is left out: it needs finite sums" in printed.err
    assert "upper_noise has the laws" in printed.err
    assert "SABA" not in printed.out
    assert compared(f"{file}:noisy", "--algorithm", "SABA") == 2


def test_it_goes_on_where_it_was_stopped(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target, only = f"{file}:task", ("--algorithm", "SLIP", "MA-SOBA")
    assert compared(target, *only, "--json", "whole.json") == 0
    count, real = [0], sweep.run_piece

    def counted(piece: Any) -> Any:
        count[0] += 1
        if count[0] == 5:
            press_ctrl_c()
        return real(piece)

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "run_piece", counted)
        assert compared(target, *only) == 130
        stopped, count[0] = count[0], 5
        assert compared(target, *only, "--json", "again.json", "--resume") == 0
        assert count[0] - 5 <= 20 - 4
    assert stopped >= 5
    whole, again = (json.loads(Path(name).read_text()) for name in ("whole.json", "again.json"))

    def scores(found: Any) -> Any:
        return {
            name: [run["measures"] for run in method["runs"]]
            for name, method in found["methods"].items()
        }

    assert scores(whole) == scores(again)


REFUSED = {
    "no_validate": r"a task without validate \(.*mine.py, line \d+\); expected problem, validate",
    "no_start": r"a task without start\(seed\) \(.*mine.py, line \d+\), and its problem",
    "no_problem": r"gave a object without a problem \(.*mine.py, line \d+\)",
    "wrong_start": r"x must be a vector of shape \(3,\), got ndarray .*\(4,\) \(.*line \d+\)",
    "one_start": r"must give a pair \(x, y\), got ndarray \(.*mine.py, line \d+\)",
    "unseeded": r"start\(0\) of .* another x when it is called again: .*\(mine.py, line \d+\)",
    "wrong_dtype": r"start\(0\) of .*: x is of the dtype float32, and .* with float64 \(mine.py, l",
    "nan": r"validate of mine.py:nan gave NaN at the start \(mine.py, line \d+\)",
    "random": r"validate of .* gave .*, then .* for one state: it draws .*\(mine.py, line \d+\)",
    "raising": r"validate of mine.py:raising raised AttributeError: .* \(.*mine.py, line \d+\)",
    "vector": r"validate of mine.py:vector raised TypeError: .* \(mine.py, line \d+\)",
    "missing": r"mine.py has no missing",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_task_that_cannot_be_used(
    file: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    assert compared(f"{file}:{name}", "--algorithm", "SLIP") == 2
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("accbo")]) == 1
    assert re.search(REFUSED[name], said[-1]), said


def test_another_process_starts_from_the_same(file: str) -> None:
    """What a worker looks at: an unseeded module has another start, or other data, in it."""
    target = f"{file}:task"
    seen = own.origin(target, 1)
    own.expect_origin(target, 1, seen)
    with pytest.raises(own.TaskError, match=r"the start of seed 1 .* another process.*line \d+\)"):
        own.expect_origin(target, 1, seen._replace(start="other"))
    with pytest.raises(own.TaskError, match=r"its data are drawn anew.*\(mine.py, line \d+\)"):
        own.expect_origin(target, 1, seen._replace(losses=(2 * seen.losses[0], seen.losses[1])))


def test_a_budget_that_is_too_small(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(f"{file}:task", "--algorithm", "AccBO", budget=20) == 2
    said = capsys.readouterr().err
    assert "AccBO: a budget of 20 oracle calls does not pay" in said
    assert "mine.py, line" in said
    assert compared("toy", "--algorithm", "AccBO") == 2
    assert "expected FILE.py:NAME" in capsys.readouterr().err


def test_the_method_that_needs_a_finite_sum_is_one() -> None:
    assert own.FINITE_SUM in METHODS
