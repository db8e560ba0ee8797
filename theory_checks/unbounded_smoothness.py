"""Unbounded smoothness: normalised steps grow like D, the best plain ones like e^D/D (SPEC 4.5).

Claim       from (D, D/2) AccBO reaches a ball around the minimiser in L(D)/η steps, L the length
            of the path of steepest descent, ≈ (1 + √2)/2·D: every step is η long, whatever the
            size of the gradient. A constant plain step diverges beyond 2D/φ'(D), where the far
            coordinate is thrown from D to −D, and so moves the near one, whose gradient is only
            e^(D/2), for (φ'(D)/2D)·∫ dx/φ'(x) = c·e^D/D steps: c = 0.28 for the ball of radius ½
            used here. A fixed η serves every D; a plain step has to know D. The growth is what
            counts: at η = 0.1 the best plain step needs fewer steps than AccBO up to D = 7.
Regime      Φ(x) = Σ φ(x_i), φ(x) = cosh x − 1 + log cosh(x/1.5): the problem ``relaxed_smooth``
            without ripples, with H = 1.5 I and C = I, so that one term of the series is exact.
            D and D/2, because one distance alone can be hit by a lucky step. Plain is AccBO with
            ``gradient_step`` above, at each constant step of a grid up to 1.2 times 2D/φ'(D).
Statistic   length of every step from starts at 1e-200 to 300, with noise that scales with x;
            number of steps until ‖x‖ ≤ ½, without noise, for D to 300 and η from 0.025 to 0.4;
            the same for the best of the plain steps, and the largest plain step that arrives.
            With skewed noise: mean number of steps from starts that lie a whole number k of steps
            apart along the diagonal, (N + 8, N) and (N + 8, N) + kη(1, 1)/√2.
Rule        lengths equal η up to rounding; counts equal L(D)/η, rounded up, to within one step
            (Euler's polygon on a flow that contracts); the log-log exponent of AccBO's counts is
            that of L(D), which tends to 1, to within two steps; the largest plain step is the
            predicted one to half the grid's spacing; best counts are those of x ← x − ηφ'(x), the
            lower level exact, to within two steps: one for rounding, one for the lag of ŷ, which
            lets the near coordinate come (K/h²)·∫ dx/(cosh²(x/h) φ'(x)) < 0.6 steps early, h = 1.5
            and K = [1 − (1−αh)γ]/(αh) + (1−τ)/τ (SPEC 4.3); the growth of log(D·count) in D is
            that of the same recursion, which tends to 1, to within those two steps. Noise: from N
            on, gradients are e^N and more, noise turns no step, and a shift along the diagonal
            multiplies them by a number: k steps more, whose mean is an equality (bias below 1e-4
            steps at N = 12). What differs from k is the difference of two times near the minimiser
            of one law and of other noise, so that it is symmetric: its sum over the root of its
            sum of squares has a bound that asks for nothing else, however far single runs stray.
            All but that is deterministic.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import integrate

from accbo import AccBO, Tape, move, run
from accbo._arrays import Array, asarray, namespace, norm, to_host
from accbo.problems import LowerNoise, RelaxedSmooth, UpperNoise, relaxed_smooth
from accbo.upper import gradient_step

from .backends import like
from .harness import Outcome, Piece, Settings, save_records
from .panels import Curve, Panel
from .statistics import Finding, estimated_mean, exact, near

NAME = "unbounded_smoothness"
CLAIM = "from distance D AccBO needs L(D)/η steps, linear in D; the best plain step c·e^D/D"
IN_WORDS = "steps grow like D; plain ones like e^D/D"
NOT_SHOWN = "a gain near the minimiser, at D < 8"
SOURCE = "SPEC 4.5"
EFFECT = "a step 1e-9 off η, or two steps more than L(D)/η from any D"
KILLS = (
    "different sample",
    "no correction",
    "correction without β",
    "old point copied after the step",
    "two-iterations-old momentum",
    "norm per block",
    "no normalisation",
    "clipping",
    "samples normalised",
    "ε in the norm",
    "norm that underflows",
    "sign of the implicit term",
    "silent float32",
)
DESIGNATED = "no normalisation"
VARIATIONS = ()

CURVATURE = 1.5  # of the lower level, in every direction
RADIUS = 0.5  # of the ball around the minimiser, 0, that counts as there
ETA, BETA, WARM_START = 0.1, 0.9, 30
DISTANCES = (*(float(D) for D in range(4, 17)), 32.0, 64.0, 128.0, 300.0)
ETAS = (0.4, 0.2, 0.05, 0.025)  # tried beside ``ETA``, on distances up to ``NEAR``
NEAR = 64.0
FITTED = 16.0  # distance from which the exponent is fitted: L(D) + const·D⁰ bends it below

STARTS = (1e-200, 1e-100, 1e-12, 1e-3, 1.0, 30.0, 300.0)
LENGTH_STEPS = 300
ROUNDING = 16 * 2.0**-53  # of x, of the step and of its norm

LADDER = {"quick": range(4, 14), "full": range(4, 16)}  # D of the plain steps
ASYMPTOTIC = 8  # D from which the prediction of the best plain count is tight
LAG_AND_ROUNDING = 2.0  # steps between AccBO's plain counts and those of the exact lower level
SPACING = 0.005  # of the grid of plain steps, in units of the largest that arrives
# the grid straddles 1, where rounding decides
FRACTIONS = np.concatenate((np.geomspace(0.1, 0.9, 17), np.arange(0.9 + SPACING / 2, 1.2, SPACING)))
PATIENCE = {"near": 12.0, "far": 1.25}  # length of a plain run over the predicted best count

NOISY, ASIDE = 12.0, 8.0  # the first noisy start is (N + 8, N)
SHIFTS = (0, 226, 452)  # steps along the diagonal from it to each start
NOISE = 1.0
GROUP = 256
REPLICATES = {"quick": 256, "full": 2048}
LATE = 100  # steps granted beyond the length of the corner's two sides

# --- pieces ----------------------------------------------------------------------------------


def pieces(settings: Settings) -> list[Piece]:
    """Lengths, counts for every η, noisy runs, and the plain steps at every D."""
    keys: list[tuple[tuple[Any, ...], float]] = [(("lengths",), 0.1)]
    keys += [(("counts", eta), 0.02 / eta) for eta in (ETA, *ETAS)]
    keys += [(("noisy", group), 0.5) for group in range(REPLICATES[settings.profile] // GROUP)]
    if settings.fault is None:  # the plain step is a rival: no fault concerns it
        keys += [(("plain", D), 0.1 + 5e-6 * math.exp(D) / D) for D in LADDER[settings.profile]]
    return [Piece(NAME, key, cost) for key, cost in keys]


def measure(settings: Settings, piece: Piece) -> Outcome:
    """One piece; every run is AccBO's own, only the plain one has another upper step."""
    kind, *rest = piece.key
    if kind == "lengths":
        return _lengths(settings)
    if kind == "counts":
        return _counts(settings, *rest)
    if kind == "noisy":
        return _noisy(settings, piece, *rest)
    return _plain(settings, *rest)


def _lengths(settings: Settings) -> Outcome:
    """Length of every step over η, ``(steps, starts)``, and how large x is."""
    noise = UpperNoise(multiplicative_x=0.5, law="two_point", probability=0.1)
    algorithm = settings.apply_fault(accbo(ETA))
    starts = np.array(STARTS)
    record = {"length": lambda state: norm(state.x - state.x_previous)}
    records = _run(settings, algorithm, problem(noise), _from(starts), LENGTH_STEPS, record)
    return {"ratio": records["length"] / ETA}


def _counts(settings: Settings, eta: float) -> Outcome:
    """Steps until the ball is reached, one a distance."""
    far = np.array(distances(eta))
    algorithm = settings.apply_fault(accbo(eta))
    steps = math.ceil(2 * far[-1] / eta)  # L(D) < 1.21 D
    records = _run(settings, algorithm, problem(), _from(far), steps, _DISTANCE)
    return {"steps": first_passage(records["distance"])}


def _noisy(settings: Settings, piece: Piece, group: int) -> Outcome:
    """Time until the ball is reached under skewed noise, ``(shifts, replicates)``."""
    noise = UpperNoise(NOISE, 0.1, NOISE, 0.1, law="two_point", probability=0.1)
    algorithm = settings.apply_fault(accbo(ETA))
    host = problem(noise, LowerNoise(0.5))
    x = np.repeat(shifted_starts(), GROUP, axis=0)
    steps = math.ceil((ASIDE + math.sqrt(2) * NOISY) / ETA) + SHIFTS[-1] + LATE
    records = _run(settings, algorithm, host, x, steps, _DISTANCE, group * len(x))
    save_records(settings, piece, records)
    return {"time": passage_time(records["distance"]).reshape(len(SHIFTS), GROUP)}


def shifted_starts() -> np.ndarray:
    """One start a shift, ``(shifts, 2)``: whole numbers of steps apart along the diagonal."""
    shifts = np.array(SHIFTS)[:, None] * ETA / math.sqrt(2)
    return np.array([NOISY + ASIDE, NOISY]) + shifts


def _plain(settings: Settings, D: int) -> Outcome:
    """Steps until the ball is reached, one a constant step of the grid."""
    here = like(settings.backend)
    sizes = FRACTIONS * largest_plain_step(D)
    patience = PATIENCE["near" if D <= ASYMPTOTIC else "far"]
    steps = math.ceil(patience * best_plain_count(D)) + 10
    algorithm = plain(asarray(sizes[:, None], here), 2 * math.hypot(D, D / 2))
    far = np.full(len(sizes), float(D))
    records = _run(settings, algorithm, problem(), _from(far), steps, _DISTANCE)
    return {"steps": first_passage(records["distance"])}


def _from(far: np.ndarray) -> np.ndarray:
    """(D, D/2) of every D."""
    return np.stack([far, far / 2], axis=-1)


_DISTANCE = {"distance": lambda state: norm(state.x)}


def _run(
    settings: Settings,
    algorithm: Any,
    host: RelaxedSmooth,
    start: np.ndarray,
    steps: int,
    record: dict[str, Any],
    first_replicate: int = 0,
) -> dict[str, np.ndarray]:
    """Records at every step of runs from each row of ``start``."""
    here = like(settings.backend)
    x = asarray(start, here)
    noise = Tape(settings.seed, first_replicate=first_replicate)
    result = run(
        algorithm,
        move(host, here),
        x,
        0 * x,
        steps=steps,
        noise=noise,
        warm_start=WARM_START,
        record=record,
    )
    return {name: to_host(values) for name, values in result.records.items()}


def first_passage(distance: np.ndarray) -> np.ndarray:
    """The first t with ‖x_t‖ ≤ ``RADIUS`` of each column, infinite where there is none.

    Row i of ``distance`` belongs to x_{i+1}.
    """
    there = distance <= RADIUS
    return np.where(there.any(axis=0), 1.0 + np.argmax(there, axis=0), math.inf)


def passage_time(distance: np.ndarray) -> np.ndarray:
    """As ``first_passage``, but between two steps in proportion: not rounded up."""
    steps = first_passage(distance)
    at = np.where(np.isfinite(steps), steps - 1, 1).astype(int)[None, :]
    before, after = (np.take_along_axis(distance, i, axis=0)[0] for i in (at - 1, at))
    return np.where(np.isfinite(steps), steps - (RADIUS - after) / (before - after), math.inf)


# --- instances -------------------------------------------------------------------------------


def problem(upper: UpperNoise = UpperNoise(), lower: LowerNoise = LowerNoise()) -> RelaxedSmooth:
    """The problem of the docstring; its minimiser is 0."""
    return relaxed_smooth(
        (CURVATURE, CURVATURE),
        2,
        rotate=False,
        coupling=np.eye(2),
        ripple=0.0,
        target=0.0,
        noise_upper=upper,
        noise_lower=lower,
    )


def accbo(eta: float) -> AccBO:
    """AccBO with a fast lower level; the series of one term is exact where H = l·I."""
    step = 0.5 / CURVATURE
    rate = math.sqrt(CURVATURE * step)
    return AccBO(
        lower_step_size=step,
        lower_momentum=(1 - rate) / (1 + rate),
        averaging=rate,
        momentum=BETA,
        upper_step_size=eta,
        neumann_terms=1,
        neumann_scale=CURVATURE,
    )


def plain(sizes: Array, farthest: float) -> AccBO:
    """AccBO with plain steps of ``sizes``, ``(replicates, 1)``; stops where it has diverged.

    Beyond twice the start's distance every step overshoots by more than the one before, so
    that x never returns: it is left where it is, before it overflows.
    """

    def step(x: Array, direction: Array, _: float) -> Array:
        new = gradient_step(x, direction, sizes)
        return namespace(x).where(norm(new)[..., None] <= farthest, new, x)

    algorithm = accbo(ETA)
    return dataclasses.replace(algorithm, parts=algorithm.parts._replace(x=step))


def distances(eta: float) -> tuple[float, ...]:
    """The D tried with one η."""
    return tuple(D for D in DISTANCES if eta == ETA or D <= NEAR)


# --- the theory ------------------------------------------------------------------------------


def slope(x: float) -> float:
    """φ'(x) = sinh x + tanh(x/h)/h, h the lower level's curvature."""
    return math.sinh(x) + math.tanh(x / CURVATURE) / CURVATURE


@functools.cache
def path_length(D: float) -> float:
    """L(D): steepest descent from (D, D/2), dx/ds = −∇Φ/‖∇Φ‖, to the ball."""

    def velocity(s: float, x: np.ndarray) -> np.ndarray:
        gradient = np.array([slope(value) for value in x])
        gradient /= np.max(np.abs(gradient))  # squares of e^300 are near the largest number
        return -gradient / np.linalg.norm(gradient)

    def outside(s: float, x: np.ndarray) -> float:
        return float(np.linalg.norm(x)) - RADIUS

    outside.terminal = True  # type: ignore[attr-defined]
    found = integrate.solve_ivp(
        velocity, (0, 2 * D), (D, D / 2), "LSODA", events=outside, rtol=1e-10, atol=1e-12
    )
    return float(found.t_events[0][0])


def largest_plain_step(D: float) -> float:
    """2D/φ'(D), which throws the far coordinate from D to −D."""
    return 2 * D / slope(D)


def best_plain_count(D: float) -> float:
    """Steps of that size until the near coordinate has come from D/2 to ``RADIUS``."""
    time = integrate.quad(lambda x: 1 / slope(x), RADIUS, D / 2)[0]
    return float(time) / largest_plain_step(D)


@functools.cache
def best_plain_steps(D: float) -> float:
    """The fewest steps of x ← x − ηφ'(x) from (D, D/2) to the ball, η on the grid.

    What ``best_plain_count`` is the limit of; here every step is taken, at a lower level that is
    exact: φ' itself. Steps that throw the far coordinate beyond the start diverge.
    """
    x = np.array([[D], [D / 2]]) + 0 * FRACTIONS
    sizes = FRACTIONS * largest_plain_step(D)
    for count in range(1, math.ceil(2 * best_plain_count(D)) + 10):
        x = x - sizes * (np.sinh(x) + np.tanh(x / CURVATURE) / CURVATURE)
        x = np.where(np.abs(x) <= D, x, math.nan)
        if np.any(np.hypot(*x) <= RADIUS):
            return float(count)
    return math.inf


# --- verdict ---------------------------------------------------------------------------------


def judge(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """Lengths, counts, growth; then the rival's."""
    with np.errstate(invalid="ignore"):  # a fault may never arrive: its count is infinite
        found = [*_judge_lengths(outcomes), *_judge_counts(outcomes), *_judge_noisy(outcomes)]
        if settings.fault is None:
            found += judge_plain(settings, outcomes)
    return found


def _judge_lengths(outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """The step farthest from η of each start."""
    found = []
    for start, ratios in zip(STARTS, outcomes[("lengths",)]["ratio"].T, strict=True):
        worst = ratios[np.argmax(np.abs(ratios - 1))]
        tolerance = ROUNDING * (1 + (2 * start + 1) / ETA)
        found.append(exact(f"step/η, start at {start:g}", 1.0, float(worst), tolerance))
    return found


def _judge_counts(outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """Counts at ``ETA`` one by one, at other η the worst; the exponent in D."""
    counts = outcomes[("counts", ETA)]["steps"]
    predicted = predicted_counts(ETA)
    found = [
        near(f"steps of AccBO, D = {D:g}", n, float(count), 1.0, "step")
        for D, n, count in zip(distances(ETA), predicted, counts, strict=True)
    ]
    for eta in ETAS:
        gaps = outcomes[("counts", eta)]["steps"] - predicted_counts(eta)
        worst = gaps[np.argmax(np.abs(gaps))]
        quantity = f"steps − ⌈L/η⌉, η = {eta:g}, worst D"
        found.append(near(quantity, 0.0, float(worst), 1.0, "step"))
    found.append(_exponent_row(counts))
    return found


def _exponent_row(counts: np.ndarray) -> Finding:
    """The counts' exponent beside that of L(D)/η, which tends to 1: as far off as 2 steps make it.

    ⌈L/η⌉ and one step more: a count is at most two above L/η, and at most one below.
    """
    lengths = np.array([path_length(D) / ETA for D in distances(ETA)])
    far = np.array(distances(ETA)) >= FITTED
    room = np.sum(np.abs(_weights(np.log(np.array(distances(ETA))[far]))) * 2 / lengths[far])
    quantity = "exponent of AccBO's steps in D"
    return near(quantity, exponent(lengths), exponent(counts), float(room))


def predicted_counts(eta: float) -> np.ndarray:
    """⌈L(D)/η⌉ for the D tried with η."""
    return np.array([math.ceil(path_length(D) / eta) for D in distances(eta)], dtype=float)


def exponent(counts: np.ndarray) -> float:
    """Slope of log count against log D, far out."""
    far = np.array(distances(ETA))
    fitted = far >= FITTED
    return _slope(np.log(far[fitted]), np.log(counts[fitted]))


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sum(_weights(x) * y))


def _weights(x: np.ndarray) -> np.ndarray:
    """What each y counts in the slope of a least-squares line through (x, y)."""
    return np.asarray((x - x.mean()) / np.sum((x - x.mean()) ** 2))


def _judge_noisy(outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """From k steps farther AccBO needs k steps more, whatever noise adds near the minimiser."""
    groups = [outcomes[key]["time"] for key in sorted(outcomes, key=str) if key[0] == "noisy"]
    times = np.concatenate(groups, axis=1)
    found = []
    for shift, time in zip(SHIFTS[1:], times[1:], strict=True):
        more = time - times[0]
        error = float(np.std(more, ddof=1) / math.sqrt(len(more)))
        quantity = f"steps more from {shift} steps farther, noise"
        mean = float(np.mean(more))
        found.append(estimated_mean(quantity, float(shift), mean, error, len(more)))
    return found


def judge_plain(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """The best constant plain step: which, how many steps, how that grows."""
    ladder = np.array(LADDER[settings.profile])
    best = best_counts(settings, outcomes)
    found = []
    for D, count in zip(ladder, best, strict=True):
        if D < ASYMPTOTIC:
            continue
        arriving = FRACTIONS[np.isfinite(outcomes[("plain", int(D))]["steps"])]
        largest = float(np.max(arriving, initial=0.0))
        quantity = f"largest plain step/(2D/φ'(D)), D = {D}"
        found.append(near(quantity, 1.0, largest, 0.51 * SPACING))
        quantity = f"steps of the best plain step, D = {D}"
        predicted = best_plain_steps(float(D))
        found.append(near(quantity, predicted, float(count), LAG_AND_ROUNDING, "steps"))
    found.append(_growth_row(ladder[ladder >= ASYMPTOTIC], best[ladder >= ASYMPTOTIC]))
    counts = outcomes[("counts", ETA)]["steps"][: len(ladder)]  # both begin with the same D
    expected = [best_plain_count(float(D)) for D in ladder]
    predicted = first_faster(ladder, predicted_counts(ETA)[: len(ladder)], expected)
    measured = first_faster(ladder, counts, best)
    found.append(exact("least D at which AccBO needs fewer steps", predicted, measured, 0.0))
    return found


def _growth_row(ladder: np.ndarray, best: np.ndarray) -> Finding:
    """The growth of log(D·steps) beside that of the recursion's steps."""
    expected = np.array([best_plain_steps(float(D)) for D in ladder])
    x = ladder.astype(float)
    room = float(np.sum(np.abs(_weights(x)) * LAG_AND_ROUNDING / (expected - LAG_AND_ROUNDING)))
    predicted, measured = (_slope(x, np.log(ladder * counts)) for counts in (expected, best))
    return near("growth of log(D·steps) in D, best plain", predicted, measured, room)


def best_counts(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> np.ndarray:
    """The fewest steps of any plain step, by D."""
    return np.array([np.min(outcomes[("plain", D)]["steps"]) for D in LADDER[settings.profile]])


def first_faster(ladder: np.ndarray, one: np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """The least D from which on ``one`` is below ``other``; infinite if it never is."""
    slower = [D for D, a, b in zip(ladder, one, other, strict=True) if a >= b]
    later = [D for D in ladder if not slower or max(slower) < D]
    return float(min(later)) if later else math.inf


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Against ``EFFECT``: lengths and counts are equalities without chance."""
    return 1.0


# --- pictures --------------------------------------------------------------------------------


def panels(
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    findings: Sequence[Finding],
) -> list[Panel]:
    """Both counts against D, AccBO's over two decades of D, and what the step size does."""
    if settings.fault is not None:
        return [_linear(outcomes)]
    return [_both(settings, outcomes), _linear(outcomes), _sensitivity(outcomes)]


def _both(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> Panel:
    ladder = np.array(LADDER[settings.profile], dtype=float)
    best = best_counts(settings, outcomes)
    counts = outcomes[("counts", ETA)]["steps"][: len(ladder)]
    lengths = [path_length(D) / ETA for D in ladder]
    growing = [best_plain_count(D) for D in ladder]
    slower = [
        f"{D:g}: {plain:g} and {accbo:g}"
        for D, plain, accbo in zip(ladder, best, counts, strict=True)
        if plain <= accbo
    ]
    return Panel(
        "Normalised steps and the best plain ones",
        "Steps from (D, D/2) to within ½ of the minimiser, without noise. Compare the growth: a "
        "straight line with this logarithmic axis is exponential growth. The counts of the best "
        f"plain step and of AccBO at η = {ETA:g} where plain needs no more, by D: "
        + "; ".join(slower)
        + ".",
        "D",
        "steps",
        [
            Curve(f"AccBO, η = {ETA:g}", ladder, counts, group="AccBO"),
            Curve("L(D)/η", ladder, lengths, predicted=True, group="AccBO"),
            Curve("best constant plain step", ladder, best, group="plain"),
            Curve("c·e^D/D", ladder, growing, predicted=True, group="plain"),
        ],
        log_y=True,
    )


def _linear(outcomes: dict[tuple[Any, ...], Outcome]) -> Panel:
    curves = []
    for eta in sorted((ETA, *ETAS)):
        far = distances(eta)
        lengths = [path_length(D) / eta for D in far]
        name, counts = f"AccBO, η = {eta:g}", outcomes[("counts", eta)]["steps"]
        curves.append(Curve(name, far, counts, group=name))
        curves.append(Curve("L(D)/η", far, lengths, predicted=True, group=name))
    return Panel(
        "Linear in D",
        "AccBO's steps at every η tried, up to D = 300, where the first gradient is about 1e130. "
        "Points on the lines: the count is the length of the path over η, to within one step.",
        "D",
        "steps",
        curves,
        log_x=True,
        log_y=True,
    )


def _sensitivity(outcomes: dict[tuple[Any, ...], Outcome]) -> Panel:
    curves = []
    etas = np.array(sorted((ETA, *ETAS)))
    for D in (8, 12):
        index = DISTANCES.index(float(D))
        counts = [outcomes[("counts", eta)]["steps"][index] for eta in etas]
        name, lengths = f"AccBO, D = {D}", path_length(float(D)) / etas
        curves.append(Curve(name, etas, counts, group=name))
        curves.append(Curve("L(D)/η", etas, lengths, predicted=True, group=name))
        steps = outcomes[("plain", D)]["steps"]
        arrived = np.isfinite(steps)
        fractions = FRACTIONS[arrived]
        sizes = fractions * largest_plain_step(D)
        line = best_plain_count(D) / fractions
        name = f"plain, D = {D}"
        curves.append(Curve(name, sizes, steps[arrived], group=name))
        curves.append(Curve("of the near coordinate", sizes, line, predicted=True, group=name))
    return Panel(
        "Sensitivity to the step size",
        "AccBO arrives with every η, in L/η steps: at either D the same η will do. A plain step "
        "has no points right of 2D/φ'(D), since it diverges there, and needs in inverse "
        "proportion longer to the left of it; that edge moves by e^(−D).",
        "step size",
        "steps",
        curves,
        log_x=True,
        log_y=True,
    )
