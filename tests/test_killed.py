"""Killed in the middle of a write, at drawn moments, and resumed: the same bits, nothing left."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.backends import need

ROOT = Path(__file__).parents[1]
# of what is kept; there are a few more
WRITES = {"tasks": 12, "vectors": 4, "theory": 12, "torch": 9, "jax": 9}
SLOW = ("torch", "jax")  # a network to start four times over
TIMES = ("seconds", "equal_seconds", "date", "load")  # measured anew by every run


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(part) for key, part in value.items() if key not in TIMES}
    return [without_times(part) for part in value] if isinstance(value, list) else value


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    "what", [pytest.param(w, marks=[pytest.mark.slow] if w in SLOW else []) for w in WRITES]
)
def test_killed_twice_in_a_write_and_resumed(what: str, tmp_path: Path) -> None:
    if what in SLOW:
        need(what)

    def run(number: int, name: str, *more: str) -> int:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        file = folder / ("known-answer.json" if what == "vectors" else "found.json")
        words = [sys.executable, "-m", "tests.killed", str(number), what, str(file), *more]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, check=False)
        assert number or done.returncode == 0, done.stderr.decode()
        return done.returncode

    resume = [] if what == "vectors" else ["--resume"]
    drawn = random.Random(what)
    cut = sorted(drawn.sample(range(2, WRITES[what] + 1), 2))
    assert run(cut[0], "resumed") == -9
    left = list((tmp_path / "cache").rglob(".*.part"))
    assert len(left) == 1  # the kill was in the middle of a write
    assert len(list((tmp_path / "cache").rglob("*.piece.npz"))) == cut[0] - 2
    assert run(cut[1] - cut[0] + 2, "resumed", *resume) == -9
    assert len(list((tmp_path / "cache").rglob(".*.part"))) == 1  # that of before is gone
    run(0, "resumed", *resume)
    assert list((tmp_path / "cache" / "accbo").iterdir()) == []
    run(0, "whole")
    found = {
        name: {path.name: path for path in (tmp_path / name).iterdir()}
        for name in ("whole", "resumed")
    }
    assert found["whole"].keys() == found["resumed"].keys()
    for name, path in found["whole"].items():
        one, other = (json.loads(each.read_bytes()) for each in (path, found["resumed"][name]))
        assert without_times(one) == without_times(other)
