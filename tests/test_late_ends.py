"""Somebody else's ``os._exit(0)`` beside the call of theirs: the exit code stays ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accbo import cli
from theory_checks import __main__ as theory

ROOT = Path(__file__).parents[1]
MAINS = {"accbo.cli": cli.main, "theory_checks": theory.main}

# without a verdict, and wrong in the two other ways that are judged; ``deed`` is done in each
WRONG = """
import os
from accbo.conformance import from_function
from accbo.conformance.faults import FAULTS
from accbo.problems import quadratic

def deed():
    pass

def step(problem, algorithm, state, sample):
    deed()
    raise RuntimeError("no such layer")

Implementation = from_function(step)

def fault(algorithm):
    deed()
    return FAULTS["1/l missing"].apply(algorithm)

class Problem:
    def __init__(self):
        self.base = quadratic((1.0, 2.0), 2)

    def __getattr__(self, name):
        return getattr(self.base, name)

    def grad_y_upper(self, x, y, sample=None):
        deed()
        return 2 * self.base.grad_y_upper(x, y, sample)
"""
CODES = {"conform": 2, "audit": 1, "theory_checks": 1}
PROGRAMS = {
    "conform": ("accbo.cli", "conform", "late.py:Implementation", "--fast"),
    "audit": ("accbo.cli", "audit", "late.py:Problem", "--samples", "64"),
    "theory_checks": (
        *("theory_checks", "--check", "neumann_bias", "--fault", "late.py:fault", "--jobs", "1"),
    ),
}

# Python ends: what was registered for it, and what is then thrown away
AFTERWARDS = {
    "atexit": "import atexit; atexit.register(lambda: os._exit(0))",
    "__del__": """
class Ends:
    def __del__(self):
        os._exit(0)

KEPT = [Ends()]
KEPT.append(KEPT)
""",
}
MEANWHILE = {
    "a thread": """
import threading

def deed():
    thread = threading.Thread(target=lambda: os._exit(0))
    thread.start()
    thread.join()
""",
    "__del__": """
class Ends:
    def __del__(self):
        os._exit(0)

def deed():
    Ends()
""",
}


@pytest.mark.parametrize(
    ("what", "program"), [("__del__", "conform"), ("atexit", "audit"), ("atexit", "theory_checks")]
)
def test_after_the_verdict(what: str, program: str, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(f"{WRONG}\n{AFTERWARDS[what]}")
    module, *words = PROGRAMS[program]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == CODES[program], done.stderr
    assert done.stdout


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("what", "program"),
    [
        ("a thread", "conform"),
        ("__del__", "audit"),
        ("a thread", "audit"),
        ("__del__", "theory_checks"),
    ],
)
def test_meanwhile(
    what: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "late.py").write_text(f"{WRONG}\n{MEANWHILE[what]}")
    module, *words = PROGRAMS[program]
    assert MAINS[module](words) == CODES[program]


CALLBACK = """
import os, sys
import jax
from accbo.conformance import from_function

def deed(x):
    {deed}
    return x

def step(problem, algorithm, state, sample):
    return state._replace(x={call})

Implementation = from_function(step, namespace="jax")
"""


@pytest.mark.parametrize(
    "call",
    [
        "jax.pure_callback(deed, state.x, state.x)",
        "jax.experimental.io_callback(deed, state.x, state.x)",
    ],
)
@pytest.mark.parametrize("deed", ["sys.exit(0)", "os._exit(0)"])
def test_in_a_callback_of_jax(
    deed: str, call: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jax")
    (tmp_path / "called.py").write_text(CALLBACK.format(deed=deed, call=call))
    code = cli.main(["conform", f"{tmp_path}/called.py:Implementation", "--fast"])
    assert code == 2
    assert "could not run" in capsys.readouterr().out


def test_in_a_callback_whose_result_nobody_reads(tmp_path: Path, capsys: Any) -> None:
    """JAX tells it later, or never; the numbers, which are wrong, are judged all the same."""
    pytest.importorskip("jax")
    call = "(jax.debug.callback(deed, state.x), state.x)[1]"
    (tmp_path / "called.py").write_text(CALLBACK.format(deed="os._exit(0)", call=call))
    assert cli.main(["conform", f"{tmp_path}/called.py:Implementation", "--fast"]) in (1, 2)
    assert capsys.readouterr().out
