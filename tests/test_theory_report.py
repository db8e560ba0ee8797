"""The report: one page that needs no network, with every figure and every figure's meaning."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from theory_checks import __main__ as command
from theory_checks import page, report
from theory_checks.harness import Settings, Verdict
from theory_checks.panels import Curve, Panel
from theory_checks.registry import CHECKS
from theory_checks.statistics import exact
from theory_checks.sweep import run_checks

pytest.importorskip("matplotlib")
markupsafe = pytest.importorskip("markupsafe")  # Jinja2's own
LAWS = [CHECKS["neumann_bias"], CHECKS["momentum_variance"]]


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return run_checks(LAWS, Settings(), panels=True)


def test_the_page_stands_alone_and_says_everything(verdicts: list[Verdict]) -> None:
    html = page.page(verdicts, Settings(), 1, 2.0)
    assert "2 of 2 checks passed" in html
    assert not re.search(r"""(src|href)\s*=\s*["'](https?:)?//""", html)
    assert "<script" not in html
    for verdict in verdicts:
        assert f'id="{verdict.check.NAME}"' in html
        for panel in verdict.panels:
            assert f"<strong>{panel.title}.</strong>" in html
        for finding in verdict.findings:
            assert str(markupsafe.escape(finding.quantity)) in html
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for target in re.findall(r'href="#([^"]+)"', html) + re.findall(r"url\(#([^)]+)\)", html):
        assert target in ids


def test_every_check_explains_itself() -> None:
    for check in CHECKS.values():
        names = [name for name, _ in page.sections(check.__doc__)]
        assert {"Claim", "Regime", "Statistic", "Rule"} <= set(names), check.NAME


def test_every_panel_has_a_caption_axes_and_both_kinds_of_curve(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        assert verdict.panels
        for panel in verdict.panels:
            assert all((panel.title, panel.caption, panel.x_label, panel.y_label))
            assert {curve.predicted for curve in panel.curves} == {False, True}


def test_a_failure_is_told_first(verdicts: list[Verdict]) -> None:
    bad = exact("bad & <wrong>", 1.0, float("nan"), 0.0)
    failed = Verdict(LAWS[0], [bad], 1.0)
    html = page.page([failed, verdicts[1]], Settings(fault="clipping"), 1, 2.0)
    assert "1 of 2 checks passed" in html
    assert "bad &amp; &lt;wrong&gt;" in html
    assert "with the fault “clipping”" in html


def test_the_same_picture_has_the_same_bytes() -> None:
    panel = Panel("T", "c", "x", "y", [Curve("a", [1, 2], [1, 2], [0.5, 1], [2, 3])], True, True)
    assert page.svg(panel) == page.svg(panel)


def test_a_prediction_shares_its_measurement_s_colour() -> None:
    def curve(predicted: bool) -> Curve:
        return Curve("", np.ones(1), np.ones(1), predicted=predicted)

    for order in ((True, False), (False, True)):
        assert page.colours([curve(p) for p in order * 2]) == ["C0", "C0", "C1", "C1"]


def test_junit(verdicts: list[Verdict]) -> None:
    bad = exact("q", 1.0, 2.0, 0.0)
    root = ElementTree.fromstring(report.junit([*verdicts, Verdict(LAWS[0], [bad], 0.5)]))
    suites = root.findall("testsuite")
    assert [suite.get("failures") for suite in suites] == ["0", "0", "1"]
    assert suites[2].find("testcase/failure").get("message").startswith("predicted 1, measured 2")


def test_the_command_writes_the_folder(tmp_path: Path, capsys: Any) -> None:
    folder, junit = tmp_path / "a" / "report", tmp_path / "junit.xml"
    arguments = ["--check", "neumann_bias", "--jobs", "1", "--seed", "2"]
    assert command.main([*arguments, "--report", str(folder), "--junit", str(junit)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "findings.json",
        "index.html",
        "junit.xml",
    ]
    html = (folder / "index.html").read_text()
    assert "python -m theory_checks --check neumann_bias --seed 2" in html
    environment = json.loads((folder / "findings.json").read_text())["environment"]
    assert environment["command"] == "python -m theory_checks --check neumann_bias --seed 2"
    assert junit.read_text() == (folder / "junit.xml").read_text()


@pytest.mark.parametrize("where", ["/proc/none", "file"])
def test_a_folder_that_cannot_be_written_exits_2(where: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / where  # an absolute one stays as it is
    assert command.main(["--check", "neumann_bias", "--report", str(target)]) == 2
    message = capsys.readouterr().err
    assert "cannot write" in message
    assert str(target) in message


def test_without_matplotlib_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert command.main(["--check", "neumann_bias", "--report", str(tmp_path)]) == 2
    assert "needs matplotlib; pip install 'jinja2>=" in capsys.readouterr().err
