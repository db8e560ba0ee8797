"""What other packages take from here: pandas, optax, benchopt; stubs where they are missing."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import accbo
from accbo.problems import quadratic
from tests.backends import need

SIZES: dict[str, Any] = {"lower_step_size": 0.1, "lower_momentum": 0.5, "averaging": 0.2}
SIZES |= {"momentum": 0.9, "upper_step_size": 0.05, "neumann_terms": 3, "neumann_scale": 4.0}
ALGORITHM = accbo.AccBO(**SIZES)
SOLVER = Path(__file__).parents[1] / "examples" / "benchopt" / "solvers" / "accbo.py"


class Frame:
    def __init__(self, columns: Any, index: Any) -> None:
        self.columns, self.index = columns, index


def test_records_are_a_dataframe(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = types.SimpleNamespace(DataFrame=Frame, Index=lambda values, name: (name, values))
    monkeypatch.setitem(sys.modules, "pandas", stub)
    x, y = np.ones((2, 2)), np.zeros((2, 2))
    record = {"x": lambda state: state.x, "size": lambda state: state.x[..., 0]}
    result = accbo.run(ALGORITHM, quadratic(), x, y, steps=6, record=record, every=2)
    frame = result.to_dataframe()
    assert list(frame.columns) == ["x[0, 0]", "x[0, 1]", "x[1, 0]", "x[1, 1]", "size[0]", "size[1]"]
    np.testing.assert_array_equal(frame.columns["x[1, 0]"], result.records["x"][:, 1, 0])
    assert frame.index[0] == "iteration"
    assert frame.index[1].tolist() == [2, 4, 6]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install '.*pandas"):
        result.to_dataframe()


def test_a_dataframe_of_pandas_itself() -> None:
    pandas = pytest.importorskip("pandas")
    record = {"x": lambda state: state.x}
    result = accbo.run(ALGORITHM, quadratic(), np.ones(2), np.zeros(2), steps=4, record=record)
    frame = result.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.shape == (4, 2)


class Extra(tuple):
    """Stands for ``optax.GradientTransformationExtraArgs``, a pair (init, update)."""

    def __new__(cls, init: Any, update: Any) -> Any:
        return super().__new__(cls, (init, update))


def test_the_upper_level_as_a_transformation_of_optax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fed with AccBO's hypergradients it makes AccBO's steps, on a tree of two leaves."""
    like = need("jax")
    if importlib.util.find_spec("optax") is None:
        stub = types.SimpleNamespace(GradientTransformationExtraArgs=Extra)
        monkeypatch.setitem(sys.modules, "optax", stub)
    from accbo.optax import recursive_momentum

    generator = np.random.default_rng(0)
    new, old = generator.standard_normal((2, 5, 3))
    init, update = recursive_momentum(0.9, 0.05)
    x = {"a": like.array(np.zeros(1)), "b": like.array(np.zeros(2))}
    state, m, at = init(x), np.zeros(3), np.zeros(3)
    for t in range(5):
        trees = [{"a": like.array(h[t, :1]), "b": like.array(h[t, 1:])} for h in (new, old)]
        step, state = update(trees[0], state, x, previous=trees[1])
        x = {key: x[key] + step[key] for key in x}
        m = new[t] + (0.9 * (m - old[t]) if t else 0.0)
        at = at - 0.05 * m / np.linalg.norm(m)
        found = np.concatenate((np.asarray(x["a"]), np.asarray(x["b"])))
        np.testing.assert_allclose(found, at, rtol=1e-12, atol=1e-14)
    zero = {"a": like.array(np.zeros(1)), "b": like.array(np.zeros(2))}
    still, _ = update(zero, init(x), x, previous=zero)
    assert not np.any(np.asarray(still["b"]))
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\)"):
        recursive_momentum(1.0, 0.1)
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(ImportError, match="install optax"):
        recursive_momentum(0.9, 0.1)


class Context:
    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: Any) -> None:
        return None


def benchopt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the solver uses of benchopt, as its documentation describes it."""

    class BaseSolver:
        parameters: ClassVar[dict[str, list[Any]]] = {}

        def __init__(self) -> None:
            for name, values in self.parameters.items():
                setattr(self, name, values[0])

    package = types.ModuleType("benchopt")
    package.BaseSolver = BaseSolver  # type: ignore[attr-defined]
    package.safe_import_context = Context  # type: ignore[attr-defined]
    criteria = types.ModuleType("benchopt.stopping_criterion")
    criteria.SufficientProgressCriterion = lambda **given: given  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "benchopt", package)
    monkeypatch.setitem(sys.modules, "benchopt.stopping_criterion", criteria)


def test_the_solver_of_benchopt_against_a_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    like = need("jax")
    benchopt(monkeypatch)
    spec = importlib.util.spec_from_file_location("benchopt_solver", SOLVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import jax

    rows = like.array(np.sin(np.arange(24.0)).reshape(8, 3))

    def f_inner(inner: Any, outer: Any, start: Any = 0, batch_size: int = 1) -> Any:
        some = jax.lax.dynamic_slice_in_dim(rows, start, batch_size)
        return ((some @ inner) ** 2).mean() + ((inner - outer) ** 2).sum()

    def f_outer(inner: Any, outer: Any, start: Any = 0, batch_size: int = 1) -> Any:
        some = jax.lax.dynamic_slice_in_dim(rows, start, batch_size)
        return ((some @ inner - 1) ** 2).mean()

    solver = module.Solver()
    solver.batch_size, solver.eval_freq, solver.terms = 4, 16, 2
    solver.set_objective(f_inner, f_outer, 8, 8, like.array(np.ones(3)), like.array(np.ones(3)))
    looks = iter([True, True, False])
    solver.run(lambda: next(looks))
    found = solver.get_result()
    assert tuple(found["inner_var"].shape) == tuple(found["outer_var"].shape) == (3,)

    def value(outer: Any) -> float:
        hessian = 2 * np.asarray(rows).T @ np.asarray(rows) / 8 + 2 * np.eye(3)
        inner = np.linalg.solve(hessian, 2 * np.asarray(outer))
        return float(f_outer(like.array(inner), outer, 0, 8))

    assert value(found["outer_var"]) < value(like.array(np.ones(3)))
