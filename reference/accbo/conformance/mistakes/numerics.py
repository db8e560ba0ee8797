"""Mistakes of precision and of range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accbo._arrays import Array, map_arrays, namespace
from accbo.algorithms.stocbio import batch_gradient
from accbo.conformance.mistakes.changes import constants, on_problem, part, then
from accbo.conformance.mistakes.mistake import (
    AS_IT_IS,
    Change,
    Choices,
    Mistake,
    every,
    has,
    made_by,
)
from accbo.problems.wrapped import DERIVATIVES, Altered
from accbo.saga import Table


def in_float32(array: Array) -> Array:
    """``array`` rounded to single precision."""
    xp = namespace(array)
    if not xp.isdtype(array.dtype, "real floating"):
        return array
    return xp.astype(xp.astype(array, xp.float32), array.dtype)


def _direction(right: Any) -> Any:
    return lambda x, direction, size: right(x, in_float32(direction), size)


def _result(right: Any) -> Any:
    return lambda *arguments: in_float32(right(*arguments))


def _whole(algorithm: Any, before: Any, after: Any) -> Any:
    return after._replace(
        **{
            name: map_arrays(in_float32, getattr(after, name))
            for name in after._fields
            if name not in ("iteration", "memory")
        }
    )


def _mean_in_float32(values: Array) -> Array:
    """Values of a batch whose mean is rounded to single precision."""
    mean = namespace(values).mean(values, axis=0)
    return values + (in_float32(mean) - mean)


def _single_derivatives(algorithm: Any) -> list[Change]:
    """All derivatives, or one of them; of a batch each value or their mean."""
    roundings: list[Callable[[Array], Array]] = [in_float32]
    if made_by("h", batch_gradient)(type(algorithm)):
        roundings.append(_mean_in_float32)

    def of(names: tuple[str, ...], rounding: Callable[[Array], Array]) -> Change:
        return on_problem(
            lambda a, problem: Altered(problem, names, lambda value, sample: rounding(value))
        )

    choices = (DERIVATIVES, *((name,) for name in DERIVATIVES))
    return [of(names, rounding) for rounding in roundings for names in choices]


def _single_rows(right: Any) -> Any:
    """The new row of a table is kept in single precision."""

    def table(before: Table, index: Array, new: Array) -> tuple[Array, Table]:
        estimate, after = right(before, index, new)
        kept = right(before, index, in_float32(new))[1]
        return estimate, after._replace(stored=kept.stored)

    return table


def _single_table(right: Any) -> Any:
    """Rows and mean of a table are kept in single precision."""

    def table(before: Table, index: Array, new: Array) -> tuple[Array, Table]:
        estimate, after = right(before, index, new)
        return estimate, Table(*map(in_float32, after))

    return table


_PARTS = (
    *("y", "y_average", "z", "momentum", "lower_momentum", "series", "h"),
    *("estimate", "lower_estimate"),
)


def _singles(algorithm: Any) -> Sequence[Choices]:
    """The direction, x, the whole state, or the result of one other part."""
    changes = [part(x=_direction), part(x=_result), then(_whole)]
    if not hasattr(algorithm.parts, "y_average"):
        changes.reverse()
    changes += [part(**{name: _result}) for name in _PARTS if hasattr(algorithm.parts, name)]
    if hasattr(algorithm.parts, "hvp_lower"):
        tables = (_single_rows, _single_table)
        changes += [part(**dict.fromkeys(DERIVATIVES, kept)) for kept in tables]
    changes += _single_derivatives(algorithm)
    return [(change,) for change in changes]


def _rounded(to: Callable[[float], float], names: Sequence[str]) -> Change:
    return constants(lambda a: {name: to(getattr(a, name)) for name in names})


def _low_constants(algorithm: Any) -> Sequence[Choices]:
    """All of them, or one of them alone."""
    floats = [name for name, value in vars(algorithm).items() if isinstance(value, float)]
    return [
        (_rounded(to, names),)
        for names in (tuple(floats), *((name,) for name in floats))
        for to in (_float32, _float16, _bfloat16)
    ]


def _float32(value: float) -> float:
    return float(np.float32(value))


def _float16(value: float) -> float:
    return float(np.float16(value))


def _bfloat16(value: float) -> float:
    """The nearest number of eight significant bits, ties to even."""
    bits = np.asarray(value, dtype=np.float32).view(np.uint32)
    rounded = (int(bits) + 0x7FFF + ((int(bits) >> 16) & 1)) & 0xFFFF0000
    return float(np.asarray(rounded, dtype=np.uint32).view(np.float32))


# --- a default that takes the place of 0 ----------------------------------------------------------

MAY_BE_ZERO = ("momentum", "lower_momentum", "lower_averaging", "upper_averaging")
DEFAULTS = (0.9, 0.5, 0.99)


def or_default(name: str, default: float) -> Change:
    """``value or default``."""
    return constants(lambda a: {name: getattr(a, name) or default})


def _defaults(algorithm: Any) -> Sequence[Choices]:
    names = [name for name in MAY_BE_ZERO if isinstance(getattr(algorithm, name, None), float)]
    return [(or_default(name, default),) for default in DEFAULTS for name in names]


MISTAKES = (
    Mistake(
        "silent float32",
        "numerics",
        "single precision on the way",
        "progress stops where steps fall below 1e-7 of x",
        _singles,
        every,
    ),
    Mistake(
        "constants in low precision",
        "numerics",
        "step sizes and the like are rounded to single precision, half precision or bfloat16",
        "another algorithm by a part in 10⁷, in 10³ or in 10²: no limit is moved far, no two runs "
        "agree",
        _low_constants,
        every,
        edge=True,
        laws=False,
        scopes=AS_IT_IS,
    ),
    Mistake(
        "default that overrides 0",
        "constants",
        "`momentum or 0.9` and its like: a declared 0 counts as nothing",
        "runs without momentum have some: what they are compared with is not what it says",
        _defaults,
        has("y_average"),
        laws=False,
        scopes=AS_IT_IS,
    ),
)
