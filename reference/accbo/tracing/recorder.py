"""What a training loop writes: ten lines in the loop, a few numbers an iteration in the file."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from accbo._arrays import is_traced
from accbo._printable import one_line
from accbo.tracing.checksum import checksum
from accbo.tracing.layout import (
    DTYPES,
    FORMAT,
    GROUP,
    GROUPS,
    NUMBER,
    SAMPLE,
    SAMPLES,
    VECTOR,
    VECTORS,
    VERSION,
    entry,
)
from accbo.tracing.projection import (
    Projector,
    arithmetic,
    largest,
    leaves_of,
    sizes_of,
    to_host,
)

Names = tuple[Any, ...]
_CLAMPED, _LARGEST = ("momentum",), ("momentum_max",)


class Recorder:
    """Writes the trace of one run to ``path``.

    ``algorithm`` is one of the package's algorithms, or its name with the hyper-parameters in
    ``constants``; ``warm_start`` T0 and ``first`` S belong there too. ``dtype`` is the coarsest
    arithmetic in which the loop combines its vectors (``float64``, ``float32``, ``tf32``,
    ``float16``, ``bfloat16``); without it, that of x. ``seed`` makes the directions.

        with Recorder("run.jsonl", algorithm="AccBO", constants={"momentum": 0.9, …}) as recorder:
            for batch in batches:
                with recorder.step():
                    recorder.log(x=x, y=y, y_average=y_average)
                    …
                    recorder.log(momentum=m)

    A file that is there already is replaced, lines are written ``buffer`` at a time and whole, and
    after ``rotate`` bytes the trace goes on in ``run.2.jsonl``, ``run.3.jsonl``, … Raises
    ``ValueError`` or ``TypeError`` with one sentence for a name that the format lacks or a vector
    that is not shaped like x or y.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        algorithm: Any,
        constants: Mapping[str, Any] | None = None,
        warm_start: int | None = None,
        first: int | None = None,
        dtype: str | None = None,
        seed: int = 0,
        directions: int = 2,
        buffer: int = 64,
        rotate: int | None = None,
    ) -> None:
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"dtype is one of {', '.join(DTYPES)}, got {dtype!r}")
        if directions < 1 or buffer < 1:
            raise ValueError("directions and buffer are at least 1")
        self.path = Path(path)
        self._named = algorithm if isinstance(algorithm, str) else type(algorithm).__name__
        declared = {} if isinstance(algorithm, str) else hyper_parameters(algorithm)
        declared |= {"warm_start": warm_start, "first": first}
        declared |= constants or {}
        self._constants = {k: _plain(k, v) for k, v in declared.items() if v is not None}
        self._dtype, self._seed, self._directions = dtype, int(seed), int(directions)
        self._buffer, self._rotate = buffer, rotate
        self._projectors: dict[str, Projector] = {}
        self._arithmetic = "float64"
        self._run = secrets.token_hex(8)
        self._part, self._written, self._lines = 0, 0, list[str]()
        self._file: Any = None
        self._row: list[tuple[Names, int, Any]] | None = None
        self._prefix: Names = ()
        self._next = 0

    # --- in the loop --------------------------------------------------------------------------

    @contextlib.contextmanager
    def step(self) -> Iterator[Recorder]:
        """One iteration; what is logged in the body is its line. t counts from 0."""
        with self._line(self._next):
            yield self
        self._next += 1

    @contextlib.contextmanager
    def start(self) -> Iterator[Recorder]:
        """Before the first iteration: y as it was given, and the warm start's lower steps."""
        if self._next or self._lines or self._part:
            raise ValueError("start() comes before the first step()")
        with self._line("start"):
            yield self

    @contextlib.contextmanager
    def part(self, *names: str | int) -> Iterator[Recorder]:
        """What is logged in the body belongs to ``names``, say ``"new"`` or ``"lower"``."""
        before = self._prefix
        self._prefix = (*before, *names)
        try:
            yield self
        finally:
            self._prefix = before

    def log(self, **values: Any) -> None:
        """Vectors (any nest of arrays) and samples (integers, or nests of arrays) by name.

        A list, such as ``power``, takes one entry a call. Under ``jax.jit`` the numbers come out
        by an ordered ``io_callback``; samples are then to be logged outside.
        """
        if self._row is None:
            raise ValueError("log() belongs into the body of step() or start()")
        for name, value in values.items():
            path = (*self._prefix, name)
            kind, space = self._entry(path)
            if kind in (SAMPLE, SAMPLES):
                self._row.append((path, kind, checksum(value)))
            elif kind in (VECTOR, VECTORS):
                self._log_vector(path, kind, self._projected(path, space, value))
                if path == _CLAMPED:
                    self._log_vector(_LARGEST, NUMBER, largest(leaves_of(value)))
            elif kind == NUMBER:
                self._row.append((path, kind, value))
            else:
                raise ValueError(f"{name} is a group of names: use part({name!r})")

    # --- numbers that are made elsewhere ---------------------------------------------------------

    def measure(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The numbers of a nest of names as a line has them; a pure function of the vectors.

        For compiled loops: returned from the compiled function, or stacked by a scan, they go to
        ``add`` or ``add_all``. Samples pass through. A list of vectors is a Python list.
        """
        return self._measured((), values)

    def declare(self, **constants: Any) -> None:
        """Further constants of the header; ``ValueError`` once it has been written."""
        if self._part:
            raise ValueError("constants are declared before the first line is written")
        self._constants |= {name: _plain(name, value) for name, value in constants.items()}

    def numbers(self, space: str, vector: Any) -> Any:
        """The norm and the projections of a vector shaped like ``space``, x or y."""
        return self._projected((space,), space, vector)

    @property
    def constants(self) -> dict[str, Any]:
        """What the header declares."""
        return dict(self._constants)

    def add(self, measured: Mapping[str, Any]) -> None:
        """One iteration from what ``measure`` returned."""
        with self.step():
            self._put((), measured)

    def add_all(self, measured: Mapping[str, Any]) -> None:
        """Many iterations: what ``measure`` returned with a leading axis over them."""
        host = _on_host(measured)
        for index in range(_length(host)):
            self.add(_taken(host, index))

    # --- its end ----------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what has been logged."""
        if not self._lines:
            return
        if self._file is None:
            self._open()
        text = "".join(self._lines).encode()
        self._lines.clear()
        self._file.write(text)
        self._written += len(text)
        if self._rotate is not None and self._written >= self._rotate:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Write the rest and close the file; a second call does nothing."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- inside -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _line(self, t: int | str) -> Iterator[None]:
        if self._row is not None:
            raise ValueError("step() and start() do not nest")
        self._row, self._t = [], t
        try:
            yield
            self._finish(t)
        finally:
            self._row = None

    def _entry(self, path: Names) -> tuple[int, Any]:
        try:
            return entry(path, self._row is not None and self._t == "start")
        except KeyError as error:
            raise ValueError(str(error.args[0])) from None

    def _log_vector(self, path: Names, kind: int, numbers: Any) -> None:
        assert self._row is not None
        if not is_traced(numbers):
            self._row.append((path, kind, numbers))
            return
        from jax.experimental import io_callback

        def receive(numbers: Any) -> None:
            if self._row is not None:
                self._row.append((path, kind, np.asarray(numbers)))

        io_callback(receive, None, numbers, ordered=True)

    def _projected(self, path: Names, space: str, value: Any) -> Any:
        leaves = leaves_of(value)
        sizes = sizes_of(leaves)
        if space not in self._projectors:
            if not sum(sizes):
                raise ValueError(f"{'.'.join(map(str, path))} is an empty vector")
            self._projectors[space] = Projector(self._seed, space, sizes, self._directions)
            if any(map(is_traced, leaves)):
                self._arithmetic = arithmetic(leaves[0])
            if self._dtype is None:
                self._dtype = coarsest(leaves)
        projector = self._projectors[space]
        if sizes != projector.leaves:
            raise ValueError(
                f"{'.'.join(map(str, path))} has leaves of {_sizes(sizes)} entries, "
                f"what was logged before as a vector like {space} has {_sizes(projector.leaves)}"
            )
        return projector(leaves)

    def _measured(self, path: Names, values: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in values.items():
            here = (*path, name)
            kind, space = self._entry(here)
            if kind == GROUP:
                found[name] = self._measured(here, value)
            elif kind == GROUPS:
                found[name] = [self._measured((*here, i), one) for i, one in enumerate(value)]
            elif kind == VECTOR:
                found[name] = self._projected(here, space, value)
                if here == _CLAMPED:
                    found["momentum_max"] = largest(leaves_of(value))
            elif kind == VECTORS:
                found[name] = [self._projected(here, space, one) for one in value]
            else:
                found[name] = value
        return found

    def _put(self, path: Names, measured: Mapping[str, Any]) -> None:
        assert self._row is not None
        for name, value in measured.items():
            here = (*path, name)
            kind, _ = self._entry(here)
            if kind == GROUP:
                self._put(here, value)
            elif kind == GROUPS:
                for index, one in enumerate(value):
                    self._put((*here, index), one)
            elif kind in (VECTOR, NUMBER):
                self._row.append((here, kind, value))
            elif kind == VECTORS:
                self._row.extend((here, kind, one) for one in value)
            elif kind == SAMPLES:
                self._row.extend((here, kind, checksum(one)) for one in value)
            else:
                self._row.append((here, kind, checksum(value)))

    def _finish(self, t: int | str) -> None:
        """The line of what was logged."""
        assert self._row is not None
        if "jax" in _loaded():
            import jax

            jax.effects_barrier()
        places = [i for i, (_, kind, _) in enumerate(self._row) if kind in (VECTOR, VECTORS)]
        for place, numbers in zip(places, to_host([self._row[i][2] for i in places]), strict=True):
            path, kind, _ = self._row[place]
            self._row[place] = (path, kind, [_number(value) for value in numbers])
        line: dict[str, Any] = {"t": t}
        for path, kind, value in self._row:
            value = _number(value) if kind == NUMBER else value
            _insert(line, path, kind, value)
        self._lines.append(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
        if len(self._lines) >= self._buffer:
            self.flush()

    def _open(self) -> None:
        self._part += 1
        path = part_path(self.path, self._part)
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115  closed by close
        self._written = 0
        header = {
            "format": FORMAT,
            "version": VERSION,
            "run": self._run,
            "part": self._part,
            "algorithm": self._named,
            "constants": self._constants,
            "dtype": self._dtype or "float64",
            "arithmetic": self._arithmetic,
            "seed": self._seed,
            "directions": self._directions,
        }
        header |= {s: list(p.leaves) for s, p in self._projectors.items()}
        self._file.write((json.dumps(header, separators=(",", ":")) + "\n").encode())


def part_path(path: Path, part: int) -> Path:
    """Where part ``part`` of a trace is: the path, or with the number before its suffix."""
    return path if part == 1 else path.with_name(f"{path.stem}.{part}{path.suffix}")


def hyper_parameters(algorithm: Any) -> dict[str, Any]:
    """The declared constants of one of the package's algorithms."""
    values = {f.name: getattr(algorithm, f.name) for f in dataclasses.fields(algorithm)}
    return {k: v for k, v in values.items() if isinstance(v, int | float | str)}


def coarsest(leaves: list[Any]) -> str:
    """The name of the arithmetic of the leaf with the largest unit roundoff."""
    names = {str(leaf.dtype).rpartition(".")[2] for leaf in leaves}
    unknown = names - set(DTYPES)
    if unknown:
        raise TypeError(
            f"vectors hold real floating-point numbers, got {one_line(', '.join(sorted(unknown)))}"
        )
    return max(names, key=lambda name: DTYPES[name])


def _plain(name: str, value: Any) -> Any:
    """A declared constant as JSON has it."""
    if isinstance(value, str | bool | int):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is a number or a word, got {type(value).__name__}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _insert(line: dict[str, Any], path: Names, kind: int, value: Any) -> None:
    here: Any = line
    for name, following in itertools.pairwise(path):
        if isinstance(name, int):
            while len(here) <= name:
                here.append({})
            here = here[name]
        else:
            here = here.setdefault(name, [] if isinstance(following, int) else {})
    if kind in (VECTORS, SAMPLES):
        here.setdefault(path[-1], []).append(value)
    elif path[-1] in here:
        raise ValueError(f"{'.'.join(map(str, path))} was logged twice in one iteration")
    else:
        here[path[-1]] = value


def _sizes(sizes: tuple[int, ...]) -> str:
    return " + ".join(map(str, sizes)) or "no"


def _loaded() -> Any:
    import sys

    return sys.modules


def _on_host(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _on_host(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_on_host(value) for value in tree]
    return np.asarray(tree)


def _length(tree: Any) -> int:
    while isinstance(tree, dict | list):
        tree = next(iter(tree.values())) if isinstance(tree, dict) else tree[0]
    return int(tree.shape[0])


def _taken(tree: Any, index: int) -> Any:
    if isinstance(tree, dict):
        return {key: _taken(value, index) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_taken(value, index) for value in tree]
    return tree[index]
