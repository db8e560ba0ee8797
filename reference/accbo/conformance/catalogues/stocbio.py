"""Mistakes made in StocBiO, most of them in its inner loop and its series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accbo._arrays import Array, map_arrays, namespace, row, rows
from accbo.algorithms.stocbio import mean
from accbo.conformance import common_faults as common
from accbo.conformance.fault import Change
from accbo.conformance.method_variants import OnSample, by, overriding
from accbo.conformance.variants import rows_kept
from accbo.hypergradient import NEUMANN, neumann_gradient
from accbo.spider import batch_mean
from accbo.upper import gradient_step


@dataclass(frozen=True)
class Way:
    """What one iteration does; each default is right."""

    series: Callable[[Array, Array, Any], Array] = lambda value, v, algorithm: value
    adds_up: bool = False  # the lower gradients of earlier inner steps
    leaks: bool = False
    at_old_y: bool = False
    fewer: int = 0  # terms
    mean_of_series: bool = False


def _by(way: Way) -> Change:
    """StocBiO's step as ``way`` says."""

    def step(self: Any, problem: Any, state: Any, sample: Any) -> Any:
        x, y, k = state
        y_old, total = y, 0 * y
        for index in range(rows(sample.lower)):
            gradient = mean(problem.grad_y_lower, x, y, row(sample.lower, index))
            if way.leaks:
                gradient = gradient + mean(problem.grad_y_upper, x, y, sample.upper)
            total = total + gradient if way.adds_up else gradient
            y = y - self.lower_step_size * total
        at, scale = (y_old if way.at_old_y else y), self.neumann_scale

        def product(u: Array, batch: Any) -> Array:
            return mean(problem.hvp_lower, x, at, u, batch)

        terms = max(self.neumann_terms - way.fewer, 1)
        given = sample._replace(hessian=rows_kept(sample.hessian, terms - 1))
        if way.mean_of_series:
            h = neumann_gradient(problem, sample, "chained", terms, scale)
            direction = batch_mean(h, (x, at), rows(sample.upper))
        else:
            v = mean(problem.grad_y_upper, x, at, sample.upper)
            z = way.series(NEUMANN["chained"](product, v, given, terms, scale), v, self)
            direct = mean(problem.grad_x_upper, x, at, sample.upper)
            direction = direct - mean(problem.cross_lower, x, at, z, sample.cross)
        return type(state)(gradient_step(x, direction, self.upper_step_size), y, k + 1)

    return overriding(step=step)


# --- samples --------------------------------------------------------------------------------------


def _repeated(part: Any) -> Any:
    """The first row in the place of every one."""
    return map_arrays(lambda leaf: namespace(leaf).broadcast_to(leaf[:1, ...], leaf.shape), part)


def _one_lower_batch(sample: Any) -> Any:
    return sample._replace(lower=_repeated(sample.lower))


def _one_hessian_batch(sample: Any) -> Any:
    return sample._replace(hessian=_repeated(sample.hessian))


def _fewer(sample: Any) -> Any:
    return sample._replace(lower=rows_kept(sample.lower, rows(sample.lower) - 1))


def _cross_from_above(sample: Any) -> Any:
    return sample._replace(cross=_with_index(sample.cross, sample.upper))


def _lower_from_above(sample: Any) -> Any:
    """The upper batch, as much of it as there is, in the place of every lower one."""
    above, below = sample.upper.get("index"), sample.lower.get("index")
    if above is None or below is None:
        return sample
    size = min(above.shape[0], below.shape[1])
    xp = namespace(below)
    batch = xp.broadcast_to(above[None, :size, ...], (below.shape[0], size, *below.shape[2:]))
    rest = below[:, size:, ...]
    return sample._replace(lower={**sample.lower, "index": xp.concat((batch, rest), axis=1)})


def _with_index(part: Any, other: Any) -> Any:
    index = other.get("index")
    if index is None or "index" not in part or index.shape != part["index"].shape:
        return part
    return {**part, "index": index}


# --- the catalogue --------------------------------------------------------------------------------

_Y = "D steps y ← y − α ∇_y G(x_k, y; π), a fresh batch each"
_H = "z = (1/l) Σ_{q=0..Q−1} Π_{j≤q} (I − ∇²_yy G(ζ^j)/l) ∇_y F, every ζ^j a batch of its own"
_X = "x_{k+1} = x_k − η (∇_x F(x_k, y_k; ξ) − ∇²_xy G(x_k, y_k; ζ⁰) z)"
_N = "Neumann series"

CATALOGUE = (
    common.without_zeroing(_Y, _by(Way(adds_up=True))),
    common.fault(
        "one batch for all inner steps",
        common.LOWER,
        "the D steps are on the first batch",
        _Y,
        "y moves towards the minimiser of that batch",
        by(OnSample, _one_lower_batch),
        where=f"{common.CLEANING}, stocbio.py:52-58",
    ),
    common.inner_step_too_few(_Y, by(OnSample, _fewer)),
    common.fault(
        "series from q = 1",
        _N,
        "the sum leaves out q = 0",
        _H,
        "v/l is missing: at μ = l nearly all of the implicit term",
        _by(Way(lambda value, v, a: value - v / a.neumann_scale)),
        where=f"{common.AUC}, stocbio.py:139-146; data cleaning, stocbio.py:143-149",
    ),
    common.fault(
        "one term too few",
        _N,
        "Q − 1 terms",
        _H,
        "a bias (1 − μ/l)^(Q−1) instead of (1 − μ/l)^Q",
        _by(Way(fewer=1)),
    ),
    common.fault(
        "1/l missing",
        _N,
        "the sum is not divided by l",
        _H,
        "the implicit term is l times too large",
        _by(Way(lambda value, v, a: value * a.neumann_scale)),
    ),
    common.fault(
        "one sample for all factors",
        _N,
        "powers of one batch's Hessian",
        _H,
        "E[H^q] is not E[H]^q: a bias that no number of terms removes",
        by(OnSample, _one_hessian_batch),
        where=f"{common.AUC}, stocbio.py:139-146; data cleaning, stocbio.py:143-149",
    ),
    common.fault(
        "mean of series",
        _N,
        "a series and a product for every sample, and then the mean",
        _H,
        "the factors are those of single samples: their variance is not that of a batch",
        _by(Way(mean_of_series=True)),
    ),
    common.fault(
        "hypergradient at the old y",
        common.UPPER,
        "the hypergradient is taken at (x_k, y_{k−1})",
        _X,
        "the D steps are lost on the hypergradient of their own iteration",
        _by(Way(at_old_y=True)),
    ),
    common.fault(
        "cross batch from the upper data",
        common.SAMPLES,
        "ζ⁰ takes the indices of ξ",
        _X,
        "the cross derivative is that of other terms, and correlated with ∇_x F",
        by(OnSample, _cross_from_above),
        where=f"{common.AUC}, stocbio.py:66,149",
    ),
    common.opposite_sign(_X),
    common.cross_elsewhere(_X),
    common.leak(_Y, _by(Way(leaks=True)), late=False),
    common.shared_batch(_Y, by(OnSample, _lower_from_above)),
    common.no_warm_start(),
    common.single_precision(),
)
