"""AccBO on its own path: every step an identity, to rounding (SPEC 4.7 to 4.11).

Claim       m_t = h_t(z_t) + β(m_{t−1} − h_t(z_{t−1})) with both values of h on the one sample of
            iteration t; (y_{t+1}, ŷ_{t+1}) is one linear step from (y_t, y_{t−1}, ŷ_t), or in
            Option II N of them from (y_t, y_t) at a refresh and none between; x_{t+1} = x_t − η
            m_t/‖m_t‖; one step moves m by β times what m_{t−1} is moved; E h − ∇Φ away from y* has
            its closed form; and |ΔΦ + η⟨∇Φ, m⟩/‖m‖| ≤ ½η²(K0 + K1‖∇Φ‖).
Regime      AccBO as it runs, every order, option and sampling of the series, on six problems with
            noise in every part, after a warm start and with S = 3, at the schedules' β over at
            least 5/(1 − β) iterations and 210 of them; on 1 and on 9 variables; each sampling on
            128 replicates. E h without noise, Q to 40, q of the randomised
            series enumerated; Φ at η = 1e-4 of its radius. Under --schedule its AccBO in place of
            these, under --noise its law in every problem, and the steps alone.
Statistic   the largest deviation over all iterations and replicates, h made again from dense
            matrices and from samples that the check draws itself. Of the sampler, which these
            identities cannot see: Σ⟨e_{t−1}, ζ_t⟩, Σζ_t and Σ⟨ζ_{t−1}, ζ_t⟩, each over the root of
            its sum of squares, ζ_t = ν_t(z_t) − βν_t(z_{t−1}), ν = h − E h, e = m − E h.
Rule        rounding, derived; for ΔΦ the inequality from both sides; z tests of the three sums,
            asymptotically normal (50,000 terms each). A sample repeated every 10th iteration shows
            in the lag-one sum, every 50th does not; what begins after the last t begins too late.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accbo import AccBO, Tape, schedules
from accbo.schedules import Schedule

from ..harness import Outcome, Piece, Settings, save_records
from ..own import own_schedule
from ..own_path import instances
from ..own_path.bias import hypergradient_error
from ..own_path.decay import decay
from ..own_path.descent import descent, skeleton
from ..own_path.instances import Combination
from ..own_path.lower import lower_steps
from ..own_path.path import Path, Samples, starting_points, trace
from ..own_path.recursion import (
    Deviation,
    Values,
    recursion,
    sampler_sums,
    values_on,
    worst_of,
)
from ..own_path.upper import upper_steps
from ..panels import Curve, Panel
from ..statistics import (
    Finding,
    at_most,
    equal_mean,
    equality_power,
    exact,
    shown,
)

NAME = "own_path"
CLAIM = "on AccBO's own path every m, y, ŷ and step of x is what SPEC 2 says, to rounding"
IN_WORDS = "each step on AccBO's own path is SPEC 2's"
NOT_SHOWN = "convergence, nor what begins after t = 806"
SOURCE = "SPEC 4.7, 4.8, 4.9, 4.10, 4.11"
EFFECT = "a part that is off by more than rounding, once in 210 iterations; every 10th sample twice"
KILLS = (
    "stale sample",
    "different sample",
    "no correction",
    "correction without β",
    "β and 1−β swapped",
    "old point at (x_{t−1}, ŷ_t)",
    "old point copied after the step",
    "two-iterations-old momentum",
    "norm per block",
    "no normalisation",
    "clipping",
    "samples normalised",
    "ε in the norm",
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
    "hypergradient at y",
    "series from q = 1",
    "one term too few",
    "one term too many",
    "1/l missing",
    "random term without Q",
    "one sample for all factors",
    "sign of the implicit term",
    "cross derivative at the wrong point",
    "silent float32",
)
DESIGNATED = "correction without β"
VARIATIONS = ("schedule", "noise")

EXPONENTS = {"quick": (8, 9, 10, 11), "full": instances.SCHEDULED}  # log2 T, for β
PATH_REPLICATES, WARM_START, FIRST = 2, 3, 3
DECAYS = (0.5, 0.9, *map(instances.scheduled, instances.SCHEDULED), 0.9999)
TERMS = (1, 2, 5, 6, 7, 12, 25, 40)  # Q of the bias
POINTS = 8  # at which it is taken
SAMPLED = {"quick": 128, "full": 1024}  # replicates
SAMPLED_STEPS, SAMPLED_DECAY = 400, 0.95
SMALL, SHORT = 1e-4, 60  # η over the radius, and the iterations that Φ is followed
LAG = 11.0  # standard errors of the lag-one sum where every 10th sample is repeated
SKELETONS = ("quadratic", "cosh")
OWN_BUDGET, OWN_LONGEST = 2048, 4000  # T that a user's schedule is for, and what is run at most
BUDGET = 512  # T of the schedule that the theorem's terms are shown on

Outcomes = dict[tuple[Any, ...], Outcome]


def pieces(settings: Settings) -> list[Piece]:
    """A path for every combination, the sums for every sampling, the rest once.

    Of a user's schedule a path for every problem; under a variation the paths alone.
    """
    if settings.schedule is not None:
        return [Piece(NAME, ("own", name), 0.5) for name in instances.every_problem()]
    keys: list[tuple[tuple[Any, ...], float]] = [
        *((("path", *where), 1e-3 * where.steps) for where in _combinations(settings)),
        *((("size", name), 0.2) for name in instances.SIZES),
    ]
    if settings.noise is not None:
        return [Piece(NAME, key, cost) for key, cost in keys]
    keys += [
        *((("sampler", sampling), 0.4) for sampling in instances.SAMPLINGS),
        (("decay",), 0.4),
        (("bias",), 0.2),
        (("descent",), 0.6),
        *((("skeleton", name), 0.2) for name in SKELETONS),
    ]
    return [Piece(NAME, key, cost) for key, cost in keys]


def refusal(settings: Settings) -> str | None:
    """Why not under the user's schedule: the steps of another algorithm are not SPEC 2's."""
    if settings.schedule is None:
        return None
    problem = next(iter(instances.problems().values()))
    algorithm = own_schedule(settings.schedule, problem.constants, OWN_BUDGET).algorithm
    if isinstance(algorithm, AccBO):
        return None
    return f"its law is AccBO's, and {settings.schedule} returns a {type(algorithm).__name__}"


def _combinations(settings: Settings) -> list[Combination]:
    """Quick: the schedules take turns; full: all of them for every combination."""
    exponents = EXPONENTS[settings.profile]
    if settings.profile == "quick":
        return instances.combinations(exponents)
    return [each for one in exponents for each in instances.combinations((one,))]


def measure(settings: Settings, piece: Piece) -> Outcome:
    """What the kind of the piece, the first entry of its key, asks for."""
    kind, *rest = piece.key
    with np.errstate(all="ignore"):  # a fault may overflow; that fails, and no value is lost
        outcome = _MEASURES[kind](settings, *rest)
    save_records(settings, piece, outcome)
    return outcome


def judge(settings: Settings, outcomes: Outcomes) -> list[Finding]:
    """Every identity by its rounding, the sums by z tests, Φ by its inequality."""
    keys = [piece.key for piece in pieces(settings)]
    return [finding for key in keys for finding in judge_piece(key, outcomes[key])]


def judge_piece(key: tuple[Any, ...], outcome: Outcome) -> list[Finding]:
    """The findings on one piece, by the law of its kind."""
    return _JUDGES[key[0]](key[1:], outcome)


def panels(settings: Settings, outcomes: Outcomes, findings: Sequence[Finding]) -> list[Panel]:
    """Deviations of m and y along the paths, and the theorem's terms."""
    shares = [each["share of m"] for each in outcomes.values() if "share of m" in each]
    starts, largest = _in_windows(shares)
    first = Panel(
        "Deviation of m from its recursion",
        f"The largest over {len(shares)} paths and their replicates, as a share of what "
        "rounding allows: far below 1 and not growing. A fault that acts in one iteration "
        "stands out at 1e8 and more.",
        "t",
        "share of the allowance",
        [
            Curve("largest deviation", starts, largest, joined=True),
            Curve("what is allowed", starts[[0, -1]], [1.0, 1.0], predicted=True),
        ],
        log_y=True,
    )
    if ("skeleton", SKELETONS[0]) not in outcomes:
        return [first]
    terms = [_terms(outcomes["skeleton", name]) for name in SKELETONS]
    labels = ("mean ‖∇Φ‖(1 − ½K1η)", "progress of Φ", "2 mean ‖m − ∇Φ‖", "½K0η")
    return [
        first,
        Panel(
            "The theorem's terms on AccBO's schedule",
            f"For {' and '.join(SKELETONS)}: what is bounded (first) and the three terms that "
            "bound it, the progress of Φ, the error of the momentum and the curvature. The error "
            "of the momentum is most of it.",
            "",
            "size",
            [
                Curve(name, np.arange(len(labels)), np.array(sizes))
                for name, sizes in zip(SKELETONS, terms, strict=True)
            ],
            log_y=True,
            ticks=labels,
        ),
    ]


def _in_windows(paths: Sequence[np.ndarray], count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Where each of ``count`` windows of t begins, and the largest value of any path in it."""
    longest = max(map(len, paths))
    starts = np.unique(np.linspace(0, longest, count, endpoint=False).astype(int))
    largest = np.zeros(len(starts))
    for path in paths:
        inside = starts < len(path)
        values = np.maximum.reduceat(path, starts[inside])
        largest[inside] = np.maximum(largest[inside], values)
    return starts, largest


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Of the lag-one sum against every 10th sample repeated; the identities leave no chance.

    NaN under a variation, where there are identities alone.
    """
    return math.nan if settings.schedule or settings.noise else equality_power(LAG)


# --- measurements -------------------------------------------------------------------------


def _measure_path(settings: Settings, *where: Any) -> Outcome:
    combination = Combination(*where)
    problem = instances.every_problem(settings.noise)[combination.problem]
    algorithm = instances.algorithm(problem, combination, upper_step_size=1 - combination.momentum)
    epsilon = math.sqrt(1 - combination.momentum)
    schedule = Schedule(epsilon, algorithm, combination.steps, WARM_START, FIRST, 1.0)
    return _identities(settings, problem, schedule, _seed(settings, *where))


def _measure_size(settings: Settings, name: str) -> Outcome:
    return _measure_path(settings, *instances.SIZES[name])


def _measure_own(settings: Settings, name: str) -> Outcome:
    """The path of the user's schedule on one of the problems."""
    problem = instances.every_problem(settings.noise)[name]
    schedule = own_schedule(str(settings.schedule), problem.constants, OWN_BUDGET)
    memory = math.ceil(5 / (1 - schedule.algorithm.momentum))
    steps = min(max(instances.LEAST, memory), OWN_LONGEST)
    schedule = dataclasses.replace(schedule, steps=steps)
    return _identities(settings, problem, schedule, _seed(settings, "own", name))


def _identities(settings: Settings, problem: Any, schedule: Schedule[AccBO], seed: int) -> Outcome:
    """The worst deviation of m, of (y, ŷ) and of x on one path."""
    algorithm, tape = schedule.algorithm, Tape(seed, lower_scale=schedule.lower_scale)
    start = starting_points(problem, PATH_REPLICATES, seed)
    path, samples = trace(
        settings,
        problem,
        algorithm,
        start,
        tape,
        schedule.steps,
        schedule.first,
        schedule.warm_start,
    )
    values = values_on(problem, algorithm, path, samples)
    return _deviations(problem, algorithm, path, samples, values)


def _deviations(
    problem: Any, algorithm: AccBO, path: Path, samples: Samples, values: Values
) -> Outcome:
    momentum = recursion(problem, algorithm, path, values)
    below = lower_steps(problem, algorithm, path, samples)
    return {
        "m": _worst(momentum),
        "y": _worst(below),
        "x": _worst(upper_steps(algorithm, path)),
        "share of m": np.max(momentum.error / momentum.allowed, axis=1),
    }


def _measure_sampler(settings: Settings, sampling: str) -> Outcome:
    problem = instances.noisy()
    where = Combination("simultaneous", "I", sampling, "cosh", 8)
    algorithm = instances.algorithm(problem, where, terms=4, momentum=SAMPLED_DECAY)
    seed, steps = _seed(settings, "sampler", sampling), SAMPLED_STEPS
    start, tape = starting_points(problem, SAMPLED[settings.profile], seed), Tape(seed)
    path, samples = trace(settings, problem, algorithm, start, tape, steps)
    values = values_on(problem, algorithm, path, samples)
    sums = sampler_sums(problem, algorithm, path, values)
    return {
        "along": np.array(sums.along),
        "mean": sums.mean,
        "lag": np.array(sums.lag),
        **_deviations(problem, algorithm, path, samples, values),
    }


def _measure_decay(settings: Settings) -> Outcome:
    """The worst of the twelve combinations at every β."""
    found: Outcome = {}
    for beta in DECAYS:
        deviations = []
        for index, where in enumerate(instances.combinations((8,))):
            problem = instances.problems()[where.problem]
            algorithm = instances.algorithm(problem, where, momentum=beta)
            deviations.append(decay(settings, problem, algorithm, index))
        found[f"{beta:.4f}"] = _worst(_together(deviations))
    return found


def _measure_bias(settings: Settings) -> Outcome:
    """The worst over Q of every sampling, on a quadratic and on a cosh problem."""
    found: Outcome = {}
    for name in ("quadratic", "cosh"):
        problem = instances.problems(noisy=False)[name]
        x, y = starting_points(problem, POINTS, settings.seed)
        for index, sampling in enumerate(instances.SAMPLINGS):
            order = instances.ORDERS[index % 2]
            where = Combination(order, "I", sampling, name, 8)
            errors = [
                hypergradient_error(
                    settings, problem, instances.algorithm(problem, where, terms=terms), x, 2 * y
                )
                for terms in TERMS
            ]
            found[f"{name}, {sampling}"] = _worst(_together(errors))
    return found


def _measure_descent(settings: Settings) -> Outcome:
    """The largest share of the allowance on every problem, over the combinations it meets."""
    found: dict[str, list[float]] = {}
    for index, where in enumerate(instances.combinations((8,))):
        problem = instances.problems()[where.problem]
        size = SMALL * min(problem.constants.radius, 0.5)
        algorithm = instances.algorithm(problem, where, upper_step_size=size, momentum=0.9)
        seed = _seed(settings, "descent", index)
        start = starting_points(problem, PATH_REPLICATES, seed)
        path, _ = trace(settings, problem, algorithm, start, Tape(seed), SHORT)
        found.setdefault(where.problem, []).append(descent(problem, size, path).share)
    return {name: np.array(max(shares)) for name, shares in found.items()}


def _measure_skeleton(settings: Settings, name: str) -> Outcome:
    """The theorem's terms on AccBO's schedule, its sampler as the schedule says."""
    problem = instances.problems()[name]
    schedule = schedules.accbo(problem.constants, steps=BUDGET)
    size = min(schedule.algorithm.upper_step_size, problem.constants.radius)
    seed = _seed(settings, "skeleton", name)
    start = starting_points(problem, 8, seed)
    tape = Tape(seed, lower_scale=schedule.lower_scale)
    algorithm = dataclasses.replace(schedule.algorithm, upper_step_size=size)
    path, _ = trace(settings, problem, algorithm, start, tape, BUDGET, schedule.first)
    return {"terms": np.array(skeleton(problem, size, path))}


def _seed(settings: Settings, *where: Any) -> int:
    """One for every piece, whatever its place in the list."""
    return settings.seed * 2**32 + zlib.crc32(repr(where).encode())


def _together(deviations: Sequence[Deviation]) -> Deviation:
    """All of them as one, flat."""
    parts = zip(*deviations, strict=True)
    return Deviation(*(np.concatenate([each.ravel() for each in part]) for part in parts))


def _worst(deviation: Deviation) -> np.ndarray:
    """Share, error and allowance where the share is largest."""
    return np.array(worst_of(deviation.error, deviation.allowed))


_MEASURES: dict[str, Callable[..., Outcome]] = {
    "path": _measure_path,
    "size": _measure_size,
    "own": _measure_own,
    "sampler": _measure_sampler,
    "decay": _measure_decay,
    "bias": _measure_bias,
    "descent": _measure_descent,
    "skeleton": _measure_skeleton,
}


# --- decisions ----------------------------------------------------------------------------


def _judge_path(key: tuple[Any, ...], outcome: Outcome) -> list[Finding]:
    where = Combination(*key)
    return _judge_identities(f"{where.label}, 2^{where.exponent}", outcome)


def _judge_size(key: tuple[Any, ...], outcome: Outcome) -> list[Finding]:
    return _judge_identities(key[0], outcome)


def _judge_own(key: tuple[Any, ...], outcome: Outcome) -> list[Finding]:
    return _judge_identities(f"own schedule, {key[0]}", outcome)


def _judge_identities(label: str, outcome: Outcome) -> list[Finding]:
    return [
        _rounding(f"m − recursion, {label}", outcome["m"]),
        _rounding(f"(y, ŷ) − step, {label}", outcome["y"]),
        _rounding(f"x − step, {label}", outcome["x"]),
    ]


def _judge_sampler(key: tuple[Any, ...], outcome: Outcome) -> list[Finding]:
    (sampling,) = key
    rows = [("⟨e_{t−1}, ζ_t⟩", float(outcome["along"])), ("⟨ζ_{t−1}, ζ_t⟩", float(outcome["lag"]))]
    rows += [(f"ζ_t, x_{index}", float(mean)) for index, mean in enumerate(outcome["mean"])]
    sums = [equal_mean(f"Σ/√Σ² of {what}, {sampling}", 0.0, value, 1.0) for what, value in rows]
    return [*sums, *_judge_identities(f"many replicates, {sampling}", outcome)]


def _judge_decay(key: tuple[Any, ...], outcome: Outcome) -> list[Finding]:
    return [_rounding(f"m'(δ) − m'(0) − βδ, β = {beta}", found) for beta, found in outcome.items()]


def _judge_bias(key: tuple[Any, ...], outcome: Outcome) -> list[Finding]:
    return [_rounding(f"E h − ∇Φ − its law, {name}", found) for name, found in outcome.items()]


def _judge_descent(key: tuple[Any, ...], outcome: Outcome) -> list[Finding]:
    return [
        at_most(f"|ΔΦ + η⟨∇Φ, m⟩/‖m‖|/allowed, {name}", 1.0, float(share))
        for name, share in sorted(outcome.items())
    ]


def _judge_skeleton(key: tuple[Any, ...], outcome: Outcome) -> list[Finding]:
    (name,) = key
    left, progress, error, curvature = _terms(outcome)
    return [
        at_most(f"mean ‖∇Φ‖(1 − ½K1η), {name}", progress + error + curvature, left),
        shown(f"(Φ(x_0) − Φ(x_T))/(ηT), {name}", progress),
        shown(f"2 mean ‖m − ∇Φ‖, {name}", error),
        shown(f"½K0η, {name}", curvature),
    ]


def _terms(outcome: Outcome) -> tuple[float, ...]:
    return tuple(float(term) for term in outcome["terms"])


def _rounding(quantity: str, found: np.ndarray) -> Finding:
    """The worst deviation of a piece, where it is the largest share of what is allowed."""
    _, error, allowed = (float(value) for value in found)
    return exact(quantity, 0.0, error, allowed)


_JUDGES: dict[str, Callable[[tuple[Any, ...], Outcome], list[Finding]]] = {
    "path": _judge_path,
    "size": _judge_size,
    "own": _judge_own,
    "sampler": _judge_sampler,
    "decay": _judge_decay,
    "bias": _judge_bias,
    "descent": _judge_descent,
    "skeleton": _judge_skeleton,
}
