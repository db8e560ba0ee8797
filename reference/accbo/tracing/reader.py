"""A trace read line by line, in blocks, each sentence naming the line that is wrong.

Nothing is held but a block: a file of any size is read in the same memory.
"""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accbo._printable import one_line
from accbo._utf8 import NotUTF8Error, without_mark
from accbo.tracing.layout import DTYPES, FORMAT, VERSION
from accbo.tracing.recorder import part_path

LONGEST = 64 * 2**20  # bytes of a line
WORDS: dict[str, tuple[str, ...]] = {
    "neumann_sampling": ("chained", "independent", "randomised"),
    "order": ("simultaneous", "sequential"),
}
COUNTS = {"neumann_terms": 1000, "period": 10**9, "lower_steps": 10**6, "warm_start": 10**9}
BLOCK_ROWS, BLOCK_BYTES = 1024, 4 * 2**20


class TraceError(ValueError):
    """A trace that cannot be read; its text is one sentence."""


@dataclass(frozen=True)
class Header:
    """What the first line declares."""

    algorithm: str
    constants: dict[str, Any]
    dtype: str
    arithmetic: str
    seed: int
    directions: int
    run: str
    sizes: dict[str, tuple[int, ...]]  # of the leaves of x and y, as far as they are known


@dataclass
class Lines:
    """Where a reader is, and what it found beside the rows."""

    path: Path
    number: int = 0
    notes: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None

    def error(self, what: str) -> TraceError:
        """The sentence, with the place."""
        return TraceError(f"{self.path}, line {self.number}: {what}")


Blocks = Iterator[list[dict[str, Any]]]
Wait = Callable[[], bool]  # called at the end of the file; whether to look again


def read(path: Path, wait: Wait = lambda: False) -> tuple[Header, Lines, Blocks]:
    """The header, and the iterations in blocks of raw lines, checked one by one.

    The parts of a rotated trace follow each other. ``wait`` is asked at the end of what is there.
    Whoever reads calls ``close`` of the lines at the end.
    Raises ``TraceError``, here or in the iterator, and ``OSError``.
    """
    lines = Lines(path)
    source = _Source(path)
    lines.close = source.close
    try:
        first = source.next(lines)
        while first is None and wait():
            first = source.next(lines)
        if first is None:
            raise TraceError(f"{path} has no header: a trace begins with one whole line")
        header = _header(_json(first, lines), lines)
    except BaseException:
        source.close()
        raise
    return header, lines, _blocks(source, header, lines, wait)


def _blocks(source: _Source, header: Header, lines: Lines, wait: Wait) -> Blocks:
    part, path = 1, lines.path
    expected: int | None = None
    while True:
        block, expected = _block(source, expected, lines)
        if block:
            yield block
            continue
        following = part_path(path, part + 1)
        if source.half or not following.is_file():
            if wait():
                continue
            if source.half:
                where = f"{lines.path}, line {lines.number + 1}"
                lines.notes.append(f"{where}: cut off in the middle, and left out")
            return
        source.close()
        part, lines.path, lines.number = part + 1, following, 0
        source = _Source(following)
        lines.close = source.close
        start = source.next(lines)
        if start is None:
            return
        _same_run(_header(_json(start, lines), lines), header, lines)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """The collector of cycles is off: a block of lines is 10⁵ lists, and no cycle."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _block(
    source: _Source, expected: int | None, lines: Lines
) -> tuple[list[dict[str, Any]], int | None]:
    """The iterations that are there, of one block at most, and the t that must follow."""
    block: list[dict[str, Any]] = []
    size = 0
    with no_collection():
        while len(block) < BLOCK_ROWS and size < BLOCK_BYTES:
            raw = source.next(lines)
            if raw is None:
                break
            row = _json(raw, lines)
            expected = _checked(row, expected, lines)
            block.append(row)
            size += len(raw)
    return block, expected


class _Source:
    """The whole lines of a file that may still grow; ``half`` is what stands after the last."""

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise TraceError(f"{path} is a folder, a trace is a file")
        self._file = open(path, "rb")  # noqa: SIM115  closed below, or at its end
        self.half = b""

    def next(self, lines: Lines) -> bytes | None:
        """The next whole line, None where there is none yet."""
        self.half += self._file.readline(LONGEST + 1 - len(self.half))
        if not self.half.endswith(b"\n"):
            if len(self.half) > LONGEST:
                lines.number += 1
                raise lines.error(f"it is longer than {LONGEST >> 20} MiB: this is no trace")
            return None
        line, self.half = self.half, b""
        lines.number += 1
        return line if lines.number > 1 else _first(line, lines)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _first(line: bytes, lines: Lines) -> bytes:
    try:
        return without_mark(line)
    except NotUTF8Error as error:
        raise lines.error(f"{error}; a trace is UTF-8") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON; a number that is not finite is null")


def _fast_decoder() -> Callable[[bytes], Any]:
    """msgspec's where it is installed, which takes a fifth of the time."""
    try:
        import msgspec
    except ImportError:
        return _slow
    decode = msgspec.json.Decoder().decode

    def fast(raw: bytes) -> Any:
        try:
            return decode(raw)
        except msgspec.DecodeError:
            return _slow(raw)  # whose sentences are the same everywhere

    return fast


def _slow(raw: bytes) -> Any:
    return _DECODER.decode(raw.decode())


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


_decoded = _fast_decoder()


def _json(raw: bytes, lines: Lines) -> dict[str, Any]:
    try:
        row = _decoded(raw)
    except RecursionError:
        raise lines.error("it is nested too deeply for a trace") from None
    except ValueError as error:
        raise lines.error(f"it is no JSON: {one_line(str(error), 120)}") from None
    if not isinstance(row, dict):
        raise lines.error(f"it is a JSON {type(row).__name__}, an object belongs here")
    return row


# --- the header -----------------------------------------------------------------------------------


def _header(row: dict[str, Any], lines: Lines) -> Header:
    if row.get("format") != FORMAT:
        raise lines.error(f'it is no trace: its header has "format": "{FORMAT}"')
    if row.get("version") != VERSION:
        found = one_line(str(row.get("version")), 40)
        raise lines.error(f"version {found} of the format is not known, {VERSION} is")

    def of(name: str, kind: type, default: Any = None) -> Any:
        value = row.get(name, default)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise lines.error(f"the header's {name} is missing or no {kind.__name__}")
        return value

    dtype, arithmetic = of("dtype", str), of("arithmetic", str, "float64")
    for name in (dtype, arithmetic):
        if name not in DTYPES:
            known = ", ".join(DTYPES)
            raise lines.error(f"dtype {one_line(name, 40)!r} is not known; known: {known}")
    constants = of("constants", dict)
    for name, value in constants.items():
        if trouble := _trouble(name, value):
            raise lines.error(f"the constant {one_line(name, 40)} {trouble}")
    directions = of("directions", int)
    if not 1 <= directions <= 16:
        raise lines.error(f"there are {directions} directions, 1 to 16 belong here")
    sizes: dict[str, tuple[int, ...]] = {s: tuple(of(s, list)) for s in ("x", "y") if s in row}
    if any(not isinstance(n, int) or n < 0 for leaves in sizes.values() for n in leaves):
        raise lines.error("x and y are lists of the numbers of entries of their leaves")
    return Header(
        algorithm=of("algorithm", str),
        constants=constants,
        dtype=dtype,
        arithmetic=arithmetic,
        seed=of("seed", int),
        directions=directions,
        run=of("run", str, ""),
        sizes=sizes,
    )


def _trouble(name: str, value: Any) -> str:
    """What is wrong with a declared constant; nothing otherwise."""
    if name in WORDS:
        known = WORDS[name]
        return "" if value in known else f"is one of {', '.join(known)}"
    if type(value) is int and name in COUNTS:
        return "" if 0 <= value <= COUNTS[name] else f"lies between 0 and {COUNTS[name]}"
    if type(value) not in (int, float) or name in COUNTS:
        return "is no number"
    return "" if abs(value) <= 1e300 else "is too large"


def _same_run(found: Header, header: Header, lines: Lines) -> None:
    for name in ("run", "algorithm", "seed", "directions", "dtype"):
        if getattr(found, name) != getattr(header, name):
            raise lines.error(
                f"this part has another {name} than the first: it belongs to another run"
            )


# --- a row ----------------------------------------------------------------------------------------


def _checked(row: dict[str, Any], expected: int | None, lines: Lines) -> int:
    """The t that must follow; what else a row holds is looked at in ``Rows``."""
    t = row.get("t")
    if t == "start":
        if expected is not None:
            raise lines.error('"start" comes before the first iteration')
        return 0
    if isinstance(t, bool) or not isinstance(t, int):
        if "format" in row:
            raise lines.error("a second header: two runs are in one file")
        raise lines.error('an iteration has its number, "t": 0, 1, 2, …')
    if t < 0 or (expected is not None and t != expected):
        wanted = "0 or more" if expected is None else str(expected)
        raise lines.error(f"iteration {t} stands where {wanted} belongs: none may be left out")
    return t + 1
