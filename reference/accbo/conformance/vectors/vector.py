"""A test vector: one problem, one algorithm, samples as values, what must come out, how closely.

Vectors are JSON, so that any language can read them: those of AccBO one file a family of
problems, those of another algorithm one file, in a folder beside; VECTORS.md beside this file
says what the fields mean. ``read`` and ``encode`` are each other's inverse.

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
from accbo._arrays import Array, rows
from accbo.algorithms import AccBO, AccBOState
from accbo.conformance.methods import ACCBO, expect_method
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
FIELDS = tuple(field for field in AccBOState._fields if field != "iteration")
HYPER = (
    "lower_step_size",
    "lower_momentum",
    "averaging",
    "momentum",
    "upper_step_size",
    "neumann_terms",
    "neumann_scale",
    "neumann_sampling",
    "period",
    "lower_steps",
    "order",
)
KINDS: dict[str, type] = {
    "quadratic": Quadratic,
    "relaxed_smooth": RelaxedSmooth,
    "nonquadratic": NonQuadratic,
    "finite_sum": FiniteSum,
}
_NOISES: dict[str, type] = {"noise_upper": UpperNoise, "noise_lower": LowerNoise}
METHODS = (
    ACCBO,
    *(
        name
        for name in algorithms.__all__
        if name != ACCBO and f"{name}State" in algorithms.__all__
    ),
)
OTHERS = "methods"  # the folder of the other algorithms' vectors, in that of AccBO's
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


def file_of(method: str) -> str:
    """The path of the vectors of an algorithm other than AccBO, in the folder of them all."""
    return f"{OTHERS}/{method.lower()}.json"


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
    if vector.method != ACCBO:
        return _encode_other(vector)
    algorithm = {name: getattr(vector.algorithm, name) for name in HYPER}
    values: dict[str, Any] = {
        "id": vector.id,
        "since": vector.since,
        "kind": vector.kind,
        "problem": vector.problem_name,
        "algorithm": algorithm,
        "dtype": vector.dtype,
        "replicates": list(vector.replicates),
        "convention": convention(vector),
        "line": vector.line,
        "note": vector.note,
        "flags": list(vector.flags),
        "difficulty": {
            "d_x": vector.problem.d_x,
            "d_y": vector.problem.d_y,
            "condition": vector.condition,
            "smallest_momentum": vector.smallest_momentum,
        },
        "fast": vector.fast,
        "samples": [_lists(sample) for sample in vector.samples],
        "expected": [_lists(expected) for expected in vector.expected],
        "tolerance_kind": vector.tolerance_kind,
        "tolerance": [_lists(tolerance) for tolerance in vector.tolerance],
    }
    return {**values, **_origin(vector)}


def _origin(vector: Vector) -> dict[str, Any]:
    """What a vector starts from."""
    if vector.state is not None:
        return {"state": _lists(vector.state)}
    return {"x": _lists(vector.x), "y": _lists(vector.y), "start": _lists(vector.start)}


def _encode_other(vector: Vector) -> dict[str, Any]:
    """A vector of an algorithm other than AccBO: its name with its hyper-parameters."""
    values: dict[str, Any] = {
        "id": vector.id,
        "since": vector.since,
        "kind": vector.kind,
        "problem": vector.problem_name,
        "algorithm": {"name": vector.method, **_constants(vector.algorithm)},
        "dtype": vector.dtype,
        "replicates": list(vector.replicates),
        "line": vector.line,
        "note": vector.note,
        "flags": list(vector.flags),
        "difficulty": {
            "d_x": vector.problem.d_x,
            "d_y": vector.problem.d_y,
            "condition": vector.condition,
        },
        "fast": vector.fast,
        "samples": [_lists(sample) for sample in vector.samples],
        "expected": [_lists(expected) for expected in vector.expected],
        "tolerance_kind": vector.tolerance_kind,
        "tolerance": [_lists(tolerance) for tolerance in vector.tolerance],
        **_origin(vector),
    }
    if vector.start is not None:
        values["start_samples"] = vector.first
    if vector.state is not None:
        state = as_fields(vector.state)
        values["state"] = {**_lists(state), "iteration": vector.state.iteration}
    return values


def _constants(algorithm: Any) -> dict[str, Any]:
    """The hyper-parameters of an algorithm, without its parts."""
    return {name: value for name, value in vars(algorithm).items() if name != "parts"}


def convention(vector: Vector) -> dict[str, Any]:
    """The choices of SPEC §2 that a vector was made under; only AccBO has some."""
    if vector.method != ACCBO:
        return {}
    algorithm, option = vector.algorithm, "I" if vector.algorithm.period is None else "II"
    chosen = {
        "order": algorithm.order,
        "neumann_sampling": algorithm.neumann_sampling,
        "option": option,
    }
    if vector.start is not None:
        chosen["first"] = "one" if rows(vector.start.first.upper) == 1 else "mean"
    return chosen


def read(values: Mapping[str, Any], problems: Mapping[str, Any]) -> Vector:
    """The vector that ``encode`` wrote; raises ``ValueError`` where its parts do not fit."""
    problem = problems[values["problem"]]
    if "name" in values["algorithm"]:
        return _read_other(values, problem)
    algorithm = AccBO(**values["algorithm"])
    replicates = tuple(values["replicates"])
    sizes = {name: problem.d_x if name in _X_FIELDS else problem.d_y for name in FIELDS}

    def state(given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {name: _array(given[name], (*replicates, size)) for name, size in sizes.items()}

    known: dict[str, Any] = {}
    if values["kind"] == "step":
        iteration = values["state"]["iteration"]
        known["state"] = AccBOState(**state(values["state"]), iteration=iteration)
    else:
        iteration = 1
        start = values["start"]
        count = [_count(start["warm_start"]), _count(start["first"]["upper"])]
        layout = algorithm.draw_start(problem, *count)
        known["x"] = _array(values["x"], (*replicates, problem.d_x))
        known["y"] = _array(values["y"], (*replicates, problem.d_y))
        known["start"] = _fill(layout, start, replicates)
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
        expected=tuple(state(expected) for expected in values["expected"]),
        tolerance=tuple(
            {name: _array(given[name], replicates) for name in FIELDS}
            for given in values["tolerance"]
        ),
        problem_name=values["problem"],
        line=values["line"],
        note=values["note"],
        flags=tuple(values["flags"]),
        condition=values["difficulty"]["condition"],
        smallest_momentum=values["difficulty"]["smallest_momentum"],
        fast=values["fast"],
        tolerance_kind=values.get("tolerance_kind", MEASURED),
        **known,
    )


_X_FIELDS = ("x", "x_previous", "momentum")


def _read_other(values: Mapping[str, Any], problem: Any) -> Vector:
    """A vector of an algorithm other than AccBO."""
    given = dict(values["algorithm"])
    method = expect_method(given.pop("name"), METHODS[1:])
    try:
        algorithm = getattr(algorithms, method)(**given)
    except TypeError as error:
        raise ValueError(f"the hyper-parameters of {method} do not fit: {error}") from None
    replicates, known, iteration = tuple(values["replicates"]), {}, 1
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

    if values["kind"] == "step":
        before = dict(values["state"])
        iteration = before.pop("iteration")
        known["state"] = as_state(method, arrays(before), iteration)
    else:
        count = [_count(values["start"]["warm_start"]), values["start_samples"]]
        layout = algorithm.draw_start(problem, *count)
        known["x"] = _array(values["x"], (*replicates, problem.d_x))
        known["y"] = _array(values["y"], (*replicates, problem.d_y))
        known["start"] = _fill(layout, values["start"], replicates)
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
        fast=values["fast"],
        first=values.get("start_samples", 1),
        tolerance_kind=values.get("tolerance_kind", MEASURED),
        **known,
    )


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
    own, others = sorted(folder.glob("*.json")), sorted(folder.glob(f"{OTHERS}/*.json"))
    if method is None:
        return [*own, *others]
    return own if method == ACCBO else [folder / file_of(method)]


def load(number: int = SET, method: str = ACCBO) -> tuple[Vector, ...]:
    """The vectors of set ``number``; raises ``ValueError`` for a set that does not exist."""
    return _load(expect_set(number), expect_method(method, METHODS))


@functools.cache
def _load(number: int, method: str) -> tuple[Vector, ...]:
    found: list[Vector] = []
    for path in set_files(number, method):
        document = json.loads(path.read_text(encoding="utf-8"))
        problems = {name: read_problem(data) for name, data in document["problems"].items()}
        found.extend(read(vector, problems) for vector in document["vectors"])
    return tuple(found)
