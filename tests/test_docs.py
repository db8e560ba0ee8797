"""What the site shows runs: its Python as it stands, its commands as far as their options."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    "implementer.md",
    "maintainer.md",
    "theorist.md",
    "should-i-use-it.md",
    "laws.md",
    "traces.md",
    "faq.md",
    "notebooks/theorist.md",
    "notebooks/maintainer.md",
]
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.md"))
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


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_options_that_exist(page: str) -> None:
    from accbo.cli import parser_with
    from theory_checks.options import parser

    found = _commands(page)
    assert found
    for words in found:
        if words[0] == "accbo":
            parser_with(words[1:2]).parse_args(words[1:])
        else:
            parser().parse_args(words[3:])


@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_a_notebook_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # a target of this folder is imported by name
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in _blocks(f"notebooks/{page.name}", "python"):
        exec(compile(block, str(page), "exec"), names)
    assert capsys.readouterr().out


def test_there_is_a_notebook_for_each_reader_and_jupyter_can_open_it() -> None:
    assert [page.stem for page in NOTEBOOKS] == ["implementer", "maintainer", "theorist"]
    names: dict[str, Any] = {"__name__": "notebook"}
    exec((DOCS / "notebook.py").read_text(encoding="utf-8"), names)
    for page in NOTEBOOKS:
        made = json.loads(json.dumps(names["notebook"](page.read_text(encoding="utf-8"))))
        code = ["".join(c["source"]) for c in made["cells"] if c["cell_type"] == "code"]
        assert code == [b.strip("\n") for b in _blocks(f"notebooks/{page.name}", "python")]
        assert made["nbformat"] == 4
        assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
        assert all(("outputs" in c) == (c["cell_type"] == "code") for c in made["cells"])


def test_the_gallery_has_every_law_and_every_picture_words() -> None:
    from theory_checks.registry import CHECKS

    text = (DOCS / "laws.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[([^]]+)\]\((figures/([a-z_]+)-[^)]+)\)", text)
    assert {check for _, _, check in pictures} == set(CHECKS)
    for words, path, _ in pictures:
        assert len(words) > 30
        assert "<text" in (DOCS / path).read_text(encoding="utf-8"), path
    for name in CHECKS:
        assert f"`accbo theory --check {name}`" in text
    ignored = (DOCS / "figures" / ".gitignore").read_text(encoding="utf-8")
    kept = set(re.findall(r"^!(.+\.svg)$", ignored, flags=re.MULTILINE))
    together = {"laws.svg", "laws-narrow.svg"}
    assert kept == {path.rpartition("/")[2] for _, path, _ in pictures} | together
