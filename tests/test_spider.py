"""SPIDER by exact enumeration over batches of a small sum, and variants that the laws reject."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accbo._arrays import to_host
from accbo.spider import batch_mean, spider
from tests.backends import Backend
from tests.support import U64, problem

HOST = problem("finite_sum", lower_batch=1)  # 8 lower terms
SIZE = 2
BATCHES = np.array(list(itertools.product(range(8), repeat=SIZE)))  # all 64, equally likely
OLD = (np.array([0.5, -0.75]), np.array([0.25, 0.5, -0.25]))
NEW = (np.array([0.25, -0.5]), np.array([0.5, 0.25, -0.5]))
ESTIMATE = np.array([0.5, -0.125, 0.25])

Spider = Callable[..., Any]


def gradient(index: Any) -> Any:
    """(x, y) ↦ ∇_y G on the batches ``index``, (size, ...)."""
    return lambda x, y: HOST.grad_y_lower(x, y, {"index": index})


def each(point: Any) -> np.ndarray:
    """∇_y G of every term at a point, (8, d_y)."""
    return np.stack([HOST.grad_y_lower(*point, {"index": np.array([i])}) for i in range(8)])


def outcomes(rule: Spider, old: Any = OLD) -> np.ndarray:
    """The new estimate for every batch, (64, d_y)."""
    many = [tuple(np.tile(a, (len(BATCHES), 1)) for a in point) for point in (NEW, old)]
    index = np.moveaxis(BATCHES, 0, 1)[..., None]
    return rule(gradient(index), *many, np.tile(ESTIMATE, (len(BATCHES), 1)), SIZE)


# --- wrong variants ------------------------------------------------------------------------


def another_sample_for_the_old_point(g: Any, new: Any, old: Any, v: Any, size: int) -> Any:
    index = np.moveaxis(np.roll(BATCHES, 5, axis=0), 0, 1)[..., None]
    return v + batch_mean(g, new, size) - batch_mean(gradient(index), old, size)


def both_sides_at_the_new_x(g: Any, new: Any, old: Any, v: Any, size: int) -> Any:
    """Found in public code: the old point was copied after x had moved."""
    return spider(g, new, (new[0], old[1]), v, size)


def the_sum_over_the_batch(g: Any, new: Any, old: Any, v: Any, size: int) -> Any:
    return v + size * (spider(g, new, old, v, size) - v)


def no_old_point(g: Any, new: Any, old: Any, v: Any, size: int) -> Any:
    return batch_mean(g, new, size)


# --- the laws ------------------------------------------------------------------------------


def unbiased_increment(rule: Spider) -> None:
    """E v_new = v + ∇(new) − ∇(old): an estimate with the right mean keeps the right mean."""
    full = HOST.grad_y_lower(*NEW) - HOST.grad_y_lower(*OLD)
    np.testing.assert_allclose(outcomes(rule).mean(axis=0), ESTIMATE + full, rtol=0, atol=20 * U64)


def variance_of_the_difference(rule: Spider) -> None:
    """Var v_new = Var over the terms of ∇(new; s) − ∇(old; s), divided by S."""
    expected = (each(NEW) - each(OLD)).var(axis=0) / SIZE
    np.testing.assert_allclose(outcomes(rule).var(axis=0), expected, rtol=0, atol=20 * U64)


def still_at_rest(rule: Spider) -> None:
    """Where nothing moves, no sample changes the estimate."""
    found = outcomes(rule, NEW)
    np.testing.assert_allclose(found, np.tile(ESTIMATE, (64, 1)), rtol=0, atol=4 * U64)


@pytest.mark.parametrize("law", [unbiased_increment, variance_of_the_difference, still_at_rest])
def test_spider_obeys(law: Callable[[Spider], None]) -> None:
    law(spider)


@pytest.mark.parametrize(
    ("variant", "broken"),
    [
        (another_sample_for_the_old_point, variance_of_the_difference),  # its mean is right
        (another_sample_for_the_old_point, still_at_rest),
        (both_sides_at_the_new_x, unbiased_increment),
        (both_sides_at_the_new_x, variance_of_the_difference),
        (the_sum_over_the_batch, unbiased_increment),
        (no_old_point, unbiased_increment),
        (no_old_point, still_at_rest),
    ],
)
def test_a_wrong_variant_is_rejected(variant: Spider, broken: Any) -> None:
    with pytest.raises(AssertionError):
        broken(variant)


def test_the_large_batch_is_unbiased_and_its_variance_falls_like_one_over_its_size() -> None:
    many = tuple(np.tile(a, (len(BATCHES), 1)) for a in NEW)
    found = batch_mean(gradient(np.moveaxis(BATCHES, 0, 1)[..., None]), many, SIZE)
    np.testing.assert_allclose(found.mean(axis=0), HOST.grad_y_lower(*NEW), rtol=0, atol=20 * U64)
    np.testing.assert_allclose(
        found.var(axis=0), each(NEW).var(axis=0) / SIZE, rtol=0, atol=20 * U64
    )


def test_a_gradient_without_noise_has_a_value_per_sample() -> None:
    quiet = problem("finite_sum")
    found = batch_mean(lambda x, y: quiet.grad_y_lower(x, y), NEW, 3)
    np.testing.assert_allclose(found, quiet.grad_y_lower(*NEW), rtol=0, atol=4 * U64)


def test_every_backend_agrees(backend: Backend) -> None:
    host = backend.move(HOST)
    index = backend.move({"index": np.array([[[3], [1]], [[7], [1]]])})["index"]  # (S, R, 1)
    points = [tuple(backend.array(np.stack([a, 2 * a])) for a in point) for point in (NEW, OLD)]
    estimate = backend.array(np.stack([ESTIMATE, 0 * ESTIMATE]))
    found = spider(lambda x, y: host.grad_y_lower(x, y, {"index": index}), *points, estimate, SIZE)
    assert backend.holds(found)
    for r, terms in enumerate(([3, 7], [1, 1])):
        new, old = (each([(1 + r) * a for a in point])[terms].mean(axis=0) for point in (NEW, OLD))
        expected = (1 - r) * ESTIMATE + new - old
        np.testing.assert_allclose(to_host(found)[r], expected, rtol=0, atol=20 * U64)
