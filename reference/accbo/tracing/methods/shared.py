"""Groups that several algorithms have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from accbo.tracing.methods.group import Group, Judge, Wrong, ways
from accbo.tracing.parts import (
    Checks,
    Constants,
    all_differ,
    clamped,
    conjugate,
    differ,
    difference,
    elsewhere,
    fresh,
    holds,
    later,
    lower_steps,
    only_first,
    point,
    projected,
    randomised,
    series,
)
from accbo.tracing.rows import Rows, Vec

Sides = Callable[[Rows], Sequence[str]]
Sized = Callable[[Rows, Constants], Any]  # a step size, of every iteration
Slip = tuple[str, Sized, Mapping[str, Any]]  # a mistake in it: its name, what it is, where else

# --- the start ------------------------------------------------------------------------------------


def start_group(
    momentum: str | None,
    more: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    size: Callable[[Constants], float] = lambda c: c["lower_step_size"],
) -> Group:
    """T0 lower steps from y as it was given, then y_0; judged on the line "start".

    ``more`` are mistakes in a lower step, which may be made here too.
    """

    def judge(
        rows: Rows,
        c: Constants,
        steps: Any = None,
        gamma: Any = None,
        at: str = "z",
        change: Any = None,
        base: Any = None,
        times: Any = None,
        ball: bool = False,
        last: bool = False,
    ) -> Checks:
        """Rows are the start and iteration 0."""
        wanted = c["warm_start"] if steps is None else steps
        declared = c[momentum] if momentum else 0.0
        y, gamma = rows.vec("y"), declared if gamma is None else gamma(c)
        sized = size(c) * (1.0 if times is None else times(c))
        based = None if base is None else base(c)
        checks, end = lower_steps(
            rows, y, y, sized, gamma, at=at, change=change, base=based, ball=ball
        )
        count = rows.length("lower.gradient")
        here = rows.t == -1
        judged = here & y.known & np.isfinite(wanted)
        right = end.where(count > 0, y)
        blank = np.where(here, 0.0, np.nan)
        after = rows.vec("y", 1)
        if ball or last:
            right = projected(right, after)
        checks = {
            f"start.{key}": (left, type(r)(r.p + blank[:, None], r.size + blank, r.terms))
            for key, (left, r) in checks.items()
        }
        return checks | {
            "start.steps": holds(count == wanted, judged),
            "start.y": (type(after)(after.p + blank[:, None], after.size + blank), right),
        }

    line = "start: T0 lower steps at x_0 from y as it was given, then y_0"
    wrong = [one for name, how in more.items() for one in ways(name, judge, how)]
    for name, changes in gradient_slips().items():
        wrong += ways(name, judge, *({"change": change} for change in changes))
    wrong += ways("y projected", judge, {"last": True}, {"ball": True})
    return Group("start", line, judge, (*ways("no warm start", judge, {"steps": 0}), *wrong))


# --- samples --------------------------------------------------------------------------------------


def fresh_group(paths: Sequence[str], name: str = "") -> Group:
    """Every iteration draws anew."""

    def judge(rows: Rows, c: Constants) -> Checks:
        longest = {path: max(rows.longest(path), 1) for path in paths}
        return {"fresh": fresh(rows, longest)}

    line = "every iteration is on samples of its own"
    wrong = (Wrong(name, lambda rows, c: _turned(judge(rows, c), "fresh")),) if name else ()
    return Group("fresh", line, judge, wrong, rare=True)


def factors_group(sides: Sequence[str]) -> Group:
    """A fresh Hessian sample for every factor of the series."""

    def factors(rows: Rows, c: Constants, side: str) -> list[np.ndarray]:
        """Of the products that are declared: one too many has its own name."""
        path, terms = f"{side}.hessian_sample", c["neumann_terms"]
        most = terms * (terms - 1) // 2 if c.get("neumann_sampling") == "independent" else terms - 1
        longest = rows.longest(path)
        return [
            rows.sample(path, 0, q)
            for q in range(int(min(longest, most)) if np.isfinite(most) else longest)
        ]

    def judge(rows: Rows, c: Constants) -> Checks:
        return {
            f"{side}.hessian_sample": all_differ(found)
            for side in sides
            if len(found := factors(rows, c, side)) > 1
        }

    def same(rows: Rows, c: Constants) -> Checks:
        checks = Checks()
        for side in sides:
            found = factors(rows, c, side)
            if len(found) > 1:
                equal = np.all([(one == found[0]) | (one < 0) for one in found], axis=0)
                checks[f"{side}.hessian_sample"] = holds(equal, (found[0] > 0) & (found[1] > 0))
        return checks

    line = "every factor of the series has a Hessian sample of its own"
    wrong = (Wrong("one sample for all factors", same), Wrong(_CONJUGATE, same, also="series"))
    return Group("factors", line, judge, wrong, rare=True)


def uses_group(
    sides: Sequence[str],
    more: Sequence[tuple[str, str, str]] = (),
    lower: str = "lower.sample",
    upper: str = "upper_sample",
) -> Group:
    """Different uses are on different samples: the lower step's is not the upper level's.

    ``more`` are (name of the mistake, one use, another).
    """

    def below(rows: Rows, side: str) -> list[np.ndarray]:
        names = (f"{side}.upper_sample", f"{side}.upper_y_sample")
        return [
            differ(rows.sample(lower, 0, i), rows.sample(name))
            for i in range(max(rows.longest(lower), 1))
            for name in names
        ]

    def judge(rows: Rows, c: Constants) -> Checks:
        checks = Checks()
        for side in sides:
            checks[f"{side}.lower_sample"] = _all(below(rows, side))
        for _, one, other in more:
            checks[f"{one} is not {other}"] = differ(rows.sample(one), rows.sample(other))
        return checks

    def turned(key: str) -> Callable[[Rows, Constants], Checks]:
        return lambda rows, c: _turned(judge(rows, c), key)

    wrong = [
        Wrong("upper batch reused below", turned(f"{side}.lower_sample")) for side in sides
    ] + [Wrong(name, turned(f"{one} is not {other}")) for name, one, other in more]
    line = "every use of a sample is on a sample of its own"
    return Group("uses", line, judge, tuple(wrong), rare=True, compared=2)


def _all(ratios: list[np.ndarray]) -> np.ndarray:
    """∞ where one is, NaN where all are."""
    table = np.stack(ratios)
    known = ~np.isnan(table)
    return np.where(known.any(axis=0), np.where(known, table, 0.0).max(axis=0), np.nan)


def _turned(checks: Checks, key: str) -> Checks:
    """Where ``key`` fails it is what the mistake makes of it; the others as they are."""
    ratio = checks[key]
    return {key: np.where(np.isnan(ratio), np.nan, np.where(ratio > 0, 0.0, np.inf))}


def on_ball(name: str, judge: Judge, key: str) -> Wrong:
    """A line whose result ``key`` is projected on a ball."""

    def judged(rows: Rows, c: Constants) -> Checks:
        checks = judge(rows, c)
        left, right = checks[key]
        return checks | {key: (left, projected(right, left))}

    return Wrong(name, judged)


# --- slips that every lower step can have ---------------------------------------------------------

DECAYS = (1e-4, 5e-4, 1e-3, 1e-5, 1e-2, 0.1)
THRESHOLDS = (1.0, 10.0, 5.0, 100.0, 0.5, 2.0, 0.1)
GUARDS = (0.0, 1e-6)  # clip_grad_norm_ of PyTorch multiplies by c/(‖g‖ + 1e-6)
BATCHES = (2, 3, 4, 5, 6, 8, 10, 12, 16, 32, 64, 100, 128, 256, 512, 1024)


_CONJUGATE = "conjugate gradients for the series"
FROM_ZERO = (lambda c: 1 - c["momentum"], lambda c: 0.0)  # what m_0 is of h_0


def shortened(v: Vec, threshold: float, guard: float, norm: Any = None) -> Vec:
    """v min(1, c/(‖v‖ + guard))."""
    return v * np.minimum(1.0, threshold / ((v.size if norm is None else norm) + guard))


def gradient_slips() -> dict[str, list[Callable[[Vec, Vec], Vec]]]:
    """What is done to a lower gradient: (gradient, point) to another."""
    return {
        "weight decay on y": [lambda g, y, a=a: g + a * y for a in DECAYS],  # type: ignore[misc]
        "lower gradient clipped": [
            lambda g, y, c=c, e=e: shortened(g, c, e)  # type: ignore[misc]
            for c in THRESHOLDS
            for e in GUARDS
        ],
        "sum for mean": [lambda g, y, n=n: float(n) * g for n in BATCHES],  # type: ignore[misc]
    }


# --- the series -----------------------------------------------------------------------------------


def series_group(
    sides: Sides,
    line: str,
    default: str = "chained",
    shrink: float | None = None,
    drawn: bool = True,
) -> Group:
    """The Neumann series in the declared sampling, ``default`` where none is declared.

    ``shrink`` is the exponent of the lower step size where that depends on t; ``drawn``: whether
    a random term of the series is among the algorithm's conventions.
    """

    def judge(rows: Rows, c: Constants, single_of: Any = None, **how: Any) -> Checks:
        sampling = c.get("neumann_sampling", default)
        checks = Checks()
        for side in sides(rows):
            if sampling == "randomised":
                checks |= randomised(rows, side, c, **how)
            else:
                checks |= series(rows, side, c, sampling, **how)
        return checks

    def chain(**how: Any) -> Any:
        def judged(rows: Rows, c: Constants) -> Checks:
            if c.get("neumann_sampling", default) == "randomised":
                return {}
            return judge(rows, c, **how)

        return judged

    def draw(how: Callable[[Constants], dict[str, Any]]) -> Any:
        def judged(rows: Rows, c: Constants) -> Checks:
            if c.get("neumann_sampling", default) != "randomised":
                return {}
            return judge(rows, c, **how(c))

        return judged

    def scale(c: Constants) -> float:
        return 1.0 / float(c["_inverse_scale"])

    def each(name: str, how: Callable[[Constants], dict[str, Any]]) -> Wrong:
        return Wrong(name, lambda rows, c: judge(rows, c, **how(c)))

    def last(scaled: bool) -> Any:
        def judged(rows: Rows, c: Constants) -> Checks:
            made = chain(last_only=True, outside=1.0 if scaled else scale(c))
            found: Checks = made(rows, c)
            return found

        return judged

    def lower_step(exponent: float | None) -> Any:
        """α, as it is at t, for 1/l."""

        def judged(rows: Rows, c: Constants) -> Checks:
            size = c["lower_step_size"]
            if exponent is not None:
                size = size * (c["offset"] + np.maximum(rows.t, 0)) ** exponent
            ratio = size * scale(c)
            return judge(rows, c, inside=ratio, outside=ratio)

        return judged

    def conjugates(rows: Rows, c: Constants) -> Checks:
        checks = Checks()
        for side in sides(rows):
            checks |= conjugate(rows, side, c)
        return checks

    def single(rows: Rows, c: Constants) -> Checks:
        """One term of the series without the factor Q, whichever it is in each iteration."""
        checks = Checks()
        for side in sides(rows):
            checks |= randomised(rows, side, c, factor=1.0, varies=True)
        return checks

    wrong = (
        Wrong("series from q = 1", chain(without_first=True)),
        Wrong("series from q = 1", draw(lambda c: {"least": 1})),
        Wrong("series from q = 1", draw(lambda c: {"least": 1, "zero": True})),
        Wrong("one term too few", chain(terms=-1)),
        Wrong("one term too few", draw(lambda c: {"factor": c["neumann_terms"] - 1})),
        Wrong("one term too many", chain(terms=1)),
        Wrong("one term too many", draw(lambda c: {"factor": c["neumann_terms"] + 1})),
        each("1/l missing", lambda c: {"outside": scale(c)}),
        each("1/l missing", lambda c: {"inside": scale(c)}),
        each("1/l missing", lambda c: {"inside": scale(c), "outside": scale(c)}),
        *([Wrong("random term without Q", single)] if drawn else []),
        each("sign of the implicit term", lambda c: {"sign": -1.0}),
        Wrong("only the last term of the series", last(scaled=True)),
        Wrong("only the last term of the series", last(scaled=False)),
        Wrong("only the last term of the series", draw(_last_drawn)),
        Wrong("series added up in place", chain(last_only=True, factor=2.0)),
        Wrong(_CONJUGATE, conjugates),
        Wrong("Hessian ignored", chain(single=0)),
        Wrong("Hessian ignored", draw(lambda c: {"factor": 1.0, "most": 1})),
        Wrong("series scaled by the lower step", lower_step(None)),
        Wrong("series scaled by the lower step", lower_step(shrink)),
    )
    return Group("series", line, judge, wrong, {"new.inverse": "_inverse_scale"})


def _last_drawn(c: Constants) -> dict[str, Any]:
    return {"factor": 1.0, "least": int(c["neumann_terms"]) - 1}


def direct_mistakes(sides: Sides) -> tuple[Any, tuple[Wrong, ...]]:
    """h = ∇_x F − ∇²_xy G · inverse, and the sign of it."""

    def judge(rows: Rows, c: Constants, sign: float = 1.0) -> Checks:
        checks = Checks()
        for side in sides(rows):
            checks |= difference(rows, side, sign)
        return checks

    return judge, tuple(ways("sign of the implicit term", judge, {"sign": -1.0}))


# --- lower levels, clocks and points of the algorithms beside AccBO -------------------------------


def clamp(judge: Judge) -> Wrong:
    """The entries of the momentum that ``judge`` makes are clamped."""
    return Wrong("momentum clamped", lambda rows, c: clamped(rows, judge(rows, c), c["_d_x"]))


def batches_group(line: str) -> Group:
    """Every inner step is on a batch of its own."""

    def judge(rows: Rows, c: Constants, same: bool = False) -> Checks:
        found = [rows.sample("lower.sample", 0, i) for i in range(rows.longest("lower.sample"))]
        checks = Checks()
        for i, one in enumerate(found[1:], 1):
            equal = one == found[0]
            judged = (one > 0) & (found[0] > 0)
            checks[f"lower.sample.{i}"] = holds(equal if same else ~equal, judged)
        return checks

    wrong = ways("one batch for all inner steps", judge, {"same": True})
    return Group("batches", line, judge, tuple(wrong), rare=True)


def clock_group(name: str) -> Group:
    """How many lower gradients an iteration takes."""

    def judge(
        rows: Rows,
        c: Constants,
        shift: int = 0,
        longer: int = 0,
        fewer: int = 0,
        never: bool = False,
    ) -> Checks:
        if name in ("SUSTAIN",):
            wanted = np.where(rows.t > 0, 2.0, 1.0)
        elif name == "BOREP":
            period = c["period"] if np.isfinite(c["period"]) else 1
            now = (rows.t + shift) % max(1, int(period) + longer) == 0
            now = rows.t == 0 if never else now
            wanted = np.where(now, c["lower_steps"] - fewer, 0)
        elif name == "StocBiO":
            wanted = np.full(len(rows), c["lower_steps"] - fewer)
        else:
            wanted = np.full(len(rows), 1.0)
        judged = rows.acts & rows.has("lower.gradient") & np.isfinite(wanted)
        return {"lower.steps": holds(rows.length("lower.gradient") == wanted, judged)}

    shifts = [{"shift": s} for s in (1, -1)] + [{"longer": n} for n in (1, -1)]
    wrong = (
        *ways("period off by one", judge, *shifts),
        *ways("one inner step too few", judge, {"fewer": 1}),
        *ways("never refreshes", judge, {"never": True}),
    )
    return Group("clock", "how many lower steps an iteration takes", judge, wrong)


def sgd_group(
    size: Sized = lambda rows, c: c["lower_step_size"],
    more: Sequence[Slip] = (),
    line: str = "y ← y − α ∇_y G(x_t, y; π)",
    later_x: str | None = None,
) -> Group:
    """Gradient steps on y at x_t; ``more`` are mistakes in their size."""

    def judge(
        rows: Rows,
        c: Constants,
        sized: Any = None,
        leak: Any = None,
        adds_up: bool = False,
        x_shift: int = 0,
        change: Any = None,
        ball: bool = False,
    ) -> Checks:
        y = rows.vec("y")
        step = size(rows, c) if sized is None else sized(rows, c)
        extra = leak(rows) if leak else None
        checks, end = lower_steps(
            rows, y, y, step, 0.0, leak=extra, adds_up=adds_up, change=change, ball=ball
        )
        if ball:
            end = projected(end, rows.vec("y", 1))
        idle = (rows.length("lower.gradient") == 0) & rows.has("lower.gradient") & rows.acts
        right = end.where(rows.length("lower.gradient") > 0, y.where(idle, rows.unknown()))
        for i in range(rows.longest("lower.x")):
            checks[f"lower.x.{i}"] = (rows.item("lower.x", i), rows.vec("x", x_shift))
        return checks | {"y": (rows.vec("y", 1), right)}

    wrong = [one for name, size_, how in more for one in ways(name, judge, {"sized": size_}, **how)]
    wrong += ways("upper gradient leaks", judge, *({"leak": one} for one in leaks()))
    wrong += ways("no zeroing between inner steps", judge, {"adds_up": True})
    wrong += ways("y projected", judge, {"ball": True})
    for name, changes in gradient_slips().items():
        wrong += ways(name, judge, *({"change": change} for change in changes))
    if later_x is not None:
        wrong += ways(later_x, judge, {"x_shift": 1})
    return Group("lower", line, judge, tuple(wrong), {"y": "lower_step_size"})


def leaks() -> list[Callable[[Rows], list[Vec]]]:
    """What ∇_y F may have been left in a lower gradient: of this iteration or the one before."""

    def here(rows: Rows) -> list[Vec]:
        return [rows.vec("new.grad_y")]

    def before(rows: Rows) -> list[Vec]:
        return [rows.vec("new.grad_y", -1).where(rows.t > 0, rows.nothing())]

    def stray(rows: Rows) -> list[Vec]:
        return [rows.item("stray", i) for i in range(max(rows.longest("stray"), 1))]

    def each(rows: Rows) -> list[Vec]:
        return [rows.vec("new.grad_y"), *stray(rows)]

    def stray_before(rows: Rows) -> list[Vec]:
        return [rows.last("stray", -1).where(rows.t > 0, rows.nothing())]

    return [here, before, stray, each, stray_before]


Place = tuple[str, int, str, int]  # a name of x and a shift, a name of y and a shift


def points_group(
    right: Place,
    wrong: Mapping[str, Place],
    old: Place | None = None,
    wrong_old: Mapping[str, Sequence[Place]] = MappingProxyType({}),
) -> Group:
    """Where the hypergradient is taken, and at the older point where there is one."""

    def judge(rows: Rows, c: Constants, new: Place = right, before: Place | None = old) -> Checks:
        x, dx, y, dy = new
        checks = point(rows, "new", rows.vec(x, dx), rows.vec(y, dy))
        for i in range(64):
            if not rows.has(f"first.{i}.x"):
                break
            checks |= point(
                rows,
                f"first.{i}",
                only_first(rows, rows.vec(x, dx)),
                only_first(rows, rows.vec(y, dy)),
            )
        if before is not None:
            x, dx, y, dy = before
            checks |= point(rows, "old", later(rows, rows.vec(x, dx)), later(rows, rows.vec(y, dy)))
        return checks

    found = [
        one
        for name, place in wrong.items()
        for one in ways(name, judge, {"new": place}, also="lower" if name == "y after x" else "")
    ]
    found += [
        one
        for name, places in wrong_old.items()
        for one in ways(name, judge, *({"before": place} for place in places))
    ]
    return Group("points", "where the hypergradient is taken", judge, tuple(found))


def second_group(sides: Sides) -> Group:
    """Both second derivatives are at the point of the first ones."""

    def judge(rows: Rows, c: Constants, zero: bool = False) -> Checks:
        checks = Checks()
        for side in sides(rows):
            x, y = rows.vec(f"{side}.x"), rows.vec(f"{side}.y")
            checks |= elsewhere(rows, side, "hessian", x, y)
            checks |= elsewhere(rows, side, "cross", x, rows.nothing() if zero else y)
        return checks

    wrong = ways("cross derivative at the wrong point", judge, {"zero": True})
    return Group("second derivatives", "all of h at one point", judge, tuple(wrong))
