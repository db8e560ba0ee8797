"""What workers do in the tests of unfinished work; nothing dear is imported here."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any


def twice(number: int) -> dict[str, Any]:
    return {"twice": 2 * number, "third": number / 3}


def long_text(size: int) -> dict[str, str]:
    return {"text": "a" * size}


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_python(path: str) -> None:
    """Say that we are here and stay, where the kernel does not end us with our parent."""
    if hasattr(ctypes.CDLL(None), "prctl"):
        ctypes.CDLL(None).prctl(1, 0)
    Path(path).write_text(str(os.getpid()))
    while True:
        time.sleep(0.1)


def in_c(path: str) -> None:
    """Say that we are here and stay in a call that lets no other thread have its turn."""
    Path(path).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(1000)
