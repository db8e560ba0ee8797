"""Files that are there as a whole or not at all, and reading that comes to an end."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from accbo._pieces.lock import claim

UNFINISHED = ".part"  # how the name of a file ends while it is written


def write(path: Path, content: str | bytes) -> None:
    """``content`` to ``path``, text in UTF-8 with plain newlines, all of it or nothing.

    Raises ``OSError`` naming ``path``.
    """
    octets = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with whole(path) as file:
            file.write(octets)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file beside ``path`` that takes its place where nothing went wrong, else vanishes.

    A link is followed, so that it stays; what is no file (a terminal, ``/dev/null``) is written
    to as it is. Raises ``OSError``, of the file beside.
    """
    if _is_device(path):
        with open(path, "wb") as device:
            yield device
        return
    target = Path(os.path.realpath(path))
    file, beside = _opened_beside(target)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":  # which renames no open file
                file.close()
            os.replace(beside, target)  # before the lock on it goes: see sweep
    finally:
        beside.unlink(missing_ok=True)


def cache_folder(name: str) -> Path:
    """A folder of that name in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "accbo" / name


def sweep(folder: Path, name: str | None = None) -> None:
    """Delete what killed writers left in ``folder``, of the file ``name`` or of all.

    A file that is being written is locked by its writer, and stays.
    """
    start = "." if name is None else _start_beside(name)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
        for each in names:
            if each.startswith(start) and each.endswith(UNFINISHED):
                with contextlib.suppress(OSError):  # a link, a folder, or just renamed
                    _delete_unless_locked(os.path.join(folder, each))


def read(path: Path, largest: int, *, follow: bool = True) -> bytes:
    """The content of a regular file of at most ``largest`` bytes.

    Raises ``OSError`` for what is longer, no file (a folder, a device, a pipe, and a link unless
    ``follow``), or not readable. Never waits for a pipe.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags), "rb") as file:
        about = os.fstat(file.fileno())
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        content = file.read(largest + 1) if about.st_size <= largest else b""
        size = max(about.st_size, len(content))
        if size > largest:
            why = f"it takes {size:,} bytes, at most {largest:,} belong"
            raise OSError(errno.EFBIG, why, str(path))
    return content


def _opened_beside(target: Path) -> tuple[IO[bytes], Path]:
    """A new file beside ``target`` that this process has locked, and its path."""
    while True:
        name = f"{_start_beside(target.name)}{secrets.token_hex(4)}{UNFINISHED}"
        beside = target.with_name(name)
        file = open(beside, "xb")  # noqa: SIM115  the caller closes it
        if claim(file.fileno()) and beside.exists():  # else a sweep came in between
            return file, beside
        file.close()


def _start_beside(name: str) -> str:
    return f".{name[:50]}."  # a name may have 255 bytes, a letter four


def _is_device(path: Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _delete_unless_locked(path: str) -> None:
    if os.name == "nt":
        os.unlink(path)  # which fails while it is open
        return
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if claim(descriptor, without_locks=False):
            os.unlink(path)
    finally:
        os.close(descriptor)
