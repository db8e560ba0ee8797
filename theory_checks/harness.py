"""What a check is: its pieces, how one is measured, and what a verdict is."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from accbo import AccBO, NonFiniteError
from accbo._blame import described
from accbo._exit import OURS, steady_streams
from accbo._foreign import ForeignError, foreign
from accbo._pieces.files import write
from accbo.conformance.faults import FAULTS
from accbo.conformance.running.target import load_target, source_of, space_of

from .noise import own_law
from .own import own_fault
from .panels import Panel
from .statistics import Finding, diverged


@dataclass(frozen=True)
class Settings:
    """What the user chose. ``fault`` runs every check on a faulty AccBO instead: a name of the
    catalogue, or ``module:function`` that makes one of the algorithm.

    ``dimension``, ``skew``, ``window``, ``schedule``, ``noise`` and ``problem`` vary the
    instances of the checks that allow it; None is their own. ``records`` and ``kept`` are
    folders, for raw curves and for long runs to go on from; they change no number.
    """

    profile: str = "quick"
    backend: str = "numpy"
    seed: int = 0
    fault: str | None = None
    dimension: int | None = None
    skew: float | None = None
    window: tuple[int, int] | None = None
    schedule: str | None = None
    noise: str | None = None
    problem: str | None = None
    records: Path | None = None
    kept: Path | None = None

    def numbers(self) -> dict[str, Any]:
        """What decides the numbers, as JSON values."""
        chosen = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del chosen["records"], chosen["kept"]
        return {**chosen, "window": list(self.window) if self.window else None}

    def key(self) -> dict[str, Any]:
        """The same, and what the user's own code was: a file may be edited between two runs."""
        sources = {target: source_of(target) for target in self.targets()}
        return {**self.numbers(), **({"sources": sources} if sources else {})}

    def targets(self) -> list[str]:
        """The user's own code that was asked for, ``module:function`` each."""
        asked = (self.fault, self.schedule, self.problem, own_law(self.noise))
        return [target for target in asked if target is not None and ":" in target]

    def apply_fault(self, algorithm: AccBO) -> Any:
        """``algorithm``, or its faulty variant where a fault was asked for."""
        return algorithm if self.fault is None else fault_named(self.fault)(algorithm)


def fault_named(name: str) -> Callable[[AccBO], Any]:
    """The fault of that name, or the user's own ``module:function``."""
    return functools.partial(own_fault, name) if ":" in name else FAULTS[name].apply


@dataclass(frozen=True)
class Piece:
    """One independent computation: ``key`` says which, ``cost`` orders and weighs it."""

    check: str
    key: tuple[Any, ...]
    cost: float

    @property
    def file_name(self) -> str:
        """A name for files of this piece, without a suffix; readable, and unique."""
        text = "-".join(map(str, (self.check, *self.key)))
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", text)[:60]
        return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


Outcome = dict[str, np.ndarray]
DIVERGED = "diverged"
LONG = 8.0  # cost, about seconds, from which a run keeps itself


class Check(Protocol):
    """A module of this package: one theorem.

    Its docstring has the paragraphs Claim, Regime, Statistic and Rule, which the report shows.
    """

    NAME: str
    CLAIM: str
    IN_WORDS: str  # the claim for the first screen, at most 45 characters
    NOT_SHOWN: str  # what follows "does not show", for the same screen
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

    def power(self, settings: Settings, findings: Sequence[Finding]) -> float:
        """Probability that ``EFFECT`` makes it fail."""


@dataclass(frozen=True)
class Verdict:
    """What one check found."""

    check: Any
    findings: list[Finding]
    seconds: float
    panels: list[Panel] = dataclasses.field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every judged finding passed; a check that judged nothing has not."""
        judged = [finding for finding in self.findings if finding.judged]
        return bool(judged) and all(finding.passed for finding in judged)

    @property
    def false_alarm(self) -> float:
        """Probability that right code fails this check: the findings', added up; may be NaN."""
        return float(sum(finding.false_alarm for finding in self.findings))

    def count(self, kind: str) -> int:
        """How many findings are of this kind (``statistics.KINDS``)."""
        return sum(finding.kind == kind for finding in self.findings)

    @property
    def tightest(self) -> Finding | None:
        """The judged finding that used most of what it is allowed."""
        judged = [finding for finding in self.findings if finding.judged]
        return max(judged, key=lambda finding: finding.used, default=None)


def measure(settings: Settings, piece: Piece) -> tuple[Outcome, float]:
    """Carry out one piece, wherever this process runs; its outcome and its core-seconds."""
    start = time.process_time()
    check = importlib.import_module(f"{__package__}.{piece.check}")
    try:
        with spaces(settings), steady_streams(), foreign(piece.check):
            outcome = check.measure(settings, piece)
    except (ForeignError, NotImplementedError) as error:
        outcome = _instead(piece, error.__cause__ or error)
    return outcome, time.process_time() - start


def _instead(piece: Piece, error: BaseException) -> Outcome:
    """A fault may diverge; that is a finding. What else is raised is no verdict at all.

    An end (``SystemExit``) must not cross to the process that waits, which would end with it.
    """
    if isinstance(error, NonFiniteError):
        return {DIVERGED: np.asarray(error.iteration)}
    ours = isinstance(error, Exception) and type(error).__module__.split(".")[0] in OURS
    if ours or isinstance(error, OSError):
        raise error
    key = " ".join(map(str, piece.key))
    raise ForeignError(f"{piece.check} {key} raised {described(error)}") from None


@contextlib.contextmanager
def spaces(settings: Settings) -> Iterator[None]:
    """With what the user's own files import from beside themselves."""
    with contextlib.ExitStack() as stack:
        for target in settings.targets():
            stack.enter_context(space_of(load_target(target))())
        yield


def judge(
    check: Any,
    settings: Settings,
    outcomes: dict[tuple[Any, ...], Outcome],
    seconds: float,
    panels: bool = False,
) -> Verdict:
    """The verdict of ``check`` on all its outcomes; ``seconds`` are those spent so far."""
    start = time.process_time()
    if findings := _diverged(outcomes):
        return Verdict(check, findings, seconds + time.process_time() - start)
    findings = check.judge(settings, outcomes)
    pictures = check.panels(settings, outcomes, findings) if panels else []
    return Verdict(check, findings, seconds + time.process_time() - start, pictures)


def run_checkpoint(settings: Settings, piece: Piece) -> Path | None:
    """Where a long run inside ``piece`` keeps itself; a fault's own memory cannot be kept."""
    if settings.kept is None or settings.fault is not None or piece.cost < LONG:
        return None
    return settings.kept / f"{piece.file_name}-{settings.seed}.run.npz"


def save_records(settings: Settings, piece: Piece, curves: dict[str, np.ndarray]) -> None:
    """Keep raw curves as an ``.npz`` in the folder asked for, atomically."""
    if settings.records is None:
        return
    name = "-".join(str(part) for part in (piece.check, *piece.key)) + ".npz"
    packed = io.BytesIO()
    named: dict[str, Any] = dict(curves)
    np.savez_compressed(packed, **named)
    write(settings.records / name, packed.getvalue())


def _diverged(outcomes: dict[tuple[Any, ...], Outcome]) -> list[Finding]:
    """One failed finding for every piece in which a NaN or an infinity appeared."""
    return [
        diverged(f"iteration with a NaN, {' '.join(map(str, key))}", float(outcome[DIVERGED]))
        for key, outcome in sorted(outcomes.items(), key=str)
        if DIVERGED in outcome
    ]
