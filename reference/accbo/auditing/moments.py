"""Bias and variance of every oracle: means over draws against ``sample=None``.

A mean of n draws is off where a coordinate's z, its distance in standard errors, passes LIMIT.
The standard error is that of independent draws, while Latin hypercubes have a smaller one: the
test errs on the quiet side. To leading order a skewness s multiplies the tail of a studentised
mean by exp(|s| z³/(3√n)); where |s|/√n passes SKEWED a large z proves nothing, and that is said.
With LIMIT = 8 and SKEWED = 0.06 a false alarm has a probability below 2·6e-16·e^10.3 = 4e-11 a
coordinate, so below 1e-6 for a whole audit of up to 20,000 of them. A field with a value so rare
that n draws miss it is no ground for an alarm either.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from accbo.auditing.finding import FAILS, HOLDS, UNTOLD, Finding, point_of
from accbo.auditing.oracle import METHODS, Normals, Oracle, Point, Points, repeated, unit

LIMIT, SKEWED = 8.0, 0.06
POWER_Z = 2.33  # 99 %
ROUNDING = 1e3  # units of roundoff of an answer's size that are no bias
MEAN_STREAM = 3
BLOCK = 2**20  # numbers of x and y in one call
SOURCE = "SPEC §1: f and g are the expectations of F and G; §3: bounded variance"


class Moments(NamedTuple):
    """Of one method at one point over n draws; arrays have an entry a coordinate."""

    z: np.ndarray
    standard_error: np.ndarray
    skewed: np.ndarray  # |skewness|/√n
    size: float  # ‖expectation‖
    variance: float  # E‖G − g‖², summed over coordinates


def moments(oracle: Oracle, method: str, point: Point, v: np.ndarray | None) -> Moments:
    """Moments of ``method`` at ``point``; deviations are from the expectation."""
    reference = np.atleast_1d(oracle.mean(method, *point, v))
    answers = _answers(oracle, method, point, v)
    n = len(answers)
    away = answers - reference
    mean = np.mean(away, axis=0)
    centred = away - mean
    spread = np.mean(centred**2, axis=0)
    scale = float(np.max(np.abs(reference))) + np.sqrt(spread)
    error = np.sqrt(spread / n) + ROUNDING * oracle.roundoff * scale
    third = np.abs(np.mean(centred**3, axis=0))
    return Moments(
        z=np.abs(mean) / np.maximum(error, 1e-300),
        standard_error=error,
        skewed=third / np.maximum(spread**1.5 * math.sqrt(n), 1e-300),
        size=float(np.linalg.norm(reference)),
        variance=float(np.sum(spread)),
    )


def _answers(oracle: Oracle, method: str, point: Point, v: np.ndarray | None) -> np.ndarray:
    """The method on every draw, ``(n, size)``, asked for in blocks of BLOCK numbers."""
    level = METHODS[method].level
    draws = oracle.draw(level, oracle.draws_of_a_mean(level), MEAN_STREAM)
    n = len(next(iter(draws.values())))
    rows = max(1, BLOCK // sum(oracle.sizes.values()))
    answers = []
    for start in range(0, n, rows):
        part = {name: leaf[start : start + rows] for name, leaf in draws.items()}
        x, y = (repeated(a, min(rows, n - start)) for a in point)
        along = None if v is None else repeated(v, len(x))
        answers.append(oracle(method, x, y, along, part).reshape(len(x), -1))
    return np.concatenate(answers)


def means(oracle: Oracle, points: Points, normals: Normals) -> list[Finding]:
    """Bias and variance of every method at ``points``: one finding a method."""
    v = unit(normals((oracle.sizes["y"],)))
    found = []
    for name, method in METHODS.items():
        rows = [moments(oracle, name, point, v if method.takes_v else None) for point in points]
        found.append(_finding(oracle, name, rows, points))
    return found


def _finding(oracle: Oracle, method: str, rows: list[Moments], points: Points) -> Finding:
    name = f"mean {method}"
    claim = f"the mean of {method} over samples is {method} with sample=None"
    level = METHODS[method].level
    n = oracle.draws_of_a_mean(level)
    index = max(range(len(rows)), key=lambda i: float(np.max(rows[i].z)))
    row = rows[index]
    entry = int(np.argmax(row.z))
    z, skewed = float(row.z[entry]), float(row.skewed[entry])
    variance = max(each.variance for each in rows)
    visible = max(float(np.max((LIMIT + POWER_Z) * each.standard_error)) for each in rows)
    figures = {"z": z, "draws": n, "visible_bias": visible, "size": row.size, "variance": variance}
    noisy = variance > (ROUNDING * oracle.roundoff * row.size) ** 2
    noise = f"variance {variance:.4g}" if noisy else "no noise"
    if not oracle.expected[method]:
        text = f"{noise}; sample=None is not supported, so that no bias can be seen"
        return Finding(
            name, claim, SOURCE, UNTOLD, text, {"variance": variance, "draws": n}, level=level
        )
    if z <= LIMIT:
        text = noise
        if noisy:
            text += f"; a bias of {visible:.2g} in an entry would be seen in {n} draws"
        return Finding(name, claim, SOURCE, HOLDS, text, figures, level=level)
    at = point_of(*points[index], oracle.seed, entry=entry)
    text = f"entry {entry} of the mean of {n} draws is {z:.1f} standard errors off"
    if skewed > SKEWED or n * oracle.rarest(level) < 1:
        text += f", but the law is too skewed for {n} draws (skewness/√n = {skewed:.2f})"
        return Finding(name, claim, SOURCE, UNTOLD, text, figures, at, level)
    text += f"; {LIMIT:g} are allowed"
    return Finding(name, claim, SOURCE, FAILS, text, figures, at, level)
