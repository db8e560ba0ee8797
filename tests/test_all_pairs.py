"""Every algorithm on every problem that has what it needs, on NumPy, PyTorch and JAX.

NumPy is held against PyTorch on every pair, and against JAX on that of ``COMPILED``: XLA takes
seconds for a pair, and the tests of each algorithm and of each problem compile it with another. On
JAX every other pair is traced, as the engine would, which is where shapes, dtypes and looks at a
value fail, and not compiled.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from typing import Any

import numpy as np
import pytest

from accbo import algorithms, problems
from accbo._arrays import map_arrays, named_leaves
from accbo.problems import FromObjectives, Nested, from_objectives, plateau
from accbo.run import _Scan
from tests.backends import Backend, need
from tests.support import LOWER, SPECTRUM, U64, Case, condition, fields, stored
from tests.support import problem as synthetic
from tests.test_deep_auc import problem as texts
from tests.test_from_objectives import sum_by_hand
from tests.test_tasks_problems import problem as task

STEPS = 4  # t = 0 and t = 2 are refreshes, t = 1 and t = 3 are not
OWN = "from objectives"


def host(kind: str, batch: int = 2) -> Any:
    """A small problem on the host; batches of ``batch`` where it is a sum."""
    batches = {"upper_batch": batch, "lower_batch": batch}
    if kind in ("quadratic", "cosh", "nonquadratic"):
        return synthetic(kind)
    if kind == OWN:  # of single terms for all: JAX compiles what it tries out
        return synthetic("finite_sum", upper_batch=1, lower_batch=1)
    if kind == "finite_sum":
        return synthetic(kind, **batches)
    if kind == "plateau":
        return plateau(0.5, SPECTRUM, noise_lower=LOWER)
    return texts(**batches) if kind == "deep AUC" else task(kind, **batches)


PROBLEMS = (
    "quadratic",
    "cosh",
    "nonquadratic",
    "plateau",
    "finite_sum",
    OWN,
    "cleaning",
    "ridge",
    "logistic",
    "linear",
    "tanh",
    "deep AUC",
)
SIZES = {"lower_step_size": 0.125, "upper_step_size": 0.0625}
SERIES = {"neumann_terms": 3, "neumann_scale": 8.0}  # above the curvature of them all
LINEAR = {"linear_step_size": 0.125, "momentum": 0.75}
ROUNDS = {"period": 2, "lower_steps": 2}
ALGORITHMS = {
    "AccBO": algorithms.AccBO(
        **SIZES, **SERIES, lower_momentum=0.375, averaging=0.25, momentum=0.75
    ),
    "AccBO, Option II": algorithms.AccBO(
        **SIZES, **SERIES, **ROUNDS, lower_momentum=0.375, averaging=0.25, momentum=0.75
    ),
    "BO-REP": algorithms.BOREP(**SIZES, **LINEAR, **ROUNDS),
    "MA-SOBA": algorithms.MASOBA(**SIZES, **LINEAR),
    "SABA": algorithms.SABA(**SIZES, linear_step_size=0.125),
    "SLIP": algorithms.SLIP(**SIZES, **LINEAR),
    "StocBiO": algorithms.StocBiO(**SIZES, **SERIES, lower_steps=2, lower_batch=2, upper_batch=3),
    "SUSTAIN": algorithms.SUSTAIN(
        **SIZES, **SERIES, lower_averaging=0.5, upper_averaging=0.75, offset=2.0
    ),
    "TTSA": algorithms.TTSA(**SIZES, **SERIES, offset=2.0),
    "VRBO": algorithms.VRBO(**SIZES, **SERIES, **ROUNDS, large_batch=4, small_batch=2),
}
NEEDS_TERMS = "SABA"  # one index of one term a level
LACKING = {
    **dict.fromkeys(
        ("quadratic", "cosh", "nonquadratic", "plateau"), "one field of law 'index', it has"
    ),
    **dict.fromkeys(("linear", "tanh"), "drawn one term at a time, in batches of shape (1,)"),
}
PAIRS = [
    (name, kind)
    for name in ALGORITHMS
    for kind in PROBLEMS
    if not (name == NEEDS_TERMS and kind in LACKING)
]
COMPILED = (("MA-SOBA", "cleaning"),)


@functools.cache
def case_of(name: str, kind: str) -> Case:
    """A start of which no coordinate is 0."""
    p = host(kind, 1 if name == NEEDS_TERMS else 2)
    generator = np.random.default_rng(1)
    x, y = (generator.standard_normal(size) / 2 for size in (p.d_x, p.d_y))
    return Case(p, ALGORITHMS[name], x, y, warm_start=1, first=2)


def on(backend: Backend, name: str, kind: str) -> Case:
    """The case there, on the library's derivatives of plain objectives where that is the kind."""
    there = case_of(name, kind).to(backend)
    return there._replace(problem=objectives(backend.name)) if kind == OWN else there


@functools.cache
def objectives(backend: str) -> FromObjectives:
    """The finite sum from its two objectives."""
    p, like = host(OWN), need(backend)
    noise = {"upper_noise": p.upper_noise, "lower_noise": p.lower_noise}
    at = like.array(np.ones(p.d_x)), like.array(np.ones(p.d_y))
    return from_objectives(
        *sum_by_hand(like.move(p)), p.d_x, p.d_y, backend=backend, at=at, **noise
    )


def agrees(backend: Backend, name: str, kind: str) -> None:
    """The states on the same samples, within 10 max(K, 1) u as in the tests of each algorithm."""
    one, there = case_of(name, kind), on(backend, name, kind)
    replay = stored(one, STEPS)
    found = fields(there.run(STEPS, backend.move(replay)).state)
    K = condition(one, STEPS, replay)
    for field, expected in fields(one.run(STEPS, replay).state).items():
        error = np.linalg.norm(found[field] - expected)
        assert error <= 10 * max(K[field], 1.0) * U64, field


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_numpy_and_pytorch(name: str, kind: str) -> None:
    agrees(need("torch"), name, kind)


@pytest.mark.parametrize(("name", "kind"), COMPILED)
def test_numpy_and_jax(name: str, kind: str) -> None:
    agrees(need("jax"), name, kind)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_jax_can_trace_it(name: str, kind: str) -> None:
    """Iteration 0 and the next, and a refresh where there is one, as the engine compiles them."""
    if (name, kind) in COMPILED:
        pytest.skip("compiled")
    like = need("jax")
    import jax

    one = on(like, name, kind)
    engine = _Scan(one.algorithm, one.problem, {})
    init, _, advance = engine._functions
    fixed = engine._algorithm, engine._problem
    steps = 3 if getattr(one.algorithm, "period", None) else 2
    replay = like.move(stored(case_of(name, kind), steps))
    state = init.eval_shape(*fixed, one.x, one.y, replay.start)
    for t, sample in enumerate(replay.steps, 1):
        block = map_arrays(lambda leaf: leaf[None, ...], sample)
        state, _ = advance.eval_shape(*fixed, state._replace(iteration=t), block, False)
    found = jax.tree_util.tree_leaves(state._replace(iteration=None))
    expected = named_leaves(case_of(name, kind).run(1, 1).state)
    for leaf, (field, like_it) in zip(found, expected, strict=True):
        assert (leaf.shape, str(leaf.dtype)) == (like_it.shape, "float64"), field


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_comparison_sees_a_relative_fault_of_1e_12(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = case_of(name, "finite_sum")
    size = one.algorithm.lower_step_size * (1 + 1e-12)
    wrong = one._replace(algorithm=dataclasses.replace(one.algorithm, lower_step_size=size))
    monkeypatch.setattr(sys.modules[__name__], "on", lambda backend, *_: wrong.to(backend))
    with pytest.raises(AssertionError):
        agrees(need("torch"), name, "finite_sum")


@pytest.mark.parametrize("kind", LACKING)
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"], indirect=True)
def test_what_a_problem_lacks_is_said(backend: Backend, kind: str) -> None:
    one = case_of(NEEDS_TERMS, kind).to(backend)
    message = f"SABA needs a finite sum.*{re.escape(LACKING[kind])}"
    with pytest.raises(ValueError, match=message):
        one.run(STEPS, 1)


def test_every_algorithm_and_every_problem_is_here() -> None:
    public = {getattr(algorithms, name) for name in algorithms.__all__}
    made = {type(algorithm) for algorithm in ALGORITHMS.values()}
    assert made == {one for one in public if hasattr(one, "step")}
    public = {getattr(problems, name) for name in problems.__all__}
    made = {type(host(kind)) for kind in PROBLEMS} | {FromObjectives, Nested}
    assert made == {one for one in public if hasattr(one, "hvp_lower")}
