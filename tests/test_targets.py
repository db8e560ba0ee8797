"""A target has a module space of its own: what stands beside one file is not another's."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accbo.conformance.check import check_one, select
from accbo.conformance.running.observe import Runner
from accbo.conformance.running.target import TargetError, load_target, space_of
from accbo.conformance.verdict.report import FAIL, PASS
from theory_checks.harness import Settings, spaces

ROOT = Path(__file__).parents[1]
IMPL = """
from core import STEP

class Impl:
    def __init__(self, problem, algorithm, state):
        self.problem, self.algorithm, self.now = problem, algorithm, state
    def step(self, sample):
        import late  # not before it is needed
        self.now = STEP(self.algorithm, self.problem, self.now, sample)
        self.now = self.now._replace(x=self.now.x + late.ERROR)
    def state(self):
        return self.now._asdict()
    @classmethod
    def start(cls, problem, algorithm, x, y, start):
        made = cls(problem, algorithm, None)
        made.now = algorithm.init(problem, x, y, start)
        return made
"""
CORE = """
def STEP(algorithm, problem, state, sample):
    after = algorithm.step(problem, state, sample)
    return after._replace(y=after.y + {error})
"""


@pytest.fixture
def monorepo(tmp_path: Path) -> Path:
    """``a`` and ``c`` are right; ``b`` has its mistake in its helper, ``c`` beside it one later."""
    for name, early, late in (("a", 0.0, 0.0), ("b", 0.5, 0.0), ("c", 0.0, 0.5)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "impl.py").write_text(IMPL)
        (folder / "core.py").write_text(CORE.format(error=early))
        (folder / "late.py").write_text(f"ERROR = {late}")
    (tmp_path / "test_own.py").write_text("def test_two(): assert 1 + 1 == 2")
    return tmp_path


CODES = {"a": 0, "b": 1, "c": 1}


def code(factory: Any) -> int:
    """1 where a single step departs: a helper that is not its own shows at once."""
    vector = next(each for each in select(fast=True) if each.kind == "step")
    (found,) = (check_one(seen) for seen in Runner(factory, "numpy").observe(vector))
    assert found.status in (PASS, FAIL), found.message
    return int(found.status == FAIL)


@pytest.mark.parametrize("order", ["ab", "ba", "acb", "ca"])
def test_each_target_has_its_own_helper(order: str, monorepo: Path) -> None:
    path, modules = list(sys.path), set(sys.modules)
    factories = {name: load_target(str(monorepo / name / "impl.py:Impl")) for name in order}
    for name, factory in factories.items():
        assert code(factory) == CODES[name], name
    assert sys.path == path
    assert not {"core", "late", "impl"} & (set(sys.modules) - modules)  # nothing is left behind


def test_a_module_of_the_tests_own_is_not_in_the_way(
    monorepo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, whoever had imported a ``core`` first had given his."""
    monkeypatch.syspath_prepend(str(monorepo / "a"))
    import core  # type: ignore[import-not-found]

    try:
        factory = load_target(str(monorepo / "b" / "impl.py:Impl"))
        assert code(factory) == 1
        assert sys.modules["core"] is core
    finally:
        del sys.modules["core"]


@pytest.mark.parametrize(
    ("order", "more"),
    [("ab", []), ("ba", []), ("ab", ["-n", "2"]), ("ba", ["-n", "2"])],
    ids=["ab", "ba", "ab-n2", "ba-n2"],
)
def test_pytest_judges_the_right_file(order: str, more: list[str], monorepo: Path) -> None:
    """The case of the review, with the cases of one problem alone."""
    if more:
        pytest.importorskip("xdist")
    targets = [part for name in order for part in ("--accbo-conform", f"{name}/impl.py:Impl")]
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *more, *targets]
    here = [str(ROOT), str(ROOT / "reference"), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(here)}
    done = subprocess.run(
        [*line, "--accbo-fast", "-k", "gamma", "test_own.py"],
        cwd=monorepo,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    words = done.stdout.splitlines()[-1].split()
    counts = {words[i + 1].strip(","): int(words[i]) for i in range(0, 3, 2)}
    assert counts["failed"] >= 2
    assert counts["failed"] == counts["passed"]  # all of b's and none of a's


def test_two_faults_of_one_run_have_their_own(monorepo: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        (monorepo / name / "fault.py").write_text(
            "import dataclasses\ndef apply(algorithm):\n    import late\n"
            "    return dataclasses.replace(algorithm, neumann_terms=late.TERMS)\n"
        )
        (monorepo / name / "late.py").write_text(f"TERMS = {value}")
    settings = Settings(fault=str(monorepo / "a" / "fault.py:apply"))
    other = dataclasses.replace(settings, fault=str(monorepo / "b" / "fault.py:apply"))
    algorithm = select(fast=True)[0].algorithm
    for chosen, value in ((settings, 1), (other, 2), (settings, 1)):
        with spaces(chosen):
            assert chosen.apply_fault(algorithm).neumann_terms == value


def test_a_relative_import_says_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "optlib"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "core.py").write_text("class X: pass")
    (package / "accbo.py").write_text("from .core import X")
    (package / "other.py").write_text("from optlib.core import X")
    with pytest.raises(TargetError, match=r"use optlib\.accbo:X in the folder .*on PYTHONPATH"):
        load_target(str(package / "accbo.py:X"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", ".")])
    with pytest.raises(TargetError, match=r"part of a package: use optlib\.accbo:X$"):
        load_target("optlib/accbo.py:X")
    with pytest.raises(TargetError, match=r"No module named 'optlib'.*; use optlib\.other:X"):
        load_target("optlib/other.py:X")
    try:
        assert load_target("optlib.accbo:X").__name__ == "X"
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "optlib"]:
            del sys.modules[name]


@pytest.mark.parametrize("name", ["accbo", "numpy", "json", "not-a-name"])
def test_a_file_may_have_the_name_of_a_library(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.py"
    path.write_text(
        "import dataclasses, json\n"
        "from accbo.conformance import rows\n"
        "import numpy as np\n"
        "@dataclasses.dataclass\n"
        "class X:\n"
        "    size: 'int' = len(np.zeros(3))\n"
    )
    held = sys.modules.get(name)
    found = load_target(f"{path}:X")
    with space_of(found)():
        assert found().size == 3
    assert sys.modules.get(name) is held


def test_a_file_runs_once_as_long_as_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "counted.py"
    path.write_text("class X: pass")
    assert load_target(f"{path}:X") is load_target(f"{path}:X")
    path.write_text("class X: changed = True")
    assert load_target(f"{path}:X").changed


def test_a_module_that_has_every_attribute_disturbs_nothing(tmp_path: Path) -> None:
    """``torch.classes`` is one; a file that imports it first could not be loaded."""
    (tmp_path / "library_of_all.py").write_text(
        "import sys, types\n"
        "class All(types.ModuleType):\n"
        "    def __getattr__(self, name):\n"
        "        return object()\n"
        "sys.modules['library_of_all.classes'] = All('library_of_all.classes')\n"
    )
    path = tmp_path / "mine.py"
    path.write_text("import library_of_all\nclass X: pass\n")
    try:
        assert load_target(f"{path}:X").__name__ == "X"
    finally:
        for name in [name for name in sys.modules if name.startswith("library_of_all")]:
            del sys.modules[name]  # monkeypatch would put it back, where every library finds it
