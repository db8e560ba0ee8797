"""The problems of the real tasks: autodiff, enumeration, constants, solvers, bad input."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import accbo
from accbo._arrays import to_host
from accbo.problems import (
    HyperCleaning,
    Hyperparameters,
    MetaLearning,
    corrupt,
    episodes,
    hyper_cleaning,
    random_representation,
)
from accbo.problems import _softmax as softmax_bounds
from accbo.problems._gather import add_at, pick_entries
from accbo.problems._softmax import curvature_product, one_hot, softmax
from tests.backends import Backend, need
from tests.support import U64

GENERATOR = np.random.default_rng(30)
R = 2  # replicates of a test point
KINDS = ("cleaning", "ridge", "logistic", "linear", "tanh")
# a closed form and autodiff take some 50 roundings of terms below `size`, at worst in line
ROUNDINGS = 50


def normal(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape)


A, A_ABOVE = normal(5, 3), normal(4, 3)
TARGETS, TARGETS_ABOVE = normal(5), normal(4)
SETS = episodes(
    normal(24, 3),
    np.repeat(np.arange(3), 8),
    tasks=2,
    ways=2,
    shots=2,
    queries=3,
    seed=5,
)


def problem(kind: str, **changes: Any) -> Any:
    """One of the five, small, with batches of two."""
    batches = {"upper_batch": 2, "lower_batch": 2}
    if kind == "cleaning":
        labels, above = np.array([0, 2, 1, 1, 0]), np.array([1, 0, 2, 2])
        return hyper_cleaning(A, labels, A_ABOVE, above, **{"ridge": 0.25, **batches, **changes})
    if kind in ("ridge", "logistic"):
        loss = "squared" if kind == "ridge" else "logistic"
        targets = [t if kind == "ridge" else np.sign(t) for t in (TARGETS, TARGETS_ABOVE)]
        sets = (A, targets[0], A_ABOVE, targets[1])
        return Hyperparameters(*sets, **{"loss": loss, "floor": 0.25, **batches, **changes})
    options = {"activation": kind, "width": 2, "ridge": 0.25, "upper_ridge": 0.125, **batches}
    return MetaLearning(*SETS, **{**options, **changes})


def point(p: Any) -> tuple[np.ndarray, ...]:
    """x, y and v of R replicates."""
    generator = np.random.default_rng(31)
    return tuple(generator.standard_normal((R, size)) for size in (p.d_x, p.d_y, p.d_y))


def batch(fields: Any, replicates: tuple[int, ...] = (R,)) -> dict[str, np.ndarray]:
    """A sample of index batches, with a repeated index in every one."""
    (name, noise), *_ = fields.items()
    generator = np.random.default_rng(32)
    index = generator.integers(int(noise.parameter), size=(*replicates, *noise.shape))
    index[..., -1] = index[..., 0]
    return {name: index}


def close(closed: Any, other: Any, size: float = 1.0) -> None:
    closed, other = np.asarray(closed), np.asarray(other)
    assert closed.shape == other.shape
    largest = max(size, float(np.max(np.abs(other))))
    np.testing.assert_allclose(closed, other, rtol=0, atol=ROUNDINGS * U64 * largest)


# --- derivatives ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_closed_forms_are_the_derivatives_of_the_values(kind: str) -> None:
    like = need("jax")
    import jax

    host = problem(kind)
    where = point(host)
    p, x, y, v = like.move(host), *map(like.move, where)

    @jax.jit
    def automatic(x: Any, y: Any, v: Any, xi: Any, zeta: Any) -> tuple[Any, ...]:
        def slope(x: Any, y: Any) -> Any:
            return jax.grad(lambda y: p.lower(x, y, zeta).sum())(y)

        above = jax.grad(lambda x, y: p.upper(x, y, xi).sum(), argnums=(0, 1))(x, y)
        along = jax.grad(lambda x, y: (slope(x, y) * v).sum(), argnums=(0, 1))(x, y)
        return *above, slope(x, y), *along

    for noisy in (False, True):
        xi = batch(host.upper_noise) if noisy else None
        zeta = batch(host.lower_noise) if noisy else None
        moved = [None if s is None else like.move(s) for s in (xi, zeta)]
        g_x, g_y, slope, cross, product = automatic(x, y, v, *moved)
        at = where[:2]
        close(host.grad_x_upper(*at, xi), g_x)
        close(host.grad_y_upper(*at, xi), g_y)
        close(host.grad_y_lower(*at, zeta), slope)
        close(host.hvp_lower(*where, zeta), product)
        close(host.cross_lower(*where, zeta), cross)
        assert host.upper(*at, xi).shape == host.lower(*at, zeta).shape == (R,)


@pytest.mark.parametrize("kind", KINDS)
def test_every_batch_once_has_the_mean_of_the_expectation(kind: str) -> None:
    p = problem(kind)
    x, y, v = (part[:1] for part in point(p))
    upper = [p.upper, p.grad_x_upper, p.grad_y_upper]
    lower = [p.lower, p.grad_y_lower]
    products = [p.hvp_lower, p.cross_lower]
    for fields, methods, at in (
        (p.upper_noise, upper, (x, y)),
        (p.lower_noise, lower, (x, y)),
        (p.hessian_noise, products, (x, y, v)),
    ):
        noise = fields["index"]
        every = itertools.product(range(int(noise.parameter)), repeat=noise.shape[0])
        index = np.array(list(every))[:, None, :]  # all batches as leading axes
        for method in methods:
            shared = tuple(np.broadcast_to(part, (len(index), *part.shape)) for part in at)
            drawn = method(*shared, {"index": index})
            assert drawn.shape[:2] == (len(index), 1)
            close(drawn.mean(axis=0), method(*at), size=len(index) ** 0.5)
            if method not in (p.grad_x_upper, p.cross_lower):  # where x meets y alone it is exact
                assert np.ptp(drawn, axis=0).max() > 0.01


@pytest.mark.parametrize("kind", ["cleaning", "logistic", "tanh"])
def test_replicates_broadcast_and_backends_agree(kind: str, backend: Backend) -> None:
    host = problem(kind)
    where = point(host)
    zeta = batch(host.lower_noise)
    expected = [host.hvp_lower(*where, zeta), host.cross_lower(*where, zeta)]
    p, moved, sample = backend.move(host), list(map(backend.move, where)), backend.move(zeta)
    for method, wanted in zip((p.hvp_lower, p.cross_lower), expected, strict=True):
        given = method(*moved, sample)
        assert backend.holds(given)
        close(to_host(given), wanted)
        # the pair of a momentum step: a new leading axis on x and y, one sample for both
        pair = [backend.namespace.stack([part, part]) for part in moved]
        both = to_host(method(*pair, sample))
        close(both[1], wanted)
        assert np.array_equal(both[0], both[1])


def test_indices_gather_and_add() -> None:
    x, index = normal(2, 3, 5), np.array([[0, 4, 4], [1, 1, 1], [2, 0, 3]])
    assert np.array_equal(pick_entries(x, index)[1, 2], x[1, 2, [2, 0, 3]])
    added = add_at(np.array([1.0, 2.0, 4.0]) + np.zeros((3, 3)), index, 5)
    assert added.tolist() == [[1, 0, 0, 0, 6], [0, 7, 0, 0, 0], [2, 0, 1, 4, 0]]


# --- y* and ∇Φ ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_solution_is_stationary_and_the_hypergradient_is_the_slope_of_the_value(
    kind: str,
) -> None:
    p = problem(kind)
    x = point(p)[0]
    y = p.solution(x)
    # the residual of a solver that ends at its roundings, of terms below 10
    assert np.max(np.abs(p.grad_y_lower(x, y))) <= 100 * U64 * 10
    d = np.random.default_rng(33).standard_normal(p.d_x)
    slope, at = p.hypergradient(x) @ d, p.value(x)
    steps = 2.0 ** -np.arange(7, 12)  # where the second order dominates
    left = [np.abs(p.value(x + h * d) - at - h * slope) for h in steps]
    orders = np.polyfit(np.log(steps), np.log(np.stack(left)), 1)[0]
    assert np.all(np.abs(orders - 2) < 0.2)


def test_ridge_is_the_normal_equations() -> None:
    p, x = problem("ridge"), np.array([0.3, -1.0, 0.5])
    rows = np.vstack((A / 5**0.5, np.diag(np.sqrt(0.25 + np.exp(x)))))  # an augmented problem
    wanted = np.linalg.lstsq(rows, np.r_[TARGETS / 5**0.5, 0, 0, 0], rcond=None)[0]
    close(p.solution(x), wanted)


def test_logistic_solution_is_scipys() -> None:
    p, x = problem("logistic"), np.array([0.3, -1.0, 0.5])
    found = scipy.optimize.minimize(
        lambda y: p.lower(x, y), np.zeros(3), jac=lambda y: p.grad_y_lower(x, y), tol=1e-12
    )
    np.testing.assert_allclose(p.solution(x), found.x, rtol=0, atol=1e-7)


def test_few_digits_take_fewer_steps() -> None:
    p = problem("cleaning")
    x = point(p)[0]
    rough, exact = p.solution(x, digits=2), p.solution(x)
    error = np.max(np.abs(rough - exact))
    assert 0 < error <= 1e-2 * np.max(np.abs(exact))


# --- constants ------------------------------------------------------------------------------


def dense(product: Callable[[np.ndarray], np.ndarray], size: int) -> np.ndarray:
    """The matrix of a linear map, (rows, size)."""
    return np.stack([product(unit) for unit in np.eye(size)], axis=1)


def test_constants_of_hyper_cleaning_hold_and_are_close() -> None:
    """Curvature and l_g1 are attained; the others hold and are at most 30 times loose."""
    p = dataclasses.replace(problem("cleaning"), lower_batch=1)
    c = p.constants
    generator = np.random.default_rng(34)
    seen: dict[str, float] = dict.fromkeys(("curvature", "l_g1", "l_f0", "L_y0", "l_g2"), 0.0)

    def second(x: np.ndarray, y: np.ndarray, sample: Any = None) -> tuple[np.ndarray, np.ndarray]:
        yy = dense(lambda v: p.hvp_lower(x, y, v, sample), p.d_y)
        return yy, dense(lambda v: p.cross_lower(x, y, v, sample), p.d_y)

    def note(name: str, value: float) -> None:
        seen[name] = max(seen[name], value)

    for trial in range(60):
        x = (1, 3, 8)[trial % 3] * generator.standard_normal(p.d_x)
        y = (0.1, 1, 3)[trial // 3 % 3] * generator.standard_normal(p.d_y)
        for i in range(p.d_x):
            yy, xy = second(x, y, {"index": np.array([i])})
            assert np.linalg.eigvalsh(yy)[0] >= c.mu * (1 - 1e-12)
            note("curvature", np.linalg.norm(yy, 2))
            note("l_g1", np.linalg.norm(np.vstack((yy, xy)), 2))
        note("l_f0", np.linalg.norm(p.grad_y_upper(x, y)))
        dx, dy = 1e-5 * generator.standard_normal((2, max(p.d_x, p.d_y)))
        dx, dy = dx[: p.d_x], dy[: p.d_y]
        moved = np.hypot(np.linalg.norm(dx), np.linalg.norm(dy))
        change = np.linalg.norm(p.grad_y_upper(x, y + dy) - p.grad_y_upper(x, y))
        note("L_y0", change / np.linalg.norm(dy))
        pairs = zip(second(x, y), second(x + dx, y + dy), strict=True)
        note("l_g2", max(np.linalg.norm(b - a, 2) for a, b in pairs) / moved)
    loose = {name: getattr(c, name) / value for name, value in seen.items()}
    assert all(1 - 1e-6 <= factor <= 30 for factor in loose.values()), loose
    # two classes at even odds and a weight of 1 attain the curvature
    heaviest = int(np.argmax(np.linalg.norm(p.train_features, axis=1)))
    y = np.zeros((4, 3))
    y[:, 2] = -50 * np.sign(p.train_features[heaviest])  # leaves the first two classes
    hessian, _ = second(np.full(5, 40.0), y.reshape(-1), {"index": np.array([heaviest])})
    assert np.linalg.norm(hessian, 2) == pytest.approx(c.curvature, rel=1e-9)


def test_bounds_of_the_softmax_hold_and_two_are_attained() -> None:
    generator = np.random.default_rng(35)
    z = 3 * generator.standard_normal((4000, 3))
    u, w = generator.standard_normal((2, 4000, 3))
    u, w = (part / np.linalg.norm(part, axis=-1, keepdims=True) for part in (u, w))
    h = 1e-5
    change = curvature_product(softmax(z + h * w), u) - curvature_product(softmax(z - h * w), u)
    third = np.max(np.abs(np.sum(u * change, axis=-1))) / (2 * h)
    assert 0.25 <= third / softmax_bounds.CURVATURE_LIPSCHITZ <= 1
    even = np.array([0.5, 0.5, 0.0])
    apart = np.array([1.0, -1.0, 0.0]) / 2**0.5
    assert curvature_product(even, apart) @ apart == pytest.approx(softmax_bounds.LARGEST_CURVATURE)
    assert np.linalg.norm([1.0, -1.0, 0.0]) == pytest.approx(softmax_bounds.LARGEST_SLOPE)


@pytest.mark.parametrize("kind", ["ridge", "logistic", "linear", "tanh"])
def test_curvature_bounds_every_realisation(kind: str) -> None:
    p = problem(kind)
    x, y, _ = (part[0] for part in point(p))
    largest = 0.0
    for y_of in (y, 0 * y):
        size, count = p.lower_noise["index"].shape[0], int(p.lower_noise["index"].parameter)
        for index in itertools.product(range(count), repeat=size):
            sample = {"index": np.array(index)}
            hessian = dense(lambda v: p.hvp_lower(x, y_of, v, sample), p.d_y)  # noqa: B023
            largest = max(largest, np.linalg.norm(hessian, 2))
    assert 1 - 1e-12 <= p.curvature(x) / largest <= 2.5  # the bound may be attained


# --- runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "sampling"),
    [("cleaning", "independent"), ("tanh", "chained")],
)
def test_a_run_on_numpy_and_jax_is_the_same(kind: str, sampling: str) -> None:
    host = problem(kind)
    x, y, _ = point(host)
    scale = 20.0
    algorithm = accbo.AccBO(
        lower_step_size=0.05,
        lower_momentum=0.5,
        averaging=0.25,
        momentum=0.875,
        upper_step_size=0.01,
        neumann_terms=3,
        neumann_scale=scale,
        neumann_sampling=sampling,
    )
    states = []
    for name in ("numpy", "jax"):
        like = need(name)
        parts = [like.move(part) for part in (host, x, y)]
        states.append(accbo.run(algorithm, *parts, steps=6, warm_start=2, noise=7).state)
    for ours, theirs in zip(*([s.x, s.y, s.momentum] for s in states), strict=True):
        np.testing.assert_allclose(ours, to_host(theirs), rtol=0, atol=1e-12)


# --- data -----------------------------------------------------------------------------------


def test_corruption_is_exact_seeded_and_never_the_label() -> None:
    labels = np.arange(2000) % 5
    noisy, corrupted = corrupt(labels, 0.4, 5, seed=3)
    assert corrupted.sum() == 800
    assert np.array_equal(noisy != labels, corrupted)
    assert noisy.min() == 0
    assert noisy.max() == 4
    shifts = np.bincount((noisy - labels)[corrupted] % 5, minlength=5)
    chi2 = np.sum((shifts[1:] - 200) ** 2 / 200)  # the other labels are even: χ² with 3 dof
    assert shifts[0] == 0
    assert chi2 < 30.7  # false alarm below 1e-6, and the seed is fixed
    assert np.array_equal(corrupt(labels, 0.4, 5, seed=3)[0], noisy)
    assert not np.array_equal(corrupt(labels, 0.4, 5, seed=4)[0], noisy)
    assert np.array_equal(corrupt(labels, 0.0, 5, seed=3)[0], labels)


def test_episodes_are_disjoint_and_labelled_afresh() -> None:
    features = np.arange(40.0)[:, None]
    labels = np.repeat(np.arange(4), 10)
    e = episodes(features, labels, tasks=6, ways=3, shots=2, queries=5, seed=1)
    assert e.support_features.shape == (6, 6, 1)
    assert e.query_targets.shape == (6, 15, 3)
    for task in range(6):
        support, query = e.support_features[task, :, 0], e.query_features[task, :, 0]
        assert len({*support, *query}) == 21
        classes = labels[support.astype(int)]
        assert np.array_equal(classes[::2], classes[1::2])
        assert len(set(classes)) == 3
        order = np.argmax(e.query_targets[task], axis=1)
        assert np.array_equal(classes[::2][order], labels[query.astype(int)])
    assert len({tuple(labels[s[:, 0].astype(int)]) for s in e.support_features}) > 1


def test_a_random_representation_has_unit_rows_on_average() -> None:
    x = random_representation(400, 5, seed=2)
    assert x.shape == (2000,)
    assert np.mean(x**2) * 400 == pytest.approx(1, abs=5 * (2 / 2000) ** 0.5)


CLEANING = {
    "train_features": A,
    "train_targets": np.eye(5)[:, :3] + np.eye(5, 3, -3),
    "validation_features": A_ABOVE,
    "validation_targets": np.eye(4, 3) + np.eye(4, 3, -3),
}
RIDGE = {
    "train_features": A,
    "train_targets": TARGETS,
    "validation_features": A_ABOVE,
    "validation_targets": TARGETS_ABOVE,
}


@pytest.mark.parametrize(
    ("build", "settings", "error", "words"),
    [
        (HyperCleaning, {**CLEANING, "ridge": 0.0}, ValueError, "ridge must lie in"),
        (HyperCleaning, {**CLEANING, "lower_batch": 0}, ValueError, "lower_batch must be an int"),
        (HyperCleaning, {**CLEANING, "train_features": [1.0]}, TypeError, "must be an array"),
        (HyperCleaning, {**CLEANING, "train_features": A[:4]}, ValueError, "as many rows"),
        (HyperCleaning, {**CLEANING, "train_features": A[0]}, ValueError, "two axes"),
        (HyperCleaning, {**CLEANING, "train_features": A * np.inf}, ValueError, "NaN or an inf"),
        (HyperCleaning, {**CLEANING, "validation_features": A_ABOVE[:, :2]}, ValueError, "columns"),
        (HyperCleaning, {**CLEANING, "train_targets": np.ones((5, 3))}, ValueError, "one-hot"),
        (Hyperparameters, {**RIDGE, "loss": "hinge"}, ValueError, "squared, logistic"),
        (Hyperparameters, {**RIDGE, "loss": "logistic"}, ValueError, "-1 or 1"),
        (Hyperparameters, {**RIDGE, "floor": -1.0}, ValueError, "floor must lie in"),
        (Hyperparameters, {**RIDGE, "train_targets": TARGETS[:4]}, ValueError, "shape"),
        (Hyperparameters, {**RIDGE, "validation_targets": None}, TypeError, "must be an array"),
        (Hyperparameters, {**RIDGE, "validation_features": A_ABOVE[:, :2]}, ValueError, "columns"),
        (MetaLearning, {**SETS._asdict(), "width": 2.5}, TypeError, "width must be an integer"),
        (MetaLearning, {**SETS._asdict(), "activation": "relu"}, ValueError, "linear, tanh"),
        (MetaLearning, {**SETS._asdict(), "upper_ridge": -1.0}, ValueError, "upper_ridge must"),
        (MetaLearning, {**SETS._asdict(), "query_features": A}, ValueError, "the axes task"),
        (
            MetaLearning,
            {**SETS._asdict(), "query_targets": SETS.query_targets[:1]},
            ValueError,
            "as many tasks",
        ),
        (
            MetaLearning,
            {**SETS._asdict(), "support_targets": SETS.support_targets * 2},
            ValueError,
            "one-hot",
        ),
    ],
)
def test_bad_problems_are_refused(
    build: Any, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        build(**settings)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: one_hot(np.array([0, 3]), 3), "values from 0 to 3"),
        (lambda: one_hot(np.array([0.5]), 3), "must be integers"),
        (lambda: corrupt(np.arange(3), 1.5, 3, 0), "share must lie in"),
        (lambda: episodes(A, np.arange(5), tasks=1, ways=6, shots=1, queries=1), "ways must be"),
        (lambda: episodes(A, np.arange(5), tasks=1, ways=2, shots=1, queries=1), "has 1"),
        (lambda: episodes(A, np.arange(5), tasks=0, ways=2, shots=1, queries=1), "tasks must"),
    ],
)
def test_bad_data_are_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
