"""Strong convexity and Lipschitz constants of g and of realisations, from spectra."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from accbo.auditing.finding import FAILS, HOLDS, Finding, point_of
from accbo.auditing.growth import FAST, Ray, Trend, follow, steepest
from accbo.auditing.kinks import Jump
from accbo.auditing.lowest import Lowest
from accbo.auditing.oracle import (
    Draws,
    Normals,
    Oracle,
    Point,
    Points,
    one,
    unit,
)
from accbo.auditing.spectra import DENSE, Spectrum, flat, spectrum

DRAWS, FEW_DRAWS = 32, 4  # realisations a point, dense and not
STRETCH = 64.0  # of normal fields: "every realisation" includes their tails
GROWN = 1.5  # of a constant, by STRETCH
STEP = 1e-3  # of a difference that must pass for a derivative


class Seen(NamedTuple):
    """A spectrum, where it was found, and the sample or (None) the mean."""

    spectrum: Spectrum
    point: Point
    sample: Draws | None

    def named(self, oracle: Oracle) -> dict[str, Any]:
        """The point as a finding shows it."""
        return point_of(*self.point, oracle.seed, sample=self.sample)


class Curvature(NamedTuple):
    """What was found over all points: μ of the mean; l and l_g1 of it and of realisations."""

    mu: float
    largest: float
    l_g1: float


def of_means(oracle: Oracle, points: Points, normals: Normals) -> list[Seen]:
    """The spectra of the expectation."""
    return [Seen(spectrum(oracle, point, None, normals), point, None) for point in points]


def of_realisations(
    oracle: Oracle, points: Points, normals: Normals, stretch: float = 1.0
) -> list[Seen]:
    """The spectra of draws, every normal field ``stretch`` times as large as drawn."""
    count = DRAWS if oracle.sizes["y"] <= DENSE else FEW_DRAWS
    normal = {k for k, noise in oracle.fields("lower").items() if noise.law == "normal"}
    seen = []
    for index, point in enumerate(points):
        draws = oracle.draw("lower", count, stream=10 + index)
        far = {k: leaf * stretch if k in normal else leaf for k, leaf in draws.items()}
        for sample in (one(far, k) for k in range(count)):
            seen.append(Seen(spectrum(oracle, point, sample, normals), point, sample))
    return seen


def curvature(means: list[Seen], drawn: list[Seen]) -> Curvature:
    """The constants over all that was seen."""
    both = [seen.spectrum for seen in means + drawn]
    return Curvature(
        mu=min(seen.spectrum.smallest for seen in means),
        largest=max(spectrum.largest for spectrum in both),
        l_g1=max(spectrum.joint for spectrum in both),
    )


def lower_level(
    oracle: Oracle,
    means: list[Seen],
    drawn: list[Seen],
    all_rays: list[Ray],
    lowest: Lowest,
    jump: Jump | None,
    normals: Normals,
) -> list[Finding]:
    """Strong convexity of g and of realisations, and l_g1; ``all_rays`` lead far away.

    ``lowest`` is where λ_min was followed to, ``jump`` one of ∇_y g.
    """
    found = curvature(means, drawn)

    def joint(x: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
        return (spectrum(oracle, (x, y), None, normals).joint,)

    grown = [(ray, grew) for ray in all_rays for grew in follow(ray, joint)]
    near = min(means, key=lambda seen: seen.spectrum.smallest)
    verdict, at = HOLDS, None
    text = f"μ ≤ {found.mu:.4g}, and λ_min does not vanish {lowest.looked}"
    if found.mu <= flat(oracle) * found.largest:
        verdict, at = FAILS, near.named(oracle)
        text = f"λ_min(∇²_yy g) = {found.mu:.3g}, where λ_max is {near.spectrum.largest:.3g}"
    elif lowest.vanishes:
        verdict, at = FAILS, point_of(*lowest.point, oracle.seed)
        text = (
            f"λ_min(∇²_yy g) falls {lowest.how}, from {lowest.first:.3g} to {lowest.value:.1g} at "
            f"distance {lowest.distance:.4g}"
        )
    figures = {"mu": found.mu}
    claim = "g is μ-strongly convex in y"
    return [
        Finding("strong convexity", claim, "SPEC §1", verdict, text, figures, at, "lower"),
        _convex_realisations(oracle, drawn, found.largest),
        _lipschitz(oracle, means, drawn, steepest(grown), jump, normals),
    ]


def _convex_realisations(oracle: Oracle, drawn: list[Seen], largest: float) -> Finding:
    worst = min(drawn, key=lambda seen: seen.spectrum.smallest)
    least = worst.spectrum.smallest
    concave = least < -flat(oracle) * largest
    return Finding(
        "realisations convex",
        "∇²_yy G ≥ 0 for every realisation, so that no factor I − ∇²_yy G/l expands",
        "SPEC §2: l ≥ the largest curvature of a realisation",
        FAILS if concave else HOLDS,
        f"the least λ_min of {len(drawn)} realisations is {least:.4g}",
        {"mu_realisations": least},
        worst.named(oracle) if concave else None,
        "lower",
    )


def _lipschitz(
    oracle: Oracle,
    means: list[Seen],
    drawn: list[Seen],
    far: tuple[Ray, Trend],
    jump: Jump | None,
    normals: Normals,
) -> Finding:
    worst = max(means + drawn, key=lambda seen: seen.spectrum.joint)
    l_g1, largest = worst.spectrum.joint, max(seen.spectrum.largest for seen in means + drawn)
    cross = max(seen.spectrum.cross for seen in means + drawn)
    figures = {"l_g1": l_g1, "cross": cross, "curvature": largest, "exponent": far[1].exponent}
    text = f"l_g1 ≥ {l_g1:.4g}, ‖∇²_xy G‖ ≥ {cross:.4g}, λ_max of realisations {largest:.4g}"
    (ray, grew), verdict, at = far, HOLDS, None
    if jump is not None:
        verdict, at = FAILS, point_of(*jump.point, oracle.seed)
        text += f"; {jump.said}"
    elif grew.exponent > FAST:
        verdict, at = FAILS, point_of(*ray.at(grew.reach), oracle.seed)
        text += f"; on a ray the constant grows {grew.said()}"
    elif any(noise.law == "normal" for noise in oracle.fields("lower").values()):
        tails = of_realisations(oracle, [worst.point], normals, stretch=STRETCH)
        tail = max(tails, key=lambda seen: seen.spectrum.joint)
        if tail.spectrum.joint > GROWN * l_g1:
            verdict, at = FAILS, tail.named(oracle)
            text += (
                f"; but {tail.spectrum.joint:.4g} where normal fields are {STRETCH:g} times as "
                "large: no constant does for every realisation"
            )
    claim = "∇_y G is l_g1-Lipschitz jointly in (x, y), for every realisation"
    name = "Lipschitz lower gradient"
    return Finding(name, claim, "SPEC §1", verdict, text, figures, at, "lower")


def hessian_lipschitz(
    oracle: Oracle, points: Points, all_rays: list[Ray], jump: Jump | None, normals: Normals
) -> Finding:
    """l_g2 from within: difference quotients of products of the mean, near ``points`` and far.

    ``jump`` is one of ∇²_yy g.
    """

    def quotient(x: np.ndarray, y: np.ndarray, length: float = STEP) -> tuple[float]:
        step, v = length * unit(normals((x.size + y.size,))), unit(normals(y.shape))
        moved = x + step[: x.size], y + step[x.size :]
        found = 0.0
        for method in ("hvp_lower", "cross_lower"):
            here = oracle.mean(method, x, y, v)
            size = float(np.linalg.norm(oracle.mean(method, *moved, v) - here))
            # rounding of a difference must not pass for curvature
            if size > 1e4 * oracle.roundoff * float(np.linalg.norm(here)):
                found = max(found, size / length)
        return (found,)

    largest = max(quotient(*point, length)[0] for point in points for length in (STEP, 0.3))
    trends = [(ray, each) for ray in all_rays for each in follow(ray, quotient, envelope=True)]
    ray, grew = steepest(trends)
    text, verdict, at = f"l_g2 ≥ {largest:.4g} on pairs near the walk", HOLDS, None
    if jump is not None:
        verdict, at = FAILS, point_of(*jump.point, oracle.seed)
        text += f"; {jump.said}"
    elif grew.exponent > FAST:
        verdict, at = FAILS, point_of(*ray.at(grew.reach), oracle.seed)
        text += f"; on a ray it grows {grew.said()}"
    claim = "∇²_xy g and ∇²_yy g are l_g2-Lipschitz"
    figures = {"l_g2": largest, "exponent": grew.exponent}
    return Finding("Lipschitz Hessian", claim, "SPEC §1", verdict, text, figures, at, "lower")
