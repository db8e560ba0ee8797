"""Every quantity of one step by name, in the order in which it is computed, for any algorithm.

An algorithm's step is made of named parts that call the derivatives of the problem. Both are
listened to: what a part makes is shown under the part's name, a derivative under its own. Of a
series its powers and partial sums are shown, of a rule that compares two points what the gradient
is made of at the new and at the old one. Batches are shown by their means.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import map_arrays, norm, row, unit_roundoff
from accbo.conformance.mistakes.series import term_rows
from accbo.conformance.vectors.vector import as_fields
from accbo.problems.wrapped import Perturbed, Wrapped
from accbo.rounding import SAFETY, SIZE, near, norms
from accbo.sampling import probe_normals

PROBES = 8  # disturbed steps that a tolerance is the spread of


class Intermediate(NamedTuple):
    """A quantity, ``(replicates…, d)``, and the part of the algorithm that it belongs to."""

    value: np.ndarray
    part: str


def intermediates(problem: Any, algorithm: Any, state: Any, sample: Any) -> dict[str, Intermediate]:
    """Everything that ``algorithm`` computes in the iteration after ``state``; NumPy arrays.

    What is computed several times has its number behind its name, ``y (2)``; the fields of the
    state after the step stand last, where they are not among the rest.
    """
    log = _Log(state.x.ndim)
    parts = algorithm.parts
    listening = {name: _listened(log, name, part) for name, part in parts._asdict().items()}
    heard = dataclasses.replace(algorithm, parts=parts._replace(**listening))
    with np.errstate(all="ignore"):
        after = heard.step(_Heard(problem, log), state, sample)
    times, seen = Counter(name for name, _ in log.rows), Counter[str]()
    found: dict[str, Intermediate] = {}
    for name, each in log.rows:
        seen[name] += 1
        found[name if times[name] == 1 else f"{name} ({seen[name]})"] = each
    for name, value in as_fields(after).items():
        found.setdefault(name, Intermediate(value, name.partition(".")[0]))
    return found


def roundings(
    problem: Any, algorithm: Any, state: Any, sample: Any, dtype: str
) -> dict[str, np.ndarray]:
    """What rounding may do to each of them, ``(replicates…)``: 10 K u, as for the vectors.

    K is the root mean square displacement, for a relative disturbance of every derivative and of
    every array of the state, over ``PROBES`` steps; at least the quantity's own size. ``dtype``
    is what is computed in.
    """
    right = intermediates(problem, algorithm, state, sample)
    squares = {name: np.zeros(each.value.shape[:-1]) for name, each in right.items()}
    disturb = near(probe_normals(0))
    for _ in range(PROBES):
        moved = intermediates(
            Perturbed(problem, disturb), algorithm, map_arrays(disturb, state), sample
        )
        for name in squares:
            squares[name] += norms(moved[name].value - right[name].value) ** 2
    most = SAFETY * unit_roundoff(np.zeros(1, dtype=dtype))
    return {
        name: most * np.fmax(np.sqrt(square / PROBES) / SIZE, norms(right[name].value))
        for name, square in squares.items()
    }


class _Log:
    """What was heard so far."""

    def __init__(self, ndim: int) -> None:
        self._ndim = ndim
        self.rows: list[tuple[str, Intermediate]] = []
        self.point = ""
        self._quiet = 0

    def note(self, name: str, value: Any, part: str) -> None:
        """Remember a quantity, unless nobody listens; a batch by its mean."""
        if self._quiet:
            return
        array = np.atleast_1d(np.asarray(value, dtype=float))
        while array.ndim > self._ndim:
            array = np.mean(array, axis=0)
        self.rows.append((name + self.point, Intermediate(array, part)))

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Do not listen."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    @contextlib.contextmanager
    def at(self, point: str) -> Iterator[None]:
        """Say of all that is heard at which point it was."""
        self.point = point
        try:
            yield
        finally:
            self.point = ""


@dataclass(frozen=True, eq=False)
class _Heard(Wrapped):
    """The problem, whose derivatives are listened to."""

    log: _Log

    def _said(self, name: str, value: Any) -> Any:
        self.log.note(name, value, name)
        return value

    def grad_x_upper(self, *at: Any, **named: Any) -> Any:
        """∇_x F."""
        return self._said("grad_x F", self.problem.grad_x_upper(*at, **named))

    def grad_y_upper(self, *at: Any, **named: Any) -> Any:
        """∇_y F."""
        return self._said("grad_y F", self.problem.grad_y_upper(*at, **named))

    def grad_y_lower(self, *at: Any, **named: Any) -> Any:
        """∇_y G."""
        found = self.problem.grad_y_lower(*at, **named)
        self.log.note("grad_y G", found, "lower_momentum" if self.log.point else "grad_y G")
        return found

    def hvp_lower(self, *at: Any, **named: Any) -> Any:
        """∇²_yy G v."""
        return self._said("hvp G", self.problem.hvp_lower(*at, **named))

    def cross_lower(self, *at: Any, **named: Any) -> Any:
        """∇²_xy G v."""
        return self._said("cross term", self.problem.cross_lower(*at, **named))


def _listened(log: _Log, name: str, part: Callable[..., Any]) -> Callable[..., Any]:
    """A part, whose result and whose own quantities are noted."""

    def call(*given: Any) -> Any:
        quiet: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if name == "series":
            _powers(log, *given)
            quiet = log.quiet()
        elif callable(given[0]) and isinstance(given[1], tuple) and isinstance(given[2], tuple):
            for point, where in zip(given[1:3], _POINTS, strict=True):
                with log.at(where):
                    given[0](*point)
            quiet = log.quiet()
        elif name == "y" and callable(given[0]):
            given = (_telling(log, given[0]), *given[1:])
        elif name == "x":
            log.note("norm of the direction", norm(given[1])[..., None], name)
        with quiet:
            made = part(*given)
        log.note(name, made[0] if isinstance(made, tuple) else made, name)
        return made

    return call


_POINTS = (" at the new point", " at the old point")


def _telling(log: _Log, gradient: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A gradient that says at which z it is taken."""

    def call(z: Any) -> Any:
        log.note("z", z, "y")
        return gradient(z)

    return call


def _powers(
    log: _Log, product: Any, v: Any, sample: Any, terms: int, scale: float, sampling: str
) -> None:
    """Note the powers and the partial sums of a series."""
    drawn = sample.power["power"] if sampling == "randomised" else None
    total = 0 * v
    for q in range(terms):
        power = v
        with log.quiet():
            for index in term_rows(sampling, terms, q):
                power = power - product(power, row(sample.hessian, index)) / scale
        weight = 1.0 if drawn is None else np.where(drawn == q, float(terms), 0.0)
        total = total + weight * power / scale
        log.note(f"power q = {q}", power, "series")
        log.note(f"series up to q = {q}", total, "series")


# what a quantity is called among the lines of the specification, where not by its own name
_LINES = {
    "grad_x F": ("tables", "h"),
    "grad_y F": ("tables", "series", "z"),
    "grad_y G": ("tables", "refresh", "y"),
    "hvp G": ("tables", "series", "z"),
    "cross term": ("tables", "h"),
    "lower_momentum": ("momentum", "estimate"),
    "lower_estimate": ("estimate",),
    "refreshed": ("refresh",),
    **dict.fromkeys(("size", "decay", "x_size", "y_size"), ("sizes",)),
}


def line_of(lines: Mapping[str, str], part: str) -> str:
    """The line, among those of an algorithm by part, of a quantity's ``part``; or ""."""
    wanted = (part, *_LINES.get(part, ()), part.removesuffix("_previous"), "tables")
    return next((lines[each] for each in wanted if each in lines), "")
