"""The known mistakes of AccBO (SPEC §6): ``FAULTS[name].apply(algorithm)`` makes one of them.

A check counts only when it has been seen to fail. ``variants`` are the ways in which somebody
else's program may make the mistake, on the samples of the right algorithm. The catalogue of the
oracle holds these and slips that no law of the theory has a reason to see.
"""

from __future__ import annotations

from accbo.conformance.methods import DEFAULT, METHODS
from accbo.conformance.mistakes.mistake import Fault

FAULTS: dict[str, Fault] = {
    name: fault for name, fault in METHODS[DEFAULT].faults.items() if fault.laws
}

__all__ = ["FAULTS", "Fault"]
