"""Columns of a block of iterations, and the arithmetic of vectors known by their projections."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo.tracing.layout import SAMPLE, SAMPLES, VECTOR, entry
from accbo.tracing.reader import TraceError

STATE = ("x", "y", "y_average", "z")
Number = Any  # a float, or one for each row


@dataclass(frozen=True)
class Vec:
    """A linear combination of logged vectors, for every row of a window.

    ``p`` ``(W, K)`` are its projections, ``size`` ``(W,)`` is Σ|a_i|‖v_i‖ over its terms, of
    which there are ``terms``. NaN where something was not logged, ∞ where it is not finite.
    """

    p: np.ndarray
    size: np.ndarray
    terms: int = 1
    __array_ufunc__ = None  # an array on the left leaves the product to this class

    def __add__(self, other: Vec) -> Vec:
        return Vec(self.p + other.p, self.size + other.size, self.terms + other.terms)

    def __sub__(self, other: Vec) -> Vec:
        return Vec(self.p - other.p, self.size + other.size, self.terms + other.terms)

    def __mul__(self, factor: Number) -> Vec:
        column = factor[:, None] if isinstance(factor, np.ndarray) else factor
        return Vec(self.p * column, self.size * np.abs(factor), self.terms)

    __rmul__ = __mul__

    def __neg__(self) -> Vec:
        return Vec(-self.p, self.size, self.terms)

    def loosened(self, extra: np.ndarray) -> Vec:
        """The same with ``extra`` on its size: a coefficient that is rounded more than once."""
        return Vec(self.p, self.size + extra, self.terms)

    def where(self, condition: np.ndarray, other: Vec) -> Vec:
        """Itself where ``condition`` holds, else ``other``."""
        return Vec(
            np.where(condition[:, None], self.p, other.p),
            np.where(condition, self.size, other.size),
            max(self.terms, other.terms),
        )

    @property
    def known(self) -> np.ndarray:
        """Where it was logged."""
        logged: np.ndarray = ~np.isnan(self.size)
        return logged


class Rows:
    """A window of consecutive iterations: what stands at t, and by ``shift`` at t + shift."""

    def __init__(self, raw: list[dict[str, Any]], directions: int, seen: set[str]) -> None:
        self._count, self._width = len(raw), directions + 1
        self.t = np.array([row["t"] for row in raw], dtype=np.int64)
        values: dict[str, tuple[list[int], list[Any]]] = {}
        for index, row in enumerate(raw):
            _collect(row, "", index, values)
        self._columns: dict[str, np.ndarray] = {}
        self._lengths: dict[str, np.ndarray] = {}
        for path, (where, found) in values.items():
            self._add(path, np.array(where), found)
        self._seen = seen
        seen.update(values)

    @property
    def acts(self) -> np.ndarray:
        """Whether an iteration was made in a row: the last may be no more than a state."""
        made = np.zeros(self._count, dtype=bool)
        for path, column in self._columns.items():
            if path not in STATE:
                known = column.reshape(self._count, -1)[:, :1]
                made |= (~np.isnan(known) & (known != -1))[:, 0] if known.size else False
        return made

    def __len__(self) -> int:
        return self._count

    def has(self, path: str) -> bool:
        """Whether the path occurs in this trace up to this window."""
        return path in self._seen

    def vec(self, path: str, shift: int = 0) -> Vec:
        """A vector."""
        column = self._columns.get(path)
        return self.unknown() if column is None else self._shifted(column, shift)

    def item(self, path: str, index: int, shift: int = 0) -> Vec:
        """Entry ``index`` of a list of vectors."""
        column = self._columns.get(path)
        if column is None or index >= column.shape[1]:
            return self.unknown()
        return self._shifted(column[:, index], shift)

    def last(self, path: str, shift: int = 0) -> Vec:
        """The last entry of a list of vectors."""
        column = self._columns.get(path)
        if column is None:
            return self.unknown()
        index = np.maximum(self._lengths[path] - 1, 0)
        return self._shifted(column[np.arange(self._count), index], shift)

    def length(self, path: str) -> np.ndarray:
        """How long a list is, 0 where there is none."""
        return self._lengths.get(path, np.zeros(self._count, dtype=np.int64))

    def longest(self, path: str) -> int:
        """The greatest of these."""
        return int(self.length(path).max(initial=0))

    def sample(self, path: str, shift: int = 0, index: int = 0) -> np.ndarray:
        """The number of a sample, −1 where none was logged."""
        column = self._columns.get(path)
        if column is None:
            return np.full(self._count, -1)
        if column.ndim == 2:
            if index >= column.shape[1]:
                return np.full(self._count, -1)
            column = column[:, index]
        return moved(column, shift, -1)

    def unknown(self) -> Vec:
        """What was not logged."""
        nothing = np.full((self._count, self._width - 1), np.nan)
        return Vec(nothing, nothing[:, 0])

    def nothing(self) -> Vec:
        """The zero vector."""
        zero = np.zeros((self._count, self._width - 1))
        return Vec(zero, zero[:, 0], 0)

    def _shifted(self, column: np.ndarray, shift: int) -> Vec:
        column = moved(column, shift, np.nan)
        return Vec(column[:, 1:], column[:, 0])

    def _add(self, path: str, where: np.ndarray, found: list[Any]) -> None:
        kind = _kind(path)
        if kind == SAMPLE:
            column = np.full(self._count, -1, dtype=np.int64)
            column[where] = found
        elif kind == VECTOR:
            column = np.full((self._count, self._width), np.nan)
            column[where] = self._numbers(found, path, where)
        else:
            column = self._list(path, where, found, kind == SAMPLES)
        self._columns[path] = column

    def _list(self, path: str, where: np.ndarray, found: list[Any], samples: bool) -> np.ndarray:
        lengths = np.array([len(one) for one in found], dtype=np.int64)
        self._lengths[path] = np.zeros(self._count, dtype=np.int64)
        self._lengths[path][where] = lengths
        longest, flat = int(lengths.max(initial=0)), [entry for one in found for entry in one]
        rows = np.repeat(where, lengths)
        offsets = np.cumsum(lengths) - lengths
        places = np.arange(len(flat)) - np.repeat(offsets, lengths)
        if samples:
            column = np.full((self._count, longest), -1, dtype=np.int64)
            column[rows, places] = flat
        else:
            column = np.full((self._count, longest, self._width), np.nan)
            if flat:
                column[rows, places] = self._numbers(flat, path, rows)
        return column

    def _numbers(self, found: list[Any], path: str, where: np.ndarray) -> np.ndarray:
        """Lists of numbers, ∞ for null; the sentence names the iteration."""
        try:
            table = np.array(found)
        except (ValueError, OverflowError):
            table = np.array([], dtype=object)
        if table.dtype.kind == "f" or (table.dtype.kind in "iu" and table.ndim == 2):
            table = table.astype(float)
        else:
            for index, one in enumerate(found):
                if not all(_is_number(value) for value in one):
                    t = self.t[where[index]]
                    raise TraceError(f"iteration {t}: {path} holds something that is no number")
            table = np.array(
                [[np.inf if v is None else float(v) for v in one] for one in found], dtype=float
            )
        if (table[:, 0] < 0).any():
            t = self.t[where[int(np.argmax(table[:, 0] < 0))]]
            raise TraceError(f"iteration {t}: {path} has a negative norm")
        return table


def moved(column: np.ndarray, shift: int, nothing: float) -> np.ndarray:
    """``column[i + shift]`` for every row i, ``nothing`` outside."""
    if not shift:
        return column
    answer = np.full_like(column, nothing)
    if abs(shift) < len(column):
        if shift > 0:
            answer[:-shift] = column[shift:]
        else:
            answer[-shift:] = column[:shift]
    return answer


@functools.cache
def _kind(path: str) -> int:
    """What the layout says of a path."""
    names = [int(name) if name.isdigit() else name for name in path.split(".")]
    return entry(tuple(names))[0]


def _is_number(value: Any) -> bool:
    if value is None or (isinstance(value, float) and not isinstance(value, bool)):
        return True
    return type(value) is int and abs(value) < 2**1000


def _collect(row: Mapping[str, Any], prefix: str, index: int, values: Any) -> None:
    for name, value in row.items():
        path = prefix + name
        if type(value) is dict:
            _collect(value, path + ".", index, values)
        elif type(value) is list and value and type(value[0]) is dict:
            for place, one in enumerate(value):
                _collect(one, f"{path}.{place}.", index, values)
        elif path != "t":
            if path not in values:
                values[path] = ([], [])
            values[path][0].append(index)
            values[path][1].append(value)
