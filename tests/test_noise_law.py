"""A law of noise that is a function: the tape's uniform numbers through it, checked at the door."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

from accbo import Noise, Tape, problems, run, schedules
from accbo._law import expect_law
from accbo.problems import LowerNoise, UpperNoise
from accbo.sampling import Draw


def laplace(u: np.ndarray) -> np.ndarray:
    """The inverse of Laplace's distribution function, variance 1."""
    sign: np.ndarray = np.sign(u - 0.5)
    return -sign * np.log(2 * np.minimum(u, 1 - u)) / 2**0.5


def test_values_are_the_function_of_the_tape() -> None:
    like = np.zeros((3, 2))
    fair = {"noise": Draw(Noise("two_point", (2,), 0.5))}
    own = {"noise": Draw(Noise(lambda u: np.where(u < 0.5, 1.0, -1.0), (2,)))}
    values = [Tape(5).open(like).block(layout, 7)["noise"] for layout in (fair, own)]
    assert np.array_equal(*values)


def test_bits_do_not_depend_on_blocks() -> None:
    like, layout = np.zeros((2, 3)), {"noise": Draw(Noise(laplace, (3,)), (4,))}
    whole, stream = Tape(1).open(like).block(layout, 6)["noise"], Tape(1).open(like)
    parts = [stream.block(layout, steps)["noise"] for steps in (1, 2, 3)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_it_runs_compiled_and_not_with_the_same_samples() -> None:
    jax = pytest.importorskip("jax")
    problem = problems.quadratic(
        (1.0, 1.3),
        3,
        noise_upper=UpperNoise(0.4, 0.1, 0.4, 0.1, law=laplace),
        noise_lower=LowerNoise(0.4, 0.1, law=laplace),
    )
    schedule = schedules.accbo(problem.constants, steps=20)
    x, y = np.ones((2, 3)), np.zeros((2, 2))
    from accbo import move

    with jax.enable_x64():
        there = jax.numpy.asarray(x)
        moved = move(problem, there)
        compiled = run(
            schedule.algorithm, moved, there, jax.numpy.asarray(y), steps=20, noise=Tape(3)
        )
        found = np.asarray(compiled.state.x)
    here = run(schedule.algorithm, problem, x, y, steps=20, noise=Tape(3))
    assert np.allclose(found, here.state.x, rtol=1e-12)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (lambda u: u, "must have mean 0 and variance 1"),
        (lambda u: u[..., :1], "to finite real numbers of that shape"),
        (lambda u: np.full(u.shape, np.nan), "got numbers that are not finite"),
        (lambda u: (u > 0.5).astype(int), "to finite real numbers of that shape"),
        ("cauchy", "must be normal, two_point, sign, index or a function of uniform numbers"),
        (3, "got 3"),
    ],
)
def test_what_is_no_law_is_refused(law: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expect_law(law, "law")


def test_an_inverse_that_is_infinite_at_0_stays_finite() -> None:
    expect_law(ndtri, "law")
    layout = {"noise": Draw(Noise(ndtri, (1,)))}
    stream = Tape(0).open(np.zeros((1, 1)))
    stream._raw = lambda *_: np.zeros((1, 4, 1))  # type: ignore[method-assign]
    assert np.all(np.isfinite(stream.block(layout, 4)["noise"]))
