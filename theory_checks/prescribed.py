"""An algorithm on a prescribed path, so that its laws below and in the momentum are exact."""

from __future__ import annotations

from typing import Any

from accbo._arrays import Array


class OnPath:
    """``algorithm``, whatever it is, with x_{t+1} = x_t + ``drift`` in place of its own x.

    Everything else is the algorithm's own: what it makes of the path is what is judged. A
    mistake in its upper step alone is therefore not seen here.
    """

    def __init__(self, algorithm: Any, drift: Array) -> None:
        self._algorithm, self._drift = algorithm, drift

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def init(self, problem: Any, x: Array, y: Array, start: Any) -> Any:
        """Iteration 0."""
        state = self._algorithm.init(problem, x, y, start)
        return state._replace(x=x + self._drift)

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        """Iteration t ≥ 1."""
        after = self._algorithm.step(problem, state, sample)
        return after._replace(x=state.x + self._drift)
