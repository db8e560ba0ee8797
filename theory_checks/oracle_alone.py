"""A problem as a stochastic method may see it: derivatives on samples, and the constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accbo._arrays import traceable
from accbo.problem import Constants, Sample, constants_of
from accbo.problems.wrapped import Wrapped


@traceable
@dataclass(frozen=True, eq=False)
class OracleAlone(Wrapped):
    """The problem without y*(x), ∇Φ(x) or anything else that is no oracle call.

    Raises ``ValueError`` where it is asked without a sample: that is an expectation.
    """

    @property
    def constants(self) -> Constants | None:
        """A schedule may know them."""
        return constants_of(self.problem)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a method is handed an oracle alone, which has no {name!r}")

    def sample(self, sample: Sample) -> Sample:
        """The same, if there is one."""
        if not sample:
            raise ValueError("a derivative without a sample is an expectation, and no oracle call")
        return sample
