"""Sweeps on workers: the same numbers as in one process, and after a kill of all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from theory_checks import __main__ as command
from theory_checks import neumann_bias
from theory_checks.harness import Settings

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test looks at what another one keeps."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """A nanny of Dask writes into the environment of the process that starts it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def numbers(path: Path) -> Any:
    """What a run found, without when, how long and by how many."""
    document = json.loads(path.read_text())
    del document["seconds"], document["environment"]
    for check in document["checks"]:
        del check["seconds"]
    return document


# theory_checks, killed by SIGKILL, its workers with it, when the N-th piece is kept
KILLED = """
import os, signal, sys
from accbo._pieces.kept import Kept

save, count = Kept.save, [0]

def counted(self, *arguments):
    save(self, *arguments)
    count[0] += 1
    if count[0] == int(sys.argv[1]):
        os.killpg(0, signal.SIGKILL)

Kept.save = counted
if __name__ == "__main__":
    from theory_checks.__main__ import main

    sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("where", [[], ["--dask", "local"]], ids=["processes", "dask"])
def test_killed_with_its_workers_and_resumed(
    tmp_path: Path, own_cache: Path, where: list[str]
) -> None:
    """At two moments on processes; on Dask, whose start takes seconds, at one."""
    if where:
        pytest.importorskip("distributed")
    whole, resumed = tmp_path / "whole.json", tmp_path / "resumed.json"
    arguments = ["--check", "neumann_bias", "--seed", "5", "--jobs", "2"]
    pieces = len(neumann_bias.pieces(Settings()))
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    kept = 0
    for number in (2,) if where else (2, pieces - 4):
        words = [str(number), *arguments, *where, "--json", str(resumed)]
        done = subprocess.run(
            [sys.executable, str(script), *words, *(["--resume"] if kept else [])],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},  # a wheel has no theory_checks at the top
            start_new_session=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        kept += number
        assert len(list((own_cache / "accbo").glob("*/*.piece.npz"))) == kept < pieces
    assert command.main([*arguments, *where, "--json", str(resumed), "--resume"]) == 0
    assert command.main([*arguments[:-1], "1", "--json", str(whole)]) == 0
    assert numbers(whole) == numbers(resumed)


def test_a_dask_address_that_does_not_answer_exits_2(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("accbo._pieces.workers.PATIENCE", 1)
    assert command.main(["--check", "neumann_bias", "--dask", "tcp://127.0.0.1:9"]) == 2
    assert "no Dask scheduler answers at 'tcp://127.0.0.1:9'" in capsys.readouterr().err


def test_a_lost_worker_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("theory_checks.sweep.measure", _die)
    assert command.main(["--check", "neumann_bias", "--jobs", "2"]) == 2
    assert "a worker ended before its work was done" in capsys.readouterr().err


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
