"""The audit: right problems pass, and every fault is named with the point that shows it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import fresnel

import accbo
from accbo import Constants, audit
from accbo.auditing import FAILS, HOLDS, UNTOLD, AuditError, moments
from accbo.auditing.derivatives import order_test
from accbo.auditing.oracle import Oracle
from accbo.auditing.smoothness import Pairs, fit
from accbo.cli import main
from accbo.problems import (
    Hyperparameters,
    LowerNoise,
    UpperNoise,
    finite_sum,
    from_objectives,
    hyper_cleaning,
    nonquadratic,
    quadratic,
    relaxed_smooth,
)
from tests.backends import need

UPPER = UpperNoise(0.5, 0.2, 0.5, 0.2)
SKEWED = UpperNoise(0.5, 0.2, 0.5, 0.2, law="two_point")
LOWER = LowerNoise(0.5, 0.3, 0.3)
SEEDS = range(3)
TABLE = np.sin(1.0 + np.arange(120.0) ** 1.5).reshape(30, 4)  # rows in general position
LABELS = np.arange(30) % 3
TARGETS = TABLE @ np.array([1.0, -0.5, 0.25, 2.0])


# --- right problems pass ---------------------------------------------------------------------

BUILT_IN = {
    "quadratic": lambda: quadratic(noise_upper=SKEWED, noise_lower=LOWER),
    "noiseless": lambda: quadratic(),
    "nonquadratic": lambda: nonquadratic(noise_upper=UPPER, noise_lower=LOWER),
    "relaxed_smooth": lambda: relaxed_smooth(noise_upper=UPPER, noise_lower=LOWER),
    "finite_sum": lambda: finite_sum(),
    "hyper_cleaning": lambda: hyper_cleaning(
        TABLE, LABELS, TABLE[::2], LABELS[::2], upper_batch=4, lower_batch=4
    ),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_problem_of_ours_passes(name: str, seed: int) -> None:
    report = audit(BUILT_IN[name](), seed=seed, samples=1024)
    assert report.failed == ()
    assert report.exit_code == 0
    assert report.schedule is not None


def penalties() -> Hyperparameters:
    return Hyperparameters(TABLE, TARGETS, TABLE[::2], TARGETS[::2], upper_batch=4, lower_batch=4)


def test_a_penalty_of_exp_x_is_not_lipschitz_and_that_is_all() -> None:
    report = audit(penalties())
    assert report.failed == ("Lipschitz lower gradient", "Lipschitz Hessian")
    point = report["Lipschitz lower gradient"].point
    assert point is not None
    assert max(point["x"]) > 10  # where exp(x) is large


@pytest.mark.parametrize("library", ["jax", "torch"])
def test_objectives_of_the_users_own(library: str) -> None:
    backend = need(library)
    xp: Any = backend.namespace

    def upper(x: Any, y: Any, sample: Any) -> Any:
        noise = 0 if sample is None else xp.sum(sample["n"] * x)
        return xp.sum(xp.cosh(x)) + 0.5 * xp.sum((y - 1) ** 2) + noise

    def lower(x: Any, y: Any, sample: Any) -> Any:  # without an expectation
        return xp.sum(y**2) - xp.sum(x * y) + 0.25 * xp.sum(sample["s"] * y * y)

    noise = {"n": ("normal", (2,))}, {"s": ("sign", (2,))}
    near = backend.array([0.5, 1.0]), backend.array([0.5, 1.0])
    problem = from_objectives(
        upper, lower, 2, 2, backend=library, upper_noise=noise[0], lower_noise=noise[1], at=near
    )
    report = audit(problem, *near, samples=256)
    assert report.failed == ()
    assert report["mean grad_x_upper"].verdict == HOLDS
    assert report["mean grad_y_lower"].verdict == UNTOLD  # sample=None raises
    assert report["realisations convex"].figures["mu_realisations"] == pytest.approx(1.5)


def test_constants_of_a_quadratic_are_exact() -> None:
    problem = quadratic((1.0, 1.5, 4.0))
    found, true = audit(problem).constants, problem.constants
    assert found is not None
    joint = np.linalg.norm(np.hstack((problem.hessian, problem.coupling)), 2)
    assert found.l_g1 == pytest.approx(joint)
    for name in ("mu", "curvature", "L_x0", "L_y0"):
        assert getattr(found, name) == pytest.approx(getattr(true, name), rel=1e-5), name
    assert (found.l_g2, found.L_x1, found.L_y1) == (0, 0, 0)


def test_realisations_have_the_curvature_that_the_noise_allows() -> None:
    problem = quadratic((1.0, 4.0), rotate=False, noise_lower=LOWER)
    found = audit(problem).constants
    assert found is not None
    assert found.mu == pytest.approx(1.0)
    assert found.curvature == pytest.approx(4.3)  # 4 and the largest sign
    assert audit(problem)["realisations convex"].figures["mu_realisations"] == pytest.approx(0.7)


def test_a_cosh_has_its_relaxed_constants() -> None:
    """Far out the slope is L1 times the gradient, with the factor of the finite radius."""
    report = audit(relaxed_smooth(), np.array([6.0, 5.0]), np.zeros(2))
    found = report.constants
    assert found is not None
    assert 1.0 < found.L_x1 < 1.3222  # SPEC §1
    assert found.L_y1 < 0.1


def test_many_dimensions_have_ritz_values_from_within() -> None:
    spectrum = np.linspace(1.0, 9.0, 70)
    report = audit(quadratic(spectrum, 3), samples=64)
    found = report.constants
    assert report.failed == ()
    assert found is not None
    assert 1.0 - 1e-9 <= found.mu < 1.2
    assert 8.8 < found.curvature <= 9.0 + 1e-9


def test_a_report_says_what_it_found_and_what_it_proposes() -> None:
    report = audit(BUILT_IN["nonquadratic"](), name="mine", epsilon=0.2)
    assert report.schedule == accbo.schedules.accbo(
        report.constants, epsilon=0.2, gradient_bound=report.constants.l_f0
    )
    said = report.text()
    assert said.startswith("mine: no assumption of the theory fails; 3 assumptions cannot be told")
    assert f"upper_step_size = {report.schedule.algorithm.upper_step_size:.4g}" in said
    held = json.loads(report.json())
    assert held["applies"] is True
    assert Constants(**held["constants"]) == report.constants
    assert {f["name"] for f in held["findings"]} == {f.name for f in report.findings}
    with pytest.raises(KeyError, match="no finding 'mu'"):
        report["mu"]


# --- faults are named ------------------------------------------------------------------------

X, Y = np.array([0.25, -0.5]), np.array([0.5, 0.25, -0.75])


class Faulty:
    """A quadratic whose methods go through ``changes``: name to change(base, *arguments)."""

    def __init__(self, base: Any, changes: dict[str, Any]) -> None:
        self._base, self._changes = base, changes

    def __getattr__(self, name: str) -> Any:
        held = getattr(self._base, name)
        if name not in self._changes:
            return held
        change = self._changes[name]
        return (lambda *given: change(held, *given)) if callable(held) else change


RIGHT = quadratic((1.0, 1.5, 2.0), rotate=False, noise_upper=UPPER, noise_lower=LOWER)


def faulty(**changes: Any) -> Faulty:
    return Faulty(RIGHT, {"constants": None, **changes})


def added(part: Callable[..., Any]) -> Callable[..., Any]:
    """A change that adds part(*arguments)."""
    return lambda method, *given: method(*given) + part(*given)


def of_samples(part: Callable[..., Any]) -> Callable[..., Any]:
    """The same, to realisations only: ``sample=None`` stays right."""
    return lambda method, *given: method(*given) + (0 if given[-1] is None else part(*given))


E0 = np.eye(3)[0]
calls = iter(range(10**9))


def lower_plus(value: Any, slope: Any, curvature: Any) -> dict[str, Any]:
    """g plus a function of y_0, with its derivatives of (y_0, sample)."""
    return {
        "lower": added(lambda x, y, s: value(y[..., 0], s)),
        "grad_y_lower": added(lambda x, y, s: slope(y[..., 0], s)[..., None] * E0),
        "hvp_lower": added(
            lambda x, y, v, s: (curvature(y[..., 0], s) * v[..., 0])[..., None] * E0
        ),
    }


def first_normal(sample: Any) -> Any:
    """A standard normal of the sample, 0 for the expectation."""
    return 0.0 if sample is None else sample["additive_x"][..., :1]


def drawn(sample: Any, name: str) -> Any:
    return 0.0 if sample is None else sample[name][..., 0]


def overwritten(method: Any, x: Any, y: Any, sample: Any) -> Any:
    answer = method(x, y, sample)
    y *= 0.5
    return answer


FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "biased upper gradient": (
        {"grad_x_upper": of_samples(lambda x, y, s: 0.25)},
        ("grad_x_upper", "mean grad_x_upper"),
    ),
    "upper level biased with its gradient": (
        {
            "upper": of_samples(lambda x, y, s: 0.25 * np.sum(x, axis=-1)),
            "grad_x_upper": of_samples(lambda x, y, s: 0.25),
        },
        ("mean upper", "mean grad_x_upper"),
    ),
    "biased hvp_lower": (
        {"hvp_lower": lambda method, *given: method(*given) * (1 if given[-1] is None else 1.01)},
        ("hvp_lower",),
    ),
    "cross term of the wrong sign": (
        {"cross_lower": lambda method, *given: -method(*given)},
        ("cross_lower",),
    ),
    "asymmetric Hessian": (
        {"hvp_lower": added(lambda x, y, v, s: 0.1 * v[..., 1:2] * E0)},
        ("hvp_lower", "symmetric"),
    ),
    "product not linear in v": (
        {"cross_lower": added(lambda x, y, v, s: 1e-3 * np.abs(v[..., :1]))},
        ("cross_lower", "cross linear"),
    ),
    "lower level flat in y_0": (
        lower_plus(lambda t, s: -t * t / 2, lambda t, s: -t, lambda t, s: -1.0 + 0 * t),
        ("strong convexity", "realisations convex"),
    ),
    "lower level convex, not strongly": (
        lower_plus(
            lambda t, s: np.logaddexp(t, -t) - t * t / 2,
            lambda t, s: np.tanh(t) - t,
            lambda t, s: -(np.tanh(t) ** 2),
        ),
        ("strong convexity", "realisations convex"),
    ),
    "realisation not convex": (
        lower_plus(
            lambda t, s: drawn(s, "curvature") * t * t,
            lambda t, s: 2 * drawn(s, "curvature") * t,
            lambda t, s: 2 * drawn(s, "curvature") + 0 * t,
        ),
        ("realisations convex",),
    ),
    "lower gradient not Lipschitz": (
        lower_plus(lambda t, s: t**4, lambda t, s: 4 * t**3, lambda t, s: 12 * t * t),
        ("Lipschitz lower gradient", "Lipschitz Hessian"),
    ),
    "curvature that oscillates ever faster": (
        lower_plus(
            lambda t, s: (t * fresnel(t)[0] + np.cos(np.pi * t * t / 2) / np.pi) / 4,
            lambda t, s: fresnel(t)[0] / 4,
            lambda t, s: np.sin(np.pi * t * t / 2) / 4,
        ),
        ("Lipschitz Hessian",),
    ),
    "curvature with unbounded noise": (
        lower_plus(
            lambda t, s: 0.05 * drawn(s, "additive") * t * t,
            lambda t, s: 0.1 * drawn(s, "additive") * t,
            lambda t, s: 0.1 * drawn(s, "additive") + 0 * t,
        )
        | {"hessian_noise": RIGHT.lower_noise},
        ("Lipschitz lower gradient",),
    ),
    "variance that grows without bound": (
        {
            "upper": added(lambda x, y, s: np.sum(first_normal(s) * x**3, axis=-1) / 300),
            "grad_x_upper": added(lambda x, y, s: first_normal(s) * x**2 / 100),
        },
        ("variance grad_x_upper",),
    ),
    "growth faster than an exponential": (
        {
            "upper": added(lambda x, y, s: np.exp(x[..., 0] ** 2)),
            "grad_x_upper": added(
                lambda x, y, s: (2 * x[..., 0] * np.exp(x[..., 0] ** 2))[..., None] * [1.0, 0.0]
            ),
        },
        ("relaxed smoothness in x",),
    ),
    "not deterministic given its sample": (
        {"grad_y_lower": added(lambda x, y, s: 1e-6 * next(calls))},
        ("repeatable",),
    ),
    "expectation not deterministic": (
        {"grad_y_upper": added(lambda x, y, s: 1e-6 * next(calls) if s is None else 0)},
        ("repeatable",),
    ),
    "changes its arguments in place": ({"grad_y_upper": overwritten}, ("pure",)),
    "wrong dtype": (
        {"grad_x_upper": lambda method, *given: method(*given).astype(np.float32)},
        ("dtype",),
    ),
    "mixes the rows of a batch": (
        {"grad_y_lower": added(lambda x, y, s: 0.1 * np.mean(y))},
        ("batch",),
    ),
    "product with noise that is not declared": ({"hessian_noise": {}}, ("declared noise",)),
    "constants that are too small": (
        {"constants": Constants(1.0, 3.0, 0.0, 2.0, 1.0, 0.0, 1.0, 0.0, 1.0)},
        ("declared constants",),
    ),
}


@pytest.mark.filterwarnings("ignore:neumann_scale l")  # of constants that are too small
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_the_point(name: str) -> None:
    changes, failed = FAULTS[name]
    report = audit(faulty(**changes), X, Y)
    assert report.failed == failed
    assert report.exit_code == 1
    for finding in (report[each] for each in failed):
        assert finding.point is not None
        assert (len(finding.point["x"]), len(finding.point["y"])) == (2, 3)
        assert "seen at: x = [" in report.text()


def test_the_quadratic_behind_the_faults_is_right() -> None:
    assert audit(faulty(), X, Y).failed == ()


def test_a_bias_of_the_size_said_is_seen() -> None:
    visible = audit(faulty(), X, Y)["mean grad_y_upper"].figures["visible_bias"]
    problem = faulty(grad_y_upper=of_samples(lambda x, y, s: visible * E0))
    for seed in range(10):
        found = moments.moments(oracle(problem, seed, 4096), "grad_y_upper", (X, Y), None)
        assert found.z[0] > moments.LIMIT
        assert np.all(found.z[1:] < 1)


def test_where_values_end_near_the_start_nothing_is_told() -> None:
    def ends(x: Any, y: Any, s: Any) -> Any:  # beyond all points but those of the rays
        size = np.sum(x * x, axis=-1, keepdims=True) + np.sum(y * y, axis=-1, keepdims=True)
        return np.where(size > 36, np.nan, 0.0)

    report = audit(faulty(grad_x_upper=added(ends)), X, Y)
    finding = report["relaxed smoothness in x"]
    assert (report.failed, finding.verdict) == ((), UNTOLD)
    assert finding.point is not None
    assert 4 < math.hypot(*finding.point["x"], *finding.point["y"]) <= 6
    assert json.loads(report.json())["applies"] is True


def test_the_wrong_sign_is_called_so() -> None:
    changes, _ = FAULTS["cross term of the wrong sign"]
    assert "the sign is wrong" in audit(faulty(**changes), X, Y)["cross_lower"].text


def test_a_point_shows_the_fault_again() -> None:
    """What a finding names is enough to see it without the audit."""
    problem = faulty(**FAULTS["lower level convex, not strongly"][0])
    point = audit(problem, X, Y)["strong convexity"].point
    assert point is not None
    x, y = np.array(point["x"]), np.array(point["y"])
    assert E0 @ problem.hvp_lower(x, y, E0, None) < 1e-6

    problem = faulty(**FAULTS["realisation not convex"][0])
    point = audit(problem, X, Y)["realisations convex"].point
    assert point is not None
    x, y = np.array(point["x"]), np.array(point["y"])
    sample = {name: np.array(leaf) for name, leaf in point["sample"].items()}
    assert E0 @ problem.hvp_lower(x, y, E0, sample) < -0.5


# --- what cannot be audited ------------------------------------------------------------------


def test_a_nan_is_named_with_method_and_point() -> None:
    def bad(x: Any, y: Any, s: Any) -> Any:
        return np.where(x[..., :1] > 0.5, np.nan, 0.0) * np.array([0.0, 1.0])

    with pytest.raises(AuditError, match="grad_x_upper returned a NaN or an infinity") as caught:
        audit(faulty(grad_x_upper=added(bad)), X, Y)
    found = re.search(r"entry \d at x = \[([^,]+), .*expected finite numbers", str(caught.value))
    assert found is not None
    assert float(found[1]) > 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"grad_x_upper": lambda method, *given: given[1]},
            r"grad_x_upper returned shape \(3,\), expected \(2,\), for x of shape \(2,\)",
        ),
        (
            {"grad_y_lower": lambda method, *given: np.sum(np.atleast_2d(method(*given)), 0)},
            r"grad_y_lower returned shape \(3,\), expected \(61, 3\), for x of shape \(61, 2\)",
        ),
        ({"lower": lambda method, *given: None}, "lower must return an array, got NoneType"),
        (
            {"hvp_lower": lambda method, *given: 1 // 0},
            "hvp_lower raised ZeroDivisionError: integer division or modulo by zero",
        ),
        (
            {"upper_noise": {"n": ("cauchy", (2,))}},
            r"upper_noise\['n'\].law must be normal, two_point, sign, index or a function",
        ),
    ],
)
def test_an_oracle_that_cannot_be_used(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        audit(faulty(**changes), X, Y)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ((), {"epsilon": 1.0}, r"epsilon must lie in \(0, 1\), got 1.0"),
        ((), {"samples": 10}, "samples must be an integer >= 64, got 10"),
        ((), {"seed": -1}, "seed must be an integer >= 0, got -1"),
        ((Y, X), {}, "they look swapped"),
        ((X[None], Y[None]), {}, r"x must be one point of shape \(d_x,\), got \(1, 2\)"),
        ((X, Y * math.nan), {}, "y holds a NaN or an infinity"),
    ],
)
def test_bad_arguments(given: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        audit(faulty(), *given, **options)


@pytest.mark.parametrize("given", [3, quadratic, type(quadratic())])
def test_not_a_problem(given: Any) -> None:
    with pytest.raises(TypeError, match=r"is no bilevel problem: it lacks|must be an object, got"):
        audit(given)


# --- parts -----------------------------------------------------------------------------------


def oracle(problem: Any, seed: int = 0, samples: int = 256) -> Oracle:
    return Oracle(problem, np.zeros(1), seed, samples)


def test_a_latin_hypercube_has_every_slice_once() -> None:
    noise = {
        "n": ("normal", (3,)),
        "s": ("sign", (2,)),
        "i": ("index", (2,), 8),
        "t": ("two_point", (1,), 0.25),
    }
    draws = oracle(faulty(upper_noise=noise)).draw("upper", 64, stream=0)
    assert {name: leaf.shape for name, leaf in draws.items()} == {
        "n": (64, 3),
        "s": (64, 2),
        "i": (64, 2),
        "t": (64, 1),
    }
    np.testing.assert_array_equal(np.sum(draws["s"], axis=0), 0)
    for column in draws["i"].T:
        np.testing.assert_array_equal(np.bincount(column), 8)
    assert np.sum(draws["t"] > 0) == 16
    np.testing.assert_allclose(np.sum(draws["t"]), 0, atol=1e-12)
    quartiles = np.sum(draws["n"] < -0.6744897501960817, axis=0)  # the normal law's first one
    np.testing.assert_array_equal(quartiles, 16)


def test_streams_and_seeds_are_independent() -> None:
    first, second = (oracle(faulty(), seed).draw("upper", 4096, 1) for seed in (0, 1))
    third = oracle(faulty()).draw("upper", 4096, 2)
    for other in (second, third):
        for name, leaf in first.items():
            worst = np.max(np.abs(np.mean(leaf * other[name], axis=0)))
            assert worst < 7 / math.sqrt(4096)


def test_the_standard_error_is_right_where_hypercubes_do_not_help() -> None:
    """Of n0·n1, a pure interaction, z² averages 1 over seeds: 400 of them say so to 6 σ."""

    def product(method: Any, x: Any, y: Any, s: Any) -> Any:
        noise = 0.0 if s is None else s["additive_x"][..., 0] * s["additive_x"][..., 1]
        return np.zeros(x.shape) + np.asarray(noise)[..., None]

    problem = faulty(grad_x_upper=product)
    z = [
        moments.moments(oracle(problem, seed), "grad_x_upper", (X, Y), None).z[0]
        for seed in range(400)
    ]
    assert abs(np.mean(np.square(z)) - 1) < 6 * math.sqrt(2 / 400)
    assert max(z) < moments.LIMIT


def test_a_rare_value_is_no_bias() -> None:
    """One row of 500 carries everything: independent draws would often miss it."""
    noise = {"row": ("index", (1,), 500)}

    def rare(method: Any, x: Any, y: Any, s: Any) -> Any:
        if s is None:
            return np.ones(x.shape)
        return 500.0 * (s["row"] == 7) + np.zeros(x.shape)

    problem = faulty(upper_noise=noise, grad_x_upper=rare)
    for seed in range(20):
        found = moments.moments(oracle(problem, seed), "grad_x_upper", (X, Y), None)
        assert np.all(found.z < 1)


@pytest.mark.parametrize(
    ("slope", "wrong"), [(1.0, False), (1.0 + 1e-8, True), (-1.0, True), (0.0, True)]
)
def test_the_order_test_sees_a_small_bias(slope: float, wrong: bool) -> None:
    found = order_test(lambda t: np.sin(t) + t**2, slope, length=1.0, place=1.0, u=2.0**-53)
    assert found.excess[0] is wrong
    assert found.resolution < 1e-8


def test_relaxed_constants_touch_the_pairs() -> None:
    gradients = np.linspace(0.0, 10.0, 40)
    found = fit(Pairs(gradients, 2.0 + 0.5 * gradients), radius=1.0)
    assert found.l0 == pytest.approx(2.0, rel=1e-6)
    assert found.l1 == pytest.approx(0.5, rel=1e-6)
    flat = fit(Pairs(gradients, np.full(40, 3.0)), radius=1.0)
    assert flat.l0 == pytest.approx(3.0)
    assert flat.l1 == 0


# --- the command -----------------------------------------------------------------------------

MODULE = """
import numpy as np
from accbo.problems import LowerNoise, UpperNoise, quadratic

def good():
    return quadratic()

class Wrong:
    def __init__(self, base):
        self.base = base
    def __getattr__(self, name):
        return getattr(self.base, name)
    def cross_lower(self, x, y, v, sample=None):
        return -self.base.cross_lower(x, y, v, sample)

def wrong():
    return Wrong(quadratic())

class Shapeless(Wrong):
    def upper(self, x, y, sample=None):
        return x

def shapeless():
    return Shapeless(quadratic())

def number():
    return 3

def raises():
    raise RuntimeError("no data")
"""


@pytest.fixture
def module(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(MODULE, encoding="utf-8")
    return str(path)


def test_exit_code_0_and_json(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, file = f"{module}:good", tmp_path / "report.json"
    assert main(["audit", target, "--json", str(file), "--x=-1,2", "--epsilon", "0.25"]) == 0
    assert f"{target}: no assumption of the theory fails" in capsys.readouterr().out
    held = json.loads(file.read_text(encoding="utf-8"))
    assert (held["problem"], held["schedule"]["epsilon"]) == (target, 0.25)
    assert sorted(path.name for path in tmp_path.glob("*report*")) == ["report.json"]


def test_exit_code_1(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", f"{module}:wrong"]) == 1
    said = capsys.readouterr().out
    assert "the theory does not apply; fails: cross_lower" in said
    assert "seen at: x = [" in said


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("{}:goood", "has no goood; did you mean good?"),
        ("no_such_module:good", "there is no module no_such_module"),
        ("no_such_file.py:good", "there is no file no_such_file.py"),
        ("{}:number", "int is no bilevel problem: it lacks"),
        ("{}:Wrong", "Wrong() raised TypeError"),
        ("{}:raises", "raises() raised RuntimeError: no data"),
        ("{}:shapeless", "upper returned shape (2,), expected ()"),
        ("good", "expected MODULE:FACTORY or FILE.py:FACTORY, got 'good'"),
    ],
)
def test_exit_code_2(
    module: str, target: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", target.format(module)]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert message in error
    assert error.count("\n") == 1


def test_bad_options(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", f"{module}:good", "--namespace", "nmpy"]) == 2
    assert "did you mean numpy?" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["audit", f"{module}:good", "--x", "a,b"])
    assert "must be numbers with commas, got 'a,b'" in capsys.readouterr().err


def test_help_says_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["audit", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Exit code 0: no assumption fails, 1: one fails, 2: could not run." in said


def test_verdicts_are_words() -> None:
    assert (HOLDS, FAILS, UNTOLD) == ("holds", "fails", "cannot be told")
