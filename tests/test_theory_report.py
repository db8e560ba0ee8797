"""The report: one page that needs no network, with every figure and every figure's meaning."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from accbo._figures import files
from accbo._figures.page import mathematics
from theory_checks import __main__ as command
from theory_checks import page, report
from theory_checks.harness import Settings, Verdict
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
            assert str(mathematics(finding.quantity)) in html
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
            assert all((panel.title, panel.caption, panel.x_label or panel.ticks, panel.y_label))
            assert {curve.predicted for curve in panel.curves} == {False, True}


def test_a_failure_is_told_first(verdicts: list[Verdict]) -> None:
    bad = exact("bad & <wrong>", 1.0, float("nan"), 0.0)
    failed = Verdict(LAWS[0], [bad], 1.0)
    html = page.page([failed, verdicts[1]], Settings(fault="clipping"), 1, 2.0)
    assert "1 of 2 checks passed" in html
    assert "bad &amp; &lt;wrong&gt;" in html
    assert "with the fault “clipping”" in html


def test_a_picture_of_all_laws_comes_first(verdicts: list[Verdict]) -> None:
    html = page.page(verdicts, Settings(), 1, 2.0)
    first = html.index('<div class="laws">')
    assert first < html.index("<table>") < html.index("<h2")
    laws = html[first : html.index("<table>")]
    assert laws.count("<svg") == laws.count('role="img" aria-label="') == len(LAWS)
    for verdict in verdicts:
        assert f'<a href="#{verdict.check.NAME}">' in laws
        assert str(markupsafe.escape(verdict.check.IN_WORDS)) in laws


def test_junit(verdicts: list[Verdict]) -> None:
    bad = exact("q", 1.0, 2.0, 0.0)
    root = ElementTree.fromstring(report.junit([*verdicts, Verdict(LAWS[0], [bad], 0.5)]))
    suites = root.findall("testsuite")
    assert [suite.get("failures") for suite in suites] == ["0", "0", "1"]
    assert suites[2].find("testcase/failure").get("message").startswith("predicted 1, measured 2")


def test_the_command_writes_the_folder(tmp_path: Path, capsys: Any) -> None:
    folder, junit = tmp_path / "a" / "report", tmp_path / "junit.xml"
    pictures = tmp_path / "figures"
    arguments = ["--check", "neumann_bias", "--jobs", "1", "--seed", "2"]
    arguments += ["--figures", str(pictures), "--junit", str(junit)]
    assert command.main([*arguments, "--report", str(folder)]) == 0
    names = {path.name for path in pictures.iterdir()}
    for kind in ("pdf", "svg", "png"):
        assert f"laws.{kind}" in names
    for kind in ("pdf", "svg", "png", "csv"):
        assert f"neumann_bias-bias-of-the-truncated-series.{kind}" in names
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
    here = files.find_spec
    monkeypatch.setattr(files, "find_spec", lambda name: None if "plot" in name else here(name))
    for option in ("--report", "--figures"):
        assert command.main(["--check", "neumann_bias", option, str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert f"{option} needs matplotlib; pip install 'jinja2>=" in said
