"""Runs to be traced: every algorithm right, and with each mistake of its catalogue.

Each mistake is made where it shows (SPEC §6): clipping where norms lie on both sides of its
threshold, an ε where the norm is as small, a shared batch where both levels draw indices.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import accbo
from accbo.conformance.methods import METHODS, catalogue
from accbo.problems import finite_sum
from accbo.problems.wrapped import ScaledUpper
from accbo.tracing import Recorder, Verdict, traced, verify
from benchmarks.wide import Wide, start

SCALE = 3.2  # l, at least the curvature of ``Wide``
WARM_START = 3
ACCBO: dict[str, Any] = {
    "lower_step_size": 0.15,
    "lower_momentum": 0.6,
    "averaging": 0.3,
    "momentum": 0.8,
    "upper_step_size": 0.05,
    "neumann_terms": 4,
    "neumann_scale": SCALE,
}
# derivatives of another function satisfy every line: they are for the audit
OF_DERIVATIVES = ("Gauss-Newton for the Hessian", "cross derivative transposed")
OF_OPTION_II = ("inner pair kept", "period off by one", "never refreshes")
OF_INDICES = ("upper batch reused below", "cross batch from the upper data", "sum for mean")


@dataclasses.dataclass(frozen=True)
class Case:
    """A run: ``algorithm`` is made, ``declared`` is what the trace says it is."""

    method: str
    mistake: str | None
    algorithm: Any
    declared: Any
    problem: Any
    steps: int
    dtype: str = "float64"
    seed: int = 0


def declared(method: str, mistake: str | None = None) -> Any:
    """The right algorithm, with the option in which a mistake can be made."""
    if method == "AccBO":
        option: dict[str, Any] = {"period": 3, "lower_steps": 2} if mistake in OF_OPTION_II else {}
        return accbo.AccBO(**{**ACCBO, **option, **_zero(mistake, "momentum")})
    settings = {**METHODS[method].settings[0]}
    settings |= {k: v for k, v in _zero(mistake, "momentum").items() if k in settings}
    if mistake == "constants in low precision":  # which round ones do not show
        settings = {k: 1.0007 * v if isinstance(v, float) else v for k, v in settings.items()}
    if "neumann_terms" in settings:
        settings["neumann_scale"] = SCALE
    if mistake == "upper batch reused below" and method == "StocBiO":
        settings |= {"lower_batch": settings["upper_batch"]}
    return getattr(accbo.algorithms, method)(**settings)


def _zero(mistake: str | None, name: str) -> dict[str, Any]:
    """A constant that is 0, where a default may take its place."""
    return {name: 0.0} if mistake == "default that overrides 0" else {}


def problem(method: str, mistake: str | None, d: int, dtype: str = "float64") -> Any:
    """A problem of d entries on which the mistake shows."""
    if method == "SABA":
        size = min(d, 200)  # its tables hold a row for every term
        counts: dict[str, Any] = {"upper_samples": 8 if mistake in OF_INDICES else 6}
        return finite_sum(8, size, size, upper_batch=1, lower_batch=1, scale=0.1, **counts)
    if mistake in OF_INDICES:
        return finite_sum(40, 3, 3, upper_batch=6, lower_batch=6, scale=0.8)
    wide = Wide(d)
    norm = _norm(d)
    factor = {
        "clipping": 1 / norm,
        "ε in the norm": 1e-7 / norm,
        "norm that underflows": 2.0**-664 if dtype == "float64" else 2.0**-80,
    }.get(mistake or "")
    return wide if factor is None else ScaledUpper(wide, factor)


@functools.cache
def _norm(d: int) -> float:
    """The median of ‖m_t‖ in AccBO's run."""
    x, y = start(d)
    norms = {"norm": lambda state: np.linalg.norm(state.momentum, axis=-1)}
    options: dict[str, Any] = {"steps": 5, "warm_start": WARM_START, "record": norms}
    result = accbo.run(declared("AccBO"), Wide(d), x, y, progress=False, **options)
    return float(np.median(result.records["norm"]))


def right(method: str, d: int, dtype: str = "float64", seed: int = 0, steps: int = 0) -> Case:
    """The algorithm without a mistake."""
    algorithm = declared(method)
    steps = steps or (40 if method == "SABA" else 8)
    return Case(method, None, algorithm, algorithm, problem(method, None, d), steps, dtype, seed)


def wrong(method: str, mistake: str, d: int, dtype: str = "float64") -> Case:
    """The algorithm with one mistake of its catalogue."""
    base = declared(method, mistake)
    steps = 36 if method == "SABA" else 10 if d < 10**5 else 5
    made = catalogue(method)[mistake].apply(base)
    return Case(method, mistake, made, base, problem(method, mistake, d, dtype), steps, dtype)


def seen_in_traces(method: str) -> list[str]:
    """The mistakes of a catalogue that a line of the algorithm can show."""
    return [name for name in catalogue(method) if name not in OF_DERIVATIVES]


def every(d: int, dtype: str = "float64", *methods: str) -> Iterator[Case]:
    """Each mistake of each catalogue."""
    for method in methods or METHODS:
        for mistake in seen_in_traces(method):
            yield wrong(method, mistake, d, dtype)


def judged(case: Case, path: Path) -> Verdict:
    """The verdict on the trace of a case, which is written to ``path``."""
    write(case, path)
    return verify(path)


def write(case: Case, path: Path) -> None:
    """The trace of a case."""
    recorder = Recorder(path, algorithm=case.declared, warm_start=WARM_START, first=1)
    watched = traced(case.problem, recorder, case.algorithm)
    x, y = start(case.problem.d_x, case.dtype)[0], start(case.problem.d_y, case.dtype)[1]
    accbo.run(
        watched.algorithm,
        watched,
        x,
        y,
        steps=case.steps,
        noise=case.seed,
        warm_start=WARM_START,
        record={"trace": watched.record},
        progress=False,
    )
    watched.close()
