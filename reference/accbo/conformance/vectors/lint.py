"""What is wrong with files of vectors beyond their schema: a linter, and what proofs contradict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accbo._arrays import named_leaves
from accbo.conformance.methods import METHODS, catalogue
from accbo.conformance.vectors.build import ESTIMATE_TOLERANCE
from accbo.conformance.vectors.conditions import measured
from accbo.conformance.vectors.files import read_document, vectors_in
from accbo.conformance.vectors.proof.prove import prove
from accbo.conformance.vectors.records import LONGEST
from accbo.conformance.vectors.vector import MEASURED, Vector, convention

LEAST_CAUGHT = 3  # vectors a fault


def lint(paths: Sequence[str | Path], *, whole: bool = False) -> list[str]:
    """What is wrong with files of vectors, one line each; ``whole``: they are a whole set.

    Raises ``VectorError`` where a file cannot be read at all.
    """
    found: list[str] = []
    vectors: list[Vector] = []
    for path in paths:
        document = read_document(path)
        of_file = vectors_in(document, path)
        for vector, values in zip(of_file, document["vectors"], strict=True):
            found += [f"{path}: {vector.id}: {line}" for line in _lint(vector, values)]
        proof = prove([document])
        found += [f"{path}: {wrong}" for wrong in (*proof.refuted, *proof.undecided)]
        used = {vector.problem_name for vector in of_file}
        found += [f"{path}: no vector uses {name!r}" for name in set(document["problems"]) - used]
        vectors += of_file
    twice = [name for name, count in Counter(v.id for v in vectors).items() if count > 1]
    found += [f"{name}: stands in two files" for name in twice]
    for method in dict.fromkeys(vector.method for vector in vectors) if whole else ():
        found += _lint_set(method, [one for one in vectors if one.method == method])
    return found


def _lint(vector: Vector, values: Mapping[str, Any]) -> Iterator[str]:
    if values.get("convention", {}) != convention(vector):
        yield f"the convention is {convention(vector)}, not {values['convention']}"
    sizes = (vector.problem.d_x, vector.problem.d_y)
    if (values["difficulty"]["d_x"], values["difficulty"]["d_y"]) != sizes:
        yield f"d_x and d_y are {sizes}"
    if len(vector.expected) > LONGEST:
        yield f"a trajectory has at most {LONGEST} states"
    yield from _inexact(vector)
    yield from _tolerances(vector)
    if not vector.line:
        yield "it does not say which line of SPEC §2 it exercises"
    if list(vector.flags) != [name for name in catalogue(vector.method) if name in vector.flags]:
        yield "flags stand in another order than `accbo faults`, or twice"


def _tolerances(vector: Vector) -> Iterator[str]:
    """Tolerances that are negative, or measured ones that another measurement does not give.

    Those that call themselves proven are the proof's business.
    """
    for index, tolerances in enumerate(vector.tolerance):
        for name, tolerance in tolerances.items():
            if not np.all(tolerance >= 0):
                yield f"tolerance[{index}].{name} is negative"
    if vector.tolerance_kind != MEASURED:
        return
    for index, (given, again) in enumerate(zip(vector.tolerance, measured(vector), strict=True)):
        for name, tolerance in given.items():
            if not np.allclose(tolerance, again[name], rtol=ESTIMATE_TOLERANCE, atol=0):
                worst = float(np.max(again[name]))
                yield f"tolerance[{index}].{name} is not 10 K u, which is {worst:.2g} at most"


def _inexact(vector: Vector) -> Iterator[str]:
    """Inputs that the declared dtype does not hold exactly."""
    dtype = np.dtype(vector.dtype)
    inputs = (vector.problem, vector.state, vector.x, vector.y, vector.start, vector.samples)
    unused = ("inverse", "response")  # derived from the data, and no part of a step
    for name, array in named_leaves(inputs):
        kept = array.astype(dtype).astype(float) if array.dtype.kind == "f" else array
        if not np.array_equal(kept, array) and not name.endswith(unused):
            yield f"an input is not exact in {vector.dtype}: {name}"
    for name, value in _scalars(vector):
        if float(dtype.type(value)) != value:
            yield f"{name} is not exact in {vector.dtype}"


def _scalars(vector: Vector) -> Iterator[tuple[str, float]]:
    """The numbers that a step reads beside the arrays."""
    problem, inside = vector.problem, getattr(vector.problem, "problem", vector.problem)
    noises = (getattr(inside, name, None) for name in ("noise_upper", "noise_lower"))
    for part in (vector.algorithm, problem, inside, *noises):
        for name, value in vars(part).items() if part is not None else ():
            if isinstance(value, float) and name != "probability":
                yield name, value


def _lint_set(method: str, vectors: Sequence[Vector]) -> list[str]:
    caught = Counter(flag for vector in vectors for flag in vector.flags)
    found = [
        f"fault {name!r} is caught by {caught[name]} vectors, fewer than {least}"
        for name, fault in catalogue(method).items()
        if caught[name] < (least := 1 if fault.edge else LEAST_CAUGHT)
    ]
    least = METHODS[method].least
    if len(vectors) < least:
        found.append(f"{len(vectors)} vectors, fewer than {least}")
    return found
