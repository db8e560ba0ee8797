"""TTSA, StocBiO and SUSTAIN (§5): Neumann series, plain steps of x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from accbo.tracing.methods import upper
from accbo.tracing.methods.group import Group, Wrong, ways
from accbo.tracing.methods.shared import (
    GUARDS,
    THRESHOLDS,
    Sized,
    Slip,
    batches_group,
    clamp,
    clock_group,
    direct_mistakes,
    factors_group,
    fresh_group,
    on_ball,
    points_group,
    second_group,
    series_group,
    sgd_group,
    shortened,
    start_group,
    uses_group,
)
from accbo.tracing.parts import (
    Checks,
    Constants,
    estimate,
    holds,
    later,
    only_first,
    projected,
    recursion,
    same_sample,
    unit,
)
from accbo.tracing.rows import Rows, Vec

_SAMPLES = ("new.upper_sample", "new.cross_sample", "new.hessian_sample", "lower.sample")


def power_of(name: str, exponent: float, later_: int = 0, fixed: bool = False) -> Sized:
    """A size a (w + t)^exponent, or that of t = 0 throughout."""

    def size(rows: Rows, c: Constants) -> Any:
        t = np.zeros(len(rows)) if fixed else np.maximum(rows.t + later_, 0)
        return c[name] * (c["offset"] + t) ** exponent

    return size


# --- TTSA -----------------------------------------------------------------------------------------

_B, _A = -2 / 5, -3 / 5
_S = "α_t = a (w+t)^{−3/5}, β_t = b (w+t)^{−2/5}"


def _slips(name: str, right: float, swapped: float, other: str) -> list[Slip]:
    """Wrong sizes of TTSA for one of its levels, ``other`` being the group of the other one."""
    return [
        ("steps that do not shrink", power_of(name, 0.0), {}),
        ("steps that do not shrink", power_of(name, right, fixed=True), {}),
        ("exponents swapped", power_of(name, swapped), {"also": other}),
        ("one time scale", power_of(name, swapped), {"only": other}),
        ("one time scale", power_of(name, -1 / 2), {"also": other}),
        ("sizes of another iteration", power_of(name, right, 1), {}),
        ("sizes of another iteration", power_of(name, right, -1), {}),
    ]


def _x_group(right: Sized, wrong: Sequence[Slip], line: str) -> Group:
    def judge(
        rows: Rows,
        c: Constants,
        size: Sized = right,
        sign: float = 1.0,
        units: bool = False,
        ball: bool = False,
        clipped: Any = None,
    ) -> Checks:
        def direction(rows: Rows) -> tuple[Vec, np.ndarray]:
            h, norm = estimate(rows, "new", sign=sign), rows.vec("new.h").size
            if units:
                h = unit(h, norm)
            elif clipped is not None:
                h = shortened(h, clipped[0], clipped[1], norm)
            return h, norm

        checks = upper.plain_step(rows, direction, size(rows, c))
        left, right = checks["x"]
        return {"x": (left, projected(right, left))} if ball else checks

    found = [one for name, size, more in wrong for one in ways(name, judge, {"size": size}, **more)]
    found += ways("sign of the implicit term", judge, {"sign": -1.0})
    found += ways("implicit term left out", judge, {"sign": 0.0})
    found += ways("x step normalised", judge, {"units": True})
    found += ways("x projected", judge, {"ball": True})
    found += ways(
        "hypergradient clipped",
        judge,
        *({"clipped": (t, g)} for t in THRESHOLDS for g in GUARDS),
    )
    return Group("step", line, judge, tuple(found), {"x": "upper_step_size"})


def _sides(rows: Rows) -> list[str]:
    return ["new"]


TTSA = (
    start_group(None, size=lambda c: c["lower_step_size"] * c["offset"] ** _B),
    clock_group("TTSA"),
    fresh_group(_SAMPLES),
    factors_group(("new",)),
    uses_group(("new",)),
    sgd_group(
        power_of("lower_step_size", _B),
        _slips("lower_step_size", _B, _A, "step"),
        "y_{t+1} = y_t − β_t ∇_y G(x_t, y_t; π_t), " + _S,
        later_x="y after x",
    ),
    points_group(
        ("x", 0, "y", 1),
        {"hypergradient at the old y": ("x", 0, "y", 0), "y after x": ("x", 0, "y", 0)},
    ),
    second_group(_sides),
    series_group(
        _sides,
        "h_t with (Q/l) Π_{j=1..q} (I − ∇²_yy G/l), q uniform on {0..Q−1}",
        "randomised",
        _B,
    ),
    Group("h", "h_t = ∇_x F − ∇²_xy G · inverse", *direct_mistakes(_sides)),
    _x_group(
        power_of("upper_step_size", _A),
        _slips("upper_step_size", _A, _B, "lower"),
        "x_{t+1} = x_t − α_t h_t(x_t, y_{t+1}), " + _S,
    ),
)

# --- StocBiO --------------------------------------------------------------------------------------


STOCBIO = (
    start_group(None),
    clock_group("StocBiO"),
    fresh_group(_SAMPLES),
    factors_group(("new",)),
    batches_group("D steps y ← y − α ∇_y G(x_k, y; π), a fresh batch each"),
    uses_group(
        ("new",),
        (("cross batch from the upper data", "new.cross_sample", "new.upper_sample"),),
    ),
    sgd_group(later_x="y after x"),
    points_group(
        ("x", 0, "y", 1),
        {"hypergradient at the old y": ("x", 0, "y", 0), "y after x": ("x", 0, "y", 0)},
    ),
    second_group(_sides),
    series_group(_sides, "z = (1/l) Σ_{q=0..Q−1} Π_{j≤q} (I − ∇²_yy G(ζ^j)/l) ∇_y F", drawn=False),
    Group("h", "∇_x F − ∇²_xy G · z", *direct_mistakes(_sides)),
    _x_group(
        lambda rows, c: c["upper_step_size"],
        (),
        "x_{k+1} = x_k − η (∇_x F(x_k, y_k; ξ) − ∇²_xy G(x_k, y_k; ζ⁰) z)",
    ),
)

# --- SUSTAIN --------------------------------------------------------------------------------------

_U = "u_t = ∇_y G(x_t,y_t;π_t) + (1 − η^g_t) (u_{t−1} − ∇_y G(x_{t−1},y_{t−1};π_t)); m_t with h_t"
_ROOTS = {
    "one fixed step size": lambda rows, c: c["offset"] ** (-1 / 3) + 0 * rows.t,
    "sizes of another iteration": lambda rows, c: (c["offset"] + rows.t + 1) ** (-1 / 3),
}


def _root(rows: Rows, c: Constants, later_: int = 0) -> np.ndarray:
    return np.asarray((c["offset"] + np.maximum(rows.t + later_, 0)) ** (-1 / 3))


def _both(rows: Rows) -> list[str]:
    return ["new", "old"]


def _recursions(
    rows: Rows,
    c: Constants,
    *,
    level: str = "both",
    rule: str = "right",
    root: Any = None,
    sign: float = 1.0,
    clipped: Any = None,
    leak: bool = False,
) -> Checks:
    """u_t and m_t; a ``rule`` other than the right one in one of the levels, or in both."""
    checks = Checks()
    # η_t = c (w + t − 1)^{−2/3}: the size of the iteration before
    base = _root(rows, c, -1) if root is None else root(rows, c)
    for name, weight in (("lower_momentum", "lower_averaging"), ("momentum", "upper_averaging")):
        eta = c[weight] * base**2
        wrong = rule if level in ("both", name) else "right"
        if name == "momentum":
            new, old = estimate(rows, "new", sign=sign), estimate(rows, "old", sign=sign)
            if clipped is not None:
                new = shortened(new, clipped[0], clipped[1], rows.vec("new.h").size)
                old = shortened(old, clipped[0], clipped[1], rows.vec("old.h").size)
            first, before = new, estimate(rows, "new", -1)
        else:
            new, old = rows.item("lower.gradient", 0), rows.item("lower.gradient", 1)
            if leak:
                new, old = new + rows.item("stray", 0), old + rows.item("stray", 1)
            first, before = new, rows.item("lower.gradient", 0, -1)
        decay: Any = 1 - eta
        if wrong == "stale":
            pair = recursion(rows, name, new, before, decay)
        elif wrong == "average":
            right = decay * rows.vec(name, -1) + eta * new
            pair = {name: (later(rows, rows.vec(name)), right)}
        elif wrong == "heavy":
            pair = {name: (later(rows, rows.vec(name)), new + decay * rows.vec(name, -1))}
        elif wrong == "undamped":
            pair = recursion(rows, name, new, old, 1.0)
        elif wrong == "buffer":
            right = (1 + decay) * new - decay * old
            pair = {name: (later(rows, rows.vec(name)), right)}
        elif wrong == "swapped":
            pair = recursion(rows, name, new, old, eta)
        elif wrong == "older":
            kept = rows.vec(name, -2).where(rows.t > 1, rows.vec(name, -1))
            pair = {name: (later(rows, rows.vec(name)), new + decay * kept - decay * old)}
        else:
            pair = recursion(rows, name, new, old, decay)
        checks |= pair
        checks[f"{name}.0"] = (only_first(rows, rows.vec(name)), only_first(rows, first))
    return checks


_LEVELS = ("both", "momentum", "lower_momentum")


def _rule(name: str, *rules: str) -> list[Wrong]:
    return ways(
        name, _recursions, *({"rule": rule, "level": level} for rule in rules for level in _LEVELS)
    )


def _alone(wrong: list[Wrong]) -> list[Wrong]:
    return [Wrong(one.name, one.judge, alone=True) for one in wrong]


def _steps(
    rows: Rows, c: Constants, *, x_root: Any = None, y_root: Any = None, units: bool = False
) -> Checks:
    """y_{t+1} = y_t − β_t u_t and x_{t+1} = x_t − α_t m_t."""
    m = rows.vec("momentum")
    m = unit(m, m.size) if units else m
    a, b = (_root(rows, c) if r is None else r(rows, c) for r in (x_root, y_root))
    return {
        "y": (
            rows.vec("y", 1),
            rows.vec("y") - (c["lower_step_size"] * b) * rows.vec("lower_momentum"),
        ),
        "x": (
            rows.vec("x", 1),
            rows.vec("x") - (c["upper_step_size"] * a) * m,
        ),
    }


def _older_steps(rows: Rows, c: Constants) -> Checks:
    """Along the momenta of the iteration before."""
    root = _root(rows, c)
    y = rows.vec("y") - (c["lower_step_size"] * root) * rows.vec("lower_momentum", -1)
    x = rows.vec("x") - (c["upper_step_size"] * root) * rows.vec("momentum", -1)
    return {"y": (rows.vec("y", 1), y), "x": (rows.vec("x", 1), x)}


def _lower_points(rows: Rows, c: Constants, old: tuple[int, int] = (-1, -1)) -> Checks:
    """∇_y G at (x_t, y_t) and at (x_{t−1}, y_{t−1})."""
    dx, dy = old
    return {
        "lower.x.0": (rows.item("lower.x", 0), rows.vec("x")),
        "lower.y.0": (rows.item("lower.y", 0), rows.vec("y")),
        "lower.x.1": (rows.item("lower.x", 1), later(rows, rows.vec("x", dx))),
        "lower.y.1": (rows.item("lower.y", 1), later(rows, rows.vec("y", dy))),
    }


def _pair(rows: Rows, c: Constants) -> Checks:
    below = [rows.sample("lower.sample", 0, i) for i in (0, 1)]
    return {
        "old.sample": same_sample(rows, "new", "old"),
        "lower.sample": holds(below[0] == below[1], (below[0] >= 0) & (below[1] >= 0)),
        "old.index": _same_index(rows, c),
    }


def _same_index(rows: Rows, c: Constants) -> np.ndarray:
    """Both points take the same power of the series: where each is told apart."""
    drawn = [_index(rows, side, c) for side in ("new", "old")]
    known = (drawn[0] >= 0) & (drawn[1] >= 0)
    return holds(drawn[0] == drawn[1], known & (rows.t > 0))


def _index(rows: Rows, side: str, c: Constants) -> np.ndarray:
    """The q of the randomised series: the one p_q whose multiple S is; −1 where none is."""
    if not np.isfinite(c["neumann_terms"]):
        return np.full(len(rows), -1)
    scale, left = c["_inverse_scale"], rows.vec(f"{side}.inverse")
    power, best = rows.vec(f"{side}.grad_y"), np.full(len(rows), -1)
    for q in range(int(c["neumann_terms"])):
        with np.errstate(all="ignore"):
            # any multiple: the factor is the series' own affair
            ratio = (left.p * power.p).sum(axis=1) / (power.p * power.p).sum(axis=1)
            gap = np.abs(left.p - ratio[:, None] * power.p).max(axis=1)
            near = gap <= 1e3 * c["_u"] * left.size
        best = np.where((best < 0) & near, q, best)
        argument = rows.item(f"{side}.power", q)
        argument = argument.where(argument.known, power)
        power = argument - scale * rows.item(f"{side}.product", q)
    return best


def _other_index(rows: Rows, c: Constants) -> Checks:
    """The indices differ in some iterations, being two draws."""
    checks = _pair(rows, c)
    ratio = checks["old.index"]
    return checks | {"old.index": np.where(np.isnan(ratio), np.nan, 0.0)}


def _other_sample(rows: Rows, c: Constants) -> Checks:
    """The samples differ, and so the indices may."""
    checks = _pair(rows, c)
    other = (checks["old.sample"] > 0) | (checks["lower.sample"] > 0)
    return {key: np.where(other, 0.0, ratio) for key, ratio in checks.items()}


_OLD_X, _OLD_Y = ("x", -1, "y", 0), ("x", 0, "y", -1)
_HERE = ("x", 0, "y", 0)

SUSTAIN = (
    start_group(None, size=lambda c: c["lower_step_size"] * c["offset"] ** (-1 / 3)),
    clock_group("SUSTAIN"),
    fresh_group(_SAMPLES),
    factors_group(("new", "old")),
    uses_group(("new",)),
    Group(
        "pair",
        "both points on the same sample, its random index included",
        _pair,
        (
            Wrong("different random index at the two points", _other_index),
            Wrong("different sample", _other_sample),
        ),
    ),
    Group(
        "lower points",
        _U,
        _lower_points,
        (
            *ways("old point at (x_{t−1}, y_t)", _lower_points, {"old": (-1, 0)}, {"old": (0, -1)}),
            *ways("old point copied after the step", _lower_points,
                  {"old": (0, 0)}, {"old": (0, -1)}, {"old": (-1, 0)}),
        ),
    ),
    points_group(
        _HERE,
        {},
        ("x", -1, "y", -1),
        {
            "old point at (x_{t−1}, y_t)": [_OLD_X, _OLD_Y],
            "old point copied after the step": [_HERE, _OLD_X, _OLD_Y],
        },
    ),
    second_group(_both),
    series_group(_both, "h_t with (Q/l) Π_{j=1..q} (I − ∇²_yy G/l), q uniform on {0..Q−1}",
                 "randomised", -1 / 3),
    Group("h", "h_t = ∇_x F − ∇²_xy G · inverse", *direct_mistakes(_both)),
    Group(
        "momentum",
        _U,
        _recursions,
        (
            *_alone(_rule("stale sample", "stale")),
            *_alone(_rule("no correction", "average", "heavy")),
            *_rule("correction without 1 − η", "undamped"),
            *_rule("η and 1−η swapped", "swapped"),
            *_rule("two-iterations-old momentum", "older"),
            *ways("sign of the implicit term", _recursions, {"sign": -1.0}),
            *ways("implicit term left out", _recursions, {"sign": 0.0}),
            *ways("upper gradient leaks", _recursions, {"leak": True}),
            *ways("hypergradient clipped", _recursions,
                  *({"clipped": (t, g)} for t in THRESHOLDS for g in GUARDS)),
            *_rule("momentum in the gradient's buffer", "buffer"),
            clamp(_recursions),
            *ways("one fixed step size", _recursions, {"root": _ROOTS["one fixed step size"]}),
            *ways("sizes of another iteration", _recursions,
                  {"root": lambda rows, c: _root(rows, c, 0)},
                  {"root": lambda rows, c: _root(rows, c, -2)}),
        ),
    ),
    Group(
        "step",
        "α_t = a (w+t)^{−1/3}, β_t = b (w+t)^{−1/3}",
        _steps,
        (
            *ways("one fixed step size", _steps,
                  {"x_root": _ROOTS["one fixed step size"],
                   "y_root": _ROOTS["one fixed step size"]},
                  {"x_root": _ROOTS["one fixed step size"]},
                  {"y_root": _ROOTS["one fixed step size"]}),
            *ways("sizes of another iteration", _steps,
                  {"x_root": lambda rows, c: _root(rows, c, 1),
                   "y_root": lambda rows, c: _root(rows, c, 1)},
                  {"x_root": lambda rows, c: _root(rows, c, -1),
                   "y_root": lambda rows, c: _root(rows, c, -1)}),
            on_ball("x projected", _steps, "x"),
            on_ball("y projected", _steps, "y"),
            *ways("x step normalised", _steps, {"units": True}),
*ways("two-iterations-old momentum", _older_steps, {}),
        ),
        {"x": "upper_step_size", "y": "lower_step_size"},
    ),
)  # fmt: skip
