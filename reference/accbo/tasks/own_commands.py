"""``accbo compare``: all methods on a task of the user's own, by the code of ``accbo run``."""

from __future__ import annotations

import argparse
import sys

from accbo._exit import Answer
from accbo.tasks.commands import add_options, known, run_plans
from accbo.tasks.methods import METHODS
from accbo.tasks.own import OWN, left_out, own_task
from accbo.tasks.sweep import Plan
from accbo.tasks.task import TaskError


def fill(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo compare``."""
    parser.description = (
        "All methods on a task of your own, at equal oracle calls and at equal seconds: the same "
        "small search for every method, then fresh seeds. Exit code 0: done, 1: all runs of a "
        "method diverged, 2: could not run."
    )
    parser.epilog = (
        "NAME is an accbo.Task, or a function that returns one: problem, validate(state), and "
        "where wanted start(seed), test(state) and reach"
    )
    parser.add_argument("task", metavar="FILE.py:NAME", help="or MODULE:NAME")
    add_options(parser)
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> Answer:
    if ":" not in options.task:
        raise TaskError(f"expected FILE.py:NAME or MODULE:NAME, got {options.task!r}")
    task = own_task(options.task)
    chosen = [known("method", name, METHODS) for name in options.algorithm or METHODS]
    out = left_out(options.task)
    methods = tuple(name for name in dict.fromkeys(chosen) if name not in out)
    for name in dict.fromkeys(chosen):
        if name in out:
            print(f"accbo: {name} is left out: it {out[name]}", file=sys.stderr)
    if not methods:
        raise TaskError(f"no method is left for {options.task}")
    plan = Plan(options.task, methods, options.budget or task.budget, options.seeds, OWN)
    return run_plans(options, [task], [plan])
