"""Data hyper-cleaning: a weight for every training sample, learnt on clean validation data.

    F_j(y)    = ℓ(a'_jᵀY; b'_j)                              f = mean of the m F_j
    G_i(x, y) = σ(x_i) ℓ(a_iᵀY; b_i) + ½ μ ‖y‖²              g = mean of the n G_i

ℓ is the multinomial logistic loss and Y the matrix (d, K) that y holds row by row. The labels
b_i are partly wrong, drawn once; those of the validation set are clean. A fixed map of the
features (a convolution, a pretrained network) is applied before the problem is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import Array, is_array, namespace, to_host, traceable
from accbo.parameters import integer, real
from accbo.problem import Constants, Noise, NoiseFields, Sample
from accbo.problems import _softmax
from accbo.problems._gather import add_at, pick_entries, pick_rows
from accbo.problems._implicit import ImplicitSolution
from accbo.problems._lower import check_finite
from accbo.problems._softmax import cross_entropy, curvature_product, one_hot, softmax
from accbo.problems.finite_sum import CURVATURE_LIPSCHITZ as SIGMOID_CURVATURE
from accbo.problems.finite_sum import sigmoid, sigmoid_slope
from accbo.sampling import random_matrix

SIGMOID_SLOPE = 0.25


@traceable
@dataclass(frozen=True, eq=False)
class HyperCleaning(ImplicitSolution):
    """The problem on n training and m validation samples; built by :func:`hyper_cleaning`.

    ``train_features`` ``(n, d)``, ``train_targets`` ``(n, K)`` one-hot, the same with m for
    the validation set; ``ridge`` μ > 0; ``upper_batch`` and ``lower_batch``, the sizes B.
    d_x = n, d_y = dK. ``spread``, the largest eigenvalue of AᵀA/n, is computed when left out.

    Raises ``TypeError`` or ``ValueError`` for data or settings that do not fit.
    """

    train_features: Array
    train_targets: Array
    validation_features: Array
    validation_targets: Array
    ridge: float = 0.01
    upper_batch: int = 32
    lower_batch: int = 32
    spread: float | None = None

    def __post_init__(self) -> None:
        for name in ("train", "validation"):
            _check_set(name, getattr(self, f"{name}_features"), getattr(self, f"{name}_targets"))
        for part in ("features", "targets"):
            ours, theirs = (getattr(self, f"{name}_{part}") for name in ("train", "validation"))
            if ours.shape[1] != theirs.shape[1]:
                raise ValueError(
                    f"train_{part} and validation_{part} must have as many columns, "
                    f"got {tuple(ours.shape)} and {tuple(theirs.shape)}"
                )
        real(self, "ridge", above=0.0)
        integer(self, "upper_batch")
        integer(self, "lower_batch")
        if self.spread is None:
            a = to_host(self.train_features).astype(float)
            object.__setattr__(self, "spread", float(np.linalg.norm(a, 2)) ** 2 / len(a))

    @property
    def d_x(self) -> int:
        """Dimension of x: the number of training samples."""
        size: int = self.train_features.shape[0]
        return size

    @property
    def d_y(self) -> int:
        """Dimension of y: features times classes."""
        size: int = self.train_features.shape[1] * self.train_targets.shape[1]
        return size

    @property
    def upper_noise(self) -> NoiseFields:
        """ξ: a batch of validation samples."""
        return {"index": Noise("index", (self.upper_batch,), self.validation_targets.shape[0])}

    @property
    def lower_noise(self) -> NoiseFields:
        """ζ: a batch of training samples."""
        return {"index": Noise("index", (self.lower_batch,), self.d_x)}

    @property
    def hessian_noise(self) -> NoiseFields:
        """The same: every derivative of G depends on the batch."""
        return self.lower_noise

    @property
    def cross_noise(self) -> NoiseFields:
        """The same: every derivative of G depends on the batch."""
        return self.lower_noise

    @property
    def constants(self) -> Constants:
        """The constants of SPEC §1.

        Of a realisation, the largest being a batch of one sample (‖·‖ is convex): ∇²_yy G_i has
        norm at most ½‖a_i‖² + μ, and ∇²_xy G_i = σ' e_i (a_i ⊗ r)ᵀ with ‖r‖ ≤ √2, σ' ≤ ¼.

        Of the expectation, along (δx, δy): ∇²_yy g changes by the mean of σ' δx_i H_i and of
        σ DH_i δy; ∇²_xy g, row by row, by σ'' δx_i ∇ℓ_i + σ' H_i δy, each over n. Sums over i
        by Cauchy–Schwarz, ‖H_i‖ ≤ ½‖a_i‖², ‖DH_i δy‖ ≤ ‖a_i‖³‖δy‖/√2.
        """
        size = np.linalg.norm(to_host(self.train_features).astype(float), axis=1)
        slope, curved, third = (
            _softmax.LARGEST_SLOPE * size,
            _softmax.LARGEST_CURVATURE * size**2,
            _softmax.CURVATURE_LIPSCHITZ * size**3,
        )
        n = len(size)
        turn = SIGMOID_SLOPE * float(np.linalg.norm(curved)) / n
        above = to_host(self.validation_features).astype(float)
        m, steep = len(above), float(np.linalg.norm(above, 2))
        return Constants(
            mu=self.ridge,
            l_g1=float(np.max(np.hypot(SIGMOID_SLOPE * slope, curved + self.ridge))),
            l_g2=max(
                math.hypot(turn, float(np.mean(third))),
                math.hypot(SIGMOID_CURVATURE * float(np.max(slope)) / n, turn),
            ),
            curvature=float(np.max(curved)) + self.ridge,
            L_x0=0.0,
            L_x1=0.0,
            L_y0=_softmax.LARGEST_CURVATURE * steep**2 / m,
            L_y1=0.0,
            l_f0=_softmax.LARGEST_SLOPE * steep / math.sqrt(m),
        )

    def scores(self, features: Array, y: Array) -> Array:
        """Logits of ``features`` ``(..., N, d)`` by the classifier y, shape ``(..., N, K)``."""
        return namespace(y).matmul(features, self._matrix(y))

    def _matrix(self, y: Array) -> Array:
        """Y of y: ``(..., d_y)`` to ``(..., d, K)``."""
        shape = (self.train_features.shape[1], self.train_targets.shape[1])
        return namespace(y).reshape(y, (*y.shape[:-1], *shape))

    # F

    def _upper_terms(self, sample: Sample) -> tuple[Array, Array]:
        return _batch(self.validation_features, self.validation_targets, _index(sample))

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of ℓ over the validation batch, or f, shape ``(...)``."""
        features, targets = self._upper_terms(sample)
        losses = cross_entropy(self.scores(features, y), targets)
        return namespace(y).mean(losses, axis=-1) + 0 * x[..., 0]

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """0, shape ``(..., d_x)``: f depends on x by way of y alone."""
        return 0 * x

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of a' ⊗ (softmax − b'), shape ``(..., d_y)``."""
        features, targets = self._upper_terms(sample)
        return _mean_outer(features, softmax(self.scores(features, y)) - targets)

    # G

    def _lower_terms(self, x: Array, sample: Sample) -> tuple[Array, Array, Array]:
        """a ``(..., B, d)``, b ``(..., B, K)`` and the x_i ``(..., B)`` of the batch."""
        index = _index(sample)
        features, targets = _batch(self.train_features, self.train_targets, index)
        return features, targets, x if index is None else pick_entries(x, index)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of G_i over the training batch, or g, shape ``(...)``."""
        features, targets, own = self._lower_terms(x, sample)
        xp = namespace(y)
        losses = sigmoid(own) * cross_entropy(self.scores(features, y), targets)
        return xp.mean(losses, axis=-1) + 0.5 * self.ridge * xp.sum(y * y, axis=-1)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of σ(x_i) a ⊗ (softmax − b), + μ y, shape ``(..., d_y)``."""
        features, targets, own = self._lower_terms(x, sample)
        residuals = softmax(self.scores(features, y)) - targets
        return _mean_outer(features, sigmoid(own)[..., None] * residuals) + self.ridge * y

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """Mean of σ(x_i) a ⊗ (diag p − ppᵀ)Vᵀa, + μ v, shape ``(..., d_y)``."""
        features, _, own = self._lower_terms(x, sample)
        bent = curvature_product(softmax(self.scores(features, y)), self.scores(features, v))
        return _mean_outer(features, sigmoid(own)[..., None] * bent) + self.ridge * v

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """σ'(x_i) (softmax − b)·Vᵀa at every i of the batch, over B; ``(..., d_x)``."""
        features, targets, own = self._lower_terms(x, sample)
        residuals = softmax(self.scores(features, y)) - targets
        along = namespace(y).sum(residuals * self.scores(features, v), axis=-1)
        values = sigmoid_slope(own) * along / targets.shape[-2]
        index = _index(sample)
        return values if index is None else add_at(values, index, self.d_x)

    def solver_curvature(self, x: Array) -> float:
        """½ λ_max(AᵀA/n) + μ: the weights are below 1."""
        assert self.spread is not None  # set by __post_init__
        return _softmax.LARGEST_CURVATURE * self.spread + self.ridge


def hyper_cleaning(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    *,
    classes: int | None = None,
    bias: bool = True,
    ridge: float = 0.01,
    upper_batch: int = 32,
    lower_batch: int = 32,
) -> HyperCleaning:
    """A :class:`HyperCleaning` on the host from labels 0 … K − 1.

    ``bias`` appends a feature of 1, whose weights are regularised like the others.
    """
    if classes is None:
        classes = 1 + int(max(np.max(labels), np.max(validation_labels)))
    return HyperCleaning(
        train_features=with_bias(features) if bias else np.asarray(features, dtype=float),
        train_targets=one_hot(labels, classes),
        validation_features=(
            with_bias(validation_features) if bias else np.asarray(validation_features, dtype=float)
        ),
        validation_targets=one_hot(validation_labels, classes),
        ridge=ridge,
        upper_batch=upper_batch,
        lower_batch=lower_batch,
    )


def with_bias(features: np.ndarray) -> np.ndarray:
    """``features`` ``(n, d)`` and a column of ones, on the host."""
    features = np.asarray(features, dtype=float)
    return np.concatenate((features, np.ones((*features.shape[:-1], 1))), axis=-1)


def corrupt(
    labels: np.ndarray, share: float, classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """``labels`` of which ``share`` are replaced by a uniform other one, and which they are.

    Exactly round(share·n) of them, drawn once from ``seed``. Raises ``ValueError`` for a share
    outside [0, 1] or fewer than two classes.
    """
    if not 0 <= share <= 1 or classes < 2:
        raise ValueError(f"share must lie in [0, 1], classes be >= 2; got {share!r}, {classes!r}")
    labels = np.asarray(labels)
    drawn = random_matrix(len(labels), classes, seed)
    corrupted = np.zeros(len(labels), dtype=bool)
    corrupted[np.argsort(drawn[:, 0])[: round(share * len(labels))]] = True
    other = (labels + 1 + np.argmax(drawn[:, 1:], axis=1)) % classes
    return np.where(corrupted, other, labels), corrupted


def _index(sample: Sample) -> Any:
    return sample.get("index") if sample else None


def _batch(features: Array, targets: Array, index: Array | None) -> tuple[Array, Array]:
    if index is None:
        return features, targets
    return pick_rows(features, index), pick_rows(targets, index)


def _mean_outer(features: Array, residuals: Array) -> Array:
    """Mean of a ⊗ r over the batch, flat: ``(..., B, d)``, ``(..., B, K)`` to ``(..., dK)``."""
    xp = namespace(residuals)
    total = xp.matmul(features.mT, residuals) / residuals.shape[-2]
    return xp.reshape(total, (*total.shape[:-2], total.shape[-2] * total.shape[-1]))


def _check_set(name: str, features: Any, targets: Any) -> None:
    for part, array in (("features", features), ("targets", targets)):
        if not is_array(array):
            raise TypeError(f"{name}_{part} must be an array, got {type(array).__name__}")
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name}_{part} must have two axes, got shape {tuple(array.shape)}")
        check_finite(f"{name}_{part}", to_host(array))
    if features.shape[0] != targets.shape[0]:
        raise ValueError(
            f"{name}_features and {name}_targets must have as many rows, "
            f"got {tuple(features.shape)} and {tuple(targets.shape)}"
        )
    host = to_host(targets)
    if not (np.all((host == 0) | (host == 1)) and np.all(host.sum(axis=1) == 1)):
        raise ValueError(f"{name}_targets must be one-hot: a single 1 in every row, else 0")
