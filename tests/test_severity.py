"""What fails at the edge of the range alone is said apart; causes, and what could be declared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from accbo.cli import main
from accbo.conformance import as_tests, rows
from accbo.conformance.as_tests import AsTests
from accbo.conformance.ci import annotated, badge
from accbo.conformance.running.observe import Runner
from accbo.conformance.vectors.vector import Vector, load
from accbo.conformance.verdict import judge as judge_module
from accbo.conformance.verdict.judge import FROM_FILE, judge
from accbo.conformance.verdict.report import (
    EDGE,
    EDGE_ALONE,
    EXCEPT,
    FAIL,
    OTHER,
    PASS,
    SKIP,
    Report,
)
from tests.slips import Hand
from tests.test_plugin_options import pytest_in


class Overflows(Hand):
    """The norm by squares in double precision, tiny ones scaled first: wrong at 2^664 alone."""

    def upper(self) -> None:
        self.x_old, m = self.x, self.m.astype(np.float64)
        with np.errstate(all="ignore"):
            length = np.sqrt(np.sum(m * m))
            if length == 0:
                m = m * 2.0**600
                length = np.sqrt(np.sum(m * m))
            if length > 0:
                moved = self.x - self.a.upper_step_size * m / length
                self.x = moved.astype(self.x.dtype)


class Clips(Hand):
    """The momentum clipped at 10: another algorithm, at the edge of the range as well."""

    def momentum(self, *arguments: Any) -> None:
        super().momentum(*arguments)
        largest = np.max(np.abs(self.m))
        if largest > 0:
            length = largest * np.linalg.norm(self.m / largest)
            self.m = self.m * min(1.0, 10 / length)


class Single(Hand):
    """Single precision throughout."""

    def load(self, s: Any) -> None:
        super().load(s)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value.astype(np.float32).astype(value.dtype))


class Independent(Hand):
    """The series of independent samples is of another kind."""

    def series(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        scale = 1.01 if self.a.neumann_sampling == "independent" else 1.0
        return scale * super().series(x, y, v, sample)


class OptionI(Hand):
    """There is no period."""

    def lower(self, batches: Any, y_old: Any) -> None:
        period, self.a.period = self.a.period, None
        super().lower(batches, y_old)
        self.a.period = period


class Simultaneous(Hand):
    """One order, whatever is asked for."""

    def declared(self, a: Any) -> Any:
        a.order = "simultaneous"
        return a


class ShowsOld(Hand):
    """state() shows the average of the iteration before."""

    def state(self) -> dict[str, Any]:
        return {**super().state(), "y_average": self.h_old}


SOME = (
    "vast-gradients",
    "huge-gradients",
    "minute-gradients-simultaneous/0",
    "steep-10-4-simultaneous",
    "trajectory-nonquadratic-simultaneous/0",
)


def cases(prefixes: Iterable[str] = SOME, fast: bool = False) -> list[Vector]:
    """A few vectors of the set, and generic ones of every sampling, order and option."""
    families = ("quadratic-s", "nonquadratic-s", "relaxed_smooth-s")
    generic = [v for v in load() if v.id.startswith(families) and v.id[-1] in "01"]
    chosen = [v for v in load() if v.id.startswith(tuple(prefixes)) and (v.fast or not fast)]
    return [*generic, *chosen]


@pytest.fixture(autouse=True)
def _without_names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for mistakes takes seconds, and none of these is about names."""
    if "legitimate" not in request.node.name:
        monkeypatch.setattr(judge_module, "diagnose", lambda *_: judge_module.NOTHING)


def judged(made: Any, vectors: Iterable[Vector] | None = None, **options: Any) -> Report:
    runner = Runner(made, "numpy")
    every = cases() if vectors is None else vectors
    seen = [one for vector in every for one in runner.observe(vector)]
    return judge(seen, implementation=made.__name__, **options)


# --- severity ---------------------------------------------------------------------------------


def test_a_right_program_conforms_without_exception() -> None:
    found = judged(Hand)
    assert (found.exit_code, found.severity, found.verdict) == (0, "", "conforms")


@pytest.mark.parametrize("strict", [False, True])
def test_an_overflow_at_the_edge_of_the_range_is_said_apart(strict: bool) -> None:
    found = judged(Overflows, strict=strict)
    vast = {v.id for v in cases() if v.id.startswith("vast")}
    assert {check.name for check in found.checks if check.edge} == vast
    status = FAIL if strict else EDGE
    assert {check.name for check in found.checks if check.status not in (PASS, SKIP)} == vast
    assert found.counts[status] == len(vast) == 8
    assert found.severity == EDGE
    assert found.exit_code == int(strict)
    assert found.verdict == (EDGE_ALONE if strict else EXCEPT)
    text = found.text()
    assert text.startswith(f"Overflows: {found.verdict} (")
    assert "where squares over- or underflow, and nowhere else" in text
    assert f"x is off first; {EDGE}: vast-gradients-simultaneous/0 (and 7 more)" in text
    document = json.loads(found.json())
    assert (document["severity"], document["strict"]) == (EDGE, strict)
    assert (document["conforms"], document["exit_code"]) == (not strict, int(strict))
    assert sum("edge" in check for check in document["checks"]) == 8
    assert json.loads(badge(document))["color"] == ("orange" if strict else "yellow")
    level = "error" if strict else "warning"
    assert annotated(document).startswith(
        f"::{level} title=Overflows {found.verdict}".split(",")[0]
    )
    suite = ElementTree.fromstring(found.junit())
    assert suite.get("failures") == ("9" if strict else "0")  # the verdict fails as well
    verdict = suite.findall("testcase")[-1]
    assert found.verdict in "".join(verdict.itertext()) + str(
        [each.get("message") for each in verdict]
    )
    marked = [each.get("message", "") for each in suite.iter("skipped")]
    assert sum(message.startswith(EDGE) for message in marked) == (0 if strict else 8)


@pytest.mark.parametrize("made", [Clips, Single])
def test_what_fails_inside_is_another_algorithm(made: Any) -> None:
    found = judged(made)
    assert (found.exit_code, found.severity, found.verdict) == (1, OTHER, "departs")
    assert EDGE not in found.counts
    assert "nowhere else" not in found.text()


def test_where_nothing_was_seen_inside_there_is_no_green() -> None:
    """At the edge alone, an implementation has shown nothing."""
    edge = [vector for vector in cases() if vector.id.startswith("vast")]
    assert judged(Overflows, edge).exit_code == 1
    assert judged(Hand, edge).exit_code == 0


def test_a_wrong_dtype_is_no_matter_of_the_range() -> None:
    class Doubles(Overflows):
        def state(self) -> dict[str, Any]:
            return {name: value.astype(np.float64) for name, value in super().state().items()}

    found = judged(Doubles)
    assert (found.exit_code, found.severity) == (1, OTHER)  # of float32, doubles are shown


PROGRAM = """
from tests.test_severity import Overflows
"""


def test_the_command_follows_strict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module("accbo.conformance.check")  # the package's own name is the function's
    monkeypatch.setattr(module, "load", lambda *_: tuple(cases(fast=True)))
    (tmp_path / "mine.py").write_text(PROGRAM)
    command = ["conform", f"{tmp_path / 'mine.py'}:Overflows", "--fast"]
    assert main(command) == 0
    assert f"Overflows: {EXCEPT} (" in capsys.readouterr().out
    assert main([*command, "--strict"]) == 1
    assert f"Overflows: {EDGE_ALONE} (" in capsys.readouterr().out


@pytest.mark.parametrize("strict", [False, True])
def test_as_tests_it_is_an_expected_failure(strict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(as_tests, "judged_on", lambda *_: tuple(cases(fast=True)))
    tested = AsTests(Overflows, strict=strict, fast=True)
    outcomes: dict[str, str] = {}
    for name, make in tested.checks():
        try:
            tested.settle(make())
            outcomes[name] = "passed"
        except (pytest.xfail.Exception, AssertionError, pytest.skip.Exception) as error:
            outcomes[name] = type(error).__name__
    edge = {name: what for name, what in outcomes.items() if name.startswith("vast")}
    assert set(edge.values()) == {"AssertionError" if strict else "XFailed"}
    assert outcomes["verdict"] == ("AssertionError" if strict else "passed")
    assert all(
        what in ("passed", "Skipped")
        for name, what in outcomes.items()
        if name not in edge and name != "verdict"
    )


@pytest.mark.slow
def test_the_plugin_has_the_option(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PROGRAM)
    options = ("--accbo-conform", "own.py:Overflows", "--accbo-fast", "-k", "vast or verdict")
    assert pytest_in(tmp_path, *options).returncode == 0
    ended = pytest_in(tmp_path, *options, "--accbo-strict")
    assert ended.returncode == 1
    assert EDGE_ALONE in ended.stdout
    assert pytest_in(tmp_path, *options, ini="accbo_strict = true").returncode == 1


# --- conventions, what is shown, causes -----------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (Independent, '{"neumann_sampling": ["chained", "randomised"]}'),
        (OptionI, '{"option": ["I"]}'),
    ],
)
def test_a_convention_in_which_all_lies_is_suggested(made: Any, line: str) -> None:
    found = judged(made, namespace="numpy")
    assert found.exit_code == 1  # until it is declared
    assert found.suggestion.endswith(f"conventions = {line}")
    assert found.suggestion in found.text()
    assert json.loads(found.json())["suggestion"] == found.suggestion
    told = judged(made, namespace=FROM_FILE).suggestion
    assert told.endswith(f'"conventions": {line}')  # as a file of results has it
    declared = type(made.__name__, (made,), {"conventions": json.loads(line)})
    assert judged(declared).exit_code == 0  # the line does what it says


def test_a_convention_that_crashes_is_suggested_too() -> None:
    class NotDrawn(Hand):
        def series(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
            if self.a.neumann_sampling == "randomised":
                raise KeyError("power")
            return super().series(x, y, v, sample)

    found = judged(NotDrawn, namespace="numpy")
    assert found.exit_code == 2
    line = 'conventions = {"neumann_sampling": ["chained", "independent"]}'
    assert f"    {line}" in found.text().splitlines()


def test_what_is_declared_already_stays_in_the_line() -> None:
    class Partly(OptionI):
        conventions = {"order": "simultaneous"}  # noqa: RUF012

    found = judged(Partly, namespace="numpy")
    assert found.suggestion.endswith('{"order": ["simultaneous"], "option": ["I"]}')


def test_another_legitimate_convention_comes_with_its_line() -> None:
    found = judged(Simultaneous, namespace="numpy")
    assert found.exit_code == 0
    assert found.verdict == "conforms under another convention: order = simultaneous"
    assert '    conventions = {"order": ["simultaneous"]}' in found.text().splitlines()


class FirstAlone(Hand):
    """m_0 from the first sample, whatever is given."""

    def first(self, first: Any) -> Any:
        one = {
            name: {key: leaf[:1] for key, leaf in part.items()}
            for name, part in first._asdict().items()
            if name != "lower"
        }
        return super().first(first._replace(**one))


class Chained(Hand):
    """The chained series, of the first samples of whatever is given."""

    def series(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        total = power = v
        for zeta in list(rows(sample.hessian))[: self.a.neumann_terms - 1]:
            power = power - self.hvp(x, y, power, zeta) / self.a.neumann_scale
            total = total + power
        return total / self.a.neumann_scale


@pytest.mark.parametrize(
    ("made", "claim", "said", "line"),
    [
        (
            Simultaneous,
            {"order": "sequential", "option": "I"},
            "order = sequential, and the program does order = simultaneous",
            '{"order": ["simultaneous"], "option": ["I"]}',
        ),
        (
            Simultaneous,
            {"order": ("simultaneous", "sequential")},
            "order = simultaneous and sequential, and the program does order = simultaneous",
            '{"order": ["simultaneous"]}',
        ),
        (
            FirstAlone,
            {"first": "mean"},
            "first = mean, and the program does first = one",
            '{"first": ["one"]}',
        ),
        (
            Chained,
            {"neumann_sampling": "independent"},
            "neumann_sampling = independent, and the program does neumann_sampling = chained",
            '{"neumann_sampling": ["chained"]}',
        ),
    ],
)
def test_a_legitimate_convention_that_is_not_the_declared_one_is_red(
    made: Any, claim: Any, said: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = type(made.__name__, (made,), {"conventions": claim})
    some = (*SOME, "trajectory-quadratic")
    monkeypatch.setattr(as_tests, "judged_on", lambda *_: tuple(cases(some, fast=True)))
    tested = AsTests(claims, fast=True)
    found, verdict = tested.report(), tested.verdict()
    wanted = f"You declare {said} in every case."
    assert (found.exit_code, found.verdict, verdict.status) == (1, "departs", FAIL)
    assert wanted in verdict.message.partition("\n")[0]
    assert wanted in found.text()
    assert f"    conventions = {line}" in found.text().splitlines()
    document = json.loads(found.json())
    assert document["suggestion"].startswith(wanted)
    assert document["exit_code"] == 1
    assert wanted in annotated(document).partition("\n")[0]
    failure = ElementTree.fromstring(found.junit()).findall("testcase")[-1].find("failure")
    assert failure is not None
    assert wanted in failure.get("message", "")
    claims.conventions = json.loads(line)
    assert judged(claims, conventions=claims.conventions).exit_code == 0  # what it does is right


def test_a_mistake_under_a_legitimate_convention_that_is_not_declared_is_named_beside_it() -> None:
    class Wrong(Simultaneous):
        conventions = {"order": "sequential"}  # noqa: RUF012

        def hvp(self, x: Any, y: Any, v: Any, zeta: Any) -> Any:
            return 0 * v

    found = judged(Wrong, conventions={"order": ["sequential"]})
    assert found.names == (("Hessian ignored",),)
    assert "and the program does order = simultaneous" in found.text()


@pytest.mark.parametrize("made", [Hand, Clips, Single])
def test_where_departures_lie_everywhere_nothing_is_suggested(made: Any) -> None:
    assert judged(made).suggestion == ""


def test_a_right_quantity_under_a_wrong_name_is_told() -> None:
    found = judged(ShowsOld)
    assert found.exit_code == 1
    assert "what state() shows as y_average is y_average before the step" in found.suggestion
    alone = [v for v in cases() if v.kind == "step"]
    assert judged(ShowsOld, alone).suggestion == ""  # no run shows that the rest is right


def test_failures_stand_by_cause_one_line_each() -> None:
    found = judged(Independent)
    (cause,) = found.causes
    assert (cause.what, cause.where) == (
        "momentum is off first",
        "neumann_sampling = independent",
    )
    failed = {check.name for check in found.checks if check.status == FAIL}
    assert set(cause.checks) == failed
    lines = found.text().splitlines()
    told = lines[lines.index("what failed, by what is off first:") + 1 :]
    assert len(told) == 1
    assert f"(and {len(failed) - 1} more)" in told[0]
