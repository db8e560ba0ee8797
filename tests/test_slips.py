"""Slips that real code makes are named in programs that share nothing with the catalogue."""

from __future__ import annotations

import pytest

from accbo.conformance.check import select
from accbo.conformance.methods import METHODS
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import Vector
from accbo.conformance.verdict.judge import judge
from tests.slips import NAMES, Hand
from tests.support import evidence


def cases(name: str) -> list[Vector]:
    """What shows the slip, and runs without momentum on either level."""
    plain = [v for v in select() if v.id in ("gamma-0-simultaneous/0", "gamma-0-simultaneous/1")]
    return [*evidence("AccBO", name), *plain]


def test_the_hand_is_right() -> None:
    runner = Runner(Hand, "numpy")
    seen = [one for v in cases("hypergradient clipped") for one in runner.observe(v)]
    assert judge(seen, implementation="mine", strict=True).conforms
    assert len(seen) > 20


@pytest.mark.parametrize("slip", NAMES, ids=lambda slip: slip.__name__)
def test_a_slip_is_named(slip: type[Hand]) -> None:
    runner = Runner(slip, "numpy")
    seen = [one for vector in cases(NAMES[slip]) for one in runner.observe(vector)]
    found = judge(seen, implementation="mine", strict=True)
    assert found.exit_code == 1
    assert found.names == ((NAMES[slip],),)


def test_every_algorithm_gets_a_mistake_of_a_part_that_it_has() -> None:
    for method, row in METHODS.items():
        assert {"weight decay on y", "implicit term left out", "y projected"} <= set(row.faults)
        series = "conjugate gradients for the series" in row.faults
        assert series == hasattr(row.algorithm.__dataclass_fields__["parts"].default, "series")
        assert method == row.algorithm.__name__
