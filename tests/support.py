"""Cases, stored tapes, and tolerances derived from a condition estimate."""

from __future__ import annotations

import dataclasses
import functools
import signal
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pytest

import accbo
from accbo._arrays import map_arrays, move, named_leaves, row, to_host
from accbo.problems import (
    LowerNoise,
    UpperNoise,
    finite_sum,
    nonquadratic,
    quadratic,
    relaxed_smooth,
)
from accbo.sampling import Replay, Tape
from tests.backends import need

U64, U32 = 2.0**-53, 2.0**-24
ROUNDOFF = {"float64": U64, "float32": U32}


class Case(NamedTuple):
    """A problem, an algorithm and a start; host arrays, every number short in binary."""

    problem: Any
    algorithm: Any
    x: np.ndarray
    y: np.ndarray
    warm_start: int = 3
    first: int = 2

    def start(self) -> dict[str, int]:
        """The keyword arguments of ``run`` that belong to the start."""
        return {"warm_start": self.warm_start, "first": self.first}

    def to(self, backend: Any, dtype: str = "float64") -> Case:
        """The same case on another backend."""
        moved = [backend.move(part, dtype) for part in (self.problem, self.x, self.y)]
        return Case(moved[0], backend.guard(self.algorithm), *moved[1:], *self[4:])

    def run(self, steps: int, noise: Any, **options: Any) -> Any:
        """``accbo.run`` of the case."""
        return accbo.run(
            self.algorithm,
            self.problem,
            self.x,
            self.y,
            steps=steps,
            noise=noise,
            **{**self.start(), **options},
        )


UPPER = UpperNoise(0.5, 0.25, 0.25, 0.125)
LOWER = LowerNoise(additive=0.5, curvature=0.25, coupling=0.25)
SKEWED = dataclasses.replace(UPPER, law="two_point", probability=0.125)
SPECTRUM = (1.0, 1.5, 2.0)

# the largest curvature of a realisation is 2 + ½ + ¼ at most; every value is exact in float32
ALGORITHM = accbo.AccBO(
    lower_step_size=0.25,
    lower_momentum=0.375,
    averaging=0.25,
    momentum=0.875,
    upper_step_size=2.0**-6,
    neumann_terms=4,
    neumann_scale=3.0,
)
X, Y = np.array([0.5, -0.75]), np.array([0.25, 0.5, -0.25])


def changed(**changes: Any) -> accbo.AccBO:
    """``ALGORITHM`` with other hyper-parameters."""
    return dataclasses.replace(ALGORITHM, **changes)


def problem(kind: str, **changes: Any) -> Any:
    """One of the four problems at d_x = 2, d_y = 3 with every kind of noise it has."""
    if kind == "finite_sum":
        return finite_sum(8, 2, 3, **{"upper_samples": 6, "lower_batch": 3, "seed": 4, **changes})
    build = {"quadratic": quadratic, "cosh": relaxed_smooth, "nonquadratic": nonquadratic}[kind]
    options = {"noise_upper": UPPER, "noise_lower": LOWER, "form": "matmul", "seed": 3}
    return build(SPECTRUM, 2, **{**options, **changes})


PROBLEMS = ("quadratic", "cosh", "nonquadratic")  # whose noise is UpperNoise and LowerNoise
ALL_PROBLEMS = (*PROBLEMS, "finite_sum")


def case(name: str) -> Case:
    """A case of each option, order and sampling; ``plain`` is the one of long runs."""
    if name == "plain":
        return Case(problem("nonquadratic", weights=(0.25, 0.375)), ALGORITHM, X, Y)
    if name == "restarts":
        algorithm = changed(
            period=3, lower_steps=2, order="sequential", neumann_sampling="independent"
        )
        return Case(problem("cosh"), algorithm, X, Y)
    if name == "batches":
        algorithm = changed(neumann_sampling="independent")
        return Case(problem("finite_sum"), algorithm, X, Y)
    algorithm = changed(neumann_sampling="randomised", order="sequential")
    return Case(problem("quadratic", noise_upper=SKEWED), algorithm, X, Y)


CASES = ("plain", "restarts", "randomised", "batches")


def batch(values: np.ndarray, replicates: int, spread: float = 0.25) -> np.ndarray:
    """``values`` and shifted copies of it, shape (replicates, d)."""
    return values + spread * np.arange(replicates)[:, None] * np.cos(np.arange(values.size))


def bits(tree: Any) -> dict[str, bytes]:
    """Every array of ``tree`` as bytes, by name."""
    return {name: to_host(leaf).tobytes() for name, leaf in named_leaves(tree)}


def fields(state: Any) -> dict[str, np.ndarray]:
    """The arrays of a state on the host."""
    return {name: to_host(leaf) for name, leaf in named_leaves(state)}


def stored(case: Case, steps: int, seed: int = 1, dtype: str = "float64") -> Replay:
    """What ``Tape(seed)`` hands to a run of ``case``, as values."""
    algorithm, problem = case.algorithm, case.problem
    stream = Tape(seed).open(case.x.astype(dtype))
    start = stream.start(algorithm.draw_start(problem, case.warm_start, case.first))
    layouts = (algorithm.draw(problem, algorithm.refreshes(t)) for t in range(1, steps))
    return Replay(start, tuple(row(stream.block(layout, 1), 0) for layout in layouts))


def exact(case: Case, steps: int, replay: Replay) -> Any:
    """The last state of the same source at 50 digits, on the same samples."""
    mp = need("mparray")
    return case.to(mp).run(steps, move(replay, mp.like)).state


def condition(
    case: Case, steps: int, replay: Replay, copies: int = 16, size: float = 2.0**-30
) -> dict[str, float]:
    """K of every field: the RMS displacement of the last state per unit of perturbation.

    ``copies`` float64 runs on the same samples meet relative perturbations of standard
    deviation ``size``, fresh in every entry of every state array after every step. To first
    order K·u is then what roundings of relative size u, one an entry and step, add up to.
    """
    generator = np.random.default_rng(0)
    weights = np.r_[0.0, np.full(copies, size)]  # copy 0 stays as it is

    def shared(sample: Any) -> Any:
        return map_arrays(lambda leaf: leaf[..., None, :], sample)

    def disturbed(state: Any) -> Any:
        def leaf_of(leaf: Any) -> Any:  # a table has two axes behind that of the copies
            weight = weights.reshape(-1, *(1,) * (leaf.ndim - 1))
            return leaf * (1 + weight * generator.standard_normal(leaf.shape))

        return map_arrays(leaf_of, state)

    x, y = (np.repeat(start[None], copies + 1, axis=0) for start in (case.x, case.y))
    state = case.algorithm.init(case.problem, x, y, shared(replay.start))
    state = disturbed(state)
    for sample in replay.steps[: steps - 1]:
        state = disturbed(case.algorithm.step(case.problem, state, shared(sample)))
    moved = {name: leaf[1:] - leaf[:1] for name, leaf in fields(state).items()}
    return {name: float(np.sqrt(np.sum(d**2) / copies)) / size for name, d in moved.items()}


def errors(state: Any, truth: Any) -> dict[str, float]:
    """‖state − truth‖ of every field, subtracted at 50 digits."""
    mp = need("mparray")
    known = type(state.x) is type(mp.like)  # moving goes through float64
    moved = dict(named_leaves(state if known else move(state, mp.like)))
    return {
        name: float(np.linalg.norm(to_host(moved[name] - leaf)))
        for name, leaf in named_leaves(truth)
    }


def press_ctrl_c() -> NoReturn:
    """As a user does: by the signal, which tells it from an exception of somebody's code."""
    signal.raise_signal(signal.SIGINT)
    raise AssertionError("the signal is ignored here")


class Truth(NamedTuple):
    """The exact last state, and K of every field."""

    state: Any
    K: dict[str, float]


@functools.cache
def truth(name: str, steps: int, dtype: str = "float64") -> Truth:
    """The 50-digit run and the condition of a case on the tape of seed 1."""
    numpy = need("numpy")
    # what the dtype cannot hold is rounded before the exact run, as it is for the others
    rounded = case(name).to(numpy, dtype).to(numpy, "float64")
    replay = move(stored(case(name), steps, dtype=dtype), numpy.like)
    return Truth(exact(rounded, steps, replay), condition(rounded, steps, replay))


# --- wrong parts ----------------------------------------------------------------------------


def _parts(**changes: Any) -> property:
    """The parts of every instance, some of them others."""
    return property(
        lambda self: self.__dict__["parts"]._replace(**changes),
        lambda self, value: self.__dict__.__setitem__("parts", value),
    )


def made_of(cls: type, **changes: Any) -> type:
    """A subclass some of whose parts are others."""
    return type(f"Wrong{cls.__name__}", (cls,), {"parts": _parts(**changes)})


def replace_parts(monkeypatch: pytest.MonkeyPatch, cls: type, **changes: Any) -> None:
    """Let every instance of ``cls`` have other parts until the test ends."""
    monkeypatch.setattr(cls, "parts", _parts(**changes))


# --- cases that show a mistake ----------------------------------------------------------------


def evidence(method: str, name: str) -> list[Any]:
    """Some vectors: of the fast tier, and a few that a fault fails, a run among them."""
    from accbo.conformance.check import select

    vectors = select(algorithm=method)
    fast = [vector for vector in vectors if vector.fast]
    flagged = [vector for vector in vectors if name in vector.flags]
    runs = [vector for vector in flagged if vector.kind == "trajectory"]
    chosen = [*fast[:: max(1, len(fast) // 20)], *flagged[:2], *flagged[-2:], *runs[:1]]
    return list({vector.id: vector for vector in chosen}.values())
