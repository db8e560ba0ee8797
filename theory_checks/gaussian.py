"""Exact tests of a Gaussian vector whose mean and covariance are predicted.

Whitened with the prediction, the R samples are standard normal if it holds. Then R‖mean‖² is
χ²_k, and the triangular factor T of the Wishart matrix Σ w wᵀ = T Tᵀ has independent entries,
T_ij standard normal below the diagonal and T_ii² with law χ²_{R−i}, i = 0, 1, … (Bartlett 1933):
every entry of the mean and of the covariance is judged, by one number each.
"""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.linalg import solve_triangular

from .statistics import Finding, equal_variance

LARGEST_SCORE = 37.0  # of a normal: its tail beyond is below the smallest double


def whiten(samples: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """L⁻¹(v − mean) for every row v of ``samples`` ``(R, k)``, LLᵀ being the covariance.

    Raises ``numpy.linalg.LinAlgError`` unless ``covariance`` ``(k, k)`` is positive definite.
    """
    factor = np.linalg.cholesky(covariance)
    return solve_triangular(factor, (samples - mean).T, lower=True, check_finite=False).T


def predicted_mean(quantity: str, white: np.ndarray) -> Finding:
    """Whether whitened samples ``(R, k)`` have mean 0: R‖mean‖²/k is χ²_k/k, so 1 on average."""
    count, size = white.shape
    mean = np.mean(white, axis=0)
    return equal_variance(quantity, 1.0, float(count * (mean @ mean)) / size, size)


def predicted_covariance(quantity: str, white: np.ndarray) -> Finding:
    """Whether whitened samples ``(R, k)`` of mean 0 have covariance I, R ≥ k.

    The k(k + 1)/2 entries of T as standard normal scores; the mean of their squares is 1.
    """
    scores = wishart_scores(white)
    return equal_variance(quantity, 1.0, float(np.mean(scores**2)), len(scores))


def wishart_scores(white: np.ndarray) -> np.ndarray:
    """The entries of T as standard normal numbers, ``(k(k + 1)/2,)``."""
    count, size = white.shape
    triangle = np.asarray(np.linalg.qr(white, mode="r")).T
    triangle = triangle * np.where(np.diag(triangle) < 0, -1.0, 1.0)
    squares, freedom = np.diag(triangle) ** 2, count - np.arange(size)
    low, high = stats.chi2.cdf(squares, freedom), stats.chi2.sf(squares, freedom)
    # the smaller tail of the two keeps its digits
    diagonal = np.where(low < high, stats.norm.ppf(low), stats.norm.isf(high))
    scores = np.concatenate((triangle[np.tril_indices(size, -1)], diagonal))
    return np.clip(scores, -LARGEST_SCORE, LARGEST_SCORE)
