"""Finished pieces on disk: a run killed at any moment goes on with those that it has not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import accbo
from accbo import checkpoint
from theory_checks.harness import Outcome, Piece, Settings

KIND = "theory piece"
SECONDS = "seconds spent"


class Kept:
    """A folder with one file a finished piece; each says which settings it belongs to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, run: Mapping[str, Any], resume: bool) -> None:
        """Make the folder of the run that ``run`` (JSON values) describes.

        Without ``resume`` what an earlier run left in it is deleted; with it, raises
        ``CheckpointError`` where the folder is another run's.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise checkpoint.CheckpointError(f"{self.folder} is a file; pieces need a folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        head = self.folder / "run.npz"
        if resume and head.exists():
            checkpoint.expect_settings(self.folder, checkpoint.load(head, "theory run")[0], run)
        elif not resume:
            for path in self.folder.glob("*.npz"):
                path.unlink(missing_ok=True)
        checkpoint.save(head, "theory run", run, {})

    def load(self, settings: Settings, piece: Piece) -> tuple[Outcome, float] | None:
        """The outcome of a finished piece and its seconds; None where it is still to do.

        Raises ``CheckpointError`` for a file that is damaged, newer or of other settings.
        """
        path = self._path(settings, piece)
        try:
            found, arrays = checkpoint.load(path, KIND)
        except FileNotFoundError:
            return None
        checkpoint.expect_settings(path, found, _settings(settings, piece))
        return arrays, float(arrays.pop(SECONDS))

    def save(self, settings: Settings, piece: Piece, outcome: Outcome, seconds: float) -> None:
        """Keep a finished piece; raises ``OSError`` naming the file."""
        arrays = {**outcome, SECONDS: np.asarray(seconds)}
        what = (self._path(settings, piece), KIND, _settings(settings, piece), arrays)
        try:
            checkpoint.save(*what)
        except FileNotFoundError:  # the same command, run beside this one, is done and tidied up
            self.folder.mkdir(parents=True, exist_ok=True)
            checkpoint.save(*what)

    def finish(self) -> None:
        """Delete what is no longer needed."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder)

    def _path(self, settings: Settings, piece: Piece) -> Path:
        fault = "" if settings.fault is None else f"-{_digest(settings.fault)}"
        return self.folder / f"{piece.file_name}-{settings.seed}{fault}.npz"


def default_folder(run: Mapping[str, Any]) -> Path:
    """A folder in the user's cache for the run that ``run`` describes."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "accbo" / f"theory-checks-{_digest(json.dumps(run))}"


def _settings(settings: Settings, piece: Piece) -> dict[str, object]:
    key = json.loads(json.dumps(piece.key))  # as it comes back: tuples are lists
    return {"accbo": accbo.__version__, "check": piece.check, "key": key, **settings.numbers()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
