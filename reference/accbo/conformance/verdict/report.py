"""What the oracle found, for a reader, for a script and for a CI server."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree import ElementTree

from accbo._printable import clean, cleaned
from accbo.conformance.methods import DEFAULT, catalogue
from accbo.conformance.running.observation import NO_RESULT, Departure
from accbo.conformance.verdict.diagnosis import Diagnosis

FORMAT = "accbo-report/1"
PASS, FAIL, SKIP, ERROR = "pass", "fail", "not covered", "could not run"
CONVENTION = "other convention"
EDGE = "edge of range"  # of floating point: fails where squares over- or underflow alone
OTHER = "another algorithm"  # the other severity
EXPECTED, UNEXPECTED = "expected failure", "unexpected pass"
_UNNAMED = "no mistake of the catalogue, and no two of them, reproduce these numbers"
_FAILED = (FAIL, UNEXPECTED)
VERDICTS = {
    0: "conforms",
    1: "departs",
    2: "could not run",
}

NOTHING = "nothing was judged"  # a part of the third
INCOMPLETE = "not all was judged: some cases have no result"  # another part of it
EXCEPT = "conforms, except at the edge of the range"
EDGE_ALONE = "departs, at the edge of the range alone"


@dataclass(frozen=True)
class Check:
    """One named check; ``departure`` is the first quantity that is off, ``trouble`` a sentence.

    ``edge``: squares of some quantity over- or underflow in its case, and it departs there.
    """

    name: str
    status: str
    departure: Departure | None = None
    trouble: str = ""
    reproduce: str = ""
    edge: bool = False

    @property
    def message(self) -> str:
        """Why it did not pass."""
        found = self.departure
        if self.trouble or found is None:
            return clean(self.trouble)
        where = ", ".join(map(str, found.element))
        return (
            f"after iteration {found.iteration}, {found.quantity} is off by {found.error:.3g} "
            f"where {found.tolerance:.3g} is allowed; worst at [{where}]: "
            f"{found.got!r}, expected {found.expected!r}"
        )


class Cause(NamedTuple):
    """Checks that failed alike: what is off first, what their cases have in common, their names."""

    what: str
    where: str
    checks: tuple[str, ...]


class ConformanceError(AssertionError):
    """An implementation departs; ``report`` says where."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.text())
        self.report = report


@dataclass(frozen=True)
class Report:
    """The outcome of all checks of one implementation."""

    implementation: str
    namespace: str
    cases: int
    checks: tuple[Check, ...]
    diagnosis: Diagnosis
    not_shown: tuple[str, ...] = ()
    tier: str = "full"
    stopped: str = ""  # why not all checks were made
    algorithm: str = DEFAULT
    causes: tuple[Cause, ...] = ()
    suggestion: str = ""  # what to declare, or to show
    strict: bool = False  # whether what fails at the edge of the range alone is a departure

    @property
    def exit_code(self) -> int:
        """0 conforms, 1 departs, 2 could not run."""
        statuses = self.counts
        if statuses[FAIL] or statuses[UNEXPECTED]:
            return 1
        if statuses[ERROR] or self.stopped or (self.strict and self.without_result):
            return 2
        return 0 if statuses[PASS] or statuses[CONVENTION] else 2

    @property
    def without_result(self) -> int:
        """How many cases are covered, and no result of them was given."""
        return sum(check.status == SKIP and check.trouble == NO_RESULT for check in self.checks)

    @property
    def conforms(self) -> bool:
        """Whether nothing departs, and something was compared."""
        return self.exit_code == 0

    @property
    def verdict(self) -> str:
        """The verdict in a few words."""
        convention = self.diagnosis.convention
        if self.conforms and convention and self.counts[CONVENTION]:
            return f"conforms under another convention: {convention}"
        if self.conforms and self.without_result:
            return f"conforms in what is shown, {self.without_result} cases have no result"
        if self.exit_code == 2 and not self.counts[ERROR] and not self.stopped:
            return INCOMPLETE if self.without_result and self.counts[PASS] else NOTHING
        if self.conforms and self.counts[EDGE]:
            return EXCEPT
        if self.exit_code == 1 and self.severity == EDGE:
            return EDGE_ALONE
        return VERDICTS[self.exit_code]

    @property
    def severity(self) -> str:
        """Of what departs: another algorithm, or the edge of the range alone; "" if nothing."""
        failed = [check for check in self.checks if check.status in (FAIL, UNEXPECTED)]
        if any(not check.edge for check in failed):
            return OTHER
        return EDGE if failed or self.counts[EDGE] else ""

    @property
    def counts(self) -> Counter[str]:
        """How many checks have which status."""
        return Counter(check.status for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed, or could not run."""
        return tuple(check for check in self.checks if check.status in (FAIL, UNEXPECTED, ERROR))

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The mistakes that fit: each tuple is one explanation, of one fault or of two."""
        return self.diagnosis.named.names if self.diagnosis.named else ()

    @property
    def offending(self) -> tuple[str, ...]:
        """Quantities that are wrong although their inputs are right."""
        return self.diagnosis.offending

    def text(self, limit: int = 8) -> str:
        """The report for a reader; of each cause one check, at most ``limit`` of them."""
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items())
        lines = [f"{self.implementation}: {self.verdict} ({counts or 'no checks'})", ""]
        lines += [
            f"{self.algorithm}, case set {self.cases}, {self.tier}; arrays of {self.namespace}"
        ]
        if self.not_shown:
            lines.append(f"not shown by state(), so not compared: {', '.join(self.not_shown)}")
        lines += _not_covered(self.checks)
        lines += _could_not_run(self.checks)
        if self.stopped:
            lines += ["", f"stopped: {self.stopped}"]
        lines += _diagnosed(self)
        lines += _failures(self, limit)
        return "\n".join(lines)

    def summary(self) -> str:
        """The verdict and what it looks like, without the cases; its first line says most."""
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items())
        unexpected = [check for check in self.checks if check.status == UNEXPECTED]
        said = [
            *_could_not_run(self.checks),
            *([f"stopped: {self.stopped}"] if self.stopped else []),
            *_diagnosed(self),
            *(f"{check.name} {check.message}" for check in unexpected),
        ]
        lines = [line for line in said if line]
        first, *rest = lines or ["", *_not_covered(self.checks)]
        head = f"{self.verdict}: {first}" if first else self.verdict
        return "\n".join([f"{head} ({counts or 'no checks'})", *rest])

    def __str__(self) -> str:
        """As ``text``."""
        return self.text()

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        named = self.diagnosis.named
        return {
            "format": FORMAT,
            "algorithm": self.algorithm,
            "implementation": self.implementation,
            "namespace": self.namespace,
            "cases": self.cases,
            "tier": self.tier,
            "verdict": self.verdict,
            "severity": self.severity,
            "strict": self.strict,
            "conforms": self.conforms,
            "exit_code": self.exit_code,
            "counts": dict(self.counts),
            "convention": self.diagnosis.convention,
            "names": [list(names) for names in self.names],
            "named_under": named.convention if named else None,
            "named_where": named.where if named else None,
            "named_error": named.error if named else None,
            "named_iterations": named.iterations if named else None,
            "offending": list(self.offending),
            "remark": self.diagnosis.first or self.diagnosis.remark,
            "suggestion": self.suggestion,
            "causes": [
                {"what": each.what, "where": each.where, "checks": list(each.checks)}
                for each in self.causes
            ],
            "stopped": self.stopped,
            "not_shown": list(self.not_shown),
            "checks": [_check_dict(check) for check in self.checks],
        }

    def json(self) -> str:
        """The report as JSON; what is not finite is a string."""
        return (
            json.dumps(cleaned(self.as_dict()), ensure_ascii=False, indent=1, allow_nan=False)
            + "\n"
        )

    def junit(self) -> str:
        """The report as JUnit XML; the last test case is the verdict, with the diagnosis."""
        failures = str(self.counts[FAIL] + self.counts[UNEXPECTED] + (self.exit_code == 1))
        skipped = str(self.counts[SKIP] + self.counts[EXPECTED] + self.counts[EDGE])
        suite = ElementTree.Element(
            "testsuite",
            name="accbo conform",
            tests=str(len(self.checks) + 1),
            failures=failures,
            errors=str(self.counts[ERROR] + (self.exit_code == 2)),
            skipped=skipped,
        )
        for check in self.checks:
            case = ElementTree.SubElement(
                suite, "testcase", classname=clean(self.implementation), name=clean(check.name)
            )
            if check.status in (FAIL, UNEXPECTED):
                failure = ElementTree.SubElement(case, "failure", message=check.message)
                failure.text = clean(check.reproduce)
            elif check.status == ERROR:
                ElementTree.SubElement(case, "error", message=check.message)
            elif check.status in (SKIP, EXPECTED):
                ElementTree.SubElement(case, "skipped", message=check.message)
            elif check.status == EDGE:
                message = f"{EDGE}: {check.message}"
                ElementTree.SubElement(case, "skipped", message=message).text = check.reproduce
        name = clean(self.implementation)
        verdict = ElementTree.SubElement(suite, "testcase", classname=name, name="verdict")
        if self.exit_code:
            said = self.summary()
            kind = "failure" if self.exit_code == 1 else "error"
            message = clean(said.partition("\n")[0])
            ElementTree.SubElement(verdict, kind, message=message).text = clean(said, "\n")
        elif self.severity:
            ElementTree.SubElement(verdict, "system-out").text = clean(self.summary(), "\n")
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def named_text(named: Any, algorithm: str = DEFAULT) -> list[str]:
    """The mistakes that fit, what they do and what is right."""
    lines = []
    joint = [" and ".join(f"“{name}”" for name in names) for names in named.names]
    under = f" under {named.convention}" if named.convention else ""
    under += f" {named.where}" if named.where else ""
    reach = f" to {named.error:.1e} over {named.iterations} iterations" if named.error else ""
    if len(joint) == 1:
        lines.append(f"matches {joint[0]}{under}{reach}")
    else:
        lines.append(f"what is shown cannot tell apart{under}: {'; '.join(joint)}{reach}")
    for name in dict.fromkeys(name for names in named.names for name in names):
        fault = catalogue(algorithm)[name]
        lines.append(f"  {name} ({fault.part}): {fault.wrong}")
        lines.append(f"    in the long run: {fault.later}")
        lines.append(f"    right: {fault.right}")
        if fault.where:
            lines.append(f"    also found in: {fault.where}")
    return lines


def _diagnosed(report: Report) -> list[str]:
    found = report.diagnosis
    if found.first and report.exit_code == 1:
        return ["", f"first: {found.first}"]
    if found.convention and report.counts[CONVENTION]:
        return [
            "",
            f"All of it is right under another legitimate convention: {found.convention}. "
            "Declare it in factory.conventions; it is not a fault.",
            *report.suggestion.splitlines(),
        ]
    lines = _at_the_edge(report)
    if found.named:
        lines += ["", *named_text(found.named, report.algorithm)]
    elif found.convention:
        lines.append("")  # what is suggested says which
    elif any(check.status in (FAIL, EDGE) and check.departure for check in report.checks):
        lines += ["", _UNNAMED]
    lines += report.suggestion.splitlines()
    if found.offending:
        what = ", ".join(found.offending)
        lines.append(f"wrong although what it is computed from is right: {what}")
    if found.remark:
        lines.append(found.remark)
    return lines


def _at_the_edge(report: Report) -> list[str]:
    """What lies at the edge of the range, where all that departs does."""
    if report.severity != EDGE:
        return []
    count = sum(check.edge for check in report.checks)
    return [
        "",
        f"It departs in {count} check{'s' * (count > 1)}, where squares over- or underflow, and "
        "nowhere else: that is the edge of the range of floating point, not another algorithm. "
        f"{'By' if report.strict else 'With'} --strict it is a departure.",
    ]


def _failures(report: Report, limit: int) -> list[str]:
    """What failed, one line for each cause."""
    failed = {check.name: check for check in report.checks if check.status in (*_FAILED, EDGE)}
    lines, told = [], 0
    for cause in report.causes:
        of_it = [failed.pop(name) for name in cause.checks if name in failed]
        if not of_it:
            continue
        told += 1
        if told <= limit:
            first, others = of_it[0], f" (and {len(of_it) - 1} more)" if len(of_it) > 1 else ""
            where = f"; {cause.where}" if cause.where else ""
            said = "" if first.message == cause.what else f": {first.message}"
            lines.append(f"  {cause.what}{where}: {first.name}{others}{said}")
            lines += [f"    {first.reproduce}"] if first.reproduce else []
    lines += [f"  {check.name}: {check.message}" for check in failed.values()]
    if told > limit:
        lines.append(f"  … and {told - limit} more; --json FILE lists them all")
    return ["", "what failed, by what is off first:", *lines] if lines else []


def _could_not_run(checks: Sequence[Check]) -> list[str]:
    """Each thing that went wrong once, though it went wrong in many checks."""
    kinds: dict[str, list[Check]] = {}
    for check in checks:
        if check.status == ERROR:
            kinds.setdefault(re.sub(r"\d+", "#", check.message), []).append(check)
    lines = [""] if kinds else []
    for alike in kinds.values():
        others = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        lines.append(f"could not run {alike[0].name}{others}: {alike[0].message}")
    return lines


def _not_covered(checks: Sequence[Check]) -> list[str]:
    reasons = Counter(check.message for check in checks if check.status == SKIP)
    return [f"{number} check{'s' * (number > 1)}: {why}" for why, number in reasons.items()]


def _check_dict(check: Check) -> dict[str, Any]:
    values: dict[str, Any] = {"name": check.name, "status": check.status}
    if check.message:
        values["message"] = check.message
    found = check.departure
    if found is not None:
        values["departure"] = {key: _finite(value) for key, value in found._asdict().items()} | {
            "element": list(found.element)
        }
    if check.edge:
        values["edge"] = True
    if check.reproduce:
        values["reproduce"] = check.reproduce
    return values


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
