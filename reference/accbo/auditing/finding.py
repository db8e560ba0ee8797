"""What an audit finds out about one assumption, and the point that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

HOLDS, FAILS, UNTOLD = "holds", "fails", "cannot be told"
SHOWN = 4  # entries of a vector in the text; JSON has them all


@dataclass(frozen=True)
class Finding:
    """One assumption: the verdict, the figures behind it and the point (x, y, seed, …).

    ``name`` is short, ``assumption`` the statement, ``source`` where the theory makes it.
    ``text`` says what was seen; ``figures`` are its numbers under names. ``level`` is the level
    that the assumption is about, ``upper`` or ``lower``, and empty where it is about both.
    """

    name: str
    assumption: str
    source: str
    verdict: str
    text: str
    figures: Mapping[str, float] = field(default_factory=dict)
    point: Mapping[str, Any] | None = None
    level: str = ""

    def lines(self) -> list[str]:
        """The finding as printed."""
        where = f" ({self.level} level)" if self.level else ""
        lines = [f"{self.verdict:14} {self.name}{where}: {self.text}"]
        if self.verdict != HOLDS:
            lines.append(f"{'':15}assumed: {self.assumption} ({self.source})")
            if self.point is not None:
                shown = ", ".join(f"{key} = {_short(value)}" for key, value in self.point.items())
                lines.append(f"{'':15}seen at: {shown}")
        return lines


def point_of(x: Any, y: Any, seed: int, **more: Any) -> dict[str, Any]:
    """A point for a finding, as plain lists; ``more`` may hold a sample (a mapping)."""
    return {"x": _plain(x), "y": _plain(y), "seed": seed} | {k: _plain(v) for k, v in more.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_short(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        rest = f", … {len(value)} in all" if len(value) > SHOWN else ""
        return "[" + ", ".join(map(_short, value[:SHOWN])) + rest + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
