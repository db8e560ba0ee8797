"""Whether the oracle is a pure function of its arguments that broadcasts over leading axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import Array, dtype_name, to_host
from accbo.auditing.finding import FAILS, HOLDS, Finding, point_of
from accbo.auditing.oracle import METHODS, AuditError, Draws, Oracle, one

ROUNDING = 1e4  # units of roundoff that a batch may differ by from its rows
BATCH = 61  # no dimension is likely to be this and broadcast by accident
COMPARED = 5  # rows of the batch
SOURCE = "accbo.BilevelProblem; SPEC §1"


class Rows(NamedTuple):
    """Points to try a method at: x ``(BATCH, d_x)``, y and v ``(BATCH, d_y)``."""

    x: np.ndarray
    y: np.ndarray
    v: np.ndarray


def contract(oracle: Oracle, rows: Rows) -> list[Finding]:
    """The first breach of every kind, or one finding that there is none.

    Raises ``AuditError`` for a wrong shape or a NaN, with which nothing else can be asked.
    """
    for method in METHODS:
        _alone(oracle, method, rows, 0)  # the shape of one point, before that of a batch
        _batch(oracle, method, rows)
    oracle.learn_expectations(rows.x[0], rows.y[0])
    found = []
    for name, (assumption, check) in CHECKS.items():
        for method in METHODS:
            breach = check(oracle, method, rows)
            if breach is not None:
                at = point_of(rows.x[0], rows.y[0], oracle.seed)
                text, level = f"{method} {breach}", METHODS[method].level
                found.append(Finding(name, assumption, SOURCE, FAILS, text, point=at, level=level))
                break
        if found and name == "repeatable":
            break  # what does not repeat cannot be compared
    text = f"{len(METHODS)} methods: shapes, dtype, arguments, repetition, rows of a batch"
    good = Finding("contract", "the oracle is a pure function", SOURCE, HOLDS, text)
    return found or [good]


def _dtype(oracle: Oracle, method: str, rows: Rows) -> str | None:
    wanted, got = dtype_name(oracle.like), dtype_name(_raw(oracle, method, rows, 0))
    return None if got == wanted else f"returned {got} for arguments in {wanted}"


def _mutation(oracle: Oracle, method: str, rows: Rows) -> str | None:
    given, sample = _arguments(oracle, method, rows, 0)
    named = dict(zip("xyv", given, strict=True)) | {f"sample[{k!r}]": a for k, a in sample.items()}
    before = {k: to_host(a).copy() for k, a in named.items() if a is not None}
    fields = set(sample)
    oracle.raw(method, *given, sample)
    if set(sample) != fields:
        return f"changed the fields of its sample from {sorted(fields)} to {sorted(sample)}"
    for name, was in before.items():
        if not np.array_equal(to_host(named[name]), was):
            return f"changed its argument {name} in place"
    return None


def _repeatable(oracle: Oracle, method: str, rows: Rows) -> str | None:
    # another call in between, for what remembers the last one
    first, _, again = (_alone(oracle, method, rows, row) for row in (0, 1, 0))
    if not _close(oracle, again, first):
        return f"on the same x, y and sample gave {_figures(first)}, then {_figures(again)}"
    if oracle.expected[method]:
        point = rows.x[0], rows.y[0], rows.v[0] if METHODS[method].takes_v else None
        first, again = oracle(method, *point), oracle(method, *point)
        if not _close(oracle, again, first):
            return f"with sample=None gave {_figures(first)}, then {_figures(again)}"
    return None


def _rows(oracle: Oracle, method: str, rows: Rows) -> str | None:
    batch = _batch(oracle, method, rows)
    for row in range(COMPARED):
        alone = _alone(oracle, method, rows, row)
        if not _close(oracle, alone, batch[row]):
            return (
                f"gave {_figures(batch[row])} in row {row} of a batch of {BATCH}, "
                f"{_figures(alone)} for that row alone"
            )
    return None


def _declared(oracle: Oracle, method: str, rows: Rows) -> str | None:
    names = {"hvp_lower": "hessian_noise", "cross_lower": "cross_noise"}
    if method not in names:
        return None
    declared = getattr(oracle.problem, names[method])
    unknown = [field for field in declared if field not in oracle.problem.lower_noise]
    if unknown:
        return f"has {unknown} in {names[method]}, which lower_noise does not declare"
    draws = {name: leaf for name, leaf in _draws(oracle, method).items() if name in declared}
    try:
        part = oracle(method, *rows, draws or {"none": np.zeros((BATCH, 0))})
    except AuditError as error:
        return f"needs more than {names[method]} declares: {error}"
    if _close(oracle, part, _batch(oracle, method, rows)):
        return None
    return f"depends on fields that {names[method]} does not declare ({sorted(declared)})"


CHECKS: dict[str, tuple[str, Callable[[Oracle, str, Rows], str | None]]] = {
    "dtype": ("an answer has the dtype of x", _dtype),
    "pure": ("a method leaves its arguments as they are", _mutation),
    "repeatable": ("the sample decides the answer", _repeatable),
    "batch": ("a batch is its rows", _rows),
    "declared noise": ("products depend on the noise declared for them alone", _declared),
}


def _draws(oracle: Oracle, method: str) -> Draws:
    return oracle.draw(METHODS[method].level, BATCH, stream=0)


def _batch(oracle: Oracle, method: str, rows: Rows) -> np.ndarray:
    v = rows.v if METHODS[method].takes_v else None
    return oracle(method, rows.x, rows.y, v, _draws(oracle, method))


def _alone(oracle: Oracle, method: str, rows: Rows, row: int) -> np.ndarray:
    v = rows.v[row] if METHODS[method].takes_v else None
    return oracle(method, rows.x[row], rows.y[row], v, one(_draws(oracle, method), row))


def _arguments(
    oracle: Oracle, method: str, rows: Rows, row: int
) -> tuple[tuple[Array, Array, Array | None], dict[str, Any]]:
    draws = one(_draws(oracle, method), row)
    x, y, v = (oracle.there(part[row]) for part in rows)
    given = (x, y, v if METHODS[method].takes_v else None)
    return given, {name: oracle.there(leaf) for name, leaf in draws.items()}


def _raw(oracle: Oracle, method: str, rows: Rows, row: int) -> Array:
    given, sample = _arguments(oracle, method, rows, row)
    return oracle.raw(method, *given, sample)


def _close(oracle: Oracle, a: np.ndarray, b: np.ndarray) -> bool:
    size = max(float(np.max(np.abs(a), initial=0)), float(np.max(np.abs(b), initial=0)))
    return bool(np.all(np.abs(a - b) <= ROUNDING * oracle.roundoff * size))


def _figures(value: np.ndarray) -> str:
    return "[" + ", ".join(f"{number:.6g}" for number in np.atleast_1d(value).ravel()[:3]) + "]"
