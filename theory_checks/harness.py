"""What a check is, and how its pieces are run on any number of processes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import importlib
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from accbo import AccBO, NonFiniteError
from accbo.conformance.faults import FAULTS
from theory_checks.panels import Panel
from theory_checks.statistics import Finding


@dataclass(frozen=True)
class Settings:
    """What the user chose. ``fault`` runs every check on a faulty AccBO instead.

    ``dimension``, ``skew`` and ``window`` vary the instances of ``rate``; None is its default.
    """

    profile: str = "quick"
    backend: str = "numpy"
    seed: int = 0
    fault: str | None = None
    dimension: int | None = None
    skew: float | None = None
    window: tuple[int, int] | None = None
    records: Path | None = None

    def apply_fault(self, algorithm: AccBO) -> Any:
        """``algorithm``, or its faulty variant where a fault was asked for."""
        return algorithm if self.fault is None else FAULTS[self.fault].apply(algorithm)


@dataclass(frozen=True)
class Piece:
    """One independent computation: ``key`` says which, ``cost`` orders and weighs it."""

    check: str
    key: tuple[Any, ...]
    cost: float


Outcome = dict[str, np.ndarray]
DIVERGED = "diverged"


class Check(Protocol):
    """A module of this package: one theorem.

    Its docstring has the paragraphs Claim, Regime, Statistic and Rule, which the report shows.
    """

    NAME: str
    CLAIM: str
    SOURCE: str
    EFFECT: str  # the smallest departure that ``power`` is promised for
    KILLS: tuple[str, ...]  # faults it was seen to catch; a test proves each
    DESIGNATED: str  # the one of them that calibration runs
    VARIATIONS: tuple[str, ...]  # of "schedule", "noise", "problem": what a user may replace

    def pieces(self, settings: Settings) -> list[Piece]:
        """The independent computations this check consists of."""

    def measure(self, settings: Settings, piece: Piece) -> Outcome:
        """Carry one of them out."""

    def judge(self, settings: Settings, outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
        """Compare with the theory."""

    def panels(
        self,
        settings: Settings,
        outcomes: dict[tuple[Any, ...], Outcome],
        findings: Sequence[Finding],
    ) -> list[Panel]:
        """Pictures of predicted and measured, for the report."""

    def false_alarm(self, settings: Settings, findings: Sequence[Finding]) -> float:
        """Probability that a correct implementation fails this check."""

    def power(self, settings: Settings, findings: Sequence[Finding]) -> float:
        """Probability that ``EFFECT`` makes it fail."""


@dataclass(frozen=True)
class Verdict:
    """What one check found."""

    check: Any
    findings: list[Finding]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every finding passed; a check without findings has not."""
        return bool(self.findings) and all(finding.passed for finding in self.findings)


def run_checks(
    checks: Sequence[Any], settings: Settings, jobs: int, progress: bool | None = None
) -> list[Verdict]:
    """Measure all pieces of ``checks`` on ``jobs`` processes, then judge each check.

    The numbers do not depend on ``jobs``. ``seconds`` of a verdict are those of its pieces,
    added up. On Ctrl-C the workers end too and ``KeyboardInterrupt`` goes on.
    """
    by_name = {check.NAME: check for check in checks}
    pieces = [piece for check in checks for piece in check.pieces(settings)]
    pieces.sort(key=lambda piece: -piece.cost)  # long ones first, so that no core waits
    outcomes: dict[str, dict[tuple[Any, ...], Outcome]] = {name: {} for name in by_name}
    seconds = dict.fromkeys(by_name, 0.0)
    bar = tqdm(
        total=round(sum(piece.cost for piece in pieces), 3),
        bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed} elapsed, {remaining} left",
        leave=False,
        disable=None if progress is None else not progress,
    )
    with bar, _mapper(jobs) as mapper:
        work = functools.partial(_measure, settings)
        for piece, (outcome, spent) in mapper(work, pieces):
            outcomes[piece.check][piece.key] = outcome
            seconds[piece.check] += spent
            bar.update(piece.cost)
    verdicts = []
    for name, check in by_name.items():
        start = time.perf_counter()
        findings = _diverged(outcomes[name]) or check.judge(settings, outcomes[name])
        verdicts.append(Verdict(check, findings, seconds[name] + time.perf_counter() - start))
    return verdicts


def save_records(settings: Settings, piece: Piece, curves: dict[str, np.ndarray]) -> None:
    """Keep raw curves as an ``.npz`` in the folder asked for, atomically."""
    if settings.records is None:
        return
    name = "-".join(str(part) for part in (piece.check, *piece.key)) + ".npz"
    target = settings.records / name
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **curves)
    os.replace(temporary, target)


def _measure(settings: Settings, piece: Piece) -> tuple[Outcome, float]:
    start = time.perf_counter()
    check = importlib.import_module(f"theory_checks.{piece.check}")
    try:
        outcome = check.measure(settings, piece)
    except NonFiniteError as error:  # a fault may diverge; that is a finding, not a crash
        outcome = {DIVERGED: np.asarray(error.iteration)}
    return outcome, time.perf_counter() - start


def _diverged(outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """One failed finding for every piece in which a NaN or an infinity appeared."""
    return [
        Finding(
            f"iteration with a NaN, {' '.join(map(str, key))}",
            math.inf,
            float(outcome[DIVERGED]),
            None,
            "no NaN or infinity appears",
            False,
        )
        for key, outcome in sorted(outcomes.items(), key=str)
        if DIVERGED in outcome
    ]


Mapper = Callable[[Callable[[Piece], Any], Sequence[Piece]], Iterator[tuple[Piece, Any]]]


@contextlib.contextmanager
def _mapper(jobs: int) -> Iterator[Mapper]:
    """Yield a function that maps over pieces, here or on ``jobs`` processes."""
    if jobs == 1:
        yield lambda work, pieces: ((piece, work(piece)) for piece in pieces)
        return
    # spawned, not forked: JAX and PyTorch hold threads that a fork would break
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, context, _ignore_interrupt)

    def mapped(work: Callable[[Piece], Any], pieces: Sequence[Piece]) -> Iterator[Any]:
        futures = {pool.submit(work, piece): piece for piece in pieces}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()

    try:
        yield mapped
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()  # a piece may take minutes; nobody waits for it after Ctrl-C
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()


def _ignore_interrupt() -> None:
    """Ctrl-C is the parent's to handle; it ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
