"""What a run keeps on disk, so that one killed at any moment goes on to the same bits."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from accbo import checkpoint
from accbo._arrays import Array, asarray, map_arrays, named_leaves, namespace, to_host
from accbo.checkpoint import fingerprint

KIND = "run"
STATE, RECORD, STREAM = "state/", "record/", "stream/"


class Kept(NamedTuple):
    """A run at the end of a segment."""

    state: Any
    records: dict[str, Array]
    iterations: np.ndarray
    position: dict[str, np.ndarray]


class RunCheckpoint:
    """The checkpoint at ``path`` of the run that ``settings`` describe, kept every ``seconds``."""

    def __init__(self, path: Path, settings: Mapping[str, Any], seconds: float) -> None:
        self._path, self._settings, self._seconds = Path(path), dict(settings), seconds
        self._last = time.monotonic()

    def load(self, state: Any, like: Array) -> Kept | None:
        """What was kept, in the structure of ``state``; None where nothing was.

        Raises ``CheckpointError`` for a file that is damaged, newer or of another run.
        """
        try:
            settings, arrays = checkpoint.load(self._path, KIND)
        except FileNotFoundError:
            return None
        iteration = settings.pop("iteration", None)
        checkpoint.expect_settings(self._path, settings, self._settings)
        leaves = iter(named_leaves(state))
        try:
            restored = map_arrays(lambda _: asarray(arrays[STATE + next(leaves)[0]], like), state)
            iterations = arrays["iterations"]
        except KeyError as error:
            raise checkpoint.CheckpointError(f"{self._path} lacks {error}") from error
        return Kept(
            state=restored._replace(iteration=iteration),
            records={name: asarray(values, like) for name, values in _part(arrays, RECORD)},
            iterations=iterations,
            position=dict(_part(arrays, STREAM)),
        )

    def due(self) -> bool:
        """Whether it is time to keep the run again."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, kept: Kept) -> None:
        """Write the run as it stands; raises ``OSError`` naming the file."""
        arrays = {STATE + name: to_host(leaf) for name, leaf in named_leaves(kept.state)}
        arrays |= {RECORD + name: to_host(values) for name, values in kept.records.items()}
        arrays |= {STREAM + name: words for name, words in kept.position.items()}
        arrays["iterations"] = kept.iterations
        settings = {**self._settings, "iteration": int(kept.state.iteration)}
        checkpoint.save(self._path, KIND, settings, arrays)
        self._last = time.monotonic()


def describe(
    algorithm: Any, problem: Any, x: Array, y: Array, noise: Any, **more: Any
) -> dict[str, Any]:
    """Everything that decides a run's numbers, as JSON values.

    Raises ``TypeError`` for arrays that a file of float64 would cut short.
    """
    name = namespace(x).__name__
    if name.startswith("mparray"):
        raise TypeError(
            f"a checkpoint holds float32 and float64; arrays of {name} have more digits"
        )
    return {
        "algorithm": _text(algorithm),
        "problem": f"{_text(problem)} {fingerprint(problem)}",
        "start": f"{tuple(x.shape)} {x.dtype} {fingerprint((x, y))}",
        "noise": _text(noise),
        **more,
    }


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> list[tuple[str, np.ndarray]]:
    return [
        (name.removeprefix(prefix), values)
        for name, values in arrays.items()
        if name.startswith(prefix)
    ]


def _text(value: Any) -> str:
    """The fields of a dataclass, functions by name: no addresses, which change from run to run."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(f.name, _text(getattr(value, f.name))) for f in dataclasses.fields(value)]
        inner = ", ".join(f"{name}={text}" for name, text in fields)
        return f"{type(value).__qualname__}({inner})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, int | float | str | None):
        return repr(value)
    return getattr(value, "__qualname__", type(value).__qualname__)
