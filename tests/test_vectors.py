"""The set of test vectors: what it holds, and how near the array libraries come to it."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from accbo import cli
from accbo._arrays import to_host
from accbo.conformance.faults import FAULTS
from accbo.conformance.vectors.build import FOLDER, _differing, documents, make_unit, text, units
from accbo.conformance.vectors.conditions import run
from accbo.conformance.vectors.files import read_vectors
from accbo.conformance.vectors.generate import exact, make
from accbo.conformance.vectors.groups import groups
from accbo.conformance.vectors.known import known_answers
from accbo.conformance.vectors.vector import SET, Vector, encode, fields_of, load, read, set_files
from accbo.rounding import norms
from tests.backends import Backend

FIELDS = fields_of("AccBO")
# eager JAX compiles every operation for every shape and takes a minute for all of them, and a long
# run of 50 digits seconds: all in the nightly run, else the fast steps of one size, and short runs
EVERYTHING = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
QUANTILES = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1)


def vectors(prefix: str = "") -> list[Vector]:
    return [vector for vector in load() if vector.id.startswith(prefix)]


# --- what the set holds -----------------------------------------------------------------------


def test_there_are_enough_in_little_space() -> None:
    size = sum(path.stat().st_size for n in range(1, SET + 1) for path in set_files(n))
    print(f"{len(vectors())} vectors in {size / 1e6:.2f} MB")
    assert len(vectors()) >= 500
    assert size <= 10_000_000


def test_ids_are_unique_and_the_linter_has_nothing_to_say(capsys: Any) -> None:
    counts = Counter(vector.id for vector in vectors())
    assert max(counts.values()) == 1
    assert cli.main(["vectors", "lint"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_caught_by_three_vectors_fast_ones_too(name: str) -> None:
    assert sum(name in vector.flags for vector in vectors()) >= 3
    assert sum(name in vector.flags for vector in vectors() if vector.fast) >= 3


def test_all_conventions_meet() -> None:
    orders, samplings = ("simultaneous", "sequential"), ("chained", "independent", "randomised")
    met = {
        (v.algorithm.order, v.algorithm.neumann_sampling, v.algorithm.period is None)
        for v in vectors()
    }
    for order, sampling in itertools.product(orders, samplings):
        assert (order, sampling, True) in met
        assert (order, "chained", False) in met
    firsts = {v.start.first.upper[next(iter(v.start.first.upper))].shape[0] for v in starting()}
    assert firsts >= {1, 2}


def starting() -> list[Vector]:
    return [vector for vector in vectors() if vector.kind == "trajectory"]


def test_mostly_single_steps_and_no_long_trajectory() -> None:
    assert len(starting()) < len(vectors()) / 4
    assert max(len(vector.expected) for vector in vectors()) == 200
    assert sum(len(vector.expected) > 50 for vector in vectors()) <= 3
    assert min(len(vector.samples) for vector in starting()) >= 1


def test_no_hyper_parameter_at_a_half() -> None:
    for vector in vectors():
        a = vector.algorithm
        assert 0.5 not in (a.momentum, a.lower_momentum, a.averaging), vector.id


def test_the_fast_tier_is_a_cross_section() -> None:
    fast = [vector for vector in vectors() if vector.fast]
    print(f"{len(fast)} in the fast tier")
    assert 70 <= len(fast) <= 120
    for what in ("float32", "minute", "tiny", "no-momentum", "near-stationary", "replicates"):
        assert any(what in vector.id for vector in fast), what
    for what in ("beta-", "gamma-", "tau-", "1x1", "4x2", "option-ii", "trajectory", "known"):
        assert any(what in vector.id for vector in fast), what


def test_older_sets_can_be_asked_for_and_unknown_ones_cannot() -> None:
    assert {vector.since for vector in load(1)} == {1}
    assert {vector.since for vector in load()} == set(range(1, SET + 1))
    old, new = ({vector.id for vector in load(number)} for number in (1, SET))
    assert old < new
    with pytest.raises(ValueError, match=rf"there are 1 to {SET}"):
        load(SET + 1)


def test_reading_and_writing_are_inverse() -> None:
    for vector in vectors("known-answer") + vectors("trajectory"):
        again = read(encode(vector), {vector.problem_name: vector.problem})
        assert encode(again) == encode(vector)


# --- where the numbers come from ----------------------------------------------------------------


def test_known_answers() -> None:
    # make_unit raises where 50 digits and the hand differ
    assert len(make_unit("known-answer")) == len(known_answers()) >= 10
    assert all(vector.note and vector.fast for vector in vectors("known-answer"))


def test_a_wrong_hand_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from accbo.conformance.vectors import sets

    known = known_answers()[0]
    known.hand[0]["x"][0] += 2.0**-40  # type: ignore[index]
    monkeypatch.setattr(sets, "known_answers", lambda: [known])
    with pytest.raises(ValueError, match="by hand and"):
        make_unit("known-answer")


def test_fifty_digits_are_enough_and_are_used() -> None:
    import mpmath

    seen = []
    for vector in vectors()[:: len(vectors()) // 40]:
        for fifty, sixty in zip(vector.expected, exact(vector, 60), strict=True):
            for name in FIELDS:
                np.testing.assert_array_equal(fifty[name], sixty[name])
        # at 20 digits the last bit is still right nearly always, at 10 it is wrong
        few = exact(vector, 10)
        pairs = zip(vector.expected, few, strict=True)
        seen.append(any(np.any(a["momentum"] != b["momentum"]) for a, b in pairs))
    assert mpmath.mp.dps != 60
    assert sum(seen) > 30


@pytest.mark.parametrize("slug", ["quadratic-1x1", "finite_sum-sequential-independent"])
def test_the_shipped_vectors_are_those_of_the_generator(slug: str) -> None:
    shipped = {vector.id: encode(vector) for vector in vectors(f"{slug}/")}
    made = {values["id"]: values for values in make_unit(slug)}
    assert len(made) == units()[slug]
    assert _differing(shipped, made) == []


def test_a_vector_depends_on_its_group_and_number_alone() -> None:
    group = next(group for group in groups() if group.slug == "nonquadratic-4x2")
    assert encode(make(group, 3)) == encode(make(group, 3))


def test_documents_have_a_vector_a_line() -> None:
    made = {"quadratic-1x1": make_unit("quadratic-1x1")}
    document = text(documents(made)["quadratic.json"])
    assert len(document.splitlines()) == 3 + len(made["quadratic-1x1"]) + 3


# --- how near the libraries come ------------------------------------------------------------------


def test_loading_and_verifying_all_takes_less_than_ten_seconds_of_a_core() -> None:
    begin = time.process_time()  # the clock on the wall shows what else the machine does
    found = [vector for path in FOLDER.glob("*.json") for vector in read_vectors(path)]
    worst = max(max(ratios(vector, np.zeros(1, vector.dtype))) for vector in found)
    taken = time.process_time() - begin
    print(f"{len(found)} vectors read and verified in {taken:.2f} s, worst error {worst:.3f}")
    assert worst <= 1
    assert taken < 10


def test_errors_stay_within_tolerances(backend: Backend) -> None:
    found = np.asarray(list(all_ratios(backend)))
    spread = np.quantile(found, QUANTILES)
    figures = ", ".join(f"{q:.0%} {value:.4f}" for q, value in zip(QUANTILES, spread, strict=True))
    print(f"{backend.name}: error/tolerance of {len(found)} numbers: {figures}")
    assert np.max(found) <= 1
    if backend.name == "mparray":
        assert np.max(found) == 0  # the same digits
    elif len(found) > 1000:  # not the quick part, whose steps are often exact
        assert 0.01 <= np.median(found) <= 0.5


def all_ratios(backend: Backend) -> Iterator[float]:
    for vector in vectors():
        if backend.name == "mparray":
            if vector.id.endswith("/0") and (EVERYTHING or len(vector.expected) < 50):
                yield from ratios(vector, backend.like)
        elif EVERYTHING or chosen(backend.name, vector):
            yield from ratios(vector, backend.array([0.0], vector.dtype))


# of more terms, replicates and float32 those of one problem, in one sampling
COMPILED_ANEW = re.compile(
    r"eight-terms-independent|float32-.*-independent|(quadratic|relaxed_smooth|finite_sum)-.*replicates"
)


def chosen(backend: str, vector: Vector) -> bool:
    if backend == "jax":
        quick = vector.fast and vector.kind == "step" and vector.problem_name.endswith("/2x3")
        return quick and not COMPILED_ANEW.match(vector.id)
    # the same code as on its other device, which has them all
    return backend != "strict" or vector.fast


def ratios(vector: Vector, like: Any) -> list[float]:
    """‖error‖/tolerance of all fields after every iteration; where nothing is allowed, 0."""
    found = []
    for state, expected, tolerance in zip(
        run(vector, like), vector.expected, vector.tolerance, strict=True
    ):
        for name in FIELDS:
            errors = np.ravel(norms(to_host(getattr(state, name)).astype(float) - expected[name]))
            for error, allowed in zip(errors, np.ravel(tolerance[name]), strict=True):
                if allowed > 0:
                    found.append(float(error / allowed))
                else:
                    assert error == 0, f"{vector.id}: {name}"
    return found
