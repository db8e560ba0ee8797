"""Mistakes of precision and of range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accbo._arrays import Array, map_arrays, namespace
from accbo.conformance.mistakes.changes import constants, part, then
from accbo.conformance.mistakes.mistake import AS_IT_IS, Change, Choices, Mistake, every, has, ways


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


def _singles(algorithm: Any) -> Sequence[Choices]:
    """The direction, x, the whole state, or the result of one other part."""
    changes = [part(x=_direction), part(x=_result), then(_whole)]
    if not hasattr(algorithm.parts, "y_average"):
        changes.reverse()
    names = ("y", "y_average", "z", "momentum", "lower_momentum", "series", "h")
    changes += [part(**{name: _result}) for name in names if hasattr(algorithm.parts, name)]
    return [(change,) for change in changes]


def _rounded(to: Callable[[float], float]) -> Any:
    return constants(
        lambda a: {name: to(value) for name, value in vars(a).items() if isinstance(value, float)}
    )


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
        ways(
            *map(
                _rounded,
                (lambda v: float(np.float32(v)), lambda v: float(np.float16(v)), _bfloat16),
            )
        ),
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
