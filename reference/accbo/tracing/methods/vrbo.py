"""VRBO (§5): SPIDER differences in an inner loop, a large batch every q iterations."""

from __future__ import annotations

from typing import Any

import numpy as np

from accbo.tracing.methods.group import Group, ways
from accbo.tracing.methods.shared import (
    GUARDS,
    THRESHOLDS,
    direct_mistakes,
    factors_group,
    fresh_group,
    on_ball,
    second_group,
    series_group,
    shortened,
    start_group,
    uses_group,
)
from accbo.tracing.parts import (
    Checks,
    Constants,
    estimate,
    holds,
    point,
    projected,
    same_sample,
    unit,
)
from accbo.tracing.rows import Rows, Vec

_V = (
    "with p_{−1} = (x_k, y_k), p_0 = (x_{k+1}, y_k), for i = 0 … m on one batch: "
    "u += ∇_y G(p_i) − ∇_y G(p_{i−1}), v += h(p_i) − h(p_{i−1}), p_{i+1} = (x_{k+1}, y − b u)"
)
_R = "k mod q = 0: u, v = means of ∇_y G and h at (x_k, y_k) over a batch of S1"
MOST = 64  # inner steps that are looked at


def _count(rows: Rows) -> int:
    return next((i for i in range(MOST) if not rows.has(f"inner.{i}.new.x")), MOST)


def sides(rows: Rows) -> list[str]:
    """The refresh and both points of every difference."""
    return ["new", *(f"inner.{i}.{side}" for i in range(_count(rows)) for side in ("new", "old"))]


def _present(rows: Rows, i: int) -> np.ndarray:
    return rows.length(f"inner.{i}.lower.gradient") > 0


def clock(
    rows: Rows,
    c: Constants,
    *,
    shift: int = 0,
    longer: int = 0,
    never: bool = False,
    fewer: int = 0,
) -> Checks:
    """A refresh where k mod q = 0, and m + 1 differences in every iteration."""
    period = int(c["period"]) if np.isfinite(c["period"]) else 0
    inner = sum((_present(rows, i).astype(int) for i in range(_count(rows))), np.zeros(len(rows)))
    wanted = c["lower_steps"] + 1 - fewer
    checks = {"inner": holds(inner == wanted, rows.acts & np.isfinite(wanted))}
    if period:
        due = (rows.t + shift) % max(1, period + longer) == 0
        due = rows.t == 0 if never else due
        made = rows.vec("new.grad_x").known
        judged = np.full(len(rows), rows.has("new.grad_x"))
        # a refresh that no line speaks of was not made where the differences just go on
        judged |= (rows.t > 0) & _goes_on(rows, c)
        checks["refresh"] = holds(made == due, rows.acts & judged)
    return checks


def _goes_on(rows: Rows, c: Constants) -> np.ndarray:
    """Where v is the one of the iteration before and the differences of this one."""
    total, unknown = rows.vec("momentum", -1), rows.unknown()
    for i in range(_count(rows)):
        new, old = (estimate(rows, f"inner.{i}.{side}") for side in ("new", "old"))
        total = (total + new - old).where(_present(rows, i), total)
    v = rows.vec("momentum").where(_present(rows, 0), unknown)
    gap = np.abs(v.p - total.p).max(axis=1)
    near: np.ndarray = gap <= 8 * c["_u"] * (total.terms + 1) * (total.size + v.size)
    return near


def _cut(v: Vec, norm: np.ndarray, clipped: Any) -> Vec:
    return v if clipped is None else shortened(v, clipped[0], clipped[1], norm)


def _starts(rows: Rows, clipped: Any = None) -> tuple[Vec, Vec]:
    """u and v at the beginning of an iteration: refreshed, or of the iteration before."""
    u, v = rows.vec("lower_momentum", -1), rows.vec("momentum", -1)
    fresh_u, fresh_v = rows.item("lower.gradient", 0), estimate(rows, "new")
    fresh_v = _cut(fresh_v, rows.vec("new.h").size, clipped)
    return fresh_u.where(fresh_u.known, u), fresh_v.where(fresh_v.known, v)


def loop(
    rows: Rows,
    c: Constants,
    *,
    sees: bool = True,
    past: bool = False,
    adds_up: bool = False,
    lag: str = "",
    plain: str = "",
    leak: bool = False,
    sign: float = 1.0,
    clipped: Any = None,
    ball: bool = False,
) -> Checks:
    """Every quantity of the inner loop."""
    u, v = _starts(rows, clipped)
    if leak:
        u = u.where(~rows.item("lower.gradient", 0).known, u + rows.vec("new.grad_y"))
    checks: Checks = {}
    x, y, x_next = rows.vec("x"), rows.vec("y"), rows.vec("x", 1)
    old, new = (x if sees else x_next, y), (x_next, y)
    before, total = (u, v), rows.nothing()
    end, end_u, end_v = y, u, v
    for i in range(_count(rows)):
        here = f"inner.{i}"
        checks |= point(rows, f"{here}.new", *new) | point(rows, f"{here}.old", *old)
        g_new, g_old = (rows.item(f"{here}.lower.gradient", j) for j in (0, 1))
        h_new, h_old = (estimate(rows, f"{here}.{s}", sign=sign) for s in ("new", "old"))
        h_new = _cut(h_new, rows.vec(f"{here}.new.h").size, clipped)
        h_old = _cut(h_old, rows.vec(f"{here}.old.h").size, clipped)
        if leak:
            g_new = g_new + rows.vec(f"{here}.new.grad_y")
            g_old = g_old + rows.vec(f"{here}.old.grad_y")
        start_u = before[0] if lag in ("both", "lower") else u
        start_v = before[1] if lag in ("both", "upper") else v
        before = (u, v)
        u = g_new if plain in ("both", "lower") else start_u + g_new - g_old
        v = h_new if plain in ("both", "upper") else start_v + h_new - h_old
        total = total + u if adds_up else u
        there = _present(rows, i)
        end, end_u, end_v = (new[1].where(there, end), u.where(there, end_u), v.where(there, end_v))
        logged = rows.vec(f"inner.{i + 1}.new.y")
        made = new[1] - c["lower_step_size"] * total
        if ball:
            made = projected(made, logged).where(logged.known, made)
        following = logged.where(logged.known, made)
        if past:
            end = made.where(there, end)
        checks[f"{here}.step"] = (logged, made)
        old, new = new, (x_next, following)
    checks["y"] = (rows.vec("y", 1), end)
    checks["lower_momentum"] = (rows.vec("lower_momentum"), end_u)
    checks["momentum"] = (rows.vec("momentum"), end_v)
    return checks


def step(
    rows: Rows, c: Constants, *, sign: float = 1.0, clipped: Any = None, units: bool = False
) -> Checks:
    """x_{k+1} = x_k − a v, with the v of this iteration's beginning."""
    v = rows.vec("momentum", -1)
    refreshed = estimate(rows, "new", sign=sign)
    v = _cut(refreshed, rows.vec("new.h").size, clipped).where(refreshed.known, v)
    if units:
        norm = rows.vec("new.h").size
        v = unit(v, np.where(np.isnan(norm), v.size, norm))
    return {"x": (rows.vec("x", 1), rows.vec("x") - c["upper_step_size"] * v)} | point(
        rows, "new", rows.vec("x"), rows.vec("y")
    )


def pair(rows: Rows, c: Constants, other: bool = False) -> Checks:
    """Both points of a difference are on one batch."""
    checks: Checks = {}
    for i in range(_count(rows)):
        ratio = same_sample(rows, f"inner.{i}.new", f"inner.{i}.old")
        if other:
            ratio = np.where(np.isnan(ratio), np.nan, 0.0)
        checks[f"inner.{i}.sample"] = ratio
    return checks


def refresh_batch(rows: Rows, c: Constants, small: bool = False) -> Checks:
    """The refresh is on a batch of its own, of S1 samples."""
    a, b = rows.sample("new.upper_sample"), rows.sample("inner.0.new.upper_sample")
    return {"new.sample": holds((a == b) if small else (a != b), (a > 0) & (b > 0))}


def _samples(rows: Rows, *names: str) -> list[str]:
    return [f"inner.{i}.{name}" for i in range(_count(rows)) for name in names]


_EACH: tuple[str, ...] = ("both", "upper", "lower")


def _options(name: str) -> tuple[dict[str, Any], ...]:
    return tuple({name: one} for one in _EACH)


_CLIPS = tuple({"clipped": (t, g)} for t in THRESHOLDS for g in GUARDS)

VRBO = (
    start_group(None),
    Group(
        "clock",
        _R,
        clock,
        (
            *ways("no refresh", clock, {"never": True}),
            *ways("period off by one", clock, *({"shift": s} for s in (1, -1)),
                  *({"longer": n} for n in (1, -1))),
            *ways("one inner step too few", clock, {"fewer": 1}),
        ),
    ),
    fresh_group(("inner.0.new.upper_sample", "inner.0.lower.sample")),
    factors_group(("new", "inner.0.new", "inner.1.new", "inner.2.new",
                   "inner.0.old", "inner.1.old", "inner.2.old")),
    Group(
        "refresh batch",
        _R,
        refresh_batch,
        tuple(ways("small batch at the refresh", refresh_batch, {"small": True})),
        rare=True,
    ),
    uses_group(("inner.0.new",), lower="inner.0.lower.sample"),
    Group(
        "pair",
        _V,
        pair,
        tuple(ways("different batch at the two points", pair, {"other": True})),
    ),
    second_group(sides),
    series_group(sides, "h = ∇_x F − ∇²_xy G · (1/l) Σ_{q<Q} Π_{j≤q} (I − ∇²_yy G/l) · ∇_y F",
                 drawn=False),
    Group("h", "h = ∇_x F − ∇²_xy G · inverse", *direct_mistakes(sides)),
    Group("step", "x_{k+1} = x_k − a v", step,
          (
              *ways("sign of the implicit term", step, {"sign": -1.0}),
              *ways("implicit term left out", step, {"sign": 0.0}),
              *ways("hypergradient clipped", step, *_CLIPS),
              *ways("x step normalised", step, {"units": True}),
              on_ball("x projected", step, "x"),
          ),
          {"x": "upper_step_size"}),
    Group(
        "inner loop",
        _V,
        loop,
        (
            *ways("first difference does not see x move", loop, {"sees": False}),
            *ways("y one step past v", loop, {"past": True}),
            *ways("no zeroing between inner steps", loop, {"adds_up": True}),
            *ways("two-iterations-old estimate", loop, *_options("lag")),
            *ways("no differences", loop, *_options("plain"), alone=True),
            *ways("y projected", loop, {"ball": True}),
            *ways("upper gradient leaks", loop, {"leak": True}),
            *ways("sign of the implicit term", loop, {"sign": -1.0}),
            *ways("implicit term left out", loop, {"sign": 0.0}),
            *ways("hypergradient clipped", loop, *_CLIPS),
        ),
        {"inner.0.step": "lower_step_size"},
    ),
)  # fmt: skip
