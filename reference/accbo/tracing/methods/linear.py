"""SLIP, BO-REP and MA-SOBA: a linear system below, a moving average above (§5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from accbo.tracing.methods import upper
from accbo.tracing.methods.group import Group, Wrong, ways
from accbo.tracing.methods.shared import (
    FROM_ZERO,
    GUARDS,
    THRESHOLDS,
    batches_group,
    clamp,
    clock_group,
    direct_mistakes,
    fresh_group,
    on_ball,
    points_group,
    second_group,
    sgd_group,
    shortened,
    start_group,
    uses_group,
)
from accbo.tracing.parts import Checks, Constants, estimate, later, only_first, unit
from accbo.tracing.rows import Rows, Vec

_Z = "z_{t+1} = z_t − ν (∇²_yy G(x_t, y_t; ζ) z_t − ∇_y F(x_t, y_t; ξ'))"
_M = "m_t = β m_{t−1} + (1 − β) (∇_x F(x_t, y_t; ξ) − ∇²_xy G(x_t, y_t; ζ⁰) z_t)"
_X = "x_{t+1} = x_t − η m_t/‖m_t‖, one norm over all of x"
_OLD = "x_{t+1} = x_t − η h_t, the old average"


def sides(rows: Rows) -> list[str]:
    """The evaluations that are judged."""
    return ["new", *(f"first.{i}" for i in range(64) if rows.has(f"first.{i}.grad_x"))]


def system(
    rows: Rows,
    c: Constants,
    *,
    turned: float = 1.0,
    plus: float = 1.0,
    source: str = "new",
    identity: float | None = None,
) -> Checks:
    """The product is of z_t, and z_{t+1} = z_t − ν (H z_t − ∇_y F)."""
    z = rows.vec("z")
    product = rows.item(f"{source}.product", 0) if identity is None else identity * z
    move = product - plus * rows.vec(f"{source}.grad_y")
    return {
        "new.power": (rows.item("new.power", 0), z),
        "new.inverse": (rows.vec("new.inverse"), z),
        "z": (rows.vec("z", 1), z - (turned * c["linear_step_size"]) * move),
    }


def average(
    rows: Rows,
    c: Constants,
    *,
    decay: Any = None,
    weight: Any = None,
    before: int = -1,
    units: bool = False,
    sign: float = 1.0,
    source: str = "new",
    from_zero: bool = False,
    clipped: Any = None,
    times: Any = None,
) -> Checks:
    """m_t = β m_{t−1} + (1 − β) h_t, and m_0 = h_0 or the mean of the first ones."""
    beta = c["momentum"] if decay is None else decay(c)
    h = _latest(rows) if source == "other" else estimate(rows, source, sign=sign)
    if units:
        h = unit(h, rows.vec("new.h").size)
    if clipped is not None:
        h = shortened(h, clipped[0], clipped[1], rows.vec("new.h").size)
    old = rows.vec("momentum", before)
    if before == -2:
        first = rows.nothing() if from_zero else rows.vec("momentum", -1)
        old = old.where(rows.t > 1, first)
    right = beta * old + (1 - c["momentum"] if weight is None else weight(c)) * h
    start = estimate(rows, "new", sign=sign)
    found = [estimate(rows, side, sign=sign) for side in sides(rows)[1:]]
    if found:
        start = (1 / len(found)) * sum(found[1:], found[0])
    if clipped is not None:
        start = shortened(start, clipped[0], clipped[1], rows.vec("new.h").size)
    if times is not None:
        start = times(c) * start
    return {
        "momentum": (later(rows, rows.vec("momentum")), right),
        "momentum.0": (only_first(rows, rows.vec("momentum")), only_first(rows, start)),
    }


def _latest(rows: Rows) -> Vec:
    """h of the last evaluation beside, of two at most."""
    first, second = (estimate(rows, f"other.{i}") for i in (0, 1))
    return second.where(second.known, first)


def average_group() -> Group:
    """The moving average and its mistakes."""
    after = [{"source": source} for source in ("other.0", "other.1", "other")]
    return Group(
        "momentum",
        _M,
        average,
        (
            *ways("momentum weights swapped", average,
                  {"decay": lambda c: 1 - c["momentum"], "weight": lambda c: c["momentum"]}),
            *ways("new sample without 1 − β", average, {"weight": lambda c: 1.0}),
            *ways("no moving average", average,
                  {"decay": lambda c: 0.0, "weight": lambda c: 1.0}),
            *ways("samples normalised", average, {"units": True}),
            *ways("two-iterations-old momentum", average, {"before": -2},
                  {"before": -2, "from_zero": True}),
            *ways("sign of the implicit term", average, {"sign": -1.0}),
            *ways("implicit term left out", average, {"sign": 0.0}),
            *ways("momentum from zero", average, *({"times": t} for t in FROM_ZERO)),
            *ways("hypergradient clipped", average,
                  *({"clipped": (t, g)} for t in THRESHOLDS for g in GUARDS)),
            *ways("updates one after the other", average, *after),
            clamp(average),
        ),
        {"momentum": "momentum"},
    )  # fmt: skip


def system_group() -> Group:
    """The linear system and its mistakes."""
    others = [{"source": f"other.{i}"} for i in (0, 1)]
    return Group(
        "linear system",
        _Z,
        system,
        (
            *ways("z step with the wrong sign", system, {"turned": -1.0}, {"plus": -1.0}),
            *ways("z at the new point", system, *others),
            *(
                Wrong(
                    "Hessian ignored", lambda rows, c, i=i: system(rows, c, identity=i), alone=True
                )
                for i in (1.0, 0.0)
            ),
            *ways("updates one after the other", system, *others, also="momentum"),
        ),
        {"z": "linear_step_size"},
    )


def _old_direction(rows: Rows) -> tuple[Vec, np.ndarray]:
    """h_t, of the iteration before; h_0 = 0."""
    before = rows.vec("momentum", -1).where(rows.t > 0, rows.nothing())
    return before, before.size


def _plain(direction: upper.Direction) -> Callable[[Rows, Constants], Checks]:
    return lambda rows, c: upper.plain_step(rows, direction, c["upper_step_size"])


def _around(name: str, *more_groups: Group) -> tuple[Group, ...]:
    more = (("one upper sample for both derivatives", "new.upper_sample", "new.upper_y_sample"),)
    return (
        start_group(None),
        clock_group(name),
        fresh_group(
            (
                "new.upper_sample",
                "new.upper_y_sample",
                "new.cross_sample",
                "new.hessian_sample",
                "lower.sample",
            )
        ),
        *more_groups,
        uses_group(("new",), more),
        sgd_group(),
        points_group(("x", 0, "y", 0), {}),
        second_group(sides),
        system_group(),
        Group("h", _M, *direct_mistakes(sides)),
        average_group(),
    )


_NEW, _BEFORE = upper.of("momentum"), upper.of("momentum", -1)
_NORMALISED = Group(
    "step",
    _X,
    lambda rows, c: upper.normalised_step(rows, c, _NEW, c["upper_step_size"]),
    (*upper.wrong_steps(_NEW, "average", _BEFORE),),
    {"x": "upper_step_size"},
)
_PLAIN = Group(
    "step",
    _OLD,
    _plain(_old_direction),
    (
        Wrong("x moves with the new average", _plain(_NEW)),
        Wrong(
            "x step normalised",
            lambda rows, c: upper.normalised_step(rows, c, _old_direction, c["upper_step_size"]),
        ),
        Wrong("two-iterations-old momentum", _plain(upper.of("momentum", -2))),
        on_ball("x projected", _plain(_old_direction), "x"),
    ),
    {"x": "upper_step_size"},
)

SLIP = (*_around("SLIP"), _NORMALISED)
_BATCHES = batches_group("N steps y ← y − α ∇_y G(x_t, y; π), a fresh batch each")
BOREP = (*_around("BOREP", _BATCHES), _NORMALISED)
MASOBA = (*_around("MASOBA"), _PLAIN)
