"""The identities on AccBO's own path hold, faults break them, and the sampler's faults show."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from accbo import Tape
from accbo._arrays import map_arrays
from tests.outside_faults import Stranger, rows
from theory_checks import own_path
from theory_checks.harness import DIVERGED, Settings, measure
from theory_checks.own_path import dense, instances
from theory_checks.own_path.descent import Descent, descent, skeleton
from theory_checks.own_path.path import starting_points, trace
from theory_checks.own_path.recursion import recursion, values_on
from theory_checks.sweep import run_checks

PIECES = {piece.key: piece for piece in own_path.pieces(Settings())}


def path(*where: str) -> tuple[Any, ...]:
    """The key of the path of a combination."""
    return next(key for key in PIECES if key[1:4] == where)


CHEAP = (  # enough for every fault of the catalogue
    ("bias",),
    path("simultaneous", "I", "chained"),
    path("simultaneous", "II", "independent"),
    path("simultaneous", "II", "randomised"),
    ("descent",),
)


def killer(fault: str) -> tuple[Any, ...] | None:
    """The key of the first piece that fails, the cheapest first."""
    settings = Settings(fault=fault)
    for key in CHEAP:
        outcome, _ = measure(settings, PIECES[key])
        if DIVERGED in outcome:
            return key
        if not all(finding.passed for finding in own_path.judge_piece(key, outcome)):
            return key
    return None


# --- the check -------------------------------------------------------------------------------


def test_holds():
    (verdict,) = run_checks([own_path], Settings(seed=3), panels=True)
    assert verdict.passed, [finding for finding in verdict.findings if not finding.passed]
    assert verdict.false_alarm < 1e-7
    assert own_path.power(Settings(), verdict.findings) > 0.99
    names = [finding.quantity for finding in verdict.findings]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 51
    assert len(verdict.panels) == 2
    for row, most in (("m − recursion", 0.1), ("(y, ŷ) − step", 0.1), ("x − step", 0.25)):
        shares = [f.used for f in verdict.findings if f.quantity.startswith(row)]
        assert len(shares) == 12 + len(instances.SIZES) + len(instances.SAMPLINGS)
        assert max(shares) < most  # the allowance is not what lets them pass


@pytest.mark.parametrize("fault", own_path.KILLS)
def test_kills(fault):
    assert killer(fault)


def test_every_combination_and_every_schedule_is_met():
    quick = [key[1:] for key in PIECES if key[0] == "path"]
    assert len({key[:3] for key in quick}) == 12
    assert {key[4] for key in quick} == set(own_path.EXPONENTS["quick"])
    assert {key[3] for key in quick} == set(instances.problems())
    full = [p.key[1:] for p in own_path.pieces(Settings(profile="full")) if p.key[0] == "path"]
    assert {(key[:3], key[4]) for key in full} == {
        (key[:3], exponent) for key in quick for exponent in instances.SCHEDULED
    }
    for key in (*quick, *full):
        where = instances.Combination(*key)
        assert where.steps >= max(210, 5 / (1 - where.momentum))
    assert [round(instances.scheduled(k), 4) for k in (8, 13)] == [0.9752, 0.9975]


def test_a_mean_of_first_samples_is_m_0():
    problem = instances.problems()["curved"]
    where = instances.Combination("sequential", "II", "independent", "curved", 8)
    algorithm = instances.algorithm(problem, where)
    start, tape = starting_points(problem, 2, 0), Tape(5)
    path, samples = trace(Settings(), problem, algorithm, start, tape, 3, first=4)
    values = values_on(problem, algorithm, path, samples)
    assert values.first.value.shape[0] == 4
    assert recursion(problem, algorithm, path, values).ratio < 0.1
    _, other = trace(Settings(), problem, algorithm, start, Tape(6), 3, first=4)
    values = values_on(problem, algorithm, path, other)
    assert recursion(problem, algorithm, path, values).ratio > 1e6


# --- faults that act in one place alone --------------------------------------------------------


class InOneReplicate(Stranger):
    """A moving average in the sixth replicate."""

    def recursed(self, p, new, old, m, sample, t):
        right = super().recursed(p, new, old, m, sample, t)
        beta = self.beta(t)
        wrong = (1 - beta) * self.h(p, *new, sample, t) + beta * m
        sixth = np.arange(len(m))[:, None] == 5
        return np.where(sixth, wrong, right)


class OnOneVariable(InOneReplicate):
    """A moving average where there is one variable."""

    def recursed(self, p, new, old, m, sample, t):
        if m.shape[-1] > 1:
            return Stranger.recursed(self, p, new, old, m, sample, t)
        beta = self.beta(t)
        return (1 - beta) * self.h(p, *new, sample, t) + beta * m


class OnManyVariables(Stranger):
    """The ninth variable does not move."""

    def moved(self, x, m, t):
        return np.where(np.arange(x.shape[-1]) < 8, super().moved(x, m, t), x)


class OneNoiseForBoth(Stranger):
    """Where x and y are equally long ∇_yF meets the noise of ∇_xF in every 50th iteration."""

    def taken(self, sample, t):
        x, y = sample.upper["additive_x"], sample.upper["additive_y"]
        if t % 50 or x.shape != y.shape:
            return sample
        return sample._replace(upper={**sample.upper, "additive_y": x})


class LastOfTheFirst(Stranger):
    """m_0 is that of its last sample, not of the randomised series."""

    def first_momentum(self, p, x, y, first):
        if self.algorithm.neumann_sampling == "randomised":
            return super().first_momentum(p, x, y, first)
        last = {name: rows(getattr(first, name))[-1] for name in ("upper", "cross", "hessian")}
        return self.h(p, x, y, first._replace(**last, lower={}), 0)


class OddTerms(Stranger):
    """One term too few where Q is odd and above 5."""

    def terms(self, t):
        terms = self.algorithm.neumann_terms
        return terms - (terms > 5 and terms % 2)


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        (InOneReplicate, ("sampler", "chained")),
        (OnOneVariable, ("size", "one variable")),
        (OnManyVariables, ("size", "nine variables")),
        (OneNoiseForBoth, ("size", "nine variables")),
        (LastOfTheFirst, path("simultaneous", "I", "chained")),
        (OddTerms, ("bias",)),
    ],
)
def test_a_fault_in_one_place_is_seen(fault, key, monkeypatch):
    monkeypatch.setattr(Settings, "apply_fault", lambda self, algorithm: fault(algorithm))
    outcome, _ = measure(Settings(), PIECES[key])
    assert not all(finding.passed for finding in own_path.judge_piece(key, outcome))


@pytest.mark.parametrize("key", [key for key in PIECES if key[0] in ("decay", "bias")], ids=str)
def test_another_library_is_judged_alike(key):
    outcome, _ = measure(Settings(backend="strict"), PIECES[key])
    assert all(finding.passed for finding in own_path.judge_piece(key, outcome))


# --- dense derivatives, beside the problems' own ---------------------------------------------


@pytest.mark.parametrize("name", instances.every_problem())
def test_dense_derivatives_are_those_of_the_problem(name):
    """Two programs of one formula; that of the check shares no line with the package."""
    problem = instances.every_problem()[name]
    where = instances.Combination("simultaneous", "I", "chained", name, 8)
    algorithm = instances.algorithm(problem, where)
    x, y = starting_points(problem, 3, 1)
    _, sample = trace(Settings(), problem, algorithm, (x, y), Tape(2), 2)
    part = {k: v[0] for k, v in sample.later.upper.items()}
    zeta = {k: v[0] for k, v in sample.later.cross.items()}
    first = {k: v[0, :, 0] for k, v in sample.later.hessian.items()}
    pi = {k: v[1, 0] for k, v in sample.lower.items()}
    pairs = [
        (dense.grad_x(problem, x, y, part), problem.grad_x_upper(x, y, part)),
        (dense.grad_y(problem, x, y, part), problem.grad_y_upper(x, y, part)),
        (dense.grad_lower(problem, x, y, pi), problem.grad_y_lower(x, y, pi)),
        (dense.apply(dense.hessian(problem, x, y, first), y), problem.hvp_lower(x, y, y, first)),
        (dense.apply(dense.cross(problem, x, y, zeta), y), problem.cross_lower(x, y, y, zeta)),
    ]
    for mine, own in pairs:
        np.testing.assert_allclose(mine, own, rtol=1e-12, atol=1e-13)


# --- Φ ---------------------------------------------------------------------------------------


def test_skeleton_bounds_what_it_says():
    """By hand on a quadratic: the four terms, and the inequality with room for no more."""
    problem = instances.problems(noisy=False)["quadratic"]
    where = instances.Combination("simultaneous", "I", "chained", "quadratic", 8)
    algorithm = instances.algorithm(problem, where, terms=80, upper_step_size=0.01)
    start = starting_points(problem, 4, 0)
    path, _ = trace(Settings(), problem, algorithm, start, Tape(0), 50)
    terms = skeleton(problem, 0.01, path)
    values = problem.value(path.x)
    assert terms.progress == pytest.approx(np.mean(values[0] - values[-1]) / 0.5)
    assert terms.left <= terms.right
    assert terms.curvature == pytest.approx(0.005 * problem.constants.K0)
    # without the error of the momentum the inequality is false: it is the term that matters
    assert terms.left > terms.progress + terms.curvature or terms.error < terms.left


def test_a_step_a_little_long_is_beyond_the_bound():
    problem = instances.problems()["quadratic"]
    where = instances.Combination("simultaneous", "I", "chained", "quadratic", 8)
    size = 1e-4 * 0.5
    algorithm = instances.algorithm(problem, where, upper_step_size=size)
    start = starting_points(problem, 2, 0)
    right, _ = trace(Settings(), problem, algorithm, start, Tape(0), 20)
    long = dataclasses.replace(algorithm, upper_step_size=1.001 * size)
    wrong, _ = trace(Settings(), problem, long, start, Tape(0), 20)
    assert 0.5 < descent(problem, size, right).share <= 1
    assert descent(problem, size, wrong).share > 10


def test_what_is_no_number_fails():
    nothing = np.full((1, 1), np.nan)
    assert Descent(nothing, nothing, nothing).share == np.inf
    assert own_path._worst(own_path.Deviation(nothing, nothing))[0] == np.inf


# --- the sampler, which no identity sees -------------------------------------------------------


class Spoilt:
    """A tape whose rows go through ``change(rows, t)`` before anybody sees them."""

    change: Any = staticmethod(lambda block, t: block)

    def __init__(self, seed: int) -> None:
        self.tape = Tape(seed)

    def open(self, like):
        return SpoiltStream(self.tape.open(like), type(self).change)


class SpoiltStream:
    def __init__(self, stream, change):
        self.stream, self.change, self.t, self.last = stream, change, 1, None

    def start(self, layout):
        return self.stream.start(layout)

    def block(self, layout, steps):
        """Step after step, with the one before at hand."""
        found, block = [], self.stream.block(layout, steps)
        for step in range(steps):
            row = map_arrays(lambda leaf, step=step: leaf[step], block)
            row = row if self.last is None else self.change(row, self.last, self.t)
            self.last, self.t = row, self.t + 1
            found.append(row)
        first = found[0]
        stacked = {
            part: {k: np.stack([getattr(f, part)[k] for f in found]) for k in getattr(first, part)}
            for part in first._fields
        }
        return type(first)(**stacked)


def repeated(row, last, t):
    return last._replace(lower=row.lower) if t % 10 == 0 else row


def correlated(row, last, t):
    upper = {k: (v + 0.05 * last.upper[k]) / 1.0025**0.5 for k, v in row.upper.items()}
    return row._replace(upper=upper)


def shared(row, last, t):
    same = {k: np.broadcast_to(v[:1], v.shape).copy() for k, v in row.hessian.items()}
    return row._replace(hessian=same)


def never_nought(row, last, t):
    return row._replace(power={k: np.maximum(v, 1) for k, v in row.power.items()})


def one_for_both(row, last, t):
    return row._replace(cross={"coupling": row.hessian["curvature"][0].copy()})


@pytest.mark.parametrize(
    ("change", "sampling", "what"),
    [
        (repeated, "chained", "⟨ζ_{t−1}, ζ_t⟩"),
        (repeated, "randomised", "⟨ζ_{t−1}, ζ_t⟩"),
        (correlated, "chained", "⟨"),
        (shared, "chained", ""),
        (never_nought, "randomised", "⟨e_{t−1}, ζ_t⟩"),
        (one_for_both, "chained", "ζ_t, x"),
    ],
)
def test_a_spoilt_sampler_shows_in_the_sums(change, sampling, what, monkeypatch):
    """And not in the identity, which takes the same spoilt samples on both sides."""
    monkeypatch.setattr(own_path, "Tape", type("Of", (Spoilt,), {"change": staticmethod(change)}))
    key = ("sampler", sampling)
    outcome, _ = measure(Settings(), PIECES[key])
    failed = [f for f in own_path.judge_piece(key, outcome) if not f.passed]
    assert any(what in finding.quantity for finding in failed), outcome


def test_a_spoilt_sampler_is_what_it_says(monkeypatch):
    """The wrapper alone changes nothing."""
    key = ("sampler", "independent")
    right, _ = measure(Settings(), PIECES[key])
    unchanged = staticmethod(lambda row, last, t: row)
    monkeypatch.setattr(own_path, "Tape", type("Of", (Spoilt,), {"change": unchanged}))
    wrapped, _ = measure(Settings(), PIECES[key])
    assert all(np.array_equal(right[name], wrapped[name]) for name in right)
