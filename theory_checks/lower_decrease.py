"""The lower level without noise at a fixed x: its exact law, and how fast it must decrease.

V = f(y) − f* + (μ/2)‖y − y* + (1/s − 1)(y − y_previous)‖², s = √(μα), γ = (1 − s)/(1 + s).
That V falls by 1 − s is read off an equality on AccBO's own steps (SPEC 4.12), whatever g is;
how much faster a quadratic's worst pair falls follows from the matrix of the step.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from accbo import AccBO, Tape, move, run
from accbo._arrays import asarray, row, to_host
from accbo.algorithms import AccBOState
from accbo.conformance.mistakes.changes import resume
from accbo.problems import quadratic

from . import lower_theory as theory
from .backends import like
from .consistency import expect
from .harness import Outcome, Settings
from .lower_steps import measure_step
from .own_path import instances, lyapunov
from .own_path.path import starting_points, trace
from .own_path.recursion import worst_of
from .prescribed import OnPath
from .statistics import Finding, at_least, at_most, exact

MU, SMOOTHNESS = 0.1, 1.0
STEPS = 40
WARM_STARTS = (0, 1, 2, 5)  # T0; the momentum is discarded after it
RATES = (math.sqrt(MU), 0.1, (math.sqrt(5) - 1) / 2, 0.8)  # s
ROUNDING = 256 * 2.0**-53  # relative, per step: a double root amplifies rounding by n

LENGTHS = (1.0, 0.5, 0.25, 0.1)  # αl at which the worst pair of a quadratic is measured
GRID = tuple(np.linspace(MU, SMOOTHNESS, 46))  # eigenvalues of the quadratics
TOO_LONG, TINY_MU = 1.1, 1e-3  # αl and μ at which V increases
WITNESS = 1e-10  # rounding of V₊/V where V is of the size of 1

IDENTITIES = {  # name: problem, αl, scale of the noise below
    "quadratic": ("quadratic", (1.0, 0.3, 0.05), 0.0),
    "curved": ("curved", (1.0, 0.3, 0.05), 0.0),
    "curved, noisy": ("curved", (1.0, 0.3), 1.0),
    "finite sum": ("finite sum", (1.0, 0.3), 1.0),
}
DRIFT = 0.02  # η: x moves


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
    """V₊/((1 − s)V) at αl = 1 and at 1.1, from the worst pair on the l-eigenvector; y* = 0."""
    problem = quadratic((TINY_MU, SMOOTHNESS), 2, rotate=False)
    found = []
    for length in (1.0, TOO_LONG):
        alpha = length / SMOOTHNESS
        y, y_previous = (np.array([[0.0, value]]) for value in worst_pair(alpha)[1])
        x, s = np.zeros((1, 2)), theory.rate(TINY_MU, alpha)
        after = _stepped(settings, problem, _algorithm(alpha, TINY_MU), x, y, y_previous)
        before, later = (
            theory.lyapunov(problem.lower(x, now), now, now - last, TINY_MU, s)
            for now, last in ((y, y_previous), (after, y))
        )
        found.append(later[0] / before[0] / (1 - s))
    return {"ratios": np.array(found)}


def measure_identity(settings: Settings, name: str) -> Outcome:
    """Both sides of SPEC 4.12 on AccBO's own lower steps, and the four terms."""
    instance, lengths, scale = IDENTITIES[name]
    problem = instances.problems()[instance]
    found = []
    for index, length in enumerate(lengths):
        order = instances.ORDERS[index % 2]
        where = instances.Combination(order, "I", "chained", instance, 8)
        alpha = length / problem.constants.curvature
        algorithm = dataclasses.replace(
            instances.algorithm(problem, where, upper_step_size=DRIFT),
            lower_step_size=alpha,
            lower_momentum=_matched(alpha, problem.constants.mu),
        )
        seed = settings.seed * len(lengths) + index
        start, tape = starting_points(problem, 3, seed), Tape(seed, lower_scale=scale)
        path, samples = trace(settings, problem, algorithm, start, tape, STEPS)
        found.append(lyapunov.decrease(problem, algorithm, path, samples))
    deviations = [each.deviation for each in found]
    worst = max(range(len(found)), key=lambda index: deviations[index].ratio)
    kept = [each.after / (each.kept * each.before + each.rounding) for each in found]
    return {
        "worst": np.array(worst_of(deviations[worst].error, deviations[worst].allowed)),
        "least": np.min([each.least for each in found], axis=0),
        "kept": np.array([np.max(ratio) for ratio in kept]),
    }


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


def contractions(outcome: Outcome, length: float) -> np.ndarray:
    """The largest V₊/V of each eigenvalue of ``GRID``, from its measured step."""
    s = theory.rate(MU, length / SMOOTHNESS)
    pairs = outcome["matrix"][:, :2, :2]
    return np.array(
        [theory.contraction(h, pair, MU, s)[0] for h, pair in zip(GRID, pairs, strict=True)]
    )


def worst_quadratic(length: float) -> float:
    """The largest V₊/V over pairs and eigenvalues of ``GRID``, by the theory's matrix."""
    alpha = length / SMOOTHNESS
    lower = theory.Lower(np.zeros((1, 1)), alpha, _matched(alpha, MU), 0.4)
    steps = [theory.step_of(h, lower).matrix for h in GRID]
    return float(np.max(contractions({"matrix": np.array(steps)}, length)))


def judge_contraction(length: float, outcome: Outcome) -> list[Finding]:
    """The worst pair of a quadratic, of AccBO's step and of the theory's; below 1 − s."""
    predicted = worst_quadratic(length)
    rate = 1 - theory.rate(MU, length / SMOOTHNESS)
    expect(predicted < rate, "the worst pair of a quadratic stays below 1 − s")
    worst = float(np.max(contractions(outcome, length)))
    quantity = f"largest V₊/V on quadratics, αl = {length}"
    return [exact(quantity, predicted, worst, WITNESS)]


def judge_identity(name: str, outcome: Outcome) -> list[Finding]:
    """The equality, and where the gradient is that of g the signs and the rate."""
    _, error, allowed = (float(value) for value in outcome["worst"])
    findings = [exact(f"(1 − s)V − V₊ − its four terms, {name}", 0.0, error, allowed)]
    if IDENTITIES[name][2] == 0:
        least, kept = float(np.min(outcome["least"])), float(np.max(outcome["kept"]))
        findings.append(at_least(f"least of the four terms/rounding, {name}", -1.0, least))
        findings.append(at_most(f"V₊/((1 − s)V) on AccBO's path, {name}", 1.0, kept))
    return findings


def judge_too_long(outcome: Outcome) -> list[Finding]:
    """At αl = 1 the worst pair of a quadratic decreases as promised, at 1.1 it does not."""
    findings = []
    for ratio, length in zip(outcome["ratios"], (1.0, TOO_LONG), strict=True):
        alpha = length / SMOOTHNESS
        predicted = worst_pair(alpha)[0] / (1 - theory.rate(TINY_MU, alpha))
        expect((predicted > 1) == (length > 1), "only above αl = 1 the decrease is lost")
        quantity = f"V₊/((1 − s)V), worst pair, αl = {length}"
        findings.append(exact(quantity, predicted, float(ratio), WITNESS))
    return findings
