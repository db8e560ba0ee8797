"""Whatever is advised to install can be installed: from a clone or a wheel, by name, today."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from accbo import _extras

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SOURCES = [
    path
    for folder in ("reference", "theory_checks", "benchmarks", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "reference/**/*.md", "examples/**/*")
    for path in sorted(ROOT.glob(pattern))
    if path.is_file() and path.suffix in (".md", ".yml", ".yaml", ".toml", ".cfg")
]


def packages(extra: str) -> list[str]:
    """What an extra asks for, those of the extras within it included."""
    found = []
    for each in EXTRAS[extra]:
        inner = re.fullmatch(r"accbo\[(.+)\]", each)
        found += [p for name in inner[1].split(",") for p in packages(name)] if inner else [each]
    return found


def literals(path: Path) -> Iterator[str]:
    """The text of every string of a file, f-strings' fixed parts included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def advised_extras(path: Path) -> Iterator[str]:
    """The names that ``install`` is called with in a file, as far as they stand there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "install"
        if called and isinstance(node.args[0], ast.Constant):
            yield node.args[0].value


def test_no_program_writes_the_command_itself() -> None:
    writers = {path.name for path in SOURCES for text in literals(path) if "pip install" in text}
    assert writers == {"_extras.py"}


def test_every_extra_that_a_message_names_exists() -> None:
    named = {extra for path in SOURCES for extra in advised_extras(path)}
    assert named >= {"report", "vectors", "prove", "dask", "mparray", "completion"}
    assert named - {"cupy"} <= set(EXTRAS)
    assert {"cupy12", "cupy13", "jax", "torch", "strict", "mparray"} <= set(EXTRAS)


def test_pages_install_from_where_they_are() -> None:
    """Extras by name out of a clone, and no project of our name out of a registry."""
    lines = [
        line
        for path in PAGES
        for line in path.read_text(encoding="utf-8").splitlines()
        if "pip install" in line
    ]
    assert len(lines) >= 5
    for line in lines:
        assert not re.search(r"pip install [^`]*(?<![./\w-])accbo(?![-./\w])", line), line
        for extras in re.findall(r"\.\[([\w,]+)\]|\.whl\[([\w,]+)\]", line):
            assert set("".join(extras).split(",")) <= set(EXTRAS), line


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_command_names_the_packages_of_the_extra(extra: str) -> None:
    """As the metadata of a wheel lists them, where extras within extras are written out."""
    lines = [f"{package}; extra == '{extra}'" for package in packages(extra)]
    lines += ["numpy>=2.1", "other>=1; extra == 'another'", "more; extra == 'x' or extra == 'y'"]
    given = _extras.command(extra, lines)
    words = given.removeprefix("pip install ")
    assert re.findall("'([^']+)'", words) == packages(extra)


def test_the_installed_package_knows_its_extras() -> None:
    assert re.fullmatch(r"pip install '[Mm]sgspec>=[\d.]+'", _extras.install("vectors"))
    assert re.fullmatch(
        r"pip install '([\w-]+cuda13x)\S+', or pip install '([\w-]+cuda12x)\S+' where .*12",
        _extras.install("cupy"),
    )
    assert _extras.for_module("torch.nn").startswith("; pip install 'torch>=")
    assert _extras.for_module("numpy") == _extras.for_module(None) == ""
    assert _extras.command("none", []) == "pip install '.[none]' in the source tree"


OPTIONAL = ("distributed", "flint", "jax", "jinja2", "matplotlib", "mparray", "msgspec", "shtab")
WITHOUT = f"""
import contextlib, io, json, sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *more):
        gone = name.partition(".")[0] in {(*OPTIONAL, "torch")}
        return None if gone else self.finder.find_spec(name, *more)
sys.meta_path[:] = map(Without, sys.meta_path)
from accbo.cli import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(words.split())
    print(json.dumps([code, err.getvalue()]))
"""
LACKING = {  # what each command says that it needs, in an installation without any extra
    "vectors lint": "python-flint",
    "vectors verify a.json": "msgspec",
    "vectors prove": "msgspec",
    "vectors generate --folder .": "msgspec",
    "run hyper-cleaning --report .": "matplotlib",
    "theory --report .": "jinja2",
    "theory --backend torch": "torch",
    "theory --check neumann_bias --dask local": "distributed",
    "conform user.py:with_torch": "torch",
    "conform user.py:plain --namespace jax": "jax",
    "audit user.py:plain --namespace mparray": "mparray",
    "complete bash": "shtab",
}


def test_each_command_without_its_package_names_it(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("def plain(*a):\n    pass\n", encoding="utf-8")
    (tmp_path / "with_torch.py").write_text("import torch\n", encoding="utf-8")
    commands = [re.sub(r"user\.py:(\w+)", r"\1.py:\1", words) for words in LACKING]
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, json.dumps(commands)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]
    assert len(lines) == len(LACKING)
    for (code, text), (words, package) in zip(lines, LACKING.items(), strict=True):
        assert code == 2, (words, text)
        stale = "complete" in words and "pip install '.[completion]' in the source tree" in text
        assert stale or re.search(rf"pip install .*'{package}[\[>=]", text), (words, text)
        assert len(text.splitlines()) == 1, (words, text)
