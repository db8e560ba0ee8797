"""The algorithms that the oracle knows: the one table to add another to.

Beside a row here an algorithm takes its class, its parts and its state in ``accbo.algorithms``,
its lines in ``lines`` and, made by ``accbo vectors generate --algorithm NAME``, a file of vectors;
of the mistakes it gets all of those whose part it has.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from accbo import algorithms
from accbo._arrays import rows
from accbo._foreign import read
from accbo._options import meant
from accbo.conformance.mistakes.catalogue import faults_of
from accbo.conformance.mistakes.lines import LINES
from accbo.conformance.mistakes.mistake import Fault


@dataclass(frozen=True)
class Method:
    """What the oracle needs to know of an algorithm.

    ``settings`` are hyper-parameters of its vectors, none at ½ and no two alike; where
    ``neumann_terms`` is among them the scale l is added. ``problems`` are those of its vectors.
    ``conventions`` tells which choices of SPEC §2 a vector was made under, if there are any;
    legitimate ones other than the declared are changes of the algorithm (``others``) or of a
    vector, whose start they change (``starts``). ``instead`` are changes of a vector too: what a
    program may do in the place of a convention that it declares, with samples meant for that.

    Its vectors are in ``file``, ``{family}`` being a kind of problem, and at least ``least`` of
    them; where ``smallest_momentum``, they say the least ‖m‖; their flags hold what is seen in
    copies alone, such as ``x_previous``, where ``seen_in_copies``. The files of the first row
    (``DEFAULT``) are older than the second: neither they nor results for them say whose they are,
    and over how many samples m_0 is the mean is counted.
    """

    algorithm: type
    faults: Mapping[str, Fault]
    settings: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()
    others: Mapping[str, Callable[[Any], Any]] = dataclasses.field(default_factory=dict)
    starts: Mapping[str, Callable[[Any], Any]] = dataclasses.field(default_factory=dict)
    instead: Mapping[str, Callable[[Any], Any]] = dataclasses.field(default_factory=dict)
    conventions: Callable[[Any], dict[str, str]] | None = None
    file: str = "methods/{name}.json"
    least: int = 0
    smallest_momentum: bool = False
    seen_in_copies: bool = True


def _method(algorithm: type, *rest: Any, **more: Any) -> Method:
    name = algorithm.__name__
    return Method(algorithm, faults_of(algorithm, name, LINES[name]), *rest, **more)


def _with(**changes: Any) -> Callable[[Any], Any]:
    return lambda algorithm: dataclasses.replace(algorithm, **changes)


def _first_only(vector: Any) -> Any:
    """m_0 from one sample: the first."""
    if vector.start is None:
        return vector
    first = vector.start.first
    upper = {
        name: {key: leaf[:1, ...] for key, leaf in getattr(first, name).items()}
        for name in first._fields
        if name != "lower"
    }
    start = vector.start._replace(first=first._replace(**upper))
    return dataclasses.replace(vector, start=start)


def _chained(vector: Any) -> Any:
    """The chained series, of as many of the given samples as it takes."""
    algorithm = dataclasses.replace(vector.algorithm, neumann_sampling="chained")
    factors = slice(algorithm.neumann_terms - 1)

    def cut(sample: Any, *before: slice) -> Any:
        hessian = {key: leaf[(*before, factors)] for key, leaf in sample.hessian.items()}
        return sample._replace(hessian=hessian, power={})

    start = vector.start and vector.start._replace(first=cut(vector.start.first, slice(None)))
    samples = tuple(map(cut, vector.samples))
    return dataclasses.replace(vector, algorithm=algorithm, samples=samples, start=start)


def _choices(vector: Any) -> dict[str, str]:
    """Order, sampling and option; of a start, whether m_0 is the mean of several samples."""
    algorithm = vector.algorithm
    chosen = {
        "order": algorithm.order,
        "neumann_sampling": algorithm.neumann_sampling,
        "option": "I" if algorithm.period is None else "II",
    }
    if vector.start is not None:
        chosen["first"] = "one" if rows(vector.start.first.upper) == 1 else "mean"
    return chosen


_NOISY = ("nonquadratic/2x3", "nonquadratic/3x4", "quadratic/2x3", "finite_sum/2x3")
_SUMS = ("finite_sum/2x3 terms", "finite_sum/3x2 terms")

METHODS: dict[str, Method] = {
    "AccBO": _method(
        algorithms.AccBO,
        file="{family}.json",
        least=500,
        smallest_momentum=True,
        seen_in_copies=False,
        conventions=_choices,
        others={f"order = {order}": _with(order=order) for order in ("sequential", "simultaneous")},
        starts={"first = one (m_0 from the first sample)": _first_only},
        instead={"neumann_sampling = chained": _chained},
    ),
    "SLIP": _method(
        algorithms.SLIP,
        (
            {
                "lower_step_size": 0.1875,
                "linear_step_size": 0.15625,
                "momentum": 0.8125,
                "upper_step_size": 0.046875,
            },
            {
                "lower_step_size": 0.125,
                "linear_step_size": 0.21875,
                "momentum": 0.71875,
                "upper_step_size": 0.0703125,
            },
        ),
        _NOISY,
    ),
    "SABA": _method(
        algorithms.SABA,
        (
            {"lower_step_size": 0.1875, "linear_step_size": 0.28125, "upper_step_size": 0.109375},
            {"lower_step_size": 0.3125, "linear_step_size": 0.21875, "upper_step_size": 0.078125},
        ),
        _SUMS,
    ),
    "SUSTAIN": _method(
        algorithms.SUSTAIN,
        (
            {
                "lower_step_size": 0.28125,
                "upper_step_size": 0.078125,
                "lower_averaging": 0.84375,
                "upper_averaging": 0.71875,
                "offset": 2.75,
                "neumann_terms": 4,
            },
            {
                "lower_step_size": 0.34375,
                "upper_step_size": 0.109375,
                "lower_averaging": 0.59375,
                "upper_averaging": 0.90625,
                "offset": 1.75,
                "neumann_terms": 4,
            },
        ),
        _NOISY,
    ),
    "VRBO": _method(
        algorithms.VRBO,
        (
            {
                "lower_step_size": 0.1875,
                "upper_step_size": 0.0703125,
                "period": 3,
                "lower_steps": 2,
                "large_batch": 4,
                "small_batch": 2,
                "neumann_terms": 4,
            },
            {
                "lower_step_size": 0.15625,
                "upper_step_size": 0.046875,
                "period": 2,
                "lower_steps": 2,
                "large_batch": 3,
                "small_batch": 2,
                "neumann_terms": 4,
            },
        ),
        _NOISY,
    ),
    "TTSA": _method(
        algorithms.TTSA,
        (
            {
                "lower_step_size": 0.28125,
                "upper_step_size": 0.109375,
                "offset": 1.75,
                "neumann_terms": 4,
            },
            {
                "lower_step_size": 0.34375,
                "upper_step_size": 0.078125,
                "offset": 2.75,
                "neumann_terms": 4,
            },
        ),
        _NOISY,
    ),
    "StocBiO": _method(
        algorithms.StocBiO,
        (
            {
                "lower_step_size": 0.1875,
                "upper_step_size": 0.078125,
                "lower_steps": 3,
                "lower_batch": 2,
                "upper_batch": 3,
                "neumann_terms": 4,
            },
            {
                "lower_step_size": 0.15625,
                "upper_step_size": 0.109375,
                "lower_steps": 2,
                "lower_batch": 3,
                "upper_batch": 2,
                "neumann_terms": 4,
            },
        ),
        _NOISY,
    ),
    "MASOBA": _method(
        algorithms.MASOBA,
        (
            {
                "lower_step_size": 0.1875,
                "linear_step_size": 0.15625,
                "momentum": 0.8125,
                "upper_step_size": 0.109375,
            },
            {
                "lower_step_size": 0.125,
                "linear_step_size": 0.21875,
                "momentum": 0.71875,
                "upper_step_size": 0.078125,
            },
        ),
        _NOISY,
    ),
    "BOREP": _method(
        algorithms.BOREP,
        (
            {
                "lower_step_size": 0.1875,
                "linear_step_size": 0.15625,
                "momentum": 0.8125,
                "upper_step_size": 0.046875,
                "period": 3,
                "lower_steps": 3,
            },
            {
                "lower_step_size": 0.125,
                "linear_step_size": 0.21875,
                "momentum": 0.71875,
                "upper_step_size": 0.0703125,
                "period": 2,
                "lower_steps": 2,
            },
        ),
        _NOISY,
    ),
}


DEFAULT = next(iter(METHODS))


def catalogue(name: str) -> Mapping[str, Fault]:
    """The known mistakes of an algorithm; raises ``ValueError`` for a name that is none."""
    return METHODS[known(name)].faults


def known(name: str) -> str:
    """The algorithm that ``name`` spells (``BO-REP``); ``ValueError`` with the nearest if none."""
    if isinstance(name, str) and (found := meant(name, METHODS)):
        return found
    lower = {each.lower(): each for each in METHODS}
    near = difflib.get_close_matches(str(name).lower().replace("-", ""), lower, n=1)
    hint = f"; did you mean {lower[near[0]]}?" if near else "."
    raise ValueError(f"there is no algorithm {name!r}{hint} Known: {', '.join(METHODS)}")


def declared(factory: Any, name: str | None = None) -> str:
    """What a factory is to be held to: ``name``, its own ``algorithm``, or the first row.

    Raises ``ValueError`` for what is no name of an algorithm.
    """
    own = read(factory, "algorithm")
    return known(name or (DEFAULT if own is None else own))


def option(method: str) -> str:
    """What to add to a command about ``method``; nothing for the first row."""
    return "" if method == DEFAULT else f" --algorithm {method}"
