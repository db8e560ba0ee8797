"""The oracle: right implementations conform, wrong ones are rejected and named."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from accbo.conformance import ConformanceError, check, factors, from_function, rows
from accbo.conformance.check import check_one, select
from accbo.conformance.methods import catalogue
from accbo.conformance.mistakes.changes import part, resume, timed
from accbo.conformance.running.observation import Observation
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.replay import expected, iterations
from accbo.conformance.vectors.vector import Vector, fields_of, load
from accbo.conformance.verdict import search as search_module
from accbo.conformance.verdict.candidate import at_the_edge
from accbo.conformance.verdict.judge import judge
from accbo.conformance.verdict.report import CONVENTION, FAIL, OTHER, PASS, SKIP
from accbo.conformance.verdict.search import FEWEST
from accbo.conformance.verdict.when import SOMETIMES
from tests.support import ALGORITHM, evidence

FIELDS = fields_of("AccBO")
FAULTS = catalogue("AccBO")

Make = Callable[[Any], Sequence[Any]]


def implementation(make: Make, fields: Sequence[str] = FIELDS, start: bool = True) -> Any:
    """A factory of the algorithms ``make(declared)``; of several, one is drawn every step."""
    draw = random.Random(1)

    class Implementation:
        batched = True

        def __init__(self, problem: Any, algorithm: Any, state: Any) -> None:
            self.problem, self.made = problem, make(algorithm)
            self.now, self.t = resume(self.made[0], state), state.iteration

        def step(self, sample: Any) -> None:
            chosen = draw.choice(self.made)
            with np.errstate(all="ignore"):
                self.now = chosen.step(self.problem, self.now, timed(chosen, self.t, sample))
            self.t += 1

        def state(self) -> dict[str, Any]:
            return {name: getattr(self.now, name) for name in fields}

    def begin(problem: Any, algorithm: Any, x: Any, y: Any, samples: Any) -> Any:
        made = Implementation.__new__(Implementation)
        made.problem, made.made, made.t = problem, make(algorithm), 1
        first = made.made[0]
        given = samples._replace(first=timed(first, 0, samples.first))
        with np.errstate(all="ignore"):
            made.now = first.init(problem, x, y, given)
        return made

    if start:
        Implementation.start = staticmethod(begin)
    return Implementation


def report(make: Make, *, fast: bool = True, **options: Any) -> Any:
    return check(implementation(make, **options), on_fail="return", fast=fast, name="mine")


Where = Callable[[Any], bool]  # of a declared algorithm: whether the mistake is made


def faulty_where(where: Where, *names: str) -> Make:
    def make(algorithm: Any) -> list[Any]:
        made = [algorithm]
        for name in names if where(algorithm) else ():
            made = [change(one) for one in made for change in FAULTS[name].variants(algorithm)[0]]
        return made

    return make


def test_the_reference_conforms_on_every_case() -> None:
    found = report(lambda algorithm: [algorithm], fast=False)
    assert found.conforms
    assert set(found.counts) == {PASS}
    assert found.counts[PASS] >= len(load())
    assert found.exit_code == 0


def only_x(one: Observation) -> Observation:
    """What an implementation that shows x alone would have shown."""
    return dataclasses.replace(one, states=tuple({"x": state["x"]} for state in one.states))


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_rejected_and_named(name: str) -> None:
    runner = Runner(implementation(faulty_where(lambda _: True, name)), "numpy")
    seen = [one for vector in evidence("AccBO", name) for one in runner.observe(vector)]
    for observations in (seen, list(map(only_x, seen))):
        found = judge(observations, implementation="mine", strict=True)
        assert found.exit_code == 1
        assert found.severity == OTHER or catalogue("AccBO")[name].edge
        assert (name,) in found.names
        others = {other for names in found.names for other in names} - {name}
        assert others <= JOINT.get(name, set()), others


# what the cases cannot tell apart, both ways
JOINT = {
    "no normalisation": {"clipping"},
    "norm that underflows": {"ε in the norm"},
    "never refreshes": {"period off by one"},  # there are no samples for a wrong refresh
}


@pytest.mark.parametrize(
    "pair",
    [
        ("stale sample", "norm per block"),
        ("series from q = 1", "random term without Q"),
        ("y_{t−1} overwritten", "no averaging"),
        ("1/l missing", "gradient at y"),
    ],
)
def test_two_faults_at_once_are_named(pair: tuple[str, str]) -> None:
    found = report(faulty_where(lambda _: True, *pair))
    assert {frozenset(names) for names in found.names} == {frozenset(pair)}


def blocks_by_plain_norms(x: Any, m: Any, size: float) -> Any:
    """Each half of x by the norm of its own half, whose squares over- and underflow."""
    first = (m.shape[-1] + 1) // 2
    halves = m[..., :first], m[..., first:]
    with np.errstate(all="ignore"):
        lengths = [np.sqrt(np.sum(half * half, axis=-1, keepdims=True)) for half in halves]
        units = [
            np.where(length > 0, half / length, 0.0)
            for half, length in zip(halves, lengths, strict=True)
        ]
    return x - size * np.concatenate(units, axis=-1)


def test_two_faults_are_named_beside_an_overflow_of_the_programs_own() -> None:
    """Three mistakes at once, of which one shows where squares leave the range alone."""

    def make(algorithm: Any) -> list[Any]:
        (wrong,) = faulty_where(lambda _: True, "stale sample")(algorithm)
        return [part(x=lambda _: blocks_by_plain_norms)(wrong)]

    runner = Runner(implementation(make), "numpy")
    vectors = [*evidence("AccBO", "stale sample"), *evidence("AccBO", "norm per block")]
    huge = [vector for vector in load() if vector.id.startswith("huge-gradients")][:4]
    chosen = {vector.id: vector for vector in (*vectors, *huge)}.values()
    seen = [one for vector in chosen for one in runner.observe(vector)]
    found = judge(seen, implementation="mine")
    assert found.names == (("stale sample", "norm per block"),)
    assert "where no square over- or underflows" in found.text()
    assert any(map(at_the_edge, seen))


# --- wrong under one convention alone ---------------------------------------------------------


def simultaneous(a: Any) -> bool:
    return a.order == "simultaneous"


def option_ii(a: Any) -> bool:
    return a.period is not None


@pytest.mark.parametrize(
    ("names", "where", "words"),
    [
        (("old point at (x_{t−1}, ŷ_t)",), simultaneous, "in simultaneous order only"),
        (("stale sample",), lambda a: a.order == "sequential", "in sequential order only"),
        (("different sample",), simultaneous, "in simultaneous order only"),
        (("silent float32",), simultaneous, "in simultaneous order only"),
        (("no averaging",), option_ii, "with Option II only"),
        (("gradient at y",), lambda a: not option_ii(a), "with Option I only"),
        (
            ("1/l missing",),
            lambda a: a.neumann_sampling == "independent",
            "with independent sampling only",
        ),
        (
            ("series from q = 1",),
            lambda a: a.neumann_sampling != "chained",
            "with independent or randomised sampling only",
        ),
        (
            ("norm per block",),
            lambda a: simultaneous(a) and option_ii(a),
            "in simultaneous order and with Option II only",
        ),
        (("stale sample", "norm per block"), simultaneous, "in simultaneous order only"),
    ],
)
def test_a_fault_under_one_convention_is_named_with_it(
    names: tuple[str, ...], where: Where, words: str
) -> None:
    runner = Runner(implementation(faulty_where(where, *names)), "numpy")
    seen = [one for vector in select(fast=True) for one in runner.observe(vector)]
    for observations in (seen, list(map(only_x, seen))):
        found = judge(observations, implementation="mine")
        assert {frozenset(one) for one in found.names} == {frozenset(names)}
        assert f" {words}" in found.text()
        assert found.as_dict()["named_where"] == words


def test_a_fault_everywhere_is_blamed_on_no_convention() -> None:
    # Option II alone can show it
    found = report(lambda a: [FAULTS["inner pair kept"].apply(a)])
    assert found.names == (("inner pair kept",),)
    assert found.diagnosis.named.where == ""


def test_conventions_that_were_not_run_apart_are_told_together() -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        if simultaneous(algorithm) == option_ii(algorithm):
            raise NotImplementedError
        (made,) = faulty_where(simultaneous, "no averaging")(algorithm)
        return made.step(problem, state, sample)

    found = check(from_function(step, batched=True), on_fail="return", fast=True)
    assert found.names == (("no averaging",),)
    assert found.diagnosis.named.where == "in simultaneous order only, or with Option I only"


@pytest.mark.parametrize(
    "make",
    [
        # another fault where the first is not made
        lambda a: faulty_where(lambda _: True, ("no averaging", "1/l missing")[simultaneous(a)])(a),
        faulty_where(lambda a: a.neumann_terms == 8, "1/l missing"),  # too few cases
    ],
)
def test_what_no_convention_explains_is_not_named(make: Make) -> None:
    found = report(make)
    assert found.exit_code == 1
    assert found.names == ()


@pytest.mark.parametrize("condition", [lambda _: True, simultaneous])
def test_what_no_convention_explains_is_named_in_some_cases(condition: Any) -> None:
    found = report(faulty_where(lambda a: condition(a) and a.momentum < 0.8, "no averaging"))
    assert found.exit_code == 1
    assert found.names == (("no averaging",),)
    assert found.diagnosis.named.where == SOMETIMES


@pytest.mark.parametrize("fault", [True, False])
def test_a_departure_elsewhere_forbids_the_name(fault: bool) -> None:
    """In one order a known mistake, or right; in the other one that is in no catalogue."""

    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        if simultaneous(algorithm):
            after = algorithm.step(problem, state, sample)
            return after._replace(y=after.y * (1 + 1e-9))
        (made,) = faulty_where(lambda _: fault, "no averaging")(algorithm)
        return made.step(problem, state, sample)

    found = check(from_function(step, batched=True), on_fail="return", fast=True)
    assert found.exit_code == 1
    assert found.names == ()


def test_few_cases_are_blamed_on_no_convention() -> None:
    wrong = FAULTS["no averaging"].apply

    def outcome(fewest: int) -> Any:
        ids = [v.id for v in select(fast=True) if v.kind == "step" and option_ii(v.algorithm)]
        vectors = [
            v for v in select(fast=True) if not option_ii(v.algorithm) or v.id in ids[:fewest]
        ]
        factory = implementation(lambda a: [wrong(a) if option_ii(a) else a])
        runner = Runner(factory, "numpy")
        return judge([one for v in vectors for one in runner.observe(v)], implementation="mine")

    assert outcome(FEWEST - 1).names == ()
    assert outcome(FEWEST).names == (("no averaging",),)


def test_trouble_elsewhere_forbids_the_name() -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        if not simultaneous(algorithm) and option_ii(algorithm):
            raise RuntimeError
        (made,) = faulty_where(simultaneous, "no averaging")(algorithm)
        return made.step(problem, state, sample)

    found = check(from_function(step, batched=True), on_fail="return", fast=True)
    assert found.exit_code == 1
    assert found.names == ()


# --- what is no fault of the catalogue ----------------------------------------------------------


@pytest.mark.parametrize("order", ["sequential", "simultaneous"])
def test_another_convention_is_told_and_is_no_fault(order: str) -> None:
    found = report(lambda algorithm: [dataclasses.replace(algorithm, order=order)])
    assert found.conforms
    assert found.names == ()
    assert found.diagnosis.convention == f"order = {order}"
    assert found.counts[CONVENTION] > 0
    assert f"another convention: order = {order}" in found.text()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("y", lambda state: state._replace(y=state.y * (1 + 1e-9))),
        ("y_average", lambda state: state._replace(y_average=state.y_average + 1e-9)),
        ("momentum", lambda state: state._replace(momentum=state.momentum * 1.01)),
        ("x", lambda state: state._replace(x=state.x * (1 + 1e-10))),
    ],
)
def test_what_is_in_no_catalogue_is_located_and_not_named(field: str, change: Any) -> None:
    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        return change(algorithm.step(problem, state, sample))

    found = check(from_function(step, batched=True), on_fail="return", fast=True)
    assert found.exit_code == 1
    assert found.names == ()
    assert found.offending == (field,)


def test_what_is_wrong_in_the_start_alone_does_not_ask_for_every_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pairs of mistakes that cannot have made iteration 0 are not replayed: there are 10⁴."""

    def begin(problem: Any, algorithm: Any, x: Any, y: Any, samples: Any) -> Any:
        state = algorithm.init(problem, x, y, samples)
        return state._replace(y_average=1.01 * state.y_average)

    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        return algorithm.step(problem, state, sample)

    replays: list[Any] = []
    replayed = search_module.replayed

    def counted(*arguments: Any, **options: Any) -> Any:
        replays.append(arguments[0])
        return replayed(*arguments, **options)

    monkeypatch.setattr(search_module, "replayed", counted)
    runner = Runner(from_function(step, start=begin), "numpy")
    chosen = ("trajectory-nonquadratic", "nonquadratic-s", "quadratic-s")
    vectors = [v for v in select(fast=True) if v.id.startswith(chosen)]
    found = judge([one for v in vectors for one in runner.observe(v)], implementation="mine")
    assert (found.names, found.offending) == ((), ("y_average",))
    assert len(replays) < MOST_REPLAYS


MOST_REPLAYS = 12_000  # one pair after the other it was 139,890


# --- arrangements that are the same mathematics ------------------------------------------------


def rearranged(seed: int) -> Any:
    """AccBO written out anew, its sums and products in an order of ``seed``'s choice."""
    choice = random.Random(seed)
    coin = [choice.random() < 0.5 for _ in range(12)]

    def total(terms: list[Any]) -> Any:
        order = list(terms)
        random.Random(seed).shuffle(order)
        return functools.reduce(lambda a, b: b + a if coin[0] else a + b, order)

    def inverse(problem: Any, a: Any, x: Any, y: Any, v: Any, sample: Any) -> Any:
        scale = a.neumann_scale

        def applied(zetas: list[Any]) -> Any:
            u = v / scale if coin[1] else v
            for zeta in zetas:
                product = problem.hvp_lower(x, y, u / scale if coin[2] else u, zeta)
                u = u - (product if coin[2] else product / scale)
            return u if coin[1] else u / scale

        terms = [applied(zetas) for zetas in factors(a, sample)]
        if a.neumann_sampling != "randomised":
            return total(terms)
        return a.neumann_terms * terms[int(sample.power["power"][0])]

    def h(problem: Any, a: Any, x: Any, y: Any, sample: Any) -> Any:
        v = problem.grad_y_upper(x, y, sample.upper)
        cross = problem.cross_lower(x, y, inverse(problem, a, x, y, v, sample), sample.cross)
        return (
            -(cross - problem.grad_x_upper(x, y, sample.upper))
            if coin[3]
            else (problem.grad_x_upper(x, y, sample.upper) - cross)
        )

    def step(problem: Any, a: Any, s: Any, sample: Any) -> Any:
        gamma, tau, beta = a.lower_momentum, a.averaging, a.momentum
        y, previous = s.y, s.y if a.period else s.y_previous
        for pi in rows(sample.lower):
            z = (1 + gamma) * y - gamma * previous if coin[4] else y + gamma * (y - previous)
            y, previous = z - a.lower_step_size * problem.grad_y_lower(s.x, z, pi), y
        mean = (
            s.y_average + tau * (y - s.y_average)
            if coin[5]
            else tau * y + (1 - tau) * (s.y_average)
        )
        new, old = (
            (mean, s.y_average) if a.order == "sequential" else (s.y_average, s.y_average_previous)
        )
        at_new, at_old = (
            h(problem, a, point, average, sample)
            for point, average in ((s.x, new), (s.x_previous, old))
        )
        m = (
            (1 - beta) * at_new + beta * (s.momentum + (at_new - at_old))
            if coin[6]
            else (at_new - beta * at_old) + beta * s.momentum
        )
        size = np.max(np.abs(m))
        unit = m / size if size > 0 else m
        length = np.linalg.norm(unit) if coin[7] else np.sqrt(np.sum(unit**2))
        move = (
            (a.upper_step_size / max(length, 1.0)) * unit
            if coin[8]
            else (a.upper_step_size * unit / max(length, 1.0))
        )
        return type(s)(s.x - move, s.x, y, s.y, mean, s.y_average, m, s.iteration + 1)

    return from_function(step)


BLOCKS = [0, 1, 2, *(pytest.param(block, marks=pytest.mark.slow) for block in range(3, 10))]


@pytest.mark.parametrize("block", BLOCKS)
def test_no_rearrangement_is_accused(block: int) -> None:
    """A hundred rearrangements a block, each on its own share of the cases."""
    vectors = [v for v in select() if not v.replicates]
    for number in range(100):
        seed = 100 * block + number
        runner = Runner(rearranged(seed), "numpy")
        for vector in vectors[seed % 40 :: 40]:
            for one in runner.observe(vector):
                found = check_one(one)
                assert found.status == PASS, (seed, found.name, found.message)


# --- bad input -------------------------------------------------------------------------------


def right(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
    return algorithm.step(problem, state, sample)


def broken(change: Callable[[dict[str, Any]], Any]) -> Any:
    """The right step whose ``state()`` is changed before it is shown."""
    factory = from_function(right)

    class Broken:
        def __init__(self, *arguments: Any) -> None:
            self.inside = factory(*arguments)

        def step(self, sample: Any) -> None:
            self.inside.step(sample)

        def state(self) -> Any:
            return change(dict(self.inside.state()))

    return Broken


MINUTE = [v for v in load() if "minute" in v.id or v.id == "known-answer/underflow-float64"]


@pytest.mark.parametrize("vector", MINUTE, ids=lambda vector: vector.id)
def test_a_wrong_tiny_momentum_is_seen_though_its_square_underflows(vector: Vector) -> None:
    factory = broken(lambda shown: {**shown, "momentum": -5 * shown["momentum"]})
    for one in Runner(factory, "numpy").observe(vector):
        found = check_one(one)
        assert found.status == FAIL
        assert found.departure is not None
        assert found.departure.quantity == "momentum"
        first = iterations(one.vector, one.mode)[0]
        at = found.departure.iteration - first
        right = expected(one.vector, one.mode)[at]["momentum"]
        assert (
            np.linalg.norm(one.states[at]["momentum"] - right) == 0
        )  # the plain norm sees nothing


def mutating(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
    after = algorithm.step(problem, state, sample)
    for leaf in sample.upper.values():
        leaf[...] = 0
    return after


def nondeterministic(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
    after = algorithm.step(problem, state, sample)
    return after._replace(x=after.x + 1e-6 * np.random.default_rng().standard_normal())


def raising(*arguments: Any) -> Any:
    raise RuntimeError("no such layer")


def endless(*arguments: Any) -> Any:
    while True:
        pass


@pytest.mark.parametrize(
    ("factory", "code", "message"),
    [
        (raising, 2, "constructor raised RuntimeError: no such layer"),
        (from_function(raising), 2, "step raised RuntimeError: no such layer"),
        (lambda *_: 3, 2, "int has no step()"),
        (broken(lambda s: {**s, "x": s["x"][:1]}), 2, "x has shape (1,), expected (2,)"),
        (broken(lambda s: {"y": s["y"]}), 2, "state() must hold 'x'"),
        (broken(lambda s: s["x"]), 2, "state() must return a mapping, got ndarray"),
        (broken(lambda s: {**s, "x": list(s["x"])}), 2, "must be an array, got list"),
        (broken(lambda s: {**s, "x": np.float32(s["x"])}), 1, "dtype float32, expected float64"),
        (broken(lambda s: {**s, "x": s["x"] * np.nan}), 1, "x is off by inf"),
        (from_function(mutating), 1, "was overwritten"),
        (from_function(nondeterministic), 1, "on the same samples differ"),
    ],
)
def test_bad_implementations_get_a_clear_message(factory: Any, code: int, message: str) -> None:
    found = check(factory, on_fail="return", fast=True)
    assert found.exit_code == code
    assert any(message in one.message for one in found.failed), found.text()


def test_a_step_that_never_returns_meets_the_limit() -> None:
    found = check(from_function(endless), on_fail="return", fast=True, time_limit=0.02)
    assert found.exit_code == 2
    assert "step did not return within 0.02 s" in found.failed[0].message


def test_what_is_not_covered_is_said_and_not_failed() -> None:
    def chained_only(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        if algorithm.period is not None:
            raise NotImplementedError("Option II")
        return algorithm.step(problem, state, sample)

    factory = from_function(chained_only, conventions={"neumann_sampling": "chained"})
    found = check(factory, fast=True)
    reasons = {one.trouble for one in found.checks if one.status == SKIP}
    assert "not covered: Option II" in reasons
    assert "start: not covered (the factory has no start)" in reasons
    assert any(reason.startswith("neumann_sampling = independent") for reason in reasons)


def test_a_departure_is_raised_unless_it_is_asked_for() -> None:
    wrong = FAULTS["no averaging"].apply

    def step(problem: Any, algorithm: Any, state: Any, sample: Any) -> Any:
        return wrong(algorithm).step(problem, state, sample)

    with pytest.raises(ConformanceError, match="no averaging"):
        check(from_function(step), fast=True)
    with pytest.raises(ValueError, match="on_fail"):
        check(from_function(step), on_fail="ignore")


def test_expected_failures_are_strict() -> None:
    factory = from_function(right)
    name = next(one.name for one in check(factory, fast=True).checks if one.status == PASS)
    found = check(factory, fast=True, on_fail="return", expected_failures={name: "why"})
    assert found.exit_code == 1
    assert "take it off the list" in found.failed[0].message
    with pytest.raises(ValueError, match="neither checks nor mistakes"):
        check(factory, fast=True, expected_failures={"nothing": "why"})


def test_an_unknown_set_and_an_unknown_convention_are_refused() -> None:
    with pytest.raises(ValueError, match="set 99"):
        check(from_function(right), cases=99)
    with pytest.raises(ValueError, match="order = 'backwards'"):
        check(from_function(right, conventions={"order": "backwards"}))


def test_the_reports_for_machines() -> None:
    import json
    from xml.etree import ElementTree

    seen: list[str] = []
    wrong = FAULTS["1/l missing"].apply
    found = check(
        implementation(lambda a: [wrong(a)]),
        on_fail="return",
        fast=True,
        callback=lambda one: seen.append(one.name),
    )
    values = json.loads(found.json())
    assert values["names"] == [["1/l missing"]]
    assert values["offending"] == ["momentum"]
    assert {one["name"] for one in values["checks"]} == set(seen)
    suite = ElementTree.fromstring(found.junit())
    failures = suite.findall(".//failure")
    assert int(suite.get("failures", "0")) == found.counts[FAIL] + 1 == len(failures)
    assert "matches “1/l missing”" in failures[-1].get("message", "")
    assert "in the long run: " in (failures[-1].text or "")
    assert suite.findall("testcase")[-1].get("name") == "verdict"
    assert int(suite.get("tests", "0")) == len(suite.findall("testcase"))


def test_the_factors_of_the_independent_series_are_all_used_once() -> None:
    algorithm = dataclasses.replace(ALGORITHM, neumann_sampling="independent", neumann_terms=5)
    vector = next(v for v in load() if v.algorithm.neumann_sampling == "independent")
    count = 10
    sample = vector.samples[0]._replace(hessian={"row": np.arange(count)[:, None]})
    used = [int(one["row"][0]) for zetas in factors(algorithm, sample) for one in zetas]
    assert sorted(used) == list(range(count))
    assert [len(zetas) for zetas in factors(algorithm, sample)] == [0, 1, 2, 3, 4]
