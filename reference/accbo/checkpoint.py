"""Checkpoints: arrays and a JSON header in one ``.npz``, whole or not at all, never pickled.

A digest of everything stands in the header: what was damaged or edited is refused, and sizes are
looked at before anything is unpacked. Whether the content fits is its reader's affair.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from accbo._pieces import files

VERSION = 2  # of the layout; a reader refuses every other
HEADER = "header"
LARGEST = 2**30  # bytes of a file, unless its reader knows better
LARGEST_HEADER = 2**22
START_OVER = "delete it to start over"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says which, why, and what to do."""


def save(
    path: Path, kind: str, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write ``arrays`` and ``settings`` (JSON values) to ``path``, all of it or nothing.

    A process killed while it writes leaves the old file. Raises ``OSError`` naming the file
    where it cannot be written, ``TypeError`` for arrays of other things than numbers.
    """
    plain = {name: _plain(name, values) for name, values in arrays.items()}
    head = {"kind": kind, "version": VERSION, "settings": dict(settings)}
    text = json.dumps({**head, "digest": _digest(head, plain)})
    octets = np.frombuffer(text.encode(), dtype=np.uint8)
    packed = io.BytesIO()  # in memory: a full disk is then met by one writer, and said in one way
    named: dict[str, Any] = {HEADER: octets, **plain}  # no option: NumPy 2.1 would store it
    np.savez(packed, **named)
    files.write(path, packed.getvalue())


def load(
    path: Path, kind: str, *, largest: int = LARGEST, follow: bool = True
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Settings and arrays of the checkpoint at ``path``, a file of at most ``largest`` bytes.

    Raises ``CheckpointError`` for a file that is no checkpoint, is damaged or edited, holds
    another kind, or was written by another layout, and for a link unless ``follow``;
    ``FileNotFoundError`` where there is none.
    """
    try:
        content = files.read(path, largest, follow=follow)
    except FileNotFoundError:
        raise
    except IsADirectoryError as error:
        raise CheckpointError(f"{path} is a folder, not a checkpoint") from error
    except (OSError, MemoryError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise CheckpointError(f"{path} cannot be read ({why}); {START_OVER}") from error
    try:
        arrays = _unpacked(content)
        octets = arrays.pop(HEADER)
        if octets.size > LARGEST_HEADER:
            raise ValueError("the header is too long")
        header = json.loads(octets.tobytes())
        version, digest = header.pop("version"), header.pop("digest", None)
        found, settings = header["kind"], dict(header["settings"])
        head = {"kind": found, "version": version, "settings": settings}
        whole = digest == _digest(head, arrays)
    except Exception as error:  # zipfile alone raises a dozen kinds on bytes that are no archive
        raise CheckpointError(
            f"{path} is damaged or no checkpoint ({type(error).__name__}); {START_OVER}"
        ) from error
    if version != VERSION or isinstance(version, bool | float):
        newer = isinstance(version, int) and version > VERSION
        raise CheckpointError(
            f"{path} was written by {'a newer' if newer else 'another'} accbo (layout "
            f"{_short(version)}, this one reads {VERSION}); {START_OVER}"
        )
    if not whole:
        raise CheckpointError(
            f"{path} is damaged: its content is not what was written; {START_OVER}"
        )
    if found != kind:
        raise CheckpointError(f"{path} is a checkpoint of {found!r}, not of {kind!r}")
    return settings, arrays


def expect_settings(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise ``CheckpointError`` naming the first setting that differs, at the difference."""
    for name in dict.fromkeys((*wanted, *found)):
        old, new = found.get(name), wanted.get(name)
        if old != new:
            raise refusal(path, name, *apart(old, new))


def refusal(path: Path, name: str, old: str, new: str) -> CheckpointError:
    """The error for a setting that was ``old`` and is ``new``."""
    return CheckpointError(
        f"{path} belongs to other settings: {name} was {old}, now it is {new}; {START_OVER}"
    )


def apart(old: Any, new: Any) -> tuple[str, str]:
    """Two values as texts, cut to where they differ."""
    texts = repr(old), repr(new)
    start = 0
    if max(map(len, texts)) > 100:
        pairs = zip(*texts, strict=False)
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(map(len, texts)))
        start = max(0, same - 30)
    return tuple(_short(text[start:], start > 0) for text in texts)  # type: ignore[return-value]


def _short(value: Any, cut: bool = False) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"{'…' if cut else ''}{text[:100]}{'…' if len(text) > 100 else ''}"


def _digest(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for name, values in sorted(arrays.items()):
        digest.update(f"\n{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


# --- arrays as bytes ----------------------------------------------------------------------------

# what NumPy writes before the numbers, and nothing else: the header of an array is data, not code
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<|][biuf]\d)', 'fortran_order': False, "
    rb"'shape': \(((?:\d+,)?|\d+(?:, \d+)+)\), \} *\n",
    re.DOTALL,
)


def _plain(name: str, values: np.ndarray) -> np.ndarray:
    """``values`` in C order and little-endian."""
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise TypeError(f"{name} holds {values.dtype}; a checkpoint holds numbers of 64 bits")
    return np.asarray(values, dtype=values.dtype.newbyteorder("<"), order="C")


def _unpacked(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an archive; raises all kinds of exceptions for other bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if any(m.compress_type != zipfile.ZIP_STORED for m in members):
            raise ValueError("a member is compressed, which none of ours is")
        names = [member.filename.removesuffix(".npy") for member in members]
        if len(set(names)) < len(names):  # and zipfile itself refuses two names for one content
            raise ValueError("a name stands twice")
        return {n: _array(archive.read(m)) for n, m in zip(names, members, strict=True)}


def _array(octets: bytes) -> np.ndarray:
    declared = _NPY.match(octets)
    if declared is None:
        raise ValueError("this is no array of numbers")
    dtype = np.dtype(declared[1].decode())
    shape = tuple(map(int, re.findall(rb"\d+", declared[2])))
    # a shape of another size than the content is a ValueError of reshape, which takes no memory
    return np.frombuffer(octets, dtype, offset=declared.end()).reshape(shape).copy()
