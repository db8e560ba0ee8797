"""E h over every outcome of a small finite sum: the hypergradient estimate on index batches.

ξ serves both derivatives of F, ζ⁰ and the factors' ζ are their own: so E h is made of the means
of the three, E h = ∇_x f − ∇²_xy g · S_Q · ∇_y f (SPEC §2, 4.1), and a sample that serves twice
shows, which it cannot where the noises are in separate fields.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from accbo._arrays import Array, asarray, index_dtype
from accbo.problems import FiniteSum, finite_sum
from accbo.sampling import Start

SAMPLES = 3  # n below and m above, batches of one
TERMS = 3
POINT = (np.array([0.4, -0.3]), np.array([0.5, 0.2]))
SCALE = 1.7


def problem() -> FiniteSum:
    """Three samples a level: few outcomes, and second derivatives that differ."""
    return finite_sum(SAMPLES, 2, 2, upper_samples=SAMPLES, upper_batch=1, lower_batch=1, scale=1.5)


def outcomes(algorithm: Any, problem: Any, here: Array) -> tuple[Array, Array, Start]:
    """x, y and the start of iteration 0, one outcome of all samples a replicate."""
    layout = algorithm.draw_start(problem, 0, 1).first
    leaves = [
        (part, field, draw)
        for part, fields in layout._asdict().items()
        if part != "lower"
        for field, draw in fields.items()
    ]
    sizes = [int(np.prod((*draw.leading, *draw.noise.shape))) for _, _, draw in leaves]
    ranges = [
        range(int(draw.noise.parameter))
        for (_, _, draw), size in zip(leaves, sizes, strict=True)
        for _ in range(size)
    ]
    every = np.array(list(itertools.product(*ranges)))
    parts: dict[str, dict[str, Array]] = {name: {} for name in layout._fields}
    for (part, field, draw), columns in zip(
        leaves, np.split(every, np.cumsum(sizes)[:-1], axis=1), strict=True
    ):
        shaped = columns.reshape(len(every), *draw.leading, *draw.noise.shape)
        inward = np.moveaxis(shaped, 0, len(draw.leading))
        parts[part][field] = asarray(inward, here, index_dtype(here))
    for field, draw in layout.lower.items():
        zeros = np.zeros((*draw.leading, len(every), *draw.noise.shape), dtype=np.int64)
        parts["lower"][field] = asarray(zeros, here, index_dtype(here))
    idle = {
        field: leaf[:0, ...] for field, leaf in parts["lower"].items()
    }  # no warm start: no rows
    x, y = (asarray(np.tile(point, (len(every), 1)), here) for point in POINT)
    return x, y, Start(idle, type(layout)(**parts))


def expectation() -> np.ndarray:
    """E h at ``POINT``, from the means of the derivatives as dense matrices."""
    host, (x, y) = problem(), POINT
    basis = np.eye(host.d_y)
    hessian = np.stack([host.hvp_lower(x, y, e) for e in basis], axis=-1)
    cross = np.stack([host.cross_lower(x, y, e) for e in basis], axis=-1)
    factor = np.eye(host.d_y) - hessian / SCALE
    series = sum(np.linalg.matrix_power(factor, q) for q in range(TERMS)) / SCALE
    return np.asarray(host.grad_x_upper(x, y) - cross @ series @ host.grad_y_upper(x, y))
