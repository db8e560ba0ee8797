"""AccBO, a verified numerical reference implementation (arXiv 2409.19212)."""

from accbo import problems, schedules
from accbo._arrays import move
from accbo.algorithms import (
    SABA,
    SLIP,
    SUSTAIN,
    TTSA,
    VRBO,
    AccBO,
    AccBOSample,
    AccBOState,
    Parts,
    SABASample,
    SABAState,
    SABATables,
    SLIPSample,
    SLIPState,
    StocBiO,
    StocBiOSample,
    StocBiOState,
    SUSTAINSample,
    SUSTAINState,
    TTSASample,
    TTSAState,
    VRBOBatch,
    VRBOSample,
    VRBOState,
)
from accbo.checkpoint import CheckpointError
from accbo.counting import Calls, count_calls
from accbo.problem import BilevelProblem, Constants, Noise
from accbo.run import Interrupted, NonFiniteError, Result, run
from accbo.sampling import Replay, Start, Tape

__version__ = "0.1.0"

__all__ = [
    "SABA",
    "SLIP",
    "SUSTAIN",
    "TTSA",
    "VRBO",
    "AccBO",
    "AccBOSample",
    "AccBOState",
    "BilevelProblem",
    "Calls",
    "CheckpointError",
    "Constants",
    "Interrupted",
    "Noise",
    "NonFiniteError",
    "Parts",
    "Replay",
    "Result",
    "SABASample",
    "SABAState",
    "SABATables",
    "SLIPSample",
    "SLIPState",
    "SUSTAINSample",
    "SUSTAINState",
    "Start",
    "StocBiO",
    "StocBiOSample",
    "StocBiOState",
    "TTSASample",
    "TTSAState",
    "Tape",
    "VRBOBatch",
    "VRBOSample",
    "VRBOState",
    "count_calls",
    "move",
    "problems",
    "run",
    "schedules",
]
