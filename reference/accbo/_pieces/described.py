"""What was given, as JSON values: for a file to say what it belongs to.

A number that the user gave and one that LAPACK derived for him cannot be told apart, and LAPACK's
last bits are the processor's. So floats are compared to within rounding, everything else exactly.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from accbo._arrays import is_array, to_host

WITHIN = {8: 1e-10, 4: 1e-4, 2: 1e-1}  # by size: far above rounding, far below what one means
FEW = 16  # numbers are kept as they are, more as their sums under fixed weights
_WEIGHTS = (2654435761, 2246822519, 3266489917)  # odd: multiples of them mix well modulo 2^32


def described(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every part of ``value`` by its path, as JSON values; functions by their names.

    No addresses, which change from run to run.
    """
    if is_array(value):
        yield name, _array(np.asarray(to_host(value)))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from described(part, f"{name}[{key!r}]")
    elif isinstance(value, tuple | list):
        yield f"len({name})", len(value)
        for index, part in enumerate(value):
            yield from described(part, f"{name}[{index}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield name, type(value).__qualname__
        for field in dataclasses.fields(value):
            yield from described(getattr(value, field.name), f"{name}.{field.name}")
    elif isinstance(value, float | np.floating):
        yield name, {"about": float(value)}
    elif isinstance(value, np.integer):
        yield name, int(value)
    elif isinstance(value, int | str | None):
        yield name, value
    else:
        yield name, getattr(value, "__qualname__", type(value).__qualname__)


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first part that differs, as it was and as it is; None where all agree."""
    for name in dict.fromkeys((*new, *old)):
        pair = old.get(name, "absent"), new.get(name, "absent")
        if found := _apart(*pair):
            return f"{name}{found[0]}", found[1], found[2]
    return None


def _array(values: np.ndarray) -> dict[str, Any]:
    about = {"dtype": str(values.dtype), "shape": list(values.shape)}
    if values.dtype.kind != "f":
        octets = np.asarray(values, order="C").tobytes()
        return {**about, "digest": hashlib.sha256(octets).hexdigest()[:16]}
    flat = values.astype(np.float64).ravel()
    if flat.size <= FEW:
        return {**about, "about": flat.tolist()}
    largest = float(np.max(np.abs(flat)))
    scaled = flat / largest if 0 < largest < math.inf else flat
    index = np.arange(1, flat.size + 1, dtype=np.uint64)
    sums = []
    for weight in _WEIGHTS:
        weights = (index * np.uint64(weight) % np.uint64(2**32)).astype(np.float64) / 2**31 - 1
        sums.append(float(np.sum(weights * scaled)))
    norm = float(np.sqrt(np.sum(scaled * scaled)))
    return {**about, "largest": largest, "norm": norm, "sums": sums}


def _apart(old: Any, new: Any) -> tuple[str, Any, Any] | None:
    """Where within a part two values differ, and what stands there."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return None if type(old) is type(new) and old == new else ("", _plain(old), _plain(new))
    if old.keys() != new.keys() or any(old[k] != new[k] for k in new if k in ("dtype", "shape")):
        return "", _plain(old), _plain(new)
    within = WITHIN.get(np.dtype(new["dtype"]).itemsize, 1e-10) if "dtype" in new else 1e-10
    if "sums" in new:
        pairs = ((old[k], new[k], 0.0) for k in ("largest", "norm"))
        sums = ((a, b, new["norm"]) for a, b in zip(old["sums"], new["sums"], strict=True))
        if not all(_close(a, b, within, size) for a, b, size in (*pairs, *sums)):
            return "", _plain(old), _plain(new)
    elif "about" in new:
        was, now = np.atleast_1d(old["about"]), np.atleast_1d(new["about"])
        size = max((abs(v) for v in now.tolist() if math.isfinite(v)), default=0.0)
        for index, (a, b) in enumerate(zip(was.tolist(), now.tolist(), strict=True)):
            if not _close(a, b, within, size):
                place = np.unravel_index(index, new["shape"]) if "shape" in new else ()
                return (f"[{', '.join(map(str, place))}]" if place else ""), a, b
    elif old != new:
        return "", _plain(old), _plain(new)
    return None


def _close(a: Any, b: float, within: float, size: float) -> bool:
    """Whether ``a``, from a file, is ``b`` to within rounding."""
    if not isinstance(a, float):
        return False
    return a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= within * max(abs(b), size)


def _plain(value: Any) -> Any:
    """A part as it is shown."""
    return value.get("about", value) if isinstance(value, dict) and "shape" not in value else value
