"""The comparison: the same small search for every method, then fresh seeds with what it chose.

The search runs on seed 0 and looks at the validation score alone; the chosen trial is run on
seeds 1 … N, each a draw of the data, of the start and of the samples, and reads the test set at
its end. A finished run is a piece of its own, so that a sweep that was stopped goes on.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from accbo._arrays import Array
from accbo._pieces.engine import carried_out
from accbo._pieces.files import cache_folder
from accbo._pieces.kept import Kept, Work
from accbo._pieces.versions import accbo_version
from accbo.conformance.running.target import source_of
from accbo.namespaces import like
from accbo.tasks.methods import GRID
from accbo.tasks.own import OWN, Origin, expect_origin, origin, placed
from accbo.tasks.registry import task_named
from accbo.tasks.task import Instance, TaskError
from accbo.tasks.trial import Curve, check_curve, steps_for, train

FORMAT = "accbo-run/2"
BACKENDS = ("numpy", "torch", "jax")


@dataclass(frozen=True)
class Plan:
    """What is compared."""

    task: str
    methods: tuple[str, ...]
    budget: int
    seeds: int
    backend: str = "numpy"
    trials: int = len(GRID)

    @property
    def digest(self) -> str:
        """Of everything that decides the numbers."""
        return hashlib.sha256(json.dumps(self.given, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def given(self) -> dict[str, Any]:
        """Everything that decides the numbers, as JSON values."""
        grid = [trial._asdict() for trial in GRID]
        own = {"source": source_of(self.task)} if self.backend == OWN else {}
        return {"accbo": accbo_version(), "format": FORMAT, **asdict(self), "grid": grid, **own}


class Piece(NamedTuple):
    """One run; seed 0 is the search's."""

    task: str
    method: str
    trial: int
    seed: int
    budget: int
    backend: str = "numpy"
    start: str = ""  # of a user's own task, as the process that asks has it
    losses: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Of its file."""
        task = re.sub(r"[^\w.-]+", "_", self.task)  # FILE.py:NAME is no name of a file
        return f"{task}-{self.method}-{self.trial}-{self.seed}-{self.budget}"

    @property
    def work(self) -> Work:
        """The run for the engine; its value is a curve as JSON values."""
        key = {"format": FORMAT, **self._asdict(), "trial of": GRID[self.trial]._asdict()}
        return Work(self.name, key, run_piece, (self,), fits=functools.partial(expect_curve, self))


class Outcome(NamedTuple):
    """All runs of a plan: the search by method and trial, the chosen trial, the seeds' runs."""

    plan: Plan
    search: dict[str, list[Curve]]
    chosen: dict[str, int]
    finals: dict[str, list[Curve]]


def kept_runs(plan: Plan, folder: Path | None = None, tell: Any = None) -> Kept:
    """Where the finished runs of ``plan`` wait; by default in the user's cache."""
    return Kept(folder or cache_folder(f"run-{plan.digest}"), "run of a task", tell)


def compare(plan: Plan, kept: Kept, jobs: int, progress: bool | None = None) -> Outcome:
    """Run ``plan``, going on from what is ``kept``.

    Raises ``TaskError`` before anything is run where a budget is too small, ``CheckpointError`` for
    a kept run that cannot be used; ``KeyboardInterrupt`` leaves the finished runs where they are.
    """
    check_budget(plan)
    total = len(plan.methods) * (plan.trials + plan.seeds)
    with tqdm(
        total=total, unit="run", desc=plan.task, disable=None if progress is None else not progress
    ) as bar:
        searched = [
            _piece(plan, method, trial, 0)
            for method in plan.methods
            for trial in range(plan.trials)
        ]
        found = dict(_all(searched, kept, jobs, bar))
        score = instance_of(plan.task, 0).score
        search = {m: [found[p] for p in searched if p.method == m] for m in plan.methods}
        chosen = {method: best(curves, score) for method, curves in search.items()}
        finals = [
            _piece(plan, method, chosen[method], seed)
            for method in plan.methods
            for seed in range(1, plan.seeds + 1)
        ]
        done = dict(_all(finals, kept, jobs, bar))
    return Outcome(
        plan, search, chosen, {m: [done[p] for p in finals if p.method == m] for m in plan.methods}
    )


def _piece(plan: Plan, method: str, trial: int, seed: int) -> Piece:
    started = origin(plan.task, seed) if plan.backend == OWN else ()
    return Piece(plan.task, method, trial, seed, plan.budget, plan.backend, *started)


def check_budget(plan: Plan) -> None:
    """Raise ``TaskError`` for the first method whose start the budget does not pay for."""
    for method in plan.methods:
        try:
            _steps(method, plan.task, plan.budget)
        except TaskError as error:
            raise TaskError(placed(error, plan.task) if plan.backend == OWN else error) from None


def best(curves: Sequence[Curve], score: str) -> int:
    """The trial whose best point has the highest score; a run that diverged has none."""

    def highest(curve: Curve) -> float:
        values = curve.measures[score]
        return values[curve.best] if values and not curve.trouble else float("-inf")

    return max(range(len(curves)), key=lambda index: highest(curves[index]))


@functools.lru_cache(maxsize=2)
def instance_of(task: str, seed: int) -> Instance:
    """The draw of a task, kept for the runs that follow on the same one."""
    return task_named(task).build(seed)


def references_of(plan: Plan) -> dict[str, list[float]]:
    """What the data of every seed give without a bilevel method, by name."""
    found = [instance_of(plan.task, seed).references() for seed in range(1, plan.seeds + 1)]
    return {name: [values[name] for values in found] for name in found[0]}


def run_piece(piece: Piece) -> dict[str, Any]:
    """One run of the sweep: its curve as JSON values."""
    if piece.backend == OWN:
        expect_origin(piece.task, piece.seed, Origin(piece.start, piece.losses))
    instance, trial = instance_of(piece.task, piece.seed), GRID[piece.trial]
    shown = None if piece.backend == OWN else array_of(piece.backend)
    budget, seed = piece.budget, piece.seed
    curve = train(piece.method, instance, trial, budget, seed, test=seed > 0, like=shown)
    return curve._asdict()


def expect_curve(piece: Piece, value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` can be the curve of ``piece``."""
    steps = _steps(piece.method, piece.task, piece.budget)
    instance = instance_of(piece.task, 0)  # every draw of a task has the sizes and names of this
    test = list(instance.test) if piece.seed > 0 else []
    check_curve(value, steps, piece.budget, list(instance.measures), test)


@functools.lru_cache(maxsize=64)
def _steps(method: str, task: str, budget: int) -> int:
    return steps_for(method, instance_of(task, 0), budget)


def array_of(backend: str) -> Array:
    """An array of ``backend`` in float64, on one thread; raises ``NamespaceError`` for none."""
    with contextlib.suppress(ImportError):  # ``like`` says it better
        if backend == "jax":
            import jax

            jax.config.update("jax_enable_x64", True)
        elif backend == "torch":
            import torch

            torch.set_num_threads(1)
    return like(backend)


def _all(pieces: Sequence[Piece], kept: Kept, jobs: int, bar: Any) -> Iterator[tuple[Piece, Curve]]:
    works = {piece.work: piece for piece in pieces}
    for done in carried_out(list(works), jobs, kept=kept):
        bar.update(1)
        yield works[done.work], Curve(**done.value)
