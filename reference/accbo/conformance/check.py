"""``check``: the oracle as one function, in the manner of scikit-learn's ``check_estimator``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from accbo.conformance.judge import check as check_one
from accbo.conformance.judge import judge
from accbo.conformance.methods import declared
from accbo.conformance.namespaces import like
from accbo.conformance.observation import Observation, fits
from accbo.conformance.observe import TIME_LIMIT, Runner
from accbo.conformance.report import FAIL, PASS, SKIP, Check, ConformanceError, Report
from accbo.conformance.vector import ACCBO, SET, Vector, load

TROUBLES = 25  # in a row from the first check on: then nothing will come of it


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
    progress: bool = False,
    name: str = "",
) -> Report:
    """Hold ``factory`` (``accbo.conformance.adapter``) to the reference; all checks are run.

    ``algorithm`` is the name of what it implements, ``factory.algorithm`` or AccBO by default.
    ``namespace`` is that of the arrays it takes, ``factory.namespace`` or NumPy by default.
    ``expected_failures`` maps names of checks to reasons and is strict. ``callback`` sees every
    check as it is made. ``fast`` runs a part of the set, ``cases`` an older set. ``time_limit``
    is in seconds a call. Raises ``ConformanceError`` where something departs, unless ``on_fail``
    is ``"return"``; ``ValueError`` or ``TypeError`` for arguments that make no sense, such as an
    algorithm that is not known;
    ``NamespaceError`` where the namespace cannot be used.
    """
    if on_fail not in ("raise", "return"):
        raise ValueError(f"on_fail must be 'raise' or 'return', got {on_fail!r}")
    namespace = namespace or getattr(factory, "namespace", None) or "numpy"
    like(namespace)  # a clear error now, not one a case
    runner = Runner(factory, namespace, time_limit)
    algorithm = declared(factory, algorithm)
    vectors = select(cases, fast, algorithm)
    name = name or getattr(factory, "__name__", type(factory).__name__)
    observations = []
    for one in _observed(runner, vectors, progress):
        observations.append(one)
        if callback is not None:
            callback(check_one(one))
    contract = list(_contract(runner, vectors))
    for made in contract if callback is not None else ():
        callback(made)  # type: ignore[misc]
    report = judge(
        observations,
        implementation=name,
        namespace=namespace,
        cases=cases,
        tier="fast" if fast else "full",
        expected_failures=expected_failures,
        contract=contract,
        reproduce=_reproduce(name, algorithm) if ":" in name else "",
    )
    if on_fail == "raise" and not report.conforms:
        raise ConformanceError(report)
    return report


def _reproduce(name: str, algorithm: str) -> str:
    which = "" if algorithm == ACCBO else f" --algorithm {algorithm}"
    return f"accbo explain {name}{which} --check {{id}}"


def select(cases: int = SET, fast: bool = False, algorithm: str = ACCBO) -> tuple[Vector, ...]:
    """The vectors of an algorithm's set, or of its fast tier."""
    return tuple(vector for vector in load(cases, algorithm) if vector.fast or not fast)


def _observed(runner: Runner, vectors: Sequence[Vector], progress: bool) -> Iterator[Observation]:
    bar = tqdm(vectors, desc="cases", unit="case", delay=1, disable=not progress, leave=False)
    troubles = seen = 0
    for vector in bar:
        for one in runner.observe(vector):
            yield one
            seen += not one.missing
            troubles += bool(one.trouble) and not one.states
        if seen == troubles >= TROUBLES:
            bar.close()
            return


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
    if not hasattr(runner.factory, "start"):
        yield Check("start", SKIP, trouble="start: not covered (the factory has no start)")


def _same_twice(runner: Runner, first: Observation) -> Check:
    name = f"deterministic ({first.name})"
    second = runner.run(first.vector, first.mode)
    if first.trouble or second.trouble:
        return Check(name, FAIL, trouble=first.trouble or second.trouble)
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
) -> Iterator[tuple[str, Callable[[], Check]]]:
    """The name of every check, and the function that makes it."""
    namespace = namespace or getattr(factory, "namespace", None) or "numpy"
    runner = Runner(factory, namespace)
    vectors = select(cases, fast, declared(factory, algorithm))

    def make(vector: Vector, mode: str) -> Callable[[], Check]:
        return lambda: check_one(runner.run(vector, mode))

    for vector in vectors:
        for mode in runner.modes(vector):
            yield Observation(vector, mode, ()).name, make(vector, mode)


def parametrize(
    factory: Any,
    *,
    algorithm: str | None = None,
    namespace: str | None = None,
    fast: bool = False,
    cases: int = SET,
    expected_failures: Mapping[str, str] | None = None,
) -> Any:
    """A pytest decorator: the test gets ``check``, one function a case, and calls it.

    ``check()`` raises ``AssertionError`` with the departure, or skips what is not covered.
    """
    import pytest

    expected = dict(expected_failures or {})

    def case(name: str, make: Callable[[], Check]) -> Any:
        def run() -> None:
            found = make()
            if found.status == SKIP:
                pytest.skip(found.trouble)
            assert found.status == PASS, found.message

        reason = expected.pop(name, None)
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason is not None else []
        return pytest.param(run, id=name, marks=marks)

    offered = named_checks(
        factory, algorithm=algorithm, namespace=namespace, fast=fast, cases=cases
    )
    made = [case(name, run) for name, run in offered]
    if expected:
        raise ValueError(f"expected_failures names checks that do not exist: {sorted(expected)}")
    return pytest.mark.parametrize("check", made)
