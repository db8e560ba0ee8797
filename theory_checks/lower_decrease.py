"""The lower level without noise at a fixed x: its exact law, and how fast it must decrease.

V = f(y) − f* + (μ/2)‖y − y* + (1/s − 1)(y − y_previous)‖², s = √(μα), γ = (1 − s)/(1 + s).
The worst cases below are those of performance estimation (PEPit, primal and dual agreeing):
over all μ-strongly convex l-smooth functions at once, μ = 0.1, l = 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from accbo import AccBO, Tape, move, run
from accbo._arrays import asarray, row, to_host
from accbo.algorithms import AccBOState
from accbo.conformance.mistakes.changes import resume
from accbo.problems import nonquadratic, quadratic
from theory_checks import lower_theory as theory
from theory_checks.backends import like
from theory_checks.harness import Outcome, Settings
from theory_checks.lower_steps import measure_step
from theory_checks.prescribed import OnPath
from theory_checks.statistics import Finding, exact

MU, SMOOTHNESS = 0.1, 1.0
STEPS = 40
WARM_STARTS = (0, 1, 2, 5)  # T0; the momentum is discarded after it
RATES = (math.sqrt(MU), 0.1, (math.sqrt(5) - 1) / 2, 0.8)  # s
ROUNDING = 256 * 2.0**-53  # relative, per step: a double root amplifies rounding by n


class WorstCase(NamedTuple):
    """After n steps from y_{−1} = y_0 at αl = 1; six digits as published with the sources."""

    gap: float  # f(y_n) − f* over f(y_0) − f* + (μ/2)‖y_0 − y*‖²
    lyapunov: float  # V_n/V_0
    square: float  # ‖y_n − y*‖²/‖y_0 − y*‖²
    eigenvector: float  # the same on quadratics


# performance estimation, the project's research notes (verification, §1)
WORST = {
    1: WorstCase(0.547939, 0.638772, 0.810000, 0.810000),
    2: WorstCase(0.347602, 0.400571, 0.582544, 0.582544),
    5: WorstCase(0.077120, 0.085594, 0.357466, 0.148846),
    10: WorstCase(0.0043322, 0.0046866, 0.040431, 0.0086475),
}
ATTAINED = (1, 2, 5)  # n at which no function has a larger V_n/V_0 than the μ-eigenvector
PRINTED = {1: 5e-7, 2: 5e-7, 5: 5e-7, 10: 5e-8}  # half a unit of their last digit
ONE_STEP = {1.0: 0.64061, 0.5: 0.75348, 0.25: 0.83005, 0.1: 0.89515}  # αl: largest V₊/V
ONE_STEP_PRINTED = 6e-6  # half a unit of the last digit, and a fifth of it for the solver

GRID = tuple(np.linspace(MU, SMOOTHNESS, 46))  # eigenvalues of the quadratics
TOO_LONG, TINY_MU = 1.1, 1e-3  # αl and μ at which V increases
ROUNDS = {"quick": 40, "full": 400}  # of the search
CROWD = 128
PAIRS = 20_000  # at random, beside it
SEARCHED = (5, 10)  # n
ENOUGH = 0.99  # of the worst quadratic, which the search must come to


# --- measurements -------------------------------------------------------------------------


def measure_eigenvector(settings: Settings, s: float) -> Outcome:
    """e_n/e_init on the μ-eigenvector, ``(T0, n)``, n = 0 … STEPS after each warm start."""
    return {"e": np.array([_along(settings, s, warm_start) for warm_start in WARM_STARTS])}


def _along(settings: Settings, s: float, warm_start: int) -> np.ndarray:
    here = like(settings.backend)
    problem = move(quadratic((MU, SMOOTHNESS), 2, rotate=False), here)
    algorithm = _algorithm(s**2 / MU, MU)
    result = run(
        OnPath(settings.apply_fault(algorithm), asarray(np.zeros(2), here)),
        problem,
        asarray(np.zeros(2), here),
        asarray(np.array([1.0, 0.0]), here),  # exactly: the other may be unstable
        steps=STEPS,
        warm_start=warm_start,
        record={"y": lambda state: state.y, "y_previous": lambda state: state.y_previous},
    )
    first = to_host(result.records["y_previous"])[:1, 0]
    return np.concatenate((first, to_host(result.records["y"])[:, 0]))


def measure_contraction(settings: Settings, length: float) -> Outcome:
    """The step of every eigenvalue of ``GRID`` at αl = ``length``, ``(h, 3, 3)``."""
    alpha = length / SMOOTHNESS
    lower = theory.Lower(np.zeros((1, 1)), alpha, _matched(alpha, MU), 0.4)
    return {"matrix": measure_step(settings, lower, GRID)["matrix"]}


def measure_too_long(settings: Settings) -> Outcome:
    """V₊/((1 − s)V) at αl = 1 and at 1.1, from the worst pair on the l-eigenvector."""
    problem = quadratic((TINY_MU, SMOOTHNESS), 2, rotate=False)
    found = []
    for length in (1.0, TOO_LONG):
        alpha = length / SMOOTHNESS
        y, y_previous = (np.array([[0.0, value]]) for value in worst_pair(alpha)[1])
        zero = np.zeros((1, 2))  # x, and y*
        ratio = _ratios(settings, problem, TINY_MU, alpha, zero, zero, y, y_previous)
        found.append(ratio[0] / (1 - theory.rate(TINY_MU, alpha)))
    return {"ratios": np.array(found)}


def measure_pairs(settings: Settings, length: float) -> Outcome:
    """The largest V₊/V found over (x, y, y_previous) on the g that is not quadratic."""
    problem = _curved()

    def ratios(points: np.ndarray) -> np.ndarray:
        x, y, y_previous = points[:, :2], points[:, 2:4], points[:, 4:]
        minimiser = problem.solution(x)
        pairs = (minimiser + y, minimiser + y_previous)
        return _ratios(settings, problem, MU, length / SMOOTHNESS, x, minimiser, *pairs)

    seed = settings.seed * 16 + list(ONE_STEP).index(length)
    points = _scattered(np.random.default_rng((seed, 1)), (PAIRS, 6))
    random = float(np.max(ratios(points)))
    return {
        "random": np.array(random),
        "found": np.array(largest(ratios, 6, ROUNDS[settings.profile], seed)),
    }


def measure_starts(settings: Settings, n: int) -> Outcome:
    """The largest values of the columns of ``WORST`` found over (x, y_0) on the same g."""
    problem, s = _curved(), theory.rate(MU, 1 / SMOOTHNESS)

    def column(name: str, points: np.ndarray) -> np.ndarray:
        x, y = points[:, :2], points[:, 2:]
        minimiser = problem.solution(x)
        last, now = (_warm_started(settings, x, minimiser + y, k) for k in (n - 1, n))
        gap, away, square = _gap(problem, x, minimiser, now), now - minimiser, np.sum(y**2, -1)
        before = _gap(problem, x, minimiser, minimiser + y) + MU / 2 * square
        found = {
            "gap": gap / before,
            "lyapunov": theory.lyapunov(gap, away, now - last, MU, s) / before,
            "square": np.sum(away**2, axis=-1) / square,
        }
        return np.where(_known(problem, x, minimiser + y, before), found[name], 0.0)

    seed = settings.seed * 16 + 8 + SEARCHED.index(n)
    rounds = ROUNDS[settings.profile]
    return {
        name: np.array(largest(functools.partial(column, name), 4, rounds, seed))
        for name in ("gap", "lyapunov", "square")
    }


def largest(value: Callable[[np.ndarray], np.ndarray], size: int, rounds: int, seed: int) -> float:
    """The largest ``value`` of points ``(crowd, size)`` that a search comes to.

    Differential evolution from points of all sizes; a crowd is one batch of replicates.
    """
    generator = np.random.default_rng((seed, 2))
    crowd = _scattered(generator, (CROWD, size))
    values = value(crowd)
    for _ in range(rounds):
        best = crowd[np.argmax(values)]
        one, two = (crowd[generator.permutation(CROWD)] for _ in range(2))
        weight = generator.uniform(0.3, 1.0, (CROWD, 1))
        trial = crowd + weight * (best - crowd) + weight * (one - two)
        trial = np.where(generator.random((CROWD, size)) < 0.8, trial, crowd)
        found = value(trial)
        better = found > values
        crowd, values = np.where(better[:, None], trial, crowd), np.where(better, found, values)
    return float(np.max(values))


def _scattered(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Points of random directions, sizes from 0.05 to 50."""
    sizes = 10 ** generator.uniform(np.log10(0.05), np.log10(50), (shape[0], 1))
    return sizes * generator.standard_normal(shape)


def _ratios(
    settings: Settings,
    problem: Any,
    mu: float,
    alpha: float,
    x: np.ndarray,
    minimiser: np.ndarray,
    y: np.ndarray,
    y_previous: np.ndarray,
) -> np.ndarray:
    """V₊/V of one of AccBO's own lower steps from every pair, ``(R,)``."""
    after = _stepped(settings, problem, _algorithm(alpha, mu), x, y, y_previous)
    s = theory.rate(mu, alpha)
    values = [
        theory.lyapunov(_gap(problem, x, minimiser, now), now - minimiser, now - last, mu, s)
        for now, last in ((y, y_previous), (after, y))
    ]
    return np.where(_known(problem, x, y, values[0]), values[1] / values[0], 0.0)


def _gap(problem: Any, x: np.ndarray, minimiser: np.ndarray, y: np.ndarray) -> np.ndarray:
    """f(y) − f*, ``(R,)``."""
    return problem.lower(x, y) - problem.lower(x, minimiser)


def _known(problem: Any, x: np.ndarray, y: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Where a difference of values of g has eight digits left."""
    return value > 1e-8 * (1 + np.abs(problem.lower(x, y)))


def _stepped(
    settings: Settings,
    problem: Any,
    algorithm: AccBO,
    x: np.ndarray,
    y: np.ndarray,
    y_previous: np.ndarray,
) -> np.ndarray:
    """y_{t+1} of one step from arbitrary pairs, ``(R, 2)``."""
    here = like(settings.backend)
    faulty, moved = settings.apply_fault(algorithm), move(problem, here)
    x, y, y_previous = (asarray(values, here) for values in (x, y, y_previous))
    state = AccBOState(x, x, y, y_previous, y, y, 0 * x, 1)
    sample = row(Tape(0).open(x).block(faulty.draw(moved), 1), 0)
    return to_host(faulty.step(moved, resume(faulty, state), sample).y)


def _warm_started(settings: Settings, x: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    """y_0 after a warm start of ``n`` steps, ``(R, 2)``."""
    here = like(settings.backend)
    algorithm = settings.apply_fault(_algorithm(1 / SMOOTHNESS, MU))
    problem = move(_curved(), here)
    x, y = asarray(x, here), asarray(y, here)
    start = Tape(0).open(x).start(algorithm.draw_start(problem, n, 1))
    return to_host(algorithm.init(problem, x, y, start).y_previous)


def _algorithm(alpha: float, mu: float) -> AccBO:
    return AccBO(
        lower_step_size=alpha,
        lower_momentum=_matched(alpha, mu),
        averaging=0.4,
        momentum=0.7,
        upper_step_size=0.1,
        neumann_terms=1,
        neumann_scale=1.2 * SMOOTHNESS,
    )


def _matched(alpha: float, mu: float) -> float:
    return theory.matched_momentum(theory.rate(mu, alpha))


@functools.lru_cache(maxsize=1)
def _curved() -> Any:
    """½yᵀHy − yᵀCx + k Σ log cosh(y − Wx): curvature from μ = 0.1 to l = 1."""
    return nonquadratic((MU, SMOOTHNESS / 2), 2, strength=SMOOTHNESS / 2, seed=2)


# --- decisions ----------------------------------------------------------------------------


def worst_pair(alpha: float) -> tuple[float, np.ndarray]:
    """The largest V₊/V on the l-eigenvector at ``TINY_MU``, and its pair; by the theory."""
    gamma = _matched(alpha, TINY_MU)
    step = theory.step_of(SMOOTHNESS, theory.Lower(np.zeros((1, 1)), alpha, gamma, 0.4))
    s = theory.rate(TINY_MU, alpha)
    return theory.contraction(SMOOTHNESS, step.matrix[:2, :2], TINY_MU, s)


def judge_eigenvector(s: float, outcome: Outcome) -> list[Finding]:
    """(1 + ns)(1 − s)^n after warm starts that follow the same law and lose their momentum."""
    n = np.arange(STEPS + 1)
    after = theory.error_without_noise(np.array(WARM_STARTS), s)[:, None]
    ratios = (outcome["e"] / (after * theory.error_without_noise(n, s))).ravel()
    worst = ratios[np.argmax(np.abs(ratios - 1))]
    claim = (1 + s) ** 2 * (1 - s)  # above 1 for s < 0.618
    tempting = outcome["e"][0, 1] ** 2 / (1 - s)
    return [
        exact(f"e_n/((1 + ns)(1 − s)^n), s = {s:.3f}", 1.0, worst, ROUNDING * STEPS),
        exact(f"‖e_1‖²/((1 − s)‖e_0‖²), s = {s:.3f}", claim, tempting, ROUNDING),
    ]


def judge_published(outcome: Outcome) -> list[Finding]:
    """The worst cases that a quadratic attains, at αl = 1 and μ = 0.1."""
    e, s = outcome["e"][0][:, None], RATES[0]
    findings = []
    for n, worst in WORST.items():
        last = theory.lyapunov(MU / 2 * np.sum(e[n] ** 2), e[n], e[n] - e[n - 1], MU, s)
        square, decrease = float(e[n, 0] ** 2), float(last) / MU  # V_0 = μ e_0²
        label, tolerance = f"n = {n}, published", PRINTED[n]
        findings.append(exact(f"‖e_n‖²/‖e_0‖², {label}", worst.eigenvector, square, tolerance))
        if n in ATTAINED:
            findings.append(exact(f"V_n/V_0, {label}", worst.lyapunov, decrease, tolerance))
    return findings


def contractions(outcome: Outcome, length: float) -> np.ndarray:
    """The largest V₊/V of each eigenvalue of ``GRID``, from its measured step."""
    s = theory.rate(MU, length / SMOOTHNESS)
    pairs = outcome["matrix"][:, :2, :2]
    return np.array(
        [theory.contraction(h, pair, MU, s)[0] for h, pair in zip(GRID, pairs, strict=True)]
    )


def judge_contraction(length: float, outcome: Outcome) -> list[Finding]:
    """The worst quadratic attains the published worst case of one step."""
    worst = float(np.max(contractions(outcome, length)))
    quantity = f"largest V₊/V on quadratics, αl = {length}"
    return [exact(quantity, ONE_STEP[length], worst, ONE_STEP_PRINTED)]


def judge_pairs(length: float, outcome: Outcome) -> list[Finding]:
    """No pair beats the published worst case; the search comes near, so it could have."""
    s = theory.rate(MU, length / SMOOTHNESS)
    bound = ONE_STEP[length] + ONE_STEP_PRINTED
    found = max(float(outcome["found"]), float(outcome["random"]))
    quantity = f"largest V₊/V found, g curved, αl = {length}"
    assert bound < 1 - s
    return [_between(quantity, ENOUGH * ONE_STEP[length], bound, found)]


def judge_starts(n: int, outcome: Outcome) -> list[Finding]:
    """The same after n steps; the μ-eigenvector's are the least that a search has to come to."""
    s, worst = RATES[0], WORST[n]
    e, last = (float(theory.error_without_noise(k, s)) for k in (n, n - 1))
    move, gap = np.array([e - last]), np.array(MU / 2 * e**2)
    quadratics = {
        "gap": float(gap) / MU,  # V_0 = μ e_0²
        "lyapunov": float(theory.lyapunov(gap, np.array([e]), move, MU, s)) / MU,
        "square": e**2,
    }
    labels = {"gap": "gap_n/V_0", "lyapunov": "V_n/V_0", "square": "‖e_n‖²/‖e_0‖²"}
    return [
        _between(
            f"largest {labels[name]} found, g curved, n = {n}",
            ENOUGH * least,
            getattr(worst, name) + PRINTED[n],
            float(outcome[name]),
        )
        for name, least in quadratics.items()
    ]


def judge_too_long(outcome: Outcome) -> list[Finding]:
    """At αl = 1 the worst pair of a quadratic decreases as promised, at 1.1 it does not."""
    findings = []
    for ratio, length in zip(outcome["ratios"], (1.0, TOO_LONG), strict=True):
        alpha = length / SMOOTHNESS
        predicted = worst_pair(alpha)[0] / (1 - theory.rate(TINY_MU, alpha))
        assert (predicted > 1) == (length > 1)
        quantity = f"V₊/((1 − s)V), worst pair, αl = {length}"
        findings.append(exact(quantity, predicted, float(ratio), 1e-10))
    return findings


def _between(quantity: str, least: float, most: float, measured: float) -> Finding:
    rule = f"from {least:.6g} to the prediction"
    return Finding(quantity, most, measured, None, rule, least <= measured <= most)
