"""Locks on files that end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any


class LockedError(OSError):
    """Somebody else holds the lock."""


def claim(descriptor: int, *, without_locks: bool = True) -> bool:
    """Lock a file open for writing; whether that could be done, without waiting.

    ``without_locks`` is the answer on a file system that knows none.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return without_locks
    return True


class Lock:
    """The lock at ``path``, held from here to ``release`` or to the end of the process.

    Raises ``LockedError`` where another run holds it, ``OSError`` where it cannot be made. The
    file of a process that was killed is no lock any more. On a file system without locks
    everybody gets one: work is not refused for that.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        while True:
            self._descriptor: int | None = os.open(path, flags, 0o666)
            if not claim(self._descriptor):
                holder = os.read(self._descriptor, 20).decode("ascii", "replace").strip()
                os.close(self._descriptor)
                raise LockedError(f"process {holder}" if holder.isdigit() else "another process")
            if _is_at(self._descriptor, path):
                break
            os.close(self._descriptor)  # whoever held it has taken it away: it locks nothing
        os.ftruncate(self._descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk; the number is a courtesy
            os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Give the lock back; its file goes."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # Windows deletes no open file
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
