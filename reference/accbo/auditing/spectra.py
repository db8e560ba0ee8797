"""Spectra of ∇²_yy G and ∇²_xy G at one point, from products.

Up to DENSE dimensions products with the identity give the whole matrices; beyond, products with
an orthonormal basis of a block Krylov space give Ritz values. Either way every figure is an
estimate from within: the true μ is no larger, the true norms are no smaller.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accbo.auditing.oracle import Draws, Normals, Oracle, Point, repeated, tiled

DENSE, BLOCK, POWERS = 64, 8, 8
FLAT = 1e-8  # λ_min below this part of l is 0


class Spectrum(NamedTuple):
    """At one point: λ_min and λ_max of ∇²_yy G, ‖[∇²_xy G; ∇²_yy G]‖ and ‖∇²_xy G‖."""

    smallest: float
    largest: float
    joint: float
    cross: float


class Lower(NamedTuple):
    """λ_min and λ_max of ∇²_yy G at one point, and a unit eigenvector of λ_min, ``(d_y,)``."""

    smallest: float
    largest: float
    vector: np.ndarray


def spectrum(oracle: Oracle, point: Point, sample: Draws | None, normals: Normals) -> Spectrum:
    """The spectrum at ``point``, of a realisation or (None) of the mean."""
    basis = _basis(oracle, point, sample, normals)
    hessian = products(oracle, "hvp_lower", point, basis, sample)
    cross = products(oracle, "cross_lower", point, basis, sample)
    seen = hessian @ basis.T
    values = np.linalg.eigvalsh((seen + seen.T) / 2)
    joint = np.linalg.norm(np.hstack((hessian, cross)), 2)
    return Spectrum(
        float(values[0]), float(values[-1]), float(joint), float(np.linalg.norm(cross, 2))
    )


def lower_end(oracle: Oracle, point: Point, normals: Normals, sample: Draws | None = None) -> Lower:
    """Of a realisation or (None) of the mean; NaN where a product is not finite."""
    basis = _basis(oracle, point, sample, normals)
    return end_of(products(oracle, "hvp_lower", point, basis, sample, finite=False), basis)


def end_of(hessian: np.ndarray, basis: np.ndarray) -> Lower:
    """The same from products ``hessian`` with the rows of ``basis``, ``(n, d_y)`` both."""
    if not np.all(np.isfinite(hessian)):
        return Lower(np.nan, np.nan, basis[0])
    seen = hessian @ basis.T
    values, vectors = np.linalg.eigh((seen + seen.T) / 2)
    return Lower(float(values[0]), float(values[-1]), basis.T @ vectors[:, 0])


def products(
    oracle: Oracle,
    method: str,
    point: Point,
    v: np.ndarray,
    sample: Draws | None,
    *,
    finite: bool = True,
) -> np.ndarray:
    """``method`` at ``point`` with every row of ``v``."""
    x, y = (repeated(part, len(v)) for part in point)
    if sample is None:
        return oracle.mean(method, x, y, v, finite=finite)
    return oracle(method, x, y, v, tiled(sample, len(v)), finite=finite)


def _basis(oracle: Oracle, point: Point, sample: Draws | None, normals: Normals) -> np.ndarray:
    """Rows that span all of y's space, or a part that holds both ends of the spectrum."""
    size = oracle.sizes["y"]
    if size <= DENSE:
        return np.eye(size)
    block = normals((BLOCK, size))
    krylov = [block]
    for _ in range(POWERS - 1):
        block = np.linalg.qr(products(oracle, "hvp_lower", point, block, sample).T)[0].T
        krylov.append(block)
    return np.linalg.qr(np.concatenate(krylov).T)[0].T


def flat(oracle: Oracle) -> float:
    """The part of l below which λ_min is 0: FLAT, or what rounding leaves."""
    return max(FLAT, 1e3 * oracle.roundoff)
