"""What set 2 reaches and set 1 did not: each wrong program here conformed to set 1."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accbo.conformance import check, factors, rows
from accbo.conformance.check import check_one, select
from accbo.conformance.methods import METHODS
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import SET, Vector, load
from accbo.conformance.verdict.report import FAIL, PASS, SKIP
from accbo.rounding import norms

Bound = Callable[[np.ndarray], np.ndarray]


class Plain:
    """AccBO on NumPy, one replicate at a time, in one's own words."""

    batched = False
    constant = staticmethod(float)

    def __init__(self, problem: Any, algorithm: Any, state: Any) -> None:
        self.p, self.a = problem, copy.copy(algorithm)
        for name, value in vars(algorithm).items():
            if isinstance(value, float):
                object.__setattr__(self.a, name, self.constant(value))
        self.x, self.x_old, self.y, self.y_old = map(np.array, state[:4])
        self.hat, self.hat_old, self.m = map(np.array, state[4:7])

    def clip(self, h: np.ndarray) -> np.ndarray:
        return h

    def project(self, y: np.ndarray) -> np.ndarray:
        return y

    def gradient(self, x: Any, y: Any, sample: Any) -> Any:
        v, a = self.p.grad_y_upper(x, y, sample.upper), self.a
        terms = factors(a, sample)
        weight = 1
        if a.neumann_sampling == "randomised":
            terms, weight = [terms[int(sample.power["power"][0])]], a.neumann_terms
        total = 0 * v
        for term in terms:
            p = v
            for zeta in term:
                p = p - self.p.hvp_lower(x, y, p, zeta) / a.neumann_scale
            total = total + p
        z = weight * total / a.neumann_scale
        direct = self.p.grad_x_upper(x, y, sample.upper)
        return self.clip(direct - self.p.cross_lower(x, y, z, sample.cross))

    def step(self, sample: Any) -> None:
        a, x, y, hat = self.a, self.x, self.y, self.hat
        new_y, old = y, self.y_old if a.period is None else y
        for zeta in rows(sample.lower):
            z = new_y + a.lower_momentum * (new_y - old)
            moved = z - a.lower_step_size * self.p.grad_y_lower(x, z, zeta)
            new_y, old = self.project(moved), new_y
        new_hat = (1 - a.averaging) * hat + a.averaging * new_y
        at, before = (hat, self.hat_old) if a.order == "simultaneous" else (new_hat, hat)
        change = self.m - self.gradient(self.x_old, before, sample)
        self.m = self.gradient(x, at, sample) + a.momentum * change
        scaled = self.m / max(np.abs(self.m).max(), np.finfo(self.m.dtype).tiny)
        if self.m.any():
            self.x = x - a.upper_step_size * (scaled / np.linalg.norm(scaled))
        self.x_old, self.y, self.y_old, self.hat, self.hat_old = x, new_y, y, new_hat, hat

    def state(self) -> dict[str, Any]:
        return {"x": self.x, "y": self.y, "y_average": self.hat, "momentum": self.m}


class HalfConstants(Plain):
    constant = staticmethod(lambda value: float(np.float16(value)))


class SingleConstants(Plain):
    constant = staticmethod(lambda value: float(np.float32(value)))


class Clipped(Plain):
    def clip(self, h: np.ndarray) -> np.ndarray:
        size = float(norms(h))
        return h * (10 / size) if size > 10 else h


class Projected(Plain):
    def project(self, y: np.ndarray) -> np.ndarray:
        size = np.linalg.norm(y)
        return y * 10 / size if size > 10 else y


class Transposed(Plain):
    """The cross derivative transposed, where x and y are of one size."""

    def gradient(self, x: Any, y: Any, sample: Any) -> Any:
        if x.shape != y.shape or x.shape == (1,):
            return super().gradient(x, y, sample)
        right, unit = self.p.cross_lower, np.eye(len(x))
        v = self.p.grad_y_upper(x, y, sample.upper)
        rows_ = np.stack([right(x, y, e, sample.cross) for e in unit])
        z = v / self.a.neumann_scale
        return super().gradient(x, y, sample) + (rows_.T - rows_) @ z


class ForgetsTheTail(Plain):
    """A loop unrolled for eight terms."""

    def __init__(self, problem: Any, algorithm: Any, state: Any) -> None:
        super().__init__(problem, algorithm, state)
        self.most = 8

    def gradient(self, x: Any, y: Any, sample: Any) -> Any:
        a = self.a
        if a.neumann_sampling == "chained" and a.neumann_terms > self.most:
            self.a = copy.copy(a)
            object.__setattr__(self.a, "neumann_terms", self.most)
            sample = sample._replace(
                hessian={name: leaf[: self.most - 1] for name, leaf in sample.hessian.items()}
            )
        try:
            return super().gradient(x, y, sample)
        finally:
            self.a = a


class Late(Plain):
    """Stops after iteration 100."""

    def __init__(self, problem: Any, algorithm: Any, state: Any) -> None:
        super().__init__(problem, algorithm, state)
        self.t = int(state.iteration)

    def step(self, sample: Any) -> None:
        before = self.x
        super().step(sample)
        if self.t > 100:
            self.x = before
        self.t += 1


class PlainNorm(Plain):
    """‖m‖ of squares that overflow."""

    def step(self, sample: Any) -> None:
        x = self.x
        super().step(sample)
        with np.errstate(all="ignore"):
            size = np.linalg.norm(self.m)
            if size > 1:
                self.x = x - self.a.upper_step_size * self.m / size


WRONG = (
    HalfConstants,
    SingleConstants,
    Clipped,
    Projected,
    Transposed,
    ForgetsTheTail,
    Late,
    PlainNorm,
)


def failing(factory: Any, cases: int) -> list[str]:
    """The vectors that are new in a set whose single steps depart; float32 is numpy's own here."""
    runner, names = Runner(factory, "numpy"), []
    for vector in select(cases):
        if vector.kind == "step" and vector.since == cases:
            for mode in runner.modes(vector):
                found = check_one(runner.run(vector, mode))
                assert found.status in (PASS, FAIL, SKIP)
                names += [vector.id] * (found.status == FAIL)
    return names


def test_the_right_one_passes_both_sets() -> None:
    assert [failing(Plain, number) for number in range(1, SET + 1)] == [[], []]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_what_conformed_to_set_1_departs_from_set_2(wrong: Any) -> None:
    assert failing(wrong, 1) == []
    assert len(failing(wrong, 2)) >= 2


@pytest.mark.parametrize("wrong", [HalfConstants, Clipped, Projected])
def test_the_fast_tier_sees_it_too(wrong: Any) -> None:
    report = check(wrong, on_fail="return", fast=True)
    assert not report.conforms
    assert report.exit_code == 1


# --- what the set holds -----------------------------------------------------------------------


def largest(vector: Vector, name: str) -> float:
    return max(float(np.max(np.abs(expected[name]))) for expected in vector.expected)


def test_accbo_reaches() -> None:
    new = [vector for vector in load() if vector.since == 2]
    plain = [v for v in new if getattr(v.problem, "factor", 1.0) == 1]
    steep = [largest(v, "momentum") for v in plain if v.problem_name.startswith("relaxed_smooth")]
    assert max(steep) > 1e8
    assert sum(1e4 < size < 1e6 for size in steep) >= 2
    for name in ("x", "y"):
        sizes = [largest(vector, name) for vector in plain]
        assert sum(size > 1e2 for size in sizes) >= 4
        assert sum(size > 1e4 for size in sizes) >= 4
    factors_ = {(getattr(v.problem, "factor", 1.0), v.dtype) for v in new}
    assert factors_ >= {(2.0**40, "float64"), (2.0**664, "float64"), (2.0**80, "float32")}
    assert {v.state.iteration for v in new if v.state is not None} >= {1_000, 1_000_000}
    assert {len(v.expected) for v in new} >= {200}
    assert {(v.problem.d_x, v.problem.d_y) for v in new} >= {(1, 1), (5, 5), (33, 17)}
    assert {v.algorithm.neumann_terms for v in load()} >= {1, 2, 12}
    assert any(len(v.replicates) == 2 for v in new)
    for name in ("lower_step_size", "lower_momentum", "averaging", "momentum"):
        assert any(inexact(v, name) and not inexact(v, "upper_step_size") for v in new)
    assert any(inexact(v, "upper_step_size") for v in new)
    assert any(inexact(v, "neumann_scale") for v in new)


def inexact(vector: Vector, name: str) -> bool:
    value = getattr(vector.algorithm, name)
    return float(np.float32(value)) != value


@pytest.mark.parametrize("method", list(METHODS)[1:])
def test_the_others_reach(method: str) -> None:
    vectors = load(method=method)
    assert {v.dtype for v in vectors} == {"float64", "float32"}
    assert {v.state.iteration for v in vectors if v.state is not None} >= {1_000, 1_000_000}
    assert {len(v.replicates) for v in vectors} == {0, 1, 2}
    for name, value in vars(vectors[0].algorithm).items():
        if isinstance(value, float):
            assert any(inexact(v, name) for v in vectors), name
    if method == "SABA":
        sizes = {(len(v.problem.lower_labels), len(v.problem.upper_labels)) for v in vectors}
        assert (8, 5) in sizes
        assert max(largest(v, "y") for v in vectors) > 30
        return
    assert {(v.problem.d_x, v.problem.d_y) for v in vectors} >= {(1, 1), (5, 5), (33, 17)}
    factors_ = {getattr(v.problem, "factor", 1.0) for v in vectors}
    assert factors_ >= {2.0**-664, 2.0**-100}
    assert method == "VRBO" or factors_ >= {2.0**40, 2.0**80, 2.0**664}
    assert max(largest(v, "x") for v in vectors) > 1e2
    if hasattr(vectors[0].algorithm, "neumann_terms"):
        assert {v.algorithm.neumann_terms for v in vectors} >= {1, 2, 12}
