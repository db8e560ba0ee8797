"""One run from a plateau's edge, and what a rate is read from it: μ(ε) and n(ε) (SPEC 4.4b)."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from accbo import Tape, move, run
from accbo._arrays import asarray, norm, to_host
from accbo._law import Law
from accbo.problems import LowerNoise, Plateau, WaveNoise, plateau
from accbo.schedules import Factors, Schedule, accbo

from .backends import like
from .harness import Outcome, Settings
from .noise import chosen_law
from .oracle_alone import OracleAlone
from .starts import directions

REACHED = 0.7  # c: the running mean of ‖∇Φ‖ has to come down to cε
GAP = 1.0  # Δ = Φ(x_0) − min Φ, for every ε
FACTORS = Factors(momentum=1 / 8, upper_step=1 / 2, lower_step=4.0)  # AccBO's, of ε²; never tuned
TERMS = 4  # Q
WAVES, FREQUENCY, LOWER = 1.0, 0.25, 0.25  # sizes of the noise
LAW, SKEW = "two_point", 0.1
RECORDS = 2048  # states looked at in a run, at most
GROUPS = 16  # of the jackknife


class Noise(NamedTuple):
    """The law of the plateau's noise, and the size of the additive noise below."""

    law: Law = LAW
    probability: float = SKEW
    lower: float = LOWER


def asked_noise(settings: Settings, law: str | None = None, lower: float = LOWER) -> Noise:
    """The plateau's noise: under ``law`` where one is given, else as the user asks."""
    noise, asked = Noise(lower=lower), chosen_law(settings.noise)
    if law is not None:
        return noise._replace(law=law)
    if asked is None:
        return noise
    noise = noise._replace(law=asked.law)
    return noise if asked.probability is None else noise._replace(probability=asked.probability)


def cost(steps: float, replicates: int) -> float:
    """About the seconds that a run takes."""
    return steps * (1.2e-4 + 6e-7 * replicates)


def instance(epsilon: float, noise: Noise = Noise()) -> Plateau:
    """The plateau of SPEC 4.4b: d = 2, H = diag(1, 2), no noise in the Hessian."""
    below = "two_point" if noise.law == "sign" else noise.law
    probability = noise.probability if noise.law == "two_point" else 0.5  # a sign is fair
    return plateau(
        epsilon,
        noise_upper=WaveNoise(WAVES, FREQUENCY, noise.law, noise.probability),
        noise_lower=LowerNoise(noise.lower, law=below, probability=probability),
    )


def plateau_starts(epsilon: float, replicates: int, seed: int) -> np.ndarray:
    """Points at which Φ_ε = ``GAP``, in random directions; about 1/ε from the minimiser."""
    length = epsilon * math.sqrt((1 + GAP / epsilon**2) ** 2 - 1)
    return length * directions(replicates, 2, seed)


def fixed_schedule(problem: Plateau, **upper: Any) -> Schedule[Any]:
    """AccBO's parameters on the plateau, fixed before any run; ``upper`` replaces some of them.

    η = ε²/2, 1 − β = ε²/8, α = min(4ε², 1/l), τ = √(μα), S = ⌈1/(1−β)⌉, the rest as SPEC §3.
    """
    found = accbo(problem.constants, epsilon=problem.epsilon, factors=FACTORS)
    algorithm = dataclasses.replace(found.algorithm, neumann_terms=TERMS, **upper)
    return dataclasses.replace(
        found, algorithm=algorithm, first=math.ceil(1 / (1 - algorithm.momentum))
    )


def reach(
    schedule: Schedule[Any],
    problem: Any,
    x: np.ndarray,
    epsilon: float,
    steps: int,
    tape: Tape,
    backend: str = "numpy",
    checkpoint: Path | None = None,
    alone: bool = False,
) -> tuple[Outcome, dict[str, np.ndarray]]:
    """Run ``steps`` iterations from ``x``: the statistics of every replicate, and its curve.

    ``mean``: μ, the mean over all t < ``steps`` of ‖∇Φ(x_t)‖/ε. ``count``: n, the least number of
    iterations after which the ensemble's running mean is at most ``REACHED`` ε, infinite if there
    is none; ``left_out``: the same without each of ``GROUPS`` groups. ``entry``: the first t at
    which ‖∇Φ(x_t)‖ < ε/√2, the plateau's edge. ``start``: S and T0. With ``alone`` the algorithm
    is handed the problem's oracle and nothing else of it.
    """
    here = like(backend)
    moved, first = move(problem, here), asarray(x, here)
    result = run(
        schedule.algorithm,
        OracleAlone(moved) if alone else moved,
        first,
        moved.solution(first),
        steps=steps,
        noise=tape,
        warm_start=schedule.warm_start,
        first=schedule.first,
        record={"gradient": lambda state: norm(moved.hypergradient(state.x))},
        every=max(1, steps // RECORDS),
        progress=False,
        checkpoint=checkpoint,
    )
    curve = to_host(result.records["gradient"]) / epsilon
    times = result.iterations.astype(float)
    below = curve < math.sqrt(0.5)
    entry = np.where(below.any(axis=0), times[np.argmax(below, axis=0)], math.inf)
    number = np.arange(curve.shape[1]) % GROUPS
    outcome = {
        "mean": np.mean(curve, axis=0),
        "count": np.asarray(first_reached(curve, times)),
        "left_out": np.array([first_reached(curve[:, number != g], times) for g in range(GROUPS)]),
        "entry": entry,
        "start": np.asarray([schedule.first, schedule.warm_start], dtype=float),
    }
    return outcome, {"gradient": curve, "iteration": result.iterations}


def first_reached(curve: np.ndarray, times: np.ndarray) -> float:
    """Where the running mean of the ensemble first is at most ``REACHED``, in log n."""
    running = np.cumsum(np.mean(curve, axis=1)) / np.arange(1, len(curve) + 1)
    below = running <= REACHED
    if not below.any():
        return math.inf
    index = int(np.argmax(below))
    if index == 0:
        return float(times[0])
    before, after = running[index - 1], running[index]
    share = (before - REACHED) / (before - after)
    return float(times[index - 1] * (times[index] / times[index - 1]) ** share)


def jackknife(left_out: np.ndarray) -> float:
    """Standard error of log n from n without each group."""
    if not np.all(np.isfinite(left_out)):
        return math.nan
    logs = np.log(left_out)
    count = len(logs)
    return float(math.sqrt((count - 1) / count * np.sum((logs - logs.mean()) ** 2)))


def exponent(epsilons: np.ndarray, outcomes: list[Outcome]) -> tuple[float, float]:
    """Slope of log n against log ε, and its standard error; NaN where n is infinite."""
    logs = np.log(epsilons)
    weights = (logs - logs.mean()) / np.sum((logs - logs.mean()) ** 2)
    counts = np.array([float(outcome["count"]) for outcome in outcomes])
    errors = np.array([jackknife(outcome["left_out"]) for outcome in outcomes])
    if not np.all(np.isfinite(counts)):
        return math.nan, math.nan
    return float(weights @ np.log(counts)), float(math.sqrt(weights**2 @ errors**2))


def mean_error(sample: np.ndarray) -> tuple[float, float]:
    """Mean over the replicates and its standard error."""
    return float(np.mean(sample)), float(np.std(sample, ddof=1) / math.sqrt(len(sample)))
