"""The pytest plugin: ``pytest --accbo-conform module:factory`` runs the checks as tests."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, in a group of their own, and a key of pytest's configuration for each."""
    group = parser.getgroup("accbo", "AccBO conformance")
    group.addoption(
        "--accbo-conform",
        metavar="MODULE:FACTORY",
        action="append",
        default=[],
        help="hold this implementation of AccBO to the reference, one test a case",
    )
    group.addoption(
        "--accbo-algorithm", metavar="NAME", help="what it implements, its own word by default"
    )
    group.addoption("--accbo-cases", metavar="N", help="the set of cases, the newest by default")
    group.addoption("--accbo-namespace", metavar="NAME", help="arrays the factory takes")
    group.addoption("--accbo-fast", action="store_true", help="the fast tier of the cases")
    group.addoption(
        "--accbo-limit-total",
        metavar="S",
        help="seconds for all cases of an implementation, in each process; those left over fail",
    )
    group.addoption(
        "--accbo-expect",
        metavar="WHAT=REASON",
        action="append",
        default=[],
        help="what is expected to fail, as for accbo conform --expect",
    )
    group.addoption(
        "--accbo-strict",
        action="store_true",
        help="what departs where squares over- or underflow alone is a departure too",
    )
    for option in group.options:
        name = option.names()[0]
        kind: Any = _KINDS.get(name, "string")
        parser.addini(name[2:].replace("-", "_"), f"as {name}", type=kind)


_KINDS = {
    "--accbo-conform": "linelist",
    "--accbo-expect": "linelist",
    "--accbo-fast": "bool",
    "--accbo-strict": "bool",
}


class _Options(NamedTuple):
    """What was asked for: on the command line, else in the configuration."""

    conform: list[str]
    algorithm: str | None
    cases: int | None
    namespace: str | None
    fast: bool
    limit_total: float | None
    expect: list[str]
    strict: bool


def _options(config: pytest.Config) -> _Options:
    """Raises ``pytest.UsageError`` for a number that is none."""

    def given(name: str) -> Any:
        name = f"accbo_{name}"
        return config.getoption(name) or config.getini(name)

    def number(name: str, kind: type, wanted: str) -> Any:
        text = given(name)
        try:
            value = kind(text) if text else None
        except ValueError:
            value = 0
        if value is None or 0 < value < float("inf"):
            return value
        shown = f"--accbo-{name.replace('_', '-')}"
        raise pytest.UsageError(f"{shown} must be {wanted}, got {text}")

    return _Options(
        conform=given("conform"),
        algorithm=given("algorithm") or None,
        cases=number("cases", int, "the number of a set"),
        namespace=given("namespace") or None,
        fast=bool(given("fast")),
        limit_total=number("limit_total", float, "seconds above 0"),
        expect=given("expect"),
        strict=bool(given("strict")),
    )


def pytest_collection(session: pytest.Session) -> None:
    """Say what is wrong before anything is collected."""
    for target in _options(session.config).conform:
        _load(target)


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add one item a check behind the collected tests."""
    for target in _options(config).conform:
        items.extend(_Implementation.from_parent(session, name=target).collect())


class _Implementation(pytest.Collector):
    """All checks of one factory."""

    def collect(self) -> Iterator[pytest.Item]:
        from accbo._foreign import ForeignError
        from accbo.conformance.as_tests import AsTests
        from accbo.conformance.vectors.vector import SET
        from accbo.conformance.verdict.expected import expectation

        options = _options(self.config)
        try:
            tested = AsTests(
                _load(self.name),
                algorithm=options.algorithm,
                namespace=options.namespace,
                fast=options.fast,
                cases=SET if options.cases is None else options.cases,
                expected_failures=dict(map(expectation, options.expect)),
                limit_total=options.limit_total,
                name=self.name,
                strict=options.strict,
            )
            for name, make in tested.checks():
                yield _Case.from_parent(self, name=name, make=make, tested=tested)
        except (ValueError, ForeignError, RuntimeError) as error:
            raise pytest.UsageError(f"--accbo-conform {self.name}: {error}") from None


class _Case(pytest.Item):
    """One check."""

    def __init__(self, *, make: Any, tested: Any, **options: Any) -> None:
        super().__init__(**options)
        self.make, self.tested = make, tested

    def runtest(self) -> None:
        """Skip what is not covered, fail what departs or could not run."""
        self.tested.settle(self.make())

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The departure alone: the traceback would be ours."""
        if isinstance(excinfo.value, AssertionError | pytest.xfail.Exception):
            return _Said(str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, None, str]:
        """Where the item comes from."""
        return self.path, None, self.name


class _Said:
    """A failure in words, whose first line stands in pytest's summary and in JUnit."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reprcrash = SimpleNamespace(message=text.partition("\n")[0])

    def __str__(self) -> str:
        """All of it."""
        return self.text

    def toterminal(self, terminal: Any) -> None:
        """All of it, among the failures."""
        for line in self.text.split("\n"):
            terminal.line(line)


def _load(target: str) -> Any:
    from accbo.conformance.running.target import TargetError, load_target

    try:
        return load_target(target)
    except TargetError as error:
        raise pytest.UsageError(f"--accbo-conform {target}: {error}") from None
