"""AccBO's groups of vectors, each with a purpose.

A slug is never used twice, and a group that has been released never changes: what is added goes
into groups of its own, with the number of the set that they are new in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from accbo.conformance.vectors.group import BUILD, SMALL, Group, accbo_with
from accbo.conformance.vectors.reach import reach

# --- the set --------------------------------------------------------------------------------

_ALL = "m_t, x_{t+1}, y_{t+1}, ŷ_{t+1}"
SAMPLINGS = ("chained", "independent", "randomised")
ORDERS = ("simultaneous", "sequential")


def groups() -> list[Group]:
    """The set, newest last; a slug is never used twice and never changed."""
    parts = (_generic, _extreme, _special, _float32, _long, reach)
    return [dataclasses.replace(group, drawn=True) for part in parts for group in part()]


def _generic() -> Iterator[Group]:
    """Every sampling, order and option on every kind of problem."""
    number = 0
    for kind in (*BUILD, "finite_sum"):
        for order in ORDERS:
            for sampling in SAMPLINGS:
                name, number = f"{kind}/2x3", number + 1
                choice = {"order": order, "neumann_sampling": sampling}
                yield Group(
                    slug=f"{kind}-{order}-{sampling}",
                    problem=name,
                    algorithm=accbo_with(name, number, **choice),
                    count=8,
                    fast=number % 2,
                    line=_ALL,
                )
            restarted = accbo_with(name, number, order=order, period=3, lower_steps=2)
            yield Group(
                slug=f"{kind}-{order}-option-ii",
                problem=name,
                algorithm=restarted,
                count=6,
                fast=1,
                iterations=(6, 7, 8),
                line="Option II",
                note="iterations 6, 9, …: a refresh of two steps; the others: none",
            )
    shapes = ("quadratic/4x2", "relaxed_smooth/4x2", "nonquadratic/4x2", "nonquadratic/3x4")
    for name in (*shapes, "nonquadratic/8x10"):
        number += 1
        yield Group(
            slug=name.replace("/", "-"),
            problem=name,
            algorithm=accbo_with(name, number),
            count=5,
            fast=int(name.startswith("nonquadratic")),
            line="x_{t+1}: one norm over all of x",
        )
    for kind in BUILD:
        for shape in ("1x1", "1x3"):
            name, number = f"{kind}/{shape}", number + 1
            yield Group(
                slug=name.replace("/", "-"),
                problem=name,
                algorithm=accbo_with(name, number),
                count=4,
                fast=int(shape == "1x1"),
                note="in one dimension m/‖m‖ is a sign",
                line="x_{t+1}",
            )


def _extreme() -> Iterator[Group]:
    """One hyper-parameter at an end of its range."""
    name = "nonquadratic/2x3"
    ends: dict[str, dict[str, Any]] = {
        "beta-0": {"momentum": 0.0},
        "beta-near-1": {"momentum": 1 - 2.0**-10},
        "gamma-0": {"lower_momentum": 0.0},
        "gamma-near-1": {"lower_momentum": 1 - 2.0**-7},
        "tau-1": {"averaging": 1.0},
        "tau-small": {"averaging": 2.0**-7},
        "one-term": {"neumann_terms": 1},
        "two-terms": {"neumann_terms": 2},
        "eight-terms": {"neumann_terms": 8},
        "one-term-independent": {"neumann_terms": 1, "neumann_sampling": "independent"},
        "one-term-randomised": {"neumann_terms": 1, "neumann_sampling": "randomised"},
        "eight-terms-independent": {"neumann_terms": 8, "neumann_sampling": "independent"},
        "long-step": {"upper_step_size": 1.5},
        "short-step": {"upper_step_size": 2.0**-20},
    }
    for number, (what, changes) in enumerate(ends.items()):
        for order in ORDERS:
            yield Group(
                slug=f"{what}-{order}",
                problem=name,
                algorithm=accbo_with(name, number, order=order, **changes),
                count=5,
                fast=int(order == ORDERS[number % 2]),
                line="the ends of the ranges of β, γ, τ, Q and η",
            )


def _special() -> Iterator[Group]:
    """No noise, no momentum, small gradients, replicates."""
    quiet = "nonquadratic/2x3 without noise"
    for order in ORDERS:
        yield Group(
            slug=f"without-noise-{order}",
            problem=quiet,
            algorithm=accbo_with(quiet, 0, order=order),
            count=6,
            fast=1,
            note="a stale or different sample cannot be seen here",
            line="m_t",
        )
        yield Group(
            slug=f"no-momentum-{order}",
            problem="nonquadratic/2x3",
            algorithm=accbo_with("nonquadratic/2x3", 1, order=order),
            count=4,
            fast=1,
            where="no momentum yet",
            note="m_{t−1} = 0",
            line="m_t",
        )
        for what in ("small", "minute"):
            name = f"nonquadratic/2x3 {what}"
            yield Group(
                slug=f"{what}-gradients-{order}",
                problem=name,
                algorithm=accbo_with(name, 2, order=order),
                count=6,
                fast=2 if what == "minute" else 1,
                note=f"F is scaled by 2^{SMALL[what]}: the step is η all the same",
                line="x_{t+1}: any m that is not 0 moves x by η",
            )
    yield Group(
        slug="near-stationary",
        problem=quiet,
        algorithm=accbo_with(quiet, 3),
        count=6,
        fast=1,
        where="near a stationary point",
        note="‖m‖ is small, so that rounding in m turns the step: see the tolerances",
        line="x_{t+1}",
    )
    for number, kind in enumerate((*BUILD, "finite_sum")):
        name = f"{kind}/2x3"
        for sampling in SAMPLINGS:
            yield Group(
                slug=f"{kind}-{sampling}-replicates",
                problem=name,
                algorithm=accbo_with(name, 1, neumann_sampling=sampling),
                count=2,
                fast=int(sampling == SAMPLINGS[number % 3]),
                replicates=(3,),
                note="three independent replicates along a leading axis",
                line="one norm per replicate",
            )


def _float32() -> Iterator[Group]:
    """Inputs exact in float32, tolerances of float32."""
    for number, order in enumerate(ORDERS):
        for sampling in SAMPLINGS:
            name = "nonquadratic/2x3"
            yield Group(
                slug=f"float32-{order}-{sampling}",
                problem=name,
                algorithm=accbo_with(name, number, order=order, neumann_sampling=sampling),
                count=5,
                fast=int(sampling == SAMPLINGS[number]),
                dtype="float32",
                line=f"{_ALL}, in single precision",
            )
    for number, name in enumerate(
        ("quadratic/4x2", "relaxed_smooth/1x3", "finite_sum/3x2", "nonquadratic/2x3 tiny")
    ):
        yield Group(
            slug=f"float32-{name.replace('/', '-').replace(' ', '-')}",
            problem=name,
            algorithm=accbo_with(name, number),
            count=5,
            fast=int(number > 1),
            dtype="float32",
            line="x_{t+1}, in single precision",
            note="squares of m underflow in float32" if name.endswith("tiny") else "",
        )


def _long() -> Iterator[Group]:
    """Trajectories from y_init on: warm start, m_0, and faults with a memory."""
    names = [f"{kind}/2x3" for kind in (*BUILD, "finite_sum")]
    for number, name in enumerate(names):
        kind = name.split("/")[0]
        variants: dict[str, dict[str, Any]] = {
            "simultaneous": {},
            "sequential": {"order": "sequential"},
            "option-ii": {"period": 3, "lower_steps": 2},
            "option-ii-sequential": {"period": 2, "lower_steps": 3, "order": "sequential"},
            "independent": {"neumann_sampling": "independent"},
            "randomised": {"neumann_sampling": "randomised", "order": "sequential"},
        }
        for index, (what, changes) in enumerate(variants.items()):
            yield Group(
                slug=f"trajectory-{kind}-{what}",
                problem=name,
                algorithm=accbo_with(name, number + index, **changes),
                count=1,
                fast=int(index == number or what.startswith("option")),
                kind="trajectory",
                steps=7,
                first=1 + index % 2,
                line="start; iteration t",
            )
    for number, name in enumerate(names):
        kind = name.split("/")[0]
        yield Group(
            slug=f"trajectory-{kind}-float32",
            problem=name,
            algorithm=accbo_with(name, number),
            count=1,
            kind="trajectory",
            dtype="float32",
            steps=5,
            line="start; iteration t",
        )
    for order in ORDERS:
        minute = "nonquadratic/2x3 minute"
        yield Group(
            slug=f"trajectory-minute-{order}",
            problem=minute,
            algorithm=accbo_with(minute, 3, order=order),
            count=1,
            kind="trajectory",
            steps=5,
            note="squares of m underflow in every step",
            line="x_{t+1}: any m that is not 0 moves x by η",
        )
    yield Group(
        slug="trajectory-cold",
        problem="nonquadratic/2x3",
        algorithm=accbo_with("nonquadratic/2x3", 0),
        count=2,
        fast=1,
        kind="trajectory",
        steps=4,
        warm_start=0,
        line="start: T0 = 0 leaves y_init",
    )
    yield Group(
        slug="trajectory-without-noise",
        problem="nonquadratic/2x3 without noise",
        algorithm=accbo_with("nonquadratic/2x3 without noise", 0),
        count=1,
        kind="trajectory",
        steps=6,
        line="start; iteration t",
    )
    yield Group(
        slug="trajectory-replicates",
        problem="nonquadratic/2x3",
        algorithm=accbo_with("nonquadratic/2x3", 2),
        count=1,
        fast=1,
        kind="trajectory",
        replicates=(3,),
        steps=4,
        first=2,
        line="start; iteration t",
    )
    for name in ("relaxed_smooth/2x3", "nonquadratic/2x3"):
        yield Group(
            slug=f"trajectory-{name.split('/')[0]}-50",
            problem=name,
            algorithm=accbo_with(name, 1),
            count=1,
            kind="trajectory",
            steps=49,
            first=2,
            line="start; iteration t",
        )
