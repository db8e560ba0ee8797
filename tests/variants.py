"""Variants of an algorithm, as the oracle takes somebody's implementation."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from accbo.conformance.mistakes.changes import resume, timed
from accbo.conformance.vectors.replay import shown

Make = Callable[[Any], Sequence[Any]]


def implementation(make: Make, method: str) -> Any:
    """A factory of the algorithms ``make(declared)``; of several, one is drawn every step."""
    draw = random.Random(1)

    class Implementation:
        batched, algorithm = True, method

        def __init__(self, problem: Any, declared: Any, state: Any) -> None:
            self.problem, self.made = problem, make(declared)
            self.now, self.t = resume(self.made[0], state), state.iteration

        def step(self, sample: Any) -> None:
            with np.errstate(all="ignore"):
                chosen = draw.choice(self.made)
                self.now = chosen.step(self.problem, self.now, timed(chosen, self.t, sample))
            self.t += 1

        def state(self) -> dict[str, Any]:
            return shown(self.now)

    def begin(problem: Any, declared: Any, x: Any, y: Any, start: Any) -> Any:
        made = Implementation.__new__(Implementation)
        made.problem, made.made, made.t = problem, make(declared), 1
        given = start._replace(first=timed(made.made[0], 0, start.first))
        with np.errstate(all="ignore"):
            made.now = made.made[0].init(problem, x, y, given)
        return made

    Implementation.start = staticmethod(begin)  # type: ignore[attr-defined]
    return Implementation
