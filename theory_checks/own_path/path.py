"""AccBO's own path, and the tape's samples beside it, drawn a second time by the check.

The path is what an implementation would show: x, y, ŷ and m of every iteration. Nothing that it
keeps of the past (x_{t−1}, y_{t−1}, ŷ_{t−1}) is read: those are earlier rows of the path.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from accbo import AccBO, Tape, move, run
from accbo._arrays import asarray, to_host

from ..backends import like
from ..harness import Settings
from ..own_path import dense
from ..own_path.dense import Noise

RECORD = {
    "x": lambda state: state.x,
    "y": lambda state: state.y,
    "average": lambda state: state.y_average,
    "momentum": lambda state: state.momentum,
}
LONGEST = 256  # iterations drawn at once
Fields = dict[str, np.ndarray]


class Path(NamedTuple):
    """x_0 … x_T, y_0 … y_T and ŷ_0 … ŷ_T ``(T + 1, R, d)``; m_0 … m_{T−1} ``(T, R, d_x)``."""

    x: np.ndarray
    y: np.ndarray
    average: np.ndarray
    momentum: np.ndarray

    def points(self, algorithm: AccBO) -> tuple[np.ndarray, np.ndarray]:
        """Where h_t is taken: (x_t, ŷ_t), or (x_t, ŷ_{t+1}) in the sequential order."""
        late = algorithm.order == "sequential"
        return self.x[:-1], self.average[1:] if late else self.average[:-1]


class Samples(NamedTuple):
    """The tape's samples: those of h for m_0 ``(S, R, …)`` and for t = 1 … T − 1, and π.

    ``lower`` holds the iterations that take lower steps, ``(iterations, N, R, d)`` by field, and
    ``steps`` N.
    """

    first: Noise
    later: Noise
    lower: Fields
    steps: int


def starting_points(problem: Any, replicates: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x_0 and y_init, standard normal, ``(R, d)``."""
    generator = np.random.default_rng((seed, 4))
    return tuple(generator.standard_normal((replicates, d)) for d in (problem.d_x, problem.d_y))  # type: ignore[return-value]


def trace(
    settings: Settings,
    problem: Any,
    algorithm: AccBO,
    start: tuple[np.ndarray, np.ndarray],
    tape: Tape,
    steps: int,
    first: int = 1,
    warm_start: int = 0,
) -> tuple[Path, Samples]:
    """``steps`` iterations of the algorithm under test from ``start``, and their samples.

    y_0 = ŷ_0 is not taken from it: it is what T0 = ``warm_start`` steps from y_init make.
    """
    here = like(settings.backend)
    result = run(
        settings.apply_fault(algorithm),
        move(problem, here),
        *(asarray(part, here) for part in start),
        steps=steps,
        noise=tape,
        first=first,
        warm_start=warm_start,
        record=RECORD,
    )
    found = {name: to_host(values) for name, values in result.records.items()}
    x, y = start
    samples, warm = _redraw(problem, algorithm, x, tape, steps, first, warm_start)
    y, _ = dense.nesterov_steps(problem, algorithm, x[None], (y[None], y[None]), warm, warm_start)
    path = Path(
        np.concatenate((x[None], found["x"])),
        np.concatenate((y, found["y"])),
        np.concatenate((y, found["average"])),
        found["momentum"],
    )
    return path, samples


def _redraw(
    problem: Any,
    algorithm: AccBO,
    x: np.ndarray,
    tape: Tape,
    steps: int,
    first: int,
    warm_start: int,
) -> tuple[Samples, Fields]:
    """The samples that AccBO as declared takes from ``tape``, whatever ran on it before.

    The second are those of the warm start, under an axis of one iteration.
    """
    stream = tape.open(x)
    beginning = stream.start(algorithm.draw_start(problem, warm_start, first))
    start = beginning.first
    lower, later = [{k: v[None] for k, v in start.lower.items()}], []
    t = 1
    while t < steps:
        refresh, count = algorithm.refreshes(t), 1
        while t + count < steps and count < LONGEST and algorithm.refreshes(t + count) == refresh:
            count += 1
        block = stream.block(algorithm.draw(problem, refresh), count)
        later.append(block)
        if refresh:
            lower.append(block.lower)
        t += count
    joined = {
        part: _joined([getattr(block, part) for block in later])
        for part in ("upper", "cross", "hessian", "power")
    }
    samples = Samples(
        first=_noise({part: getattr(start, part) for part in joined}),
        later=_noise(joined),
        lower=_joined(lower),
        steps=next(iter(start.lower.values())).shape[0],
    )
    return samples, {name: leaf[None] for name, leaf in beginning.warm_start.items()}


def _joined(blocks: list[Fields]) -> Fields:
    names = blocks[0] if blocks else ()
    return {name: np.concatenate([block[name] for block in blocks]) for name in names}


def _noise(parts: dict[str, Fields]) -> Noise:
    """As ``dense`` reads them: the rows of ζ behind the replicates."""
    inward = {name: np.moveaxis(leaf, 1, -2) for name, leaf in parts["hessian"].items()}
    return Noise(parts["upper"], parts["cross"], inward, parts["power"])
