"""Chernoff's ends: exact laws stay inside them as promised, and they are not much wider."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from theory_checks import __main__ as command
from theory_checks import momentum_variance as law
from theory_checks import tails
from theory_checks.statistics import ALPHA, equal_within, power_of

ONE = np.array([[0.8, 0.0]])


@pytest.mark.parametrize("p", [0.5, 0.3, 0.1, 0.99, 1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("count", [400, 16_000])
def test_squares_of_two_values_stay_inside_by_the_binomial_law(p: float, count: int) -> None:
    """Of these laws the normal approximation fails right values: 1 in 10 at p = 1e-5."""
    low, high = tails.square_ends(tails.values_of(f"two_point:{p}"), ONE, count, ALPHA)
    up, down = (1 - p) / p, p / (1 - p)  # squares
    ratios = (np.arange(count + 1) * up + (count - np.arange(count + 1)) * down) / count
    chance = stats.binom.pmf(np.arange(count + 1), count, p)
    assert np.sum(chance[(ratios < low) | (ratios > high)]) <= ALPHA


def test_squares_of_normal_values_have_ends_close_to_the_exact_ones() -> None:
    weights = law._weights(0.0, law.DRIFT, 40)
    for each in (ONE, weights):
        low, high = tails.square_ends(tails.values_of("normal"), each, 16_000, ALPHA)
        exact = (
            stats.chi2.isf(ALPHA / 2, 16_000) / 16_000,
            stats.chi2.ppf(ALPHA / 2, 16_000) / 16_000,
        )
        assert exact[0] < high < 1 + 1.15 * (exact[0] - 1)
        assert exact[1] > low > 1 - 1.15 * (1 - exact[1])


def test_sums_of_normal_values_have_chernoffs_ends() -> None:
    low, high = tails.sum_ends(tails.values_of("normal"), np.array([3.0, 4.0]), 100, ALPHA)
    assert high == pytest.approx(0.5 * math.sqrt(2 * math.log(2 / ALPHA)), rel=0.01)
    assert low == pytest.approx(-high, rel=1e-6)


@pytest.mark.parametrize("p", [0.5, 0.1, 1e-3])
def test_sums_of_two_values_stay_inside(p: float) -> None:
    low, high = tails.sum_ends(tails.values_of(f"two_point:{p}"), np.ones(1), 4000, ALPHA)
    count = np.arange(4001)
    means = (count * math.sqrt((1 - p) / p) - (4000 - count) * math.sqrt(p / (1 - p))) / 4000
    chance = stats.binom.pmf(count, 4000, p)
    assert 0 < np.sum(chance[(means < low) | (means > high)]) <= ALPHA


def test_the_moments_of_a_sum_of_noises() -> None:
    """By every outcome of three unequal weights."""
    values = tails.values_of("two_point:0.2")
    weights, p = np.array([0.5, -1.0, 2.0]), 0.2
    up, down = math.sqrt((1 - p) / p), -math.sqrt(p / (1 - p))
    fourth = 0.0
    for outcome in np.ndindex(2, 2, 2):
        signs = np.array(outcome)
        e = float(weights @ np.where(signs, up, down))
        fourth += e**4 * float(np.prod(np.where(signs, p, 1 - p)))
    assert float(tails.fourth_moment(values, weights)) == pytest.approx(fourth, rel=1e-12)


def test_weights_of_the_noises_add_up_to_the_recursion() -> None:
    for path in law.PATHS.values():
        variances = law._variances(*path)
        for moment in law.MOMENTS:
            found = np.sum(law._weights(*path, moment) ** 2, axis=-1)
            assert found == pytest.approx(variances[moment - 1], rel=1e-12)


def test_rare_large_values_widen_what_is_allowed_and_lower_the_power() -> None:
    powers = []
    for p in (0.1, 0.01, 1e-4):
        ends = tails.square_ends(tails.values_of(f"two_point:{p}"), ONE, 16_000, ALPHA)
        powers.append(power_of(equal_within("q", 1.0, 1.0, ends), 0.3))
    assert powers[0] > 0.99
    assert powers[1] < 0.1
    assert powers[2] < 1e-6


@pytest.mark.parametrize("noise", ["sign", "two_point:0.5"])
def test_a_square_that_never_varies_is_an_equality(
    noise: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(law.REPLICATES, "quick", law.GROUP)
    options = ["--check", law.NAME, "--noise", noise, "-v", "--jobs", "1"]
    assert command.main(options) == 0
    printed = capsys.readouterr().out
    (row,) = [line for line in printed.splitlines() if "Var e_t, rest, t = 0" in line]
    assert "±" in row
    assert "power" in printed


def test_a_law_of_ones_own_is_integrated(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("import numpy as np\ndef box(u):\n    return np.sqrt(12) * (u - 0.5)\n")
    values = tails.values_of(f"{path}:box")
    assert values.fourth_cumulant == pytest.approx(-1.2, abs=1e-4)
    at = np.array([-2.0, 0.5, 3.0])
    half = math.sqrt(3) * at
    assert values.log_moments(at) == pytest.approx(np.log(np.sinh(half) / half), abs=1e-4)
