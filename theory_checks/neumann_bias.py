"""Bias of the truncated Neumann series, as an equality (SPEC 4.1).

Claim       H⁻¹v − S_Q v = (I − H/l)^Q H⁻¹ v, at most (1 − μ/l)^Q ‖v‖/μ, attained on the
            μ-eigenvector; the three samplings all have the expectation S_Q v.
Regime      a quadratic problem with C = I, so that m_0 = h_0 = w∘x + S v is what AccBO's own
            ``init`` returns: the real code path, from the sample to the momentum.
Statistic   without noise, S v itself; with Hessian noise, its mean over ALL outcomes of the
            signs (d = 2), and over a tape of R draws (d = 6) along S_Q v and in total variance;
            on a finite sum the mean of h itself over ALL outcomes of the index batches.
Rule        rounding where deterministic or enumerated; two-sided z tests where sampled, with
            the exact covariance of the series for the mean. The error of the variance comes from
            the draws, as for symmetric values; theirs are skewed by up to 1.8, which after 20,000
            of them takes nothing from the level: exp(1.8·6.5³/(3√20000)) = 3 times the normal tail
            beyond 6.5, 6e-11.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from accbo import AccBO, Tape, move
from accbo._arrays import asarray, index_dtype, to_host
from accbo.algorithms import AccBOSample
from accbo.problems import LowerNoise, Quadratic, quadratic
from accbo.sampling import Start, random_rotation

from . import batches
from .backends import like
from .harness import Outcome, Piece, Settings
from .panels import Curve, Panel
from .statistics import Finding, equal_mean, equality_power, estimated_mean, exact

NAME = "neumann_bias"
CLAIM = "E h has the bias (I − H/l)^Q H⁻¹ v, attained at (1 − μ/l)^Q ‖v‖/μ, in all samplings"
IN_WORDS = "the series is off by its known bias, no more"
NOT_SHOWN = "h on AccBO's own path, nor Q > 10"
SOURCE = "SPEC 4.1"
EFFECT = "a mean off by 8 standard errors: 2.4 % of S_Q v (randomised), 0.4 % (the others)"
KILLS = (
    "series from q = 1",
    "one term too few",
    "one term too many",
    "1/l missing",
    "random term without Q",
    "one sample for all factors",
    "sign of the implicit term",
    "cross derivative at the wrong point",
)
DESIGNATED = "series from q = 1"
VARIATIONS = ()

SAMPLINGS = ("chained", "independent", "randomised")
TERMS = (1, 2, 5, 10)
SCALE = 2.6
SPECTRUM = (0.3, 0.7, 1.1, 1.5, 1.9, 2.2)
CURVATURE = 0.25  # noise of the Hessian
ENUMERATED = 3  # Q of the enumeration
SAMPLED = 6  # Q of the sampled part
DRAWS = {"quick": 20_000, "full": 200_000}
GROUP = 10_000
ROUNDING = 64 * 2.0**-53  # relative; at most 4 Q roundings of terms of size ‖v‖/l each


def pieces(settings: Settings) -> list[Piece]:
    """One deterministic piece, one enumeration and some groups of draws per sampling."""
    groups = DRAWS[settings.profile] // GROUP
    sampled = [("sampled", name, group) for name in SAMPLINGS for group in range(groups)]
    enumerated = [(kind, name) for kind in ("enumerated", "batches") for name in SAMPLINGS]
    keys: list[tuple[Any, ...]] = [("bias",), *enumerated, *sampled]
    return [Piece(NAME, key, 0.5) for key in keys]


def measure(settings: Settings, piece: Piece) -> Outcome:
    """The series' values, as AccBO's own ``init`` computes them."""
    kind, *rest = piece.key
    if kind == "bias":
        return _deterministic(settings)
    if kind == "enumerated":
        return _enumerated(settings, *rest)
    if kind == "batches":
        return _batches(settings, *rest)
    return _sampled(settings, *rest)


def judge(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """Equalities for the bias and its bound, for every sampling's mean and variance."""
    findings = _judge_bias(outcomes["bias",])
    for sampling in SAMPLINGS:
        findings.append(_judge_enumerated(sampling, outcomes["enumerated", sampling]))
    for sampling in SAMPLINGS:
        findings.append(_judge_batches(sampling, outcomes["batches", sampling]))
    for sampling in SAMPLINGS:
        keys = [key for key in sorted(outcomes, key=str) if key[:2] == ("sampled", sampling)]
        samples = np.concatenate([outcomes[key]["draws"] for key in keys])
        findings.extend(_judge_sampled(sampling, samples))
    return findings


def panels(
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    findings: Sequence[Finding],
) -> list[Panel]:
    """The bias against Q on its bound, and how the sampled means and variances compare."""
    hessian, vectors, mu = _matrix(SPECTRUM), _vectors(), min(SPECTRUM)
    sizes = np.linalg.norm(vectors, axis=-1)
    inverse = np.linalg.solve(hessian, vectors.T).T
    ratios = np.array(
        [np.linalg.norm(inverse - outcomes["bias",][str(q)], axis=-1) / sizes for q in TERMS]
    )
    line = np.arange(1, max(TERMS) + 1)
    sampled = [finding for finding in findings if finding.interval is not None]
    steps = np.arange(len(sampled))
    scale = np.array([finding.predicted for finding in sampled])
    ends = np.array([finding.interval for finding in sampled]) / scale[:, None]
    return [
        Panel(
            "Bias of the truncated series",
            "‖H⁻¹v − S_Q v‖/‖v‖ for 20 vectors. On the μ-eigenvector the bound is attained, on "
            "the others the bias is smaller; none lies above the line.",
            "terms Q",
            "relative bias",
            [
                Curve("the μ-eigenvector", TERMS, ratios[:, 0], group="μ"),
                Curve("(1 − μ/l)^Q/μ", line, (1 - mu / SCALE) ** line / mu, None, None, True, "μ"),
                Curve("median of the others", TERMS, np.median(ratios[:, 1:], axis=1)),
            ],
            log_y=True,
        ),
        Panel(
            "Mean and variance of the three samplings",
            "Measured over predicted, with intervals of level 1 − 10⁻⁹.",
            "",
            "measured / predicted",
            [
                Curve("prediction", [-0.5, len(sampled) - 0.5], [1.0, 1.0], predicted=True),
                Curve(
                    "measured",
                    steps,
                    np.array([finding.measured for finding in sampled]) / scale,
                    ends[:, 0],
                    ends[:, 1],
                ),
            ],
            ticks=[finding.quantity for finding in sampled],
        ),
    ]


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Against ``EFFECT``."""
    return equality_power(8.0)


# --- measurements -------------------------------------------------------------------------


def _algorithm(settings: Settings, terms: int, sampling: str, scale: float = SCALE) -> Any:
    return settings.apply_fault(
        AccBO(
            lower_step_size=0.1,
            lower_momentum=0.6,
            averaging=0.3,
            momentum=0.9,
            upper_step_size=0.1,
            neumann_terms=terms,
            neumann_scale=scale,
            neumann_sampling=sampling,
        )
    )


def _problem(spectrum: Sequence[float], curvature: float) -> Quadratic:
    """C = I and t = 0: m_0 = w∘x + S v with v = y."""
    size = len(spectrum)
    return quadratic(
        spectrum,
        size,
        rotation=random_rotation(size, 0),
        coupling=np.eye(size),
        weights=0.7,
        target=0.0,
        noise_lower=LowerNoise(curvature=curvature),
    )


def _series(problem: Quadratic, momentum: Any, x: np.ndarray) -> np.ndarray:
    return to_host(momentum) - to_host(problem.weights) * x


def _init(settings: Settings, algorithm: Any, problem: Quadratic, v: np.ndarray, start: Any) -> Any:
    """S v for every row of ``v``; ``start`` is a tape or the samples themselves."""
    here = like(settings.backend)
    moved = move(problem, here)
    x = np.full_like(v, 0.4)
    x_here, y_here = asarray(x, here), asarray(v, here)
    if isinstance(start, Tape):
        start = start.open(x_here).start(algorithm.draw_start(moved, 0, 1))
    state = algorithm.init(moved, x_here, y_here, start)
    return _series(problem, state.momentum, x)


def _vectors() -> np.ndarray:
    """The μ-eigenvector first, then vectors that no eigenvector is near."""
    count = 20
    rotation = random_rotation(len(SPECTRUM), 0)
    angles = np.arange(1, count * len(SPECTRUM) + 1).reshape(count, -1)
    return np.concatenate((rotation[:, :1].T, np.sin(angles**1.5)))


def _deterministic(settings: Settings) -> Outcome:
    problem, v = _problem(SPECTRUM, 0.0), _vectors()
    return {
        str(terms): _init(settings, _algorithm(settings, terms, "chained"), problem, v, Tape(0))
        for terms in TERMS
    }


def _enumerated(settings: Settings, sampling: str) -> Outcome:
    """S v on every outcome of the signs (and of q), one outcome a replicate."""
    algorithm = _algorithm(settings, ENUMERATED, sampling)
    problem = _problem(SPECTRUM[:2], 0.25)
    layout = algorithm.draw_start(problem, 0, 1).first
    rows = layout.hessian["curvature"].leading[1]
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=2 * rows)))
    powers = np.arange(ENUMERATED) if layout.power else np.zeros(1)
    outcomes = len(signs) * len(powers)
    hessian = np.repeat(signs.reshape(-1, rows, 2), len(powers), axis=0)
    here = like(settings.backend)
    power = np.tile(powers, len(signs)).reshape(1, outcomes, 1)
    blank = np.zeros((1, outcomes, 0))
    sample = AccBOSample(
        upper={"none": asarray(blank, here)},
        cross={"none": asarray(blank, here)},
        hessian={"curvature": asarray(np.moveaxis(hessian, 0, 1)[None], here)},
        power={"power": asarray(power.astype(np.int64), here, index_dtype(here))}
        if layout.power
        else {},
        lower={"curvature": asarray(np.ones((1, outcomes, 2)), here)},
    )
    start = Start({"curvature": asarray(np.ones((0, outcomes, 2)), here)}, sample)
    v = np.broadcast_to(np.array([0.8, -0.5]), (outcomes, 2)).copy()
    return {"outcomes": _init(settings, algorithm, problem, v, start)}


def _sampled(settings: Settings, sampling: str, group: int) -> Outcome:
    algorithm = _algorithm(settings, SAMPLED, sampling)
    v = np.broadcast_to(_vectors()[1], (GROUP, len(SPECTRUM))).copy()
    tape = Tape(settings.seed, first_replicate=group * GROUP)
    draws = _init(settings, algorithm, _problem(SPECTRUM, CURVATURE), v, tape)
    return {"draws": draws}


def _batches(settings: Settings, sampling: str) -> Outcome:
    """h on every outcome of the index batches of a small finite sum."""
    here = like(settings.backend)
    problem = move(batches.problem(), here)
    algorithm = _algorithm(settings, batches.TERMS, sampling, batches.SCALE)
    x, y, start = batches.outcomes(algorithm, problem, here)
    return {"outcomes": to_host(algorithm.init(problem, x, y, start).momentum)}


# --- the theory ---------------------------------------------------------------------------


def _matrix(spectrum: Sequence[float]) -> np.ndarray:
    return to_host(_problem(spectrum, 0.0).hessian)


def expectation(hessian: np.ndarray, v: np.ndarray, terms: int) -> np.ndarray:
    """S_Q v = H⁻¹ (I − (I − H/l)^Q) v, not by summing the series."""
    contraction = np.linalg.matrix_power(np.eye(len(hessian)) - hessian / SCALE, terms)
    return np.linalg.solve(hessian, v - contraction @ v)


def covariance(
    hessian: np.ndarray, v: np.ndarray, terms: int, noise: float, sampling: str
) -> np.ndarray:
    """Exact covariance of one draw of S v, H_j = H + noise·diag(signs) independent.

    E p_q p_qᵀ = M_q with M_0 = vvᵀ and M_q = A M_{q−1} A + (noise/l)² diag(M_{q−1}),
    A = I − H/l; chained powers share their factors: E p_{q+k} p_qᵀ = A^k M_q.
    """
    a = np.eye(len(v)) - hessian / SCALE
    moments = [np.outer(v, v)]
    for _ in range(terms - 1):
        last = moments[-1]
        moments.append(a @ last @ a + (noise / SCALE) ** 2 * np.diag(np.diag(last)))
    means = [np.linalg.matrix_power(a, q) @ v for q in range(terms)]
    spread = [m - np.outer(mean, mean) for m, mean in zip(moments, means, strict=True)]
    if sampling == "independent":
        return np.sum(spread, axis=0) / SCALE**2
    if sampling == "randomised":
        mean = np.sum(means, axis=0) / SCALE
        return terms * np.sum(moments, axis=0) / SCALE**2 - np.outer(mean, mean)
    total = np.zeros_like(hessian)
    for q in range(terms):
        total += spread[q]
        for k in range(1, terms - q):
            shared = np.linalg.matrix_power(a, k) @ spread[q]
            total += shared + shared.T
    return total / SCALE**2


# --- decisions ----------------------------------------------------------------------------


def _judge_bias(outcome: Outcome) -> list[Finding]:
    hessian, vectors, mu = _matrix(SPECTRUM), _vectors(), min(SPECTRUM)
    findings = []
    for terms in TERMS:
        inverse = np.linalg.solve(hessian, vectors.T).T
        measured = inverse - outcome[str(terms)]
        contraction = np.linalg.matrix_power(np.eye(len(hessian)) - hessian / SCALE, terms)
        predicted = inverse @ contraction
        sizes = np.linalg.norm(vectors, axis=-1)
        tolerance = ROUNDING * float(np.max(sizes)) / mu
        worst = np.unravel_index(np.argmax(np.abs(measured - predicted)), predicted.shape)
        findings.append(
            exact(
                f"bias of S_Q v, worst entry, Q = {terms}",
                predicted[worst],
                measured[worst],
                tolerance,
            )
        )
        bound = (1 - mu / SCALE) ** terms / mu
        ratios = np.linalg.norm(measured, axis=-1) / (sizes * bound)
        quantity = f"largest bias / bound, Q = {terms}"
        findings.append(exact(quantity, 1.0, float(np.max(ratios)), ROUNDING / bound / mu))
    return findings


def _judge_enumerated(sampling: str, outcome: Outcome) -> Finding:
    v = np.array([0.8, -0.5])
    predicted = expectation(_matrix(SPECTRUM[:2]), v, ENUMERATED)
    measured = np.array([math.fsum(column) for column in outcome["outcomes"].T])
    measured = measured / len(outcome["outcomes"])
    worst = int(np.argmax(np.abs(measured - predicted)))
    tolerance = ROUNDING * float(np.linalg.norm(v)) / min(SPECTRUM[:2])
    quantity = f"mean over {len(outcome['outcomes'])} outcomes, {sampling}"
    return exact(quantity, predicted[worst], measured[worst], tolerance)


def _judge_batches(sampling: str, outcome: Outcome) -> Finding:
    predicted = batches.expectation()
    found = outcome["outcomes"]
    measured = np.array([math.fsum(column) for column in found.T]) / len(found)
    worst = int(np.argmax(np.abs(measured - predicted)))
    quantity = f"mean of h over {len(found)} batches, {sampling}"
    return exact(quantity, predicted[worst], measured[worst], ROUNDING * float(np.max(abs(found))))


def _judge_sampled(sampling: str, draws: np.ndarray) -> list[Finding]:
    hessian, v = _matrix(SPECTRUM), _vectors()[1]
    mean = expectation(hessian, v, SAMPLED)
    spread = covariance(hessian, v, SAMPLED, CURVATURE, sampling)
    direction = mean / np.linalg.norm(mean)
    error = math.sqrt(direction @ spread @ direction / len(draws))
    along = float(np.mean(draws @ direction))
    squares = np.sum((draws - mean) ** 2, axis=-1)
    return [
        equal_mean(
            f"mean along S_Q v, {sampling}, R = {len(draws)}",
            float(np.linalg.norm(mean)),
            along,
            error,
        ),
        estimated_mean(
            f"total variance, {sampling}, R = {len(draws)}",
            float(np.trace(spread)),
            float(np.mean(squares)),
            float(np.std(squares, ddof=1) / math.sqrt(len(draws))),
            len(draws),
        ),
    ]
