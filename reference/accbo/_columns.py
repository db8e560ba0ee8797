"""Text in columns: folded between words on a terminal, one line an entry everywhere else."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable

LEAST = 20  # columns that folded text is given, however narrow the terminal


def terminal() -> int | None:
    """The columns of the terminal that is printed to; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def listed(rows: Iterable[tuple[str, str]], name: int, width: int | None) -> str:
    """A line a row, its name in the first ``name`` columns; texts folded at ``width``.

    A name that is longer has a line of its own.
    """
    return "\n".join(_row(first, text, name, width) for first, text in rows)


def _row(first: str, text: str, name: int, width: int | None) -> str:
    if width is None:
        return f"{first:{name}} {text}".rstrip()
    lines = textwrap.wrap(text, max(LEAST, width - name - 1), break_on_hyphens=False) or [""]
    head = [first] if len(first) > name else [f"{first:{name}} {lines.pop(0)}"]
    return "\n".join([*head, *(f"{'':{name}} {line}" for line in lines)]).rstrip()
