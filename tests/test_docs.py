"""What the site shows runs: its Python as it stands, its commands as far as their options."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["implementer.md", "maintainer.md", "theorist.md", "should-i-use-it.md", "traces.md"]
MINE = "implementer.md"  # whose class the other pages' examples judge


def _blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _commands(page: str) -> list[list[str]]:
    """The commands of a page, in blocks and in backticks, that are this project's."""
    text = (DOCS / page).read_text(encoding="utf-8")
    lines = [line for block in _blocks(page, "sh") for line in block.splitlines()]
    lines += re.findall(r"`((?:accbo|python -m theory_checks) [^`]+)`", text)
    lines += re.findall(r"^    ((?:accbo|python -m theory_checks) .+)$", text, flags=re.MULTILINE)
    return [
        shlex.split(line, comments=True)
        for line in lines
        if line.startswith(("accbo ", "python -m theory_checks"))
    ]


def _implementation() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "mine"}
    exec(compile(_blocks(MINE, "python")[0], MINE, "exec"), names)
    return names


def test_the_implementers_example_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    names = _implementation()
    for block in _blocks(MINE, "python")[1:]:
        exec(compile(block, MINE, "exec"), names)
    assert capsys.readouterr().out == "0\n"


def test_the_example_departs_once_its_average_is_swapped() -> None:
    """The test above can fail: the page's class with one mistake in it."""
    from accbo.conformance import check

    source = _blocks(MINE, "python")[0]
    wrong = source.replace(
        "(1 - a.averaging) * self.average + a.averaging * y",
        "a.averaging * self.average + (1 - a.averaging) * y",
    )
    assert wrong != source
    names: dict[str, Any] = {"__name__": "mine"}
    exec(compile(wrong, MINE, "exec"), names)
    assert check(names["Mine"], fast=True, on_fail="return").exit_code == 1


def test_the_maintainers_test_file_passes(tmp_path: Path) -> None:
    package = tmp_path / "optlib"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "accbo.py").write_text(
        _blocks(MINE, "python")[0].replace("Mine", "Implementation"), encoding="utf-8"
    )
    (block,) = _blocks("maintainer.md", "python")
    (tmp_path / "test_accbo.py").write_text(block, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"\d{2,} passed", ended.stdout)


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_options_that_exist(page: str) -> None:
    from accbo.cli import _parser
    from theory_checks.options import parser

    found = _commands(page)
    assert found
    for words in found:
        if words[0] == "accbo":
            _parser().parse_args(words[1:])
        else:
            parser().parse_args(words[3:])
