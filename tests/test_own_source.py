"""Kept work belongs to the source of the user's own code, and is refused once that was edited."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from accbo.conformance.running import target
from accbo.conformance.running.target import source_of
from accbo.tasks.own import OWN
from accbo.tasks.sweep import Plan
from theory_checks import __main__ as command
from theory_checks import neumann_bias

TARGET = "import beside\n\ndef fault(algorithm):\n    return beside.changed(algorithm)\n"
BESIDE = "def changed(algorithm):\n    return algorithm\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(TARGET)
    (tmp_path / "beside.py").write_text(BESIDE)
    monkeypatch.setitem(neumann_bias.DRAWS, "quick", 2_000)
    monkeypatch.setattr(neumann_bias, "GROUP", 1_000)
    return tmp_path


def run(*more: str) -> int:
    arguments = ["--check", "neumann_bias", "--fault", "own.py:fault", "--jobs", "1"]
    return command.main([*arguments, *more])


def edit(path: Path, text: str) -> None:
    """Write it, at another time than before, as a user does."""
    path.write_text(text)
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))


def again(folder: Path) -> None:
    """As in another process: the target is imported once more, with what it imports."""
    state = (folder / "own.py").stat()
    os.utime(folder / "own.py", ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))


@pytest.mark.parametrize("name", ["own.py", "beside.py"])
def test_an_edited_file_is_refused(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--keep", "kept") == 0
    again(folder)
    assert run("--keep", "kept", "--resume") == 0  # the same content at another time
    edit(folder / name, (folder / name).read_text() + "\n\nMORE = 1\n")
    again(folder)
    capsys.readouterr()
    assert run("--keep", "kept", "--resume") == 2
    error = capsys.readouterr().err
    assert "belongs to other settings: sources was {'own.py:fault': " in error
    assert error.count("\n") == 1


def test_of_the_own_folder_alone_and_with_names(folder: Path) -> None:
    first = source_of("own.py:fault")
    edit(folder / "stranger.py", "x = 1\n")
    again(folder)
    assert source_of("own.py:fault") == first
    (folder / "beside.py").rename(folder / "aside.py")
    edit(folder / "own.py", TARGET.replace("import beside", "import aside as beside"))
    assert source_of("own.py:fault") != first


def test_a_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    package = folder / "package_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "own.py").write_text(TARGET.replace("import beside", "from . import beside"))
    found = []
    for more in ("", "\n\nMORE = 1\n"):
        edit(package / "beside.py", BESIDE + more)
        found.append(source_of("package_of_mine.own:fault"))
        for name in [name for name in sys.modules if name.startswith("package_of_mine")]:
            del sys.modules[name]
        target._source_of_module.cache_clear()
    assert found[0] != found[1]


def test_a_task_of_ones_own_is_another_with_another_file_beside(folder: Path) -> None:
    def digest() -> str:
        again(folder)
        return Plan("own.py:fault", ("SLIP",), 400, 1, OWN).digest

    first = digest()
    assert digest() == first
    edit(folder / "beside.py", BESIDE + "\n\nMORE = 1\n")
    assert digest() != first
