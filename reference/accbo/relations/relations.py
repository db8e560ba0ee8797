"""Relations that need no known answer (SPEC §7): what must stay when something else changes.

A relation is a function of one ``Case`` (an algorithm, a problem, a point, a noise tape) and
returns an ``Outcome``: an error, a tolerance, and whether the first stays within the second.
``RELATIONS[name](case)`` runs any of them. ``Case.build`` makes the algorithm under test from
the declared hyper-parameters, so that a relation may set some of them itself (β = 0) and a
fault, or somebody else's code behind AccBO's interface, still stands in its place.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accbo._arrays import (
    Array,
    asarray,
    dot,
    dtype_name,
    is_jax,
    map_arrays,
    namespace,
    row,
    rows,
    unit_roundoff,
)
from accbo.algorithms import AccBO
from accbo.problems.wrapped import (
    Autodiff,
    Isotropic,
    LinearSystem,
    NoiseFree,
    Padded,
    Rotated,
    ScaledUpper,
    Translated,
)
from accbo.relations.case import (
    Arrays,
    Case,
    Outcome,
    Samples,
    bitwise,
    difference,
    draw,
    largest,
    observed,
    ratio,
    rounding,
    run_evaluate,
    start_evaluate,
    trajectory,
    unchanged,
)
from accbo.relations.samples import momentum_without_noise, own_samples
from accbo.rounding import as_host, norms
from accbo.sampling import random_matrix, random_rotation

# --- relations of the upper step --------------------------------------------------------------


def scaling(case: Case, exponents: Sequence[int] = (-40, -1, 40)) -> Outcome:
    """F and its noise times 2^k: x, y, ŷ bit-identical and m times 2^k exactly (SPEC §7).

    Catches at k ≪ 0: "ε in the norm", "clipping"; also "no normalisation", "samples
    normalised". Every operation on the way from ∇F to m is linear in it, and a power of two
    commutes with rounding as long as nothing under- or overflows.
    """
    algorithm = case.build(case.algorithm)
    samples = draw(case, algorithm)
    plain = trajectory(algorithm, case.problem, case.x, case.y, samples)
    error = 0.0
    for exponent in exponents:
        problem = ScaledUpper(case.problem, 2.0**exponent)
        states = trajectory(algorithm, problem, case.x, case.y, samples)
        unscaled = [s._replace(momentum=s.momentum * 2.0**-exponent) for s in states]
        error = max(error, difference(observed(None, plain), observed(None, unscaled)))
    return Outcome("scaling", error, 0.0)


def step_length(case: Case) -> Outcome:
    """‖x_{t+1} − x_t‖ = η wherever m_t ≠ 0, and 0 where m_t = 0 (SPEC §7).

    Catches "norm per block", "no normalisation", "clipping", "ε in the norm". The error is
    in units of u(‖x_{t+1}‖ + η (d_x + 8)): the subtraction rounds each coordinate of
    x_{t+1}; the sum of squares, root, division and product cost at most d_x + 8 roundings
    (PyTorch's root is off by an ulp or two) of a vector of length η.
    """
    algorithm = case.build(case.algorithm)
    states = trajectory(algorithm, case.problem, case.x, case.y, draw(case, algorithm))
    u, length = unit_roundoff(case.x), case.algorithm.upper_step_size
    worst = 0.0
    for state in states:
        moved = np.linalg.norm(as_host(state.x) - as_host(state.x_previous), axis=-1)
        expected = np.where(np.any(as_host(state.momentum) != 0, axis=-1), length, 0.0)
        tolerance = u * (norms(state.x) + length * (case.x.shape[-1] + 8))
        worst = max(worst, largest(np.abs(moved - expected) / tolerance))
    return Outcome("step length", worst, 1.0)


# --- relations of the batch -------------------------------------------------------------------


def permutation(case: Case) -> Outcome:
    """Replicates permuted, with their samples: the same runs, permuted (SPEC §7).

    Needs three replicates or more along the last replicate axis (``ValueError``). Catches
    "different sample", which is a neighbour's: a swap of two is no rotation of three.
    """
    _require_replicates(case, 3)
    xp, count = namespace(case.x), case.x.shape[-2]
    order = asarray(np.array([1, 0, *range(2, count)]), case.x, xp.int64)

    def permute(tree: Any) -> Any:
        return map_arrays(lambda leaf: xp.take(leaf, order, axis=-2), tree)

    algorithm = case.build(case.algorithm)
    samples = draw(case, algorithm)
    plain = trajectory(algorithm, case.problem, case.x, case.y, samples)
    x, y, permuted = permute((case.x, case.y, samples))
    other = trajectory(algorithm, case.problem, x, y, permuted)
    left, right = [permute(a) for a in observed(None, plain)], observed(None, other)
    return _same_batch("permutation", case, left, right, permute)


def splitting(case: Case) -> Outcome:
    """The first replicate and the rest, run apart: the same runs (SPEC §7).

    Needs two replicates or more along the last replicate axis (``ValueError``). Catches
    "different sample".
    """
    _require_replicates(case, 2)
    algorithm = case.build(case.algorithm)
    samples = draw(case, algorithm)
    whole = observed(None, trajectory(algorithm, case.problem, case.x, case.y, samples))
    parts = []
    for part in (slice(0, 1), slice(1, None)):
        x, y, some = _replicates((case.x, case.y, samples), part)
        parts.append(observed(None, trajectory(algorithm, case.problem, x, y, some)))
    xp = namespace(case.x)
    joined = [xp.concat(pair, axis=-2) for pair in zip(*parts, strict=True)]
    return _same_batch("splitting", case, whole, joined, unchanged)


def _replicates(tree: Any, part: slice) -> Any:
    return map_arrays(lambda leaf: leaf[..., part, :], tree)


def _require_replicates(case: Case, least: int) -> None:
    if case.x.ndim < 2 or case.x.shape[-2] < least:
        raise ValueError(
            f"x has shape {tuple(case.x.shape)}; this relation needs {least} replicates or more"
        )


def _same_batch(
    name: str, case: Case, left: Arrays, right: Arrays, order: Callable[[Any], Any]
) -> Outcome:
    if bitwise(case):
        return Outcome(name, difference(left, right), 0.0)
    samples = draw(case, case.algorithm)
    evaluate = run_evaluate(case.algorithm)
    x, y, ordered = order((case.x, case.y, samples))
    bounds = rounding(case.problem, x, y, ordered, evaluate)
    return Outcome(name, ratio(left, right, bounds), 1.0)


# --- relations of the coordinates -------------------------------------------------------------


def padding(case: Case) -> Outcome:
    """Two coordinates of x and one of y that touch nothing change nothing (SPEC §7).

    Catches "norm per block" (the blocks become others).
    """
    problem = Padded(case.problem, 2, 1, case.algorithm.neumann_scale / 2)
    return _transformed("padding", case, problem)


def rotation(case: Case, seed: int = 0) -> Outcome:
    """Rotated coordinates, operators and noise: the rotated run (SPEC §7).

    Catches "norm per block".
    """
    d_x, d_y = case.x.shape[-1], case.y.shape[-1]
    turns = (random_rotation(d_x, seed), random_rotation(d_y, seed + 1))
    problem = Rotated(case.problem, *(asarray(turn, case.x) for turn in turns))
    return _transformed("rotation", case, problem)


def translation(case: Case, seed: int = 0) -> Outcome:
    """Moved origins of x and y: the moved run (SPEC §7).

    Catches "cross derivative at the wrong point" (y = 0 is no special point) where
    ∇²_xy G depends on y.
    """
    d_x, d_y = case.x.shape[-1], case.y.shape[-1]
    shifts = (random_matrix(1, d_x, seed)[0], random_matrix(1, d_y, seed + 1)[0])
    problem = Translated(case.problem, *(asarray(shift, case.x) for shift in shifts))
    return _transformed("translation", case, problem)


def _transformed(name: str, case: Case, problem: Any) -> Outcome:
    """The run on ``problem``, taken back, against the run on the problem inside it."""
    algorithm = case.build(case.algorithm)
    samples = draw(case, algorithm)
    x, y = problem.forth(case.x, case.y)
    plain = observed(None, trajectory(algorithm, case.problem, case.x, case.y, samples))
    other = observed(problem, trajectory(algorithm, problem, x, y, samples))
    right = draw(case, case.algorithm)  # a fault may take samples of another layout
    evaluate = run_evaluate(case.algorithm)
    bounds = zip(
        rounding(case.problem, case.x, case.y, right, evaluate),
        rounding(problem, x, y, right, evaluate),
        strict=True,
    )
    return Outcome(name, ratio(plain, other, [a + b for a, b in bounds]), 1.0)


# --- special cases ----------------------------------------------------------------------------


def sgd_below(case: Case, leftover: float = 2.0**-30) -> Outcome:
    """γ = 0 and τ = 1: the lower level is SGD, and ŷ = y (SPEC §7).

    γ = δ and τ = 1 − δ with ``leftover`` δ; where δ > 0 a swap with the complement is a
    legal hyper-parameter, and "γ as 1−γ" and "τ and 1−τ swapped" are caught. The error is in
    units of what δ and rounding allow: one step moves z by δ‖y_t − y_{t−1}‖ and is
    non-expansive for α l ≤ 2; α∇G and the difference round twice, z twice.
    """
    declared = dataclasses.replace(
        case.algorithm, lower_momentum=leftover, averaging=1.0 - leftover
    )
    algorithm = case.build(declared)
    samples = draw(case, algorithm)
    states = trajectory(algorithm, case.problem, case.x, case.y, samples)
    worst, before = 0.0, states[0].y_previous
    for state, sample in zip(states, (samples.start.first, *samples.steps), strict=True):
        start = state.y_previous
        if declared.period is not None:
            before = start
        y, allowed = _sgd(case, declared, state.x_previous, start, before, sample.lower)
        old = state.y_average_previous
        far = np.linalg.norm(as_host(old) - as_host(state.y), axis=-1)
        averaged = leftover * far + 4 * unit_roundoff(y) * (norms(old) + norms(state.y))
        pairs = [state.y, state.y_average], [y, state.y]
        worst, before = max(worst, ratio(*pairs, [allowed, averaged])), start
    return Outcome("sgd below", worst, 1.0)


def _sgd(
    case: Case, declared: AccBO, x: Array, y: Array, before: Array, samples: Any
) -> tuple[Array, np.ndarray]:
    """SGD from y, one step a row of samples, and how far γ = δ and rounding may lead from it."""
    step, u = declared.lower_step_size, unit_roundoff(y)
    growth = declared.lower_momentum * (1 + step * declared.neumann_scale)
    allowed = np.zeros(y.shape[:-1])
    for index in range(rows(samples)):
        gradient = case.problem.grad_y_lower(x, y, row(samples, index))
        moved = np.linalg.norm(as_host(y) - as_host(before), axis=-1)
        allowed = allowed + 2 * growth * moved + 4 * u * (norms(y) + step * norms(gradient))
        before, y = y, y - step * gradient
    return y, allowed


def sgd_above(case: Case) -> Outcome:
    """β = 0: normalised SGD, every iteration an iteration 0 on its own sample (SPEC §7).

    Needs no formula of h: m_t and x_{t+1} of a step are compared with those of ``init`` at
    (x_t, ŷ_t) on the same sample. Catches "correction without β", "samples normalised".
    """
    declared = dataclasses.replace(case.algorithm, momentum=0.0)
    algorithm = case.build(declared)
    samples = draw(case, algorithm)
    states = trajectory(algorithm, case.problem, case.x, case.y, samples)

    def momenta(states: list[Any]) -> Arrays:
        return [array for state in states[1:] for array in (state.momentum, state.x)]

    probes = []
    for state, sample in zip(states[1:], samples.steps, strict=True):
        sequential = declared.order == "sequential"
        y = state.y_average if sequential else state.y_average_previous
        probes.append(_iteration_zero(case, declared, state.x_previous, y, sample))

    def evaluate(problem: Any, x: Array, y: Array, samples: Samples, after: Any) -> Arrays:
        return momenta(trajectory(declared, problem, x, y, samples, after))

    bounds = rounding(case.problem, case.x, case.y, draw(case, declared), evaluate)
    error = ratio(momenta(states), momenta([None, *probes]), bounds)
    return Outcome("sgd above", error, 1.0)


def _at_start(declared: AccBO, **changes: Any) -> AccBO:
    """The algorithm whose m_0 is h at the very point it starts from."""
    return dataclasses.replace(
        declared, order="simultaneous", period=None, lower_steps=1, **changes
    )


def _iteration_zero(case: Case, declared: AccBO, x: Array, y: Array, sample: Any) -> Any:
    """The state after iteration 0 from (x, y) on the upper-level parts of ``sample``."""
    probe = case.build(_at_start(declared))
    start = case.noise.open(x).start(probe.draw_start(case.problem, 0, 1))
    upper = {
        name: map_arrays(lambda leaf: leaf[None, ...], getattr(sample, name))
        for name in ("upper", "cross", "hessian", "power")
    }
    return probe.init(case.problem, x, y, start._replace(first=start.first._replace(**upper)))


def isotropic(case: Case, terms: Sequence[int] = (1, 2, 5)) -> Outcome:
    """∇²_yy G = l I: S v = v/l for any Q, independent and chained (SPEC §7).

    Catches "series from q = 1", "1/l missing", "random term without Q", "sign of the
    implicit term"; not the number of terms, which must not matter here.
    """
    scale = case.algorithm.neumann_scale
    case = case._replace(problem=Isotropic(case.problem, scale), warm_start=0, first=1, steps=1)
    worst = 0.0
    for sampling in ("chained", "independent"):
        for count in terms:
            declared = _at_start(case.algorithm, neumann_terms=count, neumann_sampling=sampling)
            algorithm = case.build(declared)
            samples = draw(case, algorithm)
            momentum = algorithm.init(case.problem, case.x, case.y, samples.start).momentum
            bounds = rounding(
                case.problem, case.x, case.y, draw(case, declared), start_evaluate(declared)
            )
            exact = _exact_inverse(case, samples.start.first, scale)
            worst = max(worst, ratio([momentum], [exact], bounds))
    return Outcome("isotropic", worst, 1.0)


def _exact_inverse(case: Case, first: Any, scale: float) -> Array:
    """∇_x F − ∇²_xy G ∇_y F/l."""
    upper, cross = row(first.upper, 0), row(first.cross, 0)
    v = case.problem.grad_y_upper(case.x, case.y, upper) / scale
    gradient = case.problem.grad_x_upper(case.x, case.y, upper)
    return gradient - case.problem.cross_lower(case.x, case.y, v, cross)


def noise_free(case: Case) -> Outcome:
    """Zero noise: independent = chained, bit for bit, whatever the tape (SPEC §7).

    The two run on different tapes, for without noise no number of a tape may matter; so it
    catches "random term without Q", which is random by its choice of the term.
    """
    case = case._replace(problem=NoiseFree(case.problem))
    chained, independent = (
        dataclasses.replace(case.algorithm, neumann_sampling=sampling)
        for sampling in ("chained", "independent")
    )
    other = case._replace(noise=dataclasses.replace(case.noise, seed=case.noise.seed + 1))
    left, right = _plain_run(case, chained), _plain_run(other, independent)
    if bitwise(case._replace(problem=case.problem.problem)):
        return Outcome("noise free", difference(left, right), 0.0)
    samples = draw(case, chained)
    bounds = rounding(case.problem, case.x, case.y, samples, run_evaluate(chained))
    return Outcome("noise free", ratio(left, right, bounds), 1.0)


def _plain_run(case: Case, declared: AccBO) -> Arrays:
    algorithm = case.build(declared)
    samples = draw(case, algorithm)
    return observed(None, trajectory(algorithm, case.problem, case.x, case.y, samples))


# --- relations of the derivatives -------------------------------------------------------------


def taylor(case: Case, seed: int = 0) -> Outcome:
    """Φ(x + εd) − Φ(x) − ε⟨m_0, d⟩ shrinks at order 2 (SPEC §7).

    m_0 is the algorithm's own, without noise, at y*(x), with a series long enough; the
    problem's ∇Φ is held to the same. Needs ``value``, ``solution``, ``hypergradient`` and
    ``constants`` (``AttributeError``) and float64 (``TypeError``). The error is 2 − order, the
    tolerance ½: a wrong gradient leaves order 1. Every direction comes with its opposite,
    so that a second and a third derivative cannot cancel in all of them.
    Catches "series from q = 1", "1/l missing", "random term without Q", "sign of the
    implicit term", "cross derivative at the wrong point".
    """
    problem, x = case.problem, case.x
    if dtype_name(x) != "float64":
        raise TypeError(f"the order of a remainder needs float64, got {dtype_name(x)}")
    estimate = _converged(case, NoiseFree(problem), x, problem.solution(x))
    drawn = random_matrix(4, x.shape[-1], seed)
    drawn = drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)
    shape = (8, *(1 for _ in x.shape[:-1]), x.shape[-1])
    directions = asarray(np.concatenate((drawn, -drawn)).reshape(shape), x)

    def size(gradient: Array, distance: float) -> np.ndarray:
        rise = problem.value(x + distance * directions) - problem.value(x)
        remainder = rise - distance * dot(gradient + 0 * directions, directions)
        sizes: np.ndarray = np.sqrt(np.sum(as_host(remainder) ** 2, axis=0))
        return sizes

    orders = [
        np.log2(size(gradient, 2.0**-8) / size(gradient, 2.0**-12)) / 4
        for gradient in (estimate, problem.hypergradient(x))
    ]
    return Outcome("taylor", max(largest(2 - order) for order in orders), 0.5)


def _converged(case: Case, problem: Any, x: Array, y: Array) -> Array:
    """m_0 at (x, y) with as many terms as the precision of x needs: (1 − μ/l)^Q ≤ u."""
    ratio = case.problem.constants.mu / case.algorithm.neumann_scale
    terms = 1 if ratio >= 1 else math.ceil(math.log(unit_roundoff(x)) / math.log1p(-ratio))
    declared = _at_start(case.algorithm, neumann_terms=terms, neumann_sampling="chained")
    algorithm = case.build(declared)
    start = case.noise.open(x).start(algorithm.draw_start(problem, 0, 1))
    return algorithm.init(problem, x, y, start).momentum


def derivatives(case: Case) -> Outcome:
    """Closed-form derivatives, and h made of them, = automatic differentiation of F and G.

    Needs JAX arrays (``TypeError``). Catches a wrong derivative of a problem, and every
    fault of the Neumann series or of the implicit term's sign.
    """
    if not is_jax(case.x):
        raise TypeError(f"automatic differentiation needs JAX arrays, got {type(case.x).__name__}")
    declared = _at_start(case.algorithm)
    case = case._replace(steps=1, warm_start=0, first=1)

    def evaluate(problem: Any, x: Array, y: Array, samples: Samples, after: Any) -> Arrays:
        sample = samples.start.first
        upper, cross, lower = row(sample.upper, 0), row(sample.cross, 0), row(sample.lower, 0)
        v = y - 1
        return [
            problem.grad_x_upper(x, y, upper),
            problem.grad_y_upper(x, y, upper),
            problem.grad_y_lower(x, y, lower),
            problem.hvp_lower(x, y, v, lower),
            problem.cross_lower(x, y, v, cross),
            declared.init(problem, x, y, samples.start).momentum,
        ]

    samples = draw(case, declared)
    differentiated = evaluate(Autodiff(case.problem), case.x, case.y, samples, unchanged)
    closed = evaluate(case.problem, case.x, case.y, samples, unchanged)
    algorithm = case.build(declared)
    start = draw(case, algorithm).start
    closed[-1] = algorithm.init(case.problem, case.x, case.y, start).momentum
    bounds = rounding(case.problem, case.x, case.y, samples, evaluate)
    return Outcome("derivatives", ratio(closed, differentiated, bounds), 1.0)


def solve(case: Case) -> Outcome:
    """Residuals of solves, ‖Hv − b‖/(‖H‖‖v‖ n u), stay below 30 (SPEC §7).

    For the algorithm's own series with enough terms, b = ∇_y f; and for y*(x) with
    l_g1(‖x‖ + ‖y‖) in place of ‖H‖‖v‖, for there the right-hand side is a product itself.
    Needs ``solution`` and ``constants`` (``AttributeError``). Catches "series from q = 1",
    "1/l missing", "random term without Q", "sign of the implicit term".
    """
    problem, x, y, constants = case.problem, case.x, case.y, case.problem.constants
    unit = problem.d_y * unit_roundoff(x)
    system = LinearSystem(problem, x, y)
    inverse = _converged(case, system, 0 * y, y)
    residual = norms(problem.hvp_lower(x, y, inverse) - problem.grad_y_upper(x, y))
    series = residual / (unit * constants.curvature * norms(inverse))
    solution = problem.solution(x)
    size = constants.l_g1 * (norms(x) + norms(solution))
    lower = norms(problem.grad_y_lower(x, solution)) / (unit * size)
    return Outcome("solve", max(largest(series), largest(lower)), 30.0)


RELATIONS: dict[str, Callable[[Case], Outcome]] = {
    "scaling": scaling,
    "step length": step_length,
    "permutation": permutation,
    "splitting": splitting,
    "padding": padding,
    "rotation": rotation,
    "translation": translation,
    "sgd below": sgd_below,
    "sgd above": sgd_above,
    "isotropic": isotropic,
    "noise free": noise_free,
    "momentum without noise": momentum_without_noise,
    "own samples": own_samples,
    "taylor": taylor,
    "derivatives": derivatives,
    "solve": solve,
}
