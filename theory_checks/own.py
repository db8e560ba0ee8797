"""What a user puts in: a schedule, a problem. Called, and refused where it cannot be used."""

from __future__ import annotations

import inspect
import math
from typing import Any

from accbo._blame import described
from accbo._foreign import ForeignError, foreign, read
from accbo.conformance.running.target import TargetError, load_target, space_of
from accbo.problem import Constants
from accbo.schedules import Schedule

NEEDED = ("constants", "hypergradient", "solution")  # of a problem, besides its oracle
RUNNABLE = ("init", "step", "draw", "draw_start", "refreshes")  # of an algorithm


def own_schedule(target: str, constants: Constants, steps: int) -> Schedule[Any]:
    """What the user's ``function(constants, steps)`` returns.

    ``constants`` are those of the problem, ``steps`` is the number of iterations that will be run.
    Only what a run consists of is taken: ``algorithm``, ``warm_start``, ``first`` and
    ``lower_scale``; by what name ε the schedule goes by does not matter. Raises ``TargetError``
    where the function raises, returns something else, or starts on more samples than ``steps``.
    """
    schedule = call(target, constants, steps)
    if not isinstance(schedule, Schedule):
        raise TargetError(
            f"{target} returned a {type(schedule).__name__}; expected an accbo.schedules.Schedule"
        )
    if missing := _lacking(schedule.algorithm):
        kind = type(schedule.algorithm).__name__
        raise TargetError(f"{target}: its algorithm, a {kind}, lacks {', '.join(missing)}")
    for name, least in (("warm_start", 0), ("first", 1)):
        value = getattr(schedule, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= steps:
            raise TargetError(
                f"{target}: {name} must be an integer from {least} to steps = {steps}, "
                f"got {value!r}"
            )
    scale = schedule.lower_scale
    if not (isinstance(scale, int | float) and 0 <= scale < math.inf):
        raise TargetError(f"{target}: lower_scale must be finite and >= 0, got {scale!r}")
    return schedule


def own_fault(target: str, algorithm: Any) -> Any:
    """What the user's ``function(algorithm)`` makes of it; ``TargetError`` where it cannot run."""
    made = load_target(target)(algorithm)
    if missing := _lacking(made):
        kind = type(made).__name__
        lacks = ", ".join(missing)
        raise TargetError(f"{target} returned a {kind}, which is no algorithm: it lacks {lacks}")
    return made


def _lacking(algorithm: Any) -> list[str]:
    return [name for name in RUNNABLE if not hasattr(algorithm, name)]


def own_problem(target: str, epsilon: float | None = None) -> Any:
    """What the user's factory returns; ``epsilon`` is handed to one that asks for a number.

    Raises ``TargetError`` unless the problem has what the checks need, or where the factory
    wants a number and there is none to give.
    """
    arguments: tuple[float, ...] = ()
    if _required(load_target(target)):
        if epsilon is None:
            raise TargetError(f"{target} must be callable without arguments here")
        arguments = (epsilon,)
    problem = call(target, *arguments)
    if missing := [name for name in NEEDED if read(problem, name) is None]:
        raise TargetError(f"{target} returns a {type(problem).__name__} without {missing}")
    mu, curvature = (getattr(problem.constants, name, math.nan) for name in ("mu", "curvature"))
    if not 0 < mu <= curvature < math.inf:
        wanted, got = "0 < mu <= curvature < inf", f"{mu!r} and {curvature!r}"
        raise TargetError(f"{target}: its constants must have {wanted}, got {got}")
    return problem


def call(target: str, *arguments: Any) -> Any:
    """What the user's function returns; raises ``TargetError`` where it raises."""
    function = load_target(target)
    try:
        with space_of(function)(), foreign(target):
            return function(*arguments)
    except (ForeignError, NotImplementedError) as error:
        raise TargetError(f"{target} raised {described(error.__cause__ or error)}") from error


def _required(function: Any) -> int:
    """How many arguments ``function`` cannot do without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return 0
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)
