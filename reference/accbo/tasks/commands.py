"""``accbo run`` and ``accbo list``: the tasks and the comparison of methods on them."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from pathlib import Path
from typing import Any

from accbo.conformance.atomic import write
from accbo.tasks import pictures, summary
from accbo.tasks.methods import METHODS
from accbo.tasks.registry import TASKS, task_named
from accbo.tasks.sweep import Outcome, Plan, compare, instance_of
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
    parser.add_argument("--jobs", type=_count, default=2, metavar="N", help="default %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page with pictures")
    parser.add_argument("--resume", action="store_true", help="go on from a run that was stopped")
    parser.set_defaults(run=_run)
    listing = commands.add_parser("list", help="list the tasks and the methods")
    listing.set_defaults(run=_list)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def _list(_: argparse.Namespace) -> int:
    for task in TASKS.values():
        print(f"{task.name:16} {task.about}\n{'':16} {task.data}")
    print(f"\nmethods: {', '.join(METHODS)}")
    return OK


def _run(options: argparse.Namespace) -> int:
    task = task_named(options.task)
    methods = tuple(dict.fromkeys(_method(name) for name in options.algorithm or METHODS))
    if options.report is not None:
        pictures.check()
        options.report.mkdir(parents=True, exist_ok=True)
    if options.json is not None and not options.json.resolve().parent.is_dir():
        raise TaskError(f"cannot write {options.json}: there is no such folder")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the workers: one core each
    plan = Plan(task.name, methods, options.budget or task.budget, options.seeds)
    folder = _cache() / f"run-{plan.digest}"
    if not options.resume:
        _clear(folder)
    try:
        outcome = compare(plan, folder, options.jobs)
    except KeyboardInterrupt:
        print("stopped; --resume goes on from here", file=sys.stderr)
        raise
    references = instance_of(task.name, 1).references()
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


def _method(name: str) -> str:
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise TaskError(f"there is no method {name!r}{hint} ({', '.join(METHODS)})")
    return name


def _command(options: argparse.Namespace, plan: Plan) -> str:
    chosen = f" --algorithm {' '.join(plan.methods)}" if options.algorithm else ""
    return f"accbo run {plan.task}{chosen} --budget {plan.budget} --seeds {plan.seeds}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "accbo"


def _clear(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.glob("*.json"):
            path.unlink()
        folder.rmdir()
