"""The pytest plugin: ``pytest --accbo-conform module:factory`` runs the checks as tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, in a group of their own."""
    group = parser.getgroup("accbo", "AccBO conformance")
    group.addoption(
        "--accbo-conform",
        metavar="MODULE:FACTORY",
        action="append",
        default=[],
        help="hold this implementation of AccBO to the reference, one test a case",
    )
    group.addoption("--accbo-namespace", metavar="NAME", help="arrays the factory takes")
    group.addoption("--accbo-fast", action="store_true", help="the fast tier of the cases")
    group.addoption(
        "--accbo-limit-total",
        type=float,
        metavar="S",
        help="seconds for all cases of an implementation, in each process; those left over fail",
    )


def pytest_collection(session: pytest.Session) -> None:
    """Say what is wrong before anything is collected."""
    limit = session.config.getoption("--accbo-limit-total")
    if limit is not None and not limit > 0:
        raise pytest.UsageError(f"--accbo-limit-total must be seconds above 0, got {limit:g}")
    for target in session.config.getoption("--accbo-conform"):
        _load(target)


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add one item a check behind the collected tests."""
    for target in config.getoption("--accbo-conform"):
        items.extend(_Implementation.from_parent(session, name=target).collect())


class _Implementation(pytest.Collector):
    """All checks of one factory."""

    def collect(self) -> Iterator[pytest.Item]:
        from accbo._foreign import ForeignError
        from accbo.conformance.check import named_checks

        options = self.config.option
        offered = named_checks(
            _load(self.name),
            namespace=options.accbo_namespace,
            fast=options.accbo_fast,
            limit_total=options.accbo_limit_total,
        )
        try:
            for name, make in offered:
                yield _Case.from_parent(self, name=name, make=make)
        except (ValueError, ForeignError, RuntimeError) as error:
            raise pytest.UsageError(f"--accbo-conform {self.name}: {error}") from None


class _Case(pytest.Item):
    """One check."""

    def __init__(self, *, make: Any, **options: Any) -> None:
        super().__init__(**options)
        self.make = make

    def runtest(self) -> None:
        """Skip what is not covered, fail what departs or could not run."""
        from accbo.conformance.check import settle

        settle(self.make())

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The departure alone: the traceback would be ours."""
        if isinstance(excinfo.value, AssertionError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, None, str]:
        """Where the item comes from."""
        return self.path, None, self.name


def _load(target: str) -> Any:
    from accbo.conformance.target import TargetError, load_target

    try:
        return load_target(target)
    except TargetError as error:
        raise pytest.UsageError(f"--accbo-conform {target}: {error}") from None
