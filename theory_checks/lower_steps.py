"""AccBO's own lower step as a matrix, and how its tracking error scales with ε.

The step is affine on a quadratic, so that its values at six states are all of it: the matrix of
(y, y_previous, ŷ), the weight of y* and that of the noise. The stationary law follows by linear
algebra for any ε, however many steps it would take to reach it; runs show that it is reached.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from accbo import AccBO, Tape, move, run
from accbo._arrays import asarray, row, to_host
from accbo.algorithms import AccBOState
from accbo.conformance.mistakes.changes import resume
from accbo.problems import LowerNoise, Quadratic, quadratic

from . import lower_theory as theory
from .backends import like
from .harness import Outcome, Settings
from .prescribed import OnPath
from .statistics import Finding, equal_mean, equal_variance, exact, near

MU, OTHER = 0.7, 1.9  # the eigenvalues; L/μ does not matter to orders in ε
COPIES = 4
ADDITIVE = 0.8  # σ² = ADDITIVE² ε
PACE = 0.4  # drift of y* per step: PACE ε²
START = np.array([0.6, -0.4])  # of x
DIRECTION = np.array([1.0, 0.4])  # y* = u·x in every coordinate
GENERIC = theory.Lower(np.zeros((1, 1)), 0.17, 0.62, 0.23, ADDITIVE)
EXPONENTS = (-2, -3, -4)  # log2 ε of the runs
FINE = (-9, -10)  # and of the matrices
RELAXATIONS = 4.0  # length of a run in units of 1/(μα), SGD's time at equal α
ROUNDING = 16 * 2.0**-53


class Rival(NamedTuple):
    """How one follower of y* depends on ε; α = ε²."""

    label: str
    gradient: bool  # SGD: γ = 0, τ = 1
    long_step: bool  # ½√(α/μ) instead of α
    exponent: float  # of the stationary tracking error


RIVALS = {
    "SNAG": Rival("SNAG with averaging", False, False, 1.0),
    "SGD": Rival("SGD at equal α", True, False, 0.0),
    "SGD, long": Rival("SGD at ½√(α/μ)", True, True, 1.0),
}


def lower_of(rival: str, epsilon: float) -> theory.Lower:
    """The parameters of a rival, on one eigenvalue at a time."""
    kind, alpha = RIVALS[rival], epsilon**2
    sigma = ADDITIVE * math.sqrt(epsilon)
    nothing = np.zeros((1, 1))
    if kind.gradient:
        step = math.sqrt(alpha / MU) / 2 if kind.long_step else alpha
        return theory.Lower(nothing, step, 0.0, 1.0, sigma)
    s = theory.rate(MU, alpha)
    return theory.Lower(nothing, alpha, theory.matched_momentum(s), s, sigma)


# --- measurements -------------------------------------------------------------------------


def measure_step(
    settings: Settings, lower: theory.Lower, spectrum: tuple[float, ...] = (MU, OTHER)
) -> Outcome:
    """``matrix`` ``(h, 3, 3)``, ``target`` and ``noise`` ``(h, 3)`` of AccBO's own step."""
    here = like(settings.backend)
    problem = move(_problem(spectrum, 1), here)
    algorithm = settings.apply_fault(_algorithm(lower))
    size = len(spectrum)
    # six replicates: 0, a unit of each part of v, of y* and of the noise
    unit = np.repeat(np.eye(6)[:, :, None], size, axis=2)
    x = np.zeros((6, 2))
    x[4] = DIRECTION / (DIRECTION @ DIRECTION)
    y, y_previous, y_average, x = (asarray(a, here) for a in (*unit[1:4], x))
    state = AccBOState(x, x, y, y_previous, y_average, y_average, 0 * x, 1)
    sample = row(Tape(0, lower_scale=0.0).open(x).block(algorithm.draw(problem), 1), 0)
    sigma = lower.sigma / ADDITIVE
    sample = sample._replace(lower={"additive": asarray(sigma * unit[5][None], here)})
    after = algorithm.step(problem, resume(algorithm, state), sample)
    values = np.stack([to_host(part) for part in (after.y, after.y_previous, after.y_average)])
    columns = np.moveaxis(values - values[:, :1], 2, 0)  # (h, 3, 6)
    return {
        "matrix": columns[:, :, 1:4],
        "target": columns[:, :, 4],
        "noise": columns[:, :, 5],
        "zero": values[:, 0].T,
    }


def measure_rival(
    settings: Settings, rival: str, exponent: int, first: int, replicates: int
) -> Outcome:
    """y* − ŷ of the μ-coordinates after 4/(μα) steps, ``(R, COPIES)``."""
    epsilon = 2.0**exponent
    here = like(settings.backend)
    problem = move(_problem((MU, OTHER), COPIES), here)
    algorithm = settings.apply_fault(_algorithm(lower_of(rival, epsilon)))
    drift = _drift(epsilon)
    x = asarray(np.broadcast_to(START, (replicates, 2)).copy(), here)
    number = list(RIVALS).index(rival) * len(EXPONENTS) + EXPONENTS.index(exponent)
    steps = steps_of(epsilon)
    result = run(
        OnPath(algorithm, asarray(drift, here)),
        problem,
        x,
        problem.solution(x),
        steps=steps,
        noise=Tape(
            settings.seed * len(RIVALS) * len(EXPONENTS) + number,
            lower_scale=math.sqrt(epsilon),
            first_replicate=first,
        ),
    )
    target = float(DIRECTION @ (START + steps * drift))
    return {"error": target - to_host(result.state.y_average)[:, :COPIES]}


def steps_of(epsilon: float) -> int:
    """Length of a run."""
    return math.ceil(RELAXATIONS / (MU * epsilon**2))


def _drift(epsilon: float) -> np.ndarray:
    """Of x, such that y* moves by PACE ε²."""
    return PACE * epsilon**2 * DIRECTION / (DIRECTION @ DIRECTION)


def _problem(spectrum: tuple[float, ...], copies: int) -> Quadratic:
    values = [h for h in spectrum for _ in range(copies)]
    return quadratic(
        values,
        2,
        coupling=np.outer(values, DIRECTION),
        rotate=False,
        target=0.8,
        noise_lower=LowerNoise(additive=ADDITIVE),
    )


def _algorithm(lower: theory.Lower) -> AccBO:
    return AccBO(
        lower_step_size=lower.step_size,
        lower_momentum=lower.momentum,
        averaging=lower.averaging,
        momentum=0.7,
        upper_step_size=0.1,
        neumann_terms=2,
        neumann_scale=1.2 * OTHER,
    )


# --- decisions ----------------------------------------------------------------------------


def judge_step(outcome: Outcome) -> list[Finding]:
    """The matrix of SPEC 4.3, the weight of y* and the noise, entry by entry."""
    findings = []
    for index, h in enumerate((MU, OTHER)):
        predicted = theory.step_of(h, GENERIC)
        deviations = [outcome[name][index] - getattr(predicted, name) for name in predicted._fields]
        deviations.append(outcome["zero"][index])
        worst = max(float(np.max(np.abs(deviation))) for deviation in deviations)
        findings.append(exact(f"entry of one step − theory's, h = {h}", 0.0, worst, ROUNDING))
    return findings


class Tracking(NamedTuple):
    """What follows from a measured step: lag and variance of y and ŷ, per eigenvalue."""

    lag: np.ndarray  # (h, 3)
    variance: np.ndarray  # (h, 3)

    @property
    def error(self) -> np.ndarray:
        """Root mean square of y* − v, ``(h, 3)``."""
        return np.sqrt(self.lag**2 + self.variance)


def tracking(outcome: Outcome, drift: float) -> Tracking:
    """The stationary law of a measured step."""
    found = [
        theory.stationary(theory.Step(*parts), drift)
        for parts in zip(outcome["matrix"], outcome["target"], outcome["noise"], strict=True)
    ]
    return Tracking(
        np.array([lag for lag, _ in found]),
        np.array([np.diag(covariance) for _, covariance in found]),
    )


def judge_scaling(steps: dict[tuple[str, int], Outcome]) -> list[Finding]:
    """Exponents and leading orders at the finest ε, and what they leave out: O(s), s = √(μα).

    By SPEC 4.3's closed forms a ratio to its leading order is 1 + Cs + O(s²): of the lags
    (1 + s(1 − s)h/2μ)/(1 + s), of the variances C = 1 − h/2μ, of SGD's h/4μ; |C| ≤ h/2μ = 1.36
    here. A slope between s and 2s is off by Cs/log 2 ≤ 1.97 s. At equal α SGD's is off by less:
    ``_room_at_equal_step``. Var ŷ/Var y is an equality.
    """
    found = {
        (rival, exponent): tracking(step, PACE * 4.0**exponent)
        for (rival, exponent), step in steps.items()
    }
    coarse, fine = FINE
    s = math.sqrt(MU) * 2.0**fine
    tolerance = 2 * s
    findings = []
    for name, rival in RIVALS.items():
        ratio = found[name, coarse].error[0, 2] / found[name, fine].error[0, 2]
        slope = math.log2(ratio) / (coarse - fine)
        room = _room_at_equal_step(2.0**coarse) if name == "SGD" else tolerance
        findings.append(near(f"exponent in ε, {rival.label}", rival.exponent, slope, room))
    snag, long = found["SNAG", fine], found["SGD, long", fine]
    alpha, drift = 4.0**fine, PACE * 4.0**fine
    sigma2 = ADDITIVE**2 * 2.0**fine
    for index, h in enumerate((MU, OTHER)):
        lag = 2 * drift * math.sqrt(MU) / (h * math.sqrt(alpha))
        spread = sigma2 * math.sqrt(alpha) / (4 * h * math.sqrt(MU))
        rms = long.error[index, 0] / snag.error[index, 0]
        for quantity, value in (
            ("lag of y/(2c√μ/(h√α))", snag.lag[index, 0] / lag),
            ("Var y/(σ²√α/(4h√μ))", snag.variance[index, 0] / spread),
            ("error of y, SGD at ½√(α/μ)/SNAG's", rms),
        ):
            findings.append(near(f"{quantity}, h = {h}", 1.0, value, tolerance))
    share = snag.variance[0, 2] / snag.variance[0, 0]
    # a rounding u of an entry moves what is left of 1 in a step, s², by 16u
    allowed = 2 * ROUNDING / s**2
    findings.append(exact("Var ŷ/Var y at h = μ", averaged_share(s), share, allowed))
    return findings


def _room_at_equal_step(epsilon: float) -> float:
    """How far the exponent of SGD's error at α = ε² may be from 0, between ε/2 and ``epsilon``.

    The lag PACE/h is the same for all ε; the error's square is v = O(ε³) more, relative to it. That
    is the whole of it but for 1 − a = αh of the measured entry a, off by its rounding.
    """
    step = epsilon**2
    variance = theory.gradient_variance(MU, ADDITIVE * math.sqrt(epsilon), step)
    return math.log2(1 + variance * (MU / PACE) ** 2) / 2 + 2 * ROUNDING / (MU * step / 4)


def averaged_share(s: float) -> float:
    """Var ŷ/Var y at h = μ, which tends to ¾.

    There y is moved by (n + 1)(1 − s)^n of the noise n steps ago, ŷ by s(n + 1)(n + 2)/2 (1 − s)^n.
    With q = (1 − s)² the sums of squares are (1 + q)/(1 − q)³ and s²(1 + 4q + q²)/(1 − q)⁵.
    """
    q = (1 - s) ** 2
    return (1 + 4 * q + q * q) / ((1 + q) * (2 - s) ** 2)


@functools.lru_cache(maxsize=16)
def law_of_run(rival: str, exponent: int) -> tuple[float, float]:
    """Exact lag and variance of ŷ of the μ-coordinate at the end of a run."""
    epsilon = 2.0**exponent
    lower = lower_of(rival, epsilon)._replace(hessian=np.array([[MU]]))
    x = START + np.arange(steps_of(epsilon) + 1)[:, None] * _drift(epsilon)
    targets = (x @ DIRECTION)[:, None]
    *_, law = theory.path_laws(lower, targets[0], targets[:-1], 0)
    return float(targets[-1, 0] - law.mean[2]), float(law.covariance[2, 2])


def judge_rival(rival: str, exponent: int, errors: np.ndarray) -> list[Finding]:
    """The lag and the variance of ŷ in a run, against the exact law at its end."""
    lag, spread = law_of_run(rival, exponent)
    label = f"{RIVALS[rival].label}, ε = 2^{exponent}"
    deviation = math.sqrt(spread / errors.size)
    ratio = float(np.mean((errors - lag) ** 2)) / spread
    return [
        equal_mean(f"y* − ŷ, {label}", lag, float(np.mean(errors)), deviation),
        equal_variance(f"Var ŷ, {label}", spread, ratio, errors.size),
    ]
