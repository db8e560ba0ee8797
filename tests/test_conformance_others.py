"""The oracle for the algorithms beside AccBO: right ones conform, wrong ones are named."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from accbo.conformance import check
from accbo.conformance.judge import judge
from accbo.conformance.method_groups import other_methods
from accbo.conformance.methods import catalogue
from accbo.conformance.observation import Observation
from accbo.conformance.observe import Runner
from accbo.conformance.replay import shown
from accbo.conformance.report import PASS
from accbo.conformance.variants import resume
from accbo.conformance.vector import load

OTHERS = other_methods()
FAULTS = [(method, name) for method in OTHERS for name in catalogue(method)]
Make = Callable[[Any], Sequence[Any]]


def implementation(make: Make, method: str) -> Any:
    """A factory of the algorithms ``make(declared)``; of several, one is drawn every step."""
    draw = random.Random(1)

    class Implementation:
        batched, algorithm = True, method

        def __init__(self, problem: Any, declared: Any, state: Any) -> None:
            self.problem, self.made = problem, make(declared)
            self.now = resume(self.made[0], state)

        def step(self, sample: Any) -> None:
            with np.errstate(all="ignore"):
                self.now = draw.choice(self.made).step(self.problem, self.now, sample)

        def state(self) -> dict[str, Any]:
            return shown(self.now)

    def begin(problem: Any, declared: Any, x: Any, y: Any, start: Any) -> Any:
        made = Implementation.__new__(Implementation)
        made.problem, made.made = problem, make(declared)
        with np.errstate(all="ignore"):
            made.now = made.made[0].init(problem, x, y, start)
        return made

    Implementation.start = staticmethod(begin)  # type: ignore[attr-defined]
    return Implementation


def observed(factory: Any) -> list[Observation]:
    runner = Runner(factory, "numpy")
    return [one for vector in load(method=factory.algorithm) for one in runner.observe(vector)]


def only_x(one: Observation) -> Observation:
    """What an implementation that shows x alone would have shown."""
    return dataclasses.replace(one, states=tuple({"x": state["x"]} for state in one.states))


# --- right, and wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("method", OTHERS)
def test_the_reference_conforms_on_every_case(method: str) -> None:
    found = check(implementation(lambda algorithm: [algorithm], method), name="mine")
    assert found.conforms
    assert set(found.counts) == {PASS}
    assert found.algorithm == method
    assert found.counts[PASS] > len(load(method=method))
    assert found.not_shown == ()


@pytest.mark.parametrize(("method", "name"), FAULTS)
def test_every_fault_is_rejected_and_named(method: str, name: str) -> None:
    fault = catalogue(method)[name]
    factory = implementation(lambda a: [one(a) for one in fault.variants(a)[0]], method)
    seen = observed(factory)
    for given, joint in ((seen, {}), (list(map(only_x, seen)), JOINT_IN_X)):
        found = judge(given, implementation="mine")
        assert found.exit_code == 1
        assert (name,) in found.names
        others = {other for names in found.names for other in names} - {name}
        assert others <= joint.get((method, name), set()), others
        assert f"{name} (" in found.text()


# what x alone cannot tell apart: there it does not move on z in a single step
JOINT_IN_X = {("MASOBA", "sign of the implicit term"): {"z step with the wrong sign"}}


@pytest.mark.parametrize(("method", "name"), FAULTS)
def test_every_way_to_make_a_fault_is_named(method: str, name: str) -> None:
    """The other ways, on the trajectories alone."""
    fault = catalogue(method)[name]
    typical = load(method=method)[0].algorithm
    for index in range(1, len(fault.variants(typical))):
        factory = implementation(
            lambda a, index=index: [one(a) for one in fault.variants(a)[index]],  # type: ignore[misc]
            method,
        )
        runner = Runner(factory, "numpy")
        vectors = [vector for vector in load(method=method) if vector.kind == "trajectory"]
        found = judge([o for v in vectors for o in runner.observe(v)], implementation="mine")
        assert found.exit_code == 1
        assert (name,) in found.names, index
