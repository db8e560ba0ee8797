"""How many runs ever stray: max_t ‖y* − ŷ_t‖ against a simulation of its own (SPEC 4.13).

The bounds from the law of each t alone, the worst t and the sum over t, lie 43 to 74 times apart
and hold for Gaussian noise only. So AccBO's runs are compared with runs of the linear recursion,
drawn here by another generator: where q is the j-th largest of S simulated maxima, the number of
R of AccBO's that exceed it is beta-binomial, whatever the law of the maxima, if it is the same.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from accbo import Tape, move, run
from accbo._arrays import asarray, to_host
from accbo.problems import LowerNoise

from . import lower_paths as paths
from .backends import like
from .harness import Outcome, Settings
from .prescribed import OnPath
from .statistics import Finding, equal_share

SHARES = (0.5, 0.1, 0.01)  # δ
SIMULATED = {"quick": 40_000, "full": 400_000}
GROUP = 40_000
STEPS = 50  # T
SKEW = 0.1  # probability of the larger value of two-point noise


class Watched(NamedTuple):
    """A path whose runs are watched at every t, and the law of its noise."""

    path: str
    law: str


WATCHED = {
    "Option I, normal": Watched("simultaneous", "normal"),
    "Option I, two-point": Watched("simultaneous", "two_point"),
    "Option II, normal": Watched("II simultaneous", "normal"),
    "Option II, two-point": Watched("II simultaneous", "two_point"),
}


def measure_runs(settings: Settings, name: str, first: int, replicates: int) -> Outcome:
    """The largest ‖y* − ŷ_t‖, t = 1 … T, of AccBO's runs, ``(R,)``."""
    watched = WATCHED[name]
    path, here = paths.PATHS[watched.path], like(settings.backend)
    problem, targets = _instance(watched)
    algorithm = settings.apply_fault(paths.algorithm_of(path, problem))
    x = asarray(np.broadcast_to(paths.START, (replicates, 2)).copy(), here)
    number = list(WATCHED).index(name)
    result = run(
        OnPath(algorithm, asarray(paths.DRIFT, here)),
        move(problem, here),
        x,
        asarray(np.broadcast_to(targets[0], (replicates, problem.d_y)).copy(), here),
        steps=STEPS,
        noise=Tape(
            settings.seed * len(WATCHED) + number,
            lower_scale=paths.LOWER_SCALE,
            first_replicate=first,
        ),
        record={"average": lambda state: state.y_average},
    )
    averages = to_host(result.records["average"])
    errors = np.linalg.norm(targets[1:, None] - averages, axis=-1)
    return {"largest": np.max(errors, axis=0)}


def measure_recursion(settings: Settings, name: str, first: int) -> Outcome:
    """The same of ``GROUP`` runs of the recursion; ``first`` is the number of the first."""
    seed = (settings.seed, list(WATCHED).index(name), first)
    return {"largest": simulate(WATCHED[name], GROUP, seed)}


def simulate(watched: Watched, runs: int, seed: tuple[int, ...]) -> np.ndarray:
    """Runs of (y, y_previous, ŷ) from the matrices of SPEC 4.3, none of AccBO's code in them."""
    generator = np.random.default_rng((*seed, 13))
    path = paths.PATHS[watched.path]
    problem, targets = _instance(watched)
    size, alpha, gamma, tau = problem.d_y, path.step_size, path.momentum, path.averaging
    contraction = (np.eye(size) - alpha * problem.hessian).T
    pulls = alpha * targets @ problem.hessian
    up, down = math.sqrt((1 - SKEW) / SKEW), -math.sqrt(SKEW / (1 - SKEW))

    def noise() -> np.ndarray:
        if watched.law == "normal":
            return generator.standard_normal((runs, size))
        return np.where(generator.random((runs, size)) < SKEW, up, down)

    y = before = average = np.broadcast_to(targets[0], (runs, size))
    largest = np.zeros(runs)
    for t in range(STEPS):
        steps = 1
        if path.period is not None:
            before, steps = y, path.lower_steps if t % path.period == 0 else 0
        for _ in range(steps):
            moved = ((1 + gamma) * y - gamma * before) @ contraction + pulls[t]
            y, before = moved - alpha * paths.SIGMA * noise(), y
        average = (1 - tau) * average + tau * y
        np.maximum(largest, np.linalg.norm(targets[t + 1] - average, axis=-1), out=largest)
    return largest


def _instance(watched: Watched) -> tuple[Any, np.ndarray]:
    """The problem with its law of noise, and y*(x_0) … y*(x_T) ``(T + 1, d_y)``."""
    problem = paths.problem_of(paths.PATHS[watched.path])
    noise = LowerNoise(additive=paths.ADDITIVE, law=watched.law, probability=SKEW)
    targets = paths.positions(STEPS) @ problem.response.T
    return dataclasses.replace(problem, noise_lower=noise), targets


def judge_shares(name: str, largest: np.ndarray, simulated: np.ndarray) -> list[Finding]:
    """The share of AccBO's runs beyond the simulation's quantile of probability δ."""
    findings, simulated = [], np.sort(simulated)
    for share in SHARES:
        rank = round(share * len(simulated))
        above = int(np.sum(~(largest <= simulated[-rank])))  # a NaN is beyond every bound
        quantity = f"runs ever beyond q, δ = {share:g}, {name}"
        findings.append(equal_share(quantity, above, len(largest), rank, len(simulated)))
    return findings
