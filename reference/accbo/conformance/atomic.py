"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, content: str) -> None:
    """``content`` to ``path``, in UTF-8 with plain newlines, all of it or nothing.

    Raises ``OSError`` that names ``path``.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(content, encoding="utf-8", newline="\n")
        os.replace(beside, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)
