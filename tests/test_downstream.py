"""What a maintainer copies works in a library of hers, and goes red on a mistake."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from accbo.conformance.ci import annotated, badge

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "downstream"
WORKFLOW = (EXAMPLE / ".github" / "workflows" / "accbo.yml").read_text(encoding="utf-8")
HOOK = (EXAMPLE / ".pre-commit-config.yaml").read_text(encoding="utf-8")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "library"))


def ran(library: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=library,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def block(page: str, number: int = 0) -> str:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[number]


def command(text: str, key: str) -> list[str]:
    """The words after ``accbo`` of a line of YAML."""
    (line,) = re.findall(rf"{key}: accbo (.*)", text)
    return shlex.split(line)


def test_the_workflow_is_green_and_its_badge_says_so(library: Path) -> None:
    ended = ran(library, "accbo.cli", *command(WORKFLOW, "run"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(
        r"^::notice title=optlib.accbo%3AImplementation conforms::", ended.stdout, re.M
    )
    document = json.loads((library / "badge.json").read_text(encoding="utf-8"))
    assert document["message"] == "conforms (set 2, fast)"
    assert document["schemaVersion"] == 1
    assert json.loads((library / "report.json").read_text(encoding="utf-8"))["conforms"]


def test_the_hook_is_red_on_a_mistake_and_names_it(library: Path) -> None:
    path = library / "optlib" / "accbo.py"
    right = path.read_text(encoding="utf-8")
    wrong = right.replace("a.momentum * (self.m - old)", "a.momentum * self.m")
    assert wrong != right
    path.write_text(wrong, encoding="utf-8")
    ended = ran(library, "accbo.cli", *command(HOOK, "entry"), "--annotate")
    assert ended.returncode == 1
    lines = [line for line in ended.stdout.splitlines() if line.startswith("::")]
    assert 1 < len(lines) <= 10
    assert all(line.startswith("::error ") for line in lines)
    assert "“no correction”" in lines[0] or "departs::" in lines[0]


def test_its_tests_pass_and_the_pages_show_them(library: Path) -> None:
    ended = ran(library, "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", ".")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"\d{2,} passed", ended.stdout)
    assert block("maintainer.md") == (EXAMPLE / "test_accbo.py").read_text(encoding="utf-8")
    ours = (EXAMPLE / "optlib" / "accbo.py").read_text(encoding="utf-8")
    shown = block("implementer.md").replace("import check, rows", "import rows")
    assert shown.replace("Mine", "Implementation") in ours


REPORT = {
    "implementation": "a/b.py:f",
    "verdict": "departs",
    "conforms": False,
    "cases": 2,
    "tier": "full",
    "counts": {"fail": 2, "pass": 1},
    "names": [["stale sample", "norm per block"]],
    "offending": [],
    "checks": [
        {"name": "one:1", "status": "fail", "message": "100 % off\nand more"},
        {"name": "two", "status": "pass", "message": ""},
        {"name": "three", "status": "could not run", "message": "m"},
    ],
}


def test_annotations_are_escaped_and_ten_at_most() -> None:
    assert annotated(REPORT).splitlines() == [
        "::error file=a/b.py,title=a/b.py%3Af departs::"
        "matches “stale sample” and “norm per block” (2 fail, 1 pass)",
        "::error file=a/b.py,title=one%3A1::100 %25 off%0Aand more",
        "::error file=a/b.py,title=three::m",
    ]
    many = {**REPORT, "checks": REPORT["checks"][:1] * 30}
    assert len(annotated(many).splitlines()) == 10


@pytest.mark.parametrize(
    ("verdict", "colour"),
    [("conforms", "brightgreen"), ("departs", "red"), ("could not run", "lightgrey")],
)
def test_only_a_verdict_that_conforms_is_green(verdict: str, colour: str) -> None:
    document = json.loads(badge({**REPORT, "verdict": verdict}))
    assert document["color"] == colour
    assert document["message"].startswith(verdict)
