"""The study of dimensions: its problem against a dense one, its files, its messages."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import Tape, run
from accbo._arrays import move, row, to_host
from accbo.problem import BilevelProblem
from accbo.problems import LowerNoise, UpperNoise
from benchmarks import __main__ as benchmarks
from benchmarks import dimension, dimension_accuracy, dimension_cost, environment
from benchmarks.matrix_free import Chain, dense, second_difference, spread
from tests.backends import Backend
from tests.support import U64

UPPER = UpperNoise(0.5, 0.25, 0.25, 0.125)
LOWER = LowerNoise(0.5, 0.25, 0.25)
SIZES = ((1, 1), (6, 6), (3, 12), (12, 3), (1, 4), (4, 1))


def chain(d_x: int, d_y: int) -> Chain:
    return Chain(
        d_x,
        d_y,
        mu=0.75,
        stiffness=0.25,
        strength=0.625,
        weight=1.5,
        target=-2.0,
        noise_upper=UPPER,
        noise_lower=LOWER,
    )


@pytest.mark.parametrize(("d_x", "d_y"), SIZES)
def test_values_and_derivatives_are_those_of_the_dense_problem(d_x: int, d_y: int) -> None:
    problem = chain(d_x, d_y)
    written_out = dense(problem)
    assert isinstance(problem, BilevelProblem)
    x, y, v = (np.random.default_rng(d_x).standard_normal((5, d)) for d in (d_x, d_y, d_y))
    layout = dimension_cost.ALGORITHM.draw(problem)
    assert layout == dimension_cost.ALGORITHM.draw(written_out)
    sample = row(Tape(3).open(x).block(layout, 1), 0)
    lower = row(sample.lower, 0)
    for noise_above, noise_below in ((None, None), (sample.upper, lower)):
        for name, arguments in {
            "upper": (x, y, noise_above),
            "grad_x_upper": (x, y, noise_above),
            "grad_y_upper": (x, y, noise_above),
            "lower": (x, y, noise_below),
            "grad_y_lower": (x, y, noise_below),
            "hvp_lower": (x, y, v, noise_below),
            "cross_lower": (x, y, v, noise_below),
        }.items():
            ours = getattr(problem, name)(*arguments)
            theirs = getattr(written_out, name)(*arguments)
            assert ours.shape == theirs.shape
            assert np.max(np.abs(ours - theirs)) < bound(d_x + d_y, theirs), name


@pytest.mark.parametrize(("d_x", "d_y"), SIZES)
def test_closed_forms_are_those_of_the_dense_problem(d_x: int, d_y: int) -> None:
    problem = chain(d_x, d_y)
    written_out = dense(problem)
    x = np.random.default_rng(1).standard_normal((2, 3, d_x))
    for name in ("solution", "hypergradient"):
        ours, theirs = getattr(problem, name)(x), getattr(written_out, name)(x)
        assert np.max(np.abs(ours - theirs)) < bound(d_x + d_y, theirs), name
    ours, theirs = problem.minimiser(), written_out.minimiser()
    assert np.max(np.abs(ours - theirs)) < bound(d_x + d_y, theirs)
    assert np.max(np.abs(problem.hypergradient(ours))) < bound(d_x + d_y, ours)
    for name, ours in vars(problem.constants).items():
        assert ours == pytest.approx(getattr(written_out.constants, name), rel=1e-13), name


def bound(d: int, values: np.ndarray) -> float:
    """Rounding of a handful of products and one solve (condition number below 4)."""
    return 64 * d * U64 * max(1.0, float(np.max(np.abs(values))))


def test_the_gradient_is_that_of_the_value_by_differences_of_order_two() -> None:
    problem = chain(4, 8)
    x, way = np.random.default_rng(2).standard_normal((2, 4))

    def value(x: np.ndarray) -> float:
        return float(problem.upper(x, problem.solution(x)))

    # Φ is quadratic: what is left of the first-order remainder is exactly of order 2
    slope = float(way @ problem.hypergradient(x))
    left = [value(x + h * way) - value(x) - h * slope for h in (0.5, 0.25, 0.125)]
    assert left[0] / left[1] == pytest.approx(4, rel=1e-9)
    assert left[1] / left[2] == pytest.approx(4, rel=1e-9)


@pytest.mark.parametrize(("given", "size"), [(12, 3), (3, 12), (5, 5)])
def test_spread_is_an_isometry_and_its_own_transpose(given: int, size: int) -> None:
    matrix = np.stack([spread(unit, size) for unit in np.eye(given)], axis=-1)
    back = np.stack([spread(unit, given) for unit in np.eye(size)], axis=-1)
    assert np.max(np.abs(matrix.T - back)) == 0.0
    least = min(given, size)
    product = matrix.T @ matrix if given == least else matrix @ matrix.T
    assert np.max(np.abs(product - np.eye(least))) < 8 * U64


def test_second_difference_has_the_eigenvalues_of_free_ends() -> None:
    matrix = second_difference(np.eye(9))
    expected = 2 - 2 * np.cos(np.pi * np.arange(9) / 9)
    assert np.max(np.abs(np.linalg.eigvalsh(matrix) - np.sort(expected))) < 64 * U64


def test_a_step_agrees_on_every_backend(backend: Backend) -> None:
    case = dimension_cost.build(6, 12)
    sample = row(case.block, 0)
    expected = case.algorithm.step(case.problem, case.state, sample)
    problem, state, sample = (backend.move(part) for part in (case.problem, case.state, sample))
    found = case.algorithm.step(problem, state, sample)
    for ours, theirs in zip(found[:7], expected[:7], strict=True):
        assert np.max(np.abs(to_host(ours) - to_host(theirs))) < 1e-13


def test_a_compiled_run_is_the_run_of_the_loop() -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    problem = chain(6, 12)
    x, y = np.ones((2, 6)), np.zeros((2, 12))
    here = run(dimension_cost.ALGORITHM, problem, x, y, steps=9, warm_start=2, first=2)
    like = jax.numpy.zeros(1)
    there = run(
        dimension_cost.ALGORITHM,
        move(problem, like),
        move(x, like),
        move(y, like),
        steps=9,
        warm_start=2,
        first=2,
    )
    for ours, theirs in zip(there.state[:7], here.state[:7], strict=True):
        assert np.max(np.abs(to_host(ours) - theirs)) < 1e-13


def test_memory_grows_like_d_without_matrices_and_like_their_size_with_them() -> None:
    free = [dimension_cost.peak(d, dimension_cost.FREE) for d in (20_000, 40_000)]
    assert free[1] / free[0] == pytest.approx(2, rel=0.02)
    written_out = dimension_cost.peak(400, dimension_cost.DENSE)
    assert written_out > 3 * 8 * 400**2  # H, C and H⁻¹C


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_x": 4, "d_y": 6}, "must divide the other, got 4 and 6"),
        ({"d_x": 0, "d_y": 6}, "d_x must be an integer >= 1, got 0"),
        ({"d_x": 2.0, "d_y": 6}, "d_x must be an integer >= 1, got 2.0"),
        ({"d_x": 2, "d_y": 2, "mu": 0.0}, "mu and weight must be > 0"),
        ({"d_x": 2, "d_y": 2, "stiffness": float("nan")}, "stiffness must be finite, got nan"),
        ({"d_x": 2, "d_y": 2, "noise_lower": LowerNoise(curvature=1.0)}, "strongly convex"),
    ],
)
def test_a_problem_that_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Chain(**options)


TINY = dimension.Plan(
    together=(10, 100, 200),
    dense=(10, 100),
    apart=(100, 200),
    seconds=0.0,
    sweeps=1,
    accuracy=(10, 100, 200),
    steps=27,
    least_replicates=3,
    most_replicates=4,
)


def test_a_tiny_study_writes_its_files(tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("matplotlib")
    tiny(monkeypatch)
    file, folder = tmp_path / "study.json", tmp_path / "new" / "figures"
    arguments = ["--quick", "--largest", "200", "--json", str(file), "--figures", str(folder)]
    assert dimension.main(arguments, lambda: False) == 0
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["schema"] == dimension.SCHEMA
    assert {"python", "numpy", "date", "cpu"} <= set(document["environment"])
    assert set(document["load"]) == {"first", "last"}
    sizes = {(row["d_x"], row["d_y"]) for row in document["cost"]}
    assert sizes == {(10, 10), (100, 100), (200, 200), (200, 100), (100, 200)}
    assert all(row["us_min"] > 0 for row in document["cost"])
    assert {(row["d"], row["form"]) for row in document["memory"]} == {
        *((d, "matrix-free") for d in (10, 100, 200)),
        *((d, "dense") for d in (10, 100)),
    }
    levels = {(row["regime"], row["d_x"], row["d_y"]): row for row in document["accuracy"]}
    assert len(levels) == 2 * 5
    for level in levels.values():
        low, high = level["gradient_interval"]
        assert low < level["gradient"] < high
    for name in ("cost", "apart", "memory", "accuracy"):
        picture = (folder / f"dimension-{name}.svg").read_text(encoding="utf-8")
        assert "<svg" in picture
    printed = capsys.readouterr().out
    assert "exponents of the accuracy in d" in printed
    assert max(map(len, printed.splitlines())) <= 100


def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study of a second; the threads of the test process stay as they are."""
    monkeypatch.setattr(dimension, "QUICK", TINY)
    monkeypatch.setattr(environment, "one_thread", lambda: None)
    monkeypatch.setattr("benchmarks.timing.CALL_SECONDS", 0.0)
    monkeypatch.setattr("benchmarks.timing.DRAWING_ROUNDS", 1)
    monkeypatch.setattr(dimension_cost, "BLOCK_BYTES", 2**17)


def test_what_a_fault_of_the_problem_would_cost_is_not_timed(monkeypatch, capsys) -> None:
    tiny(monkeypatch)
    right = Chain.hvp_lower
    monkeypatch.setattr(
        Chain, "hvp_lower", lambda self, x, y, v, sample=None: 1.001 * right(self, x, y, v, sample)
    )
    assert dimension.main(["--quick"], lambda: False) == 2
    assert "does not compute the same thing and was not timed" in capsys.readouterr().err


def test_growth_is_the_exponent_of_the_largest_sizes() -> None:
    rows = [
        {"d_x": d, "d_y": d, "variant": "numpy, matrix-free", "us_min": 1e9 if d < 500 else d**1.5}
        for d in (100, 500, 1000, 4000)
    ]
    memory = [{"d": d, "form": "dense", "bytes": 24 * d * d} for d in (10, 100, 1000)]
    first, second = dimension_cost.growth(rows, memory)
    assert first["exponent"] == pytest.approx(1.5)
    assert (first["from"], first["to"], first["along"]) == (500, 4000, "d_x = d_y")
    assert second["exponent"] == pytest.approx(2)


def test_groups_of_replicates_change_no_number(monkeypatch) -> None:
    key = (dimension_accuracy.REGIMES[0], 10, 10)
    whole = dimension_accuracy.measure(TINY, key, 5)
    monkeypatch.setattr(dimension_accuracy, "GROUP_NUMBERS", 20)  # two replicates at once
    split = dimension_accuracy.measure(TINY._replace(least_replicates=4), key, 5)
    for name, values in whole.items():
        assert len(values) == 4
        assert np.max(np.abs(values - split[name])) < 1e-13


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--largest", "99"], "'99': D must be at least 100"),
        (["--largest", "many"], "'many' is no whole number"),
        (["--sizes", "3"], "unrecognized arguments: --sizes 3"),
    ],
)
def test_bad_options_are_named(arguments: list[str], message: str, capsys) -> None:
    with pytest.raises(SystemExit) as exit_code:
        benchmarks.main(["dimension", *arguments])
    assert exit_code.value.code == 2
    assert message in capsys.readouterr().err


def test_files_that_cannot_be_written_are_named_before_anything_is_measured(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    tiny(monkeypatch)
    file = tmp_path / "a file"
    file.touch()
    for arguments in (
        ["--json", str(tmp_path)],
        ["--json", str(tmp_path / "missing" / "study.json")],
        ["--figures", str(file)],
        ["--figures", str(file / "below")],
    ):
        assert benchmarks.main(["dimension", *arguments]) == 2
        assert "benchmarks: cannot write" in capsys.readouterr().err


def test_figures_without_matplotlib_say_what_to_install(monkeypatch, capsys) -> None:
    tiny(monkeypatch)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    monkeypatch.delitem(sys.modules, "benchmarks.dimension_figures", raising=False)
    assert benchmarks.main(["dimension", "--figures", "anywhere"]) == 2
    assert "needs matplotlib; pip install 'jinja2>=" in capsys.readouterr().err
