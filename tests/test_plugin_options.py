"""The plugin's options: which implementation, algorithm, set, tier; typed or from the ini file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from accbo.conformance import check, parametrize
from accbo.conformance.vectors.vector import SET, load
from tests.hand_written import factory

MINE = """
from tests.hand_written import factory

right, wrong = factory("SLIP", 0), factory("SLIP", 0, "sign")
for made in (right, wrong):
    del made.algorithm  # whose it is, is said outside
"""


def pytest_in(folder: Path, *options: str, ini: str = "") -> subprocess.CompletedProcess[str]:
    """A run of pytest on no tests but the plugin's."""
    (folder / "mine.py").write_text(MINE)
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "accbo.conformance.plugin", *options],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": _path()},
        capture_output=True,
        text=True,
    )


def _path() -> str:
    """With the clone, for ``tests``; the package is whichever is tested."""
    here = str(Path(__file__).parents[1])
    return os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), here)))


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The tests that typed options offer."""
    options = ("--accbo-conform", "mine.py:right", "--accbo-algorithm", "SLIP", "--accbo-fast")
    ended = pytest_in(tmp_path_factory.mktemp("typed"), "--co", *options, "--accbo-cases", str(SET))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return [line for line in ended.stdout.splitlines() if "::" in line]


def test_the_algorithm_and_the_set_choose_the_cases(listed: list[str]) -> None:
    wanted = [vector.id for vector in load(SET, "SLIP") if vector.fast]
    assert wanted
    for name in wanted:
        assert any(name in line for line in listed), name
    assert not any(vector.id in line for vector in load(SET)[:50] for line in listed)


def test_the_ini_file_says_the_same(listed: list[str], tmp_path: Path) -> None:
    keys = f"accbo_conform = mine.py:right\naccbo_algorithm = SLIP\naccbo_cases = {SET}"
    ended = pytest_in(tmp_path, "--co", ini=f"{keys}\naccbo_fast = true\naccbo_namespace = numpy")
    assert [line for line in ended.stdout.splitlines() if "::" in line] == listed


def test_what_is_typed_comes_before_the_ini_file(tmp_path: Path) -> None:
    keys = "accbo_conform = mine.py:wrong\naccbo_algorithm = SABA\naccbo_cases = 99"
    options = ("--accbo-algorithm", "SLIP", "--accbo-cases", str(SET), "--accbo-fast")
    ended = pytest_in(tmp_path, *options, ini=keys)
    assert ended.returncode == 1
    assert "failed" in ended.stdout  # the wrong one, judged as SLIP


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--accbo-cases", "99"], "set 99 of the cases is not known"),
        (["--accbo-cases", "newest"], "--accbo-cases must be the number of a set, got newest"),
        (["--accbo-cases", "0"], "--accbo-cases must be the number of a set, got 0"),
        (["--accbo-algorithm", "SLEP"], "did you mean SLIP?"),
        (["--accbo-limit-total", "nan"], "--accbo-limit-total must be seconds above 0, got nan"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    options: list[str], message: str, tmp_path: Path
) -> None:
    ended = pytest_in(tmp_path, "--accbo-conform", "mine.py:right", *options)
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in ended.stdout + ended.stderr


def test_every_option_is_shown_with_its_key(tmp_path: Path) -> None:
    shown = pytest_in(tmp_path, "--help").stdout
    for name in ("conform", "algorithm", "cases", "namespace", "fast", "limit-total"):
        assert f"--accbo-{name}" in shown
        assert f"accbo_{name.replace('-', '_')} (" in shown


def test_the_functions_take_a_set_and_an_algorithm_too() -> None:
    made = factory("SLIP", 0)
    del made.algorithm
    assert check(made, algorithm="SLIP", cases=1, fast=True).conforms
    mark = parametrize(made, algorithm="SLIP", cases=1, fast=True)
    names = [str(case.id) for case in mark.args[1]]
    assert all(any(v.id in name for name in names) for v in load(1, "SLIP") if v.fast)
    with pytest.raises(ValueError, match="set 99 of the cases is not known"):
        check(made, algorithm="SLIP", cases=99)
    with pytest.raises(ValueError, match="set 99 of the cases is not known"):
        parametrize(made, algorithm="SLIP", cases=99)
