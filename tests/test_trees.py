"""A step that was written for lists or dicts of tensors is judged as any other."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from accbo.conformance import check, from_function, from_tree
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import load
from accbo.conformance.verdict.judge import judge
from accbo.problems._form import plain_apart, plain_together


def leafwise(function: Any, *nests: Any) -> Any:
    """``function`` of the leaves of nests of one structure."""
    leaves = [[leaf for _, leaf in plain_apart(nest, "")] for nest in nests]
    return plain_together(nests[0], [function(*each) for each in zip(*leaves, strict=True)])


def add(nest: Any, scale: float, other: Any) -> Any:
    return leafwise(lambda a, b: a + scale * b, nest, other)


def unit(nest: Any, whole: bool = True) -> Any:
    """The nest over one norm of all its leaves, or each leaf over its own."""
    leaves = [leaf for _, leaf in plain_apart(nest, "")]
    largest = max(float(abs(leaf).max()) for leaf in leaves) or 1.0

    def norm(parts: list[Any]) -> float:
        return sum(float(((part / largest) ** 2).sum()) for part in parts) ** 0.5 or 1.0

    size = norm(leaves)
    return leafwise(lambda a: a / largest / (size if whole else norm([a])), nest)


class Sobolev:
    """SLIP or MA-SOBA on nests, as somebody with a module's parameters writes it."""

    whole, normalised = True, True

    def __init__(self, problem: Any, options: Any, state: Any) -> None:
        self.problem, self.options = problem, options
        self.load(state)

    def load(self, state: Any) -> None:
        self.x, self.y, self.z, self.m = state.x, state.y, state.z, state.momentum

    def step(self, sample: Any) -> None:
        problem, a, (x, y, z) = self.problem, self.options, (self.x, self.y, self.z)
        cross = problem.cross_lower(x, y, v=z, sample=sample.cross)
        direction = add(problem.grad_x_upper(x, y, sample.upper), -1, cross)
        decay = a.momentum
        new = leafwise(lambda m, h: decay * m + (1 - decay) * h, self.m, direction)
        residual = add(
            problem.hvp_lower(x, y, z, sample.hessian),
            -1,
            problem.grad_y_upper(x, y, sample.upper_y),
        )
        pi = {name: leaf[0] for name, leaf in sample.lower.items()}
        self.y = add(y, -a.lower_step_size, problem.grad_y_lower(x, y, pi))
        self.z = add(z, -a.linear_step_size, residual)
        moved = unit(new, self.whole) if self.normalised else self.m
        self.x, self.m = add(x, -a.upper_step_size, moved), new

    def state(self) -> dict[str, Any]:
        return {"x": self.x, "y": self.y, "z": self.z, "momentum": self.m}


class Plain(Sobolev):
    normalised, algorithm = False, "MASOBA"


def nested(size: int) -> Any:
    """Matrices, a tuple and a dict, with one number for the smallest."""
    rest = size - 1
    return {"bias": np.zeros(1), "w": (np.zeros((rest, 1)),)} if rest else [np.zeros((1, 1))]


@pytest.mark.parametrize("tree", [list, dict, nested])
@pytest.mark.parametrize("factory", [Sobolev, Plain])
def test_a_right_one_conforms(factory: Any, tree: Any) -> None:
    algorithm = None if factory is Plain else "SLIP"
    report = check(from_tree(factory, tree), algorithm=algorithm, fast=True, on_fail="return")
    assert report.conforms, report.text()
    assert report.not_shown == ()


def test_one_norm_a_tensor_is_named() -> None:
    class PerTensor(Sobolev):
        whole = False

    report = check(from_tree(PerTensor), algorithm="SLIP", fast=True, on_fail="return")
    assert report.exit_code == 1
    assert report.names == (("norm per block",),)
    assert report.implementation == "PerTensor"


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_other_arrays(library: str) -> None:
    pytest.importorskip(library)
    if library == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)

    runner = Runner(from_tree(Sobolev, dict), library)
    made = (runner.run(each, runner.modes(each)[0]) for each in load(method="SLIP") if each.fast)
    judged = list(itertools.islice((one for one in made if not one.missing), 2))
    assert [one.trouble for one in judged] == [""] * 2
    assert judge(judged, implementation=library, strict=True).conforms


def test_tables_and_starts_and_replicates() -> None:
    """The reference on flat arrays, between two translations, on axes of batches as well."""
    forms = from_tree(lambda *a: None, list).__closure__
    held = next(cell.cell_contents for cell in forms if hasattr(cell.cell_contents, "nested"))

    def flat(problem: Any, state: Any) -> Any:
        def each(value: Any) -> Any:
            if hasattr(value, "_fields"):
                return type(value)(*map(each, value))
            if isinstance(value, int):
                return value
            return held.flat(value, "it", problem.d_x, problem.d_y)

        return each(state)

    def step(problem: Any, options: Any, state: Any, sample: Any) -> Any:
        inside = problem._problem
        after = options.step(inside, flat(inside, state), sample)
        return held.nested(after)

    def start(problem: Any, options: Any, x: Any, y: Any, samples: Any) -> Any:
        inside = problem._problem
        sizes = inside.d_x, inside.d_y
        given = held.flat(x, "x", sizes[0]), held.flat(y, "y", sizes[1])
        return held.nested(options.init(inside, *given, samples))

    for name in ("SABA", "VRBO"):
        whole = from_function(step, start=start, batched=True, algorithm=name)
        report = check(from_tree(whole), fast=True, on_fail="return")
        assert report.conforms, report.text()
        assert set(report.counts) == {"pass"}


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (lambda x: x[:-1], "must be a nest like list of"),
        (lambda x: {"a": x[0]}, "got {'a': ("),
        (lambda x: [*x, x[0]], "must be a nest like list of"),
        (lambda x: [1.0 for _ in x], "got list of float"),
    ],
)
def test_another_structure_is_told(shown: Any, why: str) -> None:
    class Other(Sobolev):
        def state(self) -> dict[str, Any]:
            return {**super().state(), "x": shown(self.x)}

    report = check(from_tree(Other), algorithm="SLIP", fast=True, on_fail="return")
    assert report.exit_code == 2
    assert why in report.text()
    assert "state()['x']" in report.text()
    assert "test_trees.py" in report.text()


@pytest.mark.parametrize("tree", [int, "list", 3])
def test_a_tree_that_is_none(tree: Any) -> None:
    with pytest.raises(TypeError, match="tree must be list, dict or a function"):
        from_tree(Sobolev, tree)
