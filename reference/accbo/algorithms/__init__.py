"""The algorithms; one file each, ``step`` reading like the paper's pseudo-code."""

from accbo.algorithms.accbo import AccBO, AccBOSample, AccBOState, Parts

__all__ = ["AccBO", "AccBOSample", "AccBOState", "Parts"]
