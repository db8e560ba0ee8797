"""``python -m tests.mutants``: edits of the algorithms, and the test that kills each of them.

Every edit of ``tests/mutations.py`` is made in a copy of the tree, where tests run until one
fails: first the killer that ``tests/mutants.json`` names, then the files that belong to the
edited one, the cheapest first. ``--record`` writes what was found. Exit code 1 where an edit
survives all of them and the table gives no reason.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.mutations import EQUIVALENT, MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[1]
RECORD = Path(__file__).with_suffix(".json")
FOLDERS = ("reference", "theory_checks", "tests", "property_tests", "examples")
# what an edit of a part may break, where the package does not say it itself
PROPERTIES = ("property_tests/test_own_path.py", "property_tests/test_laws.py")
RELATIONS = ("property_tests/test_relations.py", "-k", "numpy or scaling")
LIMIT = 600.0  # seconds that one edit may take: an endless loop is a failure, not a verdict


def copied(folder: Path) -> None:
    """The tree in ``folder``, without what is not needed to run tests."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def changed(source: str, mutation: Mutation) -> str:
    """``source`` with the edit; raises ``ValueError`` unless its place is found exactly once."""
    if source.count(mutation.old) != 1:
        raise ValueError(
            f"{mutation.name}: {mutation.file} has {source.count(mutation.old)} places "
            f"like {mutation.old!r}, one was expected"
        )
    return source.replace(mutation.old, mutation.new)


def attempts(mutation: Mutation, killer: str | None) -> list[tuple[str, ...]]:
    """What is run, in this order; each is a list of arguments of pytest."""
    known = [(killer,)] if killer and "::" in killer else []
    files = [(name,) for name in mutation.tests]
    if mutation.part:
        files = [(name,) for name in PROPERTIES] + files + [RELATIONS]
    return known + files


def failed(folder: Path, arguments: Sequence[str]) -> str | None:
    """The first test that fails in ``folder``, or None."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:xdist", *arguments]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder / 'reference'}{os.pathsep}{folder}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "mutants",
    }
    found = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT
    )
    if found.returncode == 0:
        return None
    if found.returncode == 4 and "::" in arguments[0]:  # the killer of the record is no more
        return None
    line = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", found.stdout, re.MULTILINE)
    if found.returncode not in (1, 2) or line is None:
        raise RuntimeError(f"pytest {' '.join(arguments)}:\n{found.stdout}{found.stderr}")
    return line[1]


def killer_of(folder: Path, mutation: Mutation, known: str | None) -> str | None:
    """The test that kills the edit, which is undone again."""
    path = folder / mutation.file
    right = path.read_text(encoding="utf-8")
    path.write_text(changed(right, mutation), encoding="utf-8")
    try:
        for arguments in attempts(mutation, known):
            if killer := failed(folder, arguments):
                return killer
        return None
    finally:
        path.write_text(right, encoding="utf-8")


def recorded() -> dict[str, dict[str, Any]]:
    """The table as it stands."""
    if not RECORD.exists():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def row(mutation: Mutation, killer: str | None) -> dict[str, Any]:
    """An entry of the table."""
    found = {"file": mutation.file, "old": mutation.old, "new": mutation.new, "killer": killer}
    if killer is None:
        found["reason"] = EQUIVALENT.get(mutation.name)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", 1)[0])
    parser.add_argument("names", nargs="*", help="edits by name, all without one")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {mutation.name for mutation in MUTATIONS}
    if unknown:
        parser.error(f"unknown edits: {', '.join(sorted(unknown))}")
    table, survivors = recorded(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        for mutation in MUTATIONS:
            if options.names and mutation.name not in options.names:
                continue
            start = time.perf_counter()
            known = table.get(mutation.name, {}).get("killer")
            table[mutation.name] = row(mutation, killer_of(folder, mutation, known))
            killer = table[mutation.name]["killer"]
            if killer is None and mutation.name not in EQUIVALENT:
                survivors.append(mutation.name)
            text = killer or f"SURVIVES: {EQUIVALENT.get(mutation.name, 'no reason known')}"
            print(f"{mutation.name:40} {time.perf_counter() - start:6.1f} s  {text}", flush=True)
            if options.record:
                _write(table)
    print(f"{len(survivors)} survive without a reason {survivors or ''}".rstrip())
    return 1 if survivors else 0


def _write(table: dict[str, dict[str, Any]]) -> None:
    kept = {mutation.name: table[mutation.name] for mutation in MUTATIONS if mutation.name in table}
    RECORD.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
