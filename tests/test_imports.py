"""A file imports only files of lower levels; two libraries have one door each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "reference" / "accbo"
LEVELS = (  # the first pattern that fits counts; files of one level do not import each other
    ("_late", 0),
    ("_law", 0),
    ("_arrays", 0),
    ("_ahead", 0),
    ("_printable", 0),
    ("_limits", 0),
    ("_blame", 1),
    ("_foreign", 2),
    ("_exit", 3),
    ("_columns", 0),
    ("_extras", 0),
    ("_figures", 0),
    ("_figures.panel", 1),
    ("_figures.draw", 2),
    ("_figures.files", 3),
    ("_figures.page", 4),
    ("theory", 8),
    ("_options", 0),
    ("parameters", 0),
    ("_pieces", 0),
    ("_pieces.lock", 0),
    ("_pieces.versions", 0),
    ("_pieces.workers", 1),
    ("_pieces.files", 1),
    ("_pieces.described", 1),
    ("_pieces.kept", 3),
    ("_pieces.engine", 4),
    ("rounding", 0),
    ("data", 2),
    ("data_commands", 4),
    ("problem", 1),
    ("problems._noise", 2),
    ("problems._logcosh", 2),
    ("problems._gather", 2),
    ("problems._softmax", 2),
    ("problems._implicit", 2),
    ("problems._form", 2),
    ("problems._torch_ways", 2),
    ("problems._torch_modules", 2),
    ("sampling", 2),
    ("checkpoint", 2),
    ("run_checkpoint", 3),
    ("lower", 2),
    ("hypergradient", 2),
    ("momentum", 2),
    ("saga", 2),
    ("spider", 2),
    ("upper", 2),
    ("counting", 3),
    ("divergence", 3),
    ("optax", 0),
    ("problems._lower", 3),
    ("problems", 6),
    ("problems.from_objectives", 3),
    ("problems.hyper_cleaning", 5),  # they take the logistic loss from finite_sum
    ("problems.hyperparameters", 5),
    ("problems.meta_learning", 5),
    ("problems.from_jax", 5),
    ("problems.from_torch", 5),
    ("problems.*", 4),
    ("algorithms", 5),
    ("algorithms._layouts", 3),
    ("algorithms.*", 4),
    ("schedules", 6),
    ("validation", 5),
    ("run", 6),
    ("conformance.ci", 0),
    ("conformance.digits", 0),
    ("conformance.target", 3),
    ("conformance.namespaces", 3),
    ("conformance.wrappers", 2),
    ("conformance.lines", 0),
    ("conformance.mistakes", 0),
    ("conformance.mistakes.places", 0),
    ("conformance.mistakes.mistake", 0),
    ("conformance.mistakes.changes", 3),
    ("conformance.mistakes.momentum", 4),
    ("conformance.mistakes.differences", 4),
    ("conformance.mistakes.tables", 4),
    ("conformance.mistakes.numerics", 4),
    ("conformance.mistakes.sizes", 4),
    ("conformance.mistakes.implicit", 4),
    ("conformance.mistakes.averaging", 6),
    ("conformance.mistakes.derivatives", 6),
    ("conformance.mistakes.projections", 6),
    ("conformance.mistakes.catalogue", 7),
    ("conformance.mistakes.*", 5),
    ("conformance.cases", 7),
    ("conformance.vector", 7),
    ("conformance.sample_relations", 8),
    ("conformance.relations", 9),
    ("conformance.records", 8),
    ("conformance.faults", 9),
    ("conformance.adapter", 8),
    ("conformance.replay", 8),
    ("conformance.methods", 8),
    ("conformance.method_groups", 10),
    ("conformance.observation", 9),
    ("conformance.proof", 0),
    ("conformance.proof.balls", 1),
    ("conformance.proof.lists", 0),
    ("conformance.proof.roundings", 2),
    ("conformance.proof.problems", 2),
    ("conformance.proof.parts", 3),
    ("conformance.proof.accbo", 4),
    ("conformance.proof.others", 4),
    ("conformance.proof.replay", 5),
    ("conformance.proof.prove", 6),
    ("conformance.proof.commands", 11),
    ("conformance.group", 8),
    ("conformance.reach", 9),
    ("conformance.groups", 10),
    ("conformance.known", 9),
    ("conformance.observe", 10),
    ("conformance.locate", 10),
    ("conformance.rules", 11),
    ("conformance.fitted", 10),
    ("conformance.diagnosis", 12),
    ("conformance.generate", 10),
    ("conformance.files", 10),
    ("conformance.build", 11),
    ("conformance.lint", 12),
    ("conformance.reflag", 12),
    ("conformance.report", 13),
    ("conformance.explain", 11),
    ("conformance.judge", 14),
    ("conformance.check", 15),
    ("conformance.vector_commands", 15),
    ("conformance.commands", 16),
    ("conformance._exports", 16),
    ("conformance", 17),
    ("conformance.plugin", 16),
    ("tasks.task", 3),
    ("tasks.blocks", 2),
    ("tasks.methods", 6),
    ("tasks.trial", 7),
    ("tasks.cleaning", 6),
    ("tasks.few_shots", 6),
    ("tasks.penalties", 6),
    ("tasks.sentiment", 6),
    ("tasks.own", 7),
    ("tasks.registry", 8),
    ("tasks.sweep", 9),
    ("tasks.summary", 10),
    ("tasks.pictures", 11),
    ("tasks.commands", 12),
    ("tasks.own_commands", 13),
    ("tasks", 14),
    ("auditing.finding", 0),
    ("auditing.oracle", 3),
    ("auditing.contract", 4),
    ("auditing.derivatives", 4),
    ("auditing.growth", 4),
    ("auditing.kinks", 4),
    ("auditing.moments", 4),
    ("auditing.spectra", 4),
    ("auditing.lowest", 5),
    ("auditing.smoothness", 5),
    ("auditing.curvature", 6),
    ("auditing.influence", 7),
    ("auditing.starting", 7),
    ("auditing.report", 7),
    ("auditing.core", 8),
    ("auditing", 9),
    ("auditing.commands", 16),
    ("tracing.directions", 1),
    ("tracing.layout", 0),
    ("tracing.schema", 1),
    ("tracing.projection", 2),
    ("tracing.checksum", 3),
    ("tracing.recorder", 4),
    ("tracing.reader", 5),
    ("tracing.rows", 6),
    ("tracing.parts", 7),
    ("tracing.fit", 7),
    ("tracing.methods", 0),
    ("tracing.methods.group", 8),
    ("tracing.methods.upper", 9),
    ("tracing.methods.shared", 9),
    ("tracing.methods.table", 11),
    ("tracing.methods.*", 10),
    ("tracing.verify", 12),
    ("tracing.traced", 6),
    ("tracing.names", 10),
    ("tracing.report", 13),
    ("tracing.commands", 14),
    ("tracing", 13),
    ("cli", 20),
    ("_completion", 21),
    ("_exports", 18),
    ("", 19),
)
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").strip("."): (
        path
    )
    for path in sorted(PACKAGE.rglob("*.py"))
}


def level(module: str) -> int:
    return next(number for pattern, number in LEVELS if fnmatch(module, pattern))


def imports(tree: ast.AST) -> Iterator[str]:
    """Everything imported anywhere, dotted; of ``from a import b`` both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """What ``source``, as the file of ``module``, must not do."""
    tree, found = ast.parse(source), []
    for name in imports(tree):
        root, _, rest = name.partition(".")
        if root in ("", "reference", "theory_checks", "tests", "property_tests", "benchmarks"):
            found.append(f"imports {name}")
        elif root == "accbo":
            target = rest if rest in MODULES else rest.rpartition(".")[0]
            if target not in MODULES or level(target) >= level(module):
                found.append(f"imports {name}, which is not below")
        elif root == "array_api_compat" and module != "_arrays":
            found.append("imports array_api_compat")
        elif name.startswith("numpy.random") and module != "sampling":
            found.append("imports numpy.random")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "random" and module != "sampling":
            found.append("touches a random module")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_the_package_keeps_its_levels(module: str) -> None:
    assert violations(module, MODULES[module].read_text(encoding="utf-8")) == []


def test_the_checks_name_themselves_relatively() -> None:
    """They are ``theory_checks`` in the source tree and ``accbo._theory`` in a wheel."""
    paths = sorted((ROOT / "theory_checks").rglob("*.py"))
    assert len(paths) > 30
    for path in paths:
        names = imports(ast.parse(path.read_text(encoding="utf-8")))
        assert [name for name in names if name.split(".")[0] == "theory_checks"] == [], path


def test_every_level_has_a_file() -> None:
    assert {level(module) for module in MODULES} == set(range(22))
    for pattern, _ in LEVELS:
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
        ("problems.quadratic", "from accbo.problems.nonquadratic import NonQuadratic"),
    ],
)
def test_a_violation_is_seen(module: str, source: str) -> None:
    assert violations(module, source) != []
