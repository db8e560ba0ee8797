"""The worked example of CONTRIBUTING: a tenth algorithm is one file, and everything takes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accbo import Calls, Tape, checkpoint, count_calls, run
from accbo._arrays import named_leaves
from accbo.conformance.running.target import load_target
from accbo.problems import UpperNoise, quadratic
from tests.backends import Backend
from tests.support import Case, X, Y, batch, bits, problem

FILE = Path(__file__).parents[1] / "examples" / "tenth_algorithm.py"


def nsgd(**changes: Any) -> Any:
    sizes = {"lower_step_size": 0.25, "upper_step_size": 0.0625, "neumann_terms": 4}
    return load_target(f"{FILE}:NSGD")(**{**sizes, "neumann_scale": 3.0, **changes})


def test_it_is_short() -> None:
    assert len(FILE.read_text(encoding="utf-8").splitlines()) <= 120


def test_it_runs_on_every_backend(backend: Backend) -> None:
    one = Case(problem("nonquadratic"), nsgd(), batch(X, 2), batch(Y, 2))
    state = one.to(backend).run(7, Tape(1)).state
    assert all(backend.holds(leaf) for _, leaf in named_leaves(state))
    if backend.name in ("numpy", "strict", "strict-device1"):
        assert bits(state) == bits(one.run(7, Tape(1)).state)


def test_by_hand() -> None:
    """Without noise, Q = 1 and l = 1 at H = I: h = ∇_x F − ∇²_xy G ∇_y F."""
    easy = quadratic((1.0, 1.0), 2, rotate=False, form="matmul")
    x, y = np.array([0.5, -0.25]), np.array([1.0, 0.75])
    state = run(nsgd(neumann_terms=1, neumann_scale=1.0), easy, x, y, steps=1, noise=0).state
    h = easy.grad_x_upper(x, y) - easy.cross_lower(x, y, easy.grad_y_upper(x, y))
    np.testing.assert_allclose(state.x, x - 0.0625 * h / np.linalg.norm(h), rtol=1e-14)
    np.testing.assert_allclose(state.y, y - 0.25 * easy.grad_y_lower(x, y), rtol=1e-14)


def test_its_calls_are_counted() -> None:
    one = Case(problem("nonquadratic"), nsgd(), X, Y)
    counted = count_calls(one.algorithm, one.problem, X, Y, steps=10, warm_start=2)
    assert counted == Calls(10, 10, 12, 30, 10, 0)


def test_it_goes_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["accbo.run"], "BLOCK_STEPS", 4)
    one = Case(problem("nonquadratic"), nsgd(), X, Y)
    whole = one.run(20, Tape(1)).state
    keep = {"checkpoint": tmp_path / "run.npz", "checkpoint_seconds": 0.0}
    save = checkpoint.save

    def dying(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            one.run(20, Tape(1), **keep)
    assert bits(one.run(20, Tape(1), **keep).state) == bits(whole)


def test_without_momentum_skewed_noise_makes_it_stall() -> None:
    """Its docstring's claim: Gaussian noise falls with η, skewed noise stays."""
    levels = {}
    for law in ("normal", "two_point"):
        noise = UpperNoise(1.0, 0.0, 1.0, 0.0, law=law, probability=0.1)
        noisy = quadratic((1.0, 1.5), 2, coupling=0.5, noise_upper=noise)
        sizes = []
        for eta in (2.0**-6, 2.0**-9):
            algorithm = nsgd(upper_step_size=eta, neumann_terms=8, neumann_scale=1.5)
            x = np.zeros((64, 2))
            steps = round(24 / eta)
            record = {"g": lambda s, noisy=noisy: np.linalg.norm(noisy.hypergradient(s.x), axis=-1)}
            found = run(
                algorithm,
                noisy,
                x,
                noisy.solution(x),
                steps=steps,
                noise=Tape(1),
                record=record,
                every=64,
            ).records["g"]
            sizes.append(float(np.mean(found[len(found) // 2 :])))
        levels[law] = sizes
    assert levels["normal"][1] < 0.5 * levels["normal"][0]  # √8 = 2.8 in theory
    assert levels["two_point"][1] > 0.8 * levels["two_point"][0]
