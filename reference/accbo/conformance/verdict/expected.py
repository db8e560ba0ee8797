"""Failures that are expected: by a check's name, by a glob of names, or by a mistake's name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from accbo.conformance.verdict.report import EXPECTED, FAIL, PASS, UNEXPECTED, Check


def expectation(text: str) -> tuple[str, str]:
    """``KEY=REASON`` in two; the names of some mistakes have an `` = `` in them.

    Raises ``ValueError`` for another form.
    """
    found = re.fullmatch(r"(.*?\S)=(\S.*)", text, re.DOTALL)
    if found is None:
        raise ValueError(f"expected CHECK=REASON or MISTAKE=REASON, got {text!r}")
    return found[1], found[2]


class Expected:
    """What is expected to fail, with reasons, among the checks called ``names``.

    A key is the name of a check, a glob of names (``known-answer/*``), or one of ``mistakes``.
    Raises ``ValueError`` for a key that is none of these, unless not all checks were made.
    """

    def __init__(
        self,
        reasons: Mapping[str, str],
        names: Collection[str],
        mistakes: Collection[str],
        stopped: bool = False,
    ) -> None:
        self.checks = {key: reason for key, reason in reasons.items() if key in names}
        rest = {key: reason for key, reason in reasons.items() if key not in names}
        self.mistakes = {key: reason for key, reason in rest.items() if key in mistakes}
        self.globs = {
            key: reason
            for key, reason in rest.items()
            if key not in mistakes and any(fnmatchcase(name, key) for name in names)
        }
        unknown = [key for key in rest if key not in {*self.mistakes, *self.globs}]
        if unknown and not stopped:
            near = difflib.get_close_matches(unknown[0], [*mistakes, *names], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"expected_failures names neither checks nor mistakes: {unknown}{hint}"
            )

    def reason(self, name: str) -> str | None:
        """Why the check ``name`` is expected to fail; None if it is not."""
        if name in self.checks:
            return self.checks[name]
        return next((why for glob, why in self.globs.items() if fnmatchcase(name, glob)), None)

    def explained(self, explanations: Sequence[Sequence[str]]) -> str | None:
        """The reasons of the mistakes, where they are one of the ``explanations`` of all."""
        fits = (names for names in explanations if names and set(names) <= set(self.mistakes))
        found = next(fits, None)
        return None if found is None else "; ".join(self.mistakes[name] for name in found)

    def settle(
        self, checks: Sequence[Check], explanations: Sequence[Sequence[str]], of_all: bool
    ) -> Iterator[Check]:
        """The checks, failures that were expected being no failures, and passes being some.

        Each of ``explanations`` is the mistakes that fit, ``of_all`` whether they leave nothing
        over. Of a glob one failure is enough. Mistakes excuse the failures that they explain, and
        what is expected and not there fails, as a check called ``expected: NAME``.
        """
        whole = self.explained(explanations) if of_all else None
        for found in checks:
            why = self.reason(found.name)
            if found.status == FAIL and (why or (whole and found.departure and not found.trouble)):
                yield Check(found.name, EXPECTED, trouble=why or whole or "")
            elif found.status == PASS and found.name in self.checks:
                yield _unexpected(found.name, f"fail ({why})", "passes")
            else:
                yield found
        yield from self._missing(checks, explanations)

    def _missing(
        self, checks: Sequence[Check], explanations: Sequence[Sequence[str]]
    ) -> Iterator[Check]:
        for glob, why in self.globs.items():
            states = {found.status for found in checks if fnmatchcase(found.name, glob)}
            if FAIL not in states and PASS in states:
                yield _unexpected(f"expected: {glob}", f"fail ({why})", "passes")
        named = {name for names in explanations for name in names}
        if any(found.status in (FAIL, PASS) for found in checks):
            for name, why in self.mistakes.items():
                if name not in named:
                    yield _unexpected(f"expected: {name}", f"be found ({why})", "is not")


def _unexpected(name: str, wanted: str, what: str) -> Check:
    return Check(
        name, UNEXPECTED, trouble=f"was expected to {wanted}, and {what}: take it off the list"
    )
