"""A finite sum drawn in batches, as a finite sum of blocks drawn one at a time.

All methods draw the same blocks, for two reasons. SABA keeps a table row for every term of its
sums: over blocks of B samples its tables are B times smaller, and one derivative costs it what a
batch of B costs the others. And the largest curvature of a realisation, which bounds the lower
step and scales the series, is that of the steepest block, known exactly and far below that of
the longest single sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import Array, asarray, dot, traceable
from accbo.problem import Noise, NoiseFields, Sample
from accbo.problems.wrapped import Wrapped


@traceable
@dataclass(frozen=True, eq=False)
class Blocks(Wrapped):
    """``problem`` whose terms are blocks of as many samples as its batches have.

    Block b of n takes the samples b, b + n, b + 2n …, so that data sorted by class mix. What is
    left over when the batch does not divide the samples is never drawn. ``groups`` is the number
    of equal sets of samples that a batch has a part of, one behind the other. ``upper_ridge`` ν
    adds ½ν‖x‖² to every F. Raises
    ``ValueError`` for a problem whose noise is not one batch of indices a level.
    """

    groups: int = 1
    upper_ridge: float = 0.0

    def __post_init__(self) -> None:
        for name in ("upper_noise", "lower_noise"):
            laws = [noise.law for noise in getattr(self.problem, name).values()]
            if laws != ["index"]:
                raise ValueError(f"blocks need one batch of indices; {name} has the laws {laws}")

    @property
    def upper_noise(self) -> NoiseFields:
        """ξ: a block of upper samples."""
        return _blocks(self.problem.upper_noise, self.groups)

    @property
    def lower_noise(self) -> NoiseFields:
        """ζ: a block of lower samples."""
        return _blocks(self.problem.lower_noise, self.groups)

    @property
    def hessian_noise(self) -> NoiseFields:
        """The same block."""
        return self.lower_noise

    @property
    def cross_noise(self) -> NoiseFields:
        """The same block."""
        return self.lower_noise

    def above(self, sample: Sample) -> Sample:
        """The samples of a block of F."""
        return _expanded(self.problem.upper_noise, self.groups, sample)

    def below(self, sample: Sample) -> Sample:
        """The samples of a block of G."""
        return _expanded(self.problem.lower_noise, self.groups, sample)

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F of a block with its ridge, shape ``(...)``."""
        return super().upper(x, y, sample) + 0.5 * self.upper_ridge * dot(x, x)

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F of a block with its ridge, shape ``(..., d_x)``."""
        return super().grad_x_upper(x, y, sample) + self.upper_ridge * x


def steepest_block(features: np.ndarray, batch: int) -> float:
    """The largest eigenvalue of AᵀA/B over the blocks A ``(B, d)`` of ``features`` ``(n, d)``."""
    count = len(features) // batch
    blocks = (features[block : count * batch : count] for block in range(count))
    return max(float(np.linalg.norm(block, 2)) ** 2 / batch for block in blocks)


def _blocks(noise: NoiseFields, groups: int) -> dict[str, Noise]:
    ((name, law),) = noise.items()
    assert law.parameter is not None  # the law has no meaning without it
    count = int(law.parameter) // (law.shape[0] // groups)
    if count < 1:
        raise ValueError(f"a batch has more samples than the {law.parameter} there are")
    return {name: Noise("index", (1,), count)}


def _expanded(noise: NoiseFields, groups: int, sample: Any) -> Sample:
    """The indices of the samples in a block, ``(..., B)``."""
    if sample is None:
        return None
    ((name, law),) = noise.items()
    batch, block = law.shape[0] // groups, sample[name]
    assert law.parameter is not None  # as above
    offsets = np.tile(int(law.parameter) // batch * np.arange(batch), groups)
    return {name: block + asarray(offsets, block, block.dtype)}
