"""Every outside fault is seen to die: by one piece of ``own_path``, the cheapest that sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accbo import Tape, run
from accbo.conformance.faults import FAULTS as CATALOGUE
from accbo.conformance.faults import Fault
from tests.outside_faults import FAULTS, Stranger
from theory_checks import own_path
from theory_checks.harness import DIVERGED, Settings, measure
from theory_checks.own_path import instances

PIECES = {piece.key: piece for piece in own_path.pieces(Settings())}


def path(order: str, option: str, sampling: str) -> tuple[Any, ...]:
    """The key of the path of a combination."""
    return next(key for key in PIECES if key[:4] == ("path", order, option, sampling))


CHAINED = path("simultaneous", "I", "chained")  # quadratic, 210 iterations
CURVED = path("simultaneous", "II", "independent")  # a g that is not quadratic, 210 iterations
SUM = path("simultaneous", "II", "randomised")  # finite sums, 320 iterations
STEEP = path("sequential", "I", "randomised")  # cosh, 210 iterations
SEEN_BY: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(FAULTS, CHAINED),
    "no_correction_in_one": path("sequential", "II", "randomised"),
    **dict.fromkeys(("beta_squared", "beta_cap_99", "omb_double", "omb_105"), ("decay",)),
    "random_Qm1": ("bias",),
    "random_same_q": STEEP,
    **dict.fromkeys(("gradx_y0", "grady_x0"), SUM),
    **dict.fromkeys(("hess_y0", "cross_x0", "restart_average", "opt2_n_minus_1"), CURVED),
    **dict.fromkeys(("eta_102", "eta_decay_slow", "clipped"), ("descent",)),
}


def killed(key: tuple[Any, ...], name: str, monkeypatch: Any) -> bool:
    """Whether a piece of the check fails for a fault."""
    monkeypatch.setitem(CATALOGUE, name, Fault(name, "", "", "", "", "", FAULTS[name]))
    settings = Settings(fault=name)
    outcome, _ = measure(settings, PIECES[key])
    if DIVERGED in outcome:
        return True
    return not all(finding.passed for finding in own_path.judge_piece(key, outcome))


@pytest.mark.parametrize("name", FAULTS)
def test_dies(name: str, monkeypatch: Any) -> None:
    assert killed(SEEN_BY[name], name, monkeypatch)


@pytest.mark.parametrize("key", sorted({*SEEN_BY.values()}), ids=str)
def test_a_stranger_without_a_fault_lives(key: tuple[Any, ...], monkeypatch: Any) -> None:
    monkeypatch.setitem(FAULTS, "none", Stranger)
    assert not killed(key, "none", monkeypatch)


def test_a_stranger_is_accbo_to_rounding() -> None:
    """Nothing that kills a fault can come from the program that it changes."""
    for where in instances.combinations((8,)):
        problem = instances.problems()[where.problem]
        algorithm = instances.algorithm(problem, where)
        generator = np.random.default_rng(0)
        x, y = (generator.standard_normal((2, d)) for d in (problem.d_x, problem.d_y))
        states = [
            run(one, problem, x, y, steps=9, noise=Tape(1), warm_start=2, first=3).state
            for one in (algorithm, Stranger(algorithm))
        ]
        for left, right in zip(*states, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-13)
