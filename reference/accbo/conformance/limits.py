"""A limit on how long somebody else's code may take."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


class TooLong(BaseException):
    """The limit ran out; not an ``Exception``, so that ``except Exception`` does not eat it."""


@contextlib.contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Raise ``TooLong`` in the body after ``seconds``.

    Needs a signal, and so the main thread of a POSIX system; elsewhere there is no limit. Code
    that never returns to the interpreter is not interrupted.
    """
    main = threading.current_thread() is threading.main_thread()
    if seconds is None or not main or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
