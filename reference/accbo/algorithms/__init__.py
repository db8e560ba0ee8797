"""The algorithms; one file each, ``step`` reading like the paper's pseudo-code."""

from accbo.algorithms.accbo import AccBO, AccBOSample, AccBOState, Parts
from accbo.algorithms.slip import SLIP, SLIPSample, SLIPState

__all__ = ["SLIP", "AccBO", "AccBOSample", "AccBOState", "Parts", "SLIPSample", "SLIPState"]
