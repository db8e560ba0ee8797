"""What the newest set holds of each algorithm: groups of vectors, and answers known by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from accbo.conformance.vectors.group import Group
from accbo.conformance.vectors.groups import groups
from accbo.conformance.vectors.known import Known, known_answers
from accbo.conformance.vectors.standard import standard_groups

# the others have the standard ones
OWN: Mapping[str, Callable[[], list[Group]]] = {"AccBO": groups}


def groups_of(method: str) -> list[Group]:
    """The groups of an algorithm, newest last."""
    return OWN[method]() if method in OWN else standard_groups(method)


def known_of(method: str) -> list[Known]:
    """The answers known by hand, of an algorithm."""
    return [known for known in known_answers() if type(known.algorithm).__name__ == method]
