"""The only loop over iterations: samples in blocks, records, progress, engines.

Two engines, chosen by the arrays: a Python loop, and for JAX a compiled scan over blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from accbo._ahead import each, spare_core
from accbo._arrays import (
    Array,
    at_precision,
    is_jax,
    map_arrays,
    namespace,
    row,
    rows,
    to_host,
)
from accbo._extras import install
from accbo.divergence import divergence, warn_of_divergence
from accbo.problem import BilevelProblem
from accbo.run_checkpoint import Kept, RunCheckpoint, describe
from accbo.sampling import Source, TapeStream, check_source, non_finite, sample_bytes
from accbo.validation import check_count, check_record, check_run

# of samples drawn at once, so that memory does not grow with the steps; every replicate is asked
# once a block: with a quarter of this, that is a fifth of the drawing at 1024 replicates
BLOCK_BYTES = 32 * 2**20
BLOCK_STEPS = 4096  # and progress and Ctrl-C are never far away

Record = Mapping[str, Callable[[Any], Array]]


@dataclass(frozen=True)
class Result:
    """What a run leaves: the last state, and the records asked for.

    ``records[name]`` has a leading axis over ``iterations``, the values of
    ``state.iteration`` at which they were taken; ``state.x`` is then x_iteration.
    """

    state: Any
    records: dict[str, Array]
    iterations: np.ndarray
    problem: Any = field(default=None, repr=False, compare=False)

    @property
    def x(self) -> Any:
        """The last x, in the user's own shape where the problem has one (``from_torch``, …)."""
        return _shaped(self.problem, "x_form", self.state.x)

    @property
    def y(self) -> Any:
        """What the method takes for y*(x), the average where it keeps one; shaped as x is."""
        found = getattr(self.state, "y_average", self.state.y)
        return _shaped(self.problem, "y_form", found)

    def to_dataframe(self) -> Any:
        """The records as a pandas ``DataFrame``, a row for each of ``iterations``.

        A record of numbers is a column of its name, one of arrays a column for each entry, named
        ``x[0]`` or ``x[2, 0]`` (replicates first). Raises ``ImportError`` without pandas.
        """
        try:
            from pandas import DataFrame, Index
        except ImportError as error:
            raise ImportError(
                f"to_dataframe makes a pandas DataFrame, and pandas cannot be imported ({error}); "
                f"{install('pandas')}"
            ) from None
        columns: dict[str, np.ndarray] = {}
        for name, values in self.records.items():
            host = to_host(values)
            for entry in np.ndindex(host.shape[1:]):
                shown = f"{name}[{', '.join(map(str, entry))}]" if entry else name
                columns[shown] = host[(slice(None), *entry)]
        return DataFrame(columns, index=Index(self.iterations, name="iteration"))


def _shaped(problem: Any, name: str, flat: Array) -> Any:
    form = getattr(problem, name, None)
    return flat if form is None else form(flat)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C; ``result`` holds the run up to the last finished block."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"interrupted after iteration {result.state.iteration - 1}")
        self.result = result


class NonFiniteError(FloatingPointError):
    """A NaN or an infinity appeared; ``iteration`` and ``quantity`` say where first.

    ``why`` is a sentence about the cause, where that is known.
    """

    def __init__(self, iteration: int, quantity: str, why: str = "") -> None:
        said = f"iteration {iteration}: {quantity} holds a NaN or an infinity"
        super().__init__(f"{said}; {why}" if why else said)
        self.iteration = iteration
        self.quantity = quantity


def run(
    algorithm: Any,
    problem: BilevelProblem,
    x: Any = None,
    y: Any = None,
    *,
    steps: int,
    noise: Source | int = 0,
    warm_start: int = 0,
    first: int = 1,
    record: Record | None = None,
    every: int = 1,
    progress: bool | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_seconds: float = 30.0,
) -> Result:
    """Run ``steps`` iterations, t = 0 … steps − 1, of every replicate at once.

    ``x`` and ``y``, ``(..., d_x)`` and ``(..., d_y)``, are x_0 and y_init; every leading
    axis is an independent replicate. Left out they are the problem's own start, where it has one;
    a problem of nests takes nests too. ``noise`` is a seed, a ``Tape`` or another source of
    samples. ``warm_start`` is T0, ``first`` the number S of samples averaged into m_0.
    ``record`` maps names to pure functions of the state, evaluated whenever
    ``state.iteration`` is a multiple of ``every``. ``progress=None`` shows a bar on a
    terminal once two seconds have passed.

    ``checkpoint`` names a file that keeps the run every ``checkpoint_seconds`` and at its
    end. Where it is there already, the run goes on from it, to the same bits; deleting it
    is the caller's affair.

    With JAX arrays the run is a compiled ``lax.scan``; step sizes are traced, so that new
    ones do not recompile. Warns (``DivergenceWarning``) where ‖m‖ and the curvature show that
    the Neumann series diverges. Raises ``TypeError`` or ``ValueError`` for input that does not
    fit, ``NonFiniteError`` naming the iteration at which a NaN or infinity appeared,
    ``CheckpointError`` for a checkpoint that is damaged, newer or of another run, and on
    Ctrl-C ``Interrupted`` with the result so far.
    """
    x, y = _start_of(problem, x, y)
    check_run(algorithm, problem, x, y)
    check_count("steps", steps, 1)
    check_count("warm_start", warm_start, 0)
    check_count("first", first, 1)
    check_count("every", every, 1)
    record = check_record(record)
    source = check_source(noise)
    stream = source.open(x)
    engine: Engine = (
        _Scan(algorithm, problem, record)
        if is_jax(x)
        else _Loop(at_precision(algorithm, x), problem, record)
    )
    history = _History(record, problem)
    kept = None
    if checkpoint is not None:
        counts = {"steps": steps, "warm_start": warm_start, "first": first, "every": every}
        settings = describe(algorithm, problem, x, y, source, record=list(record), **counts)
        kept = RunCheckpoint(Path(checkpoint), settings, checkpoint_seconds)
    from tqdm.auto import tqdm  # late: a quarter of the package's own start

    bar = tqdm(
        total=steps,
        unit="step",
        leave=False,
        delay=2,
        disable=None if progress is None else not progress,
    )
    with bar, np.errstate(all="ignore"):  # divergence is named by iteration, below
        start = stream.start(algorithm.draw_start(problem, warm_start, first))
        if bad := non_finite(start):
            raise NonFiniteError(0, f"sample.{bad}")
        state = engine.init(x, y, start)
        if bad := non_finite(state):
            raise NonFiniteError(0, bad)
        if record and every == 1:
            history.add(1, engine.measure(state))
        if kept and (found := kept.load(state, x, engine.measure, stream)):
            state = found.state
            history.restore(found.records, found.iterations)
        bar.update(state.iteration)
        try:
            segments = _segments(algorithm, problem, x, state.iteration, steps, record and every)

            def drawn(segment: _Segment) -> Any:
                return stream.block(algorithm.draw(problem, segment.refresh), segment.steps)

            # a tape alone, since another source may not bear a thread; and no checkpoint, which
            # keeps where the tape stands after the segment
            tape = isinstance(stream, TapeStream) and isinstance(x, np.ndarray)
            for segment, samples in each(segments, drawn, tape and not kept and spare_core()):
                try:
                    state, taken = _advance(engine, state, samples, segment)
                except _StoppedError as stopped:
                    why = divergence(algorithm, problem, stopped.before)
                    raise NonFiniteError(stopped.iteration, stopped.quantity, why) from None
                history.extend(segment, taken)
                bar.update(segment.steps)
                if kept and (kept.due() or state.iteration == steps):
                    kept.save(Kept(state, *history.taken(), stream.position()))
        except KeyboardInterrupt:
            raise Interrupted(history.result(state)) from None
    warn_of_divergence(algorithm, problem, state)
    return history.result(state)


def _start_of(problem: Any, x: Any, y: Any) -> tuple[Array, Array]:
    """x and y as vectors, the problem's own where they are left out."""
    own = getattr(problem, "start_point", None)
    began = own() if callable(own) and (x is None or y is None) else (x, y)
    given = []
    for name, part, start in (("x", x, began[0]), ("y", y, began[1])):
        form, found = getattr(problem, f"{name}_form", None), start if part is None else part
        given.append(found if form is None or found is None else form.flat(found))
    return given[0], given[1]


class _StoppedError(Exception):
    """What is not finite from ``iteration`` on; ``before`` is the last state that is."""

    def __init__(self, before: Any, iteration: int, quantity: str) -> None:
        super().__init__(iteration, quantity)
        self.before, self.iteration, self.quantity = before, iteration, quantity


class _Segment(NamedTuple):
    """``groups`` × ``length`` iterations of one kind, a record after every group or none."""

    first: int  # iteration of the first step
    refresh: bool
    groups: int
    length: int
    recorded: bool

    @property
    def steps(self) -> int:
        return self.groups * self.length


def _segments(
    algorithm: Any, problem: BilevelProblem, x: Array, t: int, steps: int, every: Any
) -> Iterator[_Segment]:
    """Iterations t … steps − 1 cut at blocks, at refreshes and, if recording, at records."""
    replicates = int(np.prod(x.shape[:-1], dtype=np.int64))
    while t < steps:
        refresh = algorithm.refreshes(t)
        size = max(1, sample_bytes(algorithm.draw(problem, refresh), replicates))
        room = min(steps - t, max(1, min(BLOCK_STEPS, BLOCK_BYTES // size)))
        length = 1
        while length < room and algorithm.refreshes(t + length) == refresh:
            length += 1
        segment = _Segment(t, refresh, 1, length, False)
        if every and t % every == 0 and length >= every:
            segment = _Segment(t, refresh, length // every, every, True)
        elif every:
            length = min(length, every - t % every)
            segment = _Segment(t, refresh, 1, length, (t + length) % every == 0)
        yield segment
        t += segment.steps


def _advance(engine: Engine, state: Any, samples: Any, segment: _Segment) -> tuple[Any, Any]:
    """One segment; finiteness is tested once, and a bad segment replayed to name the step."""
    after, taken = engine.advance(state, samples, segment)
    if non_finite(after) is None:
        return after, taken
    one = segment._replace(groups=1, length=1, recorded=False)
    for index in range(segment.steps):
        if bad := non_finite(row(samples, index)):
            raise _StoppedError(state, segment.first + index, f"sample.{bad}")
        only, before = slice(index, index + 1), state
        state, _ = engine.advance(state, _slice(samples, only), one)
        if bad := non_finite(state):
            raise _StoppedError(before, segment.first + index, bad)
    raise AssertionError("a block was not finite, its replay is")  # engines must agree


def _slice(samples: Any, steps: slice) -> Any:
    return map_arrays(lambda leaf: leaf[steps, ...], samples)


class _History:
    """The records taken so far; nothing is kept unless asked for."""

    def __init__(self, record: Record, problem: Any) -> None:
        self._problem = problem
        self._parts: dict[str, list[Array]] = {name: [] for name in record}
        self._iterations: list[int] = []

    def add(self, iteration: int, values: Mapping[str, Array]) -> None:
        """Values of one state."""
        self._iterations.append(iteration)
        for name, value in values.items():
            self._parts[name].append(value[None, ...])

    def extend(self, segment: _Segment, values: Mapping[str, Array]) -> None:
        """Values of a segment, one row a group."""
        if segment.recorded:
            ends = [segment.first + (g + 1) * segment.length for g in range(segment.groups)]
            self._iterations.extend(ends)
            for name, value in values.items():
                self._parts[name].append(value)

    def restore(self, records: Mapping[str, Array], iterations: np.ndarray) -> None:
        """Replace everything by what a checkpoint kept."""
        self._iterations = [int(iteration) for iteration in iterations]
        self._parts = {name: [] for name in self._parts}
        for name, values in records.items():
            self._parts[name].append(values)

    def taken(self) -> tuple[dict[str, Array], np.ndarray]:
        """The records so far and their iterations."""
        records = {
            name: namespace(parts[0]).concat(parts) for name, parts in self._parts.items() if parts
        }
        return records, np.asarray(self._iterations, dtype=np.int64)

    def result(self, state: Any) -> Result:
        """The result with ``state`` as the last one."""
        return Result(state, *self.taken(), self._problem)


class Engine(Protocol):
    """How a segment of iterations is carried out."""

    def init(self, x: Array, y: Array, start: Any) -> Any:
        """Warm start and iteration 0."""

    def measure(self, state: Any) -> dict[str, Array]:
        """The records of one state."""

    def advance(self, state: Any, samples: Any, segment: _Segment) -> tuple[Any, Any]:
        """The state after the segment and its records, one row a group."""


class _Loop:
    """Every namespace but JAX: one step after the other."""

    def __init__(self, algorithm: Any, problem: BilevelProblem, record: Record) -> None:
        self._algorithm, self._problem, self._record = algorithm, problem, record

    def init(self, x: Array, y: Array, start: Any) -> Any:
        return self._algorithm.init(self._problem, x, y, start)

    def measure(self, state: Any) -> dict[str, Array]:
        return {name: function(state) for name, function in self._record.items()}

    def advance(self, state: Any, samples: Any, segment: _Segment) -> tuple[Any, Any]:
        step, problem = self._algorithm.step, self._problem
        taken: list[dict[str, Array]] = []
        for index in range(segment.steps):
            state = step(problem, state, row(samples, index))
            if segment.recorded and (index + 1) % segment.length == 0:
                taken.append(self.measure(state))
        stacked = {
            name: namespace(taken[0][name]).stack([values[name] for values in taken])
            for name in (self._record if taken else ())
        }
        return state, stacked


class _Scan:
    """JAX: compiled, ``lax.scan`` over a block; iteration numbers stay on the host."""

    def __init__(self, algorithm: Any, problem: BilevelProblem, record: Record) -> None:
        self._functions = _compiled(tuple(record.items()))
        self._algorithm, self._problem = _as_pytree(algorithm), _as_pytree(problem)

    def init(self, x: Array, y: Array, start: Any) -> Any:
        state = self._functions.init(self._algorithm, self._problem, x, y, start)
        return state._replace(iteration=1)

    def measure(self, state: Any) -> dict[str, Array]:
        measured: dict[str, Any] = self._functions.measure(state)
        return measured

    def advance(self, state: Any, samples: Any, segment: _Segment) -> tuple[Any, Any]:
        if segment.recorded:  # else one group, whose own axis would cost two copies
            shape = (segment.groups, segment.length)
            samples = map_arrays(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), samples)
        state, taken = self._functions.advance(
            self._algorithm, self._problem, state, samples, segment.recorded
        )
        return state._replace(iteration=segment.first + segment.steps), taken


class _Opaque:
    """A problem or algorithm that is no pytree, carried through ``jit`` as a constant."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _as_pytree(value: Any) -> Any:
    from jax import tree_util

    leaves = tree_util.tree_leaves(value)
    return _Opaque(value) if any(leaf is value for leaf in leaves) else value


class _Functions(NamedTuple):
    init: Callable[..., Any]
    measure: Callable[..., Any]
    advance: Callable[..., Any]


@functools.cache
def _compiled(record: tuple[tuple[str, Callable[[Any], Array]], ...]) -> _Functions:
    """The jitted functions for one set of records; JAX caches by shapes and statics."""
    import jax

    _register_opaque()

    def measure(state: Any) -> dict[str, Array]:
        return {name: function(state) for name, function in record}

    def init(algorithm: Any, problem: Any, x: Array, y: Array, start: Any) -> Any:
        return _open(algorithm).init(_open(problem), x, y, start)

    def advance(
        algorithm: Any, problem: Any, state: Any, samples: Any, recorded: bool
    ) -> tuple[Any, Any]:
        algorithm, problem = _open(algorithm), _open(problem)

        def one(state: Any, sample: Any) -> tuple[Any, None]:
            return algorithm.step(problem, state, sample), None

        def group(state: Any, samples: Any) -> tuple[Any, Any]:
            if rows(samples) == 1:
                state = algorithm.step(problem, state, row(samples, 0))
            else:
                state, _ = jax.lax.scan(one, state, samples)
            return state, measure(state) if recorded else None

        return jax.lax.scan(group, state, samples) if recorded else group(state, samples)

    return _Functions(jax.jit(init), jax.jit(measure), jax.jit(advance, static_argnums=4))


@functools.cache
def _register_opaque() -> None:
    from jax import tree_util

    tree_util.register_pytree_node(_Opaque, lambda opaque: ((), opaque), lambda opaque, _: opaque)


def _open(value: Any) -> Any:
    return value.value if isinstance(value, _Opaque) else value
