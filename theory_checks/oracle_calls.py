"""Oracle calls: where AccBO is cheaper than the moving average, and what makes it so (SPEC 4.6).

Claim       an iteration takes 2Q + 5 calls (chained series), Q(Q−1) + 7 (independent), N/I lower
            calls in Option II; SLIP's takes 5. So AccBO, ε⁻³ iterations, is cheaper than SLIP, ε⁻⁴,
            only below an accuracy ε*, and below it by ε*/ε times (calls an iteration at ε*)/(calls
            an iteration at ε). SGD at ½√(α/μ) matches Nesterov's step below to leading order.
Regime      SLIP is the rival of SPEC §5: moving average, linear-system iterate, one SGD step; each
            on its own schedule of ``accbo.schedules``, calls of warm start and m_0 included, a
            lower gradient of variance O(ε) counted as one call. Quadratic problem, eigenvalues of H
            from 1 to 4; the ablation where y* = x and y carries most of Φ, T = 2^10.
Statistic   calls of the run by kind, counted on one step of each kind; mean of ‖∇Φ(x_t)‖ over
            t ≥ T/2; a power law of T fitted to the replicates of all T; ε* is where calls against
            level cross. For the independent series, whose level is the chained one's, ε* lies far
            below any run: the fitted laws are extrapolated.
Rule        counts equal the formulas. Of two long runs AccBO's has the lower level at fewer calls.
            The ablation: what must be worse is. ε* and the ratios of calls at ε*/2 and ε*/4 are
            fits to a finite window, whose bias nothing bounds: shown, like the variants that the
            theory says nothing of, and the two that agree with AccBO to leading order only, SGD at
            ½√(α/μ) (``lower_tracking`` has both exactly) and independent factors.

Answer      Why is the observed speed-up smaller than the theoretical one? The ratio of iterations
            grows as 1/ε, but an iteration of AccBO costs (2Q + 5)/5 times SLIP's, so that it starts
            to pay only at ε*. Below, Q grows with log 1/ε and takes back part of every gain: the
            ratios at ε*/2 and ε*/4 stay below 2 and 4, the more so for independent factors. If the
            lower level's small variance has to be bought with minibatches, less is left. Of the
            design choices only the recursive momentum buys the rate: variants without it are
            several times worse. Nesterov's step, averaging and normalisation change the level by
            about a factor of two at most on this smooth problem, and leaving them out can even
            lower it: they are for worse problems (``unbounded_smoothness``). What mistakes in
            published code cost comes on top.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from accbo import Tape, move, run
from accbo._arrays import asarray, norm, to_host
from accbo.problems import Quadratic
from accbo.schedules import Schedule

from . import crossover
from .backends import like
from .crossover import Cost, Method
from .harness import Outcome, Piece, Settings, run_checkpoint, save_records
from .oracle_ablation import ABLATION, WORSE, judge_ablation, one_choice
from .oracle_counts import COUNTED, SAMPLINGS, calls_of_runs, counts, judge_counts
from .oracle_instances import (
    DIMENSION,
    ablation_problem,
    crossing_problem,
    schedule_of,
    starting_points,
)
from .panels import Curve, Panel
from .statistics import Finding, at_least, half_width, relative_error, shown

NAME = "oracle_calls"
CLAIM = "AccBO takes 2Q + 5 calls an iteration, SLIP 5: cheaper below ε*, by about ε*/ε"
IN_WORDS = "a step takes 2Q + 5 calls; in the end it pays"
NOT_SHOWN = "where ε* lies: that is a fit to one window"
SOURCE = "SPEC 4.6"
EFFECT = "one oracle call more or fewer in an iteration, a warm start or iteration 0"
KILLS = (
    # by the counts
    "stale sample",
    "no correction",
    "one term too few",
    "one term too many",
    "no warm start",
    "period off by one",
    "random term without Q",
    # by the variants that must be worse
    "different sample",
    "correction without β",
    "old point at (x_{t−1}, ŷ_t)",
    "old point copied after the step",
    "upper gradient leaks",
    "series from q = 1",
    "1/l missing",
    "sign of the implicit term",
    # by the longest runs
    "two-iterations-old momentum",
    "samples normalised",
)
DESIGNATED = "different sample"
VARIATIONS = ()

RECORDS = 1024  # states looked at in a run
GROUP = 512

# log2 T: replicates
LADDERS = {
    "quick": {
        "AccBO": {5: 1024, 6: 1024, 7: 1024, 8: 512, 9: 512, 10: 512, 11: 256},
        "SLIP": {6: 1024, 8: 1024, 10: 512, 12: 256, 14: 64},
    },
    "full": {
        "AccBO": {k: max(64, 4096 >> max(0, k - 9)) for k in range(5, 16)},
        "SLIP": {k: max(64, 4096 >> max(0, k - 9)) for k in range(6, 19)},
    },
}
EXPONENTS = {"AccBO": -1 / 3, "SLIP": -1 / 4}
ABLATION_POWER = 10
ABLATION_REPLICATES = {"quick": 64, "full": 512}


# --- pieces ----------------------------------------------------------------------------------


def pieces(settings: Settings) -> list[Piece]:
    """The counts, every method at every T in groups of replicates, and the ablation."""
    found = [Piece(NAME, ("counts",), 0.1), Piece(NAME, ("calls",), 1.0)]
    for method, ladder in LADDERS[settings.profile].items():
        for power, replicates in ladder.items():
            size = _group_size(replicates)
            found += [
                Piece(NAME, ("level", method, power, group), 2.0**power * (30 + size) / 1e6)
                for group in range(replicates // size)
            ]
    names = ["AccBO", *ABLATION]
    if settings.fault is not None:  # what is only shown says nothing about a fault
        names = ["AccBO", *WORSE]
    return found + [Piece(NAME, ("ablation", name), 0.4) for name in names]


def _group_size(replicates: int) -> int:
    return min(replicates, GROUP)


def measure(settings: Settings, piece: Piece) -> Outcome:
    """One piece; what no fault touches is the same for every fault and kept between them."""
    touched = piece.key[0] in ("counts", "calls") or "AccBO" in piece.key
    if settings.fault is not None and not touched:
        return _rival(dataclasses.replace(settings, fault=None), piece)
    return _measure(settings, piece)


@functools.lru_cache(maxsize=128)
def _rival(settings: Settings, piece: Piece) -> Outcome:
    return _measure(settings, piece)


def _measure(settings: Settings, piece: Piece) -> Outcome:
    kind, *rest = piece.key
    if kind == "counts":
        return {"counted": np.array(counts(settings))}
    if kind == "calls":
        return calls_of_runs(settings)
    if kind == "ablation":
        return _ablation(settings, piece, *rest)
    return _level(settings, piece, *rest)


def _level(settings: Settings, piece: Piece, method: str, power: int, group: int) -> Outcome:
    """The level of each replicate of one group."""
    problem = crossing_problem()
    schedule = schedule_of(method, problem, 2**power)
    algorithm: Any = schedule.algorithm
    if method == "AccBO":
        algorithm = settings.apply_fault(algorithm)
    size = _group_size(LADDERS[settings.profile][method][power])
    number = list(EXPONENTS).index(method)
    seed = (settings.seed * 2 + number) * 64 + power
    level = _run(settings, piece, problem, algorithm, schedule, size, (seed, group * size))
    return {"level": level}


def _ablation(settings: Settings, piece: Piece, name: str) -> Outcome:
    """The level of each replicate, on the same noise for every variant."""
    problem = ablation_problem()
    schedule = schedule_of("AccBO", problem, 2**ABLATION_POWER)
    algorithm: Any = schedule.algorithm
    algorithm = settings.apply_fault(algorithm) if name == "AccBO" else ABLATION[name](algorithm)
    size = ABLATION_REPLICATES[settings.profile]
    seed = settings.seed * 128 + 127  # of no level
    return {"level": _run(settings, piece, problem, algorithm, schedule, size, (seed, 0))}


def _run(
    settings: Settings,
    piece: Piece,
    host: Quadratic,
    algorithm: Any,
    schedule: Schedule[Any],
    replicates: int,
    noise: tuple[int, int],
) -> np.ndarray:
    """Mean of ‖∇Φ(x_t)‖ over t ≥ T/2 per replicate; ``noise`` is seed and first replicate."""
    seed, first_replicate = noise
    here = like(settings.backend)
    problem = move(host, here)
    x = starting_points(host, replicates, seed * 64 + first_replicate // replicates)
    result = run(
        algorithm,
        problem,
        asarray(x, here),
        asarray(np.zeros((replicates, DIMENSION)), here),
        steps=schedule.steps,
        noise=Tape(seed, lower_scale=schedule.lower_scale, first_replicate=first_replicate),
        warm_start=schedule.warm_start,
        first=schedule.first,
        record={"gradient": lambda state: norm(problem.hypergradient(state.x))},
        every=max(1, schedule.steps // RECORDS),
        checkpoint=run_checkpoint(settings, piece),
    )
    curve = to_host(result.records["gradient"])
    save_records(settings, piece, {"gradient": curve, "iteration": result.iterations})
    return np.mean(curve[result.iterations >= schedule.steps // 2], axis=0)


# --- verdict ---------------------------------------------------------------------------------


def judge(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """Counts, crossovers, ablation."""
    crossovers = [
        finding
        for sampling in SAMPLINGS
        for finding in judge_crossover(settings, outcomes, sampling)
    ]
    return [
        *judge_counts(outcomes[("counts",)]["counted"]),
        judge_cheaper(settings, outcomes),
        *crossovers,
        *judge_ablation(_ablated(outcomes)),
    ]


def judge_cheaper(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> Finding:
    """SLIP's longest run against the longest of AccBO's, chained, that takes no more calls.

    Levels and calls as they are, nothing fitted.
    """
    slip = _runs(settings, outcomes, "SLIP")[-1]
    mine = [run for run in _runs(settings, outcomes, "AccBO") if run.calls <= slip.calls][-1]
    quantity = f"level, SLIP 2^{slip.power} / AccBO 2^{mine.power}, fewer calls"
    ratio = slip.level / mine.level
    return at_least(quantity, 1.0, ratio, ratio * math.hypot(slip.error, mine.error))


class _Run(NamedTuple):
    """Runs of one length: calls of each, log2 T, mean level and its relative error."""

    calls: float
    power: int
    level: float
    error: float


def _runs(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome], method: str) -> list[_Run]:
    """Every length of the ladder, ascending."""
    calls = outcomes[("calls",)]["SLIP" if method == "SLIP" else "chained"]
    return [
        _Run(
            float(calls[COUNTED[method].index(power)]),
            power,
            float(np.mean(values)),
            relative_error(values),
        )
        for power, values in sorted(_samples(settings, outcomes, method).items())
    ]


def judge_crossover(
    settings: Settings, outcomes: dict[tuple[Any, ...], Outcome], sampling: str
) -> list[Finding]:
    """ε* and the ratios below it where the fitted laws of both methods cross: shown.

    Fits to a finite window, whose bias nothing bounds; ``judge_cheaper`` judges what is claimed.
    """
    pair, deviations = _pair(settings, outcomes, sampling)
    quantities = [
        f"ε* of the fits, {sampling}",
        *(f"calls SLIP/AccBO at ε*/{factor:g}, {sampling}" for factor in crossover.FACTORS),
    ]
    found = _fitted(quantities, crossover.comparison, pair, deviations)
    if sampling == "chained":
        dearer = functools.partial(crossover.comparison, dearer=_cost(outcomes, "paid"))
        quantities = [f"{quantity}, batches paid" for quantity in quantities]
        found += _fitted(quantities, dearer, pair, deviations)[1:]
    return found


def _fitted(
    quantities: Sequence[str],
    comparison: Callable[..., np.ndarray],
    pair: tuple[Method, Method],
    deviations: tuple[np.ndarray, np.ndarray],
) -> list[Finding]:
    values, errors = comparison(*pair), crossover.errors(comparison, *pair, deviations)
    with np.errstate(over="ignore"):  # a fault's laws may cross nowhere near
        ends = np.exp([values - half_width() * errors, values + half_width() * errors]).T
        return [
            shown(quantity, float(np.exp(value)), (low, high))
            for quantity, value, (low, high) in zip(quantities, values, ends, strict=True)
        ]


def _pair(
    settings: Settings, outcomes: dict[tuple[Any, ...], Outcome], sampling: str
) -> tuple[tuple[Method, Method], tuple[np.ndarray, np.ndarray]]:
    """AccBO and SLIP, and the standard errors of their log levels."""
    found = []
    for method, cost in (("AccBO", sampling), ("SLIP", "SLIP")):
        samples = _samples(settings, outcomes, method)
        known = Method(
            math.log(2.0) * np.array(list(samples)),
            np.log([np.mean(values) for values in samples.values()]),
            _cost(outcomes, cost),
            EXPONENTS[method],
        )
        deviations = np.array([relative_error(values) for values in samples.values()])
        found.append((known, deviations))
    (one, first), (other, second) = found
    return (one, other), (first, second)


def _samples(
    settings: Settings, outcomes: dict[tuple[Any, ...], Outcome], method: str
) -> dict[int, np.ndarray]:
    """The levels of all replicates, by log2 T."""
    return {
        power: np.concatenate(
            [outcomes[key]["level"] for key in sorted(_keys(outcomes, method, power))]
        )
        for power in LADDERS[settings.profile][method]
    }


def _keys(outcomes: dict[tuple[Any, ...], Outcome], method: str, power: int) -> list[Any]:
    return [key for key in outcomes if key[:3] == ("level", method, power)]


def _cost(outcomes: dict[tuple[Any, ...], Outcome], name: str) -> Cost:
    method = "SLIP" if name == "SLIP" else "AccBO"
    steps = [2**power for power in COUNTED[method]]
    return crossover.cost_of(steps, outcomes[("calls",)][name], smooth=method == "AccBO")


def _ablated(outcomes: dict[tuple[Any, ...], Outcome]) -> dict[str, np.ndarray]:
    """The levels of the ablation, by variant."""
    return {key[1]: found["level"] for key, found in outcomes.items() if key[0] == "ablation"}


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Against ``EFFECT``: counts are equalities without chance."""
    return 1.0


# --- pictures --------------------------------------------------------------------------------


def panels(
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    findings: Sequence[Finding],
) -> list[Panel]:
    """Level against calls, the gain below ε*, and the ablation."""
    return [
        Panel(
            "Accuracy against oracle calls",
            "Points: means over the replicates with 99 % intervals, T doubling along each set. "
            "Lines: levels proportional to ε of the schedule, calls as counted. To the left of "
            "their crossing SLIP reaches the same level with fewer calls, to the right AccBO. The "
            "lower level's variance scales as O(ε) for AccBO and is constant for SLIP.",
            "oracle calls, all kinds",
            "mean ‖∇Φ(x_t)‖, t ≥ T/2",
            _level_curves(settings, outcomes),
            True,
            True,
            power_law=True,
        ),
        Panel(
            "What AccBO saves below ε*",
            "Calls of SLIP over calls of AccBO at the same accuracy. Iterations alone would give "
            "the line ε*/ε; the terms of the series, whose number grows with log 1/ε, take part "
            "of it back, and minibatches that buy the small lower variance take more.",
            "ε*/ε",
            "calls SLIP/AccBO",
            _ratio_curves(settings, outcomes, findings),
            True,
            True,
        ),
        one_choice(findings),
    ]


def _level_curves(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Curve]:
    curves = []
    for sampling in SAMPLINGS:
        methods, deviations = _pair(settings, outcomes, sampling)
        names = (f"AccBO, {sampling}", "SLIP")
        for name, method, errors in zip(names, methods, deviations, strict=True):
            if sampling != SAMPLINGS[0] and name == "SLIP":
                continue
            calls = np.exp([method.cost(steps) for steps in method.log_steps])
            means, half = np.exp(method.log_levels), half_width() * errors
            law = method.theory()
            line = np.exp(law.intercept + law.slope * method.log_steps)
            low, high = means * np.exp(-half), means * np.exp(half)
            curves.append(Curve(name, calls, means, low, high, group=name))
            curves.append(Curve("proportional to ε", calls, line, predicted=True, group=name))
    return curves


def _ratio_curves(
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    findings: Sequence[Finding],
) -> list[Curve]:
    factors = 2.0 ** np.linspace(0, 2.5, 21)
    curves = []
    for name in (*SAMPLINGS, "chained, batches paid"):
        shown = [f for f in findings if f.quantity.startswith("calls SLIP") and _of(f, name)]
        intervals = [finding.interval for finding in shown if finding.interval is not None]
        low, high = zip(*intervals, strict=True)
        means = [finding.measured for finding in shown]
        curves.append(Curve(name, crossover.FACTORS, means, low, high, group=name))
        pair, _ = _pair(settings, outcomes, name.split(",")[0])
        laws = (pair[0].theory(), pair[1].theory())
        costs = (pair[0].cost, pair[1].cost)
        star = crossover.crossing(laws, costs)
        paid = (_cost(outcomes, "paid"), costs[1]) if "paid" in name else costs
        ratios = [crossover.log_ratio(star - math.log(k), laws, paid) for k in factors]
        curves.append(Curve("predicted", factors, np.exp(ratios), predicted=True, group=name))
    return [*curves, Curve("ε*/ε", factors, factors, predicted=True)]


def _of(finding: Finding, name: str) -> bool:
    return finding.quantity.endswith(f", {name}")
