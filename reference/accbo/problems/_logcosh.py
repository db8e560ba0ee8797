"""log cosh, its derivatives, and the finite-radius constants of cosh."""

from __future__ import annotations

import math

from accbo._arrays import Array, namespace

# max |d/du sech²(u)| = 4/(3√3)
SECH2_LIPSCHITZ = 4 / (3 * math.sqrt(3))

# What a Hessian bound ‖∇²f‖ ≤ L0 + L1 ‖∇f‖ costs in the finite-radius form of SPEC §1 where
# L_y1 = 0: both constants times the root of c = (e^d − 1)/d, d = 1/(√2 c).
FINITE_RADIUS = 1.3221892025008457

_FAR = 40.0  # log cosh u = |u| − log 2 + e^{−2|u|}: 2e-35; and e^{2|u|} is finite in float32


def log_cosh(u: Array) -> Array:
    """log cosh u without overflow, elementwise.

    Not by way of |u| near 0, whose second derivative automatic differentiation loses at u = 0;
    by way of |u| far out, where that of ``logaddexp`` is ∞/∞ in PyTorch. |u| is not ``abs``, whose
    second derivative PyTorch takes by way of its compiler: seconds to load, and slow each time.
    """
    xp = namespace(u)
    size = xp.where(u > 0, u, -u)
    near = xp.clip(u, -_FAR, _FAR)
    return xp.where(size > _FAR, size, xp.logaddexp(near, -near)) - math.log(2)


def sech2(u: Array) -> Array:
    """1/cosh² u = 1 − tanh² u, elementwise."""
    t = namespace(u).tanh(u)
    return (1 - t) * (1 + t)
