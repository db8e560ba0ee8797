"""Deliberately wrong variants of AccBO (SPEC §6), each a small change of one part.

A check counts only when it has been seen to fail: ``FAULTS[name].apply(algorithm)`` is an
algorithm of the same interface with that one mistake in it. ``variants`` are the ways in which
somebody else's program may make it, on the samples of the right algorithm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from accbo._arrays import Array, map_arrays, namespace, norm, rows
from accbo.algorithms import AccBO, AccBOSample
from accbo.conformance.fault import Choices, Fault
from accbo.conformance.fault import ways as _ways
from accbo.conformance.variants import (
    CUTS,
    AtInner,
    Change,
    Clock,
    ColdStart,
    Copied,
    CrossElsewhere,
    KeptPair,
    Leaking,
    LeakingAtPoint,
    OtherSample,
    Remembering,
    SharedBatch,
    block_step,
    declared,
    part,
    series,
    term_rows,
    with_parts,
)
from accbo.hypergradient import NEUMANN
from accbo.momentum import Gradient, Point, moving_average
from accbo.upper import gradient_step, normalized_step

# --- momentum -------------------------------------------------------------------------------


def _stale(
    gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float, memory: Array
) -> tuple[Array, Array]:
    estimate = gradient(*new)
    return estimate + decay * (momentum - memory), estimate


def _two_old(
    gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float, memory: Array
) -> tuple[Array, Array]:
    return gradient(*new) + decay * (memory - gradient(*old)), momentum


def _next_replicate(sample: AccBOSample) -> AccBOSample:
    """The neighbour's sample: fresh, and independent of one's own."""
    return map_arrays(
        lambda leaf: namespace(leaf).roll(leaf, 1, axis=-2 if leaf.ndim > 1 else -1), sample
    )


def _next_coordinate(sample: AccBOSample) -> AccBOSample:
    """The same numbers in other places."""
    return map_arrays(lambda leaf: namespace(leaf).roll(leaf, 1, axis=-1), sample)


def _no_noise(sample: AccBOSample) -> AccBOSample:
    """No fields but the rows: the expectation."""
    kept = {name: getattr(sample, name) for name in ("power", "lower")}
    bare = [{"none": next(iter(part.values()))[..., :0]} for part in sample[:3]]
    return AccBOSample(*bare, **kept)


def _moving_average(
    gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float
) -> Array:
    return moving_average(gradient, new, momentum, decay)


def _heavy(gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float) -> Array:
    return gradient(*new) + decay * momentum


def _undamped(gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float) -> Array:
    return gradient(*new) + (momentum - gradient(*old))


def _old_x_only(gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float) -> Array:
    return gradient(*new) + decay * (momentum - gradient(old[0], new[1]))


def _normalised_samples(
    gradient: Gradient, new: Point, old: Point, momentum: Array, decay: float
) -> Array:
    def unit(x: Array, y: Array) -> Array:
        g = gradient(x, y)
        return normalized_step(namespace(g).zeros_like(g), g, -1.0)

    return unit(*new) + decay * (momentum - unit(*old))


def _swapped_momentum(algorithm: Any) -> Any:
    inner = declared(algorithm).parts.momentum
    return with_parts(algorithm, momentum=lambda g, new, old, m, b: inner(g, new, old, m, 1 - b))


# --- upper step -----------------------------------------------------------------------------


def clipped(threshold: float) -> Change:
    """x − η m min(1, c/‖m‖)."""

    def step(x: Array, direction: Array, step_size: float) -> Array:
        length = namespace(x).maximum(norm(direction), threshold)[..., None]
        return x - step_size * direction / (length / threshold)

    return part(upper_step=step)


def guarded(style: str, epsilon: float) -> Change:
    """x − η m/n with n = ‖m‖ + ε, max(‖m‖, ε) or √(‖m‖² + ε)."""

    def step(x: Array, direction: Array, step_size: float) -> Array:
        xp, length = namespace(x), norm(direction)[..., None]
        if style == "sum":
            length = length + epsilon
        elif style == "maximum":
            length = xp.maximum(length, epsilon)
        else:
            length = xp.sqrt(length * length + epsilon)
        return x - step_size * direction / length

    return part(upper_step=step)


_EPSILONS = (*(10.0**-k for k in range(2, 21)), 2.0**-52, 2.0**-23, 1e-30, 5e-324)


def _guards(algorithm: AccBO) -> list[Choices]:
    return [(guarded(style, e),) for style in ("sum", "maximum", "root") for e in _EPSILONS]


def _plain_norm(stays: bool) -> Change:
    """A norm whose squares underflow: 0 stands for it, and x stays or becomes NaN."""

    def step(x: Array, direction: Array, step_size: float) -> Array:
        xp, length = namespace(x), norm(direction)[..., None]
        if stays:
            length = xp.where(length > 0, length, xp.inf)
        return x - step_size * direction / length

    return part(upper_step=step)


def _in_float32(array: Array) -> Array:
    xp = namespace(array)
    return xp.astype(xp.astype(array, xp.float32), array.dtype)


def _single_precision(x: Array, direction: Array, step_size: float) -> Array:
    return normalized_step(x, _in_float32(direction), step_size)


def _single_step(x: Array, direction: Array, step_size: float) -> Array:
    return _in_float32(normalized_step(x, direction, step_size))


# --- lower level and averaging --------------------------------------------------------------


def _heavy_ball(
    gradient: Any, y: Array, y_previous: Array, step_size: float, momentum: float
) -> Array:
    return y + momentum * (y - y_previous) - step_size * gradient(y)


def _with_lower_momentum(change: Callable[[float], float]) -> Change:
    def apply(algorithm: Any) -> Any:
        inner = declared(algorithm).parts.lower_step
        return with_parts(algorithm, lower_step=lambda g, y, p, a, m: inner(g, y, p, a, change(m)))

    return apply


def _no_average(y_average: Array, y: Array, weight: float) -> Array:
    return y + 0 * y_average


def _swapped_average(algorithm: Any) -> Any:
    inner = declared(algorithm).parts.average
    return with_parts(algorithm, average=lambda y_average, y, w: inner(y_average, y, 1 - w))


# --- Neumann series -------------------------------------------------------------------------


def _from_first(start: Callable[[Array, int], Array]) -> Change:
    """The sum without q = 0; ``start(q, Q)`` is the term that is drawn where one is."""

    def change(right: Any, algorithm: AccBO) -> Any:
        def faulty(product: Any, v: Array, sample: Any) -> Array:
            if algorithm.neumann_sampling != "randomised":
                return right(product, v, sample) - v / algorithm.neumann_scale
            q = sample.power["power"]
            drawn = start(q, algorithm.neumann_terms)
            value = right(product, v, sample._replace(power={"power": drawn}))
            return namespace(v).where(drawn > 0, value, 0 * v)

        return faulty

    return series(change)


def _one_up(q: Array, terms: int) -> Array:
    return namespace(q).where(q + 1 < terms, q + 1, q)


def _at_least_one(q: Array, terms: int) -> Array:
    return namespace(q).where((q > 0) | (terms == 1), q, q + 1)


def _fewer(own_layout: bool) -> Change:
    """Q − 1 terms, on the rows they have among Q or on the first rows."""

    def change(right: Any, algorithm: AccBO) -> Any:
        sampling, terms = algorithm.neumann_sampling, algorithm.neumann_terms - 1

        def faulty(product: Any, v: Array, sample: Any) -> Array:
            if terms == 0:
                return 0 * v
            used = list(range(rows(sample.hessian)))[: max(terms - 1, 0)]
            if sampling == "independent":
                used = list(range(terms * (terms - 1) // 2))
                if not own_layout:
                    kept = [r for q in range(terms) for r in term_rows(sampling, terms + 1, q)]
                    used = sorted(kept)
            elif sampling == "randomised":
                q = sample.power["power"]
                drawn = namespace(q).where(q < terms, q, q - 1) if own_layout else q
                if not own_layout:  # every drawn q, a smaller factor
                    return right(product, v, sample) * terms / (terms + 1)
                sample = sample._replace(power={"power": drawn})
            fewer = map_arrays(lambda leaf: _take(leaf, used), sample.hessian)
            short = sample._replace(hessian=fewer)
            return NEUMANN[sampling](product, v, short, terms, algorithm.neumann_scale)

        return faulty

    return series(change)


def _take(leaf: Array, used: list[int]) -> Array:
    if not used:
        return leaf[:0, ...]
    return namespace(leaf).stack([leaf[index, ...] for index in used])


def _more(extra: int | None) -> Change:
    """Q + 1 terms; the factor without a sample takes row ``extra``, or the expectation."""

    def change(right: Any, algorithm: AccBO) -> Any:
        sampling, terms = algorithm.neumann_sampling, algorithm.neumann_terms
        scale = algorithm.neumann_scale

        def faulty(product: Any, v: Array, sample: Any) -> Array:
            total = right(product, v, sample)
            if sampling == "randomised":
                return total * (terms + 1) / terms
            power, given = v, rows(sample.hessian)
            for index in term_rows(sampling, terms, terms - 1):
                power = power - product(power, _row(sample.hessian, index, v)) / scale
            zeta = None if extra is None or not given else _row(sample.hessian, extra % given, v)
            return total + (power - product(power, zeta) / scale) / scale

        return faulty

    return series(change)


def _row(part: dict[str, Array], index: int, v: Array) -> dict[str, Array]:
    return {key: leaf[index, ...] for key, leaf in part.items()}


def _without_scale(outside: bool, inside: bool) -> Change:
    def change(right: Any, algorithm: AccBO) -> Any:
        scale = algorithm.neumann_scale

        def faulty(product: Any, v: Array, sample: Any) -> Array:
            if not inside:
                return right(product, v, sample) * scale
            value = right(lambda u, zeta: scale * product(u, zeta), v, sample)
            return value * scale if outside else value

        return faulty

    return series(change)


def _without_factor(algorithm: Any) -> Any:
    """One random term, drawn as for the randomised series, without the factor Q."""
    randomised = _sampling(algorithm, "randomised")
    terms = declared(algorithm).neumann_terms
    return series(lambda right, _: lambda product, v, s: right(product, v, s) / terms)(randomised)


def _sampling(algorithm: Any, sampling: str) -> Any:
    if isinstance(algorithm, AccBO):
        return dataclasses.replace(algorithm, neumann_sampling=sampling)
    return dataclasses.replace(algorithm, algorithm=_sampling(algorithm.algorithm, sampling))


def _single_term(q: int) -> Change:
    """The term q alone, on its rows."""

    def change(right: Any, algorithm: AccBO) -> Any:
        used = term_rows(algorithm.neumann_sampling, algorithm.neumann_terms, q)

        def faulty(product: Any, v: Array, sample: Any) -> Array:
            power = v
            for index in used:
                step = product(power, _row(sample.hessian, index, v))
                power = power - step / algorithm.neumann_scale
            return power / algorithm.neumann_scale

        return faulty

    return series(change)


def _single_terms(algorithm: AccBO) -> list[Choices]:
    if algorithm.neumann_sampling == "randomised":
        return [(_without_factor,)]
    return [tuple(_single_term(q) for q in range(algorithm.neumann_terms))]


def _one_sample(which: int) -> Change:
    def change(right: Any, algorithm: AccBO) -> Any:
        def faulty(product: Any, v: Array, sample: Any) -> Array:
            def repeated(leaf: Array) -> Array:
                if not leaf.shape[0]:
                    return leaf
                one = leaf[which % leaf.shape[0], ...][None, ...]
                return namespace(leaf).broadcast_to(one, leaf.shape)

            shared = sample._replace(hessian=map_arrays(repeated, sample.hessian))
            return right(product, v, shared)

        return faulty

    return series(change)


def _opposite_sign(algorithm: Any) -> Any:
    return series(lambda right, _: lambda product, v, s: -right(product, v, s))(algorithm)


def _cross_at_zero(problem: Any, x: Array, y: Array, sample: Any, right: Any) -> Array:
    inverse = right(
        lambda u, zeta: problem.hvp_lower(x, y, u, zeta),
        problem.grad_y_upper(x, y, sample.upper),
        sample,
    )
    cross = problem.cross_lower(x, namespace(y).zeros_like(y), inverse, sample.cross)
    return problem.grad_x_upper(x, y, sample.upper) - cross


# --- the catalogue --------------------------------------------------------------------------

_MOMENTUM, _UPPER, _LOWER = "recursive momentum", "upper step", "lower level"
_AVERAGE, _NEUMANN, _NUMERICS = "averaging", "Neumann series", "numerics"

_M = "m_t = h_t(x_t, ŷ_t) + β (m_{t−1} − h_t(x_{t−1}, ŷ_{t−1})), both on the same fresh sample"
_X = "x_{t+1} = x_t − η m_t/‖m_t‖, one norm over all of x"
_Z = "z_t = y_t + γ (y_t − y_{t−1}); y_{t+1} = z_t − α ∇_y G(x_t, z_t; π_t)"
_Y = "ŷ_{t+1} = (1 − τ) ŷ_t + τ y_{t+1}"
_H = "h_t = ∇_x F − ∇²_xy G · (1/l) Σ_{q=0..Q−1} Π_{j=1..q} (I − ∇²_yy G(ζ^{q,j})/l) · ∇_y F"
_II = "Option II: if t mod I = 0, restart the pair at (y_t, y_t) and do N steps; else y_{t+1} = y_t"
_START = "start: T0 SNAG steps from the pair (y_init, y_init) at x_0, then y_0 = y_{−1} = ŷ_0"

_AUC = "AccBO's released experiments, deep AUC, accbo.py"
_CLEANING = "AccBO's released experiments, data cleaning, accbo.py"

_CATALOGUE = (
    Fault(
        "stale sample",
        _MOMENTUM,
        "h(x_{t−1}, ŷ_{t−1}) is the stored estimate, on the old sample",
        _M,
        "m_t − h_t = β^t (m_0 − h_0): no variance reduction at all; under skewed noise the method "
        "stalls",
        f"{_AUC}:176-178",
        lambda a: Remembering(a, _stale),
        _ways(lambda a: Remembering(a, _stale), lambda a: Remembering(a, _stale, from_zero=True)),
    ),
    Fault(
        "different sample",
        _MOMENTUM,
        "the old point is evaluated on a fresh sample of its own",
        _M,
        "the noise of both points adds up instead of cancelling; the rate falls to about T^(+0.2)",
        "",
        lambda a: OtherSample(a, _next_replicate),
        _ways(
            lambda a: OtherSample(a, _no_noise),
            lambda a: OtherSample(a, _next_coordinate),
        ),
    ),
    Fault(
        "no correction",
        _MOMENTUM,
        "a moving average: β m_{t−1} + (1 − β) h_t, or h_t + β m_{t−1}",
        _M,
        "m lags behind the gradient by β/(1−β) steps; the rate is T^(−1/4) at best",
        "",
        part(momentum=_moving_average),
        _ways(part(momentum=_moving_average), part(momentum=_heavy)),
    ),
    Fault(
        "correction without β",
        _MOMENTUM,
        "m_t = h_t(new) + m_{t−1} − h_t(old)",
        _M,
        "the noise of every step stays for ever: the variance grows without bound",
        "",
        part(momentum=_undamped),
    ),
    Fault(
        "β and 1−β swapped",
        _MOMENTUM,
        "1 − β stands where β belongs",
        _M,
        "next to no averaging over samples; the rate is lost under skewed noise",
        "",
        _swapped_momentum,
    ),
    Fault(
        "old point at (x_{t−1}, ŷ_t)",
        _MOMENTUM,
        "the old point keeps the new ŷ",
        _M,
        "a bias of the size of ŷ's move; no rate shows it",
        "",
        part(momentum=_old_x_only),
    ),
    Fault(
        "old point copied after the step",
        _MOMENTUM,
        "(x_{t−1}, ŷ_{t−1}) is overwritten by the current point: both evaluations agree",
        _M,
        "m_t = (1 − β) h_t + β m_{t−1}: a moving average that pays for recursive momentum",
        "",
        lambda a: Copied(a, (("x_previous", "x"), ("y_average_previous", "y_average"))),
        _ways(
            lambda a: Copied(a, (("x_previous", "x"), ("y_average_previous", "y_average"))),
            lambda a: Copied(a, (("x_previous", "x"),)),
        ),
    ),
    Fault(
        "two-iterations-old momentum",
        _MOMENTUM,
        "m_{t−2} stands where m_{t−1} belongs",
        _M,
        "two interleaved recursions: every other sample is ignored in each",
        "AccBO's released experiments, data cleaning, sustain.py:90-92",
        lambda a: Remembering(a, _two_old),
        _ways(
            lambda a: Remembering(a, _two_old), lambda a: Remembering(a, _two_old, from_zero=True)
        ),
    ),
    Fault(
        "norm per block",
        _UPPER,
        "each block of x is divided by its own norm",
        _X,
        "the direction is no longer m's and the step is √(blocks) times too long; a block cannot "
        "come closer than η",
        f"{_AUC}:107",
        part(upper_step=block_step(CUTS[0])),
        _ways(*(part(upper_step=block_step(cut)) for cut in CUTS)),
    ),
    Fault(
        "no normalisation",
        _UPPER,
        "x − η m",
        _X,
        "diverges where the gradient grows faster than linearly; crawls where it is small",
        "",
        part(upper_step=gradient_step),
    ),
    Fault(
        "clipping",
        _UPPER,
        "x − η m min(1, c/‖m‖)",
        _X,
        "steps shrink with the gradient below the threshold: another method with other constants",
        "",
        clipped(1.0),
        _ways(*(clipped(c) for c in (1.0, 0.5, 2.0, 0.1, 10.0, 0.25, 5.0, 0.01, 100.0))),
    ),
    Fault(
        "samples normalised",
        _UPPER,
        "each sample is normalised before the momentum",
        _X,
        "E[h/‖h‖] does not point along ∇Φ under skewed noise: the limit is not stationary",
        "",
        part(momentum=_normalised_samples),
    ),
    Fault(
        "ε in the norm",
        _UPPER,
        "x − η m/(‖m‖ + ε), m/max(‖m‖, ε) or m/√(‖m‖² + ε)",
        _X,
        "steps shorter than η near stationary points and for badly scaled F",
        "",
        guarded("sum", 1e-8),
        _guards,
    ),
    Fault(
        "norm that underflows",
        _UPPER,
        "‖m‖ by squares that underflow: x stays, or becomes NaN, where m is tiny",
        "a tiny m whose square underflows (1e-200) still moves x by η: scale by max|m| first",
        "stops, or turns to NaN, for badly scaled F in single precision",
        f"{_AUC}:107",
        _plain_norm(stays=True),
        _ways(_plain_norm(stays=True), _plain_norm(stays=False)),
    ),
    Fault(
        "gradient at y",
        _LOWER,
        "∇_y G at y_t instead of z_t: heavy ball",
        _Z,
        "no accelerated rate for a general strongly convex g, and a narrower range of stable steps",
        "",
        part(lower_step=_heavy_ball),
    ),
    Fault(
        "y_{t−1} overwritten",
        _LOWER,
        "y_{t−1} is overwritten before use: no momentum below",
        _Z,
        "the lower level is SGD and lags by c/(αh) where Nesterov's lags by 2c√μ/(h√α)",
        f"{_CLEANING}:37-39",
        _with_lower_momentum(lambda momentum: 0.0),
        _ways(
            _with_lower_momentum(lambda momentum: 0.0),
            lambda a: Copied(a, (("y_previous", "y"),)),
        ),
    ),
    Fault(
        "γ as 1−γ",
        _LOWER,
        "1 − γ stands where γ belongs",
        _Z,
        "next to no momentum below: the lag of SGD",
        "",
        _with_lower_momentum(lambda momentum: 1 - momentum),
    ),
    Fault(
        "inner pair kept",
        _LOWER,
        "Option II goes on from the last inner pair instead of restarting it",
        _II,
        "an old velocity, aimed at the minimiser of an old x, enters every refresh",
        "",
        KeptPair,
    ),
    Fault(
        "period off by one",
        _LOWER,
        "Option II refreshes at the wrong iterations",
        _II,
        "y is older than the theory allows, from the first iteration on",
        "",
        lambda a: Clock(a, shift=1),
        _ways(
            lambda a: Clock(a, shift=1),
            lambda a: Clock(a, shift=-1),
            lambda a: Clock(a, longer=1),
            lambda a: Clock(a, longer=-1),
        ),
    ),
    Fault(
        "no warm start",
        _LOWER,
        "y_0 = y_init: the T0 steps are left out",
        _START,
        "the first 1/√(μα) hypergradients are taken far from y*(x)",
        f"{_CLEANING}:51-74",
        ColdStart,
    ),
    Fault(
        "upper gradient leaks",
        _LOWER,
        "∇_y F is added to ∇_y G, as by a gradient that is not set to zero",
        _Z,
        "y converges to the minimiser of another function; in published code the leak was as "
        "large as the gradient",
        "AccBO's released experiments, data cleaning, ma_soba.py:64,119",
        Leaking,
        _ways(Leaking, lambda a: Leaking(a, late=True), LeakingAtPoint),
    ),
    Fault(
        "upper batch reused below",
        _LOWER,
        "the lower step takes the indices of the upper batch",
        _Z,
        "upper and lower noise are correlated: a bias where both data sets are one",
        "",
        SharedBatch,
    ),
    Fault(
        "no averaging",
        _AVERAGE,
        "ŷ = y",
        _Y,
        "the hypergradient sees all of y's noise: variance 4/3 times larger, the drift's bias gone",
        f"{_CLEANING}:37-39",
        part(average=_no_average),
    ),
    Fault(
        "τ and 1−τ swapped",
        _AVERAGE,
        "1 − τ stands where τ belongs",
        _Y,
        "next to no averaging",
        "",
        _swapped_average,
    ),
    Fault(
        "hypergradient at y",
        _AVERAGE,
        "h is evaluated at y instead of ŷ",
        _M,
        "the average is kept and never used: all of y's noise enters h",
        "",
        AtInner,
    ),
    Fault(
        "series from q = 1",
        _NEUMANN,
        "the sum leaves out q = 0",
        _H,
        "v/l is missing: at μ = l nearly all of the implicit term",
        f"{_AUC}:164-165",
        _from_first(lambda q, terms: q),
        _ways(_from_first(lambda q, terms: q), _from_first(_at_least_one), _from_first(_one_up)),
    ),
    Fault(
        "one term too few",
        _NEUMANN,
        "Q − 1 terms",
        _H,
        "a bias (1 − μ/l)^(Q−1) instead of (1 − μ/l)^Q",
        "",
        _fewer(own_layout=False),
        _ways(_fewer(own_layout=False), _fewer(own_layout=True)),
    ),
    Fault(
        "one term too many",
        _NEUMANN,
        "Q + 1 terms",
        _H,
        "less bias than declared, more calls and noise",
        "",
        _more(-1),
        _ways(_more(-1), _more(0), _more(None)),
    ),
    Fault(
        "1/l missing",
        _NEUMANN,
        "the sum, or every factor, is not divided by l",
        _H,
        "the implicit term is l times too large, or the series diverges",
        "",
        _without_scale(outside=True, inside=False),
        _ways(
            _without_scale(outside=True, inside=False),
            _without_scale(outside=False, inside=True),
            _without_scale(outside=True, inside=True),
        ),
    ),
    Fault(
        "random term without Q",
        _NEUMANN,
        "one random term of the series, without the factor Q",
        _H,
        "the implicit term is Q times too small: 97 % of it missing in published code",
        f"{_AUC}:164-165",
        _without_factor,
        _single_terms,
    ),
    Fault(
        "one sample for all factors",
        _NEUMANN,
        "powers of one realisation of the Hessian",
        _H,
        "E[H^q] is not E[H]^q: a bias that no number of terms removes",
        f"{_AUC}:153-163",
        _one_sample(0),
        _ways(_one_sample(0), _one_sample(-1)),
    ),
    Fault(
        "sign of the implicit term",
        _NEUMANN,
        "∇_x F + ∇²_xy G S ∇_y F",
        _H,
        "ascends in y*'s share of Φ",
        "AccBO's released experiments, data cleaning, saba.py:162-166",
        _opposite_sign,
    ),
    Fault(
        "cross derivative at the wrong point",
        _NEUMANN,
        "∇²_xy G at another point than (x, ŷ)",
        _H,
        "a bias of the size of the distance between the points, wherever g is not quadratic",
        "",
        part(hypergradient=_cross_at_zero),
        _ways(
            part(hypergradient=_cross_at_zero),
            CrossElsewhere,
            lambda a: CrossElsewhere(a, at_new=True),
        ),
    ),
    Fault(
        "silent float32",
        _NUMERICS,
        "single precision on the way",
        "float64 throughout where the arrays are float64",
        "progress stops where steps fall below 1e-7 of x",
        "",
        part(upper_step=_single_precision),
        _ways(part(upper_step=_single_precision), part(upper_step=_single_step)),
    ),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _CATALOGUE}
