"""What must hold before a run starts; every message says what was wrong and expected."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from accbo._arrays import (
    Array,
    device,
    dtype_name,
    elsewhere,
    is_array,
    is_real_floating,
    named_leaves,
    namespace,
    unit_roundoff,
)
from accbo.problem import BilevelProblem, constants_of
from accbo.rounding import spectral_rounding


def check_run(algorithm: Any, problem: BilevelProblem, x: Array, y: Array) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless the four fit together."""
    check_problem(problem)
    for name, array in (("x", x), ("y", y)):
        check_array(name, array)
    check_shapes(problem, x, y)
    check_same_place(problem, x, y)
    for name, array in (("x", x), ("y", y)):
        check_finite(name, array)
    check_scale(algorithm, problem, unit_roundoff(y))


def check_problem(problem: Any) -> None:
    """Raise ``TypeError`` unless ``problem`` offers what a bilevel problem must."""
    wanted = [name for name in dir(BilevelProblem) if not name.startswith("_")]
    missing = [name for name in wanted if not hasattr(problem, name)]
    if missing:
        raise TypeError(f"{type(problem).__name__} is no bilevel problem: it lacks {missing}")


def check_array(name: str, array: Any) -> None:
    """Raise ``TypeError`` unless ``array`` is float32 or float64, of rank 1 or more."""
    if not is_array(array):
        raise TypeError(
            f"{name} must be an array (NumPy, PyTorch, JAX, CuPy, …), got {type(array).__name__}"
        )
    if not is_real_floating(array) or dtype_name(array) not in ("float32", "float64"):
        raise TypeError(f"{name} must be float32 or float64, got {dtype_name(array)}")
    if array.ndim < 1:
        raise ValueError(f"{name} must have a last axis for the variable, got a scalar")
    if current := elsewhere(array):
        raise ValueError(
            f"{name} lies on {device(array)}, and CuPy computes on the current device, {current}; "
            f"make that of the arrays current: with {name}.device: ..."
        )


def check_shapes(problem: BilevelProblem, x: Array, y: Array) -> None:
    """Raise ``ValueError`` unless x is (…, d_x), y (…, d_y), with equal leading axes."""
    d_x, d_y = problem.d_x, problem.d_y
    got = f"x has shape {tuple(x.shape)}, y has shape {tuple(y.shape)}"
    wanted = f"expected (..., {d_x}) and (..., {d_y})"
    if (x.shape[-1], y.shape[-1]) != (d_x, d_y):
        swapped = (x.shape[-1], y.shape[-1]) == (d_y, d_x)
        raise ValueError(f"{got}; {wanted}" + ("; they look swapped" if swapped else ""))
    if tuple(x.shape[:-1]) != tuple(y.shape[:-1]):
        raise ValueError(f"{got}; their leading axes, the replicates, must be the same")


def check_same_place(problem: BilevelProblem, x: Array, y: Array) -> None:
    """Raise ``TypeError`` unless x, y and the problem share namespace, dtype and device."""
    here = _place(x)
    others = [("y", y), *((f"problem.{name}", leaf) for name, leaf in named_leaves(problem))]
    for name, array in others:
        place = _place(array)
        for what, mine, theirs in zip(("namespace", "dtype", "device"), here, place, strict=True):
            if mine != theirs:
                raise TypeError(
                    f"x and {name} differ in {what}: {mine} and {theirs}; "
                    "accbo.move(problem, like=x) moves a problem"
                )


def check_finite(name: str, array: Array) -> None:
    """Raise ``ValueError`` where ``array`` holds a NaN or an infinity."""
    xp = namespace(array)
    if not bool(xp.all(xp.isfinite(array))):
        raise ValueError(f"{name} holds a NaN or an infinity")


def check_scale(algorithm: Any, problem: BilevelProblem, roundoff: float) -> None:
    """The Neumann scale l against the largest curvature of a realisation, where known.

    Up to the rounding of that curvature: l = 2 is not below a rotated H = 2I.
    """
    constants, scale = constants_of(problem), getattr(algorithm, "neumann_scale", None)
    if constants is None or scale is None or algorithm.neumann_terms == 1:
        return
    rounding = spectral_rounding(problem.d_y, roundoff)
    if scale <= constants.curvature / 2 * (1 + rounding):
        raise ValueError(
            f"neumann_scale l = {scale:.6g} is at most half the largest curvature of a "
            f"realisation, {constants.curvature:.6g}: the series diverges"
        )
    if scale < constants.curvature * (1 - rounding):
        warnings.warn(
            f"neumann_scale l = {scale:.6g} is below the largest curvature of a realisation, "
            f"{constants.curvature:.6g}: the theory asks for l at least as large",
            stacklevel=4,
        )


def check_count(name: str, value: Any, least: int) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless ``value`` is an integer ≥ ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer >= {least}, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")


def check_record(record: Any) -> dict[str, Callable[[Any], Array]]:
    """``record`` as a dict; raises ``TypeError`` unless it maps names to functions."""
    if record is None:
        return {}
    if not isinstance(record, Mapping) or not all(map(callable, record.values())):
        raise TypeError(
            "record must map names to functions of the state, such as {'x': lambda state: state.x}"
        )
    return dict(record)


def _place(array: Array) -> tuple[str, str, str]:
    return namespace(array).__name__, dtype_name(array), str(device(array))
