"""Modules whose answer is not decided by what they are given: refused by name and line."""

from __future__ import annotations

import contextlib
import inspect
import linecache
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch

from accbo._blame import defined, located

Found = tuple[str, torch.nn.Module]


def refuse_random(objective: Callable[..., Any], *given: Any) -> None:
    """Raise ``ValueError`` for dropout, or batch norm that tracks statistics, in training mode.

    Looked for in ``given`` and in what ``objective`` closes over or names.
    """
    modules = [
        each for each in (*given, *_named_by(objective)) if isinstance(each, torch.nn.Module)
    ]
    for whole in modules:
        for name, module in whole.named_modules():
            if said := _trouble(module):
                kind, advice = said
                where = _line(whole, name, type(module).__name__, objective)
                place = f"{name} of {type(whole).__name__}" if name else type(whole).__name__
                raise ValueError(f"{place} is {kind}{where}; {advice}")


def _trouble(module: torch.nn.Module) -> tuple[str, str] | None:
    """What is wrong with a module, and what to do; None for one that is right."""
    kind = type(module).__name__
    if not module.training:
        return None
    dropout = getattr(module, "p", 0.0) if "Dropout" in kind else getattr(module, "dropout", 0.0)
    if isinstance(dropout, float) and dropout > 0:
        return (
            f"{kind} in training mode, whose mask no sample decides",
            "call eval() on the module, or apply a mask of your own, declared in upper_noise or "
            "lower_noise",
        )
    if getattr(module, "track_running_stats", False) and "Norm" in kind:
        return (
            f"{kind} in training mode, which changes its running statistics at every call",
            "call eval() on the module, or build it with track_running_stats=False",
        )
    return None


def _named_by(objective: Callable[..., Any]) -> Iterator[Any]:
    """The values that a function closes over, or names among its globals."""
    with contextlib.suppress(TypeError, ValueError):
        held = inspect.getclosurevars(inspect.unwrap(objective))
        yield from held.nonlocals.values()
        yield from held.globals.values()


def _line(whole: torch.nn.Module, name: str, kind: str, objective: Callable[..., Any]) -> str:
    """`` (FILE, line N)`` that declares a module: in its parent's class, or the first of its kind
    in the objective's file, or the objective."""
    parent = whole.get_submodule(name.rpartition(".")[0])
    attribute = name.rpartition(".")[2]
    with contextlib.suppress(TypeError, OSError):
        lines, first = inspect.getsourcelines(type(parent))
        for number, line in enumerate(lines, first):
            if re.search(rf"\b{re.escape(attribute)}\s*=", line) and kind in line:
                return located(inspect.getfile(type(parent)), number)
    with contextlib.suppress(TypeError, OSError):
        path = inspect.getfile(inspect.unwrap(objective))
        for number, line in enumerate(linecache.getlines(path), 1):
            if re.search(rf"\b{kind}\s*\(", line):
                return located(path, number)
    return defined(objective)
