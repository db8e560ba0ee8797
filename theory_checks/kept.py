"""Finished pieces of the checks on disk: arrays, and the core-seconds that each took."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from accbo._pieces import kept
from accbo._pieces.files import cache_folder

from .harness import Outcome

KIND = "theory piece"
SECONDS = "seconds spent"
_DTYPES = tuple(map(np.dtype, (np.float64, np.int64, np.bool)))  # of what a check measures


class Kept(kept.Kept):
    """A folder with one file a finished piece; each says which settings it belongs to."""

    def __init__(self, folder: Path, tell: Callable[[str], None] | None = None) -> None:
        super().__init__(folder, KIND, tell)

    def pack(self, value: Any) -> dict[str, np.ndarray] | None:
        """Only finite float64, int64 and truths are kept: a file with others is none of ours."""
        outcome, seconds = value
        arrays = {**outcome, SECONDS: np.asarray(float(seconds))}
        plain = all(values.dtype in _DTYPES for values in arrays.values())
        return arrays if plain and all(map(_finite, arrays.values())) else None

    def unpack(self, arrays: dict[str, np.ndarray]) -> tuple[Outcome, float]:
        """The outcome and its seconds; raises ``ValueError`` for what is none."""
        if odd := [name for name, values in arrays.items() if values.dtype not in _DTYPES]:
            raise ValueError(f"{odd[0]} is of dtype {arrays[odd[0]].dtype}")
        if odd := [name for name, values in arrays.items() if not _finite(values)]:
            raise ValueError(f"{odd[0]} holds a NaN or an infinity")
        spent = arrays.pop(SECONDS)
        if spent.shape or spent.dtype != np.float64 or spent < 0:
            raise ValueError(f"{SECONDS} is no time")
        if not arrays:
            raise ValueError("it holds no outcome")
        return arrays, float(spent)


def default_folder(run: Mapping[str, Any]) -> Path:
    """A folder in the user's cache for the run that ``run`` describes."""
    return cache_folder(f"theory-checks-{digest(json.dumps(run))}")


def _finite(values: np.ndarray) -> bool:
    return values.dtype.kind in "biu" or bool(np.all(np.isfinite(values)))


def digest(text: str) -> str:
    """A short name for ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
