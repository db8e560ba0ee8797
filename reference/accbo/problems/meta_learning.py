"""Meta-learning: a shared representation above, one regularised classifier per task below.

    F(x, y) = mean over tasks of mean over queries of ℓ(φ_x(a')ᵀY_t; b') + ½ ν ‖x‖²
    G(x, y) = sum over tasks of [mean over the support of ℓ(φ_x(a)ᵀY_t; b) + ½ μ ‖Y_t‖²]

φ_x(a) = Xᵀa or tanh(Xᵀa), with X (p, h) read from x row by row; ℓ is the multinomial logistic
loss; y holds the heads Y_t (h, K) one after the other. A realisation takes a batch of every
task's samples. The derivatives are not bounded in x and y, so there are no ``constants``: the
conditions of SPEC §1 hold on bounded sets, and ``curvature(x)`` says how steep g is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import Array, device, dot, is_array, namespace, to_host, traceable
from accbo.parameters import choice, integer, real
from accbo.problem import Noise, NoiseFields, Sample
from accbo.problems._gather import pick_rows
from accbo.problems._implicit import ImplicitSolution
from accbo.problems._lower import check_finite
from accbo.problems._softmax import (
    LARGEST_CURVATURE,
    cross_entropy,
    curvature_product,
    one_hot,
    softmax,
)
from accbo.sampling import random_matrix

ACTIVATIONS = ("linear", "tanh")


class Episodes(NamedTuple):
    """T few-shot tasks: features ``(T, N, p)`` and one-hot targets ``(T, N, K)`` of both sets."""

    support_features: np.ndarray
    support_targets: np.ndarray
    query_features: np.ndarray
    query_targets: np.ndarray


@traceable
@dataclass(frozen=True, eq=False)
class MetaLearning(ImplicitSolution):
    """The problem on T tasks; ``MetaLearning(*episodes(…), width=h)`` builds it.

    ``support_features`` ``(T, S, p)`` and ``support_targets`` ``(T, S, K)`` one-hot, the same
    with N for the queries; ``width`` h; ``activation`` linear or tanh; ``ridge`` μ > 0;
    ``upper_ridge`` ν ≥ 0; ``upper_batch`` and ``lower_batch``, the sizes B of every task's batch.
    d_x = ph, d_y = ThK.

    Raises ``TypeError`` or ``ValueError`` for data or settings that do not fit.
    """

    support_features: Array
    support_targets: Array
    query_features: Array
    query_targets: Array
    width: int = 8
    activation: str = "linear"
    ridge: float = 0.01
    upper_ridge: float = 0.0
    upper_batch: int = 8
    lower_batch: int = 8

    def __post_init__(self) -> None:
        for name in ("support", "query"):
            _check_set(name, getattr(self, f"{name}_features"), getattr(self, f"{name}_targets"))
        for part in ("features", "targets"):
            ours, theirs = (getattr(self, f"{name}_{part}") for name in ("support", "query"))
            if (ours.shape[0], ours.shape[2]) != (theirs.shape[0], theirs.shape[2]):
                raise ValueError(
                    f"support_{part} and query_{part} must have as many tasks and columns, "
                    f"got {tuple(ours.shape)} and {tuple(theirs.shape)}"
                )
        for name in ("width", "upper_batch", "lower_batch"):
            integer(self, name)
        choice(self, "activation", ACTIVATIONS)
        real(self, "ridge", above=0.0)
        real(self, "upper_ridge", least=0.0)

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """T, p and K."""
        tasks, _, p = self.support_features.shape
        return tasks, p, self.support_targets.shape[-1]

    @property
    def d_x(self) -> int:
        """Dimension of x: inputs times width."""
        return self._sizes[1] * self.width

    @property
    def d_y(self) -> int:
        """Dimension of y: tasks times width times classes."""
        return self._sizes[0] * self.width * self._sizes[2]

    @property
    def upper_noise(self) -> NoiseFields:
        """ξ: a batch of every task's queries, task after task."""
        return self._noise(self.upper_batch, self.query_targets)

    @property
    def lower_noise(self) -> NoiseFields:
        """ζ: a batch of every task's support, task after task."""
        return self._noise(self.lower_batch, self.support_targets)

    @property
    def hessian_noise(self) -> NoiseFields:
        """The same: every derivative of G depends on the batch."""
        return self.lower_noise

    @property
    def cross_noise(self) -> NoiseFields:
        """The same: every derivative of G depends on the batch."""
        return self.lower_noise

    @staticmethod
    def _noise(batch: int, targets: Array) -> NoiseFields:
        tasks, samples, _ = targets.shape
        return {"index": Noise("index", (tasks * batch,), samples)}

    def curvature(self, x: Array) -> float:
        """At least the curvature of every realisation at x, for ``neumann_scale``; on the host."""
        hidden = to_host(self._hidden(x, self.support_features)).astype(float)
        return float(LARGEST_CURVATURE * np.max(np.sum(hidden**2, axis=-1))) + self.ridge

    def solver_curvature(self, x: Array) -> float:
        """The same bound: the mean's curvature is below the largest of its terms."""
        return self.curvature(x)

    # the parts of x and y

    def _hidden(self, x: Array, features: Array) -> Array:
        """φ_x of ``(..., T, N, p)``, shape ``(..., T, N, h)``."""
        xp = namespace(x)
        matrix = xp.reshape(x, (*x.shape[:-1], 1, self._sizes[1], self.width))
        inner = xp.matmul(features, matrix)
        return inner if self.activation == "linear" else xp.tanh(inner)

    def _heads(self, y: Array) -> Array:
        """The Y_t of y: ``(..., d_y)`` to ``(..., T, h, K)``."""
        tasks, _, classes = self._sizes
        return namespace(y).reshape(y, (*y.shape[:-1], tasks, self.width, classes))

    def _to_representation(self, features: Array, hidden: Array, slopes: Array) -> Array:
        """∇_x of a value whose derivative in φ is ``slopes`` ``(..., T, N, h)``; ``(..., d_x)``."""
        xp = namespace(slopes)
        if self.activation == "tanh":
            slopes = slopes * (1 - hidden) * (1 + hidden)
        total = xp.sum(xp.matmul(features.mT, slopes), axis=-3)
        return xp.reshape(total, (*total.shape[:-2], self.d_x))

    def scores(self, x: Array, y: Array) -> Array:
        """Logits of all queries, shape ``(..., T, N, K)``."""
        hidden = self._hidden(x, self.query_features)
        return namespace(y).matmul(hidden, self._heads(y))

    # F

    def _upper_terms(self, x: Array, y: Array, sample: Sample) -> tuple[Array, ...]:
        """a', φ, b' and the logits of the batch."""
        features, targets = _batch(self.query_features, self.query_targets, sample)
        hidden = self._hidden(x, features)
        return features, hidden, targets, namespace(y).matmul(hidden, self._heads(y))

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of ℓ over the tasks' queries, + ½ν‖x‖², shape ``(...)``."""
        _, _, targets, logits = self._upper_terms(x, y, sample)
        losses = namespace(y).mean(cross_entropy(logits, targets), axis=(-2, -1))
        return losses + 0.5 * self.upper_ridge * dot(x, x)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of a' ⊗ φ'∘Y_t(softmax − b'), + νx, shape ``(..., d_x)``."""
        features, hidden, targets, logits = self._upper_terms(x, y, sample)
        residuals = (softmax(logits) - targets) / (targets.shape[-2] * targets.shape[-3])
        slopes = namespace(y).matmul(residuals, self._heads(y).mT)
        return self._to_representation(features, hidden, slopes) + self.upper_ridge * x

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of φ ⊗ (softmax − b') for every head, over T, shape ``(..., d_y)``."""
        _, hidden, targets, logits = self._upper_terms(x, y, sample)
        residuals = (softmax(logits) - targets) / (targets.shape[-2] * targets.shape[-3])
        return self._to_heads(hidden, residuals)

    # G

    def _lower_terms(self, x: Array, y: Array, sample: Sample) -> tuple[Array, ...]:
        """a, φ, b and the logits of the batch."""
        features, targets = _batch(self.support_features, self.support_targets, sample)
        hidden = self._hidden(x, features)
        return features, hidden, targets, namespace(y).matmul(hidden, self._heads(y))

    def _to_heads(self, hidden: Array, residuals: Array) -> Array:
        """Σ φ ⊗ r for every head: ``(..., T, N, h)``, ``(..., T, N, K)`` to ``(..., d_y)``."""
        total = namespace(hidden).matmul(hidden.mT, residuals)
        return namespace(hidden).reshape(total, (*total.shape[:-3], self.d_y))

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Sum over the tasks of the batch's mean of ℓ, + ½μ‖y‖², shape ``(...)``."""
        _, _, targets, logits = self._lower_terms(x, y, sample)
        xp = namespace(y)
        losses = xp.sum(xp.mean(cross_entropy(logits, targets), axis=-1), axis=-1)
        return losses + 0.5 * self.ridge * dot(y, y)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of φ ⊗ (softmax − b) for every head, + μ y, shape ``(..., d_y)``."""
        _, hidden, targets, logits = self._lower_terms(x, y, sample)
        residuals = (softmax(logits) - targets) / targets.shape[-2]
        return self._to_heads(hidden, residuals) + self.ridge * y

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """Mean of φ ⊗ (diag p − ppᵀ)Vᵀφ for every head, + μ v, shape ``(..., d_y)``."""
        _, hidden, targets, logits = self._lower_terms(x, y, sample)
        along = namespace(v).matmul(hidden, self._heads(v))
        bent = curvature_product(softmax(logits), along) / targets.shape[-2]
        return self._to_heads(hidden, bent) + self.ridge * v

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇_x of the mean of (softmax − b)·Vᵀφ, shape ``(..., d_x)``."""
        features, hidden, targets, logits = self._lower_terms(x, y, sample)
        xp, p = namespace(v), softmax(logits)
        heads, ways = self._heads(y), self._heads(v)
        bent = curvature_product(p, xp.matmul(hidden, ways))
        slopes = xp.matmul(p - targets, ways.mT) + xp.matmul(bent, heads.mT)
        return self._to_representation(features, hidden, slopes / targets.shape[-2])


def episodes(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    tasks: int,
    ways: int,
    shots: int,
    queries: int,
    seed: int = 0,
) -> Episodes:
    """``tasks`` random tasks of ``ways`` classes, ``shots`` + ``queries`` samples of each.

    Classes are numbered afresh in every task, samples drawn without replacement within one.
    Raises ``ValueError`` where there are too few classes, or samples of a class.
    """
    features, labels = np.asarray(features, dtype=float), np.asarray(labels)
    for name, count in (("tasks", tasks), ("shots", shots), ("queries", queries)):
        if count < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {count!r}")
    classes, counts = np.unique(labels, return_counts=True)
    if not 2 <= ways <= len(classes):
        raise ValueError(f"ways must be 2 … {len(classes)}, the classes there are, got {ways!r}")
    if counts.min() < shots + queries:
        raise ValueError(
            f"every class needs shots + queries = {shots + queries} samples; "
            f"class {classes[counts.argmin()]} has {counts.min()}"
        )
    chosen = np.argsort(random_matrix(tasks, len(classes), seed), axis=1)[:, :ways]
    ranks = random_matrix(tasks, len(labels), seed + 1)
    support, query = [], []
    for task in range(tasks):
        order = np.argsort(ranks[task])
        members = [order[labels[order] == classes[c]] for c in chosen[task]]
        support.append(np.concatenate([m[:shots] for m in members]))
        query.append(np.concatenate([m[shots : shots + queries] for m in members]))
    first, second = (np.repeat(np.arange(ways), count) for count in (shots, queries))
    return Episodes(
        features[np.stack(support)],
        np.broadcast_to(one_hot(first, ways), (tasks, ways * shots, ways)).copy(),
        features[np.stack(query)],
        np.broadcast_to(one_hot(second, ways), (tasks, ways * queries, ways)).copy(),
    )


def random_representation(p: int, width: int, seed: int = 0) -> np.ndarray:
    """A start x_0, shape ``(p·width,)``: entries of variance 1/p. x = 0 is stationary."""
    return random_matrix(p, width, seed).reshape(-1) / math.sqrt(p)


def _batch(features: Array, targets: Array, sample: Sample) -> tuple[Array, Array]:
    """The samples of ``index`` ``(..., T·B)``, each task's from its own rows, or all of them."""
    index = sample.get("index") if sample else None
    if index is None:
        return features, targets
    xp = namespace(index)
    tasks, samples, _ = features.shape
    index = xp.reshape(index, (*index.shape[:-1], tasks, index.shape[-1] // tasks))
    first = samples * xp.arange(tasks, dtype=index.dtype, device=device(index))
    index = index + first[:, None]

    def pick(table: Array) -> Array:
        return pick_rows(xp.reshape(table, (tasks * samples, table.shape[-1])), index)

    return pick(features), pick(targets)


def _check_set(name: str, features: Any, targets: Any) -> None:
    for part, array in (("features", features), ("targets", targets)):
        if not is_array(array):
            raise TypeError(f"{name}_{part} must be an array, got {type(array).__name__}")
        if array.ndim != 3 or 0 in array.shape:
            raise ValueError(
                f"{name}_{part} must have the axes task, sample and column, "
                f"got shape {tuple(array.shape)}"
            )
        check_finite(f"{name}_{part}", to_host(array))
    if tuple(features.shape[:2]) != tuple(targets.shape[:2]):
        raise ValueError(
            f"{name}_features and {name}_targets must have as many tasks and samples, "
            f"got {tuple(features.shape)} and {tuple(targets.shape)}"
        )
    host = to_host(targets)
    if not (np.all((host == 0) | (host == 1)) and np.all(host.sum(axis=-1) == 1)):
        raise ValueError(f"{name}_targets must be one-hot: a single 1 in every row, else 0")
