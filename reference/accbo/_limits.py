"""A limit on how long somebody else's code may take; limits nest, and an outer one ends all."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

AGAIN = 0.05  # seconds until the signal comes again, for code that swallows every exception

# Python 3.11 tries every handler as a member of an enumeration, which fails at the cost of an
# exception; the module beneath does not, and here they are called around every call of a user's
_plain: Any = sys.modules.get("_signal", signal)
get_handler: Callable[[int], Any] = _plain.getsignal
set_handler: Callable[[int, Any], Any] = _plain.signal


@dataclass(frozen=True, eq=False)
class Limit:
    """Until when something may take; ``end`` is on the clock of ``time.monotonic``."""

    seconds: float
    end: float

    @property
    def left(self) -> float:
        """Seconds that are left, 0 when there are none."""
        return max(0.0, self.end - time.monotonic())


class TooLong(BaseException):
    """``limit`` ran out; not an ``Exception``, so that ``except Exception`` does not eat it."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(f"took more than {limit.seconds:g} s")
        self.limit = limit


_running: list[Limit] = []  # outermost first; of the main thread alone


@contextlib.contextmanager
def at_most(seconds: float | None) -> Iterator[Limit | None]:
    """Raise ``TooLong`` in the body after ``seconds``; gives the limit, to tell it from an outer.

    Needs a signal, and so the main thread of a POSIX system; elsewhere nothing is raised. Code
    that never returns to the interpreter is not interrupted.
    """
    if seconds is None:
        yield None
        return
    limit = Limit(seconds, time.monotonic() + seconds)
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield limit
        return
    before = set_handler(signal.SIGALRM, _stop)
    _running.append(limit)
    try:
        _arm()
        try:
            yield limit
        finally:
            _running.remove(limit)
    finally:
        if limit in _running:  # the signal came on the way out
            _running.remove(limit)
        _arm()
        set_handler(signal.SIGALRM, before)


def _arm() -> None:
    if _running:
        first = min(limit.end for limit in _running) - time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, max(first, 1e-6), AGAIN)
    else:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(number: int, frame: object) -> None:
    now = time.monotonic()
    for limit in _running:
        if limit.end <= now:
            raise TooLong(limit)
    _arm()
