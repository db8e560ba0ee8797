"""Promised and observed: every check on fresh seeds, for AccBO and for one fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scipy import stats

from .harness import Settings, Verdict
from .sweep import Case, Means, run_cases

LEVEL = 1e-4  # of the uniformity test, over all quantities of a check together


@dataclass
class Calibration:
    """What one check did on the seeds."""

    check: Any
    runs: int = 0
    false_alarms: list[int] = field(default_factory=list)  # the seeds
    misses: list[int] = field(default_factory=list)
    promised: float = 0.0  # false alarms a run, the largest
    power: float = 1.0  # promised, the smallest
    p_values: dict[str, list[float]] = field(default_factory=dict)  # of AccBO, by quantity

    @property
    def least_p(self) -> float | None:
        """Bonferroni's p-value that all p-values are uniform; None where no test is exact."""
        found = [stats.kstest(values, "uniform").pvalue for values in self.p_values.values()]
        return min(1.0, float(len(found) * min(found))) if found else None

    @property
    def passed(self) -> bool:
        """Neither false alarm nor miss, and uniform p-values."""
        uniform = self.least_p is None or self.least_p >= LEVEL
        return not self.false_alarms and not self.misses and uniform


def calibrate(
    checks: Sequence[Any], settings: Settings, seeds: int, means: Means
) -> list[Calibration]:
    """Every check on the ``seeds`` seeds after ``settings.seed``, right and with its fault."""
    fresh = range(settings.seed + 1, settings.seed + 1 + seeds)
    cases = [
        Case(check, replace(settings, seed=seed, fault=fault))
        for check in checks
        for seed in fresh
        for fault in (None, check.DESIGNATED)
    ]
    found = {check.NAME: Calibration(check, seeds) for check in checks}
    for index, verdict in run_cases(cases, means):
        case = cases[index]
        _note(found[case.check.NAME], case.settings, verdict)
    return list(found.values())


def _note(found: Calibration, settings: Settings, verdict: Verdict) -> None:
    if settings.fault is not None:
        if verdict.passed:
            found.misses.append(settings.seed)
        return
    if not verdict.passed:
        found.false_alarms.append(settings.seed)
    alarm = verdict.false_alarm
    found.promised = max(found.promised, alarm)
    found.power = min(found.power, found.check.power(settings, verdict.findings))
    for finding in verdict.findings:
        if finding.p_value is not None:
            found.p_values.setdefault(finding.quantity, []).append(finding.p_value)


def table(found: Sequence[Calibration]) -> str:
    """The calibration as text."""
    lines = [
        f"{'check':22} {'runs':>5} {'false alarms':>13} {'at most':>8} {'misses':>7} {'at most':>8}"
        f" {'uniform p':>10}  fault"
    ]
    for each in found:
        p = "none" if each.least_p is None else f"{each.least_p:.3f}"
        lines.append(
            f"{each.check.NAME:22} {each.runs:5} {len(each.false_alarms):13} "
            f"{upper_limit(len(each.false_alarms), each.runs):8.3f} {len(each.misses):7} "
            f"{upper_limit(len(each.misses), each.runs):8.3f} {p:>10}  {each.check.DESIGNATED}"
        )
    lines.append("")
    lines.append(
        "at most: upper end of the exact 95 % interval of the rate; uniform p: Kolmogorov-Smirnov "
        "test that the p-values of the right algorithm are uniform, over all quantities"
    )
    return "\n".join(lines)


def document(found: Sequence[Calibration]) -> dict[str, Any]:
    """The calibration as JSON values."""
    return {
        each.check.NAME: {
            "runs": each.runs,
            "fault": each.check.DESIGNATED,
            "false_alarms": each.false_alarms,
            "false_alarm_at_most": upper_limit(len(each.false_alarms), each.runs),
            "false_alarm_promised": each.promised,
            "misses": each.misses,
            "miss_at_most": upper_limit(len(each.misses), each.runs),
            "power_promised": each.power,
            "uniform_p": each.least_p,
            "quantities": len(each.p_values),
            "passed": each.passed,
        }
        for each in found
    }


def upper_limit(events: int, runs: int) -> float:
    """The upper end of the exact (Clopper-Pearson) 95 % interval of a rate, one-sided."""
    return 1.0 if events >= runs else float(stats.beta.ppf(0.95, events + 1, runs - events))
