"""BO-REP against two other programs and SLIP, its rounds, and the laws of x, m and z."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accbo import (
    BOREP,
    SLIP,
    BOREPSample,
    BOREPState,
    Calls,
    NonFiniteError,
    Replay,
    Tape,
    count_calls,
)
from accbo._arrays import map_arrays, row, rows
from accbo.hypergradient import implicit_gradient
from accbo.lower import gradient_steps
from accbo.problems import UpperNoise
from accbo.problems.wrapped import ScaledUpper
from accbo.upper import normalized_step
from tests.support import (
    ALL_PROBLEMS,
    SKEWED,
    U64,
    Case,
    X,
    Y,
    batch,
    bits,
    condition,
    fields,
    problem,
    replace_parts,
    stored,
)
from tests.test_masoba import (
    COUNT,
    LINEAR,
    PATHS,
    QUIET,
    WRONG_STEPS,
    averages,
    recursive,
    swapped,
)
from tests.test_step import Explicit, at

STEPS = 8
ALGORITHM = BOREP(
    lower_step_size=0.25,
    linear_step_size=0.375,
    momentum=0.875,
    upper_step_size=2.0**-6,
    period=3,
    lower_steps=2,
)
SLIP_SIZES = tuple(field.name for field in dataclasses.fields(SLIP) if field.name != "parts")


def of(kind: type[BOREP], **changes: Any) -> BOREP:
    return kind(**{**dataclasses.asdict(ALGORITHM), **changes})


def case(algorithm: BOREP = ALGORITHM, **options: Any) -> Case:
    return Case(problem("nonquadratic"), algorithm, X, Y)._replace(**options)


def states_of(one: Case, replay: Replay) -> list[Any]:
    """The states t = 1, 2, … of a run on ``replay``."""
    states = [one.algorithm.init(one.problem, one.x, one.y, replay.start)]
    for sample in replay.steps:
        states.append(one.algorithm.step(one.problem, states[-1], sample))
    return states


# --- the second program, with matrices -----------------------------------------------------


def slow(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """The lines of the docstring with explicit matrices, one replicate."""
    a, p = case.algorithm, Explicit(case.problem)
    x, y = case.x, case.y
    for n in range(case.warm_start):
        y = y - a.lower_step_size * p.G_y(x, y, at(replay.start.warm_start, n))
    z, m = 0 * y, 0 * x
    for t in range(steps):
        s = replay.start.first if t == 0 else replay.steps[t - 1]
        if t == 0:
            pairs = [(at(s.upper, i), at(s.cross, i)) for i in range(case.first)]
            m = np.mean([p.F_x(x, y, xi) - p.G_xy(x, y, zeta) @ z for xi, zeta in pairs], axis=0)
        else:
            direction = p.F_x(x, y, s.upper) - p.G_xy(x, y, s.cross) @ z
            m = m + (1 - a.momentum) * (direction - m)
        residual = p.G_yy(x, y, s.hessian) @ z - p.F_y(x, y, s.upper_y)
        z = z - a.linear_step_size * residual
        if t % a.period == 0:
            for n in range(a.lower_steps):
                y = y - a.lower_step_size * p.G_y(x, y, at(s.lower, n))
        x = x - a.upper_step_size * m / np.sqrt(m @ m)
    return {"x": x, "y": y, "z": z, "momentum": m}


@pytest.mark.parametrize("steps", [1, 2, STEPS])
@pytest.mark.parametrize("noise", [problem("nonquadratic").noise_upper, SKEWED])
def test_every_step_is_that_of_the_second_program(noise: UpperNoise, steps: int) -> None:
    one = case()._replace(problem=problem("nonquadratic", noise_upper=noise))
    replay = stored(one, STEPS)
    K = condition(one, steps, replay)
    state = one.run(steps, replay).state
    assert state.iteration == steps
    expected = slow(one, replay, steps)
    assert fields(state).keys() == expected.keys()
    for name, value in expected.items():
        error = np.linalg.norm(getattr(state, name) - value)
        assert error <= 10 * max(K[name], 1.0) * U64, name


@pytest.mark.parametrize("name", SLIP_SIZES)  # the laws of the rounds see the others
def test_the_second_program_sees_every_real_hyper_parameter(name: str) -> None:
    one, other = case(), case(of(BOREP, **{name: getattr(ALGORITHM, name) + 1e-9}))
    replay = stored(one, 4)
    expected, found = slow(one, replay, 4), fields(other.run(4, replay).state)
    assert max(np.linalg.norm(found[name] - expected[name]) for name in found) > 1e-12


# --- the published lines, operation for operation -------------------------------------------


def loop(case: Case, replay: Any, steps: int) -> dict[str, Any]:
    """The published lines in the problem's own oracles; the norm alone is the package's."""
    a, p, x, y = case.algorithm, case.problem, case.x, case.y
    for n in range(case.warm_start):
        y = y - a.lower_step_size * p.grad_y_lower(x, y, at(replay.start.warm_start, n))
    z, m = 0 * y, 0 * x
    for t in range(steps):
        s = replay.start.first if t == 0 else replay.steps[t - 1]

        def direction(xi: Any, zeta: Any, x: Any = x, y: Any = y, z: Any = z) -> Any:
            return p.grad_x_upper(x, y, xi) - p.cross_lower(x, y, z, zeta)

        if t == 0:
            total = sum(direction(at(s.upper, i), at(s.cross, i)) for i in range(case.first))
            m = total / case.first
        else:
            m = a.momentum * m + (1 - a.momentum) * direction(s.upper, s.cross)
        residual = p.hvp_lower(x, y, z, s.hessian) - p.grad_y_upper(x, y, s.upper_y)
        y_next = y
        if t % a.period == 0:
            for n in range(a.lower_steps):
                gradient = p.grad_y_lower(x, y_next, at(s.lower, n))
                y_next = y_next - a.lower_step_size * gradient
        x, y = normalized_step(x, m, a.upper_step_size), y_next
        z = z - a.linear_step_size * residual
    return {"x": x, "y": y, "z": z, "momentum": m}


@pytest.mark.parametrize("kind", ALL_PROBLEMS)
def test_a_loop_over_the_published_lines_has_the_same_bits(kind: str) -> None:
    one = case(problem=problem(kind))
    replay = stored(one, 20)
    state = one.run(20, replay).state
    for name, value in loop(one, replay, 20).items():
        assert np.array_equal(getattr(state, name), value), name


# --- wrong variants ------------------------------------------------------------------------


class LongerPeriod(BOREP):
    """The period off by one."""

    def refreshes(self, t: int) -> bool:
        return t % (self.period + 1) == 0


class LateRounds(BOREP):
    """After the first, a round at the last iteration of each period."""

    def refreshes(self, t: int) -> bool:
        return t == 0 or (t + 1) % self.period == 0


class MovesWhenIdle(BOREP):
    """y goes on between the rounds."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        after = super().step(problem, state, sample)
        if rows(sample.lower):
            return after
        gradient = problem.grad_y_lower(state.x, state.y)
        return after._replace(y=state.y - self.lower_step_size * gradient)


class WaitingZ(BOREP):
    """z waits for the rounds as y does."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        after = super().step(problem, state, sample)
        return after if rows(sample.lower) else after._replace(z=state.z)


class Restarted(BOREP):
    """The average starts anew with every round."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        if rows(sample.lower):
            fresh = implicit_gradient(problem, state.x, state.y, state.z, sample)
            plain = dataclasses.replace(self, momentum=0.0)
            after = super(Restarted, plain).step(problem, state, sample)
            x = normalized_step(state.x, fresh, self.upper_step_size)
            return after._replace(momentum=fresh, x=x)
        return super().step(problem, state, sample)


class OldAverage(BOREP):
    """x moves with the average of the iteration before, as MA-SOBA's does."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        x = normalized_step(state.x, state.momentum, self.upper_step_size)
        return super().step(problem, state, sample)._replace(x=x)


class Sequential(BOREP):
    """z and the direction are taken at the y that this iteration's round leaves."""

    def step(self, problem: Any, state: Any, sample: Any) -> Any:
        y = super().step(problem, state, sample).y
        return super().step(problem, state._replace(y=y), sample)._replace(y=y)


def one_fewer(problem: Any, x: Any, y: Any, samples: Any, step_size: float) -> Any:
    """N − 1 lower steps."""
    return gradient_steps(problem, x, y, {k: v[1:] for k, v in samples.items()}, step_size)


def one_sample(problem: Any, x: Any, y: Any, samples: Any, step_size: float) -> Any:
    """Every step of a round on the sample of its first."""
    if rows(samples):
        samples = {k: np.broadcast_to(v[:1], v.shape) for k, v in samples.items()}
    return gradient_steps(problem, x, y, samples, step_size)


def with_memory(problem: Any, x: Any, y: Any, samples: Any, step_size: float) -> Any:
    """A heavy ball inside the round."""
    previous = y
    for n in range(rows(samples)):
        gradient = problem.grad_y_lower(x, y, row(samples, n))
        y, previous = y - step_size * gradient + 0.5 * (y - previous), y
    return y


def plain(x: Any, direction: Any, step_size: float) -> Any:
    return x - step_size * direction


def with_epsilon(x: Any, direction: Any, step_size: float) -> Any:
    return x - step_size * direction / (np.linalg.norm(direction, axis=-1) + 1e-8)


def clipped(x: Any, direction: Any, step_size: float) -> Any:
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    return x - step_size * direction / np.maximum(length, 1.0)


def each_coordinate(x: Any, direction: Any, step_size: float) -> Any:
    """A norm for every block of x."""
    return x - step_size * np.sign(direction)


PARTS = {
    **dict.fromkeys((one_fewer, one_sample, with_memory), "y"),
    **dict.fromkeys((plain, with_epsilon, clipped, each_coordinate), "x"),
    **dict.fromkeys((swapped, recursive), "momentum"),
    **dict.fromkeys(WRONG_STEPS, "z"),
}

# --- laws of the rounds --------------------------------------------------------------------

ROUNDS = ((1, 1), (3, 2), (4, 1), (2, 5))  # I, N


def rounds(kind: type[BOREP]) -> None:
    """At rest y* − y_t = (1 − αh)^{N ⌈t/I⌉} (y* − y_0) along the eigenvector of h."""
    p = problem("quadratic", **QUIET)
    values, vectors = np.linalg.eigh(p.hessian)
    solution = p.solution(X)
    x, y = np.tile(X, (3, 1)), solution - vectors.T
    for period, count in ROUNDS:
        algorithm = of(kind, period=period, lower_steps=count, upper_step_size=1e-300)
        one = Case(p, algorithm, x, y, 0, 1)
        for t, state in enumerate(states_of(one, stored(one, 9)), 1):
            left = (1 - 0.25 * values) ** (count * -(-t // period))
            error = (solution - state.y) @ vectors
            np.testing.assert_allclose(error, np.diag(left), rtol=0, atol=40 * U64)


def idle(kind: type[BOREP]) -> None:
    """y moves in every coordinate where t mod I = 0, and keeps its bits elsewhere; z moves."""
    one = case(of(kind))
    states = states_of(one, stored(one, 12))
    for t, (before, after) in enumerate(itertools.pairwise(states), 1):
        if t % 3:
            assert bits(after.y) == bits(before.y), t
        else:
            assert np.all(after.y != before.y), t
        assert np.all(after.z != before.z), t


def samples(kind: type[BOREP]) -> None:
    """N rows of π at a round and none between; every call to an oracle, from the formula."""
    one = case(of(kind))
    replay = stored(one, 12)
    found = [rows(sample.lower) for sample in (replay.start.first, *replay.steps)]
    assert found == [2, 0, 0] * 4
    assert rows(replay.start.warm_start) == one.warm_start == 3
    for T, (period, count) in itertools.product((1, 2, 7, 12), ROUNDS):
        algorithm = of(kind, period=period, lower_steps=count)
        assert count_calls(algorithm, one.problem, X, Y, steps=T, **one.start()) == Calls(
            grad_x_upper=2 + T - 1,
            grad_y_upper=T,
            grad_y_lower=3 + count * -(-T // period),
            hvp_lower=T,
            cross_lower=2 + T - 1,
            values=0,
        )


def slip(kind: type[BOREP]) -> None:
    """I = N = 1 is SLIP, bit for bit."""
    for name in ALL_PROBLEMS:
        one = case(of(kind, period=1, lower_steps=1), problem=problem(name))
        four = {k: v for k, v in dataclasses.asdict(ALGORITHM).items() if k in SLIP_SIZES}
        other = one._replace(algorithm=SLIP(**four))
        mine, theirs = (c.run(STEPS, Tape(3)).state for c in (one, other))
        assert bits(mine) == bits(theirs), name


def simultaneous(kind: type[BOREP]) -> None:
    """Every line from the variables as they were, at a round and between."""
    one = case(of(kind))
    p, replay = one.problem, stored(one, 5)
    states = states_of(case(), replay)
    for before, s in zip(states, replay.steps, strict=False):
        x, y, z, m, t = before
        after = one.algorithm.step(p, before, s)
        m = 0.875 * m + (1 - 0.875) * implicit_gradient(p, x, y, z, s)
        assert np.array_equal(after.momentum, m), t
        moved = x - 2.0**-6 * m / np.sqrt(m @ m)
        np.testing.assert_allclose(after.x, moved, rtol=0, atol=4 * U64)
        for n in range(rows(s.lower)):
            y = y - 0.25 * p.grad_y_lower(x, y, at(s.lower, n))
        assert np.array_equal(after.y, y), t
        residual = p.hvp_lower(x, before.y, z, s.hessian) - p.grad_y_upper(x, before.y, s.upper_y)
        assert np.array_equal(after.z, z - 0.375 * residual), t


# --- laws of the upper level ---------------------------------------------------------------


def length(kind: type[BOREP]) -> None:
    """‖x_{t+1} − x_t‖ = η, also where the square of m underflows."""
    for power in (0, -40, -600):
        one = case(of(kind), problem=ScaledUpper(problem("nonquadratic"), 2.0**power))
        for before, after in itertools.pairwise(states_of(one, stored(one, 12))):
            moved = np.linalg.norm(after.x - before.x)
            np.testing.assert_allclose(moved, 2.0**-6, rtol=0, atol=4 * U64)


def scale(kind: type[BOREP]) -> None:
    """F and its noise by 2^k: x and y as before to the bit, m and z by 2^k."""
    one = case(of(kind))
    replay = stored(one, 20)
    before = one.run(20, replay).state
    for k in (-40, -1, 40):
        other = one._replace(problem=ScaledUpper(one.problem, 2.0**k)).run(20, replay).state
        for name, power in (("x", 0), ("y", 0), ("z", k), ("momentum", k)):
            expected = getattr(before, name) * 2.0**power
            assert np.array_equal(getattr(other, name), expected), name


STILL = {"upper_step_size": 2.0**-60, "lower_step_size": 1e-300, "linear_step_size": 1e-300}


def lag(kind: type[BOREP]) -> None:
    """D_t − m_t = β/(1−β) d (1 − β^t) where D drifts by d a step."""
    drift = np.array([0.25, -0.5])
    states, directions = averages(of(kind, **STILL), np.arange(COUNT)[:, None] * drift)
    for t, state in enumerate(states):
        expected = 0.875 / 0.125 * 0.5 * drift * (1 - 0.875**t)
        np.testing.assert_allclose(directions[t] - state.momentum, expected, rtol=0, atol=1e3 * U64)


def variance(kind: type[BOREP]) -> None:
    """V_t = β² V_{t−1} + (1−β)² s² from V_0 = s², over every path of signs."""
    noise = np.stack([PATHS.T, -PATHS.T], axis=-1)  # (T, paths, 2)
    states, _ = averages(of(kind, **STILL), noise)
    expected = 0.25
    for t, state in enumerate(states):
        if t > 0:
            expected = 0.875**2 * expected + 0.125**2 * 0.25
        np.testing.assert_allclose(np.mean(state.momentum, axis=0), 0, rtol=0, atol=20 * U64)
        np.testing.assert_allclose(np.mean(state.momentum**2, axis=0), expected, rtol=1e-13)


def contracts(kind: type[BOREP]) -> None:
    """Without noise z − z* shrinks by 1 − νh at every iteration."""
    LINEAR[0](of(kind), BOREPState)


def scatters(kind: type[BOREP]) -> None:
    """The stationary covariance of z reproduces itself."""
    LINEAR[1](of(kind), BOREPState)


Law = Callable[[type[BOREP]], None]
LAWS: tuple[Law, ...] = (
    rounds,
    idle,
    samples,
    slip,
    simultaneous,
    length,
    scale,
    lag,
    variance,
    contracts,
    scatters,
)
SEEN_BY: dict[Any, tuple[Law, ...]] = {
    LongerPeriod: (rounds, idle, samples),
    LateRounds: (rounds, idle, samples),
    MovesWhenIdle: (rounds, idle, samples, simultaneous),
    WaitingZ: (idle, simultaneous),
    Restarted: (simultaneous, lag, variance),
    OldAverage: (simultaneous,),
    Sequential: (simultaneous, slip),
    one_fewer: (rounds, samples, slip, simultaneous),
    one_sample: (simultaneous,),
    with_memory: (rounds, simultaneous),
    plain: (length, scale, simultaneous),
    with_epsilon: (length, scale),
    clipped: (length, scale),
    each_coordinate: (length, simultaneous),
    swapped: (lag, variance, simultaneous),
    recursive: (lag, variance, simultaneous),
    **dict.fromkeys(WRONG_STEPS, (contracts, scatters, simultaneous)),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_law(law: Law) -> None:
    law(BOREP)


@pytest.mark.parametrize(
    ("wrong", "law"),
    [(wrong, law) for wrong, found_by in SEEN_BY.items() for law in found_by],
    ids=lambda part: part.__name__,
)
def test_a_wrong_variant_is_rejected(wrong: Any, law: Law, monkeypatch: pytest.MonkeyPatch) -> None:
    if wrong in PARTS:
        replace_parts(monkeypatch, BOREP, **{PARTS[wrong]: wrong})
    with pytest.raises(AssertionError):
        law(BOREP if wrong in PARTS else wrong)


def test_every_law_rejects_a_variant() -> None:
    assert {law for found_by in SEEN_BY.values() for law in found_by} == set(LAWS)


# --- where it ends, and replicates ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["quadratic", "cosh", "nonquadratic"])
def test_without_noise_y_and_z_arrive_and_the_direction_is_the_hypergradient(kind: str) -> None:
    quiet = problem(kind, **QUIET)
    state = Case(quiet, of(BOREP, upper_step_size=1e-300), X, Y, 0, 1).run(1000, 0).state
    solution = quiet.solution(X)
    np.testing.assert_allclose(state.y, solution, rtol=0, atol=1e-13)
    H = np.stack([quiet.hvp_lower(X, solution, e) for e in np.eye(3)], axis=-1)
    expected = np.linalg.solve(H, quiet.grad_y_upper(X, solution))
    np.testing.assert_allclose(state.z, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(state.momentum, quiet.hypergradient(X), rtol=0, atol=1e-12)


def test_replicates_may_be_permuted_and_split() -> None:
    many = case(x=batch(X, 4), y=batch(Y, 4))
    replay = stored(many, 20)
    together = many.run(20, replay).state
    for chosen in ([2, 0, 3, 1], [0, 1], [2, 3], [3]):

        def of_these(leaf: Any, axis: int = -2, chosen: Any = chosen) -> Any:
            return np.take(leaf, chosen, axis=axis)

        part = Replay(map_arrays(of_these, replay.start), map_arrays(of_these, replay.steps))
        some = many._replace(x=many.x[chosen], y=many.y[chosen]).run(20, part).state
        assert bits(some) == bits(map_arrays(lambda leaf, of=of_these: of(leaf, 0), together))


# --- conventions and bad input -------------------------------------------------------------


def test_iteration_0_is_a_round_and_its_average_a_mean() -> None:
    one = case(warm_start=0, first=4)
    replay = stored(one, 1)
    state, first = one.run(1, replay).state, replay.start.first
    directions = [one.problem.grad_x_upper(X, Y, at(first.upper, i)) for i in range(4)]  # z_0 = 0
    np.testing.assert_allclose(state.momentum, np.mean(directions, axis=0), rtol=0, atol=20 * U64)
    v = one.problem.grad_y_upper(X, Y, first.upper_y)
    np.testing.assert_allclose(state.z, 0.375 * v, rtol=4 * U64)
    assert np.array_equal(state.y, gradient_steps(one.problem, X, Y, first.lower, 0.25))


def test_samples_are_fresh() -> None:
    """ξ and ξ' are two draws, and so are the rows of π."""
    sample = Tape(1).open(X).start(ALGORITHM.draw_start(problem("quadratic"), 0, 1)).first
    assert isinstance(sample, BOREPSample)
    for name, leaf in sample.upper_y.items():
        assert np.all(leaf != sample.upper[name][0])
    assert np.all(sample.lower["additive"][0] != sample.lower["additive"][1])


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_lower_steps_is_refused(count: int) -> None:
    one = case()
    replay = stored(one, 2)
    some = {k: np.resize(v, (count, 3)) for k, v in replay.start.first.lower.items()}
    message = f"{count} rows; BO-REP takes 2 steps at a refresh and none between"
    with pytest.raises(ValueError, match=message):
        ALGORITHM.step(one.problem, one.run(1, replay).state, replay.steps[0]._replace(lower=some))


def test_a_diverging_run_names_the_iteration() -> None:
    with pytest.raises(NonFiniteError, match=r"iteration \d+: \w+"):
        case(of(BOREP, lower_step_size=100.0)).run(1000, 1)


@pytest.mark.parametrize(
    ("name", "value", "interval"),
    [
        ("lower_step_size", 0.0, r"\(0, inf\)"),
        ("linear_step_size", -1.0, r"\(0, inf\)"),
        ("upper_step_size", float("nan"), r"\(0, inf\)"),
        ("momentum", 1.0, r"\[0, 1\)"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(name: str, value: float, interval: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must lie in {interval}"):
        of(BOREP, **{name: value})
    with pytest.raises(TypeError, match=f"{name} must be a number"):
        of(BOREP, **{name: True})


@pytest.mark.parametrize("name", ["period", "lower_steps"])
def test_counts_are_integers(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got 0"):
        of(BOREP, **{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer >= 1, got 2.0"):
        of(BOREP, **{name: 2.0})
