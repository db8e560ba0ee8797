"""Mistakes of the Neumann series: (product, v, sample, terms, scale, sampling) to S v."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from accbo._arrays import Array, dot, map_arrays, namespace, rows
from accbo.algorithms.stocbio import batch_gradient
from accbo.conformance.mistakes.changes import Iteration, part, transformed, within
from accbo.conformance.mistakes.mistake import (
    Change,
    Choices,
    Mistake,
    both,
    has,
    made_by,
    ways,
    without,
)
from accbo.conformance.mistakes.places import AUC, CLEANING
from accbo.conformance.mistakes.sizes import TWO_SCALES
from accbo.hypergradient import implicit_gradient, neumann_gradient
from accbo.spider import batch_mean

SERIES = has("series")
_CHAINED = both(SERIES, without(has("size")), without(has("y_size")))  # the sum is a sum
_DRAWN = both(SERIES, made_by("h", implicit_gradient), without(has("estimate")))


# --- rows of the series ----------------------------------------------------------------------


def stage_rows(terms: int, term: int) -> list[int]:
    """The rows of factors j = 1..q of the term q = ``term`` in the independent layout."""
    found, first = [], 0
    for j in range(1, term + 1):
        found.append(first + term - j)
        first += terms - j
    return found


def term_rows(sampling: str, terms: int, term: int) -> list[int]:
    """The rows of ``sample.hessian`` that the term q = ``term`` uses, first factor first."""
    return stage_rows(terms, term) if sampling == "independent" else list(range(term))


def _row(part: dict[str, Array], index: int) -> dict[str, Array]:
    return {key: leaf[index, ...] for key, leaf in part.items()}


def _take(leaf: Array, used: list[int]) -> Array:
    if not used:
        return leaf[:0, ...]
    return namespace(leaf).stack([leaf[index, ...] for index in used])


# --- changes ------------------------------------------------------------------------------------


def _from_first(start: Callable[[Array, int], Array]) -> Change:
    """The sum without q = 0; ``start(q, Q)`` is the term that is drawn where one is."""

    def make(right: Any) -> Any:
        def series(p: Any, v: Array, s: Any, terms: int, scale: float, sampling: str) -> Array:
            if sampling != "randomised":
                return right(p, v, s, terms, scale, sampling) - v / scale
            drawn = start(s.power["power"], terms)
            value = right(p, v, s._replace(power={"power": drawn}), terms, scale, sampling)
            return namespace(v).where(drawn > 0, value, 0 * v)

        return series

    return part(series=make)


def _as_drawn(q: Array, terms: int) -> Array:
    return q


def _one_up(q: Array, terms: int) -> Array:
    return namespace(q).where(q + 1 < terms, q + 1, q)


def _at_least_one(q: Array, terms: int) -> Array:
    return namespace(q).where((q > 0) | (terms == 1), q, q + 1)


def _fewer(own_layout: bool) -> Change:
    """Q − 1 terms, on the rows they have among Q or on the first rows."""

    def make(right: Any) -> Any:
        def series(p: Any, v: Array, s: Any, terms: int, scale: float, sampling: str) -> Array:
            less = terms - 1
            if less == 0:
                return 0 * v
            used = list(range(rows(s.hessian)))[: max(less - 1, 0)]
            if sampling == "independent":
                used = list(range(less * (less - 1) // 2))
                if not own_layout:
                    used = sorted(r for q in range(less) for r in term_rows(sampling, terms, q))
            elif sampling == "randomised":
                if not own_layout:  # every drawn q, a smaller factor
                    return right(p, v, s, terms, scale, sampling) * less / terms
                q = s.power["power"]
                s = s._replace(power={"power": namespace(q).where(q < less, q, q - 1)})
            short = s._replace(hessian=map_arrays(lambda leaf: _take(leaf, used), s.hessian))
            return right(p, v, short, less, scale, sampling)

        return series

    return part(series=make)


def _more(extra: int | None, in_batches: bool = False, always: bool = True) -> Change:
    """Q + 1 terms; the factor without a sample takes row ``extra``, or the expectation.

    Where there is no row, Q being 1, a batch is that of the cross derivative; or there is no
    further term unless ``always``.
    """

    def make(right: Any) -> Any:
        def series(p: Any, v: Array, s: Any, terms: int, scale: float, sampling: str) -> Array:
            total = right(p, v, s, terms, scale, sampling)
            if sampling == "randomised":
                return total * (terms + 1) / terms
            power, given = v, rows(s.hessian)
            if not (given or always):
                return total
            for index in term_rows(sampling, terms, terms - 1):
                power = power - p(power, _row(s.hessian, index)) / scale
            zeta = None if extra is None or not given else _row(s.hessian, extra % given)
            if in_batches and not given:
                zeta = s.cross
            return total + (power - p(power, zeta) / scale) / scale

        return series

    return part(series=make)


def _extra_terms(algorithm: Any) -> Sequence[Choices]:
    if made_by("h", batch_gradient)(type(algorithm)):
        first = [(_more(extra, in_batches=True),) for extra in (-1, 0)]
    else:
        first = [(_more(extra),) for extra in (-1, 0, None)]
    return [*first, *((_more(extra, always=False),) for extra in (-1, 0))]


def _without_scale(outside: bool, inside: bool) -> Change:
    def make(right: Any) -> Any:
        def series(p: Any, v: Array, s: Any, terms: int, scale: float, sampling: str) -> Array:
            factor = (lambda u, zeta: scale * p(u, zeta)) if inside else p
            value = right(factor, v, s, terms, scale, sampling)
            return value * scale if outside else value

        return series

    return part(series=make)


def of_value(change: Callable[[Array, Array, int, float], Array]) -> Change:
    """``change(S v, v, Q, l)`` in the place of S v."""

    def make(right: Any) -> Any:
        def series(p: Any, v: Array, s: Any, terms: int, scale: float, sampling: str) -> Array:
            return change(right(p, v, s, terms, scale, sampling), v, terms, scale)

        return series

    return part(series=make)


_WITHOUT_Q = of_value(lambda value, v, terms, scale: value / terms)


def _randomised_without_Q(algorithm: Any) -> Any:
    """One random term, drawn as for the randomised series, without the factor Q."""

    def randomised(inner: Any) -> Any:
        if not hasattr(inner, "neumann_sampling"):
            return inner
        return dataclasses.replace(inner, neumann_sampling="randomised")

    return _WITHOUT_Q(transformed(algorithm, randomised))


def _single_term(q: int, scaled: bool = True) -> Change:
    """The term q alone, on its rows; from the end where q is negative."""

    def make(right: Any) -> Any:
        def series(p: Any, v: Array, s: Any, terms: int, scale: float, sampling: str) -> Array:
            power = v
            for index in term_rows(sampling, terms, q % terms):
                power = power - p(power, _row(s.hessian, index)) / scale
            return power / scale if scaled else power

        return series

    return part(series=make)


def _single_terms(algorithm: Any) -> Sequence[Choices]:
    if getattr(algorithm, "neumann_sampling", "randomised") == "randomised":
        return [(_WITHOUT_Q,)]
    return [tuple(_single_term(q) for q in range(algorithm.neumann_terms))]


def _last_term(algorithm: Any) -> Sequence[Choices]:
    """The term of the most factors alone, with the 1/l or without."""
    return [(_single_term(-1),), (_single_term(-1, scaled=False),)]


def _by_lower_step(at_t: bool) -> Change:
    """The lower step size stands for 1/l."""

    def rule(
        right: Any, at: Iteration, p: Any, v: Array, s: Any, terms: int, scale: float, kind: str
    ) -> Array:
        a = at.algorithm
        size = a.lower_step_size
        if at_t:
            t = 0 if at.state is None else at.state.iteration
            parts = a.parts
            size = (
                parts.y_size(size, a.offset, t)
                if TWO_SCALES(type(a))
                else size * parts.size(a.offset, t)
            )
        return right(p, v, s, terms, 1 / size, kind)

    return within(series=rule)


def _lower_steps(algorithm: Any) -> Sequence[Choices]:
    shrinking = hasattr(algorithm, "offset")
    return [(_by_lower_step(at_t),) for at_t in ((True, False) if shrinking else (False,))]


def _aliased(right: Any) -> Any:
    """p = v, and both are changed in place: every factor doubles."""

    def series(p: Any, v: Array, s: Any, terms: int, scale: float, sampling: str) -> Array:
        if sampling != "chained":
            return right(p, v, s, terms, scale, sampling)
        for index in range(terms - 1):
            v = 2 * (v - p(v, _row(s.hessian, index)) / scale)
        return v / scale

    return series


def _squared(r: Array) -> Array:
    return dot(r, r)[..., None]


def _conjugate(stop: float, fixed: bool, which: int | None, in_batches: bool) -> Change:
    """Conjugate gradients on one realisation of the Hessian, Q of its steps."""

    def make(right: Any) -> Any:
        def series(p: Any, v: Array, s: Any, terms: int, scale: float, sampling: str) -> Array:
            xp, given = namespace(v), rows(s.hessian)
            zeta = None if which is None or not given else _row(s.hessian, which % given)
            if in_batches and not given:
                zeta = s.cross
            u, r, d = 0 * v, v, v
            for _ in range(terms):
                square, image = _squared(r), p(d, zeta)
                going = square > stop
                size = xp.where(going, square, 0.0) / xp.where(going, dot(d, image)[..., None], 1.0)
                after = r - size * image
                ratio = _squared(after) / xp.where(going, square, 1.0)
                u = u + size * d
                d = xp.where(going, (after if fixed else r) + ratio * d, d)
                r = after
            return u

        return series

    return part(series=make)


def _conjugates(algorithm: Any) -> Sequence[Choices]:
    batches = made_by("h", batch_gradient)(type(algorithm))
    rows_of = (0, -1) if batches else (0, -1, None)
    return [
        (_conjugate(stop, fixed, which, batches),)
        for which in rows_of
        for fixed in (True, False)
        for stop in (0.0, 1e-28, 1e-10)
    ]


def _one_a_term(algorithm: Any) -> list[Change]:
    """Every term's own first sample for its factors, where terms may have samples of their own."""

    def make(right: Any) -> Any:
        def series(p: Any, v: Array, s: Any, terms: int, scale: float, sampling: str) -> Array:
            of: dict[int, list[int]] = {}
            for q in range(terms):
                rows_of_term = term_rows(sampling, terms, q)
                of |= dict.fromkeys(rows_of_term, rows_of_term[:1])
            used = [row for index in range(rows(s.hessian)) for row in of.get(index, [index])]

            def chosen(leaf: Array) -> Array:
                xp = namespace(leaf)
                return xp.stack([leaf[row, ...] for row in used]) if used else leaf

            return right(
                p, v, s._replace(hessian=map_arrays(chosen, s.hessian)), terms, scale, sampling
            )

        return series

    return [part(series=make)] if hasattr(algorithm, "neumann_sampling") else []


def _one_sample(which: int) -> Change:
    def repeated(leaf: Array) -> Array:
        if not leaf.shape[0]:
            return leaf
        one = leaf[which % leaf.shape[0], ...][None, ...]
        return namespace(leaf).broadcast_to(one, leaf.shape)

    def make(right: Any) -> Any:
        def series(p: Any, v: Array, s: Any, *rest: Any) -> Array:
            return right(p, v, s._replace(hessian=map_arrays(repeated, s.hessian)), *rest)

        return series

    return part(series=make)


def _mean_of_series(
    right: Any, at: Iteration, problem: Any, x: Array, y: Array, z: Array, sample: Any
) -> Array:
    a = at.algorithm
    h = neumann_gradient(problem, sample, "chained", a.neumann_terms, a.neumann_scale)
    return batch_mean(h, (x, y), rows(sample.upper))


# --- the catalogue ----------------------------------------------------------------------------

_NOT_ALL = "accbo.py:164-165"
MISTAKES = (
    Mistake(
        "series from q = 1",
        "series",
        "the sum leaves out q = 0",
        "v/l is missing: at μ = l nearly all of the implicit term",
        ways(_from_first(_as_drawn), _from_first(_at_least_one), _from_first(_one_up)),
        SERIES,
        {
            "AccBO": f"{AUC}, {_NOT_ALL}",
            "StocBiO": f"{AUC}, stocbio.py:139-146; data cleaning, stocbio.py:143-149",
        },
    ),
    Mistake(
        "one term too few",
        "series",
        "Q − 1 terms",
        "a bias (1 − μ/l)^(Q−1) instead of (1 − μ/l)^Q",
        ways(_fewer(own_layout=False), _fewer(own_layout=True)),
        SERIES,
    ),
    Mistake(
        "one term too many",
        "series",
        "Q + 1 terms",
        "less bias than declared, more calls and noise",
        _extra_terms,
        SERIES,
    ),
    Mistake(
        "1/l missing",
        "series",
        "the sum, or every factor, is not divided by l",
        "the implicit term is l times too large, or the series diverges",
        ways(
            _without_scale(outside=True, inside=False),
            _without_scale(outside=False, inside=True),
            _without_scale(outside=True, inside=True),
        ),
        SERIES,
    ),
    Mistake(
        "random term without Q",
        "series",
        "one random term of the series, without the factor Q",
        "the implicit term is Q times too small: 97 % of it missing in published code",
        _single_terms,
        _DRAWN,
        {"AccBO": f"{AUC}, {_NOT_ALL}", "TTSA": f"{AUC} and data cleaning, ttsa.py"},
        apply=_randomised_without_Q,
    ),
    Mistake(
        "only the last term of the series",
        "series",
        "(1/l) Π_{j=1..Q−1} (I − H_j/l) v alone",
        "the implicit term falls off as (1 − μ/l)^Q: with more terms there is less of it",
        _last_term,
        SERIES,
        laws=False,
    ),
    Mistake(
        "series scaled by the lower step",
        "series",
        "α stands for 1/l",
        "the series has another number of terms in effect: its bias is that of Q α l of them",
        _lower_steps,
        both(SERIES, has("lower_step_size")),
        laws=False,
    ),
    Mistake(
        "series added up in place",
        "series",
        "p = v without a copy: the sum and the power are one array, and every factor doubles",
        "the implicit term grows as 2^Q",
        ways(part(series=_aliased)),
        _CHAINED,
        laws=False,
    ),
    Mistake(
        "conjugate gradients for the series",
        "series",
        "Q steps of conjugate gradients on one sample of the Hessian",
        "E[H⁻¹] is not E[H]⁻¹: a bias that more steps do not lower",
        _conjugates,
        SERIES,
        laws=False,
    ),
    Mistake(
        "one sample for all factors",
        "series",
        "powers of one realisation of the Hessian",
        "E[H^q] is not E[H]^q: a bias that no number of terms removes",
        lambda a: [(change,) for change in (_one_sample(0), _one_sample(-1), *_one_a_term(a))],
        SERIES,
        {
            "AccBO": f"{AUC}, accbo.py:153-163",
            "StocBiO": f"{AUC}, stocbio.py:139-146; data cleaning, stocbio.py:143-149",
            "VRBO": f"{CLEANING}, stocbio.py:143-149",
        },
    ),
    Mistake(
        "mean of series",
        "series",
        "a series and a product for every sample, and then the mean",
        "the factors are those of single samples: their variance is not that of a batch",
        ways(within(h=_mean_of_series)),
        made_by("h", batch_gradient),
    ),
)
