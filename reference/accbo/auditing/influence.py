"""What x reaches: whether the lower level sees it, and whether Φ changes with it at all.

Nothing in the theory forbids a lower level without x, or a constant Φ; there is nothing to solve
then, and the usual cause is a line of the objectives that lost x.
"""

from __future__ import annotations

import numpy as np

from accbo.auditing.curvature import Seen
from accbo.auditing.finding import FAILS, HOLDS, UNTOLD, Finding, point_of
from accbo.auditing.oracle import AuditError, Normals, Oracle, Point, Points, repeated
from accbo.auditing.spectra import DENSE, products

SPREADS = (0.0, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 4.0)  # of the points, from the start
NEWTON = 30  # steps to y*(x)
SOLVED = 1e-6  # relative: a residual of the lower level, and a hypergradient that counts as 0
SOURCE = "SPEC §1: ∇Φ = ∇_x f − ∇²_xy g [∇²_yy g]⁻¹ ∇_y f"


def influence(
    oracle: Oracle, seen: list[Seen], points: Points, convex: bool, normals: Normals
) -> list[Finding]:
    """Two findings; ``seen`` are spectra, ``points`` lie near the start and on the walk.

    ``convex``: the lower level has a solution to look at.
    """
    wide = [_near(points[0], spread, normals) for spread in SPREADS]
    slopes = np.array([oracle.mean("grad_x_upper", *point) for point in (*points, *wide)])
    cross = max(each.spectrum.cross for each in seen)
    nothing = 1e3 * oracle.roundoff * max(each.spectrum.joint for each in seen)
    blind = cross <= nothing
    coupling = _coupling(oracle, points, slopes, cross, blind, len(seen), normals)
    return [coupling, _changing(oracle, wide, slopes, blind, convex)]


def _coupling(
    oracle: Oracle,
    points: Points,
    slopes: np.ndarray,
    cross: float,
    blind: bool,
    count: int,
    normals: Normals,
) -> Finding:
    name, claim = "coupling", "the lower level depends on x"
    figures = {"cross": cross}
    if blind:
        alone = "which is zero too" if not np.any(slopes) else "without any lower level"
        text = (
            f"the lower level does not see x: ∇²_xy G is zero in all {count} spectra, so that the "
            f"hypergradient is ∇_x f alone, {alone}"
        )
        at = point_of(*points[0], oracle.seed)
        return Finding(name, claim, SOURCE, FAILS, text, figures, at, "lower")
    text = f"‖∇²_xy G‖ ≥ {cross:.4g}"
    dead = np.flatnonzero(~np.any(slopes, axis=0) & ~_reached(oracle, points, normals))
    if len(dead):
        shown = ", ".join(map(str, dead[:4].tolist())) + (", …" if len(dead) > 4 else "")
        text += f"; but {len(dead)} of {slopes.shape[1]} entries of x reach neither level: {shown}"
        figures["dead"] = float(len(dead))
    return Finding(name, claim, SOURCE, HOLDS, text, figures, level="lower")


def _reached(oracle: Oracle, points: Points, normals: Normals) -> np.ndarray:
    """Which entries of x any product ∇²_xy g v has."""
    seen = np.zeros(oracle.sizes["x"], dtype=bool)
    for x, y in points:
        seen |= oracle.mean("cross_lower", x, y, normals(y.shape)) != 0
    return seen


def _changing(
    oracle: Oracle, points: Points, slopes: np.ndarray, blind: bool, convex: bool
) -> Finding:
    """Whether ∇Φ is zero wherever it was looked at."""
    name, claim = "Φ changes", "Φ depends on x"
    far = max(float(np.linalg.norm(x - points[0][0])) for x, _ in points)
    at = point_of(*points[0], oracle.seed)
    if blind and not np.any(slopes):
        text = f"∇Φ = 0 at all {len(slopes)} points, to distance {far:.3g}: Φ is constant"
        return Finding(name, claim, SOURCE, FAILS, text, {"points": len(slopes)}, at)
    if blind:
        text = f"∇Φ = ∇_x f is not zero at all of {len(slopes)} points"
        return Finding(name, claim, SOURCE, HOLDS, text, {"points": len(slopes)})
    sizes = [] if not convex or oracle.sizes["y"] > DENSE else _sizes(oracle, points)
    if len(sizes) < 4:
        text = "y*(x) was not solved for" if not sizes else f"y*(x) was found {len(sizes)} times"
        return Finding(name, claim, SOURCE, UNTOLD, f"{text}; ∇_x f and ∇²_xy g are not zero")
    largest = max(sizes)
    figures = {"points": len(sizes), "relative": largest}
    if largest > SOLVED:
        text = f"∇Φ is not zero at all of {len(sizes)} points"
        return Finding(name, claim, SOURCE, HOLDS, text, figures)
    text = (
        f"∇Φ is zero at all {len(sizes)} points to distance {far:.3g}: at most {largest:.1e} of "
        "the terms that it is made of"
    )
    return Finding(name, claim, SOURCE, FAILS, text, figures, at)


def _near(start: Point, spread: float, normals: Normals) -> Point:
    x, y = start
    return x + spread * normals(x.shape), y + 0 * normals(y.shape)


def _sizes(oracle: Oracle, points: Points) -> list[float]:
    """‖∇Φ(x)‖ beside the terms of the hypergradient off y*, where y*(x) is found."""
    found = []
    for x, y in points:
        try:
            size = _hypergradient(oracle, x, y)[1]
            best = _solution(oracle, x, y)
            if best is not None:
                found.append(float(np.linalg.norm(_hypergradient(oracle, x, best)[0])) / size)
        except (AuditError, np.linalg.LinAlgError):  # not finite there
            continue
    return found


def _solution(oracle: Oracle, x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """y*(x) by Newton's method with halved steps; None where it does not converge."""
    slope = oracle.mean("grad_y_lower", x, y)
    first = float(np.linalg.norm(slope))
    for _ in range(NEWTON):
        size = float(np.linalg.norm(slope))
        if size <= SOLVED**2 * first or size == 0:
            return y
        step = np.linalg.solve(_hessian(oracle, x, y), slope)
        scales = 0.5 ** np.arange(8)
        trials = y - scales[:, None] * step
        slopes = oracle.mean("grad_y_lower", repeated(x, len(trials)), trials, finite=False)
        sizes = np.nan_to_num(np.linalg.norm(slopes, axis=1), nan=np.inf)
        best = int(np.argmin(sizes))
        if sizes[best] >= size:
            break
        y, slope = trials[best], slopes[best]
    return y if float(np.linalg.norm(slope)) <= SOLVED * first else None


def _hessian(oracle: Oracle, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return products(oracle, "hvp_lower", (x, y), np.eye(y.size), None)


def _hypergradient(oracle: Oracle, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """The hypergradient's formula at (x, y), and the size of its terms."""
    slope_x = oracle.mean("grad_x_upper", x, y)
    slope_y = oracle.mean("grad_y_upper", x, y)
    implicit = oracle.mean("cross_lower", x, y, np.linalg.solve(_hessian(oracle, x, y), slope_y))
    size = float(np.linalg.norm(slope_x) + np.linalg.norm(implicit))
    return slope_x - implicit, max(size, 1e-300)
