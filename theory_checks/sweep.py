"""A sweep is a list of independent pieces; their numbers depend on no worker and no order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tqdm import tqdm

from accbo._pieces.engine import carried_out
from accbo._pieces.kept import Work
from accbo.checkpoint import START_OVER, CheckpointError

from .harness import Outcome, Piece, Settings, Verdict, judge, measure
from .kept import Kept, digest


class Case(NamedTuple):
    """One check under one choice of settings."""

    check: Any
    settings: Settings


@dataclass(frozen=True)
class Means:
    """What a sweep is carried out with; none of it changes a number.

    ``dask`` is an address or ``"local"``, ``kept`` holds finished pieces and takes new ones,
    ``progress`` shows a bar (None: on a terminal).
    """

    jobs: int = 1
    dask: str | None = None
    kept: Kept | None = None
    progress: bool | None = None


def run_checks(
    checks: Sequence[Any],
    settings: Settings,
    means: Means = Means(),
    panels: bool = False,
    each: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """The verdict of every check, in their order; ``each`` is told one as soon as it is there.

    ``seconds`` of a verdict are those of its pieces, added up. On Ctrl-C the workers end too
    and ``KeyboardInterrupt`` goes on.
    """
    cases = [Case(check, settings) for check in checks]
    found = {}
    for index, verdict in run_cases(cases, means, panels):
        found[index] = verdict
        each(verdict)
    return [found[index] for index in range(len(cases))]


def run_cases(
    cases: Sequence[Case], means: Means, panels: bool = False
) -> Iterator[tuple[int, Verdict]]:
    """Every case's number and verdict, as soon as its last piece is there.

    One case after the other, so that verdicts come early, in each the long pieces first.
    """
    tasks = [
        Task(index, case.settings, piece)
        for index, case in enumerate(cases)
        for piece in sorted(case.check.pieces(case.settings), key=lambda piece: -piece.cost)
    ]
    missing = [0] * len(cases)
    for task in tasks:
        missing[task.case] += 1
    outcomes: list[dict[tuple[Any, ...], Outcome]] = [{} for _ in cases]
    spent, restored = [0.0] * len(cases), [False] * len(cases)
    for (index, _, piece), outcome, seconds, kept in _carried_out(tasks, means):
        outcomes[index][piece.key] = outcome
        spent[index] += seconds
        restored[index] |= kept
        missing[index] -= 1
        if not missing[index]:
            check, settings = cases[index]
            try:
                verdict = judge(check, settings, outcomes[index], spent[index], panels)
            except (ValueError, TypeError, LookupError, ArithmeticError) as error:
                if not restored[index] or means.kept is None:
                    raise
                raise CheckpointError(
                    f"the pieces of {check.NAME} in {means.kept.folder} do not fit it "
                    f"({error!r}); {START_OVER}"
                ) from error
            yield index, verdict
            outcomes[index] = {}  # a calibration has thousands


class Task(NamedTuple):
    """One piece to compute; ``case`` is the caller's number."""

    case: int
    settings: Settings
    piece: Piece

    @property
    def work(self) -> Work:
        """The task for the engine; its value is ``(outcome, seconds)``."""
        _, settings, piece = self
        fault = "" if settings.fault is None else f"-{digest(settings.fault)}"
        return Work(
            name=f"{piece.file_name}-{settings.seed}{fault}",
            key={"check": piece.check, "key": piece.key, **settings.key()},
            function=measure,
            arguments=(settings, piece),
        )

    @property
    def weight(self) -> int:
        """Cost in thousandths: whole numbers add up to the bar's total."""
        return max(1, round(1000 * self.piece.cost))


def run_tasks(tasks: Sequence[Task], means: Means) -> Iterator[tuple[Task, Outcome, float]]:
    """Every task with its outcome and the seconds it took, in any order."""
    for task, outcome, seconds, _ in _carried_out(tasks, means):
        yield task, outcome, seconds


def _carried_out(
    tasks: Sequence[Task], means: Means
) -> Iterator[tuple[Task, Outcome, float, bool]]:
    """The same, and whether the outcome was restored from a file."""
    bar = tqdm(
        total=sum(task.weight for task in tasks),
        bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed} elapsed, {remaining} left",
        leave=False,
        disable=None if means.progress is None else not means.progress,
    )
    works = {task.work: task for task in tasks}
    with bar:
        for done in carried_out(list(works), means.jobs, means.dask, means.kept):
            task = works[done.work]
            bar.update(task.weight)
            yield task, *done.value, done.restored
