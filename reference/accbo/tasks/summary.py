"""A comparison as a table, as JSON values, and as one page with its learning curves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accbo._columns import listed
from accbo.tasks.methods import GRID, build, first_gradient
from accbo.tasks.sweep import FORMAT, Outcome, instance_of
from accbo.tasks.trial import Curve

LEVEL = 0.95


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over the seeds and half of Student's 95 % interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan
    from scipy import stats  # late: dear to import

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, float(stats.t.isf((1 - LEVEL) / 2, len(values) - 1)) * error


def finished(curves: Sequence[Curve]) -> list[Curve]:
    """The runs that stayed finite."""
    return [curve for curve in curves if not curve.trouble]


def table(
    outcome: Outcome, references: Mapping[str, Sequence[float]], width: int | None = None
) -> str:
    """One line a method: the test measures over the seeds, iterations, seconds, what was chosen.

    Hyper-parameters are folded at ``width`` columns.
    """
    names = {name: max(len(name), len("0.1234 ± 0.1234")) + 2 for name in measured(outcome)}
    head = f"{'method':9}" + "".join(f"{name:>{columns}}" for name, columns in names.items())
    lines = [head + f"{'iterations':>12}{'seconds':>9}  path, lower"]
    for method, curves in outcome.finals.items():
        good = finished(curves)
        if not good:
            lines.append(f"{method:9}  all {len(curves)} runs diverged: {curves[0].trouble}")
            continue
        cells = ""
        for name, columns in names.items():
            mean, half = interval([curve.test[name] for curve in good])
            cells += f"{with_error(mean, half):>{columns}}"
        seconds = float(np.mean([curve.seconds[-1] for curve in good if curve.seconds]))
        trial = GRID[outcome.chosen[method]]
        lost = f"  ({len(curves) - len(good)} diverged)" if len(good) < len(curves) else ""
        lines.append(
            f"{method:9}{cells}{good[0].steps:>12}{seconds:>9.2f}  "
            f"{trial.path:g}, {trial.lower:g}{lost}"
        )
    seconds, scores = at_equal_seconds(outcome)
    if len(scores) > 1:
        score = instance_of(outcome.plan.task, 0).score
        lines.append(f"at equal seconds, {seconds:.3g} a run, the largest {score} until then:")
        for method, best in scores.items():
            mean, half = interval(best)
            lines.append(f"{method:9}{with_error(mean, half):>26}")
    for name, values in references.items():
        mean, half = interval(values)
        lines.append(f"{with_error(mean, half)}  {name}")
    lines.append("best hyper-parameters, on seed 1:")
    chosen = ((method, words(values)) for method, values in settings(outcome).items())
    return "\n".join([*lines, listed(chosen, 10, width)])


def with_error(mean: float, half: float) -> str:
    """A mean and half its interval, short whatever their size; of one seed there is no interval."""
    if np.isnan(half):
        return f"{mean:.4f}" if abs(mean) < 1e5 else f"{mean:.3e}"
    form = ".4f" if max(abs(mean), abs(half)) < 1e5 else ".3e"
    return f"{mean:{form}} ± {half:{form}}"


def at_equal_seconds(outcome: Outcome) -> tuple[float, dict[str, list[float]]]:
    """The seconds in which the fastest method spent its calls, and every method's best scores then.

    Of every seed's run: the highest validation score at the points of the curve until then, or at
    its first point where that comes later.
    """
    good = {
        method: [curve for curve in finished(curves) if curve.seconds]
        for method, curves in outcome.finals.items()
    }
    means = [np.mean([c.seconds[-1] for c in curves]) for curves in good.values() if curves]
    if not means:
        return math.nan, {}
    score, common = instance_of(outcome.plan.task, 0).score, float(min(means))

    def best(curve: Curve) -> float:
        until = max(1, sum(second <= common * (1 + 1e-9) for second in curve.seconds))
        return max(curve.measures[score][:until])

    return common, {m: [best(curve) for curve in curves] for m, curves in good.items() if curves}


def settings(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """The hyper-parameters by method that the chosen trial comes to on seed 1."""
    instance = instance_of(outcome.plan.task, 1)
    gradient = first_gradient(instance)
    made = {}
    for method, trial in outcome.chosen.items():
        steps = outcome.finals[method][0].steps
        algorithm = build(method, instance, GRID[trial], steps, gradient)
        values = {
            part.name: getattr(algorithm, part.name) for part in dataclasses.fields(algorithm)
        }
        made[method] = {k: v for k, v in values.items() if isinstance(v, int | float | str)}
    return made


def words(chosen: Mapping[str, Any]) -> str:
    """Hyper-parameters in a line."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in chosen.items()
    )


def document(outcome: Outcome, references: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The comparison as JSON values."""
    made, (seconds, scores) = settings(outcome), at_equal_seconds(outcome)
    return {
        "format": FORMAT,
        "task": outcome.plan.task,
        "budget": outcome.plan.budget,
        "seeds": outcome.plan.seeds,
        "backend": outcome.plan.backend,
        "references": {name: list(values) for name, values in references.items()},
        "equal_seconds": {"seconds": seconds if scores else None, "scores": scores},
        "methods": {
            method: {
                "trial": GRID[outcome.chosen[method]]._asdict(),
                "hyper_parameters_on_seed_1": made[method],
                "at_the_edge": _edges(outcome.chosen[method]),
                "search": [_plain(curve) for curve in outcome.search[method]],
                "runs": [_plain(curve) for curve in curves],
                "test": {
                    name: interval([curve.test[name] for curve in finished(curves)])
                    for name in measured(outcome)
                    if len(finished(curves)) > 1
                },
            }
            for method, curves in outcome.finals.items()
        },
    }


def _edges(trial: int) -> list[str]:
    """The parts of a choice that lie at the edge of the grid: beyond it might be better."""
    chosen = GRID[trial]._asdict()
    return [
        name
        for name, value in chosen.items()
        if value in (min(getattr(t, name) for t in GRID), max(getattr(t, name) for t in GRID))
    ]


def measured(outcome: Outcome) -> list[str]:
    """The names of what is measured on the test set."""
    return next((list(c.test) for curves in outcome.finals.values() for c in curves if c.test), [])


def _plain(curve: Curve) -> dict[str, Any]:
    """A curve with what is not finite as strings."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(each) for key, each in value.items()}
        if isinstance(value, list):
            return [finite(each) for each in value]
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return value

    return {key: finite(value) for key, value in curve._asdict().items()}
