"""The laws of the theory, measured: ``accbo theory`` as functions, for a notebook or a script.

from accbo import theory

verdict = theory.run("momentum_variance")
verdict.passed
verdict.to_dataframe()          # the rows, predicted beside measured
verdict.curves                  # the pictures' curves, as arrays
verdict.save_figures("figures")
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from accbo._extras import install
from accbo._figures.panel import Panel, slug
from accbo._options import suggestion
from accbo._pieces.files import write

PROFILES = ("quick", "full")
Variation = str | Callable[..., Any]
_FUNCTIONS = ModuleType("accbo._functions")  # where a function of the caller's has a name
_numbers = count()


@dataclass(frozen=True)
class Row:
    """One comparison: a quantity as the theory predicts it, and as it was measured.

    ``kind`` is ``"equality"``, ``"band"``, ``"bound"`` or ``"shown"``, which is not judged;
    ``predicted`` is NaN where a shown quantity has no prediction, ``low`` and ``high`` where the
    measurement has no interval. ``used`` is the share of what is allowed that was used, above 1
    where the row failed. ``false_alarm`` is the probability that right code fails it.
    """

    quantity: str
    kind: str
    predicted: float
    measured: float
    low: float
    high: float
    rule: str
    passed: bool
    used: float
    false_alarm: float


@dataclass(frozen=True)
class Line:
    """A curve of a picture: arrays of one length, without ``low`` and ``high`` if no interval."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    predicted: bool


@dataclass(frozen=True)
class Verdict:
    """What one check came to."""

    check: str
    claim: str
    rows: tuple[Row, ...]
    panels: tuple[Panel, ...] = dataclasses.field(repr=False)
    seconds: float  # of one core

    @property
    def passed(self) -> bool:
        """Whether every judged row passed, and there is one."""
        judged = [row for row in self.rows if row.kind != "shown"]
        return bool(judged) and all(row.passed for row in judged)

    @property
    def false_alarm(self) -> float:
        """The probability that right code fails this check: the rows', added up."""
        return float(sum(row.false_alarm for row in self.rows))

    @property
    def curves(self) -> dict[str, dict[str, Line]]:
        """The curves of every picture, by its title and their label.

        A prediction is called after the measurement beside it, if it belongs to one.
        """
        return {panel.title: dict(_lines(panel)) for panel in self.panels}

    def to_dataframe(self) -> Any:
        """The rows as a pandas ``DataFrame``; raises ``ImportError`` without pandas."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError(f"to_dataframe needs pandas; {install('pandas')}") from error
        return pandas.DataFrame(
            [dataclasses.asdict(row) for row in self.rows],
            columns=[field.name for field in dataclasses.fields(Row)],
        )

    def save_figures(self, folder: str | Path) -> list[Path]:
        """Each picture as PDF, SVG, PNG and CSV in ``folder``; the files.

        Raises ``ImportError`` without matplotlib.
        """
        from accbo._figures.files import files, lacking

        if said := lacking("save_figures", "matplotlib"):
            raise ImportError(said)
        Path(folder).mkdir(parents=True, exist_ok=True)
        written = []
        for panel in self.panels:
            for name, content in files(f"{self.check}-{slug(panel.title)}", panel).items():
                write(Path(folder) / name, content)
                written.append(Path(folder) / name)
        return written


def fill(parser: Any) -> None:
    """Fill the parser of ``accbo theory``."""
    _theory("__main__").fill(parser)


def checks() -> dict[str, str]:
    """The names of the checks, each with its claim."""
    return {name: check.CLAIM for name, check in _registry().items()}


def run(
    check: str,
    *,
    profile: str = "quick",
    seed: int = 0,
    backend: str = "numpy",
    schedule: Variation | None = None,
    problem: Variation | None = None,
    noise: Variation | None = None,
    fault: Variation | None = None,
    dimension: int | None = None,
    skew: float | None = None,
    window: tuple[int, int] | None = None,
    jobs: int = 1,
) -> Verdict:
    """The verdict of one check, by its name in ``checks()``.

    The options are those of ``accbo theory --help``, where each says which checks take it.
    ``schedule(constants, steps)``, ``problem()`` or ``problem(epsilon)`` and ``fault(algorithm)``
    are functions, or ``"module:function"``, which ``jobs`` other processes can load too;
    ``noise`` is a law by name, or such a function of an array of uniform numbers in (0, 1) that
    returns noise of its shape with mean 0 and variance 1, as the inverse of a distribution function
    does.

    Raises ``ValueError`` for what the command would refuse, with the same sentence.
    """
    functions = {"schedule": schedule, "problem": problem, "fault": fault, "noise": noise}
    if jobs != 1 and any(callable(given) for given in functions.values()):
        raise ValueError('with jobs above 1 a function is given by its name, "module:function"')
    options, sweep = _theory("options"), _theory("sweep")
    chosen = options.parser().parse_args([])
    _expect_one_of("profile", profile, PROFILES)
    numbers = {"seed": seed, "dimension": dimension, "skew": skew, "window": window}
    with contextlib.ExitStack() as stack:
        names = {name: stack.enter_context(_named(given)) for name, given in functions.items()}
        vars(chosen).update(names, profile=profile, backend=backend, **numbers)
        try:
            settings = options.settings_of(chosen)
            (found,) = options.chosen_checks([check], settings)
        except options.UsageError as error:
            raise ValueError(str(error)) from None
        (verdict,) = sweep.run_checks([found], settings, sweep.Means(jobs), panels=True)
    rows = tuple(_row(finding) for finding in verdict.findings)
    return Verdict(check, found.CLAIM, rows, tuple(verdict.panels), verdict.seconds)


def _expect_one_of(what: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        near = suggestion(given, known)
        raise ValueError(f"there is no {what} {given!r}{near} ({', '.join(known)})")


def _row(finding: Any) -> Row:
    low, high = finding.interval or (float("nan"), float("nan"))
    return Row(
        finding.quantity,
        finding.kind,
        float(finding.predicted),
        float(finding.measured),
        float(low),
        float(high),
        finding.rule,
        bool(finding.passed),
        float(finding.used),
        float(finding.false_alarm),
    )


def _lines(panel: Panel) -> Iterator[tuple[str, Line]]:
    measured = {curve.group: curve.label for curve in panel.curves if not curve.predicted}
    for curve in panel.curves:
        beside = measured.get(curve.group) if curve.group and curve.predicted else None
        name = curve.label if beside is None else f"{beside}: {curve.label}"
        low, high = (None if end is None else np.asarray(end) for end in (curve.low, curve.high))
        yield name, Line(np.asarray(curve.x), np.asarray(curve.y), low, high, curve.predicted)


@contextlib.contextmanager
def _named(given: Variation | None) -> Iterator[str | None]:
    """``given`` as a name under which this process finds it, as long as the body lasts."""
    if given is None or isinstance(given, str):
        yield given
        return
    name = f"given_{next(_numbers)}"
    sys.modules[_FUNCTIONS.__name__] = _FUNCTIONS
    setattr(_FUNCTIONS, name, given)
    try:
        yield f"{_FUNCTIONS.__name__}:{name}"
    finally:
        delattr(_FUNCTIONS, name)


def _registry() -> dict[str, Any]:
    found: dict[str, Any] = _theory("registry").CHECKS
    return found


def _theory(module: str) -> Any:
    """A module of the checks, which import this package and not the other way round.

    They are the folder ``theory_checks`` of the source tree, and ``accbo._theory`` in a wheel.
    """
    package = "accbo._theory" if find_spec("accbo._theory") else "theory_checks"
    return import_module(f"{package}.{module}")
