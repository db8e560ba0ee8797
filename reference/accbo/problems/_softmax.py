"""Multinomial logistic loss of logits ``(..., K)``: its value, derivatives and their bounds."""

from __future__ import annotations

import math

import numpy as np

from accbo._arrays import Array, namespace

# ‖softmax − e_k‖ ≤ √2. diag(p) − ppᵀ ≤ ½ I: the variance of u under p is at most
# (max u − min u)²/4 ≤ ‖u‖²/2. Its derivative along w is E (u − ū)²(w − w̄), at most the variance
# times max w − min w ≤ √2 ‖w‖.
LARGEST_SLOPE = math.sqrt(2)
LARGEST_CURVATURE = 0.5
CURVATURE_LIPSCHITZ = 1 / math.sqrt(2)


def cross_entropy(logits: Array, targets: Array) -> Array:
    """log Σ exp(logits) − targets·logits, shape ``(...)``; ``targets`` is one-hot."""
    xp = namespace(logits)
    top = xp.max(logits, axis=-1, keepdims=True)
    spread = xp.log(xp.sum(xp.exp(logits - top), axis=-1))
    return top[..., 0] + spread - xp.sum(targets * logits, axis=-1)


def softmax(logits: Array) -> Array:
    """exp(logits)/Σ exp(logits), shape ``(..., K)``."""
    xp = namespace(logits)
    powers = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=-1, keepdims=True)


def curvature_product(p: Array, u: Array) -> Array:
    """(diag(p) − ppᵀ) u, shape ``(..., K)``: the loss's second derivative, p the softmax."""
    return p * (u - namespace(u).sum(p * u, axis=-1, keepdims=True))


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Host ``labels`` 0 … classes − 1 as unit vectors, shape ``(..., classes)``.

    Raises ``ValueError`` for labels that are no integers of that range.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.size == 0:
        raise ValueError(f"labels must be integers 0 … {classes - 1}, got {labels.dtype}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels must be 0 … {classes - 1}, got values from {labels.min()} to {labels.max()}"
        )
    values: np.ndarray = np.eye(classes)[labels]
    return values
