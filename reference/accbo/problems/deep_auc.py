"""Deep AUC maximisation: a recurrent scorer of texts under the AUC-margin min-max loss.

The scorer reads tokens k_1 … k_T with an embedding, a tanh layer and a linear score of the
states, h = Σ_t m_t uᵀs_t with s_t = tanh(e(k_t) W + s_{t−1} V + c) and s_0 = 0; m picks the last
state, or the mean over the words. With z = 1 for a positive text and 0 otherwise, and p the share
of positive ones, the loss of one text is

    ψ(x, α) = (1−p) z (h−a)² + p (1−z) (h−b)² − p(1−p) α²
              + 2α (p(1−p) M + p (1−z) h − (1−p) z h)

Above: x, all weights and a and b in one vector, minimises ψ over one set of texts. Below: y = (α)
minimises −ψ over another, so that g is quadratic in y with the curvature 2p(1−p), the same in
every realisation. ψ is the loss of Ying et al. (Stochastic Online AUC Maximization, 2016) with
the margin M of Yuan et al. (Large-scale Robust Deep AUC Maximization, 2021), whose α ≥ 0 is left
out: it matters only where positive texts already lead by more than M on average. A score has no
constant term: the loss sees differences of scores from a and b alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import (
    Array,
    asarray,
    device,
    index_dtype,
    is_array,
    is_jax,
    namespace,
    to_host,
    traceable,
)
from accbo.problem import Noise, NoiseFields, Sample
from accbo.sampling import random_matrix

PADDING = 0  # the token in front of a text shorter than the others
POOLINGS = ("mean", "last")
CHUNK = 256  # texts scored at once: the states of all of them need not fit into memory


class Weights(NamedTuple):
    """x taken apart, without copies; every array behind the replicates' axes."""

    embedding: Array  # e, (..., words, width)
    inward: Array  # W, (..., width, hidden)
    recurrent: Array  # V, (..., hidden, hidden)
    bias: Array  # c, (..., 1, hidden)
    outward: Array  # u, (..., hidden, 1)
    positive: Array  # a, (..., 1)
    negative: Array  # b, (..., 1)


class Batch(NamedTuple):
    """Texts, time first: one step of time is one slab."""

    tokens: Array  # k, (..., T·B) integers
    pooling: Array  # m, (..., T, B)
    positive: Array  # z, (..., B)


class Trace(NamedTuple):
    """What the forward pass leaves for the backward one."""

    inputs: Array  # e(k_t), (..., T, B, width)
    states: tuple[Array, ...]  # s_1 … s_T, each (..., B, hidden)
    pooled: Array  # Σ_t m_t s_t, (..., B, hidden)
    scores: Array  # h, (..., B)


class Remembered:
    """The last forward pass of ∇_y F, for ∇_x F at the same point on the same batch.

    On NumPy alone: what is compiled shares its passes anyway. The point is compared by its
    values, so that an x written to in between is seen. Callable, all equal: static to JAX.
    """

    def __init__(self) -> None:
        self._last: tuple[tuple[Any, ...], Trace] | None = None

    def __call__(self) -> None:
        """Forget."""
        self._last = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remembered)

    def __hash__(self) -> int:
        return hash(Remembered)

    def keep(self, x: Array, shapes: Any, batch: Batch, trace: Trace) -> None:
        """``trace`` belongs to these arguments."""
        if isinstance(x, np.ndarray):
            self._last = (x.copy(), shapes, batch), trace

    def recall(self, x: Array, shapes: Any, batch: Batch) -> Trace | None:
        """The pass of these arguments, once; ``None`` where the last one was another."""
        last, self._last = self._last, None
        if last is None or not isinstance(x, np.ndarray):
            return None
        (point, sizes, texts), trace = last
        same = sizes == shapes and x.dtype == point.dtype and np.array_equal(x, point)
        equal = same and all(map(np.array_equal, batch, texts))
        return trace if equal else None


@traceable
@dataclass(frozen=True, eq=False)
class DeepAUC:
    """Deep AUC maximisation; built by :func:`deep_auc`.

    ``upper_texts`` and ``lower_texts`` are tables (texts, 2T + 1) of tokens, weights m and
    labels z, in the precision of x: a problem's arrays are all of one dtype, and one look-up
    fetches a batch. ``words``, ``width`` and ``hidden`` are the sizes of the scorer.
    """

    upper_texts: Array
    lower_texts: Array
    words: int
    width: int
    hidden: int
    share: float
    margin: float = 1.0
    upper_batch: int = 32
    lower_batch: int = 32
    pooling: str = "mean"
    remembered: Remembered = field(default_factory=Remembered, repr=False)

    @property
    def d_x(self) -> int:
        """All weights, a and b."""
        return sum(math.prod(shape) for shape in self._shapes)

    @property
    def d_y(self) -> int:
        """α alone."""
        return 1

    @property
    def curvature(self) -> float:
        """∇²_yy G = 2p(1−p), which is μ and the largest curvature of a realisation as well."""
        return 2 * self.share * (1 - self.share)

    @property
    def upper_noise(self) -> NoiseFields:
        """ξ: a batch of upper texts."""
        return {"index": Noise("index", (self.upper_batch,), self.upper_texts.shape[0])}

    @property
    def lower_noise(self) -> NoiseFields:
        """ζ: a batch of lower texts."""
        return {"index": Noise("index", (self.lower_batch,), self.lower_texts.shape[0])}

    @property
    def hessian_noise(self) -> NoiseFields:
        """None: the curvature is that of every batch."""
        return {}

    @property
    def cross_noise(self) -> NoiseFields:
        """The batch."""
        return self.lower_noise

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of ψ over the batch, or f, shape ``(...)``."""
        return self._loss(x, y, self._batch(self.upper_texts, sample))

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x of it, shape ``(..., d_x)``; one forward and one backward pass."""
        xp, batch, weights = namespace(x), self._batch(self.upper_texts, sample), self._split(x)
        trace = self.remembered.recall(x, self._shapes, batch) or forward(weights, batch)
        good, bad = self._shares(batch)
        to_a, to_b = (
            good * (trace.scores - weights.positive),
            bad * (trace.scores - weights.negative),
        )
        scale = 2 / batch.positive.shape[-1]
        slopes = scale * (to_a + to_b + y * (bad - good))
        ends = [-scale * xp.sum(part, axis=-1, keepdims=True) for part in (to_a, to_b)]
        return xp.concat([*backward(weights, batch, trace, slopes), *ends], axis=-1)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y of it, shape ``(..., 1)``; one forward pass."""
        batch = self._batch(self.upper_texts, sample)
        trace = forward(self._split(x), batch)
        self.remembered.keep(x, self._shapes, batch, trace)
        return self._slope(trace.scores, y, batch)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of −ψ over the batch, or g, shape ``(...)``."""
        return -self._loss(x, y, self._batch(self.lower_texts, sample))

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y of it, shape ``(..., 1)``; one forward pass."""
        batch = self._batch(self.lower_texts, sample)
        return -self._slope(forward(self._split(x), batch).scores, y, batch)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """2p(1−p) v, shape ``(..., 1)``."""
        return self.curvature * v

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """−2v mean of (p(1−z) − (1−p)z) ∇h, shape ``(..., d_x)``; a pass each way."""
        xp, batch, weights = namespace(x), self._batch(self.lower_texts, sample), self._split(x)
        good, bad = self._shares(batch)
        slopes = (-2 / batch.positive.shape[-1]) * v * (bad - good)
        parts = backward(weights, batch, forward(weights, batch), slopes)
        none = xp.zeros_like(x[..., -2:])
        lead = parts[-1].shape[:-1]
        return xp.concat([*parts, xp.broadcast_to(none, (*lead, 2))], axis=-1)

    # y*, ∇Φ and the score

    def solution(self, x: Array) -> Array:
        """y*(x) = M + (p mean of (1−z)h − (1−p) mean of zh)/(p(1−p)), shape ``(..., 1)``."""
        none = 0 * x[..., :1]
        return -self.grad_y_lower(x, none) / self.curvature

    def hypergradient(self, x: Array) -> Array:
        """∇Φ(x), shape ``(..., d_x)``; the states of all texts are in memory at once."""
        y = self.solution(x)
        v = self.grad_y_upper(x, y) / self.curvature
        return self.grad_x_upper(x, y) - self.cross_lower(x, y, v)

    def value(self, x: Array) -> Array:
        """Φ(x) = f(x, y*(x)), shape ``(...)``."""
        return self.upper(x, self.solution(x))

    def scores(self, x: Array, tokens: Array) -> Array:
        """h of ``tokens`` ``(n, T)``, the score that is trained, shape ``(..., n)``."""
        xp, weights = namespace(x), self._split(x)
        table = asarray(text_table(tokens, np.zeros(len(tokens)), self.words, self.pooling), x)
        parts = [
            forward(weights, _unpacked(table[first : first + CHUNK, :])).scores
            for first in range(0, table.shape[0], CHUNK)
        ]
        return xp.concat(parts, axis=-1)

    # parts

    @property
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        e, h = self.width, self.hidden
        return ((self.words, e), (e, h), (h, h), (1, h), (h, 1), (1,), (1,))

    def _split(self, x: Array) -> Weights:
        xp, parts, start = namespace(x), [], 0
        for shape in self._shapes:
            stop = start + math.prod(shape)
            parts.append(xp.reshape(x[..., start:stop], (*x.shape[:-1], *shape)))
            start = stop
        return Weights(*parts)

    def _batch(self, table: Array, sample: Sample) -> Batch:
        """The texts of ``sample["index"]`` ``(..., B)``, or all of them without one."""
        index = sample.get("index") if sample else None
        if index is None:
            return _unpacked(table)
        xp = namespace(index)
        rows = xp.take(table, xp.reshape(index, (-1,)), axis=0)
        return _unpacked(xp.reshape(rows, (*index.shape, table.shape[1])))

    def _shares(self, batch: Batch) -> tuple[Array, Array]:
        """(1−p) z and p (1−z), shapes ``(..., B)``."""
        return (1 - self.share) * batch.positive, self.share * (1 - batch.positive)

    def _loss(self, x: Array, y: Array, batch: Batch) -> Array:
        xp, weights = namespace(x), self._split(x)
        h, (good, bad) = forward(weights, batch).scores, self._shares(batch)
        both = self.share * (1 - self.share)
        square = good * (h - weights.positive) ** 2 + bad * (h - weights.negative) ** 2
        margin = 2 * y * (both * self.margin + (bad - good) * h)
        return xp.mean(square + margin - both * y**2, axis=-1)

    def _slope(self, h: Array, y: Array, batch: Batch) -> Array:
        """Mean of ∂ψ/∂α, shape ``(..., 1)``."""
        good, bad = self._shares(batch)
        led = namespace(h).mean((bad - good) * h, axis=-1, keepdims=True)
        return 2 * led + self.curvature * (self.margin - y)


# --- the scorer ------------------------------------------------------------------------------


def forward(weights: Weights, batch: Batch) -> Trace:
    """Scores of a batch and the states on the way.

    Time by time, in arrays that fit into the cache: those of all times at once were fresh memory
    of the system in every pass, which took as long as half of the arithmetic.
    """
    xp, steps = namespace(weights.bias), batch.pooling.shape[-2]
    rows = look_up(weights.embedding, batch.tokens)
    inputs = xp.reshape(rows, (*rows.shape[:-2], steps, -1, rows.shape[-1]))
    importance = batch.pooling[..., None]
    state, pooled, states = None, 0.0, []
    for t in range(steps):
        drive = xp.matmul(inputs[..., t, :, :], weights.inward) + weights.bias
        if state is not None:
            drive = drive + xp.matmul(state, weights.recurrent)
        state = xp.tanh(drive)
        pooled = pooled + importance[..., t, :, :] * state
        states.append(state)
    scores = xp.matmul(pooled, weights.outward)[..., 0]
    return Trace(inputs, tuple(states), pooled, scores)


def backward(weights: Weights, batch: Batch, trace: Trace, slopes: Array) -> list[Array]:
    """Gradient of Σ_b slopes_b h_b in e, W, V, c and u, each flat, ``(..., size)``.

    δ_t = (slopes m_t uᵀ + δ_{t+1} Vᵀ)(1 − s_t²) backwards through time, then one product over all
    times for every matrix.
    """
    xp, states = namespace(slopes), trace.states
    lead, (size, hidden) = states[0].shape[:-2], states[0].shape[-2:]
    direct, importance = slopes[..., None] * weights.outward.mT, batch.pooling[..., None]
    # laid out anew once: a product with a transposed view takes up to twice as long
    back = xp.reshape(xp.reshape(weights.recurrent.mT, (*lead, -1)), (*lead, hidden, hidden))
    delta, deltas = None, []
    for t in range(len(states) - 1, -1, -1):
        along = importance[..., t, :, :] * direct
        if delta is not None:
            along = along + xp.matmul(delta, back)
        delta = along * (1 - states[t] * states[t])
        deltas.append(delta)
    rows = xp.concat(deltas[::-1], axis=-2)  # (..., T·B, hidden)
    inputs = xp.reshape(trace.inputs, (*trace.inputs.shape[:-3], -1, trace.inputs.shape[-1]))
    to_recurrent = xp.zeros_like(weights.recurrent)
    if len(states) > 1:
        earlier = xp.concat(states[:-1], axis=-2)
        to_recurrent = xp.matmul(earlier.mT, rows[..., size:, :])
    words = weights.embedding.shape[-2]
    gradients = (
        add_rows(xp.matmul(rows, weights.inward.mT), batch.tokens, words),
        xp.matmul(inputs.mT, rows),
        to_recurrent,
        xp.sum(rows, axis=-2),
        xp.matmul(trace.pooled.mT, slopes[..., None]),
    )
    return [xp.reshape(gradient, (*lead, -1)) for gradient in gradients]


def look_up(table: Array, tokens: Array) -> Array:
    """Rows ``tokens`` ``(..., L)`` of ``table`` ``(..., n, d)``, shape ``(..., L, d)``."""
    xp, (count, width) = namespace(table), table.shape[-2:]
    if table.ndim == 2:
        rows = xp.take(table, xp.reshape(tokens, (-1,)), axis=0)
        return xp.reshape(rows, (*tokens.shape, width))
    lead = np.broadcast_shapes(tuple(table.shape[:-2]), tuple(tokens.shape[:-1]))
    table = xp.reshape(xp.broadcast_to(table, (*lead, count, width)), (-1, width))
    rows = xp.take(table, xp.reshape(_apart(tokens, lead, count), (-1,)), axis=0)
    return xp.reshape(rows, (*lead, tokens.shape[-1], width))


def add_rows(values: Array, tokens: Array, count: int) -> Array:
    """Sums of the rows of ``values`` ``(..., L, d)`` with one token, ``(..., count, d)``.

    The standard has no scattered sum: each library's own, or a product with indicators. Of what
    NumPy and SciPy offer a sparse product is the fastest, 10 times as fast as ``np.add.at``.
    """
    xp, lead, width = namespace(values), values.shape[:-2], values.shape[-1]
    total = count * math.prod(lead)
    flat = xp.reshape(_apart(tokens, lead, count), (-1,))
    rows = xp.reshape(values, (-1, width))
    if isinstance(rows, np.ndarray):
        import scipy.sparse  # late: dear to import

        ends, ones = np.arange(len(rows) + 1), np.ones(len(rows), rows.dtype)
        summed = scipy.sparse.csc_array((ones, flat, ends), shape=(total, len(rows))) @ rows
    elif is_jax(rows):
        summed = xp.zeros((total, width), dtype=rows.dtype).at[flat].add(rows)
    elif hasattr(rows, "index_add"):  # PyTorch
        summed = xp.zeros((total, width), dtype=rows.dtype, device=device(rows)).index_add(
            0, flat, rows
        )
    else:
        places = xp.arange(total, dtype=flat.dtype, device=device(flat))
        summed = xp.matmul(xp.astype(places[:, None] == flat, rows.dtype), rows)
    return xp.reshape(summed, (*lead, count, width))


def _apart(tokens: Array, lead: tuple[int, ...], count: int) -> Array:
    """``tokens`` for each of the tables of ``count`` rows laid out one behind the other."""
    if math.prod(lead) == 1:
        return tokens
    xp = namespace(tokens)
    place = {} if is_jax(tokens) else {"device": device(tokens)}
    first = xp.arange(0, count * math.prod(lead), count, dtype=tokens.dtype, **place)
    return tokens + xp.reshape(first, (*lead, 1))


def _unpacked(table: Array) -> Batch:
    """Rows ``(..., B, 2T + 1)`` of a table as a batch, time first."""
    xp, steps = namespace(table), (table.shape[-1] - 1) // 2
    tokens = xp.astype(table[..., :steps].mT, index_dtype(table))
    return Batch(
        tokens=xp.reshape(tokens, (*table.shape[:-2], -1)),
        pooling=table[..., steps:-1].mT,
        positive=table[..., -1],
    )


# --- building, and judging -------------------------------------------------------------------


def deep_auc(
    upper_tokens: Any,
    upper_labels: Any,
    lower_tokens: Any,
    lower_labels: Any,
    *,
    words: int,
    width: int = 32,
    hidden: int = 64,
    share: float | None = None,
    margin: float = 1.0,
    upper_batch: int = 32,
    lower_batch: int = 32,
    pooling: str = "mean",
) -> DeepAUC:
    """A :class:`DeepAUC` on the host from tokens ``(n, T)`` below ``words`` and labels ±1.

    ``share`` is p in the loss, by default that of the lower labels. ``pooling`` is ``"mean"``,
    over the tokens that are not padding, or ``"last"``. Raises ``TypeError`` or ``ValueError``
    for data, sizes or a share that do not fit.
    """
    sizes = {
        "words": words,
        "width": width,
        "hidden": hidden,
        "upper_batch": upper_batch,
        "lower_batch": lower_batch,
    }
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {size!r}")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {pooling!r}")
    _check_texts("upper", upper_tokens, upper_labels, words)
    _check_texts("lower", lower_tokens, lower_labels, words)
    if np.shape(upper_tokens)[1] != np.shape(lower_tokens)[1]:
        raise ValueError(
            f"upper_tokens and lower_tokens must have texts of one length, "
            f"got {np.shape(upper_tokens)[1]} and {np.shape(lower_tokens)[1]}"
        )
    if share is None:
        share = float(np.mean(to_host(lower_labels) > 0))
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError(f"share must lie in (0, 1), got {share!r}")
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not margin > 0:
        raise ValueError(f"margin must be > 0, got {margin!r}")
    return DeepAUC(
        text_table(upper_tokens, upper_labels, words, pooling),
        text_table(lower_tokens, lower_labels, words, pooling),
        words,
        width,
        hidden,
        float(share),
        float(margin),
        upper_batch,
        lower_batch,
        pooling,
    )


def text_table(tokens: Any, labels: Any, words: int, pooling: str) -> np.ndarray:
    """Tokens, weights m of the states, and z of every text, ``(n, 2T + 1)``."""
    tokens = to_host(tokens)
    if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
        raise TypeError(f"tokens must be integers (n, T), got {tokens.dtype} {tokens.shape}")
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < words):
        raise ValueError(f"tokens must lie in [0, {words}), got {tokens.min()} … {tokens.max()}")
    weights = (tokens != PADDING).astype(float)
    if pooling == "last":
        weights = np.zeros(tokens.shape)
        weights[:, -1] = 1
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)  # a text without words scores 0
    return np.column_stack((tokens.astype(float), weights, to_host(labels) > 0))


def initial_weights(problem: DeepAUC, seed: int = 0) -> np.ndarray:
    """A start x_0 on the host, ``(d_x,)``: normal weights over √fan-in; c = 0, a = b = 0."""
    parts = []
    for place, shape in enumerate(problem._shapes):
        fan_in = {0: problem.width, 1: problem.width, 2: problem.hidden, 4: problem.hidden}
        size = 1 / math.sqrt(fan_in[place]) if place in fan_in else 0.0
        parts.append(size * random_matrix(1, math.prod(shape), seed + place)[0])
    return np.concatenate(parts)


def rows_with_share(labels: Any, share: float, seed: int = 0) -> np.ndarray:
    """Rows of the largest subset whose share of positive labels is ``share``, in random order.

    Raises ``ValueError`` where a class would be empty.
    """
    positive = to_host(labels) > 0
    order = np.argsort(random_matrix(1, len(positive), seed)[0])
    good, bad = order[positive[order]], order[~positive[order]]
    total = min(len(good) / share, len(bad) / (1 - share)) if 0 < share < 1 else 0.0
    kept = (int(total * share + 1e-9), int(total * (1 - share) + 1e-9))
    if min(kept) < 1:
        raise ValueError(
            f"no subset of {len(good)} positive and {len(bad)} negative labels has both classes "
            f"and the share {share!r}"
        )
    chosen = np.zeros(len(positive), bool)
    chosen[good[: kept[0]]] = chosen[bad[: kept[1]]] = True
    return order[chosen[order]]


def auc(scores: Any, labels: Any) -> Any:
    """Share of pairs (positive, negative) in order, a tie counting ½; ``(..., n)`` to ``(...)``.

    By the ranks of all n scores (Mann and Whitney), not by batches. Raises ``ValueError``
    where a class is empty or a score is not finite.
    """
    scores, positive = to_host(scores), to_host(labels) > 0
    if not np.all(np.isfinite(scores)):
        raise ValueError("the scores hold a NaN or an infinity")
    good = int(np.sum(positive))
    bad = positive.size - good
    if not (good and bad):
        raise ValueError(f"AUC needs both classes, got {good} positive and {bad} negative labels")
    from scipy.stats import rankdata  # late: dear to import

    ranks = rankdata(scores, axis=-1)
    return (np.sum(ranks[..., positive], axis=-1) - good * (good + 1) / 2) / (good * bad)


def _check_texts(level: str, tokens: Any, labels: Any, words: int) -> None:
    for name, given in (("tokens", tokens), ("labels", labels)):
        if not is_array(given):
            raise TypeError(f"{level}_{name} must be an array, got {type(given).__name__}")
    if tokens.ndim != 2 or not (tokens.shape[0] and tokens.shape[1]):
        raise ValueError(f"{level}_tokens must have shape (n, T), got {tuple(tokens.shape)}")
    if tuple(labels.shape) != (tokens.shape[0],):
        raise ValueError(
            f"{level}_labels must have shape ({tokens.shape[0]},), got {tuple(labels.shape)}"
        )
    if not np.all(np.abs(to_host(labels).astype(float)) == 1):
        raise ValueError(f"{level}_labels must be -1 or 1")
