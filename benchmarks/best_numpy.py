"""AccBO in NumPy with nothing but speed in mind: buffers, folded constants, one product a pair.

Both points lie in one array of 2R rows; I − H/l, the scales of the noise and the signs of
the updates are multiplied out beforehand, and nothing is allocated inside the loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.case import Noise, Numbers


def run(k: Numbers, noise: Noise, state: Any, steps: int) -> tuple[np.ndarray, ...]:
    """The state (x, x_old, y, y_old, ŷ, ŷ_old, m) after ``steps`` steps."""
    x, x_old, y, y_old, mean, mean_old, m = (np.array(part) for part in state)
    rows, d = x.shape
    factor = np.eye(d) - k.H / k.scale
    to_gradient = (k.alpha * k.H, k.alpha * k.C.T)
    coupling = k.C / k.scale
    xs, ys = np.stack((x, x_old)), np.stack((mean, mean_old))
    power, other, total, scratch = (np.empty((2, rows, d)) for _ in range(4))
    one, two, z = (np.empty((rows, d)) for _ in range(3))
    zetas = np.empty(noise.zeta.shape[1:])
    length = np.empty((rows, 1))
    flat = [(a.reshape(-1, d), b.reshape(-1, d)) for a, b in ((power, other), (other, power))]

    for i in range(steps):
        # ∇_y F at both points, then the series
        np.multiply(noise.b_y[i], k.b_y, out=one)
        one += 1.0
        np.multiply(noise.a_y[i], k.a_y, out=two)
        two -= k.t
        np.multiply(ys, one, out=power)
        np.add(power, two, out=power)
        np.copyto(total, power)
        np.multiply(noise.zeta[i], k.c / k.scale, out=zetas)
        source, target = power, other
        for q, zeta in enumerate(zetas):
            np.matmul(flat[q % 2][0], factor, out=flat[q % 2][1])
            np.multiply(source, zeta, out=scratch)
            np.subtract(target, scratch, out=target)
            np.add(total, target, out=total)
            source, target = target, source
        # the implicit term and ∇_x F
        np.multiply(noise.cross[i], k.e, out=one)
        one += 1.0
        np.multiply(total, one, out=total)
        np.matmul(total.reshape(-1, d), coupling, out=scratch.reshape(-1, d))
        np.multiply(noise.b_x[i], k.b_x, out=one)
        one += k.w
        np.multiply(xs, one, out=total)
        np.add(total, scratch, out=total)
        # m = new + β (m − old); the additive noise cancels but for 1 − β of it
        new, old = total
        np.subtract(m, old, out=m)
        np.multiply(m, k.beta, out=m)
        np.add(m, new, out=m)
        np.multiply(noise.a_x[i], (1 - k.beta) * k.a_x, out=one)
        np.add(m, one, out=m)
        # the lower level at the old x
        np.subtract(y, y_old, out=z)
        np.multiply(z, k.gamma, out=z)
        np.add(z, y, out=z)
        np.matmul(z, to_gradient[0], out=one)
        np.matmul(xs[0], to_gradient[1], out=two)
        np.copyto(y_old, y)
        np.subtract(z, one, out=y)
        np.multiply(noise.curvature[i], k.alpha * k.c, out=one)
        np.multiply(one, z, out=one)
        np.subtract(y, one, out=y)
        np.multiply(noise.additive[i], k.alpha * k.a, out=one)
        np.subtract(y, one, out=y)
        np.multiply(noise.coupling[i], k.e, out=one)
        one += 1.0
        np.multiply(one, two, out=one)
        np.add(y, one, out=y)
        # ŷ and x
        np.copyto(ys[1], ys[0])
        np.multiply(y, k.tau, out=one)
        np.multiply(ys[0], 1 - k.tau, out=ys[0])
        np.add(ys[0], one, out=ys[0])
        np.copyto(xs[1], xs[0])
        np.vecdot(m, m, out=length[:, 0])
        np.sqrt(length, out=length)
        np.divide(k.eta, length, out=length)
        np.multiply(m, length, out=one)
        np.subtract(xs[0], one, out=xs[0])
    return xs[0], xs[1], y, y_old, ys[0], ys[1], m
