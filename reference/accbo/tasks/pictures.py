"""One page for a comparison: learning curves against oracle calls and seconds, and the table."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accbo._extras import install
from accbo._pieces.files import write
from accbo.tasks.summary import LEVEL, finished, table
from accbo.tasks.sweep import Outcome, instance_of
from accbo.tasks.task import Task, TaskError
from accbo.tasks.trial import Curve

METADATA = ("Date", "Creator", "Format", "Type")  # left out: they name hosts and versions
# a figure is 374 points wide: on a telephone it is as wide as the page, and two stand side by side
# where there is room, so that its letters are never far from those of the text
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:74rem;margin:0 auto;padding:1rem}
.curves{display:grid;gap:1.5rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr))}
svg{width:100%;height:auto}pre{overflow-x:auto;font-size:.8rem;line-height:1.4}
code{overflow-wrap:anywhere}figure{margin:0}figcaption{font-size:.9rem}"""


def check() -> None:
    """Raise ``TaskError`` without matplotlib."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise TaskError(f"--report needs matplotlib; {install('report')}")


def page(
    outcome: Outcome, task: Task, references: Mapping[str, Sequence[float]], command: str
) -> str:
    """The page as HTML, with nothing that is loaded from elsewhere."""
    score = instance_of(task.name, 0).score
    figures = "".join(
        f"<figure>{_figure(outcome, score, against)}<figcaption>{html.escape(_caption(against))}"
        "</figcaption></figure>"
        for against in ("calls", "seconds")
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>accbo: {html.escape(task.name)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(task.name)}</h1><p>{html.escape(task.about)}</p>"
        f"<p>{html.escape(task.data)}</p><div class='curves'>{figures}</div>"
        "<h2>On the test set, read once</h2>"
        f"<pre>{html.escape(table(outcome, references))}</pre>"
        f"<p>Mean ± half a {LEVEL:.0%} interval over {outcome.plan.seeds} seeds; every method had "
        f"{outcome.plan.trials} trials of {outcome.plan.budget:,} oracle calls on a seed of its "
        f"own, chosen by the validation score; a run is judged at its best point.</p>"
        f"<p>Reproduce: <code>{html.escape(command)}</code></p></html>\n"
    )


def write_page(folder: Path, content: str) -> Path:
    """``index.html`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "index.html", content)
    return folder / "index.html"


def _caption(against: str) -> str:
    what = "oracle calls" if against == "calls" else "seconds of this machine"
    return (
        f"The validation score against {what}: mean over the seeds, shaded where the seeds' "
        f"{LEVEL:.0%} interval lies. Higher is better. A method without a curve diverged."
    )


def _figure(outcome: Outcome, score: str, against: str) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "accbo", "font.size": 11}):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axes = figure.subplots()
        for number, (method, curves) in enumerate(outcome.finals.items()):
            good = [curve for curve in finished(curves) if curve.calls]
            if good:
                _curve(axes, method, good, score, against, number)
        axes.set_xlabel("oracle calls, in thousands" if against == "calls" else "seconds")
        axes.set_ylabel(score)
        axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=3, fontsize=10)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(METADATA))
    return text.getvalue().partition("<svg")[2].join(["<svg", ""])


def _curve(
    axes: Any, method: str, good: Sequence[Curve], score: str, against: str, number: int
) -> None:
    length = min(len(curve.calls) for curve in good)
    at = np.mean([getattr(curve, against)[:length] for curve in good], axis=0)
    values = np.array([curve.measures[score][:length] for curve in good])
    at = at / 1000 if against == "calls" else at
    mean, colour = np.mean(values, axis=0), f"C{number}"
    axes.plot(at, mean, label=method, color=colour, linestyle=("-", "--", ":")[number % 3])
    if len(good) > 1:
        from scipy import stats  # late: dear to import

        factor = stats.t.isf((1 - LEVEL) / 2, len(good) - 1) / np.sqrt(len(good))
        half = factor * np.std(values, axis=0, ddof=1)
        axes.fill_between(at, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
