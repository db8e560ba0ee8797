"""Vectors and results of any algorithm as msgspec Structs: what may stand where; JSON Schemas.

Sizes that a file only declares are bounded here, so that nothing large is made of a small file.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from accbo._extras import install

try:
    import msgspec
    from msgspec import UNSET, Meta, Struct, UnsetType
except ImportError as error:
    raise ImportError(f"reading vectors and results takes msgspec; {install('vectors')}") from error

from accbo.conformance.methods import METHODS
from accbo.conformance.vectors.vector import FORMAT, SET

ValidationError = msgspec.ValidationError
RESULTS_FORMAT = "accbo-results/1"
LONGEST = 201  # states of a trajectory
LARGEST_COUNT = 1000  # of terms, lower steps, replicates along one axis
LARGEST_DIMENSION = 256
LARGEST_TABLE = 10_000  # rows of a finite sum

_NESTED = {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/numbers"}]}
_NULLABLE = {"anyOf": [{"type": ["number", "null"]}, {"$ref": "#/$defs/numbers_or_null"}]}
Numbers = Annotated[list[Any], Meta(extra_json_schema={"items": _NESTED})]
Shown = Annotated[
    list[Any],
    Meta(
        description="numbers in the shape of the vector's expected values; null is NaN",
        extra_json_schema={"items": _NULLABLE},
    ),
]
Tolerance = float | Numbers  # a number, or nested as the replicates are
Row = Annotated[list[float], Meta(min_length=1, max_length=LARGEST_DIMENSION)]
Matrix = Annotated[list[Row], Meta(min_length=1, max_length=LARGEST_DIMENSION)]
Table = Annotated[list[Row], Meta(min_length=1, max_length=LARGEST_TABLE)]
Labels = Annotated[list[float], Meta(min_length=1, max_length=LARGEST_TABLE)]
Scale = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1, le=LARGEST_COUNT)]
FieldPath = Annotated[str, Meta(pattern="^[a-z_]{1,40}(\\.[a-z_]{1,40}){0,3}$")]
Field = Annotated[str, Meta(pattern="^[a-z_]{1,40}$")]
Iteration = Annotated[int, Meta(ge=1, le=1_000_000)]
Part = Annotated[dict[Field, Numbers], Meta(min_length=1, max_length=10)]
Id = Annotated[str, Meta(pattern="^[a-z0-9_-]{1,100}/[a-z0-9_-]{1,100}$")]
ProblemName = Annotated[str, Meta(min_length=1, max_length=200)]

VectorsFormat = Literal["accbo-vectors/1", "accbo-vectors/2"]
ToleranceKind = Literal["measured", "proven"]
Order = Literal["simultaneous", "sequential"]
Sampling = Literal["chained", "independent", "randomised"]
Option = Literal["I", "II"]
First = Literal["one", "mean"]
Law = Literal["normal", "two_point"]
Probability = Annotated[float, Meta(gt=0, lt=1)]


class Record(Struct, forbid_unknown_fields=True, kw_only=True):
    """Whatever is not declared is an error."""


# --- problems -------------------------------------------------------------------------------


class UpperNoiseRecord(Record):
    """``UpperNoise``."""

    additive_x: Scale
    multiplicative_x: Scale
    additive_y: Scale
    multiplicative_y: Scale
    law: Law
    probability: Probability


class LowerNoiseRecord(Record):
    """``LowerNoise``."""

    additive: Scale
    curvature: Scale
    coupling: Scale
    law: Law
    probability: Probability


class ProblemRecord(Record, tag_field="kind"):
    """What every kind has: the factor of F and all its noise."""

    upper_factor: Positive


class CoupledRecord(ProblemRecord):
    """What the three kinds with H and C share."""

    target: Row
    hessian: Matrix
    coupling: Matrix
    noise_upper: UpperNoiseRecord
    noise_lower: LowerNoiseRecord


class QuadraticRecord(CoupledRecord, tag="quadratic"):
    """``Quadratic``."""

    weights: Row


class RelaxedSmoothRecord(CoupledRecord, tag="relaxed_smooth"):
    """``RelaxedSmooth``."""

    rate: Positive
    ripple: Scale
    frequency: Positive


class NonQuadraticRecord(CoupledRecord, tag="nonquadratic"):
    """``NonQuadratic``."""

    weights: Row
    shift: Matrix
    strength: Positive


class FiniteSumRecord(ProblemRecord, tag="finite_sum"):
    """``FiniteSum``."""

    upper_features: Table
    upper_offsets: Table
    upper_labels: Labels
    lower_features: Table
    lower_offsets: Table
    lower_labels: Labels
    upper_ridge: Positive
    lower_ridge: Positive
    upper_batch: Count
    lower_batch: Count


AnyProblem = QuadraticRecord | RelaxedSmoothRecord | NonQuadraticRecord | FiniteSumRecord


# --- vectors --------------------------------------------------------------------------------


MethodName = Annotated[str, Meta(pattern=f"^({'|'.join(METHODS)})$")]
# the hyper-parameters and, but for the first algorithm, the name of the one that has them
Settings = Annotated[dict[Field, float | Count | str | None], Meta(min_length=1, max_length=20)]
# a part of a sample, or a NamedTuple of parts; empty where an algorithm draws nothing there
Parts = Annotated[dict[Field, dict[Field, Numbers] | Numbers], Meta(max_length=10)]
Sample = Annotated[dict[Field, Parts], Meta(min_length=1, max_length=10)]
Fields = Annotated[dict[FieldPath, Numbers], Meta(min_length=2, max_length=40)]
Tolerances = Annotated[dict[FieldPath, Tolerance], Meta(min_length=2, max_length=40)]


class ConventionRecord(Record):
    """The choices of SPEC §2 that a vector was made under, of an algorithm that has some."""

    order: Order
    neumann_sampling: Sampling
    option: Option
    first: First | UnsetType = UNSET


class DifficultyRecord(Record):
    """How hard a vector is."""

    d_x: Annotated[int, Meta(ge=1, le=LARGEST_DIMENSION)]
    d_y: Annotated[int, Meta(ge=1, le=LARGEST_DIMENSION)]
    condition: Scale
    smallest_momentum: Scale | UnsetType = UNSET


class StartRecord(Record):
    """``Start``."""

    warm_start: Part
    first: Sample


class VectorRecord(Record, tag_field="kind", kw_only=True):
    """What every vector has; arrays of a state by dotted name."""

    id: Id
    since: Annotated[int, Meta(ge=1, le=SET)]
    problem: ProblemName
    algorithm: Settings
    dtype: Literal["float64", "float32"]
    replicates: Annotated[list[Count], Meta(max_length=3)]
    convention: ConventionRecord | UnsetType = UNSET
    line: str
    note: str
    flags: list[str]
    difficulty: DifficultyRecord
    fast: bool
    tolerance_kind: ToleranceKind | UnsetType = UNSET  # from format 2 on


class StepRecord(VectorRecord, tag="step", kw_only=True):
    """One step from a state, in which t is ``iteration``."""

    state: Annotated[dict[FieldPath, Numbers | Iteration], Meta(min_length=2, max_length=40)]
    samples: Annotated[list[Sample], Meta(min_length=1, max_length=1)]
    expected: Annotated[list[Fields], Meta(min_length=1, max_length=1)]
    tolerance: Annotated[list[Tolerances], Meta(min_length=1, max_length=1)]


class TrajectoryRecord(VectorRecord, tag="trajectory", kw_only=True):
    """Iterations 0, 1, … from y_init on; ``start_samples`` is S, where it is not counted."""

    x: Numbers
    y: Numbers
    start: StartRecord
    start_samples: Count | UnsetType = UNSET
    samples: Annotated[list[Sample], Meta(min_length=1, max_length=LONGEST - 1)]
    expected: Annotated[list[Fields], Meta(min_length=2, max_length=LONGEST)]
    tolerance: Annotated[list[Tolerances], Meta(min_length=2, max_length=LONGEST)]


class VectorsRecord(Record):
    """A file of vectors of one algorithm."""

    format: VectorsFormat
    set: Annotated[int, Meta(ge=1, le=SET)]
    problems: dict[ProblemName, AnyProblem]
    vectors: list[StepRecord | TrajectoryRecord]
    algorithm: MethodName | UnsetType = UNSET


# --- results --------------------------------------------------------------------------------


# t may be there as ``iteration``; nothing depends on it
ShownFields = Annotated[dict[FieldPath, Shown | int], Meta(extra_json_schema={"required": ["x"]})]


SOME = Meta(min_length=1)


class ConventionsRecord(Record):
    """The conventions that an implementation covers; left out: all of them."""

    order: Annotated[list[Order], SOME] | UnsetType = UNSET
    neumann_sampling: Annotated[list[Sampling], SOME] | UnsetType = UNSET
    option: Annotated[list[Option], SOME] | UnsetType = UNSET
    first: Annotated[list[First], SOME] | UnsetType = UNSET


class ResultsRecord(Record):
    """A file of results for the vectors of one algorithm: the fields shown, by dotted name."""

    format: Literal["accbo-results/1"]
    set: Annotated[int, Meta(ge=1, le=SET)]
    implementation: Annotated[str, Meta(min_length=1, max_length=200)]
    results: dict[Id, Annotated[list[ShownFields], Meta(max_length=LONGEST)]]
    algorithm: MethodName | UnsetType = UNSET
    conventions: ConventionsRecord | UnsetType = UNSET


# --- JSON Schema ----------------------------------------------------------------------------

SCHEMAS: dict[str, tuple[type, str]] = {
    "vectors.schema.json": (VectorsRecord, FORMAT),
    "results.schema.json": (ResultsRecord, RESULTS_FORMAT),
}


def plain(values: Any, record: type) -> dict[str, Any]:
    """JSON values that ``record`` describes, its defaults filled in; else ``ValidationError``."""
    made: Any = msgspec.convert(values, record)
    return dict(msgspec.to_builtins(made))


def schema(name: str) -> str:
    """The JSON Schema file ``name``."""
    cls, title = SCHEMAS[name]
    made = msgspec.json.schema(cls)
    numbers = {"type": "array", "items": _NESTED}
    nullable = {"type": "array", "items": _NULLABLE}
    used = numbers if cls is VectorsRecord else nullable
    made["$defs"]["numbers" if used is numbers else "numbers_or_null"] = used
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps({**head, **made}, indent=1, ensure_ascii=False) + "\n"
