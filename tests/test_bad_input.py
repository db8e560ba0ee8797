"""Bad input, each with a message of its own that says what was wrong."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from typing import Any

import numpy as np
import pytest

import accbo
from accbo import NonFiniteError, Tape, schedules
from accbo._arrays import map_arrays, named_leaves, namespace
from accbo.algorithms import AccBO
from accbo.problems import (
    FiniteSum,
    LowerNoise,
    NonQuadratic,
    Quadratic,
    RelaxedSmooth,
    UpperNoise,
    finite_sum,
    nonquadratic,
    quadratic,
    relaxed_smooth,
)
from accbo.sampling import Draw, Replay
from tests.backends import need
from tests.support import ALGORITHM, LOWER, Case, X, Y, batch, case, changed, problem, stored
from tests.test_all_pairs import ALGORITHMS, case_of

PLAIN = case("plain")
NAN, INF = math.nan, math.inf


def refused(one: Case, error: type[Exception], message: str, **options: Any) -> None:
    """``run`` raises ``error`` with ``message``, taken literally."""
    with pytest.raises(error, match=re.escape(message)):
        one.run(**{"steps": 5, "noise": 1, **options})


# --- x and y -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones(4), Y, "x has shape (4,), y has shape (3,); expected (..., 2) and (..., 3)"),
        (X, np.ones(1), "x has shape (2,), y has shape (1,); expected (..., 2) and (..., 3)"),
        (np.ones((2, 1)), Y, "x has shape (2, 1), y has shape (3,)"),
        (Y, X, "x has shape (3,), y has shape (2,); expected (..., 2) and (..., 3); they look"),
        (batch(X, 3), Y, "x has shape (3, 2), y has shape (3,); their leading axes"),
        (batch(X, 3), batch(Y, 4), "their leading axes, the replicates, must be the same"),
        (X[None], Y, "x has shape (1, 2), y has shape (3,); their leading axes"),
        (np.array(1.0), Y, "x must have a last axis for the variable, got a scalar"),
        (X, np.array(1.0), "y must have a last axis for the variable, got a scalar"),
        (np.array([NAN, 0.0]), Y, "x holds a NaN or an infinity"),
        (np.array([INF, 0.0]), Y, "x holds a NaN or an infinity"),
        (X, np.array([0.0, -INF, 0.0]), "y holds a NaN or an infinity"),
        (X, np.array([0.0, 0.0, NAN]), "y holds a NaN or an infinity"),
    ],
)
def test_wrong_values_and_shapes(x: Any, y: Any, message: str) -> None:
    refused(PLAIN._replace(x=x, y=y), ValueError, message)


def test_a_square_problem_has_no_swapped_look() -> None:
    square = Case(quadratic((1.0, 2.0), 2), ALGORITHM, X, X)
    with pytest.raises(ValueError, match=r"\(\.\.\., 2\)$"):
        square._replace(x=np.ones(3)).run(2, 1)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.array([1, 2]), Y, "x must be float32 or float64, got int64"),
        (X, Y.astype(complex), "y must be float32 or float64, got complex128"),
        (X > 0, Y, "x must be float32 or float64, got bool"),
        (X.astype(np.float16), Y, "x must be float32 or float64, got float16"),
        ([0.5, 1.0], Y, "x must be an array (NumPy, PyTorch, JAX, CuPy, …), got list"),
        (X, 1.0, "y must be an array (NumPy, PyTorch, JAX, CuPy, …), got float"),
        (None, Y, "x must be an array (NumPy, PyTorch, JAX, CuPy, …), got NoneType"),
        (np.float64(1.0), Y, "x must be an array (NumPy, PyTorch, JAX, CuPy, …), got float64"),
        (X.astype(np.float32), Y, "x and y differ in dtype: float32 and float64"),
    ],
)
def test_wrong_types(x: Any, y: Any, message: str) -> None:
    refused(PLAIN._replace(x=x, y=y), TypeError, message)


@pytest.mark.parametrize("name", ["strict", "torch", "jax", "mparray"])
def test_mixed_namespaces(name: str) -> None:
    there = need(name)
    moved = PLAIN.to(there)
    refused(moved._replace(y=Y), TypeError, "x and y differ in namespace")
    refused(PLAIN._replace(x=moved.x, y=moved.y), TypeError, "x and problem.weights differ in")
    refused(moved._replace(problem=PLAIN.problem), TypeError, "accbo.move(problem, like=x)")


def test_mixed_devices() -> None:
    here, there = PLAIN.to(need("strict")), PLAIN.to(need("strict-device1"))
    message = "x and y differ in device: array_api_strict.Device('CPU_DEVICE') and"
    refused(here._replace(y=there.y), TypeError, message)
    message = "x and problem.weights differ in device"
    refused(here._replace(problem=there.problem), TypeError, message)


def test_mixed_dtypes() -> None:
    narrow = PLAIN.to(need("numpy"), "float32")
    refused(narrow._replace(y=Y), TypeError, "x and y differ in dtype: float32 and float64")
    message = "x and problem.weights differ in dtype: float32 and float64"
    refused(narrow._replace(problem=PLAIN.problem), TypeError, message)


def test_an_object_that_is_no_array() -> None:
    with pytest.raises(TypeError, match=r"expected an array of NumPy.*, got builtins\.str"):
        namespace("x")


# --- run's own arguments -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "least"), [("steps", 1), ("warm_start", 0), ("first", 1), ("every", 1)]
)
def test_counts(option: str, least: int) -> None:
    message = f"{option} must be an integer >= {least}, got "
    refused(PLAIN, ValueError, message + str(least - 1), **{option: least - 1})
    refused(PLAIN, TypeError, message + "2.0", **{option: 2.0})
    refused(PLAIN, TypeError, message + "True", **{option: True})
    refused(PLAIN, TypeError, message + "None", **{option: None})


@pytest.mark.parametrize("record", [["x"], {"x": "x"}, {"x": None}, lambda state: state.x])
def test_records(record: Any) -> None:
    refused(PLAIN, TypeError, "record must map names to functions of the state", record=record)


def test_noise_addresses() -> None:
    message = "seed must be an integer >= 0, got -1"
    refused(PLAIN, ValueError, message, noise=-1)
    with pytest.raises(ValueError, match=r"seed must be an integer >= 0, got 1\.5"):
        Tape(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="first_replicate must be an integer >= 0, got -2"):
        Tape(0, first_replicate=-2)
    for scale in (-0.5, NAN, INF):
        with pytest.raises(ValueError, match=f"lower_scale must be finite and >= 0, got {scale}"):
            Tape(0, lower_scale=scale)


def test_a_problem_that_lacks_methods() -> None:
    class Bare:
        d_x = d_y = 2

        def upper(self, x: Any, y: Any, sample: Any = None) -> Any:
            return x

    message = "Bare is no bilevel problem: it lacks ['cross_lower', 'cross_noise', 'grad_x_upper',"
    refused(PLAIN._replace(problem=Bare()), TypeError, message)

    class Sizeless:
        def __getattr__(self, name: str) -> Any:
            if name in ("d_x", "d_y"):
                raise AttributeError(name)
            return None

    message = "Sizeless is no bilevel problem: it lacks ['d_x', 'd_y']"
    refused(PLAIN._replace(problem=Sizeless()), TypeError, message)


# --- hyper-parameters ----------------------------------------------------------------------

RANGES = {
    "lower_step_size": ("(0, inf)", (0, 0.0, -1.0, INF)),
    "lower_momentum": ("[0, 1)", (-0.1, 1.0, 1.5)),
    "averaging": ("(0, 1]", (0.0, -0.5, 1.01)),
    "momentum": ("[0, 1)", (-0.1, 1, 2.0)),
    "upper_step_size": ("(0, inf)", (0.0, -1e-9, INF)),
    "neumann_scale": ("(0, inf)", (0.0, -3.0, INF)),
}


@pytest.mark.parametrize("name", RANGES)
def test_real_hyper_parameters(name: str) -> None:
    interval, outside = RANGES[name]
    for value in (*outside, NAN, -INF):
        with pytest.raises(ValueError, match=re.escape(f"{name} must lie in {interval}, got")):
            changed(**{name: value})
    for value in ("0.5", None, True, np.ones(2), 1j):
        message = re.escape(f"{name} must be a number in {interval}, got")
        with pytest.raises(TypeError, match=message):
            changed(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("lower_momentum", 0), ("averaging", 1), ("momentum", 0), ("lower_step_size", 1e-300)],
)
def test_the_closed_ends_of_the_ranges_are_allowed(name: str, value: float) -> None:
    assert type(getattr(changed(**{name: value}), name)) is float


@pytest.mark.parametrize("name", ["neumann_terms", "period", "lower_steps"])
def test_integer_hyper_parameters(name: str) -> None:
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got {value}"):
            changed(**{name: value})
    for value in (2.0, "3", True, NAN):
        with pytest.raises(TypeError, match=f"{name} must be an integer >= 1, got {value!r}"):
            changed(**{name: value})


def test_choices() -> None:
    message = "neumann_sampling must be one of chained, independent, randomised; got 'horner'"
    with pytest.raises(ValueError, match=message):
        changed(neumann_sampling="horner")
    with pytest.raises(ValueError, match="order must be one of simultaneous, sequential; got None"):
        changed(order=None)


def test_hyper_parameters_are_words() -> None:
    with pytest.raises(TypeError, match="missing 7 required keyword-only arguments"):
        AccBO()  # type: ignore[call-arg]


# --- the scale of the series ---------------------------------------------------------------


def test_a_scale_at_which_the_series_diverges() -> None:
    assert PLAIN.problem.constants.curvature == pytest.approx(2.75)
    for scale in (0.1, 1.375 * (1 - 1e-9)):
        message = (
            "is at most half the largest curvature of a realisation, 2.75: the series diverges"
        )
        refused(PLAIN._replace(algorithm=changed(neumann_scale=scale)), ValueError, message)
    exactly = quadratic((1.0, 2.0), 2, rotate=False)
    half = Case(exactly, changed(neumann_scale=1.0), X, X)
    refused(half, ValueError, "neumann_scale l = 1 is at most half")


def test_a_scale_below_the_curvature_warns() -> None:
    message = r"neumann_scale l = 2 is below the largest curvature of a realisation, 2\.75"
    with pytest.warns(UserWarning, match=message) as caught:
        accbo.run(changed(neumann_scale=2.0), PLAIN.problem, X, Y, steps=2)
    assert caught[0].filename == __file__  # at the caller's line
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PLAIN._replace(algorithm=changed(neumann_scale=2.75 * (1 + 1e-9))).run(2, 1)


def test_one_term_has_no_scale_to_check() -> None:
    single = changed(neumann_terms=1, neumann_scale=0.01)
    PLAIN._replace(algorithm=single).run(2, 1)


# --- samples -------------------------------------------------------------------------------


def replaced(sample: Any, part: str, field: str, value: Any) -> Any:
    return sample._replace(**{part: {**getattr(sample, part), field: value}})


def test_a_sample_that_does_not_fit() -> None:
    replay = stored(PLAIN, 5)
    good = replay.steps[0]

    def starting_with(sample: Any) -> dict[str, Any]:
        return {"noise": Replay(replay.start, (sample, *replay.steps[1:]))}

    short = replaced(good, "hessian", "curvature", good.hessian["curvature"][:2])
    message = "sample.hessian['curvature'] has shape (2, 3); the algorithm takes (3,) + replicates"
    refused(PLAIN, ValueError, message, **starting_with(short))

    wide = replaced(good, "upper", "additive_x", np.zeros(3))
    message = (
        "sample.upper['additive_x'] has shape (3,); the algorithm takes () + replicates () + (2,)"
    )
    refused(PLAIN, ValueError, message, **starting_with(wide))

    two_steps = good._replace(lower=map_arrays(lambda s: np.concatenate((s, s)), good.lower))
    message = "sample.lower['additive'] has shape (2, 3); the algorithm takes (1,) + replicates"
    refused(PLAIN, ValueError, message, **starting_with(two_steps))

    lacking = good._replace(cross={})
    message = "sample.cross lacks the fields ['coupling']; it has []"
    refused(PLAIN, ValueError, message, **starting_with(lacking))

    message = "the algorithm takes a NeumannSample, got a tuple"
    refused(PLAIN, ValueError, message, **starting_with(tuple(good)))

    message = "the algorithm takes a Start, got a NeumannSample"
    refused(PLAIN, ValueError, message, noise=Replay(good, replay.steps))

    message = "sample.warm_start['additive'] has shape (3, 3); the algorithm takes (2,) +"
    refused(PLAIN, ValueError, message, noise=replay, warm_start=2)


@pytest.mark.parametrize("name", ["numpy", "strict-device1", "torch", "jax", "mparray"])
@pytest.mark.parametrize(
    ("part", "field", "value", "below"),
    [("upper", "index", 6, 6), ("hessian", "index", -1, 8), ("power", "power", 4, 4)],
)
def test_an_index_out_of_range(name: str, part: str, field: str, value: int, below: int) -> None:
    """JAX would make a NaN of it, NumPy take a row from the end, others raise later."""
    backend = need(name)
    sums = Case(problem("finite_sum"), changed(neumann_sampling="randomised"), X, Y)
    replay = stored(sums, 5)
    wrong = getattr(replay.steps[1], part)[field].copy()
    outside = np.where(np.arange(wrong.size).reshape(wrong.shape) == 0, value, wrong)
    for one, error, message in (
        (outside, ValueError, f"holds an index outside [0, {below})"),
        (wrong + 0.0, TypeError, "has dtype float64, an index must be an integer"),
    ):
        bad = replaced(replay.steps[1], part, field, one)
        noise = backend.move(Replay(replay.start, (replay.steps[0], bad, *replay.steps[2:])))
        refused(sums.to(backend), error, f"sample.{part}['{field}'] {message}", noise=noise)
    sums.to(backend).run(5, backend.move(replay))


def _leaf_replaced(sample: Any, path: str, value: Any) -> Any:
    """``sample`` with the array at ``path``, as ``named_leaves`` has it, replaced."""
    names = iter(name for name, _ in named_leaves(sample))
    return map_arrays(lambda leaf: value if next(names) == path else leaf, sample)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_index_out_of_range_is_named_with_its_part_and_iteration(name: str) -> None:
    """Every index of every algorithm's sample, those of batches in batches among them."""
    one = case_of(name, "finite_sum")
    replay, found = stored(one, 4), 0
    for path, leaf in named_leaves(replay.steps[1]):
        if leaf.size == 0:
            continue
        outside = leaf.copy()
        outside.flat[-1] = 99
        steps = (replay.steps[0], _leaf_replaced(replay.steps[1], path, outside), replay.steps[2])
        message = f"iteration 2: sample.{path} holds an index outside [0, "
        refused(one, ValueError, message, steps=4, noise=Replay(replay.start, steps))
        found += 1
    assert found >= 2
    for path, leaf in named_leaves(replay.start):
        outside = np.full_like(leaf, -1)
        start = _leaf_replaced(replay.start, path, outside)
        if leaf.size:
            message = f"sample.{path} holds an index outside [0, "
            refused(one, ValueError, message, steps=4, noise=Replay(start, replay.steps))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_diverging_run_of_every_algorithm_names_iteration_and_quantity(name: str) -> None:
    """The replay, one step at a time, finds the same iteration as the block that held it."""
    one = case_of(name, "finite_sum" if name == "SABA" else "nonquadratic")
    wild = dataclasses.replace(one.algorithm, lower_step_size=1e3)
    with pytest.raises(NonFiniteError, match=r"^iteration \d+: .* holds a NaN or an inf") as caught:
        one._replace(algorithm=wild).run(1000, 1)
    t = caught.value.iteration
    assert t > 2
    state = one._replace(algorithm=wild).run(t, 1).state
    assert all(np.all(np.isfinite(leaf)) for _, leaf in named_leaves(state))
    assert caught.value.quantity in dict(named_leaves(state))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_nan_in_a_sample_is_not_taken_for_divergence(name: str) -> None:
    if name == "SABA":
        pytest.skip("its samples are indices")
    one = case_of(name, "nonquadratic")
    replay = stored(one, 4)
    path, leaf = next(
        (path, leaf)
        for path, leaf in named_leaves(replay.steps[2])
        if leaf.size and leaf.dtype == np.float64
    )
    steps = (*replay.steps[:2], _leaf_replaced(replay.steps[2], path, leaf * NAN))
    message = f"iteration 3: sample.{path} holds a NaN or an infinity"
    refused(one, NonFiniteError, message, steps=4, noise=Replay(replay.start, steps))


@pytest.mark.parametrize("wrong", ["replicates", "dtype"])
def test_samples_of_another_run(wrong: str) -> None:
    """Otherwise one sample serves all replicates, or a float32 run turns into float64."""
    many = PLAIN._replace(x=batch(X, 3), y=batch(Y, 3))
    if wrong == "replicates":
        one, replay = many, stored(PLAIN, 5)
    else:
        one, replay = many.to(need("numpy"), "float32"), stored(many, 5)
    with pytest.raises((TypeError, ValueError), match=r"sample\.|warm_start"):
        one.run(5, replay)


@pytest.mark.parametrize("noise", [None, 1.5, np.int64(3), "seed"])
def test_noise_that_is_no_source(noise: Any) -> None:
    with pytest.raises(TypeError, match="noise must be"):
        PLAIN.run(2, noise)


def test_a_sample_of_another_algorithm_is_refused_by_the_step_itself() -> None:
    replay = stored(PLAIN, 2)
    state = PLAIN.algorithm.init(PLAIN.problem, X, Y, replay.start)
    sample = replay.steps[0]
    with pytest.raises(ValueError, match="3 rows; the chained series of Q = 6 terms takes 5"):
        changed(neumann_terms=6).step(PLAIN.problem, state, sample)
    with pytest.raises(ValueError, match="3 rows; the independent series of Q = 4 terms takes 6"):
        changed(neumann_sampling="independent").step(PLAIN.problem, state, sample)
    twice = sample._replace(lower=map_arrays(lambda s: np.concatenate((s, s)), sample.lower))
    with pytest.raises(ValueError, match=r"sample\.lower has 2 rows; Option I takes one"):
        PLAIN.algorithm.step(PLAIN.problem, state, twice)


def test_an_unknown_law() -> None:
    stream = Tape(0).open(X)
    with pytest.raises(ValueError, match="unknown law 'cauchy' of noise; known are normal, two_po"):
        stream.block({"a": Draw(accbo.Noise("cauchy", (1,)))}, 1)


# --- NaN and infinity on the way -----------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy", "jax"])
@pytest.mark.parametrize(
    ("iteration", "part", "field"),
    [(1, "upper", "additive_x"), (3, "hessian", "curvature"), (4, "lower", "additive")],
)
def test_a_bad_sample_is_named_with_its_iteration(
    name: str, iteration: int, part: str, field: str
) -> None:
    backend = need(name)
    replay = stored(PLAIN, 8)
    steps = list(replay.steps)
    leaf = getattr(steps[iteration - 1], part)[field].copy()
    leaf[..., 1] = NAN if part == "upper" else INF
    steps[iteration - 1] = replaced(steps[iteration - 1], part, field, leaf)
    bad = backend.move(Replay(replay.start, tuple(steps)))
    message = f"iteration {iteration}: sample.{part}['{field}'] holds a NaN or an infinity"
    with pytest.raises(NonFiniteError, match=re.escape(message)) as caught:
        PLAIN.to(backend).run(8, bad)
    assert caught.value.iteration == iteration
    assert caught.value.quantity == f"sample.{part}['{field}']"
    assert isinstance(caught.value, FloatingPointError)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("warm_start", "iteration 0: sample.warm_start['additive'] holds a NaN or an infinity"),
        ("first", "iteration 0: sample.first.lower['additive'] holds a NaN or an infinity"),
    ],
)
def test_a_bad_start_is_iteration_zero(part: str, message: str) -> None:
    replay = stored(PLAIN, 2)
    start = replay.start
    if part == "warm_start":
        wrong = {**start.warm_start, "additive": start.warm_start["additive"] * NAN}
        start = start._replace(warm_start=wrong)
    else:
        wrong = start.first.lower["additive"] * NAN
        start = start._replace(first=replaced(start.first, "lower", "additive", wrong))
    refused(PLAIN, NonFiniteError, message, noise=Replay(start, replay.steps))


def diverging() -> Case:
    """A lower level whose iterates grow by about 10^9 an iteration."""
    p = problem("quadratic", noise_upper=UpperNoise(), noise_lower=LowerNoise())
    return Case(p, changed(lower_step_size=1e9, lower_momentum=0.0), X, Y, 0, 1)


def first_bad(one: Case) -> tuple[int, str]:
    """The iteration and field, found by stepping by hand."""
    replay = stored(one, 100)
    with np.errstate(all="ignore"):
        state = one.algorithm.init(one.problem, one.x, one.y, replay.start)
        for t, sample in enumerate(replay.steps, start=1):
            state = one.algorithm.step(one.problem, state, sample)
            for name, value in state._asdict().items():
                if not np.all(np.isfinite(value)):
                    return t, name
    raise AssertionError("it does not diverge")


@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_a_diverging_run_names_its_iteration(name: str) -> None:
    one = diverging()
    iteration, quantity = first_bad(one)
    assert 5 < iteration < 90
    with pytest.raises(NonFiniteError) as caught:
        one.to(need(name)).run(100, 1)
    assert (caught.value.iteration, caught.value.quantity) == (iteration, quantity)
    before = one.run(iteration, 1).state  # the iteration before it is still finite
    assert all(np.all(np.isfinite(leaf)) for leaf in before[:-1])


def test_a_run_that_overflows_at_once() -> None:
    one = Case(relaxed_smooth((1.0, 1.5, 2.0), 2), ALGORITHM, np.array([1e3, 0.0]), Y)
    refused(one, NonFiniteError, "iteration 0: x holds a NaN or an infinity")


# --- problems and noise --------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1.0, NAN, INF, "a"])
def test_noise_scales(value: Any) -> None:
    for cls in (UpperNoise, LowerNoise):
        for field in dataclasses.fields(cls):
            if field.name in ("law", "probability"):
                continue
            message = f"{cls.__name__}.{field.name} must be finite and >= 0, got {value!r}"
            with pytest.raises(ValueError, match=re.escape(message)):
                cls(**{field.name: value})


@pytest.mark.parametrize("cls", [UpperNoise, LowerNoise])
def test_noise_laws(cls: Any) -> None:
    message = f"{cls.__name__}.law must be normal, two_point or a function of .*, got 'cauchy'"
    with pytest.raises(ValueError, match=message):
        cls(law="cauchy")
    for probability in (0.0, 1.0, -1.0, NAN):
        message = f"{cls.__name__}.probability must lie in (0, 1), got {probability!r}"
        with pytest.raises(ValueError, match=re.escape(message)):
            cls(law="two_point", probability=probability)


@pytest.mark.parametrize("build", [quadratic, relaxed_smooth, nonquadratic])
def test_problems(build: Any) -> None:
    for noise in (1.0, 1.5):
        message = "the smallest eigenvalue of hessian, 1, must exceed the noise in its curvature"
        with pytest.raises(ValueError, match=message):
            build((1.0, 2.0), 2, rotate=False, noise_lower=LowerNoise(curvature=noise))
    build((1.0, 2.0), 2, rotate=False, noise_lower=LowerNoise(curvature=0.999))
    with pytest.raises(ValueError, match="form must be shared or matmul, got 'einsum'"):
        build(form="einsum")
    for spectrum in ((1.0, -1.0), (), ((1.0, 2.0),), (0.0, 1.0), (NAN,)):
        with pytest.raises(ValueError, match="spectrum must be positive eigenvalues in a list"):
            build(spectrum)


MATRICES = {"hessian": np.eye(3), "coupling": np.ones((3, 2)), "target": np.ones(3)}
CLASSES: dict[Any, dict[str, Any]] = {
    Quadratic: {**MATRICES, "weights": np.ones(2)},
    RelaxedSmooth: MATRICES,
    NonQuadratic: {**MATRICES, "weights": np.ones(2), "shift": np.ones((3, 2))},
}


WRONG_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"hessian": np.ones((3, 2))}, "hessian must be a symmetric matrix (d_y, d_y), got shape"),
    ({"hessian": np.ones(3)}, "hessian must be a symmetric matrix (d_y, d_y), got shape (3,)"),
    ({"hessian": np.triu(np.ones((3, 3)))}, "hessian must be a symmetric matrix"),
    ({"hessian": -np.eye(3)}, "the smallest eigenvalue of hessian, -1, must exceed"),
    ({"coupling": np.ones((2, 3))}, "coupling must be (d_y, d_x) with d_y = 3, got (2, 3)"),
    ({"coupling": np.ones(3)}, "coupling must be (d_y, d_x) with d_y = 3, got (3,)"),
    ({"target": np.ones(2)}, "target must have shape (3,), got (2,)"),
    ({"weights": np.ones((2, 1))}, "weights must have shape (2,), got (2, 1)"),
    ({"shift": np.ones((2, 3))}, "shift must have the shape of coupling, (3, 2), got (2, 3)"),
    ({"strength": 0.0}, "strength must be > 0, got 0.0"),
    ({"strength": -1.0}, "strength must be > 0, got -1.0"),
    ({"rate": 0.0}, "rate and frequency must be > 0 and ripple >= 0, got 0.0, 1.0, 0.0"),
    ({"ripple": -0.5}, "rate and frequency must be > 0 and ripple >= 0, got 1.0, 1.0, -0.5"),
]


@pytest.mark.parametrize(
    ("cls", "changes", "message"),
    [
        (cls, changes, message)
        for cls in CLASSES
        for changes, message in WRONG_FIELDS
        if set(changes) <= {field.name for field in dataclasses.fields(cls)}
    ],
)
def test_problem_classes(cls: Any, changes: dict[str, Any], message: str) -> None:
    cls(**CLASSES[cls])
    with pytest.raises(ValueError, match=re.escape(message)):
        cls(**{**CLASSES[cls], **changes})


SUM = {
    f"{level}_{name}": value
    for level in ("upper", "lower")
    for name, value in (
        ("features", np.ones((4, 3))),
        ("offsets", np.ones((4, 2))),
        ("labels", np.array([1.0, -1.0, 1.0, 1.0])),
    )
}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"upper_features": [[1.0]]}, TypeError, "upper_features must be an array, got list"),
        (
            {"lower_labels": np.ones((4, 1))},
            ValueError,
            "lower_labels must have shape (samples,) with one sample at least, got (4, 1)",
        ),
        ({"lower_labels": np.ones(0)}, ValueError, "with one sample at least, got (0,)"),
        (
            {"upper_features": np.ones((5, 3))},
            ValueError,
            "upper_features must have shape (4, d_y), got (5, 3)",
        ),
        (
            {"lower_offsets": np.ones(4)},
            ValueError,
            "lower_offsets must have shape (4, d_x), got (4,)",
        ),
        ({"lower_offsets": np.ones((4, 0))}, ValueError, "must have shape (4, d_x), got (4, 0)"),
        (
            {"upper_features": np.ones((4, 2))},
            ValueError,
            "upper_features and lower_features must have as many columns, got (4, 2) and (4, 3)",
        ),
        (
            {"lower_offsets": np.ones((4, 3))},
            ValueError,
            "upper_offsets and lower_offsets must have as many columns, got (4, 2) and (4, 3)",
        ),
        ({"upper_labels": np.zeros(4)}, ValueError, "upper_labels must be -1 or 1"),
        ({"lower_labels": np.full(4, 0.5)}, ValueError, "lower_labels must be -1 or 1"),
        ({"lower_labels": np.full(4, NAN)}, ValueError, "lower_labels must be -1 or 1"),
        ({"lower_features": np.full((4, 3), NAN)}, ValueError, "lower_features holds a NaN"),
        ({"upper_offsets": np.full((4, 2), INF)}, ValueError, "upper_offsets holds a NaN"),
        ({"lower_ridge": 0.0}, ValueError, "lower_ridge must be finite and > 0, got 0.0"),
        ({"upper_ridge": -1.0}, ValueError, "upper_ridge must be finite and > 0, got -1.0"),
        ({"upper_ridge": INF}, ValueError, "upper_ridge must be finite and > 0, got inf"),
        ({"lower_ridge": "1"}, TypeError, "lower_ridge must be a number > 0, got '1'"),
        ({"lower_ridge": True}, TypeError, "lower_ridge must be a number > 0, got True"),
        ({"upper_batch": 0}, ValueError, "upper_batch must be an integer >= 1, got 0"),
        ({"lower_batch": 2.0}, TypeError, "lower_batch must be an integer >= 1, got 2.0"),
        ({"lower_batch": True}, TypeError, "lower_batch must be an integer >= 1, got True"),
        ({"form": "einsum"}, ValueError, "form must be shared or matmul, got 'einsum'"),
    ],
)
def test_the_data_of_a_finite_sum(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    FiniteSum(**SUM)
    with pytest.raises(error, match=re.escape(message)):
        FiniteSum(**{**SUM, **changes})


@pytest.mark.parametrize("name", ["samples", "d_x", "d_y", "upper_samples", "lower_batch"])
def test_the_sizes_of_a_finite_sum(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got 0"):
        finite_sum(**{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer >= 1, got 2.5"):
        finite_sum(**{name: 2.5})
    with pytest.raises(ValueError, match="scale holds a NaN or an infinity"):
        finite_sum(scale=NAN)


# --- schedules -----------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [schedules.accbo, schedules.moving_average])
def test_schedule_arguments(schedule: Any) -> None:
    constants = quadratic(noise_lower=dataclasses.replace(LOWER)).constants
    for both in ({}, {"epsilon": 0.1, "steps": 100}):
        with pytest.raises(ValueError, match="give exactly one of epsilon and steps"):
            schedule(constants, **both)
    for epsilon in (0.0, 1.0, -0.5, 2.0, NAN):
        message = re.escape(f"epsilon must lie in (0, 1), got {epsilon!r}")
        with pytest.raises(ValueError, match=message):
            schedule(constants, epsilon=epsilon)
    for steps in (1, 0, -5, 10.0, True):
        with pytest.raises(ValueError, match=f"steps must be an integer >= 2, got {steps!r}"):
            schedule(constants, steps=steps)
    with pytest.raises(ValueError, match="option must be I or II, got 'III'"):
        schedule(constants, epsilon=0.1, option="III")
    for bound in (0.0, -1.0, NAN):
        with pytest.raises(ValueError, match=f"gradient_bound must be > 0, got {bound!r}"):
            schedule(constants, epsilon=0.1, gradient_bound=bound)
    with pytest.raises(ValueError, match="order must be one of"):
        schedule(constants, epsilon=0.1, order="none")
    with pytest.raises(ValueError, match="neumann_sampling must be one of"):
        schedule(constants, epsilon=0.1, sampling="none")


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (quadratic, {"weights": np.inf}, "weights holds a NaN or an infinity"),
        (quadratic, {"target": np.nan}, "target holds a NaN or an infinity"),
        (quadratic, {"coupling": np.full((2, 2), np.inf)}, "coupling holds a NaN or an infinity"),
        (relaxed_smooth, {"rate": np.inf}, "rate holds a NaN or an infinity"),
        (nonquadratic, {"strength": np.inf}, "strength holds a NaN or an infinity"),
    ],
)
def test_non_finite_data_of_a_problem(make: Any, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_scales_that_are_no_numbers() -> None:
    with pytest.raises(ValueError, match="lower_scale must be finite and >= 0, got '1'"):
        Tape(0, "1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="additive_x must be finite and >= 0, got True"):
        UpperNoise(True)
