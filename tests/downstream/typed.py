"""What a type checker sees of the package from outside; ``tox -e type`` runs mypy on it.

Each ``type: ignore`` is a mistake that must be seen: mypy complains of one that is not needed.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np

import accbo
from accbo import AccBO, Tape, problems, schedules
from accbo.conformance import check
from accbo.conformance.verdict.report import Report
from accbo.problems import LowerNoise, UpperNoise
from accbo.schedules import Schedule

problem = problems.quadratic(
    spectrum=(1.0, 2.0),
    d_x=2,
    noise_upper=UpperNoise(additive_x=0.1),
    noise_lower=LowerNoise(additive=0.1),
)
schedule = schedules.accbo(problem.constants, steps=10)
assert_type(schedule, Schedule[AccBO])
assert_type(schedule.algorithm.momentum, float)
assert_type(schedule.steps, int)

result = accbo.run(
    schedule.algorithm,
    problem,
    np.ones(2),
    np.zeros(2),
    steps=schedule.steps,
    noise=Tape(seed=0),
    checkpoint=Path("run.npz"),
)
assert_type(result, accbo.Result)
assert_type(accbo.__version__, str)


def factory(problem: Any, algorithm: Any, state: Any) -> Any:
    """An implementation's."""


assert_type(check(factory, fast=True), Report)

print(schedule.algorithm.momentums)  # type: ignore[attr-defined]
accbo.run(schedule.algorithm, problem, np.ones(2))  # type: ignore[call-arg]
Tape(sed=0)  # type: ignore[call-arg]
print(accbo.no_such_name)  # type: ignore[attr-defined]
