"""The end of every program of ours: where a verdict becomes an exit code, and nothing else does.

Exit code 0 is returned from one place, ``finish``, out of an ``Answer``. Everything that is no
answer is ``COULD_NOT_RUN`` with one sentence: somebody else's ``sys.exit(0)``, an exception that
nobody foresaw. Files are written before anything is printed, and a reader that has gone, or an
encoding that lacks a character, changes no code; nor does what runs in the process afterwards
(``program``).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from accbo._blame import described, hint, place
from accbo._foreign import interrupts, no_end
from accbo._pieces.files import write
from accbo._printable import clean, one_line

OK, DEPARTS, COULD_NOT_RUN, INTERRUPTED = 0, 1, 2, 130
OURS = ("accbo", "theory_checks", "benchmarks")


@dataclass(frozen=True)
class Answer:
    """What a command found: its exit code, the files that it writes and what it prints then.

    ``afterwards`` is called once the files are there, ``closing`` then in any case; ``complaint``
    goes to the standard error.
    """

    code: int
    text: str = ""
    files: tuple[tuple[Path, str | bytes], ...] = ()
    afterwards: Callable[[], Any] | None = None
    closing: Callable[[], Any] = lambda: None
    complaint: str = ""


def finish(name: str, work: Callable[[], Answer], stopped: str = "interrupted") -> int:
    """The exit code of the program ``name``, whose ``work`` gives its answer.

    ``stopped`` is what is said after Ctrl-C, whose code is ``INTERRUPTED``.
    """
    with steady_streams() as (out, err), interrupts() as pressed, no_end():
        here = os.getcwd()
        try:
            answer = _checked(work())
            os.chdir(here)  # names of files are meant from here, wherever the work has gone
            _carry_out(answer)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and pressed():
                err.say(stopped)
                return INTERRUPTED
            if isinstance(error, OutputError):
                out.say(answer.text)
            err.say(f"{name}: {_sentence(error)}")
            return COULD_NOT_RUN
        out.say(answer.text)
        err.say(answer.complaint)
        if out.failure is not None and answer.code == OK:  # a full disk; not a reader that left
            err.say(f"{name}: cannot write the output: {out.failure}")
            return COULD_NOT_RUN
        return answer.code


def program(main: Callable[[], int]) -> NoReturn:
    """Run ``main`` as a whole program, and end the process with its code.

    Somebody else's code may have left work for the end (``atexit``, ``__del__``, a thread), and
    that may call ``os._exit(0)``: it ends the process with the code that is known, not with its
    own. A process that is forked there keeps its own.
    """
    code = main()
    end, process = os._exit, os.getpid()

    def as_known(status: int) -> NoReturn:
        end(code if os.getpid() == process else status)

    os._exit = as_known
    sys.exit(code)


def _checked(answer: Any) -> Answer:
    """``answer`` if it is one; raises ``TypeError``."""
    if not isinstance(answer, Answer) or answer.code not in (OK, DEPARTS, COULD_NOT_RUN):
        raise TypeError(f"there is no answer, but {type(answer).__name__}")
    return answer


def _carry_out(answer: Answer) -> None:
    try:
        for path, content in answer.files:
            _write(path, content)
        if answer.afterwards is not None:
            answer.afterwards()
    finally:
        answer.closing()


class OutputError(OSError):
    """A file could not be written; the verdict is known, and said beside it."""


def _write(path: Path, content: str | bytes) -> None:
    try:
        write(path, content if isinstance(content, bytes) else clean(content, keep="\n\t"))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _sentence(error: BaseException) -> str:
    """What is said where there is no answer; exceptions of ours speak for themselves."""
    if isinstance(error, Exception) and type(error).__module__.split(".")[0] in OURS:
        return one_line(str(error))
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{one_line(str(error.filename))}: {error.strerror}{place(error)}{hint(error)}"
    if isinstance(error, ValueError | TypeError | OSError) and str(error):
        return f"{one_line(str(error))}{place(error)}{hint(error)}"
    return f"no verdict, for something raised {described(error)}"


# --- streams ----------------------------------------------------------------------------------


class SteadyStream:
    """A stream to print to that may lose its reader or lack a character, and goes on.

    ``failure`` is why something was not written, other than that nobody reads it any more.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def say(self, text: str) -> None:
        """Print outside text too, cleaned, if there is any, and see that it has gone out."""
        if text:
            self.write(clean(text, keep="\n\t") + "\n")
        self.flush()

    def write(self, text: str) -> int:
        """Write, with a question mark for what the encoding lacks."""
        try:
            self._stream.write(text)
        except UnicodeError:
            encoding = getattr(self._stream, "encoding", None) or "ascii"
            self.write(text.encode(encoding, "replace").decode(encoding))
        except (OSError, ValueError, AttributeError) as error:
            self._lose(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush; a reader that has gone is no error."""
        try:
            self._stream.flush()
        except (OSError, ValueError, AttributeError) as error:
            self._lose(error)

    def close(self) -> None:
        """Flush alone: what was not opened here is not closed here."""
        self.flush()

    def isatty(self) -> bool:
        """Whether somebody looks at a terminal."""
        try:
            return bool(self._stream.isatty())
        except (OSError, ValueError, AttributeError):
            return False

    def _lose(self, error: Exception) -> None:
        """From here on to nowhere, so that Python's own flush at its end has nobody to miss."""
        if not isinstance(error, BrokenPipeError | AttributeError):
            self.failure = self.failure or error
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        self._stream = None


@contextlib.contextmanager
def steady_streams() -> Iterator[tuple[SteadyStream, SteadyStream]]:
    """The standard streams, made steady for the body, whatever is put in their place there."""
    before = sys.stdout, sys.stderr
    out, err = SteadyStream(sys.stdout), SteadyStream(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield out, err
    finally:
        for stream in (out, err):
            stream.flush()
        sys.stdout, sys.stderr = before
