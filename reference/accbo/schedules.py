"""The parameters that the theory prescribes for a target accuracy (SPEC §3).

The theory gives orders; every constant in front of them is ours and stands in ``Factors``:
2 for S (VRBO's S1), T0 and N (VRBO's m, StocBiO's D), 1 for all others. They were fixed before
any run, are the same for every variant, and nothing in ``theory_checks`` tunes them:

    AccBO            1 − β = ε², η = ε², α = min(ε², 1/l), τ = √(μα), T = ε⁻³
    moving average   1 − β = ε², η = ε³, the same lower level,         T = ε⁻⁴
    both             γ = (1 − √(μα))/(1 + √(μα)),  S = 2/ε samples for m_0,
                     T0 = 2 (1 + log 1/ε)/√(μα),   lower noise scaled by √ε (variance O(ε)),
                     Q = ⌈log(c/ε)/−log(1 − μ/l)⌉ with c = l_g1 l_f0/μ (Q = 1 if μ = l)
    Option II        I = ⌈1/ε⌉, N = ⌈2/√(μα)⌉
    SLIP             1 − β = ε², η = ε³, α = ν = min(ε², 1/l), T = ε⁻⁴, S = 2/ε,
                     T0 = 2 (1 + log 1/ε)/(μα),    lower noise as it is: no condition on it
    BO-REP           as SLIP, with I = ⌈1/ε²⌉ and N = ⌈2/(μα)⌉
    SABA             α = ν = min(s, 1/l), η = min(s, 1/K0), s = (n+m)^{−2/3}, T = ε⁻²/s
    SUSTAIN          α_t = min(1, w^{1/3}/K0) (w+t)^{−1/3}, β_t = min(1, w^{1/3}/l) (w+t)^{−1/3},
                     η^f_t = η^g_t = (w+t−1)^{−2/3}, w = 2, T = ε⁻³
    VRBO             a = min(1, 1/K0), b = min(1, 1/l), q = S2 = ⌈1/ε⌉, S1 = ⌈2/ε²⌉,
                     m = ⌈2 l/μ⌉, T = ε⁻²
    TTSA             α_t = min(1, 1/K0) (1+t)^{−3/5}, β_t = min(1, 1/l) (1+t)^{−2/5}, T = ε⁻⁵
    StocBiO          α = min(1, 1/l), η = min(1, 1/K0), D = ⌈2 (1 + log(l/μ)) l/μ⌉, T = ε⁻²,
                     batches of T throughout
    MA-SOBA          1 − β = ε², η = min(ε², 1/K0), α = ν = min(ε², 1/l), T = ε⁻⁴
    these six        no warm start, S = 1, lower noise as it is, Q as above; no bound by K0
                     where that is not finite

l is the largest curvature of a realisation. Where l_f0 is infinite (a quadratic f) it is
replaced by ``gradient_bound``, a bound of ‖∇_y f‖ on the region of interest, by default 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

from accbo.algorithms import BOREP, MASOBA, SABA, SLIP, SUSTAIN, TTSA, VRBO, AccBO, StocBiO
from accbo.problem import Constants
from accbo.rounding import WHOLE, ceiling

Algorithm = TypeVar("Algorithm")


@dataclass(frozen=True)
class Factors:
    """What stands in front of each order; ours to state, so stated."""

    momentum: float = 1.0  # of 1 − β
    upper_step: float = 1.0  # of η
    lower_step: float = 1.0  # of α
    linear_step: float = 1.0  # of ν
    averaging: float = 1.0  # of τ
    first: float = 2.0  # of S
    warm_start: float = 2.0  # of T0
    lower_steps: float = 2.0  # of N
    lower_scale: float = 1.0  # of √ε; of 1 for SLIP


@dataclass(frozen=True)
class Schedule(Generic[Algorithm]):
    """An algorithm with the run that belongs to it; keyword arguments of ``accbo.run``.

    ``lower_scale`` is the factor on the lower level's noise (``Tape.lower_scale``).
    """

    epsilon: float
    algorithm: Algorithm
    steps: int
    warm_start: int
    first: int
    lower_scale: float


def accbo(
    constants: Constants,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    option: str = "I",
    sampling: str = "chained",
    order: str = "simultaneous",
    gradient_bound: float = 1.0,
    factors: Factors = Factors(),
) -> Schedule[AccBO]:
    """AccBO's schedule for a target accuracy, or for a number of steps (ε = T^{−1/3}).

    Give exactly one of ``epsilon`` in (0, 1) and ``steps`` ≥ 2. ``option`` is ``"I"`` or
    ``"II"``. Raises ``ValueError`` for anything else.
    """
    epsilon, steps = _accuracy(epsilon, steps, 3)
    return _schedule(constants, epsilon, steps, 2, option, sampling, order, gradient_bound, factors)


def moving_average(
    constants: Constants,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    option: str = "I",
    sampling: str = "chained",
    order: str = "simultaneous",
    gradient_bound: float = 1.0,
    factors: Factors = Factors(),
) -> Schedule[AccBO]:
    """The schedule of the normalised moving average (BO-REP, SLIP): ε = T^{−1/4}, η = ε³.

    Arguments as for :func:`accbo`. The returned algorithm still carries AccBO's own parts:
    replace its momentum by a moving average to run the rival.
    """
    epsilon, steps = _accuracy(epsilon, steps, 4)
    return _schedule(constants, epsilon, steps, 3, option, sampling, order, gradient_bound, factors)


def slip(
    constants: Constants,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    factors: Factors = Factors(),
) -> Schedule[SLIP]:
    """SLIP's schedule for a target accuracy, or for a number of steps (ε = T^{−1/4}).

    Give exactly one of ``epsilon`` in (0, 1) and ``steps`` ≥ 2; raises ``ValueError`` for
    anything else. At α = ν = ε² and a drift of η = ε³ a step, y and z lag by O(ε), and a
    constant lower variance adds O(ε): SLIP needs no condition on it.
    """
    epsilon, steps = _accuracy(epsilon, steps, 4)
    alpha = min(factors.lower_step * epsilon**2, 1 / constants.curvature)
    algorithm = SLIP(
        lower_step_size=alpha,
        linear_step_size=min(factors.linear_step * epsilon**2, 1 / constants.curvature),
        momentum=max(0.0, 1 - factors.momentum * epsilon**2),
        upper_step_size=factors.upper_step * epsilon**3,
    )
    return Schedule(
        epsilon=epsilon,
        algorithm=algorithm,
        steps=steps,
        warm_start=_warm_start(epsilon, constants.mu * alpha, factors),
        first=ceiling(factors.first / epsilon),
        lower_scale=factors.lower_scale,
    )


def saba(
    constants: Constants,
    *,
    samples: int,
    epsilon: float | None = None,
    steps: int | None = None,
    factors: Factors = Factors(),
) -> Schedule[SABA]:
    """SABA's schedule for sums of ``samples`` = n + m terms: constant steps (n+m)^{−2/3}.

    Give exactly one of ``epsilon`` in (0, 1) and ``steps``, more than (n+m)^{2/3}; raises
    ``ValueError`` for anything else, as for ``samples`` < 2.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise ValueError(f"samples must be an integer >= 2, n + m, got {samples!r}")
    size = samples ** (-2 / 3)
    if steps is None:
        epsilon, shortest = _accuracy(epsilon, None, 2)
        steps = ceiling(shortest / size)
    else:
        _, steps = _accuracy(epsilon, steps, 2)
        epsilon, _ = _accuracy((size * steps) ** (-1 / 2), None, 2)
    algorithm = SABA(
        lower_step_size=min(factors.lower_step * size, 1 / constants.curvature),
        linear_step_size=min(factors.linear_step * size, 1 / constants.curvature),
        upper_step_size=min(factors.upper_step * size, _longest(constants)),
    )
    return Schedule(epsilon, algorithm, steps, 0, 1, factors.lower_scale)


def sustain(
    constants: Constants,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    gradient_bound: float = 1.0,
    factors: Factors = Factors(),
) -> Schedule[SUSTAIN]:
    """SUSTAIN's schedule for a target accuracy, or for a number of steps (ε = T^{−1/3}).

    Arguments as for :func:`accbo`. The sizes shrink with t and know nothing of ε, on which only
    T and Q depend.
    """
    epsilon, steps = _accuracy(epsilon, steps, 3)
    _check_gradient_bound(gradient_bound)
    offset = 2.0
    root, averaging = offset ** (1 / 3), min(factors.momentum, offset ** (2 / 3))
    algorithm = SUSTAIN(
        lower_step_size=min(factors.lower_step, root / constants.curvature),
        upper_step_size=min(factors.upper_step, root * _longest(constants)),
        lower_averaging=averaging,
        upper_averaging=averaging,
        offset=offset,
        neumann_terms=neumann_terms(constants, epsilon, gradient_bound),
        neumann_scale=constants.curvature,
    )
    return Schedule(epsilon, algorithm, steps, 0, 1, factors.lower_scale)


def vrbo(
    constants: Constants,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    gradient_bound: float = 1.0,
    factors: Factors = Factors(),
) -> Schedule[VRBO]:
    """VRBO's schedule for a target accuracy, or for a number of steps (ε = T^{−1/2}).

    Arguments as for :func:`accbo`. m depends on the condition l/μ alone: with q and S2 of order
    1/ε and S1 of order ε⁻², an iteration takes O(1/ε) samples, and all of them O(ε⁻³).
    """
    epsilon, steps = _accuracy(epsilon, steps, 2)
    _check_gradient_bound(gradient_bound)
    algorithm = VRBO(
        lower_step_size=min(factors.lower_step, 1 / constants.curvature),
        upper_step_size=min(factors.upper_step, _longest(constants)),
        period=ceiling(1 / epsilon),
        lower_steps=ceiling(factors.lower_steps * constants.curvature / constants.mu),
        large_batch=ceiling(factors.first / epsilon**2),
        small_batch=ceiling(1 / epsilon),
        neumann_terms=neumann_terms(constants, epsilon, gradient_bound),
        neumann_scale=constants.curvature,
    )
    return Schedule(epsilon, algorithm, steps, 0, 1, factors.lower_scale)


def ttsa(
    constants: Constants,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    gradient_bound: float = 1.0,
    factors: Factors = Factors(),
) -> Schedule[TTSA]:
    """TTSA's schedule for a target accuracy, or for a number of steps (ε = T^{−1/5}).

    Arguments as for :func:`accbo`. The sizes shrink with t and know nothing of ε, on which only
    T and Q depend.
    """
    epsilon, steps = _accuracy(epsilon, steps, 5)
    _check_gradient_bound(gradient_bound)
    algorithm = TTSA(
        lower_step_size=min(factors.lower_step, 1 / constants.curvature),
        upper_step_size=min(factors.upper_step, _longest(constants)),
        offset=1.0,
        neumann_terms=neumann_terms(constants, epsilon, gradient_bound),
        neumann_scale=constants.curvature,
    )
    return Schedule(epsilon, algorithm, steps, 0, 1, factors.lower_scale)


def stocbio(
    constants: Constants,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    gradient_bound: float = 1.0,
    factors: Factors = Factors(),
) -> Schedule[StocBiO]:
    """StocBiO's schedule for a target accuracy, or for a number of steps (ε = T^{−1/2}).

    Arguments as for :func:`accbo`. D depends on the condition κ = l/μ alone, like κ log κ: with
    batches of T = ε⁻² an iteration takes O(ε⁻²) samples, and all of them O(ε⁻⁴).
    """
    epsilon, steps = _accuracy(epsilon, steps, 2)
    _check_gradient_bound(gradient_bound)
    kappa = constants.curvature / constants.mu
    algorithm = StocBiO(
        lower_step_size=min(factors.lower_step, 1 / constants.curvature),
        upper_step_size=min(factors.upper_step, _longest(constants)),
        lower_steps=ceiling(factors.lower_steps * kappa * (1 + math.log(kappa))),
        lower_batch=steps,
        upper_batch=steps,
        neumann_terms=neumann_terms(constants, epsilon, gradient_bound),
        neumann_scale=constants.curvature,
    )
    return Schedule(epsilon, algorithm, steps, 0, 1, factors.lower_scale)


def masoba(
    constants: Constants,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    factors: Factors = Factors(),
) -> Schedule[MASOBA]:
    """MA-SOBA's schedule for a target accuracy, or for a number of steps (ε = T^{−1/4}).

    Arguments as for :func:`slip`. All four sizes are of order T^{−1/2} = ε²: a plain step
    shrinks with ‖∇Φ‖ by itself, and η ε is the η of a normalised one.
    """
    epsilon, steps = _accuracy(epsilon, steps, 4)
    algorithm = MASOBA(
        lower_step_size=min(factors.lower_step * epsilon**2, 1 / constants.curvature),
        linear_step_size=min(factors.linear_step * epsilon**2, 1 / constants.curvature),
        momentum=max(0.0, 1 - factors.momentum * epsilon**2),
        upper_step_size=min(factors.upper_step * epsilon**2, _longest(constants)),
    )
    return Schedule(epsilon, algorithm, steps, 0, 1, factors.lower_scale)


def borep(
    constants: Constants,
    *,
    epsilon: float | None = None,
    steps: int | None = None,
    factors: Factors = Factors(),
) -> Schedule[BOREP]:
    """BO-REP's schedule for a target accuracy, or for a number of steps (ε = T^{−1/4}).

    Arguments as for :func:`slip`. Between two refreshes x moves by I η, about ε, and a
    refresh, of O(ε⁻²) steps, shrinks by a constant factor what that adds to the error of y.
    """
    one = slip(constants, epsilon=epsilon, steps=steps, factors=factors)
    a = one.algorithm
    algorithm = BOREP(
        lower_step_size=a.lower_step_size,
        linear_step_size=a.linear_step_size,
        momentum=a.momentum,
        upper_step_size=a.upper_step_size,
        period=ceiling(one.epsilon**-2),
        lower_steps=ceiling(factors.lower_steps / (constants.mu * a.lower_step_size)),
    )
    return Schedule(one.epsilon, algorithm, one.steps, one.warm_start, one.first, one.lower_scale)


def neumann_terms(constants: Constants, epsilon: float, gradient_bound: float = 1.0) -> int:
    """Q such that the series' bias, l_g1 l_f0/μ (1 − μ/l)^Q at most, is below ε."""
    if constants.mu >= constants.curvature * (1 - WHOLE):
        return 1
    bound = constants.l_f0 if math.isfinite(constants.l_f0) else gradient_bound
    c = constants.l_g1 * bound / constants.mu
    return max(1, ceiling(math.log(c / epsilon) / -math.log1p(-constants.mu / constants.curvature)))


def _schedule(
    constants: Constants,
    epsilon: float,
    steps: int,
    upper_power: int,
    option: str,
    sampling: str,
    order: str,
    gradient_bound: float,
    factors: Factors,
) -> Schedule[AccBO]:
    if option not in ("I", "II"):
        raise ValueError(f"option must be I or II, got {option!r}")
    _check_gradient_bound(gradient_bound)
    alpha = min(factors.lower_step * epsilon**2, 1 / constants.curvature)
    contraction = math.sqrt(constants.mu * alpha)
    algorithm = AccBO(
        lower_step_size=alpha,
        lower_momentum=max(0.0, (1 - contraction) / (1 + contraction)),
        averaging=min(1.0, factors.averaging * contraction),
        momentum=max(0.0, 1 - factors.momentum * epsilon**2),
        upper_step_size=factors.upper_step * epsilon**upper_power,
        neumann_terms=neumann_terms(constants, epsilon, gradient_bound),
        neumann_scale=constants.curvature,
        neumann_sampling=sampling,
        period=ceiling(1 / epsilon) if option == "II" else None,
        lower_steps=ceiling(factors.lower_steps / contraction) if option == "II" else 1,
        order=order,
    )
    return Schedule(
        epsilon=epsilon,
        algorithm=algorithm,
        steps=steps,
        warm_start=_warm_start(epsilon, contraction, factors),
        first=ceiling(factors.first / epsilon),
        lower_scale=factors.lower_scale * math.sqrt(epsilon),
    )


def _check_gradient_bound(gradient_bound: float) -> None:
    if not gradient_bound > 0:
        raise ValueError(f"gradient_bound must be > 0, got {gradient_bound!r}")


def _longest(constants: Constants) -> float:
    """1/K0, the longest plain step; where K1 > 0 none is short enough everywhere."""
    return 1 / constants.K0 if math.isfinite(constants.K0) else math.inf


def _warm_start(epsilon: float, contraction: float, factors: Factors) -> int:
    """T0 = O(log 1/ε) times the steps in which the lower error falls by e."""
    return ceiling(factors.warm_start * (1 - math.log(epsilon)) / contraction)


def _accuracy(epsilon: float | None, steps: int | None, power: int) -> tuple[float, int]:
    if (epsilon is None) == (steps is None):
        raise ValueError("give exactly one of epsilon and steps")
    if epsilon is None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 2:
            raise ValueError(f"steps must be an integer >= 2, got {steps!r}")
        return steps ** (-1 / power), steps
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie in (0, 1), got {epsilon!r}")
    return float(epsilon), ceiling(epsilon**-power)
