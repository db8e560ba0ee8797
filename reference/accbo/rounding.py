"""How far rounding alone may move what is compared: no verdict is to depend on the processor.

Eigenvalues, norms and quotients of them come out of LAPACK and a BLAS, whose last bits differ
between processors, kernels and versions. A rotated H = 2I has a largest curvature of 2 on one
and of 2 + 4e-16 on another.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from accbo._arrays import Array, to_host

SPREAD = 16  # standard deviations of a random walk of roundings that are allowed for
WHOLE = 1e-12  # relative: a quotient this close above an integer is meant to be that integer


def spectral_rounding(size: int, roundoff: float = 2.0**-53) -> float:
    """Relative rounding of eigenvalues and norms of a ``size`` × ``size`` matrix.

    16 √n u, with u the larger of ``roundoff``, that of the dtype in which the matrix is held, and
    of float64, in which they are computed. Errors of products and factorisations grow like √n u
    with a constant of a few units (Higham and Mary 2019, SIAM J. Sci. Comput. 41, A2815).
    """
    return SPREAD * math.sqrt(size) * max(roundoff, 2.0**-53)


def ceiling(value: float) -> int:
    """The least integer that is not below ``value``, a rounding apart."""
    return math.ceil(value - WHOLE * abs(value))


# --- norms, and probes of how far a perturbation of relative size u moves a run ---------------

PROBES = 16
SIZE = 2.0**-26  # of a perturbation: far above u, and K·SIZE far below 1
SAFETY = 10.0


def as_host(array: Array) -> np.ndarray:
    """``array`` on the host in float64."""
    return to_host(array).astype(np.float64)


def norms(array: Array) -> np.ndarray:
    """Euclidean norms over the last axis, on the host, shape ``(...)``.

    Powers of two are taken out first: the square of 1e-200 underflows, its norm does not.
    """
    values = as_host(array)
    size = np.max(np.abs(values), axis=-1, initial=0.0)
    found: np.ndarray
    if np.all((size == 0) | ((size > 1e-100) & (size < 1e100))):  # the same bits without
        found = np.sqrt(np.sum(values * values, axis=-1))
    else:
        exponent = np.frexp(size)[1]
        scaled = np.ldexp(values, -exponent[..., None])
        found = np.ldexp(np.linalg.norm(scaled, axis=-1), exponent)
    return found


def near(normals: Callable[..., np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """The function that moves every component of an array by about SIZE times its norm."""

    def disturb(array: np.ndarray) -> np.ndarray:
        found: np.ndarray = array + SIZE * norms(array)[..., None] * normals(array.shape)
        return found

    return disturb
