"""AccBO, a verified numerical reference implementation (arXiv 2409.19212)."""

from accbo import problems, schedules
from accbo._arrays import move
from accbo.algorithms import AccBO, AccBOSample, AccBOState, Parts
from accbo.checkpoint import CheckpointError
from accbo.problem import BilevelProblem, Constants, Noise
from accbo.run import Interrupted, NonFiniteError, Result, run
from accbo.sampling import Replay, Start, Tape

__version__ = "0.1.0"

__all__ = [
    "AccBO",
    "AccBOSample",
    "AccBOState",
    "BilevelProblem",
    "CheckpointError",
    "Constants",
    "Interrupted",
    "Noise",
    "NonFiniteError",
    "Parts",
    "Replay",
    "Result",
    "Start",
    "Tape",
    "move",
    "problems",
    "run",
    "schedules",
]
