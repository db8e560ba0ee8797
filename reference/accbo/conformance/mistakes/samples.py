"""Mistakes of which sample a derivative is taken on."""

from __future__ import annotations

from typing import Any

from accbo._arrays import namespace
from accbo.algorithms.stocbio import batch_gradient
from accbo.conformance.mistakes.changes import given
from accbo.conformance.mistakes.mistake import Mistake, every, has, made_by, ways
from accbo.conformance.mistakes.places import AUC


def _lower_from_above(sample: Any) -> Any:
    """The indices of the upper batch, as many as there are, in the place of the lower ones."""
    if hasattr(sample, "inner"):
        return type(sample)(*map(_same_batch, sample))
    above, below = sample.upper.get("index"), sample.lower.get("index")
    if above is None or below is None or not below.shape[0]:
        return sample
    xp = namespace(below)
    if below.ndim == above.ndim + 1 and tuple(above.shape[1:]) == tuple(below.shape[2:]):
        size = min(above.shape[0], below.shape[1])
        batch = xp.broadcast_to(above[None, :size, ...], (below.shape[0], size, *below.shape[2:]))
        index = xp.concat((batch, below[:, size:, ...]), axis=1)
        return sample._replace(lower={**sample.lower, "index": index})
    return sample


def _same_batch(batch: Any) -> Any:
    above, below = batch.upper.get("index"), batch.lower.get("index")
    if above is None or below is None or tuple(above.shape) != tuple(below.shape):
        return batch
    return batch._replace(lower={**batch.lower, "index": above})


def _cross_from_above(sample: Any) -> Any:
    above, cross = sample.upper.get("index"), sample.cross.get("index")
    if above is None or cross is None or above.shape != cross.shape:
        return sample
    return sample._replace(cross={**sample.cross, "index": above})


def _one_upper(sample: Any) -> Any:
    return sample._replace(upper_y=sample.upper)


MISTAKES = (
    Mistake(
        "upper batch reused below",
        "samples",
        "the lower step takes the indices of the upper batch",
        "upper and lower noise are correlated: a bias where both data sets are one",
        ways(given(sample=_lower_from_above)),
        every,
    ),
    Mistake(
        "one upper sample for both derivatives",
        "samples",
        "∇_y F is taken on ξ, not on ξ'",
        "the errors of z and of ∇_x F are correlated",
        ways(given(sample=_one_upper)),
        has("z", "momentum"),
    ),
    Mistake(
        "cross batch from the upper data",
        "samples",
        "ζ⁰ takes the indices of ξ",
        "the cross derivative is that of other terms, and correlated with ∇_x F",
        ways(given(sample=_cross_from_above)),
        made_by("h", batch_gradient),
        {"StocBiO": f"{AUC}, stocbio.py:66,149"},
    ),
)
