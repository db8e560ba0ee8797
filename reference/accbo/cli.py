"""The command ``accbo``: one program, whose commands are imported when they are asked for.

A command is a row of ``COMMANDS``: one line of help, and the function, as ``module:function``,
that fills its parser and sets ``run`` there, a function of the options that returns an
``accbo._exit.Answer``.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from accbo import __version__
from accbo._exit import COULD_NOT_RUN, finish, program, steady_streams
from accbo._options import Parser, command_of


class Command(NamedTuple):
    """A command: its line in ``accbo --help``, and what fills its parser."""

    help: str
    fill: str


CONFORMANCE = "accbo.conformance.commands"
TASKS = "accbo.tasks.commands"
COMMANDS = {
    "conform": Command("hold an implementation to the reference", f"{CONFORMANCE}:fill_conform"),
    "explain": Command(
        "print all intermediates of one step beside the implementation's",
        f"{CONFORMANCE}:fill_explain",
    ),
    "faults": Command("list the known mistakes", f"{CONFORMANCE}:fill_faults"),
    "vectors": Command(
        "test vectors for any language: verify results, list, lint, generate",
        "accbo.conformance.vector_commands:fill",
    ),
    "theory": Command(
        "measure the laws of the theory, and compare them with the prediction",
        "accbo.theory:fill",
    ),
    "trace": Command(
        "judge a training loop from the scalars that it logged", "accbo.tracing.commands:fill"
    ),
    "audit": Command("does the theory apply to a problem?", "accbo.auditing.commands:fill"),
    "run": Command("compare methods on a task at equal oracle calls", f"{TASKS}:fill_run"),
    "compare": Command(
        "all methods on a task of your own, at equal oracle calls and at equal seconds",
        "accbo.tasks.own_commands:fill",
    ),
    "list": Command("list the tasks and the methods", f"{TASKS}:fill_list"),
    "data": Command("fetch the real data of the tasks, or list them", "accbo.data_commands:fill"),
    "bench": Command("time a step, and other measurements; from a clone", "accbo.cli:fill_bench"),
    "complete": Command("complete all this in your shell", "accbo._completion:fill"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["bench"]:
        return _bench(words[1:])
    with steady_streams():
        options = parser_with([name for name in [command_of(words)] if name]).parse_args(words)
    return finish("accbo", lambda: options.run(options), getattr(options, "stopped", "interrupted"))


def parser_with(names: Collection[str]) -> Parser:
    """The program's parser, in which the commands of these ``names`` know their options."""
    parser = Parser(
        prog="accbo",
        description="Is an implementation right, do the laws hold, does the theory apply, and who "
        "is best at a task?",
        epilog="accbo COMMAND --help says more. Exit codes: 0 yes, 1 no, 2 could not tell.",
    )
    parser.add_argument("--version", action="version", version=f"accbo {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.help)
        if name in names:
            module, _, function = command.fill.partition(":")
            getattr(import_module(module), function)(added)
    return parser


# --- the benchmarks, which are no part of the installed package ---------------------------------


def fill_bench(parser: Any) -> None:
    """Fill the parser of ``accbo bench`` for a shell's completion; it has options of its own."""
    parser.description = "Everything after `accbo bench` goes to `python -m benchmarks`."


def _bench(words: Sequence[str]) -> int:
    clone = next(filter(_is_clone, [Path(__file__).parents[2], Path.cwd()]), None)
    if clone is None:
        print(
            "accbo: the benchmarks are in the source tree alone; call this in a clone of it",
            file=sys.stderr,
        )
        return COULD_NOT_RUN
    sys.path.insert(0, str(clone))
    program: Any = import_module("benchmarks.__main__")
    code: int = program.main(list(words))
    return code


def _is_clone(folder: Path) -> bool:
    return all((folder / part).is_dir() for part in ("benchmarks", "reference/accbo"))


def run() -> NoReturn:
    """The program ``accbo``: ``main``, and the end of the process with its code."""
    program(main)


if __name__ == "__main__":
    run()
