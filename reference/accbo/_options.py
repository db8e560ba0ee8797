"""What every command line of ours has: a parser that suggests, and types for common options."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any


def suggestion(name: object, known: Iterable[str]) -> str:
    """``"; did you mean X?"`` for the nearest of the ``known`` names, or nothing."""
    by_small = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), by_small, n=1)
    return f"; did you mean {by_small[near[0]]}?" if near else ""


def meant(name: object, known: Iterable[str]) -> str | None:
    """The one of ``known`` that ``name`` spells, whatever its case, hyphens and underscores."""

    def plain(text: object) -> str:
        return str(text).lower().replace("-", "").replace("_", "")

    return next((each for each in known if plain(each) == plain(name)), None)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints end with the nearest name that there is."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse does it, but the parser of a command names its own unknown options."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown and self._subparsers is None:
            self.error(self._unknown(unknown[0]))
        return parsed, unknown

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"one argument too many: {word!r}"
        options = [each for action in self._actions for each in action.option_strings]
        return f"there is no option {word}{suggestion(word.partition('=')[0], options)}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            near = f"{suggestion(value, known)} ({', '.join(known)})"
            if isinstance(action, argparse._SubParsersAction):
                raise argparse.ArgumentError(None, f"there is no command {value!r}{near}")
            raise argparse.ArgumentError(action, f"there is no {value!r}{near}")


def seconds(text: str) -> float:
    """A positive number of seconds, for an option."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be seconds above 0, got {text}")
    return value


def command_of(words: Sequence[str]) -> str | None:
    """The command that ``words`` begin with, options of the program itself aside."""
    return words[0] if words and not words[0].startswith("-") else None
