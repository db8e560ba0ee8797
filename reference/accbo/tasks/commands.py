"""``accbo run`` and ``accbo list``: the tasks and the comparison of methods on them."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from accbo.conformance.atomic import write
from accbo.tasks import pictures, summary
from accbo.tasks.methods import METHODS
from accbo.tasks.registry import TASKS, task_named
from accbo.tasks.sweep import BACKENDS, Outcome, Plan, array_of, compare, references_of
from accbo.tasks.task import TaskError

OK, DIVERGED = 0, 1


def add_commands(commands: Any) -> None:
    """Add ``run`` and ``list`` to the sub-parsers of ``accbo``."""
    parser = commands.add_parser(
        "run",
        help="compare methods on a task at equal oracle calls",
        description="The same small search for every method, then fresh seeds; the test set is "
        "read once. Exit code 0: done, 1: all runs of a method diverged, 2: could not run.",
    )
    parser.add_argument("task", metavar="TASK", help="accbo list shows them")
    parser.add_argument(
        "--algorithm",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"default: all ({', '.join(METHODS)})",
    )
    parser.add_argument("--budget", type=_count, metavar="CALLS", help="oracle calls of a run")
    parser.add_argument("--seeds", type=_count, default=5, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--backend", default="numpy", metavar="NAME", help=f"{', '.join(BACKENDS)}; default numpy"
    )
    parser.add_argument("--jobs", type=_count, default=2, metavar="N", help="default %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page with pictures")
    parser.add_argument("--resume", action="store_true", help="go on from a run that was stopped")
    parser.set_defaults(run=_run)
    listing = commands.add_parser("list", help="list the tasks and the methods")
    listing.set_defaults(run=_list)


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number >= 1, got {text!r}")
    return number


def _list(_: argparse.Namespace) -> int:
    for task in TASKS.values():
        print(f"{task.name:16} {task.about}\n{'':16} {task.data}")
    print(f"\nmethods: {', '.join(METHODS)}")
    return OK


def _run(options: argparse.Namespace) -> int:
    task = task_named(options.task)
    chosen = options.algorithm or METHODS
    methods = tuple(dict.fromkeys(_known("method", name, METHODS) for name in chosen))
    array_of(_known("backend", options.backend, BACKENDS))
    if options.report is not None:
        pictures.check()
        _make(options.report)
        _check_writable(options.report, options.report)
    if options.json is not None:
        if options.json.is_dir():
            raise TaskError(f"cannot write {options.json}: it is a folder")
        _check_writable(options.json.resolve().parent, options.json)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the workers: one core each
    plan = Plan(task.name, methods, options.budget or task.budget, options.seeds, options.backend)
    folder = _cache() / f"run-{plan.digest}"
    if not options.resume:
        _clear(folder)
    _make(folder)
    try:
        outcome = compare(plan, folder, options.jobs)
    except KeyboardInterrupt:
        print("stopped; --resume goes on from here", file=sys.stderr)
        raise
    references = references_of(plan)
    print(summary.table(outcome, references))
    if options.json is not None:
        content = json.dumps(summary.document(outcome, references), indent=1, allow_nan=False)
        write(options.json, content + "\n")
    if options.report is not None:
        content = pictures.page(outcome, task, references, _command(options, plan))
        print(f"report: {pictures.write_page(options.report, content)}")
    _clear(folder)
    return _code(outcome)


def _code(outcome: Outcome) -> int:
    return OK if all(map(summary.finished, outcome.finals.values())) else DIVERGED


def _known(kind: str, name: str, names: Iterable[str]) -> str:
    """``name`` if it is one of ``names``; raises ``TaskError`` with the nearest otherwise."""
    small = {each.lower(): each for each in names}
    if name not in small.values():
        near = difflib.get_close_matches(name.lower(), small, n=1, cutoff=0.3)
        hint = f"; did you mean {small[near[0]]}?" if near else ""
        raise TaskError(f"there is no {kind} {name!r}{hint} ({', '.join(small.values())})")
    return name


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TaskError(f"cannot make the folder {folder}: {error.strerror}") from None


def _check_writable(folder: Path, what: Path) -> None:
    """Before an hour is spent on what cannot be kept."""
    if not folder.is_dir():
        raise TaskError(f"cannot write {what}: there is no such folder")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise TaskError(f"cannot write {what}: {error.strerror}") from None


def _command(options: argparse.Namespace, plan: Plan) -> str:
    chosen = f" --algorithm {' '.join(plan.methods)}" if options.algorithm else ""
    backend = "" if plan.backend == "numpy" else f" --backend {plan.backend}"
    size = f"--budget {plan.budget} --seeds {plan.seeds}"
    return f"accbo run {plan.task}{chosen} {size}{backend}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accbo"


def _clear(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.glob("*.json"):
            path.unlink()
        folder.rmdir()
