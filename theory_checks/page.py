"""One self-contained page: verdict, pictures, tables, and each picture as files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from accbo._figures.files import files, files_together, inline, lacking
from accbo._figures.page import rendered, shown
from accbo._figures.panel import slug

from . import printed, report
from .harness import Settings, Verdict

SECTIONS = ("Claim", "Regime", "Statistic", "Rule")


class ReportError(RuntimeError):
    """The page cannot be made here; the message says what is missing."""


def check(option: str, *packages: str) -> None:
    """Raise ``ReportError`` where ``option`` needs one of the packages that is not here."""
    if said := lacking(option, *packages):
        raise ReportError(said)


def page(verdicts: Sequence[Verdict], settings: Settings, jobs: int, seconds: float) -> str:
    """The report as HTML that needs no network."""
    content = report.document(verdicts, settings, jobs, seconds)
    for check, verdict in zip(content["checks"], verdicts, strict=True):
        check["in_words"] = verdict.check.IN_WORDS
        check["sections"] = sections(verdict.check.__doc__ or "")
        check["command"] = report.command(settings, [verdict.check.NAME])
        check["figures"] = shown(verdict.panels)
        check["small"] = inline(verdict.panels[0], small=True) if verdict.panels else ""
    return rendered(
        Path(__file__).parent / "report.html.j2",
        **content,
        passed=sum(verdict.passed for verdict in verdicts),
        alarm=printed.alarm(verdicts),
        command=report.command(settings, [verdict.check.NAME for verdict in verdicts]),
    )


def figures(folder: Path, verdicts: Sequence[Verdict]) -> tuple[tuple[Path, str | bytes], ...]:
    """Each picture as PDF, SVG, PNG and CSV, and all laws in one, for a screen and a telephone."""
    found: dict[str, str | bytes] = {}
    for verdict in verdicts:
        for panel in verdict.panels:
            found |= files(f"{verdict.check.NAME}-{slug(panel.title)}", panel)
    laws = [(each.check.IN_WORDS, each.panels[0]) for each in verdicts if each.panels]
    if laws:
        found |= files_together("laws", laws, columns=min(5, len(laws)))
        found |= files_together("laws-narrow", laws, columns=min(2, len(laws)))
    return tuple((folder / name, content) for name, content in found.items())


def sections(docstring: str) -> list[tuple[str, str]]:
    """The paragraphs of a check's docstring that begin with a name, each with its name."""
    names = "|".join((*SECTIONS, "Variations", "Answer"))
    parts = re.split(rf"^({names})\s", docstring, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(name, " ".join(text.split("\n\n")[0].split())) for name, text in pairs]
