"""``accbo complete``: what a shell needs to complete our commands and options."""

from __future__ import annotations

import argparse
from pathlib import Path

from accbo._exit import COULD_NOT_RUN, OK, Answer
from accbo._extras import install
from accbo.cli import COMMANDS, parser_with

SHELLS = ("bash", "zsh", "tcsh")


def fill(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of ``accbo complete``."""
    parser.description = "Print a script that completes accbo's commands, options and files."
    parser.epilog = 'for bash: eval "$(accbo complete bash)" in ~/.bashrc. Takes shtab: '
    parser.epilog += install("completion")
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=_print)


def _print(options: argparse.Namespace) -> Answer:
    try:
        import shtab
    except ImportError:
        complaint = f"accbo: completion needs shtab; {install('completion')}"
        return Answer(COULD_NOT_RUN, complaint=complaint)
    parser = parser_with(COMMANDS)
    for each in _parsers(parser):
        for action in each._actions:
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return Answer(OK, shtab.complete(parser, shell=options.shell))


def _parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """``parser`` and those of its commands, at every depth."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [below for each in action.choices.values() for below in _parsers(each)]
    return found
