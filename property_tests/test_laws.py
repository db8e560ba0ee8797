"""The laws on a prescribed path over random problems, and the faults that break them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accbo import AccBO
from accbo.conformance.faults import FAULTS
from accbo.relations.case import Outcome
from accbo.sampling import random_rotation
from property_tests import laws
from property_tests.laws import Path, Series
from property_tests.strategies import SEEDS, numbers, spectra


def check(outcome: Outcome) -> None:
    assert outcome.holds, f"{outcome.name}: {outcome.error:g} of its bound"


def hessian(spectrum: list[float], seed: int) -> np.ndarray:
    turn = random_rotation(len(spectrum), seed)
    matrix = (turn * np.asarray(spectrum)) @ turn.T
    return (matrix + matrix.T) / 2


def vectors(rows: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, d))


# --- Neumann bias --------------------------------------------------------------------------------


@st.composite
def series(draw: Any) -> Series:
    spectrum = draw(spectra(st.integers(1, 6)))
    scale = max(spectrum) * draw(numbers(1.0, 2.0))
    terms = draw(st.integers(1, 12))
    sampling = draw(st.sampled_from(("chained", "independent")))
    return Series(hessian(spectrum, draw(SEEDS)), scale, terms, sampling)


@given(series=series(), seed=SEEDS)
def test_bias_of_the_series_is_exact(series: Series, seed: int) -> None:
    check(laws.neumann_equality(series, vectors(5, len(series.hessian), seed)))


@given(series=series(), seed=SEEDS)
def test_bound_of_the_bias_is_its_maximum(series: Series, seed: int) -> None:
    check(laws.neumann_bound(series, vectors(50, len(series.hessian), seed)))


# as many outcomes as memory and time allow: at most 2¹² of signs, times Q of the power
SMALL = st.sampled_from(
    [
        *[("chained", d, q) for d, q in ((1, 2), (1, 5), (2, 3), (2, 5), (3, 4))],
        *[("independent", d, q) for d, q in ((1, 2), (1, 4), (1, 5), (2, 3), (3, 3))],
        *[("randomised", d, q) for d, q in ((1, 1), (1, 5), (2, 3), (2, 4), (3, 3))],
    ]
)


@given(which=SMALL, data=st.data())
def test_mean_over_all_outcomes_is_the_series(which: Any, data: st.DataObject) -> None:
    sampling, d, terms = which
    spectrum = data.draw(spectra(st.just(d)))
    signs = data.draw(numbers(0.1, 0.9)) * min(spectrum)
    scale = (max(spectrum) + signs) * data.draw(numbers(1.0, 1.5))
    series = Series(hessian(spectrum, data.draw(SEEDS)), scale, terms, sampling, signs)
    check(laws.enumerated_mean(series, vectors(1, d, data.draw(SEEDS))[0]))


# --- variance and lag of the momentum ----------------------------------------------------------


@st.composite
def paths(draw: Any) -> Path:
    d = draw(st.integers(1, 4))
    generator = np.random.default_rng(draw(SEEDS))
    return Path(
        start=generator.uniform(-1, 1, d),
        drift=generator.uniform(0.02, 0.2, d) * generator.choice([-1, 1], d),
        weights=generator.uniform(0.5, 2, d),
        additive=draw(numbers(0.1, 1.0)),
        multiplicative=draw(st.one_of(st.just(0.0), numbers(0.1, 1.0))),
        decay=draw(numbers(0.0, 0.98)),
        steps=draw(st.integers(1, 40)),
    )


def as_average(algorithm: AccBO) -> Any:
    return FAULTS["no correction"].apply(algorithm)


REPLICATES = 500


@pytest.mark.parametrize("recursive", [True, False])
@given(path=paths(), seed=SEEDS)
def test_mean_and_variance_of_the_momentum(recursive: bool, path: Path, seed: int) -> None:
    build = (lambda algorithm: algorithm) if recursive else as_average
    check(laws.momentum_law(path, REPLICATES, seed, build, recursive))


@pytest.mark.parametrize("recursive", [True, False])
@given(path=paths())
def test_lag_of_the_momentum(recursive: bool, path: Path) -> None:
    build = (lambda algorithm: algorithm) if recursive else as_average
    check(laws.lag(path, build, recursive))


# --- each law is seen to fail --------------------------------------------------------------------

SERIES = Series(hessian([0.7, 1.3, 2.0], 0), 2.5, 5)
SIGNS = Series(hessian([1.0, 2.0], 0), 3.0, 4, "chained", 0.6)
SERIES_FAULTS = [
    "series from q = 1",
    "one term too few",
    "one term too many",
    "1/l missing",
    "random term without Q",
    "sign of the implicit term",
]
PATH = Path(
    start=np.array([0.5, -0.4]),
    drift=np.array([0.02, 0.03]),
    weights=np.array([1.0, 0.7]),
    additive=0.5,
    multiplicative=0.3,
    decay=0.9,
    steps=30,
)
MOMENTUM_FAULTS = [
    "stale sample",
    "different sample",
    "no correction",
    "correction without β",
    "β and 1−β swapped",
    "two-iterations-old momentum",
    "samples normalised",
]


@pytest.mark.parametrize("law", [laws.neumann_equality, laws.neumann_bound])
@pytest.mark.parametrize("fault", [None, *SERIES_FAULTS])
def test_bias_catches(law: Any, fault: str | None) -> None:
    build = FAULTS[fault].apply if fault else lambda algorithm: algorithm
    assert law(SERIES, vectors(4, 3, 0), build).holds is (fault is None)


@pytest.mark.parametrize("sampling", ["chained", "independent", "randomised"])
@pytest.mark.parametrize("fault", [None, "one sample for all factors", *SERIES_FAULTS])
def test_enumeration_catches(sampling: str, fault: str | None) -> None:
    series = SIGNS._replace(sampling=sampling)
    if sampling == "independent":  # 2^(d Q (Q − 1)/2) outcomes
        series = series._replace(terms=3)
    build = FAULTS[fault].apply if fault else lambda algorithm: algorithm
    v = vectors(1, 2, 0)[0]
    assert laws.enumerated_mean(series, v, build).holds is (fault is None)


@pytest.mark.parametrize("fault", [None, *MOMENTUM_FAULTS])
def test_momentum_law_catches(fault: str | None) -> None:
    build = FAULTS[fault].apply if fault else lambda algorithm: algorithm
    assert laws.momentum_law(PATH, REPLICATES, 0, build).holds is (fault is None)


@pytest.mark.parametrize("fault", [None, "no correction", "stale sample"])
def test_lag_catches(fault: str | None) -> None:
    """A stale sample without noise is right: only its variance gives it away."""
    build = FAULTS[fault].apply if fault else lambda algorithm: algorithm
    assert laws.lag(PATH, build).holds is (fault != "no correction")


def test_at_rest_the_variance_alone_cannot_tell_the_two_apart() -> None:
    """SPEC 4.2: V∞ is (1−β)/(1+β) s0² for both; so the lag is the test."""
    rest = PATH._replace(drift=np.zeros(2), multiplicative=0.0, steps=400)
    for recursive in (True, False):
        _, variance = laws.momentum_moments(rest, recursive)
        assert np.allclose(variance, 0.1 / 1.9 * 0.25, rtol=1e-12, atol=0)
    assert laws.momentum_law(rest, REPLICATES, 0, as_average, recursive=True).holds
