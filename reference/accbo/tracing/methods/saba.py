"""SABA (§5): SAGA on five derivatives, the tables known by the row and the mean that were used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accbo.tracing.layout import TABLE_SPACES
from accbo.tracing.methods.group import Group, Wrong, ways
from accbo.tracing.methods.shared import (
    leaks,
    on_ball,
    points_group,
    second_group,
    start_group,
    uses_group,
)
from accbo.tracing.parts import Checks, Constants, holds, later
from accbo.tracing.rows import Rows, Vec

_S = "estimate = new − stored_i + mean; then mean += (new − stored_i)/n, stored_i := new"
_OLD = "all derivatives, and what the tables keep of them, are at the old (x_t, y_t, z_t)"

# a rule of SAGA: (new, stored, mean, mean after) to an estimate
Rule = Callable[[Rows, str, Vec, Vec, Vec, Vec], Vec]


def new_of(
    rows: Rows, name: str, shift: int = 0, side: str = "new", identity: float | None = None
) -> Vec:
    """The derivative of a term, as it was taken in an iteration; ``identity`` z for a product."""
    if name == "product" and identity is not None:
        return identity * rows.vec("z", shift)
    if name == "gradient":
        return rows.item("lower.gradient", 0, shift)
    if name == "product":
        return rows.item(f"{side}.product", 0, shift)
    return rows.vec(f"{side}.{name}", shift)


def sample_of(rows: Rows, name: str) -> np.ndarray:
    """The index that a table was read at."""
    if name in ("gradient", "product", "cross"):
        return rows.sample("lower.sample")
    return rows.sample("new.upper_sample")


def table(rows: Rows, c: Constants, name: str) -> tuple[Vec, Vec, Vec]:
    """The stored row, the mean, and the mean after it: as logged, or as the line makes it."""
    mean, stored = rows.vec(f"tables.{name}.mean"), rows.vec(f"tables.{name}.stored")
    after = rows.vec(f"tables.{name}.mean", 1)
    made = mean + (1 / _terms(c, name)) * (new_of(rows, name) - stored)
    return stored, mean, after.where(after.known, made)


def _terms(c: Constants, name: str) -> float:
    below = name in ("gradient", "product", "cross")
    return float(c["lower_terms" if below else "upper_terms"])


def _right(rows: Rows, name: str, new: Vec, stored: Vec, mean: Vec, after: Vec) -> Vec:
    estimate = new - stored + mean
    return estimate.where(rows.t > 0, after)  # iteration 0: the means of the full pass


def _previous(rows: Rows, name: str, new: Vec, stored: Vec, mean: Vec, after: Vec) -> Vec:
    seen = new_of(rows, name, -1)
    old = seen.where(rows.t > 1, mean)
    return (new - old + mean).where(rows.t > 0, after)


def _updated(rows: Rows, name: str, new: Vec, stored: Vec, mean: Vec, after: Vec) -> Vec:
    return after


def _new_mean(rows: Rows, name: str, new: Vec, stored: Vec, mean: Vec, after: Vec) -> Vec:
    return (new - stored + after).where(rows.t > 0, after)


def _no_mean(rows: Rows, name: str, new: Vec, stored: Vec, mean: Vec, after: Vec) -> Vec:
    return (new - stored).where(rows.t > 0, after)


def _sampled(*names: str) -> Rule:
    def rule(rows: Rows, name: str, new: Vec, stored: Vec, mean: Vec, after: Vec) -> Vec:
        right = _right(rows, name, new, stored, mean, after)
        return new.where(rows.t > 0, after) if name in names else right

    return rule


def _neighbour(rows: Rows, name: str, new: Vec, stored: Vec, mean: Vec, after: Vec) -> Vec:
    return (new - rows.vec(f"tables.{name}.other") + mean).where(rows.t > 0, after)


def _estimates(
    rows: Rows, c: Constants, rule: Rule, identity: float | None = None
) -> dict[str, Vec]:
    return {
        name: rule(rows, name, new_of(rows, name, identity=identity), *table(rows, c, name))
        for name in TABLE_SPACES
    }


def steps(
    rows: Rows,
    c: Constants,
    rule: Rule = _right,
    *,
    sign: float = 1.0,
    turned: float = 1.0,
    plus: float = 1.0,
    leak: object = None,
    empty: bool = False,
    z_side: str = "",
    identity: float | None = None,
    units: bool = False,
) -> Checks:
    """x, y and z from the estimates."""
    found = _estimates(rows, c, rule, identity)
    below = found["gradient"]
    if leak is not None:
        below = below + leak(rows)[0].where(rows.t > 0, rows.nothing())  # type: ignore[operator]
    system = found["product"] - plus * found["grad_y"]
    if z_side:
        stored = {name: table(rows, c, name) for name in ("product", "grad_y")}
        other = {
            name: new_of(rows, name, 0, z_side) - stored[name][0] + stored[name][1]
            for name in stored
        }
        moved_ = other["product"] - other["grad_y"]
        system = moved_.where(rows.t > 0, system)
    checks: Checks = {
        "y": (rows.vec("y", 1), rows.vec("y") - c["lower_step_size"] * below),
        "z": (rows.vec("z", 1), rows.vec("z") - (turned * c["linear_step_size"]) * system),
        "x": (
            rows.vec("x", 1),
            rows.vec("x") - c["upper_step_size"] * (found["grad_x"] - sign * found["cross"]),
        ),
    }
    if units:
        checks["x"] = _unit_step(rows, c, found["grad_x"] - found["cross"])
    if empty:
        nothing = holds(table(rows, c, "grad_x")[2].size == 0, rows.t == 0)
        return {key: np.where(rows.t == 0, nothing, np.nan) for key in checks}
    return checks


def _unit_step(rows: Rows, c: Constants, direction: Vec) -> tuple[Vec, Vec]:
    """A step of length η against ``direction``, whose norm no line says: it is fitted."""
    x, after, move = rows.vec("x"), rows.vec("x", 1), rows.vec("move").size
    factor = ((x.p - after.p) * direction.p).sum(axis=1) / (direction.p**2).sum(axis=1)
    eta = c["upper_step_size"]
    made = x - factor * direction
    return after, made.where((factor > 0) & (np.abs(move - eta) <= 1e-9 * eta), rows.unknown())


def means(
    rows: Rows, c: Constants, *, kept: bool = False, whole: bool = False, out: tuple[str, ...] = ()
) -> Checks:
    """mean += (new − stored)/n."""
    checks: Checks = {}
    for name in TABLE_SPACES:
        stored, mean, _ = table(rows, c, name)
        after, n = rows.vec(f"tables.{name}.mean", 1), _terms(c, name)
        change = new_of(rows, name) - stored
        right = mean if kept or name in out else mean + (1.0 if whole else 1 / n) * change
        checks[f"{name}.mean"] = (after, later(rows, right))
    return checks


def stored_rows(rows: Rows, c: Constants, *, first: bool = False, other: bool = False) -> Checks:
    """stored_i is what was seen at i last; judged where that lies in the window."""
    checks: Checks = {}
    for name in TABLE_SPACES:
        sample = sample_of(rows, name)
        last = _last_visit(sample)
        value = new_of(rows, name, 0, "other.0" if other else "new")
        if other and name == "gradient":
            value = rows.item("lower.gradient", 1)
        source = Vec(value.p[last], value.size[last], 1)
        if first:
            held = rows.vec(f"tables.{name}.stored")
            source = Vec(held.p[last], held.size[last], 1)
        known = (last >= 0) & (rows.t[last] > 0)
        checks[f"{name}.stored"] = (
            rows.vec(f"tables.{name}.stored"),
            source.where(known, rows.unknown()),
        )
    return checks


def _last_visit(sample: np.ndarray) -> np.ndarray:
    """The row before each in which the same sample was met, −1 where there is none."""
    seen: dict[int, int] = {}
    found = np.full(len(sample), -1)
    for row, number in enumerate(sample.tolist()):
        if number >= 0:
            found[row] = seen.get(number, -1)
            seen[number] = row
    return found


def _empty(rows: Rows, c: Constants) -> Checks:
    """Tables that are zero after the start."""
    checks: Checks = {}
    for name in ("gradient", "grad_y", "grad_x"):  # products of z_0 = 0 are nothing
        mean = rows.vec(f"tables.{name}.mean", 1)
        checks[f"{name}.start"] = holds(mean.size > 0, mean.known & (rows.t == 0))
    return checks


def _is_empty(rows: Rows, c: Constants) -> Checks:
    return {
        key: np.where(np.isnan(ratio), np.nan, np.where(ratio > 0, 0.0, np.inf))
        for key, ratio in _empty(rows, c).items()
    }


def _arguments(rows: Rows, c: Constants) -> Checks:
    z = rows.vec("z")
    return {
        "new.power": (rows.item("new.power", 0), z),
        "new.inverse": (rows.vec("new.inverse"), z),
        "lower.y": (rows.item("lower.y", 0), rows.vec("y")),
        "lower.x": (rows.item("lower.x", 0), rows.vec("x")),
    }


def _sides(rows: Rows) -> list[str]:
    return ["new"]


_SUMS = ("product", "cross")
_RULES: dict[str, list[Rule]] = {
    "control variate from another index": [_previous, _neighbour],
    "table updated before it is read": [_updated, _new_mean],
    "mean missing": [_no_mean],
    "product without its table": [_sampled(*names) for names in (_SUMS, _SUMS[:1], _SUMS[1:])],
}

SABA = (
    start_group(None),
    Group("tables' start", "start: one pass over both sums at x_0 fills the tables", _empty,
          (Wrong("tables start empty", _is_empty),)),
    uses_group(("new",)),
    Group("points of z and y", _OLD, _arguments),
    points_group(("x", 0, "y", 0), {}),
    second_group(_sides),
    Group(
        "stored rows",
        _S,
        stored_rows,
        (
            *ways("table row not stored", stored_rows, {"first": True}),
            *ways("tables never updated", stored_rows, {"first": True}, also="means"),
            *ways("tables at the new point", stored_rows, {"other": True}),
        ),
    ),
    Group(
        "means",
        _S,
        means,
        (
            *ways("table mean not updated", means, {"kept": True}),
            *ways("tables never updated", means, {"kept": True}, also="stored rows"),
            *ways("1/n missing in the mean", means, {"whole": True}),
            *ways("product without its table", means,
                  *({"out": names} for names in (_SUMS, _SUMS[:1], _SUMS[1:])), also="steps"),
        ),
    ),
    Group(
        "steps",
        _S,
        steps,
        (
            *(
                Wrong(name, lambda rows, c, rule=rule: steps(rows, c, rule))
                for name, rules in _RULES.items()
                for rule in rules
            ),
            *ways("z step with the wrong sign", steps, {"turned": -1.0}, {"plus": -1.0}),
            *ways("sign of the implicit term", steps, {"sign": -1.0}),
            *ways("implicit term left out", steps, {"sign": 0.0}),
            *(on_ball(f"{name} projected", steps, name) for name in ("x", "y")),
            *ways("z at the new point", steps, {"z_side": "other.0"}, {"z_side": "other.1"}),
            *ways("upper gradient leaks", steps, *({"leak": one} for one in leaks())),
            *ways("tables start empty", steps, {"empty": True}),
            *ways("x step normalised", steps, {"units": True}),
            *ways("Hessian ignored", steps, *({"identity": i} for i in (1.0, 0.0)), alone=True),
        ),
        {"x": "upper_step_size", "y": "lower_step_size", "z": "linear_step_size"},
    ),
)  # fmt: skip
