"""One self-contained page: verdict, pictures, tables, operating characteristics."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from theory_checks import printed, report
from theory_checks.harness import Settings, Verdict
from theory_checks.panels import Curve, Panel

MARKERS = "osD^vP"  # one a colour, for who does not see colours
SECTIONS = ("Claim", "Regime", "Statistic", "Rule")


class ReportError(RuntimeError):
    """The page cannot be made here; the message says what is missing."""


def check() -> None:
    """Raise ``ReportError`` unless the page can be made here."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ReportError(f"--report needs {error.name}; pip install 'accbo[report]'") from None


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
    content = report.document(verdicts, settings, jobs, seconds)
    for check, verdict in zip(content["checks"], verdicts, strict=True):
        check["sections"] = sections(verdict.check.__doc__ or "")
        check["command"] = report.command(settings, [verdict.check.NAME])
        check["figures"] = [
            {"title": panel.title, "caption": panel.caption, "svg": svg(panel)}
            for panel in verdict.panels
        ]
    return environment.get_template("report.html.j2").render(
        **content,
        passed=sum(verdict.passed for verdict in verdicts),
        alarm=printed.alarm(verdicts),
        command=report.command(settings, [verdict.check.NAME for verdict in verdicts]),
    )


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


def code(text: str) -> Any:
    """``text`` as HTML, what stands between double backquotes as code."""
    import markupsafe

    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub(r"``(.*?)``", r"<code>\1</code>", escaped))


def svg(panel: Panel) -> str:
    """``panel`` drawn by matplotlib, as an ``<svg>`` element with text as outlines."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "path",
        "svg.hashsalt": panel.title,  # the same bytes every time, other ids than a neighbour's
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for curve, colour in zip(panel.curves, colours(panel.curves), strict=True):
            _draw(axes, curve, colour, MARKERS[int(colour[1:]) % len(MARKERS)])
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)
        if panel.log_x:
            axes.set_xscale("log", base=2)
        if panel.log_y:
            axes.set_yscale("log")
        axes.grid(alpha=0.25)
        figure.legend(loc="outside lower center", ncols=1 + (len(panel.curves) > 3), fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    prefix = re.sub(r"\W+", "-", panel.title)
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    return text.replace("<svg ", '<svg role="img" preserveAspectRatio="xMidYMid meet" ', 1)


def colours(curves: Sequence[Curve]) -> list[str]:
    """A colour a curve; a prediction and the measurement beside it share one."""
    found: list[str] = []
    count = 0
    for index, curve in enumerate(curves):
        before = curves[index - 1] if index else None
        alone = index < 2 or found[index - 1] != found[index - 2]
        if before is not None and before.predicted != curve.predicted and alone:
            found.append(found[-1])
            continue
        found.append(f"C{count}")
        count += 1
    return found


def _draw(axes: Any, curve: Curve, colour: str, marker: str) -> None:
    x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
    if curve.predicted:
        axes.plot(x, y, "-", color=colour, linewidth=1.2, alpha=0.8, label=curve.label)
        return
    if curve.low is None or curve.high is None:
        axes.plot(x, y, marker, color=colour, markersize=4, label=curve.label)
        return
    low, high = np.asarray(curve.low, dtype=float), np.asarray(curve.high, dtype=float)
    sizes = np.maximum(np.stack((y - low, high - y)), 0.0)
    style = {"color": colour, "markersize": 4, "capsize": 2}
    axes.errorbar(x, y, sizes, fmt=marker, label=curve.label, **style)
