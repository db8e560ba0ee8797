"""Wrong programs that stand in no catalogue: rejected, never named falsely, located."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from accbo.conformance.check import select
from accbo.conformance.methods import METHODS
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import as_fields
from accbo.conformance.verdict.judge import check as check_one
from accbo.conformance.verdict.locate import offending
from accbo.conformance.verdict.report import PASS
from tests.catalogue_sweep import named
from tests.wrong_programs import (
    DIFFERENT,
    all_edits,
    distance,
    factory,
    fresh,
    gap,
    known_wrong,
    outcome,
    plain,
    rearranged,
    right,
    with_edit,
    wrong_programs,
)
from tests.wrong_sweep import is_true, observed, said, sweep

# of each algorithm in the slow tier; `python -m tests.wrong_sweep 34` and `tests.catalogue_sweep`
# are the whole sweeps, of an hour
PROGRAMS, REARRANGED = 5, 8


@pytest.mark.parametrize("method", METHODS)
def test_the_plain_programs_are_right(method: str) -> None:
    """Against the reference, on the numbers that decide what is true."""
    for one, states in zip(fresh(method), right(method), strict=True):
        if one.state is None:
            now = one.algorithm.init(one.problem, one.x, one.y, one.start)
            assert gap(states[0], as_fields(now)) < 1e-13
            states = states[1:]
        else:
            now = one.state
        for sample, state in zip(one.samples, states, strict=True):
            now = one.algorithm.step(one.problem, now, sample)
            assert gap(state, as_fields(now)) < 1e-13


@pytest.mark.parametrize("method", METHODS)
def test_there_are_edits_of_many_kinds(method: str) -> None:
    kinds = Counter(edit.kind for edit in all_edits(method))
    assert sum(kinds.values()) > 500
    assert len(kinds) > 12


def as_it_should_be(method: str, programs: int, seed: int) -> None:
    found = list(sweep([method], programs, seed, fast=method == "AccBO"))
    assert len(found) == programs
    assert [str(one) for one in found if one.kind in ("accepted", "named falsely")] == []
    assert [str(one) for one in found if not one.names and one.kind != "located"] == []


@pytest.mark.parametrize("method", ["AccBO", "SLIP", "TTSA"])
def test_some_wrong_programs(method: str) -> None:
    as_it_should_be(method, 1, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_wrong_programs(method: str) -> None:
    as_it_should_be(method, PROGRAMS, seed=1)


@pytest.mark.parametrize(
    ("method", "text", "function", "quantity"),
    [
        # a batch's mean at a refresh, which no state shows, and x moves by it
        ("VRBO", "total / a.neumann_scale  →  total / np.sqrt(a.neumann_scale)", "", "estimate"),
        (
            "VRBO",
            "x - a.upper_step_size * s['estimate']  →  x + a.upper_step_size * s['estimate']",
            "",
            "x",
        ),
        # of a start whose y is not shown everything is wrong, and y is its cause
        ("VRBO", "rows(batches)  →  list(rows(batches))[:-1]", "descent", "y"),
        # what is computed from a table is no cause of it
        ("SABA", "mean(values)  →  values[0]", "filled", "tables.grad_x_upper.mean"),
    ],
)
def test_the_first_cause_is_named(method: str, text: str, function: str, quantity: str) -> None:
    wrong = known_wrong(with_edit(method, text, function))
    found, _ = offending(observed(wrong.program, fast=False))
    assert quantity in wrong.quantities
    assert found[0] in wrong.quantities


def test_a_name_is_held_against_the_program() -> None:
    """Of a program that is a mistake of the catalogue its name is true, and no other one is."""
    text = "z - a.linear_step_size * (product - v)  →  z + a.linear_step_size * (product - v)"
    wrong = known_wrong(with_edit("SLIP", text))
    seen = observed(wrong.program, fast=True)
    name = "z step with the wrong sign"
    assert is_true(wrong, (name,), "", "", seen)
    others = [other for other in METHODS["SLIP"].faults if other != name][::3]
    assert [other for other in others if is_true(wrong, (other,), "", "", seen)] == []
    assert said(wrong).names == ((name,),)


def test_an_edit_that_changes_nothing_is_no_wrong_program() -> None:
    made = with_edit("SLIP", "(1 - a.momentum) * d  →  d", "slip")
    assert distance(outcome(made) or [], right("SLIP")) > DIFFERENT
    assert distance(outcome(plain("SLIP")) or [], right("SLIP")) == 0
    texts = [one.text for one in itertools.islice(wrong_programs("SLIP", 3), 5)]
    assert texts == [one.text for one in itertools.islice(wrong_programs("SLIP", 3), 5)]
    assert len(set(texts)) == 5


# --- the same mathematics ---------------------------------------------------------------------


def accepted(method: str, seeds: range, most: int) -> None:
    vectors = [vector for vector in select(algorithm=method) if not vector.replicates]
    for seed in seeds:
        made = rearranged(method, seed)
        runner = Runner(factory(made), "numpy")
        for vector in vectors[seed % 8 :: 8][:most]:
            for one in runner.observe(vector):
                found = check_one(one)
                texts = [edit.text for edit in made.changes]
                assert found.status == PASS, (texts, found.name, found.message)


@pytest.mark.parametrize("method", METHODS)
def test_some_rearrangements_are_accepted(method: str) -> None:
    accepted(method, range(5), 4)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_rearrangements_are_accepted(method: str) -> None:
    accepted(method, range(5, 5 + REARRANGED), 12)


# --- the catalogues ---------------------------------------------------------------------------


def test_two_mistakes_of_which_one_reads_what_the_other_changes_are_named() -> None:
    """z at the new x, which moves by a direction that the other mistake makes."""
    found = named("BOREP", ("z at the new point", "implicit term left out"), "in both")
    assert found.first
