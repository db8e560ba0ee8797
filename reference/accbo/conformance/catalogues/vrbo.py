"""Mistakes made in VRBO, most of them in its inner loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, map_arrays, namespace, row, rows
from accbo.conformance import common_faults as common
from accbo.conformance.fault import Change
from accbo.conformance.method_variants import OnSample, by, overriding
from accbo.conformance.variants import rows_kept
from accbo.hypergradient import neumann_gradient
from accbo.spider import batch_mean, spider
from accbo.upper import gradient_step


@dataclass(frozen=True)
class Loop:
    """What one iteration does; each default is right."""

    sees_x_move: bool = True
    past: bool = False  # y one step past v
    adds_up: bool = False  # the lower gradients of earlier inner steps
    lag: tuple[str, ...] = ()  # estimates that go on from the one before the last
    plain: tuple[str, ...] = ()  # estimates that are a batch's mean
    old_batch: int | None = None  # the old point meets the batch so many inner steps away


def _by(loop: Loop) -> Change:
    """VRBO's step as ``loop`` says."""

    def step(self: Any, problem: Any, state: Any, sample: Any) -> Any:
        x, y, u, v, k = state
        if rows(sample.large.upper):
            below, above, size = self._gradients(problem, sample.large)
            u, v = batch_mean(below, (x, y), size), batch_mean(above, (x, y), size)
        x_next = gradient_step(x, v, self.upper_step_size)
        estimates = {"lower": u, "upper": v}
        before, total = dict(estimates), 0 * u
        old, new = ((x if loop.sees_x_move else x_next), y), (x_next, y)
        count = rows(sample.inner.upper)
        for i in range(count):
            given = self._gradients(problem, row(sample.inner, i))
            away = (i + (loop.old_batch or 0)) % count
            others = self._gradients(problem, row(sample.inner, away))
            kept = dict(estimates)
            for index, name in enumerate(estimates):
                start = before[name] if name in loop.lag else kept[name]
                if name in loop.plain:
                    estimates[name] = batch_mean(given[index], new, given[2])
                elif loop.old_batch is None:
                    estimates[name] = spider(given[index], new, old, start, given[2])
                else:
                    at_new = batch_mean(given[index], new, given[2])
                    estimates[name] = start + at_new - batch_mean(others[index], old, given[2])
            before = kept
            total = total + estimates["lower"] if loop.adds_up else estimates["lower"]
            old, new = new, (x_next, new[1] - self.lower_step_size * total)
        y_next = new[1] if loop.past else old[1]
        return type(state)(x_next, y_next, estimates["lower"], estimates["upper"], k + 1)

    return overriding(step=step)


# --- samples, gradients, series ---------------------------------------------------------------


def _no_large(sample: Any) -> Any:
    return sample._replace(large=_cut(sample.large, 0))


def _cut(batch: Any, size: int) -> Any:
    """The first ``size`` samples of a batch."""
    hessian = map_arrays(lambda leaf: leaf[:, :size, ...], batch.hessian)
    return rows_kept(batch._replace(hessian=hessian), size)._replace(hessian=hessian)


def _small_refresh(sample: Any) -> Any:
    if not rows(sample.large.upper):
        return sample
    return sample._replace(large=row(sample.inner, 0))


def _fewer(sample: Any) -> Any:
    return sample._replace(inner=rows_kept(sample.inner, rows(sample.inner.upper) - 1))


def _first_sample(sample: Any) -> Any:
    if not rows(sample.large.upper):
        return sample
    return sample._replace(large=_cut(sample.large, 1))


def _leaky(self: Any, problem: Any, batch: Any) -> Any:
    below, above, size = super(type(self), self)._gradients(problem, batch)
    return (
        lambda x, y: below(x, y) + problem.grad_y_upper(x, y, batch.upper),
        above,
        size,
    )


def _gradients(change: Callable[[Any, Any, Any], Any]) -> Change:
    """``change(h, direct, algorithm)`` in place of h; ``direct`` is ∇_x F."""

    def gradients(self: Any, problem: Any, batch: Any) -> Any:
        below, above, size = super(type(self), self)._gradients(problem, batch)

        def faulty(x: Array, y: Array) -> Array:
            return change(above(x, y), problem.grad_x_upper(x, y, batch.upper), self)

        return below, faulty, size

    return overriding(_gradients=gradients)


def _one_sample(self: Any, problem: Any, batch: Any) -> Any:
    def repeated(leaf: Array) -> Array:
        return namespace(leaf).broadcast_to(leaf[:1, ...], leaf.shape)

    below, _, size = super(type(self), self)._gradients(problem, batch)
    shared = batch._replace(hessian=map_arrays(repeated, batch.hessian))
    terms, scale = self.neumann_terms, self.neumann_scale
    return below, neumann_gradient(problem, shared, "chained", terms, scale), size


def _term_less(self: Any, problem: Any, batch: Any) -> Any:
    below, _, size = super(type(self), self)._gradients(problem, batch)
    terms, scale = max(self.neumann_terms - 1, 1), self.neumann_scale
    fewer = batch._replace(hessian=rows_kept(batch.hessian, terms - 1))
    return below, neumann_gradient(problem, fewer, "chained", terms, scale), size


def _shared(algorithm: Any) -> Any:
    def change(sample: Any) -> Any:
        def batch(one: Any) -> Any:
            same = one.upper.get("index")
            lower = one.lower.get("index")
            if same is None or lower is None or tuple(same.shape) != tuple(lower.shape):
                return one
            return one._replace(lower={**one.lower, "index": same})

        return type(sample)(*map(batch, sample))

    return OnSample(algorithm, change)


# --- the catalogue ------------------------------------------------------------------------------

_V = (
    "with p_{−1} = (x_k, y_k), p_0 = (x_{k+1}, y_k), for i = 0 … m on one batch: "
    "u += ∇_y G(p_i) − ∇_y G(p_{i−1}), v += h(p_i) − h(p_{i−1}), p_{i+1} = (x_{k+1}, y − b u)"
)
_R = "k mod q = 0: u, v = means of ∇_y G and h at (x_k, y_k) over a batch of S1"
_H = "h = ∇_x F − ∇²_xy G · (1/l) Σ_{q<Q} Π_{j≤q} (I − ∇²_yy G/l) · ∇_y F"
_D, _N = "SPIDER differences", "Neumann series"
_BOTH = ("lower", "upper")

CATALOGUE = (
    common.fault(
        "first difference does not see x move",
        _D,
        "both sides of the first difference are at x_{k+1}: the old point is copied after the step",
        _V,
        "u and v stay those of the old x: an error as large as x's moves since the refresh",
        _by(Loop(sees_x_move=False)),
        where=f"{common.AUC}, vrbo.py:96-99; data cleaning, vrbo.py:72,88-89",
    ),
    common.fault(
        "different batch at the two points",
        _D,
        "p_{i−1} is evaluated on the batch of another inner step",
        _V,
        "the noise of both points adds up instead of cancelling: no variance reduction",
        _by(Loop(old_batch=-1)),
        _by(Loop(old_batch=1)),
    ),
    common.fault(
        "no refresh",
        _D,
        "u and v go on at k mod q = 0",
        _R,
        "the variance of the differences adds up without end",
        by(OnSample, _no_large),
    ),
    common.fault(
        "small batch at the refresh",
        _D,
        "the refresh takes a sample, or the first inner batch",
        _R,
        "the error at the refresh, which nothing reduces afterwards, is that of a small batch",
        by(OnSample, _small_refresh),
        by(OnSample, _first_sample),
        where=f"{common.AUC} and data cleaning, vrbo.py:91-106",
    ),
    common.fault(
        "y one step past v",
        common.LOWER,
        "y_{k+1} is the point after the last difference",
        _V,
        "u and v belong to another point than y: the next first difference leaves a step out",
        _by(Loop(past=True)),
    ),
    common.inner_step_too_few(_V, by(OnSample, _fewer)),
    common.without_zeroing(_V, _by(Loop(adds_up=True))),
    common.fault(
        "two-iterations-old estimate",
        _D,
        "the estimate before the last one is moved",
        _V,
        "two interleaved recursions: every other difference is missing in each",
        *(_by(Loop(lag=lag)) for lag in (_BOTH, ("upper",), ("lower",))),
        where=f"{common.AUC}, vrbo.py:112-126; data cleaning, vrbo.py:116-119",
    ),
    common.fault(
        "no differences",
        _D,
        "the means of each inner batch take the place of u, v or both",
        _V,
        "no variance reduction: the noise of a small batch in every step",
        *(_by(Loop(plain=plain)) for plain in (_BOTH, ("upper",), ("lower",))),
    ),
    common.fault(
        "1/l missing",
        _N,
        "the sum is not divided by l",
        _H,
        "the implicit term is l times too large",
        _gradients(lambda h, direct, a: direct + (h - direct) * a.neumann_scale),
    ),
    common.fault(
        "one term too few",
        _N,
        "Q − 1 terms",
        _H,
        "a bias (1 − μ/l)^(Q−1) instead of (1 − μ/l)^Q",
        overriding(_gradients=_term_less),
    ),
    common.fault(
        "one sample for all factors",
        _N,
        "powers of one realisation of the Hessian",
        _H,
        "E[H^q] is not E[H]^q: a bias that no number of terms removes",
        overriding(_gradients=_one_sample),
        where=f"{common.CLEANING}, stocbio.py:143-149",
    ),
    common.opposite_sign(_H),
    common.cross_elsewhere(_H),
    common.leak(_V, overriding(_gradients=_leaky), late=False),
    common.shared_batch(_V, _shared),
    common.no_warm_start(),
    common.single_precision(),
)
