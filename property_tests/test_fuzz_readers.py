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

from accbo.conformance.running.results import observations, read_results
from accbo.conformance.vectors.build import FOLDER
from accbo.conformance.vectors.files import read_vectors
from accbo.conformance.vectors.lint import lint
from accbo.conformance.vectors.reading import VectorError
from accbo.conformance.vectors.vector import SET, fields_of, load
from property_tests.fuzzing import STRANGE, changed_bytes, changed_value, places

FIELDS = fields_of("AccBO")
LONGEST = 20.0  # seconds of the processor for one reading, which takes at most a few
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
    refused, begin = None, time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except VectorError as error:
        refused = error
    assert refused is None or (refused.what and refused.do and len(str(refused)) < 2000)
    assert time.process_time() - begin < LONGEST


# --- bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@given(content=st.binary(max_size=200))
@example(content=b"[" * 100_000)
@example(content=b'{"a":' * 100_000)
@example(content=b"\x80\x04\x95cos\nsystem\n")
@example(content=b"1" * 100_000)
@example(content=KNOWN.replace(b'"note"', b'"\\ud800"', 1))
@example(content=RESULTS.replace(b'"conventions"', b'"\\ud800"', 1))
def test_any_bytes(reader: str, content: bytes, path: Path) -> None:
    survives(READERS[reader][1], path, content)


@pytest.mark.parametrize("reader", READERS)
@given(data=st.data())
def test_bytes_of_a_right_file_changed(reader: str, data: st.DataObject, path: Path) -> None:
    right, read = READERS[reader]
    survives(read, path, changed_bytes(data, right))


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
@given(data=st.data())
def test_values_of_a_right_file_changed(reader: str, data: st.DataObject, path: Path) -> None:
    right, read = READERS[reader]
    document = json.loads(right)
    for _ in range(data.draw(st.integers(1, 3))):
        how = data.draw(st.sampled_from(("replace", "drop", "double")))
        place = data.draw(st.sampled_from(places(document)))
        document = changed_value(document, place, data.draw(STRANGE), how)
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
