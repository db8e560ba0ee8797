"""The nine methods of the comparison, each from the same two numbers.

A trial of the search is a pair (path, lower): ``path`` is the length of the upper level's path,
in units of the task's ``reach``, if every step were as long as the first, and ``lower`` the
lower level's step in units of 1/l. A normalised method has η = path·reach/T; a plain one divides
that by ‖∇Φ‖ at the start. Everything else is the same for all that have it: momentum 0.9, Q = 10
terms of the series (1 where μ = l), γ and τ by the theory from the lower step, periods and inner
loops of 10. Nothing of this was tuned to a task.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from accbo import algorithms
from accbo._arrays import norm
from accbo.tasks.task import Instance, TaskError

MOMENTUM, TERMS, LOOP, BATCHES = 0.9, 10, 10, 4


class Trial(NamedTuple):
    """What the search varies."""

    path: float
    lower: float


GRID = tuple(Trial(path, lower) for path in (1.0, 4.0, 16.0, 64.0) for lower in (1.0, 0.25))


class Sizes(NamedTuple):
    """What a method is made of."""

    alpha: float  # lower step
    eta: float  # upper step of a normalised method
    plain: float  # upper step of a plain one
    mu: float
    l: float  # noqa: E741 - the paper's letter
    steps: int

    @property
    def terms(self) -> int:
        """Q: one term is exact where ∇²_yy G = l I."""
        return 1 if self.mu >= self.l else TERMS


def _accbo(s: Sizes) -> Any:
    root = math.sqrt(s.mu * s.alpha)
    return algorithms.AccBO(
        lower_step_size=s.alpha,
        lower_momentum=(1 - root) / (1 + root),
        averaging=max(root, 0.1),
        momentum=MOMENTUM,
        upper_step_size=s.eta,
        neumann_terms=s.terms,
        neumann_scale=s.l,
    )


def _slip(s: Sizes) -> Any:
    return algorithms.SLIP(
        lower_step_size=s.alpha, linear_step_size=s.alpha, momentum=MOMENTUM, upper_step_size=s.eta
    )


def _masoba(s: Sizes) -> Any:
    return algorithms.MASOBA(
        lower_step_size=s.alpha,
        linear_step_size=s.alpha,
        momentum=MOMENTUM,
        upper_step_size=s.plain,
    )


def _borep(s: Sizes) -> Any:
    return algorithms.BOREP(
        lower_step_size=s.alpha,
        linear_step_size=s.alpha,
        momentum=MOMENTUM,
        upper_step_size=s.eta,
        period=LOOP,
        lower_steps=LOOP,
    )


def _saba(s: Sizes) -> Any:
    return algorithms.SABA(
        lower_step_size=s.alpha, linear_step_size=s.alpha, upper_step_size=s.plain
    )


def _sustain(s: Sizes) -> Any:
    """Its sizes shrink like t^{−1/3} from an offset at which they have the mean asked for."""
    offset = max(2.0, s.steps / 8)
    root = offset ** (1 / 3)
    return algorithms.SUSTAIN(
        lower_step_size=s.alpha * root,
        upper_step_size=s.plain * root,
        lower_averaging=(1 - MOMENTUM) * offset ** (2 / 3),
        upper_averaging=(1 - MOMENTUM) * offset ** (2 / 3),
        offset=offset,
        neumann_terms=s.terms,
        neumann_scale=s.l,
    )


def _ttsa(s: Sizes) -> Any:
    """Its sizes shrink from an offset as SUSTAIN's do."""
    offset = max(2.0, s.steps / 8)
    return algorithms.TTSA(
        lower_step_size=s.alpha * offset ** (2 / 5),
        upper_step_size=s.plain * offset ** (3 / 5),
        offset=offset,
        neumann_terms=s.terms,
        neumann_scale=s.l,
    )


def _stocbio(s: Sizes) -> Any:
    return algorithms.StocBiO(
        lower_step_size=s.alpha,
        upper_step_size=s.plain,
        lower_steps=LOOP,
        lower_batch=BATCHES,
        upper_batch=BATCHES,
        neumann_terms=s.terms,
        neumann_scale=s.l,
    )


def _vrbo(s: Sizes) -> Any:
    return algorithms.VRBO(
        lower_step_size=s.alpha,
        upper_step_size=s.plain,
        period=LOOP,
        lower_steps=2,
        large_batch=LOOP,
        small_batch=1,
        neumann_terms=s.terms,
        neumann_scale=s.l,
    )


METHODS: dict[str, Callable[[Sizes], Any]] = {
    "AccBO": _accbo,
    "SLIP": _slip,
    "BO-REP": _borep,
    "MA-SOBA": _masoba,
    "SABA": _saba,
    "SUSTAIN": _sustain,
    "VRBO": _vrbo,
    "StocBiO": _stocbio,
    "TTSA": _ttsa,
}


def build(name: str, instance: Instance, trial: Trial, steps: int, gradient: float) -> Any:
    """The method for a run of ``steps`` from where ‖∇Φ‖ is ``gradient``."""
    if not gradient > 0:
        raise TaskError(f"‖∇Φ‖ at the start is {gradient!r}: there is nothing to descend on")
    eta = trial.path * instance.reach / steps
    sizes = Sizes(
        alpha=trial.lower / instance.curvature,
        eta=eta,
        plain=eta / gradient,
        mu=instance.mu,
        l=instance.curvature,
        steps=steps,
    )
    return METHODS[name](sizes)


def first_gradient(instance: Instance, terms: int = 100) -> float:
    """‖∇Φ‖ at the start, if need be by ``terms`` gradient steps below and terms of the series."""
    if instance.gradient is not None:
        return instance.gradient
    problem, x, y = instance.problem, instance.x, instance.y
    size = 1 / instance.curvature
    for _ in range(terms):
        y = y - size * problem.grad_y_lower(x, y)
    v = problem.grad_y_upper(x, y)
    z = 0 * v
    for _ in range(terms):
        z = z - size * (problem.hvp_lower(x, y, z) - v)
    return float(np.max(norm(problem.grad_x_upper(x, y) - problem.cross_lower(x, y, z))))
