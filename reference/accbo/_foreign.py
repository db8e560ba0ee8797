"""Somebody else's code, called: whatever it does instead of its work comes back as one sentence.

An implementation, a problem or a fault of the user's own may raise anything, ``SystemExit`` and
``KeyboardInterrupt`` included, may end the process (``os._exit``), change NumPy's error state, or
never return. None of it may become a verdict. What cannot be caught: an end from C code or by a
signal, and ``os.exec…``; then there is no report and no JSON.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from accbo._blame import described, place
from accbo._limits import TooLong, at_most, get_handler, set_handler


class ForeignError(Exception):
    """What somebody else's code did instead of its work, in a sentence.

    Not a ``RuntimeError``: ``contextlib`` takes one that comes of a ``StopIteration`` apart.
    """


class LateError(ForeignError):
    """It did not return in time."""


class Ended(BaseException):
    """``os._exit`` was called, which would have ended the process without a verdict."""


@contextlib.contextmanager
def foreign(what: str, seconds: float | None = None, home: str = "") -> Iterator[None]:
    """Run somebody else's code in the body; ``what`` names it in the sentence.

    ``home`` is said where no line of the user's own is seen in an exception.

    Raises ``ForeignError`` for whatever it raises, ``LateError`` after ``seconds``. A
    ``ForeignError``, a ``NotImplementedError`` (not covered), an outer limit's end and a true
    Ctrl-C go on as they are. NumPy's error state and the standard streams are put back.
    """
    import numpy as np  # not above: the program's --help comes by here

    streams = sys.stdout, sys.stderr
    with interrupts() as pressed:
        try:
            with at_most(seconds) as limit, np.errstate(), no_end():
                yield
        except (ForeignError, NotImplementedError):
            raise
        except TooLong as late:
            if late.limit is not limit:
                raise
            raise LateError(f"{what} did not return within {seconds:g} s") from None
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and pressed():
                raise
            where = "" if place(error) else home
            raise ForeignError(f"{what} raised {described(error)}{where}") from error
        finally:
            if (sys.stdout, sys.stderr) != streams:
                sys.stdout, sys.stderr = streams


def read(thing: Any, name: str, default: Any = None) -> Any:
    """``getattr`` of somebody else's object, whose property may do anything."""
    try:
        with foreign(f"the attribute {name}"):
            return getattr(thing, name, default)
    except NotImplementedError as error:
        raise ForeignError(f"the attribute {name} raised {described(error)}") from error


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether Ctrl-C was pressed in the body.

    Somebody else's code can raise ``KeyboardInterrupt`` too; only the signal tells them apart.
    """
    before = get_handler(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(before):
        yield lambda: False
        return
    seen = False

    def note(number: int, frame: Any) -> Any:
        nonlocal seen
        seen = True
        return before(number, frame)

    set_handler(signal.SIGINT, note)
    try:
        yield lambda: seen
    finally:
        if get_handler(signal.SIGINT) is note:
            set_handler(signal.SIGINT, before)


@contextlib.contextmanager
def no_end() -> Iterator[None]:
    """``os._exit`` raises ``Ended`` in this process, and still ends one forked from it."""
    end, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:
            end(status)
        raise Ended(f"os._exit({status})")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = end
