"""What a run of the checks prints: a line a check as it goes, rows where they matter, a total."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from .harness import Settings, Verdict
from .statistics import Finding, short

WIDTH = 80
ENDS = "Left of ≤ or ≥: the end of the interval of what is sampled; it decides."
_INDENT = " " * 5
_QUANTITY, _CLAIM = 38, 45  # columns


def head() -> str:
    """The names of the columns of ``summary``."""
    return f"{'':5}{'claim':{_CLAIM}}{'equal':>6}{'bands':>6}{'bounds':>7}{'used':>5}{'s':>6}"


def summary(verdict: Verdict, settings: Settings, rows: bool) -> str:
    """One line of verdict, one of what the check does not show; with ``rows``, every finding.

    Where the check failed, the rows that did are shown in any case. "used" is the deviation over
    the allowance of the row that uses most of it, of a sampled bound half its interval over its
    distance from the bound; seconds are those of cores.
    """
    check = verdict.check
    tightest = verdict.tightest
    used = "-" if tightest is None else _used(tightest)
    counts = [verdict.count(kind) for kind in ("equality", "band", "bound")]
    lines = [
        f"{'pass' if verdict.passed else 'FAIL'} {check.IN_WORDS:{_CLAIM}}"
        f"{counts[0]:>6}{counts[1]:>6}{counts[2]:>7}{used:>5}{verdict.seconds:>6.1f}",
        *_wrapped(f"{check.NAME} does not show {check.NOT_SHOWN}"),
    ]
    if rows:
        lines += _details(verdict, settings)
    elif not verdict.passed:
        failed = [finding for finding in verdict.findings if not finding.passed]
        lines += [_row_head(), *map(row, failed)]
        lines += _wrapped(f"{len(failed)} of {len(verdict.findings)} rows; -v prints all")
    return "\n".join(lines)


def total(verdicts: Sequence[Verdict], seconds: float, jobs: int) -> str:
    """The last lines: how many passed, what was judged, how long it took, false alarm."""
    passed = sum(verdict.passed for verdict in verdicts)
    equalities, bands, bounds, shown = (
        sum(verdict.count(kind) for verdict in verdicts)
        for kind in ("equality", "band", "bound", "shown")
    )
    spent = sum(verdict.seconds for verdict in verdicts)
    text = (
        f"{passed} of {len(verdicts)} checks passed in {seconds:.1f} s, {spent:.1f} core-seconds, "
        f"{jobs} {'process' if jobs == 1 else 'processes'}. Judged: {equalities} equalities, "
        f"{bands} bands, {bounds} bounds; shown beside them: {shown}. "
        f"{alarm(verdicts)}."
    )
    return textwrap.fill(text, WIDTH)


def alarm(verdicts: Sequence[Verdict]) -> str:
    """The false alarm of all in a sentence; where a bound failed it is not of right code."""
    chance = min(1.0, sum(verdict.false_alarm for verdict in verdicts))
    said = f"{chance:.0e}" if 0 < chance < 0.1 else short(chance)
    rows = [finding for verdict in verdicts for finding in verdict.findings]
    if any(finding.kind == "bound" and not finding.passed for finding in rows):
        return f"The same code fails with another seed with probability {said}"
    return f"Right code fails such a run with probability {said}"


def row(finding: Finding) -> str:
    """One finding, at most ``WIDTH`` columns; a long quantity has a line of its own."""
    quantity = f"{_INDENT}{finding.quantity}"
    start = f"{quantity:{_QUANTITY}}"
    if len(quantity) > _QUANTITY:
        start = f"{quantity}\n{'':{_QUANTITY}}"
    predicted = "-" if math.isnan(finding.predicted) else f"{finding.predicted:.5g}"
    return f"{start}{predicted:>9} {finding.measured:>10.5g}  {mark(finding)}"


def mark(finding: Finding) -> str:
    """How it was judged, in a few words: never "exact", and never "ok" for what is shown."""
    if not finding.judged:
        return "shown"
    if not finding.passed:
        return f"FAIL {finding.allowance}"
    return f"ok {finding.allowance}"


def _details(verdict: Verdict, settings: Settings) -> list[str]:
    check, tightest = verdict.check, verdict.tightest
    lines = [*_wrapped(f"{check.CLAIM} ({check.SOURCE})"), _row_head()]
    lines += map(row, verdict.findings)
    if tightest is not None:
        text = f"tightest: {tightest.quantity}, {_used(tightest)} of {tightest.allowance}"
        lines += _wrapped(text)
    power = check.power(settings, verdict.findings)
    seen = f"power {power:.4f} against {check.EFFECT}"
    if math.isnan(power):
        seen = "identities alone, which see all that is more than rounding"
    if any(finding.kind == "bound" and finding.interval for finding in verdict.findings):
        lines += _wrapped(ENDS)
    return [*lines, *_wrapped(f"{alarm([verdict])}; {seen}")]


def _row_head() -> str:
    return f"{_INDENT}{'':{_QUANTITY - 5}}{'predicted':>9} {'measured':>10}  allowance"


def _used(finding: Finding) -> str:
    """In at most four characters, the width of its column with a space before it."""
    text = short(finding.used) if finding.used < 100 else ">99"
    return text if len(text) <= 4 else f"{finding.used:.2f}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
    )
