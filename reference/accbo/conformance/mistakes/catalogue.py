"""All mistakes, and those that one algorithm can make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accbo.conformance.mistakes import (
    averaging,
    derivatives,
    differences,
    implicit,
    linear,
    lower,
    momentum,
    numerics,
    projections,
    samples,
    series,
    sizes,
    tables,
    upper,
)
from accbo.conformance.mistakes.changes import innermost
from accbo.conformance.mistakes.mistake import Choices, Fault, Mistake

MISTAKES: tuple[Mistake, ...] = tuple(
    mistake
    for module in (
        momentum,
        differences,
        tables,
        upper,
        lower,
        samples,
        averaging,
        sizes,
        series,
        implicit,
        linear,
        derivatives,
        projections,
        numerics,
    )
    for mistake in module.MISTAKES
)

# what the parts are called in a report
WORDS = {
    "momentum": "momentum",
    "estimate": "SPIDER differences",
    "tables": "tables",
    "x": "upper step",
    "y": "lower level",
    "refresh": "refreshes",
    "start": "start",
    "y_average": "averaging",
    "samples": "samples",
    "sizes": "step sizes",
    "series": "Neumann series",
    "h": "hypergradient",
    "z": "linear system",
    "numerics": "numerics",
    "constants": "hyper-parameters",
}


def faults_of(algorithm: type, name: str, lines: Mapping[str, str]) -> dict[str, Fault]:
    """The mistakes that an algorithm can make, by name; ``lines`` say what is right, by part.

    Raises ``KeyError`` where a line is missing, ``ValueError`` where two have one name.
    """
    found: dict[str, Fault] = {}
    for mistake in MISTAKES:
        if mistake.needs(algorithm):
            if mistake.name in found:
                raise ValueError(f"two mistakes of {name} are called {mistake.name!r}")
            found[mistake.name] = _fault(mistake, name, lines)
    return found


def _fault(mistake: Mistake, name: str, lines: Mapping[str, str]) -> Fault:
    return Fault(
        name=mistake.name,
        part=WORDS[mistake.of],
        wrong=mistake.wrong,
        right=lines[mistake.of],
        later=mistake.later,
        where=mistake.where.get(name, ""),
        apply=mistake.apply or _Plainest(mistake),
        others=mistake.ways,
        scopes=mistake.scopes,
        edge=mistake.edge,
        laws=mistake.laws,
    )


class _Plainest:
    """The change that is the first way to make a mistake."""

    def __init__(self, mistake: Mistake) -> None:
        self.mistake = mistake

    def __call__(self, algorithm: Any) -> Any:
        choices: Choices = self.mistake.ways(innermost(algorithm))[0]
        return choices[0](algorithm)
