"""Finite sums: logistic losses on both levels, whose noise is a batch of indices.

    F_j(x, y) = log(1 + exp(−b'_j (a'_jᵀy + c'_jᵀx))) + ½ ν ‖x‖²        f = mean of the m F_j
    G_i(x, y) = log(1 + exp(−b_i (a_iᵀy + c_iᵀx))) + ½ μ ‖y‖²           g = mean of the n G_i

A realisation is the mean over a batch of indices, drawn uniformly with replacement: what
practice calls a minibatch, and where a batch of one level can be mistaken for the other's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accbo._arrays import (
    Array,
    asarray,
    dot,
    is_array,
    matvec,
    namespace,
    repeat,
    rmatvec,
    to_host,
    traceable,
    unit_roundoff,
)
from accbo.problem import Constants, Noise, NoiseFields, Sample
from accbo.problems._lower import check_finite
from accbo.rounding import ceiling
from accbo.sampling import random_matrix

# s = σ' ≤ ¼, and max |σ''| = 1/(6√3)
LARGEST_CURVATURE = 0.25
CURVATURE_LIPSCHITZ = 1 / (6 * math.sqrt(3))


class Terms(NamedTuple):
    """Samples that are averaged: all n of a level ``(n, ·)``, or batches ``(..., B, ·)``."""

    features: Array  # a, (..., B, d_y)
    offsets: Array  # c, (..., B, d_x)
    labels: Array  # b, (..., B)
    form: str

    def pick(self, sample: Sample) -> Terms:
        """The terms of ``sample["index"]`` ``(..., B)``, or all of them without one."""
        index = sample.get("index") if sample else None
        if index is None:
            return self
        xp = namespace(index)
        flat, shape = xp.reshape(index, (-1,)), tuple(index.shape)

        def gather(table: Array) -> Array:
            return xp.reshape(xp.take(table, flat, axis=0), (*shape, *table.shape[1:]))

        # a matrix for every replicate: there is none to share
        return Terms(gather(self.features), gather(self.offsets), gather(self.labels), "matmul")

    def margins(self, x: Array, y: Array) -> Array:
        """b (aᵀy + cᵀx), shape ``(..., B)``."""
        along = matvec(self.features, y, self.form) + matvec(self.offsets, x, self.form)
        return self.labels * along

    def along(self, v: Array) -> Array:
        """aᵀv, shape ``(..., B)``."""
        return matvec(self.features, v, self.form)

    def mean_features(self, weights: Array) -> Array:
        """Mean of the a with ``weights`` ``(..., B)``, shape ``(..., d_y)``."""
        return rmatvec(self.features, weights, self.form) / self.labels.shape[-1]

    def mean_offsets(self, weights: Array) -> Array:
        """Mean of the c with ``weights`` ``(..., B)``, shape ``(..., d_x)``."""
        return rmatvec(self.offsets, weights, self.form) / self.labels.shape[-1]


def softplus(t: Array) -> Array:
    """log(1 + eᵗ) without overflow, elementwise."""
    xp = namespace(t)
    return xp.logaddexp(t, xp.zeros_like(t))


def sigmoid(t: Array) -> Array:
    """σ(t) = 1/(1 + e⁻ᵗ), elementwise, with its digits at both ends."""
    xp = namespace(t)
    small = xp.exp(-xp.abs(t))
    return xp.where(t < 0, small, xp.ones_like(small)) / (1 + small)


def sigmoid_slope(t: Array) -> Array:
    """σ'(t) = e⁻ᵗ/(1 + e⁻ᵗ)², elementwise, with its digits at both ends."""
    xp = namespace(t)
    small = xp.exp(-xp.abs(t))
    return small / ((1 + small) * (1 + small))


@traceable
@dataclass(frozen=True, eq=False)
class FiniteSum:
    """The finite-sum problem; built most easily by :func:`finite_sum`.

    ``upper_features`` a' ``(m, d_y)``, ``upper_offsets`` c' ``(m, d_x)``, ``upper_labels`` b'
    ``(m,)`` of ±1, the same below with n; ``upper_ridge`` ν and ``lower_ridge`` μ > 0;
    ``upper_batch`` and ``lower_batch``, the sizes B of the batches. ``form`` is that of the
    products over all samples (``accbo._arrays.matvec``); those of a batch are always a product
    per replicate. ``inverse`` and ``steps_per_digit`` of the solver are computed when left out.
    An index has no scale: ``Tape.lower_scale`` leaves it as it is, and ``lower_batch`` takes its
    place, with a variance in 1/B.

    Raises ``TypeError`` for data that are no arrays and for batches that are no integers,
    ``ValueError`` for shapes that do not fit, labels other than ±1, anything not finite, a
    ridge ≤ 0 and a batch < 1.
    """

    upper_features: Array
    upper_offsets: Array
    upper_labels: Array
    lower_features: Array
    lower_offsets: Array
    lower_labels: Array
    upper_ridge: float = 0.5
    lower_ridge: float = 0.5
    upper_batch: int = 2
    lower_batch: int = 2
    form: str = "matmul"
    inverse: Any = None
    steps_per_digit: int | None = None

    def __post_init__(self) -> None:
        if self.form not in ("shared", "matmul"):
            raise ValueError(f"form must be shared or matmul, got {self.form!r}")
        _check_level("upper", self._upper_terms)
        _check_level("lower", self._lower_terms)
        for name in ("features", "offsets"):
            above, below = (getattr(self, f"{level}_{name}") for level in ("upper", "lower"))
            if above.shape[1] != below.shape[1]:
                raise ValueError(
                    f"upper_{name} and lower_{name} must have as many columns, "
                    f"got {tuple(above.shape)} and {tuple(below.shape)}"
                )
        for name in ("upper_ridge", "lower_ridge"):
            object.__setattr__(self, name, _positive(name, getattr(self, name)))
        for name in ("upper_batch", "lower_batch"):
            _check_count(name, getattr(self, name))
        if self.inverse is None or self.steps_per_digit is None:
            self._prepare_solver()

    def _prepare_solver(self) -> None:
        """M⁻¹ of ``solution`` and the steps a digit takes with it, on the host in float64."""
        a = _host(self.lower_features)
        extra = LARGEST_CURVATURE * a.T @ a / len(a)
        inverse = np.linalg.inv(extra + self.lower_ridge * np.eye(self.d_y))
        k = float(np.linalg.norm(extra, 2))
        contraction = max(k / (self.lower_ridge + k), 0.1)
        steps = ceiling(-math.log(10) / math.log(contraction))
        object.__setattr__(self, "inverse", asarray(inverse, self.lower_features))
        object.__setattr__(self, "steps_per_digit", steps)

    @property
    def d_x(self) -> int:
        """Dimension of x."""
        size: int = self.lower_offsets.shape[1]
        return size

    @property
    def d_y(self) -> int:
        """Dimension of y."""
        size: int = self.lower_features.shape[1]
        return size

    @property
    def upper_noise(self) -> NoiseFields:
        """ξ: a batch of upper samples."""
        return {"index": Noise("index", (self.upper_batch,), self.upper_labels.shape[0])}

    @property
    def lower_noise(self) -> NoiseFields:
        """ζ: a batch of lower samples."""
        return {"index": Noise("index", (self.lower_batch,), self.lower_labels.shape[0])}

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

        Of a realisation: with u_i = (c_i, a_i) its second derivative [∇²_xy; ∇²_yy] is a mean
        of K_i = [s c_i a_iᵀ; s a_i a_iᵀ + μI], 0 < s ≤ ¼. ‖·‖ is convex, so the largest is that
        of a batch of one sample i, where KᵀK has the eigenvector a_i: ‖K_i‖² =
        s²‖c_i‖²‖a_i‖² + (s‖a_i‖² + μ)², greatest at s = ¼ (margin 0). l_g1 is attained.

        Of the expectation: a mean of w_i p_i q_iᵀ with |w_i| ≤ w is PᵀDQ with ‖D‖ ≤ w/n, so
        of norm at most w‖P‖‖Q‖/n, in spectral norms of the tables. w = ¼ bounds ∇²f; for the
        third derivatives of g it is max ‖u_i‖/(6√3); Σ w_i a'_i/m with 0 < w_i < 1 is at most
        ‖A'‖ √m/m.
        """
        mu, nu = self.lower_ridge, self.upper_ridge
        a, c = _host(self.lower_features), _host(self.lower_offsets)
        a2, c2 = np.sum(a * a, axis=1), np.sum(c * c, axis=1)
        steep = np.hypot(LARGEST_CURVATURE * np.sqrt(a2 * c2), LARGEST_CURVATURE * a2 + mu)
        third = CURVATURE_LIPSCHITZ * math.sqrt(np.max(a2 + c2)) * _spectral(a)
        above_y, above_x = _host(self.upper_features), _host(self.upper_offsets)
        in_y, in_x = _spectral(above_y), _spectral(above_x)
        both = _spectral(np.hstack((above_x, above_y)))
        return Constants(
            mu=mu,
            l_g1=float(np.max(steep)),
            l_g2=third * max(_spectral(a), _spectral(c)),
            curvature=float(LARGEST_CURVATURE * np.max(a2)) + mu,
            L_x0=math.hypot(nu + LARGEST_CURVATURE * in_x**2, LARGEST_CURVATURE * in_x * in_y),
            L_x1=0.0,
            L_y0=LARGEST_CURVATURE * in_y * both,
            L_y1=0.0,
            l_f0=in_y,
        )

    # F

    @property
    def _upper_terms(self) -> Terms:
        return Terms(self.upper_features, self.upper_offsets, self.upper_labels, self.form)

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of F_j over the batch, or f, shape ``(...)``."""
        t = self._upper_terms.pick(sample).margins(x, y)
        return namespace(t).mean(softplus(-t), axis=-1) + 0.5 * self.upper_ridge * dot(x, x)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of −b' σ(−t) c', + ν x, shape ``(..., d_x)``."""
        terms = self._upper_terms.pick(sample)
        weights = terms.labels * sigmoid(-terms.margins(x, y))
        return self.upper_ridge * x - terms.mean_offsets(weights)

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of −b' σ(−t) a', shape ``(..., d_y)``."""
        terms = self._upper_terms.pick(sample)
        return -terms.mean_features(terms.labels * sigmoid(-terms.margins(x, y)))

    # G

    @property
    def _lower_terms(self) -> Terms:
        return Terms(self.lower_features, self.lower_offsets, self.lower_labels, self.form)

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of G_i over the batch, or g, shape ``(...)``."""
        t = self._lower_terms.pick(sample).margins(x, y)
        return namespace(t).mean(softplus(-t), axis=-1) + 0.5 * self.lower_ridge * dot(y, y)

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """Mean of −b σ(−t) a, + μ y, shape ``(..., d_y)``."""
        terms = self._lower_terms.pick(sample)
        weights = terms.labels * sigmoid(-terms.margins(x, y))
        return self.lower_ridge * y - terms.mean_features(weights)

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """Mean of σ'(t) a (aᵀv), + μ v, shape ``(..., d_y)``; b² = 1."""
        terms = self._lower_terms.pick(sample)
        weights = sigmoid_slope(terms.margins(x, y)) * terms.along(v)
        return self.lower_ridge * v + terms.mean_features(weights)

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """Mean of σ'(t) c (aᵀv), shape ``(..., d_x)``."""
        terms = self._lower_terms.pick(sample)
        return terms.mean_offsets(sigmoid_slope(terms.margins(x, y)) * terms.along(v))

    # y* and ∇Φ

    def _precondition(self, residual: Array) -> Array:
        return rmatvec(self.inverse, residual, self.form)

    def _solver_steps(self, like: Array) -> int:
        digits = -math.log10(unit_roundoff(like))
        assert self.steps_per_digit is not None  # set by __post_init__
        return math.ceil((digits + 2) * self.steps_per_digit)

    def solution(self, x: Array) -> Array:
        """y*(x), shape ``(..., d_y)``, to the working precision.

        y ← y − M⁻¹ ∇_y g(x, y) with M = μI + ¼ AᵀA/n contracts by k/(μ + k), k = ¼ ‖AᵀA‖/n,
        because μI ≤ ∇²_yy g ≤ M ≤ (μ + k)I; as many steps as the digits of the dtype need.
        """
        origin = 0 * self.inverse[0, ...]  # (d_y,)
        start = -self._precondition(self.grad_y_lower(x, origin))
        return repeat(
            lambda y: y - self._precondition(self.grad_y_lower(x, y)), start, self._solver_steps(x)
        )

    def hypergradient(self, x: Array) -> Array:
        """∇Φ(x), shape ``(..., d_x)``; the linear system by the iteration of ``solution``."""
        y = self.solution(x)
        b = self.grad_y_upper(x, y)
        v = repeat(
            lambda v: v + self._precondition(b - self.hvp_lower(x, y, v)),
            self._precondition(b),
            self._solver_steps(x),
        )
        return self.grad_x_upper(x, y) - self.cross_lower(x, y, v)

    def value(self, x: Array) -> Array:
        """Φ(x) = f(x, y*(x)), shape ``(...)``."""
        return self.upper(x, self.solution(x))


def finite_sum(
    samples: int = 8,
    d_x: int = 2,
    d_y: int = 3,
    *,
    upper_samples: int | None = None,
    upper_ridge: float = 0.5,
    lower_ridge: float = 0.5,
    upper_batch: int = 2,
    lower_batch: int = 2,
    scale: float = 1.0,
    form: str = "matmul",
    seed: int = 0,
) -> FiniteSum:
    """A :class:`FiniteSum` on the host, with ``samples`` below and ``upper_samples`` above.

    Features and offsets are normal with standard deviation ``scale``, rounded to multiples of
    2⁻⁶, which float32 holds exactly; labels are fair. The lower data are drawn from ``seed``,
    the upper from ``seed + 1``.
    """
    upper_samples = samples if upper_samples is None else upper_samples
    counts = {"samples": samples, "d_x": d_x, "d_y": d_y, "upper_samples": upper_samples}
    for name, count in counts.items():
        _check_count(name, count)
    check_finite("scale", scale)
    above = _drawn(upper_samples, d_x, d_y, scale, seed + 1)
    below = _drawn(samples, d_x, d_y, scale, seed)
    return FiniteSum(
        *above,
        *below,
        upper_ridge=upper_ridge,
        lower_ridge=lower_ridge,
        upper_batch=upper_batch,
        lower_batch=lower_batch,
        form=form,
    )


def _drawn(
    samples: int, d_x: int, d_y: int, scale: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, offsets and labels of one level."""
    drawn = random_matrix(samples, d_y + d_x + 1, seed)
    rounded = np.round(64 * scale * drawn[:, :-1]) / 64
    return rounded[:, :d_y].copy(), rounded[:, d_y:].copy(), np.where(drawn[:, -1] < 0, -1.0, 1.0)


def _host(table: Array) -> np.ndarray:
    return to_host(table).astype(float)


def _spectral(table: np.ndarray) -> float:
    """‖table‖/√rows: its square is the largest eigenvalue of the mean of the rows' squares."""
    return float(np.linalg.norm(table, 2)) / math.sqrt(len(table))


def _check_level(level: str, terms: Terms) -> None:
    for name, array in zip(Terms._fields[:3], terms[:3], strict=True):
        if not is_array(array):
            raise TypeError(f"{level}_{name} must be an array, got {type(array).__name__}")
    rows = terms.labels.shape[0] if terms.labels.ndim == 1 else 0
    if not rows:
        raise ValueError(
            f"{level}_labels must have shape (samples,) with one sample at least, "
            f"got {tuple(terms.labels.shape)}"
        )
    for name, table in (("features", terms.features), ("offsets", terms.offsets)):
        if table.ndim != 2 or table.shape[0] != rows or not table.shape[1]:
            columns = "d_y" if name == "features" else "d_x"
            raise ValueError(
                f"{level}_{name} must have shape ({rows}, {columns}), got {tuple(table.shape)}"
            )
        check_finite(f"{level}_{name}", to_host(table))
    if not np.all(np.abs(_host(terms.labels)) == 1):
        raise ValueError(f"{level}_labels must be -1 or 1")


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number > 0, got {value!r}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and > 0, got {value!r}")
    return float(value)


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer >= 1, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
