"""Files of vectors from outside, read as ``reading`` reads."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accbo.conformance.methods import DEFAULT, catalogue
from accbo.conformance.vectors.reading import Place, VectorError, Wrong, check_numbers, json_of
from accbo.conformance.vectors.records import VectorsRecord
from accbo.conformance.vectors.vector import FORMATS, Vector, read, read_problem


def read_vectors(path: str | Path) -> tuple[Vector, ...]:
    """The vectors of a file; raises ``VectorError``."""
    return vectors_in(read_document(path), path)


def read_document(path: str | Path) -> dict[str, Any]:
    """The plain values of a file of vectors, of known fields; raises ``VectorError``."""
    document = json_of(path, VectorsRecord, tuple(FORMATS.values()))
    if document["format"] != FORMATS[document["set"]]:
        raise VectorError(
            path,
            "format",
            f"set {document['set']} comes in {FORMATS[document['set']]}",
            f"got {document['format']}",
        )
    for index, values in enumerate(document["vectors"]):
        if ("tolerance_kind" in values) != (document["set"] > 1):
            raise VectorError(
                path,
                f"vectors[{index}] ({values['id']})",
                f"its tolerance_kind is {values.get('tolerance_kind', 'missing')}",
                "every vector has one from format 2 on, and none before",
            )
    return document


def vectors_in(document: Mapping[str, Any], path: str | Path) -> tuple[Vector, ...]:
    """The vectors of a document that was read from ``path``; raises ``VectorError``."""
    problems = {}
    for name, values in document["problems"].items():
        with Place(path, f"problems[{name!r}]"):
            check_numbers(values)
            problems[name] = read_problem(values)
    seen: set[str] = set()
    method = document.get("algorithm", DEFAULT)
    vectors = []
    for index, values in enumerate(document["vectors"]):
        name = values["id"]
        with Place(path, f"vectors[{index}] ({name})"):
            if name in seen:
                raise Wrong("this id stands twice", "ids are unique and never reused")
            seen.add(name)
            if values["algorithm"].get("name", DEFAULT) != method:
                raise Wrong(f"it is of {values['algorithm'].get('name')}", f"expected {method}")
            vectors.append(_vector(values, problems, method))
    return tuple(vectors)


def _vector(values: dict[str, Any], problems: Mapping[str, Any], method: str) -> Vector:
    if values["problem"] not in problems:
        raise Wrong(
            f"problem {values['problem']!r} is not in this file",
            f"its problems are {', '.join(problems) or 'none'}",
        )
    _check_flags(values["flags"], method)
    check_numbers(values)
    if values["kind"] == "trajectory" and "start_samples" not in values:
        for part in ("warm_start", "first"):
            _check_rows(values["start"][part], f"start.{part}")
    vector = read(values, problems)
    lengths = {len(vector.expected), len(vector.tolerance)}
    steps = len(vector.samples) + (0 if vector.kind == "step" else 1)
    if lengths != {steps}:
        raise Wrong(
            f"{len(vector.samples)} samples, {len(vector.expected)} expected states and "
            f"{len(vector.tolerance)} tolerances",
            "a step has one of each, a trajectory a state and tolerances more than samples",
        )
    return vector


def _check_flags(flags: Sequence[str], method: str) -> None:
    known = catalogue(method)
    unknown = [flag for flag in flags if flag not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise Wrong(
            f"unknown flags {', '.join(map(repr, unknown))}",
            f"did you mean {near[0]!r}?" if near else "`accbo faults` lists the known ones",
        )


def _check_rows(part: Any, place: str) -> None:
    """A start has S samples, which its first field shows."""
    fields = part.get("upper", part)
    lengths = {len(rows) for rows in fields.values()}
    if len(lengths) != 1:
        raise Wrong(f"{place}: its fields have {sorted(lengths)} rows", "give each as many")
    if "upper" in part and lengths == {0}:
        raise Wrong(f"{place}.upper has no rows", "m_0 is the mean over one sample or more")
