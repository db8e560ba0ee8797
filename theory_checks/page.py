"""One self-contained page: verdict, pictures, tables, and each picture as files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accbo._figures.files import files, files_together, inline, lacking
from accbo._figures.panel import slug, typeset
from theory_checks import printed, report
from theory_checks.harness import Settings, Verdict

SECTIONS = ("Claim", "Regime", "Statistic", "Rule")


class ReportError(RuntimeError):
    """The page cannot be made here; the message says what is missing."""


def check(option: str, *packages: str) -> None:
    """Raise ``ReportError`` where ``option`` needs one of the packages that is not here."""
    if said := lacking(option, *packages):
        raise ReportError(said)


def page(verdicts: Sequence[Verdict], settings: Settings, jobs: int, seconds: float) -> str:
    """The report as HTML that needs no network."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["chance"] = chance
    environment.filters["code"] = code
    environment.filters["mathematics"] = mathematics
    content = report.document(verdicts, settings, jobs, seconds)
    for check, verdict in zip(content["checks"], verdicts, strict=True):
        check["in_words"] = verdict.check.IN_WORDS
        check["sections"] = sections(verdict.check.__doc__ or "")
        check["command"] = report.command(settings, [verdict.check.NAME])
        check["figures"] = [
            {"title": panel.title, "caption": panel.caption, "svg": inline(panel)}
            for panel in verdict.panels
        ]
        check["small"] = inline(verdict.panels[0], small=True) if verdict.panels else ""
    return environment.get_template("report.html.j2").render(
        **content,
        passed=sum(verdict.passed for verdict in verdicts),
        alarm=printed.alarm(verdicts),
        command=report.command(settings, [verdict.check.NAME for verdict in verdicts]),
    )


def figures(folder: Path, verdicts: Sequence[Verdict]) -> tuple[tuple[Path, str | bytes], ...]:
    """Each picture as PDF, SVG, PNG and CSV, and all laws in one."""
    found: dict[str, str | bytes] = {}
    for verdict in verdicts:
        for panel in verdict.panels:
            found |= files(f"{verdict.check.NAME}-{slug(panel.title)}", panel)
    laws = [(each.check.IN_WORDS, each.panels[0]) for each in verdicts if each.panels]
    if laws:
        found |= files_together("laws", laws, columns=min(5, len(laws)))
    return tuple((folder / name, content) for name, content in found.items())


def sections(docstring: str) -> list[tuple[str, str]]:
    """The paragraphs of a check's docstring that begin with a name, each with its name."""
    names = "|".join((*SECTIONS, "Variations", "Answer"))
    parts = re.split(rf"^({names})\s", docstring, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(name, " ".join(text.split("\n\n")[0].split())) for name, text in pairs]


def number(value: Any) -> str:
    """Five significant digits; what is no number as it is."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def chance(value: Any) -> str:
    """A probability to two digits; 0 where there is no chance at all."""
    return f"{value:.1e}" if isinstance(value, float) and value else str(value or 0)


def mathematics(text: str) -> Any:
    """``text`` as HTML, with raised and lowered parts."""
    import markupsafe

    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(
        typeset(escaped, lambda part: f"<sup>{part}</sup>", lambda part: f"<sub>{part}</sub>")
    )


def code(text: str) -> Any:
    """``text`` as HTML, what stands between double backquotes as code."""
    import markupsafe

    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"``(.*?)``", r"<code>\1</code>", escaped))
