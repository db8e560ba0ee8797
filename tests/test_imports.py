"""Imports only go down: a dozen folders in order, no circle anywhere, one door to two libraries."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "reference" / "accbo"
# from the bottom up: a file imports files of lower rows and, without a circle, of its own
ROWS = {
    "what needs nothing": "_arrays _ahead _late _law _printable _utf8 _limits _blame _foreign "
    "_exit _columns _extras _options _pieces* _figures* parameters rounding namespaces optax "
    "checkpoint",
    "a problem": "problem data data_commands",
    "parts of a step": "sampling lower hypergradient momentum saga spider upper",
    "what wraps a problem": "counting divergence run_checkpoint",
    "problems": "problems*",
    "algorithms": "algorithms*",
    "the loop": "validation schedules run",
    "relations": "relations*",
    "mistakes": "conformance.mistakes*",
    "methods": "conformance.methods conformance.adapter conformance.faults",
    "vectors": "conformance.vectors*",
    "running": "conformance.running*",
    "verdict": "conformance.verdict*",
    "the oracle": "conformance*",
    "tasks, audits, traces": "auditing* tasks* tracing* theory",
    "the package": "_exports cli _completion",
}
# a file of these imports none of its row
APART = ("parts of a step", "what wraps a problem")


def modules(folder: Path) -> dict[str, Path]:
    """The files below ``folder`` by dotted name, the package itself as ""."""
    names = {path: path.relative_to(folder).with_suffix("").parts for path in folder.rglob("*.py")}
    dotted = {".".join(parts).removesuffix("__init__").strip("."): p for p, parts in names.items()}
    return dict(sorted(dotted.items()))


MODULES = modules(PACKAGE)
ORDER = tuple(ROWS)


def row(module: str) -> str:
    """The row of a module; the package itself belongs to the last one."""
    fits = (name for name in ORDER if any(fnmatch(module, p) for p in ROWS[name].split()))
    return ORDER[-1] if module == "" else next(fits)


def imports(tree: ast.AST) -> Iterator[str]:
    """Everything imported anywhere, dotted; of ``from a import b`` both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def nearest(name: str, known: dict[str, Path]) -> str:
    """The module that an imported name is, or is in."""
    return name if name in known else name.rpartition(".")[0]


def below(target: str, module: str) -> bool:
    """Whether ``module`` may import ``target``."""
    if row(target) == row(module):
        return row(module) not in APART
    return target in MODULES and ORDER.index(row(target)) < ORDER.index(row(module))


def violations(module: str, source: str) -> list[str]:
    """What ``source``, as the file of ``module``, must not do."""
    tree, found = ast.parse(source), []
    for name in imports(tree):
        root, _, rest = name.partition(".")
        if root in ("", "reference", "theory_checks", "tests", "property_tests", "benchmarks"):
            found.append(f"imports {name}")
        elif root == "accbo" and not below(nearest(rest, MODULES), module):
            found.append(f"imports {name}, which is not below")
        elif root == "array_api_compat" and module != "_arrays":
            found.append("imports array_api_compat")
        elif name.startswith("numpy.random") and module != "sampling":
            found.append("imports numpy.random")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "random" and module != "sampling":
            found.append("touches a random module")
    return found


def graph(folder: Path, package: str) -> dict[str, set[str]]:
    """Which files of a package each of them imports."""
    known = modules(folder)
    found: dict[str, set[str]] = {}
    for module, path in known.items():
        here = module if path.name == "__init__.py" else module.rpartition(".")[0]
        found[module] = set()
        for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
            if name.startswith("."):
                dots = len(name) - len(name.lstrip("."))
                parts = here.split(".") if here else []
                inside = ".".join([*parts[: len(parts) - dots + 1], name.lstrip(".")])
            elif name.partition(".")[0] == package:
                inside = name.partition(".")[2]
            else:
                continue
            target = nearest(inside, known)
            if target in known and target not in ("", module):
                found[module].add(target)
    return found


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """A circle of imports, or nothing."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("module", MODULES)
def test_the_package_keeps_its_rows(module: str) -> None:
    assert violations(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("folder", "package"),
    [
        (PACKAGE, "accbo"),
        (ROOT / "theory_checks", "theory_checks"),
        (ROOT / "benchmarks", "benchmarks"),
        (ROOT / "tests", "tests"),
        (ROOT / "property_tests", "property_tests"),
    ],
)
def test_no_circle(folder: Path, package: str) -> None:
    arrows = graph(folder, package)
    assert sum(map(len, arrows.values())) > 3  # arrows were seen
    assert circle(arrows) == []


def test_a_circle_is_seen() -> None:
    arrows = graph(ROOT / "benchmarks", "benchmarks")
    assert "dimension_plan" in arrows["dimension_cost"]
    arrows["dimension_plan"] = {"dimension_cost"}  # as it once was
    assert set(circle(arrows)) == {"dimension_plan", "dimension_cost"}
    assert "statistics" in graph(ROOT / "theory_checks", "theory_checks")["rate"]  # relative ones


def test_the_checks_name_themselves_relatively() -> None:
    """They are ``theory_checks`` in the source tree and ``accbo._theory`` in a wheel."""
    paths = sorted((ROOT / "theory_checks").rglob("*.py"))
    assert len(paths) > 30
    for path in paths:
        names = imports(ast.parse(path.read_text(encoding="utf-8")))
        assert [name for name in names if name.split(".")[0] == "theory_checks"] == [], path


def test_every_row_has_a_file() -> None:
    assert {row(module) for module in MODULES} == set(ORDER)
    for pattern in " ".join(ROWS.values()).split():
        assert any(fnmatch(module, pattern) for module in MODULES), pattern


@pytest.mark.parametrize(
    "folder", ["reference", "theory_checks", "tests", "property_tests", "benchmarks"]
)
def test_nothing_imports_the_source_folder(folder: str) -> None:
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths  # not an empty folder, in which nothing could be wrong
    for path in paths:
        names = imports(ast.parse(path.read_text(encoding="utf-8")))
        assert [name for name in names if name.split(".")[0] == "reference"] == [], path


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("problem", "import accbo.sampling"),
        ("lower", "from accbo.upper import gradient_step"),
        ("algorithms.accbo", "from accbo import run"),
        ("run", "from accbo import move"),
        ("run", "def late():\n    from accbo.conformance import faults"),
        ("run", "from . import validation"),
        ("run", "import reference.accbo"),
        ("run", "from theory_checks import rate"),
        ("run", "import array_api_compat.numpy"),
        ("run", "import numpy as np\nnp.random.default_rng()"),
        ("problems.quadratic", "from numpy.random import default_rng"),
        ("conformance.mistakes.series", "from accbo.conformance.vectors.vector import Vector"),
        ("conformance.vectors.lint", "from accbo.conformance.running.observation import departs"),
        ("conformance.vectors.lint", "from accbo.conformance.verdict import judge"),
        ("conformance.methods", "from accbo.conformance.vectors import vector"),
    ],
)
def test_a_violation_is_seen(module: str, source: str) -> None:
    assert violations(module, source) != []
