"""The relations of SPEC §7 over random problems, options, shapes, dtypes and libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accbo.relations import relations
from accbo.relations.case import Outcome
from accbo.relations.relations import RELATIONS
from property_tests import strategies

BATCHED = ("permutation", "splitting")  # relations that need three replicates
DOUBLE = ("taylor",)  # relations that need float64
EXAMPLES = settings().max_examples  # of the profile; a library that is slow takes a share
EVERYWHERE = [name for name in RELATIONS if name != "derivatives"]  # which need JAX


def check(outcome: Outcome) -> None:
    assert outcome.holds, f"{outcome.name}: error {outcome.error:g} > {outcome.tolerance:g}"


def cases(name: str, like: Any, **options: Any) -> Any:
    if name in BATCHED:
        options["shapes"] = ((3,), (1, 4), (2, 3))
    if name in DOUBLE:
        options["dtypes"] = ("float64",)
    return strategies.cases(like, **options)


@pytest.mark.parametrize("backend", ["numpy", "strict"], indirect=True)
@pytest.mark.parametrize("name", EVERYWHERE)
@given(data=st.data())
def test_relation(name: str, backend: Any, data: st.DataObject) -> None:
    check(RELATIONS[name](data.draw(cases(name, backend))))


@pytest.mark.parametrize("backend", ["torch"], indirect=True)
@pytest.mark.parametrize("name", EVERYWHERE)
@settings(max_examples=EXAMPLES * 2 // 5)
@given(data=st.data())
def test_relation_with_another_library(name: str, backend: Any, data: st.DataObject) -> None:
    check(RELATIONS[name](data.draw(cases(name, backend))))


@pytest.mark.parametrize("backend", ["jax"], indirect=True)
@pytest.mark.parametrize("name", RELATIONS)
@settings(max_examples=EXAMPLES // 10)
@given(data=st.data())
def test_relation_where_every_shape_compiles(name: str, backend: Any, data: st.DataObject) -> None:
    check(RELATIONS[name](data.draw(cases(name, backend, small=True))))


@pytest.mark.parametrize("backend", ["numpy", "strict"], indirect=True)
@given(data=st.data())
def test_without_lower_momentum_and_averaging(backend: Any, data: st.DataObject) -> None:
    """γ = 0 and τ = 1 themselves, not their neighbours."""
    check(relations.sgd_below(data.draw(strategies.cases(backend)), leftover=0.0))


@given(data=st.data())
def test_scaling_by_any_power_of_two(data: st.DataObject) -> None:
    exponents = data.draw(st.lists(st.integers(-40, 40), min_size=1, max_size=3))
    check(relations.scaling(data.draw(strategies.cases(np.zeros(1))), exponents))
