"""One size of the benchmark: problem, algorithm, start and samples, for us and for the others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import Array
from accbo.algorithms import AccBO, AccBOSample, AccBOState
from accbo.problems import LowerNoise, Quadratic, UpperNoise, quadratic
from accbo.run import BLOCK_BYTES, BLOCK_STEPS
from accbo.sampling import Tape, TapeStream, sample_bytes


class Numbers(NamedTuple):
    """What the hand-written versions know of problem and algorithm (SPEC §2's letters)."""

    H: Array  # (d, d)
    C: Array  # (d, d)
    w: Array  # (d,), weights of ½ w x²
    t: Array  # (d,), target of ½ ‖y − t‖²
    a_x: float  # ξ: additive and multiplicative, in x and in y
    b_x: float
    a_y: float
    b_y: float
    a: float  # ζ: additive, curvature, coupling
    c: float
    e: float
    alpha: float
    gamma: float
    tau: float
    beta: float
    eta: float
    scale: float  # l


class Noise(NamedTuple):
    """The same samples without our names; a leading axis over steps, or one step's rows."""

    a_x: Array  # (..., R, d)
    b_x: Array
    a_y: Array
    b_y: Array
    cross: Array
    zeta: Array  # (..., Q − 1, R, d)
    additive: Array
    curvature: Array
    coupling: Array


class Case(NamedTuple):
    """Everything that one size needs; ``block`` and ``noise`` hold the same numbers."""

    replicates: int
    dimension: int
    problem: Any  # a Quadratic
    algorithm: AccBO
    state: AccBOState
    block: AccBOSample
    steps: int  # in a block, as ``accbo.run`` cuts them
    stream: TapeStream  # for timing the drawing
    numbers: Numbers
    noise: Noise


def build(replicates: int, dimension: int) -> Case:
    """Q = 10, chained, Option I, simultaneous, every noise switched on."""
    problem = quadratic(
        np.linspace(1.0, 2.0, dimension).tolist(),
        dimension,
        noise_upper=UpperNoise(0.5, 0.1, 0.5, 0.1),
        noise_lower=LowerNoise(0.5, 0.2, 0.2),
    )
    algorithm = AccBO(
        lower_step_size=0.05,
        lower_momentum=0.7,
        averaging=0.2,
        momentum=0.9,
        upper_step_size=0.01,
        neumann_terms=10,
        neumann_scale=2.5,
    )
    x = np.zeros((replicates, dimension))
    stream = Tape(0).open(x)
    start = stream.start(algorithm.draw_start(problem, 3, 2))
    layout = algorithm.draw(problem)
    steps = max(1, min(BLOCK_STEPS, BLOCK_BYTES // sample_bytes(layout, replicates)))
    block = stream.block(layout, steps)
    return Case(
        replicates=replicates,
        dimension=dimension,
        problem=problem,
        algorithm=algorithm,
        state=algorithm.init(problem, x, np.zeros_like(x), start),
        block=block,
        steps=steps,
        stream=stream,
        numbers=_numbers(problem, algorithm),
        noise=plain_noise(block),
    )


def deviation(ours: Any, other: Any) -> float:
    """Largest difference between the seven arrays of two states; NaN counts as infinite."""
    pairs = zip(tuple(ours)[:7], tuple(other)[:7], strict=True)
    largest = max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in pairs)
    return largest if largest >= 0 else float("inf")


def _numbers(problem: Quadratic, algorithm: AccBO) -> Numbers:
    upper, lower = problem.noise_upper, problem.noise_lower
    return Numbers(
        H=problem.hessian,
        C=problem.coupling,
        w=problem.weights,
        t=problem.target,
        a_x=upper.additive_x,
        b_x=upper.multiplicative_x,
        a_y=upper.additive_y,
        b_y=upper.multiplicative_y,
        a=lower.additive,
        c=lower.curvature,
        e=lower.coupling,
        alpha=algorithm.lower_step_size,
        gamma=algorithm.lower_momentum,
        tau=algorithm.averaging,
        beta=algorithm.momentum,
        eta=algorithm.upper_step_size,
        scale=algorithm.neumann_scale,
    )


def plain_noise(block: AccBOSample) -> Noise:
    """A block's samples, in NumPy or JAX, under the names of ``Noise``."""
    return Noise(
        a_x=block.upper["additive_x"],
        b_x=block.upper["multiplicative_x"],
        a_y=block.upper["additive_y"],
        b_y=block.upper["multiplicative_y"],
        cross=block.cross["coupling"],
        zeta=block.hessian["curvature"],
        additive=block.lower["additive"][:, 0],
        curvature=block.lower["curvature"][:, 0],
        coupling=block.lower["coupling"][:, 0],
    )
