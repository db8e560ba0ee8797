"""The algorithms; one file each, ``step`` reading like the paper's pseudo-code."""

from accbo.algorithms.accbo import AccBO, AccBOParts, AccBOSample, AccBOState
from accbo.algorithms.borep import BOREP, BOREPParts, BOREPSample, BOREPState
from accbo.algorithms.masoba import MASOBA, MASOBAParts, MASOBASample, MASOBAState
from accbo.algorithms.saba import SABA, SABAParts, SABASample, SABAState, SABATables
from accbo.algorithms.slip import SLIP, SLIPParts, SLIPSample, SLIPState
from accbo.algorithms.stocbio import StocBiO, StocBiOParts, StocBiOSample, StocBiOState
from accbo.algorithms.sustain import SUSTAIN, SUSTAINParts, SUSTAINSample, SUSTAINState
from accbo.algorithms.ttsa import TTSA, TTSAParts, TTSASample, TTSAState
from accbo.algorithms.vrbo import VRBO, VRBOBatch, VRBOParts, VRBOSample, VRBOState

__all__ = [
    "BOREP",
    "MASOBA",
    "SABA",
    "SLIP",
    "SUSTAIN",
    "TTSA",
    "VRBO",
    "AccBO",
    "AccBOParts",
    "AccBOSample",
    "AccBOState",
    "BOREPParts",
    "BOREPSample",
    "BOREPState",
    "MASOBAParts",
    "MASOBASample",
    "MASOBAState",
    "SABAParts",
    "SABASample",
    "SABAState",
    "SABATables",
    "SLIPParts",
    "SLIPSample",
    "SLIPState",
    "SUSTAINParts",
    "SUSTAINSample",
    "SUSTAINState",
    "StocBiO",
    "StocBiOParts",
    "StocBiOSample",
    "StocBiOState",
    "TTSAParts",
    "TTSASample",
    "TTSAState",
    "VRBOBatch",
    "VRBOParts",
    "VRBOSample",
    "VRBOState",
]
