"""What the algorithms of the page share: the hypergradient, and steps."""

from __future__ import annotations

from typing import Any

from accbo.conformance.vectors.proof.lists import Numbers, Part, add, each, row, scale, sub
from accbo.conformance.vectors.proof.problems import Problem

Sample = dict[str, Any]  # part → field → numbers


def hypergradient(
    k: Any, problem: Problem, x: Numbers, y: Numbers, sample: Sample, settings: dict[str, Any]
) -> Numbers:
    """h(x, y) on one sample."""
    v = problem.grad_y_upper(x, y, sample["upper"])
    z = series(k, problem, x, y, v, sample, settings)
    return direction(problem, x, y, z, sample["upper"], sample["cross"])


def direction(
    problem: Problem, x: Numbers, y: Numbers, z: Numbers, upper: Part, cross: Part
) -> Numbers:
    """∇_x F − ∇²_xy G z."""
    return sub(problem.grad_x_upper(x, y, upper), problem.cross_lower(x, y, z, cross))


def series(
    k: Any,
    problem: Problem,
    x: Numbers,
    y: Numbers,
    v: Numbers,
    sample: Sample,
    settings: dict[str, Any],
) -> Numbers:
    """S v; ``settings`` has Q, l and the sampling of the series."""
    Q, sampling = settings["neumann_terms"], settings["neumann_sampling"]
    scale_l, hessian = k.number(settings["neumann_scale"]), sample["hessian"]

    def factor(p: Numbers, index: int) -> Numbers:
        product = problem.hvp_lower(x, y, p, row(hessian, index))
        return k.settled(sub(p, [entry / scale_l for entry in product]))

    def over_l(p: Numbers) -> Numbers:
        return k.settled([entry / scale_l for entry in p])

    if sampling == "randomised":
        p = v
        for j in range(1, int(sample["power"]["power"][0]) + 1):
            p = factor(p, j - 1)
        return k.settled(scale(k.number(Q) / scale_l, p))
    terms, p = [v], v
    for q in range(1, Q):
        if sampling == "chained":
            p = factor(p, q - 1)
        else:
            p = v
            for j in range(1, q + 1):
                p = factor(p, (j - 1) * (2 * Q - j) // 2 + q - j)
        terms.append(p)
    return over_l(add(k, *terms))


def normalised(k: Any, x: Numbers, m: Numbers, eta: Any) -> Numbers:
    """x − η m/‖m‖, and x where m = 0."""
    if k.is_zero(m):
        return x
    return sub(x, scale(eta, k.direction(m)))


def plain(x: Numbers, size: Any, direction: Numbers) -> Numbers:
    """x − η d."""
    return sub(x, scale(size, direction))


def descend(k: Any, problem: Problem, x: Numbers, y: Numbers, lower: Part, size: Any) -> Numbers:
    """One SGD step on y at a fixed x for each row of ``lower``."""
    for noise in each(lower):
        y = k.settled(plain(y, size, problem.grad_y_lower(x, y, noise)))
    return y
