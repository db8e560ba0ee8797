"""Where pieces are computed: in this process, on processes of this machine, or on Dask.

The processes end with this one, however it ends.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from accbo._extras import install

PATIENCE = 10  # seconds for a scheduler to answer
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class WorkerError(RuntimeError):
    """The workers asked for are not to be had, or were lost; the message says why."""


@contextlib.contextmanager
def workers(jobs: int, dask: str | None = None) -> Iterator[concurrent.futures.Executor]:
    """An executor: ``jobs`` processes, or Dask at an address, or ``"local"`` with ``jobs`` workers.

    On the way out by an exception, Ctrl-C included, the processes are ended at once.
    """
    with contextlib.ExitStack() as stack:
        if dask is not None:
            yield stack.enter_context(_dask(dask, jobs))
        elif jobs == 1:
            yield Here()
        else:
            yield stack.enter_context(_processes(jobs))


class Here(concurrent.futures.Executor):
    """This process: work is done when its result is asked for, not before."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        """A future that computes when it is first looked at."""
        return _Deferred(lambda: function(*arguments, **named))


class _Deferred(concurrent.futures.Future[Any]):
    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work

    def result(self, timeout: float | None = None) -> Any:
        return self._work()


def completed(futures: dict[Any, Any]) -> Iterator[Any]:
    """The futures in the order in which they finish; raises ``WorkerError`` for lost workers."""
    if any(isinstance(future, _Deferred) for future in futures):
        yield from list(futures)
        return
    try:
        yield from concurrent.futures.as_completed(futures)
    except concurrent.futures.BrokenExecutor as error:
        raise WorkerError(_lost(error)) from error


def result(future: Any) -> Any:
    """What a future holds; raises ``WorkerError`` where its worker was lost."""
    try:
        return future.result()
    except concurrent.futures.BrokenExecutor as error:
        raise WorkerError(_lost(error)) from error
    except Exception as error:
        if type(error).__module__.startswith("distributed"):
            raise WorkerError(_lost(error)) from error
        raise


def _lost(error: BaseException) -> str:
    return (
        f"a worker ended before its work was done ({type(error).__name__}); it was killed, or "
        "memory ran out. Finished pieces are kept: a run that resumes goes on from them"
    )


# --- processes of this machine ----------------------------------------------------------------


class _Processes(concurrent.futures.ProcessPoolExecutor):
    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        with _interrupts_held():  # submit starts processes, which would die of Ctrl-C while young
            return super().submit(function, *arguments, **named)


@contextlib.contextmanager
def _processes(jobs: int) -> Iterator[concurrent.futures.Executor]:
    # spawned, not forked: JAX and PyTorch hold threads that a fork would break
    context = multiprocessing.get_context("spawn")
    pool = _Processes(jobs, context, _begin, (os.getpid(),))
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()  # a piece may take minutes; nobody waits for it after Ctrl-C
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits; a process that is started meanwhile inherits that until ``_begin``."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int) -> None:
    """The first thing that a worker does. Ctrl-C is the parent's to handle; it ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with(parent)


def _end_with(parent: int) -> None:
    """Let this process end as soon as ``parent``, which started it, has ended.

    A thread sees to it everywhere; on Linux the kernel does too, so that not even a long call
    into C delays it.
    """
    started_by = multiprocessing.parent_process()
    if started_by is not None:
        ended = started_by.sentinel

        def watch() -> None:
            multiprocessing.connection.wait([ended])
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="ends with its parent").start()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library: the thread does
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)


# --- Dask ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _dask(address: str, jobs: int) -> Iterator[concurrent.futures.Executor]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise WorkerError(f"--dask needs dask.distributed ({error}); {install('dask')}") from None
    for name in ("distributed", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters comes as an exception
    with contextlib.ExitStack() as stack:
        target: Any = address
        if address == "local":
            target = stack.enter_context(
                LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            client = stack.enter_context(Client(target, timeout=PATIENCE))
        except (OSError, TimeoutError, ValueError) as error:
            raise WorkerError(
                f"no Dask scheduler answers at {address!r} within {PATIENCE} s "
                f"({type(error).__name__}); expected tcp://HOST:PORT, or local"
            ) from None
        yield client.get_executor(pure=False)
