"""How far rounding alone may move what is compared: no verdict is to depend on the processor.

Eigenvalues, norms and quotients of them come out of LAPACK and a BLAS, whose last bits differ
between processors, kernels and versions. A rotated H = 2I has a largest curvature of 2 on one
and of 2 + 4e-16 on another.
"""

from __future__ import annotations

import math

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
