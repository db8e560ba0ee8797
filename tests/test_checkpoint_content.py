"""What a checkpoint holds is looked at before it is used: sizes, digest, names, shapes, dtypes."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import CheckpointError, Replay, checkpoint, problems
from accbo._pieces.described import described, difference
from tests.limits import full_disk
from tests.test_checkpoint import STEPS, algorithm, go, same

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "run.npz"
    go(checkpoint=path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, whole: bytes) -> Path:
    """The checkpoint of a finished run."""
    path = tmp_path / "run.npz"
    path.write_bytes(whole)
    return path


def refused(path: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        go(checkpoint=path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) < len(str(path)) + 400


# --- whole archives whose content was changed ---------------------------------------------------


def edited(path: Path, change: Callable[[Arrays], Any]) -> None:
    """The archive written anew by NumPy, its checksums right, its header the old one."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(path, allow_pickle=False, **arrays)


def swap(a: str, b: str) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[a], arrays[b] = arrays[b], arrays[a]

    return change


def set_header(**changes: Any) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        header = json.loads(arrays["header"].tobytes())
        header["settings"].update(changes)
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)

    return change


EDITS: dict[str, Callable[[Arrays], Any]] = {
    "a value": lambda arrays: arrays["state/x"].put(0, 9.0),
    "the last bit of a value": lambda a: a["record/x"].put(
        3, np.nextafter(a["record/x"].flat[3], 9)
    ),
    "two states swapped": swap("state/x", "state/x_previous"),
    "two records swapped": swap("record/x", "record/y"),
    "a NaN": lambda arrays: arrays["state/y"].put(0, np.nan),
    "float32": lambda a: a.update({"state/x": a["state/x"].astype(np.float32)}),
    "another shape": lambda a: a.update({"state/x": a["state/x"].T.copy()}),
    "one array less": lambda arrays: arrays.pop("state/momentum"),
    "one array more": lambda arrays: arrays.update(more=np.zeros(1)),
    "the random stream": lambda arrays: arrays["stream/normal"].put(0, 1),
    "the iteration": set_header(iteration=7),
    "a setting": set_header(steps=STEPS + 1),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_file_with_right_checksums_is_refused(path: Path, edit: str) -> None:
    edited(path, EDITS[edit])
    refused(path, "is damaged: its content is not what was written")


# --- content with a right digest that is none of this run's -------------------------------------


def signed(path: Path, change: Callable[[Arrays], Any], **settings: Any) -> None:
    """The file with other content, and the digest of that."""
    found, arrays = checkpoint.load(path, "run")
    change(arrays)
    checkpoint.save(path, "run", {**found, **settings}, arrays)


MISFITS: dict[str, tuple[Callable[[Arrays], Any], str]] = {
    "a NaN": (EDITS["a NaN"], "state/y holds a NaN or an infinity"),
    "float32": (EDITS["float32"], r"state/x is float32 \(5, 3\), expected float64 \(5, 3\)"),
    "another shape": (EDITS["another shape"], r"state/x is float64 \(3, 5\), expected"),
    "one array less": (EDITS["one array less"], "state/momentum is missing"),
    "one array more": (EDITS["one array more"], "more belongs to no such run"),
    "no record": (lambda arrays: arrays.pop("record/x"), "record/x is missing"),
    "a shorter record": (
        lambda arrays: arrays.update({"record/x": arrays["record/x"][1:]}),
        r"record/x is float64 \(12, 5, 3\), expected float64 \(13, 5, 3\)",
    ),
    "other iterations": (
        lambda arrays: arrays.update(iterations=arrays["iterations"] + 1),
        "iterations are not every 3 up to 40",
    ),
    "an unknown stream": (lambda a: a.update({"stream/x": a["stream/sign"]}), "no stream 'x'"),
    "a lost stream": (lambda a: a.pop("stream/sign"), "stream/sign is missing"),
    "a short stream": (lambda a: a.update({"stream/sign": a["stream/sign"][1:]}), "words, not 5"),
    "a stream of floats": (
        lambda arrays: arrays.update({"stream/sign": np.zeros((5, 4))}),
        "no stream 'sign' of float64",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_content_that_does_not_fit_the_run_is_refused(path: Path, misfit: str) -> None:
    change, message = MISFITS[misfit]
    signed(path, change)
    refused(path, f"does not fit this run: .*{message}")


@pytest.mark.parametrize("iteration", [0, STEPS + 1, True, 2.5, "7", None, [1]])
def test_the_iteration_is_one_of_the_run(path: Path, iteration: Any) -> None:
    signed(path, lambda arrays: None, iteration=iteration)
    refused(path, "does not fit this run: the iteration is")


@pytest.mark.parametrize("words", [np.array(-1), np.array(1.5), np.array([2]), np.array(10**12)])
def test_a_replay_s_position_is_a_count(tmp_path: Path, words: np.ndarray) -> None:
    stream = Replay(None, []).open(np.ones(1))
    if words == 10**12:
        stream.seek({"taken": words})
        with pytest.raises(ValueError, match="end after 0 of 1 steps"):
            stream.block(None, 1)
        return
    with pytest.raises(ValueError, match="how many samples were taken"):
        stream.seek({"taken": words})


# --- bytes that ask for more than there is ------------------------------------------------------


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)


def npy(shape: str, content: bytes = b"", descr: str = "'<f8'") -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


HEADER = npy("(0,)", descr="'|u1'")
BOMBS: dict[str, Callable[[Path], None]] = {
    "a shape of 10^12": lambda p: archive(p, {"header.npy": HEADER, "a.npy": npy(f"({10**12},)")}),
    "a shape of 10^30": lambda p: archive(p, {"header.npy": HEADER, "a.npy": npy(f"({10**30},)")}),
    "a product beyond 64 bits": lambda p: archive(
        p, {"header.npy": HEADER, "a.npy": npy(f"({2**32}, {2**32})")}
    ),
    "objects": lambda p: archive(p, {"header.npy": HEADER, "a.npy": npy("(1,)", b"x", "'|O'")}),
    "a nested header": lambda p: archive(p, {"header.npy": npy("(" * 9000)}),
    "much in little": lambda p: archive(
        p, {"header.npy": HEADER, "a.npy": npy(f"({2**24},)", bytes(2**27))}, zipfile.ZIP_DEFLATED
    ),
    "a deep JSON header": lambda p: archive(
        p, {"header.npy": npy("(200000,)", b"[" * 200_000, "'|u1'")}
    ),
    "a long number": lambda p: archive(
        p, {"header.npy": npy("(200000,)", b"9" * 200_000, "'|u1'")}
    ),
    "no archive": lambda p: p.write_bytes(bytes(10_000)),
    "a sparse file": lambda p: os.truncate(p, 2**40),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_asks_for_too_much_is_refused(path: Path, bomb: str) -> None:
    BOMBS[bomb](path)
    refused(path, "is damaged or no checkpoint|cannot be read")


def test_a_right_file_that_was_compressed_is_refused(path: Path) -> None:
    """None of ours is, and so nothing is ever unpacked to more than the file takes."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    archive(path, members)
    same(go(), go(checkpoint=path))
    archive(path, members, zipfile.ZIP_DEFLATED)
    refused(path, "is damaged or no checkpoint")


def test_empty_arrays_and_single_numbers_come_back(tmp_path: Path) -> None:
    arrays = {"empty": np.zeros((0, 7)), "one": np.array(0.1), "none": np.zeros(0, np.int64)}
    checkpoint.save(tmp_path / "a", "kind", {}, arrays)
    found = checkpoint.load(tmp_path / "a", "kind")[1]
    for name, values in arrays.items():
        assert (found[name].shape, found[name].dtype) == (values.shape, values.dtype)


def test_members_that_share_their_bytes_are_refused(path: Path) -> None:
    """A thousand names for one content: nothing is compressed, and all of it together is large."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.npy", npy("(10000,)", bytes(80_000)))
        (member,) = file.infolist()
        for number in range(1000):
            twin = zipfile.ZipInfo(f"b{number}.npy")
            for name in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(twin, name, getattr(member, name))
            file.filelist.append(twin)
            file.NameToInfo[twin.filename] = twin
    path.write_bytes(packed.getvalue())
    refused(path, "is damaged or no checkpoint")


def test_a_file_longer_than_its_run_can_be_is_not_read(path: Path) -> None:
    with open(path, "ab") as file:
        file.truncate(path.stat().st_size + 2**22)
    refused(path, r"cannot be read \(it takes [0-9,]+ bytes, at most [0-9,]+ belong\)")


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_is_named_and_leaves_the_old_file(path: Path, whole: bytes) -> None:
    path.unlink()
    with full_disk(), pytest.raises(OSError, match=r"run\.npz"):
        go(checkpoint=path, checkpoint_seconds=0.0)
    assert list(path.parent.iterdir()) == []
    path.write_bytes(whole)
    with full_disk():
        go(checkpoint=path)  # nothing is left to do, and nothing written
    assert path.read_bytes() == whole


@pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")
def test_a_link_to_a_checkpoint_is_followed_and_stays(path: Path) -> None:
    link = path.with_name("link.npz")
    link.symlink_to(path)
    same(go(), go(checkpoint=link))
    path.unlink()
    same(go(), go(checkpoint=link))  # it points at nothing: the run begins there
    assert link.is_symlink()
    assert path.exists()


def test_what_a_killed_run_left_beside_it_goes(path: Path) -> None:
    left = path.with_name(f".{path.name}.01234567.part")
    left.write_bytes(b"half")
    go(checkpoint=path)
    assert not left.exists()


# --- what is compared ---------------------------------------------------------------------------


def test_another_version_of_accbo_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accbo.__version__", "0.0.9")
    refused(path, r"accbo was '[0-9.]+', now it is '0\.0\.9'")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"algorithm": algorithm(neumann_scale=2.7)},
            "algorithm.neumann_scale was 2.6, now .* 2.7",
        ),
        ({"algorithm": algorithm(order="sequential")}, "algorithm.order was 'simultaneous'"),
        ({"every": 4}, "every was 3, now it is 4"),
    ],
)
def test_the_first_field_that_differs_is_shown(path: Path, change: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        go(checkpoint=path, **change)


def parts(value: Any) -> dict[str, Any]:
    """As a file gives it back."""
    return json.loads(json.dumps(dict(described(value, "it"))))


def test_arrays_are_compared_to_within_rounding_and_no_further() -> None:
    few, many = np.linspace(1, 2, 4).reshape(2, 2), np.linspace(1, 2, 1000).reshape(10, 100)
    for values in (few, many):
        shifted = values * (1 + 3e-15 * np.sin(np.arange(values.size).reshape(values.shape)))
        assert difference(parts(values), parts(shifted)) is None
        for place in (0, values.size - 1):
            other = values.copy()
            other.flat[place] += 1e-6
            assert difference(parts(values), parts(other)) is not None
        assert difference(parts(values), parts(values[::-1])) is not None
        assert difference(parts(values), parts(values.astype(np.float32))) is not None
        assert difference(parts(values), parts(values.T)) is not None or values is few
    found = difference(parts(few), parts(few + np.array([[0, 0], [1e-3, 0]])))
    assert found is not None
    assert found[0] == "it[1, 0]"
    assert difference(parts(np.arange(4)), parts(np.arange(4) + (np.arange(4) == 3))) is not None
    assert difference(parts({"a": 1.0}), parts({"b": 1.0})) == ("it['b']", "absent", 1.0)
    assert difference(parts((1, 2.0)), parts((1, 2.0, None))) == ("len(it)", 2, 3)


def test_long_values_are_shown_where_they_differ() -> None:
    old, new = ["a" * 300 + "b"], ["a" * 300 + "c"]
    texts = checkpoint.apart(old, new)
    assert texts[0].endswith("aab']")
    assert texts[1].endswith("aac']")
    assert max(map(len, texts)) < 110


KERNEL = """
import sys
from pathlib import Path
from accbo import Tape, problems, run, schedules
from tests.test_checkpoint import NOISE, algorithm
import numpy as np
problem = problems.nonquadratic(tuple(np.linspace(1, 3, 20)), 15, **NOISE)
scale = problem.constants.curvature
chosen = algorithm(neumann_scale=1.2 * scale, lower_step_size=0.3 / scale)
start = np.ones((2, 15)), np.linalg.solve(problem.hessian, np.ones((20, 2))).T
run(chosen, problem, *start, steps=int(sys.argv[2]), checkpoint=Path(sys.argv[1]))
print(repr(scale))
"""


def test_another_blas_kernel_goes_on(tmp_path: Path) -> None:
    """Where OpenBLAS knows no such kernel, or uses one alone, this asks for nothing."""
    found = set()
    for kernel in ("Haswell", "Prescott"):
        done = subprocess.run(
            [sys.executable, "-c", KERNEL, str(tmp_path / "run.npz"), "20"],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "OPENBLAS_CORETYPE": kernel},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    if len(found) == 1:
        pytest.skip("both kernels give the same bits here")


def test_a_problem_of_other_numbers_is_another_problem(path: Path) -> None:
    other = problems.nonquadratic((0.8, 1.4001), 3)
    assert difference(parts(other), parts(problems.nonquadratic((0.8, 1.4), 3))) is not None
