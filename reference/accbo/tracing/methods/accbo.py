"""AccBO's equations (docs/specification.md §2) and its mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np

from accbo.tracing.methods import upper
from accbo.tracing.methods.group import Group, Wrong, ways
from accbo.tracing.methods.shared import (
    FROM_ZERO,
    GUARDS,
    THRESHOLDS,
    clamp,
    direct_mistakes,
    factors_group,
    fresh_group,
    gradient_slips,
    leaks,
    series_group,
    shortened,
    start_group,
    uses_group,
)
from accbo.tracing.parts import (
    Checks,
    Constants,
    elsewhere,
    estimate,
    holds,
    later,
    lower_steps,
    only_first,
    point,
    projected,
    recursion,
    same_sample,
    unit,
)
from accbo.tracing.rows import Rows, Vec, moved

_M = "m_t = h_t(x_t, ŷ_t) + β (m_{t−1} − h_t(x_{t−1}, ŷ_{t−1})), both on the same fresh sample"
_X = "x_{t+1} = x_t − η m_t/‖m_t‖, one norm over all of x"
_Z = "z_t = y_t + γ (y_t − y_{t−1}); y_{t+1} = z_t − α ∇_y G(x_t, z_t; π_t)"
_Y = "ŷ_{t+1} = (1 − τ) ŷ_t + τ y_{t+1}"
_H = "h_t = ∇_x F − ∇²_xy G · (1/l) Σ_{q=0..Q−1} Π_{j=1..q} (I − ∇²_yy G(ζ^{q,j})/l) · ∇_y F"
_II = "Option II: if t mod I = 0, restart the pair at (y_t, y_t) and do N steps; else y_{t+1} = y_t"


# --- the lower level ------------------------------------------------------------------------------


def _two(c: Constants) -> bool:
    return bool(np.isfinite(c["period"]))


def _refresh(rows: Rows, c: Constants, shift: int = 0, longer: int = 0) -> np.ndarray:
    if not _two(c):
        return np.ones(len(rows), bool)
    due: np.ndarray = (rows.t + shift) % max(1, int(c["period"]) + longer) == 0
    return due


def clock(rows: Rows, c: Constants, shift: int = 0, longer: int = 0, never: bool = False) -> Checks:
    """One lower step an iteration, or N where t mod I = 0 and none between."""
    steps = c["lower_steps"] if _two(c) else 1
    now = rows.t == 0 if never else _refresh(rows, c, shift, longer)
    wanted = np.where(now, steps, 0)
    judged = np.full(len(rows), rows.has("lower.gradient")) & np.isfinite(wanted)
    judged &= rows.acts
    return {"lower.steps": holds(rows.length("lower.gradient") == wanted, judged)}


def lower(
    rows: Rows,
    c: Constants,
    *,
    momentum: Any = None,
    at: str = "z",
    leak: Any = None,
    overwritten: bool = False,
    kept: bool = False,
    change: Any = None,
    base: Any = None,
    ball: bool = False,
    times: Any = None,
) -> Checks:
    """The gradient at z_t, and y_{t+1} after the steps of the iteration."""
    y, before = rows.vec("y"), rows.vec("y", -1)
    first = rows.t == 0
    previous = y if _two(c) or overwritten else y.where(first, before)
    if kept:
        previous = _last_inner(rows, c)
    gamma = c["lower_momentum"] if momentum is None else momentum(c)
    extra = leak(rows) if leak else None
    size = c["lower_step_size"] * (1.0 if times is None else times(c))
    checks, end = lower_steps(
        rows,
        y,
        previous,
        size,
        gamma,
        at=at,
        leak=extra,
        change=change,
        base=None if base is None else base(c),
    )
    if ball:
        end = projected(end, rows.vec("y", 1))
    count = rows.length("lower.gradient")
    idle = (count == 0) & rows.has("lower.gradient") & _two(c)
    right = end.where(count > 0, y.where(idle, rows.unknown()))
    for i in range(rows.longest("lower.x")):
        checks[f"lower.x.{i}"] = (rows.item("lower.x", i), rows.vec("x"))
    return checks | {"y": (rows.vec("y", 1), right)}


def _last_inner(rows: Rows, c: Constants) -> Vec:
    """The y before the last of the most recent inner loop, where a window shows it."""
    count = rows.length("lower.gradient")
    inner = rows.vec("y")  # N = 1: the pair was (y_t, y_t)
    for i in range(rows.longest("lower.gradient") - 1):
        step = rows.item("lower.y", i) - c["lower_step_size"] * rows.item("lower.gradient", i)
        inner = step.where(count == i + 2, inner)
    inner = inner.where(count > 0, rows.unknown())
    index = np.where(count > 0, np.arange(len(rows)), -1)
    last = moved(np.maximum.accumulate(index), -1, -1)
    found = Vec(inner.p[last], inner.size[last], inner.terms)
    found = found.where(last >= 0, rows.unknown())
    return found.where(rows.t > 0, rows.vec("y"))


def average(rows: Rows, c: Constants, weight: Any = None) -> Checks:
    """ŷ_{t+1} = (1 − τ) ŷ_t + τ y_{t+1}."""
    tau = c["averaging"] if weight is None else weight(c)
    right = (1 - tau) * rows.vec("y_average") + tau * rows.vec("y", 1)
    return {"y_average": (rows.vec("y_average", 1), right)}


# --- where h is taken -----------------------------------------------------------------------------


def _sides(rows: Rows) -> list[str]:
    first = [f"first.{i}" for i in range(64) if rows.has(f"first.{i}.grad_x")]
    return ["new", "old", *first]


def points(
    rows: Rows,
    c: Constants,
    *,
    new: str = "y_average",
    old: tuple[str, int, str, int] = ("x", -1, "y_average", -1),
) -> Checks:
    """Shifts are those of the simultaneous order; the sequential one is a ŷ later."""
    later_ = 1 if c.get("order") == "sequential" else 0
    x, y = rows.vec("x"), rows.vec(new, later_)
    x_name, x_shift, y_name, y_shift = old
    x_old, y_old = rows.vec(x_name, x_shift), rows.vec(y_name, y_shift + later_)
    checks = point(rows, "new", x, y) | point(rows, "old", later(rows, x_old), later(rows, y_old))
    for side in _sides(rows)[2:]:
        checks |= point(rows, side, only_first(rows, x), only_first(rows, y))
    return checks


def second(rows: Rows, c: Constants, *, cross: str = "here") -> Checks:
    """Both second derivatives are at the point of the first ones."""
    checks = Checks()
    later_ = 1 if c.get("order") == "sequential" else 0
    for side in _sides(rows):
        x, y = rows.vec(f"{side}.x"), rows.vec(f"{side}.y")
        checks |= elsewhere(rows, side, "hessian", x, y)
        if cross == "zero":
            y = rows.nothing()
        elif cross == "y":
            y = rows.vec("y", later_ - (side == "old"))
        elif cross == "new":
            x, y = rows.vec("new.x"), rows.vec("new.y")
        checks |= elsewhere(rows, side, "cross", x, y)
    return checks


# --- the momentum ---------------------------------------------------------------------------------


def momentum(
    rows: Rows,
    c: Constants,
    *,
    decay: Any = None,
    correction: Any = None,
    weight: Any = None,
    before: int = -1,
    stale: bool = False,
    units: bool = False,
    sign: float = 1.0,
    from_zero: bool = False,
    buffer: bool = False,
    clipped: tuple[float, float] | None = None,
) -> Checks:
    """m_t from h at both points, and m_0 as the mean of the first ones."""
    beta = c["momentum"] if decay is None else decay(c)
    new, old = estimate(rows, "new", sign=sign), estimate(rows, "old", sign=sign)
    if units:
        new, old = unit(new, rows.vec("new.h").size), unit(old, rows.vec("old.h").size)
    if clipped is not None:
        new = shortened(new, *clipped, rows.vec("new.h").size)
        old = shortened(old, *clipped, rows.vec("old.h").size)
    if stale:
        old = estimate(rows, "new", -1)
        changed = rows.sample("new.upper_sample") != rows.sample("new.upper_sample", -1)
        if from_zero:
            old = old.where(rows.t > 1, rows.nothing())
        elif rows.has("first.0.grad_x"):
            old = old.where(rows.t > 1, rows.vec("momentum", -1))
        old = old.where(changed, rows.unknown())
    checks = recursion(
        rows,
        "momentum",
        new,
        old,
        beta,
        before=before,
        correction=None if correction is None else correction(c),
        weight=1.0 if weight is None else weight(c),
    )
    if buffer:
        checks["momentum"] = (checks["momentum"][0], (1 + beta) * new - beta * old)
    if before == -2:
        left, right = checks["momentum"]
        checks["momentum"] = (later(rows, left, 2), right)
    if correction is not None and correction(c) == 0:
        right = (1.0 if weight is None else weight(c)) * new + beta * rows.vec("momentum", before)
        checks["momentum"] = (checks["momentum"][0], right)
    return checks | _first(rows, c, sign, clipped)


def _first(
    rows: Rows,
    c: Constants,
    sign: float = 1.0,
    clipped: tuple[float, float] | None = None,
    times: Any = None,
) -> Checks:
    """m_0."""
    sides = _sides(rows)[2:]
    if not sides:
        mean = estimate(rows, "new", sign=sign)
    else:
        found = [estimate(rows, side, sign=sign) for side in sides]
        mean = (1 / len(found)) * sum(found[1:], found[0])
    if clipped is not None:
        mean = shortened(mean, *clipped, rows.vec("new.h").size)
    if times is not None:
        mean = times(c) * mean
    return {"momentum.0": (only_first(rows, rows.vec("momentum")), only_first(rows, mean))}


def pair(rows: Rows, c: Constants) -> Checks:
    """Both points meet one sample; h at the old point is not the one of the iteration before."""
    return {"old.sample": same_sample(rows, "new", "old"), "old.h": _made_anew(rows, c)}


def _made_anew(rows: Rows, c: Constants) -> np.ndarray:
    """Where the samples are said to be others, h at (x_{t−1}, ŷ_{t−1}) is another number."""
    old, before = estimate(rows, "old"), estimate(rows, "new", -1)
    now, then = (rows.sample("new.upper_sample", shift) for shift in (0, -1))
    equal = np.abs(old.p - before.p).max(axis=1) <= 8 * c["_u"] * old.size
    judged = (now > 0) & (then > 0) & (now != then) & (old.size > 0) & before.known
    return holds(~equal, judged)


def _stale_pair(rows: Rows, c: Constants) -> Checks:
    return {
        "old.sample": _of_old(rows, same_sample(rows, "old", "new", -1)),
        "old.h": _turned(_made_anew(rows, c)),
    }


def _stored(rows: Rows, c: Constants) -> Checks:
    return {"old.h": _turned(_made_anew(rows, c))}


def _other_pair(rows: Rows, c: Constants) -> Checks:
    return {"old.sample": _turned(same_sample(rows, "new", "old"))}


def _turned(ratio: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(ratio), np.nan, np.where(ratio > 0, 0.0, np.inf))


def _of_old(rows: Rows, ratio: np.ndarray) -> np.ndarray:
    return np.where(rows.t >= 1, ratio, np.nan)


def _from_zero(rows: Rows, c: Constants, times: Any) -> Checks:
    return momentum(rows, c) | _first(rows, c, times=times)


_MOMENTUM = (
    Wrong("no correction", lambda rows, c: momentum(
        rows, c, correction=lambda c: 0.0, weight=lambda c: 1 - c["momentum"]), alone=True),
    Wrong("no correction", lambda rows, c: momentum(rows, c, correction=lambda c: 0.0), alone=True),
    Wrong("stale sample", lambda rows, c: momentum(rows, c, stale=True), alone=True),
    Wrong("stale sample", lambda rows, c: momentum(rows, c, stale=True, from_zero=True),
          alone=True),
    *ways("correction without β", momentum,
          {"decay": lambda c: 1.0}),
    *ways("β and 1−β swapped", momentum, {"decay": lambda c: 1 - c["momentum"]}),
    *ways("two-iterations-old momentum", momentum, {"before": -2}),
    *ways("samples normalised", momentum, {"units": True}),
    *ways("sign of the implicit term", momentum, {"sign": -1.0}),
    *ways("implicit term left out", momentum, {"sign": 0.0}),
    *ways("momentum in the gradient's buffer", momentum, {"buffer": True}),
    *ways("momentum from zero", _from_zero, *({"times": t} for t in FROM_ZERO)),
    *ways("hypergradient clipped", momentum,
          *({"clipped": (t, g)} for t in THRESHOLDS for g in GUARDS)),
    clamp(momentum),
)  # fmt: skip
_POINTS = (
    *ways("hypergradient at y", points, {"new": "y", "old": ("x", -1, "y", -1)}, {"new": "y"}),
    *ways("old point at (x_{t−1}, ŷ_t)", points, {"old": ("x", -1, "y_average", 0)}),
    *ways(
        "old point copied after the step",
        points,
        {"old": ("x", 0, "y_average", 0)},
        {"old": ("x", 0, "y_average", -1)},
    ),
)
# y + γ² (y − y_{t−1}) − (1 + γ) α ∇_y G(y), and z − (1 − γ) α ∇_y G
_PYTORCH: dict[str, Any] = {
    "at": "y",
    "base": lambda c: lambda y, previous: y + c["lower_momentum"] ** 2 * (y - previous),
    "times": lambda c: 1 + c["lower_momentum"],
}
_WEIGHTED: list[dict[str, Any]] = [
    {"at": at, "times": lambda c: 1 - c["lower_momentum"]} for at in ("y", "z")
]
_LOWER = (
    Wrong("gradient at y", lambda rows, c: lower(rows, c, at="y")),
    Wrong("y_{t−1} overwritten", lambda rows, c: lower(rows, c, overwritten=True)),
    Wrong("γ as 1−γ", lambda rows, c: lower(rows, c, momentum=lambda c: 1 - c["lower_momentum"])),
    Wrong("inner pair kept", lambda rows, c: lower(rows, c, kept=True)),
    *ways("upper gradient leaks", lower, *({"leak": one} for one in leaks())),
    *(
        wrong
        for name, changes in gradient_slips().items()
        for wrong in ways(name, lower, *({"change": change} for change in changes))
    ),
    *ways("y projected", lower, {"ball": True}),
    *ways("PyTorch's form of Nesterov", lower, _PYTORCH),
    *ways("velocity with 1 − γ", lower, *_WEIGHTED),
)

GROUPS = (
    start_group(
        "lower_momentum",
        {
            "y_{t−1} overwritten": {"gamma": lambda c: 0.0},
            "γ as 1−γ": {"gamma": lambda c: 1 - c["lower_momentum"]},
            "gradient at y": {"at": "y"},
            "PyTorch's form of Nesterov": _PYTORCH,
            "velocity with 1 − γ": _WEIGHTED[0],
        },
    ),
    Group(
        "clock",
        _II,
        clock,
        tuple(ways("period off by one", clock, *({"shift": s} for s in (1, -1)),
                   *({"longer": n} for n in (1, -1))))
        + tuple(ways("never refreshes", clock, {"never": True})),
    ),
    fresh_group(("new.upper_sample", "new.cross_sample", "new.hessian_sample", "lower.sample")),
    factors_group(("new", "old")),
    uses_group(("new",)),
    Group(
        "pair",
        _M,
        pair,
        (
            Wrong("stale sample", _stale_pair),
            Wrong("stale sample", _stored),
            Wrong("different sample", _other_pair),
        ),
    ),
    Group("lower", _Z, lower, _LOWER,
          {"y": "lower_step_size", "lower.y.0": "lower_momentum"}),
    Group(
        "average",
        _Y,
        average,
        (
            *ways("no averaging", average, {"weight": lambda c: 1.0}),
            *ways("τ and 1−τ swapped", average, {"weight": lambda c: 1 - c["averaging"]}),
        ),
        {"y_average": "averaging"},
    ),
    Group("points", _M, points, _POINTS),
    Group(
        "second derivatives",
        _H,
        second,
        tuple(
            ways(
                "cross derivative at the wrong point",
                second,
                *({"cross": one} for one in ("zero", "y", "new")),
            )
        ),
    ),
    series_group(_sides, _H),
    Group("h", _H, direct_mistakes(_sides)[0], direct_mistakes(_sides)[1]),
    Group("momentum", _M, momentum, _MOMENTUM, {"momentum": "momentum"}),
    Group(
        "step",
        _X,
        lambda rows, c: upper.normalised_step(
            rows, c, upper.of("momentum"), c["upper_step_size"]
        ),
        upper.wrong_steps(upper.of("momentum"), "momentum", upper.of("momentum", -1)),
        {"x": "upper_step_size"},
    ),
)  # fmt: skip
