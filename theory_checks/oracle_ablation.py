"""One choice of AccBO's at a time left out, and what that does to the level."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accbo import SLIP, AccBO
from accbo.conformance.faults import FAULTS
from accbo.upper import gradient_step

from .oracle_instances import SPECTRUM
from .panels import Curve, Panel
from .statistics import Finding, at_least, half_width, shown


def _plain(algorithm: AccBO) -> AccBO:
    return dataclasses.replace(algorithm, parts=algorithm.parts._replace(x=gradient_step))


def _long_step(algorithm: AccBO) -> AccBO:
    """SGD at ½√(α/μ); μ is the least eigenvalue."""
    step = 0.5 * math.sqrt(algorithm.lower_step_size / SPECTRUM[0])
    return dataclasses.replace(algorithm, lower_momentum=0.0, lower_step_size=step)


def _linear_system(algorithm: AccBO) -> SLIP:
    return SLIP(
        lower_step_size=algorithm.lower_step_size,
        linear_step_size=algorithm.lower_step_size,
        momentum=algorithm.momentum,
        upper_step_size=algorithm.upper_step_size,
    )


ABLATION: dict[str, Callable[[AccBO], Any]] = {
    "moving average": FAULTS["no correction"].apply,
    "moving average, linear system": _linear_system,
    "SGD below, equal α": lambda a: dataclasses.replace(a, lower_momentum=0.0),
    "SGD below, ½√(α/μ)": _long_step,
    "independent series": lambda a: dataclasses.replace(a, neumann_sampling="independent"),
    "randomised series": lambda a: dataclasses.replace(a, neumann_sampling="randomised"),
    "no averaging": lambda a: dataclasses.replace(a, averaging=1.0),
    "plain step": _plain,
}
WORSE = ("moving average", "moving average, linear system", "SGD below, equal α")


def judge_ablation(levels: dict[str, np.ndarray]) -> list[Finding]:
    """Levels relative to AccBO's at the same T, on the same noise."""
    base = levels["AccBO"]
    found = []
    for name in ABLATION:
        if name not in levels:
            continue
        ratio, error = paired_ratio(levels[name], base)
        if name in WORSE:
            found.append(at_least(_quantity(name), 1.0, ratio, error))
        else:
            half = half_width() * error
            found.append(shown(_quantity(name), ratio, (ratio - half, ratio + half)))
    return found


def paired_ratio(values: np.ndarray, base: np.ndarray) -> tuple[float, float]:
    """mean(values)/mean(base) of pairs, and its standard error by the delta method."""
    ratio = float(np.mean(values) / np.mean(base))
    differences = (values - ratio * base) / np.mean(base)
    return ratio, float(np.std(differences, ddof=1) / math.sqrt(len(base)))


def one_choice(findings: Sequence[Finding]) -> Panel:
    """The picture of all variants."""
    rows = {name: row for name in ABLATION for row in findings if row.quantity == _quantity(name)}
    low, high = zip(*(row.interval for row in rows.values() if row.interval), strict=True)
    levels = [row.measured for row in rows.values()]
    even = Curve("AccBO", (-0.5, len(rows) - 0.5), (1.0, 1.0), predicted=True)
    return Panel(
        "One choice at a time",
        "Level of each variant over AccBO's at the same T, on the same noise, with 99 % "
        "intervals. Only the variants without recursive momentum are several times worse.",
        "",
        "level/AccBO's level",
        [Curve("variant", range(len(rows)), levels, low, high), even],
        log_y=True,
        ticks=list(rows),
    )


def _quantity(name: str) -> str:
    return f"level, {name} / AccBO's"
