"""All intermediates of one step, beside an implementation's own."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from accbo.conformance.mistakes.lines import LINES
from accbo.conformance.running.observation import departs, departures
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import Vector, convention
from accbo.conformance.verdict.intermediates import Intermediate, intermediates, line_of, roundings
from accbo.rounding import norms

Values = Mapping[str, np.ndarray]


def explain(runner: Runner, vector: Vector, step: int, verbose: bool = False) -> tuple[str, str]:
    """A table of iteration ``step`` of ``vector``, the reference beside hers; and her trouble.

    Hers is what ``state()`` and, where there is one, ``parts()`` shows. The first of it that is
    off, in the order in which a step computes, is marked with its line of the specification.
    Unless ``verbose`` a quantity has one line, of a few digits, and what is inside of loops is
    left out but for what stands beside the first that is off.
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
        f"{'quantity':34} {'reference':>30}  {'yours':>30}  {'difference':>10}",
    ]
    chosen = set(right) if verbose else outside_of_loops(list(right), vector.fields, off)
    for name, made in right.items():
        if name in chosen:
            whole = verbose or name == off
            lines += (_rows if whole else _row)(name, made.value, hers)
        elif lines[-1] != GAP:
            lines.append(GAP)
        if name == off:
            lines += _marked(right[name], LINES.get(vector.method, {}))
    if off is None and not trouble:
        lines += ["", NOT_HERE]
    lines += _said(right, hers, trouble)
    if not verbose:
        lines += ["", f"{len(chosen)} of {len(right)} quantities; --verbose: all, with all digits"]
    return "\n".join(lines), trouble


def first_off(runner: Runner, vector: Vector) -> int:
    """The first iteration that departs although it begins with the right state, or the first."""
    mode = "step" if vector.kind == "step" else "forced"
    found = filter(departs, departures(runner.run(vector, mode)))
    return next((each.iteration for each in found), max(1, vector.first_iteration))


def outside_of_loops(names: Sequence[str], fields: Collection[str], off: str | None) -> set[str]:
    """The quantities that tell most: all but what is inside of loops, and all beside ``off``.

    Of what is computed several times they have the first and the last, of a series its sum.
    """
    times = Counter(_numbered(name)[0] for name in names)

    def outside(name: str) -> bool:
        of, number = _numbered(name)
        return not name.startswith(_INSIDE) and number in (0, 1, times[of])

    chosen = {name for name in names if name in fields or outside(name)}
    place = names.index(off) if off is not None else -2 * BESIDE
    return chosen | set(names[max(0, place - BESIDE) : max(0, place + BESIDE + 1)])


GAP = "  …"
NOT_HERE = (
    "nothing that you show is off in this iteration: where a run departs all the same, its start "
    "is wrong, or something is carried from step to step that is not in the state"
)
BESIDE = 3  # quantities before the first that is off, and after it
_INSIDE = ("power q = ", "series up to q = ")  # of a series


def _numbered(name: str) -> tuple[str, int]:
    """What ``name`` is the how manieth of, as in ``y (2)``; 0 where it is the only one."""
    found = re.fullmatch(r"(.*) \((\d+)\)", name)
    return (found[1], int(found[2])) if found else (name, 0)


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


def _row(name: str, value: np.ndarray, hers: Values) -> Iterator[str]:
    """A quantity on one line, as far as it fits, with the largest difference."""
    line = f"{name:34} {_brief(value):>30}  "
    gaps = _gaps(name, value, hers)
    if gaps is None:
        yield f"{line}{'·':>30}"
    else:
        largest = np.max(np.abs(gaps), initial=0.0)
        yield f"{line}{_brief(hers[name]):>30}  {largest:10.1e}"


def _brief(value: np.ndarray) -> str:
    flat = np.reshape(value, (-1,))
    return " ".join([*(f"{entry:.3g}" for entry in flat[:SHOWN]), *["…"] * (flat.size > SHOWN)])


SHOWN = 3  # entries of a vector on one line


def _rows(name: str, value: np.ndarray, hers: Values) -> Iterator[str]:
    """A quantity with a line for each of its entries."""
    gaps = _gaps(name, value, hers)
    for index, entry in enumerate(np.reshape(value, (-1,))):
        line = f"{'' if index else name:34} {entry:30.17g}  "
        if gaps is None:
            yield f"{line}{'·':>30}"
        else:
            mine = np.reshape(hers[name], (-1,))[index]
            yield f"{line}{mine:30.17g}  {gaps[index]:10.1e}"


@np.errstate(all="ignore")
def _gaps(name: str, value: np.ndarray, hers: Values) -> np.ndarray | None:
    """Her entries minus the right ones; None where she does not show so many."""
    if name not in hers or hers[name].size != value.size:
        return None
    gaps: np.ndarray = np.reshape(hers[name], (-1,)) - np.reshape(value, (-1,))
    return gaps
