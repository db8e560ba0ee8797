"""What a run keeps on disk, so that one killed at any moment goes on to the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from accbo import checkpoint
from accbo._arrays import Array, asarray, map_arrays, named_leaves, namespace, to_host
from accbo._pieces import files
from accbo._pieces.described import described, difference
from accbo._pieces.versions import accbo_version
from accbo.sampling import Stream

KIND = "run"
STATE, RECORD, STREAM = "state/", "record/", "stream/"
ITERATIONS = "iterations"
ROOM = 2**20  # bytes for what is no array of the run: names, the settings
FLOATS = "a checkpoint holds float32 and float64"


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
        files.sweep(self._path.parent, self._path.name)

    def load(
        self,
        state: Any,
        like: Array,
        measure: Callable[[Any], Mapping[str, Array]],
        stream: Stream,
    ) -> Kept | None:
        """What was kept, in the structure of the fresh ``state``; None where nothing was.

        ``measure`` gives the records of a state; the fresh ``stream`` is put where it was. Raises
        ``CheckpointError`` for a file that is damaged, newer or of another run, and for names,
        shapes and dtypes other than those of the fresh run.
        """
        if not self._path.is_symlink() and not self._path.exists():
            return None
        rows = self._settings["steps"] // self._settings["every"]
        leaves = {STATE + name: to_host(leaf) for name, leaf in named_leaves(state)}
        values = measure(state) if self._settings["record"] else {}
        records = {RECORD + name: to_host(each) for name, each in values.items()}
        position = stream.position()
        size = sum(each.nbytes for each in leaves.values()) + 8 * rows
        size += rows * sum(each.nbytes for each in records.values())
        size += 64 * sum(each.nbytes + 1024 for each in position.values())
        try:
            settings, arrays = checkpoint.load(self._path, KIND, largest=2 * size + ROOM)
        except FileNotFoundError:
            return None
        try:
            iteration = self._checked_settings(settings)
            every = self._settings["every"]
            taken = np.arange(every, iteration + 1, every) if records else np.zeros(0, np.int64)
            self._expect(arrays, leaves, finite=True)
            _expect_array(ITERATIONS, arrays.get(ITERATIONS), taken)
            if not np.array_equal(arrays[ITERATIONS], taken):
                raise _MisfitError(f"{ITERATIONS} are not every {every} up to {iteration}")
            shapes = {
                name: np.broadcast_to(each, (len(taken), *each.shape))
                for name, each in records.items()
            }
            self._expect(arrays, shapes if len(taken) else {})
            there = {STREAM + name for name in position}
            if lost := sorted(there - arrays.keys()):
                raise _MisfitError(f"{lost[0]} is missing")
            known = {*leaves, *records, ITERATIONS}
            odd = [n for n in arrays if n not in known and not n.startswith(STREAM)]
            if odd:
                raise _MisfitError(f"{odd[0]} belongs to no such run")
            stream.seek(dict(_part(arrays, STREAM)))
        except checkpoint.CheckpointError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            raise checkpoint.CheckpointError(
                f"{self._path} does not fit this run: {error}; {checkpoint.START_OVER}"
            ) from None
        names = iter(leaves)
        restored = map_arrays(lambda leaf: asarray(arrays[next(names)], leaf), state)
        return Kept(
            state=restored._replace(iteration=iteration),
            records={
                name: asarray(each, like, values[name].dtype)
                for name, each in _part(arrays, RECORD)
            },
            iterations=taken,
            position=dict(_part(arrays, STREAM)),
        )

    def _checked_settings(self, found: dict[str, Any]) -> int:
        """The iteration; raises unless the rest of the settings is that of this run."""
        iteration = found.pop("iteration", None)
        if apart := difference(found, self._settings):
            name, old, new = apart
            raise checkpoint.refusal(self._path, name, *checkpoint.apart(old, new))
        if type(iteration) is not int or not 1 <= iteration <= self._settings["steps"]:
            raise _MisfitError(
                f"the iteration is {iteration!r}, not in 1 … {self._settings['steps']}"
            )
        return iteration

    def _expect(
        self,
        arrays: Mapping[str, np.ndarray],
        wanted: Mapping[str, np.ndarray],
        finite: bool = False,
    ) -> None:
        for name, like in wanted.items():
            _expect_array(name, arrays.get(name), like)
            if finite and like.dtype.kind == "f" and not np.all(np.isfinite(arrays[name])):
                raise _MisfitError(f"{name} holds a NaN or an infinity, which ends a run")

    def due(self) -> bool:
        """Whether it is time to keep the run again."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, kept: Kept) -> None:
        """Write the run as it stands; raises ``OSError`` naming the file."""
        arrays = {STATE + name: to_host(leaf) for name, leaf in named_leaves(kept.state)}
        arrays |= {RECORD + name: to_host(values) for name, values in kept.records.items()}
        arrays |= {STREAM + name: words for name, words in kept.position.items()}
        arrays[ITERATIONS] = kept.iterations
        settings = {**self._settings, "iteration": int(kept.state.iteration)}
        checkpoint.save(self._path, KIND, settings, arrays)
        self._last = time.monotonic()


def describe(
    algorithm: Any, problem: Any, x: Array, y: Array, noise: Any, **more: Any
) -> dict[str, Any]:
    """Everything that decides a run's numbers, as JSON values; ``more`` are JSON values.

    Raises ``TypeError`` for arrays that a file of float64 would cut short.
    """
    name = namespace(x).__name__
    if name.startswith("mparray"):
        raise TypeError(f"{FLOATS}; arrays of {name} have more digits")
    given = {"algorithm": algorithm, "problem": problem, "x": x, "y": y, "noise": noise}
    parts = dict(part for name, value in given.items() for part in described(value, name))
    return {"accbo": accbo_version(), **more, **parts}


class _MisfitError(ValueError):
    """What does not fit the fresh run."""


def _expect_array(name: str, found: np.ndarray | None, like: np.ndarray) -> None:
    if found is None:
        raise _MisfitError(f"{name} is missing")
    if (found.dtype, found.shape) != (like.dtype, like.shape):
        raise _MisfitError(
            f"{name} is {found.dtype} {found.shape}, expected {like.dtype} {like.shape}"
        )


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> list[tuple[str, np.ndarray]]:
    return [
        (name.removeprefix(prefix), values)
        for name, values in arrays.items()
        if name.startswith(prefix)
    ]
