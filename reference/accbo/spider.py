"""SPIDER: a gradient estimate carried along the path by differences on fresh batches.

    v_new = v + (1/S) Σ_{s ∈ batch} (∇(p_new; s) − ∇(p_old; s))

If v has expectation ∇(p_old), v_new has ∇(p_new), and the variance grows by
Var(∇(p_new; s) − ∇(p_old; s))/S, which vanishes with the step. Source: Fang, Li, Lin, Zhang 2018,
Alg. 1 line 7; on both levels in VRBO (SPEC §5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accbo._arrays import Array, evaluate_pair, mean_over, namespace

Point = tuple[Array, Array]  # (x, y)
Gradient = Callable[[Array, Array], Array]


def batch_mean(oracle: Callable[..., Array], point: tuple[Array, ...], size: int) -> Array:
    """Mean of ``oracle`` over a batch of ``size`` samples, shape ``(..., d)``.

    ``oracle`` holds the batch and answers a point of shape ``(size, ..., d)`` with one value
    per sample; of a product, the vector is a part of the point.
    """
    return _mean(oracle(*_repeated(point, size)))


def spider(gradient: Gradient, new: Point, old: Point, estimate: Array, size: int) -> Array:
    """``estimate`` moved from ``old`` to ``new`` on one batch, shape ``(..., d)``.

    ``gradient`` and ``size`` as for ``batch_mean``; both points meet the same samples.
    """
    at_new, at_old = evaluate_pair(gradient, _repeated(new, size), _repeated(old, size))
    return estimate + _mean(at_new - at_old)


def _repeated(point: tuple[Array, ...], size: int) -> Any:
    """The point once per sample, so that a sample without noise has its row as well."""
    return tuple(namespace(a).broadcast_to(a, (size, *a.shape)) for a in point)


def _mean(values: Array) -> Array:
    """Row after row: a sum over an axis has bits that depend on the replicates beside it."""
    return mean_over(lambda one: one["sample"], values[0, ...], {"sample": values})
