"""Tracking of the lower level on a prescribed path, as equalities (SPEC 4.3, 4.12, 4.13).

Claim       (y_t, y_{t−1}, ŷ_t) is Gaussian with the mean and covariance of a linear recursion.
            Stationary, y lags by c[1 − (1 − αh)γ]/(αh) and ŷ by c(1 − τ)/τ more. With α = ε²,
            drift ε² and variance O(ε) the tracking error is O(ε); SGD's at equal α is O(1), and
            at ½√(α/μ) that of its y is that of SNAG's y. Without noise e_n = (1 + ns)(1 − s)^n e_0
            on the μ-eigenvector, so that ‖e_n‖² ≤ (1 − s)^n ‖e_0‖² is false. (1 − s)V_n − V_{n+1}
            is the sum of four terms, on any g and any gradient; for αl ≤ 1 none is negative, and at
            1.1 V may rise (where μ/l is small: 0.001 here, while at 0.1 no quadratic shows it).
Regime      AccBO's own steps on a path prescribed to x. Quadratic g, H diagonal or full, Gaussian
            noise, both orders and options; two-point noise too for the share of runs that stray.
            For V AccBO's own path, a g that is not quadratic and finite sums, with and without
            noise. The order changes only where h is taken, ŷ_t or ŷ_{t+1}: the path below is the
            same.
Statistic   mean and covariance of replicates at early and late t; the path without noise; the
            matrix of one step, and what it makes stationary; both sides of the equality of V;
            the share of runs whose ‖y* − ŷ_t‖ ever exceeds a bound that a simulation of the
            recursion exceeds with probability δ.
Rule        exact z and χ² tests (every entry of the covariance through Bartlett's
            decomposition), beta-binomial tests of the shares, rounding where nothing is random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import lower_decrease as decrease
from . import lower_paths as paths
from . import lower_share as share
from . import lower_steps as steps
from .harness import Outcome, Piece, Settings, save_records
from .lower_pictures import pictures
from .panels import Panel
from .statistics import Finding, power_of

NAME = "lower_tracking"
CLAIM = "y, ŷ follow their linear law; tracking is O(ε), SGD's O(1); V decreases by 1 − s"
IN_WORDS = "the lower level follows with a known law"
NOT_SHOWN = "the path that AccBO makes: y* is moved"
SOURCE = "SPEC 4.3, 4.12, 4.13"
EFFECT = (
    "a variance off by 10 % (in runs of every ε by a third), a lag by 0.033; of a full covariance "
    "one entry by 30 %, all by 12 %; noise-free, any"
)
KILLS = (
    "gradient at y",
    "y_{t−1} overwritten",
    "γ as 1−γ",
    "inner pair kept",
    "period off by one",
    "no warm start",
    "upper gradient leaks",
    "upper batch reused below",
    "no averaging",
    "τ and 1−τ swapped",
    "random term without Q",  # it draws a q, so that its samples are others
)
DESIGNATED = "gradient at y"
VARIATIONS = ()

REPLICATES = {"quick": 4_000, "full": 40_000}  # on every path
RUNS = {"quick": 500, "full": 4_000}  # of every rival at every ε
GROUP = 1_000
OFF, OFF_IN_RUNS, LAGGING = 0.1, 1 / 3, 0.033  # ``EFFECT``

Outcomes = dict[tuple[Any, ...], Outcome]


def pieces(settings: Settings) -> list[Piece]:
    """Paths with noise in groups of replicates; everything else once."""
    replicates, runs = REPLICATES[settings.profile], RUNS[settings.profile]
    firsts = range(0, replicates, GROUP)
    run_firsts = range(0, runs, GROUP)
    keys: list[tuple[tuple[Any, ...], float]] = [
        *((("noise", name, first), 0.1) for name in paths.PATHS for first in firsts),
        *((("trajectory", name), 0.01) for name in paths.PATHS),
        (("step",), 0.01),
        *((("scaling", name, power), 0.01) for name in steps.RIVALS for power in steps.FINE),
        *(
            (("rival", name, power, first), 0.001 * 4.0**-power)
            for name in steps.RIVALS
            for power in steps.EXPONENTS
            for first in run_firsts
        ),
        *((("eigenvector", number), 0.02) for number in range(len(decrease.RATES))),
        *((("contraction", length), 0.01) for length in decrease.LENGTHS),
        *((("identity", name), 0.05) for name in decrease.IDENTITIES),
        (("too long",), 0.01),
        *(
            (("share", name, source, first), cost)
            for name in share.WATCHED
            for source, cost, group, runs in (
                ("AccBO", 0.1, GROUP, replicates),
                ("recursion", 0.3, share.GROUP, share.SIMULATED[settings.profile]),
            )
            for first in range(0, runs, group)
        ),
    ]
    return [Piece(NAME, key, cost) for key, cost in keys]


def measure(settings: Settings, piece: Piece) -> Outcome:
    """What the kind of the piece, the first entry of its key, asks for."""
    kind, *rest = piece.key
    with np.errstate(all="ignore"):  # a fault may overflow; that fails, and no value is lost
        outcome = MEASURES[kind](settings, *rest)
    save_records(settings, piece, outcome)
    return outcome


def judge(settings: Settings, outcomes: Outcomes) -> list[Finding]:
    """Every kind of piece by its own law."""
    return [finding for kind in JUDGES for finding in judge_kind(settings, kind, outcomes)]


def judge_kind(settings: Settings, kind: str, outcomes: Outcomes) -> list[Finding]:
    """The findings on one kind of piece, in the order of ``pieces``."""
    with np.errstate(all="ignore"):
        return JUDGES[kind](_of_kind(settings, kind, outcomes))


def panels(settings: Settings, outcomes: Outcomes, findings: Sequence[Finding]) -> list[Panel]:
    """Lag, variance, orders in ε, decrease without noise, worst cases, the share of runs."""
    return pictures(lambda kind: _of_kind(settings, kind, outcomes))


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Against ``EFFECT``: of the variance or the lag that would see it the least."""
    effects = [(finding, _effect(finding)) for finding in findings if finding.interval is not None]
    powers = (power_of(finding, effect) for finding, effect in effects if effect is not None)
    return min(powers, default=0.0)


def _effect(finding: Finding) -> float | None:
    """What ``EFFECT`` means for a variance or a lag; None of another row."""
    if finding.quantity.startswith("Var"):
        return (OFF_IN_RUNS if "ε = " in finding.quantity else OFF) * finding.predicted
    return LAGGING if finding.quantity.startswith("y* −") else None


def _of_kind(settings: Settings, kind: str, outcomes: Outcomes) -> Outcomes:
    """The outcomes of one kind by the rest of their keys, whatever order they came in."""
    keys = (piece.key for piece in pieces(settings) if piece.key[0] == kind)
    return {key[1:]: outcomes[key] for key in keys}


# --- which measurement and which law belong to a kind of piece -----------------------------


def _noise(settings: Settings, name: str, first: int) -> Outcome:
    return paths.measure_noise(settings, name, first, GROUP)


def _share(settings: Settings, name: str, source: str, first: int) -> Outcome:
    if source == "AccBO":
        return share.measure_runs(settings, name, first, GROUP)
    return share.measure_recursion(settings, name, first)


def _scaling(settings: Settings, rival: str, power: int) -> Outcome:
    return steps.measure_step(settings, steps.lower_of(rival, 2.0**power))


def _rival(settings: Settings, rival: str, power: int, first: int) -> Outcome:
    runs = min(GROUP, RUNS[settings.profile] - first)
    return steps.measure_rival(settings, rival, power, first, runs)


def _eigenvector(settings: Settings, number: int) -> Outcome:
    return decrease.measure_eigenvector(settings, decrease.RATES[number])


MEASURES: dict[str, Callable[..., Outcome]] = {
    "noise": _noise,
    "trajectory": paths.measure_trajectory,
    "step": lambda settings: steps.measure_step(settings, steps.GENERIC),
    "scaling": _scaling,
    "rival": _rival,
    "eigenvector": _eigenvector,
    "contraction": decrease.measure_contraction,
    "identity": decrease.measure_identity,
    "too long": decrease.measure_too_long,
    "share": _share,
}


def _judge_noise(found: Outcomes) -> list[Finding]:
    findings = []
    for name in paths.PATHS:
        samples = paths.gathered(found, "samples", (name,), axis=1)
        findings += paths.judge_noise(name, samples)
    return findings


def _judge_rivals(found: Outcomes) -> list[Finding]:
    return [
        finding
        for name in steps.RIVALS
        for power in steps.EXPONENTS
        for finding in steps.judge_rival(name, power, paths.gathered(found, "error", (name, power)))
    ]


def _judge_share(found: Outcomes) -> list[Finding]:
    return [
        finding
        for name in share.WATCHED
        for finding in share.judge_shares(
            name,
            *(paths.gathered(found, "largest", (name, which)) for which in ("AccBO", "recursion")),
        )
    ]


def _judge_eigenvector(found: Outcomes) -> list[Finding]:
    return [
        finding
        for (number,), outcome in found.items()
        for finding in decrease.judge_eigenvector(decrease.RATES[number], outcome)
    ]


def _each(law: Callable[..., list[Finding]]) -> Callable[[Outcomes], list[Finding]]:
    """``law(*key, outcome)`` of every piece."""
    return lambda found: [f for key, outcome in found.items() for f in law(*key, outcome)]


JUDGES: dict[str, Callable[[Outcomes], list[Finding]]] = {
    "noise": _judge_noise,
    "trajectory": _each(paths.judge_trajectory),
    "step": _each(steps.judge_step),
    "scaling": steps.judge_scaling,
    "rival": _judge_rivals,
    "eigenvector": _judge_eigenvector,
    "contraction": _each(decrease.judge_contraction),
    "identity": _each(decrease.judge_identity),
    "too long": _each(decrease.judge_too_long),
    "share": _judge_share,
}
