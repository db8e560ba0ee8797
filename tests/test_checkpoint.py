"""A run that is killed goes on to the same bits; a file that does not fit is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import AccBO, CheckpointError, Replay, Tape, checkpoint, problems, run
from accbo._arrays import to_host
from accbo.problems import LowerNoise, UpperNoise
from tests.backends import Backend

NOISE = {
    "noise_upper": UpperNoise(0.3, 0.1, 0.2, 0.1, law="two_point", probability=0.2),
    "noise_lower": LowerNoise(0.2, 0.1, 0.1),
}
STEPS = 40


def algorithm(**changes: Any) -> AccBO:
    chosen = {
        "lower_step_size": 0.2,
        "lower_momentum": 0.6,
        "averaging": 0.3,
        "momentum": 0.8,
        "upper_step_size": 0.05,
        "neumann_terms": 3,
        "neumann_scale": 2.6,
        "neumann_sampling": "randomised",
    }
    return AccBO(**{**chosen, **changes})


def go(like: Any = None, **changes: Any) -> Any:
    problem = problems.nonquadratic((0.8, 1.4), 3, **NOISE)
    x, y = np.ones((5, 3)), np.zeros((5, 2))
    if like is not None:
        problem, x, y = like(problem), like(x), like(y)
    arguments: dict[str, Any] = {
        "steps": STEPS,
        "noise": Tape(3, lower_scale=0.7),
        "warm_start": 2,
        "first": 2,
        "record": {"x": lambda state: state.x, "y": lambda state: state.y_average},
        "every": 3,
    }
    chosen = changes.pop("algorithm", algorithm())
    return run(chosen, problem, x, y, **{**arguments, **changes})


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment ends after few steps, so that a run is kept often."""
    monkeypatch.setattr(sys.modules["accbo.run"], "BLOCK_STEPS", 4)


class Killed(BaseException):
    """Not an Exception, as SIGKILL is none."""


def kill_after(monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    """End the run right after it was kept for the ``saves``-th time."""
    save, count = checkpoint.save, [0]

    def counted(*arguments: Any) -> None:
        save(*arguments)
        count[0] += 1
        if count[0] == saves:
            raise Killed

    monkeypatch.setattr(checkpoint, "save", counted)


def same(a: Any, b: Any) -> None:
    for one, two in zip(a.state, b.state, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    for name in a.records:
        np.testing.assert_array_equal(np.asarray(a.records[name]), np.asarray(b.records[name]))
    np.testing.assert_array_equal(a.iterations, b.iterations)


@pytest.mark.parametrize("saves", [1, 4, 9])
@pytest.mark.parametrize("option", [{}, {"period": 4, "lower_steps": 3, "order": "sequential"}])
def test_a_killed_run_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: dict[str, Any], saves: int
) -> None:
    chosen = algorithm(**option)
    whole = go(algorithm=chosen)
    path = tmp_path / "run.npz"
    keep = {"checkpoint": path, "checkpoint_seconds": 0.0, "algorithm": chosen}
    with monkeypatch.context() as patch:
        kill_after(patch, saves)
        with pytest.raises(Killed):
            go(**keep)
    same(whole, go(**keep))
    assert sorted(tmp_path.iterdir()) == [path]


def test_on_every_backend(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = go(backend.move)
    keep = {"checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0.0}
    if backend.name == "mparray":
        with pytest.raises(TypeError, match="more digits"):
            go(backend.move, **keep)
        return
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            go(backend.move, **keep)
    resumed = go(backend.move, **keep)
    for name in ("x", "y"):
        np.testing.assert_array_equal(to_host(whole.records[name]), to_host(resumed.records[name]))


def test_a_finished_run_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.npz"
    whole = go(checkpoint=path)
    monkeypatch.setattr(AccBO, "step", None)
    same(whole, go(checkpoint=path))


def test_a_replayed_tape_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = problems.nonquadratic((0.8, 1.4), 3, **NOISE)
    stream = Tape(1).open(np.ones((5, 3)))
    start = stream.start(algorithm().draw_start(problem, 2, 2))
    block = stream.block(algorithm().draw(problem), STEPS)
    steps = [type(block)(*[{k: v[t] for k, v in p.items()} for p in block]) for t in range(STEPS)]
    whole = go(noise=Replay(start, steps))
    keep = {"checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0.0}
    with monkeypatch.context() as patch:
        kill_after(patch, 4)
        with pytest.raises(Killed):
            go(noise=Replay(start, steps), **keep)
    same(whole, go(noise=Replay(start, steps), **keep))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": STEPS + 1}, "steps was 40, now it is 41"),
        ({"noise": Tape(4, lower_scale=0.7)}, "noise.seed was 3, now it is 4"),
        ({"algorithm": algorithm(momentum=0.7)}, "algorithm.momentum was 0.8, now it is 0.7"),
        ({"record": {"z": lambda state: state.y}}, "record was"),
    ],
)
def test_another_run_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "run.npz"
    go(checkpoint=path)
    with pytest.raises(CheckpointError, match=f"other settings: {message}"):
        go(checkpoint=path, **changes)


def test_damaged_newer_or_foreign_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    go(checkpoint=path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", b"text", whole[:middle], whole[:-30], b"x" + whole[1:]):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"run\.npz is damaged or no checkpoint"):
            go(checkpoint=path)
    flipped = bytearray(whole)
    flipped[whole.index(b"NUMPY") + 200] ^= 1  # a bit of the values
    path.write_bytes(bytes(flipped))
    with pytest.raises(CheckpointError, match="damaged"):
        go(checkpoint=path)
    checkpoint.save(path, "other", {}, {})
    with pytest.raises(CheckpointError, match="a checkpoint of 'other', not of 'run'"):
        go(checkpoint=path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "VERSION", 99)
        checkpoint.save(path, "run", {}, {})
    with pytest.raises(CheckpointError, match="newer accbo"):
        go(checkpoint=path)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match="is a folder"):
        go(checkpoint=path)


def test_no_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    np.savez(path, header=np.array([{"kind": "run"}], dtype=object))
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path, "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"missing/run\.npz"):
        go(checkpoint=tmp_path / "missing" / "run.npz")


SIGKILL = """
import os, signal, sys
from pathlib import Path
from accbo import checkpoint
from tests.test_checkpoint import go
save, count = checkpoint.save, [0]
def counted(*arguments):
    count[0] += 1
    if count[0] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    save(*arguments)
checkpoint.save = counted
sys.modules["accbo.run"].BLOCK_STEPS = 4
go(checkpoint=Path(sys.argv[1]), checkpoint_seconds=0.0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_process_killed_for_real(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", SIGKILL, str(path)], cwd=root, check=False)
    assert done.returncode == -9
    same(go(), go(checkpoint=path))
