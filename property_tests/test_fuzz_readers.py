"""Whatever bytes a file holds, reading it ends soon, and only ``VectorError`` comes out."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accbo.conformance.build import FOLDER
from accbo.conformance.files import VectorError, observations, read_results, read_vectors
from accbo.conformance.lint import lint
from accbo.conformance.vector import FIELDS, SET, load

LONGEST = 5.0  # seconds of one reading, on a machine that does other things too
KNOWN = (FOLDER / "known-answer.json").read_bytes()
RESULTS = json.dumps(
    {
        "format": "accbo-results/1",
        "set": SET,
        "implementation": "expected",
        "conventions": {"order": ["simultaneous"]},
        "results": {
            vector.id: [{name: e[name].tolist() for name in FIELDS} for e in vector.expected]
            for vector in load()
            if vector.id.startswith("known-answer")
        },
    }
).encode()


def _read_results(path: Path) -> Any:
    return observations(read_results(path))


READERS: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "vectors": (KNOWN, read_vectors),
    "results": (RESULTS, _read_results),
    "lint": (KNOWN, lambda path: lint([path])),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file.json"


def survives(read: Callable[[Path], Any], path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused, begin = None, time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except VectorError as error:
        refused = error
    assert refused is None or (refused.what and refused.do and len(str(refused)) < 2000)
    assert time.perf_counter() - begin < LONGEST


# --- bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@given(content=st.binary(max_size=200))
@example(content=b"[" * 100_000)
@example(content=b'{"a":' * 100_000)
@example(content=b"\x80\x04\x95cos\nsystem\n")
@example(content=b"1" * 100_000)
def test_any_bytes(reader: str, content: bytes, path: Path) -> None:
    survives(READERS[reader][1], path, content)


@pytest.mark.parametrize("reader", READERS)
@given(data=st.data())
def test_bytes_of_a_right_file_changed(reader: str, data: st.DataObject, path: Path) -> None:
    right, read = READERS[reader]
    content = bytearray(right)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(("cut", "change", "insert", "repeat")))
        if kind == "cut":
            del content[at : at + data.draw(st.integers(1, 50))]
        elif kind == "change":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(max_size=10))
        else:
            content[at:at] = content[at : at + 100]
        if not content:
            break
    survives(read, path, bytes(content))


# --- values -----------------------------------------------------------------------------------

NUMBERS = st.sampled_from(
    (0, -1, 1, 2, 10**9, 10**18, -(10**400), 10**400, 1e308, -1e308, 5e-324, 0.5, 1e-300)
)
STRANGE = st.one_of(
    NUMBERS,
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from(("simultaneous", "II", "quadratic", "accbo-vectors/2", "stale sample", "NaN")),
    st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3), max_leaves=8),
    st.dictionaries(st.sampled_from(("x", "index", "none", "kind")), NUMBERS, max_size=2),
    st.integers(1, 300).map(lambda depth: _nested(depth)),
)


def _nested(depth: int) -> Any:
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    return value


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every part of a document stands."""
    if isinstance(value, dict):
        inner = [_places(part, (*place, key)) for key, part in value.items()]
    elif isinstance(value, list):
        inner = [_places(part, (*place, index)) for index, part in enumerate(value)]
    else:
        inner = []
    return [place, *(found for part in inner for found in part)]


def _changed(document: Any, place: tuple[Any, ...], value: Any, how: str) -> Any:
    """``document`` with the part at ``place`` replaced, dropped or doubled."""
    if not place:
        return value
    key, rest = place[0], place[1:]
    if rest or how == "replace":
        document[key] = _changed(document[key], rest, value, how)
    elif how == "drop":
        del document[key]
    elif isinstance(document, list):
        document.insert(key, document[key])
    else:
        document[f"{key}2"] = document[key]
    return document


@pytest.mark.parametrize("reader", READERS)
@given(data=st.data())
def test_values_of_a_right_file_changed(reader: str, data: st.DataObject, path: Path) -> None:
    right, read = READERS[reader]
    document = json.loads(right)
    for _ in range(data.draw(st.integers(1, 3))):
        how = data.draw(st.sampled_from(("replace", "drop", "double")))
        place = data.draw(st.sampled_from(_places(document)))
        document = _changed(document, place, data.draw(STRANGE), how)
    survives(read, path, json.dumps(document, allow_nan=True).encode("utf-8", "surrogatepass"))


@given(values=st.lists(st.floats(), min_size=2, max_size=2))
def test_numbers_come_through_as_they_are(values: list[float], path: Path) -> None:
    name = "known-answer/normalised-step"
    shown = [{"x": [value if math.isfinite(value) else None for value in values]}]
    document = {**json.loads(RESULTS), "results": {name: shown}}
    path.write_text(json.dumps(document), encoding="utf-8")
    found = next(o for o in _read_results(path) if o.vector.id == name)
    for got, value in zip(found.states[0]["x"], values, strict=True):
        assert got == value if math.isfinite(value) else math.isnan(got)
