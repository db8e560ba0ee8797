"""Derivatives against differences of the values on the same sample: an order test.

The central difference D(h) of a right derivative s has R(h) = D(h) − s = O(h²): it falls by 4
whenever h is halved, until rounding takes over; a wrong one stays at its bias. D is extrapolated
to h = 0 by Richardson's tableau, whose own scatter bounds its error, so that no tolerance is set
by hand: the detectable bias is measured and reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from accbo.auditing.finding import FAILS, HOLDS, UNTOLD, Finding, point_of
from accbo.auditing.oracle import METHODS, Draws, Normals, Oracle, Points, one, tiled, unit

FIRST, RUNGS, COLUMNS = 0.125, 18, 5  # h = FIRST 2^−k; columns of the tableau
SAFETY = 10.0  # times the tableau's own error before a difference counts
ROUNDING = 64.0  # units of roundoff that a value may carry
RESOLUTION = 2e-2  # a relative bias that must be visible for "holds"
TINY = 1e-300
LINEAR = 1e4  # units of roundoff by which a product may miss linearity
SOURCE = "SPEC §7 (Taylor remainder), §1"


class Comparison(NamedTuple):
    """A slope s against the extrapolated difference; ``order`` is that of R(h) at its end."""

    slope: float
    difference: float
    bound: float  # SAFETY times the error of ``difference``
    order: float
    resolution: float  # ``bound`` relative to the derivative, or to the values where that is 0

    @property
    def excess(self) -> tuple[bool, float]:
        """Whether it is wrong: off by more than the bound, not falling as h² does; how far off."""
        off = abs(self.slope - self.difference)
        return off > self.bound and self.order < 1, off / (self.bound or TINY)


def order_test(
    values: Callable[[np.ndarray], np.ndarray], slope: float, length: float, place: float, u: float
) -> Comparison:
    """``slope`` against differences of ``values(t)``, a function of offsets ``(n,)``, at t = 0.

    ``length`` is the norm of the derivative, ``place`` that of the point: rounding p + h d to
    the roundoff ``u`` changes a value by their product.
    """
    h = FIRST * 2.0 ** -np.arange(RUNGS)
    offsets = values(np.concatenate((h, -h)))
    column = quotient = (offsets[:RUNGS] - offsets[RUNGS:]) / (2 * h)
    size = float(np.max(np.abs(offsets)))
    floor = ROUNDING * u * (size + length * place) / h
    best, error = float(quotient[0]), np.inf
    for power in range(1, COLUMNS):
        finer = column[1:] + (column[1:] - column[:-1]) / (4.0**power - 1)
        scatter = np.maximum(np.abs(finer - column[1:]), np.abs(finer - column[:-1]))
        scatter = scatter + floor[power:]
        at = int(np.argmin(scatter))
        if scatter[at] < error:
            best, error = float(finer[at]), float(scatter[at])
        column = finer
    bound = SAFETY * error
    relative_to = max(length, abs(best), size / (1 + place), TINY)
    order = _order(np.abs(quotient - slope), floor)
    return Comparison(slope, best, bound, order, bound / relative_to)


def _order(remainder: np.ndarray, floor: np.ndarray) -> float:
    """Median order over the last four halvings above the floor; infinite where there are none."""
    above = np.flatnonzero(remainder > SAFETY * floor)
    if len(above) < 2:
        return np.inf
    last = np.log2(remainder[above[-5:]])
    return float(np.median(-np.diff(last)))


class Claim(NamedTuple):
    """A derivative method and the values it is the derivative of."""

    method: str
    values: str
    variable: str  # that the values are differentiated in


CLAIMS = (
    Claim("grad_x_upper", "upper", "x"),
    Claim("grad_y_upper", "upper", "y"),
    Claim("grad_y_lower", "lower", "y"),
    Claim("hvp_lower", "grad_y_lower", "y"),
    Claim("cross_lower", "grad_y_lower", "x"),
)


def derivatives(oracle: Oracle, points: Points, normals: Normals) -> list[Finding]:
    """One finding for each derivative method, over all points, with and without a sample."""
    return [_claim(oracle, claim, points, normals) for claim in CLAIMS]


def _claim(oracle: Oracle, claim: Claim, points: Points, normals: Normals) -> Finding:
    draws = oracle.draw(METHODS[claim.method].level, len(points), stream=1)
    seen: list[tuple[Comparison, dict[str, Any]]] = []
    for index, (x, y) in enumerate(points):
        samples: list[Draws | None] = [one(draws, index)]
        if oracle.expected[claim.method] and oracle.expected[claim.values]:
            samples.append(None)
        for sample in samples:
            at = point_of(x, y, oracle.seed, sample=sample)
            seen.append((_compare(oracle, claim, x, y, sample, normals), at))
    worst, at = max(seen, key=lambda pair: pair[0].excess)
    return _finding(claim, worst, at, max(found.resolution for found, _ in seen))


def _compare(
    oracle: Oracle,
    claim: Claim,
    x: np.ndarray,
    y: np.ndarray,
    sample: Draws | None,
    normals: Normals,
) -> Comparison:
    """The comparison along a random direction."""
    direction = unit(normals((x if claim.variable == "x" else y).shape))
    v = unit(normals(y.shape)) if METHODS[claim.method].takes_v else None
    derivative = oracle(claim.method, x, y, v, sample)
    # ∇²_yy G v is differentiated along v and looked at along a direction of its own
    along, seen = (v, direction) if claim.method == "hvp_lower" else (direction, v)

    def values(t: np.ndarray) -> np.ndarray:
        step = t[:, None] * along
        moved = (
            (x + step, y + 0 * t[:, None])
            if claim.variable == "x"
            else (x + 0 * t[:, None], y + step)
        )
        answer = oracle(claim.values, *moved, sample=tiled(sample, len(t)))
        return answer if seen is None else answer @ seen

    return order_test(
        values,
        slope=float(direction @ derivative),
        length=float(np.linalg.norm(derivative)),
        place=float(np.linalg.norm(x) + np.linalg.norm(y)),
        u=oracle.roundoff,
    )


def _finding(claim: Claim, found: Comparison, at: dict[str, Any], resolution: float) -> Finding:
    assumption = (
        f"{claim.method} is the derivative of {claim.values} in {claim.variable}, sample by sample"
    )
    level = METHODS[claim.method].level
    ratio = found.slope / found.difference if found.difference else np.inf
    figures = {"ratio": ratio, "order": found.order, "resolution": resolution}
    if found.excess[0]:
        text = (
            f"{found.slope:.6g} where differences of {claim.values} give {found.difference:.6g} "
            f"± {found.bound:.1g}; the remainder falls at order {found.order:.2f}, 2 is due"
        )
        if abs(ratio + 1) < 1e-3:
            text += "; the sign is wrong"
        return Finding(claim.method, assumption, SOURCE, FAILS, text, figures, at, level)
    text = f"agrees with differences of {claim.values}; a bias of {resolution:.1e} would be seen"
    verdict = HOLDS if resolution <= RESOLUTION else UNTOLD
    return Finding(claim.method, assumption, SOURCE, verdict, text, figures, level=level)


def products(oracle: Oracle, points: Points, normals: Normals) -> list[Finding]:
    """Linearity of both products in v, and symmetry of the Hessian, on realisations."""
    draws = oracle.draw("lower", len(points), stream=2)
    errors = [_product_errors(oracle, *p, one(draws, i), normals) for i, p in enumerate(points)]
    allowed = oracle.roundoff * LINEAR
    found = []
    for column, (name, assumption, said) in enumerate(
        (
            ("hvp linear", "hvp_lower is linear in v", "hvp_lower of 2v − 3w"),
            ("cross linear", "cross_lower is linear in v", "cross_lower of 2v − 3w"),
            ("symmetric", "∇²_yy G is symmetric", "w·Hv − v·Hw"),
        )
    ):
        index = max(range(len(points)), key=lambda i: errors[i][column])
        worst = errors[index][column]
        text = f"{said} is off by {worst:.1e} of its size, {allowed:.0e} is allowed for rounding"
        at = point_of(*points[index], oracle.seed, sample=one(draws, index))
        verdict = HOLDS if worst <= allowed else FAILS
        error = {"error": worst}
        found.append(Finding(name, assumption, "SPEC §1", verdict, text, error, at, "lower"))
    return found


def _product_errors(
    oracle: Oracle, x: np.ndarray, y: np.ndarray, sample: Draws, normals: Normals
) -> tuple[float, float, float]:
    v, w = normals(y.shape), normals(y.shape)
    three = np.stack((v, w, 2 * v - 3 * w))
    many = np.tile(x, (3, 1)), np.tile(y, (3, 1)), three, tiled(sample, 3)
    hessian, cross = oracle("hvp_lower", *many), oracle("cross_lower", *many)
    skew = float(abs(w @ hessian[0] - v @ hessian[1]))
    size = float(np.abs(w) @ np.abs(hessian[0]) + np.abs(v) @ np.abs(hessian[1]))
    return _nonlinearity(hessian), _nonlinearity(cross), skew / (size + TINY)


def _nonlinearity(products: np.ndarray) -> float:
    of_v, of_w, of_both = products
    size = 2 * np.linalg.norm(of_v) + 3 * np.linalg.norm(of_w)
    return float(np.linalg.norm(of_both - 2 * of_v + 3 * of_w) / (size + TINY))
