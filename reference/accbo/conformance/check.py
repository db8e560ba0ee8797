"""``check``: the oracle as one function, in the manner of scikit-learn's ``check_estimator``."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from accbo._foreign import read
from accbo._limits import Limit, TooLong, at_most
from accbo.conformance.methods import ACCBO, declared
from accbo.conformance.running.observation import Observation, fits
from accbo.conformance.running.observe import TIME_LIMIT, Runner
from accbo.conformance.vectors.vector import SET, Vector, load
from accbo.conformance.verdict.judge import check as check_one
from accbo.conformance.verdict.judge import judge
from accbo.conformance.verdict.report import (
    ERROR,
    FAIL,
    PASS,
    SKIP,
    Check,
    ConformanceError,
    Report,
)
from accbo.namespaces import like

COMPARED = "something was compared"


def check(
    factory: Any,
    *,
    algorithm: str | None = None,
    namespace: str | None = None,
    on_fail: str = "raise",
    expected_failures: Mapping[str, str] | None = None,
    callback: Callable[[Check], Any] | None = None,
    fast: bool = False,
    cases: int = SET,
    time_limit: float | None = TIME_LIMIT,
    limit_total: float | None = None,
    progress: bool = False,
    name: str = "",
) -> Report:
    """Hold ``factory`` (``accbo.conformance.adapter``) to the reference; all checks are run.

    ``algorithm`` is the name of what it implements, ``factory.algorithm`` or AccBO by default.
    ``namespace`` is that of the arrays it takes, ``factory.namespace`` or NumPy by default.
    ``expected_failures`` maps names of checks to reasons and is strict. ``callback`` sees every
    check as it is made. ``fast`` runs a part of the set, ``cases`` an older set. ``time_limit``
    is in seconds a call, ``limit_total`` for all of them: what was judged until then is in the
    report. Raises ``ConformanceError`` where something departs or could not run, unless
    ``on_fail`` is ``"return"``; ``ForeignError`` where the factory cannot be asked what it
    covers; ``ValueError`` or ``TypeError`` for arguments that make no sense, such as an
    algorithm that is not known;
    ``NamespaceError`` where the namespace cannot be used.
    """
    if on_fail not in ("raise", "return"):
        raise ValueError(f"on_fail must be 'raise' or 'return', got {on_fail!r}")
    namespace = namespace_of(factory, namespace)
    like(namespace)  # a clear error now, not one a case
    runner = Runner(factory, namespace, time_limit)
    algorithm = declared(factory, algorithm)
    vectors = select(cases, fast, algorithm)
    name = name or getattr(factory, "__name__", type(factory).__name__)
    found = _Found()
    with at_most(limit_total) as limit:
        try:
            _look(runner, vectors, found, callback, progress, limit)
        except TooLong as late:
            if late.limit is not limit:
                raise
            found.stopped = f"the limit of {limit_total:g} s for all cases was used up"
    report = judge(
        found.observations,
        implementation=name,
        namespace=namespace,
        cases=cases,
        tier="fast" if fast else "full",
        expected_failures=expected_failures,
        contract=found.contract,
        reproduce=_reproduce(name, algorithm) if ":" in name else "",
        stopped=found.stopped,
    )
    if on_fail == "raise" and not report.conforms:
        raise ConformanceError(report)
    return report


@dataclasses.dataclass
class _Found:
    """What was seen so far; ``stopped`` says why it is not all."""

    observations: list[Observation] = dataclasses.field(default_factory=list)
    contract: list[Check] = dataclasses.field(default_factory=list)
    stopped: str = ""


def _look(
    runner: Runner,
    vectors: Sequence[Vector],
    found: _Found,
    callback: Callable[[Check], Any] | None,
    progress: bool,
    limit: Limit | None,
) -> None:
    """Run ``vectors`` and the contract's checks into ``found``."""

    def expect_time() -> None:
        if limit is not None and not limit.left:  # where no signal comes
            raise TooLong(limit)

    bar = tqdm(vectors, desc="cases", unit="case", delay=1, disable=not progress, leave=False)
    with contextlib.closing(bar):
        for vector in bar:
            for one in runner.observe(vector):
                found.observations.append(one)
                if callback is not None:
                    callback(check_one(one))
                expect_time()
            if runner.ended:
                found.stopped = f"{runner.ended}; the others were not tried"
                return
    for made in _contract(runner, vectors):
        found.contract.append(made)
        if callback is not None:
            callback(made)
        expect_time()


def namespace_of(factory: Any, namespace: str | None = None) -> str:
    """The arrays that a factory takes: ``namespace``, its own ``namespace``, or NumPy's."""
    return namespace or str(read(factory, "namespace") or "numpy")


def _reproduce(name: str, algorithm: str) -> str:
    which = "" if algorithm == ACCBO else f" --algorithm {algorithm}"
    return f"accbo explain {name}{which} --check {{id}}"


def select(cases: int = SET, fast: bool = False, algorithm: str = ACCBO) -> tuple[Vector, ...]:
    """The vectors of an algorithm's set, or of its fast tier."""
    return tuple(vector for vector in load(cases, algorithm) if vector.fast or not fast)


# --- what is asked beyond the numbers -------------------------------------------------------


def _contract(runner: Runner, vectors: Sequence[Vector]) -> Iterator[Check]:
    """Determinism, and where offered ``load`` and ``start``."""
    for kind in ("step", "trajectory"):
        for vector in vectors:
            if vector.kind != kind or vector.dtype != "float64":
                continue
            one = runner.run(vector, runner.modes(vector)[0])
            if not one.missing:
                yield _same_twice(runner, one)
                break
    if not runner.starts:
        yield Check("start", SKIP, trouble="start: not covered (the factory has no start)")


def _same_twice(runner: Runner, first: Observation) -> Check:
    name = f"deterministic ({first.name})"
    second = runner.run(first.vector, first.mode)
    trouble = first if first.trouble else second
    if trouble.trouble:
        return Check(name, ERROR if trouble.crashed else FAIL, trouble=trouble.trouble)
    gap = fits([dict(state) for state in first.states], second)
    if gap <= 1:
        return Check(name, PASS)
    return Check(
        name,
        FAIL,
        trouble="two runs on the same samples differ: all randomness must come from the sample, "
        "and load() must replace all that is kept "
        f"(largest difference {gap:.3g} tolerances)",
    )


# --- pytest ---------------------------------------------------------------------------------


def named_checks(
    factory: Any,
    *,
    algorithm: str | None = None,
    namespace: str | None = None,
    fast: bool = False,
    cases: int = SET,
    time_limit: float | None = TIME_LIMIT,
    limit_total: float | None = None,
) -> Iterator[tuple[str, Callable[[], Check]]]:
    """The name of every check, and the function that makes it.

    ``limit_total`` counts from the first one on, in the process that makes it. The last check is
    that there was something to compare at all: tests that are all skipped look green.
    """
    runner = Runner(factory, namespace_of(factory, namespace), time_limit)
    vectors = select(cases, fast, declared(factory, algorithm))
    within = _Within(limit_total)

    def make(vector: Vector, mode: str) -> Callable[[], Check]:
        name = Observation(vector, mode, ()).name
        return lambda: within(name, lambda: check_one(runner.run(vector, mode)))

    for vector in vectors:
        for mode in runner.modes(vector):
            yield Observation(vector, mode, ()).name, make(vector, mode)
    yield COMPARED, lambda: within(COMPARED, lambda: _compared(runner, vectors))


class _Within:
    """All checks of one factory share a limit, from the first one on."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._limit: Limit | None = None

    def __call__(self, name: str, make: Callable[[], Check]) -> Check:
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


def _compared(runner: Runner, vectors: Sequence[Vector]) -> Check:
    """Whether some case is covered; the first that is ends the search."""
    reason = "no case"
    for vector in vectors:
        for mode in runner.modes(vector):
            one = runner.run(vector, mode)
            if not one.missing:
                return dataclasses.replace(check_one(one), name=COMPARED)
            reason = one.missing
    return Check(COMPARED, ERROR, trouble=f"nothing was compared: {reason}")


def settle(found: Check) -> None:
    """Skip the running test where ``found`` is not covered, and fail it unless it passed.

    Not by ``assert``, which Python leaves out under -O.
    """
    import pytest

    if found.status == SKIP:
        pytest.skip(found.trouble)
    if found.status != PASS:
        raise AssertionError(found.message)


def parametrize(
    factory: Any,
    *,
    algorithm: str | None = None,
    namespace: str | None = None,
    fast: bool = False,
    cases: int = SET,
    expected_failures: Mapping[str, str] | None = None,
    time_limit: float | None = TIME_LIMIT,
    limit_total: float | None = None,
) -> Any:
    """A pytest decorator: the test gets ``check``, one function a case, and calls it.

    ``check()`` raises ``AssertionError`` with the departure, or skips what is not covered.
    ``time_limit`` and ``limit_total`` are those of ``check``.
    """
    import pytest

    expected = dict(expected_failures or {})

    def case(name: str, make: Callable[[], Check]) -> Any:
        reason = expected.pop(name, None)
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason is not None else []
        return pytest.param(lambda: settle(make()), id=name, marks=marks)

    offered = named_checks(
        factory,
        algorithm=algorithm,
        namespace=namespace,
        fast=fast,
        cases=cases,
        time_limit=time_limit,
        limit_total=limit_total,
    )
    made = [case(name, run) for name, run in offered]
    if expected:
        raise ValueError(f"expected_failures names checks that do not exist: {sorted(expected)}")
    return pytest.mark.parametrize("check", made)
