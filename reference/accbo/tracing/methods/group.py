"""A group: equations that are judged together, and the mistakes that change them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from accbo.tracing.parts import Checks, Constants
from accbo.tracing.rows import Rows

Judge = Callable[..., Checks]  # (rows, constants) to what is judged


@dataclass(frozen=True)
class Wrong:
    """A mistake by its name in the catalogue, and what the equations are where it is made.

    ``alone``: its equations need less than the right ones, and are tried where these cannot be
    judged: code that is right does not satisfy them. ``also`` is another group in which the
    mistake shows as well: where it does not, it is not this one; ``only``: one in which it does
    not.
    """

    name: str
    judge: Judge
    alone: bool = False
    also: str = ""
    only: str = ""


@dataclass(frozen=True)
class Group:
    """``line`` is the right line, ``fits`` maps a key to the constant it is affine in.

    ``rare``: what is judged may happen by chance where samples have few values.
    """

    name: str
    line: str
    judge: Judge
    wrong: tuple[Wrong, ...] = ()
    fits: Mapping[str, str] = field(default_factory=dict)
    rare: bool = False
    compared: int = 32  # pairs of samples in an iteration, about


def ways(
    name: str,
    judge: Callable[..., Checks],
    *options: Mapping[str, Any],
    alone: bool = False,
    also: str = "",
    only: str = "",
) -> list[Wrong]:
    """One ``Wrong`` of the same name for each set of keyword arguments."""
    return [Wrong(name, _with(judge, one), alone, also, only) for one in options]


def _with(judge: Callable[..., Checks], options: Mapping[str, Any]) -> Judge:
    def judged(rows: Rows, c: Constants) -> Checks:
        return judge(rows, c, **options)

    return judged
