"""What shows late: long runs, and what a verdict on their beginning may claim."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accbo.conformance import check
from accbo.conformance.check import judged_on, select
from accbo.conformance.methods import METHODS
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.long import ITERATIONS, OF_FAST, long_runs
from accbo.conformance.vectors.vector import Vector, convention
from accbo.conformance.verdict.judge import check as check_one
from accbo.conformance.verdict.report import CONVENTION, EXPECTED, FAIL
from tests.variants import implementation

SIGN = "sign of the implicit term"
Late = Callable[[Any, int], None]  # (the object, which of its own steps was taken)


def right(declared: Any) -> list[Any]:
    return [declared]


def sequential(declared: Any) -> list[Any]:
    return [dataclasses.replace(declared, order="sequential")]


def mistaken(declared: Any) -> list[Any]:
    return [METHODS["AccBO"].faults[SIGN].variants(declared)[0][0](declared)]


def factory(late: Late, make: Any = right, method: str = "AccBO") -> Any:
    """What ``make`` is, and does something to itself after each of its own steps."""
    base: Any = implementation(make, method)

    class Counts(base):  # type: ignore[misc]
        taken = 0

        def __init__(self, problem: Any, declared: Any, state: Any) -> None:
            super().__init__(problem, declared, state)
            self.declared = declared

        def step(self, sample: Any) -> None:
            super().step(sample)
            self.taken += 1
            late(self, self.taken)

    def begin(*given: Any) -> Any:
        made = base.start(*given)
        made.__class__, made.declared = Counts, given[1]
        return made

    Counts.start = staticmethod(begin)
    return Counts


def halves_its_step(made: Any, taken: int) -> None:
    if taken == 10:
        made.made = [
            dataclasses.replace(each, upper_step_size=each.upper_step_size / 2)
            for each in made.made
        ]


def is_lost(made: Any, taken: int) -> None:
    if taken >= 9:
        made.now = made.now._replace(x=made.now.x * np.nan)


def is_lost_where_it_departs(made: Any, taken: int) -> None:
    """Of a sequential program: in the other order, after the eight iterations that are replayed."""
    if made.declared.order == "simultaneous":
        is_lost(made, taken)


def crashes(made: Any, taken: int) -> None:
    if taken >= 9:
        raise ValueError("boom")


def kind(vector: Vector) -> tuple[Any, ...]:
    return (*convention(vector).values(), vector.replicates)


@pytest.mark.parametrize(
    ("method", "fast"),
    [*((method, True) for method in METHODS), ("AccBO", False)],
)
def test_every_convention_has_a_long_run(method: str, fast: bool) -> None:
    vectors = judged_on(fast=fast, algorithm=method)
    runs = [v for v in vectors if len(v.expected) > (OF_FAST if fast else ITERATIONS)]
    trajectories = [v for v in vectors if len(v.samples) > 1]
    assert set(map(kind, runs)) == set(map(kind, trajectories))
    assert len({v.id for v in vectors}) == len(vectors)


def test_a_set_that_is_pinned_has_none() -> None:
    assert judged_on(1) == select(1)


def test_a_long_run_begins_as_its_vector() -> None:
    vectors = {f"long-run/{v.id.replace('/', '-')}": v for v in select(fast=True)}
    for run in long_runs(tuple(vectors.values())):
        base = vectors[run.id]
        for got, wanted, allowed in zip(run.expected, base.expected, base.tolerance, strict=False):
            for name in base.fields:  # at 50 digits, and in float64
                assert np.all(np.abs(got[name] - wanted[name]) <= allowed[name][..., None])


@pytest.mark.parametrize("method", METHODS)
def test_a_schedule_of_its_own_departs(method: str) -> None:
    report = check(factory(halves_its_step, method=method), on_fail="return", fast=True)
    assert report.exit_code == 1
    assert report.names == ()
    assert "only in long runs, from iteration 11 on" in report.text()
    assert {found.name.partition("/")[0] for found in report.failed} == {"long-run"}


def skips_a_refresh_of_one_replicate(made: Any, taken: int) -> None:
    y = made.now.y
    if y.ndim > 1 and made.made[0].refreshes(taken):
        made.now = made.now._replace(y=np.concatenate([y[:1] + 0.125, y[1:]]))


def test_a_refresh_of_one_replicate_alone_departs() -> None:
    made = factory(skips_a_refresh_of_one_replicate, method="BOREP")
    assert check(made, on_fail="return", limit_total=4.0).exit_code == 1


def test_a_convention_holds_to_the_end() -> None:
    plain = check(factory(lambda *_: None, sequential), on_fail="return", fast=True)
    assert plain.exit_code == 0
    assert plain.counts[CONVENTION]
    report = check(factory(is_lost_where_it_departs, sequential), on_fail="return", fast=True)
    assert report.exit_code == 1
    assert not report.counts[CONVENTION]


def test_a_mistake_holds_to_the_end() -> None:
    reasons = {SIGN: "known"}
    plain = check(
        factory(lambda *_: None, mistaken), on_fail="return", fast=True, expected_failures=reasons
    )
    assert plain.exit_code == 0
    assert plain.names == ((SIGN,),)
    report = check(
        factory(is_lost, mistaken), on_fail="return", fast=True, expected_failures=reasons
    )
    assert report.exit_code == 1
    assert report.names == ()
    assert not report.counts[EXPECTED]
    assert f"in the first 8 iterations of every run it looks like “{SIGN}”" in report.text()


def test_a_mistake_excuses_no_exception() -> None:
    report = check(
        factory(crashes, mistaken),
        on_fail="return",
        fast=True,
        expected_failures={SIGN: "known"},
    )
    assert report.exit_code == 1
    assert all("boom" in found.message for found in report.failed)


class Unfinished:
    """Wrong after iteration 0, and without a step."""

    batched = True

    def __init__(self, problem: Any, algorithm: Any, state: Any) -> None:
        self.problem, self.algorithm, self.now, self.began = problem, algorithm, state, False

    @classmethod
    def start(cls, problem: Any, algorithm: Any, x: Any, y: Any, start: Any) -> Unfinished:
        made = cls(problem, algorithm, algorithm.init(problem, x, y, start))
        made.now, made.began = made.now._replace(x=made.now.x * np.nan), True
        return made

    def step(self, sample: Any) -> None:
        if self.began:
            raise NotImplementedError("no step after a start")
        self.now = self.algorithm.step(self.problem, self.now, sample)

    def state(self) -> dict[str, Any]:
        return dict(self.now._asdict())


def test_what_was_wrong_before_a_case_is_not_covered_stays_wrong() -> None:
    run = next(vector for vector in select(fast=True) if vector.kind == "trajectory")
    seen = Runner(Unfinished, "numpy").run(run, "start")
    assert not seen.missing
    assert len(seen.states) == 1
    assert check_one(seen).status == FAIL


def writes(made: Any, taken: int) -> None:
    made.problem.hessian *= 1.5


def test_no_program_can_spoil_the_problem_of_the_next() -> None:
    vector = next(v for v in select(fast=True) if hasattr(v.problem, "hessian"))
    before = vector.problem.hessian.copy()
    Runner(factory(writes), "numpy").run(vector, "step")
    assert np.array_equal(vector.problem.hessian, before)


def test_the_order_of_bytes_is_no_departure() -> None:
    base: Any = implementation(right, "AccBO")

    class Swapped(base):  # type: ignore[misc]
        def state(self) -> dict[str, Any]:
            return {name: a.astype(a.dtype.newbyteorder()) for name, a in super().state().items()}

    assert check(Swapped, on_fail="return", fast=True).exit_code == 0


def test_a_limit_ends_the_search_too() -> None:
    report = check(Unfinished, on_fail="return", limit_total=2.0)
    assert report.exit_code == 1
    assert "the limit of 2 s for all cases was used up" in report.text()


@pytest.mark.parametrize("algorithm", [METHODS["SLIP"].algorithm, ["SLIP"]])
def test_what_it_implements_is_a_name(algorithm: Any) -> None:
    made = factory(lambda *_: None)
    made.algorithm = algorithm
    with pytest.raises(ValueError, match="there is no algorithm"):
        check(made)


def test_a_convention_is_a_word() -> None:
    made = factory(lambda *_: None)
    made.conventions = {"order": 3}
    with pytest.raises(ValueError, match=r"factory\.conventions has order = 3"):
        check(made)
