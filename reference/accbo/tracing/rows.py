"""Columns of a block of iterations, and the arithmetic of vectors known by their projections."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._printable import one_line
from accbo.tracing.layout import GROUP, GROUPS, NUMBER, SAMPLE, SAMPLES, VECTOR, entry
from accbo.tracing.reader import TraceError

STATE = ("x", "y", "y_average", "z")
DEEPEST, MOST_NAMES, MOST_ENTRIES = 8, 20_000, 4096
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

    def number(self, path: str) -> np.ndarray:
        """A number that is no vector, NaN where none was logged."""
        return self._columns.get(path, np.full(self._count, np.nan))

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
        kind = self._kind(path, where)
        if kind == SAMPLE:
            column = np.full(self._count, -1, dtype=np.int64)
            column[where] = self._samples(found, path, where)
        elif kind == NUMBER:
            column = np.full(self._count, np.nan)
            column[where] = self._reals(found, path, where)
        elif kind == VECTOR:
            column = np.full((self._count, self._width), np.nan)
            column[where] = self._numbers(found, path, where)
        else:
            column = self._list(path, where, found, kind == SAMPLES)
        self._columns[path] = column

    def _kind(self, path: str, where: np.ndarray) -> int:
        try:
            kind = kind_of(path)
        except KeyError as error:
            raise self._error(where[0], one_line(str(error.args[0]), 300)) from None
        if kind in (GROUP, GROUPS):
            raise self._error(where[0], f"{one_line(path, 60)} is an object of names")
        return kind

    def _list(self, path: str, where: np.ndarray, found: list[Any], samples: bool) -> np.ndarray:
        if set(map(type, found)) != {list}:
            at = next(i for i, one in enumerate(found) if type(one) is not list)
            raise self._error(where[at], f"{path} is a list")
        lengths = np.array([len(one) for one in found], dtype=np.int64)
        self._lengths[path] = np.zeros(self._count, dtype=np.int64)
        self._lengths[path][where] = lengths
        longest, flat = int(lengths.max(initial=0)), [entry for one in found for entry in one]
        if longest * len(found) > 16 * (len(flat) + MOST_ENTRIES):
            raise self._error(where[int(lengths.argmax())], f"{path} has {longest} entries")
        rows = np.repeat(where, lengths)
        offsets = np.cumsum(lengths) - lengths
        places = np.arange(len(flat)) - np.repeat(offsets, lengths)
        if samples:
            column = np.full((self._count, longest), -1, dtype=np.int64)
            column[rows, places] = self._samples(flat, path, rows)
        else:
            column = np.full((self._count, longest, self._width), np.nan)
            column[rows, places] = self._numbers(flat, path, rows)
        return column

    def _samples(self, found: list[Any], path: str, where: np.ndarray) -> np.ndarray:
        for index, one in enumerate(found):
            if type(one) is not int or not 0 <= one < 2**53:
                raise self._error(where[index], f"{path} takes integers in [0, 2^53)")
        return np.array(found, dtype=np.int64)

    def _reals(self, found: list[Any], path: str, where: np.ndarray) -> np.ndarray:
        for index, one in enumerate(found):
            if not _is_number(one) or (one is not None and one < 0):
                raise self._error(where[index], f"{path} takes a number of at least 0")
        return np.array([np.inf if one is None else float(one) for one in found])

    def _numbers(self, found: list[Any], path: str, where: np.ndarray) -> np.ndarray:
        """Lists of a norm and projections as a table, ∞ for null."""
        if not found:
            return np.zeros((0, self._width))
        try:
            table = np.array(found)
        except (ValueError, OverflowError):
            table = np.zeros(0, dtype=object)
        if table.dtype.kind not in "fiu" or table.shape != (len(found), self._width):
            for index, one in enumerate(found):
                if type(one) is not list or len(one) != self._width:
                    what = f"{path} takes lists of a norm and {self._width - 1} projections"
                    raise self._error(where[index], what)
                if not all(map(_is_number, one)):
                    raise self._error(where[index], f"{path} holds something that is no number")
            table = np.array([[np.inf if v is None else float(v) for v in one] for one in found])
        table = table.astype(float)
        if not table[:, 0].min(initial=0.0) >= 0:
            at = int(np.argmax(~(table[:, 0] >= 0)))
            raise self._error(where[at], f"{path} has a negative norm")
        return table

    def _error(self, row: Any, what: str) -> TraceError:
        t = self.t[int(row)]
        return TraceError(f"{'the start' if t < 0 else f'iteration {t}'}: {what}")


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
def kind_of(path: str) -> int:
    """What the layout says of a path; raises ``KeyError`` with a sentence."""
    names = [int(name) if name.isdecimal() else name for name in path.split(".")]
    return entry(tuple(names))[0]


def _is_number(value: Any) -> bool:
    if value is None or type(value) is float:
        return True
    return type(value) is int and abs(value) < 2**1000


def _collect(row: Mapping[str, Any], prefix: str, index: int, values: Any) -> None:
    for name, value in row.items():
        path = prefix + name
        if type(value) is dict:
            if prefix.count(".") > DEEPEST:
                raise TraceError(f"{one_line(path, 60)} is nested too deeply for a trace")
            _collect(value, path + ".", index, values)
        elif type(value) is list and value and type(value[0]) is dict:
            for place, one in enumerate(value):
                _collect({str(place): one}, path + ".", index, values)
        elif path != "t":
            if path not in values:
                if len(values) > MOST_NAMES:
                    raise TraceError(f"more than {MOST_NAMES} names are no trace")
                values[path] = ([], [])
            values[path][0].append(index)
            values[path][1].append(value)
