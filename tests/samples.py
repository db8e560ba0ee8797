"""What plain loops take out of a sample: rows, single samples of a batch, means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def length(part: Any) -> int:
    """The length of the first axis of a part of a sample."""
    return len(next(iter(part.values())))


def rows(part: Any) -> Iterator[Any]:
    """The rows of a part of a sample."""
    for index in range(length(part)):
        yield {key: leaf[index] for key, leaf in part.items()}


def cells(sample: Any, *whole: str, axis: str = "") -> Iterator[Any]:
    """The samples of a batch of them; parts in ``whole`` are the same in each of them.

    In the part ``axis`` the batch is the second axis.
    """
    parts = sample._asdict()
    split = {name: part for name, part in parts.items() if name not in whole}
    for index in range(length(next(iter(split.values())))):
        yield sample._replace(
            **{
                name: {
                    key: leaf[:, index] if name == axis else leaf[index]
                    for key, leaf in part.items()
                }
                for name, part in split.items()
            }
        )


def mean(values: Sequence[Any]) -> Any:
    """Their mean."""
    return sum(values[1:], values[0]) / len(values)


def count(noise: Any) -> int:
    """The terms of a finite sum."""
    (law,) = noise.values()
    return int(law.parameter)


def one_replicate(sample: Any, r: tuple[int, ...]) -> Any:
    """A sample without its axes of replicates, which stand in front of the last."""
    if isinstance(sample, dict):
        return {key: leaf[(..., *r, slice(None))] for key, leaf in sample.items()}
    return type(sample)(*(one_replicate(part, r) for part in sample))


def flat(state: Any, before: str = "") -> dict[str, np.ndarray]:
    """The arrays of a state by dotted name."""
    found: dict[str, np.ndarray] = {}
    for name, value in state._asdict().items():
        if hasattr(value, "_asdict"):
            found |= flat(value, f"{before}{name}.")
        elif name != "iteration":
            found[before + name] = value
    return found
