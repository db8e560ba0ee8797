"""The plateau: derivatives, where its edge is, a noise of the same size everywhere."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from accbo import problems
from accbo._arrays import move, row
from accbo.problems import LowerNoise, WaveNoise, plateau
from accbo.sampling import Start, Tape, draw_fields
from tests.backends import need

GENERATOR = np.random.default_rng(7)
X, Y, V = GENERATOR.standard_normal((3, 5, 2))
NOISY = plateau(
    0.25, noise_upper=WaveNoise(0.7, 1.5), noise_lower=LowerNoise(0.5, 0.25, 0.25, "two_point")
)


def samples(problem: Any) -> tuple[Any, Any]:
    layout = Start(draw_fields(problem.upper_noise), draw_fields(problem.lower_noise))
    drawn = Tape(3).open(X).block(layout, 1)
    return row(drawn.warm_start, 0), row(drawn.first, 0)


@pytest.mark.parametrize("noisy", [False, True])
def test_closed_forms_are_the_derivatives_of_the_values(noisy: bool) -> None:
    like = need("jax")
    import jax

    xi, zeta = samples(NOISY) if noisy else (None, None)
    p, x, y, v = (like.move(part) for part in (NOISY, X, Y, V))
    there = [None if sample is None else like.move(sample) for sample in (xi, zeta)]

    def slope(x: Any, y: Any) -> Any:
        return jax.grad(lambda y: p.lower(x, y, there[1]).sum())(y)

    upper = jax.grad(lambda x, y: p.upper(x, y, there[0]).sum(), argnums=(0, 1))(x, y)
    along = jax.grad(lambda x, y: (slope(x, y) * v).sum(), argnums=(0, 1))(x, y)
    phi = jax.grad(lambda x: p.value(x).sum())(x)
    for closed, automatic in (
        (NOISY.grad_x_upper(X, Y, xi), upper[0]),
        (NOISY.grad_y_upper(X, Y, xi), upper[1]),
        (NOISY.grad_y_lower(X, Y, zeta), slope(x, y)),
        (NOISY.cross_lower(X, Y, V, zeta), along[0]),
        (NOISY.hvp_lower(X, Y, V, zeta), along[1]),
        (NOISY.hypergradient(X), phi),
    ):
        np.testing.assert_allclose(closed, np.asarray(automatic), rtol=0, atol=1e-14)


def test_the_edge_lies_at_epsilon() -> None:
    for epsilon in (0.5, 0.01):
        p = plateau(epsilon)
        ray = np.array([0.6, 0.8])
        lengths = epsilon * np.array([0.5, 0.999, 1.001, 2.0, 1e6])
        sizes = np.linalg.norm(p.hypergradient(lengths[:, None] * ray), axis=-1)
        edge = epsilon / np.sqrt(2)
        assert list(sizes >= edge) == [False, False, True, True, True]
        assert np.all(sizes <= epsilon)
        assert p.constants.K0 == 1.0
        assert p.constants.K1 == 0.0
        np.testing.assert_array_equal(p.solution(X), X)


def test_small_values_keep_their_digits() -> None:
    p = plateau(1.0)
    x = np.array([1e-9, 0.0])
    assert p.value(x) == pytest.approx(5e-19, rel=1e-12)


@pytest.mark.parametrize("at", [np.array([0.3, -2.0]), np.array([50.0, 7.0])])
def test_the_noise_is_of_one_size_everywhere(at: np.ndarray) -> None:
    """Every outcome of a and b, with its weight: mean 0, variance s², mean square slope (sω)²."""
    noise = WaveNoise(0.7, 1.5, "two_point", 0.1)
    values, weights = (3.0, -1 / 3), (0.1, 0.9)
    mean, square, slope = np.zeros(2), np.zeros(2), np.zeros(2)
    for (a, p), (b, q) in itertools.product(zip(values, weights, strict=True), repeat=2):
        sample = {"cosine": np.full(2, a), "sine": np.full(2, b)}
        here = noise.grad_y(np.zeros(2), at, sample)
        step = 1e-6
        there = noise.grad_y(np.zeros(2), at + step, sample)
        mean += p * q * here
        square += p * q * here**2
        slope += p * q * ((there - here) / step) ** 2
    np.testing.assert_allclose(mean, 0.0, atol=1e-14)
    np.testing.assert_allclose(square, 0.7**2, rtol=1e-13)
    np.testing.assert_allclose(slope, (0.7 * 1.5) ** 2, rtol=1e-5)


def test_without_noise_there_are_no_fields() -> None:
    p = plateau(0.5, noise_upper=WaveNoise(0.0))
    assert p.upper_noise == {} == p.lower_noise
    np.testing.assert_array_equal(p.grad_y_upper(X, Y, {}), p.grad_y_upper(X, Y))


def test_other_array_libraries_give_the_same_bits() -> None:
    strict = need("strict")
    there = move(NOISY, strict.like)
    for name in ("hypergradient", "value"):
        host = getattr(NOISY, name)(X)
        np.testing.assert_array_equal(np.asarray(getattr(there, name)(strict.move(X))), host)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plateau(0.0), "epsilon must be > 0, got 0.0"),
        (lambda: plateau(np.nan), "epsilon holds a NaN"),
        (lambda: plateau(0.5, ()), "spectrum must be eigenvalues in a list"),
        (lambda: plateau(0.5, (0.2, 1.0), noise_lower=LowerNoise(0, 0.25)), "above the noise"),
        (lambda: WaveNoise(-1.0), "scale >= 0 and frequency > 0, got -1.0"),
        (lambda: WaveNoise(1.0, np.inf), "frequency holds a NaN or an infinity"),
        (
            lambda: WaveNoise(law="index"),
            "must be normal, two_point, sign or a function of .*, got 'index'",
        ),
        (lambda: WaveNoise(probability=1.0), r"must lie in \(0, 1\), got 1.0"),
    ],
)
def test_bad_input(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_it_is_offered() -> None:
    assert {"Plateau", "WaveNoise", "plateau"} <= set(problems.__all__)
