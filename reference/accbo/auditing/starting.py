"""Parameters to start from: the theory's, or, where an assumption fails, what is left of them.

Outside the theory nothing is promised. A condition number of CONDITION then stands in for one
that does not exist, the series has at most TERMS terms, and each failing assumption comes with
what to watch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from accbo import schedules
from accbo.algorithms import AccBO
from accbo.auditing.curvature import Curvature
from accbo.auditing.finding import FAILS, Finding
from accbo.problem import Constants

CONDITION, TERMS = 50.0, 20

WATCH = {
    "strong convexity": "‖∇_y g(x, ŷ)‖, which must stay small: if it does not, add ½r‖y‖² to the "
    "lower level, with r above −λ_min where it was found",
    "realisations convex": "‖m‖: a realisation that is not convex makes the series grow; larger "
    "batches below, or fewer terms",
    "Lipschitz lower gradient": "‖m‖: if it jumps, the curvature has passed neumann_scale; raise "
    "it, and lower lower_step_size as much",
    "Lipschitz Hessian": "‖y − ŷ‖: the hypergradient is off by as much as the Hessian changes "
    "between them",
    "relaxed smoothness in x": "the upper objective: halve upper_step_size where it rises",
    "relaxed smoothness in y": "the upper objective: halve upper_step_size where it rises",
    "coupling": "nothing of the lower level: ∇Φ is ∇_x f, and a method of one level does as well",
    "Φ changes": "nothing: Φ is constant, and no step leads anywhere",
    "declared constants": "nothing, but correct the constants that the problem declares",
}
DERIVATIVES = "correct this derivative first: no parameters make up for it"
VARIANCE = "the spread of the gradient along the run: enlarge the batches where it grows"


def theory(constants: Constants, epsilon: float) -> schedules.Schedule[AccBO]:
    """The theory's schedule for ``constants``."""
    bound = max(constants.l_f0, 1e-12)  # a gradient bound is positive
    return schedules.accbo(constants, epsilon=epsilon, gradient_bound=bound)


def outside(found: Curvature, constants: Constants, epsilon: float) -> schedules.Schedule[AccBO]:
    """Starting values where the theory does not apply; ``constants.mu`` need not be positive."""
    mu = max(found.mu, found.largest / CONDITION)
    plan = theory(dataclasses.replace(constants, mu=mu), epsilon)
    terms = min(plan.algorithm.neumann_terms, TERMS)
    return dataclasses.replace(
        plan, algorithm=dataclasses.replace(plan.algorithm, neumann_terms=terms)
    )


def watch(findings: Sequence[Finding]) -> tuple[str, ...]:
    """What to watch where assumptions fail, one sentence a kind of failure."""
    said = [_advice(each.name) for each in findings if each.verdict == FAILS]
    return tuple(dict.fromkeys(said))


def _advice(name: str) -> str:
    if name in WATCH:
        return f"{name}: watch {WATCH[name]}"
    if name.startswith("variance"):
        return f"{name}: watch {VARIANCE}"
    return f"{name}: {DERIVATIVES}"
