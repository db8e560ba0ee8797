"""``accbo run`` and ``accbo list``: the tasks and the comparison of methods on them."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from accbo._columns import listed, terminal
from accbo._exit import DEPARTS, OK, Answer
from accbo._options import meant, suggestion
from accbo._pieces.kept import Kept
from accbo._pieces.workers import WorkerError
from accbo.tasks import pictures, summary
from accbo.tasks.methods import METHODS
from accbo.tasks.own import OWN
from accbo.tasks.registry import TASKS, task_named
from accbo.tasks.sweep import BACKENDS, Outcome, Plan, array_of, compare, kept_runs, references_of
from accbo.tasks.task import Task, TaskError

DIVERGED = DEPARTS


def fill_run(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo run``."""
    parser.description = (
        "The same small search for every method, then fresh seeds; the test set is "
        "read once. Exit code 0: done, 1: all runs of a method diverged, 2: could not run."
    )
    parser.add_argument(
        "task", nargs="+", metavar="TASK", help="one or more of accbo list, or all of them: all"
    )
    parser.add_argument(
        "--backend", default="numpy", metavar="NAME", help=f"{', '.join(BACKENDS)}; default numpy"
    )
    add_options(parser)
    parser.set_defaults(run=_run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every comparison."""
    parser.add_argument(
        "--algorithm",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"default: all ({', '.join(METHODS)})",
    )
    parser.add_argument("--budget", type=_count, metavar="CALLS", help="oracle calls of a run")
    parser.add_argument("--seeds", type=_count, default=5, metavar="N", help="default %(default)s")
    parser.add_argument("--jobs", type=_count, default=2, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything as JSON, several tasks by name"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write a page with pictures, several tasks in a folder each",
    )
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="DIR",
        help="each picture as PDF, SVG, PNG and CSV, several tasks in a folder each",
    )
    parser.add_argument("--resume", action="store_true", help="go on from a run that was stopped")


def fill_list(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo list``."""
    parser.set_defaults(run=_list)


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1, got {text!r}")
    return number


def _list(_: argparse.Namespace) -> Answer:
    rows = [pair for task in TASKS.values() for pair in ((task.name, task.about), ("", task.data))]
    return Answer(OK, f"{listed(rows, 16, terminal())}\n\nmethods: {', '.join(METHODS)}")


def _run(options: argparse.Namespace) -> Answer:
    names = list(TASKS) if options.task == ["all"] else dict.fromkeys(options.task)
    tasks = [task_named(name) for name in names]
    chosen = options.algorithm or METHODS
    methods = tuple(dict.fromkeys(known("method", name, METHODS) for name in chosen))
    backend = known("backend", options.backend, BACKENDS)
    array_of(backend)
    plans = [
        Plan(task.name, methods, options.budget or task.budget, options.seeds, backend)
        for task in tasks
    ]
    return run_plans(options, tasks, plans)


def run_plans(options: argparse.Namespace, tasks: Sequence[Task], plans: Sequence[Plan]) -> Answer:
    """Compare by ``plans``, one a task, and print, write and keep what ``options`` ask for."""
    _check_outputs(options, tasks)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the workers: one core each
    with contextlib.ExitStack() as stack:
        kept = [_opened(stack, plan, options.resume) for plan in plans]
        answer = _run_all(options, tasks, plans, kept)
        return replace(answer, closing=stack.pop_all().close)  # what is kept, until all is written


def _opened(stack: contextlib.ExitStack, plan: Plan, resume: bool) -> Kept:
    """Where the finished runs of ``plan`` wait, for this process alone until it leaves."""
    kept = kept_runs(plan, tell=lambda text: print(f"accbo: {text}", file=sys.stderr))
    try:
        kept.start(plan.given, resume)
    except OSError as error:
        raise TaskError(f"cannot make the folder {kept.folder}: {error.strerror}") from None
    stack.callback(kept.close)
    return kept


def _run_all(
    options: argparse.Namespace, tasks: Sequence[Task], plans: Sequence[Plan], kept: Sequence[Kept]
) -> Answer:
    codes, documents = [], {}
    for task, plan, runs in zip(tasks, plans, kept, strict=True):
        outcome = _compare(plan, runs, options.jobs)
        references = references_of(plan)
        if len(tasks) > 1:
            print(f"\n{task.name}, {plan.budget} oracle calls")
        print(summary.table(outcome, references, terminal()))
        documents[task.name] = summary.document(outcome, references)
        if options.report is not None:
            page = pictures.page(outcome, task, references, _command(options, plan))
            folder = _folder(options.report, task, len(tasks))
            print(f"report: {pictures.write_page(folder, page)}")
        if options.figures is not None:
            drawn = pictures.panels(outcome, task, references)
            folder = _folder(options.figures, task, len(tasks))
            print(f"figures: {pictures.write_figures(folder, drawn)}")
        codes.append(_code(outcome))
    files: tuple[tuple[Path, str], ...] = ()
    if options.json is not None:
        content = documents if len(tasks) > 1 else documents[tasks[0].name]
        files = ((options.json, json.dumps(content, indent=1, allow_nan=False) + "\n"),)

    def tidy() -> None:  # not before all is written: a stopped run goes on from what is there
        for runs in kept:
            runs.finish()

    return Answer(max(codes), files=files, afterwards=tidy)


def _compare(plan: Plan, kept: Kept, jobs: int) -> Outcome:
    try:
        return compare(plan, kept, jobs)
    except KeyboardInterrupt:
        print("stopped; --resume goes on from here", file=sys.stderr)
        raise
    except WorkerError as error:
        raise TaskError(str(error)) from None


def _check_outputs(options: argparse.Namespace, tasks: Sequence[Task]) -> None:
    """Before an hour is spent on what cannot be kept."""
    if options.report is not None:
        pictures.check("--report", "jinja2", "matplotlib")
    if options.figures is not None:
        pictures.check("--figures", "matplotlib")
    for place in filter(None, (options.report, options.figures)):
        for task in tasks:
            folder = _folder(place, task, len(tasks))
            _make(folder)
            _check_writable(folder, place)
    if options.json is not None:
        if options.json.is_dir():
            raise TaskError(f"cannot write {options.json}: it is a folder")
        _check_writable(options.json.resolve().parent, options.json)


def _folder(place: Path, task: Task, tasks: int) -> Path:
    """Where what is drawn of a task goes: a folder of its own where there are several."""
    return place / task.name if tasks > 1 else place


def _code(outcome: Outcome) -> int:
    return OK if all(map(summary.finished, outcome.finals.values())) else DIVERGED


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """The one of ``names`` that ``name`` spells; raises ``TaskError`` with the nearest if none."""
    known = list(names)
    found = meant(name, known)
    if found is None:
        near = suggestion(name, known)
        raise TaskError(f"there is no {kind} {name!r}{near} ({', '.join(known)})")
    return found


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TaskError(f"cannot make the folder {folder}: {error.strerror}") from None


def _check_writable(folder: Path, what: Path) -> None:
    if not folder.is_dir():
        raise TaskError(f"cannot write {what}: there is no such folder")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise TaskError(f"cannot write {what}: {error.strerror}") from None


def _command(options: argparse.Namespace, plan: Plan) -> str:
    chosen = f" --algorithm {' '.join(plan.methods)}" if options.algorithm else ""
    size = f"--budget {plan.budget} --seeds {plan.seeds}"
    if plan.backend == OWN:
        return f"accbo compare {plan.task}{chosen} {size}"
    backend = "" if plan.backend == "numpy" else f" --backend {plan.backend}"
    return f"accbo run {plan.task}{chosen} {size}{backend}"
