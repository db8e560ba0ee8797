"""The comparison: the same small search for every method, then fresh seeds with what it chose.

The search runs on seed 0 and looks at the validation score alone; the chosen trial is run on
seeds 1 … N, each a draw of the data, of the start and of the samples, and reads the test set at
its end. A finished run is a file of its own, so that a sweep that was stopped goes on.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from accbo._arrays import Array
from accbo.conformance.atomic import write
from accbo.conformance.namespaces import like
from accbo.tasks.methods import GRID
from accbo.tasks.registry import task_named
from accbo.tasks.task import Instance, TaskError
from accbo.tasks.trial import Curve, steps_for, train

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
        text = json.dumps([FORMAT, asdict(self), GRID], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Piece(NamedTuple):
    """One run; seed 0 is the search's."""

    task: str
    method: str
    trial: int
    seed: int
    budget: int
    backend: str = "numpy"

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.task}-{self.method}-{self.trial}-{self.seed}-{self.budget}.json"


class Outcome(NamedTuple):
    """All runs of a plan: the search by method and trial, the chosen trial, the seeds' runs."""

    plan: Plan
    search: dict[str, list[Curve]]
    chosen: dict[str, int]
    finals: dict[str, list[Curve]]


def compare(plan: Plan, folder: Path, jobs: int, progress: bool | None = None) -> Outcome:
    """Run ``plan``, going on from what ``folder`` holds.

    Raises ``TaskError`` before anything is run where a budget is too small; ``KeyboardInterrupt``
    leaves the finished runs in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_budget(plan)
    total = len(plan.methods) * (plan.trials + plan.seeds)
    with tqdm(
        total=total, unit="run", desc=plan.task, disable=None if progress is None else not progress
    ) as bar:
        searched = [
            Piece(plan.task, method, trial, 0, plan.budget, plan.backend)
            for method in plan.methods
            for trial in range(plan.trials)
        ]
        found = dict(_all(searched, folder, jobs, bar))
        score = instance_of(plan.task, 0).score
        search = {m: [found[p] for p in searched if p.method == m] for m in plan.methods}
        chosen = {method: best(curves, score) for method, curves in search.items()}
        finals = [
            Piece(plan.task, method, chosen[method], seed, plan.budget, plan.backend)
            for method in plan.methods
            for seed in range(1, plan.seeds + 1)
        ]
        done = dict(_all(finals, folder, jobs, bar))
    return Outcome(
        plan, search, chosen, {m: [done[p] for p in finals if p.method == m] for m in plan.methods}
    )


def check_budget(plan: Plan) -> None:
    """Raise ``TaskError`` for the first method whose start the budget does not pay for."""
    for method in plan.methods:
        steps_for(method, instance_of(plan.task, 0), plan.budget)


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


def run_piece(piece: Piece) -> Curve:
    """One run of the sweep."""
    instance, trial = instance_of(piece.task, piece.seed), GRID[piece.trial]
    shown = array_of(piece.backend)
    budget, seed = piece.budget, piece.seed
    return train(piece.method, instance, trial, budget, seed, test=seed > 0, like=shown)


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


def _all(
    pieces: Sequence[Piece], folder: Path, jobs: int, bar: Any
) -> Iterator[tuple[Piece, Curve]]:
    missing = []
    for piece in pieces:
        kept = _kept(folder / piece.name)
        if kept is None:
            missing.append(piece)
        else:
            bar.update(1)
            yield piece, kept
    for piece, curve in _run(missing, jobs):
        write(folder / piece.name, json.dumps(curve._asdict()))
        bar.update(1)
        yield piece, curve


def _run(pieces: Sequence[Piece], jobs: int) -> Iterator[tuple[Piece, Curve]]:
    if jobs <= 1 or len(pieces) <= 1:
        for piece in pieces:
            yield piece, run_piece(piece)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(pieces)), context, initializer=_worker) as pool:
        futures = {pool.submit(run_piece, piece): piece for piece in pieces}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _worker() -> None:
    """Ctrl-C goes to every process of the terminal; only the parent acts on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _kept(path: Path) -> Curve | None:
    """What an earlier sweep finished; ``None`` where there is nothing."""
    if not path.exists():
        return None
    try:
        return Curve(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TaskError(f"{path} is damaged ({error}); delete it, and it is run again") from None
