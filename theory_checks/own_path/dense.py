"""The derivatives of SPEC §1 as dense matrices, from a problem's data, and h made of them.

Nothing of the package's own derivatives, series or momentum is called: what a sample's fields
mean is written out here from the formulas that the problems' files begin with. Points are
``(..., d)`` on the host; a sample, or a part of one, has the same leading axes; ``None`` is the
expectation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from accbo import AccBO
from accbo._arrays import to_host
from accbo.problems import FiniteSum, NonQuadratic, RelaxedSmooth

U = 2.0**-53
LOG2 = math.log(2)
Part = Mapping[str, np.ndarray] | None


class Noise(NamedTuple):
    """The parts of a sample that h reads, on the host; ``hessian`` ``(..., rows, d)`` by field."""

    upper: Part = None  # ξ
    cross: Part = None  # ζ⁰
    hessian: Part = None  # ζ
    power: Part = None  # q


class Estimate(NamedTuple):
    """h ``(..., d_x)`` and s ``(...)``, the size that its rounding is a multiple of."""

    value: np.ndarray
    size: np.ndarray


def norms(v: np.ndarray) -> np.ndarray:
    """Euclidean norms over the last axis."""
    return np.asarray(np.sqrt(np.sum(v * v, axis=-1)))


def apply(matrix: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Matrices ``(..., m, n)`` times vectors ``(..., n)``."""
    return np.asarray(np.matmul(matrix, v[..., None])[..., 0])


def diagonal(v: np.ndarray) -> np.ndarray:
    """Diagonal matrices ``(..., n, n)``."""
    return np.asarray(v[..., :, None] * np.eye(v.shape[-1]))


# --- derivatives ------------------------------------------------------------------------------


def grad_x(problem: Any, x: np.ndarray, y: np.ndarray, part: Part = None) -> np.ndarray:
    """∇_x F, ``(..., d_x)``."""
    if isinstance(problem, FiniteSum):
        _, offsets, labels, margins = _terms(problem, "upper", x, y, part)
        weights = labels / (1 + np.exp(margins))
        return problem.upper_ridge * x - np.mean(weights[..., None] * offsets, axis=-2)
    if isinstance(problem, RelaxedSmooth):
        waves = problem.ripple * problem.frequency * np.sin(problem.frequency * x)
        gradient = np.sinh(problem.rate * x) / problem.rate + waves
    else:
        gradient = to_host(problem.weights) * x
    return gradient + _upper_noise(problem, "x", x, part)


def grad_y(problem: Any, x: np.ndarray, y: np.ndarray, part: Part = None) -> np.ndarray:
    """∇_y F, ``(..., d_y)``."""
    if isinstance(problem, FiniteSum):
        features, _, labels, margins = _terms(problem, "upper", x, y, part)
        return -np.mean((labels / (1 + np.exp(margins)))[..., None] * features, axis=-2)
    away = y - to_host(problem.target)
    curved = isinstance(problem, RelaxedSmooth | NonQuadratic)
    return (np.tanh(away) if curved else away) + _upper_noise(problem, "y", y, part)


def hessian(problem: Any, x: np.ndarray, y: np.ndarray, part: Part = None) -> np.ndarray:
    """∇²_yy G, ``(..., d_y, d_y)``."""
    if isinstance(problem, FiniteSum):
        features, _, _, margins = _terms(problem, "lower", x, y, part)
        slopes = 1 / (4 * np.cosh(margins / 2) ** 2)
        outer = np.einsum("...b,...bi,...bj->...ij", slopes, features, features)
        return problem.lower_ridge * np.eye(problem.d_y) + outer / slopes.shape[-1]
    matrix = to_host(problem.hessian)
    if isinstance(problem, NonQuadratic):
        matrix = matrix + problem.strength * diagonal(_slope(problem, x, y))
    if part and "curvature" in part:
        matrix = matrix + problem.noise_lower.curvature * diagonal(part["curvature"])
    return np.asarray(matrix)


def cross(problem: Any, x: np.ndarray, y: np.ndarray, part: Part = None) -> np.ndarray:
    """∇²_xy G, ``(..., d_x, d_y)``."""
    if isinstance(problem, FiniteSum):
        features, offsets, _, margins = _terms(problem, "lower", x, y, part)
        slopes = 1 / (4 * np.cosh(margins / 2) ** 2)
        outer = np.einsum("...b,...bi,...bj->...ij", slopes, offsets, features)
        return np.asarray(outer / slopes.shape[-1])
    matrix = -to_host(problem.coupling).T
    if isinstance(problem, NonQuadratic):
        weights = problem.strength * _slope(problem, x, y)
        matrix = matrix - to_host(problem.shift).T * weights[..., None, :]
    if part and "coupling" in part:
        signs = problem.noise_lower.coupling * part["coupling"]
        noisy = -to_host(problem.coupling).T * signs[..., None, :]
        matrix = matrix + noisy
    return np.asarray(matrix)


def grad_lower(problem: Any, x: np.ndarray, y: np.ndarray, part: Part = None) -> np.ndarray:
    """∇_y G, ``(..., d_y)``; of a quadratic g it is (H + noise)y − (C + noise)x + noise."""
    if isinstance(problem, FiniteSum):
        features, _, labels, margins = _terms(problem, "lower", x, y, part)
        weights = labels / (1 + np.exp(margins))
        return problem.lower_ridge * y - np.mean(weights[..., None] * features, axis=-2)
    pull = apply(to_host(problem.coupling), x)
    gradient = apply(to_host(problem.hessian), y) - pull
    if isinstance(problem, NonQuadratic):
        gradient = gradient + problem.strength * np.tanh(_argument(problem, x, y))
    if part:
        noise = problem.noise_lower
        scales = {"additive": 1.0 + 0 * y, "curvature": y, "coupling": -pull}
        for field, factor in scales.items():
            if field in part:
                gradient = gradient + getattr(noise, field) * part[field] * factor
    return np.asarray(gradient)


def lower(problem: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """g, ``(...)``."""
    if isinstance(problem, FiniteSum):
        margins = _terms(problem, "lower", x, y, None)[-1]
        losses = np.mean(np.logaddexp(0.0, -margins), axis=-1)
        return np.asarray(losses + problem.lower_ridge / 2 * np.sum(y * y, axis=-1))
    pull, push = apply(to_host(problem.coupling), x), apply(to_host(problem.hessian), y)
    value = np.sum(y * (push / 2 - pull), axis=-1)
    if isinstance(problem, NonQuadratic):
        away = _argument(problem, x, y)
        value = value + problem.strength * np.sum(np.logaddexp(away, -away) - LOG2, axis=-1)
    return np.asarray(value)


def _upper_noise(problem: Any, side: str, variable: np.ndarray, part: Part) -> np.ndarray:
    noise, found = problem.noise_upper, 0 * variable
    for field, factor in ((f"additive_{side}", 1.0), (f"multiplicative_{side}", variable)):
        if part and field in part:
            found = found + getattr(noise, field) * part[field] * factor
    return np.asarray(found)


def _argument(problem: NonQuadratic, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(y - apply(to_host(problem.shift), x))


def _slope(problem: NonQuadratic, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(1 / np.cosh(_argument(problem, x, y)) ** 2)


def _terms(problem: FiniteSum, level: str, x: np.ndarray, y: np.ndarray, part: Part) -> Any:
    """Features, offsets, labels and margins b(aᵀy + cᵀx) of the batch, or of all terms."""
    tables = (getattr(problem, f"{level}_{name}") for name in ("features", "offsets", "labels"))
    features, offsets, labels = (to_host(table) for table in tables)
    if part and "index" in part:
        index = part["index"]
        features, offsets, labels = features[index], offsets[index], labels[index]
    along = np.einsum("...bj,...j->...b", features, y) + np.einsum("...bj,...j->...b", offsets, x)
    return features, offsets, labels, labels * along


# --- h and its expectation ----------------------------------------------------------------------


def estimate(
    problem: Any, algorithm: AccBO, x: np.ndarray, y: np.ndarray, noise: Noise
) -> Estimate:
    """h(x, y) on the sample, and s = ‖∇_xF‖ + ‖J‖_F (Q/l)(‖v‖ + ‖y‖ + 1)."""
    v = grad_y(problem, x, y, noise.upper)
    direct = grad_x(problem, x, y, noise.upper)
    jacobian = cross(problem, x, y, noise.cross)
    inverse = _series(problem, algorithm, x, y, v, noise)
    value = direct - apply(jacobian, inverse)
    largest = algorithm.neumann_terms / algorithm.neumann_scale * (norms(v) + norms(y) + 1)
    frobenius = np.sqrt(np.sum(jacobian**2, axis=(-2, -1)))
    return Estimate(value, norms(direct) + frobenius * largest)


def _series(
    problem: Any, algorithm: AccBO, x: np.ndarray, y: np.ndarray, v: np.ndarray, noise: Noise
) -> np.ndarray:
    """S v of SPEC §2 in the algorithm's sampling; row i of ζ as its layout says."""
    terms, scale = algorithm.neumann_terms, algorithm.neumann_scale

    def factor(u: np.ndarray, row: int) -> np.ndarray:
        part = {name: leaf[..., row, :] for name, leaf in (noise.hessian or {}).items()}
        return np.asarray(u - apply(hessian(problem, x, y, part), u) / scale)

    if algorithm.neumann_sampling == "chained":
        total = power = v
        for q in range(1, terms):
            power = factor(power, q - 1)
            total = total + power
        return np.asarray(total / scale)
    if algorithm.neumann_sampling == "independent":
        # stage-major: j = 1 …, within it q = j … Q − 1
        row: dict[tuple[int, int], int] = {}
        for j in range(1, terms):
            for q in range(j, terms):
                row[q, j] = len(row)
        total = v
        for q in range(1, terms):
            power = v
            for j in range(1, q + 1):
                power = factor(power, row[q, j])
            total = total + power
        return np.asarray(total / scale)
    assert noise.power is not None  # the randomised series draws q
    power, chosen = v, noise.power["power"]
    for j in range(1, terms):
        power = np.where(chosen >= j, factor(power, j - 1), power)
    return np.asarray(terms * power / scale)


def truncated(problem: Any, algorithm: AccBO, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """S_Q = H⁻¹(I − (I − H/l)^Q) at (x, y), ``(..., d_y, d_y)``."""
    matrix, identity = hessian(problem, x, y), np.eye(problem.d_y)
    left = np.linalg.matrix_power(
        identity - matrix / algorithm.neumann_scale, algorithm.neumann_terms
    )
    return np.asarray(np.linalg.solve(matrix, identity - left))


def mean_estimate(problem: Any, algorithm: AccBO, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """E h(x, y), the same in the three samplings (SPEC 4.1)."""
    inverse = apply(truncated(problem, algorithm, x, y), grad_y(problem, x, y))
    return np.asarray(grad_x(problem, x, y) - apply(cross(problem, x, y), inverse))


def rounding(problem: Any, algorithm: AccBO) -> float:
    """4(Q + 1)(d_x + d_y + 4)u: Q terms of at most Q products of d_y terms, in both programs."""
    return 4 * (algorithm.neumann_terms + 1) * (problem.d_x + problem.d_y + 4) * U


# --- the lower level ---------------------------------------------------------------------------


def nesterov_steps(
    problem: Any,
    algorithm: AccBO,
    x: np.ndarray,
    pair: tuple[np.ndarray, np.ndarray],
    noise: Mapping[str, np.ndarray],
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """y after ``steps`` steps from the ``pair`` at x, and the sizes of what they added up.

    ``noise`` has a leading axis as x, then one over the steps.
    """
    alpha, gamma = algorithm.lower_step_size, algorithm.lower_momentum
    y, before = pair
    size = np.zeros(x.shape[:-1])
    for step in range(steps):
        part = {name: leaf[:, step] for name, leaf in noise.items()}
        z = (1 + gamma) * y - gamma * before
        moved = alpha * grad_lower(problem, x, z, part)
        size += (1 + 2 * gamma) * (norms(y) + norms(before)) + norms(moved) + norms(z)
        size += alpha * norms(grad_lower(problem, x, 0 * z, part))
        y, before = z - moved, y
    return y, size + norms(y)
