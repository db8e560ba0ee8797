"""What a mistake of the catalogues is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Change = Callable[[Any], Any]  # of an algorithm to another

# what one program does in an iteration; several where a hidden draw of its own decides
Choices = tuple[Change, ...]


class Fault(NamedTuple):
    """One mistake.

    ``part`` of the method it sits in, ``wrong`` what is done instead, ``right`` the line of
    SPEC §2 or §5 that holds, ``later`` what the mistake does in the long run, ``where`` it stands
    in published code (empty: not found there).
    """

    name: str
    part: str
    wrong: str
    right: str
    later: str
    where: str
    apply: Change
    others: Callable[[Any], list[Choices]] = lambda algorithm: []

    @property
    def found(self) -> bool:
        """Whether the mistake stands in published code."""
        return bool(self.where)

    def variants(self, algorithm: Any) -> list[Choices]:
        """The ways to make the mistake on ``algorithm``'s samples, the plainest first."""
        return self.others(algorithm) or [(self.apply,)]


def ways(*changes: Change) -> Callable[[Any], list[Choices]]:
    """One way for each change."""
    return lambda algorithm: [(change,) for change in changes]
