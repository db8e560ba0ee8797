"""The checks as tests of pytest: one a case, those of the contract, and the verdict once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from accbo._limits import Limit, TooLong, at_most
from accbo._printable import clean
from accbo.conformance.check import contract, judged_on, namespace_of
from accbo.conformance.methods import catalogue, declared
from accbo.conformance.running.observation import Observation
from accbo.conformance.running.observe import TIME_LIMIT, Runner
from accbo.conformance.vectors.vector import SET, Vector
from accbo.conformance.verdict.expected import Expected
from accbo.conformance.verdict.judge import check as check_one
from accbo.conformance.verdict.judge import judge
from accbo.conformance.verdict.report import (
    CONVENTION,
    EDGE,
    ERROR,
    EXPECTED,
    FAIL,
    PASS,
    SKIP,
    Check,
    Report,
)

VERDICT = "verdict"
Make = Callable[[], Check]


@dataclass(frozen=True)
class Verdict(Check):
    """The check that all of it conforms; its message is the diagnosis, on several lines."""

    @property
    def message(self) -> str:
        """What the report says, without the cases."""
        return clean(self.trouble, "\n")


class AsTests:
    """All checks of one factory, each made when its test asks for it.

    The arguments are those of ``check``; the limit counts from the first check on, in the process
    that makes it. What is seen is kept, and the verdict is on all of it: it makes what is missing,
    as where processes share the tests.
    """

    def __init__(
        self,
        factory: Any,
        *,
        algorithm: str | None = None,
        namespace: str | None = None,
        fast: bool = False,
        cases: int = SET,
        expected_failures: Mapping[str, str] | None = None,
        time_limit: float | None = TIME_LIMIT,
        limit_total: float | None = None,
        name: str = "",
        strict: bool = False,
    ) -> None:
        self.strict = strict
        self.implementation = name or getattr(factory, "__name__", type(factory).__name__)
        self.namespace, self.cases, self.fast = namespace_of(factory, namespace), cases, fast
        self.runner = Runner(factory, self.namespace, time_limit)
        method = declared(factory, algorithm)
        self.vectors = judged_on(cases, fast, method)
        self.reasons = dict(expected_failures or {})
        self._within = _Within(limit_total)
        self._seen: dict[str, Observation] = {}
        self._made: dict[str, Check] = {}
        self._report: Report | None = None
        self._contract = dict(contract(self.runner, self.vectors))
        names = [*self._contract, *(name for name, _ in self._observed())]
        self.expected = Expected(self.reasons, names, catalogue(method))

    def checks(self) -> Iterator[tuple[str, Make]]:
        """The name of every check, and the function that makes it; the verdict comes last."""
        for name, observe in self._observed():
            yield name, self._limited(name, partial(_checked, observe))
        for name in self._contract:
            yield name, self._limited(name, partial(self._contracted, name))
        yield VERDICT, self._limited(VERDICT, self.verdict)

    def verdict(self) -> Check:
        """Passes where all conforms under the declared conventions, and something was compared."""
        report = self.report()
        other = bool(report.counts[CONVENTION])
        status = ERROR if report.exit_code == 2 else PASS if report.conforms else FAIL
        return Verdict(VERDICT, FAIL if other else status, trouble=report.summary())

    def report(self) -> Report:
        """All checks as one report."""
        if self._report is None:
            observed = [observe() for _, observe in self._observed()]
            self._report = judge(
                observed,
                implementation=self.implementation,
                namespace=self.namespace,
                cases=self.cases,
                tier="fast" if self.fast else "full",
                conventions=self.runner.claimed,
                expected_failures=self.reasons,
                contract=[self._contracted(name) for name in self._contract],
                strict=self.strict,
            )
        return self._report

    def excuse(self, found: Check) -> str | None:
        """Why a failure was expected, or is none; None where it was not.

        What fails at the edge of the range is none where all else was judged and conforms.
        """
        reason = self.expected.reason(found.name)
        at_the_edge = found.edge and not self.strict
        if reason is not None or not (at_the_edge or (self.expected.mistakes and found.departure)):
            return reason
        whole = next((each for each in self.report().checks if each.name == found.name), found)
        if whole.status == EDGE:
            return f"{EDGE}: {found.message}"
        return whole.trouble if whole.status == EXPECTED else None

    def settle(self, found: Check) -> None:
        """Skip the running test where ``found`` is not covered, and fail it unless it passed.

        A failure that was expected is an expected failure of pytest, a pass that was not fails. Not
        by ``assert``, which Python leaves out under -O.
        """
        import pytest

        if found.status == SKIP:
            pytest.skip(found.trouble)
        if found.status == FAIL:
            reason = self.excuse(found)
            if reason is not None:
                pytest.xfail(reason)
        if found.status != PASS:
            raise AssertionError(found.message)
        if found.name in self.expected.checks:
            reason = self.expected.checks[found.name]
            raise AssertionError(
                f"was expected to fail ({reason}), and passes: take it off the list"
            )

    def _observed(self) -> Iterator[tuple[str, Callable[[], Observation]]]:
        for vector in self.vectors:
            for mode in self.runner.modes(vector):
                name = Observation(vector, mode, ()).name
                yield name, partial(self._observe, vector, mode, name)

    def _observe(self, vector: Vector, mode: str, name: str) -> Observation:
        if name not in self._seen:
            self._seen[name] = self.runner.run(vector, mode)
        return self._seen[name]

    def _contracted(self, name: str) -> Check:
        if name not in self._made:
            self._made[name] = self._contract[name]()
        return self._made[name]

    def _limited(self, name: str, make: Make) -> Make:
        return lambda: self._within(name, make)


def _checked(observe: Callable[[], Observation]) -> Check:
    return check_one(observe())


class _Within:
    """All checks of one factory share a limit, from the first one on."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._limit: Limit | None = None

    def __call__(self, name: str, make: Make) -> Check:
        if self._seconds is None:
            return make()
        if self._limit is None:
            self._limit = Limit(self._seconds, time.monotonic() + self._seconds)
        why = f"not judged: the limit of {self._seconds:g} s for all cases was used up"
        if not self._limit.left:
            return Check(name, ERROR, trouble=why)
        with at_most(self._limit.left) as limit:
            try:
                return make()
            except TooLong as late:
                if late.limit is not limit:
                    raise
                return Check(name, ERROR, trouble=why)


def parametrize(factory: Any, **options: Any) -> Any:
    """A pytest decorator: the test gets ``check``, one function a check, and calls it.

    The ``options`` are those of ``check`` (``algorithm``, ``namespace``, ``fast``, ``cases``,
    ``expected_failures``, ``time_limit``, ``limit_total``, ``strict``). ``check()`` raises
    ``AssertionError`` with the departure, or skips what is not covered; that of the last one,
    ``verdict``, has the diagnosis. Raises what ``check`` raises for arguments that make no sense.
    """
    import pytest

    tested = AsTests(factory, **options)

    def case(name: str, make: Make) -> Any:
        return pytest.param(lambda: tested.settle(make()), id=name)

    return pytest.mark.parametrize("check", [case(*each) for each in tested.checks()])
