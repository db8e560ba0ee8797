"""What a test leaves behind is seen and named."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.leaks import left, state


def imported(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setitem(sys.modules, "helper_of_a_target", types.ModuleType("helper_of_a_target"))


def imported_from_a_file(patch: pytest.MonkeyPatch, folder: Path) -> None:
    module = types.ModuleType("another_helper")
    module.__file__ = str(folder / "another_helper.py")
    patch.setitem(sys.modules, "another_helper", module)


class Anything:
    """As that which once stood in ``sys.modules``, where hypothesis stumbled over it."""

    def __getattr__(self, name: str) -> object:
        return object()


def anything(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setitem(sys.modules, "with_every_attribute", Anything())


def digits(patch: pytest.MonkeyPatch, _: Path) -> None:
    patch.setattr(pytest.importorskip("mpmath").mp, "dps", 60)


CASES: dict[str, tuple[Callable[[pytest.MonkeyPatch, Path], object], str]] = {
    "a module": (imported, "helper_of_a_target"),
    "a module of a file": (imported_from_a_file, "another_helper"),
    "a module that is none": (anything, "with_every_attribute"),
    "a folder to search": (lambda patch, folder: patch.syspath_prepend(folder), "sys.path"),
    "a variable": (lambda patch, _: patch.setenv("LEFT", "1"), "LEFT was None, is '1'"),
    "a variable less": (lambda patch, _: patch.delenv("PATH"), "PATH was"),
    "a folder to be in": (lambda patch, folder: patch.chdir(folder), "the current folder"),
    "digits": (digits, "mpmath's digits"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_seen(name: str, tmp_path: Path) -> None:
    change, expected = CASES[name]
    before = state()
    with pytest.MonkeyPatch.context() as patch:
        change(patch, tmp_path)
        (found,) = left(before, state())
    assert expected in found
    assert left(before, state()) == []


def test_an_error_state_is_seen() -> None:
    before = state()
    with np.errstate(over="ignore" if np.geterr()["over"] != "ignore" else "warn"):
        (found,) = left(before, state())
    assert found.startswith("NumPy's error state: over was")


def test_what_is_installed_is_not_counted() -> None:
    before = state()
    import jsonschema  # noqa: F401

    os.environ["PYTEST_OF_ITS_OWN"] = "1"
    try:
        assert left(before, state()) == []
    finally:
        del os.environ["PYTEST_OF_ITS_OWN"]
