"""The equations of a step as equations of projections: one function for each part of a method.

A function returns ``{key: (what was logged, what the line of the specification makes of it)}`` or
``{key: condition}`` for what is no vector, a condition being 0 where it holds, ∞ where it does
not, NaN where nothing can be said. Every quantity is judged from the *logged* ones that it is made
of, so that a mistake shows where it is made and nowhere after it. The keyword arguments are what
mistakes change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from accbo.tracing.rows import Number, Rows, Vec, moved

Pair = tuple[Vec, Vec]
Checks = dict[str, Any]


class Constants(dict[str, Any]):
    """The declared constants; NaN for one that is not there."""

    def __missing__(self, name: str) -> float:
        return float("nan")


def holds(condition: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """0 where ``condition``, ∞ where not, NaN where it is not ``judged``."""
    return np.where(judged, np.where(condition, 0.0, np.inf), np.nan)


# --- the hypergradient ----------------------------------------------------------------------------


def estimate(rows: Rows, side: str, shift: int = 0, sign: float = 1.0) -> Vec:
    """h: as logged, or ∇_x F − ∇²_xy G · inverse of the same evaluation."""
    made = rows.vec(f"{side}.grad_x", shift) - sign * rows.vec(f"{side}.cross", shift)
    if sign != 1.0:
        return made
    logged = rows.vec(f"{side}.h", shift)
    return logged.where(logged.known, made)


def difference(rows: Rows, side: str, sign: float = 1.0) -> Checks:
    """h = ∇_x F − ∇²_xy G · inverse."""
    made = rows.vec(f"{side}.grad_x") - sign * rows.vec(f"{side}.cross")
    return {f"{side}.h": (rows.vec(f"{side}.h"), made)}


def series(
    rows: Rows,
    side: str,
    c: Constants,
    sampling: str = "chained",
    *,
    inside: float = 1.0,
    outside: float = 1.0,
    sign: float = 1.0,
    without_first: bool = False,
    terms: int = 0,
    single: int | None = None,
    last_only: bool = False,
    factor: float = 1.0,
) -> Checks:
    """S ∇_y F = (1/l) Σ_q p_q with p_q = p_{q−1} − H p_{q−1}/l, in the declared sampling.

    ``inside`` and ``outside`` multiply the two 1/l, ``terms`` is added to Q, ``single`` is the
    one term q of the sum, ``factor`` multiplies every power.
    """
    scale = c["_inverse_scale"]
    declared = int(c["neumann_terms"]) if np.isfinite(c["neumann_terms"]) else 0
    if not declared:
        return {}
    build = _independent if sampling == "independent" else _chained
    count = declared + terms
    found, powers = build(rows, side, count, scale * inside, factor)
    checks: Checks = {f"{side}.power.{key}": pair for key, pair in found.items()}
    products = rows.length(f"{side}.product")
    needed = count * (count - 1) // 2 if sampling == "independent" else count - 1
    judged = rows.vec(f"{side}.grad_y").known & rows.vec(f"{side}.inverse").known
    judged = judged & (rows.has(f"{side}.product") | (declared > 1))
    if single is None:
        checks[f"{side}.terms"] = holds(products == needed, judged)
        chosen = powers[1:] if without_first else powers
    else:
        chosen = powers[single : single + 1]
    if last_only:
        chosen = powers[-1:]
    total = sum(chosen[1:], chosen[0]) if chosen else rows.nothing()
    right = (sign * scale * outside) * total
    left = rows.vec(f"{side}.inverse")
    if single is None and not last_only:
        right = Vec(
            np.where((products == needed)[:, None], right.p, np.nan),
            np.where(products == needed, right.size, np.nan),
            right.terms,
        )
    checks[f"{side}.inverse"] = (left, right)
    return checks


def _chained(
    rows: Rows, side: str, count: int, scale: Number, factor: float
) -> tuple[dict[int, Pair], list[Vec]]:
    powers = [rows.vec(f"{side}.grad_y")]
    checks: dict[int, Pair] = {}
    for q in range(max(count, 1)):
        logged = rows.item(f"{side}.power", q)
        if q:
            before = rows.item(f"{side}.power", q - 1)
            before = before.where(before.known, powers[q - 1])
            powers.append(factor * (before - scale * rows.item(f"{side}.product", q - 1)))
        checks[q] = (logged, powers[q])
    return checks, powers[:count]


def _independent(
    rows: Rows, side: str, count: int, scale: Number, factor: float
) -> tuple[dict[int, Pair], list[Vec]]:
    """Stage j applies factor j to the terms q ≥ j; its products stand in that order."""
    v = rows.vec(f"{side}.grad_y")
    current, ends, checks, place = [v] * count, [v], dict[int, Pair](), 0
    for j in range(1, count):
        for q in range(j, count):
            logged = rows.item(f"{side}.power", place)
            checks[place] = (logged, current[q])
            argument = logged.where(logged.known, current[q])
            current[q] = factor * (argument - scale * rows.item(f"{side}.product", place))
            place += 1
        ends.append(current[j])
    return checks, ends


def conjugate(rows: Rows, side: str, c: Constants) -> Checks:
    """S ∇_y F = Σ α_q d_q by Q steps of conjugate gradients: d_{q+1} = r_{q+1} + β_q d_q,
    r_{q+1} = r_q − α_q H d_q, d_0 = r_0 = ∇_y F.

    r_{q+1} ⊥ d_q and ‖r_{q+1}‖² = β_q ‖r_q‖², so that β_q is the root of ‖d_{q+1}‖² = β ‖r_q‖² +
    β² ‖d_q‖²; α_q is fitted to the projections, which leaves an equation for each further one.
    """
    if not np.isfinite(c["neumann_terms"]):
        return {}
    count = int(c["neumann_terms"])
    first = rows.vec(f"{side}.grad_y")
    direction, residual, square = first, first, first.size**2
    checks: Checks = {f"{side}.power.0": (rows.item(f"{side}.power", 0), first)}
    total = rows.nothing()
    for q in range(count - 1):
        following, image = (rows.item(f"{side}.power", q + 1), rows.item(f"{side}.product", q))
        here, there = direction.size**2, following.size**2
        beta = 2 * there / (square + np.sqrt(square**2 + 4 * here * there))
        without = residual + beta * direction
        alpha, error = _fitted(without - following, image)
        residual = residual - alpha * image
        checks[f"{side}.power.{q + 1}"] = (following, residual + beta * direction)
        total = total + (alpha * direction).loosened(error * direction.size)
        direction, square = following, beta * square
    left = rows.vec(f"{side}.inverse")
    total = total + _fitted(left - total, direction)[0] * direction
    judged = first.known & left.known
    return checks | {
        f"{side}.terms": holds(rows.length(f"{side}.product") == count, judged),
        f"{side}.inverse": (left, total),
    }


def _fitted(v: Vec, of: Vec) -> tuple[np.ndarray, np.ndarray]:
    """The multiple of ``of`` that ``v`` is by least squares, and what sizes say of its error."""
    square = (of.p * of.p).sum(axis=1)
    return (v.p * of.p).sum(axis=1) / square, v.size / np.sqrt(square)


def randomised(
    rows: Rows,
    side: str,
    c: Constants,
    *,
    factor: float | None = None,
    inside: float = 1.0,
    sign: float = 1.0,
    least: int = 0,
    most: int | None = None,
    zero: bool = False,
    outside: float = 1.0,
    varies: bool = False,
) -> Checks:
    """S ∇_y F = (Q/l) p_q for one q in {0, …, Q − 1}, which need not be known.

    ``varies``: but not one and the same in all of eight iterations or more.
    """
    scale, declared = c["_inverse_scale"], c["neumann_terms"]
    if not np.isfinite(declared):
        return {}
    count = int(declared)
    powers, checks = [rows.vec(f"{side}.grad_y")], Checks()
    stopped = np.zeros(len(rows), dtype=bool)  # products beyond the drawn q, computed and not used
    for q in range(1, count):
        argument = rows.item(f"{side}.power", q - 1)
        known = argument.where(argument.known, powers[-1])
        advanced = known - (scale * inside) * rows.item(f"{side}.product", q - 1)
        following = rows.item(f"{side}.power", q)
        if q < count - 1:
            repeated = following.known & (following.p == argument.p).all(axis=1)
            stopped = stopped | repeated
            checks[f"{side}.power.{q}"] = (
                following,
                argument.where(stopped, advanced),
            )
        powers.append(advanced)
    checks[f"{side}.power.0"] = (rows.item(f"{side}.power", 0), powers[0])
    left = rows.vec(f"{side}.inverse")
    multiple = declared if factor is None else factor
    options = [(sign * multiple * scale * outside) * power for power in powers[least:most]]
    options += [rows.nothing()] if zero else []
    chosen, which = nearest(left, options)
    drawn = which[left.known]
    if varies and len(drawn) >= 8 and (drawn == drawn[0]).all():
        chosen = rows.nothing()
    checks[f"{side}.inverse"] = (left, chosen)
    return checks


def nearest(left: Vec, options: list[Vec]) -> tuple[Vec, np.ndarray]:
    """Of several right sides, for each row the one nearest to ``left``, and which it is."""
    best, which = options[0], np.zeros(len(left.p), dtype=np.int64)
    for index, option in enumerate(options[1:], 1):
        closer = _gap(left, option) < _gap(left, best)
        best, which = option.where(closer, best), np.where(closer, index, which)
    return best, which


def _gap(left: Vec, right: Vec) -> np.ndarray:
    gap = np.abs(left.p - right.p).max(axis=1)
    return np.where(np.isnan(gap), np.inf, gap)


# --- momenta --------------------------------------------------------------------------------------


def unit(v: Vec, norm: np.ndarray) -> Vec:
    """v/‖v‖; the norm is itself computed, so that its rounding counts as a term's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return v * (1 / norm)


def recursion(
    rows: Rows,
    name: str,
    new: Vec,
    old: Vec,
    decay: Number,
    *,
    before: int = -1,
    correction: Number | None = None,
    weight: Number = 1.0,
) -> Checks:
    """m_t = h_new + β m_{t−1} − β h_old, for t ≥ 1.

    ``before`` is the shift of m_{t−1}; ``correction`` stands for the second β, ``weight`` for
    the 1 before h_new.
    """
    second = decay if correction is None else correction
    right = weight * new + decay * rows.vec(name, before) - second * old
    return {name: (later(rows, rows.vec(name)), right)}


def later(rows: Rows, v: Vec, first: int = 1) -> Vec:
    """``v`` for t ≥ ``first`` alone."""
    blank = np.where(rows.t >= first, 0.0, np.nan)
    return Vec(v.p + blank[:, None], v.size + blank, v.terms)


def only_first(rows: Rows, v: Vec) -> Vec:
    """``v`` for t = 0 alone."""
    blank = np.where(rows.t == 0, 0.0, np.nan)
    return Vec(v.p + blank[:, None], v.size + blank, v.terms)


# --- steps ----------------------------------------------------------------------------------------


def normalised(x: Vec, m: Vec, norm: np.ndarray, size: Number, dimension: float) -> Vec:
    """x − η m/‖m‖, x where m = 0; a norm of d squares is off by up to √d u."""
    with np.errstate(divide="ignore", invalid="ignore"):
        step = unit(m, np.where(norm > 0, norm, np.nan)) * size
    moved_ = x - step.loosened(step.size * np.sqrt(dimension))
    moved: Vec = moved_.where(~(norm == 0), x)
    return moved


def lower_steps(
    rows: Rows,
    y: Vec,
    previous: Vec,
    size: Number,
    momentum: Number,
    *,
    place: str = "lower.",
    at: str = "z",
    leak: list[Vec] | None = None,
    adds_up: bool = False,
    change: Callable[[Vec, Vec], Vec] | None = None,
    base: Callable[[Vec, Vec], Vec] | None = None,
    ball: bool = False,
) -> tuple[Checks, Vec]:
    """Steps z − α ∇_y G(z), z = y + γ (y − previous), and y after the last of them.

    ``change(gradient, point)`` takes the place of a gradient, ``base(y, previous)`` that of z;
    ``ball``: every y is projected, those whose place was logged.
    """
    checks, longest = Checks(), rows.longest(f"{place}gradient")
    count, end = rows.length(f"{place}gradient"), y
    total: Vec | None = None
    for i in range(longest):
        z = y if _is_zero(momentum) else y + momentum * (y - previous)
        checks[f"{place}y.{i}"] = (rows.item(f"{place}y", i), y if at == "y" else z)
        gradient = rows.item(f"{place}gradient", i)
        if change is not None:
            gradient = change(gradient, rows.item(f"{place}y", i))
        if leak:
            gradient = gradient + leak[min(i, len(leak) - 1)]
        total = gradient if total is None or not adds_up else total + gradient
        from_ = z if base is None else base(y, previous)
        previous, y = y, from_ - size * total
        if ball:
            there = rows.item(f"{place}y", i + 1)
            y = projected(y, there).where(there.known, y)
        end = y.where(count == i + 1, end)
    return checks, end


def _is_zero(value: Number) -> bool:
    return not isinstance(value, np.ndarray) and value == 0


def clamped(rows: Rows, checks: Checks, dimension: float) -> Checks:
    """The momentum's lines where its entries are clamped to [−c, c].

    c is what the largest entry of an iteration is most often, twice at least; there it is
    clamped, unless every entry lies at c. The others are as they were.
    """
    most, m = rows.number("momentum_max"), rows.vec("momentum")
    values, counts = np.unique(most[np.isfinite(most)], return_counts=True)
    if not values.size or counts.max() < 2:
        return {key: np.full(len(rows), np.nan) for key in checks}
    edge = values[counts.argmax()]
    on = (most == edge) & (m.size < edge * np.sqrt(dimension) * (1 - 1e-6))
    found = Checks()
    for key, check in checks.items():
        left, right = check
        found[key] = (left, right.where(~on, left)) if key.split(".")[0] == "momentum" else check
    return found


def projected(made: Vec, logged: Vec) -> Vec:
    """``made`` on a ball, whose radius is the greatest norm that was logged."""
    radius = np.nanmax(np.where(np.isfinite(logged.size), logged.size, 0.0), initial=0.0)
    on = logged.size >= radius * (1 - 1e-3)
    with np.errstate(all="ignore"):
        ratio = (logged.p * made.p).sum(axis=1) / (made.p * made.p).sum(axis=1)
    inside: Vec = (made * ratio).where(on & (ratio > 0) & (ratio < 1), made)
    return inside


# --- samples --------------------------------------------------------------------------------------

KINDS = ("upper_sample", "upper_y_sample", "cross_sample", "hessian_sample")


def each_sample(rows: Rows, side: str, shift: int = 0) -> list[np.ndarray]:
    """The samples of an evaluation, one array a use."""
    found = [rows.sample(f"{side}.{kind}", shift) for kind in KINDS[:3]]
    longest = rows.longest(f"{side}.hessian_sample")
    return found + [rows.sample(f"{side}.hessian_sample", shift, q) for q in range(longest)]


def same_sample(rows: Rows, new: str, old: str, shift: int = 0) -> np.ndarray:
    """Both evaluations are on the same samples, use by use; of ``old`` at t + shift."""
    bad, judged = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for kind in KINDS:
        for q in range(max(rows.longest(f"{new}.{kind}"), 1)):
            a, b = rows.sample(f"{new}.{kind}", 0, q), rows.sample(f"{old}.{kind}", shift, q)
            both = (a >= 0) & (b >= 0)
            judged |= both
            bad |= both & (a != b)
    return holds(~bad, judged)


def differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two samples are not the same one; 0, the expectation, may be."""
    return holds(a != b, (a > 0) & (b > 0))


def all_differ(samples: list[np.ndarray]) -> np.ndarray:
    """No two of them are the same."""
    bad = np.zeros(samples[0].shape, bool) if samples else np.zeros(0, bool)
    judged = np.zeros_like(bad)
    for index, a in enumerate(samples):
        for b in samples[index + 1 :]:
            both = (a > 0) & (b > 0)
            judged |= both
            bad |= both & (a == b)
    return holds(~bad, judged)


def fresh(rows: Rows, paths: Mapping[str, int]) -> np.ndarray:
    """No sample is one of the iteration before; ``paths`` with how many entries each has."""
    bad, judged = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for path, longest in paths.items():
        for q in range(longest):
            now = rows.sample(path, 0, q)
            before = moved(now, -1, -1)
            both = (now > 0) & (before > 0)
            judged |= both
            bad |= both & (now == before)
    return holds(~bad, judged)


# --- points ---------------------------------------------------------------------------------------


def point(rows: Rows, side: str, x: Vec, y: Vec) -> Checks:
    """An evaluation is at (x, y)."""
    return {f"{side}.x": (rows.vec(f"{side}.x"), x), f"{side}.y": (rows.vec(f"{side}.y"), y)}


def elsewhere(rows: Rows, side: str, kind: str, x: Vec, y: Vec) -> Checks:
    """Second derivatives are at the point of the first ones, or at (x, y) if that is given."""
    return {
        f"{side}.{kind}_x": (rows.vec(f"{side}.{kind}_x"), x),
        f"{side}.{kind}_y": (rows.vec(f"{side}.{kind}_y"), y),
    }
