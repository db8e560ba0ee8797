"""Checkpoints: arrays and a JSON header in one ``.npz``, whole or not at all, never pickled."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from accbo._arrays import named_leaves, to_host

VERSION = 1  # of the layout; a reader refuses a newer one
HEADER = "header"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says which, why, and what to do."""


def save(
    path: Path, kind: str, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write ``arrays`` and ``settings`` (JSON values) to ``path``, all of it or nothing.

    A process killed while it writes leaves the old file. Raises ``OSError`` naming the file
    where it cannot be written.
    """
    header = json.dumps({"kind": kind, "version": VERSION, "settings": dict(settings)})
    octets = np.frombuffer(header.encode(), dtype=np.uint8)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            np.savez(file, allow_pickle=False, **{HEADER: octets}, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Settings and arrays of the checkpoint at ``path``.

    Raises ``CheckpointError`` for a file that is no checkpoint, is damaged, holds another
    kind, or was written by a newer accbo; ``FileNotFoundError`` where there is none.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop(HEADER).tobytes())
        found, version, settings = header["kind"], header["version"], dict(header["settings"])
    except FileNotFoundError:
        raise
    except IsADirectoryError as error:
        raise CheckpointError(f"{path} is a folder, not a checkpoint") from error
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint ({type(error).__name__}); delete it to start over"
        ) from error
    if not isinstance(version, int) or version > VERSION:
        raise CheckpointError(
            f"{path} was written by a newer accbo (layout {version}, this one reads {VERSION})"
        )
    if found != kind:
        raise CheckpointError(f"{path} is a checkpoint of {found!r}, not of {kind!r}")
    return settings, arrays


def expect_settings(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise ``CheckpointError`` naming the first setting that differs."""
    for name in dict.fromkeys((*wanted, *found)):
        old, new = found.get(name), wanted.get(name)
        if old != new:
            raise CheckpointError(
                f"{path} belongs to other settings: {name} was {_short(old)}, "
                f"now it is {_short(new)}; delete it to start over"
            )


def fingerprint(tree: Any) -> str:
    """A digest of the bytes of every array in ``tree``, and of where it stands."""
    digest = hashlib.sha256()
    for name, leaf in named_leaves(tree):
        values = np.ascontiguousarray(to_host(leaf))
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}…"
