"""What an import loads: untimed, because a second here and there is somebody's every start."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import accbo
import accbo.conformance

HEAVY = (
    "scipy",
    "tqdm",
    "jax",
    "torch",
    "msgspec",
    "jinja2",
    "matplotlib",
    "mpmath",
    "distributed",
)
SHOWN = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def modules_after(code: str) -> set[str]:
    """The modules of a fresh interpreter that ran ``code``."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{code}\n{SHOWN}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_the_package_alone_loads_not_even_numpy() -> None:
    loaded = modules_after("import accbo, accbo.conformance")
    assert loaded.isdisjoint({"numpy", *HEAVY})
    assert {name for name in loaded if name.split(".")[0] == "accbo"} == {
        "accbo",
        "accbo._late",
        "accbo.conformance",
    }


def test_a_run_needs_numpy_alone() -> None:
    loaded = modules_after("from accbo import *\nassert AccBO and run and problems.quadratic")
    assert "numpy" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_commands_load_no_scipy_before_they_use_it() -> None:
    assert modules_after("import accbo._exit; from accbo.conformance import commands").isdisjoint(
        {"scipy", "jax", "torch", "matplotlib"}
    )


def test_the_program_alone_loads_not_even_numpy() -> None:
    """``accbo --help`` and ``accbo --version`` answer at once."""
    code = (
        "import accbo.cli\n"
        "try:\n    accbo.cli.main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    assert modules_after(code).isdisjoint({"numpy", *HEAVY})


def test_a_start_of_pytest_without_our_option_loads_the_plugin_alone(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import json, pathlib, sys\n"
        "def pytest_sessionfinish(session):\n"
        "    assert session.config.getoption('--accbo-conform') == []\n"
        "    pathlib.Path('modules.json').write_text(json.dumps(sorted(sys.modules)))\n"
    )
    (tmp_path / "test_theirs.py").write_text("def test_one():\n    pass\n")
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "accbo.conformance.plugin"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    loaded = set(json.loads((tmp_path / "modules.json").read_text()))
    assert loaded.isdisjoint({"numpy", *HEAVY})
    assert {name for name in loaded if name.split(".")[0] == "accbo"} == {
        "accbo",
        "accbo._late",
        "accbo.conformance",
        "accbo.conformance.plugin",
    }


@pytest.mark.parametrize("package", [accbo, accbo.conformance])
def test_every_name_is_there_however_it_is_asked_for(package: object) -> None:
    name = package.__name__
    exports = importlib.import_module(f"{name}._exports")
    assert set(exports.__all__) <= set(dir(package))
    for public in exports.__all__:
        assert getattr(package, public) is getattr(exports, public)
    everything: dict[str, object] = {}
    exec(f"from {name} import *", everything)
    assert set(exports.__all__) <= set(everything)
    with pytest.raises(AttributeError, match=rf"module '{name}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import accbo.run",  # the module first
        "from accbo.run import NonFiniteError",
        "from accbo import run",
        "import accbo; accbo.auditing.audit",
        "import accbo; accbo.AccBO",
    ],
)
def test_a_function_stands_before_the_module_of_its_name(code: str) -> None:
    modules_after(
        f"{code}\nimport accbo, accbo.conformance\n"
        "assert callable(accbo.run) and accbo.run.__module__ == 'accbo.run'\n"
        "from accbo.conformance.check import select\n"
        "assert callable(accbo.conformance.check)\n"
        "assert accbo.conformance.verdict.judge.__name__ == 'accbo.conformance.verdict.judge'\n"
    )
