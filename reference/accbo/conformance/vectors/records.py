"""The two file formats as msgspec Structs: what may stand where, and the JSON Schemas of that.

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

from accbo.conformance.vectors.vector import FORMAT, METHODS, SET

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


class AlgorithmRecord(Record):
    """The hyper-parameters of ``AccBO``."""

    lower_step_size: Positive
    lower_momentum: Annotated[float, Meta(ge=0, lt=1)]
    averaging: Annotated[float, Meta(gt=0, le=1)]
    momentum: Annotated[float, Meta(ge=0, lt=1)]
    upper_step_size: Positive
    neumann_terms: Count
    neumann_scale: Positive
    neumann_sampling: Sampling
    period: Count | None
    lower_steps: Count
    order: Order


class ConventionRecord(Record):
    """The choices of SPEC §2 that a vector was made under."""

    order: Order
    neumann_sampling: Sampling
    option: Option
    first: First | UnsetType = UNSET


class DifficultyRecord(Record):
    """How hard a vector is."""

    d_x: Annotated[int, Meta(ge=1, le=LARGEST_DIMENSION)]
    d_y: Annotated[int, Meta(ge=1, le=LARGEST_DIMENSION)]
    condition: Scale
    smallest_momentum: Scale


class SampleRecord(Record):
    """``AccBOSample``."""

    upper: Part
    cross: Part
    hessian: Part
    power: dict[Field, Numbers]
    lower: Part


class StartRecord(Record):
    """``Start``."""

    warm_start: Part
    first: SampleRecord


class ValuesRecord(Record):
    """The arrays of ``AccBOState``."""

    x: Numbers
    x_previous: Numbers
    y: Numbers
    y_previous: Numbers
    y_average: Numbers
    y_average_previous: Numbers
    momentum: Numbers


class StateRecord(ValuesRecord):
    """``AccBOState``: with t."""

    iteration: Annotated[int, Meta(ge=1, le=1_000_000)]


class ToleranceRecord(Record):
    """The largest ‖error‖ of each array, per replicate."""

    x: Tolerance
    x_previous: Tolerance
    y: Tolerance
    y_previous: Tolerance
    y_average: Tolerance
    y_average_previous: Tolerance
    momentum: Tolerance


class VectorRecord(Record, tag_field="kind"):
    """What every vector has."""

    id: Id
    since: Annotated[int, Meta(ge=1, le=SET)]
    problem: ProblemName
    algorithm: AlgorithmRecord
    dtype: Literal["float64", "float32"]
    replicates: Annotated[list[Count], Meta(max_length=3)]
    convention: ConventionRecord
    line: str
    note: str
    flags: list[str]
    difficulty: DifficultyRecord
    fast: bool


class StepRecord(VectorRecord, tag="step"):
    """One step from a state."""

    state: StateRecord
    samples: Annotated[list[SampleRecord], Meta(min_length=1, max_length=1)]
    expected: Annotated[list[ValuesRecord], Meta(min_length=1, max_length=1)]
    tolerance: Annotated[list[ToleranceRecord], Meta(min_length=1, max_length=1)]
    tolerance_kind: ToleranceKind | UnsetType = UNSET  # from format 2 on


class TrajectoryRecord(VectorRecord, tag="trajectory"):
    """Iterations 0, 1, … from y_init on."""

    x: Numbers
    y: Numbers
    start: StartRecord
    samples: Annotated[list[SampleRecord], Meta(min_length=1, max_length=LONGEST - 1)]
    expected: Annotated[list[ValuesRecord], Meta(min_length=2, max_length=LONGEST)]
    tolerance: Annotated[list[ToleranceRecord], Meta(min_length=2, max_length=LONGEST)]
    tolerance_kind: ToleranceKind | UnsetType = UNSET  # from format 2 on


class VectorsRecord(Record):
    """A file of vectors."""

    format: VectorsFormat
    set: Annotated[int, Meta(ge=1, le=SET)]
    problems: dict[ProblemName, AnyProblem]
    vectors: list[StepRecord | TrajectoryRecord]


# --- vectors of the algorithms beside AccBO ---------------------------------------------------

MethodName = Annotated[str, Meta(pattern=f"^({'|'.join(METHODS[1:])})$")]
# a part of a sample, or a NamedTuple of parts; empty where an algorithm draws nothing there
Parts = Annotated[dict[Field, dict[Field, Numbers] | Numbers], Meta(max_length=10)]
MethodSample = Annotated[dict[Field, Parts], Meta(min_length=1, max_length=10)]
MethodFields = Annotated[dict[FieldPath, Numbers], Meta(min_length=2, max_length=40)]
MethodTolerances = Annotated[dict[FieldPath, Tolerance], Meta(min_length=2, max_length=40)]
# the hyper-parameters, and the name of the algorithm that has them
MethodSettings = Annotated[
    dict[Field, float | Count | str | None], Meta(min_length=1, max_length=20)
]


class MethodDifficultyRecord(Record):
    """How hard a vector is."""

    d_x: Annotated[int, Meta(ge=1, le=LARGEST_DIMENSION)]
    d_y: Annotated[int, Meta(ge=1, le=LARGEST_DIMENSION)]
    condition: Scale


class MethodStartRecord(Record):
    """``Start``."""

    warm_start: Part
    first: MethodSample


class MethodVectorRecord(Record, tag_field="kind"):
    """What every vector of theirs has; there are no conventions to declare."""

    id: Id
    since: Annotated[int, Meta(ge=1, le=SET)]
    problem: ProblemName
    algorithm: MethodSettings
    dtype: Literal["float64", "float32"]
    replicates: Annotated[list[Count], Meta(max_length=3)]
    line: str
    note: str
    flags: list[str]
    difficulty: MethodDifficultyRecord
    fast: bool


class MethodStepRecord(MethodVectorRecord, tag="step"):
    """One step from a state: its arrays by dotted name, and t as ``iteration``."""

    state: Annotated[dict[FieldPath, Numbers | int], Meta(min_length=2, max_length=40)]
    samples: Annotated[list[MethodSample], Meta(min_length=1, max_length=1)]
    expected: Annotated[list[MethodFields], Meta(min_length=1, max_length=1)]
    tolerance: Annotated[list[MethodTolerances], Meta(min_length=1, max_length=1)]
    tolerance_kind: ToleranceKind | UnsetType = UNSET  # from format 2 on


class MethodTrajectoryRecord(MethodVectorRecord, tag="trajectory"):
    """Iterations 0, 1, … from y_init on; ``start_samples`` is S."""

    x: Numbers
    y: Numbers
    start: MethodStartRecord
    start_samples: Count
    samples: Annotated[list[MethodSample], Meta(min_length=1, max_length=LONGEST - 1)]
    expected: Annotated[list[MethodFields], Meta(min_length=2, max_length=LONGEST)]
    tolerance: Annotated[list[MethodTolerances], Meta(min_length=2, max_length=LONGEST)]
    tolerance_kind: ToleranceKind | UnsetType = UNSET  # from format 2 on


class MethodVectorsRecord(Record):
    """A file of vectors of one algorithm beside AccBO."""

    format: VectorsFormat
    algorithm: MethodName
    set: Annotated[int, Meta(ge=1, le=SET)]
    problems: dict[ProblemName, AnyProblem]
    vectors: list[MethodStepRecord | MethodTrajectoryRecord]


# --- results --------------------------------------------------------------------------------


class ConventionsRecord(Record):
    """The conventions that an implementation covers; left out: all of them."""

    order: list[Order] | UnsetType = UNSET
    neumann_sampling: list[Sampling] | UnsetType = UNSET
    option: list[Option] | UnsetType = UNSET
    first: list[First] | UnsetType = UNSET


class ShownRecord(Record):
    """The state after an iteration, as far as it is shown."""

    x: Shown
    x_previous: Shown | UnsetType = UNSET
    y: Shown | UnsetType = UNSET
    y_previous: Shown | UnsetType = UNSET
    y_average: Shown | UnsetType = UNSET
    y_average_previous: Shown | UnsetType = UNSET
    momentum: Shown | UnsetType = UNSET
    iteration: int | UnsetType = UNSET  # may be there; nothing depends on it


class ResultsRecord(Record):
    """A file of results."""

    format: Literal["accbo-results/1"]
    set: Annotated[int, Meta(ge=1, le=SET)]
    implementation: Annotated[str, Meta(min_length=1, max_length=200)]
    results: dict[Id, Annotated[list[ShownRecord], Meta(max_length=LONGEST)]]
    conventions: ConventionsRecord | UnsetType = UNSET


class MethodResultsRecord(Record):
    """A file of results of one algorithm beside AccBO; fields by dotted name, x among them."""

    format: Literal["accbo-results/1"]
    algorithm: MethodName
    set: Annotated[int, Meta(ge=1, le=SET)]
    implementation: Annotated[str, Meta(min_length=1, max_length=200)]
    results: dict[Id, Annotated[list[dict[FieldPath, Shown | int]], Meta(max_length=LONGEST)]]


# --- JSON Schema ----------------------------------------------------------------------------

SCHEMAS: dict[str, tuple[type, str]] = {
    "vectors.schema.json": (VectorsRecord, FORMAT),
    "results.schema.json": (ResultsRecord, RESULTS_FORMAT),
    "method_vectors.schema.json": (MethodVectorsRecord, FORMAT),
    "method_results.schema.json": (MethodResultsRecord, RESULTS_FORMAT),
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
    used = numbers if cls in (VectorsRecord, MethodVectorsRecord) else nullable
    made["$defs"]["numbers" if used is numbers else "numbers_or_null"] = used
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps({**head, **made}, indent=1, ensure_ascii=False) + "\n"
