"""The shapes of problems that users bring, each with the verdict that is right for it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accbo
from accbo import AccBO, DivergenceWarning, NonFiniteError, audit
from accbo.auditing import AuditError
from accbo.auditing.growth import LENGTHS, Ray, follow
from accbo.cli import main
from accbo.problems import from_objectives, quadratic
from tests.backends import Backend, need
from tests.problem_shapes import FIT, SHAPES, InY, Squares, near_x, problem

A, B = np.sin(np.arange(24.0)).reshape(6, 4), np.cos(np.arange(6.0))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_gets_its_verdict(name: str, seed: int) -> None:
    shape = SHAPES[name]
    report = audit(shape.build(), seed=seed, samples=64)
    assert report.failed == shape.fails
    assert report.exit_code == bool(shape.fails)
    assert report.schedule is not None  # outside the theory too
    assert bool(report.watch) == bool(shape.fails)
    assert ("OUTSIDE THE THEORY" in report.text()) == bool(shape.fails)


def test_there_are_as_many_shapes_as_promised() -> None:
    assert len(SHAPES) >= 24


def test_a_barrier_says_where_it_ends() -> None:
    barrier = InY(lambda y: -np.log(y), lambda y: -1 / y, lambda y: 1 / y**2)
    with np.errstate(all="ignore"), pytest.raises(AuditError, match="lower returned a NaN"):
        audit(problem([FIT], [near_x(), barrier]), np.ones(4), np.ones(4), samples=64)


# --- exponents -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [
        (lambda s: max(0.0, 5.0 - s), 0.0, 0.0),  # 0 from a distance on: no growth
        (lambda s: 0.0, 0.0, 0.0),
        (lambda s: float(s > 40), 0.0, 0.0),  # a step is bounded
        (lambda s: 1 - np.exp(-s / 30), 0.0, 0.1),
        (lambda s: s**1.5, 1.49, 1.51),
        (lambda s: max(0.0, s - 20.0), 0.99, 1.6),
    ],
)
def test_an_exponent_is_not_fitted_through_zeros(size: Any, least: float, most: float) -> None:
    ray = Ray(np.zeros(1), np.zeros(1), np.ones(1), np.zeros(1))
    (found,) = follow(ray, lambda x, y: (float(size(x[0])),), envelope=True)
    assert len(found.lengths) == len(LENGTHS)
    assert least <= found.exponent <= most


def test_what_begins_at_the_end_has_no_exponent() -> None:
    ray = Ray(np.zeros(1), np.zeros(1), np.ones(1), np.zeros(1))
    (found,) = follow(ray, lambda x, y: (max(0.0, float(x[0]) - 600),), envelope=True)
    assert np.isnan(found.exponent)


# --- what a finding says ---------------------------------------------------------------------


def test_a_vanishing_curvature_is_shown_where_it_is() -> None:
    finding = audit(SHAPES["the same with fewer rows than weights"].build())["strong convexity"]
    assert "t(1, …, 1)" in finding.text
    assert finding.point is not None
    assert max(finding.point["x"]) < -10
    good = audit(SHAPES["targets are x"].build())["strong convexity"]
    assert "±(1, …, 1), axes" in good.text
    assert "down its gradient" in good.text


def test_a_finding_names_its_level() -> None:
    report = audit(SHAPES["faster than exponential above"].build(), samples=64)
    assert "fails: relaxed smoothness in x (upper level)" in report.text()
    report = audit(SHAPES["a quartic below"].build(), samples=64)
    assert "fails: Lipschitz lower gradient (lower level)" in report.text()


def test_entries_of_x_that_reach_nothing_are_counted() -> None:
    half = Squares(np.eye(4)[:2], np.zeros(2))  # of y; x enters by its first two entries below
    wired = InY(lambda y: y * y, lambda y: 2 * y, lambda y: 2 + 0 * y)

    class Part(type(near_x())):  # type: ignore[misc]
        def __init__(self) -> None:
            mask = np.array([1.0, 1.0, 0.0, 0.0])
            super().__init__(
                lambda x, y: -mask * x * y,
                lambda x, y: -mask * y,
                lambda x, y: -mask * x,
                lambda x, y: 0 * y,
                lambda x, y: -mask + 0 * y,
            )

    report = audit(problem([half], [wired, Part()]), samples=64)
    assert report.failed == ()
    assert "2 of 4 entries of x reach neither level: 2, 3" in report["coupling"].text


def test_what_to_watch_outside_the_theory_is_said() -> None:
    report = audit(SHAPES["two wells"].build(), samples=64)
    assert report.constants is None  # μ < 0
    assert report.schedule is not None
    assert report.schedule.algorithm.neumann_terms <= 20
    assert any("add ½r‖y‖²" in each for each in report.watch)


# --- a series whose scale is too small -------------------------------------------------------

STEEP = quadratic((1.0, 14.0), noise_upper=accbo.problems.UpperNoise(0.1, 0.1))


class Silent:
    """``STEEP`` without its constants, which ``run`` would refuse the scale by."""

    def __getattr__(self, name: str) -> Any:
        if name == "constants":
            raise AttributeError(name)
        return getattr(STEEP, name)


def algorithm(scale: float, terms: int = 20, **changes: Any) -> AccBO:
    sizes: dict[str, Any] = {"lower_step_size": 0.02, "lower_momentum": 0.5, "averaging": 0.2}
    sizes |= {"momentum": 0.9, "upper_step_size": 0.05}
    return AccBO(**(sizes | changes), neumann_terms=terms, neumann_scale=scale)


def test_a_diverging_series_is_named_by_the_run() -> None:
    x, y = np.ones(2), np.zeros(2)
    with pytest.warns(DivergenceWarning, match=r"neumann_scale l = 2, while .* at least 1[34]"):
        accbo.run(algorithm(2.0), Silent(), x, y, steps=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accbo.run(algorithm(14.0), Silent(), x, y, steps=50)
        huge = Silent()  # ‖m‖ is large because the problem is
        accbo.run(algorithm(14.0), huge, 1e6 * x, y, steps=5)


def test_a_run_that_ends_says_that_the_series_diverged() -> None:
    plain = accbo.algorithms.SUSTAIN(
        lower_step_size=0.02,
        upper_step_size=0.5,
        lower_averaging=0.1,
        upper_averaging=0.1,
        offset=2.0,
        neumann_terms=30,
        neumann_scale=1.0,
    )
    with pytest.raises(NonFiniteError, match=r"NaN or an infinity; the series diverges"):
        accbo.run(plain, Silent(), np.ones(2), np.zeros(2), steps=400)


# --- from the two libraries ------------------------------------------------------------------


@pytest.fixture(params=["torch", "jax"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return need(request.param)


@pytest.mark.parametrize("backend", ["torch"])
def test_the_problems_own_arrays_and_start_are_taken(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No --namespace and no --x: the problem knows both, and float32 too."""
    need(backend)
    file = tmp_path / "mine.py"
    file.write_text(
        """
import torch
from accbo.problems import from_objectives

def problem():
    at = torch.full((2,), 3.0), torch.full((2,), 3.0)
    up = lambda x, y, s: ((y - 1) ** 2).sum() + x @ x
    lo = lambda x, y, s: (y * y).sum() - (x * y).sum() + 0 * y.sum() ** 4
    return from_objectives(up, lo, 2, 2, backend="torch", at=at)
"""
    )
    out = tmp_path / "found.json"
    assert main(["audit", f"{file}:problem", "--samples", "64", "--json", str(out)]) == 0
    assert "no assumption of the theory fails" in capsys.readouterr().out


def test_the_problems_own_start_is_looked_at() -> None:
    with pytest.raises(AuditError, match="upper returned a NaN"):
        audit(Startled(), samples=64)


class Startled:
    """A NumPy problem with a start of its own, at which its upper level is not finite."""

    def __getattr__(self, name: str) -> Any:
        return getattr(STEEP, name)

    def start_point(self) -> Any:
        return np.full(2, 7.0), np.zeros(2)

    def upper(self, x: Any, y: Any, sample: Any = None) -> Any:
        return STEEP.upper(x, y, sample) + np.where(x[..., 0] == 7.0, np.nan, 0.0)


def test_a_loader_inside_an_objective_is_refused_by_name(backend: Backend) -> None:
    """Under ``jit`` the first batch would be the only one, and nothing would show it."""
    generator = np.random.default_rng(0)
    draws = (generator.integers(0, 6, 2) for _ in range(1000))
    features, lower_a = backend.array(A), backend.array(A)

    def upper(x: Any, y: Any, sample: Any) -> Any:
        rows = next(draws)
        return ((features[rows] @ y) ** 2).sum()

    def lower(x: Any, y: Any, sample: Any) -> Any:
        return ((lower_a @ y) ** 2).sum() + ((y - x) ** 2).sum()

    with pytest.raises(ValueError, match=r"upper.* on the same input \(.*line \d+\).*data loader"):
        from_objectives(upper, lower, 4, 4, backend=backend.name, at=(features[0], features[1]))


@pytest.mark.parametrize("backend", ["torch"])
def test_a_detached_x_fails_the_cross_derivative(backend: str) -> None:
    a = need(backend).array(A)
    made = from_objectives(
        lambda x, y, s: ((a @ y) ** 2).sum() + x @ x,
        lambda x, y, s: ((a @ y) ** 2).sum() + (x.detach().exp() * y * y).sum(),
        4,
        4,
        backend=backend,
        at=(a[0], a[1]),
    )
    report = audit(made, samples=64)
    assert "cross_lower" in report.failed
    assert report["cross_lower"].level == "lower"


@pytest.mark.parametrize("backend", ["torch"])
def test_a_loss_that_reads_the_modules_own_parameters_is_refused(backend: str) -> None:
    need(backend)
    import torch

    net = torch.nn.Linear(4, 1).to(torch.float64)
    rows = torch.asarray(A)

    def loss(x: Any, y: Any, sample: Any) -> Any:
        return (net(rows) ** 2).mean()

    with pytest.raises(ValueError, match="gradients of upper in x and y are zero"):
        from_objectives(loss, loss, 4, 5, backend="torch")
