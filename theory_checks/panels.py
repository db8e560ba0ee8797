"""What a check shows: pictures as data, so that no check needs to know how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """One line or cloud of points. ``predicted`` is drawn as a line, measured as points.

    ``low`` and ``high`` are the ends of the intervals of ``y``, where it has any.
    """

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    low: Sequence[float] | np.ndarray | None = None
    high: Sequence[float] | np.ndarray | None = None
    predicted: bool = False


@dataclass(frozen=True)
class Panel:
    """One picture; ``caption`` says in a sentence or two what is to be seen in it."""

    title: str
    caption: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False
