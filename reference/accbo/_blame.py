"""Who is to blame: an exception in a sentence, with the user's own line and what to do about it."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Any

from accbo._printable import clean, one_line

LONGEST = 300  # characters of an exception's text


def text_of(error: BaseException) -> str:
    """The text of an exception on one line, whatever its ``__str__`` does."""
    try:
        return one_line(str(error), LONGEST)
    except BaseException:
        return "(its text cannot be made)"


def described(error: BaseException) -> str:
    """Type and text of an exception on one line, where it was raised, and a hint if known."""
    name, text = clean(type(error).__name__), text_of(error)
    said = f"{name}: {text}" if text else name
    return f"{said}{place(error)}{hint(error)}"


def place(error: BaseException) -> str:
    """`` (FILE, line N)``: the last frame of the user's own that ``error`` came through, or "".

    Code that is neither Python's, nor ours, nor installed is the user's; failing that, code of an
    installed package that is not an array library.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return located(error.filename, error.lineno or 0)
    frames = list(_frames(error.__traceback__))
    for own in (is_own, _is_installed):
        for code, line in reversed(frames):
            if own(code.co_filename):
                return located(code.co_filename, line)
    return ""


def defined(*candidates: Any) -> str:
    """`` (FILE, line N)`` of the first of ``candidates`` that the user wrote, or ""."""
    for candidate in candidates:
        for function in (candidate, *_methods(candidate)):
            with contextlib.suppress(Exception):
                code = getattr(inspect.unwrap(function), "__code__", None)
                if isinstance(code, CodeType) and is_own(code.co_filename):
                    return located(code.co_filename, code.co_firstlineno)
    return ""


def _methods(thing: Any) -> list[Any]:
    methods = vars(thing) if isinstance(thing, type) else {}
    return [value for value in methods.values() if inspect.isfunction(value)]


def _frames(trace: TracebackType | None) -> Iterator[tuple[CodeType, int]]:
    while trace is not None:
        yield trace.tb_frame.f_code, trace.tb_lineno
        trace = trace.tb_next


def located(path: str, line: int) -> str:
    """`` (FILE, line N)``, the file as seen from the current folder."""
    here = os.path.join(os.getcwd(), "")
    return f" ({clean(path.removeprefix(here))}, line {line})"


@functools.cache
def _folders() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where Python's and our code lie, and where packages are installed."""
    ours = os.path.dirname(os.path.abspath(__file__))
    paths = sysconfig.get_paths()
    python = {paths["stdlib"], paths["platstdlib"], sysconfig.get_path("stdlib"), ours}
    installed = {paths["purelib"], paths["platlib"]}
    inside = tuple(os.path.join(os.path.realpath(each), "") for each in python)
    return inside, tuple(os.path.join(os.path.realpath(each), "") for each in installed)


def is_own(path: str) -> bool:
    """Whether a file is the user's: neither Python's, nor ours, nor an installed package's."""
    return _is_outside(path) and not _whole(path).startswith(_checks())


@functools.lru_cache(maxsize=4096)
def _is_outside(path: str) -> bool:
    """Whether a file belongs neither to Python, nor to this package, nor to an installed one."""
    python, installed = _folders()
    return os.path.isabs(path) and not _whole(path).startswith((*python, *installed))


def _checks() -> tuple[str, ...]:
    """Where the theory checks lie, once loaded: a clone's stand beside what is installed."""
    file = getattr(sys.modules.get("theory_checks"), "__file__", None)
    return () if file is None else (_whole(os.path.dirname(file)),)


def _whole(path: str) -> str:
    return os.path.join(os.path.realpath(path), "")  # a folder may be one of them itself


_LIBRARIES = frozenset(
    {"accbo", "theory_checks", "numpy", "scipy", "torch", "jax", "jaxlib", "cupy", "mparray"}
    | {"array_api_strict", "array_api_compat", "tqdm", "pytest", "_pytest", "pluggy", "xdist"}
)


@functools.lru_cache(maxsize=4096)
def _is_installed(path: str) -> bool:
    for folder in _folders()[1]:
        inside = os.path.realpath(path).removeprefix(folder)
        if inside != os.path.realpath(path):
            return inside.split(os.sep)[0] not in _LIBRARIES
    return False


_TORCH = (
    "clone|detach|requires_grad_?|grad|backward|unsqueeze|cpu|cuda|to|numel|new_zeros|zero_|copy_|"
    "add_|sub_|mul_|double|float|norm|permute|is_leaf|pow|abs|clamp"
)
_HINTS = (  # what the text says, the arrays that are given, and those that are meant
    (rf"'numpy\.ndarray' object has no attribute '({_TORCH})'", "numpy", "torch"),
    (r"\bTensors?\b.* not .*\bndarray\b|\bTensor\b.*numpy\.ndarray", "numpy", "torch"),
    (r"'numpy\.ndarray' object has no attribute '(at|block_until_ready|devices)'", "numpy", "jax"),
    (r"'Tensor' object has no attribute '(at|block_until_ready)'", "torch", "jax"),
    (r"'Tensor' object has no attribute '(astype|copy)'", "torch", "numpy"),
    (rf"'ArrayImpl' object has no attribute '({_TORCH})'", "jax", "torch"),
)


def hint(error: BaseException) -> str:
    """``; what to do`` where the cause is known, or ""."""
    text = text_of(error)
    for pattern, given, wanted in _HINTS:
        if re.search(pattern, text):
            return (
                f"; an array there is {given}'s: factory.namespace = {wanted!r}, or --namespace "
                f"{wanted}, makes those that it is given {wanted}'s"
            )
    for pattern, advice in _ADVICE:
        if re.search(pattern, text):
            return f"; {advice}"
    found = _LACKS.search(text)
    if found and isinstance(error, AttributeError | ImportError):
        return _too_old(found[1] or found[2])
    return ""


_ADVICE = (
    (
        "does not require grad",
        "the arrays given do not require grad: x.detach().requires_grad_() makes one that does",
    ),
    ("requires? grad", "detach() what is kept and shown, and step under torch.no_grad()"),
    (
        "attempted relative import",
        "give the package's module, such as optlib.accbo:X, in place of the file",
    ),
)
_LACKS = re.compile(r"^module '(\w+)[\w.]*' has no attribute|^cannot import name '\w+' from '(\w+)")


def _too_old(package: str) -> str:
    """A function that a library lacks: which version is there."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError):
        version = importlib.metadata.version(package.replace("_", "-"))
        return f"; {package} {version} is installed, which may be too old"
    return ""
