"""The sample floor: nobody gets to the end of a chain on fewer samples than a coin needs.

Claim       on a chain of T links of which a sample shows at most one, with probability p, the
            samples N to its end obey P(N ≤ n) ≤ P(Bin(n, p) ≥ T), whatever the method, as long as
            it knows of a coordinate only what its samples showed.
Regime      T = 4, 8, 16 (full: 32), p = 4/T², from 0, through the package on the chain lifted to
            two levels: by AccBO (η = 3p, 1−β = p), and by plain SGD with η = p and a lower level
            that is exact after one step (H = I, α = τ = 1, sequential), so that the upper level
            is alone; and by a program that shares nothing with the package. N is S, the
            samples in m_0, and one for every later iteration. NumPy whatever the backend.
Statistic   p_r = P(Bin(N_r, p) ≥ T) of every replicate r. The p_r are independent, and each is
            at most u with a probability of at most u, so that −2 Σ log p_r is at most a χ² of 2R
            degrees; the smaller of that probability and of R min p_r, twice, is a p-value.
Rule        no p-value below 1e-9 divided by their number: the false alarm is at most 1e-9,
            exactly. Only a leak, of a coordinate, a sample or between replicates, or a miscount
            can fail it. It ranks nothing: plain SGD comes closest to T/p. And it is no second half
            of ``rate``: the chain's samples are not Lipschitz with a constant that does not grow.
            N/(T/p) and the exponents of N are shown.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from accbo import AccBO, Tape, run
from accbo._arrays import namespace, norm
from accbo.conformance.faults import FAULTS
from accbo.upper import gradient_step

from .chain import Chain, LiftedChain, samples_alone
from .harness import Outcome, Piece, Settings, save_records
from .panels import Curve, Panel
from .statistics import Finding, at_least, shown, slope

NAME = "sample_floor"
CLAIM = "no method gets to the end of a chain on fewer samples than a coin of p needs for T heads"
IN_WORDS = "no run takes fewer samples than are needed"
NOT_SHOWN = "which method is the better one"
SOURCE = "SPEC 4.4c"
EFFECT = "every sample used twice, by a method at the floor"
KILLS = (  # its own are at the end of this file
    f"{__name__}:used_twice",
    f"{__name__}:leaks_between_replicates",
    f"{__name__}:miscounted",
    "upper gradient leaks",
)
DESIGNATED = KILLS[0]
VARIATIONS: tuple[str, ...] = ()

LENGTHS = {"quick": (4, 8, 16), "full": (4, 8, 16, 32)}
REPLICATES = 64
ALARM = 1e-9  # of the whole check
SPARE = 12  # runs are as long as a coin of p takes on average for times·T + SPARE heads
SGD = "plain SGD above"
LIFTED = {"AccBO": 2.5, SGD: 2.0}
ALONE = {"recursive": 2.5, "plain": 2.0}
AVERAGE = "moving average"  # shown: far from the floor, and dear
AVERAGE_LENGTHS = {"quick": (4, 8), "full": (4, 8, 16)}


def _chain(length: int) -> Chain:
    return Chain(length, 4.0 / length**2)


# --- measured --------------------------------------------------------------------------------


def pieces(settings: Settings) -> list[Piece]:
    """One method on one chain a piece; under a fault those of the package alone."""
    lengths = LENGTHS[settings.profile]
    keys = [("lifted", name, length) for name in LIFTED for length in lengths]
    if settings.fault is None:
        keys += [("alone", name, length) for name in ALONE for length in lengths]
        keys += [("lifted", AVERAGE, length) for length in AVERAGE_LENGTHS[settings.profile]]
    return [Piece(NAME, key, _longest(*key) * 2.5e-4) for key in keys]


def _longest(kind: str, method: str, length: int) -> int:
    times = ALONE[method] if kind == "alone" else LIFTED.get(method, 1.1 * length)
    return math.ceil((times * length + SPARE) / _chain(length).probability)


def measure(settings: Settings, piece: Piece) -> Outcome:
    """Samples of every replicate until ‖∇F_T‖ ≤ 1."""
    kind, method, length = piece.key
    chain = _chain(length)
    longest = _longest(*piece.key)
    if kind == "alone":
        return {"samples": samples_alone(chain, method, REPLICATES, settings.seed, longest)}
    algorithm: Any = _algorithm(chain, method)
    if method == AVERAGE:
        algorithm = FAULTS["no correction"].apply(algorithm)
    else:
        algorithm = settings.apply_fault(algorithm)
    problem = LiftedChain(chain, largest=1.0 if method == SGD else 2.0)
    first = 1 if method == SGD else round(1 / chain.probability)
    number = (*LIFTED, AVERAGE).index(method)
    start = np.zeros((REPLICATES, length))
    result = run(
        algorithm,
        problem,
        start,
        start,
        steps=longest,
        noise=Tape((settings.seed * 4 + number) * 64 + length),
        first=first,
        record={"gradient": lambda state: norm(chain.gradient(state.x))},
        progress=False,
    )
    curve = result.records["gradient"]
    save_records(settings, piece, {"gradient": curve, "iteration": result.iterations})
    there = curve <= 1
    # x_k is made of m_0, on S samples, and of m_1 … m_{k−1}, on one each
    counted = first + result.iterations[np.argmax(there, axis=0)] - 1.0
    return {"samples": np.where(there.any(axis=0), counted, math.inf)}


def _algorithm(chain: Chain, method: str) -> AccBO:
    p = chain.probability
    step = min(0.5, 4 * p)  # μ = 1, l = 2
    contraction = math.sqrt(step)
    algorithm = AccBO(
        lower_step_size=step,
        lower_momentum=(1 - contraction) / (1 + contraction),
        averaging=contraction,
        momentum=1 - p,
        upper_step_size=p**1.5 if method == AVERAGE else 3 * p,
        neumann_terms=math.ceil(math.log2(20 / math.sqrt(p))),
        neumann_scale=2.0,
    )
    if method != SGD:
        return algorithm
    return dataclasses.replace(
        algorithm,
        lower_step_size=1.0,
        lower_momentum=0.0,
        averaging=1.0,
        momentum=0.0,
        upper_step_size=p,
        neumann_terms=1,
        neumann_scale=1.0,
        order="sequential",
        parts=algorithm.parts._replace(x=gradient_step),
    )


# --- judged ----------------------------------------------------------------------------------


def judge(settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """One p-value a method and chain, and what is shown beside it."""
    judged = [key for key in outcomes if key[1] != AVERAGE]
    level = ALARM / len(judged)
    found = []
    for kind, method, length in sorted(judged):
        value = p_value(outcomes[kind, method, length]["samples"], _chain(length))
        quantity = f"log10 P(so few samples), {_name(kind, method)}, T = {length}"
        row = at_least(quantity, math.log10(level), math.log10(max(value, 1e-300)))
        share = max(row.measured, -1e3) / row.predicted
        found.append(dataclasses.replace(row, used=share, false_alarm=level, p_value=None))
    for kind, method in dict.fromkeys(key[:2] for key in sorted(outcomes)):
        lengths = sorted(key[2] for key in outcomes if key[:2] == (kind, method))
        samples = [outcomes[kind, method, length]["samples"] for length in lengths]
        for length, sample in zip(lengths, samples, strict=True):
            ratio = float(np.mean(sample)) / (length / _chain(length).probability)
            found.append(shown(f"N/(T/p), {_name(kind, method)}, T = {length}", ratio))
        if len(lengths) > 1 and all(np.all(np.isfinite(sample)) for sample in samples):
            # p ~ ε², and T ~ 1/ε
            fit, error = slope(
                [math.sqrt(_chain(length).probability) for length in lengths], samples
            )
            ends = (fit - 2.58 * error, fit + 2.58 * error)
            predicted = -4.0 if method == AVERAGE else -3.0
            name = f"exponent of N in ε = √p, {_name(kind, method)}"
            found.append(shown(name, fit, ends, predicted))
    return found


def p_value(samples: np.ndarray, chain: Chain) -> float:
    """That of the claim for independent runs, exact: see Statistic."""
    finite = np.where(np.isfinite(samples), np.floor(samples), 0)
    tails = stats.binom.sf(chain.length - 1, finite, chain.probability)
    each = np.maximum(np.where(np.isfinite(samples), tails, 1.0), 1e-300)
    together = float(stats.chi2.sf(-2 * np.sum(np.log(each)), 2 * len(each)))
    value = 2 * min(together, len(each) * float(np.min(each)))
    return 1.0 if value >= 1 else value  # a NaN stays one, and passes nothing


def _name(kind: str, method: str) -> str:
    return method if kind == "lifted" else f"{method} alone"


def power(settings: Settings, findings: Sequence[Finding]) -> float:
    """Against ``EFFECT`` on the longest quick chain: N is where a coin shows T/2 heads."""
    return _power_used_twice(LENGTHS["quick"][-1], max(1, sum(f.judged for f in findings)))


@functools.cache
def _power_used_twice(length: int, rows: int) -> float:
    chain = _chain(length)
    extra = np.arange(20 * length * length)
    weights = stats.nbinom.pmf(extra, length // 2, chain.probability)
    tails = stats.binom.sf(length - 1, extra + length // 2, chain.probability)
    scores = -2 * np.log(np.maximum(tails, 1e-300))
    mean = float(weights @ scores)
    deviation = math.sqrt(float(weights @ (scores - mean) ** 2))
    needed = float(stats.chi2.isf(ALARM / rows / 2, 2 * REPLICATES))
    return float(stats.norm.sf((needed - REPLICATES * mean) / (deviation * math.sqrt(REPLICATES))))


# --- faults that only this check is for --------------------------------------------------------


def used_twice(algorithm: AccBO) -> Any:
    """Two steps on every sample, counted once."""
    return _as(_UsedTwice, algorithm)


def leaks_between_replicates(algorithm: AccBO) -> Any:
    """Every replicate sees what any of them was shown: a reduction over the wrong axis."""
    return _as(_Leaking, algorithm)


def miscounted(algorithm: AccBO) -> Any:
    """Two samples an iteration, counted as one: the second is the next replicate's."""
    return _as(_Miscounted, algorithm)


def _as(kind: type[AccBO], algorithm: AccBO) -> AccBO:
    fields = dataclasses.fields(AccBO)
    return kind(**{field.name: getattr(algorithm, field.name) for field in fields})


def _with_upper(sample: Any, change: Callable[[Any, Any], Any]) -> Any:
    upper = {name: change(namespace(field), field) for name, field in sample.upper.items()}
    return sample._replace(upper=upper)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _UsedTwice(AccBO):
    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        between = super().step(problem, state, sample)
        return super().step(problem, between, sample)._replace(iteration=state.iteration + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Miscounted(AccBO):
    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        other = _with_upper(sample, lambda xp, field: xp.roll(field, 1, axis=0))
        between = super().step(problem, state, sample)
        return super().step(problem, between, other)._replace(iteration=state.iteration + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Leaking(AccBO):
    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        def shared(xp: Any, field: Any) -> Any:
            return xp.broadcast_to(xp.max(field, axis=0), field.shape) if field.size > 0 else field

        return super().step(problem, state, _with_upper(sample, shared))


# --- shown -----------------------------------------------------------------------------------


def panels(
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    findings: Sequence[Finding],
) -> list[Panel]:
    """Mean samples against T of every method, and T/p."""
    curves = []
    for kind, method in dict.fromkeys(key[:2] for key in outcomes):
        lengths = sorted(key[2] for key in outcomes if key[:2] == (kind, method))
        means = np.array([np.mean(outcomes[kind, method, T]["samples"]) for T in lengths])
        if np.all(np.isfinite(means)):
            curves.append(Curve(_name(kind, method), lengths, means, joined=True))
    lengths = list(LENGTHS[settings.profile])
    floor = [length / _chain(length).probability for length in lengths]
    curves.append(Curve("T/p", lengths, floor, predicted=True))
    title = "Samples to the end of a chain"
    return [Panel(title, CAPTION, "T", "samples", curves, True, True, power_law=True)]


CAPTION = (
    "Mean number of samples until ‖∇F_T‖ ≤ 1. The line is T/p, which no method's expectation can "
    "be below. Plain SGD lies on it, AccBO runs beside it, a moving average leaves it."
)
