"""A finite sum drawn in batches, as a finite sum of blocks drawn one at a time.

SABA keeps a table row for every term of its sums. Over single samples those tables would be as
large as the data times the dimension; over blocks of B samples they are B times smaller, and one
derivative costs what a batch of B costs the other methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from accbo._arrays import Array, asarray, traceable
from accbo.problem import BilevelProblem, Noise, NoiseFields, Sample


@traceable
@dataclass(frozen=True, eq=False)
class Blocks:
    """``problem`` whose terms are blocks of as many samples as its batches have.

    What is left over when the batch does not divide the samples is never drawn. Raises
    ``ValueError`` for a problem whose noise is not one batch of indices a level.
    """

    problem: BilevelProblem

    def __post_init__(self) -> None:
        for name in ("upper_noise", "lower_noise"):
            laws = [noise.law for noise in getattr(self.problem, name).values()]
            if laws != ["index"]:
                raise ValueError(f"blocks need one batch of indices; {name} has the laws {laws}")

    @property
    def d_x(self) -> int:
        """Dimension of x."""
        return self.problem.d_x

    @property
    def d_y(self) -> int:
        """Dimension of y."""
        return self.problem.d_y

    @property
    def upper_noise(self) -> NoiseFields:
        """ξ: a block of upper samples."""
        return _blocks(self.problem.upper_noise)

    @property
    def lower_noise(self) -> NoiseFields:
        """ζ: a block of lower samples."""
        return _blocks(self.problem.lower_noise)

    @property
    def hessian_noise(self) -> NoiseFields:
        """The same block."""
        return self.lower_noise

    @property
    def cross_noise(self) -> NoiseFields:
        """The same block."""
        return self.lower_noise

    def upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """F of a block, shape ``(...)``."""
        return self.problem.upper(x, y, self._above(sample))

    def grad_x_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_x F of a block, shape ``(..., d_x)``."""
        return self.problem.grad_x_upper(x, y, self._above(sample))

    def grad_y_upper(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y F of a block, shape ``(..., d_y)``."""
        return self.problem.grad_y_upper(x, y, self._above(sample))

    def lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """G of a block, shape ``(...)``."""
        return self.problem.lower(x, y, self._below(sample))

    def grad_y_lower(self, x: Array, y: Array, sample: Sample = None) -> Array:
        """∇_y G of a block, shape ``(..., d_y)``."""
        return self.problem.grad_y_lower(x, y, self._below(sample))

    def hvp_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_yy G v of a block, shape ``(..., d_y)``."""
        return self.problem.hvp_lower(x, y, v, self._below(sample))

    def cross_lower(self, x: Array, y: Array, v: Array, sample: Sample = None) -> Array:
        """∇²_xy G v of a block, shape ``(..., d_x)``."""
        return self.problem.cross_lower(x, y, v, self._below(sample))

    def _above(self, sample: Sample) -> Sample:
        return _expanded(self.problem.upper_noise, sample)

    def _below(self, sample: Sample) -> Sample:
        return _expanded(self.problem.lower_noise, sample)


def _blocks(noise: NoiseFields) -> dict[str, Noise]:
    ((name, law),) = noise.items()
    (batch,) = law.shape
    assert law.parameter is not None  # the law has no meaning without it
    return {name: Noise("index", (1,), max(1, int(law.parameter) // batch))}


def _expanded(noise: NoiseFields, sample: Any) -> Sample:
    """The indices of the samples in a block, ``(..., B)``."""
    if sample is None:
        return None
    ((name, law),) = noise.items()
    (batch,) = law.shape
    block = sample[name]
    return {name: block * batch + asarray(np.arange(batch), block, block.dtype)}
