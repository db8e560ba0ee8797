"""Deep AUC: values by hand, derivatives by autodiff, y*, AUC by its definition, texts."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest

import accbo
from accbo._arrays import to_host
from accbo.problems import deep_auc
from accbo.problems._text import bag_of_words, size, split, tokenise, vocabulary
from accbo.problems.deep_auc import POOLINGS, auc, initial_weights, rows_with_share
from tests.backends import Backend, need
from tests.support import U64

GENERATOR = np.random.default_rng(8)
WORDS, T, R = 9, 4, 2
TOKENS = GENERATOR.integers(1, WORDS, size=(14, T))
TOKENS[::3, :2] = 0  # padding in front
TOKENS[5] = 0  # and a text without words
LABELS = np.where(np.arange(14) % 3 == 0, -1.0, 1.0)
Y, V = GENERATOR.standard_normal((2, R, 1))
XI = {"index": np.array([[0, 3, 3], [6, 5, 2]])}
ZETA = {"index": np.array([[1, 0, 4, 4], [2, 3, 0, 6]])}
# some 40 roundings in line, of T products of unit size
ROUNDINGS = 100

ALGORITHM = accbo.AccBO(
    lower_step_size=0.5,
    lower_momentum=0.375,
    averaging=0.25,
    momentum=0.875,
    upper_step_size=2.0**-5,
    neumann_terms=2,
    neumann_scale=0.5,
)


def problem(pooling: str = "mean", **changes: Any) -> Any:
    sizes = {"words": WORDS, "width": 3, "hidden": 5, "upper_batch": 3, "lower_batch": 4}
    halves = TOKENS[:7], LABELS[:7], TOKENS[7:], LABELS[7:]
    return deep_auc(*halves, pooling=pooling, **{**sizes, **changes})


def start(p: Any, replicates: int = R) -> np.ndarray:
    """Weights of which none is 0."""
    return np.stack([initial_weights(p, seed) for seed in range(replicates)]) + 0.125


def close(found: Any, expected: Any) -> None:
    found, expected = to_host(found), to_host(expected)
    assert found.shape == expected.shape
    atol = ROUNDINGS * U64 * max(1.0, float(np.max(np.abs(expected))))
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


# --- values and derivatives -------------------------------------------------------------------


def score_by_hand(p: Any, x: np.ndarray, text: np.ndarray) -> float:
    """One text, one word after the other."""
    e, w, v, c, u, _, _ = (np.squeeze(part) for part in p._split(x))
    state, states = np.zeros(p.hidden), []
    for token in text:
        state = np.tanh(e[token] @ w + state @ v + c)
        states.append(state)
    if p.pooling == "last":
        return float(states[-1] @ u)
    read = [state for state, token in zip(states, text, strict=True) if token != 0]
    return float(np.mean(read, axis=0) @ u) if read else 0.0


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_loss_is_the_written_one(pooling: str) -> None:
    p = problem(pooling, share=0.75, margin=1.5)
    x, q = start(p, 1)[0], 0.75
    a, b, alpha = x[-2], x[-1], 0.375
    losses = []
    for text, label in zip(TOKENS[:7], LABELS[:7], strict=True):
        h = score_by_hand(p, x, text)
        if label > 0:
            loss = (1 - q) * (h - a) ** 2 - 2 * alpha * (1 - q) * h
        else:
            loss = q * (h - b) ** 2 + 2 * alpha * q * h
        losses.append(loss + 2 * alpha * q * (1 - q) * 1.5 - q * (1 - q) * alpha**2)
    y = np.array([alpha])
    close(p.upper(x, y), np.mean(losses))
    close(p.upper(x, y, {"index": np.array([2, 5, 5])}), np.mean(np.array(losses)[[2, 5, 5]]))
    close(p.lower(x, y), -upper_on_the_lower_texts(p, x, y))
    close(p.scores(x, TOKENS), np.array([score_by_hand(p, x, text) for text in TOKENS]))


def upper_on_the_lower_texts(p: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    halves = TOKENS[7:], LABELS[7:], TOKENS[:7], LABELS[:7]
    sizes = {"words": WORDS, "width": 3, "hidden": 5, "share": p.share, "margin": p.margin}
    return deep_auc(*halves, pooling=p.pooling, **sizes).upper(x, y)


@pytest.mark.parametrize(
    ("pooling", "xi", "zeta"), [("mean", XI, ZETA), ("last", XI, ZETA), ("mean", None, None)]
)
def test_derivatives_are_those_of_the_values(pooling: str, xi: Any, zeta: Any) -> None:
    like = need("jax")
    import jax

    host = problem(pooling)
    point = start(host)
    p, x, y, v = (like.move(part) for part in (host, point, Y, V))
    upper_batch, lower_batch = (None if s is None else like.move(s) for s in (xi, zeta))

    @jax.jit
    def automatic(x: Any, y: Any, v: Any) -> tuple[Any, ...]:
        def upper(x: Any, y: Any) -> Any:  # replicates are independent: the sum tells them apart
            return p.upper(x, y, upper_batch).sum()

        def slope(x: Any, y: Any) -> Any:
            return jax.grad(lambda y: p.lower(x, y, lower_batch).sum())(y)

        along = jax.grad(lambda x, y: (slope(x, y) * v).sum(), argnums=(0, 1))(x, y)
        return *jax.grad(upper, argnums=(0, 1))(x, y), slope(x, y), *along

    g_x, g_y, slope, cross, product = automatic(x, y, v)
    close(host.grad_x_upper(point, Y, xi), g_x)
    close(host.grad_y_upper(point, Y, xi), g_y)
    close(host.grad_y_lower(point, Y, zeta), slope)
    close(host.hvp_lower(point, Y, V, zeta), product)
    close(host.cross_lower(point, Y, V, zeta), cross)
    assert np.all(np.any(np.asarray(g_x) != 0, axis=0)[-R:])  # a and b as well


def test_solution_and_hypergradient_are_in_closed_form() -> None:
    like = need("jax")
    import jax

    host = problem()
    x, p = start(host), like.move(host)
    assert np.max(np.abs(host.grad_y_lower(x, host.solution(x)))) < ROUNDINGS * U64
    close(host.hypergradient(x), jax.jit(jax.grad(lambda x: p.value(x).sum()))(like.array(x)))


def test_a_pair_of_points_meets_one_batch() -> None:
    """Leading axes broadcast: what the recursive momentum asks for."""
    p = problem()
    x = start(p)
    pair = np.stack((x, x + 0.25))
    both = p.grad_x_upper(pair, np.stack((Y, V)), XI)
    close(both[0], p.grad_x_upper(x, Y, XI))
    close(both[1], p.grad_x_upper(x + 0.25, V, XI))
    one = {"index": XI["index"][0]}
    shared = p.cross_lower(x, Y, V, one)
    close(shared[1], p.cross_lower(x[1], Y[1], V[1], one))


# --- backends and runs ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy", "strict-device1", "torch", "jax"])
def test_a_run_is_the_same_everywhere(name: str) -> None:
    """And is not the run of another tape."""
    like, host = need(name), problem()
    x, y = start(host), Y

    def run(like: Backend, seed: int, steps: int) -> Any:
        moved = like.move(host), like.array(x), like.array(y)
        algorithm = like.guard(ALGORITHM)
        return to_host(accbo.run(algorithm, *moved, steps=steps, noise=seed).state.x)

    expected = run(need("numpy"), 3, 4)
    np.testing.assert_allclose(run(like, 3, 4), expected, rtol=0, atol=1e-12)
    assert np.max(np.abs(run(need("numpy"), 4, 4) - expected)) > 1e-3


def test_float32_stays_float32() -> None:
    x, y = start(problem()).astype(np.float32), Y.astype(np.float32)
    p = accbo.move(problem(), x)
    for found in (p.grad_x_upper(x, y, XI), p.cross_lower(x, y, y, XI), p.solution(x)):
        assert found.dtype == np.float32
    state = accbo.run(ALGORITHM, p, x, y, steps=3).state
    assert {state.x.dtype, state.y.dtype, state.momentum.dtype} == {np.dtype("float32")}


def test_training_raises_the_auc_on_texts_it_has_not_seen() -> None:
    """Positive texts hold word 2, negative ones word 3, at a random place among others."""
    generator = np.random.default_rng(5)
    tokens = generator.integers(4, WORDS, size=(600, T))
    labels = np.where(np.arange(600) % 4 == 0, -1.0, 1.0)
    tokens[np.arange(600), generator.integers(0, T, size=600)] = np.where(labels > 0, 2, 3)
    halves = tokens[:200], labels[:200], tokens[200:400], labels[200:400]
    p = deep_auc(*halves, words=WORDS, width=3, hidden=5, upper_batch=8, lower_batch=8)
    x, held = initial_weights(p, 1), slice(400, 600)
    before = auc(p.scores(x, tokens[held]), labels[held])
    algorithm = dataclasses.replace(ALGORITHM, upper_step_size=2.0**-6)
    result = accbo.run(algorithm, p, x, np.zeros(1), steps=1000)
    assert before < 0.7
    assert auc(p.scores(result.state.x, tokens[held]), labels[held]) > 0.95


# --- AUC, class share -------------------------------------------------------------------------


def test_auc_is_the_share_of_pairs_in_order() -> None:
    scores = GENERATOR.integers(0, 5, size=(2, 20)).astype(float)  # with ties
    labels = np.where(GENERATOR.random(20) < 0.7, 1.0, -1.0)
    for row, found in zip(scores, auc(scores, labels), strict=True):
        pairs = list(itertools.product(row[labels > 0], row[labels < 0]))
        assert math.isclose(found, np.mean([(p > n) + 0.5 * (p == n) for p, n in pairs]))
    assert auc(labels, labels) == 1
    assert auc(-labels, labels) == 0


def test_auc_of_one_class_or_of_a_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes, got 3 positive and 0 negative"):
        auc(np.arange(3.0), np.ones(3))
    with pytest.raises(ValueError, match="scores hold a NaN"):
        auc(np.array([np.nan, 0.0]), np.array([1.0, -1.0]))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_class_share_is_met_by_the_largest_subset(share: float) -> None:
    labels = np.where(np.arange(300) % 3 == 0, -1, 1)
    rows = rows_with_share(labels, share, seed=1)
    good, bad = (np.sum(np.sign(labels[rows]) == sign) for sign in (1, -1))
    assert len(set(rows)) == len(rows)
    assert abs(good - share * len(rows)) <= 1
    assert good == 200 or bad == 100  # one class is used up
    assert set(rows_with_share(labels, share, seed=2)) != set(rows)


def test_a_share_that_leaves_a_class_empty_is_refused() -> None:
    for share in (0.0, 1.0, 0.001):
        with pytest.raises(ValueError, match="no subset of 2 positive and 1 negative"):
            rows_with_share(np.array([1, 1, -1]), share)


# --- texts ------------------------------------------------------------------------------------


def test_texts_become_tokens() -> None:
    assert split("@Bob LOVES it!!! don't http://a.b/c?d :)") == [
        *("<name>", "loves", "it", "!!!", "don't", "<link>", ":)")
    ]
    words = vocabulary(["a b b", "c c a d", "b"], most=4)
    assert words == {"b": 2, "a": 3}  # a before c: as frequent, and earlier in the alphabet
    assert size(words) == 4
    tokens = tokenise(["a b", "x b a a", ""], words, 3)
    assert tokens.tolist() == [[0, 3, 2], [1, 2, 3], [0, 0, 0]]
    assert bag_of_words(tokens, 4).tolist() == [[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vocabulary(["a"], most=2), "most must be at least 3"),
        (lambda: tokenise(["a"], {}, 0), "length must be an integer >= 1"),
        (lambda: split(3), "a text must be a string, got int"),  # type: ignore[arg-type]
    ],
)
def test_texts_that_cannot_be_read(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": 5}, r"tokens must lie in \[0, 5\), got 0 … 8"),
        ({"hidden": 0}, "hidden must be an integer >= 1, got 0"),
        ({"pooling": "max"}, "pooling must be one of mean, last; got 'max'"),
        ({"share": 1.0}, r"share must lie in \(0, 1\), got 1.0"),
        ({"margin": 0}, "margin must be > 0, got 0"),
        ({"upper_tokens": TOKENS[:7].astype(float)}, "tokens must be integers"),
        ({"upper_tokens": TOKENS[:7, :2]}, "texts of one length, got 2 and 4"),
        ({"lower_tokens": TOKENS[0]}, r"lower_tokens must have shape \(n, T\), got \(4,\)"),
        ({"lower_tokens": [[1]]}, "lower_tokens must be an array, got list"),
        ({"lower_labels": LABELS[:3]}, r"lower_labels must have shape \(7,\), got \(3,\)"),
        ({"upper_labels": 0 * LABELS[:7]}, "upper_labels must be -1 or 1"),
    ],
)
def test_data_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    given = {
        "upper_tokens": TOKENS[:7],
        "upper_labels": LABELS[:7],
        "lower_tokens": TOKENS[7:],
        "lower_labels": LABELS[7:],
        "words": WORDS,
    }
    with pytest.raises((TypeError, ValueError), match=message):
        deep_auc(**{**given, **changes})
