"""Noise: the only place that touches a generator.

An algorithm says what a step needs (a *layout*: a sample whose leaves are ``Draw``), a
source fills it. ``Tape`` is the default: NumPy generators on the host, one for each of
(seed, replicate, law), read one row a step, so that the bits depend neither on how many
steps are drawn at once nor on which replicates run together. ``Replay`` hands back
samples that already exist.

Axes of every leaf: (step) (factor, lower step or S) (replicates…) one trailing axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from accbo._arrays import (
    Array,
    asarray,
    dtype_name,
    index_dtype,
    is_real_floating,
    named_leaves,
    namespace,
)
from accbo._law import LAWS, evaluate
from accbo.problem import Noise, NoiseFields

_STREAMS = {"normal": 0, "uniform": 1, "sign": 2}  # part of a generator's key: never renumber
_STREAM_OF = {"normal": "normal", "two_point": "uniform", "index": "uniform", "sign": "sign"}
_LEAST_UNIFORM = 2.0**-54  # an inverse distribution function may be infinite at 0
NO_NOISE = Noise("normal", (0,))  # a part without fields still has to show its rows


class Draw(NamedTuple):
    """One leaf of a layout: a noise field under ``leading`` axes, times ``scale``."""

    noise: Noise
    leading: tuple[int, ...] = ()
    scaled: bool = False


class Start(NamedTuple):
    """What iteration 0 consumes.

    ``warm_start``: a lower sample with leading axis T0. ``first``: a step's sample whose
    upper-level parts have a leading axis S; m_0 is the mean over it.
    """

    warm_start: Any
    first: Any


def draw_fields(
    fields: NoiseFields, leading: tuple[int, ...] = (), scaled: bool = False
) -> dict[str, Draw]:
    """The layout of one part of a sample: every field of ``fields`` under ``leading``.

    ``scaled`` marks the lower-level part, whose noise the source multiplies by its scale.
    """
    declared = fields or {"none": NO_NOISE}
    return {name: Draw(Noise(*noise), leading, scaled) for name, noise in declared.items()}


class Stream(Protocol):
    """An opened source: hands out samples in order."""

    def start(self, layout: Start) -> Start:
        """Samples of iteration 0."""

    def block(self, layout: Any, steps: int) -> Any:
        """Samples of the next ``steps`` iterations, with a leading axis for the step."""

    def position(self) -> dict[str, np.ndarray]:
        """What ``seek`` needs to go on from here; a checkpoint keeps it."""

    def seek(self, position: Mapping[str, np.ndarray]) -> None:
        """Hand out next what was next when ``position`` was taken; ``ValueError`` if none was."""


class Source(Protocol):
    """Where samples come from."""

    def open(self, like: Array) -> Stream:
        """Samples for replicates ``like.shape[:-1]``, in ``like``'s namespace and dtype."""


@dataclass(frozen=True)
class Tape:
    """Host noise: the same numbers on every backend, float32 being the rounded float64.

    ``seed`` and ``first_replicate`` name the numbers: replicate r of this tape is replicate
    0 of ``Tape(seed, first_replicate=r)``. ``lower_scale`` multiplies ALL noise of the
    lower-level sample π, curvature included: π stands for a minibatch, and a scale √ε is
    the theory's variance condition (SPEC §3). The samples ξ, ζ⁰, ζ are single, unscaled.
    """

    seed: int = 0
    lower_scale: float = 1.0
    first_replicate: int = 0

    def __post_init__(self) -> None:
        for name in ("seed", "first_replicate"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be an integer >= 0, got {value!r}")
        scale = self.lower_scale
        if not isinstance(scale, int | float) or not 0 <= scale < float("inf"):
            raise ValueError(f"lower_scale must be finite and >= 0, got {self.lower_scale!r}")

    def open(self, like: Array) -> TapeStream:
        """Generators for the replicates of ``like``, shape ``(..., d)``."""
        return TapeStream(self, like)


class TapeStream:
    """The generators of one run, read in order."""

    def __init__(self, tape: Tape, like: Array) -> None:
        self._like = like
        self._scale = float(tape.lower_scale)
        self._replicates = tuple(like.shape[:-1])
        count = int(np.prod(self._replicates, dtype=np.int64))
        self._tape, self._count = tape, count
        self._opened: dict[str, list[np.random.Generator]] = {}
        self._memory: dict[str, np.ndarray] = {}

    def start(self, layout: Start) -> Start:
        """Samples of iteration 0; ``layout`` is not repeated over steps."""
        block = self.block(layout, 1)
        start: Start = _map_layout(lambda leaf: leaf[0, ...], block)
        return start

    def block(self, layout: Any, steps: int) -> Any:
        """Samples of the next ``steps`` iterations, every leaf with a leading step axis."""
        draws = list(_draws(layout))
        raw = {
            stream: self._raw(stream, [d for d in draws if _stream_of(d) == stream], steps)
            for stream in _STREAMS
        }
        offsets = dict.fromkeys(_STREAMS, 0)

        def fill(draw: Draw) -> Array:
            stream = _stream_of(draw)
            size = _size(draw)
            part = raw[stream][:, :, offsets[stream] : offsets[stream] + size]
            offsets[stream] += size
            return self._leaf(draw, part, steps)

        return _map_layout(fill, layout)

    def position(self) -> dict[str, np.ndarray]:
        """The state of every generator in use, ``(replicates, 4)`` words a stream."""
        return {
            stream: np.array([g.bit_generator.state["state"]["state"] for g in generators])
            for stream, generators in self._opened.items()
        }

    def seek(self, position: Mapping[str, np.ndarray]) -> None:
        """Put every generator into the state that ``position`` holds.

        Raises ``ValueError`` for a position that is none of this tape's.
        """
        for stream, words in position.items():
            if stream not in _STREAMS or words.dtype != np.uint64:
                raise ValueError(f"a tape has no stream {stream!r} of {words.dtype}")
            if words.shape != (self._count, 4):
                raise ValueError(f"stream {stream} has {words.shape} words, not {self._count} × 4")
        for stream, words in position.items():
            for generator, state in zip(self._generators(stream), words, strict=True):
                whole = generator.bit_generator.state
                generator.bit_generator.state = {**whole, "state": {"state": state}}

    def _generators(self, stream: str) -> list[np.random.Generator]:
        """One generator a replicate, made when the stream is first read."""
        if stream not in self._opened:
            first, key = self._tape.first_replicate, _STREAMS[stream]
            seeds = [
                np.random.SeedSequence(self._tape.seed, spawn_key=(replicate, key))
                for replicate in range(first, first + self._count)
            ]
            self._opened[stream] = [np.random.Generator(np.random.SFC64(s)) for s in seeds]
        return self._opened[stream]

    def _raw(self, stream: str, draws: Sequence[Draw], steps: int) -> np.ndarray:
        """Unshaped numbers, (replicate, step, everything of one step)."""
        width = sum(map(_size, draws))
        if not width:
            return np.empty((self._count, steps, 0))
        generators = self._generators(stream)
        if stream == "sign":  # 64 signs a word, whole words a step
            words = -(-width // 64)
            bits = np.empty((len(generators), steps * words), dtype="<u8")
            for index, generator in enumerate(generators):
                bits[index] = generator.bit_generator.random_raw(steps * words)
            octets = bits.view(np.uint8).reshape(len(generators), steps, 8 * words)
            return np.unpackbits(octets, axis=-1, bitorder="little").view(np.int8)
        out = self._scratch(stream, (len(generators), steps, width))
        for numbers, generator in zip(out, generators, strict=True):
            draw = generator.standard_normal if stream == "normal" else generator.random
            draw(out=numbers)
        return out

    def _scratch(self, stream: str, shape: tuple[int, ...]) -> np.ndarray:
        """Memory for raw numbers, the same every time: fresh pages cost as much as the drawing."""
        size = int(np.prod(shape))
        if stream not in self._memory or self._memory[stream].size < size:
            self._memory[stream] = np.empty(size)
        return self._memory[stream][:size].reshape(shape)

    def _leaf(self, draw: Draw, part: np.ndarray, steps: int) -> Array:
        noise, leading, index = draw.noise, draw.leading, draw.noise.law == "index"
        values = _inwards(part, steps, draw)
        leaf: np.ndarray = np.asarray(
            _transform(noise, values), dtype=np.int64 if index else np.float64
        )
        if draw.scaled and not index and self._scale != 1:
            leaf *= self._scale
        leaf = leaf.reshape((steps, *leading, *self._replicates, *noise.shape))
        return asarray(leaf, self._like, index_dtype(self._like) if index else None)


def _inwards(part: np.ndarray, steps: int, draw: Draw) -> np.ndarray:
    """``(replicates, steps, size)`` as a new ``(steps, *leading, replicates, *shape)``.

    What one replicate takes at once is moved as one element: entry by entry it takes longer than
    drawing does.
    """
    entries = int(np.prod(draw.noise.shape, dtype=np.int64))
    shape = (steps, *draw.leading, len(part), *draw.noise.shape)
    if not part.size:
        return np.empty(shape, dtype=part.dtype)
    pieces = part.reshape(len(part), steps, -1, entries)
    whole = pieces.view(np.dtype((np.void, entries * part.itemsize)))[..., 0]
    # a copy in any case: the raw numbers' memory is used again
    return np.moveaxis(whole, 0, -1).copy(order="C").view(part.dtype).reshape(shape)


@dataclass(frozen=True)
class Replay:
    """Samples that already exist: ``start`` for iteration 0, then one per iteration."""

    start: Start
    steps: Iterable[Any]

    def open(self, like: Array) -> ReplayStream:
        """A stream that hands out the stored samples in order."""
        return ReplayStream(self, like)


class ReplayStream:
    """The stored samples of a ``Replay``, read in order."""

    def __init__(self, replay: Replay, like: Array) -> None:
        self._like = like
        self._start = replay.start
        self._steps: Iterator[Any] = iter(replay.steps)
        self._taken = 0

    def start(self, layout: Start) -> Start:
        """The stored start; raises ``ValueError`` where it does not fit ``layout``."""
        expect_layout(self._start, layout, self._like)
        return self._start

    def block(self, layout: Any, steps: int) -> Any:
        """The next ``steps`` samples stacked; raises ``ValueError`` where one does not fit."""
        samples = []
        for t in range(self._taken + 1, self._taken + steps + 1):
            try:
                samples.append(next(self._steps))
            except StopIteration:
                raise ValueError(
                    f"the replayed samples end after {len(samples)} of {steps} steps asked for"
                ) from None
            expect_layout(samples[-1], layout, self._like, f"iteration {t}: sample")
        self._taken += steps
        return _stack(samples)

    def position(self) -> dict[str, np.ndarray]:
        """How many samples were handed out."""
        return {"taken": np.asarray(self._taken)}

    def seek(self, position: Mapping[str, np.ndarray]) -> None:
        """Pass over the samples handed out before ``position``, from the first one on.

        Raises ``ValueError`` for a position that is none of a replay's.
        """
        taken = position.get("taken", np.asarray(-1))
        if position.keys() != {"taken"} or taken.shape or taken.dtype.kind != "i" or taken < 0:
            raise ValueError("a replay's position is how many samples were taken, and no more")
        self._taken = int(taken)
        self._steps = itertools.islice(self._steps, self._taken, None)


def check_source(noise: Any) -> Source:
    """``noise`` as a source of samples; raises ``TypeError`` unless it is one, or a seed."""
    if isinstance(noise, int) and not isinstance(noise, bool):
        return Tape(noise)
    if not hasattr(noise, "open"):
        raise TypeError(f"noise must be a seed, a Tape or another source, got {noise!r}")
    source: Source = noise
    return source


def expect_layout(sample: Any, layout: Any, like: Array, where: str = "sample") -> None:
    """Raise unless ``sample`` fits ``layout`` for the replicates of ``like``.

    ``where`` begins the name of what does not fit. ``ValueError`` for parts, fields, shapes or
    an index outside [0, n), ``TypeError`` for another namespace or dtype.
    """
    if type(sample) is not type(layout):
        raise ValueError(
            f"the algorithm takes a {type(layout).__name__}, got a {type(sample).__name__}"
        )
    for name, part in zip(layout._fields, layout, strict=True):
        given = getattr(sample, name)
        if hasattr(part, "_fields"):
            expect_layout(given, part, like, f"{where}.{name}")
            continue
        if not isinstance(part, Mapping) or not isinstance(given, Mapping):
            raise ValueError(f"{where}.{name} must map fields to arrays, got {given!r}")
        missing = [field for field in part if field not in given]
        if missing:
            raise ValueError(f"{where}.{name} lacks the fields {missing}; it has {list(given)}")
        for field, draw in part.items():
            _expect_leaf(f"{where}.{name}[{field!r}]", given[field], draw, like)


def _expect_leaf(name: str, leaf: Array, draw: Draw, like: Array) -> None:
    if namespace(leaf) is not namespace(like):
        raise TypeError(
            f"{name} is an array of {namespace(leaf).__name__}, "
            f"the run is one of {namespace(like).__name__}"
        )
    if draw.noise.law != "index" and leaf.dtype != like.dtype:
        raise TypeError(f"{name} has dtype {leaf.dtype}, the run has {like.dtype}")
    replicates = tuple(like.shape[:-1])
    if tuple(leaf.shape) != (*draw.leading, *replicates, *draw.noise.shape):
        raise ValueError(
            f"{name} has shape {tuple(leaf.shape)}; the algorithm takes "
            f"{draw.leading} + replicates {replicates} + {draw.noise.shape}"
        )
    if draw.noise.law == "index":
        _expect_index(name, leaf, draw.noise)


def _expect_index(name: str, leaf: Array, noise: Noise) -> None:
    """Libraries differ in what an index out of range gives: an error, a NaN, another row."""
    xp, below = namespace(leaf), noise.parameter
    if not xp.isdtype(leaf.dtype, "integral"):
        raise TypeError(f"{name} has dtype {dtype_name(leaf)}, an index must be an integer")
    if not bool(xp.all((leaf >= 0) & (leaf < below))):
        raise ValueError(f"{name} holds an index outside [0, {below})")


def sample_bytes(layout: Any, replicates: int) -> int:
    """Bytes of one step's sample in float64."""
    return 8 * replicates * sum(map(_size, _draws(layout)))


def non_finite(sample: Any) -> str | None:
    """The first field of ``sample`` that holds a NaN or an infinity, if any."""
    for name, leaf in named_leaves(sample):
        if is_real_floating(leaf) and not bool(namespace(leaf).all(namespace(leaf).isfinite(leaf))):
            return name
    return None


def _transform(noise: Noise, values: np.ndarray) -> np.ndarray:
    if callable(noise.law):
        own: np.ndarray = evaluate(noise.law, np.maximum(values, _LEAST_UNIFORM), "noise")
        return own
    if noise.law == "normal":
        return values
    if noise.law == "sign":
        return 2 * values - 1  # bytes still
    if noise.law == "two_point":
        p = 0.5 if noise.parameter is None else float(noise.parameter)
        drawn: np.ndarray = np.where(values < p, ((1 - p) / p) ** 0.5, -((p / (1 - p)) ** 0.5))
        return drawn
    return np.floor(values * noise.parameter).astype(np.int64)


def _stream_of(draw: Draw) -> str:
    law = draw.noise.law
    if callable(law):
        return "uniform"
    if law not in LAWS:
        raise ValueError(f"unknown law {law!r} of noise; known are {', '.join(LAWS)}")
    return _STREAM_OF[law]


def _size(draw: Draw) -> int:
    return int(np.prod((*draw.leading, *draw.noise.shape), dtype=np.int64))


def _draws(layout: Any) -> Iterable[Draw]:
    if isinstance(layout, Draw):
        yield layout
    elif isinstance(layout, Mapping):
        for part in layout.values():
            yield from _draws(part)
    else:
        for part in layout:
            yield from _draws(part)


def _map_layout(function: Any, layout: Any) -> Any:
    if isinstance(layout, Mapping):
        return {key: _map_layout(function, value) for key, value in layout.items()}
    if isinstance(layout, tuple) and not isinstance(layout, Draw):
        return type(layout)(*[_map_layout(function, part) for part in layout])
    return function(layout)


def _stack(samples: Sequence[Any]) -> Any:
    first = samples[0]
    if isinstance(first, Mapping):
        return {key: _stack([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple):
        return type(first)(*[_stack(list(parts)) for parts in zip(*samples, strict=True)])
    return namespace(first).stack(samples)


# --- random matrices of problems, not of runs ---------------------------------------------


def random_matrix(rows: int, columns: int, seed: int) -> np.ndarray:
    """A matrix of independent standard normal entries, from ``seed``."""
    return np.random.default_rng((seed, 0)).standard_normal((rows, columns))


def probe_normals(seed: int) -> Callable[[tuple[int, ...]], np.ndarray]:
    """Standard normal arrays of any shape, one after the other, from ``seed``."""
    return np.random.default_rng((seed, 2)).standard_normal


def random_rotation(size: int, seed: int) -> np.ndarray:
    """A uniformly distributed orthogonal matrix (QR with the signs fixed), from ``seed``."""
    q, r = np.linalg.qr(np.random.default_rng((seed, 1)).standard_normal((size, size)))
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)
