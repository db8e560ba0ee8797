"""The README's commands and example are what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np

from accbo.cli import parser_with

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_block_holds_two_complete_commands() -> None:
    (block,) = re.findall(r"^```\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)[:1]
    lines = block.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("python3 -m venv .venv && ") for line in lines)
    assert lines[0].endswith("-m theory_checks")
    assert lines[1].endswith("tox")


def test_the_example_runs_and_approaches_a_stationary_point(capsys) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    gradient = names["gradient"]
    assert isinstance(gradient, np.ndarray)
    assert gradient.shape == (20, 64, 2)
    size = np.mean(np.linalg.norm(gradient, axis=-1), axis=-1)
    assert size[-1] < size[0] / 2
    assert capsys.readouterr().out


def test_it_is_short_and_what_it_points_at_is_there() -> None:
    assert len(README.splitlines()) <= 135
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert "docs/figures/laws.svg" in targets
    for target in targets:
        assert target.startswith("https://arxiv.org/") or (ROOT / target).exists(), target


def test_every_command_has_options_that_exist() -> None:
    lines = re.findall(r"^(accbo [^#\n]+)#", README, flags=re.MULTILINE)
    lines += re.findall(r"`(accbo [^`]+)`", README)
    assert len(lines) > 8
    for line in lines:
        words = shlex.split(line)[1:]
        if words[-1] != "--help":
            parser_with(words[:1]).parse_args(words)
