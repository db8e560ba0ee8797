"""Problems of the user's own: derivatives against closed forms, runs, counts, refusals."""

from __future__ import annotations

import functools
import importlib.util
import io
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accbo
from accbo._arrays import namespace, row, to_host
from accbo.problems import from_objectives
from accbo.sampling import Start, Tape, draw_fields
from tests.backends import Backend, need
from tests.support import ALGORITHM, U64, X, Y, batch, changed, problem

EXAMPLES = Path(__file__).parents[1] / "examples"
MODULE = sys.modules[from_objectives.__module__]
ROUNDINGS = 50  # as in test_problems: both take that many, of terms of order 1
R = 3


@pytest.fixture(params=["jax", "torch"])
def library(request: pytest.FixtureRequest) -> Backend:
    return need(request.param)


@functools.cache  # JAX compiles what it tries out
def _own(kind: str, backend: str) -> tuple[Any, Any]:
    """The closed form of ``kind`` on the host, and the same from objectives written out here."""
    host, like = problem(kind), need(backend)
    upper, lower = (quadratic_by_hand if kind == "quadratic" else sum_by_hand)(like.move(host))
    made = from_objectives(
        upper,
        lower,
        host.d_x,
        host.d_y,
        backend=like.name,
        upper_noise=host.upper_noise,
        lower_noise=host.lower_noise,
        at=(like.array(X), like.array(Y)),
    )
    return host, made


def own(kind: str, like: Backend) -> tuple[Any, Any]:
    """As above, of a backend, which has no hash."""
    return _own(kind, like.name)


def quadratic_by_hand(p: Any) -> tuple[Any, Any]:
    """½ Σ w x² + ½ ‖y − t‖² over ½ yᵀHy − yᵀCx, with the noise of ``problems._noise``."""
    above, below = p.noise_upper, p.noise_lower

    def upper(x: Any, y: Any, sample: Any) -> Any:
        value = (p.weights * x) @ x / 2 + (y - p.target) @ (y - p.target) / 2
        for name, variable in (("x", x), ("y", y)) if sample else ():
            slope, bend = sample[f"additive_{name}"], sample[f"multiplicative_{name}"]
            value = value + getattr(above, f"additive_{name}") * (slope @ variable)
            value = value + getattr(above, f"multiplicative_{name}") * (bend @ variable**2) / 2
        return value

    def lower(x: Any, y: Any, sample: Any) -> Any:
        coupled = p.coupling @ x
        value = y @ (p.hessian @ y) / 2 - y @ coupled
        if sample:
            value = value + below.additive * (sample["additive"] @ y)
            value = value + below.curvature * (sample["curvature"] @ y**2) / 2
            value = value - below.coupling * ((sample["coupling"] * y) @ coupled)
        return value

    return upper, lower


def sum_by_hand(p: Any) -> tuple[Any, Any]:
    """The logistic losses of ``problems.finite_sum``."""

    def loss(x: Any, y: Any, sample: Any, level: str, ridge: Any) -> Any:
        rows = sample["index"] if sample else slice(None)
        features, offsets, labels = (
            getattr(p, f"{level}_{name}")[rows] for name in ("features", "offsets", "labels")
        )
        t = -labels * (features @ y + offsets @ x)
        return namespace(x).logaddexp(t, 0 * t).mean() + ridge

    return (
        lambda x, y, s: loss(x, y, s, "upper", p.upper_ridge * (x @ x) / 2),
        lambda x, y, s: loss(x, y, s, "lower", p.lower_ridge * (y @ y) / 2),
    )


# --- derivatives ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["quadratic", "finite_sum"])
def test_derivatives_are_those_of_the_closed_form(kind: str, library: Backend) -> None:
    host, made = own(kind, library)
    x, y, v = batch(X, R), batch(Y, R), batch(Y[::-1], R)
    layout = Start(draw_fields(host.upper_noise), draw_fields(host.lower_noise))
    drawn = row(Tape(5).open(x).block(layout, 1), 0)
    xi, zeta = drawn.warm_start, drawn.first
    calls: list[tuple[str, tuple[Any, ...], Any]] = [
        ("upper", (x, y), xi),
        ("grad_x_upper", (x, y), xi),
        ("grad_y_upper", (x, y), xi),
        ("lower", (x, y), zeta),
        ("grad_y_lower", (x, y), zeta),
        ("hvp_lower", (x, y, v), zeta),
        ("cross_lower", (x, y, v), zeta),
    ]
    for name, point, sample in calls:
        expected = getattr(host, name)(*point, sample)
        found = to_host(getattr(made, name)(*map(library.array, point), library.move(sample)))
        assert found.shape == expected.shape, name
        atol = ROUNDINGS * U64 * max(1.0, float(np.max(np.abs(expected))))
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=name)


def test_leading_axes_broadcast(library: Backend) -> None:
    """Of the point, the vector and the sample apart: what the independent series does."""
    host, made = own("finite_sum", library)
    v, index = np.stack([batch(Y, R)] * 2), np.array([[[0, 1, 2]], [[5, 6, 7]]])
    expected = host.hvp_lower(X, Y, v, {"index": index})
    point = library.array(X), library.array(Y), library.array(v)
    found = made.hvp_lower(*point, library.move({"index": index}))
    np.testing.assert_allclose(to_host(found), expected, rtol=0, atol=ROUNDINGS * U64)


def test_without_a_sample_the_objective_is_asked_for_the_expectation(library: Backend) -> None:
    host, made = own("finite_sum", library)
    found = made.cross_lower(*map(library.array, (X, Y, Y)))
    expected = host.cross_lower(X, Y, Y)
    np.testing.assert_allclose(to_host(found), expected, rtol=0, atol=ROUNDINGS * U64)


# --- runs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["chained", "independent"])
def test_a_run_is_that_of_the_closed_form(sampling: str, library: Backend) -> None:
    """A finite sum draws the same batches for both, so that the runs are the same numbers."""
    algorithm = changed(neumann_sampling=sampling, neumann_terms=3)
    host, made = own("finite_sum", library)
    x, y, steps = batch(X, 2), batch(Y, 2), 6
    expected = accbo.run(algorithm, host, x, y, steps=steps, noise=3, warm_start=2, first=2)
    start = library.array(x), library.array(y)
    found = accbo.run(algorithm, made, *start, steps=steps, noise=3, warm_start=2, first=2)
    for name in ("x", "y", "momentum"):
        ours, theirs = to_host(getattr(found.state, name)), getattr(expected.state, name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12, err_msg=name)
    other = accbo.run(algorithm, made, *start, steps=steps, noise=4, warm_start=2, first=2)
    assert np.max(np.abs(to_host(other.state.x) - expected.state.x)) > 1e-4  # the noise is read


def test_calls_are_counted_as_for_any_problem(library: Backend) -> None:
    host, made = own("finite_sum", library)
    arguments = {"steps": 5, "warm_start": 2}
    expected = accbo.count_calls(ALGORITHM, host, X, Y, **arguments)
    start = library.array(X), library.array(Y)
    assert accbo.count_calls(ALGORITHM, made, *start, **arguments) == expected


def test_pytorch_keeps_no_graph_of_the_run() -> None:
    """Else parameters that an objective closes over would tie every iteration to the last."""
    need("torch")
    import torch

    weight = torch.nn.Parameter(torch.ones(2))
    made = from_objectives(
        lambda x, y, s: (weight * (x - y) ** 2).sum(),
        lambda x, y, s: (weight * (y - 2 * x) ** 2).sum(),
        2,
        2,
        backend="torch",
    )
    state = accbo.run(changed(neumann_scale=8.0), made, torch.ones(2), torch.ones(2), steps=3).state
    assert not state.x.requires_grad
    assert not made.upper(torch.ones(2), torch.ones(2)).requires_grad


def test_jax_compiles_once_for_two_problems_of_the_same_functions() -> None:
    like, traced = need("jax"), []
    start = like.array(X), like.array(Y)

    def lower(x: Any, y: Any, sample: Any) -> Any:
        traced.append(x)
        return ((y - x[0]) ** 2).sum()

    def once() -> int:
        before = len(traced)
        accbo.run(ALGORITHM, from_objectives(good_upper, lower, 2, 3, at=start), *start, steps=4)
        return len(traced) - before

    assert once() > 1
    assert once() == MODULE.CALLS  # the plain calls of the check


# --- the examples -----------------------------------------------------------------------------


def imported(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An example, which does not stay among the modules."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, example)
    spec.loader.exec_module(example)
    return example


@pytest.mark.parametrize("name", ["own_problem_jax", "own_problem_torch"])
def test_the_examples_find_the_minimiser(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is quadratic: y* = Mx, and the best labels solve a linear system."""
    need(name.rpartition("_")[2])
    example = imported(name, monkeypatch)
    a, b, t = (np.asarray(part) for part in (example.points, example.features, example.measured))
    response = b @ np.linalg.solve(a.T @ a / len(a) + np.eye(3), a.T / len(a))
    hessian = response.T @ response / len(b) + 0.1 * np.eye(len(a))
    best = np.linalg.solve(hessian, response.T @ t / len(b))
    found = np.asarray(example.solve())
    # η = 0.01 at most and batches of eight: the run hovers; 0.06 of the way in trials
    assert np.linalg.norm(found - best) < 0.1 * np.linalg.norm(best)


@pytest.mark.parametrize("name", ["own_problem_jax", "own_problem_torch"])
def test_the_examples_are_thirty_lines(name: str) -> None:
    """Of code: no blank lines, comments or docstrings."""
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    lines, before = set(), tokenize.NEWLINE
    idle = (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in idle:
            continue
        alone = token.type == tokenize.STRING and before == tokenize.NEWLINE
        if not alone and token.type != tokenize.NEWLINE:
            lines.add(token.start[0])
        before = token.type
    assert 20 <= len(lines) <= 30


# --- what is refused --------------------------------------------------------------------------


def good_upper(x: Any, y: Any, sample: Any) -> Any:
    return (x * x).sum() + (y * y).sum()


def good_lower(x: Any, y: Any, sample: Any) -> Any:
    return ((y - x.sum()) ** 2).sum()


BAD: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "vector": (lambda x, y, s: x * x, good_lower, r"upper must return a scalar .* shape \(2,\)"),
    "float": (lambda x, y, s: 1.0, good_lower, "upper must return an array .* builtins.float"),
    "integer": (good_upper, lambda x, y, s: (y > 0).sum(), "lower must return a floating-point"),
    "constant": (lambda x, y, s: (0 * x).sum(), good_lower, "gradients of upper in x and y are z"),
    "no y": (good_upper, lambda x, y, s: (x * x).sum(), "gradient of lower in y is zero"),
    "linear": (good_upper, lambda x, y, s: y.sum(), "lower must be strongly convex in y"),
    "concave": (good_upper, lambda x, y, s: -(y * y).sum(), "lower must be strongly convex in y"),
    "nan": (
        lambda x, y, s: (x * float("nan")).sum(),
        good_lower,
        "the value of upper holds a NaN or an infinity",
    ),
    "nan slope": (
        good_upper,
        lambda x, y, s: (((y - y) ** 2) ** 0.5).sum() + (y * y).sum(),
        "the gradient in y of lower holds a NaN",
    ),
    "raises": (lambda x, y, s: s["gone"], good_lower, r"upper\(x, y, sample\) raised KeyError"),
    "branch": (
        lambda x, y, s: x.sum() if x.sum() > 0 else -x.sum(),
        good_lower,
        "the value of upper, over replicates, cannot be taken",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_objectives_that_cannot_be_used(what: str, library: Backend) -> None:
    upper, lower, message = BAD[what]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        from_objectives(upper, lower, 2, 2, backend=library.name)
    assert len(str(caught.value).splitlines()) == 1


def test_a_detached_objective_is_not_differentiable() -> None:
    need("torch")
    with pytest.raises(ValueError, match="gradient of lower in y is zero"):
        from_objectives(good_upper, lambda x, y, s: (y.detach() ** 2).sum(), 2, 2, backend="torch")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"upper": 3}, TypeError, "upper must be a function"),
        ({"d_x": 0}, ValueError, "d_x must be an integer >= 1, got 0"),
        ({"backend": "numpy"}, ValueError, "backend must be 'jax' or 'torch', got 'numpy'"),
        ({"upper_noise": ["index"]}, TypeError, "upper_noise must map field names"),
        ({"lower_noise": {"e": "normal"}}, TypeError, r"lower_noise\['e'\] must be a Noise"),
        ({"lower_noise": {"e": ("cauchy", (2,))}}, ValueError, "law must be normal, two_point"),
        ({"lower_noise": {"e": ("normal", (2, 2))}}, ValueError, "a shape of one axis"),
        ({"lower_noise": {"e": ("index", (2,))}}, ValueError, "needs the number of rows"),
        ({"at": 3}, TypeError, r"at must be a pair \(x, y\)"),
        ({"at": (np.zeros(2), np.zeros(2))}, TypeError, "differentiates with PyTorch; expected"),
        ({"at": (np.zeros(3), np.zeros(2))}, ValueError, r"at must have the shapes \(2,\) and"),
    ],
)
def test_arguments_that_do_not_fit(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    need("torch")
    given = {"upper": good_upper, "lower": good_lower, "d_x": 2, "d_y": 2, "backend": "torch"}
    with pytest.raises(error, match=message):
        from_objectives(**{**given, **changes})


def test_a_missing_library_is_named(library: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library.name, None)
    with pytest.raises(ImportError, match=rf"pip install '{library.name}>="):
        from_objectives(good_upper, good_lower, 2, 2, backend=library.name)


def test_another_librarys_arrays_are_refused_by_name(library: Backend) -> None:
    made = from_objectives(good_upper, good_lower, 2, 2, backend=library.name)
    with pytest.raises(TypeError, match=r"expected its arrays, got numpy\.ndarray"):
        accbo.run(ALGORITHM, made, np.ones(2), np.ones(2), steps=2)
    sample = {"other": library.array(np.ones(2))}
    _, noisy = own("finite_sum", library)
    with pytest.raises(ValueError, match=r"sample lacks the fields \['index'\]; it has"):
        noisy.upper(library.array(X), library.array(Y), sample)
