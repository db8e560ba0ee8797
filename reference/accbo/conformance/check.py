"""``check``: the oracle as one function, in the manner of scikit-learn's ``check_estimator``."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from accbo._foreign import read
from accbo._limits import Limit, TooLong, at_most
from accbo.conformance.methods import DEFAULT, declared, option
from accbo.conformance.running.observation import Observation, fits
from accbo.conformance.running.observe import TIME_LIMIT, Runner
from accbo.conformance.vectors.long import long_runs
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
    strict: bool = False,
) -> Report:
    """Hold ``factory`` (``accbo.conformance.adapter``) to the reference; all checks are run.

    ``algorithm`` is the name of what it implements, ``factory.algorithm`` or AccBO by default.
    ``namespace`` is that of the arrays it takes, ``factory.namespace`` or NumPy by default.
    ``expected_failures`` maps what is expected to fail to reasons, and is strict: names of checks,
    globs of them, or names of mistakes of ``accbo faults``. ``callback`` sees every check as it
    is made. ``fast`` runs a part of the set, ``cases`` an older set. ``time_limit`` is in seconds
    a call, ``limit_total`` for all of it: what was seen until then is in the report. What
    departs where squares over- or underflow alone conforms, as the verdict says, unless
    ``strict``. Raises
    ``ConformanceError`` where something departs or could not run, unless
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
    vectors = judged_on(cases, fast, algorithm)
    name = name or getattr(factory, "__name__", type(factory).__name__)
    found = _Found()

    def judged(first: str = "") -> Report:
        return judge(
            found.observations,
            implementation=name,
            namespace=namespace,
            cases=cases,
            tier="fast" if fast else "full",
            conventions=runner.claimed,
            expected_failures=expected_failures,
            contract=found.contract,
            reproduce=_reproduce(name, algorithm) if ":" in name else "",
            stopped=found.stopped,
            strict=strict,
            first=first,
        )

    report: Report | None = None
    with at_most(limit_total) as limit:
        try:
            _look(runner, vectors, found, callback, progress, limit)
            report = judged()
        except TooLong as late:
            if late.limit is not limit:
                raise
            found.stopped = f"the limit of {limit_total:g} s for all cases was used up"
    if report is None:
        report = judged("give it more time: no mistake was looked for")
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
    for _, make in contract(runner, vectors):
        made = make()
        found.contract.append(made)
        if callback is not None:
            callback(made)
        expect_time()


def namespace_of(factory: Any, namespace: str | None = None) -> str:
    """The arrays that a factory takes: ``namespace``, its own ``namespace``, or NumPy's."""
    return namespace or str(read(factory, "namespace") or "numpy")


def _reproduce(name: str, algorithm: str) -> str:
    return f"accbo explain {name}{option(algorithm)} --check {{id}}"


def select(cases: int = SET, fast: bool = False, algorithm: str = DEFAULT) -> tuple[Vector, ...]:
    """The vectors of an algorithm's set, or of its fast tier."""
    return load(cases, algorithm, fast)


def judged_on(cases: int = SET, fast: bool = False, algorithm: str = DEFAULT) -> tuple[Vector, ...]:
    """The vectors of a set, and from the second set on runs that are longer than theirs."""
    vectors = select(cases, fast, algorithm)
    return vectors if cases == 1 else (*vectors, *long_runs(vectors))


# --- what is asked beyond the numbers -------------------------------------------------------


def contract(
    runner: Runner, vectors: Sequence[Vector]
) -> Iterator[tuple[str, Callable[[], Check]]]:
    """Whether a step and a run are deterministic and, where it is not, that ``start`` is there.

    The name of each check, and the function that makes it.
    """
    for kind in ("step", "trajectory"):
        name = f"deterministic ({kind})"
        yield name, functools.partial(_deterministic, name, runner, vectors, kind)
    if not runner.starts:
        why = "start: not covered (the factory has no start)"
        yield "start", lambda: Check("start", SKIP, trouble=why)


def _deterministic(name: str, runner: Runner, vectors: Sequence[Vector], kind: str) -> Check:
    for vector in vectors:
        if vector.kind == kind and vector.dtype == "float64":
            one = runner.run(vector, runner.modes(vector)[0])
            if not one.missing:
                return _same_twice(name, runner, one)
    return Check(name, SKIP, trouble="deterministic: not covered (no such case is)")


def _same_twice(name: str, runner: Runner, first: Observation) -> Check:
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
        trouble=f"two runs of {first.name} on the same samples differ: all randomness must come "
        "from the sample, and load() must replace all that is kept "
        f"(largest difference {gap:.3g} tolerances)",
    )
