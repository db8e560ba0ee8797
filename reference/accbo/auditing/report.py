"""The answer of an audit: as text, as JSON, and as an exit code."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from accbo._printable import cleaned
from accbo.algorithms import AccBO
from accbo.auditing.finding import FAILS, HOLDS, UNTOLD, Finding
from accbo.problem import Constants
from accbo.schedules import Schedule

FORMAT = 1


@dataclass(frozen=True)
class Audit:
    """What an audit found; ``schedule`` is None where the contract left none to propose.

    Where an assumption fails, ``schedule`` is a start outside the theory, which promises nothing,
    and ``watch`` says what to look at while it runs.

    ``constants`` are estimates from within: the true μ is no larger, the others no smaller.
    ``stopped`` says why it is not all that there is to find, where something cut it short.
    """

    name: str
    findings: tuple[Finding, ...]
    constants: Constants | None
    schedule: Schedule[AccBO] | None
    stopped: str = ""
    watch: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: no assumption fails, 1: one does, 2: cut short, or nothing could be told."""
        verdicts = {finding.verdict for finding in self.findings}
        if FAILS in verdicts:
            return 1
        return 2 if self.stopped or HOLDS not in verdicts else 0

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the assumptions that fail."""
        return tuple(finding.name for finding in self.findings if finding.verdict == FAILS)

    def __getitem__(self, name: str) -> Finding:
        """The finding of that name; raises ``KeyError``."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(f"no finding {name!r}; there are {[f.name for f in self.findings]}")

    def text(self) -> str:
        """The audit as printed: what fails first, then what cannot be told."""
        lines = [self._verdict()]
        lines += [f"stopped: {self.stopped}"] if self.stopped else []
        for verdict in (FAILS, UNTOLD, HOLDS):
            for finding in self.findings:
                if finding.verdict == verdict:
                    lines += finding.lines()
        return "\n".join([*lines, *self._proposal()])

    def json(self) -> str:
        """The audit as strict JSON: numbers that are not finite become null."""
        schedule = None if self.schedule is None else _schedule(self.schedule)
        constants = None if self.constants is None else dataclasses.asdict(self.constants)
        whole = {
            "format": FORMAT,
            "problem": self.name,
            "applies": self.exit_code == 0,
            "stopped": self.stopped,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "constants": constants,
            "schedule": schedule,
            "outside_theory": schedule is not None and bool(self.failed),
            "watch": list(self.watch),
        }
        return json.dumps(cleaned(_finite(whole)), indent=1, allow_nan=False) + "\n"

    def _verdict(self) -> str:
        if self.failed:
            said = ", ".join(_named(each) for each in self.findings if each.verdict == FAILS)
            return f"{self.name}: the theory does not apply; fails: {said}"
        if self.exit_code:
            return f"{self.name}: could not run"
        open_ones = sum(finding.verdict == UNTOLD for finding in self.findings)
        rest = f"; {open_ones} assumptions cannot be told" if open_ones else ""
        return f"{self.name}: no assumption of the theory fails{rest}"

    def _proposal(self) -> list[str]:
        if self.schedule is None:
            return []
        parts = _schedule(self.schedule)
        said = ", ".join(f"{k} = {_figure(v)}" for k, v in parts["algorithm"].items())
        rest = ", ".join(f"{k} = {_figure(v)}" for k, v in parts.items() if k != "algorithm")
        minibatch = math.ceil(self.schedule.lower_scale**-2)
        lines = [
            "",
            f"parameters for ‖∇Φ‖ ≤ O({self.schedule.epsilon:g}), from accbo.schedules.accbo with "
            "the constants as estimated (the true l may be larger, the true μ smaller):",
        ]
        if self.failed:
            lines[1:] = ["OUTSIDE THE THEORY, which promises nothing here; values to start from:"]
        lines += [
            f"  {said}",
            f"  {rest}",
            f"  lower_scale stands for minibatches of {minibatch} lower-level samples "
            "(variance O(ε))",
        ]
        return lines + [f"  {each}" for each in self.watch]


def _named(finding: Finding) -> str:
    return f"{finding.name} ({finding.level} level)" if finding.level else finding.name


def _schedule(schedule: Schedule[AccBO]) -> dict[str, Any]:
    parts = dataclasses.asdict(schedule)
    kept = {k: v for k, v in parts["algorithm"].items() if isinstance(v, int | float | str)}
    return parts | {"algorithm": kept}


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
