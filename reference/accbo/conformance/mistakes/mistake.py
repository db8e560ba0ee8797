"""What a mistake is: once for all algorithms that have the part, and as one algorithm's fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

Change = Callable[[Any], Any]  # of an algorithm to another

# what one program does in an iteration; several where a hidden draw of its own decides
Choices = tuple[Change, ...]

# where a mistake is made: in the warm start, in iteration 0, in the iterations t ≥ 1
Scope = tuple[bool, bool, bool]
EVERYWHERE: Scope = (True, True, True)
SCOPES: tuple[Scope, ...] = (
    EVERYWHERE,
    (False, True, True),
    (False, False, True),
    (True, False, True),
    (True, True, False),
    (False, True, False),
    (True, False, False),
)
AS_IT_IS: tuple[Scope, ...] = (EVERYWHERE,)  # for what a change itself decides


class Mistake(NamedTuple):
    """One mistake, in every algorithm that has what it is ``of``.

    ``of`` is the part it sits in, ``wrong`` what is done instead, ``later`` what it does in the
    long run. ``ways(algorithm)`` are the ways to make it on the samples of the right algorithm,
    the plainest first; ``needs`` says of an algorithm's type whether it can make it at all.
    ``where`` maps an algorithm's name to the place in published code. ``scopes``: in which
    phases a program may make it, each being tried. ``apply``: another plainest change, for runs
    on fresh samples. ``edge``: few cases can show it, those where numbers under- or overflow,
    constants are no round ones, or x and y are of one size. ``laws``: a law of the theory must
    see it too (``theory_checks``).
    """

    name: str
    of: str
    wrong: str
    later: str
    ways: Callable[[Any], Sequence[Choices]]
    needs: Callable[[type], bool]
    where: Mapping[str, str] = MappingProxyType({})
    scopes: tuple[Scope, ...] = SCOPES
    apply: Change | None = None
    edge: bool = False
    laws: bool = True


class Fault(NamedTuple):
    """A mistake made in one algorithm.

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
    others: Callable[[Any], Sequence[Choices]] = lambda algorithm: []
    scopes: tuple[Scope, ...] = SCOPES
    edge: bool = False
    laws: bool = True

    @property
    def found(self) -> bool:
        """Whether the mistake stands in published code."""
        return bool(self.where)

    def variants(self, algorithm: Any) -> list[Choices]:
        """The ways to make the mistake on ``algorithm``'s samples, the plainest first."""
        return list(self.others(algorithm)) or [(self.apply,)]


def ways(*changes: Change) -> Callable[[Any], Sequence[Choices]]:
    """One way for each change."""
    return lambda algorithm: [(change,) for change in changes]


# --- what an algorithm has --------------------------------------------------------------------


def parts_of(cls: type) -> Mapping[str, Any]:
    """The parts of an algorithm's step by name, as they are by default."""
    default: Any = cls.__dataclass_fields__["parts"].default  # type: ignore[attr-defined]
    parts: Mapping[str, Any] = default._asdict()
    return parts


def has(*names: str) -> Callable[[type], bool]:
    """Algorithms with all of these parts, or hyper-parameters."""

    def needs(cls: type) -> bool:
        known = {*parts_of(cls), *cls.__dataclass_fields__}  # type: ignore[attr-defined]
        return set(names) <= known

    return needs


def made_by(name: str, *functions: Any) -> Callable[[type], bool]:
    """Algorithms whose part ``name`` is one of ``functions`` when it is right."""
    return lambda cls: parts_of(cls).get(name) in functions


def both(*needs: Callable[[type], bool]) -> Callable[[type], bool]:
    """Algorithms that have all of it."""
    return lambda cls: all(need(cls) for need in needs)


def without(need: Callable[[type], bool]) -> Callable[[type], bool]:
    """Algorithms that do not have it."""
    return lambda cls: not need(cls)


def every(cls: type) -> bool:
    """All algorithms."""
    return True
