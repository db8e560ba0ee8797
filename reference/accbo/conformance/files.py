"""Vectors and results from outside: read strictly, never executed, every error with its place.

What a file says is checked in this order: its size, that it is JSON, its version, its fields
(``records``), its numbers, and that they fit together (``vector.read``).
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accbo.conformance.digits import hint
from accbo.conformance.methods import catalogue
from accbo.conformance.observation import Observation
from accbo.conformance.records import (
    RESULTS_FORMAT,
    MethodResultsRecord,
    MethodVectorsRecord,
    ResultsRecord,
    ValidationError,
    VectorsRecord,
    plain,
)
from accbo.conformance.vector import (
    ACCBO,
    FORMATS,
    SET,
    Vector,
    convention,
    load,
    read,
    read_problem,
)

LARGEST_FILE = 64 * 2**20  # bytes; the whole set takes a few MB
DEEPEST = 8  # nesting of numbers; a sample of a trajectory has 3


class VectorError(ValueError):
    """A file that cannot be used: which, where in it, why, and what to do."""

    def __init__(self, path: Any, place: str, what: str, do: str) -> None:
        self.path, self.place, self.what, self.do = str(path), place, what, do
        super().__init__(": ".join(filter(None, (self.path, place, f"{what}; {do}"))))


@dataclass(frozen=True)
class Results:
    """What an implementation wrote: vector id → the fields it shows after each iteration."""

    path: str
    implementation: str
    set: int
    conventions: Mapping[str, Sequence[str]]
    results: Mapping[str, Sequence[Mapping[str, Any]]]
    algorithm: str = ACCBO


# --- vectors --------------------------------------------------------------------------------


def read_vectors(path: str | Path) -> tuple[Vector, ...]:
    """The vectors of a file; raises ``VectorError``."""
    return vectors_in(read_document(path), path)


def read_document(path: str | Path) -> dict[str, Any]:
    """The plain values of a file of vectors, of known fields; raises ``VectorError``."""
    document = _document(path, VectorsRecord, tuple(FORMATS.values()), MethodVectorsRecord)
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
        with _Place(path, f"problems[{name!r}]"):
            _check_numbers(values)
            problems[name] = read_problem(values)
    seen: set[str] = set()
    method = document.get("algorithm", ACCBO)
    vectors = []
    for index, values in enumerate(document["vectors"]):
        name = values["id"]
        with _Place(path, f"vectors[{index}] ({name})"):
            if name in seen:
                raise _Wrong("this id stands twice", "ids are unique and never reused")
            seen.add(name)
            if values["algorithm"].get("name", ACCBO) != method:
                raise _Wrong(f"it is of {values['algorithm'].get('name')}", f"expected {method}")
            vectors.append(_vector(values, problems, method))
    return tuple(vectors)


def _vector(values: dict[str, Any], problems: Mapping[str, Any], method: str) -> Vector:
    if values["problem"] not in problems:
        raise _Wrong(
            f"problem {values['problem']!r} is not in this file",
            f"its problems are {', '.join(problems) or 'none'}",
        )
    _check_flags(values["flags"], method)
    _check_numbers(values)
    if values["kind"] == "trajectory" and method == ACCBO:
        for part in ("warm_start", "first"):
            _check_rows(values["start"][part], f"start.{part}")
    vector = read(values, problems)
    lengths = {len(vector.expected), len(vector.tolerance)}
    steps = len(vector.samples) + (0 if vector.kind == "step" else 1)
    if lengths != {steps}:
        raise _Wrong(
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
        raise _Wrong(
            f"unknown flags {', '.join(map(repr, unknown))}",
            f"did you mean {near[0]!r}?" if near else "`accbo faults` lists the known ones",
        )


def _check_rows(part: Any, place: str) -> None:
    """A start has S samples, which its first field shows."""
    fields = part.get("upper", part)
    lengths = {len(rows) for rows in fields.values()}
    if len(lengths) != 1:
        raise _Wrong(f"{place}: its fields have {sorted(lengths)} rows", "give each as many")
    if "upper" in part and lengths == {0}:
        raise _Wrong(f"{place}.upper has no rows", "m_0 is the mean over one sample or more")


# --- results --------------------------------------------------------------------------------


def read_results(path: str | Path) -> Results:
    """The results in a file; raises ``VectorError``."""
    document = _document(path, ResultsRecord, (RESULTS_FORMAT,), MethodResultsRecord)
    made = Results(
        path=str(path),
        implementation=document["implementation"],
        set=document["set"],
        conventions=document.get("conventions", {}),
        results=document["results"],
        algorithm=document.get("algorithm", ACCBO),
    )
    known = {vector.id for vector in load(made.set, made.algorithm)}
    for name in made.results:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise VectorError(
                path,
                f"results[{name!r}]",
                f"set {made.set} has no vector of this id",
                f"did you mean {near[0]!r}?" if near else "`accbo vectors list` shows the ids",
            )
    return made


def observations(results: Results) -> list[Observation]:
    """One observation for each vector of the set; raises ``VectorError`` for shapes."""
    found = load(results.set, results.algorithm)
    return [_observation(results, vector) for vector in found]


def digits_hint(found: Sequence[Observation]) -> str:
    """What to say where all numbers of some results are written with too few digits."""
    states = (pair for one in found for pair in zip(one.states, _right(one), strict=False))
    pairs = [(got, right[name]) for state, right in states for name, got in state.items()]
    return hint(
        (value for got, _ in pairs for value in np.ravel(got).tolist()),
        (value for _, right in pairs for value in np.ravel(right).tolist()),
    )


def _right(one: Observation) -> Sequence[Mapping[str, np.ndarray]]:
    return one.vector.expected if one.mode != "free" else one.vector.expected[1:]


def _observation(results: Results, vector: Vector) -> Observation:
    mode = "step" if vector.kind == "step" else "start"
    entries = results.results.get(vector.id)
    if entries is None:
        missing = "no result" if _covers(results, vector) else "convention not covered"
        return Observation(vector, mode, (), missing=missing)
    with _Place(results.path, f"results[{vector.id!r}]"):
        whole = len(vector.expected)
        if len(entries) == whole - 1 and mode == "start":
            mode = "free"
        elif len(entries) != whole:
            raise _Wrong(f"{len(entries)} states", f"give {_lengths(vector)}")
        states = tuple(_shown(entry, vector, index) for index, entry in enumerate(entries))
        return Observation(vector, mode, states)


def _lengths(vector: Vector) -> str:
    whole = len(vector.expected)
    if vector.kind == "step":
        return "the one after the step"
    return f"{whole}, one after each iteration from 0 on, or {whole - 1}, from 1 on"


def _covers(results: Results, vector: Vector) -> bool:
    return all(
        value in results.conventions.get(name, (value,))
        for name, value in convention(vector).items()
    )


def _shown(entry: Mapping[str, Any], vector: Vector, index: int) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    unknown = sorted(set(entry) - {*vector.fields, "iteration"})
    if unknown or "x" not in entry:
        raise _Wrong(
            f"[{index}] holds {', '.join(sorted(entry)) or 'nothing'}",
            f"x must be there, and any of {', '.join(vector.fields)} may be",
        )
    for name in vector.fields:
        if name in entry:
            shape = vector.expected[0][name].shape
            with _Within(f"[{index}].{name}"):
                made[name] = np.array(list(_flat(entry[name], shape)), dtype=float).reshape(shape)
    return made


def _flat(values: Any, shape: tuple[int, ...]) -> Iterator[float]:
    """The numbers of ``values``, which must be nested as ``shape`` says; null is NaN."""
    if not shape:
        if values is None:
            yield math.nan
        elif _is_number(values):
            yield float(values)
        else:
            raise _Wrong(f"{_brief(values)} stands where a number belongs", "write numbers or null")
        return
    if not isinstance(values, list) or len(values) != shape[0]:
        got = f"{len(values)} elements" if isinstance(values, list) else _brief(values)
        raise _Wrong(
            f"{got} where {shape[0]} belong", "write it in the shape of the expected value"
        )
    for value in values:
        yield from _flat(value, shape[1:])


# --- any file -------------------------------------------------------------------------------


def _document(
    path: str | Path, record: type, expected: Sequence[str], other: type
) -> dict[str, Any]:
    """The JSON of ``path`` as plain values that ``record`` describes.

    A file that names its algorithm is not AccBO's, and ``other`` describes it.
    """
    values = _json(path, _text(path))
    _check_version(path, values, expected)
    if "algorithm" in values:
        record = other
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
    """The file's content, a regular file of bounded size in UTF-8."""
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
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VectorError(
            path, f"byte {error.start}", "this is not UTF-8", "save the file as UTF-8"
        ) from None


def _without_waiting(path: str, flags: int) -> int:
    """A named pipe must not keep us waiting for somebody who writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _json(path: str | Path, text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise VectorError(
                path, "", f"the key {_brief(twice)} stands twice in one object", "keep one of them"
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
            path, "format", f"this is {_brief(values['format'])}", f"expected {expected!r}"
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


class _Wrong(ValueError):  # noqa: N818  never leaves this file
    """What is wrong at a place that the caller knows."""

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what)
        self.what, self.do = what, do


class _Within:
    """Puts a place before what is raised inside."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, _Wrong):
            raise _Wrong(f"{self.place}: {error.what}", error.do) from None


class _Place:
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
        if isinstance(error, _Wrong):
            raise VectorError(self.path, self.place, error.what, error.do) from None
        if isinstance(error, ValueError | TypeError | ArithmeticError | LookupError):
            what = f"{error}" if isinstance(error, ValueError) else repr(error)
            raise VectorError(
                self.path, self.place, what, "VECTORS.md says what belongs there"
            ) from None


def _check_numbers(values: Any, depth: int = 0) -> None:
    """Every list but that of the flags must hold numbers, or lists of them, to a bounded depth."""
    if isinstance(values, dict):
        for name, value in values.items():
            if name != "flags":
                with _Within(name):
                    _check_numbers(value)
    elif isinstance(values, list):
        if depth > DEEPEST:
            raise _Wrong("it is nested too deeply", _DEPTH)
        for value in values:
            if isinstance(value, list | dict):
                _check_numbers(value, depth + 1)
            elif not _is_number(value):
                raise _Wrong(f"{_brief(value)} stands where a number belongs", "write a number")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _brief(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
