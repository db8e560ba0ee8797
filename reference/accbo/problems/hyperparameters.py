"""Hyperparameter optimisation: a log-penalty for every feature, chosen on validation data.

    F_j(y)    = ℓ(a'_jᵀy; b'_j)                                  f = mean of the m F_j
    G_i(x, y) = ℓ(a_iᵀy; b_i) + ½ Σ_k (μ + exp x_k) y_k²         g = mean of the n G_i

ℓ(t; b) = ½(t − b)² (ridge regression, y* in closed form) or log(1 + exp(−bt)) with b = ±1. The
derivatives of g are not bounded in x, so there are no ``constants``: the conditions of SPEC §1
hold where the x_k stay bounded above, and ``curvature(x)`` says how steep g is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import (
    Array,
    device,
    dot,
    is_array,
    matvec,
    namespace,
    rmatvec,
    to_host,
    traceable,
    unit_roundoff,
)
from accbo.parameters import choice, integer, real
from accbo.problem import Noise, NoiseFields, Sample
from accbo.problems._gather import pick_rows
from accbo.problems._implicit import minimise
from accbo.problems._lower import check_finite
from accbo.problems.finite_sum import LARGEST_CURVATURE, sigmoid, sigmoid_slope, softplus

LOSSES = ("squared", "logistic")


@traceable
@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """The problem on n training and m validation samples; d_x = d_y = d.

    ``train_features`` ``(n, d)``, ``train_targets`` ``(n,)``, the same with m for the validation
    set; ``loss`` squared or logistic; ``floor`` μ > 0; ``upper_batch``, ``lower_batch`` the
    sizes B. ``bend``, the largest eigenvalue of AᵀA/n times ℓ's largest curvature, is computed
    when left out.

    Raises ``TypeError`` or ``ValueError`` for data or settings that do not fit.
    """

    train_features: Array
    train_targets: Array
    validation_features: Array
    validation_targets: Array
    loss: str = "squared"
    floor: float = 0.01
    upper_batch: int = 32
    lower_batch: int = 32
    bend: float | None = None

    def __post_init__(self) -> None:
        choice(self, "loss", LOSSES)
        for name in ("train", "validation"):
            features, targets = (
                getattr(self, f"{name}_{part}") for part in ("features", "targets")
            )
            _check_set(name, features, targets, self.loss)
        ours, theirs = self.train_features.shape, self.validation_features.shape
        if ours[1] != theirs[1]:
            raise ValueError(
                f"train_features and validation_features must have as many columns, "
                f"got {tuple(ours)} and {tuple(theirs)}"
            )
        real(self, "floor", above=0.0)
        integer(self, "upper_batch")
        integer(self, "lower_batch")
        if self.bend is None:
            a = to_host(self.train_features).astype(float)
            bend = self._steepest * float(np.linalg.norm(a, 2)) ** 2 / len(a)
            object.__setattr__(self, "bend", bend)

    @property
    def d_x(self) -> int:
        """Dimension of x: the number of features."""
        size: int = self.train_features.shape[1]
        return size

    @property
    def d_y(self) -> int:
        """Dimension of y: the number of features."""
        size: int = self.train_features.shape[1]
        return size

    @property
    def upper_noise(self) -> NoiseFields:
        """ξ: a batch of validation samples."""
        return {"index": Noise("index", (self.upper_batch,), self.validation_targets.shape[0])}

    @property
    def lower_noise(self) -> NoiseFields:
        """ζ: a batch of training samples."""
        return {"index": Noise("index", (self.lower_batch,), self.train_targets.shape[0])}

    @property
    def hessian_noise(self) -> NoiseFields:
        """The same."""
        return self.lower_noise

    @property
    def cross_noise(self) -> NoiseFields:
        """None: x meets y in the penalty alone."""
        return {}

    def curvature(self, x: Array) -> float:
        """At least the curvature of every realisation at x, for ``neumann_scale``; on the host."""
        size = np.max(np.sum(to_host(self.train_features).astype(float) ** 2, axis=1))
        return float(self._steepest * size + self.floor + np.exp(np.max(to_host(x))))

    # ℓ

    @property
    def _steepest(self) -> float:
        return 1.0 if self.loss == "squared" else LARGEST_CURVATURE

    def _losses(self, t: Array, b: Array) -> Array:
        return 0.5 * (t - b) ** 2 if self.loss == "squared" else softplus(-b * t)

    def _slopes(self, t: Array, b: Array) -> Array:
        return t - b if self.loss == "squared" else -b * sigmoid(-b * t)

    def _curvatures(self, t: Array) -> Array:
        return namespace(t).ones_like(t) if self.loss == "squared" else sigmoid_slope(t)

    # F

    def _upper_terms(self, sample: Sample) -> tuple[Array, Array]:
        return _batch(self.validation_features, self.validation_targets, sample)

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of ℓ over the validation batch, or f, shape ``(...)``."""
        a, b = self._upper_terms(sample)
        return namespace(y).mean(self._losses(matvec(a, y, "matmul"), b), axis=-1) + 0 * x[..., 0]

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """0, shape ``(..., d_x)``: f depends on x by way of y alone."""
        return 0 * x

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of ℓ' a', shape ``(..., d_y)``."""
        a, b = self._upper_terms(sample)
        return _mean(a, self._slopes(matvec(a, y, "matmul"), b))

    # G

    def _lower_terms(self, sample: Sample) -> tuple[Array, Array]:
        return _batch(self.train_features, self.train_targets, sample)

    def _penalties(self, x: Array) -> Array:
        """μ + exp x, shape ``(..., d)``."""
        return self.floor + namespace(x).exp(x)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of G_i over the training batch, or g, shape ``(...)``."""
        a, b = self._lower_terms(sample)
        losses = self._losses(matvec(a, y, "matmul"), b)
        return namespace(y).mean(losses, axis=-1) + 0.5 * dot(self._penalties(x) * y, y)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of ℓ' a, + (μ + exp x)∘y, shape ``(..., d_y)``."""
        a, b = self._lower_terms(sample)
        return _mean(a, self._slopes(matvec(a, y, "matmul"), b)) + self._penalties(x) * y

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """Mean of ℓ'' a aᵀv, + (μ + exp x)∘v, shape ``(..., d_y)``."""
        a, _ = self._lower_terms(sample)
        bent = self._curvatures(matvec(a, y, "matmul")) * matvec(a, v, "matmul")
        return _mean(a, bent) + self._penalties(x) * v

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """(exp x)∘y∘v on every sample, shape ``(..., d_x)``."""
        return namespace(x).exp(x) * y * v

    # y* and ∇Φ

    def _matrix(self, x: Array, curvatures: Array) -> Array:
        """Mean of c a aᵀ, + diag(μ + exp x), shape ``(..., d, d)``."""
        xp, a = namespace(x), self.train_features
        weighted = xp.matmul(a.mT, curvatures[..., None] * a) / a.shape[0]
        unit = xp.eye(a.shape[1], dtype=a.dtype, device=device(a))
        return weighted + self._penalties(x)[..., None] * unit

    def solution(self, x: Array) -> Array:
        """y*(x), shape ``(..., d_y)``: (AᵀA/n + diag(μ + exp x))⁻¹ Aᵀb/n for the squared loss.

        For the logistic loss Nesterov's method, preconditioned by M = ¼AᵀA/n + diag(μ + exp x):
        in its norm g has curvatures between μ/(μ + bend) and 1.
        """
        xp = namespace(x)
        ones = xp.ones_like(self.train_targets)
        matrix = self._matrix(x, self._steepest * ones)
        zero = xp.zeros_like(x)
        if self.loss == "squared":
            return _solve(matrix, -self.grad_y_lower(x, zero))
        inverse = xp.linalg.inv(matrix)
        assert self.bend is not None  # set by __post_init__
        return minimise(
            lambda y: matvec(inverse, self.grad_y_lower(x, y), "matmul"),
            zero,
            self.floor / (self.floor + self.bend),
            1.0,
            -math.log10(unit_roundoff(x)),
        )

    def hypergradient(self, x: Array) -> Array:
        """∇Φ(x) = −(exp x)∘y*∘[∇²_yy g]⁻¹∇_y f, shape ``(..., d_x)``."""
        y = self.solution(x)
        curvatures = self._curvatures(matvec(self.train_features, y, "matmul"))
        v = _solve(self._matrix(x, curvatures), self.grad_y_upper(x, y))
        return -self.cross_lower(x, y, v)

    def value(self, x: Array) -> Array:
        """Φ(x) = f(x, y*(x)), shape ``(...)``."""
        return self.upper(x, self.solution(x))


def _batch(features: Array, targets: Array, sample: Sample) -> tuple[Array, Array]:
    index = sample.get("index") if sample else None
    if index is None:
        return features, targets
    return pick_rows(features, index), pick_rows(targets, index)


def _mean(features: Array, weights: Array) -> Array:
    """Mean of the a with ``weights`` ``(..., B)``, shape ``(..., d)``."""
    return rmatvec(features, weights, "matmul") / weights.shape[-1]


def _solve(matrix: Array, right: Array) -> Array:
    return namespace(right).linalg.solve(matrix, right[..., None])[..., 0]


def _check_set(name: str, features: Any, targets: Any, loss: str) -> None:
    for part, array in (("features", features), ("targets", targets)):
        if not is_array(array):
            raise TypeError(f"{name}_{part} must be an array, got {type(array).__name__}")
    if features.ndim != 2 or 0 in features.shape or tuple(targets.shape) != features.shape[:1]:
        raise ValueError(
            f"{name}_features must have shape (n, d) and {name}_targets (n,), "
            f"got {tuple(features.shape)} and {tuple(targets.shape)}"
        )
    check_finite(f"{name}_features", to_host(features))
    check_finite(f"{name}_targets", to_host(targets))
    if loss == "logistic" and not np.all(np.abs(to_host(targets)) == 1):
        raise ValueError(f"{name}_targets must be -1 or 1 for the logistic loss")
