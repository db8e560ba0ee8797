"""The algorithms; one file each, ``step`` reading like the paper's pseudo-code."""

from accbo.algorithms.accbo import AccBO, AccBOSample, AccBOState, Parts
from accbo.algorithms.borep import BOREP, BOREPSample, BOREPState
from accbo.algorithms.masoba import MASOBA, MASOBASample, MASOBAState
from accbo.algorithms.saba import SABA, SABASample, SABAState, SABATables
from accbo.algorithms.slip import SLIP, SLIPSample, SLIPState
from accbo.algorithms.stocbio import StocBiO, StocBiOSample, StocBiOState
from accbo.algorithms.sustain import SUSTAIN, SUSTAINSample, SUSTAINState
from accbo.algorithms.ttsa import TTSA, TTSASample, TTSAState
from accbo.algorithms.vrbo import VRBO, VRBOBatch, VRBOSample, VRBOState

__all__ = [
    "BOREP",
    "MASOBA",
    "SABA",
    "SLIP",
    "SUSTAIN",
    "TTSA",
    "VRBO",
    "AccBO",
    "AccBOSample",
    "AccBOState",
    "BOREPSample",
    "BOREPState",
    "MASOBASample",
    "MASOBAState",
    "Parts",
    "SABASample",
    "SABAState",
    "SABATables",
    "SLIPSample",
    "SLIPState",
    "SUSTAINSample",
    "SUSTAINState",
    "StocBiO",
    "StocBiOSample",
    "StocBiOState",
    "TTSASample",
    "TTSAState",
    "VRBOBatch",
    "VRBOSample",
    "VRBOState",
]
