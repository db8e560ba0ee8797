"""The vectors that an algorithm gets without asking: a few trajectories and single steps.

As in ``groups``, a slug is never used twice and never changed once it is released.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from accbo import algorithms
from accbo.conformance.methods import METHODS
from accbo.conformance.vectors.group import Group, problems, scale_of
from accbo.conformance.vectors.reach import method_reach

STEPS = 6  # of a trajectory, iteration 0 not counted
# whose sizes, in set 1, were rounded to double precision: set 2 has other vectors in their place
ROUNDED_SIZES = ("TTSA", "SUSTAIN")


def standard_groups(method: str) -> list[Group]:
    """The groups of an algorithm, on the problems and with the settings of its row."""
    names, settings = METHODS[method].problems, METHODS[method].settings[0]
    build = functools.partial(_algorithm, method)
    return [*_groups(method), *method_reach(method.lower(), names, settings, build)]


def _algorithm(method: str, problem: str, setting: int, **changes: Any) -> Any:
    settings = METHODS[method].settings
    options = dict(settings[setting % len(settings)])
    if "neumann_terms" in options:
        options["neumann_scale"] = scale_of(problems()[problem])
    options |= changes
    return getattr(algorithms, method)(**options)


def _groups(method: str) -> Iterator[Group]:
    names = METHODS[method].problems
    slug, since = method.lower(), 1
    if method in ROUNDED_SIZES:
        slug, since = f"{slug}-exact", 2
    for number, name in enumerate(names):
        place = name.replace("/", "-").replace(" ", "-").replace("_", "-")
        yield Group(
            slug=f"{slug}-trajectory-{place}",
            problem=name,
            algorithm=_algorithm(method, name, number),
            count=1,
            fast=1,
            since=since,
            kind="trajectory",
            steps=STEPS,
            warm_start=2,
            first=1 + number % 2,
            line="start; iteration t",
        )
        yield Group(
            slug=f"{slug}-step-{place}",
            problem=name,
            algorithm=_algorithm(method, name, number + 1),
            # batches of indices alone can show that a level takes the other's
            count=4 if name.startswith("finite_sum") else 2,
            since=since,
            fast=1,
            iterations=(5, 6, 9, 12),
            line="iteration t",
        )
    yield Group(
        slug=f"{slug}-trajectory-replicates",
        problem=names[0],
        algorithm=_algorithm(method, names[0], 1),
        count=1,
        since=since,
        kind="trajectory",
        replicates=(2,),
        steps=STEPS - 2,
        warm_start=1,
        first=2,
        line="start; iteration t",
        note="two replicates, each on samples of its own",
    )
