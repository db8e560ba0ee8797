"""What set 2 adds: large and tiny F, far points, late iterations, other sizes, constants, terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from accbo.conformance.vectors.group import LARGE, SMALL, Group, accbo_with, problems, scale_of

NEW = 2  # the set that they are new in
_ORDERS = ("simultaneous", "sequential")
_LATE = (1_000, 1_000_000)
# none of them is a float32; the last is added to l
_LONG = {
    "lower_step_size": 0.1,
    "lower_momentum": 0.7,
    "averaging": 0.3,
    "momentum": 0.9,
    "upper_step_size": 0.01,
    "neumann_scale": 0.1,
}
_SIZE = "x_{t+1}: the step is η whatever the size of m"


# --- AccBO ----------------------------------------------------------------------------------


def reach() -> Iterator[Group]:
    """The groups of AccBO that are new in set 2."""
    parts = (_sizes, _far, _late, _shapes, _constants, _terms, _long)
    for part in parts:
        for group in part():
            yield dataclasses.replace(group, since=NEW)


def _sizes() -> Iterator[Group]:
    """F from 2^40 to a size at which squares overflow."""
    for number, order in enumerate(_ORDERS):
        for what, dtype in (("large", "float64"), ("vast", "float64"), ("huge", "float32")):
            name = f"nonquadratic/2x3 {what}"
            yield Group(
                slug=f"{what}-gradients-{order}",
                problem=name,
                algorithm=accbo_with(name, number + 1, order=order),
                count=4,
                dtype=dtype,
                fast=int(what != "large" and number == (what == "huge")),
                note=f"F is scaled by 2^{LARGE[what]}"
                + ("" if what == "large" else f": squares of m overflow in {dtype}"),
                line=_SIZE,
            )


def _far() -> Iterator[Group]:
    """Points far from 0: gradients beyond 10⁴ and 10⁸, iterates beyond 10² and 10⁴."""
    name = "relaxed_smooth/2x3"
    for distance, spread, size in ((9.0, 2.0**14, "10^4"), (16.0, 2.0**27, "10^8")):
        for number, order in enumerate(_ORDERS):
            yield Group(
                slug=f"steep-{size.replace('^', '-')}-{order}",
                problem=name,
                algorithm=accbo_with(name, number, order=order),
                count=3,
                far_x=distance,
                momentum=spread,
                fast=int(size == "10^4" and number == 0),
                note=f"the gradient of F is beyond {size}: nothing bounds it",
                line="m_t",
            )
    for name in ("quadratic/2x3", "nonquadratic/2x3", "relaxed_smooth/2x3"):
        for distance, size in ((160.0, "10^2"), (20000.0, "10^4")):
            above = 0.0 if name.startswith("relaxed") else distance
            yield Group(
                slug=f"far-{name.split('/')[0]}-{size.replace('^', '-')}",
                problem=name,
                algorithm=accbo_with(name, 2, order=_ORDERS[size == "10^4"]),
                count=4,
                far_x=above,
                far_y=distance,
                momentum=0.75 if above == 0 else distance,
                fast=int(name.startswith("quadratic")),
                note=f"{'y' if above == 0 else 'x and y'} beyond {size}: nothing is projected",
                line="x_{t+1}, y_{t+1}",
            )


def _late() -> Iterator[Group]:
    """Iterations that no trajectory reaches."""
    name = "nonquadratic/2x3"
    for number, order in enumerate(_ORDERS):
        yield Group(
            slug=f"late-{order}",
            problem=name,
            algorithm=accbo_with(name, number, order=order),
            count=4,
            iterations=_LATE,
            fast=number,
            note="nothing depends on t",
            line="iteration t",
        )
        yield Group(
            slug=f"late-option-ii-{order}",
            problem=name,
            algorithm=accbo_with(name, number, order=order, period=4, lower_steps=2),
            count=4,
            iterations=(1_000, 999_999, 1_000_000, 1_002),
            fast=1 - number,
            note="a refresh where 4 divides t",
            line="Option II",
        )


def _shapes() -> Iterator[Group]:
    """Equal sizes of x and y, one and many; several axes of replicates."""
    for number, kind in enumerate(("quadratic", "relaxed_smooth", "nonquadratic")):
        name = f"{kind}/5x5"
        yield Group(
            slug=name.replace("/", "-"),
            problem=name,
            algorithm=accbo_with(name, number, order=_ORDERS[number % 2]),
            count=4,
            fast=int(kind == "nonquadratic"),
            note="x and y are of one size: a transposed cross derivative has the right shape",
            line="h: ∇²_xy G",
        )
    for number, sampling in enumerate(("chained", "independent", "randomised")):
        name = "nonquadratic/33x17"
        yield Group(
            slug=f"nonquadratic-33x17-{sampling}",
            problem=name,
            algorithm=accbo_with(name, number, neumann_sampling=sampling),
            count=1,
            fast=int(sampling == "chained"),
            note="more entries than a register or an unrolled loop holds",
            line="m_t, x_{t+1}",
        )
    for number, name in enumerate(("finite_sum/1x1", "nonquadratic/2x3")):
        yield Group(
            slug=f"several-axes-{name.replace('/', '-')}",
            problem=name,
            algorithm=accbo_with(name, number, order=_ORDERS[number]),
            count=2,
            replicates=(2, 2),
            note="two axes of replicates",
            line="one norm per replicate",
        )


def _constants() -> Iterator[Group]:
    """Hyper-parameters that are no float32, one alone and all."""
    name = "nonquadratic/2x3"
    for number, order in enumerate(_ORDERS):
        for what, value in {**_LONG, "all": 0.0}.items():
            changes = dict(_LONG) if what == "all" else {what: value}
            if "neumann_scale" in changes:
                changes["neumann_scale"] += scale_of(problems()[name])
            yield Group(
                slug=f"long-{what.replace('_', '-')}-{order}",
                problem=name,
                algorithm=accbo_with(name, number, order=order, **changes),
                count=2,
                fast=int(what == "all" and number == 0),
                note="constants that single precision does not hold",
                line="every line, in double precision",
            )


def _terms() -> Iterator[Group]:
    """Twelve terms of the series."""
    name = "nonquadratic/2x3"
    for number, sampling in enumerate(("chained", "independent", "randomised")):
        yield Group(
            slug=f"twelve-terms-{sampling}",
            problem=name,
            algorithm=accbo_with(name, number, neumann_terms=12, neumann_sampling=sampling),
            count=3,
            fast=int(sampling == "chained"),
            note="beyond the eight terms of an unrolled loop",
            line="S",
        )


def _long() -> Iterator[Group]:
    """Runs of 200 iterations."""
    for number, (name, changes) in enumerate(
        (
            ("nonquadratic/2x3", {}),
            ("quadratic/2x3", {"order": "sequential", "period": 5, "lower_steps": 2}),
        )
    ):
        yield Group(
            slug=f"trajectory-{name.split('/')[0]}-200",
            problem=name,
            algorithm=accbo_with(name, number, **changes),
            count=1,
            kind="trajectory",
            steps=199,
            line="start; iteration t",
        )


# --- the others -----------------------------------------------------------------------------

With = Callable[..., Any]  # (problem, setting, **changes) to the algorithm


def method_reach(
    slug: str, names: tuple[str, ...], settings: Mapping[str, Any], build: With
) -> Iterator[Group]:
    """The groups of another algorithm that are new in set 2.

    ``names`` are the problems of its first set, ``settings`` hyper-parameters of it.
    """
    sums = all(name.startswith("finite_sum") for name in names)
    parts = (_others, _others_of_sums if sums else _others_of_noise, _others_by_constant)
    for part in parts:
        for group in part(slug, names[0], settings, build):
            yield dataclasses.replace(group, since=NEW)


def _others(slug: str, name: str, settings: Mapping[str, Any], build: With) -> Iterator[Group]:
    """Late iterations, float32, replicates, far points."""
    yield Group(
        slug=f"{slug}-late",
        problem=name,
        algorithm=build(name, 0),
        count=2,
        iterations=_LATE,
        fast=1,
        line="iteration t",
    )
    yield Group(
        slug=f"{slug}-float32",
        problem=name,
        algorithm=build(name, 1),
        count=2,
        dtype="float32",
        line="iteration t, in single precision",
    )
    yield Group(
        slug=f"{slug}-trajectory-float32",
        problem=name,
        algorithm=build(name, 1),
        count=1,
        dtype="float32",
        kind="trajectory",
        steps=4,
        warm_start=1,
        first=2,
        line="start; iteration t, in single precision",
    )
    for replicates, what in (((3,), "replicates"), ((2, 2), "several-axes")):
        yield Group(
            slug=f"{slug}-{what}",
            problem=name,
            algorithm=build(name, 0),
            count=1,
            replicates=replicates,
            line="iteration t",
            note="independent replicates, each on samples of its own",
        )
    distance = 40.0 if name.startswith("finite_sum") else 160.0
    yield Group(
        slug=f"{slug}-far",
        problem=name,
        algorithm=build(name, 1),
        count=2,
        far_x=distance,
        far_y=distance,
        fast=1,
        line="iteration t",
        note="nothing is projected",
    )


def _others_of_noise(
    slug: str, name: str, settings: Mapping[str, Any], build: With
) -> Iterator[Group]:
    """Steep, scaled and larger problems; few and many terms; a long run."""
    kind = name.split("/")[0]
    for distance, size in ((9.0, "10-4"), (16.0, "10-8")):
        # where a step's own x is looked at again, it must not go where sinh overflows
        near = {"upper_step_size": 2.0**-32} if slug == "vrbo" else {}
        yield Group(
            slug=f"{slug}-steep-{size}",
            problem="relaxed_smooth/2x3",
            algorithm=build("relaxed_smooth/2x3", 0, **near),
            count=1,
            iterations=(6,) if near else (5,),  # a refresh: else its v is a small difference
            far_x=distance,
            line="iteration t",
            note="the gradient of F is not bounded",
        )
    for what, dtype in (
        ("minute", "float64"),
        ("large", "float64"),
        ("vast", "float64"),
        ("tiny", "float32"),
        ("huge", "float32"),
    ):
        if slug == "vrbo" and what in LARGE:
            continue  # its differences are quadratic in F
        yield Group(
            slug=f"{slug}-{what}",
            problem=f"{kind}/2x3 {what}",
            algorithm=build(f"{kind}/2x3 {what}", 1),
            count=1,
            dtype=dtype,
            line="iteration t",
            note=f"F is scaled by 2^{ {**SMALL, **LARGE}[what] }",
        )
    for shape in ("1x1", "5x5", "33x17"):
        yield Group(
            slug=f"{slug}-{shape}",
            problem=f"{kind}/{shape}",
            algorithm=build(f"{kind}/{shape}", 0),
            count=1,
            line="iteration t",
        )
    if "neumann_terms" in settings:
        for terms in (1, 2, 12):
            yield Group(
                slug=f"{slug}-{terms}-terms",
                problem=name,
                algorithm=build(name, 1, neumann_terms=terms),
                count=2,
                line="S",
            )
    if slug in ("slip", "ttsa", "sustain"):
        yield Group(
            slug=f"{slug}-trajectory-200",
            problem=name,
            algorithm=build(name, 0),
            count=1,
            kind="trajectory",
            steps=199,
            warm_start=2,
            line="start; iteration t",
        )


def _others_of_sums(slug: str, _: str, settings: Mapping[str, Any], build: With) -> Iterator[Group]:
    """Sums of unequal lengths."""
    name = "finite_sum/2x3 terms, 8 of 5"
    for kind, count, steps in (("step", 4, 0), ("trajectory", 1, 6)):
        yield Group(
            slug=f"{slug}-8-of-5-{kind}",
            problem=name,
            algorithm=build(name, 0),
            count=count,
            kind=kind,
            steps=steps,
            iterations=(5, 6, 9, 12),
            fast=1,
            line="tables of n and m rows",
            note="eight terms below and five above",
        )


def _others_by_constant(
    slug: str, name: str, settings: Mapping[str, Any], build: With
) -> Iterator[Group]:
    """Hyper-parameters that are no float32, one alone."""
    for what in settings:
        if isinstance(settings[what], int):
            continue
        value = settings[what] + 0.1 * 2.0**-4
        yield Group(
            slug=f"{slug}-long-{what.replace('_', '-')}",
            problem=name,
            algorithm=build(name, 0, **{what: value}),
            count=1,
            line="every line, in double precision",
            note="a constant that single precision does not hold",
        )
    if "neumann_terms" in settings:
        scale = scale_of(problems()[name]) + 0.1
        yield Group(
            slug=f"{slug}-long-neumann-scale",
            problem=name,
            algorithm=build(name, 0, neumann_scale=scale),
            count=1,
            line="every line, in double precision",
            note="a constant that single precision does not hold",
        )
