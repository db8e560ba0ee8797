"""JSON from outside: read strictly, never executed, every error with its place.

What a file says is checked in this order: its size, that it is JSON, its version, its fields
(``records``), its numbers, and that they fit together.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accbo._utf8 import NotUTF8Error, without_mark
from accbo.conformance.vectors.records import ValidationError, plain
from accbo.conformance.vectors.vector import SET

LARGEST_FILE = 64 * 2**20  # bytes; the whole set takes a few MB
DEEPEST = 8  # nesting of numbers; a sample of a trajectory has 3


class VectorError(ValueError):
    """A file that cannot be used: which, where in it, why, and what to do."""

    def __init__(self, path: Any, place: str, what: str, do: str) -> None:
        self.path, self.place, self.what, self.do = str(path), place, what, do
        super().__init__(": ".join(filter(None, (self.path, place, f"{what}; {do}"))))


def json_of(path: str | Path, record: type, expected: Sequence[str]) -> dict[str, Any]:
    """The JSON of ``path`` as plain values that ``record`` describes."""
    values = _json(path, _text(path))
    _check_version(path, values, expected)
    try:
        return plain(values, record)
    except ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        where = place.rstrip("`").removeprefix("$").removeprefix(".")
        raise VectorError(
            path, where, what, "`accbo vectors schema` prints what the format allows"
        ) from None
    except UnicodeEncodeError:
        what = "a name in it holds half a character (a lone surrogate)"
        raise VectorError(path, "", what, "write names in full characters") from None
    except (RecursionError, OverflowError):
        raise VectorError(path, "", "it is nested too deeply", _DEPTH) from None


_DEPTH = f"numbers are nested {DEEPEST} deep at most"


def _text(path: str | Path) -> str:
    """The file's content, a regular file of bounded size in UTF-8, without a mark before it."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise VectorError(path, "", "this is no regular file", "give the path of a file")
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise VectorError(
            path, "", f"cannot be read ({reason})", "give the path of a file"
        ) from None
    if len(content) > LARGEST_FILE:
        raise VectorError(
            path,
            "",
            f"is larger than {LARGEST_FILE >> 20} MB",
            "the whole set takes a few MB: write fewer fields",
        )
    save = "save the file as UTF-8"
    try:
        return without_mark(content).decode("utf-8")
    except NotUTF8Error as error:
        raise VectorError(path, "", str(error), save) from None
    except UnicodeDecodeError as error:
        position = error.start + len(content) - len(error.object)
        raise VectorError(path, f"byte {position}", "this is not UTF-8", save) from None


def _without_waiting(path: str, flags: int) -> int:
    """A named pipe must not keep us waiting for somebody who writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _json(path: str | Path, text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise VectorError(
                path, "", f"the key {brief(twice)} stands twice in one object", "keep one of them"
            )
        return made

    def refuse(name: str) -> float:
        raise VectorError(
            path, "", f"{name} is no JSON number", "in results, write null where a number is NaN"
        )

    def finite(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise VectorError(
                path, "", f"{digits[:40]} is beyond float64", "in results, write null for it"
            )
        return value

    def whole(digits: str) -> int | float:
        return int(digits) if len(digits) < 19 else finite(digits)

    try:
        return json.loads(
            text,
            object_pairs_hook=unique,
            parse_constant=refuse,
            parse_float=finite,
            parse_int=whole,
        )
    except json.JSONDecodeError as error:
        cut = not text[error.pos :].strip()
        what = "ends too early" if cut else f"is not JSON: {error.msg}"
        do = "it was cut off: write it again" if cut else "write JSON"
        raise VectorError(path, f"line {error.lineno}, column {error.colno}", what, do) from None
    except RecursionError:
        raise VectorError(path, "", "it is nested too deeply", _DEPTH) from None


def _check_version(path: str | Path, values: Any, formats: Sequence[str]) -> None:
    """``formats`` are those that are known, of one name, the newest last."""
    expected = formats[-1]
    if not isinstance(values, dict) or not isinstance(values.get("format"), str):
        boxed = isinstance(values, dict) and isinstance(values.get("format"), list)
        raise VectorError(
            path,
            "format" if boxed else "",
            "the format stands in a list" if boxed else "there is no format",
            "write single values without a list around them"
            if boxed
            else f'begin with {{"format": "{expected}", …',
        )
    name, _, newest = expected.rpartition("/")
    found = re.fullmatch(rf"{name}/(\d{{1,9}})", values["format"])
    if found is None:
        raise VectorError(
            path, "format", f"this is {brief(values['format'])}", f"expected {expected!r}"
        )
    if not 1 <= int(found[1]) <= int(newest):
        raise VectorError(
            path,
            "format",
            f"version {found[1]} of {name} is not known here, the newest is {newest}",
            "a newer version of accbo may read it",
        )
    number = values.get("set")
    if isinstance(number, int) and not isinstance(number, bool) and number > SET:
        raise VectorError(
            path,
            "set",
            f"set {number} of the vectors is newer than {SET}, the newest known here",
            "a newer version of accbo, or the vectors of an older set",
        )


class Wrong(ValueError):  # noqa: N818  never leaves this file
    """What is wrong at a place that the caller knows."""

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what)
        self.what, self.do = what, do


class Within:
    """Puts a place before what is raised inside."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, Wrong):
            raise Wrong(f"{self.place}: {error.what}", error.do) from None


class Place:
    """Turns what goes wrong inside into a ``VectorError`` at a place."""

    def __init__(self, path: str | Path, place: str) -> None:
        self.path, self.place = path, place
        self.quiet = np.errstate(all="ignore")

    def __enter__(self) -> None:
        self.quiet.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.quiet.__exit__(kind, error, trace)
        if isinstance(error, VectorError):
            return
        if isinstance(error, Wrong):
            raise VectorError(self.path, self.place, error.what, error.do) from None
        if isinstance(error, ValueError | TypeError | ArithmeticError | LookupError):
            what = f"{error}" if isinstance(error, ValueError) else repr(error)
            raise VectorError(
                self.path, self.place, what, "VECTORS.md says what belongs there"
            ) from None


def check_numbers(values: Any, depth: int = 0) -> None:
    """Every list but that of the flags must hold numbers, or lists of them, to a bounded depth."""
    if isinstance(values, dict):
        for name, value in values.items():
            if name != "flags":
                with Within(name):
                    check_numbers(value)
    elif isinstance(values, list):
        if depth > DEEPEST:
            raise Wrong("it is nested too deeply", _DEPTH)
        for value in values:
            if isinstance(value, list | dict):
                check_numbers(value, depth + 1)
            elif not is_number(value):
                raise Wrong(f"{brief(value)} stands where a number belongs", "write a number")


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number; ``true`` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def brief(value: Any) -> str:
    """``value`` for a message, 60 characters at most."""
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
