"""Faults that are in no catalogue are killed too, by laws that were not written for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accbo import AccBO
from accbo._arrays import map_arrays, namespace
from accbo.conformance.faults import FAULTS
from accbo.conformance.mistakes.changes import part
from accbo.conformance.mistakes.momentum import other_sample
from theory_checks import momentum_variance, neumann_bias
from theory_checks.harness import Settings
from theory_checks.sweep import run_checks


def _rolled(tree: Any) -> Any:
    return map_arrays(lambda leaf: namespace(leaf).roll(leaf, 1, axis=-2), tree)


def hessian_drawn_anew(algorithm: AccBO) -> Any:
    """The old point meets the same ξ and ζ⁰, but other factors of the series."""
    return other_sample(lambda sample: sample._replace(hessian=_rolled(sample.hessian)))(algorithm)


def cross_drawn_anew(algorithm: AccBO) -> Any:
    """The old point meets the same ξ and ζ, but another ζ⁰."""
    return other_sample(lambda sample: sample._replace(cross=_rolled(sample.cross)))(algorithm)


def cross_shared(algorithm: AccBO) -> Any:
    """ζ⁰ is the first factor's sample: the two derivatives of G depend on each other."""

    def shared(right: Any) -> Any:
        def h(problem: Any, x: Any, y: Any, z: Any, sample: Any) -> Any:
            first = map_arrays(lambda leaf: leaf[0, ...], sample.hessian)
            return right(problem, x, y, z, sample._replace(cross=first))

        return h

    return part(h=shared)(algorithm)


def sum_of_first(algorithm: AccBO) -> Any:
    """m_0 is the last of its S samples, not their mean."""

    class Last:
        def __getattr__(self, name: str) -> Any:
            return getattr(algorithm, name)

        def init(self, problem: Any, x: Any, y: Any, start: Any) -> Any:
            first = start.first
            upper = map_arrays(lambda leaf: leaf[-1:, ...], first._replace(lower={}))
            start = start._replace(first=upper._replace(lower=first.lower))
            return algorithm.init(problem, x, y, start)

    return Last()


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (hessian_drawn_anew, momentum_variance),
        (cross_drawn_anew, momentum_variance),
        (cross_shared, neumann_bias),
        (sum_of_first, momentum_variance),
    ],
)
def test_a_new_fault_is_killed(fault: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault is cross_shared:  # meaningful only where the two read the same fields
        kept = [piece for piece in check.pieces(Settings()) if piece.key[0] == "batches"]
        built = fault(neumann_bias._algorithm(Settings(), 3, "chained"))
        monkeypatch.setattr(neumann_bias, "_algorithm", lambda *_: built)
        outcome = check.measure(Settings(), next(p for p in kept if p.key[1] == "chained"))
        assert not neumann_bias._judge_batches("chained", outcome).passed
        return
    monkeypatch.setitem(FAULTS, "new", FAULTS["stale sample"]._replace(apply=fault))
    with np.errstate(all="ignore"):
        (verdict,) = run_checks([check], Settings(fault="new"))
    assert not verdict.passed
