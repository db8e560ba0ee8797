"""All intermediates of one step, beside an implementation's own."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

import numpy as np

from accbo.conformance.mistakes.lines import LINES
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import Vector, convention
from accbo.conformance.verdict.intermediates import Intermediate, intermediates, line_of, roundings
from accbo.rounding import norms

Values = Mapping[str, np.ndarray]


def explain(runner: Runner, vector: Vector, step: int) -> tuple[str, str]:
    """A table of iteration ``step`` of ``vector``, the reference beside hers; and her trouble.

    Hers is what ``state()`` and, where there is one, ``parts()`` shows. The first of it that is
    off, in the order in which a step computes, is marked with its line of the specification.
    """
    last = vector.first_iteration + len(vector.expected) - 1
    first = vector.first_iteration if vector.kind == "step" else 1
    if not first <= step <= last:
        raise ValueError(f"{vector.id} has the iterations {first} to {last}, not {step}")
    index = step - first
    given = vector.problem, vector.algorithm, vector.before(index), vector.samples[index]
    right, allowed = intermediates(*given), roundings(*given, vector.dtype)
    hers, trouble = runner.single(vector, index)
    off = next((name for name in right if _is_off(name, right, hers, allowed)), None)
    lines = [
        f"{vector.id}, iteration {step}: {_what(vector)}",
        "both start from the reference's state before this iteration",
        "",
        f"{'quantity':34} {'reference':>28}  {'yours':>28}  {'difference':>10}",
    ]
    for name, made in right.items():
        lines += _rows(name, made.value, hers)
        if name == off:
            lines += _marked(right[name], LINES.get(vector.method, {}))
    lines += _said(right, hers, trouble)
    return "\n".join(lines), trouble


def _what(vector: Vector) -> str:
    """The algorithm, its conventions and the length of its series."""
    choices = [str(choice) for name, choice in convention(vector).items() if name != "first"]
    terms = getattr(vector.algorithm, "neumann_terms", None)
    return ", ".join([vector.method, *choices, *([] if terms is None else [f"Q = {terms}"])])


@np.errstate(all="ignore")
def _is_off(name: str, right: Mapping[str, Intermediate], hers: Values, allowed: Values) -> bool:
    """Whether she shows ``name``, and not what rounding could have made of it."""
    value = right[name].value
    if name not in hers:
        return False
    if hers[name].size != value.size:
        return True
    mine = np.reshape(hers[name], value.shape)
    same = (mine == value) | (np.isnan(mine) & np.isnan(value))
    gap = norms(np.where(same, 0.0, mine - value))
    return bool(np.any(~(gap <= allowed[name]) & (gap != 0)))


def _marked(made: Intermediate, lines: Mapping[str, str]) -> Iterator[str]:
    yield "^ the first of what you show that is off"
    line = line_of(lines, made.part)
    if line:
        yield f"  right: {line}"


def _said(right: Mapping[str, Intermediate], hers: Values, trouble: str) -> Iterator[str]:
    """What went wrong, what is shown in vain, and what could be shown."""
    if trouble:
        yield from ("", f"yours: {trouble}")
        return
    for name in hers:
        if name not in right and name != "iteration":
            near = difflib.get_close_matches(name, right, n=1)
            yield f"you show {name!r}, which is none of these" + (
                f"; did you mean {near[0]!r}?" if near else ""
            )
    if any(name not in hers for name in right):
        yield ""
        yield "a method parts() may show any of these names, as a mapping to arrays"


def _rows(name: str, value: np.ndarray, hers: Values) -> Iterator[str]:
    flat = np.reshape(value, (-1,))
    mine = np.reshape(hers[name], (-1,)) if name in hers else None
    for index, entry in enumerate(flat):
        label = name if index == 0 else ""
        if mine is None or len(mine) != len(flat):
            yield f"{label:34} {entry:28.17g}  {'·':>28}"
        else:
            gap = mine[index] - entry
            yield f"{label:34} {entry:28.17g}  {mine[index]:28.17g}  {gap:10.1e}"
