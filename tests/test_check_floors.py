"""The noise floor and the sample floor: what they judge, what they show, the faults they see."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from theory_checks import chain as chains
from theory_checks import noise_floor, sample_floor
from theory_checks.chain import Chain, LiftedChain, samples_alone
from theory_checks.harness import Piece, Settings, measure
from theory_checks.sweep import run_checks

# --- the noise floor ----------------------------------------------------------------------------


def levels(exponents: dict[str, float], settings: Settings) -> dict[Any, Any]:
    """Outcomes of which every curve is a power law; rows not named have their prediction's."""
    found = {}
    spread = 1 + 0.05 * np.cos(np.arange(noise_floor.REPLICATES))
    for piece in noise_floor.pieces(settings):
        name, power = piece.key
        variant = noise_floor.VARIANTS[name]
        exponent = exponents.get(name, variant.predicted)
        level = 8.0 if name == noise_floor.STALE else 1.0
        if exponent is not None:
            level = 2.0 ** (exponent * (power - 4))
        found[piece.key] = {"mean": level * spread}
    return found


def failed(exponents: dict[str, float]) -> list[str]:
    findings = noise_floor.judge(Settings(), levels(exponents, Settings()))
    return [finding.quantity for finding in findings if not finding.passed]


def test_what_the_noise_floor_judges() -> None:
    assert failed({}) == []
    assert len(failed({"AccBO, Gaussian": -1 / 4})) == 1
    assert len(failed({noise_floor.CONDITION: -1 / 4})) == 2  # the exponent, and the levels' ratio
    assert len(failed({noise_floor.CONSTANT: -1 / 3})) == 2
    shown = ("moving average, own schedule", "moving average, η = ε^2.5", "β = 0, Gaussian")
    assert failed(dict.fromkeys(shown, -0.1)) == []


def test_the_arms_of_the_variance_condition_meet_the_same_noise() -> None:
    same = noise_floor.NUMBERS
    assert same[noise_floor.CONDITION] == same[noise_floor.CONSTANT]
    others = [number for name, number in same.items() if name != noise_floor.CONSTANT]
    assert len(set(others)) == len(others)


@pytest.mark.parametrize("fault", [None, *noise_floor.KILLS[:4]])
def test_accbo_under_skewed_noise(fault: str | None) -> None:
    """AccBO's own row on a short window: holds, and falls with the faults."""
    settings = Settings(fault=fault, window=(7, 10), seed=1)
    name = "AccBO, skewed"
    outcomes = {
        (name, power): measure(settings, Piece(noise_floor.NAME, (name, power), 1.0))[0]
        for power in (7, 10)
    }
    samples = [outcomes[name, power]["mean"] for power in (7, 10)]
    measured, error = noise_floor.slope([2.0**7, 2.0**10], samples)
    row = noise_floor.at_most("", noise_floor.BETWEEN, measured, error, noise_floor.EVEN)
    assert row.passed == (fault is None)


# --- the chain ------------------------------------------------------------------------------------


def by_quadrature(t: float) -> float:
    """Φ of the chain, from its definition."""
    return float(integrate.quad(lambda s: math.exp((1 - s * s) / 2), -math.inf, t)[0])


def psi(t: float) -> float:
    return math.exp(1 - 1 / (2 * t - 1) ** 2) if t > 0.5 else 0.0


def test_the_chain_is_its_definition() -> None:
    x = np.array([1.3, -0.9, 0.7, 0.2])
    by_hand = -psi(1.0) * by_quadrature(x[0])
    for before, here in itertools.pairwise(x):
        by_hand += psi(-before) * by_quadrature(-here) - psi(before) * by_quadrature(here)
    problem = LiftedChain(Chain(4, 0.25))
    assert problem.upper(x, x) == pytest.approx(by_hand, rel=1e-10)
    steps = 1e-5 * np.eye(4)
    differences = (problem.upper(x, x + steps) - problem.upper(x, x - steps)) / 2e-5
    np.testing.assert_allclose(problem.chain.gradient(x), differences, rtol=1e-7, atol=1e-8)


def test_the_smooth_step_is_its_integral() -> None:
    inside = lambda s: math.exp(-1 / (100 * (s - 0.25) * (0.5 - s)))  # noqa: E731
    whole = integrate.quad(inside, 0.25, 0.5)[0]
    for t in (0.3, 0.41):
        exact = integrate.quad(inside, 0.25, t)[0] / whole
        assert chains._smooth(np.array(t)) == pytest.approx(exact, abs=1e-7)
    np.testing.assert_array_equal(chains._smooth(np.array([-1.0, 0.25, 0.5, 3.0])), [0, 0, 1, 1])


def test_a_sample_shows_at_most_one_link() -> None:
    """Points up to every link, what is beyond untouched: with z = 0 nothing new, with z = 1 one."""
    chain = Chain(6, 1 / 9)
    generator = np.random.default_rng(0)
    for known in range(6):
        x = np.zeros((200, 6))
        x[:, :known] = generator.uniform(-2, 2, (200, known))
        for seen, most in ((0.0, known), (9.0, known + 1)):
            g = chain.sampled(x, np.full((200, 1), seen))
            assert np.all(g[:, most:] == 0)
    mean = chain.sampled(x, np.full((200, 1), 1.0))
    np.testing.assert_allclose(mean, chain.gradient(x), rtol=1e-14, atol=1e-15)


def test_the_end_is_not_reached_before_the_last_link() -> None:
    generator = np.random.default_rng(1)
    x = generator.uniform(-3, 3, (4000, 5))
    x[:, -1] = generator.uniform(-0.99, 0.99, 4000)
    assert np.min(np.linalg.norm(Chain(5, 0.25).gradient(x), axis=-1)) > 1


# --- the sample floor -----------------------------------------------------------------------------


def test_the_p_value_is_what_it_is_called() -> None:
    """A coin itself, the best that can be: p-values of 2,000 checks are not too small."""
    chain, generator = Chain(8, 1 / 16), np.random.default_rng(3)
    counts = generator.negative_binomial(8, 1 / 16, (2000, 64)) + 8.0
    values = np.array([sample_floor.p_value(row, chain) for row in counts])
    for level in (0.5, 0.1, 0.01):
        assert stats.binom.sf(np.sum(values <= level) - 1, 2000, level) > 1e-6
    assert sample_floor.p_value(counts[0] / 2, chain) < 1e-9
    assert sample_floor.p_value(np.full(64, math.inf), chain) == 1.0
    one = np.full(64, 10_000.0)
    one[5] = 9  # one replicate alone, 8 heads of 9
    assert sample_floor.p_value(one, chain) < 1e-6


PROBE = ("lifted", sample_floor.SGD, 8)
LONGER = {"upper gradient leaks": 16}  # T at which a fault shows; 8 for the others


def probe(fault: str | None, seed: int = 0) -> float:
    length = LONGER.get(str(fault), PROBE[-1])
    piece = Piece(sample_floor.NAME, (*PROBE[:-1], length), 1.0)
    outcome = measure(Settings(fault=fault, seed=seed), piece)[0]
    return sample_floor.p_value(outcome["samples"], Chain(length, 4 / length**2))


@pytest.mark.parametrize("seed", range(3))
def test_the_package_keeps_the_floor(seed: int) -> None:
    assert probe(None, seed) > 1e-3


@pytest.mark.parametrize("fault", sample_floor.KILLS)
def test_a_leak_or_a_miscount_dies(fault: str) -> None:
    assert probe(fault) < sample_floor.ALARM / 12


def test_the_package_counts_as_the_other_program_does() -> None:
    """Plain SGD, once by the package and once without it: the same law of N."""
    outcome = measure(Settings(), Piece(sample_floor.NAME, PROBE, 1.0))[0]
    alone = samples_alone(Chain(8, 1 / 16), "plain", 256, 5, 10_000)
    assert stats.ks_2samp(outcome["samples"], alone).pvalue > 1e-6
    assert np.mean(outcome["samples"]) == pytest.approx(np.mean(alone), rel=0.25)


def test_the_whole_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_floor, "LENGTHS", {"quick": (4, 8)})
    monkeypatch.setattr(sample_floor, "AVERAGE_LENGTHS", {"quick": (4,)})
    (verdict,) = run_checks([sample_floor], Settings(seed=2), panels=True)
    assert verdict.passed
    assert verdict.false_alarm == pytest.approx(sample_floor.ALARM)
    assert {finding.kind for finding in verdict.findings} == {"bound", "shown"}
    assert max(len(finding.quantity) for finding in verdict.findings) <= 51
    assert any(curve.predicted for curve in verdict.panels[0].curves)
    assert sample_floor.power(Settings(), verdict.findings) > 0.9  # T = 8 instead of 16
    exponents = [f for f in verdict.findings if f.quantity.startswith("exponent")]
    assert all(-4.5 < f.measured < -2.5 for f in exponents)
