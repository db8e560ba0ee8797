"""The noise: its laws, its addresses, and that it is the same on every backend."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import scipy.stats

from accbo import AccBOSample, Tape
from accbo._arrays import index_dtype, map_arrays, named_leaves, to_host
from accbo.problem import Noise
from accbo.sampling import (
    Draw,
    expect_layout,
    non_finite,
    random_matrix,
    random_rotation,
    sample_bytes,
)
from tests.backends import Backend
from tests.support import LOWER, SKEWED, Case, X, Y, batch, bits, case, changed, problem, stored

# The samples are fixed by their seeds; a fresh seed would raise one of the checks of a law
# (some 20 tails) with probability below 20 · 1e-8 = 2e-7.
FALSE_ALARM = 1e-8

LAYOUT = {
    "normal": Draw(Noise("normal", (3,))),
    "rows": Draw(Noise("normal", (2,)), (4,)),
    "two_point": Draw(Noise("two_point", (2,), 0.125)),
    "fair": Draw(Noise("two_point", (1,))),
    "sign": Draw(Noise("sign", (5,)), (3,)),
    "index": Draw(Noise("index", (1,), 7)),
}


def drawn(
    tape: Tape, steps: int, pieces: int = 1, replicates: Any = (), layout: Any = LAYOUT
) -> dict[str, np.ndarray]:
    """``steps`` samples of ``layout``, drawn in ``pieces`` blocks."""
    stream = tape.open(np.zeros((*replicates, 1)))
    blocks = [stream.block(layout, steps // pieces) for _ in range(pieces)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in layout}


# --- addresses -----------------------------------------------------------------------------


@pytest.mark.parametrize("replicates", [(), (3,)])
def test_sixty_steps_have_the_same_bits_however_they_are_cut(replicates: Any) -> None:
    whole = bits(drawn(Tape(3), 60, 1, replicates))
    for pieces in (6, 60):
        assert bits(drawn(Tape(3), 60, pieces, replicates)) == whole


@pytest.mark.parametrize("name", ["plain", "restarts", "randomised"])
def test_a_run_reads_the_tape_step_by_step(name: str) -> None:
    """The layouts of Option II change on the way; the bits do not depend on the blocks."""
    one = case(name)
    assert bits(one.run(30, Tape(5)).state) == bits(one.run(30, stored(one, 30, seed=5)).state)


def test_a_replicate_has_its_own_address() -> None:
    together = drawn(Tape(3), 12, replicates=(4,))
    for r in range(4):
        alone = drawn(Tape(3, first_replicate=r), 12)
        for name in LAYOUT:
            assert np.array_equal(together[name][..., r, :], alone[name])
    folded = drawn(Tape(3), 12, replicates=(2, 2))
    for name in LAYOUT:
        assert np.array_equal(folded[name].reshape(together[name].shape), together[name])


def test_seeds_replicates_and_steps_differ() -> None:
    base = drawn(Tape(3), 40)
    for other in (Tape(4), Tape(3, first_replicate=1)):
        changed_to = drawn(other, 40)
        for name in LAYOUT:
            assert np.any(base[name] != changed_to[name])
    for name in ("normal", "rows"):
        flat = base[name].reshape(-1)
        assert np.unique(flat).size == flat.size
    assert np.any(base["normal"][:, :2] != base["rows"][:, 0])


def test_shapes_are_step_leading_replicates_trailing() -> None:
    shapes = {name: leaf.shape for name, leaf in drawn(Tape(0), 6, replicates=(2, 3)).items()}
    assert shapes["normal"] == (6, 2, 3, 3)
    assert shapes["rows"] == (6, 4, 2, 3, 2)
    assert shapes["sign"] == (6, 3, 2, 3, 5)
    assert shapes["index"] == (6, 2, 3, 1)


@pytest.mark.parametrize(
    ("sampling", "option", "rows"),
    [
        ("chained", {}, 3),
        ("independent", {}, 6),
        ("randomised", {}, 3),
        ("chained", {"period": 2}, 3),
    ],
)
def test_the_algorithm_asks_for_what_it_consumes(
    sampling: str, option: dict[str, int], rows: int
) -> None:
    algorithm = changed(neumann_sampling=sampling, lower_steps=5, **option)
    p = problem("nonquadratic")
    layout = algorithm.draw(p, refresh=True)
    assert {d.leading for d in layout.hessian.values()} == {(rows,)}
    assert {d.leading for d in layout.lower.values()} == {(5 if option else 1,)}
    assert {d.leading for d in layout.upper.values()} == {()}
    assert set(layout.power) == ({"power"} if sampling == "randomised" else set())
    assert {d.leading for d in algorithm.draw(p, refresh=False).lower.values()} == {(0,)}
    start = algorithm.draw_start(p, warm_start=7, first=2)
    assert {d.leading for d in start.warm_start.values()} == {(7,)}
    assert {d.leading for d in start.first.hessian.values()} == {(2, rows)}
    numbers = 2 + 2 + 3 + 3 + 3 + 3 * rows + 9 * (5 if option else 1) + len(layout.power)
    assert sample_bytes(layout, 10) == 8 * 10 * numbers


# --- backends ------------------------------------------------------------------------------


def test_every_backend_gets_the_same_numbers(backend: Backend) -> None:
    layout = changed(neumann_sampling="randomised").draw(problem("nonquadratic"))
    expected = Tape(2).open(np.zeros((3, 1))).block(layout, 5)
    found = Tape(2).open(backend.array(np.zeros((3, 1)))).block(layout, 5)
    values = {name: to_host(leaf) for name, leaf in named_leaves(found)}
    assert len(values) == 9 + 1  # 4 upper, 1 cross, 1 hessian, 1 power, 3 lower
    for name, leaf in named_leaves(expected):
        assert np.array_equal(values[name], leaf)
    for name, leaf in named_leaves(found):
        if "power" not in name:
            assert backend.holds(leaf)


@pytest.mark.parametrize("backend", ["numpy", "strict", "torch", "jax", "cupy"], indirect=True)
def test_the_float32_tape_is_the_rounded_float64_tape(backend: Backend) -> None:
    layout = changed().draw(problem("nonquadratic", noise_upper=SKEWED))
    wide = Tape(2, lower_scale=0.3).open(np.zeros((3, 1))).block(layout, 5)
    narrow = Tape(2, lower_scale=0.3).open(backend.array(np.zeros((3, 1)), "float32"))
    values = dict(named_leaves(narrow.block(layout, 5)))
    for name, leaf in named_leaves(wide):
        assert backend.holds(values[name], "float32")
        assert np.array_equal(to_host(values[name]), leaf.astype(np.float32))


def test_moving_a_sample_leaves_its_indices_integers(backend: Backend) -> None:
    """And a problem's integers become floats, as everything of a problem."""
    one = stored(case("batches"), 2).steps[0]
    for moved in (backend.move(one), backend.move(backend.move(one))):
        assert set(moved.upper) == {"index"}
        for name, leaf in named_leaves(moved):
            assert leaf.dtype == index_dtype(backend.like)
            assert np.array_equal(to_host(leaf), dict(named_leaves(one))[name])
    whole = problem("quadratic", weights=(1.0, 2.0))
    whole = dataclasses.replace(whole, weights=np.array([1, 2]))
    assert backend.holds(backend.move(whole).weights)


def test_indices_are_not_scaled() -> None:
    """``lower_scale`` stands for a batch; a problem of batches has its own size of them."""
    layout = changed().draw(problem("finite_sum"))
    one, two = (Tape(1, scale).open(X).block(layout, 3) for scale in (1.0, 0.25))
    assert bits(one) == bits(two)


# --- the scale of the lower level ----------------------------------------------------------


def test_the_lower_scale_multiplies_all_of_the_lower_sample_and_nothing_else() -> None:
    p = problem("nonquadratic")
    algorithm = changed(neumann_sampling="randomised")
    one, two = (Tape(1, scale).open(np.zeros((2, 1))) for scale in (1.0, 0.25))
    layout = algorithm.draw_start(p, 3, 2)
    for stream in ("start", "block"):
        if stream == "start":
            plain, scaled = one.start(layout), two.start(layout)
        else:
            plain, scaled = (s.block(algorithm.draw(p), 4) for s in (one, two))
        values = dict(named_leaves(scaled))
        seen = {True: 0, False: 0}
        for name, leaf in named_leaves(plain):
            lower = "lower[" in name or name.startswith("warm_start")
            seen[lower] += 1
            assert np.array_equal(values[name], (0.25 if lower else 1.0) * leaf), name
        assert seen == {True: 6 if stream == "start" else 3, False: 7}


def test_a_scale_of_zero_takes_the_noise_out_of_the_lower_level() -> None:
    quiet = Case(problem("nonquadratic", noise_lower=dataclasses.replace(LOWER)), changed(), X, Y)
    p = quiet.problem
    sample = Tape(1, 0.0).open(X).block(quiet.algorithm.draw(p), 1)
    lower = map_arrays(lambda leaf: leaf[0, 0], sample.lower)
    assert np.array_equal(p.grad_y_lower(X, Y, lower), p.grad_y_lower(X, Y))


# --- laws ----------------------------------------------------------------------------------


def tail_z(z: float) -> float:
    return float(2 * scipy.stats.norm.sf(abs(z)))


def test_normal_noise_has_mean_zero_and_variance_one() -> None:
    """Exact tests: the mean by z, the sum of squares by χ², the whole by Kolmogorov."""
    values = drawn(Tape(11), 4000, replicates=(5,))["rows"].reshape(-1)
    count = values.size
    assert tail_z(values.sum() / count**0.5) > FALSE_ALARM
    square = float(np.sum(values**2))
    assert min(scipy.stats.chi2.cdf(square, count), scipy.stats.chi2.sf(square, count)) > (
        FALSE_ALARM
    )
    assert scipy.stats.kstest(values, "norm").pvalue > FALSE_ALARM


@pytest.mark.parametrize(("name", "p"), [("two_point", 0.125), ("fair", 0.5)])
def test_two_point_noise_has_its_two_values_and_their_weights(name: str, p: float) -> None:
    """Exact: two values with mean 0 and variance 1 under weight p; the count is binomial."""
    values = drawn(Tape(12), 20000)[name].reshape(-1)
    low, high = np.unique(values)
    assert p * high + (1 - p) * low == pytest.approx(0, abs=1e-15)
    assert p * high**2 + (1 - p) * low**2 == pytest.approx(1, abs=1e-15)
    count = int(np.sum(values == high))
    assert scipy.stats.binomtest(count, values.size, p).pvalue > FALSE_ALARM


def test_signs_are_fair_and_independent_along_every_axis() -> None:
    values = drawn(Tape(13), 4000, replicates=(3,))["sign"]
    assert set(np.unique(values)) == {-1.0, 1.0}  # variance 1 exactly, given mean 0
    for product in (
        values,
        values[1:] * values[:-1],
        values[:, 1:] * values[:, :-1],
        values[:, :, 1:] * values[:, :, :-1],
        values[..., 1:] * values[..., :-1],
    ):
        ups = int(np.sum(product > 0))
        assert scipy.stats.binomtest(ups, product.size, 0.5).pvalue > FALSE_ALARM


def test_indices_are_uniform() -> None:
    values = drawn(Tape(14), 21000)["index"].reshape(-1)
    assert np.issubdtype(values.dtype, np.integer)
    assert set(np.unique(values)) == set(range(7))
    for index in range(7):
        count = int(np.sum(values == index))
        assert scipy.stats.binomtest(count, values.size, 1 / 7).pvalue > FALSE_ALARM / 7


@pytest.mark.parametrize("lag", ["steps", "replicates", "trailing"])
def test_normal_noise_is_uncorrelated(lag: str) -> None:
    """Given one factor the sum of products is Gaussian with known variance: exact z."""
    values = drawn(Tape(15), 4000, replicates=(4,))["normal"]
    axis = {"steps": 0, "replicates": 1, "trailing": 2}[lag]
    count = values.shape[axis] // 2
    one, other = (np.take(values, range(k, 2 * count, 2), axis=axis) for k in (0, 1))
    z = float(np.sum(one * other)) / float(np.sum(one**2)) ** 0.5
    assert tail_z(z) > FALSE_ALARM


def test_the_test_of_the_mean_sees_a_shift() -> None:
    """Power: with 40 000 values a mean of 0.04 is 8 standard errors."""
    values = drawn(Tape(11), 4000, replicates=(5,))["rows"].reshape(-1) + 0.04
    assert tail_z(values.sum() / values.size**0.5) < FALSE_ALARM


# --- samples that exist already ------------------------------------------------------------


def test_a_replay_hands_out_what_it_was_given() -> None:
    one = case("plain")
    replay = stored(one, 8)
    assert bits(one.run(8, replay).state) == bits(one.run(8, Tape(1)).state)
    with pytest.raises(ValueError, match="the replayed samples end after 7 of 8 steps asked for"):
        one.run(9, replay)


def test_layouts_are_compared_by_parts_fields_and_rows() -> None:
    one = case("plain")
    layout = one.algorithm.draw(one.problem)
    sample = stored(one, 2).steps[0]
    expect_layout(sample, layout, X)
    many = one._replace(x=batch(X, 3), y=batch(Y, 3))
    expect_layout(stored(many, 2).steps[0], layout, many.x)
    with pytest.raises(ValueError, match="takes a NeumannSample, got a dict"):
        expect_layout({}, layout, X)


def test_a_bad_number_is_found_and_named() -> None:
    sample = stored(case("plain"), 2).steps[0]
    assert non_finite(sample) is None
    assert isinstance(sample, AccBOSample)
    bad = {**sample.lower, "additive": sample.lower["additive"] * np.inf}
    assert non_finite(sample._replace(lower=bad)) == "lower['additive']"


# --- random matrices of problems -----------------------------------------------------------


def test_random_matrices_depend_on_the_seed_alone() -> None:
    rotation = random_rotation(4, 1)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-14)
    assert np.array_equal(rotation, random_rotation(4, 1))
    assert np.max(np.abs(rotation - random_rotation(4, 2))) > 0.1
    assert random_matrix(2, 3, 1).shape == (2, 3)
    assert np.array_equal(random_matrix(2, 3, 1), random_matrix(2, 3, 1))
    assert np.max(np.abs(random_matrix(2, 3, 1) - random_matrix(2, 3, 2))) > 0.1
