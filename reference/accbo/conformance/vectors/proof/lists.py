"""Vectors and matrices as lists, over any kind of number that ``k`` adds up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Numbers = list[Any]
Part = Mapping[str, Any]  # field → list of numbers, or of rows of them


def add(k: Any, *vectors: Numbers) -> Numbers:
    """The sum of vectors."""
    return [k.total(entries) for entries in zip(*vectors, strict=True)]


def sub(a: Numbers, b: Numbers) -> Numbers:
    """a − b."""
    return [p - q for p, q in zip(a, b, strict=True)]


def scale(c: Any, v: Numbers) -> Numbers:
    """c v."""
    return [c * entry for entry in v]


def times(a: Numbers, b: Numbers) -> Numbers:
    """a∘b."""
    return [p * q for p, q in zip(a, b, strict=True)]


def dot(k: Any, a: Numbers, b: Numbers) -> Any:
    """aᵀb."""
    return k.total(times(a, b))


def apply(k: Any, matrix: list[Numbers], v: Numbers) -> Numbers:
    """Matrix times vector."""
    return [dot(k, row, v) for row in matrix]


def apply_transposed(k: Any, matrix: list[Numbers], v: Numbers) -> Numbers:
    """Matrix transposed times vector."""
    return [dot(k, list(column), v) for column in zip(*matrix, strict=True)]


def mean(k: Any, vectors: Sequence[Numbers]) -> Numbers:
    """The mean of one vector or more."""
    if len(vectors) == 1:
        return vectors[0]
    return list(k.settled([entry / k.number(len(vectors)) for entry in add(k, *vectors)]))


def row(part: Part, index: int) -> dict[str, Any]:
    """One row of a part of a sample."""
    return {field: values[index] for field, values in part.items()}


def rows(part: Part) -> int:
    """How many rows a part has, or samples a batch."""
    return len(next(iter(part.values()))) if part else 0


def each(part: Part) -> list[dict[str, Any]]:
    """All rows of a part."""
    return [row(part, index) for index in range(rows(part))]
