"""Which column catches which fault: theory checks, relations and step comparison.

Every cell is computed by running the column on the faulty algorithm; a fault is killed where
the column, which holds for AccBO itself, does not hold for it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accbo import AccBO, Tape
from accbo.conformance.faults import FAULTS
from accbo.problems import LowerNoise, UpperNoise, finite_sum, nonquadratic
from accbo.problems.wrapped import ScaledUpper
from accbo.relations.case import Case
from accbo.relations.relations import RELATIONS

from .harness import DIVERGED, Outcome, Piece, Settings, fault_named
from .registry import CHECKS
from .sweep import Means, Task, run_tasks

NAME = "kill_matrix"
COMPARISON = "step comparison"
NEEDS = {"relation: derivatives": "jax", COMPARISON: "msgspec"}  # extras of the project

Matrix = dict[str, dict[str, bool]]

UNSEEN: dict[str, str] = {}  # faults that no law and no relation can see, with the reason
# Columns that catch nothing a cheaper one misses, with their worth. Step comparison, itself among
# the cheap, sees every fault, and needs an implementation that takes given samples and state; a
# law holds for one that takes neither.
WORTH: dict[str, str] = {
    "neumann_bias": "measures the size of the series' bias, which the comparison takes from us",
    "smoothness": "alone tests the constants that problems declare, on which schedules rest",
    "unbounded_smoothness": "alone goes to gradients of 1e130, and measures growth with distance",
    "momentum_variance": "alone measures by how much the recursion lowers the variance",
    "lower_tracking": "alone sees wrong lower levels that still converge, by their covariance",
    "own_path": "alone follows AccBO for longer than its momentum remembers, and reads off β",
    "oracle_calls": "alone counts calls, and says what each wrong choice costs in them",
    "rate": "alone measures the exponent that the theorem is about",
    "noise_floor": "alone measures where a schedule settles, and the variance condition",
    "sample_floor": "alone counts samples, against a bound that holds exactly",
    "relation: noise free": "needs no prediction: two runs that must agree without noise",
    "relation: own samples": "names the level whose sample leaked into the other",
    "relation: splitting": "sees what depends on the number of replicates, not on their order",
    "relation: isotropic": "exact for any Q and any sampling, so that it names the wrong term",
    "relation: translation": "alone tests a user's problem for special points",
    "relation: rotation": "alone sees what is done coordinate by coordinate",
    "relation: padding": "alone sees what depends on the dimension",
    "relation: derivatives": "alone tests a user's derivatives, by automatic differentiation",
}


def columns() -> list[str]:
    """Every column: the theory checks, the relations, and the comparison of single steps."""
    return [*CHECKS, *(f"relation: {name}" for name in RELATIONS), COMPARISON]


def faults() -> list[str]:
    """Every row: the catalogue, and what a check was made for and the catalogue has not."""
    own = [fault for check in CHECKS.values() for fault in check.KILLS if fault not in FAULTS]
    return [*FAULTS, *dict.fromkeys(own)]


def missing() -> dict[str, str]:
    """Columns that cannot be computed here, with the package that each of them lacks."""
    from importlib.util import find_spec

    return {column: package for column, package in NEEDS.items() if find_spec(package) is None}


def run(
    settings: Settings, means: Means, faults: Sequence[str], chosen: Sequence[str]
) -> tuple[Matrix, dict[str, float]]:
    """``matrix[fault][column]``, and the core-seconds that each column took."""
    tasks = []
    for column in chosen:
        for fault in faults:
            cell = Settings(**{**vars(settings), "fault": fault, "kept": None})
            if column in CHECKS:
                tasks += [Task(0, cell, piece) for piece in CHECKS[column].pieces(cell)]
            else:
                tasks.append(Task(0, cell, Piece(NAME, (column,), 1.0)))
    tasks.sort(key=lambda task: -task.piece.cost)  # so that no core is left with a long one
    outcomes: dict[tuple[str, str], dict[tuple[Any, ...], Outcome]] = {}
    seconds = dict.fromkeys(chosen, 0.0)
    for (_, cell, piece), outcome, spent in run_tasks(tasks, means):
        column = piece.key[0] if piece.check == NAME else piece.check
        outcomes.setdefault((str(cell.fault), column), {})[piece.key] = outcome
        seconds[column] += spent
    matrix = {
        fault: {column: _killed(settings, fault, column, outcomes) for column in chosen}
        for fault in faults
    }
    return matrix, seconds


def complaints(matrix: Matrix) -> list[str]:
    """What is missing: faults that no law sees, columns that see nothing."""
    names = list(next(iter(matrix.values())))
    found = [
        f"{fault} is seen by no law and no relation"
        for fault, row in matrix.items()
        if fault not in UNSEEN and not any(row[name] for name in names if name != COMPARISON)
    ]
    found += [
        f"{name} sees no fault" for name in names if not any(row[name] for row in matrix.values())
    ]
    return found


def redundant(matrix: Matrix, seconds: dict[str, float]) -> list[str]:
    """Columns all of whose faults some cheaper column sees too."""
    by_cost = sorted(seconds, key=lambda name: seconds[name])
    found: list[str] = []
    seen: set[str] = set()
    for name in by_cost:
        mine = {fault for fault, row in matrix.items() if row[name]}
        if mine <= seen:
            found.append(name)
        seen |= mine
    return found


def table(matrix: Matrix, seconds: dict[str, float]) -> str:
    """The matrix as text: a numbered column each, then what the numbers are."""
    names = list(seconds)
    width = max(map(len, matrix))
    lines = [" " * width + "".join(f"{index:>3}" for index in range(1, len(names) + 1))]
    for fault, row in matrix.items():
        lines.append(f"{fault:{width}}" + "".join("  x" if row[name] else "  ." for name in names))
    lines.append("")
    spare = redundant(matrix, seconds)
    for index, name in enumerate(names, 1):
        count = sum(row[name] for row in matrix.values())
        note = (
            f"; catches nothing a cheaper column misses: {WORTH[name]}"
            if (name in spare and name in WORTH)
            else ""
        )
        lines.append(f"{index:3} {name}: {count} faults, {seconds[name]:.1f} core-seconds{note}")
    lines += [f"not seen by a law, {fault}: {reason}" for fault, reason in UNSEEN.items()]
    if len(matrix) > 1 and names == columns():  # of a part of the columns nothing is missing
        lines += complaints(matrix)
    return "\n".join(lines)


def document(matrix: Matrix, seconds: dict[str, float]) -> dict[str, Any]:
    """The matrix as JSON values."""
    return {
        "matrix": matrix,
        "seconds": {name: round(spent, 1) for name, spent in seconds.items()},
        "unseen": {fault: reason for fault, reason in UNSEEN.items() if fault in matrix},
        "worth": {name: WORTH.get(name, "") for name in redundant(matrix, seconds)},
    }


def measure(settings: Settings, piece: Piece) -> Outcome:
    """One cell of a relation, or of the comparison: whether it catches the fault."""
    (column,) = piece.key
    build = fault_named(str(settings.fault))
    if column == COMPARISON:
        return {"killed": np.asarray(not _conforms(build))}
    relation = RELATIONS[column.removeprefix("relation: ")]
    with np.errstate(all="ignore"):
        held = all(relation(case._replace(build=build)).holds for case in cases(column))
    return {"killed": np.asarray(not held)}


def _killed(
    settings: Settings,
    fault: str,
    column: str,
    outcomes: dict[tuple[str, str], dict[tuple[Any, ...], Outcome]],
) -> bool:
    found = outcomes[fault, column]
    if column not in CHECKS:
        return bool(found[(column,)]["killed"])
    if any(DIVERGED in outcome for outcome in found.values()):
        return True
    cell = Settings(**{**vars(settings), "fault": fault})
    return not all(finding.passed for finding in CHECKS[column].judge(cell, found))


# --- relations --------------------------------------------------------------------------------


@functools.cache
def cases(column: str) -> tuple[Case, ...]:
    """What a relation is tried on: both orders and options, long and short momenta."""
    base = _case()
    if column == "relation: derivatives":
        from accbo import move

        from .backends import like

        here = like("jax")
        base = base._replace(
            **{name: move(getattr(base, name), here) for name in ("problem", "x", "y")}
        )
        return (base,)
    short = base._replace(problem=ScaledUpper(base.problem, 2.0**-20), warm_start=0)
    declared = base.algorithm
    other = dataclasses.replace(
        declared, order="sequential", neumann_sampling="independent", period=3, lower_steps=2
    )
    second = base._replace(algorithm=other, steps=6)
    third = base._replace(algorithm=dataclasses.replace(declared, neumann_sampling="randomised"))
    batches = finite_sum(7, 3, 2, upper_samples=7)
    fourth = base._replace(problem=batches, x=base.x[:, :3], y=base.y[:, :2])
    tiny = base._replace(problem=ScaledUpper(base.problem, 2.0**-660), warm_start=0)
    tried = (base, second, third, fourth, short, tiny)
    return tuple(case for case in tried if _applies(column, case))


def _applies(column: str, case: Case) -> bool:
    """Whether the relation is one of this case: it holds for AccBO itself and raises nothing."""
    try:
        return RELATIONS[column.removeprefix("relation: ")](case).holds
    except (ValueError, TypeError, AttributeError):
        return False


def _case() -> Case:
    """Noise in every part, no two parameters alike, a lower level that is not quadratic."""
    problem = nonquadratic(
        (1.0, 1.7, 2.5),
        4,
        noise_upper=UpperNoise(0.5, 0.3, 0.4, 0.2),
        noise_lower=LowerNoise(0.3, 0.2, 0.2),
        form="matmul",
    )
    scale = 1.2 * problem.constants.curvature
    algorithm = AccBO(
        lower_step_size=0.3 / scale,
        lower_momentum=0.6,
        averaging=0.3,
        momentum=0.8,
        upper_step_size=0.05,
        neumann_terms=4,
        neumann_scale=scale,
    )
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((4, 4)), generator.standard_normal((4, 3))
    return Case(algorithm, problem, x, y, Tape(3), warm_start=2)


# --- comparison of single steps ---------------------------------------------------------------


def _conforms(build: Callable[[AccBO], Any]) -> bool:
    from accbo.conformance import check

    report = check(implementation(build), on_fail="return", fast=True, strict=True)
    return report.exit_code == 0


def implementation(build: Callable[[AccBO], Any]) -> Any:
    """The algorithm that ``build`` makes of the declared one, behind the oracle's adapter."""
    from accbo.conformance.mistakes.changes import resume, timed
    from accbo.conformance.vectors.vector import fields_of

    class Implementation:
        batched = True

        def __init__(self, problem: Any, algorithm: Any, state: Any) -> None:
            self.problem, self.algorithm = problem, build(algorithm)
            self.now, self.t = resume(self.algorithm, state), state.iteration

        @classmethod
        def start(cls, problem: Any, algorithm: Any, x: Any, y: Any, samples: Any) -> Any:
            made = cls.__new__(cls)
            made.problem, made.algorithm, made.t = problem, build(algorithm), 1
            given = samples._replace(first=timed(made.algorithm, 0, samples.first))
            with np.errstate(all="ignore"):
                made.now = made.algorithm.init(problem, x, y, given)
            return made

        def step(self, sample: Any) -> None:
            with np.errstate(all="ignore"):
                given = timed(self.algorithm, self.t, sample)
                self.now = self.algorithm.step(self.problem, self.now, given)
            self.t += 1

        def state(self) -> dict[str, Any]:
            return {
                name: getattr(self.now, name) for name in fields_of("AccBO")
            }  # not a fault's own memory

    return Implementation
