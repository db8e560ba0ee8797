"""One page for a comparison: learning curves against oracle calls and seconds, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from accbo._figures.files import files, lacking
from accbo._figures.page import rendered, shown
from accbo._figures.panel import Curve as Line
from accbo._figures.panel import Panel, slug
from accbo._pieces.files import write
from accbo.tasks.methods import GRID
from accbo.tasks.summary import LEVEL, finished, interval, measured, settings, with_error, words
from accbo.tasks.sweep import Outcome, instance_of
from accbo.tasks.task import UNTESTED, Task, TaskError
from accbo.tasks.trial import Curve

MINUS = "minus "  # how the score of what should be small begins


def check(option: str, *packages: str) -> None:
    """Raise ``TaskError`` where ``option`` needs one of the packages that is not here."""
    if said := lacking(option, *packages):
        raise TaskError(said)


def page(
    outcome: Outcome, task: Task, references: Mapping[str, Sequence[float]], command: str
) -> str:
    """The page as HTML, with nothing that is loaded from elsewhere."""
    return rendered(
        Path(__file__).parent / "report.html.j2",
        task=task,
        figures=shown(panels(outcome, task, references)),
        measures=measured(outcome),
        tested=UNTESTED not in measured(outcome),
        with_error=with_error,
        rows=[_row(outcome, method) for method in outcome.finals],
        references={name: interval(values) for name, values in references.items()},
        settings={method: words(chosen) for method, chosen in settings(outcome).items()},
        level=f"{LEVEL:.0%}",
        plan=outcome.plan,
        command=command,
    )


def write_page(folder: Path, content: str) -> Path:
    """``index.html`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "index.html", content)
    return folder / "index.html"


def write_figures(folder: Path, pictures: Sequence[Panel]) -> Path:
    """Each picture as PDF, SVG, PNG and CSV in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for panel in pictures:
        for name, content in files(slug(panel.title), panel).items():
            write(folder / name, content)
    return folder


def panels(outcome: Outcome, task: Task, references: Mapping[str, Sequence[float]]) -> list[Panel]:
    """The learning curves against oracle calls, and against seconds."""
    score = instance_of(task.name, 0).score
    quantity = score.removeprefix(MINUS)
    sign = -1.0 if score.startswith(MINUS) else 1.0
    return [
        _panel(outcome, references, quantity, sign, against) for against in ("calls", "seconds")
    ]


def _panel(
    outcome: Outcome,
    references: Mapping[str, Sequence[float]],
    quantity: str,
    sign: float,
    against: str,
) -> Panel:
    lines, diverged = [], []
    for method, curves in outcome.finals.items():
        good = [curve for curve in finished(curves) if curve.calls]
        if good:
            lines.append(_line(method, good, quantity, sign, against))
        else:
            diverged.append(method)
    for name, values in references.items():
        kind, _, what = name.partition(", ")
        if lines and kind in (quantity, f"validation {quantity}"):
            ends = [min(min(line.x) for line in lines), max(max(line.x) for line in lines)]
            lines.append(Line(what, ends, [float(np.mean(values))] * 2, predicted=True))
    positive = all(np.min(line.y) > 0 for line in lines)
    return Panel(
        f"{quantity[0].upper()}{quantity[1:]} against "
        + ("oracle calls" if against == "calls" else "seconds"),
        _caption(sign, diverged),
        "oracle calls, in thousands" if against == "calls" else "seconds of this machine",
        quantity,
        lines,
        log_y=sign < 0 and positive,
    )


def _line(method: str, good: Sequence[Curve], quantity: str, sign: float, against: str) -> Line:
    length = min(len(curve.calls) for curve in good)
    at = np.mean([getattr(curve, against)[:length] for curve in good], axis=0)
    name = quantity if sign > 0 else MINUS + quantity
    values = sign * np.array([curve.measures[name][:length] for curve in good])
    found = np.array([interval(list(column)) for column in values.T])
    mean, half = found[:, 0], found[:, 1]
    low, high = (mean - half, mean + half) if len(good) > 1 else (None, None)
    return Line(method, at / 1000 if against == "calls" else at, mean, low, high, joined=True)


def _caption(sign: float, diverged: Sequence[str]) -> str:
    better = "Higher" if sign > 0 else "Lower"
    lost = f" All runs diverged of {', '.join(diverged)}." if diverged else ""
    return (
        f"On validation data, the mean over the seeds; bars, at few of the points, are their "
        f"{LEVEL:.0%} intervals, cut where they leave the picture. {better} is better.{lost}"
    )


def _row(outcome: Outcome, method: str) -> dict[str, object]:
    curves = outcome.finals[method]
    good = finished(curves)
    if not good:
        return {"method": method, "trouble": curves[0].trouble}
    trial = GRID[outcome.chosen[method]]
    lost = f" ({len(curves) - len(good)} diverged)" if len(good) < len(curves) else ""
    return {
        "method": method,
        "trouble": "",
        "test": {name: interval([c.test[name] for c in good]) for name in measured(outcome)},
        "iterations": good[0].steps,
        "seconds": float(np.mean([curve.seconds[-1] for curve in good if curve.seconds])),
        "chosen": f"path {trial.path:g}, lower {trial.lower:g}{lost}",
    }
