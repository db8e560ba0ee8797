"""Where the lower level might stop being strongly convex: λ_min(∇²_yy g) far from the start.

Random rays do not see a curvature that vanishes where all coordinates of x fall at once, as that
of exp(x_i) y_i² does. So λ_min is followed along ±(1, …, 1) and the axes too, and down its own
gradient: of vᵀ∇²_yy g v, by differences, with v the eigenvector of λ_min. Finitely many points
prove no bound on all of space; what is said is where it was looked, and how far.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from accbo.auditing.growth import GONE, LENGTHS, Ray
from accbo.auditing.oracle import Normals, Oracle, Point, unit
from accbo.auditing.spectra import DENSE, Lower, end_of, flat, lower_end

AXES = 8  # of each variable, if there are more: those that λ_min changes along fastest
FAR = float(LENGTHS[-1])
LOOKS = 40  # spectra on the way down
COORDINATES = 64  # in which the gradient is taken, if there are more: a random choice
NUDGE = 1e-3  # of a difference, in float64
STILL = 1e-11  # of λ_max: a gradient of λ_min that counts as 0
FALLING = 0.1  # of the first λ_min, and falling like a power at the end: on its way to 0


class Lowest(NamedTuple):
    """The least λ_min that was found, where and how; ``first`` is λ_min at the start.

    ``looked`` says where it was looked. ``vanishes``: it is 0 there, or on its way to 0.
    """

    value: float
    first: float
    point: Point
    distance: float
    how: str
    vanishes: bool
    looked: str


class _Path(NamedTuple):
    """λ_min along a path from the start."""

    how: str
    distances: list[float]
    values: list[float]
    points: list[Point]
    gone: bool  # it fell below rounding

    @property
    def vanishes(self) -> bool:
        """Whether λ_min is gone at the end, or falls like a power as far as it was followed."""
        if len(self.values) < 2:
            return False
        part = self.values[-1] / self.values[0]
        if self.gone or part < GONE:
            return True
        if len(self.values) < 4 or self.distances[-1] < 0.99 * FAR:
            return False
        power = math.log(self.values[-1] / self.values[-3])
        power /= math.log(self.distances[-1] / max(self.distances[-3], 1e-300))
        return part < FALLING and power < -0.5


def lowest(oracle: Oracle, start: Point, all_rays: list[Ray], normals: Normals) -> Lowest:
    """The least λ_min along ``all_rays``, the diagonals, the axes, and down its gradient."""
    here = lower_end(oracle, start, normals)
    if not here.smallest > flat(oracle) * here.largest:
        return Lowest(here.smallest, here.smallest, start, 0.0, "at the start", True, "")
    down = _down(oracle, start, here, normals)
    paths = [down]
    for how, ray in [*_numbered(all_rays), *_diagonals(start), *_axes(oracle, start, here)]:
        paths.append(_along(oracle, how, ray, here, normals))
    gone = [path for path in paths if path.vanishes]
    # of those that vanish the nearest, else the lowest
    worst = min(gone, key=lambda path: path.distances[-1]) if gone else _lowest_of(paths)
    reached = max(path.distances[-1] for path in paths[1:])
    short = min(path.distances[-1] for path in paths[1:])
    far = f"{reached:.4g}" if short == reached else f"{short:.3g} … {reached:.4g}"
    return Lowest(
        value=worst.values[-1],
        first=here.smallest,
        point=worst.points[-1],
        distance=worst.distances[-1],
        how=worst.how,
        vanishes=bool(gone),
        looked=(
            f"along {len(paths) - 1} rays to distance {far} (random, ±(1, …, 1), axes), nor down "
            f"its gradient to distance {down.distances[-1]:.3g}"
        ),
    )


def _lowest_of(paths: list[_Path]) -> _Path:
    return min(paths, key=lambda path: path.values[-1])


def _numbered(all_rays: list[Ray]) -> Iterator[tuple[str, Ray]]:
    for ray in all_rays:
        yield "along a random ray", ray


def _diagonals(start: Point) -> Iterator[tuple[str, Ray]]:
    """±(1, …, 1) in x, in y and in both."""
    x, y = start
    for name, of_x, of_y in (("x", 1.0, 0.0), ("y", 0.0, 1.0), ("(x, y)", 1.0, 1.0)):
        both = unit(np.concatenate((np.full(x.size, of_x), np.full(y.size, of_y))))
        for sign, shown in ((1.0, "+"), (-1.0, "−")):
            ray = Ray(x, y, sign * both[: x.size], sign * both[x.size :])
            yield f"along {name} {shown} t(1, …, 1)", ray


def _axes(oracle: Oracle, start: Point, here: Lower) -> Iterator[tuple[str, Ray]]:
    """± the axes of x and y, at most AXES of each."""
    x, y = start
    slope = np.abs(_gradient(oracle, start, here.vector, np.eye(x.size + y.size)[: DENSE * 2]))
    slope = np.pad(slope, (0, x.size + y.size - slope.size))
    for name, size, offset in (("x", x.size, 0), ("y", y.size, x.size)):
        chosen = np.argsort(-slope[offset : offset + size], kind="stable")[:AXES]
        for index in sorted(chosen.tolist()):
            step = np.eye(1, x.size + y.size, offset + index)[0]
            for sign, shown in ((1.0, "+"), (-1.0, "−")):
                ray = Ray(x, y, sign * step[: x.size], sign * step[x.size :])
                yield f"along {name}[{index}] {shown} t", ray


def _along(oracle: Oracle, how: str, ray: Ray, here: Lower, normals: Normals) -> _Path:
    """λ_min along a ray, as far as it is finite and above rounding."""
    lengths = LENGTHS if ray.y.size <= DENSE else LENGTHS[::4]
    points = [ray.at(float(length)) for length in lengths]
    ends: Iterator[Lower] = (lower_end(oracle, point, normals) for point in points)
    if ray.y.size <= DENSE:  # all of them in one call
        basis = np.eye(ray.y.size)
        xs, ys = (np.repeat([p[k] for p in points], len(basis), axis=0) for k in (0, 1))
        tiled = np.tile(basis, (len(points), 1))
        with np.errstate(all="ignore"):
            hessians = oracle.mean("hvp_lower", xs, ys, tiled, finite=False)
        shaped = hessians.reshape(len(points), *basis.shape)
        ends = (end_of(hessian, basis) for hessian in shaped)
    path = _Path(how, [0.0], [here.smallest], [(ray.x, ray.y)], False)
    for length, point, end in zip(lengths, points, ends, strict=True):
        known, gone = _known(oracle, end, here)
        if not known and not gone:
            break
        path.distances.append(float(length))
        path.values.append(end.smallest)
        path.points.append(point)
        if gone:
            return path._replace(gone=True)
    return path


def _known(oracle: Oracle, end: Lower, here: Lower) -> tuple[bool, bool]:
    """Whether λ_min is above rounding, and, if not, whether it is 0 beside the start's λ_max."""
    if not math.isfinite(end.smallest):
        return False, False
    rounding = max(1e-12, 100 * oracle.roundoff)
    if abs(end.smallest) > rounding * end.largest:
        return True, end.smallest < 0
    return False, end.largest <= 10 * here.largest


def _down(oracle: Oracle, start: Point, here: Lower, normals: Normals) -> _Path:
    """Down the gradient of λ_min, by steps that double where it falls and shrink where not."""
    x, y = start
    path = _Path("down its gradient", [0.0], [here.smallest], [start], False)
    frame, at, end, step, slope = _frame(x.size + y.size, normals), start, here, 0.5, None
    for _ in range(LOOKS):
        if slope is None:
            slope = _gradient(oracle, at, end.vector, frame) @ frame
            if not np.linalg.norm(slope) > STILL * end.largest:
                break
        move = -step * unit(slope)
        there = at[0] + move[: x.size], at[1] + move[x.size :]
        with np.errstate(all="ignore"):
            found = lower_end(oracle, there, normals)
        known, gone = _known(oracle, found, here)
        if not (gone or (known and found.smallest < end.smallest)):
            step /= 4
            if step < 1e-2:
                break
            continue
        at, end, step, slope = there, found, 2 * step, None
        away = math.hypot(*(float(np.linalg.norm(a - b)) for a, b in zip(at, start, strict=True)))
        path.distances.append(away)
        path.values.append(end.smallest)
        path.points.append(at)
        if gone or away >= FAR:
            return path._replace(gone=gone)
    return path


def _frame(size: int, normals: Normals) -> np.ndarray:
    """Orthonormal rows in which a gradient is taken: all axes, or COORDINATES of them."""
    if size <= 2 * COORDINATES:
        return np.eye(size)
    chosen = np.argsort(normals((size,)))[:COORDINATES]
    return np.eye(size)[np.sort(chosen)]


def _gradient(oracle: Oracle, point: Point, v: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The slopes of vᵀ∇²_yy g v along the rows of ``frame``; 0 where one is not finite."""
    x, y = point
    size = 1.0 + math.hypot(float(np.linalg.norm(x)), float(np.linalg.norm(y)))
    step = NUDGE * size * (oracle.roundoff / 2**-53) ** 0.25
    moves = np.concatenate((step * frame, -step * frame))
    along = np.broadcast_to(v, (len(moves), v.size))
    with np.errstate(all="ignore"):
        bent = oracle.mean(
            "hvp_lower", x + moves[:, : x.size], y + moves[:, x.size :], along, finite=False
        )
        values = bent @ v
        change = (values[: len(frame)] - values[len(frame) :]) / (2 * step)
        finite: np.ndarray = np.nan_to_num(change, nan=0, posinf=0, neginf=0)
        return finite
