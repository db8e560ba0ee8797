"""A test vector: one problem, one algorithm, samples as values, what must come out, how closely.

Vectors are JSON, so that any language can read them; VECTORS.md beside this file says what the
fields mean, and a row of ``methods`` where those of an algorithm are. ``read`` and ``encode`` are
each other's inverse.

The fields of a vector are the arrays of its algorithm's state by dotted name, such as
``tables.grad_y_lower.stored``; an algorithm ``A`` has the state ``AState``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accbo import algorithms
from accbo._arrays import Array
from accbo.conformance.methods import DEFAULT, METHODS, known
from accbo.problems import (
    FiniteSum,
    LowerNoise,
    NonQuadratic,
    Quadratic,
    RelaxedSmooth,
    UpperNoise,
)
from accbo.problems.wrapped import ScaledUpper
from accbo.sampling import Draw, Start

FORMATS = {1: "accbo-vectors/1", 2: "accbo-vectors/2"}  # set → the format that it came with
SET = 2  # the newest set of cases
FORMAT = FORMATS[SET]
KINDS: dict[str, type] = {
    "quadratic": Quadratic,
    "relaxed_smooth": RelaxedSmooth,
    "nonquadratic": NonQuadratic,
    "finite_sum": FiniteSum,
}
_NOISES: dict[str, type] = {"noise_upper": UpperNoise, "noise_lower": LowerNoise}
_DERIVED = ("form", "response", "inverse", "steps_per_digit")  # computed from the data

MEASURED, PROVEN = "measured", "proven"  # kinds of tolerances; without a kind: measured

Expected = Mapping[str, np.ndarray]  # field → value, (…, d)


@dataclass(frozen=True, eq=False)
class Vector:
    """One test vector; arrays are NumPy float64 that ``dtype`` holds exactly.

    A single step (``kind`` "step") has ``state`` and one sample. A trajectory has ``x``, ``y``,
    ``start`` and the samples of iterations 1, 2, …; ``expected[0]`` is the state after
    iteration 0. ``tolerance`` bounds ‖error‖ of each field, per replicate; ``tolerance_kind``
    says whether it is a proven bound on rounding or 10 K u of a measured K.
    """

    id: str
    since: int
    kind: str
    problem: Any
    algorithm: Any
    dtype: str
    samples: tuple[Any, ...]
    expected: tuple[Expected, ...]
    tolerance: tuple[Expected, ...]
    state: Any = None
    x: Array = None
    y: Array = None
    start: Start | None = None
    problem_name: str = ""
    line: str = ""
    note: str = ""
    flags: tuple[str, ...] = ()
    condition: float = 0.0
    smallest_momentum: float = 0.0
    fast: bool = False
    first: int = 1  # S of the start, where it cannot be seen in it
    tolerance_kind: str = MEASURED
    long: bool = False  # made of another's samples, again and again (``long_runs``)

    @property
    def method(self) -> str:
        """The name of the algorithm."""
        return type(self.algorithm).__name__

    @property
    def fields(self) -> tuple[str, ...]:
        """The dotted names of the state's arrays, in its order."""
        return fields_of(self.method)

    @property
    def first_iteration(self) -> int:
        """t of ``expected[0]`` before it is taken: the state's, or 0."""
        return 0 if self.state is None else int(self.state.iteration)

    @property
    def replicates(self) -> tuple[int, ...]:
        """Leading axes of x."""
        return tuple(self.expected[0]["x"].shape[:-1])

    def before(self, index: int) -> Any:
        """The reference's state that ``samples[index]`` is applied to."""
        if self.state is not None:
            return self.state
        return as_state(self.method, self.expected[index], index + 1)


# --- states ---------------------------------------------------------------------------------


@functools.cache
def fields_of(method: str) -> tuple[str, ...]:
    """The dotted names of the arrays of ``method``'s state."""
    return tuple(_names(getattr(algorithms, f"{method}State")))


def _parts(cls: type) -> dict[str, type | None]:
    """The entries of a NamedTuple but its ``iteration``, with those that are NamedTuples."""
    hints = typing.get_type_hints(cls)
    names = [name for name in cls._fields if name != "iteration"]  # type: ignore[attr-defined]
    return {name: hints[name] if hasattr(hints[name], "_fields") else None for name in names}


def _names(cls: type) -> Iterator[str]:
    for name, part in _parts(cls).items():
        yield from [name] if part is None else (f"{name}.{inside}" for inside in _names(part))


def as_fields(state: Any) -> dict[str, Any]:
    """The arrays of a state by dotted name."""
    found: dict[str, Any] = {}
    for name, value in zip(state._fields, state, strict=True):
        if hasattr(value, "_fields"):
            found |= {f"{name}.{inside}": leaf for inside, leaf in as_fields(value).items()}
        elif name != "iteration":
            found[name] = value
    return found


def as_state(method: str, fields: Mapping[str, Any], iteration: int) -> Any:
    """The state with these arrays."""
    return _rebuilt(getattr(algorithms, f"{method}State"), fields, "", {"iteration": iteration})


def _rebuilt(cls: Any, fields: Mapping[str, Any], before: str, more: Mapping[str, Any]) -> Any:
    made = {
        name: fields[before + name]
        if part is None
        else _rebuilt(part, fields, f"{before}{name}.", {})
        for name, part in _parts(cls).items()
    }
    return cls(**made, **more)


def file_of(method: str, family: str = "") -> str:
    """The path of ``method``'s vectors on a family of problems, in the folder of a set."""
    return METHODS[method].file.format(name=method.lower(), family=family)


# --- problems -------------------------------------------------------------------------------


def encode_problem(problem: Any) -> dict[str, Any]:
    """``problem`` as JSON values: its kind, its data and its noises."""
    factor = 1.0
    if isinstance(problem, ScaledUpper):
        factor, problem = problem.factor, problem.problem
    kind = next(name for name, cls in KINDS.items() if type(problem) is cls)
    values: dict[str, Any] = {"kind": kind, "upper_factor": factor}
    for name in problem_data(kind):
        value = getattr(problem, name)
        values[name] = vars(value) if name in _NOISES else np.asarray(value).tolist()
    return values


def read_problem(values: Mapping[str, Any]) -> Any:
    """The problem that ``encode_problem`` wrote; raises ``ValueError`` where it is none."""
    kind = values.get("kind")
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    given = set(values) - {"kind", "upper_factor"}
    if given != set(problem_data(kind)):
        raise ValueError(f"a {kind} problem has {sorted(problem_data(kind))}, got {sorted(given)}")
    try:
        data = {name: _datum(name, values[name]) for name in given}
        problem = KINDS[kind](**data, form="matmul")
    except (TypeError, ValueError) as error:
        raise ValueError(f"the data of a {kind} problem do not fit: {error}") from None
    factor = values.get("upper_factor", 1.0)
    return problem if factor == 1 else ScaledUpper(problem, float(factor))


def problem_data(kind: str) -> list[str]:
    """The names of a kind's data and noises."""
    return [field.name for field in dataclasses.fields(KINDS[kind]) if field.name not in _DERIVED]


def _datum(name: str, value: Any) -> Any:
    if name in _NOISES:
        return _NOISES[name](**value)
    return np.asarray(value, dtype=float) if isinstance(value, list) else value


# --- vectors --------------------------------------------------------------------------------


def encode(vector: Vector) -> dict[str, Any]:
    """``vector`` as JSON values."""
    method, choices = METHODS[vector.method], convention(vector)
    named = {} if vector.method == DEFAULT else {"name": vector.method}
    smallest = {"smallest_momentum": vector.smallest_momentum} if method.smallest_momentum else {}
    return {
        "id": vector.id,
        "since": vector.since,
        "kind": vector.kind,
        "problem": vector.problem_name,
        "algorithm": {**named, **_constants(vector.algorithm)},
        "dtype": vector.dtype,
        "replicates": list(vector.replicates),
        **({"convention": choices} if choices else {}),
        "line": vector.line,
        "note": vector.note,
        "flags": list(vector.flags),
        "difficulty": {
            "d_x": vector.problem.d_x,
            "d_y": vector.problem.d_y,
            "condition": vector.condition,
            **smallest,
        },
        "fast": vector.fast,
        "samples": [_lists(sample) for sample in vector.samples],
        "expected": [_lists(expected) for expected in vector.expected],
        "tolerance_kind": vector.tolerance_kind,
        "tolerance": [_lists(tolerance) for tolerance in vector.tolerance],
        **_origin(vector),
    }


def _origin(vector: Vector) -> dict[str, Any]:
    """What a vector starts from."""
    if vector.state is not None:
        state = _lists(as_fields(vector.state))
        return {"state": {**state, "iteration": vector.state.iteration}}
    start = {"x": _lists(vector.x), "y": _lists(vector.y), "start": _lists(vector.start)}
    return start if vector.method == DEFAULT else {**start, "start_samples": vector.first}


def _constants(algorithm: Any) -> dict[str, Any]:
    """The hyper-parameters of an algorithm, without its parts."""
    return {name: value for name, value in vars(algorithm).items() if name != "parts"}


def convention(vector: Vector) -> dict[str, str]:
    """The choices of SPEC §2 that a vector was made under, of an algorithm that has some."""
    choices = METHODS[vector.method].conventions
    return {} if choices is None else choices(vector)


def read(values: Mapping[str, Any], problems: Mapping[str, Any]) -> Vector:
    """The vector that ``encode`` wrote; raises ``ValueError`` where its parts do not fit."""
    problem, replicates = problems[values["problem"]], tuple(values["replicates"])
    given = dict(values["algorithm"])
    method = known(given.pop("name", DEFAULT))
    try:
        algorithm = getattr(algorithms, method)(**given)
    except TypeError as error:
        raise ValueError(f"the hyper-parameters of {method} do not fit: {error}") from None
    shapes = _state_shapes(algorithm, problem, replicates)

    def arrays(given: Mapping[str, Any], drop: int = 0) -> dict[str, np.ndarray]:
        if set(given) != set(shapes):
            raise ValueError(f"a state holds {sorted(given)} where {sorted(shapes)} are expected")
        made = {}
        for name, shape in shapes.items():
            try:
                made[name] = _array(given[name], shape[: len(shape) - drop])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return made

    origin: dict[str, Any] = {}
    iteration = 1
    if values["kind"] == "step":
        before = dict(values["state"])
        iteration = before.pop("iteration")
        origin["state"] = as_state(method, arrays(before), iteration)
    else:
        start = values["start"]
        first = values["start_samples"] if "start_samples" in values else _first(start)
        layout = algorithm.draw_start(problem, _count(start["warm_start"]), first)
        origin["first"] = first
        origin["x"] = _array(values["x"], (*replicates, problem.d_x))
        origin["y"] = _array(values["y"], (*replicates, problem.d_y))
        origin["start"] = _fill(layout, start, replicates)
    samples = [
        _fill(algorithm.draw(problem, algorithm.refreshes(iteration + index)), sample, replicates)
        for index, sample in enumerate(values["samples"])
    ]
    return Vector(
        id=values["id"],
        since=values["since"],
        kind=values["kind"],
        problem=problem,
        algorithm=algorithm,
        dtype=values["dtype"],
        samples=tuple(samples),
        expected=tuple(arrays(expected) for expected in values["expected"]),
        tolerance=tuple(arrays(tolerance, 1) for tolerance in values["tolerance"]),
        problem_name=values["problem"],
        line=values["line"],
        note=values["note"],
        flags=tuple(values["flags"]),
        condition=values["difficulty"]["condition"],
        smallest_momentum=values["difficulty"].get("smallest_momentum", 0.0),
        fast=values["fast"],
        tolerance_kind=values.get("tolerance_kind", MEASURED),
        **origin,
    )


def _first(start: Mapping[str, Any]) -> int:
    """S, counted."""
    if "upper" not in start["first"]:
        raise ValueError("start_samples is missing, and start.first has no upper to count")
    return _count(start["first"]["upper"])


def _state_shapes(
    algorithm: Any, problem: Any, replicates: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """The shapes of a state's arrays by dotted name: those after iteration 0 on zeros.

    Counts are replaced by 1: nothing large is made of a number in a file.
    """
    counts = {name: 1 for name, value in vars(algorithm).items() if isinstance(value, int)}
    algorithm = dataclasses.replace(algorithm, **counts)

    def zeros(layout: Any) -> Any:
        if isinstance(layout, Draw):
            kind = np.int64 if layout.noise.law == "index" else np.float64
            return np.zeros((*layout.leading, *replicates, *layout.noise.shape), kind)
        if isinstance(layout, Mapping):
            return {key: zeros(part) for key, part in layout.items()}
        return type(layout)(*map(zeros, layout))

    x, y = (np.zeros((*replicates, size)) for size in (problem.d_x, problem.d_y))
    state = algorithm.init(problem, x, y, zeros(algorithm.draw_start(problem, 0, 1)))
    return {name: tuple(array.shape) for name, array in as_fields(state).items()}


def _lists(tree: Any) -> Any:
    """Arrays as nested lists, NamedTuples and mappings as objects."""
    if isinstance(tree, Mapping):
        return {key: _lists(value) for key, value in tree.items()}
    if hasattr(tree, "_fields"):
        return {key: _lists(value) for key, value in zip(tree._fields, tree, strict=True)}
    return tree.tolist() if isinstance(tree, np.ndarray) else tree


def _count(part: Mapping[str, Sequence[Any]]) -> int:
    """Rows of a part of a sample, which is never without a field."""
    return len(next(iter(part.values())))


def _fill(layout: Any, values: Any, replicates: tuple[int, ...]) -> Any:
    """Arrays in the places of ``layout``."""
    if isinstance(layout, Draw):
        shape = (*layout.leading, *replicates, *layout.noise.shape)
        if layout.noise.law == "index":
            return _indices(values, shape, layout.noise.parameter)
        return _array(values, shape)
    if isinstance(layout, Mapping):
        if set(layout) != set(values):
            raise ValueError(f"a sample holds {sorted(values)} where {sorted(layout)} is expected")
        return {key: _fill(part, values[key], replicates) for key, part in layout.items()}
    parts = zip(layout._fields, layout, strict=True)
    return type(layout)(*[_fill(part, values[name], replicates) for name, part in parts])


def _array(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected numbers of shape {shape}, got something else") from None
    # in JSON nothing follows an axis of length 0
    shown = shape[: shape.index(0) + 1] if 0 in shape else shape
    if array.shape != shown:
        raise ValueError(f"expected shape {shape}, got {array.shape}")
    return array.reshape(shape)


def _indices(values: Any, shape: tuple[int, ...], below: Any) -> np.ndarray:
    array = _array(values, shape)
    if not np.all((array >= 0) & (array < below) & (array == np.floor(array))):
        raise ValueError(f"expected integers in [0, {below}), got {values}")
    return array.astype(np.int64)


# --- the sets that come with the package ----------------------------------------------------


def expect_set(number: int) -> int:
    """``number``; raises ``ValueError`` for a set that does not exist."""
    if number not in FORMATS:
        raise ValueError(f"set {number!r} of the cases is not known; there are 1 to {SET}")
    return number


def folder_of(number: int = SET) -> Path:
    """The folder of a set, whole in itself: the first stays as it was published."""
    return Path(__file__).parent / f"set-{expect_set(number)}"


def set_files(number: int = SET, method: str | None = None) -> list[Path]:
    """The files of a set, or those of one algorithm."""
    folder = folder_of(number)
    methods = METHODS if method is None else (known(method),)
    return [path for name in methods for path in sorted(folder.glob(file_of(name, "*")))]


def load(number: int = SET, method: str = DEFAULT, fast: bool = False) -> tuple[Vector, ...]:
    """The vectors of set ``number``, or of its fast tier; ``ValueError`` for a set unheard of."""
    return _load(expect_set(number), known(method), bool(fast))


@functools.cache
def _load(number: int, method: str, fast: bool) -> tuple[Vector, ...]:
    found: list[Vector] = []
    for path in set_files(number, method):
        document = json.loads(path.read_text(encoding="utf-8"))
        problems = {name: read_problem(data) for name, data in document["problems"].items()}
        wanted = (vector for vector in document["vectors"] if vector["fast"] or not fast)
        found.extend(read(vector, problems) for vector in wanted)
    return tuple(found)
