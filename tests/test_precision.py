"""Hyper-parameters at the working precision: nothing is rounded to 53 bits where 50 digits are."""

from __future__ import annotations

import numpy as np
import pytest

from accbo import SUSTAIN, TTSA, Tape, move, run
from accbo._arrays import at_precision, rational_power
from accbo.problems import quadratic

mpmath = pytest.importorskip("mpmath")
mparray = pytest.importorskip("mparray")

EXPONENTS = [(-2, 5), (-3, 5), (-1, 3)]
ALGORITHM = TTSA(
    lower_step_size=0.1,
    upper_step_size=0.3,
    offset=2.75,
    neumann_terms=1,
    neumann_scale=3.0,
)


@pytest.mark.parametrize(("p", "q"), EXPONENTS)
def test_floats_have_the_power_of_floats_and_digits_that_of_digits(p: int, q: int) -> None:
    assert rational_power(2.75, p, q) == 2.75 ** (p / q)
    with mpmath.workdps(50):
        base = mpmath.mpf(2.75)
        found = rational_power(base, p, q)
        assert abs(found**q * base**-p - 1) < mpmath.mpf(10) ** -48
        assert abs(base ** (p / q) - found) > mpmath.mpf(10) ** -20  # the exponent of a float


def test_only_many_digits_change_an_algorithm() -> None:
    assert at_precision(ALGORITHM, np.zeros(1)) is ALGORITHM
    with mpmath.workdps(50):
        precise = at_precision(ALGORITHM, mparray.asarray([0.0]))
        assert precise.lower_step_size == mpmath.mpf(0.1)
        assert 1 - precise.upper_step_size + precise.upper_step_size == 1
        assert precise.neumann_terms == 1
    assert type(ALGORITHM.lower_step_size) is float


@pytest.mark.parametrize("algorithm", [TTSA, SUSTAIN])
def test_a_run_at_fifty_digits_takes_sizes_of_fifty_digits(algorithm: type) -> None:
    """At iteration 0 x moves by a w^(−3/5) or a w^(−1/3) along the gradient at a = 1."""
    power = {TTSA: (-3, 5), SUSTAIN: (-1, 3)}[algorithm]
    more = {} if algorithm is TTSA else {"lower_averaging": 0.5, "upper_averaging": 0.5}
    options = {**vars(ALGORITHM), **more}
    del options["parts"]
    problem = quadratic((1.0, 1.5), 1)
    with mpmath.workdps(50):
        x, y = mparray.asarray([0.5]), mparray.asarray([0.25, 1.0])
        problem = move(problem, like=x)

        def moved(**changes: float) -> object:
            made = algorithm(**{**options, **changes})
            end = run(made, problem, x, y, steps=1, noise=Tape(3), progress=False)
            return (end.state.x - x)[0]

        one, other = moved(offset=1.0), moved()
        if algorithm is TTSA:  # whose y has moved by another size too: make that none
            one, other = moved(offset=1.0, lower_step_size=1e-60), moved(lower_step_size=1e-60)
        size = rational_power(mpmath.mpf(2.75), *power)
        assert abs(other / one / size - 1) < mpmath.mpf(10) ** -40
