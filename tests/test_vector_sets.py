"""A number pins a set of vectors: what a set holds is written down in ``vector_sets.json``.

One row a set and algorithm. A row of a published set is never changed: what differs starts a new
set. Of a set that is not published yet the flags follow the catalogue of mistakes (``accbo vectors
generate --flags``), and their digest with it, by a line of the changelog. The row of a new one is
in the message of the test that misses it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo.conformance.methods import METHODS
from accbo.conformance.vectors.vector import SET, Vector, encode, encode_problem, load

TABLE = json.loads(Path(__file__).with_name("vector_sets.json").read_text(encoding="utf-8"))
ORIGIN = ("state", "x", "y", "start", "start_samples")
INPUTS = ("kind", "algorithm", "dtype", "replicates", "samples", *ORIGIN)


def digest(rows: Sequence[Any]) -> str:
    """A digest of JSON values; floats count to the last bit."""
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def content(vectors: Sequence[Vector]) -> dict[str, Any]:
    """What is pinned, apart for each kind of change; in the order of the ids."""
    vectors = sorted(vectors, key=lambda vector: vector.id)
    encoded = [encode(vector) for vector in vectors]
    inputs = [
        [encode_problem(vector.problem), *(values.get(name) for name in INPUTS)]
        for vector, values in zip(vectors, encoded, strict=True)
    ]
    return {
        "vectors": len(vectors),
        "ids": digest([values["id"] for values in encoded]),
        "inputs": digest(inputs),
        "expected": digest([values["expected"] for values in encoded]),
        "tolerances": digest([values["tolerance"] for values in encoded]),
        "flags": digest([[sorted(values["flags"]), values["fast"]] for values in encoded]),
    }


@pytest.mark.parametrize("number", range(1, SET + 1))
@pytest.mark.parametrize("method", METHODS)
def test_a_number_pins_a_set(number: int, method: str) -> None:
    found = content(load(number, method))
    row = TABLE.get(str(number), {}).get(method)
    assert row is not None, f"set {number} of {method} has no row yet: {json.dumps(found)}"
    changed = [name for name in found if found[name] != row[name]]
    assert not changed, f"{', '.join(changed)} of set {number} of {method} changed: start a new set"


def test_every_row_is_of_a_set_that_can_be_asked_for() -> None:
    assert set(TABLE) == {str(number) for number in range(1, SET + 1)}
    assert all(set(rows) == set(METHODS) for rows in TABLE.values())


def last_bit(states: tuple[Any, ...]) -> tuple[Any, ...]:
    name = next(iter(states[0]))
    return ({**states[0], name: np.nextafter(states[0][name], np.inf)}, *states[1:])


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("expected", lambda v: {"expected": last_bit(v.expected)}),
        ("tolerances", lambda v: {"tolerance": last_bit(v.tolerance)}),
        ("flags", lambda v: {"flags": v.flags[1:]}),
        ("flags", lambda v: {"fast": not v.fast}),
        ("inputs", lambda v: {"algorithm": dataclasses.replace(v.algorithm, upper_step_size=0.3)}),
        ("inputs", lambda v: {"samples": tuple({} for _ in v.samples)}),
        ("ids", lambda v: {"id": v.id + "'"}),
    ],
)
def test_the_smallest_change_shows_and_is_named(what: str, change: Any) -> None:
    vectors = load(1, "SLIP")
    one = next(v for v in vectors if v.flags)
    others = [v for v in vectors if v is not one]
    before = content(vectors)
    after = content([*others, dataclasses.replace(one, **change(one))])
    assert [name for name in before if before[name] != after[name]] == [what]
    assert content([*others[::-1], one]) == before  # in whatever order they are read


def test_a_vector_more_shows() -> None:
    vectors = load(1, "SLIP")
    assert content(vectors[1:])["vectors"] == TABLE["1"]["SLIP"]["vectors"] - 1
    assert content(vectors[1:])["ids"] != TABLE["1"]["SLIP"]["ids"]
