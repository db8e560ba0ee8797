"""Finished pieces on disk: a run killed at any moment goes on with those that it has not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accbo import checkpoint
from accbo._pieces import files
from accbo._pieces.lock import Lock, LockedError
from accbo._pieces.versions import accbo_version
from accbo.checkpoint import START_OVER, CheckpointError

PIECE, RUN = ".piece.npz", ".run.npz"  # a finished piece; one that keeps itself on its way
HEAD, LOCK = "pieces.npz", ".lock"
_JSON = "json"
_MISFITS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)


@dataclass(frozen=True, eq=False)
class Work:
    """One piece to compute: ``function(*arguments)``, anywhere.

    ``name`` is that of its file, one of a kind in its folder; ``key`` (JSON values) is all that
    decides its value: what was given, never what was derived from it. ``fits`` raises
    ``ValueError`` for a value that cannot be this piece's.
    """

    name: str
    key: Mapping[str, Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    fits: Callable[[Any], None] = lambda _: None


class Kept:
    """A folder with one file a finished piece; each says what it belongs to.

    ``kind`` names the pieces. ``tell`` is called, once, where a piece cannot be written, and
    nothing is kept from then on; without it that is an ``OSError``. Values are JSON values; a
    subclass holds others.
    """

    def __init__(self, folder: Path, kind: str, tell: Callable[[str], None] | None = None) -> None:
        self.folder, self.kind = Path(folder), kind
        self._tell = tell
        self._gone = False
        self._lock: Lock | None = None

    def start(self, run: Mapping[str, Any], resume: bool) -> None:
        """Make the folder of the run that ``run`` (JSON values) describes, and lock it.

        Without ``resume`` what an earlier run left in it is deleted; with it, raises
        ``CheckpointError`` where the folder is another run's or no run's. So it does where
        another process is at work there. Call ``close`` or ``finish`` at the end.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise CheckpointError(f"{self.folder} is a file; pieces need a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = Lock(self.folder / LOCK)
        except LockedError as error:
            raise CheckpointError(
                f"another run ({error}) is at work in {self.folder}: wait until it has ended"
            ) from None
        try:
            self._begin({"accbo": accbo_version(), **run}, resume)
        except BaseException:
            self.close()
            raise

    def _begin(self, run: dict[str, Any], resume: bool) -> None:
        files.sweep(self.folder)  # of a run that was killed
        head, kind = self.folder / HEAD, f"run of {self.kind}s"
        if not resume:
            self._clear()
        elif head.exists():
            found = checkpoint.load(head, kind, follow=False)[0]
            checkpoint.expect_settings(self.folder, found, json.loads(json.dumps(run)))
        elif not self._own() and any(path.name != LOCK for path in self.folder.iterdir()):
            raise CheckpointError(f"{self.folder} holds other files, and no kept pieces")
        checkpoint.save(head, kind, run, {})

    def load(self, work: Work) -> Any | None:
        """The value of a finished piece; None where it is still to do.

        Raises ``CheckpointError`` for a file that is damaged, newer, of another piece or of other
        settings, or whose value does not fit.
        """
        path = self._path(work)
        try:
            found, arrays = checkpoint.load(path, self.kind, follow=False)
        except FileNotFoundError:
            return None
        checkpoint.expect_settings(path, found, self._key(work))
        try:
            value = self.unpack(arrays)
            work.fits(value)
        except _MISFITS as error:
            text = f"{error}" if type(error) is ValueError else repr(error)
            raise CheckpointError(f"{path} does not fit: {text[:300]}; {START_OVER}") from None
        return value

    def save(self, work: Work, value: Any) -> None:
        """Keep a finished piece; raises ``OSError`` naming the file, unless ``tell`` is told.

        What ``load`` would refuse (a NaN in a result) is not kept, but computed again.
        """
        if self._gone:
            return
        try:
            work.fits(value)
        except _MISFITS:
            return
        try:
            arrays = self.pack(value)
            if arrays is not None:
                self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have tidied up
                checkpoint.save(self._path(work), self.kind, self._key(work), arrays)
        except OSError as error:
            if self._tell is None:
                raise
            self._gone = True
            self._tell(f"pieces are not kept any more: {error}")

    def pack(self, value: Any) -> dict[str, np.ndarray] | None:
        """``value`` as arrays; None for one that is better computed again."""
        text = json.dumps(value).encode()
        return {_JSON: np.frombuffer(text, dtype=np.uint8)}

    def unpack(self, arrays: dict[str, np.ndarray]) -> Any:
        """The value of ``arrays``; raises ``ValueError``, ``TypeError`` or ``LookupError``."""
        if arrays.keys() != {_JSON} or arrays[_JSON].dtype != np.uint8 or arrays[_JSON].ndim != 1:
            raise ValueError("it holds other arrays than a text")
        return json.loads(arrays[_JSON].tobytes())

    def finish(self) -> None:
        """Delete what is no longer needed, and give the folder back."""
        self._clear()
        self.close()
        try:
            self.folder.rmdir()
        except OSError:
            return  # it holds what is not ours

    def close(self) -> None:
        """Give the folder back, with what was kept."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _clear(self) -> None:
        for path in (*self._own(), self.folder / HEAD):
            path.unlink(missing_ok=True)

    def _own(self) -> list[Path]:
        return [path for end in (PIECE, RUN) for path in self.folder.glob(f"*{end}")]

    def _path(self, work: Work) -> Path:
        return self.folder / f"{work.name}{PIECE}"

    def _key(self, work: Work) -> dict[str, Any]:
        """The key as it comes back: tuples are lists."""
        key: dict[str, Any] = json.loads(json.dumps({"accbo": accbo_version(), **work.key}))
        return key
