"""The floors of ``pyproject.toml`` are the versions that ``tox -e oldest`` installs."""

from __future__ import annotations

import os
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
UNTRIED = {"torch", "cupy-cuda12x", "cupy-cuda13x"}  # CI has no device, and torch its own run
BESIDE = {"jaxlib"}  # of the same version as jax


def floors() -> dict[str, Version]:
    """Every requirement with its floor."""
    extras = PROJECT["optional-dependencies"].values()
    wanted = [*PROJECT["dependencies"], *(each for extra in extras for each in extra)]
    found = {}
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name != "accbo":
            (only,) = requirement.specifier  # one floor, and no ceiling that nobody tried
            assert only.operator == ">=", text
            found[requirement.name] = Version(only.version)
    return found


def pinned() -> dict[str, Version]:
    """What ``tox -e oldest`` installs."""
    lines = (ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name: Version(number) for name, number in pairs}


def test_every_floor_is_pinned_and_nothing_else() -> None:
    tried = {name: floor for name, floor in floors().items() if name not in UNTRIED}
    assert tried
    assert pinned() == {**tried, "jaxlib": tried["jax"]}
    assert floors().keys() >= UNTRIED
    assert set(pinned()) - set(tried) == BESIDE


def test_tox_and_ci_run_them() -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    section = re.search(r"\[testenv:oldest\](.*?)(\n\[|\Z)", tox, re.DOTALL)
    assert section is not None
    assert "PIP_CONSTRAINT = {tox_root}{/}tests{/}oldest.txt" in section[1]
    assert "ACCBO_OLDEST = 1" in section[1]


@pytest.mark.skipif("ACCBO_OLDEST" not in os.environ, reason="tox -e oldest sets ACCBO_OLDEST")
def test_the_oldest_run_has_the_oldest_versions() -> None:
    assert {name: Version(version(name)) for name in pinned()} == pinned()
