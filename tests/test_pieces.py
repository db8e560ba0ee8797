"""Unfinished work: files that are whole, locks, leftovers, workers that end with their parent."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import CheckpointError, checkpoint
from accbo._pieces import files, kept
from accbo._pieces.engine import carried_out
from accbo._pieces.kept import Kept, Work
from accbo._pieces.lock import Lock, LockedError
from accbo._pieces.workers import WorkerError
from tests.limits import full_disk
from tests.pieces_work import die, long_text, twice

ROOT = Path(__file__).parents[1]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, links and limits")


# --- one writer -------------------------------------------------------------------------------


def test_a_file_is_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    files.write(path, "α\n")
    assert path.read_bytes() == "α\n".encode()
    files.write(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert list(tmp_path.iterdir()) == [path]
    files.write(tmp_path / ("n" * 255), "")  # as long as a name may be


@posix
def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "old")
    with full_disk(), pytest.raises(OSError, match="file") as caught:
        files.write(path, bytes(5000))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="/dev/full"):
            files.write(Path("/dev/full"), "new")
        assert not Path("/dev/full").is_file()


@posix
def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "folder" / "link"
    link.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    files.write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    files.write(null, "gone")
    assert null.resolve() == Path("/dev/null")
    assert not Path("/dev/null").is_file()


def test_a_folder_or_a_missing_one_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "file"):
        with pytest.raises(OSError, match=str(path)):
            files.write(path, "")
    assert list(tmp_path.iterdir()) == []


def test_the_mode_is_that_of_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    files.write(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@posix
def test_what_a_killed_writer_left_is_swept_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    script = (
        "import os, sys; from pathlib import Path; from accbo._pieces import files\n"
        "with files.whole(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", script, tmp_path / name], cwd=ROOT, check=False)
    assert len(list(tmp_path.iterdir())) == 2
    with files.whole(tmp_path / "b") as file:
        files.sweep(tmp_path, "a")
        assert {path.name[:3] for path in tmp_path.iterdir()} == {".b."}
        files.sweep(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1  # the one that is being written
        file.write(b"whole")
    assert (tmp_path / "b").read_bytes() == b"whole"
    assert len(list(tmp_path.iterdir())) == 1
    for odd in (".x.part", ".y.part"):
        (tmp_path / odd).symlink_to("/etc") if odd == ".x.part" else (tmp_path / odd).mkdir()
    files.sweep(tmp_path)  # neither is ours
    files.sweep(tmp_path / "missing")


@posix
def test_reading_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(bytes(11))
    for path, why in ((tmp_path / "pipe", "regular"), ("/dev/zero", "regular"), ("long", "11 b")):
        with pytest.raises(OSError, match=why):
            files.read(tmp_path / path, 10)
    assert files.read(tmp_path / "long", 11) == bytes(11)
    (tmp_path / "link").symlink_to(tmp_path / "long")
    assert files.read(tmp_path / "link", 11) == bytes(11)
    with pytest.raises(OSError, match="link"):
        files.read(tmp_path / "link", 11, follow=False)


# --- locks --------------------------------------------------------------------------------------


def test_one_holds_a_lock_and_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(path), pytest.raises(LockedError, match=f"process {os.getpid()}"):
        Lock(path)
    assert not path.exists()
    path.write_text("123\n")  # of a process that was killed
    Lock(path).release()


@posix
def test_a_lock_that_was_taken_away_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, first = tmp_path / "lock", kept.Lock.__init__.__globals__["claim"], [True]

    def late(descriptor: int) -> bool:
        if first.pop() if first else False:
            path.unlink()  # by its holder, between our opening and our locking it
        return bool(real(descriptor))

    monkeypatch.setattr("accbo._pieces.lock.claim", late)
    with Lock(path):
        assert path.exists()
        with pytest.raises(LockedError):
            Lock(path)


# --- kept pieces --------------------------------------------------------------------------------


def work(number: int, **changes: Any) -> Work:
    arguments = {"function": twice, "arguments": (number,), "key": {"number": number}}
    return Work(**{"name": f"piece-{number}", **arguments, **changes})


def folder_of(tmp_path: Path, **options: Any) -> Kept:
    return Kept(tmp_path / "kept", "number", **options)


def values(pieces: list[Work], **means: Any) -> dict[str, Any]:
    return {done.work.name: done.value for done in carried_out(pieces, **means)}


def test_pieces_are_the_same_wherever_they_come_from(tmp_path: Path) -> None:
    pieces, store = [work(number) for number in range(4)], folder_of(tmp_path)
    here = values(pieces)
    assert values(pieces[:2], jobs=2, kept=store) == dict(list(here.items())[:2])
    store.start({}, resume=True)
    found = list(carried_out(pieces, kept=store))
    assert [done.restored for done in found] == [True, True, False, False]
    assert {done.work.name: done.value for done in found} == here
    store.finish()
    assert list(tmp_path.iterdir()) == []


def test_two_runs_at_once(tmp_path: Path) -> None:
    first, second = folder_of(tmp_path), folder_of(tmp_path)
    first.start({}, resume=False)
    first.save(work(1), twice(1))
    for resume in (False, True):
        with pytest.raises(CheckpointError, match=rf"another run \(process {os.getpid()}\) is at"):
            second.start({}, resume)
    assert first.load(work(1)) == twice(1)  # which the second has not touched
    first.close()
    second.start({}, resume=True)
    second.close()


def test_only_what_is_ours_is_deleted(tmp_path: Path) -> None:
    store = folder_of(tmp_path)
    store.folder.mkdir()
    others = [store.folder / name for name in ("data.npz", "run.npz", "notes.json")]
    for path in others:
        path.write_text("mine")
    store.start({}, resume=False)
    store.save(work(1), twice(1))
    store.finish()
    assert sorted(store.folder.iterdir()) == sorted(others)
    with pytest.raises(CheckpointError, match="holds other files, and no kept pieces"):
        store.start({}, resume=True)


def test_a_run_without_resume_starts_over(tmp_path: Path) -> None:
    store = folder_of(tmp_path)
    store.save(work(1), twice(1))
    store.start({"seed": 1}, resume=False)
    assert store.load(work(1)) is None
    store.close()
    with pytest.raises(CheckpointError, match="other settings: seed was 1, now it is 2"):
        store.start({"seed": 2}, resume=True)
    store.start({"seed": 1}, resume=True)  # refused or not, nobody is locked out
    store.close()


def test_another_version_of_accbo_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = folder_of(tmp_path)
    store.start({}, resume=False)
    store.save(work(1), twice(1))
    store.close()
    monkeypatch.setattr("accbo.__version__", "0.0.9")
    with pytest.raises(CheckpointError, match=r"accbo was '[0-9.]+', now it is '0\.0\.9'"):
        store.load(work(1))
    with pytest.raises(CheckpointError, match="accbo was"):
        store.start({}, resume=True)


def altered(path: Path, change: Any) -> None:
    """The file with its arrays changed and its old header: whole as an archive."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(path, allow_pickle=False, **arrays)


DAMAGE: dict[str, tuple[Any, str]] = {
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-30]), "damaged"),
    "empty": (lambda path: path.write_bytes(b""), "damaged"),
    "edited": (lambda path: altered(path, lambda a: a["json"].put(5, 65)), "not what was written"),
    "another": (lambda path: os.replace(path.with_name("piece-2.piece.npz"), path), "number was 2"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
    "a link": (
        lambda path: (path.unlink(), path.symlink_to(path.with_name("piece-2.piece.npz"))),
        "cannot be read",
    ),
    "a dangling link": (lambda path: (path.unlink(), path.symlink_to("no")), "cannot be read"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "no regular file"),
    "another kind": (
        lambda path: checkpoint.save(path, "letter", {}, {}),
        "checkpoint of 'letter'",
    ),
    "no text": (
        lambda path: signed(path, {"json": np.zeros(3, np.float32)}),
        "does not fit: it holds other arrays",
    ),
    "no JSON": (lambda path: signed(path, {"json": np.zeros(3, np.uint8)}), "does not fit"),
    "deep JSON": (
        lambda path: signed(path, {"json": np.frombuffer(b"[" * 200_000, np.uint8)}),
        "does not fit: RecursionError",
    ),
    "misfit": (
        lambda path: signed(path, {"json": np.frombuffer(b'{"twice": "no"}', np.uint8)}),
        "does not fit: expected a number",
    ),
}


def newer(path: Path, version: Any = 99) -> None:
    """The file as of another layout."""
    settings, arrays = checkpoint.load(path, "number")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "VERSION", version)
        checkpoint.save(path, "number", settings, arrays)


def signed(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """The file with other arrays, and the digest of those."""
    settings, _ = checkpoint.load(path, "number")
    checkpoint.save(path, "number", settings, arrays)


@posix
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_kept_piece_that_cannot_be_used(tmp_path: Path, damage: str) -> None:
    def fits(value: Any) -> None:
        if not isinstance(value["twice"], int):
            raise ValueError("expected a number")

    store = folder_of(tmp_path)
    for number in (1, 2):
        store.save(work(number), twice(number))
    change, message = DAMAGE[damage]
    change(store._path(work(1)))
    with pytest.raises(CheckpointError, match=message) as caught:
        store.load(work(1, fits=fits))
    text = str(caught.value)
    assert "piece-1.piece.npz" in text
    assert "\n" not in text
    assert len(text) < 600


@posix
def test_a_full_disk_ends_the_keeping_or_the_run(tmp_path: Path) -> None:
    long = [work(number, function=long_text, arguments=(9000,)) for number in range(2)]
    told: list[str] = []
    with full_disk():
        found = values(long, kept=folder_of(tmp_path, tell=told.append))
        with pytest.raises(OSError, match=r"piece-0\.piece\.npz"):
            values(long, kept=folder_of(tmp_path))
    assert [len(value["text"]) for value in found.values()] == [9000, 9000]
    assert len(told) == 1
    assert "pieces are not kept any more: " in told[0]
    assert list((tmp_path / "kept").iterdir()) == []


# --- workers ------------------------------------------------------------------------------------


@posix
def test_a_lost_worker_is_named() -> None:
    with pytest.raises(WorkerError, match="a worker ended before its work was done"):
        values([work(number, function=die) for number in range(2)], jobs=2)


PARENT = """
import sys
from accbo._pieces.engine import carried_out
from accbo._pieces.kept import Work
from tests.pieces_work import in_c, in_python
if __name__ == "__main__":
    pairs = zip(sys.argv[1:], (in_c, in_python))
    list(carried_out([Work(path, {}, function, (path,)) for path, function in pairs], jobs=2))
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A parent with two workers that are at work, and the workers' numbers."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("looks at processes by /proc")
    paths = [tmp_path / "one", tmp_path / "two"]
    started = subprocess.Popen(
        [sys.executable, "-c", PARENT, *map(str, paths)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _wait_for(lambda: all(path.exists() and path.read_text() for path in paths))
        yield started, [int(path.read_text()) for path in paths]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


def _wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"  # ended; whoever inherited it has not asked yet


def test_workers_end_with_their_parent(parent: tuple[subprocess.Popen[str], list[int]]) -> None:
    parent[0].kill()
    _wait_for(lambda: all(map(gone, parent[1])))


def test_ctrl_c_ends_everything_without_a_word_of_the_workers(
    parent: tuple[subprocess.Popen[str], list[int]],
) -> None:
    for worker in parent[1]:
        os.kill(worker, signal.SIGINT)  # which is for the parent to act on
    time.sleep(1)  # for a worker that acts on it to say so: a fault is seen, no right code fails
    os.killpg(parent[0].pid, signal.SIGINT)  # as a terminal does: to every process of the group
    error = parent[0].communicate(timeout=60)[1]
    assert error.count("Traceback") == 1  # the parent's, which this script does not catch
    assert error.rstrip().endswith("KeyboardInterrupt")
    assert all(map(gone, parent[1]))


def test_json_values_come_back_to_the_last_bit(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    numbers = (generator.standard_normal(50) * 10.0 ** generator.integers(-300, 300, 50)).tolist()
    store = folder_of(tmp_path)
    store.save(work(1), numbers)
    assert json.dumps(store.load(work(1))) == json.dumps(numbers)
