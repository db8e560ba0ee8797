"""Mistakes of estimates that are carried along by differences on batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accbo._arrays import Array, map_arrays, row, rows
from accbo.conformance.mistakes.changes import Iteration, given, part, rows_kept, then, within
from accbo.conformance.mistakes.mistake import (
    Change,
    Choices,
    Mistake,
    has,
    ways,
)
from accbo.conformance.mistakes.places import AUC
from accbo.momentum import Gradient, Point
from accbo.spider import batch_mean

_HAS = has("estimate", "lower_estimate")
_LEVELS = (("lower_estimate", "estimate"), ("estimate",), ("lower_estimate",))

# a difference is (gradient, new, old, estimate, size) to the next estimate


def _blind(right: Any) -> Any:
    """Both sides of a difference at the new x."""

    def difference(g: Gradient, new: Point, old: Point, *rest: Any) -> Array:
        return right(g, new, (new[0], old[1]), *rest)

    return difference


def _plain(right: Any) -> Any:
    return lambda g, new, old, estimate, size: batch_mean(g, new, size)


def _other_batch(away: int) -> Change:
    """The old point meets the batch of another inner step."""

    def rule(level: int) -> Any:
        def difference(
            right: Any,
            at: Iteration,
            g: Gradient,
            new: Point,
            old: Point,
            estimate: Array,
            size: int,
        ) -> Array:
            index = at.seen[level] = at.seen.get(level, -1) + 1
            batch = row(at.sample.inner, (index + away) % rows(at.sample.inner.upper))
            other = at.algorithm._gradients(at.problem, batch)[level]
            return estimate + batch_mean(g, new, size) - batch_mean(other, old, size)

        return difference

    return within(lower_estimate=rule(0), estimate=rule(1))


def _lagging(names: Sequence[str]) -> Change:
    """Estimates that go on from the one before the last."""

    def rule(name: str) -> Any:
        def difference(
            right: Any, at: Iteration, g: Gradient, new: Point, old: Point, last: Array, size: int
        ) -> Array:
            before = at.seen.get(name, last)
            at.seen[name] = last
            return right(g, new, old, before, size)

        return difference

    return within(**{name: rule(name) for name in names})


def _step_past(algorithm: Any, before: Any, after: Any) -> Any:
    y = algorithm.parts.y(after.y, after.lower_estimate, algorithm.lower_step_size)
    return after._replace(y=y)


# --- samples --------------------------------------------------------------------------------------


def _cut(batch: Any, size: int) -> Any:
    """The first ``size`` samples of a batch."""
    hessian = map_arrays(lambda leaf: leaf[:, :size, ...], batch.hessian)
    return rows_kept(batch._replace(hessian={}), size)._replace(hessian=hessian)


def _at_a_refresh(change: Callable[[Any], Any]) -> Change:
    """Another large batch, ``change(sample)``, at a refresh."""

    def sample(sample: Any) -> Any:
        return sample._replace(large=change(sample)) if rows(sample.large.upper) else sample

    return given(sample=sample)


def _levels(make: Callable[[Any], Any]) -> Callable[[Any], Sequence[Choices]]:
    return ways(*(part(**dict.fromkeys(names, make)) for names in _LEVELS))


MISTAKES = (
    Mistake(
        "first difference does not see x move",
        "estimate",
        "both sides of the first difference are at x_{k+1}: the old point is copied after the step",
        "u and v stay those of the old x: an error as large as x's moves since the refresh",
        ways(part(lower_estimate=_blind, estimate=_blind)),
        _HAS,
        {"VRBO": f"{AUC}, vrbo.py:96-99; data cleaning, vrbo.py:72,88-89"},
    ),
    Mistake(
        "different batch at the two points",
        "estimate",
        "p_{i−1} is evaluated on the batch of another inner step",
        "the noise of both points adds up instead of cancelling: no variance reduction",
        ways(_other_batch(-1), _other_batch(1)),
        _HAS,
    ),
    Mistake(
        "no refresh",
        "refresh",
        "u and v go on at k mod q = 0",
        "the variance of the differences adds up without end",
        ways(_at_a_refresh(lambda sample: _cut(sample.large, 0))),
        _HAS,
    ),
    Mistake(
        "small batch at the refresh",
        "refresh",
        "the refresh takes a sample, or the first inner batch",
        "the error at the refresh, which nothing reduces afterwards, is that of a small batch",
        ways(
            _at_a_refresh(lambda sample: row(sample.inner, 0)),
            _at_a_refresh(lambda sample: _cut(sample.large, 1)),
        ),
        _HAS,
        {"VRBO": f"{AUC} and data cleaning, vrbo.py:91-106"},
    ),
    Mistake(
        "y one step past v",
        "y",
        "y_{k+1} is the point after the last difference",
        "u and v belong to another point than y: the next first difference leaves a step out",
        ways(then(_step_past)),
        _HAS,
    ),
    Mistake(
        "two-iterations-old estimate",
        "estimate",
        "the estimate before the last one is moved",
        "two interleaved recursions: every other difference is missing in each",
        ways(*map(_lagging, _LEVELS)),
        _HAS,
        {"VRBO": f"{AUC}, vrbo.py:112-126; data cleaning, vrbo.py:116-119"},
    ),
    Mistake(
        "no differences",
        "estimate",
        "the means of each inner batch take the place of u, v or both",
        "no variance reduction: the noise of a small batch in every step",
        _levels(_plain),
        _HAS,
    ),
)
